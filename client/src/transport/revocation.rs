//! Certificates that are taken back before their end: lists signed by the roots (X.509 CRLs in PEM), and the handle
//! through which everything that checks a certificate sees the list of now.
//!
//! ```text
//! file ─► RevocationList (signature of a trusted root, number, dates) ─► Revocations ─┬► verifiers: the next handshake
//!                                                                                     └► Guarded: open connections
//! ```
//! One file holds one list for each root, so that a rotation of the root forgets nothing. A certificate that no list names
//! is good: without a list nothing is revoked. Nothing here reads a file or decides when a list replaces another.

use super::provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// Largest file of lists: twenty thousand entries, far more than certificates live at once, are below it.
pub const REVOCATION_BYTES_MAX: usize = 2 << 20;

/// Lists in one file: as many as roots.
const LISTS_MAX: usize = 16;

/// Why a file of revocation lists was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// Above [`REVOCATION_BYTES_MAX`].
    #[error("the revocation list is larger than {REVOCATION_BYTES_MAX} bytes")]
    TooLarge,
    /// No PEM, no X.509 revocation list, something else beside it, or more than sixteen lists.
    #[error("the revocation list is damaged or holds something else")]
    Damaged,
    /// It has no number or no end, which every list of an authority has.
    #[error("the revocation list has no number or no end")]
    Incomplete,
    /// Nobody whom we trust made it.
    #[error("the revocation list is of no root that is trusted here")]
    Foreign,
    /// It names a root that is trusted, and is not signed by it.
    #[error("the signature of the revocation list is not its root's")]
    Signature,
    /// Of the future, or the clock of this machine is behind.
    #[error("the revocation list is valid only from Unix second {this_update} on")]
    NotYetValid {
        /// Its first second.
        this_update: i64,
    },
    /// Past its end: a newer one should be here.
    #[error("the revocation list expired at Unix second {next_update}")]
    Expired {
        /// Its last second.
        next_update: i64,
    },
    /// An older list would bring revoked certificates back.
    #[error("revocation list {found} is not newer than list {in_use}, which is in use")]
    NotNewer {
        /// Number of the one that is offered.
        found: u64,
        /// Number of the one in use.
        in_use: u64,
    },
    /// A root that has a list here has none in the new file.
    #[error("the new file lacks the revocation list of a root that is trusted here")]
    Lacking,
}

/// One certificate among those of its issuer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CertificateId {
    issuer: [u8; 32],
    serial: Vec<u8>,
}

impl CertificateId {
    /// Of a certificate in DER; `None` when it is none.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        Some(Self { issuer: name(parsed.issuer().as_raw()), serial: parsed.tbs_certificate.serial.to_bytes_be() })
    }

    /// The serial number in lowercase hexadecimal, as lists of certificates show it.
    pub fn serial(&self) -> String {
        use fmt::Write as _;
        self.serial.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Names are compared as bytes: our roots write theirs and those of what they sign alike.
fn name(raw: &[u8]) -> [u8; 32] {
    Sha256::digest(raw).into()
}

/// What the roots took back, as one file says it. Checked: whoever holds one need not check it again.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RevocationList {
    revoked: BTreeSet<CertificateId>,
    /// By issuer.
    numbers: BTreeMap<[u8; 32], u64>,
    this_update: i64,
    next_update: i64,
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("number", &self.number())
            .field("revoked", &self.revoked.len())
            .finish_non_exhaustive()
    }
}

impl RevocationList {
    /// Reads a file of lists under `roots`. Lists of other roots in it are passed over, as long as one is of a root that
    /// is trusted here. A list past its end is read too: see [`Self::check_time`]. Total: any bytes give a list or an error.
    pub fn from_pem(bytes: &[u8], roots: &[CertificateDer<'_>]) -> Result<Self, RevocationError> {
        if bytes.len() > REVOCATION_BYTES_MAX {
            return Err(RevocationError::TooLarge);
        }
        // The PEM reader passes over blocks that it does not know; here each has to be a list.
        let begun = bytes.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"-----BEGIN ")).count();
        let lists: Vec<CertificateRevocationListDer<'_>> = CertificateRevocationListDer::pem_slice_iter(bytes)
            .collect::<Result<_, _>>()
            .map_err(|_| RevocationError::Damaged)?;
        if lists.is_empty() || lists.len() != begun || lists.len() > LISTS_MAX {
            return Err(RevocationError::Damaged);
        }
        let mut read = Self { this_update: i64::MIN, next_update: i64::MAX, ..Self::default() };
        for der in &lists {
            read.add(der, roots)?;
        }
        if read.numbers.is_empty() { Err(RevocationError::Foreign) } else { Ok(read) }
    }

    fn add(&mut self, der: &[u8], roots: &[CertificateDer<'_>]) -> Result<(), RevocationError> {
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| RevocationError::Damaged)?;
        if !rest.is_empty() {
            return Err(RevocationError::Damaged);
        }
        let issuer = list.issuer().as_raw();
        let mut known = false;
        let mut signed = false;
        for root in roots {
            let Ok((_, root)) = x509_parser::parse_x509_certificate(root) else { continue };
            if root.subject().as_raw() != issuer {
                continue;
            }
            known = true;
            let key = &root.public_key().subject_public_key.data;
            let algorithms = provider().signature_verification_algorithms.all;
            signed = signed
                || algorithms.iter().any(|algorithm| {
                    algorithm.verify_signature(key, list.tbs_cert_list.as_ref(), &list.signature_value.data).is_ok()
                });
        }
        match (known, signed) {
            (false, _) => return Ok(()),
            (true, false) => return Err(RevocationError::Signature),
            (true, true) => {}
        }
        let number = list.crl_number().and_then(|number| u64::try_from(number).ok());
        let ends = list.next_update().map(|at| at.timestamp());
        let (Some(number), Some(ends)) = (number, ends) else { return Err(RevocationError::Incomplete) };
        let issuer = name(issuer);
        if self.numbers.insert(issuer, number).is_some() {
            return Err(RevocationError::Damaged);
        }
        self.this_update = self.this_update.max(list.last_update().timestamp());
        self.next_update = self.next_update.min(ends);
        let revoked = list.iter_revoked_certificates();
        self.revoked.extend(revoked.map(|entry| CertificateId { issuer, serial: entry.serial().to_bytes_be() }));
        Ok(())
    }

    /// Whether it is of this time; `now` in Unix seconds.
    ///
    /// # Errors
    /// [`RevocationError::Expired`] and [`RevocationError::NotYetValid`].
    pub fn check_time(&self, now: i64) -> Result<(), RevocationError> {
        if now > self.next_update {
            return Err(RevocationError::Expired { next_update: self.next_update });
        }
        if now < self.this_update {
            return Err(RevocationError::NotYetValid { this_update: self.this_update });
        }
        Ok(())
    }

    /// Whether it may take the place of `old` where `roots` are trusted: no list that is in use may go back or vanish.
    ///
    /// # Errors
    /// [`RevocationError::NotNewer`] and [`RevocationError::Lacking`].
    pub fn check_succeeds(&self, old: &Self, roots: &[CertificateDer<'_>]) -> Result<(), RevocationError> {
        for (issuer, in_use) in &old.numbers {
            match self.numbers.get(issuer) {
                Some(found) if found < in_use => {
                    return Err(RevocationError::NotNewer { found: *found, in_use: *in_use });
                }
                Some(found) if found == in_use && self != old => {
                    return Err(RevocationError::NotNewer { found: *found, in_use: *in_use });
                }
                Some(_) => {}
                None if trusts(roots, issuer) => return Err(RevocationError::Lacking),
                None => {}
            }
        }
        Ok(())
    }

    /// Whether it names the certificate.
    pub fn has(&self, certificate: &CertificateId) -> bool {
        self.revoked.contains(certificate)
    }

    /// How many certificates it names.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// The highest number of its lists; 0 when there is none.
    pub fn number(&self) -> u64 {
        self.numbers.values().copied().max().unwrap_or(0)
    }

    /// Last second before a newer one should be here, Unix time.
    pub fn next_update(&self) -> i64 {
        self.next_update
    }
}

fn trusts(roots: &[CertificateDer<'_>], issuer: &[u8; 32]) -> bool {
    roots.iter().any(|root| {
        x509_parser::parse_x509_certificate(root).is_ok_and(|(_, root)| name(root.subject().as_raw()) == *issuer)
    })
}

/// The list of now, shared by all that check certificates. Clones are the same handle.
#[derive(Clone)]
pub struct Revocations(Arc<watch::Sender<Arc<RevocationList>>>);

impl Default for Revocations {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Arc::default())))
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.current(), f)
    }
}

impl Revocations {
    /// The list of now; an empty one when there is none.
    pub fn current(&self) -> Arc<RevocationList> {
        Arc::clone(&self.0.borrow())
    }

    /// From now on `list` holds: for the next handshake, and at once for connections that are open.
    pub fn replace(&self, list: Arc<RevocationList>) {
        self.0.send_replace(list);
    }

    /// Whether the certificate is taken back. What cannot be parsed is not known to any list; the check of its chain
    /// refuses it anyway.
    pub fn refuses(&self, certificate: &CertificateDer<'_>) -> bool {
        let list = self.current();
        !list.is_empty() && CertificateId::of(certificate).is_some_and(|id| list.has(&id))
    }

    /// Ends when the certificate is taken back; never, if it is not.
    pub async fn revoked(self, certificate: Option<CertificateId>) {
        let Some(certificate) = certificate else { return std::future::pending().await };
        let mut lists = self.0.subscribe();
        if lists.wait_for(|list| list.has(&certificate)).await.is_err() {
            // Not while `self` holds the sender.
            std::future::pending::<()>().await;
        }
    }
}
