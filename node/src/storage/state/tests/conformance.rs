//! What any engine must do, against a model of rows in memory.

use super::*;
use crate::storage::snapshot::purge_bound;
use crate::storage::state::{Error, Frozen};
use plantao_domain::view::{Order, Row};
use plantao_domain::{Overlay, View};

fn check(store: &dyn StateStore, model: &MemView, at: u64) {
    let (count, content) = figures(model);
    let meta = store.meta();
    assert_eq!((index(&meta), meta.rows, meta.content), (at, count, content));
    assert_eq!(rows(store), model_rows(model));
}

fn check_range(store: &dyn View, model: &MemView, random: &mut Random) {
    let keys: Vec<_> = model.rows().keys().cloned().collect();
    if keys.is_empty() {
        return;
    }
    let (from, to) = (&keys[random.below(keys.len())], &keys[random.below(keys.len())]);
    let order = if random.below(2) == 0 { Order::Ascending } else { Order::Descending };
    let limit = random.below(30);
    assert_eq!(store.range(from, to, order, limit).unwrap(), model.range(from, to, order, limit).unwrap());
    assert_eq!(store.get(from).unwrap(), model.get(from).unwrap());
    let absent = [from.as_slice(), &[0xAA]].concat();
    assert_eq!(store.get(&absent).unwrap(), model.get(&absent).unwrap());
}

/// A frozen view of each engine that is being read, and the rows that both must show.
struct Held {
    rows: Vec<Row>,
    at: u64,
    views: Vec<(Box<dyn Frozen>, Vec<Row>)>,
}

impl Held {
    fn new(stores: &[Arc<dyn StateStore>], model: &MemView, at: u64) -> Self {
        let views = stores.iter().map(|store| (store.freeze().unwrap(), Vec::new())).collect();
        Self { rows: model_rows(model), at, views }
    }

    /// Reads a part of each; whether all were read to their end, which is the rows as they were.
    fn read_on(&mut self, random: &mut Random) -> bool {
        let mut has_ended = true;
        for (view, seen) in &mut self.views {
            assert_eq!(index(view.meta()), self.at);
            let part = view.part(1 + random.below(60_000)).unwrap();
            if part.is_empty() {
                assert_eq!(*seen, self.rows);
            }
            has_ended &= part.is_empty();
            seen.extend(part);
        }
        has_ended
    }
}

/// The promise on which everything rests: whatever is opened, frozen, sent or installed in between, both engines hold
/// exactly the rows of the model, with the same digest at each index.
#[test]
fn random_batches_with_reopening_snapshots_and_installation_equal_the_model() {
    for seed in [1_u64, 20_26] {
        println!("seed {seed}");
        let mut random = Random(seed);
        let dirs = ENGINES.map(|_| tempfile::tempdir().unwrap());
        let places: Vec<_> = ENGINES.iter().zip(&dirs).map(|(kind, dir)| Place::new(dir.path(), *kind)).collect();
        let mut stores: Vec<_> = places.iter().map(|place| place.open().0).collect();
        let mut model = MemView::default();
        let (mut held, mut whole): (Option<Held>, usize) = (None, 0);
        let mut at = 0;
        for step in 0..160 {
            at += 1 + random.below(3) as u64;
            let changes = random.changes(90, 30);
            model.write(&changes);
            let batch = batch(at, changes);
            for store in &stores {
                store.apply(&batch).unwrap();
            }
            assert_eq!(stores[0].meta(), stores[1].meta(), "step {step}");
            check_range(&*stores[step % 2], &model, &mut random);
            match random.below(14) {
                0 => {
                    held = None;
                    drop(std::mem::take(&mut stores));
                    stores = places
                        .iter()
                        .map(|place| {
                            let (store, start) = place.open();
                            assert_eq!(start, Start::Verified);
                            store
                        })
                        .collect();
                }
                1 => {
                    for store in &stores {
                        assert_eq!(index(&store.checkpoint().unwrap()), at);
                        assert_eq!(store.checkpointed().unwrap().index, at);
                    }
                }
                2..5 if held.is_none() => held = Some(Held::new(&stores, &model, at)),
                5 => {
                    // Each builds its own; the parts are the same, so either could serve the other's transfer.
                    let ids: Vec<_> = places
                        .iter()
                        .zip(&stores)
                        .map(|(place, store)| {
                            let snapshots = place.snapshots();
                            let built = snapshots.build(&mut *store.freeze().unwrap()).unwrap();
                            assert_eq!(**built.meta(), *store.meta());
                            let bound = purge_bound(&**store, &snapshots).map_or(0, |entry| entry.index);
                            assert_eq!(bound, store.checkpointed().map_or(0, |entry| entry.index).min(at));
                            *built.id()
                        })
                        .collect();
                    assert_eq!(ids[0], ids[1]);
                }
                6 => {
                    let built = places[1].snapshots().build(&mut *stores[1].freeze().unwrap()).unwrap();
                    stores[0].install(built.meta(), &mut built.rows().unwrap()).unwrap();
                    assert_eq!(stores[0].checkpointed().unwrap().index, at);
                }
                _ => {}
            }
            if held.as_mut().is_some_and(|held| held.read_on(&mut random)) {
                held = None;
                whole += 1;
            }
            if step % 10 == 0 {
                for store in &stores {
                    check(&**store, &model, at);
                }
            }
        }
        held.take();
        assert!(whole > 0);
        for (place, store) in places.iter().zip(stores) {
            check(&*store, &model, at);
            drop(store);
            let (store, start) = place.open();
            assert_eq!(start, Start::Verified);
            check(&*store, &model, at);
        }
    }
}

#[test]
fn what_no_batch_may_hold_is_refused_and_changes_nothing() {
    for kind in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), kind);
        let (store, start) = place.open();
        assert_eq!(start, Start::Created);
        store.apply(&batch(5, Changes::from([(vec![0x10], Some(b"kept".to_vec()))]))).unwrap();
        let before = store.meta();
        let put = |key: &[u8], value: Vec<u8>| Changes::from([(key.to_vec(), Some(value))]);
        for index in [0, 4, 5] {
            let error = store.apply(&batch(index, Changes::new())).unwrap_err();
            assert!(matches!(error, Error::OutOfOrder { applied: 5, offered } if offered == index), "{error}");
        }
        for key in [&[][..], &[0x00], &[0x01, 2], &[0x0F], &[0xF0], &[0xFF], &[0x20; 1025]] {
            assert!(matches!(store.apply(&batch(6, put(key, vec![1]))), Err(Error::Key { .. })), "{key:?}");
        }
        let long = put(&[0x11], vec![0; super::super::ROW_BYTES_MAX + 1]);
        assert!(matches!(store.apply(&batch(6, long)), Err(Error::TooLong { .. })));
        let wide = Batch { membership: Some(vec![0; 65_537]), ..batch(6, Changes::new()) };
        assert!(matches!(store.apply(&wide), Err(Error::TooLong { .. })));
        assert_eq!(store.meta(), before);
        let longest = vec![7; super::super::ROW_BYTES_MAX];
        store.apply(&batch(6, put(&[0x11], longest.clone()))).unwrap();
        let membership = vec![8; 65_536];
        store.apply(&Batch { membership: Some(membership.clone()), ..batch(8, Changes::new()) }).unwrap();
        drop(store);
        let (store, start) = place.open();
        assert_eq!(start, Start::Verified);
        assert_eq!(store.get(&[0x11]).unwrap(), Some(longest));
        assert_eq!(store.meta().membership, membership);
        assert_eq!(store.count(), 2);
    }
}

/// Rules read through an overlay on the shared store, while applies replace it.
#[test]
fn a_shared_store_is_a_view_and_reads_of_one_closure_see_one_index() {
    for kind in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let store = Place::new(dir.path(), kind).open().0;
        let changes =
            |n: u64| (0..8_u8).map(|key| (vec![0x20, key], Some([n.to_le_bytes(); 700].concat()))).collect::<Changes>();
        store.apply(&batch(1, changes(1))).unwrap();
        let mut overlay = Overlay::new(&store);
        overlay.write(Changes::from([(vec![0x20, 1], None)]));
        assert_eq!(overlay.get(&[0x20, 1]).unwrap(), None);
        assert_eq!(overlay.range(&[0x20], &[0x21], Order::Ascending, 9).unwrap().len(), 7);

        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for n in 2..60 {
                    store.apply(&batch(n, changes(n))).unwrap();
                }
            });
            let mut seen = 0;
            while !writer.is_finished() || seen == 0 {
                store.read(&mut |view, meta| {
                    let expected = meta.applied.unwrap().index.to_le_bytes();
                    for (_, value) in view.range(&[0x20], &[0x21], Order::Ascending, 9).unwrap() {
                        assert_eq!(value[..8], expected);
                        assert_eq!(value.len(), 5600);
                    }
                    assert_eq!(view.get(&[0x20, 7]).unwrap().unwrap()[5592..], expected);
                });
                let rows = store.range(&[0x20], &[0x21], Order::Descending, 9).unwrap();
                assert!(rows.iter().all(|(_, value)| value[..8] == rows[0].1[..8]));
                seen += 1;
            }
            writer.join().unwrap();
        });
    }
}

/// Not asserted: the machine's load would decide.
#[test]
fn speed_is_printed() {
    for kind in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let store = Place::new(dir.path(), kind).open().0;
        let mut random = Random(7);
        let started = std::time::Instant::now();
        let (batches, per_batch) = (60_u64, 200_u64);
        for n in 1..=batches {
            let changes = (0..per_batch)
                .map(|_| ([&[0x30], &random.next().to_be_bytes()[..]].concat(), Some(vec![n as u8; 200])))
                .collect();
            store.apply(&batch(n, changes)).unwrap();
        }
        let applied = started.elapsed();
        let keys: Vec<_> = rows(&*store).into_iter().map(|(key, _)| key).collect();
        let started = std::time::Instant::now();
        for _ in 0..20_000 {
            let key = &keys[random.below(keys.len())];
            assert!(store.get(key).unwrap().is_some());
        }
        let read = started.elapsed();
        let started = std::time::Instant::now();
        store.checkpoint().unwrap();
        println!(
            "{kind:?}: {:.0} rows/s applied, {:.0} reads/s, checkpoint {:?}",
            (batches * per_batch) as f64 / applied.as_secs_f64(),
            20_000.0 / read.as_secs_f64(),
            started.elapsed(),
        );
    }
}

/// The store does not look what was there before such a row: count and digest must hold all the same, deletes included.
#[test]
fn rows_that_are_put_once_are_counted_without_a_look() {
    for engine in ENGINES {
        let root = tempfile::tempdir().unwrap();
        let place = Place::new(root.path(), engine);
        let (store, _) = place.open();
        let mut model = MemView::default();
        let key = |number: u64| [&[0x61_u8], number.to_be_bytes().as_slice()].concat();
        assert!(is_put_once(&key(1)));
        for at in 1..=50_u64 {
            let mut changes = Changes::from([(key(at), Some(at.to_be_bytes().to_vec()))]);
            if at > 10 {
                changes.insert(key(at - 10), None);
            }
            model.write(&changes);
            store.apply(&batch(at, changes)).unwrap();
            check(&*store, &model, at);
        }
        store.checkpoint().unwrap();
        drop(store);
        let (store, start) = place.open();
        assert_eq!(start, Start::Verified);
        check(&*store, &model, 50);
    }
}
