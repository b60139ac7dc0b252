//! What nobody names goes away: chunks under a tombstone are unlinked after days, and chunks that no part ever named get
//! one. The only place of the node that unlinks a chunk, and the only one that may.
//!
//! ```text
//! tombstone of epoch E, made at T, waits for this directory
//!   read index from the leader answered, and applied here          cut off: nothing is unlinked
//!   T + delete_after is over in cluster time                        a local clock says nothing
//!   under the chunk's lock:
//!     the last put here came before this state had epoch E          else its receipt may count yet
//!     may_unlink: same tombstone, no part names it, no open upload of the patient
//! ─► unlink ─► FinishGc
//! ```
//! When this state came to E is known only for epochs that came while the process ran. For earlier ones the last put must lie
//! further back than any upload can: puts before the start count as made at the start.

use super::{Keeper, named};
use crate::chunks::{ChunkStore, Presence, Removal};
use crate::gateway::{Consistency, Error};
use plantao_domain::images::{self, ChunkEpoch, PART_CHUNKS_MAX, UPLOAD_MS_MAX, may_unlink};
use plantao_domain::planted::{Bug, planted};
use plantao_domain::rows::{self, PAGE_ROWS_MAX, StoreOf, TombstoneRow};
use plantao_domain::{ChunkId, ClusterTime, Command, Outcome, View, ViewFault};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tracing::{info, warn};

/// Between two notes of the deletion epoch: a put that is so young when a tombstone is made keeps its chunk for longer.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Between two passes, at most; shorter where chunks are kept for less.
const PASS_EVERY_MAX: Duration = Duration::from_secs(60);
/// Between two looks for left-over chunks, at most.
const ORPHANS_EVERY_MAX: Duration = Duration::from_secs(3_600);
/// Chunks that one pass unlinks.
const UNLINKS_MAX: usize = 2_048;
/// Left-over chunks that one pass tells.
const ORPHANS_MAX: usize = 4 * PART_CHUNKS_MAX;
/// Epochs of which it is known until when they were the latest.
const EPOCHS_MAX: usize = 4_096;
/// Puts are noted in whole seconds.
const ROUNDING: Duration = Duration::from_secs(2);
/// No receipt that is older counts for anything: an upload lasts seven days at most.
const UPLOAD_TIME_MAX: Duration = Duration::from_millis(UPLOAD_MS_MAX.unsigned_abs() + 24 * 60 * 60 * 1_000);
/// A leader that was heard longer ago may be none any more.
const CONTACT_MAX: Duration = Duration::from_secs(10);

/// Until when this node's state had which deletion epoch.
#[derive(Default)]
struct Epochs(VecDeque<(u64, Instant)>);

impl Epochs {
    /// The state has this epoch; it was read after `now`.
    fn note(&mut self, epoch: u64, now: Instant) {
        match self.0.back_mut() {
            Some((latest, until)) if *latest == epoch => *until = now,
            _ => {
                self.0.push_back((epoch, now));
                if self.0.len() > EPOCHS_MAX {
                    self.0.pop_front();
                }
            }
        }
    }

    /// The last instant at which the state was known to be before `epoch`.
    fn before(&self, epoch: u64) -> Option<Instant> {
        self.0.iter().rev().find(|(seen, _)| *seen < epoch).map(|(_, until)| *until)
    }

    /// How long ago a chunk's last put must be for a tombstone of `epoch`: then each receipt that was given for it names an
    /// earlier epoch, or can count for no upload any more.
    fn quiet_min(&self, epoch: u64, now: Instant) -> Duration {
        let since = self.before(epoch).map(|until| now.saturating_duration_since(until) + ROUNDING);
        since.unwrap_or(UPLOAD_TIME_MAX).min(UPLOAD_TIME_MAX)
    }
}

/// For as long as the node runs.
pub async fn collect(keeper: Keeper) {
    let mut epochs = Epochs::default();
    let pass_every = PASS_EVERY_MAX.min(keeper.options.delete_after / 4).max(NOTE_EVERY);
    let orphans_every = ORPHANS_EVERY_MAX.min(keeper.options.orphan_after / 4).max(NOTE_EVERY);
    let start = Instant::now();
    let (mut pass_at, mut orphans_at) = (start + pass_every, start + orphans_every);
    loop {
        let now = Instant::now();
        if let Ok(epoch) = images::gc_epoch(&**keeper.chunks.state()) {
            epochs.note(epoch, now);
        }
        if now >= pass_at {
            pass_at = now + pass_every;
            quietly(unlink_due(&keeper, &epochs).await);
        }
        if now >= orphans_at {
            orphans_at = now + orphans_every;
            quietly(tell_orphans(&keeper).await);
        }
        sleep(NOTE_EVERY).await;
    }
}

fn quietly(done: Result<(), Error>) {
    match done {
        // Cut off, or an election: nothing is deleted then.
        Ok(()) | Err(Error::Unavailable { .. } | Error::Busy | Error::Unknown) => {}
        Err(error) => warn!(%error, "left-over chunks cannot be collected"),
    }
}

/// This directory as the rows name it, if it counts; after the state was brought up to what a leader said.
async fn here(keeper: &Keeper) -> Result<Option<(StoreOf, ChunkStore)>, Error> {
    keeper.gateway.settle(Consistency::Linearizable).await?;
    let (registered, store) = (keeper.chunks.registered()?, keeper.chunks.store().cloned());
    let node = keeper.chunks.node();
    Ok(registered.zip(store).map(|(incarnation, store)| (StoreOf { node, incarnation }, store)))
}

/// Tombstones that wait for this directory and whose days are over.
fn due(
    view: &dyn View,
    us: StoreOf,
    now: ClusterTime,
    delete_after: Duration,
) -> Result<Vec<(ChunkId, TombstoneRow)>, ViewFault> {
    let delete_after_ms = i64::try_from(delete_after.as_millis()).unwrap_or(i64::MAX);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = rows::tombstones(view, after, PAGE_ROWS_MAX)?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = Some(*last);
        let is_last = page.len() < PAGE_ROWS_MAX;
        let is_due = |row: &TombstoneRow| {
            let is_over = row.at.millis().saturating_add(delete_after_ms) <= now.millis();
            row.waiting.contains(&us) && (is_over || planted(Bug::EpochIgnored))
        };
        found.extend(page.into_iter().filter(|(_, row)| is_due(row)));
        if is_last || found.len() >= UNLINKS_MAX {
            found.truncate(UNLINKS_MAX);
            return Ok(found);
        }
    }
}

async fn unlink_due(keeper: &Keeper, epochs: &Epochs) -> Result<(), Error> {
    if rows::images_head(&**keeper.chunks.state())?.tombstones == 0 {
        return Ok(());
    }
    let Some((us, store)) = here(keeper).await? else { return Ok(()) };
    let now = keeper.gateway.consensus().progress().time;
    let state = Arc::clone(keeper.chunks.state());
    let due = due(&*state, us, now, keeper.options.delete_after)?;
    let mut finished = Vec::new();
    for (chunk, row) in due {
        let what = ChunkEpoch { chunk, epoch: row.epoch };
        if store.directory().held(&chunk).is_none() {
            finished.push(what);
            continue;
        }
        let quiet_min = epochs.quiet_min(row.epoch, Instant::now());
        let consensus = keeper.gateway.consensus().clone();
        let is_led = move || consensus.leader_contact().is_some_and(|age| age <= CONTACT_MAX);
        let allows = allows(what, quiet_min, Arc::clone(&state), is_led);
        match store.remove(chunk, allows).await {
            Ok(Removal::Removed { bytes }) => {
                keeper.figures.unlinked.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(chunk = named(&chunk), bytes, epoch = row.epoch, "a chunk was unlinked");
                finished.push(what);
            }
            Ok(Removal::NotHere) => finished.push(what),
            Ok(Removal::Kept) => {}
            Err(error) => {
                warn!(error = format!("{:#}", anyhow::Error::new(error)), "a left-over chunk cannot be unlinked");
            }
        }
    }
    for chunks in finished.chunks(PART_CHUNKS_MAX) {
        let command = Command::FinishGc { node: us.node, chunks: chunks.to_vec() };
        if let Outcome::Rejected(rejection) = keeper.propose(command).await? {
            warn!(%rejection, "unlinked chunks were not taken note of");
        }
    }
    if !finished.is_empty() {
        info!(chunks = finished.len(), "this node is without chunks that were to be deleted");
    }
    Ok(())
}

/// The re-check, asked under the chunk's lock.
fn allows<V: View + Send + Sync + ?Sized + 'static>(
    what: ChunkEpoch,
    quiet_min: Duration,
    state: Arc<V>,
    is_led: impl FnOnce() -> bool + Send + 'static,
) -> impl FnOnce(&Presence) -> bool + Send + 'static {
    move |presence| {
        // Either rule keeps what the other one gives up, so a chunk that is named again is planted in both.
        let is_quiet = presence.quiet_for >= quiet_min || planted(Bug::EpochIgnored) || planted(Bug::NamedUnlinked);
        is_led() && is_quiet && may_unlink(&state, what).unwrap_or(false)
    }
}

/// Chunks of this directory that no part names, that are older than any upload, and for which no tombstone waits for this
/// directory; with the epoch of the tombstone that there is.
fn orphans(
    view: &dyn View,
    store: &ChunkStore,
    us: StoreOf,
    written_before: ClusterTime,
) -> Result<Vec<ChunkEpoch>, ViewFault> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.directory().list(after.as_ref(), PAGE_ROWS_MAX);
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.id);
        for held in &page {
            if rows::is_named(view, held.id)? {
                continue;
            }
            let tombstone = rows::tombstone(view, held.id)?;
            let waits = tombstone.as_ref().is_some_and(|row| row.waiting.contains(&us));
            let is_old = store.directory().written_at(&held.id).is_some_and(|at| at < written_before);
            if !waits && is_old {
                found.push(ChunkEpoch { chunk: held.id, epoch: tombstone.map_or(0, |row| row.epoch) });
                if found.len() >= ORPHANS_MAX {
                    return Ok(found);
                }
            }
        }
    }
}

async fn tell_orphans(keeper: &Keeper) -> Result<(), Error> {
    let Some((us, store)) = here(keeper).await? else { return Ok(()) };
    let now = keeper.gateway.clock().now().millis();
    let age = i64::try_from(keeper.options.orphan_after.as_millis()).unwrap_or(i64::MAX);
    let written_before = ClusterTime::saturating_from_millis(now.saturating_sub(age));
    let state = Arc::clone(keeper.chunks.state());
    // A hundred thousand look-ups: not on a thread that answers requests.
    let looking = crate::work::blocking(move || orphans(&*state, &store, us, written_before));
    let orphans = looking.await.map_err(|_| Error::Unknown)??;
    for chunks in orphans.chunks(PART_CHUNKS_MAX) {
        let command = Command::PutTombstones { node: us.node, chunks: chunks.to_vec() };
        match keeper.propose(command).await? {
            Outcome::Rejected(rejection) => warn!(%rejection, "left-over chunks were not taken note of"),
            _ => info!(chunks = chunks.len(), "chunks that no image names are deleted after some days"),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
