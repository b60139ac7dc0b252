//! The cluster as commands see it: whole lists instead of pages, read options from the command line, failures that know
//! what to tell. Only this file calls the public services of the client.

use crate::failure::Failure;
use plantao_client::error::Error;
use plantao_client::id::Id;
use plantao_client::{Cluster, Written};
use plantao_proto::public::v1::{self, AsOf, ReadOptions};
use std::time::Duration;

/// Most pages that one command reads: 500,000 rows. Beyond it a list for people makes no sense, and memory ends.
const PAGES_MAX: usize = 1_000;
/// Items of a page, as large as the cluster gives.
const PAGE_ITEMS: u32 = 500;

/// A whole list and what it reflects.
type Listed<T> = Result<(Option<AsOf>, Vec<T>), Failure>;

/// What patients are found by.
#[derive(Clone)]
pub(crate) enum Find {
    /// By CPF.
    Cpf(String),
    /// By telephone.
    Phone(String),
    /// By part of the name.
    Name(String),
}

/// Header of a write: the same for each try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// Of the request.
    pub(crate) request_id: Id,
    /// Last instant at which it may be done.
    pub(crate) not_after_ms: i64,
    /// How long this command waits, where that is less than the life of the request.
    pub(crate) patience: Option<Duration>,
}

impl Header {
    fn wire(&self) -> Option<v1::RequestHeader> {
        Some(v1::RequestHeader { request_id: self.request_id.to_wire(), not_after_ms: self.not_after_ms })
    }
}

/// A cluster and how it is read.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    cluster: Cluster,
    read: ReadOptions,
}

macro_rules! lists {
    ($(
        $(#[$doc:meta])*
        $name:ident($($arg:ident: $kind:ty),*):
            $call:ident($request:ident $fields:tt) -> $item:ident in $field:ident;
    )*) => {
        impl Gateway {$(
            $(#[$doc])*
            pub(crate) async fn $name(&self, $($arg: $kind),*) -> Listed<v1::$item> {
                let mut items = Vec::new();
                let mut as_of = None;
                let mut token = Default::default();
                for _ in 0..PAGES_MAX {
                    let page = Some(v1::Page { size: PAGE_ITEMS, token });
                    let request = lists!(@request self, page, $request $fields);
                    let answer = self.cluster.$call(request).await?;
                    // The first page is the oldest: what the whole list reflects at least.
                    as_of = as_of.or(answer.as_of);
                    items.extend(answer.$field);
                    if answer.next_page_token.is_empty() {
                        return Ok((as_of, items));
                    }
                    token = answer.next_page_token;
                }
                Err(Failure::BadAnswer { why: format!("a list of more than {PAGES_MAX} pages") })
            }
        )*}
    };
    (@request $self:ident, $page:ident, $request:ident { $($name:ident: $value:expr),* }) => {
        v1::$request { read: Some($self.read), page: $page, $($name: $value),* }
    };
}

lists! {
    /// All units.
    units(): list_units(ListUnitsRequest {}) -> Unit in units;
    /// All professionals, or those of a unit.
    practitioners(unit: Option<Id>):
        list_practitioners(ListPractitionersRequest { unit_id: wire(unit) }) -> Practitioner in practitioners;
    /// All rooms, or those of a unit.
    rooms(unit: Option<Id>): list_rooms(ListRoomsRequest { unit_id: wire(unit) }) -> Room in rooms;
    /// All patients, ids only.
    patients(): list_patients(ListPatientsRequest {}) -> PatientSummary in patients;
    /// Appointments that share an instant with `[from_ms, to_ms)`.
    appointments(of: &v1::list_appointments_request::Of, from_ms: i64, to_ms: i64):
        list_appointments(ListAppointmentsRequest { of: Some(of.clone()), from_ms: from_ms, to_ms: to_ms })
        -> Appointment in appointments;
    /// Heads of a patient's records.
    records(patient: Id, newest_first: bool):
        list_records(ListRecordsRequest { patient_id: patient.to_wire(), newest_first: newest_first })
        -> RecordHead in records;
    /// A patient's images, without what is sealed.
    images(patient: Id, newest_first: bool):
        list_images(ListImagesRequest { patient_id: patient.to_wire(), newest_first: newest_first })
        -> Image in images;
    /// A patient's consents, without documents.
    consents(patient: Id): list_consents(ListConsentsRequest { patient_id: patient.to_wire() }) -> Consent in consents;
}

macro_rules! writes {
    ($($(#[$doc:meta])* $name:ident($request:ident);)*) => {
        impl Gateway {$(
            $(#[$doc])*
            pub(crate) async fn $name(&self, header: &Header, mut request: v1::$request) -> Result<Written, Failure> {
                request.header = header.wire();
                patiently(header, self.cluster.$name(request)).await
            }
        )*}
    };
}

writes! {
    /// Registers a patient.
    register_patient(RegisterPatientRequest);
    /// Makes a new version of a patient's data.
    amend_patient(AmendPatientRequest);
    /// Books.
    book(BookRequest);
    /// Moves a booking.
    move_appointment(MoveAppointmentRequest);
    /// Takes a booking one step on.
    change_appointment_state(ChangeAppointmentStateRequest);
    /// Adds a record.
    add_record(AddRecordRequest);
    /// Adds a version to a record.
    amend_record(AmendRecordRequest);
    /// Grants a consent.
    grant_consent(GrantConsentRequest);
    /// Revokes a consent.
    revoke_consent(RevokeConsentRequest);
}

impl Gateway {
    /// Reads through `cluster` as `read` says.
    pub(crate) fn new(cluster: Cluster, read: ReadOptions) -> Self {
        Self { cluster, read }
    }

    /// The client's own view, for work that the client does as a whole.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// How everything here is read.
    pub(crate) fn read(&self) -> ReadOptions {
        self.read
    }

    /// A patient; audited.
    pub(crate) async fn patient(&self, id: Id, version: u32) -> Result<(Option<AsOf>, v1::Patient), Failure> {
        let request = v1::GetPatientRequest { read: Some(self.read), patient_id: id.to_wire(), version };
        let answer = self.cluster.get_patient(request).await?;
        Ok((answer.as_of, present(answer.patient)?))
    }

    /// Patients; audited.
    pub(crate) async fn find_patients(&self, by: Find) -> Result<v1::FindPatientsResponse, Failure> {
        use v1::find_patients_request::By;
        let by = Some(match by {
            Find::Cpf(cpf) => By::Cpf(cpf),
            Find::Phone(phone) => By::Phone(phone),
            Find::Name(name) => By::Name(name),
        });
        Ok(self.cluster.find_patients(v1::FindPatientsRequest { read: Some(self.read), by }).await?)
    }

    /// A booking; with `content` the document too, and then audited.
    pub(crate) async fn appointment(&self, id: Id, content: bool) -> Result<(Option<AsOf>, v1::Appointment), Failure> {
        let request = v1::GetAppointmentRequest { read: Some(self.read), appointment_id: id.to_wire(), content };
        let answer = self.cluster.get_appointment(request).await?;
        Ok((answer.as_of, present(answer.appointment)?))
    }

    /// A record; audited.
    pub(crate) async fn record(&self, id: Id, version: u32) -> Result<v1::GetRecordResponse, Failure> {
        let request = v1::GetRecordRequest { read: Some(self.read), record_id: id.to_wire(), version };
        Ok(self.cluster.get_record(request).await?)
    }

    /// A consent; audited.
    pub(crate) async fn consent(&self, id: Id) -> Result<(Option<AsOf>, v1::Consent), Failure> {
        let request = v1::GetConsentRequest { read: Some(self.read), consent_id: id.to_wire() };
        let answer = self.cluster.get_consent(request).await?;
        Ok((answer.as_of, present(answer.consent)?))
    }

    /// An image, without its bytes; audited.
    pub(crate) async fn image(&self, id: Id) -> Result<(Option<AsOf>, v1::Image), Failure> {
        let request = v1::GetImageRequest { read: Some(self.read), image_id: id.to_wire() };
        let answer = self.cluster.get_image(request).await?;
        Ok((answer.as_of, present(answer.image)?))
    }

    /// An image read on a node, and proof of each copy; audited.
    pub(crate) async fn verify_image(&self, id: Id) -> Result<v1::VerifyImageResponse, Failure> {
        let request = v1::VerifyImageRequest { read: Some(self.read), image_id: id.to_wire() };
        Ok(self.cluster.verify_image(request).await?)
    }

    /// One page of the audit trail.
    pub(crate) async fn audit_entries(
        &self,
        request: v1::ListEntriesRequest,
    ) -> Result<v1::ListEntriesResponse, Failure> {
        Ok(self.cluster.list_entries(v1::ListEntriesRequest { read: Some(self.read), ..request }).await?)
    }

    /// The chain of the audit trail, recomputed by the node.
    pub(crate) async fn verify_trail(&self) -> Result<v1::VerifyTrailResponse, Failure> {
        Ok(self.cluster.verify_trail(v1::VerifyTrailRequest { read: Some(self.read) }).await?)
    }
}

fn wire<B: Default + From<Vec<u8>>>(id: Option<Id>) -> B {
    id.map_or_else(B::default, |id| id.as_bytes().to_vec().into())
}

fn present<T>(part: Option<T>) -> Result<T, Failure> {
    part.ok_or_else(|| Failure::BadAnswer { why: "the object is missing in the answer".to_owned() })
}

/// Waits for a write as long as `header` says. Giving up early leaves the outcome unknown, whatever was going on.
async fn patiently(header: &Header, writing: impl Future<Output = Result<Written, Error>>) -> Result<Written, Failure> {
    let written = match header.patience {
        None => writing.await,
        Some(patience) => match tokio::time::timeout(patience, writing).await {
            Ok(written) => written,
            Err(_) => {
                return Err(Failure::Unknown {
                    request_id: header.request_id.to_string(),
                    not_after_ms: header.not_after_ms,
                    why: "no answer in time".to_owned(),
                });
            }
        },
    };
    written.map_err(|error| Failure::of_write(error, header.not_after_ms))
}
