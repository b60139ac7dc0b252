//! Durable habits with files, and the named paths of a data directory. What the bytes mean never belongs here.
//!
//! ```text
//! write_durably:  temporary file in the same directory ─► write ─► fdatasync ─► rename ─► fsync of the directory
//! ```
//! After a crash the old content or the new one is there, never a mixture. Files are made with mode 0600, directories
//! with 0700.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::storage::lock::{DirectoryLock, LockError};

/// The suffix of files that are being written. A left-over one is from a crash and may be removed.
pub const TEMPORARY_SUFFIX: &str = ".partial";

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// The operating system refused.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Longer than the reader takes.
    #[error("{path} is larger than {bytes_max} bytes")]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// Not a file at all, or a link.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// Which path.
        path: PathBuf,
    },
    /// Others than the owner may read or write it.
    #[error("{path} is open to others than its owner (mode {mode:03o}): it must be 600 or 400")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl FsError {
    /// Whether the reason is that there is no such file.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl Fn(io::Error) -> FsError + 'a {
    move |source| FsError::Io { operation, path: path.to_owned(), source }
}

/// Replaces the content of `path`, or creates it. Returns when both content and name have reached the disk. Two
/// concurrent writers of one path are the caller's mistake.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(TEMPORARY_SUFFIX);
    let temporary = path.with_file_name(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed("create", &temporary))?;
    file.write_all(bytes).map_err(failed("write", &temporary))?;
    file.sync_data().map_err(failed("sync", &temporary))?;
    drop(file);
    rename_durably(&temporary, path)
}

/// Renames within one directory and syncs that directory. The content must have been synced before.
pub fn rename_durably(from: &Path, to: &Path) -> Result<(), FsError> {
    fs::rename(from, to).map_err(failed("rename", from))?;
    sync_dir(parent(to))
}

/// Removes a file and syncs its directory; fine if there is none.
pub fn remove_durably(path: &Path) -> Result<(), FsError> {
    match fs::remove_file(path) {
        Ok(()) => sync_dir(parent(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", path)(error)),
    }
}

/// Makes the names in a directory durable: files created, renamed and removed in it.
pub fn sync_dir(path: &Path) -> Result<(), FsError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("sync", path))
}

/// Creates a directory, and missing ones above it, with mode 0700, durably. Fine if it exists.
pub fn create_dir_durably(path: &Path) -> Result<(), FsError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent(path);
    create_dir_durably(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(failed("create", path)(error)),
    }
    sync_dir(parent)
}

/// The whole content of a regular file of at most `bytes_max` bytes.
pub fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FsError> {
    let file = File::open(path).map_err(failed("open", path))?;
    let metadata = file.metadata().map_err(failed("read", path))?;
    if !metadata.is_file() {
        return Err(FsError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    // The size can change after it was asked for, so the reader is bounded too, not the question alone.
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(FsError::TooLarge { path: path.to_owned(), bytes_max });
    }
    Ok(bytes)
}

/// Refuses a secret's file that is not a regular file, or that group or others may read, write or run.
pub fn check_private(path: &Path) -> Result<(), FsError> {
    let metadata = fs::metadata(path).map_err(failed("read", path))?;
    if !metadata.is_file() {
        return Err(FsError::NotAFile { path: path.to_owned() });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FsError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

/// The directory of `path`; `.` where it names none.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The data directory of one node, and what lies where in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Names only; nothing is touched.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Creates the root and every named directory except `log`, which [`Wal::create`](crate::storage) makes:
    /// a log directory that appeared by itself would look like a log that was lost.
    pub fn create(&self) -> Result<(), FsError> {
        for path in [self.root.clone(), self.state(), self.snapshots(), self.slots(), self.journal(), self.chunks()] {
            create_dir_durably(&path)?;
        }
        Ok(())
    }

    /// Takes the directory for this process.
    pub fn lock(&self) -> Result<DirectoryLock, LockError> {
        DirectoryLock::acquire(&self.root.join("lock"))
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// File: who this node is. Written first, so that a lost disk is noticed.
    pub fn identity(&self) -> PathBuf {
        self.root.join("identity")
    }

    /// File: a recovered quorum that was begun here and is not finished.
    pub fn recovery(&self) -> PathBuf {
        self.root.join("recovery")
    }

    /// File: the network went on without this node.
    pub fn superseded(&self) -> PathBuf {
        self.root.join("superseded")
    }

    /// File: how far the log had come, outside the log.
    pub fn watermark(&self) -> PathBuf {
        self.root.join("watermark")
    }

    /// Directory: the Raft log and vote.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Directory: the state that the log makes, and its checkpoint file.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Directory: snapshots, made here or received.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// Directory: wrapped keys.
    pub fn slots(&self) -> PathBuf {
        self.root.join("slots")
    }

    /// Directory: audit entries on their way into the log.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Directory: sealed chunks of images.
    pub fn chunks(&self) -> PathBuf {
        self.root.join("chunks")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_durable_write_replaces_the_whole_content_and_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity");
        write_durably(&path, b"a longer first content").unwrap();
        write_durably(&path, b"second").unwrap();
        assert_eq!(read_bounded(&path, 6).unwrap(), b"second");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        check_private(&path).unwrap();
    }

    #[test]
    fn a_file_beyond_the_bound_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large");
        write_durably(&path, &[7; 9]).unwrap();
        assert!(matches!(read_bounded(&path, 8), Err(FsError::TooLarge { bytes_max: 8, .. })));
        assert_eq!(read_bounded(&path, 9).unwrap().len(), 9);
        assert!(matches!(read_bounded(directory.path(), 8), Err(FsError::NotAFile { .. })));
        assert!(read_bounded(&directory.path().join("none"), 8).unwrap_err().is_not_found());
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_durably(&path, b"secret").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(check_private(&path), Err(FsError::Exposed { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        check_private(&path).unwrap();
    }

    #[test]
    fn directories_are_made_with_their_parents_and_closed_to_others() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::new(directory.path().join("a/b"));
        data.create().unwrap();
        data.create().unwrap();
        assert!(!data.log().exists());
        assert_eq!(fs::metadata(data.journal()).unwrap().mode() & 0o777, 0o700);
    }
}
