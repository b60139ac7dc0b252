//! Images between programs and nodes: taken in, kept safe, given back.
//!
//! ```text
//! api ─► upload (begin, take, finish) ─► session ─► copies ─► feeders ─► local directory, peers
//!                                          └► commit in the log, once two sites have each part ─► acknowledged
//!        └► resume (earlier tries), sites (other nodes, further copies), thumbnails
//! api ─► read, verify ─► local directory, else a node of this site, else others, hedged ─► verified, opened, healed
//! peer plane ─► local (receipts of a registered directory only)
//! ```
//! What may be acknowledged when: a chunk to a sending program, nothing but "send the next"; an image, after its commit
//! was applied with receipts of two sites for every part. Never here: what counts as an image (`domain::images`), files
//! (`chunks`), the wire of programs (`api`).

pub mod convert;
mod copies;
mod error;
pub mod keeping;
pub mod links;
pub mod local;
pub mod notes;
pub mod peers;
mod place;
mod read;
mod registration;
mod resume;
mod session;
mod sites;
mod thumbnails;
mod upload;
mod verify;

pub use error::{Class, Error};
pub use links::{BulkLinks, BulkPass};
pub use local::{ChunkReceipt, KeepError, LocalChunks};
pub use notes::{Note, Notes};
pub use peers::{ChunkPeers, PeerError};
pub use read::{Reader, Variant};
pub use registration::register_store;
pub use upload::{Begin, CALL_TIME_MAX, Finished, Taking, UploadView};
pub use verify::{CopyReport, Verified};

use crate::chunks::content_type::ContentType;
use crate::chunks::thumbnail::Thumbnailer;
use crate::entropy::SharedEntropy;
use crate::gateway::Gateway;
use crate::telemetry::metrics;
use plantao_client::identity::Identity;
use plantao_domain::images::MediaType;
use plantao_domain::{NodeId, UploadId};
use session::Session;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// Uploads that this node remembers: about 100 KiB each without the chunks that are under way.
const SESSIONS_MAX: usize = 128;
/// Calls that bring chunks at once: each has up to seven chunks in memory.
const INTAKES_MAX: usize = 12;
/// Images that are given at once: each has up to six chunks in memory.
const READERS_MAX: usize = 16;
/// An upload that nobody comes back for is forgotten here; its intent and its chunks stay.
const IDLE_TIME_MAX: Duration = Duration::from_secs(10 * 60);
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What it is made of.
pub struct Parts {
    /// Rights, keys, the log.
    pub gateway: Gateway,
    /// This node's own name.
    pub identity: Identity,
    /// This node's chunks.
    pub chunks: LocalChunks,
    /// Those of others.
    pub peers: ChunkPeers,
    /// Random bytes.
    pub entropy: SharedEntropy,
}

struct Inner {
    parts: Parts,
    sessions: Mutex<BTreeMap<UploadId, Arc<Session>>>,
    intakes: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    thumbnailer: Thumbnailer,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Images(Arc<Inner>);

impl Images {
    /// Wires it.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            sessions: Mutex::default(),
            intakes: Arc::new(Semaphore::new(INTAKES_MAX)),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            thumbnailer: Thumbnailer::default(),
        }))
    }

    /// Rights, keys, the log.
    pub fn gateway(&self) -> &Gateway {
        &self.0.parts.gateway
    }

    /// This node's chunks.
    pub fn chunks(&self) -> &LocalChunks {
        &self.0.parts.chunks
    }

    /// Those of others.
    pub fn peers(&self) -> &ChunkPeers {
        &self.0.parts.peers
    }

    fn identity(&self) -> &Identity {
        &self.0.parts.identity
    }

    fn node(&self) -> NodeId {
        self.chunks().node()
    }

    fn intakes(&self) -> &Arc<Semaphore> {
        &self.0.intakes
    }

    fn thumbnailer(&self) -> &Thumbnailer {
        &self.0.thumbnailer
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<UploadId, Arc<Session>>> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_session(&self, upload: UploadId) -> Option<Arc<Session>> {
        self.sessions().get(&upload).cloned()
    }

    /// Keeps a session, or gives the one that was first. Where there are too many, one that only brings further copies
    /// makes room, because repair brings those too.
    fn keep_session(&self, session: Arc<Session>) -> Result<(Arc<Session>, bool), Error> {
        let mut sessions = self.sessions();
        if let Some(first) = sessions.get(&session.upload) {
            return Ok((Arc::clone(first), false));
        }
        if sessions.len() >= SESSIONS_MAX {
            let trailing = sessions.iter().find(|(_, session)| session.is_committed()).map(|(upload, _)| *upload);
            let ended = trailing.and_then(|upload| sessions.remove(&upload)).ok_or(Error::Busy)?;
            ended.stop.cancel();
        }
        sessions.insert(session.upload, Arc::clone(&session));
        Ok((session, true))
    }

    fn drop_session(&self, session: &Arc<Session>) {
        session.stop.cancel();
        let mut sessions = self.sessions();
        if sessions.get(&session.upload).is_some_and(|kept| Arc::ptr_eq(kept, session)) {
            sessions.remove(&session.upload);
        }
        if session.is_committed() {
            self.chunks().notes().forget(session.upload);
        }
    }

    /// Forgets uploads that nobody comes back for, and tells the metrics; for as long as the node runs.
    pub async fn tend(self) {
        loop {
            let idle: Vec<Arc<Session>> =
                self.sessions().values().filter(|session| session.idle_for() >= IDLE_TIME_MAX).cloned().collect();
            for session in idle {
                self.drop_session(&session);
            }
            let store = self.chunks().store().cloned();
            let uploads = self.sessions().len();
            let figures = match store {
                // Walks the list of what is held.
                Some(store) => crate::work::blocking(move || store.directory().figures()).await.ok(),
                None => None,
            };
            metrics::images(uploads, figures.as_ref());
            sleep(SWEEP_EVERY).await;
        }
    }
}

/// The type as the directory of chunks names it.
const fn content_type(media_type: MediaType) -> ContentType {
    match media_type {
        MediaType::Jpeg => ContentType::Jpeg,
        MediaType::Png => ContentType::Png,
        MediaType::Dicom => ContentType::Dicom,
        MediaType::Webp => ContentType::Webp,
        MediaType::Heic => ContentType::Heic,
    }
}
