//! The disk as a file system: each request of the kernel is one call of [`Disk`]. Nothing is cached by the kernel, so that every
//! read and every write gets here.

use super::Disk;
use super::store::{About, ROOT};
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Asked again each time: a power cut changes everything at once.
const TTL: Duration = Duration::ZERO;
/// As `statfs` counts.
const BLOCK: u32 = 4_096;
/// `fallocate` that leaves the length as it is.
const KEEP_SIZE: i32 = 1;

/// What is mounted.
pub(super) struct Mounted(pub(super) Arc<Disk>);

fn code(error: rustix::io::Errno) -> Errno {
    Errno::from_i32(error.raw_os_error())
}

fn attributes(about: About) -> FileAttr {
    FileAttr {
        ino: INodeNo(about.inode),
        size: about.length,
        blocks: about.length.div_ceil(512),
        atime: about.changed,
        mtime: about.changed,
        ctime: about.changed,
        crtime: about.changed,
        kind: if about.is_directory { FileType::Directory } else { FileType::RegularFile },
        perm: u16::try_from(about.mode & 0o7777).unwrap_or(0o700),
        nlink: if about.is_directory { 2 } else { 1 },
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

impl Mounted {
    fn entry(reply: ReplyEntry, found: Result<About, rustix::io::Errno>) {
        match found {
            Ok(about) => reply.entry(&TTL, &attributes(about), Generation(0)),
            Err(error) => reply.error(code(error)),
        }
    }

    fn done(reply: ReplyEmpty, done: Result<(), rustix::io::Errno>) {
        match done {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(code(error)),
        }
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        Self::entry(reply, self.0.look(|store| store.find(parent.0, name)));
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.0.look(|store| store.about(inode.0)) {
            Ok(about) => reply.attr(&TTL, &attributes(about)),
            Err(error) => reply.error(code(error)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changed = self.0.change(|store| {
            if let Some(size) = size {
                store.resize(inode.0, size)?;
            }
            if let Some(mode) = mode {
                store.set_mode(inode.0, mode)?;
            }
            store.about(inode.0)
        });
        match changed {
            Ok(about) => reply.attr(&TTL, &attributes(about)),
            Err(error) => reply.error(code(error)),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        Self::entry(reply, self.0.change(|store| store.create(parent.0, name, mode & !umask, true)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        Self::done(reply, self.0.change(|store| store.remove(parent.0, name, false)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        Self::done(reply, self.0.change(|store| store.remove(parent.0, name, true)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let may_replace = flags.is_empty();
        let renamed = self.0.change(|store| store.rename((parent.0, name), (new_parent.0, new_name), may_replace));
        Self::done(reply, renamed);
    }

    fn link(&self, _: &Request, inode: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        Self::entry(reply, self.0.change(|store| store.link(inode.0, parent.0, name)));
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.0.look(|store| store.open(inode.0)) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(code(error)),
        }
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let created = self.0.change(|store| {
            let about = store.create(parent.0, name, mode & !umask, false)?;
            Ok((about, store.open(about.inode)?))
        });
        match created {
            Ok((about, handle)) => {
                let (handle, flags) = (FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO);
                reply.created(&TTL, &attributes(about), Generation(0), handle, flags);
            }
            Err(error) => reply.error(code(error)),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.read(handle.0, offset, u64::from(size)) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(code(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.write(handle.0, offset, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(0)),
            Err(error) => reply.error(code(error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.0.close(handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        Self::done(reply, self.0.sync(handle.0));
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = match self.0.look(|store| store.list(inode.0)) {
            Ok(listed) => listed,
            Err(error) => return reply.error(code(error)),
        };
        let dots = [".", ".."].map(|name| (inode.0, true, name.into()));
        // In the order of their numbers, which only grow: a list that is read in parts skips nothing when a name goes.
        let mut listed: Vec<(u64, bool, std::ffi::OsString)> = listed;
        listed.sort_unstable();
        let places =
            dots.into_iter().zip([1, 2]).map(|((inode, is_directory, name), place)| (place, inode, is_directory, name));
        let rest = listed.into_iter().map(|(inode, is_directory, name)| (inode + 2, inode, is_directory, name));
        for (place, inode, is_directory, name) in places.chain(rest).filter(|(place, ..)| *place > offset) {
            let kind = if is_directory { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(inode), place, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        Self::done(reply, self.0.sync_directory(inode.0));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let Ok(below) = rustix::fs::statvfs(&self.0.objects) else { return reply.error(Errno::EIO) };
        let block = u64::from(BLOCK);
        let (all, mut free) = (below.f_blocks * below.f_frsize / block, below.f_bavail * below.f_frsize / block);
        if let Some(room) = self.0.set(|faults| faults.room) {
            free = room / block;
        }
        reply.statfs(all, free, free, below.f_files, below.f_ffree, BLOCK, 255, BLOCK);
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let Some(end) = offset.checked_add(length) else { return reply.error(Errno::EFBIG) };
        match mode {
            0 => Self::done(reply, self.0.change(|store| store.allocate(handle.0, end))),
            KEEP_SIZE => reply.ok(),
            _ => reply.error(Errno::EOPNOTSUPP),
        }
    }

    fn access(&self, _: &Request, _: INodeNo, _: fuser::AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}

const _: () = assert!(ROOT == 1, "the number that the kernel gives the topmost directory");
