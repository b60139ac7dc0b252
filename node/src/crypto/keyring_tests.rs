#![allow(clippy::unwrap_used)]

use super::*;
use crate::crypto::keys::{FIRST_EPOCH, NewCluster};
use crate::crypto::{Kind, Owner};
use crate::entropy::SystemEntropy;
use plantao_domain::{PatientId, UnitId};

const CLUSTER: ClusterId = ClusterId::from_bytes([0xc1; 16]);

fn patient(byte: u8) -> KeyOwner {
    KeyOwner::Patient(PatientId::from_bytes([byte; 16]))
}

fn keyring(new: &NewCluster, recent_keys_max: usize) -> Keyring {
    let keyring = Keyring::with_recent_keys_max(CLUSTER, Arc::new(SystemEntropy), recent_keys_max);
    keyring.install_epoch(FIRST_EPOCH, new.epoch_key.clone());
    keyring.install_cluster_keys(new.search_key.clone(), new.tag_key.clone());
    keyring
}

fn copy(root: &RootKey) -> RootKey {
    RootKey::from_bytes(&root.to_bytes())
}

#[test]
fn a_sealed_node_has_no_key_until_it_is_unsealed() {
    let new = NewCluster::generate(CLUSTER, &SystemEntropy);
    let unit = keyring(&new, 100);
    unit.unseal(copy(&new.root)).unwrap();
    let (key, wrapped) = unit.new_data_key(patient(1)).unwrap();

    let node = keyring(&new, 100);
    assert!(node.is_sealed());
    assert_eq!(node.data_key(patient(1), &wrapped).err(), Some(KeyError::Sealed));
    assert_eq!(node.new_data_key(patient(2)).err(), Some(KeyError::Sealed));
    assert_eq!(node.content_tag(b"request"), Err(KeyError::Sealed));
    assert_eq!(node.search_token(SearchTerm::Cpf, "12345678909"), Err(KeyError::Sealed));
    assert_eq!(node.root_for_handover().err(), Some(KeyError::Sealed));
    assert_eq!(node.new_epoch().err(), Some(KeyError::Sealed));

    node.unseal(RootKey::from_bytes(&unit.root_for_handover().unwrap())).unwrap();
    assert!(!node.is_sealed());
    assert_eq!(node.data_key(patient(1), &wrapped).unwrap().id(), key.id());
    assert_eq!(node.content_tag(b"request").unwrap(), unit.content_tag(b"request").unwrap());
}

#[test]
fn another_clusters_root_key_is_refused_and_leaves_the_node_sealed() {
    let new = NewCluster::generate(CLUSTER, &SystemEntropy);
    let node = keyring(&new, 100);
    let refused = node.unseal(RootKey::generate(&SystemEntropy)).err();
    assert!(matches!(refused, Some(KeyError::OtherRoot { epoch: FIRST_EPOCH, .. })), "{refused:?}");
    assert!(node.is_sealed());
    node.unseal(new.root).unwrap();
}

/// The first read of a key opens it for its owner; that must not let it stand at another owner.
#[test]
fn a_recent_key_is_given_to_its_own_owner_only() {
    let new = NewCluster::generate(CLUSTER, &SystemEntropy);
    let node = keyring(&new, 100);
    node.unseal(copy(&new.root)).unwrap();
    let (_, wrapped) = node.new_data_key(patient(1)).unwrap();
    assert!(node.data_key(patient(1), &wrapped).is_ok());
    let elsewhere = KeyOwner::Unit(UnitId::from_bytes([1; 16]));
    for owner in [patient(2), elsewhere] {
        let refused = node.data_key(owner, &wrapped).err();
        assert!(matches!(refused, Some(KeyError::Unwrap { .. })), "{refused:?}");
    }
}

#[test]
fn only_so_many_keys_stay_open_and_the_others_open_again() {
    let new = NewCluster::generate(CLUSTER, &SystemEntropy);
    let node = keyring(&new, 2 * SHARDS);
    node.unseal(copy(&new.root)).unwrap();
    let all: Vec<_> = (0..200).map(|i| (patient(i), node.new_data_key(patient(i)).unwrap())).collect();
    let held = |node: &Keyring| node.recent.iter().map(|shard| read(shard).keys.len()).sum::<usize>();
    assert!(held(&node) <= 2 * SHARDS, "{}", held(&node));
    for (owner, (key, wrapped)) in &all {
        assert_eq!(node.data_key(*owner, wrapped).unwrap().id(), key.id());
        let again = node.data_key(*owner, wrapped).unwrap();
        assert!(Arc::ptr_eq(&again, &node.data_key(*owner, wrapped).unwrap()), "the newest key stays open");
    }
    assert!(held(&node) <= 2 * SHARDS);
    for shard in &node.recent {
        assert_eq!(read(shard).keys.len(), read(shard).ring.len());
    }
}

#[test]
fn keys_of_old_epochs_open_and_new_ones_are_wrapped_under_the_newest() {
    let new = NewCluster::generate(CLUSTER, &SystemEntropy);
    let node = keyring(&new, 100);
    node.unseal(copy(&new.root)).unwrap();
    let (_, old) = node.new_data_key(patient(1)).unwrap();
    let (number, frame) = node.new_epoch().unwrap();
    assert_eq!(number, FIRST_EPOCH + 1);
    node.install_epoch(number, frame.clone());
    let (_, young) = node.new_data_key(patient(2)).unwrap();
    assert_eq!((old.epoch, young.epoch), (FIRST_EPOCH, number));

    let late = keyring(&new, 100);
    late.unseal(copy(&new.root)).unwrap();
    assert!(late.data_key(patient(1), &old).is_ok());
    assert_eq!(late.data_key(patient(2), &young).err(), Some(KeyError::UnknownEpoch(number)));
    late.install_epoch(number, frame);
    assert!(late.data_key(patient(2), &young).is_ok());
}

#[test]
fn a_node_that_knows_no_cluster_keys_yet_says_so() {
    let node = Keyring::sealed(CLUSTER, Arc::new(SystemEntropy));
    node.unseal(RootKey::generate(&SystemEntropy)).unwrap();
    assert_eq!(node.content_tag(b"request"), Err(KeyError::NoClusterKeys));
    assert_eq!(node.new_data_key(patient(1)).err(), Some(KeyError::UnknownEpoch(FIRST_EPOCH)));
}

#[test]
fn tags_and_tokens_differ_by_content_term_and_cluster() {
    let (new, other) = (NewCluster::generate(CLUSTER, &SystemEntropy), NewCluster::generate(CLUSTER, &SystemEntropy));
    let (node, foreign) = (keyring(&new, 100), keyring(&other, 100));
    node.unseal(copy(&new.root)).unwrap();
    foreign.unseal(copy(&other.root)).unwrap();
    let cpf = node.search_token(SearchTerm::Cpf, "12345678909").unwrap();
    assert_eq!(cpf, node.search_token(SearchTerm::Cpf, "12345678909").unwrap());
    let all = [
        cpf,
        node.search_token(SearchTerm::Phone, "12345678909").unwrap(),
        node.search_token(SearchTerm::Cpf, "12345678908").unwrap(),
        foreign.search_token(SearchTerm::Cpf, "12345678909").unwrap(),
        node.content_tag(b"a").unwrap(),
        node.content_tag(b"b").unwrap(),
        foreign.content_tag(b"a").unwrap(),
    ];
    for (i, tag) in all.iter().enumerate() {
        assert!(!all[i + 1..].contains(tag), "{i}");
    }
    for text in ["", "123.456.789-09", "1234567890123456", "１２３"] {
        assert_eq!(node.search_token(SearchTerm::Phone, text), Err(KeyError::NotDigits), "{text}");
    }
}

#[test]
fn threads_that_read_while_epochs_arrive_see_whole_keys() {
    let new = NewCluster::generate(CLUSTER, &SystemEntropy);
    let node = keyring(&new, 100);
    node.unseal(copy(&new.root)).unwrap();
    let (_, wrapped) = node.new_data_key(patient(1)).unwrap();
    let context = Context {
        cluster: CLUSTER,
        owner: Owner::from(patient(1)),
        object: &[1; 16],
        object_version: 1,
        kind: Kind::Record,
        schema: 1,
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let key = node.data_key(patient(1), &wrapped).unwrap();
                    let frame = node.seal(&key, &context, b"content");
                    assert_eq!(&*node.open(&key, &context, &frame).unwrap(), b"content");
                }
            });
        }
        for _ in 0..10 {
            let (number, frame) = node.new_epoch().unwrap();
            node.install_epoch(number, frame);
            assert!(node.new_data_key(patient(2)).unwrap().1.epoch >= number);
        }
    });
}
