//! How a network grows: tokens, numbers, learners, votes, and the one handover of the root key.
//!
//! ```text
//! new node ── Join(token) ──► any member ── RedeemJoinToken ──► log: number given, token spent
//! leader: each node of the state that is no member becomes a learner; a caught-up learner that is to vote, a voter
//! keyed node ── FetchRootKey ──► unsealed member: NoteRootHanded in the log, then the key, once
//! ```

pub(crate) mod convert;
mod reconcile;
mod service;
mod unseal;

pub use reconcile::reconcile_members;
pub use service::JoinServer;
pub use unseal::{Unseal, fetch_root_key};
