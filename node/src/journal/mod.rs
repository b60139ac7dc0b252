//! The journal of reads: an entry is on this disk before the answer that it is about leaves the node.
//!
//! ```text
//! note ──► queue ──► writer thread: many entries, one write, one fdatasync ──► answers go out
//!                          │ segments journal/<first sequence>.seg
//! submitter ◄──────────────┘ NoteReads of at most 256 entries ──► the replicated trail ──► old segments removed
//! ```
//! Entries are sealed with the node's storage key. The trail drops what it has seen by (node, journal, sequence), so a
//! batch that is sent again is harmless. A journal directory that was lost gets a new id: sequences never repeat.

pub(crate) mod segment;
mod writer;

use crate::crypto::JournalSeal;
use plantao_domain::command::ReadNote;
use plantao_domain::{Actor, ClusterTime, JournalId, PatientId, audit::Object};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

pub use segment::{Cut, JournalError};

/// Entries that may wait for the writer.
const QUEUE_MAX: usize = 4096;

/// A read that is to be noted; the journal adds the sequence.
#[derive(Clone, Debug)]
pub struct Read {
    /// Who.
    pub actor: Actor,
    /// When.
    pub at: ClusterTime,
    /// What.
    pub object: Object,
    /// Whose.
    pub patient: Option<PatientId>,
    /// Which version the answer shows; `None`: the read is refused.
    pub shown: Option<u32>,
}

/// Why a read cannot be noted: it must not be answered then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The reserve is used up: the log took nothing for too long.
    #[error("the journal of reads is full")]
    Full,
    /// The disk failed; the node must stop.
    #[error("the journal of reads cannot be written")]
    Broken,
}

/// What the journal looks like from outside.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Backlog {
    /// Last sequence on disk.
    pub written: u64,
    /// Last sequence that the trail has.
    pub submitted: u64,
    /// Whether a write or a sync failed.
    pub broken: bool,
}

impl Backlog {
    /// Entries that the trail does not have yet.
    pub const fn waiting(&self) -> u64 {
        self.written.saturating_sub(self.submitted)
    }
}

/// Where a journal is and how it seals.
pub struct Options {
    /// `DataDir::journal`.
    pub directory: PathBuf,
    /// Bytes of segments at which notes are refused.
    pub bytes_max: u64,
    /// A new journal's id, used when the directory has none.
    pub fresh_id: JournalId,
    /// Makes the sealing once the id is known.
    pub seal: Box<dyn FnOnce(JournalId) -> JournalSeal + Send>,
}

/// The journal; cheap to clone.
#[derive(Clone)]
pub struct Journal {
    id: JournalId,
    queue: mpsc::Sender<writer::Request>,
    backlog: watch::Receiver<Backlog>,
    shared: Arc<Mutex<segment::Segments>>,
    submitted: Arc<watch::Sender<Backlog>>,
}

impl Journal {
    /// Opens the directory, reads back what the trail may lack, and starts the writer.
    ///
    /// # Errors
    /// See [`JournalError`]. A torn last entry is dropped: its answer never left.
    pub fn open(options: Options) -> Result<Self, JournalError> {
        let (id, segments) =
            segment::Segments::open(options.directory, options.fresh_id, options.bytes_max, options.seal)?;
        let start = Backlog { written: segments.last(), submitted: segments.first().saturating_sub(1), broken: false };
        let (backlog_sender, backlog) = watch::channel(start);
        let shared = Arc::new(Mutex::new(segments));
        let submitted = Arc::new(backlog_sender);
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        writer::start(Arc::clone(&shared), Arc::clone(&submitted), requests).map_err(JournalError::Thread)?;
        Ok(Self { id, queue, backlog, shared, submitted })
    }

    /// What a start could not keep of its end.
    pub fn cut(&self) -> Option<Cut> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).cut()
    }

    /// Its id.
    pub fn id(&self) -> JournalId {
        self.id
    }

    /// Returns when the entry is synced. Not cancel safe in the sense that the entry may be written all the same, which is
    /// harmless: a note of an answer that never left.
    ///
    /// # Errors
    /// See [`NoteError`]: the read must be refused.
    pub async fn note(&self, read: Read) -> Result<(), NoteError> {
        let (answer, synced) = oneshot::channel();
        self.queue.send(writer::Request { read, answer }).await.map_err(|_| NoteError::Broken)?;
        synced.await.map_err(|_| NoteError::Broken)?
    }

    /// The state, and each change of it.
    pub fn backlog(&self) -> watch::Receiver<Backlog> {
        self.backlog.clone()
    }

    /// At most `limit` entries after `sequence`, in order.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn after(&self, sequence: u64, limit: usize) -> Result<Vec<ReadNote>, JournalError> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).after(sequence, limit)
    }

    /// The trail has everything up to `sequence`: segments that end there are removed.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn forget_through(&self, sequence: u64) -> Result<(), JournalError> {
        let removed = self.shared.lock().unwrap_or_else(PoisonError::into_inner).forget_through(sequence);
        self.submitted.send_modify(|backlog| backlog.submitted = backlog.submitted.max(sequence));
        removed
    }

    /// After the directory was lost and the trail knows this journal further than the disk does, or after a start:
    /// sequences go on behind `sequence`.
    pub fn continue_after(&self, sequence: u64) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).continue_after(sequence);
        self.submitted.send_modify(|backlog| {
            backlog.submitted = backlog.submitted.max(sequence);
            backlog.written = backlog.written.max(sequence);
        });
    }
}

#[cfg(test)]
mod tests;
