//! Bringing an image in: announced, taken, made safe, committed, acknowledged.
//!
//! ```text
//! begin ─► intent in the log ─► session ─► take, take, … ─► finish: size, SHA-256, two sites? ─► commit in the log
//!                                                                        └ not yet: `waiting`     └ applied: answer
//! ```
//! The only place that proposes a commit. It does so with receipts of two sites for each part, and answers after the
//! commit was applied; everything else is an answer that promises nothing.

use super::copies::Copies;
use super::error::Error;
use super::resume::Look;
use super::session::{Intake, LocalFault, Session};
use super::sites::trail;
use super::thumbnails::settle_thumbnail;
use super::{Images, place};
use crate::gateway::{self, Header, ImageContent, ImageFound, Reading, Written, propose_as_node};
use crate::telemetry::metrics;
use bytes::Bytes;
use plantao_client::identity::Identity;
use plantao_domain::audit::Action;
use plantao_domain::images::{ManifestPart, NewImage, PART_CHUNKS_MAX, SITES_MIN, chunk_count};
use plantao_domain::outcome::What;
use plantao_domain::rows::{self, ImageRow, UploadRow, UploadState};
use plantao_domain::{Actor, ClusterTime, Command, ImageId, NodeId, Outcome, Rejection, UploadId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout};

/// How long an intent lives without progress.
const LEASE_MS: u32 = 15 * 60 * 1_000;
/// Progress renews it this often.
const RENEW_EVERY: Duration = Duration::from_secs(3 * 60);
/// How long one call takes chunks, below the server's limit of 30 s: whoever has more goes on with another call.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(20);
/// How long a finish waits for the second site before it says that it waits.
const FINISH_TIME_MAX: Duration = Duration::from_secs(15);
/// How long a beginning waits for that.
const BEGIN_TIME_MAX: Duration = Duration::from_secs(3);
/// How long a call waits for its turn.
pub(super) const TURN_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a call waits at its end until what came is durable: with [`CALL_TIME_MAX`] still below the server's limit.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(8);

/// What a sender announces. Content is in clear here, in memory, and nowhere else.
pub struct Begin {
    /// This try.
    pub upload: UploadId,
    /// All but the sealed content.
    pub image: NewImage,
    /// What gets sealed.
    pub content: ImageContent,
}

/// Where an upload is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UploadView {
    /// Which.
    pub upload: UploadId,
    /// What it becomes.
    pub image: ImageId,
    /// In its life.
    pub state: UploadState,
    /// Chunks of the whole.
    pub chunks: u32,
    /// First to send.
    pub next: u32,
    /// When it ends without progress.
    pub lease_until: ClusterTime,
    /// Sites on which all that came is durable.
    pub sites: u32,
    /// Whether only the off-site copy makes it safe.
    pub waits_for_off_site: bool,
}

/// What became of a finish.
pub enum Finished {
    /// The image is there.
    Committed {
        /// Of the commit.
        written: Written,
        /// Which image.
        id: ImageId,
        /// Its row, as applied here.
        row: Box<ImageRow>,
        /// Of what describes it the digest only: this is no read.
        content: ImageContent,
        /// What this reflects.
        reading: Reading,
    },
    /// Not safe yet; nothing is promised.
    Waiting(UploadView),
    /// It never will be, as it is.
    Rejected(Rejection),
}

/// One call's right to bring chunks of one upload.
pub struct Taking {
    images: Images,
    session: Arc<Session>,
    /// Away while a chunk is taken.
    intake: Option<OwnedMutexGuard<Intake>>,
    turn: watch::Receiver<u64>,
    _permit: OwnedSemaphorePermit,
    deadline: Instant,
}

impl Taking {
    /// Takes a chunk; `false` if this call's time was over before there was room for it.
    ///
    /// # Errors
    /// See [`Error`]; after one that speaks of the content the call is over.
    pub async fn take(&mut self, sequence: u32, data: Bytes) -> Result<bool, Error> {
        let Some(mut intake) = self.intake.take() else { return Err(Error::Superseded) };
        let (images, session, deadline) = (self.images.clone(), Arc::clone(&self.session), self.deadline);
        // A task of its own: a client that hangs up must not leave the hash behind the chunks.
        let taking = tokio::spawn(async move {
            let bytes = data.len();
            let taken = session.take(&mut intake, sequence, data, deadline).await;
            match &taken {
                Ok(true) => {
                    metrics::image_bytes_in(bytes);
                    images.keep_alive(&session).await;
                    images.derive_thumbnail(&session, &mut intake);
                }
                Err(Error::OtherType { .. } | Error::OtherDigest) => images.drop_session(&session),
                Ok(false) | Err(_) => {}
            }
            (intake, taken)
        });
        let (intake, taken) = taking.await.map_err(|_| Error::Busy)?;
        self.intake = Some(intake);
        taken
    }

    /// Until when this call takes chunks.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Ends when a later call takes over. Cancel safe.
    pub async fn superseded(&mut self) {
        if self.turn.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until all that came is durable here, then says where the upload is.
    ///
    /// # Errors
    /// It is not, because of this node's directory.
    pub async fn settle(self) -> Result<UploadView, Error> {
        let deadline = Instant::now() + SETTLE_TIME_MAX;
        let durable = self.session.wait_until(deadline, Copies::is_durable_here).await;
        match self.session.fault().filter(|_| !durable) {
            Some(LocalFault::Full) => Err(Error::Full),
            Some(LocalFault::NoStore) => Err(Error::NoStore),
            None => Ok(view(&self.session, self.intake.map_or(0, |intake| intake.next))),
        }
    }
}

fn view(session: &Session, next: u32) -> UploadView {
    let (sites, waits_for_off_site) = session.look(|copies| (copies.sites(), copies.waits_for_off_site()));
    UploadView {
        upload: session.upload,
        image: session.row.image,
        state: UploadState::Open,
        chunks: session.chunk_count(),
        next,
        lease_until: session.row.lease_until,
        sites,
        waits_for_off_site,
    }
}

/// Of an upload that takes nothing any more.
fn ended_view(upload: UploadId, row: &UploadRow) -> UploadView {
    let chunks = u32::try_from(chunk_count(row.bytes)).unwrap_or(u32::MAX);
    let is_committed = matches!(row.state, UploadState::Committed(_));
    UploadView {
        upload,
        image: row.image,
        state: row.state,
        chunks,
        next: if is_committed { chunks } else { 0 },
        lease_until: row.lease_until,
        sites: if is_committed { SITES_MIN } else { 0 },
        waits_for_off_site: false,
    }
}

impl Images {
    /// Announces an image; gives the outcome and, if it was confirmed, where the upload is now.
    ///
    /// # Errors
    /// As [`crate::gateway::Gateway::write`].
    pub async fn begin(
        &self,
        identity: &Identity,
        header: Header,
        canonical: &[u8],
        begin: Begin,
    ) -> Result<(Written, Option<UploadView>), Error> {
        let Begin { upload, mut image, content } = begin;
        let gateway = self.gateway();
        let actor = gateway.caller(identity).await?;
        let key = match gateway.key_of_patient(image.patient).await {
            Ok(key) => key,
            Err(gateway::Error::Rejected(rejection, index)) => {
                return Ok((Written { outcome: Outcome::Rejected(rejection), index }, None));
            }
            Err(error) => return Err(error.into()),
        };
        image.content = gateway.seal_image(&key, image.patient, image.image, &content);
        let unreachable = |node: &NodeId| *node != self.node() && !self.peers().is_reachable(*node);
        let mut placement = place::choose(&**gateway.state(), image.image, unreachable)?;
        if placement.is_empty() {
            // No store counts yet: the network says so, and this is in the trail.
            placement.push(self.node());
        }
        let command = Command::OpenUpload { upload, image, placement, lease_ms: LEASE_MS };
        let written = gateway.write_sealed(actor, header, "BeginUpload", canonical, command).await?;
        let Outcome::Confirmed { changed, .. } = written.outcome else { return Ok((written, None)) };
        self.wait_applied(written.index).await?;
        let row = self.upload_row(upload).await?;
        if row.state != UploadState::Open {
            return Ok((written, Some(ended_view(upload, &row))));
        }
        let session = self.session(upload, row, changed).await?;
        // Looking for what an earlier try left may take long: its sender asks for the status then.
        let resumed = timeout(BEGIN_TIME_MAX, self.resumed(&session, Look::Once)).await;
        let next = resumed.ok().transpose()?.map_or(0, |intake| intake.next);
        Ok((written, Some(view(&session, next))))
    }

    /// Where an upload is.
    ///
    /// # Errors
    /// It is not known, or the caller may not send it.
    pub async fn upload_status(&self, actor: &Actor, upload: UploadId) -> Result<UploadView, Error> {
        let row = self.sendable(actor, upload, Action::Create).await?;
        if row.state != UploadState::Open {
            return Ok(ended_view(upload, &row));
        }
        let session = self.session(upload, row, false).await?;
        let next = self.resumed(&session, Look::Again).await?.next;
        Ok(view(&session, next))
    }

    /// The right to bring chunks of an upload; a call before this one ends.
    ///
    /// # Errors
    /// It is not known or not open, the caller may not send it, or too many are under way.
    pub async fn take(&self, actor: &Actor, upload: UploadId) -> Result<Taking, Error> {
        let row = self.sendable(actor, upload, Action::Create).await?;
        if row.state != UploadState::Open {
            return Err(Error::Refused(Rejection::UploadClosed));
        }
        let waiting = Arc::clone(self.intakes()).acquire_owned();
        let Ok(Ok(permit)) = timeout(TURN_TIME_MAX, waiting).await else { return Err(Error::Busy) };
        let session = self.session(upload, row, false).await?;
        session.turn.send_modify(|turn| *turn += 1);
        let turn = session.turn.subscribe();
        let intake = Some(self.resumed(&session, Look::Once).await?);
        let deadline = Instant::now() + CALL_TIME_MAX;
        Ok(Taking { images: self.clone(), session, intake, turn, _permit: permit, deadline })
    }

    /// Checks the whole, and commits once it is safe.
    ///
    /// # Errors
    /// The content is not what was announced, chunks are missing, or it is not known whether the commit takes effect.
    pub async fn finish(
        &self,
        actor: Actor,
        upload: UploadId,
        sha256: [u8; 32],
        bytes: u64,
    ) -> Result<Finished, Error> {
        let row = self.sendable(&actor, upload, Action::Commit).await?;
        if bytes != row.bytes {
            return Err(Error::OtherSize { said: bytes, declared: row.bytes });
        }
        match row.state {
            UploadState::Closed => return Ok(Finished::Rejected(Rejection::UploadClosed)),
            UploadState::Committed(_) => {
                let written = Written {
                    outcome: Outcome::Confirmed { version: 1, changed: false, node: None },
                    index: self.gateway().consensus().progress().index,
                };
                return self.committed(row.image, written, Some(sha256)).await;
            }
            UploadState::Open => {}
        }
        let session = self.session(upload, row, false).await?;
        let mut intake = self.resumed(&session, Look::Again).await?;
        self.derive_thumbnail(&session, &mut intake);
        let Some(whole) = intake.whole else {
            return Err(Error::Incomplete { next: intake.next, chunks: session.chunk_count() });
        };
        if whole.sha256 != sha256 {
            return Err(Error::OtherDigest);
        }
        let deadline = Instant::now() + FINISH_TIME_MAX;
        settle_thumbnail(&mut intake).await;
        let found = ImageFound {
            sha256: whole.sha256.to_vec(),
            export_sha256: whole.export_sha256.map(|digest| digest.to_vec()).unwrap_or_default(),
        };
        let found = self.gateway().seal_found(&session.key, session.row.patient, session.row.image, &found);
        loop {
            if !self.wait_for_two_sites(&session, deadline).await {
                return Ok(Finished::Waiting(view(&session, intake.next)));
            }
            let written = self.commit(&session, actor, found.clone()).await?;
            match &written.outcome {
                Outcome::Rejected(Rejection::LeaseOver) => {
                    self.propose(Command::RenewIntent { upload, lease_ms: LEASE_MS }).await?;
                }
                Outcome::Rejected(
                    Rejection::TooFewSites { .. } | Rejection::ReceiptRefused | Rejection::StoreRefused,
                ) => session.change(Copies::doubt_all),
                Outcome::Rejected(rejection) => return Ok(Finished::Rejected(rejection.clone())),
                _ => {
                    self.wait_applied(written.index).await?;
                    session.note_committed();
                    tokio::spawn(trail(self.clone(), Arc::clone(&session)));
                    metrics::image_committed();
                    return self.committed(session.row.image, written, None).await;
                }
            }
            if Instant::now() >= deadline {
                return Ok(Finished::Waiting(view(&session, intake.next)));
            }
        }
    }

    /// Gives an upload up.
    ///
    /// # Errors
    /// As [`crate::gateway::Gateway::write`].
    pub async fn abandon(
        &self,
        identity: &Identity,
        header: Header,
        canonical: &[u8],
        upload: UploadId,
    ) -> Result<Written, Error> {
        let gateway = self.gateway();
        let actor = gateway.caller(identity).await?;
        let command = Command::AbandonUpload { upload };
        let written = gateway.write_sealed(actor, header, "AbandonUpload", canonical, command).await?;
        if matches!(written.outcome, Outcome::Confirmed { .. })
            && let Some(session) = self.known_session(upload)
        {
            self.drop_session(&session);
        }
        Ok(written)
    }

    /// The row of an upload that the caller may do this to.
    async fn sendable(&self, actor: &Actor, upload: UploadId, action: Action) -> Result<UploadRow, Error> {
        let row = self.upload_row(upload).await?;
        self.gateway().may_with_image(actor, action, row.unit, row.image, row.patient).await?;
        Ok(row)
    }

    /// The row as it is here; an upload that is not known is looked up once more at the read index.
    async fn upload_row(&self, upload: UploadId) -> Result<UploadRow, Error> {
        if let Some(row) = rows::upload(&**self.gateway().state(), upload)? {
            return Ok(row);
        }
        self.gateway().up_to_date().await?;
        rows::upload(&**self.gateway().state(), upload)?.ok_or(gateway::Error::NotFound(What::Upload).into())
    }

    async fn wait_applied(&self, index: u64) -> Result<(), Error> {
        let deadline = Instant::now() + gateway::REQUEST_TIME_MAX;
        let reached = self.gateway().consensus().wait_applied(index, deadline).await;
        reached.map_err(|_| gateway::Error::Unavailable { why: "this node lags behind the leader" })?;
        Ok(())
    }

    /// Proposes as this node, in its own name.
    pub(super) async fn propose(&self, command: Command) -> Result<Written, Error> {
        Ok(propose_as_node(self.gateway(), self.identity(), command).await?)
    }

    async fn committed(&self, id: ImageId, written: Written, sha256: Option<[u8; 32]>) -> Result<Finished, Error> {
        let gateway = self.gateway();
        let row = rows::image(&**gateway.state(), id)?.ok_or(gateway::Error::NotFound(What::Image))?;
        let key = gateway.key_of_patient(row.patient).await?;
        let found = gateway.open_image_found(&key, id, &row)?;
        if sha256.is_some_and(|said| said.as_slice() != found.sha256) {
            return Err(Error::OtherDigest);
        }
        // The digest was just said; name and remarks are for whoever reads them, which is noted.
        let content = ImageContent { sha256: found.sha256, ..ImageContent::default() };
        let progress = gateway.consensus().progress();
        let reading = Reading {
            index: progress.index,
            time: progress.time,
            consistency: gateway::Consistency::Linearizable,
            staleness_ms: 0,
        };
        Ok(Finished::Committed { written, id, row: Box::new(row), content, reading })
    }

    /// Renews the lease of an upload that makes progress.
    pub(super) async fn keep_alive(&self, session: &Arc<Session>) {
        session.touch();
        if session.is_renewal_due(RENEW_EVERY) {
            // Harmless when it fails: the next progress tries again, and a commit renews what is over.
            let command = Command::RenewIntent { upload: session.upload, lease_ms: LEASE_MS };
            if let Err(error) = self.propose(command).await {
                tracing::debug!(%error, "a lease was not renewed");
            }
        }
    }

    /// Proposes the commit, with the receipts that there are; the manifest comes with it if it is small.
    async fn commit(
        &self,
        session: &Arc<Session>,
        actor: Actor,
        found: plantao_domain::command::Sealed,
    ) -> Result<Written, Error> {
        let upload = session.upload;
        let (parts, receipts) = session.look(|copies| (copies.parts(), copies.receipts()));
        let chunks: usize = parts.iter().map(|part| part.chunks.len()).sum();
        let parts = if chunks <= PART_CHUNKS_MAX {
            parts
        } else {
            for ManifestPart { part, chunks } in parts {
                let written = self.propose(Command::PutManifestPart { upload, part, chunks }).await?;
                if matches!(written.outcome, Outcome::Rejected(_)) {
                    return Ok(written);
                }
            }
            Vec::new()
        };
        let command = Command::CommitUpload { upload, found: Some(found), parts, receipts: receipts.clone() };
        let written = self.gateway().propose_once(actor, command).await?;
        if matches!(written.outcome, Outcome::Confirmed { .. }) {
            session.change(|copies| copies.told(&receipts));
        }
        Ok(written)
    }
}
