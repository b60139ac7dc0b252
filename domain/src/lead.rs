//! Who leads, as a matter of record: each change of leader, what an operator asked for before it, and what automation is
//! to do about the lead. Raft alone decides who leads; nothing here can make or unmake a leader.
//!
//! ```text
//! operator, leader task:  BeginHandover { to, reason } ─► row of the handover, until the next leader speaks
//! new leader:             NoteLeadership { term, … }   ─► row of the term, with reason and author of the handover
//! operator:               SetLead { change }           ─► one row: preferred, pause, maintenance, schedule, drained
//! ```

use crate::case::{Case, Done, Ruling, Stop};
use crate::command::Actor;
use crate::id::{ActorId, NodeId};
use crate::outcome::{Field, Rejection, What};
use crate::rows;
use crate::time::ClusterTime;
use crate::view::{Changes, View};
use minicbor::{Decode, Encode};

/// Changes of leader that are kept, the newest.
pub const HISTORY_MAX: usize = 1_000;
/// A reason in clear, in bytes. It is for operators: no name of a person belongs there.
pub const REASON_BYTES_MAX: usize = 200;
/// How long a pause or a maintenance may last: 24 hours. Whoever needs longer says so again.
pub const PAUSE_MS_MAX: i64 = 24 * 3_600_000;
/// How far ahead a switchover may be scheduled: 30 days.
pub const SCHEDULE_MS_MAX: i64 = 30 * 24 * 3_600_000;
/// How long after its time a scheduled switchover is still tried: ten minutes. Later it counts as missed.
pub const SCHEDULE_WINDOW_MS: i64 = 10 * 60 * 1000;
/// Nodes that may be drained at once; far above the voters of any network.
pub const DRAINED_MAX: usize = 64;

/// How a leader came to lead.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum LeadKind {
    /// The leader before handed over.
    #[n(0)]
    Planned,
    /// The leader before was not heard, and a majority elected another.
    #[n(1)]
    Automatic,
    /// As automatic, in a rehearsal.
    #[n(2)]
    Drill,
    /// An operator had a node stand for election.
    #[n(3)]
    Forced,
}

/// Why the lead changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum LeadCause {
    /// The leader before was not heard any more.
    #[n(0)]
    Silence,
    /// The new leader had heard no other since it started.
    #[n(1)]
    Start,
    /// The leader before handed over by itself: it was stopped, say.
    #[n(2)]
    HandedOver,
    /// An operator's switchover.
    #[n(3)]
    Switchover,
    /// A switchover whose time had come.
    #[n(4)]
    Scheduled,
    /// Back to the preferred node, by an operator.
    #[n(5)]
    Failback,
    /// Back to the preferred node, or from a node without keys, by itself.
    #[n(6)]
    Preferred,
    /// The leader before was drained.
    #[n(7)]
    Drain,
    /// The leader's clock disagreed with a majority.
    #[n(8)]
    Clock,
    /// An operator's failover.
    #[n(9)]
    Failover,
}

/// What a new leader tells of how it came to lead. Durations are by its own clock, from its own point of view.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Leadership {
    /// Its term.
    #[n(0)]
    pub term: u64,
    /// Who led before, as far as the new leader knew.
    #[n(1)]
    pub from: Option<NodeId>,
    /// Who leads; the node that sends this.
    #[n(2)]
    pub to: NodeId,
    /// How.
    #[n(3)]
    pub kind: LeadKind,
    /// Why; a handover that was announced says it better.
    #[n(4)]
    pub cause: LeadCause,
    /// From the last message of the leader before until it stood for election; `None` where it was asked to.
    #[n(5)]
    pub detected_ms: Option<u64>,
    /// From the last message of the leader before, or from the request to take over, until the first entry of the term
    /// was committed; `None` where there was no such message.
    #[n(6)]
    pub gap_ms: Option<u64>,
}

/// One change of leader, as the state keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct LeadershipRow {
    /// What the leader told; the cause is that of the handover where there was one.
    #[n(0)]
    pub told: Leadership,
    /// When it was noted, in the cluster's time.
    #[n(1)]
    pub at: ClusterTime,
    /// What the handover gave as its reason; empty where there was none.
    #[n(2)]
    pub reason: String,
    /// Who asked for it.
    #[n(3)]
    pub by: Option<ActorId>,
}

/// A handover that was announced and has not happened yet, or never will.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct HandoverRow {
    /// Who is to lead.
    #[n(0)]
    pub to: NodeId,
    /// The term in which it was announced.
    #[n(1)]
    pub term: u64,
    /// Why.
    #[n(2)]
    pub cause: LeadCause,
    /// In words.
    #[n(3)]
    pub reason: String,
    /// By whom.
    #[n(4)]
    pub by: ActorId,
    /// When.
    #[n(5)]
    pub at: ClusterTime,
}

/// From when until when something is so, and why.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Pause {
    /// Since when.
    #[n(0)]
    pub since: ClusterTime,
    /// First instant at which it is not so any more.
    #[n(1)]
    pub until: ClusterTime,
    /// Why, in words.
    #[n(2)]
    pub reason: String,
    /// By whom.
    #[n(3)]
    pub by: ActorId,
}

/// A switchover that is to happen.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Schedule {
    /// When.
    #[n(0)]
    pub at: ClusterTime,
    /// To whom; `None`: to any voter that is caught up.
    #[n(1)]
    pub to: Option<NodeId>,
    /// Why, in words.
    #[n(2)]
    pub reason: String,
    /// By whom.
    #[n(3)]
    pub by: ActorId,
}

/// What automation is to do about the lead.
#[derive(Clone, Default, PartialEq, Eq, Debug, Encode, Decode)]
pub struct LeadPolicy {
    /// Where the lead belongs; `None`: on any node with keys.
    #[n(0)]
    pub preferred: Option<NodeId>,
    /// No leader changes by itself.
    #[n(1)]
    pub pause: Option<Pause>,
    /// Somebody works on the network: nothing is done by itself that can wait.
    #[n(2)]
    pub maintenance: Option<Pause>,
    /// The next switchover.
    #[n(3)]
    pub schedule: Option<Schedule>,
    /// Nodes that do not lead while another can, in order, none twice.
    #[n(4)]
    pub drained: Vec<NodeId>,
}

/// One change of the policy.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum LeadChange {
    /// The lead belongs there, or nowhere in particular.
    #[n(0)]
    Prefer {
        /// Where.
        #[n(0)]
        node: Option<NodeId>,
    },
    /// No leader changes by itself until then; at most [`PAUSE_MS_MAX`] ahead. Replaces the pause before.
    #[n(1)]
    Pause {
        /// First instant after it.
        #[n(0)]
        until: ClusterTime,
    },
    /// The pause is over.
    #[n(2)]
    Resume,
    /// Somebody works on the network until then; at most [`PAUSE_MS_MAX`] ahead.
    #[n(3)]
    StartMaintenance {
        /// First instant after it.
        #[n(0)]
        until: ClusterTime,
    },
    /// The work is done.
    #[n(4)]
    StopMaintenance,
    /// This node is not to lead.
    #[n(5)]
    Drain {
        /// Which.
        #[n(0)]
        node: NodeId,
    },
    /// It may again.
    #[n(6)]
    Undrain {
        /// Which.
        #[n(0)]
        node: NodeId,
    },
    /// A switchover at that time; at most [`SCHEDULE_MS_MAX`] ahead. Refused while another is waiting.
    #[n(7)]
    Schedule {
        /// When.
        #[n(0)]
        at: ClusterTime,
        /// To whom; `None`: to any voter that is caught up.
        #[n(1)]
        to: Option<NodeId>,
    },
    /// No switchover is to happen.
    #[n(8)]
    CancelSchedule,
}

impl LeadChange {
    /// The node that it is about, if it is about one.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Self::Prefer { node } => *node,
            Self::Schedule { to, .. } => *to,
            Self::Drain { node } | Self::Undrain { node } => Some(*node),
            Self::Pause { .. }
            | Self::Resume
            | Self::StartMaintenance { .. }
            | Self::StopMaintenance
            | Self::CancelSchedule => None,
        }
    }
}

impl Pause {
    /// Whether it holds at that time.
    pub fn holds(&self, at: ClusterTime) -> bool {
        at < self.until
    }
}

impl Schedule {
    /// Whether it is to be tried now.
    pub fn is_due(&self, at: ClusterTime) -> bool {
        self.at <= at && !self.is_missed(at)
    }

    /// Whether its time went by without it.
    pub fn is_missed(&self, at: ClusterTime) -> bool {
        at.millis().saturating_sub(self.at.millis()) > SCHEDULE_WINDOW_MS
    }
}

impl LeadPolicy {
    /// Whether leaders change by themselves at that time.
    pub fn is_paused(&self, at: ClusterTime) -> bool {
        self.pause.as_ref().is_some_and(|pause| pause.holds(at))
    }

    /// Whether somebody works on the network at that time.
    pub fn is_maintained(&self, at: ClusterTime) -> bool {
        self.maintenance.as_ref().is_some_and(|pause| pause.holds(at))
    }

    /// Whether this node should not lead.
    pub fn is_drained(&self, node: NodeId) -> bool {
        self.drained.contains(&node)
    }
}

/// A leader tells how it came to lead; once for each term, whatever it repeats.
pub(crate) fn note(case: &Case<'_>, told: &Leadership) -> Ruling {
    if told.to != case.via {
        return Err(Rejection::Invalid { field: Field::Node }.into());
    }
    if let Some(row) = rows::leadership(case.view, told.term)? {
        let same = row.told.to == told.to;
        return if same { Ok(Done::unchanged(0)) } else { Err(Rejection::Invalid { field: Field::Node }.into()) };
    }
    let kept = rows::leaderships(case.view, HISTORY_MAX)?;
    let full = kept.len() >= HISTORY_MAX;
    if full && kept.last().is_some_and(|oldest| told.term < oldest.told.term) {
        return Ok(Done::unchanged(0));
    }
    let mut changes = Changes::new();
    if let Some(oldest) = kept.last().filter(|_| full) {
        rows::delete(&mut changes, rows::leadership_key(oldest.told.term));
    }
    let mut row = LeadershipRow { told: *told, at: case.at, reason: String::new(), by: None };
    if let Some(handover) = rows::handover(case.view)?.filter(|handover| handover.term < told.term) {
        // Another's, or one that came to nothing: its term is over, so it means nobody any more.
        rows::delete(&mut changes, rows::handover_key());
        if handover.to == told.to && matches!(told.kind, LeadKind::Planned | LeadKind::Forced) {
            row.told.cause = handover.cause;
            row.reason = handover.reason;
            row.by = Some(handover.by);
        }
    }
    if row.told.cause == LeadCause::Scheduled {
        let policy = rows::lead_policy(case.view)?;
        if policy.schedule.is_some() {
            rows::put(&mut changes, rows::lead_policy_key(), &LeadPolicy { schedule: None, ..policy });
        }
    }
    rows::put(&mut changes, rows::leadership_key(told.term), &row);
    Ok(Done::changed(0, changes))
}

/// A handover is announced: so the trail has who asked for it, and the next leader knows why.
pub(crate) fn begin_handover(case: &Case<'_>, to: NodeId, term: u64, cause: LeadCause, reason: &str) -> Ruling {
    may_lead(case.view, to)?;
    let row = HandoverRow { to, term, cause, reason: reason.to_owned(), by: case.actor.id, at: case.at };
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::handover_key(), &row);
    Ok(Done::changed(0, changes))
}

/// A node that is known and not drained.
fn may_lead(view: &dyn View, node: NodeId) -> Result<(), Stop> {
    known(view, node)?;
    if rows::lead_policy(view)?.is_drained(node) {
        return Err(Rejection::Drained { node }.into());
    }
    Ok(())
}

fn known(view: &dyn View, node: NodeId) -> Result<bool, Stop> {
    let row = rows::node(view, node)?.ok_or(Rejection::Unknown { what: What::Node })?;
    Ok(row.description.keyed)
}

/// An operator changes what automation is to do.
pub(crate) fn set(case: &Case<'_>, change: &LeadChange, reason: &str) -> Ruling {
    let before = rows::lead_policy(case.view)?;
    let after = changed(case.view, case.at, &case.actor, &before, change, reason)?;
    if after == before {
        return Ok(Done::unchanged(0));
    }
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::lead_policy_key(), &after);
    Ok(Done::changed(0, changes))
}

fn changed(
    view: &dyn View,
    at: ClusterTime,
    actor: &Actor,
    before: &LeadPolicy,
    change: &LeadChange,
    reason: &str,
) -> Result<LeadPolicy, Stop> {
    let mut policy = before.clone();
    let pause = |until: ClusterTime| {
        within(at, until, PAUSE_MS_MAX)?;
        Ok::<_, Rejection>(Some(Pause { since: at, until, reason: reason.to_owned(), by: actor.id }))
    };
    match change {
        LeadChange::Prefer { node: None } => policy.preferred = None,
        LeadChange::Prefer { node: Some(node) } => {
            if !known(view, *node)? {
                return Err(Rejection::Keyless { node: *node }.into());
            }
            may_lead(view, *node)?;
            policy.preferred = Some(*node);
        }
        LeadChange::Pause { until } => policy.pause = pause(*until)?,
        LeadChange::Resume => policy.pause = None,
        LeadChange::StartMaintenance { until } => policy.maintenance = pause(*until)?,
        LeadChange::StopMaintenance => policy.maintenance = None,
        LeadChange::Drain { node } => {
            known(view, *node)?;
            if let Err(place) = policy.drained.binary_search(node) {
                if policy.drained.len() >= DRAINED_MAX {
                    return Err(Rejection::Invalid { field: Field::Node }.into());
                }
                policy.drained.insert(place, *node);
            }
        }
        LeadChange::Undrain { node } => policy.drained.retain(|drained| drained != node),
        LeadChange::Schedule { at: time, to } => {
            if let Some(to) = to {
                may_lead(view, *to)?;
            }
            within(at, *time, SCHEDULE_MS_MAX)?;
            if before.schedule.as_ref().is_some_and(|waiting| !waiting.is_missed(at)) {
                return Err(Rejection::AlreadyScheduled.into());
            }
            policy.schedule = Some(Schedule { at: *time, to: *to, reason: reason.to_owned(), by: actor.id });
        }
        LeadChange::CancelSchedule => policy.schedule = None,
    }
    Ok(policy)
}

/// In the future, and not too far in it.
fn within(now: ClusterTime, time: ClusterTime, ms_max: i64) -> Result<(), Rejection> {
    let ahead = time.millis().saturating_sub(now.millis());
    if (1..=ms_max).contains(&ahead) { Ok(()) } else { Err(Rejection::TooFarAhead) }
}
