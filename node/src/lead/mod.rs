//! The lead from the node's side: what is noted of its changes, how an operator moves it, and why it may not be moved. Who
//! leads is decided by Raft (`consensus`) alone; the rules of what is kept are `domain::lead`'s.

mod error;
mod handover;
mod history;
mod policy;
mod stand;
mod tend;

pub use error::Error;
pub use handover::{Handed, Handover, hand_over};
pub use history::{Forced, note_tenures};
pub use policy::change_policy;
pub use stand::{Stood, stand};
pub use tend::Steward;
