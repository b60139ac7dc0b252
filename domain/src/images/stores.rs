//! Chunk stores: which directory of a node counts. A directory that was lost or given up never counts again, so that a
//! receipt says something about bytes that are still there.

use crate::case::{Case, Done, Ruling};
use crate::id::{DiskId, NodeId, StoreIncarnation};
use crate::layout;
use crate::outcome::{Field, Rejection, What};
use crate::rows::{self, Amount, StoreRow};
use crate::view::Changes;

/// The directory of the node that asks. A new one takes the place of the one before, whose receipts count no more; what
/// the node should hold stays. The same one again may tell of another disk, to which it was moved.
pub(crate) fn register_store(
    case: &Case<'_>,
    node: NodeId,
    incarnation: StoreIncarnation,
    disk: DiskId,
    medium: &str,
) -> Ruling {
    if node != case.via {
        return Err(Rejection::Invalid { field: Field::Node }.into());
    }
    if rows::node(case.view, node)?.is_none() {
        return Err(Rejection::Unknown { what: What::Node }.into());
    }
    // Its copies would count for a node that nobody asks any more.
    if layout::is_removed(case.view, node)? {
        return Err(Rejection::StoreRefused.into());
    }
    let before = rows::store(case.view, node)?;
    let mut changes = Changes::new();
    let row = match before {
        Some(row) if row.incarnation == incarnation => {
            if row.retired_at.is_some() {
                return Err(Rejection::StoreRefused.into());
            }
            if row.disk == disk && row.medium == medium {
                return Ok(Done::unchanged(0));
            }
            StoreRow { disk, medium: medium.to_owned(), ..row }
        }
        before => {
            // Lost before, or the copy of another node's directory.
            if rows::store_incarnation(case.view, incarnation)?.is_some() {
                return Err(Rejection::StoreRefused.into());
            }
            rows::put(&mut changes, rows::store_incarnation_key(incarnation), &node);
            StoreRow {
                incarnation,
                disk,
                medium: medium.to_owned(),
                registered_at: case.at,
                retired_at: None,
                expected: before.map(|row| row.expected).unwrap_or_default(),
                received: Amount::default(),
            }
        }
    };
    rows::put(&mut changes, rows::store_key(node), &row);
    Ok(Done::changed(0, changes))
}

/// A directory is given up for good.
pub(crate) fn retire_store(case: &Case<'_>, node: NodeId, incarnation: StoreIncarnation) -> Ruling {
    let row = rows::store(case.view, node)?.ok_or(Rejection::Unknown { what: What::Store })?;
    if row.incarnation != incarnation {
        return Err(Rejection::StoreRefused.into());
    }
    if row.retired_at.is_some() {
        return Ok(Done::unchanged(0));
    }
    let mut changes = Changes::new();
    let row = StoreRow { retired_at: Some(case.at), received: Amount::default(), ..row };
    rows::put(&mut changes, rows::store_key(node), &row);
    Ok(Done::changed(0, changes))
}
