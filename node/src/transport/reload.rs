//! Certificates, keys and roots that change under a running node. New files are read, checked and prepared in full
//! before anything is swapped: bad ones change nothing and are reported until they are good.

use super::system_time;
use super::tls::{Prepared, ServerTls, ServerTlsError, prepare};
use crate::clock::SharedClock;
use plantao_client::identity::Identity;
use plantao_client::transport::{ClientTls, Credentials, CredentialsError, CredentialsPaths, TlsVersions};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info};

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
    /// Last second of the certificate in use, Unix time.
    pub not_after: i64,
    /// When it should be replaced, Unix seconds.
    pub renewal_due: i64,
    /// Why the files on disk are not in use, while that is so. An expired certificate that nobody replaced is such a
    /// case too.
    pub failure: Option<Arc<ReloadError>>,
    /// Reloads that failed since the start.
    pub failures: u64,
}

/// Owns the credentials of a node.
pub struct TlsReloader {
    paths: CredentialsPaths,
    versions: TlsVersions,
    clock: SharedClock,
    client: ClientTls,
    server: ServerTls,
    /// One reload at a time, and the text of the last failure, so that one is logged once.
    reloading: Mutex<Option<String>>,
    status: watch::Sender<ReloadStatus>,
}

impl fmt::Debug for TlsReloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReloader").field("client", &self.client).finish_non_exhaustive()
    }
}

impl TlsReloader {
    /// Loads the files for the first time; a node does not start with bad ones. Blocks for three small reads.
    pub fn start(paths: CredentialsPaths, versions: TlsVersions, clock: SharedClock) -> Result<Arc<Self>, ReloadError> {
        let now = system_time(clock.now());
        let credentials = Arc::new(Credentials::load(&paths, now).map_err(ReloadError::Credentials)?);
        let server = ServerTls::new(&credentials, versions, now).map_err(ReloadError::Server)?;
        let leaf = credentials.leaf();
        let (status, _) = watch::channel(ReloadStatus {
            generation: 0,
            not_after: leaf.not_after,
            renewal_due: leaf.renewal_due(),
            failure: None,
            failures: 0,
        });
        let client = ClientTls::new(credentials, versions);
        Ok(Arc::new(Self { paths, versions, clock, client, server, reloading: Mutex::new(None), status }))
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

    /// The state, and each change of it.
    pub fn status(&self) -> watch::Receiver<ReloadStatus> {
        self.status.subscribe()
    }

    /// Reads the files now and swaps when they are new and good. Blocks for three small reads; the old credentials stay
    /// in use on any error.
    pub fn reload(&self) -> Result<Reloaded, Arc<ReloadError>> {
        let mut last_failure = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        match self.prepare() {
            Err(error) => {
                let error = Arc::new(error);
                let text = format!("{error:?}");
                if last_failure.as_ref() != Some(&text) {
                    error!(error = %chain(error.as_ref()), "credentials not reloaded, the old ones stay in use");
                    *last_failure = Some(text);
                }
                self.status.send_modify(|status| {
                    status.failure = Some(Arc::clone(&error));
                    status.failures += 1;
                });
                Err(error)
            }
            Ok(None) => {
                *last_failure = None;
                self.status.send_if_modified(|status| status.failure.take().is_some());
                Ok(Reloaded::Unchanged)
            }
            Ok(Some((credentials, prepared))) => {
                *last_failure = None;
                let leaf = credentials.leaf().clone();
                self.server.replace(prepared);
                self.client.replace(Arc::new(credentials));
                info!(fingerprint = %leaf.fingerprint, not_after = leaf.not_after, "credentials reloaded");
                self.status.send_modify(|status| {
                    status.generation += 1;
                    status.not_after = leaf.not_after;
                    status.renewal_due = leaf.renewal_due();
                    status.failure = None;
                });
                Ok(Reloaded::Swapped)
            }
        }
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
            let _ = tokio::task::spawn_blocking(move || this.reload()).await;
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
        let prepared = prepare(&credentials, self.versions, now).map_err(ReloadError::Server)?;
        Ok(Some((credentials, prepared)))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
