//! The rails above an engine: sealing, splitting, counting, the content digest, the meta row in the same batch, poison
//! after a fault, frozen views, installation by a fresh directory. No engine is named here.
//!
//! ```text
//! locks, in this order:  applies (one writer) ─► checkpoint (CHECKPOINT file) ─► live (rows + meta of one index)
//! ```
//! Readers hold `live` shared for one call, an apply holds it exclusively for the engine's write alone, so no reader
//! ever sees half a batch, or the head of a long row with the parts of another version.

use super::cache::RowCache;
use super::engine::{RawBatch, RawView, guarded};
use super::fill::{self, Cell, OpenEngine};
use super::past::{KEPT_BYTES_MAX, Past};
use super::rows::{self, view_fault};
use super::windows::WindowCache;
use super::{
    Batch, EngineKind, EntryId, Error, Frozen, MEMBERSHIP_BYTES_MAX, RowSource, StateMeta, StateStore, digest,
};
use crate::storage::checkpoint::{Checkpoint, Record};
use crate::storage::fs::write_durably;
use crate::storage::row_seal::RowSeal;
use plantao_domain::planted::{Bug, planted};
use plantao_domain::rows::is_put_once;
use plantao_domain::view::{Order, Row};
use plantao_domain::{View, ViewFault};
use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

/// Its presence tells the next start not to trust the directory, whatever a scan says.
pub(crate) const DISTRUST: &str = "DISTRUST";

/// The one flag that a fault sets, shared with frozen views.
pub(crate) struct Poison {
    set: AtomicBool,
    distrust: PathBuf,
}

impl Poison {
    fn check(&self) -> Result<(), Error> {
        if self.set.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// Passes a result on; a fatal one stops the store.
    fn note<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result
            && error.is_fatal()
            && !self.set.swap(true, Ordering::AcqRel)
            && matches!(error, Error::Panicked { .. } | Error::Damaged { .. })
        {
            // Best effort: without the mark the next start still verifies every row.
            let _ = write_durably(&self.distrust, b"");
        }
        result
    }
}

struct Live {
    cell: Arc<Cell>,
    meta: Arc<StateMeta>,
    /// Frozen views of this cell.
    views: Vec<Weak<Mutex<Past>>>,
}

impl Live {
    fn new(cell: Cell, meta: StateMeta) -> Self {
        Self { cell: Arc::new(cell), meta: Arc::new(meta), views: Vec::new() }
    }

    fn is_watched(&self) -> bool {
        self.views.iter().any(|view| view.strong_count() > 0)
    }
}

/// A row that changes, and what it was.
type Before = (Vec<u8>, Option<Vec<u8>>);

/// What a batch makes of rows and meta.
struct Prepared {
    writes: RawBatch,
    next: StateMeta,
    before: Vec<Before>,
}

/// See the module.
pub(crate) struct SealedState {
    dir: PathBuf,
    kind: EngineKind,
    seal: Arc<dyn RowSeal>,
    open: OpenEngine,
    poison: Arc<Poison>,
    applies: Mutex<()>,
    checkpoint: Mutex<Checkpoint>,
    live: Arc<RwLock<Live>>,
    /// What `live` holds, as far as it was read. Noted under its shared lock, changed under its exclusive one.
    cache: RowCache,
    /// The same for marks that are searched for neighbours.
    windows: WindowCache,
}

impl SealedState {
    /// Takes an engine that was verified, or filled, to hold exactly `meta`.
    pub(crate) fn new(
        dir: &Path,
        kind: EngineKind,
        seal: Arc<dyn RowSeal>,
        open: OpenEngine,
        checkpoint: Checkpoint,
        (cell, meta): (Cell, StateMeta),
    ) -> Self {
        Self {
            dir: dir.to_owned(),
            kind,
            seal,
            open,
            poison: Arc::new(Poison { set: AtomicBool::new(false), distrust: dir.join(DISTRUST) }),
            applies: Mutex::default(),
            checkpoint: Mutex::new(checkpoint),
            live: Arc::new(RwLock::new(Live::new(cell, meta))),
            cache: RowCache::new(),
            windows: WindowCache::new(),
        }
    }

    fn live(&self) -> (Arc<Cell>, Arc<StateMeta>) {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&live.cell), Arc::clone(&live.meta))
    }

    /// Rows and meta after a batch, as they go to the engine. Nothing but an apply changes rows, and applies are one at
    /// a time, so what is read here is still there when it is written.
    fn prepare(&self, raw: &dyn RawView, meta: &StateMeta, batch: &Batch, is_watched: bool) -> Result<Prepared, Error> {
        let applied = meta.applied.map(|entry| entry.index);
        if let Some(applied) = applied.filter(|applied| *applied >= batch.applied.index) {
            return Err(Error::OutOfOrder { applied, offered: batch.applied.index });
        }
        if let Some(membership) = batch.membership.as_ref().filter(|bytes| bytes.len() > MEMBERSHIP_BYTES_MAX) {
            return Err(Error::TooLong { bytes: membership.len(), limit: MEMBERSHIP_BYTES_MAX });
        }
        for (key, value) in &batch.changes {
            fill::check_row(key, value.as_deref())?;
        }
        let mut next = StateMeta {
            applied: Some(batch.applied),
            membership: batch.membership.clone().unwrap_or_else(|| meta.membership.clone()),
            chain: batch.chain,
            last_time: batch.last_time,
            ..*meta
        };
        let mut writes = RawBatch::with_capacity(batch.changes.len() + 2);
        let mut before = Vec::new();
        for (key, value) in &batch.changes {
            let old = if value.is_some() && is_put_once(key) { None } else { self.before(raw, key)? };
            if old == *value {
                continue;
            }
            if let Some(old) = &old {
                next.rows = next.rows.checked_sub(1).ok_or(Error::Damaged { prefix: 0 })?;
                digest::remove(&mut next.content, key, old);
            }
            if let Some(value) = value {
                next.rows += 1;
                if !planted(Bug::DigestForgotten) {
                    digest::add(&mut next.content, key, value);
                }
            }
            rows::put(&mut writes, &*self.seal, key, value.as_deref(), old.as_ref().map(Vec::len));
            if is_watched {
                before.push((key.clone(), old));
            }
        }
        fill::put_meta(&mut writes, &*self.seal, &next, batch.membership.is_some());
        Ok(Prepared { writes, next, before })
    }

    /// What a row was.
    fn before(&self, raw: &dyn RawView, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.cache.get(key) {
            Some(known) => Ok(known),
            None => rows::get(raw, &*self.seal, key),
        }
    }

    fn replace(&self, meta: &StateMeta, source: &mut dyn RowSource) -> Result<(), Error> {
        let _one = self.applies.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, current) = self.live();
        let index = |meta: &StateMeta| meta.applied.map(|entry| entry.index);
        if index(&current) > index(meta) {
            return Err(Error::OutOfOrder {
                applied: index(&current).unwrap_or_default(),
                offered: index(meta).unwrap_or_default(),
            });
        }
        let lock = || self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        // Only an install changes the generation, and installs hold `applies`.
        let old = lock().record().clone();
        let generation = old.generation.saturating_add(1);
        let dir = fill::generation_dir(&self.dir, generation);
        // Up to here a fault leaves the old rows untouched, so it does not poison them.
        let cell = fill::fill(&self.open, self.kind, dir, &*self.seal, meta, source)?;
        let record = Record { owner: old.owner, engine: self.kind, generation, meta: meta.clone() };
        // This one write is the swap: before it a start takes the old directory, after it the new one.
        let mut checkpoint = lock();
        self.poison.note(checkpoint.write(record).map_err(Error::File))?;
        let next = Live::new(cell, meta.clone());
        let previous = {
            let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
            self.cache.clear();
            self.windows.clear();
            std::mem::replace(&mut *live, next)
        };
        previous.cell.retire();
        Ok(())
    }
}

impl View for SealedState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewFault> {
        self.poison.check().map_err(view_fault)?;
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        GuardedView::new(self, &live).get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Vec<Row>, ViewFault> {
        self.poison.check().map_err(view_fault)?;
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        GuardedView::new(self, &live).range(from, to, order, limit)
    }
}

impl StateStore for SealedState {
    fn apply(&self, batch: &Batch) -> Result<(), Error> {
        self.poison.check()?;
        let _one = self.applies.lock().unwrap_or_else(PoisonError::into_inner);
        let (cell, meta) = self.live();
        let is_watched = self.live.read().unwrap_or_else(PoisonError::into_inner).is_watched();
        let prepared = self.prepare(cell.engine(), &meta, batch, is_watched);
        let Prepared { mut writes, next, before } = self.poison.note(prepared)?;
        if planted(Bug::BatchTorn) && batch.applied.index.is_multiple_of(64) {
            writes.remove(0);
        }
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.views.retain(|view| view.strong_count() > 0);
        for view in live.views.iter().filter_map(Weak::upgrade) {
            let mut view = view.lock().unwrap_or_else(PoisonError::into_inner);
            before.iter().for_each(|(key, old)| view.keep(key, old.as_deref()));
        }
        // Before the engine: whatever it says then, nothing is read any more that was not written.
        if !planted(Bug::RowCacheStale) {
            self.cache.write(&batch.changes);
        }
        if !planted(Bug::WindowCacheStale) {
            self.windows.write(&batch.changes);
        }
        self.poison.note(guarded("write", || cell.engine().write(writes)))?;
        live.meta = Arc::new(next);
        Ok(())
    }

    fn meta(&self) -> Arc<StateMeta> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner).meta)
    }

    fn read(&self, reader: &mut dyn FnMut(&dyn View, &StateMeta)) {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        reader(&GuardedView::new(self, &live), &live.meta);
    }

    fn checkpoint(&self) -> Result<Arc<StateMeta>, Error> {
        self.poison.check()?;
        let mut checkpoint = self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let (cell, meta) = self.live();
        if !planted(Bug::CheckpointUnsynced) {
            self.poison.note(guarded("sync", || cell.engine().sync()))?;
        }
        let record = Record { meta: (*meta).clone(), ..checkpoint.record().clone() };
        self.poison.note(checkpoint.write(record).map_err(Error::File))?;
        Ok(meta)
    }

    fn checkpointed(&self) -> Option<EntryId> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).record().meta.applied
    }

    fn freeze(&self) -> Result<Box<dyn Frozen>, Error> {
        self.poison.check()?;
        // No apply in between: the view has to be told of each change that its first look does not see.
        let _one = self.applies.lock().unwrap_or_else(PoisonError::into_inner);
        let (cell, meta) = self.live();
        let past = self.poison.note(Past::begin(cell.engine(), &*self.seal, KEPT_BYTES_MAX))?;
        let past = Arc::new(Mutex::new(past));
        self.live.write().unwrap_or_else(PoisonError::into_inner).views.push(Arc::downgrade(&past));
        let (live, seal, poison) = (Arc::clone(&self.live), Arc::clone(&self.seal), Arc::clone(&self.poison));
        Ok(Box::new(FrozenState { past, live, cell, meta, seal, poison, ahead: VecDeque::new() }))
    }

    fn install(&self, meta: &StateMeta, rows: &mut dyn RowSource) -> Result<(), Error> {
        self.poison.check()?;
        self.replace(meta, rows)
    }

    fn health(&self) -> Result<(), Error> {
        self.poison.check()?;
        let (cell, _) = self.live();
        self.poison.note(guarded("work", || cell.engine().health()))
    }
}

/// The rows at one index, for as long as `live` is held: what was read lately from memory, and a fault stops the store.
struct GuardedView<'a> {
    raw: &'a dyn RawView,
    store: &'a SealedState,
}

impl<'a> GuardedView<'a> {
    fn new(store: &'a SealedState, live: &'a Live) -> Self {
        Self { raw: live.cell.engine(), store }
    }
}

impl View for GuardedView<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewFault> {
        let Self { raw, store } = *self;
        store.poison.check().map_err(view_fault)?;
        if let Some(known) = store.cache.get(key) {
            return Ok(known);
        }
        let value = store.poison.note(rows::get(raw, &*store.seal, key)).map_err(view_fault)?;
        store.cache.note(key, value.as_deref());
        Ok(value)
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Vec<Row>, ViewFault> {
        let Self { raw, store } = *self;
        store.poison.check().map_err(view_fault)?;
        let read =
            |bounds: (&[u8], &[u8]), order, limit| rows::range(raw, &*store.seal, bounds, order, limit, usize::MAX);
        let load = |window: Range<&[u8]>, limit| read((window.start, window.end), Order::Ascending, limit);
        let rows = match store.windows.range(from..to, order, limit, load) {
            Some(rows) => rows,
            None => read((from, to), order, limit),
        };
        store.poison.note(rows).map_err(view_fault)
    }
}

struct FrozenState {
    past: Arc<Mutex<Past>>,
    /// Held shared for a step: no apply writes meanwhile.
    live: Arc<RwLock<Live>>,
    cell: Arc<Cell>,
    meta: Arc<StateMeta>,
    seal: Arc<dyn RowSeal>,
    poison: Arc<Poison>,
    /// Rows of the last step that are in no part yet.
    ahead: VecDeque<Row>,
}

impl FrozenState {
    fn next(&mut self) -> Result<Option<Row>, Error> {
        if self.ahead.is_empty() {
            let _live = self.live.read().unwrap_or_else(PoisonError::into_inner);
            let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
            self.ahead = self.poison.note(past.step(self.cell.engine(), &*self.seal))?.into();
        }
        Ok(self.ahead.pop_front())
    }
}

impl Frozen for FrozenState {
    fn meta(&self) -> &Arc<StateMeta> {
        &self.meta
    }

    fn part(&mut self, bytes_max: usize) -> Result<Vec<Row>, Error> {
        let (mut rows, mut bytes) = (Vec::new(), 0_usize);
        while bytes < bytes_max || rows.is_empty() {
            let Some((key, value)) = self.next()? else { break };
            bytes = bytes.saturating_add(key.len() + value.len());
            rows.push((key, value));
        }
        Ok(rows)
    }
}

/// The rows of a frozen view as a source.
pub(crate) struct FrozenRows<'a> {
    frozen: &'a mut dyn Frozen,
    bytes_max: usize,
}

impl<'a> FrozenRows<'a> {
    pub(crate) fn new(frozen: &'a mut dyn Frozen, bytes_max: usize) -> Self {
        Self { frozen, bytes_max }
    }
}

impl RowSource for FrozenRows<'_> {
    fn next_rows(&mut self) -> Result<Vec<Row>, Error> {
        self.frozen.part(self.bytes_max)
    }
}
