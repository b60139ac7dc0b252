//! Which links between nodes work: what this node finds out by its own calls, and what the others told of theirs. Nothing is
//! repaired here, and no call is steered by it.
//!
//! ```text
//! every second: Hello, from a voter to every member, from a learner to every voter
//!     question and answer carry all that either side knows: its own report, and those of others with their age
//! cut:          one end has not reached the other for 5 s, the other has told something since, and the reports at hand
//!               are those of a majority of the voters
//! ```
//! So a node that is down is no cut link, and a node that is itself cut off blames nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::convert::{self, Affiliation};
use super::handle::Consensus;
use super::hello;
use super::status::Status;
use crate::transport::PeerChannels;

/// How long a link must have been down to be called cut (DESIGN 6).
pub const CUT_AFTER: Duration = Duration::from_secs(5);
/// Reports older than this say nothing any more: the node may be down meanwhile.
pub const REPORT_AGE_MAX: Duration = Duration::from_secs(15);
/// Reports, and peers in each, that are kept or taken from a message: above any cluster (2 to 50 units), so that
/// forged ones cannot fill the memory.
pub const NODES_MAX: usize = 64;
/// Between two calls to one peer.
const PAUSE: Duration = Duration::from_secs(1);
/// The same until the clocks of a majority are known: whoever comes to lead needs them.
const PAUSE_AT_FIRST: Duration = Duration::from_millis(150);
/// How long one call may take. Also by how much an age may be too young, because the way here is not counted in it.
const CALL_TIME_MAX: Duration = Duration::from_secs(2);
/// An answer that took longer says too little about the other clock.
const CLOCK_TIME_MAX: Duration = Duration::from_millis(500);

/// Whether one node reaches another, and since when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reach {
    reachable: bool,
    since: Instant,
}

/// What one node said of its own calls.
#[derive(Clone, Debug)]
struct Report {
    made: Instant,
    peers: BTreeMap<u64, Reach>,
}

/// A report as it travels: with durations, because clocks differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// Whose calls.
    pub node: u64,
    /// How long ago it said so.
    pub age: Duration,
    /// To whom, whether they succeed, and for how long that had been so.
    pub peers: Vec<(u64, bool, Duration)>,
}

/// One direction of a link, as the node at its beginning has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Who calls.
    pub from: u64,
    /// Who is called.
    pub to: u64,
    /// Whether it answers.
    pub reachable: bool,
    /// For how long this has been so.
    pub lasting: Duration,
    /// Not reachable, though neither end is down: see the module.
    pub cut: bool,
}

/// All that one node knows about links. Cheap to clone.
#[derive(Clone)]
pub struct PeerLinks {
    node: u64,
    reports: Arc<Mutex<BTreeMap<u64, Report>>>,
}

impl PeerLinks {
    /// Nothing known yet, on `node`.
    pub fn new(node: u64) -> Self {
        Self { node, reports: Arc::default() }
    }

    /// A call of this node to `peer` was answered, or was not.
    pub fn note(&self, peer: u64, reachable: bool, now: Instant) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let own = reports.entry(self.node).or_insert_with(|| Report { made: now, peers: BTreeMap::new() });
        let known = own.peers.get(&peer);
        if known.is_none_or(|known| known.reachable != reachable) && (known.is_some() || own.peers.len() < NODES_MAX) {
            own.peers.insert(peer, Reach { reachable, since: now });
        }
    }

    /// What another node told. Of each report the youngest stands; nobody tells this node about itself.
    pub fn learn(&self, told: Vec<Told>, now: Instant) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        for Told { node, age, peers } in told.into_iter().take(NODES_MAX) {
            let Some(made) = now.checked_sub(age).filter(|_| node != self.node && age <= REPORT_AGE_MAX) else {
                continue;
            };
            let news = match reports.get(&node) {
                Some(known) => known.made < made,
                None => reports.len() < NODES_MAX,
            };
            if news {
                let peers = peers.into_iter().take(NODES_MAX).filter_map(|(peer, reachable, lasting)| {
                    Some((peer, Reach { reachable, since: made.checked_sub(lasting)? }))
                });
                reports.insert(node, Report { made, peers: peers.collect() });
            }
        }
    }

    /// What this node passes on: its own report and every young one.
    pub fn tell(&self, now: Instant) -> Vec<Told> {
        self.young(now)
            .into_iter()
            .map(|(node, report)| Told {
                node,
                age: now.saturating_duration_since(report.made),
                peers: report
                    .peers
                    .into_iter()
                    .map(|(peer, reach)| (peer, reach.reachable, report.made.saturating_duration_since(reach.since)))
                    .collect(),
            })
            .collect()
    }

    /// Forgets all but these nodes.
    pub fn retain(&self, members: &BTreeSet<u64>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.retain(|node, _| members.contains(node));
        for report in reports.values_mut() {
            report.peers.retain(|peer, _| members.contains(peer));
        }
    }

    /// Every link that is told about, with which are cut, by number; `voters` are all voters.
    pub fn links(&self, voters: &[u64], now: Instant) -> Vec<Link> {
        let young = self.young(now);
        let majority = voters.iter().filter(|voter| young.contains_key(voter)).count() * 2 > voters.len();
        let mut links = Vec::new();
        for (from, report) in &young {
            for (to, reach) in &report.peers {
                let lasting = now.saturating_duration_since(reach.since);
                // An age may be too young by the time of a call: what it told must be later than that.
                let lives = || young.get(to).is_some_and(|theirs| theirs.made >= reach.since + CALL_TIME_MAX);
                let cut = !reach.reachable && lasting >= CUT_AFTER && majority && lives();
                links.push(Link { from: *from, to: *to, reachable: reach.reachable, lasting, cut });
            }
        }
        links
    }

    /// The reports that still say something; this node's own is as of now.
    fn young(&self, now: Instant) -> BTreeMap<u64, Report> {
        let mut young = self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(own) = young.get_mut(&self.node) {
            own.made = now;
        }
        young.retain(|_, report| now.saturating_duration_since(report.made) <= REPORT_AGE_MAX);
        young
    }
}

/// Whom a node calls: a voter everybody, because any voter may come to lead; a learner the voters.
fn callees(status: &Status) -> Vec<(u64, String)> {
    let votes = status.member(status.node).is_some_and(|member| member.voter);
    let others = status.members.iter().filter(|member| member.id != status.node && (votes || member.voter));
    others.map(|member| (member.id, member.member.peer_address.clone())).collect()
}

/// Calls the other nodes for as long as this one runs. Dropping it is fine at any time.
pub async fn watch_links(consensus: Consensus, us: Affiliation, channels: PeerChannels) {
    let mut calls = JoinSet::new();
    let mut under_way = BTreeSet::new();
    loop {
        while let Some(ended) = calls.try_join_next() {
            match ended {
                Ok(peer) => drop(under_way.remove(&peer)),
                // It panicked, and does not say for whom.
                Err(_) => under_way.clear(),
            }
        }
        let status = consensus.status();
        consensus.links().retain(&status.members.iter().map(|member| member.id).collect());
        for (peer, address) in callees(&status) {
            // One that answers late holds up nobody but itself.
            if under_way.insert(peer) {
                calls.spawn(greet(consensus.clone(), us, channels.clone(), peer, address));
            }
        }
        sleep(if consensus.knows_the_time() { PAUSE } else { PAUSE_AT_FIRST }).await;
    }
}

async fn greet(consensus: Consensus, us: Affiliation, channels: PeerChannels, peer: u64, address: String) -> u64 {
    let links = consensus.links();
    let (sent, newest) = (Instant::now(), consensus.levels().newest());
    let told = convert::wire_links(links.tell(sent));
    let deadline = tokio::time::Instant::now() + CALL_TIME_MAX;
    let answer = match hello::ask((peer, &address), us, newest, told, &channels, deadline).await {
        Some(Ok(answer)) => Some(answer),
        Some(Err(refusal)) => {
            consensus.incarnations().learn(&refusal);
            None
        }
        None => None,
    };
    let now = Instant::now();
    links.note(peer, answer.is_some(), now);
    if let Some(answer) = answer {
        links.learn(convert::links(answer.links), now);
        consensus.rooms().note(peer, answer.low_on_room, now);
        if sent.elapsed() <= CLOCK_TIME_MAX {
            consensus.clocks().note_answer(peer, answer.now_ms, sent);
        }
    }
    peer
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOTERS: [u64; 3] = [1, 2, 3];

    /// A moment that has a past.
    fn start() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Three nodes that call each other every second, from `from` to `to`, except over the links that are down.
    fn talk(nodes: &[PeerLinks], start: Instant, from: u64, to: u64, down: &dyn Fn(u64, u64) -> bool) {
        for second in from..to {
            let now = start + seconds(second);
            for caller in nodes {
                for callee in nodes.iter().filter(|callee| callee.node != caller.node) {
                    let answers = !down(caller.node, callee.node);
                    if answers {
                        callee.learn(caller.tell(now), now);
                        caller.learn(callee.tell(now), now);
                    }
                    // A node that is down notes nothing either.
                    if !(1..=3).all(|other| other == caller.node || down(caller.node, other)) {
                        caller.note(callee.node, answers, now);
                    }
                }
            }
        }
    }

    fn three() -> Vec<PeerLinks> {
        VOTERS.iter().map(|node| PeerLinks::new(*node)).collect()
    }

    fn cut(links: &PeerLinks, now: Instant) -> Vec<(u64, u64)> {
        links.links(&VOTERS, now).iter().filter(|link| link.cut).map(|link| (link.from, link.to)).collect()
    }

    #[test]
    fn a_cut_link_is_named_on_every_node_after_five_seconds_and_no_longer_once_it_works() {
        let (nodes, start) = (three(), start());
        let between = |a: u64, b: u64| (a, b) == (1, 2) || (a, b) == (2, 1);
        talk(&nodes, start, 0, 10, &|_, _| false);
        talk(&nodes, start, 10, 15, &between);
        for node in &nodes {
            assert_eq!(cut(node, start + seconds(14)), [], "node {}", node.node);
        }
        talk(&nodes, start, 15, 60, &between);
        for node in &nodes {
            assert_eq!(cut(node, start + seconds(59)), [(1, 2), (2, 1)], "node {}", node.node);
            let links = node.links(&VOTERS, start + seconds(59));
            assert_eq!(links.len(), 6);
            let one = links.iter().find(|link| (link.from, link.to) == (2, 1)).map(|link| link.lasting.as_secs());
            assert_eq!(one, Some(49), "since when, whoever is asked");
        }
        talk(&nodes, start, 60, 63, &|_, _| false);
        for node in &nodes {
            assert_eq!(cut(node, start + seconds(63)), [], "node {}", node.node);
            assert!(node.links(&VOTERS, start + seconds(63)).iter().all(|link| link.reachable));
        }
    }

    // A forwarded port that is gone: nobody reaches the node, and it reaches everybody.
    #[test]
    fn one_direction_is_a_cut_too() {
        let (nodes, start) = (three(), start());
        talk(&nodes, start, 0, 5, &|_, _| false);
        talk(&nodes, start, 5, 30, &|_, to| to == 2);
        for node in &nodes {
            assert_eq!(cut(node, start + seconds(29)), [(1, 2), (3, 2)], "node {}", node.node);
        }
    }

    #[test]
    fn a_node_that_is_down_is_no_cut_link_at_any_moment() {
        let (nodes, start) = (three(), start());
        talk(&nodes, start, 0, 10, &|_, _| false);
        for second in 10..60 {
            talk(&nodes, start, second, second + 1, &|from, to| from == 3 || to == 3);
            for node in &nodes[..2] {
                assert_eq!(cut(node, start + seconds(second)), [], "node {} at {second}", node.node);
            }
        }
        assert!(nodes[0].links(&VOTERS, start + seconds(59)).iter().any(|link| link.to == 3 && !link.reachable));
    }

    // Cut off from both others: it knows that it reaches nobody, and not why.
    #[test]
    fn a_node_that_is_cut_off_blames_nobody() {
        let (nodes, start) = (three(), start());
        talk(&nodes, start, 0, 10, &|_, _| false);
        for second in 10..60 {
            let now = start + seconds(second);
            nodes[2].note(1, false, now);
            nodes[2].note(2, false, now);
            assert_eq!(cut(&nodes[2], now), [], "at {second}");
        }
    }

    #[test]
    fn a_sign_of_life_counts_from_two_seconds_after_the_failure_on_and_only_with_a_majority() {
        let (links, failed) = (PeerLinks::new(1), start());
        let now = failed + seconds(6);
        links.note(2, false, failed);
        let told = |age| vec![Told { node: 2, age: seconds(age), peers: Vec::new() }];
        // Its age may be too low by the time of a call: it may have been said just before.
        links.learn(told(5), now);
        assert_eq!(cut(&links, now), []);
        links.learn(told(4), now);
        assert_eq!(cut(&links, now), [(1, 2)]);
        assert!(links.links(&[1, 2, 3, 4, 5], now).iter().all(|link| !link.cut), "two of five");
    }

    #[test]
    fn the_younger_report_stands_and_nobody_is_told_about_itself() {
        let (links, now) = (PeerLinks::new(1), start());
        let told = |age: u64, reachable| Told { node: 2, age: seconds(age), peers: vec![(3, reachable, seconds(9))] };
        links.learn(vec![told(2, false)], now);
        links.learn(vec![told(5, true), Told { node: 1, age: seconds(0), peers: vec![(2, false, seconds(9))] }], now);
        let expected = Link { from: 2, to: 3, reachable: false, lasting: seconds(11), cut: false };
        assert_eq!(links.links(&VOTERS, now), [expected]);
        links.learn(vec![told(1, true)], now);
        assert!(links.links(&VOTERS, now)[0].reachable);
        assert_eq!(links.tell(now), [told(1, true)]);
        assert_eq!(links.tell(now + REPORT_AGE_MAX), [], "it is too old now");
        links.learn(vec![told(16, true)], now);
        links.retain(&BTreeSet::from([1, 2]));
        assert_eq!(links.links(&VOTERS, now), [], "3 was removed");
    }

    #[test]
    fn forged_reports_fill_no_memory() {
        let (links, now) = (PeerLinks::new(1), start());
        let peers: Vec<_> = (0..200).map(|peer| (peer, true, seconds(1))).collect();
        links.learn(vec![Told { node: 7, age: seconds(0), peers: vec![(8, true, Duration::MAX)] }], now);
        assert_eq!(links.links(&VOTERS, now), [], "no link is older than the machine's clock");
        for round in 0..10 {
            let told = (0..100).map(|node| Told { node: round * 100 + node, age: seconds(0), peers: peers.clone() });
            links.learn(told.collect(), now);
        }
        for peer in 0..200 {
            links.note(peer, true, now);
        }
        let told = links.tell(now);
        assert!(told.len() <= NODES_MAX + 1, "{} reports", told.len());
        assert!(told.iter().all(|report| report.peers.len() <= NODES_MAX));
    }
}
