//! Chunks of other nodes: typed calls of `ChunkService`, each with a deadline, over the bulk lane, so that no byte of
//! them ever waits in front of Raft.
//!
//! What comes back is verified here: bytes that do not have their id are no chunk, whoever sent them. What an answer
//! means for an image is the caller's business.

use super::convert::{self, HAVE_MAX, HeldReport, LIST_MAX, ListedChunk, Malformed, Refusal};
use super::links::BulkLinks;
use super::local::ChunkReceipt;
use super::notes::Note;
use crate::chunks::challenge::{CHALLENGE_CHUNKS_MAX, Possession};
use crate::consensus::{Affiliation, Consensus};
use crate::crypto::chunk_id;
use crate::transport::{Lane, PeerChannels};
use bytes::Bytes;
use plantao_client::transport::MESSAGE_BYTES_MAX;
use plantao_domain::{ChunkId, NodeId, UploadId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::{Code, Request, Response, Status};

/// Chunks under way to one node, and as many from it: enough to fill a link of 1 Gbit/s over 30 ms, and at most
/// 8 MiB of memory each way.
const UNDER_WAY_MAX: usize = 8;
/// For a chunk on its way: eight of them share a line of 1 Mbit/s for 70 s. A peer that is gone is noticed by the
/// connection's keep-alive long before.
const CHUNK_TIME_MAX: Duration = Duration::from_secs(120);
/// For one that waits for its turn over there, too: a chunk alone takes 131 s at 64 kbit/s.
const LATER_TIME_MAX: Duration = Duration::from_secs(300);
/// For a question that reads no chunk.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(5);
/// For one that reads up to [`CHALLENGE_CHUNKS_MAX`] chunks from a disk.
const READ_TIME_MAX: Duration = Duration::from_secs(30);

/// Why a node did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It is no member, its address is none, or it does not answer.
    #[error("node {node} does not answer")]
    Unreachable {
        /// Which.
        node: NodeId,
    },
    /// It answered: no.
    #[error("node {node} refused")]
    Refused {
        /// Which.
        node: NodeId,
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// It lets this node in no more, or does not know the call.
    #[error("node {node} does not serve this node")]
    Denied {
        /// Which.
        node: NodeId,
    },
    /// Its answer is not one.
    #[error("the answer of node {node} cannot be used")]
    Malformed {
        /// Which.
        node: NodeId,
        /// Why.
        #[source]
        source: Malformed,
    },
    /// The bytes that it sent are not the chunk: rot there, or on the way.
    #[error("node {node} sent other bytes than chunk {id}")]
    OtherBytes {
        /// Which.
        node: NodeId,
        /// The chunk.
        id: ChunkId,
    },
}

type Permits = Arc<Mutex<BTreeMap<(NodeId, bool), Arc<Semaphore>>>>;

/// The way to the chunks of other nodes. Cheap to clone.
#[derive(Clone)]
pub struct ChunkPeers {
    us: Affiliation,
    consensus: Consensus,
    channels: PeerChannels,
    /// By node, for puts and for gets; at most two for each member.
    permits: Permits,
    links: BulkLinks,
}

impl ChunkPeers {
    /// Calls made by `us`. `links` says over which links little may be under way.
    pub fn new(us: Affiliation, consensus: Consensus, channels: PeerChannels, links: BulkLinks) -> Self {
        Self { us, consensus, channels, permits: Arc::default(), links }
    }

    /// What chunks may take of each link: whoever moves one asks there first.
    pub fn links(&self) -> &BulkLinks {
        &self.links
    }

    /// This node.
    pub fn us(&self) -> NodeId {
        NodeId(self.us.node)
    }

    /// Whether the last calls to a node were answered, as far as this node knows: `true` for one that it knows nothing
    /// of.
    pub fn is_reachable(&self, node: NodeId) -> bool {
        let now = std::time::Instant::now();
        let links = self.consensus.links().links(&[], now);
        !links.iter().any(|link| link.from == self.us.node && link.to == node.0 && !link.reachable)
    }

    async fn permit(&self, node: NodeId, puts: bool) -> Option<OwnedSemaphorePermit> {
        let semaphore = {
            let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(permits.entry((node, puts)).or_insert_with(|| Arc::new(Semaphore::new(UNDER_WAY_MAX))))
        };
        semaphore.acquire_owned().await.ok()
    }

    fn client(&self, node: NodeId) -> Result<(convert::Client, convert::PeerHeader), PeerError> {
        let unreachable = PeerError::Unreachable { node };
        let member = self.consensus.member(node.0).ok_or_else(|| unreachable.clone())?;
        let lane = if self.links.is_thin(node) { Lane::Thin } else { Lane::Bulk };
        let channel = self.channels.channel(node.0, &member.peer_address, lane).map_err(|_| unreachable)?;
        let client = convert::Client::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Ok((client, self.us.header(node.0)))
    }

    /// Gives a chunk to a node to keep; `of` is the upload that it belongs to. At most [`UNDER_WAY_MAX`] at once to one
    /// node, others wait. A call that is given up may still be done there, which harms nothing.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn put(
        &self,
        node: NodeId,
        id: ChunkId,
        sealed: Bytes,
        of: Option<(UploadId, u32)>,
    ) -> Result<ChunkReceipt, PeerError> {
        let _permit = self.permit(node, true).await;
        let (mut client, header) = self.client(node)?;
        let request = convert::put_request(header, &id, sealed, of);
        let answer = call(node, CHUNK_TIME_MAX, request, |request| async move { client.put_chunk(request).await });
        let kept = convert::put(answer.await?).map_err(|source| PeerError::Malformed { node, source })?;
        kept.map_err(|refusal| PeerError::Refused { node, refusal })
    }

    /// A chunk of a node, verified, for somebody who waits for it. Cancel safe.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn get(&self, node: NodeId, id: ChunkId) -> Result<Bytes, PeerError> {
        let _permit = self.permit(node, false).await;
        self.fetch(node, id, false, CHUNK_TIME_MAX).await
    }

    /// The same for nobody who waits: the other node keeps to what its link to this one may be used for, which takes
    /// time. Ask [`super::BulkLinks::pass`] of this node before.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn get_later(&self, node: NodeId, id: ChunkId) -> Result<Bytes, PeerError> {
        self.fetch(node, id, true, LATER_TIME_MAX).await
    }

    async fn fetch(&self, node: NodeId, id: ChunkId, can_wait: bool, patience: Duration) -> Result<Bytes, PeerError> {
        let (mut client, header) = self.client(node)?;
        let request = convert::get_request(header, &id, can_wait);
        let answer = call(node, patience, request, |request| async move { client.get_chunk(request).await });
        let given = convert::get(answer.await?).map_err(|source| PeerError::Malformed { node, source })?;
        let sealed = given.map_err(|refusal| PeerError::Refused { node, refusal })?;
        if chunk_id(&sealed) == id { Ok(sealed) } else { Err(PeerError::OtherBytes { node, id }) }
    }

    /// Bytes of the files of these chunks, as the node believes; `None` for those that it has not. At most [`HAVE_MAX`].
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn have(&self, node: NodeId, ids: &[ChunkId]) -> Result<Vec<Option<u32>>, PeerError> {
        let ids = ids.get(..HAVE_MAX).unwrap_or(ids);
        let (mut client, header) = self.client(node)?;
        let request = convert::have_request(header, ids);
        let answer = call(node, QUESTION_TIME_MAX, request, |request| async move { client.have_chunks(request).await });
        convert::have(ids.len(), answer.await?).map_err(|source| PeerError::Malformed { node, source })
    }

    /// Which of these chunks lie there and are good, each read there, and a receipt for those that are. At most
    /// [`CHALLENGE_CHUNKS_MAX`].
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn verify(&self, node: NodeId, ids: &[ChunkId]) -> Result<(Vec<bool>, Option<ChunkReceipt>), PeerError> {
        let ids = ids.get(..CHALLENGE_CHUNKS_MAX).unwrap_or(ids);
        let (mut client, header) = self.client(node)?;
        let request = convert::verify_request(header, ids);
        let answer = call(node, READ_TIME_MAX, request, |request| async move { client.verify_chunks(request).await });
        convert::verified(ids.len(), answer.await?).map_err(|source| PeerError::Malformed { node, source })
    }

    /// Proofs that a node has these chunks (`chunks::challenge`), to be compared with one's own. At most
    /// [`CHALLENGE_CHUNKS_MAX`].
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn challenge(
        &self,
        node: NodeId,
        nonce: &[u8; 32],
        ids: &[ChunkId],
    ) -> Result<Vec<Possession>, PeerError> {
        let ids = ids.get(..CHALLENGE_CHUNKS_MAX).unwrap_or(ids);
        let (mut client, header) = self.client(node)?;
        let request = convert::challenge_request(header, nonce, ids);
        let answer = call(node, READ_TIME_MAX, request, |request| async move { client.challenge(request).await });
        convert::challenged(ids.len(), answer.await?).map_err(|source| PeerError::Malformed { node, source })
    }

    /// What a node says that it holds.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn held(&self, node: NodeId) -> Result<HeldReport, PeerError> {
        let (mut client, header) = self.client(node)?;
        let request = convert::held_request(header);
        let answer = call(node, QUESTION_TIME_MAX, request, |request| async move { client.held(request).await });
        convert::held(answer.await?).map_err(|source| PeerError::Malformed { node, source })
    }

    /// The chunks that a node says it holds, in order of their ids, after `after`, at most `limit` (and [`LIST_MAX`]).
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn list_held(
        &self,
        node: NodeId,
        partition: Option<u8>,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Result<Vec<ListedChunk>, PeerError> {
        let (mut client, header) = self.client(node)?;
        let request = convert::list_request(header, partition, after.as_ref(), limit.min(LIST_MAX));
        let answer = call(node, QUESTION_TIME_MAX, request, |request| async move { client.list_held(request).await });
        convert::listed(answer.await?).map_err(|source| PeerError::Malformed { node, source })
    }

    /// Which chunks of an open upload a node was given.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn notes(&self, node: NodeId, upload: UploadId) -> Result<Vec<Note>, PeerError> {
        let (mut client, header) = self.client(node)?;
        let request = convert::notes_request(header, upload);
        let answer =
            call(node, QUESTION_TIME_MAX, request, |request| async move { client.upload_notes(request).await });
        convert::notes(answer.await?).map_err(|source| PeerError::Malformed { node, source })
    }
}

/// One call, with a deadline that both sides know.
async fn call<M, T, F>(
    node: NodeId,
    patience: Duration,
    message: M,
    ask: impl FnOnce(Request<M>) -> F,
) -> Result<T, PeerError>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let mut request = Request::new(message);
    request.set_timeout(patience);
    match timeout(patience, ask(request)).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(match status.code() {
            Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::Unimplemented => PeerError::Denied { node },
            Code::ResourceExhausted => PeerError::Refused { node, refusal: Refusal::Busy },
            _ => PeerError::Unreachable { node },
        }),
        Err(_) => Err(PeerError::Unreachable { node }),
    }
}
