//! The membership changes while the network works: it grows from three to five and shrinks back under load, with a kill in the
//! middle of each; what was staged is applied as it was seen or not at all; a unit that burned is replaced by its runbook, and
//! nobody who was removed gets anywhere.

use crate::gallery::{consent, dicom, image, put, reads_back, shown};
use crate::quorum::{Desk, commands};
use crate::raw;
use crate::world::{SOFTWARE, TOOL, World};
use bytes::Bytes;
use plantao_client::{AdminNode, Error, Id};
use plantao_node::local_network::NodeSpec;
use plantao_node::local_network::checks::{look_for, overlaps};
use plantao_node::local_network::load::{Load, LoadOptions, Work};
use plantao_proto::admin::v1::{
    ChangeMembersRequest, GetMembersResponse, MemberChange, NodeStanding, StageMembersRequest, Standing,
};
use plantao_proto::peer::v1 as peer;
use plantao_proto::public::v1::MediaType;
use plantao_tests::network::{CLUSTER, Network, text};
use plantao_tests::wait::{PATIENCE, until, until_within};
use prost::Message as _;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::time::timeout;

const THREE: [&str; 3] = ["centro", "jardins", "cofre"];
const FIVE: [&str; 5] = ["centro", "jardins", "cofre", "jardim-sul", "moema"];
const RUNBOOK: &str = include_str!("../../docs/operations/burned-unit.md");

/// What a script sees that comes at a bad moment: no leader, an answer that was lost, steps still under way.
const LATER: [i32; 3] = [5, 12, 124];
/// Refusals of the moment on a slow machine: nodes look silent or behind.
const NOT_NOW: [&str; 6] = ["PLT-2621", "PLT-2622", "PLT-2623", "PLT-2624", "PLT-2631", "PLT-2641"];

/// The operator's tool, until it ends with this code and says this; gives its document.
pub(crate) async fn tool(network: &Network, nodes: &[&str], code: i32, said: &str, arguments: &[&str]) -> Value {
    told_by_tool(command_line(network, nodes, arguments), code, said.to_owned()).await
}

/// What is typed, so that the network may be hurt while the tool is at work.
fn command_line(network: &Network, nodes: &[&str], arguments: &[&str]) -> Vec<OsString> {
    let (certificate, key) = network.credentials("rede/operator/plantonista");
    let mut line: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    line.extend(["-o", "json", "--no-input", "--timeout", "40", "--cluster", CLUSTER].map(OsString::from));
    for name in nodes {
        let (public, admin) = (network.node(name).public(), network.node(name).admin());
        line.extend(["--endpoint", &public, "--admin-endpoint", &admin].map(OsString::from));
    }
    line.extend([
        "--ca".into(),
        network.roots().into(),
        "--cert".into(),
        certificate.into(),
        "--key".into(),
        key.into(),
    ]);
    line
}

async fn told_by_tool(arguments: Vec<OsString>, code: i32, said: String) -> Value {
    let output = until(&format!("{arguments:?}"), || async {
        let mut tool = Command::new(TOOL);
        tool.env_clear().args(&arguments);
        let output = timeout(Duration::from_secs(120), tool.kill_on_drop(true).output()).await.unwrap().unwrap();
        let all = text(&output);
        let exit = output.status.code().unwrap();
        if exit == code && all.contains(&said) {
            return Ok(output);
        }
        let later = LATER.contains(&exit) || NOT_NOW.iter().any(|code| all.contains(code));
        assert!(later, "{arguments:?}: {exit} instead of {code} {said}: {all}");
        Err(all)
    })
    .await;
    plantao_tests::json_tables::told(&output)
}

/// The node of these that leads, and the members as it has them.
async fn leading(network: &Network, nodes: &[&str]) -> Result<(AdminNode, GetMembersResponse), String> {
    let mut newest: Option<(AdminNode, GetMembersResponse)> = None;
    for name in nodes {
        let admin = network.admin(name);
        let Ok(members) = admin.get_members().await else { continue };
        let is_newer = newest.as_ref().is_none_or(|(_, known)| members.term > known.term);
        if members.leader_id == members.node_id && is_newer {
            newest = Some((admin, members));
        }
    }
    newest.ok_or_else(|| format!("none of {nodes:?} leads"))
}

pub(crate) async fn leader(network: &Network, nodes: &[&str]) -> String {
    let (_, members) = until("a leader", || leading(network, nodes)).await;
    members.nodes.into_iter().find(|node| node.node_id == members.leader_id).unwrap().name
}

pub(crate) fn named<'a>(members: &'a GetMembersResponse, name: &str) -> &'a NodeStanding {
    members.nodes.iter().find(|node| node.name == name).unwrap()
}

/// Waits until exactly these vote, and nothing is left to be done.
pub(crate) async fn voters(network: &Network, nodes: &[&str], wanted: &[&str]) -> GetMembersResponse {
    // A change of leader makes its steps begin anew, and how long somebody was silent.
    until_within(PATIENCE * 4, &format!("{wanted:?} to vote"), || async {
        let (_, members) = leading(network, nodes).await?;
        let voting = members.nodes.iter().filter(|node| node.voter);
        let mut voting: Vec<&str> = voting.map(|node| node.name.as_str()).collect();
        voting.sort_unstable();
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        if voting == wanted && members.steps.is_empty() { Ok(members) } else { Err(format!("{members:?}")) }
    })
    .await
}

/// What these nodes are to be; by their numbers, which are those of their places.
fn changes(all: &[(&str, Standing)]) -> ChangeMembersRequest {
    let number = |name: &str| 1 + u64::try_from(FIVE.iter().position(|node| *node == name).unwrap()).unwrap();
    let change = |(name, to): &(&str, Standing)| MemberChange { node_id: number(name), to: (*to).into() };
    let reason = "muda a rede".to_owned();
    ChangeMembersRequest { changes: all.iter().map(change).collect(), reason, ..ChangeMembersRequest::default() }
}

/// Decides by the operators' plane, whoever leads, and waits for none of its steps. A lost answer of a staged change is found
/// again as a version that is not the one any more.
async fn decide(network: &Network, nodes: &[&str], request: &ChangeMembersRequest) {
    until("a leader that takes the change", || async {
        let (admin, _) = leading(network, nodes).await?;
        match admin.change_members(request.clone()).await {
            Err(error) if error.code() != Some(1203) => Err(format!("{error:?}")),
            _ => Ok(()),
        }
    })
    .await;
}

/// What whoever leads refuses with this number.
async fn refused(network: &Network, nodes: &[&str], code: u32, request: &ChangeMembersRequest) {
    until(&format!("PLT-{code}"), || async {
        let (admin, _) = leading(network, nodes).await?;
        match admin.change_members(request.clone()).await {
            Err(error) if error.code() == Some(code) => Ok(()),
            Err(error) => Err(format!("{error:?}")),
            Ok(done) => panic!("not refused: {done:?}"),
        }
    })
    .await;
}

/// Grows by a staged change whose leader falls as soon as it is decided: nobody says it again, the next leader finishes it.
pub(crate) async fn it_grows_to_five_and_the_leader_falls_on_the_way(world: &mut World) -> (Load, Vec<(Id, Bytes)>) {
    let programs = world.network.client(SOFTWARE, &["centro", "jardins"]);
    let options = LoadOptions { work: Work::Contended, every: Duration::from_millis(100), in_flight_max: 256 };
    let load = Load::start(&programs, &options).await.unwrap();
    for name in ["jardim-sul", "moema"] {
        joins_while_the_leader_falls(&mut world.network, name).await;
    }
    what_is_staged_is_applied_as_it_was_seen(&world.network).await;
    let network = &world.network;
    let seen = tool(network, &FIVE, 0, "", &["member", "diff"]).await;
    assert_eq!((&seen["now"]["voters"], &seen["after"]["voters"]), (&3.into(), &5.into()), "{seen}");
    let version = u32::try_from(seen["layout_version"].as_u64().unwrap()).unwrap();
    assert_eq!(seen["next_command"], format!("plantao member apply --version {version} --reason …"));
    let apply = ChangeMembersRequest { layout_version: version, reason: "cresce".into(), ..Default::default() };
    decide(network, &FIVE, &apply).await;
    let fallen = leader(network, &FIVE).await;
    world.network.kill(&fallen).await;
    let rest: Vec<&str> = FIVE.into_iter().filter(|name| *name != fallen).collect();
    voters(&world.network, &rest, &FIVE).await;
    world.network.run_node(&fallen).await;
    let (patient, mut images) = (world.patients[0], Vec::new());
    let agreed = consent(world, patient).await;
    for seed in 0..4 {
        let (new, bytes) = (image(world, patient, agreed, MediaType::Dicom), dicom(seed, 50_000));
        put(&world.through("centro"), &new, &bytes).await.unwrap();
        images.push((new.image_id, bytes));
    }
    (load, images)
}

/// The token is spent and the node has its number; whoever leads then makes it a member.
async fn joins_while_the_leader_falls(network: &mut Network, name: &str) {
    let there: Vec<String> = network.nodes().iter().map(|node| node.name().to_owned()).collect();
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    let at = network.prepare(NodeSpec { voter: false, ..NodeSpec::unit(name) });
    let added = tool(network, &there, 0, "", &["member", "add", "--yes"]).await;
    let joined = network.join(at, added["join_token"]["token"].as_str().unwrap()).await;
    joined.unwrap_or_else(|error| panic!("{name} does not join: {error}"));
    let fallen = leader(network, &there).await;
    network.kill(&fallen).await;
    network.run_node(name).await;
    let up: Vec<&str> = there.iter().copied().filter(|other| *other != fallen).collect();
    until_within(PATIENCE * 4, &format!("{name} to be a member"), || async {
        let (_, members) = leading(network, &up).await?;
        let here = members.nodes.iter().any(|node| node.name == name && node.member);
        if here && members.steps.is_empty() { Ok(()) } else { Err(format!("{members:?}")) }
    })
    .await;
    network.run_node(&fallen).await;
}

async fn what_is_staged_is_applied_as_it_was_seen(network: &Network) {
    tool(network, &FIVE, 0, "", &["member", "stage", "promote", "moema"]).await;
    // Two operators who saw the same: the first is taken.
    let both = changes(&[("jardim-sul", Standing::Voter), ("moema", Standing::Voter)]).changes;
    let old = until("a change that is staged", || async {
        let (admin, members) = leading(network, &FIVE).await?;
        let seen_version = members.layout_version;
        let staged = admin.stage_members(StageMembersRequest { seen_version, changes: both.clone() }).await;
        staged.map(|_| seen_version).map_err(|error| format!("{error:?}"))
    })
    .await;
    until("the second operator to be refused", || async {
        let (admin, _) = leading(network, &FIVE).await?;
        match admin.stage_members(StageMembersRequest { seen_version: old, changes: Vec::new() }).await {
            Err(error) if error.code() == Some(1203) => Ok(()),
            Err(error) => Err(format!("{error:?}")),
            Ok(done) => panic!("not refused: {done:?}"),
        }
    })
    .await;
    // What was looked at before is not what would be applied.
    let apply = ["member", "apply", "--version", &old.to_string(), "--reason", "cresce", "--yes"];
    tool(network, &FIVE, 6, "PLT-1203", &apply).await;
}

pub(crate) async fn what_is_not_safe_or_not_what_was_seen_is_refused(world: &World) {
    let network = &world.network;
    // Nobody to ask, another name than the one that was asked for, and more than one node that begins so.
    tool(network, &FIVE, 2, "--yes", &["member", "demote", "moema", "--reason", "x"]).await;
    let remove = ["member", "remove", "moema", "--reason", "x", "--confirm", "outro"];
    tool(network, &FIVE, 6, "PLT-9051", &remove).await;
    tool(network, &FIVE, 7, "jardim-sul", &["member", "show", "jardi"]).await;
    tool(network, &FIVE, 7, "", &["member", "show", "ninguem"]).await;
    let shown = tool(network, &FIVE, 0, "", &["member", "show", "jardim"]).await;
    assert_eq!(shown["member"]["name"], "jardim-sul", "{shown}");
    let few = [("moema", Standing::Learner), ("jardim-sul", Standing::Learner), ("cofre", Standing::Learner)];
    refused(network, &FIVE, 1721, &changes(&few)).await;
    let nobody = MemberChange { node_id: 99, to: Standing::Voter.into() };
    refused(network, &FIVE, 1201, &ChangeMembersRequest { changes: vec![nobody], ..changes(&[]) }).await;
    let silent = changes(&[("moema", Standing::Learner)]);
    refused(network, &FIVE, 1208, &ChangeMembersRequest { reason: " ".to_owned(), ..silent.clone() }).await;
    // Whoever is no operator decides nothing, on whatever node.
    let auditor = network.client("rede/auditor/conselho", &["centro"]).admin_nodes()[0].clone();
    let denied: Error = auditor.change_members(silent).await.unwrap_err();
    assert_eq!(denied.code(), Some(1001), "{denied:?}");
}

/// The leader itself loses its vote, and gives the lead away first. Then it gets its vote back, in one change with a node that
/// goes for good, and a follower falls meanwhile.
pub(crate) async fn it_shrinks_to_three_and_a_follower_falls_on_the_way(world: &mut World) {
    let network = &mut world.network;
    let leaving = leader(network, &FIVE).await;
    let rest: Vec<&str> = FIVE.into_iter().filter(|name| *name != leaving).collect();
    let fallen = rest.iter().copied().find(|name| THREE.contains(name)).unwrap();
    let demote = ["member", "demote", &leaving, "--reason", "enlace ruim", "--yes"];
    falls_meanwhile(network, &FIVE, fallen, &demote).await;
    let members = voters(network, &rest, &rest).await;
    assert_eq!((named(&members, &leaving).member, named(&members, &leaving).reason.as_str()), (true, "enlace ruim"));

    let mut both = vec![("moema", Standing::Removed)];
    if leaving != "moema" {
        both.push((&leaving, Standing::Voter));
    }
    decide(network, &FIVE, &changes(&both)).await;
    let leads = leader(network, &FIVE).await;
    let fallen = *THREE.iter().find(|name| **name != leads && **name != leaving).unwrap();
    network.kill(fallen).await;
    let up: Vec<&str> = FIVE.into_iter().filter(|name| *name != fallen).collect();
    voters(network, &up, &["centro", "jardins", "cofre", "jardim-sul"]).await;
    network.run_node(fallen).await;

    let four = ["centro", "jardins", "cofre", "jardim-sul"];
    let leads = leader(network, &four).await;
    let fallen = *THREE.iter().find(|name| **name != leads).unwrap();
    let remove = ["member", "remove", "jardim-sul", "--reason", "unidade fechou", "--confirm", "jardim-sul"];
    falls_meanwhile(network, &four, fallen, &remove).await;
    let members = voters(network, &THREE, &THREE).await;
    assert_eq!(members.nodes.iter().filter(|node| node.member).count(), 3, "{members:?}");
    for name in ["moema", "jardim-sul"] {
        assert_eq!(named(&members, name).standing(), Standing::Removed);
    }
    for name in ["moema", "jardim-sul"] {
        network.kill(name).await;
    }
}

/// The tool is at work on a change of members; as soon as it is decided, a node falls. It comes back when the tool is done.
async fn falls_meanwhile(network: &mut Network, nodes: &[&str], fallen: &str, arguments: &[&str]) {
    let (_, before) = until("a leader", || leading(network, nodes)).await;
    let up: Vec<&str> = nodes.iter().copied().filter(|name| *name != fallen).collect();
    let typed = command_line(network, &up, arguments);
    let at_work = tokio::spawn(told_by_tool(typed, 0, String::new()));
    until("the change to be decided", || async {
        let (_, members) = leading(network, nodes).await?;
        let decided = members.layout_version > before.layout_version;
        if decided || at_work.is_finished() { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    network.kill(fallen).await;
    at_work.await.unwrap();
    network.run_node(fallen).await;
}

/// Whoever led in a term wrote it down once an entry of that term was committed: never two of them, however often somebody fell.
pub(crate) fn never_two_leaders_in_a_term(world: &World) {
    let mut led: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for node in world.network.nodes() {
        for line in world.network.log(node.name()).lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            if line["message"] == "this node leads" {
                led.entry(line["term"].as_u64().unwrap()).or_default().insert(node.name());
            }
        }
    }
    assert!(led.len() >= 4, "leaders fell at three steps: {led:?}");
    assert!(led.values().all(|nodes| nodes.len() == 1), "{led:?}");
}

/// Asks a node of the network as the node with this number and certificate.
pub(crate) async fn hello_as(
    network: &Network,
    from_node_id: u64,
    certificate: &Path,
    key: &Path,
    to: &str,
) -> Result<(), tonic::Status> {
    let channel = raw::with_files(network, certificate, key, &network.node(to).peer());
    let status = network.status(to).await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let header = peer::PeerHeader {
        cluster_id: status.cluster_id,
        incarnation: status.incarnation,
        from_node_id,
        to_node_id: status.node_id,
    };
    let hello = peer::HelloRequest { header: Some(header), format_min: 1, format_max: 1, ..Default::default() };
    raw::call(channel, "/plantao.peer.v1.ForwardService/Hello", hello.encode_to_vec().into()).await.map(drop)
}

/// By every node that is left, also one that started since and so never saw it as a member.
async fn is_refused(network: &Network, from: &str, by: &[&str]) {
    let (node, directory) = (network.node(from), network.node(from).tls_dir());
    let (certificate, key) = (directory.join("node.crt"), directory.join("node.key"));
    for to in by {
        until(&format!("{to} to refuse {from}"), || async {
            match hello_as(network, node.id(), &certificate, &key, to).await {
                Err(status) if status.code() == tonic::Code::PermissionDenied => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }
}

pub(crate) async fn who_was_removed_gets_nowhere(world: &mut World) {
    let network = &mut world.network;
    network.kill("cofre").await;
    network.run_node("cofre").await;
    for from in ["moema", "jardim-sul"] {
        is_refused(network, from, &THREE).await;
    }
    refused(network, &THREE, 1722, &changes(&[("moema", Standing::Voter)])).await;
}

/// The page's own commands, while the load goes on, until what they end with is so. Gives when the new machine was started.
pub(crate) async fn the_runbook_as_written_replaces_a_unit_that_burned(world: &mut World, load: &Load) -> Instant {
    world.network.kill("jardins").await;
    fs::remove_dir_all(world.network.node("jardins").data_dir()).unwrap();
    world.network.prepare(NodeSpec::unit("jardins2"));
    let mut desk = Desk::new(world);
    for name in ["centro", "cofre", "jardins2"] {
        desk.place(world, name);
    }
    let called_at = fs::read_to_string(world.network.node("centro").config()).unwrap();
    let called_at = called_at.split("peer_address = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let written = commands(RUNBOOK);
    assert!(written.len() >= 10, "{written:?}");
    let mut number = "?".to_owned();
    let mut started = Instant::now();
    let now = ["centro", "cofre", "jardins2"];
    for command in &written {
        let command = command.replace("centro.example:7402", &called_at);
        let command =
            command.replace("--node 4", &format!("--node {number}")).replace("node-4", &format!("node-{number}"));
        if command == "plantaod run --config jardins2/plantaod.toml" {
            world.network.joined("jardins2", number.parse().unwrap());
            started = Instant::now();
            world.network.run_node("jardins2").await;
            voters(&world.network, &now, &now).await;
            told("the new machine has caught up and votes, the old one is removed", started);
            load.rest(true);
            continue;
        }
        let output = desk.asks_until_done(world, &command).await;
        let said = text(&output);
        assert!(output.status.success(), "{command}: {said}");
        if command.starts_with("plantaod join") {
            number = said.split("node ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
            assert!(said.contains(&format!("node {number} (jardins2)")), "{said}");
        }
    }
    load.rest(false);
    let members = voters(&world.network, &now, &now).await;
    let (old, new) = (named(&members, "jardins"), named(&members, "jardins2"));
    assert_eq!((old.standing(), old.member, new.replaces_node_id), (Standing::Removed, false, old.node_id));
    is_refused(&world.network, "jardins", &now).await;
    started
}

/// A figure for whoever reads the output (`--nocapture`); machines differ, so nothing is asserted of it.
#[allow(clippy::print_stderr, reason = "a figure, not a promise")]
fn told(what: &str, since: Instant) {
    eprintln!("burned unit: {what}: {:.1} s after it was started", since.elapsed().as_secs_f64());
}

/// Every acknowledged write is there, once; every image has three copies on nodes that are left.
pub(crate) async fn nothing_was_lost(world: &World, load: Load, images: &[(Id, Bytes)], started: Instant) {
    let since = Instant::now();
    load.acknowledged_after(since, 10).await.unwrap();
    let (stage, ledger) = load.stop().await.unwrap();
    assert_eq!(ledger.failed, 0, "{:?}", ledger.first_failure);
    for name in ["centro", "jardins2"] {
        let one = world.through(name);
        let report = look_for(&one, &stage, &ledger).await.unwrap();
        assert!(report.holds(), "{name}: {report:?}");
    }
    let overlaps = overlaps(&world.through("jardins2")).await.unwrap();
    assert!(overlaps.holds(), "{overlaps:?}");
    world.network.digests_agree().await;
    until("the directories of those that are left to count, and no other", || async {
        let status = world.network.status("centro").await.map_err(|error| error.to_string())?;
        let nodes = status.images.map_or(Vec::new(), |images| images.nodes);
        let whole = nodes.len() == 3 && nodes.iter().all(|node| node.backlog_chunks == 0 && node.expected_chunks >= 4);
        if whole { Ok(()) } else { Err(format!("{nodes:?}")) }
    })
    .await;
    told("every image has all its copies, so redundancy is full at the latest", started);
    for (id, bytes) in images {
        let now = shown(&world.through("centro"), *id).await;
        assert_eq!((now.copies, now.off_site), (3, true));
        reads_back(world, *id, bytes, &["jardins2"]).await;
    }
}
