//! Latencies in logarithmic buckets: fixed memory, an error below 1.6 %, merged without loss.

/// Sub-buckets of each power of two, as a power of two: 64 give the error above.
const FINE_BITS: u32 = 6;
const FINE: u64 = 1 << FINE_BITS;
/// Up to 2^40 microseconds, twelve days.
const BUCKETS: usize = ((40 - FINE_BITS as usize) + 1) << FINE_BITS;

/// Counts of durations in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

fn bucket(us: u64) -> usize {
    if us < FINE {
        return us as usize;
    }
    let shift = us.ilog2() - FINE_BITS;
    let fine = (us >> shift) - FINE;
    let at = (u64::from(shift + 1) << FINE_BITS) + fine;
    (at as usize).min(BUCKETS - 1)
}

/// The largest value of a bucket: a quantile is never told too small.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < FINE {
        return bucket;
    }
    let shift = (bucket >> FINE_BITS) - 1;
    ((FINE + (bucket & (FINE - 1)) + 1) << shift) - 1
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }

    pub(super) fn record(&mut self, us: u64) {
        self.counts[bucket(us)] += 1;
        self.total += 1;
        self.max = self.max.max(us);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    pub(super) fn count(&self) -> u64 {
        self.total
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// The least value that `thousandths` of all do not exceed; 0 without any.
    pub(super) fn quantile(&self, thousandths: u64) -> u64 {
        let wanted = (u128::from(self.total) * u128::from(thousandths)).div_ceil(1_000).max(1);
        let mut seen = 0_u128;
        for (at, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= wanted {
                return upper(at).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_the_error() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(500), 0);
        let mut other = Histogram::new();
        for us in 1..=100_000 {
            if us % 2 == 0 { histogram.record(us) } else { other.record(us) }
        }
        histogram.merge(&other);
        assert_eq!((histogram.count(), histogram.max()), (100_000, 100_000));
        for (thousandths, exact) in [(500, 50_000_u64), (990, 99_000), (999, 99_900), (1_000, 100_000)] {
            let found = histogram.quantile(thousandths);
            assert!(found >= exact && found <= exact + exact / 60, "{thousandths}: {found}");
        }
    }

    #[test]
    fn every_value_lies_in_its_bucket_and_none_overflows() {
        for us in (0..5_000).chain([1 << 20, (1 << 39) + 12_345, u64::MAX]) {
            let at = bucket(us);
            assert!(at < BUCKETS);
            if us < 1 << 40 {
                assert!(upper(at) >= us && (at == 0 || upper(at - 1) < us), "{us}");
            }
        }
    }
}
