#![allow(clippy::unwrap_used)]

use super::*;
use crate::crypto::{Keyring, PassphraseCost, RecoveryPhrase, Slot};
use crate::entropy::SystemEntropy;
use plantao_domain::{PatientId, RecordId};
use std::sync::Arc;

const CLUSTER: ClusterId = ClusterId::from_bytes([0xc1; 16]);
const ENTROPY: &SystemEntropy = &SystemEntropy;

fn patient(byte: u8) -> KeyOwner {
    KeyOwner::Patient(PatientId::from_bytes([byte; 16]))
}

fn is_refused(error: Option<UnwrapError>) -> bool {
    matches!(error, Some(UnwrapError::Open(_)))
}

#[test]
fn keys_unwrap_under_their_own_level_number_and_owner_only() {
    let (root, other_root) = (RootKey::generate(ENTROPY), RootKey::generate(ENTROPY));
    let epoch = EpochKey::generate(3, ENTROPY);
    let frame = root.wrap_epoch(CLUSTER, &epoch, ENTROPY);
    assert_eq!(root.unwrap_epoch(CLUSTER, 3, &frame).unwrap().id(), epoch.id());
    assert!(is_refused(root.unwrap_epoch(CLUSTER, 4, &frame).err()));
    assert!(is_refused(root.unwrap_epoch(ClusterId::from_bytes([1; 16]), 3, &frame).err()));
    assert!(is_refused(other_root.unwrap_epoch(CLUSTER, 3, &frame).err()));

    let key = DataKey::generate(ENTROPY);
    let wrapped = epoch.wrap(CLUSTER, patient(1), &key, ENTROPY);
    let opened = epoch.unwrap(CLUSTER, patient(1), &wrapped).unwrap();
    assert_eq!((opened.id(), opened.version(), opened.material()), (key.id(), 1, key.material()));
    assert!(is_refused(epoch.unwrap(CLUSTER, patient(2), &wrapped).err()));
    assert!(is_refused(epoch.unwrap(CLUSTER, KeyOwner::Search, &wrapped).err()));
    let renumbered = WrappedKey { epoch: 4, ..wrapped.clone() };
    let expected = UnwrapError::OtherEpoch { epoch: 3, found: 4 };
    assert_eq!(epoch.unwrap(CLUSTER, patient(1), &renumbered).err(), Some(expected));
    assert!(is_refused(EpochKey::generate(4, ENTROPY).unwrap(CLUSTER, patient(1), &renumbered).err()));
    let renamed = WrappedKey { key_id: KeyId::from_bytes([9; 16]), ..wrapped };
    assert!(is_refused(epoch.unwrap(CLUSTER, patient(1), &renamed).err()));
}

/// The frame is sound in both cases: only what it holds is wrong.
#[test]
fn a_sound_frame_with_another_key_or_no_key_inside_is_refused() {
    let epoch = EpochKey::generate(1, ENTROPY);
    let (announced, inside) = (DataKey::generate(ENTROPY), DataKey::generate(ENTROPY));
    let (key_id, found) = (announced.id(), inside.id());
    let context = data_key_context(CLUSTER, patient(1), &key_id, 1);
    let frame = wrap(&epoch.key, &context, &inside, ENTROPY);
    let wrapped = WrappedKey { key_id, epoch: 1, frame };
    let expected = UnwrapError::OtherKey { announced: key_id, found };
    assert_eq!(epoch.unwrap(CLUSTER, patient(1), &wrapped).err(), Some(expected));
    let frame = Sealed(seal(&epoch.key, &context, b"short", &[1; 32]));
    let wrapped = WrappedKey { key_id, epoch: 1, frame };
    assert_eq!(epoch.unwrap(CLUSTER, patient(1), &wrapped).err(), Some(UnwrapError::Length { bytes: 5 }));
}

/// A fire took both units. Left are the paper and what the off-site node replicated: every record must read back.
#[test]
fn from_the_paper_and_the_replicated_bytes_alone_a_record_reads_back() {
    let record = RecordId::from_bytes([0x0e; 16]);
    let context = Context {
        cluster: CLUSTER,
        owner: Owner::from(patient(1)),
        object: record.as_bytes(),
        object_version: 1,
        kind: Kind::Record,
        schema: 1,
    };
    let (paper, recovery_slot, epoch_key, search_key, tag_key, wrapped, frame, tag) = {
        let phrase = RecoveryPhrase::generate(ENTROPY);
        let NewCluster { root, epoch_key, search_key, tag_key } = NewCluster::generate(CLUSTER, ENTROPY);
        let cost = PassphraseCost::cheap_for_tests();
        let slot = Slot::seal_recovery(&root, CLUSTER, &phrase, cost, ENTROPY).unwrap().encode();
        let unit = Keyring::sealed(CLUSTER, Arc::new(SystemEntropy));
        unit.install_epoch(FIRST_EPOCH, epoch_key.clone());
        unit.install_cluster_keys(search_key.clone(), tag_key.clone());
        unit.unseal(root).unwrap();
        let (key, wrapped) = unit.new_data_key(patient(1)).unwrap();
        let frame = unit.seal(&key, &context, b"the sender's bytes");
        let tag = unit.content_tag(b"request").unwrap();
        (phrase.to_text().to_lowercase(), slot, epoch_key, search_key, tag_key, wrapped, frame, tag)
    };
    let phrase = RecoveryPhrase::parse(&paper).unwrap();
    let root = Slot::decode(&recovery_slot).unwrap().open_recovery(CLUSTER, &phrase).unwrap();
    let vault = Keyring::sealed(CLUSTER, Arc::new(SystemEntropy));
    vault.install_epoch(FIRST_EPOCH, epoch_key);
    vault.install_cluster_keys(search_key, tag_key);
    vault.unseal(root).unwrap();
    let key = vault.data_key(patient(1), &wrapped).unwrap();
    assert_eq!(&*vault.open(&key, &context, &frame).unwrap(), b"the sender's bytes");
    assert_eq!(vault.content_tag(b"request").unwrap(), tag);
}
