//! What the node says of itself: logs and metrics, without a single personal datum.

mod logs;
pub mod metrics;

pub use logs::{LogError, start as start_logs};
