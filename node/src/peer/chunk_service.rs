//! `plantao.peer.v1.ChunkService`: the chunks of this node for others. What it holds, keeps and proves is decided in
//! `images::LocalChunks` and `chunks`; no key is here.

use super::gate::{Caller, Gate};
use crate::chunks::challenge::{self, CHALLENGE_CHUNKS_MAX};
use crate::clock::SharedClock;
use crate::images::convert::{self, HAVE_MAX, Malformed, Refusal};
use crate::images::{BulkLinks, LocalChunks};
use plantao_proto::peer::v1 as wire;
use plantao_proto::peer::v1::chunk_service_server::ChunkService;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

/// Chunks that are taken or given at once, whoever asks: 64 MiB of memory at most. A peer sends eight at a time.
const UNDER_WAY_MAX: usize = 64;

/// Serves one node.
#[derive(Clone)]
pub struct PeerChunkService {
    gate: Gate,
    chunks: LocalChunks,
    clock: SharedClock,
    links: BulkLinks,
    under_way: Arc<Semaphore>,
}

impl PeerChunkService {
    /// On the chunks of this node.
    pub fn new(gate: Gate, chunks: LocalChunks, clock: SharedClock, links: BulkLinks) -> Self {
        Self { gate, chunks, clock, links, under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)) }
    }
}

fn malformed(error: Malformed) -> Status {
    Status::invalid_argument(format!("{error}; use nodes of the same version"))
}

fn no_store() -> Status {
    Status::unavailable("this node has no chunk directory; look at its log")
}

fn busy() -> Status {
    Status::resource_exhausted("too many chunks are under way; ask again after a short pause")
}

#[tonic::async_trait]
impl ChunkService for PeerChunkService {
    async fn put_chunk(
        &self,
        request: Request<wire::PutChunkRequest>,
    ) -> Result<Response<wire::PutChunkResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wire::PutChunkRequest { header, chunk_id, sealed, upload_id, sequence } = request.into_inner();
        let from = self.gate.admit(caller, header.as_ref())?;
        let id = convert::chunk_id(&chunk_id).map_err(malformed)?;
        let of = convert::optional_upload(&upload_id, sequence).map_err(malformed)?;
        let Ok(_permit) = self.under_way.try_acquire() else {
            return Ok(Response::new(convert::wire_put(Err(Refusal::Busy))));
        };
        self.links.count(from, sealed.len() as u64);
        let kept = self.chunks.put(id, sealed, of).await;
        Ok(Response::new(convert::wire_put(kept.map_err(|error| convert::put_refusal(&error)))))
    }

    async fn get_chunk(
        &self,
        request: Request<wire::GetChunkRequest>,
    ) -> Result<Response<wire::GetChunkResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wire::GetChunkRequest { header, chunk_id, can_wait } = request.into_inner();
        let from = self.gate.admit(caller, header.as_ref())?;
        let id = convert::chunk_id(&chunk_id).map_err(malformed)?;
        let held = self.chunks.store().and_then(|store| store.directory().held(&id));
        let bytes = held.map_or(0, |held| u64::from(held.bytes));
        let _pass = self.links.serve(from, bytes, can_wait).await.ok_or_else(busy)?;
        let _permit = self.under_way.try_acquire().map_err(|_| busy())?;
        Ok(Response::new(convert::wire_get(self.chunks.get(id).await)))
    }

    async fn have_chunks(
        &self,
        request: Request<wire::HaveChunksRequest>,
    ) -> Result<Response<wire::HaveChunksResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wire::HaveChunksRequest { header, chunk_ids } = request.into_inner();
        self.gate.admit(caller, header.as_ref())?;
        let ids = convert::chunk_ids(&chunk_ids, HAVE_MAX).map_err(malformed)?;
        let directory = self.chunks.store().ok_or_else(no_store)?.directory();
        let stored = ids.iter().map(|id| directory.held(id).map_or(0, |held| held.bytes)).collect();
        Ok(Response::new(convert::wire_have(stored, directory.incarnation())))
    }

    async fn verify_chunks(
        &self,
        request: Request<wire::VerifyChunksRequest>,
    ) -> Result<Response<wire::VerifyChunksResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wire::VerifyChunksRequest { header, chunk_ids } = request.into_inner();
        self.gate.admit(caller, header.as_ref())?;
        let ids = convert::chunk_ids(&chunk_ids, CHALLENGE_CHUNKS_MAX).map_err(malformed)?;
        let _permit = self.under_way.try_acquire().map_err(|_| busy())?;
        Ok(Response::new(convert::wire_verified(ids.len(), self.chunks.verify(&ids).await)))
    }

    async fn challenge(
        &self,
        request: Request<wire::ChallengeRequest>,
    ) -> Result<Response<wire::ChallengeResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wire::ChallengeRequest { header, nonce, chunk_ids } = request.into_inner();
        self.gate.admit(caller, header.as_ref())?;
        let nonce = convert::nonce(&nonce).map_err(malformed)?;
        let ids = convert::chunk_ids(&chunk_ids, CHALLENGE_CHUNKS_MAX).map_err(malformed)?;
        let store = self.chunks.store().ok_or_else(no_store)?;
        let _permit = self.under_way.try_acquire().map_err(|_| busy())?;
        let answers = challenge::answer(store, nonce, ids).await;
        let answers = answers.map_err(|error| Status::invalid_argument(format!("{error}; ask in several")))?;
        Ok(Response::new(convert::wire_challenged(answers)))
    }

    async fn held(&self, request: Request<wire::HeldRequest>) -> Result<Response<wire::HeldResponse>, Status> {
        let caller = Caller::of(&request)?;
        self.gate.admit(caller, request.get_ref().header.as_ref())?;
        let report = self.chunks.held(self.clock.now()).await.ok_or_else(no_store)?;
        Ok(Response::new(convert::wire_held(&report)))
    }

    async fn list_held(
        &self,
        request: Request<wire::ListHeldRequest>,
    ) -> Result<Response<wire::ListHeldResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        self.gate.admit(caller, request.header.as_ref())?;
        let (partition, after, limit) = convert::list_question(&request).map_err(malformed)?;
        let listed = self.chunks.list(partition, after, limit, self.clock.now()).ok_or_else(no_store)?;
        Ok(Response::new(convert::wire_list(&listed)))
    }

    async fn upload_notes(
        &self,
        request: Request<wire::UploadNotesRequest>,
    ) -> Result<Response<wire::UploadNotesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wire::UploadNotesRequest { header, upload_id } = request.into_inner();
        self.gate.admit(caller, header.as_ref())?;
        let upload = convert::upload_id(&upload_id).map_err(malformed)?;
        Ok(Response::new(convert::wire_notes(&self.chunks.notes().of(upload))))
    }
}
