//! The only file that names sled: the engine of the off-site node. Two things that it lacks are added here: a sync that
//! reaches the disk (its flush never calls fsync), and room for small rows, which lie in bundles (decision 0038) and wait for
//! each other (0042). Sealing, counting and trust never live here.
//!
//! ```text
//! SledEngine     rows, as the rails above know them
//!   ├ Pending       what was written lately
//!   └ Bundles       a row is in the last bundle whose key is not above its own
//!       └ sled::Tree   each bundle under the key that its first row had when it was made
//! ```

use super::state::engine::{Engine, EngineError, RawBatch, RawView, Visit};
use bundles::Bundles;
use pending::{Known, Pending};
use plantao_domain::view::Order;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

mod bundle;
mod bundles;
mod pending;

/// Name of the tree. Before there were bundles, rows lay in sled's own tree, which has no name.
const TREE: &str = "bundles";
/// Page cache.
const CACHE_BYTES: u64 = 20 * 1024 * 1024;
/// What waits to be written into bundles, at most. A batch of bundles takes tens of times as much while it is written.
const PENDING_BYTES: usize = 512 * 1024;
/// Bundles whose replaced pages one collection frees with room to spare (decision 0036).
const BUNDLES_PER_COLLECTION: usize = 32;

pub(crate) struct SledEngine {
    database: sled::Db,
    tree: sled::Tree,
    /// Held for a whole `get` or `range`: what leaves it is in the tree before it is let go.
    pending: RwLock<Pending>,
    dir: PathBuf,
}

impl SledEngine {
    /// Opens or creates the engine in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, EngineError> {
        Self::open_with(dir, PENDING_BYTES)
    }

    /// [`SledEngine::open`] with another bound for what waits: tests want bundles from few rows.
    pub(crate) fn open_with(dir: &Path, pending_bytes: usize) -> Result<Self, EngineError> {
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
        Ok(Self { database, tree, pending: RwLock::new(Pending::new(pending_bytes)), dir: dir.to_owned() })
    }

    /// Writes what waits, all of it or nothing.
    fn settle(&self, pending: &mut Pending) -> Result<(), EngineError> {
        let changes = pending.take();
        if changes.is_empty() {
            return Ok(());
        }
        let batch = self.tree.changed(&changes)?;
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
}

/// A close writes what waits, so that the next start has less to apply again. Whether it did is seen there, by count and digest.
impl Drop for SledEngine {
    fn drop(&mut self) {
        // After a panic the last batch may be there in part.
        if let Ok(mut pending) = self.pending.write() {
            let _ = self.settle(&mut pending);
        }
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
        let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
        match pending.get(key) {
            Some(Known::Put(value)) => Ok(Some(value.to_vec())),
            Some(Known::Deleted) => Ok(None),
            None => self.tree.row(key),
        }
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
        pending.over((from, to), order, |rows| self.tree.rows(from, to, order, rows), visit)
    }
}

impl Engine for SledEngine {
    fn write(&self, batch: RawBatch) -> Result<(), EngineError> {
        let mut pending = self.pending.write().unwrap_or_else(PoisonError::into_inner);
        batch.into_iter().for_each(|change| pending.note(change));
        if pending.is_full() { self.settle(&mut pending) } else { Ok(()) }
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.settle(&mut self.pending.write().unwrap_or_else(PoisonError::into_inner))?;
        self.database.flush().map_err(EngineError::fault)?;
        // Its flush ends in sync_file_range, which writes neither metadata nor the disk's own cache.
        for name in ["db", "conf"] {
            File::open(self.dir.join(name)).and_then(|file| file.sync_all()).map_err(io_fault)?;
        }
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io_fault)
    }

    fn health(&self) -> Result<(), EngineError> {
        // A fault in one of its threads comes back from the next write or flush; this shows that it still reads.
        self.tree.get([]).map(drop).map_err(EngineError::fault)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::collection::vec as vec_of;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A bundle may begin with a later row than its key says. What comes between must not take its place.
    #[test]
    fn a_row_before_the_first_of_its_bundle_pushes_nothing_out() {
        let dir = tempfile::tempdir().unwrap();
        let engine = SledEngine::open_with(dir.path(), 0).unwrap();
        let row = |key: &[u8], length: usize| (key.to_vec(), Some(vec![7; length]));
        engine.write(vec![row(&[1], 10), row(&[2], 600), row(&[3], 600)]).unwrap();
        engine.write(vec![(vec![1], None)]).unwrap();
        engine.write(vec![row(&[1, 5], 1900)]).unwrap();
        let lengths: Vec<_> =
            [&[1][..], &[1, 5], &[2], &[3]].map(|key| engine.get(key).unwrap().map(|value| value.len())).into();
        assert_eq!(lengths, [None, Some(1900), Some(600), Some(600)]);
    }

    /// sled's threads let a directory go a moment after its engine was dropped.
    fn reopened(dir: &Path, pending_bytes: usize) -> SledEngine {
        for _ in 0..2_000 {
            match SledEngine::open_with(dir, pending_bytes) {
                Err(EngineError::Busy) => std::thread::sleep(std::time::Duration::from_millis(5)),
                opened => return opened.unwrap(),
            }
        }
        panic!("the directory stays in use");
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

        /// Whatever comes, goes and changes, in whatever batches: rows are found one by one and in ranges of both orders, whether
        /// they wait or lie in bundles, and after a close too.
        #[test]
        fn bundled_rows_are_the_rows(
            batches in vec_of(vec_of((vec_of(0_u8..4, 1..5), proptest::option::of((any::<u8>(), 0_usize..900))), 1..80), 1..12),
            ranges in vec_of((vec_of(0_u8..5, 0..5), vec_of(0_u8..5, 1..5), 1_usize..40), 1..12),
            pending_bytes in prop_oneof![Just(0), 1_usize..20_000],
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut engine = SledEngine::open_with(dir.path(), pending_bytes).unwrap();
            let mut rows = Rows::new();
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
            for batch in &batches {
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
            }
            for (key, value) in &rows {
                assert_eq!(engine.get(key).unwrap().as_ref(), Some(value));
            }
            engine.sync().unwrap();
            check(&engine, &rows);
            drop(engine);
            engine = reopened(dir.path(), pending_bytes);
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
