//! Why a request was not served. Turned into a gRPC status in one place ([`crate::api`]).

use crate::journal::NoteError;
use plantao_domain::{Rejection, ViewFault};

/// Each variant is one thing that a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The form of the request is wrong.
    #[error("{field}: {why}")]
    Invalid {
        /// Which field of the message.
        field: &'static str,
        /// What is wrong with it, without quoting it.
        why: &'static str,
    },
    /// The caller's role does not allow it. Audited.
    #[error("the caller's role does not allow this")]
    Denied,
    /// The certificate names a unit that is not registered.
    #[error("the certificate's unit is not registered in this network")]
    UnknownUnit,
    /// No such object.
    #[error("{0} is not known")]
    NotFound(plantao_domain::outcome::What),
    /// Decided without the log, as reading shows: nothing was proposed.
    #[error("{0}")]
    Rejected(Rejection, u64),
    /// This node has no root key.
    #[error("this node is sealed: it keeps content and cannot open it")]
    Sealed,
    /// No leader answers, or this node lags too far; nothing was proposed.
    #[error("{why}")]
    Unavailable {
        /// What is missing.
        why: &'static str,
    },
    /// This node's copy is older than the caller allows.
    #[error("this node heard from a leader {age_ms} ms ago, more than the {bound_ms} ms that are allowed")]
    TooStale {
        /// How old it is.
        age_ms: u64,
        /// What is allowed.
        bound_ms: u64,
    },
    /// Too much is under way; nothing was proposed.
    #[error("too many requests are under way")]
    Busy,
    /// A majority of the voters has no room for more; nothing was proposed.
    #[error("the disks of {low} of {voters} nodes are nearly full: nothing is written until there is room")]
    NoRoom {
        /// Voters that are low on room.
        low: usize,
        /// Voters.
        voters: usize,
    },
    /// It may take effect, now or later.
    #[error("it is not known whether the request takes effect")]
    Unknown,
    /// The read cannot be noted, so it is not answered.
    #[error(transparent)]
    Journal(#[from] NoteError),
    /// The state cannot be read.
    #[error("the state of this node cannot be read")]
    State(#[from] ViewFault),
    /// Something sealed does not open although its key is here.
    #[error("sealed content does not open")]
    Damaged,
}

impl Error {
    /// The number in `PLT-nnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Invalid { .. } => 1401,
            Self::Denied => 1001,
            Self::UnknownUnit => 1002,
            Self::NotFound(_) => 1201,
            Self::Rejected(rejection, _) => rejection.code(),
            Self::Sealed => 2001,
            Self::Unavailable { .. } => 2101,
            Self::TooStale { .. } => 2102,
            Self::Busy => 2103,
            Self::Unknown => 2104,
            Self::NoRoom { .. } => 2105,
            Self::Journal(NoteError::Full) => 2201,
            Self::Journal(NoteError::Broken) => 2202,
            Self::State(_) => 3001,
            Self::Damaged => 3002,
        }
    }

    /// What to do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "correct the field and send a new request",
            Self::Denied => "use an identity whose role has this right, or ask a manager",
            Self::UnknownUnit => "register the unit first, or use a certificate of a registered unit",
            Self::NotFound(_) => "check the id",
            Self::Rejected(rejection, _) => rejection.help(),
            Self::Sealed => "ask a unit's node, or give this node its root slot's key",
            Self::Unavailable { .. } => {
                "send it again in a moment, to this or another node; `plantao status` shows why"
            }
            Self::TooStale { .. } => "allow more, ask another node, or read linearizable",
            Self::Busy => "send it again after a short pause",
            Self::NoRoom { .. } => {
                "free space on these nodes, or give them larger disks; writes go on by themselves. `plantao doctor` names them"
            }
            Self::Unknown => "send it again with the same request id: it is done at most once",
            Self::Journal(NoteError::Full) => "restore the connection to the other nodes; the agenda is still readable",
            Self::Journal(NoteError::Broken) | Self::State(_) => {
                "look at this node's log and disk; ask another node meanwhile"
            }
            Self::Damaged => "read it from another node, and run `plantaod verify` on this one",
        }
    }

    /// Whether nothing was proposed, for certain.
    pub const fn is_not_done(&self) -> bool {
        !matches!(self, Self::Unknown)
    }
}
