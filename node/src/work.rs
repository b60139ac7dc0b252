//! Work that blocks: on threads made for it, so that no async thread ever waits for a disk.
//!
//! ```text
//! blocking(f)            one piece of work ─► tokio's blocking threads
//! Worker::start(queue)   everything of one queue, in order ─► a thread of its own
//! ```
//! A simulation has one thread and a clock of its own: there both run inline, as tasks ([`run_inline`]), and take no time.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle as ThreadHandle;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// For the whole process, and not an argument of some fifty calls: a program is a simulation as a whole or not at all.
static INLINE: AtomicBool = AtomicBool::new(false);

/// From now on everything here runs as tasks of the runtime that it is asked on. Before anything else, by a simulation.
pub fn run_inline() {
    INLINE.store(true, Ordering::Relaxed);
}

fn is_inline() -> bool {
    INLINE.load(Ordering::Relaxed)
}

/// Runs `work` where it may block. Needs a Tokio runtime. Dropping the handle does not end the work.
pub(crate) fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    if is_inline() { tokio::spawn(async move { work() }) } else { tokio::task::spawn_blocking(work) }
}

/// As [`blocking`], as one of `set`.
pub(crate) fn blocking_in<T: Send + 'static>(set: &mut JoinSet<T>, work: impl FnOnce() -> T + Send + 'static) {
    if is_inline() {
        set.spawn(async move { work() })
    } else {
        set.spawn_blocking(work)
    };
}

/// Runs a future whose steps block, where they may.
pub(crate) fn blocking_future<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    if is_inline() {
        return tokio::spawn(future);
    }
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(future))
}

/// What owns a queue and works through it until all its senders are gone. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Worker(Arc<Mutex<Option<ThreadHandle<()>>>>);

impl Worker {
    /// Starts it. `work` gets what waits, at most `group_max` at once and at least one, and has to empty it.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn start<J: Send + 'static>(
        name: &'static str,
        mut queue: mpsc::Receiver<J>,
        group_max: usize,
        mut work: impl FnMut(&mut Vec<J>) + Send + 'static,
    ) -> io::Result<Self> {
        let mut group = Vec::with_capacity(group_max);
        if is_inline() {
            tokio::spawn(async move {
                while queue.recv_many(&mut group, group_max).await > 0 {
                    work(&mut group);
                }
            });
            return Ok(Self(Arc::default()));
        }
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while queue.blocking_recv_many(&mut group, group_max) > 0 {
                work(&mut group);
            }
        })?;
        Ok(Self(Arc::new(Mutex::new(Some(thread)))))
    }

    /// Waits until its thread has ended, once the senders are gone. Blocks.
    pub(crate) fn join(&self) {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic in it was told to whoever waited for an answer.
            let _ = thread.join();
        }
    }
}
