//! Who is a member: what operators decided is in rows, and the leader makes Raft's membership so, one step at a time.
//!
//! ```text
//! rows (domain::layout) ─┐
//! Raft's membership ─────┴─► plan (pure) ─► one step ─► waited for ─► plan again        a new leader plans from the same rows
//! ```
//! A change that was half done when its leader fell is finished by the next one. What cannot be done safely now waits, and
//! `GetMembers` says for what. Nothing here decides what members should be, but for a voter that is silent for too long.

mod check;
mod keep;
mod plan;

pub use check::{Forecast, Refusal};
pub use keep::Members;
pub use plan::{Pending, Plan, Step, Wait};

use plantao_domain::{NodeId, View, layout};

/// Whether the rows say that this node was removed. Rows that cannot be read say nothing: the applier stops the node for
/// them.
pub fn is_removed(rows: &dyn View, node: u64) -> bool {
    layout::is_removed(rows, NodeId(node)).unwrap_or(false)
}
