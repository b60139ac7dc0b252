//! The composition root: the only place that wires components.
//!
//! ```text
//! start: lock ─► identity ─► storage slot ─► certificates ─► ports ─► snapshots, state, log ─► Raft ─► keys ─► journal
//!        ─► gateway ─► chunks ─► services ─► tasks
//! stop:  not ready ─► no new requests ─► lead handed over ─► Raft ─► checkpoint ─► lock
//! ```
//! Ports are bound before anything slow, so that a wrong address is told at once; certificates come before them, because a
//! port without an identity is of no use. Whatever fails on the way ends the start with what, why and what to do.

mod opening;
mod platform;

use crate::admin::{
    About, AdminServices, CertificateServices, LeadServices, MembersServices, ProofServices, QuorumServices,
    UpgradeServices,
};
use crate::api::{ImageServices, PublicServices};
use crate::chunks::scrub::ScrubOptions;
use crate::chunks::{ChunkDirectory, ChunkStore, DirectoryOptions, Witness};
use crate::config::Config;
use crate::consensus::leader_tasks::LeaderTasks;
use crate::consensus::{Consensus, Stopped, Tenures, checkpoints, snapshots, watch_links};
use crate::crypto::slots::SlotPlace;
use crate::crypto::{JournalSeal, SlotFile};
use crate::entropy::random;
use crate::gateway::{Gateway, Parts as GatewayParts, submit_reads};
use crate::health::{EventRing, HealthServices, Parts as HealthParts, Setup, Timeline, watch_events};
use crate::images::keeping::{self, FINDINGS_MAX, Keeper, KeepingOptions};
use crate::images::{BulkLinks, ChunkPeers, Images, LocalChunks, Parts as ImageParts, register_store};
use crate::join::{JoinServer, Unseal, fetch_root_key};
use crate::journal::{Journal, Options as JournalOptions};
use crate::lead::{Forced, Steward, note_tenures};
use crate::members::Members;
use crate::peer::{Gate, PeerChunkService, PeerForwardService, PeerRaftService};
use crate::proof::evidence::convert::PeerEvidenceService;
use crate::proof::{EvidencePeers, OwnEvidence, Prover, Witnesses};
use crate::room::watch_room;
use crate::storage::fs::DataDir;
use crate::storage::state::StateStore;
use crate::survivor::{Order, Survivors};
use crate::telemetry::{RequestCounts, RequestMeter, metrics};
use crate::transport::{Acceptor, AcceptorOptions, Plane, PlaneLayer, ServerLimits, TlsReloader, server};
use crate::upgrade::Upgrades;
use anyhow::Context;
use plantao_client::transport::Network;
use plantao_domain::{JournalId, NodeId, rows};
use plantao_proto::admin::v1::certificate_service_server::CertificateServiceServer;
use plantao_proto::admin::v1::cluster_service_server::ClusterServiceServer;
use plantao_proto::admin::v1::health_service_server::HealthServiceServer;
use plantao_proto::admin::v1::lead_service_server::LeadServiceServer;
use plantao_proto::admin::v1::members_service_server::MembersServiceServer;
use plantao_proto::admin::v1::proof_service_server::ProofServiceServer;
use plantao_proto::admin::v1::quorum_service_server::QuorumServiceServer;
use plantao_proto::admin::v1::upgrade_service_server::UpgradeServiceServer;
use plantao_proto::peer::v1::chunk_service_server::ChunkServiceServer;
use plantao_proto::peer::v1::evidence_service_server::EvidenceServiceServer;
use plantao_proto::peer::v1::forward_service_server::ForwardServiceServer;
use plantao_proto::peer::v1::join_service_server::JoinServiceServer;
use plantao_proto::peer::v1::raft_service_server::RaftServiceServer;
use plantao_proto::public::v1::agenda_service_server::AgendaServiceServer;
use plantao_proto::public::v1::audit_service_server::AuditServiceServer;
use plantao_proto::public::v1::change_service_server::ChangeServiceServer;
use plantao_proto::public::v1::consent_service_server::ConsentServiceServer;
use plantao_proto::public::v1::directory_service_server::DirectoryServiceServer;
use plantao_proto::public::v1::image_service_server::ImageServiceServer;
use plantao_proto::public::v1::patient_service_server::PatientServiceServer;
use plantao_proto::public::v1::record_service_server::RecordServiceServer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use opening::superseded;
pub use opening::{Core, certificates, log_identity, owner, passphrase_cost, slot_secret, storage_key};
pub use platform::{Platform, Storage, Store};

/// How long open requests may take once the node stops.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// The addresses that a node listens on; with port 0 in the configuration, the real ones.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// For programs and people of the units.
    pub public: SocketAddr,
    /// For operators.
    pub admin: SocketAddr,
    /// For nodes.
    pub peer: SocketAddr,
}

/// A running node.
pub struct App {
    core: Core,
    gateway: Gateway,
    images: Images,
    evidence: OwnEvidence,
    keeper: Keeper,
    members: Members,
    addresses: Addresses,
    stopping: CancellationToken,
    servers: JoinSet<Result<(), tonic::transport::Error>>,
    tasks: JoinSet<()>,
    health: tonic_health::server::HealthReporter,
    /// Requests of programs, and of operators.
    requests: (Arc<RequestCounts>, Arc<RequestCounts>),
    forced: Forced,
    /// What an operator has this node do once it has stopped.
    orders: mpsc::Receiver<Order>,
}

/// Runs until the future ends, but not longer than the node.
fn supervised(tasks: &mut JoinSet<()>, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async move {
        task.await;
        tracing::debug!(task = name, "task ended");
    });
}

impl App {
    /// Starts everything.
    ///
    /// # Errors
    /// Anything that keeps the node from serving safely, with what to do.
    pub async fn start(config: &Config, platform: &Platform) -> anyhow::Result<Self> {
        let started = std::time::Instant::now();
        let (clock, network) = (platform.clock.clone(), &platform.network);
        let tls = certificates(config, &clock)?;
        let public = bind(network, Plane::Public, config.public_listen, &tls).await?;
        let admin = bind(network, Plane::Admin, config.admin_listen, &tls).await?;
        let peer = bind(network, Plane::Peer, config.peer_listen, &tls).await?;
        let addresses = Addresses { public: public.local_addr(), admin: admin.local_addr(), peer: peer.local_addr() };
        if let Some(address) = config.metrics_listen {
            metrics::serve(address)?;
        }
        let core = Core::open(config, tls, platform).await?;
        let journal = open_journal(config, &core)?;
        let gateway = Gateway::new(GatewayParts {
            node: core.identity.node,
            consensus: core.consensus.clone(),
            forwarder: core.forwarder.clone(),
            state: Arc::clone(&core.state),
            keyring: Arc::clone(&core.keyring),
            journal,
            clock: clock.clone(),
            entropy: core.entropy.clone(),
            requests_max: config.requests_max,
        });
        gateway.install_keys().context("the keys of the network cannot be read from the state")?;
        let links =
            BulkLinks::new(config.link_caps.clone(), config.zone.clone(), clock.clone(), core.consensus.clone());
        let images = Images::new(ImageParts {
            gateway: gateway.clone(),
            identity: core.tls.identity(),
            chunks: LocalChunks::new(
                core.identity.node,
                open_chunks(config, &core, platform.storage.chunks()).await,
                Arc::clone(&core.state),
            ),
            peers: ChunkPeers::new(core.affiliation(), core.consensus.clone(), core.channels.clone(), links),
            entropy: core.entropy.clone(),
        });
        let evidence = OwnEvidence::new(
            Arc::clone(&core.state),
            config.data_dir.clone(),
            &config.medium,
            config.simulated_media,
            started,
        );
        let keeper = Keeper::new(
            gateway.clone(),
            core.tls.identity(),
            images.chunks().clone(),
            images.peers().clone(),
            keeping_options(config),
        );
        let members = Members::new(gateway.clone(), core.tls.identity(), config.replace_silent_after);
        let (survivors, orders) = Survivors::new(
            gateway.clone(),
            core.identity.cluster_name.clone(),
            core.affiliation(),
            core.channels.clone(),
        );
        let (health, health_service) = tonic_health::server::health_reporter();
        let mut app = Self {
            core,
            gateway,
            images,
            evidence,
            keeper,
            members,
            addresses,
            stopping: CancellationToken::new(),
            servers: JoinSet::new(),
            tasks: JoinSet::new(),
            health,
            requests: (Arc::default(), Arc::default()),
            forced: Forced::default(),
            orders,
        };
        app.serve_public(public, health_service)?;
        app.serve_admin(admin, survivors, config, started)?;
        app.serve_peer(peer);
        app.start_tasks(config, started)?;
        app.health.set_service_status("", tonic_health::ServingStatus::Serving).await;
        info!(
            node = app.core.identity.node.0,
            name = app.core.identity.name,
            version = env!("CARGO_PKG_VERSION"),
            sealed = app.core.keyring.is_sealed(),
            took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "node started"
        );
        Ok(app)
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its member of the Raft group, for whoever watches from inside.
    pub fn consensus(&self) -> &Consensus {
        &self.core.consensus
    }

    /// Its rows.
    pub fn state(&self) -> &Arc<dyn StateStore> {
        &self.core.state
    }

    /// Its number.
    pub fn node(&self) -> NodeId {
        self.core.identity.node
    }

    /// Ends when the node can no longer be trusted to go on: the process must exit then.
    pub fn fatal(&self) -> impl Future<Output = Stopped> + Send + use<> {
        let raft = self.core.consensus.fatal();
        let log = self.core.log.clone();
        let mut journal = self.gateway.journal().backlog();
        let (data, ours) = (self.core.data.clone(), self.core.identity.incarnation);
        let mut newest = self.core.consensus.incarnations().watch();
        async move {
            let superseded = async {
                let newer = newest.wait_for(|newest| *newest > ours).await.map(|newest| *newest);
                newer.map(|newer| Stopped { reason: format!("{:#}", superseded(&data, newer)) })
            };
            tokio::select! {
                stopped = raft => stopped,
                Ok(stopped) = superseded => stopped,
                error = log.failed() => Stopped { reason: format!("the log failed: {error}") },
                // An error means that the journal is gone with the node.
                Ok(_) = journal.wait_for(|backlog| backlog.broken) => {
                    Stopped { reason: "the journal of reads cannot be written".to_string() }
                }
            }
        }
    }

    /// Ends when an operator has this node go on without the majority: it is to be stopped then. Cancel safe.
    pub async fn ordered(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            // The services are gone: the node stops anyway.
            None => std::future::pending().await,
        }
    }

    fn prover(&self) -> Prover {
        let (us, consensus, channels) =
            (self.core.affiliation(), self.core.consensus.clone(), self.core.channels.clone());
        let (chunks, peers) = (self.images.chunks().clone(), self.images.peers().clone());
        let witnesses = Witnesses::new(chunks, peers, self.core.clock.clone());
        let evidence = EvidencePeers::new(self.evidence.clone(), us, consensus, channels);
        Prover::new(Arc::clone(&self.core.state), Arc::new(witnesses), evidence)
    }

    fn layer(&self, plane: Plane) -> PlaneLayer {
        PlaneLayer::new(plane, self.core.tls.server(), self.core.clock.clone())
    }

    fn serve_public<H>(&mut self, acceptor: Acceptor, health: H) -> anyhow::Result<()>
    where
        H: tonic::codegen::Service<
                tonic::codegen::http::Request<tonic::body::Body>,
                Response = tonic::codegen::http::Response<tonic::body::Body>,
                Error = std::convert::Infallible,
            > + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        H::Future: Send + 'static,
    {
        let services = PublicServices::new(self.gateway.clone());
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(plantao_proto::DESCRIPTORS)
            .build_v1()
            .context("the descriptors cannot be served")?;
        let limit = plantao_client::transport::MESSAGE_BYTES_MAX;
        let router = server(&ServerLimits::for_plane(Plane::Public), self.layer(Plane::Public))
            .layer(RequestMeter::new(Plane::Public.as_str()).counting(Arc::clone(&self.requests.0)))
            .add_service(health)
            .add_service(reflection)
            .add_service(DirectoryServiceServer::new(services.clone()))
            .add_service(PatientServiceServer::new(services.clone()))
            .add_service(AgendaServiceServer::new(services.clone()))
            .add_service(RecordServiceServer::new(services.clone()))
            .add_service(ConsentServiceServer::new(services.clone()))
            .add_service(AuditServiceServer::new(services.clone()))
            .add_service(
                ImageServiceServer::new(ImageServices::new(self.images.clone())).max_decoding_message_size(limit),
            )
            .add_service(ChangeServiceServer::new(services));
        let stop = self.stopping.clone().cancelled_owned();
        self.servers.spawn(router.serve_with_incoming_shutdown(acceptor.incoming(), stop));
        Ok(())
    }

    fn serve_admin(
        &mut self,
        acceptor: Acceptor,
        survivors: Survivors,
        config: &Config,
        started: std::time::Instant,
    ) -> anyhow::Result<()> {
        let about = About {
            node: Arc::clone(&self.core.identity),
            engine: self.core.engine,
            started,
            certificate: self.core.tls.status(),
        };
        let timeline = Timeline::default();
        let services = AdminServices::new(
            self.gateway.clone(),
            about.clone(),
            self.core.entropy.clone(),
            self.keeper.clone(),
            timeline.clone(),
        );
        let health = self.watch_health(&about, &services, config, timeline);
        let certificates = CertificateServices::new(self.gateway.clone(), Arc::clone(&self.core.tls));
        let members =
            MembersServices::new(self.gateway.clone(), self.members.clone(), about.clone(), self.core.entropy.clone());
        let upgrades = Upgrades::new(self.gateway.clone(), self.core.affiliation(), self.core.channels.clone());
        let upgrades = UpgradeServices::new(self.gateway.clone(), upgrades, about.clone());
        let quorum = QuorumServices::new(self.gateway.clone(), survivors);
        let proofs = ProofServices::new(self.gateway.clone(), about, self.core.entropy.clone(), self.prover());
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(plantao_proto::DESCRIPTORS)
            .build_v1()
            .context("the descriptors cannot be served")?;
        let router = server(&ServerLimits::for_plane(Plane::Admin), self.layer(Plane::Admin))
            .layer(RequestMeter::new(Plane::Admin.as_str()).counting(Arc::clone(&self.requests.1)))
            .add_service(reflection)
            .add_service(ClusterServiceServer::new(services))
            .add_service(MembersServiceServer::new(members))
            .add_service(ProofServiceServer::new(proofs))
            .add_service(UpgradeServiceServer::new(upgrades))
            .add_service(QuorumServiceServer::new(quorum))
            .add_service(HealthServiceServer::new(health))
            .add_service(LeadServiceServer::new(LeadServices::new(self.gateway.clone(), self.forced.clone())))
            .add_service(CertificateServiceServer::new(certificates));
        let stop = self.stopping.clone().cancelled_owned();
        self.servers.spawn(router.serve_with_incoming_shutdown(acceptor.incoming(), stop));
        Ok(())
    }

    /// Begins to watch what happens here, and gives what tells of it.
    fn watch_health(
        &mut self,
        about: &About,
        services: &AdminServices,
        config: &Config,
        timeline: Timeline,
    ) -> HealthServices {
        let ring = EventRing::new(self.core.clock.now().millis());
        let (gateway, keeper, services) = (self.gateway.clone(), self.keeper.clone(), services.clone());
        let warnings = Arc::new(move || services.current_warnings());
        let watching = watch_events(gateway.clone(), about.clone(), keeper.clone(), warnings, timeline, ring.clone());
        supervised(&mut self.tasks, "events", watching);
        HealthServices::new(HealthParts {
            gateway,
            about: about.clone(),
            keeper,
            setup: Setup::of(config, self.addresses.peer),
            ring,
            requests: self.requests.clone(),
            stopping: self.stopping.clone(),
        })
    }

    fn serve_peer(&mut self, acceptor: Acceptor) {
        let gate =
            Gate::new(self.core.affiliation(), self.core.consensus.clone()).with_rows(Arc::clone(&self.core.state));
        let raft = PeerRaftService::new(gate.clone(), self.core.consensus.clone(), Arc::clone(&self.core.snapshots));
        let forward = PeerForwardService::new(gate.clone(), self.core.forwarder.clone());
        let clock = self.core.clock.clone();
        let links = self.images.peers().links().clone();
        let chunks = PeerChunkService::new(gate.clone(), self.images.chunks().clone(), clock, links);
        let evidence = PeerEvidenceService::new(gate.clone(), self.evidence.clone());
        let join = JoinServer::new(
            gate.clone(),
            self.gateway.clone(),
            Arc::clone(&self.core.identity),
            self.core.tls.identity(),
        );
        let limit = plantao_client::transport::MESSAGE_BYTES_MAX;
        let router = server(&ServerLimits::for_plane(Plane::Peer), self.layer(Plane::Peer))
            .layer(RequestMeter::new(Plane::Peer.as_str()))
            .add_service(RaftServiceServer::new(raft).max_decoding_message_size(limit))
            .add_service(ForwardServiceServer::new(forward))
            .add_service(ChunkServiceServer::new(chunks).max_decoding_message_size(limit))
            .add_service(EvidenceServiceServer::new(evidence))
            .add_service(JoinServiceServer::new(join));
        let stop = self.stopping.clone().cancelled_owned();
        self.servers.spawn(router.serve_with_incoming_shutdown(acceptor.incoming(), stop));
    }

    fn start_tasks(&mut self, config: &Config, started: std::time::Instant) -> anyhow::Result<()> {
        let identity = self.core.tls.identity();
        supervised(&mut self.tasks, "submit_reads", submit_reads(self.gateway.clone(), identity.clone()));
        let tenures = Tenures::watch(self.core.consensus.clone());
        let noting = note_tenures(self.gateway.clone(), identity.clone(), self.forced.clone(), tenures);
        supervised(&mut self.tasks, "lead_history", noting);
        let chunks = self.images.chunks().clone();
        let register = register_store(self.gateway.clone(), identity.clone(), chunks, config.medium.clone());
        supervised(&mut self.tasks, "register_store", register);
        supervised(&mut self.tasks, "images", self.images.clone().tend());
        self.keep_images();
        let (steward, drained) = Steward::new(self.gateway.clone(), identity);
        let (leader, mut clock) = LeaderTasks::new(self.core.consensus.clone(), steward);
        supervised(&mut self.tasks, "drained", tell_drained(drained, self.health.clone(), self.stopping.clone()));
        supervised(&mut self.tasks, "leader", leader.run());
        supervised(&mut self.tasks, "clock", async move {
            while clock.changed().await.is_ok() {
                if let Some(warning) = *clock.borrow_and_update() {
                    warn!(?warning, "this leader's clock is off");
                }
            }
        });
        let links = watch_links(self.core.consensus.clone(), self.core.affiliation(), self.core.channels.clone());
        supervised(&mut self.tasks, "links", links);
        let durable = checkpoints(Arc::clone(&self.core.state), self.core.consensus.watch_progress());
        supervised(&mut self.tasks, "checkpoints", durable);
        let (state, kept) = (Arc::clone(&self.core.state), Arc::clone(&self.core.snapshots));
        let due = snapshots(self.core.consensus.clone(), state, kept, config.snapshot_entries);
        supervised(&mut self.tasks, "snapshots", due);
        supervised(&mut self.tasks, "members", self.members.clone().run());
        let certificate = self.core.tls.status();
        supervised(&mut self.tasks, "metrics", metrics::watch_node(self.gateway.clone(), certificate, started));
        let disks = [("data", config.data_dir.clone()), ("chunks", config.chunk_dir.clone())];
        supervised(&mut self.tasks, "disks", metrics::watch_disks(disks));
        let room = watch_room(config.data_dir.clone(), config.reserve_bytes, self.core.consensus.rooms().clone());
        supervised(&mut self.tasks, "room", room);
        supervised(&mut self.tasks, "tls", Arc::clone(&self.core.tls).run(config.tls_reload_interval));
        let slot = SlotFile::new(&DataDir::new(&config.data_dir).slots(), "root");
        if let Some(source) = config.root_slot.as_ref().filter(|_| self.core.identity.keyed && !slot.exists()) {
            let keep = Unseal {
                place: SlotPlace { cluster: self.core.identity.cluster, node: self.core.identity.node, serial: 1 },
                slot,
                secret: slot_secret(config, source)?,
                cost: passphrase_cost(config)?,
                entropy: self.core.entropy.clone(),
            };
            let fetch = fetch_root_key(self.gateway.clone(), self.core.affiliation(), self.core.channels.clone(), keep);
            supervised(&mut self.tasks, "unseal", fetch);
        }
        Ok(())
    }

    /// Copies are repaired, read again and cleaned up after for as long as the node runs.
    fn keep_images(&mut self) {
        let (findings, found) = mpsc::channel(FINDINGS_MAX);
        let keeper = &self.keeper;
        supervised(&mut self.tasks, "copies_metrics", metrics::watch_copies(keeper.clone()));
        supervised(&mut self.tasks, "repair", keeping::repair(keeper.clone(), found));
        supervised(&mut self.tasks, "scrub", keeping::scrub(keeper.clone(), findings, self.stopping.clone()));
        supervised(&mut self.tasks, "collect", keeping::collect(keeper.clone()));
        supervised(&mut self.tasks, "place_anew", keeping::place_anew(keeper.clone()));
        supervised(&mut self.tasks, "end_uploads", keeping::end_uploads(keeper.clone()));
    }

    /// Stops in order: not ready, no new requests, lead handed over, Raft, state flushed.
    pub async fn stop(mut self) {
        self.health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        // The lead goes first, while this node still answers: writers wait for one round instead of an election.
        self.core.hand_over().await;
        self.stopping.cancel();
        let drained = timeout(DRAIN_TIME_MAX, async { while self.servers.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            warn!("requests were still open; they are cut off");
        }
        self.servers.shutdown().await;
        self.tasks.shutdown().await;
        self.core.stop().await;
        info!("node stopped");
    }
}

fn keeping_options(config: &Config) -> KeepingOptions {
    KeepingOptions {
        scrub: ScrubOptions { bytes_per_second: config.scrub_bytes_per_second, interval: config.scrub_interval },
        compare_interval: config.compare_interval,
        delete_after: config.delete_after,
        orphan_after: config.orphan_after,
    }
}

/// Programs that ask for health go elsewhere while this node is drained; what comes nevertheless is served.
async fn tell_drained(
    mut drained: watch::Receiver<bool>,
    health: tonic_health::server::HealthReporter,
    stopping: CancellationToken,
) {
    while drained.changed().await.is_ok() {
        let drained = *drained.borrow_and_update();
        let serving = if drained || stopping.is_cancelled() {
            tonic_health::ServingStatus::NotServing
        } else {
            tonic_health::ServingStatus::Serving
        };
        health.set_service_status("", serving).await;
        info!(drained, "health follows");
    }
}

async fn bind(
    network: &Network,
    plane: Plane,
    address: SocketAddr,
    tls: &Arc<TlsReloader>,
) -> anyhow::Result<Acceptor> {
    Acceptor::bind_on(network, AcceptorOptions::for_plane(plane, address), tls.server())
        .await
        .with_context(|| format!("the {plane} port cannot be opened; is another node running here?"))
}

/// Images never stop the agenda: a directory that cannot be used costs this node its copies, and nothing else.
async fn open_chunks(config: &Config, core: &Core, witness: Option<Arc<dyn Witness>>) -> Option<ChunkStore> {
    let options = DirectoryOptions { path: config.chunk_dir.clone(), reserve_bytes: config.chunk_reserve_bytes };
    let (clock, entropy) = (core.clock.clone(), core.entropy.clone());
    let opening = crate::work::blocking(move || ChunkDirectory::open_witnessed(options, clock, entropy, witness));
    match opening.await {
        Ok(Ok(directory)) => Some(ChunkStore::new(Arc::new(directory), config.chunk_workers)),
        Ok(Err(error)) => {
            let error = anyhow::Error::new(error);
            tracing::error!(
                error = format!("{error:#}"),
                "the chunk directory cannot be used; this node keeps no images"
            );
            None
        }
        Err(_) => {
            tracing::error!("opening the chunk directory was cut off; this node keeps no images");
            None
        }
    }
}

fn open_journal(config: &Config, core: &Core) -> anyhow::Result<Journal> {
    let seal = Arc::clone(&core.storage_seal);
    let journal = Journal::open(JournalOptions {
        directory: DataDir::new(&config.data_dir).journal(),
        bytes_max: config.journal_bytes_max,
        fresh_id: JournalId::from_bytes(random(&*core.entropy)),
        seal: Box::new(move |id| JournalSeal::new(seal, id)),
    })
    .context("the journal of reads cannot be opened; set its directory aside to lose what it holds")?;
    let known =
        rows::journal_last(&*core.state, core.identity.node, journal.id()).context("the state cannot be read")?;
    journal.continue_after(known);
    Ok(journal)
}
