//! Which chunks of open uploads this node was given, in memory: what another node needs to go on with an upload whose
//! node is gone. Nothing here is trusted: whoever asks verifies each chunk, and what is forgotten is sent again.

use plantao_domain::{ChunkId, UploadId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Uploads that are remembered; the one that began first goes first. Twice as many as a node takes at once.
const UPLOADS_MAX: usize = 256;
/// Chunks of the largest image.
pub const NOTES_MAX: usize = 2_048;

/// One chunk of an upload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note {
    /// Number of the chunk, from 0.
    pub sequence: u32,
    /// Its id.
    pub chunk: ChunkId,
    /// Bytes of its file.
    pub stored_bytes: u32,
}

#[derive(Default)]
struct Inner {
    uploads: BTreeMap<UploadId, BTreeMap<u32, (ChunkId, u32)>>,
    order: VecDeque<UploadId>,
}

/// The notes of one node: at most [`UPLOADS_MAX`] times [`NOTES_MAX`], about 20 MiB if all were of the largest size.
#[derive(Default)]
pub struct Notes(Mutex<Inner>);

impl Notes {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A chunk of an upload is here. A later one of the same number takes its place.
    pub fn note(&self, upload: UploadId, note: Note) {
        if usize::try_from(note.sequence).map_or(true, |sequence| sequence >= NOTES_MAX) {
            return;
        }
        let mut inner = self.inner();
        if !inner.uploads.contains_key(&upload) {
            if inner.order.len() >= UPLOADS_MAX
                && let Some(oldest) = inner.order.pop_front()
            {
                inner.uploads.remove(&oldest);
            }
            inner.order.push_back(upload);
        }
        inner.uploads.entry(upload).or_default().insert(note.sequence, (note.chunk, note.stored_bytes));
    }

    /// What is known of an upload, in order.
    pub fn of(&self, upload: UploadId) -> Vec<Note> {
        let inner = self.inner();
        let notes = inner.uploads.get(&upload).into_iter().flatten();
        notes
            .map(|(sequence, (chunk, stored_bytes))| Note {
                sequence: *sequence,
                chunk: *chunk,
                stored_bytes: *stored_bytes,
            })
            .collect()
    }

    /// The upload ended.
    pub fn forget(&self, upload: UploadId) {
        let mut inner = self.inner();
        if inner.uploads.remove(&upload).is_some() {
            inner.order.retain(|other| *other != upload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(n: u16) -> UploadId {
        let mut bytes = [1; 16];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        UploadId::from_bytes(bytes)
    }

    fn note(sequence: u32, byte: u8) -> Note {
        Note { sequence, chunk: ChunkId::from_bytes([byte; 32]), stored_bytes: 107 }
    }

    #[test]
    fn notes_are_in_order_and_bounded() {
        let notes = Notes::default();
        for sequence in [2, 0, 2, 1] {
            notes.note(upload(1), note(sequence, 7));
        }
        notes.note(upload(1), note(1, 8));
        // No image has so many chunks.
        notes.note(upload(1), note(2_048, 7));
        assert_eq!(notes.of(upload(1)), [note(0, 7), note(1, 8), note(2, 7)]);
        for n in 2..=256 {
            notes.note(upload(n), note(0, 1));
        }
        assert_eq!(notes.of(upload(1)).len(), 3);
        notes.note(upload(257), note(0, 1));
        assert!(notes.of(upload(1)).is_empty() && !notes.of(upload(2)).is_empty(), "the first goes");
        notes.forget(upload(3));
        notes.note(upload(258), note(0, 1));
        assert!(!notes.of(upload(2)).is_empty() && notes.of(upload(3)).is_empty());
    }
}
