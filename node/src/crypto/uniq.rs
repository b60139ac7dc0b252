//! Where `uniq` comes from: the 32 bytes that make each message's key its own.
//!
//! ```text
//! uniq = BLAKE3-keyed(seed, counter u64 LE | plaintext)        seed: 32 random bytes per source, made at its start
//! ```
//!
//! A source is seeded once and counts; it costs about what one question to the operating system costs (decision 0002),
//! without the system call. The plaintext is mixed in on purpose: should a virtual machine be rolled back while it runs,
//! seed and counter repeat, and a plain counter or stream would then seal two plaintexts under one key. Here two equal
//! `uniq` need equal plaintexts, and the same plaintext under the same key is the same frame.

use crate::entropy::{Entropy, random};
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// Makes the `uniq` of frames. Shared freely between threads; it takes no lock.
pub struct UniqSource {
    seed: Zeroizing<[u8; 32]>,
    counter: AtomicU64,
}

impl UniqSource {
    /// A source with a seed of its own.
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self { seed: Zeroizing::new(random(entropy)), counter: AtomicU64::new(0) }
    }

    /// Thirty-two bytes that no other frame has, for the frame around `plaintext`.
    pub fn next(&self, plaintext: &[u8]) -> [u8; 32] {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher.update(&count.to_le_bytes());
        hasher.update(plaintext);
        hasher.finalize().into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;
    use std::collections::BTreeSet;

    #[test]
    fn no_uniq_comes_twice_from_threads_that_share_a_source() {
        let source = UniqSource::new(&SystemEntropy);
        let all: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..5_000).map(|_| source.next(b"same")).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 20_000);
    }

    /// A machine that is rolled back while it runs repeats its random state.
    #[test]
    fn a_repeated_state_gives_other_bytes_for_another_plaintext() {
        struct Same;
        impl Entropy for Same {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(7);
            }
        }
        let (before, after) = (UniqSource::new(&Same), UniqSource::new(&Same));
        assert_eq!(before.next(b"row"), after.next(b"row"));
        assert_ne!(before.next(b"row a"), after.next(b"row b"));
    }
}
