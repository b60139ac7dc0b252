//! Crashes, damage and loss against real files. A log that opens holds what was acknowledged; else it does not open.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use super::testing::{TagSeal, create, identity, seal};
use super::*;

/// Entry and content of `index` in `term`; a reader can check both.
fn entry(term: u64, index: u64) -> LogEntry {
    let id = EntryId { term, node: 1, index };
    let mut payload = format!("{index} of {term}").into_bytes();
    payload.resize(payload.len() + usize::try_from(index % 7).unwrap(), b'.');
    LogEntry { id, payload: payload.into() }
}

async fn append(wal: &Wal, entries: Vec<LogEntry>) -> Result<(), WalError> {
    let (sender, synced) = tokio::sync::oneshot::channel();
    wal.append(entries, |outcome| sender.send(outcome).unwrap()).await?;
    synced.await.unwrap()
}

fn open(directory: &Path) -> Result<Wal, OpenWalError> {
    open_with(directory, WalOptions::default())
}

fn open_with(directory: &Path, options: WalOptions) -> Result<Wal, OpenWalError> {
    Wal::open(&DataDir::new(directory), identity(), seal(), options)
}

fn ballot(term: u64) -> Ballot {
    Ballot { term, node: 1, committed: false }
}

/// Small files, so that a few hundred entries fill several; a watermark that is written only when it must be.
fn small() -> WalOptions {
    WalOptions {
        chunk_bytes: 4096,
        cache_bytes: 1024,
        unsynced_bytes_max: 64 * 1024,
        watermark_interval: Duration::from_secs(3600),
    }
}

/// What a crash of the whole machine leaves at this moment: the files, without a clean close.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &to.join(item.file_name()));
        } else {
            fs::copy(item.path(), to.join(item.file_name())).unwrap();
        }
    }
}

/// For the tests that open a damaged log ten thousand times: in memory where the machine has such a place, for every
/// open that repairs syncs several times, and no sync is under test there.
fn fast_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn chunk_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(DataDir::new(directory).log())
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    files.sort();
    files
}

/// Votes, appends, a cut, a purge and a commit: one of everything that a log records.
async fn write_history(wal: &Wal, count: u64) -> (WalState, Vec<LogEntry>) {
    wal.save_vote(ballot(1)).await.unwrap();
    append(wal, (0..20).map(|index| entry(1, index)).collect()).await.unwrap();
    wal.truncate_after(Some(entry(1, 14).id)).await.unwrap();
    wal.save_vote(ballot(2)).await.unwrap();
    for index in 15..count {
        append(wal, vec![entry(2, index)]).await.unwrap();
    }
    wal.save_committed(Some(entry(2, count - 10).id)).await.unwrap();
    wal.purge(entry(1, 3).id).await.unwrap();
    append(wal, vec![entry(2, count)]).await.unwrap();
    (wal.state(), wal.read(0..u64::MAX, None).await.unwrap())
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let (directory, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wal = create(directory.path());
    let (state, entries) = write_history(&wal, 100).await;
    assert_eq!(state.last.unwrap().index, 100);
    assert_eq!(entries.len(), 97);
    copy(directory.path(), crashed.path());

    let reopened = open(crashed.path()).unwrap();
    assert_eq!(reopened.state(), state);
    assert_eq!(reopened.read(0..u64::MAX, None).await.unwrap(), entries);
    append(&reopened, vec![entry(2, 101)]).await.unwrap();
    reopened.close().await.unwrap();
    assert!(matches!(append(&reopened, vec![entry(2, 102)]).await, Err(WalError::Closed)));
    assert!(matches!(open(directory.path()), Err(OpenWalError::InUse { .. })));
}

/// Flips one bit after the other of all that a crash left. None may be silent, even where the watermark has not yet
/// followed: it says here what it said at the last vote, 60 entries ago.
#[test]
fn no_flipped_bit_is_silent() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (alive, directory) = (fast_directory(), fast_directory());
    let options = WalOptions { watermark_interval: Duration::from_secs(3600), ..WalOptions::default() };
    let wal = Wal::create(&DataDir::new(alive.path()), identity(), seal(), options).unwrap();
    let (state, entries) = runtime.block_on(write_history(&wal, 75));
    copy(alive.path(), directory.path());

    let data = DataDir::new(directory.path());
    assert!(Watermark::open(&data.watermark()).unwrap().mark().last.unwrap().index < 15);
    let [path] = chunk_files(directory.path()).try_into().unwrap();
    let whole = fs::read(&path).unwrap();
    let key = TagSeal([9; 32]);
    let (mut refused, mut same) = (0, 0);
    for position in 0..whole.len() {
        for bit in 0..8 {
            // Opening may cut files, so each try starts from what was written.
            for file in chunk_files(directory.path()) {
                fs::remove_file(file).unwrap();
            }
            let mut flipped = whole.clone();
            flipped[position] ^= 1 << bit;
            fs::write(&path, &flipped).unwrap();
            match examine(&data, identity(), &key, &WalOptions::default()) {
                Err(_) => refused += 1,
                Ok((engine, _)) => {
                    same += 1;
                    let read = engine.read(0, u64::MAX, usize::MAX).unwrap();
                    let read: Vec<_> = read
                        .into_iter()
                        .map(|(id, sealed)| LogEntry { id, payload: key.open(id.index, &sealed).unwrap().into() })
                        .collect();
                    assert!(read == entries, "byte {position} bit {bit}: other entries");
                    assert_eq!(engine.state().vote, state.vote, "byte {position} bit {bit}: another vote");
                }
            }
        }
    }
    println!("{} bytes, every bit: {refused} refused, {same} without effect", whole.len());
    assert_eq!(refused + same, whole.len() * 8);
    assert!(refused > 0);
}

/// The same over several files: each byte with one bit, drawn from a printed seed.
#[test]
fn no_flipped_bit_is_silent_in_a_log_of_several_files() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = fast_directory();
    let options = WalOptions { chunk_bytes: 2048, ..small() };
    let data = DataDir::new(directory.path());
    let wal = Wal::create(&data, identity(), seal(), options).unwrap();
    let (state, entries) = runtime.block_on(write_history(&wal, 100));
    runtime.block_on(wal.close()).unwrap();
    drop(wal);

    let files: Vec<_> =
        chunk_files(directory.path()).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    assert!(files.len() > 3);
    let key = TagSeal([9; 32]);
    let mut random = seed | 1;
    for (number, (whole, path)) in files.iter().enumerate() {
        for position in 0..whole.len() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            for file in chunk_files(directory.path()) {
                fs::remove_file(file).unwrap();
            }
            for (bytes, path) in &files {
                fs::write(path, bytes).unwrap();
            }
            let mut flipped = whole.clone();
            flipped[position] ^= 1 << (random >> 61);
            fs::write(path, &flipped).unwrap();
            if let Ok((engine, _)) = examine(&data, identity(), &key, &options) {
                let read = engine.read(0, u64::MAX, usize::MAX).unwrap();
                assert_eq!(read.len(), entries.len(), "seed {seed} file {number} byte {position}");
                for ((id, sealed), entry) in read.into_iter().zip(&entries) {
                    assert_eq!(id, entry.id);
                    assert_eq!(key.open(id.index, &sealed).unwrap(), entry.payload);
                }
                assert_eq!(engine.state().vote, state.vote);
            }
        }
    }
}

#[test]
fn a_log_cut_at_any_byte_is_refused_unless_nothing_is_missing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = fast_directory();
    let data = DataDir::new(directory.path());
    let wal = create(directory.path());
    let (state, entries) = runtime.block_on(write_history(&wal, 60));
    runtime.block_on(wal.close()).unwrap();
    drop(wal);
    let [path] = chunk_files(directory.path()).try_into().unwrap();
    let whole = fs::read(&path).unwrap();
    let mut behind = 0;
    for length in 0..whole.len() {
        for file in chunk_files(directory.path()) {
            fs::remove_file(file).unwrap();
        }
        fs::write(&path, &whole[..length]).unwrap();
        match examine(&data, identity(), &TagSeal([9; 32]), &WalOptions::default()) {
            Ok((engine, _)) => {
                // The last record only hints at what is committed: 4 type, 25 entry id, 8 check.
                assert!(length >= whole.len() - 37, "cut to {length}");
                assert_eq!((engine.state().last, engine.state().vote), (state.last, state.vote), "cut to {length}");
                assert_eq!(engine.read(0, u64::MAX, usize::MAX).unwrap().len(), entries.len());
            }
            Err(OpenWalError::BehindWatermark { .. }) => behind += 1,
            Err(other) => panic!("cut to {length}: {other}"),
        }
    }
    assert!(behind >= whole.len() - 37);
}

/// A crash tears the last record at most, and one that was not acknowledged: that is not damage.
#[tokio::test]
async fn a_torn_last_record_is_dropped_and_the_log_goes_on() {
    let (directory, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wal = Wal::create(&DataDir::new(directory.path()), identity(), seal(), small()).unwrap();
    append(&wal, (0..10).map(|index| entry(1, index)).collect()).await.unwrap();
    // Brings the watermark to entry 9.
    wal.save_vote(ballot(1)).await.unwrap();
    let before = fs::metadata(&chunk_files(directory.path())[0]).unwrap().len();
    append(&wal, vec![entry(1, 10)]).await.unwrap();
    let after = fs::metadata(&chunk_files(directory.path())[0]).unwrap().len();
    for length in before..after {
        fs::remove_dir_all(crashed.path()).unwrap();
        copy(directory.path(), crashed.path());
        let [path] = chunk_files(crashed.path()).try_into().unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        let reopened = open_with(crashed.path(), small()).unwrap();
        assert_eq!(reopened.state().last, Some(entry(1, 9).id), "cut to {length}");
        append(&reopened, vec![entry(2, 10)]).await.unwrap();
        reopened.close().await.unwrap();
        drop(reopened);
        let again = open_with(crashed.path(), small()).unwrap();
        assert_eq!(again.read(10..11, None).await.unwrap(), vec![entry(2, 10)]);
    }
}

#[tokio::test]
async fn a_missing_file_is_refused_whichever_it_is() {
    let (directory, damaged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wal = Wal::create(&DataDir::new(directory.path()), identity(), seal(), small()).unwrap();
    append(&wal, (0..300).map(|index| entry(1, index)).collect()).await.unwrap();
    wal.close().await.unwrap();
    let count = chunk_files(directory.path()).len();
    assert!(count > 3);
    for missing in 0..count {
        fs::remove_dir_all(damaged.path()).unwrap();
        copy(directory.path(), damaged.path());
        fs::remove_file(&chunk_files(damaged.path())[missing]).unwrap();
        let error = open_with(damaged.path(), small()).unwrap_err();
        let expected = match missing {
            0 => matches!(error, OpenWalError::Hole { .. }),
            last if last == count - 1 => matches!(error, OpenWalError::BehindWatermark { .. }),
            _ => matches!(error, OpenWalError::Damaged { .. }),
        };
        assert!(expected, "file {missing} of {count}: {error:?}");
    }
}

/// The disk was wiped or replaced, in each way that leaves something.
#[tokio::test]
async fn a_wiped_directory_is_refused_under_the_same_identity() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::new(directory.path());
    assert!(matches!(open(directory.path()), Err(OpenWalError::NeverCreated { .. })));
    let wal = create(directory.path());
    append(&wal, vec![entry(1, 0)]).await.unwrap();
    wal.close().await.unwrap();
    drop(wal);
    assert!(matches!(Wal::create(&data, identity(), seal(), small()), Err(OpenWalError::Exists { .. })));

    let other = LogIdentity { node: plantao_domain::NodeId(3), ..identity() };
    let refused = Wal::open(&data, other, seal(), small());
    assert!(matches!(refused, Err(OpenWalError::WrongIdentity { .. })));
    let refused = Wal::open(&data, identity(), Arc::new(TagSeal([8; 32])), small());
    assert!(matches!(refused, Err(OpenWalError::Sealed { index: 0, .. })));

    let moved = directory.path().join("moved");
    fs::rename(data.watermark(), &moved).unwrap();
    assert!(matches!(open(directory.path()), Err(OpenWalError::NoWatermark { .. })));
    // Nor is it made anew over a log that was used.
    assert!(matches!(Wal::create(&data, identity(), seal(), small()), Err(OpenWalError::Exists { .. })));
    fs::write(data.watermark(), vec![1; 8192]).unwrap();
    assert!(matches!(open(directory.path()), Err(OpenWalError::NoWatermark { .. })));
    fs::rename(&moved, data.watermark()).unwrap();
    drop(open(directory.path()).unwrap());

    for file in chunk_files(directory.path()) {
        fs::remove_file(file).unwrap();
    }
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenWalError::LogMissing { .. }));
    assert!(error.to_string().contains("must never vote again under this id"), "{error}");
    fs::remove_dir_all(data.log()).unwrap();
    assert!(matches!(open(directory.path()), Err(OpenWalError::LogMissing { .. })));
    fs::remove_file(data.watermark()).unwrap();
    assert!(matches!(open(directory.path()), Err(OpenWalError::NeverCreated { .. })));
}

/// An old copy of the log, put back: the watermark outside it knows better.
#[tokio::test]
async fn a_log_that_went_back_in_time_is_refused() {
    let (directory, restored) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wal = create(directory.path());
    append(&wal, (0..10).map(|index| entry(1, index)).collect()).await.unwrap();
    wal.save_vote(ballot(3)).await.unwrap();
    let old = tempfile::tempdir().unwrap();
    copy(directory.path(), old.path());

    let restore = || {
        fs::remove_dir_all(restored.path()).unwrap();
        copy(old.path(), restored.path());
        let watermark = DataDir::new(directory.path()).watermark();
        fs::copy(watermark, DataDir::new(restored.path()).watermark()).unwrap();
        open(restored.path())
    };
    drop(restore().unwrap());
    // A vote is in the watermark when it returns, without a close.
    wal.save_vote(ballot(4)).await.unwrap();
    let error = restore().unwrap_err();
    assert!(matches!(error, OpenWalError::BehindWatermark { what: Promise::Vote, .. }), "{error:?}");
    assert!(error.to_string().contains("the vote was term 4, node 1, and is term 3, node 1"), "{error}");
    assert!(error.to_string().contains("under a fresh id"), "{error}");

    let (directory, old_path) = (directory.path(), old.path());
    fs::remove_dir_all(old_path).unwrap();
    copy(directory, old_path);
    append(&wal, vec![entry(3, 10)]).await.unwrap();
    wal.close().await.unwrap();
    let error = restore().unwrap_err();
    assert!(matches!(error, OpenWalError::BehindWatermark { what: Promise::LastEntry, .. }), "{error:?}");
}

/// Entries reach the watermark within its interval without any other call.
#[tokio::test]
async fn the_watermark_follows_the_log_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let wal = create(directory.path());
    append(&wal, vec![entry(1, 0), entry(1, 1)]).await.unwrap();
    let synced = Instant::now();
    let path = DataDir::new(directory.path()).watermark();
    while Watermark::open(&path).unwrap().mark().last != Some(entry(1, 1).id) {
        assert!(synced.elapsed() < Duration::from_secs(30));
        tokio::task::yield_now().await;
    }
    println!("the watermark followed after {:?}", synced.elapsed());
}

/// A follower cuts what another leader overrules: that is no loss, before or after the cut reached the disk.
#[tokio::test]
async fn a_cut_is_not_taken_for_a_loss() {
    let (directory, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wal = Wal::create(&DataDir::new(directory.path()), identity(), seal(), small()).unwrap();
    append(&wal, (0..10).map(|index| entry(2, index)).collect()).await.unwrap();
    wal.save_vote(ballot(2)).await.unwrap();
    copy(directory.path(), crashed.path());
    wal.truncate_after(Some(entry(2, 4).id)).await.unwrap();
    // This sync covers the cut, and leaves the watermark as it is.
    append(&wal, vec![entry(3, 5)]).await.unwrap();
    let at_once = tempfile::tempdir().unwrap();
    copy(directory.path(), at_once.path());
    assert_eq!(open(at_once.path()).unwrap().state().last, Some(entry(3, 5).id));
    wal.truncate_after(Some(entry(2, 4).id)).await.unwrap();
    // The vote's sync comes after the cut's.
    wal.save_vote(ballot(3)).await.unwrap();

    let after = tempfile::tempdir().unwrap();
    copy(directory.path(), after.path());
    let reopened = open(after.path()).unwrap();
    assert_eq!(reopened.state().last, Some(entry(2, 4).id));
    append(&reopened, vec![entry(3, 5)]).await.unwrap();
    assert_eq!(reopened.read(4..9, None).await.unwrap(), vec![entry(2, 4), entry(3, 5)]);
    // Down to nothing at all.
    reopened.truncate_after(None).await.unwrap();
    append(&reopened, vec![entry(4, 0)]).await.unwrap();
    reopened.close().await.unwrap();
    drop(reopened);
    assert_eq!(open(after.path()).unwrap().state().last, Some(entry(4, 0).id));

    // Lowered, but not yet cut: the log is ahead.
    let mut watermark = Watermark::open(&DataDir::new(crashed.path()).watermark()).unwrap();
    watermark.write(Mark { last: Some(entry(2, 4).id), ..watermark.mark() }).unwrap();
    assert_eq!(open(crashed.path()).unwrap().state().last, Some(entry(2, 9).id));
}

#[tokio::test]
async fn a_purge_frees_files_and_survives_a_crash() {
    let (directory, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wal = Wal::create(&DataDir::new(directory.path()), identity(), seal(), small()).unwrap();
    append(&wal, (0..300).map(|index| entry(1, index)).collect()).await.unwrap();
    let (files, bytes) = (chunk_files(directory.path()).len(), wal.disk_bytes());
    wal.purge(entry(1, 250).id).await.unwrap();
    assert_eq!(wal.read(0..u64::MAX, None).await.unwrap().first().unwrap().id.index, 251);
    let started = Instant::now();
    while chunk_files(directory.path()).len() >= files {
        assert!(started.elapsed() < Duration::from_secs(30));
        // A sync, behind which files are removed.
        wal.save_vote(ballot(1)).await.unwrap();
    }
    assert!(wal.disk_bytes() < bytes);
    copy(directory.path(), crashed.path());
    let reopened = open_with(crashed.path(), small()).unwrap();
    assert_eq!(reopened.state(), wal.state());
    let expected: Vec<_> = (251..300).map(|index| entry(1, index)).collect();
    assert_eq!(reopened.read(0..u64::MAX, None).await.unwrap(), expected);

    // Beyond the last entry, as after a snapshot of a leader that is far ahead.
    reopened.purge(EntryId { term: 5, node: 2, index: 1000 }).await.unwrap();
    assert_eq!(reopened.read(0..u64::MAX, None).await.unwrap(), vec![]);
    assert!(matches!(append(&reopened, vec![entry(5, 300)]).await, Err(WalError::OutOfOrder { expected: 1001, .. })));
    append(&reopened, vec![entry(6, 1001)]).await.unwrap();
    reopened.close().await.unwrap();
    drop(reopened);
    let again = open_with(crashed.path(), small()).unwrap();
    assert_eq!(again.read(0..u64::MAX, None).await.unwrap(), vec![entry(6, 1001)]);
    drop(again);
    // The watermark remembers the purge too: a log from before it is behind.
    fs::remove_dir_all(DataDir::new(crashed.path()).log()).unwrap();
    copy(&DataDir::new(directory.path()).log(), &DataDir::new(crashed.path()).log());
    assert!(matches!(
        open_with(crashed.path(), small()),
        Err(OpenWalError::BehindWatermark { what: Promise::PurgedEntry, .. })
    ));
}

/// Old entries come from disk and recent ones from memory, and no reader can tell, nor sees a stale one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_one_log_wherever_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let wal = Wal::create(&DataDir::new(directory.path()), identity(), seal(), small()).unwrap();
    let reader = {
        let wal = wal.clone();
        tokio::spawn(async move {
            let mut longest = 0;
            while longest < 1000 {
                let entries = wal.read(0..1000, None).await.unwrap();
                for (index, found) in (0..).zip(&entries) {
                    assert_eq!(*found, entry(1, index));
                }
                assert!(entries.len() >= longest, "entries vanished");
                longest = entries.len();
            }
        })
    };
    for start in (0..1000).step_by(10) {
        append(&wal, (start..start + 10).map(|index| entry(1, index)).collect()).await.unwrap();
    }
    tokio::time::timeout(Duration::from_secs(30), reader).await.unwrap().unwrap();

    let bounded = wal.read(100..900, Some(100)).await.unwrap();
    assert!(!bounded.is_empty() && bounded.iter().map(|entry| entry.payload.len()).sum::<usize>() <= 100);
    assert_eq!(wal.read(100..900, Some(1)).await.unwrap(), vec![entry(1, 100)]);
    assert_eq!(wal.read(995..2000, None).await.unwrap().len(), 5);

    // What was cut and written anew is never read in its old form, from disk either.
    wal.truncate_after(Some(entry(1, 499).id)).await.unwrap();
    wal.append((500..600).map(|index| entry(2, index)).collect(), drop).await.unwrap();
    let entries = wal.read(490..700, None).await.unwrap();
    assert_eq!(entries.len(), 110);
    assert!(entries.iter().all(|found| *found == entry(if found.id.index < 500 { 1 } else { 2 }, found.id.index)));
}

#[tokio::test]
async fn what_does_not_follow_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let wal = create(directory.path());
    append(&wal, vec![entry(2, 0), entry(2, 1)]).await.unwrap();
    wal.save_vote(ballot(2)).await.unwrap();
    for entries in [vec![entry(2, 3)], vec![entry(2, 1)], vec![entry(2, 2), entry(2, 4)], vec![entry(1, 2)]] {
        assert!(matches!(append(&wal, entries).await, Err(WalError::OutOfOrder { .. })));
    }
    let large = LogEntry { payload: vec![0; PAYLOAD_BYTES_MAX + 1].into(), ..entry(2, 2) };
    assert!(matches!(append(&wal, vec![large]).await, Err(WalError::TooLarge { index: 2, .. })));
    assert!(matches!(wal.save_vote(ballot(1)).await, Err(WalError::VoteGoesBack)));
    append(&wal, vec![LogEntry { payload: vec![0; PAYLOAD_BYTES_MAX].into(), ..entry(2, 2) }]).await.unwrap();
    assert_eq!(wal.state().last.unwrap().index, 2);
    assert_eq!(wal.state().vote, Some(ballot(2)));
}

const CHILD_DIRECTORY: &str = "PLANTAO_TEST_WAL_CHILD";

/// This test binary again, as another process that can be killed, on the test named `test`.
fn child(test: &str, directory: &Path, limit_blocks: Option<u32>) -> Child {
    let limit = match limit_blocks {
        // Ignored signals stay ignored in the program that follows: a write beyond the limit fails with EFBIG.
        Some(blocks) => format!("trap '' XFSZ; ulimit -f {blocks}; "),
        None => String::new(),
    };
    Command::new("sh")
        .args(["-c", &format!("{limit}exec \"$0\" --exact storage::wal::tests::{test} --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD_DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The other side of the next test: writes for ever and says what was acknowledged. Does nothing when run by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_is_killed() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else {
        return;
    };
    let options = WalOptions { watermark_interval: Duration::from_millis(5), chunk_bytes: 16 * 1024, ..small() };
    let wal = open_with(Path::new(&directory), options).unwrap();
    let mut term = wal.state().vote.map_or(1, |vote| vote.term + 1);
    let started = Instant::now();
    for round in 0_u64.. {
        // Nobody may be left to kill this process.
        assert!(started.elapsed() < Duration::from_secs(60));
        let next = wal.state().next_index();
        let entries: Vec<_> = (next..next + 1 + round % 4).map(|index| entry(term, index)).collect();
        let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
        let say = move |outcome: Result<(), WalError>| {
            outcome.unwrap();
            ids.iter().for_each(|id| println!("ack {} {}", id.term, id.index));
        };
        wal.append(entries, say).await.unwrap();
        if round % 16 == 7 {
            // Let what was queued be acknowledged; a vote's sync covers it.
            term += 1;
            wal.save_vote(ballot(term)).await.unwrap();
            println!("vote {term}");
        }
        if round % 32 == 21 && wal.state().next_index() > 10 {
            let keep = wal.read(wal.state().next_index() - 4..u64::MAX, Some(1)).await.unwrap();
            if let Some(keep) = keep.first() {
                println!("cut {}", keep.id.index);
                wal.truncate_after(Some(keep.id)).await.unwrap();
            }
        }
        if round % 64 == 40 && wal.state().next_index() > 100 {
            let upto = wal.read(wal.state().next_index() - 60..u64::MAX, Some(1)).await.unwrap();
            wal.purge(upto.first().unwrap().id).await.unwrap();
        }
    }
}

/// Kills a writing process again and again. Whatever it said was acknowledged is there, each time.
#[tokio::test]
async fn nothing_acknowledged_is_lost_to_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(directory.path()));
    // Index to term, of what was acknowledged and not cut since.
    let mut acknowledged = BTreeMap::new();
    let mut vote = 0;
    let mut said = 0;
    for round in 0..15 {
        let mut child = child("child_that_is_killed", directory.path(), None);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = 0;
        for line in lines {
            let line = line.unwrap();
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["ack", term, index] => {
                    acknowledged.insert(index.parse::<u64>().unwrap(), term.parse().unwrap());
                }
                ["vote", term] => vote = term.parse().unwrap(),
                ["cut", keep] => drop(acknowledged.split_off(&(keep.parse::<u64>().unwrap() + 1))),
                _ => continue,
            }
            heard += 1;
            // At another moment each time; then whatever it still had said counts too.
            if heard == 40 + round * 37 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(heard >= 40 + round * 37, "the child ended by itself in round {round}");
        said += heard;

        let wal = open(directory.path()).unwrap();
        let entries = wal.read(0..u64::MAX, None).await.unwrap();
        assert!(wal.state().vote.is_some_and(|saved| saved.term >= vote), "round {round}: the vote {vote} is lost");
        let terms: BTreeMap<_, _> = entries.iter().map(|found| (found.id.index, found.id.term)).collect();
        assert!(entries.iter().all(|found| *found == entry(found.id.term, found.id.index)));
        let purged = wal.state().purged.map_or(0, |id| id.index + 1);
        for (index, term) in acknowledged.range(purged..) {
            assert_eq!(terms.get(index), Some(term), "round {round}: entry {index} of term {term}");
        }
        // The next child starts from what is here.
        acknowledged = terms;
        wal.close().await.unwrap();
    }
    println!("{said} acknowledgements over 15 kills");
}

/// The other side of the next test. Does nothing when run by itself.
#[tokio::test]
async fn child_whose_writes_fail() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else {
        return;
    };
    let wal = open(Path::new(&directory)).unwrap();
    let failed = tokio::spawn({
        let wal = wal.clone();
        async move { wal.failed().await }
    });
    let mut index = wal.state().next_index();
    let error = loop {
        assert!(index < 100_000);
        match append(&wal, vec![entry(1, index)]).await {
            Ok(()) => println!("ack {index}"),
            Err(error) => break error,
        }
        index += 1;
    };
    assert!(matches!(error, WalError::Failed { .. }), "{error:?}");
    // From now on nothing is taken for written, and nothing is read.
    let called = Arc::new(Mutex::new(0));
    for _ in 0..3 {
        let called = called.clone();
        let count = move |outcome: Result<(), WalError>| {
            assert!(outcome.is_err());
            *called.lock().unwrap() += 1;
        };
        assert!(matches!(wal.append(vec![entry(1, index)], count).await, Err(WalError::Failed { .. })));
    }
    assert_eq!(*called.lock().unwrap(), 3);
    assert!(matches!(wal.save_vote(ballot(9)).await, Err(WalError::Failed { .. })));
    assert!(matches!(wal.truncate_after(None).await, Err(WalError::Failed { .. })));
    assert!(matches!(wal.purge(entry(1, 0).id).await, Err(WalError::Failed { .. })));
    assert!(matches!(wal.read(0..1, None).await, Err(WalError::Failed { .. })));
    assert!(matches!(failed.await.unwrap(), WalError::Failed { .. }));
    assert!(wal.close().await.is_err());
    println!("poisoned");
}

/// The kernel refuses to let the log's file grow, in the middle of the work.
#[tokio::test]
async fn a_failed_write_stops_the_log_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(directory.path()));
    let mut child = child("child_whose_writes_fail", directory.path(), Some(64));
    let lines: Vec<_> = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{lines:?}");
    assert!(lines.iter().any(|line| line == "poisoned"), "{lines:?}");
    let acknowledged: Vec<u64> =
        lines.iter().filter_map(|line| line.strip_prefix("ack ")).map(|index| index.parse().unwrap()).collect();
    assert!(acknowledged.len() > 50, "only {} entries before the limit", acknowledged.len());

    let wal = open(directory.path()).unwrap();
    let entries = wal.read(0..u64::MAX, None).await.unwrap();
    for index in &acknowledged {
        assert_eq!(entries.get(usize::try_from(*index).unwrap()), Some(&entry(1, *index)));
    }
    println!("{} acknowledged before the write failed", acknowledged.len());
}

/// Not asserted: other work on the machine decides. Entries of 256 bytes, one append each, as 64 clients would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throughput_is_printed() {
    for clients in [1_u64, 64, 256] {
        let directory = tempfile::tempdir().unwrap();
        let wal = create(directory.path());
        let next = Arc::new(tokio::sync::Mutex::new(0));
        let started = Instant::now();
        let work = (0..clients).map(|_| {
            let (wal, next) = (wal.clone(), next.clone());
            tokio::spawn(async move {
                let mut count = 0_u64;
                while started.elapsed() < Duration::from_millis(700) {
                    let (sender, synced) = tokio::sync::oneshot::channel();
                    let mut next = next.lock().await;
                    let id = EntryId { term: 1, node: 1, index: *next };
                    let entries = vec![LogEntry { id, payload: vec![7; 256].into() }];
                    wal.append(entries, |outcome| sender.send(outcome).unwrap()).await.unwrap();
                    *next += 1;
                    drop(next);
                    synced.await.unwrap().unwrap();
                    count += 1;
                }
                count
            })
        });
        let mut count = 0;
        for work in work.collect::<Vec<_>>() {
            count += work.await.unwrap();
        }
        println!("{clients} clients: {:.0} appends/s", count as f64 / started.elapsed().as_secs_f64());
        assert_eq!(wal.state().last.unwrap().index + 1, count);
    }
}
