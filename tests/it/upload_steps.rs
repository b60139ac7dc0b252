//! The node that takes an upload dies at each step of the commit, and what the step promises holds: an image is seen
//! only when its bytes lie on two sites, and what was not acknowledged is brought to its end through another node.

use crate::gallery::{MIB, begin, chunk_files, chunks, client, consent, dicom, image, put, reads_back, send, shown};
use crate::world::{SOFTWARE, World};
use bytes::Bytes;
use plantao_client::Cluster;
use plantao_client::images::{NewImage, sha256_of};
use plantao_proto::admin::v1::{NodeRole, TransferLeadershipRequest};
use plantao_proto::public::v1::image_service_client::ImageServiceClient;
use plantao_proto::public::v1::{self as wire, MediaType};
use plantao_tests::wait::until;
use rustix::process::{Pid, Signal, kill_process};
use tonic::transport::Channel;

/// Where in its life an upload is when its node dies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Step {
    /// The intent is in the log, and nothing else.
    Announced,
    /// Some chunks are durable on the node that takes them.
    Begun,
    /// All of them are, and on the other unit.
    OnTwoSites,
    /// The commit is in the log of the node that takes it, and no other node has it.
    Proposed,
    /// The commit is in the log of the network, and perhaps not answered.
    Committed,
}

const STEPS: [Step; 5] = [Step::Announced, Step::Begun, Step::OnTwoSites, Step::Proposed, Step::Committed];

fn signal(world: &World, node: &str, signal: Signal) {
    let pid = world.network.node(node).pid().and_then(|pid| Pid::from_raw(pid.try_into().unwrap())).unwrap();
    kill_process(pid, signal).unwrap();
}

pub(crate) async fn lead(world: &World, node: &str) {
    let operator = world.network.client("rede/operator/plantao", &["centro", "jardins", "cofre"]);
    let to_node_id = world.network.status(node).await.unwrap().node_id;
    until("the lead of the node that takes it", || async {
        if world.network.leader().await == node {
            return Ok(());
        }
        let request = TransferLeadershipRequest { to_node_id, ..Default::default() };
        let asked = operator.transfer_leadership(request).await;
        Err(format!("{:?}", asked.err().map(|error| error.to_string())))
    })
    .await;
}

async fn is_seen(cluster: &Cluster, new: &NewImage) -> bool {
    let read = Some(wire::ReadOptions { consistency: wire::Consistency::Local.into(), ..Default::default() });
    let request = wire::GetImageRequest { read, image_id: new.image_id.to_wire() };
    cluster.get_image(request).await.is_ok()
}

/// Says that all was sent, on a connection that stands, and does not wait for the answer.
fn finish(
    world: &World,
    mut client: ImageServiceClient<Channel>,
    new: &NewImage,
    bytes: &Bytes,
) -> tokio::task::JoinHandle<()> {
    let request = wire::FinishUploadRequest {
        header: Some(world.through("centro").new_header().unwrap()),
        upload_id: new.upload_id.to_wire(),
        sha256: sha256_of(bytes).to_vec().into(),
        bytes: bytes.len() as u64,
    };
    tokio::spawn(async move {
        let _ = client.finish_upload(request).await;
    })
}

pub(crate) async fn at_each_step_of_the_commit_the_ingress_may_die(world: &mut World) {
    let patient = world.patients[0];
    let agreed = consent(world, patient).await;
    for (step, seed) in STEPS.into_iter().zip(170..) {
        // The node that takes the upload leads, so that what it proposes is first in its own log.
        lead(world, "centro").await;
        let bytes = dicom(seed, 3 * MIB + 7);
        let new = image(world, patient, agreed, MediaType::Dicom);
        let (here, there) = (chunk_files(world, "centro").len(), chunk_files(world, "jardins").len());
        begin(world, &new, bytes.len() as u64).await.unwrap();
        let sent = match step {
            Step::Announced => Vec::new(),
            Step::Begun => chunks(&bytes)[..2].to_vec(),
            _ => chunks(&bytes),
        };
        let mut sender = client(world, "centro");
        // Repair may still bring files of the tests before, so there may be more.
        if !sent.is_empty() {
            send(&mut sender, new.upload_id, sent.clone()).await.unwrap();
            assert!(chunk_files(world, "centro").len() >= here + sent.len(), "answered before they are durable");
        }
        if step >= Step::OnTwoSites {
            until("all chunks on the other unit", || async {
                let files = chunk_files(world, "jardins").len();
                if files >= there + sent.len() { Ok(()) } else { Err(files) }
            })
            .await;
        }
        assert!(!is_seen(&world.through("centro"), &new).await, "{step:?}: seen before it is finished");
        match step {
            Step::Proposed => {
                for node in ["jardins", "cofre"] {
                    signal(world, node, Signal::STOP);
                }
                let last = world.network.status("centro").await.unwrap().last_log_index;
                let finishing = finish(world, sender, &new, &bytes);
                until("the commit in the leader's log", || async {
                    let status = world.network.status("centro").await.map_err(|error| error.to_string())?;
                    // Alone for some seconds it gives up the lead, as it may on a machine that stands still.
                    let is_over = status.last_log_index > last || status.role() != NodeRole::Leader;
                    if is_over { Ok(()) } else { Err(format!("{}", status.last_log_index)) }
                })
                .await;
                finishing.abort();
            }
            Step::Committed => {
                let finishing = finish(world, sender, &new, &bytes);
                until("the image on the other unit", || async {
                    if is_seen(&world.through("jardins"), &new).await { Ok(()) } else { Err("not yet") }
                })
                .await;
                finishing.abort();
            }
            Step::Announced | Step::Begun | Step::OnTwoSites => {}
        }
        world.network.kill("centro").await;
        if step == Step::Proposed {
            for node in ["jardins", "cofre"] {
                signal(world, node, Signal::CONT);
            }
        }
        // Whoever sees it reads it: its bytes are there.
        let jardins = world.network.client(SOFTWARE, &["jardins"]);
        match step {
            Step::Announced | Step::Begun | Step::OnTwoSites => {
                assert!(!is_seen(&jardins, &new).await, "{step:?}: seen, and nobody asked to commit it");
            }
            // The entry may wait in the sockets of the nodes that stood still: nobody was told that it does not count.
            Step::Proposed if !is_seen(&jardins, &new).await => {}
            Step::Proposed | Step::Committed => reads_back(world, new.image_id, &bytes, &["jardins"]).await,
        }
        let committed = put(&jardins, &new, &bytes).await.unwrap_or_else(|error| panic!("{step:?}: {error}"));
        assert!(committed.image.unwrap().sites >= 2, "{step:?}");
        reads_back(world, new.image_id, &bytes, &["jardins"]).await;
        world.network.run_node("centro").await;
        world.network.digests_agree().await;
        reads_back(world, new.image_id, &bytes, &["centro"]).await;
        // What repair brings later is not to be taken for what the next upload wrote.
        until("three copies", || async {
            let copies = shown(&world.through("centro"), new.image_id).await.copies;
            if copies == 3 { Ok(()) } else { Err(copies) }
        })
        .await;
    }
}
