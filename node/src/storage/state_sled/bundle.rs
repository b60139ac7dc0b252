//! Rows that lie beside each other, as one value of sled: what a bundle is, and how changes go into one. sled pays for
//! each of its values with a copy of up to sixteen others and some sixty bytes of memory, however small the value is
//! (decision 0038). Which bundles there are, and in what order they are written, is the engine's.
//!
//! ```text
//! bundle: (key length u16 BE | value length u32 BE | key | value)+        in key order, each key once
//! ```

use super::super::keyspaces::KEY_BYTES_MAX;
use super::super::state::engine::EngineError;
use std::cmp::Ordering;

/// What a bundle may hold, heads included; a longer row has one for itself. Sixteen bundles make a page of sled, which
/// keeps a page beyond 128 KiB in a file of its own.
pub(super) const BUNDLE_BYTES: usize = 2 * 1024;
/// How many rows: short ones come between others, and a bundle is written whole for each.
const BUNDLE_ROWS: usize = 8;
/// A bundle of so many bytes stays as it is when rows are added behind it.
const SETTLED_BYTES: usize = 512;
const HEAD_BYTES: usize = 6;

/// A key that is put (`Some`) or deleted (`None`).
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);
/// A bundle and the key that it lies under.
pub(super) type Keyed = (Vec<u8>, Vec<u8>);
type RowRef<'a> = (&'a [u8], &'a [u8]);

/// The bytes are not what [`merge`] makes: the engine gave back something else than was written.
#[derive(Debug, thiserror::Error)]
#[error("rows that are kept together do not parse")]
struct Malformed;

/// The rows of a bundle, in order. An error is the last item.
pub(super) fn rows(bundle: &[u8]) -> impl Iterator<Item = Result<RowRef<'_>, EngineError>> {
    let mut rest = bundle;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let row = split_row(rest);
        rest = row.map_or(&[], |(_, after)| after);
        Some(row.map(|(row, _)| row).ok_or_else(|| EngineError::fault(Malformed)))
    })
}

fn split_row(bytes: &[u8]) -> Option<(RowRef<'_>, &[u8])> {
    let (key_length, bytes) = bytes.split_first_chunk()?;
    let (value_length, bytes) = bytes.split_first_chunk()?;
    let (key, bytes) = bytes.split_at_checked(usize::from(u16::from_be_bytes(*key_length)))?;
    let (value, bytes) = bytes.split_at_checked(usize::try_from(u32::from_be_bytes(*value_length)).ok()?)?;
    Some(((key, value), bytes))
}

/// The value of one key.
pub(super) fn find<'a>(bundle: &'a [u8], key: &[u8]) -> Result<Option<&'a [u8]>, EngineError> {
    for row in rows(bundle) {
        let (at, value) = row?;
        match at.cmp(key) {
            Ordering::Less => {}
            Ordering::Equal => return Ok(Some(value)),
            Ordering::Greater => break,
        }
    }
    Ok(None)
}

/// The bundles that take the place of one (or of none, for no bytes) after changes, which are in key order: their first
/// keys and their bytes, in key order. None is empty. Most keys come in order: rows that are added at the end fill bundles, and
/// leave one alone that has enough of them. Others leave halves, so that the next one between them finds room.
pub(super) fn merge(bundle: &[u8], changes: &[Change]) -> Result<Vec<Keyed>, EngineError> {
    let held = rows(bundle).collect::<Result<Vec<_>, _>>()?;
    let is_appended = match (held.last(), changes.first()) {
        (Some((last, _)), Some((first, _))) => *last < first.as_slice(),
        _ => true,
    };
    let merged = merged(&held, changes);
    // The rows that lie in the bundle already stay where they are, and the new ones have the next one.
    let settled = if is_appended && bundle.len() >= SETTLED_BYTES { held.len() } else { 0 };
    let size = |(key, value): &RowRef<'_>| HEAD_BYTES + key.len() + value.len();
    let total = merged.iter().map(size).sum::<usize>();
    let bundles_min = total.div_ceil(BUNDLE_BYTES).max(merged.len().div_ceil(BUNDLE_ROWS)).max(1);
    let (bytes_share, rows_share) = match is_appended {
        true => (BUNDLE_BYTES, BUNDLE_ROWS),
        false => (total.div_ceil(bundles_min), merged.len().div_ceil(bundles_min)),
    };
    let mut bundles: Vec<Keyed> = Vec::new();
    let mut rows_inside = 0;
    for (number, row) in merged.iter().enumerate() {
        let has_room = |bytes: &Vec<u8>| {
            number != settled
                && rows_inside < rows_share
                && bytes.len() < bytes_share
                && bytes.len() + size(row) <= BUNDLE_BYTES
        };
        match bundles.last_mut().filter(|(_, bytes)| has_room(bytes)) {
            Some((_, bytes)) => {
                put(bytes, row);
                rows_inside += 1;
            }
            None => {
                let mut bytes = Vec::with_capacity(bytes_share.min(total).max(size(row)));
                put(&mut bytes, row);
                bundles.push((row.0.to_vec(), bytes));
                rows_inside = 1;
            }
        }
    }
    Ok(bundles)
}

fn put(bytes: &mut Vec<u8>, (key, value): &RowRef<'_>) {
    debug_assert!(key.len() <= KEY_BYTES_MAX + 8, "the rails above bound keys");
    let key_length = u16::try_from(key.len()).expect("keys are at most KEY_BYTES_MAX long and a part's number");
    let value_length = u32::try_from(value.len()).expect("a stored value is a sealed part of PART_BYTES at most");
    bytes.extend_from_slice(&key_length.to_be_bytes());
    bytes.extend_from_slice(&value_length.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
}

/// Both in key order; a change stands for the row of its key.
fn merged<'a>(held: &[RowRef<'a>], changes: &'a [Change]) -> Vec<RowRef<'a>> {
    let mut out = Vec::with_capacity(held.len() + changes.len());
    let mut held = held.iter().copied().peekable();
    for (key, value) in changes {
        while let Some(row) = held.next_if(|(at, _)| *at < key.as_slice()) {
            out.push(row);
        }
        held.next_if(|(at, _)| *at == key.as_slice());
        out.extend(value.as_deref().map(|value| (key.as_slice(), value)));
    }
    out.extend(held);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn change(key: u32, value: Option<usize>) -> Change {
        (key.to_be_bytes().to_vec(), value.map(|length| vec![key as u8; length]))
    }

    fn keys(bundles: &[Keyed]) -> Vec<Vec<u32>> {
        let number = |key: &[u8]| u32::from_be_bytes(key.try_into().unwrap());
        bundles.iter().map(|(_, bytes)| rows(bytes).map(|row| number(row.unwrap().0)).collect()).collect()
    }

    #[test]
    fn rows_at_the_end_fill_bundles_and_rows_between_leave_room() {
        let eight: Vec<_> = (0..8).map(|key| change(key * 2, Some(190))).collect();
        let full = merge(&[], &eight).unwrap();
        assert_eq!(keys(&full), [vec![0, 2, 4, 6, 8, 10, 12, 14]]);
        let appended = merge(&full[0].1, &[change(100, Some(190)), change(101, Some(1))]).unwrap();
        assert_eq!(keys(&appended), [vec![0, 2, 4, 6, 8, 10, 12, 14], vec![100, 101]]);
        let between = merge(&full[0].1, &[change(7, Some(190))]).unwrap();
        assert_eq!(keys(&between), [vec![0, 2, 4, 6, 7], vec![8, 10, 12, 14]]);
        assert_eq!(between[1].0, 8_u32.to_be_bytes());
        let long = merge(&full[0].1, &[change(7, Some(1800))]).unwrap();
        assert!(long.iter().all(|(_, bytes)| bytes.len() <= BUNDLE_BYTES), "{:?}", keys(&long));
        // One that has enough is left alone, one that has not is filled.
        let (much, little) =
            (merge(&[], &[change(1, Some(600))]).unwrap(), merge(&[], &[change(1, Some(100))]).unwrap());
        let after = |held: &[Keyed]| keys(&merge(&held[0].1, &[change(2, Some(1))]).unwrap());
        assert_eq!((after(&much), after(&little)), (vec![vec![1], vec![2]], vec![vec![1, 2]]));
    }

    #[test]
    fn a_change_takes_the_place_of_its_row_and_nothing_is_left_of_deleted_ones() {
        let held = merge(&[], &[change(1, Some(3)), change(2, Some(3)), change(3, Some(0))]).unwrap();
        let changed = merge(&held[0].1, &[change(0, None), change(2, Some(5)), change(3, None)]).unwrap();
        let found = |key: u32| find(&changed[0].1, &key.to_be_bytes()).unwrap().map(<[u8]>::len);
        assert_eq!([0, 1, 2, 3].map(found), [None, Some(3), Some(5), None]);
        assert!(merge(&changed[0].1, &[change(1, None), change(2, None)]).unwrap().is_empty());
        assert!(merge(&[], &[change(1, None)]).unwrap().is_empty());
    }

    #[test]
    fn a_row_that_is_longer_than_a_bundle_has_one_for_itself() {
        let rows = [change(1, Some(10)), change(2, Some(2 * BUNDLE_BYTES)), change(3, Some(10))];
        assert_eq!(keys(&merge(&[], &rows).unwrap()), [vec![1], vec![2], vec![3]]);
    }

    #[test]
    fn bytes_that_end_early_are_an_error_and_no_fewer_rows() {
        let held = merge(&[], &[change(1, Some(3)), change(2, Some(3))]).unwrap().remove(0).1;
        for cut in (1..held.len()).filter(|cut| *cut != held.len() / 2) {
            assert!(rows(&held[..cut]).any(|row| row.is_err()), "cut at {cut}");
            assert!(merge(&held[..cut], &[]).is_err());
        }
    }
}
