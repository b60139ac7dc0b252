//! An image that was acknowledged is readable from each unit, byte for byte; a copy that is bad is healed by its reader.

use crate::gallery::{
    MIB, begin_request, chunk_files, client, consent, dicom, get, image, number, png, protected, put, read_request,
    reads_back, settled, shown,
};
use crate::world::{SOFTWARE, World, unhurried};
use bytes::Bytes;
use futures_util::StreamExt;
use plantao_client::images::{PutError, ReadError};
use plantao_domain::images::PART_CHUNKS_MAX;
use plantao_proto::public::v1::{self as wire, ImageStatus, MediaType};
use plantao_tests::wait::until;
use std::fs;
use std::path::PathBuf;

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
    until("proof of every copy", || async {
        let verified =
            world.through("jardins").verify_image(request.clone()).await.map_err(|error| error.to_string())?;
        let is_good = verified.copies.iter().all(|copy| (copy.good, copy.bad, copy.unknown) == (3, 0, 0));
        if verified.whole && verified.copies.len() == 3 && is_good { Ok(()) } else { Err(format!("{verified:?}")) }
    })
    .await;
    // A node without keys keeps its copy and opens nothing.
    let cofre = world.through("cofre").with_policy(unhurried());
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
/// The first bytes of each kind, as files have them; nothing looks further.
fn heads() -> [(MediaType, &'static [u8]); 5] {
    [
        (MediaType::Jpeg, b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
        (MediaType::Png, b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"),
        (MediaType::Webp, b"RIFF\xf4\x01\0\0WEBPVP8 "),
        (MediaType::Heic, b"\0\0\0\x18ftypheic\0\0\0\0"),
        (MediaType::Dicom, &[]),
    ]
}

pub(crate) async fn each_kind_of_image_is_taken_as_what_it_is_and_as_nothing_else(world: &World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let (centro, heads) = (world.through("centro"), heads());
    for (at, (kind, head)) in heads.into_iter().enumerate() {
        let mut bytes = dicom(u8::try_from(30 + at).unwrap(), 700).to_vec();
        if kind != MediaType::Dicom {
            bytes[128..132].fill(0);
        }
        bytes[..head.len()].copy_from_slice(head);
        let bytes = Bytes::from(bytes);
        let other = image(world, patient, agreed, heads[(at + 1) % heads.len()].0);
        let refused = put(&centro, &other, &bytes).await;
        let is_other = matches!(&refused, Err(PutError::Call(error)) if error.code() == Some(1623));
        assert!(is_other, "{kind:?} as {:?}: {refused:?}", other.media_type);
        centro.abandon_upload(other.upload_id).await.unwrap();
        let new = image(world, patient, agreed, kind);
        put(&centro, &new, &bytes).await.unwrap();
        assert_eq!(shown(&centro, new.image_id).await.media_type(), kind);
        let (header, found) = get(&world.through("jardins"), read_request(new.image_id)).await.unwrap();
        assert!(found == bytes && header.media_type() == kind, "{kind:?}: {header:?}");
    }
}

/// A manifest of more than one part. Its chunks are three and come again and again, so that it costs little: a patient's
/// equal bytes are one chunk.
pub(crate) async fn an_image_of_several_parts_is_one_image(world: &World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let kinds: Vec<Bytes> = (0..3).map(|seed| dicom(40 + seed, MIB)).collect();
    let chunk_count = PART_CHUNKS_MAX + 2;
    let whole: Vec<&[u8]> = (0..chunk_count).map(|at| &kinds[at % 3][..]).collect();
    let bytes = Bytes::from([&whole.concat(), &kinds[1][..77]].concat());
    settled(world).await;
    let before = chunk_files(world, "centro");
    let new = image(world, patient, agreed, MediaType::Dicom);
    let centro = world.through("centro");
    put(&centro, &new, &bytes).await.unwrap();
    assert_eq!(chunk_files(world, "centro").len(), before.len() + 4);
    let known = shown(&centro, new.image_id).await;
    assert!(known.bytes == bytes.len() as u64 && known.sites >= 2, "{known:?}");
    // The end of one part and the beginning of the next, and the end.
    let border = PART_CHUNKS_MAX * MIB;
    for (from, to) in [(0, 5), (border - MIB - 7, border + MIB + 7), (bytes.len() - 100, bytes.len())] {
        let (offset, length) = (from as u64, (to - from) as u64);
        let request = wire::ReadImageRequest { offset, length, ..read_request(new.image_id) };
        let (_, found) = get(&world.through("jardins"), request).await.unwrap();
        assert!(found == bytes[from..to], "{from} to {to}");
    }
    protected(world, new.image_id).await;
}

pub(crate) async fn a_bad_copy_is_found_by_its_reader_and_healed(world: &World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let new = image(world, patient, agreed, MediaType::Dicom);
    let bytes = dicom(77, 4 * MIB);
    settled(world).await;
    let before = chunk_files(world, "jardins");
    put(&world.through("centro"), &new, &bytes).await.unwrap();
    // Where this unit was too busy, the off-site copy was the second one.
    let fresh = until("a copy on the other unit", || async {
        let files = chunk_files(world, "jardins").into_iter();
        let mut fresh: Vec<PathBuf> = files.filter(|path| !before.contains(path)).collect();
        fresh.sort();
        if fresh.len() == 4 { Ok(fresh) } else { Err(fresh.len()) }
    })
    .await;
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
    let jardins = world.network.status("jardins").await.unwrap().node_id;
    let (good, bad) = until("word of every copy, of which others are good", || async {
        let verified =
            world.through("centro").verify_image(request.clone()).await.map_err(|error| error.to_string())?;
        let copy = verified.copies.iter().find(|copy| copy.node_id == jardins);
        match copy {
            Some(copy) if verified.whole && copy.unknown == 0 => Ok((copy.good, copy.bad)),
            _ => Err(format!("{verified:?}")),
        }
    })
    .await;
    assert_eq!((good, bad), (0, 4));
    reads_back(world, new.image_id, &bytes, &["jardins"]).await;
    until("the copies to be good again", || async {
        let whole_files = fresh.iter().filter(|path| path.is_file()).count();
        let same = fs::read(&fresh[0]).is_ok_and(|bytes| bytes == whole);
        if whole_files == 4 && same { Ok(()) } else { Err(format!("{whole_files} files")) }
    })
    .await;
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
