//! The few questions that this folder asks the operating system about chunk files, in one place so that a test can let
//! one of them fail. What the bytes mean never belongs here.

use rustix::fs::{Advice, Mode, OFlags};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// One sort of question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    Create,
    Write,
    SyncFile,
    Rename,
    SyncDirectory,
    Open,
    Read,
    Free,
}

/// How a file is read: as it comes, or from the disk itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// From memory where the system still has it.
    Cached,
    /// What is in memory is dropped before and after, so that the disk is asked and nothing hotter is pushed out.
    Disk,
}

/// Why a file gave no bytes.
#[derive(Debug)]
pub(super) enum ReadFailure {
    Absent,
    /// Not a regular file: a directory, a link, a device, a pipe.
    NotAFile,
    /// Empty, or longer than the bound.
    Length,
    /// The disk or the permissions do not let it be read.
    Unreadable,
    /// The system had no room to try; says nothing about the file.
    Unsure(io::Error),
}

/// Told what became of the files and names of chunks, in the order in which it happened. A simulation takes back at a power
/// cut what no sync made durable.
pub trait Witness: Send + Sync + 'static {
    /// A new file; neither its bytes nor its name are durable.
    fn created(&self, path: &Path);

    /// The bytes of a file are durable.
    fn file_synced(&self, path: &Path);

    /// A file has another name, which is not durable, in place of whatever had it.
    fn renamed(&self, from: &Path, to: &Path);

    /// The names in a directory are durable.
    fn directory_synced(&self, path: &Path);
}

pub(super) struct Disk {
    witness: Option<Arc<dyn Witness>>,
    #[cfg(test)]
    pub(super) faults: faults::Faults,
}

impl Disk {
    pub(super) fn new(witness: Option<Arc<dyn Witness>>) -> Self {
        Self {
            witness,
            #[cfg(test)]
            faults: faults::Faults::default(),
        }
    }

    #[cfg(test)]
    fn ask(&self, call: Call) -> io::Result<()> {
        self.faults.ask(call)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "only tests let a question fail")]
    fn ask(&self, _: Call) -> io::Result<()> {
        Ok(())
    }

    fn tell(&self, what: impl FnOnce(&dyn Witness)) {
        if let Some(witness) = &self.witness {
            what(&**witness);
        }
    }

    /// A new file that nobody else may read.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        self.ask(Call::Create)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        self.tell(|witness| witness.created(path));
        Ok(file)
    }

    pub(super) fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.ask(Call::Write)?;
        file.write_all(bytes)
    }

    pub(super) fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        self.ask(Call::SyncFile)?;
        file.sync_data()?;
        self.tell(|witness| witness.file_synced(path));
        Ok(())
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Call::Rename)?;
        fs::rename(from, to)?;
        self.tell(|witness| witness.renamed(from, to));
        Ok(())
    }

    pub(super) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.ask(Call::SyncDirectory)?;
        File::open(path)?.sync_all()?;
        self.tell(|witness| witness.directory_synced(path));
        Ok(())
    }

    /// What this process may still write.
    pub(super) fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.ask(Call::Free)?;
        let figures = rustix::fs::statvfs(path)?;
        Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
    }

    /// The whole of a regular file of 1 to `bytes_max` bytes. A link is not followed, a pipe is not waited for.
    pub(super) fn read(&self, path: &Path, bytes_max: usize, source: Source) -> Result<Vec<u8>, ReadFailure> {
        self.ask(Call::Open).map_err(failure)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => file.into(),
            // A link where a file should be; a socket cannot be opened at all.
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Err(ReadFailure::NotAFile),
            Err(error) => return Err(failure(error.into())),
        };
        let metadata = file.metadata().map_err(failure)?;
        if !metadata.is_file() {
            return Err(ReadFailure::NotAFile);
        }
        let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        if length == 0 || length > bytes_max {
            return Err(ReadFailure::Length);
        }
        forget_cached(&file, source);
        let mut bytes = Vec::with_capacity(length + 1);
        self.ask(Call::Read).map_err(failure)?;
        // The length can change after it was asked for, so the reader is bounded too.
        (&file).take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failure)?;
        forget_cached(&file, source);
        if bytes.is_empty() || bytes.len() > bytes_max { Err(ReadFailure::Length) } else { Ok(bytes) }
    }
}

/// Advice only: a system that does not take it reads from memory.
fn forget_cached(file: &File, source: Source) {
    if source == Source::Disk {
        let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
    }
}

/// Running out of descriptors or memory says nothing about the file; anything else that the system says about *this*
/// file makes it a bad copy, so that it is fetched again instead of being asked for ever.
fn failure(error: io::Error) -> ReadFailure {
    use rustix::io::Errno;
    let transient = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR, Errno::AGAIN];
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadFailure::Absent,
        _ if Errno::from_io_error(&error).is_some_and(|errno| transient.contains(&errno)) => ReadFailure::Unsure(error),
        _ => ReadFailure::Unreadable,
    }
}

/// Whether there is no room, or no more of it for this user.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod faults {
    //! Failures that a test orders.
    use super::Call;
    use rustix::io::Errno;
    use std::io;
    use std::sync::Mutex;

    #[derive(Default)]
    pub(in crate::chunks) struct Faults(Mutex<Vec<(Call, u32, Errno)>>);

    impl Faults {
        /// Lets the call fail that comes after `skip` others of its sort, once.
        pub(in crate::chunks) fn order(&self, call: Call, skip: u32, errno: Errno) {
            self.0.lock().unwrap().push((call, skip, errno));
        }

        /// Whether every ordered failure has happened.
        pub(in crate::chunks) fn all_happened(&self) -> bool {
            self.0.lock().unwrap().is_empty()
        }

        pub(in crate::chunks) fn ask(&self, call: Call) -> io::Result<()> {
            let mut orders = self.0.lock().unwrap();
            let Some(at) = orders.iter().position(|(of, _, _)| *of == call) else { return Ok(()) };
            if orders[at].1 > 0 {
                orders[at].1 -= 1;
                return Ok(());
            }
            let (_, _, errno) = orders.remove(at);
            Err(errno.into())
        }
    }
}
