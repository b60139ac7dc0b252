//! Rows over bundles: where a row is found, how a range of rows is read, and which bundles a batch changes. What is inside of one
//! is `bundle`'s; where they lie, and how they are read as they were, is the engine's.

use super::super::state::engine::{EngineError, Visit};
use super::bundle::{self, Change, Keyed};
use plantao_domain::view::Order;

/// Behind every key: those of rows begin with a smaller byte (`keyspaces`).
const AFTER_ALL: &[u8] = &[0xFF];

/// Ordered bundles under their keys.
pub(super) trait Bundles {
    /// Visits `from <= key < to` in the order asked for; `from` may be empty, and is at most `to`.
    fn visit(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError>;

    /// The last bundle whose key is not above `key`, with its key.
    fn at(&self, key: &[u8]) -> Result<Option<Keyed>, EngineError> {
        let mut found = None;
        self.visit(&[], &[key, &[0]].concat(), Order::Descending, &mut |at, bundle| {
            found = Some((at.to_vec(), bundle.to_vec()));
            false
        })?;
        Ok(found)
    }

    fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let Some((_, bundle)) = self.at(key)? else { return Ok(None) };
        Ok(bundle::find(&bundle, key)?.map(<[u8]>::to_vec))
    }

    fn rows(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        let first = match order {
            // Rows from `from` on may lie in a bundle that begins before it.
            Order::Ascending => self.at(from)?.map_or_else(|| from.to_vec(), |(at, _)| at),
            Order::Descending => Vec::new(),
        };
        let mut fault = None;
        self.visit(&first, to, order, &mut |at, bundle| {
            let rows = match bundle::rows(bundle).collect::<Result<Vec<_>, _>>() {
                Ok(rows) => rows,
                Err(error) => {
                    fault = Some(error);
                    return false;
                }
            };
            let mut inside = rows.into_iter().filter(|(key, _)| *key >= from && *key < to);
            let goes_on = match order {
                Order::Ascending => inside.all(|(key, value)| visit(key, value)),
                Order::Descending => inside.rev().all(|(key, value)| visit(key, value)),
            };
            goes_on && (order == Order::Ascending || at > from)
        })?;
        fault.map_or(Ok(()), Err)
    }

    /// What changes of rows, in key order, make of the bundles: those that are put or deleted.
    fn changed(&self, mut changes: &[Change]) -> Result<Vec<Change>, EngineError> {
        let mut written = Vec::new();
        while let Some((first, _)) = changes.first() {
            let held = self.at(first)?;
            let mut until = changes.len();
            self.visit(&[first.as_slice(), &[0]].concat(), AFTER_ALL, Order::Ascending, &mut |next, _| {
                until = changes.partition_point(|(key, _)| key.as_slice() < next);
                false
            })?;
            let (inside, after) = changes.split_at(until);
            changes = after;
            let bundles = bundle::merge(held.as_ref().map_or(&[], |(_, bundle)| bundle), inside)?;
            let Some((at, before)) = held else {
                written.extend(bundles.into_iter().map(|(first, bundle)| (first, Some(bundle))));
                continue;
            };
            // The first one keeps the key, whatever row it begins with now: keys of bundles only part rows.
            let mut bundles = bundles.into_iter();
            let first = bundles.next().map(|(_, bundle)| bundle);
            if first.as_ref() != Some(&before) {
                written.push((at, first));
            }
            written.extend(bundles.map(|(first, bundle)| (first, Some(bundle))));
        }
        Ok(written)
    }
}
