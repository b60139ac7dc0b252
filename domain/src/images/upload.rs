//! The life of an upload until it is committed: intent, lease, parts of the manifest, and its end without an image.

use super::manifest::{ChunkEntry, MediaType, fits, part_digest};
use super::{EXPIRED_MAX, OPEN_UPLOADS_MAX, UPLOAD_MS_MAX, placement};
use crate::audit::Object;
use crate::case::{About, Case, Done, Ruling, Stop};
use crate::command::{Purpose, Sealed};
use crate::consent;
use crate::id::*;
use crate::outcome::{Field, Rejection, What};
use crate::planted::{Bug, planted};
use crate::rows::{self, ChunkRow, ImagesHead, PartOf, PartRow, UploadRow, UploadState};
use crate::time::ClusterTime;
use crate::view::{Changes, View};
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// An image that somebody wants to bring in.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct NewImage {
    /// Its id.
    #[n(0)]
    pub image: ImageId,
    /// Of whom.
    #[n(1)]
    pub patient: PatientId,
    /// Who keeps it.
    #[n(2)]
    pub unit: UnitId,
    /// At which visit, one of the same patient.
    #[n(3)]
    pub visit: Option<AppointmentId>,
    /// The consent that covers clinical images of this patient.
    #[n(4)]
    pub consent: ConsentId,
    /// What kind of image, e.g. `before`: letters and digits, 1 to 64.
    #[n(5)]
    pub kind: String,
    /// How it is encoded, as declared.
    #[n(6)]
    pub media_type: MediaType,
    /// Its exact size: 1 byte to 2 GiB.
    #[n(7)]
    pub bytes: u64,
    /// When it was taken, as its author says.
    #[n(8)]
    pub taken_at: ClusterTime,
    /// SHA-256 of the whole, name, remarks: sealed under the patient's key, at most 4 KiB. The digest of a photograph
    /// is not in clear, because whoever has the photograph could find the patient by it.
    #[n(9)]
    pub content: Sealed,
}

/// Whether an upload is this intent: all but what is sealed, where the copies go, and how long it lives.
fn is_same(row: &UploadRow, new: &NewImage) -> bool {
    row.image == new.image
        && row.patient == new.patient
        && row.unit == new.unit
        && row.visit == new.visit
        && row.consent == new.consent
        && row.kind == new.kind
        && row.media_type == new.media_type
        && row.bytes == new.bytes
        && row.taken_at == new.taken_at
}

fn lease_end(at: ClusterTime, lease_ms: u32, opened_at: ClusterTime) -> ClusterTime {
    let end = at.millis().saturating_add(i64::from(lease_ms));
    ClusterTime::saturating_from_millis(end.min(opened_at.millis().saturating_add(UPLOAD_MS_MAX)))
}

/// Refuses a consent that does not cover clinical images of this patient now.
pub(super) fn check_consent(case: &Case<'_>, id: ConsentId, patient: PatientId) -> Result<(), Stop> {
    let row = rows::consent(case.view, id)?.ok_or(Rejection::Unknown { what: What::Consent })?;
    if row.patient != patient {
        return Err(Rejection::NotCovered.into());
    }
    if row.revoked_at.is_some() {
        return Err(Rejection::Revoked.into());
    }
    if consent::covers(&row, Purpose::ClinicalImages, case.at) { Ok(()) } else { Err(Rejection::NotCovered.into()) }
}

/// A new intent. The same again (all but content, placement and lease) changes nothing while the upload is open or
/// committed.
pub(crate) fn open(case: &Case<'_>, id: UploadId, new: &NewImage, placement: &[NodeId], lease_ms: u32) -> Ruling {
    let view = case.view;
    if let Some(row) = rows::upload(view, id)? {
        return match (is_same(&row, new), row.state) {
            (false, _) => Err(Rejection::Exists { what: What::Upload }.into()),
            (true, UploadState::Closed) => Err(Rejection::UploadClosed.into()),
            (true, UploadState::Open | UploadState::Committed(_)) => Ok(Done::unchanged(0)),
        };
    }
    if rows::image_claim(view, new.image)?.is_some() {
        return Err(Rejection::Exists { what: What::Image }.into());
    }
    if rows::unit(view, new.unit)?.is_none() {
        return Err(Rejection::Unknown { what: What::Unit }.into());
    }
    if rows::patient(view, new.patient)?.is_none() {
        return Err(Rejection::Unknown { what: What::Patient }.into());
    }
    if let Some(visit) = new.visit {
        let row = rows::appointment(view, visit)?.ok_or(Rejection::Unknown { what: What::Appointment })?;
        if row.patient != new.patient {
            return Err(Rejection::Invalid { field: Field::Visit }.into());
        }
    }
    check_consent(case, new.consent, new.patient)?;
    let placement = placement::check(view, placement)?;
    let mut head = rows::images_head(view)?;
    if head.open_uploads >= OPEN_UPLOADS_MAX {
        return Err(Rejection::TooManyUploads.into());
    }
    head.open_uploads = head.open_uploads.saturating_add(1);
    let row = UploadRow {
        image: new.image,
        patient: new.patient,
        unit: new.unit,
        visit: new.visit,
        consent: new.consent,
        kind: new.kind.clone(),
        media_type: new.media_type,
        bytes: new.bytes,
        taken_at: new.taken_at,
        content: new.content.clone(),
        placement,
        opened_at: case.at,
        opened_by: case.actor.id,
        lease_until: lease_end(case.at, lease_ms, case.at),
        state: UploadState::Open,
    };
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::images_head_key(), &head);
    rows::put(&mut changes, rows::upload_key(id), &row);
    rows::put(&mut changes, rows::image_claim_key(new.image), &id);
    rows::mark(&mut changes, rows::upload_lease_key(row.lease_until, id));
    rows::mark(&mut changes, rows::upload_by_patient_key(new.patient, id));
    Ok(Done::changed(0, changes))
}

/// An upload that takes parts and ends in a commit or without one.
pub(super) fn open_upload(view: &dyn View, id: UploadId) -> Result<UploadRow, Stop> {
    let row = rows::upload(view, id)?.ok_or(Rejection::Unknown { what: What::Upload })?;
    if row.state == UploadState::Open { Ok(row) } else { Err(Rejection::UploadClosed.into()) }
}

/// A later end of the lease; never an earlier one. A lease that is over may be renewed until the intent is ended.
pub(crate) fn renew(case: &Case<'_>, id: UploadId, lease_ms: u32) -> Ruling {
    let row = open_upload(case.view, id)?;
    let lease_until = lease_end(case.at, lease_ms, row.opened_at).max(row.lease_until);
    if lease_until == row.lease_until {
        return Ok(Done::unchanged(0));
    }
    let mut changes = Changes::new();
    rows::delete(&mut changes, rows::upload_lease_key(row.lease_until, id));
    rows::mark(&mut changes, rows::upload_lease_key(lease_until, id));
    rows::put(&mut changes, rows::upload_key(id), &UploadRow { lease_until, ..row });
    Ok(Done::changed(0, changes))
}

/// A part of the manifest. Tombstones of its chunks end here; receipts from before them do not count for it.
pub(crate) fn put_part(case: &Case<'_>, id: UploadId, part: u32, chunks: &[ChunkEntry]) -> Ruling {
    let row = open_upload(case.view, id)?;
    let of = PartOf { upload: id, part };
    if let Some(held) = rows::part(case.view, of)? {
        let exists = Rejection::Exists { what: What::Part };
        return if held.chunks == chunks { Ok(Done::unchanged(0)) } else { Err(exists.into()) };
    }
    if !fits(row.bytes, part, chunks) {
        return Err(Rejection::Invalid { field: Field::Chunks }.into());
    }
    let distinct: BTreeMap<ChunkId, u32> = chunks.iter().map(|entry| (entry.chunk, entry.stored_bytes)).collect();
    let mut changes = Changes::new();
    let head = end_tombstones(case.view, distinct.keys(), &mut changes)?;
    for (chunk, stored_bytes) in distinct {
        rows::put(&mut changes, rows::chunk_key(chunk, of), &ChunkRow { stored_bytes });
    }
    let part_row = PartRow { chunks: chunks.to_vec(), digest: part_digest(id, part, chunks), epoch: head.floor };
    rows::put(&mut changes, rows::part_key(of), &part_row);
    Ok(Done::changed(0, changes))
}

fn end_tombstones<'a>(
    view: &dyn View,
    chunks: impl Iterator<Item = &'a ChunkId>,
    changes: &mut Changes,
) -> Result<ImagesHead, Stop> {
    let before = rows::images_head(view)?;
    let mut head = before;
    if head.tombstones > 0 && !planted(Bug::NamedUnlinked) {
        for chunk in chunks {
            if let Some(tombstone) = rows::tombstone(view, *chunk)? {
                rows::delete(changes, rows::tombstone_key(*chunk));
                head.floor = head.floor.max(tombstone.epoch);
                head.tombstones = head.tombstones.saturating_sub(1);
            }
        }
    }
    if head != before {
        rows::put(changes, rows::images_head_key(), &head);
    }
    Ok(head)
}

/// The sender gave up.
pub(crate) fn abandon(case: &Case<'_>, id: UploadId) -> Ruling {
    let row = rows::upload(case.view, id)?.ok_or(Rejection::Unknown { what: What::Upload })?;
    match row.state {
        UploadState::Closed => Ok(Done::unchanged(0)),
        UploadState::Committed(_) => Err(Rejection::UploadClosed.into()),
        UploadState::Open => {
            let mut changes = Changes::new();
            let mut head = rows::images_head(case.view)?;
            close(case.view, id, row, &mut head, &mut changes)?;
            rows::put(&mut changes, rows::images_head_key(), &head);
            Ok(Done::changed(0, changes))
        }
    }
}

/// Ends intents whose lease is over; an entry in the trail for each.
pub(crate) fn expire(case: &Case<'_>) -> Ruling {
    let expired = rows::expired_uploads(case.view, case.at, EXPIRED_MAX)?;
    if expired.is_empty() {
        return Ok(Done::unchanged(0));
    }
    let mut changes = Changes::new();
    let mut head = rows::images_head(case.view)?;
    let mut about = Vec::new();
    for (id, row) in expired {
        about.push(About { object: Object::Image(row.image), patient: Some(row.patient), unit: Some(row.unit) });
        close(case.view, id, row, &mut head, &mut changes)?;
    }
    rows::put(&mut changes, rows::images_head_key(), &head);
    Ok(Done { about, ..Done::changed(0, changes) })
}

/// Ends an open upload without an image: the image's id is free again, and what it named waits to be dropped.
fn close(
    view: &dyn View,
    id: UploadId,
    row: UploadRow,
    head: &mut ImagesHead,
    changes: &mut Changes,
) -> Result<(), Stop> {
    head.open_uploads = head.open_uploads.saturating_sub(1);
    rows::delete(changes, rows::upload_lease_key(row.lease_until, id));
    rows::delete(changes, rows::upload_by_patient_key(row.patient, id));
    rows::delete(changes, rows::image_claim_key(row.image));
    if rows::parts(view, id, None, 1)?.is_empty() {
        rows::delete(changes, rows::upload_key(id));
    } else {
        rows::mark(changes, rows::upload_closed_key(id));
        let closed = UploadRow { state: UploadState::Closed, content: Sealed::default(), ..row };
        rows::put(changes, rows::upload_key(id), &closed);
    }
    Ok(())
}
