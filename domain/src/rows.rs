//! Every row: prefix, key layout, value; typed getters and pages over a [`View`]. No rule lives here, and nothing here
//! knows an engine. Prefixes below 0x10 and above 0xEF belong to the storage below.
//!
//! Keys hold big-endian numbers, times that sort ([`ClusterTime::to_key`]) and opaque ids: nothing that names a person.
//! A unit's slug is public (it stands in certificates) and is the one text in a key.
//! ```text
//! 10                                  ClusterRow           40 appointment[16]                    AppointmentRow
//! 11                                  Sealed: recovery     41 of u8 | id[16] | occupancy u8 | length class u8
//! 12 epoch u32                        Sealed: epoch key       | start[8] | appointment[16] | end[8]    mark
//!                                                          42 of u8 | id[16] | length class u8    u64: held bookings
//! 13 owner u8 | id[16]                WrappedKey           50 record[16]                         RecordRow
//! 14 node u64                         NodeRow              51 record[16] | version u32           RecordVersionRow
//! 15 token[32]                        JoinTokenRow         52 patient[16] | authored[8] | record[16]   mark
//! 16 term u64                         LeadershipRow        17                                    HandoverRow
//! 18                                  LeadPolicy
//! 20 unit[16]                         UnitRow              58 consent[16]                        ConsentRow
//! 21 slug                             UnitId               59 consent[16] | version u32          ConsentVersionRow
//! 22 practitioner[16]                 PractitionerRow      5a patient[16] | consent[16]          mark
//! 23 unit[16] | practitioner[16]      mark                 60 request[16]                        StoredOutcome
//! 24 room[16]                         RoomRow              61 not_after[8] | request[16]         mark
//! 25 unit[16] | room[16]              mark                 70 log index u64 | ordinal u16        AuditEntry
//! 30 patient[16]                      PatientRow           71 patient[16] | index u64 | ordinal u16    mark
//! 31 patient[16] | version u32        PatientVersionRow    72                                    TrailHead
//! 32 token[32] | patient[16]          PatientTokenRow      73 node u64 | journal[16]             u64: last sequence
//! 80                                  ImagesHead           88 upload[16] | part u32 | node u64   ReceiptRow
//! 81 node u64                         StoreRow             89 image[16]                          ImageRow
//! 82 incarnation[16]                  NodeId               8a image[16]                          UploadId
//! 83 upload[16]                       UploadRow            8b patient[16] | taken[8] | image[16] mark
//! 84 lease until[8] | upload[16]      mark                 8c unit[16] | committed[8] | image[16]    mark
//! 85 patient[16] | upload[16]         mark                 8d chunk[32] | upload[16] | part u32  ChunkRow
//! 86 upload[16]                       mark                 8e chunk[32]                          TombstoneRow
//! 87 upload[16] | part u32            PartRow              8f node u64 | committed[8] | upload[16] | part u32
//!                                                                                                ExpectedRow
//! 19 node u64                         StandingRow          1a                                    LayoutRow
//! 1b                                  LevelRow
//! ```
//! What has versions has a head row (structure, current version) and one row per version (content, author, reason) that
//! is never written again.

mod agenda;
mod clinical;
mod images;
mod layout;
mod lead;
mod structure;
mod trail;

pub use agenda::*;
pub use clinical::*;
pub use images::*;
pub use layout::*;
pub use lead::*;
pub use structure::*;
pub use trail::*;

use crate::codec;
use crate::id::NodeId;
use crate::view::{Changes, Order, View, ViewFault};
use minicbor::{Decode, Encode};

/// First bytes of keys; see the module's table.
#[expect(missing_docs, reason = "the table above says it")]
pub mod prefix {
    pub const CLUSTER: u8 = 0x10;
    pub const RECOVERY_SLOT: u8 = 0x11;
    pub const EPOCH_KEY: u8 = 0x12;
    pub const DATA_KEY: u8 = 0x13;
    pub const NODE: u8 = 0x14;
    pub const JOIN_TOKEN: u8 = 0x15;
    pub const LEADERSHIP: u8 = 0x16;
    pub const HANDOVER: u8 = 0x17;
    pub const LEAD_POLICY: u8 = 0x18;
    pub const STANDING: u8 = 0x19;
    pub const LAYOUT: u8 = 0x1a;
    pub const LEVEL: u8 = 0x1b;
    pub const UNIT: u8 = 0x20;
    pub const UNIT_SLUG: u8 = 0x21;
    pub const PRACTITIONER: u8 = 0x22;
    pub const PRACTITIONER_BY_UNIT: u8 = 0x23;
    pub const ROOM: u8 = 0x24;
    pub const ROOM_BY_UNIT: u8 = 0x25;
    pub const PATIENT: u8 = 0x30;
    pub const PATIENT_VERSION: u8 = 0x31;
    pub const PATIENT_TOKEN: u8 = 0x32;
    pub const APPOINTMENT: u8 = 0x40;
    pub const AGENDA: u8 = 0x41;
    pub const LONG_BOOKINGS: u8 = 0x42;
    pub const RECORD: u8 = 0x50;
    pub const RECORD_VERSION: u8 = 0x51;
    pub const RECORD_BY_PATIENT: u8 = 0x52;
    pub const CONSENT: u8 = 0x58;
    pub const CONSENT_VERSION: u8 = 0x59;
    pub const CONSENT_BY_PATIENT: u8 = 0x5a;
    pub const OUTCOME: u8 = 0x60;
    pub const OUTCOME_EXPIRY: u8 = 0x61;
    pub const AUDIT: u8 = 0x70;
    pub const AUDIT_BY_PATIENT: u8 = 0x71;
    pub const TRAIL_HEAD: u8 = 0x72;
    pub const JOURNAL: u8 = 0x73;
    pub const IMAGES_HEAD: u8 = 0x80;
    pub const STORE: u8 = 0x81;
    pub const STORE_INCARNATION: u8 = 0x82;
    pub const UPLOAD: u8 = 0x83;
    pub const UPLOAD_LEASE: u8 = 0x84;
    pub const UPLOAD_BY_PATIENT: u8 = 0x85;
    pub const UPLOAD_CLOSED: u8 = 0x86;
    pub const PART: u8 = 0x87;
    pub const RECEIPT: u8 = 0x88;
    pub const IMAGE: u8 = 0x89;
    pub const IMAGE_CLAIM: u8 = 0x8a;
    pub const IMAGE_BY_PATIENT: u8 = 0x8b;
    pub const IMAGE_BY_UNIT: u8 = 0x8c;
    pub const CHUNK: u8 = 0x8d;
    pub const TOMBSTONE: u8 = 0x8e;
    pub const EXPECTED: u8 = 0x8f;
}

/// Whether a row of this key is only ever put where there is none, in one command as in a group of them, so that a store
/// need not look what was there. It may be deleted.
pub fn is_put_once(key: &[u8]) -> bool {
    matches!(
        prefix_of(key),
        prefix::PATIENT_VERSION
            | prefix::RECORD_VERSION
            | prefix::RECORD_BY_PATIENT
            | prefix::CONSENT_VERSION
            | prefix::CONSENT_BY_PATIENT
            | prefix::OUTCOME_EXPIRY
            | prefix::AUDIT
            | prefix::AUDIT_BY_PATIENT
    )
}

/// A page holds at most this many rows, whatever was asked for.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// Keys with `from <= key < to`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRange {
    /// First key inside.
    pub from: Vec<u8>,
    /// First key after.
    pub to: Vec<u8>,
}

impl KeyRange {
    /// All keys that begin with `start`.
    pub fn with_start(start: Vec<u8>) -> Self {
        let to = after_all_with(&start);
        Self { from: start, to }
    }

    /// The part after `key`, which need not exist.
    pub fn after(mut self, key: &[u8]) -> Self {
        let next = successor(key);
        if next > self.from {
            self.from = next;
        }
        self
    }

    /// What comes beyond `place`, which need not exist, when rows are read in `order`.
    fn beyond(self, place: Vec<u8>, order: Order) -> Self {
        match order {
            Order::Ascending => self.after(&place),
            Order::Descending => self.before(place),
        }
    }

    /// The part after all keys that begin with `start`.
    fn after_all_with(mut self, start: &[u8]) -> Self {
        self.from = self.from.max(after_all_with(start));
        self
    }

    /// The part before `key`, which need not exist.
    pub fn before(mut self, key: Vec<u8>) -> Self {
        if key < self.to {
            self.to = key;
        }
        self
    }
}

/// The smallest key after `key`.
pub fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// The smallest key that is larger than every key beginning with `start`; prefixes end at 0xEF, so there always is one.
fn after_all_with(start: &[u8]) -> Vec<u8> {
    let mut end = start.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end
}

fn key(prefix: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    bytes.push(prefix);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

fn prefix_of(key: &[u8]) -> u8 {
    key.first().copied().unwrap_or_default()
}

/// Reads one row; `None` if there is none.
fn read<T: for<'b> Decode<'b, ()>>(view: &dyn View, key: &[u8]) -> Result<Option<T>, ViewFault> {
    view.get(key)?.map(|value| decode(key, &value)).transpose()
}

fn decode<T: for<'b> Decode<'b, ()>>(key: &[u8], value: &[u8]) -> Result<T, ViewFault> {
    codec::decode_row(value).map_err(|_| ViewFault::Row { prefix: prefix_of(key) })
}

/// A row whose key ends with a node's number.
fn by_node<T: for<'b> Decode<'b, ()>>(key: &[u8], value: &[u8]) -> Result<(NodeId, T), ViewFault> {
    let id = key.last_chunk::<8>().ok_or(ViewFault::Row { prefix: prefix_of(key) })?;
    Ok((NodeId(u64::from_be_bytes(*id)), decode(key, value)?))
}

/// The 16 bytes of an id at the end of a key.
fn last_id(key: &[u8]) -> Result<[u8; 16], ViewFault> {
    key.last_chunk::<16>().copied().ok_or(ViewFault::Row { prefix: prefix_of(key) })
}

/// Puts a row into changes.
pub(crate) fn put<T: Encode<()>>(changes: &mut Changes, key: Vec<u8>, value: &T) {
    changes.insert(key, Some(codec::encode_row(value)));
}

/// Puts a row whose key says everything: its value is empty, so a store has nothing to seal or to open.
pub(crate) fn mark(changes: &mut Changes, key: Vec<u8>) {
    changes.insert(key, Some(Vec::new()));
}

/// Deletes a row.
pub(crate) fn delete(changes: &mut Changes, key: Vec<u8>) {
    changes.insert(key, None);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_exactly_the_keys_that_begin_alike() {
        let range = KeyRange::with_start(vec![0x20, 0xff, 0xff]);
        assert_eq!(range.to, vec![0x21]);
        let range = KeyRange::with_start(vec![0x20, 7]);
        assert!(range.from <= vec![0x20, 7] && vec![0x20, 7, 0xff, 0xff] < range.to && vec![0x20, 8] >= range.to);
        assert_eq!(range.clone().after(&[0x20, 7, 1]).from, vec![0x20, 7, 1, 0]);
        assert_eq!(range.clone().after(&[0x10]).from, vec![0x20, 7]);
        assert_eq!(range.before(vec![0x20, 7, 9]).to, vec![0x20, 7, 9]);
    }
}
