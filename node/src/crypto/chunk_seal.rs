//! Chunks of images, sealed under the data key of their patient and named by what they became.
//!
//! ```text
//! uniq     = BLAKE3 keyed by key.id over the plaintext
//! context  = cluster, patient, object = nothing, version 0, kind 48, schema 1
//! chunk id = BLAKE3 of the frame
//! ```
//! The context names no image and no position: equal bytes of one patient become the same frame wherever they stand, so
//! that an upload that is tried again meets its own chunks, and two images of one patient share them. Which chunk
//! belongs where is said by the manifest, in chunk ids, and an id is a digest of its frame (decision 0010). Equal bytes
//! of two patients never look alike, because `key.id` differs.

use super::seal::{Context, DataKey, Kind, OVERHEAD_BYTES, OpenError, Owner, open, seal};
use plantao_domain::{ChunkId, ClusterId, PatientId};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Longest plaintext of a chunk: images are cut into pieces of this size, the last one shorter.
pub const CHUNK_PLAINTEXT_BYTES_MAX: usize = 1 << 20;
/// Longest sealed chunk.
pub const CHUNK_BYTES_MAX: usize = CHUNK_PLAINTEXT_BYTES_MAX + OVERHEAD_BYTES;

const SCHEMA: u16 = 1;

/// A chunk as it travels and rests.
pub struct SealedChunk {
    /// BLAKE3 of `frame`.
    pub id: ChunkId,
    /// The frame.
    pub frame: Vec<u8>,
}

/// Why a chunk did not give its plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenChunkError {
    /// Not the chunk that was asked for: rotten, or another one.
    #[error("the bytes are not chunk {id}")]
    OtherBytes {
        /// The chunk that was asked for.
        id: ChunkId,
    },
    /// It is sealed under another key, for another patient, or not at all.
    #[error("chunk {id} does not open")]
    Seal {
        /// The chunk.
        id: ChunkId,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// It opens, but whoever sealed it did not derive `uniq` from the plaintext.
    #[error("chunk {id} was not sealed from its own content")]
    Uniq {
        /// The chunk.
        id: ChunkId,
    },
}

/// The name of a sealed chunk.
pub fn chunk_id(frame: &[u8]) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(frame).as_bytes())
}

/// Seals one piece of at most [`CHUNK_PLAINTEXT_BYTES_MAX`] bytes, which the caller sees to. The same piece of the same
/// patient always gives the same chunk.
pub fn seal_chunk(cluster: ClusterId, patient: PatientId, key: &DataKey, plaintext: &[u8]) -> SealedChunk {
    let frame = seal(key, &context(cluster, patient), plaintext, &uniq(key, plaintext));
    SealedChunk { id: chunk_id(&frame), frame }
}

/// Opens chunk `id` of `patient`, of which somebody says that `frame` is it.
///
/// # Errors
/// The bytes are not that chunk, or it is not one of that patient under that key.
pub fn open_chunk(
    cluster: ClusterId,
    patient: PatientId,
    key: &DataKey,
    id: ChunkId,
    frame: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenChunkError> {
    if chunk_id(frame) != id {
        return Err(OpenChunkError::OtherBytes { id });
    }
    let plaintext =
        open(key, &context(cluster, patient), frame).map_err(|source| OpenChunkError::Seal { id, source })?;
    // Bytes 26 to 57 of a frame that opened are its `uniq`.
    let stated = frame.get(26..58).unwrap_or_default();
    if !bool::from(uniq(key, &plaintext).as_slice().ct_eq(stated)) {
        return Err(OpenChunkError::Uniq { id });
    }
    Ok(plaintext)
}

fn uniq(key: &DataKey, plaintext: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(key.identity(), plaintext).as_bytes()
}

fn context(cluster: ClusterId, patient: PatientId) -> Context<'static> {
    Context {
        cluster,
        owner: Owner::Patient(patient),
        object: &[],
        object_version: 0,
        kind: Kind::Chunk,
        schema: SCHEMA,
    }
}

#[cfg(test)]
#[path = "chunk_seal_tests.rs"]
mod tests;
