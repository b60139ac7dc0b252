//! One directory sync for everybody who waits for it.
//!
//! ```text
//! A: name, ask 1 ─► leads: sync ────────────────► done 1
//! B:    name, ask 2 ─► waits ···················· leads: sync (B and C) ─► done 3
//! C:       name, ask 3 ─► waits ················· waits ─────────────────► done 3
//! ```
//! A sync serves whoever had asked before it began: a name that was given during it may or may not be in it.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Default)]
pub(super) struct GroupSync {
    state: Mutex<State>,
    turned: Condvar,
}

#[derive(Default)]
struct State {
    asked: u64,
    done: u64,
    running: bool,
    broken: bool,
}

/// Why what was named may not be durable. It never becomes so by asking again: the system may have dropped the pages.
#[derive(Debug)]
pub(super) enum SyncFailure {
    /// The sync of this caller failed.
    Here(io::Error),
    /// Somebody else's did, now or earlier.
    Elsewhere,
}

impl GroupSync {
    /// Returns when a run of `sync` that began after this call has succeeded.
    pub(super) fn run(&self, sync: impl Fn() -> io::Result<()>) -> Result<(), SyncFailure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked += 1;
        let ticket = state.asked;
        loop {
            if state.broken {
                return Err(SyncFailure::Elsewhere);
            }
            if state.done >= ticket {
                return Ok(());
            }
            if state.running {
                state = self.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.running = true;
            let served = state.asked;
            drop(state);
            let result = sync();
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.running = false;
            match result {
                Ok(()) => state.done = served,
                Err(_) => state.broken = true,
            }
            self.turned.notify_all();
            if let Err(source) = result {
                return Err(SyncFailure::Here(source));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;

    /// The first sync is held until seven more have asked: these share one or two, not seven.
    #[test]
    fn whoever_asks_during_a_sync_shares_the_next_one() {
        let group = GroupSync::default();
        let runs = AtomicU32::new(0);
        let (begun, first_runs) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        std::thread::scope(|scope| {
            let (group, runs, held) = (&group, &runs, &held);
            scope.spawn(move || {
                let sync = || {
                    runs.fetch_add(1, Ordering::SeqCst);
                    begun.send(()).unwrap();
                    held.lock().unwrap().recv().unwrap();
                    Ok(())
                };
                group.run(sync).unwrap();
            });
            first_runs.recv().unwrap();
            for _ in 0..7 {
                scope.spawn(move || {
                    let sync = || {
                        runs.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    };
                    group.run(sync).unwrap();
                });
            }
            while group.state.lock().unwrap().asked < 8 {
                std::thread::yield_now();
            }
            release.send(()).unwrap();
        });
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn after_a_failed_sync_nobody_is_told_that_it_worked() {
        let group = GroupSync::default();
        let failing = group.run(|| Err(io::Error::other("no disk")));
        assert!(matches!(failing, Err(SyncFailure::Here(_))));
        assert!(matches!(group.run(|| Ok(())), Err(SyncFailure::Elsewhere)));
    }
}
