#![allow(clippy::unwrap_used)]

use super::super::disk::Call;
use super::super::testing;
use super::*;
use crate::clock::ScriptedClock;
use crate::entropy::SystemEntropy;
use rustix::io::Errno;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

fn bytes(seed: u8) -> Vec<u8> {
    (0..10_000_u32).map(|at| u8::try_from(at % 241).unwrap() ^ seed).collect()
}

fn put(directory: &ChunkDirectory, seed: u8) -> ChunkId {
    directory.put(chunk_id(&bytes(seed)), &bytes(seed)).unwrap().id
}

fn bad(directory: &ChunkDirectory) -> u64 {
    directory.figures().bad.iter().sum()
}

/// What the files say about themselves must be what the directory says.
fn assert_consistent(home: &Path, directory: &ChunkDirectory) {
    assert_eq!(testing::names(&home.join("chunks/incoming")), Vec::<String>::new());
    let mut on_disk: Vec<String> = Vec::new();
    for number in 0..=u8::MAX {
        on_disk.extend(testing::names(&home.join(format!("chunks/{number:02x}"))));
    }
    let held: Vec<String> = directory.list(None, usize::MAX).iter().map(|chunk| chunk.id.to_string()).collect();
    assert_eq!(held, on_disk);
    assert_eq!(directory.figures().held.count, held.len() as u64);
}

#[test]
fn a_chunk_that_was_taken_is_given_back_listed_and_private() {
    let home = tempfile::tempdir().unwrap();
    let directory = testing::open(home.path());
    assert!(directory.found().is_new);
    let receipt = directory.put(chunk_id(&bytes(1)), &bytes(1)).unwrap();
    let expected =
        Receipt { id: chunk_id(&bytes(1)), bytes: 10_000, incarnation: directory.incarnation(), was_here: false };
    assert_eq!(receipt, expected);
    assert_eq!(directory.get(receipt.id).unwrap(), bytes(1));
    assert_eq!(directory.put(receipt.id, &bytes(1)).unwrap(), Receipt { was_here: true, ..expected });
    let path = testing::path_of(home.path(), &receipt.id);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let held = HeldChunk {
        id: receipt.id,
        bytes: 10_000,
        checked_at: plantao_domain::ClusterTime::from_millis(testing::NOW).unwrap(),
    };
    assert_eq!(directory.list(None, 10), [held]);
    assert_eq!(directory.held(&receipt.id), Some(held));
    let figures = directory.figures();
    assert_eq!((figures.written, figures.found_here, figures.read), (1, 1, 1));
    assert_consistent(home.path(), &directory);
}

#[test]
fn what_is_not_the_chunk_it_is_said_to_be_is_refused_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let directory = testing::open(home.path());
    let id = chunk_id(&bytes(1));
    assert!(matches!(directory.put(id, &bytes(2)), Err(PutError::OtherBytes { .. })));
    assert!(matches!(directory.put(id, b""), Err(PutError::Size { bytes: 0, .. })));
    let long = vec![0; CHUNK_BYTES_MAX + 1];
    assert!(matches!(directory.put(chunk_id(&long), &long), Err(PutError::Size { .. })));
    assert!(matches!(directory.get(id), Err(GetError::Missing { .. })));
    let longest = &long[1..];
    assert_eq!(directory.put(chunk_id(longest), longest).unwrap().bytes as usize, CHUNK_BYTES_MAX);
    assert_eq!(directory.get(chunk_id(longest)).unwrap(), longest);
    assert_consistent(home.path(), &directory);
}

/// One damage of each sort, found by a read, by a scrub and by a put: set aside, counted, missing, and healed by the
/// next put.
#[test]
fn every_damage_is_found_set_aside_and_healed() {
    type Damage = fn(&Path, &Path);
    let damages: [(&str, Fault, Damage); 9] = [
        ("truncated", Fault::Digest, |path, _| fs::write(path, &bytes(1)[..5_000]).unwrap()),
        ("emptied", Fault::Length, |path, _| fs::write(path, b"").unwrap()),
        ("lengthened", Fault::Digest, |path, _| fs::write(path, [bytes(1).as_slice(), b"x"].concat()).unwrap()),
        ("overlong", Fault::Length, |path, _| fs::write(path, vec![1; CHUNK_BYTES_MAX + 1]).unwrap()),
        ("one bit", Fault::Digest, |path, _| {
            let mut rotten = bytes(1);
            rotten[4_321] ^= 0x10;
            fs::write(path, rotten).unwrap();
        }),
        ("swapped", Fault::Digest, |path, other| {
            fs::copy(other, path).unwrap();
        }),
        ("a directory", Fault::NotAFile, |path, _| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            fs::write(path.join("somebody's"), b"file").unwrap();
        }),
        ("a link to the very bytes", Fault::NotAFile, |path, other| {
            let elsewhere = other.with_file_name("elsewhere");
            fs::rename(path, &elsewhere).unwrap();
            symlink(&elsewhere, path).unwrap();
        }),
        ("a pipe", Fault::NotAFile, |path, _| {
            fs::remove_file(path).unwrap();
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        }),
    ];
    type Finder = fn(&ChunkDirectory, ChunkId) -> Option<Fault>;
    fn fault_of<T>(result: Result<T, GetError>) -> Option<Fault> {
        match result {
            Err(GetError::SetAside { fault, .. }) => Some(fault),
            _ => None,
        }
    }
    let finders: [(&str, Finder); 3] = [
        ("get", |directory, id| fault_of(directory.get(id))),
        ("check", |directory, id| fault_of(directory.check(id))),
        ("put", |directory, id| {
            let before = directory.figures().bad;
            assert!(!directory.put(id, &bytes(1)).unwrap().was_here);
            let at = directory.figures().bad.iter().zip(before).position(|(now, before)| *now > before);
            at.map(|at| Fault::ALL[at])
        }),
    ];
    let home = tempfile::tempdir().unwrap();
    let quarantine = home.path().join("chunks/quarantine");
    for (damage, fault, inflict) in damages {
        // As after a restart, so that damage done by one life is found by the next.
        let directory = testing::open(home.path());
        for (finder, find) in finders {
            let name = format!("{damage}, found by {finder}");
            let (id, other) = (put(&directory, 1), put(&directory, 2));
            let (bad_before, aside_before) = (bad(&directory), testing::names(&quarantine).len());
            inflict(&testing::path_of(home.path(), &id), &testing::path_of(home.path(), &other));
            assert_eq!(find(&directory, id), Some(fault), "{name}");
            assert_eq!(bad(&directory), bad_before + 1, "{name}");
            assert_eq!(testing::names(&quarantine).len(), aside_before + 1, "{name}");
            if finder != "put" {
                assert!(directory.get(id).unwrap_err().is_missing_here(), "{name}");
                assert_eq!(directory.held(&id), None, "{name}");
                assert!(!directory.put(id, &bytes(1)).unwrap().was_here, "{name}");
            }
            assert_eq!(directory.get(id).unwrap(), bytes(1), "{name}");
            assert_eq!(directory.get(other).unwrap(), bytes(2), "{name}: another chunk suffered");
        }
        drop(directory);
        let directory = testing::open(home.path());
        assert_eq!(directory.get(chunk_id(&bytes(1))).unwrap(), bytes(1), "{damage}");
        assert_eq!(directory.figures().held.count, 2, "{damage}");
    }
}

/// A disk that does not give a file back makes it a bad copy; a system without descriptors or memory says nothing about
/// it.
#[test]
fn an_unreadable_copy_is_bad_and_one_that_could_not_be_asked_is_not() {
    let home = tempfile::tempdir().unwrap();
    let directory = testing::open(home.path());
    let id = put(&directory, 1);
    for call in [Call::Open, Call::Read] {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            directory.faults().order(call, 0, errno);
            assert!(matches!(directory.get(id), Err(GetError::Read { .. })));
        }
    }
    assert_eq!(directory.get(id).unwrap(), bytes(1));
    for (call, errno) in [(Call::Open, Errno::ACCESS), (Call::Read, Errno::IO)] {
        // One failure alone is asked again under the lock.
        directory.faults().order(call, 0, errno);
        assert_eq!(directory.get(id).unwrap(), bytes(1));
        directory.faults().order(call, 0, errno);
        directory.faults().order(call, 0, errno);
        assert!(matches!(directory.get(id), Err(GetError::SetAside { fault: Fault::Unreadable, .. })));
        assert!(!directory.put(id, &bytes(1)).unwrap().was_here);
    }
    assert!(directory.faults().all_happened());
    assert_eq!(bad(&directory), 2);
}

/// Nothing half-visible, space given back, a clear error, and the store serves on.
#[test]
fn a_full_disk_costs_the_one_chunk() {
    for (call, errno) in [
        (Call::Create, Errno::NOSPC),
        (Call::Write, Errno::NOSPC),
        (Call::Write, Errno::DQUOT),
        (Call::SyncFile, Errno::NOSPC),
        (Call::Rename, Errno::NOSPC),
    ] {
        let home = tempfile::tempdir().unwrap();
        let directory = testing::open(home.path());
        let before = put(&directory, 1);
        directory.faults().order(call, 0, errno);
        let refused = directory.put(chunk_id(&bytes(2)), &bytes(2));
        assert!(matches!(refused, Err(PutError::Full { .. })), "{call:?}: {refused:?}");
        assert!(matches!(directory.get(chunk_id(&bytes(2))), Err(GetError::Missing { .. })), "{call:?}");
        assert_consistent(home.path(), &directory);
        assert_eq!(directory.figures().full, 1);
        assert_eq!(directory.get(before).unwrap(), bytes(1));
        assert!(!directory.put(chunk_id(&bytes(2)), &bytes(2)).unwrap().was_here, "{call:?}: there is room again");
    }
}

#[test]
fn what_is_reserved_for_the_log_is_not_touched() {
    let home = tempfile::tempdir().unwrap();
    let options = DirectoryOptions { path: home.path().join("chunks"), reserve_bytes: u64::MAX };
    let directory = ChunkDirectory::open(options, Arc::new(ScriptedClock::new(1)), Arc::new(SystemEntropy)).unwrap();
    match directory.put(chunk_id(&bytes(1)), &bytes(1)) {
        Err(PutError::Full { free_bytes, reserve_bytes: u64::MAX }) => assert!(free_bytes > 0),
        other => panic!("{other:?}"),
    }
    assert_consistent(home.path(), &directory);
}

/// A file system of 3 MiB that really fills. Only where a user may mount one for itself; the errors that it gives are
/// also ordered above, everywhere.
#[test]
#[allow(clippy::print_stdout)]
fn a_disk_that_is_really_full_is_told_and_served() {
    const HOME: &str = "PLANTAO_TEST_SMALL_DISK";
    let Some(home) = std::env::var_os(HOME) else {
        let home = tempfile::tempdir().unwrap();
        let name = "chunks::directory::tests::a_disk_that_is_really_full_is_told_and_served";
        let script = format!("mount -t tmpfs -o size=3m none \"${HOME}\" && exec \"$0\" --exact {name} --nocapture");
        let run = std::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .arg(std::env::current_exe().unwrap())
            .env(HOME, home.path())
            .output();
        match run {
            Ok(output) if output.status.success() => {
                let told = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(told.contains("the small disk was filled"), "{told}");
            }
            Ok(output) if output.stdout.is_empty() => println!("no small disk can be mounted here"),
            Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stdout)),
            Err(error) => println!("no small disk can be mounted here: {error}"),
        }
        return;
    };
    let home = Path::new(&home);
    let directory = testing::open(home);
    let chunk = |seed: u8| vec![seed; 1 << 20];
    let mut taken = Vec::new();
    let refused = loop {
        let bytes = chunk(u8::try_from(taken.len()).unwrap());
        match directory.put(chunk_id(&bytes), &bytes) {
            Ok(receipt) => taken.push(receipt.id),
            Err(error) => break error,
        }
        assert!(taken.len() < 4, "the disk takes more than it has");
    };
    assert!(matches!(refused, PutError::Full { .. }), "{refused:?}");
    assert_consistent(home, &directory);
    for (seed, id) in (0..).zip(&taken) {
        assert_eq!(directory.get(*id).unwrap(), chunk(seed));
    }
    let first = directory.remove(taken[0], |_| true).unwrap();
    assert_eq!(first, Removal::Removed { bytes: 1 << 20 });
    directory.put(chunk_id(&chunk(200)), &chunk(200)).unwrap();
    println!("the small disk was filled");
}

/// After a failed sync nobody knows what the system's memory still has: no receipt is given until the node was
/// restarted.
#[test]
fn a_failed_sync_poisons_the_store_until_it_is_opened_again() {
    for call in [Call::SyncFile, Call::SyncDirectory] {
        let home = tempfile::tempdir().unwrap();
        let directory = testing::open(home.path());
        let before = put(&directory, 1);
        directory.faults().order(call, 0, Errno::IO);
        let failed = directory.put(chunk_id(&bytes(2)), &bytes(2));
        assert!(matches!(failed, Err(PutError::Sync(_))), "{call:?}: {failed:?}");
        for seed in [1, 2, 3] {
            let refused = directory.put(chunk_id(&bytes(seed)), &bytes(seed));
            assert!(matches!(refused, Err(PutError::Poisoned)), "{call:?}: {refused:?}");
        }
        assert!(matches!(directory.remove(before, |_| true), Err(RemoveError::Poisoned)));
        assert!(directory.figures().poisoned);
        assert_eq!(directory.get(before).unwrap(), bytes(1), "{call:?}: reads go on");
        assert_consistent(home.path(), &directory);
        drop(directory);
        let directory = testing::open(home.path());
        for seed in [1, 2, 3] {
            put(&directory, seed);
        }
    }
}

/// A put that is cut at any of its steps leaves the chunk whole or absent, and the next start nothing of it.
#[test]
fn a_put_that_is_cut_anywhere_leaves_all_or_nothing() {
    let home = tempfile::tempdir().unwrap();
    let incoming = home.path().join("chunks/incoming");
    testing::open(home.path());
    // What a process that was killed leaves: an empty file, half a file, a whole one that was not renamed.
    for (name, content) in [("0", &b""[..]), ("1", &bytes(1)[..99]), ("2", &bytes(1)[..])] {
        fs::write(incoming.join(name), content).unwrap();
    }
    let directory = testing::open(home.path());
    assert_eq!(directory.found().leftovers, 3);
    assert!(!directory.found().is_new);
    assert!(matches!(directory.get(chunk_id(&bytes(1))), Err(GetError::Missing { .. })));
    for call in [Call::Open, Call::Free, Call::Create, Call::Write, Call::SyncFile, Call::Rename] {
        directory.faults().order(call, 0, Errno::NOMEM);
        let failed = directory.put(chunk_id(&bytes(1)), &bytes(1));
        assert!(failed.is_err(), "{call:?}");
        assert_consistent(home.path(), &directory);
        assert_eq!(directory.figures().held.count, 0, "{call:?}");
        if matches!(failed, Err(PutError::Sync(_))) {
            break;
        }
    }
}

#[test]
fn a_start_knows_what_is_there_and_passes_over_what_is_not_ours() {
    let home = tempfile::tempdir().unwrap();
    let (ids, incarnation) = {
        let directory = testing::open(home.path());
        ((1..=20).map(|seed| put(&directory, seed)).collect::<Vec<_>>(), directory.incarnation())
    };
    for name in ["README", &"0".repeat(63), &"A".repeat(64)] {
        fs::write(home.path().join("chunks/00").join(name), b"x").unwrap();
    }
    // The right sort of name in the wrong partition is not a chunk either: nobody would look for it there.
    fs::write(home.path().join("chunks/00").join("ff".repeat(32)), b"x").unwrap();
    let directory = testing::open(home.path());
    assert_eq!(directory.found(), Found { foreign: 4, ..Found::default() });
    assert_eq!(directory.incarnation(), incarnation);
    let mut sorted = ids;
    sorted.sort();
    assert_eq!(directory.list(None, 100).iter().map(|chunk| chunk.id).collect::<Vec<_>>(), sorted);
    assert_eq!(directory.list(Some(&sorted[4]), 3).iter().map(|chunk| chunk.id).collect::<Vec<_>>(), sorted[5..8]);
    assert_eq!(directory.figures().held.bytes, 200_000);
}

#[test]
fn a_lost_directory_is_told_and_comes_back_as_another_one() {
    let home = tempfile::tempdir().unwrap();
    let chunks = home.path().join("chunks");
    let directory = testing::open(home.path());
    let id = put(&directory, 1);
    let first = directory.incarnation();
    assert_eq!(directory.renew().unwrap(), first, "nothing is lost");
    for lose in [
        |chunks: &Path| fs::remove_dir_all(chunks).unwrap(),
        |chunks: &Path| {
            for number in 0..=u8::MAX {
                fs::remove_dir_all(chunks.join(format!("{number:02x}"))).unwrap();
            }
        },
    ] {
        let before = directory.incarnation();
        lose(&chunks);
        assert!(!directory.is_there());
        assert!(matches!(directory.get(id), Err(GetError::Missing { .. })));
        let lost = directory.put(id, &bytes(1));
        assert!(matches!(lost, Err(PutError::Lost)), "{lost:?}");
        assert!(directory.renew().unwrap() != before);
        assert!(directory.is_there());
        assert_eq!(directory.figures().held.count, 0);
        let receipt = directory.put(id, &bytes(1)).unwrap();
        assert!(receipt.incarnation == directory.incarnation() && receipt.incarnation != before);
        assert_consistent(home.path(), &directory);
    }
}

#[test]
fn a_removal_asks_under_the_lock_and_gives_the_space_back() {
    let home = tempfile::tempdir().unwrap();
    let directory = testing::open(home.path());
    let (id, other) = (put(&directory, 1), put(&directory, 2));
    let mut seen = None;
    let kept = directory.remove(id, |presence| {
        seen = Some(*presence);
        false
    });
    assert_eq!(kept.unwrap(), Removal::Kept);
    let presence = seen.unwrap();
    assert!(presence.chunk.id == id && presence.quiet_for < Duration::from_secs(60));
    assert_eq!(directory.get(id).unwrap(), bytes(1));
    assert_eq!(directory.remove(id, |_| true).unwrap(), Removal::Removed { bytes: 10_000 });
    assert_eq!(directory.remove(id, |_| panic!("there is nothing to ask about")).unwrap(), Removal::NotHere);
    assert!(matches!(directory.get(id), Err(GetError::Missing { .. })));
    assert_eq!(directory.get(other).unwrap(), bytes(2));
    fs::remove_file(testing::path_of(home.path(), &other)).unwrap();
    assert_eq!(directory.remove(other, |_| true).unwrap(), Removal::NotHere);
    assert_consistent(home.path(), &directory);
}

/// The re-check must see a put that came before it, and a put that comes after must write anew: whichever comes first,
/// a receipt means that the chunk is here. The hold of this re-check is an hour, and the copy of each turn is older.
#[test]
fn a_put_and_a_removal_never_leave_a_receipt_without_its_chunk() {
    const HOLD: Duration = Duration::from_secs(3_600);
    let home = tempfile::tempdir().unwrap();
    let mut directory = testing::open(home.path());
    directory.opened = Instant::now().checked_sub(2 * HOLD).unwrap();
    let id = chunk_id(&bytes(1));
    let mut removed = 0;
    for turn in 0..200 {
        fs::write(testing::path_of(home.path(), &id), bytes(1)).unwrap();
        directory.held.note_put(id, 10_000, Seconds(0), 0);
        std::thread::scope(|scope| {
            let putting = scope.spawn(|| directory.put(id, &bytes(1)).unwrap());
            // Either may come first; in the last turn the put certainly does.
            (0..turn * 20).for_each(|_| std::hint::spin_loop());
            while turn == 199 && !putting.is_finished() {
                std::thread::yield_now();
            }
            let removal = directory.remove(id, |presence| presence.quiet_for >= HOLD).unwrap();
            let receipt = putting.join().unwrap();
            assert_eq!(directory.get(id).unwrap(), bytes(1), "{removal:?}, then {receipt:?}");
            removed += u32::from(matches!(removal, Removal::Removed { .. }));
        });
    }
    assert!(removed < 200, "the put of the last turn was not seen");
    assert_consistent(home.path(), &directory);
}

#[test]
fn the_quarantine_is_bounded_and_never_eats_a_directory() {
    let home = tempfile::tempdir().unwrap();
    let directory = testing::open(home.path());
    let quarantine = home.path().join("chunks/quarantine");
    let rounds = QUARANTINE_COUNT_MAX + 20;
    for round in 0..rounds {
        let bytes = round.to_le_bytes();
        let id = chunk_id(&bytes);
        fs::write(testing::path_of(home.path(), &id), b"rotten").unwrap();
        assert!(matches!(directory.get(id), Err(GetError::SetAside { .. })));
    }
    assert_eq!(bad(&directory), rounds);
    assert_eq!(testing::names(&quarantine).len() as u64, QUARANTINE_COUNT_MAX);
    let id = put(&directory, 1);
    let path = testing::path_of(home.path(), &id);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("somebody's"), b"file").unwrap();
    assert!(matches!(directory.get(id), Err(GetError::SetAside { fault: Fault::NotAFile, .. })));
    assert_eq!(testing::names(&quarantine).len() as u64, QUARANTINE_COUNT_MAX + 1);
    drop(directory);
    // The bound holds over restarts.
    let directory = testing::open(home.path());
    fs::write(testing::path_of(home.path(), &chunk_id(b"one more")), b"rotten").unwrap();
    assert!(directory.get(chunk_id(b"one more")).is_err());
    assert_eq!(testing::names(&quarantine).len() as u64, QUARANTINE_COUNT_MAX + 1);
}

/// Eight threads put, read, check, rot and remove the same dozen chunks. Nobody ever gets bytes that are not the chunk,
/// and at the end the lists say what the disk says.
#[test]
fn everything_at_once_gives_good_bytes_or_none() {
    const SEED: u64 = 0x706c_616e_7461_6f31;
    let home = tempfile::tempdir().unwrap();
    let directory = testing::open(home.path());
    let (read, rotted) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (directory, home, read, rotted) = (&directory, home.path(), &read, &rotted);
            scope.spawn(move || {
                let mut random = blake3::Hasher::new().update(&(SEED + thread).to_le_bytes()).finalize_xof();
                for _ in 0..150 {
                    let mut dice = [0; 2];
                    random.fill(&mut dice);
                    let seed = dice[0] % 12;
                    let id = chunk_id(&bytes(seed));
                    match dice[1] % 16 {
                        0..=5 => assert_eq!(directory.put(id, &bytes(seed)).unwrap().id, id),
                        6..=10 => {
                            if let Ok(got) = directory.get(id) {
                                assert_eq!(got, bytes(seed));
                                read.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        11..=12 => drop(directory.check(id)),
                        13 => drop(directory.remove(id, |_| true).unwrap()),
                        _ => {
                            // As rot does it: in place, on a file that may be being read.
                            if let Ok(file) = fs::OpenOptions::new().write(true).open(testing::path_of(home, &id)) {
                                std::os::unix::fs::FileExt::write_all_at(&file, b"rot", 5_000).unwrap();
                                rotted.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    assert!(read.load(Ordering::Relaxed) > 50 && rotted.load(Ordering::Relaxed) > 20, "seed {SEED:x}: too quiet");
    assert_consistent(home.path(), &directory);
    for seed in 0..12 {
        put(&directory, seed);
        assert_eq!(directory.get(chunk_id(&bytes(seed))).unwrap(), bytes(seed), "seed {SEED:x}");
    }
}

/// A hundred thousand chunks must be cheap to start with. Their files are empty here: only names and sizes are read.
#[test]
#[allow(clippy::print_stdout)]
fn a_start_with_many_chunks_is_quick() {
    let home = tempfile::tempdir().unwrap();
    drop(testing::open(home.path()));
    for number in 0..5_000_u32 {
        let id = ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes());
        fs::File::create(testing::path_of(home.path(), &id)).unwrap();
    }
    let started = Instant::now();
    let directory = testing::open(home.path());
    assert_eq!(directory.figures().held.count, 5_000);
    let took = started.elapsed();
    println!("start with 5,000 chunks: {took:?}");
    // This is for what grows with the square; the machine may stand still meanwhile.
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// Somebody removed files by hand: nothing reads them for weeks, and the list must not promise them until then.
#[test]
fn a_copy_whose_name_is_gone_is_forgotten_without_reading() {
    let home = tempfile::tempdir().unwrap();
    let directory = testing::open(home.path());
    let ids: Vec<ChunkId> = (0..40_u8)
        .map(|byte| {
            let bytes = vec![byte; 500];
            directory.put(chunk_id(&bytes), &bytes).unwrap().id
        })
        .collect();
    fs::remove_file(testing::path_of(home.path(), &ids[3])).unwrap();
    fs::remove_file(testing::path_of(home.path(), &ids[9])).unwrap();
    let vanished: usize = (0..=u8::MAX).map(|partition| directory.forget_vanished(partition).unwrap()).sum();
    assert_eq!(vanished, 2);
    assert!(directory.held(&ids[3]).is_none() && directory.held(&ids[4]).is_some());
    assert_eq!(directory.figures().held.count, 38);
    assert!(directory.written_at(&ids[4]).unwrap() > ClusterTime::from_millis(1_700_000_000_000).unwrap());
    assert_eq!(directory.written_at(&ids[3]), None);
}
