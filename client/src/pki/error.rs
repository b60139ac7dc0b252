//! Why the authority refused or failed.

use std::io;
use std::path::{Path, PathBuf};

/// Why the authority refused or failed. No variant carries key material.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the authority or of a leaf.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or directory that has to be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing is overwritten but by a renewal.
    #[error("{} exists already", path.display())]
    AlreadyExists {
        /// Which.
        path: PathBuf,
    },
    /// `authority.json` is not what this program writes.
    #[error("the authority's index is damaged or of a newer version")]
    Index,
    /// `ca.crt` is no PEM.
    #[error("the authority's bundle of roots is damaged")]
    Bundle,
    /// The index names a root that the bundle lacks.
    #[error("the bundle of roots lacks the current root")]
    RootMissing,
    /// The root's key is damaged or another's.
    #[error("the key of the current root is damaged or belongs to another root")]
    RootKey,
    /// Every certificate of the last years is in the index, and it is full.
    #[error("the index of issued certificates is full")]
    IndexFull,
    /// rcgen refused.
    #[error("the certificate cannot be signed")]
    Sign(#[source] rcgen::Error),
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    Entropy,
    /// The clock says a year that no certificate can hold.
    #[error("the time is outside of what a certificate can hold")]
    Date,
    /// The identity is of another cluster than the authority.
    #[error("the identity belongs to another cluster than this authority")]
    OtherCluster,
    /// People and programs are not servers.
    #[error("only a node's certificate has host names or addresses")]
    NamesOfAProgram,
    /// Above [`super::NAMES_MAX`].
    #[error("more than {} host names and addresses", super::NAMES_MAX)]
    TooManyNames,
    /// Not a host name nor an address.
    #[error("not a host name of lowercase letters, digits, hyphens and dots, nor an address")]
    Name,
    /// Below a second or above [`super::LIFETIME_MAX`].
    #[error("the lifetime is not between one second and 398 days")]
    Lifetime,
    /// A leaf must end before its root.
    #[error("the certificate would outlive its root, which ends at Unix second {root_not_after}")]
    OutlivesRoot {
        /// The root's last second.
        root_not_after: i64,
    },
    /// `ca` and `root-…` are the authority's own.
    #[error("the file name is reserved for the authority")]
    ReservedName,
    /// The file to renew is no leaf of a cluster.
    #[error("{} is not the certificate of a cluster", path.display())]
    NotACertificate {
        /// Which.
        path: PathBuf,
    },
    /// A key that others could have copied.
    #[error("{} can be read by others: chmod 600, and better make a new one", path.display())]
    KeyReadable {
        /// Which.
        path: PathBuf,
    },
    /// Not a key that signs reports.
    #[error("{} is no Ed25519 key in PEM", path.display())]
    ReportKey {
        /// Which.
        path: PathBuf,
    },
    /// Neither a serial number nor an identity of a certificate that is not past its end.
    #[error("no certificate of this serial number or identity is in use")]
    UnknownCertificate,
    /// More than one serial number begins like this.
    #[error("{count} serial numbers begin like this: give more digits")]
    AmbiguousSerial {
        /// How many.
        count: usize,
    },
    /// Below an hour or above [`super::LIST_LIFETIME_MAX`].
    #[error("the life of a revocation list is not between one hour and 90 days")]
    ListLifetime,
    /// Not a request, not signed by its own key, or for another identity.
    #[error("the request for a certificate is damaged or asks for another identity")]
    Request,
    /// The leaf to renew is not in the index.
    #[error("the certificate was not issued by this authority")]
    NotIssuedHere,
}

impl Error {
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}
