//! The admin plane: each call asks one node, once. A status that needed a retry would hide what it is there to show.

use crate::connect::{AdminNode, Cluster};
use crate::error::{Answer, Error};
use plantao_proto::admin::v1;
use plantao_proto::admin::v1::cluster_service_client::ClusterServiceClient;
use plantao_proto::admin::v1::proof_service_client::ProofServiceClient;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

/// A transfer waits for a voter to catch up and for an election: longer than one ordinary try.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(30);

/// Comparing states and reading random chunks from a slow disk take a while; progress comes more often than that.
const PROOF_SILENCE_MAX: Duration = Duration::from_secs(120);
/// Holders are asked for many images at once.
const COPIES_TIMEOUT: Duration = Duration::from_secs(60);

/// Why leadership was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// No admin endpoint answered as the leader.
    #[error("no node that answers is the leader")]
    NoLeader,
    /// The leader refused, or did not answer.
    #[error("the leader did not hand over")]
    Call(#[source] Error),
}

impl AdminNode {
    /// What this node knows of itself and of the cluster.
    pub async fn get_status(&self) -> Result<v1::GetStatusResponse, Error> {
        self.call(v1::GetStatusRequest {}, self.policy().attempt_timeout, |mut client, message| async move {
            client.get_status(message).await
        })
        .await
    }

    /// Digests of this node's state.
    pub async fn get_digest(&self) -> Result<v1::GetDigestResponse, Error> {
        self.call(v1::GetDigestRequest {}, self.policy().attempt_timeout, |mut client, message| async move {
            client.get_digest(message).await
        })
        .await
    }

    /// Asks this node, which must lead, to hand over.
    pub async fn transfer_leadership(
        &self,
        request: v1::TransferLeadershipRequest,
    ) -> Result<v1::TransferLeadershipResponse, Error> {
        self.call(
            request,
            TRANSFER_TIMEOUT,
            |mut client, message| async move { client.transfer_leadership(message).await },
        )
        .await
    }

    /// Makes a token for one node. When nothing was answered, a token may exist that nobody has seen; it expires.
    pub async fn create_join_token(
        &self,
        request: v1::CreateJoinTokenRequest,
    ) -> Result<v1::CreateJoinTokenResponse, Error> {
        self.call(request, self.policy().attempt_timeout, |mut client, message| async move {
            client.create_join_token(message).await
        })
        .await
    }

    async fn call<M, T, F, Fut>(&self, message: M, patience: Duration, call: F) -> Result<T, Error>
    where
        F: FnOnce(ClusterServiceClient<Channel>, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut request = Request::new(message);
        request.set_timeout(patience);
        let calling = call(ClusterServiceClient::new(self.channel()), request);
        let status = match timeout(patience + Duration::from_millis(100), calling).await {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer in time"),
        };
        Err(self.error(&status))
    }

    pub(super) fn error(&self, status: &Status) -> Error {
        let answer = Box::new(Answer::from_status(status, self.address()));
        match status.code() {
            Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => Error::Invalid(answer),
            Code::Unauthenticated | Code::PermissionDenied => Error::Denied(answer),
            Code::NotFound => Error::NotFound(answer),
            _ => Error::Unavailable(answer),
        }
    }

    /// Asks this node for a proof of 3-2-1; `told` hears how far it is. It may take as long as it likes, as long as it goes
    /// on telling.
    pub async fn prove(
        &self,
        request: v1::ProveRequest,
        mut told: impl FnMut(v1::ProofProgress),
    ) -> Result<v1::Proof, Error> {
        let mut client = ProofServiceClient::new(self.channel());
        let silent = || self.error(&Status::deadline_exceeded("the node fell silent"));
        let opened = timeout(PROOF_SILENCE_MAX, client.prove(request)).await.map_err(|_| silent())?;
        let mut parts = opened.map_err(|status| self.error(&status))?.into_inner();
        loop {
            let part = timeout(PROOF_SILENCE_MAX, parts.message()).await.map_err(|_| silent())?;
            match part.map_err(|status| self.error(&status))?.and_then(|response| response.part) {
                Some(v1::prove_response::Part::Progress(progress)) => told(progress),
                Some(v1::prove_response::Part::Proof(proof)) => return Ok(proof),
                None => return Err(self.error(&Status::unavailable("the node ended without a proof"))),
            }
        }
    }

    /// The copies of some objects, as this node hears of them.
    pub async fn list_copies(&self, request: v1::ListCopiesRequest) -> Result<v1::ListCopiesResponse, Error> {
        let mut client = ProofServiceClient::new(self.channel());
        let answer = timeout(COPIES_TIMEOUT, client.list_copies(request)).await;
        let answer = answer.map_err(|_| self.error(&Status::deadline_exceeded("no answer in time")))?;
        answer.map(Response::into_inner).map_err(|status| self.error(&status))
    }
}

impl Cluster {
    /// The admin node that leads now, by its own word; `None` when no endpoint says so.
    pub async fn leader(&self) -> Option<(AdminNode, v1::GetStatusResponse)> {
        let asked = futures_util::future::join_all(self.admin_nodes().iter().map(AdminNode::get_status)).await;
        let mut leaders: Vec<_> = self
            .admin_nodes()
            .iter()
            .zip(asked)
            .filter_map(|(node, status)| Some((node.clone(), status.ok()?)))
            .filter(|(_, status)| status.role() == v1::NodeRole::Leader)
            .collect();
        // A deposed leader may not know it yet: the higher term is the later one.
        leaders.sort_by_key(|(_, status)| status.term);
        leaders.pop()
    }

    /// Finds the leader and asks it to hand over.
    pub async fn transfer_leadership(
        &self,
        request: v1::TransferLeadershipRequest,
    ) -> Result<v1::TransferLeadershipResponse, TransferError> {
        let (leader, _) = self.leader().await.ok_or(TransferError::NoLeader)?;
        leader.transfer_leadership(request).await.map_err(TransferError::Call)
    }
}
