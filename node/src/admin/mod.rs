//! The operator's services.

mod cluster;
pub(crate) mod convert;

pub use cluster::{About, AdminServices};
