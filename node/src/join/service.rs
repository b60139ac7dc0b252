//! The join service on the peer plane.

use super::convert;
use crate::api::convert::status;
use crate::gateway::{Consistency, Gateway, propose_as_node};
use crate::peer::{Caller, Gate};
use crate::storage::identity::NodeIdentity;
use crate::transport::peer_identity;
use plantao_client::identity::Identity;
use plantao_proto::peer::v1;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Serves nodes that join.
#[derive(Clone)]
pub struct JoinServer {
    gate: Gate,
    gateway: Gateway,
    node: Arc<NodeIdentity>,
    /// This node's certificate identity, for what it proposes.
    identity: Identity,
}

impl JoinServer {
    /// On a gateway.
    pub fn new(gate: Gate, gateway: Gateway, node: Arc<NodeIdentity>, identity: Identity) -> Self {
        Self { gate, gateway, node, identity }
    }
}

#[tonic::async_trait]
impl v1::join_service_server::JoinService for JoinServer {
    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinResponse>, Status> {
        let caller = peer_identity(&request)?.identity.clone();
        let message = request.into_inner();
        match &caller {
            Identity::NewNode { name, .. } if name.as_str() == message.name => {}
            _ => {
                return Err(Status::permission_denied(
                    "only a certificate spiffe://<cluster>/node/new/<name> of the same name may join; \
                     issue one with `plantao pki issue --new-node <name>`",
                ));
            }
        }
        self.gateway.settle(Consistency::Linearizable).await.map_err(|e| status(&e))?;
        let level = self.gateway.level().map_err(|e| status(&e))?;
        convert::check_level(&message, level)?;
        let command = convert::redeem(&message, level)?;
        let written = propose_as_node(&self.gateway, &self.identity, command).await.map_err(|e| status(&e))?;
        let number = convert::number(&written)?;
        self.gateway.settle(Consistency::Linearizable).await.map_err(|e| status(&e))?;
        let nodes = self.gateway.nodes().map_err(|e| status(&e))?;
        let slot = convert::recovery_slot(&**self.gateway.state()).map_err(|fault| status(&fault.into()))?;
        let answer = convert::welcome(&self.node, number, &nodes, slot)?;
        tracing::info!(node = number.0, "a node joins");
        Ok(Response::new(answer))
    }

    async fn fetch_root_key(
        &self,
        request: Request<v1::FetchRootKeyRequest>,
    ) -> Result<Response<v1::FetchRootKeyResponse>, Status> {
        let refused = |why: &'static str| Err(Status::permission_denied(why));
        let caller = self.gate.admit(Caller::of(&request)?, request.get_ref().header.as_ref())?;
        if self.gateway.keyring().is_sealed() {
            return Err(Status::unavailable("this node is sealed itself: ask another unit's node"));
        }
        self.gateway.settle(Consistency::Linearizable).await.map_err(|e| status(&e))?;
        let nodes = self.gateway.nodes().map_err(|e| status(&e))?;
        let Some((_, row)) = nodes.into_iter().find(|(id, _)| id.0 == caller) else {
            return refused("this node is not known to the network");
        };
        if self.gateway.consensus().member(caller).is_none() {
            return Err(Status::unavailable("this node is no member yet: ask again in a moment"));
        }
        if !row.description.keyed {
            return refused("an off-site node never gets the root key");
        }
        if row.root_handed {
            return refused(
                "the root key was handed to this node before, and is handed once: restore its root slot with the paper \
                 passphrase (`plantaod unseal`)",
            );
        }
        // First the note, then the key: a key that left unnoted would be worse than one that has to be typed in.
        let command = convert::note_root_handed(caller);
        let written = propose_as_node(&self.gateway, &self.identity, command).await.map_err(|e| status(&e))?;
        if !convert::changed(&written) {
            return refused("the root key was handed to this node before, and is handed once");
        }
        let key = self.gateway.keyring().root_for_handover().map_err(|_| Status::unavailable("this node is sealed"))?;
        tracing::info!(node = caller, "the root key was handed over");
        Ok(Response::new(v1::FetchRootKeyResponse { root_key: key.to_vec().into() }))
    }
}
