#![allow(clippy::unwrap_used)]

use super::*;
use crate::crypto::keys::RootKey;
use crate::crypto::slot_source::SlotSecret;
use crate::crypto::slots::{PassphraseCost, SlotPlace};
use crate::entropy::SystemEntropy;
use plantao_domain::{ClusterId, NodeId};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use zeroize::Zeroizing;

fn slot(serial: u64) -> Slot {
    let place = SlotPlace { cluster: ClusterId::from_bytes([1; 16]), node: NodeId(1), serial };
    let secret = SlotSecret::Key(Zeroizing::new([1; 32]));
    let root = RootKey::generate(&SystemEntropy);
    Slot::seal_root(&root, place, &secret, PassphraseCost::cheap_for_tests(), &SystemEntropy).unwrap()
}

fn loaded(file: &SlotFile) -> (u64, OtherCopy) {
    let LoadedSlot { slot, other } = file.load().ok().unwrap();
    (slot.place().serial, other)
}

#[test]
fn a_stored_slot_is_read_back_and_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let file = SlotFile::new(&directory.path().join("slots"), "root");
    assert!(matches!(file.load().err(), Some(SlotFileError::Missing { .. })));
    assert!(!file.exists());
    file.store(&slot(1)).unwrap();
    assert_eq!(loaded(&file), (1, OtherCopy::Same));
    file.store(&slot(2)).unwrap();
    assert_eq!(loaded(&file), (2, OtherCopy::Same));
    for path in [&file.first, &file.second] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o077, 0);
    }
}

/// A crash between the two writes, in either order of arrival on the disk.
#[test]
fn of_two_sound_copies_the_newer_counts() {
    let directory = tempfile::tempdir().unwrap();
    let file = SlotFile::new(directory.path(), "root");
    file.store(&slot(1)).unwrap();
    fs::write(&file.second, slot(2).encode()).unwrap();
    assert_eq!(loaded(&file), (2, OtherCopy::Older));
    fs::write(&file.first, slot(3).encode()).unwrap();
    assert_eq!(loaded(&file), (3, OtherCopy::Older));
    fs::remove_file(&file.second).unwrap();
    assert_eq!(loaded(&file), (3, OtherCopy::Missing));
}

#[test]
fn whatever_happens_to_one_copy_the_other_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let file = SlotFile::new(directory.path(), "root");
    let slot = slot(7);
    file.store(&slot).unwrap();
    let bytes = slot.encode();
    let truncated = (0..bytes.len()).map(|length| bytes[..length].to_vec());
    let flipped = (0..bytes.len() * 8).step_by(7).map(|bit| {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    });
    for damaged in truncated.chain(flipped).chain([vec![0; 1 << 20]]) {
        for path in [&file.first, &file.second] {
            fs::write(path, &damaged).unwrap();
            assert_eq!(loaded(&file), (7, OtherCopy::Damaged));
            fs::write(path, &bytes).unwrap();
        }
    }
    fs::remove_file(&file.first).unwrap();
    fs::create_dir(&file.first).unwrap();
    assert_eq!(loaded(&file), (7, OtherCopy::Damaged));
}

#[test]
fn two_damaged_copies_are_not_a_missing_slot() {
    let directory = tempfile::tempdir().unwrap();
    let file = SlotFile::new(directory.path(), "root");
    fs::write(&file.first, b"PLTS").unwrap();
    assert!(matches!(file.load().err(), Some(SlotFileError::NoneSound { .. })));
    fs::write(&file.second, b"").unwrap();
    assert!(matches!(file.load().err(), Some(SlotFileError::NoneSound { .. })));
    assert!(file.exists());
}
