//! The tool as a shell sees it: exit codes, what goes to which output, languages, and files that it writes. Networks
//! that answer are in the workspace's own tests; here nobody listens.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The tool in an empty environment: what is set on the machine that tests must not matter.
fn plantao(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plantao"));
    command.env_clear().env("HOME", home).stdin(Stdio::null()).current_dir(home);
    command
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    plantao(home).args(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A port that was free a moment ago: nobody listens there.
fn deaf() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// An authority, an operator's certificate and a context `demo` whose nodes do not answer.
fn network() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let at = home.path();
    assert_eq!(code(&run(at, &["pki", "init", "--dir", "ca", "--network", "demo"])), 0);
    let issue = ["pki", "issue", "--dir", "ca", "--out", "op", "--name", "op", "--role", "operator"];
    let issued = run(at, &issue);
    assert_eq!(code(&issued), 0, "{}", err(&issued));
    let (public, admin) = (deaf(), deaf());
    let add = [
        "context",
        "add",
        "demo",
        "--label",
        "PRODUÇÃO",
        "--cluster",
        "demo",
        "--endpoint",
        &public,
        "--admin-endpoint",
        &admin,
        "--ca",
        "op/ca.crt",
        "--cert",
        "op/op.crt",
        "--key",
        "op/op.key",
    ];
    let added = run(at, &add);
    assert_eq!(code(&added), 0, "{}", err(&added));
    home
}

#[test]
fn a_wrong_command_line_is_exit_2_and_says_nothing_on_the_standard_output() {
    let home = tempfile::tempdir().unwrap();
    let wrong: [&[&str]; 15] = [
        &[],
        &["agenda"],
        &["frobnicate"],
        &["status", "--frobnicate"],
        &["agenda", "list"],
        &["agenda", "list", "--unit", "a", "--room", "b"],
        &["patient", "find"],
        &["bench", "write", "--clients", "0"],
        &["record", "get", "x", "--version", "-1"],
        &["image", "put", "--patient", "p", "--consent", "c"],
        &["image", "put", "x", "--patient", "p"],
        &["image", "get", "x", "--range", "9-8"],
        &["bench", "image-put", "--bytes", "139"],
        &["version", "-o", "yaml"],
        &["version", "--zone", "Brasil/Centro"],
    ];
    for arguments in wrong {
        let output = run(home.path(), arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}");
        assert_ne!(err(&output), "", "{arguments:?}");
    }
    let portuguese = err(&run(home.path(), &["statsu"]));
    assert!(portuguese.contains("comando desconhecido: statsu") && portuguese.contains("status"), "{portuguese}");
    let english = err(&run(home.path(), &["statsu", "--lang", "en"]));
    assert!(english.contains("unrecognized subcommand"), "{english}");
}

#[test]
fn help_and_version_are_results() {
    let home = tempfile::tempdir().unwrap();
    let help = run(home.path(), &["agenda", "book", "--help"]);
    assert_eq!(code(&help), 0);
    assert!(out(&help).contains("Exemplos:") && out(&help).contains("Códigos de saída:"));
    let english = plantao(home.path()).env("PLANTAO_LANG", "en").args(["agenda", "book", "-h"]).output().unwrap();
    assert!(out(&english).contains("Exit codes:"));
    assert_eq!(out(&run(home.path(), &["--version"])).trim(), concat!("plantao ", env!("CARGO_PKG_VERSION")));
    let version = json(&run(home.path(), &["version", "-o", "json"]));
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["schema_version"], 1);
}

#[test]
fn the_flag_wins_over_the_environment_which_wins_over_the_context() {
    let home = network();
    let show = |environment: &[(&str, &str)], flags: &[&str]| {
        let mut command = plantao(home.path());
        command.envs(environment.iter().copied()).args(["context", "show", "-o", "json"]).args(flags);
        command.output().unwrap()
    };
    assert_eq!(json(&show(&[], &[]))["context"]["name"], "demo");
    let environment = [("PLANTAO_CONTEXT", "other")];
    let unknown = show(&environment, &[]);
    assert_eq!(code(&unknown), 2, "the environment names a context that is not there");
    assert!(err(&unknown).contains("PLT-9002"));
    assert_eq!(json(&show(&environment, &["--context", "demo"]))["context"]["name"], "demo");
    let elsewhere = plantao(home.path()).env("PLANTAO_CONFIG", "none.toml").args(["patient", "list"]).output().unwrap();
    assert_eq!(code(&elsewhere), 2);
    assert!(err(&elsewhere).contains("PLT-9001"), "{}", err(&elsewhere));
}

/// Before a byte is sent: nobody listens there, and that is not what is told.
#[test]
fn a_certificate_of_another_network_is_refused_before_anybody_is_asked() {
    let home = network();
    let made = |arguments: &[&str]| {
        let output = run(home.path(), arguments);
        assert_eq!(code(&output), 0, "{}", err(&output));
    };
    made(&["pki", "init", "--dir", "outra", "--network", "outra-rede"]);
    made(&["pki", "issue", "--dir", "outra", "--out", "eu", "--name", "eu", "--role", "operator"]);
    let mine = ["--ca", "eu/ca.crt", "--cert", "eu/eu.crt", "--key", "eu/eu.key"];
    for command in [&["status"][..], &["member", "list"], &["switchover", "--reason", "x", "--yes"]] {
        let output = run(home.path(), &[command, &mine].concat());
        assert_eq!(code(&output), 12, "{command:?}: {}", err(&output));
        let said = err(&output);
        assert!(said.contains("PLT-9004") && said.contains("outra-rede"), "{command:?}: {said}");
    }
}

#[test]
fn contexts_are_kept_in_a_file_of_the_owner() {
    let home = network();
    let path = home.path().join(".config/plantao/config.toml");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let list = json(&run(home.path(), &["context", "list", "-o", "json"]));
    assert_eq!(list["current"], "demo");
    assert_eq!(list["contexts"][0]["label"], "PRODUÇÃO");
    let again =
        ["context", "add", "demo", "--cluster", "demo", "--endpoint", "h:1", "--ca", "a", "--cert", "b", "--key", "c"];
    assert_eq!(code(&run(home.path(), &again)), 2, "a context is not replaced by chance");
    assert_eq!(code(&run(home.path(), &["context", "rm", "demo"])), 0);
    assert_eq!(code(&run(home.path(), &["context", "use", "demo"])), 2);
    std::fs::write(&path, "colour = \"red\"\n").unwrap();
    let bad = run(home.path(), &["context", "list"]);
    assert_eq!(code(&bad), 2);
    assert!(err(&bad).contains("PLT-9003"), "{}", err(&bad));
}

#[test]
fn without_a_network_every_command_says_so_with_exit_12() {
    let home = network();
    let commands: [&[&str]; 11] = [
        &["status"],
        &["status", "--check", "-o", "json"],
        &["health"],
        &["doctor"],
        &["events"],
        &["endpoint", "--role", "leader"],
        &["digest", "--wait", "0"],
        &["switchover", "--reason", "teste", "--yes"],
        &["unit", "list"],
        &["patient", "get", "875ac127-ec8a-41b8-bb68-0c2161c61913"],
        &["agenda", "cancel", "875ac127-ec8a-41b8-bb68-0c2161c61913", "--seen-version", "1"],
    ];
    for arguments in commands {
        let once = || plantao(home.path()).env("PLANTAO_TIMEOUT", "1").args(arguments).output().unwrap();
        let mut output = once();
        // A try that its deadline cuts off, as on a machine that stands still, may have been done: 124. Not each of
        // many is cut off.
        for _ in 0..20 {
            if code(&output) != 124 {
                break;
            }
            output = once();
        }
        assert_eq!(code(&output), 12, "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}");
        assert!(err(&output).contains("PLT-9015"), "{arguments:?}: {}", err(&output));
    }
    let output = plantao(home.path()).args(["unit", "list", "-o", "json", "--timeout", "1"]).output().unwrap();
    let error: serde_json::Value = serde_json::from_str(err(&output).lines().last().unwrap()).unwrap();
    assert_eq!(error["message_type"], "exit_error");
    assert_eq!(error["exit_code"], 12);
}

/// A repetition after its time could not be told from a new request, so it is not sent.
#[test]
fn a_request_that_is_over_is_not_sent_again() {
    let home = network();
    let made_long_ago = "018f0000-0000-7000-8000-000000000000";
    let cancel = ["agenda", "cancel", "consulta-17", "--seen-version", "1", "--request-id", made_long_ago];
    let output = run(home.path(), &cancel);
    assert_eq!(code(&output), 6, "{}", err(&output));
    assert!(err(&output).contains("PLT-9013") && err(&output).contains(made_long_ago), "{}", err(&output));
}

#[test]
fn a_confirmation_that_nobody_can_give_names_the_flag() {
    let home = network();
    let output = run(home.path(), &["token", "create"]);
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("PLT-9005") && err(&output).contains("--yes"), "{}", err(&output));
}

#[test]
fn ids_and_times_are_checked_before_anything_is_sent() {
    let home = network();
    std::fs::write(home.path().join("a.jpg"), b"\xff\xd8\xff").unwrap();
    let put = ["--patient", "p", "--consent", "c"];
    let absent = [&["image", "put", "absent"], put.as_slice()].concat();
    let kind = [&["image", "put", "a.jpg", "--kind", "a b"], put.as_slice()].concat();
    let two = [&["image", "put", "a.jpg", "a.jpg", "--id", "x"], put.as_slice()].concat();
    let bad: [(&[&str], &str); 8] = [
        (&absent, "PLT-9014"),
        (&kind, "PLT-9012"),
        (&two, "PLT-9012"),
        (&["image", "get", "isto não é id"], "PLT-9007"),
        (&["record", "get", "isto não é id"], "PLT-9007"),
        (&["agenda", "list", "--unit", "centro", "--day", "2026-02-30"], "PLT-9010"),
        (&["agenda", "list", "--unit", "centro", "--from", "2026-11-24 10:00", "--to", "2026-11-24 09:00"], "PLT-9012"),
        (&["record", "amend", "x", "--seen-version", "1", "--reason", "r", "--document", "absent"], "PLT-9014"),
    ];
    for (arguments, plt) in bad {
        let output = run(home.path(), arguments);
        assert!(matches!(code(&output), 1 | 2), "{arguments:?}");
        assert!(err(&output).contains(plt), "{arguments:?}: {}", err(&output));
    }
}

#[test]
fn the_authority_lists_what_it_issued_and_refuses_to_begin_again() {
    let home = network();
    let node =
        ["pki", "issue", "--dir", "ca", "--out", "n1", "--node", "1", "--host", "127.0.0.1", "--host", "localhost"];
    assert_eq!(code(&run(home.path(), &node)), 0);
    let list = json(&run(home.path(), &["pki", "list", "--dir", "ca", "-o", "json"]));
    let identities: Vec<_> = list["certificates"].as_array().unwrap().iter().map(|one| &one["identity"]).collect();
    assert_eq!(identities, ["spiffe://demo/unit/rede/operator/op", "spiffe://demo/node/1"]);
    let key = std::fs::metadata(home.path().join("n1/node-1.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let again = run(home.path(), &["pki", "init", "--dir", "ca", "--network", "demo"]);
    assert_eq!(code(&again), 1);
    assert!(err(&again).contains("PLT-9028"));
    let early = run(home.path(), &["pki", "renew", "--dir", "ca", "--out", "n1", "node-1"]);
    assert_eq!((code(&early), out(&early)), (0, String::new()));
    assert_eq!(code(&run(home.path(), &["pki", "renew", "--dir", "ca", "--out", "n1", "node-1", "--now"])), 0);
    let bad = run(home.path(), &["pki", "issue", "--dir", "ca", "--out", "x", "--name", "Ana Maria", "--role", "dpo"]);
    assert_eq!(code(&bad), 2);
}

#[test]
fn completion_knows_the_commands() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = run(home.path(), &["completion", shell]);
        assert_eq!(code(&script), 0);
        for word in ["switchover", "no-show", "expect-leader", "staleness-max"] {
            assert!(out(&script).contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn explain_knows_the_codes_in_both_languages() {
    let home = tempfile::tempdir().unwrap();
    assert!(out(&run(home.path(), &["explain", "PLT-1204"])).contains("o horário está ocupado"));
    assert!(out(&run(home.path(), &["explain", "1204", "--lang", "en"])).contains("the slot is taken"));
    let unknown = run(home.path(), &["explain", "PLT-0000\u{1b}[2J"]);
    assert_eq!(code(&unknown), 2);
    assert!(!err(&unknown).contains('\u{1b}'), "{:?}", err(&unknown));
}

/// `plantao … | head -1` must neither panic nor complain.
#[test]
fn a_closed_pipe_is_quiet() {
    let home = tempfile::tempdir().unwrap();
    let mut child =
        plantao(home.path()).args(["completion", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn nothing_is_coloured_unless_it_is_asked_for() {
    let home = network();
    let list = |flags: &[&str]| out(&plantao(home.path()).args(["context", "list"]).args(flags).output().unwrap());
    assert!(!list(&[]).contains('\u{1b}'));
    let explain = |flags: &[&str]| out(&plantao(home.path()).args(["explain", "1204"]).args(flags).output().unwrap());
    assert!(!explain(&["--color", "never"]).contains('\u{1b}'));
}
