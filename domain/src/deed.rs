//! What a command is about: the right that it needs, and what the trail says of it. Decided from the command and from
//! the rows that it names, before any rule.

use crate::access::{Decision, decide};
use crate::audit::{Action, AuditEntry, Module, Object};
use crate::command::{Command, Envelope, Overlap};
use crate::id::{PatientId, UnitId, UploadId};
use crate::outcome::Rejection;
use crate::rows;
use crate::time::ClusterTime;
use crate::view::{View, ViewFault};

/// What a command is about, for rights and for the trail.
pub(crate) struct Deed {
    module: Module,
    action: Action,
    pub(crate) object: Object,
    patient: Option<PatientId>,
    /// Where the object is; `None` if it is nowhere in particular or not known.
    pub(crate) unit: Option<UnitId>,
    /// Where else the right is needed: the unit that a booking moves to.
    pub(crate) also: Option<UnitId>,
}

impl Deed {
    fn new(module: Module, action: Action, object: Object) -> Self {
        Self { module, action, object, patient: None, unit: None, also: None }
    }

    pub(crate) fn of(view: &dyn View, command: &Command) -> Result<Self, ViewFault> {
        let encaixe_or = |overlap: &Overlap, action| match overlap {
            Overlap::Refuse => action,
            Overlap::Encaixe { .. } => Action::Encaixe,
        };
        Ok(match command {
            Command::CreateCluster { .. } => Self::new(Module::Cluster, Action::Create, Object::Cluster),
            // Of a raised level the version in the trail is the level.
            Command::CreateJoinToken { .. }
            | Command::ChangeMembers { .. }
            | Command::StageLayout { .. }
            | Command::RaiseLevel { .. } => Self::new(Module::Cluster, Action::Amend, Object::Cluster),
            Command::PlanReplacement { node, .. } => Self::new(Module::Cluster, Action::Amend, Object::Node(*node)),
            Command::SucceedMember { old, .. } => Self::new(Module::Cluster, Action::ChangeState, Object::Node(*old)),
            Command::RedeemJoinToken { .. } => Self::new(Module::Cluster, Action::Join, Object::Cluster),
            // The network begins once more; the version in the trail is the incarnation.
            Command::NoteRecovery { .. } => Self::new(Module::Cluster, Action::Create, Object::Cluster),
            Command::NoteRootHanded { node } => Self::new(Module::Keys, Action::HandKey, Object::Node(*node)),
            Command::RegisterUnit { unit, .. } => {
                Self { unit: Some(*unit), ..Self::new(Module::Directory, Action::Create, Object::Unit(*unit)) }
            }
            Command::RegisterPractitioner { practitioner, unit, .. } => Self {
                unit: Some(*unit),
                ..Self::new(Module::Directory, Action::Create, Object::Practitioner(*practitioner))
            },
            Command::RegisterRoom { room, unit, .. } => {
                Self { unit: Some(*unit), ..Self::new(Module::Directory, Action::Create, Object::Room(*room)) }
            }
            Command::RegisterPatient { patient, unit, .. } => Self {
                unit: Some(*unit),
                patient: Some(*patient),
                ..Self::new(Module::Patients, Action::Create, Object::Patient(*patient))
            },
            Command::AmendPatient { patient, .. } => Self {
                unit: rows::patient(view, *patient)?.map(|row| row.unit),
                patient: Some(*patient),
                ..Self::new(Module::Patients, Action::Amend, Object::Patient(*patient))
            },
            Command::Book { appointment, patient, slot, overlap, .. } => Self {
                unit: Some(slot.unit),
                patient: Some(*patient),
                ..Self::new(Module::Agenda, encaixe_or(overlap, Action::Create), Object::Appointment(*appointment))
            },
            Command::MoveAppointment { appointment, slot, overlap, .. } => {
                let row = rows::appointment(view, *appointment)?;
                Self {
                    unit: Some(row.as_ref().map_or(slot.unit, |row| row.slot.unit)),
                    also: Some(slot.unit),
                    patient: row.map(|row| row.patient),
                    ..Self::new(Module::Agenda, encaixe_or(overlap, Action::Move), Object::Appointment(*appointment))
                }
            }
            Command::ChangeAppointmentState { appointment, .. } => {
                let row = rows::appointment(view, *appointment)?;
                Self {
                    unit: row.as_ref().map(|row| row.slot.unit),
                    patient: row.map(|row| row.patient),
                    ..Self::new(Module::Agenda, Action::ChangeState, Object::Appointment(*appointment))
                }
            }
            Command::AddRecord { record, patient, unit, .. } => Self {
                unit: Some(*unit),
                patient: Some(*patient),
                ..Self::new(Module::Records, Action::Create, Object::Record(*record))
            },
            Command::AmendRecord { record, .. } => {
                let row = rows::record(view, *record)?;
                Self {
                    unit: row.as_ref().map(|row| row.unit),
                    patient: row.map(|row| row.patient),
                    ..Self::new(Module::Records, Action::Amend, Object::Record(*record))
                }
            }
            Command::GrantConsent { consent, patient, unit, .. } => Self {
                unit: Some(*unit),
                patient: Some(*patient),
                ..Self::new(Module::Consents, Action::Create, Object::Consent(*consent))
            },
            Command::RevokeConsent { consent, .. } => {
                let row = rows::consent(view, *consent)?;
                Self {
                    unit: row.as_ref().map(|row| row.unit),
                    patient: row.map(|row| row.patient),
                    ..Self::new(Module::Consents, Action::Revoke, Object::Consent(*consent))
                }
            }
            Command::NoteReads { node, .. } => Self::new(Module::Audit, Action::Create, Object::Node(*node)),
            Command::RegisterStore { node, .. }
            | Command::PutTombstones { node, .. }
            | Command::FinishGc { node, .. } => Self::new(Module::Images, Action::NoteCopies, Object::Node(*node)),
            Command::RetireStore { node, .. } => Self::new(Module::Cluster, Action::Amend, Object::Node(*node)),
            Command::NoteLeadership(told) => Self::new(Module::Cluster, Action::ChangeState, Object::Node(told.to)),
            Command::BeginHandover { to, .. } => Self::new(Module::Cluster, Action::Move, Object::Node(*to)),
            Command::SetLead { change, .. } => {
                Self::new(Module::Cluster, Action::Amend, change.node().map_or(Object::Cluster, Object::Node))
            }
            Command::OpenUpload { image, .. } => Self {
                unit: Some(image.unit),
                patient: Some(image.patient),
                ..Self::new(Module::Images, Action::Create, Object::Image(image.image))
            },
            Command::RenewIntent { upload, .. }
            | Command::RePlace { upload, .. }
            | Command::PutManifestPart { upload, .. } => Self::upon_upload(view, *upload, Action::Amend)?,
            Command::CommitUpload { upload, .. } => Self::upon_upload(view, *upload, Action::Commit)?,
            Command::AbandonUpload { upload } => Self::upon_upload(view, *upload, Action::Discard)?,
            Command::DropPart { upload, .. } => Self::upon_upload(view, *upload, Action::Expire)?,
            Command::ExpireIntents => Self::new(Module::Images, Action::Expire, Object::Many),
            Command::PutReceipts { receipts } => match receipts.first() {
                Some(first) if receipts.iter().all(|receipt| receipt.upload == first.upload) => {
                    Self::upon_upload(view, first.upload, Action::NoteCopies)?
                }
                _ => Self::new(Module::Images, Action::NoteCopies, Object::Many),
            },
        })
    }

    /// What is done to an upload is done to the image that it becomes.
    fn upon_upload(view: &dyn View, upload: UploadId, action: Action) -> Result<Self, ViewFault> {
        let row = rows::upload(view, upload)?;
        let object = row.as_ref().map_or(Object::Many, |row| Object::Image(row.image));
        Ok(Self {
            unit: row.as_ref().map(|row| row.unit),
            patient: row.map(|row| row.patient),
            ..Self::new(Module::Images, action, object)
        })
    }

    /// What is not known is nowhere: whoever has the right at all learns that from the rule, nobody else learns it.
    pub(crate) fn is_allowed(&self, envelope: &Envelope) -> bool {
        let actor = &envelope.actor;
        let allowed = |unit: Option<UnitId>| decide(actor, self.module, self.action, unit) == Decision::Allowed;
        allowed(self.unit.or(actor.unit)) && (self.also.is_none() || allowed(self.also))
    }

    pub(crate) fn entry(&self, envelope: &Envelope, at: ClusterTime, result: Result<u32, &Rejection>) -> AuditEntry {
        AuditEntry {
            sequence: 0,
            index: 0,
            at,
            actor: envelope.actor,
            via: envelope.via,
            module: self.module,
            action: self.action,
            object: self.object,
            version: result.unwrap_or(0),
            patient: self.patient,
            unit: self.unit,
            request_id: Some(envelope.request_id),
            refusal: result.err().map_or(0, Rejection::code),
            previous: [0; 32],
        }
    }
}
