//! Engines that fail, panic, forget and lie; directories that are gone, foreign or put together from parts.

use super::*;
use crate::storage::rebuild::Distrust;
use crate::storage::state::engine::{Engine, EngineError, RawBatch, RawView, Visit};
use crate::storage::state::{Error, fill};
use plantao_domain::view::Order;
use std::sync::atomic::{AtomicBool, AtomicI64};

/// What goes wrong in the engine behind.
#[derive(Default)]
struct Faults {
    sync_fails: AtomicBool,
    write_panics: AtomicBool,
    read_panics: AtomicBool,
    /// Writes that still succeed; negative means all.
    writes: AtomicI64,
}

struct Faulty {
    inner: Box<dyn Engine>,
    faults: Arc<Faults>,
}

impl RawView for Faulty {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        assert!(!self.faults.read_panics.load(Ordering::SeqCst), "injected panic");
        self.inner.get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        self.inner.range(from, to, order, visit)
    }
}

impl Engine for Faulty {
    fn write(&self, batch: RawBatch) -> Result<(), EngineError> {
        assert!(!self.faults.write_panics.load(Ordering::SeqCst), "injected panic");
        if self.faults.writes.load(Ordering::SeqCst) >= 0 && self.faults.writes.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.faults.writes.store(0, Ordering::SeqCst);
            return Err(EngineError::fault(std::io::Error::other("injected")));
        }
        self.inner.write(batch)
    }

    fn sync(&self) -> Result<(), EngineError> {
        if self.faults.sync_fails.load(Ordering::SeqCst) {
            return Err(EngineError::fault(std::io::Error::other("injected")));
        }
        self.inner.sync()
    }

    fn health(&self) -> Result<(), EngineError> {
        self.inner.health()
    }
}

fn faulty() -> (OpenEngine, Arc<Faults>) {
    let faults = Arc::new(Faults { writes: AtomicI64::new(-1), ..Faults::default() });
    let (real, shared) = (fill::engines(), Arc::clone(&faults));
    let open: OpenEngine = Arc::new(move |kind, dir| {
        Ok(Box::new(Faulty { inner: real(kind, dir)?, faults: Arc::clone(&shared) }) as Box<dyn Engine>)
    });
    (open, faults)
}

/// Applies batches `from..=to`, the same for every store.
fn fill_to(store: &dyn StateStore, model: &mut MemView, from: u64, to: u64) {
    for n in from..=to {
        let changes = Random(n).changes(40, 12);
        model.write(&changes);
        store.apply(&batch(n, changes)).unwrap();
    }
}

fn same(store: &dyn StateStore, model: &MemView, at: u64) {
    assert_eq!(index(&store.meta()), at);
    assert_eq!((store.meta().rows, store.meta().content), figures(model));
    assert_eq!(rows(store), model_rows(model));
}

#[test]
fn a_failed_sync_moves_no_checkpoint_and_stops_the_store() {
    for kind in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), kind);
        let (open, faults) = faulty();
        let store = place.open_with(open);
        let mut model = MemView::default();
        fill_to(&*store, &mut model, 1, 5);
        store.checkpoint().unwrap();
        fill_to(&*store, &mut model, 6, 9);
        faults.sync_fails.store(true, Ordering::SeqCst);
        assert!(matches!(store.checkpoint(), Err(Error::Engine { operation: "sync", .. })));
        faults.sync_fails.store(false, Ordering::SeqCst);
        assert_eq!(store.checkpointed().unwrap().index, 5);
        assert!(matches!(store.checkpoint(), Err(Error::Poisoned)));
        assert!(matches!(store.apply(&batch(10, Changes::new())), Err(Error::Poisoned)));
        assert!(matches!(store.freeze().map(drop), Err(Error::Poisoned)));
        assert!(matches!(store.health(), Err(Error::Poisoned)));
        assert!(store.get(&[0x10]).is_err());
        store.read(&mut |view, _| assert!(view.get(&[0x10]).is_err()));
        drop(store);
        let (store, start) = place.open();
        assert_eq!(start, Start::Verified);
        same(&*store, &model, 9);
    }
}

/// An engine that panics while it writes may have written anything: even a clean scan does not clear it.
#[test]
fn a_panic_in_the_engine_means_rebuild_from_the_snapshot_and_never_a_dead_node() {
    for kind in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), kind);
        let (open, faults) = faulty();
        let store = place.open_with(open.clone());
        let mut model = MemView::default();
        fill_to(&*store, &mut model, 1, 8);
        store.health().unwrap();
        place.snapshots().build(&mut *store.freeze().unwrap()).unwrap();
        let (snapshot, mut model) = (model.clone(), model);
        fill_to(&*store, &mut model, 9, 12);
        faults.write_panics.store(true, Ordering::SeqCst);
        let error = store.apply(&batch(13, Random(13).changes(40, 12))).unwrap_err();
        assert!(matches!(error, Error::Panicked { operation: "write" }) && error.is_fatal());
        assert!(matches!(store.health(), Err(Error::Poisoned)));
        faults.write_panics.store(false, Ordering::SeqCst);
        drop(store);

        let (store, start) = place.open();
        let Start::Rebuilt { reason: Distrust::Marked, from: Some(from) } = start else { panic!("{start:?}") };
        assert_eq!(from.index, 8);
        same(&*store, &snapshot, 8);
        // The log replays the rest.
        fill_to(&*store, &mut MemView::default(), 9, 12);
        same(&*store, &model, 12);
        drop(store);
        assert_eq!(place.open().1, Start::Verified);

        faults.read_panics.store(true, Ordering::SeqCst);
        let opened = rebuild::open_with(&place.options, &place.snapshots(), open.clone()).unwrap();
        let Start::Rebuilt { reason: Distrust::Panicked, from: Some(_) } = opened.start else { panic!() };
        faults.read_panics.store(false, Ordering::SeqCst);
        same(&*opened.store, &snapshot, 8);
        let bad = |n: u8| place.options.dir.join(format!("bad-{n}"));
        assert!(bad(1).is_dir() && bad(2).is_dir());
        drop(opened);
        std::fs::write(place.options.dir.join("DISTRUST"), b"").unwrap();
        place.open();
        assert!(!bad(1).exists() && bad(2).is_dir() && bad(3).is_dir());
    }
}

/// Whatever write of an installation fails, the old rows stay, in this process and in the next.
#[test]
fn an_installation_that_fails_at_any_write_leaves_the_old_rows() {
    for kind in ENGINES {
        let other = tempfile::tempdir().unwrap();
        let source = Place::new(other.path(), kind);
        let (from, mut newer) = (source.open().0, MemView::default());
        for n in 1..=30 {
            let mut changes = Random(n).changes(400, 60);
            changes.insert(vec![0xE0, n as u8], Some(vec![n as u8; 100_000]));
            newer.write(&changes);
            from.apply(&batch(n, changes)).unwrap();
        }
        let snapshot = source.snapshots().build(&mut *from.freeze().unwrap()).unwrap();
        assert!(snapshot.parts() > 3, "{}", snapshot.parts());

        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), kind);
        let (open, faults) = faulty();
        let store = place.open_with(open);
        let mut model = MemView::default();
        fill_to(&*store, &mut model, 1, 6);
        let mut failures = 0;
        loop {
            faults.writes.store(failures, Ordering::SeqCst);
            let result = store.install(snapshot.meta(), &mut snapshot.rows().unwrap());
            faults.writes.store(-1, Ordering::SeqCst);
            if result.is_ok() {
                break;
            }
            failures += 1;
            same(&*store, &model, 6);
        }
        assert!(failures > 1, "{failures}");
        same(&*store, &newer, 30);
        let late = store.install(&StateMeta::default(), &mut fill::NoRows).unwrap_err();
        assert!(matches!(late, Error::OutOfOrder { applied: 30, .. }));
        let wrong = StateMeta { rows: snapshot.meta().rows + 1, ..(**snapshot.meta()).clone() };
        let late = store.install(&wrong, &mut snapshot.rows().unwrap()).unwrap_err();
        assert!(matches!(late, Error::SnapshotMismatch));
        same(&*store, &newer, 30);
        drop(store);
        let (store, start) = place.open();
        assert_eq!(start, Start::Verified);
        same(&*store, &newer, 30);
        place.generation();
    }
}

/// What an engine that opens "fine" may have done to the rows: each is found at the start, none is served.
#[test]
fn rows_that_were_lost_moved_or_rolled_back_are_found_at_the_start() {
    type Edit = fn(&dyn Engine, &[(Vec<u8>, Vec<u8>)]);
    let edits: [(&str, Edit); 6] = [
        ("a row is gone", |engine, raw| engine.write(vec![(raw[3].0.clone(), None)]).unwrap()),
        ("two rows are exchanged", |engine, raw| {
            engine
                .write(vec![(raw[1].0.clone(), Some(raw[2].1.clone())), (raw[2].0.clone(), Some(raw[1].1.clone()))])
                .unwrap();
        }),
        ("a row is emptied", |engine, raw| engine.write(vec![(raw[1].0.clone(), Some(Vec::new()))]).unwrap()),
        ("a row is there twice", |engine, raw| {
            engine.write(vec![([&raw[1].0, &[9][..]].concat(), Some(Vec::new()))]).unwrap();
        }),
        ("the meta row is gone", |engine, _| engine.write(vec![(vec![0], None)]).unwrap()),
        ("a part of a long row is gone", |engine, _| {
            let mut part = None;
            engine
                .range(&[1], &[2], Order::Ascending, &mut |key, _| {
                    part = Some(key.to_vec());
                    false
                })
                .unwrap();
            engine.write(vec![(part.unwrap(), None)]).unwrap();
        }),
    ];
    for kind in ENGINES {
        for (what, edit) in edits {
            let dir = tempfile::tempdir().unwrap();
            let place = Place::new(dir.path(), kind);
            let store = place.open().0;
            let mut model = MemView::default();
            let changes = (0..9).map(|n| (vec![0x20, n], Some(vec![n; 10 + usize::from(n) * 1000]))).collect();
            model.write(&changes);
            store.apply(&batch(7, changes)).unwrap();
            drop(store);
            let cell = fill::Cell::open(&fill::engines(), kind, place.generation()).unwrap();
            let engine = cell.engine();
            let mut raw = Vec::new();
            engine
                .range(&[0x10], &[0xF0], Order::Ascending, &mut |key, value| {
                    raw.push((key.to_vec(), value.to_vec()));
                    true
                })
                .unwrap();
            edit(engine, &raw);
            drop(cell);
            let (store, start) = place.open();
            assert!(matches!(start, Start::Rebuilt { from: None, .. }), "{kind:?}: {what}: {start:?}");
            assert_eq!(store.count(), 0);
        }
    }
}

/// An older, whole engine directory is consistent in itself: only CHECKPOINT, outside, tells.
#[test]
fn an_engine_that_went_back_behind_the_checkpoint_is_set_aside() {
    for kind in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), kind);
        let mut model = MemView::default();
        let store = place.open().0;
        fill_to(&*store, &mut model, 1, 5);
        drop(store);
        let generation = place.generation();
        let old = dir.path().join("old");
        copy_tree(&generation, &old);
        let store = place.open().0;
        fill_to(&*store, &mut model, 6, 9);
        store.checkpoint().unwrap();
        drop(store);
        std::fs::remove_dir_all(&generation).unwrap();
        copy_tree(&old, &generation);
        let start = place.open().1;
        let reason = Distrust::BehindCheckpoint { checkpoint: Some(9), found: Some(5) };
        assert_eq!(start, Start::Rebuilt { reason, from: None });
    }
}

#[test]
fn another_clusters_or_nodes_directory_is_refused_and_left_alone() {
    for kind in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), kind);
        let mut model = MemView::default();
        let store = place.open().0;
        fill_to(&*store, &mut model, 1, 5);
        drop(store);
        let mut foreign = Place::new(dir.path(), kind);
        foreign.options.owner.cluster = ClusterId::from_bytes([8; 16]);
        assert!(matches!(foreign.try_open().map(drop), Err(OpenError::Foreign { node: NodeId(3), .. })));
        let mut foreign = Place::new(dir.path(), kind);
        foreign.options.owner.node = NodeId(4);
        assert!(matches!(foreign.try_open().map(drop), Err(OpenError::Foreign { node: NodeId(3), .. })));
        // A quorum recovery raises the incarnation: its survivor keeps the state, which then refuses the older
        // identity.
        let mut recovered = Place::new(dir.path(), kind);
        recovered.options.owner.incarnation = 2;
        assert_eq!(recovered.open().1, Start::Verified);
        assert!(matches!(place.try_open().map(drop), Err(OpenError::NewerIncarnation { found: 2, ours: 1 })));
        same(&*recovered.open().0, &model, 5);
    }
}

#[test]
fn a_missing_or_endlessly_failing_directory_is_rebuilt_and_another_engine_converted() {
    for (kind, other) in [(EngineKind::Fjall, EngineKind::Sled), (EngineKind::Sled, EngineKind::Fjall)] {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), kind);
        let mut model = MemView::default();
        let store = place.open().0;
        fill_to(&*store, &mut model, 1, 9);
        place.snapshots().build(&mut *store.freeze().unwrap()).unwrap();
        drop(store);
        let rebuilt = |reason: Distrust| {
            let (store, start) = place.open();
            assert!(matches!(start, Start::Rebuilt { reason: found, from: Some(_) } if found == reason));
            same(&*store, &model, 9);
        };
        std::fs::remove_dir_all(place.generation()).unwrap();
        rebuilt(Distrust::DirectoryMissing);
        std::fs::write(place.options.dir.join("OPENING"), b"...").unwrap();
        rebuilt(Distrust::NeverOpened { attempts: 3 });
        std::fs::write(place.options.dir.join("OPENING"), b"..").unwrap();
        assert_eq!(place.open().1, Start::Verified);
        std::fs::remove_file(place.options.dir.join("CHECKPOINT")).unwrap();
        rebuilt(Distrust::CheckpointMissing);
        std::fs::write(place.options.dir.join("CHECKPOINT"), b"PLTCKPT1").unwrap();
        rebuilt(Distrust::CheckpointDamaged);
        std::fs::remove_dir_all(&place.options.dir).unwrap();
        rebuilt(Distrust::CheckpointMissing);
        let moved = Place::new(dir.path(), other);
        let (store, start) = moved.open();
        assert_eq!(start, Start::Converted { from: kind });
        same(&*store, &model, 9);
        drop(store);
        let (store, start) = moved.open();
        assert_eq!(start, Start::Verified);
        same(&*store, &model, 9);
        std::fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
        std::fs::remove_dir_all(dir.path().join("state")).unwrap();
        drop(store);
        assert_eq!(place.open().1, Start::Created);
    }
}

/// Two processes on one directory would destroy it; the second one must not take the first one's lock for damage.
#[test]
fn a_directory_that_is_open_elsewhere_is_refused_and_left_alone() {
    for kind in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), kind);
        let (store, mut model) = (place.open().0, MemView::default());
        fill_to(&*store, &mut model, 1, 4);
        assert!(matches!(place.try_open().map(drop), Err(OpenError::Busy)));
        fill_to(&*store, &mut model, 5, 8);
        drop(store);
        let (store, start) = place.open();
        assert_eq!(start, Start::Verified);
        same(&*store, &model, 8);
    }
}
