//! `plantao.peer.v1.ForwardService`: finished envelopes and read questions on their way to the leader, and who is who.

use std::time::Duration;

use futures_util::future::join_all;
use plantao_proto::peer::v1 as wire;
use plantao_proto::peer::v1::forward_service_server::ForwardService;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::gate::{Caller, Gate};
use crate::consensus::convert::{links, wire_links, wire_proposed, wire_read};
use crate::consensus::convoy::GROUP_MAX;
use crate::consensus::forward::HOPS_MAX;
use crate::consensus::{Forwarder, ProposeError, Room};
use crate::storage::level::{LEVEL_FIRST, PROGRAM};

/// How long a forwarded proposal is worked on, whatever its sender's patience: that ends the call from the other side.
const PROPOSE_MAX: Duration = Duration::from_secs(30);
/// The same for a read question.
const READ_MAX: Duration = Duration::from_secs(10);

/// Serves one node.
#[derive(Clone)]
pub struct PeerForwardService {
    gate: Gate,
    forwarder: Forwarder,
}

impl PeerForwardService {
    /// Passes on through `forwarder`.
    pub fn new(gate: Gate, forwarder: Forwarder) -> Self {
        Self { gate, forwarder }
    }
}

#[allow(clippy::result_large_err)]
fn check_hops(hops: u32) -> Result<(), Status> {
    if hops <= HOPS_MAX {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "the message was passed on {hops} times, and {HOPS_MAX} is the most; ask the leader itself"
    )))
}

#[tonic::async_trait]
impl ForwardService for PeerForwardService {
    async fn propose(&self, request: Request<wire::ProposeRequest>) -> Result<Response<wire::ProposeResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wire::ProposeRequest { header, envelope, hops } = request.into_inner();
        let from = self.gate.admit(caller, header.as_ref())?;
        check_hops(hops)?;
        let deadline = Instant::now() + PROPOSE_MAX;
        match self.forwarder.serve_propose(from, envelope, hops, deadline).await {
            Err(ProposeError::Malformed(error)) => Err(Status::invalid_argument(format!(
                "the proposal is not a whole envelope: {error}; use nodes of the same version"
            ))),
            result => Ok(Response::new(wire_proposed(result))),
        }
    }

    async fn propose_many(
        &self,
        request: Request<wire::ProposeManyRequest>,
    ) -> Result<Response<wire::ProposeManyResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wire::ProposeManyRequest { header, envelopes } = request.into_inner();
        let from = self.gate.admit(caller, header.as_ref())?;
        if envelopes.len() > GROUP_MAX {
            return Err(Status::invalid_argument(format!(
                "{} proposals came in one message, and {GROUP_MAX} is the most; send them in several",
                envelopes.len()
            )));
        }
        let deadline = Instant::now() + PROPOSE_MAX;
        let proposing = envelopes.into_iter().map(|envelope| self.forwarder.serve_propose(from, envelope, 0, deadline));
        let answers = join_all(proposing).await.into_iter().map(|result| match result {
            // One that this version does not read is not proposed, and spoils nothing for the others.
            Err(ProposeError::Malformed(_)) => wire_proposed(Err(ProposeError::NotLeader { leader: None })),
            result => wire_proposed(result),
        });
        Ok(Response::new(wire::ProposeManyResponse { answers: answers.collect() }))
    }

    async fn read_index(
        &self,
        request: Request<wire::ReadIndexRequest>,
    ) -> Result<Response<wire::ReadIndexResponse>, Status> {
        let caller = Caller::of(&request)?;
        let wire::ReadIndexRequest { header, hops } = request.into_inner();
        let from = self.gate.admit(caller, header.as_ref())?;
        check_hops(hops)?;
        let index = self.forwarder.serve_read(from, hops, Instant::now() + READ_MAX).await;
        Ok(Response::new(wire_read(index)))
    }

    async fn hello(&self, request: Request<wire::HelloRequest>) -> Result<Response<wire::HelloResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        self.gate.admit(caller, request.header.as_ref())?;
        let consensus = self.forwarder.consensus();
        let now = std::time::Instant::now();
        consensus.links().learn(links(request.links), now);
        Ok(Response::new(wire::HelloResponse {
            node_id: consensus.node(),
            format_min: LEVEL_FIRST,
            format_max: consensus.levels().newest(),
            now_ms: consensus.clocks().now_ms(),
            leader_id: consensus.leader().unwrap_or(0),
            applied_index: consensus.progress().index,
            version: PROGRAM.to_owned(),
            links: wire_links(consensus.links().tell(now)),
            low_on_room: consensus.rooms().own() > Room::Enough,
        }))
    }
}
