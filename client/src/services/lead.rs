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

impl AdminNode {
    /// Changes of leader, as this node's rows have them.
    pub async fn get_history(&self, request: v1::GetHistoryRequest) -> Result<v1::GetHistoryResponse, Error> {
        self.ask_lead(request, self.policy().attempt_timeout, |mut client, message| async move {
            client.get_history(message).await
        })
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
