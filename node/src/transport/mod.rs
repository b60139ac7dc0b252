//! The network edge of a node: TLS with compulsory client certificates, the identity of each caller, the three planes,
//! limits, hot reload, and channels to peers. In this crate only this folder names rustls.
//!
//! ```text
//! files ─► TlsReloader ─┬► ServerTls ─► Acceptor ─► TlsConnection ─► tonic server(plane) ─► PlaneLayer ─► services
//!                       └► ClientTls ─► PeerChannels: one connection per (node, lane)
//! ```
//! There is no listener without TLS. Who a caller is comes from its certificate alone, is parsed once per connection,
//! and travels with each request as [`PeerIdentity`]. What it may do inside its plane is `domain::access`'s business.

mod acceptor;
mod install;
mod limits;
mod peers;
mod plane;
mod reload;
mod tls;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use acceptor::{
    Acceptor, AcceptorCounts, AcceptorMeter, AcceptorOptions, BindError, Incoming, PeerIdentity, TlsConnection,
};
pub use install::InstallError;
pub use limits::{ServerLimits, server};
pub use peers::{Lane, PeerChannels};
pub use plane::{Plane, PlaneLayer, PlaneService, peer_identity};
pub(crate) use reload::chain as error_chain;
pub use reload::{REVOKED_FILE, ReloadError, ReloadStatus, Reloaded, TlsReloader};
pub use tls::{ServerTls, ServerTlsError};

use plantao_domain::ClusterTime;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The certificate code counts in the operating system's type.
pub(crate) fn system_time(at: ClusterTime) -> SystemTime {
    let millis = at.millis();
    let distance = Duration::from_millis(millis.unsigned_abs());
    let time = if millis < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}
