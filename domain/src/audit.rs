//! The audit trail: one entry per applied command and per reported read, hash-chained.
//!
//! ```text
//! row of entry n = encode_row(entry n)      entry n+1 . previous = BLAKE3(row of entry n)
//! ```
//! Entries stand under (log index, ordinal), so a watcher goes on exactly where it was; `sequence` proves that none is
//! missing. A repeated request, answered from its stored outcome, leaves no entry.

use crate::case::{Case, Done, Stop};
use crate::command::{Actor, ReadNote};
use crate::id::*;
use crate::outcome::{Field, Rejection, What};
use crate::planted::{Bug, planted};
use crate::rows::{self, AuditPlace, TrailHead};
use crate::time::ClusterTime;
use crate::view::Changes;
use crate::{codec, digest};
use minicbor::{Decode, Encode};

/// Areas of the system, for rights and for filters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Module {
    #[n(0)]
    Directory,
    #[n(1)]
    Patients,
    #[n(2)]
    Agenda,
    #[n(3)]
    Records,
    #[n(4)]
    Consents,
    #[n(5)]
    Audit,
    #[n(6)]
    Cluster,
    #[n(7)]
    Keys,
    #[n(8)]
    Images,
}

/// What was done to an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    #[n(0)]
    Read,
    #[n(1)]
    Create,
    #[n(2)]
    Amend,
    #[n(3)]
    Move,
    #[n(4)]
    ChangeState,
    #[n(5)]
    Revoke,
    #[n(6)]
    Encaixe,
    #[n(7)]
    Join,
    #[n(8)]
    HandKey,
    /// An image becomes visible.
    #[n(9)]
    Commit,
    /// What was not finished is given up.
    #[n(10)]
    Discard,
    /// What nodes say of the copies that they hold.
    #[n(11)]
    NoteCopies,
    /// What nobody went on with ends, and its remains go.
    #[n(12)]
    Expire,
}

/// What an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Object {
    #[n(0)]
    Cluster,
    #[n(1)]
    Node(#[n(0)] NodeId),
    #[n(2)]
    Unit(#[n(0)] UnitId),
    #[n(3)]
    Practitioner(#[n(0)] PractitionerId),
    #[n(4)]
    Room(#[n(0)] RoomId),
    #[n(5)]
    Patient(#[n(0)] PatientId),
    #[n(6)]
    Appointment(#[n(0)] AppointmentId),
    #[n(7)]
    Record(#[n(0)] RecordId),
    #[n(8)]
    Consent(#[n(0)] ConsentId),
    /// All of a kind, as a list read by a search.
    #[n(9)]
    Many,
    #[n(10)]
    Image(#[n(0)] ImageId),
}

/// One line of the trail. Ids, roles and codes only: nothing that names a person, nothing clinical.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct AuditEntry {
    /// 1-based, without gaps, in the order of the log.
    #[n(0)]
    pub sequence: u64,
    /// Log index of the entry that caused it.
    #[n(1)]
    pub index: u64,
    /// When: the cluster's time, or the serving node's for a read.
    #[n(2)]
    pub at: ClusterTime,
    /// Who.
    #[n(3)]
    pub actor: Actor,
    /// Through which node.
    #[n(4)]
    pub via: NodeId,
    /// Area.
    #[n(5)]
    pub module: Module,
    /// Deed.
    #[n(6)]
    pub action: Action,
    /// Upon what.
    #[n(7)]
    pub object: Object,
    /// The object's version after it; 0 where there are none.
    #[n(8)]
    pub version: u32,
    /// Whose data.
    #[n(9)]
    pub patient: Option<PatientId>,
    /// In which unit.
    #[n(10)]
    pub unit: Option<UnitId>,
    /// The request, for writes.
    #[n(11)]
    pub request_id: Option<RequestId>,
    /// 0: done. Else the code of the refusal ([`crate::Rejection::code`]).
    #[n(12)]
    pub refusal: u16,
    /// BLAKE3 of the entry before; zeros for the first.
    #[n(13)]
    #[cbor(with = "minicbor::bytes")]
    pub previous: [u8; 32],
}

impl Object {
    /// The area that it belongs to.
    fn module(self, patient: Option<PatientId>) -> Module {
        match self {
            Self::Cluster | Self::Node(_) => Module::Cluster,
            Self::Unit(_) | Self::Practitioner(_) | Self::Room(_) => Module::Directory,
            Self::Patient(_) => Module::Patients,
            Self::Appointment(_) => Module::Agenda,
            Self::Record(_) => Module::Records,
            Self::Consent(_) => Module::Consents,
            Self::Image(_) => Module::Images,
            // A list of one patient's documents, or a search over patients.
            Self::Many if patient.is_some() => Module::Records,
            Self::Many => Module::Patients,
        }
    }
}

/// The digest by which the next entry names this one.
pub fn entry_digest(entry: &AuditEntry) -> [u8; 32] {
    digest::of_bytes(&codec::encode_row(entry))
}

/// Where a trail does not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// An entry is missing, or there is one too many.
    #[error("entry {expected} of the trail is missing: {found} stands in its place")]
    Sequence {
        /// What should come.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The entry before was changed, or this one.
    #[error("entry {sequence} of the trail does not follow from the one before")]
    Broken {
        /// Which.
        sequence: u64,
    },
}

/// Checks that `entries` follow the entry with `sequence` and `digest` (0 and zeros at the start of the trail)
/// without a
/// gap or a change, and returns sequence and digest of the last one, to go on or to compare with the trail's head.
///
/// # Errors
/// The first entry that does not fit.
pub fn verify_chain<'a>(
    entries: impl IntoIterator<Item = &'a AuditEntry>,
    sequence: u64,
    digest: [u8; 32],
) -> Result<(u64, [u8; 32]), ChainFault> {
    entries.into_iter().try_fold((sequence, digest), |(sequence, digest), entry| {
        let expected = sequence.saturating_add(1);
        if entry.sequence != expected {
            return Err(ChainFault::Sequence { expected, found: entry.sequence });
        }
        if entry.previous != digest {
            return Err(ChainFault::Broken { sequence: expected });
        }
        Ok((expected, entry_digest(entry)))
    })
}

/// The trail while one log entry is applied.
pub(crate) struct Trail {
    head: TrailHead,
    index: u64,
    entries: Vec<AuditEntry>,
}

impl Trail {
    pub(crate) fn new(head: TrailHead, index: u64) -> Self {
        Self { head, index, entries: Vec::new() }
    }

    pub(crate) fn head(&mut self) -> &mut TrailHead {
        &mut self.head
    }

    /// Adds an entry; its place in the chain is filled in here.
    pub(crate) fn add(&mut self, changes: &mut Changes, mut entry: AuditEntry) {
        // Bounded by the reads of one command.
        let ordinal = u16::try_from(self.entries.len()).unwrap_or(u16::MAX);
        let place = AuditPlace { index: self.index, ordinal };
        entry.sequence = self.head.sequence.saturating_add(1);
        entry.index = self.index;
        entry.previous = self.head.digest;
        let is_64th = entry.sequence.is_multiple_of(64);
        if planted(Bug::AuditChainBroken) && is_64th {
            entry.previous = [0; 32];
        }
        let row = codec::encode_row(&entry);
        self.head.sequence = entry.sequence;
        self.head.digest = digest::of_bytes(&row);
        self.head.index = self.index;
        if planted(Bug::AuditRowMissing) && is_64th {
            return;
        }
        changes.insert(rows::audit_key(place), Some(row));
        if let Some(patient) = entry.patient {
            rows::mark(changes, rows::audit_by_patient_key(patient, place));
        }
        self.entries.push(entry);
    }

    /// Writes the head, and gives the entries.
    pub(crate) fn finish(self, changes: &mut Changes) -> Vec<AuditEntry> {
        rows::put(changes, rows::trail_head_key(), &self.head);
        self.entries
    }
}

/// Reads that a node served. What the trail has is skipped; the rest is kept as long as it follows without a gap,
/// so the
/// node goes on from the last sequence that the state knows.
pub(crate) fn note_reads(
    case: &Case<'_>,
    node: NodeId,
    journal: JournalId,
    reads: &[ReadNote],
) -> Result<(Done, Vec<AuditEntry>), Stop> {
    if node != case.via {
        return Err(Rejection::Invalid { field: Field::Node }.into());
    }
    if rows::node(case.view, node)?.is_none() {
        return Err(Rejection::Unknown { what: What::Node }.into());
    }
    let before = rows::journal_last(case.view, node, journal)?;
    let mut last = before;
    let mut entries = Vec::new();
    for read in reads {
        if read.sequence <= last {
            continue;
        }
        if Some(read.sequence) != last.checked_add(1) {
            break;
        }
        last = read.sequence;
        entries.push(AuditEntry {
            sequence: 0,
            index: 0,
            at: read.at,
            actor: read.actor,
            via: node,
            module: read.object.module(read.patient),
            action: Action::Read,
            object: read.object,
            version: read.version.unwrap_or(0),
            patient: read.patient,
            unit: read.actor.unit,
            request_id: None,
            refusal: if read.allowed { 0 } else { Rejection::Denied.code() },
            previous: [0; 32],
        });
    }
    if last == before {
        return Ok((Done::unchanged(0), entries));
    }
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::journal_key(node, journal), &last);
    Ok((Done::changed(0, changes), entries))
}
