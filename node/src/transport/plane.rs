//! The three planes: which identity may speak on which listener at all. A wrong one gets through the handshake, because
//! only a status can tell it what to do, and is refused at each request before any service sees it.

use super::acceptor::PeerIdentity;
use super::system_time;
use super::tls::ServerTls;
use crate::clock::SharedClock;
use futures_util::future::{Either, Ready, ready};
use plantao_client::identity::{Identity, Kind};
use plantao_client::transport::unix_seconds;
use std::fmt;
use std::task::{Context, Poll};
use tonic::{Request, Status};
use tower::{Layer, Service};

/// The one service of the peer plane for a node that has no number yet.
const JOIN_SERVICE: &str = "/plantao.peer.v1.JoinService/";

/// A listener, by whom it serves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Plane {
    /// Programs and people of the units.
    Public,
    /// Those who run and watch the cluster.
    Admin,
    /// Nodes among themselves.
    Peer,
}

impl Plane {
    /// Whether the identity may speak here. A node without a number is admitted to [`Plane::Peer`], and the layer lets
    /// it reach the join service only.
    pub fn admits(self, identity: &Identity) -> bool {
        match self {
            Self::Public => identity.kind().is_some(),
            Self::Admin => {
                matches!(identity.kind(), Some(Kind::Operator | Kind::Auditor | Kind::Dpo | Kind::Manager))
            }
            Self::Peer => identity.is_node(),
        }
    }

    /// For logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Admin => "admin",
            Self::Peer => "peer",
        }
    }

    fn refusal(self) -> &'static str {
        match self {
            Self::Public => {
                "this certificate may not use the public port: it serves people and programs of the units; \
                 call the port that is meant for your certificate"
            }
            Self::Admin => {
                "this certificate may not use the admin port: it serves operators, auditors, data protection officers \
                 and managers; use a certificate of such a kind, or the public port"
            }
            Self::Peer => {
                "this certificate may not use the peer port: it serves nodes only; call the node's public or admin port"
            }
        }
    }
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who sent the request.
///
/// # Errors
/// `Unauthenticated` when the request did not come through an [`super::Acceptor`], which no listener of ours allows.
// A status is large, and tonic's handlers return it by value everywhere.
#[allow(clippy::result_large_err)]
pub fn peer_identity<T>(request: &Request<T>) -> Result<&PeerIdentity, Status> {
    request.extensions().get().ok_or_else(no_identity)
}

fn no_identity() -> Status {
    Status::unauthenticated("the connection has no identity: a client certificate of the cluster is needed")
}

/// Refuses, at each request, an identity of the wrong plane, a certificate that expired while connected, and one whose
/// root was taken away since.
#[derive(Clone)]
pub struct PlaneLayer {
    plane: Plane,
    tls: ServerTls,
    clock: SharedClock,
}

impl fmt::Debug for PlaneLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaneLayer").field("plane", &self.plane).finish_non_exhaustive()
    }
}

impl PlaneLayer {
    /// For the listener of `plane`; `tls` is the one its acceptor uses.
    pub fn new(plane: Plane, tls: ServerTls, clock: SharedClock) -> Self {
        Self { plane, tls, clock }
    }

    /// The plane it guards.
    pub fn plane(&self) -> Plane {
        self.plane
    }

    #[allow(clippy::result_large_err)]
    fn check(&self, peer: Option<&PeerIdentity>, path: &str) -> Result<(), Status> {
        let peer = peer.ok_or_else(no_identity)?;
        let now = system_time(self.clock.now());
        if unix_seconds(now) > peer.not_after {
            return Err(Status::unauthenticated("the certificate expired while connected; renew it and connect again"));
        }
        self.tls.recheck(peer, now).map_err(|_| {
            Status::unauthenticated(
                "the certificate is no longer trusted: its root was withdrawn; get one under the current root and \
                 connect again",
            )
        })?;
        if !self.plane.admits(&peer.identity) {
            return Err(Status::permission_denied(self.plane.refusal()));
        }
        if matches!(peer.identity, Identity::NewNode { .. }) && !path.starts_with(JOIN_SERVICE) {
            return Err(Status::permission_denied(
                "a node without a number may only ask to join; join, and use the certificate with the number you get",
            ));
        }
        Ok(())
    }
}

impl<S> Layer<S> for PlaneLayer {
    type Service = PlaneService<S>;

    fn layer(&self, inner: S) -> PlaneService<S> {
        PlaneService { layer: self.clone(), inner }
    }
}

/// The service that [`PlaneLayer`] makes.
#[derive(Clone, Debug)]
pub struct PlaneService<S> {
    layer: PlaneLayer,
    inner: S,
}

impl<S, RequestBody, ResponseBody> Service<http::Request<RequestBody>> for PlaneService<S>
where
    S: Service<http::Request<RequestBody>, Response = http::Response<ResponseBody>>,
    ResponseBody: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<RequestBody>) -> Self::Future {
        match self.layer.check(request.extensions().get(), request.uri().path()) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}
