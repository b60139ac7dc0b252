#![allow(clippy::unwrap_used)]

use super::*;
use crate::entropy::SystemEntropy;
use proptest::prelude::*;

const CLUSTER: ClusterId = ClusterId::from_bytes([0xc1; 16]);
const NODE: NodeId = NodeId(2);
const PLACE: SlotPlace = SlotPlace { cluster: CLUSTER, node: NODE, serial: 1 };
const ENTROPY: &SystemEntropy = &SystemEntropy;

fn passphrase(text: &str) -> SlotSecret {
    SlotSecret::Passphrase(Zeroizing::new(text.to_owned()))
}

fn key(byte: u8) -> SlotSecret {
    SlotSecret::Key(Zeroizing::new([byte; 32]))
}

fn root_slot(root: &RootKey, secret: &SlotSecret) -> Slot {
    Slot::seal_root(root, PLACE, secret, PassphraseCost::cheap_for_tests(), ENTROPY).unwrap()
}

/// As a careful attacker would: altered bytes with a digest that matches.
fn with_digest(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = bytes.len() - DIGEST_BYTES;
    let digest = *blake3::hash(&bytes[..body]).as_bytes();
    bytes[body..].copy_from_slice(&digest);
    bytes
}

#[test]
fn each_slot_opens_with_its_own_secret() {
    let (root, storage) = (RootKey::generate(ENTROPY), StorageKey::generate(ENTROPY));
    for secret in [passphrase("correct horse battery"), key(1)] {
        let cost = PassphraseCost::cheap_for_tests();
        let slot = Slot::decode(&root_slot(&root, &secret).encode()).unwrap();
        assert_eq!(slot.open_root(CLUSTER, NODE, &secret).unwrap().id(), root.id());
        let slot = Slot::seal_storage(&storage, PLACE, &secret, cost, ENTROPY).unwrap();
        assert_eq!(slot.encode().len(), SLOT_BYTES);
        let slot = Slot::decode(&slot.encode()).unwrap();
        assert_eq!(slot.open_storage(CLUSTER, NODE, &secret).unwrap().id(), storage.id());
    }
}

/// What a person must do differs: type again, or fetch the second copy.
#[test]
fn a_wrong_secret_and_a_damaged_slot_are_told_apart() {
    let root = RootKey::generate(ENTROPY);
    let right = passphrase("correct horse battery");
    let slot = root_slot(&root, &right);
    let wrong = passphrase("correct horse batterz");
    assert_eq!(slot.open_root(CLUSTER, NODE, &wrong).err(), Some(SlotError::WrongSecret));
    assert_eq!(root_slot(&root, &key(1)).open_root(CLUSTER, NODE, &key(2)).err(), Some(SlotError::WrongSecret));
    let kinds = SlotError::OtherSecretKind { expected: SecretKind::Passphrase, given: SecretKind::Key };
    assert_eq!(slot.open_root(CLUSTER, NODE, &key(1)).err(), Some(kinds));

    let bytes = slot.encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = Slot::decode(&flipped).err().unwrap();
        assert!(matches!(error, SlotError::Damaged(_)), "bit {bit}: {error}");
        // The same flip with a digest that matches must not give the key either.
        let opened = Slot::decode(&with_digest(flipped)).and_then(|slot| slot.open_root(CLUSTER, NODE, &right));
        assert!(opened.is_err() || bit / 8 >= bytes.len() - DIGEST_BYTES, "bit {bit}");
    }
    for length in 0..bytes.len() {
        let error = Slot::decode(&bytes[..length]).err().unwrap();
        assert_eq!(error, SlotError::Damaged(SlotDamage::Length(length)), "{length}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(Slot::decode(&longer).err(), Some(SlotError::Damaged(SlotDamage::Length(SLOT_BYTES + 1))));
}

#[test]
fn a_slot_of_another_place_is_refused_by_name() {
    let root = RootKey::generate(ENTROPY);
    let secret = key(1);
    let slot = root_slot(&root, &secret);
    let other = ClusterId::from_bytes([0xc2; 16]);
    let expected = SlotError::OtherCluster { expected: other, found: CLUSTER };
    assert_eq!(slot.open_root(other, NODE, &secret).err(), Some(expected));
    let expected = SlotError::OtherNode { expected: NodeId(3), found: NODE };
    assert_eq!(slot.open_root(CLUSTER, NodeId(3), &secret).err(), Some(expected));
    let expected = SlotError::OtherPurpose { expected: SlotPurpose::Storage, found: SlotPurpose::Root };
    assert_eq!(slot.open_storage(CLUSTER, NODE, &secret).err(), Some(expected));
    let mut later = slot.encode();
    later[4] = 2;
    assert_eq!(Slot::decode(&with_digest(later)).err(), Some(SlotError::UnknownVersion(2)));
}

/// A slot is input: it must not make a node spend all its memory.
#[test]
fn unbearable_parameters_are_refused_before_any_work() {
    let bytes = root_slot(&RootKey::generate(ENTROPY), &passphrase("correct horse battery")).encode();
    for (at, value) in [(8, MEMORY_KIB_MAX + 1), (8, u32::MAX), (12, 65), (16, 65)] {
        let mut altered = bytes.clone();
        altered[at..at + 4].copy_from_slice(&value.to_be_bytes());
        assert_eq!(Slot::decode(&with_digest(altered)).err(), Some(SlotError::Damaged(SlotDamage::Head)));
    }
    let mut none = bytes;
    none[8..20].fill(0);
    let slot = Slot::decode(&with_digest(none)).unwrap();
    let opened = slot.open_root(CLUSTER, NODE, &passphrase("correct horse battery")).err();
    assert!(matches!(opened, Some(SlotError::Stretch(_))), "{opened:?}");
}

#[test]
fn the_recovery_slot_opens_with_its_phrase_on_any_node() {
    let root = RootKey::generate(ENTROPY);
    let (phrase, other) = (RecoveryPhrase::generate(ENTROPY), RecoveryPhrase::generate(ENTROPY));
    let cost = PassphraseCost::cheap_for_tests();
    let slot = Slot::seal_recovery(&root, CLUSTER, &phrase, cost, ENTROPY).unwrap();
    let slot = Slot::decode(&slot.encode()).unwrap();
    assert_eq!(slot.open_recovery(CLUSTER, &phrase).unwrap().id(), root.id());
    assert_eq!(slot.open_recovery(CLUSTER, &other).err(), Some(SlotError::WrongSecret));
    let expected = SlotError::OtherPurpose { expected: SlotPurpose::Root, found: SlotPurpose::Recovery };
    assert_eq!(slot.open_root(CLUSTER, NodeId(0), &key(1)).err(), Some(expected));
}

#[test]
fn the_default_cost_is_at_least_64_mib_and_is_stored_in_the_slot() {
    assert!(PassphraseCost::default().memory_kib >= 64 * 1024);
    assert_eq!(PassphraseCost::with_memory_kib(64 * 1024 - 1), None);
    assert_eq!(PassphraseCost::with_memory_kib(MEMORY_KIB_MAX + 1), None);
    let root = RootKey::generate(ENTROPY);
    let secret = passphrase("correct horse battery");
    let slot = Slot::seal_root(&root, PLACE, &secret, PassphraseCost::default(), ENTROPY).unwrap();
    let slot = Slot::decode(&slot.encode()).unwrap();
    assert_eq!(slot.head.cost, PassphraseCost::default());
    assert_eq!(slot.open_root(CLUSTER, NODE, &secret).unwrap().id(), root.id());
}

proptest! {
    #[test]
    fn any_bytes_are_a_slot_or_an_error(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Slot::decode(&bytes);
        if bytes.len() > DIGEST_BYTES + MAGIC.len() {
            bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
            bytes[MAGIC.len()] = VERSION;
            let _ = Slot::decode(&with_digest(bytes));
        }
    }
}
