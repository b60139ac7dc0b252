//! From what is expected and what is told to a report.

use super::challenge::{Challenged, challenge};
use super::copies::{CopiesOf, CopiesPage};
use super::evidence::{EvidencePeers, StateEvidence, States};
use super::expected::{self, Expected};
use super::report::{Answer, FindingKind, Findings, HolderReport, ObjectsReport, Report};
use super::safety::Place;
use super::witness::Witness;
use crate::images::PeerError;
use crate::images::convert::{HeldReport, Refusal};
use crate::storage::state::StateStore;
use plantao_domain::cluster::NodeDescription;
use plantao_domain::rows::{self, StoreRow};
use plantao_domain::{ChunkId, DiskId, ImageId, NodeId, ViewFault};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Chunks that each holder must prove to have.
    pub challenge_chunks: usize,
    /// Older checks are errors.
    pub check_age_max: Duration,
}

/// What is being done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// What should be held is read; counted in chunks.
    Expected,
    /// Nodes say what they hold; counted in nodes.
    Held,
    /// Chunks are challenged; counted in chunks.
    Challenge,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What.
    pub step: Step,
    /// How much of it.
    pub done: u64,
    /// Of how much; 0 if that is not known.
    pub total: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The rows cannot be read.
    #[error("the state cannot be read")]
    State(#[from] ViewFault),
    /// The node stops.
    #[error("the work was cut off")]
    CutOff,
}

/// A node that counts, as the rows have it.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) description: NodeDescription,
    pub(super) store: Option<StoreRow>,
}

/// What is known before anybody is asked.
#[derive(Clone, Default)]
pub struct Facts {
    pub(super) nodes: BTreeMap<NodeId, Known>,
}

impl Facts {
    /// Nodes that are `members`, or have a store that was not retired.
    pub(super) fn read(state: &dyn StateStore, members: &BTreeSet<NodeId>) -> Result<Self, ViewFault> {
        let mut nodes = BTreeMap::new();
        for (node, row) in rows::nodes(state, None, rows::PAGE_ROWS_MAX)? {
            let store = rows::live_store(state, node)?;
            if members.contains(&node) || store.is_some() {
                nodes.insert(node, Known { description: row.description, store });
            }
        }
        Ok(Self { nodes })
    }

    /// Where a node's copies of images lie. `held` is what it found itself; without it, what it registered.
    pub(super) fn place(&self, node: NodeId, held: Option<&HeldReport>, state: Option<&StateEvidence>) -> Place {
        let known = self.nodes.get(&node);
        let store = known.and_then(|known| known.store.as_ref());
        let nowhere = DiskId::from_bytes([0; 32]);
        Place {
            node,
            disk: held.map(|held| held.disk).or(store.map(|store| store.disk)).unwrap_or(nowhere),
            simulated: state.is_some_and(|state| state.simulated),
            medium: store
                .map(|store| store.medium.clone())
                .or(known.map(|known| known.description.medium.clone()))
                .unwrap_or_default(),
            off_site: known.is_some_and(|known| !known.description.keyed),
        }
    }
}

/// Makes proofs on one node. Cheap to clone.
#[derive(Clone)]
pub struct Prover {
    pub(super) examiner: Examiner,
    pub(super) evidence: EvidencePeers,
}

/// The half that looks at images.
#[derive(Clone)]
pub(super) struct Examiner {
    pub(super) state: Arc<dyn StateStore>,
    pub(super) witness: Arc<dyn Witness>,
}

/// What a node said of its chunks, and what of that is not as it should be.
#[derive(Default)]
struct Heard {
    held: Option<HeldReport>,
    answer: Option<Answer>,
    /// Chunks that it should have and does not list.
    missing: BTreeSet<ChunkId>,
    challenged: Challenged,
    lost: u64,
    awaited: u64,
}

impl Prover {
    /// On the state of this node.
    pub fn new(state: Arc<dyn StateStore>, witness: Arc<dyn Witness>, evidence: EvidencePeers) -> Self {
        Self { examiner: Examiner { state, witness }, evidence }
    }

    /// Looks at everything. `seed` is fresh; `told` hears how far it is.
    ///
    /// # Errors
    /// See [`ProveError`]. A node that does not answer is no error but a finding.
    pub async fn prove(
        &self,
        options: Options,
        seed: [u8; 32],
        linearizable: bool,
        told: impl Fn(Progress) + Clone + Send + Sync + 'static,
    ) -> Result<Report, ProveError> {
        let members = self.evidence.members();
        let states = self.evidence.compare(&members).await;
        self.examiner.examine(options, seed, (members, states), linearizable, told).await
    }

    /// The copies of some objects; see [`super::copies`].
    ///
    /// # Errors
    /// As [`Self::prove`].
    pub async fn copies(&self, of: CopiesOf) -> Result<CopiesPage, ProveError> {
        super::copies::read(self, of).await
    }
}

impl Examiner {
    async fn examine(
        &self,
        options: Options,
        seed: [u8; 32],
        (members, states): (BTreeSet<NodeId>, States),
        linearizable: bool,
        told: impl Fn(Progress) + Clone + Send + Sync + 'static,
    ) -> Result<Report, ProveError> {
        // Before the nodes are asked: what is expected here was to be held by then.
        let (facts, expected, applied_index) = self.expected(options, seed, members.clone(), told.clone()).await?;
        let mut heard = self.hear(&facts, &expected, &told).await?;
        self.challenge(expected_samples(&expected, &heard), &mut heard, seed, &told).await;

        let mut findings = Findings::default();
        let short = self.gaps(&mut heard, &mut findings).await?;
        let holders = holders(&facts, &expected, &heard, &states, options, &mut findings);
        let places: BTreeMap<NodeId, Place> = holders
            .iter()
            .filter(|holder| holder.answer == Answer::Answered)
            .map(|holder| (holder.place.node, holder.place.clone()))
            .collect();
        let objects = vec![images(&expected, &short, &places), state_copies(&facts, &states)];
        for node in &members {
            if !states.agree.contains(node) {
                findings.add(FindingKind::State, *node, None, None);
            }
        }
        let mut first = findings.first;
        first.sort();
        Ok(Report { applied_index, linearizable, holders, objects, findings: first, findings_total: findings.total })
    }

    async fn expected(
        &self,
        options: Options,
        seed: [u8; 32],
        members: BTreeSet<NodeId>,
        told: impl Fn(Progress) + Send + 'static,
    ) -> Result<(Facts, Expected, u64), ProveError> {
        let state = Arc::clone(&self.state);
        let read = move || {
            let applied_index = state.meta().applied.map_or(0, |entry| entry.index);
            let facts = Facts::read(&*state, &members)?;
            let mut tell = |done| told(Progress { step: Step::Expected, done, total: 0 });
            let expected = Expected::read(&*state, seed, options.challenge_chunks, &mut tell)?;
            Ok((facts, expected, applied_index))
        };
        crate::work::blocking(read).await.map_err(|_| ProveError::CutOff)?
    }

    /// What each node with something to hold says, and what it does not list.
    async fn hear(
        &self,
        facts: &Facts,
        expected: &Expected,
        told: &impl Fn(Progress),
    ) -> Result<BTreeMap<NodeId, Heard>, ProveError> {
        let nodes: BTreeSet<NodeId> = facts
            .nodes
            .iter()
            .filter(|(_, known)| known.store.is_some())
            .map(|(node, _)| *node)
            .chain(expected.nodes.keys().copied())
            .collect();
        let total = nodes.len() as u64;
        let mut asking = JoinSet::new();
        for node in nodes {
            let witness = Arc::clone(&self.witness);
            asking.spawn(async move { (node, witness.held(node).await) });
        }
        let mut heard = BTreeMap::new();
        while let Some(answer) = asking.join_next().await {
            let (node, answer) = answer.map_err(|_| ProveError::CutOff)?;
            let registered = facts.nodes.get(&node).and_then(|known| known.store.as_ref());
            let one = match (answer, registered) {
                (Ok(held), Some(store)) if held.incarnation == store.incarnation => {
                    self.compare(node, held, expected).await?
                }
                (Ok(_), _) | (Err(PeerError::Refused { refusal: Refusal::NoStore, .. }), _) => {
                    Heard { answer: Some(Answer::NoStore), ..Heard::default() }
                }
                (Err(_), _) => Heard { answer: Some(Answer::Silent), ..Heard::default() },
            };
            heard.insert(node, one);
            told(Progress { step: Step::Held, done: heard.len() as u64, total });
        }
        Ok(heard)
    }

    /// Lists the partitions in which a node holds something else than it should. More than that is no fault.
    async fn compare(&self, node: NodeId, held: HeldReport, expected: &Expected) -> Result<Heard, ProveError> {
        let mut heard = Heard { answer: Some(Answer::Answered), ..Heard::default() };
        if let Some(of) = expected.nodes.get(&node) {
            for (partition, (should, has)) in (0..=u8::MAX).zip(of.digests.iter().zip(&held.partitions)) {
                if *should == has.digest {
                    continue;
                }
                let state = Arc::clone(&self.state);
                let read = move || expected::of_partition(&*state, node, partition);
                let mut missing = crate::work::blocking(read).await.map_err(|_| ProveError::CutOff)??;
                let mut after = None;
                while !missing.is_empty() {
                    let Ok(page) = self.witness.list(node, partition, after).await else {
                        return Ok(Heard { answer: Some(Answer::Silent), ..Heard::default() });
                    };
                    for chunk in &page {
                        missing.remove(&chunk.id);
                    }
                    // A list that does not go on is at its end, whatever it says.
                    match page.last() {
                        Some(last) if after.is_none_or(|before| last.id > before) => after = Some(last.id),
                        _ => break,
                    }
                }
                heard.missing.extend(missing);
            }
        }
        heard.held = Some(held);
        Ok(heard)
    }

    async fn challenge(
        &self,
        of: BTreeMap<NodeId, Vec<ChunkId>>,
        heard: &mut BTreeMap<NodeId, Heard>,
        nonce: [u8; 32],
        told: &(impl Fn(Progress) + Send + Sync),
    ) {
        let total = of.values().map(|ids| ids.len() as u64).sum();
        let tell = |done| told(Progress { step: Step::Challenge, done, total });
        for (node, challenged) in challenge(&self.witness, nonce, of, &tell).await {
            let Some(heard) = heard.get_mut(&node) else { continue };
            heard.missing.extend(challenged.missing.iter().copied());
            if !challenged.refuted.is_empty() {
                heard.answer = Some(Answer::Refuted);
            }
            heard.challenged = challenged;
        }
    }

    /// What is missing where, by image; and the findings of it.
    async fn gaps(
        &self,
        heard: &mut BTreeMap<NodeId, Heard>,
        findings: &mut Findings,
    ) -> Result<BTreeMap<ImageId, Short>, ProveError> {
        let mut short: BTreeMap<ImageId, Short> = BTreeMap::new();
        for (node, one) in heard {
            let (node, missing, state) = (*node, one.missing.clone(), Arc::clone(&self.state));
            let read = move || {
                let gap_of = |id: ChunkId| expected::gap(&*state, node, id).map(|gap| (id, gap));
                missing.into_iter().map(gap_of).collect::<Result<Vec<_>, _>>()
            };
            for (id, gap) in crate::work::blocking(read).await.map_err(|_| ProveError::CutOff)?? {
                let kind = if gap.lost { FindingKind::Lost } else { FindingKind::Awaited };
                *(if gap.lost { &mut one.lost } else { &mut one.awaited }) += 1;
                findings.add(kind, node, gap.images.first().map(|(image, ..)| *image), Some(id));
                for (image, placement, bytes) in gap.images {
                    let entry =
                        short.entry(image).or_insert_with(|| Short { placement, bytes, without: BTreeSet::new() });
                    entry.without.insert(node);
                }
            }
            for id in &one.challenged.refuted {
                findings.add(FindingKind::Refuted, node, None, Some(*id));
            }
        }
        Ok(short)
    }
}

/// An image that some node has not all of.
struct Short {
    placement: Vec<NodeId>,
    bytes: u64,
    without: BTreeSet<NodeId>,
}

/// The sample of each node that answered, less what it does not list.
fn expected_samples(expected: &Expected, heard: &BTreeMap<NodeId, Heard>) -> BTreeMap<NodeId, Vec<ChunkId>> {
    let asked = heard.iter().filter(|(_, heard)| heard.answer == Some(Answer::Answered));
    asked
        .filter_map(|(node, heard)| {
            let sample = expected.nodes.get(node)?.sample.clone().take();
            Some((*node, sample.difference(&heard.missing).copied().collect()))
        })
        .collect()
}

fn holders(
    facts: &Facts,
    expected: &Expected,
    heard: &BTreeMap<NodeId, Heard>,
    states: &States,
    options: Options,
    findings: &mut Findings,
) -> Vec<HolderReport> {
    let mut holders = Vec::new();
    for (node, known) in &facts.nodes {
        let none = Heard { answer: Some(Answer::NoStore), ..Heard::default() };
        let one = heard.get(node).unwrap_or(&none);
        let answer = one.answer.unwrap_or(Answer::Silent);
        let state = states.last.get(node);
        let held = one.held.as_ref();
        let partitions = || held.into_iter().flat_map(|held| &held.partitions);
        let check_age = partitions().map(|part| part.oldest_check_age).max().unwrap_or_default();
        let of = expected.nodes.get(node);
        match answer {
            Answer::Silent => findings.add(FindingKind::Silent, *node, None, None),
            // A node that should hold nothing needs no directory.
            Answer::NoStore if of.is_some() || known.store.is_some() => {
                findings.add(FindingKind::NoStore, *node, None, None);
            }
            Answer::Answered | Answer::Refuted | Answer::NoStore => {}
        }
        if one.challenged.unanswered > 0 && answer != Answer::Silent {
            findings.add(FindingKind::Silent, *node, None, None);
        }
        if check_age > options.check_age_max {
            findings.add(FindingKind::Overdue, *node, None, None);
        }
        let description = &known.description;
        holders.push(HolderReport {
            place: facts.place(*node, held, state),
            name: description.name.clone(),
            site: description.site.clone(),
            country: description.country.clone(),
            answer,
            expected_chunks: of.map_or(0, |of| of.chunks),
            expected_bytes: of.map_or(0, |of| of.bytes),
            lost_chunks: one.lost,
            awaited_chunks: one.awaited,
            held_chunks: partitions().map(|part| part.count).sum(),
            held_bytes: partitions().map(|part| part.bytes).sum(),
            check_age,
            bad: held.map_or(0, |held| held.bad),
            challenged: one.challenged.asked,
            proved: one.challenged.proved,
            applied_index: state.map(|state| state.applied_index),
            state_check_age: state.map(|state| state.check_age).unwrap_or_default(),
            state_agrees: states.agree.contains(node),
        });
    }
    holders
}

/// Images by placement, and those with gaps one by one.
fn images(expected: &Expected, short: &BTreeMap<ImageId, Short>, places: &BTreeMap<NodeId, Place>) -> ObjectsReport {
    let mut whole = expected.placements.clone();
    let mut report = ObjectsReport::new("images");
    for image in short.values() {
        // An image that came after the placements were counted is not among them.
        if let Some(amount) = whole.get_mut(&image.placement) {
            amount.images = amount.images.saturating_sub(1);
            amount.bytes = amount.bytes.saturating_sub(image.bytes);
        }
        let holding = image.placement.iter().filter(|node| !image.without.contains(*node));
        report.add(1, image.bytes, holding.filter_map(|node| places.get(node)));
    }
    for (placement, amount) in &whole {
        report.add(amount.images, amount.bytes, placement.iter().filter_map(|node| places.get(node)));
    }
    report
}

/// The replicated state is one object, whole on each node that agrees.
fn state_copies(facts: &Facts, states: &States) -> ObjectsReport {
    let mut report = ObjectsReport::new("state");
    let places: Vec<Place> = state_places(facts, states);
    let rows = states.last.values().map(|state| state.rows).max().unwrap_or(1);
    report.add(rows.max(1), 0, places.iter());
    report
}

/// Where copies of the state lie that agree with this node's.
pub(super) fn state_places(facts: &Facts, states: &States) -> Vec<Place> {
    let agreeing = states.last.iter().filter(|(node, _)| states.agree.contains(node));
    agreeing
        .map(|(node, state)| Place {
            node: *node,
            disk: state.disk,
            simulated: state.simulated,
            medium: state.medium.clone(),
            off_site: facts.nodes.get(node).is_some_and(|known| !known.description.keyed),
        })
        .collect()
}

#[cfg(test)]
#[path = "prover_tests.rs"]
mod tests;
