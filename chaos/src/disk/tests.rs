//! What a power cut leaves, and what each fault does: first without a mount, then with one where that can be had.

#![allow(clippy::unwrap_used)]

use super::mount::Mounted;
use super::store::ROOT;
use super::{Cut, Disk, Keep};
use crate::seed::Chance;
use plantao_domain::{ClusterId, NodeId};
use plantao_node::storage::checkpoint::Owner;
use plantao_node::storage::rebuild::{self, Options, Start};
use plantao_node::storage::row_seal::{OpenError, RowSeal};
use plantao_node::storage::snapshot::Snapshots;
use plantao_node::storage::state::{Batch, EngineKind, EntryId, StateStore};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ALL: [Keep; 4] = [Keep::Nothing, Keep::First, Keep::Any, Keep::Holes];

/// A disk, and where its objects are.
fn disk(seed: u64) -> (Disk, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Disk::new(directory.path(), seed), directory)
}

impl Disk {
    fn make(&self, directory: u64, name: &str) -> u64 {
        self.change(|store| store.create(directory, OsStr::new(name), 0o600, false)).unwrap().inode
    }

    fn make_directory(&self, directory: u64, name: &str) -> u64 {
        self.change(|store| store.create(directory, OsStr::new(name), 0o700, true)).unwrap().inode
    }

    fn open_at(&self, directory: u64, name: &str) -> Result<u64, Errno> {
        self.look(|store| {
            let found = store.find(directory, OsStr::new(name))?;
            store.open(found.inode)
        })
    }

    /// Everything in a file.
    fn all_of(&self, directory: u64, name: &str) -> Result<Vec<u8>, Errno> {
        let handle = self.open_at(directory, name)?;
        let bytes = self.read(handle, 0, 1 << 30);
        self.close(handle);
        bytes
    }

    fn put(&self, directory: u64, name: &str, bytes: &[u8]) -> u64 {
        self.make(directory, name);
        let handle = self.open_at(directory, name).unwrap();
        self.write(handle, 0, bytes).unwrap();
        handle
    }

    fn put_durably(&self, directory: u64, name: &str, bytes: &[u8]) {
        let handle = self.put(directory, name, bytes);
        self.sync(handle).unwrap();
        self.close(handle);
        self.sync_directory(directory).unwrap();
    }

    fn rename(&self, from: (u64, &str), to: (u64, &str)) {
        self.change(|store| store.rename((from.0, OsStr::new(from.1)), (to.0, OsStr::new(to.1)), true)).unwrap();
    }

    fn cut(&self, keep: Keep) -> Cut {
        self.state().store.lose_power(keep).unwrap()
    }
}

#[test]
fn bytes_and_names_are_kept_by_syncs_of_their_own() {
    let (disk, objects) = disk(1);
    disk.put_durably(ROOT, "both", b"both");
    let bytes_only = disk.put(ROOT, "bytes only", b"bytes");
    disk.sync(bytes_only).unwrap();
    disk.cut(Keep::Nothing);
    assert_eq!(disk.all_of(ROOT, "both").unwrap(), b"both");
    assert_eq!(disk.all_of(ROOT, "bytes only"), Err(Errno::NOENT));
    assert_eq!(disk.read(bytes_only, 0, 9), Err(Errno::IO), "what was open before is not afterwards");

    disk.put(ROOT, "name only", b"bytes");
    disk.sync_directory(ROOT).unwrap();
    assert_eq!(disk.all_of(ROOT, "name only").unwrap(), b"bytes");
    let cut = disk.cut(Keep::Nothing);
    assert_eq!((disk.all_of(ROOT, "name only").unwrap().len(), cut.lost), (0, 1));
    // What is left lies below, and nothing else does.
    let mut left: Vec<Vec<u8>> =
        fs::read_dir(objects.path()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    left.sort_unstable();
    assert_eq!(left, [b"".to_vec(), b"both".to_vec()]);
}

#[test]
fn a_rename_that_nobody_synced_may_be_undone_and_is_never_half_done() {
    let mut seen = BTreeMap::new();
    for seed in 0..40 {
        for keep in ALL {
            let (disk, _objects) = disk(seed);
            disk.put_durably(ROOT, "now", b"old");
            let handle = disk.put(ROOT, "next", b"new");
            disk.sync(handle).unwrap();
            disk.rename((ROOT, "next"), (ROOT, "now"));
            assert_eq!(disk.all_of(ROOT, "now").unwrap(), b"new");
            disk.cut(keep);
            let now = disk.all_of(ROOT, "now").unwrap();
            let next = disk.all_of(ROOT, "next").is_ok();
            assert!((now == b"old") || (now == b"new" && !next), "seed {seed} {keep:?}: {now:?} {next}");
            *seen.entry((keep == Keep::Nothing, now)).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.remove(&(true, b"new".to_vec())), None);
    assert!(seen.len() == 3 && seen.values().all(|times| *times > 5), "{seen:?}");

    let (disk, _objects) = disk(1);
    disk.put_durably(ROOT, "now", b"old");
    disk.put_durably(ROOT, "next", b"new");
    disk.rename((ROOT, "next"), (ROOT, "now"));
    disk.sync_directory(ROOT).unwrap();
    disk.cut(Keep::Nothing);
    assert_eq!((disk.all_of(ROOT, "now").unwrap(), disk.all_of(ROOT, "next")), (b"new".to_vec(), Err(Errno::NOENT)));
}

// A file system that lost a file between two directories would be no model of any.
#[test]
fn a_move_between_directories_is_in_one_of_them_whatever_is_synced() {
    for seed in 0..100 {
        for keep in ALL {
            let (disk, _objects) = disk(seed);
            let (left, right) = (disk.make_directory(ROOT, "left"), disk.make_directory(ROOT, "right"));
            disk.sync_directory(ROOT).unwrap();
            disk.put_durably(left, "file", b"bytes");
            let other = disk.make(right, "other");
            disk.rename((left, "file"), (right, "file"));
            match seed % 3 {
                0 => disk.sync_directory(left).unwrap(),
                1 => disk.sync_directory(right).unwrap(),
                _ => {}
            }
            disk.cut(keep);
            let places = [left, right].map(|at| disk.all_of(at, "file").ok());
            let there = places.iter().flatten().count();
            assert_eq!(there, 1, "seed {seed}, {keep:?}");
            if seed % 3 < 2 {
                assert!(places[1].is_some(), "seed {seed}: it was synced");
                // Older changes of either directory are kept with it.
                assert_eq!(disk.look(|store| store.find(right, OsStr::new("other"))).unwrap().inode, other);
            }
        }
    }
}

#[test]
fn a_write_is_torn_at_borders_of_sectors_and_a_first_part_is_in_order() {
    let (mut torn, mut holes, mut tails) = (0, 0, 0);
    for seed in 0..200 {
        let (disk, _objects) = disk(seed);
        disk.put_durably(ROOT, "log", &[1; 700]);
        let handle = disk.open_at(ROOT, "log").unwrap();
        for part in 0..4_u64 {
            disk.write(handle, 700 + part * 3_000, &[2 + part as u8; 3_000]).unwrap();
        }
        // Some of it over what is there, some of it behind.
        disk.write(handle, 0, &[9; 700]).unwrap();
        let keep = [Keep::First, Keep::Any, Keep::Holes][seed as usize % 3];
        let cut = disk.cut(keep);
        assert_eq!(cut.kept + cut.torn + cut.lost, if keep == Keep::First { 5 + cut.torn } else { 5 });
        let left = disk.all_of(ROOT, "log").unwrap();
        assert!(
            left[..700].iter().all(|byte| [1, 9].contains(byte)),
            "seed {seed}: what was synced, or is there again"
        );
        assert_eq!(left[..512], [left[0]; 512], "seed {seed}: a sector");
        let zeros_from = left.iter().position(|byte| *byte == 0).unwrap_or(left.len());
        for (at, byte) in left.iter().enumerate().skip(700) {
            let written = 2 + ((at - 700) / 3_000) as u8;
            assert!(*byte == written || (*byte == 0 && keep != Keep::First), "seed {seed}: {byte} at {at}");
            // What was appended is there in order, and what is not is zeros, but where holes are asked for.
            assert!(keep == Keep::Holes || at < zeros_from || *byte == 0, "seed {seed}: {at}");
            // Within one sector of one write, all or nothing.
            if at > 700 && at % 512 != 0 && (at - 700) % 3_000 != 0 {
                assert_eq!(left[at - 1] == 0, *byte == 0, "seed {seed}: {at}");
            }
        }
        if keep == Keep::First {
            assert!((left.len() - 700).is_multiple_of(3_000) || left.len().is_multiple_of(512), "{}", left.len());
        }
        torn += cut.torn;
        holes += u64::from(keep == Keep::Holes && left.contains(&0));
        tails += u64::from(keep == Keep::Any && left.contains(&0));
    }
    assert!(torn > 20 && holes > 20 && tails > 5, "{torn} {holes} {tails}");
}

// A system whose sync failed takes the pages for clean; whoever asks again is told that all is well.
#[test]
fn a_sync_that_fails_drops_what_waited_and_the_next_one_says_yes() {
    let (disk, _objects) = disk(1);
    disk.put_durably(ROOT, "log", b"one");
    let handle = disk.open_at(ROOT, "log").unwrap();
    disk.write(handle, 3, b"two").unwrap();
    assert_eq!(disk.obey("fail sync 1"), "ok");
    assert_eq!(disk.sync(handle), Err(Errno::IO));
    disk.write(handle, 6, b"three").unwrap();
    disk.sync(handle).unwrap();
    assert_eq!(disk.all_of(ROOT, "log").unwrap(), b"onetwothree");
    for keep in ALL {
        disk.cut(keep);
        assert_eq!(disk.all_of(ROOT, "log").unwrap(), b"one\0\0\0three");
    }
}

#[test]
fn the_nth_call_of_a_kind_fails_and_no_other() {
    let (disk, _objects) = disk(1);
    let handle = disk.put(ROOT, "file", b"12345");
    disk.obey("fail write 2");
    disk.write(handle, 0, b"a").unwrap();
    disk.sync(handle).unwrap();
    assert_eq!(disk.write(handle, 0, b"b"), Err(Errno::IO));
    disk.write(handle, 0, b"c").unwrap();
    assert_eq!(disk.all_of(ROOT, "file").unwrap(), b"c2345");
    disk.obey("fail read 1");
    assert_eq!((disk.read(handle, 0, 9), disk.read(handle, 0, 1)), (Err(Errno::IO), Ok(b"c".to_vec())));
    disk.obey("fail name 1");
    assert_eq!(disk.change(|store| store.resize(1, 0)), Err(Errno::IO));
    assert_eq!(disk.obey("heal"), "ok met=3");
    assert!(
        ["fail", "fail sleep 1", "lose-power all", "stall 1", "room x", ""]
            .iter()
            .all(|it| { disk.obey(it).starts_with("no ") })
    );
}

#[test]
fn a_lie_is_told_at_once_and_found_out_at_the_power_cut() {
    let (disk, _objects) = disk(1);
    disk.put_durably(ROOT, "before", b"honest");
    disk.obey("lie");
    disk.put_durably(ROOT, "after", b"lied");
    assert_eq!(disk.all_of(ROOT, "after").unwrap(), b"lied");
    disk.cut(Keep::Nothing);
    assert_eq!(disk.all_of(ROOT, "before").unwrap(), b"honest");
    assert_eq!(disk.all_of(ROOT, "after"), Err(Errno::NOENT));
    disk.obey("heal");
    disk.put_durably(ROOT, "after", b"kept");
    disk.cut(Keep::Nothing);
    assert_eq!(disk.all_of(ROOT, "after").unwrap(), b"kept");
}

#[test]
fn a_full_disk_and_one_that_is_only_read_refuse_what_they_must() {
    let (disk, _objects) = disk(1);
    let handle = disk.put(ROOT, "file", b"12345");
    disk.obey("room 4");
    disk.write(handle, 5, b"6789").unwrap();
    assert_eq!(disk.write(handle, 9, b"0"), Err(Errno::NOSPC));
    assert_eq!(disk.change(|store| store.create(ROOT, OsStr::new("x"), 0, false)), Err(Errno::NOSPC));
    disk.sync(handle).unwrap();
    disk.obey("heal");
    disk.obey("read-only");
    assert_eq!(disk.write(handle, 0, b"x"), Err(Errno::ROFS));
    assert_eq!(disk.change(|store| store.remove(ROOT, OsStr::new("file"), false)), Err(Errno::ROFS));
    assert_eq!(disk.all_of(ROOT, "file").unwrap(), b"123456789");
    assert_eq!(disk.obey("heal"), "ok met=2");
}

#[test]
fn a_wrong_bit_is_read_once_and_a_flipped_one_for_good() {
    let (disk, _objects) = disk(3);
    disk.put_durably(ROOT, "file", &[0; 100]);
    let ones = |bytes: &[u8]| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
    disk.obey("spoil 2");
    let read = |_| ones(&disk.all_of(ROOT, "file").unwrap());
    assert_eq!([0, 1, 2].map(read), [0, 1, 0]);
    assert_eq!(disk.obey("flip"), "ok flipped=1");
    assert_eq!([0, 1, 2].map(read), [1, 1, 1]);
}

#[test]
fn who_waits_on_a_disk_that_stalls_goes_on_when_it_is_healed() {
    let (disk, _objects) = disk(1);
    let handle = disk.put(ROOT, "file", b"12345");
    disk.obey("stall 600000 sync");
    disk.write(handle, 0, b"x").unwrap();
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| disk.sync(handle));
        while disk.obey("show") != "ok files=1 names=1 bytes=6 met=1" {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!syncing.is_finished());
        disk.obey("heal");
        syncing.join().unwrap().unwrap();
    });
    disk.obey("stall 1 all");
    let begun = Instant::now();
    disk.sync(handle).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(1));
}

#[test]
fn a_file_without_a_name_stays_while_it_is_open_and_its_object_goes_then() {
    let (disk, objects) = disk(1);
    let count = || fs::read_dir(objects.path()).unwrap().count();
    disk.put_durably(ROOT, "file", b"bytes");
    let handle = disk.open_at(ROOT, "file").unwrap();
    disk.change(|store| store.remove(ROOT, OsStr::new("file"), false)).unwrap();
    assert_eq!(disk.read(handle, 0, 9).unwrap(), b"bytes");
    disk.close(handle);
    assert_eq!(count(), 1, "a power cut may still undo it");
    disk.sync_directory(ROOT).unwrap();
    assert_eq!(count(), 0);
}

/// What a directory holds, by path.
fn plain(at: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    fn walk(at: &Path, root: &Path, into: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_owned();
            if path.is_dir() {
                into.insert(name, None);
                walk(&path, root, into);
            } else {
                into.insert(name, Some(fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(at, at, &mut found);
    found
}

/// One random change, the same to any directory.
fn shake(at: &Path, chance: &mut Chance) {
    let names = ["a", "b", "c", "d/a", "d/b", "e/a", "e/b"];
    let path = at.join(chance.one_of(&names).unwrap());
    let place = chance.below(9_000);
    let bytes = vec![1 + chance.below(255) as u8; chance.below(5_000) as usize];
    let other = at.join(chance.one_of(&names).unwrap());
    match chance.below(7) {
        0 => drop(fs::create_dir(at.join(if place.is_multiple_of(2) { "d" } else { "e" }))),
        1 => drop(fs::remove_file(path)),
        2 => drop(fs::rename(path, other)),
        3 => drop(File::options().write(true).open(path).and_then(|file| file.set_len(place))),
        4 => drop(fs::write(path, bytes)),
        5 => drop(fs::hard_link(path, other)),
        _ => {
            let file = File::options().write(true).create(true).truncate(false).open(path);
            drop(file.and_then(|file| file.write_all_at(&bytes, place)));
        }
    }
}

fn sync_everything(at: &Path) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sync_everything(&path);
        } else {
            File::open(&path).unwrap().sync_all().unwrap();
        }
    }
    File::open(at).unwrap().sync_all().unwrap();
}

/// A disk mounted at `at`; `None`, and why, where that cannot be had.
#[expect(clippy::print_stderr, reason = "why nothing was tested")]
fn mount(places: &Path, seed: u64) -> Option<(Arc<Disk>, PathBuf, fuser::BackgroundSession)> {
    let [at, objects] = ["mounted", "objects"].map(|name| places.join(name));
    [&at, &objects].iter().for_each(|path| fs::create_dir(path).unwrap());
    let disk = Arc::new(Disk::new(&objects, seed));
    match fuser::Session::new(Mounted(Arc::clone(&disk)), &at, &fuser::Config::default()) {
        Ok(session) => Some((disk, at, session.spawn().unwrap())),
        Err(error) if rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists() => panic!("{error}"),
        Err(error) => {
            eprintln!("left out: a file system cannot be mounted here: {error}");
            None
        }
    }
}

// The kernel has its say: what it asks of a file system is not what its manual says. A plain directory says what is right.
#[test]
fn mounted_it_is_a_file_system_like_another_until_the_power_is_cut() {
    let places = tempfile::tempdir().unwrap();
    let plain_at = places.path().join("plain");
    fs::create_dir(&plain_at).unwrap();
    let Some((disk, at, serving)) = mount(places.path(), 1) else { return };

    let mut chance = Chance::of(1, 33);
    for round in 0..6 {
        for _ in 0..120 {
            let mut same = chance.clone();
            shake(&plain_at, &mut chance);
            shake(&at, &mut same);
        }
        let before = plain(&plain_at);
        assert_eq!(plain(&at), before, "round {round}");
        sync_everything(&at);
        for _ in 0..20 {
            shake(&at, &mut chance);
        }
        assert_ne!(plain(&at), before, "round {round}");
        disk.cut(Keep::Nothing);
        assert_eq!(plain(&at), before, "round {round}: a power cut leaves what was synced");
    }

    // Errors come through as they are, and appending programs append.
    let mut file = File::options().append(true).create(true).open(at.join("appended")).unwrap();
    file.write_all(b"one").unwrap();
    file.write_all(b"two").unwrap();
    assert_eq!(fs::read(at.join("appended")).unwrap(), b"onetwo");
    file.lock().unwrap();
    let other = File::open(at.join("appended")).unwrap();
    assert!(matches!(other.try_lock(), Err(std::fs::TryLockError::WouldBlock)));
    disk.obey("room 0");
    assert_eq!(file.write_all(b"x").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(rustix::fs::statvfs(&at).unwrap().f_bavail, 0);
    disk.obey("heal");
    disk.obey("fail sync 1");
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(Errno::IO.raw_os_error()));
    disk.obey("heal");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 5_000).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 5_000);
    // Open across a power cut: dead.
    disk.cut(Keep::Nothing);
    let mut read = Vec::new();
    assert!((&file).write_all(b"x").is_err() && (&other).read_to_end(&mut read).is_err());
    drop((file, other));
    serving.umount_and_join().unwrap();
    assert_eq!(plain(&at), BTreeMap::new());
    let before = BTreeMap::from([(PathBuf::from("left"), Some(b"bytes".to_vec()))]);
    let disk = Arc::into_inner(disk).unwrap();
    disk.put(ROOT, "left", b"bytes");
    for name in disk.look(|store| store.list(ROOT)).unwrap().into_iter().map(|(.., name)| name) {
        if name != "left" {
            let _ = disk.change(|store| store.remove(ROOT, &name, false));
        }
    }
    disk.into_store().leave(&at).unwrap();
    let left = plain(&at).into_iter().filter(|(_, bytes)| bytes.is_some() && bytes.as_ref().unwrap() == b"bytes");
    assert_eq!(left.collect::<BTreeMap<_, _>>(), before);
}

/// Row keys stand before the rows: what is told apart here is what a power cut leaves, not who may read it.
struct PlainSeal;

impl RowSeal for PlainSeal {
    fn seal(&self, row_key: &[u8], plaintext: &[u8]) -> Vec<u8> {
        [row_key, plaintext].concat()
    }

    fn open(&self, row_key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        sealed.strip_prefix(row_key).map(<[u8]>::to_vec).ok_or(OpenError)
    }
}

// CHECKPOINT says that rows are durable: a start after a power cut that finds them gone rebuilds the state from a snapshot, and
// when many nodes lose power together, all of them do.
#[test]
fn rows_that_were_called_durable_outlive_a_power_cut_in_both_engines() {
    for (engine, keeps) in [
        (EngineKind::Fjall, &[Keep::Nothing, Keep::First]),
        // What it writes in place and does not sync may be torn, and then it may not open: the log brings the rows again.
        (EngineKind::Sled, &[Keep::Nothing, Keep::Nothing]),
    ] {
        for (seed, keep) in (0..12).zip(keeps.iter().cycle()) {
            let places = tempfile::tempdir().unwrap();
            let Some((disk, at, serving)) = mount(places.path(), seed) else { return };
            let owner = Owner { cluster: ClusterId::from_bytes([9; 16]), incarnation: 1, node: NodeId(3) };
            let options = Options { dir: at.join("state"), owner, engine, seal: Arc::new(PlainSeal) };
            let open = || {
                let snapshots = Snapshots::open(&at.join("snapshots"), Arc::new(PlainSeal)).unwrap();
                rebuild::open(&options, &snapshots).unwrap()
            };
            let apply = |store: &dyn StateStore, index: u64| {
                let key = [&[0x10], index.to_be_bytes().as_slice()].concat();
                let applied = EntryId { term: 1, node: 1, index };
                let (changes, membership) = (BTreeMap::from([(key, Some(vec![7; 900]))]), Some(b"members".to_vec()));
                store.apply(&Batch { changes, applied, membership, chain: [1; 32], last_time: 1 }).unwrap();
            };
            let opened = open();
            assert_eq!(opened.start, Start::Created);
            // Not even a first batch: a node that was just made is no exception.
            let durable = if seed % 4 < 2 { 0 } else { 40 };
            (1..=durable).for_each(|index| apply(&*opened.store, index));
            opened.store.checkpoint().unwrap();
            (durable + 1..=durable + 30).for_each(|index| apply(&*opened.store, index));
            disk.cut(*keep);
            drop(opened);
            let opened = open();
            assert_eq!(opened.start, Start::Verified, "{engine:?}, seed {seed}, {keep:?}");
            assert!(opened.store.count() >= durable);
            drop(opened);
            serving.umount_and_join().unwrap();
        }
    }
}
