//! Is there an order of the calls that agrees with what everybody was told and with the time that passed between calls? The
//! search of Wing and Gong, with Lowe's memory of what was tried. A call whose outcome nobody knows may take its place
//! anywhere after it began, or nowhere.
//!
//! ```text
//! A  ├──write 1──┤                        order: A, C, B
//! B        ├──────read 2──────┤            B may come after C, because they overlap
//! C              ├──write 2──┤             A must come before C: it was over
//! ```

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How one object behaves when calls come one after another.
pub(crate) trait Specification {
    /// Of the object.
    type State: Clone + Eq + Hash;
    /// What was asked, and what was told.
    type Action;

    /// Before the first call.
    fn initial(&self) -> Self::State;

    /// The state after `action`, or `None` when what was told cannot have been told in this state.
    fn step(&self, state: &Self::State, action: &Self::Action) -> Option<Self::State>;
}

/// A call on one object.
#[derive(Clone, Debug)]
pub(crate) struct Timed<A> {
    /// Of the world's clock.
    pub(crate) invoked_ns: u64,
    /// `None`: its outcome is unknown.
    pub(crate) returned_ns: Option<u64>,
    pub(crate) action: A,
}

/// What the search came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Such an order exists.
    Linearizable,
    /// None exists. `stuck` is the call, as an index into what was given, that no order reached further than could place.
    Not { stuck: usize },
    /// Neither was shown within the bound of steps.
    Undecided,
}

/// The calls that have their place.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Placed(Vec<u64>);

impl Placed {
    fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn flip(&mut self, at: usize) {
        self.0[at / 64] ^= 1 << (at % 64);
    }
}

/// Searches with at most `steps_max` tries of a call.
pub(crate) fn check<S: Specification>(specification: &S, calls: &[Timed<S::Action>], steps_max: usize) -> Verdict {
    let mut order: Vec<usize> = (0..calls.len()).collect();
    order.sort_by_key(|at| (calls[*at].invoked_ns, *at));
    let sorted: Vec<&Timed<S::Action>> = order.iter().map(|at| &calls[*at]).collect();
    let known = sorted.iter().filter(|call| call.returned_ns.is_some()).count();
    let mut search =
        Search { placed: Placed(vec![0; sorted.len().div_ceil(64)]), first: 0, seen: HashSet::new(), steps: 0, sorted };
    let mut state = specification.initial();
    // What was placed, and the state before it.
    let mut path: Vec<(usize, S::State)> = Vec::new();
    let mut placed_known = 0;
    let (mut farthest, mut stuck) = (0, None);
    let mut tries = search.candidates();
    let mut open: Vec<std::vec::IntoIter<usize>> = Vec::new();
    loop {
        if placed_known == known {
            return Verdict::Linearizable;
        }
        if stuck.is_none() || placed_known > farthest {
            farthest = placed_known;
            stuck = search.earliest_missing();
        }
        match search.next(specification, &state, &mut tries) {
            Some((at, after)) => {
                path.push((at, std::mem::replace(&mut state, after)));
                search.place(at);
                placed_known += usize::from(search.sorted[at].returned_ns.is_some());
                open.push(std::mem::replace(&mut tries, search.candidates()));
            }
            None if search.steps >= steps_max => return Verdict::Undecided,
            None => {
                let (Some((at, before)), Some(rest)) = (path.pop(), open.pop()) else {
                    return Verdict::Not { stuck: stuck.map_or(0, |at| order[at]) };
                };
                search.remove(at);
                placed_known -= usize::from(search.sorted[at].returned_ns.is_some());
                (state, tries) = (before, rest);
            }
        }
        if search.steps >= steps_max {
            return Verdict::Undecided;
        }
    }
}

struct Search<'a, A> {
    /// By the time at which they began.
    sorted: Vec<&'a Timed<A>>,
    placed: Placed,
    /// All before it have their place.
    first: usize,
    /// Digests of what was tried: the calls that were placed, and the state they led to. 128 bits never meet by chance.
    seen: HashSet<(u64, u64)>,
    steps: usize,
}

impl<A> Search<'_, A> {
    /// Calls that may come next: those that began before any other missing one was over. Known ones first, the one that
    /// was over first before others: it is the most likely to be next. Unknown ones last.
    fn candidates(&self) -> std::vec::IntoIter<usize> {
        let mut limit = u64::MAX;
        let mut found = Vec::new();
        for (at, call) in self.sorted.iter().enumerate().skip(self.first) {
            if call.invoked_ns > limit {
                break;
            }
            if !self.placed.has(at) {
                limit = limit.min(call.returned_ns.unwrap_or(u64::MAX));
                found.push(at);
            }
        }
        found.retain(|at| self.sorted[*at].invoked_ns <= limit);
        found.sort_by_key(|at| (self.sorted[*at].returned_ns.unwrap_or(u64::MAX), *at));
        found.into_iter()
    }

    fn next<S: Specification<Action = A>>(
        &mut self,
        specification: &S,
        state: &S::State,
        tries: &mut std::vec::IntoIter<usize>,
    ) -> Option<(usize, S::State)> {
        for at in tries {
            self.steps += 1;
            let call = self.sorted[at];
            let Some(after) = specification.step(state, &call.action) else { continue };
            // One that changes nothing and that nobody was told of need not have been.
            if call.returned_ns.is_none() && after == *state {
                continue;
            }
            self.placed.flip(at);
            let is_new = self.seen.insert((digest(&self.placed, &after, 1), digest(&self.placed, &after, 2)));
            self.placed.flip(at);
            if is_new {
                return Some((at, after));
            }
        }
        None
    }

    fn place(&mut self, at: usize) {
        self.placed.flip(at);
        while self.first < self.sorted.len() && self.placed.has(self.first) {
            self.first += 1;
        }
    }

    fn remove(&mut self, at: usize) {
        self.placed.flip(at);
        self.first = self.first.min(at);
    }

    /// Of the known calls without a place that which was over first.
    fn earliest_missing(&self) -> Option<usize> {
        let missing = (self.first..self.sorted.len()).filter(|at| !self.placed.has(*at));
        missing.filter_map(|at| Some((self.sorted[at].returned_ns?, at))).min().map(|(_, at)| at)
    }
}

fn digest(placed: &Placed, state: &impl Hash, salt: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (salt, placed, state).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Register {
        Write(u8),
        Read(u8),
    }
    use Register::{Read, Write};

    /// A register that begins with 0.
    struct One;

    impl Specification for One {
        type State = u8;
        type Action = Register;

        fn initial(&self) -> u8 {
            0
        }

        fn step(&self, state: &u8, action: &Register) -> Option<u8> {
            match *action {
                Write(value) => Some(value),
                Read(value) => (value == *state).then_some(value),
            }
        }
    }

    fn run(calls: &[(u64, Option<u64>, Register)]) -> Verdict {
        let timed = |(invoked_ns, returned_ns, action): &(u64, Option<u64>, Register)| Timed {
            invoked_ns: *invoked_ns,
            returned_ns: *returned_ns,
            action: *action,
        };
        check(&One, &calls.iter().map(timed).collect::<Vec<_>>(), 100_000)
    }

    fn holds(calls: &[(u64, Option<u64>, Register)]) -> bool {
        run(calls) == Verdict::Linearizable
    }

    #[test]
    fn nothing_at_all_is_linearizable() {
        assert!(holds(&[]));
    }

    #[test]
    fn a_read_after_a_write_sees_it_and_one_beside_it_may() {
        let write = (10, Some(20), Write(7));
        assert!(holds(&[write, (30, Some(40), Read(7))]));
        assert_eq!(run(&[write, (30, Some(40), Read(0))]), Verdict::Not { stuck: 1 });
        assert!(holds(&[write, (15, Some(40), Read(0))]) && holds(&[write, (15, Some(40), Read(7))]));
    }

    // The stale read of a leader that was paused (etcd 20418): each answer is right for some moment, not for this one.
    #[test]
    fn reads_that_overlap_agree_on_one_order() {
        let two = [(1, Some(9), Write(1)), (2, Some(9), Write(2)), (3, Some(4), Read(1)), (5, Some(6), Read(2))];
        assert!(holds(&[&two[..], &[(7, Some(8), Read(2))]].concat()));
        assert_eq!(run(&[&two[..], &[(7, Some(8), Read(1))]].concat()), Verdict::Not { stuck: 4 });
    }

    #[test]
    fn calls_that_touch_are_side_by_side() {
        assert!(holds(&[(10, Some(20), Write(7)), (20, Some(40), Read(0))]));
        assert!(!holds(&[(10, Some(20), Write(7)), (21, Some(40), Read(0))]));
    }

    #[test]
    fn an_unknown_write_may_come_late_or_never_but_not_twice_nor_before_it_began() {
        let unknown = (1, None, Write(1));
        assert!(holds(&[unknown, (2, Some(3), Read(0))]));
        assert!(holds(&[unknown, (2, Some(3), Read(0)), (40, Some(50), Read(1))]));
        assert!(!holds(&[unknown, (2, Some(3), Read(1)), (4, Some(5), Read(0))]));
        assert!(!holds(&[(10, None, Write(1)), (2, Some(3), Read(1))]));
        // Between two other values it can only be once.
        let other = (6, Some(7), Write(2));
        let (seen, again) = ((4, Some(5), Read(1)), (8, Some(9), Read(1)));
        assert!(!holds(&[unknown, seen, other, again]));
    }

    #[test]
    fn what_two_programs_see_has_one_order() {
        // Both writes were side by side; one program saw 1 then 2, another 2 then 1.
        let writes = [(1, Some(100), Write(1)), (1, Some(100), Write(2))];
        let one = [(10, Some(20), Read(1)), (30, Some(40), Read(2))];
        let other = [(50, Some(60), Read(2)), (70, Some(80), Read(1))];
        assert!(holds(&[&writes[..], &one].concat()) && holds(&[&writes[..], &other].concat()));
        assert!(!holds(&[&writes[..], &one, &other].concat()));
    }

    // Without a bound, twenty writes side by side that no order explains would be searched for ever.
    #[test]
    fn the_search_ends_at_its_bound() {
        let mut calls: Vec<_> = (1..=20).map(|value| (1, Some(1_000), Write(value))).collect();
        calls.push((2_000, Some(2_001), Read(99)));
        assert_eq!(run(&calls), Verdict::Undecided);
        calls.pop();
        assert_eq!(run(&calls), Verdict::Linearizable);
    }

    // Every history that an object really gave is accepted, whatever overlaps; with one answer changed, what the exhaustive
    // search over all orders says is said here too.
    #[test]
    fn it_agrees_with_trying_every_order() {
        let mut chance = crate::seed::Chance::of(3, 1);
        let (mut yes, mut no) = (0, 0);
        for _ in 0..3_000 {
            let calls: Vec<_> = (0..5)
                .map(|_| {
                    let from = chance.below(12);
                    let to = from + chance.below(8);
                    let value = u8::try_from(chance.below(3)).unwrap_or(0);
                    match chance.below(5) {
                        0 => (from, None, Write(value)),
                        1 | 2 => (from, Some(to), Write(value)),
                        _ => (from, Some(to), Read(value)),
                    }
                })
                .collect();
            let expected = some_order(&calls, 0, &mut vec![false; 5]);
            assert_eq!(holds(&calls), expected, "{calls:?}");
            if expected { yes += 1 } else { no += 1 }
        }
        assert!(yes > 300 && no > 300, "{yes} {no}");
    }

    fn some_order(calls: &[(u64, Option<u64>, Register)], state: u8, placed: &mut Vec<bool>) -> bool {
        let missing = |placed: &[bool]| (0..calls.len()).filter(|at| !placed[*at]).collect::<Vec<_>>();
        let left = missing(placed);
        if left.iter().all(|at| calls[*at].1.is_none()) {
            return true;
        }
        for at in left.iter().copied() {
            let is_first = left.iter().all(|other| calls[*other].1.is_none_or(|end| end >= calls[at].0));
            let after = if is_first { One.step(&state, &calls[at].2) } else { None };
            if let Some(after) = after {
                placed[at] = true;
                if some_order(calls, after, placed) {
                    return true;
                }
                placed[at] = false;
            }
        }
        false
    }
}
