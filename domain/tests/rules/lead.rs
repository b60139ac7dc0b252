//! The lead as a matter of record: one row for each term, reasons that reach it, and a policy within its bounds.

use crate::world::*;
use plantao_domain::audit::{Action, Object};
use plantao_domain::lead::{
    HISTORY_MAX, LeadCause, LeadChange, LeadKind, Leadership, PAUSE_MS_MAX, REASON_BYTES_MAX, SCHEDULE_MS_MAX,
    SCHEDULE_WINDOW_MS,
};
use plantao_domain::outcome::{Field, What};
use plantao_domain::rows;
use plantao_domain::*;

/// A cluster of node 1 and node 2, both with keys, and node 3 without.
pub(crate) fn two_nodes() -> World {
    let mut world = World::new();
    for (n, keyed) in [(2, true), (3, false)] {
        world.send(Command::CreateJoinToken { token: tag(n), not_after: time(START + 9 * HOUR), keyed, voter: true });
        world.send(Command::RedeemJoinToken { token: tag(n), node: node_description("novo"), level: None });
    }
    world
}

fn told(term: u64, from: u64, to: u64, kind: LeadKind, cause: LeadCause) -> Leadership {
    let (from, to) = (Some(NodeId(from)), NodeId(to));
    Leadership { term, from, to, kind, cause, detected_ms: Some(1_600), gap_ms: Some(2_900) }
}

fn note(term: u64, from: u64, to: u64) -> Command {
    Command::NoteLeadership(told(term, from, to, LeadKind::Automatic, LeadCause::Silence))
}

fn planned(term: u64, from: u64, to: u64) -> Command {
    let leadership = told(term, from, to, LeadKind::Planned, LeadCause::HandedOver);
    Command::NoteLeadership(Leadership { detected_ms: None, ..leadership })
}

fn begin(to: u64, term: u64, cause: LeadCause) -> Command {
    Command::BeginHandover { to: NodeId(to), term, cause, reason: "troca de nobreak".into() }
}

fn set(change: LeadChange) -> Command {
    Command::SetLead { change, reason: "obra".into() }
}

/// One of every command, each done, after [`two_nodes`].
pub(crate) fn lead_samples() -> Vec<Command> {
    let until = time(START + 5 * HOUR);
    let node = NodeId(2);
    vec![
        note(2, 1, 2),
        begin(1, 2, LeadCause::Switchover),
        planned(3, 2, 1),
        set(LeadChange::Prefer { node: Some(node) }),
        set(LeadChange::Prefer { node: None }),
        set(LeadChange::Prefer { node: Some(NodeId(1)) }),
        set(LeadChange::Pause { until }),
        set(LeadChange::Resume),
        set(LeadChange::Pause { until }),
        set(LeadChange::StartMaintenance { until }),
        set(LeadChange::StopMaintenance),
        set(LeadChange::StartMaintenance { until }),
        set(LeadChange::Drain { node }),
        set(LeadChange::Undrain { node }),
        set(LeadChange::Schedule { at: until, to: Some(node) }),
        set(LeadChange::CancelSchedule),
        set(LeadChange::Schedule { at: until, to: None }),
        set(LeadChange::Drain { node: NodeId(3) }),
        begin(2, 3, LeadCause::Preferred),
    ]
}

/// The numbers of the refusals of the lead, each as it is given.
pub(crate) fn refusals() -> Vec<u16> {
    let at = |hours| time(START + hours * HOUR);
    let drain = set(LeadChange::Drain { node: NodeId(2) });
    let schedule = set(LeadChange::Schedule { at: at(5), to: None });
    let mut world = two_nodes();
    for command in [drain, schedule.clone()] {
        assert_eq!(world.send(command), confirmed(0, true));
    }
    let before = world.objects();
    let refused = [
        begin(2, 1, LeadCause::Switchover),
        set(LeadChange::Pause { until: at(100) }),
        schedule,
        set(LeadChange::Prefer { node: Some(NodeId(3)) }),
    ];
    let codes = refused.map(|command| match world.send(command) {
        Outcome::Rejected(rejection) => rejection.code(),
        other => panic!("not refused: {other:?}"),
    });
    assert_eq!(world.objects(), before, "nothing changed");
    codes.into()
}

#[test]
fn each_term_has_one_row_whatever_its_leader_repeats() {
    let mut world = two_nodes();
    assert_eq!(world.send(note(2, 1, 2)), confirmed(0, true));
    assert_eq!(world.send(note(2, 1, 2)), confirmed(0, false));
    let invalid = rejected(Rejection::Invalid { field: Field::Node });
    assert_eq!(world.send(note(2, 2, 1)), invalid, "a term has one leader");
    let foreign = Envelope { via: NodeId(1), ..world.envelope(note(3, 1, 2)) };
    assert_eq!(world.apply(&foreign).outcome, invalid, "a node speaks for itself");
    let operator = world.send_as(who(Role::Operator, None), note(3, 1, 2));
    assert_eq!(operator, rejected(Rejection::Denied));
    assert_eq!(world.send(note(5, 2, 1)), confirmed(0, true));
    // A leader that was cut off may tell of its term when others have come after it.
    assert_eq!(world.send(note(4, 1, 2)), confirmed(0, true));
    let terms: Vec<u64> = rows::leaderships(&world.rows, 9).unwrap().iter().map(|row| row.told.term).collect();
    assert_eq!(terms, [5, 4, 2]);
    assert_eq!(rows::leaderships(&world.rows, 1).unwrap().len(), 1);
}

#[test]
fn only_the_newest_changes_are_kept() {
    let mut world = two_nodes();
    let max = HISTORY_MAX as u64;
    for term in 0..max {
        world.send(note(10 + term, 1, 2));
    }
    assert_eq!(world.send(note(9, 1, 2)), confirmed(0, false), "older than all that are kept");
    assert_eq!(rows::leadership(&world.rows, 9).unwrap(), None);
    assert_eq!(world.send(note(10 + max, 1, 2)), confirmed(0, true));
    let kept = rows::leaderships(&world.rows, usize::MAX).unwrap();
    assert_eq!((kept.len(), kept[0].told.term), (HISTORY_MAX, 10 + max));
    assert_eq!(rows::leadership(&world.rows, 10).unwrap(), None, "the oldest went");
}

#[test]
fn the_reason_of_a_handover_reaches_the_history_and_goes_no_further() {
    let mut world = two_nodes();
    assert_eq!(world.send(begin(2, 4, LeadCause::Switchover)), confirmed(0, true));
    assert_eq!(world.send(planned(5, 1, 2)), confirmed(0, true));
    let row = rows::leadership(&world.rows, 5).unwrap().unwrap();
    assert_eq!((row.told.cause, row.reason.as_str()), (LeadCause::Switchover, "troca de nobreak"));
    assert_eq!(row.by, Some(actor(1)));
    assert_eq!(rows::handover(&world.rows).unwrap(), None, "it is done");

    // The leader died before it could hand over, and the same node was elected: that was no switchover.
    world.send(begin(1, 5, LeadCause::Switchover));
    world.send(note(6, 2, 1));
    let row = rows::leadership(&world.rows, 6).unwrap().unwrap();
    assert_eq!((row.told.cause, row.reason.as_str(), row.by), (LeadCause::Silence, "", None));
    assert_eq!(rows::handover(&world.rows).unwrap(), None, "it means nobody any more");

    // Announced in this very term: for the leader after it.
    world.send(begin(2, 8, LeadCause::Failback));
    world.send(planned(8, 1, 2));
    assert_eq!(rows::leadership(&world.rows, 8).unwrap().unwrap().told.cause, LeadCause::HandedOver);
    assert!(rows::handover(&world.rows).unwrap().is_some());
}

#[test]
fn the_trail_has_who_asked_for_a_handover() {
    let mut world = two_nodes();
    let envelope = world.envelope(begin(2, 1, LeadCause::Switchover));
    let [entry] = &world.apply(&envelope).audit[..] else { panic!("one entry") };
    assert_eq!((entry.action, entry.object, entry.actor), (Action::Move, Object::Node(NodeId(2)), envelope.actor));
    let manager = world.send_as(who(Role::Manager, Some(1)), begin(2, 1, LeadCause::Switchover));
    assert_eq!(manager, rejected(Rejection::Denied));
}

#[test]
fn a_drained_or_unknown_node_gets_no_lead() {
    let mut world = two_nodes();
    let unknown = rejected(Rejection::Unknown { what: What::Node });
    let at = time(START + 5 * HOUR);
    for command in [
        begin(9, 1, LeadCause::Switchover),
        set(LeadChange::Prefer { node: Some(NodeId(9)) }),
        set(LeadChange::Drain { node: NodeId(9) }),
        set(LeadChange::Schedule { at, to: Some(NodeId(9)) }),
    ] {
        assert_eq!(world.send(command), unknown);
    }
    assert_eq!(world.send(set(LeadChange::Drain { node: NodeId(2) })), confirmed(0, true));
    assert_eq!(world.send(set(LeadChange::Drain { node: NodeId(2) })), confirmed(0, false));
    let drained = rejected(Rejection::Drained { node: NodeId(2) });
    for command in [
        begin(2, 1, LeadCause::Switchover),
        set(LeadChange::Prefer { node: Some(NodeId(2)) }),
        set(LeadChange::Schedule { at, to: Some(NodeId(2)) }),
    ] {
        assert_eq!(world.send(command), drained);
    }
    assert_eq!(world.send(set(LeadChange::Undrain { node: NodeId(2) })), confirmed(0, true));
    assert_eq!(world.send(begin(2, 1, LeadCause::Switchover)), confirmed(0, true));
    let keyless = rejected(Rejection::Keyless { node: NodeId(3) });
    assert_eq!(world.send(set(LeadChange::Prefer { node: Some(NodeId(3)) })), keyless);
}

#[test]
fn a_pause_ends_and_a_schedule_is_one() {
    let mut world = two_nodes();
    let refused = rejected(Rejection::TooFarAhead);
    // The next command is applied a second after `now`.
    let ahead = |world: &World, ms: i64| time(world.now + 1000 + ms);
    for (ms, outcome) in [(0, &refused), (-1, &refused), (PAUSE_MS_MAX + 1, &refused)] {
        let until = ahead(&world, ms);
        assert_eq!(&world.send(set(LeadChange::Pause { until })), outcome, "{ms}");
        let until = ahead(&world, ms);
        assert_eq!(&world.send(set(LeadChange::StartMaintenance { until })), outcome, "{ms}");
    }
    let until = ahead(&world, PAUSE_MS_MAX);
    assert_eq!(world.send(set(LeadChange::Pause { until })), confirmed(0, true));
    let policy = rows::lead_policy(&world.rows).unwrap();
    assert!(policy.is_paused(time(until.millis() - 1)) && !policy.is_paused(until), "it ends by itself");
    assert!(!policy.is_maintained(time(START)));

    let at = ahead(&world, SCHEDULE_MS_MAX + 1);
    assert_eq!(world.send(set(LeadChange::Schedule { at, to: None })), refused);
    let at = ahead(&world, HOUR);
    assert_eq!(world.send(set(LeadChange::Schedule { at, to: None })), confirmed(0, true));
    let other = set(LeadChange::Schedule { at: ahead(&world, 2 * HOUR), to: Some(NodeId(2)) });
    assert_eq!(world.send(other.clone()), rejected(Rejection::AlreadyScheduled));
    let schedule = rows::lead_policy(&world.rows).unwrap().schedule.unwrap();
    assert!(!schedule.is_due(time(at.millis() - 1)) && schedule.is_due(at));
    assert!(schedule.is_due(time(at.millis() + SCHEDULE_WINDOW_MS)));
    assert!(!schedule.is_due(time(at.millis() + SCHEDULE_WINDOW_MS + 1)), "missed");
    world.now = at.millis() + SCHEDULE_WINDOW_MS;
    assert_eq!(world.send(set(LeadChange::Schedule { at: ahead(&world, HOUR), to: None })), confirmed(0, true));
    assert_eq!(world.send(set(LeadChange::CancelSchedule)), confirmed(0, true));
    assert_eq!(world.send(set(LeadChange::CancelSchedule)), confirmed(0, false));
}

#[test]
fn a_scheduled_switchover_happens_once() {
    let mut world = two_nodes();
    let at = time(world.now + HOUR);
    world.send(set(LeadChange::Schedule { at, to: Some(NodeId(2)) }));
    world.send(note(2, 1, 2));
    assert!(rows::lead_policy(&world.rows).unwrap().schedule.is_some(), "an election is not what was scheduled");
    world.now = at.millis();
    world.send(begin(2, 2, LeadCause::Scheduled));
    world.send(planned(3, 1, 2));
    assert_eq!(rows::lead_policy(&world.rows).unwrap().schedule, None);
    assert_eq!(rows::leadership(&world.rows, 3).unwrap().unwrap().told.cause, LeadCause::Scheduled);
}

#[test]
fn reasons_are_short_and_plain() {
    let mut world = two_nodes();
    let with = |reason: &str| Command::BeginHandover {
        to: NodeId(2),
        term: 1,
        cause: LeadCause::Switchover,
        reason: reason.into(),
    };
    let invalid = rejected(Rejection::Invalid { field: Field::Reason });
    for bad in ["a\nb", "\u{1b}[2J", &"r".repeat(REASON_BYTES_MAX + 1)] {
        assert_eq!(world.send(with(bad)), invalid, "{bad:?}");
        let policy = Command::SetLead { change: LeadChange::Resume, reason: bad.into() };
        assert_eq!(world.send(policy), invalid, "{bad:?}");
    }
    assert_eq!(world.send(with(&"r".repeat(REASON_BYTES_MAX))), confirmed(0, true));
    assert_eq!(world.send(with("")), confirmed(0, true));
}
