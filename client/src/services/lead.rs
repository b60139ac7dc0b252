//! The lead: its history, asked of one node, once.

use crate::connect::AdminNode;
use crate::error::Error;
use plantao_proto::admin::v1;
use plantao_proto::admin::v1::lead_service_client::LeadServiceClient;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// Longer than a node waits for a leader or for elections.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(20);

impl AdminNode {
    /// Changes of leader, as this node's rows have them.
    pub async fn get_history(&self, request: v1::GetHistoryRequest) -> Result<v1::GetHistoryResponse, Error> {
        self.ask_lead(request, self.policy().attempt_timeout, |mut client, message| async move {
            client.get_history(message).await
        })
        .await
    }

    /// Changes what automation does about the lead. Asking again is harmless.
    pub async fn set_lead_policy(&self, request: v1::SetLeadPolicyRequest) -> Result<v1::SetLeadPolicyResponse, Error> {
        self.ask_lead(
            request,
            CHANGE_TIMEOUT,
            |mut client, message| async move { client.set_lead_policy(message).await },
        )
        .await
    }

    /// Has this node stand for election.
    pub async fn stand_for_election(
        &self,
        request: v1::StandForElectionRequest,
    ) -> Result<v1::StandForElectionResponse, Error> {
        self.ask_lead(
            request,
            CHANGE_TIMEOUT,
            |mut client, message| async move { client.stand_for_election(message).await },
        )
        .await
    }

    async fn ask_lead<M, T, F, Fut>(&self, message: M, patience: Duration, call: F) -> Result<T, Error>
    where
        F: FnOnce(LeadServiceClient<Channel>, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut request = Request::new(message);
        request.set_timeout(patience);
        match timeout(patience + Duration::from_millis(100), call(LeadServiceClient::new(self.channel()), request))
            .await
        {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.error(&status)),
            Err(_) => Err(self.error(&Status::deadline_exceeded("no answer in time"))),
        }
    }
}
