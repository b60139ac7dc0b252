//! Between the wire and the domain: the only place of the public services that names both. Here is what every call has (ids, times, pages,
//! refusals, what became of a write); what each service says of its own is in the file of its name.

mod again;
mod agenda;
mod consents;
mod directory;
mod patients;
mod records;
mod trail;

pub(crate) use again::*;
pub(crate) use agenda::*;
pub(crate) use consents::*;
pub(crate) use directory::*;
pub(crate) use patients::*;
pub(crate) use records::*;
pub(crate) use trail::*;

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
        // Another node can do it, or knows better: clients ask each one once.
        Error::Sealed | Error::NoRoom { .. } => Code::FailedPrecondition,
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

pub(crate) fn interval(from_ms: i64, to_ms: i64) -> Checked<Interval> {
    let interval = Interval { start: time("from_ms", from_ms)?, end: time("to_ms", to_ms)? };
    if interval.start < interval.end { Ok(interval) } else { invalid("to_ms", "is not after from_ms") }
}

pub(crate) fn order(newest_first: bool) -> Order {
    if newest_first { Order::Descending } else { Order::Ascending }
}
