//! The public plane: a method for each rpc.

use super::Written;
use crate::connect::Cluster;
use crate::error::Error;
use crate::transport::MESSAGE_BYTES_MAX;
use plantao_proto::public::v1::agenda_service_client::AgendaServiceClient;
use plantao_proto::public::v1::audit_service_client::AuditServiceClient;
use plantao_proto::public::v1::consent_service_client::ConsentServiceClient;
use plantao_proto::public::v1::directory_service_client::DirectoryServiceClient;
use plantao_proto::public::v1::image_service_client::ImageServiceClient;
use plantao_proto::public::v1::patient_service_client::PatientServiceClient;
use plantao_proto::public::v1::record_service_client::RecordServiceClient;
use plantao_proto::public::v1::{self};
use tonic::Request;

macro_rules! writes {
    ($($(#[$doc:meta])* $name:ident($client:ident, $request:ident);)*) => {
        impl Cluster {$(
            $(#[$doc])*
            pub async fn $name(&self, mut request: v1::$request) -> Result<Written, Error> {
                let header = self.header(request.header.take())?;
                request.header = Some(header.clone());
                self.write(&header, |channel, timeout| {
                    let mut message = Request::new(request.clone());
                    message.set_timeout(timeout);
                    async move {
                        let mut client = $client::new(channel)
                            .max_decoding_message_size(MESSAGE_BYTES_MAX)
                            .max_encoding_message_size(MESSAGE_BYTES_MAX);
                        let response = client.$name(message).await?;
                        Ok(response.map(|response| response.outcome))
                    }
                })
                .await
            }
        )*}
    };
}

macro_rules! reads {
    ($($(#[$doc:meta])* $name:ident($client:ident, $request:ident) -> $response:ty;)*) => {
        impl Cluster {$(
            $(#[$doc])*
            pub async fn $name(&self, request: v1::$request) -> Result<$response, Error> {
                self.read(|channel, timeout| {
                    let mut message = Request::new(request.clone());
                    message.set_timeout(timeout);
                    async move {
                        let mut client = $client::new(channel)
                            .max_decoding_message_size(MESSAGE_BYTES_MAX)
                            .max_encoding_message_size(MESSAGE_BYTES_MAX);
                        client.$name(message).await
                    }
                })
                .await
            }
        )*}
    };
}

writes! {
    /// Registers a unit.
    register_unit(DirectoryServiceClient, RegisterUnitRequest);
    /// Registers a professional.
    register_practitioner(DirectoryServiceClient, RegisterPractitionerRequest);
    /// Registers a room.
    register_room(DirectoryServiceClient, RegisterRoomRequest);
    /// Registers a patient.
    register_patient(PatientServiceClient, RegisterPatientRequest);
    /// Replaces a patient's demographics by a new version.
    amend_patient(PatientServiceClient, AmendPatientRequest);
    /// Books.
    book(AgendaServiceClient, BookRequest);
    /// Moves a booking.
    move_appointment(AgendaServiceClient, MoveAppointmentRequest);
    /// Takes a booking one step through its life.
    change_appointment_state(AgendaServiceClient, ChangeAppointmentStateRequest);
    /// Adds a record.
    add_record(RecordServiceClient, AddRecordRequest);
    /// Adds a version to a record.
    amend_record(RecordServiceClient, AmendRecordRequest);
    /// Grants a consent.
    grant_consent(ConsentServiceClient, GrantConsentRequest);
    /// Revokes a consent.
    revoke_consent(ConsentServiceClient, RevokeConsentRequest);
}

reads! {
    /// One page of units.
    list_units(DirectoryServiceClient, ListUnitsRequest) -> v1::ListUnitsResponse;
    /// One page of professionals.
    list_practitioners(DirectoryServiceClient, ListPractitionersRequest) -> v1::ListPractitionersResponse;
    /// One page of rooms.
    list_rooms(DirectoryServiceClient, ListRoomsRequest) -> v1::ListRoomsResponse;
    /// One patient; audited.
    get_patient(PatientServiceClient, GetPatientRequest) -> v1::GetPatientResponse;
    /// Patients by CPF, telephone or part of a name; audited.
    find_patients(PatientServiceClient, FindPatientsRequest) -> v1::FindPatientsResponse;
    /// One page of patients, ids only.
    list_patients(PatientServiceClient, ListPatientsRequest) -> v1::ListPatientsResponse;
    /// One booking.
    get_appointment(AgendaServiceClient, GetAppointmentRequest) -> v1::GetAppointmentResponse;
    /// One page of an agenda.
    list_appointments(AgendaServiceClient, ListAppointmentsRequest) -> v1::ListAppointmentsResponse;
    /// One record; audited.
    get_record(RecordServiceClient, GetRecordRequest) -> v1::GetRecordResponse;
    /// One page of a patient's record heads.
    list_records(RecordServiceClient, ListRecordsRequest) -> v1::ListRecordsResponse;
    /// All records of a patient with content, as a stream; audited. Retried until the stream opens; a stream that
    /// breaks later ends with its status, and the caller decides whether to begin again.
    read_records(RecordServiceClient, ReadRecordsRequest) -> tonic::Streaming<v1::ReadRecordsResponse>;
    /// One consent; audited.
    get_consent(ConsentServiceClient, GetConsentRequest) -> v1::GetConsentResponse;
    /// One page of a patient's consents.
    list_consents(ConsentServiceClient, ListConsentsRequest) -> v1::ListConsentsResponse;
    /// One image, without its bytes; audited.
    get_image(ImageServiceClient, GetImageRequest) -> v1::GetImageResponse;
    /// One page of a patient's images, without what is sealed.
    list_images(ImageServiceClient, ListImagesRequest) -> v1::ListImagesResponse;
    /// Entries of the audit trail.
    list_entries(AuditServiceClient, ListEntriesRequest) -> v1::ListEntriesResponse;
    /// Recomputes the chain of the audit trail on the node.
    verify_trail(AuditServiceClient, VerifyTrailRequest) -> v1::VerifyTrailResponse;
}
