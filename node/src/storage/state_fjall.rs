//! The only file that names fjall: the engine of units. Versions are its own, so a frozen view is a snapshot of it.
//! Sealing, counting and trust never live here.

use super::fs::sync_dir;
use super::state::engine::{Engine, EngineError, RawBatch, RawView, Visit};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use plantao_domain::view::Order;
use std::fs;
use std::path::Path;

/// Block cache; with the memtables it bounds what the engine keeps in memory.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// Two of these may exist at once: one that is written and one that is being flushed.
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
/// The smallest that the engine takes.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Open table files.
const FILES_MAX: usize = 128;

pub(crate) struct FjallEngine {
    rows: Keyspace,
    database: Database,
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
        let options = || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes);
        let rows = database.keyspace("rows", options).map_err(EngineError::fault)?;
        sync_trees(dir)?;
        Ok(Self { rows, database })
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

fn visit_all(iter: fjall::Iter, order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
    let mut step = |guard: fjall::Guard| -> Result<bool, EngineError> {
        let (key, value) = guard.into_inner().map_err(EngineError::fault)?;
        Ok(visit(&key, &value))
    };
    match order {
        Order::Ascending => {
            for guard in iter {
                if !step(guard)? {
                    break;
                }
            }
        }
        Order::Descending => {
            for guard in iter.rev() {
                if !step(guard)? {
                    break;
                }
            }
        }
    }
    Ok(())
}

impl RawView for FjallEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.rows.get(key).map_err(EngineError::fault)?.map(|value| value.to_vec()))
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        visit_all(self.rows.range(from..to), order, visit)
    }
}

impl Engine for FjallEngine {
    fn write(&self, batch: RawBatch) -> Result<(), EngineError> {
        let mut write = self.database.batch();
        for (key, value) in batch {
            match value {
                Some(value) => write.insert(&self.rows, key, value),
                None => write.remove(&self.rows, key),
            }
        }
        write.commit().map_err(EngineError::fault)
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.database.persist(PersistMode::SyncAll).map_err(EngineError::fault)
    }

    fn freeze(&self) -> Result<Box<dyn RawView>, EngineError> {
        Ok(Box::new(FjallFrozen { snapshot: self.database.snapshot(), rows: self.rows.clone() }))
    }

    fn health(&self) -> Result<(), EngineError> {
        // The only question that a poisoned database answers with an error and that costs no disk write otherwise.
        self.database.persist(PersistMode::Buffer).map_err(EngineError::fault)
    }
}

struct FjallFrozen {
    snapshot: Snapshot,
    rows: Keyspace,
}

impl RawView for FjallFrozen {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.snapshot.get(&self.rows, key).map_err(EngineError::fault)?.map(|value| value.to_vec()))
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        visit_all(self.snapshot.range(&self.rows, from..to), order, visit)
    }
}
