#![allow(clippy::unwrap_used)]

use super::*;
use crate::crypto::UniqSource;
use crate::entropy::SystemEntropy;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Instant;

fn key(byte: u8) -> DataKey {
    DataKey::from_material(Zeroizing::new([byte; 32]), 1)
}

fn context(kind: Kind) -> Context<'static> {
    Context {
        cluster: ClusterId::from_bytes([0xc1; 16]),
        owner: Owner::Patient(PatientId::from_bytes([0xa1; 16])),
        object: &[0xb1; 16],
        object_version: 3,
        kind,
        schema: 1,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "whole bytes: {text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The published vectors: blocks fenced by "```plt1-vector", lines of `name = value`.
fn published_vectors() -> Vec<BTreeMap<String, String>> {
    include_str!("../../../docs/formats.md")
        .split("```plt1-vector\n")
        .skip(1)
        .map(|block| {
            let block = block.split("```").next().unwrap();
            block
                .lines()
                .map(|line| {
                    let (name, value) = line.split_once('=').unwrap();
                    (name.trim().to_owned(), value.trim().to_owned())
                })
                .collect()
        })
        .collect()
}

fn owner_of(text: &str) -> Owner {
    let id = |text: &str| -> [u8; 16] { unhex(text).try_into().unwrap() };
    match text.split_once(' ') {
        Some(("patient", hex)) => Owner::Patient(PatientId::from_bytes(id(hex))),
        Some(("unit", hex)) => Owner::Unit(UnitId::from_bytes(id(hex))),
        Some(("node", number)) => Owner::Node(NodeId(number.parse().unwrap())),
        _ => match text {
            "search" => Owner::Search,
            "content tag" => Owner::ContentTag,
            "cluster" => Owner::Cluster,
            other => panic!("unknown owner {other}"),
        },
    }
}

/// Programs of others are written from the document, so the document must be what this program does.
#[test]
fn the_published_vectors_are_what_sealing_gives() {
    let vectors = published_vectors();
    assert!(vectors.len() >= 6, "each sort of owner is published: {}", vectors.len());
    for vector in vectors {
        let material: [u8; 32] = unhex(&vector["key"]).try_into().unwrap();
        let key = DataKey::from_material(Zeroizing::new(material), vector["key version"].parse().unwrap());
        assert_eq!(hex(key.id().as_bytes()), vector["key id"]);
        assert_eq!(hex(&*key.identity), vector["key.id"]);
        let object = unhex(&vector["object id"]);
        let kind = Kind::from_code(vector["kind"].parse().unwrap()).unwrap();
        let context = Context {
            cluster: vector["cluster id"].parse().unwrap(),
            owner: owner_of(&vector["owner"]),
            object: &object,
            object_version: vector["object version"].parse().unwrap(),
            kind,
            schema: vector["schema"].parse().unwrap(),
        };
        let plaintext = unhex(&vector["plaintext"]);
        let uniq: [u8; 32] = unhex(&vector["uniq"]).try_into().unwrap();
        let frame = seal(&key, &context, &plaintext, &uniq);
        assert_eq!(hex(&frame), vector["frame"], "{kind:?}");
        assert_eq!(*open(&key, &context, &frame).unwrap(), plaintext);
    }
}

/// The same computed a second time, step by step from the drawing, with other interfaces of the same libraries.
#[test]
fn a_frame_is_what_the_drawing_says() {
    use aes_gcm::aead::{Aead, Payload};
    use hmac::Mac;
    let hmac = |key: &[u8], parts: &[&[u8]]| -> Vec<u8> {
        let mut mac = hmac::Hmac::<Sha256>::new_from_slice(key).unwrap();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().to_vec()
    };
    let frame = seal(&key(7), &context(Kind::StateRow), b"value", &[9; 32]);
    let enc = hmac(&[7; 32], &[b"plt1 enc", &[1]]);
    let key_id = hmac(&[7; 32], &[b"plt1 key id", &[1]]);
    let header = [b"PLT1".as_slice(), &[1, 33], &key_id[..16], &[0, 0, 0, 1], &[9; 32]].concat();
    let fields: [&[u8]; 12] = [
        &[0, 16],
        &[0xc1; 16],
        &[0, 17, 1],
        &[0xa1; 16],
        &[0, 16],
        &[0xb1; 16],
        &[0, 8],
        &[0, 0, 0, 0, 0, 0, 0, 3],
        &[0, 1],
        &[33],
        &[0, 2],
        &[0, 1],
    ];
    let context = fields.concat();
    let digest = Sha256::digest([header.as_slice(), &context].concat());
    let first = hmac(&enc, &[b"plt1 seal", &digest, &[1]]);
    let commitment = hmac(&enc, &[&first, b"plt1 seal", &digest, &[2]]);
    let aad = [header.as_slice(), &commitment, &context].concat();
    let cipher = Aes256Gcm::new_from_slice(&first).unwrap();
    let ciphertext = cipher.encrypt(&Nonce::default(), Payload { msg: b"value", aad: &aad }).unwrap();
    assert_eq!(hex(&frame), hex(&[header, commitment, ciphertext].concat()));
}

#[test]
fn every_prefix_and_every_extension_of_a_frame_is_refused() {
    for kind in [Kind::Reason, Kind::StateRow] {
        let frame = seal(&key(1), &context(kind), b"content", &[2; 32]);
        for length in 0..frame.len() {
            assert!(open(&key(1), &context(kind), &frame[..length]).is_err(), "{length}");
            let _ = frame_key_id(&frame[..length]);
        }
        assert!(open(&key(1), &context(kind), &[frame.as_slice(), &[0]].concat()).is_err());
    }
}

#[test]
fn every_flipped_bit_of_a_frame_is_refused() {
    for kind in [Kind::Reason, Kind::StateRow] {
        let frame = seal(&key(1), &context(kind), b"content", &[2; 32]);
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key(1), &context(kind), &flipped).is_err(), "bit {bit}");
        }
    }
}

/// A frame opens in its own place only: each field of the context is bound.
#[test]
fn a_moved_frame_is_refused() {
    let here = context(Kind::Record);
    let frame = seal(&key(1), &here, b"content", &[2; 32]);
    let patient = PatientId::from_bytes([0xa1; 16]);
    let moved = [
        Context { cluster: ClusterId::from_bytes([0xc2; 16]), ..here },
        Context { owner: Owner::Patient(PatientId::from_bytes([0xa2; 16])), ..here },
        Context { owner: Owner::Unit(UnitId::from_bytes(*patient.as_bytes())), ..here },
        Context { object: &[0xb2; 16], ..here },
        Context { object: &[0xb1; 15], ..here },
        Context { object_version: 4, ..here },
        Context { schema: 2, ..here },
    ];
    for there in moved {
        assert_eq!(open(&key(1), &there, &frame).err(), Some(OpenError::Commitment), "{there:?}");
    }
    let other_kind = Context { kind: Kind::Reason, ..here };
    let expected = OpenError::OtherKind { expected: Kind::Reason, found: Kind::Record };
    assert_eq!(open(&key(1), &other_kind, &frame).err(), Some(expected));
    let mut relabelled = frame.clone();
    relabelled[5] = Kind::Reason as u8;
    assert_eq!(open(&key(1), &other_kind, &relabelled).err(), Some(OpenError::Commitment));
}

/// Fields are length-prefixed, so bytes cannot move from one to its neighbour.
#[test]
fn no_two_contexts_have_one_form() {
    let forms: Vec<Vec<u8>> = [b"".as_slice(), &[0], &[0, 0], &[7; 300], &[7; 65_534], &[7; 65_535], &[7; 65_536]]
        .into_iter()
        .map(|object| Bound::new(&[0; HEADER_BYTES], &Context { object, ..context(Kind::StateRow) }).aad().to_vec())
        .collect();
    for (i, form) in forms.iter().enumerate() {
        for other in &forms[i + 1..] {
            assert!(!form.starts_with(other) && !other.starts_with(form));
        }
    }
}

#[test]
fn the_wrong_key_the_wrong_version_and_a_forged_commitment_are_told_apart() {
    let frame = seal(&key(1), &context(Kind::Record), b"content", &[2; 32]);
    let needed = OpenError::OtherKey { found: key(1).id(), version: 1 };
    assert_eq!(open(&key(2), &context(Kind::Record), &frame).err(), Some(needed));
    let replaced = DataKey::from_material(Zeroizing::new([1; 32]), 2);
    assert_eq!(open(&replaced, &context(Kind::Record), &frame).err(), Some(needed));
    // A frame that names the right key and was made with another: AES-GCM alone would not commit to its key.
    let mut forged = seal(&key(2), &context(Kind::Record), b"content", &[2; 32]);
    forged[6..22].copy_from_slice(key(1).id().as_bytes());
    assert_eq!(open(&key(1), &context(Kind::Record), &forged).err(), Some(OpenError::Commitment));
    let mut damaged = frame.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(open(&key(1), &context(Kind::Record), &damaged).err(), Some(OpenError::Damaged));
    assert_eq!(frame_key_id(&frame).unwrap(), (key(1).id(), 1));
}

#[test]
fn later_formats_are_named_as_such() {
    let frame = seal(&key(1), &context(Kind::Record), b"content", &[2; 32]);
    let altered = |at: usize, byte: u8| {
        let mut frame = frame.clone();
        frame[at] = byte;
        open(&key(1), &context(Kind::Record), &frame).err()
    };
    assert_eq!(altered(3, b'2'), Some(OpenError::NotAFrame));
    assert_eq!(altered(4, 2), Some(OpenError::UnknownAlgorithm(2)));
    assert_eq!(altered(5, 200), Some(OpenError::UnknownKind(200)));
}

#[test]
fn what_describes_a_person_is_padded_and_machine_data_is_not() {
    for kind in Kind::ALL {
        let describes_a_person = (*kind as u8) < 16;
        assert_eq!(kind.is_padded(), describes_a_person, "{kind:?}");
        for length in [0, 1, 251, 252, 253, 508, 509, 5_000] {
            let plaintext = vec![b'x'; length];
            let frame = seal(&key(1), &context(*kind), &plaintext, &[2; 32]);
            assert_eq!(frame.len(), frame_bytes(*kind, length));
            if describes_a_person {
                assert_eq!((frame.len() - OVERHEAD_BYTES) % PADDING_STEP_BYTES, 0);
            } else {
                assert_eq!(frame.len(), length + OVERHEAD_BYTES);
            }
            assert_eq!(*open(&key(1), &context(*kind), &frame).unwrap(), plaintext);
        }
        assert_eq!(Kind::from_code(*kind as u8), Some(*kind));
    }
}

#[test]
fn only_the_one_padding_is_taken() {
    let padded = |prefix: u32, total: usize, last: u8| {
        let mut bytes = vec![0; total];
        bytes[..4].copy_from_slice(&prefix.to_be_bytes());
        bytes[total - 1] = last;
        unpad(&mut bytes).map(|()| bytes.len())
    };
    assert_eq!(padded(3, 256, 0), Ok(3));
    assert_eq!(padded(252, 256, 5), Ok(252));
    assert_eq!(padded(3, 512, 0), Err(OpenError::Padding), "a step too many");
    assert_eq!(padded(253, 256, 0), Err(OpenError::Padding), "longer than there is");
    assert_eq!(padded(3, 256, 1), Err(OpenError::Padding), "not zero");
    assert_eq!(padded(u32::MAX, 256, 0), Err(OpenError::Padding));
    assert_eq!(unpad(&mut Vec::new()), Err(OpenError::Padding));
    assert_eq!(unpad(&mut vec![0, 0, 0]), Err(OpenError::Padding));
}

proptest! {
    #[test]
    fn everything_sealed_opens(
        material: [u8; 32],
        uniq: [u8; 32],
        plaintext in proptest::collection::vec(any::<u8>(), 0..3_000),
        object in proptest::collection::vec(any::<u8>(), 0..700),
        version: u64,
        kind in 0..Kind::ALL.len(),
    ) {
        let key = DataKey::from_material(Zeroizing::new(material), 1);
        let context = Context { object: &object, object_version: version, ..context(Kind::ALL[kind]) };
        let frame = seal(&key, &context, &plaintext, &uniq);
        prop_assert_eq!(&*open(&key, &context, &frame).unwrap(), &plaintext);
    }

    #[test]
    fn any_bytes_are_opened_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = frame_key_id(&bytes);
        prop_assert!(open(&key(1), &context(Kind::Record), &bytes).is_err());
        let magic = bytes.len().min(4);
        bytes[..magic].copy_from_slice(&MAGIC[..magic]);
        prop_assert!(open(&key(1), &context(Kind::Record), &bytes).is_err());
    }
}

/// Printed, not asserted: a busy machine proves nothing. The best of many short batches, because neighbours only add.
/// `cargo test --release -p plantao-node --lib seal_cost -- --nocapture`.
#[test]
#[allow(clippy::print_stdout)]
fn seal_cost_is_printed() {
    const BATCHES: u32 = 100;
    const ROUNDS: u32 = 20;
    let (key, plaintext) = (key(1), [7_u8; 256]);
    let time = |name: &str, work: &mut dyn FnMut()| {
        let batch = |work: &mut dyn FnMut()| {
            let started = Instant::now();
            (0..ROUNDS).for_each(|_| work());
            started.elapsed().as_nanos() / u128::from(ROUNDS)
        };
        println!("{name}: {} ns", (0..BATCHES).map(|_| batch(work)).min().unwrap());
    };
    for kind in [Kind::StateRow, Kind::Record] {
        let context = context(kind);
        let frame = seal(&key, &context, &plaintext, &[2; 32]);
        time(&format!("seal 256 B as {kind:?}"), &mut || drop(seal(&key, &context, &plaintext, &[2; 32])));
        time(&format!("open 256 B as {kind:?}"), &mut || drop(open(&key, &context, &frame)));
    }
    let source = UniqSource::new(&SystemEntropy);
    time("uniq from the source, 256 B", &mut || {
        std::hint::black_box(source.next(&plaintext));
    });
    time("uniq from the operating system", &mut || {
        std::hint::black_box(random::<32>(&SystemEntropy));
    });
    time("data key from its material", &mut || drop(DataKey::from_material(Zeroizing::new([1; 32]), 1)));
}

/// Prints the blocks of `docs/formats.md`, for when a kind is added; `the_published_vectors…` is what checks them.
#[test]
#[allow(clippy::print_stdout)]
fn vectors_are_printed() {
    let ascending: Vec<u8> = (0..32).collect();
    let material: [u8; 32] = ascending.clone().try_into().unwrap();
    let (a1, b1) = ([0xa1; 16], [0xb1; 16]);
    let patient = Owner::Patient(PatientId::from_bytes(a1));
    let unit = Owner::Unit(UnitId::from_bytes(a1));
    type Case<'a> = (Kind, Owner, &'a [u8], u64, &'a [u8]);
    let cases: [Case<'_>; 7] = [
        (Kind::Record, patient, &b1, 1, b"{\"resourceType\":\"Observation\"}"),
        (Kind::Reason, patient, &b1, 2, b""),
        (Kind::Directory, unit, &b1, 0, "Clínica Centro".as_bytes()),
        (Kind::WrappedEpochKey, Owner::Cluster, &[0, 0, 0, 1], 0, &[0x5e; 36]),
        (Kind::WrappedDataKey, Owner::Search, &b1, 1, &[0x5e; 36]),
        (Kind::WrappedDataKey, Owner::ContentTag, &b1, 1, &[0x5e; 36]),
        (Kind::LogPayload, Owner::Node(NodeId(3)), &[0, 0, 0, 0, 0, 0, 1, 0], 0, b"payload"),
    ];
    for (i, (kind, owner, object, version, plaintext)) in cases.into_iter().enumerate() {
        let key = DataKey::from_material(Zeroizing::new(material), 1);
        let context = Context { owner, object, object_version: version, kind, schema: 1, ..context(kind) };
        let uniq = [u8::try_from(i).unwrap() + 1; 32];
        println!("```plt1-vector\nkey            = {}\nkey version    = 1", hex(&material));
        println!("key id         = {}\nkey.id         = {}", hex(key.id().as_bytes()), hex(&*key.identity));
        println!("uniq           = {}\ncluster id     = {}", hex(&uniq), hex(context.cluster.as_bytes()));
        println!(
            "owner          = {}",
            match owner {
                Owner::Patient(id) => format!("patient {}", hex(id.as_bytes())),
                Owner::Unit(id) => format!("unit {}", hex(id.as_bytes())),
                Owner::Node(id) => format!("node {id}"),
                Owner::Search => "search".to_owned(),
                Owner::ContentTag => "content tag".to_owned(),
                Owner::Cluster => "cluster".to_owned(),
            }
        );
        println!("object id      = {}\nobject version = {version}", hex(object));
        println!("kind           = {}\nschema         = 1\nplaintext      = {}", kind as u8, hex(plaintext));
        println!("frame          = {}\n```", hex(&seal(&key, &context, plaintext, &uniq)));
    }
}
