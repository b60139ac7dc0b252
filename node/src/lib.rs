//! The daemon: replication, storage, sealing, and the services of one node.
//!
//! Layers, each may use those below it: `cmd` → `app` → `api`, `admin`, `health`, `join`, `peer` → `images`, `members`, `survivor`, `upgrade` → `gateway` → `consensus` →
//! `chunks`, `journal`, `storage`, `transport`, `crypto` → `config`, `telemetry`, `clock`, `entropy`, `work`. Only `app` wires components.

pub mod admin;
#[doc(hidden)]
pub mod again;
pub mod api;
pub mod app;
pub mod chunks;
pub mod clock;
pub mod cmd;
pub mod config;
pub mod consensus;
pub mod crypto;
pub mod entropy;
pub mod gateway;
pub mod health;
pub mod images;
pub mod join;
pub mod journal;
pub mod lead;
pub mod local_network;
pub mod members;
pub mod peer;
pub mod proof;
pub mod room;
pub mod storage;
pub mod survivor;
pub mod telemetry;
pub mod transport;
pub mod upgrade;
pub mod work;
