//! In which order chunks wait for a link, and how much waits. Records and the log are not here: they travel with Raft
//! and wait for nothing of this.
//!
//! ```text
//! awaited   somebody waits for the acknowledgement and this copy is needed for it      in order of arrival, no cap
//! fresh     an image that was taken lately                                             newest first
//! backlog   everything else: repair, a node that joined                                newest first
//! ```

use plantao_domain::{ChunkId, ClusterTime};
use std::collections::{BTreeMap, BTreeSet};

/// How much a chunk is in a hurry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Lane {
    /// Goes ahead of everything and of the cap.
    Awaited,
    /// Today's patients.
    Fresh,
    /// The rest.
    Backlog,
}

impl Lane {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Awaited, Self::Fresh, Self::Backlog];

    /// One lowercase word, for metrics and reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Awaited => "awaited",
            Self::Fresh => "fresh",
            Self::Backlog => "backlog",
        }
    }
}

/// A chunk that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// The chunk.
    pub id: ChunkId,
    /// Bytes of its file.
    pub bytes: u32,
    /// Its lane.
    pub lane: Lane,
    /// When its image was taken; decides the order in the lane.
    pub taken_at: ClusterTime,
}

/// What waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// Chunks, in the order of [`Lane::ALL`].
    pub chunks: [u64; Lane::ALL.len()],
    /// Bytes, likewise.
    pub bytes: [u64; Lane::ALL.len()],
}

impl Backlog {
    /// Bytes of all lanes.
    pub fn bytes_total(&self) -> u64 {
        self.bytes.iter().sum()
    }
}

/// The place in the order: lane, then newest first (awaited: first come), then arrival.
type Rank = (Lane, i64, u64);

/// The chunks that wait for one link, each once, bounded.
pub struct Lanes {
    chunks_max: usize,
    arrivals: u64,
    order: BTreeSet<(Rank, ChunkId)>,
    waiting: BTreeMap<ChunkId, (Waiting, Rank)>,
    backlog: Backlog,
}

impl Lanes {
    /// At most `chunks_max` wait here; repair finds again what had no room, from what should be there and is not.
    pub fn new(chunks_max: usize) -> Self {
        Self { chunks_max, arrivals: 0, order: BTreeSet::new(), waiting: BTreeMap::new(), backlog: Backlog::default() }
    }

    /// A chunk comes to wait. One that waits already keeps the better of its two places. When there is no room, the
    /// last in the order goes, and is given back; that may be this one.
    pub fn push(&mut self, chunk: Waiting) -> Option<Waiting> {
        let newest_first = match chunk.lane {
            Lane::Awaited => 0,
            Lane::Fresh | Lane::Backlog => chunk.taken_at.millis().saturating_neg(),
        };
        let rank = (chunk.lane, newest_first, self.arrivals);
        self.arrivals += 1;
        if let Some((_, before)) = self.waiting.get(&chunk.id) {
            if (before.0, before.1) <= (rank.0, rank.1) {
                return None;
            }
            self.remove(&chunk.id);
        }
        self.order.insert((rank, chunk.id));
        self.waiting.insert(chunk.id, (chunk, rank));
        self.backlog.chunks[chunk.lane as usize] += 1;
        self.backlog.bytes[chunk.lane as usize] += u64::from(chunk.bytes);
        if self.waiting.len() <= self.chunks_max {
            return None;
        }
        let (_, last) = *self.order.last()?;
        self.remove(&last)
    }

    /// The next to go. It waits no more: push it again if it did not get there.
    pub fn pop(&mut self) -> Option<Waiting> {
        let (_, id) = *self.order.first()?;
        self.remove(&id)
    }

    /// The lane of the next to go: an awaited one does not ask the cap.
    pub fn next_lane(&self) -> Option<Lane> {
        self.order.first().map(|((lane, _, _), _)| *lane)
    }

    /// A chunk waits no more: it is there, or tombstoned.
    pub fn remove(&mut self, id: &ChunkId) -> Option<Waiting> {
        let (chunk, rank) = self.waiting.remove(id)?;
        self.order.remove(&(rank, *id));
        self.backlog.chunks[chunk.lane as usize] -= 1;
        self.backlog.bytes[chunk.lane as usize] -= u64::from(chunk.bytes);
        Some(chunk)
    }

    /// What waits.
    pub fn backlog(&self) -> Backlog {
        self.backlog
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk(id: u8, lane: Lane, taken: i64) -> Waiting {
        let taken_at = ClusterTime::from_millis(taken).unwrap();
        Waiting { id: ChunkId::from_bytes([id; 32]), bytes: 10 * u32::from(id), lane, taken_at }
    }

    fn ids(lanes: &mut Lanes) -> Vec<u8> {
        std::iter::from_fn(|| lanes.pop()).map(|chunk| chunk.id.as_bytes()[0]).collect()
    }

    #[test]
    fn who_is_waited_for_goes_first_then_the_newest() {
        let mut lanes = Lanes::new(100);
        for waiting in [
            chunk(1, Lane::Backlog, 500),
            chunk(2, Lane::Fresh, 100),
            chunk(3, Lane::Backlog, 900),
            chunk(4, Lane::Awaited, 1),
            chunk(5, Lane::Fresh, 300),
            chunk(6, Lane::Awaited, 999),
        ] {
            assert_eq!(lanes.push(waiting), None);
        }
        assert_eq!(lanes.next_lane(), Some(Lane::Awaited));
        assert_eq!(lanes.backlog().chunks, [2, 2, 2]);
        assert_eq!(lanes.backlog().bytes, [100, 70, 40]);
        assert_eq!(ids(&mut lanes), [4, 6, 5, 2, 3, 1]);
        assert_eq!(lanes.backlog(), Backlog::default());
    }

    #[test]
    fn a_chunk_that_is_suddenly_awaited_moves_ahead_and_never_back() {
        let mut lanes = Lanes::new(100);
        lanes.push(chunk(1, Lane::Backlog, 500));
        lanes.push(chunk(2, Lane::Backlog, 400));
        lanes.push(chunk(2, Lane::Awaited, 400));
        lanes.push(chunk(2, Lane::Backlog, 900));
        assert_eq!(lanes.backlog().chunks, [1, 0, 1]);
        assert_eq!(ids(&mut lanes), [2, 1]);
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_the_last_in_order_goes(
            pushes in proptest::collection::vec((0..20_u8, 0..3_usize, 0..9_i64), 0..60),
        ) {
            let mut lanes = Lanes::new(5);
            for (id, lane, taken) in pushes {
                let dropped = lanes.push(chunk(id, Lane::ALL[lane], taken));
                prop_assert!(lanes.waiting.len() <= 5 && lanes.order.len() == lanes.waiting.len());
                if let Some(dropped) = dropped {
                    let worst = lanes.order.last().unwrap().0;
                    let age = if dropped.lane == Lane::Awaited { 0 } else { -dropped.taken_at.millis() };
                    prop_assert!((dropped.lane, age) >= (worst.0, worst.1));
                }
                prop_assert_eq!(lanes.backlog().chunks.iter().sum::<u64>(), lanes.waiting.len() as u64);
                let bytes: u64 = lanes.waiting.values().map(|(chunk, _)| u64::from(chunk.bytes)).sum();
                prop_assert_eq!(lanes.backlog().bytes_total(), bytes);
            }
            let order = ids(&mut lanes);
            prop_assert!(order.len() <= 5);
        }
    }
}
