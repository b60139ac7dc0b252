//! A node as small as these tests need it: one table in memory, outcomes kept by request id, bookings that may not
//! overlap, and a script of what goes wrong.

use bytes::Bytes;
use plantao_client::error::{NOT_DONE, OUTCOME_KEY};
use plantao_proto::public::v1::{self, write_outcome::Outcome};
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};

/// What goes wrong with one write.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// Nothing.
    None,
    /// It is done, and the answer is lost.
    LostAnswer,
    /// It is not done, and the node says so.
    NotDone,
    /// It is not done, the node says so, and would say so again.
    Sealed,
    /// It is not done, for this reason.
    Refuse(Code),
    /// The answer is a rejection of this number.
    Reject(u32),
}

#[derive(Default)]
pub struct State {
    pub objects: HashMap<Bytes, Bytes>,
    outcomes: HashMap<Bytes, v1::WriteOutcome>,
    pub units: Vec<v1::Unit>,
    rooms: Vec<v1::Room>,
    practitioners: Vec<v1::Practitioner>,
    patients: Vec<v1::PatientSummary>,
    pub consents: Vec<v1::Consent>,
    bookings: Vec<(v1::BookRequest, v1::Slot)>,
    /// Request ids of the writes that came, in order.
    pub seen: Vec<Bytes>,
    pub script: VecDeque<Trouble>,
    /// When the script is over.
    pub otherwise: Option<Trouble>,
    /// Streams of a watch, one after the other; `from_index` of each request.
    pub streams: VecDeque<Vec<v1::watch_response::Event>>,
    pub watched_from: Vec<u64>,
    pub gallery: crate::gallery::Gallery,
}

#[derive(Clone, Default)]
pub struct Clinic(pub Arc<Mutex<State>>);

fn confirmed(changed: bool) -> Outcome {
    Outcome::Confirmed(v1::Confirmed { version: 1, changed })
}

fn rejected(code: u32) -> Outcome {
    Outcome::Rejection(v1::Rejection { code, message: "because".into(), help: "do so".into(), ..Default::default() })
}

impl Clinic {
    pub fn trouble(&self, script: &[Trouble], otherwise: Option<Trouble>) {
        let mut state = self.0.lock().unwrap();
        state.script = script.iter().copied().collect();
        state.otherwise = otherwise;
        state.seen.clear();
    }

    pub fn seen(&self) -> Vec<Bytes> {
        self.0.lock().unwrap().seen.clone()
    }

    #[allow(clippy::result_large_err)]
    fn write(
        &self,
        header: Option<v1::RequestHeader>,
        id: &Bytes,
        content: Bytes,
        apply: impl FnOnce(&mut State) -> Option<Outcome>,
    ) -> Result<Option<v1::WriteOutcome>, Status> {
        let header = header.ok_or_else(|| Status::invalid_argument("no header"))?;
        let state = &mut *self.0.lock().unwrap();
        state.seen.push(header.request_id.clone());
        let trouble = state.script.pop_front().or(state.otherwise).unwrap_or(Trouble::None);
        match trouble {
            Trouble::None | Trouble::LostAnswer => {}
            Trouble::NotDone | Trouble::Sealed => {
                let mut status = match trouble {
                    Trouble::Sealed => Status::failed_precondition("this node is sealed"),
                    _ => Status::unavailable("no leader"),
                };
                status.metadata_mut().insert(OUTCOME_KEY, NOT_DONE.parse().unwrap());
                return Err(status);
            }
            Trouble::Refuse(code) => return Err(Status::new(code, "no")),
            Trouble::Reject(code) => {
                return Ok(Some(v1::WriteOutcome { outcome: Some(rejected(code)), index: 1 }));
            }
        }
        let outcome = match state.outcomes.get(&header.request_id) {
            Some(outcome) => outcome.clone(),
            None => {
                let outcome = match state.objects.get(id) {
                    Some(there) if *there == content => confirmed(false),
                    Some(_) => rejected(1202),
                    None => apply(state).unwrap_or_else(|| {
                        state.objects.insert(id.clone(), content);
                        confirmed(true)
                    }),
                };
                let outcome = v1::WriteOutcome { outcome: Some(outcome), index: state.outcomes.len() as u64 + 1 };
                state.outcomes.insert(header.request_id, outcome.clone());
                outcome
            }
        };
        if matches!(trouble, Trouble::LostAnswer) { Err(Status::unavailable("lost")) } else { Ok(Some(outcome)) }
    }

    #[allow(clippy::result_large_err)]
    fn document(&self, id: &Bytes) -> Result<Bytes, Status> {
        self.0.lock().unwrap().objects.get(id).cloned().ok_or_else(|| Status::not_found("no such object"))
    }
}

type Answer<T> = Result<Response<T>, Status>;

// As the attribute on the trait would write it: it does not look into macros.
macro_rules! not_here {
    ($($name:ident($request:ident) -> $response:ident;)*) => {$(
        fn $name<'a, 'b>(
            &'a self,
            _: Request<v1::$request>,
        ) -> Pin<Box<dyn Future<Output = Answer<v1::$response>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(Status::unimplemented("not in this node")) })
        }
    )*};
}

#[tonic::async_trait]
impl v1::directory_service_server::DirectoryService for Clinic {
    async fn register_unit(&self, request: Request<v1::RegisterUnitRequest>) -> Answer<v1::RegisterUnitResponse> {
        let request = request.into_inner();
        let unit = request.unit.unwrap();
        let outcome = self.write(request.header, &unit.id.clone(), unit.document.clone(), |state| {
            state.units.push(unit);
            None
        })?;
        Ok(Response::new(v1::RegisterUnitResponse { outcome }))
    }
    async fn register_practitioner(
        &self,
        request: Request<v1::RegisterPractitionerRequest>,
    ) -> Answer<v1::RegisterPractitionerResponse> {
        let request = request.into_inner();
        let it = request.practitioner.unwrap();
        let outcome = self.write(request.header, &it.id.clone(), it.document.clone(), |state| {
            state.practitioners.push(it);
            None
        })?;
        Ok(Response::new(v1::RegisterPractitionerResponse { outcome }))
    }
    async fn register_room(&self, request: Request<v1::RegisterRoomRequest>) -> Answer<v1::RegisterRoomResponse> {
        let request = request.into_inner();
        let room = request.room.unwrap();
        let outcome = self.write(request.header, &room.id.clone(), room.document.clone(), |state| {
            state.rooms.push(room);
            None
        })?;
        Ok(Response::new(v1::RegisterRoomResponse { outcome }))
    }
    async fn list_units(&self, _: Request<v1::ListUnitsRequest>) -> Answer<v1::ListUnitsResponse> {
        let units = self.0.lock().unwrap().units.clone();
        Ok(Response::new(v1::ListUnitsResponse { units, ..Default::default() }))
    }
    async fn list_practitioners(
        &self,
        _: Request<v1::ListPractitionersRequest>,
    ) -> Answer<v1::ListPractitionersResponse> {
        let practitioners = self.0.lock().unwrap().practitioners.clone();
        Ok(Response::new(v1::ListPractitionersResponse { practitioners, ..Default::default() }))
    }
    async fn list_rooms(&self, _: Request<v1::ListRoomsRequest>) -> Answer<v1::ListRoomsResponse> {
        let rooms = self.0.lock().unwrap().rooms.clone();
        Ok(Response::new(v1::ListRoomsResponse { rooms, ..Default::default() }))
    }
}

#[tonic::async_trait]
impl v1::patient_service_server::PatientService for Clinic {
    async fn register_patient(
        &self,
        request: Request<v1::RegisterPatientRequest>,
    ) -> Answer<v1::RegisterPatientResponse> {
        let request = request.into_inner();
        let document = request.demographics.unwrap().document;
        let outcome = self.write(request.header, &request.patient_id, document, |state| {
            state.patients.push(v1::PatientSummary {
                id: request.patient_id.clone(),
                unit_id: request.unit_id,
                version: 1,
            });
            None
        })?;
        Ok(Response::new(v1::RegisterPatientResponse { outcome }))
    }
    async fn list_patients(&self, _: Request<v1::ListPatientsRequest>) -> Answer<v1::ListPatientsResponse> {
        let patients = self.0.lock().unwrap().patients.clone();
        Ok(Response::new(v1::ListPatientsResponse { patients, ..Default::default() }))
    }
    not_here! {
        amend_patient(AmendPatientRequest) -> AmendPatientResponse;
        get_patient(GetPatientRequest) -> GetPatientResponse;
        find_patients(FindPatientsRequest) -> FindPatientsResponse;
    }
}

#[tonic::async_trait]
impl v1::record_service_server::RecordService for Clinic {
    type ReadRecordsStream = Pin<Box<dyn Stream<Item = Result<v1::ReadRecordsResponse, Status>> + Send>>;

    async fn add_record(&self, request: Request<v1::AddRecordRequest>) -> Answer<v1::AddRecordResponse> {
        let it = request.into_inner();
        let outcome = self.write(it.header, &it.record_id, it.document, |_| None)?;
        Ok(Response::new(v1::AddRecordResponse { outcome }))
    }
    async fn get_record(&self, request: Request<v1::GetRecordRequest>) -> Answer<v1::GetRecordResponse> {
        let document = self.document(&request.into_inner().record_id)?;
        Ok(Response::new(v1::GetRecordResponse { document, ..Default::default() }))
    }
    async fn read_records(&self, _: Request<v1::ReadRecordsRequest>) -> Answer<Self::ReadRecordsStream> {
        Err(Status::unimplemented("not in this node"))
    }
    not_here! {
        amend_record(AmendRecordRequest) -> AmendRecordResponse;
        list_records(ListRecordsRequest) -> ListRecordsResponse;
    }
}

#[tonic::async_trait]
impl v1::consent_service_server::ConsentService for Clinic {
    async fn grant_consent(&self, request: Request<v1::GrantConsentRequest>) -> Answer<v1::GrantConsentResponse> {
        let it = request.into_inner();
        let consent = v1::Consent {
            id: it.consent_id.clone(),
            patient_id: it.patient_id,
            purposes: it.purposes,
            valid_from_ms: it.valid_from_ms,
            valid_until_ms: it.valid_until_ms,
            ..Default::default()
        };
        let outcome = self.write(it.header, &it.consent_id, it.document, |state| {
            state.consents.push(consent);
            None
        })?;
        Ok(Response::new(v1::GrantConsentResponse { outcome }))
    }
    async fn get_consent(&self, request: Request<v1::GetConsentRequest>) -> Answer<v1::GetConsentResponse> {
        let document = self.document(&request.into_inner().consent_id)?;
        let consent = Some(v1::Consent { document, ..Default::default() });
        Ok(Response::new(v1::GetConsentResponse { as_of: None, consent }))
    }
    async fn list_consents(&self, request: Request<v1::ListConsentsRequest>) -> Answer<v1::ListConsentsResponse> {
        let patient = request.into_inner().patient_id;
        let consents = self.0.lock().unwrap().consents.clone();
        let consents = consents.into_iter().filter(|consent| consent.patient_id == patient).collect();
        Ok(Response::new(v1::ListConsentsResponse { consents, ..Default::default() }))
    }
    not_here! {
        revoke_consent(RevokeConsentRequest) -> RevokeConsentResponse;
    }
}

#[tonic::async_trait]
impl v1::agenda_service_server::AgendaService for Clinic {
    async fn book(&self, request: Request<v1::BookRequest>) -> Answer<v1::BookResponse> {
        let it = request.into_inner();
        let slot = it.slot.clone().unwrap();
        let outcome = self.write(it.header.clone(), &it.appointment_id.clone(), it.document.clone(), |state| {
            let taken = state.bookings.iter().find_map(|(other, theirs)| {
                if slot.start_ms >= theirs.end_ms || theirs.start_ms >= slot.end_ms {
                    return None;
                }
                let (kind, id) = if slot.practitioner_id == theirs.practitioner_id {
                    (v1::ResourceKind::Practitioner, &slot.practitioner_id)
                } else if slot.room_id == theirs.room_id {
                    (v1::ResourceKind::Room, &slot.room_id)
                } else if it.patient_id == other.patient_id {
                    (v1::ResourceKind::Patient, &it.patient_id)
                } else {
                    return None;
                };
                Some(v1::Rejection {
                    code: 1204,
                    message: "the slot is taken".into(),
                    help: "choose another time".into(),
                    resource: Some(v1::Resource { kind: kind as i32, id: id.clone() }),
                    holder_appointment_id: other.appointment_id.clone(),
                    ..Default::default()
                })
            });
            if taken.is_none() {
                state.bookings.push((it, slot));
            }
            taken.map(Outcome::Rejection)
        })?;
        Ok(Response::new(v1::BookResponse { outcome }))
    }
    not_here! {
        move_appointment(MoveAppointmentRequest) -> MoveAppointmentResponse;
        change_appointment_state(ChangeAppointmentStateRequest) -> ChangeAppointmentStateResponse;
        get_appointment(GetAppointmentRequest) -> GetAppointmentResponse;
        list_appointments(ListAppointmentsRequest) -> ListAppointmentsResponse;
    }
}

#[tonic::async_trait]
impl v1::change_service_server::ChangeService for Clinic {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let mut state = self.0.lock().unwrap();
        state.watched_from.push(request.into_inner().from_index);
        let events = state.streams.pop_front().ok_or_else(|| Status::unavailable("no more streams"))?;
        let events = events.into_iter().map(|event| Ok(v1::WatchResponse { event: Some(event) }));
        Ok(Response::new(Box::pin(tokio_stream::iter(events))))
    }
}
