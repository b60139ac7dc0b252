//! The replicated state machine as openraft wants it: committed entries in, rows, answers and snapshots out. What a command
//! means is `domain`'s, how rows rest on disk is `storage`'s; nothing here decides anything.
//!
//! ```text
//! openraft ─► apply(stream) ─► groups ─► applier thread: decode ─► domain::apply over one overlay ─► one StateStore::apply
//!                                                                  └► publish progress ─► answer the proposers
//! ```
//! The thread owns every write to the state, so no async thread ever waits for the engine, and a frozen view is taken
//! exactly between two groups. An entry that does not decode stops the node: skipping it would make replicas differ.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use plantao_domain::planted::{Bug, planted};
use plantao_domain::{ClusterTime, Command, MemView, Outcome, Overlay, View, ViewFault, codec, digest, rows, upgrade};
use tokio::sync::{mpsc, oneshot, watch};

use super::types::{
    Applied, Entry, EntryPayload, LeaderId, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig,
};
use crate::storage::level::{LevelError, Levels};
use crate::storage::snapshot::{self, Snapshots, VerifiedSnapshot};
use crate::storage::state::{self, Batch, EntryId, Frozen, RowSource as _, StateMeta, StateStore};
use crate::work::Worker as Work;

/// Entries that are written as one batch: enough that the engine's cost per batch does not show.
const GROUP_ENTRIES_MAX: usize = 512;
/// Bytes of changes after which a batch is written whatever its entries are.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Jobs that wait for the applier: openraft asks for one thing at a time, a snapshot builder for another.
const JOBS_MAX: usize = 4;
/// Frozen views that may end early (too much changed meanwhile) before applies wait for the snapshot instead.
const FREEZES_MAX: usize = 3;

/// How far this node has applied the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Progress {
    /// Index of the last applied entry; 0 before the first.
    pub index: u64,
    /// Cluster time of the last applied command.
    pub time: ClusterTime,
}

impl Progress {
    fn of(meta: &StateMeta) -> Self {
        Self {
            index: meta.applied.map_or(0, |entry| entry.index),
            time: ClusterTime::saturating_from_millis(meta.last_time),
        }
    }
}

/// Why entries could not be applied. Each of them stops the node.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Written by a newer version, or damaged in spite of every check.
    #[error("entry {index} of the log does not decode")]
    Entry {
        /// Its index.
        index: u64,
        /// Why.
        #[source]
        source: codec::DecodeError,
    },
    /// The network's format level is not one that this program reads, or cannot be marked.
    #[error("entry {index} of the log cannot be applied by this program (PLT-{})", source.code())]
    Level {
        /// Its index.
        index: u64,
        /// Why.
        #[source]
        source: LevelError,
    },
    /// The rows that a rule needs cannot be read.
    #[error("entry {index} of the log cannot be applied")]
    View {
        /// Its index.
        index: u64,
        /// Why.
        #[source]
        source: ViewFault,
    },
    /// The state store refused or failed.
    #[error("the state cannot be written")]
    State(#[source] state::Error),
    /// A snapshot could not be made or read.
    #[error("the snapshot cannot be made or read")]
    Snapshot(#[source] snapshot::Error),
    /// The state holds a membership that does not parse.
    #[error("the membership in the state does not parse")]
    Membership(#[source] serde_json::Error),
    /// The thread is gone, after a panic or at the end.
    #[error("the thread that applies entries has stopped")]
    Stopped,
}

impl From<ApplyError> for io::Error {
    fn from(error: ApplyError) -> Self {
        let kind = match error {
            ApplyError::Entry { .. } | ApplyError::Level { .. } | ApplyError::Membership(_) => {
                io::ErrorKind::InvalidData
            }
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

type Reply<T> = oneshot::Sender<Result<T, ApplyError>>;
type Group = Vec<EntryResponder<TypeConfig>>;

enum Job {
    Apply(Group, Reply<()>),
    Freeze(Reply<Box<dyn Frozen>>),
    /// Applies wait while it is built: for a state that changes too fast to be frozen.
    Build(Reply<Arc<VerifiedSnapshot>>),
    Install(Arc<VerifiedSnapshot>, Reply<()>),
}

/// openraft's side. Dropping it, and the builders made by it, ends the thread.
pub struct StateMachine {
    jobs: mpsc::Sender<Job>,
    store: Arc<dyn StateStore>,
    snapshots: Arc<Snapshots>,
}

/// What stays with the node when openraft has taken the [`StateMachine`].
#[derive(Clone)]
pub struct Applier {
    progress: watch::Receiver<Progress>,
    worker: Work,
}

impl Applier {
    /// Changes with each batch, after its rows are readable.
    pub fn progress(&self) -> &watch::Receiver<Progress> {
        &self.progress
    }

    /// Waits until the thread has ended, once openraft has let go of the state machine. Blocks.
    pub(crate) fn join(&self) {
        self.worker.join();
    }
}

impl StateMachine {
    /// Starts the applier on an open state.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(
        store: Arc<dyn StateStore>,
        snapshots: Arc<Snapshots>,
        levels: Arc<Levels>,
    ) -> io::Result<(Self, Applier)> {
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        let (published, progress) = watch::channel(Progress::of(&store.meta()));
        let worker = Worker { store: Arc::clone(&store), snapshots: Arc::clone(&snapshots), published, levels };
        let worker = Work::start("applier", queue, 1, move |jobs| jobs.drain(..).for_each(|job| worker.run(job)))?;
        let applier = Applier { progress, worker };
        Ok((Self { jobs, store, snapshots }, applier))
    }
}

async fn ask<T>(jobs: &mpsc::Sender<Job>, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, ApplyError> {
    let (reply, answer) = oneshot::channel();
    jobs.send(job(reply)).await.map_err(|_| ApplyError::Stopped)?;
    answer.await.map_err(|_| ApplyError::Stopped)?
}

struct Worker {
    store: Arc<dyn StateStore>,
    snapshots: Arc<Snapshots>,
    published: watch::Sender<Progress>,
    levels: Arc<Levels>,
}

impl Worker {
    /// Whoever asked may be gone; what was done stays done.
    fn run(&self, job: Job) {
        match job {
            Job::Apply(group, reply) => drop(reply.send(self.apply(group))),
            Job::Freeze(reply) => drop(reply.send(self.store.freeze().map_err(ApplyError::State))),
            Job::Build(reply) => drop(reply.send(self.build())),
            Job::Install(snapshot, reply) => drop(reply.send(self.install(&snapshot))),
        }
    }

    fn apply(&self, group: Group) -> Result<(), ApplyError> {
        let mut entries = group.into_iter().peekable();
        while entries.peek().is_some() {
            let (batch, answers) = self.gather(&mut entries)?;
            let Some(batch) = batch else { break };
            self.store.apply(&batch).map_err(ApplyError::State)?;
            // Before the answers: whoever is answered finds the rows and the progress.
            self.publish();
            for (responder, applied) in answers {
                responder.send(applied);
            }
        }
        Ok(())
    }

    /// Decides entry after entry over one overlay until the batch is full.
    #[expect(clippy::type_complexity, reason = "the two halves of one batch")]
    fn gather(
        &self,
        entries: &mut impl Iterator<Item = EntryResponder<TypeConfig>>,
    ) -> Result<(Option<Batch>, Vec<(ApplyResponder<TypeConfig>, Applied)>), ApplyError> {
        let meta = self.store.meta();
        let mut overlay = Overlay::new(&*self.store);
        let (mut chain, mut last_time) = (meta.chain, meta.last_time);
        let (mut applied, mut membership) = (None, None);
        let mut answers = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        while count < GROUP_ENTRIES_MAX && bytes < GROUP_BYTES_MAX {
            let Some((Entry { log_id, payload }, responder)) = entries.next() else { break };
            let snapshot = || self.snapshots.current().and_then(|current| current.meta().applied);
            if planted(Bug::SnapshotSkipsOne) && snapshot().is_some_and(|last| last.index + 1 == log_id.index) {
                continue;
            }
            let index = log_id.index;
            let at = plantao_domain::LogId { term: log_id.leader_id.term, index };
            let mut outcome = Vec::new();
            let mut proposal = Bytes::new();
            match payload {
                EntryPayload::Blank => {}
                EntryPayload::Membership(next) => {
                    let next = StoredMembership::new(Some(log_id), next);
                    membership = Some(serde_json::to_vec(&next).map_err(ApplyError::Membership)?);
                }
                EntryPayload::Normal(normal) => {
                    proposal = normal.payload;
                    let mut envelope =
                        codec::decode_envelope(&proposal).map_err(|source| ApplyError::Entry { index, source })?;
                    let unread = |source| ApplyError::Level { index, source };
                    self.levels.check(upgrade::level_needed(&envelope.command)).map_err(unread)?;
                    // Cluster time never goes back, whichever leader stamped it.
                    last_time = last_time.max(envelope.proposed_at.millis());
                    envelope.proposed_at = ClusterTime::saturating_from_millis(last_time);
                    let view: &dyn View = if planted(Bug::GroupSeesOldRows) { &*self.store } else { &overlay };
                    let done = plantao_domain::apply(view, at, &envelope)
                        .map_err(|source| ApplyError::View { index, source })?;
                    if let Command::RaiseLevel { to, .. } = &envelope.command
                        && matches!(done.outcome, Outcome::Confirmed { changed: true, .. })
                    {
                        // Before the rows: an older program must not find them without the mark.
                        self.levels.reach(*to).map_err(unread)?;
                    }
                    bytes += done
                        .changes
                        .iter()
                        .map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len))
                        .sum::<usize>();
                    let is_left_out =
                        planted(Bug::ConfirmedNotWritten) || planted(Bug::FollowerSkips) && responder.is_none();
                    if !(is_left_out && index.is_multiple_of(64)) {
                        overlay.write(done.changes);
                    }
                    outcome = codec::encode_outcome(&done.outcome);
                }
            }
            chain = digest::chain(&chain, at, &proposal, &outcome);
            applied = Some(entry_id(&log_id));
            count += 1;
            if let Some(responder) = responder {
                answers.push((responder, Applied { outcome: outcome.into(), index }));
            }
        }
        let changes = overlay.into_changes();
        let batch = applied.map(|applied| Batch { changes, applied, membership, chain, last_time });
        Ok((batch, answers))
    }

    fn publish(&self) {
        self.published.send_replace(Progress::of(&self.store.meta()));
    }

    fn build(&self) -> Result<Arc<VerifiedSnapshot>, ApplyError> {
        let mut frozen = self.store.freeze().map_err(ApplyError::State)?;
        self.snapshots.build(&mut *frozen).map_err(ApplyError::Snapshot)
    }

    fn install(&self, snapshot: &Arc<VerifiedSnapshot>) -> Result<(), ApplyError> {
        // Before file and rows: an older program must not find them without the mark, whenever this is cut off.
        let index = snapshot.meta().applied.map_or(0, |entry| entry.index);
        self.levels.reach(level_of(snapshot)?).map_err(|source| ApplyError::Level { index, source })?;
        if self.snapshots.current().is_none_or(|current| current.id() != snapshot.id()) {
            self.keep(snapshot).map_err(ApplyError::Snapshot)?;
        }
        if self.store.meta().applied < snapshot.meta().applied && !planted(Bug::InstallSkipped) {
            let mut rows = snapshot.rows().map_err(ApplyError::Snapshot)?;
            self.store.install(snapshot.meta(), &mut rows).map_err(ApplyError::State)?;
        }
        self.publish();
        Ok(())
    }

    /// A snapshot from elsewhere becomes a file of this node, sealed with its key.
    fn keep(&self, snapshot: &Arc<VerifiedSnapshot>) -> Result<(), snapshot::Error> {
        let mut receiver = self.snapshots.receive(*snapshot.id())?;
        let mut parts = snapshot.reader(receiver.next_part())?;
        while let Some((number, part)) = parts.next_part()? {
            receiver.take(number, &part)?;
        }
        self.snapshots.adopt(receiver).map(drop)
    }
}

/// The format level of a snapshot's rows. They are in key order, so those behind the level's are not read.
fn level_of(snapshot: &Arc<VerifiedSnapshot>) -> Result<u32, ApplyError> {
    let key = rows::level_key();
    let mut source = snapshot.rows().map_err(ApplyError::Snapshot)?;
    let mut found = MemView::default();
    loop {
        let part = source.next_rows().map_err(ApplyError::State)?;
        let Some(is_last) = part.last().map(|(last, _)| *last >= key) else { break };
        found.write(&part.into_iter().filter(|(at, _)| *at == key).map(|(at, value)| (at, Some(value))).collect());
        if is_last {
            break;
        }
    }
    let index = snapshot.meta().applied.map_or(0, |entry| entry.index);
    upgrade::level(&found).map_err(|source| ApplyError::View { index, source })
}

pub(super) fn entry_id(id: &LogId) -> EntryId {
    EntryId { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

pub(super) fn log_id(id: EntryId) -> LogId {
    LogId { leader_id: LeaderId { term: id.term, node_id: id.node }, index: id.index }
}

fn stored_membership(bytes: &[u8]) -> Result<StoredMembership, ApplyError> {
    if bytes.is_empty() {
        return Ok(StoredMembership::default());
    }
    serde_json::from_slice(bytes).map_err(ApplyError::Membership)
}

/// What openraft must know of a snapshot.
pub(super) fn snapshot_meta(meta: &StateMeta) -> Result<SnapshotMeta, ApplyError> {
    Ok(SnapshotMeta { last_log_id: meta.applied.map(log_id), last_membership: stored_membership(&meta.membership)? })
}

fn described(snapshot: Arc<VerifiedSnapshot>) -> Result<Snapshot<Arc<VerifiedSnapshot>>, ApplyError> {
    Ok(Snapshot { meta: snapshot_meta(snapshot.meta())?, snapshot })
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Arc<VerifiedSnapshot>;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let meta = self.store.meta();
        Ok((meta.applied.map(log_id), stored_membership(&meta.membership)?))
    }

    /// Reads the next group while the applier works on the one before.
    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut groups = entries.ready_chunks(GROUP_ENTRIES_MAX);
        let mut before: Option<oneshot::Receiver<Result<(), ApplyError>>> = None;
        while let Some(group) = groups.next().await {
            let group = group.into_iter().collect::<io::Result<Group>>()?;
            let (reply, answer) = oneshot::channel();
            self.jobs.send(Job::Apply(group, reply)).await.map_err(|_| ApplyError::Stopped)?;
            if let Some(before) = before.replace(answer) {
                before.await.map_err(|_| ApplyError::Stopped)??;
            }
        }
        if let Some(before) = before {
            before.await.map_err(|_| ApplyError::Stopped)??;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            frozen: Some(ask(&self.jobs, Job::Freeze).await),
            jobs: self.jobs.clone(),
            store: Arc::clone(&self.store),
            snapshots: Arc::clone(&self.snapshots),
        }
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMeta, snapshot: Arc<VerifiedSnapshot>) -> io::Result<()> {
        Ok(ask(&self.jobs, |reply| Job::Install(snapshot, reply)).await?)
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot<Arc<VerifiedSnapshot>>>> {
        Ok(self.snapshots.current().map(described).transpose()?)
    }
}

/// Writes one snapshot, beside the applies.
pub struct SnapshotBuilder {
    frozen: Option<Result<Box<dyn Frozen>, ApplyError>>,
    jobs: mpsc::Sender<Job>,
    store: Arc<dyn StateStore>,
    snapshots: Arc<Snapshots>,
}

impl SnapshotBuilder {
    async fn build(&mut self) -> Result<Arc<VerifiedSnapshot>, ApplyError> {
        for _ in 0..FREEZES_MAX {
            let mut frozen = match self.frozen.take() {
                Some(frozen) => frozen?,
                None => ask(&self.jobs, Job::Freeze).await?,
            };
            let snapshots = Arc::clone(&self.snapshots);
            let built = crate::work::blocking(move || snapshots.build(&mut *frozen)).await;
            match built.map_err(|_| ApplyError::Stopped)? {
                Err(snapshot::Error::State(state::Error::FreezeOverflow)) => {}
                built => return built.map_err(ApplyError::Snapshot),
            }
        }
        ask(&self.jobs, Job::Build).await
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Arc<VerifiedSnapshot>;

    /// The checkpoint comes with it, because openraft purges the log up to a snapshot that it was told of, and the log
    /// may go only where both the snapshot and the state are durable.
    async fn build_snapshot(&mut self) -> io::Result<Snapshot<Arc<VerifiedSnapshot>>> {
        let snapshot = self.build().await?;
        let store = Arc::clone(&self.store);
        let checkpoint = crate::work::blocking(move || store.checkpoint()).await;
        checkpoint.map_err(|_| ApplyError::Stopped)?.map_err(ApplyError::State)?;
        Ok(described(snapshot)?)
    }
}
