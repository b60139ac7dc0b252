//! Slots on disk: two copies of one slot, so that a crash while one is written, or one rotten sector, costs nothing.
//!
//! ```text
//! store: second copy ─ synced ─> first copy ─ synced          (each by a temporary file and a rename)
//! load:  both are read; of the sound ones the higher serial counts
//! ```
//!
//! Nothing is decided here about what a slot means, and nothing is opened.

use super::slots::{SLOT_BYTES, Slot, SlotError};
use crate::storage::fs::{FsError, create_dir_durably, read_bounded, write_durably};
use std::path::{Path, PathBuf};

/// A slot's place on disk: `NAME.slot` and `NAME.slot2` in one directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotFile {
    first: PathBuf,
    second: PathBuf,
}

/// A slot that was read, and whether both copies are as they should be.
#[derive(Clone, PartialEq, Eq)]
pub struct LoadedSlot {
    /// The newest sound copy.
    pub slot: Slot,
    /// What is wrong with the other copy, if anything: [`SlotFile::store`] of the same slot heals it.
    pub other: OtherCopy,
}

/// The state of the copy that was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OtherCopy {
    /// The same slot.
    Same,
    /// An older slot: a crash came between the two writes. Its secret may be one that was meant to be replaced.
    Older,
    /// There is none.
    Missing,
    /// It does not decode or cannot be read.
    Damaged,
}

/// Why no slot could be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SlotFileError {
    /// Neither copy exists.
    #[error("there is no slot at {path}")]
    Missing {
        /// Where the first copy would be.
        path: PathBuf,
    },
    /// No copy is sound; this is what is wrong with the better one.
    #[error("no copy of the slot at {path} is sound")]
    NoneSound {
        /// The first copy.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: SlotError,
    },
    /// Neither copy can be read.
    #[error("cannot read the slot at {path}")]
    Read {
        /// The first copy.
        path: PathBuf,
        /// Why.
        #[source]
        source: FsError,
    },
    /// It could not be written; the old slot still counts, or the new one, never none.
    #[error("cannot write the slot at {path}")]
    Write {
        /// The copy that was being written.
        path: PathBuf,
        /// Why.
        #[source]
        source: FsError,
    },
}

impl SlotFileError {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "a unit gets its slots from `plantaod init` or `join`; restore the slots directory",
            Self::NoneSound { .. } => "restore the slots directory, or join the node anew under a fresh id",
            Self::Read { .. } => "check the disk and the directory's owner and mode (700)",
            Self::Write { .. } => "check the disk's free space and the directory's owner and mode (700)",
        }
    }
}

enum Copy {
    Sound(Slot),
    Missing,
    Unsound(SlotError),
    Unread(FsError),
}

impl SlotFile {
    /// `name` is a plain word such as `root` or `storage`.
    pub fn new(directory: &Path, name: &str) -> Self {
        Self { first: directory.join(format!("{name}.slot")), second: directory.join(format!("{name}.slot2")) }
    }

    /// Where the first copy is.
    pub fn path(&self) -> &Path {
        &self.first
    }

    /// Whether a copy exists, sound or not.
    pub fn exists(&self) -> bool {
        self.first.exists() || self.second.exists()
    }

    /// Writes both copies durably, making the directory if there is none. Blocking. A crash at any point leaves at least
    /// one sound copy, the old or the new; after an error the caller cannot tell which.
    pub fn store(&self, slot: &Slot) -> Result<(), SlotFileError> {
        let bytes = slot.encode();
        if let Some(directory) = self.first.parent() {
            create_dir_durably(directory).map_err(|source| SlotFileError::Write { path: directory.into(), source })?;
        }
        // A sound first copy of an older slot stays in place until the second one is durable.
        for path in [&self.second, &self.first] {
            write_durably(path, &bytes).map_err(|source| SlotFileError::Write { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// Reads both copies and takes the newest sound one. Blocking; changes nothing.
    pub fn load(&self) -> Result<LoadedSlot, SlotFileError> {
        let path = || self.first.clone();
        let loaded = |slot, other| Ok(LoadedSlot { slot, other });
        match (read_copy(&self.first), read_copy(&self.second)) {
            (Copy::Sound(first), Copy::Sound(second)) if first == second => loaded(first, OtherCopy::Same),
            (Copy::Sound(first), Copy::Sound(second)) => {
                let newer = if second.place().serial > first.place().serial { second } else { first };
                loaded(newer, OtherCopy::Older)
            }
            (Copy::Sound(slot), Copy::Missing) | (Copy::Missing, Copy::Sound(slot)) => loaded(slot, OtherCopy::Missing),
            (Copy::Sound(slot), _) | (_, Copy::Sound(slot)) => loaded(slot, OtherCopy::Damaged),
            (Copy::Missing, Copy::Missing) => Err(SlotFileError::Missing { path: path() }),
            (Copy::Unsound(source), _) | (_, Copy::Unsound(source)) => {
                Err(SlotFileError::NoneSound { path: path(), source })
            }
            (Copy::Unread(source), _) | (_, Copy::Unread(source)) => Err(SlotFileError::Read { path: path(), source }),
        }
    }
}

fn read_copy(path: &Path) -> Copy {
    match read_bounded(path, SLOT_BYTES_READ_MAX) {
        Ok(bytes) => Slot::decode(&bytes).map_or_else(Copy::Unsound, Copy::Sound),
        Err(error) if error.is_not_found() => Copy::Missing,
        Err(error) => Copy::Unread(error),
    }
}

/// A later version's slot may be longer; it is still read, so that it is named as such.
const SLOT_BYTES_READ_MAX: u64 = 16 * SLOT_BYTES as u64;

#[cfg(test)]
#[path = "slot_file_tests.rs"]
mod tests;
