//! Records: append only. A correction is a new version with author and reason; the old one stays. Nothing is deleted.

use crate::case::{Case, Done, Ruling};
use crate::command::Sealed;
use crate::id::{PatientId, RecordId, UnitId};
use crate::outcome::{Rejection, What};
use crate::planted::{Bug, planted};
use crate::rows::{self, RecordRow, RecordVersionRow};
use crate::time::ClusterTime;
use crate::view::Changes;

/// What identifies a document besides its sealed bytes, which never compare.
pub(crate) struct Document<'a> {
    pub(crate) patient: PatientId,
    pub(crate) unit: UnitId,
    pub(crate) kind: &'a str,
    pub(crate) authored_at: ClusterTime,
}

/// A new document. The same again (patient, unit, kind, time) changes nothing.
pub(crate) fn add(case: &Case<'_>, id: RecordId, document: &Document<'_>, content: &Sealed) -> Ruling {
    let Document { patient, unit, kind, authored_at } = *document;
    if let Some(row) = rows::record(case.view, id)? {
        let same = row.patient == patient && row.unit == unit && row.kind == kind && row.authored_at == authored_at;
        let exists = Rejection::Exists { what: What::Record };
        return if same { Ok(Done::unchanged(row.version)) } else { Err(exists.into()) };
    }
    if rows::unit(case.view, unit)?.is_none() {
        return Err(Rejection::Unknown { what: What::Unit }.into());
    }
    if rows::patient(case.view, patient)?.is_none() {
        return Err(Rejection::Unknown { what: What::Patient }.into());
    }
    let mut changes = Changes::new();
    let row = RecordRow { patient, unit, kind: kind.to_owned(), authored_at, version: 1 };
    rows::put(&mut changes, rows::record_key(id), &row);
    let version = RecordVersionRow { at: case.at, by: case.actor.id, reason: None, content: content.clone() };
    rows::put(&mut changes, rows::record_version_key(id, 1), &version);
    rows::mark(&mut changes, rows::record_by_patient_key(patient, authored_at, id));
    Ok(Done::changed(1, changes))
}

/// A correction.
pub(crate) fn amend(case: &Case<'_>, id: RecordId, seen_version: u32, reason: &Sealed, content: &Sealed) -> Ruling {
    if reason.0.is_empty() {
        return Err(Rejection::ReasonMissing.into());
    }
    let row = rows::record(case.view, id)?.ok_or(Rejection::Unknown { what: What::Record })?;
    if row.version != seen_version && !planted(Bug::StaleRecord) {
        return Err(Rejection::StaleVersion { current: row.version }.into());
    }
    let next = row.version.saturating_add(1);
    let mut changes = Changes::new();
    let version =
        RecordVersionRow { at: case.at, by: case.actor.id, reason: Some(reason.clone()), content: content.clone() };
    rows::put(&mut changes, rows::record_version_key(id, next), &version);
    rows::put(&mut changes, rows::record_key(id), &RecordRow { version: next, ..row });
    Ok(Done::changed(next, changes))
}
