#![allow(clippy::unwrap_used)]

use super::*;
use crate::chunks::testing;
use crate::clock::ScriptedClock;
use crate::crypto::chunk_id;
use std::path::Path;

const DAY: Duration = Duration::from_secs(86_400);
const OPTIONS: ScrubOptions = ScrubOptions { bytes_per_second: 1 << 30, interval: DAY };

fn fill(directory: &ChunkDirectory, chunks: u32) -> Vec<ChunkId> {
    let put = |number: u32| {
        let bytes = number.to_le_bytes().repeat(100);
        directory.put(chunk_id(&bytes), &bytes).unwrap().id
    };
    (0..chunks).map(put).collect()
}

/// Everything that is due, in the order in which it was looked at.
fn round(scrub: &mut Scrub) -> Vec<(ChunkId, Option<Fault>)> {
    let mut looked_at = Vec::new();
    while let Step::Checked { id, fault } = scrub.step(Instant::now()) {
        looked_at.push((id, fault));
    }
    looked_at
}

fn directory(home: &Path, clock: &Arc<ScriptedClock>) -> Arc<ChunkDirectory> {
    Arc::new(testing::open_at(home, Arc::<ScriptedClock>::clone(clock)))
}

#[test]
fn every_copy_is_looked_at_once_an_interval_and_rot_is_found() {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(ScriptedClock::new(testing::NOW));
    let directory = directory(home.path(), &clock);
    let ids = fill(&directory, 60);
    let mut scrub = Scrub::new(Arc::clone(&directory), OPTIONS, Instant::now());
    assert_eq!(round(&mut scrub), [], "what was just written is not due");

    clock.set(testing::NOW + 86_400_000);
    std::fs::write(testing::path_of(home.path(), &ids[7]), b"rotten").unwrap();
    let looked_at = round(&mut scrub);
    assert_eq!(looked_at.len(), 60);
    let bad: Vec<_> = looked_at.iter().filter(|(_, fault)| fault.is_some()).collect();
    assert_eq!(bad, [&(ids[7], Some(Fault::Digest))]);
    assert_eq!(directory.figures().held.count, 59);
    assert_eq!(directory.figures().held.oldest_check.unwrap().millis(), testing::NOW + 86_400_000);
    assert_eq!(round(&mut scrub), [], "once an interval");
}

/// The times of the checks are the cursor: a scrub that was stopped does not begin again.
#[test]
fn a_scrub_goes_on_where_it_was_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(ScriptedClock::new(testing::NOW));
    let ids = {
        let directory = directory(home.path(), &clock);
        let ids = fill(&directory, 100);
        clock.set(testing::NOW + 2 * 86_400_000);
        let mut scrub = Scrub::new(Arc::clone(&directory), OPTIONS, Instant::now());
        for _ in 0..40 {
            assert!(matches!(scrub.step(Instant::now()), Step::Checked { fault: None, .. }));
        }
        scrub.save();
        ids
    };
    let directory = directory(home.path(), &clock);
    assert_eq!(directory.found().lost_checks, 0);
    let rest = round(&mut Scrub::new(Arc::clone(&directory), OPTIONS, Instant::now()));
    assert_eq!(rest.len(), ids.len() - 40);

    // A check file that rots costs ages: the files' own times are used, so those copies are due again.
    clock.set(testing::NOW + 4 * 86_400_000);
    let mut scrub = Scrub::new(Arc::clone(&directory), OPTIONS, Instant::now());
    assert_eq!(round(&mut scrub).len(), 100);
    drop((scrub, directory));
    let partition = ids[0].as_bytes()[0];
    std::fs::write(home.path().join(format!("chunks/checks/{partition:02x}")), b"rotten").unwrap();
    let directory = self::directory(home.path(), &clock);
    assert_eq!(directory.found().lost_checks, 1);
    let due = round(&mut Scrub::new(Arc::clone(&directory), OPTIONS, Instant::now()));
    let of_partition = ids.iter().filter(|id| id.as_bytes()[0] == partition).count();
    assert_eq!(due.len(), of_partition);
}

#[test]
fn the_budget_holds() {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(ScriptedClock::new(testing::NOW));
    let directory = directory(home.path(), &clock);
    for byte in 0..6_u8 {
        let bytes = vec![byte; 1 << 20];
        directory.put(chunk_id(&bytes), &bytes).unwrap();
    }
    clock.set(testing::NOW + 2 * 86_400_000);
    let start = Instant::now();
    let mut now = start;
    let options = ScrubOptions { bytes_per_second: 1 << 20, interval: DAY };
    let mut scrub = Scrub::new(Arc::clone(&directory), options, start);
    let mut checked = 0;
    while checked < 6 {
        match scrub.step(now) {
            Step::Checked { .. } => checked += 1,
            Step::Wait(wait) => now += wait,
        }
    }
    // Two at once, what was saved up and one on credit; the others a second each.
    let took = now - start;
    assert!(took >= Duration::from_millis(3_900) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_task_tells_what_is_bad_and_ends_when_it_is_told_to() {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(ScriptedClock::new(testing::NOW));
    let directory = directory(home.path(), &clock);
    let ids = fill(&directory, 20);
    clock.set(testing::NOW + 2 * 86_400_000);
    std::fs::remove_file(testing::path_of(home.path(), &ids[3])).unwrap();
    std::fs::create_dir(testing::path_of(home.path(), &ids[3])).unwrap();
    let (found, mut told) = mpsc::channel(4);
    let stopping = CancellationToken::new();
    let scrub = Scrub::new(Arc::clone(&directory), OPTIONS, Instant::now());
    let task = tokio::spawn(scrub.run(found, stopping.clone()));
    let bad = tokio::time::timeout(Duration::from_secs(30), told.recv()).await.unwrap().unwrap();
    assert_eq!(bad, (ids[3], Fault::NotAFile));
    stopping.cancel();
    tokio::time::timeout(Duration::from_secs(30), task).await.unwrap().unwrap();
}
