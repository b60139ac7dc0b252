//! Between the wire and the rules, for operators.

use crate::consensus::{Link, MemberStatus};
use crate::entropy::{Entropy, random};
use crate::gateway::Written;
use crate::images::keeping::ImagesReport;
use crate::join::convert::token_digest;
use plantao_domain::cluster::NodeDescription;
use plantao_domain::{ClusterTime, Command, Outcome, Rejection};
use plantao_proto::admin::v1 as admin;
use std::time::Duration;
use tonic::Status;

const TOKEN_LIFETIME_MS_DEFAULT: i64 = 3_600_000;
const TOKEN_LIFETIME_MS_MAX: i64 = 7 * 24 * 3_600_000;

/// A join token that is to be made: what its reader gets, and what the network keeps.
pub(crate) struct NewToken {
    /// Shown once.
    pub(crate) token: String,
    /// Last instant at which it is taken.
    pub(crate) not_after_ms: i64,
    /// Only a digest of the token is in it.
    pub(crate) command: Command,
}

/// A fresh token as an operator asks for it.
#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
pub(crate) fn join_token(
    request: &admin::CreateJoinTokenRequest,
    now: ClusterTime,
    entropy: &dyn Entropy,
) -> Result<NewToken, Status> {
    let lifetime_ms = match request.lifetime_ms {
        0 => TOKEN_LIFETIME_MS_DEFAULT,
        asked => i64::try_from(asked).unwrap_or(i64::MAX),
    };
    if lifetime_ms > TOKEN_LIFETIME_MS_MAX {
        return Err(Status::invalid_argument("lifetime_ms: at most 7 days"));
    }
    let bytes: [u8; 20] = random(entropy);
    let token = format!("plt-{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let not_after = ClusterTime::saturating_from_millis(now.millis().saturating_add(lifetime_ms));
    let command =
        Command::CreateJoinToken { token: token_digest(&token), not_after, keyed: request.keyed, voter: request.voter };
    Ok(NewToken { token, not_after_ms: not_after.millis(), command })
}

/// Whether the network did what an operator asked for.
#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
pub(crate) fn confirmed(written: &Written) -> Result<(), Status> {
    match &written.outcome {
        Outcome::Rejected(rejection) => Err(Status::failed_precondition(refusal(rejection))),
        _ => Ok(()),
    }
}

fn refusal(rejection: &Rejection) -> String {
    format!("{rejection} (PLT-{}): {}", rejection.code(), rejection.help())
}

/// A member as consensus sees it and as the replicated state describes it, which comes a moment later.
/// `behind` is for how long it has lacked an entry, as the leader knows.
pub(crate) fn member(
    member: &MemberStatus,
    described: Option<&NodeDescription>,
    leader: Option<u64>,
    behind: Option<Duration>,
) -> admin::Member {
    let text = |of: fn(&NodeDescription) -> &String| described.map(of).cloned().unwrap_or_default();
    admin::Member {
        node_id: member.id,
        name: member.member.name.clone(),
        site: text(|node| &node.site),
        country: text(|node| &node.country),
        medium: text(|node| &node.medium),
        peer_address: member.member.peer_address.clone(),
        role: role(leader == Some(member.id), member.voter, leader.is_some()).into(),
        keyed: member.member.keyed,
        matched_index: member.matched.unwrap_or(0),
        last_contact_ms: member.silent_for.map(|silent| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)),
        behind_ms: behind.map(|behind| u64::try_from(behind.as_millis()).unwrap_or(u64::MAX)),
        clock_offset_ms: member.clock.map(|clock| clock.offset_ms),
        clock_uncertainty_ms: member
            .clock
            .map(|clock| u64::try_from(clock.uncertainty.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// The copies of images.
pub(crate) fn images(report: &ImagesReport) -> admin::ImageCopies {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let nodes = report.nodes.iter().map(|copies| admin::NodeCopies {
        node_id: copies.node.0,
        medium: copies.medium.clone(),
        expected_chunks: copies.expected.chunks,
        expected_bytes: copies.expected.bytes,
        received_chunks: copies.received.chunks,
        received_bytes: copies.received.bytes,
        backlog_parts: copies.backlog.amount.parts,
        backlog_chunks: copies.backlog.amount.chunks,
        backlog_bytes: copies.backlog.amount.bytes,
        backlog_ms: copies.backlog.time.map(millis),
        held: copies.directory.map(|held| admin::CopiesHeld {
            chunks: held.chunks,
            bytes: held.bytes,
            oldest_check_age_ms: millis(held.oldest_check_age),
            bad_total: held.bad,
        }),
    });
    admin::ImageCopies {
        images: report.head.images,
        image_bytes: report.head.image_bytes,
        open_uploads: report.head.open_uploads.into(),
        tombstones: report.head.tombstones,
        nodes: nodes.collect(),
    }
}

/// A link, on this node's clock.
pub(crate) fn link(link: &Link, now_ms: i64) -> admin::Link {
    let lasting_ms = i64::try_from(link.lasting.as_millis()).unwrap_or(i64::MAX);
    admin::Link {
        from_node_id: link.from,
        to_node_id: link.to,
        reachable: link.reachable,
        since_ms: now_ms.saturating_sub(lasting_ms),
        cut: link.cut,
    }
}

/// The role of a member, as the wire has it.
pub(crate) fn role(leads: bool, voter: bool, knows_leader: bool) -> admin::NodeRole {
    match (leads, voter, knows_leader) {
        (true, ..) => admin::NodeRole::Leader,
        (false, false, _) => admin::NodeRole::Learner,
        (false, true, true) => admin::NodeRole::Voter,
        (false, true, false) => admin::NodeRole::Candidate,
    }
}
