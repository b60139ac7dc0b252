//! What should be held, from the rows, in one pass over chunks and one over images.

use crate::chunks::challenge::Sample;
use crate::chunks::{PARTITIONS, SetDigest, partition_of};
use plantao_domain::rows::{self, PlacedChunks};
use plantao_domain::{ChunkId, ImageId, NodeId, View, ViewFault};
use std::collections::{BTreeMap, BTreeSet};

/// Rows that are read at a time.
const ROWS_MAX: usize = rows::PAGE_ROWS_MAX;

/// What one node should hold.
pub(super) struct ExpectedOf {
    /// Chunks, each once.
    pub(super) chunks: u64,
    /// Bytes of their files.
    pub(super) bytes: u64,
    /// Of their ids, by the first byte.
    pub(super) digests: Box<[SetDigest]>,
    /// Some of them.
    pub(super) sample: Sample,
}

/// Images that are placed alike.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Amount {
    pub(super) images: u64,
    pub(super) bytes: u64,
}

/// What all nodes should hold.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) nodes: BTreeMap<NodeId, ExpectedOf>,
    /// By the nodes that they are placed on.
    pub(super) placements: BTreeMap<Vec<NodeId>, Amount>,
}

impl Expected {
    /// Reads it. `told` hears of the chunks that were passed.
    pub(super) fn read(
        view: &dyn View,
        seed: [u8; 32],
        sample_chunks: usize,
        told: &mut dyn FnMut(u64),
    ) -> Result<Self, ViewFault> {
        let mut expected = Self::default();
        let mut scan = PlacedChunks::all();
        let mut passed = 0;
        while let Some(page) = scan.next_page(view, ROWS_MAX)? {
            passed += page.len() as u64;
            for chunk in page {
                for node in chunk.nodes.iter() {
                    let of = expected.nodes.entry(*node).or_insert_with(|| ExpectedOf {
                        chunks: 0,
                        bytes: 0,
                        digests: vec![SetDigest::default(); PARTITIONS].into(),
                        sample: Sample::new(seed, sample_chunks),
                    });
                    of.chunks += 1;
                    of.bytes += u64::from(chunk.stored_bytes);
                    of.digests[usize::from(partition_of(&chunk.id))].add(&chunk.id);
                    of.sample.offer(chunk.id);
                }
            }
            told(passed);
        }
        let mut after = None;
        loop {
            let page = rows::images(view, after, ROWS_MAX)?;
            for (_, image) in &page {
                let upload = rows::upload(view, image.upload)?;
                let placement = upload.map(|row| row.placement).unwrap_or_default();
                let amount = expected.placements.entry(placement).or_default();
                amount.images += 1;
                amount.bytes += image.bytes;
            }
            match page.last() {
                Some((last, _)) if page.len() == ROWS_MAX => after = Some(*last),
                _ => return Ok(expected),
            }
        }
    }
}

/// The chunks of one partition that one node should hold.
pub(super) fn of_partition(view: &dyn View, node: NodeId, partition: u8) -> Result<BTreeSet<ChunkId>, ViewFault> {
    let mut scan = rows::ExpectedChunks::of_partition(node, partition);
    let mut ids = BTreeSet::new();
    while let Some(page) = scan.next_page(view, ROWS_MAX)? {
        ids.extend(page.into_iter().map(|(id, _)| id));
    }
    Ok(ids)
}

/// What a chunk that a node has not means.
pub(super) struct Gap {
    /// Whether it gave a receipt for it once, with the directory that it has now.
    pub(super) lost: bool,
    /// The images that are placed on the node and name the chunk, with their placements.
    pub(super) images: Vec<(ImageId, Vec<NodeId>, u64)>,
}

/// Looks up what a missing chunk belongs to.
pub(super) fn gap(view: &dyn View, node: NodeId, id: ChunkId) -> Result<Gap, ViewFault> {
    let store = rows::live_store(view, node)?;
    let mut gap = Gap { lost: false, images: Vec::new() };
    let mut after = None;
    loop {
        let page = rows::parts_of_chunk(view, id, after, ROWS_MAX)?;
        for (of, _) in &page {
            let Some(upload) = rows::upload(view, of.upload)? else { continue };
            if !matches!(upload.state, rows::UploadState::Committed(_)) || !upload.placement.contains(&node) {
                continue;
            }
            let part = rows::part(view, *of)?;
            if let (Some(receipt), Some(store), Some(part)) = (rows::receipt(view, *of, node)?, &store, part) {
                gap.lost |= receipt.incarnation == store.incarnation && receipt.gc_epoch >= part.epoch;
            }
            gap.images.push((upload.image, upload.placement, upload.bytes));
        }
        match page.last() {
            Some((last, _)) if page.len() == ROWS_MAX => after = Some(*last),
            _ => return Ok(gap),
        }
    }
}
