//! Channels: tonic over our own connector. A channel connects when first used, reconnects by itself, and takes the
//! credentials that are current at each new connection.

use super::credentials::Credentials;
use super::guard::Guarded;
use super::revocation::Revocations;
use super::verify::{ExpectedServer, NodeVerifier};
use super::wire::{Network, Stream};
use super::{ALPN_H2, FRAME_BYTES_MAX, HEADER_BYTES_MAX, TlsVersions, provider};
use http::Uri;
use http::uri::Authority;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// The credentials of this program, shared by all its channels and replaced while they are in use.
#[derive(Clone)]
pub struct ClientTls {
    current: Arc<RwLock<Current>>,
    revocations: Revocations,
    versions: TlsVersions,
    network: Network,
}

struct Current {
    credentials: Arc<Credentials>,
    generation: u64,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("leaf", self.credentials().leaf()).finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Starts with `credentials`, at generation 0.
    pub fn new(credentials: Arc<Credentials>, versions: TlsVersions) -> Self {
        let current = Arc::new(RwLock::new(Current { credentials, generation: 0 }));
        Self { current, revocations: Revocations::default(), versions, network: Network::System }
    }

    /// Refuses servers whose certificates these lists name, and leaves them when they come to.
    #[must_use]
    pub fn with_revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = revocations;
        self
    }

    /// Connects through another network than the operating system's.
    #[must_use]
    pub fn with_network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// The credentials that the next connection will use.
    pub fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).credentials)
    }

    /// Counts the replacements: a channel made at another generation may still hold a connection of old credentials.
    pub fn generation(&self) -> u64 {
        self.current.read().unwrap_or_else(PoisonError::into_inner).generation
    }

    /// Connections made from now on use `credentials`; open ones stay.
    pub fn replace(&self, credentials: Arc<Credentials>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.credentials = credentials;
        current.generation += 1;
    }

    /// The configuration for one connection to `expected`.
    fn configuration(&self, expected: ExpectedServer) -> Result<ClientConfig, rustls::Error> {
        let credentials = self.credentials();
        let cluster = credentials.leaf().identity.cluster().clone();
        let verifier = NodeVerifier::new(credentials.roots(), self.revocations.clone(), cluster, expected);
        let mut configuration = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions.as_rustls())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(credentials.certified_key())));
        configuration.alpn_protocols = vec![ALPN_H2.to_vec()];
        // A resumed session would skip the look at both certificates (RFC 8446 section 2.2).
        configuration.resumption = Resumption::disabled();
        configuration.enable_sni = false;
        Ok(configuration)
    }
}

/// Where a channel leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// `host:port`; an IPv6 address in brackets. A name is resolved at each connection.
    pub address: String,
    /// Who has to answer there.
    pub expected: ExpectedServer,
}

/// How a channel behaves. The defaults suit a program that talks to its unit's node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelOptions {
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// Silence after which an HTTP/2 ping is sent, also while no request runs: a link that dies without a word is
    /// noticed within this plus `keep_alive_timeout`, where TCP alone would take minutes.
    pub keep_alive_interval: Duration,
    /// How long the ping may take.
    pub keep_alive_timeout: Duration,
    /// Upper bound until the head of an answer arrives, for calls that bring no deadline of their own.
    pub request_timeout: Option<Duration>,
    /// HTTP/2 window of one stream, in bytes.
    pub stream_window_bytes: u32,
    /// HTTP/2 window of the connection, in bytes.
    pub connection_window_bytes: u32,
    /// How much the system may hold to be sent; `None`: as much as it finds good. A small one keeps what is sent later
    /// on other connections of a slow link from waiting behind it.
    pub send_buffer_bytes: Option<u32>,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            keep_alive_interval: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(5),
            request_timeout: None,
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 4 << 20,
            send_buffer_bytes: None,
        }
    }
}

/// Why no channel was made. Connecting comes later and fails with [`ConnectError`].
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Not `host:port`.
    #[error("the address is not host:port")]
    Address,
    /// tonic refused the endpoint.
    #[error("no channel can be made to the address")]
    Endpoint(#[source] tonic::transport::Error),
}

/// Why a connection was not made; the source of the `Unavailable` that a call gets.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TCP: refused, unreachable, or the name is unknown.
    #[error("cannot reach the server")]
    Tcp(#[source] io::Error),
    /// TLS: the server's certificate was refused (its source says why), or it speaks something else.
    #[error("no secure connection with the server")]
    Handshake(#[source] io::Error),
    /// rustls refused the configuration.
    #[error("the credentials cannot be used for a connection")]
    Configuration(#[source] rustls::Error),
    /// TLS worked, but the other side does not speak HTTP/2.
    #[error("the server does not speak HTTP/2")]
    NotHttp2,
    /// Not done within the time.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
}

/// Makes a channel to `target`; nothing is connected yet. Clones share one connection: whoever must not wait behind
/// another's bytes makes a channel of its own. Needs a Tokio runtime.
pub fn channel(tls: &ClientTls, target: &Target, options: &ChannelOptions) -> Result<Channel, ChannelError> {
    let authority: Authority = target.address.parse().map_err(|_| ChannelError::Address)?;
    if authority.port_u16().is_none() || authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(ChannelError::Address);
    }
    let mut endpoint = Endpoint::from_shared(format!("http://{authority}"))
        .and_then(|endpoint| endpoint.user_agent(concat!("plantao/", env!("CARGO_PKG_VERSION"))))
        .map_err(ChannelError::Endpoint)?
        .http2_keep_alive_interval(options.keep_alive_interval)
        .keep_alive_timeout(options.keep_alive_timeout)
        .keep_alive_while_idle(true)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .initial_stream_window_size(options.stream_window_bytes)
        .initial_connection_window_size(options.connection_window_bytes);
    if let Some(timeout) = options.request_timeout {
        endpoint = endpoint.timeout(timeout);
    }
    Ok(endpoint.connect_with_connector_lazy(Connector {
        tls: tls.clone(),
        address: authority.as_str().into(),
        expected: target.expected,
        timeout: options.connect_timeout,
        send_buffer_bytes: options.send_buffer_bytes,
    }))
}

/// A connection after its handshake.
pub type ClientConnection = Guarded<TlsStream<Stream>>;

/// One connection to `target` with nothing of HTTP/2 on it yet, for a tool that speaks that itself.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(tls: &ClientTls, target: &Target, timeout: Duration) -> Result<ClientConnection, ConnectError> {
    let connector = Connector {
        tls: tls.clone(),
        address: target.address.as_str().into(),
        expected: target.expected,
        timeout,
        send_buffer_bytes: None,
    };
    connector.connect().await
}

#[derive(Clone)]
struct Connector {
    tls: ClientTls,
    address: Arc<str>,
    expected: ExpectedServer,
    timeout: Duration,
    send_buffer_bytes: Option<u32>,
}

impl Connector {
    async fn connect(self) -> Result<ClientConnection, ConnectError> {
        let configuration = self.tls.configuration(self.expected).map_err(ConnectError::Configuration)?;
        let connecting = async {
            let connecting = self.tls.network.connect(&self.address, self.send_buffer_bytes);
            let tcp = connecting.await.map_err(ConnectError::Tcp)?;
            // Only a placeholder, never sent nor compared: the verifier goes by the identity.
            let name = ServerName::from(tcp.peer_addr().map_err(ConnectError::Tcp)?.ip());
            TlsConnector::from(Arc::new(configuration)).connect(name, tcp).await.map_err(ConnectError::Handshake)
        };
        let stream =
            tokio::time::timeout(self.timeout, connecting).await.map_err(|_| ConnectError::Timeout(self.timeout))??;
        let session = stream.get_ref().1;
        if session.alpn_protocol() != Some(ALPN_H2) {
            return Err(ConnectError::NotHttp2);
        }
        let leaf = session.peer_certificates().and_then(<[_]>::first).cloned();
        Ok(Guarded::new(stream, leaf.as_ref(), &self.tls.revocations))
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<ClientConnection>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connecting = self.clone().connect();
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}
