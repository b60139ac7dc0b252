//! Between the wire and the rules, for images.

use crate::api::check::{NAME_CHARS_MAX, line};
use crate::api::convert::{
    Checked, as_of, consent_id, image_id, invalid, optional, outcome, patient_id, place, place_token, rejection, time,
    told, unit_id, upload_id, wire,
};
use crate::chunks::content_type::ContentType;
use crate::gateway::{self, ImageContent, Reading};
use crate::images::{Begin, Class, CopyReport, Error, Finished, Reader, UploadView, Variant};
use bytes::Bytes;
use plantao_domain::command::Sealed;
use plantao_domain::images::{CHUNK_BYTES, Copies, Holders, ImageStatus, MediaType, NewImage};
use plantao_domain::rows::{ImageCursor, ImageRow, UploadState};
pub(super) use plantao_domain::{Actor, NodeId};
use plantao_domain::{AppointmentId, ImageId, UploadId, View};
use plantao_proto::public::v1;
use tonic::{Code, Status};

/// Longest remarks; what does not fit into one frame is refused by its bytes.
const REMARKS_CHARS_MAX: usize = 2_000;
/// Name, remarks and digest together, so that the padded frame stays within the bound of the rules.
const CONTENT_BYTES_MAX: usize = 3_700;

/// A status with its number, what to do, and whether anything was done.
pub(super) fn status(error: &Error) -> Status {
    let grpc = match (error, error.class()) {
        (Error::Gateway(error), _) => return crate::api::convert::status(error),
        (_, Some(Class::Invalid)) => Code::InvalidArgument,
        (_, Some(Class::Resume)) => Code::FailedPrecondition,
        (_, Some(Class::Unavailable) | None) => Code::Unavailable,
        (_, Some(Class::Busy)) => Code::ResourceExhausted,
        (_, Some(Class::Denied)) => Code::PermissionDenied,
        (_, Some(Class::NotFound)) => Code::NotFound,
    };
    told(grpc, error.to_string(), error.code(), error.help(), true)
}

const MEDIA_TYPES: [(MediaType, v1::MediaType); 5] = [
    (MediaType::Jpeg, v1::MediaType::Jpeg),
    (MediaType::Png, v1::MediaType::Png),
    (MediaType::Dicom, v1::MediaType::Dicom),
    (MediaType::Webp, v1::MediaType::Webp),
    (MediaType::Heic, v1::MediaType::Heic),
];

fn media_type(value: i32) -> Checked<MediaType> {
    let wanted = v1::MediaType::try_from(value).ok();
    match MEDIA_TYPES.iter().find(|(_, wire)| Some(*wire) == wanted) {
        Some((ours, _)) => Ok(*ours),
        None => invalid("media_type", "is no type of image that is taken"),
    }
}

fn wire_media_type(media_type: MediaType) -> i32 {
    MEDIA_TYPES.iter().find(|(ours, _)| *ours == media_type).map_or(0, |(_, wire)| (*wire).into())
}

fn wire_content_type(kind: ContentType) -> i32 {
    match kind {
        ContentType::Jpeg => v1::MediaType::Jpeg,
        ContentType::Png => v1::MediaType::Png,
        ContentType::Dicom => v1::MediaType::Dicom,
        ContentType::Webp => v1::MediaType::Webp,
        ContentType::Heic => v1::MediaType::Heic,
    }
    .into()
}

pub(super) fn sha256(field: &'static str, bytes: &[u8]) -> Checked<[u8; 32]> {
    match bytes.try_into() {
        Ok(digest) => Ok(digest),
        Err(_) => invalid(field, "must be 32 bytes"),
    }
}

pub(super) fn begin(request: &v1::BeginUploadRequest) -> Checked<Begin> {
    if request.bytes == 0 {
        return invalid("bytes", "must not be zero: an image has at least one byte");
    }
    let digest = optional(&request.sha256, |bytes| sha256("sha256", bytes))?;
    let visit = optional(&request.visit_id, |bytes| crate::api::convert::appointment_id("visit_id", bytes))?;
    let content = ImageContent {
        name: line("name", &request.name, 0, NAME_CHARS_MAX)?,
        remarks: line("remarks", &request.remarks, 0, REMARKS_CHARS_MAX)?,
        sha256: digest.map(|digest| digest.to_vec()).unwrap_or_default(),
    };
    if content.name.len() + content.remarks.len() > CONTENT_BYTES_MAX {
        return invalid("remarks", "are too long together with the name");
    }
    let image = NewImage {
        image: image_id("image_id", &request.image_id)?,
        patient: patient_id("patient_id", &request.patient_id)?,
        unit: unit_id("unit_id", &request.unit_id)?,
        visit,
        consent: consent_id("consent_id", &request.consent_id)?,
        kind: request.kind.clone(),
        media_type: media_type(request.media_type)?,
        bytes: request.bytes,
        taken_at: time("taken_ms", request.taken_ms)?,
        content: Sealed::default(),
    };
    Ok(Begin { upload: upload_id("upload_id", &request.upload_id)?, image, content })
}

pub(super) fn upload(bytes: &[u8]) -> Checked<UploadId> {
    upload_id("upload_id", bytes)
}

pub(super) fn image(bytes: &[u8]) -> Checked<ImageId> {
    image_id("image_id", bytes)
}

pub(super) fn patient(bytes: &[u8]) -> Checked<plantao_domain::PatientId> {
    patient_id("patient_id", bytes)
}

pub(super) fn variant(value: i32) -> Checked<Variant> {
    match v1::ImageVariant::try_from(value) {
        Ok(v1::ImageVariant::Unspecified | v1::ImageVariant::Original) => Ok(Variant::Original),
        Ok(v1::ImageVariant::Thumbnail) => Ok(Variant::Thumbnail),
        Err(_) => invalid("variant", "is no variant that this version knows"),
    }
}

pub(super) fn cursor(token: &[u8]) -> Checked<Option<ImageCursor>> {
    Ok(place(token)?.map(|(at, id)| ImageCursor { at, image: ImageId::from_bytes(id) }))
}

pub(super) fn token(item: &(ImageId, ImageRow)) -> Bytes {
    place_token(item.1.taken_at, item.0.as_bytes())
}

pub(super) fn wire_upload(view: UploadView) -> v1::Upload {
    let state = match view.state {
        UploadState::Open => v1::UploadState::Open,
        UploadState::Committed(_) => v1::UploadState::Committed,
        UploadState::Closed => v1::UploadState::Closed,
    };
    v1::Upload {
        id: wire(view.upload.as_bytes()),
        image_id: wire(view.image.as_bytes()),
        state: state.into(),
        chunk_bytes: CHUNK_BYTES,
        chunk_count: view.chunks,
        next_sequence: view.next,
        lease_until_ms: view.lease_until.millis(),
        sites: view.sites,
        waiting_for_off_site: view.waits_for_off_site,
    }
}

/// What a finish that waits tells a person.
fn waiting(view: UploadView) -> v1::ImageWaiting {
    let message = if view.waits_for_off_site { "waiting for off-site" } else { "waiting for a second site" };
    v1::ImageWaiting { upload: Some(wire_upload(view)), retry_after_ms: 500, message: message.to_owned() }
}

pub(super) fn finished(finished: Finished, view: &dyn View, node: NodeId) -> Checked<v1::FinishUploadResponse> {
    use v1::finish_upload_response::Result as Wire;
    let result = match finished {
        Finished::Committed { written, id, row, content, reading } => Wire::Committed(v1::ImageCommitted {
            as_of: as_of(&reading, node),
            outcome: outcome(written),
            image: Some(wire_image(id, &row, Some(&content), view)?),
        }),
        Finished::Waiting(view) => Wire::Waiting(waiting(view)),
        Finished::Rejected(refused) => Wire::Rejection(rejection(&refused)),
    };
    Ok(v1::FinishUploadResponse { result: Some(result) })
}

/// A call that ended before the end of the image.
pub(super) fn unfinished(view: UploadView) -> v1::FinishUploadResponse {
    v1::FinishUploadResponse { result: Some(v1::finish_upload_response::Result::Waiting(waiting(view))) }
}

pub(super) fn wire_image(
    id: ImageId,
    row: &ImageRow,
    content: Option<&ImageContent>,
    view: &dyn View,
) -> Checked<v1::Image> {
    let holders = Holders::read(view).map_err(gateway::Error::State)?;
    let copies = Copies::of(view, &holders, row.upload).map_err(gateway::Error::State)?;
    let status = match copies.status(&holders) {
        ImageStatus::AtRisk => v1::ImageStatus::AtRisk,
        ImageStatus::Committed => v1::ImageStatus::Committed,
        ImageStatus::Replicated => v1::ImageStatus::Replicated,
        ImageStatus::Protected => v1::ImageStatus::Protected,
    };
    let visit_id = row.visit.as_ref().map(|visit: &AppointmentId| wire(visit.as_bytes())).unwrap_or_default();
    Ok(v1::Image {
        id: wire(id.as_bytes()),
        upload_id: wire(row.upload.as_bytes()),
        patient_id: wire(row.patient.as_bytes()),
        unit_id: wire(row.unit.as_bytes()),
        visit_id,
        consent_id: wire(row.consent.as_bytes()),
        kind: row.kind.clone(),
        media_type: wire_media_type(row.media_type),
        bytes: row.bytes,
        taken_ms: row.taken_at.millis(),
        committed_ms: row.committed_at.millis(),
        sender_id: wire(row.sent_by.as_bytes()),
        thumbnail: row.thumbnail,
        status: status.into(),
        copies: copies.copies,
        sites: copies.sites,
        off_site: copies.off_site,
        sha256: content.map(|content| Bytes::copy_from_slice(&content.sha256)).unwrap_or_default(),
        name: content.map(|content| content.name.clone()).unwrap_or_default(),
        remarks: content.map(|content| content.remarks.clone()).unwrap_or_default(),
    })
}

pub(super) fn header(
    id: ImageId,
    reader: &Reader,
    reading: &Reading,
    view: &dyn View,
    node: NodeId,
) -> Checked<v1::ImageHeader> {
    Ok(v1::ImageHeader {
        as_of: as_of(reading, node),
        image: Some(wire_image(id, &reader.row, Some(&reader.content), view)?),
        media_type: wire_content_type(reader.content_type),
        bytes: reader.bytes,
        offset: reader.offset,
        length: reader.length,
    })
}

pub(super) fn copy(report: CopyReport) -> v1::ImageCopy {
    v1::ImageCopy {
        node_id: report.node.0,
        site: report.site,
        country: report.country,
        medium: report.medium,
        off_site: report.is_off_site,
        placed: report.is_placed,
        receipt: report.has_receipt,
        chunks: report.chunks,
        good: report.good,
        bad: report.bad,
        unknown: report.unknown,
    }
}
