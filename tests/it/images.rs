//! An image that was acknowledged is on two sites, readable from each unit byte for byte, and goes on being so when a
//! node dies, a copy rots or a directory is lost; and what is no image is refused.

use crate::raw;
use crate::world::{DAY, NOON, SOFTWARE, World, code, hasty, id};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use plantao_client::error::CODE_KEY;
use plantao_client::images::{CHUNK_BYTES, NewImage, Progress, PutError, ReadError};
use plantao_client::{Cluster, Id};
use plantao_proto::public::v1::image_service_client::ImageServiceClient;
use plantao_proto::public::v1::{self as wire, ImageStatus, MediaType};
use plantao_tests::wait::until;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

const MIB: usize = CHUNK_BYTES as usize;

/// Something that begins as DICOM does and differs for each `seed`.
pub(crate) fn dicom(seed: u8, bytes: usize) -> Bytes {
    let mut image: Vec<u8> = (0..bytes).map(|at| (at * 31 / 7 + at / 4096 + usize::from(seed)) as u8).collect();
    image[..132].fill(0);
    image[128..132].copy_from_slice(b"DICM");
    image.into()
}

/// A whole PNG of `edge` grey pixels a side, not compressed.
fn png(edge: u32) -> Bytes {
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        })
    }
    fn block(kind: &[u8], body: &[u8]) -> Vec<u8> {
        let named = [kind, body].concat();
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &named, &crc(&named).to_be_bytes()].concat()
    }
    let rows: Vec<u8> =
        (0..edge).flat_map(|y| std::iter::once(0).chain((0..edge).map(move |x| (x ^ y) as u8))).collect();
    let mut pixels = vec![0x78, 0x01];
    let mut pieces = rows.chunks(65_535).peekable();
    while let Some(piece) = pieces.next() {
        let length = u16::try_from(piece.len()).unwrap();
        pixels.push(u8::from(pieces.peek().is_none()));
        pixels.extend_from_slice(&[length.to_le_bytes(), (!length).to_le_bytes()].concat());
        pixels.extend_from_slice(piece);
    }
    let (a, b) = rows.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (a + b) % 65_521)
    });
    pixels.extend_from_slice(&(b << 16 | a).to_be_bytes());
    let head = [&edge.to_be_bytes()[..], &edge.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    [&b"\x89PNG\r\n\x1a\n"[..], &block(b"IHDR", &head), &block(b"IDAT", &pixels), &block(b"IEND", b"")].concat().into()
}

/// A patient's consent to clinical images.
pub(crate) async fn consent(world: &World, patient: Id) -> Id {
    let consent = id();
    let request = wire::GrantConsentRequest {
        header: None,
        consent_id: consent.to_wire(),
        patient_id: patient.to_wire(),
        unit_id: world.centro.unit.to_wire(),
        purposes: vec![wire::Purpose::ClinicalImages.into()],
        valid_from_ms: NOON - 3650 * DAY,
        valid_until_ms: 0,
        document: b"{}".to_vec().into(),
    };
    world.through("centro").grant_consent(request).await.unwrap();
    consent
}

pub(crate) fn image(world: &World, patient: Id, consent_id: Id, media_type: MediaType) -> NewImage {
    NewImage {
        upload_id: id(),
        image_id: id(),
        patient_id: patient,
        unit_id: world.centro.unit,
        visit_id: None,
        consent_id,
        kind: "before".to_owned(),
        media_type,
        taken_ms: NOON,
        name: "joelho.dcm".to_owned(),
        remarks: "antes do tratamento".to_owned(),
    }
}

pub(crate) async fn put(cluster: &Cluster, image: &NewImage, bytes: &Bytes) -> Result<wire::ImageCommitted, PutError> {
    cluster.put_image(image, Arc::new(bytes.clone()), |_| {}).await
}

fn read_request(image_id: Id) -> wire::ReadImageRequest {
    wire::ReadImageRequest { image_id: image_id.to_wire(), ..Default::default() }
}

async fn get(cluster: &Cluster, request: wire::ReadImageRequest) -> Result<(wire::ImageHeader, Vec<u8>), ReadError> {
    let mut all = Vec::new();
    let header = cluster
        .read_image(request, |piece| {
            all.extend_from_slice(&piece);
            Ok(())
        })
        .await?;
    Ok((header, all))
}

pub(crate) async fn reads_back(world: &World, image_id: Id, bytes: &Bytes, from: &[&str]) {
    for node in from {
        let (header, found) = get(&world.through(node), read_request(image_id)).await.unwrap();
        assert!(found == *bytes, "{node} gives other bytes");
        assert_eq!(header.bytes, bytes.len() as u64);
    }
}

async fn shown(cluster: &Cluster, image_id: Id) -> wire::Image {
    let request = wire::GetImageRequest { read: None, image_id: image_id.to_wire() };
    cluster.get_image(request).await.unwrap().image.unwrap()
}

pub(crate) fn client(world: &World, node: &str) -> ImageServiceClient<Channel> {
    let (certificate, key) = world.network.credentials(SOFTWARE);
    ImageServiceClient::new(raw::with_files(&world.network, &certificate, &key, &world.network.node(node).public()))
}

/// Sends these chunks in one call, as they are.
pub(crate) async fn send(
    client: &mut ImageServiceClient<Channel>,
    upload: Id,
    chunks: Vec<(u32, Bytes)>,
) -> Result<wire::Upload, Status> {
    let messages = chunks.into_iter().map(move |(sequence, data)| wire::UploadRequest {
        upload_id: upload.to_wire(),
        sequence,
        data,
    });
    Ok(client.upload(Request::new(stream::iter(messages))).await?.into_inner().upload.unwrap())
}

pub(crate) fn chunks(bytes: &Bytes) -> Vec<(u32, Bytes)> {
    let starts = (0..bytes.len()).step_by(MIB);
    (0..).zip(starts.map(|start| bytes.slice(start..bytes.len().min(start + MIB)))).collect()
}

pub(crate) async fn begin(world: &World, new: &NewImage, bytes: u64) -> Result<wire::Upload, plantao_client::Error> {
    world.through("centro").begin_upload(begin_request(new, bytes)).await
}

fn begin_request(new: &NewImage, bytes: u64) -> wire::BeginUploadRequest {
    wire::BeginUploadRequest {
        header: None,
        upload_id: new.upload_id.to_wire(),
        image_id: new.image_id.to_wire(),
        patient_id: new.patient_id.to_wire(),
        unit_id: new.unit_id.to_wire(),
        visit_id: Bytes::new(),
        consent_id: new.consent_id.to_wire(),
        kind: new.kind.clone(),
        media_type: new.media_type.into(),
        bytes,
        taken_ms: new.taken_ms,
        sha256: Bytes::new(),
        name: new.name.clone(),
        remarks: new.remarks.clone(),
    }
}

fn number(status: &Status) -> Option<&str> {
    status.metadata().get(CODE_KEY)?.to_str().ok()
}

pub(crate) async fn what_was_sent_is_read_back_byte_for_byte_from_each_unit(world: &World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let centro = world.through("centro");
    for (seed, bytes) in [133, MIB - 1, MIB, MIB + 1, 3 * MIB + 500_000].into_iter().enumerate() {
        let bytes = dicom(u8::try_from(seed).unwrap(), bytes);
        let new = image(world, patient, agreed, MediaType::Dicom);
        let through = if seed % 2 == 0 { "centro" } else { "jardins" };
        let committed = put(&world.through(through), &new, &bytes).await.unwrap();
        let acknowledged = committed.image.unwrap();
        assert!(acknowledged.sites >= 2 && acknowledged.status() >= ImageStatus::Committed, "{acknowledged:?}");
        reads_back(world, new.image_id, &bytes, &["centro", "jardins"]).await;
        // The same again changes nothing and says the same.
        let again = put(&world.through("jardins"), &new, &bytes).await.unwrap();
        assert_eq!(again.image.unwrap().committed_ms, acknowledged.committed_ms);
    }
    let bytes = dicom(9, 2 * MIB + 77);
    let new = image(world, patient, agreed, MediaType::Dicom);
    put(&centro, &new, &bytes).await.unwrap();
    for (offset, length) in [(0, 1), (5, 10), (MIB - 1, 2), (MIB, MIB), (2 * MIB + 76, 500), (100, 0)] {
        let request =
            wire::ReadImageRequest { offset: offset as u64, length: length as u64, ..read_request(new.image_id) };
        let end = if length == 0 { bytes.len() } else { bytes.len().min(offset + length) };
        let (_, found) = get(&world.through("jardins"), request).await.unwrap();
        assert!(found == bytes[offset..end], "{offset} and {length}");
    }
    let beyond = wire::ReadImageRequest { offset: bytes.len() as u64, ..read_request(new.image_id) };
    assert!(matches!(get(&centro, beyond).await, Err(ReadError::Call(error)) if error.code() == Some(1401)));

    let known = shown(&centro, new.image_id).await;
    assert_eq!((known.name.as_str(), known.remarks.as_str()), ("joelho.dcm", "antes do tratamento"));
    assert_eq!(
        (known.bytes, known.media_type(), known.kind.as_str()),
        (bytes.len() as u64, MediaType::Dicom, "before")
    );
    let listed: Vec<_> =
        centro.images(wire::ListImagesRequest { patient_id: patient.to_wire(), ..Default::default() }).collect().await;
    assert_eq!(listed.len(), 6);
    for one in &listed {
        let one = one.as_ref().unwrap();
        assert!(one.name.is_empty() && one.remarks.is_empty() && one.sha256.is_empty(), "a list opens nothing");
    }
    // Every copy comes by itself, the off-site one too, and each node proves what it has.
    until("the third copy", || async {
        let now = shown(&centro, new.image_id).await;
        if now.status() == ImageStatus::Protected && now.copies == 3 { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    let request = wire::VerifyImageRequest { read: None, image_id: new.image_id.to_wire() };
    let verified = world.through("jardins").verify_image(request).await.unwrap();
    assert!(verified.whole && verified.copies.len() == 3, "{verified:?}");
    assert!(verified.copies.iter().all(|copy| (copy.good, copy.bad, copy.unknown) == (3, 0, 0)), "{verified:?}");
    // A node without keys keeps its copy and opens nothing.
    let cofre = world.through("cofre").with_policy(hasty());
    assert!(matches!(get(&cofre, read_request(new.image_id)).await, Err(ReadError::Call(e)) if e.code() == Some(2001)));
    let mut cofre = client(world, "cofre");
    let request = wire::BeginUploadRequest { header: Some(centro.new_header().unwrap()), ..begin_request(&new, 10) };
    assert_eq!(number(&cofre.begin_upload(request).await.unwrap_err()), Some("2001"));
}

pub(crate) async fn a_screen_gets_a_small_picture(world: &World) {
    let agreed = consent(world, world.patients[1]).await;
    let new = image(world, world.patients[1], agreed, MediaType::Png);
    let bytes = png(900);
    let committed = put(&world.through("centro"), &new, &bytes).await.unwrap();
    assert!(committed.image.unwrap().thumbnail);
    reads_back(world, new.image_id, &bytes, &["jardins"]).await;
    let request =
        wire::ReadImageRequest { variant: wire::ImageVariant::Thumbnail.into(), ..read_request(new.image_id) };
    let (header, small) = get(&world.through("jardins"), request).await.unwrap();
    assert_eq!(header.media_type(), MediaType::Jpeg);
    assert!(small.starts_with(b"\xff\xd8\xff") && small.len() < bytes.len() / 10, "{} bytes", small.len());
    // What cannot be made small is as good without.
    let new = image(world, world.patients[1], agreed, MediaType::Png);
    let broken: Bytes = [&png(40)[..60], &[7; 900]].concat().into();
    let committed = put(&world.through("centro"), &new, &broken).await.unwrap();
    assert!(!committed.image.unwrap().thumbnail);
    reads_back(world, new.image_id, &broken, &["jardins"]).await;
    let request =
        wire::ReadImageRequest { variant: wire::ImageVariant::Thumbnail.into(), ..read_request(new.image_id) };
    let refused = get(&world.through("jardins"), request).await;
    assert!(matches!(refused, Err(ReadError::Call(error)) if error.code() == Some(1628)));
}

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

/// The chunk files of a node.
pub(crate) fn chunk_files(world: &World, node: &str) -> Vec<PathBuf> {
    let root = world.network.node(node).data_dir().join("chunks");
    let mut files = Vec::new();
    for partition in fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()) {
        let is_partition = partition.file_name().is_some_and(|name| name.len() == 2);
        if is_partition && partition.is_dir() {
            files.extend(
                fs::read_dir(partition)
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().len() >= 60)),
            );
        }
    }
    files
}

pub(crate) async fn a_bad_copy_is_found_by_its_reader_and_healed(world: &World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let new = image(world, patient, agreed, MediaType::Dicom);
    let bytes = dicom(77, 4 * MIB);
    let before = chunk_files(world, "jardins");
    put(&world.through("centro"), &new, &bytes).await.unwrap();
    let mut fresh: Vec<PathBuf> =
        chunk_files(world, "jardins").into_iter().filter(|path| !before.contains(path)).collect();
    assert_eq!(fresh.len(), 4);
    fresh.sort();
    // Rotten, cut short, gone, and a directory in its place.
    let mut rotten = fs::read(&fresh[0]).unwrap();
    let whole = rotten.clone();
    rotten[500_000] ^= 4;
    fs::write(&fresh[0], rotten).unwrap();
    fs::write(&fresh[1], &fs::read(&fresh[1]).unwrap()[..1000]).unwrap();
    fs::remove_file(&fresh[2]).unwrap();
    fs::remove_file(&fresh[3]).unwrap();
    fs::create_dir(&fresh[3]).unwrap();
    // Proofs tell before anything is healed.
    let request = wire::VerifyImageRequest { read: None, image_id: new.image_id.to_wire() };
    let verified = world.through("centro").verify_image(request).await.unwrap();
    assert!(verified.whole, "the other copies are good");
    let jardins = world.network.status("jardins").await.unwrap().node_id;
    let copy = verified.copies.iter().find(|copy| copy.node_id == jardins).unwrap();
    assert_eq!((copy.good, copy.bad), (0, 4), "{copy:?}");
    reads_back(world, new.image_id, &bytes, &["jardins"]).await;
    until("the copies to be good again", || async {
        let whole_files = fresh.iter().filter(|path| path.is_file()).count();
        let same = fs::read(&fresh[0]).is_ok_and(|bytes| bytes == whole);
        if whole_files == 4 && same { Ok(()) } else { Err(format!("{whole_files} files")) }
    })
    .await;
}

pub(crate) async fn an_upload_goes_on_where_it_was_cut_through_any_node(world: &mut World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let bytes = dicom(50, 5 * MIB + 123);
    let pieces = chunks(&bytes);
    // Cut at each chunk, and every time another node goes on.
    let new = image(world, patient, agreed, MediaType::Dicom);
    begin(world, &new, bytes.len() as u64).await.unwrap();
    for (at, node) in (0..6_usize).zip(["centro", "jardins"].into_iter().cycle()) {
        let there = until("the chunks that were sent", || async {
            let status = world.through(node).upload_status(new.upload_id).await.map_err(|error| error.to_string())?;
            // The other node has what reached it.
            if status.next_sequence as usize == at { Ok(status) } else { Err(format!("{at}: {status:?}")) }
        });
        assert_eq!(there.await.chunk_count, 6);
        let sent = send(&mut client(world, node), new.upload_id, vec![pieces[at].clone()]).await.unwrap();
        assert_eq!(sent.next_sequence as usize, at + 1);
    }
    let mut told = Vec::new();
    let source = Arc::new(bytes.clone());
    world.through("jardins").put_image(&new, source, |progress| told.push(progress)).await.unwrap();
    reads_back(world, new.image_id, &bytes, &["centro", "jardins"]).await;

    // The node that took it dies in the middle; the client goes on through the other by itself.
    let new = image(world, patient, agreed, MediaType::Dicom);
    let bytes = dicom(51, 20 * MIB + 5);
    begin(world, &new, bytes.len() as u64).await.unwrap();
    let sent = send(&mut client(world, "centro"), new.upload_id, chunks(&bytes)[..12].to_vec()).await.unwrap();
    assert_eq!(sent.next_sequence, 12);
    until("chunks on the other unit", || async {
        let files = chunk_files(world, "jardins").len();
        let status = world.through("jardins").upload_status(new.upload_id).await.map_err(|error| error.to_string())?;
        if status.next_sequence >= 8 { Ok(()) } else { Err(format!("{files} files, {status:?}")) }
    })
    .await;
    world.network.kill("centro").await;
    let both = world.network.client(SOFTWARE, &["centro", "jardins"]);
    let mut first = None;
    let committed = both
        .put_image(&new, Arc::new(bytes.clone()), |progress| {
            first.get_or_insert(progress);
        })
        .await
        .unwrap();
    // What the other unit had was not sent again.
    assert!(matches!(first, Some(Progress::Resumed { bytes }) if bytes >= 8 << 20), "{first:?}");
    // One unit is down: the second site is the off-site node.
    let acknowledged = committed.image.unwrap();
    assert!(acknowledged.sites == 2 && acknowledged.off_site, "{acknowledged:?}");
    reads_back(world, new.image_id, &bytes, &["jardins"]).await;
    world.network.run_node("centro").await;
    // What was acknowledged while it was away is read through it too.
    let (_, found) = get(&world.through("centro"), read_request(new.image_id)).await.unwrap();
    assert!(found == bytes);
}

pub(crate) async fn an_acknowledged_image_survives_the_node_that_took_it(world: &mut World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let new = image(world, patient, agreed, MediaType::Dicom);
    let bytes = dicom(60, 6 * MIB);
    put(&world.through("centro"), &new, &bytes).await.unwrap();
    world.network.kill("centro").await;
    reads_back(world, new.image_id, &bytes, &["jardins"]).await;
    world.network.run_node("centro").await;
    world.network.kill("jardins").await;
    reads_back(world, new.image_id, &bytes, &["centro"]).await;
    world.network.run_node("jardins").await;
    world.network.digests_agree().await;
}

pub(crate) async fn many_uploads_at_once_end_well(world: &World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let both = world.network.client(SOFTWARE, &["centro", "jardins"]);
    let uploads = (0..100_u8).map(|seed| {
        let (cluster, new) = (both.spread(seed.into()), image(world, patient, agreed, MediaType::Dicom));
        async move {
            let bytes = dicom(seed, 200_000 + usize::from(seed));
            put(&cluster, &new, &bytes).await.map(|_| (new.image_id, bytes))
        }
    });
    let stored: Vec<_> = futures_util::future::join_all(uploads).await;
    for one in stored.into_iter().step_by(9) {
        let (image_id, bytes) = one.unwrap();
        reads_back(world, image_id, &bytes, &["jardins"]).await;
    }
}

/// Restarts a node with or without room for chunks on its disk.
async fn restart_with_room(world: &mut World, node: &str, has_room: bool) {
    const FULL: &str = "\n[chunks]\nreserve = \"500000 GiB\"\n";
    world.network.stop(node).await;
    let config = world.network.node(node).config().to_owned();
    let text = fs::read_to_string(&config).unwrap().replace(FULL, "");
    fs::write(&config, if has_room { text } else { text + FULL }).unwrap();
    world.network.run_node(node).await;
    world.network.digests_agree().await;
}

pub(crate) async fn a_full_disk_is_told_and_costs_nothing_else(world: &mut World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let bytes = dicom(90, 2 * MIB + 9);
    restart_with_room(world, "jardins", false).await;
    let before = chunk_files(world, "jardins").len();
    let new = image(world, patient, agreed, MediaType::Dicom);
    begin(world, &new, bytes.len() as u64).await.unwrap();
    let full = send(&mut client(world, "jardins"), new.upload_id, chunks(&bytes)).await.unwrap_err();
    assert_eq!((full.code(), number(&full)), (Code::ResourceExhausted, Some("2402")), "{full}");
    // The node serves on, and nothing half-written is there.
    let incoming = world.network.node("jardins").data_dir().join("chunks/incoming");
    assert_eq!(fs::read_dir(incoming).unwrap().count(), 0);
    assert_eq!(chunk_files(world, "jardins").len(), before);
    world.through("jardins").add_record(world.record(id(), patient)).await.unwrap();
    // Through the other unit it goes, with the off-site copy as the second one.
    let committed = put(&world.through("centro"), &new, &bytes).await.unwrap();
    assert!(committed.image.unwrap().off_site);
    reads_back(world, new.image_id, &bytes, &["jardins", "centro"]).await;
    restart_with_room(world, "jardins", true).await;
}

// The counterexample that is looked for: an image that one site has, and that somebody can see.
pub(crate) async fn on_one_site_nothing_is_acknowledged(world: &mut World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let bytes = dicom(91, MIB + 5);
    restart_with_room(world, "cofre", false).await;
    world.network.kill("jardins").await;
    let new = image(world, patient, agreed, MediaType::Dicom);
    let centro = world.through("centro");
    centro.begin_upload(begin_request(&new, bytes.len() as u64)).await.unwrap();
    let mut client = client(world, "centro");
    let sent = send(&mut client, new.upload_id, chunks(&bytes)).await.unwrap();
    assert_eq!((sent.next_sequence, sent.sites), (2, 1));
    let finish = |header| wire::FinishUploadRequest {
        header: Some(header),
        upload_id: new.upload_id.to_wire(),
        sha256: Bytes::copy_from_slice(&plantao_client::images::sha256_of(&bytes)),
        bytes: bytes.len() as u64,
    };
    let header = centro.new_header().unwrap();
    let answer = client.finish_upload(finish(header.clone())).await.unwrap().into_inner().result.unwrap();
    let wire::finish_upload_response::Result::Waiting(waiting) = answer else { panic!("{answer:?}") };
    assert_eq!(waiting.message, "waiting for off-site");
    assert!(waiting.upload.unwrap().waiting_for_off_site);
    let unseen = wire::GetImageRequest { read: None, image_id: new.image_id.to_wire() };
    assert_eq!(code(centro.get_image(unseen).await), 1201);
    let all = wire::ListImagesRequest { patient_id: patient.to_wire(), ..Default::default() };
    let seen: Vec<_> = centro.images(all).collect().await;
    assert!(seen.iter().all(|one| one.as_ref().unwrap().id != new.image_id.to_wire()));
    // Room again: the same finish, said again, is acknowledged.
    restart_with_room_while_one_is_down(world, "cofre").await;
    let committed = until("the acknowledgement", || async {
        let mut client = client.clone();
        let answer = client.finish_upload(finish(header.clone())).await.map_err(|status| status.to_string())?;
        match answer.into_inner().result.unwrap() {
            wire::finish_upload_response::Result::Committed(committed) => Ok(committed.image.unwrap()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(committed.off_site && committed.sites == 2, "{committed:?}");
    reads_back(world, new.image_id, &bytes, &["centro"]).await;
    world.network.run_node("jardins").await;
    world.network.digests_agree().await;
}

async fn restart_with_room_while_one_is_down(world: &mut World, node: &str) {
    world.network.kill(node).await;
    let config = world.network.node(node).config().to_owned();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("reserve = \"500000 GiB\"", "reserve = \"1 MiB\"")).unwrap();
    world.network.run_node(node).await;
}

// Killed at any moment between the first chunk and the answer: what was acknowledged is there, what was not is brought
// to its end by the same call through the other node.
pub(crate) async fn whenever_the_ingress_dies_what_was_acknowledged_stays(world: &mut World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let bytes = dicom(92, 8 * MIB + 1);
    // How long it takes undisturbed, so that the kills fall within.
    let started = std::time::Instant::now();
    put(&world.through("centro"), &image(world, patient, agreed, MediaType::Dicom), &bytes).await.unwrap();
    let took = started.elapsed();
    let (mut acknowledged, mut resumed) = (0, 0);
    for step in 0..5_u32 {
        let bytes = dicom(100 + u8::try_from(step).unwrap(), 8 * MIB + 1);
        let new = image(world, patient, agreed, MediaType::Dicom);
        let both = world.network.client(SOFTWARE, &["centro", "jardins"]);
        let sending = tokio::spawn({
            let (both, new, bytes) = (both.clone(), new.clone(), bytes.clone());
            async move {
                let mut tries = 0;
                let done = both.put_image(&new, Arc::new(bytes), |_| tries += 1).await;
                (done, tries)
            }
        });
        tokio::time::sleep(took * step / 4).await;
        let was_done = sending.is_finished();
        world.network.kill("centro").await;
        if was_done {
            acknowledged += 1;
            reads_back(world, new.image_id, &bytes, &["jardins"]).await;
        }
        let (done, _) = sending.await.unwrap();
        let committed = done.unwrap_or_else(|error| panic!("killed after {:?}: {error}", took * step / 4));
        assert!(committed.image.unwrap().sites >= 2);
        resumed += u32::from(!was_done);
        reads_back(world, new.image_id, &bytes, &["jardins"]).await;
        world.network.run_node("centro").await;
        world.network.digests_agree().await;
        reads_back(world, new.image_id, &bytes, &["centro"]).await;
    }
    assert!(resumed > 0, "no kill fell into an upload; {acknowledged} were acknowledged before");
}

/// An image whose bytes, name and remarks tell of somebody.
pub(crate) async fn store_one_that_tells(world: &World, patient: Id, text: &str) {
    let agreed = consent(world, patient).await;
    let mut bytes = dicom(5, MIB + 300).to_vec();
    bytes[200..200 + text.len()].copy_from_slice(text.as_bytes());
    let new =
        NewImage { name: text.to_owned(), remarks: text.to_owned(), ..image(world, patient, agreed, MediaType::Dicom) };
    put(&world.through("centro"), &new, &bytes.into()).await.unwrap();
    until("the off-site copy", || async {
        let now = shown(&world.through("centro"), new.image_id).await;
        if now.status() == ImageStatus::Protected { Ok(()) } else { Err(format!("{:?}", now.status())) }
    })
    .await;
}

pub(crate) async fn a_read_does_not_wait_for_a_node_that_stands_still(world: &World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let bytes = dicom(120, 2 * MIB);
    let new = image(world, patient, agreed, MediaType::Dicom);
    let before = chunk_files(world, "jardins");
    put(&world.through("centro"), &new, &bytes).await.unwrap();
    until("the off-site copy", || async {
        let now = shown(&world.through("centro"), new.image_id).await;
        if now.status() == ImageStatus::Protected { Ok(()) } else { Err(format!("{:?}", now.status())) }
    })
    .await;
    for file in chunk_files(world, "jardins").into_iter().filter(|path| !before.contains(path)) {
        fs::remove_file(file).unwrap();
    }
    // The nearest holder takes connections and answers nothing.
    let pid = i32::try_from(world.network.node("centro").pid().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let request = wire::ReadImageRequest { read: Some(plantao_client::services::LOCAL), ..read_request(new.image_id) };
    let started = std::time::Instant::now();
    let read = get(&world.through("jardins"), request).await;
    let took = started.elapsed();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    let (_, found) = read.unwrap();
    assert!(found == bytes);
    // All nodes together would have been given 30 s for a chunk.
    assert!(took < std::time::Duration::from_secs(15), "{took:?}");
    world.network.leader().await;
}

pub(crate) async fn a_fourth_node_takes_the_place_of_one_that_is_away(world: &mut World) {
    world.network.add(plantao_node::local_network::NodeSpec::unit("moema")).await;
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    world.network.kill("jardins").await;
    // Known by the links between the nodes within seconds; until then an image may be placed there.
    let leader = world.network.leader().await;
    until("the dead node to be noticed", || async {
        let status = world.network.status("centro").await.map_err(|error| error.to_string())?;
        let dead = status.links.iter().any(|link| link.from_node_id == status.node_id && !link.reachable);
        if dead { Ok(()) } else { Err(leader.clone()) }
    })
    .await;
    for seed in 0..4_u8 {
        let bytes = dicom(seed, MIB + 50);
        let new = image(world, patient, agreed, MediaType::Dicom);
        put(&world.through("centro"), &new, &bytes).await.unwrap();
        until("three copies without the one that is away", || async {
            let now = shown(&world.through("centro"), new.image_id).await;
            if now.copies == 3 && now.off_site { Ok(()) } else { Err(format!("{} copies", now.copies)) }
        })
        .await;
        reads_back(world, new.image_id, &bytes, &["moema"]).await;
    }
    world.network.run_node("jardins").await;
    world.network.digests_agree().await;
}
