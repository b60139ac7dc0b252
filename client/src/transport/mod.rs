//! Mutual TLS between programs and nodes, and the channels over it. In this crate only this folder names rustls.
//!
//! ```text
//! files ─► Credentials ─► ClientTls (swappable) ─► connector ─► TCP_NODELAY ─► TLS 1.3, ALPN h2 ─► tonic Channel
//!                                                                   └ chain by webpki, then the SPIFFE identity
//! ```
//! A server is known by its identity, not by its address: addresses are IPs that change, so no DNS or IP name has to
//! match. What must match is the chain to our own roots, the validity, the purpose, the cluster and, where the caller
//! knows it, the node's number. Nothing here decides what an identity may do, and nothing here skips a check.

mod certificate;
mod channel;
mod credentials;
mod guard;
mod revocation;
mod verify;
mod wire;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use certificate::{Fingerprint, Leaf, LeafError, ParseFingerprintError};
pub use channel::{ChannelError, ChannelOptions, ClientConnection, ClientTls, ConnectError, Target, channel, connect};
pub use credentials::{Credentials, CredentialsError, CredentialsFile, CredentialsPaths};
pub use guard::Guarded;
pub use revocation::{CertificateId, REVOCATION_BYTES_MAX, RevocationError, RevocationList, Revocations};
pub use verify::{ExpectedServer, ServerRefused};
pub use wire::{Later, Listener, Network, Port, Socket, Sockets, Stream};

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// Largest gRPC message, sent or received (DESIGN section 12). Generated clients and services take it in
/// `max_decoding_message_size` and `max_encoding_message_size`.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Largest header list of a request or an answer (DESIGN section 12).
pub const HEADER_BYTES_MAX: u32 = 16 << 10;

/// Largest HTTP/2 frame that is taken. With its head of nine bytes it fills four records of TLS, which is what rustls
/// buffers: the default of 16 KiB makes a second record of nine bytes for each frame, and a system call.
pub const FRAME_BYTES_MAX: u32 = (64 << 10) - 9;

/// The protocol both ends must agree on: anything else is not us.
pub const ALPN_H2: &[u8] = b"h2";

/// Which versions of TLS are spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlsVersions {
    /// TLS 1.3, the default.
    #[default]
    Only13,
    /// Also TLS 1.2, for a middlebox that cannot be replaced; has to be asked for.
    From12,
}

impl TlsVersions {
    /// As rustls takes them.
    pub fn as_rustls(self) -> &'static [&'static SupportedProtocolVersion] {
        static ONLY_13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
        static FROM_12: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
        match self {
            Self::Only13 => &ONLY_13,
            Self::From12 => &FROM_12,
        }
    }
}

/// The one crypto provider (ring). Passed explicitly everywhere, so that no process-wide default can differ.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(&PROVIDER)
}

/// Whole seconds since 1970 UTC, negative before; the unit of every certificate time here.
pub fn unix_seconds(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    }
}
