//! A survivor is told to go on alone. Asked of that node, once.

use crate::connect::AdminNode;
use crate::error::Error;
use plantao_proto::admin::v1;
use plantao_proto::admin::v1::quorum_service_client::QuorumServiceClient;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Request, Status};

/// The node asks the other voters three times, for three seconds each.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

impl AdminNode {
    /// Has this node go on without the majority, or says whether it would be refused. Without an answer it may have been
    /// accepted: its incarnation tells.
    pub async fn recover_quorum(&self, request: v1::RecoverQuorumRequest) -> Result<v1::RecoverQuorumResponse, Error> {
        let mut request = Request::new(request);
        request.set_timeout(ASK_TIMEOUT);
        let mut client = QuorumServiceClient::new(self.channel());
        let status = match timeout(ASK_TIMEOUT + Duration::from_millis(100), client.recover_quorum(request)).await {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer in time"),
        };
        Err(self.error(&status))
    }
}
