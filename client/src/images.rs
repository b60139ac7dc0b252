//! Images: sent from anything that can be read twice, resumed where they were cut off, through whichever node answers;
//! read back into anything, with the SHA-256 compared.
//!
//! ```text
//! put:  digest ─► begin ─► chunks from `next_sequence` on ─► finish ─► committed
//!          ▲ another node, `next_sequence` again ◄── cut ──┘      └► waiting: asked again until the time is over
//! ```
//! Whatever fails on the way can be said again: the ids are the caller's, and a chunk or an image that is there is not
//! taken twice.

use crate::connect::Cluster;
use crate::error::{Answer, Error, Refusal};
use crate::id::Id;
use crate::retry::{self, Intent};
use crate::transport::MESSAGE_BYTES_MAX;
use bytes::Bytes;
use plantao_proto::public::v1::finish_upload_response::Result as Finish;
use plantao_proto::public::v1::image_service_client::ImageServiceClient;
use plantao_proto::public::v1::put_image_request::Part;
use plantao_proto::public::v1::{self};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

/// Bytes of each chunk but the last.
pub const CHUNK_BYTES: u64 = 1 << 20;
/// Images up to here go in one call at first.
const ONE_CALL_BYTES_MAX: u64 = 16 << 20;
/// Longer than what a node takes for one call.
const STREAM_TIME_MAX: Duration = Duration::from_secs(28);
/// For a node that looks for what an earlier try left.
const STATUS_TIME_MAX: Duration = Duration::from_secs(28);
/// For reading all of an image on the node: 2 GiB from a slow disk.
const VERIFY_TIME_MAX: Duration = Duration::from_secs(28);
/// How long without any progress until an upload is given up.
const STALL_TIME_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(150);
/// The number of "chunks are missing" at the end.
const CODE_INCOMPLETE: u32 = 1626;
/// Messages ahead of the connection.
const AHEAD: usize = 2;

/// Bytes that can be read again from any place.
pub trait ImageSource: Send + Sync + 'static {
    /// How many there are.
    fn bytes(&self) -> u64;

    /// Exactly `length` bytes from `offset` on. Blocks.
    ///
    /// # Errors
    /// They cannot be read.
    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes>;
}

impl ImageSource for Bytes {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        match start.checked_add(length).filter(|end| *end <= self.len()) {
            Some(end) => Ok(self.slice(start..end)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A file. One that changes while it is sent is noticed by its digest.
pub struct FileSource {
    file: File,
    bytes: u64,
}

impl FileSource {
    /// Of an open file, as long as it is now.
    ///
    /// # Errors
    /// Its size cannot be asked for.
    pub fn new(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }
}

impl ImageSource for FileSource {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}

/// What is to be sent. Ids are the caller's: the same again is the same image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewImage {
    /// This try; never used for another image.
    pub upload_id: Id,
    /// The image.
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
    /// How it is encoded.
    pub media_type: v1::MediaType,
    /// When it was taken.
    pub taken_ms: i64,
    /// Of the file; sealed.
    pub name: String,
    /// Sealed.
    pub remarks: String,
}

/// What happens on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// So many bytes of the image are at a node.
    Sent {
        /// Bytes.
        bytes: u64,
    },
    /// The connection was lost; it goes on from here.
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

/// Why an image was not stored, or not for certain.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// A node's answer, or none.
    #[error(transparent)]
    Call(#[from] Error),
    /// The source.
    #[error("the image cannot be read")]
    Source(#[source] io::Error),
    /// All of it is at a node, and it is not safe yet: nothing is promised. The same again goes on.
    #[error("the image is sent and not acknowledged: {message}")]
    Waiting {
        /// What it waits for.
        message: String,
    },
}

/// Why an image was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A node's answer, or none.
    #[error(transparent)]
    Call(#[from] Error),
    /// Where the bytes go.
    #[error("the image cannot be written down")]
    Sink(#[source] io::Error),
    /// What came is not what was sent once.
    #[error("the image does not match its SHA-256")]
    OtherDigest,
}

fn client(channel: Channel) -> ImageServiceClient<Channel> {
    ImageServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

fn timed<M>(message: M, timeout: Duration) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

async fn read_chunk(source: &Arc<dyn ImageSource>, sequence: u32) -> io::Result<Bytes> {
    let offset = u64::from(sequence) * CHUNK_BYTES;
    let length = source.bytes().saturating_sub(offset).min(CHUNK_BYTES);
    let source = Arc::clone(source);
    let reading = move || source.read(offset, usize::try_from(length).map_err(io::Error::other)?);
    tokio::task::spawn_blocking(reading).await.map_err(io::Error::other)?
}

async fn digest(source: &Arc<dyn ImageSource>) -> io::Result<[u8; 32]> {
    let source = Arc::clone(source);
    let hashing = move || {
        let mut sha256 = Sha256::new();
        let mut offset = 0;
        while offset < source.bytes() {
            let length = (source.bytes() - offset).min(CHUNK_BYTES);
            sha256.update(source.read(offset, usize::try_from(length).map_err(io::Error::other)?)?);
            offset += length;
        }
        Ok(sha256.finalize().into())
    };
    tokio::task::spawn_blocking(hashing).await.map_err(io::Error::other)?
}

/// SHA-256 of bytes in memory.
pub fn sha256_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Whether another try cannot help.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::OutOfRange
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::NotFound
            | Code::Unimplemented
    )
}

fn final_error(status: &Status, endpoint: &str) -> Error {
    let answer = Box::new(Answer::from_status(status, endpoint));
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => Error::Denied(answer),
        Code::NotFound => Error::NotFound(answer),
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => Error::Invalid(answer),
        _ => Error::Unavailable(answer),
    }
}

/// What became of one try to go on.
enum Step<T> {
    Done(T),
    /// Ask again; the last answer is kept for the end.
    Again(Status),
}

struct Sending<'a, F> {
    cluster: &'a Cluster,
    image: &'a NewImage,
    source: &'a Arc<dyn ImageSource>,
    sha256: [u8; 32],
    chunks: u32,
    tell: F,
    moved_at: Instant,
    most: u32,
}

impl Cluster {
    /// Stores an image; `tell` hears how it goes. Returns once it is acknowledged: durable on two sites and committed.
    ///
    /// # Errors
    /// See [`PutError`]. Except after a refusal the same call again goes on where this one ended.
    pub async fn put_image(
        &self,
        image: &NewImage,
        source: Arc<dyn ImageSource>,
        tell: impl FnMut(Progress),
    ) -> Result<v1::ImageCommitted, PutError> {
        let sha256 = digest(&source).await.map_err(PutError::Source)?;
        // At most 2,048 for sizes that are taken.
        let chunks = u32::try_from(source.bytes().div_ceil(CHUNK_BYTES)).unwrap_or(u32::MAX);
        let (source, moved_at) = (&source, Instant::now());
        let mut sending = Sending { cluster: self, image, source, sha256, chunks, tell, moved_at, most: 0 };
        if source.bytes() <= ONE_CALL_BYTES_MAX
            && let Some(committed) = sending.in_one_call().await?
        {
            return Ok(committed);
        }
        sending.in_steps().await
    }

    /// Announces an image, or says again what was announced.
    ///
    /// # Errors
    /// As any write.
    pub async fn begin_upload(&self, mut request: v1::BeginUploadRequest) -> Result<v1::Upload, Error> {
        let header = self.header(request.header.take())?;
        request.header = Some(header.clone());
        let found: Mutex<Option<v1::Upload>> = Mutex::new(None);
        self.write(&header, |channel, timeout| {
            let (message, found) = (timed(request.clone(), timeout), &found);
            async move {
                let response = client(channel).begin_upload(message).await?;
                Ok(response.map(|response| {
                    *found.lock().unwrap_or_else(PoisonError::into_inner) = response.upload;
                    response.outcome
                }))
            }
        })
        .await?;
        found.into_inner().unwrap_or_else(PoisonError::into_inner).ok_or(Error::Protocol("an upload is missing"))
    }

    /// Where an upload is.
    ///
    /// # Errors
    /// As any read.
    pub async fn upload_status(&self, upload_id: Id) -> Result<v1::Upload, Error> {
        let request = v1::UploadStatusRequest { upload_id: upload_id.to_wire() };
        let response = self
            .patient_read(STATUS_TIME_MAX, |channel, timeout| {
                let message = timed(request.clone(), timeout);
                async move { client(channel).upload_status(message).await }
            })
            .await?;
        response.upload.ok_or(Error::Protocol("an upload is missing"))
    }

    /// Gives an upload up.
    ///
    /// # Errors
    /// As any write.
    pub async fn abandon_upload(&self, upload_id: Id) -> Result<crate::Written, Error> {
        let header = self.new_header()?;
        let request = v1::AbandonUploadRequest { header: Some(header.clone()), upload_id: upload_id.to_wire() };
        self.write(&header, |channel, timeout| {
            let message = timed(request.clone(), timeout);
            async move { Ok(client(channel).abandon_upload(message).await?.map(|response| response.outcome)) }
        })
        .await
    }

    /// What describes an image; audited.
    ///
    /// # Errors
    /// As any read.
    pub async fn get_image(&self, request: v1::GetImageRequest) -> Result<v1::GetImageResponse, Error> {
        self.read(|channel, timeout| {
            let message = timed(request.clone(), timeout);
            async move { client(channel).get_image(message).await }
        })
        .await
    }

    /// One page of a patient's images.
    ///
    /// # Errors
    /// As any read.
    pub async fn list_images(&self, request: v1::ListImagesRequest) -> Result<v1::ListImagesResponse, Error> {
        self.read(|channel, timeout| {
            let message = timed(request.clone(), timeout);
            async move { client(channel).list_images(message).await }
        })
        .await
    }

    /// Whether an image is whole, and each copy there; audited.
    ///
    /// # Errors
    /// As any read.
    pub async fn verify_image(&self, request: v1::VerifyImageRequest) -> Result<v1::VerifyImageResponse, Error> {
        self.patient_read(VERIFY_TIME_MAX, |channel, timeout| {
            let message = timed(request.clone(), timeout);
            async move { client(channel).verify_image(message).await }
        })
        .await
    }

    /// A read whose single try may take longer than others.
    async fn patient_read<T, F, Fut>(&self, attempt: Duration, call: F) -> Result<T, Error>
    where
        F: Fn(Channel, Duration) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let policy = retry::RetryPolicy { attempt_timeout: attempt, ..self.policy().clone() };
        let until = Instant::now() + self.policy().read_deadline.max(attempt);
        Ok(retry::call(&self.with_policy(policy), Intent::Read, until, call).await?.message)
    }

    /// Reads an image, or a range of it, into `sink`, and compares the SHA-256 of a whole original. A stream that breaks
    /// goes on where it broke.
    ///
    /// # Errors
    /// See [`ReadError`]. What went into the sink until then is not to be used.
    pub async fn read_image(
        &self,
        request: v1::ReadImageRequest,
        mut sink: impl FnMut(Bytes) -> io::Result<()>,
    ) -> Result<v1::ImageHeader, ReadError> {
        use v1::read_image_response::Part as Piece;
        let mut first: Option<v1::ImageHeader> = None;
        let (mut done, mut sha256) = (0_u64, Sha256::new());
        let mut moved_at = Instant::now();
        loop {
            let rest = first.as_ref().map(|header| v1::ReadImageRequest {
                offset: header.offset + done,
                length: header.length - done,
                ..request.clone()
            });
            let asked = rest.unwrap_or_else(|| request.clone());
            let stream = self.read(|channel, timeout| {
                // The deadline is for the head: the bytes take as long as they take.
                let message = Request::new(asked.clone());
                async move {
                    let opening = async { client(channel).read_image(message).await };
                    let late = |_| Status::deadline_exceeded("no answer in time");
                    tokio::time::timeout(timeout, opening).await.map_err(late)?
                }
            });
            let mut stream = stream.await?;
            let broken = loop {
                let message = match tokio::time::timeout(STALL_TIME_MAX, stream.message()).await {
                    Ok(Ok(Some(message))) => message,
                    Ok(Ok(None)) => break None,
                    Ok(Err(status)) => break Some(status),
                    Err(_) => break Some(Status::deadline_exceeded("the stream stands still")),
                };
                match message.part {
                    Some(Piece::Header(header)) => {
                        first.get_or_insert(header);
                    }
                    Some(Piece::Data(data)) => {
                        done += data.len() as u64;
                        sha256.update(&data);
                        moved_at = Instant::now();
                        sink(data).map_err(ReadError::Sink)?;
                    }
                    None => {}
                }
            };
            let header = first.as_ref().ok_or(Error::Protocol("an image without a header"))?;
            if done >= header.length {
                break;
            }
            let status = broken.unwrap_or_else(|| Status::data_loss("the stream ended early"));
            let at = self.current();
            if is_final(status.code()) || moved_at.elapsed() > STALL_TIME_MAX {
                return Err(final_error(&status, self.endpoint(at).address()).into());
            }
            self.leave(at);
            tokio::time::sleep(PAUSE).await;
        }
        let header = first.ok_or(Error::Protocol("an image without a header"))?;
        let original = request.variant() != v1::ImageVariant::Thumbnail;
        let is_whole = original && header.offset == 0 && header.length == header.bytes;
        let found: [u8; 32] = sha256.finalize().into();
        let expected = header.image.as_ref().map(|image| &image.sha256);
        if is_whole && expected.is_none_or(|expected| *expected != found.as_slice()) {
            return Err(ReadError::OtherDigest);
        }
        Ok(header)
    }
}

impl<F: FnMut(Progress)> Sending<'_, F> {
    fn begin(&self) -> Result<v1::BeginUploadRequest, Error> {
        let image = self.image;
        Ok(v1::BeginUploadRequest {
            header: Some(self.cluster.new_header()?),
            upload_id: image.upload_id.to_wire(),
            image_id: image.image_id.to_wire(),
            patient_id: image.patient_id.to_wire(),
            unit_id: image.unit_id.to_wire(),
            visit_id: image.visit_id.map(Id::to_wire).unwrap_or_default(),
            consent_id: image.consent_id.to_wire(),
            kind: image.kind.clone(),
            media_type: image.media_type.into(),
            bytes: self.source.bytes(),
            taken_ms: image.taken_ms,
            sha256: Bytes::copy_from_slice(&self.sha256),
            name: image.name.clone(),
            remarks: image.remarks.clone(),
        })
    }

    fn finish(&self) -> Result<v1::FinishUploadRequest, Error> {
        Ok(v1::FinishUploadRequest {
            header: Some(self.cluster.new_header()?),
            upload_id: self.image.upload_id.to_wire(),
            sha256: Bytes::copy_from_slice(&self.sha256),
            bytes: self.source.bytes(),
        })
    }

    fn bytes_of(&self, sequence: u32) -> u64 {
        (u64::from(sequence) * CHUNK_BYTES).min(self.source.bytes())
    }

    /// A node has so many chunks.
    fn moved(&mut self, next: u32, resumed: bool) {
        let bytes = self.bytes_of(next);
        if next > self.most {
            self.most = next;
            self.moved_at = Instant::now();
        }
        (self.tell)(if resumed { Progress::Resumed { bytes } } else { Progress::Sent { bytes } });
    }

    fn message(&self, sequence: u32, data: Bytes) -> v1::UploadRequest {
        v1::UploadRequest { upload_id: self.image.upload_id.to_wire(), sequence, data }
    }

    /// The whole in one stream. `None`: go on step by step, from wherever it is now.
    async fn in_one_call(&mut self) -> Result<Option<v1::ImageCommitted>, PutError> {
        let (begin, finish) = (self.begin()?, self.finish()?);
        let (sender, receiver) = mpsc::channel(AHEAD);
        let at = self.cluster.current();
        let endpoint = self.cluster.endpoint(at);
        let request = timed(ReceiverStream::new(receiver), STREAM_TIME_MAX);
        let mut client = client(endpoint.channel(self.cluster.lane()));
        let calling = async move { tokio::time::timeout(STREAM_TIME_MAX, client.put_image(request)).await };
        let feeding = async {
            let send = |part| sender.send(v1::PutImageRequest { part: Some(part) });
            let mut open = send(Part::Begin(begin)).await.is_ok();
            for sequence in 0..self.chunks {
                if !open {
                    break;
                }
                let data = read_chunk(self.source, sequence).await?;
                open = send(Part::Chunk(self.message(sequence, data))).await.is_ok();
            }
            if open {
                let _ = send(Part::Finish(finish)).await;
            }
            drop(sender);
            Ok::<_, io::Error>(())
        };
        let answer = exchange(calling, feeding).await.map_err(PutError::Source)?;
        let response = match answer {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) if is_final(status.code()) => {
                return Err(final_error(&status, endpoint.address()).into());
            }
            Ok(Err(_)) | Err(_) => {
                self.cluster.leave(at);
                return Ok(None);
            }
        };
        if let Some(v1::write_outcome::Outcome::Rejection(rejection)) = response.begun.and_then(|begun| begun.outcome) {
            return Err(refused(rejection, self.image.upload_id).into());
        }
        match response.finished.and_then(|finished| finished.result) {
            Some(Finish::Committed(committed)) => {
                self.moved(self.chunks, false);
                Ok(Some(committed))
            }
            Some(Finish::Rejection(rejection)) => Err(refused(rejection, self.image.upload_id).into()),
            Some(Finish::Waiting(_)) | None => Ok(None),
        }
    }

    async fn in_steps(&mut self) -> Result<v1::ImageCommitted, PutError> {
        let begun = self.cluster.begin_upload(self.begin()?).await?;
        let mut next = begun.next_sequence;
        if next == 0 {
            // The node may still be looking for what an earlier try left.
            next = self.cluster.upload_status(self.image.upload_id).await?.next_sequence;
        }
        if next > 0 {
            self.moved(next, true);
        }
        let mut waited_for = String::new();
        loop {
            let step = if next < self.chunks {
                match self.upload_from(next).await? {
                    Step::Done(reached) => {
                        next = reached;
                        self.moved(next, false);
                        continue;
                    }
                    Step::Again(status) => Step::Again(status),
                }
            } else {
                self.finish_once(&mut waited_for).await?
            };
            let status = match step {
                Step::Done(committed) => return Ok(committed),
                Step::Again(status) => status,
            };
            if self.moved_at.elapsed() > STALL_TIME_MAX {
                if !waited_for.is_empty() {
                    return Err(PutError::Waiting { message: waited_for });
                }
                let endpoint = self.cluster.endpoint(self.cluster.current()).address();
                return Err(Error::Unavailable(Box::new(Answer::from_status(&status, endpoint))).into());
            }
            tokio::time::sleep(PAUSE).await;
            if status.code() != Code::Ok {
                match self.cluster.upload_status(self.image.upload_id).await {
                    Ok(upload) => {
                        next = upload.next_sequence;
                        self.moved(next, true);
                    }
                    Err(error @ (Error::Denied(_) | Error::NotFound(_) | Error::Invalid(_))) => {
                        return Err(error.into());
                    }
                    Err(_) => {}
                }
            }
        }
    }

    /// Chunks from one on, until the node has enough of the call.
    async fn upload_from(&mut self, next: u32) -> Result<Step<u32>, PutError> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let at = self.cluster.current();
        let endpoint = self.cluster.endpoint(at);
        let request = timed(ReceiverStream::new(receiver), STREAM_TIME_MAX);
        let mut client = client(endpoint.channel(self.cluster.lane()));
        let calling = async move { tokio::time::timeout(STREAM_TIME_MAX, client.upload(request)).await };
        let feeding = async {
            for sequence in next..self.chunks {
                let data = read_chunk(self.source, sequence).await?;
                if sender.send(self.message(sequence, data)).await.is_err() {
                    break;
                }
            }
            drop(sender);
            Ok::<_, io::Error>(())
        };
        let answer = exchange(calling, feeding).await.map_err(PutError::Source)?;
        match answer {
            Ok(Ok(response)) => {
                let upload = response.into_inner().upload.ok_or(Error::Protocol("an upload is missing"))?;
                Ok(Step::Done(upload.next_sequence))
            }
            Ok(Err(status)) if is_final(status.code()) => Err(final_error(&status, endpoint.address()).into()),
            Ok(Err(status)) => {
                self.cluster.leave(at);
                Ok(Step::Again(status))
            }
            Err(_) => {
                self.cluster.leave(at);
                Ok(Step::Again(Status::deadline_exceeded("no answer in time")))
            }
        }
    }

    async fn finish_once(&mut self, waited_for: &mut String) -> Result<Step<v1::ImageCommitted>, PutError> {
        let at = self.cluster.current();
        let endpoint = self.cluster.endpoint(at);
        let request = timed(self.finish()?, STREAM_TIME_MAX);
        let mut client = client(endpoint.channel(self.cluster.lane()));
        let status = match tokio::time::timeout(STREAM_TIME_MAX, client.finish_upload(request)).await {
            Ok(Ok(response)) => match response.into_inner().result {
                Some(Finish::Committed(committed)) => return Ok(Step::Done(committed)),
                Some(Finish::Rejection(rejection)) => {
                    return Err(refused(rejection, self.image.upload_id).into());
                }
                Some(Finish::Waiting(waiting)) => {
                    (self.tell)(Progress::Waiting { message: waiting.message.clone() });
                    *waited_for = waiting.message;
                    tokio::time::sleep(Duration::from_millis(waiting.retry_after_ms.min(5_000).into())).await;
                    return Ok(Step::Again(Status::ok("")));
                }
                None => return Err(Error::Protocol("an answer without a result").into()),
            },
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer in time"),
        };
        if is_final(status.code()) {
            return Err(final_error(&status, endpoint.address()).into());
        }
        // Chunks are missing there: this node can tell which; any other failure is that node's.
        if Answer::from_status(&status, endpoint.address()).code != Some(CODE_INCOMPLETE) {
            self.cluster.leave(at);
        }
        Ok(Step::Again(status))
    }
}

/// The answer to a call whose messages `feeding` makes. A node that has heard enough answers before they end.
async fn exchange<T>(calling: impl Future<Output = T>, feeding: impl Future<Output = io::Result<()>>) -> io::Result<T> {
    tokio::pin!(calling, feeding);
    tokio::select! {
        biased;
        answer = &mut calling => Ok(answer),
        fed = &mut feeding => {
            fed?;
            Ok(calling.await)
        }
    }
}

fn refused(rejection: v1::Rejection, upload: Id) -> Error {
    Error::Refused(Box::new(Refusal::from_wire(rejection, 0, upload)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_source_gives_its_chunks_and_their_digest() {
        let bytes: Bytes = (0..2_500_000_u32).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect::<Vec<_>>().into();
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &bytes).unwrap();
        let expected: [u8; 32] = Sha256::digest(&bytes).into();
        let sources: [Arc<dyn ImageSource>; 2] = [Arc::new(bytes.clone()), Arc::new(FileSource::new(file).unwrap())];
        for source in sources {
            assert_eq!(digest(&source).await.unwrap(), expected);
            let mut all = Vec::new();
            for sequence in 0..3 {
                all.extend_from_slice(&read_chunk(&source, sequence).await.unwrap());
            }
            assert!(all == bytes);
            assert!(source.read(2_499_999, 2).is_err(), "beyond the end");
        }
    }
}
