//! One line of FHIR R4 in, one request out. Pure: the same line, with the same references known, gives the same request
//! to the bit, apart from its header. The document of each request is the line itself, byte for byte, without its line
//! feed.
//!
//! | FHIR | becomes |
//! |---|---|
//! | `Organization.id` | unit, by its label; its short name where it fits one, else made from the name |
//! | `Practitioner.id` `centro-prof-1` | unit `centro`: the longest unit that the id begins with |
//! | `Location.managingOrganization` | the room's unit, and that of each booking in it |
//! | `Patient.managingOrganization` | the patient's unit, and that of each record and consent |
//! | `Consent.scope`, `category`, `provision.purpose` | purposes; `patient-privacy` and what is not known mean treatment |
//! | a record's first date that is there | when it was authored; without any: 1900-01-01, before all others |

use super::fault::Fault;
use crate::id::{Id, LabelKind, id_of};
use crate::time::{TIME_MS_MIN, parse_fhir, parse_rfc3339};
use bytes::Bytes;
use plantao_proto::public::v1;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use std::collections::{BTreeMap, HashMap};

/// Largest document of a record, a consent or a patient.
const DOCUMENT_BYTES_MAX: usize = 48 << 10;
/// Largest document of a booking.
const BOOKING_BYTES_MAX: usize = 16 << 10;
/// Identifier system of the CPF.
const CPF_SYSTEM: &str = "urn:oid:2.16.840.1.113883.13.237";
/// Phones that a patient may have; further ones stay in the document.
const PHONES_MAX: usize = 8;

/// What references may lead to.
#[derive(Default)]
pub(super) struct Known {
    /// By the label or UUID that the source uses.
    pub(super) units: BTreeMap<String, Id>,
    /// Room to unit.
    pub(super) rooms: HashMap<Id, Id>,
    pub(super) practitioners: HashMap<Id, Id>,
    /// Patient to unit.
    pub(super) patients: HashMap<Id, Id>,
}

/// What a line asks of the cluster.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Ask {
    Unit(v1::RegisterUnitRequest),
    Practitioner(v1::RegisterPractitionerRequest),
    Room(v1::RegisterRoomRequest),
    Patient(v1::RegisterPatientRequest),
    Record(v1::AddRecordRequest),
    Consent(v1::GrantConsentRequest),
    Book(v1::BookRequest),
}

impl Ask {
    /// The object's id, 16 bytes.
    pub(super) fn object_id(&self) -> &[u8] {
        match self {
            Self::Unit(request) => request.unit.as_ref().map_or(&[], |unit| &unit.id),
            Self::Practitioner(request) => request.practitioner.as_ref().map_or(&[], |it| &it.id),
            Self::Room(request) => request.room.as_ref().map_or(&[], |room| &room.id),
            Self::Patient(request) => &request.patient_id,
            Self::Record(request) => &request.record_id,
            Self::Consent(request) => &request.consent_id,
            Self::Book(request) => &request.appointment_id,
        }
    }
}

impl Ask {
    /// The sender's bytes.
    pub(super) fn document(&self) -> &[u8] {
        match self {
            Self::Unit(request) => request.unit.as_ref().map_or(&[], |unit| &unit.document),
            Self::Practitioner(request) => request.practitioner.as_ref().map_or(&[], |it| &it.document),
            Self::Room(request) => request.room.as_ref().map_or(&[], |room| &room.document),
            Self::Patient(request) => request.demographics.as_ref().map_or(&[], |it| &it.document),
            Self::Record(request) => &request.document,
            Self::Consent(request) => &request.document,
            Self::Book(request) => &request.document,
        }
    }
}

/// The beginning of every resource.
struct Resource<'a> {
    kind: String,
    id: String,
    line: &'a [u8],
    text: &'a str,
    terminated: bool,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "resourceType")]
    resource_type: Option<String>,
    id: Option<String>,
}

fn json_fault(error: &serde_json::Error, terminated: bool) -> Fault {
    match error.classify() {
        Category::Eof if !terminated => Fault::Truncated,
        Category::Data => Fault::Shape { column: error.column() },
        Category::Eof | Category::Syntax | Category::Io => Fault::NotJson { column: error.column() },
    }
}

impl<'a> Resource<'a> {
    fn read(line: &'a [u8], terminated: bool) -> Result<Self, Fault> {
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            // The last character is incomplete: the file was cut.
            Err(error) if error.error_len().is_none() && !terminated => {
                return Err(Fault::Truncated);
            }
            Err(error) => return Err(Fault::NotUtf8 { at: error.valid_up_to() }),
        };
        // A JSON array would do for a struct, field by field.
        if !text.trim_start().starts_with('{') {
            return Err(match serde_json::from_str::<serde::de::IgnoredAny>(text) {
                Ok(_) => Fault::NotFhir,
                Err(error) => json_fault(&error, terminated),
            });
        }
        let head: Head = serde_json::from_str(text).map_err(|error| json_fault(&error, terminated))?;
        let kind = head.resource_type.ok_or(Fault::NotFhir)?;
        let id = head.id.ok_or(Fault::Missing { field: "id" })?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
            return Err(Fault::BadId);
        }
        Ok(Self { kind, id, line, text, terminated })
    }

    fn of_kind(line: &'a [u8], terminated: bool, expected: &'static str) -> Result<Self, Fault> {
        let resource = Self::read(line, terminated)?;
        if resource.kind == expected { Ok(resource) } else { Err(Fault::OtherKind { expected }) }
    }

    fn body<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_str(self.text).map_err(|error| json_fault(&error, self.terminated))
    }

    fn document(&self, max: usize) -> Result<Bytes, Fault> {
        if self.line.len() > max {
            return Err(Fault::DocumentTooLarge { bytes: self.line.len(), max });
        }
        Ok(Bytes::copy_from_slice(self.line))
    }

    /// The id where it is a name of the source rather than a UUID.
    fn label(&self) -> String {
        if self.id.parse::<Id>().is_ok() { String::new() } else { self.id.clone() }
    }
}

#[derive(Deserialize)]
struct Reference {
    reference: Option<String>,
}

#[derive(Deserialize)]
struct Period {
    start: Option<String>,
    end: Option<String>,
}

#[derive(Deserialize)]
struct HumanName {
    text: Option<String>,
    family: Option<String>,
    #[serde(default)]
    given: Vec<String>,
}

#[derive(Deserialize)]
struct Identifier {
    system: Option<String>,
    value: Option<String>,
}

/// `kind/<id>` and `urn:uuid:<id>` as the id; a longer path (`https://…/Patient/<id>`) by its end.
fn target<'a>(reference: &'a str, kind: &str) -> Option<&'a str> {
    let id = match reference.strip_prefix("urn:uuid:") {
        Some(id) => id,
        None => {
            let (before, id) = reference.rsplit_once('/')?;
            let found = before.rsplit('/').next().unwrap_or(before);
            if found != kind {
                return None;
            }
            id
        }
    };
    (!id.is_empty()).then_some(id)
}

fn shown(text: Option<String>, field: &'static str) -> Result<String, Fault> {
    let text = text.unwrap_or_default();
    let forbidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.chars().any(forbidden) { Err(Fault::Control { field }) } else { Ok(text) }
}

fn needed(text: String, field: &'static str) -> Result<String, Fault> {
    if text.trim().is_empty() { Err(Fault::Missing { field }) } else { Ok(text) }
}

fn person(names: Vec<HumanName>) -> Result<String, Fault> {
    let Some(name) = names.into_iter().next() else { return Err(Fault::Missing { field: "name" }) };
    let text = match name.text {
        Some(text) => text,
        None => name.given.into_iter().chain(name.family).collect::<Vec<_>>().join(" "),
    };
    needed(shown(Some(text), "name")?, "name")
}

impl Known {
    fn unit(&self, organization: Option<Reference>, field: &'static str) -> Result<Id, Fault> {
        let reference = organization.and_then(|it| it.reference).ok_or(Fault::Missing { field })?;
        let id = target(&reference, "Organization").ok_or(Fault::UnknownReference { field })?;
        self.units.get(id).copied().ok_or(Fault::UnknownReference { field })
    }

    /// The patient of a record, and their unit.
    fn patient(&self, reference: Option<Reference>, field: &'static str) -> Result<(Id, Id), Fault> {
        let reference = reference.and_then(|it| it.reference).ok_or(Fault::Missing { field })?;
        let text = target(&reference, "Patient").ok_or(Fault::UnknownReference { field })?;
        let id = id_of(LabelKind::Patient, text);
        let unit = self.patients.get(&id).copied().ok_or(Fault::UnknownReference { field })?;
        Ok((id, unit))
    }

    pub(super) fn organization(&mut self, line: &[u8], terminated: bool) -> Result<Ask, Fault> {
        #[derive(Deserialize)]
        struct Body {
            name: Option<String>,
        }
        let resource = Resource::of_kind(line, terminated, "Organization")?;
        let name = needed(shown(resource.body::<Body>()?.name, "name")?, "name")?;
        let id = id_of(LabelKind::Unit, &resource.id);
        let slug = slug(&resource.id, &name, id);
        let document = resource.document(DOCUMENT_BYTES_MAX)?;
        self.units.entry(resource.id).or_insert(id);
        let unit = v1::Unit { id: id.to_wire(), slug, name, document };
        Ok(Ask::Unit(v1::RegisterUnitRequest { header: None, unit: Some(unit) }))
    }

    pub(super) fn practitioner(&mut self, line: &[u8], terminated: bool) -> Result<Ask, Fault> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            name: Vec<HumanName>,
        }
        let resource = Resource::of_kind(line, terminated, "Practitioner")?;
        let name = person(resource.body::<Body>()?.name)?;
        // FHIR says where somebody works in PractitionerRole, which is not in the set: the id is what tells.
        let of_unit = |unit: &str| {
            resource.id.strip_prefix(unit).is_some_and(|rest| rest.starts_with('-') || rest.starts_with('.'))
        };
        let unit = match self.units.iter().filter(|(unit, _)| of_unit(unit)).max_by_key(|(unit, _)| unit.len()) {
            Some((_, unit)) => *unit,
            None if self.units.len() == 1 => {
                *self.units.values().next().ok_or(Fault::UnknownReference { field: "id" })?
            }
            None => return Err(Fault::UnknownReference { field: "the unit in the id" }),
        };
        let id = id_of(LabelKind::Practitioner, &resource.id);
        let document = resource.document(DOCUMENT_BYTES_MAX)?;
        self.practitioners.entry(id).or_insert(unit);
        let practitioner =
            v1::Practitioner { id: id.to_wire(), unit_id: unit.to_wire(), name, label: resource.label(), document };
        Ok(Ask::Practitioner(v1::RegisterPractitionerRequest { header: None, practitioner: Some(practitioner) }))
    }

    pub(super) fn location(&mut self, line: &[u8], terminated: bool) -> Result<Ask, Fault> {
        #[derive(Deserialize)]
        struct Body {
            name: Option<String>,
            #[serde(rename = "managingOrganization")]
            organization: Option<Reference>,
        }
        let resource = Resource::of_kind(line, terminated, "Location")?;
        let body: Body = resource.body()?;
        let name = needed(shown(body.name, "name")?, "name")?;
        let unit = self.unit(body.organization, "managingOrganization")?;
        let id = id_of(LabelKind::Room, &resource.id);
        let document = resource.document(DOCUMENT_BYTES_MAX)?;
        self.rooms.entry(id).or_insert(unit);
        let room = v1::Room { id: id.to_wire(), unit_id: unit.to_wire(), name, label: resource.label(), document };
        Ok(Ask::Room(v1::RegisterRoomRequest { header: None, room: Some(room) }))
    }

    pub(super) fn patient_line(&mut self, line: &[u8], terminated: bool) -> Result<Ask, Fault> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            name: Vec<HumanName>,
            #[serde(default)]
            identifier: Vec<Identifier>,
            #[serde(default)]
            telecom: Vec<Identifier>,
            #[serde(rename = "birthDate")]
            birth_date: Option<String>,
            #[serde(rename = "managingOrganization")]
            organization: Option<Reference>,
        }
        let resource = Resource::of_kind(line, terminated, "Patient")?;
        let body: Body = resource.body()?;
        let name = person(body.name)?;
        let cpf = body.identifier.into_iter().find(|it| it.system.as_deref() == Some(CPF_SYSTEM));
        let mut phones = Vec::new();
        let mut email = String::new();
        for telecom in body.telecom {
            match telecom.system.as_deref() {
                Some("phone" | "sms") if phones.len() < PHONES_MAX => {
                    phones.push(shown(telecom.value, "telecom")?);
                }
                Some("email") if email.is_empty() => email = shown(telecom.value, "telecom")?,
                _ => {}
            }
        }
        let unit = self.unit(body.organization, "managingOrganization")?;
        let id = id_of(LabelKind::Patient, &resource.id);
        let demographics = v1::Demographics {
            name,
            cpf: shown(cpf.and_then(|it| it.value), "identifier")?,
            phones,
            email,
            birth_date: shown(body.birth_date, "birthDate")?,
            document: resource.document(DOCUMENT_BYTES_MAX)?,
        };
        self.patients.entry(id).or_insert(unit);
        Ok(Ask::Patient(v1::RegisterPatientRequest {
            header: None,
            patient_id: id.to_wire(),
            unit_id: unit.to_wire(),
            demographics: Some(demographics),
        }))
    }

    /// A record or a consent.
    pub(super) fn record(&self, line: &[u8], terminated: bool) -> Result<Ask, Fault> {
        let resource = Resource::read(line, terminated)?;
        match resource.kind.as_str() {
            "Consent" => self.consent(&resource),
            // What files of their own are for, and wrappers that would hide other resources.
            "Patient" | "Organization" | "Practitioner" | "Location" | "Appointment" | "Bundle" | "Parameters" => {
                Err(Fault::NotARecord)
            }
            kind => {
                let plain =
                    !kind.is_empty() && kind.len() <= 64 && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
                if !plain {
                    return Err(Fault::NotFhir);
                }
                let body: RecordBody = resource.body()?;
                let authored_ms = body.authored_ms()?;
                let (patient, unit) = self.patient(body.subject.or(body.patient), "subject")?;
                Ok(Ask::Record(v1::AddRecordRequest {
                    header: None,
                    record_id: id_of(LabelKind::Record, &resource.id).to_wire(),
                    patient_id: patient.to_wire(),
                    unit_id: unit.to_wire(),
                    kind: resource.kind.clone(),
                    authored_ms,
                    document: resource.document(DOCUMENT_BYTES_MAX)?,
                }))
            }
        }
    }

    fn consent(&self, resource: &Resource<'_>) -> Result<Ask, Fault> {
        #[derive(Deserialize)]
        struct Coding {
            code: Option<String>,
        }
        #[derive(Deserialize)]
        struct Concept {
            text: Option<String>,
            #[serde(default)]
            coding: Vec<Coding>,
        }
        #[derive(Deserialize)]
        struct Provision {
            period: Option<Period>,
            #[serde(default)]
            purpose: Vec<Coding>,
        }
        #[derive(Deserialize)]
        struct Body {
            status: Option<String>,
            patient: Option<Reference>,
            #[serde(rename = "dateTime")]
            date_time: Option<String>,
            scope: Option<Concept>,
            #[serde(default)]
            category: Vec<Concept>,
            provision: Option<Provision>,
        }
        let body: Body = resource.body()?;
        if body.status.as_deref() != Some("active") {
            return Err(Fault::Status);
        }
        let (period, purpose) = body.provision.map_or((None, Vec::new()), |it| (it.period, it.purpose));
        let scope = body.scope.map_or(Vec::new(), |scope| scope.coding);
        // What a category says in words only is as good as its code.
        let category = body.category.into_iter().flat_map(|concept| {
            let text = concept.text.map(|text| Coding { code: Some(text) });
            concept.coding.into_iter().chain(text)
        });
        let mut purposes: Vec<i32> = scope
            .into_iter()
            .chain(category)
            .chain(purpose)
            .filter_map(|coding| match coding.code.as_deref()? {
                "treatment" | "patient-privacy" | "TREAT" => Some(v1::Purpose::Treatment as i32),
                "clinical-images" => Some(v1::Purpose::ClinicalImages as i32),
                "research" | "HRESCH" => Some(v1::Purpose::Research as i32),
                "HMARKT" | "marketing" | "marketing-images" => Some(v1::Purpose::Marketing as i32),
                _ => None,
            })
            .collect();
        purposes.sort_unstable();
        purposes.dedup();
        if purposes.is_empty() {
            purposes.push(v1::Purpose::Treatment as i32);
        }
        let (start, end) = period.map_or((None, None), |period| (period.start, period.end));
        let start = start.or(body.date_time).ok_or(Fault::Missing { field: "dateTime" })?;
        let valid_until_ms = match end {
            Some(end) => parse_fhir(&end).map_err(|_| Fault::BadTime { field: "provision.period.end" })?,
            None => 0,
        };
        let (patient, unit) = self.patient(body.patient, "patient")?;
        Ok(Ask::Consent(v1::GrantConsentRequest {
            header: None,
            consent_id: id_of(LabelKind::Consent, &resource.id).to_wire(),
            patient_id: patient.to_wire(),
            unit_id: unit.to_wire(),
            purposes,
            valid_from_ms: parse_fhir(&start).map_err(|_| Fault::BadTime { field: "dateTime" })?,
            valid_until_ms,
            document: resource.document(DOCUMENT_BYTES_MAX)?,
        }))
    }

    pub(super) fn appointment(&self, line: &[u8], terminated: bool) -> Result<Ask, Fault> {
        #[derive(Deserialize)]
        struct Participant {
            actor: Option<Reference>,
        }
        #[derive(Deserialize)]
        struct Body {
            status: Option<String>,
            start: Option<String>,
            end: Option<String>,
            #[serde(default)]
            participant: Vec<Participant>,
        }
        let resource = Resource::of_kind(line, terminated, "Appointment")?;
        let body: Body = resource.body()?;
        if !matches!(body.status.as_deref(), Some("booked" | "pending" | "proposed")) {
            return Err(Fault::Status);
        }
        let actors: Vec<String> = body.participant.into_iter().filter_map(|it| it.actor?.reference).collect();
        let actor = |kind: &str, field| {
            // `urn:uuid:` does not say whether it is a patient, a professional or a room.
            let mut found = actors.iter().filter(|actor| !actor.starts_with("urn:")).filter_map(|it| target(it, kind));
            found.next().map(str::to_owned).ok_or(Fault::Missing { field })
        };
        let patient = id_of(LabelKind::Patient, &actor("Patient", "participant (Patient)")?);
        let practitioner = id_of(LabelKind::Practitioner, &actor("Practitioner", "participant (Practitioner)")?);
        let room = id_of(LabelKind::Room, &actor("Location", "participant (Location)")?);
        let unit = self.rooms.get(&room).ok_or(Fault::UnknownReference { field: "participant (Location)" })?;
        if !self.practitioners.contains_key(&practitioner) {
            return Err(Fault::UnknownReference { field: "participant (Practitioner)" });
        }
        if !self.patients.contains_key(&patient) {
            return Err(Fault::UnknownReference { field: "participant (Patient)" });
        }
        let time = |text: Option<String>, field| {
            let text = text.ok_or(Fault::Missing { field })?;
            parse_rfc3339(&text).map_err(|_| Fault::BadTime { field })
        };
        let slot = v1::Slot {
            unit_id: unit.to_wire(),
            practitioner_id: practitioner.to_wire(),
            room_id: room.to_wire(),
            start_ms: time(body.start, "start")?,
            end_ms: time(body.end, "end")?,
        };
        Ok(Ask::Book(v1::BookRequest {
            header: None,
            appointment_id: id_of(LabelKind::Appointment, &resource.id).to_wire(),
            patient_id: patient.to_wire(),
            slot: Some(slot),
            encaixe_reason: String::new(),
            document: resource.document(BOOKING_BYTES_MAX)?,
        }))
    }
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "lastUpdated")]
    last_updated: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordBody {
    subject: Option<Reference>,
    patient: Option<Reference>,
    period: Option<Period>,
    effective_date_time: Option<String>,
    effective_period: Option<Period>,
    issued: Option<String>,
    recorded_date: Option<String>,
    authored_on: Option<String>,
    date: Option<String>,
    occurrence_date_time: Option<String>,
    performed_date_time: Option<String>,
    performed_period: Option<Period>,
    onset_date_time: Option<String>,
    created: Option<String>,
    meta: Option<Meta>,
}

impl RecordBody {
    /// The first date that is there, in this order.
    fn authored_ms(&self) -> Result<i64, Fault> {
        let start = |period: &'_ Option<Period>| period.as_ref().and_then(|period| period.start.clone());
        let dates = [
            ("period.start", start(&self.period)),
            ("effectiveDateTime", self.effective_date_time.clone()),
            ("effectivePeriod.start", start(&self.effective_period)),
            ("issued", self.issued.clone()),
            ("recordedDate", self.recorded_date.clone()),
            ("authoredOn", self.authored_on.clone()),
            ("date", self.date.clone()),
            ("occurrenceDateTime", self.occurrence_date_time.clone()),
            ("performedDateTime", self.performed_date_time.clone()),
            ("performedPeriod.start", start(&self.performed_period)),
            ("onsetDateTime", self.onset_date_time.clone()),
            ("created", self.created.clone()),
            ("meta.lastUpdated", self.meta.as_ref().and_then(|meta| meta.last_updated.clone())),
        ];
        match dates.into_iter().find_map(|(field, date)| Some((field, date?))) {
            Some((field, date)) => parse_fhir(&date).map_err(|_| Fault::BadTime { field }),
            // Not the epoch, which is a date that a record may really have.
            None => Ok(TIME_MS_MIN),
        }
    }
}

/// A unit's short name: the source's id where it is one, else what remains of the name, else the id's first digits.
fn slug(source: &str, name: &str, id: Id) -> String {
    let fits = |text: &str| {
        (1..=32).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    if fits(source) {
        return source.to_owned();
    }
    let mut made = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        let c = match c {
            'a'..='z' | '0'..='9' => c,
            'á' | 'à' | 'â' | 'ã' => 'a',
            'é' | 'ê' => 'e',
            'í' => 'i',
            'ó' | 'ô' | 'õ' => 'o',
            'ú' | 'ü' => 'u',
            'ç' => 'c',
            _ => '-',
        };
        if made.len() < 32 && !(c == '-' && (made.is_empty() || made.ends_with('-'))) {
            made.push(c);
        }
    }
    let made = made.trim_end_matches('-');
    if fits(made) { made.to_owned() } else { format!("u-{}", &id.to_string()[..8]) }
}
