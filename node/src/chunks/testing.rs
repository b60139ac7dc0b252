//! Chunk directories for tests: real files, a clock that the test sets.
#![allow(clippy::unwrap_used)]

use super::directory::{ChunkDirectory, DirectoryOptions};
use crate::clock::{ScriptedClock, SharedClock};
use crate::entropy::SystemEntropy;
use plantao_domain::ChunkId;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// 2033-05-18: later than the time of any file that a test writes, so that an age is never cut off.
pub(super) const NOW: i64 = 2_000_000_000_000;

pub(super) fn open_at(home: &Path, clock: SharedClock) -> ChunkDirectory {
    let options = DirectoryOptions { path: home.join("chunks"), reserve_bytes: 0 };
    ChunkDirectory::open(options, clock, Arc::new(SystemEntropy)).unwrap()
}

pub(super) fn open(home: &Path) -> ChunkDirectory {
    open_at(home, Arc::new(ScriptedClock::new(NOW)))
}

/// Where a chunk lies, written down a second time.
pub(super) fn path_of(home: &Path, id: &ChunkId) -> PathBuf {
    let name = id.to_string();
    home.join("chunks").join(&name[..2]).join(name)
}

/// The names in a directory, sorted.
pub(super) fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
