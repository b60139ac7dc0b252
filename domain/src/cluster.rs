//! Nodes: site, country, medium, role; join tokens; the cluster's own row.

use crate::command::Tag;
use crate::id::*;
use crate::time::ClusterTime;
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
}
