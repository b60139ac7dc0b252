//! A budget of bytes over time. It sleeps nowhere and reads no clock: the time is an argument.

use std::time::{Duration, Instant};

/// Lets at most `rate` bytes a second pass in the long run, `burst` of them at once. It may go into debt by one
/// spending, so that something larger than the burst passes too, and the debt is waited for.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// Bytes a second; `None` is unlimited, 0 stops everything.
    rate: Option<u64>,
    burst: u64,
    /// Millionths of a byte: at one byte a second a microsecond counts.
    level: i128,
    at: Instant,
}

const MICRO: i128 = 1_000_000;
/// Waiting is told in pieces no longer than this, because a cap may change meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(60);

impl TokenBucket {
    /// Full at `now`.
    pub fn new(rate: Option<u64>, burst: u64, now: Instant) -> Self {
        let burst = burst.max(1);
        Self { rate, burst, level: i128::from(burst) * MICRO, at: now }
    }

    /// Changes the rate. What was saved up stays, up to the burst.
    pub fn set_rate(&mut self, rate: Option<u64>, now: Instant) {
        self.refill(now);
        self.rate = rate;
    }

    /// How long to wait, at most a minute at a time, before something may pass; `None` is now. Call [`Self::spend`]
    /// when it passes.
    pub fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.refill(now);
        let rate = self.rate?;
        if self.level > 0 {
            return None;
        }
        if rate == 0 {
            return Some(WAIT_MAX);
        }
        // Until one whole byte is there: rounded up, so that whoever waits exactly so long does not wait twice.
        let micros = (MICRO - self.level).div_euclid(i128::from(rate)) + 1;
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)).min(WAIT_MAX))
    }

    /// Something of so many bytes passes, with or without having waited.
    pub fn spend(&mut self, bytes: u64) {
        if self.rate.is_some() {
            self.level -= i128::from(bytes) * MICRO;
        }
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        let full = i128::from(self.burst) * MICRO;
        self.level = match self.rate {
            Some(rate) => {
                let gained = i128::from(rate) * i128::try_from(elapsed.as_micros()).unwrap_or(i128::MAX >> 64);
                self.level.saturating_add(gained).min(full)
            }
            // A debt from capped hours does not outlive them.
            None => full,
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whoever always waits as told passes at the rate, never faster, and not much slower.
        #[test]
        fn the_rate_holds_in_the_long_run(
            rate in 1_000..10_000_000_u64,
            burst in 1..2_000_000_u64,
            sizes in proptest::collection::vec(1..1_100_000_u64, 20..60),
        ) {
            let start = Instant::now();
            let (mut now, mut passed) = (start, 0_u64);
            let mut bucket = TokenBucket::new(Some(rate), burst, start);
            for size in &sizes {
                while let Some(wait) = bucket.wait(now) {
                    prop_assert!(wait > Duration::ZERO && wait <= WAIT_MAX);
                    now += wait;
                }
                // Before this one passes: what passed so far fits into burst, time and the debt of the one before.
                let allowed = burst as f64 + (now - start).as_secs_f64() * rate as f64 + 1_100_001.0;
                prop_assert!((passed as f64) <= allowed, "{passed} > {allowed}");
                bucket.spend(*size);
                passed += size;
            }
            let needed = passed.saturating_sub(burst) as f64 / rate as f64;
            prop_assert!((now - start).as_secs_f64() <= needed + 0.1, "waited {:?} for {needed}", now - start);
        }
    }

    #[test]
    fn nothing_passes_at_zero_and_everything_without_a_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Some(0), 1, start);
        bucket.spend(1);
        let later = start + Duration::from_secs(86_400);
        assert_eq!(bucket.wait(later), Some(WAIT_MAX));
        bucket.set_rate(None, later);
        bucket.spend(u64::MAX);
        assert_eq!(bucket.wait(later), None);
        bucket.set_rate(Some(1_000), later);
        bucket.spend(1_001);
        assert_eq!(bucket.wait(later), Some(Duration::from_millis(1_001) + Duration::from_micros(1)));
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Some(100), 100, start + Duration::from_secs(10));
        bucket.spend(200);
        let wait = bucket.wait(start + Duration::from_secs(10)).unwrap();
        assert_eq!(bucket.wait(start), Some(wait));
        assert_eq!(bucket.wait(start + Duration::from_secs(10)), Some(wait));
    }
}
