//! The rules of the clinic, as one pure function over values.
//!
//! ```text
//! Envelope ──► apply(&View, LogId, &Envelope) ──► Applied { outcome, changes, audit }
//!                    reads rows                    the shell writes the changes in one batch
//! ```
//! Nothing here reads a clock, a random number, a file or a socket, and nothing iterates in hash order: every replica
//! that is fed the same log holds the same rows, byte for byte. Content that names or describes a person arrives
//! sealed and is never opened here.
#![deny(clippy::float_arithmetic, clippy::iter_over_hash_type, clippy::indexing_slicing)]

pub mod access;
pub mod agenda;
mod apply;
pub mod audit;
pub mod bounds;
mod case;
pub mod cluster;
pub mod codec;
pub mod command;
pub mod consent;
mod deed;
pub mod digest;
pub mod directory;
pub mod id;
pub mod images;
pub mod keys;
pub mod layout;
pub mod lead;
pub mod outcome;
pub mod patients;
pub mod planted;
pub mod records;
pub mod recovery;
pub mod rows;
pub mod time;
pub mod upgrade;
pub mod view;

pub use apply::{Applied, apply};
pub use command::{Actor, Command, Envelope, Role, Sealed};
pub use id::*;
pub use outcome::{Outcome, Rejection};
pub use time::{ClusterTime, Interval};
pub use view::{Changes, MemView, Overlay, View, ViewFault};
