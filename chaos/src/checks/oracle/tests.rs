//! Made-up logs, right ones and wrong ones.

use super::*;
use crate::history::tests::{call, id};
use crate::history::{AsOf, Life};

fn request(n: u8, call: Call) -> Call {
    Call { request: Some(id(n)), ..call }
}

fn entry(index: u64, request: u8, version: u32, refusal: u32) -> Entry {
    Entry { index, at_ms: 1_000 + i64::try_from(index).unwrap_or(0), request: id(request), version, refusal }
}

fn yes(version: u32, index: u64) -> Outcome {
    Outcome::Confirmed { version, changed: true, index }
}

const SLOT: fn(u8) -> Slot =
    |room| Slot { unit: id(1), practitioner: id(room), room: id(room), start_ms: 1_000_000, end_ms: 1_900_000 };

fn book(n: u8, patient: u8, slot: Slot) -> Operation {
    Operation::Book { appointment: id(n), patient: id(patient), slot }
}

fn add(value: u64) -> Operation {
    Operation::AddRecord { record: id(30), patient: id(3), unit: id(1), value }
}

fn amend(value: u64) -> Operation {
    Operation::AmendRecord { record: id(30), seen: 1, value }
}

/// A clinic, a booking, a refused one, a record with two versions; requests 41 to 52 at indexes 10 to 21.
fn run() -> (Vec<Call>, Vec<Entry>) {
    let registered = [
        Operation::RegisterUnit { unit: id(1), slug: "caos-0-1".to_owned() },
        Operation::RegisterPractitioner { practitioner: id(2), unit: id(1) },
        Operation::RegisterPractitioner { practitioner: id(4), unit: id(1) },
        Operation::RegisterRoom { room: id(2), unit: id(1) },
        Operation::RegisterRoom { room: id(4), unit: id(1) },
        Operation::RegisterPatient { patient: id(3), unit: id(1) },
        Operation::RegisterPatient { patient: id(5), unit: id(1) },
    ];
    let (mut calls, mut trail) = (Vec::new(), Vec::new());
    let mut n = 0_u8;
    let mut step = |operation, version, refusal| {
        let index = 10 + u64::from(n);
        let outcome = match refusal {
            0 => yes(version, index),
            code => Outcome::Refused { code, current_version: None, holder: None, index },
        };
        let from = 100 * u64::from(n);
        calls.push(request(41 + n, call(from, Some(from + 50), operation, outcome)));
        trail.push(entry(index, 41 + n, version, refusal));
        n += 1;
    };
    registered.into_iter().for_each(|operation| step(operation, 1, 0));
    step(book(20, 3, SLOT(2)), 1, 0);
    step(book(21, 5, SLOT(2)), 0, 1204);
    step(add(7), 1, 0);
    step(amend(8), 2, 0);
    step(Operation::Change { appointment: id(20), seen: 1, to: Stage::Cancelled }, 2, 0);
    (calls, trail)
}

fn judged(calls: &[Call], trail: &[Entry]) -> Vec<&'static str> {
    let mut findings = Findings::default();
    let replay = Replay::of(calls, trail, &mut findings);
    replay.check_writes(calls, &mut findings);
    replay.check_reads(calls, &mut findings);
    assert_eq!(findings.count, findings.violations.len() as u64);
    findings.violations.iter().map(|violation| violation.check).collect()
}

#[test]
fn a_log_that_follows_the_rules_is_accepted() {
    let (calls, trail) = run();
    assert_eq!(judged(&calls, &trail), [""; 0]);
    let mut findings = Findings::default();
    Replay::of(&calls, &trail, &mut findings);
    assert_eq!(findings.replayed, 12);
}

#[test]
fn what_the_rules_would_have_said_otherwise_is_found() {
    let (mut calls, mut trail) = run();
    // The second booking of one slot was confirmed by everybody.
    calls[8].outcome = yes(1, 18);
    trail[8] = entry(18, 49, 1, 0);
    assert_eq!(judged(&calls, &trail), ["rules"]);
    // A version that skips one.
    let (mut calls, mut trail) = run();
    calls[10].outcome = yes(3, 20);
    trail[10].version = 3;
    assert_eq!(judged(&calls, &trail), ["rules"]);
}

#[test]
fn a_lost_write_is_found_and_an_undone_one_that_shows() {
    let (calls, mut trail) = run();
    trail.pop();
    assert_eq!(judged(&calls, &trail), ["acknowledged"]);
    let (mut calls, trail) = run();
    calls[11].outcome = Outcome::NotDone { code: None };
    assert_eq!(judged(&calls, &trail), ["honest"]);
    calls[11].outcome = Outcome::Refused { code: 1209, current_version: None, holder: None, index: 21 };
    assert_eq!(judged(&calls, &trail), ["honest"]);
    calls[11].outcome = Outcome::Unknown;
    assert_eq!(judged(&calls, &trail), [""; 0]);
    assert_eq!(judged(&calls, &trail[..11]), [""; 0]);
    // Told by a look at the rows, without a place in the log.
    calls[11].outcome = Outcome::Refused { code: 1201, current_version: None, holder: None, index: 21 };
    assert_eq!(judged(&calls, &trail[..11]), [""; 0]);
}

#[test]
fn a_request_that_is_applied_twice_is_found_and_copies_that_were_refused_are_none() {
    let (calls, mut trail) = run();
    trail.push(entry(22, 52, 0, 1101));
    // A booking that changes units has an entry for each.
    trail.insert(8, trail[7]);
    assert_eq!(judged(&calls, &trail), [""; 0]);
    trail.push(entry(23, 52, 3, 0));
    assert_eq!(judged(&calls, &trail), ["once"]);
}

#[test]
fn the_log_keeps_the_order_of_calls_that_followed_each_other() {
    let (mut calls, trail) = run();
    // Acknowledged at 1,050 with a place behind that of a call which began at 2,000.
    calls[9].invoked_ns = 2_000;
    calls[9].returned_ns = Some(2_050);
    assert_eq!(judged(&calls, &trail), ["order"]);
}

#[test]
fn reads_show_what_was_there_and_not_less_than_they_name() {
    let read = |local, version, value, index| {
        let as_of = AsOf { index, node: 1 };
        let outcome = Outcome::Record { version, value: Some(value), as_of };
        call(5_000, Some(5_050), Operation::ReadRecord { record: id(30), local }, outcome)
    };
    let (calls, trail) = run();
    let with = |last: Call| judged(&[&calls[..], &[last]].concat(), &trail);
    assert_eq!(with(read(false, 2, 8, 21)), [""; 0]);
    assert_eq!(with(read(true, 1, 7, 19)), [""; 0]);
    // Version 1 was not the last one any more at 20.
    assert_eq!(with(read(true, 1, 7, 20)), ["reads"]);
    assert_eq!(with(read(true, 2, 9, 20)), ["reads"]);
    // Old, and said to be new.
    assert_eq!(with(read(false, 2, 8, 20)), ["order"]);
}

#[test]
fn an_agenda_that_never_was_is_found() {
    let (calls, trail) = run();
    let booking = |stage, version| Booking { id: id(20), patient: id(3), slot: SLOT(2), stage, version };
    let list = |bookings: &[Booking], index| {
        let operation = Operation::ListAgenda { unit: id(1), from_ms: 0, to_ms: 2_000_000, local: true };
        let as_of = AsOf { index, node: 1 };
        call(5_000, Some(5_050), operation, Outcome::Agenda { bookings: bookings.to_vec(), as_of })
    };
    let with = |last: Call| judged(&[&calls[..], &[last]].concat(), &trail);
    assert_eq!(with(list(&[], 16)), [""; 0]);
    assert_eq!(with(list(&[booking(Stage::Booked, 1)], 18)), [""; 0]);
    // A state after the place that is named may be shown, one before it may not.
    assert_eq!(with(list(&[booking(Stage::Cancelled, 2)], 18)), [""; 0]);
    assert_eq!(with(list(&[], 18)), ["reads"]);
    assert_eq!(with(list(&[booking(Stage::Cancelled, 1)], 18)), ["reads"]);
    assert_eq!(with(list(&[booking(Stage::Cancelled, 2); 2], 18)), ["reads"]);
}

#[test]
fn the_end_is_compared_row_for_row() {
    let (calls, trail) = run();
    let booking = Booking { id: id(20), patient: id(3), slot: SLOT(2), stage: Stage::Cancelled, version: 2 };
    let good = Finale {
        node: "centro".to_owned(),
        bookings: [(id(20), booking)].into(),
        records: [(id(30), (2, Some(8)))].into(),
    };
    let mut findings = Findings::default();
    let replay = Replay::of(&calls, &trail, &mut findings);
    let count = |finale: &Finale| {
        let mut findings = Findings::default();
        replay.check_finale(finale, &mut findings);
        findings.count
    };
    assert_eq!(count(&good), 0);
    assert_eq!(count(&Finale { bookings: BTreeMap::new(), ..good.clone() }), 1);
    assert_eq!(count(&Finale { records: [(id(30), (1, Some(7)))].into(), ..good.clone() }), 1);
    let mut more = good;
    more.bookings.insert(id(21), Booking { id: id(21), stage: Stage::Booked, ..booking });
    assert_eq!(count(&more), 1);
}

#[test]
fn a_repetition_gets_the_same_answer() {
    let (mut calls, trail) = run();
    let again =
        |outcome| Call { again: true, invoked_ns: 9_000, returned_ns: Some(9_050), outcome, ..run().0[10].clone() };
    calls.push(again(yes(2, 30)));
    assert_eq!(judged(&calls, &trail), [""; 0]);
    calls[12] = again(Outcome::Refused { code: 1101, current_version: None, holder: None, index: 30 });
    assert_eq!(judged(&calls, &trail), ["honest"; 0]);
    calls[12] = again(Outcome::Refused { code: 1102, current_version: None, holder: None, index: 30 });
    assert_eq!(judged(&calls, &trail), ["repetition"]);
    calls[12] = again(yes(3, 30));
    assert_eq!(judged(&calls, &trail), ["acknowledged", "repetition"]);
}

#[test]
fn a_request_that_was_decided_after_its_time_is_found() {
    let (mut calls, trail) = run();
    // The trail's entry of request 41 is of the time 1,010.
    calls[0].life = Some(Life { not_after_ms: 1_010, for_ms: 100 });
    assert_eq!(judged(&calls, &trail), [""; 0]);
    calls[0].life = Some(Life { not_after_ms: 1_009, for_ms: 100 });
    assert_eq!(judged(&calls, &trail), ["late"]);
}

#[test]
fn a_record_that_was_shown_more_often_than_the_trail_knows_is_found() {
    let (calls, _) = run();
    let shown = |version| {
        let as_of = AsOf { index: 30, node: 1 };
        let read = Operation::ReadRecord { record: id(30), local: true };
        call(5_000, Some(5_050), read, Outcome::Record { version, value: None, as_of })
    };
    let calls = [&calls[..], &[shown(1), shown(2), shown(2)]].concat();
    let count = |noted: &[((Id, u32), u64)]| {
        let mut findings = Findings::default();
        check_noted(&calls, &noted.iter().copied().collect(), &mut findings);
        findings.count
    };
    assert_eq!(count(&[((id(30), 1), 1), ((id(30), 2), 3)]), 0);
    assert_eq!(count(&[((id(30), 1), 1), ((id(30), 2), 1)]), 1);
    assert_eq!(count(&[((id(30), 2), 4)]), 1);
}
