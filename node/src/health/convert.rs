//! Between what a node says of itself and the wire.

use super::cases::Verdict;
use super::checks::Finding;
use super::events::Stored;
use super::picture::Kind;
use plantao_proto::admin::v1;

pub(super) fn check(finding: &Finding) -> v1::Check {
    let verdict = match finding.case.verdict {
        Verdict::Ok => v1::CheckVerdict::Ok,
        Verdict::Attention => v1::CheckVerdict::Attention,
        Verdict::Bad => v1::CheckVerdict::Bad,
        Verdict::Unknown => v1::CheckVerdict::Unknown,
    };
    v1::Check {
        id: finding.case.id.to_owned(),
        case: finding.case.name.to_owned(),
        verdict: verdict.into(),
        seen: finding.case.told(&finding.values),
        help: finding.case.help.to_owned(),
        values: finding.values.clone(),
    }
}

pub(super) fn event(stored: &Stored) -> v1::Event {
    let event = &stored.event;
    let role = match (event.kind, event.voter) {
        (Kind::MemberJoined | Kind::MemberRole, true) => v1::NodeRole::Voter,
        (Kind::MemberJoined | Kind::MemberRole, false) => v1::NodeRole::Learner,
        _ => v1::NodeRole::Unspecified,
    };
    v1::Event {
        sequence: stored.sequence,
        at_ms: stored.at_ms,
        kind: kind(event.kind).into(),
        node_id: event.node.0,
        node_name: event.node.1.clone(),
        other_node_id: event.other.0,
        other_node_name: event.other.1.clone(),
        term: event.term,
        role: role.into(),
        code: event.code,
        message: event.message.clone(),
        count: event.count,
    }
}

fn kind(kind: Kind) -> v1::EventKind {
    match kind {
        Kind::Started => v1::EventKind::Started,
        Kind::LeaderChanged => v1::EventKind::LeaderChanged,
        Kind::LeaderLost => v1::EventKind::LeaderLost,
        Kind::MemberJoined => v1::EventKind::MemberJoined,
        Kind::MemberLeft => v1::EventKind::MemberLeft,
        Kind::MemberRole => v1::EventKind::MemberRole,
        Kind::NodeSilent => v1::EventKind::NodeSilent,
        Kind::NodeBack => v1::EventKind::NodeBack,
        Kind::LinkCut => v1::EventKind::LinkCut,
        Kind::LinkMended => v1::EventKind::LinkMended,
        Kind::WarningRaised => v1::EventKind::WarningRaised,
        Kind::WarningCleared => v1::EventKind::WarningCleared,
        Kind::CertificateReloaded => v1::EventKind::CertificateReloaded,
        Kind::Sealed => v1::EventKind::Sealed,
        Kind::Unsealed => v1::EventKind::Unsealed,
        Kind::CopiesBad => v1::EventKind::CopiesBad,
    }
}
