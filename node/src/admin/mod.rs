//! The operator's services.

mod cluster;
pub(crate) mod convert;
mod proof;

pub use cluster::{About, AdminServices};
pub use proof::ProofServices;
