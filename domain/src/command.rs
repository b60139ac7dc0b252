//! What the log carries: an envelope around one command.
//!
//! Structure is in clear, because rules need it: ids, times, states, kinds. Everything that names or describes a person
//! is [`Sealed`], and no rule opens it. The CBOR indexes below are a replicated format (`docs/formats.md`): a number is
//! never reused, a new field is optional.

mod terms;

use crate::cluster::NodeDescription;
use crate::id::*;
use crate::images::{ChunkEntry, ChunkEpoch, ManifestPart, NewImage, Receipt};
use crate::layout::MemberChange;
use crate::lead::{LeadCause, LeadChange, Leadership};
use crate::recovery::Recovery;
use crate::time::ClusterTime;
use crate::upgrade::Capability;
use minicbor::{Decode, Encode};

pub use terms::{Actor, AppointmentState, KeyOwner, Overlap, Purpose, ReadNote, Role, Sealed, Slot, Tag, WrappedKey};

/// A command with what makes it safe to send twice and possible to answer for.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Envelope {
    /// Made by the client.
    #[n(0)]
    pub request_id: RequestId,
    /// HMAC of the canonical request under the cluster's tag key: the same id with another tag is refused.
    #[n(1)]
    pub content_tag: Tag,
    /// Who asked.
    #[n(2)]
    pub actor: Actor,
    /// The node that took, authorised and sealed the request.
    #[n(3)]
    pub via: NodeId,
    /// At most [`Envelope::LIFETIME_MS`] after the first send; applied later it is refused as expired.
    #[n(4)]
    pub not_after: ClusterTime,
    /// Stamped by the leader; never earlier than that of the entry before.
    #[n(5)]
    pub proposed_at: ClusterTime,
    /// What to do.
    #[n(6)]
    pub command: Command,
}

impl Envelope {
    /// Ten minutes (DESIGN section 4): how long a request may be retried, and how long outcomes are kept.
    pub const LIFETIME_MS: i64 = 10 * 60 * 1000;
}

/// Everything that changes the replicated state.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Command {
    /// The first command of a cluster; refused ever after.
    #[n(0)]
    CreateCluster {
        /// Its id, also in every certificate context and frame.
        #[n(0)]
        cluster_id: ClusterId,
        /// Its name: lowercase letters, digits and hyphens, 1 to 32.
        #[n(1)]
        name: String,
        /// The root key wrapped by the paper passphrase, replicated to every node.
        #[n(2)]
        recovery_slot: Sealed,
        /// The first epoch's key-encryption key, wrapped by the root key.
        #[n(3)]
        epoch_key: Sealed,
        /// The search key.
        #[n(4)]
        search_key: WrappedKey,
        /// The tag key.
        #[n(5)]
        tag_key: WrappedKey,
        /// The node that runs `init`; it gets id 1.
        #[n(6)]
        first_node: NodeDescription,
    },
    /// Allows one node to join, once.
    #[n(1)]
    CreateJoinToken {
        /// BLAKE3 of the token.
        #[n(0)]
        token: Tag,
        /// Last instant of use.
        #[n(1)]
        not_after: ClusterTime,
        /// Whether the node is to hold the root key (a unit) or not (off-site).
        #[n(2)]
        keyed: bool,
        /// Whether it becomes a voter once it has caught up.
        #[n(3)]
        voter: bool,
    },
    /// Spends a token: the node gets the next id.
    #[n(2)]
    RedeemJoinToken {
        /// BLAKE3 of the token.
        #[n(0)]
        token: Tag,
        /// The node that joins.
        #[n(1)]
        node: NodeDescription,
        /// The newest level that its program reads; told from level 2 on ([`crate::upgrade`]).
        #[n(2)]
        level: Option<u32>,
    },
    /// The root key was handed to this node: it never is again.
    #[n(3)]
    NoteRootHanded {
        /// Who got it.
        #[n(0)]
        node: NodeId,
    },
    /// A clinic. Registering the same content again changes nothing.
    #[n(4)]
    RegisterUnit {
        /// Its id.
        #[n(0)]
        unit: UnitId,
        /// Lowercase letters, digits and hyphens, 1 to 32; unique. Not personal: it appears in certificates.
        #[n(1)]
        slug: String,
        /// The unit's data key.
        #[n(2)]
        key: WrappedKey,
        /// Name, address and what else describes it.
        #[n(3)]
        content: Sealed,
    },
    /// A professional.
    #[n(5)]
    RegisterPractitioner {
        /// Their id.
        #[n(0)]
        practitioner: PractitionerId,
        /// Where they mainly work.
        #[n(1)]
        unit: UnitId,
        /// Name, council number.
        #[n(2)]
        content: Sealed,
    },
    /// A room.
    #[n(6)]
    RegisterRoom {
        /// Its id.
        #[n(0)]
        room: RoomId,
        /// Where it is.
        #[n(1)]
        unit: UnitId,
        /// Its name.
        #[n(2)]
        content: Sealed,
    },
    /// A new patient, with a key of their own.
    #[n(7)]
    RegisterPatient {
        /// Their id.
        #[n(0)]
        patient: PatientId,
        /// Who registered them.
        #[n(1)]
        unit: UnitId,
        /// The patient's data key.
        #[n(2)]
        key: WrappedKey,
        /// Tokens of CPF and telephone numbers, at most 16.
        #[n(3)]
        tokens: Vec<Tag>,
        /// Demographics.
        #[n(4)]
        content: Sealed,
    },
    /// New demographics: a new version, the old one stays.
    #[n(8)]
    AmendPatient {
        /// Whose.
        #[n(0)]
        patient: PatientId,
        /// The version that the author saw.
        #[n(1)]
        seen_version: u32,
        /// Replaces the tokens.
        #[n(2)]
        tokens: Vec<Tag>,
        /// Demographics.
        #[n(3)]
        content: Sealed,
    },
    /// A booking.
    #[n(9)]
    Book {
        /// Its id.
        #[n(0)]
        appointment: AppointmentId,
        /// For whom.
        #[n(1)]
        patient: PatientId,
        /// Where and when.
        #[n(2)]
        slot: Slot,
        /// Whether it may overlap.
        #[n(3)]
        overlap: Overlap,
        /// Service, remarks; sealed under the patient's key.
        #[n(4)]
        content: Sealed,
    },
    /// Another time, room or professional for a booking.
    #[n(10)]
    MoveAppointment {
        /// Which.
        #[n(0)]
        appointment: AppointmentId,
        /// The version that the caller saw.
        #[n(1)]
        seen_version: u32,
        /// The new place and time.
        #[n(2)]
        slot: Slot,
        /// Whether it may overlap.
        #[n(3)]
        overlap: Overlap,
    },
    /// The next state of a booking.
    #[n(11)]
    ChangeAppointmentState {
        /// Which.
        #[n(0)]
        appointment: AppointmentId,
        /// The version that the caller saw.
        #[n(1)]
        seen_version: u32,
        /// What it becomes.
        #[n(2)]
        state: AppointmentState,
        /// Why, sealed under the patient's key; may be empty.
        #[n(3)]
        reason: Sealed,
    },
    /// A document about a patient.
    #[n(12)]
    AddRecord {
        /// Its id.
        #[n(0)]
        record: RecordId,
        /// About whom.
        #[n(1)]
        patient: PatientId,
        /// Who keeps it.
        #[n(2)]
        unit: UnitId,
        /// The kind of document, e.g. `Observation`: letters and digits, 1 to 64.
        #[n(3)]
        kind: String,
        /// When it was written or observed, as its author says.
        #[n(4)]
        authored_at: ClusterTime,
        /// The sender's bytes.
        #[n(5)]
        content: Sealed,
    },
    /// A correction: a new version with author and reason; the old one stays.
    #[n(13)]
    AmendRecord {
        /// Which.
        #[n(0)]
        record: RecordId,
        /// The version that the author saw.
        #[n(1)]
        seen_version: u32,
        /// Why. Must not be empty.
        #[n(2)]
        reason: Sealed,
        /// The sender's bytes.
        #[n(3)]
        content: Sealed,
    },
    /// A patient agrees.
    #[n(14)]
    GrantConsent {
        /// Its id.
        #[n(0)]
        consent: ConsentId,
        /// Who agrees.
        #[n(1)]
        patient: PatientId,
        /// Who asked.
        #[n(2)]
        unit: UnitId,
        /// To what; at least one.
        #[n(3)]
        purposes: Vec<Purpose>,
        /// Since when.
        #[n(4)]
        valid_from: ClusterTime,
        /// Until when, if limited.
        #[n(5)]
        valid_until: Option<ClusterTime>,
        /// The signed document.
        #[n(6)]
        content: Sealed,
    },
    /// A patient takes a consent back. Never undone: a new consent is a new one.
    #[n(15)]
    RevokeConsent {
        /// Which.
        #[n(0)]
        consent: ConsentId,
        /// The version that the caller saw.
        #[n(1)]
        seen_version: u32,
        /// Why, as the patient put it; may be empty.
        #[n(2)]
        reason: Sealed,
    },
    /// Reads that a node served, from its synced journal, in order; what was sent before is skipped.
    #[n(16)]
    NoteReads {
        /// The node.
        #[n(0)]
        node: NodeId,
        /// Its journal.
        #[n(1)]
        journal: JournalId,
        /// At most 256.
        #[n(2)]
        reads: Vec<ReadNote>,
    },
    /// The chunk directory of a node, before it gives receipts. Another incarnation than before means that the
    /// directory before is lost: its receipts count no more, and it is never registered again.
    #[n(17)]
    RegisterStore {
        /// Whose; the node that sends this.
        #[n(0)]
        node: NodeId,
        /// Which directory.
        #[n(1)]
        incarnation: StoreIncarnation,
        /// The disk below it.
        #[n(2)]
        disk: DiskId,
        /// What the disk is, e.g. `ssd`: lowercase letters, digits and hyphens, 1 to 32.
        #[n(3)]
        medium: String,
    },
    /// A chunk directory is gone for good, or its node was removed: its receipts count no more.
    #[n(18)]
    RetireStore {
        /// Whose.
        #[n(0)]
        node: NodeId,
        /// Which directory; so that a later one is not retired by mistake.
        #[n(1)]
        incarnation: StoreIncarnation,
    },
    /// The intent to bring an image in. It is not visible before [`Command::CommitUpload`].
    #[n(19)]
    OpenUpload {
        /// This try; never used again.
        #[n(0)]
        upload: UploadId,
        /// The image that it is to become.
        #[n(1)]
        image: NewImage,
        /// The nodes that are to hold it: 2 to 16 with registered stores, on two sites at least.
        #[n(2)]
        placement: Vec<NodeId>,
        /// How long the intent lives without a renewal: 10,000 (ten seconds) to 3,600,000 (an hour).
        #[n(3)]
        lease_ms: u32,
    },
    /// The upload makes progress: its lease ends this long after now.
    #[n(20)]
    RenewIntent {
        /// Which.
        #[n(0)]
        upload: UploadId,
        /// As in [`Command::OpenUpload`].
        #[n(1)]
        lease_ms: u32,
    },
    /// Other nodes are to hold it, before the commit or after it.
    #[n(21)]
    RePlace {
        /// Which.
        #[n(0)]
        upload: UploadId,
        /// As in [`Command::OpenUpload`]; replaces the placement before.
        #[n(1)]
        placement: Vec<NodeId>,
    },
    /// A part of the manifest of an open upload. The same again changes nothing.
    #[n(22)]
    PutManifestPart {
        /// Of which upload.
        #[n(0)]
        upload: UploadId,
        /// From 0, or [`crate::images::PART_OF_THUMBNAIL`].
        #[n(1)]
        part: u32,
        /// In order, as many and as long as the image's size says (`images::fits`).
        #[n(2)]
        chunks: Vec<ChunkEntry>,
    },
    /// Parts are durable on nodes: for a commit, and after it for repaired and further copies. Those that do not count
    /// any more are passed over; where none counts, the first one's reason is the answer.
    #[n(23)]
    PutReceipts {
        /// 1 to 256.
        #[n(0)]
        receipts: Vec<Receipt>,
    },
    /// The image is there from now on, on two sites at least. What a commit needs may come with it, so that a small
    /// image takes one entry after its intent: `parts` and then `receipts` are taken as if they had been sent before. A
    /// commit that is refused leaves nothing of them.
    #[n(24)]
    CommitUpload {
        /// Which.
        #[n(0)]
        upload: UploadId,
        /// What the node found while it read the bytes, sealed under the patient's key, at most 4 KiB.
        #[n(1)]
        found: Option<Sealed>,
        /// Parts as in [`Command::PutManifestPart`]: at most 8, of at most 512 chunks together.
        #[n(2)]
        parts: Vec<ManifestPart>,
        /// As in [`Command::PutReceipts`], of this upload; there may be none.
        #[n(3)]
        receipts: Vec<Receipt>,
    },
    /// The sender gave up.
    #[n(25)]
    AbandonUpload {
        /// Which.
        #[n(0)]
        upload: UploadId,
    },
    /// Ends intents whose lease is over, at most 32 at a time, the longest over first. Proposed by the leader.
    #[n(26)]
    ExpireIntents,
    /// Forgets a part of an upload that was abandoned or expired; chunks that nothing else names get tombstones.
    #[n(27)]
    DropPart {
        /// Of which upload.
        #[n(0)]
        upload: UploadId,
        /// Which part.
        #[n(1)]
        part: u32,
    },
    /// A node has chunks that no part names and that are older than any upload may last.
    #[n(28)]
    PutTombstones {
        /// The node that sends this.
        #[n(0)]
        node: NodeId,
        /// 1 to 512; each with the epoch of the tombstone that the node saw, 0 for none. Those that a part names, or
        /// whose tombstone is another one, are passed over.
        #[n(1)]
        chunks: Vec<ChunkEpoch>,
    },
    /// A node unlinked chunks under these tombstones, or never had them.
    #[n(29)]
    FinishGc {
        /// The node that sends this.
        #[n(0)]
        node: NodeId,
        /// 1 to 512; those whose tombstone is another one, or none, are passed over.
        #[n(1)]
        chunks: Vec<ChunkEpoch>,
    },
    /// A leader tells how it came to lead. Once for each term; the same again changes nothing.
    #[n(30)]
    NoteLeadership(#[n(0)] Leadership),
    /// The leader is about to hand over: who asked for it and why, before it happens.
    #[n(31)]
    BeginHandover {
        /// To whom; known and not drained.
        #[n(0)]
        to: NodeId,
        /// The term of the leader that hands over.
        #[n(1)]
        term: u64,
        /// Why.
        #[n(2)]
        cause: LeadCause,
        /// In words: at most 200 bytes, no control characters, no name of a person. May be empty.
        #[n(3)]
        reason: String,
    },
    /// What automation is to do about the lead.
    #[n(32)]
    SetLead {
        /// What changes.
        #[n(0)]
        change: LeadChange,
        /// As in [`Command::BeginHandover`].
        #[n(1)]
        reason: String,
    },
    /// Nodes are to vote, only to replicate, or to go for good. The leader makes Raft's membership so, one step at a time.
    #[n(34)]
    ChangeMembers {
        /// At most 50, by any order; none: what is staged.
        #[n(0)]
        changes: Vec<MemberChange>,
        /// The layout's version that the operator saw; 0 with a list: any.
        #[n(1)]
        version: u32,
        /// Why, in clear, 1 to 200 bytes.
        #[n(2)]
        reason: String,
        /// Whether fewer than three voters may be left.
        #[n(3)]
        allow_fewer_voters: bool,
    },
    /// Changes of members to be looked at before they are applied.
    #[n(35)]
    StageLayout {
        /// The layout's version that the operator saw.
        #[n(0)]
        seen_version: u32,
        /// Beside those that are staged, at most 50 together; none takes all back.
        #[n(1)]
        changes: Vec<MemberChange>,
    },
    /// Allows one node to join, once, in the place of another.
    #[n(36)]
    PlanReplacement {
        /// BLAKE3 of the token.
        #[n(0)]
        token: Tag,
        /// Last instant of use.
        #[n(1)]
        not_after: ClusterTime,
        /// Whose place.
        #[n(2)]
        node: NodeId,
        /// Why, in clear, 1 to 200 bytes.
        #[n(3)]
        reason: String,
    },
    /// A node that has caught up takes the place of another. Proposed by the leader.
    #[n(37)]
    SucceedMember {
        /// Who goes.
        #[n(0)]
        old: NodeId,
        /// Who comes.
        #[n(1)]
        new: NodeId,
        /// Whether the old one stays, without a vote.
        #[n(2)]
        keep_old: bool,
    },
    /// A lost majority was given up: the network goes on with what the kept nodes have. Written into the log by the
    /// offline tool, under the name of a kept node; nobody proposes it (decision 0018).
    #[n(38)]
    NoteRecovery {
        /// What was decided.
        #[n(0)]
        recovery: Recovery,
    },
    /// Log and rows may be written in a newer format from here on, for good: no older program reads them.
    #[n(39)]
    RaiseLevel {
        /// The level that the operator saw.
        #[n(0)]
        seen: u32,
        /// The new one.
        #[n(1)]
        to: u32,
        /// What was found of every node: at most [`PROGRAMS_MAX`](crate::upgrade::PROGRAMS_MAX).
        #[n(2)]
        programs: Vec<Capability>,
        /// Why, in clear, 1 to 200 bytes.
        #[n(3)]
        reason: String,
    },
}
