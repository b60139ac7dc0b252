//! What can go wrong with a chunk on this disk, one variant per decision of the caller. Nothing here names a patient or
//! an image; a chunk's id is a digest of sealed bytes.

use crate::storage::fs::FsError;
use crate::storage::lock::LockError;
use plantao_domain::ChunkId;
use std::io;

/// Why the chunk directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// A file or directory of it cannot be made, read or listed.
    #[error("cannot use the chunk directory")]
    Directory(#[source] FsError),
    /// Another node has it: two nodes on one directory would count one copy twice.
    #[error("cannot take the chunk directory")]
    Lock(#[source] LockError),
}

/// Why a chunk was not taken. No variant leaves anything under the chunk's name that was not there before, except that
/// a bad copy may have been set aside.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// No bytes, or more than a chunk has.
    #[error("a chunk has 1 to {bytes_max} bytes, not {bytes}")]
    Size {
        /// How many came.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// They are not the chunk they are said to be.
    #[error("the bytes are not chunk {id}")]
    OtherBytes {
        /// The chunk that was announced.
        id: ChunkId,
    },
    /// The disk has no room, or what is left is reserved for the log and the state. Nothing was kept; the node serves
    /// on.
    #[error("the disk of the chunk directory is full: {free_bytes} bytes are free and {reserve_bytes} are reserved")]
    Full {
        /// Free for this process.
        free_bytes: u64,
        /// Kept for others.
        reserve_bytes: u64,
    },
    /// The system cannot write the file.
    #[error("cannot {operation} a chunk file")]
    Write {
        /// What was tried, as a verb.
        operation: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A sync failed just now: no chunk is taken until the node has been restarted.
    #[error("a sync of the chunk directory failed")]
    Sync(#[source] io::Error),
    /// A sync failed earlier: what the system holds in memory cannot be trusted to reach the disk.
    #[error("no chunk is taken since a sync failed; restart the node")]
    Poisoned,
    /// The chunk directory was removed while the node runs.
    #[error("the chunk directory is gone")]
    Lost,
    /// The worker that wrote ended without an answer: nobody knows whether the chunk is there, and trying again is
    /// harmless.
    #[error("the worker that wrote the chunk was stopped")]
    Stopped,
}

impl PutError {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Size { .. } | Self::OtherBytes { .. } => "send the chunk again, whole",
            Self::Full { .. } => "free space on the disk of chunks.directory, or move the directory to a larger disk",
            Self::Write { .. } | Self::Sync(_) | Self::Poisoned => {
                "look for disk errors in the system's journal, then restart the node"
            }
            Self::Lost => "put the chunk directory back or let the node make a new one; repair fills it",
            Self::Stopped => "try again",
        }
    }
}

/// What is wrong with a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It has no bytes, or more than a chunk has.
    Length,
    /// Its bytes are not those that its name promises: rotten, cut short, or swapped.
    Digest,
    /// A directory, a link or a device stands in its place.
    NotAFile,
    /// The disk does not give it back.
    Unreadable,
}

impl Fault {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Length, Self::Digest, Self::NotAFile, Self::Unreadable];

    /// One lowercase word, for metrics and reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Digest => "digest",
            Self::NotAFile => "not_a_file",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Why a chunk was not given.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// It is not here.
    #[error("chunk {id} is not here")]
    Missing {
        /// The chunk.
        id: ChunkId,
    },
    /// It was here and bad; now it is set aside, so that repair fetches it again.
    #[error("the copy of chunk {id} was bad and is set aside")]
    SetAside {
        /// The chunk.
        id: ChunkId,
        /// What was wrong with it.
        fault: Fault,
    },
    /// Nothing is known about the copy: the system could not be asked (too many open files, no memory). Try again.
    #[error("cannot read chunk {id}")]
    Read {
        /// The chunk.
        id: ChunkId,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The worker that read ended without an answer.
    #[error("the worker that read the chunk was stopped")]
    Stopped,
}

impl GetError {
    /// Whether this node has no good copy, so that another must be asked and repair has work to do.
    pub fn is_missing_here(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::SetAside { .. })
    }
}

/// Why a chunk was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The system refused to remove the file.
    #[error("cannot remove chunk {id}")]
    Remove {
        /// The chunk.
        id: ChunkId,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The name is gone, but it is not known whether for good.
    #[error("a sync of the chunk directory failed")]
    Sync(#[source] io::Error),
    /// A sync failed earlier.
    #[error("nothing is removed since a sync failed; restart the node")]
    Poisoned,
    /// The worker ended without an answer: trying again is harmless.
    #[error("the worker that removed the chunk was stopped")]
    Stopped,
}
