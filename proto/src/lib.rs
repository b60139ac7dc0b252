//! Wire contracts: code generated from `proto/plantao/**`. No logic, and nothing else of ours.
//!
//! One package per plane and version. A golden copy of the descriptors (`golden/v1.binpb`) refuses changes that would
//! break a program or a node of another version.
#![allow(missing_docs, reason = "generated; the .proto files carry the documentation")]
#![allow(clippy::all, unreachable_pub, reason = "generated")]

/// All services and messages, as a serialized `FileDescriptorSet`: for reflection and for the golden test.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// For programs of a clinic.
pub mod public {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("plantao.public.v1");
    }
}

/// For operators.
pub mod admin {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("plantao.admin.v1");
    }
}

/// Between nodes.
pub mod peer {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("plantao.peer.v1");
    }
}
