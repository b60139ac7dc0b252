//! Creating a cluster, joining it, handing the root key over once; the directory.

use crate::world::*;
use plantao_domain::command::KeyOwner;
use plantao_domain::outcome::{Field, What};
use plantao_domain::rows;
use plantao_domain::*;

fn token(n: u8, hour: i64, keyed: bool, voter: bool) -> Command {
    Command::CreateJoinToken { token: tag(n), not_after: time(START + hour * HOUR), keyed, voter }
}

fn redeem(n: u8) -> Command {
    Command::RedeemJoinToken { token: tag(n), node: node_description("novo"), level: None }
}

fn joined(node: u64) -> Outcome {
    Outcome::Confirmed { version: 0, changed: true, node: Some(NodeId(node)) }
}

#[test]
fn before_there_is_a_cluster_nothing_is_written() {
    let mut world = World::empty();
    for command in samples().into_iter().skip(1) {
        assert_eq!(world.send(command), rejected(Rejection::WrongClusterState));
    }
    let mut bad = create_cluster();
    if let Command::CreateCluster { name, .. } = &mut bad {
        *name = "Rede".into();
    }
    assert_eq!(world.send(bad), rejected(Rejection::Invalid { field: Field::Slug }));
    assert!(world.rows.rows().is_empty());
    assert_eq!(world.send(create_cluster()), joined(1));
    assert_eq!(world.send(create_cluster()), rejected(Rejection::WrongClusterState));
    let view = &world.rows;
    assert_eq!(rows::cluster(view).unwrap().unwrap().next_node, NodeId(2));
    assert_eq!(rows::recovery_slot(view).unwrap(), Some(sealed("slot")));
    assert_eq!(rows::epoch_key(view, 1).unwrap(), Some(sealed("epoch")));
    assert_eq!(rows::data_key(view, KeyOwner::Search).unwrap(), Some(wrapped(1)));
    assert_eq!(rows::data_key(view, KeyOwner::ContentTag).unwrap(), Some(wrapped(2)));
    assert!(rows::node(view, NodeId(1)).unwrap().unwrap().root_handed);
}

#[test]
fn a_token_lets_one_node_in_and_gives_no_more_than_it_says() {
    let mut world = World::new();
    let refused = rejected(Rejection::TokenRefused);
    assert_eq!(world.send(redeem(1)), refused, "unknown");
    assert_eq!(world.send(token(1, 1, true, false)), confirmed(0, true));
    assert_eq!(world.send(token(1, 1, true, false)), confirmed(0, false));
    assert_eq!(world.send(token(1, 2, true, true)), refused, "the same with another content");
    assert_eq!(world.send(token(2, 1, false, true)), confirmed(0, true));
    assert_eq!(world.send(redeem(1)), joined(2));
    assert_eq!(world.send(redeem(1)), refused, "spent");
    assert_eq!(world.send(redeem(2)), joined(3));
    let nodes = rows::nodes(&world.rows, Some(NodeId(1)), 9).unwrap();
    let rights: Vec<_> = nodes.iter().map(|(id, n)| (id.0, n.description.keyed, n.description.voter)).collect();
    assert_eq!(rights, [(2, true, false), (3, false, true)]);
    assert_eq!(world.send(token(3, 1, true, true)), confirmed(0, true));
    world.now += 2 * HOUR;
    assert_eq!(world.send(redeem(3)), refused, "too old");
    assert_eq!(world.send(token(4, 1, true, true)), refused, "too old from the start");
    assert_eq!(world.send(token(5, 9, true, true)), confirmed(0, true));
    assert_eq!(rows::join_tokens(&world.rows, 99).unwrap().len(), 1, "outdated ones go");
    for n in 6..69 {
        assert_eq!(world.send(token(n, 9, true, true)), confirmed(0, true));
    }
    assert_eq!(world.send(token(69, 9, true, true)), refused, "no more than 64 at a time");
}

#[test]
fn the_root_key_is_handed_once_and_never_off_site() {
    let mut world = World::new();
    let hand = |n| Command::NoteRootHanded { node: NodeId(n) };
    world.send(token(1, 1, true, true));
    world.send(token(2, 1, false, true));
    world.send(redeem(1));
    world.send(redeem(2));
    assert_eq!(world.send(hand(2)), confirmed(0, true));
    assert_eq!(world.send(hand(2)), confirmed(0, false));
    assert_eq!(world.send(hand(3)), rejected(Rejection::Invalid { field: Field::Node }));
    assert_eq!(world.send(hand(4)), rejected(Rejection::Unknown { what: What::Node }));
}

#[test]
fn the_directory_is_registered_once() {
    let mut world = World::new();
    let register = |n, slug: &str| Command::RegisterUnit {
        unit: unit(n),
        slug: slug.into(),
        key: wrapped(n),
        content: sealed("sealed anew"),
    };
    let content = sealed("sealed anew");
    let person = |n, at| Command::RegisterPractitioner {
        practitioner: practitioner(n),
        unit: unit(at),
        content: content.clone(),
    };
    let chamber = |n, at| Command::RegisterRoom { room: room(n), unit: unit(at), content: content.clone() };
    let exists = |what| rejected(Rejection::Exists { what });
    assert_eq!(world.send(register(1, "centro")), confirmed(1, false));
    assert_eq!(world.send(register(1, "outro")), exists(What::Unit));
    assert_eq!(world.send(register(3, "centro")), exists(What::Unit));
    assert_eq!(world.send(person(1, 1)), confirmed(1, false));
    assert_eq!(world.send(person(1, 2)), exists(What::Practitioner));
    assert_eq!(world.send(person(9, 9)), rejected(Rejection::Unknown { what: What::Unit }));
    assert_eq!(world.send(chamber(1, 1)), confirmed(1, false));
    assert_eq!(world.send(chamber(1, 2)), exists(What::Room));
    let view = &world.rows;
    assert_eq!(rows::unit_by_slug(view, "centro").unwrap(), Some(unit(1)));
    assert_eq!(rows::units(view, None, 9).unwrap().len(), 2);
    assert_eq!(rows::units(view, Some(unit(1)), 9).unwrap()[0].0, unit(2));
    assert_eq!(rows::rooms(view, Some(unit(1)), None, 9).unwrap().len(), 2);
    assert_eq!(rows::rooms(view, None, Some(room(1)), 9).unwrap().len(), 2);
    assert_eq!(rows::practitioners(view, Some(unit(2)), None, 9).unwrap()[0].0, practitioner(3));
    assert_eq!(rows::practitioners(view, Some(unit(1)), Some(practitioner(1)), 9).unwrap()[0].0, practitioner(2));
    assert_eq!(rows::patients(view, Some(patient(2)), 9).unwrap().len(), 2);
}
