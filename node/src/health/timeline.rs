//! How old an entry is, by when this node had it: for "what would be lost if only that member survived".

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Moments that are remembered, one a second: what is older is told as at least that.
const MOMENTS_MAX: usize = 3_600;

/// When this node's log had reached which index. Cheap to clone.
#[derive(Clone, Default)]
pub struct Timeline(Arc<Mutex<VecDeque<(Instant, u64)>>>);

impl Timeline {
    /// At `now` the log ends at `last_index`.
    pub fn note(&self, now: Instant, last_index: u64) {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // An index that stays the same says nothing new, and an uncommitted tail may be taken back.
        while moments.back().is_some_and(|(_, index)| *index > last_index) {
            moments.pop_back();
        }
        if moments.back().is_some_and(|(_, index)| *index == last_index) {
            return;
        }
        if moments.len() >= MOMENTS_MAX {
            moments.pop_front();
        }
        moments.push_back((now, last_index));
    }

    /// How long ago the first entry after `index` was seen in the log; zero when there is none, or none was seen yet.
    pub fn behind(&self, index: u64, now: Instant) -> Duration {
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = moments.partition_point(|(_, known)| *known <= index);
        moments.get(at).map_or(Duration::ZERO, |(seen, _)| now.saturating_duration_since(*seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_as_old_as_the_first_look_that_had_it() {
        let (timeline, start) = (Timeline::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(timeline.behind(0, at(9)), Duration::ZERO);
        for (second, index) in [(0, 10), (1, 20), (2, 20), (3, 35)] {
            timeline.note(at(second), index);
        }
        assert_eq!(timeline.behind(35, at(60)), Duration::ZERO);
        assert_eq!(timeline.behind(34, at(60)), Duration::from_secs(57));
        assert_eq!(timeline.behind(10, at(60)), Duration::from_secs(59));
        assert_eq!(timeline.behind(0, at(60)), Duration::from_secs(60), "at least");
        // A tail that a new leader took back is no entry.
        timeline.note(at(4), 30);
        assert_eq!(timeline.behind(30, at(60)), Duration::ZERO);
    }

    #[test]
    fn an_hour_is_remembered() {
        let (timeline, start) = (Timeline::default(), Instant::now());
        for second in 0..10_000_u64 {
            timeline.note(start + Duration::from_secs(second), second);
        }
        let now = start + Duration::from_secs(10_000);
        assert_eq!(timeline.behind(0, now), Duration::from_secs(3_600));
    }
}
