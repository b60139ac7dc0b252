//! The simulated world: whole nodes of `plantao_node` in one thread, over a simulated network, simulated time and disks that lose
//! what was not flushed. One seed decides everything that happens, and the same seed does it again.
//!
//! ```text
//!  programs ── client, mutual TLS ──► [ node: api, gateway, sealing, consensus, state ] ── mutual TLS ──► other nodes
//!                                          │ log: log.rs        │ rows: engine.rs      sockets: sockets.rs
//!                                          └ flushed later, lost at a power cut ┘   chunk files: chunks.rs
//!  each tick: faults.rs does what is due, invariants.rs looks into every node, trace.rs takes it down
//! ```
//! What runs here and what does not is in decision 0027.

mod chunks;
pub(crate) mod cluster;
mod engine;
mod faults;
mod invariants;
mod log;
pub(crate) mod program;
pub(crate) mod run;
mod sockets;
mod trace;
