//! Bringing an image in: whatever is cut, and wherever, the same upload goes on until it is acknowledged or refused.
//!
//! ```text
//! begin ─► send from `next` ─► … ─► finish ─┬► committed: done
//!   ▲           │ cut                 │     └► waiting: say so, ask again
//!   └ closed ── status ◄──────────────┘
//! ```
//! Nothing here takes silence for an answer: a put ends with the node's acknowledgement, with a refusal, or with an error
//! that says whether the image may be there all the same.

use super::calls::{client, timed};
use super::source::{ImageSource, Reading, SourceError};
use super::{CHUNK_BYTES, IMAGE_BYTES_MAX, guess, next_upload};
use crate::connect::Cluster;
use crate::error::{Answer, Error};
use crate::id::Id;
use crate::retry;
use crate::services::{LINEARIZABLE, written};
use bytes::Bytes;
use plantao_proto::public::v1;
use plantao_proto::public::v1::finish_upload_response::Result as Finish;
use plantao_proto::public::v1::put_image_request::Part;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout_at;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Response, Status};

/// Up to here all of it goes in one call: that is one round trip instead of three.
const ONE_CALL_BYTES_MAX: u64 = 8 << 20;
/// Chunks are handed over for so long in one call; the node ends calls a little later.
const SENDING_MAX: Duration = Duration::from_secs(12);
/// How long the answer may take after the last chunk: a node waits for other sites before it says that it waits.
const ANSWER_MAX: Duration = Duration::from_secs(40);
/// Chunks read ahead of the connection.
const AHEAD: usize = 1;
/// Tries of one image that ended without it, e.g. given up by somebody or expired; then there is another reason.
const CLOSED_MAX: u32 = 64;
/// How often an upload may lose ground: each time a node with chunks of its own was lost.
const LOSSES_MAX: u32 = 64;
/// Pauses between questions while it waits for another site.
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The upload takes nothing any more.
const CODE_UPLOAD_CLOSED: u32 = 1601;
/// Its lease is over.
const CODE_LEASE_OVER: u32 = 1602;
/// The id is taken.
const CODE_EXISTS: u32 = 1202;
/// Codes that mean: ask where it stands and go on.
const CODES_RESUME: [u32; 5] = [CODE_UPLOAD_CLOSED, CODE_LEASE_OVER, 1620, 1626, 1627];

/// What is to be sent. Ids are the caller's: the same again is the same image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewImage {
    /// This try; never used for another image. When it was closed, the next one follows from it.
    pub upload_id: Id,
    /// The image: [`super::image_id`], or the source's own.
    pub image_id: Id,
    /// Of whom.
    pub patient_id: Id,
    /// Who keeps it.
    pub unit_id: Id,
    /// At which visit.
    pub visit_id: Option<Id>,
    /// The consent that covers it.
    pub consent_id: Id,
    /// Letters and digits, 1 to 64.
    pub kind: String,
    /// How it is encoded; unspecified: as its first bytes say.
    pub media_type: v1::MediaType,
    /// When it was taken, in milliseconds UTC.
    pub taken_ms: i64,
    /// Of the file; sealed.
    pub name: String,
    /// Sealed.
    pub remarks: String,
}

/// How to put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutOptions {
    /// How long to go on without any progress, also while it waits for another site.
    pub patience: Duration,
    /// What the whole must have; `None`: whatever it has.
    pub sha256: Option<[u8; 32]>,
    /// `upload_id` is that of the image, which is there: only its SHA-256 is compared, on the node.
    pub is_there: bool,
}

impl Default for PutOptions {
    /// Two minutes outlast a failover and the restart of a node.
    fn default() -> Self {
        Self { patience: Duration::from_secs(120), sha256: None, is_there: false }
    }
}

/// What happens on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// So many bytes of the image are on their way to a node.
    Sent {
        /// Bytes.
        bytes: u64,
    },
    /// It goes on from here: after a cut, or where another program was.
    Resumed {
        /// Bytes.
        bytes: u64,
    },
    /// All is there, and not safe yet; what it waits for.
    Waiting {
        /// `waiting for off-site`
        message: String,
    },
}

/// Why an image is not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// No byte.
    #[error("the image is empty")]
    Empty,
    /// Above [`IMAGE_BYTES_MAX`].
    #[error("the image has {bytes} bytes, {IMAGE_BYTES_MAX} are allowed")]
    TooLarge {
        /// It has.
        bytes: u64,
    },
    /// No type was given, and the first bytes are of none that is taken.
    #[error("the first bytes are not those of a JPEG, PNG, WebP, HEIC or DICOM file")]
    UnknownType,
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Another digest than was said; what had been sent was given up.
    #[error("the SHA-256 of the image is not the one that was given")]
    OtherDigest,
    /// Sent whole, and not on two sites within the patience. Nothing is promised; the same again goes on.
    #[error("the image is sent and not acknowledged: {message}")]
    Waiting {
        /// What it waits for.
        message: String,
    },
    /// A node's answer, or none.
    #[error(transparent)]
    Call(#[from] Error),
}

impl PutError {
    /// The number in `PLT-nnnn`, where there is one.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Call(error) => error.code(),
            _ => None,
        }
    }

    /// Whether the image may be there all the same.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Call(Error::Unknown { .. }))
    }

    /// What to do.
    pub fn help(&self) -> &str {
        match self {
            Self::Empty => "copy or export the file again",
            Self::TooLarge { .. } => "split the study, or export it with another encoding",
            Self::UnknownType => "export the image as JPEG, PNG, WebP, HEIC or DICOM",
            Self::Source(SourceError::Read(_)) => "look at the file and its rights",
            Self::Source(SourceError::Changed) => "wait until nothing writes the file any more, and send it again",
            Self::OtherDigest => "copy or export the file again: it is not the one that the digest was made of",
            Self::Waiting { .. } => {
                "send it again: it goes on where it is; `plantao status` shows which site is missing"
            }
            Self::Call(error) => error.help(),
        }
    }
}

impl Cluster {
    /// As [`Self::put_image_with`], with its defaults.
    ///
    /// # Errors
    /// See [`PutError`].
    pub async fn put_image(
        &self,
        image: &NewImage,
        source: Arc<dyn ImageSource>,
        tell: impl FnMut(Progress),
    ) -> Result<v1::ImageCommitted, PutError> {
        self.put_image_with(image, source, &PutOptions::default(), tell).await
    }

    /// Stores an image; `tell` hears how it goes. Returns once it is acknowledged: durable on two sites and committed.
    /// Goes on after any cut, on any node, with the same ids; a program that begins again with the same ids goes on as
    /// well, and finds an image there that is there. Holds three chunks at most.
    ///
    /// # Errors
    /// See [`PutError`]. Only [`Error::Unknown`] leaves it open whether the image is there.
    pub async fn put_image_with(
        &self,
        image: &NewImage,
        source: Arc<dyn ImageSource>,
        options: &PutOptions,
        tell: impl FnMut(Progress),
    ) -> Result<v1::ImageCommitted, PutError> {
        let source = Reading::new(source);
        let bytes = source.bytes();
        if bytes == 0 {
            return Err(PutError::Empty);
        }
        if bytes > IMAGE_BYTES_MAX {
            return Err(PutError::TooLarge { bytes });
        }
        let media_type = match image.media_type {
            v1::MediaType::Unspecified => guess(&source.head().await?).ok_or(PutError::UnknownType)?,
            media_type => media_type,
        };
        let mut policy = self.policy().clone();
        policy.attempt_timeout = policy.attempt_timeout.max(ANSWER_MAX);
        policy.read_deadline = policy.read_deadline.max(options.patience);
        policy.write_lifetime = policy.write_lifetime.max(options.patience);
        let putting = Putting {
            cluster: self.with_policy(policy).apart(),
            parent: self,
            new: image,
            source,
            media_type,
            upload: image.upload_id,
            options,
            tell,
            next: 0,
            losses: 0,
            closed: 0,
            failures: 0,
            moved: Instant::now(),
            doubtful: None,
        };
        Box::pin(putting.run()).await
    }
}

/// What to do after a call that gave no answer to use.
enum Step {
    /// Ask where it stands.
    Look,
    /// Elsewhere, and then the same.
    Leave,
    /// Nothing.
    End(Error),
}

struct Putting<'a, F> {
    cluster: Cluster,
    parent: &'a Cluster,
    new: &'a NewImage,
    source: Reading,
    media_type: v1::MediaType,
    upload: Id,
    options: &'a PutOptions,
    tell: F,
    /// As the last answer said.
    next: u32,
    losses: u32,
    /// Tries of this image that others or time ended.
    closed: u32,
    /// Calls in a row without a good answer.
    failures: u32,
    /// When it last got further.
    moved: Instant,
    /// The last answer that left open whether the image is committed.
    doubtful: Option<Box<Answer>>,
}

impl<F: FnMut(Progress)> Putting<'_, F> {
    async fn run(mut self) -> Result<v1::ImageCommitted, PutError> {
        if self.options.is_there {
            self.next = self.source.chunk_count();
        } else {
            if self.source.bytes() <= ONE_CALL_BYTES_MAX
                && let Some(put) = self.in_one_call().await.map_err(|error| self.doubted(error))?
            {
                return Ok(put);
            }
            self.begin().await.map_err(|error| self.doubted(error))?;
        }
        loop {
            let stands = if self.next < self.source.chunk_count() {
                self.send().await.map_err(|error| self.doubted(error))?
            } else {
                match self.finish().await? {
                    Finished::Done(put) => return Ok(*put),
                    Finished::Look => None,
                }
            };
            match stands {
                Some(upload) => {
                    if self.take(&upload).map_err(|error| self.doubted(error))? {
                        self.failures = 0;
                    } else {
                        self.begin().await.map_err(|error| self.doubted(error))?;
                    }
                }
                None => {
                    self.look().await.map_err(|error| self.doubted(error))?;
                    let bytes = self.bytes_of(self.next);
                    (self.tell)(Progress::Resumed { bytes });
                }
            }
        }
    }

    /// How many bytes so many chunks have.
    fn bytes_of(&self, chunks: u32) -> u64 {
        (u64::from(chunks) * CHUNK_BYTES).min(self.source.bytes())
    }

    /// Notes where the upload stands; `false` when it is closed, and another one is to begin.
    fn take(&mut self, upload: &v1::Upload) -> Result<bool, PutError> {
        match upload.state() {
            v1::UploadState::Open => {}
            v1::UploadState::Committed => {
                self.next = self.source.chunk_count();
                return Ok(true);
            }
            v1::UploadState::Closed => {
                self.next_try()?;
                return Ok(false);
            }
            v1::UploadState::Unspecified => return Err(Error::Protocol("an upload in an unknown state").into()),
        }
        let count = self.source.chunk_count();
        if upload.next_sequence > count || u64::from(upload.chunk_bytes) != CHUNK_BYTES {
            return Err(Error::Protocol("an upload that is cut differently").into());
        }
        if upload.next_sequence > self.next {
            self.moved = Instant::now();
        }
        if upload.next_sequence < self.next {
            self.losses += 1;
            if self.losses > LOSSES_MAX {
                return Err(Error::Protocol("an upload that loses what was sent again and again").into());
            }
        }
        self.next = upload.next_sequence;
        Ok(true)
    }

    fn next_try(&mut self) -> Result<(), PutError> {
        self.closed += 1;
        if self.closed > CLOSED_MAX {
            return Err(Error::Protocol("an image each upload of which was closed").into());
        }
        self.upload = next_upload(self.new.upload_id, self.closed);
        self.next = 0;
        Ok(())
    }

    fn begin_request(&self) -> v1::BeginUploadRequest {
        let new = self.new;
        v1::BeginUploadRequest {
            header: None,
            upload_id: self.upload.to_wire(),
            image_id: new.image_id.to_wire(),
            patient_id: new.patient_id.to_wire(),
            unit_id: new.unit_id.to_wire(),
            visit_id: new.visit_id.map(Id::to_wire).unwrap_or_default(),
            consent_id: new.consent_id.to_wire(),
            kind: new.kind.clone(),
            media_type: self.media_type.into(),
            bytes: self.source.bytes(),
            taken_ms: new.taken_ms,
            sha256: self.options.sha256.map(|digest| digest.to_vec().into()).unwrap_or_default(),
            name: new.name.clone(),
            remarks: new.remarks.clone(),
        }
    }

    async fn begin(&mut self) -> Result<(), PutError> {
        loop {
            match self.cluster.begin_upload(self.begin_request()).await {
                Ok(upload) => {
                    if self.take(&upload)? {
                        if self.next > 0 {
                            let bytes = self.bytes_of(self.next);
                            (self.tell)(Progress::Resumed { bytes });
                        }
                        return Ok(());
                    }
                }
                Err(Error::Refused(refusal)) if refusal.code == CODE_UPLOAD_CLOSED => self.next_try()?,
                // The image may be there, from an upload with another id.
                Err(Error::Refused(refusal)) if refusal.code == CODE_EXISTS => {
                    let request =
                        v1::GetImageRequest { read: Some(LINEARIZABLE), image_id: self.new.image_id.to_wire() };
                    let found = self.cluster.get_image(request).await.ok().and_then(|answer| answer.image);
                    match found.and_then(|image| Id::from_wire(&image.upload_id).ok()) {
                        Some(upload) if upload != self.upload => {
                            self.upload = upload;
                            self.next = self.source.chunk_count();
                            return Ok(());
                        }
                        _ => return Err(Error::Refused(refusal).into()),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks where the upload stands.
    async fn look(&mut self) -> Result<(), PutError> {
        if self.moved.elapsed() > self.options.patience {
            return Err(Error::Protocol("an upload that gets no further").into());
        }
        match self.cluster.upload_status(self.upload).await {
            Ok(upload) => {
                if self.take(&upload)? {
                    Ok(())
                } else {
                    self.begin().await
                }
            }
            Err(Error::NotFound(_)) => self.begin().await,
            Err(error) => Err(error.into()),
        }
    }

    /// An error that ends the put; *unknown* where an earlier finish may have been done, unless the error is a node's
    /// answer about the image.
    fn doubted(&mut self, error: PutError) -> PutError {
        match (self.doubtful.take(), error) {
            (
                Some(last),
                PutError::Source(_) | PutError::Call(Error::Unavailable(_) | Error::NotFound(_) | Error::Protocol(_)),
            ) => Error::Unknown { request_id: self.upload, last }.into(),
            (_, error) => error,
        }
    }

    /// Remembers a finish that may have been done.
    fn doubt(&mut self, status: &Status, at: usize) {
        if !retry::certainly_not_done(status) {
            self.doubtful = Some(Box::new(Answer::from_status(status, self.cluster.endpoint(at).address())));
        }
    }

    /// What a status of one call means; leaves the node where that helps.
    fn judge(&mut self, status: &Status, at: usize) -> Step {
        let answer = Box::new(Answer::from_status(status, self.cluster.endpoint(at).address()));
        if answer.code.is_some_and(|code| CODES_RESUME.contains(&code)) {
            return Step::Look;
        }
        match status.code() {
            Code::InvalidArgument | Code::Unimplemented => Step::End(Error::Invalid(answer)),
            Code::Unauthenticated | Code::PermissionDenied => Step::End(Error::Denied(answer)),
            Code::NotFound => Step::Look,
            _ if self.moved.elapsed() > self.options.patience => Step::End(Error::Unavailable(answer)),
            _ => {
                self.failures = self.failures.saturating_add(1);
                self.cluster.leave(at);
                self.parent.leave(at);
                Step::Leave
            }
        }
    }

    /// Sends chunks in one call, for as long as a call may take; gives where the upload stands, if that was said.
    async fn send(&mut self) -> Result<Option<v1::Upload>, PutError> {
        let (at, first, upload) = (self.cluster.current(), self.next, self.upload.to_wire());
        let channel = self.cluster.endpoint(at).channel(self.cluster.lane());
        let (tx, rx) = mpsc::channel(AHEAD);
        let call = async move { client(channel).upload(ReceiverStream::new(rx)).await };
        let wrap = move |sequence, data| {
            // It need not be said again.
            let upload_id = if sequence == first { upload.clone() } else { Default::default() };
            v1::UploadRequest { upload_id, sequence, data }
        };
        match self.stream(call, tx, wrap, None::<fn([u8; 32]) -> v1::UploadRequest>).await? {
            Ok(response) => {
                let upload = response.into_inner().upload.ok_or(Error::Protocol("an upload is missing"))?;
                // A node that takes nothing and says so with an upload would be asked for ever.
                if upload.next_sequence <= first && self.moved.elapsed() > self.options.patience {
                    return Err(Error::Protocol("an upload that takes nothing").into());
                }
                Ok(Some(upload))
            }
            Err(status) => match self.judge(&status, at) {
                Step::End(error) => Err(error.into()),
                Step::Leave | Step::Look => {
                    self.pause().await;
                    Ok(None)
                }
            },
        }
    }

    /// The whole in one call; `None` when that did not end it, and the long way has to.
    async fn in_one_call(&mut self) -> Result<Option<v1::ImageCommitted>, PutError> {
        let at = self.cluster.current();
        let channel = self.cluster.endpoint(at).channel(self.cluster.lane());
        let (tx, rx) = mpsc::channel(AHEAD);
        let header = self.cluster.new_header()?;
        let request_id = Id::from_wire(&header.request_id).unwrap_or(self.upload);
        let part = |part| v1::PutImageRequest { part: Some(part) };
        let begin = part(Part::Begin(v1::BeginUploadRequest { header: Some(header), ..self.begin_request() }));
        // The channel is empty and open.
        let _ = tx.try_send(begin);
        let call = async move { client(channel).put_image(ReceiverStream::new(rx)).await };
        let upload = self.upload.to_wire();
        let chunk_of = upload.clone();
        let wrap =
            move |sequence, data| part(Part::Chunk(v1::UploadRequest { upload_id: chunk_of.clone(), sequence, data }));
        let (header, bytes) = (self.cluster.new_header()?, self.source.bytes());
        let end = move |sha256: [u8; 32]| {
            let sha256 = sha256.to_vec().into();
            part(Part::Finish(v1::FinishUploadRequest { header: Some(header), upload_id: upload, sha256, bytes }))
        };
        let answer = match self.stream(call, tx, wrap, Some(end)).await? {
            Ok(response) => response.into_inner(),
            Err(status) => {
                self.doubt(&status, at);
                return match self.judge(&status, at) {
                    Step::End(error) => Err(error.into()),
                    Step::Leave | Step::Look => {
                        self.pause().await;
                        Ok(None)
                    }
                };
            }
        };
        match written(answer.begun, request_id, 1) {
            Ok(_) => {}
            Err(Error::Refused(refusal)) if matches!(refusal.code, CODE_UPLOAD_CLOSED | CODE_EXISTS) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        match answer.finished.and_then(|finished| finished.result) {
            Some(Finish::Committed(committed)) => Ok(Some(self.done(committed)?)),
            // Waiting, or refused for a reason that the long way finds again: it decides.
            _ => Ok(None),
        }
    }

    /// Feeds `call` with chunks from `self.next` on, and then `end`, until it answers.
    async fn stream<M, T, C, E>(
        &mut self,
        call: C,
        tx: mpsc::Sender<M>,
        wrap: impl Fn(u32, Bytes) -> M,
        end: Option<E>,
    ) -> Result<Result<Response<T>, Status>, PutError>
    where
        C: Future<Output = Result<Response<T>, Status>>,
        E: FnOnce([u8; 32]) -> M,
    {
        let begun = tokio::time::Instant::now();
        let mut call = pin!(call);
        let (first, count) = (self.next, self.source.chunk_count());
        let given = self.options.sha256;
        let (source, tell) = (&mut self.source, &mut self.tell);
        let bytes = source.bytes();
        let feeding = async move {
            for sequence in first..count {
                if end.is_none() && begun.elapsed() > SENDING_MAX {
                    return Ok(());
                }
                let chunk = source.chunk(sequence).await?;
                // A closed channel: the call ended, and says why.
                if !matches!(timeout_at(begun + ANSWER_MAX, tx.send(wrap(sequence, chunk))).await, Ok(Ok(()))) {
                    return Ok(());
                }
                let sent = (u64::from(sequence + 1) * CHUNK_BYTES).min(bytes);
                tell(Progress::Sent { bytes: sent });
            }
            if let Some(end) = end {
                let sha256 = source.digest().await?;
                // Without the last word nothing is committed, and the long way gives the upload up.
                if given.is_none_or(|given| given == sha256) {
                    let _ = timeout_at(begun + ANSWER_MAX, tx.send(end(sha256))).await;
                }
            }
            Ok::<(), SourceError>(())
        };
        let fed = {
            let mut feeding = pin!(feeding);
            tokio::select! {
                answer = &mut call => return Ok(answer),
                fed = &mut feeding => fed,
            }
        };
        fed?;
        match timeout_at(tokio::time::Instant::now() + ANSWER_MAX, call).await {
            Ok(answer) => Ok(answer),
            Err(_) => Ok(Err(Status::deadline_exceeded("no answer in time"))),
        }
    }

    /// Longer after each failure: a node that is busy is not to be asked as fast as it refuses.
    async fn pause(&self) {
        let policy = self.cluster.policy();
        let pause = policy.pause_min * 2_u32.saturating_pow(self.failures.min(16));
        tokio::time::sleep(retry::jittered(pause.min(policy.pause_max))).await;
    }

    async fn finish(&mut self) -> Result<Finished, PutError> {
        let sha256 = self.source.digest().await?;
        if self.options.sha256.is_some_and(|given| given != sha256) {
            // Whether that is heard or not: an upload that nobody ends expires.
            let _ = self.cluster.abandon_upload(self.upload).await;
            return Err(PutError::OtherDigest);
        }
        let request = v1::FinishUploadRequest {
            header: Some(self.cluster.new_header()?),
            upload_id: self.upload.to_wire(),
            sha256: sha256.to_vec().into(),
            bytes: self.source.bytes(),
        };
        loop {
            let at = self.cluster.current();
            let channel = self.cluster.endpoint(at).channel(self.cluster.lane());
            let message = timed(request.clone(), ANSWER_MAX);
            let call = async move { client(channel).finish_upload(message).await };
            let answered = tokio::time::timeout(ANSWER_MAX, call).await;
            let status = match answered {
                Ok(Ok(response)) => match response.into_inner().result {
                    Some(Finish::Committed(committed)) => {
                        return Ok(Finished::Done(Box::new(self.done(committed)?)));
                    }
                    Some(Finish::Waiting(waiting)) => {
                        self.wait(waiting).await?;
                        continue;
                    }
                    Some(Finish::Rejection(rejection)) if CODES_RESUME.contains(&rejection.code) => {
                        return Ok(Finished::Look);
                    }
                    Some(Finish::Rejection(rejection)) => {
                        let refusal = crate::error::Refusal::from_wire(rejection, 0, self.upload);
                        return Err(Error::Refused(Box::new(refusal)).into());
                    }
                    None => return Err(Error::Protocol("an acknowledgement of an unknown kind").into()),
                },
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            self.doubt(&status, at);
            match self.judge(&status, at) {
                Step::End(error) => return Err(self.doubted(error.into())),
                Step::Look => return Ok(Finished::Look),
                Step::Leave => self.pause().await,
            }
        }
    }

    async fn wait(&mut self, waiting: v1::ImageWaiting) -> Result<(), PutError> {
        (self.tell)(Progress::Waiting { message: waiting.message.clone() });
        if self.moved.elapsed() > self.options.patience {
            return Err(PutError::Waiting { message: waiting.message });
        }
        let pause = Duration::from_millis(waiting.retry_after_ms.into()).clamp(WAIT_MIN, WAIT_MAX);
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn done(&mut self, committed: v1::ImageCommitted) -> Result<v1::ImageCommitted, PutError> {
        written(committed.outcome.clone(), self.upload, 1)?;
        let image = committed.image.as_ref().ok_or(Error::Protocol("an image is missing"))?;
        if image.id != self.new.image_id.as_bytes().as_slice() {
            return Err(Error::Protocol("the acknowledgement of another image").into());
        }
        Ok(committed)
    }
}

enum Finished {
    Done(Box<v1::ImageCommitted>),
    Look,
}
