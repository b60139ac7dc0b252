//! Images.

mod convert;

use super::{PublicServices, caller};
use crate::api::convert as common;
use crate::gateway;
use crate::images::{Error, Images, Taking};
use futures_util::{Stream, StreamExt};
use plantao_proto::public::v1;
use plantao_proto::public::v1::put_image_request::Part;
use prost::Message as _;
use std::pin::Pin;
use tokio::time::timeout_at;
use tonic::{Request, Response, Status, Streaming};

/// The image service of one node.
#[derive(Clone)]
pub struct ImageServices {
    common: PublicServices,
    images: Images,
}

impl ImageServices {
    /// On the images of this node.
    pub fn new(images: Images) -> Self {
        Self { common: PublicServices::new(images.gateway().clone()), images }
    }

    fn node(&self) -> convert::NodeId {
        self.images.gateway().node()
    }

    async fn actor<T>(&self, request: &Request<T>) -> Result<convert::Actor, Status> {
        let identity = &caller(request)?.identity;
        self.images.gateway().caller(identity).await.map_err(refuse_gateway)
    }
}

fn refuse(error: Error) -> Status {
    match error {
        Error::Gateway(error) => super::refuse(error),
        error => convert::status(&error),
    }
}

fn refuse_gateway(error: gateway::Error) -> Status {
    super::refuse(error)
}

/// The next message of a call that brings chunks; `None` at its end, or when its time is over.
async fn next<M>(stream: &mut Streaming<M>, taking: &mut Taking) -> Result<Option<M>, Status> {
    let deadline = taking.deadline();
    tokio::select! {
        biased;
        () = taking.superseded() => Err(refuse(Error::Superseded)),
        message = timeout_at(deadline, stream.message()) => message.unwrap_or(Ok(None)),
    }
}

fn other_upload() -> Status {
    refuse_gateway(gateway::Error::Invalid { field: "upload_id", why: "is not that of the first message" })
}

#[tonic::async_trait]
impl v1::image_service_server::ImageService for ImageServices {
    async fn begin_upload(
        &self,
        request: Request<v1::BeginUploadRequest>,
    ) -> Result<Response<v1::BeginUploadResponse>, Status> {
        let identity = caller(&request)?.identity.clone();
        let message = request.into_inner();
        let header = common::header(message.header.as_ref()).map_err(refuse_gateway)?;
        let begin = convert::begin(&message).map_err(refuse_gateway)?;
        let canonical = message.encode_to_vec();
        let (written, view) = self.images.begin(&identity, header, &canonical, begin).await.map_err(refuse)?;
        let upload = view.map(convert::wire_upload);
        Ok(Response::new(v1::BeginUploadResponse { outcome: common::outcome(written), upload }))
    }

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<v1::UploadResponse>, Status> {
        let actor = self.actor(&request).await?;
        let mut stream = request.into_inner();
        let Some(first) = stream.message().await? else {
            return Err(refuse_gateway(gateway::Error::Invalid { field: "upload_id", why: "is missing" }));
        };
        let upload = convert::upload(&first.upload_id).map_err(refuse_gateway)?;
        let mut taking = self.images.take(&actor, upload).await.map_err(refuse)?;
        let mut message = Some(first);
        while let Some(v1::UploadRequest { upload_id, sequence, data }) = message {
            if !upload_id.is_empty() && upload_id != upload.as_bytes().as_slice() {
                return Err(other_upload());
            }
            if !taking.take(sequence, data).await.map_err(refuse)? {
                break;
            }
            message = next(&mut stream, &mut taking).await?;
        }
        let view = taking.settle().await.map_err(refuse)?;
        Ok(Response::new(v1::UploadResponse { upload: Some(convert::wire_upload(view)) }))
    }

    async fn upload_status(
        &self,
        request: Request<v1::UploadStatusRequest>,
    ) -> Result<Response<v1::UploadStatusResponse>, Status> {
        let actor = self.actor(&request).await?;
        let upload = convert::upload(&request.get_ref().upload_id).map_err(refuse_gateway)?;
        let view = self.images.upload_status(&actor, upload).await.map_err(refuse)?;
        Ok(Response::new(v1::UploadStatusResponse { upload: Some(convert::wire_upload(view)) }))
    }

    async fn finish_upload(
        &self,
        request: Request<v1::FinishUploadRequest>,
    ) -> Result<Response<v1::FinishUploadResponse>, Status> {
        let actor = self.actor(&request).await?;
        let finished = self.finish(actor, request.get_ref()).await?;
        Ok(Response::new(finished))
    }

    async fn abandon_upload(
        &self,
        request: Request<v1::AbandonUploadRequest>,
    ) -> Result<Response<v1::AbandonUploadResponse>, Status> {
        let identity = caller(&request)?.identity.clone();
        let message = request.into_inner();
        let header = common::header(message.header.as_ref()).map_err(refuse_gateway)?;
        let upload = convert::upload(&message.upload_id).map_err(refuse_gateway)?;
        let canonical = message.encode_to_vec();
        let written = self.images.abandon(&identity, header, &canonical, upload).await.map_err(refuse)?;
        Ok(Response::new(v1::AbandonUploadResponse { outcome: common::outcome(written) }))
    }

    async fn put_image(
        &self,
        request: Request<Streaming<v1::PutImageRequest>>,
    ) -> Result<Response<v1::PutImageResponse>, Status> {
        let identity = caller(&request)?.identity.clone();
        let actor = self.actor(&request).await?;
        let mut stream = request.into_inner();
        let Some(v1::PutImageRequest { part: Some(Part::Begin(message)) }) = stream.message().await? else {
            return Err(out_of_order());
        };
        let header = common::header(message.header.as_ref()).map_err(refuse_gateway)?;
        let begin = convert::begin(&message).map_err(refuse_gateway)?;
        let upload = begin.upload;
        let canonical = message.encode_to_vec();
        let (written, view) = self.images.begin(&identity, header, &canonical, begin).await.map_err(refuse)?;
        let begun = common::outcome(written);
        let Some(view) = view else { return Ok(Response::new(v1::PutImageResponse { begun, finished: None })) };
        if view.next == view.chunks {
            // Sent before: what comes now need not be taken again.
            let finished = loop {
                match stream.message().await?.and_then(|message| message.part) {
                    Some(Part::Finish(message)) => break self.finish(actor, &message).await?,
                    Some(Part::Chunk(_)) => {}
                    Some(Part::Begin(_)) => return Err(out_of_order()),
                    None => break convert::unfinished(view),
                }
            };
            return Ok(Response::new(v1::PutImageResponse { begun, finished: Some(finished) }));
        }
        let mut taking = self.images.take(&actor, upload).await.map_err(refuse)?;
        let finished = loop {
            match next(&mut stream, &mut taking).await?.and_then(|message| message.part) {
                Some(Part::Chunk(v1::UploadRequest { upload_id, sequence, data })) => {
                    if !upload_id.is_empty() && upload_id != upload.as_bytes().as_slice() {
                        return Err(other_upload());
                    }
                    if !taking.take(sequence, data).await.map_err(refuse)? {
                        break convert::unfinished(taking.settle().await.map_err(refuse)?);
                    }
                }
                Some(Part::Finish(message)) => {
                    drop(taking);
                    break self.finish(actor, &message).await?;
                }
                Some(Part::Begin(_)) => return Err(out_of_order()),
                None => break convert::unfinished(taking.settle().await.map_err(refuse)?),
            }
        };
        Ok(Response::new(v1::PutImageResponse { begun, finished: Some(finished) }))
    }

    async fn get_image(&self, request: Request<v1::GetImageRequest>) -> Result<Response<v1::GetImageResponse>, Status> {
        let (actor, reading) = self.common.begin(&request, request.get_ref().read.as_ref()).await?;
        let id = convert::image(&request.get_ref().image_id).map_err(refuse_gateway)?;
        let (row, content) = self.images.image(&actor, id).await.map_err(refuse)?;
        let state = &**self.images.gateway().state();
        let image = convert::wire_image(id, &row, Some(&content), state).map_err(refuse_gateway)?;
        Ok(Response::new(v1::GetImageResponse { as_of: common::as_of(&reading, self.node()), image: Some(image) }))
    }

    async fn list_images(
        &self,
        request: Request<v1::ListImagesRequest>,
    ) -> Result<Response<v1::ListImagesResponse>, Status> {
        let (actor, reading) = self.common.begin(&request, request.get_ref().read.as_ref()).await?;
        let message = request.get_ref();
        let (size, token) = common::page(message.page.as_ref()).map_err(refuse_gateway)?;
        let after = convert::cursor(&token).map_err(refuse_gateway)?;
        let patient = convert::patient(&message.patient_id).map_err(refuse_gateway)?;
        let order = common::order(message.newest_first);
        let gateway = self.images.gateway();
        let found = gateway.images(&actor, patient, order, after, size).await.map_err(refuse_gateway)?;
        let next_page_token = common::next(&found, size, convert::token);
        let state = &**gateway.state();
        let images = found.iter().map(|(id, row)| convert::wire_image(*id, row, None, state));
        let images = images.collect::<Result<_, _>>().map_err(refuse_gateway)?;
        let as_of = common::as_of(&reading, self.node());
        Ok(Response::new(v1::ListImagesResponse { as_of, images, next_page_token }))
    }

    type ReadImageStream = Pin<Box<dyn Stream<Item = Result<v1::ReadImageResponse, Status>> + Send>>;

    async fn read_image(
        &self,
        request: Request<v1::ReadImageRequest>,
    ) -> Result<Response<Self::ReadImageStream>, Status> {
        use v1::read_image_response::Part;
        let (actor, reading) = self.common.begin(&request, request.get_ref().read.as_ref()).await?;
        let message = request.get_ref();
        let id = convert::image(&message.image_id).map_err(refuse_gateway)?;
        let variant = convert::variant(message.variant).map_err(refuse_gateway)?;
        let reader = self.images.read(&actor, id, variant, message.offset, message.length).await.map_err(refuse)?;
        let state = &**self.images.gateway().state();
        let header = convert::header(id, &reader, &reading, state, self.node()).map_err(refuse_gateway)?;
        let answer = |part| v1::ReadImageResponse { part: Some(part) };
        let first = futures_util::stream::iter([Ok(answer(Part::Header(header)))]);
        let rest = reader.into_stream().map(move |piece| piece.map(|data| answer(Part::Data(data))).map_err(refuse));
        Ok(Response::new(Box::pin(first.chain(rest))))
    }

    async fn verify_image(
        &self,
        request: Request<v1::VerifyImageRequest>,
    ) -> Result<Response<v1::VerifyImageResponse>, Status> {
        let (actor, reading) = self.common.begin(&request, request.get_ref().read.as_ref()).await?;
        let id = convert::image(&request.get_ref().image_id).map_err(refuse_gateway)?;
        let verified = self.images.verify(&actor, id).await.map_err(refuse)?;
        let state = &**self.images.gateway().state();
        let image = convert::wire_image(id, &verified.row, Some(&verified.content), state).map_err(refuse_gateway)?;
        Ok(Response::new(v1::VerifyImageResponse {
            as_of: common::as_of(&reading, self.node()),
            image: Some(image),
            whole: verified.is_whole,
            copies: verified.copies.into_iter().map(convert::copy).collect(),
        }))
    }
}

fn out_of_order() -> Status {
    refuse_gateway(gateway::Error::Invalid {
        field: "part",
        why: "is not the one that comes now: begin, chunk, finish",
    })
}

impl ImageServices {
    async fn finish(
        &self,
        actor: convert::Actor,
        message: &v1::FinishUploadRequest,
    ) -> Result<v1::FinishUploadResponse, Status> {
        common::header(message.header.as_ref()).map_err(refuse_gateway)?;
        let upload = convert::upload(&message.upload_id).map_err(refuse_gateway)?;
        let sha256 = convert::sha256("sha256", &message.sha256).map_err(refuse_gateway)?;
        // Goes on when the client hangs up: a commit half-way would leave it in doubt.
        let (images, bytes) = (self.images.clone(), message.bytes);
        let finishing = tokio::spawn(async move { images.finish(actor, upload, sha256, bytes).await });
        let finished = finishing.await.map_err(|_| refuse_gateway(gateway::Error::Unknown))?.map_err(refuse)?;
        let state = &**self.images.gateway().state();
        convert::finished(finished, state, self.node()).map_err(refuse_gateway)
    }
}
