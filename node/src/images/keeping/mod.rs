//! What keeps the images whole by itself, on every node: what should be here is brought here, what is here is read again,
//! what nobody names goes away.
//!
//! ```text
//! rows: expected ──┐  not received: verify or fetch ─► put ─► PutReceipts      repair      newest first
//! directory: held ─┴─ received, and gone ──► fetch ─► put                      repair      at once
//!        ▲  scrub: every copy is read again on a budget; a bad one is set aside, told to repair
//!        └─ collect: tombstones of the state, after days ─► unlink ─► FinishGc;  orphans ─► PutTombstones
//! leader: ExpireIntents, DropPart                                              uploads
//!         RePlace of images with fewer places than nodes could give            placing
//! ```
//! Each node looks after its own directory only and asks others for what it lacks; nobody pushes. Never here: which nodes an
//! image is placed on, what a chunk file is (`chunks`), what counts as a receipt or allows an unlink (`domain::images`).

pub mod backlog;
mod bring;
mod collect;
mod placing;
mod repair;
mod report;
mod scrubbing;
#[cfg(test)]
pub(crate) mod testing;
mod uploads;
mod wanted;

pub use collect::collect;
pub use placing::place_anew;
pub use repair::repair;
pub use report::{DirectoryState, ImagesReport, NodeCopies};
pub use scrubbing::scrub;
pub use uploads::end_uploads;

use super::{ChunkPeers, LocalChunks};
use crate::chunks::scrub::ScrubOptions;
use crate::gateway::{Error, Gateway, propose_as_node};
use plantao_client::identity::Identity;
use plantao_domain::{ChunkId, Command, Outcome};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Chunks that a scrub found and repair has not taken up yet. More are not told: the next comparison finds them.
pub const FINDINGS_MAX: usize = 1_024;

/// For so long a bad copy is worth a warning.
const BAD_LATELY: Duration = Duration::from_secs(24 * 60 * 60);

/// How patient the keeping of this node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepingOptions {
    /// How fast and how often copies are read again.
    pub scrub: ScrubOptions,
    /// Between two comparisons of what should be here with what is here.
    pub compare_interval: Duration,
    /// From a tombstone until its chunk is unlinked.
    pub delete_after: Duration,
    /// Age at which a chunk that no part names counts as left over.
    pub orphan_after: Duration,
}

/// Counts since the start.
#[derive(Default, Debug)]
pub struct KeepingFigures {
    fetched: AtomicU64,
    fetched_bytes: AtomicU64,
    receipts: AtomicU64,
    without_source: AtomicU64,
    unlinked: AtomicU64,
    bad_at: Mutex<Option<Instant>>,
}

impl KeepingFigures {
    /// Chunks that were fetched from other nodes, and their bytes.
    pub fn fetched(&self) -> (u64, u64) {
        (self.fetched.load(Ordering::Relaxed), self.fetched_bytes.load(Ordering::Relaxed))
    }

    /// Receipts of parts that repair gave.
    pub fn receipts(&self) -> u64 {
        self.receipts.load(Ordering::Relaxed)
    }

    /// Chunks that should be here and that no node gave at the last try.
    pub fn without_source(&self) -> u64 {
        self.without_source.load(Ordering::Relaxed)
    }

    /// Whether a bad copy was found within the last day.
    pub fn bad_lately(&self) -> bool {
        let at = *self.bad_at.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| at.elapsed() < BAD_LATELY)
    }

    fn note_bad(&self) {
        *self.bad_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Chunks that were unlinked under tombstones.
    pub fn unlinked(&self) -> u64 {
        self.unlinked.load(Ordering::Relaxed)
    }
}

/// What the tasks of this folder share. Cheap to clone.
#[derive(Clone)]
pub struct Keeper {
    gateway: Gateway,
    identity: Identity,
    chunks: LocalChunks,
    peers: ChunkPeers,
    options: KeepingOptions,
    figures: Arc<KeepingFigures>,
}

impl Keeper {
    /// Of this node, which proposes as `identity`.
    pub fn new(
        gateway: Gateway,
        identity: Identity,
        chunks: LocalChunks,
        peers: ChunkPeers,
        options: KeepingOptions,
    ) -> Self {
        Self { gateway, identity, chunks, peers, options, figures: Arc::default() }
    }

    /// What was done since the start.
    pub fn figures(&self) -> &Arc<KeepingFigures> {
        &self.figures
    }

    /// The chunks of this node.
    pub fn chunks(&self) -> &LocalChunks {
        &self.chunks
    }

    async fn propose(&self, command: Command) -> Result<Outcome, Error> {
        propose_as_node(&self.gateway, &self.identity, command).await.map(|written| written.outcome)
    }
}

/// A chunk as log lines name it: the digest of sealed bytes says nothing of anybody.
fn named(id: &ChunkId) -> tracing::field::DisplayValue<&ChunkId> {
    tracing::field::display(id)
}
