//! Giving an image back: from this disk, else from a node of this site, else from others, each asked a little after the
//! one before. Every chunk is verified against its id, opened, and only then given on; a copy that is missing or bad
//! here is replaced by what another node gave.

use super::error::Error;
use super::{Images, content_type};
use crate::chunks::content_type::ContentType;
use crate::chunks::ingest::{Slice, slices};
use crate::crypto::{DataKey, open_chunk};
use crate::gateway::{self, ImageContent};
use crate::telemetry::metrics;
use bytes::Bytes;
use futures_util::stream::{self, FuturesUnordered, Stream, StreamExt, TryStreamExt};
use plantao_domain::images::{Copies, FRAME_BYTES, Holders, PART_OF_THUMBNAIL};
use plantao_domain::rows::{self, ImageRow, PAGE_ROWS_MAX, UploadRow};
use plantao_domain::{Actor, ChunkId, ImageId, NodeId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

/// After so long without an answer a further node is asked.
const HEDGE_AFTER: Duration = Duration::from_millis(400);
/// How long all nodes together may take for one chunk.
const CHUNK_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a read waits for its turn.
const TURN_TIME_MAX: Duration = Duration::from_secs(10);
/// Chunks that are fetched ahead.
const AHEAD: usize = 4;
/// Of one message: what is sealed, framed and sent while it is in a core's cache.
const PIECE_BYTES: usize = 128 << 10;

/// What of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    /// The sender's bytes.
    Original,
    /// The small picture.
    Thumbnail,
}

/// What a read gives: first what it is, then its bytes.
pub struct Reader {
    /// Its row.
    pub row: ImageRow,
    /// What describes it.
    pub content: ImageContent,
    /// Of the variant.
    pub content_type: ContentType,
    /// Size of the whole variant.
    pub bytes: u64,
    /// First byte that will come.
    pub offset: u64,
    /// How many will come.
    pub length: u64,
    images: Images,
    key: Arc<DataKey>,
    pieces: Vec<(ChunkId, Slice)>,
    holders: Vec<NodeId>,
    permit: OwnedSemaphorePermit,
}

/// An image whose rights were checked, not yet noted as read.
pub(super) struct Opened {
    pub(super) row: ImageRow,
    pub(super) key: Arc<DataKey>,
}

impl Images {
    /// Checks rights and consent; gives what is needed to open an image.
    pub(super) async fn readable(&self, actor: &Actor, id: ImageId) -> Result<Opened, Error> {
        if self.gateway().keyring().is_sealed() {
            return Err(gateway::Error::Sealed.into());
        }
        let (row, blocked) = self.gateway().readable_image(actor, id).await?;
        if let Some(rejection) = blocked {
            return Err(Error::Blocked(rejection));
        }
        let key = self.gateway().key_of_patient(row.patient).await?;
        Ok(Opened { row, key })
    }

    pub(super) fn describe(&self, id: ImageId, opened: &Opened) -> Result<ImageContent, Error> {
        let Opened { row, key } = opened;
        let mut content = self.gateway().open_image(key, row.patient, id, &row.content)?;
        content.sha256 = self.gateway().open_image_found(key, id, row)?.sha256;
        Ok(content)
    }

    /// What describes an image; noted before it is given.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn image(&self, actor: &Actor, id: ImageId) -> Result<(ImageRow, ImageContent), Error> {
        let opened = self.readable(actor, id).await?;
        self.gateway().note_image(actor, id, &opened.row).await?;
        let content = self.describe(id, &opened)?;
        Ok((opened.row, content))
    }

    /// Begins to read a range of an image; noted before anything is given. `length` 0 is all from `offset` on.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn read(
        &self,
        actor: &Actor,
        id: ImageId,
        variant: Variant,
        offset: u64,
        length: u64,
    ) -> Result<Reader, Error> {
        let opened = self.readable(actor, id).await?;
        let waiting = Arc::clone(&self.0.readers).acquire_owned();
        let Ok(Ok(permit)) = timeout(TURN_TIME_MAX, waiting).await else { return Err(Error::Busy) };
        let row = &opened.row;
        let (chunks, bytes, kind) = match variant {
            Variant::Original => (self.manifest(row)?, row.bytes, content_type(row.media_type)),
            Variant::Thumbnail => {
                let of = rows::PartOf { upload: row.upload, part: PART_OF_THUMBNAIL };
                let part = rows::part(&**self.gateway().state(), of)?.ok_or(Error::NoThumbnail)?;
                let only = part.chunks.first().ok_or(Error::NoThumbnail)?;
                (vec![only.chunk], u64::from(only.stored_bytes - FRAME_BYTES), ContentType::Jpeg)
            }
        };
        if offset >= bytes {
            return Err(gateway::Error::Invalid { field: "offset", why: "lies beyond the end" }.into());
        }
        let end = if length == 0 { bytes } else { offset.saturating_add(length).min(bytes) };
        let pieces: Option<Vec<_>> = slices(bytes, offset..end)
            .map(|slice| Some((*chunks.get(usize::try_from(slice.chunk).ok()?)?, slice)))
            .collect();
        let pieces = pieces.ok_or(gateway::Error::Damaged)?;
        let holders = self.holders_of(row)?;
        self.gateway().note_image(actor, id, row).await?;
        let content = self.describe(id, &opened)?;
        let Opened { row, key } = opened;
        let length = end - offset;
        let content_type = kind;
        let images = self.clone();
        Ok(Reader { row, content, content_type, bytes, offset, length, images, key, pieces, holders, permit })
    }

    /// The chunks of an image in order, without the thumbnail.
    pub(super) fn manifest(&self, row: &ImageRow) -> Result<Vec<ChunkId>, Error> {
        let parts = rows::parts(&**self.gateway().state(), row.upload, None, PAGE_ROWS_MAX)?;
        let chunks = parts.into_iter().filter(|(part, _)| *part != PART_OF_THUMBNAIL);
        Ok(chunks.flat_map(|(_, part)| part.chunks).map(|entry| entry.chunk).collect())
    }

    /// The upload that brought an image.
    pub(super) fn upload_of(&self, row: &ImageRow) -> Result<UploadRow, Error> {
        let upload = rows::upload(&**self.gateway().state(), row.upload)?;
        Ok(upload.ok_or(gateway::Error::Damaged)?)
    }

    /// The nodes that may have a copy, the likeliest and nearest first.
    pub(super) fn holders_of(&self, row: &ImageRow) -> Result<Vec<NodeId>, Error> {
        let holders = Holders::read(&**self.gateway().state())?;
        let copies = Copies::of(&**self.gateway().state(), &holders, row.upload)?;
        let mut nodes: Vec<NodeId> = copies.nodes.into_iter().collect();
        for node in self.upload_of(row)?.placement {
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        Ok(self.in_order(nodes))
    }

    /// This node first, then its site, then units before off-site nodes, whoever does not answer last. Among equals the
    /// given order stays.
    pub(super) fn in_order(&self, mut nodes: Vec<NodeId>) -> Vec<NodeId> {
        let holders = Holders::read(&**self.gateway().state()).unwrap_or_default();
        let here = holders.0.get(&self.node()).map(|holder| holder.site.clone());
        nodes.sort_by_key(|node| {
            let holder = holders.0.get(node);
            let is_near = holder.is_some_and(|holder| Some(&holder.site) == here.as_ref());
            let is_off_site = holder.is_none_or(|holder| holder.off_site);
            (*node != self.node(), !self.peers().is_reachable(*node), !is_near, is_off_site)
        });
        nodes
    }

    /// A chunk, verified, from the first of these nodes that has a good copy. Cancel safe.
    ///
    /// # Errors
    /// None of them gave one in time.
    pub(super) async fn fetch(&self, id: ChunkId, holders: &[NodeId]) -> Result<Bytes, Error> {
        if holders.contains(&self.node())
            && let Ok(Some(bytes)) = self.chunks().get(id).await
        {
            return Ok(bytes);
        }
        let deadline = Instant::now() + CHUNK_TIME_MAX;
        let others: Vec<NodeId> = holders.iter().copied().filter(|node| *node != self.node()).collect();
        let mut others = others.into_iter();
        let mut asked = FuturesUnordered::new();
        loop {
            let is_first = asked.is_empty();
            match others.next() {
                Some(node) => {
                    if !is_first {
                        metrics::chunk_hedged();
                    }
                    asked.push(async move { self.peers().get(node, id).await });
                }
                None if is_first => return Err(Error::NoCopy),
                None => {}
            }
            let is_last = others.len() == 0;
            let patience = if is_last { deadline } else { deadline.min(Instant::now() + HEDGE_AFTER) };
            match timeout_at(patience, asked.next()).await {
                Ok(Some(Ok(bytes))) => return Ok(bytes),
                Ok(Some(Err(error))) => tracing::debug!(%error, "a copy was not to be had"),
                Ok(None) => {}
                Err(_) if Instant::now() >= deadline => return Err(Error::NoCopy),
                Err(_) => {}
            }
        }
    }

    /// A chunk from another node than this one; a copy that should be here, and was not, is put back.
    async fn fetch_and_heal(&self, id: ChunkId, holders: &[NodeId], is_held_here: bool) -> Result<Bytes, Error> {
        let others: Vec<NodeId> = holders.iter().copied().filter(|node| *node != self.node()).collect();
        let bytes = self.fetch(id, &others).await?;
        if is_held_here {
            let (chunks, bytes) = (self.chunks().clone(), bytes.clone());
            // The reader does not wait for the disk.
            tokio::spawn(async move {
                if chunks.put(id, bytes, None).await.is_ok() {
                    metrics::chunk_healed();
                }
            });
        }
        Ok(bytes)
    }

    /// A chunk's plaintext.
    pub(super) async fn open(
        &self,
        row: &ImageRow,
        key: &Arc<DataKey>,
        id: ChunkId,
        holders: &[NodeId],
    ) -> Result<Bytes, Error> {
        let (cluster, patient, key) = (self.gateway().keyring().cluster(), row.patient, Arc::clone(key));
        let opening = move |frame: &[u8]| open_chunk(cluster, patient, &key, id, frame);
        let is_held_here = holders.contains(&self.node());
        let here = if is_held_here {
            let opening = opening.clone();
            self.chunks().get_with(id, move |frame| opening(&frame)).await.ok().flatten()
        } else {
            None
        };
        let opened = match here {
            Some(opened) => opened,
            None => {
                let frame = self.fetch_and_heal(id, holders, is_held_here).await?;
                crate::work::blocking(move || opening(&frame)).await.map_err(|_| Error::Busy)?
            }
        };
        let mut plaintext = opened.map_err(|_| gateway::Error::Damaged)?;
        Ok(Bytes::from(std::mem::take(&mut *plaintext)))
    }
}

impl Reader {
    /// The bytes, in order, at most 128 KiB each. An error ends it.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        let Self { row, images, key, pieces, holders, permit, .. } = self;
        let (row, holders) = (Arc::new(row), Arc::new(holders));
        stream::iter(pieces)
            .map(move |(id, slice)| {
                let (images, row, key, holders) =
                    (images.clone(), Arc::clone(&row), Arc::clone(&key), Arc::clone(&holders));
                async move {
                    let whole = images.open(&row, &key, id, &holders).await?;
                    if slice.bytes.end > whole.len() {
                        return Err(gateway::Error::Damaged.into());
                    }
                    let piece = whole.slice(slice.bytes);
                    metrics::image_bytes_out(piece.len());
                    Ok(piece)
                }
            })
            .buffered(AHEAD)
            .map(move |piece: Result<Bytes, Error>| {
                // Held for as long as the stream lives.
                let _ = &permit;
                piece
            })
            .map_ok(|whole| stream::iter(in_pieces(whole).map(Ok)))
            .try_flatten()
    }
}

fn in_pieces(whole: Bytes) -> impl Iterator<Item = Bytes> {
    let starts = (0..whole.len()).step_by(PIECE_BYTES);
    starts.map(move |start| whole.slice(start..whole.len().min(start + PIECE_BYTES)))
}
