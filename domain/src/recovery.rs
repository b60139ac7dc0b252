//! What the state knows of recovered quorums: a majority was gone for good, and the network went on with what the kept
//! nodes had, under a new incarnation. How log, vote and membership are rewritten is the node's (decision 0018).
//!
//! Every node that had a number by then and was not kept has left: it comes back under a new one. So the newest recovery
//! alone says who is gone, and its row needs no list of them.

use crate::case::{Case, Done, Ruling};
use crate::cluster::ClusterRow;
use crate::command::Tag;
use crate::id::NodeId;
use crate::outcome::{Field, Rejection, What};
use crate::rows::{self, Amount, StoreRow};
use crate::time::ClusterTime;
use crate::view::{Changes, View, ViewFault};
use minicbor::{Decode, Encode};

/// Recoveries that the cluster's row keeps: more than a network should ever see.
pub const RECOVERIES_MAX: usize = 16;
/// The incarnation of a network that was never recovered.
pub const FIRST_INCARNATION: u32 = 1;
/// Nodes that are read at a time.
const PAGE: usize = 64;

/// One recovery, as the offline tool decided it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Recovery {
    /// The incarnation that begins.
    #[n(0)]
    pub incarnation: u32,
    /// The nodes that go on, at least one.
    #[n(1)]
    pub kept: Vec<NodeId>,
    /// Term of the last entry that they had.
    #[n(2)]
    pub last_term: u64,
    /// Its index: what others acknowledged after it is lost.
    #[n(3)]
    pub last_index: u64,
    /// Voters of the last membership that were given up.
    #[n(4)]
    pub dropped_voters: Vec<NodeId>,
    /// BLAKE3 of the reason that the operator gave.
    #[n(5)]
    pub reason: Tag,
}

/// A recovery as the state keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct RecoveryRow {
    /// What was decided.
    #[n(0)]
    pub recovery: Recovery,
    /// When, by the cluster's time.
    #[n(1)]
    pub at: ClusterTime,
    /// The first number that was given afterwards: of those below, all but the kept have left.
    #[n(2)]
    pub next_node: NodeId,
}

impl ClusterRow {
    /// How often a lost majority was given up, counted from 1.
    pub fn incarnation(&self) -> u32 {
        self.newest().map_or(FIRST_INCARNATION, |row| row.recovery.incarnation)
    }

    /// Whether a recovery went on without this node.
    pub fn went_on_without(&self, node: NodeId) -> bool {
        self.newest().is_some_and(|row| node < row.next_node && !row.recovery.kept.contains(&node))
    }

    fn newest(&self) -> Option<&RecoveryRow> {
        self.recoveries.as_ref()?.last()
    }
}

/// Notes that the network went on without a majority, and retires the chunk directories of the nodes that left, so that
/// their copies count no more and are made anew elsewhere.
pub(crate) fn note(case: &Case<'_>, recovery: &Recovery) -> Ruling {
    let mut cluster = rows::cluster(case.view)?.ok_or(Rejection::WrongClusterState)?;
    if recovery.incarnation <= cluster.incarnation() {
        return Err(Rejection::WrongClusterState.into());
    }
    if !recovery.kept.contains(&case.via) {
        return Err(Rejection::Invalid { field: Field::Node }.into());
    }
    for kept in &recovery.kept {
        if rows::node(case.view, *kept)?.is_none() || cluster.went_on_without(*kept) {
            return Err(Rejection::Unknown { what: What::Node }.into());
        }
    }
    let mut changes = Changes::new();
    for (node, row) in stores_of_others(case.view, &recovery.kept)? {
        let row = StoreRow { retired_at: Some(case.at), received: Amount::default(), ..row };
        rows::put(&mut changes, rows::store_key(node), &row);
    }
    let row = RecoveryRow { recovery: recovery.clone(), at: case.at, next_node: cluster.next_node };
    let recoveries = cluster.recoveries.get_or_insert_default();
    if recoveries.len() >= RECOVERIES_MAX {
        recoveries.remove(0);
    }
    recoveries.push(row);
    rows::put(&mut changes, rows::cluster_key(), &cluster);
    Ok(Done::changed(recovery.incarnation, changes))
}

/// Chunk directories that still count, of nodes that are not kept.
fn stores_of_others(view: &dyn View, kept: &[NodeId]) -> Result<Vec<(NodeId, StoreRow)>, ViewFault> {
    let mut stores = Vec::new();
    let mut after = None;
    loop {
        let page = rows::nodes(view, after, PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(stores) };
        after = Some(*last);
        for (node, _) in page.into_iter().filter(|(node, _)| !kept.contains(node)) {
            if let Some(row) = rows::store(view, node)?.filter(|row| row.retired_at.is_none()) {
                stores.push((node, row));
            }
        }
    }
}
