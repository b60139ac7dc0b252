//! What chunks may take of the link to each node: the calendar of the configuration, one budget for both directions, and
//! who goes first when several wait. Raft and records are never asked: they have connections of their own.
//!
//! ```text
//! awaited   somebody waits for the acknowledgement     passes at once, over the cap; those behind wait for the debt
//! fresh     images of these days                       newest first  ┐ one at a time on a capped link, when the
//! backlog   everything else                            newest first  ┘ bucket has paid for what passed before
//! ```
//! # What holds for Raft beside it
//! A chunk that passes leaves as fast as the link takes it, and the pause comes after it: over any time that is long
//! against one chunk the cap holds. What keeps heartbeats from waiting behind a whole chunk is the lane below: calls over
//! a link that has a calendar use `transport::Lane::Thin`, whose windows and send buffer are 64 KiB, so that no more than
//! 128 KiB of bulk lie between this node and the other at any moment: 1 s at 1 Mbit/s, below the shortest election time
//! of a node that hears nothing, and the same for each heartbeat, so that their distance stays. Whoever caps a link
//! does it at both ends: each end paces what it asks for and what it is asked for.

use crate::chunks::bucket::TokenBucket;
use crate::chunks::calendar::{Calendar, Cap, LinkCaps};
use crate::chunks::lanes::Lane;
use crate::chunks::zone::Zone;
use crate::clock::SharedClock;
use crate::consensus::Consensus;
use plantao_domain::{ClusterTime, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout;

/// What may pass at once after a rest: small, because a chunk may go into debt anyway.
const BURST_BYTES: u64 = 64 << 10;
/// Whoever waits looks again after this at the latest: the hour may have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Over so much busy time a link's rate is measured; older chunks count half.
const RATE_WINDOW: Duration = Duration::from_secs(60);
/// Less busy time than this says nothing about a link.
const RATE_TIME_MIN: Duration = Duration::from_millis(200);

/// How long an answer waits for its turn: within the patience of whoever asked.
const SERVE_TIME_MAX: Duration = Duration::from_secs(120);

/// The place among those that wait for one link: lane, newest first, arrival.
type Rank = (Lane, i64, u64);
/// How a node is called, which is how calendars name it.
type NameOf = Box<dyn Fn(NodeId) -> Option<String> + Send + Sync>;

struct Inner {
    caps: LinkCaps,
    zone: Zone,
    clock: SharedClock,
    name_of: NameOf,
    /// One for each node that was ever asked for, so bounded by the membership.
    links: Mutex<BTreeMap<NodeId, Arc<Link>>>,
}

struct Link {
    calendar: Calendar,
    gate: Mutex<Gate>,
    changed: Notify,
}

struct Gate {
    bucket: TokenBucket,
    under_way: usize,
    busy_since: Instant,
    /// Bytes that passed, and the time that it took.
    measured: (u64, Duration),
    arrivals: u64,
    waiting: BTreeSet<Rank>,
}

/// The links of this node. Cheap to clone; all clones share the budgets.
#[derive(Clone)]
pub struct BulkLinks(Arc<Inner>);

/// The right to move one chunk over a link, until it is dropped.
pub struct BulkPass {
    link: Arc<Link>,
    bytes: u64,
}

impl BulkLinks {
    /// With the caps of the configuration; nodes are named as in the membership.
    pub fn new(caps: LinkCaps, zone: Zone, clock: SharedClock, consensus: Consensus) -> Self {
        Self::named(caps, zone, clock, Box::new(move |node| consensus.member(node.0).map(|member| member.name)))
    }

    fn named(caps: LinkCaps, zone: Zone, clock: SharedClock, name_of: NameOf) -> Self {
        Self(Arc::new(Inner { caps, zone, clock, name_of, links: Mutex::default() }))
    }

    fn link(&self, node: NodeId) -> Arc<Link> {
        let mut links = self.0.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(&node) {
            return Arc::clone(link);
        }
        let name = (self.0.name_of)(node);
        let calendar = self.0.caps.of(name.as_deref().unwrap_or_default()).clone();
        let now = Instant::now();
        let gate = Gate {
            bucket: TokenBucket::new(None, BURST_BYTES, now),
            under_way: 0,
            busy_since: now,
            measured: (0, Duration::ZERO),
            arrivals: 0,
            waiting: BTreeSet::new(),
        };
        let link = Arc::new(Link { calendar, gate: Mutex::new(gate), changed: Notify::new() });
        // A node without a name yet is looked up again with the next call.
        if name.is_some() {
            links.insert(node, Arc::clone(&link));
        }
        link
    }

    /// Waits until `bytes` may pass to or from a node, and counts them. `newest` orders those that wait in one lane:
    /// the time of the image. An awaited one never waits. Cancel safe: whoever is dropped while it waits takes nothing.
    pub async fn pass(&self, node: NodeId, bytes: u64, lane: Lane, newest: ClusterTime) -> BulkPass {
        let link = self.link(node);
        let rank = match lane {
            Lane::Awaited => {
                link.gate().enter(bytes, Instant::now());
                return BulkPass { link, bytes };
            }
            Lane::Fresh | Lane::Backlog => link.gate().arrive(lane, newest),
        };
        let waiter = Waiter { link: &link, rank };
        loop {
            let changed = link.changed.notified();
            let minute = self.0.zone.minute(self.0.clock.now());
            let cap = link.calendar.cap(minute);
            let Some(wait) = link.gate().try_enter(rank, bytes, cap, Instant::now()) else { break };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
            }
        }
        // Takes its place off the list, and lets the next one look.
        drop(waiter);
        BulkPass { link, bytes }
    }

    /// As [`Self::pass`], for what the node of that number asked for. The other end puts what it asks for into order; here it
    /// is first come, first served. `None`: its turn did not come in time, and it should come back.
    pub async fn serve(&self, node: u64, bytes: u64, can_wait: bool) -> Option<BulkPass> {
        let lane = if can_wait { Lane::Backlog } else { Lane::Awaited };
        timeout(SERVE_TIME_MAX, self.pass(NodeId(node), bytes, lane, ClusterTime::MIN)).await.ok()
    }

    /// Counts bytes that the node of that number sent by its own budget.
    pub fn count(&self, node: u64, bytes: u64) {
        self.link(NodeId(node)).gate().bucket.spend(bytes);
    }

    /// Whether a calendar stands for the link at any hour: then bulk keeps to small windows.
    pub fn is_thin(&self, node: NodeId) -> bool {
        self.link(node).calendar != Calendar::UNLIMITED
    }

    /// The calendar of the link to a node.
    pub fn calendar(&self, node: NodeId) -> Calendar {
        self.link(node).calendar.clone()
    }

    /// The minute of the day that calendars go by, now.
    pub fn minute(&self) -> crate::chunks::calendar::DayMinute {
        self.0.zone.minute(self.0.clock.now())
    }

    /// Bytes a second that chunks lately took over the link while any was under way; `None` before the first ones.
    pub fn measured(&self, node: NodeId) -> Option<u64> {
        let (bytes, time) = self.link(node).gate().measured;
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        (time >= RATE_TIME_MIN && bytes > 0).then(|| (bytes.saturating_mul(1000) / millis.max(1)).max(1))
    }
}

impl Link {
    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    fn arrive(&mut self, lane: Lane, newest: ClusterTime) -> Rank {
        self.arrivals += 1;
        let rank = (lane, newest.millis().saturating_neg(), self.arrivals);
        self.waiting.insert(rank);
        rank
    }

    fn enter(&mut self, bytes: u64, now: Instant) {
        self.bucket.spend(bytes);
        if self.under_way == 0 {
            self.busy_since = now;
        }
        self.under_way += 1;
    }

    /// `None`: it passes. Else how long to wait before it is worth another look.
    fn try_enter(&mut self, rank: Rank, bytes: u64, cap: Cap, now: Instant) -> Option<Duration> {
        let rate = cap.bytes_per_second();
        self.bucket.set_rate(rate, now);
        if rate.is_some() {
            // On a capped link one after the other: so little is on its way that whoever is awaited is not behind it.
            let is_next = self.waiting.first() == Some(&rank);
            // A closed link takes not even what was saved up.
            if !is_next || self.under_way > 0 || rate == Some(0) {
                return Some(LOOK_EVERY);
            }
            if let Some(wait) = self.bucket.wait(now) {
                return Some(wait);
            }
        }
        self.enter(bytes, now);
        None
    }

    fn leave(&mut self, bytes: u64, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        self.measured.0 = self.measured.0.saturating_add(bytes);
        if self.under_way == 0 {
            self.measured.1 += now.saturating_duration_since(self.busy_since);
            if self.measured.1 > RATE_WINDOW {
                self.measured = (self.measured.0 / 2, self.measured.1 / 2);
            }
        }
    }
}

/// Takes a place off the list when its owner passed or gave up.
struct Waiter<'a> {
    link: &'a Link,
    rank: Rank,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.link.gate().waiting.remove(&self.rank);
        self.link.changed.notify_waiters();
    }
}

impl Drop for BulkPass {
    fn drop(&mut self) {
        self.link.gate().leave(self.bytes, Instant::now());
        self.link.changed.notify_waiters();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::ScriptedClock;
    use tokio::sync::mpsc;

    const VAULT: NodeId = NodeId(3);
    const UNIT: NodeId = NodeId(2);
    /// 2023-11-14 at 22:13 UTC.
    const NIGHT: i64 = 1_700_000_000_000;

    fn links(caps: &str, clock: &Arc<ScriptedClock>) -> BulkLinks {
        let name = |node: NodeId| Some(if node == VAULT { "cofre" } else { "jardins" }.to_owned());
        let (caps, zone) = (LinkCaps::parse(caps).unwrap(), Zone::parse("UTC").unwrap());
        BulkLinks::named(caps, zone, Arc::clone(clock) as SharedClock, Box::new(name))
    }

    fn at(millis: i64) -> ClusterTime {
        ClusterTime::from_millis(millis).unwrap()
    }

    /// Ten chunks at 800 kbit/s, which is 100 kB/s: each waits for the one before.
    #[tokio::test]
    async fn a_capped_link_passes_bytes_at_its_rate_and_an_open_one_at_once() {
        let clock = Arc::new(ScriptedClock::new(NIGHT));
        let links = links("cofre = else 800 kbit/s", &clock);
        let started = Instant::now();
        for _ in 0..10 {
            drop(links.pass(VAULT, 10_000, Lane::Backlog, at(0)).await);
        }
        // 100,000 bytes less the burst and the last one.
        assert!(started.elapsed() >= Duration::from_millis(240), "{:?}", started.elapsed());
        // At the cap of the other link this would take hours.
        let free = async {
            [links.pass(UNIT, 1 << 30, Lane::Backlog, at(0)).await, links.pass(UNIT, 1, Lane::Fresh, at(0)).await]
        };
        let passes = tokio::time::timeout(Duration::from_secs(60), free).await.expect("an open link");
        assert!(links.is_thin(VAULT) && !links.is_thin(UNIT));
        drop(passes);
    }

    #[tokio::test]
    async fn who_is_waited_for_passes_a_closed_link_and_the_others_pass_in_order() {
        let clock = Arc::new(ScriptedClock::new(NIGHT));
        let links = links("cofre = 22:00-23:00 none, else unlimited", &clock);
        let (told, mut order) = mpsc::channel(8);
        let waiters = [(1, Lane::Backlog, 900), (2, Lane::Fresh, 100), (3, Lane::Backlog, 950), (4, Lane::Fresh, 300)];
        let tasks = waiters.map(|(number, lane, taken)| {
            let (links, told) = (links.clone(), told.clone());
            tokio::spawn(async move {
                let pass = links.pass(VAULT, 1_000, lane, at(taken)).await;
                told.send(number).await.unwrap();
                drop(pass);
            })
        });
        // All wait.
        while links.link(VAULT).gate().waiting.len() < 4 {
            tokio::task::yield_now().await;
        }
        drop(links.pass(VAULT, 1 << 20, Lane::Awaited, at(0)).await);
        assert!(order.try_recv().is_err(), "the link is closed to what can wait");
        // A cap instead of the closed hour, so that they pass one by one.
        let link = links.link(VAULT);
        link.gate().bucket.set_rate(Some(1_000_000), Instant::now());
        let mut passed = Vec::new();
        let mut later = Instant::now() + Duration::from_secs(3_600);
        while passed.len() < 4 {
            let first = *link.gate().waiting.first().unwrap();
            assert_eq!(link.gate().try_enter(first, 1_000, Cap::Bits(8_000_000), later), None);
            let others: Vec<Rank> = link.gate().waiting.iter().skip(1).copied().collect();
            for other in others {
                assert!(link.gate().try_enter(other, 1, Cap::Bits(8_000_000), later).is_some(), "not its turn");
            }
            link.gate().leave(1_000, later);
            link.gate().waiting.remove(&first);
            passed.push((first.0, -first.1));
            later += Duration::from_secs(1);
        }
        let expected = [(Lane::Fresh, 300), (Lane::Fresh, 100), (Lane::Backlog, 950), (Lane::Backlog, 900)];
        assert_eq!(passed, expected);
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        assert_eq!(link.gate().under_way, 0);
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_leaves_no_trace_and_the_hour_opens_the_link() {
        let clock = Arc::new(ScriptedClock::new(NIGHT));
        let links = links("cofre = 22:00-23:00 none, else unlimited", &clock);
        let gave_up = tokio::time::timeout(Duration::from_millis(50), links.pass(VAULT, 9, Lane::Fresh, at(0))).await;
        assert!(gave_up.is_err() && links.link(VAULT).gate().waiting.is_empty());
        let task = tokio::spawn({
            let links = links.clone();
            async move { drop(links.pass(VAULT, 9, Lane::Fresh, at(0)).await) }
        });
        clock.set(NIGHT + 3_600_000);
        links.link(VAULT).changed.notify_waiters();
        tokio::time::timeout(Duration::from_secs(30), task).await.unwrap().unwrap();
    }

    #[test]
    fn the_rate_is_that_of_busy_time() {
        let clock = Arc::new(ScriptedClock::new(NIGHT));
        let links = links("else unlimited", &clock);
        assert_eq!(links.measured(UNIT), None);
        let start = Instant::now();
        let link = links.link(UNIT);
        for second in [0, 100, 200] {
            let begun = start + Duration::from_secs(second);
            link.gate().enter(2_000_000, begun);
            link.gate().leave(2_000_000, begun + Duration::from_secs(1));
        }
        assert_eq!(links.measured(UNIT), Some(2_000_000));
    }
}
