//! Bookings: the overlap rule and the life cycle. Nothing here looks at clocks: a booking in the past is a caller's
//! affair.
//!
//! ```text
//! booked ─► arrived ─► closed        closed, cancelled and no-show are final
//!    │         │
//!    └────┬────┘
//!         ├─► cancelled              booked, arrived, closed hold the slot;
//!         └─► no-show                cancelled and no-show free it
//! ```
//! Of a professional, a room and a patient no two held bookings share an instant, in whichever units. An *encaixe* may
//! share its professional's and its room's time, never its patient's; it holds the slot like any booking, so what
//! overlaps it later must be an encaixe too.

use crate::case::{Case, Done, Ruling, Stop};
use crate::command::{AppointmentState, Overlap, Sealed, Slot};
use crate::id::*;
use crate::outcome::{Rejection, Resource, What};
use crate::rows::{self, AgendaIndexRow, AgendaOf, AppointmentRow, Occupancy};
use crate::time::Interval;
use crate::view::{Changes, Order, View, ViewFault};

/// The longest appointment: 24 hours, in milliseconds. It bounds the search for overlaps to one range of rows.
pub const LENGTH_MS_MAX: i64 = 24 * 60 * 60 * 1000;

/// Rows of one step of that search: more than a day of a busy professional.
const SCAN_ROWS: usize = 64;

/// Whether one state may follow another.
pub const fn is_step(from: AppointmentState, to: AppointmentState) -> bool {
    use AppointmentState::{Arrived, Booked, Cancelled, Closed, NoShow};
    matches!((from, to), (Booked, Arrived) | (Arrived, Closed) | (Booked | Arrived, Cancelled | NoShow))
}

/// The earliest held booking of a resource that overlaps an interval, other than `except`. Of two that start together,
/// that with the smaller id.
pub fn first_overlap(
    view: &dyn View,
    resource: Resource,
    interval: Interval,
    except: Option<AppointmentId>,
) -> Result<Option<AppointmentId>, ViewFault> {
    let mut range = rows::agenda_range(resource.into(), Occupancy::Held, interval);
    loop {
        let found = view.range(&range.from, &range.to, Order::Ascending, SCAN_ROWS)?;
        for (key, value) in &found {
            let entry = rows::AgendaEntry::from_row(key, value)?;
            if entry.end > interval.start && Some(entry.appointment) != except {
                return Ok(Some(entry.appointment));
            }
        }
        match found.last() {
            Some((last, _)) if found.len() == SCAN_ROWS => range = range.after(last),
            _ => return Ok(None),
        }
    }
}

fn check_interval(interval: Interval) -> Result<(), Rejection> {
    if !interval.start.is_valid() || !interval.end.is_valid() {
        Err(Rejection::TimeOutOfRange)
    } else if interval.end <= interval.start {
        Err(Rejection::EmptyInterval)
    } else if interval.length_ms() > LENGTH_MS_MAX {
        Err(Rejection::IntervalTooLong)
    } else {
        Ok(())
    }
}

fn check_overlap(overlap: &Overlap) -> Result<(), Rejection> {
    match overlap {
        Overlap::Refuse => Ok(()),
        Overlap::Encaixe { reason } if reason.0.is_empty() => Err(Rejection::ReasonMissing),
        Overlap::Encaixe { reason } if reason.0.len() > crate::bounds::CONTENT_BYTES_MAX => {
            Err(Rejection::Invalid { field: crate::outcome::Field::Content })
        }
        Overlap::Encaixe { .. } => Ok(()),
    }
}

fn check_places(view: &dyn View, slot: &Slot) -> Result<(), Stop> {
    if rows::unit(view, slot.unit)?.is_none() {
        return Err(Rejection::Unknown { what: What::Unit }.into());
    }
    if rows::practitioner(view, slot.practitioner)?.is_none() {
        return Err(Rejection::Unknown { what: What::Practitioner }.into());
    }
    match rows::room(view, slot.room)? {
        None => Err(Rejection::Unknown { what: What::Room }.into()),
        Some(room) if room.unit != slot.unit => Err(Rejection::WrongUnit.into()),
        Some(_) => Ok(()),
    }
}

/// The professional is asked first, then the room, then the patient, so that every replica names the same holder.
fn check_vacancy(
    view: &dyn View,
    slot: &Slot,
    patient: PatientId,
    overlap: &Overlap,
    except: Option<AppointmentId>,
) -> Result<(), Stop> {
    let patient = Resource::Patient(patient);
    let all = [Resource::Practitioner(slot.practitioner), Resource::Room(slot.room), patient];
    let held: &[Resource] = match overlap {
        Overlap::Refuse => &all,
        Overlap::Encaixe { .. } => &[patient],
    };
    for &resource in held {
        if let Some(holder) = first_overlap(view, resource, slot.interval, except)? {
            return Err(Rejection::SlotTaken { resource, holder }.into());
        }
    }
    Ok(())
}

fn encaixe_reason(overlap: &Overlap) -> Option<&Sealed> {
    match overlap {
        Overlap::Refuse => None,
        Overlap::Encaixe { reason } => Some(reason),
    }
}

/// The keys of a booking in the four agendas that show it.
fn index_keys(id: AppointmentId, row: &AppointmentRow) -> [Vec<u8>; 4] {
    let Slot { unit, practitioner, room, interval } = row.slot;
    let occupancy = Occupancy::of(row.state);
    [AgendaOf::Unit(unit), AgendaOf::Practitioner(practitioner), AgendaOf::Room(room), AgendaOf::Patient(row.patient)]
        .map(|of| rows::agenda_key(of, occupancy, interval.start, id))
}

fn write(changes: &mut Changes, id: AppointmentId, before: Option<&AppointmentRow>, after: &AppointmentRow) {
    let place = |row: &AppointmentRow| (row.slot, Occupancy::of(row.state));
    if before.map(place) != Some(place(after)) {
        for key in before.map(|row| index_keys(id, row)).into_iter().flatten() {
            rows::delete(changes, key);
        }
        for key in index_keys(id, after) {
            rows::put(changes, key, &AgendaIndexRow { end: after.slot.interval.end });
        }
    }
    rows::put(changes, rows::appointment_key(id), after);
}

/// A new booking. The same one again (patient, slot, kind) changes nothing while it holds its slot; contents are sealed
/// anew each time, so they never compare.
pub(crate) fn book(
    case: &Case<'_>,
    id: AppointmentId,
    patient: PatientId,
    slot: &Slot,
    overlap: &Overlap,
    content: &Sealed,
) -> Ruling {
    check_interval(slot.interval)?;
    check_overlap(overlap)?;
    if let Some(row) = rows::appointment(case.view, id)? {
        let same = row.patient == patient
            && row.slot == *slot
            && row.encaixe.is_some() == encaixe_reason(overlap).is_some()
            && Occupancy::of(row.state) == Occupancy::Held;
        let exists = Rejection::Exists { what: What::Appointment };
        return if same { Ok(Done::unchanged(row.version)) } else { Err(exists.into()) };
    }
    check_places(case.view, slot)?;
    if rows::patient(case.view, patient)?.is_none() {
        return Err(Rejection::Unknown { what: What::Patient }.into());
    }
    check_vacancy(case.view, slot, patient, overlap, None)?;
    let row = AppointmentRow {
        patient,
        slot: *slot,
        encaixe: encaixe_reason(overlap).cloned(),
        state: AppointmentState::Booked,
        version: 1,
        booked_at: case.at,
        booked_by: case.actor.id,
        changed_at: case.at,
        changed_by: case.actor.id,
        content: content.clone(),
        state_reason: None,
    };
    let mut changes = Changes::new();
    write(&mut changes, id, None, &row);
    Ok(Done::changed(row.version, changes))
}

fn seen(view: &dyn View, id: AppointmentId, seen_version: u32) -> Result<AppointmentRow, Stop> {
    let row = rows::appointment(view, id)?.ok_or(Rejection::Unknown { what: What::Appointment })?;
    if row.version == seen_version { Ok(row) } else { Err(Rejection::StaleVersion { current: row.version }.into()) }
}

/// Another place or time for a booking that is not over. Its own former slot never stands in its way.
pub(crate) fn move_to(case: &Case<'_>, id: AppointmentId, seen_version: u32, slot: &Slot, overlap: &Overlap) -> Ruling {
    check_interval(slot.interval)?;
    check_overlap(overlap)?;
    let before = seen(case.view, id, seen_version)?;
    if !matches!(before.state, AppointmentState::Booked | AppointmentState::Arrived) {
        return Err(Rejection::NotAStep { from: before.state, to: AppointmentState::Booked }.into());
    }
    if before.slot == *slot && before.encaixe.is_some() == encaixe_reason(overlap).is_some() {
        return Ok(Done::unchanged(before.version));
    }
    check_places(case.view, slot)?;
    check_vacancy(case.view, slot, before.patient, overlap, Some(id))?;
    let after = AppointmentRow {
        slot: *slot,
        encaixe: encaixe_reason(overlap).cloned(),
        version: before.version.saturating_add(1),
        changed_at: case.at,
        changed_by: case.actor.id,
        ..before.clone()
    };
    let mut changes = Changes::new();
    write(&mut changes, id, Some(&before), &after);
    Ok(Done::changed(after.version, changes))
}

/// The next state of a booking.
pub(crate) fn change_state(
    case: &Case<'_>,
    id: AppointmentId,
    seen_version: u32,
    state: AppointmentState,
    reason: &Sealed,
) -> Ruling {
    let before = seen(case.view, id, seen_version)?;
    if before.state == state {
        return Ok(Done::unchanged(before.version));
    }
    if !is_step(before.state, state) {
        return Err(Rejection::NotAStep { from: before.state, to: state }.into());
    }
    let after = AppointmentRow {
        state,
        state_reason: (!reason.0.is_empty()).then(|| reason.clone()),
        version: before.version.saturating_add(1),
        changed_at: case.at,
        changed_by: case.actor.id,
        ..before.clone()
    };
    let mut changes = Changes::new();
    write(&mut changes, id, Some(&before), &after);
    Ok(Done::changed(after.version, changes))
}
