//! Raft: what openraft needs from us, and what the rest of the node may know of it.
//!
//! Only this folder names openraft. What it hands to the others are our own types, byte strings and indexes.

pub mod log_store;
pub mod types;
