//! What is no image is refused and leaves nothing; and an image is seen by whoever may, which the trail tells.

use crate::gallery::{
    MIB, begin, chunks, client, consent, dicom, get, image, number, put, read_request, reads_back, send,
};
use crate::world::{World, code, id};
use bytes::Bytes;
use plantao_client::Id;
use plantao_client::images::{NewImage, PutError, ReadError};
use plantao_proto::public::v1::{self as wire, MediaType};
use plantao_tests::wait::until;
use tonic::Code;

pub(crate) async fn what_is_no_image_is_refused(world: &World) {
    let patient = world.patients[2];
    let agreed = consent(world, patient).await;
    let new = || image(world, patient, agreed, MediaType::Dicom);
    // Announcements.
    assert_eq!(code(begin(world, &new(), 0).await), 1401, "0 bytes");
    assert_eq!(code(begin(world, &new(), (2 << 30) + 1).await), 1401, "over 2 GiB");
    assert_eq!(code(begin(world, &NewImage { patient_id: id(), ..new() }, 500).await), 1201, "nobody");
    assert_eq!(code(begin(world, &NewImage { consent_id: id(), ..new() }, 500).await), 1201, "no consent");
    assert_eq!(code(begin(world, &NewImage { unit_id: id(), ..new() }, 500).await), 1201, "no such unit");
    assert_eq!(code(begin(world, &NewImage { kind: "a b".to_owned(), ..new() }, 500).await), 1401, "its kind");
    assert_eq!(code(begin(world, &NewImage { name: "a\0b".to_owned(), ..new() }, 500).await), 1401, "its name");
    assert_eq!(code(begin(world, &NewImage { media_type: MediaType::Unspecified, ..new() }, 500).await), 1401);
    let long = NewImage { remarks: "é".repeat(2_000), ..new() };
    assert_eq!(code(begin(world, &long, 500).await), 1401, "more than one frame holds");
    let other = consent(world, world.patients[0]).await;
    assert_eq!(code(begin(world, &NewImage { consent_id: other, ..new() }, 500).await), 1302, "another's consent");

    let mut centro = client(world, "centro");
    let bytes = dicom(1, 2 * MIB + 10);
    let pieces = chunks(&bytes);
    let header = || Some(world.through("centro").new_header().unwrap());
    let finish = |upload: Id, sha256: Bytes, bytes: u64| wire::FinishUploadRequest {
        header: header(),
        upload_id: upload.to_wire(),
        sha256,
        bytes,
    };
    let sha256 = |bytes: &[u8]| Bytes::copy_from_slice(&plantao_client::images::sha256_of(bytes));

    // Nobody announced it.
    let unknown = send(&mut centro, id(), pieces.clone()).await.unwrap_err();
    assert_eq!(number(&unknown), Some("1201"), "{unknown}");
    // A chunk too far, too short, too long, beyond the end, with another content than before.
    let upload = new();
    begin(world, &upload, bytes.len() as u64).await.unwrap();
    let gap = send(&mut centro, upload.upload_id, vec![pieces[1].clone()]).await.unwrap_err();
    assert_eq!((gap.code(), number(&gap)), (Code::FailedPrecondition, Some("1620")), "{gap}");
    for (sequence, data) in [
        (0, bytes.slice(..MIB - 1)),
        (0, bytes.slice(..MIB + 1)),
        (0, Bytes::new()),
        (2, bytes.slice(2 * MIB..2 * MIB + 9)),
        (3, bytes.slice(..MIB)),
    ] {
        let odd = send(&mut centro, upload.upload_id, vec![(sequence, data)]).await.unwrap_err();
        assert_eq!((odd.code(), number(&odd)), (Code::InvalidArgument, Some("1621")), "{sequence}: {odd}");
    }
    let early = centro.finish_upload(finish(upload.upload_id, sha256(&bytes), bytes.len() as u64)).await.unwrap_err();
    assert_eq!(number(&early), Some("1626"), "{early}");
    let taken = send(&mut centro, upload.upload_id, pieces[..2].to_vec()).await.unwrap();
    assert_eq!((taken.next_sequence, taken.chunk_count), (2, 3));
    // Repeated: the same is passed over, another is not.
    let taken = send(&mut centro, upload.upload_id, pieces[..2].to_vec()).await.unwrap();
    assert_eq!(taken.next_sequence, 2);
    let changed = send(&mut centro, upload.upload_id, vec![(1, dicom(200, MIB))]).await.unwrap_err();
    assert_eq!(number(&changed), Some("1622"), "{changed}");
    send(&mut centro, upload.upload_id, vec![pieces[2].clone()]).await.unwrap();
    // The end: another digest, another size.
    let other = centro.finish_upload(finish(upload.upload_id, sha256(b"other"), bytes.len() as u64)).await.unwrap_err();
    assert_eq!((other.code(), number(&other)), (Code::InvalidArgument, Some("1624")), "{other}");
    let other = centro.finish_upload(finish(upload.upload_id, sha256(&bytes), 1)).await.unwrap_err();
    assert_eq!(number(&other), Some("1625"), "{other}");
    let unseen = wire::GetImageRequest { read: None, image_id: upload.image_id.to_wire() };
    assert_eq!(code(world.through("centro").get_image(unseen.clone()).await), 1201, "visible before its commit");
    world.through("jardins").abandon_upload(upload.upload_id).await.unwrap();
    let gone = send(&mut centro, upload.upload_id, pieces.clone()).await.unwrap_err();
    assert!(matches!(number(&gone), Some("1201" | "1601")), "{gone}");
    assert_eq!(code(world.through("centro").get_image(unseen).await), 1201);

    // Declared as what it is not: nothing of it is kept.
    let upload = NewImage { media_type: MediaType::Jpeg, ..new() };
    begin(world, &upload, bytes.len() as u64).await.unwrap();
    let odd = send(&mut centro, upload.upload_id, pieces.clone()).await.unwrap_err();
    assert_eq!((odd.code(), number(&odd)), (Code::InvalidArgument, Some("1623")), "{odd}");
    let refused = put(&world.through("centro"), &upload, &bytes).await;
    assert!(matches!(&refused, Err(PutError::Call(error)) if error.code() == Some(1623)), "{refused:?}");
    world.through("centro").abandon_upload(upload.upload_id).await.unwrap();
}

pub(crate) async fn a_consent_that_is_revoked_closes_the_image(world: &World) {
    let patient = world.patients[1];
    let agreed = consent(world, patient).await;
    // Those of the tests before would cover it too.
    let all = wire::ListConsentsRequest { read: None, patient_id: patient.to_wire(), page: None };
    let centro = world.through("centro");
    let bytes = dicom(3, 5_000);
    let new = image(world, patient, agreed, MediaType::Dicom);
    put(&centro, &new, &bytes).await.unwrap();
    for one in centro.list_consents(all).await.unwrap().consents {
        let request = wire::RevokeConsentRequest {
            header: None,
            consent_id: one.id.clone(),
            seen_version: one.version,
            reason: "mudou de ideia".to_owned(),
        };
        centro.revoke_consent(request).await.unwrap();
    }
    for node in ["centro", "jardins"] {
        let refused = get(&world.through(node), read_request(new.image_id)).await;
        assert!(matches!(&refused, Err(ReadError::Call(error)) if error.code() == Some(1301)), "{node}: {refused:?}");
    }
    let refused = put(&centro, &image(world, patient, agreed, MediaType::Dicom), &bytes).await;
    assert!(matches!(&refused, Err(PutError::Call(error)) if error.code() == Some(1301)), "{refused:?}");
    // A new one opens it again.
    consent(world, patient).await;
    reads_back(world, new.image_id, &bytes, &["jardins"]).await;
}

pub(crate) async fn only_whoever_may_sees_an_image(world: &World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let bytes = dicom(6, 5_000);
    let new = image(world, patient, agreed, MediaType::Dicom);
    let committed = put(&world.through("centro"), &new, &bytes).await.unwrap().image.unwrap();
    assert!(committed.name.is_empty() && !committed.sha256.is_empty(), "an acknowledgement is no read: {committed:?}");
    let begun = image(world, patient, agreed, MediaType::Dicom);
    begin(world, &begun, 5_000).await.unwrap();
    // Of another unit, of another role.
    for who in
        ["jardins/clinician/doutora", "centro/reception/recepcao", "rede/auditor/auditora", "centro/finance/caixa"]
    {
        let other = world.network.client(who, &["centro"]);
        let refused = get(&other, read_request(new.image_id)).await;
        assert!(matches!(&refused, Err(ReadError::Call(error)) if error.code() == Some(1001)), "{who}: {refused:?}");
        let shown = wire::GetImageRequest { read: None, image_id: new.image_id.to_wire() };
        assert_eq!(code(other.get_image(shown).await), 1001, "{who}");
        let listed = wire::ListImagesRequest { patient_id: patient.to_wire(), ..Default::default() };
        assert_eq!(code(other.list_images(listed).await), 1001, "{who}");
        let verified = wire::VerifyImageRequest { read: None, image_id: new.image_id.to_wire() };
        assert_eq!(code(other.verify_image(verified).await), 1001, "{who}");
        assert_eq!(code(other.upload_status(begun.upload_id).await), 1001, "{who}");
        assert_eq!(code(other.abandon_upload(begun.upload_id).await), 1001, "{who}");
        let sent = put(&other, &image(world, patient, agreed, MediaType::Dicom), &bytes).await;
        assert!(matches!(&sent, Err(PutError::Call(error)) if error.code() == Some(1001)), "{who}: {sent:?}");
    }
    let doctor = world.network.client("centro/clinician/doutor", &["jardins"]);
    let (_, found) = get(&doctor, read_request(new.image_id)).await.unwrap();
    assert!(found == bytes);
    doctor.abandon_upload(begun.upload_id).await.unwrap();
}

pub(crate) async fn whoever_reads_an_image_is_in_the_trail(world: &World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let new = image(world, patient, agreed, MediaType::Dicom);
    let bytes = dicom(4, 5_000);
    put(&world.through("centro"), &new, &bytes).await.unwrap();
    reads_back(world, new.image_id, &bytes, &["jardins"]).await;
    let auditor = world.network.client("rede/auditor/auditora", &["centro"]);
    until("the read in the trail", || async {
        let request = wire::ListEntriesRequest {
            patient_id: patient.to_wire(),
            module: wire::Module::Images.into(),
            page_size: 500,
            ..Default::default()
        };
        let entries = auditor.list_entries(request).await.map_err(|error| error.to_string())?.entries;
        let of = |action: &str| {
            entries.iter().filter(|e| e.object_id == new.image_id.to_wire() && e.action == action).count()
        };
        if of("read") == 1 && of("create") == 1 && of("commit") == 1 { Ok(()) } else { Err(format!("{entries:?}")) }
    })
    .await;
}
