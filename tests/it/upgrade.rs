//! A rolling upgrade under load, back and forth, and its end: the level rises only when every node reads the new one, and from
//! then on older programs are refused, at a start and at a join. There is one program in a build, so `upgrade.level_max` makes
//! the older one of it: it says, refuses and stops at what that would.

use crate::members::tool;
use crate::world::{SOFTWARE, World};
use plantao_node::local_network::NodeSpec;
use plantao_node::local_network::checks::{look_for, overlaps};
use plantao_node::local_network::load::{Load, LoadOptions, Work};
use plantao_proto::admin::v1 as admin;
use plantao_proto::public::v1 as wire;
use plantao_tests::network::{CLUSTER, Network, text};
use plantao_tests::wait::until;
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};

const THREE: [&str; 3] = ["centro", "jardins", "cofre"];
const OLD: &str = "\n[upgrade]\nlevel_max = 1\n";
const WHY: &str = "todos na versão nova";

/// The node's program, from its next start on, is the old one or the new one.
fn install(network: &Network, name: &str, old: bool) {
    let path = network.node(name).config();
    let config = fs::read_to_string(path).unwrap().replace(OLD, "");
    fs::write(path, if old { config + OLD } else { config }).unwrap();
}

/// Another program on one node, as the runbook has it: stopped, started, and waited for.
async fn replace(network: &mut Network, name: &str, old: bool) {
    install(network, name, old);
    network.stop(name).await;
    network.run_node(name).await;
    let others = THREE.into_iter().filter(|other| *other != name);
    let mut wanted = 0;
    for other in others {
        wanted = wanted.max(network.status(other).await.unwrap().applied_index);
    }
    until(&format!("{name} to catch up"), || async {
        let status = network.status(name).await.map_err(|error| error.to_string())?;
        let there = status.leader_id != 0 && status.applied_index >= wanted;
        if there { Ok(()) } else { Err(format!("{} of {wanted}", status.applied_index)) }
    })
    .await;
}

async fn levels(network: &Network, nodes: &[&str], level: u32) {
    for name in nodes {
        until(&format!("level {level} on {name}"), || async {
            let status = network.status(name).await.map_err(|error| error.to_string())?;
            if status.format_level == level { Ok(()) } else { Err(status.format_level.to_string()) }
        })
        .await;
    }
}

pub(crate) async fn a_load(world: &World) -> Load {
    let programs = world.network.client(SOFTWARE, &["centro", "jardins"]);
    let options = LoadOptions { work: Work::Contended, every: Duration::from_millis(100), in_flight_max: 256 };
    Load::start(&programs, &options).await.unwrap()
}

/// What the new program wrote, the old one goes on with, as long as nobody ended the upgrade.
pub(crate) async fn before_the_end_every_node_goes_back_and_forth(world: &mut World) {
    let network = &mut world.network;
    for name in THREE {
        replace(network, name, true).await;
    }
    let shown = tool(network, &THREE, 0, "", &["upgrade", "status"]).await;
    assert_eq!((&shown["level"], &shown["can_finalize_to"]), (&1.into(), &json!(null)), "{shown}");
    let finalize = ["upgrade", "finalize", "--to", "2", "--reason", WHY, "--confirm", CLUSTER];
    tool(network, &THREE, 6, "PLT-2632", &finalize).await;
    for (nth, name) in ["cofre", "jardins"].into_iter().enumerate() {
        replace(network, name, false).await;
        let waits: Vec<&str> = ["centro", "jardins"].into_iter().take(2 - nth).collect();
        until("the tool to say what is missing", || async {
            let shown = tool(network, &THREE, 0, "", &["upgrade", "status"]).await;
            if shown["waits_for"] == json!(waits) { Ok(()) } else { Err(shown.to_string()) }
        })
        .await;
    }
    // One node is left; its program would stop at the first entry of the new level.
    tool(network, &THREE, 6, "PLT-2632", &finalize).await;
    levels(network, &THREE, 1).await;
}

pub(crate) async fn it_ends_only_when_every_node_answers_and_reads_it(world: &mut World) {
    let network = &mut world.network;
    replace(network, "centro", false).await;
    network.kill("cofre").await;
    let finalize = ["upgrade", "finalize", "--reason", WHY, "--to", "2", "--confirm", CLUSTER];
    tool(network, &["centro", "jardins"], 6, "PLT-2631", &finalize).await;
    network.run_node("cofre").await;
    tool(network, &THREE, 2, "--confirm", &finalize[..6]).await;
    tool(network, &THREE, 6, "PLT-9052", &[&finalize[..6], &["--confirm", "outra-rede"]].concat()).await;
    let trial = tool(network, &THREE, 0, "", &[&finalize[..6], &["--dry-run"]].concat()).await;
    assert_eq!(trial["upgrade_finalize"]["changed"], false, "{trial}");
    levels(network, &THREE, 1).await;
    let auditor = network.client("rede/auditor/conselho", &["centro"]).admin_nodes()[0].clone();
    let request = admin::FinalizeUpgradeRequest { seen_level: 1, to_level: 2, reason: WHY.into(), dry_run: false };
    assert_eq!(auditor.finalize_upgrade(request).await.unwrap_err().code(), Some(1001));

    tool(network, &THREE, 0, "", &finalize).await;
    levels(network, &THREE, 2).await;
    let shown = tool(network, &THREE, 0, "", &["upgrade", "status"]).await;
    assert_eq!((&shown["level"], &shown["reason"]), (&2.into(), &WHY.into()), "{shown}");
    let auditor = network.client("rede/auditor/auditoria", &["jardins"]);
    let mut from_sequence = 0;
    let raised = loop {
        let request = wire::ListEntriesRequest { from_sequence, page_size: 500, ..Default::default() };
        let page = auditor.list_entries(request).await.unwrap();
        let of_level = |entry: &&wire::AuditEntry| {
            entry.module() == wire::Module::Cluster && entry.action == "amend" && entry.version == 2
        };
        if let Some(entry) = page.entries.iter().find(of_level) {
            break entry.clone();
        }
        assert!(page.next_sequence > from_sequence, "the end of the upgrade is not in the trail");
        from_sequence = page.next_sequence;
    };
    assert_eq!(raised.refusal, 0);
}

pub(crate) async fn afterwards_the_old_program_is_refused_and_changes_nothing(world: &mut World) {
    let network = &mut world.network;
    network.stop("jardins").await;
    install(network, "jardins", true);
    let identity = network.node("jardins").data_dir().join("identity");
    let before = fs::read(&identity).unwrap();
    // A program of before there were levels reads format 1 of this file, and says so.
    assert!(String::from_utf8_lossy(&before).contains("\"format\":2"));
    let output = network.run("run", network.node("jardins"), &[]);
    let said = text(&output);
    assert!(!output.status.success() && said.contains("PLT-3209") && said.contains("format level 2"), "{said}");
    assert!(!said.contains("ready node"), "{said}");
    assert_eq!(fs::read(&identity).unwrap(), before);
    install(network, "jardins", false);
    network.run_node("jardins").await;
}

/// It is refused before its token is spent, and gets in with the same one.
pub(crate) async fn who_joins_reads_what_the_network_writes(world: &mut World) {
    let network = &mut world.network;
    let at = network.prepare(NodeSpec { voter: false, ..NodeSpec::unit("moema") });
    install(network, "moema", true);
    let token = network.token(true).await;
    let refused = network.join(at, &token).await.unwrap_err().to_string();
    assert!(refused.contains("PLT-1733") || network.log("moema").contains("PLT-1733"), "{refused}");
    install(network, "moema", false);
    // The certificate for joining is issued once more.
    for file in ["new.crt", "new.key"] {
        fs::remove_file(network.node("moema").tls_dir().join(file)).unwrap();
    }
    network.join(at, &token).await.unwrap_or_else(|error| panic!("the token was spent: {error}"));
    network.run_node("moema").await;
    levels(network, &["moema"], 2).await;
    until("the new node's directory to be marked", || async {
        let identity = fs::read_to_string(network.node("moema").data_dir().join("identity")).unwrap();
        if identity.contains("\"format\":2") { Ok(()) } else { Err(identity) }
    })
    .await;
}

/// Every acknowledged write is there, once, on each node.
pub(crate) async fn nothing_was_lost(world: &World, load: Load) {
    load.acknowledged_after(Instant::now(), 10).await.unwrap();
    let (stage, ledger) = load.stop().await.unwrap();
    assert_eq!(ledger.failed, 0, "{:?}", ledger.first_failure);
    for name in ["centro", "jardins"] {
        let report = look_for(&world.through(name), &stage, &ledger).await.unwrap();
        assert!(report.holds(), "{name}: {report:?}");
    }
    let overlaps = overlaps(&world.through("jardins")).await.unwrap();
    assert!(overlaps.holds(), "{overlaps:?}");
    world.network.digests_agree().await;
}
