//! How one domain row lies in an engine: sealed, and in parts when it is long. Which rows there are and what they mean
//! is not known here.
//!
//! ```text
//! stored under the row's key:   empty                                        the value is empty
//!                               seal(key, value | 0x00)                      up to PART_BYTES
//!                               seal(key, length u32 BE | BLAKE3 of the value [32] | 0x01)
//! and, for the last kind, under part_key(key, n):  seal(part key, bytes)     PART_BYTES each, the last one shorter
//! ```
//! The digest in the head keeps a part of an older version of the row from being taken for one of this version.

use super::engine::{RawBatch, RawView, guarded};
use super::meta::Reader;
use super::{Error, ROW_BYTES_MAX};
use crate::storage::keyspaces::{DOMAIN_FROM, DOMAIN_TO, part_key};
use crate::storage::row_seal::RowSeal;
use plantao_domain::ViewFault;
use plantao_domain::view::{Order, Row};

/// Plaintext of one part. With any sealing overhead up to 256 bytes a stored value stays within 4 KiB, the size that
/// both engines were measured with.
pub(crate) const PART_BYTES: usize = 3840;

const WHOLE: u8 = 0;
const SPLIT: u8 = 1;

fn damaged(key: &[u8]) -> Error {
    Error::Damaged { prefix: key.first().copied().unwrap_or_default() }
}

/// How many part rows a value of this length has.
fn parts_of(length: usize) -> u16 {
    if length <= PART_BYTES {
        return 0;
    }
    u16::try_from(length.div_ceil(PART_BYTES)).expect("ROW_BYTES_MAX bounds the parts")
}

/// Adds the raw rows that store `value`. `old_length` is the length of the value that it replaces, so that parts which
/// are not overwritten are deleted; with `None` for `value` all are.
pub(crate) fn put(
    batch: &mut RawBatch,
    seal: &dyn RowSeal,
    key: &[u8],
    value: Option<&[u8]>,
    old_length: Option<usize>,
) {
    let parts = value.map_or(0, |value| parts_of(value.len()));
    match value {
        None => batch.push((key.to_vec(), None)),
        Some([]) => batch.push((key.to_vec(), Some(Vec::new()))),
        Some(value) if parts == 0 => {
            let mut plaintext = Vec::with_capacity(value.len() + 1);
            plaintext.extend_from_slice(value);
            plaintext.push(WHOLE);
            batch.push((key.to_vec(), Some(seal.seal(key, &plaintext))));
        }
        Some(value) => {
            let length = u32::try_from(value.len()).expect("checked against ROW_BYTES_MAX before");
            let mut head = Vec::with_capacity(37);
            head.extend_from_slice(&length.to_be_bytes());
            head.extend_from_slice(blake3::hash(value).as_bytes());
            head.push(SPLIT);
            batch.push((key.to_vec(), Some(seal.seal(key, &head))));
            for (number, bytes) in (0_u16..).zip(value.chunks(PART_BYTES)) {
                let part = part_key(key, number);
                let sealed = seal.seal(&part, bytes);
                batch.push((part, Some(sealed)));
            }
        }
    }
    for number in parts..old_length.map_or(0, parts_of) {
        batch.push((part_key(key, number), None));
    }
}

/// Opens the stored bytes of one row, reading its parts when it has some.
pub(crate) fn open(raw: &dyn RawView, seal: &dyn RowSeal, key: &[u8], stored: &[u8]) -> Result<Vec<u8>, Error> {
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    let mut plaintext = seal.open(key, stored).map_err(|_| damaged(key))?;
    match plaintext.pop() {
        Some(WHOLE) => return Ok(plaintext),
        Some(SPLIT) => {}
        _ => return Err(damaged(key)),
    }
    let mut head = Reader(&plaintext);
    let (Some(length), Some(digest), true) = (head.take(), head.take::<32>(), head.0.is_empty()) else {
        return Err(damaged(key));
    };
    let length = u32::from_be_bytes(length) as usize;
    if length > ROW_BYTES_MAX {
        return Err(damaged(key));
    }
    let mut value = Vec::with_capacity(length);
    for number in 0..parts_of(length) {
        let part = part_key(key, number);
        let sealed = guarded("read", || raw.get(&part))?.ok_or_else(|| damaged(key))?;
        value.extend_from_slice(&seal.open(&part, &sealed).map_err(|_| damaged(key))?);
    }
    if value.len() != length || *blake3::hash(&value).as_bytes() != digest { Err(damaged(key)) } else { Ok(value) }
}

/// One domain row.
pub(crate) fn get(raw: &dyn RawView, seal: &dyn RowSeal, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    match guarded("read", || raw.get(key))? {
        None => Ok(None),
        Some(stored) => open(raw, seal, key, &stored).map(Some),
    }
}

/// Domain rows of a range, until `limit` rows or `bytes_max` of keys and values.
pub(crate) fn range(
    raw: &dyn RawView,
    seal: &dyn RowSeal,
    (from, to): (&[u8], &[u8]),
    order: Order,
    limit: usize,
    bytes_max: usize,
) -> Result<Vec<Row>, Error> {
    let (from, to) = (from.max(DOMAIN_FROM), to.min(DOMAIN_TO));
    let mut rows = Vec::new();
    if from >= to || limit == 0 {
        return Ok(rows);
    }
    let mut bytes = 0_usize;
    let mut fault = None;
    guarded("read", || {
        raw.range(from, to, order, &mut |key, stored| match open(raw, seal, key, stored) {
            Ok(value) => {
                bytes = bytes.saturating_add(key.len() + value.len());
                rows.push((key.to_vec(), value));
                rows.len() < limit && bytes < bytes_max
            }
            Err(error) => {
                fault = Some(error);
                false
            }
        })
    })?;
    fault.map_or(Ok(rows), Err)
}

/// What the domain is told of a fault.
pub(crate) fn view_fault(error: Error) -> ViewFault {
    match error {
        Error::Damaged { prefix } => ViewFault::Row { prefix },
        other => ViewFault::Engine(Box::new(other)),
    }
}
