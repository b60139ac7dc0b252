//! Images for a run: of a size that is asked for, each different in every chunk, so that no store finds one there.

use crate::connect::Cluster;
use crate::error::Error;
use crate::id::Id;
use crate::images::{CHUNK_BYTES, IMAGE_BYTES_MAX, NewImage, PutError, ReadError, upload_id};
use crate::services::LOCAL;
use bytes::Bytes;
use plantao_proto::public::v1;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Images that reads choose from, at most, and all of them together in bytes.
const IMAGES: u64 = 32;
const IMAGES_BYTES: u64 = 256 << 20;
/// Where the number of a chunk stands in it: behind what says that this is DICOM.
const STAMP: usize = 132;
/// Smallest image of a run: what a stamp needs.
pub(super) const BYTES_MIN: usize = STAMP + 8;
/// Largest.
pub(super) const BYTES_MAX: usize = IMAGE_BYTES_MAX as usize;

/// Images that are made as they are stored, all of one patient.
pub struct Gallery {
    unit: Id,
    patient: Id,
    consent: Id,
    /// What every image begins from; bytes that do not compress.
    base: Vec<u8>,
    next: AtomicU64,
    images: Vec<Id>,
}

impl Gallery {
    /// With a new consent of `patient`. Each image has `bytes`, from 140 to 2 GiB, which are held in memory once.
    pub async fn prepare(cluster: &Cluster, unit: Id, patient: Id, bytes: usize) -> Result<Self, Error> {
        Self::with_images(cluster, unit, patient, bytes, false).await
    }

    /// As [`Self::prepare`], and with images to read where `reads` says so.
    pub(super) async fn with_images(
        cluster: &Cluster,
        unit: Id,
        patient: Id,
        bytes: usize,
        reads: bool,
    ) -> Result<Self, Error> {
        let random = || Id::random().map_err(Error::Randomness);
        let consent = random()?;
        let request = v1::GrantConsentRequest {
            header: None,
            consent_id: consent.to_wire(),
            patient_id: patient.to_wire(),
            unit_id: unit.to_wire(),
            purposes: vec![v1::Purpose::ClinicalImages.into()],
            valid_from_ms: 0,
            valid_until_ms: 0,
            document: Bytes::from_static(b"{}"),
        };
        cluster.grant_consent(request).await?;
        // From a random start, so that no two runs make the same bytes.
        let start = u64::from_le_bytes(random()?.as_bytes()[..8].try_into().unwrap_or_default()) | 1;
        let mut base = Vec::with_capacity(bytes + 8);
        let mut state = start;
        while base.len() < bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            base.extend_from_slice(&state.to_le_bytes());
        }
        base.truncate(bytes);
        base[..128].fill(0);
        base[128..STAMP].copy_from_slice(b"DICM");
        let mut gallery = Self { unit, patient, consent, base, next: AtomicU64::new(start), images: Vec::new() };
        if reads {
            let count = (IMAGES_BYTES / bytes as u64).clamp(1, IMAGES);
            for _ in 0..count {
                let id = gallery.put(cluster).await?;
                gallery.images.push(id);
            }
        }
        Ok(gallery)
    }

    /// The consent that covers them.
    pub fn consent(&self) -> Id {
        self.consent
    }

    /// Stores one that nobody has, up to its acknowledgement; gives its id. Holds its bytes meanwhile.
    pub async fn put(&self, cluster: &Cluster) -> Result<Id, Error> {
        let image_id = Id::in_order(SystemTime::now()).map_err(Error::Randomness)?;
        let image = NewImage {
            upload_id: upload_id(image_id),
            image_id,
            patient_id: self.patient,
            unit_id: self.unit,
            visit_id: None,
            consent_id: self.consent,
            kind: "carga".to_owned(),
            media_type: v1::MediaType::Dicom,
            taken_ms: 0,
            name: String::new(),
            remarks: String::new(),
        };
        let mut bytes = self.base.clone();
        for chunk in bytes.chunks_mut(CHUNK_BYTES as usize) {
            let stamp = self.next.fetch_add(1, Ordering::Relaxed).to_le_bytes();
            // The last chunk may be shorter than where a stamp stands.
            match chunk.get_mut(STAMP..STAMP + 8) {
                Some(place) => place.copy_from_slice(&stamp),
                None => chunk.iter_mut().zip(stamp).for_each(|(byte, stamp)| *byte ^= stamp),
            }
        }
        match cluster.put_image(&image, Arc::new(Bytes::from(bytes)), |_| {}).await {
            Ok(_) => Ok(image_id),
            Err(PutError::Call(error)) => Err(error),
            Err(PutError::Waiting { .. }) => Err(Error::Protocol("an image that waits for another site")),
            // What is in memory can be read, and is what it was.
            Err(_) => Err(Error::Protocol("an image of a run that cannot be put")),
        }
    }

    /// Reads the `nth` as the node has it, and compares its SHA-256.
    pub(super) async fn get(&self, cluster: &Cluster, nth: u64) -> Result<(), Error> {
        let at = usize::try_from(nth % self.images.len().max(1) as u64).unwrap_or(0);
        let image_id = self.images.get(at).ok_or(Error::Protocol("a run without images"))?.to_wire();
        let request = v1::ReadImageRequest { read: Some(LOCAL), image_id, ..v1::ReadImageRequest::default() };
        match cluster.read_image(request, |_| Ok(())).await {
            Ok(_) => Ok(()),
            Err(ReadError::Call(error)) => Err(error),
            Err(ReadError::Sink(_)) => Err(Error::Protocol("a sink that takes everything refused")),
            Err(ReadError::OtherDigest) => Err(Error::Protocol("an image with another SHA-256 than it was sent with")),
        }
    }
}
