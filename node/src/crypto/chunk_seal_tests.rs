#![allow(clippy::unwrap_used)]

use super::*;
use std::collections::BTreeMap;

const CLUSTER: ClusterId = ClusterId::from_bytes([0xc1; 16]);
const PATIENT: PatientId = PatientId::from_bytes([0xa1; 16]);

fn key(byte: u8) -> DataKey {
    DataKey::from_material(Zeroizing::new([byte; 32]), 1)
}

fn ascending() -> DataKey {
    let material: Vec<u8> = (0..32).collect();
    DataKey::from_material(Zeroizing::new(material.try_into().unwrap()), 1)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seal_here(plaintext: &[u8]) -> SealedChunk {
    seal_chunk(CLUSTER, PATIENT, &key(1), plaintext)
}

/// What an upload that is tried again relies on, and what keeps two patients apart.
#[test]
fn equal_bytes_of_one_patient_are_one_chunk_and_of_two_are_not() {
    let first = seal_here(b"a piece of a photograph");
    let again = seal_here(b"a piece of a photograph");
    assert!(first.id == again.id && first.frame == again.frame);
    assert!(seal_here(b"a piece of a photogrnph").id != first.id);
    let other = seal_chunk(CLUSTER, PatientId::from_bytes([0xa2; 16]), &key(2), b"a piece of a photograph");
    assert_eq!(other.frame.len(), first.frame.len());
    // Nothing but magic, algorithm, kind and key version may be equal.
    let equal = first.frame[26..].iter().zip(&other.frame[26..]).filter(|(a, b)| a == b).count();
    assert!(equal < 12, "{equal} of {} bytes are equal", first.frame.len() - 26);
}

#[test]
fn a_chunk_opens_for_its_patient_and_key_only() {
    let chunk = seal_here(b"piece");
    assert_eq!(*open_chunk(CLUSTER, PATIENT, &key(1), chunk.id, &chunk.frame).unwrap(), b"piece");
    let refused = |cluster, patient, key: &DataKey| open_chunk(cluster, patient, key, chunk.id, &chunk.frame).err();
    let other = PatientId::from_bytes([0xa2; 16]);
    let moved = Some(OpenChunkError::Seal { id: chunk.id, source: OpenError::Commitment });
    assert_eq!(refused(CLUSTER, other, &key(1)), moved);
    assert_eq!(refused(ClusterId::from_bytes([0xc2; 16]), PATIENT, &key(1)), moved);
    assert!(matches!(
        refused(CLUSTER, PATIENT, &key(2)),
        Some(OpenChunkError::Seal { source: OpenError::OtherKey { .. }, .. })
    ));
    let another = seal_here(b"another piece");
    let swapped = open_chunk(CLUSTER, PATIENT, &key(1), chunk.id, &another.frame);
    assert_eq!(swapped.err(), Some(OpenChunkError::OtherBytes { id: chunk.id }));
}

#[test]
fn every_prefix_and_every_flipped_bit_of_a_chunk_is_refused() {
    let chunk = seal_here(b"piece");
    for length in 0..chunk.frame.len() {
        let cut = &chunk.frame[..length];
        assert!(open_chunk(CLUSTER, PATIENT, &key(1), chunk.id, cut).is_err(), "{length}");
        // Under the name that the cut bytes would have, the seal itself refuses them.
        assert!(open_chunk(CLUSTER, PATIENT, &key(1), chunk_id(cut), cut).is_err(), "{length}");
    }
    for bit in 0..chunk.frame.len() * 8 {
        let mut flipped = chunk.frame.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open_chunk(CLUSTER, PATIENT, &key(1), chunk.id, &flipped).is_err(), "bit {bit}");
        assert!(open_chunk(CLUSTER, PATIENT, &key(1), chunk_id(&flipped), &flipped).is_err(), "bit {bit}");
    }
}

/// A chunk whose `uniq` was not derived would break "equal bytes, equal chunk", so it does not count as one.
#[test]
fn a_frame_with_a_uniq_of_its_own_choice_is_refused() {
    let frame = seal(&key(1), &context(CLUSTER, PATIENT), b"piece", &[9; 32]);
    let id = chunk_id(&frame);
    assert_eq!(open_chunk(CLUSTER, PATIENT, &key(1), id, &frame).err(), Some(OpenChunkError::Uniq { id }));
}

#[test]
fn the_longest_chunk_is_as_long_as_its_bound() {
    let chunk = seal_here(&vec![7; CHUNK_PLAINTEXT_BYTES_MAX]);
    assert_eq!(chunk.frame.len(), CHUNK_BYTES_MAX);
    assert_eq!(open_chunk(CLUSTER, PATIENT, &key(1), chunk.id, &chunk.frame).unwrap().len(), CHUNK_PLAINTEXT_BYTES_MAX);
    let empty = seal_here(b"");
    assert!(open_chunk(CLUSTER, PATIENT, &key(1), empty.id, &empty.frame).unwrap().is_empty());
}

/// The published vectors of kind 48 are checked as frames beside the others; here, that this module makes them.
#[test]
fn the_published_chunks_are_what_sealing_gives() {
    let page = include_str!("../../../docs/formats.md");
    let blocks = page.split("```plt1-vector\n").skip(1).map(|block| block.split("```").next().unwrap());
    let vectors: Vec<BTreeMap<&str, &str>> = blocks
        .map(|block| block.lines().filter_map(|line| line.split_once('=')).map(|(n, v)| (n.trim(), v.trim())).collect())
        .filter(|vector: &BTreeMap<&str, &str>| vector["kind"] == "48")
        .collect();
    assert!(vectors.len() >= 2, "{}", vectors.len());
    for vector in vectors {
        let plaintext: Vec<u8> = (0..vector["plaintext"].len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&vector["plaintext"][at..at + 2], 16).unwrap())
            .collect();
        let chunk = seal_chunk(CLUSTER, PATIENT, &ascending(), &plaintext);
        assert_eq!(hex(&chunk.frame), vector["frame"]);
        assert_eq!(hex(chunk.id.as_bytes()), vector["chunk id"]);
        assert_eq!(hex(&uniq(&ascending(), &plaintext)), vector["uniq"]);
    }
}

/// Prints the blocks of `docs/formats.md`.
#[test]
#[allow(clippy::print_stdout)]
fn chunk_vectors_are_printed() {
    for plaintext in [b"\xff\xd8\xff\xe0 a small image".as_slice(), b""] {
        let key = ascending();
        let chunk = seal_chunk(CLUSTER, PATIENT, &key, plaintext);
        let material: Vec<u8> = (0..32).collect();
        println!("```plt1-vector\nkey            = {}\nkey version    = 1", hex(&material));
        println!("key id         = {}\nkey.id         = {}", hex(key.id().as_bytes()), hex(key.identity()));
        println!("uniq           = {}", hex(&uniq(&key, plaintext)));
        println!("cluster id     = {}", hex(CLUSTER.as_bytes()));
        println!("owner          = patient {}", hex(PATIENT.as_bytes()));
        println!("object id      = \nobject version = 0\nkind           = 48\nschema         = 1");
        println!("plaintext      = {}", hex(plaintext));
        println!("frame          = {}", hex(&chunk.frame));
        println!("chunk id       = {}\n```", hex(chunk.id.as_bytes()));
    }
}
