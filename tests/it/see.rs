//! What an operator sees of a network: health, doctor, events, the status by the tool itself, on real nodes.

use crate::tidy::root;
use crate::world::{TOOL, World};
use plantao_client::services::{EventFollower, Followed};
use plantao_node::health::CASES;
use plantao_proto::admin::v1::{Check, CheckVerdict, Event, EventKind};
use plantao_tests::network::Network;
use plantao_tests::wait::until;
use std::collections::BTreeSet;
use std::process::Output;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

const NODES: [&str; 3] = ["centro", "jardins", "cofre"];

/// The tool as an operator runs it, against every node.
async fn tool(network: &Network, arguments: &[&str]) -> Output {
    let (cert, key) = network.credentials("rede/operator/plantao");
    let list =
        |of: fn(&plantao_node::local_network::Node) -> String| NODES.map(|name| of(network.node(name))).join(",");
    let mut command = Command::new(TOOL);
    command.args(arguments).env_clear().env("HOME", network.directory()).stdin(std::process::Stdio::null());
    command.env("PLANTAO_CLUSTER", plantao_tests::network::CLUSTER).env("PLANTAO_CA", network.roots());
    command.env("PLANTAO_CERT", cert).env("PLANTAO_KEY", key);
    command.env("PLANTAO_ENDPOINTS", list(|node| node.public()));
    command.env("PLANTAO_ADMIN_ENDPOINTS", list(|node| node.admin()));
    timeout(Duration::from_secs(60), command.kill_on_drop(true).output()).await.unwrap().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    plantao_tests::json_tables::holds(&document);
    document
}

fn named(check: &Check) -> String {
    format!("{} {}: {}", check.id, check.case, check.seen)
}

pub(crate) async fn the_doctor_finds_nothing_bad_in_a_healthy_network(world: &World) {
    let network = &world.network;
    until("a network without a bad finding", || async {
        for name in NODES {
            let found = network.admin(name).diagnose().await.map_err(|error| error.to_string())?;
            let ids: BTreeSet<_> = found.checks.iter().map(|check| check.id.as_str()).collect();
            assert_eq!(ids.len(), 23, "{name}: {ids:?}");
            let reached = found.checks.iter().any(|check| (check.id.as_str(), check.case.as_str()) == ("D11", "ok"));
            let bad: Vec<_> =
                found.checks.iter().filter(|check| check.verdict() == CheckVerdict::Bad).map(named).collect();
            // The disk that tests run on may be full, or in memory; the network has no say in it.
            let bad: Vec<_> =
                bad.into_iter().filter(|one| !["D02", "D03", "D05"].iter().any(|id| one.starts_with(id))).collect();
            if !bad.is_empty() || !reached {
                return Err(format!("{name}: {bad:?}"));
            }
        }
        Ok(())
    })
    .await;
    let told = tool(network, &["doctor", "-o", "json"]).await;
    assert!(matches!(code(&told), 0 | 4), "{told:?}");
    let checks = json(&told)["checks"].as_array().unwrap().clone();
    // On one machine: the keys lie on the disk of the data.
    assert!(checks.iter().any(|check| check["id"] == "D15" && check["case"] == "with-data"), "{checks:?}");
    assert!(checks.iter().any(|check| check["id"] == "D36" && check["case"] == "ok"), "{checks:?}");
}

pub(crate) async fn health_and_endpoint_tell_who_works_and_who_leads(world: &World) {
    let network = &world.network;
    let leader = network.leader().await;
    let well = until("every node to be well", || async {
        let told = tool(network, &["health", "-o", "json"]).await;
        if code(&told) == 0 { Ok(told) } else { Err(format!("{told:?}")) }
    })
    .await;
    let endpoints = json(&well)["endpoints"].as_array().unwrap().clone();
    assert!(endpoints.len() == 3 && endpoints.iter().all(|one| one["healthy"] == true), "{endpoints:?}");
    until("the leader's address", || async {
        let admin = tool(network, &["endpoint", "--role", "leader", "--plane", "admin"]).await;
        let public = tool(network, &["endpoint", "--role", "leader"]).await;
        let leader = network.leader().await;
        let expected = (network.node(&leader).admin(), network.node(&leader).public());
        let text = |output: &Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if (text(&admin), text(&public)) == expected { Ok(()) } else { Err(format!("{admin:?} {public:?}")) }
    })
    .await;
    let before = network.admin(&leader).get_health().await.unwrap().admin_requests_total;
    let after = network.admin(&leader).get_health().await.unwrap().admin_requests_total;
    assert!(after > before, "requests are counted: {before} {after}");
}

pub(crate) async fn the_status_tells_ages_and_whose_view_it_is(world: &World) {
    until("a status with the age of each node's lag", || async {
        let told = tool(&world.network, &["status", "--stale", "-o", "json"]).await;
        // Without an answer there is no document; that passes.
        let status: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap_or_default();
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        let ages = nodes.len() == 3 && nodes.iter().all(|node| node["observed_rpo_ms"].is_u64());
        let clocks = nodes.iter().filter(|node| node["clock_offset_ms"].is_i64()).count();
        let view = NODES.iter().any(|name| status["view"]["node"] == *name);
        if code(&told) == 0 && ages && clocks == 2 && view { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}

/// The next time that a followed node says that it started.
async fn started(follower: &mut EventFollower) -> Event {
    let coming = async {
        loop {
            match follower.next().await {
                Some(Followed::Event(event)) if event.kind() == EventKind::Started => return *event,
                Some(_) => {}
                None => panic!("what is followed has no end"),
            }
        }
    };
    timeout(Duration::from_secs(120), coming).await.unwrap_or_else(|_| panic!("no start was told"))
}

pub(crate) async fn a_node_that_is_down_is_found_and_told(world: &mut World) {
    let mut followed = world.network.admin("cofre").events(true);
    let first = started(&mut followed).await;
    world.network.kill("cofre").await;
    let network = &world.network;
    until("the silence to be told as an event", || async {
        let events = events(network, "centro").await?;
        let told = |kind, name: &str| events.iter().any(|event| event.kind() == kind && event.node_name == name);
        let silent = told(EventKind::NodeSilent, "cofre") && told(EventKind::Started, "centro");
        if silent { Ok(()) } else { Err(format!("{events:?}")) }
    })
    .await;
    until("the doctor to find it", || async {
        let told = tool(network, &["doctor", "-o", "json"]).await;
        let found = json(&told)["checks"].as_array().unwrap().clone();
        let is = |id: &str, case: &str| found.iter().any(|check| check["id"] == id && check["case"] == case);
        let all = code(&told) == 4 && is("D33", "admin-silent") && is("D12", "edge");
        if all { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    until("two that are well and one that is not", || async {
        let told = tool(network, &["health"]).await;
        if code(&told) == 4 { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    world.network.run_node("cofre").await;
    let network = &world.network;
    until("its return to be told, by the tool", || async {
        let told = tool(network, &["events", "-o", "jsonl"]).await;
        let lines = String::from_utf8_lossy(&told.stdout).into_owned();
        let events: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let back = |event: &serde_json::Value| event["event"] == "node_back" && event["node"] == "cofre";
        // As a script would: the text of times sorts as they do.
        let sorted = events.is_sorted_by_key(|event| event["at"].as_str().unwrap_or_default().to_owned());
        assert!(sorted, "{lines}");
        if code(&told) == 0 && events.iter().any(back) { Ok(()) } else { Err(lines) }
    })
    .await;
    // Followed across the death of its node: the same command tells of its new life from the first event on.
    let again = started(&mut followed).await;
    assert!(again.sequence == 1 && again.at_ms > first.at_ms, "{first:?} {again:?}");
    world.network.digests_agree().await;
}

async fn events(network: &Network, name: &str) -> Result<Vec<Event>, String> {
    let mut follower = network.admin(name).events(false);
    let mut found = Vec::new();
    while let Some(next) = follower.next().await {
        match next {
            Followed::Event(event) => found.push(*event),
            Followed::Of(_) => {}
            Followed::Lost(error) => return Err(error.to_string()),
        }
    }
    let numbers: Vec<u64> = found.iter().map(|event| event.sequence).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    Ok(found)
}

/// Ids and cases that a Rust source makes after `before`, as `before"D31", "ok"`.
fn cases_in(file: &str, before: &str) -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let strings = |rest: &str| {
        let mut parts = rest.split('"').skip(1).step_by(2);
        Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
    };
    text.split(before).skip(1).filter_map(strings).filter(|(id, _)| id.len() == 3 && id.starts_with('D')).collect()
}

#[test]
fn every_case_of_the_doctor_is_in_both_languages_and_on_its_page() {
    let of_nodes: BTreeSet<_> = CASES.iter().map(|case| (case.id.to_owned(), case.name.to_owned())).collect();
    let text = "cli/src/text/doctor.rs";
    let list = std::fs::read_to_string(root().join(text)).unwrap();
    let (subjects, rest) = list.split_once("static OF_NODES").unwrap();
    assert!(subjects.contains("D01"));
    let portuguese: BTreeSet<_> = {
        let (table, _) = rest.split_once("];").unwrap();
        let strings: Vec<&str> = table.split('"').skip(1).step_by(2).collect();
        strings.chunks(4).map(|four| (four[0].to_owned(), four[1].to_owned())).collect()
    };
    assert_eq!(of_nodes, portuguese, "cases of the nodes and their Portuguese");
    let of_tool = cases_in(text, "own(");
    assert!(of_tool.len() > 10, "{of_tool:?}");
    let page = std::fs::read_to_string(root().join("docs/operations/doctor.md")).unwrap();
    let mut on_page = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| D")) {
        let id = &line[2..5];
        let cases = line.rsplit('|').nth(1).unwrap();
        let names = cases.split('`').skip(1).step_by(2);
        on_page.extend(names.filter(|name| !name.contains('.')).map(|name| (id.to_owned(), name.to_owned())));
    }
    let all: BTreeSet<_> = of_nodes.union(&of_tool).cloned().collect();
    assert_eq!(all, on_page, "cases in the code and on the page");
}
