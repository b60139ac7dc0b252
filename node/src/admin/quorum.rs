//! A survivor is told to go on alone. When it may is decided in `survivor`.

use crate::api::convert::{status as status_of, told};
use crate::gateway::Gateway;
use crate::survivor::{Outlook, Refusal, Survivors, Voice, Wanted};
use crate::transport::peer_identity;
use plantao_proto::admin::v1;
use tonic::{Code, Request, Response, Status};

/// Serves operators.
#[derive(Clone)]
pub struct QuorumServices {
    gateway: Gateway,
    survivors: Survivors,
}

impl QuorumServices {
    /// On a gateway.
    pub fn new(gateway: Gateway, survivors: Survivors) -> Self {
        Self { gateway, survivors }
    }
}

/// A refusal with its number and what to do.
fn refused(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Gateway(error) => status_of(error),
        other => told(Code::FailedPrecondition, other.to_string(), other.code(), other.help(), true),
    }
}

fn voice(of: Voice) -> v1::recover_quorum_response::Voice {
    v1::recover_quorum_response::Voice {
        node_id: of.node,
        name: of.name,
        answers: of.applied.is_some(),
        applied_index: of.applied.unwrap_or_default(),
    }
}

#[tonic::async_trait]
impl v1::quorum_service_server::QuorumService for QuorumServices {
    async fn recover_quorum(
        &self,
        request: Request<v1::RecoverQuorumRequest>,
    ) -> Result<Response<v1::RecoverQuorumResponse>, Status> {
        let actor = self.gateway.operator(&peer_identity(&request)?.identity).map_err(|error| status_of(&error))?;
        let v1::RecoverQuorumRequest { node_id, cluster_name, reason, dry_run } = request.into_inner();
        let wanted = Wanted { node: node_id, network: cluster_name, by: actor.id, reason, trial: dry_run };
        let Outlook { incarnation, last_index, last_write_ms, voters } =
            self.survivors.recover(wanted).await.map_err(|refusal| refused(&refusal))?;
        Ok(Response::new(v1::RecoverQuorumResponse {
            incarnation,
            last_log_index: last_index,
            last_write_ms,
            voters: voters.into_iter().map(voice).collect(),
        }))
    }
}
