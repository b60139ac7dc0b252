//! How nodes become members, as an operator does it: an authority and identities, `init` for the first node, tokens and `join`
//! for the others.

use super::layout::{self, Endpoints, NodeFiles, NodeSpec};
use super::node::Node;
use super::{Error, LocalNetwork, NETWORK_TIME_MAX, NetworkOptions, pause_until, process};
use plantao_client::identity::{Identity, Kind, Scope, Slug};
use plantao_client::pki::{self, Authority, SubjectName};
use plantao_proto::admin::v1 as admin;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

impl LocalNetwork {
    /// Makes a network without nodes in `directory`, which must be absent or empty: an authority and identities. What
    /// [`Self::create`] does at once follows step by step with [`Self::prepare`], [`Self::admit`] and [`Self::start`].
    pub fn begin(directory: &Path, options: &NetworkOptions) -> Result<Self, Error> {
        let directory = prepare(directory)?;
        let authority =
            Authority::create(&options.cluster, &directory.join("authority"), SystemTime::now()).map_err(Error::Pki)?;
        let network = Self {
            program: options.program.clone(),
            cluster: options.cluster.clone(),
            timers: options.timers,
            settings: options.settings.clone(),
            nodes: Vec::new(),
            directory,
        };
        network.issue_identities(&authority)?;
        Ok(network)
    }

    /// Makes the directory, the keys and the configuration of a node that is no member yet; gives its position.
    pub fn prepare(&mut self, spec: NodeSpec, endpoints: Endpoints) -> Result<usize, Error> {
        let files = NodeFiles::of(&self.directory, &spec.name);
        files.write(&spec, &endpoints, self.timers)?;
        self.nodes.push(Node { spec, id: 0, endpoints, files, through: Vec::new(), running: None });
        Ok(self.nodes.len() - 1)
    }

    /// As [`Self::prepare`], on free ports of 127.0.0.1.
    pub fn place(&mut self, spec: NodeSpec) -> Result<usize, Error> {
        let of = |at: &Endpoints| [at.public, at.admin, at.peer, at.metrics, at.called_at];
        let taken: Vec<u16> = self.nodes.iter().flat_map(|node| of(&node.endpoints)).map(|at| at.port()).collect();
        let endpoints = layout::pick_endpoints(1, &taken)?.pop().ok_or(Error::NoPorts)?;
        self.prepare(spec, endpoints)
    }

    /// Makes a prepared node a member, as an operator does: the first with `init`, any other with a token and `join`.
    /// It has its certificate then, and is not started.
    pub async fn admit(&mut self, at: usize) -> Result<(), Error> {
        if at == 0 {
            return self.found().await;
        }
        let NodeSpec { keyed, voter, .. } = self.node_mut(at)?.spec;
        let deadline = Instant::now() + NETWORK_TIME_MAX;
        let token = loop {
            match self.token(keyed, voter).await {
                // The network is busy, or elects: a token that nobody has seen expires.
                Err(Error::Call(plantao_client::Error::Unavailable(_))) => {
                    pause_until(deadline, "a join token").await?;
                }
                answer => break answer?,
            }
        };
        self.join(at, &token).await.map(drop)
    }

    /// Issues a further certificate into `identities/<file>.{crt,key}`, for [`Self::context`].
    pub fn issue(&self, file: &str, unit: Scope, kind: Kind) -> Result<(), Error> {
        self.issue_identity(&self.authority()?, file, unit, kind)
    }

    async fn found(&mut self) -> Result<(), Error> {
        let recovery = self.recovery_file();
        self.issue_node(0, Identity::Node { cluster: self.cluster.clone(), id: 1 }, "node")?;
        let (cluster, recovery) = (self.cluster.to_string(), text(&recovery)?.to_owned());
        let arguments = ["--cluster", &cluster, "--recovery-file", &recovery];
        let program = self.program_of(0)?;
        let node = self.node_mut(0)?;
        process::run_once(&program, &node.spec.name, &node.files, "init", &arguments).await?;
        node.id = 1;
        Ok(())
    }

    /// A token for one node, from an operator; the first node must run.
    pub async fn token(&self, keyed: bool, voter: bool) -> Result<String, Error> {
        let cluster = self.admins(|node| node.id == 1)?;
        let admin = cluster.admin_nodes().first().ok_or(Error::NoSuchNode)?;
        let request = admin::CreateJoinTokenRequest { keyed, voter, lifetime_ms: 0 };
        Ok(admin.create_join_token(request).await.map_err(Error::Call)?.token)
    }

    /// Spends a token for a prepared node and issues its certificate; gives what `join` said.
    ///
    /// # Errors
    /// [`Error::Ended`] when the network refuses; the node stays prepared.
    pub async fn join(&mut self, at: usize, token: &str) -> Result<Vec<String>, Error> {
        let name: Slug = self.node_mut(at)?.spec.name.parse().map_err(|_| Error::NoSuchNode)?;
        self.issue_node(at, Identity::NewNode { cluster: self.cluster.clone(), name }, "new")?;
        // Whoever comes back under its old place is not there to let itself in.
        let mut others = self.nodes.iter().enumerate().filter(|(other, node)| *other != at && node.running.is_some());
        let peer = others.next().ok_or(Error::NoSuchNode)?.1.endpoints.called_at.to_string();
        let program = self.program_of(at)?;
        let node = &mut self.nodes[at];
        layout::write_private(&node.files.token, token.as_bytes())?;
        let new = |extension| node.files.tls.join(format!("new.{extension}"));
        let (certificate, key) = (new("crt"), new("key"));
        let arguments = [
            "--peer",
            &peer,
            "--token-file",
            text(&node.files.token)?,
            "--certificate",
            text(&certificate)?,
            "--key",
            text(&key)?,
        ];
        let said = process::run_once(&program, &node.spec.name, &node.files, "join", &arguments).await;
        // Spent or refused, the token has no further use.
        fs::remove_file(&node.files.token).map_err(Error::file("remove", &node.files.token))?;
        let said = said?;
        node.id = said
            .iter()
            .find_map(|line| line.strip_prefix("node ")?.split_ascii_whitespace().next()?.parse().ok())
            .ok_or_else(|| Error::Said {
                node: node.spec.name.clone(),
                command: "join",
                line: said.last().cloned().unwrap_or_default(),
            })?;
        let id = node.id;
        self.issue_node(at, Identity::Node { cluster: self.cluster.clone(), id }, "node")?;
        Ok(said)
    }

    /// A prepared node was joined by other hands, which gave it this number and its certificate.
    pub fn joined(&mut self, at: usize, id: u64) -> Result<(), Error> {
        self.node_mut(at)?.id = id;
        Ok(())
    }

    /// The root of trust of this network.
    pub fn authority(&self) -> Result<Authority, Error> {
        Authority::open(&self.directory.join("authority")).map_err(Error::Pki)
    }

    fn issue_node(&self, at: usize, identity: Identity, file: &str) -> Result<(), Error> {
        let node = self.nodes.get(at).ok_or(Error::NoSuchNode)?;
        let names = vec![SubjectName::Ip(node.endpoints.peer.ip())];
        let request = pki::Request { identity, names, lifetime: None };
        let file: Slug = file.parse().map_err(|_| Error::NoSuchNode)?;
        self.authority()?.issue(&request, &node.files.tls, &file, SystemTime::now()).map_err(Error::Pki)?;
        Ok(())
    }

    fn issue_identities(&self, authority: &Authority) -> Result<(), Error> {
        for (file, kind) in [("sistema", Kind::Integration), ("operador", Kind::Operator), ("auditor", Kind::Auditor)] {
            self.issue_identity(authority, file, Scope::Network, kind)?;
        }
        Ok(())
    }

    fn issue_identity(&self, authority: &Authority, file: &str, unit: Scope, kind: Kind) -> Result<(), Error> {
        let name: Slug = file.parse().map_err(|_| Error::NoSuchNode)?;
        let identity = Identity::Unit { cluster: self.cluster.clone(), unit, kind, name: name.clone() };
        let request = pki::Request { identity, names: Vec::new(), lifetime: None };
        let into = self.directory.join("identities");
        authority.issue(&request, &into, &name, SystemTime::now()).map_err(Error::Pki)?;
        Ok(())
    }
}

/// Makes the directory, or takes an empty one; gives its absolute path.
fn prepare(directory: &Path) -> Result<PathBuf, Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(Error::file("make", directory))?;
    let directory = fs::canonicalize(directory).map_err(Error::file("find", directory))?;
    text(&directory)?;
    let mut entries = fs::read_dir(&directory).map_err(Error::file("list", &directory))?;
    if entries.next().is_some() {
        return Err(Error::NotANetwork { path: directory });
    }
    Ok(directory)
}

fn text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| Error::PathNotText { path: path.to_owned() })
}
