//! The format level of the network and what its programs read. Each asks one node, once.

use crate::connect::AdminNode;
use crate::error::Error;
use plantao_proto::admin::v1;
use plantao_proto::admin::v1::upgrade_service_client::UpgradeServiceClient;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// A node asks all others, for three seconds at most, and then the log.
const ASK_TIMEOUT: Duration = Duration::from_secs(20);

impl AdminNode {
    /// What every node runs and reads, as this node found out just now.
    pub async fn get_upgrade(&self) -> Result<v1::GetUpgradeResponse, Error> {
        self.about_levels(
            v1::GetUpgradeRequest {},
            |mut client, message| async move { client.get_upgrade(message).await },
        )
        .await
    }

    /// Raises the format level for good, or says whether that would be refused.
    pub async fn finalize_upgrade(
        &self,
        request: v1::FinalizeUpgradeRequest,
    ) -> Result<v1::FinalizeUpgradeResponse, Error> {
        self.about_levels(request, |mut client, message| async move { client.finalize_upgrade(message).await }).await
    }

    async fn about_levels<M, T, F, Fut>(&self, message: M, call: F) -> Result<T, Error>
    where
        F: FnOnce(UpgradeServiceClient<Channel>, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut request = Request::new(message);
        request.set_timeout(ASK_TIMEOUT);
        let calling = call(UpgradeServiceClient::new(self.channel()), request);
        let status = match timeout(ASK_TIMEOUT + Duration::from_millis(100), calling).await {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer in time"),
        };
        Err(self.error(&status))
    }
}
