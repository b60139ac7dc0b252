//! Room on the disks below the logs: what this node has, and what the others said of theirs. A full disk ends a node, so a
//! network stops writing before that, and goes on by itself when there is room again.
//!
//! ```text
//! free ≥ reserve        enough
//! free < reserve        low    the lead goes elsewhere; no program writes while a majority of the voters is so
//! free < reserve / 4    out    entries are refused; heartbeats, votes and reads go on, and nothing of it is lost
//! ```
//! What is left of the reserve is for checkpoints, merges and snapshots, which give room back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Of the reserve, below which nothing is appended.
const OUT_DIVISOR: u64 = 4;
/// So much more than the reserve must be free until a node that was low has room again: a tenth.
const AGAIN_DIVISOR: u64 = 10;
/// What was heard longer ago says nothing: the node is down, or cut off.
const AGE_MAX: Duration = Duration::from_secs(15);
/// Nodes that are remembered: above any cluster.
const NODES_MAX: usize = 64;

/// How much room a node has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Room {
    /// More than its reserve.
    Enough,
    /// Less than its reserve.
    Low,
    /// Nothing is appended any more.
    Out,
}

impl Room {
    /// With so many bytes free, after it was `before`.
    pub fn of(free_bytes: u64, reserve_bytes: u64, before: Self) -> Self {
        let again = |limit: u64, was: bool| if was { limit.saturating_add(limit / AGAIN_DIVISOR) } else { limit };
        if free_bytes < again(reserve_bytes / OUT_DIVISOR, before == Self::Out) {
            Self::Out
        } else if free_bytes < again(reserve_bytes, before != Self::Enough) {
            Self::Low
        } else {
            Self::Enough
        }
    }

    const fn from_u8(level: u8) -> Self {
        match level {
            0 => Self::Enough,
            1 => Self::Low,
            _ => Self::Out,
        }
    }
}

/// The table of one node. Cheap to clone.
#[derive(Clone, Default)]
pub struct Rooms {
    own: Arc<AtomicU8>,
    peers: Arc<Mutex<BTreeMap<u64, (bool, Instant)>>>,
}

impl Rooms {
    /// What this node has, as it was measured last; enough until then.
    pub fn own(&self) -> Room {
        Room::from_u8(self.own.load(Ordering::Relaxed))
    }

    /// It was measured.
    pub fn set_own(&self, room: Room) {
        self.own.store(room as u8, Ordering::Relaxed);
    }

    /// A node said whether it is low.
    pub(super) fn note(&self, peer: u64, is_low: bool, now: Instant) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() < NODES_MAX || peers.contains_key(&peer) {
            peers.insert(peer, (is_low, now));
        }
    }

    /// Of these nodes those that are low, `us` included; of whom nothing is known is not.
    pub fn low(&self, us: u64, nodes: impl Iterator<Item = u64>, now: Instant) -> Vec<u64> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_low = |node: &u64| {
            if *node == us {
                return self.own() > Room::Enough;
            }
            let said = peers.get(node).filter(|(_, at)| now.saturating_duration_since(*at) <= AGE_MAX);
            said.is_some_and(|(is_low, _)| *is_low)
        };
        nodes.filter(is_low).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_nearly_there_again_is_not_there_yet() {
        let of = |free, before| Room::of(free, 1_000, before);
        assert_eq!(
            [1_000, 999, 250, 249, 0].map(|free| of(free, Room::Enough)),
            [Room::Enough, Room::Low, Room::Low, Room::Out, Room::Out]
        );
        assert_eq!(of(1_099, Room::Low), Room::Low);
        assert_eq!(of(1_100, Room::Low), Room::Enough);
        assert_eq!(of(274, Room::Out), Room::Out);
        assert_eq!(of(275, Room::Out), Room::Low);
        assert_eq!(of(1_099, Room::Out), Room::Low);
        assert_eq!(Room::of(0, 0, Room::Enough), Room::Enough, "no reserve was wanted");
    }

    #[test]
    fn who_said_nothing_lately_is_not_low() {
        let (rooms, now) = (Rooms::default(), Instant::now());
        rooms.note(2, true, now);
        rooms.note(3, false, now);
        assert_eq!(rooms.low(1, [1, 2, 3, 4].into_iter(), now), [2]);
        rooms.set_own(Room::Out);
        assert_eq!(rooms.own(), Room::Out);
        assert_eq!(rooms.low(1, [1, 2, 3, 4].into_iter(), now + AGE_MAX), [1, 2]);
        assert_eq!(rooms.low(1, [1, 2].into_iter(), now + AGE_MAX * 2), [1]);
        for node in 0..2 * NODES_MAX as u64 {
            rooms.note(node, true, now);
        }
        assert_eq!(rooms.peers.lock().unwrap().len(), NODES_MAX);
    }
}
