//! What rests on this node's disk: the Raft log and vote, the state that the log makes, snapshots.

pub mod keyspaces;
pub mod row_seal;
pub mod state;
