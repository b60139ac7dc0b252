//! What commands are made of: sealed frames, keyed digests, who asks, slots, keys, purposes, notes of reads. Values without
//! rules; their CBOR indexes are part of the replicated format like those of the commands.

use crate::id::*;
use crate::time::{ClusterTime, Interval};
use minicbor::{Decode, Encode};
use std::fmt;

/// A sealed frame (`docs/formats.md`, "PLT1"). Opaque here; bounded by the log entry that carries it.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Sealed(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub Vec<u8>,
);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// A keyed digest in clear: a search token, a content tag, the digest of a join token.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Tag(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub [u8; 32],
);

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(..)")
    }
}

/// What a caller may do follows from its role; the role comes from its certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Books, moves, registers patients; reads no record.
    #[n(0)]
    Reception,
    /// Reads and writes records.
    #[n(1)]
    Clinician,
    /// Reads the agenda.
    #[n(2)]
    Finance,
    /// Runs a unit: agenda, directory, encaixe.
    #[n(3)]
    Manager,
    /// Runs the cluster; sees no clinical content.
    #[n(4)]
    Operator,
    /// Reads the audit trail.
    #[n(5)]
    Auditor,
    /// Data protection officer: audit, consents.
    #[n(6)]
    Dpo,
    /// A program that acts for a unit's clinic software.
    #[n(7)]
    Integration,
    /// A node of the cluster, for what it proposes by itself.
    #[n(8)]
    Node,
}

/// Who asks. `unit` is `None` for an identity of the whole network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Actor {
    /// Digest of the certificate identity.
    #[n(0)]
    pub id: ActorId,
    /// From the certificate.
    #[n(1)]
    pub role: Role,
    /// From the certificate.
    #[n(2)]
    pub unit: Option<UnitId>,
}

/// How a booking may share its time with others.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Overlap {
    /// Refused if the professional, the room or the patient is occupied.
    #[n(0)]
    Refuse,
    /// *Encaixe*: deliberate overlap of professional or room, never of the patient. Needs the right and a reason.
    #[n(1)]
    Encaixe {
        /// Why, sealed under the unit's key. Must not be empty.
        #[n(0)]
        reason: Sealed,
    },
}

/// Where and when an appointment takes place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Slot {
    /// Where it is administered.
    #[n(0)]
    pub unit: UnitId,
    /// Who attends.
    #[n(1)]
    pub practitioner: PractitionerId,
    /// In which room.
    #[n(2)]
    pub room: RoomId,
    /// When.
    #[n(3)]
    pub interval: Interval,
}

/// The life cycle of an appointment. The first three occupy their slot; cancelled and no-show free it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum AppointmentState {
    /// Agreed on.
    #[n(0)]
    Booked,
    /// The patient is there.
    #[n(1)]
    Arrived,
    /// It took place.
    #[n(2)]
    Closed,
    /// Called off, by either side.
    #[n(3)]
    Cancelled,
    /// The patient did not come.
    #[n(4)]
    NoShow,
}

/// What a data key belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
pub enum KeyOwner {
    /// One patient.
    #[n(0)]
    Patient(#[n(0)] PatientId),
    /// One unit, for what belongs to no patient.
    #[n(1)]
    Unit(#[n(0)] UnitId),
    /// The cluster's search key (tokens of CPF and telephone).
    #[n(2)]
    Search,
    /// The cluster's tag key (content tags of requests).
    #[n(3)]
    ContentTag,
}

/// A data key wrapped by the epoch's key-encryption key.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct WrappedKey {
    /// The key inside.
    #[n(0)]
    pub key_id: KeyId,
    /// The epoch whose key wraps it.
    #[n(1)]
    pub epoch: u32,
    /// The frame.
    #[n(2)]
    pub frame: Sealed,
}

/// What a consent covers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Purpose {
    /// Treatment itself.
    #[n(0)]
    Treatment,
    /// Clinical photographs and other images.
    #[n(1)]
    ClinicalImages,
    /// Sharing within the network's units.
    #[n(2)]
    Sharing,
    /// Research or teaching, pseudonymous.
    #[n(3)]
    Research,
    /// Messages that are not about an appointment.
    #[n(4)]
    Marketing,
}

/// A read of content, reported by the node that served it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ReadNote {
    /// 1-based place in the journal, without gaps.
    #[n(0)]
    pub sequence: u64,
    /// Who read.
    #[n(1)]
    pub actor: Actor,
    /// When, by the serving node's clock.
    #[n(2)]
    pub at: ClusterTime,
    /// What was read.
    #[n(3)]
    pub object: crate::audit::Object,
    /// Whose content it was.
    #[n(4)]
    pub patient: Option<PatientId>,
    /// `false`: the read was refused.
    #[n(5)]
    pub allowed: bool,
    /// Which version was shown; `None` where nothing was, and in notes of before it was kept.
    #[n(6)]
    pub version: Option<u32>,
}
