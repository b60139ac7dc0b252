//! The bytes of the meta row, the same in snapshots: what the rows are at. Decoding is total.
//!
//! ```text
//! version u8 = 1 | applied u8 (0 none, 1 some) | term u64 | leader u64 | index u64 | chain[32] | rows u64
//! | content[32] | last time i64 | membership length u32 | BLAKE3 of the membership [32]           integers big endian,
//! 142 bytes
//! ```
//! The membership lies in a row of its own, because it changes seldom and the meta row with every batch.

use super::{EntryId, MEMBERSHIP_BYTES_MAX, StateMeta};

/// Length of an encoded meta row.
pub(crate) const META_BYTES: usize = 142;
const VERSION: u8 = 1;

/// The meta row without the membership itself.
pub(crate) fn encode(meta: &StateMeta) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(META_BYTES);
    bytes.push(VERSION);
    let applied = meta.applied.unwrap_or_default();
    bytes.push(u8::from(meta.applied.is_some()));
    for number in [applied.term, applied.node, applied.index] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&meta.chain);
    bytes.extend_from_slice(&meta.rows.to_be_bytes());
    bytes.extend_from_slice(&meta.content);
    bytes.extend_from_slice(&meta.last_time.to_be_bytes());
    let length = u32::try_from(meta.membership.len()).expect("checked against MEMBERSHIP_BYTES_MAX before");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(blake3::hash(&meta.membership).as_bytes());
    bytes
}

/// Reads [`encode`]'s bytes, with the membership that lay beside them. `None` if anything is not as it was written.
pub(crate) fn decode(bytes: &[u8], membership: &[u8]) -> Option<StateMeta> {
    let mut reader = Reader(bytes);
    if reader.take::<1>()? != [VERSION] {
        return None;
    }
    let some = match reader.take::<1>()? {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    let entry = EntryId { term: reader.u64()?, node: reader.u64()?, index: reader.u64()? };
    if !some && entry != EntryId::default() {
        return None;
    }
    let meta = StateMeta {
        applied: some.then_some(entry),
        chain: reader.take()?,
        rows: reader.u64()?,
        content: reader.take()?,
        last_time: i64::from_be_bytes(reader.take()?),
        membership: membership.to_vec(),
    };
    let length = u32::from_be_bytes(reader.take()?) as usize;
    let digest: [u8; 32] = reader.take()?;
    let whole = reader.0.is_empty()
        && length == membership.len()
        && length <= MEMBERSHIP_BYTES_MAX
        && digest == *blake3::hash(membership).as_bytes();
    whole.then_some(meta)
}

/// For [`crate::again`].
pub(crate) fn again(bytes: &[u8], membership: &[u8]) -> Option<Vec<u8>> {
    Some(encode(&decode(bytes, membership)?))
}

/// Takes fixed-size fields from the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take()?))
    }

    pub(crate) fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_every_prefix_is_refused() {
        let meta = StateMeta {
            applied: Some(EntryId { term: 3, node: 2, index: 77 }),
            membership: b"members".to_vec(),
            chain: [1; 32],
            rows: 5,
            content: [2; 32],
            last_time: -4,
        };
        let bytes = encode(&meta);
        assert_eq!(bytes.len(), META_BYTES);
        assert_eq!(decode(&bytes, b"members").unwrap(), meta);
        assert_eq!(decode(&bytes, b"membeRs"), None);
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut], b"members"), None);
        }
        assert_eq!(decode(&[bytes.as_slice(), &[0]].concat(), b"members"), None);
        let empty = StateMeta::default();
        assert_eq!(decode(&encode(&empty), b"").unwrap(), empty);
    }
}
