//! What this node says about its own well-being, for operators: whether it does its work, what around it goes wrong, what
//! happened on it. Nothing here changes or steers anything.
//!
//! ```text
//! machine, configuration, consensus, images ─► Facts ─► checks (pure) ─► findings, each a case of `cases`
//! every second: Picture ─► changes since the last one (pure) ─► ring of 1,000 ─► whoever follows
//! ```

pub mod cases;
mod checks;
mod convert;
mod events;
mod facts;
mod machine;
mod media;
mod picture;
mod service;
mod timeline;

pub use cases::{CASES, Case, Verdict};
pub use events::{EventRing, Warnings, watch_events};
pub use facts::Setup;
pub(crate) use machine::disk_fault;
pub use service::{HealthServices, Parts};
pub use timeline::Timeline;
