//! A network of real nodes on loopback for the tests: processes of the daemon, a fresh authority, clients of every
//! identity, and faults on demand.
//!
//! ```text
//! test ─► clients ─► 127.a.b.n:7400 public ┐
//!                    127.a.b.n:7401 admin  ├ plantaod (a process)
//! other nodes ─► relay 127.a.b.n:7412 ─► 127.a.b.n:7402 peer ┘
//! ```
//! Each node has an address of its own below 127/8, made of this process's id: no port is ever searched for, and a
//! restarted node is where it was. Every connection between nodes passes a [`links::Relay`], which can cut a link between two
//! of them. Whatever happens to a test, dropping the [`network::Network`] ends its processes, and only those.
#![allow(clippy::unwrap_used, reason = "what a test cannot go on from, it says where")]
#![allow(clippy::missing_panics_doc, reason = "the same")]

pub mod fuzz;
pub mod json_tables;
pub mod links;
pub mod network;
pub mod scan;
pub mod transport;
pub mod wait;
