//! How a program talks to the cluster: mutual TLS with an identity in the certificate, channels, and the authority that
//! issues those certificates for a network that has none.

pub mod identity;
pub mod pki;
pub mod transport;
