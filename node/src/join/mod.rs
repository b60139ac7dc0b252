//! How a network grows: tokens, numbers, learners, votes, and the one handover of the root key.
//!
//! ```text
//! new node ── Join(token) ──► any member ── RedeemJoinToken ──► log: number given, token spent
//! leader: each node of the state that is no member becomes a learner; what else becomes of it is decided in `members`
//! keyed node ── FetchRootKey ──► unsealed member: NoteRootHanded in the log, then the key, once
//! ```

pub(crate) mod convert;
mod service;
mod unseal;

pub use service::JoinServer;
pub use unseal::{Unseal, fetch_root_key};
