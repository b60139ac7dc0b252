//! The Raft log as consensus sees it: ours on disk, or one that somebody else brings, as a simulation does to lose what was
//! not synced.

use super::wal::{Ballot, EntryId, LogEntry, Wal, WalError, WalState};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Called once, with the outcome of the sync.
pub type Synced = Box<dyn FnOnce(Result<(), WalError>) + Send>;

/// A log that somebody else brings. It promises what [`Wal`] does: entries are readable when the call returns, each `synced` is
/// called after the sync of everything before it, and nothing blocks.
pub trait ForeignLog: Send + Sync + 'static {
    /// As [`Wal::state`].
    fn state(&self) -> WalState;

    /// As [`Wal::read`].
    ///
    /// # Errors
    /// An entry cannot be read.
    fn read(&self, range: Range<u64>, bytes_max: Option<usize>) -> Result<Vec<LogEntry>, WalError>;

    /// As [`Wal::append`].
    ///
    /// # Errors
    /// The entries do not follow the last one.
    fn append(&self, entries: Vec<LogEntry>, synced: Synced) -> Result<(), WalError>;

    /// As [`Wal::save_vote`].
    ///
    /// # Errors
    /// The vote would go back.
    fn save_vote(&self, ballot: Ballot, synced: Synced) -> Result<(), WalError>;

    /// As [`Wal::save_committed`].
    fn save_committed(&self, committed: EntryId);

    /// As [`Wal::truncate_after`].
    fn truncate_after(&self, keep: Option<EntryId>);

    /// As [`Wal::purge`].
    fn purge(&self, upto: EntryId);
}

/// A handle of the open log; cheap to clone.
#[derive(Clone)]
pub enum Log {
    /// Ours.
    Wal(Wal),
    /// Somebody else's.
    Foreign(Arc<dyn ForeignLog>),
}

impl From<Wal> for Log {
    fn from(wal: Wal) -> Self {
        Self::Wal(wal)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.state()).finish()
    }
}

impl Log {
    /// As [`Wal::state`].
    pub fn state(&self) -> WalState {
        match self {
            Self::Wal(wal) => wal.state(),
            Self::Foreign(log) => log.state(),
        }
    }

    /// As [`Wal::read`].
    ///
    /// # Errors
    /// See [`WalError`]; so for each call below.
    pub async fn read(&self, range: Range<u64>, bytes_max: Option<usize>) -> Result<Vec<LogEntry>, WalError> {
        match self {
            Self::Wal(wal) => wal.read(range, bytes_max).await,
            Self::Foreign(log) => log.read(range, bytes_max),
        }
    }

    /// As [`Wal::append`].
    ///
    /// # Errors
    /// See [`WalError`].
    pub async fn append(
        &self,
        entries: Vec<LogEntry>,
        synced: impl FnOnce(Result<(), WalError>) + Send + 'static,
    ) -> Result<(), WalError> {
        match self {
            Self::Wal(wal) => wal.append(entries, synced).await,
            Self::Foreign(log) => log.append(entries, Box::new(synced)),
        }
    }

    /// As [`Wal::save_vote`].
    ///
    /// # Errors
    /// See [`WalError`].
    pub async fn save_vote(&self, ballot: Ballot) -> Result<(), WalError> {
        match self {
            Self::Wal(wal) => wal.save_vote(ballot).await,
            Self::Foreign(log) => {
                let (sender, saved) = oneshot::channel();
                log.save_vote(ballot, Box::new(move |outcome| drop(sender.send(outcome))))?;
                saved.await.unwrap_or(Err(WalError::Closed))
            }
        }
    }

    /// As [`Wal::save_committed`].
    ///
    /// # Errors
    /// See [`WalError`].
    pub async fn save_committed(&self, committed: Option<EntryId>) -> Result<(), WalError> {
        match (self, committed) {
            (Self::Wal(wal), committed) => return wal.save_committed(committed).await,
            (Self::Foreign(log), Some(committed)) => log.save_committed(committed),
            (Self::Foreign(_), None) => {}
        }
        Ok(())
    }

    /// As [`Wal::truncate_after`].
    ///
    /// # Errors
    /// See [`WalError`].
    pub async fn truncate_after(&self, keep: Option<EntryId>) -> Result<(), WalError> {
        match self {
            Self::Wal(wal) => return wal.truncate_after(keep).await,
            Self::Foreign(log) => log.truncate_after(keep),
        }
        Ok(())
    }

    /// As [`Wal::purge`].
    ///
    /// # Errors
    /// See [`WalError`].
    pub async fn purge(&self, upto: EntryId) -> Result<(), WalError> {
        match self {
            Self::Wal(wal) => return wal.purge(upto).await,
            Self::Foreign(log) => log.purge(upto),
        }
        Ok(())
    }

    /// Waits until the log has failed, and says why. Cancel safe. The node must stop then.
    pub async fn failed(&self) -> WalError {
        match self {
            Self::Wal(wal) => wal.failed().await,
            Self::Foreign(_) => std::future::pending().await,
        }
    }

    /// As [`Wal::close`].
    ///
    /// # Errors
    /// See [`WalError`].
    pub async fn close(&self) -> Result<(), WalError> {
        match self {
            Self::Wal(wal) => wal.close().await,
            Self::Foreign(_) => Ok(()),
        }
    }
}
