//! The one thread that writes the log, and the one that keeps the watermark close behind it.
//!
//! ```text
//! append, vote, truncate, purge ──► queue ──► writer: seal ─► engine ─► one sync for all that queued up ─► callbacks
//!                                                                          │
//!                                                              watermark: with each vote and truncation,
//!                                                              else within a second
//! ```
//! The order on disk is what makes the watermark safe to believe: it follows the log when it goes up, and precedes it
//! when the log is cut. So a crash between the two leaves a log that is ahead, which is fine, and never one that
//! looks as if it had lost something.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::engine::Engine;
use super::image::Image;
use super::{Ballot, EntryId, LogEntry, WalError};
use crate::storage::seal::PayloadSeal;
use crate::storage::watermark::{Mark, Watermark};

/// How many queued jobs share one sync at most. Their bytes are bounded by the queue's permits.
const JOBS_PER_SYNC_MAX: usize = 4096;

/// What the caller's threads and the writer share.
pub(super) struct Shared {
    pub(super) image: Mutex<Image>,
    /// `None` once the log is closed.
    pub(super) engine: RwLock<Option<Engine>>,
    pub(super) seal: Arc<dyn PayloadSeal>,
    /// The first failure, for good.
    pub(super) failure: watch::Sender<Option<WalError>>,
}

impl Shared {
    pub(super) fn image(&self) -> MutexGuard<'_, Image> {
        // A panic while it is held is a failure of the writer, which is recorded; the reader's answer is that.
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn check(&self) -> Result<(), WalError> {
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }

    /// Poisons the log: a failed sync may have dropped dirty pages, so nothing written later can be trusted.
    fn fail(&self, error: &WalError) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                tracing::error!(error = %error, "the raft log stops");
                *failure = Some(error.clone());
            }
            first
        });
    }
}

type Callback = Box<dyn FnOnce(Result<(), WalError>) + Send>;

/// Called once with the outcome; with [`WalError::Closed`] if it is dropped before.
pub(super) struct Done(Option<Callback>);

impl Done {
    pub(super) fn new(callback: impl FnOnce(Result<(), WalError>) + Send + 'static) -> Self {
        Self(Some(Box::new(callback)))
    }

    pub(super) fn waiting() -> (Self, oneshot::Receiver<Result<(), WalError>>) {
        let (sender, receiver) = oneshot::channel();
        (Self::new(move |outcome| drop(sender.send(outcome))), receiver)
    }

    fn call(mut self, outcome: Result<(), WalError>) {
        if let Some(callback) = self.0.take() {
            callback(outcome);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            callback(Err(WalError::Closed));
        }
    }
}

pub(super) enum Job {
    Append { entries: Vec<LogEntry>, epoch: u64, permit: OwnedSemaphorePermit, done: Done },
    Vote { ballot: Ballot, done: Done },
    Committed(EntryId),
    Truncate { keep: Option<EntryId> },
    Purge { upto: EntryId },
    Close { done: Done },
}

/// What the watermark is to say next. The file has a lock of its own, taken first, so that noting a sync never waits
/// for the watermark's.
pub(super) struct Marker {
    file: Mutex<Watermark>,
    pending: Mutex<Pending>,
    wake: Condvar,
}

#[derive(Default)]
struct Pending {
    mark: Mark,
    dirty: bool,
    closing: bool,
}

impl Marker {
    pub(super) fn new(watermark: Watermark) -> Self {
        let pending = Pending { mark: watermark.mark(), ..Pending::default() };
        Self { file: Mutex::new(watermark), pending: Mutex::new(pending), wake: Condvar::new() }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is on disk now, to be written soon.
    fn note(&self, mark: Mark) {
        let mut pending = self.pending();
        if pending.mark != mark {
            pending.mark = mark;
            pending.dirty = true;
            self.wake.notify_one();
        }
    }

    /// Writes what was noted, if it was not yet written.
    fn write(&self) -> Result<(), WalError> {
        self.change(|_| ())
    }

    /// Goes back to `keep` before the log does; nothing to do if the mark had not come further.
    fn lower(&self, keep: Option<EntryId>) -> Result<(), WalError> {
        self.change(|pending| {
            if pending.mark.last > keep {
                pending.mark.last = keep;
                pending.dirty = true;
            }
        })
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) -> Result<(), WalError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (mark, dirty) = {
            let mut pending = self.pending();
            change(&mut pending);
            (pending.mark, std::mem::take(&mut pending.dirty))
        };
        if dirty {
            file.write(mark).map_err(|error| WalError::Watermark { source: Arc::new(error) })?;
        }
        Ok(())
    }

    fn close(&self) {
        self.pending().closing = true;
        self.wake.notify_one();
    }

    /// Writes what is noted, at most `interval` later, until closed.
    fn follow(&self, interval: Duration, shared: &Shared) {
        loop {
            let pending = self.pending();
            let pending = self.wake.wait_while(pending, |pending| !pending.dirty && !pending.closing);
            let pending = pending.unwrap_or_else(PoisonError::into_inner);
            // What else is noted meanwhile shares the write.
            let pending = self.wake.wait_timeout_while(pending, interval, |pending| !pending.closing);
            let (pending, _) = pending.unwrap_or_else(PoisonError::into_inner);
            let closing = pending.closing;
            drop(pending);
            if closing || shared.check().is_err() {
                return;
            }
            if let Err(error) = self.write() {
                shared.fail(&error);
                return;
            }
        }
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    marker: Arc<Marker>,
    jobs: mpsc::Receiver<Job>,
}

impl Writer {
    /// Starts both threads. The returned one ends, and has released the directory, once the queue's senders are gone or
    /// a `Close` was done.
    pub(super) fn spawn(
        shared: Arc<Shared>,
        marker: Marker,
        jobs: mpsc::Receiver<Job>,
        mark_interval: Duration,
    ) -> io::Result<JoinHandle<()>> {
        let marker = Arc::new(marker);
        let follower = {
            let (shared, marker) = (shared.clone(), marker.clone());
            std::thread::Builder::new()
                .name("raft-log-mark".to_owned())
                .spawn(move || marker.follow(mark_interval, &shared))?
        };
        let mut writer = Self { shared, marker, jobs };
        std::thread::Builder::new().name("raft-log-write".to_owned()).spawn(move || writer.run(follower))
    }

    fn run(&mut self, follower: JoinHandle<()>) {
        // Sealing is code of another module; if it panics, those who wait must hear of it.
        let close = catch_unwind(AssertUnwindSafe(|| self.serve())).unwrap_or_else(|_| {
            self.shared.fail(&WalError::Failed { source: Arc::new(io::Error::other("the writer panicked")) });
            None
        });
        self.jobs.close();
        self.marker.close();
        if follower.join().is_err() {
            tracing::error!("the watermark's thread panicked");
        }
        let closed = self.shared.check().and_then(|()| self.marker.write());
        if let Err(error) = &closed {
            self.shared.fail(error);
        }
        let engine = self.shared.engine.write().unwrap_or_else(PoisonError::into_inner).take();
        // Joins the engine's thread and releases its lock on the directory.
        drop(engine);
        if let Some(done) = close {
            done.call(closed);
        }
        while let Ok(job) = self.jobs.try_recv() {
            drop(job);
        }
    }

    /// Until the log is closed; returns who waits for that.
    fn serve(&mut self) -> Option<Done> {
        loop {
            let mut batch = vec![self.jobs.blocking_recv()?];
            while batch.len() < JOBS_PER_SYNC_MAX {
                match self.jobs.try_recv() {
                    Ok(job) => batch.push(job),
                    Err(_) => break,
                }
            }
            let mut close = None;
            let mut group = Group::default();
            let mut outcome = self.shared.check();
            for job in batch {
                if outcome.is_ok() {
                    outcome = self.write(&job, &mut group);
                }
                match job {
                    Job::Append { permit, done, .. } => group.waiting.push((done, Some(permit))),
                    Job::Vote { done, .. } => group.waiting.push((done, None)),
                    Job::Close { done } => close = Some(done),
                    Job::Committed(_) | Job::Truncate { .. } | Job::Purge { .. } => {}
                }
            }
            let outcome = outcome.and_then(|()| self.sync(&group));
            if let Err(error) = &outcome {
                self.shared.fail(error);
            }
            for (done, _permit) in group.waiting {
                done.call(outcome.clone());
            }
            if close.is_some() {
                return close;
            }
        }
    }

    /// Puts one job into the engine's buffers.
    fn write(&self, job: &Job, group: &mut Group) -> Result<(), WalError> {
        match job {
            Job::Append { entries, epoch, .. } => {
                group.sync = true;
                let sealed: Vec<_> = entries
                    .iter()
                    .map(|entry| (entry.id, self.shared.seal.seal(entry.id.index, &entry.payload)))
                    .collect();
                group.synced = entries.last().map(|last| (*epoch, last.id.index + 1)).or(group.synced);
                self.with_engine(|engine| sealed.into_iter().try_for_each(|(id, sealed)| engine.append(id, sealed)))
            }
            Job::Vote { ballot, .. } => {
                group.sync = true;
                group.vote = true;
                self.with_engine(|engine| engine.save_vote(*ballot))
            }
            Job::Committed(id) => {
                group.committed = Some(*id);
                Ok(())
            }
            Job::Truncate { keep } => {
                group.sync = true;
                group.synced = None;
                self.marker.lower(*keep)?;
                self.with_engine(|engine| engine.truncate_after(*keep))
            }
            Job::Purge { upto } => {
                group.sync = true;
                self.with_engine(|engine| engine.purge(*upto))
            }
            Job::Close { .. } => {
                group.sync = true;
                Ok(())
            }
        }
    }

    /// One sync for the whole group, and what may be said after it.
    fn sync(&self, group: &Group) -> Result<(), WalError> {
        if let Some(id) = group.committed {
            self.with_engine(|engine| engine.commit(id))?;
        }
        // How far entries were committed is a hint: it stays in the engine's buffer until the next sync takes it along,
        // instead of keeping the next append waiting for a write of its own.
        if !group.sync {
            return Ok(());
        }
        let (flushed, state) = self.with_engine(|engine| Ok((engine.flush()?, engine.state())))?;
        flushed.recv().unwrap_or_else(|_| Err(io::Error::other("the log engine has stopped"))).map_err(failed)?;
        self.marker.note(Mark { last: state.last, purged: state.purged, vote: state.vote });
        if group.vote {
            self.marker.write()?;
        }
        if let Some((epoch, end)) = group.synced {
            self.shared.image().synced(epoch, end);
        }
        Ok(())
    }

    fn with_engine<T>(&self, act: impl FnOnce(&mut Engine) -> io::Result<T>) -> Result<T, WalError> {
        let mut engine = self.shared.engine.write().unwrap_or_else(PoisonError::into_inner);
        act(engine.as_mut().ok_or(WalError::Closed)?).map_err(failed)
    }
}

/// What queued up during the previous sync.
#[derive(Default)]
struct Group {
    waiting: Vec<(Done, Option<OwnedSemaphorePermit>)>,
    sync: bool,
    vote: bool,
    committed: Option<EntryId>,
    /// The epoch of the last append, and the index after it.
    synced: Option<(u64, u64)>,
}

fn failed(source: io::Error) -> WalError {
    WalError::Failed { source: Arc::new(source) }
}
