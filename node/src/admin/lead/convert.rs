//! Between the wire and the rules, for the lead.

use crate::gateway::Error;
use crate::lead::Handover;
use crate::storage::state::StateStore;
use plantao_domain::cluster::NodeRow;
use plantao_domain::lead::{HISTORY_MAX, LeadCause, LeadKind, LeadershipRow};
use plantao_domain::{NodeId, rows};
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

fn change(row: &LeadershipRow, nodes: &[(NodeId, NodeRow)]) -> v1::LeadershipChange {
    let name = |node: NodeId| {
        let known = nodes.iter().find(|(id, _)| *id == node);
        known.map(|(_, row)| row.description.name.clone()).unwrap_or_default()
    };
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
