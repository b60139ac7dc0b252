//! What a network on one computer is made of, as files: nodes, ports, configurations, keys.

use super::Error;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Ports are taken from here: below those that Linux gives to outgoing connections, so that none of these can take the
/// port of a node that is down for a moment.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Largest `network.json`.
const DESCRIPTION_BYTES_MAX: u64 = 64 << 10;

/// Raft timers, as in `raft.timers`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Timers {
    /// 250/800/1200 ms.
    Wan,
    /// 100/400/600 ms.
    Lan,
}

impl Timers {
    /// The word in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wan => "wan",
            Self::Lan => "lan",
        }
    }
}

/// Engine of a node's state, as in `storage.engine`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The default of units.
    Fjall,
    /// The default off-site.
    Sled,
}

impl Engine {
    /// The word in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fjall => "fjall",
            Self::Sled => "sled",
        }
    }
}

/// What a node is to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Name in the cluster; also of its directory.
    pub name: String,
    /// Where it stands.
    pub site: String,
    /// What its copies rest on.
    pub medium: String,
    /// Of its state.
    pub engine: Engine,
    /// Whether it may open content: it gets a root slot.
    pub keyed: bool,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it should lead when it can.
    pub prefer_leader: bool,
}

impl NodeSpec {
    /// A unit's node: keyed, voting, preferred as leader.
    pub fn unit(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            site: name.to_owned(),
            medium: "ssd".to_owned(),
            engine: Engine::Fjall,
            keyed: true,
            voter: true,
            prefer_leader: true,
        }
    }

    /// An off-site node: votes, opens nothing, leads last.
    pub fn off_site(name: &str) -> Self {
        Self { medium: "hdd".to_owned(), engine: Engine::Sled, keyed: false, prefer_leader: false, ..Self::unit(name) }
    }
}

/// Where a node listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// For programs.
    pub public: SocketAddr,
    /// For operators.
    pub admin: SocketAddr,
    /// For nodes.
    pub peer: SocketAddr,
    /// For Prometheus.
    pub metrics: SocketAddr,
    /// Where other nodes call it: `peer`, or a relay that stands before it.
    pub called_at: SocketAddr,
}

/// Four free ports on 127.0.0.1 for each of `count` nodes, and none of `taken`, whose nodes may not run. They are held until all are
/// found, and free again afterwards: whoever is quicker than the node's start takes one, and the node says so.
pub(super) fn pick_endpoints(count: usize, taken: &[u16]) -> Result<Vec<Endpoints>, Error> {
    let mut seed = [0; 2];
    getrandom::fill(&mut seed).map_err(Error::Randomness)?;
    let span = PORTS.end - PORTS.start;
    let start = u16::from_le_bytes(seed) % span;
    let mut held = Vec::new();
    for step in 0..span {
        if held.len() == count * 4 {
            break;
        }
        let port = PORTS.start + (start + step) % span;
        if taken.contains(&port) {
            continue;
        }
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push((port, listener));
        }
    }
    let ports: Vec<u16> = held.iter().map(|(port, _)| *port).collect();
    if ports.len() < count * 4 {
        return Err(Error::NoPorts);
    }
    let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let four = |four: &[u16]| Endpoints {
        public: at(four[0]),
        admin: at(four[1]),
        peer: at(four[2]),
        metrics: at(four[3]),
        called_at: at(four[2]),
    };
    Ok(ports.chunks_exact(4).map(four).collect())
}

/// Where a node's files are.
#[derive(Clone, Debug)]
pub(super) struct NodeFiles {
    pub(super) directory: PathBuf,
    pub(super) config: PathBuf,
    pub(super) tls: PathBuf,
    pub(super) keys: PathBuf,
    pub(super) data: PathBuf,
    pub(super) log: PathBuf,
    pub(super) token: PathBuf,
}

impl NodeFiles {
    pub(super) fn of(network: &Path, name: &str) -> Self {
        let directory = network.join("nodes").join(name);
        Self {
            config: directory.join("config.toml"),
            tls: directory.join("tls"),
            keys: directory.join("keys"),
            data: directory.join("data"),
            log: directory.join("node.log"),
            token: directory.join("token"),
            directory,
        }
    }

    /// Makes the directories, the keys and the configuration. The data directory is the node's own to make.
    pub(super) fn write(&self, spec: &NodeSpec, endpoints: &Endpoints, timers: Timers) -> Result<(), Error> {
        for directory in [&self.tls, &self.keys] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(Error::file("make", directory))?;
        }
        let storage = self.keys.join("storage.key");
        write_key(&storage)?;
        let root = self.keys.join("root.key");
        if spec.keyed {
            write_key(&root)?;
        }
        let config = Config {
            node: NodeSection {
                data_dir: &self.data,
                name: &spec.name,
                site: &spec.site,
                country: "BR",
                medium: &spec.medium,
                peer_address: endpoints.called_at,
            },
            listen: ListenSection {
                public: endpoints.public,
                admin: endpoints.admin,
                peer: endpoints.peer,
                metrics: endpoints.metrics,
            },
            tls: TlsSection {
                certificate: self.tls.join("node.crt"),
                key: self.tls.join("node.key"),
                roots: self.tls.join("ca.crt"),
            },
            slots: SlotsSection {
                storage: KeyFile { key_file: storage },
                root: spec.keyed.then_some(KeyFile { key_file: root }),
            },
            storage: StorageSection { engine: spec.engine },
            raft: RaftSection { timers, prefer_leader: spec.prefer_leader },
        };
        let text = toml::to_string(&config).map_err(|_| Error::PathNotText { path: self.directory.clone() })?;
        write_private(&self.config, text.as_bytes())
    }
}

#[derive(Serialize)]
struct Config<'a> {
    node: NodeSection<'a>,
    listen: ListenSection,
    tls: TlsSection,
    slots: SlotsSection,
    storage: StorageSection,
    raft: RaftSection,
}

#[derive(Serialize)]
struct NodeSection<'a> {
    data_dir: &'a Path,
    name: &'a str,
    site: &'a str,
    country: &'a str,
    medium: &'a str,
    peer_address: SocketAddr,
}

#[derive(Serialize)]
struct ListenSection {
    public: SocketAddr,
    admin: SocketAddr,
    peer: SocketAddr,
    metrics: SocketAddr,
}

#[derive(Serialize)]
struct TlsSection {
    certificate: PathBuf,
    key: PathBuf,
    roots: PathBuf,
}

#[derive(Serialize)]
struct SlotsSection {
    storage: KeyFile,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<KeyFile>,
}

#[derive(Serialize)]
struct KeyFile {
    key_file: PathBuf,
}

#[derive(Serialize)]
struct StorageSection {
    engine: Engine,
}

#[derive(Serialize)]
struct RaftSection {
    timers: Timers,
    prefer_leader: bool,
}

fn write_key(path: &Path) -> Result<(), Error> {
    let mut key = Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *key).map_err(Error::Randomness)?;
    write_private(path, &*key)
}

/// A new file that only the owner reads.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(Error::file("write", path))
}

/// `network.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) cluster: String,
    pub(super) timers: Timers,
    pub(super) nodes: Vec<DescribedNode>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DescribedNode {
    pub(super) spec: NodeSpec,
    pub(super) id: u64,
    pub(super) endpoints: Endpoints,
}

impl Description {
    pub(super) fn path(network: &Path) -> PathBuf {
        network.join("network.json")
    }

    pub(super) fn read(network: &Path) -> Result<Self, Error> {
        let path = Self::path(network);
        let metadata = fs::metadata(&path).map_err(|_| Error::NotANetwork { path: network.to_owned() })?;
        if metadata.len() > DESCRIPTION_BYTES_MAX {
            return Err(Error::NotANetwork { path: network.to_owned() });
        }
        let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
        let description: Self = serde_json::from_slice(&bytes).map_err(|source| Error::Description { path, source })?;
        // Names become paths: a file that was tampered with must not lead out of the directory.
        let plain = |node: &DescribedNode| node.spec.name.parse::<plantao_client::identity::Slug>().is_ok();
        if description.nodes.iter().all(plain) {
            Ok(description)
        } else {
            Err(Error::NotANetwork { path: network.to_owned() })
        }
    }

    pub(super) fn write(&self, network: &Path) -> Result<(), Error> {
        let path = Self::path(network);
        let bytes =
            serde_json::to_vec_pretty(self).map_err(|source| Error::Description { path: path.clone(), source })?;
        let temporary = network.join("network.json.new");
        write_private(&temporary, &bytes)?;
        fs::rename(&temporary, &path).map_err(Error::file("write", &path))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn endpoints() -> Endpoints {
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Endpoints { public: at(1), admin: at(2), peer: at(3), metrics: at(4), called_at: at(5) }
    }

    #[test]
    fn ports_differ_and_lie_below_those_of_outgoing_connections() {
        let picked = pick_endpoints(3, &[]).unwrap();
        let mut all: Vec<u16> =
            picked.iter().flat_map(|at| [at.public, at.admin, at.peer, at.metrics]).map(|at| at.port()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 12);
        assert!(all.iter().all(|port| PORTS.contains(port)));
        // Nobody listens on these, and still they are somebody's.
        let taken: Vec<u16> = PORTS.collect();
        assert!(matches!(pick_endpoints(1, &taken), Err(Error::NoPorts)));
    }

    #[test]
    fn keys_are_private_and_an_off_site_node_gets_no_root_slot() {
        let dir = tempfile::tempdir().unwrap();
        for (spec, root) in [(NodeSpec::unit("centro"), true), (NodeSpec::off_site("cofre"), false)] {
            let files = NodeFiles::of(dir.path(), &spec.name);
            files.write(&spec, &endpoints(), Timers::Lan).unwrap();
            let text = fs::read_to_string(&files.config).unwrap();
            assert!(text.contains("timers = \"lan\"") && text.contains("peer_address = \"127.0.0.1:5\""), "{text}");
            assert_eq!(text.contains("root.key"), root, "{text}");
            assert_eq!(files.keys.join("root.key").exists(), root);
            let key = fs::metadata(files.keys.join("storage.key")).unwrap();
            assert_eq!((key.len(), key.permissions().mode() & 0o777), (32, 0o600));
            assert!(!files.data.exists());
        }
    }

    #[test]
    fn a_description_is_read_back_and_a_name_that_leads_elsewhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Description::read(dir.path()), Err(Error::NotANetwork { .. })));
        for (name, good) in [("centro", true), ("../x", false)] {
            let node = DescribedNode { spec: NodeSpec::unit(name), id: 1, endpoints: endpoints() };
            let description = Description { cluster: "demo".to_owned(), timers: Timers::Wan, nodes: vec![node] };
            description.write(dir.path()).unwrap();
            let read = Description::read(dir.path());
            assert_eq!(read.is_ok_and(|read| read.nodes[0].id == 1 && read.nodes[0].endpoints == endpoints()), good);
        }
    }
}
