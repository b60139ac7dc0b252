//! Programs that store images and look at them: of a few contents that come again and again, so that images share chunks, in
//! one piece and in several; some lose patience and go on with the same ids, give the upload up, or never come back. What one
//! left behind is stored by it again just when nodes may be deleting it. Everything that they are shown is compared byte by byte.

use super::clinic::NEEDLE;
use super::{Clinic, World};
use crate::seed::Chance;
use bytes::Bytes;
use plantao_client::images::{NewImage, PutError, PutOptions, ReadError};
use plantao_client::{Cluster, Error, Id};
use plantao_proto::public::v1;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Streams of the seed, beside those of the other programs.
const STREAM: u64 = 1 << 34;
/// Contents that there are, for all patients: few, so that what one upload leaves behind another one needs.
const CONTENTS: u64 = 12;
/// Their lengths: less than a chunk, a chunk and one more byte, three chunks.
const LENGTHS: [usize; 6] = [900, 12_345, 140_000, 400_000, 1_048_577, 2_300_000];
/// As a JPEG begins; what comes then is none, so it has no thumbnail.
const HEAD: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0";
/// Between two calls.
const PAUSE: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(1_200)];
/// A program that waits longer does something else.
const PATIENCE: [Duration; 2] = [Duration::from_millis(150), Duration::from_secs(12)];
/// One photographer of so many is careless: most of what it begins, long contents that nobody else stores, it leaves after a
/// chunk or two, which then belong to nobody and are collected.
const CARELESS_EVERY: u32 = 3;
const CARELESS_PERCENT: u64 = 75;
const CARELESS_CONTENTS: u64 = 1 << 32;
const CARELESS_LENGTH: usize = 3_300_000;
const HURRY: [Duration; 2] = [Duration::from_millis(80), Duration::from_millis(500)];
/// Chunks that nobody names are condemned ten to thirteen seconds after they came, and unlinked four to six later, where seconds
/// stand for days; in this span the same content comes again for the same patient, which needs the very chunks.
const RETURN: [Duration; 2] = [Duration::from_millis(11_500), Duration::from_millis(17_500)];
/// How long consents may take: a network that was just made.
const CONSENT_TRIES: u32 = 60;
/// Yesterday, for every clock that a run may have.
const VALID_FROM_MS: i64 = -24 * 60 * 60 * 1_000;

/// One image of the workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    content: u64,
    /// When it was acknowledged.
    pub(crate) acknowledged_ns: Option<u64>,
}

/// What a program saw of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sight {
    /// Its bytes.
    Right,
    /// Other bytes.
    Other,
    /// No such image.
    Absent,
    /// Nobody had it just then, or nobody answered.
    NotToBeHad,
    /// A refusal that nothing explains, with its number.
    Refused(Option<u32>),
}

/// One look at an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) image: Id,
    pub(crate) begun_ns: u64,
    pub(crate) sight: Sight,
}

#[derive(Debug, Default)]
struct Pages {
    stored: BTreeMap<Id, Stored>,
    looks: Vec<Look>,
    /// Answers to uploads that the workload should never get.
    odd: Vec<(Id, String)>,
}

/// Where programs note what they stored and saw. Clones are the same album.
#[derive(Clone, Debug, Default)]
pub(crate) struct Album(Arc<Mutex<Pages>>);

impl Album {
    fn with<T>(&self, look: impl FnOnce(&mut Pages) -> T) -> T {
        // Each change is one insertion: a panic elsewhere leaves it whole.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every image that a program began to store.
    pub(crate) fn stored(&self) -> BTreeMap<Id, Stored> {
        self.with(|pages| pages.stored.clone())
    }

    /// Every look, in the order in which they ended.
    pub(crate) fn looks(&self) -> Vec<Look> {
        self.with(|pages| pages.looks.clone())
    }

    /// Answers to uploads that no fault explains.
    pub(crate) fn odd(&self) -> Vec<(Id, String)> {
        self.with(|pages| pages.odd.clone())
    }

    fn acknowledged(&self, image: Id, now_ns: u64) {
        self.with(|pages| {
            if let Some(stored) = pages.stored.get_mut(&image) {
                stored.acknowledged_ns.get_or_insert(now_ns);
            }
        });
    }

    fn one_of(&self, chance: &mut Chance) -> Option<(Id, Stored)> {
        self.with(|pages| {
            // Mostly the newest: they are the ones that something can still be wrong with.
            let among = pages.stored.len().min(if chance.percent(70) { 6 } else { usize::MAX }) as u64;
            let nth = usize::try_from(chance.below(among)).unwrap_or(0);
            pages.stored.iter().nth_back(nth).map(|(id, stored)| (*id, *stored))
        })
    }
}

/// The bytes of a content.
fn content(seed: u64, number: u64) -> Bytes {
    let mut chance = Chance::of(seed, STREAM + 1 + number);
    let nth = usize::try_from(number).unwrap_or(0) % LENGTHS.len();
    let length = if number < CARELESS_CONTENTS { LENGTHS[nth] } else { CARELESS_LENGTH };
    let mut bytes = HEAD.to_vec();
    while bytes.len() < length {
        bytes.extend(chance.word().to_be_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// Looks at an image and compares it.
pub(crate) async fn look(cluster: &Cluster, seed: u64, image: Id, stored: &Stored) -> Sight {
    let mut bytes = Vec::new();
    let request = v1::ReadImageRequest { image_id: image.to_wire(), ..Default::default() };
    let read = cluster.read_image(request, |piece| {
        bytes.extend_from_slice(&piece);
        Ok(())
    });
    match Box::pin(read).await {
        Ok(_) if content(seed, stored.content) == bytes => Sight::Right,
        Ok(_) | Err(ReadError::OtherDigest) => Sight::Other,
        Err(ReadError::Call(Error::NotFound(_))) => Sight::Absent,
        // An image needs its manifest, its key and its chunks, and none of them may be reachable just then.
        Err(ReadError::Call(Error::Unavailable(_) | Error::Unknown { .. })) => Sight::NotToBeHad,
        // A node whose clock is years ahead takes every certificate for expired.
        Err(ReadError::Call(Error::Denied(answer))) if answer.code.is_none() => Sight::NotToBeHad,
        Err(ReadError::Call(error)) => Sight::Refused(error.code()),
        Err(_) => Sight::Refused(None),
    }
}

/// An upload that was left in its middle.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// When it is stored after all.
    due_ns: u64,
    /// Open as far as anybody knows: while it is, nothing of its patient is deleted.
    upload: Id,
    content: u64,
    patient: Id,
    consent: Id,
}

/// One program.
pub(crate) struct Photographer<W> {
    world: W,
    cluster: Cluster,
    seed: u64,
    clinic: Arc<Clinic>,
    album: Album,
    chance: Chance,
    is_careless: bool,
    left: Vec<Left>,
}

impl<W: World> Photographer<W> {
    /// The photographer `number`, from 1 on, of a seed.
    pub(crate) fn new(world: &W, number: u32, seed: u64, clinic: &Arc<Clinic>, album: &Album) -> Self {
        Self {
            cluster: world.cluster(number),
            world: world.clone(),
            seed,
            clinic: Arc::clone(clinic),
            album: album.clone(),
            chance: Chance::of(seed, STREAM << 1 | u64::from(number)),
            is_careless: number.is_multiple_of(CARELESS_EVERY),
            left: Vec::new(),
        }
    }

    /// Asks the patients for their consent: once, before any photographer works.
    ///
    /// # Errors
    /// The network does not take it.
    pub(crate) async fn prepare(world: &W, clinic: &Clinic) -> anyhow::Result<()> {
        let cluster = world.cluster(0);
        for (patient, consent) in clinic.consents() {
            let mut tries = 0;
            loop {
                let request = v1::GrantConsentRequest {
                    header: None,
                    consent_id: consent.to_wire(),
                    patient_id: patient.to_wire(),
                    unit_id: clinic.units()[0].to_wire(),
                    purposes: vec![v1::Purpose::ClinicalImages.into()],
                    valid_from_ms: VALID_FROM_MS,
                    valid_until_ms: 0,
                    document: NEEDLE.as_bytes().into(),
                };
                match cluster.grant_consent(request).await {
                    Ok(_) => break,
                    Err(error) if tries >= CONSENT_TRIES => anyhow::bail!("no consent was taken: {error}"),
                    Err(_) => tries += 1,
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
        Ok(())
    }

    /// Works until it is told to stop; the call under way is finished, within its patience.
    pub(crate) async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            match self.album.one_of(&mut self.chance) {
                Some((image, stored)) if !self.is_careless && self.chance.percent(50) => self.look(image, stored).await,
                _ => self.store(&stop).await,
            }
            let [least, most] = if self.is_careless { HURRY } else { PAUSE };
            tokio::time::sleep(self.chance.between(least, most)).await;
        }
    }

    async fn look(&mut self, image: Id, stored: Stored) {
        let begun_ns = self.world.now_ns();
        let looking = look(&self.cluster, self.seed, image, &stored);
        let sight = tokio::time::timeout(PATIENCE[1], looking).await.unwrap_or(Sight::NotToBeHad);
        self.album.with(|pages| pages.looks.push(Look { image, begun_ns, sight }));
    }

    /// What was left so long ago that it is due.
    fn returning(&mut self) -> Option<Left> {
        let now_ns = self.world.now_ns();
        let at = self.left.iter().position(|left| left.due_ns <= now_ns)?;
        Some(self.left.remove(at))
    }

    /// Gives an upload up: its chunks belong to nobody then, unless another image has them.
    async fn give_up(&self, upload: Id) {
        let giving_up = self.cluster.abandon_upload(upload);
        let _ = tokio::time::timeout(PATIENCE[1], Box::pin(giving_up)).await;
    }

    async fn store(&mut self, stop: &AtomicBool) {
        if let Some(left) = self.left.last() {
            // In vain before, or forgotten.
            self.give_up(left.upload).await;
        }
        let returning = self.returning();
        let is_hasty = returning.is_none() && self.is_careless && self.chance.percent(CARELESS_PERCENT);
        let (number, (patient_id, consent_id)) = match returning {
            Some(left) => (left.content, (left.patient, left.consent)),
            None if is_hasty => (CARELESS_CONTENTS + self.chance.below(1 << 16), self.clinic.consent(&mut self.chance)),
            None => (self.chance.below(CONTENTS), self.clinic.consent(&mut self.chance)),
        };
        let new = NewImage {
            upload_id: self.chance.id(),
            image_id: self.chance.id(),
            patient_id,
            unit_id: self.clinic.unit(&mut self.chance),
            visit_id: None,
            consent_id,
            kind: "antes".to_owned(),
            media_type: v1::MediaType::Jpeg,
            taken_ms: 0,
            name: NEEDLE.to_owned(),
            remarks: NEEDLE.to_owned(),
        };
        let stored = Stored { content: number, acknowledged_ns: None };
        self.album.with(|pages| pages.stored.insert(new.image_id, stored));
        let bytes = content(self.seed, number);
        loop {
            let [least, most] = if is_hasty { HURRY } else { PATIENCE };
            let patience = self.chance.between(least, most);
            let options = PutOptions { patience, ..PutOptions::default() };
            let source = Arc::new(bytes.clone());
            let putting = self.cluster.put_image_with(&new, source, &options, |_| {});
            match tokio::time::timeout(patience, Box::pin(putting)).await {
                Ok(Ok(_)) => return self.album.acknowledged(new.image_id, self.world.now_ns()),
                Ok(Err(error)) => self.judge(new.image_id, &error),
                Err(_) => {}
            }
            match self.chance.below(100) {
                // The same ids again, as a program does that was started anew; whoever is told to stop leaves it.
                0..60 if !is_hasty && !stop.load(Ordering::Relaxed) => {}
                0..85 => break self.give_up(new.upload_id).await,
                _ => break,
            }
            tokio::time::sleep(self.chance.between(PAUSE[0], PAUSE[1])).await;
        }
        let after = self.chance.between(RETURN[0], RETURN[1]);
        let due_ns = self.world.now_ns().saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
        let (upload, patient, consent) = (new.upload_id, patient_id, consent_id);
        self.left.push(Left { due_ns, upload, content: number, patient, consent });
    }

    /// What an upload may be told while faults come, and what not.
    fn judge(&self, image: Id, error: &PutError) {
        let is_odd = match error {
            PutError::Waiting { .. } | PutError::Call(Error::Unavailable(_) | Error::Unknown { .. }) => false,
            PutError::Call(Error::Denied(answer)) => answer.code.is_some(),
            _ => true,
        };
        if is_odd {
            self.album.with(|pages| pages.odd.push((image, format!("{error:?}"))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_differ_and_come_again() {
        for number in 0..CONTENTS {
            let bytes = content(7, number);
            assert_eq!(bytes.len(), LENGTHS[number as usize % LENGTHS.len()]);
            assert_eq!(bytes, content(7, number));
            assert!(bytes.starts_with(HEAD));
            assert_ne!(bytes, content(8, number));
            assert!((0..number).all(|other| content(7, other) != bytes));
        }
        let careless = content(7, CARELESS_CONTENTS + 3);
        assert!(careless.len() == CARELESS_LENGTH && careless != content(7, CARELESS_CONTENTS));
    }
}
