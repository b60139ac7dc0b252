//! What is deployed fits together: alerts, their pages and the metrics; the board; the unit; images and manifests; packages.
//! Tools of the field (promtool, systemd-analyze) are used where they are, and where they are not, the test says so.

use crate::tidy::root;
use crate::world::{PROGRAM, TOOL, World};
use plantao_node::telemetry::metrics;
use plantao_tests::wait::until;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every `plantao_…` of a text; a name ends where its alphabet does.
fn metric_names(text: &str) -> BTreeSet<String> {
    let found = text
        .match_indices("plantao_")
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
    found
        .map(|(at, _)| {
            text[at..].chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_').collect()
        })
        .collect()
}

/// Names in `text` that no node serves. A summary's name stands for its parts.
fn unknown_metrics(text: &str) -> Vec<String> {
    let declared: BTreeSet<&str> = metrics::ALL.iter().map(|(name, ..)| *name).collect();
    metric_names(text).into_iter().filter(|name| !declared.contains(name.as_str())).collect()
}

fn alerts() -> BTreeSet<String> {
    let rules = read("deploy/prometheus/rules.yml");
    let found: BTreeSet<String> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    assert!(found.len() > 10, "only {found:?}: is this the file?");
    found
}

/// Runs a tool of the field; `None`, said aloud, where it is not installed.
#[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
fn tool(name: &str, arguments: &[&str], directory: &Path) -> Option<Output> {
    match Command::new(name).args(arguments).current_dir(directory).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: {name} is not installed on this machine");
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn assert_succeeds(name: &str, arguments: &[&str], directory: &Path) {
    if let Some(output) = tool(name, arguments, directory) {
        let told = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{name} {arguments:?}:\n{}", String::from_utf8_lossy(&told));
    }
}

#[test]
fn every_alert_has_a_page_in_both_languages_and_every_page_its_alert() {
    let alerts = alerts();
    let pages = |directory: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join(directory)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.map(|name| name.strip_suffix(".md").expect("a page").to_owned()).collect()
    };
    assert_eq!(alerts, pages("docs/operations/alerts"), "rules and docs/operations/alerts");
    assert_eq!(alerts, pages("docs/operations/alertas"), "rules and docs/operations/alertas");
    // What `plantao explain` knows.
    let tool = read("cli/src/text/alerts.rs");
    let known: BTreeSet<String> =
        tool.lines().filter_map(|line| line.strip_prefix("    \"")?.strip_suffix("\",")).map(str::to_owned).collect();
    assert_eq!(alerts, known, "rules and cli/src/text/alerts.rs");
    let index = read("docs/operations/alerts.md");
    let rules = read("deploy/prometheus/rules.yml");
    let listed = index.lines().filter(|line| line.starts_with("| [")).count();
    assert_eq!(listed, alerts.len(), "rows of docs/operations/alerts.md");
    for alert in &alerts {
        assert!(index.contains(&format!("[{alert}](alerts/{alert}.md)")), "{alert} is not in the index");
        // The page and the index say how urgent it is, and what Prometheus says of it.
        let rule = rules.split("- alert: ").find(|rule| rule.lines().next() == Some(alert)).unwrap();
        let of = |key: &str| rule.split(key).nth(1).and_then(|rest| rest.lines().next()).unwrap().trim();
        let severity = of("severity: ").trim_end_matches(" }");
        let summary = of("summary: ").trim_matches('"');
        let page = read(&format!("docs/operations/alerts/{alert}.md"));
        assert!(page.contains(&format!("{summary} Severity: {severity}.\n")), "{alert}: {summary} ({severity})");
        assert!(index.contains(&format!("| {severity} | {summary} |")), "{alert}: {summary} ({severity})");
        assert!(rule.contains(&format!("runbook: plantao explain {alert}\n")), "{alert} does not say where to read on");
    }
}

#[test]
fn alerts_and_board_use_metrics_that_exist() {
    assert_eq!(unknown_metrics("sum(plantao_no_such_thing) + plantao_raft_term"), ["plantao_no_such_thing"]);
    for file in ["deploy/prometheus/rules.yml", "deploy/prometheus/rules_test.yml", "deploy/grafana/plantao.json"] {
        let text = read(file);
        assert!(metric_names(&text).len() > 4, "{file} uses no metric");
        assert_eq!(unknown_metrics(&text), Vec::<String>::new(), "{file} uses metrics that no node serves");
    }
    // Each metric is looked at by somebody, or it need not be there.
    let seen = metric_names(&(read("deploy/prometheus/rules.yml") + &read("deploy/grafana/plantao.json")));
    assert!(seen.len() >= 25, "only {} metrics are used", seen.len());
}

#[test]
fn the_board_is_one() {
    let board: serde_json::Value = serde_json::from_str(&read("deploy/grafana/plantao.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "ids of panels repeat");
    let (mut charts, mut taken) = (0, BTreeSet::new());
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} does not fit");
        assert!(taken.insert((at("x"), at("y"))), "{title} lies on another");
        if panel["type"] == "row" {
            continue;
        }
        charts += 1;
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let count = |c: char| expression.matches(c).count();
            assert!(count('(') == count(')') && count('{') == count('}') && count('"') % 2 == 0, "{expression}");
            assert!(expression.contains("network=~\"$network\""), "{title} shows every network: {expression}");
        }
        if let Some(alert) = panel["description"].as_str().and_then(|text| text.strip_prefix("plantao explain ")) {
            assert!(alerts().contains(alert), "{title} names {alert}");
        }
    }
    assert!(charts > 10, "only {charts} charts");
}

#[test]
fn prometheus_takes_the_rules_and_they_fire_when_they_should() {
    let directory = root().join("deploy/prometheus");
    assert_succeeds("promtool", &["check", "rules", "rules.yml"], &directory);
    assert_succeeds("promtool", &["test", "rules", "rules_test.yml"], &directory);
    assert_succeeds("promtool", &["check", "config", "--syntax-only", "scrape.yml"], &directory);
}

#[test]
fn systemd_takes_the_nightly_renewal() {
    let unit = read("deploy/systemd/plantao-renew.service");
    assert!(unit.contains("\nUser=plantao-authority\n"));
    assert!(read("deploy/sysusers/plantao-authority.conf").contains("\nu plantao-authority "));
    let directory = tempfile::tempdir().unwrap();
    let installed = unit.replace("/usr/bin/plantao ", &format!("{TOOL} "));
    assert_ne!(unit, installed);
    fs::write(directory.path().join("plantao-renew.service"), installed).unwrap();
    let timer = read("deploy/systemd/plantao-renew.timer");
    fs::write(directory.path().join("plantao-renew.timer"), &timer).unwrap();
    assert_succeeds(
        "systemd-analyze",
        &["verify", "./plantao-renew.service", "./plantao-renew.timer"],
        directory.path(),
    );
    for when in timer.lines().filter_map(|line| line.strip_prefix("OnCalendar=")) {
        assert_succeeds("systemd-analyze", &["calendar", when], directory.path());
    }
}

/// Every object is what Kubernetes' own schemas say, with no field that they do not know.
#[test]
fn kubernetes_takes_the_manifests() {
    for file in ["deploy/kubernetes/offsite.yaml", "deploy/kubernetes/offsite-join.yaml"] {
        assert_succeeds("kubernetes-validate", &["--strict", file], &root());
    }
}

#[test]
fn systemd_takes_the_unit() {
    let unit = read("deploy/systemd/plantaod.service");
    // A daemon that is here, so that only the unit can be wrong.
    let installed = unit.replace("/usr/bin/plantaod", PROGRAM);
    assert_ne!(unit, installed);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("plantaod.service"), &installed).unwrap();
    assert_succeeds("systemd-analyze", &["verify", "./plantaod.service"], directory.path());
    for line in [
        "User=plantao",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "PrivateDevices=yes",
        "PrivateTmp=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "SystemCallFilter=@system-service",
        "MemoryDenyWriteExecute=yes",
        "LockPersonality=yes",
        "LimitCORE=0",
        "CapabilityBoundingSet=",
        // A package starts no node that was never made.
        "ConditionPathExists=/var/lib/plantao/identity",
    ] {
        assert!(unit.lines().any(|it| it == line), "the unit lost {line}");
    }
    assert!(read("deploy/sysusers/plantaod.conf").contains("\nu plantao "));
}

/// The version of this workspace.
fn version() -> String {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    manifest["workspace"]["package"]["version"].as_str().unwrap().to_owned()
}

#[test]
fn the_image_is_empty_but_for_two_programs_and_every_manifest_names_it() {
    let dockerfile = read("deploy/container/Dockerfile");
    let of = |word: &str| -> Vec<&str> {
        dockerfile.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect()
    };
    assert_eq!(of("FROM"), ["scratch"]);
    assert_eq!(of("USER"), ["10001:10001"]);
    assert!(of("COPY").iter().any(|line| line.ends_with("plantaod plantao /usr/bin/")));
    let image = format!("image: plantao:{}", version());
    for file in ["deploy/compose/compose.yaml", "deploy/kubernetes/offsite.yaml", "deploy/kubernetes/offsite-join.yaml"]
    {
        let text = read(file);
        assert!(!text.contains('\t'), "{file} has a tab");
        let images = text.lines().map(str::trim).filter(|line| line.trim_start_matches("- ").starts_with("image: "));
        let ours: Vec<&str> =
            images.map(|line| line.trim_start_matches("- ")).filter(|line| !line.contains("busybox")).collect();
        assert!(!ours.is_empty() && ours.iter().all(|line| *line == image), "{file}: {ours:?}, not {image}");
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            assert_eq!(indent % 2, 0, "{file}: {line}");
        }
    }
    // A renewal over the network writes where the certificates are.
    assert!(!read("deploy/compose/compose.yaml").contains("/etc/plantao:ro"));
    let kubernetes = read("deploy/kubernetes/offsite.yaml");
    assert!(!kubernetes.contains("root = {") && !kubernetes.contains("root.key"), "an off-site node has no root slot");
    let sections: Vec<&str> = kubernetes.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    let expected = ["Namespace", "ConfigMap", "Service", "PersistentVolumeClaim", "StatefulSet", "NetworkPolicy"];
    assert_eq!(sections, expected);
    for file in ["deploy/compose/up.sh", "deploy/container/build.sh", "deploy/debian/build.sh"] {
        assert_succeeds("sh", &["-n", root().join(file).to_str().unwrap()], &root());
    }
}

/// The lines of `text` between two lines, without the indentation of the first.
fn between(text: &str, from: &str, to: &str) -> String {
    let lines: Vec<&str> = text.lines().skip_while(|line| !line.contains(from)).skip(1).collect();
    let lines = lines.into_iter().take_while(|line| *line != to);
    let lines: Vec<&str> = lines.collect();
    let indent = lines[0].len() - lines[0].trim_start().len();
    lines.iter().map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect()
}

#[test]
fn configurations_in_manifests_are_right() {
    let kubernetes = between(&read("deploy/kubernetes/offsite.yaml"), "plantaod.toml: |", "---");
    let compose = between(&read("deploy/compose/up.sh"), "<<END", "END");
    let unit = compose
        .replace("$name", "centro")
        .replace("$medium", "ssd")
        .replace("$root", "root = { key_file = \"/keys/root.key\" }")
        .replace("$engine", "fjall")
        .replace("$leads", "true");
    let off_site = compose
        .replace("$name", "cofre")
        .replace("$medium", "hdd")
        .replace("$root", "")
        .replace("$engine", "sled")
        .replace("$leads", "false");
    let directory = tempfile::tempdir().unwrap();
    for (what, text) in [("kubernetes", kubernetes), ("a unit of compose", unit), ("compose off-site", off_site)] {
        assert!(!text.contains('$') && text.starts_with("[node]"), "{what}: {text}");
        let file = directory.path().join("plantaod.toml");
        fs::write(&file, &text).unwrap();
        let checked =
            Command::new(PROGRAM).args(["check-config", "--config", file.to_str().unwrap()]).output().unwrap();
        assert!(checked.status.success(), "{what}: {}", String::from_utf8_lossy(&checked.stderr));
        // What the health checks of the image ask.
        assert!(text.contains("metrics = "), "{what} has no metrics, and so no health check");
    }
}

/// The files that a package takes from the tree; what a build makes is not there yet.
fn assets(manifest: &str) -> Vec<PathBuf> {
    let parsed: toml::Table = read(&format!("{manifest}/Cargo.toml")).parse().unwrap();
    let assets = parsed["package"]["metadata"]["deb"]["assets"].as_array().unwrap().clone();
    let sources = assets.iter().map(|asset| asset.as_array().unwrap()[0].as_str().unwrap().to_owned());
    sources
        .filter(|source| !source.trim_start_matches("../").starts_with("target/"))
        .map(|source| root().join(manifest).join(source))
        .collect()
}

#[test]
fn packages_take_files_that_are_there_and_start_nothing() {
    let (node, tool) = (assets("node"), assets("cli"));
    assert!(node.len() > 5);
    // The nightly renewal; the rest of the tool's package is made by its build.
    for unit in ["plantao-renew.service", "plantao-renew.timer", "plantao-authority.conf"] {
        assert!(tool.iter().any(|asset| asset.ends_with(unit)), "{unit} is in no package");
    }
    for asset in node.into_iter().chain(tool) {
        let (directory, pattern) = (asset.parent().unwrap(), asset.file_name().unwrap().to_str().unwrap());
        let end = pattern.trim_start_matches('*');
        let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let any = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).any(|name| {
            match pattern.starts_with('*') {
                true => name.ends_with(end),
                false => name == pattern,
            }
        });
        assert!(any, "{} is not there", asset.display());
    }
    for script in ["postinst", "prerm", "postrm"] {
        let path = root().join("deploy/debian/plantaod").join(script);
        let text = fs::read_to_string(&path).unwrap();
        assert_succeeds("sh", &["-n", path.to_str().unwrap()], &root());
        let says = |line: &str| ["#", "echo "].iter().any(|word| line.trim_start().starts_with(word));
        let code: String = text.lines().filter(|line| !says(line)).collect();
        for never in ["systemctl start", "systemctl enable", "systemctl restart", "rm -", "rm /", "userdel", "deluser"]
        {
            assert!(!code.contains(never), "{script} does {never}");
        }
    }
}

/// What a container's health check and a supervisor see of a node that runs, and of one that does not.
pub(crate) async fn a_probe_tells_a_node_that_runs_from_one_that_does_not(world: &World) {
    let probe = |configuration: &Path, more: &[&str]| {
        let arguments = ["probe", "--config", configuration.to_str().unwrap()];
        Command::new(PROGRAM).args([&arguments[..], more].concat()).output().unwrap()
    };
    for node in world.network.nodes() {
        for more in [[].as_slice(), &["--leader"]] {
            // A leader may be lost for a moment on a machine that is slow enough.
            until("a node that runs is found", || async {
                let output = probe(node.config(), more);
                let told = || format!("{} {more:?}: {}", node.name(), String::from_utf8_lossy(&output.stderr));
                if output.status.success() { Ok(()) } else { Err(told()) }
            })
            .await;
        }
        // Nobody listens on the first port of all.
        let elsewhere = probe(node.config(), &["--set", "listen.metrics=127.0.0.1:1"]);
        assert_eq!(elsewhere.status.code(), Some(1), "{}", String::from_utf8_lossy(&elsewhere.stderr));
    }
}
