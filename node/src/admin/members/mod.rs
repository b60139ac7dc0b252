//! Who is a member, and how that changes. What is safe is decided in `members` and in the rules.

mod convert;

use crate::admin::About;
use crate::api::convert::status as status_of;
use crate::entropy::SharedEntropy;
use crate::gateway::Gateway;
use crate::members::Members;
use crate::transport::peer_identity;
use plantao_proto::admin::v1;
use tonic::{Request, Response, Status};

/// Serves operators.
#[derive(Clone)]
pub struct MembersServices {
    gateway: Gateway,
    members: Members,
    about: About,
    entropy: SharedEntropy,
}

impl MembersServices {
    /// On a gateway.
    pub fn new(gateway: Gateway, members: Members, about: About, entropy: SharedEntropy) -> Self {
        Self { gateway, members, about, entropy }
    }
}

#[tonic::async_trait]
impl v1::members_service_server::MembersService for MembersServices {
    async fn get_members(&self, _: Request<v1::GetMembersRequest>) -> Result<Response<v1::GetMembersResponse>, Status> {
        let (status, plan) = self.members.plan().map_err(|error| status_of(&error))?;
        let nodes =
            convert::nodes(&**self.gateway.state(), &status, &self.members).map_err(|error| status_of(&error))?;
        let layout = convert::layout(&**self.gateway.state()).map_err(|error| status_of(&error))?;
        let after = self.members.replace_silent_after();
        Ok(Response::new(v1::GetMembersResponse {
            cluster_id: self.about.node.cluster.as_bytes().to_vec().into(),
            cluster_name: self.about.node.cluster_name.clone(),
            node_id: status.node,
            leader_id: status.leader.unwrap_or(0),
            term: status.term,
            last_log_index: status.last_index,
            layout_version: layout.version,
            nodes,
            staged: layout.staged.iter().map(convert::change).collect(),
            steps: if status.leads() { plan.pending.iter().map(convert::step).collect() } else { Vec::new() },
            now_ms: self.gateway.clock().now().millis(),
            replace_silent_after_ms: after.map_or(0, convert::millis),
        }))
    }

    async fn change_members(
        &self,
        request: Request<v1::ChangeMembersRequest>,
    ) -> Result<Response<v1::ChangeMembersResponse>, Status> {
        let actor = self.gateway.operator(&peer_identity(&request)?.identity).map_err(|error| status_of(&error))?;
        let message = request.into_inner();
        let changes = convert::changes(&message.changes).map_err(|error| status_of(&error))?;
        let forecast = self
            .members
            .forecast(&changes, message.layout_version, message.allow_fewer_voters)
            .map_err(|refusal| convert::refused(&refusal))?;
        let mut decided = (forecast.version, false);
        if !message.dry_run {
            let command = convert::change_members(&message, changes);
            let written = self.gateway.propose_once(actor, command).await.map_err(|error| status_of(&error))?;
            decided = convert::decided(&written)?;
        }
        Ok(Response::new(convert::forecast(&forecast, decided)))
    }

    async fn stage_members(
        &self,
        request: Request<v1::StageMembersRequest>,
    ) -> Result<Response<v1::StageMembersResponse>, Status> {
        let actor = self.gateway.operator(&peer_identity(&request)?.identity).map_err(|error| status_of(&error))?;
        let command = convert::stage(request.get_ref()).map_err(|error| status_of(&error))?;
        let written = self.gateway.propose_once(actor, command).await.map_err(|error| status_of(&error))?;
        let (layout_version, changed) = convert::decided(&written)?;
        Ok(Response::new(v1::StageMembersResponse { layout_version, changed }))
    }

    async fn plan_replacement(
        &self,
        request: Request<v1::PlanReplacementRequest>,
    ) -> Result<Response<v1::PlanReplacementResponse>, Status> {
        let actor = self.gateway.operator(&peer_identity(&request)?.identity).map_err(|error| status_of(&error))?;
        let now = self.gateway.clock().now();
        let new = convert::replacement(request.get_ref(), now, &*self.entropy)?;
        let keyed = convert::keyed(&**self.gateway.state(), request.get_ref().node_id).map_err(|e| status_of(&e))?;
        let written = self.gateway.propose_once(actor, new.command).await.map_err(|error| status_of(&error))?;
        convert::decided(&written)?;
        Ok(Response::new(v1::PlanReplacementResponse { token: new.token, not_after_ms: new.not_after_ms, keyed }))
    }
}
