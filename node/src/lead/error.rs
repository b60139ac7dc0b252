//! Why the lead stays as it is. Each with its number and what to do.

use crate::consensus::TransferError;
use crate::gateway;
use plantao_domain::Rejection;

/// Each variant is one thing that an operator can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This node cannot hand over, or not to that one. Nothing was tried, unless it ran out of time.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The plan was made for another leader.
    #[error("node {expected} does not lead, node {actual} does")]
    OtherLeader {
        /// As the operator saw it.
        expected: u64,
        /// 0: none is known.
        actual: u64,
    },
    /// Nobody would be left to lead.
    #[error("node {node} is the last voter that is not drained")]
    LastVoter {
        /// Which.
        node: u64,
    },
    /// A leader that is heard hands over; an election against it would not be won.
    #[error("node {leader} leads and is heard")]
    LeaderHeard {
        /// Who.
        leader: u64,
    },
    /// Too few voters are reached to be elected.
    #[error("{reached} of {voters} voters are reached: a majority is needed")]
    NoMajority {
        /// With this node.
        reached: usize,
        /// All of them.
        voters: usize,
    },
    /// It stood, and was not elected in time.
    #[error("node {node} was not elected: another voter has more of the log, or a majority does not answer")]
    NotElected {
        /// Which.
        node: u64,
    },
    /// An operator meant another node than the one that was asked.
    #[error("this is node {node}, not node {wanted}")]
    OtherNode {
        /// Who was asked.
        node: u64,
        /// Who was meant.
        wanted: u64,
    },
    /// The network decided: no.
    #[error("{0}")]
    Rejected(Rejection),
    /// The network could not be asked.
    #[error(transparent)]
    Gateway(#[from] gateway::Error),
}

impl Error {
    /// The number in `PLT-nnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Transfer(TransferError::NotLeader { .. }) => 2601,
            Self::Transfer(TransferError::NotVoter { .. }) => 2602,
            Self::Transfer(TransferError::Unreachable { .. }) => 2603,
            Self::Transfer(TransferError::Behind { .. }) => 2604,
            Self::Transfer(TransferError::NoCandidate) => 2605,
            Self::Transfer(TransferError::TimedOut { .. }) => 2606,
            Self::Transfer(TransferError::Stopped) => 2607,
            Self::OtherLeader { .. } => 2608,
            Self::LastVoter { .. } => 2609,
            Self::LeaderHeard { .. } => 2610,
            Self::NoMajority { .. } => 2611,
            Self::NotElected { .. } => 2612,
            Self::OtherNode { .. } => 2613,
            Self::Transfer(TransferError::ClockOff { .. }) => 2614,
            Self::Rejected(rejection) => rejection.code(),
            Self::Gateway(error) => error.code(),
        }
    }

    /// What to do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Transfer(TransferError::NotLeader { .. }) => "look who leads with `plantao status`, and ask that one",
            Self::Transfer(TransferError::NotVoter { .. }) => "choose a voter: `plantao status` shows which",
            Self::Transfer(TransferError::Unreachable { .. }) => {
                "look at that node and at the link to it, or choose another"
            }
            Self::Transfer(TransferError::Behind { .. }) => "wait until it has caught up, or choose another",
            Self::Transfer(TransferError::ClockOff { .. }) => {
                "set that computer's clock (`plantao doctor`), or choose another node"
            }
            Self::Transfer(TransferError::NoCandidate) => {
                "bring another voter back: `plantao status` shows which are away"
            }
            Self::Transfer(TransferError::TimedOut { .. }) => "look who leads with `plantao status`, then try again",
            Self::Transfer(TransferError::Stopped) => "look at this node's log; ask another node",
            Self::OtherLeader { .. } => "look again with `plantao status`: the plan was for another leader",
            Self::LastVoter { .. } => "undrain another voter first: `plantao status` shows which are drained",
            Self::LeaderHeard { .. } => "use `plantao switchover`; if that node is sick, stop it first, then repeat",
            Self::NoMajority { .. } => "bring voters back or mend the links to them: `plantao status` shows which",
            Self::NotElected { .. } => {
                "choose the voter with the highest index: `plantao status --output wide` shows it"
            }
            Self::OtherNode { .. } => "correct the admin addresses of the context",
            Self::Rejected(rejection) => rejection.help(),
            Self::Gateway(error) => error.help(),
        }
    }
}
