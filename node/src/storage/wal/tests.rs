//! A log against real files: what it gives its readers, and what it takes. What a crash leaves is in `crash`, what damage
//! and loss leave in `damage`; the made-up entries of all three are here.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod crash;
mod damage;

use std::fs;
use std::path::Path;
use std::time::Instant;

use super::testing::{create, identity, seal};
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
