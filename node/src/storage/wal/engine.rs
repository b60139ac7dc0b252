//! The log engine, `raft-log`, and how our values look inside its records. Blocking; called by the writer's thread and,
//! for reads, by blocking tasks.
//!
//! ```text
//! record = type u32 | content | CRC-32 as u64                                        (the engine's frame)
//! content of an entry: 'L' term u64 node u64 index u64 | 'P' length u32 check u32 sealed[length]
//! content of a vote:   'V' term u64 node u64 committed u8
//! ```
//! The engine drops a last record that ends early, as a crash leaves it, and refuses any other damage. So that damage
//! never looks like an early end, whatever decides how long a record is gets a check of its own: the length of a
//! payload its CRC-32, and each value a leading tag, so that a flipped type or option byte is seen at once.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use raft_log::RaftLogAction;
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::codeq::{Decode, Encode};

use super::survey::Step;
use super::{Ballot, EntryId, PayloadSeal, WalOptions, WalState};

/// The largest sealed payload that is read back, in bytes: twice what [`super::PAYLOAD_BYTES_MAX`] can seal to. The
/// bound comes before the allocation.
const SEALED_BYTES_MAX: u32 = 512 * 1024;
/// One chunk is read through a buffer of this size when the log opens; the engine's own default is 64 MiB.
const READ_BUFFER_BYTES: usize = 1024 * 1024;
/// The engine keeps what is in the chunk being written in memory in any case. Beyond that, our own cache of opened
/// payloads serves the readers.
const ENGINE_CACHE_BYTES: usize = 1024 * 1024;
const ENGINE_CACHE_ITEMS: usize = 1024;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct LogTypes;

impl raft_log::Types for LogTypes {
    type LogId = EntryId;
    type LogPayload = SealedPayload;
    type Vote = Ballot;
    type Callback = std::sync::mpsc::SyncSender<io::Result<()>>;
    type UserData = NoUserData;

    fn log_index(log_id: &EntryId) -> u64 {
        log_id.index
    }

    fn payload_size(payload: &SealedPayload) -> u64 {
        payload.0.len() as u64
    }
}

/// The open engine.
#[derive(Debug)]
pub(super) struct Engine {
    log: raft_log::RaftLog<LogTypes>,
}

impl Engine {
    /// Opens or creates the log in `directory`, which must exist. Drops a torn last record.
    pub(super) fn open(directory: &Path, options: &WalOptions) -> io::Result<Self> {
        let directory = directory.to_str().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let config = raft_log::Config {
            wal: raft_log::chunked_wal::Config {
                dir: directory.to_owned(),
                read_buffer_size: Some(READ_BUFFER_BYTES),
                chunk_max_records: None,
                chunk_max_size: Some(options.chunk_bytes),
                truncate_incomplete_record: Some(true),
                // The writer groups what queues up during a sync itself; the engine's own wait (1 ms by default)
                // would only delay each group.
                flush_batch_wait: Some(Duration::ZERO),
                flush_batch_max_items: None,
                flush_queue_max_bytes: None,
            },
            log_cache_max_items: Some(ENGINE_CACHE_ITEMS),
            log_cache_capacity: Some(ENGINE_CACHE_BYTES),
        };
        Ok(Self { log: raft_log::RaftLog::open(Arc::new(config))? })
    }

    /// Whether `directory` has any file of a log.
    pub(super) fn has_files(directory: &Path) -> io::Result<bool> {
        match std::fs::read_dir(directory) {
            Ok(mut entries) => entries
                .try_fold(false, |found, entry| Ok(found || entry?.file_name().to_string_lossy().ends_with(".wal"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn state(&self) -> WalState {
        let state = self.log.log_state();
        WalState {
            vote: state.vote().copied(),
            last: state.last().copied(),
            purged: state.purged().copied(),
            committed: state.committed().copied(),
        }
    }

    /// The id of the entry at `index`, if the log holds it.
    pub(super) fn id_at(&self, index: u64) -> io::Result<Option<EntryId>> {
        Ok(self.log.read(index, index.saturating_add(1)).next().transpose()?.map(|(id, _)| id))
    }

    /// Whether the log holds every entry after the purged one up to the last. The engine itself checks that appended
    /// entries follow each other, but not that its first file is there: the second one starts with a checkpoint.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        let state = self.state();
        let first = state.purged.map_or(0, |id| id.index.saturating_add(1));
        match state.last {
            Some(last) if Some(last) != state.purged => {
                Ok(self.id_at(first)?.is_some() && self.id_at(last.index)? == Some(last))
            }
            _ => Ok(true),
        }
    }

    pub(super) fn append(&mut self, id: EntryId, sealed: Vec<u8>) -> io::Result<()> {
        self.log.append([(id, SealedPayload(sealed.into()))]).map(drop)
    }

    pub(super) fn save_vote(&mut self, ballot: Ballot) -> io::Result<()> {
        self.log.save_vote(ballot).map(drop)
    }

    /// Records how far entries were committed; ignored where the log says otherwise, for the value is a hint only.
    pub(super) fn commit(&mut self, id: EntryId) -> io::Result<()> {
        let state = self.state();
        if Some(id) <= state.committed || Some(id) > state.last {
            return Ok(());
        }
        self.log.commit(id).map(drop)
    }

    /// Forgets the entries after `keep`; after none of them, for `None`.
    pub(super) fn truncate_after(&mut self, keep: Option<EntryId>) -> io::Result<()> {
        let state = self.state();
        if state.last <= keep {
            return Ok(());
        }
        let from = keep.map_or(0, |id| id.index.saturating_add(1));
        let first = state.purged.map_or(0, |id| id.index.saturating_add(1));
        // The engine wants the entry before the cut to exist. Where the log starts later than that, all of it goes.
        let holds_kept = from > first && self.id_at(from - 1)?.is_some();
        self.log.truncate(if holds_kept { from } else { first }).map(drop)
    }

    /// Forgets the entries up to `upto`, which may lie beyond the last one.
    pub(super) fn purge(&mut self, upto: EntryId) -> io::Result<()> {
        self.log.purge(upto).map(drop)
    }

    /// Hands what was written to the engine's writer. The receiver gets one result, after the sync, or a disconnection
    /// when the engine has stopped.
    pub(super) fn flush(&mut self) -> io::Result<Receiver<io::Result<()>>> {
        let (sender, receiver) = sync_channel(1);
        self.log.flush(true, Some(sender))?;
        Ok(receiver)
    }

    /// The sealed entries from `from` up to, not including, `to`: at least one if there is any, and no more once
    /// `bytes_max` is reached.
    pub(super) fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<(EntryId, bytes::Bytes)>> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for entry in self.log.read(from, to) {
            let (id, payload) = entry?;
            bytes += payload.0.len();
            entries.push((id, payload.0));
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(entries)
    }

    /// Bytes of all files of the log.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.log.on_disk_size()
    }
}

/// The record at the beginning of `bytes` and its length, if a whole one is there: every check of it holds.
pub(super) fn read_record(bytes: &[u8], seal: &dyn PayloadSeal) -> Option<(Step, usize)> {
    // Most places where a search looks are none of the six types.
    if !matches!(bytes, [0, 0, 0, 0..=5, ..]) {
        return None;
    }
    let mut rest = bytes;
    let record = raft_log::RaftLogRecord::<LogTypes>::decode(&mut rest).ok()?;
    let step = match record {
        raft_log::WALRecord::Action(RaftLogAction::Append(id, payload)) => {
            Step::Append { id, is_whole: seal.open(id.index, &payload.0).is_ok() }
        }
        raft_log::WALRecord::Action(RaftLogAction::TruncateAfter(keep)) => Step::TruncateAfter(keep),
        raft_log::WALRecord::Action(RaftLogAction::PurgeUpto(id)) => Step::PurgeUpTo(id),
        raft_log::WALRecord::Action(RaftLogAction::SaveVote(_) | RaftLogAction::Commit(_)) => Step::Nothing,
        raft_log::WALRecord::Checkpoint(state) => {
            Step::Checkpoint { last: state.last().copied(), purged: state.purged().copied() }
        }
    };
    Some((step, bytes.len() - rest.len()))
}

/// For [`crate::again`]: an entry id, a vote and a payload, each read from the front of `bytes`, and what is written for it.
pub(super) fn again(bytes: &[u8]) -> [Option<Vec<u8>>; 3] {
    fn one<T: Decode + Encode>(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut made = Vec::new();
        T::decode(bytes).ok()?.encode(&mut made).ok()?;
        Some(made)
    }
    [one::<EntryId>(bytes), one::<Ballot>(bytes), one::<SealedPayload>(bytes)]
}

/// For [`crate::again`].
pub(super) fn payload(sealed: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    // An error leaves what was written before it, which is nothing.
    let _ = SealedPayload(bytes::Bytes::copy_from_slice(sealed)).encode(&mut made);
    made
}

const TAG_ENTRY: u8 = b'L';
const TAG_VOTE: u8 = b'V';
const TAG_PAYLOAD: u8 = b'P';

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn read_tag(reader: &mut impl Read, expected: u8) -> io::Result<()> {
    let mut tag = [0];
    reader.read_exact(&mut tag)?;
    if tag == [expected] { Ok(()) } else { Err(damaged("a value begins with the wrong tag")) }
}

fn read_number(reader: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

impl Encode for EntryId {
    fn encode<W: Write>(&self, mut writer: W) -> io::Result<usize> {
        let mut bytes = [TAG_ENTRY; 25];
        let (_, numbers) = bytes.split_at_mut(1);
        for (field, number) in numbers.chunks_exact_mut(8).zip([self.term, self.node, self.index]) {
            field.copy_from_slice(&number.to_be_bytes());
        }
        writer.write_all(&bytes)?;
        Ok(bytes.len())
    }
}

impl Decode for EntryId {
    fn decode<R: Read>(mut reader: R) -> io::Result<Self> {
        read_tag(&mut reader, TAG_ENTRY)?;
        Ok(Self { term: read_number(&mut reader)?, node: read_number(&mut reader)?, index: read_number(&mut reader)? })
    }
}

impl Encode for Ballot {
    fn encode<W: Write>(&self, mut writer: W) -> io::Result<usize> {
        writer.write_all(&[TAG_VOTE])?;
        writer.write_all(&self.term.to_be_bytes())?;
        writer.write_all(&self.node.to_be_bytes())?;
        writer.write_all(&[u8::from(self.committed)])?;
        Ok(18)
    }
}

impl Decode for Ballot {
    fn decode<R: Read>(mut reader: R) -> io::Result<Self> {
        read_tag(&mut reader, TAG_VOTE)?;
        let (term, node) = (read_number(&mut reader)?, read_number(&mut reader)?);
        let mut committed = [0];
        reader.read_exact(&mut committed)?;
        match committed {
            [0] => Ok(Self { term, node, committed: false }),
            [1] => Ok(Self { term, node, committed: true }),
            _ => Err(damaged("a vote is neither committed nor not")),
        }
    }
}

/// A payload as it rests on disk.
#[derive(Clone)]
struct SealedPayload(bytes::Bytes);

/// The engine prints records when it meets the unexpected; sealed bytes are not for logs either.
impl std::fmt::Debug for SealedPayload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedPayload({} bytes)", self.0.len())
    }
}

/// Tag and length, which the check covers.
fn payload_head(length: u32) -> [u8; 5] {
    let [a, b, c, d] = length.to_be_bytes();
    [TAG_PAYLOAD, a, b, c, d]
}

impl Encode for SealedPayload {
    fn encode<W: Write>(&self, mut writer: W) -> io::Result<usize> {
        let length = u32::try_from(self.0.len())
            .ok()
            .filter(|length| *length <= SEALED_BYTES_MAX)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a sealed payload is too large"))?;
        let head = payload_head(length);
        writer.write_all(&head)?;
        writer.write_all(&crc32fast::hash(&head).to_be_bytes())?;
        writer.write_all(&self.0)?;
        Ok(head.len() + 4 + self.0.len())
    }
}

impl Decode for SealedPayload {
    fn decode<R: Read>(mut reader: R) -> io::Result<Self> {
        read_tag(&mut reader, TAG_PAYLOAD)?;
        let (mut length, mut check) = ([0; 4], [0; 4]);
        reader.read_exact(&mut length)?;
        reader.read_exact(&mut check)?;
        let length = u32::from_be_bytes(length);
        if u32::from_be_bytes(check) != crc32fast::hash(&payload_head(length)) || length > SEALED_BYTES_MAX {
            return Err(damaged("the length of a payload fails its check"));
        }
        let mut bytes = vec![0; length as usize];
        reader.read_exact(&mut bytes)?;
        Ok(Self(bytes.into()))
    }
}

/// The engine can carry a value of ours in its checkpoints. It carries none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NoUserData;

impl Encode for NoUserData {
    fn encode<W: Write>(&self, _writer: W) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::InvalidInput))
    }
}

impl Decode for NoUserData {
    fn decode<R: Read>(_reader: R) -> io::Result<Self> {
        Err(damaged("a checkpoint carries what was never written"))
    }
}
