//! What rests on this node's disk: the Raft log and vote, the state that the log makes, snapshots.

pub mod fs;
pub mod keyspaces;
pub mod lock;
pub mod row_seal;
pub mod seal;
pub mod state;
pub mod wal;
pub mod watermark;
