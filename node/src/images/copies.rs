//! Which chunk of one upload is durable on which node: what is to be sent to whom next, what may be forgotten, and what
//! may be acknowledged. No network, no disk and no clock is here.
//!
//! ```text
//! add(place, entry, bytes) ─► next(node) ─► sent ─► kept(node, place, receipt) ─► ready? parts and receipts
//!                                 ▲            └► failed(node): others go on ─► no second site? the off-site node too
//! ```
//! A chunk's bytes stay in memory until every node that is fed now has it; whoever comes later gets it from a disk.

use super::local::ChunkReceipt;
use bytes::Bytes;
use plantao_domain::images::{
    ChunkEntry, ManifestPart, PART_CHUNKS_MAX, PART_OF_THUMBNAIL, Receipt, SITES_MIN, part_digest,
};
use plantao_domain::{ChunkId, NodeId, StoreIncarnation, UploadId};
use std::collections::{BTreeMap, BTreeSet};

/// The place of the thumbnail among the chunks.
pub(super) const THUMBNAIL: u32 = u32::MAX;
/// Chunks of one upload that wait in memory.
pub(super) const MEMORY_CHUNKS_MAX: usize = 6;

/// A node that is to hold the image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Site {
    pub(super) name: String,
    pub(super) is_off_site: bool,
    pub(super) is_local: bool,
    /// Behind a link that is capped: it fetches its copies by itself, unless somebody waits for them.
    pub(super) is_thin: bool,
}

struct Target {
    site: Site,
    incarnation: Option<StoreIncarnation>,
    /// By place, the deletion epoch of the receipt.
    held: BTreeMap<u32, u64>,
    /// Said to lie there, by the notes of an earlier try: to be verified before it is sent.
    maybe: BTreeSet<u32>,
    under_way: BTreeSet<u32>,
    failing: bool,
    /// Parts of which the log has the receipt.
    told: BTreeSet<u32>,
}

/// What one node is to be given.
pub(super) struct Job {
    pub(super) place: u32,
    pub(super) id: ChunkId,
    /// `None`: no longer in memory.
    pub(super) bytes: Option<Bytes>,
}

/// The copies of one upload.
pub(super) struct Copies {
    upload: UploadId,
    entries: BTreeMap<u32, ChunkEntry>,
    memory: BTreeMap<u32, Bytes>,
    targets: BTreeMap<NodeId, Target>,
    /// Whether off-site nodes are fed now: because there is no second site otherwise, or because nobody waits any more.
    off_site_too: bool,
}

impl Copies {
    pub(super) fn new(upload: UploadId, sites: BTreeMap<NodeId, Site>) -> Self {
        let targets = sites.into_iter().map(|(node, site)| (node, Target::new(site))).collect();
        let mut copies =
            Self { upload, entries: BTreeMap::new(), memory: BTreeMap::new(), targets, off_site_too: false };
        copies.look_for_second_site();
        copies
    }

    /// A chunk has its place. `false` if another one is there already.
    pub(super) fn add(&mut self, place: u32, entry: ChunkEntry, bytes: Option<Bytes>) -> bool {
        if let Some(before) = self.entries.get(&place) {
            return *before == entry;
        }
        self.entries.insert(place, entry);
        if let Some(bytes) = bytes {
            self.memory.insert(place, bytes);
        }
        true
    }

    pub(super) fn entry(&self, place: u32) -> Option<ChunkEntry> {
        self.entries.get(&place).copied()
    }

    pub(super) fn has_room(&self) -> bool {
        self.memory.len() < MEMORY_CHUNKS_MAX
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.targets.keys().copied().collect()
    }

    /// A node says that it may have a chunk.
    pub(super) fn suppose(&mut self, node: NodeId, place: u32) {
        if let Some(target) = self.targets.get_mut(&node) {
            target.maybe.insert(place);
        }
    }

    fn is_fed(&self, target: &Target) -> bool {
        target.site.is_local || !target.site.is_off_site || self.off_site_too
    }

    /// What to send to a node next; it is under way from then on. Nothing while the node is not fed.
    pub(super) fn next(&mut self, node: NodeId) -> Option<Job> {
        let target = self.targets.get(&node)?;
        if !self.is_fed(target) {
            return None;
        }
        let wanted = |place: &u32| {
            !target.held.contains_key(place) && !target.under_way.contains(place) && !target.maybe.contains(place)
        };
        let (place, entry) = self.entries.iter().find(|(place, _)| wanted(place))?;
        let (place, id) = (*place, entry.chunk);
        let bytes = self.memory.get(&place).cloned();
        self.targets.get_mut(&node)?.under_way.insert(place);
        Some(Job { place, id, bytes })
    }

    /// What to ask a node about: places that it is said to have.
    pub(super) fn to_verify(&self, node: NodeId, limit: usize) -> Vec<(u32, ChunkId)> {
        let Some(target) = self.targets.get(&node) else { return Vec::new() };
        if !self.is_fed(target) {
            return Vec::new();
        }
        let entries = &self.entries;
        target.maybe.iter().filter_map(|place| Some((*place, entries.get(place)?.chunk))).take(limit).collect()
    }

    /// What a node answered about a place that it was said to have.
    pub(super) fn verified(&mut self, node: NodeId, place: u32, receipt: Option<ChunkReceipt>) {
        if let Some(target) = self.targets.get_mut(&node) {
            target.maybe.remove(&place);
        }
        if let Some(receipt) = receipt {
            self.kept(node, place, receipt);
        }
    }

    /// A node gave a receipt.
    pub(super) fn kept(&mut self, node: NodeId, place: u32, receipt: ChunkReceipt) {
        let Some(target) = self.targets.get_mut(&node) else { return };
        target.under_way.remove(&place);
        target.failing = false;
        if target.incarnation != Some(receipt.incarnation) {
            // Another directory: what the one before held is gone.
            target.incarnation = Some(receipt.incarnation);
            target.held.clear();
            target.told.clear();
        }
        target.held.insert(place, receipt.gc_epoch);
        self.forget_bytes();
    }

    /// A node did not take a chunk.
    pub(super) fn failed(&mut self, node: NodeId, place: u32) {
        if let Some(target) = self.targets.get_mut(&node) {
            target.under_way.remove(&place);
        }
        self.mark(node, true);
    }

    /// Whether a node can be reached, as far as is known.
    pub(super) fn mark(&mut self, node: NodeId, failing: bool) {
        if let Some(target) = self.targets.get_mut(&node) {
            target.failing = failing;
        }
        self.look_for_second_site();
        self.forget_bytes();
    }

    /// Feeds off-site nodes if nobody else is a second site.
    fn look_for_second_site(&mut self) {
        let usable = |target: &&Target| !target.site.is_off_site && !target.failing;
        let sites: BTreeSet<&str> =
            self.targets.values().filter(usable).map(|target| target.site.name.as_str()).collect();
        if sites.len() < SITES_MIN as usize {
            self.off_site_too = true;
        }
    }

    /// Nobody waits for the acknowledgement any more: every node gets its copy.
    /// Those behind a thin link fetch what they still lack by themselves: they know which image is the newest.
    pub(super) fn feed_all(&mut self) {
        let places = self.entries.len();
        self.targets.retain(|_, target| !target.site.is_thin || target.held.len() == places);
        self.off_site_too = true;
    }

    fn forget_bytes(&mut self) {
        let fed: Vec<&Target> = self.targets.values().filter(|target| self.is_fed(target)).collect();
        self.memory.retain(|place, _| {
            let is_held = |target: &&&Target| target.held.contains_key(place);
            let somewhere = fed.iter().any(|target| is_held(&target));
            !somewhere || !fed.iter().all(|target| target.failing || is_held(&target))
        });
    }

    /// Other nodes are to hold it; those that stay keep what they have.
    pub(super) fn place_again(&mut self, sites: BTreeMap<NodeId, Site>) {
        self.targets.retain(|node, _| sites.contains_key(node));
        for (node, site) in sites {
            self.targets.entry(node).or_insert_with(|| Target::new(site));
        }
        self.look_for_second_site();
    }

    /// Nodes that hold all that came so far, this one first.
    pub(super) fn holders_of(&self, place: u32) -> Vec<NodeId> {
        let mut holders: Vec<(bool, NodeId)> = self
            .targets
            .iter()
            .filter(|(_, target)| target.held.contains_key(&place) || target.maybe.contains(&place))
            .map(|(node, target)| (!target.site.is_local, *node))
            .collect();
        holders.sort_unstable();
        holders.into_iter().map(|(_, node)| node).collect()
    }

    /// Whether every chunk that came is durable here, or somewhere where this node is to hold none.
    pub(super) fn is_durable_here(&self) -> bool {
        let local = self.targets.values().find(|target| target.site.is_local);
        self.entries.keys().all(|place| match local {
            Some(local) => local.held.contains_key(place),
            None => self.targets.values().any(|target| target.held.contains_key(place)),
        })
    }

    /// The fewest sites that a chunk is durable on.
    pub(super) fn sites(&self) -> u32 {
        let of = |place: &u32| {
            let holders = self.targets.values().filter(|target| target.held.contains_key(place));
            holders.map(|target| target.site.name.as_str()).collect::<BTreeSet<_>>().len()
        };
        // Bounded by the nodes of a placement.
        self.entries.keys().map(of).min().map_or(0, |sites| u32::try_from(sites).unwrap_or(u32::MAX))
    }

    /// Whether the off-site copy is what it waits for.
    pub(super) fn waits_for_off_site(&self) -> bool {
        let off_site = self.targets.values().any(|target| target.site.is_off_site);
        self.off_site_too && off_site && !self.entries.is_empty() && self.sites() < SITES_MIN
    }

    /// Nodes that do not take what they are given.
    pub(super) fn failing(&self) -> BTreeSet<NodeId> {
        self.targets.iter().filter(|(_, target)| target.failing).map(|(node, _)| *node).collect()
    }

    /// Whether every node has everything.
    pub(super) fn is_complete(&self) -> bool {
        self.targets.values().all(|target| self.entries.keys().all(|place| target.held.contains_key(place)))
    }

    /// The manifest, once all `chunks` are there.
    pub(super) fn parts(&self) -> Vec<ManifestPart> {
        let mut parts: BTreeMap<u32, Vec<ChunkEntry>> = BTreeMap::new();
        for (place, entry) in &self.entries {
            parts.entry(part_of(*place)).or_default().push(*entry);
        }
        parts.into_iter().map(|(part, chunks)| ManifestPart { part, chunks }).collect()
    }

    /// Receipts of those nodes that have all of a part, for each part.
    pub(super) fn receipts(&self) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for ManifestPart { part, chunks } in self.parts() {
            let digest = part_digest(self.upload, part, &chunks);
            let places = || self.entries.keys().filter(|place| part_of(**place) == part);
            for (node, target) in &self.targets {
                let epochs: Option<Vec<u64>> = places().map(|place| target.held.get(place).copied()).collect();
                let (Some(incarnation), Some(gc_epoch)) =
                    (target.incarnation, epochs.and_then(|epochs| epochs.into_iter().min()))
                else {
                    continue;
                };
                receipts.push(Receipt { upload: self.upload, part, node: *node, incarnation, digest, gc_epoch });
            }
        }
        receipts
    }

    /// As [`Self::receipts`], without those that the log has.
    pub(super) fn untold_receipts(&self) -> Vec<Receipt> {
        let told = |receipt: &Receipt| {
            self.targets.get(&receipt.node).is_some_and(|target| target.told.contains(&receipt.part))
        };
        self.receipts().into_iter().filter(|receipt| !told(receipt)).collect()
    }

    /// The log has these.
    pub(super) fn told(&mut self, receipts: &[Receipt]) {
        for receipt in receipts {
            if let Some(target) = self.targets.get_mut(&receipt.node)
                && target.incarnation == Some(receipt.incarnation)
            {
                target.told.insert(receipt.part);
            }
        }
    }

    /// The network did not count receipts: every copy is verified again where it lies.
    pub(super) fn doubt_all(&mut self) {
        for target in self.targets.values_mut() {
            let held = std::mem::take(&mut target.held);
            target.maybe.extend(held.into_keys());
            target.incarnation = None;
            target.told.clear();
        }
    }
}

impl Target {
    fn new(site: Site) -> Self {
        Self {
            site,
            incarnation: None,
            held: BTreeMap::new(),
            maybe: BTreeSet::new(),
            under_way: BTreeSet::new(),
            failing: false,
            told: BTreeSet::new(),
        }
    }
}

/// The part of the manifest that a place belongs to.
fn part_of(place: u32) -> u32 {
    if place == THUMBNAIL {
        return PART_OF_THUMBNAIL;
    }
    // 512 fits.
    place / u32::try_from(PART_CHUNKS_MAX).unwrap_or(512)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const UNIT: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);
    const VAULT: NodeId = NodeId(3);

    fn copies() -> Copies {
        let site =
            |name: &str, is_off_site, is_local| Site { name: name.to_owned(), is_off_site, is_local, is_thin: false };
        let sites = BTreeMap::from([
            (UNIT, site("centro", false, true)),
            (OTHER, site("jardins", false, false)),
            (VAULT, site("cofre", true, false)),
        ]);
        Copies::new(UploadId::from_bytes([1; 16]), sites)
    }

    fn entry(byte: u8) -> ChunkEntry {
        ChunkEntry { chunk: ChunkId::from_bytes([byte; 32]), stored_bytes: 200 }
    }

    fn receipt(directory: u8, gc_epoch: u64) -> ChunkReceipt {
        ChunkReceipt { incarnation: StoreIncarnation::from_bytes([directory; 16]), gc_epoch }
    }

    fn send(copies: &mut Copies, node: NodeId, gc_epoch: u64) -> u32 {
        let mut sent = 0;
        while let Some(job) = copies.next(node) {
            copies.kept(node, job.place, receipt(u8::try_from(node.0).unwrap(), gc_epoch));
            sent += 1;
        }
        sent
    }

    #[test]
    fn two_units_come_first_and_the_off_site_node_when_nobody_waits() {
        let mut copies = copies();
        for place in 0..3 {
            assert!(copies.add(place, entry(u8::try_from(place).unwrap()), Some(Bytes::from_static(b"x"))));
        }
        assert!(copies.add(1, entry(1), None) && !copies.add(1, entry(9), None), "another chunk in its place");
        assert!(copies.next(VAULT).is_none());
        assert_eq!((send(&mut copies, UNIT, 4), copies.sites()), (3, 1));
        assert!(copies.is_durable_here() && !copies.waits_for_off_site());
        assert_eq!(copies.receipts().len(), 1, "one site, which is no acknowledgement");
        assert_eq!((send(&mut copies, OTHER, 2), copies.sites()), (3, 2));
        assert!(copies.memory.is_empty(), "whoever comes later reads a disk");
        let receipts = copies.receipts();
        assert_eq!(receipts.iter().map(|r| (r.node, r.gc_epoch)).collect::<Vec<_>>(), [(UNIT, 4), (OTHER, 2)]);
        copies.told(&receipts);
        copies.feed_all();
        assert_eq!((send(&mut copies, VAULT, 2), copies.is_complete()), (3, true));
        assert_eq!(copies.untold_receipts().len(), 1);
    }

    #[test]
    fn without_a_second_unit_the_off_site_node_is_waited_for() {
        let mut copies = copies();
        copies.add(0, entry(0), Some(Bytes::from_static(b"x")));
        send(&mut copies, UNIT, 0);
        let job = copies.next(OTHER).unwrap();
        assert!(job.bytes.is_some());
        copies.failed(OTHER, job.place);
        assert!(copies.waits_for_off_site());
        assert_eq!(copies.receipts().len(), 1);
        assert_eq!(send(&mut copies, VAULT, 0), 1);
        assert!(!copies.waits_for_off_site() && copies.sites() == 2 && copies.memory.is_empty());
        // It comes back: the chunk goes there too, from a disk.
        let job = copies.next(OTHER).unwrap();
        assert!(job.bytes.is_none());
        assert_eq!(copies.holders_of(0), [UNIT, VAULT]);
    }

    // A receipt speaks of one directory; the smallest epoch of its chunks is what may be said for all.
    #[test]
    fn a_receipt_of_a_part_is_no_better_than_its_worst_chunk() {
        let mut copies = copies();
        copies.add(0, entry(0), None);
        copies.add(1, entry(1), None);
        copies.kept(OTHER, 0, receipt(7, 3));
        assert!(copies.receipts().is_empty(), "half of a part");
        copies.kept(OTHER, 1, receipt(7, 9));
        assert_eq!(copies.receipts()[0].gc_epoch, 3);
        copies.kept(OTHER, 1, receipt(8, 9));
        assert!(copies.receipts().is_empty(), "the directory that held the first is lost");
        copies.kept(OTHER, 0, receipt(8, 9));
        assert_eq!(copies.receipts()[0].incarnation, StoreIncarnation::from_bytes([8; 16]));
        copies.doubt_all();
        assert!(copies.receipts().is_empty() && copies.next(OTHER).is_none());
        assert_eq!(copies.to_verify(OTHER, 16).len(), 2);
        copies.verified(OTHER, 0, Some(receipt(8, 10)));
        copies.verified(OTHER, 1, None);
        assert_eq!(copies.next(OTHER).unwrap().place, 1);
    }

    #[test]
    fn a_thumbnail_is_a_part_of_its_own() {
        let mut copies = copies();
        for place in [0, 511, 512, THUMBNAIL] {
            copies.add(place, entry(1), None);
        }
        let parts: Vec<(u32, usize)> = copies.parts().iter().map(|part| (part.part, part.chunks.len())).collect();
        assert_eq!(parts, [(0, 2), (1, 1), (PART_OF_THUMBNAIL, 1)]);
    }

    #[test]
    fn memory_is_bounded_by_what_others_take() {
        let mut copies = copies();
        for place in 0..u32::try_from(MEMORY_CHUNKS_MAX).unwrap() {
            copies.add(place, entry(u8::try_from(place).unwrap()), Some(Bytes::from_static(b"x")));
        }
        send(&mut copies, UNIT, 0);
        assert!(!copies.has_room(), "the other unit has none of them yet");
        copies.mark(OTHER, true);
        assert!(!copies.has_room(), "the off-site node is fed now");
        copies.mark(VAULT, true);
        assert!(copies.has_room(), "whoever comes back reads the disk");
    }
}
