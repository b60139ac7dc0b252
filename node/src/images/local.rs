//! The chunks of this node as others may count on them: a receipt is given only by a directory that is registered, and
//! names the deletions that were applied before the bytes were verified.
//!
//! ```text
//! put: gc epoch of the own state ─► registered? ─► directory: verify, write, sync ─► still the same? ─► receipt
//! ```
//! No other node is asked here, and no chunk is opened.

use super::convert::{HeldPartition, HeldReport, ListedChunk, page};
use super::notes::{Note, Notes};
use crate::chunks::{ChunkStore, GetError, PutError, disk_identity};
use crate::storage::state::StateStore;
use bytes::Bytes;
use plantao_domain::{ChunkId, ClusterTime, NodeId, StoreIncarnation, UploadId, ViewFault, images, rows};
use std::sync::Arc;
use std::time::Duration;

/// Where and when a chunk became durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkReceipt {
    /// In which directory, which was registered.
    pub incarnation: StoreIncarnation,
    /// `images::gc_epoch` of the node's state, read before the bytes were verified.
    pub gc_epoch: u64,
}

/// Why a chunk was not kept here.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// There is no directory, or it is not (or not yet) the registered one of this node.
    #[error("this node has no chunk directory that counts")]
    NoStore,
    /// The directory did not take it.
    #[error("the chunk directory did not take the chunk")]
    Put(#[source] PutError),
    /// The state cannot be read.
    #[error("the state of this node cannot be read")]
    State(#[source] ViewFault),
}

struct Inner {
    node: NodeId,
    store: Option<ChunkStore>,
    state: Arc<dyn StateStore>,
    notes: Notes,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct LocalChunks(Arc<Inner>);

impl LocalChunks {
    /// `store` is `None` where the directory could not be opened: the node serves everything else.
    pub fn new(node: NodeId, store: Option<ChunkStore>, state: Arc<dyn StateStore>) -> Self {
        Self(Arc::new(Inner { node, store, state, notes: Notes::default() }))
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.0.node
    }

    /// The directory, if there is one.
    pub fn store(&self) -> Option<&ChunkStore> {
        self.0.store.as_ref()
    }

    /// The rows.
    pub fn state(&self) -> &Arc<dyn StateStore> {
        &self.0.state
    }

    /// What is known of open uploads.
    pub fn notes(&self) -> &Notes {
        &self.0.notes
    }

    /// The directory's incarnation, if the state says that it counts.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn registered(&self) -> Result<Option<StoreIncarnation>, ViewFault> {
        let Some(store) = self.store() else { return Ok(None) };
        let here = store.directory().incarnation();
        let row = rows::live_store(&*self.0.state, self.0.node)?;
        Ok(row.filter(|row| row.incarnation == here).map(|_| here))
    }

    /// Makes a chunk durable here; `of` is the upload that it belongs to, and its number in it.
    ///
    /// # Errors
    /// See [`KeepError`]; trying again is harmless.
    pub async fn put(
        &self,
        id: ChunkId,
        sealed: Bytes,
        of: Option<(UploadId, u32)>,
    ) -> Result<ChunkReceipt, KeepError> {
        let gc_epoch = images::gc_epoch(&*self.0.state).map_err(KeepError::State)?;
        let (Some(incarnation), Some(store)) = (self.registered().map_err(KeepError::State)?, self.store()) else {
            return Err(KeepError::NoStore);
        };
        let kept = store.put(id, sealed).await.map_err(KeepError::Put)?;
        if kept.incarnation != incarnation {
            // Renewed meanwhile: the new one is not registered yet.
            return Err(KeepError::NoStore);
        }
        if let Some((upload, sequence)) = of {
            self.0.notes.note(upload, Note { sequence, chunk: id, stored_bytes: kept.bytes });
        }
        Ok(ChunkReceipt { incarnation, gc_epoch })
    }

    /// Which of these chunks are here and good, each read and synced as by a put, with one receipt for those that are.
    ///
    /// # Errors
    /// There is no directory that counts, or the state cannot be read.
    pub async fn verify(&self, ids: &[ChunkId]) -> Result<(Vec<bool>, ChunkReceipt), KeepError> {
        let gc_epoch = images::gc_epoch(&*self.0.state).map_err(KeepError::State)?;
        let (Some(incarnation), Some(store)) = (self.registered().map_err(KeepError::State)?, self.store()) else {
            return Err(KeepError::NoStore);
        };
        let mut good = Vec::with_capacity(ids.len());
        for id in ids {
            // A put of what was read is what gives a receipt: it notes it under the chunk's lock, and it syncs the name.
            let kept = match store.get(*id).await {
                Ok(bytes) => store.put(*id, bytes).await.is_ok_and(|kept| kept.incarnation == incarnation),
                Err(_) => false,
            };
            good.push(kept);
        }
        Ok((good, ChunkReceipt { incarnation, gc_epoch }))
    }

    /// What this node holds, with ages as of `now`; `None` where there is no directory that can be looked at.
    pub async fn held(&self, now: ClusterTime) -> Option<HeldReport> {
        let store = self.store()?.clone();
        // Before the look: what was to be held by then was held.
        let applied_index = self.0.state.meta().applied.map_or(0, |entry| entry.index);
        let look = move || {
            let directory = store.directory();
            let partitions = (0..=u8::MAX).map(|number| {
                let held = directory.partition(number);
                let oldest_check_age = held.oldest_check.map_or(Duration::ZERO, |at| age(at, now));
                HeldPartition { count: held.count, bytes: held.bytes, digest: held.digest, oldest_check_age }
            });
            Some(HeldReport {
                incarnation: directory.incarnation(),
                disk: disk_identity::disk_of(directory.path()).ok()?,
                applied_index,
                partitions: partitions.collect(),
                bad: directory.bad_count(),
            })
        };
        crate::work::blocking(look).await.ok().flatten()
    }

    /// At most `limit` copies of one partition, or of all, in the order of their ids, after `after`, with ages as of `now`;
    /// `None` where there is no directory.
    pub fn list(
        &self,
        partition: Option<u8>,
        after: Option<ChunkId>,
        limit: usize,
        now: ClusterTime,
    ) -> Option<Vec<ListedChunk>> {
        let directory = self.store()?.directory();
        let held = page(partition, after, limit, |after, limit| directory.list(after, limit));
        let listed = held.iter().map(|chunk| ListedChunk {
            id: chunk.id,
            stored_bytes: chunk.bytes,
            check_age: age(chunk.checked_at, now),
        });
        Some(listed.collect())
    }

    /// A chunk's bytes, verified; `None` where there is no good copy here.
    ///
    /// # Errors
    /// The system could not be asked, which says nothing about the copy.
    pub async fn get(&self, id: ChunkId) -> Result<Option<Bytes>, GetError> {
        self.get_with(id, Bytes::from).await
    }

    /// As [`Self::get`], and what `with` makes of the bytes, on the thread that read them.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_with<T: Send + 'static>(
        &self,
        id: ChunkId,
        with: impl FnOnce(Vec<u8>) -> T + Send + 'static,
    ) -> Result<Option<T>, GetError> {
        let Some(store) = self.store() else { return Ok(None) };
        match store.get_with(id, with).await {
            Ok(made) => Ok(Some(made)),
            Err(error) if error.is_missing_here() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn age(at: ClusterTime, now: ClusterTime) -> Duration {
    Duration::from_millis(u64::try_from(now.millis().saturating_sub(at.millis())).unwrap_or(0))
}
