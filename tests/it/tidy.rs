//! What a machine can hold of the style and of the shape of the tree: one owner for each foreign idea, the arrows
//! between crates, no trace of a machine, documents that point to things that exist.
//!
//! Every rule here first proves, on a made-up text, that it would find what it forbids.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file of ours below the root, by path relative to it; build output and the history are not ours to hold.
fn files() -> BTreeMap<String, Vec<u8>> {
    fn walk(directory: &Path, root: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if matches!(name, ".git" | "target") {
                continue;
            }
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.is_file() {
                let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(relative, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&root(), &root(), &mut found);
    assert!(found.len() > 100, "only {} files: is this the workspace?", found.len());
    found
}

/// Every text file.
pub(crate) fn texts() -> BTreeMap<String, String> {
    files().into_iter().filter_map(|(path, bytes)| Some((path, String::from_utf8(bytes).ok()?))).collect()
}

/// Every Rust file, without comments and without what stands between quotes.
fn sources() -> BTreeMap<String, String> {
    let rust = texts().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    rust.map(|(path, text)| (path, code_of(&text))).collect()
}

/// Rust text without comments and without the content of strings; lines keep their numbers.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
    let (mut code, mut i) = (Vec::with_capacity(bytes.len()), 0);
    while i < bytes.len() {
        match (at(i), at(i + 1)) {
            (b'/', b'/') => {
                while i < bytes.len() && at(i) != b'\n' {
                    i += 1;
                }
            }
            (b'/', b'*') => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        (b'/', b'*') => (depth, i) = (depth + 1, i + 2),
                        (b'*', b'/') => (depth, i) = (depth - 1, i + 2),
                        (byte, _) => {
                            if byte == b'\n' {
                                code.push(b'\n');
                            }
                            i += 1;
                        }
                    }
                    if depth == 0 || i >= bytes.len() {
                        break;
                    }
                }
            }
            (b'r', b'"' | b'#') if i == 0 || !is_word(at(i - 1)) || at(i - 1) == b'b' => {
                let hashes = bytes[i + 1..].iter().take_while(|byte| **byte == b'#').count();
                if at(i + 1 + hashes) != b'"' {
                    // A raw identifier.
                    code.push(b'r');
                    i += 1;
                    continue;
                }
                let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
                i += hashes + 2;
                while i < bytes.len() && !bytes[i..].starts_with(&end) {
                    if at(i) == b'\n' {
                        code.push(b'\n');
                    }
                    i += 1;
                }
                i += end.len();
                code.extend_from_slice(b"\"\"");
            }
            (b'"', _) => {
                i += 1;
                while i < bytes.len() && at(i) != b'"' {
                    if at(i) == b'\n' {
                        code.push(b'\n');
                    }
                    i += if at(i) == b'\\' && at(i + 1) != b'\n' { 2 } else { 1 };
                }
                i += 1;
                code.extend_from_slice(b"\"\"");
            }
            // A character; a lifetime has no second quote so near.
            (b'\'', b'\\') => {
                i += 3;
                while i < bytes.len() && at(i) != b'\'' {
                    i += 1;
                }
                i += 1;
            }
            (b'\'', _) if at(i + 2) == b'\'' => i += 3,
            (byte, _) => {
                code.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&code).into_owned()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether `code` has `word` as a word of its own.
fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let bytes = code.as_bytes();
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        !before.is_some_and(|byte| is_word(*byte)) && !bytes.get(at + word.len()).is_some_and(|byte| is_word(*byte))
    })
}

/// Whether `code` reaches into the crate `name`: by a path, or by `use name as …`.
fn names_crate(code: &str, name: &str) -> bool {
    has_word(code, &format!("{name}::"))
        || code.contains(&format!("{name}::"))
            && code.match_indices(&format!("{name}::")).any(|(at, _)| at == 0 || !is_word(code.as_bytes()[at - 1]))
        || has_word(code, &format!("use {name}"))
}

fn assert_none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

#[test]
fn the_reader_of_rust_keeps_code_and_drops_the_rest() {
    let text = "use sled::Db; // sled::a\n/* fjall:: /* x */ */ let a = \"rustls::\\\"b\"; r#\"tokio::\"#; '\"'; b'\\n'; x::<'a>";
    let code = code_of(text);
    assert!(names_crate(&code, "sled"), "{code}");
    for gone in ["sled::a", "fjall", "rustls", "tokio"] {
        assert!(!code.contains(gone), "{gone}: {code}");
    }
    assert!(code.contains("x::<'a>"), "{code}");
    assert!(!names_crate("unsled::Db", "sled") && !names_crate("use sledge;", "sled"));
    assert!(names_crate("use sled;", "sled") && names_crate("(openraft::Raft", "openraft"));
}

/// Each foreign crate and the only places that may name it, as beginnings of paths (`/name/`: anywhere in the path).
const OWNERS: &[(&str, &[&str])] = &[
    ("sled", &["node/src/storage/state_sled.rs"]),
    ("fjall", &["node/src/storage/state_fjall.rs"]),
    ("raft_log", &["node/src/storage/wal.rs", "node/src/storage/wal/"]),
    ("openraft", &["node/src/consensus/"]),
    ("aes_gcm", &["node/src/crypto/"]),
    ("argon2", &["node/src/crypto/"]),
    ("hkdf", &["node/src/crypto/"]),
    ("rustls", &["/transport/", "/transport.rs"]),
    ("tokio_rustls", &["/transport/", "/transport.rs"]),
    ("rcgen", &["client/src/pki/"]),
    ("minicbor", &["domain/", "node/src/"]),
    ("fuser", &["chaos/src/disk/"]),
    ("turmoil", &["chaos/src/sim/"]),
    ("mad_turmoil", &["chaos/src/sim/program.rs"]),
];

#[test]
fn every_foreign_idea_has_one_owner() {
    let mut found = Vec::new();
    for (path, code) in sources() {
        for (name, owners) in OWNERS {
            let owned = owners.iter().any(|owner| match owner.starts_with('/') {
                true => path.contains(*owner),
                false => path.starts_with(owner),
            });
            if !owned && names_crate(&code, name) {
                found.push(format!("{path} names {name}"));
            }
        }
    }
    assert_none("a foreign crate is named outside its owner", &found);
}

/// Files that name a generated message and a type of the rules and translate nothing: the composition root, and what passes
/// sealed envelopes on. The list only shrinks: an entry that is not needed any more fails the test too.
const NAME_BOTH: &[&str] = &["node/src/app.rs", "node/src/consensus/forward.rs"];

#[test]
fn only_convert_files_name_both_the_wire_and_the_rules() {
    let both: BTreeSet<String> = sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("node/") || path.starts_with("client/") || path.starts_with("cli/"))
        .filter(|(path, _)| !path.contains("convert") && !path.contains("/tests"))
        .filter(|(_, code)| names_crate(code, "plantao_proto") && names_crate(code, "plantao_domain"))
        .map(|(path, _)| path)
        .collect();
    let allowed: BTreeSet<String> = NAME_BOTH.iter().map(ToString::to_string).collect();
    assert_eq!(both, allowed, "files that name both plantao_proto and plantao_domain");
}

#[test]
fn arrows_between_crates_are_those_of_the_architecture() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("proto", [].as_slice()),
        ("domain", &[]),
        ("client", &["proto"]),
        // To the client since decision 0007.
        ("node", &["client", "domain", "proto"]),
        ("cli", &["client", "proto"]),
        // To the wire since decision 0026.
        ("chaos", &["client", "domain", "node", "proto"]),
        ("tests", &["chaos", "cli", "client", "domain", "node", "proto"]),
    ]);
    let manifest = |name: &str| -> toml::Table {
        std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap().parse().unwrap()
    };
    let members = manifest(".")["workspace"]["members"].as_array().unwrap().clone();
    let members: BTreeSet<&str> = members.iter().map(|member| member.as_str().unwrap()).collect();
    assert_eq!(members, allowed.keys().copied().collect(), "the members of the workspace");
    let mut found = Vec::new();
    for (member, allowed) in allowed {
        let manifest = manifest(member);
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = manifest.get(table).and_then(|table| table.as_table()) else {
                continue;
            };
            for ours in table.keys().filter_map(|name| name.strip_prefix("plantao-")) {
                if !allowed.contains(&ours) {
                    found.push(format!("{member} → {ours}"));
                }
            }
        }
    }
    assert_none("an arrow that the architecture does not have", &found);
}

#[test]
fn the_rules_are_pure() {
    let foreign = [
        "SystemTime",
        "Instant",
        "HashMap",
        "HashSet",
        "f32",
        "f64",
        "tokio",
        "getrandom",
        "thread",
        "Mutex",
        "static mut",
    ];
    let modules = ["std::fs", "std::net", "std::env", "std::io", "std::process", "std::time"];
    let mut found = Vec::new();
    for (path, code) in sources().into_iter().filter(|(path, _)| path.starts_with("domain/src/")) {
        let words = foreign.iter().filter(|word| has_word(&code, word));
        found
            .extend(words.chain(modules.iter().filter(|name| code.contains(**name))).map(|it| format!("{path}: {it}")));
    }
    assert_none("the domain reaches for time, chance, the outside or an order that is not ours", &found);
}

#[test]
fn nothing_is_left_undone_in_the_code() {
    // Cut in two, so that this file does not find itself.
    let undone = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("#[ig", "nore"), concat!("db", "g!(")];
    let mut found = Vec::new();
    for (path, code) in sources() {
        found.extend(undone.iter().filter(|word| code.contains(**word)).map(|word| format!("{path}: {word}")));
    }
    assert_none("unfinished code", &found);

    let mark = concat!("TO", "DO");
    let mut found = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            let names_an_issue = line.contains(&format!("{mark}(#"));
            if has_word(line, mark) && !names_an_issue && !path.starts_with("tests/it/") {
                found.push(format!("{path}:{}", number + 1));
            }
        }
    }
    assert_none("a mark of work to be done names its issue", &found);
}

/// A path of one machine in `line`.
fn machine_path(line: &str) -> Option<&'static str> {
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")].into_iter().find(|path| line.contains(path))
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    assert!(machine_path(concat!("x = \"/wo", "rk/main\"")).is_some());
    let mut found = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            if let Some(what) = machine_path(line) {
                found.push(format!("{path}:{} has {what}", number + 1));
            }
        }
    }
    assert_none("a path of one machine", &found);
}

#[test]
fn every_module_says_what_lives_in_it() {
    let test_file = |path: &str| path.contains("/tests/") || path.ends_with("tests.rs");
    let found: Vec<String> = texts()
        .into_iter()
        .filter(|(path, _)| path.ends_with(".rs") && !test_file(path))
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert_none("a file that does not start with //!", &found);
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// `text` of a page without what stands in fences.
fn outside_fences(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    assert_eq!(anchor("PLT-1204: the slot is taken"), "plt-1204-the-slot-is-taken");
    let pages: BTreeMap<String, String> = texts()
        .into_iter()
        .filter(|(path, _)| path.ends_with(".md"))
        .map(|(path, text)| (path, outside_fences(&text)))
        .collect();
    let anchors = |page: &str| -> BTreeSet<String> {
        page.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
    };
    let (mut found, mut count) = (Vec::new(), 0);
    for (path, page) in &pages {
        let directory = root().join(path).parent().unwrap().to_path_buf();
        for (at, _) in page.match_indices("](") {
            let target: String = page[at + 2..].chars().take_while(|c| !matches!(c, ')' | '\n')).collect();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, place) = target.split_once('#').unwrap_or((target.as_str(), ""));
            let file = if file.is_empty() { root().join(path) } else { directory.join(file) };
            if !file.exists() {
                found.push(format!("{path}: {target} is not there"));
            } else if !place.is_empty() {
                let text = outside_fences(&std::fs::read_to_string(&file).unwrap());
                if !anchors(&text).contains(place) {
                    found.push(format!("{path}: {target} has no such heading"));
                }
            }
        }
    }
    assert!(count > 0, "no link was looked at");
    assert_none("a link to nowhere", &found);
}

/// Every `PLT-nnnn` in `text`.
fn codes_in(text: &str) -> BTreeSet<u32> {
    text.match_indices("PLT-")
        .filter_map(|(at, _)| {
            let digits = text.get(at + 4..at + 8)?;
            let longer = text[at + 8..].starts_with(|c: char| c.is_ascii_digit());
            (!longer).then(|| digits.parse().ok()).flatten()
        })
        .collect()
}

/// Every decimal number of four digits in `code`.
fn numbers_in(code: &str) -> BTreeSet<u32> {
    code.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))
        .filter(|word| word.len() == 4)
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// The files that give codes their numbers, and what stands before one; nowhere else is one made.
const CODE_FILES: &[(&str, &str)] = &[
    ("domain/src/outcome.rs", "=>"),
    ("node/src/gateway/error.rs", "=>"),
    ("node/src/images/error.rs", "=>"),
    ("node/src/lead/error.rs", "=>"),
    ("node/src/storage/recovery.rs", "=>"),
    ("node/src/cmd/quorum/error.rs", "=>"),
    ("node/src/members/check.rs", "=>"),
    ("proto/src/strict.rs", "=>"),
    ("node/src/admin/cluster.rs", "warn("),
    ("node/src/admin/certificates.rs", "warn("),
    ("node/src/transport/install.rs", "=>"),
    ("cli/src/text/codes/refusals.rs", "theirs("),
    ("cli/src/text/codes/nodes.rs", "theirs("),
    ("cli/src/text/codes/tool.rs", "ours("),
];

#[test]
fn every_code_is_explained_and_every_explained_code_exists() {
    assert_eq!(codes_in("PLT-1204, PLT-12040 and PLT-9001."), BTreeSet::from([1204, 9001]));
    assert_eq!(numbers_in("Self::A => 1204, x.1205 warn(2301, b) 12_34"), BTreeSet::from([1204, 2301]));
    let page = std::fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let entries = page.lines().filter(|line| line.starts_with("### PLT-") || line.starts_with("| PLT-"));
    let explained: BTreeSet<u32> = entries.filter_map(|line| codes_in(&line[..12]).into_iter().next()).collect();
    let sources = sources();
    let mut made = BTreeSet::new();
    for (file, before) in CODE_FILES {
        let code = sources.get(*file).unwrap_or_else(|| panic!("{file} is not there"));
        let after = code.split(before).skip(1).map(|rest| rest.trim_start().chars().take(5).collect::<String>());
        let numbers: BTreeSet<u32> = after.flat_map(|number| numbers_in(&number)).collect();
        assert!(!numbers.is_empty(), "no code is made in {file} any more");
        made.extend(numbers);
    }
    let missing: Vec<String> = made.difference(&explained).map(|code| format!("PLT-{code:04}")).collect();
    assert_none("codes without an entry in docs/errors.md", &missing);
    let stale: Vec<String> = explained.difference(&made).map(|code| format!("PLT-{code:04}")).collect();
    assert_none("entries of docs/errors.md for codes that nothing gives", &stale);

    // Who meets a code in a terminal asks the tool, not the page.
    let tool: BTreeSet<u32> = ["refusals", "nodes", "tool"]
        .iter()
        .flat_map(|of| numbers_in(&sources[&format!("cli/src/text/codes/{of}.rs")]))
        .collect();
    let missing: Vec<String> = explained.difference(&tool).map(|code| format!("PLT-{code:04}")).collect();
    assert_none("codes that `plantao explain` does not know", &missing);
}

#[test]
fn every_metric_is_described_and_every_described_metric_exists() {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let described: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `plantao_")?.split('`').next()).collect();
    let declared: BTreeSet<&str> = plantao_node::telemetry::metrics::ALL
        .iter()
        .map(|(name, _, _)| name.strip_prefix("plantao_").expect("names begin with plantao_"))
        .collect();
    assert_eq!(declared, described, "names in telemetry/metrics.rs and rows of docs/metrics.md");
}
