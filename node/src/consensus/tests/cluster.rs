//! Three nodes in one process: real certificates, real sockets on loopback, real logs and stores on disk.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use plantao_client::identity::Identity;
use plantao_client::pki::{Authority, Request as Wanted};
use plantao_client::transport::{CredentialsPaths, TlsVersions};
use plantao_domain::cluster::NodeDescription;
use plantao_domain::command::{Command, Tag, WrappedKey};
use plantao_domain::{
    Actor, ActorId, ClusterId, ClusterTime, Envelope, KeyId, NodeId, Outcome, RequestId, Role, Sealed, UnitId, codec,
};
use plantao_proto::peer::v1::forward_service_server::ForwardServiceServer;
use plantao_proto::peer::v1::raft_service_server::RaftServiceServer;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::{Clock, SystemClock};
use crate::consensus::log_store::LogStore;
use crate::consensus::profile::{Preference, Timers};
use crate::consensus::types::Member;
use crate::consensus::*;
use crate::crypto::{StorageKey, StorageSeal};
use crate::entropy::{SystemEntropy, random};
use crate::peer::{Gate, PeerForwardService, PeerRaftService};
use crate::storage::checkpoint::Owner;
use crate::storage::fs::DataDir;
use crate::storage::rebuild;
use crate::storage::snapshot::Snapshots;
use crate::storage::state::{EngineKind, StateStore};
use crate::storage::wal::{Wal, WalOptions};
use crate::storage::watermark::LogIdentity;
use crate::transport::{Acceptor, AcceptorOptions, PeerChannels, Plane, PlaneLayer, ServerLimits, TlsReloader, server};

pub(super) const DEADLINE: Duration = Duration::from_secs(60);
const CLUSTER: ClusterId = ClusterId::from_bytes([7; 16]);

pub(super) fn deadline() -> Instant {
    Instant::now() + DEADLINE
}

/// Waits for a condition, never for a time.
pub(super) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = deadline();
    while !condition() {
        assert!(Instant::now() < end, "not within the deadline: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(super) fn us(node: u64) -> Affiliation {
    Affiliation { cluster: CLUSTER, incarnation: 1, node }
}

/// A running node.
pub(super) struct Node {
    pub(super) consensus: Consensus,
    pub(super) forwarder: Forwarder,
    pub(super) store: Arc<dyn StateStore>,
    pub(super) snapshots: Arc<Snapshots>,
    wal: Wal,
    serving: JoinSet<()>,
}

/// What stays when a node is stopped.
struct Site {
    data: DataDir,
    engine: EngineKind,
    keyed: bool,
    seal: Arc<StorageSeal>,
    tls: Arc<TlsReloader>,
    address: SocketAddr,
    routes: BTreeMap<u64, String>,
}

pub(super) struct Cluster {
    _directory: TempDir,
    sites: BTreeMap<u64, Site>,
    pub(super) nodes: BTreeMap<u64, Node>,
    requests: AtomicU64,
}

impl Cluster {
    /// Starts nodes 1, 2, … with these engines; a sled node is the keyless one off-site.
    pub(super) async fn start(engines: &[EngineKind]) -> Self {
        // An address of its own: while a node is stopped, no connection or listener of another test takes its port.
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let address = Ipv4Addr::new(127, 0, 7, NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = tempfile::tempdir().unwrap();
        let authority =
            Authority::create(&"clinica".parse().unwrap(), &directory.path().join("pki"), SystemTime::now()).unwrap();
        let mut sites = BTreeMap::new();
        let mut acceptors = BTreeMap::new();
        for (node, engine) in (1..).zip(engines) {
            let data = DataDir::new(directory.path().join(format!("node-{node}")));
            data.create().unwrap();
            let key = StorageKey::generate(&SystemEntropy);
            let seal = StorageSeal::new(key, CLUSTER, NodeId(node), &SystemEntropy);
            let tls = credentials(&directory, &authority, node);
            let options = AcceptorOptions::for_plane(Plane::Peer, SocketAddr::from((address, 0)));
            let acceptor = Acceptor::bind(options, tls.server()).await.unwrap();
            let site = Site {
                data,
                engine: *engine,
                keyed: *engine == EngineKind::Fjall,
                seal: Arc::new(seal),
                tls,
                address: acceptor.local_addr(),
                routes: BTreeMap::new(),
            };
            sites.insert(node, site);
            acceptors.insert(node, acceptor);
        }
        let mut cluster = Self { _directory: directory, sites, nodes: BTreeMap::new(), requests: AtomicU64::new(0) };
        for (node, acceptor) in acceptors {
            let site = &cluster.sites[&node];
            let identity = LogIdentity { cluster: CLUSTER, node: NodeId(node) };
            let wal = Wal::create(&site.data, identity, site.seal.clone(), WalOptions::default()).unwrap();
            let running = cluster.run(node, wal, acceptor).await;
            cluster.nodes.insert(node, running);
        }
        cluster.nodes[&1].consensus.initialize(cluster.members()).await.unwrap();
        let created = cluster.propose(1, create_cluster()).await.unwrap();
        assert!(matches!(created.0, Outcome::Confirmed { changed: true, .. }), "{created:?}");
        cluster
    }

    pub(super) fn members(&self) -> BTreeMap<u64, Member> {
        let member = |(node, site): (&u64, &Site)| {
            let name = format!("node-{node}");
            (*node, Member { name, peer_address: site.address.to_string(), keyed: site.keyed })
        };
        self.sites.iter().map(member).collect()
    }

    async fn run(&self, node: u64, wal: Wal, acceptor: Acceptor) -> Node {
        let site = &self.sites[&node];
        let clock = Arc::new(SystemClock);
        let snapshots = Arc::new(Snapshots::open(&site.data.snapshots(), site.seal.clone()).unwrap());
        let options = rebuild::Options {
            dir: site.data.state(),
            owner: Owner { cluster: CLUSTER, incarnation: 1, node: NodeId(node) },
            engine: site.engine,
            seal: site.seal.clone(),
        };
        let store = rebuild::open(&options, &snapshots).unwrap().store;
        let channels = PeerChannels::new(site.tls.client()).with_routes(site.routes.clone());
        let clocks = clocks::PeerClocks::new(clock.clone());
        let consensus = Consensus::start(Parts {
            node,
            cluster_name: "clinica".to_owned(),
            // Longer than most of what a busy machine does to its processes: an election in between is handled where it
            // matters, and costs time.
            timers: Timers::Wan,
            snapshot_entries: 20_000,
            preference: if site.keyed { Preference::Preferred } else { Preference::LastResort },
            clock: clock.clone(),
            clocks: clocks.clone(),
            skew_max: agreement::SKEW_MAX,
            rooms: Rooms::default(),
            log: LogStore::new(wal.clone()),
            network: Network::new(us(node), channels.clone(), clocks),
            store: store.clone(),
            snapshots: snapshots.clone(),
            levels: super::levels(),
        })
        .await
        .unwrap();
        let forwarder = Forwarder::new(consensus.clone(), us(node), channels, Arc::new(SystemEntropy));
        let gate = Gate::new(us(node), consensus.clone());
        let raft = PeerRaftService::new(gate.clone(), consensus.clone(), snapshots.clone());
        let forward = PeerForwardService::new(gate, forwarder.clone());
        let layer = PlaneLayer::new(Plane::Peer, site.tls.server(), clock);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            server(&ServerLimits::for_plane(Plane::Peer), layer)
                .add_service(RaftServiceServer::new(raft))
                .add_service(ForwardServiceServer::new(forward))
                .serve_with_incoming_shutdown(acceptor.incoming(), std::future::pending())
                .await
                .unwrap();
        });
        Node { consensus, forwarder, store, snapshots, wal, serving }
    }

    /// Stops a node without a word to the others: no leadership is handed over.
    pub(super) async fn stop(&mut self, node: u64) {
        let Node { consensus, forwarder, store, snapshots, wal, mut serving } = self.nodes.remove(&node).unwrap();
        serving.shutdown().await;
        consensus.shutdown().await;
        drop((consensus, forwarder, store, snapshots));
        wal.close().await.unwrap();
    }

    /// Starts a stopped node on what it left on disk.
    pub(super) async fn restart(&mut self, node: u64) {
        let site = &self.sites[&node];
        let options = AcceptorOptions::for_plane(Plane::Peer, site.address);
        let acceptor = Acceptor::bind(options, site.tls.server()).await.unwrap();
        let identity = LogIdentity { cluster: CLUSTER, node: NodeId(node) };
        let wal = Wal::open(&site.data, identity, site.seal.clone(), WalOptions::default()).unwrap();
        let running = self.run(node, wal, acceptor).await;
        self.nodes.insert(node, running);
    }

    /// Puts a proxy on the way from `from` to `to`; takes effect when `from` starts anew.
    pub(super) async fn put_proxy(&mut self, from: u64, to: u64) -> Proxy {
        let proxy = Proxy::start(self.sites[&to].address).await;
        self.sites.get_mut(&from).unwrap().routes.insert(to, proxy.address.to_string());
        proxy
    }

    pub(super) fn tls(&self, node: u64) -> &Arc<TlsReloader> {
        &self.sites[&node].tls
    }

    pub(super) fn address(&self, node: u64) -> String {
        self.sites[&node].address.to_string()
    }

    /// An envelope with a request id of its own.
    pub(super) fn envelope(&self, role: Role, command: Command) -> Bytes {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&(self.requests.fetch_add(1, Ordering::SeqCst) + 1).to_be_bytes());
        let now = SystemClock.now().millis();
        let envelope = Envelope {
            request_id: RequestId::from_bytes(id),
            content_tag: Tag([1; 32]),
            actor: Actor { id: ActorId::from_bytes([8; 16]), role, unit: None },
            via: NodeId(1),
            not_after: ClusterTime::saturating_from_millis(now + Envelope::LIFETIME_MS / 2),
            proposed_at: ClusterTime::default(),
            command,
        };
        codec::encode_envelope(&envelope).into()
    }

    pub(super) async fn propose(
        &self,
        at: u64,
        (role, command): (Role, Command),
    ) -> Result<(Outcome, u64), ForwardError> {
        let envelope = self.envelope(role, command);
        let applied = self.nodes[&at].forwarder.propose(envelope, deadline()).await?;
        Ok((codec::decode_outcome(&applied.outcome).unwrap(), applied.index))
    }

    /// Registers unit `number` through node `at`; gives the index.
    pub(super) async fn write(&self, at: u64, number: u32) -> u64 {
        let (outcome, index) = self.propose(at, register_unit(number)).await.unwrap();
        assert!(matches!(outcome, Outcome::Confirmed { .. }), "{outcome:?}");
        index
    }

    /// Whether a linearizable read on node `at` finds unit `number`.
    pub(super) async fn read(&self, at: u64, number: u32) -> bool {
        let node = &self.nodes[&at];
        node.forwarder.linearize(deadline()).await.unwrap();
        plantao_domain::rows::unit(&*node.store, unit(number)).unwrap().is_some()
    }

    /// Waits until some node leads, as most of the running ones see it.
    pub(super) async fn leader(&self) -> u64 {
        let end = deadline();
        loop {
            // One look: a second one may come after the end of that lead.
            if let Some((id, _)) = self.nodes.iter().find(|(_, node)| node.consensus.leads()) {
                return *id;
            }
            assert!(Instant::now() < end, "not within the deadline: a leader that leads");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The highest term that a running node knows. When it is the same before and after, nobody was elected meanwhile.
    pub(super) fn term(&self) -> u64 {
        self.nodes.values().map(|node| node.consensus.status().term).max().unwrap()
    }

    /// Makes `node` lead, whatever elections come in between.
    pub(super) async fn lead(&self, node: u64) {
        let end = deadline();
        loop {
            let leader = self.leader().await;
            if leader == node {
                return;
            }
            let consensus = &self.nodes[&leader].consensus;
            if consensus.candidates(&consensus.status()).any(|able| able == node) {
                let _ = consensus.transfer_leader(node, Instant::now() + Duration::from_secs(5)).await;
            }
            assert!(Instant::now() < end, "not within the deadline: the lead of node {node}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until every running node has applied what the furthest has, and compares their digests.
    pub(super) async fn equal(&self) {
        let index = self.nodes.values().map(|node| node.consensus.progress().index).max().unwrap();
        for (id, node) in &self.nodes {
            let reached = node.consensus.wait_applied(index, deadline()).await;
            assert!(reached.is_ok(), "node {id}: {reached:?} {:?}", node.consensus.status());
        }
        let figures = |node: &Node| {
            let meta = node.store.meta();
            (meta.applied, meta.rows, meta.content, meta.chain, meta.last_time)
        };
        let all: Vec<_> = self.nodes.values().map(figures).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
    }

    pub(super) async fn stop_all(mut self) {
        for node in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.stop(node).await;
        }
    }
}

fn credentials(directory: &TempDir, authority: &Authority, node: u64) -> Arc<TlsReloader> {
    let identity: Identity = format!("spiffe://clinica/node/{node}").parse().unwrap();
    let into = directory.path().join(format!("tls-{node}"));
    let names = vec!["127.0.0.1".parse().unwrap()];
    let wanted = Wanted { identity, names, lifetime: None };
    authority.issue(&wanted, &into, &"node".parse().unwrap(), SystemTime::now()).unwrap();
    let paths = CredentialsPaths::in_directory(&into, "node");
    TlsReloader::start(paths, TlsVersions::Only13, Arc::new(SystemClock)).unwrap()
}

fn sealed(text: &str) -> Sealed {
    Sealed(text.as_bytes().to_vec())
}

fn wrapped(number: u8) -> WrappedKey {
    WrappedKey { key_id: KeyId::from_bytes([number; 16]), epoch: 1, frame: sealed("frame") }
}

fn create_cluster() -> (Role, Command) {
    let first_node = NodeDescription {
        name: "centro".to_owned(),
        site: "sp".to_owned(),
        country: "BR".to_owned(),
        medium: "ssd".to_owned(),
        peer_address: "127.0.0.1:7000".to_owned(),
        keyed: true,
        voter: true,
    };
    let command = Command::CreateCluster {
        cluster_id: CLUSTER,
        name: "rede".to_owned(),
        recovery_slot: sealed("slot"),
        epoch_key: sealed("epoch"),
        search_key: wrapped(1),
        tag_key: wrapped(2),
        first_node,
    };
    (Role::Node, command)
}

pub(super) fn unit(number: u32) -> UnitId {
    let mut id = [1; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    UnitId::from_bytes(id)
}

pub(super) fn register_unit(number: u32) -> (Role, Command) {
    let command = Command::RegisterUnit {
        unit: unit(number),
        slug: format!("unidade-{number}"),
        key: wrapped(3),
        content: Sealed(random::<64>(&SystemEntropy).to_vec()),
    };
    (Role::Manager, command)
}

/// Passes bytes on until it is cut; then nothing comes through, neither old connections nor new ones.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    cut: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Proxy {
    async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, state) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((mut near, _)) = listener.accept().await else { continue };
                let mut state = state.clone();
                connections.spawn(async move {
                    if *state.borrow_and_update() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.changed() => {}
                    }
                });
            }
        });
        Self { address, cut, _task: task }
    }

    pub(super) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Lets new connections through again.
    pub(super) fn mend(&self) {
        self.cut.send_replace(false);
    }
}
