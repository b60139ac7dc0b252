#![allow(clippy::unwrap_used)]

use super::*;
use crate::images::keeping::testing::{Rows, US, chunk, incarnation, patient, store, upload};
use std::fs;

const LATER: i64 = i64::MAX >> 16;

fn before(millis: i64) -> ClusterTime {
    ClusterTime::saturating_from_millis(millis)
}

fn numbers(found: &[WantedPart]) -> Vec<u8> {
    found.iter().map(|part| part.of.upload.as_bytes()[0]).collect()
}

#[test]
fn what_lacks_a_receipt_of_this_directory_is_wanted_newest_first() {
    let mut rows = Rows::default();
    let ours = incarnation(7);
    rows.image(1, 100, &[chunk(1).0], None);
    rows.image(2, 200, &[chunk(2).0], Some(ours));
    // Of the directory that was lost.
    rows.image(3, 300, &[chunk(3).0], Some(incarnation(6)));
    rows.image(4, 400, &[chunk(4).0], None);
    let list = |before_ms, skip: &[u8], enough: fn(&WantedPart) -> bool| {
        let skip = skip.iter().map(|n| PartOf { upload: upload(*n), part: 0 }).collect();
        numbers(&unreceived(&rows.0, US, ours, before(before_ms), &skip, enough).unwrap())
    };
    assert_eq!(list(LATER, &[], |_| false), [4, 3, 1]);
    assert_eq!(list(400, &[], |_| false), [3, 1], "what was committed just now is given by its sender");
    assert_eq!(list(LATER, &[3], |_| false), [4, 1]);
    assert_eq!(list(LATER, &[], |_| true), [4], "the newest has room first");
}

#[test]
fn a_copy_that_vanished_is_lost_only_where_a_receipt_promises_it() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let ours = incarnation(7);
    let mut rows = Rows::default();
    for n in 1..=4 {
        let (id, bytes) = chunk(n);
        let received = (n != 4).then_some(ours);
        rows.image(n, i64::from(n), &[id], received);
        if n < 3 {
            store.directory().put(id, &bytes).unwrap();
        }
    }
    let all = || -> Vec<ChunkId> {
        let of = |partition| lost(&rows.0, store.directory(), US, ours, partition).unwrap();
        (0..=u8::MAX).flat_map(of).map(|(id, _)| id).collect()
    };
    assert_eq!(all(), [chunk(3).0], "the fourth has no receipt: its row says what it lacks");
    let name = chunk(1).0.to_string();
    fs::remove_file(home.path().join("chunks").join(&name[..2]).join(&name)).unwrap();
    let mut expected = vec![chunk(1).0, chunk(3).0];
    expected.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    assert_eq!(all(), expected);
    assert!(is_expected(&rows.0, US, chunk(1).0).unwrap());
    assert!(!is_expected(&rows.0, NodeId(2), chunk(1).0).unwrap() && !is_expected(&rows.0, US, chunk(9).0).unwrap());
}

#[test]
fn who_has_a_receipt_is_asked_first_and_nobody_for_what_is_to_be_deleted() {
    let mut rows = Rows::default();
    rows.holder(1, "centro", true, incarnation(1));
    rows.holder(2, "cofre", false, incarnation(2));
    rows.holder(3, "jardins", true, incarnation(3));
    rows.holder(4, "centro", true, incarnation(4));
    rows.holder(5, "moema", true, incarnation(5));
    let id = chunk(1).0;
    let ask = |rows: &Rows| {
        holders(&rows.0, US, id).unwrap().map(|nodes| nodes.iter().map(|node| node.0).collect::<Vec<_>>())
    };
    assert_eq!(ask(&rows), None, "nothing names it");
    rows.image(1, 100, &[id], None);
    assert_eq!(ask(&rows), Some(vec![4, 3, 5, 2]), "the same site, then units");
    let of = PartOf { upload: upload(1), part: 0 };
    rows.receipt(of, NodeId(2), incarnation(2));
    rows.receipt(of, NodeId(5), incarnation(5));
    // Of a directory that is gone.
    rows.receipt(of, NodeId(3), incarnation(9));
    assert_eq!(ask(&rows), Some(vec![5, 2, 4, 3]));
    let us = rows::StoreOf { node: US, incarnation: incarnation(1) };
    rows.tombstone(id, 1, 0, Some(patient(1)), us);
    assert_eq!(ask(&rows), None);
}
