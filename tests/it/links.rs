//! A link between two nodes that is cut is named as one, by every node, in both directions, and only for as long.

use crate::world::World;
use plantao_proto::admin::v1::{GetStatusResponse, Link};
use plantao_tests::network::Network;
use plantao_tests::wait::until;

const NODES: [&str; 3] = ["centro", "jardins", "cofre"];

/// The link as a node's answer has it.
fn link(network: &Network, status: &GetStatusResponse, from: &str, to: &str) -> Option<Link> {
    let (from, to) = (network.node(from).id(), network.node(to).id());
    status.links.iter().copied().find(|link| (link.from_node_id, link.to_node_id) == (from, to))
}

fn warned(status: &GetStatusResponse, code: u32, words: &[&str]) -> bool {
    status.warnings.iter().any(|one| one.code == code && words.iter().all(|word| one.message.contains(word)))
}

async fn every_node(network: &Network, what: &str, holds: impl Fn(&GetStatusResponse) -> bool) {
    until(what, || async {
        for node in NODES {
            let status = network.status(node).await.map_err(|error| error.to_string())?;
            if !holds(&status) {
                return Err(format!("{node}: {:?} {:?}", status.links, status.warnings));
            }
        }
        Ok(())
    })
    .await;
}

pub(crate) async fn a_cut_link_is_named_by_every_node_and_a_mended_one_by_none(world: &World) {
    let network = &world.network;
    let whole = |status: &GetStatusResponse| {
        status.links.len() == 6 && status.links.iter().all(|link| link.reachable && !link.cut)
    };
    every_node(network, "all links to work", whole).await;
    network.links().cut("centro", "jardins");
    every_node(network, "the cut to be named", |status| {
        let is_cut = |from, to| link(network, status, from, to).is_some_and(|link| link.cut && !link.reachable);
        let works = |from, to| link(network, status, from, to).is_some_and(|link| link.reachable);
        is_cut("centro", "jardins")
            && is_cut("jardins", "centro")
            && works("centro", "cofre")
            && works("cofre", "jardins")
            && warned(status, 2305, &["centro", "jardins"])
            // It is the link and not the node.
            && !warned(status, 2303, &[])
    })
    .await;
    network.links().mend();
    every_node(network, "the mended link to be no news", |status| whole(status) && !warned(status, 2305, &[])).await;
}

pub(crate) async fn a_node_that_is_down_is_no_cut_link(world: &mut World) {
    world.network.kill("cofre").await;
    let network = &world.network;
    until("the silence to be told", || async {
        let mut seen = Vec::new();
        for node in ["centro", "jardins"] {
            let status = network.status(node).await.map_err(|error| error.to_string())?;
            assert!(!status.links.iter().any(|link| link.cut), "{node}: {:?}", status.links);
            assert!(!warned(&status, 2305, &[]), "{node}: {:?}", status.warnings);
            // Long after a cut would have been named.
            let silent = link(network, &status, node, "cofre")
                .is_some_and(|link| !link.reachable && status.now_ms - link.since_ms > 7_000);
            seen.push((silent, warned(&status, 2303, &["cofre"])));
        }
        let told = seen.iter().all(|(silent, _)| *silent) && seen.iter().any(|(_, warned)| *warned);
        if told { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    world.network.run_node("cofre").await;
    world.network.digests_agree().await;
}
