//! 3-2-1 is proven, not assumed: what holds is said to hold, by every node; what does not is not, and names where.

use crate::gallery::{chunk_files, consent, dicom, image, put};
use crate::world::{TOOL, World, id};
use plantao_client::Id;
use plantao_proto::admin::v1::list_copies_request::Of;
use plantao_proto::admin::v1::{FindingKind, HolderAnswer, ListCopiesRequest, Proof, ProveRequest, Verdict};
use plantao_proto::public::v1::MediaType;
use plantao_tests::network::CLUSTER;
use plantao_tests::wait::until;
use serde_json::Value;
use std::fs;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

const ALL: [&str; 3] = ["centro", "jardins", "cofre"];

async fn prove(world: &World, node: &str) -> Result<Proof, String> {
    world.network.admin(node).prove(ProveRequest::default(), |_| {}).await.map_err(|error| error.to_string())
}

/// Asks until the verdict is this one: copies may be on their way.
async fn proven(world: &World, node: &str, verdict: Verdict) -> Proof {
    until(&format!("{node} says {verdict:?}"), async || {
        let proof = prove(world, node).await?;
        if proof.verdict() == verdict { Ok(proof) } else { Err(format!("{proof:?}")) }
    })
    .await
}

async fn put_some(world: &World) -> Id {
    // An image is placed on the stores that there are.
    until("every node has a chunk directory that counts", async || {
        let proof = prove(world, "centro").await?;
        let all = proof.holders.len() == 3 && proof.holders.iter().all(|one| one.answer() == HolderAnswer::Answered);
        if all { Ok(()) } else { Err(format!("{proof:?}")) }
    })
    .await;
    let (patient, software) = (world.patients[0], world.through("centro"));
    let consent = consent(world, patient).await;
    let mut last = id();
    for seed in 0..3 {
        let new = image(world, patient, consent, MediaType::Dicom);
        put(&software, &new, &dicom(200 + seed, 1_300_000)).await.unwrap();
        last = new.image_id;
    }
    last
}

/// What `plantao compliance 321` ends with and writes to its output as JSON.
async fn compliance(world: &World, node: &str) -> (Option<i32>, Value) {
    let (certificate, key) = world.network.credentials("rede/operator/plantao");
    let (node, roots) = (world.network.node(node), world.network.roots());
    let mut tool = Command::new(TOOL);
    tool.env_clear().args(["compliance", "321", "-o", "json", "--quiet", "--cluster", CLUSTER]);
    tool.args(["--endpoint", &node.public(), "--admin-endpoint", &node.admin()]);
    tool.arg("--ca").arg(roots).arg("--cert").arg(certificate).arg("--key").arg(key).kill_on_drop(true);
    let output = timeout(Duration::from_secs(60), tool.output()).await.unwrap().unwrap();
    let document = serde_json::from_slice(&output.stdout);
    let document = document.unwrap_or_else(|error| panic!("{error}: {}", plantao_tests::network::text(&output)));
    plantao_tests::json_tables::holds(&document);
    (output.status.code(), document)
}

/// Three nodes of one machine have one disk.
pub(crate) async fn copies_on_one_disk_are_not_three(world: &World) {
    put_some(world).await;
    let proof = until("no copy is on its way", async || {
        let proof = prove(world, "centro").await?;
        if proof.findings_total == 0 { Ok(proof) } else { Err(format!("{proof:?}")) }
    })
    .await;
    assert_eq!(proof.verdict(), Verdict::DoesNotHold);
    let images = &proof.objects[0];
    assert_eq!((images.kind.as_str(), images.copies_least, images.without_three), ("images", 1, images.objects));
    let state = &proof.objects[1];
    assert_eq!((state.kind.as_str(), state.copies_least), ("state", 1));
    // A script learns it from the exit code.
    let (exit, document) = compliance(world, "jardins").await;
    assert_eq!((exit, &document["verdict"]), (Some(10), &"does not hold".into()), "{document}");
    assert_eq!(document["objects"][0]["fewest_copies"], 1, "{document}");
}

/// The same three nodes, declared as a trial.
pub(crate) async fn what_holds_is_proven_by_every_node(world: &mut World) {
    let last = put_some(world).await;
    for node in ALL {
        let proof = proven(world, node, Verdict::HoldsSimulated).await;
        assert!(proof.linearizable && proof.findings_total == 0);
        for holder in &proof.holders {
            assert!(holder.state_agrees && holder.answer() == HolderAnswer::Answered, "{holder:?}");
            // Three images of two chunks: the sample is all of them.
            assert_eq!((holder.expected_chunks, holder.challenged, holder.proved), (6, 6, 6), "{holder:?}");
        }
        for objects in &proof.objects {
            assert_eq!((objects.copies_least, objects.media_least, objects.off_site_least), (3, 2, 1), "{objects:?}");
        }
    }
    // A node that is too busy to answer proves nothing, so it is asked again.
    let (_, document) = until("the tool to end well", async || {
        let found = compliance(world, "centro").await;
        if found.0 == Some(0) { Ok(found) } else { Err(found) }
    })
    .await;
    assert_eq!(document["verdict"], "holds (simulated media)", "{document}");
    until("word of every copy", async || {
        let request = ListCopiesRequest { of: Some(Of::ImageId(last.to_wire())), ..Default::default() };
        let answer = world.network.admin("jardins").list_copies(request).await;
        let copies = answer.map_err(|error| error.to_string())?.objects;
        let [object] = &copies[..] else { return Err(format!("{copies:?}")) };
        let is_whole = object.copies.len() == 3 && object.copies.iter().all(|copy| (copy.chunks, copy.held) == (2, 2));
        if is_whole && object.errors == 0 { Ok(()) } else { Err(format!("{copies:?}")) }
    })
    .await;
    let of = Some(Of::ImageId(id().to_wire()));
    assert!(world.network.admin("jardins").list_copies(ListCopiesRequest { of, ..Default::default() }).await.is_err());
}

/// The node believes that it has all its files; the challenge finds that it has not.
pub(crate) async fn a_file_that_is_gone_is_found_and_named(world: &mut World) {
    let files = chunk_files(world, "jardins");
    fs::remove_file(&files[0]).unwrap();
    let proof = until("a proof in which everybody speaks", async || {
        let proof = prove(world, "centro").await?;
        let is_silent = proof.findings.iter().any(|finding| finding.kind() == FindingKind::Silent);
        if is_silent { Err(format!("{proof:?}")) } else { Ok(proof) }
    })
    .await;
    // Unless repair was faster than the question.
    if proof.verdict() == Verdict::DoesNotHold {
        let finding = &proof.findings[0];
        assert_eq!((finding.kind(), finding.node_id, finding.image_id.len()), (FindingKind::Lost, 2, 16), "{proof:?}");
    }
}

pub(crate) async fn a_node_that_is_silent_counts_for_nothing(world: &mut World) {
    world.network.stop("cofre").await;
    let proof = proven(world, "centro", Verdict::DoesNotHold).await;
    assert_eq!(proof.objects[0].off_site_least, 0);
    assert!(proof.findings.iter().any(|finding| finding.kind() == FindingKind::Silent && finding.node_id == 3));
    world.network.run_node("cofre").await;
}
