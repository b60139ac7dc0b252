//! Asking nodes about their chunks, this one included.

use crate::chunks::challenge::{self, CHALLENGE_CHUNKS_MAX, Possession};
use crate::chunks::disk_identity;
use crate::clock::SharedClock;
use crate::images::convert::{HeldPartition, HeldReport, LIST_MAX, ListedChunk, Refusal, page};
use crate::images::{ChunkPeers, LocalChunks, PeerError};
use bytes::Bytes;
use plantao_domain::{ChunkId, ClusterTime, NodeId};
use std::time::Duration;

/// What a node can be asked. The network's nodes are [`Witnesses`]; a test may ask one that lies.
#[tonic::async_trait]
pub trait Witness: Send + Sync {
    /// What it says that it holds.
    async fn held(&self, node: NodeId) -> Result<HeldReport, PeerError>;
    /// The chunks of one partition, in order of their ids, after `after`, a page of them; empty at the end.
    async fn list(&self, node: NodeId, partition: u8, after: Option<ChunkId>) -> Result<Vec<ListedChunk>, PeerError>;
    /// Proofs that it has these chunks, at most [`CHALLENGE_CHUNKS_MAX`].
    async fn challenge(&self, node: NodeId, nonce: &[u8; 32], ids: &[ChunkId]) -> Result<Vec<Possession>, PeerError>;
    /// The bytes of a chunk; they have its id.
    async fn get(&self, node: NodeId, id: ChunkId) -> Result<Bytes, PeerError>;
    /// Bytes of the files of these chunks, as it believes.
    async fn have(&self, node: NodeId, ids: &[ChunkId]) -> Result<Vec<Option<u32>>, PeerError>;
}

/// The nodes of the network. Cheap to clone.
#[derive(Clone)]
pub struct Witnesses {
    own: LocalChunks,
    peers: ChunkPeers,
    clock: SharedClock,
}

impl Witnesses {
    /// This node's chunks and the way to the others.
    pub fn new(own: LocalChunks, peers: ChunkPeers, clock: SharedClock) -> Self {
        Self { own, peers, clock }
    }

    fn no_store(&self) -> PeerError {
        PeerError::Refused { node: self.own.node(), refusal: Refusal::NoStore }
    }

    async fn own_held(&self) -> Result<HeldReport, PeerError> {
        let store = self.own.store().cloned().ok_or_else(|| self.no_store())?;
        let applied_index = self.own.state().meta().applied.map_or(0, |entry| entry.index);
        let now = self.clock.now();
        let look = move || {
            let directory = store.directory();
            let partitions = (0..=u8::MAX).map(|number| {
                let held = directory.partition(number);
                let oldest_check_age = held.oldest_check.map_or(Duration::ZERO, |at| age(at, now));
                HeldPartition { count: held.count, bytes: held.bytes, digest: held.digest, oldest_check_age }
            });
            let disk = disk_identity::disk_of(directory.path()).ok()?;
            Some(HeldReport {
                incarnation: directory.incarnation(),
                disk,
                applied_index,
                partitions: partitions.collect(),
                bad: directory.figures().bad.iter().sum(),
            })
        };
        let held = tokio::task::spawn_blocking(look).await.ok().flatten();
        held.ok_or_else(|| self.no_store())
    }
}

fn age(at: ClusterTime, now: ClusterTime) -> Duration {
    Duration::from_millis(u64::try_from(now.millis().saturating_sub(at.millis())).unwrap_or(0))
}

#[tonic::async_trait]
impl Witness for Witnesses {
    async fn held(&self, node: NodeId) -> Result<HeldReport, PeerError> {
        if node == self.own.node() { self.own_held().await } else { self.peers.held(node).await }
    }

    async fn list(&self, node: NodeId, partition: u8, after: Option<ChunkId>) -> Result<Vec<ListedChunk>, PeerError> {
        if node != self.own.node() {
            return self.peers.list_held(node, Some(partition), after, LIST_MAX).await;
        }
        let directory = self.own.store().ok_or_else(|| self.no_store())?.directory();
        let now = self.clock.now();
        let held = page(Some(partition), after, LIST_MAX, |after, limit| directory.list(after, limit));
        let told = held.iter().map(|chunk| ListedChunk {
            id: chunk.id,
            stored_bytes: chunk.bytes,
            check_age: age(chunk.checked_at, now),
        });
        Ok(told.collect())
    }

    async fn challenge(&self, node: NodeId, nonce: &[u8; 32], ids: &[ChunkId]) -> Result<Vec<Possession>, PeerError> {
        if node != self.own.node() {
            return self.peers.challenge(node, nonce, ids).await;
        }
        let store = self.own.store().ok_or_else(|| self.no_store())?;
        let ids = ids.get(..CHALLENGE_CHUNKS_MAX).unwrap_or(ids);
        challenge::answer(store, *nonce, ids.to_vec()).await.map_err(|_| self.no_store())
    }

    async fn get(&self, node: NodeId, id: ChunkId) -> Result<Bytes, PeerError> {
        if node != self.own.node() {
            return self.peers.get(node, id).await;
        }
        match self.own.get(id).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(PeerError::Refused { node, refusal: Refusal::Missing }),
            Err(_) => Err(PeerError::Refused { node, refusal: Refusal::Unsure }),
        }
    }

    async fn have(&self, node: NodeId, ids: &[ChunkId]) -> Result<Vec<Option<u32>>, PeerError> {
        if node != self.own.node() {
            return self.peers.have(node, ids).await;
        }
        let directory = self.own.store().ok_or_else(|| self.no_store())?.directory();
        Ok(ids.iter().map(|id| directory.held(id).map(|held| held.bytes)).collect())
    }
}
