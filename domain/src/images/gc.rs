//! Deletion of chunks that no part names. Only what was never committed gets here: images are only ever added to.
//!
//! A tombstone waits for each store that there was when it was made. A part that names the chunk again ends it at once.
//! Either way the epoch floor rises to the tombstone's epoch, so that no receipt from before counts for a later part.

use crate::case::{Case, Done, Ruling, Stop};
use crate::id::{ChunkId, NodeId, PatientId, UploadId};
use crate::outcome::{Field, Rejection, What};
use crate::planted::{Bug, planted};
use crate::rows::{self, ImagesHead, PartOf, StoreOf, TombstoneRow, UploadState};
use crate::time::ClusterTime;
use crate::view::{Changes, View, ViewFault};
use minicbor::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};

/// A chunk, and the epoch of a tombstone of it; 0 stands for none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
pub struct ChunkEpoch {
    /// Which chunk.
    #[n(0)]
    pub chunk: ChunkId,
    /// Under which tombstone.
    #[n(1)]
    pub epoch: u64,
}

/// What a node asks, under the chunk's lock, right before it unlinks a chunk under a tombstone of this epoch: the
/// tombstone is still there, no part names the chunk, and its patient has no open upload. That days have passed since
/// the tombstone, and that the node gave no receipt of this epoch or a later one for the chunk, is the node's to know.
///
/// # Errors
/// The rows cannot be read: nothing is unlinked then.
pub fn may_unlink(view: &dyn View, what: ChunkEpoch) -> Result<bool, ViewFault> {
    let Some(tombstone) = rows::tombstone(view, what.chunk)?.filter(|row| row.epoch == what.epoch) else {
        return Ok(false);
    };
    let uploading = match tombstone.patient {
        Some(patient) if !planted(Bug::EpochIgnored) => !rows::open_uploads_of_patient(view, patient, 1)?.is_empty(),
        _ => false,
    };
    Ok(planted(Bug::NamedUnlinked) || !uploading && !rows::is_named(view, what.chunk)?)
}

/// Tombstones that one command makes: one epoch for all.
struct Burial {
    at: ClusterTime,
    patient: Option<PatientId>,
    waiting: Vec<StoreOf>,
    head: ImagesHead,
    changes: Changes,
}

impl Burial {
    fn new(case: &Case<'_>, patient: Option<PatientId>) -> Result<Self, ViewFault> {
        let mut head = rows::images_head(case.view)?;
        head.epoch = head.epoch.saturating_add(1);
        let stores = rows::stores(case.view, None, rows::PAGE_ROWS_MAX)?;
        let live = stores.into_iter().filter(|(_, row)| row.retired_at.is_none());
        let waiting = live.map(|(node, row)| StoreOf { node, incarnation: row.incarnation }).collect();
        Ok(Self { at: case.at, patient, waiting, head, changes: Changes::new() })
    }

    fn bury(&mut self, chunk: ChunkId, before: Option<&TombstoneRow>) {
        if before.is_none() {
            self.head.tombstones = self.head.tombstones.saturating_add(1);
        }
        let patient = self.patient.or(before.and_then(|row| row.patient));
        let row = TombstoneRow { epoch: self.head.epoch, at: self.at, patient, waiting: self.waiting.clone() };
        rows::put(&mut self.changes, rows::tombstone_key(chunk), &row);
    }

    fn done(mut self) -> Done {
        rows::put(&mut self.changes, rows::images_head_key(), &self.head);
        Done::changed(0, self.changes)
    }
}

/// Forgets a part of a closed upload, with its receipts; the upload goes with its last part.
pub(crate) fn drop_part(case: &Case<'_>, id: UploadId, part: u32) -> Ruling {
    let view = case.view;
    let row = rows::upload(view, id)?.ok_or(Rejection::Unknown { what: What::Upload })?;
    if row.state != UploadState::Closed || !rows::open_uploads_of_patient(view, row.patient, 1)?.is_empty() {
        return Err(Rejection::StillInUse.into());
    }
    let of = PartOf { upload: id, part };
    let held = rows::part(view, of)?.ok_or(Rejection::Unknown { what: What::Part })?;
    let mut burial = Burial::new(case, Some(row.patient))?;
    let chunks: BTreeSet<ChunkId> = held.chunks.iter().map(|entry| entry.chunk).collect();
    for chunk in chunks {
        rows::delete(&mut burial.changes, rows::chunk_key(chunk, of));
        // Of two, one may be this part itself.
        let named_by = rows::parts_of_chunk(view, chunk, None, 2)?;
        if named_by.iter().all(|(other, _)| *other == of) {
            // What is named has no tombstone.
            burial.bury(chunk, None);
        }
    }
    for (node, _) in rows::receipts(view, of)? {
        rows::delete(&mut burial.changes, rows::receipt_key(of, node));
    }
    rows::delete(&mut burial.changes, rows::part_key(of));
    if rows::parts(view, id, None, 2)?.iter().all(|(other, _)| *other == part) {
        rows::delete(&mut burial.changes, rows::upload_key(id));
        rows::delete(&mut burial.changes, rows::upload_closed_key(id));
    }
    Ok(burial.done())
}

/// Tombstones for chunks that a node found and no part names. `epoch` says which tombstone the node saw, so that two
/// nodes that find the same chunk do not begin its days again and again.
pub(crate) fn put_tombstones(case: &Case<'_>, node: NodeId, chunks: &[ChunkEpoch]) -> Ruling {
    check_sender(case, node)?;
    let mut burial = Burial::new(case, None)?;
    let distinct: BTreeMap<ChunkId, u64> = chunks.iter().map(|of| (of.chunk, of.epoch)).collect();
    for (chunk, seen) in distinct {
        let before = rows::tombstone(case.view, chunk)?;
        if before.as_ref().map_or(0, |row| row.epoch) == seen && !rows::is_named(case.view, chunk)? {
            burial.bury(chunk, before.as_ref());
        }
    }
    Ok(if burial.changes.is_empty() { Done::unchanged(0) } else { burial.done() })
}

/// A node is without these chunks. A tombstone goes when no store that still counts is left to wait for.
pub(crate) fn finish(case: &Case<'_>, node: NodeId, chunks: &[ChunkEpoch]) -> Ruling {
    check_sender(case, node)?;
    let stores: BTreeMap<NodeId, _> = rows::stores(case.view, None, rows::PAGE_ROWS_MAX)?.into_iter().collect();
    let waits = |of: &StoreOf| {
        let current = stores.get(&of.node).filter(|row| row.retired_at.is_none());
        of.node != node && current.is_some_and(|row| row.incarnation == of.incarnation)
    };
    let mut head = rows::images_head(case.view)?;
    let mut changes = Changes::new();
    let distinct: BTreeSet<ChunkEpoch> = chunks.iter().copied().collect();
    for ChunkEpoch { chunk, epoch } in distinct {
        let Some(mut row) = rows::tombstone(case.view, chunk)?.filter(|row| row.epoch == epoch) else { continue };
        let before = row.waiting.len();
        row.waiting.retain(waits);
        if row.waiting.is_empty() {
            rows::delete(&mut changes, rows::tombstone_key(chunk));
            head.floor = head.floor.max(epoch);
            head.tombstones = head.tombstones.saturating_sub(1);
        } else if row.waiting.len() != before {
            rows::put(&mut changes, rows::tombstone_key(chunk), &row);
        }
    }
    if changes.is_empty() {
        return Ok(Done::unchanged(0));
    }
    rows::put(&mut changes, rows::images_head_key(), &head);
    Ok(Done::changed(0, changes))
}

fn check_sender(case: &Case<'_>, node: NodeId) -> Result<(), Stop> {
    if node != case.via {
        return Err(Rejection::Invalid { field: Field::Node }.into());
    }
    rows::store(case.view, node)?.ok_or(Rejection::Unknown { what: What::Store })?;
    Ok(())
}
