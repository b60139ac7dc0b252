//! What must hold between nodes after every tick, seen from inside. A history shows that something was lost; this shows when.

use super::cluster::Cluster;
use super::log::Contents;
use crate::checks::Findings;
use plantao_node::consensus::status::{Role, Status};
use plantao_node::storage::wal::{EntryId, LogEntry};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};

/// An entry, with its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Committed {
    id: EntryId,
    content: u64,
}

impl Committed {
    fn of(entry: &LogEntry) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&entry.payload);
        Self { id: entry.id, content: hasher.finish() }
    }
}

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Invariants {
    /// The entry that was committed at each index.
    committed: BTreeMap<u64, Committed>,
    /// Up to where each node's committed entries were compared with those; from 0 again after a start.
    compared: BTreeMap<u64, u64>,
    /// Up to where each disk holds for certain what was committed: it never loses that again.
    kept: BTreeMap<u64, u64>,
    /// Digests of the rows and of the answers at each index.
    digests: BTreeMap<u64, ([u8; 32], [u8; 32])>,
    last: BTreeMap<u64, Status>,
    /// Terms and nodes that led: openraft's votes are ordered by both, so a term may have two leaders, and the one with the
    /// higher number is the later one.
    leaders: BTreeSet<(u64, u64)>,
    votes: BTreeMap<u64, (u64, u64)>,
    told: BTreeSet<String>,
}

impl Invariants {
    /// Every node that runs, as it was at the last tick.
    pub(crate) const fn nodes(&self) -> &BTreeMap<u64, Status> {
        &self.last
    }

    /// Leaders seen.
    pub(crate) fn leaderships(&self) -> usize {
        self.leaders.len()
    }

    /// Highest index that is known to be committed.
    pub(crate) fn committed_index(&self) -> u64 {
        self.committed.last_key_value().map_or(0, |(index, _)| *index)
    }

    pub(crate) fn tick(&mut self, cluster: &Cluster, findings: &mut Findings) {
        let running = cluster.running.borrow();
        self.last.retain(|id, _| running.contains_key(id));
        self.compared.retain(|id, _| running.contains_key(id));
        let statuses: BTreeMap<u64, Status> = running.iter().map(|(id, node)| (*id, node.status())).collect();
        // All leaders first: whoever is behind a newer one is excused.
        for status in statuses.values().filter(|status| status.role == Role::Leader) {
            if self.leaders.insert((status.term, status.node)) {
                self.durable_votes(cluster, status, findings);
            }
        }
        for (id, status) in statuses {
            self.leader_has_all(cluster, &status, findings);
            self.never_goes_back(&status, findings);
            self.durable_majority(cluster, &status, findings);
            self.logs_match(cluster, &status, findings);
            let (index, digests) = running[&id].digests();
            let agreed = *self.digests.entry(index).or_insert(digests);
            self.require(agreed == digests, "digest", findings, || {
                let what = if agreed.0 == digests.0 { "answers" } else { "rows" };
                format!("n{id} has other {what} at {index}")
            });
            self.last.insert(id, status);
        }
        for (&id, machine) in cluster.machines.iter() {
            let log = machine.log.lock();
            let vote = log.durable.vote.map_or((0, 0), |vote| (vote.term, vote.node));
            let before = self.votes.insert(id, vote).unwrap_or_default();
            self.require(vote >= before, "vote", findings, || format!("n{id} voted {before:?} and then {vote:?}"));
            self.disk_keeps(id, &log, findings);
        }
        for (id, reason) in cluster.stopped.borrow_mut().drain(..) {
            self.require(false, "stopped", findings, || format!("n{id} stopped by itself: {reason}"));
        }
    }

    /// Leader completeness: whoever leads has everything that was committed before, and not something else in its place.
    fn leader_has_all(&mut self, cluster: &Cluster, status: &Status, findings: &mut Findings) {
        let (node, term) = (status.node, status.term);
        if status.role != Role::Leader || self.leaders.last().is_some_and(|newest| *newest > (term, node)) {
            return;
        }
        let log = cluster.machines[&node].log.lock();
        let led_before = self.last.get(&node).is_some_and(|last| last.role == Role::Leader && last.term == term);
        // All of them once, and then the newest.
        let count = if led_before { 1 } else { usize::MAX };
        let before: Vec<EntryId> = self.committed.values().rev().map(|entry| entry.id).take(count).collect();
        let missing = before.into_iter().find(|id| !log.image.holds(*id));
        drop(log);
        self.require(missing.is_none(), "leader completeness", findings, || {
            format!("n{node} leads term {term} without {missing:?}, which is committed")
        });
    }

    /// Whoever leads a term was elected by votes that are on the disks of a majority: one that is forgotten could be given again.
    fn durable_votes(&mut self, cluster: &Cluster, status: &Status, findings: &mut Findings) {
        let (node, term) = (status.node, status.term);
        let voters: Vec<u64> = status.members.iter().filter(|member| member.voter).map(|member| member.id).collect();
        let voted = |id: &&u64| {
            let vote = cluster.machines.get(*id).and_then(|machine| machine.log.lock().durable.vote);
            vote.is_some_and(|vote| (vote.term, vote.node) >= (term, node))
        };
        let count = voters.iter().filter(voted).count();
        // While voters change, the votes that count are those of another list. Whoever votes alone has nobody to elect another, and
        // acknowledges nothing before its own disk has what came after its vote.
        let is_alone = voters.len() == 1;
        self.require(status.changing || is_alone || 2 * count > voters.len(), "durable votes", findings, || {
            format!("n{node} leads term {term}, and its votes are on the disks of {count} of {} voters", voters.len())
        });
    }

    fn never_goes_back(&mut self, status: &Status, findings: &mut Findings) {
        let Some(last) = self.last.get(&status.node) else { return };
        // What it knows to be committed begins anew with each leader, itself included.
        let figures = |status: &Status| [status.term, status.applied_index, status.purged_index];
        let (before, now) = (figures(last), figures(status));
        let holds = before.iter().zip(&now).all(|(before, now)| before <= now);
        self.require(holds, "monotone", findings, || {
            format!("n{}: term, applied, purged {before:?} became {now:?}", status.node)
        });
    }

    /// What a leader says is committed is on the disks of a majority, whatever else happens to them.
    fn durable_majority(&mut self, cluster: &Cluster, status: &Status, findings: &mut Findings) {
        let (id, index) = (status.node, status.committed_index);
        let known = self.last.get(&id).map_or(0, |last| last.committed_index);
        // While voters change, two majorities count; the tick after shows it.
        if status.role != Role::Leader || status.changing || index <= known {
            return;
        }
        let log = cluster.machines[&id].log.lock();
        let Some(entry) = log.image.entries.get(&index).map(|entry| entry.id) else { return };
        drop(log);
        let voters: Vec<u64> = status.members.iter().filter(|member| member.voter).map(|member| member.id).collect();
        let holds = |id: &&u64| cluster.machines.get(*id).is_some_and(|it| it.log.lock().durable.holds(entry));
        let held = voters.iter().filter(holds).count();
        self.require(2 * held > voters.len(), "durable majority", findings, || {
            format!("n{id} committed {entry}, which is on the disks of {held} of {} voters", voters.len())
        });
    }

    /// What one node holds committed at an index, every node does.
    fn logs_match(&mut self, cluster: &Cluster, status: &Status, findings: &mut Findings) {
        // What a follower is told to be committed may lie beyond what it shares with its leader; what it applied does not.
        let upto = if status.role == Role::Leader { status.committed_index } else { status.applied_index };
        let id = status.node;
        let from = self.compared.get(&id).map_or(0, |compared| compared + 1);
        if from > upto {
            return;
        }
        let mut differing = None;
        for (&index, entry) in cluster.machines[&id].log.lock().image.entries.range(from..=upto) {
            let entry = Committed::of(entry);
            let agreed = *self.committed.entry(index).or_insert(entry);
            if agreed != entry {
                differing = Some((agreed.id, entry.id));
            }
        }
        self.compared.insert(id, upto);
        self.require(differing.is_none(), "log matching", findings, || {
            format!("n{id} holds another entry than the committed one: {differing:?}")
        });
    }

    /// A disk that held a committed entry for certain holds it until it is purged, over every power cut and start.
    fn disk_keeps(&mut self, id: u64, log: &Contents, findings: &mut Findings) {
        let mut upto = self.kept.get(&id).copied();
        let held = upto.and_then(|upto| self.committed.get(&upto));
        let lost = held.filter(|entry| !log.durable.holds(entry.id)).map(|entry| entry.id);
        self.require(lost.is_none(), "disk", findings, || format!("n{id} has lost {lost:?}, which is committed"));
        for (index, entry) in self.committed.range(upto.map_or(0, |upto| upto + 1)..) {
            if !log.durable.holds(entry.id) {
                break;
            }
            upto = Some(*index);
        }
        if let Some(upto) = upto {
            self.kept.insert(id, upto);
        }
    }

    /// Once for each text: what holds no more goes on not to hold.
    fn require(&mut self, holds: bool, check: &'static str, findings: &mut Findings, what: impl FnOnce() -> String) {
        if !holds {
            let what = what();
            if self.told.insert(what.clone()) {
                findings.add(check, what);
            }
        }
    }
}
