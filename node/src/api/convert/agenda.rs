//! Bookings, and whose agenda is asked for.

use super::*;

pub(crate) fn agenda_cursor(token: &[u8]) -> Checked<Option<AgendaCursor>> {
    Ok(place(token)?.map(|(start, id)| AgendaCursor { start, appointment: AppointmentId::from_bytes(id) }))
}

pub(crate) fn agenda_token(item: &(AppointmentId, rows::AppointmentRow)) -> Bytes {
    place_token(item.1.slot.interval.start, item.0.as_bytes())
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
