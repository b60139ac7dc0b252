//! Patients, and how they are looked for.

use super::*;

fn demographics_content(demographics: Option<&v1::Demographics>) -> Checked<DemographicsContent> {
    let Some(d) = demographics else { return invalid("demographics", "is missing") };
    if d.phones.len() > 8 {
        return invalid("demographics.phones", "are more than 8");
    }
    Ok(DemographicsContent {
        name: line("demographics.name", &d.name, 1, NAME_CHARS_MAX)?,
        cpf: cpf("demographics.cpf", &d.cpf)?,
        phones: d.phones.iter().map(|text| phone("demographics.phones", text)).collect::<Checked<_>>()?,
        email: line("demographics.email", &d.email, 0, 254)?,
        birth_date: date("demographics.birth_date", &d.birth_date)?,
        document: document("demographics.document", &d.document, 0, DOCUMENT_BYTES_MAX)?,
    })
}

pub(crate) fn patient_draft(request: &v1::RegisterPatientRequest) -> Checked<Draft> {
    Ok(Draft::Patient {
        id: patient_id("patient_id", &request.patient_id)?,
        unit: unit_id("unit_id", &request.unit_id)?,
        content: demographics_content(request.demographics.as_ref())?,
    })
}

pub(crate) fn amend_patient_draft(request: &v1::AmendPatientRequest) -> Checked<Draft> {
    Ok(Draft::AmendPatient {
        id: patient_id("patient_id", &request.patient_id)?,
        seen_version: request.seen_version,
        content: demographics_content(request.demographics.as_ref())?,
    })
}

pub(crate) fn patient(open: OpenPatient) -> v1::Patient {
    let OpenPatient { id, unit, version, content } = open;
    v1::Patient {
        id: wire(id.as_bytes()),
        unit_id: wire(unit.as_bytes()),
        version,
        demographics: Some(v1::Demographics {
            name: content.name,
            cpf: content.cpf,
            phones: content.phones,
            email: content.email,
            birth_date: content.birth_date,
            document: content.document.into(),
        }),
    }
}

pub(crate) fn patient_summary(id: PatientId, row: &rows::PatientRow) -> v1::PatientSummary {
    v1::PatientSummary { id: wire(id.as_bytes()), unit_id: wire(row.unit.as_bytes()), version: row.version }
}

/// By what patients are looked for.
pub(crate) enum Search {
    Cpf(String),
    Phone(String),
    Name(String),
}

pub(crate) fn search(by: Option<&v1::find_patients_request::By>) -> Checked<Search> {
    use v1::find_patients_request::By;
    match by {
        None => invalid("by", "is missing: give a CPF, a telephone number or a part of a name"),
        Some(By::Cpf(text)) if text.is_empty() => invalid("by.cpf", "must not be empty"),
        Some(By::Cpf(text)) => Ok(Search::Cpf(cpf("by.cpf", text)?)),
        Some(By::Phone(text)) => Ok(Search::Phone(phone("by.phone", text)?)),
        Some(By::Name(text)) if text.chars().count() < 3 => invalid("by.name", "has fewer than 3 characters"),
        Some(By::Name(text)) => Ok(Search::Name(line("by.name", text, 3, NAME_CHARS_MAX)?)),
    }
}
