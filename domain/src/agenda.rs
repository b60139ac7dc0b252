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
use crate::planted::{Bug, planted};
use crate::rows::{self, AgendaOf, AppointmentRow, LengthClass, Occupancy};
use crate::time::{ClusterTime, Interval};
use crate::view::{Changes, View, ViewFault};
use std::collections::BTreeSet;

/// The longest appointment: 24 hours, in milliseconds. It bounds the search for overlaps.
pub const LENGTH_MS_MAX: i64 = 24 * 60 * 60 * 1000;

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
    let interval = match planted(Bug::ClosedInterval) {
        true => Interval { end: ClusterTime::saturating_from_millis(interval.end.millis() + 1), ..interval },
        false => interval,
    };
    // `except` may be the first of them.
    let first = rows::agenda_entries(view, resource.into(), Occupancy::Held, interval, None, 2)?;
    Ok(first.iter().map(|entry| entry.appointment).find(|id| Some(*id) != except))
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
        let is_spared = match resource {
            Resource::Room(_) => planted(Bug::OverlapRoom),
            Resource::Practitioner(_) => planted(Bug::OverlapProfessional),
            Resource::Patient(_) => planted(Bug::OverlapPatient),
        };
        if is_spared {
            continue;
        }
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

/// The four agendas that show a booking.
fn agendas(row: &AppointmentRow) -> [AgendaOf; 4] {
    let Slot { unit, practitioner, room, .. } = row.slot;
    [AgendaOf::Unit(unit), AgendaOf::Practitioner(practitioner), AgendaOf::Room(room), AgendaOf::Patient(row.patient)]
}

fn index_keys(id: AppointmentId, row: &AppointmentRow) -> [Vec<u8>; 4] {
    agendas(row).map(|of| rows::agenda_key(of, Occupancy::of(row.state), row.slot.interval, id))
}

/// Where a booking counts as a long one.
fn counted(row: &AppointmentRow) -> BTreeSet<(AgendaOf, LengthClass)> {
    let class = LengthClass::of(row.slot.interval);
    let counts = class.is_long() && Occupancy::of(row.state) == Occupancy::Held;
    agendas(row).into_iter().filter(|_| counts).map(|of| (of, class)).collect()
}

/// Keeps the numbers of long bookings that a search relies on.
fn count_long(
    view: &dyn View,
    changes: &mut Changes,
    before: Option<&AppointmentRow>,
    after: &AppointmentRow,
) -> Result<(), ViewFault> {
    let (old, new) = (before.map(counted).unwrap_or_default(), counted(after));
    for &(of, class) in old.symmetric_difference(&new) {
        let held = rows::long_bookings(view, of, class)?;
        let held = if new.contains(&(of, class)) { held.saturating_add(1) } else { held.saturating_sub(1) };
        match held {
            0 => rows::delete(changes, rows::long_bookings_key(of, class)),
            held => rows::put(changes, rows::long_bookings_key(of, class), &held),
        }
    }
    Ok(())
}

fn write(
    view: &dyn View,
    id: AppointmentId,
    before: Option<&AppointmentRow>,
    after: &AppointmentRow,
) -> Result<Changes, ViewFault> {
    let mut changes = Changes::new();
    let place = |row: &AppointmentRow| (row.slot, Occupancy::of(row.state));
    if before.map(place) != Some(place(after)) {
        let before = before.filter(|_| !planted(Bug::MoveKeepsOldSlot));
        for key in before.map(|row| index_keys(id, row)).into_iter().flatten() {
            rows::delete(&mut changes, key);
        }
        for key in index_keys(id, after) {
            rows::mark(&mut changes, key);
        }
        count_long(view, &mut changes, before, after)?;
    }
    rows::put(&mut changes, rows::appointment_key(id), after);
    Ok(changes)
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
    Ok(Done::changed(row.version, write(case.view, id, None, &row)?))
}

fn seen(view: &dyn View, id: AppointmentId, seen_version: u32) -> Result<AppointmentRow, Stop> {
    let row = rows::appointment(view, id)?.ok_or(Rejection::Unknown { what: What::Appointment })?;
    if row.version == seen_version || planted(Bug::StaleBooking) {
        Ok(row)
    } else {
        Err(Rejection::StaleVersion { current: row.version }.into())
    }
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
    Ok(Done::changed(after.version, write(case.view, id, Some(&before), &after)?))
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
    Ok(Done::changed(after.version, write(case.view, id, Some(&before), &after)?))
}
