//! The peer plane: what nodes ask of each other. Thin: every call is checked at the gate, converted, and handed to
//! `consensus`; nothing is decided here.

pub mod chunk_service;
pub mod forward_service;
mod gate;
pub mod raft_service;

pub use chunk_service::PeerChunkService;
pub use forward_service::PeerForwardService;
pub use gate::{Caller, Gate};
pub use raft_service::PeerRaftService;
