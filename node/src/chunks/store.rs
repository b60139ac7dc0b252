//! The chunk directory for asynchronous callers: every call goes to a worker thread, of which there are few. What a
//! chunk is, and when it is durable, is decided in [`super::directory`].
//!
//! ```text
//! put ─► [writers, bounded] ─► thread: verify, write, sync ─► receipt
//! get ─► [readers, bounded] ─► thread: read, verify ─► bytes          reads never wait behind syncs
//! ```
//! A call that is given up by its caller still runs to its end on its worker: a put is never left half-way. Who waits
//! for a worker holds one chunk, so memory is bounded by how many callers there are, and callers bound themselves.

use super::directory::{ChunkDirectory, Presence, Receipt, Removal};
use super::error::{GetError, PutError, RemoveError};
use bytes::Bytes;
use plantao_domain::ChunkId;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The chunks of this node. Cheap to clone.
#[derive(Clone)]
pub struct ChunkStore {
    directory: Arc<ChunkDirectory>,
    writers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

impl ChunkStore {
    /// At most `workers` chunks are written and as many read at once, at least one each.
    pub fn new(directory: Arc<ChunkDirectory>, workers: usize) -> Self {
        let workers = workers.max(1);
        let (writers, readers) = (Arc::new(Semaphore::new(workers)), Arc::new(Semaphore::new(workers)));
        Self { directory, writers, readers }
    }

    /// For what does not block: figures, lists, incarnation.
    pub fn directory(&self) -> &Arc<ChunkDirectory> {
        &self.directory
    }

    /// [`ChunkDirectory::put`]. Cancel safe in that the chunk is then durable or absent; the receipt is lost.
    ///
    /// # Errors
    /// See [`PutError`].
    pub async fn put(&self, id: ChunkId, bytes: Bytes) -> Result<Receipt, PutError> {
        self.on_worker(&self.writers, move |directory| directory.put(id, &bytes))
            .await
            .unwrap_or(Err(PutError::Stopped))
    }

    /// [`ChunkDirectory::get`]. Cancel safe. A range is a slice of what it gives: the whole chunk is read and verified
    /// anyway.
    ///
    /// # Errors
    /// See [`GetError`].
    pub async fn get(&self, id: ChunkId) -> Result<Bytes, GetError> {
        self.get_with(id, Bytes::from).await
    }

    /// As [`Self::get`], and what `with` makes of the bytes, on the same thread while they are in its cache.
    ///
    /// # Errors
    /// See [`GetError`].
    pub async fn get_with<T: Send + 'static>(
        &self,
        id: ChunkId,
        with: impl FnOnce(Vec<u8>) -> T + Send + 'static,
    ) -> Result<T, GetError> {
        let read = self.on_worker(&self.readers, move |directory| directory.get(id).map(with)).await;
        read.unwrap_or(Err(GetError::Stopped))
    }

    /// [`ChunkDirectory::remove`].
    ///
    /// # Errors
    /// See [`RemoveError`].
    pub async fn remove(
        &self,
        id: ChunkId,
        allows: impl FnOnce(&Presence) -> bool + Send + 'static,
    ) -> Result<Removal, RemoveError> {
        let removed = self.on_worker(&self.writers, move |directory| directory.remove(id, allows)).await;
        removed.unwrap_or(Err(RemoveError::Stopped))
    }

    /// Runs `work` on a thread for blocking work, under a permit that it keeps until it ends. `None`: the thread
    /// panicked or the runtime is going down.
    pub(super) async fn on_worker<T: Send + 'static>(
        &self,
        permits: &Arc<Semaphore>,
        work: impl FnOnce(&ChunkDirectory) -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(permits).acquire_owned().await.ok()?;
        let directory = Arc::clone(&self.directory);
        let run = move || {
            let done = work(&directory);
            drop(permit);
            done
        };
        crate::work::blocking(run).await.ok()
    }

    /// The permits of readers, for what else reads whole chunks.
    pub(super) fn readers(&self) -> &Arc<Semaphore> {
        &self.readers
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::chunks::testing;
    use crate::crypto::chunk_id;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_callers_share_few_workers() {
        let home = tempfile::tempdir().unwrap();
        let store = ChunkStore::new(Arc::new(testing::open(home.path())), 2);
        let chunks: Vec<Bytes> = (0..40_u8).map(|byte| Bytes::from(vec![byte; 3_000])).collect();
        let puts = chunks.iter().map(|chunk| {
            let (store, chunk) = (store.clone(), chunk.clone());
            tokio::spawn(async move { store.put(chunk_id(&chunk), chunk).await })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.unwrap().unwrap();
        }
        for chunk in &chunks {
            assert_eq!(store.get(chunk_id(chunk)).await.unwrap(), chunk);
        }
        assert!(store.get(chunk_id(b"none")).await.unwrap_err().is_missing_here());
        let kept = store.remove(chunk_id(&chunks[0]), |presence| presence.chunk.bytes != 3_000).await.unwrap();
        assert_eq!(kept, Removal::Kept);
        let removed = store.remove(chunk_id(&chunks[0]), |_| true).await.unwrap();
        assert_eq!(removed, Removal::Removed { bytes: 3_000 });
        assert_eq!(store.directory().figures().held.count, 39);
    }

    /// A client that hangs up must not leave a chunk half-way: the worker goes on without it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_put_whose_caller_is_gone_ends_whole() {
        let home = tempfile::tempdir().unwrap();
        let store = ChunkStore::new(Arc::new(testing::open(home.path())), 1);
        let chunk = Bytes::from(vec![5; 100_000]);
        let id = chunk_id(&chunk);
        let task = tokio::spawn({
            let (store, chunk) = (store.clone(), chunk.clone());
            async move { store.put(id, chunk).await }
        });
        tokio::task::yield_now().await;
        task.abort();
        let _ = task.await;
        // Whatever had begun has ended once the only writer is free again.
        drop(Arc::clone(&store.writers).acquire_owned().await.unwrap());
        match store.get(id).await {
            Ok(bytes) => assert_eq!(bytes, chunk),
            Err(error) => assert!(matches!(error, GetError::Missing { .. }), "{error}"),
        }
        assert_eq!(testing::names(&home.path().join("chunks/incoming")), Vec::<String>::new());
    }
}
