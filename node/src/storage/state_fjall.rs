//! The only file that names fjall: the engine of units. Sealing, counting and trust never live here.
//!
//! The keys are cut into ranges with a tree each (decision 0037). Most rows come in the order of their keys, kind by kind:
//! a table of one kind lies behind those before it and is moved down as it is, where a table of all kinds overlaps every
//! other and is merged again and again.

use super::fs::sync_dir;
use super::keyspaces::RANGES;
use super::state::engine::{Engine, EngineError, RawBatch, RawView, Visit};
use fjall::compaction::Leveled;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use plantao_domain::view::Order;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Block cache; with the memtables it bounds what the engine keeps in memory.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// Of one tree; two of these may exist at once, one that is written and one that is being flushed.
const MEMTABLE_BYTES: u64 = 2 * 1024 * 1024;
/// One table. The engine's own 64 MiB make merges that keep its one thread from writing memtables out. Tables that come behind
/// each other overlap a little where programs wrote at once, and a whole table is written again for that.
const TABLE_BYTES: u64 = 4 * 1024 * 1024;
/// New tables that are merged at once.
const NEW_TABLES: u8 = 8;
/// All memtables together; beyond it a write waits for the engine's thread, but never longer than `WAITS_MAX` steps.
const MEMTABLES_BYTES_MAX: u64 = 32 * 1024 * 1024;
const WAIT: Duration = Duration::from_millis(10);
const WAITS_MAX: usize = 100;
/// The smallest that the engine takes.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Open table files.
const FILES_MAX: usize = 256;

/// Name of the one tree that there was before keys were cut into ranges.
const EARLIER: &str = "rows";

pub(crate) struct FjallEngine {
    trees: Trees,
    database: Database,
}

/// The trees in the order of their keys, each with the first byte that its keys begin with at least.
#[derive(Clone)]
struct Trees(Arc<[(u8, Keyspace)]>);

impl Trees {
    /// The tree of a key.
    fn of(&self, key: &[u8]) -> &Keyspace {
        let first = key.first().copied().unwrap_or_default();
        let after = self.0.partition_point(|(from, _)| *from <= first);
        &self.0[after.saturating_sub(1)].1
    }

    /// Visits a range tree by tree; `range` reads it in one.
    fn visit(
        &self,
        (from, to): (&[u8], &[u8]),
        order: Order,
        visit: Visit<'_>,
        range: impl Fn(&Keyspace) -> fjall::Iter,
    ) -> Result<(), EngineError> {
        let first = self.0.partition_point(|(start, _)| [*start].as_slice() <= from).saturating_sub(1);
        let end = self.0.partition_point(|(start, _)| [*start].as_slice() < to).max(first);
        let mut trees = self.0[first..end].iter();
        while let Some((_, tree)) = match order {
            Order::Ascending => trees.next(),
            Order::Descending => trees.next_back(),
        } {
            if !visit_all(range(tree), order, visit)? {
                break;
            }
        }
        Ok(())
    }
}

impl FjallEngine {
    /// Opens or creates the engine in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, EngineError> {
        Self::open_with(dir, MEMTABLE_BYTES)
    }

    /// [`FjallEngine::open`] with another memtable: tests want table files from few rows.
    pub(crate) fn open_with(dir: &Path, memtable_bytes: u64) -> Result<Self, EngineError> {
        let database = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .max_cached_files(Some(FILES_MAX))
            .worker_threads(1)
            .open()
            .map_err(|error| match error {
                fjall::Error::Locked => EngineError::Busy,
                other => EngineError::fault(other),
            })?;
        if database.keyspace_exists(EARLIER) {
            return Err(EngineError::EarlierLayout);
        }
        let strategy = Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES).with_l0_threshold(NEW_TABLES));
        let options =
            || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes).compaction_strategy(strategy.clone());
        let tree = |from: &u8| Ok((*from, database.keyspace(&format!("rows-{from:02x}"), options)?));
        let trees = RANGES.iter().map(tree).collect::<fjall::Result<_>>().map_err(EngineError::fault)?;
        sync_trees(dir)?;
        Ok(Self { trees: Trees(trees), database })
    }

    /// The engine slows writes down by what it has still to merge, not by what it still holds in memory.
    fn wait_for_memtables(&self) {
        for _ in 0..WAITS_MAX {
            if self.database.write_buffer_size() <= MEMTABLES_BYTES_MAX {
                break;
            }
            thread::sleep(WAIT);
        }
    }
}

/// The engine syncs what is in the directory of a tree, and never the one that has its name: a power cut could take the whole tree.
fn sync_trees(dir: &Path) -> Result<(), EngineError> {
    for entry in fs::read_dir(dir).map_err(EngineError::fault)? {
        let path = entry.map_err(EngineError::fault)?.path();
        if path.is_dir() {
            sync_dir(&path).map_err(EngineError::fault)?;
        }
    }
    sync_dir(dir).map_err(EngineError::fault)
}

/// Whether the visitor wants more.
fn visit_all(mut iter: fjall::Iter, order: Order, visit: Visit<'_>) -> Result<bool, EngineError> {
    while let Some(guard) = match order {
        Order::Ascending => iter.next(),
        Order::Descending => iter.next_back(),
    } {
        let (key, value) = guard.into_inner().map_err(EngineError::fault)?;
        if !visit(&key, &value) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl RawView for FjallEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.trees.of(key).get(key).map_err(EngineError::fault)?.map(|value| value.to_vec()))
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        self.trees.visit((from, to), order, visit, |tree| tree.range(from..to))
    }
}

impl Engine for FjallEngine {
    fn write(&self, batch: RawBatch) -> Result<(), EngineError> {
        let mut write = self.database.batch();
        for (key, value) in batch {
            let tree = self.trees.of(&key);
            match value {
                Some(value) => write.insert(tree, key, value),
                None => write.remove(tree, key),
            }
        }
        write.commit().map_err(EngineError::fault)?;
        self.wait_for_memtables();
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.database.persist(PersistMode::SyncAll).map_err(EngineError::fault)
    }

    fn health(&self) -> Result<(), EngineError> {
        // The only question that a poisoned database answers with an error and that costs no disk write otherwise.
        self.database.persist(PersistMode::Buffer).map_err(EngineError::fault)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn visited(view: &dyn RawView, from: &[u8], to: &[u8], order: Order, limit: usize) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            seen.push(key.to_vec());
            seen.len() < limit
        };
        view.range(from, to, order, &mut visit).unwrap();
        seen
    }

    /// A range over the edges of trees must be one range, in both orders, wherever it begins, ends or is cut off.
    #[test]
    fn a_range_over_trees_is_whole_in_both_directions() {
        let dir = tempfile::tempdir().unwrap();
        let engine = FjallEngine::open(dir.path()).unwrap();
        let keys: Vec<Vec<u8>> = (0..=0xF0_u8).flat_map(|first| [vec![first], vec![first, 7]]).collect();
        engine.write(keys.iter().map(|key| (key.clone(), Some(vec![1]))).collect()).unwrap();
        engine.write(keys.iter().step_by(3).map(|key| (key.clone(), None)).collect()).unwrap();
        let left: Vec<_> = (0..keys.len()).filter(|at| at % 3 != 0).map(|at| keys[at].clone()).collect();
        let edges: Vec<Vec<u8>> =
            RANGES.iter().flat_map(|from| [vec![*from], vec![*from, 7], vec![from.saturating_sub(1), 8]]).collect();
        for (from, to) in edges.iter().flat_map(|from| edges.iter().map(move |to| (from, to))) {
            if from >= to {
                continue;
            }
            for limit in [1, 5, usize::MAX] {
                let inside = left.iter().filter(|key| *key >= from && *key < to).cloned();
                let ascending: Vec<_> = inside.clone().take(limit).collect();
                assert_eq!(visited(&engine, from, to, Order::Ascending, limit), ascending, "{from:?} {to:?}");
                let descending: Vec<_> = inside.rev().take(limit).collect();
                assert_eq!(visited(&engine, from, to, Order::Descending, limit), descending, "{from:?} {to:?}");
            }
        }
    }

    /// The engine's thread merges and writes out, one after the other: while it merges, memory must not grow without end.
    #[test]
    fn writes_wait_for_memory_that_is_not_written_out_yet() {
        let dir = tempfile::tempdir().unwrap();
        let engine = FjallEngine::open(dir.path()).unwrap();
        for round in 0..64_u64 {
            let row = |n: u64| ([&[0x51][..], &round.to_be_bytes(), &n.to_be_bytes()].concat(), Some(vec![1; 4096]));
            engine.write((0..1024).map(row).collect()).unwrap();
            assert!(engine.database.write_buffer_size() <= MEMTABLES_BYTES_MAX);
        }
    }

    /// Rows as they lay in one tree: the caller rebuilds them from its snapshot and log.
    #[test]
    fn a_directory_of_the_earlier_layout_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::builder(dir.path()).open().unwrap();
        database.keyspace(EARLIER, KeyspaceCreateOptions::default).unwrap().insert([1], [2]).unwrap();
        drop(database);
        assert!(matches!(FjallEngine::open(dir.path()), Err(EngineError::EarlierLayout)));
    }
}
