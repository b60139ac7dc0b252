//! How a program talks to the cluster: mutual TLS with an identity in the certificate, channels with failover, retries
//! that keep one request id, typed calls, and what is built on them: images in and out, import of FHIR files, read-back,
//! load.
//!
//! ```text
//! cli ─► import, bench, images ─► services (typed calls) ─► retry ─► connect (sticky, failover) ─► transport (mutual TLS)
//! ```
//! Nothing here decides a rule of the clinic, opens a data directory, or prints: callers get values and errors.

pub mod bench;
pub mod config;
pub mod connect;
pub mod error;
pub mod id;
pub mod identity;
pub mod images;
pub mod import;
pub mod pki;
pub mod retry;
pub mod services;
pub mod synthetic;
pub mod time;
pub mod transport;

pub use connect::{AdminNode, Cluster, ConnectOptions};
pub use error::Error;
pub use id::{Id, id_for_label};
pub use services::Written;
