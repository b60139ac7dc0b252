//! The daemon: replication, storage, sealing, and the services of one node.
//!
//! Layers, each may use those below it: `cmd` → `app` → `api`, `admin` → `consensus` → `storage`, `transport`, `crypto` →
//! `config`, `telemetry`, `clock`, `entropy`, `error`. Only `app` wires components.

pub mod clock;
pub mod consensus;
pub mod crypto;
pub mod entropy;
pub mod local_network;
pub mod peer;
pub mod storage;
pub mod transport;
