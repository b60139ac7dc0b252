//! From text to [`Config`]: file, then environment, then flags; every fault at once.

use super::keys::KEYS;
use super::{Config, LogFormat, TimerProfile, units};
use crate::chunks::calendar::LinkCaps;
use crate::chunks::zone::Zone;
use crate::crypto::SlotSource;
use crate::storage::state::EngineKind;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// Largest configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// 1-based line of the file.
    Line(usize),
    /// A variable of the environment.
    Environment(String),
    /// `--set`.
    Flag,
    /// Nobody gave it.
    Absent,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag => f.write_str("flag --set"),
            Self::Absent => f.write_str("not given"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// `section.key`.
    pub key: String,
    /// Where it was given.
    pub origin: Origin,
    /// What is wrong and what would be right. Never quotes a secret: values of keys in `slots` are not shown.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.key, self.origin, self.message)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: crate::storage::fs::FsError,
    },
    /// It is no text.
    #[error("the configuration {path} is not UTF-8 text")]
    NotText {
        /// Which.
        path: PathBuf,
    },
    /// It is no TOML.
    #[error("the configuration {path} is not TOML: {message}")]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// Values are missing or wrong: all of them.
    #[error("the configuration has {} fault(s):\n  {}", faults.len(), list(faults))]
    Faults {
        /// In the order of the reference.
        faults: Vec<Fault>,
    },
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ")
}

/// Where values come from, weakest first.
pub struct Sources<'a> {
    /// The file.
    pub file: &'a Path,
    /// The environment: only names that begin with `PLANTAO_` count, and of those only known ones.
    pub environment: &'a BTreeMap<String, String>,
    /// `section.key=value` of `--set`.
    pub flags: &'a [String],
}

#[derive(Clone)]
enum Value {
    Text(String),
    Integer(u64),
    Boolean(bool),
    /// `{ key = "text" }`.
    Choice(String, String),
    /// Nothing that any key takes.
    Wrong,
}

/// Reads and checks everything that can be checked without opening a port or the data directory.
///
/// # Errors
/// See [`LoadError`]; all faults together.
pub fn load(sources: &Sources<'_>) -> Result<Config, LoadError> {
    let path = sources.file.to_path_buf();
    let bytes = crate::storage::fs::read_bounded(&path, FILE_BYTES_MAX)
        .map_err(|source| LoadError::Read { path: path.clone(), source })?;
    let text = String::from_utf8(bytes).map_err(|_| LoadError::NotText { path: path.clone() })?;
    let mut reader = Reader::default();
    reader.file(&text).map_err(|message| LoadError::Syntax { path, message })?;
    reader.environment(sources.environment);
    reader.flags(sources.flags);
    reader.finish()
}

#[derive(Default)]
struct Reader {
    values: BTreeMap<String, (Value, Origin)>,
    faults: Vec<Fault>,
}

fn known(name: &str) -> bool {
    KEYS.iter().any(|key| key.name == name)
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Wrong,
        },
        DeValue::Table(table) if table.len() == 1 => match table.iter().next() {
            Some((name, inner)) => match inner.get_ref() {
                DeValue::String(text) => Value::Choice(name.get_ref().to_string(), text.to_string()),
                _ => Value::Wrong,
            },
            None => Value::Wrong,
        },
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => Value::Wrong,
    }
}

impl Reader {
    fn file(&mut self, text: &str) -> Result<(), String> {
        let line_at = |offset: usize| text.as_bytes().iter().take(offset).filter(|b| **b == b'\n').count() + 1;
        let document = DeTable::parse(text).map_err(|error| error.to_string())?;
        for (section, table) in document.get_ref() {
            let line = line_at(section.span().start);
            let DeValue::Table(table) = table.get_ref() else {
                self.fault(section.get_ref(), Origin::Line(line), "keys belong into a section, as [node]");
                continue;
            };
            for (key, value) in table {
                let name = format!("{}.{}", section.get_ref(), key.get_ref());
                let origin = Origin::Line(line_at(key.span().start));
                if known(&name) {
                    self.values.insert(name, (value_of(value.get_ref()), origin));
                } else {
                    self.fault(&name, origin, "no such key; `plantaod check-config --reference` lists them");
                }
            }
        }
        Ok(())
    }

    fn environment(&mut self, environment: &BTreeMap<String, String>) {
        for key in KEYS {
            let name = format!("PLANTAO_{}", key.name.replace('.', "_").to_uppercase());
            if let Some(text) = environment.get(&name) {
                self.values.insert(key.name.to_string(), (parse_text(text), Origin::Environment(name)));
            }
        }
    }

    fn flags(&mut self, flags: &[String]) {
        for flag in flags {
            match flag.split_once('=') {
                Some((name, text)) if known(name) => {
                    self.values.insert(name.to_string(), (parse_text(text), Origin::Flag));
                }
                Some((name, _)) => self.fault(name, Origin::Flag, "no such key"),
                None => self.fault(flag, Origin::Flag, "write it as section.key=value"),
            }
        }
    }

    fn fault(&mut self, key: &str, origin: Origin, message: &str) {
        self.faults.push(Fault { key: key.to_string(), origin, message: message.to_string() });
    }

    fn take<T>(&mut self, name: &str, wanted: &str, parse: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let key = KEYS.iter().find(|key| key.name == name)?;
        let (value, origin) = match (self.values.get(name), key.default) {
            (Some((value, origin)), _) => (value.clone(), origin.clone()),
            (None, Some(default)) => (parse_text(default.trim_matches('"')), Origin::Absent),
            (None, None) => {
                if key.required {
                    self.fault(name, Origin::Absent, &format!("it must be given: {wanted}"));
                }
                return None;
            }
        };
        let parsed = match &value {
            Value::Wrong => None,
            value => parse(value),
        };
        if parsed.is_none() {
            self.fault(name, origin, &format!("not {wanted}"));
        }
        parsed
    }

    fn text(&mut self, name: &str, wanted: &str, check: impl Fn(&str) -> bool) -> Option<String> {
        self.take(name, wanted, |value| match value {
            Value::Text(text) if check(text) => Some(text.clone()),
            _ => None,
        })
    }

    fn path(&mut self, name: &str) -> Option<PathBuf> {
        self.text(name, "an absolute path", |text| Path::new(text).is_absolute()).map(PathBuf::from)
    }

    fn address(&mut self, name: &str) -> Option<SocketAddr> {
        self.take(name, "an address and a port, as \"127.0.0.1:7400\"", |value| match value {
            Value::Text(text) => text.parse().ok(),
            _ => None,
        })
    }

    fn number(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        self.take(name, &format!("a whole number from {least} to {most}"), |value| match value {
            Value::Integer(number) if (least..=most).contains(number) => Some(*number),
            _ => None,
        })
    }

    fn duration(&mut self, name: &str, least: Duration, most: Duration) -> Option<Duration> {
        let wanted = format!("a time with its unit, as \"10s\", from {least:?} to {most:?}");
        self.take(name, &wanted, |value| match value {
            Value::Text(text) => units::duration(text).filter(|time| (least..=most).contains(time)),
            _ => None,
        })
    }

    fn bytes(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        let wanted = format!("a size with its unit, as \"64 MiB\", from {least} B to {most} B");
        self.take(name, &wanted, |value| match value {
            Value::Text(text) => units::bytes(text).filter(|bytes| (least..=most).contains(bytes)),
            _ => None,
        })
    }

    fn boolean(&mut self, name: &str) -> Option<bool> {
        self.take(name, "true or false", |value| match value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        })
    }

    fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let wanted = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        self.take(name, &wanted, |value| match value {
            Value::Text(text) => words.iter().find(|(word, _)| word == text).map(|(_, value)| *value),
            _ => None,
        })
    }

    fn slot(&mut self, name: &str) -> Option<SlotSource> {
        let wanted = "{ key_file = \"/path\" }, { passphrase_file = \"/path\" } or { credential = \"name\" }; \
                      a secret itself is never written here";
        self.take(name, wanted, |value| match value {
            Value::Choice(kind, text) => match kind.as_str() {
                "key_file" if Path::new(text).is_absolute() => Some(SlotSource::KeyFile(text.into())),
                "passphrase_file" if Path::new(text).is_absolute() => Some(SlotSource::PassphraseFile(text.into())),
                "credential" if !text.is_empty() && !text.contains('/') => Some(SlotSource::Credential(text.clone())),
                _ => None,
            },
            _ => None,
        })
    }

    fn finish(mut self) -> Result<Config, LoadError> {
        let slug_text = "lowercase letters, digits and hyphens, 1 to 32";
        let data_dir = self.path("node.data_dir");
        let name = self.text("node.name", slug_text, is_slug);
        let site = self.text("node.site", slug_text, is_slug);
        let country = self.text("node.country", "two capital letters, as \"BR\"", |text| {
            text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
        });
        let medium = self.text("node.medium", slug_text, is_slug);
        let peer_address = self.text("node.peer_address", "host:port", is_host_port);
        let public_listen = self.address("listen.public");
        let admin_listen = self.address("listen.admin");
        let peer_listen = self.address("listen.peer");
        let metrics_listen = self.address("listen.metrics");
        let tls_certificate = self.path("tls.certificate");
        let tls_key = self.path("tls.key");
        let tls_roots = self.path("tls.roots");
        let tls_revoked = self.path("tls.revoked");
        // A certificate that was revoked must be out within a minute.
        let tls_reload_interval =
            self.duration("tls.reload_interval", Duration::from_millis(100), Duration::from_secs(60));
        let storage_slot = self.slot("slots.storage");
        let root_slot = self.slot("slots.root");
        let passphrase_memory = self.bytes("slots.passphrase_memory", 8 << 10, 4 << 30);
        let engine = self.word("storage.engine", &[("fjall", EngineKind::Fjall), ("sled", EngineKind::Sled)]);
        let reserve_bytes = self.bytes("storage.reserve", 0, 1 << 50);
        let chunk_dir = self.chunk_dir(data_dir.as_deref());
        let chunk_reserve_bytes = self.bytes("chunks.reserve", 0, 1 << 50);
        let chunk_workers = self.number("chunks.workers", 1, 64);
        let scrub_bytes_per_second = self.bytes("chunks.scrub_rate", 1 << 10, 1 << 34);
        let scrub_interval =
            self.duration("chunks.scrub_interval", Duration::from_secs(1), Duration::from_secs(366 * 86_400));
        let simulated_media = self.boolean("chunks.simulated_media");
        let compare_interval =
            self.duration("chunks.compare_interval", Duration::from_secs(1), Duration::from_secs(7 * 86_400));
        let delete_after =
            self.duration("chunks.delete_after", Duration::from_secs(1), Duration::from_secs(366 * 86_400));
        let orphan_after =
            self.duration("chunks.orphan_after", Duration::from_secs(1), Duration::from_secs(366 * 86_400));
        let link_caps = self.caps("links.bulk");
        let zone = self.take("links.zone", "the name of a time zone, as \"America/Sao_Paulo\"", |value| match value {
            Value::Text(text) => Zone::parse(text).ok(),
            _ => None,
        });
        let timers = self.word("raft.timers", &[("wan", TimerProfile::Wan), ("lan", TimerProfile::Lan)]);
        let prefer_leader = self.boolean("raft.prefer_leader");
        let snapshot_entries = self.number("raft.snapshot_entries", 100, 10_000_000);
        let replace_silent_after =
            self.duration("members.replace_silent_after", Duration::ZERO, Duration::from_secs(366 * 86_400));
        let clock_skew_max = self.duration("raft.clock_skew_max", Duration::from_millis(100), Duration::from_secs(600));
        let level_max = self.number("upgrade.level_max", 0, plantao_domain::upgrade::LEVEL_NEWEST.into());
        let requests_max = self.number("limits.requests", 16, 65_536);
        let journal_bytes_max = self.bytes("limits.journal", 1 << 20, 1 << 40);
        let log_level = self.text("log.level", "a filter, as \"info\"", |text| {
            !text.is_empty() && text.parse::<tracing_subscriber::EnvFilter>().is_ok()
        });
        let log_format = self.word("log.format", &[("json", LogFormat::Json), ("text", LogFormat::Text)]);

        self.ports(&[
            ("listen.public", public_listen),
            ("listen.admin", admin_listen),
            ("listen.peer", peer_listen),
            ("listen.metrics", metrics_listen),
        ]);
        let slots = [("slots.storage", &storage_slot), ("slots.root", &root_slot)];
        self.secrets_outside("node.data_dir", data_dir.as_deref(), &slots);
        self.secrets_outside("chunks.directory", chunk_dir.as_ref().and_then(|path| path.as_deref()), &slots);

        let config = (|| {
            Some(Config {
                chunk_dir: chunk_dir?.unwrap_or(data_dir.as_ref()?.join("chunks")),
                data_dir: data_dir?,
                name: name?,
                site: site?,
                country: country?,
                medium: medium?,
                peer_address: peer_address?,
                public_listen: public_listen?,
                admin_listen: admin_listen?,
                peer_listen: peer_listen?,
                metrics_listen,
                tls_certificate: tls_certificate?,
                tls_key: tls_key?,
                tls_revoked: tls_revoked
                    .or_else(|| Some(tls_roots.as_ref()?.with_file_name(crate::transport::REVOKED_FILE)))?,
                tls_roots: tls_roots?,
                tls_reload_interval: tls_reload_interval?,
                storage_slot: storage_slot?,
                root_slot,
                passphrase_memory_kib: u32::try_from(passphrase_memory? >> 10).ok()?,
                engine: engine?,
                reserve_bytes: reserve_bytes?,
                chunk_reserve_bytes: chunk_reserve_bytes?,
                chunk_workers: usize::try_from(chunk_workers?).ok()?,
                scrub_bytes_per_second: scrub_bytes_per_second?,
                scrub_interval: scrub_interval?,
                simulated_media: simulated_media?,
                compare_interval: compare_interval?,
                delete_after: delete_after?,
                orphan_after: orphan_after?,
                link_caps: link_caps?,
                zone: zone?,
                timers: timers?,
                prefer_leader: prefer_leader?,
                snapshot_entries: snapshot_entries?,
                replace_silent_after: replace_silent_after.filter(|after| !after.is_zero()),
                clock_skew_max: clock_skew_max?,
                level_max: match u32::try_from(level_max?).ok()? {
                    0 => u32::MAX,
                    capped => capped,
                },
                requests_max: usize::try_from(requests_max?).ok()?,
                journal_bytes_max: journal_bytes_max?,
                log_level: log_level?,
                log_format: log_format?,
            })
        })();
        match config {
            Some(config) if self.faults.is_empty() => Ok(config),
            _ => Err(LoadError::Faults { faults: self.faults }),
        }
    }

    fn ports(&mut self, addresses: &[(&str, Option<SocketAddr>)]) {
        for (i, (name, address)) in addresses.iter().enumerate() {
            let Some(address) = address.filter(|address| address.port() != 0) else { continue };
            for (other, earlier) in addresses.iter().take(i) {
                if earlier.is_some_and(|earlier| earlier.port() == address.port()) {
                    let origin = self.origin(name);
                    self.fault(name, origin, &format!("port {} is used by {other} too", address.port()));
                }
            }
        }
    }

    /// `Some(None)` where it is not given; `None` where it is wrong.
    fn chunk_dir(&mut self, data_dir: Option<&Path>) -> Option<Option<PathBuf>> {
        const NAME: &str = "chunks.directory";
        if !self.values.contains_key(NAME) {
            return Some(None);
        }
        let path = self.path(NAME)?;
        let is_apart = |data_dir: &Path| !path.starts_with(data_dir) && !data_dir.starts_with(&path);
        if data_dir.is_some_and(|data_dir| !is_apart(data_dir)) {
            let origin = self.origin(NAME);
            self.fault(
                NAME,
                origin,
                "it must lie outside node.data_dir and not around it; leave it out to keep chunks inside",
            );
            return None;
        }
        Some(Some(path))
    }

    /// Every fault of the text is told, not only that there is one.
    fn caps(&mut self, name: &str) -> Option<LinkCaps> {
        let text = self.text(name, "text, as \"cofre = 07:00-20:00 1 Mbit/s, else unlimited\"", |_| true)?;
        match LinkCaps::parse(&text) {
            Ok(caps) => Some(caps),
            Err(faults) => {
                let origin = self.origin(name);
                faults.iter().for_each(|fault| self.fault(name, origin.clone(), &fault.to_string()));
                None
            }
        }
    }

    fn secrets_outside(&mut self, directory: &str, path: Option<&Path>, slots: &[(&str, &Option<SlotSource>)]) {
        for (name, slot) in slots {
            let secret = match slot {
                Some(SlotSource::KeyFile(path) | SlotSource::PassphraseFile(path)) => path,
                Some(SlotSource::Credential(_)) | None => continue,
            };
            if path.is_some_and(|path| secret.starts_with(path)) {
                let origin = self.origin(name);
                let message = format!(
                    "it lies inside {directory}: a stolen disk would bring its own key; put it on another medium"
                );
                self.fault(name, origin, &message);
            }
        }
    }

    fn origin(&self, name: &str) -> Origin {
        self.values.get(name).map_or(Origin::Absent, |(_, origin)| origin.clone())
    }
}

/// A value as flags and the environment have it: TOML where it is that, else plain text.
fn parse_text(text: &str) -> Value {
    match text {
        "true" => return Value::Boolean(true),
        "false" => return Value::Boolean(false),
        _ => {}
    }
    if let Ok(number) = text.parse() {
        return Value::Integer(number);
    }
    if text.starts_with('{')
        && let Ok(value) = DeValue::parse(text)
    {
        return value_of(value.get_ref());
    }
    Value::Text(text.to_string())
}

fn is_slug(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_host_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && host.len() <= 255 && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, LoadError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plantaod.toml");
        std::fs::write(&file, text).unwrap();
        load(&Sources { file: &file, environment: &BTreeMap::new(), flags: &[] })
    }

    fn faults(text: &str) -> Vec<String> {
        match read(text) {
            Err(LoadError::Faults { faults }) => faults.iter().map(ToString::to_string).collect(),
            other => panic!("expected faults, got {other:?}"),
        }
    }

    fn good() -> String {
        super::super::reference().lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
    }

    fn with(old: &str, new: &str) -> String {
        let text = good();
        assert!(text.contains(old), "{old} is not in the reference");
        text.replace(old, new)
    }

    #[test]
    fn the_reference_is_a_configuration() {
        let config = read(&good()).unwrap();
        assert_eq!(config.tls_reload_interval, Duration::from_secs(10));
        assert_eq!(config.metrics_listen, None);
        assert_eq!(config.passphrase_memory_kib, 64 << 10);
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_line() {
        let text = with("name = \"centro\"", "name = \"Centro\"\ncolour = \"red\"").replace("\"10s\"", "\"10\"");
        let faults = faults(&text);
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults.iter().any(|fault| fault.starts_with("node.colour (line 5): no such key")), "{faults:?}");
        assert!(faults.iter().any(|fault| fault.starts_with("node.name (line 4): not lowercase")), "{faults:?}");
        assert!(faults.iter().any(|fault| fault.contains("tls.reload_interval")), "{faults:?}");
    }

    #[test]
    fn refusals_name_what_would_be_right() {
        for (old, new, wanted) in [
            ("admin = \"127.0.0.1:7401\"", "admin = \"127.0.0.1:7400\"", "port 7400 is used by listen.public too"),
            ("\"/media/chave/storage.key\"", "\"/var/lib/plantao/storage.key\"", "inside node.data_dir"),
            ("storage = { key_file = \"/media/chave/storage.key\" }", "storage = \"secret\"", "never written here"),
            ("snapshot_entries = 100000", "snapshot_entries = 0", "from 100"),
            ("prefer_leader = true", "prefer_leader = \"yes\"", "true or false"),
            ("\"256 MiB\"", "\"256 MB\"", "with its unit"),
            ("data_dir = \"/var/lib/plantao\"", "", "must be given"),
            ("data_dir = \"/var/lib/plantao\"", "data_dir = \"plantao\"", "absolute path"),
            ("peer = \"0.0.0.0:7402\"", "peer = \"0.0.0.0:65536\"", "an address and a port"),
            ("reserve = \"1 GiB\"", "directory = \"/var/lib/plantao/x\"", "outside node.data_dir"),
            ("reserve = \"1 GiB\"", "directory = \"/var/lib\"", "not around it"),
            ("reserve = \"1 GiB\"", "directory = \"/media/chave\"", "inside chunks.directory"),
            ("\"else unlimited\"", "\"07:00-25:00 fast\"", "no time of the day"),
            ("America/Sao_Paulo", "America/Sao_Paolo", "name of a time zone"),
        ] {
            let faults = faults(&with(old, new));
            assert!(faults.iter().any(|fault| fault.contains(wanted)), "{new}: {faults:?}");
            assert!(!faults.iter().any(|fault| fault.contains("secret\"")), "a secret is quoted: {faults:?}");
        }
    }

    #[test]
    fn chunks_lie_in_the_data_directory_unless_told_otherwise() {
        let config = read(&good()).unwrap();
        assert_eq!(config.chunk_dir, config.data_dir.join("chunks"));
        let config = read(&with("reserve = \"1 GiB\"", "directory = \"/srv/chunks\"\nreserve = \"0 B\"")).unwrap();
        assert_eq!((config.chunk_dir, config.chunk_reserve_bytes), (PathBuf::from("/srv/chunks"), 0));
        let text = "\"cofre = 07:00-20:00 1 Mbit/s, else unlimited\"";
        let config = read(&with("\"else unlimited\"", text)).unwrap();
        assert_ne!(config.link_caps.of("cofre"), config.link_caps.of("jardins"));
        let all = faults(&with("\"else unlimited\"", "\"a = else fast; B = 7-8 none\""));
        assert_eq!(all.len(), 3, "{all:?}");
    }

    #[test]
    fn no_text_is_too_broken_to_be_refused() {
        let text = good();
        let required = text.find("[storage]").unwrap();
        for end in (0..required).filter(|end| text.is_char_boundary(*end)) {
            // What stands behind is optional or has a default; before it, a key that is needed is cut off.
            let missing = text[end..required].contains("storage = ");
            assert!(!missing || read(&text[..end]).is_err(), "cut at {end}");
        }
        assert!(matches!(read("a = [1,"), Err(LoadError::Syntax { .. })));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        let sources = Sources { file: &file, environment: &BTreeMap::new(), flags: &[] };
        assert!(matches!(load(&sources), Err(LoadError::NotText { .. })));
        let sources = Sources { file: dir.path(), environment: &BTreeMap::new(), flags: &[] };
        assert!(matches!(load(&sources), Err(LoadError::Read { .. })));
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        std::fs::write(&file, good()).unwrap();
        let environment = BTreeMap::from([
            ("PLANTAO_RAFT_TIMERS".to_string(), "lan".to_string()),
            ("PLANTAO_NODE_SITE".to_string(), "casa".to_string()),
        ]);
        let flags = ["raft.timers=wan".to_string(), "slots.root={ credential = \"raiz\" }".to_string()];
        let config = load(&Sources { file: &file, environment: &environment, flags: &flags }).unwrap();
        assert_eq!(config.timers, TimerProfile::Wan);
        assert_eq!(config.site, "casa");
        assert_eq!(config.root_slot, Some(SlotSource::Credential("raiz".to_string())));
        let flags = ["raft.tempo=1".to_string(), "raft".to_string()];
        let refused = load(&Sources { file: &file, environment: &environment, flags: &flags });
        assert!(matches!(refused, Err(LoadError::Faults { faults }) if faults.len() == 2));
    }
}
