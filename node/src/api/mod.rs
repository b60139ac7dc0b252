//! The public services: thin. Check the form, ask the gateway, answer.

mod agenda;
mod audit;
mod changes;
mod check;
mod consents;
pub(crate) mod convert;
mod directory;
mod images;
mod patients;
mod records;

pub use images::ImageServices;

use crate::gateway::{Asked, Error, Gateway};
use crate::transport::{PeerIdentity, peer_identity};
use plantao_proto::public::v1;
use tonic::{Request, Status};

/// All public services of one node.
#[derive(Clone)]
pub struct PublicServices(Gateway);

impl PublicServices {
    /// On a gateway.
    pub fn new(gateway: Gateway) -> Self {
        Self(gateway)
    }

    /// Who calls, how fresh the answer must be, and what it then reflects.
    async fn begin<T>(&self, request: &Request<T>, read: Option<&v1::ReadOptions>) -> Result<Asked, Status> {
        let identity = &caller(request)?.identity;
        let consistency = convert::consistency(read).map_err(refuse)?;
        self.0.begin(identity, consistency).await.map_err(refuse)
    }
}

#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
fn caller<T>(request: &Request<T>) -> Result<&PeerIdentity, Status> {
    peer_identity(request)
}

fn refuse(error: Error) -> Status {
    if matches!(error, Error::State(_) | Error::Damaged | Error::Journal(crate::journal::NoteError::Broken)) {
        tracing::error!(%error, code = error.code(), "a request failed on this node's own data");
    }
    convert::status(&error)
}

/// A unary write: header, draft, gateway, outcome. The canonical request is the message as it came.
macro_rules! writes {
    ($service:path; $($method:ident: $request:ident -> $response:ident, $label:literal, $draft:expr;)*; $($rest:item)*) => {
        #[tonic::async_trait]
        impl $service for crate::api::PublicServices {
            $(async fn $method(
                &self,
                request: tonic::Request<v1::$request>,
            ) -> Result<tonic::Response<v1::$response>, tonic::Status> {
                let identity = crate::api::caller(&request)?.identity.clone();
                let message = request.into_inner();
                let header = convert::header(message.header.as_ref()).map_err(crate::api::refuse)?;
                let draft = $draft(&message).map_err(crate::api::refuse)?;
                let canonical = prost::Message::encode_to_vec(&message);
                let written = self.0.write(&identity, header, $label, &canonical, draft).await.map_err(crate::api::refuse)?;
                Ok(tonic::Response::new(v1::$response { outcome: convert::outcome(written) }))
            })*
            $($rest)*
        }
    };
}
use writes;
