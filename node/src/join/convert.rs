//! Between the wire and the rules, for nodes that join, on both sides.

use crate::api::convert::told;
use crate::config::Config;
use crate::gateway::Written;
use crate::storage::identity::NodeIdentity;
use crate::storage::level::PROGRAM;
use plantao_domain::cluster::{NodeDescription, NodeRow};
use plantao_domain::command::{Sealed, Tag};
use plantao_domain::upgrade::{LEVEL_FIRST, LEVEL_NEWEST};
use plantao_domain::{ClusterId, Command, NodeId, Outcome, Rejection, View, ViewFault, rows};
use plantao_proto::peer::v1;
use tonic::{Code, Status};

/// Digest of a join token: what the state keeps.
pub(crate) fn token_digest(token: &str) -> Tag {
    Tag(blake3::derive_key("plantao 2026-11 join token", token.trim().as_bytes()))
}

/// What a node says of itself when it spends its token.
pub(crate) fn request(config: &Config, token: &str) -> v1::JoinRequest {
    v1::JoinRequest {
        token: token.to_owned(),
        name: config.name.clone(),
        site: config.site.clone(),
        country: config.country.clone(),
        medium: config.medium.clone(),
        peer_address: config.peer_address.clone(),
        format_max: config.level_max.min(LEVEL_NEWEST),
    }
}

/// The newest format level that the program of a node that joins reads.
pub(crate) fn newest_level(request: &v1::JoinRequest) -> u32 {
    request.format_max.max(LEVEL_FIRST)
}

/// Whether the network writes what that program does not read; its number is not spent then.
#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
pub(crate) fn check_level(request: &v1::JoinRequest, level: u32) -> Result<(), Status> {
    if newest_level(request) >= level {
        return Ok(());
    }
    let refused = Rejection::ProgramTooOld { needs: level };
    let (code, help) = (refused.code(), refused.help());
    let text = format!("{refused} (PLT-{code}): {help}; the nodes run plantaod {PROGRAM}");
    Err(told(Code::FailedPrecondition, text, code, help, true))
}

fn slug(field: &str, text: &str) -> Result<String, Status> {
    let fits = (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits {
        Ok(text.to_string())
    } else {
        Err(Status::invalid_argument(format!("{field}: lowercase letters, digits and hyphens, 1 to 32")))
    }
}

/// The command that spends a token, in a network at this format level. What the node may be follows from the token, not from what it says.
#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
pub(crate) fn redeem(request: &v1::JoinRequest, level: u32) -> Result<Command, Status> {
    let country = request.country.as_str();
    if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(Status::invalid_argument("country: two capital letters, as BR"));
    }
    if request.peer_address.is_empty() || request.peer_address.len() > 300 {
        return Err(Status::invalid_argument("peer_address: host:port"));
    }
    let node = NodeDescription {
        name: slug("name", &request.name)?,
        site: slug("site", &request.site)?,
        country: country.to_string(),
        medium: slug("medium", &request.medium)?,
        peer_address: request.peer_address.clone(),
        keyed: true,
        voter: true,
    };
    // Programs of the first level do not read what it says of levels.
    let level = (level > LEVEL_FIRST).then(|| newest_level(request));
    Ok(Command::RedeemJoinToken { token: token_digest(&request.token), node, level })
}

/// The number that a spent token gave.
#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
pub(crate) fn number(written: &Written) -> Result<NodeId, Status> {
    match &written.outcome {
        Outcome::Confirmed { node: Some(number), .. } => Ok(*number),
        Outcome::Rejected(rejection) => {
            Err(Status::permission_denied(format!("{rejection} (PLT-{}): {}", rejection.code(), rejection.help())))
        }
        _ => Err(Status::internal("the join has no number")),
    }
}

/// The root key wrapped by the paper passphrase, as every node has it.
///
/// # Errors
/// The rows cannot be read.
pub(crate) fn recovery_slot(view: &dyn View) -> Result<Option<Sealed>, ViewFault> {
    rows::recovery_slot(view)
}

/// What the network `us` answers a new node, from the rows of all nodes.
#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
pub(crate) fn welcome(
    us: &NodeIdentity,
    number: NodeId,
    nodes: &[(NodeId, NodeRow)],
    recovery_slot: Option<Sealed>,
) -> Result<v1::JoinResponse, Status> {
    let row = nodes.iter().find(|(id, _)| *id == number).map(|(_, row)| row);
    let row = row.ok_or_else(|| Status::unavailable("this node has not applied the join yet"))?;
    let others = nodes.iter().filter(|(id, _)| *id != number);
    Ok(v1::JoinResponse {
        cluster_id: us.cluster.as_bytes().to_vec().into(),
        cluster_name: us.cluster_name.clone(),
        incarnation: us.incarnation,
        node_id: number.0,
        keyed: row.description.keyed,
        voter: row.description.voter,
        members: others
            .map(|(id, row)| v1::join_response::Seed {
                node_id: id.0,
                peer_address: row.description.peer_address.clone(),
            })
            .collect(),
        recovery_slot: recovery_slot.filter(|_| row.description.keyed).unwrap_or_default().0.into(),
    })
}

/// Who the new node `name` is from now on; `None`: the answer names no network.
pub(crate) fn identity(answer: v1::JoinResponse, name: &str) -> Option<NodeIdentity> {
    Some(NodeIdentity {
        cluster: ClusterId::from_bytes(answer.cluster_id.as_ref().try_into().ok()?),
        cluster_name: answer.cluster_name,
        node: NodeId(answer.node_id),
        name: name.to_owned(),
        incarnation: answer.incarnation,
        keyed: answer.keyed,
        raised: None,
    })
}

/// The note that the root key goes to this node.
pub(crate) fn note_root_handed(node: u64) -> Command {
    Command::NoteRootHanded { node: NodeId(node) }
}

/// Whether it changed anything, and so whether this is the one time.
pub(crate) fn changed(written: &Written) -> bool {
    matches!(written.outcome, Outcome::Confirmed { changed: true, .. })
}
