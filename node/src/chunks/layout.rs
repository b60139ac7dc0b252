//! What lies where in a chunk directory, and making it ready at a start. What the bytes of a chunk mean never belongs
//! here.
//!
//! ```text
//! lock            held by the one node that uses it
//! incarnation     which directory this is; written first and durably, so that a wiped directory is another one
//! 00/ … ff/       chunks: the directory is the first byte of the id, the file all 64 digits
//! incoming/       files that are being written; emptied at a start
//! quarantine/     bad copies, at most 256
//! checks/         00 … ff: when each copy was last checked
//!
//! incarnation     = "PLTSTOR1" | incarnation[16] | CRC-32 of bytes 0 to 23, u32 BE                       28 bytes
//! ```

use super::checks;
use super::error::OpenStoreError;
use super::held::{Held, Seconds};
use crate::entropy::{Entropy, random};
use crate::storage::fs::{FsError, create_dir_durably, read_bounded, sync_dir, write_durably};
use crate::storage::lock::DirectoryLock;
use plantao_domain::{ChunkId, StoreIncarnation};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"PLTSTOR1";
const INCARNATION_BYTES: usize = 28;

/// The named paths of a chunk directory.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

/// What a start found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Whether the directory was made now, or its incarnation was lost: receipts given before count no more.
    pub is_new: bool,
    /// Files of an interrupted write that were removed.
    pub leftovers: u64,
    /// Names that are no chunk's. They stay, and nothing reads them.
    pub foreign: u64,
    /// Check files that could not be used.
    pub lost_checks: u64,
}

/// A directory that is ready.
pub(super) struct Prepared {
    pub(super) lock: DirectoryLock,
    pub(super) incarnation: StoreIncarnation,
    pub(super) found: Found,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn partition(&self, number: u8) -> PathBuf {
        self.root.join(format!("{number:02x}"))
    }

    pub(super) fn chunk(&self, id: &ChunkId) -> PathBuf {
        let mut path = self.partition(id.as_bytes()[0]);
        path.push(id.to_string());
        path
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// How many bad copies are kept, and a number that none of their names ends with, nor any later one.
    pub(super) fn quarantined(&self) -> (u64, u64) {
        let Ok(entries) = fs::read_dir(self.quarantine()) else { return (0, 0) };
        entries.filter_map(Result::ok).fold((0, 0), |(count, next), entry| {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.rsplit_once('-')?.1.parse::<u64>().ok());
            (count + 1, number.map_or(next, |number| next.max(number.saturating_add(1))))
        })
    }

    pub(super) fn checks(&self, number: u8) -> PathBuf {
        self.root.join("checks").join(format!("{number:02x}"))
    }

    fn incarnation(&self) -> PathBuf {
        self.root.join("incarnation")
    }

    /// Takes the directory for this node, makes it ready and says which one it is.
    pub(super) fn prepare(&self, entropy: &dyn Entropy) -> Result<Prepared, OpenStoreError> {
        let mut found = Found::default();
        create_dir_durably(&self.root).map_err(OpenStoreError::Directory)?;
        let lock = DirectoryLock::acquire(&self.root.join("lock")).map_err(OpenStoreError::Lock)?;
        let incarnation = match self.read_incarnation()? {
            // With a partition gone, receipts of this incarnation would promise what is not here.
            Some(incarnation) if self.is_whole() => incarnation,
            _ => {
                found.is_new = true;
                let incarnation = StoreIncarnation::from_bytes(random(entropy));
                write_durably(&self.incarnation(), &encode_incarnation(incarnation))
                    .map_err(OpenStoreError::Directory)?;
                incarnation
            }
        };
        self.make_directories().map_err(OpenStoreError::Directory)?;
        found.leftovers = self.empty_incoming().map_err(OpenStoreError::Directory)?;
        Ok(Prepared { lock, incarnation, found })
    }

    /// Whether the directory of that incarnation is still where it was, with all its partitions.
    pub(super) fn is_still(&self, incarnation: StoreIncarnation) -> bool {
        matches!(self.read_incarnation(), Ok(Some(here)) if here == incarnation) && self.is_whole()
    }

    fn is_whole(&self) -> bool {
        (0..=u8::MAX).all(|number| self.partition(number).is_dir())
    }

    /// `None` where there is none or it is damaged: receipts that nobody can attribute must not count.
    fn read_incarnation(&self) -> Result<Option<StoreIncarnation>, OpenStoreError> {
        match read_bounded(&self.incarnation(), INCARNATION_BYTES as u64) {
            Ok(bytes) => Ok(decode_incarnation(&bytes)),
            Err(FsError::TooLarge { .. }) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(OpenStoreError::Directory(error)),
        }
    }

    fn make_directories(&self) -> Result<(), FsError> {
        let partitions = (0..=u8::MAX).map(|number| self.partition(number));
        let others = [self.incoming(), self.quarantine(), self.root.join("checks")];
        let mut made = false;
        for path in partitions.chain(others) {
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => made = true,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                Err(source) => return Err(FsError::Io { operation: "create", path, source }),
            }
        }
        // One sync for all of them; a partition must never vanish with the chunks in it.
        if made { sync_dir(&self.root) } else { Ok(()) }
    }

    fn empty_incoming(&self) -> Result<u64, FsError> {
        let path = self.incoming();
        let failed = |operation| move |source| FsError::Io { operation, path: self.incoming(), source };
        let mut removed = 0;
        for entry in fs::read_dir(&path).map_err(failed("list"))? {
            let entry = entry.map_err(failed("list"))?;
            if entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
                fs::remove_file(entry.path()).map_err(failed("empty"))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Reads which copies are there, by name and size alone; their bytes are verified whenever they are read.
    pub(super) fn list_into(&self, held: &Held, now: Seconds, found: &mut Found) -> Result<(), OpenStoreError> {
        for number in 0..=u8::MAX {
            let ages = self.read_checks(number, found);
            let entries = self.list_partition(number, &ages, now, found).map_err(OpenStoreError::Directory)?;
            held.fill(number, entries);
        }
        Ok(())
    }

    fn read_checks(&self, number: u8, found: &mut Found) -> BTreeMap<ChunkId, Seconds> {
        match read_bounded(&self.checks(number), checks::FILE_BYTES_MAX) {
            Ok(bytes) => match checks::decode(number, &bytes) {
                Some(entries) => return entries.into_iter().collect(),
                None => found.lost_checks += 1,
            },
            Err(error) if error.is_not_found() => {}
            Err(_) => found.lost_checks += 1,
        }
        BTreeMap::new()
    }

    fn list_partition(
        &self,
        number: u8,
        ages: &BTreeMap<ChunkId, Seconds>,
        now: Seconds,
        found: &mut Found,
    ) -> Result<Vec<(ChunkId, u32, Seconds)>, FsError> {
        let path = self.partition(number);
        let failed = |source| FsError::Io { operation: "list", path: self.partition(number), source };
        let mut entries = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(id_of_name).filter(|id| id.as_bytes()[0] == number) else {
                found.foreign += 1;
                continue;
            };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(failed(source)),
            };
            // What is no file is listed too: whoever reads it sets it aside, and it is then known to be missing.
            let bytes = u32::try_from(metadata.len()).unwrap_or(u32::MAX);
            // A chunk is compared with its id before it is written, so its file's time is that of a check. A clock that
            // went back must not make a check that was never done.
            let written = Seconds(u32::try_from(metadata.mtime().max(0)).unwrap_or(u32::MAX));
            let checked = ages.get(&id).copied().unwrap_or(written).min(now);
            entries.push((id, bytes, checked));
        }
        Ok(entries)
    }
}

/// Only the name that a chunk is given here: 64 lowercase digits.
fn id_of_name(name: &str) -> Option<ChunkId> {
    let is_ours = name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_ours { name.parse().ok() } else { None }
}

fn encode_incarnation(incarnation: StoreIncarnation) -> Vec<u8> {
    let mut bytes = [MAGIC.as_slice(), incarnation.as_bytes()].concat();
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// For [`crate::again`].
pub(crate) fn again(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(encode_incarnation(decode_incarnation(bytes)?))
}

fn decode_incarnation(bytes: &[u8]) -> Option<StoreIncarnation> {
    let (content, check) = bytes.split_last_chunk::<4>()?;
    let id = content.strip_prefix(&MAGIC)?;
    if crc32fast::hash(content) != u32::from_be_bytes(*check) {
        return None;
    }
    Some(StoreIncarnation::from_bytes(id.try_into().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;

    #[test]
    fn an_incarnation_is_read_whole_or_not_at_all() {
        let incarnation = StoreIncarnation::from_bytes([9; 16]);
        let bytes = encode_incarnation(incarnation);
        assert_eq!(bytes.len(), INCARNATION_BYTES);
        assert!(decode_incarnation(&bytes) == Some(incarnation));
        for length in 0..bytes.len() {
            assert!(decode_incarnation(&bytes[..length]).is_none(), "{length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_incarnation(&flipped).is_none(), "bit {bit}");
        }
    }

    /// Receipts name the incarnation, so the same directory keeps it and any other has another.
    #[test]
    fn a_wiped_or_damaged_directory_is_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().join("chunks"));
        let prepare = || {
            let prepared = layout.prepare(&SystemEntropy).unwrap();
            (prepared.incarnation, prepared.found)
        };
        let (first, found) = prepare();
        assert!(found.is_new && layout.is_still(first));
        let (again, found) = prepare();
        assert!(again == first && !found.is_new);

        fs::write(layout.incarnation(), b"no incarnation").unwrap();
        assert!(!layout.is_still(first));
        let (second, found) = prepare();
        assert!(second != first && found.is_new);

        fs::remove_dir_all(layout.root()).unwrap();
        assert!(!layout.is_still(second));
        let (third, found) = prepare();
        assert!(third != second && third != first && found.is_new);

        fs::remove_dir_all(layout.partition(0xa7)).unwrap();
        assert!(!layout.is_still(third));
        let (fourth, found) = prepare();
        assert!(fourth != third && found.is_new && layout.is_still(fourth));
    }

    /// Two nodes that are given one directory by mistake would count one copy twice.
    #[test]
    fn a_directory_has_one_node() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().join("chunks"));
        let first = layout.prepare(&SystemEntropy).unwrap();
        assert!(matches!(layout.prepare(&SystemEntropy), Err(OpenStoreError::Lock(_))));
        drop(first);
        layout.prepare(&SystemEntropy).unwrap();
    }

    #[test]
    fn only_names_that_are_given_here_are_chunks() {
        let name = "0f".repeat(32);
        assert!(id_of_name(&name).is_some());
        for bad in [name.to_uppercase(), name[2..].to_owned(), format!("{name}0"), format!("{}-", &name[1..])] {
            assert!(id_of_name(&bad).is_none(), "{bad}");
        }
    }
}
