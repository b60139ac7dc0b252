//! Rows of the agenda: bookings, and where to find them by time.

use super::{KeyRange, PAGE_ROWS_MAX, key, prefix, prefix_of, read};
use crate::agenda::LENGTH_MS_MAX;
use crate::command::{AppointmentState, Sealed, Slot};
use crate::id::*;
use crate::outcome::Resource;
use crate::planted::{Bug, planted};
use crate::time::{ClusterTime, Interval};
use crate::view::{Order, View, ViewFault};
use minicbor::{Decode, Encode};

/// Rows of one step of a search: more than a day of a busy professional.
const SCAN_ROWS: usize = 64;

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
    pub fn of(state: AppointmentState) -> Self {
        match state {
            AppointmentState::Cancelled if planted(Bug::CancelledHolds) => Self::Held,
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

/// How long a booking may be: part of an agenda's key, so that a search for overlaps passes over few rows that have
/// ended. Nearly all bookings are short; without classes each search would read a whole day of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LengthClass {
    /// At most an hour.
    Hour,
    /// At most four hours.
    FourHours,
    /// At most [`LENGTH_MS_MAX`].
    Day,
}

impl LengthClass {
    /// All of them, from short to long.
    pub const ALL: [Self; 3] = [Self::Hour, Self::FourHours, Self::Day];

    /// That of a booking.
    pub const fn of(interval: Interval) -> Self {
        let length = interval.length_ms();
        if length <= Self::Hour.length_ms_max() {
            Self::Hour
        } else if length <= Self::FourHours.length_ms_max() {
            Self::FourHours
        } else {
            Self::Day
        }
    }

    /// The longest booking of the class, in milliseconds.
    pub const fn length_ms_max(self) -> i64 {
        match self {
            Self::Hour => 60 * 60 * 1000,
            Self::FourHours => 4 * 60 * 60 * 1000,
            Self::Day => LENGTH_MS_MAX,
        }
    }

    /// Whether bookings of the class are counted ([`long_bookings`]): there are few, and most searches need not look.
    pub const fn is_long(self) -> bool {
        !matches!(self, Self::Hour)
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Hour => 0,
            Self::FourHours => 1,
            Self::Day => 2,
        }
    }
}

/// Key of a booking's row.
pub fn appointment_key(id: AppointmentId) -> Vec<u8> {
    key(prefix::APPOINTMENT, &[id.as_bytes()])
}

/// A booking.
pub fn appointment(view: &dyn View, id: AppointmentId) -> Result<Option<AppointmentRow>, ViewFault> {
    read(view, &appointment_key(id))
}

/// First part of the keys of an agenda's bookings of one occupancy and length class.
fn agenda_prefix(of: AgendaOf, occupancy: Occupancy, class: LengthClass) -> Vec<u8> {
    let (kind, owner) = of.parts();
    key(prefix::AGENDA, &[&[kind], owner, &[occupancy.byte(), class.byte()]])
}

/// Key of a booking in an agenda; says everything about it that a search for overlaps asks.
pub fn agenda_key(of: AgendaOf, occupancy: Occupancy, interval: Interval, id: AppointmentId) -> Vec<u8> {
    let mut key = agenda_prefix(of, occupancy, LengthClass::of(interval));
    key.extend_from_slice(&interval.start.to_key());
    key.extend_from_slice(id.as_bytes());
    key.extend_from_slice(&interval.end.to_key());
    key
}

/// Key of the number of held bookings of a long class in an agenda.
pub fn long_bookings_key(of: AgendaOf, class: LengthClass) -> Vec<u8> {
    let (kind, owner) = of.parts();
    key(prefix::LONG_BOOKINGS, &[&[kind], owner, &[class.byte()]])
}

/// How many held bookings of a long class are in an agenda. The row is asked for at each search, so it is read from
/// memory, where a range would cost the engine as much as many rows.
pub fn long_bookings(view: &dyn View, of: AgendaOf, class: LengthClass) -> Result<u64, ViewFault> {
    Ok(read(view, &long_bookings_key(of, class))?.unwrap_or(0))
}

/// Keys of all bookings in an agenda and a length class that may overlap `interval`: one that starts earlier than the
/// length of its class before it has ended.
pub fn agenda_range(of: AgendaOf, occupancy: Occupancy, class: LengthClass, interval: Interval) -> KeyRange {
    let start = interval.start.millis().saturating_sub(class.length_ms_max()).saturating_add(1);
    let bound = |at: ClusterTime| [agenda_prefix(of, occupancy, class), at.to_key().to_vec()].concat();
    KeyRange { from: bound(ClusterTime::saturating_from_millis(start)), to: bound(interval.end) }
}

/// Prefix, whose agenda, occupancy, length class, start, booking, end.
const AGENDA_KEY_BYTES: usize = 1 + 17 + 1 + 1 + 8 + 16 + 8;

/// First bytes of such a key that bookings near each other share: up to the start's fifth byte, some four and a half hours.
const WINDOW_BYTES: usize = 1 + 17 + 1 + 1 + 5;

/// How many first bytes of a key name the window of marks that a search for neighbours comes back to again and again, so
/// that a store may keep it at hand; `None` for rows that are not searched so. Keys with the same first bytes of that
/// number are in one window, and every row in a window is a mark.
pub fn window_bytes(key: &[u8]) -> Option<usize> {
    (prefix_of(key) == prefix::AGENDA && key.len() >= WINDOW_BYTES).then_some(WINDOW_BYTES)
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
    /// Reads the key of a row of an agenda.
    ///
    /// # Errors
    /// It is not such a row's.
    pub fn from_key(key: &[u8]) -> Result<Self, ViewFault> {
        let fault = || ViewFault::Row { prefix: prefix_of(key) };
        if key.len() != AGENDA_KEY_BYTES {
            return Err(fault());
        }
        let (key, end) = key.split_last_chunk::<8>().ok_or_else(fault)?;
        let (key, id) = key.split_last_chunk::<16>().ok_or_else(fault)?;
        let start = key.last_chunk::<8>().ok_or_else(fault)?;
        let (start, end) = (ClusterTime::from_key(*start), ClusterTime::from_key(*end));
        Ok(Self { start, appointment: AppointmentId::from_bytes(*id), end })
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
    let mut entries = Vec::new();
    // The first of each class are more than enough for the first of all.
    for class in LengthClass::ALL {
        if occupancy == Occupancy::Held && class.is_long() && long_bookings(view, of, class)? == 0 {
            continue;
        }
        let mut range = agenda_range(of, occupancy, class, interval);
        if let Some(AgendaCursor { start, appointment }) = after {
            let last = [&agenda_prefix(of, occupancy, class), &start.to_key()[..], appointment.as_bytes()].concat();
            range = range.after_all_with(&last);
        }
        entries.extend(overlapping(view, range, interval, limit)?);
    }
    entries.sort_unstable();
    entries.truncate(limit);
    Ok(entries)
}

/// The first `limit` bookings of a range that end inside the interval or after it.
fn overlapping(
    view: &dyn View,
    mut range: KeyRange,
    interval: Interval,
    limit: usize,
) -> Result<Vec<AgendaEntry>, ViewFault> {
    let mut entries = Vec::new();
    // Bookings that end before the interval are skipped, so a page may take several scans.
    while entries.len() < limit {
        let scan = PAGE_ROWS_MAX.min(limit.max(SCAN_ROWS));
        let found = view.range(&range.from, &range.to, Order::Ascending, scan)?;
        for (key, _) in &found {
            let entry = AgendaEntry::from_key(key)?;
            if entry.end > interval.start && entries.len() < limit {
                entries.push(entry);
            }
        }
        match found.last() {
            Some((last, _)) if found.len() == scan => range = range.after(last),
            _ => break,
        }
    }
    Ok(entries)
}
