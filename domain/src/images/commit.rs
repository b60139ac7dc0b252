//! The commit: the one place where an image becomes visible.

use super::manifest::{ManifestPart, PART_OF_THUMBNAIL, part_count};
use super::placement::Books;
use super::receipts::{Receipt, put_receipts};
use super::upload::{check_consent, put_part};
use super::{SITES_MIN, status};
use crate::case::{Case, Done, Ruling, Stop};
use crate::command::Sealed;
use crate::id::UploadId;
use crate::outcome::{Field, Rejection, What};
use crate::planted::{Bug, planted};
use crate::rows::{self, ImageRow, PartOf, PartRow, UploadRow, UploadState};
use crate::view::{Changes, Overlay};

/// Takes the parts and receipts that come along, then commits; all of it or nothing.
pub(crate) fn commit(
    case: &Case<'_>,
    id: UploadId,
    found: Option<&Sealed>,
    parts: &[ManifestPart],
    receipts: &[Receipt],
) -> Ruling {
    if receipts.iter().any(|receipt| receipt.upload != id) {
        return Err(Rejection::Invalid { field: Field::Receipts }.into());
    }
    let row = rows::upload(case.view, id)?.ok_or(Rejection::Unknown { what: What::Upload })?;
    if matches!(row.state, UploadState::Committed(_)) {
        return Ok(Done::unchanged(1));
    }
    let mut before = Overlay::new(case.view);
    for ManifestPart { part, chunks } in parts {
        let done = put_part(&Case { view: &before, ..*case }, id, *part, chunks)?;
        before.write(done.changes);
    }
    if !receipts.is_empty() {
        let done = put_receipts(&Case { view: &before, ..*case }, receipts)?;
        before.write(done.changes);
    }
    let done = decide(&Case { view: &before, ..*case }, id, row, found)?;
    let mut changes = before.into_changes();
    changes.extend(done.changes);
    Ok(Done { changes, ..done })
}

/// What is decided, in this order: the intent is open, its lease is not over, the consent still covers clinical images,
/// each part is there, and each has receipts of current stores on [`SITES_MIN`] sites.
fn decide(case: &Case<'_>, id: UploadId, row: UploadRow, found: Option<&Sealed>) -> Ruling {
    let view = case.view;
    if row.state != UploadState::Open {
        return Err(Rejection::UploadClosed.into());
    }
    if case.at >= row.lease_until {
        return Err(Rejection::LeaseOver.into());
    }
    if rows::patient(view, row.patient)?.is_none() {
        return Err(Rejection::Unknown { what: What::Patient }.into());
    }
    check_consent(case, row.consent, row.patient)?;

    let mut changes = Changes::new();
    let mut books = Books::new(view);
    let mut take = |part: u32, held: &PartRow| -> Result<(), Stop> {
        let of = PartOf { upload: id, part };
        let copies = status::copies_of_part(view, of, held)?;
        if copies.sites < SITES_MIN && !planted(Bug::OneSiteEnough) {
            return Err(Rejection::TooFewSites { part, sites: copies.sites }.into());
        }
        for node in &row.placement {
            books.expect(&mut changes, *node, case.at, of, held)?;
        }
        Ok(())
    };
    for part in 0..part_count(row.bytes) {
        let held = rows::part(view, PartOf { upload: id, part })?.ok_or(Rejection::ManifestIncomplete { part })?;
        take(part, &held)?;
    }
    let thumbnail = rows::part(view, PartOf { upload: id, part: PART_OF_THUMBNAIL })?;
    if let Some(held) = &thumbnail {
        take(PART_OF_THUMBNAIL, held)?;
    }
    books.write(&mut changes);

    let mut head = rows::images_head(view)?;
    head.open_uploads = head.open_uploads.saturating_sub(1);
    head.images = head.images.saturating_add(1);
    head.image_bytes = head.image_bytes.saturating_add(row.bytes);
    let image = ImageRow { thumbnail: thumbnail.is_some(), found: found.cloned(), ..ImageRow::of(id, &row, case.at) };
    rows::put(&mut changes, rows::images_head_key(), &head);
    rows::put(&mut changes, rows::image_key(row.image), &image);
    rows::mark(&mut changes, rows::image_by_patient_key(row.patient, row.taken_at, row.image));
    rows::mark(&mut changes, rows::image_by_unit_key(row.unit, case.at, row.image));
    rows::delete(&mut changes, rows::upload_lease_key(row.lease_until, id));
    rows::delete(&mut changes, rows::upload_by_patient_key(row.patient, id));
    let state = UploadState::Committed(case.at);
    rows::put(&mut changes, rows::upload_key(id), &UploadRow { state, content: Sealed::default(), ..row });
    Ok(Done::changed(1, changes))
}
