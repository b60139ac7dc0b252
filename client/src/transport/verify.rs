//! Who may answer as a server: a node of our cluster, proven by the chain to our roots. The name in the address plays
//! no part, so the check of the identity takes its place; the chain, the validity and the purpose stay webpki's.

use super::certificate::{Leaf, LeafError};
use super::provider;
use super::revocation::Revocations;
use crate::identity::{Identity, Slug};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Which node has to answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ExpectedServer {
    /// Any numbered node of the cluster.
    AnyNode,
    /// This node and no other.
    Node(u64),
}

/// Why a server with a good chain is still not the one that was called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerRefused {
    /// Its certificate has no identity of ours.
    #[error("the server's certificate carries no identity")]
    Leaf(#[source] LeafError),
    /// It belongs to another cluster under the same root.
    #[error("the server belongs to another cluster")]
    OtherCluster,
    /// A person, a program, or a node without a number.
    #[error("the server is not a numbered node")]
    NotANode,
    /// Another node, e.g. because an address was given to a new machine.
    #[error("node {expected} was called and node {found} answered")]
    UnexpectedNode {
        /// The one that was called.
        expected: u64,
        /// The one that answered.
        found: u64,
    },
}

/// Chain by webpki, then the identity.
#[derive(Debug)]
pub(super) struct NodeVerifier {
    roots: Arc<RootCertStore>,
    revocations: Revocations,
    algorithms: WebPkiSupportedAlgorithms,
    cluster: Slug,
    expected: ExpectedServer,
}

impl NodeVerifier {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        revocations: Revocations,
        cluster: Slug,
        expected: ExpectedServer,
    ) -> Self {
        Self { roots, revocations, algorithms: provider().signature_verification_algorithms, cluster, expected }
    }

    fn identity(&self, leaf: &CertificateDer<'_>) -> Result<(), ServerRefused> {
        let leaf = Leaf::from_der(leaf).map_err(ServerRefused::Leaf)?;
        if *leaf.identity.cluster() != self.cluster {
            return Err(ServerRefused::OtherCluster);
        }
        let Identity::Node { id, .. } = leaf.identity else {
            return Err(ServerRefused::NotANode);
        };
        match self.expected {
            ExpectedServer::Node(expected) if expected != id => {
                Err(ServerRefused::UnexpectedNode { expected, found: id })
            }
            ExpectedServer::Node(_) | ExpectedServer::AnyNode => Ok(()),
        }
    }
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, self.algorithms.all)?;
        if self.revocations.refuses(end_entity) {
            return Err(Error::InvalidCertificate(CertificateError::Revoked));
        }
        self.identity(end_entity)
            .map_err(|refused| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused)))))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
