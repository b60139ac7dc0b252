//! One chunk that should be here: verified if it lies here, else fetched from one node after the other, verified, put.
//! Which chunk comes when is decided in [`super::repair`].

use super::{Keeper, wanted};
use crate::chunks::calendar::Cap;
use crate::chunks::lanes::Waiting;
use crate::images::convert::Refusal;
use crate::images::{ChunkReceipt, KeepError, PeerError};
use plantao_domain::{ChunkId, NodeId, ViewFault};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After the first failure of a node, doubled with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// At most.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Why a chunk is not here yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum BringError {
    /// Nothing names it any more, or it is to be deleted.
    #[error("nothing names the chunk any more")]
    NotWanted,
    /// Each node that could be asked has no good copy.
    #[error("no node has a good copy")]
    NoCopy,
    /// Nobody could be asked just now.
    #[error("no node that may have it answers")]
    NoAnswer,
    /// It came, and the directory did not take it.
    #[error("it was not kept here")]
    Keep(#[source] KeepError),
    /// Who has it cannot be found out.
    #[error("the state of this node cannot be read")]
    State(#[from] ViewFault),
}

/// Which nodes failed lately, so that others are asked meanwhile. One entry for each node, shared by all that fetch.
#[derive(Clone, Default)]
pub(super) struct Failing(Arc<Mutex<BTreeMap<NodeId, (u32, Instant)>>>);

impl Failing {
    fn is_resting(&self, node: NodeId, now: Instant) -> bool {
        let failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failing.get(&node).is_some_and(|(_, until)| now < *until)
    }

    fn note(&self, node: NodeId, failed: bool, now: Instant) {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failed {
            let (times, until) = failing.entry(node).or_insert((0, now));
            *until = now + pause(*times, PAUSE_MIN, PAUSE_MAX);
            *times = times.saturating_add(1);
        } else {
            failing.remove(&node);
        }
    }
}

/// How long to wait after a failure that comes after `times` others.
pub(super) fn pause(times: u32, first: Duration, longest: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times.min(16)).unwrap_or(u32::MAX)).min(longest)
}

/// Where a chunk is to come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// It lies here, as far as is known.
    Here,
    /// From one of these, tried in this order; the link to the first is thin or not.
    Others(Vec<NodeId>, bool),
}

impl Keeper {
    /// Where to look for a chunk now.
    pub(super) fn source(&self, failing: &Failing, id: ChunkId) -> Result<Source, BringError> {
        let here = self.chunks.store().and_then(|store| store.directory().held(&id));
        if here.is_some() {
            return Ok(Source::Here);
        }
        let holders = wanted::holders(&**self.chunks.state(), self.chunks.node(), id)?.ok_or(BringError::NotWanted)?;
        let (now, links) = (Instant::now(), self.peers.links());
        let minute = links.minute();
        let mut usable: Vec<NodeId> = holders.into_iter().filter(|node| !failing.is_resting(*node, now)).collect();
        // Whom this node does not reach, or may not use at this hour, comes last; the order is kept otherwise.
        usable.sort_by_key(|node| (links.calendar(*node).cap(minute) == Cap::Bits(0), !self.peers.is_reachable(*node)));
        let first = *usable.first().ok_or(BringError::NoAnswer)?;
        Ok(Source::Others(usable, links.is_thin(first)))
    }

    /// Brings one chunk here. What comes from another node waits for its turn on the link to it.
    pub(super) async fn bring(
        &self,
        failing: &Failing,
        chunk: Waiting,
        source: Source,
    ) -> Result<ChunkReceipt, BringError> {
        let Waiting { id, bytes, lane, taken_at } = chunk;
        let others = match source {
            Source::Others(others, _) => others,
            Source::Here => {
                let (good, receipt) = self.chunks.verify(&[id]).await.map_err(BringError::Keep)?;
                if good == [true] {
                    return Ok(receipt);
                }
                // It was bad, or gone, and is known to be missing from now on.
                match self.source(failing, id)? {
                    Source::Others(others, _) => others,
                    Source::Here => return Err(BringError::NoAnswer),
                }
            }
        };
        let mut answered = false;
        for node in others {
            let pass = self.peers.links().pass(node, u64::from(bytes), lane, taken_at).await;
            let fetched = self.peers.get_later(node, id).await;
            drop(pass);
            match fetched {
                Ok(sealed) => {
                    failing.note(node, false, Instant::now());
                    let length = sealed.len() as u64;
                    let receipt = self.chunks.put(id, sealed, None).await.map_err(BringError::Keep)?;
                    self.figures.fetched.fetch_add(1, Ordering::Relaxed);
                    self.figures.fetched_bytes.fetch_add(length, Ordering::Relaxed);
                    return Ok(receipt);
                }
                // Says something about this chunk, and nothing about the node.
                Err(PeerError::Refused { refusal: Refusal::Missing, .. } | PeerError::OtherBytes { .. }) => {
                    answered = true;
                }
                Err(_) => failing.note(node, true, Instant::now()),
            }
        }
        Err(if answered { BringError::NoCopy } else { BringError::NoAnswer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_fails_rests_longer_each_time_and_not_for_ever() {
        let (failing, node, start) = (Failing::default(), NodeId(2), Instant::now());
        assert!(!failing.is_resting(node, start));
        for (times, seconds) in [(0, 1), (1, 2), (2, 4), (6, 60), (40, 60)] {
            assert_eq!(pause(times, PAUSE_MIN, PAUSE_MAX), Duration::from_secs(seconds));
        }
        failing.note(node, true, start);
        failing.note(node, true, start);
        assert!(failing.is_resting(node, start + Duration::from_millis(1_900)));
        assert!(!failing.is_resting(node, start + Duration::from_secs(2)));
        assert!(!failing.is_resting(NodeId(3), start));
        failing.note(node, false, start);
        assert!(!failing.is_resting(node, start));
    }
}
