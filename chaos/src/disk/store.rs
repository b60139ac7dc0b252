//! Files and names of one disk: as programs see them, and as a power cut leaves them.
//!
//! ```text
//! directory   live names ◄── create, rename, unlink ──► waiting, in order ──► fsync of the directory ──► kept names
//! file        content.rs; a sync of a file keeps its bytes, never its name
//! power cut   names := kept names, and none, the first few, or any of those that wait
//! ```
//! A change that touches two directories is kept in both or in neither, and none is kept before an older one of its directory.

use super::content::Content;
use super::{Cut, Keep};
use crate::seed::Chance;
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Number of the topmost directory.
pub(super) const ROOT: u64 = 1;

/// What stands in a list of a directory.
pub(super) type Listed = (u64, bool, OsString);

/// Files and names.
#[derive(Debug)]
pub(super) struct Store {
    objects: PathBuf,
    inodes: BTreeMap<u64, Inode>,
    /// Changes of names that nobody synced, in order.
    waiting: Vec<Change>,
    /// Files that are open, by handle. A power cut ends them all.
    open: BTreeMap<u64, u64>,
    /// Never given twice.
    next: u64,
    chance: Chance,
}

#[derive(Debug)]
struct Inode {
    mode: u32,
    changed: SystemTime,
    body: Body,
}

#[derive(Debug)]
enum Body {
    File(Content),
    Directory { live: Names, kept: Names },
}

type Names = BTreeMap<OsString, u64>;

/// What is told of a file or a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct About {
    pub(super) inode: u64,
    pub(super) is_directory: bool,
    pub(super) mode: u32,
    pub(super) length: u64,
    pub(super) changed: SystemTime,
}

/// A change of names.
#[derive(Clone, Debug)]
enum Change {
    Set { directory: u64, name: OsString, inode: u64 },
    Remove { directory: u64, name: OsString },
    Move { from: u64, name: OsString, to: u64, new_name: OsString, inode: u64 },
}

impl Change {
    fn directories(&self) -> [u64; 2] {
        match self {
            Self::Set { directory, .. } | Self::Remove { directory, .. } => [*directory; 2],
            Self::Move { from, to, .. } => [*from, *to],
        }
    }

    const fn inode(&self) -> Option<u64> {
        match self {
            Self::Set { inode, .. } | Self::Move { inode, .. } => Some(*inode),
            Self::Remove { .. } => None,
        }
    }
}

impl Store {
    /// An empty disk, whose objects lie in `objects`, which must be there and empty.
    pub(super) fn new(objects: PathBuf, seed: u64) -> Self {
        let body = Body::Directory { live: Names::new(), kept: Names::new() };
        let root = Inode { mode: 0o700, changed: SystemTime::now(), body };
        let inodes = BTreeMap::from([(ROOT, root)]);
        let chance = Chance::of(seed, 0x00d1_5c00);
        Self { objects, inodes, waiting: Vec::new(), open: BTreeMap::new(), next: ROOT + 1, chance }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn inode(&self, inode: u64) -> Result<&Inode, Errno> {
        self.inodes.get(&inode).ok_or(Errno::NOENT)
    }

    fn names(&self, directory: u64) -> Result<&Names, Errno> {
        match &self.inode(directory)?.body {
            Body::Directory { live, .. } => Ok(live),
            Body::File(_) => Err(Errno::NOTDIR),
        }
    }

    fn content(&mut self, inode: u64) -> Result<&mut Content, Errno> {
        let found = self.inodes.get_mut(&inode).ok_or(Errno::NOENT)?;
        match &mut found.body {
            Body::File(content) => {
                found.changed = SystemTime::now();
                Ok(content)
            }
            Body::Directory { .. } => Err(Errno::ISDIR),
        }
    }

    fn opened(&self, handle: u64) -> Result<u64, Errno> {
        // It was opened before the power cut.
        self.open.get(&handle).copied().ok_or(Errno::IO)
    }

    /// What a name stands for.
    pub(super) fn find(&self, directory: u64, name: &OsStr) -> Result<About, Errno> {
        self.about(*self.names(directory)?.get(name).ok_or(Errno::NOENT)?)
    }

    pub(super) fn about(&self, inode: u64) -> Result<About, Errno> {
        let found = self.inode(inode)?;
        let (is_directory, length) = match &found.body {
            Body::File(content) => (false, content.length()),
            Body::Directory { .. } => (true, 0),
        };
        Ok(About { inode, is_directory, mode: found.mode, length, changed: found.changed })
    }

    pub(super) fn list(&self, directory: u64) -> Result<Vec<Listed>, Errno> {
        let names = self.names(directory)?.iter();
        names.map(|(name, inode)| Ok((*inode, self.about(*inode)?.is_directory, name.clone()))).collect()
    }

    /// Rights are kept at once: nothing is tried with them.
    pub(super) fn set_mode(&mut self, inode: u64, mode: u32) -> Result<(), Errno> {
        self.inodes.get_mut(&inode).ok_or(Errno::NOENT)?.mode = mode & 0o7777;
        Ok(())
    }

    /// Does a change of names for programs; it waits for a sync.
    fn change(&mut self, change: Change) {
        self.apply(&change, false);
        self.waiting.push(change);
    }

    fn apply(&mut self, change: &Change, for_good: bool) {
        let mut with = |directory: u64, apply: &dyn Fn(&mut Names)| {
            if let Some(Inode { body: Body::Directory { live, kept }, .. }) = self.inodes.get_mut(&directory) {
                apply(if for_good { kept } else { live });
            }
        };
        match change {
            Change::Set { directory, name, inode } => {
                with(*directory, &|names| {
                    names.insert(name.clone(), *inode);
                });
            }
            Change::Remove { directory, name } => with(*directory, &|names| {
                names.remove(name);
            }),
            Change::Move { from, name, to, new_name, inode } => {
                with(*from, &|names| {
                    names.remove(name);
                });
                with(*to, &|names| {
                    names.insert(new_name.clone(), *inode);
                });
            }
        }
    }

    /// A new file, or a new directory.
    pub(super) fn create(
        &mut self,
        directory: u64,
        name: &OsStr,
        mode: u32,
        is_directory: bool,
    ) -> Result<About, Errno> {
        if self.names(directory)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        let inode = self.number();
        let body = if is_directory {
            Body::Directory { live: Names::new(), kept: Names::new() }
        } else {
            Body::File(Content::create(self.objects.join(inode.to_string()))?)
        };
        self.inodes.insert(inode, Inode { mode: mode & 0o7777, changed: SystemTime::now(), body });
        self.change(Change::Set { directory, name: name.to_owned(), inode });
        self.about(inode)
    }

    /// A further name for a file.
    pub(super) fn link(&mut self, inode: u64, directory: u64, name: &OsStr) -> Result<About, Errno> {
        if self.about(inode)?.is_directory {
            return Err(Errno::PERM);
        }
        if self.names(directory)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        self.change(Change::Set { directory, name: name.to_owned(), inode });
        self.about(inode)
    }

    /// Takes a name away, of a file or of an empty directory.
    pub(super) fn remove(&mut self, directory: u64, name: &OsStr, is_directory: bool) -> Result<(), Errno> {
        let found = self.find(directory, name)?;
        self.is_replaceable(found, is_directory)?;
        self.change(Change::Remove { directory, name: name.to_owned() });
        self.sweep();
        Ok(())
    }

    fn is_replaceable(&self, found: About, by_directory: bool) -> Result<(), Errno> {
        match (found.is_directory, by_directory) {
            (true, false) => Err(Errno::ISDIR),
            (false, true) => Err(Errno::NOTDIR),
            (true, true) if !self.names(found.inode)?.is_empty() => Err(Errno::NOTEMPTY),
            _ => Ok(()),
        }
    }

    /// Moves a name, over another where there is one and `may_replace`.
    pub(super) fn rename(
        &mut self,
        (from, name): (u64, &OsStr),
        (to, new_name): (u64, &OsStr),
        may_replace: bool,
    ) -> Result<(), Errno> {
        let moved = self.find(from, name)?;
        match self.find(to, new_name) {
            Ok(_) if !may_replace => return Err(Errno::EXIST),
            Ok(found) if found.inode == moved.inode => return Ok(()),
            Ok(found) => self.is_replaceable(found, moved.is_directory)?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        let (name, new_name) = (name.to_owned(), new_name.to_owned());
        self.change(Change::Move { from, name, to, new_name, inode: moved.inode });
        self.sweep();
        Ok(())
    }

    pub(super) fn open(&mut self, inode: u64) -> Result<u64, Errno> {
        if self.about(inode)?.is_directory {
            return Err(Errno::ISDIR);
        }
        let handle = self.number();
        self.open.insert(handle, inode);
        Ok(handle)
    }

    pub(super) fn close(&mut self, handle: u64) {
        if self.open.remove(&handle).is_some() {
            self.sweep();
        }
    }

    pub(super) fn read(&self, handle: u64, at: u64, count: u64) -> Result<Vec<u8>, Errno> {
        let inode = self.opened(handle)?;
        match &self.inode(inode)?.body {
            Body::File(content) => content.read(at, count),
            Body::Directory { .. } => Err(Errno::ISDIR),
        }
    }

    pub(super) fn write(&mut self, handle: u64, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let inode = self.opened(handle)?;
        self.content(inode)?.write(at, bytes)
    }

    pub(super) fn resize(&mut self, inode: u64, length: u64) -> Result<(), Errno> {
        self.content(inode)?.resize(length)
    }

    /// Makes room up to `end`.
    pub(super) fn allocate(&mut self, handle: u64, end: u64) -> Result<(), Errno> {
        let inode = self.opened(handle)?;
        let content = self.content(inode)?;
        content.resize(end.max(content.length()))
    }

    /// The bytes of a file survive a power cut; its name may not.
    pub(super) fn sync(&mut self, handle: u64) -> Result<(), Errno> {
        let inode = self.opened(handle)?;
        self.content(inode)?.sync()
    }

    /// A sync that fails: what waited is never written.
    pub(super) fn give_up(&mut self, handle: u64) {
        if let Ok(content) = self.opened(handle).and_then(|inode| self.content(inode)) {
            content.give_up();
        }
    }

    /// The names in a directory survive a power cut, and with them whatever older changes they stand on.
    pub(super) fn sync_directory(&mut self, directory: u64) {
        let mut touched = BTreeSet::from([directory]);
        let mut chosen = Vec::new();
        for (at, change) in self.waiting.iter().enumerate().rev() {
            if change.directories().iter().any(|directory| touched.contains(directory)) {
                touched.extend(change.directories());
                chosen.push(at);
            }
        }
        // A change that joined two directories late leaves younger ones of the second: they go on waiting.
        chosen.reverse();
        for at in &chosen {
            let change = self.waiting[*at].clone();
            self.apply(&change, true);
        }
        let mut at = 0;
        self.waiting.retain(|_| {
            at += 1;
            chosen.binary_search(&(at - 1)).is_err()
        });
        self.sweep();
    }

    /// Everything survives a power cut.
    pub(super) fn sync_all(&mut self) -> Result<(), Errno> {
        for change in std::mem::take(&mut self.waiting) {
            self.apply(&change, true);
        }
        for inode in self.inodes.values_mut() {
            if let Body::File(content) = &mut inode.body {
                content.sync()?;
            }
        }
        self.sweep();
        Ok(())
    }

    /// How many changes of files and names wait, and of how many bytes.
    pub(super) fn waiting(&self) -> (usize, usize, u64) {
        let files = || {
            self.inodes.values().filter_map(|inode| match &inode.body {
                Body::File(content) => Some(content),
                Body::Directory { .. } => None,
            })
        };
        let unsynced = files().filter(|content| !content.is_synced()).count();
        (unsynced, self.waiting.len(), files().map(Content::waiting_bytes).sum())
    }

    /// What waits is lost, but for what `keep` lets through; what was open is closed.
    pub(super) fn lose_power(&mut self, keep: Keep) -> Result<Cut, Errno> {
        let mut cut = Cut::default();
        self.open.clear();
        for change in self.names_that_survive(keep, &mut cut) {
            self.apply(&change, true);
        }
        let chance = &mut self.chance;
        for inode in self.inodes.values_mut() {
            match &mut inode.body {
                Body::File(content) => content.lose_power(keep, chance, &mut cut)?,
                Body::Directory { live, kept } => live.clone_from(kept),
            }
        }
        self.sweep();
        Ok(cut)
    }

    fn names_that_survive(&mut self, keep: Keep, cut: &mut Cut) -> Vec<Change> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let all = waiting.len() as u64;
        match keep {
            Keep::Nothing => waiting.clear(),
            Keep::First => {
                let count = self.chance.below(all + 1);
                waiting.truncate(usize::try_from(count).unwrap_or(0));
            }
            Keep::Any | Keep::Holes => {
                let mut ended: BTreeSet<u64> = BTreeSet::new();
                waiting.retain(|change| {
                    let directories = change.directories();
                    let is_kept = !directories.iter().any(|at| ended.contains(at)) && self.chance.percent(70);
                    if !is_kept {
                        ended.extend(directories);
                    }
                    is_kept
                });
            }
        }
        cut.names_kept = waiting.len() as u64;
        cut.names_lost = all - cut.names_kept;
        waiting
    }

    /// Forgets files that no name, no change that waits and no program has any more.
    fn sweep(&mut self) {
        let mut needed: BTreeSet<u64> = self.open.values().copied().collect();
        needed.extend(self.waiting.iter().filter_map(Change::inode));
        for inode in self.inodes.values() {
            if let Body::Directory { live, kept } = &inode.body {
                needed.extend(live.values().chain(kept.values()));
            }
        }
        self.inodes.retain(|inode, found| match &found.body {
            Body::File(content) if !needed.contains(inode) => {
                content.remove();
                false
            }
            _ => true,
        });
    }

    /// Turns one bit of one file of which nothing waits; `false` where there is none.
    pub(super) fn flip(&mut self) -> Result<bool, Errno> {
        let cold = self.inodes.iter().filter(|(_, inode)| matches!(&inode.body, Body::File(it) if it.is_synced()));
        let cold: Vec<u64> = cold.map(|(inode, _)| *inode).collect();
        for _ in 0..cold.len() {
            let Some(inode) = self.chance.one_of(&cold) else { return Ok(false) };
            if let Some(Inode { body: Body::File(content), .. }) = self.inodes.get(inode)
                && content.flip(&mut self.chance)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A bit of what is read, not of what is kept.
    pub(super) fn spoil(&mut self, bytes: &mut [u8]) {
        let at = self.chance.below(bytes.len() as u64);
        if let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1 << self.chance.below(8);
        }
    }

    /// A delay between these, in milliseconds.
    pub(super) fn delay_ms(&mut self, least: u64, most: u64) -> u64 {
        least + self.chance.below(most.saturating_sub(least) + 1)
    }

    /// Puts everything that programs see into `directory`, as plain files. The disk is of no use afterwards.
    pub(super) fn leave(mut self, directory: &Path) -> Result<(), Errno> {
        self.sync_all()?;
        self.leave_directory(ROOT, directory)
    }

    fn leave_directory(&self, from: u64, to: &Path) -> Result<(), Errno> {
        for (inode, is_directory, name) in self.list(from)? {
            let path = to.join(name);
            match &self.inode(inode)?.body {
                Body::File(content) => fs::hard_link(content.object(), &path).map_err(|_| Errno::IO)?,
                Body::Directory { .. } => {
                    debug_assert!(is_directory);
                    fs::create_dir(&path).map_err(|_| Errno::IO)?;
                    self.leave_directory(inode, &path)?;
                }
            }
        }
        Ok(())
    }
}
