//! Crashes: a copy of the files at some moment, `kill -9`, a write that the kernel refuses. What was acknowledged is there
//! afterwards.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use super::*;

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
    // The next sync begins when all of them are gone: a copy must not meet one that just goes.
    wal.save_vote(ballot(1)).await.unwrap();
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

const CHILD_DIRECTORY: &str = "PLANTAO_TEST_WAL_CHILD";

/// This test binary again, as another process that can be killed, on the test named `test`.
fn child(test: &str, directory: &Path, limit_blocks: Option<u32>) -> Child {
    let limit = match limit_blocks {
        // Ignored signals stay ignored in the program that follows: a write beyond the limit fails with EFBIG.
        Some(blocks) => format!("trap '' XFSZ; ulimit -f {blocks}; "),
        None => String::new(),
    };
    Command::new("sh")
        .args(["-c", &format!("{limit}exec \"$0\" --exact storage::wal::tests::crash::{test} --nocapture")])
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
    let mut cuts = 0_u64;
    for round in 0_u64.. {
        // Nobody may be left to kill this process.
        assert!(started.elapsed() < Duration::from_secs(600));
        let next = wal.state().next_index();
        let entries: Vec<_> = (next..next + 1 + round % 4).map(|index| entry(term, index)).collect();
        let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
        // With the cuts before it: what a later one cuts may still be acknowledged after that was said.
        let say = move |outcome: Result<(), WalError>| {
            outcome.unwrap();
            ids.iter().for_each(|id| println!("ack {} {} {cuts}", id.term, id.index));
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
                cuts += 1;
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
        let (mut cuts, mut kept) = (0_u64, u64::MAX);
        for line in lines {
            let line = line.unwrap();
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["ack", term, index, cuts_before] => {
                    let (index, cuts_before): (u64, u64) = (index.parse().unwrap(), cuts_before.parse().unwrap());
                    if cuts_before == cuts || index <= kept {
                        acknowledged.insert(index, term.parse().unwrap());
                    }
                }
                ["vote", term] => vote = term.parse().unwrap(),
                ["cut", keep] => {
                    (cuts, kept) = (cuts + 1, keep.parse().unwrap());
                    drop(acknowledged.split_off(&(kept + 1)));
                }
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
