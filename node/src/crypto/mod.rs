//!
//! This folder alone names the AEAD. It must never log, name a file after, or put into an error anything that is secret
//! or that describes a person; it decides nothing about who may read what (`domain::access` does).
//!
//! ```text
//! ```

pub mod process;
pub mod seal;
pub mod uniq;

pub use seal::{Context, DataKey, Kind, OpenError, Owner, frame_key_id, open, seal};
pub use uniq::UniqSource;
