//! Who leads and who votes: switchover and membership changes. Each is refused unless it can succeed, because openraft
//! itself would try: a transfer to a dead node costs a whole failover, a change on a node that was just removed trips an
//! assertion. When they are due is decided elsewhere (`leader_tasks`, the join service, an operator).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use tokio::time::{Instant, timeout_at};

use super::agreement::outside;
use super::handle::Consensus;
use super::profile::PAYLOAD_ENTRIES;
use super::status::{MemberStatus, Status};
use super::types::Member;

/// How many entries a node may lack and still count as caught up: one message. The leader takes no new proposals during a
/// transfer, so the rest arrives at once.
pub(crate) const LAG_MAX: u64 = PAYLOAD_ENTRIES;

/// Who should lead, where several could. Wishes: where nobody else can, a drained node leads too.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Wishes {
    /// Before all others.
    pub preferred: Option<u64>,
    /// After all others.
    pub drained: BTreeSet<u64>,
}

/// Why leadership stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Only a leader can hand over.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, as far as it is known.
        leader: Option<u64>,
    },
    /// It would never be elected.
    #[error("node {node} is not a voter")]
    NotVoter {
        /// Which.
        node: u64,
    },
    /// It has not answered heartbeats; writes would stop for a whole election.
    #[error("node {node} does not answer")]
    Unreachable {
        /// Which.
        node: u64,
    },
    /// It lacks too many entries.
    #[error("node {node} is {lag} entries behind")]
    Behind {
        /// Which.
        node: u64,
        /// How many entries it lacks.
        lag: u64,
    },
    /// Its clock is not the network's: it would have to hand over again at once.
    #[error("the clock of node {node} is off by {offset_ms} ms")]
    ClockOff {
        /// Which.
        node: u64,
        /// Its clock minus that of the majority.
        offset_ms: i64,
    },
    /// There is no voter to hand over to.
    #[error("no other voter is reachable and caught up")]
    NoCandidate,
    /// It did not take over before the deadline; an election may be under way.
    #[error("node {node} did not take over in time")]
    TimedOut {
        /// Which.
        node: u64,
    },
    /// Raft has stopped.
    #[error("replication has stopped")]
    Stopped,
}

/// Why the membership stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Only a leader that votes can change it.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, as far as it is known.
        leader: Option<u64>,
    },
    /// Another change is under way; repeat it later.
    #[error("another membership change is under way")]
    InProgress,
    /// It is not a member; it must be a learner first.
    #[error("node {node} is not a member")]
    NotMember {
        /// Which.
        node: u64,
    },
    /// Numbers are never reused, and addresses change by another way.
    #[error("node {node} is a member already, with another name or address")]
    Taken {
        /// Which.
        node: u64,
    },
    /// A learner that lags would delay every commit.
    #[error("node {node} is {lag} entries behind")]
    Behind {
        /// Which.
        node: u64,
        /// How many entries it lacks.
        lag: u64,
    },
    /// The leader hands over first.
    #[error("node {node} leads; switch over to another node first")]
    Leads {
        /// Which.
        node: u64,
    },
    /// There would be no voter left.
    #[error("node {node} is the only voter")]
    LastVoter {
        /// Which.
        node: u64,
    },
    /// It may take effect yet: look at the membership before you repeat it.
    #[error("it is not known whether the change takes effect")]
    Unknown,
}

/// Whether a voter that loses its vote stays a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retain {
    Yes,
    No,
}

impl Consensus {
    /// Hands leadership to a voter that is reachable and caught up, and waits until this node sees that it leads.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leader(&self, to: u64, deadline: Instant) -> Result<(), TransferError> {
        let status = self.status();
        if !status.leads() {
            return Err(TransferError::NotLeader { leader: status.leader });
        }
        if to == status.node {
            return Ok(());
        }
        self.check_candidate(&status, to)?;
        self.0.raft.trigger().transfer_leader(to).await.map_err(|_| TransferError::Stopped)?;
        let mut metrics = self.0.raft.metrics();
        let taken_over = timeout_at(deadline, async {
            loop {
                let leader = metrics.borrow_watched().current_leader;
                match leader {
                    Some(leader) if leader == to => return Ok(()),
                    Some(leader) if leader != status.node => {
                        return Err(TransferError::NotLeader { leader: Some(leader) });
                    }
                    _ => {}
                }
                if metrics.changed().await.is_err() {
                    return Err(TransferError::Stopped);
                }
            }
        });
        taken_over.await.unwrap_or(Err(TransferError::TimedOut { node: to }))
    }

    /// Hands leadership to the best other voter that answers now, keyed ones first, the ones with the most entries first
    /// among those. A node that does not lead has nothing to do.
    ///
    /// # Errors
    /// See [`TransferError`]; `NoCandidate` within two heartbeat intervals.
    pub async fn step_down(&self, deadline: Instant) -> Result<(), TransferError> {
        if !self.leads() {
            return Ok(());
        }
        let to = self.answering_candidate(deadline).await.ok_or(TransferError::NoCandidate)?;
        match self.transfer_leader(to, deadline).await {
            Err(TransferError::NotLeader { .. }) => Ok(()),
            result => result,
        }
    }

    /// Who should lead from now on, as far as others can as well.
    pub fn set_wishes(&self, wishes: Wishes) {
        *self.0.wishes.write().unwrap_or_else(PoisonError::into_inner) = wishes;
    }

    /// Who should lead, as it was set last.
    pub fn wishes(&self) -> Wishes {
        self.0.wishes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The voter that this leader would hand over to: the wished one, else the best that answers a heartbeat now.
    ///
    /// # Errors
    /// `NotLeader`, or `NoCandidate` within two heartbeat intervals.
    pub async fn successor(&self, deadline: Instant) -> Result<u64, TransferError> {
        let status = self.status();
        if !status.leads() {
            return Err(TransferError::NotLeader { leader: status.leader });
        }
        self.answering_candidate(deadline).await.ok_or(TransferError::NoCandidate)
    }

    /// Whether this leader could hand over to that node now; changes nothing.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub fn check_transfer(&self, to: u64) -> Result<(), TransferError> {
        let status = self.status();
        if !status.leads() {
            return Err(TransferError::NotLeader { leader: status.leader });
        }
        if to == status.node { Ok(()) } else { self.check_candidate(&status, to) }
    }

    /// Hands leadership to the best of `among` that could take over.
    ///
    /// # Errors
    /// See [`TransferError`]; `NoCandidate` when none of them could.
    pub async fn hand_over_to(&self, among: &BTreeSet<u64>, deadline: Instant) -> Result<(), TransferError> {
        let best = self.candidates(&self.status()).find(|id| among.contains(id)).ok_or(TransferError::NoCandidate)?;
        self.transfer_leader(best, deadline).await
    }

    /// The best of the voters that could take over and answer a heartbeat of this very moment: one that stopped just now
    /// still looks alive by its last answer, and this node would wait for it for nothing.
    async fn answering_candidate(&self, deadline: Instant) -> Option<u64> {
        let asked = Instant::now();
        let deadline = deadline.min(asked + self.timers().heartbeat() * 2);
        let best = self.candidates(&self.status()).next()?;
        self.0.raft.trigger().heartbeat().await.ok()?;
        let mut metrics = self.0.raft.metrics();
        loop {
            let status = self.status();
            let fresh = |id: &u64| {
                let silent = status.member(*id).and_then(|member| member.silent_for);
                silent.is_some_and(|silent| silent <= asked.elapsed())
            };
            let answering = self.candidates(&status).find(fresh);
            if answering == Some(best) {
                return answering;
            }
            match timeout_at(deadline, metrics.changed()).await {
                Ok(Ok(())) => {}
                // The second best is better than to wait longer.
                Ok(Err(_)) | Err(_) => return answering,
            }
        }
    }

    /// Voters that could take over now, the best first.
    pub(super) fn candidates(&self, status: &Status) -> impl Iterator<Item = u64> + use<> {
        let mut able: Vec<&MemberStatus> =
            status.members.iter().filter(|member| self.check_candidate(status, member.id).is_ok()).collect();
        let wishes = self.wishes();
        able.sort_by_key(|member| {
            let drained = wishes.drained.contains(&member.id);
            let preferred = wishes.preferred == Some(member.id);
            (drained, !preferred, !member.member.keyed, std::cmp::Reverse(member.matched), member.id)
        });
        able.into_iter().map(|member| member.id).collect::<Vec<_>>().into_iter()
    }

    fn check_candidate(&self, status: &Status, node: u64) -> Result<(), TransferError> {
        let member = status.member(node).filter(|member| member.voter && node != status.node);
        let member = member.ok_or(TransferError::NotVoter { node })?;
        let silent_max = self.0.timers.heartbeat() * 2 + Duration::from_millis(100);
        if member.silent_for.is_none_or(|silent| silent > silent_max) {
            return Err(TransferError::Unreachable { node });
        }
        let offset = member.clock.map(|clock| clock.certain_ms());
        if let Some(offset_ms) = outside(&self.clock_verdict(), node, offset, self.0.skew_max) {
            return Err(TransferError::ClockOff { node, offset_ms });
        }
        match status.lag(node) {
            Some(lag) if lag <= LAG_MAX => Ok(()),
            Some(lag) => Err(TransferError::Behind { node, lag }),
            None => Err(TransferError::Unreachable { node }),
        }
    }

    /// Adds a node that replicates and does not vote. Adding it again is fine.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn add_learner(&self, node: u64, member: Member, deadline: Instant) -> Result<(), ChangeError> {
        let _one = self.begin_change()?;
        if let Some(known) = self.status().member(node) {
            return if known.member == member { Ok(()) } else { Err(ChangeError::Taken { node }) };
        }
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(node, member)])), Retain::No, deadline).await
    }

    /// Makes a learner that has caught up a voter. Promoting a voter is fine.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn promote(&self, node: u64, deadline: Instant) -> Result<(), ChangeError> {
        let _one = self.begin_change()?;
        let status = self.status();
        let member = status.member(node).ok_or(ChangeError::NotMember { node })?;
        if member.voter {
            return Ok(());
        }
        let lag = status.lag(node).unwrap_or(status.last_index);
        if lag > LAG_MAX {
            return Err(ChangeError::Behind { node, lag });
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([node])), Retain::No, deadline).await
    }

    /// Takes a node's vote; it replicates on. Demoting a learner is fine.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn demote(&self, node: u64, deadline: Instant) -> Result<(), ChangeError> {
        let _one = self.begin_change()?;
        let status = self.status();
        let member = status.member(node).ok_or(ChangeError::NotMember { node })?;
        if !member.voter {
            return Ok(());
        }
        self.check_goes(&status, node)?;
        self.change(ChangeMembers::RemoveVoters(BTreeSet::from([node])), Retain::Yes, deadline).await
    }

    /// One learner that has caught up gets the vote of a voter, which replicates on: one joint change, so that there are
    /// never more voters or fewer between.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn swap(&self, comes: u64, goes: u64, deadline: Instant) -> Result<(), ChangeError> {
        let _one = self.begin_change()?;
        let status = self.status();
        let member = status.member(comes).ok_or(ChangeError::NotMember { node: comes })?;
        let lag = status.lag(comes).unwrap_or(status.last_index);
        if !member.voter && lag > LAG_MAX {
            return Err(ChangeError::Behind { node: comes, lag });
        }
        self.check_goes(&status, goes)?;
        let voters = status.members.iter().filter(|member| member.voter).map(|member| member.id);
        let after = voters.filter(|id| *id != goes).chain([comes]).collect();
        self.change(ChangeMembers::ReplaceAllVoters(after), Retain::Yes, deadline).await
    }

    /// Finishes a joint change whose leader fell between its two entries: nobody else proposes the second one. A leader that
    /// would not be in it hands over first. Whether there was anything to do.
    ///
    /// # Errors
    /// See [`ChangeError`]; `InProgress` while this leader makes a change itself.
    pub async fn finish_change(&self, deadline: Instant) -> Result<bool, ChangeError> {
        let _one = self.0.changes.try_lock().map_err(|_| ChangeError::InProgress)?;
        let goal: Option<BTreeSet<u64>> = {
            let metrics = self.0.raft.metrics();
            let metrics = metrics.borrow_watched();
            let (effective, committed) = (&metrics.membership_config, &metrics.committed_membership_config);
            let joint = effective.membership().get_joint_config();
            let stands = joint.len() > 1 && effective.log_id() == committed.log_id();
            joint.last().filter(|_| stands).cloned()
        };
        let Some(goal) = goal.filter(|_| self.leads()) else { return Ok(false) };
        if !goal.contains(&self.node()) {
            let handed = self.hand_over_to(&goal, deadline).await;
            return handed.map(|()| true).map_err(|_| ChangeError::Leads { node: self.node() });
        }
        // Nothing more is asked for: from a joint membership this leads to its goal.
        self.change(ChangeMembers::AddVoterIds(BTreeSet::new()), Retain::Yes, deadline).await.map(|()| true)
    }

    fn check_goes(&self, status: &Status, node: u64) -> Result<(), ChangeError> {
        if node == self.node() {
            return Err(ChangeError::Leads { node });
        }
        let others = status.members.iter().filter(|member| member.voter && member.id != node).count();
        if others == 0 { Err(ChangeError::LastVoter { node }) } else { Ok(()) }
    }

    /// Takes a node out of the membership, vote and all. Its number never comes back.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn remove(&self, node: u64, deadline: Instant) -> Result<(), ChangeError> {
        let _one = self.begin_change()?;
        if node == self.node() {
            return Err(ChangeError::Leads { node });
        }
        let status = self.status();
        let Some(member) = status.member(node) else { return Ok(()) };
        if member.voter {
            if status.members.iter().filter(|member| member.voter).count() == 1 {
                return Err(ChangeError::LastVoter { node });
            }
            self.change(ChangeMembers::RemoveVoters(BTreeSet::from([node])), Retain::No, deadline).await?;
        }
        if self.status().member(node).is_none() {
            return Ok(());
        }
        self.change(ChangeMembers::RemoveNodes(BTreeSet::from([node])), Retain::No, deadline).await
    }

    fn begin_change(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, ChangeError> {
        let guard = self.0.changes.try_lock().map_err(|_| ChangeError::InProgress)?;
        let status = self.status();
        if !status.leads() {
            return Err(ChangeError::NotLeader { leader: status.leader });
        }
        if !status.member(status.node).is_some_and(|member| member.voter) {
            return Err(ChangeError::NotLeader { leader: None });
        }
        if status.changing {
            return Err(ChangeError::InProgress);
        }
        Ok(guard)
    }

    async fn change(
        &self,
        members: ChangeMembers<u64, Member>,
        retain: Retain,
        deadline: Instant,
    ) -> Result<(), ChangeError> {
        let retain = retain == Retain::Yes;
        let changed = timeout_at(deadline, self.0.raft.change_membership(members, retain)).await;
        match changed {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(error))) => Err(match error {
                ClientWriteError::ForwardToLeader(forward) => ChangeError::NotLeader { leader: forward.leader_id },
                ClientWriteError::ChangeMembershipError(ChangeMembershipError::LearnerNotFound(missing)) => {
                    ChangeError::NotMember { node: missing.node_id }
                }
                ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_) => {
                    ChangeError::InProgress
                }
                ClientWriteError::LogEntryDiscarded(_) => ChangeError::Unknown,
            }),
            Ok(Err(RaftError::Fatal(_))) | Err(_) => Err(ChangeError::Unknown),
        }
    }
}
