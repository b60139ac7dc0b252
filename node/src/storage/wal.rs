//! The Raft log and vote of this node, sealed at rest. What an entry means never belongs here, nor does openraft: this
//! module and its parts are the only ones that name the log engine.
//!
//! ```text
//! Wal (async, many handles) ──► image: state and recent entries, readable at once
//!                          └──► writer thread ──► engine (raft-log) ──► fdatasync ──► callbacks
//!                                            └──► watermark, outside the log
//! ```
//! - An append is called back after its sync, a vote returns after its own and the watermark's.
//! - A failed write or sync poisons the log: every later call errs, for a page that could not be written may be dropped
//!   and read back clean.
//! - A log that is behind its watermark is never opened: a voter that forgot an entry or a vote breaks Raft silently.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};

use super::fs::{DataDir, create_dir_durably, sync_dir};
use super::seal::PayloadSeal;
use super::watermark::{LogIdentity, Mark, Watermark, WatermarkError};
use engine::Engine;
pub use error::{OpenWalError, Promise, WalError};
use image::{Image, Plan};
pub use survey::{Indices, Survey};
use writer::{Done, Job, Marker, Shared, Writer};

mod engine;
mod error;
mod image;
mod survey;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod writer;

/// The largest payload of an entry, in bytes: an envelope of 64 KiB, or a membership of some hundred nodes.
pub const PAYLOAD_BYTES_MAX: usize = 128 * 1024;
/// Calls that wait for the writer. A full queue makes the caller wait.
const QUEUE_JOBS_MAX: usize = 1024;
/// One piece of a read from disk; between two pieces the writer gets its turn.
const READ_PIECE_BYTES: usize = 1024 * 1024;
/// How often a read starts anew because the log was cut meanwhile.
const READ_ATTEMPTS_MAX: usize = 16;

/// The place of an entry, with the leader that wrote it. Later terms order after earlier ones, whatever the index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct EntryId {
    /// The leader's term.
    pub term: u64,
    /// The leader's number.
    pub node: u64,
    /// The place in the log, 0-based.
    pub index: u64,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (term {}, leader {})", self.index, self.term, self.node)
    }
}

/// A vote: whom this node voted for in which term, and whether a quorum did too. It only goes up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Ballot {
    /// The term.
    pub term: u64,
    /// The candidate's number.
    pub node: u64,
    /// Whether it was granted by a quorum.
    pub committed: bool,
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let committed = if self.committed { ", granted" } else { "" };
        write!(f, "term {}, node {}{committed}", self.term, self.node)
    }
}

/// An entry with its plaintext payload.
#[derive(Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place.
    pub id: EntryId,
    /// At most [`PAYLOAD_BYTES_MAX`].
    pub payload: Bytes,
}

impl fmt::Debug for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogEntry({}, {} bytes)", self.id, self.payload.len())
    }
}

/// How far the log has come. `last` is the last entry, or `purged` if none is left after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WalState {
    /// The vote.
    pub vote: Option<Ballot>,
    /// The last entry.
    pub last: Option<EntryId>,
    /// The last entry that was purged.
    pub purged: Option<EntryId>,
    /// The last entry known to be committed; a hint that may be older than the truth.
    pub committed: Option<EntryId>,
}

impl WalState {
    /// The index of the next entry.
    pub fn next_index(&self) -> u64 {
        self.last.map_or(0, |id| id.index.saturating_add(1))
    }
}

/// Bounds of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalOptions {
    /// A file of the log is closed beyond this size. A purge frees whole files; the engine keeps the sealed payloads of
    /// the open one in memory, which is why it is small.
    pub chunk_bytes: usize,
    /// Recent entries kept opened, for replication and apply.
    pub cache_bytes: usize,
    /// Payloads that wait for their sync; beyond it an append waits.
    pub unsynced_bytes_max: usize,
    /// How far the watermark may lie behind a sync.
    pub watermark_interval: Duration,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            chunk_bytes: 8 * 1024 * 1024,
            cache_bytes: 16 * 1024 * 1024,
            unsynced_bytes_max: 32 * 1024 * 1024,
            // Half of the promised second: the write itself may meet a slow disk.
            watermark_interval: Duration::from_millis(500),
        }
    }
}

/// A handle of the open log; cheap to clone. The last one dropped closes it, and waits for that.
#[derive(Clone)]
pub struct Wal(Arc<Handle>);

/// Fields are dropped in this order: the queue ends, then its thread is awaited.
struct Handle {
    jobs: mpsc::Sender<Job>,
    unsynced: Arc<Semaphore>,
    unsynced_bytes_max: usize,
    shared: Arc<Shared>,
    _writer: JoinOnDrop,
}

struct JoinOnDrop(Mutex<Option<JoinHandle<()>>>);

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A callback may hold the last handle; a thread cannot await itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("the raft log's thread panicked");
            }
        }
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wal").field(&self.state()).finish()
    }
}

impl Wal {
    /// Makes the log of a node that has just been given its id, and its watermark, durably. Blocking. May be repeated
    /// after a crash as long as nothing was written to the log.
    pub fn create(
        data: &DataDir,
        identity: LogIdentity,
        seal: Arc<dyn PayloadSeal>,
        options: WalOptions,
    ) -> Result<Self, OpenWalError> {
        let directory = data.log();
        if data.watermark().exists() {
            return Err(OpenWalError::Exists { directory });
        }
        create_dir_durably(&directory).map_err(OpenWalError::File)?;
        let mut engine = open_engine(&directory, &options)?;
        if engine.state() != WalState::default() {
            return Err(OpenWalError::Exists { directory });
        }
        let flushed = engine
            .flush()
            .and_then(|flushed| flushed.recv().unwrap_or_else(|_| Err(io::Error::other("the log engine has stopped"))));
        flushed.map_err(|source| OpenWalError::Io { directory: directory.clone(), source })?;
        sync_dir(&directory).map_err(OpenWalError::File)?;
        let watermark = Watermark::create(&data.watermark(), identity).map_err(OpenWalError::Watermark)?;
        Self::start(directory, engine, watermark, seal, options)
    }

    /// Opens the log that [`create`](Self::create) made. Blocking: reads the whole log. Drops a torn last record, as a
    /// crash leaves it, and refuses everything else that is not as it was acknowledged.
    pub fn open(
        data: &DataDir,
        identity: LogIdentity,
        seal: Arc<dyn PayloadSeal>,
        options: WalOptions,
    ) -> Result<Self, OpenWalError> {
        let (engine, watermark) =
            examine(data, identity, seal.as_ref(), &options).map_err(|refusal| match refusal {
                // What is left of it is looked for only now: a good log is read once.
                OpenWalError::Damaged { directory, source, .. } => {
                    let mark = Watermark::open(&data.watermark()).ok().map(|watermark| watermark.mark());
                    let survey = Survey::of(&directory, mark, seal.as_ref()).unwrap_or_default();
                    OpenWalError::Damaged { directory, survey: Box::new(survey), source }
                }
                refusal => refusal,
            })?;
        Self::start(data.log(), engine, watermark, seal, options)
    }

    fn start(
        directory: PathBuf,
        engine: Engine,
        watermark: Watermark,
        seal: Arc<dyn PayloadSeal>,
        options: WalOptions,
    ) -> Result<Self, OpenWalError> {
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS_MAX);
        let shared = Arc::new(Shared {
            image: Mutex::new(Image::new(engine.state(), options.cache_bytes)),
            engine: RwLock::new(Some(engine)),
            seal,
            failure: watch::Sender::new(None),
        });
        let writer = Writer::spawn(shared.clone(), Marker::new(watermark), queue, options.watermark_interval)
            .map_err(|source| OpenWalError::Io { directory, source })?;
        let unsynced_bytes_max = options.unsynced_bytes_max.clamp(1, Semaphore::MAX_PERMITS >> 1);
        Ok(Self(Arc::new(Handle {
            jobs,
            unsynced: Arc::new(Semaphore::new(unsynced_bytes_max)),
            unsynced_bytes_max,
            shared,
            _writer: JoinOnDrop(Mutex::new(Some(writer))),
        })))
    }

    /// Appends `entries`, which must follow the last one. They can be read when this returns; `synced` is called from
    /// the writer's thread, and must be quick, after the sync, or with the error that kept it from happening. Waits
    /// while the queue is full. Not cancel safe as a whole, but either all entries are queued or none.
    pub async fn append(
        &self,
        entries: Vec<LogEntry>,
        synced: impl FnOnce(Result<(), WalError>) + Send + 'static,
    ) -> Result<(), WalError> {
        // Made first: whichever way this ends, the callback is called.
        let done = Done::new(synced);
        let mut bytes = 0;
        for LogEntry { id, payload } in &entries {
            if payload.len() > PAYLOAD_BYTES_MAX {
                return Err(WalError::TooLarge { index: id.index, bytes: payload.len() });
            }
            // An empty payload takes room too.
            bytes += payload.len() + size_of::<LogEntry>();
        }
        let permits = u32::try_from(bytes.min(self.0.unsynced_bytes_max)).unwrap_or(u32::MAX);
        let permit = self.0.unsynced.clone().acquire_many_owned(permits).await.map_err(|_| WalError::Closed)?;
        self.enqueue(|image| {
            image.append(&entries)?;
            Ok(Job::Append { epoch: image.epoch(), entries, permit, done })
        })
        .await
    }

    /// Saves the vote; returns after the sync of the log and of the watermark.
    pub async fn save_vote(&self, ballot: Ballot) -> Result<(), WalError> {
        let (done, saved) = Done::waiting();
        self.enqueue(|image| {
            image.save_vote(ballot)?;
            Ok(Job::Vote { ballot, done })
        })
        .await?;
        saved.await.unwrap_or(Err(WalError::Closed))
    }

    /// Notes how far entries are committed. Written with the next sync, without one of its own: after a crash an older
    /// value only means that entries are applied later.
    pub async fn save_committed(&self, committed: Option<EntryId>) -> Result<(), WalError> {
        let Some(id) = committed else {
            return Ok(());
        };
        self.enqueue(|image| {
            image.save_committed(committed);
            Ok(Job::Committed(id))
        })
        .await
    }

    /// Forgets the entries after `keep`, all of them for `None`. Queued, in order with the rest.
    pub async fn truncate_after(&self, keep: Option<EntryId>) -> Result<(), WalError> {
        self.enqueue(|image| {
            image.truncate_after(keep);
            Ok(Job::Truncate { keep })
        })
        .await
    }

    /// Forgets the entries up to and including `upto`, which may lie beyond the last one: the log then goes on after
    /// it. Queued, in order with the rest; files that hold nothing else are removed after the sync.
    pub async fn purge(&self, upto: EntryId) -> Result<(), WalError> {
        self.enqueue(|image| {
            image.purge(upto);
            Ok(Job::Purge { upto })
        })
        .await
    }

    /// How far the log has come, what is queued included.
    pub fn state(&self) -> WalState {
        self.0.shared.image().state()
    }

    /// The entries of `range` that the log holds, in order and without a hole. With `bytes_max` it may be the first
    /// ones only, but one at least if there is any. Recent entries come from memory; others are read and opened on a
    /// blocking thread of the tokio runtime.
    pub async fn read(&self, range: Range<u64>, bytes_max: Option<usize>) -> Result<Vec<LogEntry>, WalError> {
        let shared = &self.0.shared;
        let bytes_max = bytes_max.unwrap_or(usize::MAX);
        let mut attempts = 0;
        let mut entries: Vec<LogEntry> = Vec::new();
        let mut bytes = 0;
        loop {
            shared.check()?;
            let next = entries.last().map_or(range.start, |entry| entry.id.index + 1);
            let plan = shared.image().plan(&(next..range.end), bytes_max.saturating_sub(bytes));
            let (found, epoch) = match plan {
                Plan::Nothing => return Ok(entries),
                Plan::Cached(found) => (found, None),
                Plan::OnDisk { range, epoch } => {
                    let piece = bytes_max.saturating_sub(bytes).min(READ_PIECE_BYTES);
                    (self.read_disk(range, piece).await?, Some(epoch))
                }
            };
            // What was read from disk counts only if the log was neither cut nor purged there meanwhile.
            let stale = epoch.is_some_and(|epoch| shared.image().epoch() != epoch);
            let first = found.first().map(|entry| entry.id.index);
            let gap = first != Some(next) && !entries.is_empty();
            if stale || gap || first.is_none() {
                attempts += 1;
                if attempts > READ_ATTEMPTS_MAX {
                    let source = Arc::new(io::Error::other("the log was cut each time it was read"));
                    return Err(WalError::Unreadable { index: next, source });
                }
                entries.clear();
                bytes = 0;
                continue;
            }
            for entry in found {
                // A piece may reach beyond the bound; the first entry counts in any case.
                if bytes.saturating_add(entry.payload.len()) > bytes_max && !entries.is_empty() {
                    return Ok(entries);
                }
                bytes += entry.payload.len();
                entries.push(entry);
            }
            if bytes >= bytes_max {
                return Ok(entries);
            }
        }
    }

    /// Reads one piece from disk, and opens it.
    async fn read_disk(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<LogEntry>, WalError> {
        let shared = self.0.shared.clone();
        let index = range.start;
        let read = move || {
            let sealed = {
                let engine = shared.engine.read().unwrap_or_else(PoisonError::into_inner);
                let engine = engine.as_ref().ok_or(WalError::Closed)?;
                engine
                    .read(range.start, range.end, bytes_max)
                    .map_err(|source| WalError::Unreadable { index, source: Arc::new(source) })?
            };
            sealed
                .into_iter()
                .map(|(id, sealed)| match shared.seal.open(id.index, &sealed) {
                    Ok(payload) => Ok(LogEntry { id, payload: payload.into() }),
                    Err(source) => Err(WalError::Sealed { index: id.index, source }),
                })
                .collect()
        };
        crate::work::blocking(read)
            .await
            .unwrap_or_else(|error| Err(WalError::Unreadable { index, source: Arc::new(io::Error::other(error)) }))
    }

    /// Bytes of the log's files; 0 once closed. Takes the engine's lock for a moment: for metrics, not for hot paths.
    pub fn disk_bytes(&self) -> u64 {
        let engine = self.0.shared.engine.read().unwrap_or_else(PoisonError::into_inner);
        engine.as_ref().map_or(0, Engine::disk_bytes)
    }

    /// Waits until the log has failed, and says why. Cancel safe. The node must stop then.
    pub async fn failed(&self) -> WalError {
        let mut failure = self.0.shared.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or(WalError::Closed),
            Err(_) => WalError::Closed,
        }
    }

    /// Syncs what is queued, writes the watermark, and releases the files. Every later call errs.
    pub async fn close(&self) -> Result<(), WalError> {
        let (done, closed) = Done::waiting();
        self.0.jobs.send(Job::Close { done }).await.map_err(|_| self.stopped())?;
        closed.await.unwrap_or(Err(WalError::Closed))
    }

    /// Changes the image and queues the job that brings the disk there, in one step, so that both see one order.
    async fn enqueue(&self, prepare: impl FnOnce(&mut Image) -> Result<Job, WalError>) -> Result<(), WalError> {
        let room = self.0.jobs.reserve().await.map_err(|_| self.stopped())?;
        let mut image = self.0.shared.image();
        self.0.shared.check()?;
        room.send(prepare(&mut image)?);
        Ok(())
    }

    fn stopped(&self) -> WalError {
        self.0.shared.check().err().unwrap_or(WalError::Closed)
    }
}

/// For [`crate::again`]: an entry id, a vote and a payload.
pub(crate) fn again(bytes: &[u8]) -> [Option<Vec<u8>>; 3] {
    engine::again(bytes)
}

/// For [`crate::again`]: a sealed payload as a record has it; nothing of one that is too long.
pub(crate) fn payload(sealed: &[u8]) -> Vec<u8> {
    engine::payload(sealed)
}

/// Everything that is checked before a log is believed.
fn examine(
    data: &DataDir,
    identity: LogIdentity,
    seal: &dyn PayloadSeal,
    options: &WalOptions,
) -> Result<(Engine, Watermark), OpenWalError> {
    let directory = data.log();
    let has_log =
        Engine::has_files(&directory).map_err(|source| OpenWalError::Io { directory: directory.clone(), source })?;
    let watermark = match Watermark::open(&data.watermark()) {
        Ok(watermark) => watermark,
        Err(WatermarkError::Missing { .. }) if !has_log => {
            return Err(OpenWalError::NeverCreated { directory });
        }
        Err(source @ (WatermarkError::Missing { .. } | WatermarkError::Damaged { .. })) => {
            return Err(OpenWalError::NoWatermark { directory, source });
        }
        Err(error) => return Err(OpenWalError::Watermark(error)),
    };
    if let Some(slot) = watermark.damaged_slot() {
        tracing::warn!(slot, "one slot of the raft log's watermark is damaged, the other one is used");
    }
    if watermark.identity() != identity {
        let found = watermark.identity();
        return Err(OpenWalError::WrongIdentity { directory, expected: identity, found });
    }
    if !has_log {
        return Err(OpenWalError::LogMissing { directory, node: identity.node.0 });
    }
    let engine = open_engine(&directory, options)?;
    match engine.is_whole() {
        Ok(true) => {}
        Ok(false) => return Err(OpenWalError::Hole { directory }),
        Err(source) => return Err(OpenWalError::Damaged { directory, survey: Box::default(), source }),
    }
    check_mark(&engine, watermark.mark(), identity, &directory)?;
    check_seal(&engine, seal, &directory)?;
    Ok((engine, watermark))
}

/// A storage key that does not fit is noticed now, not when the first peer asks for an old entry.
fn check_seal(engine: &Engine, seal: &dyn PayloadSeal, directory: &Path) -> Result<(), OpenWalError> {
    let state = engine.state();
    let Some(last) = state.last.filter(|last| Some(*last) != state.purged) else {
        return Ok(());
    };
    let entries = engine
        .read(last.index, last.index.saturating_add(1), usize::MAX)
        .map_err(|source| damaged(directory, source))?;
    for (id, sealed) in entries {
        seal.open(id.index, &sealed).map_err(|source| OpenWalError::Sealed {
            directory: directory.to_owned(),
            index: id.index,
            source,
        })?;
    }
    Ok(())
}

fn open_engine(directory: &Path, options: &WalOptions) -> Result<Engine, OpenWalError> {
    Engine::open(directory, options).map_err(|source| {
        let directory = directory.to_owned();
        match source.kind() {
            io::ErrorKind::WouldBlock => OpenWalError::InUse { directory },
            io::ErrorKind::PermissionDenied | io::ErrorKind::StorageFull | io::ErrorKind::ReadOnlyFilesystem => {
                OpenWalError::Io { directory, source }
            }
            _ => OpenWalError::Damaged { directory, survey: Box::default(), source },
        }
    })
}

fn damaged(directory: &Path, source: io::Error) -> OpenWalError {
    OpenWalError::Damaged { directory: directory.to_owned(), survey: Box::default(), source }
}

/// Holds the log to its watermark.
fn check_mark(engine: &Engine, mark: Mark, identity: LogIdentity, directory: &Path) -> Result<(), OpenWalError> {
    fn shown(value: Option<impl fmt::Display>) -> Option<String> {
        value.map(|value| value.to_string())
    }
    let behind = |what, mark, log| OpenWalError::BehindWatermark {
        directory: directory.to_owned(),
        node: identity.node.0,
        what,
        mark,
        log,
    };
    let state = engine.state();
    if state.vote < mark.vote {
        return Err(behind(Promise::Vote, shown(mark.vote), shown(state.vote)));
    }
    if state.purged < mark.purged {
        return Err(behind(Promise::PurgedEntry, shown(mark.purged), shown(state.purged)));
    }
    if state.last < mark.last {
        return Err(behind(Promise::LastEntry, shown(mark.last), shown(state.last)));
    }
    // Not only as far: the very entry must be there, unless it was purged since. A cut lowers the mark first.
    if let Some(last) = mark.last
        && state.purged.is_none_or(|purged| purged.index < last.index)
    {
        let held = engine.id_at(last.index).map_err(|source| damaged(directory, source))?;
        if held != Some(last) {
            return Err(behind(Promise::LastEntry, shown(mark.last), shown(held)));
        }
    }
    Ok(())
}
