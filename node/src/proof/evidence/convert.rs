//! `plantao.peer.v1.EvidenceService` on the wire.

use super::{OwnEvidence, StateEvidence};
use crate::peer::{Caller, Gate};
use bytes::Bytes;
use plantao_domain::DiskId;
use plantao_proto::peer::v1 as wire;
use plantao_proto::peer::v1::evidence_service_client::EvidenceServiceClient;
use plantao_proto::peer::v1::evidence_service_server::EvidenceService;
use std::time::Duration;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// Asks a node. An answer that cannot be used is none.
pub(super) async fn ask(channel: Channel, header: wire::PeerHeader, patience: Duration) -> Option<StateEvidence> {
    let mut request = Request::new(wire::StateEvidenceRequest { header: Some(header) });
    request.set_timeout(patience);
    let mut client = EvidenceServiceClient::new(channel);
    let answer = timeout(patience, client.state_evidence(request)).await.ok()?.ok()?.into_inner();
    let digest = |bytes: &Bytes| <[u8; 32]>::try_from(&**bytes).ok();
    Some(StateEvidence {
        applied_index: answer.applied_index,
        content: digest(&answer.content)?,
        chain: digest(&answer.chain)?,
        rows: answer.rows,
        disk: DiskId::from_bytes(digest(&answer.disk_id)?),
        medium: answer.medium,
        simulated: answer.simulated_media,
        check_age: Duration::from_millis(answer.check_age_ms),
    })
}

/// Serves one node.
#[derive(Clone)]
pub struct PeerEvidenceService {
    gate: Gate,
    own: OwnEvidence,
}

impl PeerEvidenceService {
    /// Tells of `own` to whom the gate lets in.
    pub fn new(gate: Gate, own: OwnEvidence) -> Self {
        Self { gate, own }
    }
}

#[tonic::async_trait]
impl EvidenceService for PeerEvidenceService {
    async fn state_evidence(
        &self,
        request: Request<wire::StateEvidenceRequest>,
    ) -> Result<Response<wire::StateEvidenceResponse>, Status> {
        let caller = Caller::of(&request)?;
        self.gate.admit(caller, request.get_ref().header.as_ref())?;
        let own = self.own.clone();
        let told = crate::work::blocking(move || own.now()).await.ok().flatten();
        let told = told.ok_or_else(|| Status::unavailable("the data directory cannot be looked at; see its log"))?;
        Ok(Response::new(wire::StateEvidenceResponse {
            applied_index: told.applied_index,
            content: Bytes::copy_from_slice(&told.content),
            chain: Bytes::copy_from_slice(&told.chain),
            rows: told.rows,
            disk_id: Bytes::copy_from_slice(told.disk.as_bytes()),
            medium: told.medium,
            simulated_media: told.simulated,
            check_age_ms: u64::try_from(told.check_age.as_millis()).unwrap_or(u64::MAX),
        }))
    }
}
