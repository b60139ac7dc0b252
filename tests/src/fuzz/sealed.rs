//! Sealed frames, chunks and the slots of keys: what was made opens, and nothing else does.

use super::disk::Fixed;
use super::input::{Input, assert_canonical};
use plantao_domain::{ClusterId, NodeId, PatientId, UnitId};
use plantao_node::crypto::seal::{
    Context, DataKey, Kind, OVERHEAD_BYTES, Owner, frame_bytes, frame_key_id, open, seal,
};
use std::sync::OnceLock;

const CLUSTER: ClusterId = ClusterId::from_bytes([7; 16]);

fn key() -> &'static DataKey {
    static KEY: OnceLock<DataKey> = OnceLock::new();
    KEY.get_or_init(|| DataKey::generate(&Fixed))
}

/// Anything sealed: some bytes are, in some context, and then the frame is damaged, or the context is another one.
pub(super) mod sealed_frame {
    use super::*;

    const KINDS: [Kind; 5] = [Kind::Record, Kind::LogPayload, Kind::StateRow, Kind::WrappedDataKey, Kind::Reason];

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        vec![
            [[0, 1, 9, 5].as_slice(), b"hello, and what follows is damage", &[0, 60, 1]].concat(),
            vec![1, 0, 0, 0],
            [[2, 2, 3, 200].as_slice(), &[0; 200]].concat(),
            [[255].as_slice(), b"PLT1\x01\x01", &[0; 120]].concat(),
        ]
    }

    pub(crate) fn run(data: &[u8]) {
        let mut input = Input(data);
        let kind = input.byte();
        if kind == 255 {
            // Bytes that nobody sealed.
            let context = context(Kind::Record, Owner::Cluster, &[], 0);
            assert!(open(key(), &context, input.0).is_err());
            assert!(frame_key_id(input.0).is_err() || input.0.len() >= OVERHEAD_BYTES);
            return;
        }
        let kind = KINDS[usize::from(kind) % KINDS.len()];
        let whose = input.byte();
        let owner = match whose % 4 {
            0 => Owner::Patient(PatientId::from_bytes([whose; 16])),
            1 => Owner::Unit(UnitId::from_bytes([whose; 16])),
            2 => Owner::Node(NodeId(u64::from(whose))),
            _ => Owner::Search,
        };
        let object_bytes = usize::from(input.byte() % 40);
        let object = input.take(object_bytes);
        let length = usize::from(input.byte());
        let plaintext = input.take(length);
        let version = u64::from(whose);
        let uniq = [whose; 32];
        let place = context(kind, owner, object, version);
        let frame = seal(key(), &place, plaintext, &uniq);
        assert_eq!(frame.len(), frame_bytes(kind, plaintext.len()));
        assert_eq!(open(key(), &place, &frame).unwrap().as_slice(), plaintext);
        assert_eq!(frame_key_id(&frame), Ok((key().id(), key().version())));
        // It is bound to its place: no field of the context may be another one.
        let longer = [object, &[0]].concat();
        for other in [
            context(kind, Owner::Cluster, object, version),
            context(kind, owner, &longer, version),
            context(kind, owner, object, version + 1),
            Context { schema: 2, ..place },
            Context { cluster: ClusterId::from_bytes([8; 16]), ..place },
            Context { kind: Kind::Chunk, ..place },
        ] {
            assert!(open(key(), &other, &frame).is_err(), "it opens elsewhere: {other:?}");
        }
        let end = usize::from(whose) % frame.len();
        assert!(open(key(), &place, &frame[..end]).is_err(), "{end} of {} bytes open", frame.len());
        let mut damaged = frame.clone();
        if input.damage(&mut damaged) {
            assert!(open(key(), &place, &damaged).is_err(), "a damaged frame opens");
        }
    }

    fn context<'a>(kind: Kind, owner: Owner, object: &'a [u8], object_version: u64) -> Context<'a> {
        Context { cluster: CLUSTER, owner, object, object_version, kind, schema: 1 }
    }
}

/// A piece of an image: its name is what it became.
pub(super) mod chunk_frame {
    use super::*;
    use plantao_node::crypto::{chunk_id, open_chunk, seal_chunk};

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        vec![[[8].as_slice(), b"a piece.", &[0, 50, 1]].concat(), vec![0], [vec![200], vec![3; 203]].concat()]
    }

    pub(crate) fn run(data: &[u8]) {
        let mut input = Input(data);
        let length = usize::from(input.byte());
        let plaintext = input.take(length);
        let patient = PatientId::from_bytes([4; 16]);
        let sealed = seal_chunk(CLUSTER, patient, key(), plaintext);
        assert_eq!(sealed.id, seal_chunk(CLUSTER, patient, key(), plaintext).id, "equal bytes are one chunk");
        let read = |id, frame: &[u8]| open_chunk(CLUSTER, patient, key(), id, frame).map(|bytes| bytes.to_vec()).ok();
        assert_eq!(read(sealed.id, &sealed.frame).as_deref(), Some(plaintext));
        let other = PatientId::from_bytes([5; 16]);
        assert!(open_chunk(CLUSTER, other, key(), sealed.id, &sealed.frame).is_err());
        let mut damaged = sealed.frame.clone();
        if input.damage(&mut damaged) {
            assert_eq!(read(sealed.id, &damaged), None, "other bytes under its name");
            assert_eq!(read(chunk_id(&damaged), &damaged), None, "they open under their own name");
        }
        let raw = data;
        assert_eq!(read(chunk_id(raw), raw), None, "bytes that nobody sealed open");
    }
}

/// The files that keep a key, as they are, and with a right digest where the last byte is even.
pub(super) mod slot {
    use super::*;
    use plantao_node::crypto::keys::{RootKey, StorageKey};
    use plantao_node::crypto::slot_source::SlotSecret;
    use plantao_node::crypto::slots::{PassphraseCost, Slot, SlotPlace};

    const BODY_BYTES: usize = 214;

    fn secret() -> SlotSecret {
        SlotSecret::Key([9; 32].into())
    }

    fn slots() -> &'static [Vec<u8>; 2] {
        static SLOTS: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
        SLOTS.get_or_init(|| {
            let place = SlotPlace { cluster: CLUSTER, node: NodeId(3), serial: 1 };
            let cost = PassphraseCost::cheap_for_tests();
            let root = Slot::seal_root(&RootKey::generate(&Fixed), place, &secret(), cost, &Fixed).unwrap();
            let storage = Slot::seal_storage(&StorageKey::generate(&Fixed), place, &secret(), cost, &Fixed).unwrap();
            [root.encode(), storage.encode()]
        })
    }

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        slots().to_vec()
    }

    pub(crate) fn run(data: &[u8]) {
        let mut file = data.to_vec();
        if data.len() >= BODY_BYTES && data.last().is_some_and(|last| last.is_multiple_of(2)) {
            file.truncate(BODY_BYTES);
            file.extend_from_slice(&plantao_domain::digest::of_bytes(&file));
        }
        assert_canonical(&file, |bytes| Some(Slot::decode(bytes).ok()?.encode()));
        let Ok(slot) = Slot::decode(&file) else { return };
        // Sealed under this key and not as it was made: never opened. A passphrase's work is not done for a fuzzer.
        if matches!(slot.secret_kind(), plantao_node::crypto::slots::SecretKind::Key) && !slots().contains(&file) {
            let (cluster, node) = (slot.place().cluster, slot.place().node);
            assert!(slot.open_root(cluster, node, &secret()).is_err(), "an altered slot opens");
            assert!(slot.open_storage(cluster, node, &secret()).is_err(), "an altered slot opens");
        }
    }
}

/// The paper passphrase as somebody types it.
pub(super) mod recovery_phrase {
    use super::*;
    use plantao_node::crypto::RecoveryPhrase;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let text = RecoveryPhrase::generate(&Fixed).to_text();
        let typed = text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        vec![text.as_bytes().to_vec(), typed.into_bytes(), b"AAAA-BBBB".to_vec(), "\u{2013}".as_bytes().to_vec()]
    }

    pub(crate) fn run(data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let Ok(phrase) = RecoveryPhrase::parse(text) else { return };
        let written = phrase.to_text();
        let again = RecoveryPhrase::parse(&written).unwrap().to_text();
        assert_eq!(*again, *written);
        // One wrong symbol is a typing error and never another key.
        let at = data.len() % written.len();
        let other = if written.as_bytes()[at] == b'Z' { "Y" } else { "Z" };
        if written.as_bytes()[at] != b'-' {
            let mut typed = written.to_string();
            typed.replace_range(at..=at, other);
            assert!(RecoveryPhrase::parse(&typed).is_err());
        }
    }
}
