//! Mutations of kept inputs, the same on every machine: the replay's share of a search, without its feedback.

/// A small generator (SplitMix64): the same numbers for the same seed, for ever.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or_default()
    }
}

/// Changed copies of one input, without end.
pub struct Mutations<'a> {
    of: &'a [u8],
    other: &'a [u8],
    bytes_max: usize,
    draw: Draw,
}

impl<'a> Mutations<'a> {
    /// Of `of`, which may be crossed with `other`. The same bytes and `seed` give the same copies.
    pub fn new(of: &'a [u8], other: &'a [u8], bytes_max: usize, seed: u64) -> Self {
        let folded = of.iter().fold(seed, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
        Self { of, other, bytes_max, draw: Draw(folded) }
    }
}

impl Iterator for Mutations<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let draw = &mut self.draw;
        let mut bytes = self.of.to_vec();
        for _ in 0..=draw.below(3) {
            let at = draw.below(bytes.len());
            match draw.below(8) {
                0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << draw.below(8),
                2 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][draw.below(5)],
                3 if !bytes.is_empty() => drop(bytes.remove(at)),
                4 => bytes.insert(at, draw.next().to_le_bytes()[0]),
                5 => bytes.truncate(at),
                6 if !bytes.is_empty() => {
                    let end = (at + 1 + draw.below(16)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = draw.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                _ => {
                    let from = draw.below(self.other.len());
                    bytes.truncate(at);
                    bytes.extend_from_slice(&self.other[from.min(self.other.len())..]);
                }
            }
        }
        bytes.truncate(self.bytes_max);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_input_gives_the_same_copies_and_another_seed_others() {
        let first = |seed| Mutations::new(b"one input", b"another", 64, seed).take(50).collect::<Vec<_>>();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
        assert!(first(1).iter().filter(|bytes| **bytes != b"one input").count() > 40);
        assert!(Mutations::new(b"", b"", 4, 9).take(200).all(|bytes| bytes.len() <= 4));
    }
}
