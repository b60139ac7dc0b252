//! What this node should have and has not, by its own rows and its own list; and who else may have it. It reads; nothing is
//! fetched, written or proposed here.

use crate::chunks::ChunkDirectory;
use plantao_domain::images::Holders;
use plantao_domain::planted::{Bug, planted};
use plantao_domain::rows::{self, ExpectedChunks, ExpectedCursor, PAGE_ROWS_MAX, PartOf, PartRow, UploadState};
use plantao_domain::view::Order;
use plantao_domain::{ChunkId, ClusterTime, NodeId, StoreIncarnation, View, ViewFault};
use std::collections::BTreeSet;
use std::io;

/// Parts that are looked at to find who names a chunk: a chunk that more images share is still found by these.
const PARTS_OF_CHUNK_MAX: usize = 16;

/// A part that should be here and has no receipt of this directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct WantedPart {
    pub(super) of: PartOf,
    pub(super) committed_at: ClusterTime,
    pub(super) row: PartRow,
}

/// Parts without a receipt of the directory `registered`, newest first, committed before `before`, until `enough` says so of
/// one. Those that `skip` names are passed over.
pub(super) fn unreceived(
    view: &dyn View,
    node: NodeId,
    registered: StoreIncarnation,
    before: ClusterTime,
    skip: &BTreeSet<PartOf>,
    mut enough: impl FnMut(&WantedPart) -> bool,
) -> Result<Vec<WantedPart>, ViewFault> {
    let (mut found, mut after): (_, Option<ExpectedCursor>) = (Vec::new(), None);
    if planted(Bug::RepairForgets) {
        return Ok(found);
    }
    loop {
        let page = rows::expected(view, node, Order::Descending, after, PAGE_ROWS_MAX)?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = Some(*last);
        for (ExpectedCursor { committed_at, of }, row) in &page {
            if row.received == Some(registered) || *committed_at >= before || skip.contains(of) {
                continue;
            }
            let Some(row) = rows::part(view, *of)? else { continue };
            let part = WantedPart { of: *of, committed_at: *committed_at, row };
            let is_enough = enough(&part);
            found.push(part);
            if is_enough {
                return Ok(found);
            }
        }
        if page.len() < PAGE_ROWS_MAX {
            return Ok(found);
        }
    }
}

/// Whether this node should hold a chunk: a committed image that is placed here names it.
pub(super) fn is_expected(view: &dyn View, node: NodeId, chunk: ChunkId) -> Result<bool, ViewFault> {
    for (of, _) in rows::parts_of_chunk(view, chunk, None, PAGE_ROWS_MAX)? {
        let row = rows::upload(view, of.upload)?;
        if row.is_some_and(|row| matches!(row.state, UploadState::Committed(_)) && row.placement.contains(&node)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Why a comparison ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum CompareError {
    #[error("the state of this node cannot be read")]
    State(#[from] ViewFault),
    #[error("the names of the chunk directory cannot be listed")]
    Names(#[source] io::Error),
}

/// Chunks that this directory gave a receipt for and that are not there, by ids that begin with `partition`, with the
/// bytes of their files. What has no receipt is not here: the rows show it by themselves. Names that vanished from the
/// directory are noticed; nothing is read.
pub(super) fn lost(
    view: &dyn View,
    directory: &ChunkDirectory,
    node: NodeId,
    registered: StoreIncarnation,
    partition: u8,
) -> Result<Vec<(ChunkId, u32)>, CompareError> {
    directory.forget_vanished(partition).map_err(CompareError::Names)?;
    let mut lost = Vec::new();
    let mut expected = ExpectedChunks::of_partition(node, partition);
    while let Some(page) = expected.next_page(view, PAGE_ROWS_MAX)? {
        for (chunk, bytes) in page {
            if directory.held(&chunk).is_none() && has_receipt(view, node, registered, chunk)? {
                lost.push((chunk, bytes));
            }
        }
    }
    Ok(lost)
}

fn has_receipt(view: &dyn View, node: NodeId, registered: StoreIncarnation, chunk: ChunkId) -> Result<bool, ViewFault> {
    for (of, _) in rows::parts_of_chunk(view, chunk, None, PAGE_ROWS_MAX)? {
        if rows::receipt(view, of, node)?.is_some_and(|receipt| receipt.incarnation == registered) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Other nodes that may have a chunk, the best to ask first: those with a receipt that counts, of the same site, units before
/// off-site nodes. `None`: nothing names the chunk, or it is to be deleted, so it is not fetched from anybody.
pub(super) fn holders(view: &dyn View, us: NodeId, chunk: ChunkId) -> Result<Option<Vec<NodeId>>, ViewFault> {
    let parts = rows::parts_of_chunk(view, chunk, None, PARTS_OF_CHUNK_MAX)?;
    if parts.is_empty() || rows::tombstone(view, chunk)?.is_some() {
        return Ok(None);
    }
    let stores = Holders::read(view)?.0;
    let mut receipts = BTreeSet::new();
    for (of, _) in parts {
        for (node, receipt) in rows::receipts(view, of)? {
            if stores.get(&node).is_some_and(|holder| holder.incarnation == receipt.incarnation) {
                receipts.insert(node);
            }
        }
    }
    let site = stores.get(&us).map(|holder| holder.site.clone());
    let mut others: Vec<_> = stores.iter().filter(|(node, _)| **node != us).collect();
    others.sort_by_key(|(node, holder)| {
        (!receipts.contains(node), Some(&holder.site) != site.as_ref(), holder.off_site, **node)
    });
    Ok(Some(others.into_iter().map(|(node, _)| *node).collect()))
}

#[cfg(test)]
#[path = "wanted_tests.rs"]
mod tests;
