//! A cluster as a program sees it: several nodes that all take requests, one of them used until it fails.
//!
//! A [`Cluster`] is cheap to clone; clones share connections and the choice of the endpoint. The choice moves on when a
//! call fails and does not move back by itself: going back would break the next call again while a node is half dead.

use crate::config::{Context, ContextFault};
use crate::identity::Slug;
use crate::retry::RetryPolicy;
use crate::transport::{
    self, ChannelError, ChannelOptions, ClientTls, Credentials, CredentialsError, CredentialsPaths, ExpectedServer,
    Target, TlsVersions,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use tonic::transport::Channel;

/// Most connections to one endpoint.
pub const CONNECTIONS_MAX: usize = 64;

/// How to talk to a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectOptions {
    /// Deadlines and pauses.
    pub retry: RetryPolicy,
    /// Of each connection.
    pub channel: ChannelOptions,
    /// TLS.
    pub versions: TlsVersions,
    /// To each endpoint of the public plane, from 1 to [`CONNECTIONS_MAX`]; made when first used.
    pub connections: usize,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            channel: ChannelOptions::default(),
            versions: TlsVersions::default(),
            connections: 1,
        }
    }
}

/// Why there is nothing to talk through. Nothing is connected yet: a node that is down shows at the first call.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The context cannot be right.
    #[error("the context cannot be used: {0}")]
    Context(ContextFault),
    /// Certificate, key or roots.
    #[error("the credentials of the {plane} plane cannot be used")]
    Credentials {
        /// `public` or `admin`.
        plane: &'static str,
        /// Why.
        #[source]
        source: CredentialsError,
    },
    /// The certificate is of another cluster than the context.
    #[error("the certificate is of cluster {found}, the context of {expected:?}")]
    OtherCluster {
        /// In the certificate.
        found: Slug,
        /// In the context.
        expected: String,
    },
    /// An address.
    #[error("no channel can be made to {address:?}")]
    Channel {
        /// As it was given.
        address: String,
        /// Why.
        #[source]
        source: ChannelError,
    },
}

/// One node's address and the connections to it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    address: String,
    channels: Vec<Channel>,
}

impl Endpoint {
    fn open(address: &str, tls: &ClientTls, options: &ChannelOptions, connections: usize) -> Result<Self, OpenError> {
        let target = Target { address: address.to_owned(), expected: ExpectedServer::AnyNode };
        let channels = (0..connections.clamp(1, CONNECTIONS_MAX))
            .map(|_| transport::channel(tls, &target, options))
            .collect::<Result<_, _>>()
            .map_err(|source| OpenError::Channel { address: address.to_owned(), source })?;
        Ok(Self { address: address.to_owned(), channels })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn channel(&self, lane: usize) -> Channel {
        self.channels[lane % self.channels.len()].clone()
    }
}

/// The admin plane of one node: what is asked here is answered by this node and no other.
#[derive(Clone)]
pub struct AdminNode {
    endpoint: Endpoint,
    policy: RetryPolicy,
}

impl AdminNode {
    /// `host:port`.
    pub fn address(&self) -> &str {
        self.endpoint.address()
    }

    pub(crate) fn channel(&self) -> Channel {
        self.endpoint.channel(0)
    }

    pub(crate) fn policy(&self) -> &RetryPolicy {
        &self.policy
    }
}

impl fmt::Debug for AdminNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AdminNode").field(&self.endpoint.address).finish()
    }
}

struct Shared {
    /// Never empty.
    endpoints: Vec<Endpoint>,
    admin: Vec<AdminNode>,
    policy: RetryPolicy,
}

/// A cluster to call. Its methods are in [`crate::services`].
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    current: Arc<AtomicUsize>,
    lane: usize,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("endpoints", &self.addresses()).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Loads the context's credentials and makes channels. Needs a Tokio runtime, blocks for a few small reads, and
    /// connects nothing yet.
    pub fn open(context: &Context, options: &ConnectOptions) -> Result<Self, OpenError> {
        context.check().map_err(OpenError::Context)?;
        let public = load(context, "public", &context.cert, &context.key)?;
        let tls = ClientTls::new(Arc::new(public), options.versions);
        let admin_tls = match (&context.admin_cert, &context.admin_key) {
            (Some(cert), Some(key)) => ClientTls::new(Arc::new(load(context, "admin", cert, key)?), options.versions),
            _ => tls.clone(),
        };
        Self::with_tls(&tls, &context.endpoints, &admin_tls, &context.admin_endpoints, options)
    }

    /// From credentials that the caller holds (and may replace while channels are in use).
    ///
    /// # Errors
    /// [`OpenError::Context`] without an endpoint, [`OpenError::Channel`] for an address that is none.
    pub fn with_tls(
        tls: &ClientTls,
        endpoints: &[String],
        admin_tls: &ClientTls,
        admin_endpoints: &[String],
        options: &ConnectOptions,
    ) -> Result<Self, OpenError> {
        if endpoints.is_empty() {
            return Err(OpenError::Context(ContextFault::NoEndpoint));
        }
        let endpoints = endpoints
            .iter()
            .map(|address| Endpoint::open(address, tls, &options.channel, options.connections))
            .collect::<Result<_, _>>()?;
        let admin = admin_endpoints
            .iter()
            .map(|address| {
                let endpoint = Endpoint::open(address, admin_tls, &options.channel, 1)?;
                Ok(AdminNode { endpoint, policy: options.retry.clone() })
            })
            .collect::<Result<_, OpenError>>()?;
        let shared = Shared { endpoints, admin, policy: options.retry.clone() };
        Ok(Self { shared: Arc::new(shared), current: Arc::default(), lane: 0 })
    }

    /// The public endpoints, `host:port`, in order.
    pub fn addresses(&self) -> Vec<&str> {
        self.shared.endpoints.iter().map(Endpoint::address).collect()
    }

    /// The admin plane of each node that the context names, in order.
    pub fn admin_nodes(&self) -> &[AdminNode] {
        &self.shared.admin
    }

    /// The same cluster through one endpoint only, without failover; `None` when `address` is not among the endpoints.
    pub fn only(&self, address: &str) -> Option<Self> {
        let endpoint = self.shared.endpoints.iter().find(|endpoint| endpoint.address == address)?;
        let shared = Shared {
            endpoints: vec![endpoint.clone()],
            admin: self.shared.admin.clone(),
            policy: self.shared.policy.clone(),
        };
        Some(Self { shared: Arc::new(shared), current: Arc::default(), lane: self.lane })
    }

    /// The same connections for the `nth` of several callers: begins at another endpoint, takes another of its
    /// connections, and fails over alone.
    pub fn spread(&self, nth: usize) -> Self {
        let count = self.shared.endpoints.len();
        Self { shared: Arc::clone(&self.shared), current: Arc::new(AtomicUsize::new(nth % count)), lane: nth / count }
    }

    /// The same connections with other deadlines.
    pub fn with_policy(&self, policy: RetryPolicy) -> Self {
        let shared = Shared { endpoints: self.shared.endpoints.clone(), admin: self.shared.admin.clone(), policy };
        Self { shared: Arc::new(shared), current: Arc::clone(&self.current), lane: self.lane }
    }

    /// The same connections, beginning where this one is, with a choice of its own: what holds on to one node for a
    /// while must not be moved by others' failures.
    pub(crate) fn apart(&self) -> Self {
        Self { current: Arc::new(AtomicUsize::new(self.current())), ..self.clone() }
    }

    /// Its deadlines.
    pub fn policy(&self) -> &RetryPolicy {
        &self.shared.policy
    }

    pub(crate) fn endpoint_count(&self) -> usize {
        self.shared.endpoints.len()
    }

    /// The endpoint in use.
    pub(crate) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed) % self.shared.endpoints.len()
    }

    pub(crate) fn endpoint(&self, at: usize) -> &Endpoint {
        &self.shared.endpoints[at % self.shared.endpoints.len()]
    }

    pub(crate) fn lane(&self) -> usize {
        self.lane
    }

    /// Moves on from `at`. Of many calls that failed there together only one moves.
    pub(crate) fn leave(&self, at: usize) {
        let next = (at + 1) % self.shared.endpoints.len();
        // Another call was quicker: its choice is as good.
        let _ = self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn load(
    context: &Context,
    plane: &'static str,
    certificate: &std::path::Path,
    key: &std::path::Path,
) -> Result<Credentials, OpenError> {
    let paths =
        CredentialsPaths { certificate: certificate.to_owned(), key: key.to_owned(), roots: context.ca.clone() };
    let credentials =
        Credentials::load(&paths, SystemTime::now()).map_err(|source| OpenError::Credentials { plane, source })?;
    let found = credentials.leaf().identity.cluster();
    if found.as_str() != context.cluster {
        return Err(OpenError::OtherCluster { found: found.clone(), expected: context.cluster.clone() });
    }
    Ok(credentials)
}
