//! Real nodes: a [`LocalNetwork`] whose connections between nodes pass relays, with clients of every identity, and with
//! panics where a test cannot go on.

use crate::links::{Links, Relay, address};
use crate::wait::{PATIENCE, until};
use plantao_client::config::Context;
use plantao_client::connect::ConnectOptions;
use plantao_client::pki::{Authority, Request};
use plantao_client::{AdminNode, Cluster};
use plantao_node::local_network::{Endpoints, Error, LocalNetwork, NetworkOptions, Node, NodeDigest, NodeSpec, Timers};
use plantao_proto::admin::v1::GetStatusResponse;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Next address: each node of this process has its own.
static NEXT: AtomicU8 = AtomicU8::new(1);

/// The network's name: the trust domain of its certificates.
pub const CLUSTER: &str = "rede-teste";

/// 32 random bytes that only their owner reads.
pub fn write_key(path: &Path) {
    let mut key = [0; 32];
    getrandom::fill(&mut key).unwrap();
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap().write_all(&key).unwrap();
}

/// A network of its own.
pub struct Network {
    local: LocalNetwork,
    program: PathBuf,
    authority: Authority,
    links: Arc<Links>,
    /// Last, so that the processes are gone before their files.
    directory: tempfile::TempDir,
}

impl Drop for Network {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in self.local.nodes() {
                let log = self.log(node.name());
                let tail: Vec<&str> = log.lines().rev().take(15).collect();
                eprintln_lines(node.name(), tail.into_iter().rev());
            }
        }
    }
}

#[allow(clippy::print_stderr, reason = "what a failed test leaves to its reader")]
fn eprintln_lines<'a>(name: &str, lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        eprintln!("{name}: {line}");
    }
}

impl Network {
    /// Makes and starts a network: the first is its first node. `settings` are lines as `--set` takes them, for each.
    pub async fn start(program: &str, nodes: Vec<NodeSpec>, settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings.iter().copied().chain(["tls.reload_interval=500ms"]);
        let options = NetworkOptions {
            program: program.into(),
            cluster: CLUSTER.parse().unwrap(),
            timers: Timers::Wan,
            nodes: Vec::new(),
            settings: settings.map(ToString::to_string).collect(),
        };
        let local = LocalNetwork::begin(&directory.path().join("network"), &options).unwrap();
        let authority = local.authority().unwrap();
        let mut network = Self { local, program: program.into(), authority, links: Arc::default(), directory };
        for node in nodes {
            network.add(node).await;
        }
        network
    }

    /// Adds a node as an operator does, starts it, and waits until it is what it is to be.
    pub async fn add(&mut self, node: NodeSpec) {
        let name = node.name.clone();
        let at = self.prepare(node);
        self.local.admit(at).await.unwrap_or_else(|error| panic!("{name} is not admitted: {error}"));
        self.run_node(&name).await;
        self.local.settle().await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// A directory with configuration and keys for a node that is not a member yet; gives its position.
    pub fn prepare(&mut self, node: NodeSpec) -> usize {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(nth < 250, "no address is left");
        let endpoints = Endpoints {
            public: address(nth, 7400),
            admin: address(nth, 7401),
            peer: address(nth, 7402),
            metrics: address(nth, 7403),
            called_at: address(nth, 7412),
        };
        Relay::start(&self.links, &node.name, endpoints.called_at, endpoints.peer);
        self.local.prepare(node, endpoints).unwrap()
    }

    /// Runs `join` for a prepared node with a token; gives what it said.
    ///
    /// # Errors
    /// What it said instead.
    pub async fn join(&mut self, at: usize, token: &str) -> Result<Vec<String>, Error> {
        self.local.join(at, token).await
    }

    /// A token for one node, from an operator.
    pub async fn token(&self, keyed: bool) -> String {
        until("a join token", || self.local.token(keyed, true)).await
    }

    /// A prepared node was joined by other hands under this number.
    pub fn joined(&mut self, name: &str, id: u64) {
        let at = self.position(name);
        self.local.joined(at, id).unwrap();
    }

    /// Runs a command of the daemon on a node's configuration, to its end.
    pub fn run(&self, command: &str, node: &Node, arguments: &[&str]) -> Output {
        let mut all = vec![command, "--config", node.config().to_str().unwrap()];
        all.extend(arguments);
        self.daemon(&all)
    }

    /// Runs the daemon with these arguments, to its end; one that does not end by itself is ended after [`PATIENCE`].
    pub fn daemon(&self, arguments: &[&str]) -> Output {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.wait_with_output().unwrap()
    }

    /// Starts a node's process and waits until it says that it is ready.
    pub async fn run_node(&mut self, name: &str) {
        let at = self.position(name);
        assert_eq!(self.local.nodes()[at].pid(), None, "{name} runs already");
        self.local.spawn(at).unwrap();
        // Before it is ready: its first connections to others are made by then.
        self.links.is(name, self.local.nodes()[at].pid().unwrap());
        self.local.ready(at).await.unwrap_or_else(|error| panic!("{name} is not ready: {error}"));
    }

    /// Words before the program of a node, as `env NAME=VALUE`, from its next start on; they have to become the program.
    pub fn start_through(&mut self, name: &str, words: &[&str]) {
        let at = self.position(name);
        self.local.start_through(at, words.iter().map(ToString::to_string).collect()).unwrap();
    }

    /// Sends SIGTERM and waits for the end, which must be a good one.
    pub async fn stop(&mut self, name: &str) {
        let at = self.position(name);
        assert!(self.local.nodes()[at].pid().is_some(), "{name} does not run");
        self.local.stop(at).await.unwrap_or_else(|error| panic!("{name} does not end well: {error}"));
    }

    /// Kills a node as a power cut does.
    pub async fn kill(&mut self, name: &str) {
        let at = self.position(name);
        assert!(self.local.nodes()[at].pid().is_some(), "{name} does not run");
        self.local.kill(at).await.unwrap();
    }

    /// Kills all nodes at one moment.
    pub async fn kill_all(&mut self) {
        self.local.kill_all().await.unwrap();
    }

    /// Whether the process of this node, which ran when it was last looked at, ended by itself since.
    pub fn fell(&mut self, name: &str) -> bool {
        let at = self.position(name);
        self.local.fallen().contains(&at)
    }

    fn position(&self, name: &str) -> usize {
        self.local.nodes().iter().position(|node| node.name() == name).expect("a node of this name")
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> &Node {
        &self.local.nodes()[self.position(name)]
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        self.local.nodes()
    }

    /// What a node logged so far.
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.node(name).log()).unwrap_or_default()
    }

    /// The links between the nodes.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// The authority.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Where all of it is.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The file with the roots of trust.
    pub fn roots(&self) -> PathBuf {
        self.local.context("operador").ca
    }

    /// The file with the paper passphrase.
    pub fn recovery(&self) -> PathBuf {
        self.local.recovery_file()
    }

    /// Issues a certificate for `spiffe://CLUSTER/<path>` as `<name>.crt` and `<name>.key` in `into`.
    pub fn issue(&self, path: &str, into: &Path, name: &str) -> (PathBuf, PathBuf) {
        let identity = format!("spiffe://{CLUSTER}/{path}").parse().unwrap();
        let request = Request { identity, names: Vec::new(), lifetime: None };
        let issued = self.authority.issue(&request, into, &name.parse().unwrap(), SystemTime::now()).unwrap();
        (issued.certificate, issued.key)
    }

    /// Certificate and key of a person or program `unit/kind/name`, issued when first asked for.
    pub fn credentials(&self, who: &str) -> (PathBuf, PathBuf) {
        let (into, name) = (self.directory.path().join("people"), who.replace('/', "-"));
        let (certificate, key) = (into.join(format!("{name}.crt")), into.join(format!("{name}.key")));
        if !certificate.exists() {
            self.issue(&format!("unit/{who}"), &into, &name);
        }
        (certificate, key)
    }

    /// A client that is `who` (`unit/kind/name`) and uses the public planes of `nodes`, in this order.
    pub fn client(&self, who: &str, nodes: &[&str]) -> Cluster {
        let (cert, key) = self.credentials(who);
        let context = Context {
            cluster: CLUSTER.to_owned(),
            label: String::new(),
            endpoints: nodes.iter().map(|name| self.node(name).public()).collect(),
            admin_endpoints: nodes.iter().map(|name| self.node(name).admin()).collect(),
            ca: self.roots(),
            cert,
            key,
            admin_cert: None,
            admin_key: None,
        };
        let mut options = ConnectOptions::default();
        options.retry.read_deadline = PATIENCE;
        Cluster::open(&context, &options).unwrap()
    }

    /// A node's admin plane, for an operator.
    pub fn admin(&self, name: &str) -> AdminNode {
        self.client("rede/operator/plantao", &[name]).admin_nodes()[0].clone()
    }

    /// What a node that runs says of itself; asked again while the machine is too busy for an answer.
    ///
    /// # Errors
    /// What it said instead.
    pub async fn status(&self, name: &str) -> Result<GetStatusResponse, plantao_client::Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.admin(name).get_status().await {
                Err(plantao_client::Error::Unavailable(_)) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                answer => return answer,
            }
        }
    }

    /// The name of the node that leads, once one does and the others follow.
    pub async fn leader(&self) -> String {
        let at = self.local.leader().await.unwrap_or_else(|error| panic!("{error}"));
        self.local.nodes()[at].name().to_owned()
    }

    /// Waits until all running nodes have applied the same entries and gives their digest, which must then be one.
    pub async fn digests_agree(&self) -> NodeDigest {
        let digests = self.local.digests().await.unwrap_or_else(|error| panic!("{error}"));
        let first = digests.first().expect("a node runs").clone();
        for digest in &digests {
            assert_eq!(digest.content, first.content, "content at {}", first.applied_index);
            assert_eq!(digest.chain, first.chain, "chain at {}", first.applied_index);
            assert_eq!(digest.rows, first.rows, "rows at {}", first.applied_index);
        }
        first
    }
}

/// What a command said.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
