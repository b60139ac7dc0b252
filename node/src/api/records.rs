//! Patient records.

use super::{convert, refuse, writes};
use crate::gateway::Error;
use futures_util::Stream;
use plantao_proto::public::v1;
use std::pin::Pin;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Records of one page inside the stream of all.
const STREAM_PAGE: usize = 100;

writes! {
    v1::record_service_server::RecordService;
    add_record: AddRecordRequest -> AddRecordResponse, "AddRecord", convert::record_draft;
    amend_record: AmendRecordRequest -> AmendRecordResponse, "AmendRecord", convert::amend_record_draft;
    ;
    async fn get_record(
        &self,
        request: Request<v1::GetRecordRequest>,
    ) -> Result<Response<v1::GetRecordResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let id = convert::record_id("record_id", &request.get_ref().record_id).map_err(refuse)?;
        let open = self.0.record(&actor, id, request.get_ref().version).await.map_err(refuse)?;
        Ok(Response::new(v1::GetRecordResponse {
            as_of: convert::as_of(&reading, self.0.node()),
            head: Some(convert::open_record_head(&open)),
            document: open.document.into(),
            reason: open.reason,
        }))
    }

    async fn list_records(
        &self,
        request: Request<v1::ListRecordsRequest>,
    ) -> Result<Response<v1::ListRecordsResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let message = request.get_ref();
        let (size, token) = convert::page(message.page.as_ref()).map_err(refuse)?;
        let after = convert::record_cursor(&token).map_err(refuse)?;
        let patient = convert::patient_id("patient_id", &message.patient_id).map_err(refuse)?;
        let order = convert::order(message.newest_first);
        let found = self.0.records(&actor, patient, order, after, size).await.map_err(refuse)?;
        let next_page_token = convert::next(&found, size, convert::record_token);
        let records = found.iter().map(|(id, row)| {
            let (at, by) = self.0.record_step(*id, row.version)?;
            Ok(convert::record_head(*id, row, row.version, at, by))
        });
        let records = records.collect::<Result<_, Error>>().map_err(refuse)?;
        let as_of = convert::as_of(&reading, self.0.node());
        Ok(Response::new(v1::ListRecordsResponse { as_of, records, next_page_token }))
    }

    type ReadRecordsStream = Pin<Box<dyn Stream<Item = Result<v1::ReadRecordsResponse, Status>> + Send>>;

    async fn read_records(
        &self,
        request: Request<v1::ReadRecordsRequest>,
    ) -> Result<Response<Self::ReadRecordsStream>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let patient = convert::patient_id("patient_id", &request.get_ref().patient_id).map_err(refuse)?;
        let gateway = self.0.clone();
        let as_of = convert::as_of(&reading, gateway.node());
        // The first page decides about rights, so that a refusal is the answer to the call and not the end of a stream.
        let order = convert::order(false);
        let mut page = gateway.records(&actor, patient, order, None, STREAM_PAGE).await.map_err(refuse)?;
        let (sender, stream) = tokio::sync::mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                for (id, _) in &page {
                    let answer = gateway.record(&actor, *id, 0).await.map_err(refuse).map(|open| v1::ReadRecordsResponse {
                        as_of,
                        head: Some(convert::open_record_head(&open)),
                        document: open.document.into(),
                    });
                    let failed = answer.is_err();
                    if sender.send(answer).await.is_err() || failed {
                        return;
                    }
                }
                let token = convert::next(&page, STREAM_PAGE, convert::record_token);
                if token.is_empty() {
                    return;
                }
                let next = match convert::record_cursor(&token) {
                    Ok(after) => gateway.records(&actor, patient, order, after, STREAM_PAGE).await,
                    Err(error) => Err(error),
                };
                match next {
                    Ok(next) => page = next,
                    Err(error) => {
                        drop(sender.send(Err(refuse(error))).await);
                        return;
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}
