//! Consents.

use super::*;

pub(crate) fn consent_draft(request: &v1::GrantConsentRequest) -> Checked<Draft> {
    if request.purposes.len() > 8 {
        return invalid("purposes", "are more than 8");
    }
    let purposes = request.purposes.iter().map(|purpose| match v1::Purpose::try_from(*purpose) {
        Ok(v1::Purpose::Treatment) => Ok(command::Purpose::Treatment),
        Ok(v1::Purpose::ClinicalImages) => Ok(command::Purpose::ClinicalImages),
        Ok(v1::Purpose::Sharing) => Ok(command::Purpose::Sharing),
        Ok(v1::Purpose::Research) => Ok(command::Purpose::Research),
        Ok(v1::Purpose::Marketing) => Ok(command::Purpose::Marketing),
        Ok(v1::Purpose::Unspecified) | Err(_) => invalid("purposes", "has one that this version does not know"),
    });
    Ok(Draft::Consent {
        id: consent_id("consent_id", &request.consent_id)?,
        patient: patient_id("patient_id", &request.patient_id)?,
        unit: unit_id("unit_id", &request.unit_id)?,
        purposes: purposes.collect::<Checked<_>>()?,
        valid_from: time("valid_from_ms", request.valid_from_ms)?,
        valid_until: match request.valid_until_ms {
            0 => None,
            millis => Some(time("valid_until_ms", millis)?),
        },
        document: document("document", &request.document, 0, DOCUMENT_BYTES_MAX)?,
    })
}

pub(crate) fn revoke_consent_draft(request: &v1::RevokeConsentRequest) -> Checked<Draft> {
    Ok(Draft::RevokeConsent {
        id: consent_id("consent_id", &request.consent_id)?,
        seen_version: request.seen_version,
        reason: line("reason", &request.reason, 0, REASON_CHARS_MAX)?,
    })
}

pub(crate) fn consent(id: ConsentId, row: &rows::ConsentRow, document: Vec<u8>) -> v1::Consent {
    let purposes = row.purposes.iter().map(|purpose| match purpose {
        command::Purpose::Treatment => v1::Purpose::Treatment.into(),
        command::Purpose::ClinicalImages => v1::Purpose::ClinicalImages.into(),
        command::Purpose::Sharing => v1::Purpose::Sharing.into(),
        command::Purpose::Research => v1::Purpose::Research.into(),
        command::Purpose::Marketing => v1::Purpose::Marketing.into(),
    });
    v1::Consent {
        id: wire(id.as_bytes()),
        patient_id: wire(row.patient.as_bytes()),
        unit_id: wire(row.unit.as_bytes()),
        purposes: purposes.collect(),
        valid_from_ms: row.valid_from.millis(),
        valid_until_ms: row.valid_until.map_or(0, ClusterTime::millis),
        revoked: row.revoked_at.is_some(),
        version: row.version,
        document: document.into(),
    }
}
