//! The built-in authority, for a network that has none of its own: an offline root that signs short-lived leaves.
//!
//! ```text
//! <authority directory>            0700, on a machine that is no node
//!   authority.json                 cluster, current root, every certificate issued       0600
//!   ca.crt                         roots to trust: the current one first, then old ones
//!   root-<fingerprint>.key         one per root                                          0600
//! <directory of a node or person>
//!   <name>.crt  <name>.key  ca.crt                                                       key 0600
//! ```
//! Root and leaves are ECDSA P-256. File names are slugs that whoever issues chooses, never a personal datum. Keys of
//! leaves are made here and handed over with the files; they are not kept. No node ever opens an authority directory,
//! and nothing here opens a socket. In this crate only this folder names rcgen.
//!
//! A rotation of the root: [`Authority::add_root`] makes a new one and puts both into `ca.crt`; give that bundle to
//! everybody, then [`Authority::switch_root`] and renew every leaf, then [`Authority::retire_old_roots`] and give the short
//! bundle to everybody.

mod error;
mod files;
mod index;
mod request;
mod revocation;
mod signing;

pub use error::Error;
pub use index::IssuedRecord;
pub use request::{Answered, KeyRequest};
pub use revocation::{
    LIST_LIFETIME, LIST_LIFETIME_MAX, ParseReasonError, RevocationReason, RevokedRecord, SignedLists,
};
pub use signing::ReportKey;

use crate::identity::{Identity, Slug};
use crate::transport::{Fingerprint, Leaf, unix_seconds};
use files::Readers;
use index::Index;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fmt;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use zeroize::Zeroizing;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Life of a node's certificate when none is asked for.
pub const NODE_LIFETIME: Duration = Duration::from_secs(90 * DAY.as_secs());

/// Life of a person's or a program's certificate when none is asked for.
pub const PROGRAM_LIFETIME: Duration = Duration::from_secs(30 * DAY.as_secs());

/// Longest life of a leaf: a lost key is useful no longer than that.
pub const LIFETIME_MAX: Duration = Duration::from_secs(398 * DAY.as_secs());

/// Life of a root: a rotation every ten years at the latest.
const ROOT_LIFETIME: Duration = Duration::from_secs(3653 * DAY.as_secs());

/// Certificates start this much before now, for machines whose clock is behind.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// Most DNS names and IP addresses in one certificate.
pub const NAMES_MAX: usize = 32;

const BUNDLE: &str = "ca.crt";
const LOCK: &str = "authority.lock";
const BUNDLE_BYTES_MAX: u64 = 64 << 10;

/// A name of a server besides its identity. Our own programs do not look at it; other gRPC tools do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SubjectName {
    /// A host name: labels of `[a-z0-9-]`, 1 to 63 characters each, 253 in all.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl FromStr for SubjectName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        if text.len() <= 253 && text.split('.').all(label) { Ok(Self::Dns(text.to_owned())) } else { Err(Error::Name) }
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => write!(f, "{address}"),
        }
    }
}

/// What to issue. The profile follows from the identity: a node serves and calls, everybody else only calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Whom the certificate speaks for; of this authority's cluster.
    pub identity: Identity,
    /// For nodes: names and addresses of the machine. `localhost`, `127.0.0.1` and `::1` are in it only when asked for.
    pub names: Vec<SubjectName>,
    /// At most [`LIFETIME_MAX`]; none takes [`NODE_LIFETIME`] or [`PROGRAM_LIFETIME`].
    pub lifetime: Option<Duration>,
}

/// What was issued, and where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issued {
    /// As the index has it.
    pub record: IssuedRecord,
    /// The leaf.
    pub certificate: PathBuf,
    /// Its key, mode 0600.
    pub key: PathBuf,
    /// The roots to trust.
    pub roots: PathBuf,
}

/// What a renewal did.
#[allow(clippy::large_enum_variant, reason = "one at a time, on its way to the screen")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Renewal {
    /// A new leaf with a new key is in place.
    Renewed(Issued),
    /// Nothing yet: the leaf is younger than two thirds of its life.
    NotDue {
        /// When it will be, Unix seconds.
        due_at: i64,
    },
}

/// When to renew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RenewWhen {
    /// From two thirds of the life on.
    Due,
    /// In any case, e.g. after a rotation of the root or the loss of a key.
    Now,
}

/// What a leaf may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usage {
    /// To answer.
    Server,
    /// To call.
    Client,
}

/// Whose key signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signer {
    /// The current root.
    Root,
    /// The leaf's own: self-signed.
    Itself,
}

/// A leaf as it is to be, whatever that is: no rule of [`Authority::issue`] is applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UncheckedLeaf {
    /// URIs among its names.
    pub uris: Vec<String>,
    /// Its other names.
    pub names: Vec<SubjectName>,
    /// First second, Unix time.
    pub not_before: i64,
    /// Last second, Unix time.
    pub not_after: i64,
    /// What it may be used for.
    pub usages: Vec<Usage>,
    /// Whose key signs.
    pub signer: Signer,
}

/// A signed leaf with its key, in memory. `Debug` shows the certificate's digest only.
pub struct SignedLeaf {
    /// The leaf, PEM.
    pub certificate_pem: String,
    /// Its key, PKCS #8 in PEM.
    pub key_pem: Zeroizing<String>,
    /// Its serial number, lowercase hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
}

impl fmt::Debug for SignedLeaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedLeaf").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// The authority of one cluster, opened on its directory.
pub struct Authority {
    directory: PathBuf,
    cluster: Slug,
    roots_pem: String,
    issuer: Issuer<'static, KeyPair>,
    root: Fingerprint,
    next_root: Option<Fingerprint>,
    root_not_after: i64,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority for `cluster` in `directory`, which is made when it is not there.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the directory holds one: a root is never overwritten.
    pub fn create(cluster: &Slug, directory: &Path, now: SystemTime) -> Result<Self, Error> {
        files::create_directory(directory).map_err(Error::write(directory))?;
        let _lock = lock(directory)?;
        let index = directory.join(index::FILE);
        if index.try_exists().map_err(Error::read(&index))? {
            return Err(Error::AlreadyExists { path: index });
        }
        let root = make_root(cluster, directory, now)?;
        let bundle = directory.join(BUNDLE);
        files::write(&bundle, root.pem.as_bytes(), Readers::Everybody).map_err(Error::write(&bundle))?;
        Index::new(cluster, root.fingerprint).write(directory)?;
        Self::open(directory)
    }

    /// Opens the authority in `directory`.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let index = Index::read(directory)?;
        let bundle_path = directory.join(BUNDLE);
        let bundle = files::read(&bundle_path, BUNDLE_BYTES_MAX).map_err(Error::read(&bundle_path))?;
        let current = roots_of(&bundle)?
            .into_iter()
            .find(|root| Fingerprint::of(root) == index.root)
            .ok_or(Error::RootMissing)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&current).map_err(|_| Error::RootMissing)?;
        let root_not_after = parsed.validity().not_after.timestamp();
        let issuer = signing_root(directory, &current)?.ok_or_else(|| Error::Read {
            path: root_key(directory, &index.root),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        let roots_pem = String::from_utf8(bundle).map_err(|_| Error::Bundle)?;
        Ok(Self {
            directory: directory.to_owned(),
            cluster: index.cluster,
            roots_pem,
            issuer,
            root: index.root,
            next_root: index.next_root,
            root_not_after,
        })
    }

    /// Short name of the cluster it issues for.
    pub fn cluster(&self) -> &Slug {
        &self.cluster
    }

    /// The root that signs.
    pub fn root(&self) -> Fingerprint {
        self.root
    }

    /// The root that a rotation has made and that does not sign yet.
    pub fn next_root(&self) -> Option<Fingerprint> {
        self.next_root
    }

    /// The roots to trust, as they stand in `ca.crt`.
    pub fn roots_pem(&self) -> &str {
        &self.roots_pem
    }

    /// Issues a leaf and writes `<name>.crt`, `<name>.key` and `ca.crt` into `into`, synced. It is in the index before
    /// its key is on disk, so that no certificate exists that the list does not show.
    pub fn issue(&self, request: &Request, into: &Path, name: &Slug, now: SystemTime) -> Result<Issued, Error> {
        check_file_name(name)?;
        let key = into.join(format!("{name}.key"));
        if key.try_exists().map_err(Error::read(&key))? {
            return Err(Error::AlreadyExists { path: key });
        }
        self.issue_over(request, into, name, now)
    }

    /// Every certificate issued and not long expired, oldest first.
    pub fn list(&self) -> Result<Vec<IssuedRecord>, Error> {
        Ok(Index::read(&self.directory)?.issued)
    }

    /// Replaces `<name>.crt` and `<name>.key` in `directory` by a leaf of the same identity, names and length of life,
    /// with a new key. The key is replaced first: a reader that meets the new key beside the old certificate finds that
    /// they are no pair, keeps what it has and looks again; after a crash in between, renew once more with
    /// [`RenewWhen::Now`].
    pub fn renew(&self, directory: &Path, name: &Slug, when: RenewWhen, now: SystemTime) -> Result<Renewal, Error> {
        check_file_name(name)?;
        let path = directory.join(format!("{name}.crt"));
        let pem = files::read(&path, BUNDLE_BYTES_MAX).map_err(Error::read(&path))?;
        let der = CertificateDer::from_pem_slice(&pem).map_err(|_| Error::NotACertificate { path: path.clone() })?;
        let leaf = Leaf::from_der(&der).map_err(|_| Error::NotACertificate { path })?;
        let record = self
            .list()?
            .into_iter()
            .find(|record| record.fingerprint == leaf.fingerprint.to_string())
            .ok_or(Error::NotIssuedHere)?;
        let due_at = leaf.renewal_due();
        if when == RenewWhen::Due && unix_seconds(now) < due_at {
            return Ok(Renewal::NotDue { due_at });
        }
        let life = leaf.not_after.saturating_sub(leaf.not_before);
        let life = Duration::from_secs(u64::try_from(life).unwrap_or(0)).saturating_sub(BACKDATED);
        let request = Request {
            identity: leaf.identity,
            names: record.names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
            lifetime: Some(life.clamp(Duration::from_secs(1), LIFETIME_MAX)),
        };
        self.issue_over(&request, directory, name, now).map(Renewal::Renewed)
    }

    /// Makes a new root and trusts it beside the others; the one of before goes on signing until [`Self::switch_root`],
    /// because what a new one signs is refused where the new bundle has not arrived. Where one waits already, nothing
    /// changes.
    pub fn add_root(&mut self, now: SystemTime) -> Result<Fingerprint, Error> {
        let _lock = lock(&self.directory)?;
        let mut index = Index::read(&self.directory)?;
        if let Some(waiting) = index.next_root {
            return Ok(waiting);
        }
        let root = make_root(&self.cluster, &self.directory, now)?;
        let bundle = self.directory.join(BUNDLE);
        let old = files::read(&bundle, BUNDLE_BYTES_MAX).map_err(Error::read(&bundle))?;
        let pem = [old.as_slice(), root.pem.as_bytes()].concat();
        files::write(&bundle, &pem, Readers::Everybody).map_err(Error::write(&bundle))?;
        index.next_root = Some(root.fingerprint);
        index.write(&self.directory)?;
        *self = Self::open(&self.directory)?;
        Ok(root.fingerprint)
    }

    /// Signs with the root that waits from now on, and puts it first in the bundle; the old ones are trusted until they
    /// are retired. Gives whether one waited.
    pub fn switch_root(&mut self) -> Result<bool, Error> {
        let _lock = lock(&self.directory)?;
        let mut index = Index::read(&self.directory)?;
        let Some(root) = index.next_root.take() else {
            return Ok(false);
        };
        let bundle = self.directory.join(BUNDLE);
        let old = files::read(&bundle, BUNDLE_BYTES_MAX).map_err(Error::read(&bundle))?;
        let is_new =
            |block: &Vec<u8>| CertificateDer::from_pem_slice(block).is_ok_and(|der| Fingerprint::of(&der) == root);
        let (first, rest): (Vec<_>, Vec<_>) = pem_blocks(&old).partition(is_new);
        if first.is_empty() {
            return Err(Error::RootMissing);
        }
        let pem = first.into_iter().chain(rest).collect::<Vec<_>>().concat();
        files::write(&bundle, &pem, Readers::Everybody).map_err(Error::write(&bundle))?;
        index.root = root;
        index.write(&self.directory)?;
        *self = Self::open(&self.directory)?;
        Ok(true)
    }

    /// Both steps at once, for a network that reads new bundles before it meets what the new root signed.
    pub fn rotate_root(&mut self, now: SystemTime) -> Result<(), Error> {
        self.add_root(now)?;
        self.switch_root()?;
        Ok(())
    }

    /// Trusts the current root only; leaves under older ones are worth nothing where the new bundle is read. The old
    /// keys stay in the directory until somebody destroys them.
    pub fn retire_old_roots(&mut self) -> Result<(), Error> {
        let _lock = lock(&self.directory)?;
        let index = Index::read(&self.directory)?;
        let bundle = self.directory.join(BUNDLE);
        let old = files::read(&bundle, BUNDLE_BYTES_MAX).map_err(Error::read(&bundle))?;
        let current = pem_blocks(&old)
            .find(|block| CertificateDer::from_pem_slice(block).is_ok_and(|der| Fingerprint::of(&der) == index.root))
            .ok_or(Error::RootMissing)?;
        files::write(&bundle, &current, Readers::Everybody).map_err(Error::write(&bundle))?;
        *self = Self::open(&self.directory)?;
        Ok(())
    }

    /// Signs a leaf exactly as described, without check, index or file: refusals are tested with certificates that
    /// [`Authority::issue`] would never make.
    #[doc(hidden)]
    pub fn sign_unchecked(&self, leaf: &UncheckedLeaf) -> Result<SignedLeaf, Error> {
        let serial = serial()?;
        let params = params_of(leaf, &serial)?;
        let key = KeyPair::generate().map_err(Error::Sign)?;
        let certificate = match leaf.signer {
            Signer::Root => params.signed_by(&key, &self.issuer),
            Signer::Itself => params.self_signed(&key),
        }
        .map_err(Error::Sign)?;
        Ok(SignedLeaf {
            certificate_pem: certificate.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
            serial: hexadecimal(&serial),
            fingerprint: Fingerprint::of(certificate.der()),
        })
    }

    fn issue_over(&self, request: &Request, into: &Path, name: &Slug, now: SystemTime) -> Result<Issued, Error> {
        let leaf = self.plan(request, now)?;
        let signed = self.sign_unchecked(&leaf)?;
        let record = self.record(request, &leaf, signed.serial.clone(), signed.fingerprint);
        files::create_directory(into).map_err(Error::write(into))?;
        self.note(&record, now)?;
        let issued = Issued {
            record,
            certificate: into.join(format!("{name}.crt")),
            key: into.join(format!("{name}.key")),
            roots: into.join(BUNDLE),
        };
        let roots = self.roots_pem.as_bytes();
        files::write(&issued.roots, roots, Readers::Everybody).map_err(Error::write(&issued.roots))?;
        files::write(&issued.key, signed.key_pem.as_bytes(), Readers::Owner).map_err(Error::write(&issued.key))?;
        files::write(&issued.certificate, signed.certificate_pem.as_bytes(), Readers::Everybody)
            .map_err(Error::write(&issued.certificate))?;
        Ok(issued)
    }

    fn record(
        &self,
        request: &Request,
        leaf: &UncheckedLeaf,
        serial: String,
        fingerprint: Fingerprint,
    ) -> IssuedRecord {
        IssuedRecord {
            serial,
            identity: request.identity.to_string(),
            names: request.names.iter().map(SubjectName::to_string).collect(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            fingerprint: fingerprint.to_string(),
            root: Some(self.root.to_string()),
            revoked: None,
        }
    }

    /// Into the index, before anybody has the certificate.
    fn note(&self, record: &IssuedRecord, now: SystemTime) -> Result<(), Error> {
        let _lock = lock(&self.directory)?;
        let mut index = Index::read(&self.directory)?;
        index.add(record.clone(), unix_seconds(now))?;
        index.write(&self.directory)
    }

    fn plan(&self, request: &Request, now: SystemTime) -> Result<UncheckedLeaf, Error> {
        let node = request.identity.is_node();
        if *request.identity.cluster() != self.cluster {
            return Err(Error::OtherCluster);
        }
        if !node && !request.names.is_empty() {
            return Err(Error::NamesOfAProgram);
        }
        if request.names.len() > NAMES_MAX {
            return Err(Error::TooManyNames);
        }
        let default = if node { NODE_LIFETIME } else { PROGRAM_LIFETIME };
        let lifetime = request.lifetime.unwrap_or(default);
        if lifetime < Duration::from_secs(1) || lifetime > LIFETIME_MAX {
            return Err(Error::Lifetime);
        }
        let now = unix_seconds(now);
        let not_after = now.saturating_add(seconds(lifetime));
        if not_after > self.root_not_after {
            return Err(Error::OutlivesRoot { root_not_after: self.root_not_after });
        }
        Ok(UncheckedLeaf {
            uris: vec![request.identity.to_string()],
            names: request.names.clone(),
            not_before: now.saturating_sub(seconds(BACKDATED)),
            not_after,
            usages: if node { vec![Usage::Server, Usage::Client] } else { vec![Usage::Client] },
            signer: Signer::Root,
        })
    }
}

/// A leaf as rcgen takes it.
fn params_of(leaf: &UncheckedLeaf, serial: &[u8]) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.not_before = date(leaf.not_before)?;
    params.not_after = date(leaf.not_after)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.distinguished_name = DistinguishedName::new();
    if let Some(last) = leaf.uris.first().and_then(|uri| uri.rsplit('/').next()) {
        params.distinguished_name.push(DnType::CommonName, last);
    }
    for usage in &leaf.usages {
        params.extended_key_usages.push(match usage {
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        });
    }
    for uri in &leaf.uris {
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(uri.as_str()).map_err(Error::Sign)?));
    }
    for name in &leaf.names {
        params.subject_alt_names.push(match name {
            SubjectName::Dns(name) => SanType::DnsName(Ia5String::try_from(name.as_str()).map_err(Error::Sign)?),
            SubjectName::Ip(address) => SanType::IpAddress(*address),
        });
    }
    Ok(params)
}

/// A root with its key, ready to sign; `None` when the key is not in the directory.
fn signing_root(directory: &Path, root: &CertificateDer<'_>) -> Result<Option<Issuer<'static, KeyPair>>, Error> {
    let key_path = root_key(directory, &Fingerprint::of(root));
    if !key_path.try_exists().map_err(Error::read(&key_path))? {
        return Ok(None);
    }
    let (_, parsed) = x509_parser::parse_x509_certificate(root).map_err(|_| Error::RootMissing)?;
    let key = Zeroizing::new(files::read(&key_path, BUNDLE_BYTES_MAX).map_err(Error::read(&key_path))?);
    let key = std::str::from_utf8(&key).map_err(|_| Error::RootKey)?;
    let key = KeyPair::from_pem(key).map_err(|_| Error::RootKey)?;
    if key.public_key_raw() != parsed.public_key().subject_public_key.data.as_ref() {
        return Err(Error::RootKey);
    }
    Issuer::from_ca_cert_der(root, key).map(Some).map_err(Error::Sign)
}

struct Root {
    pem: String,
    fingerprint: Fingerprint,
}

/// Makes a root and writes its key. Until the bundle and the index name it, that key is a file nobody reads.
fn make_root(cluster: &Slug, directory: &Path, now: SystemTime) -> Result<Root, Error> {
    let now = unix_seconds(now);
    let mut params = CertificateParams::default();
    let serial = serial()?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = date(now.saturating_sub(seconds(BACKDATED)))?;
    params.not_after = date(now.saturating_add(seconds(ROOT_LIFETIME)))?;
    // No authority below it: a leaf is never an issuer.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Plantao");
    // Part of the serial, so that two roots of one cluster have different names.
    let tag: String = hexadecimal(&serial).chars().take(8).collect();
    params.distinguished_name.push(DnType::CommonName, format!("{cluster} root {tag}"));
    let key = KeyPair::generate().map_err(Error::Sign)?;
    let certificate = params.self_signed(&key).map_err(Error::Sign)?;
    let fingerprint = Fingerprint::of(certificate.der());
    let path = root_key(directory, &fingerprint);
    let pem = Zeroizing::new(key.serialize_pem());
    files::write(&path, pem.as_bytes(), Readers::Owner).map_err(Error::write(&path))?;
    Ok(Root { pem: certificate.pem(), fingerprint })
}

fn root_key(directory: &Path, root: &Fingerprint) -> PathBuf {
    let text: String = root.to_string().chars().take(16).collect();
    directory.join(format!("root-{text}.key"))
}

/// The fingerprints of a bundle's roots, in its order.
///
/// # Errors
/// [`Error::Bundle`] for what is no PEM.
pub fn roots_in(bundle: &[u8]) -> Result<Vec<Fingerprint>, Error> {
    Ok(roots_of(bundle)?.iter().map(|root| Fingerprint::of(root)).collect())
}

fn roots_of(bundle: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(bundle).collect::<Result<_, _>>().map_err(|_| Error::Bundle)
}

/// Each block with its markers, as text to be written again.
fn pem_blocks(bundle: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut block = Vec::new();
    bundle.split_inclusive(|byte| *byte == b'\n').filter_map(move |line| {
        if line.starts_with(b"-----BEGIN ") {
            block.clear();
        }
        block.extend_from_slice(line);
        line.starts_with(b"-----END ").then(|| std::mem::take(&mut block))
    })
}

/// `ca.crt` is the bundle and `root-….key` the authority's: a leaf of such a name would overwrite them.
fn check_file_name(name: &Slug) -> Result<(), Error> {
    if name.as_str() == "ca" || name.as_str().starts_with("root-") { Err(Error::ReservedName) } else { Ok(()) }
}

fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(Error::write(&path))?;
    file.lock().map_err(Error::write(&path))?;
    Ok(file)
}

/// 127 random bits, so that it is positive and does not start with a zero byte.
fn serial() -> Result<[u8; 16], Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Error::Entropy)?;
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn date(unix_seconds: i64) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp(unix_seconds).map_err(|_| Error::Date)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
