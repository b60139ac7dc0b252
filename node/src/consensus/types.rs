//! The openraft type configuration, and short names for openraft's generic types. No behaviour lives here.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The runtime that openraft spawns on. The one place to swap for a deterministic one in simulation.
pub type Runtime = openraft_rt_tokio::TokioRuntime;

openraft::declare_raft_types!(
    /// The types of our Raft group.
    pub TypeConfig:
        D = Proposal,
        R = Applied,
        NodeId = u64,
        Node = Member,
        AsyncRuntime = Runtime,
);

/// The largest [`Proposal::payload`], in bytes (DESIGN 12). Whoever proposes checks it before openraft sees it.
pub const PROPOSAL_BYTES_MAX: usize = 64 * 1024;

/// One replicated command: an encoded envelope, at most [`PROPOSAL_BYTES_MAX`]. Only the state machine decodes it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Proposal {
    /// The encoded envelope.
    #[serde(with = "as_bytes")]
    pub payload: Bytes,
}

/// Shows the size only: an envelope says who did what.
impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proposal({} bytes)", self.payload.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The state machine's answer to one entry.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Applied {
    /// The encoded outcome; empty for blank and membership entries.
    #[serde(with = "as_bytes")]
    pub outcome: Bytes,
    /// The index of the entry.
    pub index: u64,
}

impl fmt::Debug for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Applied({} bytes at {})", self.outcome.len(), self.index)
    }
}

/// What the membership says of a node. Replicated in clear: nothing personal, no secret.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Member {
    /// The operators' name for it.
    pub name: String,
    /// `host:port` of its peer listener.
    pub peer_address: String,
    /// Whether it may hold the root key. An off-site node never does, and leads last.
    pub keyed: bool,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keyed = if self.keyed { "keyed" } else { "keyless" };
        write!(f, "{} at {} ({keyed})", self.name, self.peer_address)
    }
}

/// A node's number in openraft. Never reused.
pub type NodeId = u64;
/// The handle of a running Raft node with state machine `SM`.
pub type Raft<SM> = openraft::Raft<TypeConfig, SM>;
/// A vote: term, candidate, whether a quorum granted it.
pub type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
/// Term and node of a leader.
pub type LeaderId = openraft::type_config::alias::LeaderIdOf<TypeConfig>;
/// Leader and index of an entry.
pub type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
/// A log entry.
pub type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
/// What a log entry carries: nothing, a proposal, or a membership.
pub type EntryPayload = openraft::type_config::alias::EntryPayloadOf<TypeConfig>;
/// Voters and learners, possibly of a joint configuration.
pub type Membership = openraft::Membership<NodeId, Member>;
/// A membership and the entry that made it so.
pub type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
/// What a snapshot covers.
pub type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
/// A snapshot with data of type `SD`.
pub type Snapshot<SD> = openraft::type_config::alias::SnapshotOf<TypeConfig, SD>;
/// What a running Raft node tells about itself.
pub type Metrics = openraft::RaftMetrics<TypeConfig>;

/// `Bytes` for serde: a byte string where the format has one, else a sequence.
mod as_bytes {
    use std::fmt;

    use bytes::Bytes;
    use serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(value: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor)
    }

    struct BytesVisitor;

    impl<'de> Visitor<'de> for BytesVisitor {
        type Value = Bytes;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Bytes, E> {
            Ok(Bytes::copy_from_slice(value))
        }

        fn visit_byte_buf<E: Error>(self, value: Vec<u8>) -> Result<Bytes, E> {
            Ok(value.into())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Bytes, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = sequence.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes.into())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_keeps_its_bytes_through_serde_and_shows_none_of_them() {
        let proposal = Proposal { payload: Bytes::from_static(b"sealed\x00\xff") };
        let text = serde_json::to_string(&proposal).unwrap();
        assert_eq!(serde_json::from_str::<Proposal>(&text).unwrap(), proposal);
        assert_eq!(format!("{proposal} {proposal:?}"), "Proposal(8 bytes) Proposal(8 bytes)");
    }
}
