//! From a TCP port to checked connections. Handshakes run beside the accept loop, each under a time limit, so that a
//! silent or slow caller holds up nobody; what is full is refused at once.
//!
//! ```text
//! accept ─► room for a connection? share of its address? ─► handshake ≤ 5 s ─► share of its identity? ─► tonic
//! ```

use super::plane::Plane;
use super::tls::ServerTls;
use plantao_client::identity::Identity;
use plantao_client::transport::{ALPN_H2, Fingerprint, Guarded, Leaf, Listener, Network, Stream};
use rustls::pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use tracing::debug;

/// Connections that are through the handshake and not yet taken by the server.
const READY_MAX: usize = 32;

/// Pause after a failed `accept`: with no file descriptor left it fails at once, and the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where to listen and how much to let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceptorOptions {
    /// Port 0 takes any free one.
    pub address: SocketAddr,
    /// From the accepted connection to the end of its handshake.
    pub handshake_timeout: Duration,
    /// Handshakes at the same time; more wait in the kernel's queue.
    pub handshakes_max: usize,
    /// Of these, from one IP address; more are closed, so that one address cannot take all.
    pub handshakes_per_address_max: usize,
    /// Open connections; more are closed.
    pub connections_max: usize,
    /// Of these, under one identity; more are closed after the handshake.
    pub connections_per_identity_max: usize,
}

impl AcceptorOptions {
    /// What suits a plane. The figures are guesses from the size of a network: 50 nodes, a thousand programs.
    pub fn for_plane(plane: Plane, address: SocketAddr) -> Self {
        let (handshakes_max, connections_max, connections_per_identity_max) = match plane {
            Plane::Public => (512, 4096, 1024),
            Plane::Admin => (64, 256, 32),
            // Five lanes to a node, twice while credentials are swapped, and room for reconnections.
            Plane::Peer => (256, 1024, 32),
        };
        Self {
            address,
            handshake_timeout: Duration::from_secs(5),
            handshakes_max,
            handshakes_per_address_max: handshakes_max / 4 * 3,
            connections_max,
            connections_per_identity_max,
        }
    }
}

/// The port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// What an acceptor has seen since it was bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AcceptorCounts {
    /// Handshakes that succeeded and were let in.
    pub accepted: u64,
    /// Handshakes that failed: no, foreign or expired certificate, no TLS, no HTTP/2.
    pub refused: u64,
    /// Handshakes that did not end in time.
    pub timed_out: u64,
    /// Closed because a share or the whole was full.
    pub crowded: u64,
}

#[derive(Default)]
struct Counters {
    accepted: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
    crowded: AtomicU64,
}

/// Reads an acceptor's counts while it runs.
#[derive(Clone)]
pub struct AcceptorMeter(Arc<Counters>);

impl AcceptorMeter {
    /// As of now.
    pub fn counts(&self) -> AcceptorCounts {
        AcceptorCounts {
            accepted: self.0.accepted.load(Ordering::Relaxed),
            refused: self.0.refused.load(Ordering::Relaxed),
            timed_out: self.0.timed_out.load(Ordering::Relaxed),
            crowded: self.0.crowded.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for AcceptorMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.counts(), f)
    }
}

/// A bound port that does not accept yet.
#[derive(Debug)]
pub struct Acceptor {
    listener: Listener,
    local_addr: SocketAddr,
    options: AcceptorOptions,
    tls: ServerTls,
    meter: AcceptorMeter,
}

impl Acceptor {
    /// Binds the port; callers wait in the kernel's queue until [`Acceptor::incoming`].
    pub async fn bind(options: AcceptorOptions, tls: ServerTls) -> Result<Self, BindError> {
        Self::bind_on(&Network::System, options, tls).await
    }

    /// As [`Self::bind`], on another network than the operating system's.
    pub async fn bind_on(network: &Network, options: AcceptorOptions, tls: ServerTls) -> Result<Self, BindError> {
        let failed = |source| BindError { address: options.address, source };
        let listener = network.listen(options.address).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, local_addr, options, tls, meter: AcceptorMeter(Arc::default()) })
    }

    /// Where it really listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// For the metrics.
    pub fn meter(&self) -> AcceptorMeter {
        self.meter.clone()
    }

    /// Starts to accept, in a task that ends when the stream is dropped, which also closes the port. The stream ends
    /// only if that task does.
    pub fn incoming(self) -> Incoming {
        let (ready, connections) = mpsc::channel(READY_MAX);
        let mut task = JoinSet::new();
        task.spawn(accept(self, ready));
        Incoming { connections, _task: task }
    }
}

/// The stream for `serve_with_incoming_shutdown`. It never yields an error: whoever fails the handshake is closed.
#[derive(Debug)]
pub struct Incoming {
    connections: mpsc::Receiver<TlsConnection>,
    _task: JoinSet<()>,
}

impl futures_util::Stream for Incoming {
    type Item = io::Result<TlsConnection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.connections.poll_recv(context).map(|connection| connection.map(Ok))
    }
}

/// Who is at the other end, from its certificate; in the extensions of each request of the connection.
#[derive(Clone)]
pub struct PeerIdentity {
    /// Whom the certificate speaks for.
    pub identity: Identity,
    /// Last second of the certificate, Unix time.
    pub not_after: i64,
    /// Which certificate.
    pub fingerprint: Fingerprint,
    /// Where it calls from. Says nothing about who it is.
    pub remote_addr: SocketAddr,
    pub(super) proof: Arc<Proof>,
}

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerIdentity")
            .field("identity", &self.identity)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// The chain that was presented, and the generation of the roots that it was checked under.
pub(super) struct Proof {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) generation: AtomicU64,
}

/// A connection through its handshake. It ends when its caller's certificate is revoked.
pub struct TlsConnection {
    stream: Guarded<TlsStream<Stream>>,
    peer: PeerIdentity,
    _place: OwnedSemaphorePermit,
    _share: Share<[u8; 16]>,
}

impl fmt::Debug for TlsConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Connected for TlsConnection {
    type ConnectInfo = PeerIdentity;

    fn connect_info(&self) -> PeerIdentity {
        self.peer.clone()
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What the handshakes of one acceptor share.
struct Door {
    tls: ServerTls,
    timeout: Duration,
    counters: Arc<Counters>,
    addresses: Arc<Shares<IpAddr>>,
    identities: Arc<Shares<[u8; 16]>>,
    ready: mpsc::Sender<TlsConnection>,
}

async fn accept(acceptor: Acceptor, ready: mpsc::Sender<TlsConnection>) {
    let Acceptor { listener, options, tls, meter, .. } = acceptor;
    let places = Arc::new(Semaphore::new(options.connections_max.min(Semaphore::MAX_PERMITS)));
    let door = Arc::new(Door {
        tls,
        timeout: options.handshake_timeout,
        counters: meter.0,
        addresses: Shares::new(options.handshakes_per_address_max),
        identities: Shares::new(options.connections_per_identity_max),
        ready,
    });
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if handshakes.len() < options.handshakes_max.max(1) => match accepted {
                Ok((tcp, remote_addr)) => {
                    let place = Arc::clone(&places).try_acquire_owned().ok();
                    let share = Shares::take(&door.addresses, remote_addr.ip());
                    if let (Some(place), Some(share)) = (place, share) {
                        handshakes.spawn(Arc::clone(&door).admit(tcp, remote_addr, place, share));
                    } else {
                        door.counters.crowded.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Err(error) => {
                    debug!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = handshakes.join_next() => {}
            () = door.ready.closed() => return,
        }
    }
}

impl Door {
    async fn admit(
        self: Arc<Self>,
        tcp: Stream,
        remote_addr: SocketAddr,
        place: OwnedSemaphorePermit,
        share: Share<IpAddr>,
    ) {
        let connection = match tokio::time::timeout(self.timeout, self.handshake(tcp, remote_addr)).await {
            Err(_) => {
                self.counters.timed_out.fetch_add(1, Ordering::Relaxed);
                debug!("handshake timed out");
                return;
            }
            Ok(Err(error)) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                debug!(%error, "handshake refused");
                return;
            }
            Ok(Ok(connection)) => connection,
        };
        let (stream, peer) = connection;
        let Some(of_identity) = Shares::take(&self.identities, peer.identity.actor_id()) else {
            self.counters.crowded.fetch_add(1, Ordering::Relaxed);
            debug!(identity = %peer.identity, "too many connections of one identity");
            return;
        };
        drop(share);
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        self.tls.opened(&peer.proof);
        let stream = Guarded::new(stream, peer.proof.chain.first(), self.tls.revocations());
        // Fails only when the server is gone, and then the connection may go too.
        let _ = self.ready.send(TlsConnection { stream, peer, _place: place, _share: of_identity }).await;
    }

    async fn handshake(&self, tcp: Stream, remote_addr: SocketAddr) -> io::Result<(TlsStream<Stream>, PeerIdentity)> {
        let (configuration, generation) = self.tls.configuration();
        let stream = TlsAcceptor::from(configuration).accept(tcp).await?;
        let session = stream.get_ref().1;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        if session.alpn_protocol() != Some(ALPN_H2) {
            return Err(invalid("the caller does not speak HTTP/2".into()));
        }
        let chain: Vec<_> = session.peer_certificates().unwrap_or_default().to_vec();
        let first = chain.first().ok_or_else(|| invalid("the caller has no certificate".into()))?;
        let leaf =
            Leaf::from_der(first).map_err(|error| invalid(Box::<dyn std::error::Error + Send + Sync>::from(error)))?;
        let peer = PeerIdentity {
            identity: leaf.identity,
            not_after: leaf.not_after,
            fingerprint: leaf.fingerprint,
            remote_addr,
            proof: Arc::new(Proof { chain, generation: AtomicU64::new(generation) }),
        };
        Ok((stream, peer))
    }
}

/// How many of something each key holds, at most `max`.
struct Shares<K: Ord> {
    counts: Mutex<BTreeMap<K, usize>>,
    max: usize,
}

/// One of a key's; given back when dropped.
struct Share<K: Ord> {
    shares: Arc<Shares<K>>,
    key: K,
}

impl<K: Ord + Copy> Shares<K> {
    fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { counts: Mutex::new(BTreeMap::new()), max })
    }

    fn take(shares: &Arc<Self>, key: K) -> Option<Share<K>> {
        let mut counts = shares.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&key).copied().unwrap_or(0);
        if count >= shares.max {
            return None;
        }
        counts.insert(key, count + 1);
        Some(Share { shares: Arc::clone(shares), key })
    }
}

impl<K: Ord> Drop for Share<K> {
    fn drop(&mut self) {
        let mut counts = self.shares.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}
