#![allow(clippy::unwrap_used)]
use super::*;
use crate::crypto::{StorageKey, StorageSeal};
use crate::entropy::SystemEntropy;
use plantao_domain::{ActorId, ClusterId, NodeId, Role};
use std::path::Path;

fn options(directory: &Path, bytes_max: u64) -> Options {
    let seal = storage_seal();
    Options {
        directory: directory.to_path_buf(),
        bytes_max,
        fresh_id: JournalId::from_bytes([9; 16]),
        seal: Box::new(move |id| JournalSeal::new(seal, id)),
    }
}

/// One key for all tests of this process, so that a journal can be opened again.
fn storage_seal() -> Arc<StorageSeal> {
    static SEAL: std::sync::OnceLock<Arc<StorageSeal>> = std::sync::OnceLock::new();
    Arc::clone(SEAL.get_or_init(|| {
        let key = StorageKey::generate(&SystemEntropy);
        Arc::new(StorageSeal::new(key, ClusterId::from_bytes([1; 16]), NodeId(1), &SystemEntropy))
    }))
}

fn read(n: u8) -> Read {
    Read {
        actor: Actor { id: ActorId::from_bytes([n; 16]), role: Role::Clinician, unit: None },
        at: ClusterTime::from_millis(1_000).unwrap(),
        object: Object::Many,
        patient: None,
        shown: Some(n.into()),
    }
}

async fn filled(directory: &Path, count: u8) -> Journal {
    let journal = Journal::open(options(directory, 1 << 30)).unwrap();
    for n in 0..count {
        journal.note(read(n)).await.unwrap();
    }
    journal
}

#[tokio::test]
async fn what_was_noted_is_there_after_a_restart_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let journal = filled(dir.path(), 20).await;
    assert_eq!(journal.after(0, 100).unwrap().len(), 20);
    drop(journal);
    let journal = Journal::open(options(dir.path(), 1 << 30)).unwrap();
    let notes = journal.after(5, 10).unwrap();
    assert_eq!(notes.iter().map(|note| note.sequence).collect::<Vec<_>>(), (6..16).collect::<Vec<_>>());
    assert!(notes.iter().all(|note| note.allowed && note.version == Some(note.sequence as u32 - 1)));
    journal.note(read(1)).await.unwrap();
    assert_eq!(journal.backlog().borrow().written, 21);
}

#[tokio::test]
async fn a_bit_that_flips_in_the_id_is_damage_and_no_note_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 3).await);
    let (id, segment) = (dir.path().join("id"), dir.path().join("0000000000000001.seg"));
    let (whole, notes) = (std::fs::read(&id).unwrap(), std::fs::read(&segment).unwrap());
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&id, flipped).unwrap();
        let opened = Journal::open(options(dir.path(), 1 << 30));
        assert!(matches!(opened, Err(JournalError::Damaged { sequence: 0 })), "bit {bit}");
        assert_eq!(std::fs::read(&segment).unwrap(), notes);
    }
    std::fs::write(&id, whole).unwrap();
    assert_eq!(Journal::open(options(dir.path(), 1 << 30)).unwrap().after(0, 10).unwrap().len(), 3);
}

#[tokio::test]
async fn a_torn_tail_is_dropped_and_damage_before_it_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 10).await);
    let path = dir.path().join(format!("{:016x}.seg", 1));
    let good = std::fs::read(&path).unwrap();
    for cut in (0..good.len()).step_by(7) {
        std::fs::write(&path, &good[..cut]).unwrap();
        let journal = Journal::open(options(dir.path(), 1 << 30)).unwrap();
        let kept = journal.after(0, 100).unwrap();
        assert!(kept.len() < 10 && kept.len() == cut * 10 / good.len(), "cut at {cut}: {} kept", kept.len());
        assert!(journal.cut().is_none_or(|it| !it.had_whole && it.after == kept.len() as u64), "cut at {cut}");
        assert_eq!(
            journal.cut().is_none(),
            cut.is_multiple_of(good.len() / 10),
            "cut at {cut}: what was dropped is told"
        );
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bad).unwrap();
        if let Ok(journal) = Journal::open(options(dir.path(), 1 << 30)) {
            assert!(journal.after(0, 100).unwrap().len() < 10, "flip at {at} went unseen");
            // A crash does not leave whole notes behind a bad one: that is damage, and verify says so.
            let is_last = at >= good.len() / 10 * 9;
            assert_eq!(journal.cut().map(|it| it.had_whole), Some(!is_last), "flip at {at}");
        }
    }
}

#[tokio::test]
async fn a_full_journal_refuses_and_goes_on_when_the_trail_has_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(options(dir.path(), 600)).unwrap();
    let mut noted = 0;
    let refused = loop {
        match journal.note(read(1)).await {
            Ok(()) => noted += 1,
            Err(refused) => break refused,
        }
        assert!(noted < 100, "the bound is not kept");
    };
    assert_eq!(refused, NoteError::Full);
    assert_eq!(journal.backlog().borrow().waiting(), noted);
    journal.forget_through(noted).unwrap();
    journal.note(read(2)).await.unwrap();
    assert_eq!(journal.backlog().borrow().waiting(), 1);
    assert_eq!(journal.after(noted, 10).unwrap().len(), 1);
}

/// Two files that lie, each in its way: the first has no room for what is written, the second takes it and cannot be
/// synced.
#[tokio::test]
async fn a_note_is_answered_only_when_it_is_synced_and_a_failure_is_for_good() {
    for liar in ["/dev/full", "/dev/null"] {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(options(dir.path(), 1 << 30)).unwrap();
        std::os::unix::fs::symlink(liar, dir.path().join(format!("{:016x}.seg", 1))).unwrap();
        for n in 0..3 {
            assert_eq!(journal.note(read(n)).await, Err(NoteError::Broken), "{liar}");
        }
        let backlog = *journal.backlog().borrow();
        assert!(backlog.broken && backlog.waiting() == 0, "{liar}: {backlog:?}");
        assert!(journal.after(0, 10).unwrap().is_empty(), "{liar}");
    }
}
