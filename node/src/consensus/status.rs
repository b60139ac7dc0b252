//! What consensus tells about itself, in our own types. Read from openraft's metrics; nothing is decided here.

use std::time::Duration;

use openraft::{Instant as _, ServerState};

use super::clocks::{PeerClock, PeerClocks};
use super::types::{LogId, Member, Metrics};

/// What this node is in the Raft group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Orders entries; a majority has answered it lately.
    Leader,
    /// Votes and follows.
    Follower,
    /// Asks for votes, or led and has lost its majority.
    Candidate,
    /// Follows without a vote.
    Learner,
    /// Stopped.
    Stopped,
}

/// One member as this node sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberStatus {
    /// Its number.
    pub id: u64,
    /// What the membership says of it.
    pub member: Member,
    /// Whether it votes.
    pub voter: bool,
    /// The last index known to be in its log. Only the leader knows; its own is its last index.
    pub matched: Option<u64>,
    /// Since when it has not answered a heartbeat. Only the leader knows, and nothing of itself.
    pub silent_for: Option<Duration>,
    /// Its clock compared with this node's.
    pub clock: Option<PeerClock>,
}

/// A snapshot of what openraft reports, and of the clocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// This node.
    pub node: u64,
    /// What it is.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Who leads; `None` also where that node, or on itself a majority, has been silent for too long to say so.
    pub leader: Option<u64>,
    /// Last index in its log.
    pub last_index: u64,
    /// Last index that it knows to be committed.
    pub committed_index: u64,
    /// Last index that it has applied.
    pub applied_index: u64,
    /// Last index in its newest snapshot.
    pub snapshot_index: u64,
    /// Last index that is gone from its log.
    pub purged_index: u64,
    /// On a leader: since when no majority has answered.
    pub quorum_silent_for: Option<Duration>,
    /// All members by number.
    pub members: Vec<MemberStatus>,
    /// A membership change is under way.
    pub changing: bool,
    /// Whether Raft runs; once `false` the process must end.
    pub running: bool,
}

impl Status {
    /// Openraft never unseats a leader that lost its majority, and with pre-vote a follower goes on naming one that died: so
    /// a lead counts only while it is heard. `contact` is since when this node heard the leader that it follows; `silence`
    /// is how long that may be, and how long a leader may be without its majority's answer.
    pub(super) fn of(metrics: &Metrics, clocks: &PeerClocks, contact: Option<Duration>, silence: Duration) -> Self {
        let index = |id: &Option<LogId>| id.as_ref().map_or(0, |id| id.index);
        let membership = metrics.membership_config.membership();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let silent_for = |id: &u64| {
            let acked = metrics.heartbeat.as_ref()?.get(id)?.as_ref()?;
            Some(acked.elapsed())
        };
        let members = membership.nodes().map(|(id, member)| MemberStatus {
            id: *id,
            member: member.clone(),
            voter: voters.contains(id),
            matched: metrics.replication.as_ref().and_then(|replication| {
                if *id == metrics.id { metrics.last_log_index } else { Some(index(replication.get(id)?)) }
            }),
            silent_for: if *id == metrics.id { None } else { silent_for(id) },
            clock: clocks.get(*id),
        });
        let quorum_silent_for = metrics.last_quorum_acked.map(|acked| acked.elapsed());
        let is_leader = metrics.state == ServerState::Leader;
        let heard = if is_leader {
            voters.len() <= 1 || quorum_silent_for.is_some_and(|silent| silent <= silence)
        } else {
            contact.is_some_and(|contact| contact <= silence)
        };
        Self {
            node: metrics.id,
            role: match metrics.state {
                ServerState::Leader if !heard => Role::Candidate,
                ServerState::Leader => Role::Leader,
                ServerState::Follower => Role::Follower,
                ServerState::Candidate => Role::Candidate,
                ServerState::Learner => Role::Learner,
                ServerState::Shutdown => Role::Stopped,
            },
            term: metrics.current_term,
            leader: metrics.current_leader.filter(|_| heard),
            last_index: metrics.last_log_index.unwrap_or(0),
            committed_index: index(&metrics.cluster_committed),
            applied_index: index(&metrics.last_applied),
            snapshot_index: index(&metrics.snapshot),
            purged_index: index(&metrics.purged),
            quorum_silent_for,
            members: members.collect(),
            changing: membership.get_joint_config().len() > 1
                || metrics.membership_config.log_id() != metrics.committed_membership_config.log_id(),
            running: metrics.running_state.is_ok(),
        }
    }

    /// Whether this node leads.
    pub fn leads(&self) -> bool {
        self.role == Role::Leader
    }

    /// One member.
    pub fn member(&self, id: u64) -> Option<&MemberStatus> {
        self.members.iter().find(|member| member.id == id)
    }

    /// How many entries a member is behind this leader; `None` where that is not known.
    pub fn lag(&self, id: u64) -> Option<u64> {
        Some(self.last_index.saturating_sub(self.member(id)?.matched?))
    }
}
