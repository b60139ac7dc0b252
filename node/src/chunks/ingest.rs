//! The pure part of taking an image in: cutting the stream into chunks, and checking the whole against what was
//! declared. Sealing, storing and acknowledging are the caller's.
//!
//! ```text
//! bytes in any pieces ─► [up to 1 MiB held] ─► chunk 0, chunk 1, … ─► finish: SHA-256, length
//!                                           │ the first one is held against the declared type before it is given on
//! ```
//! An upload that goes on after a cut is a new [`Cutter`] that is given the same bytes from the beginning: the same
//! chunks come out, and the store has them. Where the client does not send them again, the ingress reads its own
//! copies.

use super::content_type::{ContentType, DICOM_PREAMBLE_BYTES, SNIFFED_BYTES, has_dicom_preamble, told};
use crate::crypto::chunk_seal::CHUNK_PLAINTEXT_BYTES_MAX;
use sha2::{Digest, Sha256};
use std::ops::Range;
use zeroize::Zeroizing;

/// Largest image (DESIGN section 12): 2 GiB, or 2,048 chunks.
pub const IMAGE_BYTES_MAX: u64 = 2 << 30;
/// Bytes of each chunk but the last.
pub const CHUNK_PLAINTEXT_BYTES: u64 = CHUNK_PLAINTEXT_BYTES_MAX as u64;

/// What whoever uploads says beforehand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Declared {
    /// Length of the whole.
    pub bytes: u64,
    /// What it is.
    pub content_type: ContentType,
    /// SHA-256 of the whole, where it is known beforehand; it may also come with the end.
    pub sha256: Option<[u8; 32]>,
}

/// What was taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whole {
    /// Length.
    pub bytes: u64,
    /// How many chunks.
    pub chunks: u32,
    /// SHA-256 of exactly the bytes that came.
    pub sha256: [u8; 32],
    /// SHA-256 of the same with the preamble zeroed, where it is DICOM with a preamble that is not: what an export
    /// gives.
    pub export_sha256: Option<[u8; 32]>,
}

/// Why an image is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// No image has no bytes.
    #[error("an image has at least one byte")]
    Empty,
    /// Over the bound.
    #[error("an image has at most {IMAGE_BYTES_MAX} bytes, not {bytes}")]
    TooLarge {
        /// What was declared.
        bytes: u64,
    },
    /// More came than was declared.
    #[error("more than the declared {declared} bytes came")]
    TooLong {
        /// What was declared.
        declared: u64,
    },
    /// The end came early.
    #[error("{bytes} of the declared {declared} bytes came")]
    TooShort {
        /// What came.
        bytes: u64,
        /// What was declared.
        declared: u64,
    },
    /// It begins like something else.
    #[error("the content was declared as {declared} and begins like {}", told(*found))]
    OtherType {
        /// What was declared.
        declared: ContentType,
        /// What it is; `None` for nothing that is taken.
        found: Option<ContentType>,
    },
    /// The bytes are not those that were meant.
    #[error("the content does not match its SHA-256")]
    OtherDigest,
    /// It was refused before; nothing more is taken.
    #[error("this upload was refused already")]
    Refused,
}

/// Cuts one image. Holds at most one chunk of it, which is wiped.
pub struct Cutter {
    declared: Declared,
    held: Zeroizing<Vec<u8>>,
    bytes: u64,
    chunks: u32,
    sha256: Sha256,
    export_sha256: Option<Sha256>,
    refused: bool,
}

impl Cutter {
    /// For an image as declared.
    ///
    /// # Errors
    /// No bytes, or too many.
    pub fn new(declared: Declared) -> Result<Self, IngestError> {
        match declared.bytes {
            0 => Err(IngestError::Empty),
            bytes if bytes > IMAGE_BYTES_MAX => Err(IngestError::TooLarge { bytes }),
            bytes => {
                let room = usize::try_from(bytes.min(CHUNK_PLAINTEXT_BYTES)).unwrap_or(CHUNK_PLAINTEXT_BYTES_MAX);
                Ok(Self {
                    declared,
                    held: Zeroizing::new(Vec::with_capacity(room)),
                    bytes: 0,
                    chunks: 0,
                    sha256: Sha256::new(),
                    export_sha256: None,
                    refused: false,
                })
            }
        }
    }

    /// Bytes taken so far: what the next piece must begin with.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes and gives each chunk that is full, and the last one, to `chunk`. After an error nothing is taken any more.
    ///
    /// # Errors
    /// Too long, another type, or what `chunk` says.
    pub fn push<E: From<IngestError>>(
        &mut self,
        mut piece: &[u8],
        mut chunk: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.refused {
            return Err(IngestError::Refused.into());
        }
        // Until the end of this call, an error of any sort leaves the cutter refused.
        self.refused = true;
        if self.bytes + piece.len() as u64 > self.declared.bytes {
            return Err(IngestError::TooLong { declared: self.declared.bytes }.into());
        }
        self.bytes += piece.len() as u64;
        while !piece.is_empty() {
            let room = CHUNK_PLAINTEXT_BYTES_MAX - self.held.len();
            let (now, later) = piece.split_at(room.min(piece.len()));
            self.held.extend_from_slice(now);
            piece = later;
            if self.held.len() == CHUNK_PLAINTEXT_BYTES_MAX {
                self.cut(&mut chunk)?;
            }
        }
        // The last one need not wait for somebody to say that it was the last.
        if self.bytes == self.declared.bytes && !self.held.is_empty() {
            self.cut(&mut chunk)?;
        }
        self.refused = false;
        Ok(())
    }

    /// The end: checks the whole. `sha256` is what the sender says at the end, if it does.
    ///
    /// # Errors
    /// Too short, or another digest. Chunks given before are garbage then.
    pub fn finish(self, sha256: Option<[u8; 32]>) -> Result<Whole, IngestError> {
        if self.refused {
            return Err(IngestError::Refused);
        }
        if self.bytes < self.declared.bytes {
            return Err(IngestError::TooShort { bytes: self.bytes, declared: self.declared.bytes });
        }
        let found: [u8; 32] = self.sha256.finalize().into();
        if [self.declared.sha256, sha256].into_iter().flatten().any(|wanted| wanted != found) {
            return Err(IngestError::OtherDigest);
        }
        let export_sha256 = self.export_sha256.map(|hasher| hasher.finalize().into());
        Ok(Whole { bytes: self.bytes, chunks: self.chunks, sha256: found, export_sha256 })
    }

    fn cut<E: From<IngestError>>(&mut self, chunk: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.chunks == 0 {
            let head = &self.held[..self.held.len().min(SNIFFED_BYTES)];
            let found = ContentType::sniff(head);
            if found != Some(self.declared.content_type) {
                return Err(IngestError::OtherType { declared: self.declared.content_type, found }.into());
            }
            if has_dicom_preamble(head) {
                let zeros = [0; DICOM_PREAMBLE_BYTES];
                let rest = &self.held[DICOM_PREAMBLE_BYTES..];
                self.export_sha256 = Some(Sha256::new().chain_update(zeros).chain_update(rest));
            }
        } else if let Some(hasher) = &mut self.export_sha256 {
            hasher.update(&*self.held);
        }
        self.sha256.update(&*self.held);
        chunk(&self.held)?;
        self.chunks += 1;
        self.held.clear();
        Ok(())
    }
}

/// The part of one chunk that a range of an image needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// Which chunk, from 0.
    pub chunk: u32,
    /// Which bytes of its plaintext.
    pub bytes: Range<usize>,
}

/// The chunks that hold `range` of an image of `image_bytes`, in order, without gap. What lies beyond the end is left
/// out.
pub fn slices(image_bytes: u64, range: Range<u64>) -> impl Iterator<Item = Slice> {
    let end = range.end.min(image_bytes).min(IMAGE_BYTES_MAX);
    let start = range.start.min(end);
    let chunks = start / CHUNK_PLAINTEXT_BYTES..end.div_ceil(CHUNK_PLAINTEXT_BYTES);
    let chunks = if start == end { 0..0 } else { chunks };
    chunks.map(move |chunk| {
        let base = chunk * CHUNK_PLAINTEXT_BYTES;
        let within = |at: u64| usize::try_from(at.clamp(base, base + CHUNK_PLAINTEXT_BYTES) - base).unwrap_or_default();
        Slice { chunk: u32::try_from(chunk).unwrap_or_default(), bytes: within(start)..within(end) }
    })
}

#[cfg(test)]
#[path = "ingest_tests.rs"]
mod tests;
