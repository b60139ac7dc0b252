//! A simulated log: readable at once, durable when its disk has flushed, and at a power cut whatever had got there by then.
//!
//! ```text
//! append, vote, truncate, purge ──► image (readers) + pending ──► one flush for all that queued up ──► durable ──► callbacks
//! power cut:  durable + a random first part of pending; the rest never was
//! ```

use plantao_node::storage::log::{ForeignLog, Synced};
use plantao_node::storage::wal::{Ballot, EntryId, LogEntry, WalError, WalState};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// What a log holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) vote: Option<Ballot>,
    pub(crate) entries: BTreeMap<u64, LogEntry>,
    pub(crate) purged: Option<EntryId>,
    pub(crate) committed: Option<EntryId>,
}

impl Image {
    fn last(&self) -> Option<EntryId> {
        self.entries.last_key_value().map(|(_, entry)| entry.id).max(self.purged)
    }

    fn state(&self) -> WalState {
        WalState { vote: self.vote, last: self.last(), purged: self.purged, committed: self.committed }
    }

    /// Whether the entry is here, or went when everything up to it had become a snapshot.
    pub(crate) fn holds(&self, id: EntryId) -> bool {
        self.purged.is_some_and(|purged| purged.index >= id.index)
            || self.entries.get(&id.index).is_some_and(|entry| entry.id == id)
    }

    fn write(&mut self, operation: &Operation) {
        match operation {
            Operation::Append(entries) => {
                self.entries.extend(entries.iter().map(|entry| (entry.id.index, entry.clone())));
            }
            Operation::Vote(ballot) => self.vote = Some(*ballot),
            Operation::Committed(id) => self.committed = self.committed.max(Some(*id)),
            Operation::Truncate(keep) => drop(self.entries.split_off(&keep.map_or(0, |id| id.index + 1))),
            Operation::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.purged = self.purged.max(Some(*upto));
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Append(Vec<LogEntry>),
    Vote(Ballot),
    Committed(EntryId),
    Truncate(Option<EntryId>),
    Purge(EntryId),
}

#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// What readers see.
    pub(crate) image: Image,
    /// What survives a power cut for certain.
    pub(crate) durable: Image,
    /// Numbered: a log that was closed in the middle of a flush leaves some, and the next flush of the same disk writes them too.
    pending: VecDeque<(u64, Operation)>,
    submitted: u64,
}

/// One node's log disk. It outlives the node.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogDisk(Arc<Mutex<Contents>>);

impl LogDisk {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the content of every entry that is in the log.
    pub(crate) fn contents(&self, mut look: impl FnMut(&[u8])) {
        self.lock().image.entries.values().for_each(|entry| look(&entry.payload));
    }

    /// Of what was not flushed, a random first part got to the disk, and not always whole entries of one call.
    pub(crate) fn lose_power(&self, random: &mut StdRng) {
        let mut contents = self.lock();
        let reached = random.random_range(0..=contents.pending.len());
        let pending = std::mem::take(&mut contents.pending);
        for (nth, (_, operation)) in pending.into_iter().enumerate() {
            match operation {
                operation if nth < reached => contents.durable.write(&operation),
                Operation::Append(mut entries) if nth == reached => {
                    entries.truncate(random.random_range(0..=entries.len()));
                    contents.durable.write(&Operation::Append(entries));
                }
                _ => break,
            }
        }
        contents.image = contents.durable.clone();
    }

    /// The log on it, with a flusher on the runtime of the host that runs.
    pub(crate) fn open(&self, seed: u64, stalls: f64) -> Arc<dyn ForeignLog> {
        let (queue, callbacks) = mpsc::unbounded_channel();
        tokio::spawn(flush(self.clone(), StdRng::seed_from_u64(seed), stalls, callbacks));
        Arc::new(SimulatedLog { disk: self.clone(), queue })
    }
}

struct SimulatedLog {
    disk: LogDisk,
    queue: mpsc::UnboundedSender<(u64, Option<Synced>)>,
}

impl SimulatedLog {
    fn submit(&self, operation: Operation, synced: Option<Synced>) -> Result<(), WalError> {
        let mut contents = self.disk.lock();
        contents.image.write(&operation);
        contents.submitted += 1;
        let number = contents.submitted;
        contents.pending.push_back((number, operation));
        self.queue.send((number, synced)).map_err(|_| WalError::Closed)
    }
}

/// Group commit: what queued up during one flush shares the next one. Times vary widely, and now and then a disk stalls: with
/// constant times whole classes of faults never show.
async fn flush(
    disk: LogDisk,
    mut random: StdRng,
    stalls: f64,
    mut callbacks: mpsc::UnboundedReceiver<(u64, Option<Synced>)>,
) {
    while let Some(first) = callbacks.recv().await {
        let mut group = vec![first];
        while let Ok(next) = callbacks.try_recv() {
            group.push(next);
        }
        let micros = if random.random_bool(stalls) {
            random.random_range(20_000..150_000)
        } else {
            random.random_range(100..8_000)
        };
        tokio::time::sleep(Duration::from_micros(micros)).await;
        {
            let mut contents = disk.lock();
            let upto = group.last().map_or(0, |(number, _)| *number);
            while let Some((_, operation)) = contents.pending.pop_front_if(|(number, _)| *number <= upto) {
                contents.durable.write(&operation);
            }
        }
        for synced in group.into_iter().filter_map(|(_, synced)| synced) {
            synced(Ok(()));
        }
    }
}

impl ForeignLog for SimulatedLog {
    fn state(&self) -> WalState {
        self.disk.lock().image.state()
    }

    fn read(&self, range: Range<u64>, bytes_max: Option<usize>) -> Result<Vec<LogEntry>, WalError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (mut bytes, mut found) = (0, Vec::new());
        for entry in self.disk.lock().image.entries.range(range).map(|(_, entry)| entry) {
            bytes += entry.payload.len();
            if bytes > bytes_max.unwrap_or(usize::MAX) && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn append(&self, entries: Vec<LogEntry>, synced: Synced) -> Result<(), WalError> {
        let mut last = self.state().last;
        for LogEntry { id, .. } in &entries {
            let expected = last.map_or(id.index, |last| last.index + 1);
            if id.index != expected || Some(*id) <= last {
                return Err(WalError::OutOfOrder { expected, found: id.index });
            }
            last = Some(*id);
        }
        self.submit(Operation::Append(entries), Some(synced))
    }

    fn save_vote(&self, ballot: Ballot, synced: Synced) -> Result<(), WalError> {
        if Some(ballot) < self.state().vote {
            return Err(WalError::VoteGoesBack);
        }
        self.submit(Operation::Vote(ballot), Some(synced))
    }

    fn save_committed(&self, committed: EntryId) {
        // Fails only when the flusher is gone, and then so is the node.
        let _ = self.submit(Operation::Committed(committed), None);
    }

    fn truncate_after(&self, keep: Option<EntryId>) {
        let _ = self.submit(Operation::Truncate(keep), None);
    }

    fn purge(&self, upto: EntryId) {
        let _ = self.submit(Operation::Purge(upto), None);
    }
}
