//! A request after its form was checked and before its content is sealed: domain ids and plain content.

use super::content::{DemographicsContent, DirectoryContent};
use plantao_domain::command::{AppointmentState, Purpose, Slot};
use plantao_domain::*;

/// What a caller asks for. Content is in clear here, in memory, and nowhere else.
pub enum Draft {
    /// A clinic.
    Unit {
        /// Its id.
        id: UnitId,
        /// Its short name.
        slug: String,
        /// What describes it.
        content: DirectoryContent,
    },
    /// A professional.
    Practitioner {
        /// Their id.
        id: PractitionerId,
        /// Where they work.
        unit: UnitId,
        /// What describes them.
        content: DirectoryContent,
    },
    /// A room.
    Room {
        /// Its id.
        id: RoomId,
        /// Where it is.
        unit: UnitId,
        /// What describes it.
        content: DirectoryContent,
    },
    /// A new patient.
    Patient {
        /// Their id.
        id: PatientId,
        /// Who registers them.
        unit: UnitId,
        /// Who they are.
        content: DemographicsContent,
    },
    /// New demographics.
    AmendPatient {
        /// Whose.
        id: PatientId,
        /// The version that the author saw.
        seen_version: u32,
        /// Who they are.
        content: DemographicsContent,
    },
    /// A booking.
    Book {
        /// Its id.
        id: AppointmentId,
        /// For whom.
        patient: PatientId,
        /// Where and when.
        slot: Slot,
        /// For an encaixe.
        encaixe_reason: Option<String>,
        /// The sender's bytes.
        document: Vec<u8>,
    },
    /// Another slot for a booking.
    Move {
        /// Which.
        id: AppointmentId,
        /// The version that the caller saw.
        seen_version: u32,
        /// Where and when.
        slot: Slot,
        /// For an encaixe.
        encaixe_reason: Option<String>,
    },
    /// The next state of a booking.
    State {
        /// Which.
        id: AppointmentId,
        /// The version that the caller saw.
        seen_version: u32,
        /// What it becomes.
        state: AppointmentState,
        /// Why; may be empty.
        reason: String,
    },
    /// A document about a patient.
    Record {
        /// Its id.
        id: RecordId,
        /// About whom.
        patient: PatientId,
        /// Who keeps it.
        unit: UnitId,
        /// Its kind.
        kind: String,
        /// When it was written.
        authored_at: ClusterTime,
        /// The sender's bytes.
        document: Vec<u8>,
    },
    /// A correction of one.
    AmendRecord {
        /// Which.
        id: RecordId,
        /// The version that the author saw.
        seen_version: u32,
        /// Why.
        reason: String,
        /// The sender's bytes.
        document: Vec<u8>,
    },
    /// A patient agrees.
    Consent {
        /// Its id.
        id: ConsentId,
        /// Who agrees.
        patient: PatientId,
        /// Who asked.
        unit: UnitId,
        /// To what.
        purposes: Vec<Purpose>,
        /// Since when.
        valid_from: ClusterTime,
        /// Until when.
        valid_until: Option<ClusterTime>,
        /// The sender's bytes.
        document: Vec<u8>,
    },
    /// A patient takes a consent back.
    RevokeConsent {
        /// Which.
        id: ConsentId,
        /// The version that the caller saw.
        seen_version: u32,
        /// Why; may be empty.
        reason: String,
    },
}
