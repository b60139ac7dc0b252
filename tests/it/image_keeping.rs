//! What a node should hold comes back to it: after rot, a removed file, a lost directory, days away; and what no image names
//! goes away.

use crate::gallery::{begin, chunks, client, consent, dicom, image, put, reads_back, send};
use crate::world::World;
use bytes::Bytes;
use plantao_client::Id;
use plantao_proto::admin::v1::{ImageCopies, NodeCopies};
use plantao_proto::public::v1::MediaType;
use plantao_tests::wait::until;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Scrub, comparison and deletion within seconds instead of days.
pub(crate) const SETTINGS: [&str; 5] = [
    "chunks.scrub_interval=2s",
    "chunks.scrub_rate=64 MiB",
    "chunks.compare_interval=2s",
    "chunks.delete_after=2s",
    "chunks.orphan_after=5s",
];
const NODES: [&str; 3] = ["centro", "jardins", "cofre"];

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(world: &World, node: &str) -> Files {
    let root = world.network.node(node).data_dir().join("chunks");
    // Directories and files come and go while this looks; what cannot be read is not there.
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let partitions = entries(&root).filter(|path| path.file_name().is_some_and(|name| name.len() == 2));
    let chunks = partitions.flat_map(|path| entries(&path).collect::<Vec<_>>());
    let chunks = chunks.filter(|path| path.file_name().is_some_and(|name| name.len() >= 60));
    chunks.filter_map(|path| Some((path.clone(), fs::read(path).ok()?))).collect()
}

async fn copies(world: &World, through: &str) -> Result<ImageCopies, String> {
    let status = world.network.status(through).await.map_err(|error| error.to_string())?;
    status.images.ok_or_else(|| "no word of images".to_owned())
}

fn of_node(world: &World, copies: &ImageCopies, node: &str) -> NodeCopies {
    let node = world.network.node(node).id();
    copies.nodes.iter().find(|copies| copies.node_id == node).unwrap().clone()
}

/// Every node has a receipt for everything that is placed on it.
async fn all_is_received(world: &World, chunks_min: u64) {
    until("receipts of every node", || async {
        let copies = copies(world, "centro").await?;
        let done = copies.nodes.iter().all(|node| node.backlog_chunks == 0 && node.expected_chunks >= chunks_min);
        if done && copies.nodes.len() == NODES.len() { Ok(()) } else { Err(format!("{copies:?}")) }
    })
    .await;
}

/// The directory of a node has these files again, byte for byte.
async fn holds(world: &World, node: &str, wanted: &Files) {
    until("every copy to be there", || async {
        let found = files(world, node);
        let missing: Vec<_> = wanted.iter().filter(|(path, bytes)| found.get(*path) != Some(bytes)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{node} lacks {} of {}", missing.len(), wanted.len())) }
    })
    .await;
}

/// Images of one and of three chunks, through both units.
async fn bring(world: &World, first: u8, count: u8) -> Vec<(Id, Bytes)> {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let mut brought = Vec::new();
    for seed in first..first + count {
        let bytes = dicom(seed, if seed % 4 == 0 { 2_500_000 } else { 40_000 + usize::from(seed) });
        let new = image(world, patient, agreed, MediaType::Dicom);
        put(&world.through("centro"), &new, &bytes).await.unwrap();
        brought.push((new.image_id, bytes));
    }
    brought
}

pub(crate) async fn a_bit_that_flips_in_ten_files_is_found_and_healed(world: &World) {
    // The first may come before the last node counts: it gets its place there afterwards.
    bring(world, 100, 12).await;
    all_is_received(world, 18).await;
    let whole = files(world, "jardins");
    let before = of_node(world, &copies(world, "jardins").await.unwrap(), "jardins").held.unwrap().bad_total;
    for (n, (path, bytes)) in whole.iter().take(10).enumerate() {
        let mut flipped = bytes.clone();
        let at = (n * 7_919) % flipped.len();
        flipped[at] ^= 1 << (n % 8);
        fs::write(path, flipped).unwrap();
    }
    holds(world, "jardins", &whole).await;
    let aside = fs::read_dir(world.network.node("jardins").data_dir().join("chunks/quarantine")).unwrap().count();
    assert!(aside >= 10, "{aside} were set aside");
    let held = of_node(world, &copies(world, "jardins").await.unwrap(), "jardins").held.unwrap();
    assert!(held.bad_total >= before + 10, "{held:?}");
    until("a warning", || async {
        let status = world.network.status("jardins").await.map_err(|error| error.to_string())?;
        let is_told = status.warnings.iter().any(|warning| warning.code == 3101);
        if is_told { Ok(()) } else { Err(format!("{:?}", status.warnings)) }
    })
    .await;
    assert!(world.network.log("jardins").contains("a bad copy was found and set aside"));
}

pub(crate) async fn a_file_that_somebody_removed_comes_back(world: &World) {
    let whole = files(world, "centro");
    for path in whole.keys().step_by(5) {
        fs::remove_file(path).unwrap();
    }
    holds(world, "centro", &whole).await;
}

pub(crate) async fn a_directory_that_is_lost_while_its_node_runs_is_filled_again(world: &World) {
    let whole = files(world, "cofre");
    assert!(whole.len() >= 18);
    let data = world.network.node("cofre").data_dir();
    // At one moment: the node makes it anew while one that is removed file by file is half there.
    fs::rename(data.join("chunks"), data.join("lost")).unwrap();
    holds(world, "cofre", &whole).await;
    all_is_received(world, 18).await;
}

pub(crate) async fn a_node_that_was_away_and_lost_its_disk_catches_up(world: &mut World) {
    let whole = files(world, "jardins");
    world.network.stop("jardins").await;
    fs::remove_dir_all(world.network.node("jardins").data_dir().join("chunks")).unwrap();
    let missed = bring(world, 150, 4).await;
    world.network.run_node("jardins").await;
    holds(world, "jardins", &whole).await;
    all_is_received(world, 18).await;
    for (image, bytes) in missed {
        reads_back(world, image, &bytes, &["jardins"]).await;
    }
}

pub(crate) async fn what_no_image_names_is_deleted_and_nothing_else(world: &World) {
    all_is_received(world, 18).await;
    let named: Vec<Files> = NODES.iter().map(|node| files(world, node)).collect();
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    let new = image(world, patient, agreed, MediaType::Dicom);
    let bytes = dicom(200, 3 * 1024 * 1024);
    begin(world, &new, bytes.len() as u64).await.unwrap();
    let some = chunks(&bytes).into_iter().take(2).collect();
    send(&mut client(world, "centro"), new.upload_id, some).await.unwrap();
    let left_over = || files(world, "centro").len() - named[0].len();
    assert!(left_over() >= 2, "chunks of the upload are there");
    world.through("centro").abandon_upload(new.upload_id).await.unwrap();
    until("its chunks to be deleted", || async {
        let counts: Vec<usize> = NODES.iter().map(|node| files(world, node).len()).collect();
        let wanted: Vec<usize> = named.iter().map(BTreeMap::len).collect();
        if counts == wanted { Ok(()) } else { Err(format!("{counts:?} files, {wanted:?} of images")) }
    })
    .await;
    for (node, named) in NODES.iter().zip(&named) {
        assert!(files(world, node) == *named, "{node} deleted what an image names");
    }
    until("the tombstones to end", || async {
        let copies = copies(world, "centro").await?;
        if copies.tombstones == 0 { Ok(()) } else { Err(format!("{} tombstones", copies.tombstones)) }
    })
    .await;
}
