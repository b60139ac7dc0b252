//! Why an image was not taken, or not given. Turned into a gRPC status in one place ([`crate::api`]).

use crate::chunks::ContentType;
use crate::chunks::content_type::told;
use crate::gateway;
use plantao_domain::{Rejection, ViewFault};

/// Each variant is one thing that a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Rights, form, keys, the log: as everything else.
    #[error(transparent)]
    Gateway(#[from] gateway::Error),
    /// Chunks are missing before this one.
    #[error("chunk {sequence} came, and {next} is the next one")]
    Gap {
        /// What came.
        sequence: u32,
        /// What is missing.
        next: u32,
    },
    /// Not a whole chunk.
    #[error("chunk {sequence} has {bytes} bytes instead of {expected}")]
    ChunkLength {
        /// Which.
        sequence: u32,
        /// What came.
        bytes: usize,
        /// What its place says; 0 beyond the end.
        expected: usize,
    },
    /// It was sent before, with another content.
    #[error("chunk {sequence} was sent before with other bytes")]
    OtherBytes {
        /// Which.
        sequence: u32,
    },
    /// It begins like something else.
    #[error("the content was declared as {declared} and begins like {}", told(*found))]
    OtherType {
        /// What was declared.
        declared: ContentType,
        /// What it is; `None` for nothing that is taken.
        found: Option<ContentType>,
    },
    /// Not the bytes that were meant.
    #[error("the content does not match its SHA-256")]
    OtherDigest,
    /// Not the size that was declared.
    #[error("the end says {said} bytes, and {declared} were declared")]
    OtherSize {
        /// What the end says.
        said: u64,
        /// What the beginning said.
        declared: u64,
    },
    /// The end came before the last chunk.
    #[error("{next} of {chunks} chunks came")]
    Incomplete {
        /// Chunks that came.
        next: u32,
        /// How many there are.
        chunks: u32,
    },
    /// Another call for the same upload took over.
    #[error("a later call goes on with this upload")]
    Superseded,
    /// This node keeps no chunks now.
    #[error("this node's chunk directory takes nothing")]
    NoStore,
    /// The disk of chunks is full here.
    #[error("the disk of this node's chunk directory is full")]
    Full,
    /// More images are on their way in or out than this node takes.
    #[error("too many images are under way on this node")]
    Busy,
    /// No node that has a part of the image answers with good bytes.
    #[error("no good copy of a part of the image can be reached")]
    NoCopy,
    /// Reading it is blocked.
    #[error("{0}")]
    Blocked(Rejection),
    /// The network would refuse it.
    #[error("{0}")]
    Refused(Rejection),
    /// There is no such variant of it.
    #[error("the image has no thumbnail")]
    NoThumbnail,
}

impl From<ViewFault> for Error {
    fn from(fault: ViewFault) -> Self {
        Self::Gateway(fault.into())
    }
}

/// What a caller can do, which decides the gRPC status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Send something else.
    Invalid,
    /// Look where the upload is, then go on there.
    Resume,
    /// Ask another node, or this one later.
    Unavailable,
    /// Ask this node again after a pause.
    Busy,
    /// Not allowed.
    Denied,
    /// There is none.
    NotFound,
}

impl Error {
    /// The number in `PLT-nnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Gateway(error) => error.code(),
            Self::Blocked(rejection) | Self::Refused(rejection) => rejection.code(),
            Self::Gap { .. } => 1620,
            Self::ChunkLength { .. } => 1621,
            Self::OtherBytes { .. } => 1622,
            Self::OtherType { .. } => 1623,
            Self::OtherDigest => 1624,
            Self::OtherSize { .. } => 1625,
            Self::Incomplete { .. } => 1626,
            Self::Superseded => 1627,
            Self::NoThumbnail => 1628,
            Self::NoStore => 2401,
            Self::Full => 2402,
            Self::Busy => 2403,
            Self::NoCopy => 2404,
        }
    }

    /// What to do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Gateway(error) => error.help(),
            Self::Blocked(rejection) | Self::Refused(rejection) => rejection.help(),
            Self::Gap { .. } | Self::Incomplete { .. } => "ask for the status of the upload, and go on from there",
            Self::ChunkLength { .. } => "send the chunk whole: 1 MiB, and the rest as the last one",
            Self::OtherBytes { .. } => "abandon the upload and begin a new one: the file changed",
            Self::OtherType { .. } => "begin a new upload with the type that the file has",
            Self::OtherDigest => "abandon the upload and begin a new one with the file as it is now",
            Self::OtherSize { .. } => "abandon the upload and begin a new one with the right size",
            Self::Superseded => "nothing, if you sent both; else ask for the status of the upload",
            Self::NoThumbnail => "read the image itself",
            Self::NoStore => "ask another node; this one's log says what is wrong with its chunk directory",
            Self::Full => "free space on the disk of chunks.directory, or ask another node meanwhile",
            Self::Busy => "send it again after a short pause, or ask another node",
            Self::NoCopy => "send it again in a moment; `plantao copies` shows where the copies are",
        }
    }

    /// What a caller can do; `None` where the gateway's error says it.
    pub const fn class(&self) -> Option<Class> {
        Some(match self {
            Self::Gateway(_) => return None,
            Self::ChunkLength { .. }
            | Self::OtherBytes { .. }
            | Self::OtherType { .. }
            | Self::OtherDigest
            | Self::OtherSize { .. } => Class::Invalid,
            Self::Gap { .. } | Self::Incomplete { .. } | Self::Superseded | Self::Refused(_) => Class::Resume,
            Self::NoStore | Self::NoCopy => Class::Unavailable,
            Self::Full | Self::Busy => Class::Busy,
            Self::Blocked(_) => Class::Denied,
            Self::NoThumbnail => Class::NotFound,
        })
    }
}
