//! From a draft to a command: what names or describes a person is sealed here, and opened here.

use super::content::{self, DemographicsContent, DirectoryContent, SCHEMA};
use super::{Draft, Error, Gateway};
use crate::crypto::{Context, DataKey, Kind, Owner, SearchTerm};
use plantao_domain::bounds::NO_TOKEN;
use plantao_domain::command::{Command, KeyOwner, Overlap, Sealed, Tag};
use plantao_domain::outcome::What;
use plantao_domain::planted::{Bug, planted};
use plantao_domain::*;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a frame is bound to, apart from the cluster.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) owner: Owner,
    pub(super) object: &'a [u8; 16],
    pub(super) version: u32,
    pub(super) kind: Kind,
}

/// The reason of an encaixe stays the same frame whatever version the appointment gets.
const ENCAIXE_VERSION: u32 = 0;

impl Gateway {
    fn context<'a>(&self, place: Place<'a>) -> Context<'a> {
        Context {
            cluster: self.keyring().cluster(),
            owner: place.owner,
            object: place.object,
            object_version: place.version.into(),
            kind: place.kind,
            schema: SCHEMA,
        }
    }

    pub(super) fn seal(&self, key: &DataKey, place: Place<'_>, plaintext: &[u8]) -> Sealed {
        if planted(Bug::ContentNotSealed) && place.kind == Kind::Record {
            return Sealed(plaintext.to_vec());
        }
        self.keyring().seal(key, &self.context(place), plaintext)
    }

    /// An empty text stays an empty frame: there is nothing to hide in it, and rules ask whether it is empty.
    fn seal_text(&self, key: &DataKey, place: Place<'_>, text: &str) -> Sealed {
        if text.is_empty() { Sealed::default() } else { self.seal(key, place, text.as_bytes()) }
    }

    pub(super) fn open(&self, key: &DataKey, place: Place<'_>, frame: &Sealed) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.keyring().open(key, &self.context(place), frame).map_err(|_| Error::Damaged)
    }

    pub(super) fn open_directory(
        &self,
        unit: UnitId,
        object: &[u8; 16],
        frame: &Sealed,
    ) -> Result<DirectoryContent, Error> {
        let key = self.key(KeyOwner::Unit(unit))?.ok_or(Error::NotFound(What::Unit))?;
        let place = Place { owner: Owner::Unit(unit), object, version: 1, kind: Kind::Directory };
        content::decode(&self.open(&key, place, frame)?).ok_or(Error::Damaged)
    }

    pub(super) fn open_demographics(
        &self,
        patient: PatientId,
        version: u32,
        frame: &Sealed,
    ) -> Result<DemographicsContent, Error> {
        let key = self.key(KeyOwner::Patient(patient))?.ok_or(Error::NotFound(What::Patient))?;
        let place =
            Place { owner: Owner::Patient(patient), object: patient.as_bytes(), version, kind: Kind::Demographics };
        content::decode(&self.open(&key, place, frame)?).ok_or(Error::Damaged)
    }

    pub(super) fn open_of_patient(
        &self,
        patient: PatientId,
        object: &[u8; 16],
        version: u32,
        kind: Kind,
        frame: &Sealed,
    ) -> Result<Vec<u8>, Error> {
        if frame.0.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.key(KeyOwner::Patient(patient))?.ok_or(Error::NotFound(What::Patient))?;
        if planted(Bug::ContentNotSealed) && kind == Kind::Record {
            return Ok(frame.0.clone());
        }
        let place = Place { owner: Owner::Patient(patient), object, version, kind };
        Ok(self.open(&key, place, frame)?.to_vec())
    }

    /// The key of an existing owner. This node may lag behind the one that registered it, so absence is certain only at
    /// the read index.
    pub(super) async fn existing_key(&self, owner: KeyOwner, what: What) -> Result<Arc<DataKey>, Error> {
        if let Some(key) = self.key(owner)? {
            return Ok(key);
        }
        let index = self.catch_up().await?;
        self.key(owner)?.ok_or(Error::Rejected(Rejection::Unknown { what }, index))
    }

    /// The patient of an object that must exist.
    async fn patient_of<T>(
        &self,
        what: What,
        find: impl Fn(&dyn View) -> Result<Option<T>, ViewFault>,
    ) -> Result<T, Error> {
        if let Some(found) = find(&**self.state())? {
            return Ok(found);
        }
        let index = self.catch_up().await?;
        find(&**self.state())?.ok_or(Error::Rejected(Rejection::Unknown { what }, index))
    }

    fn tokens(&self, content: &DemographicsContent) -> Result<Vec<Tag>, Error> {
        let mut tokens = Vec::with_capacity(1 + content.phones.len());
        // The first token is the unique one: without a CPF, a mark takes its place.
        tokens.push(if content.cpf.is_empty() {
            NO_TOKEN
        } else {
            self.with_keys(|| self.keyring().search_token(SearchTerm::Cpf, &content.cpf))?
        });
        for phone in &content.phones {
            let token = self.with_keys(|| self.keyring().search_token(SearchTerm::Phone, phone))?;
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        Ok(tokens)
    }

    async fn overlap(
        &self,
        unit: UnitId,
        appointment: AppointmentId,
        reason: Option<String>,
    ) -> Result<Overlap, Error> {
        let Some(reason) = reason else { return Ok(Overlap::Refuse) };
        let key = self.existing_key(KeyOwner::Unit(unit), What::Unit).await?;
        let place = Place {
            owner: Owner::Unit(unit),
            object: appointment.as_bytes(),
            version: ENCAIXE_VERSION,
            kind: Kind::Reason,
        };
        Ok(Overlap::Encaixe { reason: self.seal_text(&key, place, &reason) })
    }

    /// Seals a draft. Needs the root key.
    pub(super) async fn command(&self, draft: Draft) -> Result<Command, Error> {
        if self.keyring().is_sealed() {
            return Err(Error::Sealed);
        }
        Ok(match draft {
            Draft::Unit { id, slug, content } => {
                // A unit that is registered again keeps its key: the frame must open with what the state holds.
                let owner = KeyOwner::Unit(id);
                let (key, wrapped) = match rows::data_key(&**self.state(), owner)? {
                    Some(wrapped) => (self.open_key(owner, &wrapped)?, wrapped),
                    None => self.with_keys(|| self.keyring().new_data_key(owner))?,
                };
                let content = self.seal_directory(&key, id, id.as_bytes(), &content);
                Command::RegisterUnit { unit: id, slug, key: wrapped, content }
            }
            Draft::Practitioner { id, unit, content } => {
                let key = self.existing_key(KeyOwner::Unit(unit), What::Unit).await?;
                let content = self.seal_directory(&key, unit, id.as_bytes(), &content);
                Command::RegisterPractitioner { practitioner: id, unit, content }
            }
            Draft::Room { id, unit, content } => {
                let key = self.existing_key(KeyOwner::Unit(unit), What::Unit).await?;
                let content = self.seal_directory(&key, unit, id.as_bytes(), &content);
                Command::RegisterRoom { room: id, unit, content }
            }
            Draft::Patient { id, unit, content } => {
                let owner = KeyOwner::Patient(id);
                let (key, wrapped) = match rows::data_key(&**self.state(), owner)? {
                    Some(wrapped) => (self.open_key(owner, &wrapped)?, wrapped),
                    None => self.with_keys(|| self.keyring().new_data_key(owner))?,
                };
                let tokens = self.tokens(&content)?;
                let content = self.seal_demographics(&key, id, 1, &content);
                Command::RegisterPatient { patient: id, unit, key: wrapped, tokens, content }
            }
            Draft::AmendPatient { id, seen_version, content } => {
                let key = self.existing_key(KeyOwner::Patient(id), What::Patient).await?;
                let tokens = self.tokens(&content)?;
                let content = self.seal_demographics(&key, id, seen_version.saturating_add(1), &content);
                Command::AmendPatient { patient: id, seen_version, tokens, content }
            }
            Draft::Book { id, patient, slot, encaixe_reason, document } => {
                let key = self.existing_key(KeyOwner::Patient(patient), What::Patient).await?;
                let place = of_patient(patient, id.as_bytes(), 1, Kind::Appointment);
                let content = if document.is_empty() { Sealed::default() } else { self.seal(&key, place, &document) };
                let overlap = self.overlap(slot.unit, id, encaixe_reason).await?;
                Command::Book { appointment: id, patient, slot, overlap, content }
            }
            Draft::Move { id, seen_version, slot, encaixe_reason } => {
                let overlap = self.overlap(slot.unit, id, encaixe_reason).await?;
                Command::MoveAppointment { appointment: id, seen_version, slot, overlap }
            }
            Draft::State { id, seen_version, state, reason } => {
                let row = self.patient_of(What::Appointment, |view| rows::appointment(view, id)).await?;
                let key = self.existing_key(KeyOwner::Patient(row.patient), What::Patient).await?;
                let place = of_patient(row.patient, id.as_bytes(), seen_version.saturating_add(1), Kind::Reason);
                let reason = self.seal_text(&key, place, &reason);
                Command::ChangeAppointmentState { appointment: id, seen_version, state, reason }
            }
            Draft::Record { id, patient, unit, kind, authored_at, document } => {
                let key = self.existing_key(KeyOwner::Patient(patient), What::Patient).await?;
                let content = self.seal(&key, of_patient(patient, id.as_bytes(), 1, Kind::Record), &document);
                Command::AddRecord { record: id, patient, unit, kind, authored_at, content }
            }
            Draft::AmendRecord { id, seen_version, reason, document } => {
                let row = self.patient_of(What::Record, |view| rows::record(view, id)).await?;
                let key = self.existing_key(KeyOwner::Patient(row.patient), What::Patient).await?;
                let version = seen_version.saturating_add(1);
                let place = |kind| of_patient(row.patient, id.as_bytes(), version, kind);
                let reason = self.seal_text(&key, place(Kind::Reason), &reason);
                let content = self.seal(&key, place(Kind::Record), &document);
                Command::AmendRecord { record: id, seen_version, reason, content }
            }
            Draft::Consent { id, patient, unit, purposes, valid_from, valid_until, document } => {
                let key = self.existing_key(KeyOwner::Patient(patient), What::Patient).await?;
                let content = self.seal(&key, of_patient(patient, id.as_bytes(), 1, Kind::Consent), &document);
                Command::GrantConsent { consent: id, patient, unit, purposes, valid_from, valid_until, content }
            }
            Draft::RevokeConsent { id, seen_version, reason } => {
                let row = self.patient_of(What::Consent, |view| rows::consent(view, id)).await?;
                let key = self.existing_key(KeyOwner::Patient(row.patient), What::Patient).await?;
                let place = of_patient(row.patient, id.as_bytes(), seen_version.saturating_add(1), Kind::Reason);
                Command::RevokeConsent { consent: id, seen_version, reason: self.seal_text(&key, place, &reason) }
            }
        })
    }

    fn seal_directory(&self, key: &DataKey, unit: UnitId, object: &[u8; 16], content: &DirectoryContent) -> Sealed {
        let place = Place { owner: Owner::Unit(unit), object, version: 1, kind: Kind::Directory };
        self.seal(key, place, &Zeroizing::new(content::encode(content)))
    }

    fn seal_demographics(&self, key: &DataKey, id: PatientId, version: u32, content: &DemographicsContent) -> Sealed {
        let place = of_patient(id, id.as_bytes(), version, Kind::Demographics);
        self.seal(key, place, &Zeroizing::new(content::encode(content)))
    }
}

fn of_patient(patient: PatientId, object: &[u8; 16], version: u32, kind: Kind) -> Place<'_> {
    Place { owner: Owner::Patient(patient), object, version, kind }
}
