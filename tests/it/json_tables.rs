//! `docs/json.md` says of every document that programs read which keys it has: held against the golden files, against the
//! sources, and against what commands print.

use crate::tidy::texts;
use plantao_tests::json_tables::{Tables, holds};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

const TOOL: &str = env!("CARGO_BIN_EXE_plantao-under-test");

/// The documents in a golden file of the tool: below `== json` and `== jsonl`, and lines that are documents by themselves.
fn documents(text: &str) -> Vec<Value> {
    let (mut found, mut block) = (Vec::new(), String::new());
    for line in text.lines().chain(["=="]) {
        if block.is_empty() && (!line.starts_with('{') || line.ends_with('}')) {
            found.extend(serde_json::from_str(line).ok().filter(Value::is_object));
        } else {
            block.push_str(line);
            if line == "}" {
                found.push(serde_json::from_str(&block).unwrap());
                block.clear();
            }
        }
    }
    found
}

fn kind_of(document: &Value) -> Option<&str> {
    document["kind"].as_str().or_else(|| document["message_type"].as_str())
}

#[test]
fn every_golden_document_is_as_the_page_says() {
    let (tables, mut kinds, mut wrong) = (Tables::read(), BTreeSet::new(), Vec::new());
    for (path, text) in texts() {
        if !path.starts_with("cli/tests/golden/") || path.contains("/help.") {
            continue;
        }
        for document in documents(&text) {
            kinds.insert(kind_of(&document).unwrap_or("?").to_owned());
            wrong.extend(tables.faults(&document).into_iter().map(|fault| format!("{path}: {fault}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(kinds.len() > 35, "{kinds:?}");
}

/// The words between quotes in sources that are no tests, and the names of fields: where keys come from.
fn words_of_sources() -> (String, BTreeSet<String>) {
    let ours = |path: &str| {
        let places =
            ["cli/src/", "client/src/import/", "client/src/bench/", "node/src/cmd/", "node/src/storage/recovery.rs"];
        places.iter().any(|place| path.starts_with(place)) && path.ends_with(".rs") && !path.contains("samples")
    };
    let all: String = texts().into_iter().filter(|(path, _)| ours(path)).map(|(_, text)| text + "\n").collect();
    let mut words: BTreeSet<String> = all.split('"').map(str::to_owned).collect();
    let field = |line: &str| {
        Some(line.trim().trim_start_matches("pub(super) ").trim_start_matches("pub ").split_once(": ")?.0.to_owned())
    };
    words.extend(all.lines().filter_map(field));
    (all, words)
}

#[test]
fn every_kind_and_every_key_of_the_page_is_in_the_sources_and_every_kind_of_the_sources_on_the_page() {
    let (tables, (sources, words)) = (Tables::read(), words_of_sources());
    let kinds: BTreeSet<&str> = tables.kinds().collect();
    let gone: Vec<&&str> = kinds.iter().filter(|kind| !words.contains(**kind)).collect();
    assert!(gone.is_empty(), "no program makes these kinds: {gone:?}");
    // Of a report, that is: a consent has a kind too.
    let made = sources.split("kind: \"").skip(1).filter_map(|rest| {
        let (kind, rest) = rest.split_once("\",")?;
        rest.trim_start().starts_with("head").then_some(kind)
    });
    let made: Vec<&str> = made.collect();
    assert!(made.len() > 40, "{made:?}");
    let untold: Vec<&&str> = made.iter().filter(|kind| !kinds.contains(**kind)).collect();
    assert!(untold.is_empty(), "these kinds are not on the page: {untold:?}");
    let names = tables.names();
    assert!(names.len() > 200, "{}", names.len());
    let gone: Vec<&&str> = names.iter().filter(|name| !words.contains(**name)).collect();
    assert!(gone.is_empty(), "no program writes these keys: {gone:?}");
}

#[test]
fn every_command_with_a_document_is_on_the_page() {
    let tables = Tables::read();
    let told: BTreeSet<&str> = tables.commands().collect();
    let all = texts();
    let pages = &all["cli/tests/golden/help.en.txt"];
    let commands: Vec<&str> = pages.lines().filter_map(|line| line.strip_prefix("== ")).map(str::trim).collect();
    let group = |command: &str| {
        commands.iter().any(|other| other.strip_prefix(command).is_some_and(|rest| rest.starts_with(' ')))
    };
    let without = ["plantao top", "plantao completion"];
    // `switchover` has a command below it and is one itself.
    let leaves = commands.iter().filter(|command| !group(command) || **command == "plantao switchover");
    let missing: Vec<&&str> = leaves
        .filter(|command| !without.contains(*command))
        .filter(|command| !told.iter().any(|one| one == *command || one.starts_with(&format!("{command} "))))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    let exists = |one: &str| commands.iter().any(|command| one == *command || one.starts_with(&format!("{command} ")));
    let gone: Vec<&&str> = told.iter().filter(|one| !one.starts_with("plantaod") && !exists(one)).collect();
    assert!(gone.is_empty(), "there are no such commands: {gone:?}");
}

/// Those that need no network.
#[test]
fn what_commands_without_a_network_print_is_as_the_page_says() {
    let place = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    for line in [
        "version",
        "explain PLT-1204",
        "explain PlantaoNoLeader",
        "man --out @/man",
        "pki init --dir @/authority --network rede",
        "pki issue --dir @/authority --out @/op --name op --role operator",
        "pki issue --dir @/authority --out @/n1 --node 1 --host 127.0.0.1",
        "pki renew --dir @/authority --out @/op op --now",
        "pki list --dir @/authority",
        "pki revoke --dir @/authority node/1 --reason superseded --yes",
        "pki crl --dir @/authority --out @/list.pem",
        "pki report-key @/report.key",
        "context add a --cluster rede --endpoint 127.0.0.1:7101 --ca @/op/ca.crt --cert @/op/op.crt --key @/op/op.key",
        "context add b --cluster rede --endpoint 127.0.0.1:7102 --ca @/op/ca.crt --cert @/op/op.crt --key @/op/op.key",
        "context use b",
        "context show",
        "context list",
        "context rm a",
    ] {
        let mut tool = Command::new(TOOL);
        tool.env_clear().env("XDG_CONFIG_HOME", place.path()).args(["-o", "json", "--no-input"]);
        let output = tool.args(line.replace('@', place.path().to_str().unwrap()).split(' ')).output().unwrap();
        assert!(output.status.success(), "{line}: {}", plantao_tests::network::text(&output));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error}"));
        holds(&document);
        seen.insert(document["kind"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.len(), 11, "{seen:?}");
    // A failure is a document of its own, also where the command line is not understood.
    for line in ["-o json status --context c", "explain -o json", "--output=jsonl no-such-command"] {
        let mut tool = Command::new(TOOL);
        let output = tool.env_clear().env("XDG_CONFIG_HOME", place.path()).args(line.split(' ')).output();
        let said = String::from_utf8(output.unwrap().stderr).unwrap();
        let failure: Value =
            serde_json::from_str(said.trim_end()).unwrap_or_else(|error| panic!("{line}: {error}: {said}"));
        holds(&failure);
        assert_eq!((&failure["message_type"], &failure["exit_code"]), (&"exit_error".into(), &2.into()), "{line}");
    }
}
