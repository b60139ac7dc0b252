//! What rests on this node's disk: the Raft log and vote, the state that the log makes, snapshots.

pub mod checkpoint;
pub mod fs;
pub mod identity;
pub mod keyspaces;
pub mod level;
pub mod lock;
pub mod log;
pub mod rebuild;
pub mod recovery;
pub mod row_seal;
pub mod seal;
pub mod snapshot;
pub mod state;
mod state_fjall;
mod state_sled;
pub mod wal;
pub mod watermark;
