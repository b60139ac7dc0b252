//! Chance that a seed decides: the same seed gives the same numbers on every machine, for ever. Not for keys.

use plantao_client::Id;
use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): one word of state, and every seed is a good one.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The stream `stream` of a seed: streams of one seed have nothing to do with each other.
    pub(crate) fn of(seed: u64, stream: u64) -> Self {
        let mut chance = Self(seed);
        let mixed = chance.word() ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(mixed)
    }

    /// 64 bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// From 0 to `below`, without it; 0 where there is nothing below.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        // The bias of a remainder is 2^-50 for the small numbers that are asked for here.
        self.word().checked_rem(below).unwrap_or(0)
    }

    /// One of `all`; `None` of none.
    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let at = self.below(all.len() as u64);
        all.get(usize::try_from(at).unwrap_or(0))
    }

    /// True `percent` times of a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// From the one to the other, in whole milliseconds.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX);
        least + Duration::from_millis(self.below(span.saturating_add(1)))
    }

    /// 16 opaque bytes, never all zero.
    pub(crate) fn id(&mut self) -> Id {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.word().to_be_bytes());
        bytes[8..].copy_from_slice(&(self.word() | 1).to_be_bytes());
        Id::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A seed in a track record must say the same years later.
    #[test]
    fn a_seed_gives_the_same_numbers_for_ever_and_streams_differ() {
        let mut chance = Chance(0);
        assert_eq!([chance.word(), chance.word()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        let first = |seed, stream| Chance::of(seed, stream).word();
        assert_eq!(first(7, 1), first(7, 1));
        assert!(first(7, 1) != first(7, 2) && first(7, 1) != first(8, 1));
    }

    #[test]
    fn numbers_keep_to_their_bounds() {
        let mut chance = Chance::of(1, 1);
        let (least, most) = (Duration::from_millis(5), Duration::from_millis(7));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            seen.insert(chance.between(least, most).as_millis());
            assert!(chance.below(3) < 3);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [5, 6, 7]);
        assert_eq!((chance.below(0), chance.one_of::<u8>(&[])), (0, None));
    }
}
