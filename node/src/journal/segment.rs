//! Segments on disk: `length u32 BE | CRC-32 of length and frame u32 BE | frame`, one after the other.

use super::Read;
use crate::crypto::JournalSeal;
use crate::storage::fs::{FsError, create_dir_durably, read_bounded, remove_durably, sync_dir, write_durably};
use plantao_domain::JournalId;
use plantao_domain::codec;
use plantao_domain::command::ReadNote;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A segment is closed when it is this long.
const SEGMENT_BYTES: u64 = 4 << 20;
/// Longest frame: far more than one entry needs.
const FRAME_BYTES_MAX: u32 = 4096;
/// Entries kept in memory for the submitter; older ones are read from disk.
const RECENT_MAX: usize = 16_384;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file of it cannot be read, written or removed.
    #[error("the journal of reads cannot be kept")]
    File(#[source] FsError),
    /// Its directory cannot be listed, or a segment not be opened.
    #[error("the journal of reads cannot be opened")]
    Open(#[source] io::Error),
    /// An entry that was synced is not there or not whole.
    #[error("the journal of reads is damaged at entry {sequence}")]
    Damaged {
        /// The first entry that is not good.
        sequence: u64,
    },
    /// No thread for the writer.
    #[error("the thread that writes the journal does not start")]
    Thread(#[source] io::Error),
}

struct Segment {
    path: PathBuf,
    first: u64,
    last: u64,
    bytes: u64,
}

/// What was cut off the end of the last segment at a start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The last note that is kept.
    pub after: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Whether a whole note was among them: a crash seldom leaves that, damage does.
    pub had_whole: bool,
}

pub(super) struct Segments {
    directory: PathBuf,
    seal: JournalSeal,
    bytes_max: u64,
    segments: VecDeque<Segment>,
    open: Option<File>,
    recent: VecDeque<ReadNote>,
    last: u64,
    broken: bool,
    cut: Option<Cut>,
}

fn segment_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:016x}.seg"))
}

/// What the file `id` holds: the id and its CRC-32 in hexadecimal digits. Every entry is sealed for this journal, so under another id none
/// would open, and all would look like a torn end.
fn id_text(id: JournalId) -> String {
    let id = id.to_string();
    format!("{id} {:08x}\n", crc32fast::hash(id.as_bytes()))
}

fn parse_id(text: &[u8]) -> Option<JournalId> {
    let (id, _) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    id.parse().ok().filter(|id| id_text(*id).as_bytes() == text)
}

impl Segments {
    pub(super) fn open(
        directory: PathBuf,
        fresh_id: JournalId,
        bytes_max: u64,
        seal: Box<dyn FnOnce(JournalId) -> JournalSeal + Send>,
    ) -> Result<(JournalId, Self), JournalError> {
        create_dir_durably(&directory).map_err(JournalError::File)?;
        let mut firsts = Vec::new();
        for entry in std::fs::read_dir(&directory).map_err(JournalError::Open)? {
            let name = entry.map_err(JournalError::Open)?.file_name();
            let first = name.to_str().and_then(|name| u64::from_str_radix(name.strip_suffix(".seg")?, 16).ok());
            firsts.extend(first);
        }
        firsts.sort_unstable();
        let id_path = directory.join("id");
        let id = match read_bounded(&id_path, 64) {
            Ok(text) => parse_id(&text).ok_or(JournalError::Damaged { sequence: 0 })?,
            Err(error) if error.is_not_found() && firsts.is_empty() => {
                write_durably(&id_path, id_text(fresh_id).as_bytes()).map_err(JournalError::File)?;
                fresh_id
            }
            Err(error) if error.is_not_found() => return Err(JournalError::Damaged { sequence: 0 }),
            Err(error) => return Err(JournalError::File(error)),
        };
        let mut this = Self {
            seal: seal(id),
            directory,
            bytes_max,
            segments: VecDeque::new(),
            open: None,
            recent: VecDeque::new(),
            last: firsts.first().map_or(0, |first| first.saturating_sub(1)),
            broken: false,
            cut: None,
        };
        for (i, first) in firsts.iter().enumerate() {
            this.load(*first, i + 1 == firsts.len())?;
        }
        Ok((id, this))
    }

    /// Reads one segment; only the last one may end in a torn entry, which is cut off.
    fn load(&mut self, first: u64, is_last: bool) -> Result<(), JournalError> {
        let path = segment_path(&self.directory, first);
        let bytes = read_bounded(&path, SEGMENT_BYTES * 2).map_err(JournalError::File)?;
        if first != self.last + 1 {
            return Err(JournalError::Damaged { sequence: self.last + 1 });
        }
        let (notes, whole) = self.decode(&bytes, first);
        if whole < bytes.len() {
            if !is_last {
                return Err(JournalError::Damaged { sequence: first + notes.len() as u64 });
            }
            let file = OpenOptions::new().write(true).open(&path).map_err(JournalError::Open)?;
            file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(JournalError::Open)?;
            let lost = bytes.get(whole..).unwrap_or_default();
            let (after, had_whole) = (self.last + notes.len() as u64, has_whole(lost));
            // What a crash tore was never answered; of what rotted nobody can tell, so both are said.
            tracing::warn!(
                after,
                bytes = lost.len(),
                had_whole,
                "the end of the journal of reads was no whole note and is cut"
            );
            self.cut = Some(Cut { after, bytes: lost.len() as u64, had_whole });
        }
        self.last += notes.len() as u64;
        self.segments.push_back(Segment { path, first, last: self.last, bytes: whole as u64 });
        notes.into_iter().for_each(|note| self.remember(note));
        Ok(())
    }

    fn decode(&self, bytes: &[u8], first: u64) -> (Vec<ReadNote>, usize) {
        let (mut notes, mut rest) = (Vec::new(), bytes);
        while let Some((head, body)) = rest.split_first_chunk::<8>() {
            let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
            let length = u32::from_be_bytes([l0, l1, l2, l3]);
            let Some(frame) = body.get(..length as usize).filter(|_| length <= FRAME_BYTES_MAX) else { break };
            if u32::from_be_bytes([c0, c1, c2, c3]) != checksum(length, frame) {
                break;
            }
            let sequence = first + notes.len() as u64;
            let note =
                self.seal.open(sequence, frame).ok().and_then(|plain| codec::decode_row::<ReadNote>(&plain).ok());
            let Some(note) = note.filter(|note| note.sequence == sequence) else { break };
            notes.push(note);
            rest = body.get(length as usize..).unwrap_or_default();
        }
        (notes, bytes.len() - rest.len())
    }

    fn remember(&mut self, note: ReadNote) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(note);
    }

    pub(super) fn first(&self) -> u64 {
        self.segments.front().map_or(self.last + 1, |segment| segment.first)
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn cut(&self) -> Option<Cut> {
        self.cut
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(super) fn is_full(&self) -> bool {
        self.segments.iter().map(|segment| segment.bytes).sum::<u64>() >= self.bytes_max
    }

    pub(super) fn continue_after(&mut self, sequence: u64) {
        if sequence > self.last {
            // What the trail has is not on this disk any more: a gap would look like damage, so segments start anew.
            self.last = sequence;
            self.open = None;
            self.recent.clear();
        }
    }

    /// One write, one sync. `Err` leaves the journal broken for good.
    pub(super) fn append<'a>(&mut self, reads: impl Iterator<Item = &'a Read>) -> Result<(), ()> {
        let appended = self.try_append(reads);
        if appended.is_err() {
            self.broken = true;
        }
        appended.map_err(|_| ())
    }

    fn try_append<'a>(&mut self, reads: impl Iterator<Item = &'a Read>) -> io::Result<()> {
        if self.open.is_none() || self.segments.back().is_none_or(|segment| segment.bytes >= SEGMENT_BYTES) {
            self.start_segment()?;
        }
        let mut bytes = Vec::new();
        let mut notes = Vec::new();
        for read in reads {
            let note = ReadNote {
                sequence: self.last + notes.len() as u64 + 1,
                actor: read.actor,
                at: read.at,
                object: read.object,
                patient: read.patient,
                allowed: read.shown.is_some(),
                version: read.shown,
            };
            let frame = self.seal.seal(note.sequence, &codec::encode_row(&note));
            let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&checksum(length, &frame).to_be_bytes());
            bytes.extend_from_slice(&frame);
            notes.push(note);
        }
        let file = self.open.as_mut().ok_or_else(|| io::Error::other("no segment is open"))?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        self.last += notes.len() as u64;
        if let Some(segment) = self.segments.back_mut() {
            segment.last = self.last;
            segment.bytes += bytes.len() as u64;
        }
        notes.into_iter().for_each(|note| self.remember(note));
        Ok(())
    }

    fn start_segment(&mut self) -> io::Result<()> {
        let first = self.last + 1;
        let path = segment_path(&self.directory, first);
        // An empty segment of the same name can be left from a start that wrote nothing.
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        sync_dir(&self.directory).map_err(io::Error::other)?;
        if self.segments.back().is_none_or(|segment| segment.first != first) {
            self.segments.push_back(Segment { path, first, last: self.last, bytes: 0 });
        }
        self.open = Some(file);
        Ok(())
    }

    pub(super) fn after(&mut self, sequence: u64, limit: usize) -> Result<Vec<ReadNote>, JournalError> {
        let remembered = self.recent.front().map_or(self.last + 1, |note| note.sequence);
        if sequence + 1 >= remembered {
            let skip = usize::try_from(sequence + 1 - remembered).unwrap_or(usize::MAX);
            return Ok(self.recent.iter().skip(skip).take(limit).cloned().collect());
        }
        let Some(segment) = self.segments.iter().find(|segment| segment.last > sequence) else { return Ok(Vec::new()) };
        let bytes = read_bounded(&segment.path, SEGMENT_BYTES * 2).map_err(JournalError::File)?;
        let (notes, _) = self.decode(&bytes, segment.first);
        if segment.first + (notes.len() as u64) <= segment.last {
            return Err(JournalError::Damaged { sequence: segment.first + notes.len() as u64 });
        }
        Ok(notes.into_iter().filter(|note| note.sequence > sequence).take(limit).collect())
    }

    pub(super) fn forget_through(&mut self, sequence: u64) -> Result<(), JournalError> {
        while let Some(segment) = self.segments.front().filter(|segment| segment.last <= sequence && segment.bytes > 0)
        {
            if self.segments.len() == 1 {
                if segment.bytes < SEGMENT_BYTES && !self.is_full() {
                    break;
                }
                self.open = None;
            }
            remove_durably(&segment.path).map_err(JournalError::File)?;
            self.segments.pop_front();
        }
        Ok(())
    }
}

/// For [`crate::again`]: the notes at the beginning of a segment's bytes, and how many bytes they are.
pub(crate) fn again(bytes: &[u8], first: u64, seal: JournalSeal) -> (Vec<ReadNote>, usize) {
    let segments = Segments {
        directory: PathBuf::new(),
        seal,
        bytes_max: 0,
        segments: VecDeque::new(),
        open: None,
        recent: VecDeque::new(),
        last: 0,
        broken: false,
        cut: None,
    };
    segments.decode(bytes, first)
}

/// For [`crate::again`]: one note as a segment has it.
pub(crate) fn framed(note: &ReadNote, seal: &JournalSeal) -> Vec<u8> {
    let frame = seal.seal(note.sequence, &codec::encode_row(note));
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), &checksum(length, &frame).to_be_bytes(), frame.as_slice()].concat()
}

/// Whether a whole frame begins somewhere in there.
fn has_whole(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|from| {
        let Some((head, body)) = bytes.get(from..).and_then(|rest| rest.split_first_chunk::<8>()) else { return false };
        let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let frame = body.get(..length as usize).filter(|frame| (1..=FRAME_BYTES_MAX as usize).contains(&frame.len()));
        frame.is_some_and(|frame| u32::from_be_bytes([c0, c1, c2, c3]) == checksum(length, frame))
    })
}

fn checksum(length: u32, frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_be_bytes());
    hasher.update(frame);
    hasher.finalize()
}
