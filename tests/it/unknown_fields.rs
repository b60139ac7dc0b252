//! What a node does not know in a request is refused, never dropped: on every service of the public and admin plane, at
//! every depth. Between nodes it is read over, or a network could not be upgraded node by node.

use crate::bad_input::quiet_digest;
use crate::raw;
use crate::world::{NOON, SOFTWARE, World, booking, id};
use bytes::Bytes;
use plantao_client::error::{CODE_KEY, HELP_KEY, NOT_DONE, OUTCOME_KEY};
use plantao_proto::admin::v1 as admin;
use plantao_proto::peer::v1 as peer;
use plantao_proto::public::v1 as wire;
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Field 1007, with a word that no answer may repeat.
const LATER: &[u8] = b"\xfa\x3e\x07segredo";

fn with(message: &impl Message, more: &[u8]) -> Bytes {
    [&message.encode_to_vec()[..], more].concat().into()
}

/// Field `number` (at most 15) with `body` as its content.
fn inside(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(body.len()).unwrap()][..], body].concat()
}

fn assert_refused(what: &str, code: &str, words: &str, status: &Status) {
    assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
    let metadata = status.metadata();
    assert_eq!(metadata.get(CODE_KEY).map(|code| code.to_str().unwrap()), Some(code), "{what}: {status}");
    assert_eq!(metadata.get(OUTCOME_KEY).map(|said| said.to_str().unwrap()), Some(NOT_DONE), "{what}");
    assert!(metadata.get_bin(HELP_KEY).is_some(), "{what}: no word on what to do");
    assert!(status.message().contains(words), "{what}: {status}");
    assert!(!status.message().contains("segredo"), "{what}: {status}");
}

async fn refused(channel: &Channel, path: &'static str, body: Bytes, words: &str) {
    let status = raw::call(channel.clone(), path, body).await.expect_err(path);
    assert_refused(path, "1402", words, &status);
}

pub(crate) async fn what_a_node_does_not_know_is_refused(world: &World) {
    let network = &world.network;
    let before = quiet_digest(world).await;
    let (certificate, key) = network.credentials(SOFTWARE);
    let channel = raw::with_files(network, &certificate, &key, &network.node("centro").public());
    let header = world.through("centro").new_header().unwrap();
    let read = wire::ReadOptions::default();
    let good = wire::BookRequest {
        header: Some(header.clone()),
        ..booking(world.patients[0], world.centro.slot(0, NOON + 90 * crate::world::DAY, 30))
    };

    // A whole request, and one field more: at the top, and inside of what it holds.
    for (path, body, words) in [
        ("/plantao.public.v1.AgendaService/Book", with(&good, LATER), "field 1007 of BookRequest is not known"),
        ("/plantao.public.v1.AgendaService/Book", with(&good, &inside(4, LATER)), "field 1007 of Slot"),
        ("/plantao.public.v1.AgendaService/Book", with(&good, &inside(1, LATER)), "field 1007 of RequestHeader"),
        (
            "/plantao.public.v1.PatientService/AmendPatient",
            with(&wire::AmendPatientRequest::default(), &inside(4, LATER)),
            "field 1007 of Demographics",
        ),
        (
            "/plantao.public.v1.DirectoryService/RegisterRoom",
            with(&wire::RegisterRoomRequest::default(), &inside(2, LATER)),
            "field 1007 of Room",
        ),
        (
            "/plantao.public.v1.RecordService/GetRecord",
            with(&wire::GetRecordRequest { read: Some(read), record_id: id().to_wire(), version: 0 }, LATER),
            "field 1007 of GetRecordRequest",
        ),
        (
            "/plantao.public.v1.RecordService/ReadRecords",
            with(&wire::ReadRecordsRequest::default(), &inside(1, LATER)),
            "field 1007 of ReadOptions",
        ),
        (
            "/plantao.public.v1.ChangeService/Watch",
            with(&wire::WatchRequest::default(), LATER),
            "field 1007 of WatchRequest",
        ),
        (
            "/plantao.public.v1.AuditService/VerifyTrail",
            with(&wire::VerifyTrailRequest::default(), LATER),
            "field 1007 of VerifyTrailRequest",
        ),
    ] {
        refused(&channel, path, body, words).await;
    }

    // A value of an enumeration that could only be guessed; alone, in a list, and deeper.
    let consent = wire::GrantConsentRequest { purposes: vec![1, 77], ..Default::default() };
    let local = wire::ReadOptions { consistency: 9, staleness_ms_max: 0 };
    for (path, body, words) in [
        (
            "/plantao.public.v1.AgendaService/ChangeAppointmentState",
            with(&wire::ChangeAppointmentStateRequest { state: 99, ..Default::default() }, &[]),
            "field 4 of ChangeAppointmentStateRequest has a value",
        ),
        (
            "/plantao.public.v1.ConsentService/GrantConsent",
            with(&consent, &[]),
            "field 5 of GrantConsentRequest has a value",
        ),
        (
            "/plantao.public.v1.AuditService/ListEntries",
            with(&wire::ListEntriesRequest { module: -1, ..Default::default() }, &[]),
            "field 4 of ListEntriesRequest has a value",
        ),
        (
            "/plantao.public.v1.ChangeService/Watch",
            with(&wire::WatchRequest { modules: vec![3, 400], ..Default::default() }, &[]),
            "field 3 of WatchRequest has a value",
        ),
        (
            "/plantao.public.v1.PatientService/ListPatients",
            with(&wire::ListPatientsRequest { read: Some(local), page: None }, &[]),
            "field 1 of ReadOptions has a value",
        ),
    ] {
        refused(&channel, path, body, words).await;
    }
    // A value that is known and means nothing here is refused by the service.
    let unspecified = wire::ChangeAppointmentStateRequest {
        header: Some(header),
        appointment_id: id().to_wire(),
        ..Default::default()
    };
    let answer = raw::call(
        channel.clone(),
        "/plantao.public.v1.AgendaService/ChangeAppointmentState",
        unspecified.encode_to_vec().into(),
    )
    .await;
    assert_refused("no state", "1401", "state: is no state", &answer.unwrap_err());

    // The operator's port.
    let (certificate, key) = network.credentials("rede/operator/plantonista");
    let operator = raw::with_files(network, &certificate, &key, &network.node("centro").admin());
    refused(
        &operator,
        "/plantao.admin.v1.ClusterService/GetStatus",
        with(&admin::GetStatusRequest {}, LATER),
        "field 1007 of GetStatusRequest",
    )
    .await;
    refused(
        &operator,
        "/plantao.admin.v1.ClusterService/CreateJoinToken",
        with(&admin::CreateJoinTokenRequest::default(), LATER),
        "field 1007 of CreateJoinTokenRequest",
    )
    .await;

    assert_eq!(quiet_digest(world).await, before, "something changed");
    // What was refused for its one field more is taken without it, under the same request id.
    raw::call(channel, "/plantao.public.v1.AgendaService/Book", good.encode_to_vec().into()).await.unwrap();
}

pub(crate) async fn nodes_of_two_versions_understand_each_other(world: &World) {
    let network = &world.network;
    let directory = network.node("centro").tls_dir();
    let (certificate, key) = (directory.join("node.crt"), directory.join("node.key"));
    let channel = raw::with_files(network, &certificate, &key, &network.node("jardins").peer());
    let status = network.status("centro").await.unwrap();
    let to_node_id = network.status("jardins").await.unwrap().node_id;
    let header = peer::PeerHeader {
        cluster_id: status.cluster_id,
        incarnation: status.incarnation,
        from_node_id: status.node_id,
        to_node_id,
    };
    let hello = peer::HelloRequest { header: Some(header), format_min: 1, format_max: 1, ..Default::default() };
    for more in [LATER.to_vec(), inside(1, LATER)] {
        let answer = raw::call(channel.clone(), "/plantao.peer.v1.ForwardService/Hello", with(&hello, &more)).await;
        let answer = peer::HelloResponse::decode(answer.unwrap()).unwrap();
        assert_eq!(answer.node_id, to_node_id);
    }
}
