//! Images, as far as rights, keys, sealing and the trail go. Their bytes are elsewhere (`crate::images`): what is opened
//! here is what describes them.

use super::content::{self, ImageContent, ImageFound};
use super::seal::Place;
use super::write::{Header, Written, envelope};
use super::{Error, Gateway};
use crate::crypto::{DataKey, Kind, Owner};
use plantao_domain::access::{Decision, decide};
use plantao_domain::audit::{Action, Module, Object};
use plantao_domain::command::{Command, KeyOwner, Sealed};
use plantao_domain::outcome::What;
use plantao_domain::rows::{self, ImageCursor, ImageRow};
use plantao_domain::view::Order;
use plantao_domain::*;
use std::sync::Arc;

/// Version of the frame that comes with the intent.
const CONTENT_VERSION: u32 = 1;
/// Version of the frame that comes with the commit.
const FOUND_VERSION: u32 = 2;

fn place<'a>(patient: PatientId, image: &'a ImageId, version: u32) -> Place<'a> {
    Place { owner: Owner::Patient(patient), object: image.as_bytes(), version, kind: Kind::Image }
}

impl Gateway {
    /// The key of a patient, who must be known here or at the read index.
    pub(crate) async fn key_of_patient(&self, patient: PatientId) -> Result<Arc<DataKey>, Error> {
        if self.keyring().is_sealed() {
            return Err(Error::Sealed);
        }
        self.existing_key(KeyOwner::Patient(patient), What::Patient).await
    }

    /// Seals what describes an image.
    pub(crate) fn seal_image(
        &self,
        key: &DataKey,
        patient: PatientId,
        image: ImageId,
        content: &ImageContent,
    ) -> Sealed {
        self.seal(key, place(patient, &image, CONTENT_VERSION), &content::encode(content))
    }

    /// Seals what was found in the bytes of an image.
    pub(crate) fn seal_found(&self, key: &DataKey, patient: PatientId, image: ImageId, found: &ImageFound) -> Sealed {
        self.seal(key, place(patient, &image, FOUND_VERSION), &content::encode(found))
    }

    /// What describes an image.
    pub(crate) fn open_image(
        &self,
        key: &DataKey,
        patient: PatientId,
        image: ImageId,
        frame: &Sealed,
    ) -> Result<ImageContent, Error> {
        content::decode(&self.open(key, place(patient, &image, CONTENT_VERSION), frame)?).ok_or(Error::Damaged)
    }

    /// What was found in its bytes; nothing for an image without it.
    pub(crate) fn open_image_found(&self, key: &DataKey, image: ImageId, row: &ImageRow) -> Result<ImageFound, Error> {
        let Some(frame) = &row.found else { return Ok(ImageFound::default()) };
        content::decode(&self.open(key, place(row.patient, &image, FOUND_VERSION), frame)?).ok_or(Error::Damaged)
    }

    /// Proposes a command that is sealed already, as [`Gateway::write`] does for a draft.
    ///
    /// # Errors
    /// As [`Gateway::write`].
    pub(crate) async fn write_sealed(
        &self,
        actor: Actor,
        header: Header,
        method: &'static str,
        canonical: &[u8],
        command: Command,
    ) -> Result<Written, Error> {
        let _permit = self.admit()?;
        let content_tag = self.with_keys(|| super::write::tag(self.keyring(), &actor, method, canonical))?;
        self.propose(envelope(self.node(), header, content_tag, actor, command)).await
    }

    /// Waits until this node has applied what any node had committed when the call began.
    ///
    /// # Errors
    /// No leader answers, or this node lags.
    pub(crate) async fn up_to_date(&self) -> Result<u64, Error> {
        self.catch_up().await
    }

    /// Refuses, and notes it, unless the caller may do this to images of the unit.
    ///
    /// # Errors
    /// `Denied`.
    pub(crate) async fn may_with_image(
        &self,
        actor: &Actor,
        action: Action,
        unit: UnitId,
        image: ImageId,
        patient: PatientId,
    ) -> Result<(), Error> {
        match decide(actor, Module::Images, action, Some(unit)) {
            Decision::Allowed => Ok(()),
            Decision::Denied => {
                self.note(actor, Object::Image(image), Some(patient), None).await?;
                Err(Error::Denied)
            }
        }
    }

    /// An image that the caller may read, before anything of it is noted or opened; with it, why it is blocked, which is
    /// noted as a refusal.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn readable_image(
        &self,
        actor: &Actor,
        id: ImageId,
    ) -> Result<(ImageRow, Option<Rejection>), Error> {
        let row = rows::image(&**self.state(), id)?;
        let (unit, patient) = (row.as_ref().map(|row| row.unit), row.as_ref().map(|row| row.patient));
        self.may_read(actor, Module::Images, unit, Object::Image(id), patient).await?;
        let row = row.ok_or(Error::NotFound(What::Image))?;
        let blocked = images::read_block(&**self.state(), &row, self.consensus().progress().time)?;
        if blocked.is_some() {
            self.note(actor, Object::Image(id), Some(row.patient), None).await?;
        }
        Ok((row, blocked))
    }

    /// Notes that an image is shown: before its first byte, or what describes it, leaves.
    ///
    /// # Errors
    /// It cannot be written down.
    pub(crate) async fn note_image(&self, actor: &Actor, id: ImageId, row: &ImageRow) -> Result<(), Error> {
        self.note(actor, Object::Image(id), Some(row.patient), Some(1)).await
    }

    /// A page of a patient's images, without what is sealed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn images(
        &self,
        actor: &Actor,
        patient: PatientId,
        order: Order,
        after: Option<ImageCursor>,
        limit: usize,
    ) -> Result<Vec<(ImageId, ImageRow)>, Error> {
        let unit = rows::patient(&**self.state(), patient)?.map(|row| row.unit);
        self.may_read(actor, Module::Images, unit, Object::Patient(patient), Some(patient)).await?;
        unit.ok_or(Error::NotFound(What::Patient))?;
        Ok(rows::images_of_patient(&**self.state(), patient, None, order, after, limit)?)
    }
}
