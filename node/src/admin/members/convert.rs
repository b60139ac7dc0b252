//! Between the wire and the rules, for who is a member.

use crate::admin::convert::{NewToken, join_token};
use crate::api::convert::{status, told};
use crate::consensus::Status as Seen;
use crate::entropy::Entropy;
use crate::gateway::{Error, Written};
use crate::members::{Forecast, Members, Pending, Refusal, Wait};
use plantao_domain::layout::{self, LayoutRow, MemberChange, Standing};
use plantao_domain::outcome::What;
use plantao_domain::{ClusterTime, Command, NodeId, Outcome, View, rows};
use plantao_proto::admin::v1;
use std::time::Duration;
use tonic::{Code, Status};

/// Nodes of one network, those that left included: far above any.
const NODES_MAX: usize = 1_000;

/// Whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The layout's version and what is staged.
pub(super) fn layout(view: &dyn View) -> Result<LayoutRow, Error> {
    Ok(rows::layout(view)?)
}

/// Whether a node holds the root key, and its successor so too.
pub(super) fn keyed(view: &dyn View, node: u64) -> Result<bool, Error> {
    Ok(rows::node(view, NodeId(node))?.ok_or(Error::NotFound(What::Node))?.description.keyed)
}

fn standing(of: Standing) -> i32 {
    match of {
        Standing::Voter => v1::Standing::Voter,
        Standing::Learner => v1::Standing::Learner,
        Standing::Removed => v1::Standing::Removed,
    }
    .into()
}

/// A change, on its way out.
pub(super) fn change(of: &MemberChange) -> v1::MemberChange {
    v1::MemberChange { node_id: of.node.0, to: standing(of.to) }
}

/// Changes, on their way in.
pub(super) fn changes(of: &[v1::MemberChange]) -> Result<Vec<MemberChange>, Error> {
    let change = |change: &v1::MemberChange| {
        let to = match change.to() {
            v1::Standing::Voter => Standing::Voter,
            v1::Standing::Learner => Standing::Learner,
            v1::Standing::Removed => Standing::Removed,
            v1::Standing::Unspecified => return Err(Error::Invalid { field: "changes.to", why: "is missing" }),
        };
        Ok(MemberChange { node: NodeId(change.node_id), to })
    };
    of.iter().map(change).collect()
}

/// The command of an operator.
pub(super) fn change_members(of: &v1::ChangeMembersRequest, changes: Vec<MemberChange>) -> Command {
    Command::ChangeMembers {
        changes,
        version: of.layout_version,
        reason: of.reason.clone(),
        allow_fewer_voters: of.allow_fewer_voters,
    }
}

/// The command that stages.
pub(super) fn stage(of: &v1::StageMembersRequest) -> Result<Command, Error> {
    Ok(Command::StageLayout { seen_version: of.seen_version, changes: changes(&of.changes)? })
}

/// A token and the command that makes it good for one place.
#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
pub(super) fn replacement(
    of: &v1::PlanReplacementRequest,
    now: ClusterTime,
    entropy: &dyn Entropy,
) -> Result<NewToken, Status> {
    let any = v1::CreateJoinTokenRequest { keyed: false, voter: false, lifetime_ms: of.lifetime_ms };
    let new = join_token(&any, now, entropy)?;
    let Command::CreateJoinToken { token, not_after, .. } = new.command else {
        return Err(status(&Error::Damaged));
    };
    let command = Command::PlanReplacement { token, not_after, node: NodeId(of.node_id), reason: of.reason.clone() };
    Ok(NewToken { command, ..new })
}

/// The layout's version, and whether anything changed.
#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
pub(super) fn decided(written: &Written) -> Result<(u32, bool), Status> {
    match &written.outcome {
        Outcome::Confirmed { version, changed, .. } => Ok((*version, *changed)),
        Outcome::Rejected(rejection) => Err(refused(&Refusal::Rules(rejection.clone()))),
        Outcome::ConfirmedWithConflict { .. } => Err(status(&Error::Unknown)),
    }
}

/// A refusal with its number and what to do.
pub(super) fn refused(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Gateway(error) => status(error),
        other => told(Code::FailedPrecondition, other.to_string(), other.code(), other.help(), true),
    }
}

/// What a change comes to, or came to.
pub(super) fn forecast(of: &Forecast, (layout_version, changed): (u32, bool)) -> v1::ChangeMembersResponse {
    let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
    v1::ChangeMembersResponse {
        layout_version,
        changed,
        voters: count(of.voters),
        may_lose: count(of.may_lose),
        answering: count(of.answering),
    }
}

/// What is still to be done.
pub(super) fn step(of: &Pending) -> v1::MemberStep {
    let (state, lag_entries) = match of.wait {
        Wait::Next => (v1::StepState::Next, 0),
        Wait::CatchingUp { lag } => (v1::StepState::CatchingUp, lag),
        Wait::Silent => (v1::StepState::Silent, 0),
        Wait::Unsafe => (v1::StepState::Unsafe, 0),
        Wait::Later => (v1::StepState::Later, 0),
        Wait::NoSuccessor => (v1::StepState::NoSuccessor, 0),
    };
    v1::MemberStep { node_id: of.node, to: standing(of.to), state: state.into(), lag_entries }
}

/// Every node that ever joined.
pub(super) fn nodes(view: &dyn View, seen: &Seen, members: &Members) -> Result<Vec<v1::NodeStanding>, Error> {
    let standings = layout::standings(view)?;
    let mut nodes = Vec::new();
    for (id, row) in rows::nodes(view, None, NODES_MAX)? {
        let decided = rows::standing(view, id)?;
        let store = rows::store(view, id)?.filter(|store| store.retired_at.is_none());
        let member = seen.member(id.0);
        let about = row.description;
        nodes.push(v1::NodeStanding {
            node_id: id.0,
            name: about.name,
            site: about.site,
            country: about.country,
            medium: about.medium,
            peer_address: about.peer_address,
            keyed: about.keyed,
            standing: standing(standings.get(&id).copied().unwrap_or(Standing::Learner)),
            member: member.is_some(),
            voter: member.is_some_and(|member| member.voter),
            lag_entries: seen.lag(id.0),
            lag_ms: member.and_then(|member| members.lag_time(member.matched?)).map(millis),
            last_contact_ms: member.and_then(|member| member.silent_for).map(millis),
            joined_ms: row.joined_at.millis(),
            decided_ms: decided.as_ref().map_or(0, |row| row.changed_at.millis()),
            decided_by: decided.as_ref().map(|row| row.by.as_bytes().to_vec().into()).unwrap_or_default(),
            replaces_node_id: decided.as_ref().and_then(|row| row.replaces).map_or(0, |node| node.0),
            reason: decided.map(|row| row.reason).unwrap_or_default(),
            expected_chunks: store.as_ref().map_or(0, |store| store.expected.chunks),
            received_chunks: store.as_ref().map_or(0, |store| store.received.chunks),
        });
    }
    Ok(nodes)
}
