//! Images go in and out whatever is cut: the same bytes, once, under the same ids.

use crate::clinic::Clinic;
use crate::gallery::Cut;
use crate::transport::{Network, hasty, nobody, patient};
use bytes::Bytes;
use plantao_client::images::{
    FileSource, NewImage, Progress, PutError, PutOptions, ReadError, Replace, SourceError, image_id, is_new, sha256_of,
    upload_id,
};
use plantao_client::{Cluster, Error, Id};
use plantao_proto::public::v1::{ImageCommitted, MediaType, ReadImageRequest, UploadState};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

const MIB: usize = 1 << 20;

fn content(bytes: usize) -> Bytes {
    let mut content: Vec<u8> = (0..bytes).map(|at| (at / 7 % 251) as u8).collect();
    content[..3].copy_from_slice(b"\xff\xd8\xff");
    content.into()
}

fn new(nth: u8) -> NewImage {
    let id = |byte| Id::from_bytes([byte; 16]);
    let image_id = image_id(id(9), "before", 1, 2, nth.into());
    NewImage {
        upload_id: upload_id(image_id),
        image_id,
        patient_id: id(9),
        unit_id: id(1),
        visit_id: None,
        consent_id: id(4),
        kind: "before".into(),
        media_type: MediaType::Unspecified,
        taken_ms: 1,
        name: String::new(),
        remarks: String::new(),
    }
}

async fn put(cluster: &Cluster, new: &NewImage, content: &Bytes) -> Result<ImageCommitted, PutError> {
    let mut last = None;
    let tell = |progress| match progress {
        Progress::Sent { bytes } | Progress::Resumed { bytes } => last = Some(bytes),
        Progress::Waiting { message } => assert_eq!(message, "waiting for off-site"),
    };
    let options = PutOptions { patience: Duration::from_secs(30), ..PutOptions::default() };
    let put = cluster.put_image_with(new, Arc::new(content.clone()), &options, tell).await;
    if put.is_ok() {
        assert_eq!(last, Some(content.len() as u64));
    }
    put
}

fn script(clinic: &Clinic, cuts: &[Cut]) {
    clinic.0.lock().unwrap().gallery.script = cuts.iter().copied().collect();
}

fn kept(clinic: &Clinic, image: Id) -> Vec<u8> {
    let state = clinic.0.lock().unwrap();
    let upload = &state.gallery.uploads[&state.gallery.images[&image.to_wire()]];
    assert_eq!(upload.state, UploadState::Committed);
    upload.chunks.concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_arrives_once_whatever_is_cut() {
    let (network, clinic) = (Network::new(), Clinic::default());
    // One node that is down, two that share what they have.
    let addresses = [nobody().await, network.serve(1, &clinic).await, network.serve(2, &clinic).await];
    let cluster = network.client("a", &addresses, patient());
    let small = content(2 * MIB + 17);
    let large = content(9 * MIB + 1);
    let send = |_: &dyn Send| {};
    send(&cluster.put_image(&new(0), Arc::new(small.clone()), |_| {}));
    send(&cluster.read_image(ReadImageRequest::default(), |_| Ok(())));
    for (nth, (content, cuts)) in [
        (&small, vec![]),
        (&large, vec![]),
        (&small, vec![Cut::After(0)]),
        (&small, vec![Cut::After(1)]),
        (&small, vec![Cut::After(3)]),
        (&small, vec![Cut::LostAnswer]),
        (&small, vec![Cut::Waits, Cut::Waits, Cut::LostAnswer]),
        (&small, vec![Cut::Expires]),
        (&large, vec![Cut::After(0), Cut::After(4), Cut::After(9)]),
        (&large, vec![Cut::LosesAllBut(7, 2), Cut::LosesAllBut(3, 0), Cut::After(1)]),
        (&large, vec![Cut::None, Cut::Waits, Cut::LostAnswer]),
        (&large, vec![Cut::None, Cut::Expires, Cut::None, Cut::None]),
        (&small, vec![Cut::After(2), Cut::None, Cut::Expires]),
    ]
    .into_iter()
    .enumerate()
    {
        let new = new(nth as u8);
        script(&clinic, &cuts);
        let put_now = put(&cluster, &new, content).await.unwrap_or_else(|error| panic!("{cuts:?}: {error}"));
        assert!(clinic.0.lock().unwrap().gallery.script.is_empty(), "{cuts:?}");
        assert_eq!(put_now.image.as_ref().unwrap().sha256, sha256_of(content).as_slice());
        let lost = cuts.iter().any(|cut| matches!(cut, Cut::LostAnswer));
        assert_eq!(is_new(&put_now), !lost, "{cuts:?}");
        assert!(kept(&clinic, new.image_id) == *content, "{cuts:?}");
        // The same again is there already, and takes no chunk twice.
        let taken = clinic.0.lock().unwrap().gallery.chunks_taken;
        assert!(!is_new(&put(&cluster, &new, content).await.unwrap()));
        assert_eq!(clinic.0.lock().unwrap().gallery.chunks_taken, taken);
    }
}

// A program that was killed begins again with the same ids: what came before is not sent twice.
#[tokio::test]
async fn another_program_goes_on_where_one_was_killed() {
    let (network, clinic) = (Network::new(), Clinic::default());
    let address = network.serve(1, &clinic).await;
    let (new, content) = (new(0), content(9 * MIB));
    script(&clinic, &[Cut::After(5)]);
    let killed = network.client("a", std::slice::from_ref(&address), patient());
    let options = PutOptions { patience: Duration::ZERO, ..PutOptions::default() };
    killed.put_image_with(&new, Arc::new(content.clone()), &options, |_| {}).await.unwrap_err();
    assert_eq!(clinic.0.lock().unwrap().gallery.chunks_taken, 5);
    let put = put(&network.client("b", &[address], patient()), &new, &content).await.unwrap();
    assert!(is_new(&put) && kept(&clinic, new.image_id) == content);
    assert_eq!(clinic.0.lock().unwrap().gallery.chunks_taken, 9);
}

#[tokio::test]
async fn what_cannot_be_put_is_told_and_leaves_nothing_committed() {
    let (network, clinic) = (Network::new(), Clinic::default());
    let address = network.serve(1, &clinic).await;
    let cluster = network.client("a", &[address], patient());
    let good = content(MIB + 1);
    assert!(matches!(put(&cluster, &new(0), &Bytes::new()).await, Err(PutError::Empty)));
    assert!(matches!(put(&cluster, &new(0), &Bytes::from_static(b"%PDF-1.7")).await, Err(PutError::UnknownType)));
    let file = tempfile::tempfile().unwrap();
    file.set_len((2 << 30) + 1).unwrap();
    let large = cluster.put_image(&new(0), Arc::new(FileSource::new(file).unwrap()), |_| {}).await;
    assert!(matches!(large, Err(PutError::TooLarge { bytes: 0x8000_0001 })));
    for bytes in [good.clone(), content(9 * MIB)] {
        let options = PutOptions { sha256: Some([7; 32]), ..PutOptions::default() };
        let other = cluster.put_image_with(&new(0), Arc::new(bytes), &options, |_| {}).await;
        assert!(matches!(other, Err(PutError::OtherDigest)), "{other:?}");
        let state = clinic.0.lock().unwrap();
        assert!(state.gallery.uploads.values().all(|upload| upload.state == UploadState::Closed));
    }
    let refused = NewImage { kind: "refused".into(), ..new(1) };
    let error = put(&cluster, &refused, &good).await.unwrap_err();
    assert!(matches!(&error, PutError::Call(Error::Refused(_))) && error.code() == Some(1302), "{error:?}");
    // Another image under an id that is taken.
    put(&cluster, &new(2), &good).await.unwrap();
    let mut other = good.to_vec();
    other[MIB] ^= 1;
    assert!(put(&cluster, &new(2), &other.into()).await.is_err());
    assert!(kept(&clinic, new(2).image_id) == good);
    // A file that is cut short while it is sent.
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), content(9 * MIB)).unwrap();
    let file = FileSource::new(File::open(path.path()).unwrap()).unwrap();
    let shrink = |_| path.as_file().set_len(MIB as u64).unwrap();
    let shrunk = cluster.put_image(&new(3), Arc::new(file), shrink).await;
    assert!(matches!(shrunk, Err(PutError::Source(SourceError::Changed))), "{shrunk:?}");
}

#[tokio::test]
async fn patience_ends_and_says_what_is_known() {
    let (network, clinic) = (Network::new(), Clinic::default());
    let address = network.serve(1, &clinic).await;
    let cluster = network.client("a", &[address], patient());
    let good = content(MIB);
    let options = PutOptions { patience: Duration::from_millis(300), ..PutOptions::default() };
    let mut waited = false;
    let tell = |progress| waited |= matches!(progress, Progress::Waiting { .. });
    script(&clinic, &[Cut::Waits; 1_000]);
    let put = cluster.put_image_with(&new(0), Arc::new(good.clone()), &options, tell).await;
    assert!(matches!(put, Err(PutError::Waiting { .. })) && waited, "{put:?}");
    // Committed, and nobody ever says so.
    script(&clinic, &[Cut::LostAnswer; 1_000]);
    let alone = network.client("b", &[nobody().await], hasty());
    let mut put = alone.put_image_with(&new(1), Arc::new(good.clone()), &options, |_| {}).await;
    // A try that is cut off by its deadline, as on a machine that stands still, is rightly unknown; not each of many
    // is cut off.
    for _ in 0..20 {
        if !matches!(put, Err(PutError::Call(Error::Unknown { .. }))) {
            break;
        }
        put = alone.put_image_with(&new(1), Arc::new(good.clone()), &options, |_| {}).await;
    }
    assert!(matches!(put, Err(PutError::Call(Error::Unavailable(_)))), "{put:?}");
    let put = cluster.put_image_with(&new(1), Arc::new(good), &options, |_| {}).await;
    assert!(matches!(put, Err(PutError::Call(Error::Unknown { .. }))), "{put:?}");
}

// The call that brings the end may have been done when its answer is lost. Whatever ends the put after that, chunks
// that nobody takes or a file that shrank meanwhile, does not make a failure of it.
#[tokio::test]
async fn what_may_have_been_done_is_never_called_a_failure() {
    let (network, clinic) = (Network::new(), Clinic::default());
    let address = network.serve(1, &clinic).await;
    let cluster = network.client("a", &[address], patient());
    let options = PutOptions { patience: Duration::from_millis(300), ..PutOptions::default() };
    let unknown = |put: &Result<_, PutError>| matches!(put, Err(PutError::Call(Error::Unknown { .. })));
    script(&clinic, &[Cut::After(0); 1_000]);
    let put = cluster.put_image_with(&new(0), Arc::new(content(MIB)), &options, |_| {}).await;
    assert!(unknown(&put), "{put:?}");
    let options = PutOptions { patience: Duration::from_secs(30), ..PutOptions::default() };
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), content(3 * MIB)).unwrap();
    let file = FileSource::new(File::open(path.path()).unwrap()).unwrap();
    script(&clinic, &[Cut::LosesAllBut(3, 0)]);
    let shrink = |progress| {
        if matches!(progress, Progress::Sent { bytes } if bytes == 3 * MIB as u64) {
            path.as_file().set_len(MIB as u64).unwrap();
        }
    };
    let put = cluster.put_image_with(&new(1), Arc::new(file), &options, shrink).await;
    assert!(unknown(&put), "{put:?}");
}

#[tokio::test]
async fn an_image_is_read_whole_or_in_part_and_kept_only_when_it_is_right() {
    let (network, clinic) = (Network::new(), Clinic::default());
    let addresses = [network.serve(1, &clinic).await, network.serve(2, &clinic).await];
    let cluster = network.client("a", &addresses, patient());
    let (new, content) = (new(0), content(2 * MIB + 5));
    put(&cluster, &new, &content).await.unwrap();
    let what = |offset: usize, length: usize| ReadImageRequest {
        image_id: new.image_id.to_wire(),
        offset: offset as u64,
        length: length as u64,
        ..ReadImageRequest::default()
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.jpg");
    let names = || std::fs::read_dir(directory.path()).unwrap().count();
    let save = async |replace| {
        let name = |header: &plantao_proto::public::v1::ImageHeader| {
            assert_eq!(header.bytes, content.len() as u64);
            "image.jpg".to_owned()
        };
        cluster.save_image(what(0, 0), directory.path(), name, replace, |_| {}).await
    };
    for cuts in [vec![], vec![Cut::After(0)], vec![Cut::After(2), Cut::After(1), Cut::After(0)]] {
        script(&clinic, &cuts);
        assert_eq!(save(Replace::Always).await.unwrap().0, path);
        assert!(std::fs::read(&path).unwrap() == content);
        assert_eq!(names(), 1);
        script(&clinic, &cuts);
        let mut part = Vec::new();
        let take = |piece: Bytes| {
            part.extend_from_slice(&piece);
            Ok(())
        };
        cluster.read_image(what(MIB - 1, 900_000), take).await.unwrap();
        assert!(part == content[MIB - 1..MIB - 1 + 900_000]);
    }
    let again = save(Replace::Never).await;
    assert!(
        matches!(&again, Err(ReadError::Sink(error)) if error.kind() == std::io::ErrorKind::AlreadyExists),
        "{again:?}"
    );
    assert_eq!(names(), 1);
    std::fs::remove_file(&path).unwrap();
    for cuts in [vec![Cut::Flips], vec![Cut::After(3), Cut::Flips]] {
        script(&clinic, &cuts);
        let read = save(Replace::Never).await;
        assert!(matches!(read, Err(ReadError::OtherDigest)), "{read:?}");
        assert_eq!(names(), 0, "nothing is left of a read that went wrong");
    }
    script(&clinic, &[]);
    save(Replace::Never).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == content);
    assert_eq!(names(), 1);
    let beyond = cluster.read_image(what(content.len(), 1), |_| Ok(())).await;
    assert!(matches!(beyond, Err(ReadError::Call(Error::Invalid(_)))), "{beyond:?}");
    let full = cluster.read_image(what(0, 0), |_| Err(std::io::ErrorKind::StorageFull.into())).await;
    assert!(matches!(full, Err(ReadError::Sink(_))), "{full:?}");
    let unknown = ReadImageRequest { image_id: Id::from_bytes([3; 16]).to_wire(), ..what(0, 0) };
    let read = cluster.read_image(unknown, |_| Ok(())).await;
    assert!(matches!(read, Err(ReadError::Call(Error::NotFound(_)))), "{read:?}");
}
