//! Damage and loss: flipped bits, files that are cut, missing, wiped or old. A log that opens holds what was acknowledged;
//! else it does not open.

use super::super::testing::TagSeal;
use super::*;

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
        let deadline = Instant::now() + Duration::from_secs(30);
        let examined = loop {
            match examine(&data, identity(), &TagSeal([9; 32]), &WalOptions::default()) {
                // By a child that another test has just forked, which has the lock open until it is its program.
                Err(OpenWalError::InUse { .. }) if Instant::now() < deadline => std::thread::yield_now(),
                examined => break examined,
            }
        };
        match examined {
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
