//! Receipts: that a part's chunks are durable in one directory of one node. They come from the node that takes an
//! upload, and later from every node that repaired or fetched a copy.

use super::placement::Books;
use crate::case::{Case, Done, Ruling, Stop};
use crate::id::{NodeId, PartDigest, StoreIncarnation, UploadId};
use crate::outcome::{Rejection, What};
use crate::rows::{self, ImagesHead, PartOf, ReceiptRow, UploadState};
use crate::view::{Changes, View};
use minicbor::{Decode, Encode};
use std::collections::BTreeSet;

/// Given by a node once each chunk of the part is on its disk: written or found there, verified against its id, synced
/// with its directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Receipt {
    /// Of which upload.
    #[n(0)]
    pub upload: UploadId,
    /// Which part.
    #[n(1)]
    pub part: u32,
    /// Where.
    #[n(2)]
    pub node: NodeId,
    /// In which of its directories.
    #[n(3)]
    pub incarnation: StoreIncarnation,
    /// Which chunks (`images::part_digest`).
    #[n(4)]
    pub digest: PartDigest,
    /// `images::gc_epoch` of the node's own state, read *before* it verified the first of these chunks. From then on it
    /// unlinks none of them under a tombstone of this epoch or an earlier one.
    #[n(5)]
    pub gc_epoch: u64,
}

/// Takes those that count. They may come in any order and again; a later one replaces the one before.
pub(crate) fn put_receipts(case: &Case<'_>, receipts: &[Receipt]) -> Ruling {
    let head = rows::images_head(case.view)?;
    let mut changes = Changes::new();
    let mut books = Books::new(case.view);
    let mut seen = BTreeSet::new();
    let (mut first_refusal, mut counted) = (None, false);
    for receipt in receipts {
        let of = PartOf { upload: receipt.upload, part: receipt.part };
        if !seen.insert((of, receipt.node)) {
            continue;
        }
        match check(case.view, &head, of, receipt) {
            Err(Stop::Rejected(rejection)) => {
                first_refusal.get_or_insert(rejection);
                continue;
            }
            Err(fault) => return Err(fault),
            Ok(UploadState::Committed(at)) => books.receive(&mut changes, receipt.node, at, of)?,
            Ok(UploadState::Open | UploadState::Closed) => {}
        }
        counted = true;
        let row = ReceiptRow { incarnation: receipt.incarnation, gc_epoch: receipt.gc_epoch, at: case.at };
        let before = rows::receipt(case.view, of, receipt.node)?;
        let newer = before.is_none_or(|b| b.incarnation != row.incarnation || b.gc_epoch < row.gc_epoch);
        if newer {
            rows::put(&mut changes, rows::receipt_key(of, receipt.node), &row);
        }
    }
    match first_refusal {
        Some(rejection) if !counted => Err(rejection.into()),
        _ if changes.is_empty() => Ok(Done::unchanged(0)),
        _ => {
            books.write(&mut changes);
            Ok(Done::changed(0, changes))
        }
    }
}

/// Whether a receipt counts, and where its upload is in its life.
fn check(view: &dyn View, head: &ImagesHead, of: PartOf, receipt: &Receipt) -> Result<UploadState, Stop> {
    let upload = rows::upload(view, of.upload)?.ok_or(Rejection::Unknown { what: What::Upload })?;
    if upload.state == UploadState::Closed {
        return Err(Rejection::UploadClosed.into());
    }
    let store = rows::live_store(view, receipt.node)?.ok_or(Rejection::StoreRefused)?;
    if store.incarnation != receipt.incarnation {
        return Err(Rejection::StoreRefused.into());
    }
    let part = rows::part(view, of)?.ok_or(Rejection::Unknown { what: What::Part })?;
    // An epoch that this state has not reached cannot have been applied by a node before.
    if part.digest != receipt.digest || !(part.epoch..=head.epoch).contains(&receipt.gc_epoch) {
        return Err(Rejection::ReceiptRefused.into());
    }
    Ok(upload.state)
}
