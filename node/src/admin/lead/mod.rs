//! The lead for operators: its history, and how it is moved. What may be done is `lead`'s to say.

mod convert;

use crate::api::convert::{status as status_of, told};
use crate::gateway::Gateway;
use crate::lead;
use plantao_proto::admin::v1;
use tonic::{Code, Request, Response, Status};

pub(crate) use convert::handover;

/// Changes that one answer has unless more are asked for.
const HISTORY_DEFAULT: u32 = 100;

/// Serves one node.
#[derive(Clone)]
pub struct LeadServices {
    gateway: Gateway,
}

impl LeadServices {
    /// On a gateway.
    pub fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }
}

/// A refusal with its number and what to do.
pub(crate) fn refused(error: &lead::Error) -> Status {
    match error {
        lead::Error::Gateway(error) => status_of(error),
        error => told(Code::FailedPrecondition, error.to_string(), error.code(), error.help(), true),
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
        Ok(Response::new(v1::GetHistoryResponse {
            node_id: self.gateway.node().0,
            applied_index,
            leader_id: self.gateway.consensus().leader().unwrap_or(0),
            changes,
        }))
    }
}
