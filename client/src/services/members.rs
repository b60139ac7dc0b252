//! Calls about who is a member. Each asks one node, once: what changes is asked of the leader alone.

use crate::connect::AdminNode;
use crate::error::Error;
use plantao_proto::admin::v1;
use plantao_proto::admin::v1::members_service_client::MembersServiceClient;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// A decision waits for the log, behind whatever else is under way.
const DECISION_TIMEOUT: Duration = Duration::from_secs(15);

impl AdminNode {
    /// Every node that ever joined, as this node knows it.
    pub async fn get_members(&self) -> Result<v1::GetMembersResponse, Error> {
        let patience = self.policy().attempt_timeout;
        self.about_members(v1::GetMembersRequest {}, patience, |mut client, message| async move {
            client.get_members(message).await
        })
        .await
    }

    /// Decides what members are to be, or says whether that would be refused.
    pub async fn change_members(&self, request: v1::ChangeMembersRequest) -> Result<v1::ChangeMembersResponse, Error> {
        self.about_members(request, DECISION_TIMEOUT, |mut client, message| async move {
            client.change_members(message).await
        })
        .await
    }

    /// Puts changes down to be looked at.
    pub async fn stage_members(&self, request: v1::StageMembersRequest) -> Result<v1::StageMembersResponse, Error> {
        self.about_members(request, DECISION_TIMEOUT, |mut client, message| async move {
            client.stage_members(message).await
        })
        .await
    }

    /// A token for a node in the place of another. When nothing was answered, one may exist that nobody has seen; the next
    /// one takes it back.
    pub async fn plan_replacement(
        &self,
        request: v1::PlanReplacementRequest,
    ) -> Result<v1::PlanReplacementResponse, Error> {
        self.about_members(request, DECISION_TIMEOUT, |mut client, message| async move {
            client.plan_replacement(message).await
        })
        .await
    }

    async fn about_members<M, T, F, Fut>(&self, message: M, patience: Duration, call: F) -> Result<T, Error>
    where
        F: FnOnce(MembersServiceClient<Channel>, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut request = Request::new(message);
        request.set_timeout(patience);
        let calling = call(MembersServiceClient::new(self.channel()), request);
        let status = match timeout(patience + Duration::from_millis(100), calling).await {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer in time"),
        };
        Err(self.error(&status))
    }
}
