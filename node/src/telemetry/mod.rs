//! What the node says of itself: logs and metrics, without a single personal datum.

mod logs;
pub mod metrics;
mod requests;

pub use logs::{LogError, start as start_logs};
pub use requests::{RequestCounts, RequestMeter};
