//! Raft: what openraft needs from us, and what the rest of the node may know of it.
//!
//! Only this folder names openraft. What it hands to the others are our own types, byte strings and indexes.

pub mod agreement;
mod checkpoints;
pub mod clocks;
pub mod convert;
pub mod convoy;
pub mod forward;
pub mod handle;
mod hello;
mod inbound;
pub mod incarnations;
pub mod leader_tasks;
pub mod links;
pub mod log_store;
pub mod membership;
pub mod network;
pub mod offline;
pub mod profile;
mod programs;
mod read_index;
pub mod room;
pub mod state_machine;
pub mod status;
mod tenure;
pub mod types;

pub use checkpoints::{checkpoints, snapshots};
pub use convert::{Affiliation, HeaderError};
pub use forward::{ForwardError, Forwarder, LinearizeError};
pub use handle::{Consensus, NotApplied, Parts, ProposeError, StartError, Stopped};
pub use inbound::InboundError;
pub use leader_tasks::{ClockWarning, LeaderTasks, Orders, Steering};
pub use links::{Link, PeerLinks, watch_links};
pub use membership::{ChangeError, TransferError, Wishes};
pub use network::Network;
use plantao_domain::planted::{Bug, planted};
pub use programs::{Program, ask_programs};
pub use read_index::ReadError;
pub use room::{Room, Rooms};
pub use state_machine::Progress;
pub use status::{MemberStatus, Role, Status};
pub use tenure::{Tenure, Tenures};

#[cfg(test)]
mod tests;
