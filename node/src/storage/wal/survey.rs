//! What can still be read of a log that is not opened: which entries are whole, and which are not. Reads and never writes: nothing
//! is cut, repaired or guessed. What it finds says nothing of votes, so no node votes with it; it tells a person where each
//! entry is to be had (decision 0031).
//!
//! ```text
//! file ─► record ─► record ─► damage: the next place where a whole record begins ─► record …
//!           └ applied in order: append, cut, purge, checkpoint ─► whole entries by index
//! ```

use super::engine::read_record;
use super::{EntryId, Mark, PayloadSeal};
use crate::storage::fs::{FsError, read_bounded};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Longest file that is looked at: far more than the bound of a file of the log and one payload.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Ranges that a message names; a report has them all.
const NAMED_MAX: usize = 8;

/// What one record does to the log, payloads unread.
pub(super) enum Step {
    Append { id: EntryId, is_whole: bool },
    TruncateAfter(Option<EntryId>),
    PurgeUpTo(EntryId),
    Checkpoint { last: Option<EntryId>, purged: Option<EntryId> },
    Nothing,
}

/// What is left of a log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    first: u64,
    end: u64,
    whole: BTreeMap<u64, EntryId>,
    unread_bytes: u64,
}

/// Indices, in order and apart from each other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Indices(Vec<RangeInclusive<u64>>);

impl Indices {
    /// Each range.
    pub fn ranges(&self) -> &[RangeInclusive<u64>] {
        &self.0
    }

    fn add(&mut self, index: u64) {
        match self.0.last_mut() {
            Some(last) if last.end().checked_add(1) == Some(index) => *last = *last.start()..=index,
            _ => self.0.push(index..=index),
        }
    }
}

impl fmt::Display for Indices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, range) in self.0.iter().take(NAMED_MAX).enumerate() {
            let before = if n == 0 { "" } else { ", " };
            match range.end() - range.start() {
                0 => write!(f, "{before}{}", range.start())?,
                _ => write!(f, "{before}{} to {}", range.start(), range.end())?,
            }
        }
        match self.0.len().checked_sub(NAMED_MAX) {
            Some(more @ 1..) => write!(f, " and {more} ranges more"),
            _ => Ok(()),
        }
    }
}

impl Survey {
    /// Looks at every file of the log in `directory`. Blocking: reads all of them. `mark` is the watermark's, if there is a
    /// good one: entries that it knows of were in the log.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn of(directory: &Path, mark: Option<Mark>, seal: &dyn PayloadSeal) -> io::Result<Self> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
        files.sort();
        let mut survey = Self::default();
        for path in files {
            let bytes = read_bounded(&path, FILE_BYTES_MAX).map_err(|error| match error {
                FsError::Io { source, .. } => source,
                error => io::Error::other(error),
            })?;
            survey.file(&bytes, seal);
        }
        if let Some(mark) = mark {
            survey.passed(mark.last);
            survey.purged(mark.purged);
        }
        Ok(survey)
    }

    fn file(&mut self, bytes: &[u8], seal: &dyn PayloadSeal) {
        let mut rest = bytes;
        // Space that was allocated and never written ends a file.
        while rest.iter().any(|byte| *byte != 0) {
            if let Some((step, length)) = read_record(rest, seal) {
                self.take(step);
                rest = rest.get(length..).unwrap_or_default();
                continue;
            }
            let next =
                (1..rest.len()).find(|from| rest.get(*from..).is_some_and(|rest| read_record(rest, seal).is_some()));
            self.unread_bytes += next.unwrap_or(rest.len()) as u64;
            rest = rest.get(next.unwrap_or(rest.len())..).unwrap_or_default();
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append { id, is_whole } => {
                self.whole.split_off(&id.index);
                self.end = id.index.saturating_add(1);
                if is_whole {
                    self.whole.insert(id.index, id);
                }
            }
            Step::TruncateAfter(keep) => {
                self.end = keep.map_or(self.first, |id| id.index.saturating_add(1));
                self.whole.split_off(&self.end);
            }
            Step::PurgeUpTo(id) => self.purged(Some(id)),
            Step::Checkpoint { last, purged } => {
                self.passed(last);
                self.purged(purged);
            }
            Step::Nothing => {}
        }
    }

    fn passed(&mut self, last: Option<EntryId>) {
        self.end = self.end.max(last.map_or(0, |id| id.index.saturating_add(1)));
    }

    fn purged(&mut self, upto: Option<EntryId>) {
        let Some(next) = upto.map(|id| id.index.saturating_add(1)) else { return };
        self.first = self.first.max(next);
        self.end = self.end.max(self.first);
        self.whole = self.whole.split_off(&self.first);
    }

    /// Which entries the log had for certain: what came before was purged.
    pub fn known(&self) -> Option<RangeInclusive<u64>> {
        (self.first < self.end).then(|| self.first..=self.end - 1)
    }

    /// The entries that are as they were written, by index.
    pub fn whole(&self) -> &BTreeMap<u64, EntryId> {
        &self.whole
    }

    /// The known entries that are not.
    pub fn lost(&self) -> Indices {
        let mut lost = Indices::default();
        self.known()
            .into_iter()
            .flatten()
            .filter(|index| !self.whole.contains_key(index))
            .for_each(|index| lost.add(index));
        lost
    }

    /// Bytes that are part of no record. After a crash there may be a few at the end, which were never acknowledged.
    pub fn unread_bytes(&self) -> u64 {
        self.unread_bytes
    }
}

/// What a refusal says of it; empty where nothing more is known.
impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = self.lost();
        match self.known() {
            Some(known) if !lost.0.is_empty() => {
                write!(f, ", entries {lost} of {} to {} do not read back", known.start(), known.end())
            }
            _ if self.unread_bytes > 0 => write!(f, ", {} bytes of it are no record", self.unread_bytes),
            _ => Ok(()),
        }
    }
}
