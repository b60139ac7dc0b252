//! Between the wire and the domain, for operators and joining nodes.

use plantao_domain::cluster::NodeDescription;
use plantao_domain::command::Tag;
use plantao_proto::admin::v1 as admin;
use plantao_proto::peer::v1 as peer;
use tonic::Status;

/// Digest of a join token: what the state keeps.
pub(crate) fn token_digest(token: &str) -> Tag {
    Tag(blake3::derive_key("plantao 2026-11 join token", token.trim().as_bytes()))
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

/// What a joining node says of itself. What it may be follows from the token, not from here.
#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
pub(crate) fn joining(request: &peer::JoinRequest) -> Result<(Tag, NodeDescription), Status> {
    let country = request.country.as_str();
    if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(Status::invalid_argument("country: two capital letters, as BR"));
    }
    if request.peer_address.is_empty() || request.peer_address.len() > 300 {
        return Err(Status::invalid_argument("peer_address: host:port"));
    }
    Ok((
        token_digest(&request.token),
        NodeDescription {
            name: slug("name", &request.name)?,
            site: slug("site", &request.site)?,
            country: country.to_string(),
            medium: slug("medium", &request.medium)?,
            peer_address: request.peer_address.clone(),
            keyed: true,
            voter: true,
        },
    ))
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
