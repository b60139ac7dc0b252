//! `plantao.peer.v1.RaftService`: Raft's own calls. Heartbeats and votes pass through without a lock or a disk of ours.

use std::sync::Arc;

use plantao_proto::peer::v1 as wire;
use plantao_proto::peer::v1::raft_service_server::RaftService;
use plantao_proto::peer::v1::snapshot_part::Part;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status, Streaming};

use super::gate::{Caller, Gate};
use crate::consensus::{Consensus, InboundError};
use crate::storage::snapshot::{self, SnapshotId, SnapshotReceiver, Snapshots, VerifiedSnapshot};

/// Serves one node.
#[derive(Clone)]
pub struct PeerRaftService {
    gate: Gate,
    consensus: Consensus,
    snapshots: Arc<Snapshots>,
    /// One snapshot at a time: a second sender would write into the same file.
    receiving: Arc<Mutex<()>>,
}

impl PeerRaftService {
    /// `snapshots` is the directory that the state machine installs from.
    pub fn new(gate: Gate, consensus: Consensus, snapshots: Arc<Snapshots>) -> Self {
        Self { gate, consensus, snapshots, receiving: Arc::default() }
    }

    #[allow(clippy::result_large_err)]
    fn receiving(&self) -> Result<tokio::sync::OwnedMutexGuard<()>, Status> {
        Arc::clone(&self.receiving)
            .try_lock_owned()
            .map_err(|_| Status::aborted("another snapshot is being received; send it again later"))
    }
}

fn failed(error: InboundError) -> Status {
    match &error {
        InboundError::Malformed(cause) => Status::invalid_argument(format!("{error}: {cause}")),
        InboundError::Impostor { .. } => Status::permission_denied(error.to_string()),
        InboundError::Snapshot(_) => Status::data_loss(error.to_string()),
        InboundError::NoRoom => Status::resource_exhausted(error.to_string()),
        InboundError::Stopped => Status::unavailable(error.to_string()),
    }
}

fn snapshot_failed(error: snapshot::Error) -> Status {
    match error {
        snapshot::Error::Damaged { .. } | snapshot::Error::OutOfOrder { .. } | snapshot::Error::Incomplete { .. } => {
            Status::data_loss(error.to_string())
        }
        snapshot::Error::File(_) | snapshot::Error::State(_) => {
            Status::internal("the snapshot cannot be stored on this node's disk")
        }
    }
}

#[allow(clippy::result_large_err)]
fn snapshot_id(description: &[u8]) -> Result<SnapshotId, Status> {
    description.try_into().map_err(|_| Status::invalid_argument("the description of the snapshot is not its id"))
}

/// Disk work, off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, snapshot::Error> + Send + 'static,
) -> Result<T, Status> {
    crate::work::blocking(work)
        .await
        .map_err(|_| Status::internal("the snapshot cannot be stored"))?
        .map_err(snapshot_failed)
}

#[tonic::async_trait]
impl RaftService for PeerRaftService {
    async fn append(&self, request: Request<wire::AppendRequest>) -> Result<Response<wire::AppendResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let from = self.gate.admit(caller, request.header.as_ref())?;
        self.consensus.on_append(from, request).await.map(Response::new).map_err(failed)
    }

    async fn vote(&self, request: Request<wire::VoteRequest>) -> Result<Response<wire::VoteResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let from = self.gate.admit(caller, request.header.as_ref())?;
        self.consensus.on_vote(from, request).await.map(Response::new).map_err(failed)
    }

    async fn pre_vote(&self, request: Request<wire::VoteRequest>) -> Result<Response<wire::VoteResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let from = self.gate.admit(caller, request.header.as_ref())?;
        self.consensus.on_pre_vote(from, request).await.map(Response::new).map_err(failed)
    }

    async fn transfer_leader(
        &self,
        request: Request<wire::TransferLeaderRequest>,
    ) -> Result<Response<wire::TransferLeaderResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let from = self.gate.admit(caller, request.header.as_ref())?;
        self.consensus.on_transfer(from, request).await.map(Response::new).map_err(failed)
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<wire::SnapshotPart>>,
    ) -> Result<Response<wire::InstallSnapshotResponse>, Status> {
        let caller = Caller::of(&request)?;
        let mut parts = request.into_inner();
        let Some(wire::SnapshotPart { part: Some(Part::Header(header)) }) = parts.message().await? else {
            return Err(Status::invalid_argument("a snapshot begins with its header"));
        };
        let from = self.gate.admit(caller, header.header.as_ref())?;
        self.consensus.check_snapshot(from, header.vote).map_err(failed)?;
        let id = snapshot_id(&header.description)?;
        let _one = self.receiving()?;
        let snapshots = Arc::clone(&self.snapshots);
        let receiver = blocking(move || snapshots.receive(id)).await?;
        let received = receive(receiver, &mut parts).await?;
        let snapshots = Arc::clone(&self.snapshots);
        let verified: Arc<VerifiedSnapshot> = blocking(move || snapshots.adopt(received)).await?;
        let installed = self.consensus.on_snapshot(from, header.vote, verified).await;
        installed.map(Response::new).map_err(failed)
    }

    async fn snapshot_progress(
        &self,
        request: Request<wire::SnapshotProgressRequest>,
    ) -> Result<Response<wire::SnapshotProgressResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        self.gate.admit(caller, request.header.as_ref())?;
        let id = snapshot_id(&request.description)?;
        let _one = self.receiving()?;
        let snapshots = Arc::clone(&self.snapshots);
        let next_part = blocking(move || Ok(snapshots.receive(id)?.next_part())).await?;
        Ok(Response::new(wire::SnapshotProgressResponse { next_part: u64::from(next_part) }))
    }
}

/// Takes parts until the end. What came before a failure stays on disk for the next attempt.
async fn receive(
    mut receiver: SnapshotReceiver,
    parts: &mut Streaming<wire::SnapshotPart>,
) -> Result<SnapshotReceiver, Status> {
    while let Some(wire::SnapshotPart { part }) = parts.message().await? {
        match part {
            Some(Part::Data(data)) => {
                let number =
                    u32::try_from(data.part).map_err(|_| Status::invalid_argument("no snapshot has so many parts"))?;
                receiver = blocking(move || {
                    receiver.take(number, &data.rows)?;
                    Ok(receiver)
                })
                .await?;
            }
            Some(Part::End(_)) if receiver.is_complete() => return Ok(receiver),
            Some(Part::End(_) | Part::Header(_)) | None => break,
        }
    }
    Err(Status::data_loss("the snapshot is not whole"))
}
