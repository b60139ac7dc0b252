//! What nodes have of the replicated state, and whether it is the same.

use crate::chunks::disk_identity;
use crate::consensus::{Affiliation, Consensus};
use crate::storage::state::StateStore;
use crate::transport::{Lane, PeerChannels};
use futures_util::future::join_all;
use plantao_domain::{DiskId, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

pub mod convert;

/// For one question.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(5);
/// How long nodes are asked again until all were seen at one index.
const COMPARE_TIME_MAX: Duration = Duration::from_secs(5);
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(100);

/// What a node has of the state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateEvidence {
    /// Log index of the digests.
    pub applied_index: u64,
    /// Of all rows.
    pub content: [u8; 32],
    /// Of all entries.
    pub chain: [u8; 32],
    /// How many rows.
    pub rows: u64,
    /// The disk below the data directory, as found.
    pub disk: DiskId,
    /// As the node declares it.
    pub medium: String,
    /// It declares that this disk counts as one of its own.
    pub simulated: bool,
    /// Since all rows were read and compared with the digest.
    pub check_age: Duration,
}

/// What this node tells of itself. Cheap to clone.
#[derive(Clone)]
pub struct OwnEvidence {
    state: Arc<dyn StateStore>,
    data_dir: Arc<PathBuf>,
    medium: Arc<str>,
    simulated: bool,
    started: Instant,
}

impl OwnEvidence {
    /// `started` is when the rows were verified.
    pub fn new(state: Arc<dyn StateStore>, data_dir: PathBuf, medium: &str, simulated: bool, started: Instant) -> Self {
        Self { state, data_dir: Arc::new(data_dir), medium: medium.into(), simulated, started }
    }

    /// As it is now; `None` if the directory cannot be looked at.
    pub fn now(&self) -> Option<StateEvidence> {
        let disk = disk_identity::disk_of(&self.data_dir).ok()?;
        let meta = self.state.meta();
        Some(StateEvidence {
            applied_index: meta.applied.map_or(0, |entry| entry.index),
            content: meta.content,
            chain: meta.chain,
            rows: meta.rows,
            disk,
            medium: self.medium.to_string(),
            simulated: self.simulated,
            check_age: self.started.elapsed(),
        })
    }
}

/// Asks nodes about their state, this one included. Cheap to clone.
#[derive(Clone)]
pub struct EvidencePeers {
    own: OwnEvidence,
    us: Affiliation,
    consensus: Consensus,
    channels: PeerChannels,
}

/// What was heard of the states of all nodes.
#[derive(Default)]
pub(super) struct States {
    /// The last answer of each.
    pub(super) last: BTreeMap<NodeId, StateEvidence>,
    /// Nodes whose state is that of this node at one index.
    pub(super) agree: BTreeSet<NodeId>,
}

type Digests = ([u8; 32], [u8; 32], u64);

/// At which index which node said what.
#[derive(Default)]
struct Heard(BTreeMap<u64, BTreeMap<NodeId, Digests>>);

impl Heard {
    fn note(&mut self, node: NodeId, told: &StateEvidence) {
        self.0.entry(told.applied_index).or_default().insert(node, (told.content, told.chain, told.rows));
    }

    /// Whether two nodes said the same; `None` if they were never heard at one index.
    fn compare(&self, a: NodeId, b: NodeId) -> Option<bool> {
        let common = self.0.values().filter_map(|of| Some(of.get(&a)? == of.get(&b)?));
        // One difference is enough.
        common.reduce(|all, one| all && one)
    }
}

impl EvidencePeers {
    /// Calls made by `us`.
    pub fn new(own: OwnEvidence, us: Affiliation, consensus: Consensus, channels: PeerChannels) -> Self {
        Self { own, us, consensus, channels }
    }

    /// The nodes that should have the state.
    pub(super) fn members(&self) -> BTreeSet<NodeId> {
        self.consensus.status().members.iter().map(|member| NodeId(member.id)).collect()
    }

    async fn ask(&self, node: NodeId) -> Option<StateEvidence> {
        if node.0 == self.us.node {
            let own = self.own.clone();
            return crate::work::blocking(move || own.now()).await.ok().flatten();
        }
        let member = self.consensus.member(node.0)?;
        let channel = self.channels.channel(node.0, &member.peer_address, Lane::Bulk).ok()?;
        convert::ask(channel, self.us.header(node.0), QUESTION_TIME_MAX).await
    }

    /// Asks these nodes until each that answers was heard at an index at which this node was heard too, or time is up.
    pub(super) async fn compare(&self, nodes: &BTreeSet<NodeId>) -> States {
        let us = NodeId(self.us.node);
        let deadline = Instant::now() + COMPARE_TIME_MAX;
        let (mut heard, mut states) = (Heard::default(), States::default());
        loop {
            let answers = join_all(nodes.iter().map(|node| async move { (*node, self.ask(*node).await) })).await;
            states.last.clear();
            for (node, told) in answers {
                if let Some(told) = told {
                    heard.note(node, &told);
                    states.last.insert(node, told);
                }
            }
            let open = states.last.keys().any(|node| heard.compare(us, *node).is_none());
            if !open || Instant::now() >= deadline {
                states.agree =
                    states.last.keys().copied().filter(|node| heard.compare(us, *node) == Some(true)).collect();
                return states;
            }
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_compared_at_one_index_only() {
        let told = |applied_index, content| StateEvidence {
            applied_index,
            content: [content; 32],
            chain: [0; 32],
            rows: 1,
            disk: DiskId::from_bytes([0; 32]),
            medium: String::new(),
            simulated: false,
            check_age: Duration::ZERO,
        };
        let (a, b) = (NodeId(1), NodeId(2));
        let mut heard = Heard::default();
        heard.note(a, &told(7, 1));
        heard.note(b, &told(8, 1));
        assert_eq!(heard.compare(a, b), None);
        heard.note(a, &told(8, 1));
        assert_eq!(heard.compare(a, b), Some(true));
        heard.note(b, &told(7, 2));
        assert_eq!(heard.compare(a, b), Some(false), "they differed once");
    }
}
