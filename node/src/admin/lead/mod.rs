//! The lead for operators: its history, and how it is moved. What may be done is `lead`'s to say.

mod convert;

use crate::api::convert::{status as status_of, told};
use crate::consensus::TransferError;
use crate::gateway::Gateway;
use crate::lead::{self, Forced};
use crate::transport::peer_identity;
use plantao_proto::admin::v1;
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};

pub(crate) use convert::{handover, policy};

/// Changes that one answer has unless more are asked for.
const HISTORY_DEFAULT: u32 = 100;
/// Longest elections that a node which was told to stand goes through.
const ELECTIONS_MAX: u32 = 5;

/// Serves one node.
#[derive(Clone)]
pub struct LeadServices {
    gateway: Gateway,
    forced: Forced,
}

impl LeadServices {
    /// On a gateway; `forced` is read by whoever notes changes of leader.
    pub fn new(gateway: Gateway, forced: Forced) -> Self {
        Self { gateway, forced }
    }
}

/// A refusal with its number and what to do.
pub(crate) fn refused(error: &lead::Error) -> Status {
    match error {
        lead::Error::Gateway(error) => status_of(error),
        error => {
            // A transfer that ran out of time may happen yet.
            let is_not_done = !matches!(error, lead::Error::Transfer(TransferError::TimedOut { .. }));
            told(Code::FailedPrecondition, error.to_string(), error.code(), error.help(), is_not_done)
        }
    }
}

#[tonic::async_trait]
impl v1::lead_service_server::LeadService for LeadServices {
    async fn get_history(
        &self,
        request: Request<v1::GetHistoryRequest>,
    ) -> Result<Response<v1::GetHistoryResponse>, Status> {
        let request = request.into_inner();
        let limit = if request.limit == 0 { HISTORY_DEFAULT } else { request.limit };
        let state = self.gateway.state();
        // Before the rows: what they show is at least as new.
        let applied_index = state.meta().applied.map_or(0, |id| id.index);
        let nodes = self.gateway.nodes().map_err(|error| status_of(&error))?;
        let changes = convert::history(&**state, &nodes, limit, request.since_ms).map_err(|error| status_of(&error))?;
        let recoveries = convert::recoveries(&**state, &nodes, request.since_ms).map_err(|error| status_of(&error))?;
        Ok(Response::new(v1::GetHistoryResponse {
            node_id: self.gateway.node().0,
            applied_index,
            leader_id: self.gateway.consensus().status().leader.unwrap_or(0),
            changes,
            recoveries,
        }))
    }

    async fn set_lead_policy(
        &self,
        request: Request<v1::SetLeadPolicyRequest>,
    ) -> Result<Response<v1::SetLeadPolicyResponse>, Status> {
        let actor = self.gateway.operator(&peer_identity(&request)?.identity).map_err(|error| status_of(&error))?;
        let request = request.into_inner();
        let change = convert::change_of(request.change).map_err(|error| status_of(&error))?;
        tracing::info!(?change, "an operator changes what is done about the lead");
        let changed = lead::change_policy(&self.gateway, actor, change, request.reason).await;
        Ok(Response::new(v1::SetLeadPolicyResponse { changed: changed.map_err(|error| refused(&error))? }))
    }

    async fn stand_for_election(
        &self,
        request: Request<v1::StandForElectionRequest>,
    ) -> Result<Response<v1::StandForElectionResponse>, Status> {
        let actor = self.gateway.operator(&peer_identity(&request)?.identity).map_err(|error| status_of(&error))?;
        let request = request.into_inner();
        let node = self.gateway.node().0;
        if request.node_id != node {
            return Err(refused(&lead::Error::OtherNode { node, wanted: request.node_id }));
        }
        convert::check_reason(&request.reason).map_err(|error| status_of(&error))?;
        let deadline = Instant::now() + self.gateway.consensus().timers().election_max() * ELECTIONS_MAX;
        // In a task of its own: an operator who hangs up must not leave it half told.
        let (gateway, forced) = (self.gateway.clone(), self.forced.clone());
        let standing =
            tokio::spawn(async move { lead::stand(&gateway, &forced, actor, &request.reason, deadline).await });
        let stood = standing.await.map_err(|_| Status::internal("it was cut off; look with `plantao status`"))?;
        let stood = stood.map_err(|error| refused(&error))?;
        Ok(Response::new(v1::StandForElectionResponse {
            node_id: node,
            term: stood.term,
            changed: stood.changed,
            leader_silent_ms: stood.leader_silent.map(|silent| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)),
        }))
    }
}
