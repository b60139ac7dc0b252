//! A certificate, its key and the roots to trust, read from three PEM files and checked against each other before
//! anything uses them. What loads is good: parsed, in its validity, with the key of that very certificate, and signed
//! under one of the roots beside it. Whoever holds `Credentials` need not check again.

use super::certificate::{Fingerprint, Leaf, LeafError};
use super::{provider, unix_seconds};
use rustls::pki_types::pem::{self, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use rustls::pki_types::{PrivateSec1KeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// Largest PEM file: sixteen roots are below 16 KiB, so a larger one is not ours.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A leaf and three intermediates: more is not a chain that we issue.
const CHAIN_CERTIFICATES_MAX: usize = 4;

/// Old and new roots side by side during a rotation, with room.
const ROOTS_MAX: usize = 16;

/// One of the three files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CredentialsFile {
    /// The leaf, and intermediates after it.
    Certificate,
    /// The leaf's private key.
    Key,
    /// The roots to trust.
    Roots,
}

impl fmt::Display for CredentialsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::Roots => "roots",
        })
    }
}

/// Why credentials were not taken.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Missing, unreadable, or no plain file.
    #[error("cannot read the {file} file {}", path.display())]
    Read {
        /// Which.
        file: CredentialsFile,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key's mode lets the group or everybody in.
    #[error("the key file {} can be reached by others: its mode is {mode:o}, 600 is needed", path.display())]
    KeyReadableByOthers {
        /// Where.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Above the limit for any such file.
    #[error("the {0} file is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge(CredentialsFile),
    /// PEM that starts and does not end, is no base64, or has a label that does not belong there.
    #[error("the {0} file is damaged or holds something else")]
    Damaged(CredentialsFile),
    /// No PEM block at all.
    #[error("the {0} file holds no PEM block")]
    Empty(CredentialsFile),
    /// More blocks than allowed: one key, four certificates, sixteen roots.
    #[error("the {0} file holds too many PEM blocks")]
    TooManyBlocks(CredentialsFile),
    /// A key under a passphrase: the daemon has nobody to ask.
    #[error("the key is encrypted with a passphrase")]
    EncryptedKey,
    /// A key of a kind that the crypto provider does not have.
    #[error("the key is of no supported kind")]
    UnsupportedKey,
    /// Certificate and key are not a pair; also seen while a renewal replaces one after the other.
    #[error("the key does not belong to the certificate")]
    KeyOfAnotherCertificate,
    /// The leaf has no identity.
    #[error("the certificate is not one of a cluster")]
    Leaf(#[source] LeafError),
    /// Past its life.
    #[error("the certificate expired at Unix second {not_after}")]
    Expired {
        /// Its last second.
        not_after: i64,
    },
    /// Before its life, or the clock of this machine is behind.
    #[error("the certificate is valid only from Unix second {not_before} on")]
    NotYetValid {
        /// Its first second.
        not_before: i64,
    },
    /// A root that is no certificate of an authority.
    #[error("the roots file holds a certificate that is no authority's")]
    NotARoot,
    /// Every root in the file is outside its validity.
    #[error(
        "by this machine's clock every root in the roots file is expired or not yet valid: look at the clock first"
    )]
    RootsExpired,
    /// The leaf does not chain to these roots for the use as a client.
    #[error("the certificate is not signed under these roots for authentication")]
    NotSignedByRoots(#[source] rustls::Error),
}

/// Where the three files are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialsPaths {
    /// PEM: the leaf first, then intermediates, at most four.
    pub certificate: PathBuf,
    /// PEM: one unencrypted key; mode 0600 or stricter.
    pub key: PathBuf,
    /// PEM: at most sixteen roots.
    pub roots: PathBuf,
}

impl CredentialsPaths {
    /// `<name>.crt`, `<name>.key` and `ca.crt` in one directory, as the built-in authority writes them.
    pub fn in_directory(directory: &Path, name: &str) -> Self {
        Self {
            certificate: directory.join(format!("{name}.crt")),
            key: directory.join(format!("{name}.key")),
            roots: directory.join("ca.crt"),
        }
    }
}

/// Checked credentials. The key is inside the crypto provider's own type; `Debug` shows the identity only.
pub struct Credentials {
    leaf: Leaf,
    certified: Arc<CertifiedKey>,
    roots: Arc<RootCertStore>,
    root_certificates: Vec<CertificateDer<'static>>,
    roots_digest: [u8; 32],
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("leaf", &self.leaf).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads and checks the three files as of `now`. Blocks for three small reads.
    pub fn load(paths: &CredentialsPaths, now: SystemTime) -> Result<Self, CredentialsError> {
        let certificate = read(CredentialsFile::Certificate, &paths.certificate)?;
        let key = read(CredentialsFile::Key, &paths.key)?;
        let roots = read(CredentialsFile::Roots, &paths.roots)?;
        Self::from_pem(&certificate, &key, &roots, now)
    }

    /// Checks three PEM texts as of `now`. Total: any bytes give credentials or an error.
    pub fn from_pem(certificate: &[u8], key: &[u8], roots: &[u8], now: SystemTime) -> Result<Self, CredentialsError> {
        let seconds = unix_seconds(now);
        let chain = certificates(CredentialsFile::Certificate, certificate, CHAIN_CERTIFICATES_MAX)?;
        let key = private_key(key)?;
        let (roots, root_certificates) = root_store(roots, seconds)?;
        let fingerprints: Vec<u8> = root_certificates.iter().flat_map(|der| *Fingerprint::of(der).as_bytes()).collect();
        let roots_digest = *Fingerprint::of(&fingerprints).as_bytes();
        let first = chain.first().ok_or(CredentialsError::Empty(CredentialsFile::Certificate))?;
        let leaf = Leaf::from_der(first).map_err(CredentialsError::Leaf)?;
        if leaf.is_expired(seconds) {
            return Err(CredentialsError::Expired { not_after: leaf.not_after });
        }
        if seconds < leaf.not_before {
            return Err(CredentialsError::NotYetValid { not_before: leaf.not_before });
        }
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CredentialsError::KeyOfAnotherCertificate,
            _ => CredentialsError::UnsupportedKey,
        })?;
        check_chain(&certified, &roots, now)?;
        Ok(Self { leaf, certified: Arc::new(certified), roots, root_certificates, roots_digest })
    }

    /// What the leaf says.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Chain and key as rustls takes them.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// The roots within their validity.
    pub fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }

    /// The same roots as certificates, in file order.
    pub fn root_certificates(&self) -> &[CertificateDer<'static>] {
        &self.root_certificates
    }

    /// The root under whose name the leaf was issued; `None` when an intermediate stands between the two.
    pub fn issuing_root(&self) -> Option<Fingerprint> {
        let leaf = self.certified.cert.first()?;
        let (_, leaf) = x509_parser::parse_x509_certificate(leaf).ok()?;
        let issued = |root: &&CertificateDer<'static>| {
            x509_parser::parse_x509_certificate(root)
                .is_ok_and(|(_, root)| root.subject().as_raw() == leaf.issuer().as_raw())
        };
        self.root_certificates.iter().find(issued).map(|root| Fingerprint::of(root))
    }

    /// SHA-256 over the fingerprints of the trusted roots, in file order: equal roots, equal digest.
    pub fn roots_digest(&self) -> &[u8; 32] {
        &self.roots_digest
    }
}

fn check_chain(certified: &CertifiedKey, roots: &Arc<RootCertStore>, now: SystemTime) -> Result<(), CredentialsError> {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider())
        .build()
        .map_err(|_| CredentialsError::Empty(CredentialsFile::Roots))?;
    let (leaf, intermediates) =
        certified.cert.split_first().ok_or(CredentialsError::Empty(CredentialsFile::Certificate))?;
    verifier
        .verify_client_cert(leaf, intermediates, UnixTime::since_unix_epoch(since))
        .map(|_| ())
        .map_err(CredentialsError::NotSignedByRoots)
}

fn read(file: CredentialsFile, path: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    let failed = |source| CredentialsError::Read { file, path: path.to_owned(), source };
    let opened = File::open(path).map_err(failed)?;
    // Of the open file and not of the path, so that the mode is that of the bytes which are read.
    let metadata = opened.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file")));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if file == CredentialsFile::Key && mode & 0o077 != 0 {
        return Err(CredentialsError::KeyReadableByOthers { path: path.to_owned(), mode });
    }
    // The whole room at once: a buffer that grows would leave unwiped copies of the key behind.
    let room = usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(CredentialsError::TooLarge(file));
    }
    Ok(bytes)
}

/// One PEM block, decoded; wiped when dropped, for it may be a key.
type Block = (SectionKind, Zeroizing<Vec<u8>>);

/// The blocks of a file, in order. Every label is checked, because the PEM reader skips those it does not know: a
/// truncated or foreign block must not pass unseen. Text outside of blocks (`openssl x509 -text`) is allowed.
fn blocks(file: CredentialsFile, bytes: &[u8], allowed: fn(&[u8]) -> bool) -> Result<Vec<Block>, CredentialsError> {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(CredentialsError::TooLarge(file));
    }
    let mut labels = 0_usize;
    for line in bytes.split(|byte| *byte == b'\n' || *byte == b'\r') {
        if let Some(label) = line.strip_prefix(b"-----BEGIN ") {
            let label = label.trim_ascii_end().strip_suffix(b"-----").ok_or(CredentialsError::Damaged(file))?;
            if label == b"ENCRYPTED PRIVATE KEY" {
                return Err(CredentialsError::EncryptedKey);
            }
            if !allowed(label) {
                return Err(CredentialsError::Damaged(file));
            }
            labels += 1;
        }
    }
    let mut rest = bytes;
    let mut found = Vec::new();
    while let Some((kind, der)) = pem::from_buf(&mut rest).map_err(|_| CredentialsError::Damaged(file))? {
        found.push((kind, Zeroizing::new(der)));
    }
    if found.is_empty() && labels == 0 {
        return Err(CredentialsError::Empty(file));
    }
    // A block that began inside another was swallowed by it.
    if found.len() == labels { Ok(found) } else { Err(CredentialsError::Damaged(file)) }
}

fn certificates(
    file: CredentialsFile,
    bytes: &[u8],
    count_max: usize,
) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let found = blocks(file, bytes, |label| label == b"CERTIFICATE")?;
    if found.len() > count_max {
        return Err(CredentialsError::TooManyBlocks(file));
    }
    Ok(found.into_iter().map(|(_, der)| CertificateDer::from(der.to_vec())).collect())
}

fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    let allowed = |label: &[u8]| matches!(label, b"PRIVATE KEY" | b"EC PRIVATE KEY" | b"RSA PRIVATE KEY");
    let mut found = blocks(CredentialsFile::Key, bytes, allowed)?;
    let (kind, der) = found.pop().ok_or(CredentialsError::Empty(CredentialsFile::Key))?;
    if !found.is_empty() {
        return Err(CredentialsError::TooManyBlocks(CredentialsFile::Key));
    }
    let der = der.to_vec();
    match kind {
        SectionKind::PrivateKey => Ok(PrivatePkcs8KeyDer::from(der).into()),
        SectionKind::EcPrivateKey => Ok(PrivateSec1KeyDer::from(der).into()),
        SectionKind::RsaPrivateKey => Ok(PrivatePkcs1KeyDer::from(der).into()),
        _ => Err(CredentialsError::UnsupportedKey),
    }
}

/// Roots as webpki takes them, and as certificates.
type Trusted = (Arc<RootCertStore>, Vec<CertificateDer<'static>>);

/// webpki takes a root's name and key and never its dates, so those are checked here: an expired root is left out.
fn root_store(bytes: &[u8], now: i64) -> Result<Trusted, CredentialsError> {
    let mut store = RootCertStore::empty();
    let mut trusted = Vec::new();
    for der in certificates(CredentialsFile::Roots, bytes, ROOTS_MAX)? {
        let (rest, root) =
            x509_parser::parse_x509_certificate(&der).map_err(|_| CredentialsError::Damaged(CredentialsFile::Roots))?;
        if !rest.is_empty() {
            return Err(CredentialsError::Damaged(CredentialsFile::Roots));
        }
        if !root.is_ca() {
            return Err(CredentialsError::NotARoot);
        }
        let validity = root.validity();
        if now < validity.not_before.timestamp() || now > validity.not_after.timestamp() {
            continue;
        }
        store.add(der.clone()).map_err(|_| CredentialsError::NotARoot)?;
        trusted.push(der);
    }
    if store.is_empty() {
        return Err(CredentialsError::RootsExpired);
    }
    Ok((Arc::new(store), trusted))
}
