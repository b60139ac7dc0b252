//! The join service on the peer plane.

use crate::admin::convert as wire;
use crate::api::convert::status;
use crate::gateway::{Gateway, propose_as_node};
use crate::peer::{Caller, Gate};
use crate::storage::identity::NodeIdentity;
use crate::transport::peer_identity;
use plantao_client::identity::Identity;
use plantao_domain::{Command, NodeId, Outcome, rows};
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
        let (token, node) = wire::joining(&message)?;
        self.gateway.settle(crate::gateway::Consistency::Linearizable).await.map_err(|e| status(&e))?;
        let command = Command::RedeemJoinToken { token, node };
        let written = propose_as_node(&self.gateway, &self.identity, command).await.map_err(|e| status(&e))?;
        let number = match written.outcome {
            Outcome::Confirmed { node: Some(number), .. } => number,
            Outcome::Rejected(rejection) => {
                return Err(Status::permission_denied(format!(
                    "{rejection} (PLT-{}): {}",
                    rejection.code(),
                    rejection.help()
                )));
            }
            _ => return Err(Status::internal("the join has no number")),
        };
        self.gateway.settle(crate::gateway::Consistency::Linearizable).await.map_err(|e| status(&e))?;
        let state = self.gateway.state();
        let row = rows::node(&**state, number).map_err(|e| status(&e.into()))?;
        let row = row.ok_or_else(|| Status::unavailable("this node has not applied the join yet"))?;
        let members = rows::nodes(&**state, None, 200).map_err(|e| status(&e.into()))?;
        tracing::info!(node = number.0, "a node joins");
        Ok(Response::new(v1::JoinResponse {
            cluster_id: self.node.cluster.as_bytes().to_vec().into(),
            cluster_name: self.node.cluster_name.clone(),
            incarnation: self.node.incarnation,
            node_id: number.0,
            keyed: row.description.keyed,
            voter: row.description.voter,
            members: members
                .into_iter()
                .filter(|(id, _)| *id != number)
                .map(|(id, row)| v1::join_response::Seed { node_id: id.0, peer_address: row.description.peer_address })
                .collect(),
        }))
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
        self.gateway.settle(crate::gateway::Consistency::Linearizable).await.map_err(|e| status(&e))?;
        let row = rows::node(&**self.gateway.state(), NodeId(caller)).map_err(|e| status(&e.into()))?;
        let Some(row) = row else { return refused("this node is not known to the network") };
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
        let command = Command::NoteRootHanded { node: NodeId(caller) };
        let written = propose_as_node(&self.gateway, &self.identity, command).await.map_err(|e| status(&e))?;
        match written.outcome {
            Outcome::Confirmed { changed: true, .. } => {}
            _ => return refused("the root key was handed to this node before, and is handed once"),
        }
        let key = self.gateway.keyring().root_for_handover().map_err(|_| Status::unavailable("this node is sealed"))?;
        tracing::info!(node = caller, "the root key was handed over");
        Ok(Response::new(v1::FetchRootKeyResponse { root_key: key.to_vec().into() }))
    }
}
