//! Rows that were written and are not in the tree yet. Small batches touch the same bundles again and again; enough of them
//! together write each bundle once (decision 0042).
//!
//! ```text
//! write ─► pending ── full, or a sync is asked for ─► one batch of bundles
//! get, range ◄── pending over the tree
//! ```
//! After a crash all of it is missing at once, so the tree holds the rows of one earlier batch, whole.

use super::super::state::engine::{EngineError, Visit};
use super::bundle::Change;
use plantao_domain::view::Order;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Puts (`Some`) and deletes (`None`), in key order.
pub(super) struct Pending {
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
    bytes_max: usize,
}

/// What `get` finds here.
pub(super) enum Known<'a> {
    Put(&'a [u8]),
    Deleted,
}

impl Pending {
    /// Of so many bytes of keys and values, but for the last batch.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { rows: BTreeMap::new(), bytes: 0, bytes_max }
    }

    /// Adds a change; it takes the place of an earlier one of its key.
    pub(super) fn note(&mut self, (key, value): Change) {
        let length = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        self.bytes += key.len() + length(&value);
        let key_length = key.len();
        if let Some(before) = self.rows.insert(key, value) {
            self.bytes -= key_length + length(&before);
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// All changes, in key order; none is left.
    pub(super) fn take(&mut self) -> Vec<Change> {
        self.bytes = 0;
        std::mem::take(&mut self.rows).into_iter().collect()
    }

    /// `None`: what lies below tells.
    pub(super) fn get(&self, key: &[u8]) -> Option<Known<'_>> {
        Some(self.rows.get(key)?.as_deref().map_or(Known::Deleted, Known::Put))
    }

    /// Visits `from <= key < to` of what lies `below` with these changes made to it.
    pub(super) fn over(
        &self,
        (from, to): (&[u8], &[u8]),
        order: Order,
        below: impl FnOnce(Visit<'_>) -> Result<(), EngineError>,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        let inside = self.rows.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let mut changes: Box<dyn Iterator<Item = _>> = match order {
            Order::Ascending => Box::new(inside),
            Order::Descending => Box::new(inside.rev()),
        };
        let mut next = changes.next();
        let mut goes_on = true;
        below(&mut |key, value| {
            while let Some((at, change)) = next {
                let before = match order {
                    Order::Ascending => at.as_slice().cmp(key),
                    Order::Descending => key.cmp(at.as_slice()),
                };
                if before == Ordering::Greater {
                    break;
                }
                next = changes.next();
                goes_on = change.as_ref().is_none_or(|value| visit(at, value));
                if !goes_on || before == Ordering::Equal {
                    return goes_on;
                }
            }
            goes_on = visit(key, value);
            goes_on
        })?;
        while let Some((at, change)) = next.filter(|_| goes_on) {
            next = changes.next();
            goes_on = change.as_ref().is_none_or(|value| visit(at, value));
        }
        Ok(())
    }
}
