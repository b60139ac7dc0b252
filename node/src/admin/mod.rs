//! The operator's services.

mod cluster;
pub(crate) mod convert;
mod lead;
mod proof;

pub use cluster::{About, AdminServices};
pub use lead::LeadServices;
pub use proof::ProofServices;
