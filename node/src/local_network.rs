//! A whole network on one computer: nodes as processes of `plantaod` on loopback, a fresh authority, identities and a
//! context for programs. The demonstration, the tests and the chaos tool start theirs here.
//!
//! ```text
//! DIR/network.json                  what it is made of; written last, so a network without it was never finished
//!     authority/                    root of trust of this network
//!     identities/                   certificates of a program, an operator and an auditor of the whole network
//!     cli/config.toml               contexts for `plantao --config`
//!     recovery.txt                  paper passphrase
//!     nodes/<name>/config.toml  tls/  keys/  data/  node.log
//! ```
//! Everything lies in one directory, keys beside data: this is never how a clinic installs. Nothing here knows what a
//! node does inside: it is started, asked and killed as an operator would.

pub mod checks;
mod error;
mod layout;
pub mod load;
mod membership;
mod node;
mod process;

pub use error::Error;
pub use layout::{Endpoints, Engine, NodeSpec, Timers};
pub use node::Node;
pub use process::{Ready, parse_ready};

use layout::{Description, NodeFiles};
use plantao_client::config::{Context, Contexts};
use plantao_client::identity::Slug;
use plantao_client::{Cluster, ConnectOptions};
use plantao_proto::admin::v1 as admin;
use process::{Program, Running};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a node may take to say that it is ready, to stop, or to join: a slow machine, not a promise.
pub const NODE_TIME_MAX: Duration = Duration::from_secs(120);

/// How long the network may take to agree on something, e.g. that all are voters.
pub const NETWORK_TIME_MAX: Duration = Duration::from_secs(120);

/// Between two looks at a condition that is waited for.
const LOOK_PAUSE: Duration = Duration::from_millis(25);

/// The context that [`LocalNetwork::create`] writes.
pub const CONTEXT: &str = "demo";

/// What to make.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// `plantaod` itself, e.g. [`std::env::current_exe`].
    pub program: PathBuf,
    /// Short name of the cluster.
    pub cluster: Slug,
    /// Raft timers of all nodes.
    pub timers: Timers,
    /// The first is made by `init` and must be keyed; the others join it, in this order.
    pub nodes: Vec<NodeSpec>,
    /// Further `section.key=value` for each `plantaod run`.
    pub settings: Vec<String>,
}

impl NetworkOptions {
    /// Two units, `centro` and `jardins`, and `cofre` off-site, without keys and on another engine.
    pub fn clinic(program: PathBuf, cluster: Slug, timers: Timers) -> Self {
        let nodes = vec![NodeSpec::unit("centro"), NodeSpec::unit("jardins"), NodeSpec::off_site("cofre")];
        Self { program, cluster, timers, nodes, settings: Vec::new() }
    }
}

/// Digests of one node's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeDigest {
    /// Its name.
    pub node: String,
    /// Of its state.
    pub engine: String,
    /// Log index that it has applied.
    pub applied_index: u64,
    /// Over all rows.
    pub content: Vec<u8>,
    /// Over all entries.
    pub chain: Vec<u8>,
    /// How many rows.
    pub rows: u64,
}

/// A network of processes. Dropping it kills those that still run, by their numbers.
#[derive(Debug)]
pub struct LocalNetwork {
    directory: PathBuf,
    program: PathBuf,
    cluster: Slug,
    timers: Timers,
    settings: Vec<String>,
    nodes: Vec<Node>,
}

impl LocalNetwork {
    /// Makes a network in `directory`, which must be absent or empty, and starts it: every node runs and is what its
    /// [`NodeSpec`] says. Blocks for small files.
    ///
    /// # Errors
    /// When anything fails; what was started is killed, what was written stays for a look.
    pub async fn create(directory: &Path, options: &NetworkOptions) -> Result<Self, Error> {
        let mut network = Self::begin(directory, options)?;
        for (spec, endpoints) in options.nodes.iter().zip(layout::pick_endpoints(options.nodes.len(), &[])?) {
            network.prepare(spec.clone(), endpoints)?;
        }
        for at in 0..network.nodes.len() {
            network.admit(at).await?;
            network.start(at).await?;
            network.settle().await?;
        }
        network.publish()?;
        Ok(network)
    }

    /// Opens the network that [`Self::create`] made in `directory`; nothing runs yet.
    ///
    /// # Errors
    /// [`Error::NotANetwork`] when there is none, or none that was finished.
    pub fn open(directory: &Path, program: PathBuf, settings: Vec<String>) -> Result<Self, Error> {
        let directory = fs::canonicalize(directory).map_err(Error::file("find", directory))?;
        let description = Description::read(&directory)?;
        let nodes = description.nodes.into_iter().map(|node| Node {
            files: NodeFiles::of(&directory, &node.spec.name),
            spec: node.spec,
            id: node.id,
            endpoints: node.endpoints,
            through: Vec::new(),
            running: None,
        });
        let nodes = nodes.collect();
        let cluster = description.cluster.parse().map_err(|_| Error::NotANetwork { path: directory.clone() })?;
        Ok(Self { program, cluster, timers: description.timers, settings, nodes, directory })
    }

    /// Whether `directory` holds a finished network.
    pub fn exists(directory: &Path) -> bool {
        Description::path(directory).is_file()
    }

    /// Where it lives.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its nodes, in the order of the options; a position in it is what the methods below take.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The file with the paper passphrase.
    pub fn recovery_file(&self) -> PathBuf {
        self.directory.join("recovery.txt")
    }

    /// The contexts file for `plantao --config`.
    pub fn contexts_file(&self) -> PathBuf {
        self.directory.join("cli").join("config.toml")
    }

    /// Settings for each `plantaod run` from the next start on.
    pub fn set(&mut self, settings: Vec<String>) {
        self.settings = settings;
    }

    /// Words before the program in each command of a node from now on, as `ip netns exec NAME`. They have to become the
    /// program, because signals go to the process that is started.
    pub fn start_through(&mut self, at: usize, words: Vec<String>) -> Result<(), Error> {
        self.node_mut(at)?.through = words;
        Ok(())
    }

    /// A context with an identity of [`Self::issue`], or one that every network has: `sistema`, `operador`,
    /// `auditor`. Only keyed nodes are in `endpoints`, because another takes no content; every node is in `admin_endpoints`.
    pub fn context(&self, identity: &str) -> Context {
        let identities = self.directory.join("identities");
        Context {
            cluster: self.cluster.to_string(),
            label: "demonstração".to_owned(),
            endpoints: self.nodes.iter().filter(|node| node.spec.keyed).map(Node::public).collect(),
            admin_endpoints: self.nodes.iter().map(Node::admin).collect(),
            ca: identities.join("ca.crt"),
            cert: identities.join(format!("{identity}.crt")),
            key: identities.join(format!("{identity}.key")),
            admin_cert: Some(identities.join("operador.crt")),
            admin_key: Some(identities.join("operador.key")),
        }
    }

    /// The network through all keyed nodes, as the program `sistema`, with the operator for the admin plane.
    pub fn connect(&self, options: &ConnectOptions) -> Result<Cluster, Error> {
        Cluster::open(&self.context("sistema"), options).map_err(Error::Open)
    }

    /// Starts a node and waits until it says that it is ready; gives how long that took. One that runs is left alone.
    pub async fn start(&mut self, at: usize) -> Result<Duration, Error> {
        self.spawn(at)?;
        self.ready(at).await
    }

    /// Starts a node's process, and does not wait. One that runs is left alone.
    pub fn spawn(&mut self, at: usize) -> Result<(), Error> {
        let (program, settings) = (self.program_of(at)?, self.settings.clone());
        let node = self.node_mut(at)?;
        // A process that ended by itself must not pass for one that runs.
        if !node.running.as_mut().is_some_and(Running::runs) {
            node.running = Some(Running::spawn(&program, &node.spec.name, &node.files, &settings)?);
        }
        Ok(())
    }

    /// Waits until a node that was just started says that it is ready; gives how long that took since its start.
    ///
    /// # Errors
    /// [`Error::Ended`] or [`Error::TimedOut`]; it does not run then.
    pub async fn ready(&mut self, at: usize) -> Result<Duration, Error> {
        let node = self.node_mut(at)?;
        let Some(running) = &mut node.running else { return Err(Error::NoSuchNode) };
        let ready = running.ready().await;
        if ready.is_err() {
            node.running = None;
        }
        ready
    }

    /// Starts all nodes at once; gives how long each took to be ready, in their order.
    pub async fn start_all(&mut self) -> Result<Vec<Duration>, Error> {
        for at in 0..self.nodes.len() {
            self.spawn(at)?;
        }
        let mut took = Vec::new();
        for at in 0..self.nodes.len() {
            took.push(self.ready(at).await?);
        }
        Ok(took)
    }

    /// Asks a node to stop (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// [`Error::Ended`] when it did not end with 0; [`Error::TimedOut`] when it did not end, and was killed.
    pub async fn stop(&mut self, at: usize) -> Result<(), Error> {
        match self.node_mut(at)?.running.take() {
            Some(running) => running.stop().await,
            None => Ok(()),
        }
    }

    /// Asks all nodes to stop, the last first so that the lead ends on a unit, and waits for each.
    pub async fn stop_all(&mut self) -> Result<(), Error> {
        for at in (0..self.nodes.len()).rev() {
            self.stop(at).await?;
        }
        Ok(())
    }

    /// Kills a node (SIGKILL) and waits for its end.
    pub async fn kill(&mut self, at: usize) -> Result<(), Error> {
        match self.node_mut(at)?.running.take() {
            Some(running) => running.kill().await,
            None => Ok(()),
        }
    }

    /// Kills all nodes before waiting for any, as a loss of power does.
    pub async fn kill_all(&mut self) -> Result<(), Error> {
        let mut dying: Vec<Running> = self.nodes.iter_mut().filter_map(|node| node.running.take()).collect();
        for running in &mut dying {
            running.send_kill()?;
        }
        for running in dying {
            running.kill().await?;
        }
        Ok(())
    }

    /// Positions of nodes whose process ended though nobody here stopped it; they count as stopped from now on.
    pub fn fallen(&mut self) -> Vec<usize> {
        let mut fallen = Vec::new();
        for (at, node) in self.nodes.iter_mut().enumerate() {
            if node.running.as_mut().is_some_and(|running| !running.runs()) {
                node.running = None;
                fallen.push(at);
            }
        }
        fallen
    }

    /// The position of the node with this Raft number.
    pub fn position(&self, id: u64) -> Result<usize, Error> {
        self.nodes.iter().position(|node| node.id == id).ok_or(Error::NoSuchNode)
    }

    /// Waits until a node that runs says that it leads, and as many follow it as are a majority of its voters; gives its
    /// position.
    pub async fn leader(&self) -> Result<usize, Error> {
        let leader = self
            .until("a leader that the others follow", |statuses| {
                let leaders = statuses.iter().filter(|status| status.role() == admin::NodeRole::Leader);
                let leader = leaders.max_by_key(|status| status.term)?;
                let voters: Vec<u64> = leader
                    .members
                    .iter()
                    .filter(|member| member.role() != admin::NodeRole::Learner)
                    .map(|member| member.node_id)
                    .collect();
                let follows = |status: &&admin::GetStatusResponse| {
                    status.leader_id == leader.node_id && voters.contains(&status.node_id)
                };
                (statuses.iter().filter(follows).count() * 2 > voters.len()).then_some(leader.node_id)
            })
            .await?;
        self.position(leader)
    }

    /// Waits until each node that runs follows one leader, is the voter or learner that it is to be, opens content if it
    /// is to, and has applied what was committed when this was first so.
    pub async fn settle(&self) -> Result<(), Error> {
        let running = self.nodes.iter().filter(|node| node.running.is_some()).count();
        let mut goal = None;
        self.until("every node as it should be", |statuses| {
            let leader = statuses.iter().find(|status| status.role() == admin::NodeRole::Leader)?;
            let followed =
                statuses.len() == running && statuses.iter().all(|status| status.leader_id == leader.node_id);
            let as_described = self.nodes.iter().filter(|node| node.id != 0).all(|node| {
                let member = leader.members.iter().find(|member| member.node_id == node.id);
                member.is_some_and(|member| (member.role() == admin::NodeRole::Learner) != node.spec.voter)
            });
            let unsealed = statuses.iter().all(|status| {
                status.unsealed || !self.nodes.iter().any(|node| node.id == status.node_id && node.spec.keyed)
            });
            if !(followed && as_described && unsealed) {
                return None;
            }
            // Under load the leader's index runs ahead for ever.
            let goal = *goal.get_or_insert(leader.committed_index);
            statuses.iter().all(|status| status.applied_index >= goal).then_some(())
        })
        .await
    }

    /// How many entries each node that answers, by its name, is behind what is committed: asked of all at once, so under load it
    /// is right within what is committed during one answer.
    pub async fn behind(&self) -> Result<BTreeMap<String, u64>, Error> {
        self.until("the index of each node", |statuses| {
            let committed = statuses.iter().map(|status| status.committed_index).max()?;
            let named = statuses.iter().filter_map(|status| {
                let node = self.nodes.iter().find(|node| node.id == status.node_id)?;
                Some((node.spec.name.clone(), committed.saturating_sub(status.applied_index)))
            });
            Some(named.collect())
        })
        .await
    }

    /// Waits until all nodes that run have applied the same index, and gives their digests there.
    pub async fn digests(&self) -> Result<Vec<NodeDigest>, Error> {
        let cluster = self.admins(|node| node.running.is_some())?;
        let deadline = Instant::now() + NETWORK_TIME_MAX;
        loop {
            let asked = cluster.admin_nodes().iter().map(plantao_client::AdminNode::get_digest);
            let digests: Vec<_> =
                futures_util::future::join_all(asked).await.into_iter().filter_map(Result::ok).collect();
            let first = digests.first().map(|digest| digest.applied_index);
            if digests.len() == cluster.admin_nodes().len()
                && digests.iter().all(|digest| Some(digest.applied_index) == first)
            {
                let named = digests.into_iter().map(|digest| {
                    let node = self.nodes.iter().find(|node| node.id == digest.node_id).ok_or(Error::NoSuchNode)?;
                    Ok(NodeDigest {
                        node: node.spec.name.clone(),
                        engine: digest.engine,
                        applied_index: digest.applied_index,
                        content: digest.content.to_vec(),
                        chain: digest.chain.to_vec(),
                        rows: digest.rows,
                    })
                });
                return named.collect();
            }
            pause_until(deadline, "digests at one index").await?;
        }
    }

    fn node_mut(&mut self, at: usize) -> Result<&mut Node, Error> {
        self.nodes.get_mut(at).ok_or(Error::NoSuchNode)
    }

    fn program_of(&self, at: usize) -> Result<Program, Error> {
        let node = self.nodes.get(at).ok_or(Error::NoSuchNode)?;
        Ok(Program { path: self.program.clone(), through: node.through.clone() })
    }

    /// A cluster of which only the admin plane is used, of the nodes that `which` names.
    fn admins(&self, which: impl Fn(&Node) -> bool) -> Result<Cluster, Error> {
        let mut context = self.context("operador");
        context.admin_endpoints = self.nodes.iter().filter(|node| which(node)).map(Node::admin).collect();
        let mut options = ConnectOptions::default();
        options.retry.attempt_timeout = Duration::from_secs(2);
        Cluster::open(&context, &options).map_err(Error::Open)
    }

    async fn until<T>(
        &self,
        what: &str,
        mut condition: impl FnMut(&[admin::GetStatusResponse]) -> Option<T>,
    ) -> Result<T, Error> {
        let cluster = self.admins(|node| node.running.is_some())?;
        let deadline = Instant::now() + NETWORK_TIME_MAX;
        loop {
            let asked = cluster.admin_nodes().iter().map(plantao_client::AdminNode::get_status);
            let statuses: Vec<_> =
                futures_util::future::join_all(asked).await.into_iter().filter_map(Result::ok).collect();
            if let Some(found) = condition(&statuses) {
                return Ok(found);
            }
            pause_until(deadline, what).await?;
        }
    }

    /// Writes down which nodes there are, for [`Self::open`] and for the tool's contexts; [`Self::create`] has done so.
    pub fn publish(&self) -> Result<(), Error> {
        self.write_contexts()?;
        self.describe()
    }

    fn write_contexts(&self) -> Result<(), Error> {
        let mut contexts = Contexts { current: Some(CONTEXT.to_owned()), ..Contexts::default() };
        contexts.contexts.insert(CONTEXT.to_owned(), self.context("sistema"));
        contexts.contexts.insert(format!("{CONTEXT}-auditoria"), self.context("auditor"));
        contexts.save(&self.contexts_file()).map_err(Error::Contexts)
    }

    fn describe(&self) -> Result<(), Error> {
        let nodes = self.nodes.iter().map(|node| layout::DescribedNode {
            spec: node.spec.clone(),
            id: node.id,
            endpoints: node.endpoints,
        });
        Description { cluster: self.cluster.to_string(), timers: self.timers, nodes: nodes.collect() }
            .write(&self.directory)
    }
}

/// Waits a little, or ends the wait.
async fn pause_until(deadline: Instant, what: &str) -> Result<(), Error> {
    if Instant::now() >= deadline {
        return Err(Error::TimedOut { what: what.to_owned(), waited: NETWORK_TIME_MAX });
    }
    tokio::time::sleep(LOOK_PAUSE).await;
    Ok(())
}
