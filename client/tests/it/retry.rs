//! A write is done once, whatever is lost, and is only called not done when that is certain.

use crate::clinic::{Clinic, Trouble};
use crate::transport::{Network, hasty, nobody, one_round, patient};
use plantao_client::{Error, Id, Written};
use plantao_proto::public::v1;
use tonic::Code;

fn record(id: u8) -> v1::AddRecordRequest {
    v1::AddRecordRequest {
        record_id: Id::from_bytes([id; 16]).to_wire(),
        document: "x".into(),
        ..v1::AddRecordRequest::default()
    }
}

struct Scene {
    network: Network,
    clinic: Clinic,
    address: String,
}

async fn scene() -> Scene {
    let (network, clinic) = (Network::new(), Clinic::default());
    let address = network.serve(1, &clinic).await;
    Scene { network, clinic, address }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_header_and_done_once() {
    let scene = scene().await;
    let cluster = scene.network.client("a", &[scene.address], patient());
    scene.clinic.trouble(&[Trouble::LostAnswer, Trouble::LostAnswer], None);
    let written = cluster.add_record(record(1)).await.unwrap();
    assert!(matches!(written, Written { changed: true, version: 1, attempts: 3, .. }), "{written:?}");
    let seen = scene.clinic.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|id| *id == written.request_id.to_wire()));
}

#[tokio::test]
async fn a_dead_node_is_left_for_the_next_one_and_not_asked_again() {
    let scene = scene().await;
    let endpoints = [nobody().await, scene.address];
    let cluster = scene.network.client("a", &endpoints, patient());
    assert_eq!(cluster.add_record(record(1)).await.unwrap().attempts, 2);
    assert_eq!(cluster.add_record(record(2)).await.unwrap().attempts, 1);
    assert_eq!(cluster.only(&endpoints[1]).unwrap().add_record(record(3)).await.unwrap().attempts, 1);
    assert!(cluster.only("127.0.0.1:1").is_none());
}

#[tokio::test]
async fn what_never_left_or_was_never_proposed_is_unavailable_and_not_unknown() {
    let scene = scene().await;
    let dead = scene.network.client("a", &[nobody().await, nobody().await], one_round());
    let error = dead.add_record(record(1)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    scene.clinic.trouble(&[], Some(Trouble::NotDone));
    let endpoints = [scene.address, scene.network.serve(2, &scene.clinic).await];
    let cluster = scene.network.client("b", &endpoints, one_round());
    let error = cluster.add_record(record(1)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    assert!(scene.clinic.seen().len() > 1);
    assert!(scene.clinic.0.lock().unwrap().objects.is_empty());
}

#[tokio::test]
async fn one_doubtful_try_makes_the_outcome_unknown_whatever_comes_after() {
    let scene = scene().await;
    let cluster = scene.network.client("a", &[scene.address], hasty());
    for (at, script, otherwise) in [
        (1, vec![], Some(Trouble::LostAnswer)),
        (2, vec![Trouble::LostAnswer], Some(Trouble::NotDone)),
        (3, vec![Trouble::LostAnswer, Trouble::Refuse(Code::PermissionDenied)], None),
        // The first try may have been done; its outcome is no longer kept.
        (4, vec![Trouble::LostAnswer, Trouble::Reject(1101)], None),
    ] {
        scene.clinic.trouble(&script, otherwise);
        let header = cluster.new_header().unwrap();
        let request = v1::AddRecordRequest { header: Some(header.clone()), ..record(at) };
        let error = cluster.add_record(request).await.unwrap_err();
        let request_id = error.unknown_request().unwrap_or_else(|| panic!("{at}: {error}"));
        assert_eq!(request_id.to_wire(), header.request_id);
    }
}

#[tokio::test]
async fn a_refusal_is_final_and_asked_for_once() {
    let scene = scene().await;
    let cluster = scene.network.client("a", &[scene.address], patient());
    for (trouble, expected) in [
        (Trouble::Refuse(Code::InvalidArgument), "invalid"),
        (Trouble::Refuse(Code::PermissionDenied), "denied"),
        (Trouble::Refuse(Code::Unauthenticated), "denied"),
        (Trouble::Reject(1101), "refused"),
        (Trouble::Reject(1203), "refused"),
    ] {
        scene.clinic.trouble(&[trouble], None);
        let found = match cluster.add_record(record(1)).await {
            Err(Error::Invalid(_)) => "invalid",
            Err(Error::Denied(_)) => "denied",
            Err(Error::Refused(refusal)) if refusal.help == "do so" => "refused",
            other => panic!("{trouble:?}: {other:?}"),
        };
        assert_eq!((found, scene.clinic.seen().len()), (expected, 1), "{trouble:?}");
    }
    let request = v1::GetRecordRequest { record_id: record(9).record_id, ..Default::default() };
    assert!(matches!(cluster.get_record(request).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn a_node_that_cannot_is_left_for_others_and_each_is_asked_once() {
    let scene = scene().await;
    let other = Clinic::default();
    let endpoints = [scene.address, scene.network.serve(2, &other).await];
    let cluster = scene.network.client("a", &endpoints, patient());
    scene.clinic.trouble(&[], Some(Trouble::Sealed));
    assert_eq!(cluster.add_record(record(1)).await.unwrap().attempts, 2);
    other.trouble(&[], Some(Trouble::Sealed));
    let error = cluster.add_record(record(2)).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(answer) if answer.message.contains("sealed")), "{error}");
    assert_eq!((scene.clinic.seen().len(), other.seen().len()), (2, 1));
}
