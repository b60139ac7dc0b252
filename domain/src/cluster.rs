//! Nodes: site, country, medium, role; join tokens; the cluster's own row; and the rules of creating and joining.
//!
//! Which nodes are members *now* is Raft's to say: rows of nodes are never deleted, so that a number is never used
//! again. Names may repeat: a damaged node comes back under its name with a fresh number.

use crate::case::{Case, Done, Ruling};
use crate::command::{KeyOwner, Sealed, Tag, WrappedKey};
use crate::id::*;
use crate::layout::{self, Replacement};
use crate::outcome::{Field, Rejection};
use crate::recovery::RecoveryRow;
use crate::rows;
use crate::time::ClusterTime;
use crate::upgrade::{self, LEVEL_FIRST};
use crate::view::Changes;
use minicbor::{Decode, Encode};

/// What a node says of itself when it joins. Declared by its operator; not personal.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct NodeDescription {
    /// Lowercase letters, digits and hyphens, 1 to 32; the name that operators use.
    #[n(0)]
    pub name: String,
    /// Where it stands: two nodes of one site do not count as two places. Same alphabet as the name.
    #[n(1)]
    pub site: String,
    /// ISO 3166-1 alpha-2, uppercase.
    #[n(2)]
    pub country: String,
    /// What its copies rest on, e.g. `ssd`, `hdd`. Same alphabet as the name.
    #[n(3)]
    pub medium: String,
    /// `host:port` of its peer listener.
    #[n(4)]
    pub peer_address: String,
    /// Whether it may hold the root key. An off-site node never does.
    #[n(5)]
    pub keyed: bool,
    /// Whether it is to vote.
    #[n(6)]
    pub voter: bool,
}

/// A node as the state knows it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct NodeRow {
    /// What it said.
    #[n(0)]
    pub description: NodeDescription,
    /// When it joined.
    #[n(1)]
    pub joined_at: ClusterTime,
    /// Whether the root key was handed to it.
    #[n(2)]
    pub root_handed: bool,
}

/// A join token that was not spent yet.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct JoinTokenRow {
    /// BLAKE3 of the token.
    #[n(0)]
    pub token: Tag,
    /// Last instant of use.
    #[n(1)]
    pub not_after: ClusterTime,
    /// Whether the node is to hold the root key.
    #[n(2)]
    pub keyed: bool,
    /// Whether it becomes a voter.
    #[n(3)]
    pub voter: bool,
    /// Whose place the node takes.
    #[n(4)]
    pub replaces: Option<Replacement>,
}

/// The cluster itself.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ClusterRow {
    /// Its id.
    #[n(0)]
    pub cluster_id: ClusterId,
    /// Its name.
    #[n(1)]
    pub name: String,
    /// When it was created.
    #[n(2)]
    pub created_at: ClusterTime,
    /// The next node id to give.
    #[n(3)]
    pub next_node: NodeId,
    /// The current key epoch.
    #[n(4)]
    pub epoch: u32,
    /// How lost majorities were given up, the newest [`RECOVERIES_MAX`](crate::recovery::RECOVERIES_MAX), oldest first.
    #[n(5)]
    pub recoveries: Option<Vec<RecoveryRow>>,
}

/// Outdated tokens that go with each new one.
const PURGED_TOKENS_MAX: usize = 8;
/// Unspent tokens: far more than nodes that join at the same time.
pub(crate) const TOKENS_MAX: usize = 64;

/// What a cluster begins with.
pub(crate) struct Beginning<'a> {
    pub(crate) cluster_id: ClusterId,
    pub(crate) name: &'a str,
    pub(crate) recovery_slot: &'a Sealed,
    pub(crate) epoch_key: &'a Sealed,
    pub(crate) search_key: &'a WrappedKey,
    pub(crate) tag_key: &'a WrappedKey,
    pub(crate) first_node: &'a NodeDescription,
}

/// The first command. The epoch's number is the one that both keys name.
pub(crate) fn create(case: &Case<'_>, beginning: &Beginning<'_>) -> Ruling {
    let Beginning { cluster_id, name, recovery_slot, epoch_key, search_key, tag_key, first_node } = *beginning;
    if rows::cluster(case.view)?.is_some() {
        return Err(Rejection::WrongClusterState.into());
    }
    let frames = [recovery_slot, epoch_key, &search_key.frame, &tag_key.frame];
    if search_key.epoch != tag_key.epoch || frames.iter().any(|frame| frame.0.is_empty()) {
        return Err(Rejection::Invalid { field: Field::Content }.into());
    }
    let first = NodeId(1);
    let row = ClusterRow {
        cluster_id,
        name: name.to_owned(),
        created_at: case.at,
        next_node: NodeId(2),
        epoch: search_key.epoch,
        recoveries: None,
    };
    // It made the root key, so it has it.
    let node = NodeRow { description: first_node.clone(), joined_at: case.at, root_handed: first_node.keyed };
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::cluster_key(), &row);
    rows::put(&mut changes, rows::recovery_slot_key(), recovery_slot);
    rows::put(&mut changes, rows::epoch_key_key(search_key.epoch), epoch_key);
    rows::put(&mut changes, rows::data_key_key(KeyOwner::Search), search_key);
    rows::put(&mut changes, rows::data_key_key(KeyOwner::ContentTag), tag_key);
    rows::put(&mut changes, rows::node_key(first), &node);
    Ok(Done { node: Some(first), ..Done::changed(0, changes) })
}

/// A token for one node. Outdated ones are cleared on the way.
pub(crate) fn create_token(case: &Case<'_>, token: JoinTokenRow) -> Ruling {
    if let Some(row) = rows::join_token(case.view, &token.token)? {
        return if row == token { Ok(Done::unchanged(0)) } else { Err(Rejection::TokenRefused.into()) };
    }
    if token.not_after < case.at {
        return Err(Rejection::TokenRefused.into());
    }
    let unspent = rows::join_tokens(case.view, TOKENS_MAX)?;
    let outdated = unspent.iter().filter(|row| row.not_after < case.at).take(PURGED_TOKENS_MAX);
    let mut changes = Changes::new();
    for row in outdated {
        rows::delete(&mut changes, rows::join_token_key(&row.token));
    }
    if unspent.len() == TOKENS_MAX && changes.is_empty() {
        return Err(Rejection::TokenRefused.into());
    }
    rows::put(&mut changes, rows::join_token_key(&token.token), &token);
    Ok(Done::changed(0, changes))
}

/// A node joins: the token is spent, and the node gets the next number. It is keyed and votes only where both the token
/// and its own description say so. Its program must read what the network writes: what was proposed before the level was
/// raised tells no level, and is refused then.
pub(crate) fn redeem(case: &Case<'_>, token: &Tag, node: &NodeDescription, level: Option<u32>) -> Ruling {
    let cluster = rows::cluster(case.view)?.ok_or(Rejection::WrongClusterState)?;
    let row = rows::join_token(case.view, token)?.ok_or(Rejection::TokenRefused)?;
    if row.not_after < case.at {
        return Err(Rejection::TokenRefused.into());
    }
    let needs = upgrade::level(case.view)?;
    if level.unwrap_or(LEVEL_FIRST) < needs {
        return Err(Rejection::ProgramTooOld { needs }.into());
    }
    let id = cluster.next_node;
    let description =
        NodeDescription { keyed: node.keyed && row.keyed, voter: node.voter && row.voter, ..node.clone() };
    let next_node = NodeId(id.0.saturating_add(1));
    let mut changes = Changes::new();
    if let Some(replaces) = row.replaces {
        layout::joined(case, &mut changes, id, replaces);
    }
    rows::delete(&mut changes, rows::join_token_key(token));
    rows::put(&mut changes, rows::node_key(id), &NodeRow { description, joined_at: case.at, root_handed: false });
    rows::put(&mut changes, rows::cluster_key(), &ClusterRow { next_node, ..cluster });
    Ok(Done { node: Some(id), ..Done::changed(0, changes) })
}
