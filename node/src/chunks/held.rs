//! What this node holds, in memory: one sorted list per partition, filled from the directory at the start and kept by
//! every put, removal and finding. The files are the truth; whoever meets a file that is not as this says corrects it
//! here.
//!
//! ```text
//! entry = chunk id 32 | bytes u32 | checked, seconds since 1970 u32 | put, seconds since the start u32      44 bytes
//! ```
//! A hundred thousand chunks (100 GB) take 4.4 MB.

use super::set_digest::{PARTITIONS, SetDigest, partition_of};
use plantao_domain::{ChunkId, ClusterTime};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whole seconds since 1970, from 0 to the year 2106: precise enough for the age of a check.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Seconds(pub(super) u32);

impl Seconds {
    pub(super) fn of(time: ClusterTime) -> Self {
        Self(u32::try_from(time.millis().max(0) / 1000).unwrap_or(u32::MAX))
    }

    fn time(self) -> ClusterTime {
        ClusterTime::saturating_from_millis(i64::from(self.0) * 1000)
    }
}

/// A copy on this disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldChunk {
    /// The chunk.
    pub id: ChunkId,
    /// Bytes of its file.
    pub bytes: u32,
    /// When its bytes were last compared with its id: by a scrub, or before they were written.
    pub checked_at: ClusterTime,
}

/// The copies of one partition, or of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeldSummary {
    /// How many.
    pub count: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Digest of their ids.
    pub digest: SetDigest,
    /// The oldest of their checks; `None` where there are no copies.
    pub oldest_check: Option<ClusterTime>,
}

#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) id: ChunkId,
    pub(super) bytes: u32,
    pub(super) checked: Seconds,
    /// Since the store was opened; 0 for what was there before.
    put: u32,
}

impl Entry {
    fn told(&self) -> HeldChunk {
        HeldChunk { id: self.id, bytes: self.bytes, checked_at: self.checked.time() }
    }
}

#[derive(Default)]
struct Partition {
    entries: Vec<Entry>,
    bytes: u64,
    digest: SetDigest,
    /// Whether a check happened that the check file does not have.
    unsaved: bool,
}

impl Partition {
    fn find(&self, id: &ChunkId) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.id.as_bytes().cmp(id.as_bytes()))
    }

    fn summary(&self) -> HeldSummary {
        HeldSummary {
            count: self.entries.len() as u64,
            bytes: self.bytes,
            digest: self.digest,
            oldest_check: self.entries.iter().map(|entry| entry.checked).min().map(Seconds::time),
        }
    }
}

pub(super) struct Held {
    partitions: Box<[Mutex<Partition>]>,
}

impl Held {
    pub(super) fn new() -> Self {
        Self { partitions: (0..PARTITIONS).map(|_| Mutex::default()).collect() }
    }

    fn partition(&self, number: u8) -> MutexGuard<'_, Partition> {
        self.partitions[usize::from(number)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, id: &ChunkId) -> MutexGuard<'_, Partition> {
        self.partition(partition_of(id))
    }

    /// Fills a partition at the start; `entries` are of that partition.
    pub(super) fn fill(&self, number: u8, mut entries: Vec<(ChunkId, u32, Seconds)>) {
        entries.sort_unstable_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
        entries.dedup_by(|a, b| a.0 == b.0);
        let mut partition = self.partition(number);
        partition.digest = SetDigest::of(entries.iter().map(|(id, _, _)| id));
        partition.bytes = entries.iter().map(|(_, bytes, _)| u64::from(*bytes)).sum();
        partition.entries =
            entries.into_iter().map(|(id, bytes, checked)| Entry { id, bytes, checked, put: 0 }).collect();
        partition.unsaved = false;
    }

    /// A copy was put, or was found good by a put; `put` seconds after the start.
    pub(super) fn note_put(&self, id: ChunkId, bytes: u32, checked: Seconds, put: u32) {
        let mut partition = self.of(&id);
        match partition.find(&id) {
            Ok(at) => {
                let entry = &mut partition.entries[at];
                let before = std::mem::replace(entry, Entry { id, bytes, checked, put });
                partition.bytes = partition.bytes - u64::from(before.bytes) + u64::from(bytes);
            }
            Err(at) => {
                partition.entries.insert(at, Entry { id, bytes, checked, put });
                partition.bytes += u64::from(bytes);
                partition.digest.add(&id);
            }
        }
    }

    /// A copy was found good on the disk. One that nobody knew (put there by hand) is taken in.
    pub(super) fn note_checked(&self, id: ChunkId, bytes: u32, checked: Seconds) {
        let mut partition = self.of(&id);
        partition.unsaved = true;
        match partition.find(&id) {
            Ok(at) => partition.entries[at].checked = checked,
            Err(_) => {
                drop(partition);
                self.note_put(id, bytes, checked, 0);
            }
        }
    }

    pub(super) fn forget(&self, id: &ChunkId) {
        let mut partition = self.of(id);
        if let Ok(at) = partition.find(id) {
            let entry = partition.entries.remove(at);
            partition.bytes -= u64::from(entry.bytes);
            partition.digest.remove(id);
            partition.unsaved = true;
        }
    }

    pub(super) fn forget_all(&self) {
        for number in 0..=u8::MAX {
            *self.partition(number) = Partition::default();
        }
    }

    pub(super) fn get(&self, id: &ChunkId) -> Option<HeldChunk> {
        let partition = self.of(id);
        partition.find(id).ok().map(|at| partition.entries[at].told())
    }

    /// How long before `now` (seconds since the start) a copy was put; all of `now` for what was there before.
    pub(super) fn quiet_for(&self, id: &ChunkId, now: u32) -> Option<Duration> {
        let partition = self.of(id);
        let at = partition.find(id).ok()?;
        Some(Duration::from_secs(u64::from(now.saturating_sub(partition.entries[at].put))))
    }

    /// At most `limit` copies in the order of their ids, those after `after`.
    pub(super) fn page(&self, after: Option<&ChunkId>, limit: usize) -> Vec<HeldChunk> {
        let mut page = Vec::with_capacity(limit.min(1024));
        let first = after.map_or(0, partition_of);
        for number in first..=u8::MAX {
            let partition = self.partition(number);
            let start = match after {
                Some(after) if number == first => match partition.find(after) {
                    Ok(at) => at + 1,
                    Err(at) => at,
                },
                _ => 0,
            };
            let rest = partition.entries.get((Bound::Included(start), Bound::Unbounded)).unwrap_or_default();
            page.extend(rest.iter().take(limit - page.len()).map(Entry::told));
            if page.len() == limit {
                break;
            }
        }
        page
    }

    /// All copies of a partition.
    pub(super) fn ids_of(&self, number: u8) -> Vec<ChunkId> {
        self.partition(number).entries.iter().map(|entry| entry.id).collect()
    }

    pub(super) fn summary(&self, number: u8) -> HeldSummary {
        self.partition(number).summary()
    }

    pub(super) fn total(&self) -> HeldSummary {
        let mut total = HeldSummary::default();
        let mut lanes = [0_u64; 4];
        for number in 0..=u8::MAX {
            let part = self.summary(number);
            total.count += part.count;
            total.bytes += part.bytes;
            total.oldest_check = match (total.oldest_check, part.oldest_check) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            for (lane, bytes) in lanes.iter_mut().zip(part.digest.to_bytes().chunks_exact(8)) {
                *lane = lane.wrapping_add(u64::from_le_bytes(bytes.try_into().expect("eight bytes are a lane")));
            }
        }
        let mut digest = [0; 32];
        for (place, lane) in digest.chunks_exact_mut(8).zip(lanes) {
            place.copy_from_slice(&lane.to_le_bytes());
        }
        total.digest = SetDigest::from_bytes(digest);
        total
    }

    /// The partition whose oldest check is the oldest of all, if that is not after `due`.
    pub(super) fn most_overdue(&self, due: Seconds) -> Option<u8> {
        (0..=u8::MAX)
            .filter_map(|number| {
                let oldest = self.partition(number).entries.iter().map(|entry| entry.checked).min()?;
                (oldest <= due).then_some((oldest, number))
            })
            .min()
            .map(|(_, number)| number)
    }

    /// The copies of a partition whose last check is not after `due`, in the order of their ids.
    pub(super) fn overdue_of(&self, number: u8, due: Seconds) -> Vec<ChunkId> {
        let partition = self.partition(number);
        partition.entries.iter().filter(|entry| entry.checked <= due).map(|entry| entry.id).collect()
    }

    /// What the check file of a partition should say, if it does not say so already.
    pub(super) fn take_unsaved(&self, number: u8) -> Option<Vec<(ChunkId, Seconds)>> {
        let mut partition = self.partition(number);
        if !std::mem::take(&mut partition.unsaved) {
            return None;
        }
        Some(partition.entries.iter().map(|entry| (entry.id, entry.checked)).collect())
    }

    /// The check file could not be written: try again later.
    pub(super) fn mark_unsaved(&self, number: u8) {
        self.partition(number).unsaved = true;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn id(first: u8, last: u8) -> ChunkId {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (first, last);
        ChunkId::from_bytes(bytes)
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(ChunkId, u32),
        Check(ChunkId, u32),
        Forget(ChunkId),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let any_id = (prop_oneof![Just(0), Just(7), Just(255)], 0..6_u8).prop_map(|(first, last)| id(first, last));
        let step = prop_oneof![
            (any_id.clone(), 1..2_000_u32).prop_map(|(id, bytes)| Step::Put(id, bytes)),
            (any_id.clone(), 0..2_000_u32).prop_map(|(id, at)| Step::Check(id, at)),
            any_id.prop_map(Step::Forget),
        ];
        proptest::collection::vec(step, 0..80)
    }

    proptest! {
        /// Against a plain map: membership, order, pages of any size, sums and digests.
        #[test]
        fn the_lists_say_what_a_plain_map_says(steps in steps(), limit in 1..5_usize) {
            let held = Held::new();
            let mut model: BTreeMap<[u8; 32], (u32, u32)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Put(id, bytes) => {
                        held.note_put(id, bytes, Seconds(500), 3);
                        model.insert(*id.as_bytes(), (bytes, 500));
                    }
                    Step::Check(id, at) => {
                        held.note_checked(id, 9, Seconds(at));
                        model.entry(*id.as_bytes()).or_insert((9, at)).1 = at;
                    }
                    Step::Forget(id) => {
                        held.forget(&id);
                        model.remove(id.as_bytes());
                    }
                }
            }
            let ids: Vec<ChunkId> = model.keys().map(|bytes| ChunkId::from_bytes(*bytes)).collect();
            let total = held.total();
            prop_assert_eq!(total.count, model.len() as u64);
            prop_assert_eq!(total.bytes, model.values().map(|(bytes, _)| u64::from(*bytes)).sum::<u64>());
            prop_assert_eq!(total.digest, SetDigest::of(&ids));
            let oldest = model.values().map(|(_, at)| Seconds(*at)).min();
            prop_assert_eq!(total.oldest_check, oldest.map(Seconds::time));
            let (mut walked, mut after) = (Vec::new(), None);
            loop {
                let page = held.page(after.as_ref(), limit);
                prop_assert!(page.len() <= limit);
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                walked.extend(page.iter().map(|chunk| chunk.id));
            }
            prop_assert!(walked == ids);
            for number in [0_u8, 7, 255, 9] {
                let part: Vec<ChunkId> = ids.iter().copied().filter(|id| partition_of(id) == number).collect();
                prop_assert_eq!(held.summary(number).digest, SetDigest::of(&part));
            }
            if let Some(oldest) = oldest {
                let number = held.most_overdue(oldest).unwrap();
                prop_assert!(!held.overdue_of(number, oldest).is_empty());
                prop_assert!(oldest.0 == 0 || held.most_overdue(Seconds(oldest.0 - 1)).is_none());
            }
        }
    }

    #[test]
    fn what_was_there_before_counts_as_put_at_the_start() {
        let held = Held::new();
        held.fill(7, vec![(id(7, 2), 10, Seconds(5)), (id(7, 1), 11, Seconds(4))]);
        assert_eq!(held.quiet_for(&id(7, 1), 90), Some(Duration::from_secs(90)));
        held.note_put(id(7, 1), 11, Seconds(4), 80);
        assert_eq!(held.quiet_for(&id(7, 1), 90), Some(Duration::from_secs(10)));
        assert_eq!(held.quiet_for(&id(7, 3), 90), None);
    }

    /// Status in under a second, proof in under five, with a hundred thousand chunks: the bound here is far below
    /// either.
    #[test]
    fn a_hundred_thousand_chunks_are_summed_up_at_once() {
        let held = Held::new();
        for number in 0..100_000_u32 {
            let id = ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes());
            held.note_put(id, 1 << 20, Seconds(number), 0);
        }
        // The best of many tries: other work on the machine only adds.
        let once = || {
            let started = std::time::Instant::now();
            let total = held.total();
            assert_eq!((total.count, total.bytes), (100_000, 100_000 << 20));
            assert_eq!(total.oldest_check, Some(Seconds(0).time()));
            assert!(held.most_overdue(Seconds(0)).is_some());
            started.elapsed()
        };
        let second = Duration::from_secs(1);
        assert!((0..30).any(|_| once() < second), "never within {second:?}");
    }
}
