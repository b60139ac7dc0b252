//! What a leader looks after: that a preferred node leads, and that its clock agrees with the others. Both are decided by
//! pure functions over what the node sees; the loop acts on a decision only when it has stood for a while.
//!
//! ```text
//! every 500 ms, on the leader:  keyless, and a keyed voter could lead ─────────┐ for 2 s
//!                               clock off from a majority that agrees ─────────┴─► transfer
//!                               clock off, and no majority agrees on another ───► stamp the slower clock, warn
//! ```

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::handle::Consensus;
use super::membership::TransferError;
use super::status::Status;

/// Between two looks.
const TICK: Duration = Duration::from_millis(500);
/// How long a reason to hand over must stand.
const HYSTERESIS: Duration = Duration::from_secs(2);
/// After a transfer that did not work.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// How far clocks may be apart unless configured otherwise.
pub const SKEW_MAX: Duration = Duration::from_secs(5);

/// The leader's clock and the others do not agree. An operator must look at the clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockWarning {
    /// The clock that a majority agrees on, or else the middle one, minus this node's: milliseconds.
    pub offset_ms: i64,
}

/// What a leader's clock is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Verdict {
    /// A majority agrees with it, or too few clocks are known to tell.
    Agrees,
    /// A majority agrees on another time, and these nodes with it.
    Off { offset_ms: i64, better: Vec<u64> },
    /// No majority agrees on any time.
    Disputed { offset_ms: i64 },
}

/// Compares clocks: `offsets` are those of the other voters whose clock is known, minus this one.
fn judge(voters: usize, offsets: &[(u64, i64)], skew_max: Duration) -> Verdict {
    let majority = voters / 2 + 1;
    let allowed = i64::try_from(skew_max.as_millis()).unwrap_or(i64::MAX);
    let known: Vec<i64> = offsets.iter().map(|(_, offset)| *offset).chain([0]).collect();
    let agreeing =
        |with: i64| known.iter().filter(|offset| offset.saturating_sub(with).saturating_abs() <= allowed).count();
    if known.len() < majority || agreeing(0) >= majority {
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

fn offsets(status: &Status) -> Vec<(u64, i64)> {
    let others = status.members.iter().filter(|member| member.voter && member.id != status.node);
    others.filter_map(|member| Some((member.id, member.clock?.offset_ms))).collect()
}

/// To whom a leader should hand over, of `able`, the best first; `None` when it should stay.
fn successor(status: &Status, verdict: &Verdict, able: &[u64]) -> Option<u64> {
    if let Verdict::Off { better, .. } = verdict {
        return able.iter().copied().find(|id| better.contains(id));
    }
    let keyed = |id: u64| status.member(id).is_some_and(|member| member.member.keyed);
    if keyed(status.node) { None } else { able.iter().copied().find(|id| keyed(*id)) }
}

/// Runs for as long as the node does; idle while it does not lead.
pub struct LeaderTasks {
    consensus: Consensus,
    skew_max: Duration,
    warning: watch::Sender<Option<ClockWarning>>,
}

impl LeaderTasks {
    /// `skew_max` is how far clocks may be apart ([`SKEW_MAX`]). The receiver holds a warning while one stands.
    pub fn new(consensus: Consensus, skew_max: Duration) -> (Self, watch::Receiver<Option<ClockWarning>>) {
        let (warning, warnings) = watch::channel(None);
        (Self { consensus, skew_max, warning }, warnings)
    }

    /// Never ends by itself; dropping it is fine at any time.
    pub async fn run(self) {
        let mut due: Option<(u64, Instant)> = None;
        let mut not_before = Instant::now();
        loop {
            sleep(TICK).await;
            let status = self.consensus.status();
            if !status.leads() {
                due = None;
                self.warn(None);
                continue;
            }
            let voters = status.members.iter().filter(|member| member.voter).count();
            let verdict = judge(voters, &offsets(&status), self.skew_max);
            self.warn(match verdict {
                Verdict::Agrees => None,
                Verdict::Off { offset_ms, .. } | Verdict::Disputed { offset_ms } => Some(ClockWarning { offset_ms }),
            });
            let able: Vec<u64> = self.consensus.candidates(&status).collect();
            let Some(to) = successor(&status, &verdict, &able) else {
                due = None;
                continue;
            };
            let now = Instant::now();
            let (_, since) = *due.filter(|(node, _)| *node == to).get_or_insert((to, now));
            due = Some((to, since));
            if now < since + HYSTERESIS || now < not_before {
                continue;
            }
            due = None;
            let deadline = now + self.consensus.timers().election_max() * 2;
            match self.consensus.transfer_leader(to, deadline).await {
                Ok(()) => tracing::info!(node = to, "handed leadership to a preferred node"),
                Err(TransferError::NotLeader { .. } | TransferError::Stopped) => {}
                Err(error) => {
                    not_before = Instant::now() + RETRY_AFTER;
                    tracing::warn!(node = to, %error, "leadership stays here");
                }
            }
        }
    }

    /// Notes a warning and what stamps must follow.
    fn warn(&self, warning: Option<ClockWarning>) {
        self.consensus.correct_stamps(warning.map_or(0, |warning| warning.offset_ms));
        self.warning.send_if_modified(|current| {
            // The offset wanders by milliseconds; that is no news.
            let news = current.is_some() != warning.is_some();
            if news {
                match &warning {
                    Some(warning) => tracing::error!(
                        offset_ms = warning.offset_ms,
                        "the leader's clock disagrees with the other voters"
                    ),
                    None => tracing::info!("the leader's clock agrees with the other voters again"),
                }
                *current = warning;
            }
            news
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::{MemberStatus, Role};
    use super::super::types::Member;
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
        assert_eq!(judge(2, &[(2, i64::MIN)]), Verdict::Disputed { offset_ms: i64::MIN });
    }

    fn status(keyed: [bool; 3]) -> Status {
        let members = (1..).zip(keyed).map(|(id, keyed)| MemberStatus {
            id,
            member: Member { keyed, ..Member::default() },
            voter: true,
            matched: None,
            silent_for: None,
            clock: None,
        });
        Status {
            node: 1,
            role: Role::Leader,
            term: 1,
            leader: Some(1),
            last_index: 0,
            committed_index: 0,
            applied_index: 0,
            snapshot_index: 0,
            purged_index: 0,
            quorum_silent_for: None,
            members: members.collect(),
            changing: false,
            running: true,
        }
    }

    #[test]
    fn a_keyless_leader_hands_over_to_a_keyed_node_and_to_no_other() {
        let keyless = status([false, false, true]);
        assert_eq!(successor(&keyless, &Verdict::Agrees, &[2, 3]), Some(3));
        assert_eq!(successor(&keyless, &Verdict::Agrees, &[2]), None);
        let keyed = status([true, true, true]);
        assert_eq!(successor(&keyed, &Verdict::Agrees, &[2, 3]), None);
        let off = Verdict::Off { offset_ms: 9, better: vec![3] };
        assert_eq!(successor(&keyed, &off, &[2, 3]), Some(3));
        assert_eq!(successor(&keyed, &off, &[2]), None);
        assert_eq!(successor(&keyed, &Verdict::Disputed { offset_ms: -9 }, &[2, 3]), None);
    }
}
