//! Consents: given once, taken back at most once, never undone; each step stays as it was written.

use crate::case::{Case, Done, Ruling};
use crate::command::{Purpose, Sealed};
use crate::id::{ConsentId, PatientId, UnitId};
use crate::outcome::{Rejection, What};
use crate::rows::{self, ConsentRow, ConsentVersionRow};
use crate::time::ClusterTime;
use crate::view::Changes;

/// What a patient agrees to.
pub(crate) struct Grant<'a> {
    pub(crate) patient: PatientId,
    pub(crate) unit: UnitId,
    pub(crate) purposes: &'a [Purpose],
    pub(crate) valid_from: ClusterTime,
    pub(crate) valid_until: Option<ClusterTime>,
}

/// Whether a consent covers a purpose at an instant: `valid_until` and the revocation are no longer inside.
pub fn covers(row: &ConsentRow, purpose: Purpose, at: ClusterTime) -> bool {
    row.purposes.contains(&purpose)
        && row.valid_from <= at
        && row.valid_until.is_none_or(|until| at < until)
        && row.revoked_at.is_none_or(|revoked| at < revoked)
}

/// A new consent. The same again (all but the sealed document) changes nothing, unless it was revoked since.
pub(crate) fn grant(case: &Case<'_>, id: ConsentId, grant: &Grant<'_>, content: &Sealed) -> Ruling {
    let Grant { patient, unit, purposes, valid_from, valid_until } = *grant;
    if let Some(row) = rows::consent(case.view, id)? {
        let same = row.patient == patient
            && row.unit == unit
            && row.purposes == purposes
            && row.valid_from == valid_from
            && row.valid_until == valid_until;
        return match (same, row.revoked_at) {
            (true, None) => Ok(Done::unchanged(row.version)),
            (true, Some(_)) => Err(Rejection::Revoked.into()),
            (false, _) => Err(Rejection::Exists { what: What::Consent }.into()),
        };
    }
    if rows::unit(case.view, unit)?.is_none() {
        return Err(Rejection::Unknown { what: What::Unit }.into());
    }
    if rows::patient(case.view, patient)?.is_none() {
        return Err(Rejection::Unknown { what: What::Patient }.into());
    }
    let row = ConsentRow {
        patient,
        unit,
        purposes: purposes.to_vec(),
        valid_from,
        valid_until,
        revoked_at: None,
        version: 1,
    };
    let step = ConsentVersionRow { at: case.at, by: case.actor.id, revokes: false, content: content.clone() };
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::consent_key(id), &row);
    rows::put(&mut changes, rows::consent_version_key(id, 1), &step);
    rows::mark(&mut changes, rows::consent_by_patient_key(patient, id));
    Ok(Done::changed(1, changes))
}

/// Takes a consent back.
pub(crate) fn revoke(case: &Case<'_>, id: ConsentId, seen_version: u32, reason: &Sealed) -> Ruling {
    let row = rows::consent(case.view, id)?.ok_or(Rejection::Unknown { what: What::Consent })?;
    if row.revoked_at.is_some() {
        return Err(Rejection::Revoked.into());
    }
    if row.version != seen_version {
        return Err(Rejection::StaleVersion { current: row.version }.into());
    }
    let next = row.version.saturating_add(1);
    let step = ConsentVersionRow { at: case.at, by: case.actor.id, revokes: true, content: reason.clone() };
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::consent_version_key(id, next), &step);
    rows::put(&mut changes, rows::consent_key(id), &ConsentRow { revoked_at: Some(case.at), version: next, ..row });
    Ok(Done::changed(next, changes))
}
