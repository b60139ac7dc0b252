//! Images against a model of disks: nodes that lag, lose directories, give receipts early and deliver them late or
//! twice, and unlink as soon as they may. Whatever comes in whatever order, a committed image was on two sites when it
//! became visible, and a receipt that counts stands for bytes that are there.

use crate::world::*;
use plantao_domain::images::{ChunkEntry, ChunkEpoch, Copies, Holders, Receipt, gc_epoch, may_unlink};
use plantao_domain::rows::{self, Amount, ExpectedChunks, PartOf, PartRow, StoreRow, UploadRow, UploadState};
use plantao_domain::view::Order;
use plantao_domain::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const NODES: [u8; 4] = [1, 2, 3, 4];
const SITES: [&str; 4] = ["sp", "rj", "cofre", "sp"];

/// A node and what is really on its disk.
struct Node {
    /// Which state it has applied, as a place in [`Network::past`].
    applied: usize,
    directory: u8,
    disk: BTreeSet<ChunkId>,
    /// The latest epoch of a receipt for each chunk: it unlinks none under a tombstone up to that.
    promised: BTreeMap<ChunkId, u64>,
}

struct Network {
    world: World,
    past: Vec<MemView>,
    nodes: Vec<Node>,
    /// Sent and not yet, or already, delivered.
    receipts: Vec<Receipt>,
    reports: Vec<Command>,
    next_directory: u8,
    next_upload: u8,
    committed: BTreeSet<ImageId>,
}

/// Two chunks of one patient, out of three: uploads meet in them.
fn chunks_of(upload: u8) -> Vec<ChunkEntry> {
    two_chunks(1 + upload % 2, 11)
}

impl Network {
    fn new() -> Self {
        let world = imaging();
        let past = vec![world.rows.clone()];
        let node = |n: &u8| Node { applied: 0, directory: *n, disk: BTreeSet::new(), promised: BTreeMap::new() };
        Self {
            past,
            world,
            nodes: NODES.iter().map(node).collect(),
            receipts: Vec::new(),
            reports: Vec::new(),
            next_directory: 5,
            next_upload: 1,
            committed: BTreeSet::new(),
        }
    }

    fn send(&mut self, command: Command) -> Outcome {
        let outcome = self.world.send(command);
        self.past.push(self.world.rows.clone());
        outcome
    }

    fn view(&self, node: usize) -> &MemView {
        &self.past[self.nodes[node].applied]
    }

    /// A node writes the chunks of an upload, or finds them, and gives a receipt.
    fn store(&mut self, node: usize, upload: u8) {
        let epoch = gc_epoch(self.view(node)).unwrap();
        let chunks = chunks_of(upload);
        let Node { disk, promised, directory, .. } = &mut self.nodes[node];
        for entry in &chunks {
            disk.insert(entry.chunk);
            promised.insert(entry.chunk, epoch.max(promised.get(&entry.chunk).copied().unwrap_or(0)));
        }
        self.receipts.push(receipt(upload, &chunks, NODES[node], *directory, epoch));
    }

    /// A node unlinks all that it may, by what it knows, without waiting for days.
    fn unlink(&mut self, node: usize) {
        let view = self.view(node).clone();
        for (chunk, tombstone) in rows::tombstones(&view, None, 99).unwrap() {
            let what = ChunkEpoch { chunk, epoch: tombstone.epoch };
            let Node { disk, promised, .. } = &mut self.nodes[node];
            let promised = promised.get(&chunk).is_some_and(|epoch| *epoch >= tombstone.epoch);
            if !disk.contains(&chunk) || (!promised && may_unlink(&view, what).unwrap()) {
                disk.remove(&chunk);
                self.reports.push(Command::FinishGc { node: NodeId(NODES[node].into()), chunks: vec![what] });
            }
        }
    }

    /// A node reports chunks that no part names.
    fn report_orphans(&mut self, node: usize) {
        let view = self.view(node);
        let unnamed = self.nodes[node].disk.iter().filter(|chunk| !rows::is_named(view, **chunk).unwrap());
        let epoch = |chunk| rows::tombstone(view, chunk).unwrap().map_or(0, |row| row.epoch);
        let chunks: Vec<_> = unnamed.map(|chunk| ChunkEpoch { chunk: *chunk, epoch: epoch(*chunk) }).collect();
        if !chunks.is_empty() {
            self.reports.push(Command::PutTombstones { node: NodeId(NODES[node].into()), chunks });
        }
    }

    /// What a node that takes an upload does next, with the oldest receipt that it finds.
    fn go_on(&mut self, node: usize, n: u8) {
        let of = PartOf { upload: upload(n), part: 0 };
        let id = NodeId(NODES[node].into());
        if rows::part(&self.world.rows, of).unwrap().is_none() {
            self.send(put_part(n, chunks_of(n)));
        } else if rows::receipt(&self.world.rows, of, id).unwrap().is_some() {
            self.send(commit_upload(n));
        } else if self.receipts.len() % 4 == 3 {
            // All at once, with what is on the way, which may be too old.
            let mut all: Vec<_> = self.receipts.iter().filter(|r| r.upload == of.upload).copied().collect();
            self.store(node, n);
            all.extend(self.receipts.last());
            self.send(commit_whole(n, chunks_of(n), all));
        } else {
            let mine = |receipt: &&Receipt| receipt.upload == of.upload && receipt.node == id;
            if let Some(receipt) = self.receipts.iter().find(mine).copied()
                && matches!(self.send(put_receipts(&[receipt])), Outcome::Confirmed { .. })
            {
                return;
            }
            self.store(node, n);
            let newest = self.receipts.last().copied();
            self.send(put_receipts(&newest.into_iter().collect::<Vec<_>>()));
        }
    }

    fn step(&mut self, raw: [u8; 4]) {
        let [kind, a, b, c] = raw;
        let node = usize::from(a) % 4;
        // One of the last three.
        let open = self.next_upload.saturating_sub(1 + b % 3).max(1);
        match kind % 32 {
            0 | 1 => {
                let n = self.next_upload;
                self.next_upload += 1;
                self.send(open_upload(n, n, 1));
            }
            2..=9 => self.go_on(node, open),
            10 | 11 => self.store(node, open),
            12 | 13 if !self.receipts.is_empty() => {
                let newest = self.receipts.len() - 1;
                let at = newest - usize::from(c) % self.receipts.len().min(6);
                let few: Vec<_> = self.receipts[at..].iter().take(1 + usize::from(b) % 3).copied().collect();
                self.send(put_receipts(&few));
            }
            14 | 15 => drop(self.send(commit_upload(open))),
            16 | 17 => drop(self.send(Command::AbandonUpload { upload: upload(open) })),
            18 => drop(self.send(put_part(open, chunks_of(open)))),
            19 => {
                self.world.now += i64::from(c) * 5000;
                self.send(Command::ExpireIntents);
            }
            20..=22 => {
                let closed = rows::closed_uploads(&self.world.rows, 9).unwrap();
                let id = closed.get(usize::from(b) % closed.len().max(1)).map_or(upload(open), |(id, _)| *id);
                self.send(Command::DropPart { upload: id, part: 0 });
            }
            23..=25 => {
                let step = 1 + usize::from(c) % 8;
                self.nodes[node].applied = (self.nodes[node].applied + step).min(self.past.len() - 1);
            }
            26 | 27 => self.unlink(node),
            28 => self.report_orphans(node),
            29 if !self.reports.is_empty() => {
                let newest = self.reports.len() - 1;
                let report = self.reports[newest - usize::from(c) % self.reports.len().min(6)].clone();
                self.send(report);
            }
            30 if c % 4 == 0 => {
                let directory = self.next_directory;
                self.next_directory += 1;
                let registered = self.send(register_store(NODES[node], directory));
                assert!(matches!(registered, Outcome::Confirmed { .. }), "a fresh directory: {registered:?}");
                let applied = self.past.len() - 1;
                self.nodes[node] = Node { applied, directory, disk: BTreeSet::new(), promised: BTreeMap::new() };
            }
            // A directory that is not this node's, or not any more; none that is still to come, which nobody can name.
            30 => drop(self.send(register_store(NODES[node], 1 + c % 9 % (self.next_directory - 1)))),
            _ => {
                let placement = (0..4).filter(|n| b & (1 << n) != 0).map(|n| NodeId(n + 1)).collect();
                self.send(Command::RePlace { upload: upload(open), placement });
            }
        }
    }

    fn check(&mut self) {
        let view = self.world.rows.clone();
        let images = rows::images(&view, None, 999).unwrap();
        for (id, row) in &images {
            for (part, held) in rows::parts(&view, row.upload, None, 9).unwrap() {
                let chunks: BTreeSet<ChunkId> = held.chunks.iter().map(|entry| entry.chunk).collect();
                if !self.committed.contains(id) {
                    for chunk in &chunks {
                        let with = NODES.iter().zip(&self.nodes).filter(|(_, node)| node.disk.contains(chunk));
                        let sites: BTreeSet<_> = with.map(|(n, _)| SITES[usize::from(*n) - 1]).collect();
                        assert!(sites.len() >= 2, "an image became visible on {sites:?}");
                    }
                }
                for (n, receipt) in rows::receipts(&view, PartOf { upload: row.upload, part }).unwrap() {
                    let node = &self.nodes[usize::try_from(n.0).unwrap() - 1];
                    if incarnation(node.directory) == receipt.incarnation {
                        assert!(chunks.is_subset(&node.disk), "a receipt of node {n} stands for nothing");
                    }
                }
            }
        }
        self.committed = images.iter().map(|(id, _)| *id).collect();
        for (chunk, _) in rows::tombstones(&view, None, 999).unwrap() {
            assert!(!rows::is_named(&view, chunk).unwrap(), "a chunk with a tombstone is named");
        }
    }
}

/// All that is counted and indexed, against the rows that it comes from.
fn check_books(view: &MemView) {
    let all = |prefix: u8| view.rows().range(vec![prefix]..vec![prefix + 1]);
    let uploads: Vec<(UploadId, UploadRow)> = all(rows::prefix::UPLOAD)
        .map(|(key, value)| (UploadId::from_bytes(key[1..].try_into().unwrap()), codec::decode_row(value).unwrap()))
        .collect();
    let in_state = |wanted: fn(UploadState) -> bool| uploads.iter().filter(|(_, row)| wanted(row.state)).count();
    let head = rows::images_head(view).unwrap();
    let committed = in_state(|state| matches!(state, UploadState::Committed(_)));
    let open = in_state(|state| state == UploadState::Open);
    assert_eq!(head.images as usize, committed);
    assert_eq!(head.open_uploads as usize, open);
    assert_eq!(head.tombstones as usize, all(rows::prefix::TOMBSTONE).count());
    assert!(head.floor <= head.epoch);
    assert_eq!(all(rows::prefix::IMAGE).count(), committed);
    assert_eq!(all(rows::prefix::IMAGE_BY_PATIENT).count(), committed);
    assert_eq!(all(rows::prefix::IMAGE_BY_UNIT).count(), committed);
    assert_eq!(all(rows::prefix::UPLOAD_LEASE).count(), open);
    assert_eq!(all(rows::prefix::UPLOAD_BY_PATIENT).count(), open);
    assert_eq!(all(rows::prefix::IMAGE_CLAIM).count(), open + committed);
    assert_eq!(all(rows::prefix::UPLOAD_CLOSED).count(), in_state(|state| state == UploadState::Closed));

    let holders = Holders::read(view).unwrap();
    for n in NODES {
        let node = NodeId(n.into());
        let store: StoreRow = rows::store(view, node).unwrap().unwrap();
        let (mut expected, mut received, mut chunks) = (Amount::default(), Amount::default(), BTreeMap::new());
        for (id, row) in &uploads {
            if !matches!(row.state, UploadState::Committed(_)) || !row.placement.contains(&node) {
                continue;
            }
            for (part, held) in rows::parts(view, *id, None, 9).unwrap() {
                let held: PartRow = held;
                let amount = Amount { parts: 1, chunks: held.chunks.len() as u64, bytes: held.stored_bytes() };
                expected = expected.plus(amount);
                let receipt = rows::receipt(view, PartOf { upload: *id, part }, node).unwrap();
                if receipt.is_some_and(|receipt| receipt.incarnation == store.incarnation) {
                    received = received.plus(amount);
                }
                chunks.extend(held.chunks.iter().map(|entry| (entry.chunk, entry.stored_bytes)));
            }
        }
        assert_eq!((store.expected, store.received), (expected, received), "node {n}");
        let listed = rows::expected(view, node, Order::Ascending, None, 999).unwrap();
        assert_eq!(listed.len() as u64, expected.parts);
        let has = listed.iter().filter(|(_, row)| row.received == Some(store.incarnation)).count() as u64;
        assert_eq!(has, received.parts);
        let mut scan = ExpectedChunks::of_node(node);
        let mut scanned = Vec::new();
        while let Some(page) = scan.next_page(view, 3).unwrap() {
            scanned.extend(page);
        }
        assert_eq!(scanned, chunks.into_iter().collect::<Vec<_>>());
    }
    // Copies, counted from the receipts one by one.
    for (id, _) in &uploads {
        let copies = Copies::of(view, &holders, *id).unwrap();
        let parts = rows::parts(view, *id, None, 9).unwrap();
        let counting = |part: u32, held: &PartRow| {
            let of = PartOf { upload: *id, part };
            let mut found = rows::receipts(view, of).unwrap();
            found.retain(|(node, receipt)| {
                let store = rows::live_store(view, *node).unwrap();
                store.is_some_and(|store| store.incarnation == receipt.incarnation) && receipt.gc_epoch >= held.epoch
            });
            found.len()
        };
        let fewest = parts.iter().map(|(part, held)| counting(*part, held)).min().unwrap_or(0);
        assert_eq!(copies.copies as usize, fewest);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_receipt_that_counts_stands_for_bytes(steps in prop::collection::vec(any::<[u8; 4]>(), 20..200)) {
        let mut network = Network::new();
        for raw in steps {
            if network.next_upload > 90 {
                break;
            }
            network.step(raw);
            network.check();
        }
        check_books(&network.world.rows);
    }
}

/// The race that epochs are for: a node that lags gives a receipt, then learns of the tombstone and unlinks, and only
/// then does the part name the chunks. Whether the tombstone still waits or has ended, the receipt does not count.
#[test]
fn a_receipt_from_before_an_unlink_does_not_count() {
    for finished in [false, true] {
        let mut network = Network::new();
        network.send(open_upload(1, 1, 1));
        network.send(put_part(1, chunks_of(1)));
        network.store(0, 1);
        network.send(Command::AbandonUpload { upload: upload(1) });
        network.send(Command::DropPart { upload: upload(1), part: 0 });
        let buried = network.past.len() - 1;
        network.send(open_upload(3, 3, 1));
        network.store(0, 3);
        for node in 0..4 {
            network.nodes[node].applied = buried;
            network.unlink(node);
        }
        assert!(network.nodes[0].disk.is_empty());
        if finished {
            for report in network.reports.clone() {
                network.send(report);
            }
            assert!(rows::tombstones(&network.world.rows, None, 9).unwrap().is_empty());
        }
        network.send(put_part(3, chunks_of(3)));
        let early = network.receipts.pop().unwrap();
        assert_eq!(network.send(put_receipts(&[early])), rejected(Rejection::ReceiptRefused));
        // Once it has applied the tombstone and written the chunks again, it counts.
        network.store(0, 3);
        let later = network.receipts.pop().unwrap();
        assert_eq!(network.send(put_receipts(&[later])), confirmed(0, true));
        network.unlink(0);
        network.check();
    }
}
