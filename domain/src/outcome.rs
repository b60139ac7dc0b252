//! What became of a command. A rejection is an answer that every replica agrees on, not an error.

use crate::command::{AppointmentState, Tag};
use crate::id::*;
use minicbor::{Decode, Encode};

/// A thing that an appointment occupies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub enum Resource {
    /// The professional.
    #[n(0)]
    Practitioner(#[n(0)] PractitionerId),
    /// The room.
    #[n(1)]
    Room(#[n(0)] RoomId),
    /// The patient.
    #[n(2)]
    Patient(#[n(0)] PatientId),
}

/// The replicated answer to one envelope, kept until its `not_after`.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Outcome {
    /// Done, or already so (registering the same content again).
    #[n(0)]
    Confirmed {
        /// The object's version now; 0 where there are none.
        #[n(0)]
        version: u32,
        /// `false` when the command found everything as it wanted it.
        #[n(1)]
        changed: bool,
        /// The number of a node that joined.
        #[n(2)]
        node: Option<NodeId>,
    },
    /// Kept, but another booking holds the slot (provisional bookings of a unit that was cut off).
    #[n(1)]
    ConfirmedWithConflict {
        /// What is held.
        #[n(0)]
        resource: Resource,
        /// By whom.
        #[n(1)]
        holder: AppointmentId,
    },
    /// Refused; nothing changed.
    #[n(2)]
    Rejected(#[n(0)] Rejection),
}

/// Why a command was refused. One variant per decision that a caller can take.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, thiserror::Error)]
pub enum Rejection {
    /// The role has no such right in that unit.
    #[n(0)]
    #[error("the caller's role does not allow this")]
    Denied,
    /// Applied after `not_after`.
    #[n(1)]
    #[error("the request came too late to be applied")]
    Expired,
    /// The request id was used for another content.
    #[n(2)]
    #[error("the request id was used before, for another content")]
    RequestIdReused,
    /// `not_after` lies more than ten minutes ahead.
    #[n(3)]
    #[error("the request asks to live longer than ten minutes")]
    LifetimeTooLong,
    /// No such object.
    #[n(4)]
    #[error("{what} is not known")]
    Unknown {
        /// Which kind of object.
        #[n(0)]
        what: What,
    },
    /// The id is taken by another content.
    #[n(5)]
    #[error("{what} exists already, with another content")]
    Exists {
        /// Which kind of object.
        #[n(0)]
        what: What,
    },
    /// The object changed since the caller saw it.
    #[n(6)]
    #[error("the object changed meanwhile: it is at version {current}")]
    StaleVersion {
        /// Its version now.
        #[n(0)]
        current: u32,
    },
    /// The slot is taken.
    #[n(7)]
    #[error("the slot is taken")]
    SlotTaken {
        /// What is occupied.
        #[n(0)]
        resource: Resource,
        /// By which booking.
        #[n(1)]
        holder: AppointmentId,
    },
    /// `end <= start`.
    #[n(8)]
    #[error("the appointment ends before it begins")]
    EmptyInterval,
    /// Longer than [`crate::agenda::LENGTH_MS_MAX`].
    #[n(9)]
    #[error("the appointment is longer than 24 hours")]
    IntervalTooLong,
    /// Outside the years 1900 to 9999.
    #[n(10)]
    #[error("the time lies outside the years 1900 to 9999")]
    TimeOutOfRange,
    /// An encaixe or an amendment without a reason.
    #[n(11)]
    #[error("a reason is needed")]
    ReasonMissing,
    /// Not a step of the life cycle.
    #[n(12)]
    #[error("an appointment that is {from:?} cannot become {to:?}")]
    NotAStep {
        /// As it is.
        #[n(0)]
        from: AppointmentState,
        /// As asked.
        #[n(1)]
        to: AppointmentState,
    },
    /// A revoked consent cannot be changed.
    #[n(13)]
    #[error("the consent was revoked")]
    Revoked,
    /// A value outside its bounds.
    #[n(14)]
    #[error("{field} is outside its bounds")]
    Invalid {
        /// Which.
        #[n(0)]
        field: Field,
    },
    /// The cluster exists already, or does not exist yet.
    #[n(15)]
    #[error("the cluster is not in a state for this")]
    WrongClusterState,
    /// The join token is unknown, spent or too old.
    #[n(16)]
    #[error("the join token is unknown, spent or too old")]
    TokenRefused,
    /// A registered unit, room or professional belongs to another unit.
    #[n(17)]
    #[error("the room belongs to another unit")]
    WrongUnit,
    /// A patient with the same CPF is registered.
    #[n(18)]
    #[error("a patient with this CPF or telephone exists")]
    Duplicate {
        /// Who.
        #[n(0)]
        patient: PatientId,
        /// The token they share.
        #[n(1)]
        token: Tag,
    },
    /// The consent is another patient's, has another purpose, or is not valid now.
    #[n(19)]
    #[error("the consent does not cover clinical images of this patient now")]
    NotCovered,
    /// Abandoned, expired or committed.
    #[n(20)]
    #[error("the upload is not open any more")]
    UploadClosed,
    /// Nothing renewed the intent in time.
    #[n(21)]
    #[error("the upload's lease is over")]
    LeaseOver,
    /// A part of the manifest is missing.
    #[n(22)]
    #[error("part {part} of the manifest is missing")]
    ManifestIncomplete {
        /// Which; the first one.
        #[n(0)]
        part: u32,
    },
    /// A part is not yet durable on two sites.
    #[n(23)]
    #[error("part {part} is durable on {sites} sites: two are needed")]
    TooFewSites {
        /// Which; the first one.
        #[n(0)]
        part: u32,
        /// On how many sites it is.
        #[n(1)]
        sites: u32,
    },
    /// A placement on fewer than two sites.
    #[n(24)]
    #[error("the placement names fewer than two sites")]
    NoSecondSite,
    /// The chunk store is not the registered one.
    #[n(25)]
    #[error("the chunk store is not, or no longer, the registered one of its node")]
    StoreRefused,
    /// A receipt for other chunks than the part's, or from before a deletion.
    #[n(26)]
    #[error("the receipt is for other chunks, or from before a deletion")]
    ReceiptRefused,
    /// Too many uploads are open.
    #[n(27)]
    #[error("too many uploads are open in the network")]
    TooManyUploads,
    /// What is to be forgotten belongs to an image, or may belong to one that is on its way.
    #[n(28)]
    #[error("this is still in use")]
    StillInUse,
    /// The node was drained: it is not to lead.
    #[n(40)]
    #[error("node {node} is drained")]
    Drained {
        /// Which.
        #[n(0)]
        node: NodeId,
    },
    /// A time that is over, or further ahead than such a thing may be.
    #[n(41)]
    #[error("the time is over, or too far ahead")]
    TooFarAhead,
    /// Another switchover waits for its time.
    #[n(42)]
    #[error("a switchover is scheduled already")]
    AlreadyScheduled,
    /// A node without the root key leads last, so it is never preferred.
    #[n(43)]
    #[error("node {node} holds no root key")]
    Keyless {
        /// Which.
        #[n(0)]
        node: NodeId,
    },
    /// A change of members that would leave too few of them to vote.
    #[n(34)]
    #[error("{voters} voters would be left")]
    TooFewVoters {
        /// How many.
        #[n(0)]
        voters: u32,
    },
    /// The node was removed, and never comes back.
    #[n(35)]
    #[error("the node was removed from the network")]
    NodeRemoved,
    /// There is nothing to apply.
    #[n(36)]
    #[error("no change of members is staged")]
    NothingStaged,
    /// Another node is on its way to the same place.
    #[n(37)]
    #[error("another node is taking the place of this one already")]
    ReplacementUnderWay,
    /// The network writes an older format, so that older programs can read it.
    #[n(44)]
    #[error("this needs format level {needs}, and the network is at level {level}")]
    LevelTooLow {
        /// What it needs.
        #[n(0)]
        needs: u32,
        /// What there is.
        #[n(1)]
        level: u32,
    },
    /// A node's program does not read the level that was asked for, or nobody found out what it reads.
    #[n(45)]
    #[error("node {node} was not found to read that format level")]
    MemberTooOld {
        /// Which; the first one.
        #[n(0)]
        node: NodeId,
        /// The newest level that it was found to read; 0: not told.
        #[n(1)]
        newest: u32,
    },
    /// The program of a node that joins does not read what the network writes.
    #[n(46)]
    #[error("the network is at format level {needs}, and the node's program does not read it")]
    ProgramTooOld {
        /// What it has to read.
        #[n(0)]
        needs: u32,
    },
}

/// Kinds of objects, for messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
#[expect(missing_docs, reason = "the names say it")]
pub enum What {
    #[n(0)]
    Unit,
    #[n(1)]
    Practitioner,
    #[n(2)]
    Room,
    #[n(3)]
    Patient,
    #[n(4)]
    Appointment,
    #[n(5)]
    Record,
    #[n(6)]
    Consent,
    #[n(7)]
    Node,
    #[n(8)]
    Image,
    #[n(9)]
    Upload,
    #[n(10)]
    Part,
    #[n(11)]
    Store,
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unit => "the unit",
            Self::Practitioner => "the professional",
            Self::Room => "the room",
            Self::Patient => "the patient",
            Self::Appointment => "the appointment",
            Self::Record => "the record",
            Self::Consent => "the consent",
            Self::Node => "the node",
            Self::Image => "the image",
            Self::Upload => "the upload",
            Self::Part => "the part of the manifest",
            Self::Store => "the chunk store",
        })
    }
}

/// Fields with bounds, for messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Field {
    #[n(0)]
    Slug,
    #[n(1)]
    Kind,
    #[n(2)]
    Tokens,
    #[n(3)]
    Purposes,
    #[n(4)]
    Content,
    #[n(5)]
    Id,
    #[n(6)]
    Node,
    #[n(7)]
    Reads,
    #[n(8)]
    ValidUntil,
    #[n(9)]
    Size,
    #[n(10)]
    Lease,
    #[n(11)]
    Placement,
    #[n(12)]
    Chunks,
    #[n(13)]
    Receipts,
    #[n(14)]
    Visit,
    #[n(15)]
    Medium,
    #[n(40)]
    Reason,
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Slug => "the short name",
            Self::Kind => "the kind",
            Self::Tokens => "the list of search tokens",
            Self::Purposes => "the list of purposes",
            Self::Content => "the content",
            Self::Id => "the id",
            Self::Node => "the node's description",
            Self::Reads => "the list of reads",
            Self::ValidUntil => "the end of validity",
            Self::Size => "the size of the image",
            Self::Lease => "the lease",
            Self::Placement => "the placement",
            Self::Chunks => "the list of chunks",
            Self::Receipts => "the list of receipts",
            Self::Visit => "the visit",
            Self::Medium => "the medium",
            Self::Reason => "the reason",
        })
    }
}

impl Rejection {
    /// The stable number of this refusal, as printed after `PLT-` and explained in `docs/errors.md`.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Denied => 1001,
            Self::Expired => 1101,
            Self::RequestIdReused => 1102,
            Self::LifetimeTooLong => 1103,
            Self::Unknown { .. } => 1201,
            Self::Exists { .. } => 1202,
            Self::StaleVersion { .. } => 1203,
            Self::SlotTaken { .. } => 1204,
            Self::EmptyInterval => 1205,
            Self::IntervalTooLong => 1206,
            Self::TimeOutOfRange => 1207,
            Self::ReasonMissing => 1208,
            Self::NotAStep { .. } => 1209,
            Self::WrongUnit => 1210,
            Self::Duplicate { .. } => 1211,
            Self::Revoked => 1301,
            Self::Invalid { .. } => 1401,
            Self::WrongClusterState => 1501,
            Self::TokenRefused => 1502,
            Self::NotCovered => 1302,
            Self::UploadClosed => 1601,
            Self::LeaseOver => 1602,
            Self::ManifestIncomplete { .. } => 1603,
            Self::TooFewSites { .. } => 1604,
            Self::NoSecondSite => 1605,
            Self::StoreRefused => 1606,
            Self::ReceiptRefused => 1607,
            Self::TooManyUploads => 1608,
            Self::StillInUse => 1609,
            Self::Drained { .. } => 1701,
            Self::TooFarAhead => 1702,
            Self::AlreadyScheduled => 1703,
            Self::Keyless { .. } => 1704,
            Self::TooFewVoters { .. } => 1721,
            Self::NodeRemoved => 1722,
            Self::NothingStaged => 1723,
            Self::ReplacementUnderWay => 1724,
            Self::LevelTooLow { .. } => 1731,
            Self::MemberTooOld { .. } => 1732,
            Self::ProgramTooOld { .. } => 1733,
        }
    }

    /// What the caller can do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Denied => "use an identity whose role has this right, or ask a manager",
            Self::Expired => "look whether it was done, then send it again as a new request",
            Self::RequestIdReused => "make a new request id for each new request",
            Self::LifetimeTooLong => "set the time limit to at most ten minutes from now, and check the clock",
            Self::Unknown { .. } => "check the id, or register it first",
            Self::Exists { .. } => "use a new id, or amend the existing one",
            Self::StaleVersion { .. } => "read it again and repeat the change on the new version",
            Self::SlotTaken { .. } => "choose another time, or book an encaixe with a reason",
            Self::EmptyInterval => "give an end later than the start",
            Self::IntervalTooLong => "book it in parts of at most 24 hours",
            Self::TimeOutOfRange => "check the year",
            Self::ReasonMissing => "say why",
            Self::NotAStep { .. } => "look at the appointment as it is now",
            Self::WrongUnit => "choose a room of the same unit",
            Self::Duplicate { .. } => "use the registered patient",
            Self::Revoked => "ask for a new consent",
            Self::Invalid { .. } => "see the bounds in the documentation of the field",
            Self::WrongClusterState => "look at the state of the cluster with `plantao status`",
            Self::TokenRefused => "make a new token with `plantao token create`",
            Self::NotCovered => "register the patient's consent to clinical images, and name that one",
            Self::UploadClosed => "look whether the image is there; if not, begin a new upload",
            Self::LeaseOver => "renew the upload and commit again, or begin a new one",
            Self::ManifestIncomplete { .. } => "send the missing part, then commit again",
            Self::TooFewSites { .. } => "wait for a node on another site, then commit again",
            Self::NoSecondSite => "bring a node on another site back, then try again",
            Self::StoreRefused => "make a new chunk directory on that node; an old one never comes back",
            Self::ReceiptRefused => "let that node verify its chunks again, and send the new receipt",
            Self::TooManyUploads => "send it again when other uploads have ended",
            Self::StillInUse => "send it again when the patient's open uploads have ended",
            Self::Drained { .. } => "choose another node, or let it lead again with `plantao node undrain`",
            Self::TooFarAhead => "choose a time to come: a pause lasts 24 hours at most, a schedule 30 days",
            Self::AlreadyScheduled => "cancel the other one first with `plantao switchover cancel`",
            Self::Keyless { .. } => "choose a unit's node; the off-site node leads when no other can",
            Self::TooFewVoters { .. } => "promote another node first, or allow fewer voters than three explicitly",
            Self::NodeRemoved => "let the machine join anew, under a fresh number",
            Self::NothingStaged => "stage a change first, then look at it and apply it",
            Self::ReplacementUnderWay => "wait until it has caught up, or remove it before you plan another",
            Self::LevelTooLow { .. } => {
                "end the upgrade once every node runs the new program: `plantao upgrade status`, then `plantao upgrade finalize`"
            }
            Self::MemberTooOld { .. } => {
                "upgrade and start that node, or remove it if it is gone for good; look with `plantao upgrade status`"
            }
            Self::ProgramTooOld { .. } => "install the version that the other nodes run, then join again",
        }
    }
}
