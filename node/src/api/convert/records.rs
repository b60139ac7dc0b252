//! Records.

use super::*;

pub(crate) fn record_cursor(token: &[u8]) -> Checked<Option<RecordCursor>> {
    Ok(place(token)?.map(|(authored_at, id)| RecordCursor { authored_at, record: RecordId::from_bytes(id) }))
}

pub(crate) fn record_token(item: &(RecordId, rows::RecordRow)) -> Bytes {
    place_token(item.1.authored_at, item.0.as_bytes())
}

pub(crate) fn record_draft(request: &v1::AddRecordRequest) -> Checked<Draft> {
    Ok(Draft::Record {
        id: record_id("record_id", &request.record_id)?,
        patient: patient_id("patient_id", &request.patient_id)?,
        unit: unit_id("unit_id", &request.unit_id)?,
        kind: line("kind", &request.kind, 1, 64)?,
        authored_at: time("authored_ms", request.authored_ms)?,
        document: document("document", &request.document, 1, DOCUMENT_BYTES_MAX)?,
    })
}

pub(crate) fn amend_record_draft(request: &v1::AmendRecordRequest) -> Checked<Draft> {
    Ok(Draft::AmendRecord {
        id: record_id("record_id", &request.record_id)?,
        seen_version: request.seen_version,
        reason: line("reason", &request.reason, 1, REASON_CHARS_MAX)?,
        document: document("document", &request.document, 1, DOCUMENT_BYTES_MAX)?,
    })
}

pub(crate) fn record_head(
    id: RecordId,
    row: &rows::RecordRow,
    version: u32,
    written_at: ClusterTime,
    author: ActorId,
) -> v1::RecordHead {
    v1::RecordHead {
        id: wire(id.as_bytes()),
        patient_id: wire(row.patient.as_bytes()),
        unit_id: wire(row.unit.as_bytes()),
        kind: row.kind.clone(),
        authored_ms: row.authored_at.millis(),
        version,
        written_ms: written_at.millis(),
        author_id: wire(author.as_bytes()),
    }
}

pub(crate) fn open_record_head(open: &OpenRecord) -> v1::RecordHead {
    record_head(open.id, &open.row, open.version, open.written_at, open.author)
}
