//! When each copy was last checked, on disk: one small file per partition, written when a scrub has come through it.
//! The copies themselves never lie here. Losing such a file loses ages, not copies: the time of the chunk's file is
//! used instead.
//!
//! ```text
//! file  = "PLTCHEK1" | partition u8 | count u32 | entry … | BLAKE3 of all before [32]
//! entry = chunk id[32] | seconds since 1970 u32                              ids ascending, all of that partition
//! ```
//! These times are also the scrub's cursor: what was checked longest ago comes next, after a restart too.

use super::held::Seconds;
use super::set_digest::partition_of;
use plantao_domain::ChunkId;

const MAGIC: [u8; 8] = *b"PLTCHEK1";
const HEAD_BYTES: usize = 13;
const ENTRY_BYTES: usize = 36;
const DIGEST_BYTES: usize = 32;
/// Chunks of one partition: 256 TiB in all at 1 MiB each, far beyond one disk; bounds the reader.
const ENTRIES_MAX: usize = 1 << 20;
/// Longest file.
pub(super) const FILE_BYTES_MAX: u64 = (HEAD_BYTES + ENTRIES_MAX * ENTRY_BYTES + DIGEST_BYTES) as u64;

/// The bytes of the file. Entries beyond the bound are left out: their ages are lost at the next start.
pub(super) fn encode(partition: u8, entries: &[(ChunkId, Seconds)]) -> Vec<u8> {
    let entries = entries.get(..ENTRIES_MAX).unwrap_or(entries);
    let mut bytes = Vec::with_capacity(HEAD_BYTES + entries.len() * ENTRY_BYTES + DIGEST_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.push(partition);
    bytes.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_be_bytes());
    for (id, checked) in entries {
        bytes.extend_from_slice(id.as_bytes());
        bytes.extend_from_slice(&checked.0.to_be_bytes());
    }
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

/// `None` unless these are exactly the bytes that [`encode`] makes for that partition.
pub(super) fn decode(partition: u8, bytes: &[u8]) -> Option<Vec<(ChunkId, Seconds)>> {
    let (content, digest) = bytes.split_last_chunk::<DIGEST_BYTES>()?;
    if blake3::hash(content).as_bytes() != digest {
        return None;
    }
    let (head, mut rest) = content.split_first_chunk::<HEAD_BYTES>()?;
    let count = u32::from_be_bytes(*head.last_chunk()?);
    if !head.starts_with(&MAGIC) || head[8] != partition || rest.len() as u64 != u64::from(count) * ENTRY_BYTES as u64 {
        return None;
    }
    let mut entries: Vec<(ChunkId, Seconds)> = Vec::with_capacity(rest.len() / ENTRY_BYTES);
    while let Some((entry, tail)) = rest.split_first_chunk::<ENTRY_BYTES>() {
        let id = ChunkId::from_bytes(*entry.first_chunk()?);
        let ascending = entries.last().is_none_or(|(before, _)| before.as_bytes() < id.as_bytes());
        if !ascending || partition_of(&id) != partition {
            return None;
        }
        entries.push((id, Seconds(u32::from_be_bytes(*entry.last_chunk()?))));
        rest = tail;
    }
    Some(entries)
}

/// For [`crate::again`].
pub(crate) fn again(partition: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    Some(encode(partition, &decode(partition, bytes)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample() -> Vec<(ChunkId, Seconds)> {
        let id = |last: u8| {
            let mut bytes = [7; 32];
            bytes[31] = last;
            ChunkId::from_bytes(bytes)
        };
        vec![(id(1), Seconds(5)), (id(2), Seconds(u32::MAX)), (id(9), Seconds(0))]
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let bytes = encode(7, &sample());
        assert!(decode(7, &bytes).unwrap() == sample());
        assert!(decode(7, &encode(7, &[])).unwrap().is_empty());
        assert!(decode(8, &bytes).is_none(), "of another partition");
        for length in 0..bytes.len() {
            assert!(decode(7, &bytes[..length]).is_none(), "{length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(7, &flipped).is_none(), "bit {bit}");
        }
    }

    /// The digest alone would let a file through that another program wrote with care but wrongly.
    #[test]
    fn entries_out_of_order_or_of_another_partition_are_refused() {
        let mut swapped = sample();
        swapped.swap(0, 1);
        assert!(decode(7, &encode(7, &swapped)).is_none());
        let mut twice = sample();
        twice[1] = twice[0];
        assert!(decode(7, &encode(7, &twice)).is_none());
        assert!(decode(8, &encode(8, &sample())).is_none());
    }
}
