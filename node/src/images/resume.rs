//! Where an upload goes on: its session on this node, and what nodes were given in an earlier try.
//!
//! ```text
//! upload ─► known here? ─► session
//!             └ no: of its row ─► notes of all placed nodes ─► chunks without a gap, each read, opened and hashed ─► next
//! ```
//! Notes only say where to look: the bytes decide what is taken up.

use super::Images;
use super::copies::Copies;
use super::error::Error;
use super::session::{Intake, Session};
use super::upload::TURN_TIME_MAX;
use crate::crypto::{SealedChunk, open_chunk};
use bytes::Bytes;
use plantao_domain::rows::UploadRow;
use plantao_domain::{ChunkId, NodeId, UploadId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout};

/// How long the copies of an earlier try are looked at.
const RESUME_TIME_MAX: Duration = Duration::from_secs(15);

/// When what came through other nodes is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// When the session begins.
    Once,
    /// Now, too: the sender asks where to go on, or says that it sent all.
    Again,
}

impl Images {
    /// The session of an upload, which begins with this call if there is none.
    pub(super) async fn session(
        &self,
        upload: UploadId,
        row: UploadRow,
        is_fresh: bool,
    ) -> Result<Arc<Session>, Error> {
        if let Some(session) = self.known_session(upload) {
            session.touch();
            return Ok(session);
        }
        let gateway = self.gateway();
        let key = gateway.key_of_patient(row.patient).await?;
        let content = gateway.open_image(&key, row.patient, row.image, &row.content)?;
        let declared = <[u8; 32]>::try_from(content.sha256.as_slice()).ok();
        let sites = self.sites_of(&row.placement)?;
        let cluster = gateway.keyring().cluster();
        let nodes: Vec<NodeId> = sites.keys().copied().collect();
        let session = Session::new(upload, row, key, cluster, declared, sites, is_fresh)?;
        let (session, is_new) = self.keep_session(Arc::new(session))?;
        if is_new {
            for node in nodes {
                if node != self.node() && !self.peers().is_reachable(node) {
                    session.change(|copies| copies.mark(node, true));
                }
                session.feed(self, node);
            }
        }
        Ok(session)
    }

    /// What came of an upload, once what an earlier try left was taken up. Cancel safe: a task of its own does it.
    pub(super) async fn resumed(&self, session: &Arc<Session>, look: Look) -> Result<OwnedMutexGuard<Intake>, Error> {
        let (images, session) = (self.clone(), Arc::clone(session));
        let resuming = tokio::spawn(async move {
            let waiting = timeout(TURN_TIME_MAX, Arc::clone(&session.intake).lock_owned());
            let mut intake = waiting.await.map_err(|_| Error::Busy)?;
            if !intake.is_resumed || (look == Look::Again && intake.whole.is_none()) {
                images.resume(&session, &mut intake).await;
            }
            Ok(intake)
        });
        resuming.await.map_err(|_| Error::Busy)?
    }

    /// Takes up what nodes were given in an earlier try, from the first chunk on without a gap, as far as good copies can
    /// be read in the time.
    async fn resume(&self, session: &Arc<Session>, intake: &mut Intake) {
        intake.is_resumed = true;
        let from = intake.next;
        let deadline = Instant::now() + RESUME_TIME_MAX;
        let mut known: BTreeMap<u32, ChunkId> = BTreeMap::new();
        let mut holders: BTreeMap<u32, BTreeSet<NodeId>> = BTreeMap::new();
        for (node, notes) in self.notes_of(session).await {
            for note in notes {
                // Of two that differ the first stands: the bytes decide whether it is used.
                if *known.entry(note.sequence).or_insert(note.chunk) == note.chunk {
                    holders.entry(note.sequence).or_default().insert(node);
                }
            }
        }
        let (cluster, patient) = (self.gateway().keyring().cluster(), session.row.patient);
        while let Some(id) = known.get(&intake.next).copied() {
            let sequence = intake.next;
            let nodes: Vec<NodeId> = holders.get(&sequence).into_iter().flatten().copied().collect();
            let room = session.wait_until(deadline, Copies::has_room).await;
            if !room || Instant::now() >= deadline {
                break;
            }
            let Ok(frame) = self.fetch(id, &self.in_order(nodes.clone())).await else { break };
            let key = Arc::clone(&session.key);
            let opening = move || {
                let plaintext = open_chunk(cluster, patient, &key, id, &frame).ok()?;
                Some((frame, Bytes::copy_from_slice(&plaintext)))
            };
            let Ok(Some((frame, plaintext))) = crate::work::blocking(opening).await else { break };
            session.change(|copies| {
                for node in &nodes {
                    copies.suppose(*node, sequence);
                }
            });
            let sealed = SealedChunk { id, frame: frame.to_vec() };
            if session.take_up(intake, sealed, plaintext).await.is_err() {
                break;
            }
        }
        if intake.next > from {
            tracing::info!(chunks = intake.next, of = session.chunk_count(), "an upload goes on");
        }
    }

    /// What this node and the others that are to hold an upload were given of it.
    async fn notes_of(&self, session: &Session) -> Vec<(NodeId, Vec<super::Note>)> {
        let mut notes = vec![(self.node(), self.chunks().notes().of(session.upload))];
        let others = session.look(Copies::nodes).into_iter().filter(|node| *node != self.node());
        let asked = others.map(|node| async move { (node, self.peers().notes(node, session.upload).await) });
        for (node, answer) in futures_util::future::join_all(asked).await {
            if let Ok(answer) = answer {
                notes.push((node, answer));
            }
        }
        notes
    }
}
