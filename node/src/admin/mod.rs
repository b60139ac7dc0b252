//! The operator's services.

mod certificates;
mod cluster;
pub(crate) mod convert;
mod lead;
mod members;
mod proof;
mod quorum;
mod upgrade;

pub use certificates::CertificateServices;
pub use cluster::{About, AdminServices};
pub use lead::LeadServices;
pub use members::MembersServices;
pub use proof::ProofServices;
pub use quorum::QuorumServices;
pub use upgrade::UpgradeServices;
