//! Each format that only this crate reads, as one function of bytes: what is understood of them is written again, and what
//! is refused gives `None`. The fuzz targets hold these to what the formats promise (decision 0031); no other code calls
//! them, and nothing here decides anything.

use crate::chunks::{checks, layout};
use crate::consensus;
use crate::crypto::JournalSeal;
use crate::storage::state::{EntryId, meta};
use crate::storage::{checkpoint, identity as identities, recovery, snapshot, wal, watermark as watermarks};
use crate::{api, journal};
use plantao_domain::command::ReadNote;
use plantao_domain::view::Row;

pub use crate::storage::snapshot::SnapshotId;

/// The file `identity`.
pub fn identity(bytes: &[u8]) -> Option<Vec<u8>> {
    identities::again(bytes)
}

/// The file `recovery` or `superseded`.
pub fn mark(bytes: &[u8]) -> Option<Vec<u8>> {
    recovery::again(bytes)
}

/// The file `watermark`: its two slots.
pub fn watermark(file: &[u8]) -> [Option<Vec<u8>>; 2] {
    watermarks::again(file)
}

/// One slot of the file `CHECKPOINT`.
pub fn checkpoint(slot: &[u8]) -> Option<Vec<u8>> {
    checkpoint::again(slot)
}

/// The meta row, beside its membership.
pub fn meta_row(bytes: &[u8], membership: &[u8]) -> Option<Vec<u8>> {
    meta::again(bytes, membership)
}

/// What begins `bytes` in the log, read as an entry's id, as a vote and as a sealed payload.
pub fn log_values(bytes: &[u8]) -> [Option<Vec<u8>>; 3] {
    wal::again(bytes)
}

/// A sealed payload as the log has it.
pub fn log_payload(sealed: &[u8]) -> Vec<u8> {
    wal::payload(sealed)
}

/// Parts of a snapshot up to the first that is refused, and whether the end was among them.
pub fn snapshot_parts(id: &SnapshotId, parts: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
    snapshot::again(id, parts)
}

/// A snapshot of these rows.
pub fn snapshot_of(rows: &[Row], applied: EntryId) -> (SnapshotId, Vec<Vec<u8>>) {
    snapshot::parts_of(rows, applied)
}

/// The notes at the beginning of a segment of the journal of reads, and how many bytes they are.
pub fn journal_segment(bytes: &[u8], first: u64, seal: JournalSeal) -> (Vec<ReadNote>, usize) {
    journal::segment::again(bytes, first, seal)
}

/// A note as a segment has it.
pub fn journal_entry(note: &ReadNote, seal: &JournalSeal) -> Vec<u8> {
    journal::segment::framed(note, seal)
}

/// The file `incarnation` of a chunk directory.
pub fn chunk_incarnation(bytes: &[u8]) -> Option<Vec<u8>> {
    layout::again(bytes)
}

/// The file of a partition's checks.
pub fn chunk_checks(partition: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    checks::again(partition, bytes)
}

/// A peer's call to append and its call for a vote.
pub fn peer_calls(bytes: &[u8]) -> [Option<Vec<u8>>; 2] {
    consensus::convert::again(bytes)
}

/// What a person typed in a public request of this kind, 0 to 11, and the documents that came with it.
pub fn typed(kind: u8, bytes: &[u8]) -> Option<(Vec<String>, Vec<Vec<u8>>)> {
    api::convert::typed(kind, bytes)
}

/// A CPF, a telephone number and a day as they are kept.
pub fn normal(text: &str) -> [Option<String>; 3] {
    api::convert::normal(text)
}

/// The token of a page: nothing, or a place.
pub fn page_token(bytes: &[u8]) -> Option<Option<bytes::Bytes>> {
    api::convert::token(bytes)
}
