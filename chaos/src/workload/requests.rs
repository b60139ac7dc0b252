//! Calls of the public plane, as operations and outcomes of a history.

use super::clinic::NEEDLE;
use crate::history::{AsOf, Booking, Operation, Outcome, Slot, Stage};
use bytes::Bytes;
use futures_util::TryStreamExt;
use plantao_client::services::{LINEARIZABLE, LOCAL, Written};
use plantao_client::{Cluster, Error, Id};
use plantao_proto::public::v1;
use std::collections::BTreeMap;

/// The number in a document stands behind this.
const MARK: &str = "caos-";

/// Sends a write and waits for its end, until the life in its header is over.
pub(crate) async fn write(cluster: &Cluster, operation: &Operation, header: &v1::RequestHeader) -> Outcome {
    match Box::pin(send(cluster, operation, Some(header.clone()))).await {
        Some(Ok(Written { version, changed, index, conflict: None, .. })) => {
            Outcome::Confirmed { version, changed, index }
        }
        Some(Err(Error::Refused(refusal))) => Outcome::Refused {
            code: refusal.code,
            current_version: refusal.current_version,
            holder: refusal.held.map(|held| held.holder),
            index: refusal.index,
        },
        Some(Err(Error::Unavailable(answer))) => Outcome::NotDone { code: answer.code },
        // A node whose clock is years ahead takes every certificate for expired, and does nothing.
        Some(Err(Error::Denied(answer))) if answer.code.is_none() => Outcome::NotDone { code: None },
        Some(Err(Error::Invalid(answer) | Error::Denied(answer) | Error::NotFound(answer))) => {
            Outcome::Unfit { code: answer.code }
        }
        // An answer that cannot be read says nothing of what was done.
        Some(Err(Error::Unknown { .. } | Error::Protocol(_))) => Outcome::Unknown,
        Some(Err(Error::Randomness(_)) | Ok(_)) | None => Outcome::Unfit { code: None },
    }
}

/// `None` for what is no write.
async fn send(
    cluster: &Cluster,
    operation: &Operation,
    header: Option<v1::RequestHeader>,
) -> Option<Result<Written, Error>> {
    let name = || NEEDLE.to_owned();
    Some(match operation {
        Operation::RegisterUnit { unit, slug } => {
            let unit = v1::Unit { id: unit.to_wire(), slug: slug.clone(), name: name(), document: Bytes::new() };
            cluster.register_unit(v1::RegisterUnitRequest { header, unit: Some(unit) }).await
        }
        Operation::RegisterPractitioner { practitioner, unit } => {
            let practitioner = v1::Practitioner {
                id: practitioner.to_wire(),
                unit_id: unit.to_wire(),
                name: name(),
                ..v1::Practitioner::default()
            };
            let request = v1::RegisterPractitionerRequest { header, practitioner: Some(practitioner) };
            cluster.register_practitioner(request).await
        }
        Operation::RegisterRoom { room, unit } => {
            let room = v1::Room { id: room.to_wire(), unit_id: unit.to_wire(), name: name(), ..v1::Room::default() };
            cluster.register_room(v1::RegisterRoomRequest { header, room: Some(room) }).await
        }
        Operation::RegisterPatient { patient, unit } => {
            let demographics = v1::Demographics { name: name(), ..v1::Demographics::default() };
            let request = v1::RegisterPatientRequest {
                header,
                patient_id: patient.to_wire(),
                unit_id: unit.to_wire(),
                demographics: Some(demographics),
            };
            cluster.register_patient(request).await
        }
        Operation::AddRecord { record, patient, unit, value } => {
            let request = v1::AddRecordRequest {
                header,
                record_id: record.to_wire(),
                patient_id: patient.to_wire(),
                unit_id: unit.to_wire(),
                kind: "Observation".to_owned(),
                authored_ms: 0,
                document: document(*value),
            };
            cluster.add_record(request).await
        }
        Operation::AmendRecord { record, seen, value } => {
            let request = v1::AmendRecordRequest {
                header,
                record_id: record.to_wire(),
                seen_version: *seen,
                reason: name(),
                document: document(*value),
            };
            cluster.amend_record(request).await
        }
        Operation::Book { appointment, patient, slot } => {
            let request = v1::BookRequest {
                header,
                appointment_id: appointment.to_wire(),
                patient_id: patient.to_wire(),
                slot: Some(slot_to_wire(slot)),
                encaixe_reason: String::new(),
                document: Bytes::from(name()),
            };
            cluster.book(request).await
        }
        Operation::Move { appointment, seen, slot } => {
            let request = v1::MoveAppointmentRequest {
                header,
                appointment_id: appointment.to_wire(),
                seen_version: *seen,
                slot: Some(slot_to_wire(slot)),
                encaixe_reason: String::new(),
            };
            cluster.move_appointment(request).await
        }
        Operation::Change { appointment, seen, to } => {
            let state = match to {
                Stage::Booked => v1::AppointmentState::Booked,
                Stage::Arrived => v1::AppointmentState::Arrived,
                Stage::Closed => v1::AppointmentState::Closed,
                Stage::Cancelled => v1::AppointmentState::Cancelled,
                Stage::NoShow => v1::AppointmentState::NoShow,
            };
            let request = v1::ChangeAppointmentStateRequest {
                header,
                appointment_id: appointment.to_wire(),
                seen_version: *seen,
                state: state.into(),
                reason: String::new(),
            };
            cluster.change_appointment_state(request).await
        }
        Operation::ReadRecord { .. } | Operation::ListAgenda { .. } => return None,
    })
}

/// Reads.
pub(super) async fn read(cluster: &Cluster, operation: &Operation) -> Outcome {
    let how = if operation.is_local() { LOCAL } else { LINEARIZABLE };
    let answered = match operation {
        Operation::ReadRecord { record, .. } => {
            let request = v1::GetRecordRequest { read: Some(how), record_id: record.to_wire(), version: 0 };
            cluster.get_record(request).await.map(|response| {
                let version = response.head.map_or(0, |head| head.version);
                Some(Outcome::Record { version, value: number(&response.document), as_of: as_of(response.as_of)? })
            })
        }
        Operation::ListAgenda { unit, from_ms, to_ms, .. } => {
            let request = v1::ListAppointmentsRequest {
                read: Some(how),
                of: Some(v1::list_appointments_request::Of::UnitId(unit.to_wire())),
                from_ms: *from_ms,
                to_ms: *to_ms,
                page: Some(v1::Page { size: 500, token: Bytes::new() }),
            };
            cluster.list_appointments(request).await.map(|response| {
                // A day has fewer than a page; two pages would be of two moments.
                let bookings = response.appointments.iter().map(booking).collect::<Option<Vec<_>>>();
                let mut bookings = bookings.filter(|_| response.next_page_token.is_empty())?;
                bookings.sort_unstable();
                Some(Outcome::Agenda { bookings, as_of: as_of(response.as_of)? })
            })
        }
        _ => return Outcome::Unfit { code: None },
    };
    match answered {
        Ok(Some(outcome)) => outcome,
        Err(Error::NotFound(_)) => Outcome::Absent,
        Err(Error::Unavailable(answer)) => Outcome::NotDone { code: answer.code },
        Err(Error::Denied(answer)) if answer.code.is_none() => Outcome::NotDone { code: None },
        Err(error) => Outcome::Unfit { code: error.code() },
        Ok(None) => Outcome::Unfit { code: None },
    }
}

/// Every booking of a unit between two instants, page by page: for a network that is at rest.
pub(crate) async fn agenda_of(
    cluster: &Cluster,
    unit: Id,
    (from_ms, to_ms): (i64, i64),
) -> Result<BTreeMap<Id, Booking>, Error> {
    let request = v1::ListAppointmentsRequest {
        read: Some(LINEARIZABLE),
        of: Some(v1::list_appointments_request::Of::UnitId(unit.to_wire())),
        from_ms,
        to_ms,
        page: None,
    };
    let all: Vec<v1::Appointment> = cluster.appointments(request).try_collect().await?;
    let bookings = all.iter().map(|it| booking(it).map(|booking| (booking.id, booking)));
    bookings.collect::<Option<_>>().ok_or(Error::Protocol("a booking without a slot"))
}

/// Version and number of a record; `None` when there is none.
pub(crate) async fn record_of(cluster: &Cluster, record: Id) -> Result<Option<(u32, Option<u64>)>, Error> {
    let request = v1::GetRecordRequest { read: Some(LINEARIZABLE), record_id: record.to_wire(), version: 0 };
    match cluster.get_record(request).await {
        Ok(response) => Ok(response.head.map(|head| (head.version, number(&response.document)))),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn as_of(told: Option<v1::AsOf>) -> Option<AsOf> {
    told.map(|as_of| AsOf { index: as_of.index, node: as_of.node_id })
}

fn slot_to_wire(slot: &Slot) -> v1::Slot {
    v1::Slot {
        unit_id: slot.unit.to_wire(),
        practitioner_id: slot.practitioner.to_wire(),
        room_id: slot.room.to_wire(),
        start_ms: slot.start_ms,
        end_ms: slot.end_ms,
    }
}

fn booking(told: &v1::Appointment) -> Option<Booking> {
    let id = |bytes: &Bytes| Id::from_wire(bytes).ok();
    let slot = told.slot.as_ref()?;
    let slot = Slot {
        unit: id(&slot.unit_id)?,
        practitioner: id(&slot.practitioner_id)?,
        room: id(&slot.room_id)?,
        start_ms: slot.start_ms,
        end_ms: slot.end_ms,
    };
    let stage = match told.state() {
        v1::AppointmentState::Booked => Stage::Booked,
        v1::AppointmentState::Arrived => Stage::Arrived,
        v1::AppointmentState::Closed => Stage::Closed,
        v1::AppointmentState::Cancelled => Stage::Cancelled,
        v1::AppointmentState::NoShow => Stage::NoShow,
        v1::AppointmentState::Unspecified => return None,
    };
    Some(Booking { id: id(&told.id)?, patient: id(&told.patient_id)?, slot, stage, version: told.version })
}

fn document(value: u64) -> Bytes {
    Bytes::from(format!(
        "{{\"resourceType\":\"Observation\",\"id\":\"{MARK}{value:016x}\",\"note\":\"{NEEDLE} {}\"}}",
        "sem intercorrências; ".repeat(6)
    ))
}

fn number(document: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(document).ok()?;
    let digits = text.split_once(MARK)?.1.get(..16)?;
    let value = u64::from_str_radix(digits, 16).ok()?;
    (*document == *self::document(value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_tells_its_number_and_one_with_a_changed_byte_none() {
        for value in [0, 7, u64::MAX] {
            let bytes = document(value);
            assert_eq!(number(&bytes), Some(value));
            for at in 0..bytes.len() {
                let mut other = bytes.to_vec();
                other[at] ^= 1;
                assert_ne!(number(&other), Some(value), "{at}");
            }
        }
        assert_eq!(number(b""), None);
    }
}
