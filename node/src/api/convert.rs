//! Between the wire and the domain: the only place of the public services that names both.

use super::check::*;
use crate::gateway::{
    Consistency, DemographicsContent, DirectoryContent, Draft, Error, Header, OpenPatient, OpenRecord, Reading, Written,
};
use bytes::Bytes;
use plantao_client::error::{CODE_KEY, HELP_KEY, NOT_DONE, OUTCOME_KEY};
use plantao_domain::audit::{self, Action, AuditEntry, Object};
use plantao_domain::command::{self, Actor};
use plantao_domain::outcome::{Outcome, Rejection, Resource};
use plantao_domain::rows::{self, AgendaCursor, AgendaOf, RecordCursor};
use plantao_domain::view::Order;
use plantao_domain::*;
use plantao_proto::public::v1;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// Entries of a page.
const PAGE_MAX: u32 = 500;
const PAGE_DEFAULT: u32 = 100;

pub(super) type Checked<T> = Result<T, Error>;

pub(super) fn invalid<T>(field: &'static str, why: &'static str) -> Checked<T> {
    Err(Error::Invalid { field, why })
}

/// A status with its number, what to do, and whether anything was done.
pub(crate) fn status(error: &Error) -> Status {
    let grpc = match error {
        Error::Invalid { .. } => Code::InvalidArgument,
        Error::Denied | Error::UnknownUnit => Code::PermissionDenied,
        Error::NotFound(_) | Error::Rejected(..) => Code::NotFound,
        // Another node can do it: clients ask each one once.
        Error::Sealed => Code::FailedPrecondition,
        Error::Unavailable { .. } | Error::TooStale { .. } => Code::Unavailable,
        Error::Busy | Error::Journal(crate::journal::NoteError::Full) => Code::ResourceExhausted,
        Error::Unknown => Code::DeadlineExceeded,
        Error::Journal(_) | Error::State(_) => Code::Internal,
        Error::Damaged => Code::DataLoss,
    };
    told(grpc, error.to_string(), error.code(), error.help(), error.is_not_done())
}

/// A status as every service gives it.
pub(crate) fn told(grpc: Code, text: String, code: u16, help: &str, is_not_done: bool) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(CODE_KEY, MetadataValue::from(code));
    metadata.insert_bin(HELP_KEY, MetadataValue::from_bytes(help.as_bytes()));
    if is_not_done {
        metadata.insert(OUTCOME_KEY, MetadataValue::from_static(NOT_DONE));
    }
    Status::with_details_and_metadata(grpc, text, Bytes::new(), metadata)
}

fn bytes16(field: &'static str, bytes: &[u8]) -> Checked<[u8; 16]> {
    match <[u8; 16]>::try_from(bytes) {
        Ok(id) if id != [0; 16] => Ok(id),
        _ => invalid(field, "must be 16 bytes, not all zero"),
    }
}

macro_rules! ids {
    ($($function:ident -> $name:ident),* $(,)?) => {$(
        pub(crate) fn $function(field: &'static str, bytes: &[u8]) -> Checked<$name> {
            bytes16(field, bytes).map($name::from_bytes)
        }
    )*};
}
ids!(
    unit_id -> UnitId, patient_id -> PatientId, practitioner_id -> PractitionerId, room_id -> RoomId,
    appointment_id -> AppointmentId, record_id -> RecordId, consent_id -> ConsentId, actor_id -> ActorId,
    request_id -> RequestId, image_id -> ImageId, upload_id -> UploadId,
);

/// `None` when the field is empty.
pub(crate) fn optional<T>(bytes: &[u8], parse: impl FnOnce(&[u8]) -> Checked<T>) -> Checked<Option<T>> {
    if bytes.is_empty() { Ok(None) } else { parse(bytes).map(Some) }
}

pub(super) fn wire(id: &[u8; 16]) -> Bytes {
    Bytes::copy_from_slice(id)
}

pub(crate) fn time(field: &'static str, millis: i64) -> Checked<ClusterTime> {
    match ClusterTime::from_millis(millis) {
        Some(time) => Ok(time),
        None => invalid(field, "lies outside the years 1900 to 9999"),
    }
}

pub(crate) fn header(header: Option<&v1::RequestHeader>) -> Checked<Header> {
    let Some(header) = header else { return invalid("header", "is missing") };
    Ok(Header {
        request_id: request_id("header.request_id", &header.request_id)?,
        not_after: time("header.not_after_ms", header.not_after_ms)?,
    })
}

pub(crate) fn consistency(read: Option<&v1::ReadOptions>) -> Checked<Consistency> {
    let Some(read) = read else { return Ok(Consistency::Linearizable) };
    match v1::Consistency::try_from(read.consistency) {
        Ok(v1::Consistency::Unspecified | v1::Consistency::Linearizable) => Ok(Consistency::Linearizable),
        Ok(v1::Consistency::Local) => Ok(Consistency::Local {
            staleness_ms_max: (read.staleness_ms_max > 0).then_some(read.staleness_ms_max.into()),
        }),
        Err(_) => invalid("read.consistency", "is no consistency that this version knows"),
    }
}

pub(crate) fn as_of(reading: &Reading, node: NodeId) -> Option<v1::AsOf> {
    let consistency = match reading.consistency {
        Consistency::Linearizable => v1::Consistency::Linearizable,
        Consistency::Local { .. } => v1::Consistency::Local,
    };
    Some(v1::AsOf {
        index: reading.index,
        time_ms: reading.time.millis(),
        consistency: consistency.into(),
        node_id: node.0,
        staleness_ms: reading.staleness_ms,
    })
}

/// Size and token of a page.
pub(crate) fn page(page: Option<&v1::Page>) -> Checked<(usize, Bytes)> {
    let Some(page) = page else { return Ok((PAGE_DEFAULT as usize, Bytes::new())) };
    Ok((page_size(page.size)?, page.token.clone()))
}

pub(crate) fn page_size(size: u32) -> Checked<usize> {
    match size {
        0 => Ok(PAGE_DEFAULT as usize),
        1..=PAGE_MAX => Ok(size as usize),
        _ => invalid("page.size", "is more than 500"),
    }
}

/// The token of the next page: the last item of this one, when the page is full.
pub(crate) fn next<T>(items: &[T], size: usize, token: impl Fn(&T) -> Bytes) -> Bytes {
    items.last().filter(|_| items.len() == size).map(token).unwrap_or_default()
}

/// A place in a list that is sorted by a time and an id.
pub(super) fn place(token: &[u8]) -> Checked<Option<(ClusterTime, [u8; 16])>> {
    if token.is_empty() {
        return Ok(None);
    }
    let (Some(time), Some(id)) =
        (token.first_chunk::<8>(), token.get(8..).and_then(|id| <[u8; 16]>::try_from(id).ok()))
    else {
        return invalid("page.token", "is not one that was given");
    };
    Ok(Some((ClusterTime::from_key(*time), id)))
}

pub(super) fn place_token(time: ClusterTime, id: &[u8; 16]) -> Bytes {
    let mut token = time.to_key().to_vec();
    token.extend_from_slice(id);
    token.into()
}

pub(crate) fn agenda_cursor(token: &[u8]) -> Checked<Option<AgendaCursor>> {
    Ok(place(token)?.map(|(start, id)| AgendaCursor { start, appointment: AppointmentId::from_bytes(id) }))
}

pub(crate) fn agenda_token(item: &(AppointmentId, rows::AppointmentRow)) -> Bytes {
    place_token(item.1.slot.interval.start, item.0.as_bytes())
}

pub(crate) fn record_cursor(token: &[u8]) -> Checked<Option<RecordCursor>> {
    Ok(place(token)?.map(|(authored_at, id)| RecordCursor { authored_at, record: RecordId::from_bytes(id) }))
}

pub(crate) fn record_token(item: &(RecordId, rows::RecordRow)) -> Bytes {
    place_token(item.1.authored_at, item.0.as_bytes())
}

/// What became of a request.
pub(crate) fn outcome(written: Written) -> Option<v1::WriteOutcome> {
    use v1::write_outcome::Outcome as Wire;
    let outcome = match written.outcome {
        Outcome::Confirmed { version, changed, .. } => Wire::Confirmed(v1::Confirmed { version, changed }),
        Outcome::ConfirmedWithConflict { resource: held, holder } => Wire::Conflict(v1::Conflict {
            resource: Some(resource(held)),
            holder_appointment_id: wire(holder.as_bytes()),
        }),
        Outcome::Rejected(rejected) => Wire::Rejection(rejection(&rejected)),
    };
    Some(v1::WriteOutcome { outcome: Some(outcome), index: written.index })
}

pub(super) fn rejection(rejection: &Rejection) -> v1::Rejection {
    let mut wired = v1::Rejection {
        code: rejection.code().into(),
        message: rejection.to_string(),
        help: rejection.help().to_string(),
        ..v1::Rejection::default()
    };
    match rejection {
        Rejection::SlotTaken { resource: held, holder } => {
            wired.resource = Some(resource(*held));
            wired.holder_appointment_id = wire(holder.as_bytes());
        }
        Rejection::StaleVersion { current } => wired.current_version = *current,
        Rejection::Duplicate { patient, .. } => wired.existing_patient_id = wire(patient.as_bytes()),
        _ => {}
    }
    wired
}

fn resource(resource: Resource) -> v1::Resource {
    let (kind, id) = match resource {
        Resource::Practitioner(id) => (v1::ResourceKind::Practitioner, *id.as_bytes()),
        Resource::Room(id) => (v1::ResourceKind::Room, *id.as_bytes()),
        Resource::Patient(id) => (v1::ResourceKind::Patient, *id.as_bytes()),
    };
    v1::Resource { kind: kind.into(), id: wire(&id) }
}

fn directory_content(name: &str, label: &str, document_bytes: &[u8]) -> Checked<DirectoryContent> {
    Ok(DirectoryContent {
        name: line("name", name, 1, NAME_CHARS_MAX)?,
        label: line("label", label, 0, 64)?,
        document: document("document", document_bytes, 0, DOCUMENT_BYTES_MAX)?,
    })
}

pub(crate) fn unit_draft(request: &v1::RegisterUnitRequest) -> Checked<Draft> {
    let Some(unit) = &request.unit else { return invalid("unit", "is missing") };
    Ok(Draft::Unit {
        id: unit_id("unit.id", &unit.id)?,
        slug: line("unit.slug", &unit.slug, 1, 32)?,
        content: directory_content(&unit.name, "", &unit.document)?,
    })
}

pub(crate) fn practitioner_draft(request: &v1::RegisterPractitionerRequest) -> Checked<Draft> {
    let Some(p) = &request.practitioner else { return invalid("practitioner", "is missing") };
    Ok(Draft::Practitioner {
        id: practitioner_id("practitioner.id", &p.id)?,
        unit: unit_id("practitioner.unit_id", &p.unit_id)?,
        content: directory_content(&p.name, &p.label, &p.document)?,
    })
}

pub(crate) fn room_draft(request: &v1::RegisterRoomRequest) -> Checked<Draft> {
    let Some(room) = &request.room else { return invalid("room", "is missing") };
    Ok(Draft::Room {
        id: room_id("room.id", &room.id)?,
        unit: unit_id("room.unit_id", &room.unit_id)?,
        content: directory_content(&room.name, &room.label, &room.document)?,
    })
}

pub(crate) fn unit(id: UnitId, row: &rows::UnitRow, content: DirectoryContent) -> v1::Unit {
    v1::Unit { id: wire(id.as_bytes()), slug: row.slug.clone(), name: content.name, document: content.document.into() }
}

pub(crate) fn practitioner(id: PractitionerId, unit: UnitId, content: DirectoryContent) -> v1::Practitioner {
    v1::Practitioner {
        id: wire(id.as_bytes()),
        unit_id: wire(unit.as_bytes()),
        name: content.name,
        label: content.label,
        document: content.document.into(),
    }
}

pub(crate) fn room(id: RoomId, unit: UnitId, content: DirectoryContent) -> v1::Room {
    v1::Room {
        id: wire(id.as_bytes()),
        unit_id: wire(unit.as_bytes()),
        name: content.name,
        label: content.label,
        document: content.document.into(),
    }
}

fn demographics_content(demographics: Option<&v1::Demographics>) -> Checked<DemographicsContent> {
    let Some(d) = demographics else { return invalid("demographics", "is missing") };
    if d.phones.len() > 8 {
        return invalid("demographics.phones", "are more than 8");
    }
    Ok(DemographicsContent {
        name: line("demographics.name", &d.name, 1, NAME_CHARS_MAX)?,
        cpf: cpf("demographics.cpf", &d.cpf)?,
        phones: d.phones.iter().map(|text| phone("demographics.phones", text)).collect::<Checked<_>>()?,
        email: line("demographics.email", &d.email, 0, 254)?,
        birth_date: date("demographics.birth_date", &d.birth_date)?,
        document: document("demographics.document", &d.document, 0, DOCUMENT_BYTES_MAX)?,
    })
}

pub(crate) fn patient_draft(request: &v1::RegisterPatientRequest) -> Checked<Draft> {
    Ok(Draft::Patient {
        id: patient_id("patient_id", &request.patient_id)?,
        unit: unit_id("unit_id", &request.unit_id)?,
        content: demographics_content(request.demographics.as_ref())?,
    })
}

pub(crate) fn amend_patient_draft(request: &v1::AmendPatientRequest) -> Checked<Draft> {
    Ok(Draft::AmendPatient {
        id: patient_id("patient_id", &request.patient_id)?,
        seen_version: request.seen_version,
        content: demographics_content(request.demographics.as_ref())?,
    })
}

pub(crate) fn patient(open: OpenPatient) -> v1::Patient {
    let OpenPatient { id, unit, version, content } = open;
    v1::Patient {
        id: wire(id.as_bytes()),
        unit_id: wire(unit.as_bytes()),
        version,
        demographics: Some(v1::Demographics {
            name: content.name,
            cpf: content.cpf,
            phones: content.phones,
            email: content.email,
            birth_date: content.birth_date,
            document: content.document.into(),
        }),
    }
}

pub(crate) fn patient_summary(id: PatientId, row: &rows::PatientRow) -> v1::PatientSummary {
    v1::PatientSummary { id: wire(id.as_bytes()), unit_id: wire(row.unit.as_bytes()), version: row.version }
}

/// By what patients are looked for.
pub(crate) enum Search {
    Cpf(String),
    Phone(String),
    Name(String),
}

pub(crate) fn search(by: Option<&v1::find_patients_request::By>) -> Checked<Search> {
    use v1::find_patients_request::By;
    match by {
        None => invalid("by", "is missing: give a CPF, a telephone number or a part of a name"),
        Some(By::Cpf(text)) if text.is_empty() => invalid("by.cpf", "must not be empty"),
        Some(By::Cpf(text)) => Ok(Search::Cpf(cpf("by.cpf", text)?)),
        Some(By::Phone(text)) => Ok(Search::Phone(phone("by.phone", text)?)),
        Some(By::Name(text)) if text.chars().count() < 3 => invalid("by.name", "has fewer than 3 characters"),
        Some(By::Name(text)) => Ok(Search::Name(line("by.name", text, 3, NAME_CHARS_MAX)?)),
    }
}

fn slot(slot: Option<&v1::Slot>) -> Checked<command::Slot> {
    let Some(slot) = slot else { return invalid("slot", "is missing") };
    Ok(command::Slot {
        unit: unit_id("slot.unit_id", &slot.unit_id)?,
        practitioner: practitioner_id("slot.practitioner_id", &slot.practitioner_id)?,
        room: room_id("slot.room_id", &slot.room_id)?,
        interval: Interval { start: time("slot.start_ms", slot.start_ms)?, end: time("slot.end_ms", slot.end_ms)? },
    })
}

fn encaixe_reason(text: &str) -> Checked<Option<String>> {
    if text.is_empty() { Ok(None) } else { line("encaixe_reason", text, 1, REASON_CHARS_MAX).map(Some) }
}

pub(crate) fn book_draft(request: &v1::BookRequest) -> Checked<Draft> {
    Ok(Draft::Book {
        id: appointment_id("appointment_id", &request.appointment_id)?,
        patient: patient_id("patient_id", &request.patient_id)?,
        slot: slot(request.slot.as_ref())?,
        encaixe_reason: encaixe_reason(&request.encaixe_reason)?,
        document: document("document", &request.document, 0, APPOINTMENT_DOCUMENT_BYTES_MAX)?,
    })
}

pub(crate) fn move_draft(request: &v1::MoveAppointmentRequest) -> Checked<Draft> {
    Ok(Draft::Move {
        id: appointment_id("appointment_id", &request.appointment_id)?,
        seen_version: request.seen_version,
        slot: slot(request.slot.as_ref())?,
        encaixe_reason: encaixe_reason(&request.encaixe_reason)?,
    })
}

pub(crate) fn state_draft(request: &v1::ChangeAppointmentStateRequest) -> Checked<Draft> {
    use v1::AppointmentState as Wire;
    let state = match Wire::try_from(request.state) {
        Ok(Wire::Booked) => command::AppointmentState::Booked,
        Ok(Wire::Arrived) => command::AppointmentState::Arrived,
        Ok(Wire::Closed) => command::AppointmentState::Closed,
        Ok(Wire::Cancelled) => command::AppointmentState::Cancelled,
        Ok(Wire::NoShow) => command::AppointmentState::NoShow,
        Ok(Wire::Unspecified) | Err(_) => return invalid("state", "is no state that this version knows"),
    };
    Ok(Draft::State {
        id: appointment_id("appointment_id", &request.appointment_id)?,
        seen_version: request.seen_version,
        state,
        reason: line("reason", &request.reason, 0, REASON_CHARS_MAX)?,
    })
}

pub(crate) fn appointment(id: AppointmentId, row: &rows::AppointmentRow, document: Vec<u8>) -> v1::Appointment {
    use command::AppointmentState as State;
    let state = match row.state {
        State::Booked => v1::AppointmentState::Booked,
        State::Arrived => v1::AppointmentState::Arrived,
        State::Closed => v1::AppointmentState::Closed,
        State::Cancelled => v1::AppointmentState::Cancelled,
        State::NoShow => v1::AppointmentState::NoShow,
    };
    v1::Appointment {
        id: wire(id.as_bytes()),
        patient_id: wire(row.patient.as_bytes()),
        slot: Some(v1::Slot {
            unit_id: wire(row.slot.unit.as_bytes()),
            practitioner_id: wire(row.slot.practitioner.as_bytes()),
            room_id: wire(row.slot.room.as_bytes()),
            start_ms: row.slot.interval.start.millis(),
            end_ms: row.slot.interval.end.millis(),
        }),
        state: state.into(),
        encaixe: row.encaixe.is_some(),
        version: row.version,
        document: document.into(),
    }
}

pub(crate) fn agenda_of(of: Option<&v1::list_appointments_request::Of>) -> Checked<AgendaOf> {
    use v1::list_appointments_request::Of;
    match of {
        None => invalid("of", "is missing: whose agenda?"),
        Some(Of::UnitId(id)) => Ok(AgendaOf::Unit(unit_id("unit_id", id)?)),
        Some(Of::PractitionerId(id)) => Ok(AgendaOf::Practitioner(practitioner_id("practitioner_id", id)?)),
        Some(Of::RoomId(id)) => Ok(AgendaOf::Room(room_id("room_id", id)?)),
        Some(Of::PatientId(id)) => Ok(AgendaOf::Patient(patient_id("patient_id", id)?)),
    }
}

pub(crate) fn interval(from_ms: i64, to_ms: i64) -> Checked<Interval> {
    let interval = Interval { start: time("from_ms", from_ms)?, end: time("to_ms", to_ms)? };
    if interval.start < interval.end { Ok(interval) } else { invalid("to_ms", "is not after from_ms") }
}

pub(crate) fn order(newest_first: bool) -> Order {
    if newest_first { Order::Descending } else { Order::Ascending }
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

pub(crate) fn consent_draft(request: &v1::GrantConsentRequest) -> Checked<Draft> {
    if request.purposes.len() > 8 {
        return invalid("purposes", "are more than 8");
    }
    let purposes = request.purposes.iter().map(|purpose| match v1::Purpose::try_from(*purpose) {
        Ok(v1::Purpose::Treatment) => Ok(command::Purpose::Treatment),
        Ok(v1::Purpose::ClinicalImages) => Ok(command::Purpose::ClinicalImages),
        Ok(v1::Purpose::Sharing) => Ok(command::Purpose::Sharing),
        Ok(v1::Purpose::Research) => Ok(command::Purpose::Research),
        Ok(v1::Purpose::Marketing) => Ok(command::Purpose::Marketing),
        Ok(v1::Purpose::Unspecified) | Err(_) => invalid("purposes", "has one that this version does not know"),
    });
    Ok(Draft::Consent {
        id: consent_id("consent_id", &request.consent_id)?,
        patient: patient_id("patient_id", &request.patient_id)?,
        unit: unit_id("unit_id", &request.unit_id)?,
        purposes: purposes.collect::<Checked<_>>()?,
        valid_from: time("valid_from_ms", request.valid_from_ms)?,
        valid_until: match request.valid_until_ms {
            0 => None,
            millis => Some(time("valid_until_ms", millis)?),
        },
        document: document("document", &request.document, 0, DOCUMENT_BYTES_MAX)?,
    })
}

pub(crate) fn revoke_consent_draft(request: &v1::RevokeConsentRequest) -> Checked<Draft> {
    Ok(Draft::RevokeConsent {
        id: consent_id("consent_id", &request.consent_id)?,
        seen_version: request.seen_version,
        reason: line("reason", &request.reason, 0, REASON_CHARS_MAX)?,
    })
}

/// For [`crate::again`]: what a person typed in an accepted request, line by line, and the documents that came with it.
pub(crate) fn typed(kind: u8, bytes: &[u8]) -> Option<(Vec<String>, Vec<Vec<u8>>)> {
    use prost::Message;
    let draft = match kind {
        0 => unit_draft(&v1::RegisterUnitRequest::decode(bytes).ok()?),
        1 => practitioner_draft(&v1::RegisterPractitionerRequest::decode(bytes).ok()?),
        2 => room_draft(&v1::RegisterRoomRequest::decode(bytes).ok()?),
        3 => patient_draft(&v1::RegisterPatientRequest::decode(bytes).ok()?),
        4 => amend_patient_draft(&v1::AmendPatientRequest::decode(bytes).ok()?),
        5 => book_draft(&v1::BookRequest::decode(bytes).ok()?),
        6 => move_draft(&v1::MoveAppointmentRequest::decode(bytes).ok()?),
        7 => state_draft(&v1::ChangeAppointmentStateRequest::decode(bytes).ok()?),
        8 => record_draft(&v1::AddRecordRequest::decode(bytes).ok()?),
        9 => amend_record_draft(&v1::AmendRecordRequest::decode(bytes).ok()?),
        10 => consent_draft(&v1::GrantConsentRequest::decode(bytes).ok()?),
        _ => revoke_consent_draft(&v1::RevokeConsentRequest::decode(bytes).ok()?),
    };
    Some(match draft.ok()? {
        Draft::Unit { slug, content, .. } => (vec![slug, content.name, content.label], vec![content.document]),
        Draft::Practitioner { content, .. } | Draft::Room { content, .. } => {
            (vec![content.name, content.label], vec![content.document])
        }
        Draft::Patient { content, .. } | Draft::AmendPatient { content, .. } => {
            let mut texts = vec![content.name, content.cpf, content.email, content.birth_date];
            texts.extend(content.phones);
            (texts, vec![content.document])
        }
        Draft::Book { encaixe_reason, document, .. } => (encaixe_reason.into_iter().collect(), vec![document]),
        Draft::Move { encaixe_reason, .. } => (encaixe_reason.into_iter().collect(), Vec::new()),
        Draft::State { reason, .. } | Draft::RevokeConsent { reason, .. } => (vec![reason], Vec::new()),
        Draft::Record { kind, document, .. } => (vec![kind], vec![document]),
        Draft::AmendRecord { reason, document, .. } => (vec![reason], vec![document]),
        Draft::Consent { document, .. } => (Vec::new(), vec![document]),
    })
}

/// For [`crate::again`]: a CPF, a telephone number and a day as they are kept.
pub(crate) fn normal(text: &str) -> [Option<String>; 3] {
    [cpf("cpf", text).ok(), phone("phone", text).ok(), date("day", text).ok()]
}

/// For [`crate::again`]: the token of a page, or of where a watch goes on.
pub(crate) fn token(bytes: &[u8]) -> Option<Option<Bytes>> {
    Some(place(bytes).ok()?.map(|(time, id)| place_token(time, &id)))
}

pub(crate) fn consent(id: ConsentId, row: &rows::ConsentRow, document: Vec<u8>) -> v1::Consent {
    let purposes = row.purposes.iter().map(|purpose| match purpose {
        command::Purpose::Treatment => v1::Purpose::Treatment.into(),
        command::Purpose::ClinicalImages => v1::Purpose::ClinicalImages.into(),
        command::Purpose::Sharing => v1::Purpose::Sharing.into(),
        command::Purpose::Research => v1::Purpose::Research.into(),
        command::Purpose::Marketing => v1::Purpose::Marketing.into(),
    });
    v1::Consent {
        id: wire(id.as_bytes()),
        patient_id: wire(row.patient.as_bytes()),
        unit_id: wire(row.unit.as_bytes()),
        purposes: purposes.collect(),
        valid_from_ms: row.valid_from.millis(),
        valid_until_ms: row.valid_until.map_or(0, ClusterTime::millis),
        revoked: row.revoked_at.is_some(),
        version: row.version,
        document: document.into(),
    }
}

const MODULES: [(audit::Module, v1::Module); 9] = [
    (audit::Module::Directory, v1::Module::Directory),
    (audit::Module::Patients, v1::Module::Patients),
    (audit::Module::Agenda, v1::Module::Agenda),
    (audit::Module::Records, v1::Module::Records),
    (audit::Module::Consents, v1::Module::Consents),
    (audit::Module::Audit, v1::Module::Audit),
    (audit::Module::Cluster, v1::Module::Cluster),
    (audit::Module::Keys, v1::Module::Keys),
    (audit::Module::Images, v1::Module::Images),
];

fn module(module: audit::Module) -> i32 {
    MODULES.iter().find(|(ours, _)| *ours == module).map_or(0, |(_, wire)| (*wire).into())
}

/// `None` for UNSPECIFIED.
pub(crate) fn module_filter(value: i32) -> Checked<Option<audit::Module>> {
    match v1::Module::try_from(value) {
        Ok(v1::Module::Unspecified) => Ok(None),
        Ok(wanted) => Ok(MODULES.iter().find(|(_, wire)| *wire == wanted).map(|(ours, _)| *ours)),
        Err(_) => invalid("module", "is no module that this version knows"),
    }
}

/// Of a watch; without those that are UNSPECIFIED.
pub(crate) fn module_filters(values: &[i32]) -> Checked<Vec<audit::Module>> {
    if values.len() > 16 {
        return invalid("modules", "are more than 16");
    }
    values.iter().filter_map(|value| module_filter(*value).transpose()).collect()
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Read => "read",
        Action::Create => "create",
        Action::Amend => "amend",
        Action::Move => "move",
        Action::ChangeState => "change_state",
        Action::Revoke => "revoke",
        Action::Encaixe => "encaixe",
        Action::Join => "join",
        Action::HandKey => "hand_key",
        Action::Commit => "commit",
        Action::Discard => "discard",
        Action::NoteCopies => "note_copies",
        Action::Expire => "expire",
    }
}

fn object(object: Object) -> (&'static str, Bytes) {
    match object {
        Object::Cluster => ("cluster", Bytes::new()),
        Object::Node(id) => ("node", Bytes::copy_from_slice(&id.0.to_be_bytes())),
        Object::Unit(id) => ("unit", wire(id.as_bytes())),
        Object::Practitioner(id) => ("practitioner", wire(id.as_bytes())),
        Object::Room(id) => ("room", wire(id.as_bytes())),
        Object::Patient(id) => ("patient", wire(id.as_bytes())),
        Object::Appointment(id) => ("appointment", wire(id.as_bytes())),
        Object::Record(id) => ("record", wire(id.as_bytes())),
        Object::Consent(id) => ("consent", wire(id.as_bytes())),
        Object::Many => ("many", Bytes::new()),
        Object::Image(id) => ("image", wire(id.as_bytes())),
    }
}

fn role(actor: &Actor) -> &'static str {
    match actor.role {
        Role::Reception => "reception",
        Role::Clinician => "clinician",
        Role::Finance => "finance",
        Role::Manager => "manager",
        Role::Operator => "operator",
        Role::Auditor => "auditor",
        Role::Dpo => "dpo",
        Role::Integration => "integration",
        Role::Node => "node",
    }
}

fn some_wire(id: Option<&[u8; 16]>) -> Bytes {
    id.map(wire).unwrap_or_default()
}

pub(crate) fn audit_entry(entry: &AuditEntry) -> v1::AuditEntry {
    let (object_kind, object_id) = object(entry.object);
    v1::AuditEntry {
        sequence: entry.sequence,
        index: entry.index,
        at_ms: entry.at.millis(),
        actor_id: wire(entry.actor.id.as_bytes()),
        role: role(&entry.actor).to_string(),
        actor_unit_id: some_wire(entry.actor.unit.as_ref().map(UnitId::as_bytes)),
        via_node_id: entry.via.0,
        module: module(entry.module),
        action: action(entry.action).to_string(),
        object_kind: object_kind.to_string(),
        object_id,
        version: entry.version,
        patient_id: some_wire(entry.patient.as_ref().map(PatientId::as_bytes)),
        unit_id: some_wire(entry.unit.as_ref().map(UnitId::as_bytes)),
        request_id: some_wire(entry.request_id.as_ref().map(RequestId::as_bytes)),
        refusal: entry.refusal.into(),
        previous: Bytes::copy_from_slice(&entry.previous),
    }
}

pub(crate) fn change(entry: &AuditEntry) -> v1::Change {
    let (object_kind, object_id) = object(entry.object);
    v1::Change {
        index: entry.index,
        at_ms: entry.at.millis(),
        module: module(entry.module),
        action: action(entry.action).to_string(),
        object_kind: object_kind.to_string(),
        object_id,
        version: entry.version,
        unit_id: some_wire(entry.unit.as_ref().map(UnitId::as_bytes)),
        patient_id: some_wire(entry.patient.as_ref().map(PatientId::as_bytes)),
    }
}
