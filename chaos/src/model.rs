//! What records and agendas are, as plainly as it can be said: for the search of an order of calls, which knows no log. It is
//! written anew and not from `plantao_domain`, so that a mistake there shows as a difference here.

use crate::checks::linear::Specification;
use crate::history::{Booking, Operation, Outcome, Slot, Stage};
use plantao_client::Id;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Numbers of refusals, as `docs/errors.md` lists them.
pub(crate) mod refusal {
    pub(crate) const EXPIRED: u32 = 1101;
    pub(crate) const REQUEST_ID_REUSED: u32 = 1102;
    pub(crate) const LIFETIME_TOO_LONG: u32 = 1103;
    pub(crate) const UNKNOWN: u32 = 1201;
    pub(crate) const EXISTS: u32 = 1202;
    pub(crate) const STALE_VERSION: u32 = 1203;
    pub(crate) const SLOT_TAKEN: u32 = 1204;
    pub(crate) const NOT_A_STEP: u32 = 1209;
}

/// Refusals of the request itself, which any state gives.
pub(crate) const fn is_about_the_request(code: u32) -> bool {
    matches!(code, refusal::EXPIRED | refusal::REQUEST_ID_REUSED | refusal::LIFETIME_TOO_LONG)
}

/// What a write comes to in a state: the state after it, or the number of the refusal.
enum Decision<S> {
    Done { version: u32, changed: bool, after: S },
    No(u32),
}

/// Whether what was told is what was decided; unknown is everything.
fn agrees<S>(decision: Decision<S>, before: &S, told: &Outcome) -> Option<S>
where
    S: Clone,
{
    match (decision, told) {
        (Decision::Done { after, .. }, Outcome::Unknown) => Some(after),
        (Decision::No(_), Outcome::Unknown) => Some(before.clone()),
        (Decision::Done { version, changed, after }, Outcome::Confirmed { version: told, changed: also, .. }) => {
            (version == *told && changed == *also).then_some(after)
        }
        (_, Outcome::Refused { code, .. }) if is_about_the_request(*code) => Some(before.clone()),
        (Decision::No(decided), Outcome::Refused { code, .. }) => (decided == *code).then(|| before.clone()),
        // Certainly not done.
        (_, Outcome::NotDone { .. }) => Some(before.clone()),
        _ => None,
    }
}

/// One record: its version and the number in its document; `None` until it is there.
pub(crate) struct OneRecord;

impl Specification for OneRecord {
    type State = Option<(u32, u64)>;
    type Action = (Operation, Outcome);

    fn initial(&self) -> Self::State {
        None
    }

    fn step(&self, state: &Self::State, (operation, told): &(Operation, Outcome)) -> Option<Self::State> {
        let decision = match (operation, state) {
            (Operation::ReadRecord { .. }, _) => return record_read(state, told),
            (Operation::AddRecord { value, .. }, None) => {
                Decision::Done { version: 1, changed: true, after: Some((1, *value)) }
            }
            // Heads of records that programs make here are equal for equal ids, so this is the same record again.
            (Operation::AddRecord { .. }, Some((version, _))) => {
                Decision::Done { version: *version, changed: false, after: *state }
            }
            (Operation::AmendRecord { .. }, None) => Decision::No(refusal::UNKNOWN),
            (Operation::AmendRecord { seen, value, .. }, Some((version, _))) if seen == version => {
                Decision::Done { version: version + 1, changed: true, after: Some((version + 1, *value)) }
            }
            (Operation::AmendRecord { .. }, Some(_)) => Decision::No(refusal::STALE_VERSION),
            _ => return None,
        };
        agrees(decision, state, told)
    }
}

fn record_read(state: &Option<(u32, u64)>, told: &Outcome) -> Option<Option<(u32, u64)>> {
    let fits = match (told, state) {
        (Outcome::Record { version, value, .. }, Some((current, number))) => {
            version == current && *value == Some(*number)
        }
        (Outcome::Absent, None) => true,
        (Outcome::Unknown | Outcome::NotDone { .. }, _) => true,
        _ => false,
    };
    fits.then_some(*state)
}

/// The bookings of a stretch of time that no call leaves, in all units.
pub(crate) struct OneDay;

/// By id.
pub(crate) type Bookings = Rc<BTreeMap<Id, Booking>>;

impl Specification for OneDay {
    type State = Bookings;
    type Action = (Operation, Outcome);

    fn initial(&self) -> Bookings {
        Rc::default()
    }

    fn step(&self, state: &Bookings, (operation, told): &(Operation, Outcome)) -> Option<Bookings> {
        let decision = match operation {
            Operation::Book { appointment, patient, slot } => book(state, *appointment, *patient, *slot),
            Operation::Move { appointment, seen, slot } => {
                with(state, *appointment, *seen, |booking| place_again(state, booking, *slot))
            }
            Operation::Change { appointment, seen, to } => {
                with(state, *appointment, *seen, |booking| change(state, booking, *to))
            }
            Operation::ListAgenda { unit, .. } => {
                let fits = match told {
                    Outcome::Agenda { bookings, .. } => agenda(state, *unit) == *bookings,
                    Outcome::Unknown | Outcome::NotDone { .. } => true,
                    _ => false,
                };
                return fits.then(|| state.clone());
            }
            _ => return None,
        };
        agrees(decision, state, told)
    }
}

/// What a unit's agenda shows, by id.
pub(crate) fn agenda(bookings: &BTreeMap<Id, Booking>, unit: Id) -> Vec<Booking> {
    bookings.values().filter(|booking| booking.slot.unit == unit).copied().collect()
}

/// The first of two bookings that hold a professional, a room or a patient at one instant.
pub(crate) fn double_booking(bookings: &[Booking]) -> Option<(Booking, Booking)> {
    let holding: Vec<&Booking> = bookings.iter().filter(|booking| booking.stage.holds()).collect();
    holding.iter().enumerate().find_map(|(at, one)| {
        let other = holding.iter().skip(at + 1).find(|other| collide(one, other))?;
        Some((**one, **other))
    })
}

fn collide(one: &Booking, other: &Booking) -> bool {
    let shared = one.slot.practitioner == other.slot.practitioner
        || one.slot.room == other.slot.room
        || one.patient == other.patient;
    shared && one.id != other.id && one.slot.meets(&other.slot)
}

fn is_taken(bookings: &Bookings, wanted: &Booking) -> bool {
    bookings.values().any(|booking| booking.stage.holds() && collide(booking, wanted))
}

fn put(bookings: &Bookings, booking: Booking) -> Bookings {
    let mut bookings = BTreeMap::clone(bookings);
    bookings.insert(booking.id, booking);
    Rc::new(bookings)
}

fn book(bookings: &Bookings, id: Id, patient: Id, slot: Slot) -> Decision<Bookings> {
    if let Some(there) = bookings.get(&id) {
        let same = there.patient == patient && there.slot == slot && there.stage.holds();
        return match same {
            true => Decision::Done { version: there.version, changed: false, after: bookings.clone() },
            false => Decision::No(refusal::EXISTS),
        };
    }
    let wanted = Booking { id, patient, slot, stage: Stage::Booked, version: 1 };
    if is_taken(bookings, &wanted) {
        return Decision::No(refusal::SLOT_TAKEN);
    }
    Decision::Done { version: 1, changed: true, after: put(bookings, wanted) }
}

fn with(
    bookings: &Bookings,
    id: Id,
    seen: u32,
    decide: impl FnOnce(&Booking) -> Decision<Bookings>,
) -> Decision<Bookings> {
    match bookings.get(&id) {
        None => Decision::No(refusal::UNKNOWN),
        Some(booking) if booking.version != seen => Decision::No(refusal::STALE_VERSION),
        Some(booking) => decide(booking),
    }
}

fn place_again(bookings: &Bookings, booking: &Booking, slot: Slot) -> Decision<Bookings> {
    if !matches!(booking.stage, Stage::Booked | Stage::Arrived) {
        return Decision::No(refusal::NOT_A_STEP);
    }
    if booking.slot == slot {
        return Decision::Done { version: booking.version, changed: false, after: bookings.clone() };
    }
    let wanted = Booking { slot, version: booking.version + 1, ..*booking };
    if is_taken(bookings, &wanted) {
        return Decision::No(refusal::SLOT_TAKEN);
    }
    Decision::Done { version: wanted.version, changed: true, after: put(bookings, wanted) }
}

fn change(bookings: &Bookings, booking: &Booking, to: Stage) -> Decision<Bookings> {
    use Stage::{Arrived, Booked, Cancelled, Closed, NoShow};
    if booking.stage == to {
        return Decision::Done { version: booking.version, changed: false, after: bookings.clone() };
    }
    let is_step =
        matches!((booking.stage, to), (Booked, Arrived) | (Arrived, Closed) | (Booked | Arrived, Cancelled | NoShow));
    if !is_step {
        return Decision::No(refusal::NOT_A_STEP);
    }
    let after = Booking { stage: to, version: booking.version + 1, ..*booking };
    Decision::Done { version: after.version, changed: true, after: put(bookings, after) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::history::AsOf;
    use crate::history::tests::id;

    fn slot(unit: u8, practitioner: u8, room: u8, start_ms: i64, end_ms: i64) -> Slot {
        Slot { unit: id(unit), practitioner: id(practitioner), room: id(room), start_ms, end_ms }
    }

    fn book(n: u8, patient: u8, slot: Slot) -> Operation {
        Operation::Book { appointment: id(n), patient: id(patient), slot }
    }

    fn yes(version: u32) -> Outcome {
        Outcome::Confirmed { version, changed: true, index: 1 }
    }

    fn no(code: u32) -> Outcome {
        Outcome::Refused { code, current_version: None, holder: None, index: 1 }
    }

    /// Every step is taken, in this order.
    fn day(calls: &[(Operation, Outcome)]) -> Option<Bookings> {
        calls.iter().try_fold(OneDay.initial(), |state, call| OneDay.step(&state, call))
    }

    #[test]
    fn each_of_the_three_is_held_across_units_and_neighbours_are_free() {
        let first = (book(1, 1, slot(1, 1, 1, 0, 10)), yes(1));
        for (second, taken) in [
            (book(2, 2, slot(1, 2, 2, 0, 10)), false),
            (book(2, 2, slot(2, 1, 2, 9, 12)), true),
            (book(2, 2, slot(1, 2, 1, 9, 12)), true),
            (book(2, 1, slot(2, 2, 2, 9, 12)), true),
            (book(2, 1, slot(1, 1, 1, 10, 12)), false),
        ] {
            let told = |outcome| day(&[first.clone(), (second.clone(), outcome)]).is_some();
            assert_eq!((told(yes(1)), told(no(refusal::SLOT_TAKEN))), (!taken, taken), "{second:?}");
        }
    }

    #[test]
    fn what_is_cancelled_frees_its_slot_and_what_was_refused_never_shows() {
        let here = slot(1, 1, 1, 0, 10);
        let cancel = Operation::Change { appointment: id(1), seen: 1, to: Stage::Cancelled };
        let calls = [
            (book(1, 1, here), yes(1)),
            (book(2, 2, here), no(refusal::SLOT_TAKEN)),
            (cancel, yes(2)),
            (book(3, 3, here), yes(1)),
        ];
        let bookings = day(&calls).unwrap();
        assert_eq!(bookings.keys().copied().collect::<Vec<_>>(), [id(1), id(3)]);
        let list = Operation::ListAgenda { unit: id(1), from_ms: 0, to_ms: 10, local: false };
        let as_of = AsOf { index: 1, node: 1 };
        let shown = agenda(&bookings, id(1));
        assert!(OneDay.step(&bookings, &(list.clone(), Outcome::Agenda { bookings: shown.clone(), as_of })).is_some());
        let half = shown[..1].to_vec();
        assert!(OneDay.step(&bookings, &(list, Outcome::Agenda { bookings: half, as_of })).is_none());
        assert_eq!(double_booking(&shown), None);
    }

    #[test]
    fn a_double_booking_is_seen() {
        let booking = |n, slot| Booking { id: id(n), patient: id(n), slot, stage: Stage::Booked, version: 1 };
        let (one, other) = (booking(1, slot(1, 1, 1, 0, 10)), booking(2, slot(2, 1, 2, 5, 6)));
        assert_eq!(double_booking(&[one, other]), Some((one, other)));
        assert_eq!(double_booking(&[one, Booking { stage: Stage::NoShow, ..other }]), None);
        assert_eq!(double_booking(&[one, one]), None);
    }

    #[test]
    fn a_record_has_one_writer_for_each_version() {
        let amend = |seen, value| Operation::AmendRecord { record: id(1), seen, value };
        let read = |version, value| {
            let told = Outcome::Record { version, value: Some(value), as_of: AsOf { index: 1, node: 1 } };
            (Operation::ReadRecord { record: id(1), local: false }, told)
        };
        let add = |value| Operation::AddRecord { record: id(1), patient: id(2), unit: id(3), value };
        let run = |calls: &[(Operation, Outcome)]| {
            calls.iter().try_fold(None, |state, call| OneRecord.step(&state, call)).is_some()
        };
        assert!(run(&[(add(5), yes(1)), read(1, 5), (amend(1, 6), yes(2)), read(2, 6)]));
        assert!(run(&[
            (amend(1, 6), no(refusal::UNKNOWN)),
            (add(5), yes(1)),
            (amend(2, 6), no(refusal::STALE_VERSION))
        ]));
        assert!(!run(&[(add(5), yes(1)), (amend(1, 6), yes(2)), (amend(1, 7), yes(3))]));
        assert!(!run(&[(add(5), yes(1)), read(1, 6)]));
        // The same again keeps the first document.
        let again = Outcome::Confirmed { version: 1, changed: false, index: 2 };
        assert!(run(&[(add(5), yes(1)), (add(8), again), read(1, 5)]));
    }
}
