//! What a proof says. Plain facts; the wire is `admin::proof::convert`'s.

use super::safety::{Place, Safety, Verdict};
use plantao_domain::{ChunkId, ImageId, NodeId};
use std::time::Duration;

/// Findings that a report names; all are counted.
pub(super) const FINDINGS_MAX: usize = 1_000;

/// What a node had to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It answered.
    Answered,
    /// It did not.
    Silent,
    /// It has no chunk directory, or not the registered one.
    NoStore,
    /// It could not prove what it said.
    Refuted,
}

/// What is wrong somewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FindingKind {
    /// A node has not what it gave a receipt for.
    Lost,
    /// A node was never given what it should hold.
    Awaited,
    /// A node could not prove to have what it says it has.
    Refuted,
    /// A check is overdue.
    Overdue,
    /// A node did not answer, or not all.
    Silent,
    /// A node has no chunk directory that counts.
    NoStore,
    /// The state of a node differs, or could not be compared.
    State,
}

/// One thing that is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Where.
    pub node: NodeId,
    /// With which image.
    pub image: Option<ImageId>,
    /// With which chunk.
    pub chunk: Option<ChunkId>,
}

/// A node that should hold copies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HolderReport {
    /// Where its copies lie.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub site: String,
    /// In which country.
    pub country: String,
    /// What it had to say of images.
    pub answer: Answer,
    /// What it should hold.
    pub expected_chunks: u64,
    /// Bytes of that.
    pub expected_bytes: u64,
    /// Of that, what it has not although it gave a receipt for it.
    pub lost_chunks: u64,
    /// And what it was never given.
    pub awaited_chunks: u64,
    /// What it holds.
    pub held_chunks: u64,
    /// Bytes of that.
    pub held_bytes: u64,
    /// Since the oldest check.
    pub check_age: Duration,
    /// Bad copies since its start.
    pub bad: u64,
    /// Chunks that it was asked to prove.
    pub challenged: u32,
    /// Chunks that it proved.
    pub proved: u32,
    /// Up to which index it had applied the log; `None` if it did not answer.
    pub applied_index: Option<u64>,
    /// Since all rows of its state were read.
    pub state_check_age: Duration,
    /// Whether its state is that of this node at one index.
    pub state_agrees: bool,
}

/// All objects of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectsReport {
    /// `images` or `state`.
    pub kind: &'static str,
    /// How many.
    pub objects: u64,
    /// Their size; 0 where that is not known.
    pub bytes: u64,
    /// Of all objects the fewest, as nodes declare their disks.
    pub least: Safety,
    /// The same, as disks were found.
    pub least_found: Safety,
    /// Objects with fewer than three copies.
    pub without_three: u64,
    /// Objects on one medium.
    pub without_two: u64,
    /// Objects without an off-site copy.
    pub without_one: u64,
}

impl ObjectsReport {
    /// Nothing yet.
    pub(super) fn new(kind: &'static str) -> Self {
        let most = Safety { copies: u32::MAX, media: u32::MAX, off_site: u32::MAX };
        Self {
            kind,
            objects: 0,
            bytes: 0,
            least: most,
            least_found: most,
            without_three: 0,
            without_two: 0,
            without_one: 0,
        }
    }

    /// Takes in `objects` objects whose copies lie at these places.
    pub(super) fn add<'a>(&mut self, objects: u64, bytes: u64, places: impl Iterator<Item = &'a Place> + Clone) {
        if objects == 0 {
            return;
        }
        let safety = Safety::of(places.clone(), true);
        self.objects += objects;
        self.bytes += bytes;
        self.least = self.least.least(safety);
        self.least_found = self.least_found.least(Safety::of(places, false));
        self.without_three += if safety.three() { 0 } else { objects };
        self.without_two += if safety.two() { 0 } else { objects };
        self.without_one += if safety.one() { 0 } else { objects };
    }

    /// What they come to with so many errors. What is not there lacks nothing.
    pub fn verdict(&self, errors: u64) -> Verdict {
        Verdict::of(self.least_found, self.least, errors)
    }
}

/// A proof, or the lack of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Log index that the expectation is of.
    pub applied_index: u64,
    /// Whether a majority confirmed that nothing newer was acknowledged when it began.
    pub linearizable: bool,
    /// Nodes that should hold copies.
    pub holders: Vec<HolderReport>,
    /// Images, and the state.
    pub objects: Vec<ObjectsReport>,
    /// What is wrong: the first [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many there are.
    pub findings_total: u64,
}

impl Report {
    /// 3, 2, 1 and 0.
    pub fn verdict(&self) -> Verdict {
        let verdicts = self.objects.iter().map(|objects| objects.verdict(self.findings_total));
        verdicts.max().unwrap_or(Verdict::DoesNotHold)
    }
}

/// Findings under way: counted, and the first of them kept.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) first: Vec<Finding>,
    pub(super) total: u64,
}

impl Findings {
    pub(super) fn add(&mut self, kind: FindingKind, node: NodeId, image: Option<ImageId>, chunk: Option<ChunkId>) {
        self.total += 1;
        if self.first.len() < FINDINGS_MAX {
            self.first.push(Finding { kind, node, image, chunk });
        }
    }
}
