//! On which nodes an image is to be, and the books of what each node should hold and has. Which nodes are best is
//! chosen by who proposes; here is only what every placement must be.

use super::SITES_MIN;
use crate::case::{Case, Done, Ruling, Stop};
use crate::id::{NodeId, UploadId};
use crate::outcome::{Rejection, What};
use crate::rows::{self, Amount, ExpectedRow, PartOf, PartRow, StoreRow, UploadRow, UploadState};
use crate::time::ClusterTime;
use crate::view::{Changes, View, ViewFault};
use std::collections::{BTreeMap, BTreeSet};

/// The placement in ascending order: nodes with registered stores, on two sites at least. Bounds were checked before.
pub(super) fn check(view: &dyn View, placement: &[NodeId]) -> Result<Vec<NodeId>, Stop> {
    let nodes: BTreeSet<NodeId> = placement.iter().copied().collect();
    let mut sites = BTreeSet::new();
    for node in &nodes {
        let row = rows::node(view, *node)?.ok_or(Rejection::Unknown { what: What::Node })?;
        rows::live_store(view, *node)?.ok_or(Rejection::Unknown { what: What::Store })?;
        sites.insert(row.description.site);
    }
    if sites.len() < SITES_MIN as usize {
        return Err(Rejection::NoSecondSite.into());
    }
    Ok(nodes.into_iter().collect())
}

/// Other nodes for an upload that is open or committed. A copy that is not placed any more is not deleted by this.
pub(crate) fn place_again(case: &Case<'_>, id: UploadId, placement: &[NodeId]) -> Ruling {
    let row = rows::upload(case.view, id)?.ok_or(Rejection::Unknown { what: What::Upload })?;
    if row.state == UploadState::Closed {
        return Err(Rejection::UploadClosed.into());
    }
    let placement = check(case.view, placement)?;
    if row.placement == placement {
        return Ok(Done::unchanged(0));
    }
    let mut changes = Changes::new();
    if let UploadState::Committed(at) = row.state {
        let mut books = Books::new(case.view);
        for (part, held) in rows::parts(case.view, id, None, rows::PAGE_ROWS_MAX)? {
            let of = PartOf { upload: id, part };
            for node in row.placement.iter().filter(|node| !placement.contains(node)) {
                books.forget(&mut changes, *node, at, of)?;
            }
            for node in placement.iter().filter(|node| !row.placement.contains(node)) {
                books.expect(&mut changes, *node, at, of, &held)?;
            }
        }
        books.write(&mut changes);
    }
    rows::put(&mut changes, rows::upload_key(id), &UploadRow { placement, ..row });
    Ok(Done::changed(0, changes))
}

/// What nodes should hold, and the sums of it at their stores, while one command is decided.
pub(super) struct Books<'a> {
    view: &'a dyn View,
    stores: BTreeMap<NodeId, StoreRow>,
}

impl<'a> Books<'a> {
    pub(super) fn new(view: &'a dyn View) -> Self {
        Self { view, stores: BTreeMap::new() }
    }

    fn store(&mut self, node: NodeId) -> Result<Option<&mut StoreRow>, ViewFault> {
        if !self.stores.contains_key(&node)
            && let Some(row) = rows::store(self.view, node)?
        {
            self.stores.insert(node, row);
        }
        Ok(self.stores.get_mut(&node))
    }

    /// A part is placed on a node, which may have it already.
    pub(super) fn expect(
        &mut self,
        changes: &mut Changes,
        node: NodeId,
        committed_at: ClusterTime,
        of: PartOf,
        part: &PartRow,
    ) -> Result<(), ViewFault> {
        let received = rows::receipt(self.view, of, node)?.map(|receipt| receipt.incarnation);
        // At most 512.
        let chunks = u32::try_from(part.chunks.len()).unwrap_or(u32::MAX);
        let row = ExpectedRow { chunks, bytes: part.stored_bytes(), received };
        rows::put(changes, rows::expected_key(node, committed_at, of), &row);
        self.tally(node, &row, Amount::plus)
    }

    /// Counts a row in what a node's store should hold and has, or takes it out again.
    fn tally(
        &mut self,
        node: NodeId,
        row: &ExpectedRow,
        change: fn(Amount, Amount) -> Amount,
    ) -> Result<(), ViewFault> {
        let Some(store) = self.store(node)? else { return Ok(()) };
        store.expected = change(store.expected, row.amount());
        if row.received == Some(store.incarnation) {
            store.received = change(store.received, row.amount());
        }
        Ok(())
    }

    /// A part is not placed on a node any more.
    fn forget(
        &mut self,
        changes: &mut Changes,
        node: NodeId,
        committed_at: ClusterTime,
        of: PartOf,
    ) -> Result<(), ViewFault> {
        let Some(row) = rows::expected_row(self.view, node, committed_at, of)? else { return Ok(()) };
        rows::delete(changes, rows::expected_key(node, committed_at, of));
        self.tally(node, &row, Amount::minus)
    }

    /// The registered store of a node has a part, if it is one that the node should hold.
    pub(super) fn receive(
        &mut self,
        changes: &mut Changes,
        node: NodeId,
        committed_at: ClusterTime,
        of: PartOf,
    ) -> Result<(), ViewFault> {
        let Some(mut row) = rows::expected_row(self.view, node, committed_at, of)? else { return Ok(()) };
        let Some(store) = self.store(node)? else { return Ok(()) };
        if row.received != Some(store.incarnation) {
            row.received = Some(store.incarnation);
            store.received = store.received.plus(row.amount());
            rows::put(changes, rows::expected_key(node, committed_at, of), &row);
        }
        Ok(())
    }

    /// Writes the sums.
    pub(super) fn write(self, changes: &mut Changes) {
        for (node, row) in self.stores {
            rows::put(changes, rows::store_key(node), &row);
        }
    }
}
