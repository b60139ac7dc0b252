//! A whole engine directory at once: filling a fresh one, and verifying one that was found. What to do about a bad one
//! is decided in `rebuild`.

use super::engine::{Engine, EngineError, RawBatch, RawView, guarded};
use super::{EngineKind, Error, ROW_BYTES_MAX, RowSource, StateMeta, digest, meta, rows};
use crate::storage::fs::{FsError, create_dir_durably, sync_dir};
use crate::storage::keyspaces::{self, DOMAIN_FROM, DOMAIN_TO, is_domain_key};
use crate::storage::row_seal::RowSeal;
use plantao_domain::view::{Order, Row};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a directory that is in use is waited for: a process that is being forked elsewhere shares the lock for a
/// moment, and an engine's last thread may outlive its handle by one.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(5);
const BUSY_STEP: Duration = Duration::from_millis(20);

/// Opens the engine of a kind in a directory.
pub type OpenEngine = Arc<dyn Fn(EngineKind, &Path) -> Result<Box<dyn Engine>, EngineError> + Send + Sync>;

/// The engines as they are.
pub fn engines() -> OpenEngine {
    Arc::new(|kind, dir| {
        Ok(match kind {
            EngineKind::Fjall => Box::new(crate::storage::state_fjall::FjallEngine::open(dir)?) as Box<dyn Engine>,
            EngineKind::Sled => Box::new(crate::storage::state_sled::SledEngine::open(dir)?),
        })
    })
}

/// An open engine and its directory, which goes away with the last user once it is retired.
pub(crate) struct Cell {
    engine: Option<Box<dyn Engine>>,
    dir: PathBuf,
    retired: AtomicBool,
}

impl Cell {
    pub(crate) fn open(open: &OpenEngine, kind: EngineKind, dir: PathBuf) -> Result<Self, Error> {
        let started = Instant::now();
        let engine = loop {
            match guarded("open", || open(kind, &dir)) {
                Err(Error::Busy) if started.elapsed() < BUSY_WAIT_MAX => thread::sleep(BUSY_STEP),
                result => break result?,
            }
        };
        Ok(Self { engine: Some(engine), dir, retired: AtomicBool::new(false) })
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        self.engine.as_deref().expect("taken in drop only")
    }

    /// The directory is removed when nobody reads it any more.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        let engine = self.engine.take();
        // Closing flushes, and a damaged engine can panic there too.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(engine)));
        if self.retired.load(Ordering::Acquire) {
            // What stays behind is removed at the next start.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Directory of a generation.
pub(crate) fn generation_dir(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("gen-{generation:016}"))
}

/// The rows that carry the meta.
pub(crate) fn put_meta(batch: &mut RawBatch, seal: &dyn RowSeal, state: &StateMeta, with_membership: bool) {
    let key = keyspaces::META;
    batch.push((key.to_vec(), Some(seal.seal(key, &meta::encode(state)))));
    if with_membership {
        let key = keyspaces::MEMBERSHIP;
        batch.push((key.to_vec(), Some(seal.seal(key, &state.membership))));
    }
}

/// Reads the meta rows back.
pub(crate) fn read_meta(raw: &dyn RawView, seal: &dyn RowSeal) -> Result<StateMeta, Error> {
    let row = |key: &[u8]| {
        let sealed = guarded("read", || raw.get(key))?.ok_or(Error::Damaged { prefix: 0 })?;
        seal.open(key, &sealed).map_err(|_| Error::Damaged { prefix: 0 })
    };
    meta::decode(&row(keyspaces::META)?, &row(keyspaces::MEMBERSHIP)?).ok_or(Error::Damaged { prefix: 0 })
}

/// Refuses what no batch and no snapshot may hold.
pub(crate) fn check_row(key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
    if !is_domain_key(key) {
        return Err(Error::Key { first: key.first().copied().unwrap_or_default(), length: key.len() });
    }
    match value.map_or(0, <[u8]>::len) {
        bytes if bytes > ROW_BYTES_MAX => Err(Error::TooLong { bytes, limit: ROW_BYTES_MAX }),
        _ => Ok(()),
    }
}

/// Fills a fresh engine in `dir` with `source` and makes it durable. On an error, and when the rows are not those that
/// `state` speaks of, the directory is removed again.
pub(crate) fn fill(
    open: &OpenEngine,
    kind: EngineKind,
    dir: PathBuf,
    seal: &dyn RowSeal,
    state: &StateMeta,
    source: &mut dyn RowSource,
) -> Result<Cell, Error> {
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(|source| FsError::Io { operation: "remove", path: dir.clone(), source })?;
    }
    create_dir_durably(&dir)?;
    let cell = Cell::open(open, kind, dir)?;
    match fill_open(&cell, seal, state, source) {
        Ok(()) => Ok(cell),
        Err(error) => {
            cell.retire();
            Err(error)
        }
    }
}

fn fill_open(cell: &Cell, seal: &dyn RowSeal, state: &StateMeta, source: &mut dyn RowSource) -> Result<(), Error> {
    let engine = cell.engine();
    let mut count = 0_u64;
    let mut content = digest::EMPTY;
    let mut last: Option<Vec<u8>> = None;
    loop {
        let rows = source.next_rows()?;
        if rows.is_empty() {
            break;
        }
        let mut batch = RawBatch::new();
        for (key, value) in &rows {
            check_row(key, Some(value))?;
            if last.as_ref().is_some_and(|last| last >= key) {
                return Err(Error::SnapshotMismatch);
            }
            last = Some(key.clone());
            count += 1;
            digest::add(&mut content, key, value);
            rows::put(&mut batch, seal, key, Some(value), None);
        }
        guarded("write", || engine.write(batch))?;
    }
    if count != state.rows || content != state.content {
        return Err(Error::SnapshotMismatch);
    }
    let mut batch = RawBatch::new();
    put_meta(&mut batch, seal, state, true);
    guarded("write", || engine.write(batch))?;
    guarded("sync", || engine.sync())?;
    Ok(sync_dir(&cell.dir)?)
}

/// What a scan of all rows gave.
pub(crate) struct Scan {
    pub(crate) meta: StateMeta,
    pub(crate) rows: u64,
    pub(crate) content: [u8; 32],
}

/// Reads everything once: the meta, each row with its parts, their count and digest. The caller compares.
pub(crate) fn scan(engine: &dyn Engine, seal: &dyn RowSeal) -> Result<Scan, Error> {
    let meta = read_meta(engine, seal)?;
    let mut found = Scan { meta, rows: 0, content: digest::EMPTY };
    let mut fault = None;
    let mut last: Option<Vec<u8>> = None;
    guarded("read", || {
        engine.range(DOMAIN_FROM, DOMAIN_TO, Order::Ascending, &mut |key, stored| {
            // A damaged engine has been seen to give one key twice, or keys out of order.
            if last.as_deref().is_some_and(|last| last >= key) {
                fault = Some(Error::Damaged { prefix: key.first().copied().unwrap_or_default() });
                return false;
            }
            match rows::open(engine, seal, key, stored) {
                Ok(value) => {
                    found.rows += 1;
                    digest::add(&mut found.content, key, &value);
                    last = Some(key.to_vec());
                    true
                }
                Err(error) => {
                    fault = Some(error);
                    false
                }
            }
        })
    })?;
    fault.map_or(Ok(found), Err)
}

/// No rows.
pub(crate) struct NoRows;

impl RowSource for NoRows {
    fn next_rows(&mut self) -> Result<Vec<Row>, Error> {
        Ok(Vec::new())
    }
}
