//! The overlap rule and the life cycle against a quadratic list of bookings.

use crate::world::*;
use plantao_domain::command::{AppointmentState as State, Overlap, Slot};
use plantao_domain::outcome::{Resource, What};
use plantao_domain::rows::{self, AgendaCursor, AgendaOf, AgendaShow};
use plantao_domain::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Booking {
    id: AppointmentId,
    patient: PatientId,
    slot: Slot,
    encaixe: bool,
    state: State,
    version: u32,
}

impl Booking {
    fn holds(&self) -> bool {
        matches!(self.state, State::Booked | State::Arrived | State::Closed)
    }

    fn occupies(&self, resource: Resource) -> bool {
        match resource {
            Resource::Practitioner(id) => self.slot.practitioner == id,
            Resource::Room(id) => self.slot.room == id,
            Resource::Patient(id) => self.patient == id,
        }
    }
}

/// A list, and every rule said as plainly as possible.
#[derive(Default)]
struct Naive(Vec<Booking>);

impl Naive {
    fn check(slot: &Slot, overlap: &Overlap) -> Option<Rejection> {
        let length = slot.interval.end.millis() - slot.interval.start.millis();
        if length <= 0 {
            Some(Rejection::EmptyInterval)
        } else if length > 24 * HOUR {
            Some(Rejection::IntervalTooLong)
        } else if matches!(overlap, Overlap::Encaixe { reason } if reason.0.is_empty()) {
            Some(Rejection::ReasonMissing)
        } else {
            None
        }
    }

    fn obstacle(&self, own: AppointmentId, patient: PatientId, slot: &Slot, encaixe: bool) -> Option<Rejection> {
        if (slot.room == room(3)) != (slot.unit == unit(2)) {
            return Some(Rejection::WrongUnit);
        }
        let all = [Resource::Practitioner(slot.practitioner), Resource::Room(slot.room), Resource::Patient(patient)];
        let asked = if encaixe { &all[2..] } else { &all[..] };
        for resource in asked {
            let mut holders: Vec<_> = self.0.iter().filter(|b| b.id != own && b.holds()).collect();
            holders.retain(|b| b.occupies(*resource));
            holders.retain(|b| b.slot.interval.start < slot.interval.end && slot.interval.start < b.slot.interval.end);
            holders.sort_by_key(|b| (b.slot.interval.start, b.id));
            if let Some(first) = holders.first() {
                return Some(Rejection::SlotTaken { resource: *resource, holder: first.id });
            }
        }
        None
    }

    fn decide(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Book { appointment, patient, slot, overlap, .. } => {
                let encaixe = *overlap != Overlap::Refuse;
                if let Some(no) = Self::check(slot, overlap) {
                    return rejected(no);
                }
                if let Some(b) = self.0.iter().find(|b| b.id == *appointment) {
                    let same = b.patient == *patient && b.slot == *slot && b.encaixe == encaixe && b.holds();
                    let exists = rejected(Rejection::Exists { what: What::Appointment });
                    return if same { confirmed(b.version, false) } else { exists };
                }
                if let Some(no) = self.obstacle(*appointment, *patient, slot, encaixe) {
                    return rejected(no);
                }
                let (id, patient, slot) = (*appointment, *patient, *slot);
                self.0.push(Booking { id, patient, slot, encaixe, state: State::Booked, version: 1 });
                confirmed(1, true)
            }
            Command::MoveAppointment { appointment, seen_version, slot, overlap } => {
                let encaixe = *overlap != Overlap::Refuse;
                if let Some(no) = Self::check(slot, overlap) {
                    return rejected(no);
                }
                let Some(place) = self.0.iter().position(|b| b.id == *appointment) else {
                    return rejected(Rejection::Unknown { what: What::Appointment });
                };
                let b = self.0[place].clone();
                if b.version != *seen_version {
                    return rejected(Rejection::StaleVersion { current: b.version });
                }
                if b.state != State::Booked && b.state != State::Arrived {
                    return rejected(Rejection::NotAStep { from: b.state, to: State::Booked });
                }
                if b.slot == *slot && b.encaixe == encaixe {
                    return confirmed(b.version, false);
                }
                if let Some(no) = self.obstacle(b.id, b.patient, slot, encaixe) {
                    return rejected(no);
                }
                self.0[place] = Booking { slot: *slot, encaixe, version: b.version + 1, ..b };
                confirmed(self.0[place].version, true)
            }
            Command::ChangeAppointmentState { appointment, seen_version, state, .. } => {
                let Some(b) = self.0.iter_mut().find(|b| b.id == *appointment) else {
                    return rejected(Rejection::Unknown { what: What::Appointment });
                };
                if b.version != *seen_version {
                    return rejected(Rejection::StaleVersion { current: b.version });
                }
                let next: &[State] = match b.state {
                    State::Booked => &[State::Arrived, State::Cancelled, State::NoShow],
                    State::Arrived => &[State::Closed, State::Cancelled, State::NoShow],
                    _ => &[],
                };
                if b.state == *state {
                    return confirmed(b.version, false);
                }
                if !next.contains(state) {
                    return rejected(Rejection::NotAStep { from: b.state, to: *state });
                }
                b.state = *state;
                b.version += 1;
                confirmed(b.version, true)
            }
            _ => unreachable!("only commands of the agenda"),
        }
    }

    /// Promise 2 of the design, looked at pair by pair.
    fn assert_nobody_is_booked_twice(&self) {
        for (n, a) in self.0.iter().enumerate() {
            for b in &self.0[..n] {
                if !a.holds() || !b.holds() || !a.slot.interval.overlaps(&b.slot.interval) {
                    continue;
                }
                assert_ne!(a.patient, b.patient, "{a:?} {b:?}");
                let shared = a.slot.practitioner == b.slot.practitioner || a.slot.room == b.slot.room;
                assert!(!shared || a.encaixe || b.encaixe, "{a:?} {b:?}");
            }
        }
    }

    fn listed(&self, of: AgendaOf, interval: Interval, show: AgendaShow) -> Vec<AppointmentId> {
        let mut found: Vec<_> = self.0.iter().filter(|b| b.slot.interval.overlaps(&interval)).collect();
        found.retain(|b| show == AgendaShow::All || b.holds());
        found.retain(|b| match of {
            AgendaOf::Unit(id) => b.slot.unit == id,
            AgendaOf::Practitioner(id) => b.slot.practitioner == id,
            AgendaOf::Room(id) => b.slot.room == id,
            AgendaOf::Patient(id) => b.patient == id,
        });
        found.sort_by_key(|b| (b.slot.interval.start, b.id));
        found.iter().map(|b| b.id).collect()
    }
}

fn paged(world: &World, of: AgendaOf, interval: Interval, show: AgendaShow) -> Vec<AppointmentId> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = rows::agenda(&world.rows, of, interval, show, after, 2).unwrap();
        let Some((id, row)) = page.last() else { return all };
        after = Some(AgendaCursor { start: row.slot.interval.start, appointment: *id });
        all.extend(page.iter().map(|(id, _)| *id));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_the_naive_list_s(raws in prop::collection::vec(any::<[u8; 8]>(), 1..100)) {
        let mut world = World::new();
        let mut naive = Naive::default();
        for mut raw in raws {
            raw[0] %= 11;
            // Ids are not nil: the list does not know that bound.
            raw[1] = 1 + raw[1] % 15;
            let command = command_of(raw);
            let expected = naive.decide(&command);
            let outcome = world.send(command.clone());
            prop_assert_eq!(outcome, expected, "{:?}", command);
        }
        naive.assert_nobody_is_booked_twice();
        for b in &naive.0 {
            let row = rows::appointment(&world.rows, b.id).unwrap().unwrap();
            prop_assert_eq!(
                (row.patient, row.slot, row.encaixe.is_some(), row.state, row.version),
                (b.patient, b.slot, b.encaixe, b.state, b.version)
            );
        }
        for n in 1..=4 {
            let agendas = [
                AgendaOf::Unit(unit(n)),
                AgendaOf::Practitioner(practitioner(n)),
                AgendaOf::Room(room(n)),
                AgendaOf::Patient(patient(n)),
            ];
            for of in agendas {
                for interval in [hours(0, 100), hours(5, 6), hours(20, 30)] {
                    for show in [AgendaShow::Held, AgendaShow::All] {
                        prop_assert_eq!(paged(&world, of, interval, show), naive.listed(of, interval, show));
                    }
                }
            }
        }
    }
}

#[test]
fn one_booking_ends_when_the_next_begins() {
    let mut world = World::new();
    assert_eq!(world.send(book(1, 1, slot(1, 1, 1, hours(9, 10)), Overlap::Refuse)), confirmed(1, true));
    assert_eq!(world.send(book(2, 1, slot(1, 1, 1, hours(10, 11)), Overlap::Refuse)), confirmed(1, true));
    assert_eq!(world.send(book(3, 1, slot(1, 1, 1, hours(8, 9)), Overlap::Refuse)), confirmed(1, true));
}

#[test]
fn a_refusal_names_what_is_taken_and_by_whom_across_units() {
    let mut world = World::new();
    world.send(book(1, 1, slot(1, 1, 1, hours(9, 10)), Overlap::Refuse));
    let taken = |resource| rejected(Rejection::SlotTaken { resource, holder: appointment(1) });
    let at_both = hours(9, 11);
    let answers = [
        (book(2, 2, slot(2, 1, 3, at_both), Overlap::Refuse), Resource::Practitioner(practitioner(1))),
        (book(2, 2, slot(1, 2, 1, at_both), Overlap::Refuse), Resource::Room(room(1))),
        (book(2, 1, slot(2, 3, 3, at_both), Overlap::Refuse), Resource::Patient(patient(1))),
        (book(2, 1, slot(1, 1, 1, at_both), Overlap::Refuse), Resource::Practitioner(practitioner(1))),
        (book(2, 1, slot(1, 1, 1, at_both), encaixe()), Resource::Patient(patient(1))),
    ];
    for (command, resource) in answers {
        assert_eq!(world.send(command), taken(resource));
    }
    assert_eq!(world.send(book(2, 2, slot(1, 1, 1, at_both), encaixe())), confirmed(1, true));
    // What overlaps an encaixe must be one too.
    let after = book(3, 3, slot(1, 1, 2, hours(10, 11)), Overlap::Refuse);
    let resource = Resource::Practitioner(practitioner(1));
    assert_eq!(world.send(after), rejected(Rejection::SlotTaken { resource, holder: appointment(2) }));
}

/// The search is one range per resource: a booking of full length that began a day before must still be found, and
/// more rows than one scan reads must not hide one.
#[test]
fn the_longest_booking_and_the_busiest_day_are_seen() {
    let mut world = World::new();
    world.send(book(1, 1, slot(1, 1, 1, hours(0, 24)), Overlap::Refuse));
    let last = Interval { start: time(START + 24 * HOUR - 1), end: time(START + 25 * HOUR) };
    let resource = Resource::Practitioner(practitioner(1));
    let taken = |holder| rejected(Rejection::SlotTaken { resource, holder: appointment(holder) });
    assert_eq!(world.send(book(2, 2, slot(1, 1, 2, last), Overlap::Refuse)), taken(1));
    assert_eq!(world.send(state(1, 1, State::Cancelled)), confirmed(2, true));
    for n in 10..210_u8 {
        let start = START + i64::from(n) * 60_000;
        let interval = Interval { start: time(start), end: time(start + 60_000) };
        assert_eq!(world.send(book(n, 1, slot(1, 1, 1, interval), Overlap::Refuse)), confirmed(1, true));
    }
    let minute = START + 209 * 60_000;
    let interval = Interval { start: time(minute), end: time(minute + HOUR) };
    assert_eq!(world.send(book(2, 2, slot(1, 1, 2, interval), Overlap::Refuse)), taken(209));
}

/// Whoever books again what was called off must not be told that it is booked.
#[test]
fn the_same_booking_again_is_done_only_while_it_holds() {
    let mut world = World::new();
    let same = || book(1, 1, slot(1, 1, 1, hours(9, 10)), Overlap::Refuse);
    assert_eq!(world.send(same()), confirmed(1, true));
    assert_eq!(world.send(same()), confirmed(1, false));
    assert_eq!(world.send(state(1, 1, State::NoShow)), confirmed(2, true));
    assert_eq!(world.send(same()), rejected(Rejection::Exists { what: What::Appointment }));
}

#[test]
fn a_booking_costs_few_rows() {
    let mut world = World::new();
    let envelope = world.envelope(book(1, 1, slot(1, 1, 1, hours(9, 10)), Overlap::Refuse));
    let rows = world.apply(&envelope).changes.values().filter(|value| value.is_some()).count();
    assert!(rows <= 11, "{rows}");
}
