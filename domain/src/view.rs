//! How rules read rows, and how they describe writes: ordered bytes, so that any engine can hold them.

use std::collections::BTreeMap;
use std::ops::Bound;

/// The rows could not be read: not a rule's affair, and never an answer to the caller.
#[derive(Debug, thiserror::Error)]
pub enum ViewFault {
    /// The engine failed.
    #[error("the state cannot be read")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row does not decode: the state cannot be trusted.
    #[error("a row of kind {prefix:#04x} does not decode")]
    Row {
        /// First byte of its key.
        prefix: u8,
    },
}

/// One row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// The rows at one log index.
pub trait View {
    /// The value of one row.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewFault>;

    /// At most `limit` rows with `from <= key < to`, in order, or from the end backwards.
    fn range(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Vec<Row>, ViewFault>;
}

impl<V: View + ?Sized> View for &V {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewFault> {
        (**self).get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Vec<Row>, ViewFault> {
        (**self).range(from, to, order, limit)
    }
}

impl<V: View + ?Sized> View for std::sync::Arc<V> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewFault> {
        (**self).get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Vec<Row>, ViewFault> {
        (**self).range(from, to, order, limit)
    }
}

/// Direction of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Smallest key first.
    Ascending,
    /// Largest key first.
    Descending,
}

/// Rows to write: `Some` puts, `None` deletes. Ordered, so that every replica writes the same bytes in the same order.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Rows in memory: for tests and models.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct MemView {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemView {
    /// Writes a batch.
    pub fn write(&mut self, changes: &Changes) {
        for (key, value) in changes {
            match value {
                Some(value) => drop(self.rows.insert(key.clone(), value.clone())),
                None => drop(self.rows.remove(key)),
            }
        }
    }

    /// All rows in order.
    pub fn rows(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.rows
    }
}

impl View for MemView {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewFault> {
        Ok(self.rows.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Vec<Row>, ViewFault> {
        if from >= to {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        let rows = self.rows.range::<[u8], _>(bounds).map(|(k, v)| (k.clone(), v.clone()));
        Ok(match order {
            Order::Ascending => rows.take(limit).collect(),
            Order::Descending => rows.rev().take(limit).collect(),
        })
    }
}

/// Changes on top of a view: what a rule sees of commands that are applied but not yet written.
pub struct Overlay<'a, V: ?Sized> {
    below: &'a V,
    changes: Changes,
}

impl<'a, V: View + ?Sized> Overlay<'a, V> {
    /// No changes yet.
    pub fn new(below: &'a V) -> Self {
        Self { below, changes: Changes::new() }
    }

    /// Adds the changes of one more command.
    pub fn write(&mut self, changes: Changes) {
        self.changes.extend(changes);
    }

    /// Everything written so far.
    pub fn into_changes(self) -> Changes {
        self.changes
    }
}

impl<V: View + ?Sized> View for Overlay<'_, V> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewFault> {
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.below.get(key),
        }
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, limit: usize) -> Result<Vec<Row>, ViewFault> {
        if from >= to {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        let changed: Vec<_> = self.changes.range::<[u8], _>(bounds).collect();
        let hidden = changed.len();
        let below = self.below.range(from, to, order, limit.saturating_add(hidden))?;
        if hidden == 0 {
            return Ok(below);
        }
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = below.into_iter().collect();
        for (key, value) in changed {
            match value {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
        }
        Ok(match order {
            Order::Ascending => rows.into_iter().take(limit).collect(),
            Order::Descending => rows.into_iter().rev().take(limit).collect(),
        })
    }
}
