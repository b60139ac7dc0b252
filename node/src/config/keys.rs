//! The list of keys: name, default, meaning. The reference configuration is printed from it.

/// One key.
pub(super) struct Key {
    /// `section.key`, as in the file, and as `PLANTAO_SECTION_KEY` in the environment.
    pub(super) name: &'static str,
    /// TOML text; `None` when there is no default.
    pub(super) default: Option<&'static str>,
    /// Whether it must be given.
    pub(super) required: bool,
    /// One sentence.
    pub(super) meaning: &'static str,
    /// For the reference, where there is no default.
    pub(super) example: &'static str,
}

const fn given(name: &'static str, example: &'static str, meaning: &'static str) -> Key {
    Key { name, default: None, required: true, meaning, example }
}

const fn default(name: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key { name, default: Some(default), required: false, meaning, example: default }
}

const fn optional(name: &'static str, example: &'static str, meaning: &'static str) -> Key {
    Key { name, default: None, required: false, meaning, example }
}

pub(super) const KEYS: &[Key] = &[
    given("node.data_dir", "\"/var/lib/plantao\"", "Directory of all files of this node; absolute."),
    given("node.name", "\"centro\"", "Name in the cluster: lowercase letters, digits, hyphens, 1 to 32."),
    given("node.site", "\"sp-centro\"", "Where it stands; nodes of one site do not count as two places."),
    default("node.country", "\"BR\"", "ISO 3166-1 alpha-2 code of the country."),
    given("node.medium", "\"ssd\"", "What its copies rest on."),
    given("node.peer_address", "\"centro.example:7402\"", "host:port under which other nodes reach it."),
    default("listen.public", "\"127.0.0.1:7400\"", "For programs and people of the units."),
    default("listen.admin", "\"127.0.0.1:7401\"", "For operators."),
    default("listen.peer", "\"0.0.0.0:7402\"", "For nodes."),
    optional("listen.metrics", "\"127.0.0.1:7403\"", "Prometheus metrics, plain HTTP; absent: none."),
    given("tls.certificate", "\"/etc/plantao/node.crt\"", "PEM chain, leaf first."),
    given("tls.key", "\"/etc/plantao/node.key\"", "PEM key; readable by its owner only."),
    given("tls.roots", "\"/etc/plantao/ca.crt\"", "PEM roots; several while the authority is rotated."),
    optional(
        "tls.revoked",
        "\"/etc/plantao/revoked.pem\"",
        "PEM revocation lists of those roots, if there are any; absent: revoked.pem beside tls.roots.",
    ),
    default("tls.reload_interval", "\"10s\"", "How often these files are looked at; at most a minute."),
    given(
        "slots.storage",
        "{ key_file = \"/media/chave/storage.key\" }",
        "What opens this disk: { key_file = … }, { passphrase_file = … } or { credential = … }.",
    ),
    optional(
        "slots.root",
        "{ key_file = \"/media/chave/root.key\" }",
        "What opens patients' content; units only, an off-site node has none.",
    ),
    default("slots.passphrase_memory", "\"64 MiB\"", "Memory for deriving a key from a passphrase."),
    default(
        "storage.reserve",
        "\"256 MiB\"",
        "Free space of the disk of node.data_dir below which the network writes no more.",
    ),
    default("storage.engine", "\"fjall\"", "Engine of the state: \"fjall\" (units) or \"sled\" (off-site)."),
    optional(
        "chunks.directory",
        "\"/srv/plantao/chunks\"",
        "Directory of sealed chunks of images, absolute and outside node.data_dir; absent: inside it.",
    ),
    default("chunks.reserve", "\"1 GiB\"", "Free space of that disk that images leave to the log and the state."),
    default("chunks.workers", "4", "Chunks written, and as many read, at once."),
    default("chunks.scrub_rate", "\"4 MiB\"", "Bytes a second that are read again to find rot."),
    default("chunks.scrub_interval", "\"30d\"", "A copy is checked again after so long."),
    default(
        "chunks.simulated_media",
        "false",
        "For trials on one machine: this node's disk counts as one of its own, and each proof says that it is simulated.",
    ),
    default(
        "chunks.compare_interval",
        "\"10min\"",
        "How often what should be here is compared with the names in the directory; reads no chunk.",
    ),
    default("chunks.delete_after", "\"3d\"", "From the decision that a chunk is left over until its file is deleted."),
    default("chunks.orphan_after", "\"8d\"", "Age at which a chunk that no image names counts as left over."),
    default(
        "links.bulk",
        "\"else unlimited\"",
        "Caps of images by link and hour, as \"cofre = 07:00-20:00 1 Mbit/s, else unlimited; * = else 20 Mbit/s\".",
    ),
    default("links.zone", "\"America/Sao_Paulo\"", "Time zone of those hours."),
    default("raft.timers", "\"wan\"", "\"wan\" (250/800/1200 ms) or \"lan\" (100/400/600 ms)."),
    default("raft.prefer_leader", "true", "Whether this node should lead when it can."),
    default(
        "raft.snapshot_entries",
        "100000",
        "A local snapshot is made after so many entries, up to five times as many with many rows; the log keeps them until then.",
    ),
    default("raft.clock_skew_max", "\"5s\"", "Largest difference between clocks that is tolerated."),
    default(
        "members.replace_silent_after",
        "\"0s\"",
        "A voter that is silent for so long gives its vote to a learner that has caught up; 0s: never.",
    ),
    default(
        "upgrade.level_max",
        "0",
        "Newest format level that this node reads and writes; 0: its program's newest. A lower one holds the network back.",
    ),
    default("limits.requests", "1024", "Requests under way at once; more are asked to come back."),
    default("limits.journal", "\"256 MiB\"", "Journal of reads that wait for the log; full: records are not read."),
    default("log.level", "\"info\"", "Filter, as \"info\" or \"plantao_node=debug\"."),
    default("log.format", "\"json\"", "\"json\" or \"text\"."),
];

/// The reference configuration: every key with its meaning and default.
pub fn reference() -> String {
    let mut text = String::from("# Reference configuration of plantaod. Commented keys show an example.\n");
    let mut section = "";
    for key in KEYS {
        let (here, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if here != section {
            section = here;
            text.push_str(&format!("\n[{section}]\n"));
        }
        let mark = if key.default.is_some() || key.required { "" } else { "# " };
        text.push_str(&format!("# {}\n{mark}{name} = {}\n", key.meaning, key.example));
    }
    text
}
