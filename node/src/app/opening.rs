//! A node's directory, opened: lock, identity, keys, certificates, storage, and Raft on it. Everything below the services,
//! for the node that runs and for commands on a stopped one. Nothing here listens on a port.

use super::platform::{Platform, Storage};
use crate::clock::SharedClock;
use crate::config::{Config, TimerProfile};
use crate::consensus::clocks::PeerClocks;
use crate::consensus::log_store::LogStore;
use crate::consensus::profile::{Preference, Timers};
use crate::consensus::{
    Affiliation, Consensus, Forwarder, Network, Parts as RaftParts, Rooms, TransferError, incarnations, offline,
};
use crate::crypto::{Keyring, PassphraseCost, SlotFile, SlotSecret, SlotSource, SourceRules, StorageKey, StorageSeal};
use crate::entropy::SharedEntropy;
use crate::storage::checkpoint::Owner;
use crate::storage::fs::DataDir;
use crate::storage::identity::{IdentityError, NodeIdentity};
use crate::storage::level::{LevelError, Levels};
use crate::storage::lock::DirectoryLock;
use crate::storage::log::Log;
use crate::storage::rebuild::{self, Options as StateOptions, Start};
use crate::storage::recovery::{self, MarkError};
use crate::storage::snapshot::Snapshots;
use crate::storage::state::{EngineKind, StateStore};
use crate::storage::watermark::LogIdentity;
use crate::transport::{PeerChannels, TlsReloader};
use anyhow::{Context, bail};
use plantao_client::identity::Identity;
use plantao_client::transport::{CredentialsPaths, TlsVersions};
use plantao_domain::upgrade;
use std::path::Path;
use std::sync::Arc;
use tokio::time::Instant;
use tracing::{info, warn};

/// Everything below the services: what `init` needs too.
pub struct Core {
    /// Held for as long as the node lives.
    lock: DirectoryLock,
    pub(super) data: DataDir,
    /// Who this is.
    pub identity: Arc<NodeIdentity>,
    /// The rows.
    pub state: Arc<dyn StateStore>,
    /// Snapshot files.
    pub(super) snapshots: Arc<Snapshots>,
    /// Raft.
    pub consensus: Consensus,
    /// The way to the leader.
    pub forwarder: Forwarder,
    /// Keys.
    pub keyring: Arc<Keyring>,
    pub(super) channels: PeerChannels,
    pub(super) storage_seal: Arc<StorageSeal>,
    pub(super) log: Log,
    pub(super) engine: &'static str,
    pub(super) tls: Arc<TlsReloader>,
    pub(super) clock: SharedClock,
    pub(super) entropy: SharedEntropy,
}

/// Reads a slot's secret under the rules of this configuration.
///
/// # Errors
/// The source is refused.
pub fn slot_secret(config: &Config, source: &SlotSource) -> anyhow::Result<SlotSecret> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    let rules = SourceRules { data_dir: &config.data_dir, credentials_dir: credentials.as_deref().map(Path::new) };
    source.read(rules).map_err(|error| {
        let help = error.help();
        anyhow::Error::new(error).context(format!("a key cannot be used; {help}"))
    })
}

/// How hard passphrases are stretched.
///
/// # Errors
/// The configured memory is outside what Argon2 takes.
pub fn passphrase_cost(config: &Config) -> anyhow::Result<PassphraseCost> {
    PassphraseCost::with_memory_kib(config.passphrase_memory_kib)
        .context("slots.passphrase_memory is outside what key derivation takes")
}

/// The certificates of this configuration.
///
/// # Errors
/// A file is missing, readable by others, or not good.
pub fn certificates(config: &Config, clock: &SharedClock) -> anyhow::Result<Arc<TlsReloader>> {
    let paths = CredentialsPaths {
        certificate: config.tls_certificate.clone(),
        key: config.tls_key.clone(),
        roots: config.tls_roots.clone(),
    };
    TlsReloader::start_with(paths, config.tls_revoked.clone(), TlsVersions::Only13, clock.clone())
        .context("the certificates cannot be used")
}

fn load_identity(data: &DataDir) -> anyhow::Result<NodeIdentity> {
    NodeIdentity::load(&data.identity()).map_err(|error: IdentityError| {
        let help = error.help();
        anyhow::Error::new(error).context(format!("{} is not a node's directory; {help}", data.root().display()))
    })
}

/// Opens the storage key of a node's directory.
///
/// # Errors
/// No slot, a wrong key, or a damaged slot.
pub fn storage_key(config: &Config, data: &DataDir, identity: &NodeIdentity) -> anyhow::Result<StorageKey> {
    let loaded = SlotFile::new(&data.slots(), "storage").load().map_err(|error| {
        let help = error.help();
        anyhow::Error::new(error).context(format!("the storage slot cannot be read; {help}"))
    })?;
    let secret = slot_secret(config, &config.storage_slot)?;
    loaded.slot.open_storage(identity.cluster, identity.node, &secret).map_err(|error| {
        let help = error.help();
        anyhow::Error::new(error).context(format!("the storage slot does not open; {help}"))
    })
}

/// The log's identity.
pub fn log_identity(identity: &NodeIdentity) -> LogIdentity {
    LogIdentity { cluster: identity.cluster, node: identity.node }
}

/// The state's owner.
pub fn owner(identity: &NodeIdentity) -> Owner {
    Owner { cluster: identity.cluster, incarnation: identity.incarnation.into(), node: identity.node }
}

impl Core {
    /// Opens a node's directory and starts Raft on it. Blocking parts run on a blocking thread.
    ///
    /// # Errors
    /// Anything that keeps the node from voting safely.
    pub async fn open(config: &Config, tls: Arc<TlsReloader>, platform: &Platform) -> anyhow::Result<Self> {
        let Platform { clock, entropy, network, storage: parts } = platform.clone();
        let data = DataDir::new(&config.data_dir);
        if !data.identity().exists() {
            // Before the lock: a directory that is not there cannot be locked, and that would be told instead.
            load_identity(&data)?;
        }
        let lock = data.lock().context("the data directory is in use, or cannot be locked")?;
        let identity = load_identity(&data)?;
        recovery::check(&data).map_err(refused)?;
        match tls.identity() {
            Identity::Node { cluster, id } if cluster.as_str() == identity.cluster_name && id == identity.node.0 => {}
            other => bail!(
                "the certificate says {other}, but this directory is node {} of {}: issue spiffe://{}/node/{}",
                identity.node,
                identity.cluster_name,
                identity.cluster_name,
                identity.node
            ),
        }
        let levels = Arc::new(Levels::of(config.level_max, data.identity(), identity.clone()));
        levels.check_mark().map_err(too_old)?;
        let storage = storage_key(config, &data, &identity)?;
        let seal = Arc::new(StorageSeal::new(storage, identity.cluster, identity.node, &*entropy));
        let opening = {
            let (data, identity, seal, engine) = (data.clone(), identity.clone(), Arc::clone(&seal), config.engine);
            crate::work::blocking(move || open_storage(&parts, &data, &identity, &seal, engine))
        };
        let (snapshots, state, log) = opening.await.context("opening the storage was cut off")??;
        // A mark that a crash or a snapshot left out is made now.
        let level = upgrade::level(&*state).context("the state cannot be read")?;
        levels.reach(level).map_err(too_old)?;
        let us = Affiliation { cluster: identity.cluster, incarnation: identity.incarnation, node: identity.node.0 };
        let clocks = PeerClocks::new(clock.clone());
        let channels = PeerChannels::new(tls.client().with_network(network));
        ask_incarnation(&data, &*state, us, levels.newest(), &channels).await?;
        let preferred = config.prefer_leader && identity.keyed;
        let consensus = Consensus::start(RaftParts {
            node: identity.node.0,
            cluster_name: identity.cluster_name.clone(),
            timers: match config.timers {
                TimerProfile::Wan => Timers::Wan,
                TimerProfile::Lan => Timers::Lan,
            },
            preference: if preferred { Preference::Preferred } else { Preference::LastResort },
            snapshot_entries: config.snapshot_entries,
            clock: clock.clone(),
            clocks: clocks.clone(),
            skew_max: config.clock_skew_max,
            rooms: Rooms::default(),
            log: LogStore::new(log.clone()),
            network: Network::new(us, channels.clone(), clocks),
            store: Arc::clone(&state),
            snapshots: Arc::clone(&snapshots),
            levels,
        })
        .await
        .context("replication does not start")?;
        let forwarder = Forwarder::new(consensus.clone(), us, channels.clone(), entropy.clone());
        let keyring = Arc::new(Keyring::sealed(identity.cluster, entropy.clone()));
        if identity.keyed {
            unseal(config, &data, &identity, &keyring)?;
        }
        Ok(Self {
            lock,
            data,
            identity: Arc::new(identity),
            state,
            snapshots,
            consensus,
            forwarder,
            keyring,
            channels,
            storage_seal: seal,
            log,
            engine: match config.engine {
                EngineKind::Fjall => "fjall",
                EngineKind::Sled => "sled",
            },
            tls,
            clock,
            entropy,
        })
    }

    pub(super) fn affiliation(&self) -> Affiliation {
        Affiliation {
            cluster: self.identity.cluster,
            incarnation: self.identity.incarnation,
            node: self.identity.node.0,
        }
    }

    /// Gives up the lead, as far as somebody is there to take it.
    pub(super) async fn hand_over(&self) {
        // By then the others have elected by themselves.
        let deadline = Instant::now() + self.consensus.timers().election_max() * 2;
        match self.consensus.step_down(deadline).await {
            Ok(()) => info!("this node does not lead"),
            Err(error @ TransferError::NoCandidate) => info!(%error, "nobody is there to take the lead"),
            Err(error) => warn!(%error, "the lead was not handed over; the others elect by themselves"),
        }
    }

    /// Stops Raft and makes everything durable.
    pub async fn stop(self) {
        self.consensus.shutdown().await;
        let state = Arc::clone(&self.state);
        match crate::work::blocking(move || state.checkpoint()).await {
            Ok(Ok(meta)) => info!(applied = meta.applied.map_or(0, |id| id.index), "the state is flushed"),
            Ok(Err(error)) => warn!(%error, "the state is not flushed; the log replays it"),
            Err(_) => warn!("flushing the state was cut off; the log replays it"),
        }
        if let Err(error) = self.log.close().await {
            warn!(%error, "the log was not closed in order; its last entries are checked at the next start");
        }
        drop(self.lock);
    }
}

/// The root slot, if there is one: without it a keyed node starts sealed and says so.
fn unseal(config: &Config, data: &DataDir, identity: &NodeIdentity, keyring: &Keyring) -> anyhow::Result<()> {
    let file = SlotFile::new(&data.slots(), "root");
    let Some(source) = config.root_slot.as_ref().filter(|_| file.exists()) else {
        warn!("no root slot: this node is sealed; it votes and replicates, and serves no content");
        return Ok(());
    };
    let loaded = file.load().context("the root slot cannot be read; restore it with the paper passphrase")?;
    let secret = slot_secret(config, source)?;
    let root = loaded.slot.open_root(identity.cluster, identity.node, &secret).map_err(|error| {
        let help = error.help();
        anyhow::Error::new(error).context(format!("the root slot does not open; {help}"))
    })?;
    keyring.unseal(root).context("the root key is not this network's")
}

/// A level that this program does not read, as a person meets it.
fn too_old(error: LevelError) -> anyhow::Error {
    let (code, help) = (error.code(), error.help());
    anyhow::Error::new(error).context(format!("this node does not run (PLT-{code}); {help}"))
}

/// A mark as a person meets it: what, its number, what to do.
fn refused(mark: MarkError) -> anyhow::Error {
    let (code, help) = (mark.code(), mark.help());
    anyhow::Error::new(mark).context(format!("this node does not run (PLT-{code}); {help}"))
}

/// The network went on without this node: its directory never runs again.
pub(super) fn superseded(data: &DataDir, incarnation: u32) -> anyhow::Error {
    refused(match recovery::supersede(data, incarnation) {
        Ok(()) => MarkError::Superseded { incarnation },
        Err(error) => error,
    })
}

/// Two members of the past would elect each other: whoever can be asked is asked before Raft begins.
async fn ask_incarnation(
    data: &DataDir,
    state: &dyn StateStore,
    us: Affiliation,
    newest_level: u32,
    channels: &PeerChannels,
) -> anyhow::Result<()> {
    let known = offline::membership_of_state(&state.meta().membership).context("the membership cannot be read")?;
    let members = known.unwrap_or_default().members.into_iter().map(|member| (member.id, member.member.peer_address));
    match incarnations::ask(members.collect(), us, newest_level, channels).await {
        Some(newer) => Err(superseded(data, newer)),
        None => Ok(()),
    }
}

type Opened = (Arc<Snapshots>, Arc<dyn StateStore>, Log);

fn open_storage(
    parts: &Storage,
    data: &DataDir,
    identity: &NodeIdentity,
    seal: &Arc<StorageSeal>,
    engine: EngineKind,
) -> anyhow::Result<Opened> {
    let log = parts.open_log(data, identity, seal)?;
    let snapshots = Snapshots::open(&data.snapshots(), seal.clone()).context("the snapshots cannot be read")?;
    if snapshots.set_aside() > 0 {
        warn!(
            files = snapshots.set_aside(),
            "snapshots did not verify and were set aside; an older one, or the log, counts"
        );
    }
    let options = StateOptions { dir: data.state(), owner: owner(identity), engine, seal: seal.clone() };
    let opened =
        rebuild::open_with(&options, &snapshots, parts.engines()).context("the state cannot be opened or rebuilt")?;
    match &opened.start {
        Start::Created | Start::Verified => {}
        Start::Converted { from } => info!(?from, to = ?engine, "the state was moved into another engine"),
        Start::Rebuilt { reason, from } => {
            warn!(%reason, from = from.map_or(0, |id| id.index), "the state was set aside and is rebuilt from the log");
        }
    }
    Ok((Arc::new(snapshots), opened.store, log))
}
