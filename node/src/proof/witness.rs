//! Asking nodes about their chunks, this one included.

use crate::chunks::challenge::{self, CHALLENGE_CHUNKS_MAX, Possession};
use crate::clock::SharedClock;
use crate::images::convert::{HeldReport, LIST_MAX, ListedChunk, Refusal};
use crate::images::{ChunkPeers, LocalChunks, PeerError};
use bytes::Bytes;
use plantao_domain::{ChunkId, NodeId};

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
}

#[tonic::async_trait]
impl Witness for Witnesses {
    async fn held(&self, node: NodeId) -> Result<HeldReport, PeerError> {
        if node != self.own.node() {
            return self.peers.held(node).await;
        }
        self.own.held(self.clock.now()).await.ok_or_else(|| self.no_store())
    }

    async fn list(&self, node: NodeId, partition: u8, after: Option<ChunkId>) -> Result<Vec<ListedChunk>, PeerError> {
        if node != self.own.node() {
            return self.peers.list_held(node, Some(partition), after, LIST_MAX).await;
        }
        self.own.list(Some(partition), after, LIST_MAX, self.clock.now()).ok_or_else(|| self.no_store())
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
