//! Raft calls of other nodes, once the peer plane has let them in: into openraft and back. What is checked here is that a
//! node speaks for itself only: a vote or a message in another's name is refused.

use std::sync::Arc;

use openraft::errors::{Infallible, RaftError};
use openraft::raft::AppendEntriesResponse;
use plantao_proto::peer::v1 as wire;

use super::convert::{self, ConvertError};
use super::handle::Consensus;
use super::room::Room;
use super::state_machine::{ApplyError, snapshot_meta};
use super::types::{LogId, Snapshot, TypeConfig, Vote};
use super::{Bug, planted};
use crate::storage::snapshot::VerifiedSnapshot;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    /// The message does not convert.
    #[error("the message is malformed")]
    Malformed(#[from] ConvertError),
    /// The vote in it is another node's.
    #[error("node {from} speaks in the name of node {claimed}")]
    Impostor {
        /// The caller.
        from: u64,
        /// Whose vote it carries.
        claimed: u64,
    },
    /// The snapshot's own account of its membership does not parse.
    #[error("the snapshot cannot be used")]
    Snapshot(#[source] ApplyError),
    /// There is no room for the entries. They can be sent again.
    #[error("the disk of this node is nearly full: it takes no entries")]
    NoRoom,
    /// Raft has stopped.
    #[error("replication has stopped")]
    Stopped,
}

fn own(from: u64, vote: &Vote) -> Result<(), InboundError> {
    let claimed = vote.leader_id.node_id;
    if claimed == from { Ok(()) } else { Err(InboundError::Impostor { from, claimed }) }
}

fn stopped<T>(result: Result<T, RaftError<TypeConfig, Infallible>>) -> Result<T, InboundError> {
    result.map_err(|_| InboundError::Stopped)
}

impl Consensus {
    /// Entries or a heartbeat of node `from`.
    ///
    /// # Errors
    /// See [`InboundError`].
    pub async fn on_append(
        &self,
        from: u64,
        request: wire::AppendRequest,
    ) -> Result<wire::AppendResponse, InboundError> {
        self.0.clocks.note_message(from, request.now_ms);
        let mut request = convert::append(request)?;
        if planted(Bug::CommitOnArrival) {
            request.leader_commit = request.entries.last().map(|entry| entry.log_id).or(request.leader_commit);
        }
        own(from, &request.vote)?;
        // Heartbeats carry none: the leader is still heard, and still hears that this node is there.
        if !request.entries.is_empty() && self.rooms().own() == Room::Out {
            self.note_leader();
            return Err(InboundError::NoRoom);
        }
        let response = stopped(self.0.raft.append_entries(request).await)?;
        if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
            self.note_leader();
        }
        Ok(convert::wire_appended(response, self.0.clocks.now_ms()))
    }

    /// Node `from` asks for a vote.
    ///
    /// # Errors
    /// See [`InboundError`].
    pub async fn on_vote(&self, from: u64, request: wire::VoteRequest) -> Result<wire::VoteResponse, InboundError> {
        let mut request = convert::vote_request(request)?;
        if planted(Bug::VoteForShorterLog) {
            request.last_log_id = Some(LogId { leader_id: request.vote.leader_id, index: u64::MAX });
        }
        own(from, &request.vote)?;
        Ok(convert::wire_voted(&stopped(self.0.raft.vote(request).await)?))
    }

    /// Node `from` asks whether it would get a vote.
    ///
    /// # Errors
    /// See [`InboundError`].
    pub async fn on_pre_vote(&self, from: u64, request: wire::VoteRequest) -> Result<wire::VoteResponse, InboundError> {
        let mut request = convert::vote_request(request)?;
        if planted(Bug::VoteForShorterLog) {
            request.last_log_id = Some(LogId { leader_id: request.vote.leader_id, index: u64::MAX });
        }
        own(from, &request.vote)?;
        Ok(convert::wire_voted(&stopped(self.0.raft.pre_vote(request).await)?))
    }

    /// Node `from`, the leader, hands over.
    ///
    /// # Errors
    /// See [`InboundError`].
    pub async fn on_transfer(
        &self,
        from: u64,
        request: wire::TransferLeaderRequest,
    ) -> Result<wire::TransferLeaderResponse, InboundError> {
        let request = convert::transfer(request)?;
        own(from, request.from_leader())?;
        if request.to_node_id() == &self.node() {
            // Before openraft acts on it: the new term may be there sooner than the answer.
            self.note_asked_to_lead(request.from_leader().leader_id.term);
        }
        let response = self.0.raft.handle_transfer_leader(request).await;
        if !matches!(response, Ok(Ok(()))) {
            self.forget_asked_to_lead();
        }
        Ok(convert::wire_transferred(response.map_err(|_| InboundError::Stopped)?))
    }

    /// Whose vote comes with a snapshot, before any part of it is taken.
    ///
    /// # Errors
    /// See [`InboundError`].
    pub fn check_snapshot(&self, from: u64, vote: Option<wire::VoteState>) -> Result<(), InboundError> {
        own(from, &convert::vote(vote, "vote")?)?;
        if self.rooms().own() == Room::Out { Err(InboundError::NoRoom) } else { Ok(()) }
    }

    /// A snapshot of node `from` came whole and is verified.
    ///
    /// # Errors
    /// See [`InboundError`].
    pub async fn on_snapshot(
        &self,
        from: u64,
        vote: Option<wire::VoteState>,
        snapshot: Arc<VerifiedSnapshot>,
    ) -> Result<wire::InstallSnapshotResponse, InboundError> {
        let vote = convert::vote(vote, "vote")?;
        own(from, &vote)?;
        let meta = snapshot_meta(snapshot.meta()).map_err(InboundError::Snapshot)?;
        let installed = self.0.raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await;
        Ok(convert::wire_installed(&installed.map_err(|_| InboundError::Stopped)?))
    }
}
