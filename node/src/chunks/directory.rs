//! The chunks of this node on its disk. Every call here blocks; [`super::store::ChunkStore`] gives them to workers.
//!
//! ```text
//! put:  verify ─► [lock: here already? verify it] ─► incoming/n: write, fdatasync ─► [lock: rename]
//!       ─► sync of the directory, shared with whoever waits for it ─► receipt
//! get:  read ─► verify ─► bytes         bad: [lock: verify again ─► quarantine/] ─► missing here
//! ```
//! The lock is per chunk (striped). Nothing reads or writes a chunk's file without verifying its whole digest; nothing
//! is called durable before both syncs. It knows no network, no manifest and no key.

use super::checks;
use super::disk::{Disk, ReadFailure, Source, Witness, is_full};
use super::error::{Fault, GetError, OpenStoreError, PutError, RemoveError};
use super::group_sync::{GroupSync, SyncFailure};
use super::held::{Held, HeldChunk, HeldSummary, Seconds};
use super::layout::{Found, Layout, Prepared};
use super::set_digest::{PARTITIONS, partition_of};
use crate::clock::SharedClock;
use crate::crypto::chunk_seal::{CHUNK_BYTES_MAX, chunk_id};
use crate::entropy::SharedEntropy;
use crate::storage::fs::write_durably;
use crate::storage::lock::DirectoryLock;
use plantao_domain::planted::{Bug, planted};
use plantao_domain::{ChunkId, ClusterTime, StoreIncarnation};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

/// Bad copies that are kept to be looked at; more are removed. At most as many MiB.
pub const QUARANTINE_COUNT_MAX: u64 = 256;
/// Locks for chunks: far more than workers, so that two chunks rarely share one.
const STRIPES: usize = 128;

/// What a chunk directory is told.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// Where it is; made if it is not there.
    pub path: PathBuf,
    /// Bytes of its disk that stay free for the log and the state, which may lie on the same one: images never stop the
    /// agenda.
    pub reserve_bytes: u64,
}

/// A chunk is durable on this node: written or found, verified, synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The chunk.
    pub id: ChunkId,
    /// Bytes of its file.
    pub bytes: u32,
    /// The directory that holds it. One of another incarnation proves nothing.
    pub incarnation: StoreIncarnation,
    /// Whether the copy was here before.
    pub was_here: bool,
}

/// What whoever wants to remove a chunk must know of it, under the chunk's lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Presence {
    /// The copy.
    pub chunk: HeldChunk,
    /// Since the last receipt for it was given here; since the start if none was. Receipts given before a start are not
    /// known any more, so nothing may be removed sooner after a start than after a receipt.
    pub quiet_for: Duration,
}

/// What became of a chunk that was to be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// It is gone for good.
    Removed {
        /// Bytes that were given back.
        bytes: u32,
    },
    /// The re-check refused.
    Kept,
    /// There was none.
    NotHere,
}

/// Counts since the start, and what is there now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Chunks that were written.
    pub written: u64,
    /// Puts of chunks that were here.
    pub found_here: u64,
    /// Chunks that were read and good.
    pub read: u64,
    /// Copies that a scrub found good.
    pub scrubbed: u64,
    /// Bad copies, in the order of [`Fault::ALL`].
    pub bad: [u64; Fault::ALL.len()],
    /// Chunks that were removed.
    pub removed: u64,
    /// Puts that found the disk full.
    pub full: u64,
    /// Whether puts are refused because a sync failed.
    pub poisoned: bool,
    /// What is held.
    pub held: HeldSummary,
}

#[derive(Default)]
struct Counters {
    written: AtomicU64,
    found_here: AtomicU64,
    read: AtomicU64,
    scrubbed: AtomicU64,
    bad: [AtomicU64; Fault::ALL.len()],
    removed: AtomicU64,
    full: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What one life of the directory is: replaced as a whole when the directory was lost and made anew.
struct Life {
    incarnation: StoreIncarnation,
    /// `None` only while the directory is being made anew.
    lock: Option<DirectoryLock>,
    syncs: Box<[GroupSync]>,
}

impl Life {
    fn new(incarnation: StoreIncarnation, lock: DirectoryLock) -> Self {
        Self { incarnation, lock: Some(lock), syncs: (0..PARTITIONS).map(|_| GroupSync::default()).collect() }
    }
}

/// What stands under a chunk's name.
enum Copy {
    Good(Vec<u8>),
    Absent,
    Bad(Fault),
    Unsure(io::Error),
}

/// The chunk directory of this node. One per data directory (the data directory's lock sees to that); shared between
/// threads.
pub struct ChunkDirectory {
    layout: Layout,
    reserve_bytes: u64,
    disk: Disk,
    clock: SharedClock,
    entropy: SharedEntropy,
    opened: Instant,
    found: Found,
    /// Held shared by whatever gives a receipt, so that its incarnation is the one in which the chunk was written.
    life: RwLock<Life>,
    stripes: Box<[Mutex<()>]>,
    held: Held,
    poisoned: AtomicBool,
    next_incoming: AtomicU64,
    quarantined: AtomicU64,
    next_aside: AtomicU64,
    counters: Counters,
}

impl ChunkDirectory {
    /// Opens the directory, or makes it: removes what interrupted writes left, and lists what is there. Reads no chunk.
    ///
    /// # Errors
    /// Something of it cannot be made, read or listed. Chunks that are bad are no error: they are found when they are
    /// read.
    pub fn open(options: DirectoryOptions, clock: SharedClock, entropy: SharedEntropy) -> Result<Self, OpenStoreError> {
        Self::open_witnessed(options, clock, entropy, None)
    }

    /// As [`Self::open`]; `witness` is told of every change from here on.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_witnessed(
        options: DirectoryOptions,
        clock: SharedClock,
        entropy: SharedEntropy,
        witness: Option<Arc<dyn Witness>>,
    ) -> Result<Self, OpenStoreError> {
        let layout = Layout::new(options.path);
        let Prepared { lock, incarnation, mut found } = layout.prepare(&*entropy)?;
        let held = Held::new();
        layout.list_into(&held, Seconds::of(clock.now()), &mut found)?;
        let (quarantined, next_aside) = layout.quarantined();
        Ok(Self {
            layout,
            reserve_bytes: options.reserve_bytes,
            disk: Disk::new(witness),
            clock,
            entropy,
            opened: Instant::now(),
            found,
            life: RwLock::new(Life::new(incarnation, lock)),
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            held,
            poisoned: AtomicBool::new(false),
            next_incoming: AtomicU64::new(0),
            quarantined: AtomicU64::new(quarantined),
            next_aside: AtomicU64::new(next_aside),
            counters: Counters::default(),
        })
    }

    /// What the start found.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Which directory this is. To be registered through the log before receipts of it count.
    pub fn incarnation(&self) -> StoreIncarnation {
        self.life().incarnation
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.layout.root()
    }

    /// Whether the directory is still there, whole and under its incarnation: a small read and 256 look-ups of names.
    pub fn is_there(&self) -> bool {
        let incarnation = self.life().incarnation;
        self.layout.is_still(incarnation)
    }

    /// Takes a directory that was lost while the node runs for a new and empty one, with another incarnation. Does
    /// nothing if it is there. Waits for puts that are under way, which fail.
    ///
    /// # Errors
    /// It cannot be made; [`PutError::Lost`] goes on.
    pub fn renew(&self) -> Result<StoreIncarnation, OpenStoreError> {
        let mut life = self.life.write().unwrap_or_else(PoisonError::into_inner);
        if self.layout.is_still(life.incarnation) {
            return Ok(life.incarnation);
        }
        // Only partitions may be gone, and the lock file still there.
        life.lock = None;
        let Prepared { lock, incarnation, mut found } = self.layout.prepare(&*self.entropy)?;
        *life = Life::new(incarnation, lock);
        self.held.forget_all();
        // Somebody may have put back chunks without the incarnation: what is there is taken, what is not is repaired.
        self.layout.list_into(&self.held, Seconds::of(self.clock.now()), &mut found)?;
        self.quarantined.store(self.layout.quarantined().0, Ordering::Relaxed);
        Ok(incarnation)
    }

    /// Makes chunk `id` durable here. A copy that is here is verified again and synced, and gets a new receipt; a bad
    /// one is set aside and replaced.
    ///
    /// # Errors
    /// See [`PutError`]. Without a receipt nothing is promised; trying again is harmless.
    pub fn put(&self, id: ChunkId, bytes: &[u8]) -> Result<Receipt, PutError> {
        if bytes.is_empty() || bytes.len() > CHUNK_BYTES_MAX {
            return Err(PutError::Size { bytes: bytes.len(), bytes_max: CHUNK_BYTES_MAX });
        }
        if chunk_id(bytes) != id {
            return Err(PutError::OtherBytes { id });
        }
        let life = self.life();
        if self.poisoned.load(Ordering::SeqCst) {
            return Err(PutError::Poisoned);
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let was_here = self.note_if_here(id, length)?;
        if was_here {
            count(&self.counters.found_here);
        } else {
            self.write(id, bytes)?;
            count(&self.counters.written);
        }
        // Also for a copy that was here: a process that was killed between rename and sync left a name that only the
        // system's memory has.
        self.sync_partition(&life, id).map_err(|failure| match failure {
            Unsynced::Lost => PutError::Lost,
            Unsynced::Here(source) => PutError::Sync(source),
            Unsynced::Elsewhere => PutError::Poisoned,
        })?;
        Ok(Receipt { id, bytes: length, incarnation: life.incarnation, was_here })
    }

    fn note_if_here(&self, id: ChunkId, length: u32) -> Result<bool, PutError> {
        let _lock = self.lock(&id);
        match self.look(&id, Source::Cached) {
            Copy::Good(_) => {
                // Noted under the lock: a removal that comes now sees that a receipt is about to be given.
                self.held.note_put(id, length, self.now(), self.uptime());
                Ok(true)
            }
            Copy::Absent => Ok(false),
            Copy::Bad(fault) => {
                self.set_aside(&id, fault);
                Ok(false)
            }
            Copy::Unsure(source) => Err(PutError::Write { operation: "look for", source }),
        }
    }

    fn write(&self, id: ChunkId, bytes: &[u8]) -> Result<(), PutError> {
        let free_bytes = self.disk.free_bytes(self.layout.root()).map_err(|source| self.unwritten("size", source))?;
        if free_bytes < self.reserve_bytes.saturating_add(bytes.len() as u64) {
            count(&self.counters.full);
            return Err(PutError::Full { free_bytes, reserve_bytes: self.reserve_bytes });
        }
        let path = self.layout.incoming().join(self.next_incoming.fetch_add(1, Ordering::Relaxed).to_string());
        let mut file = self.disk.create(&path).map_err(|source| self.unwritten("create", source))?;
        // From here on, whatever happens, the file is either the chunk or gone.
        let incoming = Incoming(&path);
        self.disk.write(&mut file, bytes).map_err(|source| self.unwritten("write", source))?;
        if !planted(Bug::ReceiptBeforeSync) {
            self.disk.sync_file(&file, &path).map_err(|source| self.unsynced(source))?;
        }
        drop(file);
        let _lock = self.lock(&id);
        let name = self.layout.chunk(&id);
        if let Err(source) = self.disk.rename(&path, &name) {
            // A directory in the chunk's place is the one thing that a rename does not replace.
            if !name.is_dir() {
                return Err(self.unwritten("name", source));
            }
            self.set_aside(&id, Fault::NotAFile);
            self.disk.rename(&path, &name).map_err(|source| self.unwritten("name", source))?;
        }
        std::mem::forget(incoming);
        self.held.note_put(id, u32::try_from(bytes.len()).unwrap_or(u32::MAX), self.now(), self.uptime());
        Ok(())
    }

    fn unwritten(&self, operation: &'static str, source: io::Error) -> PutError {
        if is_full(&source) {
            count(&self.counters.full);
            let free_bytes = self.disk.free_bytes(self.layout.root()).unwrap_or(0);
            return PutError::Full { free_bytes, reserve_bytes: self.reserve_bytes };
        }
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => PutError::Lost,
            _ => PutError::Write { operation, source },
        }
    }

    /// A full disk that shows only in the sync costs this one file, which is removed. Any other failed sync may have
    /// lost pages that still look written, so nothing is taken any more.
    fn unsynced(&self, source: io::Error) -> PutError {
        if is_full(&source) {
            return self.unwritten("sync", source);
        }
        self.poisoned.store(true, Ordering::SeqCst);
        PutError::Sync(source)
    }

    fn sync_partition(&self, life: &Life, id: ChunkId) -> Result<(), Unsynced> {
        let number = partition_of(&id);
        let Some(group) = life.syncs.get(usize::from(number)) else { return Err(Unsynced::Lost) };
        let path = self.layout.partition(number);
        if planted(Bug::NameNotSynced) {
            return Ok(());
        }
        match group.run(|| self.disk.sync_directory(&path)) {
            Ok(()) => Ok(()),
            Err(SyncFailure::Here(source)) if source.kind() == io::ErrorKind::NotFound => Err(Unsynced::Lost),
            Err(SyncFailure::Elsewhere) if !self.layout.is_still(life.incarnation) => Err(Unsynced::Lost),
            Err(failure) => {
                self.poisoned.store(true, Ordering::SeqCst);
                Err(match failure {
                    SyncFailure::Here(source) => Unsynced::Here(source),
                    SyncFailure::Elsewhere => Unsynced::Elsewhere,
                })
            }
        }
    }

    /// The bytes of chunk `id`, verified. A bad copy is set aside and counted, and the chunk is then missing here.
    ///
    /// # Errors
    /// See [`GetError`]; [`GetError::is_missing_here`] tells those that another node's copy answers.
    pub fn get(&self, id: ChunkId) -> Result<Vec<u8>, GetError> {
        let bytes = self.fetch(id, Source::Cached)?;
        count(&self.counters.read);
        Ok(bytes)
    }

    /// As [`Self::get`], but reads from the disk itself, not from memory, and notes that the copy was checked.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn check(&self, id: ChunkId) -> Result<Vec<u8>, GetError> {
        let bytes = match self.held.get(&id) {
            Some(held) if planted(Bug::ScrubBlind) => vec![0; held.bytes as usize],
            _ => self.fetch(id, Source::Disk)?,
        };
        let _lock = self.lock(&id);
        // Removed meanwhile: then it must not come back into the list.
        if self.layout.chunk(&id).exists() {
            self.held.note_checked(id, u32::try_from(bytes.len()).unwrap_or(u32::MAX), self.now());
        }
        count(&self.counters.scrubbed);
        Ok(bytes)
    }

    fn fetch(&self, id: ChunkId, source: Source) -> Result<Vec<u8>, GetError> {
        match self.look(&id, source) {
            Copy::Good(bytes) => return Ok(bytes),
            Copy::Unsure(source) => return Err(GetError::Read { id, source }),
            Copy::Absent | Copy::Bad(_) => {}
        }
        // Looked at again under the lock: a put may have brought a good copy meanwhile, which must not be set aside.
        let _lock = self.lock(&id);
        match self.look(&id, source) {
            Copy::Good(bytes) => Ok(bytes),
            Copy::Unsure(source) => Err(GetError::Read { id, source }),
            Copy::Absent => {
                self.held.forget(&id);
                Err(GetError::Missing { id })
            }
            Copy::Bad(fault) => {
                self.set_aside(&id, fault);
                Err(GetError::SetAside { id, fault })
            }
        }
    }

    /// Removes chunk `id` if `allows` says so, which is asked under the chunk's lock: no receipt is given for it from
    /// the question until it is gone. `allows` re-checks the replicated state and must be quick; it must not call this
    /// directory.
    ///
    /// # Errors
    /// See [`RemoveError`].
    pub fn remove(&self, id: ChunkId, allows: impl FnOnce(&Presence) -> bool) -> Result<Removal, RemoveError> {
        let life = self.life();
        if self.poisoned.load(Ordering::SeqCst) {
            return Err(RemoveError::Poisoned);
        }
        let lock = self.lock(&id);
        let quiet_for = self.held.quiet_for(&id, self.uptime());
        let (Some(chunk), Some(quiet_for)) = (self.held.get(&id), quiet_for) else { return Ok(Removal::NotHere) };
        if !allows(&Presence { chunk, quiet_for }) {
            return Ok(Removal::Kept);
        }
        match fs::remove_file(self.layout.chunk(&id)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.held.forget(&id);
                return Ok(Removal::NotHere);
            }
            Err(source) => return Err(RemoveError::Remove { id, source }),
        }
        self.held.forget(&id);
        drop(lock);
        // A name that comes back with the power would be a copy that nothing refers to any more, and nobody would look
        // for it.
        self.sync_partition(&life, id).map_err(|failure| match failure {
            Unsynced::Here(source) => RemoveError::Sync(source),
            Unsynced::Lost | Unsynced::Elsewhere => RemoveError::Poisoned,
        })?;
        count(&self.counters.removed);
        Ok(Removal::Removed { bytes: chunk.bytes })
    }

    /// The copy of chunk `id`, as far as is known without reading it.
    pub fn held(&self, id: &ChunkId) -> Option<HeldChunk> {
        self.held.get(id)
    }

    /// At most `limit` copies in the order of their ids, beginning after `after`.
    pub fn list(&self, after: Option<&ChunkId>, limit: usize) -> Vec<HeldChunk> {
        self.held.page(after, limit)
    }

    /// Looks at the names of one partition, reads no chunk, and forgets copies whose name is gone: somebody removed the
    /// file, or its directory lost it. They are missing here from then on. How many there were.
    ///
    /// # Errors
    /// The names cannot be listed, which says nothing about the copies.
    pub fn forget_vanished(&self, partition: u8) -> io::Result<usize> {
        // Before the names: a copy that is put meanwhile is in neither list, and one that is in this list has its name.
        let listed = self.held.ids_of(partition);
        if listed.is_empty() {
            return Ok(0);
        }
        let path = self.layout.partition(partition);
        let mut there = std::collections::HashSet::with_capacity(listed.len());
        for entry in fs::read_dir(path)? {
            there.extend(entry?.file_name().into_string());
        }
        let mut vanished = 0;
        for id in listed.iter().filter(|id| !there.contains(&id.to_string())) {
            let _lock = self.lock(id);
            // Set aside and put anew since the names were read.
            if fs::symlink_metadata(self.layout.chunk(id)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                self.held.forget(id);
                vanished += 1;
            }
        }
        Ok(vanished)
    }

    /// When the copy of chunk `id` was written, by its file; `None` where there is none or the system does not say.
    pub fn written_at(&self, id: &ChunkId) -> Option<ClusterTime> {
        let modified = fs::symlink_metadata(self.layout.chunk(id)).ok()?.modified().ok()?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(ClusterTime::saturating_from_millis(i64::try_from(since.as_millis()).ok()?))
    }

    /// What is held of the chunks whose ids begin with `partition`.
    pub fn partition(&self, partition: u8) -> HeldSummary {
        self.held.summary(partition)
    }

    /// Counts since the start, and what is there now.
    pub fn figures(&self) -> Figures {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Figures {
            written: get(&counters.written),
            found_here: get(&counters.found_here),
            read: get(&counters.read),
            scrubbed: get(&counters.scrubbed),
            bad: std::array::from_fn(|at| get(&counters.bad[at])),
            removed: get(&counters.removed),
            full: get(&counters.full),
            poisoned: self.poisoned.load(Ordering::SeqCst),
            held: self.held.total(),
        }
    }

    /// Bad copies that were found since the start.
    pub fn bad_count(&self) -> u64 {
        self.counters.bad.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }

    /// The partition that was not checked for longest, if its oldest check is at least `age` ago, and its copies of
    /// that age.
    pub(super) fn most_overdue(&self, age: Duration) -> Option<(u8, Vec<ChunkId>)> {
        let age = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        let due = Seconds(self.now().0.checked_sub(age)?);
        let partition = self.held.most_overdue(due)?;
        Some((partition, self.held.overdue_of(partition, due)))
    }

    /// Writes down when the copies of a partition were checked, if that is not written yet. A failure costs ages, not
    /// copies: it is tried again with the next call.
    pub(super) fn save_checks(&self, partition: u8) -> bool {
        let Some(entries) = self.held.take_unsaved(partition) else { return true };
        let saved = write_durably(&self.layout.checks(partition), &checks::encode(partition, &entries)).is_ok();
        if !saved {
            self.held.mark_unsaved(partition);
        }
        saved
    }

    fn look(&self, id: &ChunkId, source: Source) -> Copy {
        match self.disk.read(&self.layout.chunk(id), CHUNK_BYTES_MAX, source) {
            Ok(bytes) if chunk_id(&bytes) == *id => Copy::Good(bytes),
            Ok(_) => Copy::Bad(Fault::Digest),
            Err(ReadFailure::Absent) => Copy::Absent,
            Err(ReadFailure::NotAFile) => Copy::Bad(Fault::NotAFile),
            Err(ReadFailure::Length) => Copy::Bad(Fault::Length),
            Err(ReadFailure::Unreadable) => Copy::Bad(Fault::Unreadable),
            Err(ReadFailure::Unsure(source)) => Copy::Unsure(source),
        }
    }

    /// Takes a bad copy out of the way. Under the chunk's lock. Nothing is synced: after a power cut the bad copy is
    /// there again, and found again.
    fn set_aside(&self, id: &ChunkId, fault: Fault) {
        let at = Fault::ALL.iter().position(|other| *other == fault).unwrap_or_default();
        count(&self.counters.bad[at]);
        self.held.forget(id);
        let from = self.layout.chunk(id);
        let number = self.quarantined.fetch_add(1, Ordering::Relaxed);
        let is_directory = fs::symlink_metadata(&from).is_ok_and(|metadata| metadata.is_dir());
        // A directory is somebody's; it is never removed, only moved away.
        if number >= QUARANTINE_COUNT_MAX && !is_directory {
            let _ = fs::remove_file(&from);
            return;
        }
        // Where it cannot be moved it stays: a put replaces it, and until then each reader finds it bad.
        let to = self.layout.quarantine().join(format!("{id}-{}", self.next_aside.fetch_add(1, Ordering::Relaxed)));
        let _ = fs::rename(&from, to);
    }

    fn lock(&self, id: &ChunkId) -> MutexGuard<'_, ()> {
        // The last byte, because the first is the partition: puts that share a directory sync should not share a lock.
        let stripe = usize::from(id.as_bytes()[31]) % STRIPES;
        self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn life(&self) -> RwLockReadGuard<'_, Life> {
        self.life.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Seconds {
        Seconds::of(self.clock.now())
    }

    fn uptime(&self) -> u32 {
        u32::try_from(self.opened.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    #[cfg(test)]
    pub(super) fn faults(&self) -> &super::disk::faults::Faults {
        &self.disk.faults
    }
}

/// Why a name may not be durable.
enum Unsynced {
    Lost,
    Here(io::Error),
    Elsewhere,
}

/// A file that is being written; removed when dropped, so that a put that fails gives its space back.
struct Incoming<'a>(&'a Path);

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        let _ = fs::remove_file(self.0);
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
