//! Rows of images: uploads and their manifests, receipts, images, what each node should hold.
//!
//! A manifest stays under its upload's id for ever; the image leads to it. What is only there while an upload is open
//! (lease, patient) is a mark that goes with it.

mod chunks;

pub use chunks::*;

use super::structure::by_id;
use super::{KeyRange, PAGE_ROWS_MAX, decode, key, last_id, prefix, prefix_of, read};
use crate::command::Sealed;
use crate::id::*;
use crate::images::{ChunkEntry, MediaType};
use crate::time::{ClusterTime, Interval};
use crate::view::{Order, View, ViewFault};
use minicbor::{Decode, Encode};

/// Counters of the area; all zero before the first command.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ImagesHead {
    /// The latest deletion epoch: each command that makes tombstones is one more.
    #[n(0)]
    pub epoch: u64,
    /// No tombstone of this epoch or an earlier one that ended is remembered: a part that is put now asks receipts of
    /// at least this epoch.
    #[n(1)]
    pub floor: u64,
    /// Uploads that are open.
    #[n(2)]
    pub open_uploads: u32,
    /// Images that are committed.
    #[n(3)]
    pub images: u64,
    /// Their bytes, without sealing and copies.
    #[n(4)]
    pub image_bytes: u64,
    /// Tombstones that wait for nodes.
    #[n(5)]
    pub tombstones: u64,
}

/// Where an upload is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum UploadState {
    /// Parts and receipts are taken until it ends.
    #[n(0)]
    Open,
    /// The image is there; receipts of further copies are taken.
    #[n(1)]
    Committed(#[n(0)] ClusterTime),
    /// Given up or expired; its parts wait to be dropped.
    #[n(2)]
    Closed,
}

/// An upload. It stays after the commit, because the manifest, the placement and the receipts hang on it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct UploadRow {
    /// What it becomes or became.
    #[n(0)]
    pub image: ImageId,
    /// Of whom.
    #[n(1)]
    pub patient: PatientId,
    /// Who keeps it.
    #[n(2)]
    pub unit: UnitId,
    /// At which visit.
    #[n(3)]
    pub visit: Option<AppointmentId>,
    /// Under which consent.
    #[n(4)]
    pub consent: ConsentId,
    /// Kind of image.
    #[n(5)]
    pub kind: String,
    /// How it is encoded.
    #[n(6)]
    pub media_type: MediaType,
    /// Its exact size.
    #[n(7)]
    pub bytes: u64,
    /// When it was taken.
    #[n(8)]
    pub taken_at: ClusterTime,
    /// Sealed under the patient's key; empty once the image has it, or the upload is closed.
    #[n(9)]
    pub content: Sealed,
    /// The nodes that are to hold it, in ascending order.
    #[n(10)]
    pub placement: Vec<NodeId>,
    /// When the intent was taken.
    #[n(11)]
    pub opened_at: ClusterTime,
    /// From whom.
    #[n(12)]
    pub opened_by: ActorId,
    /// First instant at which it can no longer be committed without a renewal.
    #[n(13)]
    pub lease_until: ClusterTime,
    /// Where it is in its life.
    #[n(14)]
    pub state: UploadState,
}

/// A committed image; never written again.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ImageRow {
    /// The upload that brought it, under which its manifest is.
    #[n(0)]
    pub upload: UploadId,
    /// Of whom.
    #[n(1)]
    pub patient: PatientId,
    /// Who keeps it.
    #[n(2)]
    pub unit: UnitId,
    /// At which visit.
    #[n(3)]
    pub visit: Option<AppointmentId>,
    /// Under which consent.
    #[n(4)]
    pub consent: ConsentId,
    /// Kind of image.
    #[n(5)]
    pub kind: String,
    /// How it is encoded.
    #[n(6)]
    pub media_type: MediaType,
    /// Its exact size.
    #[n(7)]
    pub bytes: u64,
    /// When it was taken.
    #[n(8)]
    pub taken_at: ClusterTime,
    /// When it was committed.
    #[n(9)]
    pub committed_at: ClusterTime,
    /// Who sent it.
    #[n(10)]
    pub sent_by: ActorId,
    /// Whether its manifest has the thumbnail's part.
    #[n(11)]
    pub thumbnail: bool,
    /// SHA-256 of the whole, name, remarks: sealed under the patient's key.
    #[n(12)]
    pub content: Sealed,
    /// What the node found while it read the bytes, likewise.
    #[n(13)]
    pub found: Option<Sealed>,
}

impl ImageRow {
    /// What an upload becomes, without a thumbnail and without what was found in its bytes.
    pub fn of(upload: UploadId, row: &UploadRow, committed_at: ClusterTime) -> Self {
        Self {
            upload,
            patient: row.patient,
            unit: row.unit,
            visit: row.visit,
            consent: row.consent,
            kind: row.kind.clone(),
            media_type: row.media_type,
            bytes: row.bytes,
            taken_at: row.taken_at,
            committed_at,
            sent_by: row.opened_by,
            thumbnail: false,
            content: row.content.clone(),
            found: None,
        }
    }
}

/// A part of a manifest; never written again.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PartRow {
    /// Its chunks in order.
    #[n(0)]
    pub chunks: Vec<ChunkEntry>,
    /// What receipts name it by (`images::part_digest`).
    #[n(1)]
    pub digest: PartDigest,
    /// Receipts of an earlier epoch do not count: a chunk of it may have been deleted since.
    #[n(2)]
    pub epoch: u64,
}

impl PartRow {
    /// Bytes of its chunks' files.
    pub fn stored_bytes(&self) -> u64 {
        self.chunks.iter().map(|entry| u64::from(entry.stored_bytes)).sum()
    }
}

/// That a part was durable on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ReceiptRow {
    /// In which directory; when it is not the registered one any more, the receipt counts no more.
    #[n(0)]
    pub incarnation: StoreIncarnation,
    /// Which deletions the node had applied before it verified the bytes.
    #[n(1)]
    pub gc_epoch: u64,
    /// When the receipt was taken.
    #[n(2)]
    pub at: ClusterTime,
}

/// One part of one upload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartOf {
    /// The upload.
    pub upload: UploadId,
    /// Its part.
    pub part: u32,
}

impl PartOf {
    /// The 20 bytes at the end of a key.
    fn at_end(key: &[u8]) -> Result<Self, ViewFault> {
        let fault = || ViewFault::Row { prefix: prefix_of(key) };
        let (rest, part) = key.split_last_chunk::<4>().ok_or_else(fault)?;
        Ok(Self { upload: UploadId::from_bytes(last_id(rest)?), part: u32::from_be_bytes(*part) })
    }
}

/// Key of the area's counters.
pub fn images_head_key() -> Vec<u8> {
    key(prefix::IMAGES_HEAD, &[])
}

/// The area's counters.
pub fn images_head(view: &dyn View) -> Result<ImagesHead, ViewFault> {
    Ok(read(view, &images_head_key())?.unwrap_or_default())
}

/// Key of an upload's row.
pub fn upload_key(id: UploadId) -> Vec<u8> {
    key(prefix::UPLOAD, &[id.as_bytes()])
}

/// An upload that is open, committed, or closed and not yet dropped.
pub fn upload(view: &dyn View, id: UploadId) -> Result<Option<UploadRow>, ViewFault> {
    read(view, &upload_key(id))
}

/// Key of the mark of an open upload by the end of its lease.
pub fn upload_lease_key(until: ClusterTime, id: UploadId) -> Vec<u8> {
    key(prefix::UPLOAD_LEASE, &[&until.to_key(), id.as_bytes()])
}

/// Open uploads by the end of their leases, the earliest first, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn open_uploads(view: &dyn View, limit: usize) -> Result<Vec<(UploadId, UploadRow)>, ViewFault> {
    let range = KeyRange::with_start(key(prefix::UPLOAD_LEASE, &[]));
    behind_marks(view, &range, Order::Ascending, limit, upload)
}

/// Open uploads whose lease is over at `at`, the longest over first, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn expired_uploads(
    view: &dyn View,
    at: ClusterTime,
    limit: usize,
) -> Result<Vec<(UploadId, UploadRow)>, ViewFault> {
    let next = ClusterTime::saturating_from_millis(at.millis().saturating_add(1));
    let range =
        KeyRange::with_start(key(prefix::UPLOAD_LEASE, &[])).before(upload_lease_key(next, UploadId::default()));
    behind_marks(view, &range, Order::Ascending, limit, upload)
}

/// Key of the mark of an open upload at its patient.
pub fn upload_by_patient_key(patient: PatientId, id: UploadId) -> Vec<u8> {
    key(prefix::UPLOAD_BY_PATIENT, &[patient.as_bytes(), id.as_bytes()])
}

/// Open uploads of a patient in order of their id, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn open_uploads_of_patient(
    view: &dyn View,
    patient: PatientId,
    limit: usize,
) -> Result<Vec<(UploadId, UploadRow)>, ViewFault> {
    let range = KeyRange::with_start(key(prefix::UPLOAD_BY_PATIENT, &[patient.as_bytes()]));
    behind_marks(view, &range, Order::Ascending, limit, upload)
}

/// Key of the mark of a closed upload whose parts wait to be dropped.
pub fn upload_closed_key(id: UploadId) -> Vec<u8> {
    key(prefix::UPLOAD_CLOSED, &[id.as_bytes()])
}

/// Closed uploads whose parts wait to be dropped, in order of their id, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn closed_uploads(view: &dyn View, limit: usize) -> Result<Vec<(UploadId, UploadRow)>, ViewFault> {
    behind_marks(view, &KeyRange::with_start(key(prefix::UPLOAD_CLOSED, &[])), Order::Ascending, limit, upload)
}

/// Key of a part's row.
pub fn part_key(of: PartOf) -> Vec<u8> {
    key(prefix::PART, &[of.upload.as_bytes(), &of.part.to_be_bytes()])
}

/// A part of a manifest.
pub fn part(view: &dyn View, of: PartOf) -> Result<Option<PartRow>, ViewFault> {
    read(view, &part_key(of))
}

/// Parts of an upload that are there, in order, the thumbnail's last, after `after`, at most `limit` (and
/// [`PAGE_ROWS_MAX`]). An image of the allowed size has at most five.
pub fn parts(
    view: &dyn View,
    upload: UploadId,
    after: Option<u32>,
    limit: usize,
) -> Result<Vec<(u32, PartRow)>, ViewFault> {
    let mut range = KeyRange::with_start(key(prefix::PART, &[upload.as_bytes()]));
    if let Some(part) = after {
        range = range.after(&part_key(PartOf { upload, part }));
    }
    let found = view.range(&range.from, &range.to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found.iter().map(|(key, value)| Ok((PartOf::at_end(key)?.part, decode(key, value)?))).collect()
}

/// Key of a receipt.
pub fn receipt_key(of: PartOf, node: NodeId) -> Vec<u8> {
    key(prefix::RECEIPT, &[of.upload.as_bytes(), &of.part.to_be_bytes(), &node.0.to_be_bytes()])
}

/// The last receipt of a node for a part, which may be one of a directory that is lost.
pub fn receipt(view: &dyn View, of: PartOf, node: NodeId) -> Result<Option<ReceiptRow>, ViewFault> {
    read(view, &receipt_key(of, node))
}

/// Receipts for a part in order of the nodes' numbers, at most [`PAGE_ROWS_MAX`].
pub fn receipts(view: &dyn View, of: PartOf) -> Result<Vec<(NodeId, ReceiptRow)>, ViewFault> {
    let range = KeyRange::with_start(key(prefix::RECEIPT, &[of.upload.as_bytes(), &of.part.to_be_bytes()]));
    let found = view.range(&range.from, &range.to, Order::Ascending, PAGE_ROWS_MAX)?;
    found
        .iter()
        .map(|(key, value)| {
            let node = key.last_chunk::<8>().ok_or(ViewFault::Row { prefix: prefix_of(key) })?;
            Ok((NodeId(u64::from_be_bytes(*node)), decode(key, value)?))
        })
        .collect()
}

/// Key of an image's row.
pub fn image_key(id: ImageId) -> Vec<u8> {
    key(prefix::IMAGE, &[id.as_bytes()])
}

/// A committed image. There is none while its upload is open, whatever is known of it.
pub fn image(view: &dyn View, id: ImageId) -> Result<Option<ImageRow>, ViewFault> {
    read(view, &image_key(id))
}

/// Images in order of their id, after `after`, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn images(view: &dyn View, after: Option<ImageId>, limit: usize) -> Result<Vec<(ImageId, ImageRow)>, ViewFault> {
    let found = by_id(view, prefix::IMAGE, after.map(|id| *id.as_bytes()), limit)?;
    found.into_iter().map(|(id, key, value)| Ok((ImageId::from_bytes(id), decode(&key, &value)?))).collect()
}

/// Key of the row by which an image's id is taken, from the intent on.
pub fn image_claim_key(id: ImageId) -> Vec<u8> {
    key(prefix::IMAGE_CLAIM, &[id.as_bytes()])
}

/// The upload that became this image or may become it.
pub fn image_claim(view: &dyn View, id: ImageId) -> Result<Option<UploadId>, ViewFault> {
    read(view, &image_claim_key(id))
}

/// Key of the mark of an image at its patient.
pub fn image_by_patient_key(patient: PatientId, taken_at: ClusterTime, id: ImageId) -> Vec<u8> {
    key(prefix::IMAGE_BY_PATIENT, &[patient.as_bytes(), &taken_at.to_key(), id.as_bytes()])
}

/// Key of the mark of an image at its unit.
pub fn image_by_unit_key(unit: UnitId, committed_at: ClusterTime, id: ImageId) -> Vec<u8> {
    key(prefix::IMAGE_BY_UNIT, &[unit.as_bytes(), &committed_at.to_key(), id.as_bytes()])
}

/// A place in a list of images by time: the last one of a page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ImageCursor {
    /// The time that the list is ordered by.
    pub at: ClusterTime,
    /// That image.
    pub image: ImageId,
}

/// Images of a patient by the time they were taken, oldest first or newest first, within `taken` if given, beyond
/// `after` in that order, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn images_of_patient(
    view: &dyn View,
    patient: PatientId,
    taken: Option<Interval>,
    order: Order,
    after: Option<ImageCursor>,
    limit: usize,
) -> Result<Vec<(ImageId, ImageRow)>, ViewFault> {
    images_by_time(view, |at, id| image_by_patient_key(patient, at, id), taken, order, after, limit)
}

/// Images of a unit by the time they were committed, likewise.
pub fn images_of_unit(
    view: &dyn View,
    unit: UnitId,
    committed: Option<Interval>,
    order: Order,
    after: Option<ImageCursor>,
    limit: usize,
) -> Result<Vec<(ImageId, ImageRow)>, ViewFault> {
    images_by_time(view, |at, id| image_by_unit_key(unit, at, id), committed, order, after, limit)
}

fn images_by_time(
    view: &dyn View,
    mark_of: impl Fn(ClusterTime, ImageId) -> Vec<u8>,
    within: Option<Interval>,
    order: Order,
    after: Option<ImageCursor>,
    limit: usize,
) -> Result<Vec<(ImageId, ImageRow)>, ViewFault> {
    let nil = ImageId::default();
    let last = mark_of(ClusterTime::MAX, ImageId::from_bytes([0xff; 16]));
    let mut range = KeyRange { from: mark_of(ClusterTime::MIN, nil), to: super::successor(&last) };
    if let Some(Interval { start, end }) = within {
        range = KeyRange { from: mark_of(start, nil), to: mark_of(end, nil) };
    }
    if let Some(ImageCursor { at, image }) = after {
        let place = mark_of(at, image);
        range = range.beyond(place, order);
    }
    behind_marks(view, &range, order, limit, image)
}

/// The rows behind marks that end with an id of 16 bytes.
fn behind_marks<I: From16, T>(
    view: &dyn View,
    range: &KeyRange,
    order: Order,
    limit: usize,
    read: impl Fn(&dyn View, I) -> Result<Option<T>, ViewFault>,
) -> Result<Vec<(I, T)>, ViewFault> {
    let found = view.range(&range.from, &range.to, order, limit.min(PAGE_ROWS_MAX))?;
    found
        .iter()
        .map(|(mark, _)| {
            let id = I::from_16(last_id(mark)?);
            Ok((id, read(view, id)?.ok_or(ViewFault::Row { prefix: prefix_of(mark) })?))
        })
        .collect()
}

/// An id that stands at the end of a mark.
trait From16: Copy {
    fn from_16(bytes: [u8; 16]) -> Self;
}

impl From16 for UploadId {
    fn from_16(bytes: [u8; 16]) -> Self {
        Self::from_bytes(bytes)
    }
}

impl From16 for ImageId {
    fn from_16(bytes: [u8; 16]) -> Self {
        Self::from_bytes(bytes)
    }
}
