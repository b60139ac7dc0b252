//! A majority is gone for good: the runbook's own commands, on real processes, and what becomes of the old members.

use crate::world::{DAY, MINUTE, NOON, PROGRAM, SOFTWARE, TOOL, World, appointments, booking};
use plantao_node::local_network::NodeSpec;
use plantao_proto::admin::v1::NodeRole;
use plantao_proto::public::v1 as wire;
use plantao_tests::network::{CLUSTER, text};
use plantao_tests::wait::until;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::SystemTime;

const RUNBOOK: &str = include_str!("../../docs/operations/quorum-lost.md");
const START: i64 = NOON + 200 * DAY;
/// What only the lost units had acknowledged, and what everybody had.
pub(crate) struct Lost {
    kept: Vec<Vec<u8>>,
    lost: Vec<Vec<u8>>,
    /// The last index that the survivor has.
    last: u64,
    /// Before the first lost booking was sent.
    since: SystemTime,
}

/// Commands of a page, in order, with their continuation lines.
pub(crate) fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut open: Option<String> = None;
    for line in page.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            inside = fence == "console";
            continue;
        }
        let Some(part) = (if open.is_some() { Some(line.trim()) } else { line.strip_prefix("$ ") }) else { continue };
        if !inside {
            continue;
        }
        let mut command = open.take().unwrap_or_default();
        match part.strip_suffix('\\') {
            Some(part) => open = Some(command + part),
            None => {
                command.push_str(part);
                found.push(command);
            }
        }
    }
    assert_eq!(open, None, "a command that does not end");
    found
}

#[test]
fn commands_are_read_from_a_page() {
    let page = "text $ no\n```console\n$ one \\\n    --two\nan answer\n$ three\n```\n$ no\n```toml\n$ no\n```\n";
    assert_eq!(commands(page), ["one --two", "three"]);
}

/// A directory that looks as the page assumes, and the two programs by their names.
pub(crate) struct Desk {
    directory: PathBuf,
    endpoints: String,
}

impl Desk {
    pub(crate) fn new(world: &World) -> Self {
        let directory = world.network.directory().join("desk");
        let programs = directory.join("bin");
        fs::create_dir_all(&programs).unwrap();
        symlink(PROGRAM, programs.join("plantaod")).unwrap();
        symlink(TOOL, programs.join("plantao")).unwrap();
        symlink(world.network.recovery(), directory.join("papel.txt")).unwrap();
        symlink(world.network.directory().join("network/authority"), directory.join("autoridade")).unwrap();
        Self { directory, endpoints: String::new() }
    }

    /// The node's files under the name that the page gives it.
    pub(crate) fn place(&mut self, world: &World, name: &str) {
        let node = world.network.node(name);
        symlink(node.config(), node.directory().join("plantaod.toml")).unwrap();
        symlink(node.directory(), self.directory.join(name)).unwrap();
        if !self.endpoints.is_empty() {
            self.endpoints.push(',');
        }
        self.endpoints.push_str(&node.admin());
    }

    pub(crate) fn run(&self, world: &World, command: &str) -> Output {
        let (certificate, key) = world.network.credentials("rede/operator/plantao");
        let path = format!("{}:/usr/bin:/bin", self.directory.join("bin").display());
        let mut shell = Command::new("/bin/sh");
        shell.env_clear().env("PATH", path).args(["-c", command]).current_dir(&self.directory);
        // The daemon takes such variables for its configuration.
        if command.starts_with("plantao ") {
            shell.env("PLANTAO_CLUSTER", CLUSTER).env("PLANTAO_ADMIN_ENDPOINTS", &self.endpoints);
            shell.env("PLANTAO_ENDPOINTS", &self.endpoints);
            shell.env("PLANTAO_CA", world.network.roots()).env("PLANTAO_CERT", certificate).env("PLANTAO_KEY", key);
        }
        shell.output().unwrap()
    }

    /// Leaders change while a page is worked through, so what asks the network may come at a bad moment and is asked again;
    /// what else a page says is done once, whatever it ends with.
    pub(crate) async fn asks_until_done(&self, world: &World, command: &str) -> Output {
        let asks = command.starts_with("plantao ") && !command.contains(" pki ");
        let done = || async {
            let output = self.run(world, command);
            if output.status.success() || !asks { Ok(output) } else { Err(text(&output)) }
        };
        until(command, done).await
    }
}

async fn book(world: &World, node: &str, nth: i64) -> Vec<u8> {
    let request = booking(world.patients[0], world.centro.slot(0, START + nth * 60 * MINUTE, 30));
    let id = request.appointment_id.to_vec();
    world.through(node).book(request).await.unwrap_or_else(|error| panic!("through {node}: {error}"));
    id
}

async fn booked(world: &World, node: &str) -> Vec<Vec<u8>> {
    let all = appointments(&world.through(node), world.centro.unit).await;
    all.into_iter().map(|one| one.id.to_vec()).collect()
}

pub(crate) async fn two_units_burn_with_what_only_they_had(world: &mut World) -> Lost {
    let mut kept = Vec::new();
    for nth in 0..12 {
        kept.push(book(world, if nth % 2 == 0 { "centro" } else { "jardins" }, nth).await);
    }
    let everybody = world.network.digests_agree().await.applied_index;
    // The off-site line is down; the units go on, and acknowledge.
    world.network.links().cut("cofre", "centro");
    world.network.links().cut("cofre", "jardins");
    until("a unit to lead", || async {
        let status = world.network.status("centro").await.map_err(|error| error.to_string())?;
        if [1, 2].contains(&status.leader_id) { Ok(()) } else { Err(format!("{} leads", status.leader_id)) }
    })
    .await;
    let since = SystemTime::now();
    let mut lost = Vec::new();
    for nth in 12..16 {
        lost.push(book(world, "jardins", nth).await);
    }
    let last = world.network.status("cofre").await.unwrap().last_log_index;
    let jardins = world.network.status("jardins").await.unwrap().last_log_index;
    assert!(everybody <= last && last + 4 <= jardins, "{everybody}, {last}, {jardins}");
    world.network.kill_all().await;
    world.network.links().mend();
    Lost { kept, lost, last, since }
}

pub(crate) async fn the_runbook_as_written_brings_the_network_back(world: &mut World, lost: &Lost) {
    let mut desk = Desk::new(world);
    desk.place(world, "cofre");
    for name in ["centro2", "jardins2"] {
        world.network.prepare(NodeSpec::unit(name));
        desk.place(world, name);
    }
    let called_at = fs::read_to_string(world.network.node("cofre").config()).unwrap();
    let called_at = called_at.split("peer_address = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let written = commands(RUNBOOK);
    assert!(written.len() > 20, "{written:?}");
    let mut joined = String::new();
    for command in &written {
        let command = command.replace("estetica-sul", CLUSTER).replace("cofre.example:7402", &called_at);
        if let Some(config) = command.strip_prefix("plantaod run --config ") {
            let name = config.strip_suffix("/plantaod.toml").unwrap();
            start(world, name).await;
            continue;
        }
        if let Some((issue, id)) = command.rsplit_once(" --node ") {
            let name = issue.rsplit_once("--out ").unwrap().1.strip_suffix("/tls").unwrap();
            assert!(joined.starts_with(&format!("node {id} ({name})")), "{command}: {joined}");
            world.network.joined(name, id.parse().unwrap());
        }
        let output = desk.asks_until_done(world, &command).await;
        let said = text(&output);
        if command.contains("quorum recover") && !command.contains("--confirm") {
            assert_eq!(output.status.code(), Some(2), "{command}: {said}");
            assert!(said.contains(&format!("--confirm {CLUSTER}")), "{said}");
            refusals_change_nothing(world, &desk);
            continue;
        }
        assert!(output.status.success(), "{command}: {said}");
        if command == "plantao history" {
            assert!(said.contains("maioria perdida") && said.contains("após "), "{said}");
        }
        if command.starts_with("plantaod join") {
            joined = said;
        }
        if command.contains("quorum show") && command.ends_with("cofre.json") {
            the_bound_is_true(&desk, lost);
        }
    }
    everything_up_to_the_bound_is_there(world, lost).await;
}

/// Starts a node; a new one is waited for until it votes and opens content.
async fn start(world: &mut World, name: &str) {
    world.network.run_node(name).await;
    let voters = match name {
        "cofre" => 1,
        "centro2" => 2,
        _ => 3,
    };
    let network = &world.network;
    until("the new membership", || async {
        let cofre = network.status("cofre").await.map_err(|error| error.to_string())?;
        let count = cofre.members.iter().filter(|member| member.role() != NodeRole::Learner).count();
        let own = network.status(name).await.map_err(|error| error.to_string())?;
        let caught_up = own.leader_id != 0 && own.applied_index >= cofre.committed_index;
        if count == voters && caught_up && (own.unsealed || name == "cofre") {
            Ok(())
        } else {
            Err(format!("{count} voters, {name} unsealed {}: {own:?}", own.unsealed))
        }
    })
    .await;
}

fn refusals_change_nothing(world: &World, desk: &Desk) {
    let recover = "plantaod quorum recover --config cofre/plantaod.toml";
    for (rest, code) in [
        ("--keep cofre --confirm outra-rede --reason x".to_owned(), "PLT-3203"),
        (format!("--keep cofre,centro --confirm {CLUSTER} --reason x"), "PLT-3204"),
        (format!("--keep jardins --confirm {CLUSTER} --reason x"), "PLT-3205"),
    ] {
        let output = desk.run(world, &format!("{recover} {rest}"));
        assert_eq!(output.status.code(), Some(1), "{rest}");
        assert!(text(&output).contains(code), "{rest}: {}", text(&output));
    }
    let output = desk.run(world, &format!("{recover} --keep cofre --confirm {CLUSTER} --reason ' '"));
    assert_eq!(output.status.code(), Some(1), "a recovery needs a reason");
    let shown = desk.run(world, "plantaod quorum show --config cofre/plantaod.toml -o json");
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["incarnation"], &shown["recovery_begun"]), (&1.into(), &false.into()), "{shown}");
}

/// The report names the last index that the survivor had, and a time that no lost write came before.
fn the_bound_is_true(desk: &Desk, lost: &Lost) {
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(desk.directory.join("cofre.json")).unwrap()).unwrap();
    let last = report["last"]["index"].as_u64().unwrap();
    assert_eq!(last, lost.last);
    assert_eq!((&report["keep"], &report["voter"]), (&"cofre".into(), &true.into()), "{report}");
    assert_eq!(report["members"].as_array().map(Vec::len), Some(3), "{report}");
    let written_at: jiff::Timestamp = report["last_written_at"].as_str().unwrap().parse().unwrap();
    assert!(SystemTime::from(written_at) <= lost.since, "{report}");
}

async fn everything_up_to_the_bound_is_there(world: &World, lost: &Lost) {
    for node in ["centro2", "jardins2"] {
        let there = booked(world, node).await;
        assert!(lost.kept.iter().all(|id| there.contains(id)), "{node} lacks what the survivor had");
        assert!(!lost.lost.iter().any(|id| there.contains(id)), "{node} has what nobody could give it");
        // Names are sealed: the new units opened them with keys from the paper.
        let patients = world.through(node).list_patients(wire::ListPatientsRequest { read: None, page: None }).await;
        assert_eq!(patients.unwrap().patients.len(), 3, "{node}");
    }
    // The rows of the old nodes are still there, and nobody makes members of them again.
    let members = world.network.status("cofre").await.unwrap().members;
    assert_eq!(members.iter().map(|member| member.node_id).collect::<Vec<_>>(), [3, 4, 5]);
    // The slots of the lost bookings are free again, through any unit.
    for (nth, node) in (12..16).zip(["centro2", "jardins2"].into_iter().cycle()) {
        book(world, node, nth).await;
    }
    let auditor = world.network.client("rede/auditor/auditoria", &["centro2"]);
    let mut from_sequence = 0;
    let recovered = loop {
        let request = wire::ListEntriesRequest { from_sequence, page_size: 500, ..Default::default() };
        let page = auditor.list_entries(request).await.unwrap();
        let begun = |entry: &&wire::AuditEntry| entry.module() == wire::Module::Cluster && entry.version == 2;
        if let Some(entry) = page.entries.iter().find(begun) {
            break entry.clone();
        }
        assert!(page.next_sequence > from_sequence, "the recovery is not in the trail");
        from_sequence = page.next_sequence;
    };
    assert_eq!(recovered.refusal, 0);
    let trail = auditor.verify_trail(wire::VerifyTrailRequest { read: None }).await.unwrap();
    assert!(trail.whole, "{trail:?}");
}

/// They come back where they reach only each other, lead and follow; then the line is mended.
pub(crate) async fn members_of_the_past_are_refused_and_stop(world: &mut World) {
    let old = ["centro", "jardins"];
    let network = &mut world.network;
    for name in old {
        for other in ["cofre", "centro2", "jardins2"] {
            network.links().cut(name, other);
        }
    }
    for name in old {
        network.run_node(name).await;
    }
    until("the old members to elect one of them", || async {
        let status = network.status("centro").await.map_err(|error| error.to_string())?;
        if [1, 2].contains(&status.leader_id) { Ok(()) } else { Err(format!("{} leads", status.leader_id)) }
    })
    .await;
    network.links().mend();
    until("the members of the past to stop", || {
        let running = old.into_iter().find(|name| !network.fell(name) && network.node(name).pid().is_some());
        async move { running.map_or(Ok(()), Err) }
    })
    .await;
    for name in old {
        let log = network.log(name);
        assert!(log.contains("incarnation 2") && log.contains("PLT-3201"), "{name} does not say why: {log}");
    }
    until("the survivor to tell of them", || async {
        let log = network.log("cofre");
        if log.contains("a node of an older incarnation calls") { Ok(()) } else { Err("it is silent") }
    })
    .await;
    for name in old {
        let output = network.run("run", network.node(name), &[]);
        let said = text(&output);
        assert!(!output.status.success() && said.contains("PLT-3201") && said.contains("plantaod join"), "{said}");
        let config = network.node(name).config().to_str().unwrap();
        let output = network.daemon(&["quorum", "recover", "--config", config, "--keep", name]);
        assert!(!output.status.success() && text(&output).contains("PLT-3201"), "{}", text(&output));
    }
    // One whose directory does not know it yet is told before it votes: as when it was restored from a copy.
    fs::remove_file(network.node("jardins").data_dir().join("superseded")).unwrap();
    let output = network.run("run", network.node("jardins"), &[]);
    assert!(!output.status.success() && text(&output).contains("PLT-3201"), "{}", text(&output));
    assert!(!text(&output).contains("ready node"), "it served before it asked: {}", text(&output));
    assert!(network.node("jardins").data_dir().join("superseded").exists());
    let there = network.client(SOFTWARE, &["centro2"]);
    assert!(
        !there.list_patients(wire::ListPatientsRequest { read: None, page: None }).await.unwrap().patients.is_empty()
    );
}
