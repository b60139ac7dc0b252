//! Why a quorum is not recovered. Every refusal leaves the directory as it was.

use crate::storage::recovery::MarkError;

/// A refusal of `plantaod quorum recover`.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecoverError {
    /// Another network than the operator meant.
    #[error("this directory belongs to the network {network}, and {given:?} was confirmed")]
    OtherNetwork {
        /// The directory's.
        network: String,
        /// What was typed.
        given: String,
    },
    /// There is nothing to recover.
    #[error("the kept nodes are a majority of the voters ({voters}): nothing was lost")]
    Majority {
        /// The voters, by name.
        voters: String,
    },
    /// One survivor goes on.
    #[error("--keep names {kept:?}, and exactly the node of this directory, {node}, must be kept")]
    Kept {
        /// What was named.
        kept: String,
        /// Whose directory it is.
        node: String,
    },
    /// Nobody knows what it acknowledged.
    #[error("this directory cannot be what the network goes on with: {why}")]
    Untrusted {
        /// What is wrong.
        why: String,
    },
    /// A mark in the directory forbids it.
    #[error(transparent)]
    Mark(#[from] MarkError),
}

impl RecoverError {
    /// The number in `PLT-nnnn`.
    pub(super) const fn code(&self) -> u16 {
        match self {
            Self::OtherNetwork { .. } => 3203,
            Self::Majority { .. } => 3204,
            Self::Kept { .. } => 3205,
            Self::Untrusted { .. } => 3206,
            Self::Mark(mark) => mark.code(),
        }
    }

    /// What to do about it.
    pub(super) const fn help(&self) -> &'static str {
        match self {
            Self::OtherNetwork { .. } => "check which machine and which configuration this is",
            Self::Majority { .. } => "start these nodes: they elect a leader by themselves",
            Self::Kept { .. } => {
                "choose the survivor with `plantaod quorum show --against`; every other node joins as a new one"
            }
            Self::Untrusted { .. } => {
                "look with `plantaod verify`; take another survivor, or read what is left with `plantaod extract`"
            }
            Self::Mark(mark) => mark.help(),
        }
    }
}

/// What, its number, and what to do, as one text for a terminal.
pub(super) fn told(error: &RecoverError) -> String {
    format!("{error} (PLT-{}); {}", error.code(), error.help())
}
