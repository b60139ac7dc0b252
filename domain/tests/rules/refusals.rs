//! Every refusal can be reached, and changes nothing but the trail.

use crate::world::*;
use plantao_domain::bounds::CONTENT_BYTES_MAX;
use plantao_domain::command::{AppointmentState, Overlap, Tag};
use plantao_domain::outcome::{Field, Resource, What};
use plantao_domain::*;
use std::collections::BTreeSet;

const ALL_CODES: [u16; 19] =
    [1001, 1101, 1102, 1103, 1201, 1202, 1203, 1204, 1205, 1206, 1207, 1208, 1209, 1210, 1211, 1301, 1401, 1501, 1502];

/// A refusal that is added here needs its number above, or this does not compile.
fn is_listed(rejection: &Rejection) -> bool {
    use Rejection::*;
    match rejection {
        Denied | Expired | RequestIdReused | LifetimeTooLong | Unknown { .. } | Exists { .. } => true,
        StaleVersion { .. } | SlotTaken { .. } | EmptyInterval | IntervalTooLong | TimeOutOfRange => true,
        ReasonMissing | NotAStep { .. } | Revoked | Invalid { .. } | WrongClusterState | TokenRefused => true,
        WrongUnit | Duplicate { .. } => true,
    }
}

fn beyond() -> ClusterTime {
    ClusterTime::from_key([0xff; 8])
}

fn furnished() -> World {
    let mut world = World::new();
    for command in [
        book(1, 1, slot(1, 1, 1, hours(9, 10)), Overlap::Refuse),
        add_record(1, 1, 1),
        grant(1, 1, 1),
        grant(2, 1, 1),
        Command::RevokeConsent { consent: consent(2), seen_version: 1, reason: sealed("") },
    ] {
        assert!(matches!(world.send(command), Outcome::Confirmed { .. }));
    }
    world
}

#[test]
fn every_refusal_is_reached_and_changes_no_object() {
    use Rejection::*;
    let at = |start, end| slot(1, 2, 2, hours(start, end));
    let refuse = || Overlap::Refuse;
    let big = || Sealed(vec![0; CONTENT_BYTES_MAX + 1]);
    let invalid = |field| Invalid { field };
    let mut odd_record = add_record(7, 1, 1);
    if let Command::AddRecord { kind, .. } = &mut odd_record {
        *kind = "not a kind".into();
    }
    let mut late_record = add_record(7, 1, 1);
    if let Command::AddRecord { authored_at, .. } = &mut late_record {
        *authored_at = beyond();
    }
    let with_consent = |change: &dyn Fn(&mut Vec<command::Purpose>, &mut Option<ClusterTime>)| {
        let mut command = grant(7, 1, 1);
        if let Command::GrantConsent { purposes, valid_until, .. } = &mut command {
            change(purposes, valid_until);
        }
        command
    };
    let person =
        |n, at| Command::RegisterPractitioner { practitioner: practitioner(n), unit: unit(at), content: sealed("x") };
    let mut beyond_slot = at(1, 2);
    beyond_slot.interval.end = beyond();
    let mut foreign_key = register_patient(7, 1, vec![]);
    if let Command::RegisterPatient { key, .. } = &mut foreign_key {
        key.epoch = 9;
    }
    let cases: Vec<(Command, Rejection)> = vec![
        (create_cluster(), WrongClusterState),
        (Command::RedeemJoinToken { token: tag(9), node: node_description("x") }, TokenRefused),
        (Command::RedeemJoinToken { token: tag(9), node: node_description("X") }, invalid(Field::Node)),
        (person(9, 9), Unknown { what: What::Unit }),
        (person(0, 1), Exists { what: What::Practitioner }),
        (book(2, 9, at(1, 2), refuse()), Unknown { what: What::Patient }),
        (book(2, 1, slot(9, 2, 2, hours(1, 2)), refuse()), Unknown { what: What::Unit }),
        (book(2, 1, slot(1, 9, 2, hours(1, 2)), refuse()), Unknown { what: What::Practitioner }),
        (book(2, 1, slot(1, 2, 9, hours(1, 2)), refuse()), Unknown { what: What::Room }),
        (book(2, 1, slot(1, 2, 3, hours(1, 2)), refuse()), WrongUnit),
        (book(2, 1, at(2, 2), refuse()), EmptyInterval),
        (book(2, 1, at(2, 1), refuse()), EmptyInterval),
        (book(2, 1, at(0, 25), refuse()), IntervalTooLong),
        (book(2, 1, at(0, 24 * 3650), refuse()), IntervalTooLong),
        (book(2, 1, beyond_slot, refuse()), TimeOutOfRange),
        (book(2, 1, at(1, 2), Overlap::Encaixe { reason: sealed("") }), ReasonMissing),
        (book(1, 2, at(1, 2), refuse()), Exists { what: What::Appointment }),
        (
            book(2, 1, at(9, 10), refuse()),
            SlotTaken { resource: Resource::Patient(patient(1)), holder: appointment(1) },
        ),
        (state(9, 1, AppointmentState::Arrived), Unknown { what: What::Appointment }),
        (state(1, 2, AppointmentState::Arrived), StaleVersion { current: 1 }),
        (
            state(1, 1, AppointmentState::Closed),
            NotAStep { from: AppointmentState::Booked, to: AppointmentState::Closed },
        ),
        (add_record(2, 9, 1), Unknown { what: What::Patient }),
        (odd_record, invalid(Field::Kind)),
        (late_record, TimeOutOfRange),
        (
            Command::AmendRecord { record: record(9), seen_version: 1, reason: sealed("w"), content: sealed("") },
            Unknown { what: What::Record },
        ),
        (
            Command::AmendRecord { record: record(1), seen_version: 1, reason: sealed(""), content: sealed("") },
            ReasonMissing,
        ),
        (
            Command::AmendRecord { record: record(1), seen_version: 1, reason: sealed("w"), content: big() },
            invalid(Field::Content),
        ),
        (Command::RevokeConsent { consent: consent(2), seen_version: 2, reason: sealed("") }, Revoked),
        (with_consent(&|purposes, _| purposes.clear()), invalid(Field::Purposes)),
        (with_consent(&|_, until| *until = Some(time(START))), invalid(Field::ValidUntil)),
        (register_patient(7, 1, vec![tag(1)]), Duplicate { patient: patient(1), token: tag(1) }),
        (register_patient(7, 1, vec![Tag::default(); 17]), invalid(Field::Tokens)),
        (foreign_key, invalid(Field::Content)),
        (
            Command::RegisterUnit { unit: UnitId::default(), slug: "a".into(), key: wrapped(1), content: sealed("") },
            invalid(Field::Id),
        ),
        (
            Command::RegisterUnit { unit: unit(7), slug: "A".into(), key: wrapped(1), content: sealed("") },
            invalid(Field::Slug),
        ),
        (Command::NoteReads { node: NodeId(1), journal: journal(1), reads: vec![note(1); 257] }, invalid(Field::Reads)),
        (Command::NoteRootHanded { node: NodeId(9) }, Unknown { what: What::Node }),
    ];
    let mut reached = BTreeSet::new();
    let mut check = |world: &mut World, before: &World, outcome: Outcome, expected: &Rejection, what: &str| {
        assert_eq!(outcome, rejected(expected.clone()), "{what}");
        assert!(is_listed(expected));
        assert!(!expected.to_string().is_empty() && !expected.help().is_empty());
        assert_eq!(world.objects(), before.objects(), "{what}");
        reached.insert(expected.code());
    };
    let mut base = furnished();
    base.send(person(5, 1));
    for (mut command, expected) in cases {
        if let Command::RegisterPractitioner { practitioner: id, unit: at, .. } = &mut command
            && *id == practitioner(0)
        {
            (*id, *at) = (practitioner(5), unit(2));
        }
        let mut world = base.clone();
        let what = format!("{command:?}");
        let outcome = world.send(command);
        check(&mut world, &base, outcome, &expected, &what);
    }

    // Refusals of the envelope itself.
    let good = book(2, 1, at(1, 2), refuse());
    type Change<'a> = &'a dyn Fn(&mut Envelope);
    let envelopes: [(Change<'_>, Rejection); 7] = [
        (&|e| e.actor = who(Role::Auditor, None), Denied),
        (&|e| e.actor = who(Role::Reception, Some(2)), Denied),
        (&|e| e.not_after = time(e.proposed_at.millis() - 1), Expired),
        (&|e| e.not_after = time(e.proposed_at.millis() + Envelope::LIFETIME_MS + 60_001), LifetimeTooLong),
        (&|e| e.not_after = beyond(), TimeOutOfRange),
        (&|e| e.request_id = RequestId::default(), Invalid { field: Field::Id }),
        (
            &|e| {
                e.request_id = request(1);
                e.content_tag = tag(77);
            },
            RequestIdReused,
        ),
    ];
    for (change, expected) in envelopes {
        let mut world = base.clone();
        let mut envelope = world.envelope(good.clone());
        change(&mut envelope);
        let outcome = world.apply(&envelope).outcome;
        check(&mut world, &base, outcome, &expected, "the envelope");
    }
    assert_eq!(reached, BTreeSet::from(ALL_CODES));
}

/// Two refusals of an encaixe: the right, then the reason; moving asks in both units.
#[test]
fn rights_are_asked_for_each_deed_and_unit() {
    let mut world = furnished();
    let denied = rejected(Rejection::Denied);
    let command = book(2, 2, slot(1, 1, 1, hours(9, 10)), encaixe());
    assert_eq!(world.send_as(who(Role::Reception, Some(1)), command.clone()), denied);
    assert_eq!(world.send_as(who(Role::Clinician, Some(2)), command.clone()), denied);
    assert_eq!(world.send_as(who(Role::Manager, Some(1)), command), confirmed(1, true));
    let away = Command::MoveAppointment {
        appointment: appointment(1),
        seen_version: 1,
        slot: slot(2, 3, 3, hours(9, 10)),
        overlap: Overlap::Refuse,
    };
    assert_eq!(world.send_as(who(Role::Reception, Some(1)), away.clone()), denied);
    assert_eq!(world.send_as(who(Role::Reception, Some(2)), away.clone()), denied);
    assert_eq!(world.send_as(who(Role::Reception, None), away), confirmed(2, true));
    assert_eq!(world.send_as(who(Role::Clinician, Some(2)), add_record(9, 1, 1)), denied);
    assert_eq!(world.send_as(who(Role::Reception, Some(1)), add_record(9, 1, 1)), denied);
    let unknown = state(200, 1, AppointmentState::Arrived);
    assert_eq!(world.send_as(who(Role::Auditor, None), unknown.clone()), denied, "not even whether it exists");
    let what = What::Appointment;
    assert_eq!(world.send_as(who(Role::Reception, Some(1)), unknown), rejected(Rejection::Unknown { what }));
}
