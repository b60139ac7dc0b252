//! What one connection may take of the server. Peers have settings of their own: the load of clients reaches them
//! neither through a shared listener nor through a shared limit.

use super::plane::{Plane, PlaneLayer};
use plantao_client::transport::{FRAME_BYTES_MAX, HEADER_BYTES_MAX};
use std::time::Duration;
use tonic::transport::Server;
use tower::layer::util::{Identity, Stack};

/// Limits of one listener's server. Streams are the unit of back-pressure: a client that wants more at a time waits at
/// its own end, so there is no second limit that would refuse what the first let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerLimits {
    /// Requests at a time on one connection.
    pub streams_max: u32,
    /// Until the head of the answer, for calls whose own deadline is later. None for peers: a snapshot streams for as
    /// long as it takes, under the deadline of its caller.
    pub request_timeout: Option<Duration>,
    /// Silence after which a ping is sent.
    pub keep_alive_interval: Duration,
    /// How long the ping may take before the connection is closed.
    pub keep_alive_timeout: Duration,
    /// Age at which a connection is drained, and how long that may take. None for peers: a reconnection of all of them
    /// at once would look like a failure; their certificates are checked again at each reload instead.
    pub connection_age: Option<(Duration, Duration)>,
    /// HTTP/2 window of one stream, bytes.
    pub stream_window_bytes: u32,
    /// HTTP/2 window of a connection, bytes.
    pub connection_window_bytes: u32,
    /// Streams reset by the caller before we looked at them, after which the connection is closed (rapid reset).
    pub pending_reset_streams_max: usize,
    /// Streams that we reset because of the caller's faults, after which the connection is closed.
    pub error_reset_streams_max: usize,
}

impl ServerLimits {
    /// The defaults of a plane.
    pub const fn for_plane(plane: Plane) -> Self {
        let age = Some((Duration::from_secs(60 * 60), Duration::from_secs(30)));
        match plane {
            Plane::Public => Self {
                streams_max: 256,
                request_timeout: Some(Duration::from_secs(30)),
                keep_alive_interval: Duration::from_secs(20),
                keep_alive_timeout: Duration::from_secs(10),
                connection_age: age,
                // Chunks of images: less than one in the window would be a round trip for each part of it.
                stream_window_bytes: 1 << 20,
                connection_window_bytes: 4 << 20,
                pending_reset_streams_max: 20,
                error_reset_streams_max: 100,
            },
            Plane::Admin => Self {
                streams_max: 32,
                request_timeout: Some(Duration::from_secs(120)),
                keep_alive_interval: Duration::from_secs(20),
                keep_alive_timeout: Duration::from_secs(10),
                connection_age: age,
                stream_window_bytes: 256 << 10,
                connection_window_bytes: 1 << 20,
                pending_reset_streams_max: 20,
                error_reset_streams_max: 100,
            },
            Plane::Peer => Self {
                streams_max: 4096,
                request_timeout: None,
                keep_alive_interval: Duration::from_secs(5),
                keep_alive_timeout: Duration::from_secs(5),
                connection_age: None,
                stream_window_bytes: 2 << 20,
                connection_window_bytes: 8 << 20,
                // A caller whose deadlines pass resets its streams; a slow disk must not cost it the connection.
                pending_reset_streams_max: 1024,
                error_reset_streams_max: 1024,
            },
        }
    }
}

/// A server for the plane that `layer` guards: limits set, nothing served yet. Add services with
/// [`plantao_client::transport::MESSAGE_BYTES_MAX`] as their decoding limit (tonic's default, 4 MiB, is the same) and
/// serve it with [`super::Incoming`].
pub fn server(limits: &ServerLimits, layer: PlaneLayer) -> Server<Stack<PlaneLayer, Identity>> {
    let mut server = Server::builder()
        .max_concurrent_streams(limits.streams_max)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_keepalive_interval(Some(limits.keep_alive_interval))
        .http2_keepalive_timeout(Some(limits.keep_alive_timeout))
        .http2_max_pending_accept_reset_streams(Some(limits.pending_reset_streams_max))
        .http2_max_local_error_reset_streams(Some(limits.error_reset_streams_max))
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes);
    if let Some((age, grace)) = limits.connection_age {
        server = server.max_connection_age(age).max_connection_age_grace(grace);
    }
    if let Some(timeout) = limits.request_timeout {
        server = server.timeout(timeout);
    }
    server.layer(layer)
}
