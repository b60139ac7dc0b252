//! The last thousand events of this node, and the task that finds them. In memory only: a node that starts begins anew, and
//! says so by the moment of its start.

use super::Timeline;
use super::picture::{Event, Kind, Picture, Seen, changes};
use crate::admin::About;
use crate::consensus::Link;
use crate::gateway::Gateway;
use crate::images::keeping::Keeper;
use plantao_proto::admin::v1;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Events that are kept.
pub(crate) const EVENTS_MAX: usize = 1_000;
/// Between two pictures.
const PAUSE: Duration = Duration::from_secs(1);
/// A node that has not answered for so long is silent; one lost answer is nothing to tell.
const SILENT_AFTER: Duration = Duration::from_secs(5);

/// Asks for the warnings of now.
pub type Warnings = Arc<dyn Fn() -> Vec<v1::Warning> + Send + Sync>;

/// An event with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stored {
    /// From 1 on, without gap.
    pub(super) sequence: u64,
    /// On this node's clock.
    pub(super) at_ms: i64,
    pub(super) event: Event,
}

struct Ring {
    kept: Mutex<VecDeque<Stored>>,
    last: watch::Sender<u64>,
    started_ms: i64,
}

/// The last events of this node. Cheap to clone.
#[derive(Clone)]
pub struct EventRing(Arc<Ring>);

impl EventRing {
    /// Empty, of a node that started at `started_ms` on its clock.
    pub fn new(started_ms: i64) -> Self {
        Self(Arc::new(Ring { kept: Mutex::default(), last: watch::Sender::new(0), started_ms }))
    }

    /// When the node started: its numbers count from there.
    pub(super) fn started_ms(&self) -> i64 {
        self.0.started_ms
    }

    /// Adds one, and forgets the oldest when there are too many.
    pub(super) fn push(&self, at_ms: i64, event: Event) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = kept.back().map_or(0, |last| last.sequence) + 1;
        if kept.len() >= EVENTS_MAX {
            kept.pop_front();
        }
        kept.push_back(Stored { sequence, at_ms, event });
        drop(kept);
        self.0.last.send_replace(sequence);
    }

    /// Up to `limit` of those with a number above `after`, oldest first.
    pub(super) fn after(&self, after: u64, limit: usize) -> Vec<Stored> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let from = kept.partition_point(|stored| stored.sequence <= after);
        kept.range(from..).take(limit).cloned().collect()
    }

    /// Number of the oldest that is kept; 0: none yet.
    pub(super) fn first(&self) -> u64 {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.front().map_or(0, |stored| stored.sequence)
    }

    /// The number of the newest, and each change of it.
    pub(super) fn last(&self) -> watch::Receiver<u64> {
        self.0.last.subscribe()
    }
}

/// Looks every second what changed, for as long as the node runs.
pub async fn watch_events(
    gateway: Gateway,
    about: About,
    keeper: Keeper,
    warnings: Warnings,
    timeline: Timeline,
    ring: EventRing,
) {
    let mut before: Option<Picture> = None;
    let mut tick = tokio::time::interval(PAUSE);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let last_leader = before.as_ref().and_then(|before| before.leader_last);
        let now = picture(&gateway, &about, &keeper, &warnings(), &timeline, last_leader);
        let at_ms = gateway.clock().now().millis();
        match &before {
            None => ring.push(at_ms, Event { kind: Kind::Started, node: us(&about), ..Event::default() }),
            Some(before) => changes(before, &now).into_iter().for_each(|event| ring.push(at_ms, event)),
        }
        before = Some(now);
    }
}

fn us(about: &About) -> (u64, String) {
    (about.node.node.0, about.node.name.clone())
}

fn picture(
    gateway: &Gateway,
    about: &About,
    keeper: &Keeper,
    warnings: &[v1::Warning],
    timeline: &Timeline,
    leader_last: Option<u64>,
) -> Picture {
    let (status, now) = (gateway.consensus().status(), Instant::now());
    timeline.note(now, status.last_index);
    let voters: Vec<u64> = status.members.iter().filter(|member| member.voter).map(|member| member.id).collect();
    let links = gateway.consensus().links().links(&voters, now);
    let silent = |link: &&Link| link.from == status.node && !link.reachable && link.lasting >= SILENT_AFTER;
    let seen = |member: &crate::consensus::MemberStatus| {
        (member.id, Seen { name: member.member.name.clone(), voter: member.voter })
    };
    Picture {
        us: status.node,
        term: status.term,
        leader: status.leader,
        leader_last: status.leader.or(leader_last),
        members: status.members.iter().map(seen).collect(),
        silent: links.iter().filter(silent).map(|link| link.to).collect(),
        cut: links.iter().filter(|link| link.cut).map(|link| (link.from, link.to)).collect(),
        sealed: about.node.keyed.then(|| gateway.keyring().is_sealed()),
        certificates: about.certificate.borrow().generation,
        bad: keeper.own_directory().map_or(0, |directory| directory.bad),
        warnings: warnings
            .iter()
            .map(|warning| (Picture::warning_key(warning.code, &warning.message), warning.message.clone()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(count: u64) -> Event {
        Event { kind: Kind::CopiesBad, count, ..Event::default() }
    }

    #[test]
    fn a_thousand_are_kept_and_numbers_go_on() {
        let ring = EventRing::new(7);
        assert_eq!((ring.first(), ring.after(0, 10)), (0, Vec::new()));
        for count in 1..=1_250 {
            ring.push(0, event(count));
        }
        assert_eq!((ring.first(), *ring.last().borrow(), ring.started_ms()), (251, 1_250, 7));
        let all = ring.after(0, usize::MAX);
        assert_eq!(all.len(), EVENTS_MAX);
        assert!(all.iter().all(|stored| stored.sequence == stored.event.count));
        let page: Vec<u64> = ring.after(300, 2).iter().map(|stored| stored.sequence).collect();
        assert_eq!(page, [301, 302]);
        assert_eq!(ring.after(1_250, 5), []);
        assert_eq!(ring.after(u64::MAX, 5), []);
    }
}
