//! Patients, records and consents: versions stay, the same again changes nothing.

use crate::world::*;
use plantao_domain::bounds::NO_TOKEN;
use plantao_domain::command::{KeyOwner, Purpose};
use plantao_domain::outcome::What;
use plantao_domain::rows::{self, RecordCursor};
use plantao_domain::view::Order;
use plantao_domain::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn amend_patient(n: u8, seen_version: u32, tokens: Vec<command::Tag>) -> Command {
    Command::AmendPatient { patient: patient(n), seen_version, tokens, content: sealed("new") }
}

#[test]
fn demographics_have_versions_and_a_repeated_registration_changes_nothing() {
    let mut world = World::new();
    let tokens = vec![tag(50), tag(51)];
    assert_eq!(world.send(register_patient(9, 1, tokens.clone())), confirmed(1, true));
    assert_eq!(world.send(register_patient(9, 1, tokens.clone())), confirmed(1, false));
    let exists = rejected(Rejection::Exists { what: What::Patient });
    assert_eq!(world.send(register_patient(9, 2, tokens.clone())), exists);
    assert_eq!(world.send(register_patient(9, 1, vec![tag(52)])), exists);
    assert_eq!(world.send(amend_patient(9, 2, vec![])), rejected(Rejection::StaleVersion { current: 1 }));
    assert_eq!(world.send(amend_patient(9, 1, vec![tag(50), tag(53)])), confirmed(2, true));
    assert_eq!(world.send(register_patient(9, 1, tokens.clone())), confirmed(2, false), "an import again");
    let view = &world.rows;
    assert_eq!(rows::patient_version(view, patient(9), 1).unwrap().unwrap().tokens, tokens);
    assert_eq!(rows::patient_version(view, patient(9), 2).unwrap().unwrap().content, sealed("new"));
    assert!(rows::patients_by_token(view, &tag(51), None, 9).unwrap().is_empty());
    assert_eq!(rows::patients_by_token(view, &tag(53), None, 9).unwrap()[0].0, patient(9));
    assert_eq!(rows::data_key(view, KeyOwner::Patient(patient(9))).unwrap(), Some(wrapped(9)));
}

#[test]
fn a_cpf_is_one_patient_s_and_a_telephone_a_family_s() {
    let mut world = World::new();
    assert_eq!(world.send(register_patient(10, 1, vec![tag(60), tag(61)])), confirmed(1, true));
    let duplicate = rejected(Rejection::Duplicate { patient: patient(10), token: tag(60) });
    assert_eq!(world.send(register_patient(11, 2, vec![tag(60)])), duplicate);
    assert_eq!(world.send(register_patient(11, 2, vec![tag(62), tag(61), tag(60)])), confirmed(1, true));
    assert_eq!(world.send(amend_patient(11, 1, vec![tag(60)])), duplicate);
    assert_eq!(world.send(amend_patient(10, 1, vec![tag(60), tag(60)])), confirmed(2, true), "one's own");
    for n in 12..14 {
        assert_eq!(world.send(register_patient(n, 1, vec![NO_TOKEN, tag(61)])), confirmed(1, true));
    }
    let found = rows::patients_by_token(&world.rows, &tag(61), None, 9).unwrap();
    assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [patient(11), patient(12), patient(13)]);
    assert!(rows::patients_by_token(&world.rows, &NO_TOKEN, None, 9).unwrap().is_empty());
    // Who gave a CPF up leaves it free.
    assert_eq!(world.send(amend_patient(10, 2, vec![])), confirmed(3, true));
    assert_eq!(world.send(amend_patient(11, 1, vec![tag(60)])), confirmed(2, true));
}

/// A search takes its rows page by page; who holds a number as a CPF may come after many who share it as a telephone.
#[test]
fn a_cpf_is_found_behind_any_number_of_telephones() {
    let mut world = World::new();
    for n in 20..100 {
        assert_eq!(world.send(register_patient(n, 1, vec![NO_TOKEN, tag(61)])), confirmed(1, true));
    }
    assert_eq!(world.send(register_patient(100, 1, vec![tag(61)])), confirmed(1, true));
    let duplicate = rejected(Rejection::Duplicate { patient: patient(100), token: tag(61) });
    assert_eq!(world.send(register_patient(101, 1, vec![tag(61)])), duplicate);
}

#[test]
fn a_consent_covers_what_it_names_from_its_first_instant_to_before_its_last() {
    let mut world = World::new();
    assert_eq!(world.send(grant(7, 1, 1)), confirmed(1, true));
    let row = rows::consent(&world.rows, consent(7)).unwrap().unwrap();
    let end = START + 1000 * HOUR;
    let covers = |row: &rows::ConsentRow, at| consent::covers(row, Purpose::ClinicalImages, time(at));
    assert_eq!([START - 1, START, end - 1, end].map(|at| covers(&row, at)), [false, true, true, false]);
    assert!(!consent::covers(&row, Purpose::Research, time(START)));
    let revoked = rows::ConsentRow { revoked_at: Some(time(START + 5)), ..row };
    assert_eq!([START + 4, START + 5].map(|at| covers(&revoked, at)), [true, false]);
}

#[test]
fn a_corrected_record_keeps_what_it_said_before() {
    let mut world = World::new();
    let amend = |seen_version, reason: &str| Command::AmendRecord {
        record: record(1),
        seen_version,
        reason: sealed(reason),
        content: sealed("corrected"),
    };
    assert_eq!(world.send(add_record(1, 1, 1)), confirmed(1, true));
    assert_eq!(world.send(add_record(1, 1, 1)), confirmed(1, false));
    assert_eq!(world.send(add_record(1, 2, 1)), rejected(Rejection::Exists { what: What::Record }));
    assert_eq!(world.send(amend(1, "")), rejected(Rejection::ReasonMissing));
    assert_eq!(world.send(amend(1, "typo")), confirmed(2, true));
    assert_eq!(world.send(amend(1, "typo")), rejected(Rejection::StaleVersion { current: 2 }));
    let first = rows::record_version(&world.rows, record(1), 1).unwrap().unwrap();
    let second = rows::record_version(&world.rows, record(1), 2).unwrap().unwrap();
    assert_eq!((first.content, first.reason), (sealed("document"), None));
    assert_eq!((second.content, second.reason, second.by), (sealed("corrected"), Some(sealed("typo")), actor(1)));
}

#[test]
fn records_are_paged_in_both_directions_and_by_time() {
    let mut world = World::new();
    for n in [5, 1, 4, 2, 3, 6] {
        world.send(add_record(n, 1, 1));
        world.send(add_record(n + 10, 2, 1));
    }
    let page = |order, authored, limit| {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = rows::records_of_patient(&world.rows, patient(1), authored, order, after, limit).unwrap();
            let Some((id, row)) = page.last() else { return all };
            after = Some(RecordCursor { authored_at: row.authored_at, record: *id });
            all.extend(page.iter().map(|(id, _)| id.as_bytes()[15]));
        }
    };
    assert_eq!(page(Order::Ascending, None, 2), [1, 2, 3, 4, 5, 6]);
    assert_eq!(page(Order::Descending, None, 4), [6, 5, 4, 3, 2, 1]);
    assert_eq!(page(Order::Ascending, Some(hours(2, 5)), 1), [2, 3, 4]);
    assert_eq!(page(Order::Descending, Some(hours(2, 5)), 2), [4, 3, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a map from consent to (patient, whether revoked, version).
    #[test]
    fn a_consent_is_given_once_and_taken_back_once(
        steps in prop::collection::vec((any::<bool>(), 1_u8..5, 1_u8..4, 1_u32..3), 1..60),
    ) {
        let mut world = World::new();
        let mut naive: BTreeMap<u8, (u8, bool, u32)> = BTreeMap::new();
        for (grants, n, whom, seen_version) in steps {
            let known = naive.get(&n).copied();
            let (command, expected) = if grants {
                let expected = match known {
                    None => confirmed(1, true),
                    Some((holder, false, version)) if holder == whom => confirmed(version, false),
                    Some((holder, true, _)) if holder == whom => rejected(Rejection::Revoked),
                    Some(_) => rejected(Rejection::Exists { what: What::Consent }),
                };
                naive.entry(n).or_insert((whom, false, 1));
                (grant(n, whom, 1), expected)
            } else {
                let expected = match known {
                    None => rejected(Rejection::Unknown { what: What::Consent }),
                    Some((_, true, _)) => rejected(Rejection::Revoked),
                    Some((_, false, version)) if version != seen_version => {
                        rejected(Rejection::StaleVersion { current: version })
                    }
                    Some((holder, false, _)) => {
                        naive.insert(n, (holder, true, 2));
                        confirmed(2, true)
                    }
                };
                (Command::RevokeConsent { consent: consent(n), seen_version, reason: sealed("") }, expected)
            };
            prop_assert_eq!(world.send(command), expected);
        }
        for (n, (holder, revoked, version)) in naive {
            let row = rows::consent(&world.rows, consent(n)).unwrap().unwrap();
            prop_assert_eq!((row.patient, row.revoked_at.is_some(), row.version), (patient(holder), revoked, version));
            let first = rows::consent_version(&world.rows, consent(n), 1).unwrap().unwrap();
            prop_assert_eq!(first.content, sealed("signed"));
            let covered = plantao_domain::consent::covers(&row, Purpose::Treatment, time(START + HOUR * 999));
            prop_assert_eq!(covered, !revoked);
            let listed = rows::consents_of_patient(&world.rows, patient(holder), None, 9).unwrap();
            prop_assert!(listed.iter().any(|(id, _)| *id == consent(n)));
        }
    }
}
