//! What readers see of the log: its state, and the recent entries in plaintext. It runs ahead of the disk: an entry is
//! readable as soon as it is queued. No I/O happens here.
//!
//! ```text
//!   purged │ on disk only │ cached (recent, or not yet synced) │
//!          └──────────────┴────────────────────────────────────┘ last
//! ```

use std::collections::VecDeque;
use std::ops::Range;

use super::{Ballot, EntryId, LogEntry, WalError, WalState};

#[derive(Debug)]
pub(super) struct Image {
    state: WalState,
    /// Where the entries begin: after the purged one, or wherever the first one was appended.
    first: u64,
    /// Consecutive entries that end with the last one; empty if that one is on disk only.
    cache: VecDeque<LogEntry>,
    cache_bytes: usize,
    cache_bytes_max: usize,
    /// Entries below this index are on disk, as far as `epoch` goes.
    synced_end: u64,
    /// Counts truncations: what a sync covered says nothing about entries that were replaced meanwhile.
    epoch: u64,
}

/// Where a reader finds the entries it asks for.
pub(super) enum Plan {
    /// There are none.
    Nothing,
    /// These, from memory; more of the range may follow them.
    Cached(Vec<LogEntry>),
    /// On disk. Valid only while `epoch` stays what it is.
    OnDisk { range: Range<u64>, epoch: u64 },
}

impl Image {
    pub(super) fn new(state: WalState, cache_bytes_max: usize) -> Self {
        let synced_end = state.next_index();
        let first = state.purged.map_or(0, |id| id.index.saturating_add(1));
        Self { state, first, cache: VecDeque::new(), cache_bytes: 0, cache_bytes_max, synced_end, epoch: 0 }
    }

    pub(super) fn state(&self) -> WalState {
        self.state
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Takes all of `entries` or none.
    pub(super) fn append(&mut self, entries: &[LogEntry]) -> Result<(), WalError> {
        let mut last = self.state.last;
        for LogEntry { id, .. } in entries {
            // An empty log may start anywhere: a node that was given a snapshot goes on from there.
            let expected = last.map_or(id.index, |last| last.index.saturating_add(1));
            if id.index != expected || Some(*id) <= last {
                return Err(WalError::OutOfOrder { expected, found: id.index });
            }
            last = Some(*id);
        }
        if let (None, Some(entry)) = (self.state.last, entries.first()) {
            self.first = entry.id.index;
        }
        self.state.last = last;
        self.cache_bytes += entries.iter().map(|entry| entry.payload.len()).sum::<usize>();
        self.cache.extend(entries.iter().cloned());
        self.evict();
        Ok(())
    }

    pub(super) fn truncate_after(&mut self, keep: Option<EntryId>) {
        if self.state.last <= keep {
            return;
        }
        let end = keep.map_or(0, |id| id.index.saturating_add(1));
        while let Some(entry) = self.cache.pop_back_if(|entry| entry.id.index >= end) {
            self.cache_bytes -= entry.payload.len();
        }
        self.state.last = keep.max(self.state.purged);
        self.synced_end = self.synced_end.min(end);
        self.epoch += 1;
    }

    pub(super) fn purge(&mut self, upto: EntryId) {
        while let Some(entry) = self.cache.pop_front_if(|entry| entry.id.index <= upto.index) {
            self.cache_bytes -= entry.payload.len();
        }
        self.state.purged = self.state.purged.max(Some(upto));
        self.state.last = self.state.last.max(Some(upto));
        self.first = self.first.max(upto.index.saturating_add(1));
    }

    pub(super) fn save_vote(&mut self, ballot: Ballot) -> Result<(), WalError> {
        if Some(ballot) < self.state.vote {
            return Err(WalError::VoteGoesBack);
        }
        self.state.vote = Some(ballot);
        Ok(())
    }

    pub(super) fn save_committed(&mut self, committed: Option<EntryId>) {
        self.state.committed = self.state.committed.max(committed);
    }

    /// Notes that everything below `end` that was queued in `epoch` is on disk.
    pub(super) fn synced(&mut self, epoch: u64, end: u64) {
        if epoch == self.epoch {
            self.synced_end = self.synced_end.max(end);
        }
        self.evict();
    }

    /// The first part of `range` that can be had in one go; at most `bytes_max` from memory, but one entry at least.
    pub(super) fn plan(&self, range: &Range<u64>, bytes_max: usize) -> Plan {
        let (start, end) = (range.start.max(self.first), range.end.min(self.state.next_index()));
        if start >= end {
            return Plan::Nothing;
        }
        let cached_from = self.cache.front().map_or(end, |entry| entry.id.index);
        if start < cached_from {
            return Plan::OnDisk { range: start..end.min(cached_from), epoch: self.epoch };
        }
        let mut bytes = 0;
        let mut entries = Vec::new();
        let skipped = usize::try_from(start - cached_from).unwrap_or(usize::MAX);
        for entry in self.cache.iter().skip(skipped).take_while(|entry| entry.id.index < end) {
            bytes += entry.payload.len();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Plan::Cached(entries)
    }

    fn evict(&mut self) {
        while self.cache_bytes > self.cache_bytes_max {
            let synced_end = self.synced_end;
            let Some(entry) = self.cache.pop_front_if(|entry| entry.id.index < synced_end) else {
                break;
            };
            self.cache_bytes -= entry.payload.len();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entries(term: u64, range: Range<u64>) -> Vec<LogEntry> {
        let payload = bytes::Bytes::from_static(b"payload");
        range.map(|index| LogEntry { id: EntryId { term, node: 1, index }, payload: payload.clone() }).collect()
    }

    /// The sync of what was cut meanwhile must not let its successors leave memory: the disk still has the old ones.
    #[test]
    fn a_sync_from_before_a_cut_says_nothing_of_what_came_after_it() {
        let mut image = Image::new(WalState::default(), 0);
        image.append(&entries(1, 0..10)).unwrap();
        let epoch = image.epoch();
        image.truncate_after(Some(EntryId { term: 1, node: 1, index: 4 }));
        image.append(&entries(2, 5..10)).unwrap();
        image.synced(epoch, 10);
        assert!(matches!(image.plan(&(5..10), usize::MAX), Plan::Cached(found) if found == entries(2, 5..10)));
        image.synced(image.epoch(), 10);
        assert!(matches!(image.plan(&(5..10), usize::MAX), Plan::OnDisk { .. }));
    }
}
