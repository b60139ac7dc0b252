//! The operator's services.

mod certificates;
mod cluster;
pub(crate) mod convert;
mod lead;
mod proof;

pub use certificates::CertificateServices;
pub use cluster::{About, AdminServices};
pub use lead::LeadServices;
pub use proof::ProofServices;
