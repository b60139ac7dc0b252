//! The next step from the membership as it is to the one that was decided: a pure function of rows and of what the leader
//! sees. In this order, one at a time:
//!
//! ```text
//! 1 who joined becomes a learner        2 a replacement that has caught up is told to the log
//! 3 votes: with somebody who comes and somebody who goes, both in one joint change; else the one that is due
//! 4 who was removed and has no vote leaves        5 a voter that is silent for too long gets a stand-in
//! ```
//! A vote is only taken when a majority of those that would vote answers now, and never so that fewer would vote than was
//! decided. A leader that is to go hands over first; the next one goes on.

use crate::consensus::membership::LAG_MAX;
use crate::consensus::types::Member;
use crate::consensus::{MemberStatus, Status};
use plantao_domain::layout::Standing;
use plantao_domain::lead::LeadPolicy;
use plantao_domain::{ClusterTime, View, ViewFault, layout, rows};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A node that answered a heartbeat so lately counts as one that answers: eight heartbeats of the slow timers.
const ANSWERS: Duration = Duration::from_secs(2);
/// Nodes of one network, those that left included: far above any.
const NODES_MAX: usize = 1_000;

/// What one node is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Want {
    pub(super) standing: Standing,
    pub(super) replaces: Option<u64>,
    pub(super) member: Member,
}

/// What every node that ever joined is to be.
pub(super) type Wanted = BTreeMap<u64, Want>;

/// Reads it from the rows.
pub(super) fn wanted(view: &dyn View) -> Result<Wanted, ViewFault> {
    let standings = layout::standings(view)?;
    let mut wanted = Wanted::new();
    for (id, row) in rows::nodes(view, None, NODES_MAX)? {
        let Some(standing) = standings.get(&id) else { continue };
        let replaces = rows::standing(view, id)?.and_then(|row| row.replaces).map(|node| node.0);
        let about = row.description;
        let member = Member { name: about.name, peer_address: about.peer_address, keyed: about.keyed };
        wanted.insert(id.0, Want { standing: *standing, replaces, member });
    }
    Ok(wanted)
}

/// One change of Raft's membership, or of the rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A node that joined becomes a learner.
    Add {
        /// Which.
        node: u64,
        /// What the membership says of it.
        member: Member,
    },
    /// A learner gets a vote.
    Promote {
        /// Which.
        node: u64,
    },
    /// A voter loses its vote and stays.
    Demote {
        /// Which.
        node: u64,
    },
    /// A learner gets the vote of another.
    Swap {
        /// Who comes.
        comes: u64,
        /// Who goes.
        goes: u64,
    },
    /// A learner leaves.
    Remove {
        /// Which.
        node: u64,
    },
    /// This leader is to go: one of these leads first.
    HandOver {
        /// Voters that stay and could lead now.
        to: BTreeSet<u64>,
    },
    /// A node has caught up and takes the place of another; said to the log first.
    Succeed {
        /// Who goes.
        old: u64,
        /// Who comes.
        new: u64,
        /// Whether the old one stays as a learner.
        keep_old: bool,
    },
}

/// What a decision still waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Nothing: it is the next step.
    Next,
    /// The node lacks so many entries.
    CatchingUp {
        /// How many.
        lag: u64,
    },
    /// The node does not answer.
    Silent,
    /// Too few of those that would vote answer.
    Unsafe,
    /// Another step comes first.
    Later,
    /// This leader is to go, and nobody could lead.
    NoSuccessor,
}

/// One decision that is not yet so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    /// Which node.
    pub node: u64,
    /// What it is to be.
    pub to: Standing,
    /// What for.
    pub wait: Wait,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Plan {
    /// Now; `None`: nothing, or nothing that is safe.
    pub next: Option<Step>,
    /// All that is not yet as it was decided.
    pub pending: Vec<Pending>,
}

impl Plan {
    fn add(&mut self, node: u64, to: Standing, wait: Wait, step: Option<Step>) {
        let wait = if wait == Wait::Next && self.next.is_some() { Wait::Later } else { wait };
        if wait == Wait::Next {
            self.next = step;
        }
        self.pending.push(Pending { node, to, wait });
    }
}

/// When a silent voter gets a stand-in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct StandIn {
    /// After so long; `None`: never.
    pub(super) after: Option<Duration>,
    /// How long this node leads: what it never heard was silent for at least so long.
    pub(super) leading_for: Duration,
}

impl StandIn {
    /// While automation is paused, or nodes are worked on, silence means nothing.
    pub(super) fn under(policy: &LeadPolicy, now: ClusterTime, after: Option<Duration>, leading_for: Duration) -> Self {
        Self { after: after.filter(|_| !policy.is_paused(now) && !policy.is_maintained(now)), leading_for }
    }
}

/// Whether a member answers this leader, itself included.
pub(super) fn answers(status: &Status, id: u64) -> bool {
    id == status.node || status.member(id).and_then(|member| member.silent_for).is_some_and(|silent| silent <= ANSWERS)
}

/// Whether a member answers and lacks almost nothing; else what for it is waited.
pub(super) fn ready(status: &Status, id: u64) -> Wait {
    if !answers(status, id) {
        return Wait::Silent;
    }
    match status.lag(id) {
        Some(lag) if lag <= LAG_MAX => Wait::Next,
        lag => Wait::CatchingUp { lag: lag.unwrap_or(status.last_index) },
    }
}

/// Whether enough of these voters answer to go on.
pub(super) fn has_quorum(status: &Status, voters: &BTreeSet<u64>) -> bool {
    voters.iter().filter(|id| answers(status, **id)).count() > voters.len() / 2
}

/// What a leader with this status has to do.
pub(super) fn plan(wanted: &Wanted, status: &Status, stand_in: StandIn) -> Plan {
    let mut plan = Plan::default();
    for (id, want) in wanted {
        if want.standing != Standing::Removed && status.member(*id).is_none() {
            let step = Step::Add { node: *id, member: want.member.clone() };
            plan.add(*id, want.standing, Wait::Next, Some(step));
        }
    }
    succession(wanted, status, &mut plan);
    votes(wanted, status, &mut plan);
    for member in status.members.iter().filter(|member| !member.voter) {
        if wanted.get(&member.id).is_some_and(|want| want.standing == Standing::Removed) {
            plan.add(member.id, Standing::Removed, Wait::Next, Some(Step::Remove { node: member.id }));
        }
    }
    if plan.pending.is_empty()
        && let Some((old, new)) = silent_voter(wanted, status, stand_in)
    {
        let step = Step::Succeed { old, new, keep_old: true };
        plan.add(new, Standing::Voter, Wait::Next, Some(step));
    }
    if status.changing {
        plan.next = None;
    }
    plan
}

/// Nodes that joined in the place of others.
fn succession(wanted: &Wanted, status: &Status, plan: &mut Plan) {
    for (new, want) in wanted {
        let Some(old) = want.replaces.filter(|_| want.standing == Standing::Learner) else { continue };
        let Some(of_old) = wanted.get(&old).filter(|old| old.standing != Standing::Removed) else { continue };
        if status.member(*new).is_some() {
            let step = Step::Succeed { old, new: *new, keep_old: false };
            plan.add(*new, of_old.standing, ready(status, *new), Some(step));
        }
    }
}

fn votes(wanted: &Wanted, status: &Status, plan: &mut Plan) {
    // Who is in no row yet stays what it is: this node's rows may be a moment behind.
    let to_vote = |member: &&MemberStatus| wanted.get(&member.id).map(|want| want.standing == Standing::Voter);
    let voters: BTreeSet<u64> = status.members.iter().filter(|member| member.voter).map(|member| member.id).collect();
    let come = status.members.iter().filter(|member| !member.voter && to_vote(member) == Some(true));
    let come: Vec<u64> = come.map(|member| member.id).collect();
    let go = status.members.iter().filter(|member| member.voter && to_vote(member) == Some(false));
    let mut go: Vec<u64> = go.map(|member| member.id).collect();
    // The leader last, and first whoever helps nobody by voting.
    go.sort_by_key(|id| (*id == status.node, answers(status, *id), *id));
    let standing = |id: &u64| wanted.get(id).map_or(Standing::Learner, |want| want.standing);
    let comes = come.iter().find(|id| ready(status, **id) == Wait::Next).copied();
    let goes = go.first().copied();
    let after: BTreeSet<u64> = voters.iter().copied().filter(|id| Some(*id) != goes).chain(comes).collect();
    let decided = wanted.values().filter(|want| want.standing == Standing::Voter).count();
    let (wait, step) = match (comes, goes) {
        (None, None) => (Wait::Later, None),
        _ if !has_quorum(status, &after) => (Wait::Unsafe, None),
        (None, Some(_)) if after.len() < decided => (Wait::Later, None),
        (_, Some(goes)) if goes == status.node => {
            let to: BTreeSet<u64> = after
                .iter()
                .copied()
                .filter(|id| *id != goes && voters.contains(id) && ready(status, *id) == Wait::Next)
                .collect();
            if to.is_empty() { (Wait::NoSuccessor, None) } else { (Wait::Next, Some(Step::HandOver { to })) }
        }
        (Some(comes), Some(goes)) => (Wait::Next, Some(Step::Swap { comes, goes })),
        (Some(node), None) => (Wait::Next, Some(Step::Promote { node })),
        (None, Some(node)) => (Wait::Next, Some(Step::Demote { node })),
    };
    let (wait, mut step) = if plan.next.is_some() && wait == Wait::Next { (Wait::Later, None) } else { (wait, step) };
    for id in &come {
        match (comes == Some(*id), ready(status, *id)) {
            (true, _) if wait == Wait::Next && goes.is_some() => {
                // Told with the one that goes, which is the other half of the same step.
                plan.pending.push(Pending { node: *id, to: Standing::Voter, wait });
            }
            (true, _) => plan.add(*id, Standing::Voter, wait, step.take()),
            (false, Wait::Next) => plan.add(*id, Standing::Voter, Wait::Later, None),
            (false, waits) => plan.add(*id, Standing::Voter, waits, None),
        }
    }
    for id in &go {
        let wait = if goes == Some(*id) { wait } else { Wait::Later };
        plan.add(*id, standing(id), wait, if goes == Some(*id) { step.take() } else { None });
    }
}

/// A voter that is silent for too long, and the learner that can take its vote.
fn silent_voter(wanted: &Wanted, status: &Status, stand_in: StandIn) -> Option<(u64, u64)> {
    let after = stand_in.after?;
    let silent = |member: &&MemberStatus| {
        member.voter && member.id != status.node && member.silent_for.unwrap_or(stand_in.leading_for) >= after
    };
    let old = status.members.iter().find(silent)?;
    let able = |member: &&MemberStatus| {
        let free = wanted.get(&member.id).is_some_and(|want| want.standing == Standing::Learner);
        free && !member.voter && member.member.keyed == old.member.keyed && ready(status, member.id) == Wait::Next
    };
    let new = status.members.iter().find(able)?;
    let voters = status.members.iter().filter(|member| member.voter && member.id != old.id).map(|member| member.id);
    has_quorum(status, &voters.chain([new.id]).collect()).then_some((old.id, new.id))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
