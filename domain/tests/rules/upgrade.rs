//! The format level: who has to read it before it rises, what waits for it, and the bytes that are frozen.

use crate::bytes::{assert_total, print_rows, printed};
use crate::world::*;
use plantao_domain::codec::*;
use plantao_domain::layout::{MemberChange, Standing};
use plantao_domain::rows::prefix;
use plantao_domain::upgrade::{self, Capability, LEVEL_NEWEST, LevelRow, PROGRAMS_MAX};
use plantao_domain::*;

/// Node 1 votes, node 2 replicates, node 3 joined and was removed.
fn network() -> World {
    let mut world = World::new();
    for n in 2..=3 {
        let not_after = time(START + HOUR);
        world.send(Command::CreateJoinToken { token: tag(n), not_after, keyed: true, voter: false });
        world.send(redeem(n, None));
    }
    let changes = vec![MemberChange { node: NodeId(3), to: Standing::Removed }];
    let gone = Command::ChangeMembers { changes, version: 0, reason: "sai".into(), allow_fewer_voters: true };
    assert_eq!(world.send(gone), confirmed(1, true));
    world
}

fn redeem(token: u8, level: Option<u32>) -> Command {
    Command::RedeemJoinToken { token: tag(token), node: node_description("novo"), level }
}

fn raise(seen: u32, to: u32, programs: &[(u64, u32)]) -> Command {
    let programs = programs.iter().map(|(node, newest)| Capability { node: NodeId(*node), newest: *newest }).collect();
    Command::RaiseLevel { seen, to, programs, reason: "todos na versão nova".into() }
}

fn too_old(node: u64, newest: u32) -> Outcome {
    rejected(Rejection::MemberTooOld { node: NodeId(node), newest })
}

fn token(world: &mut World, n: u8) {
    let not_after = time(START + HOUR);
    world.send(Command::CreateJoinToken { token: tag(n), not_after, keyed: true, voter: true });
}

#[test]
fn it_rises_once_every_node_that_is_left_reads_it_and_never_falls() {
    let mut world = network();
    assert_eq!(upgrade::level(&world.rows).unwrap(), 1);
    assert_eq!(world.send(raise(1, 2, &[(1, 2)])), too_old(2, 0), "a learner that nobody asked");
    assert_eq!(world.send(raise(1, 2, &[(1, 2), (2, 1)])), too_old(2, 1));
    assert_eq!(world.send(raise(1, 2, &[(2, 2), (3, 2)])), too_old(1, 0), "one that was removed is none");
    // Who joined meanwhile, and is no member yet, was not asked either.
    token(&mut world, 8);
    assert!(matches!(world.send(redeem(8, None)), Outcome::Confirmed { node: Some(NodeId(4)), .. }));
    assert_eq!(world.send(raise(1, 2, &[(1, 2), (2, 2)])), too_old(4, 0));
    let all = [(1, 2), (2, 2), (4, 3)];
    assert_eq!(world.send(raise(2, 2, &all)), rejected(Rejection::StaleVersion { current: 1 }));
    assert_eq!(world.send_as(who(Role::Manager, None), raise(1, 2, &all)), rejected(Rejection::Denied));
    assert_eq!(world.send(raise(1, 2, &all)), confirmed(2, true));
    let row = rows::level(&world.rows).unwrap().unwrap();
    assert_eq!((row.level, row.by, row.reason.as_str()), (2, actor(1), "todos na versão nova"));
    assert_eq!(world.send(raise(1, 2, &all)), confirmed(2, false), "repeated");
    assert_eq!(world.send(raise(2, 1, &all)), confirmed(2, false), "it never falls");
    assert_eq!(upgrade::level(&world.rows).unwrap(), 2);
}

#[test]
fn what_older_programs_do_not_read_waits_for_the_level_and_so_do_they_afterwards() {
    let mut world = network();
    token(&mut world, 8);
    let early = Rejection::LevelTooLow { needs: 2, level: 1 };
    assert_eq!(upgrade::admits(&world.rows, &redeem(8, Some(2))).unwrap(), Err(early.clone()));
    assert_eq!(world.send(redeem(8, Some(2))), rejected(early));
    assert_eq!(upgrade::admits(&world.rows, &raise(1, 2, &[])).unwrap(), Ok(()), "or it could never be raised");
    assert_eq!(world.send(raise(1, 2, &[(1, 2), (2, 2)])), confirmed(2, true));
    let too_old = rejected(Rejection::ProgramTooOld { needs: 2 });
    assert_eq!(world.send(redeem(8, None)), too_old, "asked for before the level was raised, applied after it");
    assert_eq!(world.send(redeem(8, Some(1))), too_old);
    assert!(matches!(world.send(redeem(8, Some(2))), Outcome::Confirmed { node: Some(NodeId(4)), .. }));
}

/// The version in the trail is the level, so that an auditor sees from when on older programs are shut out.
#[test]
fn it_is_in_the_trail() {
    let mut world = network();
    let envelope = world.envelope(raise(1, 2, &[(1, 2), (2, 2)]));
    let audit = world.apply(&envelope).audit;
    assert_eq!(audit.len(), 1);
    assert_eq!((audit[0].module, audit[0].action), (audit::Module::Cluster, audit::Action::Amend));
    assert_eq!((audit[0].object, audit[0].version, audit[0].refusal), (audit::Object::Cluster, 2, 0));
}

#[test]
fn a_reason_is_given_and_the_list_is_bounded() {
    let mut world = network();
    let with = |reason: &str, count: usize| {
        let programs = vec![Capability { node: NodeId(1), newest: 2 }; count];
        Command::RaiseLevel { seen: 1, to: 2, programs, reason: reason.to_owned() }
    };
    assert_eq!(world.send(with(" ", 1)), rejected(Rejection::ReasonMissing));
    assert!(matches!(world.send(with("a\u{1b}[2J", 1)), Outcome::Rejected(Rejection::Invalid { .. })));
    assert!(matches!(world.send(with("muitos", PROGRAMS_MAX + 1)), Outcome::Rejected(Rejection::Invalid { .. })));
}

/// A command of the newest level is of no newer one than this program reads.
#[test]
fn no_command_of_ours_needs_more_than_this_program_reads() {
    for command in samples_of_level() {
        assert!(upgrade::level_needed(&command) <= LEVEL_NEWEST, "{command:?}");
    }
    assert_eq!(upgrade::level_needed(&raise(2, 3, &[])), 3, "a level that this program does not know");
}

fn samples_of_level() -> Vec<Command> {
    vec![raise(1, 2, &[(1, 2), (2, 2)]), redeem(8, Some(2)), redeem(8, None)]
}

/// One of each refusal that is of levels alone.
pub(crate) fn refusals() -> Vec<Rejection> {
    let mut world = network();
    token(&mut world, 8);
    let cases = [redeem(8, Some(2)), raise(1, 2, &[(1, 2)]), raise(1, 2, &[(1, 2), (2, 2)]), redeem(8, None)];
    let outcomes = cases.map(|command| world.send(command));
    let refused = outcomes.into_iter().filter_map(|outcome| match outcome {
        Outcome::Rejected(rejection) => Some(rejection),
        _ => None,
    });
    refused.collect()
}

/// To accept an addition: the failing test prints the file as it is now.
#[test]
fn formats_of_levels_are_total_and_the_golden_ones() {
    let mut text = printed(samples_of_level(), refusals());
    let mut world = network();
    world.send(raise(1, 2, &[(1, 2), (2, 2)]));
    print_rows(&mut text, &world, |first| first == prefix::LEVEL);
    let row = rows::level(&world.rows).unwrap().unwrap();
    assert_total(&encode_row(&row), &row, decode_row::<LevelRow>);
    assert_eq!(text, include_str!("../upgrade.golden"), "the file now:\n{text}");
}
