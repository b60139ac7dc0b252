//! The format level of the network. What it takes to raise it is decided in `upgrade` and in the rules.

mod convert;

use crate::admin::About;
use crate::api::convert::status as status_of;
use crate::gateway::Gateway;
use crate::transport::peer_identity;
use crate::upgrade::Upgrades;
use plantao_proto::admin::v1;
use tonic::{Request, Response, Status};

/// Serves operators.
#[derive(Clone)]
pub struct UpgradeServices {
    gateway: Gateway,
    upgrades: Upgrades,
    about: About,
}

impl UpgradeServices {
    /// On a gateway.
    pub fn new(gateway: Gateway, upgrades: Upgrades, about: About) -> Self {
        Self { gateway, upgrades, about }
    }
}

#[tonic::async_trait]
impl v1::upgrade_service_server::UpgradeService for UpgradeServices {
    async fn get_upgrade(&self, _: Request<v1::GetUpgradeRequest>) -> Result<Response<v1::GetUpgradeResponse>, Status> {
        let picture = self.upgrades.look().await.map_err(|error| status_of(&error))?;
        let status = self.gateway.consensus().status();
        Ok(Response::new(v1::GetUpgradeResponse {
            cluster_name: self.about.node.cluster_name.clone(),
            node_id: status.node,
            leader_id: status.leader.unwrap_or(0),
            term: status.term,
            ..convert::picture(picture)
        }))
    }

    async fn finalize_upgrade(
        &self,
        request: Request<v1::FinalizeUpgradeRequest>,
    ) -> Result<Response<v1::FinalizeUpgradeResponse>, Status> {
        let actor = self.gateway.operator(&peer_identity(&request)?.identity).map_err(|error| status_of(&error))?;
        let v1::FinalizeUpgradeRequest { seen_level, to_level, reason, dry_run } = request.into_inner();
        // In a task of its own: an operator who hangs up must not leave it undecided whether it was proposed.
        let upgrades = self.upgrades.clone();
        let raising =
            tokio::spawn(async move { upgrades.finalize(actor, seen_level, to_level, reason, dry_run).await });
        let raised =
            raising.await.map_err(|_| Status::internal("it was cut off; look with `plantao upgrade status`"))?;
        let (level, changed) = raised.map_err(|refusal| convert::refused(&refusal))?;
        Ok(Response::new(v1::FinalizeUpgradeResponse { level, changed }))
    }
}
