//! How far the clocks of the other nodes are off, as seen from here. Learned from the times that travel with heartbeats;
//! nothing is decided here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::SharedClock;

/// Measurements older than this say nothing any more.
pub const AGE_MAX: Duration = Duration::from_secs(60);
/// Nodes that are remembered: far above any cluster, so that forged numbers cannot fill the memory.
const NODES_MAX: usize = 64;

/// One measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerClock {
    /// Its clock minus ours, in milliseconds.
    pub offset_ms: i64,
    /// What the offset may be wrong by: half the way there and back.
    pub uncertainty: Duration,
    /// When it was measured.
    pub measured_at: Instant,
}

impl PeerClock {
    /// The part of the offset that is no doubt of the measurement.
    pub fn certain_ms(&self) -> i64 {
        let doubt = i64::try_from(self.uncertainty.as_millis()).unwrap_or(i64::MAX);
        let sure = self.offset_ms.saturating_abs().saturating_sub(doubt).max(0);
        if self.offset_ms < 0 { -sure } else { sure }
    }
}

/// The table of one node. Cheap to clone.
#[derive(Clone)]
pub struct PeerClocks {
    clock: SharedClock,
    table: Arc<Mutex<BTreeMap<u64, PeerClock>>>,
}

impl PeerClocks {
    /// Nothing known yet.
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, table: Arc::default() }
    }

    /// This node's time, as it is sent to others, in milliseconds UTC.
    pub fn now_ms(&self) -> i64 {
        self.clock.now().millis()
    }

    /// A peer answered with its time: it was read somewhere between our sending and now.
    pub fn note_answer(&self, peer: u64, theirs_ms: i64, sent: Instant) {
        let uncertainty = sent.elapsed() / 2;
        let halfway = i64::try_from(uncertainty.as_millis()).unwrap_or(i64::MAX);
        self.note(peer, theirs_ms.saturating_add(halfway), uncertainty);
    }

    /// A peer sent its time; how long that took is not known, so it stands only where nothing better is.
    pub fn note_message(&self, peer: u64, theirs_ms: i64) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = table.get(&peer).is_some_and(|known| known.measured_at.elapsed() < AGE_MAX / 6);
        drop(table);
        if !fresh {
            self.note(peer, theirs_ms, Duration::from_secs(1));
        }
    }

    fn note(&self, peer: u64, theirs_ms: i64, uncertainty: Duration) {
        let offset_ms = theirs_ms.saturating_sub(self.now_ms());
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() < NODES_MAX || table.contains_key(&peer) {
            table.insert(peer, PeerClock { offset_ms, uncertainty, measured_at: Instant::now() });
        }
    }

    /// The last measurement of one peer, if it is not too old.
    pub fn get(&self, peer: u64) -> Option<PeerClock> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(&peer).copied().filter(|clock| clock.measured_at.elapsed() <= AGE_MAX)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::ScriptedClock;

    #[test]
    fn an_offset_is_theirs_minus_ours() {
        let clock = Arc::new(ScriptedClock::new(1_000_000));
        let clocks = PeerClocks::new(clock.clone());
        assert_eq!(clocks.get(2), None);
        clocks.note_answer(2, 1_007_000, Instant::now());
        let offset = clocks.get(2).unwrap().offset_ms;
        // Half of what passed since it was sent counts as its way, and the machine may have stood still meanwhile.
        assert!((7_000..37_000).contains(&offset), "{offset}");
        // A message of unknown age does not replace a measurement.
        clocks.note_message(2, 5);
        assert_eq!(clocks.get(2).unwrap().offset_ms, offset);
        clocks.note_message(3, 998_000);
        assert_eq!(clocks.get(3).unwrap().offset_ms, -2_000);
        assert_eq!(clocks.get(3).unwrap().certain_ms(), -1_000, "it may have been under way for a second");
        clocks.note_message(4, 1_000_500);
        assert_eq!(clocks.get(4).unwrap().certain_ms(), 0);
    }

    #[test]
    fn the_table_is_bounded() {
        let clocks = PeerClocks::new(Arc::new(ScriptedClock::new(0)));
        for peer in 0..1_000 {
            clocks.note_answer(peer, 0, Instant::now());
        }
        assert!(clocks.get(0).is_some());
        assert!(clocks.get(999).is_none());
    }
}
