//! The audit trail.

use super::{PublicServices, convert, refuse};
use plantao_domain::audit::{AuditEntry, Module, Object};
use plantao_domain::rows::{self, AuditFrom};
use plantao_proto::public::v1;
use tonic::{Request, Response, Status};

/// Entries that one call looks at, at most: a filter that keeps little ends a page early.
const SCAN_MAX: usize = 20_000;
const SCAN_PAGE: usize = 1_000;

#[tonic::async_trait]
impl v1::audit_service_server::AuditService for PublicServices {
    async fn list_entries(
        &self,
        request: Request<v1::ListEntriesRequest>,
    ) -> Result<Response<v1::ListEntriesResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let message = request.get_ref();
        let size = convert::page_size(message.page_size).map_err(refuse)?;
        let patient =
            convert::optional(&message.patient_id, |t| convert::patient_id("patient_id", t)).map_err(refuse)?;
        let by = convert::optional(&message.actor_id, |t| convert::actor_id("actor_id", t)).map_err(refuse)?;
        let module = convert::module_filter(message.module).map_err(refuse)?;
        let unit = convert::optional(&message.unit_id, |t| convert::unit_id("unit_id", t)).map_err(refuse)?;
        self.0.may_read(&actor, Module::Audit, unit.or(actor.unit), Object::Many, patient).await.map_err(refuse)?;
        let keeps = |entry: &AuditEntry| {
            patient.is_none_or(|patient| entry.patient == Some(patient))
                && by.is_none_or(|by| entry.actor.id == by)
                && module.is_none_or(|module| entry.module == module)
                && unit.or(actor.unit).is_none_or(|unit| entry.unit == Some(unit))
        };
        let mut entries = Vec::new();
        let mut next = message.from_sequence.max(1);
        let mut looked_at = 0;
        let view = &**self.0.state();
        'scan: while looked_at < SCAN_MAX {
            let page = rows::audit_from_sequence(view, next, SCAN_PAGE).map_err(|e| refuse(e.into()))?;
            let last = page.len() < SCAN_PAGE;
            for (_, entry) in &page {
                next = entry.sequence + 1;
                looked_at += 1;
                if keeps(entry) {
                    entries.push(convert::audit_entry(entry));
                    if entries.len() == size {
                        break 'scan;
                    }
                }
            }
            if last {
                next = 0;
                break;
            }
            tokio::task::yield_now().await;
        }
        let as_of = convert::as_of(&reading, self.0.node());
        Ok(Response::new(v1::ListEntriesResponse { as_of, entries, next_sequence: next }))
    }

    async fn verify_trail(
        &self,
        request: Request<v1::VerifyTrailRequest>,
    ) -> Result<Response<v1::VerifyTrailResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        self.0.may_read(&actor, Module::Audit, actor.unit, Object::Many, None).await.map_err(refuse)?;
        let state = std::sync::Arc::clone(self.0.state());
        let verified = tokio::task::spawn_blocking(move || verify(&*state, reading.index)).await;
        let (entries, broken_at, head) =
            verified.map_err(|_| Status::internal("the trail was not verified"))?.map_err(|e| refuse(e.into()))?;
        Ok(Response::new(v1::VerifyTrailResponse {
            as_of: convert::as_of(&reading, self.0.node()),
            entries,
            whole: broken_at == 0,
            broken_at,
            head: head.to_vec().into(),
        }))
    }
}

/// How many entries up to `index` follow each other, the first that does not fit (0: none), and the digest of the last.
fn verify(view: &dyn plantao_domain::View, index: u64) -> Result<(u64, u64, [u8; 32]), plantao_domain::ViewFault> {
    let (mut sequence, mut head) = (0, [0; 32]);
    let mut from = AuditFrom::Index(0);
    loop {
        let page = rows::audit(view, from, index.saturating_add(1), SCAN_PAGE)?;
        for (_, entry) in &page {
            match plantao_domain::audit::verify_chain([entry], sequence, head) {
                Ok(next) => (sequence, head) = next,
                Err(_) => return Ok((sequence, sequence + 1, head)),
            }
        }
        match page.last() {
            Some((place, _)) if page.len() == SCAN_PAGE => from = AuditFrom::After(*place),
            _ => return Ok((sequence, 0, head)),
        }
    }
}
