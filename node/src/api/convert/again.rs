//! What [`crate::again`] asks of the readers here.

use super::*;

/// For [`crate::again`]: what a person typed in an accepted request, line by line, and the documents that came with it.
pub(crate) fn typed(kind: u8, bytes: &[u8]) -> Option<(Vec<String>, Vec<Vec<u8>>)> {
    use prost::Message;
    let draft = match kind {
        0 => unit_draft(&v1::RegisterUnitRequest::decode(bytes).ok()?),
        1 => practitioner_draft(&v1::RegisterPractitionerRequest::decode(bytes).ok()?),
        2 => room_draft(&v1::RegisterRoomRequest::decode(bytes).ok()?),
        3 => patient_draft(&v1::RegisterPatientRequest::decode(bytes).ok()?),
        4 => amend_patient_draft(&v1::AmendPatientRequest::decode(bytes).ok()?),
        5 => book_draft(&v1::BookRequest::decode(bytes).ok()?),
        6 => move_draft(&v1::MoveAppointmentRequest::decode(bytes).ok()?),
        7 => state_draft(&v1::ChangeAppointmentStateRequest::decode(bytes).ok()?),
        8 => record_draft(&v1::AddRecordRequest::decode(bytes).ok()?),
        9 => amend_record_draft(&v1::AmendRecordRequest::decode(bytes).ok()?),
        10 => consent_draft(&v1::GrantConsentRequest::decode(bytes).ok()?),
        _ => revoke_consent_draft(&v1::RevokeConsentRequest::decode(bytes).ok()?),
    };
    Some(match draft.ok()? {
        Draft::Unit { slug, content, .. } => (vec![slug, content.name, content.label], vec![content.document]),
        Draft::Practitioner { content, .. } | Draft::Room { content, .. } => {
            (vec![content.name, content.label], vec![content.document])
        }
        Draft::Patient { content, .. } | Draft::AmendPatient { content, .. } => {
            let mut texts = vec![content.name, content.cpf, content.email, content.birth_date];
            texts.extend(content.phones);
            (texts, vec![content.document])
        }
        Draft::Book { encaixe_reason, document, .. } => (encaixe_reason.into_iter().collect(), vec![document]),
        Draft::Move { encaixe_reason, .. } => (encaixe_reason.into_iter().collect(), Vec::new()),
        Draft::State { reason, .. } | Draft::RevokeConsent { reason, .. } => (vec![reason], Vec::new()),
        Draft::Record { kind, document, .. } => (vec![kind], vec![document]),
        Draft::AmendRecord { reason, document, .. } => (vec![reason], vec![document]),
        Draft::Consent { document, .. } => (Vec::new(), vec![document]),
    })
}

/// For [`crate::again`]: a CPF, a telephone number and a day as they are kept.
pub(crate) fn normal(text: &str) -> [Option<String>; 3] {
    [cpf("cpf", text).ok(), phone("phone", text).ok(), date("day", text).ok()]
}

/// For [`crate::again`]: the token of a page, or of where a watch goes on.
pub(crate) fn token(bytes: &[u8]) -> Option<Option<Bytes>> {
    Some(place(bytes).ok()?.map(|(time, id)| place_token(time, &id)))
}
