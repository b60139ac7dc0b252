//! Units, professionals and rooms.

use super::*;

fn directory_content(name: &str, label: &str, document_bytes: &[u8]) -> Checked<DirectoryContent> {
    Ok(DirectoryContent {
        name: line("name", name, 1, NAME_CHARS_MAX)?,
        label: line("label", label, 0, 64)?,
        document: document("document", document_bytes, 0, DOCUMENT_BYTES_MAX)?,
    })
}

pub(crate) fn unit_draft(request: &v1::RegisterUnitRequest) -> Checked<Draft> {
    let Some(unit) = &request.unit else { return invalid("unit", "is missing") };
    Ok(Draft::Unit {
        id: unit_id("unit.id", &unit.id)?,
        slug: line("unit.slug", &unit.slug, 1, 32)?,
        content: directory_content(&unit.name, "", &unit.document)?,
    })
}

pub(crate) fn practitioner_draft(request: &v1::RegisterPractitionerRequest) -> Checked<Draft> {
    let Some(p) = &request.practitioner else { return invalid("practitioner", "is missing") };
    Ok(Draft::Practitioner {
        id: practitioner_id("practitioner.id", &p.id)?,
        unit: unit_id("practitioner.unit_id", &p.unit_id)?,
        content: directory_content(&p.name, &p.label, &p.document)?,
    })
}

pub(crate) fn room_draft(request: &v1::RegisterRoomRequest) -> Checked<Draft> {
    let Some(room) = &request.room else { return invalid("room", "is missing") };
    Ok(Draft::Room {
        id: room_id("room.id", &room.id)?,
        unit: unit_id("room.unit_id", &room.unit_id)?,
        content: directory_content(&room.name, &room.label, &room.document)?,
    })
}

pub(crate) fn unit(id: UnitId, row: &rows::UnitRow, content: DirectoryContent) -> v1::Unit {
    v1::Unit { id: wire(id.as_bytes()), slug: row.slug.clone(), name: content.name, document: content.document.into() }
}

pub(crate) fn practitioner(id: PractitionerId, unit: UnitId, content: DirectoryContent) -> v1::Practitioner {
    v1::Practitioner {
        id: wire(id.as_bytes()),
        unit_id: wire(unit.as_bytes()),
        name: content.name,
        label: content.label,
        document: content.document.into(),
    }
}

pub(crate) fn room(id: RoomId, unit: UnitId, content: DirectoryContent) -> v1::Room {
    v1::Room {
        id: wire(id.as_bytes()),
        unit_id: wire(unit.as_bytes()),
        name: content.name,
        label: content.label,
        document: content.document.into(),
    }
}
