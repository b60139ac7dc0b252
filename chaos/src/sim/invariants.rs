//! What must hold between nodes after every tick, seen from inside. A history shows that something was lost; this shows when.

use super::cluster::Cluster;
use crate::checks::Findings;
use plantao_node::consensus::status::{Role, Status};
use plantao_node::storage::wal::EntryId;
use std::collections::{BTreeMap, BTreeSet};

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Invariants {
    /// The entry that was committed at each index.
    committed: BTreeMap<u64, EntryId>,
    /// Up to where each node's committed entries were compared with those; from 0 again after a start.
    compared: BTreeMap<u64, u64>,
    /// Digest of the rows at each index.
    digests: BTreeMap<u64, [u8; 32]>,
    last: BTreeMap<u64, Status>,
    leaders: BTreeMap<u64, u64>,
    votes: BTreeMap<u64, (u64, u64)>,
    told: BTreeSet<String>,
}

impl Invariants {
    /// Leaders seen, by term.
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
        for (&id, node) in running.iter() {
            let status = node.status();
            self.one_leader_per_term(&status, findings);
            self.never_goes_back(&status, findings);
            self.durable_majority(cluster, &status, findings);
            self.logs_match(cluster, &status, findings);
            let (index, digest) = node.digest();
            let agreed = *self.digests.entry(index).or_insert(digest);
            self.require(agreed == digest, "digest", findings, || format!("n{id} has other rows at {index}"));
            self.last.insert(id, status);
        }
        for (&id, machine) in cluster.machines.iter() {
            let vote = machine.log.lock().durable.vote.map_or((0, 0), |vote| (vote.term, vote.node));
            let before = self.votes.insert(id, vote).unwrap_or_default();
            // A later term, or the same vote again.
            let kept = vote.0 > before.0 || vote == before || before.0 == vote.0 && before.1 == 0;
            self.require(kept, "vote", findings, || format!("n{id} voted {before:?} and then {vote:?}"));
        }
        for (id, reason) in cluster.stopped.borrow_mut().drain(..) {
            self.require(false, "stopped", findings, || format!("n{id} stopped by itself: {reason}"));
        }
    }

    fn one_leader_per_term(&mut self, status: &Status, findings: &mut Findings) {
        if status.role != Role::Leader {
            return;
        }
        let (node, term) = (status.node, status.term);
        let leader = *self.leaders.entry(term).or_insert(node);
        self.require(leader == node, "one leader", findings, || format!("n{leader} and n{node} lead term {term}"));
        // Leader completeness: whoever leads has everything that was ever committed.
        let (newest, last) = (self.committed_index(), status.last_index);
        let newer = self.leaders.keys().next_back().is_some_and(|newest| *newest > term);
        self.require(newer || last >= newest, "leader completeness", findings, || {
            format!("n{node} leads term {term} with {last} entries, and {newest} are committed")
        });
    }

    fn never_goes_back(&mut self, status: &Status, findings: &mut Findings) {
        let Some(last) = self.last.get(&status.node) else { return };
        // What it knows to be committed begins anew with each leader that it follows.
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
            let agreed = *self.committed.entry(index).or_insert(entry.id);
            if agreed != entry.id {
                differing = Some((agreed, entry.id));
            }
        }
        self.compared.insert(id, upto);
        self.require(differing.is_none(), "log matching", findings, || {
            format!("n{id} holds another entry than the committed one: {differing:?}")
        });
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
