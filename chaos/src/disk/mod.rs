//! A disk for one node, as a file system of its own (FUSE): what was not synced can be lost, and calls can fail, lie or stall.
//! Why it is so stands in decision 0033. Never here: nodes, and when a fault comes.
//!
//! ```text
//! plantaod ── calls ──► mount.rs ──► Disk: faults.rs, then store.rs (names) ─► content.rs (bytes)
//! harness ─── lines ──► steer.rs ──►        │ synced
//!                                           ▼
//!                                   objects, plain files: what a power cut leaves
//! ```

mod content;
mod faults;
mod mount;
pub(crate) mod program;
mod steer;
mod store;

#[cfg(test)]
mod tests;

use faults::{Call, Faults, Verdict};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::Store;

/// What of the unsynced changes a power cut lets through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keep {
    /// None.
    Nothing,
    /// Of each file some from the oldest on, the next one torn; of all names some from the oldest on.
    First,
    /// Of each file any sectors over what was there, and a first part of what was appended, perhaps with zeros behind it; of each
    /// directory some names from the oldest on.
    Any,
    /// The same, and any sectors of what was appended too: so do file systems that let a file grow before its bytes are there.
    Holes,
}

/// What a power cut did to unsynced changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cut {
    /// Writes and lengths.
    pub(crate) lost: u64,
    pub(crate) kept: u64,
    /// Kept in part.
    pub(crate) torn: u64,
    /// Names that were made, moved or taken away.
    pub(crate) names_lost: u64,
    pub(crate) names_kept: u64,
}

/// One disk.
#[derive(Debug)]
pub(crate) struct Disk {
    state: Mutex<State>,
    /// Told when a fault ends, so that who waits in a stall goes on.
    healed: Condvar,
    objects: PathBuf,
}

#[derive(Debug)]
struct State {
    store: Store,
    faults: Faults,
}

impl Disk {
    /// An empty disk on the directory `objects`, which must be there and empty.
    pub(crate) fn new(objects: &Path, seed: u64) -> Self {
        let state = State { store: Store::new(objects.to_owned(), seed), faults: Faults::default() };
        Self { state: Mutex::new(state), healed: Condvar::new(), objects: objects.to_owned() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change is left half-way by a panic that would be met here: the disk is gone with its process then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call through, late or not at all, as the faults want it.
    fn admit(&self, call: Call, size: u64) -> Result<(MutexGuard<'_, State>, Verdict), Errno> {
        let mut state = self.state();
        if let Some(most) = state.faults.stall(call) {
            let until = Instant::now() + most;
            let epoch = state.faults.epoch();
            // A stall ends with its fault, or after its time.
            while state.faults.epoch() == epoch {
                let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                    break;
                };
                let waited = self.healed.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        if let Some((least, most)) = state.faults.latency(call) {
            let delay = state.store.delay_ms(least, most);
            drop(state);
            std::thread::sleep(Duration::from_millis(delay));
            state = self.state();
        }
        let verdict = state.faults.judge(call, size)?;
        Ok((state, verdict))
    }

    /// Reads of an open file.
    fn read(&self, handle: u64, at: u64, count: u64) -> Result<Vec<u8>, Errno> {
        let (mut state, verdict) = self.admit(Call::Read, 0)?;
        let mut bytes = state.store.read(handle, at, count)?;
        if verdict == Verdict::Spoil {
            state.store.spoil(&mut bytes);
        }
        Ok(bytes)
    }

    fn write(&self, handle: u64, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let (mut state, _) = self.admit(Call::Write, bytes.len() as u64)?;
        state.store.write(handle, at, bytes)
    }

    fn sync(&self, handle: u64) -> Result<(), Errno> {
        match self.admit(Call::Sync, 0) {
            Ok((_, Verdict::Lie)) => Ok(()),
            Ok((mut state, _)) => state.store.sync(handle),
            Err(error) => {
                // What could not be written is dropped, and the next sync says that all is well: so do systems.
                self.state().store.give_up(handle);
                Err(error)
            }
        }
    }

    fn sync_directory(&self, directory: u64) -> Result<(), Errno> {
        let (mut state, verdict) = self.admit(Call::Sync, 0)?;
        if verdict != Verdict::Lie {
            state.store.sync_directory(directory);
        }
        Ok(())
    }

    /// A call that changes names, lengths or rights.
    fn change<T>(&self, change: impl FnOnce(&mut Store) -> Result<T, Errno>) -> Result<T, Errno> {
        let (mut state, _) = self.admit(Call::Name, 0)?;
        change(&mut state.store)
    }

    /// A call that only looks.
    fn look<T>(&self, look: impl FnOnce(&mut Store) -> Result<T, Errno>) -> Result<T, Errno> {
        let (mut state, _) = self.admit(Call::Look, 0)?;
        look(&mut state.store)
    }

    /// Never waits and never fails: the system itself closes files.
    fn close(&self, handle: u64) {
        self.state().store.close(handle);
    }

    /// Changes the faults; whoever waits in a stall looks again.
    fn set<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        let told = change(&mut self.state().faults);
        self.healed.notify_all();
        told
    }
}

impl Disk {
    /// What it holds, once nobody uses it any more.
    fn into_store(self) -> Store {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).store
    }
}
