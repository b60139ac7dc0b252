//! The shape of a manifest: how many parts and chunks an image of some size has, and how long each is. Pure arithmetic.
//!
//! ```text
//! image   ── 1 MiB ─┬─ 1 MiB ─┬─ … ─┬─ rest (1 byte to 1 MiB)
//! chunk   = frame around one of these: 106 bytes longer
//! part n  = chunks 512 n to 512 n + 511; the last has the rest
//! part PART_OF_THUMBNAIL = one chunk: the thumbnail
//! ```

use crate::id::{ChunkId, PartDigest, UploadId};
use minicbor::{Decode, Encode};

/// An image's bytes in one chunk; only the last has fewer.
pub const CHUNK_BYTES: u32 = 1024 * 1024;
/// What sealing adds to a chunk (`docs/formats.md`, "Sealed frames").
pub const FRAME_BYTES: u32 = 106;
/// Chunks of one part; only the last has fewer.
pub const PART_CHUNKS_MAX: usize = 512;
/// The largest image: 2 GiB. An empty one is refused.
pub const IMAGE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// The largest thumbnail, before sealing.
pub const THUMBNAIL_BYTES_MAX: u32 = 256 * 1024;
/// The number of the part that holds the thumbnail.
pub const PART_OF_THUMBNAIL: u32 = u32::MAX;

/// How an image is encoded: declared by the sender, checked against the bytes by the node that takes them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum MediaType {
    /// `image/jpeg`
    #[n(0)]
    Jpeg,
    /// `image/png`
    #[n(1)]
    Png,
    /// `application/dicom`
    #[n(2)]
    Dicom,
    /// `image/webp`
    #[n(3)]
    Webp,
    /// `image/heic`
    #[n(4)]
    Heic,
}

/// One chunk of a manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ChunkEntry {
    /// Which.
    #[n(0)]
    pub chunk: ChunkId,
    /// Bytes of its file: sealed.
    #[n(1)]
    pub stored_bytes: u32,
}

/// One part of a manifest, as it is sent.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ManifestPart {
    /// From 0, or [`PART_OF_THUMBNAIL`].
    #[n(0)]
    pub part: u32,
    /// In order, as many and as long as the image's size says ([`fits`]).
    #[n(1)]
    pub chunks: Vec<ChunkEntry>,
}

/// Chunks of an image of `bytes`.
pub const fn chunk_count(bytes: u64) -> u64 {
    bytes.div_ceil(CHUNK_BYTES as u64)
}

/// Parts of an image of `bytes`, without the thumbnail's; they are numbered from 0. At most 4 for sizes that are
/// allowed.
pub const fn part_count(bytes: u64) -> u32 {
    let parts = chunk_count(bytes).div_ceil(PART_CHUNKS_MAX as u64);
    if parts > u32::MAX as u64 { u32::MAX } else { parts as u32 }
}

/// Bytes of the file of chunk number `place` (from 0) of an image of `bytes`; `None` beyond its end.
pub const fn stored_bytes(bytes: u64, place: u64) -> Option<u32> {
    let start = place.saturating_mul(CHUNK_BYTES as u64);
    if start >= bytes {
        return None;
    }
    let left = bytes - start;
    let plain = if left > CHUNK_BYTES as u64 { CHUNK_BYTES } else { left as u32 };
    Some(plain + FRAME_BYTES)
}

/// Whether these can be the chunks of that part of an image of `bytes`: as many as there must be, each as long as it
/// must be. The same chunk may stand in several places: equal bytes of one patient are sealed equally.
pub fn fits(bytes: u64, part: u32, chunks: &[ChunkEntry]) -> bool {
    if part == PART_OF_THUMBNAIL {
        let lengths = FRAME_BYTES + 1..=THUMBNAIL_BYTES_MAX + FRAME_BYTES;
        return matches!(chunks, [only] if lengths.contains(&only.stored_bytes));
    }
    let first = u64::from(part).saturating_mul(PART_CHUNKS_MAX as u64);
    let expected = chunk_count(bytes).saturating_sub(first).min(PART_CHUNKS_MAX as u64);
    expected > 0
        && u64::try_from(chunks.len()) == Ok(expected)
        && (first..).zip(chunks).all(|(place, entry)| stored_bytes(bytes, place) == Some(entry.stored_bytes))
}

/// What a receipt for a part names: BLAKE3 over
/// `"plt1 part" | upload[16] | part u32 BE | count u32 BE | (chunk[32] | stored bytes u32 BE)*`.
pub fn part_digest(upload: UploadId, part: u32, chunks: &[ChunkEntry]) -> PartDigest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"plt1 part");
    hasher.update(upload.as_bytes());
    hasher.update(&part.to_be_bytes());
    // Bounded by the part's.
    hasher.update(&u32::try_from(chunks.len()).unwrap_or(u32::MAX).to_be_bytes());
    for entry in chunks {
        hasher.update(entry.chunk.as_bytes());
        hasher.update(&entry.stored_bytes.to_be_bytes());
    }
    PartDigest::from_bytes(*hasher.finalize().as_bytes())
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn chunks(bytes: u64, part: u32) -> Vec<ChunkEntry> {
        let first = u64::from(part) * 512;
        let lengths = (first..first + 512).map_while(|place| stored_bytes(bytes, place));
        lengths.map(|stored_bytes| ChunkEntry { chunk: ChunkId::default(), stored_bytes }).collect()
    }

    #[test]
    fn parts_and_chunks_add_up_to_the_size() {
        let mib = u64::from(CHUNK_BYTES);
        for bytes in [1, mib - 1, mib, mib + 1, 512 * mib - 1, 512 * mib, 512 * mib + 1, IMAGE_BYTES_MAX] {
            let parts = part_count(bytes);
            let all: Vec<_> = (0..parts).flat_map(|part| chunks(bytes, part)).collect();
            assert_eq!(all.len() as u64, chunk_count(bytes));
            let stored: u64 = all.iter().map(|entry| u64::from(entry.stored_bytes)).sum();
            assert_eq!(stored, bytes + 106 * chunk_count(bytes));
            for part in 0..parts {
                let good = chunks(bytes, part);
                assert!(fits(bytes, part, &good));
                assert!(!fits(bytes, part, &good[1..]), "one too few");
                let longer: Vec<_> = good.iter().chain(&good[..1]).copied().collect();
                assert!(!fits(bytes, part, &longer), "one too many");
                let mut odd = good.clone();
                odd[good.len() - 1].stored_bytes -= 1;
                assert!(!fits(bytes, part, &odd), "a chunk of another length");
            }
            assert!(!fits(bytes, parts, &chunks(bytes, parts)) && !fits(bytes, parts, &chunks(bytes, 0)));
        }
        assert_eq!((part_count(0), part_count(IMAGE_BYTES_MAX), part_count(u64::MAX)), (0, 4, u32::MAX));
        assert!(!fits(0, 0, &[]));
    }

    #[test]
    fn a_thumbnail_is_one_small_chunk() {
        let entry = |stored_bytes| ChunkEntry { chunk: ChunkId::default(), stored_bytes };
        let max = THUMBNAIL_BYTES_MAX + FRAME_BYTES;
        for (stored, good) in [(106, false), (107, true), (max, true), (max + 1, false)] {
            assert_eq!(fits(1, PART_OF_THUMBNAIL, &[entry(stored)]), good, "{stored}");
        }
        assert!(!fits(1, PART_OF_THUMBNAIL, &[]) && !fits(1, PART_OF_THUMBNAIL, &[entry(200), entry(200)]));
    }

    #[test]
    fn everything_about_a_part_enters_its_digest() {
        let entry = |n, stored_bytes| ChunkEntry { chunk: ChunkId::from_bytes([n; 32]), stored_bytes };
        let upload = |n| UploadId::from_bytes([n; 16]);
        let (a, b) = (entry(1, 200), entry(2, 300));
        let digests = [
            part_digest(upload(1), 0, &[a, b]),
            part_digest(upload(2), 0, &[a, b]),
            part_digest(upload(1), 1, &[a, b]),
            part_digest(upload(1), 0, &[b, a]),
            part_digest(upload(1), 0, &[a]),
            part_digest(upload(1), 0, &[a, entry(2, 301)]),
        ];
        let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(distinct.len(), digests.len());
    }
}
