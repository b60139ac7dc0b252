//! The handle of this node's Raft group: propose, read, watch, stop. Where the leader is somewhere else, `forward` finds
//! it; what a command means is the state machine's.
//!
//! ```text
//! propose ─► bound ─► whole? ─► leads? ─► stamp ─► openraft ─► log on a majority ─► applied here ─► outcome
//! ```

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use openraft::RaftNetworkFactory;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, InitializeError, RaftError};
use openraft::impls::ProgressResponder;
use openraft::network::NetSnapshot;
use openraft::storage::RaftLogStorage;
use plantao_domain::{ClusterTime, codec};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::agreement::{Verdict, judge};
use super::clocks::PeerClocks;
use super::incarnations::Incarnations;
use super::links::PeerLinks;
use super::membership::{TransferError, Wishes};
use super::profile::{self, Preference, Timers};
use super::read_index::{ReadError, ReadRounds};
use super::room::Rooms;
use super::state_machine::{Applier, Progress, StateMachine};
use super::status::Status;
use super::tenure::{Asked, LOOK_EVERY};
use super::types::{Applied, Member, PROPOSAL_BYTES_MAX, Proposal, Raft, TypeConfig};
use crate::clock::SharedClock;
use crate::storage::level::Levels;
use crate::storage::snapshot::{Snapshots, VerifiedSnapshot};
use crate::storage::state::StateStore;

/// Proposals that may be under way on one node (DESIGN 12).
pub const IN_FLIGHT_MAX: usize = 4096;
/// How long openraft may take to end its tasks before the process goes on without it.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a leader's first proposal of a term waits for the clocks of a majority, and how often it looks.
const CLOCKS_TIME_MAX: Duration = Duration::from_millis(500);
const CLOCKS_EVERY: Duration = Duration::from_millis(10);

type Written = Result<openraft::raft::ClientWriteResponse<TypeConfig>, ClientWriteError<TypeConfig>>;

/// What a node's Raft group is made of. `log` and `network` are openraft's traits; the app passes the types of this folder.
pub struct Parts<L, N> {
    /// This node's number.
    pub node: u64,
    /// Name of the cluster, for openraft's own log lines.
    pub cluster_name: String,
    /// How patient it is; the same on every node of the cluster.
    pub timers: Timers,
    /// How gladly it leads.
    pub preference: Preference,
    /// Entries that lie between two local snapshots at least.
    pub snapshot_entries: u64,
    /// Where leaders take their stamps from.
    pub clock: SharedClock,
    /// The table that the network fills.
    pub clocks: PeerClocks,
    /// How far clocks may be apart ([`SKEW_MAX`](super::agreement::SKEW_MAX)).
    pub skew_max: Duration,
    /// What is known of room on disks.
    pub rooms: Rooms,
    /// Log and vote.
    pub log: L,
    /// Calls to peers.
    pub network: N,
    /// The rows.
    pub store: Arc<dyn StateStore>,
    /// Snapshot files.
    pub snapshots: Arc<Snapshots>,
    /// Up to which format level this node reads and writes.
    pub levels: Arc<Levels>,
}

/// Why Raft did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No thread for the applier.
    #[error("the thread that applies entries does not start")]
    Thread(#[source] std::io::Error),
    /// Log, vote or state cannot be read, or do not fit together.
    #[error("the replicated log cannot be started")]
    Raft(#[source] Box<Fatal<TypeConfig>>),
    /// The cluster exists already.
    #[error("this node belongs to a cluster already")]
    NotEmpty,
}

/// Why a proposal has no outcome here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Not proposed, for certain: ask the leader.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, as far as it is known.
        leader: Option<u64>,
    },
    /// Not proposed, for certain: [`IN_FLIGHT_MAX`] proposals are under way.
    #[error("too many proposals are under way")]
    Busy,
    /// Not proposed, for certain: such bytes would stop every node that applies them.
    #[error("the proposal is not a whole envelope")]
    Malformed(#[source] codec::DecodeError),
    /// Proposed, and then nothing was heard: it may be applied, now or later. Ask again with the same request id.
    #[error("it is not known whether the proposal takes effect")]
    Unknown,
}

/// A progress was not reached in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node has applied the log up to {applied}, and not up to {wanted} in time")]
pub struct NotApplied {
    /// Where it is.
    pub applied: u64,
    /// Where it should be.
    pub wanted: u64,
}

/// Raft cannot go on, so the process must end: what it would answer from here on could be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("replication stopped: {reason}")]
pub struct Stopped {
    /// openraft's words.
    pub reason: String,
}

pub(super) struct Inner {
    pub(super) raft: Raft<StateMachine>,
    pub(super) timers: Timers,
    pub(super) clocks: PeerClocks,
    links: PeerLinks,
    rooms: Rooms,
    incarnations: Incarnations,
    /// One membership change at a time.
    pub(super) changes: Mutex<()>,
    applier: Applier,
    reads: ReadRounds,
    clock: SharedClock,
    /// The last stamp given here.
    stamp_ms: AtomicI64,
    /// The term in which this node, leading, has listened for the others' clocks.
    listened_in: AtomicU64,
    pub(super) skew_max: Duration,
    pub(super) in_flight: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
    /// When this node started, and how many milliseconds later a leader was last heard; 0: never.
    started: Instant,
    leader_heard_ms: AtomicU64,
    /// The last request of a leader to take over from it.
    asked_to_lead: std::sync::Mutex<Option<Asked>>,
    pub(super) wishes: std::sync::RwLock<Wishes>,
    elections: AtomicBool,
    levels: Arc<Levels>,
}

/// Cheap to clone; all clones are the same node.
#[derive(Clone)]
pub struct Consensus(pub(super) Arc<Inner>);

impl Consensus {
    /// Starts Raft on opened stores. Must be called on the runtime that it is to use.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start<L, N>(parts: Parts<L, N>) -> Result<Self, StartError>
    where
        L: RaftLogStorage<TypeConfig>,
        N: RaftNetworkFactory<TypeConfig>,
        N::Network: NetSnapshot<TypeConfig, SnapshotData = Arc<VerifiedSnapshot>>,
    {
        let (machine, applier) =
            StateMachine::start(parts.store, parts.snapshots, Arc::clone(&parts.levels)).map_err(StartError::Thread)?;
        let config = profile::config(&parts.cluster_name, parts.timers, parts.preference, parts.snapshot_entries);
        let raft = Raft::new(parts.node, config, parts.network, parts.log, machine)
            .await
            .map_err(|fatal| StartError::Raft(Box::new(fatal)))?;
        Ok(Self(Arc::new(Inner {
            reads: ReadRounds::of_leader(raft.clone(), parts.timers.election_max()),
            raft,
            timers: parts.timers,
            clocks: parts.clocks,
            links: PeerLinks::new(parts.node),
            rooms: parts.rooms,
            incarnations: Incarnations::new(),
            changes: Mutex::default(),
            applier,
            clock: parts.clock,
            stamp_ms: AtomicI64::new(i64::MIN),
            listened_in: AtomicU64::new(0),
            skew_max: parts.skew_max,
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            runtime: tokio::runtime::Handle::current(),
            started: Instant::now(),
            leader_heard_ms: AtomicU64::new(0),
            asked_to_lead: std::sync::Mutex::default(),
            wishes: std::sync::RwLock::default(),
            elections: AtomicBool::new(true),
            levels: parts.levels,
        })))
    }

    /// Begins a cluster with these voters; each of them may do it, with the same list. For a real cluster the list is the
    /// first node alone, and the others join.
    ///
    /// # Errors
    /// `NotEmpty` when the log has entries or a vote; `Raft` when the log cannot be written.
    pub async fn initialize(&self, voters: BTreeMap<u64, Member>) -> Result<(), StartError> {
        match self.0.raft.initialize(voters).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotAllowed(_) | InitializeError::NotInMembers(_))) => {
                Err(StartError::NotEmpty)
            }
            Err(RaftError::Fatal(fatal)) => Err(StartError::Raft(Box::new(fatal))),
        }
    }

    /// This node's number.
    pub fn node(&self) -> u64 {
        *self.0.raft.node_id()
    }

    /// The timers it runs with.
    pub fn timers(&self) -> Timers {
        self.0.timers
    }

    /// Up to which format level this node reads and writes.
    pub fn levels(&self) -> &Levels {
        &self.0.levels
    }

    fn since_start_ms(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A leader was heard just now.
    pub(super) fn note_leader(&self) {
        self.0.leader_heard_ms.store(self.since_start_ms().max(1), Ordering::Relaxed);
    }

    /// When another node's leader was last heard; never since it started: `None`.
    pub(super) fn leader_heard(&self) -> Option<Instant> {
        match self.0.leader_heard_ms.load(Ordering::Relaxed) {
            0 => None,
            heard => Some(self.0.started + Duration::from_millis(heard)),
        }
    }

    /// A leader of this term asked this node to take over.
    pub(super) fn note_asked_to_lead(&self, term: u64) {
        let asked = Asked { term, at: Instant::now() };
        *self.0.asked_to_lead.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
    }

    /// The last request was not for this node after all.
    pub(super) fn forget_asked_to_lead(&self) {
        *self.0.asked_to_lead.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn asked_to_lead(&self) -> Option<Asked> {
        *self.0.asked_to_lead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this node stands for election by itself when it hears no leader. It votes for others, and takes over when it
    /// is asked to, either way.
    pub fn set_elections(&self, enabled: bool) {
        self.0.raft.runtime_config().elect(enabled);
        self.0.elections.store(enabled, Ordering::Relaxed);
    }

    /// As it was set last; so from the start.
    pub fn elections(&self) -> bool {
        self.0.elections.load(Ordering::Relaxed)
    }

    /// Stands for election now, unless a majority would not vote for it: nothing changes then, not even the term.
    ///
    /// # Errors
    /// Raft has stopped.
    pub async fn stand(&self) -> Result<(), TransferError> {
        self.0.raft.trigger().elect(true).await.map_err(|_| TransferError::Stopped)
    }

    /// Begins a snapshot of this node's state, unless one is being made.
    pub(super) async fn make_snapshot(&self) -> Result<(), Stopped> {
        self.0.raft.trigger().snapshot().await.map_err(|fatal| Stopped { reason: fatal.to_string() })
    }

    /// How long ago this node heard from a leader or, leading, from a majority; `None`: never since it started.
    pub fn leader_contact(&self) -> Option<Duration> {
        if self.leads() {
            return self.status().quorum_silent_for.or(Some(Duration::ZERO));
        }
        self.leader_heard().map(|heard| heard.elapsed())
    }

    /// Whether it leads, as far as it knows.
    pub fn leads(&self) -> bool {
        self.0.raft.is_leader()
    }

    /// Who leads, as far as it knows.
    pub fn leader(&self) -> Option<u64> {
        self.0.raft.metrics().borrow_watched().current_leader
    }

    /// The member of that number in the effective membership.
    pub fn member(&self, id: u64) -> Option<Member> {
        self.0.raft.metrics().borrow_watched().membership_config.membership().get_node(&id).cloned()
    }

    /// Everything it can tell about the group.
    pub fn status(&self) -> Status {
        // Longer than an election takes: one that succeeds is no time without a leader.
        let silence = self.timers().election_max() * 2;
        let contact = self.leader_heard().map(|heard| heard.elapsed());
        Status::of(&self.0.raft.metrics().borrow_watched(), &self.0.clocks, contact, silence)
    }

    /// How the other nodes' clocks compare with this one.
    pub fn clocks(&self) -> &PeerClocks {
        &self.0.clocks
    }

    /// Which links between nodes work, as far as this one was told.
    pub fn links(&self) -> &PeerLinks {
        &self.0.links
    }

    /// Room on the disks below the nodes' logs, as far as this one was told.
    pub fn rooms(&self) -> &Rooms {
        &self.0.rooms
    }

    /// The voters that are low on room, when they are so many that the others are no majority: then no program may write.
    pub fn no_room(&self) -> Option<Vec<u64>> {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
        let low = self.0.rooms.low(metrics.id, voters.iter().copied(), std::time::Instant::now());
        (!low.is_empty() && 2 * (voters.len() - low.len()) <= voters.len()).then_some(low)
    }

    /// What this node hears of newer incarnations of the network.
    pub fn incarnations(&self) -> &Incarnations {
        &self.0.incarnations
    }

    /// Proposes one encoded envelope on this node, which must lead, and waits until it is applied here. Stamps it. Cancel
    /// safe in so far as the proposal goes on alone, and counts as under way until it ends.
    ///
    /// # Errors
    /// See [`ProposeError`]; `Unknown` also when `deadline` passes.
    pub async fn propose(&self, envelope: Bytes, deadline: Instant) -> Result<Applied, ProposeError> {
        let permit = Arc::clone(&self.0.in_flight).try_acquire_owned().map_err(|_| ProposeError::Busy)?;
        check(&envelope).map_err(ProposeError::Malformed)?;
        if let Err(forward) = self.0.raft.as_leader() {
            return Err(ProposeError::NotLeader { leader: forward.leader_id });
        }
        self.listen_for_clocks().await;
        let mut payload = BytesMut::from(envelope);
        codec::stamp(&mut payload, self.stamp()).map_err(ProposeError::Malformed)?;
        let (responder, answer) = ProgressResponder::complete_only();
        let answer = UnderWay { answer: Some((answer, permit)), runtime: self.0.runtime.clone() };
        let proposal = Proposal { payload: payload.freeze() };
        // From here on the core may have it, whatever goes wrong.
        timeout_at(deadline, async {
            self.0.raft.client_write_ff(proposal, Some(responder)).await.map_err(|_| ProposeError::Unknown)?;
            match answer.wait().await {
                Some(Ok(response)) => Ok(response.data),
                // openraft answers so before it appends, and `LogEntryDiscarded` after.
                Some(Err(ClientWriteError::ForwardToLeader(forward))) => {
                    Err(ProposeError::NotLeader { leader: forward.leader_id })
                }
                Some(Err(_)) | None => Err(ProposeError::Unknown),
            }
        })
        .await
        .unwrap_or(Err(ProposeError::Unknown))
    }

    /// A leader that has just started may lead before it has heard any other clock, and its own may be wrong by years: before
    /// its first stamp of a term it waits a moment for those of a majority.
    async fn listen_for_clocks(&self) {
        let until = Instant::now() + CLOCKS_TIME_MAX;
        loop {
            let term = self.0.raft.metrics().borrow_watched().current_term;
            if self.0.listened_in.load(Ordering::Relaxed) == term {
                return;
            }
            if self.knows_the_time() || Instant::now() >= until {
                self.0.listened_in.store(term, Ordering::Relaxed);
                return;
            }
            tokio::time::sleep(CLOCKS_EVERY).await;
        }
    }

    /// Whether a majority of the voters' clocks is known here, this one included.
    pub(super) fn knows_the_time(&self) -> bool {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
        let known = voters.iter().filter(|voter| **voter == metrics.id || self.0.clocks.get(**voter).is_some()).count();
        2 * known > voters.len()
    }

    /// The time that the next entry carries: never before one given here or applied here. Entries of an earlier leader
    /// that are not applied yet may be later; applying takes the maximum again.
    fn stamp(&self) -> ClusterTime {
        let wanted = self.time().millis();
        let before = self.0.stamp_ms.fetch_max(wanted, Ordering::Relaxed);
        ClusterTime::saturating_from_millis(before.max(wanted))
    }

    /// The network's time as this node can tell it: its own clock, corrected where the other voters' clocks say that it is
    /// off, and never before what was applied. Requests of this node are dated by it, and entries of a leader stamped.
    /// Looked at each time: a node that was just elected must not stamp one entry by a clock that is an hour ahead.
    pub fn time(&self) -> ClusterTime {
        let now = self.0.clock.now().millis().saturating_add(self.clock_verdict().correction_ms());
        ClusterTime::saturating_from_millis(now.max(self.progress().time.millis()))
    }

    /// What this node's clock is worth now.
    pub(super) fn clock_verdict(&self) -> Verdict {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
        let others = voters.iter().filter(|voter| **voter != metrics.id);
        let offsets: Vec<(u64, i64)> =
            others.filter_map(|voter| Some((*voter, self.0.clocks.get(*voter)?.certain_ms()))).collect();
        judge(voters.len(), &offsets, self.0.skew_max)
    }

    /// The index that a linearizable read must wait for; this node must lead. Readers at the same time share a round of
    /// heartbeats.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        self.0.reads.index().await
    }

    /// How far this node has applied the log.
    pub fn progress(&self) -> Progress {
        *self.0.applier.progress().borrow()
    }

    /// Tells of every applied batch; for watchers, which read what happened from the audit rows.
    pub fn watch_progress(&self) -> watch::Receiver<Progress> {
        self.0.applier.progress().clone()
    }

    /// Waits until this node has applied the log up to `index`.
    ///
    /// # Errors
    /// It has not when `deadline` comes, or it stopped.
    pub async fn wait_applied(&self, index: u64, deadline: Instant) -> Result<Progress, NotApplied> {
        let mut progress = self.watch_progress();
        let reached = timeout_at(deadline, progress.wait_for(|progress| progress.index >= index)).await;
        match reached {
            Ok(Ok(reached)) => Ok(*reached),
            Ok(Err(_)) | Err(_) => Err(NotApplied { applied: self.progress().index, wanted: index }),
        }
    }

    /// Waits until this node knows a leader, itself included.
    pub async fn wait_leader(&self, deadline: Instant) -> Option<u64> {
        let mut metrics = self.0.raft.metrics();
        timeout_at(deadline, async {
            loop {
                let leader = metrics.borrow_watched().current_leader;
                if leader.is_some() {
                    return leader;
                }
                if metrics.changed().await.is_err() {
                    return None;
                }
            }
        })
        .await
        .ok()
        .flatten()
    }

    /// Ends when Raft can no longer go on, by a fault or a panic; never after an orderly [`Consensus::shutdown`]. The process must exit then.
    pub fn fatal(&self) -> impl Future<Output = Stopped> + Send + use<> {
        let mut metrics = self.0.raft.metrics();
        async move {
            loop {
                let state = metrics.borrow_watched().running_state.clone();
                match state {
                    Ok(()) => {}
                    // Asked for.
                    Err(Fatal::Stopped) => std::future::pending().await,
                    Err(fatal) => return Stopped { reason: fatal.to_string() },
                }
                if metrics.changed().await.is_err() {
                    let state = metrics.borrow_watched().running_state.clone();
                    match state {
                        // Who stops it notes that before the end; a panic does not get there.
                        Ok(()) => return Stopped { reason: Fatal::<TypeConfig>::Panicked.to_string() },
                        Err(Fatal::Stopped) => std::future::pending().await,
                        Err(fatal) => return Stopped { reason: fatal.to_string() },
                    }
                }
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Stops Raft and waits until the state's thread has let go of the store, within a time limit. Give up leadership
    /// before, or the others wait for an election.
    pub async fn shutdown(&self) {
        self.0.reads.stop();
        if timeout(STOP_TIMEOUT, self.0.raft.shutdown()).await.is_err() {
            tracing::warn!("replication did not stop in time");
            return;
        }
        let applier = self.0.applier.clone();
        let joined = crate::work::blocking(move || applier.join());
        if timeout(STOP_TIMEOUT, joined).await.is_err() {
            tracing::warn!("the applier did not stop in time");
        }
    }
}

/// Whether these bytes are an envelope that every node can apply.
pub(super) fn check(envelope: &[u8]) -> Result<(), codec::DecodeError> {
    if envelope.len() > PROPOSAL_BYTES_MAX {
        return Err(codec::DecodeError::TooLong { bytes: envelope.len() });
    }
    codec::decode_envelope(envelope).map(drop)
}

/// A proposal that openraft may have. Its permit lasts as long as it, even when nobody waits any more: else a caller
/// who hangs up again and again could have any number under way.
struct UnderWay {
    answer: Option<(oneshot::Receiver<Written>, OwnedSemaphorePermit)>,
    runtime: tokio::runtime::Handle,
}

impl UnderWay {
    async fn wait(mut self) -> Option<Written> {
        let (answer, _) = self.answer.as_mut()?;
        let written = answer.await.ok();
        self.answer = None;
        written
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some((answer, permit)) = self.answer.take() {
            self.runtime.spawn(async move {
                let _ = answer.await;
                drop(permit);
            });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A caller who hangs up does not make room: its proposal is still under way.
    #[tokio::test]
    async fn the_bound_counts_what_its_caller_gave_up() {
        let room = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&room).try_acquire_owned().unwrap();
        let (end, answer) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        drop(UnderWay { answer: Some((answer, permit)), runtime });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(room.available_permits(), 0);
        drop(end);
        let freed = timeout(Duration::from_secs(30), room.acquire()).await;
        assert!(freed.unwrap().is_ok());
    }
}
