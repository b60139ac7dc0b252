//! Rows of the agenda: bookings, and where to find them by time.

use super::{KeyRange, PAGE_ROWS_MAX, decode, key, last_id, prefix, prefix_of, read};
use crate::agenda::LENGTH_MS_MAX;
use crate::command::{AppointmentState, Sealed, Slot};
use crate::id::*;
use crate::outcome::Resource;
use crate::time::{ClusterTime, Interval};
use crate::view::{Order, View, ViewFault};
use minicbor::{Decode, Encode};

/// A booking.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct AppointmentRow {
    /// For whom.
    #[n(0)]
    pub patient: PatientId,
    /// Where and when.
    #[n(1)]
    pub slot: Slot,
    /// The reason, if it is an *encaixe*; sealed under the unit's key.
    #[n(2)]
    pub encaixe: Option<Sealed>,
    /// Where it is in its life.
    #[n(3)]
    pub state: AppointmentState,
    /// From 1; each move and each change of state adds one.
    #[n(4)]
    pub version: u32,
    /// When it was booked.
    #[n(5)]
    pub booked_at: ClusterTime,
    /// By whom.
    #[n(6)]
    pub booked_by: ActorId,
    /// When it last changed.
    #[n(7)]
    pub changed_at: ClusterTime,
    /// By whom.
    #[n(8)]
    pub changed_by: ActorId,
    /// Service, remarks; sealed under the patient's key.
    #[n(9)]
    pub content: Sealed,
    /// Reason of the last change of state, sealed under the patient's key; `None` if none was given.
    #[n(10)]
    pub state_reason: Option<Sealed>,
}

/// Whether a booking holds its slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Occupancy {
    /// Booked, arrived or closed.
    Held,
    /// Cancelled or no-show.
    Freed,
}

impl Occupancy {
    /// What a state means for the slot.
    pub const fn of(state: AppointmentState) -> Self {
        match state {
            AppointmentState::Booked | AppointmentState::Arrived | AppointmentState::Closed => Self::Held,
            AppointmentState::Cancelled | AppointmentState::NoShow => Self::Freed,
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Freed => 1,
        }
    }
}

/// Whose agenda.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AgendaOf {
    /// All that takes place in a unit.
    Unit(UnitId),
    /// One professional's, in all units.
    Practitioner(PractitionerId),
    /// One room's.
    Room(RoomId),
    /// One patient's, in all units.
    Patient(PatientId),
}

impl AgendaOf {
    fn parts(&self) -> (u8, &[u8; 16]) {
        match self {
            Self::Unit(id) => (0, id.as_bytes()),
            Self::Practitioner(id) => (1, id.as_bytes()),
            Self::Room(id) => (2, id.as_bytes()),
            Self::Patient(id) => (3, id.as_bytes()),
        }
    }
}

impl From<Resource> for AgendaOf {
    fn from(resource: Resource) -> Self {
        match resource {
            Resource::Practitioner(id) => Self::Practitioner(id),
            Resource::Room(id) => Self::Room(id),
            Resource::Patient(id) => Self::Patient(id),
        }
    }
}

/// What an agenda's key does not say of a booking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct AgendaIndexRow {
    /// First instant after it.
    #[n(0)]
    pub end: ClusterTime,
}

/// Key of a booking's row.
pub fn appointment_key(id: AppointmentId) -> Vec<u8> {
    key(prefix::APPOINTMENT, &[id.as_bytes()])
}

/// A booking.
pub fn appointment(view: &dyn View, id: AppointmentId) -> Result<Option<AppointmentRow>, ViewFault> {
    read(view, &appointment_key(id))
}

/// Key of a booking in an agenda.
pub fn agenda_key(of: AgendaOf, occupancy: Occupancy, start: ClusterTime, id: AppointmentId) -> Vec<u8> {
    let (kind, owner) = of.parts();
    key(prefix::AGENDA, &[&[kind], owner, &[occupancy.byte()], &start.to_key(), id.as_bytes()])
}

/// Keys of all bookings in an agenda that may overlap `interval`: none is longer than [`LENGTH_MS_MAX`], so one that
/// starts earlier than that before it has ended.
pub fn agenda_range(of: AgendaOf, occupancy: Occupancy, interval: Interval) -> KeyRange {
    let nil = AppointmentId::default();
    let earliest =
        ClusterTime::saturating_from_millis(interval.start.millis().saturating_sub(LENGTH_MS_MAX).saturating_add(1));
    KeyRange { from: agenda_key(of, occupancy, earliest, nil), to: agenda_key(of, occupancy, interval.end, nil) }
}

/// One booking in an agenda.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AgendaEntry {
    /// When it starts.
    pub start: ClusterTime,
    /// Which it is.
    pub appointment: AppointmentId,
    /// When it ends.
    pub end: ClusterTime,
}

impl AgendaEntry {
    /// Reads a row of an agenda.
    ///
    /// # Errors
    /// The key or the value is not such a row's.
    pub fn from_row(key: &[u8], value: &[u8]) -> Result<Self, ViewFault> {
        let fault = || ViewFault::Row { prefix: prefix_of(key) };
        let id = last_id(key)?;
        let place = key.len().checked_sub(24).ok_or_else(fault)?;
        let start = key.get(place..).and_then(<[u8]>::first_chunk::<8>).ok_or_else(fault)?;
        let AgendaIndexRow { end } = decode(key, value)?;
        Ok(Self { start: ClusterTime::from_key(*start), appointment: AppointmentId::from_bytes(id), end })
    }
}

/// A place in an agenda: the last booking of a page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AgendaCursor {
    /// When that booking starts.
    pub start: ClusterTime,
    /// That booking.
    pub appointment: AppointmentId,
}

/// Which bookings of an agenda to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AgendaShow {
    /// Those that hold their slot.
    Held,
    /// Cancelled ones and no-shows too.
    All,
}

/// Bookings that overlap `interval`, by start and then by id, beyond `after`, at most `limit` (and [`PAGE_ROWS_MAX`]).
/// The page is the last one when it is shorter than that.
pub fn agenda(
    view: &dyn View,
    of: AgendaOf,
    interval: Interval,
    show: AgendaShow,
    after: Option<AgendaCursor>,
    limit: usize,
) -> Result<Vec<(AppointmentId, AppointmentRow)>, ViewFault> {
    let limit = limit.min(PAGE_ROWS_MAX);
    let mut entries = agenda_entries(view, of, Occupancy::Held, interval, after, limit)?;
    if show == AgendaShow::All {
        entries.extend(agenda_entries(view, of, Occupancy::Freed, interval, after, limit)?);
        entries.sort_unstable();
        entries.truncate(limit);
    }
    entries
        .into_iter()
        .map(|entry| {
            let row = appointment(view, entry.appointment)?.ok_or(ViewFault::Row { prefix: prefix::AGENDA })?;
            Ok((entry.appointment, row))
        })
        .collect()
}

/// As [`agenda`], of one occupancy, without the bookings' rows.
pub fn agenda_entries(
    view: &dyn View,
    of: AgendaOf,
    occupancy: Occupancy,
    interval: Interval,
    after: Option<AgendaCursor>,
    limit: usize,
) -> Result<Vec<AgendaEntry>, ViewFault> {
    let limit = limit.min(PAGE_ROWS_MAX);
    let mut range = agenda_range(of, occupancy, interval);
    if let Some(AgendaCursor { start, appointment }) = after {
        range = range.after(&agenda_key(of, occupancy, start, appointment));
    }
    let mut entries = Vec::new();
    // Bookings that end before the interval are skipped, so a page may take several scans.
    while entries.len() < limit {
        let found = view.range(&range.from, &range.to, Order::Ascending, PAGE_ROWS_MAX.min(limit.max(64)))?;
        let Some((last, _)) = found.last() else { break };
        let next = range.clone().after(last);
        for (key, value) in &found {
            let entry = AgendaEntry::from_row(key, value)?;
            if entry.end > interval.start && entries.len() < limit {
                entries.push(entry);
            }
        }
        range = next;
    }
    Ok(entries)
}
