//! Units, professionals and rooms: registered once; the same again changes nothing. Contents are sealed anew each
//! time, so only structure compares.

use crate::case::{Case, Done, Ruling};
use crate::command::{KeyOwner, Sealed, WrappedKey};
use crate::id::{PractitionerId, RoomId, UnitId};
use crate::keys;
use crate::outcome::{Rejection, What};
use crate::rows::{self, PractitionerRow, RoomRow, UnitRow};
use crate::view::Changes;

fn unchanged_if(same: bool, what: What) -> Ruling {
    if same { Ok(Done::unchanged(1)) } else { Err(Rejection::Exists { what }.into()) }
}

/// A clinic. A short name that another unit has is refused as existing.
pub(crate) fn register_unit(case: &Case<'_>, id: UnitId, slug: &str, key: &WrappedKey, content: &Sealed) -> Ruling {
    if let Some(row) = rows::unit(case.view, id)? {
        return unchanged_if(row.slug == slug, What::Unit);
    }
    if rows::unit_by_slug(case.view, slug)?.is_some() {
        return Err(Rejection::Exists { what: What::Unit }.into());
    }
    keys::check_wrapped(case.view, key)?;
    let row = UnitRow {
        slug: slug.to_owned(),
        registered_at: case.at,
        registered_by: case.actor.id,
        content: content.clone(),
    };
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::unit_key(id), &row);
    rows::put(&mut changes, rows::unit_slug_key(slug), &id);
    rows::put(&mut changes, rows::data_key_key(KeyOwner::Unit(id)), key);
    Ok(Done::changed(1, changes))
}

/// A professional.
pub(crate) fn register_practitioner(case: &Case<'_>, id: PractitionerId, unit: UnitId, content: &Sealed) -> Ruling {
    if let Some(row) = rows::practitioner(case.view, id)? {
        return unchanged_if(row.unit == unit, What::Practitioner);
    }
    if rows::unit(case.view, unit)?.is_none() {
        return Err(Rejection::Unknown { what: What::Unit }.into());
    }
    let row = PractitionerRow { unit, registered_at: case.at, registered_by: case.actor.id, content: content.clone() };
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::practitioner_key(id), &row);
    rows::mark(&mut changes, rows::practitioner_by_unit_key(unit, id));
    Ok(Done::changed(1, changes))
}

/// A room.
pub(crate) fn register_room(case: &Case<'_>, id: RoomId, unit: UnitId, content: &Sealed) -> Ruling {
    if let Some(row) = rows::room(case.view, id)? {
        return unchanged_if(row.unit == unit, What::Room);
    }
    if rows::unit(case.view, unit)?.is_none() {
        return Err(Rejection::Unknown { what: What::Unit }.into());
    }
    let row = RoomRow { unit, registered_at: case.at, registered_by: case.actor.id, content: content.clone() };
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::room_key(id), &row);
    rows::mark(&mut changes, rows::room_by_unit_key(unit, id));
    Ok(Done::changed(1, changes))
}
