//! What operators want of the lead, carried from the rows to this node: wishes and elections to Raft, orders to the leader's
//! tasks, and to health checks whether programs should come here.
//!
//! ```text
//! policy row ─► wishes: preferred, drained ─► consensus          (each node, twice a second)
//!            ─► paused: stands for no election by itself
//!            ─► paused, maintenance, schedule ─► orders ─► LeaderTasks ─► hand_over
//!            ─► drained ─► health: not serving
//! ```
//! A pause ends by this node's clock, or by its own count of the pause's length, whichever comes first: no node waits for a
//! leader in order to learn that it may elect one.

use super::{Error, Handover, hand_over};
use crate::consensus::{Orders, Steering, TransferError, Wishes};
use crate::gateway::{Gateway, node_actor};
use plantao_client::identity::Identity;
use plantao_domain::lead::{LeadCause, LeadPolicy, Pause};
use plantao_domain::{ClusterTime, NodeId, rows};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Steers the lead of one node as the policy says.
pub struct Steward {
    gateway: Gateway,
    identity: Identity,
    /// The pause that was seen last, and when first.
    pause: Option<(Pause, Instant)>,
    drained: watch::Sender<bool>,
}

impl Steward {
    /// The receiver tells whether this node is drained.
    pub fn new(gateway: Gateway, identity: Identity) -> (Self, watch::Receiver<bool>) {
        let (drained, receiver) = watch::channel(false);
        (Self { gateway, identity, pause: None, drained }, receiver)
    }

    fn is_paused(&mut self, policy: &LeadPolicy, now: ClusterTime, at: Instant) -> bool {
        let Some(pause) = &policy.pause else {
            self.pause = None;
            return false;
        };
        if self.pause.as_ref().is_none_or(|(seen, _)| seen != pause) {
            self.pause = Some((pause.clone(), at));
        }
        let first = self.pause.as_ref().map_or(at, |(_, first)| *first);
        holds(pause, now, at.saturating_duration_since(first))
    }
}

/// `seen_for` is how long this node has known of the pause, which bounds it where the clock is wrong.
fn holds(pause: &Pause, now: ClusterTime, seen_for: Duration) -> bool {
    let length = u64::try_from(pause.until.millis().saturating_sub(pause.since.millis())).unwrap_or(0);
    pause.holds(now) && seen_for < Duration::from_millis(length)
}

fn wishes(policy: &LeadPolicy) -> Wishes {
    Wishes {
        preferred: policy.preferred.map(|node| node.0),
        drained: policy.drained.iter().map(|node| node.0).collect(),
    }
}

impl Steering for Steward {
    fn orders(&mut self) -> Orders {
        // Rows that cannot be read stop the node elsewhere; until then nothing is to happen by itself.
        let Ok(policy) = rows::lead_policy(&**self.gateway.state()) else {
            return Orders { scheduled: None, hands_off: true };
        };
        let now = self.gateway.consensus().time();
        let paused = self.is_paused(&policy, now, Instant::now());
        let consensus = self.gateway.consensus();
        consensus.set_wishes(wishes(&policy));
        let voters = consensus.status().members.iter().filter(|member| member.voter).count();
        // The only voter has nobody to take the lead from it, and nobody to give it back.
        consensus.set_elections(!paused || voters <= 1);
        let drained = policy.is_drained(self.gateway.node());
        self.drained.send_if_modified(|before| std::mem::replace(before, drained) != drained);
        Orders {
            scheduled: policy
                .schedule
                .as_ref()
                .filter(|schedule| schedule.is_due(now))
                .map(|schedule| schedule.to.map(|node| node.0)),
            hands_off: paused || policy.is_maintained(now),
        }
    }

    async fn hand_over(&mut self, to: u64, cause: LeadCause, deadline: Instant) -> Result<(), TransferError> {
        let reason = match (cause, rows::lead_policy(&**self.gateway.state())) {
            (LeadCause::Scheduled, Ok(policy)) => policy.schedule.map(|schedule| schedule.reason),
            _ => None,
        };
        let wanted = Handover {
            to: Some(NodeId(to)),
            expect_leader: Some(self.gateway.node()),
            cause,
            reason: reason.unwrap_or_default(),
        };
        match hand_over(&self.gateway, node_actor(&self.identity), &wanted, deadline).await {
            Ok(_) => Ok(()),
            Err(Error::Transfer(error)) => Err(error),
            Err(Error::OtherLeader { actual, .. }) => {
                Err(TransferError::NotLeader { leader: (actual != 0).then_some(actual) })
            }
            // Drained since, or no majority: the next look decides anew.
            Err(_) => Err(TransferError::NoCandidate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plantao_domain::ActorId;

    #[test]
    fn a_pause_ends_by_the_clock_or_by_its_length() {
        let time = ClusterTime::saturating_from_millis;
        let pause = Pause { since: time(1_000), until: time(61_000), reason: String::new(), by: ActorId::default() };
        let minute = Duration::from_secs(60);
        assert!(holds(&pause, time(60_999), Duration::ZERO));
        assert!(!holds(&pause, time(61_000), Duration::ZERO), "its time has come");
        assert!(holds(&pause, time(0), minute - Duration::from_millis(1)));
        assert!(!holds(&pause, time(0), minute), "this node's clock stands still, or is hours behind");
    }
}
