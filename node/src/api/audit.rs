//! The audit trail.

use super::{PublicServices, convert, refuse};
use crate::gateway::TrailFilter;
use plantao_proto::public::v1;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::audit_service_server::AuditService for PublicServices {
    async fn list_entries(
        &self,
        request: Request<v1::ListEntriesRequest>,
    ) -> Result<Response<v1::ListEntriesResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let message = request.get_ref();
        let size = convert::page_size(message.page_size).map_err(refuse)?;
        let filter = TrailFilter {
            patient: convert::optional(&message.patient_id, |t| convert::patient_id("patient_id", t))
                .map_err(refuse)?,
            by: convert::optional(&message.actor_id, |t| convert::actor_id("actor_id", t)).map_err(refuse)?,
            module: convert::module_filter(message.module).map_err(refuse)?,
            unit: convert::optional(&message.unit_id, |t| convert::unit_id("unit_id", t)).map_err(refuse)?,
        };
        let page = self.0.trail(&actor, filter, message.from_sequence, size).await.map_err(refuse)?;
        Ok(Response::new(v1::ListEntriesResponse {
            as_of: convert::as_of(&reading, self.0.node()),
            entries: page.entries.iter().map(convert::audit_entry).collect(),
            next_sequence: page.next_sequence,
        }))
    }

    async fn verify_trail(
        &self,
        request: Request<v1::VerifyTrailRequest>,
    ) -> Result<Response<v1::VerifyTrailResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let check = self.0.check_trail(&actor, reading.index).await.map_err(refuse)?;
        Ok(Response::new(v1::VerifyTrailResponse {
            as_of: convert::as_of(&reading, self.0.node()),
            entries: check.entries,
            whole: check.broken_at == 0,
            broken_at: check.broken_at,
            head: check.head.to_vec().into(),
        }))
    }
}
