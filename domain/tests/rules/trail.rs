//! The audit trail: complete, chained, found by index, sequence, patient and unit.

use crate::world::*;
use plantao_domain::audit::{Action, ChainFault, Module, verify_chain};
use plantao_domain::command::Overlap;
use plantao_domain::rows::{self, AuditFilter, AuditFrom};
use plantao_domain::*;
use proptest::prelude::*;

fn all(world: &World) -> Vec<audit::AuditEntry> {
    let (mut entries, mut from) = (Vec::new(), AuditFrom::Index(0));
    loop {
        let page = rows::audit(&world.rows, from, u64::MAX, 7).unwrap();
        let Some((place, _)) = page.last() else { return entries };
        from = AuditFrom::After(*place);
        entries.extend(page.into_iter().map(|(_, entry)| entry));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_way_to_read_it_agrees(raws in prop::collection::vec(any::<[u8; 8]>(), 1..60)) {
        let mut world = imaging();
        let mut told = Vec::new();
        for raw in raws {
            world.now += 1000;
            let envelope = world.envelope(mixed_command_of(raw));
            // Gaps in the index, as blank entries make them.
            world.index += u64::from(raw[6] % 3);
            told.extend(world.apply(&envelope).audit);
        }
        let entries = all(&world);
        prop_assert_eq!(&entries[entries.len() - told.len()..], &told[..]);
        let head = rows::trail_head(&world.rows).unwrap();
        prop_assert_eq!(verify_chain(&entries, 0, [0; 32]), Ok((head.sequence, head.digest)));

        for entry in &entries {
            let page = rows::audit_from_sequence(&world.rows, entry.sequence, 1).unwrap();
            prop_assert_eq!(&page[0].1, entry);
        }
        prop_assert!(rows::audit_from_sequence(&world.rows, head.sequence + 1, 1).unwrap().is_empty());
        let newest = rows::audit_newest(&world.rows, None, 3).unwrap();
        prop_assert!(newest.iter().map(|(_, entry)| entry).eq(entries.iter().rev().take(3)));
        for n in 1..5 {
            let found = rows::audit_of_patient(&world.rows, patient(n), None, 1000).unwrap();
            let expected = entries.iter().filter(|entry| entry.patient == Some(patient(n)));
            prop_assert!(found.iter().map(|(_, entry)| entry).eq(expected));
        }
        let filter = AuditFilter { module: Some(Module::Agenda), unit: Some(unit(1)) };
        let (mut found, mut from) = (Vec::new(), Some(AuditFrom::Index(0)));
        while let Some(start) = from {
            let scan = rows::audit_scan(&world.rows, start, u64::MAX, filter, 5).unwrap();
            found.extend(scan.entries.into_iter().map(|(_, entry)| entry));
            from = scan.next;
        }
        prop_assert!(found.iter().eq(entries.iter().filter(|entry| filter.keeps(entry))));
    }
}

#[test]
fn a_changed_missing_or_swapped_entry_is_noticed() {
    let world = World::new();
    let entries = all(&world);
    let mut changed = entries.clone();
    changed[2].refusal = 1001;
    assert_eq!(verify_chain(&changed, 0, [0; 32]), Err(ChainFault::Broken { sequence: 4 }));
    let mut missing = entries.clone();
    missing.remove(2);
    assert_eq!(verify_chain(&missing, 0, [0; 32]), Err(ChainFault::Sequence { expected: 3, found: 4 }));
    let mut swapped = entries;
    swapped.swap(2, 3);
    assert_eq!(verify_chain(&swapped, 0, [0; 32]), Err(ChainFault::Sequence { expected: 3, found: 4 }));
}

#[test]
fn done_and_refused_leave_an_entry_and_repeated_does_not() {
    let mut world = World::new();
    let envelope = world.envelope(book(1, 1, slot(1, 1, 1, hours(9, 10)), encaixe()));
    let entries = world.apply(&envelope).audit;
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((entry.module, entry.action, entry.version), (Module::Agenda, Action::Encaixe, 1));
    assert_eq!((entry.unit, entry.patient, entry.refusal), (Some(unit(1)), Some(patient(1)), 0));
    assert!(world.apply(&envelope).audit.is_empty());
    let taken = world.envelope(book(2, 1, slot(1, 1, 1, hours(9, 10)), Overlap::Refuse));
    assert_eq!(world.apply(&taken).audit[0].refusal, 1204);
    let denied = Envelope {
        actor: who(Role::Finance, Some(1)),
        ..world.envelope(book(3, 1, slot(1, 1, 1, hours(1, 2)), Overlap::Refuse))
    };
    assert_eq!(world.apply(&denied).audit[0].refusal, 1001);
}

#[test]
fn a_move_between_units_is_told_to_both() {
    let mut world = World::new();
    world.send(book(1, 1, slot(1, 1, 1, hours(9, 10)), Overlap::Refuse));
    let to = slot(2, 1, 3, hours(9, 10));
    let command =
        Command::MoveAppointment { appointment: appointment(1), seen_version: 1, slot: to, overlap: Overlap::Refuse };
    let envelope = world.envelope(command);
    let units: Vec<_> = world.apply(&envelope).audit.iter().map(|entry| entry.unit).collect();
    assert_eq!(units, [Some(unit(1)), Some(unit(2))]);
}

#[test]
fn reads_are_kept_once_in_order_and_without_gaps() {
    let mut world = World::new();
    let report = |sequences: &[u64]| {
        let reads = sequences.iter().map(|n| note(*n)).collect();
        Command::NoteReads { node: NodeId(1), journal: journal(1), reads }
    };
    let mut send = |sequences: &[u64]| {
        let envelope = world.envelope(report(sequences));
        let applied = world.apply(&envelope);
        let last = rows::journal_last(&world.rows, NodeId(1), journal(1)).unwrap();
        (applied.outcome, applied.audit.len(), last)
    };
    assert_eq!(send(&[2, 3]), (confirmed(0, false), 0, 0), "a gap at the start");
    assert_eq!(send(&[1, 2, 3]), (confirmed(0, true), 3, 3));
    assert_eq!(send(&[2, 3, 4]), (confirmed(0, true), 1, 4), "what was sent before is skipped");
    assert_eq!(send(&[5, 7, 8]), (confirmed(0, true), 1, 5), "up to the gap");
    assert_eq!(send(&[]), (confirmed(0, false), 0, 5));
    let other = Envelope { via: NodeId(2), ..world.envelope(report(&[6])) };
    let no = Rejection::Invalid { field: outcome::Field::Node };
    assert_eq!(world.apply(&other).outcome, rejected(no), "a node reports its own reads");
}

#[test]
fn a_read_names_the_version_that_was_shown() {
    let mut world = World::new();
    let reads = vec![
        command::ReadNote { version: Some(3), ..note(1) },
        command::ReadNote { allowed: false, ..note(2) },
        command::ReadNote { version: Some(u32::MAX), ..note(3) },
    ];
    let envelope = world.envelope(Command::NoteReads { node: NodeId(1), journal: journal(1), reads });
    let entries = world.apply(&envelope).audit;
    assert_eq!(entries.iter().map(|entry| entry.version).collect::<Vec<_>>(), [3, 0, u32::MAX]);
}
