//! Images in and out, through whichever node answers: cut, resumed and checked here, so that a caller gives a file and
//! gets an acknowledgement, or asks for an image and gets a file.
//!
//! ```text
//! put    source ─► [read, SHA-256] ─► PutImage (small, first try)        ─┐
//!                                  └► BeginUpload ─► Upload … ─► Finish  ─┴► committed, or waiting: ask again
//!            a cut anywhere ─► another node ─► UploadStatus ─► go on from its `next_sequence`, same ids
//! read   ReadImage ─► writer; a cut ─► ReadImage from where it stopped, elsewhere
//! save   read ─► temporary file ─► SHA-256 right? ─► its name
//! ```
//! Never here: rules about consents and types (the node decides), and names of people: ids come from what the cluster
//! holds in clear anyway.

mod calls;
mod media_type;
mod put;
mod read;
mod source;

pub use media_type::{HEAD_BYTES, MEDIA_TYPES, ending, guess, name, named};
pub use put::{NewImage, Progress, PutError, PutOptions};
pub use read::{ReadError, Replace};
pub use source::{FileSource, ImageSource, SourceError, digest, sha256_of};

use crate::id::{Id, LabelKind, id_for_label};
use plantao_proto::public::v1;

/// Bytes of every chunk but the last.
pub const CHUNK_BYTES: u64 = 1 << 20;

/// Largest image.
pub const IMAGE_BYTES_MAX: u64 = 2 << 30;

/// The id of an image whose source gives it none: from its patient, kind, time, size, and its place (from 0) among those
/// of its source that are equal in all of these. All of it is in clear in the cluster; neither the file's name, which may
/// name a person, nor its digest, by which somebody with the photograph could find the patient, goes in.
pub fn image_id(patient: Id, kind: &str, taken_ms: i64, bytes: u64, nth: u32) -> Id {
    id_for_label(LabelKind::Image, &format!("{patient} {kind} {taken_ms} {bytes} {nth}"))
}

/// The first upload of an image: a program that was killed goes on with the same one.
pub fn upload_id(image: Id) -> Id {
    id_for_label(LabelKind::Upload, &image.to_string())
}

/// The `nth` upload (from 1) after `first` was closed.
fn next_upload(first: Id, nth: u32) -> Id {
    id_for_label(LabelKind::Upload, &format!("{first} {nth}"))
}

/// Whether an acknowledgement says that the image was not there before.
pub fn is_new(committed: &v1::ImageCommitted) -> bool {
    matches!(
        committed.outcome.as_ref().and_then(|outcome| outcome.outcome.as_ref()),
        Some(v1::write_outcome::Outcome::Confirmed(confirmed)) if confirmed.changed
    )
}

/// How many chunks an image of so many bytes has; at most 2,048.
fn chunk_count(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(CHUNK_BYTES)).unwrap_or(u32::MAX)
}
