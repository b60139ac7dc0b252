//! How far the Raft log had come, kept outside the log: the witness against a log that lost its end, its vote, or
//! itself. What the log holds never belongs here.
//!
//! ```text
//! file   = slot 0, zeros up to 4096, slot 1, zeros up to 8192
//! slot   = "PLTMARK1" | cluster id 16 | node id 8 | sequence 8 | flags 1 | last 24 | purged 24 | vote 16 | CRC-32 4
//! last, purged = term 8, node 8, index 8; vote = term 8, node 8; all big-endian; absent ones are zeros
//! flags  = 1 last | 2 purged | 4 vote | 8 vote committed
//! ```
//! Sequence `n` is written to slot `n % 2`, so a torn write hits the older slot only. A reader takes the valid slot
//! with the higher sequence; a slot of zeros was never written; anything else that does not check is damaged.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use plantao_domain::{ClusterId, NodeId};

use super::fs::{FsError, read_bounded, write_durably};
use super::wal::{Ballot, EntryId};

const MAGIC: [u8; 8] = *b"PLTMARK1";
/// A slot has a block of its own, so that one torn write never touches two.
const SLOT_STRIDE: usize = 4096;
const FILE_BYTES: usize = 2 * SLOT_STRIDE;
const CHECKED_BYTES: usize = 105;
const SLOT_BYTES: usize = CHECKED_BYTES + 4;

/// Whose log it is. A log of another cluster or node is never opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogIdentity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node's number in it.
    pub node: NodeId,
}

/// What was certainly on disk. The log may be ahead of it, by at most a second of entries, never behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// The last synced entry.
    pub last: Option<EntryId>,
    /// The last purged entry.
    pub purged: Option<EntryId>,
    /// The vote.
    pub vote: Option<Ballot>,
}

/// Why there is no watermark to go by.
#[derive(Debug, thiserror::Error)]
pub enum WatermarkError {
    /// No such file.
    #[error("there is no watermark at {path}")]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Both slots fail their check.
    #[error("both slots of the watermark {path} are damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It exists already, so a log was here before.
    #[error("there is a watermark already at {path}")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or replaced.
    #[error("cannot use the watermark")]
    File(#[source] FsError),
    /// A slot cannot be written or synced.
    #[error("cannot write the watermark {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The open watermark file. One owner; every call blocks for a disk sync.
#[derive(Debug)]
pub struct Watermark {
    file: File,
    path: PathBuf,
    identity: LogIdentity,
    sequence: u64,
    mark: Mark,
    /// Which slot was damaged when opened, if one was.
    damaged_slot: Option<usize>,
}

impl Watermark {
    /// Makes the file for a log that has just been created.
    pub fn create(path: &Path, identity: LogIdentity) -> Result<Self, WatermarkError> {
        if path.exists() {
            return Err(WatermarkError::Exists { path: path.to_owned() });
        }
        let mut bytes = vec![0; FILE_BYTES];
        if let Some(slot) = bytes.get_mut(..SLOT_BYTES) {
            slot.copy_from_slice(&encode(identity, 0, &Mark::default()));
        }
        write_durably(path, &bytes).map_err(WatermarkError::File)?;
        Self::open(path)
    }

    /// Reads the newer valid slot.
    pub fn open(path: &Path) -> Result<Self, WatermarkError> {
        let bytes = match read_bounded(path, FILE_BYTES as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => {
                return Err(WatermarkError::Missing { path: path.to_owned() });
            }
            Err(FsError::TooLarge { .. }) => {
                return Err(WatermarkError::Damaged { path: path.to_owned() });
            }
            Err(error) => return Err(WatermarkError::File(error)),
        };
        let slots = [decode_slot(&bytes, 0), decode_slot(&bytes, 1)];
        let damaged_slot = slots.iter().position(|slot| matches!(slot, Slot::Damaged));
        let newest = slots
            .iter()
            .filter_map(|slot| if let Slot::Valid(content) = slot { Some(content) } else { None })
            .max_by_key(|content| content.sequence);
        let Some(&SlotContent { identity, sequence, mark }) = newest else {
            return Err(WatermarkError::Damaged { path: path.to_owned() });
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|source| WatermarkError::Write { path: path.to_owned(), source })?;
        Ok(Self { file, path: path.to_owned(), identity, sequence, mark, damaged_slot })
    }

    /// Whose log it witnesses.
    pub fn identity(&self) -> LogIdentity {
        self.identity
    }

    /// What it says.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// The slot (0 or 1) that failed its check when the file was opened. The next write to it repairs it.
    pub fn damaged_slot(&self) -> Option<usize> {
        self.damaged_slot
    }

    /// Writes `mark` into the older slot and syncs it. After an error the file must not be written again: what is on
    /// disk is unknown.
    pub fn write(&mut self, mark: Mark) -> Result<(), WatermarkError> {
        let sequence = self.sequence + 1;
        let offset = (sequence % 2) * SLOT_STRIDE as u64;
        let slot = encode(self.identity, sequence, &mark);
        self.file
            .write_all_at(&slot, offset)
            .and_then(|()| self.file.sync_data())
            .map_err(|source| WatermarkError::Write { path: self.path.clone(), source })?;
        self.sequence = sequence;
        self.mark = mark;
        Ok(())
    }
}

struct SlotContent {
    identity: LogIdentity,
    sequence: u64,
    mark: Mark,
}

enum Slot {
    Empty,
    Damaged,
    Valid(SlotContent),
}

fn encode(identity: LogIdentity, sequence: u64, mark: &Mark) -> [u8; SLOT_BYTES] {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(identity.cluster.as_bytes());
    bytes.extend_from_slice(&identity.node.0.to_be_bytes());
    bytes.extend_from_slice(&sequence.to_be_bytes());
    let committed = mark.vote.is_some_and(|vote| vote.committed);
    bytes.push(
        u8::from(mark.last.is_some())
            | u8::from(mark.purged.is_some()) << 1
            | u8::from(mark.vote.is_some()) << 2
            | u8::from(committed) << 3,
    );
    for id in [mark.last, mark.purged] {
        let id = id.unwrap_or_default();
        for number in [id.term, id.node, id.index] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
    }
    let vote = mark.vote.unwrap_or_default();
    bytes.extend_from_slice(&vote.term.to_be_bytes());
    bytes.extend_from_slice(&vote.node.to_be_bytes());
    let check = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&check.to_be_bytes());
    bytes.try_into().expect("the fields add up to the size of a slot")
}

fn decode_slot(file: &[u8], slot: usize) -> Slot {
    let start = slot * SLOT_STRIDE;
    let Some(bytes) = file.get(start..start + SLOT_STRIDE) else {
        return Slot::Damaged;
    };
    if bytes.iter().all(|byte| *byte == 0) {
        return Slot::Empty;
    }
    let content = decode(bytes);
    // Only the canonical bytes count: a set bit in the padding, or in an absent field, is damage too.
    match content {
        Some(content)
            if bytes.get(..SLOT_BYTES) == Some(&encode(content.identity, content.sequence, &content.mark))
                && bytes.iter().skip(SLOT_BYTES).all(|byte| *byte == 0)
                && content.sequence % 2 == slot as u64 =>
        {
            Slot::Valid(content)
        }
        _ => Slot::Damaged,
    }
}

/// For [`crate::again`]: the slots of a whole file that count.
pub(crate) fn again(file: &[u8]) -> [Option<Vec<u8>>; 2] {
    [0, 1].map(|slot| match decode_slot(file, slot) {
        Slot::Valid(content) => Some(encode(content.identity, content.sequence, &content.mark).to_vec()),
        Slot::Empty | Slot::Damaged => None,
    })
}

fn decode(mut bytes: &[u8]) -> Option<SlotContent> {
    fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
        let (head, rest) = bytes.split_first_chunk::<N>()?;
        *bytes = rest;
        Some(*head)
    }
    fn number(bytes: &mut &[u8]) -> Option<u64> {
        take::<8>(bytes).map(u64::from_be_bytes)
    }
    fn entry(bytes: &mut &[u8]) -> Option<EntryId> {
        Some(EntryId { term: number(bytes)?, node: number(bytes)?, index: number(bytes)? })
    }
    let bytes = &mut bytes;
    if take::<8>(bytes)? != MAGIC {
        return None;
    }
    let identity = LogIdentity { cluster: ClusterId::from_bytes(take::<16>(bytes)?), node: NodeId(number(bytes)?) };
    let sequence = number(bytes)?;
    let [flags] = take::<1>(bytes)?;
    let (last, purged) = (entry(bytes)?, entry(bytes)?);
    let vote = Ballot { term: number(bytes)?, node: number(bytes)?, committed: flags & 8 != 0 };
    let mark = Mark {
        last: (flags & 1 != 0).then_some(last),
        purged: (flags & 2 != 0).then_some(purged),
        vote: (flags & 4 != 0).then_some(vote),
    };
    Some(SlotContent { identity, sequence, mark })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    fn identity() -> LogIdentity {
        LogIdentity { cluster: ClusterId::from_bytes([7; 16]), node: NodeId(3) }
    }

    fn mark(index: u64) -> Mark {
        Mark {
            last: Some(EntryId { term: 2, node: 1, index }),
            purged: index.checked_sub(5).map(|index| EntryId { term: 1, node: 2, index }),
            vote: Some(Ballot { term: 2, node: 1, committed: index.is_multiple_of(2) }),
        }
    }

    #[test]
    fn the_last_written_mark_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watermark");
        let mut watermark = Watermark::create(&path, identity()).unwrap();
        assert_eq!(Watermark::open(&path).unwrap().mark(), Mark::default());
        for index in 1..12 {
            watermark.write(mark(index)).unwrap();
            let read = Watermark::open(&path).unwrap();
            assert_eq!((read.mark(), read.identity(), read.damaged_slot()), (mark(index), identity(), None));
        }
        assert!(matches!(Watermark::create(&path, identity()), Err(WatermarkError::Exists { .. })));
    }

    #[test]
    fn a_flipped_bit_costs_one_slot_and_never_changes_a_mark() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watermark");
        let mut watermark = Watermark::create(&path, identity()).unwrap();
        watermark.write(mark(8)).unwrap();
        watermark.write(mark(9)).unwrap();
        let bytes = fs::read(&path).unwrap();
        let older_slot = SLOT_STRIDE..FILE_BYTES;
        for position in (0..SLOT_BYTES + 2).chain(SLOT_STRIDE..SLOT_STRIDE + SLOT_BYTES + 2).chain([FILE_BYTES - 1]) {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << bit;
                fs::write(&path, &flipped).unwrap();
                let read = Watermark::open(&path).unwrap();
                let expected = if older_slot.contains(&position) { mark(9) } else { mark(8) };
                assert_eq!(read.mark(), expected, "byte {position} bit {bit}");
                assert!(read.damaged_slot().is_some());
            }
        }
        let mut both = bytes.clone();
        both[9] ^= 1;
        both[SLOT_STRIDE + 9] ^= 1;
        fs::write(&path, &both).unwrap();
        assert!(matches!(Watermark::open(&path), Err(WatermarkError::Damaged { .. })));
    }

    #[test]
    fn a_truncated_or_missing_file_is_told_apart_from_a_new_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watermark");
        assert!(matches!(Watermark::open(&path), Err(WatermarkError::Missing { .. })));
        Watermark::create(&path, identity()).unwrap().write(mark(3)).unwrap();
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            match Watermark::open(&path) {
                // The newer slot is cut; the first one still says what it said.
                Ok(read) => assert!(length >= SLOT_STRIDE && read.mark() == Mark::default()),
                Err(error) => {
                    assert!(length < SLOT_STRIDE && matches!(error, WatermarkError::Damaged { .. }))
                }
            }
        }
    }

    #[test]
    fn a_damaged_slot_is_repaired_by_the_second_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watermark");
        Watermark::create(&path, identity()).unwrap().write(mark(3)).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 0x40;
        fs::write(&path, &bytes).unwrap();
        let mut watermark = Watermark::open(&path).unwrap();
        assert_eq!(watermark.damaged_slot(), Some(0));
        watermark.write(mark(4)).unwrap();
        let read = Watermark::open(&path).unwrap();
        assert_eq!((read.mark(), read.damaged_slot()), (mark(4), None));
    }
}
