//! Between the wire and the rules, for the lead.

use crate::gateway::Error;
use crate::lead::Handover;
use crate::storage::state::StateStore;
use plantao_domain::cluster::NodeRow;
use plantao_domain::lead::{
    HISTORY_MAX, LeadCause, LeadChange, LeadKind, LeadPolicy, LeadershipRow, Pause, REASON_BYTES_MAX,
};
use plantao_domain::recovery::RecoveryRow;
use plantao_domain::rows::{self, AuditPlace};
use plantao_domain::{ClusterTime, NodeId};
use plantao_proto::admin::v1;

/// What an operator asks for.
pub(crate) fn handover(request: &v1::TransferLeadershipRequest) -> Result<Handover, Error> {
    if request.failback && request.to_node_id != 0 {
        return Err(Error::Invalid { field: "to_node_id", why: "a failback goes where the lead belongs" });
    }
    let node = |id: u64| (id != 0).then_some(NodeId(id));
    Ok(Handover {
        to: node(request.to_node_id),
        expect_leader: node(request.expect_leader_id),
        cause: if request.failback { LeadCause::Failback } else { LeadCause::Switchover },
        reason: request.reason.clone(),
    })
}

/// Changes since a time, the latest first.
pub(super) fn history(
    state: &dyn StateStore,
    nodes: &[(NodeId, NodeRow)],
    limit: u32,
    since_ms: i64,
) -> Result<Vec<v1::LeadershipChange>, Error> {
    let limit = usize::try_from(limit).unwrap_or(HISTORY_MAX).min(HISTORY_MAX);
    let found = rows::leaderships(state, limit)?;
    let recent = found.iter().filter(|row| since_ms == 0 || row.at.millis() >= since_ms);
    Ok(recent.map(|row| change(row, nodes)).collect())
}

/// Majorities that were given up since a time, the latest first.
pub(super) fn recoveries(
    state: &dyn StateStore,
    nodes: &[(NodeId, NodeRow)],
    since_ms: i64,
) -> Result<Vec<v1::QuorumRecovery>, Error> {
    let kept = rows::cluster(state)?.and_then(|cluster| cluster.recoveries).unwrap_or_default();
    let recent = kept.iter().rev().filter(|row| since_ms == 0 || row.at.millis() >= since_ms);
    recent.map(|row| recovery(state, nodes, row)).collect()
}

fn recovery(
    state: &dyn StateStore,
    nodes: &[(NodeId, NodeRow)],
    row: &RecoveryRow,
) -> Result<v1::QuorumRecovery, Error> {
    let told = &row.recovery;
    let after = AuditPlace { index: told.last_index.saturating_add(1), ordinal: 0 };
    let last_write = rows::audit_newest(state, Some(after), 1)?;
    Ok(v1::QuorumRecovery {
        incarnation: told.incarnation,
        at_ms: row.at.millis(),
        kept_node_ids: told.kept.iter().map(|node| node.0).collect(),
        kept_names: told.kept.iter().map(|node| name(*node, nodes)).collect(),
        last_term: told.last_term,
        last_index: told.last_index,
        last_write_ms: last_write.first().map(|(_, entry)| entry.at.millis()),
        dropped_voter_ids: told.dropped_voters.iter().map(|node| node.0).collect(),
    })
}

fn name(node: NodeId, nodes: &[(NodeId, NodeRow)]) -> String {
    let known = nodes.iter().find(|(id, _)| *id == node);
    known.map(|(_, row)| row.description.name.clone()).unwrap_or_default()
}

fn change(row: &LeadershipRow, nodes: &[(NodeId, NodeRow)]) -> v1::LeadershipChange {
    let name = |node| name(node, nodes);
    let told = &row.told;
    v1::LeadershipChange {
        term: told.term,
        at_ms: row.at.millis(),
        kind: kind(told.kind).into(),
        cause: cause(told.cause).into(),
        reason: row.reason.clone(),
        from_node_id: told.from.map_or(0, |node| node.0),
        from_name: told.from.map(name).unwrap_or_default(),
        to_node_id: told.to.0,
        to_name: name(told.to),
        detected_ms: told.detected_ms,
        gap_ms: told.gap_ms,
    }
}

fn kind(kind: LeadKind) -> v1::LeadKind {
    match kind {
        LeadKind::Planned => v1::LeadKind::Planned,
        LeadKind::Automatic => v1::LeadKind::Automatic,
        LeadKind::Drill => v1::LeadKind::Drill,
        LeadKind::Forced => v1::LeadKind::Forced,
    }
}

fn cause(cause: LeadCause) -> v1::LeadCause {
    match cause {
        LeadCause::Silence => v1::LeadCause::Silence,
        LeadCause::Start => v1::LeadCause::Start,
        LeadCause::HandedOver => v1::LeadCause::HandedOver,
        LeadCause::Switchover => v1::LeadCause::Switchover,
        LeadCause::Scheduled => v1::LeadCause::Scheduled,
        LeadCause::Failback => v1::LeadCause::Failback,
        LeadCause::Preferred => v1::LeadCause::Preferred,
        LeadCause::Drain => v1::LeadCause::Drain,
        LeadCause::Clock => v1::LeadCause::Clock,
        LeadCause::Failover => v1::LeadCause::Failover,
    }
}

/// A reason that will be in the log once this node leads: the rule would refuse it when it is too late to say so.
pub(super) fn check_reason(reason: &str) -> Result<(), Error> {
    if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        return Err(Error::Invalid { field: "reason", why: "at most 200 bytes, no control characters" });
    }
    Ok(())
}

/// What an operator wants to change.
pub(super) fn change_of(change: Option<v1::set_lead_policy_request::Change>) -> Result<LeadChange, Error> {
    use v1::set_lead_policy_request::Change;
    let node = |field, id: u64| if id == 0 { Err(missing(field)) } else { Ok(NodeId(id)) };
    let time = |field, ms: i64| ClusterTime::from_millis(ms).ok_or_else(|| missing(field));
    let some = |id: u64| (id != 0).then_some(NodeId(id));
    Ok(match change.ok_or_else(|| missing("change"))? {
        Change::PreferNodeId(id) => LeadChange::Prefer { node: some(id) },
        Change::PauseUntilMs(ms) => LeadChange::Pause { until: time("pause_until_ms", ms)? },
        Change::Resume(_) => LeadChange::Resume,
        Change::MaintenanceUntilMs(ms) => LeadChange::StartMaintenance { until: time("maintenance_until_ms", ms)? },
        Change::StopMaintenance(_) => LeadChange::StopMaintenance,
        Change::DrainNodeId(id) => LeadChange::Drain { node: node("drain_node_id", id)? },
        Change::UndrainNodeId(id) => LeadChange::Undrain { node: node("undrain_node_id", id)? },
        Change::Schedule(schedule) => {
            LeadChange::Schedule { at: time("schedule.at_ms", schedule.at_ms)?, to: some(schedule.to_node_id) }
        }
        Change::CancelSchedule(_) => LeadChange::CancelSchedule,
    })
}

fn missing(field: &'static str) -> Error {
    Error::Invalid { field, why: "is missing, or outside its bounds" }
}

/// The policy as it is at a time: what is over is not told.
pub(crate) fn policy(policy: &LeadPolicy, now: ClusterTime, stands_for_election: bool) -> v1::LeadPolicy {
    let pause = |pause: &Option<Pause>| {
        pause.as_ref().filter(|pause| pause.holds(now)).map(|pause| v1::LeadPause {
            since_ms: pause.since.millis(),
            until_ms: pause.until.millis(),
            reason: pause.reason.clone(),
        })
    };
    v1::LeadPolicy {
        preferred_node_id: policy.preferred.map_or(0, |node| node.0),
        pause: pause(&policy.pause),
        maintenance: pause(&policy.maintenance),
        schedule: policy.schedule.as_ref().map(|schedule| v1::LeadSchedule {
            at_ms: schedule.at.millis(),
            to_node_id: schedule.to.map_or(0, |node| node.0),
            reason: schedule.reason.clone(),
            missed: schedule.is_missed(now),
        }),
        stands_for_election,
        drained_node_ids: policy.drained.iter().map(|node| node.0).collect(),
    }
}
