//! What one file holds: an object on the disk below, which is what a power cut leaves for certain, and the changes that nobody
//! has synced yet, in order. Never here: names.
//!
//! ```text
//! read       object ─► changes over it, in order
//! sync       changes ─► object
//! power cut  none, the first few, or any of them ─► object, torn at borders of sectors
//! ```

use super::{Cut, Keep};
use crate::seed::Chance;
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a disk writes whole, by its promise.
const SECTOR: u64 = 512;
/// What most file systems write at once.
const PAGE: u64 = 4_096;
/// Beyond either, the older half is written back, as systems do when much waits.
const WAITING_BYTES_MAX: u64 = 16 << 20;
const WAITING_MAX: usize = 8_192;

/// One file's bytes.
#[derive(Debug)]
pub(super) struct Content {
    object: PathBuf,
    /// As programs see it.
    length: u64,
    /// Of the object.
    kept_length: u64,
    waiting: Vec<Waiting>,
    waiting_bytes: u64,
}

#[derive(Debug)]
struct Waiting {
    change: Change,
    /// A sync of it failed: the system takes it for clean and never writes it again.
    is_given_up: bool,
}

#[derive(Debug)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Length(u64),
}

impl Change {
    fn size(&self) -> u64 {
        match self {
            Self::Write { bytes, .. } => bytes.len() as u64,
            Self::Length(_) => 0,
        }
    }
}

/// The disk below failed: nothing that the disk above was told to do.
fn below(_: io::Error) -> Errno {
    Errno::IO
}

impl Content {
    /// An empty file.
    pub(super) fn create(object: PathBuf) -> Result<Self, Errno> {
        File::create_new(&object).map_err(below)?;
        Ok(Self { object, length: 0, kept_length: 0, waiting: Vec::new(), waiting_bytes: 0 })
    }

    /// As programs see it.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether nothing waits.
    pub(super) fn is_synced(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Of what is not synced.
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    /// What a power cut leaves for certain.
    pub(super) fn object(&self) -> &Path {
        &self.object
    }

    /// Takes the object away: nobody names it any more.
    pub(super) fn remove(&self) {
        // One that stays is a file too many on the disk below, and no more.
        let _ = fs::remove_file(&self.object);
    }

    /// At most `count` bytes from `at` on.
    pub(super) fn read(&self, at: u64, count: u64) -> Result<Vec<u8>, Errno> {
        let end = at.saturating_add(count).min(self.length);
        let Some(count) = end.checked_sub(at).filter(|count| *count > 0) else { return Ok(Vec::new()) };
        let mut bytes = vec![0; usize::try_from(count).map_err(|_| Errno::INVAL)?];
        let below_end = end.min(self.kept_length);
        if below_end > at {
            let part = &mut bytes[..usize::try_from(below_end - at).map_err(|_| Errno::INVAL)?];
            File::open(&self.object).and_then(|file| file.read_exact_at(part, at)).map_err(below)?;
        }
        for Waiting { change, .. } in &self.waiting {
            match change {
                Change::Write { at: from, bytes: new } => {
                    let (first, last) = ((*from).max(at), (from + new.len() as u64).min(end));
                    if first < last {
                        let of = |place: u64, origin: u64| usize::try_from(place - origin).unwrap_or(usize::MAX);
                        bytes[of(first, at)..of(last, at)].copy_from_slice(&new[of(first, *from)..of(last, *from)]);
                    }
                }
                // What was cut off and grows again is zeros.
                Change::Length(length) if *length < end => {
                    let first = usize::try_from(length.saturating_sub(at)).unwrap_or(usize::MAX);
                    bytes.iter_mut().skip(first).for_each(|byte| *byte = 0);
                }
                Change::Length(_) => {}
            }
        }
        Ok(bytes)
    }

    /// Puts `bytes` at `at`.
    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let end = at.checked_add(bytes.len() as u64).ok_or(Errno::FBIG)?;
        self.length = self.length.max(end);
        self.wait(Change::Write { at, bytes: bytes.to_owned() })
    }

    /// Cuts it off, or lets it grow.
    pub(super) fn resize(&mut self, length: u64) -> Result<(), Errno> {
        if length == self.length {
            return Ok(());
        }
        self.length = length;
        self.wait(Change::Length(length))
    }

    fn wait(&mut self, change: Change) -> Result<(), Errno> {
        self.waiting_bytes += change.size();
        let is_given_up = false;
        self.waiting.push(Waiting { change, is_given_up });
        if self.waiting_bytes > WAITING_BYTES_MAX || self.waiting.len() > WAITING_MAX {
            self.write_back(self.waiting.len() / 2)?;
        }
        Ok(())
    }

    /// What is written now survives a power cut.
    pub(super) fn sync(&mut self) -> Result<(), Errno> {
        self.write_back(self.waiting.len())
    }

    fn write_back(&mut self, count: usize) -> Result<(), Errno> {
        let mut object = Object::open(&self.object, self.kept_length)?;
        let mut gone = 0;
        for waiting in self.waiting.iter_mut().take(count) {
            if !waiting.is_given_up {
                object.apply(&waiting.change)?;
            }
        }
        self.kept_length = object.length;
        // What was given up is still read, as from the system's memory, and what came over it as well.
        let keep_from = self.waiting.iter().position(|waiting| waiting.is_given_up).unwrap_or(count).min(count);
        for waiting in self.waiting.drain(..keep_from) {
            gone += waiting.change.size();
        }
        for waiting in self.waiting.iter_mut().take(count - keep_from) {
            waiting.is_given_up = true;
        }
        self.waiting_bytes -= gone;
        Ok(())
    }

    /// A sync that failed: what waited is never written, and the next sync says that all is well.
    pub(super) fn give_up(&mut self) {
        for waiting in &mut self.waiting {
            waiting.is_given_up = true;
        }
    }

    /// What waits is lost, but for what `keep` lets through.
    pub(super) fn lose_power(&mut self, keep: Keep, chance: &mut Chance, cut: &mut Cut) -> Result<(), Errno> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let given_up = waiting.iter().filter(|waiting| waiting.is_given_up).count() as u64;
        cut.lost += given_up;
        let changes: Vec<Change> =
            waiting.into_iter().filter(|waiting| !waiting.is_given_up).map(|waiting| waiting.change).collect();
        if !changes.is_empty() {
            let mut object = Object::open(&self.object, self.kept_length)?;
            match keep {
                Keep::Nothing => cut.lost += changes.len() as u64,
                Keep::First => object.first_of(&changes, chance, cut)?,
                Keep::Any => object.any_of(&changes, false, chance, cut)?,
                Keep::Holes => object.any_of(&changes, true, chance, cut)?,
            }
            self.kept_length = object.length;
        }
        self.length = self.kept_length;
        Ok(())
    }

    /// Turns one bit of what is synced; `false` where nothing is.
    pub(super) fn flip(&self, chance: &mut Chance) -> Result<bool, Errno> {
        if self.kept_length == 0 {
            return Ok(false);
        }
        let at = chance.below(self.kept_length);
        let file = OpenOptions::new().read(true).write(true).open(&self.object).map_err(below)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).map_err(below)?;
        byte[0] ^= 1 << chance.below(8);
        file.write_all_at(&byte, at).map_err(below)?;
        Ok(true)
    }
}

/// The object while it is changed.
struct Object {
    file: File,
    length: u64,
}

impl Object {
    fn open(path: &Path, length: u64) -> Result<Self, Errno> {
        Ok(Self { file: OpenOptions::new().write(true).open(path).map_err(below)?, length })
    }

    fn apply(&mut self, change: &Change) -> Result<(), Errno> {
        match change {
            Change::Write { at, bytes } => self.put(*at, bytes),
            Change::Length(length) => {
                self.file.set_len(*length).map_err(below)?;
                self.length = *length;
                Ok(())
            }
        }
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.file.write_all_at(bytes, at).map_err(below)?;
        self.length = self.length.max(at + bytes.len() as u64);
        Ok(())
    }

    /// Some changes from the first one on, and a first part of the next, to the border of a sector.
    fn first_of(&mut self, changes: &[Change], chance: &mut Chance, cut: &mut Cut) -> Result<(), Errno> {
        let whole = usize::try_from(chance.below(changes.len() as u64 + 1)).unwrap_or(0);
        for change in &changes[..whole] {
            self.apply(change)?;
        }
        cut.kept += whole as u64;
        cut.lost += (changes.len() - whole) as u64;
        if let Some(Change::Write { at, bytes }) = changes.get(whole) {
            let end = (at + chance.below(bytes.len() as u64 + 1)) / SECTOR * SECTOR;
            if let Some(part) = end.checked_sub(*at).filter(|part| *part > 0) {
                self.put(*at, &bytes[..usize::try_from(part).map_err(|_| Errno::INVAL)?])?;
                cut.torn += 1;
            }
        }
        Ok(())
    }

    /// Each sector, or each page, for itself; what was appended only up to one place, unless there may be holes in it.
    fn any_of(
        &mut self,
        changes: &[Change],
        with_holes: bool,
        chance: &mut Chance,
        cut: &mut Cut,
    ) -> Result<(), Errno> {
        let unit = if chance.percent(50) { SECTOR } else { PAGE };
        let was = self.length;
        let ends = changes.iter().map(|change| match change {
            Change::Write { at, bytes } => at + bytes.len() as u64,
            Change::Length(_) => 0,
        });
        let farthest = ends.max().unwrap_or(0).max(was);
        // The border of a unit, or the very end.
        let reached = was + chance.below(farthest - was + unit);
        let reached = if reached >= farthest { farthest } else { (reached / unit * unit).max(was) };
        for change in changes {
            let (mut kept, mut lost) = (false, false);
            match change {
                Change::Length(_) if chance.percent(50) => {
                    self.apply(change)?;
                    kept = true;
                }
                Change::Length(_) => lost = true,
                Change::Write { at, bytes } => {
                    let (mut place, end) = (*at, at + bytes.len() as u64);
                    while place < end {
                        let border = if place < was { was } else { u64::MAX };
                        let next = ((place / unit + 1) * unit).min(end).min(border);
                        let of = |place: u64| usize::try_from(place - at).unwrap_or(usize::MAX);
                        let is_kept = if place < was || with_holes { chance.percent(50) } else { next <= reached };
                        if is_kept {
                            self.put(place, &bytes[of(place)..of(next)])?;
                            kept = true;
                        } else {
                            lost = true;
                        }
                        place = next;
                    }
                }
            }
            match (kept, lost) {
                (true, true) => cut.torn += 1,
                (true, false) => cut.kept += 1,
                _ => cut.lost += 1,
            }
        }
        if self.length < farthest && chance.percent(30) {
            let length = self.length + 1 + chance.below(farthest - self.length);
            self.apply(&Change::Length(length))?;
        }
        Ok(())
    }
}
