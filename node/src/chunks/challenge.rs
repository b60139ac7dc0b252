//! Proofs of possession: what a node says it holds is checked by asking for something that only the bytes give.
//!
//! ```text
//! asker:  fresh nonce[32], some chunk ids ───────────────► holder: reads each from its disk, verifies it
//!         the same over its own copies  ◄── proof or none ─      proof = BLAKE3 keyed by nonce over (chunk id | bytes)
//! ```
//! The nonce is fresh each time, so proofs cannot be kept instead of bytes; the id is in it, so no proof serves twice.
//! 460 chunks chosen at random find a loss of one in a hundred with a probability of 99 %.

use super::directory::ChunkDirectory;
use super::error::GetError;
use super::store::ChunkStore;
use plantao_domain::ChunkId;
use std::collections::{BTreeMap, BTreeSet};

/// Chunks of one challenge: what a disk of 100 MB/s reads within a second; more are asked in several.
pub const CHALLENGE_CHUNKS_MAX: usize = 64;
/// Chunks that find a loss of 1 % with a probability of 99 %: ln 0.01 / ln 0.99, rounded up.
pub const SAMPLE_CHUNKS: usize = 460;

/// What a holder says about one chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Possession {
    /// The proof.
    Proof([u8; 32]),
    /// It has no good copy.
    None,
    /// It could not look just now; says nothing about the copy.
    Unsure,
}

/// More chunks were asked for than a challenge may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a challenge names {chunks} chunks; at most {CHALLENGE_CHUNKS_MAX} are taken")]
pub struct TooManyChunks {
    /// How many.
    pub chunks: usize,
}

/// The proof that whoever made it had these bytes after the nonce was made.
pub fn proof(nonce: &[u8; 32], id: &ChunkId, bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(nonce);
    hasher.update(id.as_bytes());
    hasher.update(bytes);
    *hasher.finalize().as_bytes()
}

/// Answers for chunks of this node, in the order in which they were asked for. A bad copy is set aside, as by every
/// reader.
///
/// # Errors
/// Too many chunks; nothing is read then.
pub async fn answer(
    store: &ChunkStore,
    nonce: [u8; 32],
    chunks: Vec<ChunkId>,
) -> Result<Vec<Possession>, TooManyChunks> {
    if chunks.len() > CHALLENGE_CHUNKS_MAX {
        return Err(TooManyChunks { chunks: chunks.len() });
    }
    let mut answers = Vec::with_capacity(chunks.len());
    for id in chunks {
        let possession = store.on_worker(store.readers(), move |directory| possession(directory, &nonce, id)).await;
        answers.push(possession.unwrap_or(Possession::Unsure));
    }
    Ok(answers)
}

fn possession(directory: &ChunkDirectory, nonce: &[u8; 32], id: ChunkId) -> Possession {
    // From the disk: a copy that only memory has is none.
    match directory.check(id) {
        Ok(bytes) => Possession::Proof(proof(nonce, &id, &bytes)),
        Err(GetError::Missing { .. } | GetError::SetAside { .. }) => Possession::None,
        Err(GetError::Read { .. } | GetError::Stopped) => Possession::Unsure,
    }
}

/// A few of many chunks, chosen while all of them pass by once: distinct, and not to be foreseen without `seed`, which must
/// be fresh. Two samples of one seed over one set are the same, so that holders of the same chunks are asked the same.
#[derive(Clone, Debug)]
pub struct Sample {
    seed: [u8; 32],
    count: usize,
    /// The chunks with the smallest keyed digests.
    chosen: BTreeMap<[u8; 32], ChunkId>,
}

impl Sample {
    /// For at most `count` chunks.
    pub fn new(seed: [u8; 32], count: usize) -> Self {
        Self { seed, count, chosen: BTreeMap::new() }
    }

    /// A chunk passes by.
    pub fn offer(&mut self, id: ChunkId) {
        let rank = *blake3::keyed_hash(&self.seed, id.as_bytes()).as_bytes();
        let full = self.chosen.len() >= self.count;
        if full && self.chosen.last_key_value().is_none_or(|(last, _)| rank >= *last) {
            return;
        }
        self.chosen.insert(rank, id);
        if self.chosen.len() > self.count {
            self.chosen.pop_last();
        }
    }

    /// The chosen ones, in order of their ids; all that passed by if there were no more.
    pub fn take(self) -> BTreeSet<ChunkId> {
        self.chosen.into_values().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::chunks::testing;
    use crate::crypto::chunk_id;
    use std::sync::Arc;

    #[tokio::test]
    async fn only_whoever_has_the_bytes_can_prove_it() {
        let home = tempfile::tempdir().unwrap();
        let store = ChunkStore::new(Arc::new(testing::open(home.path())), 2);
        let (good, rotten) = (vec![1; 900], vec![2; 900]);
        for chunk in [&good, &rotten] {
            store.directory().put(chunk_id(chunk), chunk).unwrap();
        }
        let path = testing::path_of(home.path(), &chunk_id(&rotten));
        std::fs::write(path, vec![3; 900]).unwrap();
        let asked = vec![chunk_id(&good), chunk_id(&rotten), chunk_id(b"never here")];
        let answers = answer(&store, [7; 32], asked.clone()).await.unwrap();
        let expected = Possession::Proof(proof(&[7; 32], &chunk_id(&good), &good));
        assert_eq!(answers, [expected, Possession::None, Possession::None]);
        // Another nonce asks for another proof, and the copy that was found bad is out of the way.
        assert_ne!(answer(&store, [8; 32], asked).await.unwrap()[0], expected);
        assert_eq!(store.directory().figures().bad.iter().sum::<u64>(), 1);
        let many = vec![chunk_id(&good); CHALLENGE_CHUNKS_MAX + 1];
        assert_eq!(answer(&store, [7; 32], many).await, Err(TooManyChunks { chunks: CHALLENGE_CHUNKS_MAX + 1 }));
    }

    #[test]
    fn a_proof_depends_on_nonce_name_and_bytes() {
        let base = proof(&[1; 32], &chunk_id(b"a"), b"bytes");
        for other in [
            proof(&[2; 32], &chunk_id(b"a"), b"bytes"),
            proof(&[1; 32], &chunk_id(b"b"), b"bytes"),
            proof(&[1; 32], &chunk_id(b"a"), b"byteS"),
        ] {
            assert_ne!(base, other);
        }
    }

    /// The promise behind the number 460, over many seeds: of 20,000 chunks 200 are lost.
    #[test]
    fn a_sample_is_distinct_and_finds_a_loss_of_one_percent() {
        let ids: Vec<ChunkId> = (0..20_000_u32).map(|n| chunk_id(&n.to_be_bytes())).collect();
        let lost: BTreeSet<ChunkId> = ids[7_000..7_200].iter().copied().collect();
        let chosen = |seed: u16, ids: &mut dyn Iterator<Item = &ChunkId>| {
            let mut key = [0; 32];
            key[..2].copy_from_slice(&seed.to_le_bytes());
            let mut sample = Sample::new(key, SAMPLE_CHUNKS);
            ids.for_each(|id| sample.offer(*id));
            sample.take()
        };
        let mut found = 0;
        for seed in 0..100 {
            let forth = chosen(seed, &mut ids.iter());
            assert_eq!(forth.len(), SAMPLE_CHUNKS);
            assert_eq!(chosen(seed, &mut ids.iter().rev()), forth, "the order does not matter");
            found += u32::from(!forth.is_disjoint(&lost));
        }
        assert!(found >= 95, "found in {found} of 100");
        assert_ne!(chosen(1, &mut ids.iter()), chosen(2, &mut ids.iter()));
        assert_eq!(chosen(0, &mut ids[..3].iter()), ids[..3].iter().copied().collect());
        assert!(chosen(0, &mut [].iter()).is_empty());
    }
}
