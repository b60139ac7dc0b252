//! How far the clocks of the other nodes are off, as seen from here. Learned from the times that travel with heartbeats;
//! nothing is decided here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::SharedClock;
use plantao_domain::planted::{Bug, planted};

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

/// What a peer's clock showed, and when that was heard.
#[derive(Clone, Copy)]
struct Heard {
    theirs_ms: i64,
    /// This node's then.
    ours_ms: i64,
    uncertainty: Duration,
    at: Instant,
}

/// The table of one node. Cheap to clone.
///
/// It holds what the others' clocks showed and compares at each question, because it may be this node's clock that moves: a
/// leader whose own clock jumps knows so at once, not after the next heartbeats.
#[derive(Clone)]
pub struct PeerClocks {
    clock: SharedClock,
    table: Arc<Mutex<BTreeMap<u64, Heard>>>,
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
        let fresh = table.get(&peer).is_some_and(|known| known.at.elapsed() < AGE_MAX / 6);
        drop(table);
        if !fresh {
            self.note(peer, theirs_ms, Duration::from_secs(1));
        }
    }

    fn note(&self, peer: u64, theirs_ms: i64, uncertainty: Duration) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() < NODES_MAX || table.contains_key(&peer) {
            let ours_ms = self.now_ms();
            table.insert(peer, Heard { theirs_ms, ours_ms, uncertainty, at: Instant::now() });
        }
    }

    /// How one peer's clock compares with this node's now, by the last time that was heard, if that is not too old.
    pub fn get(&self, peer: u64) -> Option<PeerClock> {
        let heard = *self.table.lock().unwrap_or_else(PoisonError::into_inner).get(&peer)?;
        let age = heard.at.elapsed();
        let gone = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let ours_ms = if planted(Bug::OwnJumpIgnored) { heard.ours_ms.saturating_add(gone) } else { self.now_ms() };
        (age <= AGE_MAX).then(|| PeerClock {
            offset_ms: heard.theirs_ms.saturating_add(gone).saturating_sub(ours_ms),
            uncertainty: heard.uncertainty,
            measured_at: heard.at,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::ScriptedClock;

    /// The scripted clock stands still while real time, and so theirs, goes on: each offset may have grown by what passed
    /// since `begun`, and by half of that again where half the way counts.
    fn grown(offset_ms: i64, from_ms: i64, begun: Instant) -> bool {
        let passed = i64::try_from(begun.elapsed().as_millis()).unwrap() + 1;
        (from_ms..=from_ms + 2 * passed).contains(&offset_ms)
    }

    #[test]
    fn an_offset_is_theirs_minus_ours() {
        let begun = Instant::now();
        let clock = Arc::new(ScriptedClock::new(1_000_000));
        let clocks = PeerClocks::new(clock.clone());
        let offset = |peer| clocks.get(peer).unwrap().offset_ms;
        let certain = |peer| clocks.get(peer).unwrap().certain_ms();
        assert_eq!(clocks.get(2), None);
        clocks.note_answer(2, 1_007_000, Instant::now());
        assert!(grown(offset(2), 7_000, begun), "{}", offset(2));
        // A message of unknown age does not replace a measurement.
        clocks.note_message(2, 5);
        assert!(grown(offset(2), 7_000, begun), "{}", offset(2));
        clocks.note_message(3, 998_000);
        assert!(grown(offset(3), -2_000, begun), "{}", offset(3));
        assert!(grown(certain(3), -1_000, begun), "it may have been under way for a second: {}", certain(3));
        clocks.note_message(4, 1_000_500);
        assert!(grown(certain(4), 0, begun), "{}", certain(4));
    }

    // Else a leader would stamp by its wrong clock until the next heartbeats are answered, and time never goes back.
    #[test]
    fn a_jump_of_the_own_clock_shows_at_once() {
        let begun = Instant::now();
        let clock = Arc::new(ScriptedClock::new(1_000_000));
        let clocks = PeerClocks::new(clock.clone());
        clocks.note_answer(2, 1_000_000, Instant::now());
        for jump in [3_600_000, -3_600_000] {
            clock.set(1_000_000 + jump);
            let offset = clocks.get(2).unwrap().offset_ms;
            assert!(grown(offset, -jump, begun), "{offset}");
        }
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
