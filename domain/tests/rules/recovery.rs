//! A lost majority that was given up: who is gone, whose copies count no more, and the bytes that are frozen.

use crate::world::*;
use plantao_domain::codec::{decode_envelope, encode_envelope};
use plantao_domain::command::Tag;
use plantao_domain::outcome::{Field, What};
use plantao_domain::recovery::{RECOVERIES_MAX, Recovery};
use plantao_domain::*;

fn recovery(incarnation: u32, kept: u64) -> Recovery {
    Recovery {
        incarnation,
        kept: vec![NodeId(kept)],
        last_term: 7,
        last_index: 918_204,
        dropped_voters: vec![NodeId(2), NodeId(3)],
        reason: Tag([9; 32]),
    }
}

fn note(incarnation: u32, kept: u64) -> Command {
    Command::NoteRecovery { recovery: recovery(incarnation, kept) }
}

fn cluster_of(world: &World) -> cluster::ClusterRow {
    rows::cluster(&world.rows).unwrap().unwrap()
}

#[test]
fn every_number_that_was_given_and_not_kept_has_left() {
    let mut world = imaging();
    assert_eq!(cluster_of(&world).incarnation(), 1);
    assert!(!cluster_of(&world).went_on_without(NodeId(2)));
    assert_eq!(world.send(note(2, 1)), confirmed(2, true));
    let cluster = cluster_of(&world);
    assert_eq!((cluster.incarnation(), cluster.next_node), (2, NodeId(5)));
    let left: Vec<u64> = (1..8).filter(|node| cluster.went_on_without(NodeId(*node))).collect();
    assert_eq!(left, [2, 3, 4], "and a number that is given later has not");
    // Nobody makes members of them again, and a vote of theirs is none of those that must be left.
    let standings = layout::standings(&world.rows).unwrap();
    let removed = |node| standings[&NodeId(node)] == layout::Standing::Removed;
    assert_eq!([1, 2, 3, 4].map(removed), [false, true, true, true]);
    assert_eq!([1, 2, 5].map(|node| layout::is_removed(&world.rows, NodeId(node)).unwrap()), [false, true, false]);
    // Their directories count no more, or an image would seem to have copies that nobody can read.
    let retired = |node| rows::store(&world.rows, NodeId(node)).unwrap().unwrap().retired_at.is_some();
    assert_eq!([1, 2, 3, 4].map(retired), [false, true, true, true]);
}

#[test]
fn an_incarnation_begins_once_and_only_with_nodes_that_are_there() {
    let mut world = imaging();
    let unknown = rejected(Rejection::Unknown { what: What::Node });
    let nobody = Command::NoteRecovery { recovery: Recovery { kept: Vec::new(), ..recovery(2, 1) } };
    assert_eq!(world.send(nobody), rejected(Rejection::Invalid { field: Field::Node }));
    assert_eq!(world.send(note(2, 3)), rejected(Rejection::Invalid { field: Field::Node }), "said by node 1");
    let both = |kept: &[u64]| Command::NoteRecovery {
        recovery: Recovery { kept: kept.iter().copied().map(NodeId).collect(), ..recovery(2, 1) },
    };
    assert_eq!(world.send(both(&[1, 9])), unknown);
    assert_eq!(world.send(note(1, 1)), rejected(Rejection::WrongClusterState));
    assert_eq!(world.send(both(&[1, 2])), confirmed(2, true));
    assert_eq!(world.send(note(2, 1)), rejected(Rejection::WrongClusterState), "it began already");
    let gone = Command::NoteRecovery { recovery: Recovery { kept: vec![NodeId(1), NodeId(3)], ..recovery(3, 1) } };
    assert_eq!(world.send(gone), unknown, "3 left with the first");
}

#[test]
fn the_newest_recoveries_are_kept() {
    let mut world = imaging();
    for incarnation in 2..30 {
        assert_eq!(world.send(note(incarnation, 1)), confirmed(incarnation, true));
    }
    let kept = cluster_of(&world).recoveries.unwrap();
    assert_eq!(kept.len(), RECOVERIES_MAX);
    assert!(kept.last().is_some_and(|row| row.recovery == recovery(29, 1) && row.next_node == NodeId(5)));
}

/// Only a node says so, and the trail shows the incarnation as the version of the cluster.
#[test]
fn it_is_in_the_trail_and_no_person_may_say_it() {
    let mut world = imaging();
    let mut envelope = world.envelope(note(2, 1));
    envelope.actor = who(Role::Operator, None);
    assert_eq!(world.apply(&envelope).outcome, rejected(Rejection::Denied));
    let envelope = world.envelope(note(2, 1));
    let audit = world.apply(&envelope).audit;
    assert_eq!(audit.len(), 1);
    assert_eq!((audit[0].module, audit[0].action), (audit::Module::Cluster, audit::Action::Create));
    assert_eq!((audit[0].version, audit[0].refusal), (2, 0));
}

/// These bytes lie in logs and rows of recovered networks: they never change.
#[test]
fn the_bytes_are_frozen() {
    let mut world = imaging();
    let envelope = world.envelope(note(2, 1));
    let bytes = encode_envelope(&envelope);
    assert_eq!(decode_envelope(&bytes).unwrap(), envelope);
    for end in 0..bytes.len() {
        assert!(decode_envelope(&bytes[..end]).is_err(), "cut at {end}");
    }
    let frozen = "8218268186028101071a000e02bc8202035820";
    assert!(hex(&bytes).contains(frozen), "{}", hex(&bytes));
    world.apply(&envelope);
    let row = world.rows.rows().get(&rows::cluster_key()).unwrap().clone();
    let frozen = "818386028101071a000e02bc8202035820";
    assert!(hex(&row).contains(frozen), "{}", hex(&row));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
