//! The hosts, their files and disks, and what an operator does to make a network of them: `init`, tokens, `join`.

use super::chunks::ChunkDisk;
use super::engine::EngineDisk;
use super::log::LogDisk;
use super::sockets;
use crate::rot;
use crate::seed::Chance;
use anyhow::Context;
use plantao_client::identity::{Identity, Kind, Scope, Slug};
use plantao_client::pki::{Authority, Request};
use plantao_client::transport::{ClientTls, Credentials, CredentialsPaths, TlsVersions};
use plantao_client::{Cluster as Way, ConnectOptions};
use plantao_domain::{View, rows};
use plantao_node::app::{App, Platform, Storage, Store};
use plantao_node::chunks::Witness;
use plantao_node::clock::{Clock, SystemClock};
use plantao_node::cmd::{init, join};
use plantao_node::config::{self, Config, Sources};
use plantao_node::consensus::Consensus;
use plantao_node::consensus::status::Status;
use plantao_node::entropy::{SystemEntropy, random};
use plantao_node::storage::log::ForeignLog;
use plantao_node::storage::state::{OpenEngine, StateStore};
use plantao_proto::admin::v1 as admin;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use turmoil::Sim;

const PUBLIC: u16 = 7400;
const ADMIN: u16 = 7401;
const PEER: u16 = 7402;

/// More would make every write wait for more disks, and no loss that is likely easier to bear.
const VOTERS_MAX: u64 = 5;

/// What takes days in a clinic takes seconds here.
const CHUNKS: &str = "reserve = \"0 B\"\nsimulated_media = true\ncompare_interval = \"10s\"\ndelete_after = \"4s\"\n\
    orphan_after = \"10s\"\nscrub_interval = \"15s\"\nscrub_rate = \"64 MiB\"\n";

/// As the service manager does.
const WATCHED_EVERY: Duration = Duration::from_secs(5);
/// Between two tries of an operator who makes the network.
const AGAIN: Duration = Duration::from_millis(500);

/// Simulated time begins in 1970, and certificates are dated back by an hour, which must not be before it.
fn issued_at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(60 * 60)
}

/// A node's disks and clock: what is there whether it runs or not.
pub(crate) struct Machine {
    pub(crate) log: LogDisk,
    pub(crate) engine: EngineDisk,
    pub(crate) chunks: ChunkDisk,
    /// How far its clock is ahead, in milliseconds.
    skew_ms: Arc<AtomicI64>,
    /// Counts the starts: every one has other flush times.
    starts: AtomicU64,
    seed: u64,
    stalls: f64,
}

impl Store for Machine {
    fn log(&self) -> Arc<dyn ForeignLog> {
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        self.log.open(self.seed ^ start << 48, self.stalls)
    }

    fn engines(&self) -> OpenEngine {
        self.engine.engines()
    }

    fn chunks(&self) -> Arc<dyn Witness> {
        Arc::new(self.chunks.clone())
    }
}

impl Machine {
    /// What was not flushed is gone, but for what the disk had come to by itself.
    pub(crate) fn lose_power(&self, random: &mut StdRng) {
        self.log.lose_power(random);
        self.engine.lose_power(random);
        self.chunks.lose_power(random).expect("the files of a node are this process's own");
    }

    pub(crate) fn set_clock(&self, ahead_ms: i64) {
        self.skew_ms.store(ahead_ms, Ordering::Relaxed);
    }
}

/// The host's clock, which the simulation gives, and an error.
struct SkewedClock(Arc<AtomicI64>);

impl Clock for SkewedClock {
    fn now(&self) -> plantao_domain::ClusterTime {
        let millis = SystemClock.now().millis().saturating_add(self.0.load(Ordering::Relaxed));
        plantao_domain::ClusterTime::saturating_from_millis(millis)
    }
}

/// A node that runs, seen from outside the simulation.
#[derive(Clone)]
pub(crate) struct Running {
    consensus: Consensus,
    state: Arc<dyn StateStore>,
}

impl Running {
    pub(crate) fn status(&self) -> Status {
        self.consensus.status()
    }

    /// Its rows.
    pub(crate) fn view(&self) -> &dyn View {
        &*self.state
    }

    /// Index that the rows are at, their digest and the digest of all answers so far.
    pub(crate) fn digests(&self) -> (u64, ([u8; 32], [u8; 32])) {
        let meta = self.state.meta();
        (meta.applied.map_or(0, |id| id.index), (meta.content, meta.chain))
    }
}

/// What there is to simulate.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) nodes: u64,
    pub(crate) lan: bool,
    /// For the files of all nodes.
    pub(crate) directory: PathBuf,
}

impl Options {
    /// Slowest message, in milliseconds.
    pub(crate) const fn latency_ms_max(&self) -> u64 {
        if self.lan { 5 } else { 40 }
    }

    /// The first so many vote, and the others replicate (`docs/decisions/0017-members.md`).
    const fn voters(&self) -> u64 {
        if self.nodes < VOTERS_MAX { self.nodes } else { VOTERS_MAX }
    }
}

/// The hosts of one simulation.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) options: Options,
    pub(crate) machines: Rc<BTreeMap<u64, Arc<Machine>>>,
    pub(crate) running: Rc<RefCell<BTreeMap<u64, Running>>>,
    /// Nodes that stopped by themselves, with the reason.
    pub(crate) stopped: Rc<RefCell<Vec<(u64, String)>>>,
    addresses: Rc<BTreeMap<u64, IpAddr>>,
    authority: Rc<Authority>,
    name: Slug,
    /// Nodes that have joined: they do so one after another, which makes a host's number its node's.
    joined: Rc<Cell<u64>>,
}

/// A node's host.
pub(crate) fn host(id: u64) -> String {
    format!("n{id}")
}

/// A fresh simulation.
pub(crate) fn simulation(options: &Options, tick: Duration) -> Sim<'static> {
    turmoil::Builder::new()
        .simulation_duration(Duration::from_secs(100_000))
        .tick_duration(tick)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(options.latency_ms_max()))
        .tcp_capacity(1 << 16)
        .enable_random_order()
        .rng_seed(options.seed)
        .build()
}

impl Cluster {
    /// Makes all files and registers the hosts. The network makes itself as soon as time passes.
    pub(crate) fn start(sim: &mut Sim<'static>, options: &Options) -> anyhow::Result<Self> {
        let name: Slug = "simulado".parse()?;
        let authority = Authority::create(&name, &options.directory.join("authority"), issued_at())?;
        let ids = 1..=options.nodes;
        let machine = |id: u64| Machine {
            log: LogDisk::default(),
            engine: EngineDisk::default(),
            chunks: ChunkDisk::default(),
            skew_ms: Arc::default(),
            starts: AtomicU64::new(0),
            seed: options.seed.wrapping_mul(1_000).wrapping_add(id),
            // One disk of each seed is slow, so that a node is often a few entries behind when something happens.
            stalls: if id == 1 + options.seed / 4 % options.nodes { 0.4 } else { 0.05 },
        };
        let cluster = Self {
            options: options.clone(),
            machines: Rc::new(ids.clone().map(|id| (id, Arc::new(machine(id)))).collect()),
            running: Rc::default(),
            stopped: Rc::default(),
            addresses: Rc::new(ids.clone().map(|id| (id, sim.lookup(host(id)))).collect()),
            authority: Rc::new(authority),
            name,
            joined: Rc::default(),
        };
        for kind in [Kind::Integration, Kind::Operator, Kind::Auditor] {
            let file: Slug = kind.as_str().parse()?;
            let (unit, name) = (Scope::Network, file.clone());
            cluster.issue(Identity::Unit { cluster: cluster.name.clone(), unit, kind, name }, "identities", &file)?;
        }
        for id in ids {
            cluster.write_files(id)?;
            let on_host = cluster.clone();
            sim.host(host(id), move || {
                let cluster = on_host.clone();
                async move { Box::pin(cluster.run(id)).await.map_err(|error| format!("{error:#}").into()) }
            });
        }
        Ok(cluster)
    }

    fn issue(&self, identity: Identity, into: &str, file: &Slug) -> anyhow::Result<()> {
        let request = Request { identity, names: Vec::new(), lifetime: None };
        self.authority.issue(&request, &self.options.directory.join(into), file, issued_at())?;
        Ok(())
    }

    fn address(&self, id: u64, port: u16) -> String {
        format!("{}:{port}", self.addresses[&id])
    }

    fn write_files(&self, id: u64) -> anyhow::Result<()> {
        let directory = self.options.directory.join(host(id));
        fs::create_dir_all(&directory)?;
        for key in ["storage.key", "root.key"] {
            write_private(&directory.join(key), &random::<32>(&SystemEntropy))?;
        }
        let at = |file: &str| directory.join(file).display().to_string();
        let any = Ipv4Addr::UNSPECIFIED;
        let text = format!(
            "[node]\ndata_dir = {:?}\nname = \"n{id}\"\nsite = \"s{id}\"\ncountry = \"BR\"\nmedium = \"ssd\"\n\
             peer_address = {:?}\n[listen]\npublic = \"{any}:{PUBLIC}\"\nadmin = \"{any}:{ADMIN}\"\npeer = \"{any}:{PEER}\"\n\
             [tls]\ncertificate = {:?}\nkey = {:?}\nroots = {:?}\n[slots]\nstorage = {{ key_file = {:?} }}\n\
             root = {{ key_file = {:?} }}\n[storage]\nreserve = \"0 B\"\n[chunks]\n{CHUNKS}[raft]\ntimers = {:?}\nsnapshot_entries = {}\n",
            at("data"),
            self.address(id, PEER),
            at("node.crt"),
            at("node.key"),
            at("ca.crt"),
            at("storage.key"),
            at("root.key"),
            if self.options.lan { "lan" } else { "wan" },
            // Every other pair of seeds makes many snapshots, and sends them to nodes that were away for a moment.
            if (self.options.seed / 2).is_multiple_of(2) { 400 } else { 100 },
        );
        write_private(&directory.join("config.toml"), text.as_bytes())
    }

    fn config(&self, id: u64) -> anyhow::Result<Config> {
        let file = self.options.directory.join(host(id)).join("config.toml");
        let sources = Sources { file: &file, environment: &BTreeMap::new(), flags: &[] };
        Ok(Config { metrics_listen: None, ..config::load(&sources)? })
    }

    /// A node from its start to its end, on its host.
    async fn run(self, id: u64) -> anyhow::Result<()> {
        let machine = &self.machines[&id];
        let platform = Platform {
            clock: Arc::new(SkewedClock(Arc::clone(&machine.skew_ms))),
            entropy: Arc::new(SystemEntropy),
            network: sockets::network(),
            storage: Storage::Foreign(machine.clone()),
        };
        let config = self.config(id)?;
        if self.joined.get() < id {
            self.join(id, &config, &platform).await?;
        }
        let app = loop {
            match App::start(&config, &platform).await {
                Ok(app) => break app,
                // With a clock that is years out no certificate is valid. Whoever watches over it tries again.
                Err(_) if machine.skew_ms.load(Ordering::Relaxed) != 0 => tokio::time::sleep(WATCHED_EVERY).await,
                Err(error) => {
                    self.stopped.borrow_mut().push((id, format!("it does not start: {error:#}")));
                    return Ok(());
                }
            }
        };
        let running = Running { consensus: app.consensus().clone(), state: Arc::clone(app.state()) };
        self.running.borrow_mut().insert(id, running);
        let reason = app.fatal().await.to_string();
        self.running.borrow_mut().remove(&id);
        self.stopped.borrow_mut().push((id, reason));
        Ok(())
    }

    /// What an operator does once: `init` on the first node, a token and `join` on each further one.
    async fn join(&self, id: u64, config: &Config, platform: &Platform) -> anyhow::Result<()> {
        let cluster = self.name.clone();
        if id == 1 {
            self.issue(Identity::Node { cluster, id }, &host(id), &"node".parse()?)?;
            let recovery = self.options.directory.join("recovery.txt");
            init::begin(config, self.name.as_str(), &recovery, platform).await.context("init")?;
        } else {
            while self.joined.get() + 1 < id || !self.is_settled(id - 1) {
                tokio::time::sleep(AGAIN).await;
            }
            let name: Slug = host(id).parse()?;
            self.issue(Identity::NewNode { cluster: cluster.clone(), name }, &host(id), &"new".parse()?)?;
            let operator = self.way(Kind::Operator, id)?;
            let admin = operator.admin_nodes().first().context("no node to ask")?.clone();
            let token = loop {
                let request =
                    admin::CreateJoinTokenRequest { keyed: true, voter: id <= self.options.voters(), lifetime_ms: 0 };
                match admin.create_join_token(request).await {
                    Ok(answer) => break answer.token,
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            };
            let directory = self.options.directory.join(host(id));
            let paths = CredentialsPaths {
                certificate: directory.join("new.crt"),
                key: directory.join("new.key"),
                roots: directory.join("ca.crt"),
            };
            let ticket = join::Ticket { paths, peer: self.address(1, PEER), token, phrase: None };
            let joined = join::join(config, ticket, platform).await.context("join")?;
            anyhow::ensure!(joined.identity.node.0 == id, "node {} on host {id}", joined.identity.node);
            self.issue(Identity::Node { cluster, id }, &host(id), &"node".parse()?)?;
        }
        self.joined.set(id);
        Ok(())
    }

    /// Whether it is a member, and votes if it is to.
    fn is_settled(&self, id: u64) -> bool {
        let votes = id <= self.options.voters();
        let running = self.running.borrow();
        running.values().any(|node| {
            let status = node.status();
            status.leads() && !status.changing && status.member(id).is_some_and(|member| member.voter || !votes)
        })
    }

    /// Whether every node is what it is to be.
    pub(crate) fn is_whole(&self) -> bool {
        (1..=self.options.nodes).all(|id| self.is_settled(id))
    }

    /// A program's or an operator's way to all nodes, beginning with another one for each `nth`. On a host.
    pub(crate) fn way(&self, kind: Kind, nth: u64) -> anyhow::Result<Way> {
        let directory = self.options.directory.join("identities");
        let paths = CredentialsPaths {
            certificate: directory.join(format!("{}.crt", kind.as_str())),
            key: directory.join(format!("{}.key", kind.as_str())),
            roots: directory.join("ca.crt"),
        };
        let credentials = Credentials::load(&paths, SystemTime::now())?;
        let tls = ClientTls::new(Arc::new(credentials), TlsVersions::Only13).with_network(sockets::network());
        let at = |port| -> Vec<String> { self.addresses.keys().map(|id| self.address(*id, port)).collect() };
        let way = Way::with_tls(&tls, &at(PUBLIC), &tls, &at(ADMIN), &options())?;
        Ok(way.spread(usize::try_from(nth).unwrap_or(0)))
    }

    /// The node that leads the highest term, by its own account.
    pub(crate) fn leader(&self) -> Option<u64> {
        let running = self.running.borrow();
        let leaders = running.values().map(Running::status).filter(Status::leads);
        leaders.max_by_key(|status| status.term).map(|status| status.node)
    }

    /// Deletion epochs so far: one for each command that condemned chunks.
    pub(crate) fn burials(&self) -> u64 {
        let epoch = |node: &Running| rows::images_head(node.view()).map_or(0, |head| head.epoch);
        self.running.borrow().values().map(epoch).max().unwrap_or(0)
    }

    /// Cuts a node's power.
    pub(crate) fn crash(&self, sim: &mut Sim<'static>, id: u64, random: &mut StdRng) {
        self.running.borrow_mut().remove(&id);
        sim.crash(host(id));
        self.machines[&id].lose_power(random);
    }

    /// Where a node keeps its chunks.
    pub(crate) fn chunk_directory(&self, id: u64) -> PathBuf {
        self.options.directory.join(host(id)).join("data").join("chunks")
    }

    /// Flips a bit of a chunk of a node, if it has one that another node has as well.
    pub(crate) fn rot(&self, id: u64, chance: &mut Chance) -> bool {
        let others: Vec<PathBuf> =
            self.machines.keys().filter(|it| **it != id).map(|it| self.chunk_directory(*it)).collect();
        rot::flip(&self.chunk_directory(id), &others, chance).expect("a chunk file is whole or not there")
    }

    /// Starts it again.
    pub(crate) fn bounce(&self, sim: &mut Sim<'static>, id: u64) {
        sim.bounce(host(id));
    }

    /// A stream of chance of its own.
    pub(crate) fn random(&self, stream: u64) -> StdRng {
        StdRng::seed_from_u64(self.options.seed ^ stream << 32)
    }
}

/// Simulated connections never send again what was lost: only keep-alive frees one that hangs.
fn options() -> ConnectOptions {
    let mut options = ConnectOptions::default();
    options.channel.connect_timeout = Duration::from_secs(1);
    options.channel.keep_alive_interval = Duration::from_secs(1);
    options.channel.keep_alive_timeout = Duration::from_secs(1);
    options.retry.attempt_timeout = Duration::from_secs(3);
    options
}

fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(())
}
