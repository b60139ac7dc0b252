//! The trail and the changes that a watch tells.

use super::*;

const MODULES: [(audit::Module, v1::Module); 9] = [
    (audit::Module::Directory, v1::Module::Directory),
    (audit::Module::Patients, v1::Module::Patients),
    (audit::Module::Agenda, v1::Module::Agenda),
    (audit::Module::Records, v1::Module::Records),
    (audit::Module::Consents, v1::Module::Consents),
    (audit::Module::Audit, v1::Module::Audit),
    (audit::Module::Cluster, v1::Module::Cluster),
    (audit::Module::Keys, v1::Module::Keys),
    (audit::Module::Images, v1::Module::Images),
];

fn module(module: audit::Module) -> i32 {
    MODULES.iter().find(|(ours, _)| *ours == module).map_or(0, |(_, wire)| (*wire).into())
}

/// `None` for UNSPECIFIED.
pub(crate) fn module_filter(value: i32) -> Checked<Option<audit::Module>> {
    match v1::Module::try_from(value) {
        Ok(v1::Module::Unspecified) => Ok(None),
        Ok(wanted) => Ok(MODULES.iter().find(|(_, wire)| *wire == wanted).map(|(ours, _)| *ours)),
        Err(_) => invalid("module", "is no module that this version knows"),
    }
}

/// Of a watch; without those that are UNSPECIFIED.
pub(crate) fn module_filters(values: &[i32]) -> Checked<Vec<audit::Module>> {
    if values.len() > 16 {
        return invalid("modules", "are more than 16");
    }
    values.iter().filter_map(|value| module_filter(*value).transpose()).collect()
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Read => "read",
        Action::Create => "create",
        Action::Amend => "amend",
        Action::Move => "move",
        Action::ChangeState => "change_state",
        Action::Revoke => "revoke",
        Action::Encaixe => "encaixe",
        Action::Join => "join",
        Action::HandKey => "hand_key",
        Action::Commit => "commit",
        Action::Discard => "discard",
        Action::NoteCopies => "note_copies",
        Action::Expire => "expire",
    }
}

fn object(object: Object) -> (&'static str, Bytes) {
    match object {
        Object::Cluster => ("cluster", Bytes::new()),
        Object::Node(id) => ("node", Bytes::copy_from_slice(&id.0.to_be_bytes())),
        Object::Unit(id) => ("unit", wire(id.as_bytes())),
        Object::Practitioner(id) => ("practitioner", wire(id.as_bytes())),
        Object::Room(id) => ("room", wire(id.as_bytes())),
        Object::Patient(id) => ("patient", wire(id.as_bytes())),
        Object::Appointment(id) => ("appointment", wire(id.as_bytes())),
        Object::Record(id) => ("record", wire(id.as_bytes())),
        Object::Consent(id) => ("consent", wire(id.as_bytes())),
        Object::Many => ("many", Bytes::new()),
        Object::Image(id) => ("image", wire(id.as_bytes())),
    }
}

fn role(actor: &Actor) -> &'static str {
    match actor.role {
        Role::Reception => "reception",
        Role::Clinician => "clinician",
        Role::Finance => "finance",
        Role::Manager => "manager",
        Role::Operator => "operator",
        Role::Auditor => "auditor",
        Role::Dpo => "dpo",
        Role::Integration => "integration",
        Role::Node => "node",
    }
}

fn some_wire(id: Option<&[u8; 16]>) -> Bytes {
    id.map(wire).unwrap_or_default()
}

pub(crate) fn audit_entry(entry: &AuditEntry) -> v1::AuditEntry {
    let (object_kind, object_id) = object(entry.object);
    v1::AuditEntry {
        sequence: entry.sequence,
        index: entry.index,
        at_ms: entry.at.millis(),
        actor_id: wire(entry.actor.id.as_bytes()),
        role: role(&entry.actor).to_string(),
        actor_unit_id: some_wire(entry.actor.unit.as_ref().map(UnitId::as_bytes)),
        via_node_id: entry.via.0,
        module: module(entry.module),
        action: action(entry.action).to_string(),
        object_kind: object_kind.to_string(),
        object_id,
        version: entry.version,
        patient_id: some_wire(entry.patient.as_ref().map(PatientId::as_bytes)),
        unit_id: some_wire(entry.unit.as_ref().map(UnitId::as_bytes)),
        request_id: some_wire(entry.request_id.as_ref().map(RequestId::as_bytes)),
        refusal: entry.refusal.into(),
        previous: Bytes::copy_from_slice(&entry.previous),
    }
}

pub(crate) fn change(entry: &AuditEntry) -> v1::Change {
    let (object_kind, object_id) = object(entry.object);
    v1::Change {
        index: entry.index,
        at_ms: entry.at.millis(),
        module: module(entry.module),
        action: action(entry.action).to_string(),
        object_kind: object_kind.to_string(),
        object_id,
        version: entry.version,
        unit_id: some_wire(entry.unit.as_ref().map(UnitId::as_bytes)),
        patient_id: some_wire(entry.patient.as_ref().map(PatientId::as_bytes)),
    }
}
