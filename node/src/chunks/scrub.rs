//! Reading every copy again, slowly, for ever: rot is found while another copy is good.
//!
//! ```text
//! partition with the oldest check ─► its copies that are due, by id ─► read from the disk, compare ─► times written
//! ```
//! There is no cursor beside the times of the checks: what was checked longest ago comes next, so a scrub that was
//! stopped goes on where it was, and a new copy does not wait a round. It reads no faster than its budget and looks at
//! nothing that was checked within the interval. What to do about a bad copy is not decided here: it is set aside, and
//! repair sees that it is missing.

use super::bucket::TokenBucket;
use super::directory::ChunkDirectory;
use super::error::{Fault, GetError};
use plantao_domain::ChunkId;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Times of checks are written at least this often, so that a stop costs at most so much of a scrub's work.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// How long an idle scrub waits before it looks again.
const IDLE_WAIT: Duration = Duration::from_secs(60);
/// How long it waits after the system could not be asked.
const UNSURE_WAIT: Duration = Duration::from_secs(5);

/// How fast and how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScrubOptions {
    /// Budget; at least 1.
    pub bytes_per_second: u64,
    /// A copy is checked again when its last check is so long ago.
    pub interval: Duration,
}

/// What one step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Looked at a copy.
    Checked {
        /// Which.
        id: ChunkId,
        /// What was wrong with it, if something was.
        fault: Option<Fault>,
    },
    /// Nothing may be read for this long: the budget is spent, or nothing is due.
    Wait(Duration),
}

/// The scrub of one chunk directory.
pub struct Scrub {
    directory: Arc<ChunkDirectory>,
    interval: Duration,
    bucket: TokenBucket,
    partition: Option<u8>,
    due: VecDeque<ChunkId>,
    saved: Instant,
}

impl Scrub {
    /// Begins at `now` with nothing saved up.
    pub fn new(directory: Arc<ChunkDirectory>, options: ScrubOptions, now: Instant) -> Self {
        // One second of budget may come at once, but a whole chunk always may.
        let burst = options.bytes_per_second.max(1 << 20);
        let bucket = TokenBucket::new(Some(options.bytes_per_second.max(1)), burst, now);
        Self { directory, interval: options.interval, bucket, partition: None, due: VecDeque::new(), saved: now }
    }

    /// Looks at the next copy if the budget allows. Blocks while it reads one chunk.
    pub fn step(&mut self, now: Instant) -> Step {
        if let Some(wait) = self.bucket.wait(now) {
            return Step::Wait(wait);
        }
        if now.saturating_duration_since(self.saved) >= SAVE_INTERVAL {
            self.save();
            self.saved = now;
        }
        loop {
            let Some(id) = self.due.pop_front() else {
                self.save();
                let Some((partition, due)) = self.directory.most_overdue(self.interval) else {
                    self.partition = None;
                    return Step::Wait(IDLE_WAIT.min(self.interval));
                };
                (self.partition, self.due) = (Some(partition), due.into());
                continue;
            };
            let fault = match self.directory.check(id) {
                Ok(bytes) => {
                    self.bucket.spend(bytes.len() as u64);
                    None
                }
                // Removed since the list was made.
                Err(GetError::Missing { .. }) => continue,
                Err(GetError::SetAside { fault, .. }) => {
                    self.bucket.spend(1 << 20);
                    Some(fault)
                }
                Err(GetError::Read { .. } | GetError::Stopped) => {
                    self.due.push_back(id);
                    return Step::Wait(UNSURE_WAIT);
                }
            };
            return Step::Checked { id, fault };
        }
    }

    fn save(&self) {
        if let Some(partition) = self.partition {
            // Tried again with the next one; what is lost at a stop is only the knowledge that these were checked.
            let _ = self.directory.save_checks(partition);
        }
    }

    /// Scrubs until it is told to stop. Each bad copy is told to `found`, which is for the log and for repair to hurry;
    /// when nobody takes it, it is not told, and repair finds it by itself.
    pub async fn run(mut self, found: mpsc::Sender<(ChunkId, Fault)>, stopping: CancellationToken) {
        while !stopping.is_cancelled() {
            let stepped = crate::work::blocking(move || {
                let step = self.step(Instant::now());
                (self, step)
            });
            let Ok((scrub, step)) = stepped.await else { return };
            self = scrub;
            match step {
                Step::Checked { id, fault: Some(fault) } => {
                    let _ = found.try_send((id, fault));
                }
                Step::Checked { fault: None, .. } => {}
                Step::Wait(wait) => {
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = stopping.cancelled() => {}
                    }
                }
            }
        }
        let _ = crate::work::blocking(move || self.save()).await;
    }
}

#[cfg(test)]
#[path = "scrub_tests.rs"]
mod tests;
