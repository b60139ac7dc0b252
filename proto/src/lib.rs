//! Wire contracts: code generated from `proto/plantao/**`, and how its messages are read. No rule about what a message
//! may ask for, and nothing else of ours.
//!
//! One package per plane and version. A golden copy of the descriptors (`golden/v1.binpb`) refuses changes that would
//! break a program or a node of another version.

pub mod refusal;
pub mod strict;

/// All services and messages, as a serialized `FileDescriptorSet`: for reflection and for the golden test.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// For programs of a clinic.
#[allow(missing_docs, clippy::all, unreachable_pub, reason = "generated; the .proto files carry the documentation")]
pub mod public {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("plantao.public.v1");
    }
}

/// For operators.
#[allow(missing_docs, clippy::all, unreachable_pub, reason = "generated; the .proto files carry the documentation")]
pub mod admin {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("plantao.admin.v1");
    }
}

/// Between nodes.
#[allow(missing_docs, clippy::all, unreachable_pub, reason = "generated; the .proto files carry the documentation")]
pub mod peer {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("plantao.peer.v1");
    }
}
