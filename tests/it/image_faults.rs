//! An image that was acknowledged stays, and one that was begun comes to its end, when a node dies, stands still, is full
//! or away; and nothing is acknowledged on one site.

use crate::gallery::{
    MIB, begin, begin_request, chunk_files, chunks, client, consent, dicom, get, image, number, protected, put,
    read_request, reads_back, send, shown,
};
use crate::world::{SOFTWARE, World, code, id};
use bytes::Bytes;
use futures_util::StreamExt;
use plantao_client::images::Progress;
use plantao_proto::public::v1::{self as wire, MediaType};
use plantao_tests::wait::until;
use std::fs;
use std::sync::Arc;
use tokio::sync::Notify;
use tonic::Code;

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

// Killed while somebody sends: the same call is brought to its end through the other node. At which step of the commit a
// node may die is looked at in `upload_steps`.
pub(crate) async fn a_sender_whose_node_dies_goes_on_by_itself(world: &mut World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let whole = 8 * MIB + 1;
    for (seed, enough) in (100..).zip([1, whole / 2, whole]) {
        let (bytes, new) = (dicom(seed, whole), image(world, patient, agreed, MediaType::Dicom));
        let reached = Arc::new(Notify::new());
        let mut sending = tokio::spawn({
            let both = world.network.client(SOFTWARE, &["centro", "jardins"]);
            let (new, source, reached) = (new.clone(), Arc::new(bytes.clone()), Arc::clone(&reached));
            let tell = move |progress| match progress {
                Progress::Sent { bytes } if bytes >= enough as u64 => reached.notify_one(),
                _ => {}
            };
            async move { both.put_image(&new, source, tell).await }
        });
        let ended = tokio::select! {
            () = reached.notified() => None,
            ended = &mut sending => Some(ended),
        };
        world.network.kill("centro").await;
        let ended = match ended {
            Some(ended) => ended,
            None => sending.await,
        };
        let committed = ended.unwrap().unwrap_or_else(|error| panic!("killed after {enough} bytes: {error}"));
        assert!(committed.image.unwrap().sites >= 2);
        reads_back(world, new.image_id, &bytes, &["jardins"]).await;
        world.network.run_node("centro").await;
        world.network.digests_agree().await;
        reads_back(world, new.image_id, &bytes, &["centro"]).await;
    }
}

pub(crate) async fn a_read_does_not_wait_for_a_node_that_stands_still(world: &World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let bytes = dicom(120, 2 * MIB);
    let new = image(world, patient, agreed, MediaType::Dicom);
    let before = chunk_files(world, "jardins");
    put(&world.through("centro"), &new, &bytes).await.unwrap();
    protected(world, new.image_id).await;
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
    // The one that stands still alone would have been given 30 s for a chunk, and then there would have been no copy.
    assert!(took < std::time::Duration::from_secs(28), "{took:?}");
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
