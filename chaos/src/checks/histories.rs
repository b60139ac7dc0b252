//! Takes a history apart into objects that have nothing to do with each other, and asks of each for an order of its calls. A
//! record is one object; so are all bookings of one day in all units, because no call of the workload leaves its day.

use super::Findings;
use super::linear::{self, Specification, Timed, Verdict};
use crate::history::{Call, Operation, Outcome};
use crate::model::{OneDay, OneRecord, double_booking, refusal};
use crate::workload::day_of;
use plantao_client::Id;
use std::collections::BTreeMap;

/// Tries of a call for one object. Ordinary ones need some hundred; the bound keeps a build without optimisation to seconds.
const STEPS_MAX: usize = 50_000;

/// Clocks of nodes that nothing is wrong with may be some seconds apart: a shorter life may be over when it begins.
const LIFE_MS_MIN: i64 = 8_000;

type Told = Timed<(Operation, Outcome)>;

/// Checks every object of a history.
pub(crate) fn check(calls: &[Call], findings: &mut Findings) {
    let days = days_of_bookings(calls);
    let mut records: BTreeMap<Id, Vec<Told>> = BTreeMap::new();
    let mut agendas: BTreeMap<i64, Vec<Told>> = BTreeMap::new();
    for call in calls {
        if let Outcome::Agenda { bookings, .. } = &call.outcome
            && let Some((one, other)) = double_booking(bookings)
        {
            findings.add("double booking", format!("an agenda showed {} and {} together", one.id, other.id));
        }
        // The same request again is no further write, and a local read may be old.
        if call.again || call.operation.is_local() || matches!(call.outcome, Outcome::Unfit { .. }) {
            continue;
        }
        let returned_ns = call.returned_ns.filter(|_| call.outcome != Outcome::Unknown);
        if returned_ns.is_none() && call.operation.is_read() {
            continue;
        }
        let action = (call.operation.clone(), call.outcome.clone());
        let timed = Timed { invoked_ns: call.invoked_ns, returned_ns, action };
        match &call.operation {
            Operation::AddRecord { record, .. }
            | Operation::AmendRecord { record, .. }
            | Operation::ReadRecord { record, .. } => records.entry(*record).or_default().push(timed),
            Operation::Book { slot, .. } => agendas.entry(day_of(slot.start_ms)).or_default().push(timed),
            Operation::Move { appointment, .. } | Operation::Change { appointment, .. } => {
                if let Some(day) = days.get(appointment) {
                    agendas.entry(*day).or_default().push(timed);
                }
            }
            Operation::ListAgenda { from_ms, .. } => agendas.entry(day_of(*from_ms)).or_default().push(timed),
            Operation::RegisterUnit { .. }
            | Operation::RegisterPractitioner { .. }
            | Operation::RegisterRoom { .. }
            | Operation::RegisterPatient { .. } => {}
        }
    }
    for (record, calls) in &records {
        judge(&OneRecord, calls, || format!("record {record}"), findings);
    }
    for (day, calls) in &agendas {
        judge(&OneDay, calls, || format!("bookings of day {day}"), findings);
    }
}

/// Without faults, nothing is refused as late that was sent in time: a clock that was wrong once must not be felt for ever.
pub(crate) fn fresh(calls: &[Call], healed_ns: u64, findings: &mut Findings) {
    let in_time = |call: &&Call| {
        let took = call.returned_ns.map(|returned| returned.saturating_sub(call.invoked_ns));
        let half = call.life.filter(|life| life.for_ms >= LIFE_MS_MIN).map(|life| life.for_ms.unsigned_abs() * 500_000);
        !call.again && call.invoked_ns > healed_ns && took.zip(half).is_some_and(|(took, half)| took < half)
    };
    let is_late = |call: &&Call| matches!(call.outcome, Outcome::Refused { code: refusal::EXPIRED, .. });
    let count = calls.iter().filter(in_time).filter(is_late).count();
    findings
        .require(count == 0, "expired", || format!("{count} writes sent in time were refused as late after healing"));
}

fn days_of_bookings(calls: &[Call]) -> BTreeMap<Id, i64> {
    let booked = calls.iter().filter_map(|call| match &call.operation {
        Operation::Book { appointment, slot, .. } => Some((*appointment, day_of(slot.start_ms))),
        _ => None,
    });
    booked.collect()
}

fn judge<S>(specification: &S, calls: &[Told], object: impl Fn() -> String, findings: &mut Findings)
where
    S: Specification<Action = (Operation, Outcome)>,
{
    match linear::check(specification, calls, STEPS_MAX) {
        Verdict::Linearizable => {
            findings.linearizable += 1;
            findings.ordered_calls += calls.len() as u64;
        }
        Verdict::Undecided => findings.undecided.push(object()),
        Verdict::Not { stuck } => {
            let call = calls.get(stuck).map(|call| {
                let (operation, outcome) = &call.action;
                let told = serde_json::to_string(&(operation, outcome)).unwrap_or_default();
                format!("at {} ns: {told}", call.invoked_ns)
            });
            let call = call.unwrap_or_default();
            findings.add("linearizable", format!("{} ({} calls); no order has {call}", object(), calls.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{call, id};
    use crate::history::{AsOf, Booking, Slot, Stage};

    fn found(calls: &[Call]) -> (u64, u64) {
        let mut findings = Findings::default();
        check(calls, &mut findings);
        (findings.linearizable, findings.count)
    }

    fn record(version: u32, value: u64) -> Outcome {
        Outcome::Record { version, value: Some(value), as_of: AsOf { index: 1, node: 1 } }
    }

    #[test]
    fn a_stale_read_is_found_where_it_may_not_be_and_passed_where_it_may() {
        let yes = |version| Outcome::Confirmed { version, changed: true, index: 1 };
        let add = Operation::AddRecord { record: id(1), patient: id(2), unit: id(3), value: 7 };
        let amend = Operation::AmendRecord { record: id(1), seen: 1, value: 8 };
        let read = |local| Operation::ReadRecord { record: id(1), local };
        let written = [call(1, Some(2), add, yes(1)), call(3, Some(4), amend, yes(2))];
        let with = |last| [&written[..], &[last]].concat();
        assert_eq!(found(&with(call(5, Some(6), read(false), record(2, 8)))), (1, 0));
        assert_eq!(found(&with(call(5, Some(6), read(false), record(1, 7)))), (0, 1));
        assert_eq!(found(&with(call(5, Some(6), read(true), record(1, 7)))), (1, 0));
        assert_eq!(found(&with(call(5, Some(6), read(false), Outcome::NotDone { code: None }))), (1, 0));
        assert_eq!(found(&with(call(5, None, read(false), Outcome::Unknown))), (1, 0));
    }

    #[test]
    fn a_double_booking_shows_in_two_acknowledgements_and_in_one_agenda() {
        let slot = |room| Slot { unit: id(1), practitioner: id(1), room: id(room), start_ms: 10, end_ms: 20 };
        let book = |n, from| {
            let operation = Operation::Book { appointment: id(n), patient: id(n), slot: slot(n) };
            call(from, Some(from + 1), operation, Outcome::Confirmed { version: 1, changed: true, index: from })
        };
        assert_eq!(found(&[book(1, 1), book(2, 1)]), (0, 1));
        let booking = |n| Booking { id: id(n), patient: id(n), slot: slot(n), stage: Stage::Booked, version: 1 };
        let list = Operation::ListAgenda { unit: id(1), from_ms: 0, to_ms: 100, local: true };
        let shown = Outcome::Agenda { bookings: [booking(1), booking(2)].to_vec(), as_of: AsOf { index: 1, node: 1 } };
        assert_eq!(found(&[book(1, 1), call(5, Some(6), list, shown)]), (1, 1));
    }
}
