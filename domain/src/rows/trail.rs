//! Rows of the audit trail, of stored answers, and of the nodes' journals.

use super::{KeyRange, PAGE_ROWS_MAX, decode, key, last_id, prefix, prefix_of, read};
use crate::audit::{AuditEntry, Module};
use crate::command::Tag;
use crate::id::*;
use crate::outcome::Outcome;
use crate::time::ClusterTime;
use crate::view::{Order, View, ViewFault};
use minicbor::{Decode, Encode};

/// An answer, kept for those who ask again.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct StoredOutcome {
    /// Which content the request had.
    #[n(0)]
    pub content_tag: Tag,
    /// Until when it is kept at least.
    #[n(1)]
    pub not_after: ClusterTime,
    /// The answer.
    #[n(2)]
    pub outcome: Outcome,
}

/// The end of the trail, and what else changes with every entry, so that it costs one row.
#[derive(Clone, Default, PartialEq, Eq, Debug, Encode, Decode)]
pub struct TrailHead {
    /// Sequence of the last entry; 0 if there is none.
    #[n(0)]
    pub sequence: u64,
    /// BLAKE3 of the last entry's row; zeros if there is none.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub digest: [u8; 32],
    /// Log index of the last entry.
    #[n(2)]
    pub index: u64,
    /// The latest time that an entry was applied at; time never goes back behind it.
    #[n(3)]
    pub last_time: Option<ClusterTime>,
    /// All stored answers up to this place of the expiry rows are deleted.
    #[n(4)]
    pub purged_time: Option<ClusterTime>,
    /// The second half of that place.
    #[n(5)]
    pub purged_request: Option<RequestId>,
}

/// Key of a stored answer.
pub fn outcome_key(request: RequestId) -> Vec<u8> {
    key(prefix::OUTCOME, &[request.as_bytes()])
}

/// The answer that a request got, while it is kept.
pub fn outcome(view: &dyn View, request: RequestId) -> Result<Option<StoredOutcome>, ViewFault> {
    read(view, &outcome_key(request))
}

/// Key of the mark by which outdated answers are found.
pub fn outcome_expiry_key(not_after: ClusterTime, request: RequestId) -> Vec<u8> {
    key(prefix::OUTCOME_EXPIRY, &[&not_after.to_key(), request.as_bytes()])
}

/// Answers with `not_after < now` beyond a place, in order, at most `limit`.
pub(crate) fn outdated_outcomes(
    view: &dyn View,
    beyond: Option<(ClusterTime, RequestId)>,
    now: ClusterTime,
    limit: usize,
) -> Result<Vec<(ClusterTime, RequestId)>, ViewFault> {
    let mut range = KeyRange::with_start(key(prefix::OUTCOME_EXPIRY, &[]));
    if let Some((time, request)) = beyond {
        range = range.after(&outcome_expiry_key(time, request));
    }
    range = range.before(outcome_expiry_key(now, RequestId::default()));
    let found = view.range(&range.from, &range.to, Order::Ascending, limit)?;
    found
        .iter()
        .map(|(mark, _)| {
            let time = mark.get(1..).and_then(<[u8]>::first_chunk::<8>);
            let time = time.ok_or(ViewFault::Row { prefix: prefix_of(mark) })?;
            Ok((ClusterTime::from_key(*time), RequestId::from_bytes(last_id(mark)?)))
        })
        .collect()
}

/// Key of the trail's head.
pub fn trail_head_key() -> Vec<u8> {
    key(prefix::TRAIL_HEAD, &[])
}

/// The end of the trail; empty if there is none yet.
pub fn trail_head(view: &dyn View) -> Result<TrailHead, ViewFault> {
    Ok(read(view, &trail_head_key())?.unwrap_or_default())
}

/// A place in the trail.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AuditPlace {
    /// Log index of the entry that caused it.
    pub index: u64,
    /// 0-based place among those of one log entry.
    pub ordinal: u16,
}

/// Key of an entry of the trail.
pub fn audit_key(place: AuditPlace) -> Vec<u8> {
    key(prefix::AUDIT, &[&place.index.to_be_bytes(), &place.ordinal.to_be_bytes()])
}

/// Key of the mark of an entry at its patient.
pub fn audit_by_patient_key(patient: PatientId, place: AuditPlace) -> Vec<u8> {
    key(prefix::AUDIT_BY_PATIENT, &[patient.as_bytes(), &place.index.to_be_bytes(), &place.ordinal.to_be_bytes()])
}

fn place_of(key: &[u8]) -> Result<AuditPlace, ViewFault> {
    let fault = || ViewFault::Row { prefix: prefix_of(key) };
    let (rest, ordinal) = key.split_last_chunk::<2>().ok_or_else(fault)?;
    let index = rest.last_chunk::<8>().ok_or_else(fault)?;
    Ok(AuditPlace { index: u64::from_be_bytes(*index), ordinal: u16::from_be_bytes(*ordinal) })
}

/// Where a page of the trail begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuditFrom {
    /// At the first entry of this log index or a later one.
    Index(u64),
    /// After an entry that was read.
    After(AuditPlace),
}

impl AuditFrom {
    fn key(self) -> Vec<u8> {
        match self {
            Self::Index(index) => audit_key(AuditPlace { index, ordinal: 0 }),
            Self::After(place) => super::successor(&audit_key(place)),
        }
    }
}

/// The trail in order, at most `limit` entries (and [`PAGE_ROWS_MAX`]) of log indexes below `index_end`.
pub fn audit(
    view: &dyn View,
    from: AuditFrom,
    index_end: u64,
    limit: usize,
) -> Result<Vec<(AuditPlace, AuditEntry)>, ViewFault> {
    let to = audit_key(AuditPlace { index: index_end, ordinal: 0 });
    let found = view.range(&from.key(), &to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found.iter().map(|(key, value)| Ok((place_of(key)?, decode(key, value)?))).collect()
}

/// The last entries of the trail, newest first, before `before` if given, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn audit_newest(
    view: &dyn View,
    before: Option<AuditPlace>,
    limit: usize,
) -> Result<Vec<(AuditPlace, AuditEntry)>, ViewFault> {
    let mut range = KeyRange::with_start(key(prefix::AUDIT, &[]));
    if let Some(before) = before {
        range = range.before(audit_key(before));
    }
    let found = view.range(&range.from, &range.to, Order::Descending, limit.min(PAGE_ROWS_MAX))?;
    found.iter().map(|(key, value)| Ok((place_of(key)?, decode(key, value)?))).collect()
}

/// Where the first entry with at least this sequence stands; `None` beyond the end. Both grow together, so this bisects
/// the log's indexes: about two reads per doubling of the log.
pub fn audit_place_of(view: &dyn View, sequence: u64) -> Result<Option<AuditPlace>, ViewFault> {
    let head = trail_head(view)?;
    if sequence > head.sequence {
        return Ok(None);
    }
    // The first entry at or after `low` may be too early, that at or after `high` is not.
    let (mut low, mut high) = (0, head.index);
    while low < high {
        let middle = low + (high - low) / 2;
        let to = audit_key(AuditPlace { index: middle, ordinal: u16::MAX });
        let from = audit_key(AuditPlace::default());
        // The last entry up to `middle`: if that one is early, so is all before it.
        let last = view.range(&from, &super::successor(&to), Order::Descending, 1)?;
        let early = match last.first() {
            None => true,
            Some((key, value)) => decode::<AuditEntry>(key, value)?.sequence < sequence,
        };
        if early { low = middle + 1 } else { high = middle }
    }
    // All entries of one index follow each other in sequence.
    let first = audit(view, AuditFrom::Index(low), u64::MAX, 1)?;
    Ok(first.first().map(|(place, entry)| {
        let ordinal = u16::try_from(sequence.saturating_sub(entry.sequence)).unwrap_or(u16::MAX);
        AuditPlace { index: place.index, ordinal }
    }))
}

/// The trail from a sequence on, at most `limit` entries (and [`PAGE_ROWS_MAX`]).
pub fn audit_from_sequence(
    view: &dyn View,
    sequence: u64,
    limit: usize,
) -> Result<Vec<(AuditPlace, AuditEntry)>, ViewFault> {
    let Some(place) = audit_place_of(view, sequence)? else { return Ok(Vec::new()) };
    let to = audit_key(AuditPlace { index: u64::MAX, ordinal: u16::MAX });
    let found = view.range(&audit_key(place), &to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found.iter().map(|(key, value)| Ok((place_of(key)?, decode(key, value)?))).collect()
}

/// Entries about one patient in order, after `after`, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn audit_of_patient(
    view: &dyn View,
    patient: PatientId,
    after: Option<AuditPlace>,
    limit: usize,
) -> Result<Vec<(AuditPlace, AuditEntry)>, ViewFault> {
    let mut range = KeyRange::with_start(key(prefix::AUDIT_BY_PATIENT, &[patient.as_bytes()]));
    if let Some(after) = after {
        range = range.after(&audit_by_patient_key(patient, after));
    }
    let found = view.range(&range.from, &range.to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found
        .iter()
        .map(|(mark, _)| {
            let place = place_of(mark)?;
            let entry = read(view, &audit_key(place))?.ok_or(ViewFault::Row { prefix: prefix_of(mark) })?;
            Ok((place, entry))
        })
        .collect()
}

/// Which entries a scan keeps; `None` keeps all.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct AuditFilter {
    /// Of this area.
    pub module: Option<Module>,
    /// In this unit.
    pub unit: Option<UnitId>,
}

impl AuditFilter {
    /// Whether an entry is kept.
    pub fn keeps(&self, entry: &AuditEntry) -> bool {
        self.module.is_none_or(|module| module == entry.module) && self.unit.is_none_or(|unit| entry.unit == Some(unit))
    }
}

/// What one scan of the trail found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditScan {
    /// Entries that the filter keeps.
    pub entries: Vec<(AuditPlace, AuditEntry)>,
    /// Where to go on; `None` at the end.
    pub next: Option<AuditFrom>,
}

/// Scans at most `rows_max` entries (and [`PAGE_ROWS_MAX`]) of log indexes below `index_end` and keeps some of them.
pub fn audit_scan(
    view: &dyn View,
    from: AuditFrom,
    index_end: u64,
    filter: AuditFilter,
    rows_max: usize,
) -> Result<AuditScan, ViewFault> {
    let rows_max = rows_max.min(PAGE_ROWS_MAX);
    let mut entries = audit(view, from, index_end, rows_max)?;
    let next = entries.last().filter(|_| entries.len() == rows_max).map(|(place, _)| AuditFrom::After(*place));
    entries.retain(|(_, entry)| filter.keeps(entry));
    Ok(AuditScan { entries, next })
}

/// Key of a journal's last sequence.
pub fn journal_key(node: NodeId, journal: JournalId) -> Vec<u8> {
    key(prefix::JOURNAL, &[&node.0.to_be_bytes(), journal.as_bytes()])
}

/// The last read of a node's journal that reached the trail; 0 if none did.
pub fn journal_last(view: &dyn View, node: NodeId, journal: JournalId) -> Result<u64, ViewFault> {
    Ok(read(view, &journal_key(node, journal))?.unwrap_or_default())
}
