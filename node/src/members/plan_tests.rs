//! The plan on made-up memberships, and on networks of fifty nodes until nothing is left to be done.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::consensus::Role;
use Standing::{Learner as L, Removed as R, Voter as V};

const NEVER: StandIn = StandIn { after: None, leading_for: Duration::from_secs(3600) };
const SECOND: Duration = Duration::from_secs(1);

fn member(id: u64) -> Member {
    Member { name: format!("n{id}"), peer_address: "127.0.0.1:1".to_owned(), keyed: true }
}

/// Node 1 leads; each other node: whether it votes, seconds of silence, lag.
fn seen(nodes: &[(u64, bool, u64, u64)]) -> Status {
    seen_by(1, nodes)
}

fn seen_by(leader: u64, nodes: &[(u64, bool, u64, u64)]) -> Status {
    let members = nodes.iter().map(|(id, voter, silent, lag)| MemberStatus {
        id: *id,
        member: member(*id),
        voter: *voter,
        matched: Some(10_000 - lag),
        silent_for: (*id != leader).then_some(SECOND * u32::try_from(*silent).unwrap()),
        clock: None,
    });
    Status {
        node: leader,
        role: Role::Leader,
        term: 1,
        leader: Some(leader),
        last_index: 10_000,
        committed_index: 10_000,
        applied_index: 10_000,
        snapshot_index: 0,
        purged_index: 0,
        quorum_silent_for: None,
        members: members.collect(),
        changing: false,
        running: true,
    }
}

fn wants(standings: &[Standing]) -> Wanted {
    let want =
        |(id, standing): (u64, &Standing)| (id, Want { standing: *standing, replaces: None, member: member(id) });
    (1..).zip(standings).map(want).collect()
}

fn step(standings: &[Standing], nodes: &[(u64, bool, u64, u64)]) -> (Option<Step>, Vec<(u64, Wait)>) {
    let plan = plan(&wants(standings), &seen(nodes), NEVER);
    (plan.next, plan.pending.iter().map(|pending| (pending.node, pending.wait)).collect())
}

const FIVE: [(u64, bool, u64, u64); 5] =
    [(1, true, 0, 0), (2, true, 0, 0), (3, true, 0, 0), (4, false, 0, 0), (5, false, 0, 0)];

#[test]
fn one_step_at_a_time_and_nothing_when_all_is_as_decided() {
    assert_eq!(step(&[V, V, V, L, L], &FIVE), (None, vec![]));
    assert_eq!(
        step(&[V, V, V, V, V], &FIVE),
        (Some(Step::Promote { node: 4 }), vec![(4, Wait::Next), (5, Wait::Later)])
    );
    let add = Step::Add { node: 6, member: member(6) };
    assert_eq!(step(&[V, V, V, L, L, V], &FIVE), (Some(add), vec![(6, Wait::Next)]));
    let mut changing = seen(&FIVE);
    changing.changing = true;
    assert_eq!(plan(&wants(&[V, V, V, V, V]), &changing, NEVER).next, None);
    assert_eq!(step(&[V, V, V, L, R], &FIVE), (Some(Step::Remove { node: 5 }), vec![(5, Wait::Next)]));
    assert_eq!(step(&[V, V, V, L, R], &FIVE[..4]), (None, vec![]), "gone");
}

#[test]
fn who_comes_takes_the_vote_of_who_goes_in_one_change() {
    let (next, pending) = step(&[V, V, R, V, L], &FIVE);
    assert_eq!(next, Some(Step::Swap { comes: 4, goes: 3 }));
    assert_eq!(pending, [(4, Wait::Next), (3, Wait::Next)]);
    // Nobody goes before somebody can come.
    let mut lagging = FIVE;
    lagging[3].3 = 5_000;
    assert_eq!(step(&[V, V, R, V, L], &lagging), (None, vec![(4, Wait::CatchingUp { lag: 5_000 }), (3, Wait::Later)]));
    lagging[3] = (4, false, 9, 0);
    assert_eq!(step(&[V, V, R, V, L], &lagging), (None, vec![(4, Wait::Silent), (3, Wait::Later)]));
}

#[test]
fn no_vote_is_taken_when_those_that_are_left_would_be_no_majority() {
    let five = [(1, true, 0, 0), (2, true, 0, 0), (3, true, 9, 0), (4, true, 9, 0), (5, true, 0, 0)];
    // Of 1, 2, 3, 4 without 5 only two answer.
    assert_eq!(step(&[V, V, V, V, L], &five), (None, vec![(5, Wait::Unsafe)]));
    // The silent ones may go: the first of them.
    assert_eq!(step(&[V, V, L, L, V], &five).0, Some(Step::Demote { node: 3 }));
    let two = [(1, true, 0, 0), (2, true, 9, 0), (3, false, 0, 0)];
    assert_eq!(step(&[V, V, V], &two).0, Some(Step::Promote { node: 3 }), "two of three answer then");
}

#[test]
fn a_leader_that_is_to_go_hands_over_to_one_that_stays() {
    let hand_over = |to: &[u64]| Some(Step::HandOver { to: to.iter().copied().collect() });
    assert_eq!(step(&[R, V, V, V, L], &FIVE).0, hand_over(&[2, 3]));
    assert_eq!(step(&[L, V, V], &FIVE[..3]), (hand_over(&[2, 3]), vec![(1, Wait::Next)]));
    let mut behind = FIVE;
    (behind[1].3, behind[2].3) = (5_000, 5_000);
    assert_eq!(step(&[R, V, V], &behind[..3]), (None, vec![(1, Wait::NoSuccessor)]));
    // Others go first.
    assert_eq!(step(&[R, R, V, V, V], &FIVE).0, Some(Step::Swap { comes: 4, goes: 2 }));
}

#[test]
fn a_replacement_is_told_to_the_log_once_it_has_caught_up() {
    let mut wanted = wants(&[V, V, V, L]);
    wanted.get_mut(&4).unwrap().replaces = Some(2);
    let told = Step::Succeed { old: 2, new: 4, keep_old: false };
    assert_eq!(plan(&wanted, &seen(&FIVE[..4]), NEVER).next, Some(told));
    let mut lagging = FIVE;
    lagging[3].3 = 5_000;
    let waits = plan(&wanted, &seen(&lagging[..4]), NEVER);
    assert_eq!((waits.next, waits.pending[0].wait), (None, Wait::CatchingUp { lag: 5_000 }));
    wanted.get_mut(&2).unwrap().standing = R;
    wanted.get_mut(&4).unwrap().standing = V;
    assert_eq!(plan(&wanted, &seen(&FIVE[..4]), NEVER).next, Some(Step::Swap { comes: 4, goes: 2 }));
}

#[test]
fn a_voter_that_is_silent_for_too_long_gets_a_stand_in_if_there_is_one() {
    let after = |seconds| StandIn { after: Some(SECOND * seconds), leading_for: SECOND * 100 };
    let mut nodes = FIVE;
    nodes[2].2 = 50;
    let next = |nodes: &[_], stand_in| plan(&wants(&[V, V, V, L, L]), &seen(nodes), stand_in).next;
    assert_eq!(next(&nodes, NEVER), None);
    assert_eq!(next(&nodes, after(51)), None, "not yet");
    assert_eq!(next(&nodes, after(50)), Some(Step::Succeed { old: 3, new: 4, keep_old: true }));
    nodes[3].2 = 50;
    assert_eq!(next(&nodes, after(50)), Some(Step::Succeed { old: 3, new: 5, keep_old: true }));
    nodes[4].3 = 5_000;
    assert_eq!(next(&nodes, after(50)), None, "nobody is there who could");
    // A leader that never heard of it has waited as long as it leads.
    let mut unheard = seen(&FIVE);
    unheard.members[2].silent_for = None;
    let wanted = wants(&[V, V, V, L, L]);
    assert_eq!(plan(&wanted, &unheard, after(101)).next, None);
    assert!(plan(&wanted, &unheard, after(100)).next.is_some());
    // A unit's vote never goes off-site.
    let mut off_site = seen(&nodes);
    off_site.members[4].matched = Some(10_000);
    off_site.members[4].member.keyed = false;
    assert_eq!(plan(&wanted, &off_site, after(50)).next, None);
}

#[test]
fn nobody_stands_in_while_automation_is_paused_or_nodes_are_worked_on() {
    let time = ClusterTime::saturating_from_millis;
    let pause = plantao_domain::lead::Pause {
        since: time(0),
        until: time(1_000),
        reason: "troca de nobreak".to_owned(),
        by: plantao_domain::ActorId::from_bytes([1; 16]),
    };
    let paused = LeadPolicy { pause: Some(pause.clone()), ..LeadPolicy::default() };
    let maintained = LeadPolicy { maintenance: Some(pause), ..LeadPolicy::default() };
    let after = |policy: &LeadPolicy, now| StandIn::under(policy, time(now), Some(SECOND), SECOND).after;
    for policy in [&paused, &maintained] {
        assert_eq!((after(policy, 999), after(policy, 1_000)), (None, Some(SECOND)));
    }
    assert_eq!(after(&LeadPolicy::default(), 5), Some(SECOND));
    assert_eq!(StandIn::under(&LeadPolicy::default(), time(5), None, SECOND).after, None, "off unless it is set");
}

/// Numbers that look random and are the same for each seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) % u64::try_from(end).unwrap()).unwrap()
    }

    fn take(&mut self, from: &mut Vec<u64>, count: usize) -> BTreeSet<u64> {
        (0..count).map(|_| from.swap_remove(self.below(from.len()))).collect()
    }
}

/// Fifty nodes, and Raft's membership as the steps make it.
struct Simulated {
    wanted: Wanted,
    /// Whether they vote.
    members: BTreeMap<u64, bool>,
    silent: BTreeSet<u64>,
    leader: u64,
}

impl Simulated {
    const NODES: u64 = 50;

    fn new(numbers: &mut Numbers, is_healthy: bool) -> Self {
        let mut free: Vec<u64> = (1..=Self::NODES).collect();
        let count = 3 + 2 * numbers.below(3);
        let voters = numbers.take(&mut free, count);
        let new = numbers.take(&mut free, 10);
        let members = (1..=Self::NODES).filter(|id| !new.contains(id)).map(|id| (id, voters.contains(&id))).collect();
        let mut free: Vec<u64> = (1..=Self::NODES).collect();
        let removed = numbers.take(&mut free, 12);
        let count = 3 + numbers.below(5);
        let vote = numbers.take(&mut free, count);
        let replacing = numbers.take(&mut free, 3);
        let mut replaced: Vec<u64> = vote.iter().chain(&free).copied().collect();
        let mut wanted: Wanted = (1..=Self::NODES)
            .map(|id| {
                let standing = match id {
                    id if removed.contains(&id) => R,
                    id if vote.contains(&id) => V,
                    _ => L,
                };
                (id, Want { standing, replaces: None, member: member(id) })
            })
            .collect();
        for id in replacing {
            let old = replaced.swap_remove(numbers.below(replaced.len()));
            wanted.get_mut(&id).unwrap().replaces = Some(old);
        }
        let leader = *voters.first().unwrap();
        let mut silent = BTreeSet::new();
        if !is_healthy {
            let mut others: Vec<u64> = voters.iter().copied().filter(|id| *id != leader).collect();
            let count = numbers.below(voters.len() / 2 + 1);
            silent = numbers.take(&mut others, count);
            let mut learners: Vec<u64> = (1..=Self::NODES).filter(|id| !voters.contains(id)).collect();
            silent.extend(numbers.take(&mut learners, 10));
        }
        Self { wanted, members, silent, leader }
    }

    fn voters(&self) -> BTreeSet<u64> {
        self.members.iter().filter(|(_, votes)| **votes).map(|(id, _)| *id).collect()
    }

    fn status(&self) -> Status {
        let silence = |id: &u64| if self.silent.contains(id) { 60 } else { 0 };
        let nodes: Vec<_> = self.members.iter().map(|(id, votes)| (*id, *votes, silence(id), 0)).collect();
        seen_by(self.leader, &nodes)
    }

    /// Another voter that answers may lead at any time.
    fn elect(&mut self, among: &BTreeSet<u64>, numbers: &mut Numbers) {
        let able: Vec<u64> = among.iter().copied().filter(|id| !self.silent.contains(id)).collect();
        self.leader = able[numbers.below(able.len())];
    }

    fn make(&mut self, step: Step, numbers: &mut Numbers) {
        match step {
            Step::Add { node, .. } => {
                assert_ne!(self.wanted[&node].standing, R, "who was removed never comes back");
                assert_eq!(self.members.insert(node, false), None);
            }
            Step::Promote { node } => assert_eq!(self.members.insert(node, true), Some(false)),
            Step::Demote { node } => assert_eq!(self.members.insert(node, false), Some(true)),
            Step::Swap { comes, goes } => {
                assert_eq!(self.members.insert(comes, true), Some(false));
                assert_eq!(self.members.insert(goes, false), Some(true));
            }
            Step::Remove { node } => assert_eq!(self.members.remove(&node), Some(false), "only without a vote"),
            Step::HandOver { to } => self.elect(&to, numbers),
            Step::Succeed { old, new, keep_old } => {
                if self.wanted[&old].standing == V {
                    self.wanted.get_mut(&new).unwrap().standing = V;
                }
                self.wanted.get_mut(&old).unwrap().standing = if keep_old { L } else { R };
            }
        }
    }
}

/// From any membership to any other, whoever leads meanwhile: no step leaves a membership that could not go on.
#[test]
fn of_fifty_nodes_every_membership_on_the_way_is_safe() {
    for seed in 0..400 {
        let numbers = &mut Numbers(seed);
        let is_healthy = seed % 2 == 0;
        let mut network = Simulated::new(numbers, is_healthy);
        let stand_in = StandIn { after: (seed % 4 == 3).then_some(SECOND * 30), leading_for: SECOND };
        let mut steps = 0;
        loop {
            if numbers.below(4) == 0 {
                network.elect(&network.voters(), numbers);
            }
            let Plan { next: Some(step), .. } = plan(&network.wanted, &network.status(), stand_in) else {
                break;
            };
            let before = network.voters();
            let decided = network.wanted.values().filter(|want| want.standing == V).count();
            network.make(step.clone(), numbers);
            let after = network.voters();
            let told = format!("seed {seed}, {step:?}: {before:?} to {after:?}, silent {:?}", network.silent);
            assert!(after.difference(&before).count() <= 1 && before.difference(&after).count() <= 1, "{told}");
            assert!(after.len() >= before.len().min(decided), "{told}");
            assert!(after.contains(&network.leader), "{told}");
            assert!(after.difference(&before).all(|id| !network.silent.contains(id)), "{told}");
            let answering = after.difference(&network.silent).count();
            assert!(answering > after.len() / 2, "{told}");
            steps += 1;
            assert!(steps < 1_000, "{told}: it does not end");
        }
        let status = network.status();
        let pending = plan(&network.wanted, &status, stand_in).pending;
        if is_healthy {
            assert_eq!(pending, [], "seed {seed}");
            for (id, want) in &network.wanted {
                let is = network.members.get(id).map(|votes| if *votes { V } else { L });
                assert_eq!(is.unwrap_or(R), want.standing, "seed {seed}, node {id}");
            }
        } else {
            // What is left waits for nodes that are silent, or would not be safe without them.
            assert!(pending.iter().all(|one| one.wait != Wait::Next), "seed {seed}: {pending:?}");
        }
    }
}
