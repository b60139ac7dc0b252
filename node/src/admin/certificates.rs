//! Certificates on the admin plane: what a node shows and trusts, renewal with a key that stays here, roots and revocation
//! lists, and what `status` warns of. What is good and how it is installed is `transport`'s; nothing here reads a file.

use crate::api::convert::{status as status_of, told};
use crate::clock::SharedClock;
use crate::gateway::Gateway;
use crate::transport::{InstallError, ReloadStatus, TlsReloader, error_chain, peer_identity};
use plantao_client::pki::KeyRequest;
use plantao_client::transport::CertificateId;
use plantao_proto::admin::v1;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tonic::{Code, Request, Response, Status};

/// How long a request waits for its answer; then a new key is made.
const REQUEST_LIFE: Duration = Duration::from_secs(3600);

/// When it was made, and what.
type OpenRequest = (Instant, Arc<KeyRequest>);

/// Serves one node.
#[derive(Clone)]
pub struct CertificateServices {
    gateway: Gateway,
    tls: Arc<TlsReloader>,
    /// The request that is open. Its key is on no disk until it has a certificate.
    open: Arc<Mutex<Option<OpenRequest>>>,
}

impl CertificateServices {
    /// With the credentials of this node.
    pub fn new(gateway: Gateway, tls: Arc<TlsReloader>) -> Self {
        Self { gateway, tls, open: Arc::default() }
    }

    #[allow(clippy::result_large_err, reason = "as all of tonic's")]
    fn operator<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.gateway.operator(&peer_identity(request)?.identity).map(|_| ()).map_err(|error| status_of(&error))
    }

    /// Runs what waits for a disk where that holds up nobody.
    async fn install<T: Send + 'static>(
        &self,
        work: impl FnOnce(&TlsReloader) -> Result<T, InstallError> + Send + 'static,
    ) -> Result<T, Status> {
        let tls = Arc::clone(&self.tls);
        let done = crate::work::blocking(move || work(&tls)).await;
        done.map_err(|_| Status::internal("the installation was cut off; look at the node's log"))?.map_err(refused)
    }

    fn request(&self) -> Result<Arc<KeyRequest>, InstallError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, request)) = open.as_ref()
            && made.elapsed() < REQUEST_LIFE
        {
            return Ok(Arc::clone(request));
        }
        let request = Arc::new(self.tls.request()?);
        *open = Some((Instant::now(), Arc::clone(&request)));
        Ok(request)
    }

    fn open_request(&self) -> Option<Arc<KeyRequest>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map(|(_, request)| Arc::clone(request))
    }

    fn close(&self, answered: &Arc<KeyRequest>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|(_, request)| Arc::ptr_eq(request, answered)) {
            *open = None;
        }
    }
}

fn refused(error: InstallError) -> Status {
    let grpc = match &error {
        InstallError::Key(_) | InstallError::Write { .. } | InstallError::Read { .. } | InstallError::Reload(_) => {
            Code::Internal
        }
        _ => Code::FailedPrecondition,
    };
    // After a failed write the old files may be half replaced on disk; what is in use is not.
    told(grpc, error_chain(&error), error.code(), error.help(), true)
}

#[tonic::async_trait]
impl v1::certificate_service_server::CertificateService for CertificateServices {
    async fn get_certificate(
        &self,
        _: Request<v1::GetCertificateRequest>,
    ) -> Result<Response<v1::GetCertificateResponse>, Status> {
        let credentials = self.tls.client().credentials();
        let (leaf, list) = (credentials.leaf(), self.tls.revocations().current());
        let certified = credentials.certified_key();
        let id = certified.cert.first().and_then(CertificateId::of);
        let status = self.tls.status().borrow().clone();
        let failures = [&status.failure, &status.list_failure].into_iter().flatten();
        let ms = |seconds: i64| seconds.saturating_mul(1000);
        let trusted = credentials.root_certificates().iter();
        Ok(Response::new(v1::GetCertificateResponse {
            node_id: leaf.identity.node_id().unwrap_or(0),
            identity: leaf.identity.to_string(),
            serial: id.map(|id| id.serial()).unwrap_or_default(),
            not_before_ms: ms(leaf.not_before),
            not_after_ms: ms(leaf.not_after),
            renewal_due_ms: ms(leaf.renewal_due()),
            root: credentials.issuing_root().map(|root| root.as_bytes().to_vec()).unwrap_or_default().into(),
            trusted_roots: trusted
                .map(|root| plantao_client::transport::Fingerprint::of(root).as_bytes().to_vec().into())
                .collect(),
            revocation_number: list.number(),
            revoked_count: u32::try_from(list.len()).unwrap_or(u32::MAX),
            revocation_next_update_ms: ms(list.next_update()),
            revoked: status.revoked,
            failures: failures.map(|error| error_chain(error.as_ref())).collect(),
        }))
    }

    async fn request_certificate(
        &self,
        request: Request<v1::RequestCertificateRequest>,
    ) -> Result<Response<v1::RequestCertificateResponse>, Status> {
        self.operator(&request)?;
        let made = self.request().map_err(refused)?;
        Ok(Response::new(v1::RequestCertificateResponse { request_pem: made.request_pem().to_owned() }))
    }

    async fn install_certificate(
        &self,
        request: Request<v1::InstallCertificateRequest>,
    ) -> Result<Response<v1::InstallCertificateResponse>, Status> {
        self.operator(&request)?;
        let open = self.open_request().ok_or_else(|| refused(InstallError::NotRequested))?;
        let (pem, key) = (request.into_inner().certificate_pem, Arc::clone(&open));
        let leaf = self.install(move |tls| tls.install_certificate(&key, pem.as_bytes())).await?;
        self.close(&open);
        let credentials = self.tls.client().credentials();
        let id = credentials.certified_key().cert.first().and_then(CertificateId::of);
        let serial = id.map(|id| id.serial()).unwrap_or_default();
        tracing::info!(serial, not_after = leaf.not_after, "a new certificate was installed");
        let not_after_ms = leaf.not_after.saturating_mul(1000);
        Ok(Response::new(v1::InstallCertificateResponse { serial, not_after_ms }))
    }

    async fn install_roots(
        &self,
        request: Request<v1::InstallRootsRequest>,
    ) -> Result<Response<v1::InstallRootsResponse>, Status> {
        self.operator(&request)?;
        let pem = request.into_inner().roots_pem;
        self.install(move |tls| tls.install_roots(pem.as_bytes())).await?;
        tracing::info!("new roots were installed");
        Ok(Response::new(v1::InstallRootsResponse {}))
    }

    async fn install_revocations(
        &self,
        request: Request<v1::InstallRevocationsRequest>,
    ) -> Result<Response<v1::InstallRevocationsResponse>, Status> {
        self.operator(&request)?;
        let pem = request.into_inner().lists_pem;
        let list = self.install(move |tls| tls.install_revocations(pem.as_bytes())).await?;
        tracing::info!(number = list.number(), revoked = list.len(), "a revocation list was installed");
        let revoked_count = u32::try_from(list.len()).unwrap_or(u32::MAX);
        Ok(Response::new(v1::InstallRevocationsResponse { number: list.number(), revoked_count }))
    }
}

/// What `status` says of a node's certificate.
pub(super) fn warnings(certificate: &ReloadStatus, clock: &SharedClock) -> Vec<v1::Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, message: String, help: &str| {
        warnings.push(v1::Warning { code, message, help: help.to_string() });
    };
    let now = clock.now().millis() / 1000;
    let left = certificate.not_after.saturating_sub(now);
    let days = left.max(0) / 86_400;
    if certificate.is_due(now) {
        let message = if left < 0 {
            "this node's certificate has expired: the others refuse it".to_string()
        } else {
            format!("this node's certificate expires in {days} days, and a third of its life or less is left")
        };
        warn(2301, message, "renew it where the authority is kept: plantao pki renew --nodes");
    }
    if let Some(failure) = &certificate.failure {
        warn(
            2302,
            format!("the new certificate files are not used: {failure}"),
            "correct the files; the old ones serve on",
        );
    }
    if certificate.revoked {
        warn(
            2661,
            "this node's certificate is revoked: the others refuse it".to_string(),
            "issue a new one where the authority is kept and put it in place: plantao pki issue",
        );
    }
    if let Some(failure) = &certificate.list_failure {
        let message = format!("the revocation list needs attention: {}", error_chain(failure.as_ref()));
        warn(2662, message, "sign and send a new one where the authority is kept: plantao pki crl --push");
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ScriptedClock;

    /// Whoever is warned must still have time, and whoever has time must not be warned.
    #[test]
    fn the_warning_comes_at_a_third_of_the_life() {
        const DAY: i64 = 86_400;
        for (life, quiet_at, warned_at) in [(90, 31, 30), (30, 11, 10), (6, 3, 2)] {
            let certificate = ReloadStatus {
                generation: 0,
                not_before: 0,
                not_after: life * DAY,
                renewal_due: life * DAY / 3 * 2,
                revoked: false,
                failure: None,
                list_failure: None,
                failures: 0,
            };
            let shares = [-1, 0, life / 2, life, life + 1].map(|day| certificate.life_left(day * DAY));
            assert_eq!(shares, [1.0, 1.0, 0.5, 0.0, 0.0], "{life} days");
            let status = |left: i64| {
                let clock: SharedClock = Arc::new(ScriptedClock::new((life - left) * DAY * 1000));
                warnings(&certificate, &clock).iter().map(|warning| warning.code).collect::<Vec<_>>()
            };
            assert_eq!(status(quiet_at), [0; 0], "{life} days");
            assert_eq!(status(warned_at), [2301], "{life} days");
            assert_eq!(status(-1), [2301], "{life} days");
        }
    }
}
