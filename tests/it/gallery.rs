//! What tests of images are made of: images, consents, the calls as they are, and the files that come of them.

use crate::raw;
use crate::world::{DAY, NOON, SOFTWARE, World, id};
use bytes::Bytes;
use futures_util::stream;
use plantao_client::error::CODE_KEY;
use plantao_client::images::{CHUNK_BYTES, NewImage, PutError, ReadError};
use plantao_client::{Cluster, Id};
use plantao_proto::public::v1::image_service_client::ImageServiceClient;
use plantao_proto::public::v1::{self as wire, ImageStatus, MediaType};
use plantao_tests::wait::until;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tonic::transport::Channel;
use tonic::{Request, Status};

pub(crate) const MIB: usize = CHUNK_BYTES as usize;

/// Something that begins as DICOM does and differs for each `seed`.
pub(crate) fn dicom(seed: u8, bytes: usize) -> Bytes {
    let mut image: Vec<u8> = (0..bytes).map(|at| (at * 31 / 7 + at / 4096 + usize::from(seed)) as u8).collect();
    image[..132].fill(0);
    image[128..132].copy_from_slice(b"DICM");
    image.into()
}

/// A whole PNG of `edge` grey pixels a side, not compressed.
pub(crate) fn png(edge: u32) -> Bytes {
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

pub(crate) fn read_request(image_id: Id) -> wire::ReadImageRequest {
    wire::ReadImageRequest { image_id: image_id.to_wire(), ..Default::default() }
}

pub(crate) async fn get(
    cluster: &Cluster,
    request: wire::ReadImageRequest,
) -> Result<(wire::ImageHeader, Vec<u8>), ReadError> {
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

pub(crate) async fn shown(cluster: &Cluster, image_id: Id) -> wire::Image {
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

pub(crate) fn begin_request(new: &NewImage, bytes: u64) -> wire::BeginUploadRequest {
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

pub(crate) fn number(status: &Status) -> Option<&str> {
    status.metadata().get(CODE_KEY)?.to_str().ok()
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
/// Waits until each node has what is placed on it: no file comes any more by itself.
pub(crate) async fn settled(world: &World) {
    until("every copy in its place", || async {
        let status = world.network.status("centro").await.map_err(|error| error.to_string())?;
        let nodes = status.images.map(|images| images.nodes).unwrap_or_default();
        let done = !nodes.is_empty() && nodes.iter().all(|node| node.backlog_chunks == 0);
        if done { Ok(()) } else { Err(format!("{nodes:?}")) }
    })
    .await;
}

/// Waits for the copy that is off-site, the last of the three.
pub(crate) async fn protected(world: &World, image_id: Id) {
    until("the off-site copy", || async {
        let now = shown(&world.through("centro"), image_id).await;
        if now.status() == ImageStatus::Protected { Ok(()) } else { Err(format!("{:?}", now.status())) }
    })
    .await;
}

/// An image whose bytes, name and remarks tell of somebody.
pub(crate) async fn store_one_that_tells(world: &World, patient: Id, text: &str) {
    let agreed = consent(world, patient).await;
    let mut bytes = dicom(5, MIB + 300).to_vec();
    bytes[200..200 + text.len()].copy_from_slice(text.as_bytes());
    let new =
        NewImage { name: text.to_owned(), remarks: text.to_owned(), ..image(world, patient, agreed, MediaType::Dicom) };
    put(&world.through("centro"), &new, &bytes.into()).await.unwrap();
    protected(world, new.image_id).await;
}
