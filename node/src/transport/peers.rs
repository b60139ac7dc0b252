//! Channels to other nodes, one connection per lane, so that bytes of one purpose never wait behind those of another.
//! Each expects one node number in TLS: an address that was given to another machine is noticed before a byte of Raft
//! flows.

use plantao_client::transport::{ChannelError, ChannelOptions, ClientTls, ExpectedServer, Target, channel};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::transport::Channel;

/// Window and send buffer of a thin lane; the system doubles the latter for its own bookkeeping.
const THIN_BYTES: u32 = 64 << 10;

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Heartbeats and votes: nothing large, ever.
    Heartbeat,
    /// Log entries.
    Entries,
    /// Snapshots.
    Snapshot,
    /// Envelopes on their way to the leader, and ReadIndex.
    Forward,
    /// Everything large that can wait.
    Bulk,
    /// The same over a link that is capped: so little of it is under way that nothing waits long behind it.
    Thin,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 6] = [Self::Heartbeat, Self::Entries, Self::Snapshot, Self::Forward, Self::Bulk, Self::Thin];

    /// A link that dies silently is dropped and tried anew within the two keep-alive times; TCP alone would go on
    /// retransmitting, ever more rarely, after it has healed.
    fn options(self) -> ChannelOptions {
        let (seconds, stream_window_bytes, connection_window_bytes) = match self {
            Self::Heartbeat => (1, 64 << 10, 256 << 10),
            Self::Entries | Self::Forward => (2, 1 << 20, 8 << 20),
            Self::Snapshot | Self::Bulk => (5, 2 << 20, 8 << 20),
            // A ping waits behind what is under way.
            Self::Thin => (20, THIN_BYTES, THIN_BYTES),
        };
        let time = Duration::from_secs(seconds);
        ChannelOptions {
            connect_timeout: time,
            keep_alive_interval: time,
            keep_alive_timeout: time,
            request_timeout: None,
            stream_window_bytes,
            connection_window_bytes,
            send_buffer_bytes: (self == Self::Thin).then_some(THIN_BYTES),
        }
    }
}

struct Cached {
    address: String,
    generation: u64,
    channel: Channel,
}

/// The channels of this node to others: at most one per node and lane, so bounded by the membership.
#[derive(Clone)]
pub struct PeerChannels {
    tls: ClientTls,
    routes: Arc<BTreeMap<u64, String>>,
    cached: Arc<Mutex<BTreeMap<(u64, Lane), Cached>>>,
}

impl fmt::Debug for PeerChannels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerChannels").finish_non_exhaustive()
    }
}

impl PeerChannels {
    /// With no channel yet.
    pub fn new(tls: ClientTls) -> Self {
        Self { tls, routes: Arc::default(), cached: Arc::default() }
    }

    /// Reaches these nodes at these addresses, whatever a caller names: where this node sees a peer at another address than
    /// the others do (a tunnel, a forwarded port).
    #[must_use]
    pub fn with_routes(mut self, routes: BTreeMap<u64, String>) -> Self {
        self.routes = Arc::new(routes);
        self
    }

    /// The channel to `node` at `address` (`host:port`). Cheap: ask for it at each call and keep none, because another
    /// address or a reload of the credentials makes a new one here, and a kept one would go on presenting the old
    /// certificate until the other side refuses it. Calls that run on a replaced channel end undisturbed. Needs a Tokio
    /// runtime.
    pub fn channel(&self, node: u64, address: &str, lane: Lane) -> Result<Channel, ChannelError> {
        let address = self.routes.get(&node).map_or(address, String::as_str);
        let generation = self.tls.generation();
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cached.get(&(node, lane))
            && found.generation == generation
            && found.address == address
        {
            return Ok(found.channel.clone());
        }
        // Those of other lanes too: one that is seldom used would go on showing the old certificate for as long.
        cached.retain(|_, cached| cached.generation == generation);
        let target = Target { address: address.to_owned(), expected: ExpectedServer::Node(node) };
        let channel = channel(&self.tls, &target, &lane.options())?;
        let entry = Cached { address: address.to_owned(), generation, channel: channel.clone() };
        cached.insert((node, lane), entry);
        Ok(channel)
    }

    /// Closes the channels to a node that was removed, once the calls on them have ended.
    pub fn forget(&self, node: u64) {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner).retain(|(id, _), _| *id != node);
    }
}
