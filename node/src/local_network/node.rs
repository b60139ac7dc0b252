//! One node of a network on one computer: what it is, where it is reached, where its files are.

use super::layout::{Endpoints, NodeFiles, NodeSpec};
use super::process::{self, Running};
use std::path::Path;

/// One node, running or not.
#[derive(Debug)]
pub struct Node {
    pub(super) spec: NodeSpec,
    pub(super) id: u64,
    pub(super) endpoints: Endpoints,
    pub(super) files: NodeFiles,
    /// Words before the program in each of its commands.
    pub(super) through: Vec<String>,
    pub(super) running: Option<Running>,
}

impl Node {
    /// Its Raft number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// What it is.
    pub fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    /// `host:port` for programs.
    pub fn public(&self) -> String {
        self.endpoints.public.to_string()
    }

    /// `host:port` for operators.
    pub fn admin(&self) -> String {
        self.endpoints.admin.to_string()
    }

    /// `host:port` for nodes, past any relay.
    pub fn peer(&self) -> String {
        self.endpoints.peer.to_string()
    }

    /// `host:port` of its metrics.
    pub fn metrics(&self) -> String {
        self.endpoints.metrics.to_string()
    }

    /// Its directory with configuration, certificates, keys, log and data.
    pub fn directory(&self) -> &Path {
        &self.files.directory
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.files.data
    }

    /// Its directory with `node.crt`, `node.key` and `ca.crt`.
    pub fn tls_dir(&self) -> &Path {
        &self.files.tls
    }

    /// Its configuration.
    pub fn config(&self) -> &Path {
        &self.files.config
    }

    /// Its log lines, of all its lives.
    pub fn log(&self) -> &Path {
        &self.files.log
    }

    /// Number of its process; `None` when it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(Running::pid)
    }

    /// Its resident memory in bytes now, as the operating system counts it; `None` when it does not run.
    pub fn resident_bytes(&self) -> Option<u64> {
        process::resident_bytes(self.pid()?)
    }
}
