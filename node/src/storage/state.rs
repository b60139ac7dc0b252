//! The queryable state: the rows that the log makes, at exactly one log index. It is a cache of the log, so whatever
//! cannot be trusted is set aside and rebuilt. Rules never live here, and no engine is named here.
//!
//! ```text
//! StateStore (this file)         what the rest of the node uses, as Arc<dyn StateStore>
//!   └ SealedState (state/sealed)   every rail: seal, split, count, digest, meta row, poison, freeze, install
//!       └ Engine (state/engine)      raw bytes; state_fjall and state_sled implement it
//! ```

use super::fs::FsError;
use plantao_domain::view::Row;
use plantao_domain::{Changes, View};
use std::sync::Arc;

mod cache;
pub mod engine;
pub(crate) mod fill;
pub(crate) mod meta;
mod past;
pub(crate) mod rows;
pub(crate) mod sealed;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stdout)]
pub(crate) mod tests;
mod windows;

pub use fill::{OpenEngine, engines};

/// Which engine holds the rows. Both pass the same suites and agree by digest (decision 0005).
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// The default on units.
    Fjall,
    /// The default on the off-site node.
    Sled,
}

/// Longest value of one row, in bytes. A log entry is at most 64 KiB, so rules stay far below.
pub const ROW_BYTES_MAX: usize = 256 * 1024;
/// Longest encoded membership, in bytes.
pub const MEMBERSHIP_BYTES_MAX: usize = 64 * 1024;

/// The place of an entry in the Raft log, with the leader that wrote it. Ordered as Raft orders entries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct EntryId {
    /// Raft term.
    pub term: u64,
    /// Id of the node that led that term.
    pub node: u64,
    /// Place in the log.
    pub index: u64,
}

/// What is written with every batch, in the same atomic write.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StateMeta {
    /// The last entry whose changes are in the rows; `None` in a state that applied nothing.
    pub applied: Option<EntryId>,
    /// The last applied membership as consensus encodes it, at most [`MEMBERSHIP_BYTES_MAX`]; empty when there was
    /// none.
    pub membership: Vec<u8>,
    /// Chain digest over applied entries, as the domain computes it.
    pub chain: [u8; 32],
    /// How many domain rows there are.
    pub rows: u64,
    /// Content digest over all rows: see [`crate::storage::state::digest`].
    pub content: [u8; 32],
    /// Last cluster time that an applied entry carried, in milliseconds UTC.
    pub last_time: i64,
}

/// The changes of one group of applied entries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// Rows to put and delete. Keys are domain keys ([`super::keyspaces::is_domain_key`]), values at most
    /// [`ROW_BYTES_MAX`].
    pub changes: Changes,
    /// The last entry of the group; its index is above that of the batch before.
    pub applied: EntryId,
    /// The new membership when the group holds one.
    pub membership: Option<Vec<u8>>,
    /// Chain digest after the group.
    pub chain: [u8; 32],
    /// Last cluster time of the group, in milliseconds UTC.
    pub last_time: i64,
}

/// Why the state could not be read or written. After any of the kinds that [`Error::is_fatal`] names, the store answers
/// only `Poisoned`: the node stops and the next start verifies, or rebuilds, the state.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller is at fault: entries are applied once, in order.
    #[error("entry {offered} is not above the applied entry {applied}")]
    OutOfOrder {
        /// Index that the rows are at.
        applied: u64,
        /// Index of the batch or snapshot.
        offered: u64,
    },
    /// The caller is at fault: such a key belongs to the store, or is too long.
    #[error("a row key with the first byte {first:#04x} and {length} bytes is not a domain key")]
    Key {
        /// First byte; 0 for an empty key.
        first: u8,
        /// Length in bytes.
        length: usize,
    },
    /// The caller is at fault: see [`ROW_BYTES_MAX`] and [`MEMBERSHIP_BYTES_MAX`].
    #[error("a value of {bytes} bytes is longer than the limit of {limit}")]
    TooLong {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The engine reported a fault.
    #[error("the state engine cannot {operation}")]
    Engine {
        /// What was tried: `read`, `write`, `sync`, …
        operation: &'static str,
        /// Its error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process has the engine's directory open. Nothing was touched.
    #[error("the state directory is in use by another process")]
    Busy,
    /// Another version laid the rows out in another way: they are made again from snapshot and log.
    #[error("the state directory has the layout of an earlier version")]
    EarlierLayout,
    /// The engine panicked; the directory is marked, and the next start sets it aside.
    #[error("the state engine panicked during {operation}")]
    Panicked {
        /// What was tried.
        operation: &'static str,
    },
    /// A row does not open, or its parts do not fit: the state cannot be trusted.
    #[error("a state row of kind {prefix:#04x} is damaged")]
    Damaged {
        /// First byte of its key.
        prefix: u8,
    },
    /// An earlier fault made the store unusable until the next start.
    #[error("the state store stopped after an earlier fault")]
    Poisoned,
    /// A file beside the engine could not be read or written.
    #[error(transparent)]
    File(#[from] FsError),
    /// The frozen view had to keep more old values than its bound while it was read: freeze again.
    #[error("the frozen view ended because too much changed while it was read")]
    FreezeOverflow,
    /// The rows that were offered do not have the count and digest that came with them; nothing was changed.
    #[error("the snapshot's rows do not match its count and digest")]
    SnapshotMismatch,
}

impl Error {
    /// Whether the store is unusable from here on: the caller stops the node.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Engine { .. } | Self::Panicked { .. } | Self::Damaged { .. } | Self::Poisoned | Self::File(_)
        )
    }
}

/// The rows, readable and writable. `get` and `range` each see one index, never half a batch; use [`StateStore::read`]
/// for several reads at one index. All calls block on disk: never call them on an async worker for long scans.
pub trait StateStore: View + Send + Sync {
    /// Writes one group atomically: rows, count, content digest and meta. It is durable only after
    /// [`StateStore::checkpoint`]; the log replays what a crash loses.
    fn apply(&self, batch: &Batch) -> Result<(), Error>;

    /// What the rows are at.
    fn meta(&self) -> Arc<StateMeta>;

    /// How many rows there are.
    fn count(&self) -> u64 {
        self.meta().rows
    }

    /// Runs short reads at one index, whose meta is passed with them. Applies wait meanwhile: for anything longer than
    /// a few milliseconds use [`StateStore::freeze`]. The closure must not call the store itself.
    fn read(&self, reader: &mut dyn FnMut(&dyn View, &StateMeta));

    /// Makes everything applied so far durable, then notes it in CHECKPOINT. Applies go on meanwhile.
    fn checkpoint(&self) -> Result<Arc<StateMeta>, Error>;

    /// The last durable checkpoint.
    fn checkpointed(&self) -> Option<EntryId>;

    /// All rows as they are now, for as long as the view lives, while applies go on.
    fn freeze(&self) -> Result<Box<dyn Frozen>, Error>;

    /// Replaces everything by the rows of a verified snapshot. A crash at any point leaves the old rows or the new.
    /// Refuses (with `OutOfOrder`) a snapshot behind the applied index.
    fn install(&self, meta: &StateMeta, rows: &mut dyn RowSource) -> Result<(), Error>;

    /// `Ok` while the store works; `Poisoned` after a fault, including one in an engine's own threads.
    fn health(&self) -> Result<(), Error>;
}

/// All rows at one index, read once, from another thread and for as long as it takes.
pub trait Frozen: Send + Sync {
    /// The index and digests of these rows.
    fn meta(&self) -> &Arc<StateMeta>;

    /// The next rows, in key order, until `bytes_max` of keys and values are gathered; at least one row, none at the end.
    ///
    /// # Errors
    /// [`Error::FreezeOverflow`] ends the view alone; any other error stops the store.
    fn part(&mut self, bytes_max: usize) -> Result<Vec<Row>, Error>;
}

/// Rows that come in key order in bounded parts.
pub trait RowSource {
    /// The next rows; none at the end.
    fn next_rows(&mut self) -> Result<Vec<Row>, Error>;
}

/// The content digest: the sum, over all rows, of BLAKE3 of `key length u32 LE | key | value`, as four u64 lanes
/// (little endian, wrapping). A sum has no order, so a batch updates it from the rows that it changes alone, and two
/// engines with the same rows agree whatever their layout. It finds lost and rotten rows; it is no defence against a
/// forger, who is kept out by sealing.
pub mod digest {
    /// The digest of no rows.
    pub const EMPTY: [u8; 32] = [0; 32];

    fn lanes(bytes: &[u8; 32]) -> [u64; 4] {
        let mut lanes = [0_u64; 4];
        for (lane, chunk) in lanes.iter_mut().zip(bytes.chunks_exact(8)) {
            *lane = u64::from_le_bytes(chunk.try_into().expect("chunks_exact gives 8 bytes"));
        }
        lanes
    }

    fn combine(sum: &mut [u8; 32], row: &[u8; 32], operation: fn(u64, u64) -> u64) {
        let (left, right) = (lanes(sum), lanes(row));
        for ((chunk, left), right) in sum.chunks_exact_mut(8).zip(left).zip(right) {
            chunk.copy_from_slice(&operation(left, right).to_le_bytes());
        }
    }

    /// The digest of one row.
    pub fn row(key: &[u8], value: &[u8]) -> [u8; 32] {
        let length = u32::try_from(key.len()).expect("domain keys are at most KEY_BYTES_MAX long");
        let mut hasher = blake3::Hasher::new();
        hasher.update(&length.to_le_bytes());
        hasher.update(key);
        hasher.update(value);
        *hasher.finalize().as_bytes()
    }

    /// Adds a row.
    pub fn add(sum: &mut [u8; 32], key: &[u8], value: &[u8]) {
        combine(sum, &row(key, value), u64::wrapping_add);
    }

    /// Takes a row away.
    pub fn remove(sum: &mut [u8; 32], key: &[u8], value: &[u8]) {
        combine(sum, &row(key, value), u64::wrapping_sub);
    }
}
