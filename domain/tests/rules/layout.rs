//! Who is to be a member: what is decided, staged and replaced, and what is refused.

use crate::bytes::{assert_total, print_rows, printed};
use crate::world::*;
use plantao_domain::codec::*;
use plantao_domain::layout::{LayoutRow, MemberChange, Standing, StandingRow, standings};
use plantao_domain::outcome::What;
use plantao_domain::rows::{self, prefix};
use plantao_domain::*;

const NOW: &str = "troca de disco";

fn to(node: u64, to: Standing) -> MemberChange {
    MemberChange { node: NodeId(node), to }
}

fn change(changes: &[MemberChange], version: u32) -> Command {
    Command::ChangeMembers { changes: changes.to_vec(), version, reason: NOW.into(), allow_fewer_voters: false }
}

fn allow(changes: &[MemberChange]) -> Command {
    Command::ChangeMembers { changes: changes.to_vec(), version: 0, reason: NOW.into(), allow_fewer_voters: true }
}

fn stage(seen_version: u32, changes: &[MemberChange]) -> Command {
    Command::StageLayout { seen_version, changes: changes.to_vec() }
}

fn replace(token: u8, node: u64) -> Command {
    Command::PlanReplacement {
        token: tag(token),
        not_after: time(START + HOUR),
        node: NodeId(node),
        reason: NOW.into(),
    }
}

fn redeem(token: u8) -> Command {
    Command::RedeemJoinToken { token: tag(token), node: node_description("novo"), level: None }
}

/// Nodes 1 to `voters` vote; one more learns.
fn network(voters: u8) -> World {
    let mut world = World::new();
    for n in 2..=voters + 1 {
        let (not_after, voter) = (time(START + HOUR), n <= voters);
        world.send(Command::CreateJoinToken { token: tag(n), not_after, keyed: true, voter });
        world.send(redeem(n));
    }
    world
}

fn now(world: &World) -> Vec<Standing> {
    standings(&world.rows).unwrap().into_values().collect()
}

use Standing::{Learner as L, Removed as R, Voter as V};

#[test]
fn what_was_decided_counts_and_what_was_removed_stays_so() {
    let mut world = network(3);
    assert_eq!(now(&world), [V, V, V, L]);
    assert_eq!(world.send(change(&[to(4, V)], 0)), confirmed(1, true));
    assert_eq!(world.send(change(&[to(4, V)], 0)), confirmed(1, false));
    assert_eq!(world.send(change(&[to(1, L)], 0)), confirmed(2, true));
    assert_eq!(now(&world), [L, V, V, V]);
    let row = rows::standing(&world.rows, NodeId(1)).unwrap().unwrap();
    assert_eq!((row.standing, row.reason.as_str(), row.replaces), (L, NOW, None));
    assert_eq!(world.send(change(&[to(1, R)], 0)), confirmed(3, true));
    assert_eq!(world.send(change(&[to(1, V)], 0)), rejected(Rejection::NodeRemoved));
    assert_eq!(world.send(change(&[to(9, V)], 0)), rejected(Rejection::Unknown { what: What::Node }));
    let few = rejected(Rejection::TooFewVoters { voters: 2 });
    assert_eq!(world.send(change(&[to(2, L)], 0)), few);
    assert_eq!(world.send(allow(&[to(2, L)])), confirmed(4, true));
    assert_eq!(world.send(allow(&[to(3, L), to(4, L)])), rejected(Rejection::TooFewVoters { voters: 0 }), "never none");
    assert_eq!(world.send(change(&[to(2, V)], 0)), confirmed(5, true), "more voters need no leave");
}

#[test]
fn what_is_staged_is_applied_as_it_was_seen_or_not_at_all() {
    let mut world = network(3);
    assert_eq!(world.send(change(&[], 0)), rejected(Rejection::NothingStaged));
    assert_eq!(world.send(stage(0, &[to(4, V)])), confirmed(1, true));
    let stale = |current| rejected(Rejection::StaleVersion { current });
    assert_eq!(world.send(stage(0, &[to(1, R)])), stale(1), "somebody else was faster");
    assert_eq!(world.send(stage(1, &[to(1, R)])), confirmed(2, true), "beside what is staged");
    assert_eq!(rows::layout(&world.rows).unwrap().staged, [to(1, R), to(4, V)]);
    assert_eq!(now(&world), [V, V, V, L], "nothing happens before it is applied");
    assert_eq!(world.send(change(&[], 1)), stale(2));
    assert_eq!(world.send(stage(2, &[to(1, V)])), confirmed(3, true), "what is so already needs no change");
    assert_eq!(rows::layout(&world.rows).unwrap().staged, [to(4, V)]);
    assert_eq!(world.send(change(&[], 3)), confirmed(4, true));
    assert_eq!(now(&world), [V, V, V, V]);
    assert!(rows::layout(&world.rows).unwrap().staged.is_empty());
    assert_eq!(world.send(stage(4, &[to(2, L)])), confirmed(5, true));
    assert_eq!(world.send(stage(5, &[])), confirmed(6, true), "taken back");
    assert_eq!(world.send(change(&[], 6)), rejected(Rejection::NothingStaged));
    // What was staged and was done by hand is staged no more; a preview of before is stale.
    assert_eq!(world.send(stage(6, &[to(2, L)])), confirmed(7, true));
    assert_eq!(world.send(change(&[to(2, R)], 0)), confirmed(8, true));
    assert!(rows::layout(&world.rows).unwrap().staged.is_empty());
    assert_eq!(world.send(change(&[], 7)), stale(8));
}

#[test]
fn a_replacement_gets_the_place_when_the_leader_says_so_and_the_old_directory_counts_no_more() {
    let mut world = network(3);
    assert_eq!(world.send(register_store(2, 2)), confirmed(0, true));
    assert_eq!(world.send(replace(7, 2)), confirmed(0, true));
    assert_eq!(world.send(replace(8, 2)), confirmed(0, true));
    assert_eq!(world.send(redeem(7)), rejected(Rejection::TokenRefused), "the later token is the one");
    assert!(matches!(world.send(redeem(8)), Outcome::Confirmed { node: Some(NodeId(5)), .. }));
    assert_eq!(now(&world), [V, V, V, L, L], "a learner until it has caught up");
    assert_eq!(rows::standing(&world.rows, NodeId(5)).unwrap().unwrap().replaces, Some(NodeId(2)));
    assert_eq!(world.send(replace(9, 2)), rejected(Rejection::ReplacementUnderWay));
    let succeed = Command::SucceedMember { old: NodeId(2), new: NodeId(5), keep_old: false };
    assert_eq!(world.send_as(who(Role::Operator, None), succeed.clone()), rejected(Rejection::Denied));
    assert_eq!(world.send(succeed.clone()), confirmed(1, true));
    assert_eq!(now(&world), [V, R, V, L, V]);
    assert_eq!(world.send(succeed), confirmed(1, false));
    assert!(rows::store(&world.rows, NodeId(2)).unwrap().unwrap().retired_at.is_some());
    assert_eq!(world.send(register_store(2, 3)), rejected(Rejection::StoreRefused), "nor does a new one of it");
    assert_eq!(world.send(replace(9, 2)), rejected(Rejection::NodeRemoved));
    // A voter that may come back keeps its number and its directory.
    let stand_in = Command::SucceedMember { old: NodeId(3), new: NodeId(4), keep_old: true };
    assert_eq!(world.send(stand_in), confirmed(2, true));
    assert_eq!(now(&world), [V, R, L, V, V]);
    let gone = Command::SucceedMember { old: NodeId(3), new: NodeId(2), keep_old: true };
    assert_eq!(world.send(gone), rejected(Rejection::NodeRemoved));
}

#[test]
fn a_change_needs_a_reason_that_can_be_printed() {
    let mut world = network(3);
    let with = |reason: &str| Command::ChangeMembers {
        changes: vec![to(4, V)],
        version: 0,
        reason: reason.into(),
        allow_fewer_voters: false,
    };
    assert_eq!(world.send(with(" ")), rejected(Rejection::ReasonMissing));
    for bad in ["a\u{1b}[2J".to_owned(), "x".repeat(201)] {
        assert!(matches!(world.send(with(&bad)), Outcome::Rejected(Rejection::Invalid { .. })));
    }
    let many = vec![to(4, V); 51];
    assert!(matches!(world.send(change(&many, 0)), Outcome::Rejected(Rejection::Invalid { .. })));
    assert!(matches!(world.send(stage(0, &many)), Outcome::Rejected(Rejection::Invalid { .. })));
    assert_eq!(world.send_as(who(Role::Manager, Some(1)), with("ok")), rejected(Rejection::Denied));
    assert_eq!(now(&world), [V, V, V, L]);
}

/// One of each refusal that is of members alone.
pub(crate) fn refusals() -> Vec<Rejection> {
    let mut world = network(3);
    world.send(change(&[to(4, R)], 0));
    world.send(replace(8, 2));
    world.send(redeem(8));
    let cases = [change(&[to(1, L)], 0), change(&[to(4, V)], 0), change(&[], 1), replace(9, 2)];
    let refused = cases.map(|command| match world.send(command) {
        Outcome::Rejected(rejection) => rejection,
        other => panic!("{other:?}"),
    });
    refused.to_vec()
}

fn samples() -> Vec<Command> {
    vec![
        stage(0, &[to(2, L)]),
        change(&[to(4, V)], 1),
        replace(8, 3),
        Command::SucceedMember { old: NodeId(3), new: NodeId(4), keep_old: true },
    ]
}

/// To accept an addition: the failing test prints the file as it is now.
#[test]
fn formats_of_members_are_total_and_the_golden_ones() {
    let mut text = printed(samples(), refusals());
    let mut world = network(3);
    for command in samples() {
        assert!(matches!(world.send(command.clone()), Outcome::Confirmed { .. }), "{command:?}");
    }
    let ours = [prefix::STANDING, prefix::LAYOUT, prefix::JOIN_TOKEN];
    print_rows(&mut text, &world, |first| ours.contains(&first));
    for (_, row) in rows::standings(&world.rows, 9).unwrap() {
        assert_total(&encode_row(&row), &row, decode_row::<StandingRow>);
    }
    let layout = rows::layout(&world.rows).unwrap();
    assert_total(&encode_row(&layout), &layout, decode_row::<LayoutRow>);
    assert_eq!(text, include_str!("../members.golden"), "the file now:\n{text}");
}
