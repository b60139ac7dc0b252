//! The server's side of TLS: our certificate, and the rule for callers: a chain to our roots, valid now, meant for
//! clients, with an identity of our cluster. Swapped whole at a reload, roots included.

use super::acceptor::{PeerIdentity, Proof};
use plantao_client::identity::Slug;
use plantao_client::transport::{ALPN_H2, Credentials, Leaf, LeafError, Revocations, TlsVersions, provider};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, ServerConfig, SignatureScheme,
};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime};

/// Why credentials that load are still no server's.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// A person's or a program's certificate.
    #[error("the certificate is not a node's")]
    NotANode,
    /// A node's name, but not issued for answering.
    #[error("the certificate is not issued for servers")]
    NotForServers(#[source] Error),
    /// rustls refused the configuration.
    #[error("the credentials cannot be used by a server")]
    Configuration(#[source] Error),
    /// rustls refused the roots.
    #[error("the roots cannot be used to check callers")]
    Roots(#[source] rustls::server::VerifierBuilderError),
}

/// Why a caller with a good chain is refused in the handshake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum CallerRefused {
    #[error("the caller's certificate carries no identity")]
    Leaf(#[source] LeafError),
    #[error("the caller belongs to another cluster")]
    OtherCluster,
}

/// What is swapped at a reload.
pub(super) struct Prepared {
    configuration: Arc<ServerConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// The server's current TLS configuration, shared by the acceptors and the layers of all planes.
#[derive(Clone)]
pub struct ServerTls(Arc<Shared>);

struct Shared {
    current: RwLock<Prepared>,
    generation: AtomicU64,
    revocations: Revocations,
    /// Of the connections that are open, and of some that were.
    open: Mutex<Vec<Weak<Proof>>>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Serves with `credentials`, a node's, nobody whom `revocations` name; `now` is for the check that the credentials are
    /// meant for servers.
    pub fn new(
        credentials: &Credentials,
        versions: TlsVersions,
        revocations: Revocations,
        now: SystemTime,
    ) -> Result<Self, ServerTlsError> {
        let current = RwLock::new(prepare(credentials, versions, &revocations, now)?);
        Ok(Self(Arc::new(Shared { current, generation: AtomicU64::new(0), revocations, open: Mutex::default() })))
    }

    /// What callers are checked against besides the roots.
    pub(super) fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    /// Counts the swaps.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    pub(super) fn replace(&self, prepared: Prepared) {
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = prepared;
        self.0.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// For the next handshake, with the generation it belongs to at the latest.
    pub(super) fn configuration(&self) -> (Arc<ServerConfig>, u64) {
        // First the number: a swap in between then makes a connection look older than it is and be checked again.
        let generation = self.generation();
        (Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner).configuration), generation)
    }

    /// Remembers an open connection for as long as it is open.
    pub(super) fn opened(&self, proof: &Arc<Proof>) {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked through when the room is used up, which then doubles: bounded by twice the connections of all planes.
        if open.len() == open.capacity() {
            open.retain(|proof| proof.strong_count() > 0);
        }
        open.push(Arc::downgrade(proof));
    }

    /// A node that is connected with a certificate which is good now and would not be under `prepared`.
    pub(super) fn first_cut_off(&self, prepared: &Prepared, now: SystemTime) -> Option<u64> {
        let open: Vec<Arc<Proof>> = {
            let open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.iter().filter_map(Weak::upgrade).collect()
        };
        let verifier = Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner).verifier);
        open.iter().find_map(|proof| {
            let (leaf, intermediates) = proof.chain.split_first()?;
            let node = Leaf::from_der(leaf).ok()?.identity.node_id()?;
            let good = |verifier: &Arc<dyn ClientCertVerifier>| {
                verifier.verify_client_cert(leaf, intermediates, unix_time(now)).is_ok()
            };
            (good(&verifier) && !good(&prepared.verifier)).then_some(node)
        })
    }

    /// Checks an open connection's certificate against the roots of now, when they were swapped since it was checked
    /// last: a root that was taken away must not live on in connections that never end.
    pub(super) fn recheck(&self, peer: &PeerIdentity, now: SystemTime) -> Result<(), Error> {
        let generation = self.generation();
        if peer.proof.generation.load(Ordering::Acquire) == generation {
            return Ok(());
        }
        let verifier = Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner).verifier);
        let (leaf, intermediates) = peer.proof.chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        verifier.verify_client_cert(leaf, intermediates, unix_time(now))?;
        peer.proof.generation.store(generation, Ordering::Release);
        Ok(())
    }
}

/// Everything that can fail in a swap, before the swap.
pub(super) fn prepare(
    credentials: &Credentials,
    versions: TlsVersions,
    revocations: &Revocations,
    now: SystemTime,
) -> Result<Prepared, ServerTlsError> {
    if !credentials.leaf().identity.is_node() {
        return Err(ServerTlsError::NotANode);
    }
    let certified = credentials.certified_key();
    check_purpose(credentials, &certified.cert, now).map_err(ServerTlsError::NotForServers)?;
    let webpki = WebPkiClientVerifier::builder_with_provider(credentials.roots(), provider())
        .build()
        .map_err(ServerTlsError::Roots)?;
    let cluster = credentials.leaf().identity.cluster().clone();
    let verifier: Arc<dyn ClientCertVerifier> =
        Arc::new(CallerVerifier { webpki, revocations: revocations.clone(), cluster });
    let mut configuration = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions.as_rustls())
        .map_err(ServerTlsError::Configuration)?
        .with_client_cert_verifier(Arc::clone(&verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    configuration.alpn_protocols = vec![ALPN_H2.to_vec()];
    // A resumed session would skip the look at the caller's certificate (RFC 8446 section 2.2).
    configuration.send_tls13_tickets = 0;
    configuration.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Prepared { configuration: Arc::new(configuration), verifier })
}

fn check_purpose(credentials: &Credentials, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), Error> {
    let (leaf, intermediates) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
    let algorithms = provider().signature_verification_algorithms.all;
    let parsed = ParsedCertificate::try_from(leaf)?;
    verify_server_cert_signed_by_trust_anchor(&parsed, &credentials.roots(), intermediates, unix_time(now), algorithms)
}

fn unix_time(now: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

/// Chain by webpki, then what was taken back, then the cluster.
#[derive(Debug)]
struct CallerVerifier {
    webpki: Arc<dyn ClientCertVerifier>,
    revocations: Revocations,
    cluster: Slug,
}

impl ClientCertVerifier for CallerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.webpki.verify_client_cert(end_entity, intermediates, now)?;
        if self.revocations.refuses(end_entity) {
            return Err(Error::InvalidCertificate(CertificateError::Revoked));
        }
        let refused = match Leaf::from_der(end_entity) {
            Ok(leaf) if *leaf.identity.cluster() == self.cluster => return Ok(verified),
            Ok(_) => CallerRefused::OtherCluster,
            Err(error) => CallerRefused::Leaf(error),
        };
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
