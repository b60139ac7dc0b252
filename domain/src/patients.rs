//! Patients: registration, demographics by version, search tokens.
//!
//! Tokens are opaque here. The first of a list stands for the CPF: no two patients hold the same one first, in any
//! unit. Who has no CPF gets [`NO_TOKEN`] in its place. The others (telephones of a family) are shared freely.

use crate::bounds::NO_TOKEN;
use crate::case::{Case, Done, Ruling, Stop};
use crate::command::{KeyOwner, Sealed, Tag, WrappedKey};
use crate::id::{PatientId, UnitId};
use crate::keys;
use crate::outcome::{Rejection, What};
use crate::rows::{self, PatientRow, PatientTokenRow, PatientVersionRow};
use crate::view::{Changes, View};

const SCAN_ROWS: usize = 64;

fn check_unique(view: &dyn View, patient: PatientId, tokens: &[Tag]) -> Result<(), Stop> {
    let Some(token) = tokens.first().filter(|token| **token != NO_TOKEN) else { return Ok(()) };
    let mut after = None;
    loop {
        let found = rows::patients_by_token(view, token, after, SCAN_ROWS)?;
        for (holder, row) in &found {
            if row.unique && *holder != patient {
                return Err(Rejection::Duplicate { patient: *holder, token: *token }.into());
            }
        }
        match found.last() {
            Some((last, _)) if found.len() == SCAN_ROWS => after = Some(*last),
            _ => return Ok(()),
        }
    }
}

fn write_tokens(changes: &mut Changes, patient: PatientId, before: &[Tag], after: &[Tag]) {
    for token in before {
        rows::delete(changes, rows::patient_token_key(token, patient));
    }
    // Backwards, so that a token that stands first and again later stays the unique one.
    for (place, token) in after.iter().enumerate().rev() {
        if *token != NO_TOKEN {
            let row = PatientTokenRow { unique: place == 0 };
            rows::put(changes, rows::patient_token_key(token, patient), &row);
        }
    }
}

/// A new patient. The same registration again (unit and tokens as they were in version 1) changes nothing, even if the
/// demographics were amended since: an import may be repeated.
pub(crate) fn register(
    case: &Case<'_>,
    id: PatientId,
    unit: UnitId,
    key: &WrappedKey,
    tokens: &[Tag],
    content: &Sealed,
) -> Ruling {
    if let Some(row) = rows::patient(case.view, id)? {
        let first = rows::patient_version(case.view, id, 1)?;
        let same = row.unit == unit && first.is_some_and(|first| first.tokens == tokens);
        let exists = Rejection::Exists { what: What::Patient };
        return if same { Ok(Done::unchanged(row.version)) } else { Err(exists.into()) };
    }
    if rows::unit(case.view, unit)?.is_none() {
        return Err(Rejection::Unknown { what: What::Unit }.into());
    }
    keys::check_wrapped(case.view, key)?;
    check_unique(case.view, id, tokens)?;
    let mut changes = Changes::new();
    let row = PatientRow { unit, version: 1, registered_at: case.at };
    rows::put(&mut changes, rows::patient_key(id), &row);
    let version =
        PatientVersionRow { at: case.at, by: case.actor.id, tokens: tokens.to_vec(), content: content.clone() };
    rows::put(&mut changes, rows::patient_version_key(id, 1), &version);
    rows::put(&mut changes, rows::data_key_key(KeyOwner::Patient(id)), key);
    write_tokens(&mut changes, id, &[], tokens);
    Ok(Done::changed(1, changes))
}

/// New demographics.
pub(crate) fn amend(case: &Case<'_>, id: PatientId, seen_version: u32, tokens: &[Tag], content: &Sealed) -> Ruling {
    let row = rows::patient(case.view, id)?.ok_or(Rejection::Unknown { what: What::Patient })?;
    if row.version != seen_version {
        return Err(Rejection::StaleVersion { current: row.version }.into());
    }
    check_unique(case.view, id, tokens)?;
    let before = rows::patient_version(case.view, id, row.version)?;
    let next = row.version.saturating_add(1);
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::patient_key(id), &PatientRow { version: next, ..row });
    let version =
        PatientVersionRow { at: case.at, by: case.actor.id, tokens: tokens.to_vec(), content: content.clone() };
    rows::put(&mut changes, rows::patient_version_key(id, next), &version);
    write_tokens(&mut changes, id, before.as_ref().map_or(&[], |row| &row.tokens), tokens);
    Ok(Done::changed(next, changes))
}
