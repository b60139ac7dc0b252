//! Rows as they were, while applies go on: what a frozen view needs besides the rows as they are. No engine has to keep
//! versions for it (decision 0040).
//!
//! ```text
//! freeze   the last key of each range of keys: what comes behind it later is not seen
//! apply    what a changed row was, the first time, unless the view has passed it or never sees it
//! step     the next rows as they are, what they were laid over them; what is passed is forgotten
//! ```
//! Most rows come behind all others of their kind, so nearly nothing is kept.

use super::engine::RawView;
use super::{Error, rows};
use crate::storage::keyspaces::{DOMAIN_FROM, DOMAIN_TO, RANGES};
use crate::storage::row_seal::RowSeal;
use plantao_domain::view::{Order, Row};
use std::collections::BTreeMap;

/// What one view may keep, keys included.
pub(super) const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Read in one step: an apply waits so long.
const STEP_ROWS: usize = 128;
const STEP_BYTES: usize = 128 * 1024;

/// What a view has yet to pass, and what changed of it.
pub(super) struct Past {
    /// For each of `RANGES`, its last key when the view was frozen.
    ends: Vec<Option<Vec<u8>>>,
    /// The last key that was read, or that would have been.
    passed: Vec<u8>,
    /// What rows behind `passed` were; `None`: there was none.
    kept: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    kept_bytes: usize,
    kept_bytes_max: usize,
    overflowed: bool,
}

fn bytes(key: &[u8], value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len)
}

/// The smallest key behind this one.
fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// Where each range of keys begins and ends, as far as domain rows go.
fn bounds() -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let ends = RANGES.iter().skip(1).map(|from| vec![*from]).chain([DOMAIN_TO.to_vec()]);
    RANGES.iter().map(|from| vec![*from].max(DOMAIN_FROM.to_vec())).zip(ends)
}

impl Past {
    /// From the rows as they are now.
    pub(super) fn begin(raw: &dyn RawView, seal: &dyn RowSeal, kept_bytes_max: usize) -> Result<Self, Error> {
        let last = |(from, to): (Vec<u8>, Vec<u8>)| {
            let row = rows::range(raw, seal, (&from, &to), Order::Descending, 1, usize::MAX)?;
            Ok(row.into_iter().next().map(|(key, _)| key))
        };
        let ends = bounds().map(last).collect::<Result<_, Error>>()?;
        Ok(Self { ends, passed: Vec::new(), kept: BTreeMap::new(), kept_bytes: 0, kept_bytes_max, overflowed: false })
    }

    /// A row changes, and this is what it was. Called before the engine has it.
    pub(super) fn keep(&mut self, key: &[u8], old: Option<&[u8]>) {
        let range = RANGES.partition_point(|from| [*from].as_slice() <= key).saturating_sub(1);
        let is_seen = self.ends.get(range).and_then(Option::as_ref).is_some_and(|end| key <= end.as_slice());
        if self.overflowed || !is_seen || key <= self.passed.as_slice() || self.kept.contains_key(key) {
            return;
        }
        self.kept_bytes += bytes(key, old);
        if self.kept_bytes > self.kept_bytes_max {
            // The reader is told; an apply is never refused for a reader's sake.
            (self.overflowed, self.kept_bytes) = (true, 0);
            self.kept.clear();
        } else {
            self.kept.insert(key.to_vec(), old.map(<[u8]>::to_vec));
        }
    }

    /// The next rows, as they were; none at the end. No apply may write meanwhile.
    pub(super) fn step(&mut self, raw: &dyn RawView, seal: &dyn RowSeal) -> Result<Vec<Row>, Error> {
        for (range, (from, _)) in bounds().enumerate() {
            while let Some(end) = self.ends[range].clone().filter(|end| *end > self.passed) {
                if self.overflowed {
                    return Err(Error::FreezeOverflow);
                }
                let from = from.clone().max(behind(&self.passed));
                let read = rows::range(raw, seal, (&from, &behind(&end)), Order::Ascending, STEP_ROWS, STEP_BYTES)?;
                let read_bytes: usize = read.iter().map(|(key, value)| bytes(key, Some(value))).sum();
                let is_cut = read.len() == STEP_ROWS || read_bytes >= STEP_BYTES;
                let last = read.last().map(|(key, _)| key.clone()).filter(|_| is_cut).unwrap_or(end);
                let rows = self.lay_over(read, last);
                if !rows.is_empty() {
                    return Ok(rows);
                }
            }
        }
        Ok(Vec::new())
    }

    /// Rows up to `last`, all of which are read with this.
    fn lay_over(&mut self, read: Vec<Row>, last: Vec<u8>) -> Vec<Row> {
        let yet_to_come = self.kept.split_off(&behind(&last));
        let kept = std::mem::replace(&mut self.kept, yet_to_come);
        self.passed = last;
        if kept.is_empty() {
            return read;
        }
        let mut rows: BTreeMap<_, _> = read.into_iter().collect();
        for (key, old) in kept {
            self.kept_bytes = self.kept_bytes.saturating_sub(bytes(&key, old.as_deref()));
            match old {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
        rows.into_iter().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "past_tests.rs"]
mod tests;
