//! One process per data directory: an exclusive lock on a file, which the kernel releases when the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Holds the data directory for this process until dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
    path: PathBuf,
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing is not enough at once: a child that was forked a moment ago, by whatever thread, has the file open
        // too until it becomes its program. When this fails, closing does it.
        let _ = self.file.unlock();
    }
}

/// Why the data directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process works in it. Stop that one first.
    #[error("the data directory is in use by another process, which holds {path}")]
    Held {
        /// The lock file.
        path: PathBuf,
    },
    /// The lock file cannot be opened or locked.
    #[error("cannot lock {path}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DirectoryLock {
    /// Takes the lock at `path` at once or not at all. The file stays when the lock is released: removing it would let
    /// two processes hold two files of one name.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path: path.to_owned() }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = DirectoryLock::acquire(&path).unwrap();
        assert!(matches!(DirectoryLock::acquire(&path), Err(LockError::Held { .. })));
        drop(first);
        DirectoryLock::acquire(&path).unwrap();
    }
}
