//! Rows of chunk stores, of chunks that parts name, of tombstones, and of what each node should hold.

use super::{PartOf, UploadState, upload};
use crate::id::*;
use crate::rows::{KeyRange, PAGE_ROWS_MAX, decode, key, prefix, prefix_of, read, successor};
use crate::time::ClusterTime;
use crate::view::{Order, View, ViewFault};
use minicbor::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Parts, chunks and bytes. A chunk that two parts name counts twice.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Amount {
    /// Parts of manifests.
    #[n(0)]
    pub parts: u64,
    /// Their chunks.
    #[n(1)]
    pub chunks: u64,
    /// Bytes of these chunks' files.
    #[n(2)]
    pub bytes: u64,
}

/// The chunk store of a node.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct StoreRow {
    /// The directory.
    #[n(0)]
    pub incarnation: StoreIncarnation,
    /// The disk below it.
    #[n(1)]
    pub disk: DiskId,
    /// What that disk is.
    #[n(2)]
    pub medium: String,
    /// When this directory was registered.
    #[n(3)]
    pub registered_at: ClusterTime,
    /// When it was given up; it never comes back.
    #[n(4)]
    pub retired_at: Option<ClusterTime>,
    /// What committed images place on the node.
    #[n(5)]
    pub expected: Amount,
    /// What of that has a receipt of this directory; `expected` less this is the node's backlog.
    #[n(6)]
    pub received: Amount,
}

/// A chunk that may be deleted.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct TombstoneRow {
    /// The deletion that made it.
    #[n(0)]
    pub epoch: u64,
    /// When; a node unlinks only days after.
    #[n(1)]
    pub at: ClusterTime,
    /// Whose chunk it was, where that is known.
    #[n(2)]
    pub patient: Option<PatientId>,
    /// Stores that have not said yet that they are without it.
    #[n(3)]
    pub waiting: Vec<StoreOf>,
}

/// One directory of one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
pub struct StoreOf {
    /// The node.
    #[n(0)]
    pub node: NodeId,
    /// Its directory.
    #[n(1)]
    pub incarnation: StoreIncarnation,
}

/// What a part that names a chunk says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ChunkRow {
    /// Bytes of its file.
    #[n(0)]
    pub stored_bytes: u32,
}

/// A part that a node should hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ExpectedRow {
    /// Chunks of the part.
    #[n(0)]
    pub chunks: u32,
    /// Bytes of their files.
    #[n(1)]
    pub bytes: u64,
    /// The directory whose receipt there is; it counts while it is the registered one.
    #[n(2)]
    pub received: Option<StoreIncarnation>,
}

impl ExpectedRow {
    /// As an amount of one part.
    pub fn amount(&self) -> Amount {
        Amount { parts: 1, chunks: u64::from(self.chunks), bytes: self.bytes }
    }
}

impl Amount {
    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        Self {
            parts: self.parts.saturating_add(other.parts),
            chunks: self.chunks.saturating_add(other.chunks),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// The rest, never below zero.
    pub fn minus(self, other: Self) -> Self {
        Self {
            parts: self.parts.saturating_sub(other.parts),
            chunks: self.chunks.saturating_sub(other.chunks),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// Key of a store's row.
pub fn store_key(node: NodeId) -> Vec<u8> {
    key(prefix::STORE, &[&node.0.to_be_bytes()])
}

/// The last chunk store that a node registered; it may be retired.
pub fn store(view: &dyn View, node: NodeId) -> Result<Option<StoreRow>, ViewFault> {
    read(view, &store_key(node))
}

/// The chunk store of a node, if it has one that is not retired.
pub fn live_store(view: &dyn View, node: NodeId) -> Result<Option<StoreRow>, ViewFault> {
    Ok(store(view, node)?.filter(|store| store.retired_at.is_none()))
}

/// Stores in order of their nodes' numbers, retired ones too, after `after`, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn stores(view: &dyn View, after: Option<NodeId>, limit: usize) -> Result<Vec<(NodeId, StoreRow)>, ViewFault> {
    let mut range = KeyRange::with_start(key(prefix::STORE, &[]));
    if let Some(after) = after {
        range = range.after(&store_key(after));
    }
    let found = view.range(&range.from, &range.to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found.iter().map(|(key, value)| Ok((last_node(key)?, decode(key, value)?))).collect()
}

fn last_node(key: &[u8]) -> Result<NodeId, ViewFault> {
    let id = key.last_chunk::<8>().ok_or(ViewFault::Row { prefix: prefix_of(key) })?;
    Ok(NodeId(u64::from_be_bytes(*id)))
}

/// Key of the row that says whose directory an incarnation was, for ever.
pub fn store_incarnation_key(incarnation: StoreIncarnation) -> Vec<u8> {
    key(prefix::STORE_INCARNATION, &[incarnation.as_bytes()])
}

/// The node that registered this directory, now or before.
pub fn store_incarnation(view: &dyn View, incarnation: StoreIncarnation) -> Result<Option<NodeId>, ViewFault> {
    read(view, &store_incarnation_key(incarnation))
}

/// Key of the row by which a chunk leads to a part that names it.
pub fn chunk_key(chunk: ChunkId, of: PartOf) -> Vec<u8> {
    key(prefix::CHUNK, &[chunk.as_bytes(), of.upload.as_bytes(), &of.part.to_be_bytes()])
}

/// Parts that name a chunk, of uploads of any state, in order, after `after`, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn parts_of_chunk(
    view: &dyn View,
    chunk: ChunkId,
    after: Option<PartOf>,
    limit: usize,
) -> Result<Vec<(PartOf, ChunkRow)>, ViewFault> {
    let mut range = KeyRange::with_start(key(prefix::CHUNK, &[chunk.as_bytes()]));
    if let Some(after) = after {
        range = range.after(&chunk_key(chunk, after));
    }
    let found = view.range(&range.from, &range.to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found.iter().map(|(key, value)| Ok((PartOf::at_end(key)?, decode(key, value)?))).collect()
}

/// Key of a chunk's tombstone.
pub fn tombstone_key(chunk: ChunkId) -> Vec<u8> {
    key(prefix::TOMBSTONE, &[chunk.as_bytes()])
}

/// The tombstone of a chunk, while one waits for nodes.
pub fn tombstone(view: &dyn View, chunk: ChunkId) -> Result<Option<TombstoneRow>, ViewFault> {
    read(view, &tombstone_key(chunk))
}

/// Tombstones in order of their chunks, after `after`, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn tombstones(
    view: &dyn View,
    after: Option<ChunkId>,
    limit: usize,
) -> Result<Vec<(ChunkId, TombstoneRow)>, ViewFault> {
    let mut range = KeyRange::with_start(key(prefix::TOMBSTONE, &[]));
    if let Some(after) = after {
        range = range.after(&tombstone_key(after));
    }
    let found = view.range(&range.from, &range.to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found
        .iter()
        .map(|(key, value)| {
            let chunk = key.last_chunk::<32>().ok_or(ViewFault::Row { prefix: prefix_of(key) })?;
            Ok((ChunkId::from_bytes(*chunk), decode(key, value)?))
        })
        .collect()
}

/// Key of a part in what a node should hold.
pub fn expected_key(node: NodeId, committed_at: ClusterTime, of: PartOf) -> Vec<u8> {
    let parts: [&[u8]; 4] =
        [&node.0.to_be_bytes(), &committed_at.to_key(), of.upload.as_bytes(), &of.part.to_be_bytes()];
    key(prefix::EXPECTED, &parts)
}

/// What is known of a part that a node should hold; `None` if the node need not hold it.
pub fn expected_row(
    view: &dyn View,
    node: NodeId,
    committed_at: ClusterTime,
    of: PartOf,
) -> Result<Option<ExpectedRow>, ViewFault> {
    read(view, &expected_key(node, committed_at, of))
}

/// A place in what a node should hold: the last part of a page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ExpectedCursor {
    /// When the image was committed.
    pub committed_at: ClusterTime,
    /// Its part.
    pub of: PartOf,
}

/// Parts of committed images that are placed on a node, by the time of the commit, oldest or newest first, beyond
/// `after` in that order, at most `limit` (and [`PAGE_ROWS_MAX`]). A row whose `received` is not the node's registered
/// directory is missing there.
pub fn expected(
    view: &dyn View,
    node: NodeId,
    order: Order,
    after: Option<ExpectedCursor>,
    limit: usize,
) -> Result<Vec<(ExpectedCursor, ExpectedRow)>, ViewFault> {
    let mut range = KeyRange::with_start(key(prefix::EXPECTED, &[&node.0.to_be_bytes()]));
    if let Some(ExpectedCursor { committed_at, of }) = after {
        let place = expected_key(node, committed_at, of);
        range = range.beyond(place, order);
    }
    let found = view.range(&range.from, &range.to, order, limit.min(PAGE_ROWS_MAX))?;
    found
        .iter()
        .map(|(key, value)| {
            let fault = || ViewFault::Row { prefix: prefix_of(key) };
            let of = PartOf::at_end(key)?;
            let place = key.len().checked_sub(28).ok_or_else(fault)?;
            let at = key.get(place..).and_then(<[u8]>::first_chunk::<8>).ok_or_else(fault)?;
            Ok((ExpectedCursor { committed_at: ClusterTime::from_key(*at), of }, decode(key, value)?))
        })
        .collect()
}

/// Uploads whose placement a scan remembers at most: about 4 MiB.
const PLACEMENTS_MAX: usize = 65_536;

/// A chunk that committed images name, and where it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacedChunk {
    /// The chunk.
    pub id: ChunkId,
    /// Bytes of its file.
    pub stored_bytes: u32,
    /// The nodes that some image places it on, in ascending order.
    pub nodes: Arc<[NodeId]>,
}

/// The chunks of committed images, each once, in order of their ids, with the nodes that should hold them, in pages.
/// Computed from the rows of chunks, one row per chunk and part, and kept nowhere (decision 0009). State that changes
/// between two pages shows in later pages only.
#[derive(Clone, Debug)]
pub struct PlacedChunks {
    range: KeyRange,
    done: bool,
    /// The last chunk of a page, which the next page may have more rows of.
    last: Option<PlacedChunk>,
    placed: BTreeMap<UploadId, Arc<[NodeId]>>,
}

impl PlacedChunks {
    /// All of them.
    pub fn all() -> Self {
        Self::within(KeyRange::with_start(key(prefix::CHUNK, &[])))
    }

    /// Those whose id begins with this byte.
    pub fn of_partition(first_byte: u8) -> Self {
        Self::within(KeyRange::with_start(key(prefix::CHUNK, &[&[first_byte]])))
    }

    fn within(range: KeyRange) -> Self {
        Self { range, done: false, last: None, placed: BTreeMap::new() }
    }

    /// The next chunks, from at most `rows_max` rows (and [`PAGE_ROWS_MAX`]); a page may be empty before the end.
    /// `None` at the end.
    pub fn next_page(&mut self, view: &dyn View, rows_max: usize) -> Result<Option<Vec<PlacedChunk>>, ViewFault> {
        if self.done {
            return Ok(self.last.take().map(|last| vec![last]));
        }
        let limit = rows_max.clamp(1, PAGE_ROWS_MAX);
        let found = view.range(&self.range.from, &self.range.to, Order::Ascending, limit)?;
        self.done = found.len() < limit;
        let mut page = Vec::new();
        for (key, value) in &found {
            let fault = || ViewFault::Row { prefix: prefix_of(key) };
            let chunk = key.get(1..).and_then(<[u8]>::first_chunk::<32>).ok_or_else(fault)?;
            let id = ChunkId::from_bytes(*chunk);
            let nodes = self.placement(view, PartOf::at_end(key)?.upload)?;
            if nodes.is_empty() {
                continue;
            }
            match &mut self.last {
                Some(last) if last.id == id => {
                    if last.nodes != nodes {
                        let both: BTreeSet<NodeId> = last.nodes.iter().chain(nodes.iter()).copied().collect();
                        last.nodes = both.into_iter().collect();
                    }
                }
                last => {
                    let row: ChunkRow = decode(key, value)?;
                    page.extend(last.replace(PlacedChunk { id, stored_bytes: row.stored_bytes, nodes }));
                }
            }
        }
        if let Some((key, _)) = found.last() {
            self.range.from = successor(key);
        }
        Ok(Some(page))
    }

    /// Where an upload is to be; nowhere while it is no image.
    fn placement(&mut self, view: &dyn View, id: UploadId) -> Result<Arc<[NodeId]>, ViewFault> {
        if let Some(known) = self.placed.get(&id) {
            return Ok(Arc::clone(known));
        }
        let row = upload(view, id)?.ok_or(ViewFault::Row { prefix: prefix::CHUNK })?;
        let nodes = if matches!(row.state, UploadState::Committed(_)) { row.placement } else { Vec::new() };
        let nodes: Arc<[NodeId]> = nodes.into();
        if self.placed.len() >= PLACEMENTS_MAX {
            self.placed.clear();
        }
        self.placed.insert(id, Arc::clone(&nodes));
        Ok(nodes)
    }
}

/// The chunks that one node should hold: what the node's own list is compared with.
#[derive(Clone, Debug)]
pub struct ExpectedChunks {
    node: NodeId,
    placed: PlacedChunks,
}

impl ExpectedChunks {
    /// All of them.
    pub fn of_node(node: NodeId) -> Self {
        Self { node, placed: PlacedChunks::all() }
    }

    /// Those whose id begins with this byte.
    pub fn of_partition(node: NodeId, first_byte: u8) -> Self {
        Self { node, placed: PlacedChunks::of_partition(first_byte) }
    }

    /// The next chunks and the bytes of their files; see [`PlacedChunks::next_page`].
    pub fn next_page(&mut self, view: &dyn View, rows_max: usize) -> Result<Option<Vec<(ChunkId, u32)>>, ViewFault> {
        let page = self.placed.next_page(view, rows_max)?;
        let mine = |chunk: &PlacedChunk| chunk.nodes.contains(&self.node);
        Ok(page.map(|page| page.iter().filter(|chunk| mine(chunk)).map(|c| (c.id, c.stored_bytes)).collect()))
    }
}

/// Whether any part names a chunk.
pub fn is_named(view: &dyn View, chunk: ChunkId) -> Result<bool, ViewFault> {
    Ok(!parts_of_chunk(view, chunk, None, 1)?.is_empty())
}
