//! A digest of a set of chunks that needs no order: what a node should hold and what it holds are compared by 256 of
//! these, one for each first byte of a chunk's id, and only the parts that differ are listed.
//!
//! ```text
//! digest = sum over the set of BLAKE3(chunk id), as four u64 little-endian lanes, each wrapping
//! ```
//! A sum is no defence against a forger: a node that lies about what it holds is caught by challenges, not by this.

use plantao_domain::ChunkId;
use std::fmt;

/// How many partitions there are: one for each first byte of an id.
pub const PARTITIONS: usize = 256;

/// The digest of a set of chunks. The empty set is all zeros.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SetDigest([u64; 4]);

impl SetDigest {
    /// The digest of these chunks, each of which must be there once.
    pub fn of<'a>(ids: impl IntoIterator<Item = &'a ChunkId>) -> Self {
        ids.into_iter().fold(Self::default(), |mut digest, id| {
            digest.add(id);
            digest
        })
    }

    /// A chunk joins the set.
    pub fn add(&mut self, id: &ChunkId) {
        for (lane, term) in self.0.iter_mut().zip(lanes(id)) {
            *lane = lane.wrapping_add(term);
        }
    }

    /// A chunk that is in the set leaves it.
    pub fn remove(&mut self, id: &ChunkId) {
        for (lane, term) in self.0.iter_mut().zip(lanes(id)) {
            *lane = lane.wrapping_sub(term);
        }
    }

    /// Lanes in order, little-endian.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (place, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            place.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }

    /// The inverse of [`Self::to_bytes`].
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(split(&bytes))
    }
}

impl fmt::Debug for SetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The partition that a chunk belongs to.
pub fn partition_of(id: &ChunkId) -> u8 {
    id.as_bytes()[0]
}

fn lanes(id: &ChunkId) -> [u64; 4] {
    split(blake3::hash(id.as_bytes()).as_bytes())
}

fn split(bytes: &[u8; 32]) -> [u64; 4] {
    let mut lanes = [0; 4];
    for (lane, chunk) in lanes.iter_mut().zip(bytes.chunks_exact(8)) {
        *lane = u64::from_le_bytes(chunk.try_into().expect("eight bytes are a lane"));
    }
    lanes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_digest_depends_on_the_set_alone(
            steps in proptest::collection::vec((any::<u8>(), any::<bool>()), 0..60),
        ) {
            let id = |byte: u8| ChunkId::from_bytes([byte; 32]);
            let (mut digest, mut set) = (SetDigest::default(), BTreeSet::new());
            for (byte, joins) in steps {
                match joins {
                    true => if set.insert(id(byte)) { digest.add(&id(byte)) },
                    false => if set.remove(&id(byte)) { digest.remove(&id(byte)) },
                }
                prop_assert_eq!(digest, SetDigest::of(set.iter().rev()));
            }
            prop_assert_eq!(SetDigest::from_bytes(digest.to_bytes()), digest);
            prop_assert_eq!(digest == SetDigest::default(), set.is_empty());
        }
    }

    /// `docs/formats.md` publishes this one.
    #[test]
    fn the_published_digest_is_this_one() {
        let ids = [ChunkId::from_bytes([0x11; 32]), ChunkId::from_bytes([0x12; 32])];
        let digest = format!("{:?}", SetDigest::of(&ids));
        assert!(include_str!("../../../docs/formats.md").contains(&digest), "{digest}");
    }
}
