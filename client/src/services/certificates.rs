//! Certificates of nodes, roots and revocation lists: each call asks one node, once, and is harmless when repeated.

use crate::connect::AdminNode;
use crate::error::Error;
use plantao_proto::admin::v1;
use plantao_proto::admin::v1::certificate_service_client::CertificateServiceClient;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// An installation waits for a few synced writes on a disk that may be slow.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(30);

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($request:ident) -> $response:ident;)*) => {
        impl AdminNode {$(
            $(#[$doc])*
            pub async fn $name(&self, request: v1::$request) -> Result<v1::$response, Error> {
                self.call_certificates(request, |mut client, message| async move { client.$name(message).await }).await
            }
        )*}
    };
}

calls! {
    /// The certificate that this node shows, and what it trusts.
    get_certificate(GetCertificateRequest) -> GetCertificateResponse;
    /// Has this node make a key, and a request for its certificate.
    request_certificate(RequestCertificateRequest) -> RequestCertificateResponse;
    /// Gives this node the answer to its request.
    install_certificate(InstallCertificateRequest) -> InstallCertificateResponse;
    /// Gives this node another bundle of roots.
    install_roots(InstallRootsRequest) -> InstallRootsResponse;
    /// Gives this node newer revocation lists.
    install_revocations(InstallRevocationsRequest) -> InstallRevocationsResponse;
}

impl AdminNode {
    async fn call_certificates<M, T, F, Fut>(&self, message: M, call: F) -> Result<T, Error>
    where
        F: FnOnce(CertificateServiceClient<Channel>, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut request = Request::new(message);
        request.set_timeout(INSTALL_TIMEOUT);
        let calling = call(CertificateServiceClient::new(self.channel()), request);
        match timeout(INSTALL_TIMEOUT + Duration::from_millis(100), calling).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.error(&status)),
            Err(_) => Err(self.error(&Status::deadline_exceeded("no answer in time"))),
        }
    }
}
