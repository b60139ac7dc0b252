//! Real nodes: processes of the daemon, made as an operator makes them, with `init`, a token and `join`.

use crate::links::{Links, Relay, address};
use crate::wait::{PATIENCE, until};
use plantao_client::config::Context;
use plantao_client::connect::ConnectOptions;
use plantao_client::pki::{Authority, Request};
use plantao_client::{AdminNode, Cluster};
use plantao_proto::admin::v1::{CreateJoinTokenRequest, GetDigestResponse, GetStatusResponse, NodeRole};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Next address: each node of this process has its own.
static NEXT: AtomicU8 = AtomicU8::new(1);

/// The network's name: the trust domain of its certificates.
pub const CLUSTER: &str = "rede-teste";

/// What a node is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name and its site.
    pub name: &'static str,
    /// `fjall` or `sled`.
    pub engine: &'static str,
    /// A unit's node, with a root slot.
    pub keyed: bool,
    /// More lines of configuration, as `--set` takes them.
    pub settings: Vec<String>,
}

impl Plan {
    /// A unit's node.
    pub fn unit(name: &'static str) -> Self {
        Self { name, engine: "fjall", keyed: true, settings: Vec::new() }
    }

    /// The off-site node.
    pub fn off_site(name: &'static str) -> Self {
        Self { name, engine: "sled", keyed: false, settings: Vec::new() }
    }
}

/// One node, running or not.
pub struct Node {
    /// What it is to be.
    pub plan: Plan,
    /// Its Raft number.
    pub number: u64,
    directory: PathBuf,
    nth: u8,
    process: Option<Child>,
}

impl Node {
    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Everything of it: configuration, keys, data, logs.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.join("plantaod.toml")
    }

    /// Where its log lines go.
    pub fn log_file(&self) -> PathBuf {
        self.directory.join("log.ndjson")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// `host:port` of its public plane.
    pub fn public(&self) -> String {
        address(self.nth, 7400).to_string()
    }

    /// `host:port` of its admin plane.
    pub fn admin(&self) -> String {
        address(self.nth, 7401).to_string()
    }

    /// `host:port` of its peer plane itself, past the relay.
    pub fn peer(&self) -> String {
        address(self.nth, 7402).to_string()
    }

    /// `host:port` of its metrics.
    pub fn metrics(&self) -> String {
        address(self.nth, 7403).to_string()
    }

    /// `host:port` under which other nodes reach it.
    pub fn relay(&self) -> String {
        address(self.nth, 7412).to_string()
    }

    /// Whether its process runs.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_none())
    }

    fn write_config(&self, roots: &Path) {
        let (at, name) = (|file: &str| self.directory.join(file).display().to_string(), self.plan.name);
        let medium = if self.plan.keyed { "ssd" } else { "hdd" };
        let mut text = format!(
            "[node]\ndata_dir = \"{}\"\nname = \"{name}\"\nsite = \"{name}\"\nmedium = \"{medium}\"\n\
             peer_address = \"{}\"\n[listen]\npublic = \"{}\"\nadmin = \"{}\"\npeer = \"{}\"\nmetrics = \"{}\"\n\
             [tls]\ncertificate = \"{}\"\nkey = \"{}\"\nroots = \"{}\"\nreload_interval = \"500ms\"\n\
             [storage]\nengine = \"{}\"\n[raft]\ntimers = \"wan\"\n[slots]\nstorage = {{ key_file = \"{}\" }}\n",
            at("data"),
            self.relay(),
            self.public(),
            self.admin(),
            self.peer(),
            self.metrics(),
            at("node.crt"),
            at("node.key"),
            roots.display(),
            self.plan.engine,
            at("storage.key"),
        );
        if self.plan.keyed {
            text += &format!("root = {{ key_file = \"{}\" }}\n", at("root.key"));
        }
        fs::write(self.config(), text).unwrap();
    }
}

/// 32 random bytes that only their owner reads.
pub fn write_key(path: &Path) {
    let mut key = [0; 32];
    getrandom::fill(&mut key).unwrap();
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap().write_all(&key).unwrap();
}

/// A network of its own.
pub struct Network {
    directory: tempfile::TempDir,
    program: PathBuf,
    authority: Authority,
    nodes: Vec<Node>,
    links: Arc<Links>,
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut process) = node.process.take() {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
        if std::thread::panicking() {
            for node in &self.nodes {
                let log = node.log();
                let tail: Vec<&str> = log.lines().rev().take(15).collect();
                eprintln_lines(node.plan.name, tail.into_iter().rev());
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
    /// Makes and starts a network: the first plan is its first node.
    pub async fn start(program: &str, plans: Vec<Plan>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cluster = CLUSTER.parse().unwrap();
        let authority = Authority::create(&cluster, &directory.path().join("ca"), SystemTime::now()).unwrap();
        let mut network =
            Self { directory, program: program.into(), authority, nodes: Vec::new(), links: Arc::default() };
        for plan in plans {
            network.add(plan).await;
        }
        network.all_vote().await;
        network
    }

    /// Adds a node as an operator does, and starts it.
    pub async fn add(&mut self, plan: Plan) {
        let (first, name) = (self.nodes.is_empty(), plan.name);
        let mut node = self.prepare(plan);
        if first {
            self.issue("node/1", node.directory(), "node");
            let made =
                self.run("init", &node, &["--cluster", CLUSTER, "--recovery-file", self.recovery().to_str().unwrap()]);
            assert!(made.status.success(), "init: {}", text(&made));
            node.number = 1;
        } else {
            let token = self.token(node.plan.keyed).await;
            let made = self.join(&node, &token);
            assert!(made.status.success(), "join of {name}: {}", text(&made));
            let said = String::from_utf8(made.stdout).unwrap();
            node.number = said.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("node N");
            self.issue(&format!("node/{}", node.number), node.directory(), "node");
        }
        self.nodes.push(node);
        self.run_node(name);
    }

    /// A directory with configuration and keys for a node that is not a member yet.
    pub fn prepare(&self, plan: Plan) -> Node {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(nth < 250, "no address is left");
        let directory = self.directory.path().join(plan.name);
        fs::create_dir(&directory).unwrap();
        let node = Node { plan, number: 0, directory, nth, process: None };
        write_key(&node.directory.join("storage.key"));
        if node.plan.keyed {
            write_key(&node.directory.join("root.key"));
        }
        node.write_config(&self.directory.path().join("ca/ca.crt"));
        Relay::start(&self.links, node.plan.name, address(nth, 7412), address(nth, 7402));
        node
    }

    /// Runs `join` for a prepared node with a token.
    pub fn join(&self, node: &Node, token: &str) -> Output {
        let name = node.plan.name;
        let (certificate, key) = self.issue(&format!("node/new/{name}"), node.directory(), "joining");
        let file = node.directory.join("token");
        let _ = fs::remove_file(&file);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .unwrap()
            .write_all(token.as_bytes())
            .unwrap();
        let arguments = [
            "--peer",
            &self.nodes[0].relay(),
            "--token-file",
            file.to_str().unwrap(),
            "--certificate",
            certificate.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
        ];
        self.run("join", node, &arguments)
    }

    /// A token for one node, from an operator.
    pub async fn token(&self, keyed: bool) -> String {
        let admin = self.admin(self.nodes[0].plan.name);
        let request = CreateJoinTokenRequest { keyed, voter: true, lifetime_ms: 0 };
        until("a join token", || admin.create_join_token(request)).await.token
    }

    /// Runs a command of the daemon on a node's configuration, to its end.
    pub fn run(&self, command: &str, node: &Node, arguments: &[&str]) -> Output {
        let config = node.config();
        let mut all = vec![command, "--config", config.to_str().unwrap()];
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
    pub fn run_node(&mut self, name: &str) {
        let program = self.program.clone();
        let links = Arc::clone(&self.links);
        let node = self.node_mut(name);
        assert!(!node.runs(), "{name} runs already");
        let ready = node.directory.join("ready");
        let log = OpenOptions::new().create(true).append(true).open(node.log_file()).unwrap();
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(node.config());
        for setting in &node.plan.settings {
            command.arg("--set").arg(setting);
        }
        let output = fs::File::create(&ready).unwrap();
        let mut process = command.stdin(Stdio::null()).stdout(output).stderr(log).spawn().unwrap();
        links.is(name, process.id());
        let deadline = Instant::now() + PATIENCE;
        while !fs::read_to_string(&ready).unwrap().starts_with("ready ") {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("{name} ended with {status}: {}", node.log().lines().last().unwrap_or_default());
            }
            assert!(Instant::now() < deadline, "{name} is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        node.process = Some(process);
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(&mut self, name: &str) -> ExitStatus {
        let mut process = self.node_mut(name).process.take().expect("it runs");
        let pid = rustix::process::Pid::from_child(&process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = process.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > deadline {
                let _ = process.kill();
                panic!("{name} does not stop");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills a node as a power cut does.
    pub fn kill(&mut self, name: &str) {
        let mut process = self.node_mut(name).process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.plan.name == name).expect("a node of this name")
    }

    /// The same, to change it.
    pub fn node_mut(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.plan.name == name).expect("a node of this name")
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
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

    /// The file with the paper passphrase.
    pub fn recovery(&self) -> PathBuf {
        self.directory.path().join("papel.txt")
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
            ca: self.directory.path().join("ca/ca.crt"),
            cert,
            key,
            admin_cert: None,
            admin_key: None,
        };
        Cluster::open(&context, &ConnectOptions::default()).unwrap()
    }

    /// A node's admin plane, for an operator.
    pub fn admin(&self, name: &str) -> AdminNode {
        self.client("rede/operator/plantao", &[name]).admin_nodes()[0].clone()
    }

    /// What a node says of itself.
    pub async fn status(&self, name: &str) -> Result<GetStatusResponse, plantao_client::Error> {
        self.admin(name).get_status().await
    }

    /// Waits until every node votes and knows the leader.
    pub async fn all_vote(&self) {
        let first = self.admin(self.nodes[0].plan.name);
        let count = self.nodes.len();
        until("every node to vote", || async {
            let status = first.get_status().await.map_err(|error| error.to_string())?;
            let votes = |role| matches!(role, NodeRole::Leader | NodeRole::Voter);
            let voters = status.members.iter().filter(|member| votes(member.role())).count();
            if voters == count && status.leader_id != 0 { Ok(()) } else { Err(format!("{voters} of {count} vote")) }
        })
        .await;
    }

    /// The name of the node that leads, once one does.
    pub async fn leader(&self) -> &'static str {
        until("a leader", || async {
            for node in self.nodes.iter().filter(|node| node.process.is_some()) {
                match self.status(node.plan.name).await {
                    Ok(status) if status.role() == NodeRole::Leader => return Ok(node.plan.name),
                    _ => {}
                }
            }
            Err("no node says that it leads")
        })
        .await
    }

    /// Waits until all running nodes have applied the same entries and gives their digests, which must then be equal.
    pub async fn digests_agree(&self) -> GetDigestResponse {
        let running: Vec<&Node> = self.nodes.iter().filter(|node| node.process.is_some()).collect();
        until("equal digests at one index", || async {
            let mut digests = Vec::new();
            for node in &running {
                let digest = self.admin(node.plan.name).get_digest().await;
                digests.push(digest.map_err(|error| format!("{}: {error}", node.plan.name))?);
            }
            let first = digests.first().cloned().ok_or("no node runs")?;
            let indexes: Vec<u64> = digests.iter().map(|digest| digest.applied_index).collect();
            if indexes.iter().any(|index| *index != first.applied_index) {
                return Err(format!("applied {indexes:?}"));
            }
            for digest in &digests {
                assert_eq!(digest.content, first.content, "content at {}", first.applied_index);
                assert_eq!(digest.chain, first.chain, "chain at {}", first.applied_index);
                assert_eq!(digest.rows, first.rows, "rows at {}", first.applied_index);
            }
            Ok(first)
        })
        .await
    }
}

/// What a command said.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
