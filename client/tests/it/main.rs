//! The client against a node of its own over real sockets and mutual TLS: retries, failover, import, load.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod clinic;
mod gallery;
mod images;
mod import;
mod load;
mod retry;
mod transport;
mod watch;
