//! A member whose disk is lost comes back by one command, under load, whether it led or not; and a voter that stays silent is
//! replaced by a learner, where the operator allowed that.

use crate::members::{hello_as, leader, named, tool, voters};
use crate::upgrade::{a_load, nothing_was_lost};
use crate::world::World;
use plantao_node::local_network::NodeSpec;
use plantao_proto::admin::v1::Standing;
use plantao_tests::network::text;
use plantao_tests::wait::until;
use std::fs;
use std::path::PathBuf;

const THREE: [&str; 3] = ["centro", "jardins", "cofre"];

/// Kills the node and loses its disk; gives where its old certificate is, and its old number.
async fn wipe(world: &mut World, name: &str) -> (PathBuf, u64) {
    let network = &mut world.network;
    network.kill(name).await;
    let node = network.node(name);
    fs::remove_dir_all(node.data_dir()).unwrap();
    let old = network.directory().join(format!("{name}-{}", node.id()));
    fs::create_dir(&old).unwrap();
    for file in ["node.crt", "node.key", "new.crt", "new.key"] {
        let from = node.tls_dir().join(file);
        if from.exists() {
            fs::rename(from, old.join(file)).unwrap();
        }
    }
    (old, node.id())
}

/// One command of an operator, and the token that it prints on the machine with the empty disk.
async fn brought_back(world: &mut World, name: &str) {
    let rest: Vec<&str> = THREE.into_iter().filter(|other| *other != name).collect();
    let (old, number) = wipe(world, name).await;
    // A certificate alone makes no node: it does not start as what it was.
    let tls = world.network.node(name).tls_dir().to_owned();
    for file in ["node.crt", "node.key"] {
        fs::copy(old.join(file), tls.join(file)).unwrap();
    }
    let output = world.network.run("run", world.network.node(name), &[]);
    assert!(!output.status.success() && !text(&output).contains("ready node"), "{}", text(&output));
    for file in ["node.crt", "node.key"] {
        fs::remove_file(tls.join(file)).unwrap();
    }

    let network = &mut world.network;
    let reinit = ["member", "reinit", name, "--reason", "disco perdido", "--confirm", name];
    let planned = tool(network, &rest, 0, "", &reinit).await;
    let token = planned["join_token"]["token"].as_str().unwrap().to_owned();
    let at = network.nodes().iter().position(|node| node.name() == name).unwrap();
    let joined = network.join(at, &token).await;
    joined.unwrap_or_else(|error| panic!("{name} does not join: {error}"));
    network.run_node(name).await;
    let members = voters(&world.network, &THREE, &THREE).await;
    let before = members.nodes.iter().find(|node| node.node_id == number).unwrap();
    assert_eq!((before.standing(), before.member), (Standing::Removed, false), "{members:?}");

    let (certificate, key) = (old.join("node.crt"), old.join("node.key"));
    for to in THREE {
        until(&format!("{to} to refuse number {number}"), || async {
            match hello_as(&world.network, number, &certificate, &key, to).await {
                Err(status) if status.code() == tonic::Code::PermissionDenied => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }
}

pub(crate) async fn a_leader_and_then_a_follower_lose_their_disks(world: &mut World) {
    let load = a_load(world).await;
    let leads = leader(&world.network, &THREE).await;
    brought_back(world, &leads).await;
    let leads = leader(&world.network, &THREE).await;
    let follows = THREE.into_iter().find(|name| **name != leads).unwrap();
    brought_back(world, follows).await;
    nothing_was_lost(world, load).await;
    for name in THREE {
        let log = world.network.log(name);
        assert!(!log.contains("panicked"), "{name} panicked: {log}");
    }
}

/// Nobody decides anything: the one that is silent gives its vote to the learner, stays, and catches up when it is back.
pub(crate) async fn a_voter_that_stays_silent_is_replaced_by_itself(world: &mut World) {
    let network = &mut world.network;
    network.add(NodeSpec { voter: false, ..NodeSpec::unit("moema") }).await;
    let up = ["centro", "cofre", "moema"];
    network.kill("jardins").await;
    let members = voters(network, &up, &up).await;
    assert_eq!(named(&members, "jardins").standing(), Standing::Learner);
    network.run_node("jardins").await;
    until("the one that was silent to be a learner that has everything", || async {
        let status = network.status("jardins").await.map_err(|error| error.to_string())?;
        let leads = network.status("centro").await.map_err(|error| error.to_string())?;
        if status.leader_id != 0 && status.applied_index >= leads.applied_index {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
    network.digests_agree().await;
}
