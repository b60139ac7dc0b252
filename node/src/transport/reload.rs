//! Certificates, keys, roots and revocation lists that change under a running node. New files are read, checked and
//! prepared in full before anything is swapped: bad ones change nothing and are reported until they are good.
//!
//! ```text
//! every few seconds:  certificate, key, roots ─► good and new? ─► swapped together    ┐ each keeps what is in use
//!                     revocation list ─► of our roots, of now, not older? ─► in force ┘ when its new file is bad
//! ```

use super::system_time;
use super::tls::{Prepared, ServerTls, ServerTlsError, prepare};
use crate::clock::SharedClock;
use plantao_client::identity::Identity;
use plantao_client::transport::{
    ClientTls, Credentials, CredentialsError, CredentialsPaths, REVOCATION_BYTES_MAX, RevocationError, RevocationList,
    Revocations, TlsVersions, unix_seconds,
};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info};

/// Where the revocation list is when nothing else is said: beside the roots.
pub const REVOKED_FILE: &str = "revoked.pem";

/// Why credentials were not taken, at the start or at a reload.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The files are not good.
    #[error("the credentials are not usable")]
    Credentials(#[source] CredentialsError),
    /// They are good, but not a server's.
    #[error("the credentials are not those of a server")]
    Server(#[source] ServerTlsError),
    /// They are another node's: a running node cannot become another.
    #[error("the new certificate speaks for another identity than this node's")]
    IdentityChanged,
    /// An installation that a crash cut in two cannot be ended.
    #[error("the installation of a certificate cannot be ended")]
    Installation(#[source] io::Error),
    /// The list cannot be read although it is there.
    #[error("the revocation list cannot be read")]
    ReadRevocations(#[source] io::Error),
    /// There was one, and somebody took the file away. What it said holds on.
    #[error("the file of the revocation list is gone")]
    RevocationsGone,
    /// It is not good, or not good any more.
    #[error("the revocation list is not usable")]
    Revocations(#[source] RevocationError),
}

/// What a reload did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reloaded {
    /// The files hold what is in use.
    Unchanged,
    /// New credentials are in use from the next connection on.
    Swapped,
}

/// The state of the credentials, for `status`, metrics and alerts.
#[derive(Clone, Debug)]
pub struct ReloadStatus {
    /// Swaps since the start.
    pub generation: u64,
    /// First second of the certificate in use, Unix time.
    pub not_before: i64,
    /// Last second of the certificate in use, Unix time.
    pub not_after: i64,
    /// When it should be replaced, Unix seconds.
    pub renewal_due: i64,
    /// Whether the revocation list names this node's own certificate: the others refuse it.
    pub revoked: bool,
    /// Why the files on disk are not in use, while that is so. An expired certificate that nobody replaced is such a
    /// case too.
    pub failure: Option<Arc<ReloadError>>,
    /// Why the revocation list on disk is not in use, or should not be any more, while that is so.
    pub list_failure: Option<Arc<ReloadError>>,
    /// Reloads that failed since the start.
    pub failures: u64,
}

impl ReloadStatus {
    /// Whether a third of the certificate's life or less is left at `now`, Unix seconds: the one moment from which
    /// `status`, `doctor`, renewal and alerts say so.
    pub fn is_due(&self, now: i64) -> bool {
        now >= self.renewal_due
    }

    /// The share of its life that the certificate has left at `now`, Unix seconds: from 1 to 0.
    pub fn life_left(&self, now: i64) -> f64 {
        let seconds = |from: i64| self.not_after.saturating_sub(from).max(0) as f64;
        (seconds(now) / seconds(self.not_before).max(1.0)).min(1.0)
    }

    /// Whether any file on disk is not in use, or should not be any more.
    pub fn is_failing(&self) -> bool {
        self.failure.is_some() || self.list_failure.is_some()
    }
}

type Outcome = Result<Reloaded, Arc<ReloadError>>;

/// What is replaced apart from the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// Certificate, key and roots.
    Credentials,
    /// The revocation list.
    List,
}

/// What a reload remembers of those before it.
#[derive(Default)]
struct Memory {
    /// Text of the last failure, so that one is logged once.
    failure: Option<String>,
    list_failure: Option<String>,
}

/// Owns the credentials of a node.
pub struct TlsReloader {
    pub(super) paths: CredentialsPaths,
    pub(super) revoked: PathBuf,
    pub(super) versions: TlsVersions,
    pub(super) clock: SharedClock,
    pub(super) client: ClientTls,
    server: ServerTls,
    pub(super) revocations: Revocations,
    /// One reload at a time.
    reloading: Mutex<Memory>,
    status: watch::Sender<ReloadStatus>,
}

impl fmt::Debug for TlsReloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReloader").field("client", &self.client).finish_non_exhaustive()
    }
}

impl TlsReloader {
    /// As [`Self::start_with`], with the revocation list in [`REVOKED_FILE`] beside the roots.
    pub fn start(paths: CredentialsPaths, versions: TlsVersions, clock: SharedClock) -> Result<Arc<Self>, ReloadError> {
        let revoked = paths.roots.with_file_name(REVOKED_FILE);
        Self::start_with(paths, revoked, versions, clock)
    }

    /// Loads the files for the first time; a node does not start with bad ones. The file at `revoked` may be absent. A
    /// list past its end, or of a root that is not trusted any more, is reported and stops nothing: a node that stands
    /// still protects nobody. Blocks for four small reads.
    pub fn start_with(
        paths: CredentialsPaths,
        revoked: PathBuf,
        versions: TlsVersions,
        clock: SharedClock,
    ) -> Result<Arc<Self>, ReloadError> {
        let now = system_time(clock.now());
        super::install::finish(&paths).map_err(ReloadError::Installation)?;
        let credentials = Arc::new(Credentials::load(&paths, now).map_err(ReloadError::Credentials)?);
        let revocations = Revocations::default();
        match read_list(&revoked)?.map(|bytes| RevocationList::from_pem(&bytes, credentials.root_certificates())) {
            Some(Ok(list)) => revocations.replace(Arc::new(list)),
            Some(Err(RevocationError::Foreign)) | None => {}
            Some(Err(error)) => return Err(ReloadError::Revocations(error)),
        }
        let server = ServerTls::new(&credentials, versions, revocations.clone(), now).map_err(ReloadError::Server)?;
        let leaf = credentials.leaf();
        let (status, _) = watch::channel(ReloadStatus {
            generation: 0,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            renewal_due: leaf.renewal_due(),
            revoked: is_revoked(&credentials, &revocations),
            failure: None,
            list_failure: None,
            failures: 0,
        });
        let client = ClientTls::new(credentials, versions).with_revocations(revocations.clone());
        let reloading = Mutex::default();
        Ok(Arc::new(Self { paths, revoked, versions, clock, client, server, revocations, reloading, status }))
    }

    /// For channels to others.
    pub fn client(&self) -> ClientTls {
        self.client.clone()
    }

    /// For acceptors and plane layers.
    pub fn server(&self) -> ServerTls {
        self.server.clone()
    }

    /// Whom the credentials in use speak for.
    pub fn identity(&self) -> Identity {
        self.client.credentials().leaf().identity.clone()
    }

    /// The revocation list in force.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// The state, and each change of it.
    pub fn status(&self) -> watch::Receiver<ReloadStatus> {
        self.status.subscribe()
    }

    /// Reads the files now and swaps when they are new and good. Blocks for four small reads; what is in use stays so
    /// on any error, the list apart from the credentials.
    pub fn reload(&self) -> Result<Reloaded, Arc<ReloadError>> {
        let mut memory = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let (credentials, list) = self.reload_both(&mut memory);
        match (credentials?, list?) {
            (Reloaded::Unchanged, Reloaded::Unchanged) => Ok(Reloaded::Unchanged),
            _ => Ok(Reloaded::Swapped),
        }
    }

    /// Runs `change` while no reload runs, then reloads; gives what `change` gave when the part that it changed was taken.
    pub(super) fn change<T, E>(&self, part: Part, change: impl FnOnce() -> Result<T, E>) -> Result<T, E>
    where
        E: From<Arc<ReloadError>>,
    {
        let mut memory = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change()?;
        let (credentials, list) = self.reload_both(&mut memory);
        match part {
            Part::Credentials => credentials?,
            Part::List => list?,
        };
        Ok(changed)
    }

    fn reload_both(&self, memory: &mut Memory) -> (Outcome, Outcome) {
        let credentials = self.reload_credentials(memory);
        let list = self.reload_list(memory);
        let revoked = is_revoked(&self.client.credentials(), &self.revocations);
        self.status.send_if_modified(|status| std::mem::replace(&mut status.revoked, revoked) != revoked);
        (credentials, list)
    }

    fn reload_credentials(&self, memory: &mut Memory) -> Result<Reloaded, Arc<ReloadError>> {
        match self.prepare() {
            Err(error) => {
                let error = Arc::new(error);
                if is_news(&mut memory.failure, &error) {
                    error!(error = %chain(error.as_ref()), "credentials not reloaded, the old ones stay in use");
                }
                self.status.send_modify(|status| {
                    status.failure = Some(Arc::clone(&error));
                    status.failures += 1;
                });
                Err(error)
            }
            Ok(None) => {
                memory.failure = None;
                self.status.send_if_modified(|status| status.failure.take().is_some());
                Ok(Reloaded::Unchanged)
            }
            Ok(Some((credentials, prepared))) => {
                memory.failure = None;
                let leaf = credentials.leaf().clone();
                self.server.replace(prepared);
                self.client.replace(Arc::new(credentials));
                info!(fingerprint = %leaf.fingerprint, not_after = leaf.not_after, "credentials reloaded");
                self.status.send_modify(|status| {
                    status.generation += 1;
                    status.not_before = leaf.not_before;
                    status.not_after = leaf.not_after;
                    status.renewal_due = leaf.renewal_due();
                    status.failure = None;
                });
                Ok(Reloaded::Swapped)
            }
        }
    }

    fn reload_list(&self, memory: &mut Memory) -> Result<Reloaded, Arc<ReloadError>> {
        match self.take_list() {
            Err(error) => {
                let error = Arc::new(error);
                if is_news(&mut memory.list_failure, &error) {
                    error!(error = %chain(error.as_ref()), "the revocation list needs attention; what it said last holds");
                }
                self.status.send_modify(|status| {
                    status.list_failure = Some(Arc::clone(&error));
                    status.failures += 1;
                });
                Err(error)
            }
            Ok(taken) => {
                memory.list_failure = None;
                self.status.send_if_modified(|status| status.list_failure.take().is_some());
                Ok(taken)
            }
        }
    }

    /// What is in use is looked at too: it may have come to its end.
    fn take_list(&self) -> Result<Reloaded, ReloadError> {
        let current = self.revocations.current();
        let Some(bytes) = read_list(&self.revoked)? else {
            return if current.number() == 0 { Ok(Reloaded::Unchanged) } else { Err(ReloadError::RevocationsGone) };
        };
        let credentials = self.client.credentials();
        let roots = credentials.root_certificates();
        let list = RevocationList::from_pem(&bytes, roots).map_err(ReloadError::Revocations)?;
        list.check_time(unix_seconds(system_time(self.clock.now()))).map_err(ReloadError::Revocations)?;
        if list == *current {
            return Ok(Reloaded::Unchanged);
        }
        list.check_succeeds(&current, roots).map_err(ReloadError::Revocations)?;
        info!(number = list.number(), revoked = list.len(), "revocation list in force");
        self.revocations.replace(Arc::new(list));
        Ok(Reloaded::Swapped)
    }

    /// Reloads every `interval` for ever; for the supervisor to run. Looking at contents and not at file times costs a
    /// fraction of a millisecond and misses nothing.
    pub async fn run(self: Arc<Self>, interval: Duration) {
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let this = Arc::clone(&self);
            // A failure is in the status and in the log already; a panic in it ends here and is tried again.
            let _ = crate::work::blocking(move || this.reload()).await;
        }
    }

    fn prepare(&self) -> Result<Option<(Credentials, Prepared)>, ReloadError> {
        let now = system_time(self.clock.now());
        let credentials = Credentials::load(&self.paths, now).map_err(ReloadError::Credentials)?;
        let current = self.client.credentials();
        if credentials.certified_key().cert == current.certified_key().cert
            && credentials.roots_digest() == current.roots_digest()
        {
            return Ok(None);
        }
        // A node that joined replaces its first certificate by the one with its number, and stays what it is.
        let numbered = matches!(current.leaf().identity, Identity::NewNode { .. })
            && credentials.leaf().identity.node_id().is_some()
            && credentials.leaf().identity.cluster() == current.leaf().identity.cluster();
        if credentials.leaf().identity != current.leaf().identity && !numbered {
            return Err(ReloadError::IdentityChanged);
        }
        let prepared = prepare(&credentials, self.versions, &self.revocations, now).map_err(ReloadError::Server)?;
        Ok(Some((credentials, prepared)))
    }
}

/// The file of the list; `None` when there is none.
fn read_list(path: &Path) -> Result<Option<Vec<u8>>, ReloadError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ReloadError::ReadRevocations(error)),
    };
    let mut bytes = Vec::new();
    let room = u64::try_from(REVOCATION_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(room).read_to_end(&mut bytes).map_err(ReloadError::ReadRevocations)?;
    Ok(Some(bytes))
}

fn is_revoked(credentials: &Credentials, revocations: &Revocations) -> bool {
    credentials.certified_key().cert.first().is_some_and(|leaf| revocations.refuses(leaf))
}

/// Whether this failure is another than the last one.
fn is_news(last: &mut Option<String>, error: &ReloadError) -> bool {
    let text = format!("{error:?}");
    let news = last.as_ref() != Some(&text);
    *last = Some(text);
    news
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
