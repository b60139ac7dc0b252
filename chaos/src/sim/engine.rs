//! A simulated engine of the state: rows in memory, of which a power cut keeps what was synced and perhaps some of the batches
//! after it. Sealing, counting, digests, CHECKPOINT and rebuilding are the product's, above it.

use plantao_domain::view::Order;
use plantao_node::storage::state::OpenEngine;
use plantao_node::storage::state::engine::{Engine, EngineError, RawBatch, RawView, Visit};
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// In each directory that was opened: its rows are known here. Gone with the directory, as an engine's files are.
const MARK: &str = "SIMULATED";

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Default)]
struct Contents {
    rows: Arc<Rows>,
    synced: Arc<Rows>,
    /// Written after the sync.
    since: Vec<RawBatch>,
}

fn write(rows: &mut Rows, batch: &RawBatch) {
    for (key, value) in batch {
        match value {
            Some(value) => drop(rows.insert(key.clone(), value.clone())),
            None => drop(rows.remove(key)),
        }
    }
}

type Shared = Arc<Mutex<Contents>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Contents> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The engine directories of one node. They outlive the node.
#[derive(Clone, Debug, Default)]
pub(crate) struct EngineDisk(Arc<Mutex<BTreeMap<PathBuf, Shared>>>);

impl EngineDisk {
    fn directories(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Shared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lose_power(&self, random: &mut StdRng) {
        for shared in self.directories().values() {
            let mut contents = lock(shared);
            let reached = random.random_range(0..=contents.since.len());
            let mut rows = (*contents.synced).clone();
            contents.since.iter().take(reached).for_each(|batch| write(&mut rows, batch));
            contents.rows = Arc::new(rows);
            contents.synced = Arc::clone(&contents.rows);
            contents.since.clear();
        }
    }

    /// Looks at every row as it is stored.
    pub(crate) fn contents(&self, mut look: impl FnMut(&[u8])) {
        for shared in self.directories().values() {
            lock(shared).rows.iter().for_each(|(key, value)| {
                look(key);
                look(value);
            });
        }
    }

    pub(crate) fn engines(&self) -> OpenEngine {
        let disk = self.clone();
        Arc::new(move |_, directory| Ok(Box::new(disk.open(directory)?) as Box<dyn Engine>))
    }

    fn open(&self, directory: &Path) -> Result<SimulatedEngine, EngineError> {
        let mark = directory.join(MARK);
        let mut directories = self.directories();
        if !mark.exists() {
            std::fs::write(&mark, b"").map_err(EngineError::fault)?;
            directories.insert(directory.to_owned(), Shared::default());
        }
        Ok(SimulatedEngine(Arc::clone(directories.entry(directory.to_owned()).or_default())))
    }
}

struct SimulatedEngine(Shared);

struct View(Arc<Rows>);

impl RawView for View {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        let range = self.0.range(from.to_vec()..to.to_vec());
        let mut see = |(key, value): (&Vec<u8>, &Vec<u8>)| visit(key, value);
        match order {
            Order::Ascending => drop(range.map(&mut see).take_while(|go_on| *go_on).count()),
            Order::Descending => drop(range.rev().map(&mut see).take_while(|go_on| *go_on).count()),
        }
        Ok(())
    }
}

impl SimulatedEngine {
    fn view(&self) -> View {
        View(Arc::clone(&lock(&self.0).rows))
    }
}

impl RawView for SimulatedEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.view().get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        self.view().range(from, to, order, visit)
    }
}

impl Engine for SimulatedEngine {
    fn write(&self, batch: RawBatch) -> Result<(), EngineError> {
        let mut contents = lock(&self.0);
        write(Arc::make_mut(&mut contents.rows), &batch);
        contents.since.push(batch);
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut contents = lock(&self.0);
        contents.synced = Arc::clone(&contents.rows);
        contents.since.clear();
        Ok(())
    }

    fn health(&self) -> Result<(), EngineError> {
        Ok(())
    }
}
