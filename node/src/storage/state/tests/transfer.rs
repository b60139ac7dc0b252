//! Snapshot files: sending, resuming, refusing, surviving damage.

use super::*;
use crate::storage::snapshot::{Error, PART_BYTES_MAX, SnapshotReceiver, VerifiedSnapshot};
use crate::storage::state::{Error as StateError, Frozen};
use plantao_domain::view::Row;

/// A state with a snapshot of several parts.
fn source(root: &Path) -> (Place, Arc<dyn StateStore>, Arc<VerifiedSnapshot>) {
    let place = Place::new(root, EngineKind::Fjall);
    let store = place.open().0;
    for n in 1..=40 {
        let mut changes = Random(n).changes(100, 20);
        changes.insert(vec![0xE0, n as u8], Some(vec![n as u8; 100_000]));
        store.apply(&batch(n, changes)).unwrap();
    }
    let snapshot = place.snapshots().build(&mut *store.freeze().unwrap()).unwrap();
    assert!(snapshot.parts() > 4, "{}", snapshot.parts());
    (place, store, snapshot)
}

fn parts(snapshot: &Arc<VerifiedSnapshot>, first: u32) -> Vec<(u32, Vec<u8>)> {
    let mut reader = snapshot.reader(first).unwrap();
    std::iter::from_fn(|| reader.next_part().unwrap()).collect()
}

fn receiver_place(root: &Path, kind: EngineKind) -> Place {
    let mut place = Place::new(root, kind);
    place.seal = TestSeal::shared(8);
    place.options.seal = Arc::clone(&place.seal);
    place.options.owner.node = NodeId(8);
    place
}

#[test]
fn a_snapshot_is_sent_in_parts_resumed_and_installed_under_the_receivers_own_key() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (_, from, snapshot) = source(dirs[0].path());
    let all = parts(&snapshot, 0);
    assert_eq!(all.len(), snapshot.parts() as usize);
    assert!(all.iter().all(|(_, part)| part.len() <= PART_BYTES_MAX));
    assert_eq!(parts(&snapshot, 3), all[3..]);
    assert!(parts(&snapshot, 999).is_empty());
    for (kind, dir) in ENGINES.iter().zip(&dirs[1..]) {
        let place = receiver_place(dir.path(), *kind);
        let store = place.open().0;
        let snapshots = place.snapshots();
        let mut receiver = snapshots.receive(*snapshot.id()).unwrap();
        for (number, part) in &all[..3] {
            assert_eq!(receiver.next_part(), *number);
            receiver.take(*number, part).unwrap();
            receiver.take(*number, part).unwrap();
        }
        let early = receiver.take(4, &all[4].1).unwrap_err();
        assert!(matches!(early, Error::OutOfOrder { expected: 3, offered: 4 }));
        assert!(matches!(receiver.take(3, &all[2].1), Err(Error::Damaged { part: 3 })));
        drop(receiver);
        drop(snapshots);
        // The node restarts in the middle, with the tail of its file torn.
        let snapshots = place.snapshots();
        assert!(snapshots.current().is_none());
        let name = std::fs::read_dir(dir.path().join("snapshots")).unwrap().next().unwrap().unwrap().path();
        let length = std::fs::metadata(&name).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&name).unwrap().set_len(length - 7).unwrap();
        let mut receiver = snapshots.receive(*snapshot.id()).unwrap();
        assert_eq!(receiver.next_part(), 2);
        assert!(matches!(snapshots.adopt(receiver), Err(Error::Incomplete { expected: 2 })));
        receiver = snapshots.receive(*snapshot.id()).unwrap();
        for (number, part) in parts(&snapshot, receiver.next_part()) {
            receiver.take(number, &part).unwrap();
        }
        assert!(receiver.is_complete());
        assert!(receiver.take(all.len() as u32, &all[0].1).is_err());
        let received = snapshots.adopt(receiver).unwrap();
        assert_eq!(received.meta(), snapshot.meta());
        assert_eq!(parts(&received, 0), all);
        store.install(received.meta(), &mut received.rows().unwrap()).unwrap();
        assert_eq!(store.meta(), from.meta());
        assert_eq!(rows(&*store), rows(&*from));
        // At rest it is sealed with the receiver's key: the sender's does not open it.
        let theirs = Place::new(dir.path(), *kind).snapshots();
        assert!(theirs.current().is_none());
    }
}

/// A flipped bit in any part on its way: refused at the part, or at the end at the latest, and never adopted.
#[test]
fn a_part_that_was_changed_on_its_way_never_becomes_a_snapshot() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (_, _, snapshot) = source(dirs[0].path());
    let all = parts(&snapshot, 0);
    let snapshots = receiver_place(dirs[1].path(), EngineKind::Sled).snapshots();
    let mut random = Random(4);
    let send = |receiver: &mut SnapshotReceiver, parts: &[(u32, Vec<u8>)]| {
        parts.iter().try_for_each(|(number, part)| receiver.take(*number, part))
    };
    for round in 0..60 {
        let mut changed = all.clone();
        let part = round % all.len();
        let at = random.below(changed[part].1.len());
        changed[part].1[at] ^= 1 << random.below(8);
        let mut other = *snapshot.id();
        other[0] ^= round as u8 + 1;
        let mut receiver = snapshots.receive(other).unwrap();
        assert!(send(&mut receiver, &all[..1]).is_err(), "another snapshot's header");
        let mut receiver = snapshots.receive(*snapshot.id()).unwrap();
        assert_eq!(receiver.next_part(), 0);
        assert!(send(&mut receiver, &changed).is_err(), "part {part} byte {at}");
        assert!(!receiver.is_complete());
        assert!(snapshots.adopt(receiver).is_err());
    }
    for (number, part) in &all {
        for cut in [0, 1, part.len() / 2, part.len() - 1] {
            let mut receiver = snapshots.receive(*snapshot.id()).unwrap();
            let first = receiver.next_part() as usize;
            send(&mut receiver, &all[first..*number as usize]).unwrap();
            assert!(receiver.take(*number, &part[..cut]).is_err(), "part {number} cut to {cut}");
        }
    }
}

#[test]
fn a_damaged_snapshot_file_is_set_aside_and_the_one_before_it_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (place, store, first) = source(dir.path());
    store.apply(&batch(50, Random(50).changes(500, 60))).unwrap();
    let second = place.snapshots().build(&mut *store.freeze().unwrap()).unwrap();
    let files = || {
        let mut files = files_under(&dir.path().join("snapshots"));
        files.retain(|path| path.extension().is_some_and(|end| end == "snapshot"));
        files
    };
    assert_eq!(files().len(), 2);
    let newest = files()[1].clone();
    let good = std::fs::read(&newest).unwrap();
    let mut random = Random(5);
    let mut damages: Vec<Vec<u8>> = (0..40)
        .map(|n| {
            let at = if n < 30 { n } else { random.below(good.len()) };
            let mut bad = good.clone();
            bad[at] ^= 1 << random.below(8);
            bad
        })
        .collect();
    damages.extend((0..10).map(|_| good[..random.below(good.len())].to_vec()));
    damages.push(good[..good.len() - 1].to_vec());
    damages.push([good.as_slice(), &[0]].concat());
    damages.push(Vec::new());
    for bad in damages {
        std::fs::write(&newest, &bad).unwrap();
        let opened = place.snapshots();
        assert_eq!((opened.current().unwrap().id(), opened.set_aside()), (first.id(), 1));
        assert_eq!((files().len(), place.snapshots().set_aside()), (1, 0));
        let kept = files_under(&dir.path().join("snapshots")).len();
        assert!(kept <= 3, "{kept}");
        std::fs::write(&newest, &good).unwrap();
    }
    assert_eq!(place.snapshots().current().unwrap().id(), second.id());
    for n in 51..55 {
        store.apply(&batch(n, Random(n).changes(500, 60))).unwrap();
        place.snapshots().build(&mut *store.freeze().unwrap()).unwrap();
        assert_eq!(files().len(), 2);
    }
    // The file of an old handle is gone, its content is not.
    assert_eq!(parts(&first, 0).len(), first.parts() as usize);
}

/// A frozen view whose rows are not those that its meta speaks of.
struct Lying(Box<dyn Frozen>, Arc<StateMeta>);

impl Frozen for Lying {
    fn meta(&self) -> &Arc<StateMeta> {
        &self.1
    }

    fn part(&mut self, bytes_max: usize) -> Result<Vec<Row>, StateError> {
        self.0.part(bytes_max)
    }
}

/// An engine that lost rows while the node ran must not pass them on as a snapshot that verifies.
#[test]
fn rows_that_do_not_match_their_meta_never_become_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (place, store, first) = source(dir.path());
    store.apply(&batch(50, Random(50).changes(100, 20))).unwrap();
    let meta = (*store.meta()).clone();
    let mut content = meta.content;
    content[9] ^= 1;
    for lie in [StateMeta { rows: meta.rows + 1, ..meta.clone() }, StateMeta { content, ..meta }] {
        let snapshots = place.snapshots();
        let built = snapshots.build(&mut Lying(store.freeze().unwrap(), Arc::new(lie)));
        assert!(matches!(built, Err(Error::Damaged { .. })));
        assert_eq!(snapshots.current().unwrap().id(), first.id());
        assert_eq!(files_under(&dir.path().join("snapshots")).len(), 1);
    }
}

/// Rows that were read are kept in memory; those of the state that was replaced are not read any more.
#[test]
fn what_was_read_before_an_install_is_not_what_is_read_after_it() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (_, from, snapshot) = source(dirs[0].path());
    let theirs = rows(&*from);
    let (changed, new, gone) = (&theirs[0].0, &theirs[1].0, &vec![0x10; 20]);
    assert_eq!(from.get(gone).unwrap(), None);
    for (kind, dir) in ENGINES.iter().zip(&dirs[1..]) {
        let store = receiver_place(dir.path(), *kind).open().0;
        let ours = [changed, gone].map(|key| (key.clone(), Some(b"ours".to_vec())));
        store.apply(&batch(1, ours.into())).unwrap();
        let read = || [changed, gone, new].map(|key| store.get(key).unwrap());
        assert_eq!(read(), [Some(b"ours".to_vec()), Some(b"ours".to_vec()), None]);
        store.install(snapshot.meta(), &mut snapshot.rows().unwrap()).unwrap();
        assert_eq!(read(), [Some(theirs[0].1.clone()), None, Some(theirs[1].1.clone())]);
    }
}
