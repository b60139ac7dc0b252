//! Images between programs and nodes: the chunks of this node for others, and those of others for this one.
//!
//! Never here: what counts as an image (`domain::images`), files (`chunks`), the wire of programs (`api`).

pub mod convert;
pub mod local;
pub mod notes;
pub mod peers;
mod registration;

pub use local::{ChunkReceipt, KeepError, LocalChunks};
pub use notes::{Note, Notes};
pub use peers::{ChunkPeers, PeerError};
pub use registration::register_store;
