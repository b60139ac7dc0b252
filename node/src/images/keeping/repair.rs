//! Brings here what should be here and is not: after a start, days away, a new directory, rot, a file that somebody removed.
//!
//! ```text
//! every second: backlog in the store's row? ─► parts without a receipt, newest first ─┐
//! now and then, and after each finding: chunks with a receipt that are gone ──────────┴─► lanes ─► 4 at once ─► here
//!                                                       all chunks of a part are here ─► receipt ─► in batches, the log
//! ```
//! Nothing is remembered across a start: what is missing shows in the rows and in the directory. A receipt carries the
//! smallest deletion epoch that was read before any of its chunks was verified, and one incarnation.

use super::bring::{BringError, Failing, Source, pause};
use super::wanted::{self, CompareError, WantedPart};
use super::{Keeper, named};
use crate::chunks::Fault;
use crate::chunks::lanes::{Lane, Lanes, Waiting};
use crate::gateway::Error;
use crate::images::ChunkReceipt;
use crate::work::blocking_in;
use plantao_domain::images::{RECEIPTS_MAX, Receipt};
use plantao_domain::rows::{self, Amount, PartOf};
use plantao_domain::{ChunkId, ClusterTime, Command, Outcome, PartDigest, StoreIncarnation, ViewFault};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

/// Chunks that wait here; what has no room is found again.
const WAITING_MAX: usize = 4_096;
/// Chunks on their way here: 4 MiB. Over a thin link one.
const UNDER_WAY_MAX: usize = 4;
/// Chunks that are looked at for one that need not wait for a thin link.
const HELD_BACK_MAX: usize = 16;
/// Between two looks at whether anything is missing: one row.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long receipts wait for company while there is more to bring.
const GATHER: Duration = Duration::from_secs(1);
/// A backlog that did not move is listed again after this.
const LIST_EVERY: Duration = Duration::from_secs(10);
/// Whoever takes an image gives every placed node its copy for a moment after the commit; then repair looks after it.
const GRACE_MS: i64 = 10_000;
/// Images of this age and less go ahead of the rest.
const FRESH_MS: i64 = 48 * 60 * 60 * 1_000;
/// After a part could not be completed, doubled up to the longest.
const RETRY_MIN: Duration = Duration::from_secs(2);
/// See [`RETRY_MIN`].
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Parts that are remembered to be tried later; when there are more, all are tried again.
const LATER_MAX: usize = 8_192;
/// After a failed comparison, or when lost chunks found no source.
const COMPARE_AGAIN: Duration = Duration::from_secs(30);

/// A part that is being completed.
struct PartWork {
    digest: PartDigest,
    remaining: BTreeSet<ChunkId>,
    incarnation: Option<StoreIncarnation>,
    epoch: u64,
}

enum Done {
    Brought(Waiting, Result<ChunkReceipt, BringError>, bool),
    Proposed(Vec<Receipt>, Result<Outcome, Error>),
    Listed(Result<Vec<WantedPart>, ViewFault>),
    Compared(Result<Vec<(ChunkId, u32)>, CompareError>),
}

struct Repair {
    keeper: Keeper,
    registered: StoreIncarnation,
    lanes: Lanes,
    parts: BTreeMap<PartOf, PartWork>,
    /// Which parts wait for a chunk; none for one that had a receipt and was lost.
    parts_of: BTreeMap<ChunkId, BTreeSet<PartOf>>,
    under_way: BTreeSet<ChunkId>,
    thin_under_way: bool,
    later: BTreeMap<PartOf, (u32, Instant)>,
    failing: Failing,
    receipts: Vec<Receipt>,
    receipts_since: Instant,
    proposing: bool,
    listing: bool,
    listed: Option<(Amount, Instant)>,
    comparing: bool,
    compare_at: Instant,
    bad_seen: u64,
    /// Chunks that nobody had at the last try.
    without_source: BTreeSet<ChunkId>,
    jobs: JoinSet<Done>,
}

/// For as long as the node runs. `findings` are bad copies that a scrub set aside.
pub async fn repair(keeper: Keeper, mut findings: mpsc::Receiver<(ChunkId, Fault)>) {
    let mut bad_seen = 0;
    loop {
        // Without a directory that counts there is nothing to bring; it registers itself.
        match keeper.chunks.registered() {
            Ok(Some(registered)) => {
                bad_seen = Repair::new(keeper.clone(), registered, bad_seen).run(&mut findings).await;
            }
            Ok(None) | Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

impl Repair {
    fn new(keeper: Keeper, registered: StoreIncarnation, bad_seen: u64) -> Self {
        Self {
            keeper,
            registered,
            lanes: Lanes::new(WAITING_MAX),
            parts: BTreeMap::new(),
            parts_of: BTreeMap::new(),
            under_way: BTreeSet::new(),
            thin_under_way: false,
            later: BTreeMap::new(),
            failing: Failing::default(),
            receipts: Vec::new(),
            receipts_since: Instant::now(),
            proposing: false,
            listing: false,
            listed: None,
            comparing: false,
            compare_at: Instant::now(),
            bad_seen,
            without_source: BTreeSet::new(),
            jobs: JoinSet::new(),
        }
    }

    /// Until the directory is another one. Gives back how many bad copies it has seen.
    async fn run(mut self, findings: &mut mpsc::Receiver<(ChunkId, Fault)>) -> u64 {
        let mut look_at = Instant::now();
        loop {
            let now = Instant::now();
            if now >= look_at {
                look_at = now + LOOK_EVERY;
                match self.keeper.chunks.registered() {
                    Ok(Some(registered)) if registered == self.registered => self.look(now),
                    Ok(_) => return self.bad_seen,
                    // Asked again with the next look; a state that is lost stops the node elsewhere.
                    Err(_) => {}
                }
            }
            self.start_jobs();
            self.send_receipts();
            tokio::select! {
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => match done {
                    Ok(done) => self.settle(done),
                    // A panic, told by the runtime: begin anew, what is missing shows in the rows.
                    Err(_) => return self.bad_seen,
                },
                Some((id, _)) = findings.recv() => self.found(id),
                () = sleep_until(look_at) => {}
            }
        }
    }

    /// One row says whether anything is missing; lists are made only then.
    fn look(&mut self, now: Instant) {
        let state = self.keeper.chunks.state();
        let Ok(Some(store)) = rows::live_store(&**state, self.keeper.chunks.node()) else { return };
        let is_moved = self.listed.is_none_or(|(expected, at)| expected != store.expected || now >= at + LIST_EVERY);
        if store.expected != store.received && !self.listing && is_moved && self.waiting() < WAITING_MAX / 2 {
            self.list(store.expected, now);
        }
        let bad: u64 = self.keeper.chunks.store().map_or(0, |store| store.directory().bad_count());
        if bad != self.bad_seen {
            // Whoever read it is served by another node; here it is missing now.
            self.bad_seen = bad;
            self.keeper.figures.note_bad();
            self.compare_at = now;
        }
        if now >= self.compare_at && !self.comparing {
            self.compare(now);
        }
    }

    fn waiting(&self) -> usize {
        let waiting: u64 = self.lanes.backlog().chunks.iter().sum();
        usize::try_from(waiting).unwrap_or(usize::MAX)
    }

    fn list(&mut self, expected: Amount, now: Instant) {
        self.listing = true;
        self.listed = Some((expected, now));
        self.later.retain(|_, (_, until)| now < *until + RETRY_MAX);
        if self.later.len() > LATER_MAX {
            self.later.clear();
        }
        let resting = self.later.iter().filter(|(_, (_, until))| now < *until).map(|(of, _)| *of);
        let skip: BTreeSet<PartOf> = resting.chain(self.parts.keys().copied()).collect();
        let (state, node) = (Arc::clone(self.keeper.chunks.state()), self.keeper.chunks.node());
        let registered = self.registered;
        let before = self.keeper.gateway.consensus().time().millis().saturating_sub(GRACE_MS);
        let mut room = WAITING_MAX.saturating_sub(self.waiting());
        blocking_in(&mut self.jobs, move || {
            let before = ClusterTime::saturating_from_millis(before);
            let enough = |part: &WantedPart| {
                room = room.saturating_sub(part.row.chunks.len());
                room == 0
            };
            Done::Listed(wanted::unreceived(&*state, node, registered, before, &skip, enough))
        });
    }

    fn compare(&mut self, now: Instant) {
        self.comparing = true;
        self.compare_at = now + self.keeper.options.compare_interval;
        let Some(store) = self.keeper.chunks.store().cloned() else { return };
        let (state, node) = (Arc::clone(self.keeper.chunks.state()), self.keeper.chunks.node());
        let registered = self.registered;
        blocking_in(&mut self.jobs, move || {
            let mut lost = Vec::new();
            for partition in 0..=u8::MAX {
                match wanted::lost(&*state, store.directory(), node, registered, partition) {
                    Ok(found) => lost.extend(found),
                    Err(error) => return Done::Compared(Err(error)),
                }
                if lost.len() >= WAITING_MAX {
                    break;
                }
            }
            Done::Compared(Ok(lost))
        });
    }

    /// A part comes to wait with all its chunks.
    fn add(&mut self, part: WantedPart) {
        let WantedPart { of, committed_at, row } = part;
        let age = self.keeper.gateway.consensus().time().millis().saturating_sub(committed_at.millis());
        let lane = if age < FRESH_MS { Lane::Fresh } else { Lane::Backlog };
        let sizes: BTreeMap<ChunkId, u32> = row.chunks.iter().map(|entry| (entry.chunk, entry.stored_bytes)).collect();
        let remaining = sizes.keys().copied().collect();
        self.parts.insert(of, PartWork { digest: row.digest, remaining, incarnation: None, epoch: u64::MAX });
        for (id, bytes) in sizes {
            self.parts_of.entry(id).or_default().insert(of);
            if !self.under_way.contains(&id) {
                self.push(Waiting { id, bytes, lane, taken_at: committed_at });
            }
        }
    }

    fn push(&mut self, chunk: Waiting) {
        if let Some(Waiting { id, .. }) = self.lanes.push(chunk) {
            // The oldest had no room. Its parts are found again; their other chunks are still worth having.
            for of in self.parts_of.remove(&id).unwrap_or_default() {
                self.parts.remove(&of);
            }
        }
    }

    /// A bad copy was set aside.
    fn found(&mut self, id: ChunkId) {
        let (state, node) = (self.keeper.chunks.state(), self.keeper.chunks.node());
        // What nobody names, or an open upload brings again by itself, is not fetched.
        if wanted::is_expected(&**state, node, id).unwrap_or(false) && !self.under_way.contains(&id) {
            self.hurry(id, 1 << 20);
        }
    }

    fn hurry(&mut self, id: ChunkId, bytes: u32) {
        if !self.under_way.contains(&id) {
            self.push(Waiting { id, bytes, lane: Lane::Fresh, taken_at: ClusterTime::MAX });
        }
    }

    fn start_jobs(&mut self) {
        // Those that wait for a thin link let others pass, a few.
        let mut held_back = Vec::new();
        while self.under_way.len() < UNDER_WAY_MAX && held_back.len() < HELD_BACK_MAX {
            let Some(chunk) = self.lanes.pop() else { break };
            let source = match self.keeper.source(&self.failing, chunk.id) {
                Ok(source) => source,
                Err(error) => {
                    self.brought(chunk, Err(error));
                    continue;
                }
            };
            let is_thin = matches!(source, Source::Others(_, true));
            if is_thin && self.thin_under_way {
                // One at a time: a newer one may come before its turn does.
                held_back.push(chunk);
                continue;
            }
            self.thin_under_way |= is_thin;
            self.under_way.insert(chunk.id);
            let (keeper, failing) = (self.keeper.clone(), self.failing.clone());
            self.jobs.spawn(async move {
                let brought = keeper.bring(&failing, chunk, source).await;
                Done::Brought(chunk, brought, is_thin)
            });
        }
        for chunk in held_back {
            self.push(chunk);
        }
    }

    fn settle(&mut self, done: Done) {
        match done {
            Done::Brought(chunk, brought, was_thin) => {
                self.under_way.remove(&chunk.id);
                if was_thin {
                    self.thin_under_way = false;
                }
                self.brought(chunk, brought);
            }
            Done::Proposed(receipts, proposed) => self.proposed(receipts, proposed),
            Done::Listed(listed) => {
                self.listing = false;
                for part in listed.unwrap_or_default() {
                    self.add(part);
                }
            }
            Done::Compared(compared) => {
                self.comparing = false;
                match compared {
                    Ok(lost) => {
                        if !lost.is_empty() {
                            warn!(chunks = lost.len(), "chunks are gone from the chunk directory; they are fetched");
                        }
                        self.without_source.retain(|id| lost.iter().any(|(lost, _)| lost == id));
                        self.note_without_source();
                        for (id, bytes) in lost {
                            self.hurry(id, bytes);
                        }
                    }
                    Err(error) => {
                        warn!(error = %anyhow::Error::new(error), "what is here cannot be compared with what should be");
                        self.compare_at = Instant::now() + COMPARE_AGAIN;
                    }
                }
            }
        }
    }

    fn note_without_source(&self) {
        self.keeper.figures.without_source.store(self.without_source.len() as u64, Ordering::Relaxed);
    }

    fn brought(&mut self, chunk: Waiting, brought: Result<ChunkReceipt, BringError>) {
        let id = chunk.id;
        let waiting = self.parts_of.remove(&id).unwrap_or_default();
        match brought {
            Ok(receipt) => {
                self.without_source.remove(&id);
                for of in waiting {
                    self.complete(of, id, receipt);
                }
            }
            Err(error) => {
                let is_lost = waiting.is_empty();
                for of in waiting {
                    self.parts.remove(&of);
                    self.put_off(of);
                }
                match error {
                    BringError::NotWanted => return,
                    BringError::NoCopy if self.without_source.len() < WAITING_MAX => {
                        if self.without_source.insert(id) {
                            warn!(chunk = named(&id), "no node has a good copy of a chunk that should be here");
                        }
                    }
                    BringError::Keep(error) => {
                        warn!(error = format!("{:#}", anyhow::Error::new(error)), "a repaired chunk was not kept");
                    }
                    BringError::NoCopy | BringError::NoAnswer | BringError::State(_) => {}
                }
                if is_lost {
                    self.compare_at = self.compare_at.min(Instant::now() + COMPARE_AGAIN);
                }
            }
        }
        self.note_without_source();
    }

    fn put_off(&mut self, of: PartOf) {
        let now = Instant::now();
        let (times, until) = self.later.entry(of).or_insert((0, now));
        *until = now + pause(*times, RETRY_MIN, RETRY_MAX);
        *times = times.saturating_add(1);
    }

    /// One more chunk of a part is here.
    fn complete(&mut self, of: PartOf, id: ChunkId, receipt: ChunkReceipt) {
        let Some(part) = self.parts.get_mut(&of) else { return };
        if part.incarnation.is_some_and(|incarnation| incarnation != receipt.incarnation) {
            // The directory was made anew in between: the part is found again.
            self.parts.remove(&of);
            return;
        }
        part.incarnation = Some(receipt.incarnation);
        part.epoch = part.epoch.min(receipt.gc_epoch);
        part.remaining.remove(&id);
        if !part.remaining.is_empty() {
            return;
        }
        let (digest, gc_epoch) = (part.digest, part.epoch);
        self.parts.remove(&of);
        // So that it is not begun again before the log and this state have it.
        self.put_off(of);
        if self.receipts.is_empty() {
            self.receipts_since = Instant::now();
        }
        self.receipts.push(Receipt {
            upload: of.upload,
            part: of.part,
            node: self.keeper.chunks.node(),
            incarnation: receipt.incarnation,
            digest,
            gc_epoch,
        });
    }

    /// In batches while there is more to bring, and at once when there is not.
    fn send_receipts(&mut self) {
        let is_idle = self.under_way.is_empty() && self.lanes.next_lane().is_none();
        let is_old = self.receipts_since.elapsed() >= GATHER;
        let is_due = is_idle || is_old || self.receipts.len() >= RECEIPTS_MAX / 4;
        if self.proposing || self.receipts.is_empty() || !is_due {
            return;
        }
        self.proposing = true;
        let count = self.receipts.len().min(RECEIPTS_MAX);
        let receipts: Vec<Receipt> = self.receipts.drain(..count).collect();
        let keeper = self.keeper.clone();
        self.jobs.spawn(async move {
            let proposed = keeper.propose(Command::PutReceipts { receipts: receipts.clone() }).await;
            if proposed.is_err() {
                // No leader, most likely: not again at once.
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Done::Proposed(receipts, proposed)
        });
    }

    fn proposed(&mut self, receipts: Vec<Receipt>, proposed: Result<Outcome, Error>) {
        self.proposing = false;
        match proposed {
            Ok(Outcome::Rejected(rejection)) => {
                // Of a directory or an epoch from before; the parts are verified again when they are found again.
                info!(%rejection, receipts = receipts.len(), "receipts of repaired parts do not count");
            }
            Ok(_) => {
                self.keeper.figures.receipts.fetch_add(receipts.len() as u64, Ordering::Relaxed);
            }
            Err(error) => {
                if !matches!(error, Error::Unavailable { .. } | Error::Busy | Error::Unknown) {
                    warn!(%error, "receipts of repaired parts do not reach the log");
                }
                // Saying them twice is harmless.
                self.receipts.extend(receipts);
            }
        }
    }
}
