//! The only file that names sled: the engine of the off-site node. Three things that it lacks are added here: a sync that
//! reaches the disk (its flush never calls fsync), frozen views (it has no versions), and room for small rows, which lie
//! in bundles (decision 0038). Sealing, counting and trust never live here.
//!
//! ```text
//! SledEngine     rows, as the rails above know them
//!   └ Bundles       a row is in the last bundle whose key is not above its own
//!       └ sled::Tree   each bundle under the key that its first row had when it was made; SledFrozen: the same, as it was
//!
//! write:  gate exclusively │ for each frozen view, keep the old value of each changed bundle │ apply the batch
//! frozen: gate shared      │ at most STEP_BUNDLES bundles, kept old values laid over the engine's │ release
//! ```

use super::state::engine::{Engine, EngineError, RawBatch, RawView, Visit};
use bundles::Bundles;
use plantao_domain::view::Order;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

mod bundle;
mod bundles;

/// Name of the tree. Before there were bundles, rows lay in sled's own tree, which has no name.
const TREE: &str = "bundles";
/// Page cache.
const CACHE_BYTES: u64 = 20 * 1024 * 1024;
/// Old values that one frozen view may keep, keys included.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bundles whose replaced pages one collection frees with room to spare (decision 0036).
const BUNDLES_PER_COLLECTION: usize = 32;
/// Bundles that a frozen view reads before it lets a waiting write pass.
const STEP_BUNDLES: usize = 32;

pub(crate) struct SledEngine {
    database: sled::Db,
    tree: sled::Tree,
    dir: PathBuf,
    gate: Arc<RwLock<Vec<Weak<Kept>>>>,
    kept_bytes_max: usize,
}

/// Old values of the bundles that changed since a view was frozen; `None` means there was no such bundle.
#[derive(Default)]
struct Kept(Mutex<KeptRows>);

#[derive(Default)]
struct KeptRows {
    old: BTreeMap<Vec<u8>, Option<sled::IVec>>,
    bytes: usize,
    overflow: bool,
}

impl SledEngine {
    /// Opens or creates the engine in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, EngineError> {
        Self::open_with(dir, KEPT_BYTES_MAX)
    }

    fn open_with(dir: &Path, kept_bytes_max: usize) -> Result<Self, EngineError> {
        let database = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            // No thread of its own that could fail unseen: the checkpoint flushes.
            .flush_every_ms(None)
            .open()
            .map_err(|error| match error {
                // It has no kind of its own for a lock that is held.
                sled::Error::Io(ref io) if io.to_string().starts_with("could not acquire lock") => EngineError::Busy,
                other => EngineError::fault(other),
            })?;
        if !database.is_empty() {
            return Err(EngineError::EarlierLayout);
        }
        let tree = database.open_tree(TREE).map_err(EngineError::fault)?;
        Ok(Self { database, tree, dir: dir.to_owned(), gate: Arc::default(), kept_bytes_max })
    }
}

fn io_fault(source: std::io::Error) -> EngineError {
    EngineError::fault(source)
}

impl Bundles for sled::Tree {
    fn visit(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        let mut bundles = self.range(from..to);
        loop {
            let bundle = match order {
                Order::Ascending => bundles.next(),
                Order::Descending => bundles.next_back(),
            };
            let Some(bundle) = bundle else { return Ok(()) };
            let (key, value) = bundle.map_err(EngineError::fault)?;
            if !visit(&key, &value) {
                return Ok(());
            }
        }
    }
}

impl RawView for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.tree.row(key)
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        self.tree.rows(from, to, order, visit)
    }
}

impl Engine for SledEngine {
    fn write(&self, mut batch: RawBatch) -> Result<(), EngineError> {
        batch.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        let batch = self.tree.changed(&batch)?;
        let mut gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        gate.retain(|kept| kept.strong_count() > 0);
        for kept in gate.iter().filter_map(Weak::upgrade) {
            let mut kept = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, _) in &batch {
                if kept.overflow || kept.old.contains_key(key) {
                    continue;
                }
                let old = self.tree.get(key).map_err(EngineError::fault)?;
                kept.bytes += key.len() + old.as_ref().map_or(0, |value| value.len());
                kept.old.insert(key.clone(), old);
                if kept.bytes > self.kept_bytes_max {
                    // The reader is told; a write is never refused for a reader's sake.
                    kept.overflow = true;
                    kept.old.clear();
                }
            }
        }
        let bundles = batch.len();
        let mut write = sled::Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) => write.insert(key, value),
                None => write.remove(key),
            }
        }
        self.tree.apply_batch(write).map_err(EngineError::fault)?;
        // Its replaced pages wait for crossbeam's collector, which works a little every 128 pins; a batch pins once.
        for _ in 0..=bundles / BUNDLES_PER_COLLECTION {
            crossbeam_epoch::pin().flush();
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.database.flush().map_err(EngineError::fault)?;
        // Its flush ends in sync_file_range, which writes neither metadata nor the disk's own cache.
        for name in ["db", "conf"] {
            File::open(self.dir.join(name)).and_then(|file| file.sync_all()).map_err(io_fault)?;
        }
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io_fault)
    }

    fn freeze(&self) -> Result<Box<dyn RawView>, EngineError> {
        let kept = Arc::new(Kept::default());
        self.gate.write().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&kept));
        Ok(Box::new(SledFrozen { tree: self.tree.clone(), gate: Arc::clone(&self.gate), kept }))
    }

    fn health(&self) -> Result<(), EngineError> {
        // A fault in one of its threads comes back from the next write or flush; this shows that it still reads.
        self.tree.get([]).map(drop).map_err(EngineError::fault)
    }
}

struct SledFrozen {
    tree: sled::Tree,
    gate: Arc<RwLock<Vec<Weak<Kept>>>>,
    kept: Arc<Kept>,
}

impl SledFrozen {
    /// The next bundles of a range and, if it may go on, behind which key.
    #[allow(clippy::type_complexity)]
    fn step(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        order: Order,
    ) -> Result<(Vec<(Vec<u8>, sled::IVec)>, Option<Vec<u8>>), EngineError> {
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let kept = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.overflow {
            return Err(EngineError::FreezeOverflow);
        }
        let mut rows = BTreeMap::new();
        let mut last = None;
        let mut range = self.tree.range::<&[u8], _>((from, to));
        for _ in 0..STEP_BUNDLES {
            let row = match order {
                Order::Ascending => range.next(),
                Order::Descending => range.next_back(),
            };
            let Some(row) = row else {
                last = None;
                break;
            };
            let (key, value) = row.map_err(EngineError::fault)?;
            last = Some(key.to_vec());
            rows.insert(key.to_vec(), value);
        }
        // Kept keys count as far as this step has come, and to the end of the range when it is the last one.
        let window = match (&last, order) {
            (None, _) => (from, to),
            (Some(last), Order::Ascending) => (from, Bound::Included(last.as_slice())),
            (Some(last), Order::Descending) => (Bound::Included(last.as_slice()), to),
        };
        for (key, old) in kept.old.range::<[u8], _>(window) {
            match old {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        if order == Order::Descending {
            rows.reverse();
        }
        Ok((rows, last))
    }
}

impl RawView for SledFrozen {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.row(key)
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        self.rows(from, to, order, visit)
    }
}

impl Bundles for SledFrozen {
    fn visit(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        let mut cursor: Option<Vec<u8>> = None;
        loop {
            let (low, high) = match (&cursor, order) {
                (None, _) => (Bound::Included(from), Bound::Excluded(to)),
                (Some(cursor), Order::Ascending) => (Bound::Excluded(cursor.as_slice()), Bound::Excluded(to)),
                (Some(cursor), Order::Descending) => (Bound::Included(from), Bound::Excluded(cursor.as_slice())),
            };
            // The last row of a step can be the last key of the range: a range of nothing must not be asked for.
            if cursor.as_deref().is_some_and(|at| match order {
                Order::Ascending => at >= to,
                Order::Descending => at <= from,
            }) {
                return Ok(());
            }
            let (rows, last) = self.step(low, high, order)?;
            for (key, value) in &rows {
                if !visit(key, value) {
                    return Ok(());
                }
            }
            let Some(last) = last else { return Ok(()) };
            cursor = Some(last);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::collection::vec as vec_of;
    use proptest::prelude::*;

    /// A reader that is too slow for the writes must lose its view; it must never block or fail a write.
    #[test]
    fn a_frozen_view_that_outgrows_its_bound_ends_and_writes_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let engine = SledEngine::open_with(dir.path(), 10_000).unwrap();
        let row = |n: u8, value: u8| (vec![n], Some(vec![value; 1000]));
        engine.write((0..50).map(|n| row(n, 1)).collect()).unwrap();
        let slow = engine.freeze().unwrap();
        engine.write((0..5).map(|n| row(n, 2)).collect()).unwrap();
        assert_eq!(slow.get(&[0]).unwrap().unwrap()[0], 1);
        engine.write((5..20).map(|n| row(n, 2)).collect()).unwrap();
        assert!(matches!(slow.get(&[0]), Err(EngineError::FreezeOverflow)));
        let visited = slow.range(&[0], &[60], Order::Ascending, &mut |_, _| true);
        assert!(matches!(visited, Err(EngineError::FreezeOverflow)));
        let next = engine.freeze().unwrap();
        assert_eq!(next.get(&[0]).unwrap().unwrap()[0], 2);
        drop((slow, next));
        engine.write(vec![row(0, 3)]).unwrap();
        assert!(engine.gate.read().unwrap().is_empty());
    }

    /// Steps of a frozen range must join without a gap or a repeat where rows came, went and changed around their
    /// edges.
    #[test]
    fn a_frozen_range_is_whole_across_steps_in_both_directions() {
        let dir = tempfile::tempdir().unwrap();
        let engine = SledEngine::open(dir.path()).unwrap();
        let key = |n: u32| n.to_be_bytes().to_vec();
        // Some four rows make a bundle.
        let before: Vec<_> = (0..12 * STEP_BUNDLES as u32).map(|n| (key(2 * n), vec![1; 450])).collect();
        engine.write(before.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect()).unwrap();
        let frozen = engine.freeze().unwrap();
        let changes = (0..24 * STEP_BUNDLES as u32).filter(|n| n % 3 != 1);
        engine.write(changes.map(|n| (key(n), (n % 4 > 0).then(|| vec![2; 450]))).collect()).unwrap();
        for order in [Order::Ascending, Order::Descending] {
            let mut seen = Vec::new();
            frozen
                .range(&[], &[0xFF; 5], order, &mut |key, value| {
                    seen.push((key.to_vec(), value.to_vec()));
                    true
                })
                .unwrap();
            if order == Order::Descending {
                seen.reverse();
            }
            assert_eq!(seen, before);
        }
    }

    /// A bundle may begin with a later row than its key says. What comes between must not take its place.
    #[test]
    fn a_row_before_the_first_of_its_bundle_pushes_nothing_out() {
        let dir = tempfile::tempdir().unwrap();
        let engine = SledEngine::open(dir.path()).unwrap();
        let row = |key: &[u8], length: usize| (key.to_vec(), Some(vec![7; length]));
        engine.write(vec![row(&[1], 10), row(&[2], 600), row(&[3], 600)]).unwrap();
        engine.write(vec![(vec![1], None)]).unwrap();
        engine.write(vec![row(&[1, 5], 1900)]).unwrap();
        let lengths: Vec<_> =
            [&[1][..], &[1, 5], &[2], &[3]].map(|key| engine.get(key).unwrap().map(|value| value.len())).into();
        assert_eq!(lengths, [None, Some(1900), Some(600), Some(600)]);
    }

    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    fn visited(view: &dyn RawView, from: &[u8], to: &[u8], order: Order, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut seen = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            seen.push((key.to_vec(), value.to_vec()));
            seen.len() < limit
        };
        view.range(from, to, order, &mut visit).unwrap();
        seen
    }

    fn expected(rows: &Rows, from: &[u8], to: &[u8], order: Order, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let inside = rows.range(from.to_vec()..to.to_vec()).map(|(key, value)| (key.clone(), value.clone()));
        match order {
            Order::Ascending => inside.take(limit).collect(),
            Order::Descending => inside.rev().take(limit).collect(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever comes, goes and changes, in whatever batches: rows are found one by one and in ranges of both orders, live
        /// as in a view that was frozen on the way, and after a close.
        #[test]
        fn bundled_rows_are_the_rows(
            batches in vec_of(vec_of((vec_of(0_u8..4, 1..5), proptest::option::of((any::<u8>(), 0_usize..900))), 1..80), 1..12),
            ranges in vec_of((vec_of(0_u8..5, 0..5), vec_of(0_u8..5, 1..5), 1_usize..40), 1..12),
            frozen_after in 0_usize..12,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut engine = SledEngine::open(dir.path()).unwrap();
            let mut rows = Rows::new();
            let mut frozen = None;
            let check = |view: &dyn RawView, rows: &Rows| {
                for (from, to, limit) in &ranges {
                    for order in [Order::Ascending, Order::Descending] {
                        if from < to {
                            assert_eq!(visited(view, from, to, order, *limit), expected(rows, from, to, order, *limit));
                        }
                        assert_eq!(view.get(to).unwrap().as_ref(), rows.get(to));
                    }
                }
            };
            for (number, batch) in batches.iter().enumerate() {
                let batch: BTreeMap<_, _> =
                    batch.iter().map(|(key, value)| (key.clone(), value.map(|(fill, length)| vec![fill; length]))).collect();
                for (key, value) in &batch {
                    match value {
                        Some(value) => drop(rows.insert(key.clone(), value.clone())),
                        None => drop(rows.remove(key)),
                    }
                }
                // Batches come in no order.
                engine.write(batch.into_iter().rev().collect()).unwrap();
                check(&engine, &rows);
                if number == frozen_after {
                    frozen = Some((engine.freeze().unwrap(), rows.clone()));
                }
                if let Some((view, rows)) = &frozen {
                    check(&**view, rows);
                }
            }
            for (key, value) in &rows {
                assert_eq!(engine.get(key).unwrap().as_ref(), Some(value));
            }
            drop(frozen);
            drop(engine);
            engine = SledEngine::open(dir.path()).unwrap();
            check(&engine, &rows);
        }
    }

    /// Rows as they lay before there were bundles: the caller rebuilds them from its snapshot and log.
    #[test]
    fn a_directory_of_the_earlier_layout_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let database = sled::Config::new().path(dir.path()).open().unwrap();
        database.insert([1], &[2]).unwrap();
        drop(database);
        assert!(matches!(SledEngine::open(dir.path()), Err(EngineError::EarlierLayout)));
    }
}
