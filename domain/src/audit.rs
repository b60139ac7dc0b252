//! The audit trail: one entry per applied command and per reported read, hash-chained.

use crate::command::Actor;
use crate::id::*;
use crate::time::ClusterTime;
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
