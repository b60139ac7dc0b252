//! Every document of a state, opened one after the other: for extraction with the paper passphrase.

use super::content::{self, DemographicsContent, SCHEMA};
use super::keys;
use crate::crypto::{Context, Keyring, Kind, Owner};
use anyhow::Context as _;
use plantao_domain::command::{KeyOwner, Sealed};
use plantao_domain::view::Order;
use plantao_domain::*;
use std::sync::Arc;
use zeroize::Zeroizing;

/// One document, in clear.
pub struct Document {
    /// `records`, `consents`, `patients` or `appointments`.
    pub folder: &'static str,
    /// Its id.
    pub id: String,
    /// Whose.
    pub patient: String,
    /// Kind of document.
    pub kind: String,
    /// Which version.
    pub version: u32,
    /// The sender's bytes.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// A state with its keys.
pub struct Archive<'a> {
    keyring: Arc<Keyring>,
    view: &'a dyn View,
}

const PAGE: usize = 500;

impl<'a> Archive<'a> {
    /// On rows and an unsealed keyring.
    ///
    /// # Errors
    /// The rows cannot be read.
    pub fn new(keyring: Arc<Keyring>, view: &'a dyn View) -> Result<Self, ViewFault> {
        keys::install(&keyring, view)?;
        Ok(Self { keyring, view })
    }

    /// Calls `write` with the current version of each document, patient by patient.
    ///
    /// # Errors
    /// A frame does not open, or `write` fails.
    pub fn each(&self, write: &mut dyn FnMut(Document) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = rows::patients(self.view, after, PAGE)?;
            for (patient, row) in &page {
                self.patient(*patient, row.version, write)?;
                self.records(*patient, write)?;
                self.consents(*patient, write)?;
                self.appointments(*patient, write)?;
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }

    fn open(
        &self,
        patient: PatientId,
        object: &[u8; 16],
        version: u32,
        kind: Kind,
        frame: &Sealed,
    ) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        if frame.0.is_empty() {
            return Ok(Zeroizing::default());
        }
        let owner = KeyOwner::Patient(patient);
        let wrapped = rows::data_key(self.view, owner)?.context("a patient has no key")?;
        let key = self.keyring.data_key(owner, &wrapped)?;
        let context = Context {
            cluster: self.keyring.cluster(),
            owner: Owner::Patient(patient),
            object,
            object_version: version.into(),
            kind,
            schema: SCHEMA,
        };
        Ok(self.keyring.open(&key, &context, frame)?)
    }

    fn patient(
        &self,
        patient: PatientId,
        version: u32,
        write: &mut dyn FnMut(Document) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let kept = rows::patient_version(self.view, patient, version)?.context("a patient's version is missing")?;
        let plain = self.open(patient, patient.as_bytes(), version, Kind::Demographics, &kept.content)?;
        let content: DemographicsContent = content::decode(&plain).context("demographics do not decode")?;
        write(Document {
            folder: "patients",
            id: patient.to_string(),
            patient: patient.to_string(),
            kind: "Patient".to_string(),
            version,
            bytes: Zeroizing::new(content.document),
        })
    }

    fn records(&self, patient: PatientId, write: &mut dyn FnMut(Document) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = rows::records_of_patient(self.view, patient, None, Order::Ascending, after, PAGE)?;
            for (id, row) in &page {
                let kept =
                    rows::record_version(self.view, *id, row.version)?.context("a record's version is missing")?;
                let bytes = self.open(patient, id.as_bytes(), row.version, Kind::Record, &kept.content)?;
                write(Document {
                    folder: "records",
                    id: id.to_string(),
                    patient: patient.to_string(),
                    kind: row.kind.clone(),
                    version: row.version,
                    bytes,
                })?;
            }
            match page.last() {
                Some((record, row)) if page.len() == PAGE => {
                    after = Some(rows::RecordCursor { authored_at: row.authored_at, record: *record });
                }
                _ => return Ok(()),
            }
        }
    }

    fn consents(
        &self,
        patient: PatientId,
        write: &mut dyn FnMut(Document) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = rows::consents_of_patient(self.view, patient, after, PAGE)?;
            for (id, row) in &page {
                let kept = rows::consent_version(self.view, *id, 1)?.context("a consent's document is missing")?;
                write(Document {
                    folder: "consents",
                    id: id.to_string(),
                    patient: patient.to_string(),
                    kind: "Consent".to_string(),
                    version: row.version,
                    bytes: self.open(patient, id.as_bytes(), 1, Kind::Consent, &kept.content)?,
                })?;
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }

    fn appointments(
        &self,
        patient: PatientId,
        write: &mut dyn FnMut(Document) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let ever = Interval { start: ClusterTime::MIN, end: ClusterTime::MAX };
        let mut after = None;
        loop {
            let of = rows::AgendaOf::Patient(patient);
            let page = rows::agenda(self.view, of, ever, rows::AgendaShow::All, after, PAGE)?;
            for (id, row) in &page {
                write(Document {
                    folder: "appointments",
                    id: id.to_string(),
                    patient: patient.to_string(),
                    kind: "Appointment".to_string(),
                    version: row.version,
                    bytes: self.open(patient, id.as_bytes(), 1, Kind::Appointment, &row.content)?,
                })?;
            }
            match page.last() {
                Some((appointment, row)) if page.len() == PAGE => {
                    after = Some(rows::AgendaCursor { start: row.slot.interval.start, appointment: *appointment });
                }
                _ => return Ok(()),
            }
        }
    }
}
