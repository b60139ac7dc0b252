//! What can go wrong with the log, and what a person is to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{PAYLOAD_BYTES_MAX, Survey};
use crate::storage::fs::FsError;
use crate::storage::seal::OpenError;
use crate::storage::watermark::{LogIdentity, WatermarkError};

/// Why a call failed. Every one but [`OutOfOrder`](Self::OutOfOrder), [`VoteGoesBack`](Self::VoteGoesBack) and
/// [`TooLarge`](Self::TooLarge) means that the node must stop.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalError {
    /// Since then nothing is written any more.
    #[error("a write or sync of the raft log failed, so the log has stopped")]
    Failed {
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// Without its witness the log is not to go on.
    #[error("the watermark of the raft log could not be written, so the log has stopped")]
    Watermark {
        /// Why.
        #[source]
        source: Arc<WatermarkError>,
    },
    /// The log was closed.
    #[error("the raft log is closed")]
    Closed,
    /// An appended entry does not follow the last one. Nothing was appended.
    #[error("entry {found} was appended where entry {expected} must follow")]
    OutOfOrder {
        /// The index that must come next.
        expected: u64,
        /// The index that came.
        found: u64,
    },
    /// A vote before the one that was saved. Nothing was saved.
    #[error("a vote was to be replaced by an earlier one")]
    VoteGoesBack,
    /// Nothing was appended.
    #[error("the payload of entry {index} has {bytes} bytes, of at most {PAYLOAD_BYTES_MAX}")]
    TooLarge {
        /// Which entry.
        index: u64,
        /// Its size.
        bytes: usize,
    },
    /// Its seal does not hold: damage since it was written, or another storage key.
    #[error("entry {index} of the raft log does not open")]
    Sealed {
        /// Which entry.
        index: u64,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// An entry that must be there is not, or cannot be read.
    #[error("entry {index} of the raft log cannot be read")]
    Unreadable {
        /// The first one that is missing.
        index: u64,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
}

/// Why a log was not opened. Nothing but [`InUse`](Self::InUse) and [`File`](Self::File) goes away by itself: the node
/// is to come back under a fresh id, which `plantaod join` gives it.
#[derive(Debug, thiserror::Error)]
pub enum OpenWalError {
    /// A log, or its watermark, is there already.
    #[error("the raft log in {directory} exists already and has been used")]
    Exists {
        /// The log's directory.
        directory: PathBuf,
    },
    /// The watermark is there, the log is not: the disk was wiped or replaced.
    #[error(
        "the raft log in {directory} is gone, while the watermark says that node {node} had one: it may have promised \
         entries and votes that it no longer knows, so it must never vote again under this id; remove node {node} from \
         the cluster and join with an empty data directory under a fresh id"
    )]
    LogMissing {
        /// The log's directory.
        directory: PathBuf,
        /// Whose log it was.
        node: u64,
    },
    /// Neither is there. For a node that has an identity this is a wiped disk.
    #[error(
        "there is neither a raft log in {directory} nor a watermark: if this node was ever part of a cluster, its disk \
         was wiped, and it must join with an empty data directory under a fresh id"
    )]
    NeverCreated {
        /// The log's directory.
        directory: PathBuf,
    },
    /// The log is there, but nothing says how far it had come.
    #[error(
        "the raft log in {directory} has no valid watermark, so nobody can tell whether its end is missing: the node \
         must not vote with it; join with an empty data directory under a fresh id"
    )]
    NoWatermark {
        /// The log's directory.
        directory: PathBuf,
        /// What is wrong with it.
        #[source]
        source: WatermarkError,
    },
    /// Files of another node or cluster.
    #[error(
        "the raft log in {directory} belongs to node {} of cluster {}, not to node {} of cluster {}: the data \
         directory is another node's", found.node, found.cluster, expected.node, expected.cluster
    )]
    WrongIdentity {
        /// The log's directory.
        directory: PathBuf,
        /// Who this node is.
        expected: LogIdentity,
        /// Whose watermark it is.
        found: LogIdentity,
    },
    /// Less than was acknowledged.
    #[error(
        "the raft log in {directory} is behind its watermark: {what} was {}, and is {}; what node {node} had promised \
         to the cluster is lost, so it must never vote again under this id; remove node {node} from the cluster and \
         join with an empty data directory under a fresh id",
        Shown(mark),
        Shown(log)
    )]
    BehindWatermark {
        /// The log's directory.
        directory: PathBuf,
        /// Whose log it is.
        node: u64,
        /// Which of the three is behind.
        what: Promise,
        /// What the watermark says.
        mark: Option<String>,
        /// What the log says.
        log: Option<String>,
    },
    /// Bytes that are not as they were written.
    #[error(
        "the raft log in {directory} is damaged, and not only at its end as by a crash{survey}: the node must not vote \
         with it; remove it from the cluster and join with an empty data directory under a fresh id"
    )]
    Damaged {
        /// The log's directory.
        directory: PathBuf,
        /// Which entries are still whole.
        survey: Box<Survey>,
        /// What the engine found.
        #[source]
        source: io::Error,
    },
    /// Entries in the middle or at the start are not there.
    #[error(
        "the raft log in {directory} lacks entries before its last one: a file of it is gone; the node must not vote \
         with it; remove it from the cluster and join with an empty data directory under a fresh id"
    )]
    Hole {
        /// The log's directory.
        directory: PathBuf,
    },
    /// Every byte is as it was written, but the storage key is another one.
    #[error("entry {index} of the raft log in {directory} does not open: is this the storage key of this node?")]
    Sealed {
        /// The log's directory.
        directory: PathBuf,
        /// The entry that was tried.
        index: u64,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// Another process has it open.
    #[error("the raft log in {directory} is in use by another process")]
    InUse {
        /// The log's directory.
        directory: PathBuf,
    },
    /// A file cannot be used.
    #[error("cannot use the files of the raft log")]
    File(#[source] FsError),
    /// The watermark cannot be used.
    #[error("cannot use the watermark of the raft log")]
    Watermark(#[source] WatermarkError),
    /// The directory cannot be read, or a thread not be started.
    #[error("cannot open the raft log in {directory}")]
    Io {
        /// The log's directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a watermark holds a log to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// The last synced entry.
    LastEntry,
    /// The last purged entry.
    PurgedEntry,
    /// The vote.
    Vote,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LastEntry => "the last entry",
            Self::PurgedEntry => "the last purged entry",
            Self::Vote => "the vote",
        })
    }
}

struct Shown<'a>(&'a Option<String>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("none"))
    }
}
