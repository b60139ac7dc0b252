//! Images in the clinic of these tests: uploads with chunks in memory, and a script of what goes wrong with each call.

use crate::clinic::Clinic;
use bytes::Bytes;
use plantao_client::error::CODE_KEY;
use plantao_proto::public::v1::{self, UploadState, write_outcome::Outcome};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};

const CHUNK: usize = 1 << 20;

/// What goes wrong with one call that brings, ends or gives bytes.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// Nothing.
    None,
    /// After so many chunks the connection ends.
    After(u32),
    /// The same, and another node goes on, which has only this many.
    LosesAllBut(u32, u32),
    /// It is done, and the answer is lost.
    LostAnswer,
    /// It waits for another site.
    Waits,
    /// Its lease is over: the upload is closed.
    Expires,
    /// A chunk of the answer is another.
    Flips,
}

pub struct Upload {
    pub begin: v1::BeginUploadRequest,
    pub chunks: Vec<Bytes>,
    pub state: UploadState,
}

#[derive(Default)]
pub struct Gallery {
    pub uploads: HashMap<Bytes, Upload>,
    /// Image to upload.
    pub images: HashMap<Bytes, Bytes>,
    pub script: VecDeque<Cut>,
    pub chunks_taken: u32,
}

type Answer<T> = Result<Response<T>, Status>;

fn resume(code: u32) -> Status {
    let mut status = Status::failed_precondition("go on from somewhere else");
    status.metadata_mut().insert(CODE_KEY, code.into());
    status
}

fn rejection(code: u32) -> v1::Rejection {
    v1::Rejection { code, message: "because".into(), help: "do so".into(), ..Default::default() }
}

fn outcome(outcome: Outcome) -> Option<v1::WriteOutcome> {
    Some(v1::WriteOutcome { outcome: Some(outcome), index: 1 })
}

impl Gallery {
    fn cut(&mut self) -> Cut {
        self.script.pop_front().unwrap_or(Cut::None)
    }

    fn view(&self, id: &Bytes) -> Result<v1::Upload, Status> {
        let upload = self.uploads.get(id).ok_or_else(|| Status::not_found("no such upload"))?;
        Ok(v1::Upload {
            id: id.clone(),
            image_id: upload.begin.image_id.clone(),
            state: upload.state.into(),
            chunk_bytes: CHUNK as u32,
            chunk_count: upload.begin.bytes.div_ceil(CHUNK as u64) as u32,
            next_sequence: upload.chunks.len() as u32,
            ..Default::default()
        })
    }

    fn begin(&mut self, begin: &v1::BeginUploadRequest) -> Option<v1::WriteOutcome> {
        let confirmed = |changed| outcome(Outcome::Confirmed(v1::Confirmed { version: 1, changed }));
        if let Some(upload) = self.uploads.get(&begin.upload_id) {
            return match upload.state {
                UploadState::Closed => outcome(Outcome::Rejection(rejection(1601))),
                _ => confirmed(false),
            };
        }
        if self.images.contains_key(&begin.image_id) {
            return outcome(Outcome::Rejection(rejection(1202)));
        }
        if begin.kind == "refused" {
            return outcome(Outcome::Rejection(rejection(1302)));
        }
        let upload = Upload { begin: begin.clone(), chunks: Vec::new(), state: UploadState::Open };
        self.uploads.insert(begin.upload_id.clone(), upload);
        confirmed(true)
    }

    fn take(&mut self, id: &Bytes, sequence: u32, data: Bytes) -> Result<(), Status> {
        let upload = self.uploads.get_mut(id).ok_or_else(|| Status::not_found("no such upload"))?;
        match upload.state {
            UploadState::Open => {}
            _ => return Err(resume(1601)),
        }
        let next = upload.chunks.len() as u32;
        if sequence > next {
            return Err(resume(1620));
        }
        if sequence == next {
            upload.chunks.push(data);
            self.chunks_taken += 1;
        }
        Ok(())
    }

    fn finish(&mut self, finish: &v1::FinishUploadRequest) -> Result<v1::FinishUploadResponse, Status> {
        use v1::finish_upload_response::Result as Finish;
        let id = &finish.upload_id;
        let before = self.view(id)?;
        let upload = self.uploads.get_mut(id).unwrap();
        let digest = Sha256::digest(upload.chunks.concat());
        let state = upload.state;
        if state == UploadState::Closed {
            return Ok(v1::FinishUploadResponse { result: Some(Finish::Rejection(rejection(1601))) });
        }
        if before.next_sequence < before.chunk_count {
            return Err(resume(1626));
        }
        if digest.as_slice() != finish.sha256 || upload.begin.bytes != finish.bytes {
            return Err(Status::invalid_argument("another digest"));
        }
        upload.state = UploadState::Committed;
        let image_id = upload.begin.image_id.clone();
        self.images.insert(image_id.clone(), id.clone());
        let confirmed = v1::Confirmed { version: 1, changed: state == UploadState::Open };
        let committed = v1::ImageCommitted {
            as_of: None,
            outcome: outcome(Outcome::Confirmed(confirmed)),
            image: Some(self.image(&image_id)?),
        };
        Ok(v1::FinishUploadResponse { result: Some(Finish::Committed(committed)) })
    }

    fn image(&self, id: &Bytes) -> Result<v1::Image, Status> {
        let upload_id = self.images.get(id).ok_or_else(|| Status::not_found("no such image"))?.clone();
        let upload = &self.uploads[&upload_id];
        let begin = &upload.begin;
        Ok(v1::Image {
            id: id.clone(),
            patient_id: begin.patient_id.clone(),
            unit_id: begin.unit_id.clone(),
            consent_id: begin.consent_id.clone(),
            kind: begin.kind.clone(),
            media_type: begin.media_type,
            bytes: begin.bytes,
            taken_ms: begin.taken_ms,
            sha256: Sha256::digest(upload.chunks.concat()).to_vec().into(),
            upload_id,
            ..Default::default()
        })
    }
}

impl Clinic {
    fn gallery<T>(&self, look: impl FnOnce(&mut Gallery) -> T) -> T {
        look(&mut self.0.lock().unwrap().gallery)
    }

    /// Ends a call as the script says, after `taken` chunks.
    #[allow(clippy::result_large_err)]
    fn cut_now(&self, cut: Cut, id: &Bytes, taken: u32) -> Result<(), Status> {
        match cut {
            Cut::After(count) if taken >= count => Err(Status::unavailable("cut")),
            Cut::LosesAllBut(count, kept) if taken >= count => {
                self.gallery(|gallery| gallery.uploads.get_mut(id).unwrap().chunks.truncate(kept as usize));
                Err(Status::unavailable("cut, and another node goes on"))
            }
            _ => Ok(()),
        }
    }

    #[allow(clippy::result_large_err)]
    fn finish(&self, cut: Cut, finish: &v1::FinishUploadRequest) -> Result<v1::FinishUploadResponse, Status> {
        use v1::finish_upload_response::Result as Finish;
        match cut {
            Cut::Waits => {
                let upload = self.gallery(|gallery| gallery.view(&finish.upload_id))?;
                let upload = Some(v1::Upload { waiting_for_off_site: true, ..upload });
                let message = "waiting for off-site".into();
                let waiting = v1::ImageWaiting { upload, retry_after_ms: 1, message };
                return Ok(v1::FinishUploadResponse { result: Some(Finish::Waiting(waiting)) });
            }
            Cut::Expires => self.gallery(|gallery| {
                if let Some(upload) = gallery.uploads.get_mut(&finish.upload_id) {
                    upload.state = UploadState::Closed;
                }
            }),
            _ => {}
        }
        let finished = self.gallery(|gallery| gallery.finish(finish))?;
        if matches!(cut, Cut::LostAnswer) { Err(Status::unavailable("lost")) } else { Ok(finished) }
    }
}

#[tonic::async_trait]
impl v1::image_service_server::ImageService for Clinic {
    type ReadImageStream = Pin<Box<dyn Stream<Item = Result<v1::ReadImageResponse, Status>> + Send>>;

    async fn begin_upload(&self, request: Request<v1::BeginUploadRequest>) -> Answer<v1::BeginUploadResponse> {
        let request = request.into_inner();
        self.gallery(|gallery| {
            let outcome = gallery.begin(&request);
            let upload = gallery.view(&request.upload_id).ok();
            Ok(Response::new(v1::BeginUploadResponse { outcome, upload }))
        })
    }

    async fn upload(&self, request: Request<Streaming<v1::UploadRequest>>) -> Answer<v1::UploadResponse> {
        let mut chunks = request.into_inner();
        let cut = self.gallery(Gallery::cut);
        let (mut id, mut taken) = (Bytes::new(), 0);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            if id.is_empty() {
                id = chunk.upload_id.clone();
            }
            self.cut_now(cut, &id, taken)?;
            self.gallery(|gallery| gallery.take(&id, chunk.sequence, chunk.data))?;
            taken += 1;
        }
        self.cut_now(cut, &id, taken)?;
        let upload = self.gallery(|gallery| gallery.view(&id))?;
        Ok(Response::new(v1::UploadResponse { upload: Some(upload) }))
    }

    async fn upload_status(&self, request: Request<v1::UploadStatusRequest>) -> Answer<v1::UploadStatusResponse> {
        let upload = self.gallery(|gallery| gallery.view(&request.into_inner().upload_id))?;
        Ok(Response::new(v1::UploadStatusResponse { upload: Some(upload) }))
    }

    async fn finish_upload(&self, request: Request<v1::FinishUploadRequest>) -> Answer<v1::FinishUploadResponse> {
        let cut = self.gallery(Gallery::cut);
        Ok(Response::new(self.finish(cut, &request.into_inner())?))
    }

    async fn abandon_upload(&self, request: Request<v1::AbandonUploadRequest>) -> Answer<v1::AbandonUploadResponse> {
        let id = request.into_inner().upload_id;
        self.gallery(|gallery| {
            if let Some(upload) = gallery.uploads.get_mut(&id) {
                upload.state = UploadState::Closed;
            }
        });
        let outcome = outcome(Outcome::Confirmed(v1::Confirmed { version: 1, changed: true }));
        Ok(Response::new(v1::AbandonUploadResponse { outcome }))
    }

    async fn put_image(&self, request: Request<Streaming<v1::PutImageRequest>>) -> Answer<v1::PutImageResponse> {
        use v1::put_image_request::Part;
        let mut parts = request.into_inner();
        let cut = self.gallery(Gallery::cut);
        let (mut id, mut taken, mut begun) = (Bytes::new(), 0, None);
        while let Some(part) = parts.next().await {
            match part?.part.unwrap() {
                Part::Begin(begin) => {
                    id = begin.upload_id.clone();
                    let outcome = self.gallery(|gallery| gallery.begin(&begin));
                    if matches!(outcome.as_ref().unwrap().outcome, Some(Outcome::Rejection(_))) {
                        return Ok(Response::new(v1::PutImageResponse { begun: outcome, finished: None }));
                    }
                    begun = outcome;
                }
                Part::Chunk(chunk) => {
                    self.cut_now(cut, &id, taken)?;
                    self.gallery(|gallery| gallery.take(&id, chunk.sequence, chunk.data))?;
                    taken += 1;
                }
                Part::Finish(finish) => {
                    self.cut_now(cut, &id, taken)?;
                    let finished = self.finish(cut, &finish)?;
                    return Ok(Response::new(v1::PutImageResponse { begun, finished: Some(finished) }));
                }
            }
        }
        Err(resume(1626))
    }

    async fn get_image(&self, request: Request<v1::GetImageRequest>) -> Answer<v1::GetImageResponse> {
        let image = self.gallery(|gallery| gallery.image(&request.into_inner().image_id))?;
        Ok(Response::new(v1::GetImageResponse { as_of: None, image: Some(image) }))
    }

    async fn list_images(&self, request: Request<v1::ListImagesRequest>) -> Answer<v1::ListImagesResponse> {
        let patient = request.into_inner().patient_id;
        let images = self.gallery(|gallery| {
            let ids: Vec<Bytes> = gallery.images.keys().cloned().collect();
            let images = ids.iter().map(|id| gallery.image(id)).collect::<Result<Vec<_>, _>>();
            images.map(|images| images.into_iter().filter(|image| image.patient_id == patient).collect())
        })?;
        Ok(Response::new(v1::ListImagesResponse { images, ..Default::default() }))
    }

    async fn read_image(&self, request: Request<v1::ReadImageRequest>) -> Answer<Self::ReadImageStream> {
        use v1::read_image_response::Part;
        let request = request.into_inner();
        let (image, content, cut) = self.gallery(|gallery| {
            let image = gallery.image(&request.image_id)?;
            Ok::<_, Status>((image.clone(), gallery.uploads[&image.upload_id].chunks.concat(), gallery.cut()))
        })?;
        let from = request.offset as usize;
        if from >= content.len() {
            return Err(Status::new(Code::OutOfRange, "beyond the end"));
        }
        let left = content.len() - from;
        let length = if request.length == 0 { left } else { left.min(request.length as usize) };
        let header = v1::ImageHeader {
            as_of: None,
            media_type: image.media_type,
            bytes: content.len() as u64,
            offset: request.offset,
            length: length as u64,
            image: Some(image),
        };
        let message = |part| Ok(v1::ReadImageResponse { part: Some(part) });
        let mut messages = vec![message(Part::Header(header))];
        for (at, data) in content[from..from + length].chunks(300_000).enumerate() {
            let mut data = data.to_vec();
            if matches!(cut, Cut::Flips) {
                data[0] ^= 1;
            }
            if matches!(cut, Cut::After(count) if at as u32 >= count) {
                messages.push(Err(Status::data_loss("cut")));
                break;
            }
            messages.push(message(Part::Data(data.into())));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }

    async fn verify_image(&self, _: Request<v1::VerifyImageRequest>) -> Answer<v1::VerifyImageResponse> {
        Err(Status::unimplemented("not in this node"))
    }
}
