//! Wrapped keys in the replicated state, and to whom the root key was handed. No key material is ever opened here.

use crate::case::{Case, Done, Ruling, Stop};
use crate::command::WrappedKey;
use crate::id::NodeId;
use crate::outcome::{Field, Rejection, What};
use crate::rows;
use crate::view::{Changes, View};

/// A data key must be wrapped by an epoch that the state knows, or nobody could ever open it.
pub(crate) fn check_wrapped(view: &dyn View, key: &WrappedKey) -> Result<(), Stop> {
    if key.frame.0.is_empty() || rows::epoch_key(view, key.epoch)?.is_none() {
        return Err(Rejection::Invalid { field: Field::Content }.into());
    }
    Ok(())
}

/// Notes that the root key goes to a node. Whoever hands it over does so only if this changed something: the second
/// note finds everything done, and the key is not handed out twice.
pub(crate) fn note_root_handed(case: &Case<'_>, id: NodeId) -> Ruling {
    let mut row = rows::node(case.view, id)?.ok_or(Rejection::Unknown { what: What::Node })?;
    if !row.description.keyed {
        return Err(Rejection::Invalid { field: Field::Node }.into());
    }
    if row.root_handed {
        return Ok(Done::unchanged(0));
    }
    row.root_handed = true;
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::node_key(id), &row);
    Ok(Done::changed(0, changes))
}
