//! What a node's clock is worth beside the others': a pure function over how far they are off. Stamps, the dates of what a
//! node asks for by itself, and who may lead follow from it; none of that is decided here.

use std::time::Duration;

/// How far clocks may be apart unless configured otherwise.
pub const SKEW_MAX: Duration = Duration::from_secs(5);

/// What this node's clock is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// A majority agrees with it, or all clocks that are known.
    Agrees,
    /// A majority agrees on another time, and these nodes with it.
    Off { offset_ms: i64, better: Vec<u64> },
    /// No majority is known to agree on any time, and clocks that are known differ.
    Disputed { offset_ms: i64 },
}

impl Verdict {
    /// What must be added to this node's clock before it stamps an entry: the majority's time, and where there is none the
    /// slower clock. An entry stamped too late would make every later request look expired until that time has come.
    pub(super) fn correction_ms(&self) -> i64 {
        match self {
            Self::Agrees => 0,
            Self::Off { offset_ms, .. } => *offset_ms,
            Self::Disputed { offset_ms } => (*offset_ms).min(0),
        }
    }
}

/// Compares clocks: `offsets` are those of the other voters whose clock is known, minus this one.
pub(super) fn judge(voters: usize, offsets: &[(u64, i64)], skew_max: Duration) -> Verdict {
    let majority = voters / 2 + 1;
    let allowed = millis(skew_max);
    let known: Vec<i64> = offsets.iter().map(|(_, offset)| *offset).chain([0]).collect();
    let agreeing =
        |with: i64| known.iter().filter(|offset| offset.saturating_sub(with).saturating_abs() <= allowed).count();
    // Of fewer clocks than a majority none is right for being one of two: all must agree.
    if agreeing(0) >= majority.min(known.len()) {
        return Verdict::Agrees;
    }
    let better: Vec<u64> = offsets.iter().filter(|(_, at)| agreeing(*at) >= majority).map(|(id, _)| *id).collect();
    let mut of: Vec<i64> = if better.is_empty() {
        known
    } else {
        offsets.iter().filter(|(id, _)| better.contains(id)).map(|(_, offset)| *offset).collect()
    };
    of.sort_unstable();
    // The lower middle one: of two clocks that disagree, the slower.
    let offset_ms = of.get((of.len() - 1) / 2).copied().unwrap_or(0);
    if better.is_empty() { Verdict::Disputed { offset_ms } } else { Verdict::Off { offset_ms, better } }
}

/// How far the clock of voter `node`, which is `offset_ms` away from this one, lies outside what is tolerated; `None`: it may
/// lead. Where nobody knows the time, nobody is told to be wrong.
pub(super) fn outside(verdict: &Verdict, node: u64, offset_ms: Option<i64>, skew_max: Duration) -> Option<i64> {
    let offset_ms = offset_ms?;
    let is_outside = match verdict {
        Verdict::Agrees => offset_ms.saturating_abs() > millis(skew_max),
        Verdict::Off { better, .. } => !better.contains(&node),
        Verdict::Disputed { .. } => false,
    };
    is_outside.then(|| offset_ms.saturating_sub(verdict.correction_ms()))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_only_when_a_majority_agrees_on_another_time() {
        let judge = |voters, offsets: &[(u64, i64)]| judge(voters, offsets, SKEW_MAX);
        assert_eq!(judge(1, &[]), Verdict::Agrees);
        assert_eq!(judge(3, &[(2, 4_900), (3, -4_900)]), Verdict::Agrees);
        assert_eq!(judge(3, &[(2, 100), (3, 60_000)]), Verdict::Agrees, "the other one is off");
        assert_eq!(judge(3, &[]), Verdict::Agrees, "nobody can tell");
        assert_eq!(judge(3, &[(2, -60_000), (3, -61_000)]), Verdict::Off { offset_ms: -61_000, better: vec![2, 3] });
        // Two against each other: neither is a majority; the slower counts.
        assert_eq!(judge(3, &[(2, -60_000)]), Verdict::Disputed { offset_ms: -60_000 });
        assert_eq!(judge(3, &[(2, 60_000)]), Verdict::Disputed { offset_ms: 0 });
        assert_eq!(judge(3, &[(2, 60_000), (3, -60_000)]), Verdict::Disputed { offset_ms: 0 });
        // One other clock of five is no majority, but it may be this one that jumped.
        assert_eq!(judge(5, &[(2, 100)]), Verdict::Agrees);
        assert_eq!(judge(5, &[(2, -60_000)]), Verdict::Disputed { offset_ms: -60_000 });
        assert_eq!(judge(5, &[(2, 60_000)]), Verdict::Disputed { offset_ms: 0 });
        assert_eq!(judge(2, &[(2, i64::MIN)]), Verdict::Disputed { offset_ms: i64::MIN });
    }

    #[test]
    fn stamps_follow_the_majority_and_else_the_slower_clock() {
        assert_eq!(Verdict::Agrees.correction_ms(), 0);
        for offset_ms in [-3_600_000, 3_600_000] {
            assert_eq!(Verdict::Off { offset_ms, better: vec![2, 3] }.correction_ms(), offset_ms);
        }
        assert_eq!(Verdict::Disputed { offset_ms: -60_000 }.correction_ms(), -60_000);
        assert_eq!(Verdict::Disputed { offset_ms: 60_000 }.correction_ms(), 0);
    }

    #[test]
    fn who_is_off_from_the_time_that_counts_may_not_lead() {
        let outside = |verdict: &Verdict, offset| outside(verdict, 2, offset, SKEW_MAX);
        assert_eq!(outside(&Verdict::Agrees, None), None, "nobody knows");
        assert_eq!(outside(&Verdict::Agrees, Some(-5_000)), None);
        assert_eq!(outside(&Verdict::Agrees, Some(-5_001)), Some(-5_001));
        let off = |better: &[u64]| Verdict::Off { offset_ms: -61_000, better: better.to_vec() };
        assert_eq!(outside(&off(&[2, 3]), Some(-61_000)), None);
        assert_eq!(outside(&off(&[3, 4]), Some(-1_000)), Some(60_000));
        assert_eq!(outside(&Verdict::Disputed { offset_ms: -60_000 }, Some(90_000)), None);
    }
}
