//! A request is answered once, however often and in whatever order its copies arrive.

use crate::world::*;
use plantao_domain::command::Overlap;
use plantao_domain::rows;
use plantao_domain::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const LIFETIME: i64 = Envelope::LIFETIME_MS;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a map that forgets nothing. Each request keeps its limit from copy to copy.
    #[test]
    fn the_answer_is_the_first_one_or_expired(
        sends in prop::collection::vec((0_u8..12, 0_u8..8, 0_u8..10), 1..120),
    ) {
        let mut world = World::new();
        let mut known: BTreeMap<u8, (i64, Outcome)> = BTreeMap::new();
        let mut limits: BTreeMap<u8, i64> = BTreeMap::new();
        let mut applied_books = 0;
        for (number, other, step) in sends {
            world.now += i64::from(step) * 60_000;
            let limit = *limits.entry(number).or_insert(world.now + LIFETIME / 2);
            let content_tag = tag(if other == 0 { 2 } else { 1 });
            let content = book(number + 1, 1, slot(1, 1, 1, hours(i64::from(number % 6), i64::from(number % 6) + 1)),
                Overlap::Refuse);
            let envelope = Envelope {
                request_id: request(10_000 + u64::from(number)),
                content_tag,
                not_after: time(limit),
                ..world.envelope(content)
            };
            let applied = world.apply(&envelope);
            if world.now > limit {
                prop_assert_eq!(applied.outcome, rejected(Rejection::Expired));
                prop_assert_eq!(applied.audit.len(), 1);
            } else if let Some((first_tag, outcome)) = known.get(&number) {
                if i64::from(content_tag.0[0]) == *first_tag {
                    prop_assert_eq!(&applied.outcome, outcome);
                    prop_assert!(applied.audit.is_empty() && applied.changes.is_empty());
                } else {
                    prop_assert_eq!(applied.outcome, rejected(Rejection::RequestIdReused));
                    prop_assert_eq!(applied.audit.len(), 1);
                }
            } else {
                applied_books += u8::from(matches!(applied.outcome, Outcome::Confirmed { changed: true, .. }));
                known.insert(number, (i64::from(content_tag.0[0]), applied.outcome));
            }
        }
        prop_assert!(applied_books <= 6, "six slots");
    }

    /// A log with copies of its envelopes thrown in behind them leaves the same objects and gives the same answers.
    #[test]
    fn copies_change_nothing(
        raws in prop::collection::vec(any::<[u8; 8]>(), 1..40),
        copies in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..10), 0..40),
    ) {
        let mut plain = imaging();
        let mut crowded = plain.clone();
        let log: Vec<_> = raws.into_iter().map(|raw| plain.envelope(mixed_command_of(raw))).collect();
        let mut arrivals: Vec<(usize, usize)> = (0..log.len()).map(|n| (n * 10, n)).collect();
        for (which, delay) in copies {
            let which = which.index(log.len());
            arrivals.push((which * 10 + 1 + delay * 7, which));
        }
        arrivals.sort_unstable();
        let outcomes: Vec<_> = log.iter().map(|envelope| plain.apply(envelope).outcome).collect();
        for (_, n) in arrivals {
            prop_assert_eq!(&crowded.apply(&log[n]).outcome, &outcomes[n]);
        }
        prop_assert_eq!(plain.objects(), crowded.objects());
    }
}

#[test]
fn kept_answers_are_deleted_a_few_at_a_time() {
    let mut world = World::new();
    let kept = |world: &World| world.rows.rows().keys().filter(|key| key[0] == rows::prefix::OUTCOME).count();
    for n in 0..200_u8 {
        world.send(state(1 + n % 16, 1, command::AppointmentState::Arrived));
    }
    let before = kept(&world);
    assert!(before > 200);
    world.now += LIFETIME + 1000;
    for n in 0..100 {
        let was = kept(&world);
        world.send(state(1, 1 + n, command::AppointmentState::Arrived));
        assert!(kept(&world) + 64 > was, "more than 64 at once");
    }
    assert!(kept(&world) <= 101 + before.saturating_sub(3 * 64), "{} of {before}", kept(&world));
    let expiries = world.rows.rows().keys().filter(|key| key[0] == rows::prefix::OUTCOME_EXPIRY).count();
    assert_eq!(expiries, kept(&world));
}

#[test]
fn a_copy_that_lives_longer_keeps_the_answer_longer() {
    let mut world = World::new();
    let first = world.envelope(book(1, 1, slot(1, 1, 1, hours(9, 10)), Overlap::Refuse));
    assert_eq!(world.apply(&first).outcome, confirmed(1, true));
    world.now += LIFETIME - 1000;
    let later = Envelope { not_after: time(world.now + LIFETIME), proposed_at: time(world.now), ..first.clone() };
    assert_eq!(world.apply(&later).outcome, confirmed(1, true));
    world.now += 5000;
    for _ in 0..40 {
        world.send(state(9, 1, command::AppointmentState::Arrived));
    }
    let again = Envelope { proposed_at: time(world.now), ..later };
    assert_eq!(world.apply(&again).outcome, confirmed(1, true), "not changed: false, as a new request would get");
    let expired = Envelope { proposed_at: time(world.now), ..first };
    assert_eq!(world.apply(&expired).outcome, rejected(Rejection::Expired));
}

/// The leader stamps times that do not go back; were one to, an answer that was deleted could be asked for again.
#[test]
fn time_never_goes_back() {
    let mut world = World::new();
    world.send(book(1, 1, slot(1, 1, 1, hours(9, 10)), Overlap::Refuse));
    let now = world.now;
    world.now -= HOUR;
    let envelope = world.envelope(book(2, 1, slot(1, 1, 1, hours(10, 11)), Overlap::Refuse));
    assert_eq!(world.apply(&envelope).outcome, rejected(Rejection::Expired));
    assert_eq!(rows::trail_head(&world.rows).unwrap().last_time, Some(time(now)));
}
