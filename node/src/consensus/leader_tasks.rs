//! What a leader looks after: that who should lead does, and that its clock agrees with the others. Both are decided by
//! pure functions over what the node sees; the loop acts on a decision only when it has stood for a while.
//!
//! ```text
//! every 500 ms, on the leader:  drained, or a switchover is due ──────────────────────────┐ at once
//!                               paused or in maintenance: nothing more                    │
//!                               clock off from a majority that agrees ────────────────────┤ for 2 s
//!                               low on room, and another voter is not ────────────────────┤ for 2 s
//!                               the preferred voter lacks nothing ────────────────────────┤ for 10 s
//!                               keyless, and a keyed voter could lead ────────────────────┴ for 2 s ─► transfer
//!                               clock off, and no majority agrees on another ─► warn
//! ```

use std::future::Future;
use std::time::Duration;

use plantao_domain::lead::LeadCause;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::agreement::Verdict;
use super::handle::Consensus;
use super::membership::{TransferError, Wishes};
use super::status::Status;

/// Between two looks.
const TICK: Duration = Duration::from_millis(500);
/// How long a reason to hand over must stand.
const HYSTERESIS: Duration = Duration::from_secs(2);
/// How long the preferred node must have stayed, with everything that the leader has.
const PREFERRED_FOR: Duration = Duration::from_secs(10);
/// After a transfer that did not work.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// The leader's clock and the others do not agree. An operator must look at the clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockWarning {
    /// The clock that a majority agrees on, or else the middle one, minus this node's: milliseconds.
    pub offset_ms: i64,
}

/// What a leader is to do with its lead, besides keeping it: told by whoever knows what operators want.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Orders {
    /// A switchover whose time has come: to this node, or to any.
    pub scheduled: Option<Option<u64>>,
    /// Nothing is to happen by itself; what an operator asked for still does.
    pub hands_off: bool,
}

/// Tells a leader its orders, and hands over in its name.
pub trait Steering: Send + 'static {
    /// What is to be done now; asked at each look of a leader.
    fn orders(&mut self) -> Orders;

    /// Hands over, with whatever must be written before.
    ///
    /// # Errors
    /// The lead stays.
    fn hand_over(
        &mut self,
        to: u64,
        cause: LeadCause,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), TransferError>> + Send;
}

/// A leader without an operator: no orders, and nothing to write before a transfer.
impl Steering for Consensus {
    fn orders(&mut self) -> Orders {
        Orders::default()
    }

    async fn hand_over(&mut self, to: u64, _: LeadCause, deadline: Instant) -> Result<(), TransferError> {
        self.transfer_leader(to, deadline).await
    }
}

/// What a leader knows of the nodes besides their state: who may take over, the best first, and who is low on room.
#[derive(Clone, Copy, Debug)]
struct Field<'a> {
    able: &'a [u64],
    low: &'a [u64],
}

/// To whom a leader should hand over and why; `None` when it should stay. What an operator asked for comes first.
fn successor(
    status: &Status,
    verdict: &Verdict,
    Field { able, low }: Field<'_>,
    wishes: &Wishes,
    orders: &Orders,
) -> Option<(u64, LeadCause)> {
    let free = || able.iter().copied().filter(|id| !wishes.drained.contains(id));
    if wishes.drained.contains(&status.node)
        && let Some(to) = free().next()
    {
        return Some((to, LeadCause::Drain));
    }
    if let Some(wanted) = orders.scheduled {
        let to = free().find(|id| wanted.is_none_or(|wanted| wanted == *id));
        return to.filter(|_| wanted != Some(status.node)).map(|to| (to, LeadCause::Scheduled));
    }
    if orders.hands_off {
        return None;
    }
    if let Verdict::Off { better, .. } = verdict {
        let to = free().find(|id| better.contains(id))?;
        return Some((to, LeadCause::Clock));
    }
    let keyed = |id: u64| status.member(id).is_some_and(|member| member.member.keyed);
    let roomy = || free().filter(|id| !low.contains(id));
    if low.contains(&status.node) {
        // One without keys leads a network as well; what it cannot do is done by the units' nodes.
        return roomy().next().map(|to| (to, LeadCause::HandedOver));
    }
    let free = roomy;
    match wishes.preferred {
        Some(home) if home == status.node => None,
        // Where it belongs, once that node lacks nothing.
        Some(home) if free().any(|id| id == home) && status.lag(home) == Some(0) => Some((home, LeadCause::Preferred)),
        _ if keyed(status.node) => None,
        _ => free().find(|id| keyed(*id)).map(|to| (to, LeadCause::Preferred)),
    }
}

/// How long a reason must stand before it is acted on. A node that has just come back may go again, so the lead returns to
/// it only when it has stayed for a while; what an operator asked for waits for nothing.
fn hysteresis(cause: LeadCause, wishes: &Wishes) -> Duration {
    match cause {
        LeadCause::Drain | LeadCause::Scheduled => Duration::ZERO,
        LeadCause::Preferred if wishes.preferred.is_some() => PREFERRED_FOR,
        _ => HYSTERESIS,
    }
}

/// Runs for as long as the node does; idle while it does not lead.
pub struct LeaderTasks<S> {
    consensus: Consensus,
    steering: S,
    warning: watch::Sender<Option<ClockWarning>>,
}

impl<S: Steering> LeaderTasks<S> {
    /// The receiver holds a warning while one stands.
    pub fn new(consensus: Consensus, steering: S) -> (Self, watch::Receiver<Option<ClockWarning>>) {
        let (warning, warnings) = watch::channel(None);
        (Self { consensus, steering, warning }, warnings)
    }

    /// Never ends by itself; dropping it is fine at any time.
    pub async fn run(mut self) {
        let mut due: Option<(u64, LeadCause, Instant)> = None;
        let mut not_before = Instant::now();
        loop {
            sleep(TICK).await;
            let orders = self.steering.orders();
            let status = self.consensus.status();
            if !status.leads() {
                due = None;
                self.warn(None);
                continue;
            }
            let verdict = self.consensus.clock_verdict();
            self.warn(match verdict {
                Verdict::Agrees => None,
                Verdict::Off { offset_ms, .. } | Verdict::Disputed { offset_ms } => Some(ClockWarning { offset_ms }),
            });
            let (able, wishes): (Vec<u64>, _) = (self.consensus.candidates(&status).collect(), self.consensus.wishes());
            let voters = status.members.iter().filter(|member| member.voter).map(|member| member.id);
            let low = self.consensus.rooms().low(status.node, voters, std::time::Instant::now());
            let field = Field { able: &able, low: &low };
            let Some((to, cause)) = successor(&status, &verdict, field, &wishes, &orders) else {
                due = None;
                continue;
            };
            let now = Instant::now();
            let same = due.filter(|(node, why, _)| (*node, *why) == (to, cause));
            let (_, _, since) = *same.as_ref().unwrap_or(&(to, cause, now));
            due = Some((to, cause, since));
            if now < since + hysteresis(cause, &wishes) || now < not_before {
                continue;
            }
            due = None;
            let deadline = now + self.consensus.timers().election_max() * 2;
            match self.steering.hand_over(to, cause, deadline).await {
                Ok(()) => tracing::info!(node = to, ?cause, "handed leadership over"),
                Err(TransferError::NotLeader { .. } | TransferError::Stopped) => {}
                Err(error) => {
                    not_before = Instant::now() + RETRY_AFTER;
                    tracing::warn!(node = to, ?cause, %error, "leadership stays here");
                }
            }
        }
    }

    fn warn(&self, warning: Option<ClockWarning>) {
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

    const ALL: Field<'_> = Field { able: &[2, 3], low: &[] };

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

    fn to(status: &Status, verdict: &Verdict, able: &[u64]) -> Option<(u64, LeadCause)> {
        successor(status, verdict, Field { able, low: &[] }, &Wishes::default(), &Orders::default())
    }

    #[test]
    fn a_keyless_leader_hands_over_to_a_keyed_node_and_to_no_other() {
        let keyless = status([false, false, true]);
        assert_eq!(to(&keyless, &Verdict::Agrees, &[2, 3]), Some((3, LeadCause::Preferred)));
        assert_eq!(to(&keyless, &Verdict::Agrees, &[2]), None);
        let keyed = status([true, true, true]);
        assert_eq!(to(&keyed, &Verdict::Agrees, &[2, 3]), None);
        let off = Verdict::Off { offset_ms: 9, better: vec![3] };
        assert_eq!(to(&keyed, &off, &[2, 3]), Some((3, LeadCause::Clock)));
        assert_eq!(to(&keyed, &off, &[2]), None);
        assert_eq!(to(&keyed, &Verdict::Disputed { offset_ms: -9 }, &[2, 3]), None);
    }

    fn wishes(preferred: Option<u64>, drained: &[u64]) -> Wishes {
        Wishes { preferred, drained: drained.iter().copied().collect() }
    }

    #[test]
    fn the_lead_goes_where_it_belongs_once_that_node_lacks_nothing() {
        let orders = Orders::default();
        let mut status = status([true, true, true]);
        let home = |status: &Status, wishes: &Wishes| successor(status, &Verdict::Agrees, ALL, wishes, &orders);
        assert_eq!(home(&status, &wishes(Some(3), &[])), None, "nobody knows what it has");
        status.last_index = 7;
        for (matched, expected) in [(Some(6), None), (Some(7), Some((3, LeadCause::Preferred)))] {
            for member in &mut status.members {
                member.matched = matched;
            }
            assert_eq!(home(&status, &wishes(Some(3), &[])), expected);
        }
        assert_eq!(home(&status, &wishes(Some(1), &[])), None, "it is there");
        assert_eq!(home(&status, &wishes(Some(4), &[])), None, "it cannot take over");
        assert_eq!(home(&status, &wishes(Some(3), &[3])), None, "it is drained");
        assert!(hysteresis(LeadCause::Preferred, &wishes(Some(3), &[])) > HYSTERESIS);
        assert_eq!(hysteresis(LeadCause::Preferred, &wishes(None, &[])), HYSTERESIS);
    }

    #[test]
    fn a_drained_leader_goes_at_once_and_only_to_one_that_is_not() {
        let status = status([true, true, false]);
        let hands_off = Orders { scheduled: None, hands_off: true };
        let drained = |drained: &[u64]| successor(&status, &Verdict::Agrees, ALL, &wishes(None, drained), &hands_off);
        assert_eq!(drained(&[1]), Some((2, LeadCause::Drain)), "an operator asked for it: paused or not");
        assert_eq!(drained(&[1, 2]), Some((3, LeadCause::Drain)));
        assert_eq!(drained(&[1, 2, 3]), None, "somebody must lead");
        assert_eq!(drained(&[2]), None);
        assert_eq!(hysteresis(LeadCause::Drain, &wishes(None, &[1])), Duration::ZERO);
    }

    #[test]
    fn what_is_paused_does_only_what_was_asked_for() {
        let keyless = status([false, true, true]);
        let off = Verdict::Off { offset_ms: 9, better: vec![3] };
        let with = |orders: &Orders| successor(&keyless, &off, ALL, &wishes(Some(2), &[]), orders);
        assert_eq!(with(&Orders { scheduled: None, hands_off: true }), None);
        for (scheduled, expected) in [
            (Some(3), Some((3, LeadCause::Scheduled))),
            (None, Some((2, LeadCause::Scheduled))),
            (Some(4), None),
            (Some(1), None),
        ] {
            assert_eq!(with(&Orders { scheduled: Some(scheduled), hands_off: true }), expected);
        }
        let drained = Orders { scheduled: Some(Some(2)), hands_off: false };
        let gone = successor(&keyless, &Verdict::Agrees, ALL, &wishes(None, &[2]), &drained);
        assert_eq!(gone, None, "drained since it was scheduled");
    }

    #[test]
    fn a_leader_that_is_low_on_room_hands_over_to_one_that_is_not() {
        let status = status([true, true, false]);
        let to = |low: &[u64], wishes: &Wishes| {
            successor(&status, &Verdict::Agrees, Field { low, ..ALL }, wishes, &Orders::default())
        };
        let none = Wishes::default();
        assert_eq!(to(&[1], &none), Some((2, LeadCause::HandedOver)));
        assert_eq!(to(&[1, 2], &none), Some((3, LeadCause::HandedOver)));
        assert_eq!(to(&[1, 2, 3], &none), None, "nobody has room");
        assert_eq!(to(&[2], &none), None);
        assert_eq!(to(&[1], &wishes(Some(1), &[])), Some((2, LeadCause::HandedOver)), "home, and full");
        let mut status = status.clone();
        status.last_index = 7;
        status.members.iter_mut().for_each(|member| member.matched = Some(7));
        let home = |low: &[u64]| {
            successor(&status, &Verdict::Agrees, Field { low, ..ALL }, &wishes(Some(3), &[]), &Orders::default())
        };
        assert_eq!(home(&[]), Some((3, LeadCause::Preferred)));
        assert_eq!(home(&[3]), None, "it would come back at once");
    }
}
