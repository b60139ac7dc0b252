//! Rows of patients, records and consents.

use super::structure::by_id;
use super::{KeyRange, PAGE_ROWS_MAX, decode, key, last_id, prefix, prefix_of, read};
use crate::command::{Purpose, Sealed, Tag};
use crate::id::*;
use crate::time::{ClusterTime, Interval};
use crate::view::{Order, View, ViewFault};
use minicbor::{Decode, Encode};

/// A patient: structure only. Demographics are in the row of each version.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PatientRow {
    /// The unit that registered them.
    #[n(0)]
    pub unit: UnitId,
    /// The current version, from 1.
    #[n(1)]
    pub version: u32,
    /// When they were registered.
    #[n(2)]
    pub registered_at: ClusterTime,
}

/// One version of a patient's demographics; never written again.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PatientVersionRow {
    /// When it was written.
    #[n(0)]
    pub at: ClusterTime,
    /// By whom.
    #[n(1)]
    pub by: ActorId,
    /// Search tokens that this version held.
    #[n(2)]
    pub tokens: Vec<Tag>,
    /// Demographics, sealed under the patient's key.
    #[n(3)]
    pub content: Sealed,
}

/// That a patient is found by a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PatientTokenRow {
    /// Whether no other patient may hold it in this way (it is the first of the patient's tokens: the CPF's).
    #[n(0)]
    pub unique: bool,
}

/// A record: structure only. The document is in the row of each version.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct RecordRow {
    /// About whom.
    #[n(0)]
    pub patient: PatientId,
    /// Who keeps it.
    #[n(1)]
    pub unit: UnitId,
    /// Kind of document, e.g. `Observation`.
    #[n(2)]
    pub kind: String,
    /// When it was written or observed, as its author says.
    #[n(3)]
    pub authored_at: ClusterTime,
    /// The current version, from 1.
    #[n(4)]
    pub version: u32,
}

/// One version of a record; never written again.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct RecordVersionRow {
    /// When it was written.
    #[n(0)]
    pub at: ClusterTime,
    /// Its author.
    #[n(1)]
    pub by: ActorId,
    /// Why the version before was corrected; `None` for the first.
    #[n(2)]
    pub reason: Option<Sealed>,
    /// The sender's bytes, sealed under the patient's key.
    #[n(3)]
    pub content: Sealed,
}

/// A consent: structure only. The signed document is in the row of version 1.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ConsentRow {
    /// Who agreed.
    #[n(0)]
    pub patient: PatientId,
    /// Who asked.
    #[n(1)]
    pub unit: UnitId,
    /// To what, as given.
    #[n(2)]
    pub purposes: Vec<Purpose>,
    /// Since when.
    #[n(3)]
    pub valid_from: ClusterTime,
    /// Until when, if limited; not itself inside.
    #[n(4)]
    pub valid_until: Option<ClusterTime>,
    /// When it was taken back; final.
    #[n(5)]
    pub revoked_at: Option<ClusterTime>,
    /// The current version, from 1; a revocation is version 2.
    #[n(6)]
    pub version: u32,
}

/// One step of a consent; never written again.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ConsentVersionRow {
    /// When it happened.
    #[n(0)]
    pub at: ClusterTime,
    /// Who wrote it down.
    #[n(1)]
    pub by: ActorId,
    /// Whether this step took the consent back.
    #[n(2)]
    pub revokes: bool,
    /// The signed document, or the reason of the revocation, which may be empty.
    #[n(3)]
    pub content: Sealed,
}

/// Key of a patient's row.
pub fn patient_key(id: PatientId) -> Vec<u8> {
    key(prefix::PATIENT, &[id.as_bytes()])
}

/// A patient.
pub fn patient(view: &dyn View, id: PatientId) -> Result<Option<PatientRow>, ViewFault> {
    read(view, &patient_key(id))
}

/// Key of one version of a patient.
pub fn patient_version_key(id: PatientId, version: u32) -> Vec<u8> {
    key(prefix::PATIENT_VERSION, &[id.as_bytes(), &version.to_be_bytes()])
}

/// One version of a patient, from 1.
pub fn patient_version(view: &dyn View, id: PatientId, version: u32) -> Result<Option<PatientVersionRow>, ViewFault> {
    read(view, &patient_version_key(id, version))
}

/// Patients in order of their id, after `after`, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn patients(
    view: &dyn View,
    after: Option<PatientId>,
    limit: usize,
) -> Result<Vec<(PatientId, PatientRow)>, ViewFault> {
    let found = by_id(view, prefix::PATIENT, after.map(|id| *id.as_bytes()), limit)?;
    found.into_iter().map(|(id, key, value)| Ok((PatientId::from_bytes(id), decode(&key, &value)?))).collect()
}

/// Key of the row by which a token finds a patient.
pub fn patient_token_key(token: &Tag, id: PatientId) -> Vec<u8> {
    key(prefix::PATIENT_TOKEN, &[&token.0, id.as_bytes()])
}

/// Patients who hold a token now, in order of their id, after `after`, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn patients_by_token(
    view: &dyn View,
    token: &Tag,
    after: Option<PatientId>,
    limit: usize,
) -> Result<Vec<(PatientId, PatientTokenRow)>, ViewFault> {
    let mut range = KeyRange::with_start(key(prefix::PATIENT_TOKEN, &[&token.0]));
    if let Some(after) = after {
        range = range.after(&patient_token_key(token, after));
    }
    let found = view.range(&range.from, &range.to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found.iter().map(|(key, value)| Ok((PatientId::from_bytes(last_id(key)?), decode(key, value)?))).collect()
}

/// Key of a record's row.
pub fn record_key(id: RecordId) -> Vec<u8> {
    key(prefix::RECORD, &[id.as_bytes()])
}

/// A record.
pub fn record(view: &dyn View, id: RecordId) -> Result<Option<RecordRow>, ViewFault> {
    read(view, &record_key(id))
}

/// Key of one version of a record.
pub fn record_version_key(id: RecordId, version: u32) -> Vec<u8> {
    key(prefix::RECORD_VERSION, &[id.as_bytes(), &version.to_be_bytes()])
}

/// One version of a record, from 1.
pub fn record_version(view: &dyn View, id: RecordId, version: u32) -> Result<Option<RecordVersionRow>, ViewFault> {
    read(view, &record_version_key(id, version))
}

/// Key of the mark by which a patient's records are found in order of time.
pub fn record_by_patient_key(patient: PatientId, authored_at: ClusterTime, id: RecordId) -> Vec<u8> {
    key(prefix::RECORD_BY_PATIENT, &[patient.as_bytes(), &authored_at.to_key(), id.as_bytes()])
}

/// A place in a patient's records: the last one of a page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RecordCursor {
    /// When that record was authored.
    pub authored_at: ClusterTime,
    /// That record.
    pub record: RecordId,
}

/// Records of a patient by the time they were authored, oldest first or newest first, within `authored` if given,
/// beyond `after` in that order, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn records_of_patient(
    view: &dyn View,
    patient: PatientId,
    authored: Option<Interval>,
    order: Order,
    after: Option<RecordCursor>,
    limit: usize,
) -> Result<Vec<(RecordId, RecordRow)>, ViewFault> {
    let nil = RecordId::default();
    let mut range = KeyRange::with_start(key(prefix::RECORD_BY_PATIENT, &[patient.as_bytes()]));
    if let Some(Interval { start, end }) = authored {
        range.from = record_by_patient_key(patient, start, nil);
        range.to = record_by_patient_key(patient, end, nil);
    }
    if let Some(RecordCursor { authored_at, record }) = after {
        let place = record_by_patient_key(patient, authored_at, record);
        range = range.beyond(place, order);
    }
    let found = view.range(&range.from, &range.to, order, limit.min(PAGE_ROWS_MAX))?;
    found
        .iter()
        .map(|(mark, _)| {
            let id = RecordId::from_bytes(last_id(mark)?);
            let row = record(view, id)?.ok_or(ViewFault::Row { prefix: prefix_of(mark) })?;
            Ok((id, row))
        })
        .collect()
}

/// Key of a consent's row.
pub fn consent_key(id: ConsentId) -> Vec<u8> {
    key(prefix::CONSENT, &[id.as_bytes()])
}

/// A consent.
pub fn consent(view: &dyn View, id: ConsentId) -> Result<Option<ConsentRow>, ViewFault> {
    read(view, &consent_key(id))
}

/// Key of one step of a consent.
pub fn consent_version_key(id: ConsentId, version: u32) -> Vec<u8> {
    key(prefix::CONSENT_VERSION, &[id.as_bytes(), &version.to_be_bytes()])
}

/// One step of a consent, from 1.
pub fn consent_version(view: &dyn View, id: ConsentId, version: u32) -> Result<Option<ConsentVersionRow>, ViewFault> {
    read(view, &consent_version_key(id, version))
}

/// Key of the mark of a consent at its patient.
pub fn consent_by_patient_key(patient: PatientId, id: ConsentId) -> Vec<u8> {
    key(prefix::CONSENT_BY_PATIENT, &[patient.as_bytes(), id.as_bytes()])
}

/// Consents of a patient in order of their id, revoked ones too, after `after`, up to `limit` (and [`PAGE_ROWS_MAX`]).
pub fn consents_of_patient(
    view: &dyn View,
    patient: PatientId,
    after: Option<ConsentId>,
    limit: usize,
) -> Result<Vec<(ConsentId, ConsentRow)>, ViewFault> {
    let mut range = KeyRange::with_start(key(prefix::CONSENT_BY_PATIENT, &[patient.as_bytes()]));
    if let Some(after) = after {
        range = range.after(&consent_by_patient_key(patient, after));
    }
    let found = view.range(&range.from, &range.to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found
        .iter()
        .map(|(mark, _)| {
            let id = ConsentId::from_bytes(last_id(mark)?);
            let row = consent(view, id)?.ok_or(ViewFault::Row { prefix: prefix_of(mark) })?;
            Ok((id, row))
        })
        .collect()
}
