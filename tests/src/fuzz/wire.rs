//! Messages of other programs and other nodes.

use super::input::{Input, assert_settled};
use plantao_node::again;
use prost::Message;

/// What a peer asks: to append, and for a vote.
pub(super) mod peer_call {
    use super::*;
    use plantao_proto::peer::v1 as wire;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let id = |index| Some(wire::EntryId { term: 2, leader_id: 1, index });
        let vote = Some(wire::VoteState { term: 2, node_id: 1, committed: true });
        let entry = |index, payload: &[u8]| wire::Entry { id: id(index), payload: payload.to_vec().into() };
        let append = wire::AppendRequest {
            header: Some(wire::PeerHeader::default()),
            vote,
            previous: id(4),
            entries: vec![
                entry(5, &[1, 0]),
                entry(6, &[1, 1, 7, 8]),
                entry(7, b"\x01\x02{\"configs\":[[1]],\"nodes\":{}}"),
            ],
            committed: id(4),
            now_ms: 5,
        };
        let ask = wire::VoteRequest {
            header: Some(wire::PeerHeader::default()),
            vote,
            last: id(7),
            leadership_transfer: true,
        };
        vec![append.encode_to_vec(), ask.encode_to_vec()]
    }

    pub(crate) fn run(data: &[u8]) {
        for (place, made) in again::peer_calls(data).into_iter().enumerate() {
            let Some(made) = made else { continue };
            assert_settled(&made, |bytes| again::peer_calls(bytes)[place].clone());
        }
    }
}

macro_rules! requests {
    ($($plane:ident: $($name:ident)*;)*) => {
        /// Reads the bytes as the request with this number; `None` where there is none.
        fn read(number: usize, bytes: &[u8]) -> Option<Result<Vec<u8>, tonic::Status>> {
            let readers: &[fn(&[u8]) -> Result<Vec<u8>, tonic::Status>] =
                &[$($(plantao_proto::strict::again::<plantao_proto::$plane::v1::$name>,)*)*];
            readers.get(number).map(|reader| reader(bytes))
        }
    };
}

requests! {
    public: BookRequest MoveAppointmentRequest ChangeAppointmentStateRequest GetAppointmentRequest ListAppointmentsRequest
        ListEntriesRequest VerifyTrailRequest WatchRequest GrantConsentRequest RevokeConsentRequest GetConsentRequest
        ListConsentsRequest RegisterUnitRequest RegisterPractitionerRequest RegisterRoomRequest ListUnitsRequest
        ListPractitionersRequest ListRoomsRequest BeginUploadRequest UploadRequest UploadStatusRequest FinishUploadRequest
        AbandonUploadRequest PutImageRequest GetImageRequest ListImagesRequest ReadImageRequest VerifyImageRequest
        RegisterPatientRequest AmendPatientRequest GetPatientRequest FindPatientsRequest ListPatientsRequest AddRecordRequest
        AmendRecordRequest GetRecordRequest ListRecordsRequest ReadRecordsRequest;
    admin: GetCertificateRequest RequestCertificateRequest InstallCertificateRequest InstallRootsRequest
        InstallRevocationsRequest GetStatusRequest GetDigestRequest TransferLeadershipRequest CreateJoinTokenRequest
        GetHealthRequest DiagnoseRequest WatchEventsRequest GetHistoryRequest SetLeadPolicyRequest StandForElectionRequest
        GetMembersRequest ChangeMembersRequest StageMembersRequest PlanReplacementRequest ProveRequest ListCopiesRequest
        RecoverQuorumRequest GetUpgradeRequest FinalizeUpgradeRequest;
}

/// Every request of the public and the admin plane, its number first: what is accepted has nothing that this version does not
/// know.
pub(super) mod request_form {
    use super::*;
    use plantao_proto::public::v1;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let book = sample_booking().encode_to_vec();
        let grant =
            v1::GrantConsentRequest { consent_id: vec![1; 16].into(), purposes: vec![1, 2], ..Default::default() };
        let numbered = |number: u8, bytes: &[u8]| [&[number], bytes].concat();
        vec![
            numbered(0, &book),
            numbered(8, &grant.encode_to_vec()),
            numbered(0, &[0xa8, 0x06, 1]),
            numbered(61, &[10, 2, 8, 1]),
        ]
    }

    pub(crate) fn run(data: &[u8]) {
        let Some((number, bytes)) = data.split_first() else { return };
        let number = usize::from(*number);
        let Some(Ok(made)) = super::read(number, bytes) else { return };
        assert_settled(&made, |bytes| super::read(number, bytes)?.ok());
        assert!(made.len() <= bytes.len(), "it grew from {} to {} bytes", bytes.len(), made.len());
        // A field that nobody knows, at the end and at the beginning: it would be dropped silently.
        let unknown = [0xf8, 0xff, 0xff, 0xff, 0x0f, 1];
        for odd in [[bytes, &unknown].concat(), [&unknown, bytes].concat()] {
            assert!(super::read(number, &odd).is_some_and(|read| read.is_err()), "an unknown field is dropped");
        }
    }
}

fn sample_booking() -> plantao_proto::public::v1::BookRequest {
    use plantao_proto::public::v1;
    v1::BookRequest {
        appointment_id: vec![1; 16].into(),
        patient_id: vec![2; 16].into(),
        slot: Some(v1::Slot {
            unit_id: vec![3; 16].into(),
            practitioner_id: vec![4; 16].into(),
            room_id: vec![5; 16].into(),
            start_ms: 1_795_435_200_000,
            end_ms: 1_795_437_000_000,
        }),
        encaixe_reason: "porque sim".to_owned(),
        document: b"{}".to_vec().into(),
        ..Default::default()
    }
}

/// Requests with what people typed, their number first: what is accepted is what may be kept.
pub(super) mod typed_request {
    use super::*;
    use plantao_proto::public::v1;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let patient = v1::RegisterPatientRequest {
            patient_id: vec![2; 16].into(),
            unit_id: vec![3; 16].into(),
            demographics: Some(v1::Demographics {
                name: "Antônia d'Ávila".to_owned(),
                cpf: "462.587.539-06".to_owned(),
                phones: vec!["+55 11 91234-5678".to_owned()],
                email: "a@b.c".to_owned(),
                birth_date: "1981-01-25".to_owned(),
                document: b"{}".to_vec().into(),
            }),
            ..Default::default()
        };
        let record = v1::AddRecordRequest {
            record_id: vec![1; 16].into(),
            patient_id: vec![2; 16].into(),
            unit_id: vec![3; 16].into(),
            kind: "Observation".to_owned(),
            document: b"{}".to_vec().into(),
            ..Default::default()
        };
        let numbered = |number: u8, bytes: Vec<u8>| [vec![number], bytes].concat();
        vec![
            numbered(3, patient.encode_to_vec()),
            numbered(5, sample_booking().encode_to_vec()),
            numbered(8, record.encode_to_vec()),
        ]
    }

    pub(crate) fn run(data: &[u8]) {
        let Some((number, bytes)) = data.split_first() else { return };
        let Some((texts, documents)) = again::typed(*number % 12, bytes) else { return };
        for text in texts {
            assert!(text.chars().count() <= 500, "a text beyond every bound");
            let deceptive = |c: char| {
                c.is_control()
                    || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
            };
            assert!(!text.chars().any(deceptive), "a text that pretends to be another one");
        }
        assert!(documents.iter().all(|document| document.len() <= 48 << 10));
    }
}

/// Where a page of a list goes on.
pub(super) mod page_token {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        vec![Vec::new(), vec![0; 24], vec![0xff; 24], vec![1; 25]]
    }

    pub(crate) fn run(data: &[u8]) {
        match again::page_token(data) {
            Some(Some(token)) => assert_eq!(token, data, "one place, one token"),
            Some(None) => assert!(data.is_empty()),
            None => assert_ne!(data.len(), 24),
        }
        // Taken apart, whatever is left of it is refused.
        let mut input = Input(data);
        input.byte();
        assert!(data.len() != 24 || again::page_token(input.0).is_none());
    }
}
