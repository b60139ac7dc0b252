//! CHECKPOINT: which engine directory is the state, and what it held when it was last made durable. It lies outside the
//! engine, because an engine opens "fine" with rows missing. Rows never live here.
//!
//! ```text
//! slot A at 0, slot B at 4096, 4096 bytes each:
//! "PLTCKPT1" | sequence u64 | cluster[16] | incarnation u64 | node u64 | engine u8 | generation u64
//! | meta row bytes[142] | BLAKE3 of all before [32] | zeros                                    integers big endian
//! ```
//! Each write goes to slot A, is synced, then to slot B, and is synced: a crash tears at most one, and one rotten slot
//! never hides the newest record.

use super::fs::{FsError, read_bounded, write_durably};
use super::state::meta::{self, META_BYTES, Reader};
use super::state::{EngineKind, StateMeta};
use plantao_domain::{ClusterId, NodeId};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"PLTCKPT1";
const SLOT_BYTES: usize = 4096;
const BODY_BYTES: usize = 8 + 8 + 16 + 8 + 8 + 1 + 8 + META_BYTES;

/// Whose state a directory holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its incarnation, raised by each quorum recovery.
    pub incarnation: u64,
    /// This node.
    pub node: NodeId,
}

/// One checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Whose state it is.
    pub owner: Owner,
    /// Which engine wrote the directory.
    pub engine: EngineKind,
    /// Number of the engine directory.
    pub generation: u64,
    /// What was durable; its membership is left out (empty).
    pub meta: StateMeta,
}

/// What was found in place of the file.
#[derive(Debug)]
pub(crate) enum Found {
    Missing,
    /// No slot is valid.
    Damaged,
    Valid(Box<Checkpoint>),
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    file: File,
    path: PathBuf,
    sequence: u64,
    record: Record,
}

impl Checkpoint {
    /// Creates or replaces the file.
    pub(crate) fn create(path: &Path, record: Record) -> Result<Self, FsError> {
        let mut bytes = vec![0; 2 * SLOT_BYTES];
        let slot = encode(0, &record);
        bytes[..slot.len()].copy_from_slice(&slot);
        bytes[SLOT_BYTES..SLOT_BYTES + slot.len()].copy_from_slice(&slot);
        write_durably(path, &bytes)?;
        Ok(Self { file: open(path)?, path: path.to_owned(), sequence: 0, record })
    }

    /// Reads the file, taking the newer valid slot.
    pub(crate) fn read(path: &Path) -> Result<Found, FsError> {
        let bytes = match read_bounded(path, 2 * SLOT_BYTES as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(Found::Missing),
            Err(FsError::TooLarge { .. } | FsError::NotAFile { .. }) => return Ok(Found::Damaged),
            Err(error) => return Err(error),
        };
        let slots = [bytes.get(..SLOT_BYTES), bytes.get(SLOT_BYTES..)];
        let newest = slots.into_iter().flatten().filter_map(decode).max_by_key(|(sequence, _)| *sequence);
        Ok(match newest {
            None => Found::Damaged,
            Some((sequence, record)) => {
                Found::Valid(Box::new(Self { file: open(path)?, path: path.to_owned(), sequence, record }))
            }
        })
    }

    /// The last durable record.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Replaces the record; returns when both slots are on disk.
    pub(crate) fn write(&mut self, mut record: Record) -> Result<(), FsError> {
        record.meta.membership = Vec::new();
        let sequence = self.sequence.saturating_add(1);
        let slot = encode(sequence, &record);
        for offset in [0, SLOT_BYTES as u64] {
            self.file.write_all_at(&slot, offset).map_err(failed("write", &self.path))?;
            self.file.sync_all().map_err(failed("sync", &self.path))?;
        }
        self.sequence = sequence;
        self.record = record;
        Ok(())
    }
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl Fn(io::Error) -> FsError + 'a {
    move |source| FsError::Io { operation, path: path.to_owned(), source }
}

fn open(path: &Path) -> Result<File, FsError> {
    OpenOptions::new().read(true).write(true).open(path).map_err(failed("open", path))
}

fn encode(sequence: u64, record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(record.owner.cluster.as_bytes());
    bytes.extend_from_slice(&record.owner.incarnation.to_be_bytes());
    bytes.extend_from_slice(&record.owner.node.0.to_be_bytes());
    bytes.push(match record.engine {
        EngineKind::Fjall => 1,
        EngineKind::Sled => 2,
    });
    bytes.extend_from_slice(&record.generation.to_be_bytes());
    bytes.extend_from_slice(&meta::encode(&StateMeta { membership: Vec::new(), ..record.meta.clone() }));
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes.resize(SLOT_BYTES, 0);
    bytes
}

/// For [`crate::again`]: one slot.
pub(crate) fn again(slot: &[u8]) -> Option<Vec<u8>> {
    let (sequence, record) = decode(slot)?;
    Some(encode(sequence, &record))
}

fn decode(slot: &[u8]) -> Option<(u64, Record)> {
    let (body, rest) = slot.split_at_checked(BODY_BYTES)?;
    let (digest, padding) = rest.split_first_chunk::<32>()?;
    if *blake3::hash(body).as_bytes() != *digest || padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    let mut reader = Reader(body);
    if reader.take::<8>()? != *MAGIC {
        return None;
    }
    let sequence = reader.u64()?;
    let owner = Owner {
        cluster: ClusterId::from_bytes(reader.take()?),
        incarnation: reader.u64()?,
        node: NodeId(reader.u64()?),
    };
    let engine = match reader.take::<1>()? {
        [1] => EngineKind::Fjall,
        [2] => EngineKind::Sled,
        _ => return None,
    };
    let generation = reader.u64()?;
    let meta = meta::decode(reader.slice(META_BYTES)?, &[])?;
    Some((sequence, Record { owner, engine, generation, meta }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::state::EntryId;
    use super::*;

    fn record(index: u64) -> Record {
        Record {
            owner: Owner { cluster: ClusterId::from_bytes([7; 16]), incarnation: 1, node: NodeId(3) },
            engine: EngineKind::Sled,
            generation: 9,
            meta: StateMeta { applied: Some(EntryId { term: 1, node: 3, index }), rows: 4, ..StateMeta::default() },
        }
    }

    fn read(path: &Path) -> Option<Record> {
        match Checkpoint::read(path).unwrap() {
            Found::Valid(checkpoint) => Some(checkpoint.record().clone()),
            Found::Damaged => None,
            Found::Missing => panic!("missing"),
        }
    }

    /// One rotten place must not bring back an older checkpoint, because the state could then be older too, unnoticed.
    #[test]
    fn one_flipped_bit_anywhere_still_gives_the_newest_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("CHECKPOINT");
        let mut checkpoint = Checkpoint::create(&path, record(1)).unwrap();
        checkpoint.write(record(2)).unwrap();
        let good = std::fs::read(&path).unwrap();
        assert_eq!(good.len(), 2 * SLOT_BYTES);
        for at in (0..good.len()).filter(|at| at % SLOT_BYTES < BODY_BYTES + 40) {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                std::fs::write(&path, &bad).unwrap();
                assert_eq!(read(&path), Some(record(2)), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn a_torn_write_leaves_the_old_record_or_the_new() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("CHECKPOINT");
        let mut checkpoint = Checkpoint::create(&path, record(1)).unwrap();
        let old = std::fs::read(&path).unwrap();
        checkpoint.write(record(2)).unwrap();
        let new = std::fs::read(&path).unwrap();
        for cut in (0..=new.len()).filter(|cut| cut % SLOT_BYTES < BODY_BYTES + 40) {
            let torn = [&new[..cut], &old[cut..]].concat();
            std::fs::write(&path, &torn).unwrap();
            assert!([Some(record(1)), Some(record(2))].contains(&read(&path)), "cut at {cut}");
        }
        for length in (0..new.len()).filter(|length| length % SLOT_BYTES < BODY_BYTES + 40) {
            std::fs::write(&path, &new[..length]).unwrap();
            assert!([None, Some(record(2))].contains(&read(&path)), "truncated to {length}");
        }
    }
}
