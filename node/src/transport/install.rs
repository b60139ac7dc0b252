//! Certificates, roots and revocation lists that come over the admin plane. What comes is checked as if it were in use
//! before a byte of a file changes, written so that a crash leaves a pair that fits, and taken by the ordinary reload.
//!
//! ```text
//! key.next, certificate.next written and synced ─► key.next → key ─► certificate.next → certificate
//! after a crash: only certificate.next is left ─► the key is in place already, end it;  key.next is left ─► drop both
//! ```
//! Nothing here knows who asks or what an RPC is.

use super::reload::{Part, ReloadError, TlsReloader};
use super::system_time;
use super::tls::prepare;
use plantao_client::pki::KeyRequest;
use plantao_client::transport::{Credentials, CredentialsError, CredentialsPaths, Leaf, RevocationError};
use plantao_client::transport::{RevocationList, Revocations, unix_seconds};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why something was not installed. What was in use is in use.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// No request is open here: it was answered, or the node started again and forgot the key.
    #[error("no certificate was asked for by this node, or it was answered already")]
    NotRequested,
    /// The request could not be made.
    #[error("no key can be made")]
    Key(#[source] plantao_client::pki::Error),
    /// The certificate is not good, or not this node's.
    #[error("the certificate is refused")]
    Certificate(#[source] ReloadError),
    /// It ends no later than the one in use.
    #[error("the certificate does not live longer than the one in use")]
    NotLonger,
    /// The list in force names it.
    #[error("the certificate is revoked")]
    Revoked,
    /// With these roots this node's own certificate would be worth nothing.
    #[error("the roots are refused: this node's certificate is not good under them")]
    Roots(#[source] CredentialsError),
    /// A node is connected whose certificate these roots do not verify.
    #[error("the roots are refused: node {node} is connected with a certificate under a root that they lack")]
    CutsOff {
        /// The first such node.
        node: u64,
    },
    /// The list is not good, or not newer.
    #[error("the revocation list is refused")]
    Revocations(#[source] RevocationError),
    /// A file cannot be written where the configuration says.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The files in use cannot be read, so what comes cannot be checked beside them.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Written, and the reload after it did not take it.
    #[error("written, but not taken")]
    Reload(#[source] Arc<ReloadError>),
}

impl From<Arc<ReloadError>> for InstallError {
    fn from(error: Arc<ReloadError>) -> Self {
        Self::Reload(error)
    }
}

impl InstallError {
    /// The number in `PLT-nnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Self::NotRequested => 2671,
            Self::Certificate(_) | Self::NotLonger | Self::Revoked => 2672,
            Self::Roots(_) => 2673,
            Self::CutsOff { .. } => 2674,
            Self::Revocations(_) => 2675,
            Self::Key(_) | Self::Write { .. } | Self::Read { .. } | Self::Reload(_) => 2676,
        }
    }

    /// What to do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::NotRequested => "ask for a new request and have that signed: `plantao pki renew --nodes`",
            Self::Certificate(_) | Self::NotLonger | Self::Revoked => {
                "have the node's request signed by the authority of this network"
            }
            Self::Roots(_) => "send a bundle that still holds the root of the certificates in use",
            Self::CutsOff { .. } => "renew that node's certificate under the new root first",
            Self::Revocations(_) => "sign a new list where the authority is kept: `plantao pki crl --push`",
            Self::Key(_) | Self::Write { .. } | Self::Read { .. } | Self::Reload(_) => {
                "the node must be able to write the directory of its tls files; its log says more"
            }
        }
    }
}

impl TlsReloader {
    /// Makes a key, and a request that names this node as its certificate does.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn request(&self) -> Result<KeyRequest, InstallError> {
        KeyRequest::new(&self.identity()).map_err(InstallError::Key)
    }

    /// Takes the certificate for `request`'s key. Blocks for a few small synced writes.
    ///
    /// # Errors
    /// It is not for that key, not this node's, not under the roots in use, or no longer than the one in use.
    pub fn install_certificate(&self, request: &KeyRequest, certificate: &[u8]) -> Result<Leaf, InstallError> {
        self.change(Part::Credentials, || {
            let now = system_time(self.clock.now());
            let roots = read(&self.paths.roots)?;
            let key = request.key_pem().as_bytes();
            let refused = |error| InstallError::Certificate(ReloadError::Credentials(error));
            let credentials = Credentials::from_pem(certificate, key, &roots, now).map_err(refused)?;
            let (new, current) = (credentials.leaf().clone(), self.client.credentials());
            if new.identity != current.leaf().identity {
                return Err(InstallError::Certificate(ReloadError::IdentityChanged));
            }
            if new.not_after <= current.leaf().not_after {
                return Err(InstallError::NotLonger);
            }
            if credentials.certified_key().cert.first().is_some_and(|leaf| self.revocations.refuses(leaf)) {
                return Err(InstallError::Revoked);
            }
            prepare(&credentials, self.versions, &Revocations::default(), now)
                .map_err(|error| InstallError::Certificate(ReloadError::Server(error)))?;
            let (key_next, certificate_next) = (next(&self.paths.key), next(&self.paths.certificate));
            write(&key_next, key, 0o600)?;
            write(&certificate_next, certificate, 0o644)?;
            rename(&key_next, &self.paths.key)?;
            rename(&certificate_next, &self.paths.certificate)?;
            Ok(new)
        })
    }

    /// Trusts another bundle of roots.
    ///
    /// # Errors
    /// This node's certificate, or that of a node which is connected now, is not good under them.
    pub fn install_roots(&self, roots: &[u8]) -> Result<(), InstallError> {
        self.change(Part::Credentials, || {
            let now = system_time(self.clock.now());
            let (certificate, key) = (read(&self.paths.certificate)?, zeroize::Zeroizing::new(read(&self.paths.key)?));
            let credentials = Credentials::from_pem(&certificate, &key, roots, now).map_err(InstallError::Roots)?;
            let prepared = prepare(&credentials, self.versions, &Revocations::default(), now)
                .map_err(|error| InstallError::Certificate(ReloadError::Server(error)))?;
            if let Some(node) = self.server().first_cut_off(&prepared, now) {
                return Err(InstallError::CutsOff { node });
            }
            let path = next(&self.paths.roots);
            write(&path, roots, 0o644)?;
            rename(&path, &self.paths.roots)
        })
    }

    /// Puts newer revocation lists in force: for new connections, and for those that are open.
    ///
    /// # Errors
    /// They are not of the roots in use, not of now, or not newer.
    pub fn install_revocations(&self, lists: &[u8]) -> Result<Arc<RevocationList>, InstallError> {
        self.change(Part::List, || {
            let credentials = self.client.credentials();
            let roots = credentials.root_certificates();
            let list = RevocationList::from_pem(lists, roots).map_err(InstallError::Revocations)?;
            list.check_time(unix_seconds(system_time(self.clock.now()))).map_err(InstallError::Revocations)?;
            list.check_succeeds(&self.revocations.current(), roots).map_err(InstallError::Revocations)?;
            let path = next(&self.revoked);
            write(&path, lists, 0o644)?;
            rename(&path, &self.revoked)?;
            Ok(Arc::new(list))
        })
    }
}

/// Ends or drops what a crash cut in two.
pub(super) fn finish(paths: &CredentialsPaths) -> io::Result<()> {
    let (key_next, certificate_next) = (next(&paths.key), next(&paths.certificate));
    let (key, certificate) = (key_next.try_exists()?, certificate_next.try_exists()?);
    match (key, certificate) {
        (false, false) => Ok(()),
        (false, true) => {
            fs::rename(&certificate_next, &paths.certificate)?;
            sync_directory(&paths.certificate)
        }
        (true, certificate) => {
            // First the certificate's: a crash between the two must not look like the case above.
            if certificate {
                fs::remove_file(&certificate_next)?;
                sync_directory(&certificate_next)?;
            }
            fs::remove_file(&key_next)?;
            sync_directory(&key_next)
        }
    }
}

fn next(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

fn read(path: &Path) -> Result<Vec<u8>, InstallError> {
    fs::read(path).map_err(|source| InstallError::Read { path: path.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), InstallError> {
    let writing = || {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        sync_directory(path)
    };
    writing().map_err(|source| InstallError::Write { path: path.to_owned(), source })
}

fn rename(from: &Path, to: &Path) -> Result<(), InstallError> {
    let renaming = || {
        fs::rename(from, to)?;
        sync_directory(to)
    };
    renaming().map_err(|source| InstallError::Write { path: to.to_owned(), source })
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
