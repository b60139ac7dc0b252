//! Calls of the image service that are not like those of the others: an answer that tells more than an outcome, and tries
//! that may take longer.

use crate::connect::Cluster;
use crate::error::Error;
use crate::id::Id;
use crate::retry::{self, Intent};
use crate::transport::MESSAGE_BYTES_MAX;
use plantao_proto::public::v1;
use plantao_proto::public::v1::image_service_client::ImageServiceClient;
use std::future::Future;
use std::time::{Duration, Instant};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// For a node that looks for what an earlier try left.
const STATUS_TIME_MAX: Duration = Duration::from_secs(28);
/// For reading all of an image on the node: 2 GiB from a slow disk.
const VERIFY_TIME_MAX: Duration = Duration::from_secs(28);

pub(super) fn client(channel: Channel) -> ImageServiceClient<Channel> {
    ImageServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

pub(super) fn timed<M>(message: M, timeout: Duration) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

impl Cluster {
    /// Announces an image, or says again what was announced; gives where the upload is.
    ///
    /// # Errors
    /// As any write.
    pub async fn begin_upload(&self, mut request: v1::BeginUploadRequest) -> Result<v1::Upload, Error> {
        let header = self.header(request.header.take())?;
        request.header = Some(header.clone());
        let calling = |channel, timeout| {
            let message = timed(request.clone(), timeout);
            async move {
                let response = client(channel).begin_upload(message).await?;
                Ok(response.map(|response| (response.outcome, response.upload)))
            }
        };
        let (_, upload) = self.write_telling(&header, calling).await?;
        upload.ok_or(Error::Protocol("an upload is missing"))
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

    /// Gives an upload up; one that is committed stays.
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
}
