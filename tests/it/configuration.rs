//! A configuration that cannot be right is refused before a port or a directory is opened: each fault with its key and
//! its line, all at once, exit code 2.

use crate::tidy::root;
use crate::world::PROGRAM;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn daemon(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn good(directory: &Path) -> String {
    let at = |name: &str| directory.join(name).display().to_string();
    format!(
        "[node]\ndata_dir = \"{}\"\nname = \"centro\"\nsite = \"centro\"\nmedium = \"ssd\"\npeer_address = \"127.0.0.1:7402\"\n\
         [listen]\npublic = \"127.0.0.1:7400\"\nadmin = \"127.0.0.1:7401\"\npeer = \"127.0.0.1:7402\"\n\
         [tls]\ncertificate = \"{}\"\nkey = \"{}\"\nroots = \"{}\"\nreload_interval = \"10s\"\n\
         [slots]\nstorage = {{ key_file = \"{}\" }}\nroot = {{ key_file = \"{}\" }}\n",
        at("data"),
        at("node.crt"),
        at("node.key"),
        at("ca.crt"),
        at("storage.key"),
        at("root.key"),
    )
}

#[test]
fn the_reference_configuration_is_the_one_in_the_repository() {
    let printed = daemon(&["check-config", "--reference"]);
    assert!(printed.status.success());
    let path = root().join("deploy/reference.toml");
    if std::env::var_os("PLANTAO_UPDATE_GOLDEN").is_some() {
        fs::write(&path, &printed.stdout).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), kept, "PLANTAO_UPDATE_GOLDEN=1 writes it");
    // And it is one: every line of it parses.
    let checked = daemon(&["check-config", "--config", path.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    // The unit file starts the daemon as its own defaults expect it.
    let unit = fs::read_to_string(root().join("deploy/systemd/plantaod.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/plantaod run --config /etc/plantao/plantaod.toml\n"));
    assert!(unit.contains("StateDirectory=plantao\n") && kept.contains("data_dir = \"/var/lib/plantao\""));
}

#[test]
fn each_fault_is_told_with_its_key_its_line_and_what_would_be_right() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plantaod.toml");
    let whole = good(directory.path());
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        daemon(&["check-config", "--config", file.to_str().unwrap()])
    };
    assert!(check(&whole).status.success());
    let inside = directory.path().join("data/storage.key").display().to_string();
    let outside = directory.path().join("storage.key").display().to_string();
    for (what, old, new, words) in [
        ("an unknown key", "medium = ", "colour = \"red\"\nmedium = ", ["node.colour", "line 5"]),
        ("a time without unit", "\"10s\"", "\"10\"", ["tls.reload_interval", "line 15"]),
        ("one port twice", "127.0.0.1:7401", "127.0.0.1:7400", ["7400", "listen.public"]),
        ("a key inside the data directory", &outside, &inside, ["slots.storage", "inside node.data_dir"]),
        ("a secret in the file", "storage = {", "storage = \"segredo-da-casa\" #", ["slots.storage", "never written"]),
        ("no data directory", "data_dir = ", "# data_dir = ", ["node.data_dir", "must be given"]),
        ("no TOML", "[node]", "[node", ["line", "1"]),
    ] {
        assert!(whole.contains(old), "{what}: {old}");
        let output = check(&whole.replacen(old, new, 1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{what}: {said}");
        for word in words {
            assert!(said.contains(word), "{what} does not say {word:?}: {said}");
        }
        assert!(!said.contains("segredo"), "{what} repeats a secret: {said}");
        let run = daemon(&["run", "--config", file.to_str().unwrap()]);
        assert_eq!(run.status.code(), Some(2), "{what}: run goes further than check-config");
        assert!(!directory.path().join("data").exists(), "{what}: a directory was made");
    }
    let both = whole.replace("\"10s\"", "\"10\"").replace("medium = ", "colour = \"red\"\nmedium = ");
    let output = check(&both);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("node.colour") && said.contains("tls.reload_interval"), "all at once: {said}");
    let none = daemon(&["check-config", "--config", directory.path().join("none").to_str().unwrap()]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn a_key_that_others_can_read_opens_nothing() {
    use plantao_client::pki::{Authority, Request};
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plantaod.toml");
    fs::write(&file, good(directory.path())).unwrap();
    let now = std::time::SystemTime::now();
    let authority = Authority::create(&"rede".parse().unwrap(), &directory.path().join("ca"), now).unwrap();
    let request = Request { identity: "spiffe://rede/node/1".parse().unwrap(), names: Vec::new(), lifetime: None };
    authority.issue(&request, directory.path(), &"node".parse().unwrap(), now).unwrap();
    for key in ["storage.key", "root.key"] {
        plantao_tests::network::write_key(&directory.path().join(key));
    }
    let (recovery, readable) = (directory.path().join("papel"), directory.path().join("root.key"));
    let init = || {
        let arguments = ["init", "--config", file.to_str().unwrap(), "--cluster", "rede", "--recovery-file"];
        daemon(&[&arguments[..], &[recovery.to_str().unwrap()]].concat())
    };
    for (path, mode) in [(&readable, 0o644), (&directory.path().join("node.key"), 0o640)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let output = init();
        assert!(!output.status.success(), "{} with mode {mode:o} was taken", path.display());
        assert!(!recovery.exists() && !directory.path().join("data/identity").exists(), "something was made");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let output = init();
    assert!(output.status.success(), "{}", plantao_tests::network::text(&output));
    // The paper passphrase is written once, for its owner, and a second network does not overwrite the first.
    assert_eq!(fs::metadata(&recovery).unwrap().permissions().mode() & 0o777, 0o600);
    let phrase = fs::read(&recovery).unwrap();
    assert!(!init().status.success());
    assert_eq!(fs::read(&recovery).unwrap(), phrase);
}
