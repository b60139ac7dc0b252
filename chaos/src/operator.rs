//! The operator's tool `plantao` against a network of this program, as a person runs it: a process of its own, timed from its
//! start to its end, and the resident memory of nodes, as the operating system counts it.

use anyhow::{Context, bail};
use plantao_node::local_network::{LocalNetwork, Node};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// `plantao`, with the contexts of one network.
pub(crate) struct Operator {
    program: PathBuf,
    contexts: PathBuf,
}

/// How one command went.
pub(crate) struct Told {
    /// `None`: a signal.
    pub(crate) code: Option<i32>,
    pub(crate) took: Duration,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Operator {
    /// Of a network that [`LocalNetwork::create`] made.
    pub(crate) fn of(network: &LocalNetwork, program: &Path) -> Self {
        Self { program: program.to_owned(), contexts: network.contexts_file() }
    }

    /// Runs one command to its end.
    pub(crate) async fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> anyhow::Result<Told> {
        let mut process = Command::new(&self.program);
        // What the caller's own environment says is not meant for this network.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(|it| it.starts_with("PLANTAO_")))
        {
            process.env_remove(name);
        }
        process.arg("--config").arg(&self.contexts).args(["--lang", "en"]).args(arguments);
        process.stdin(Stdio::null()).kill_on_drop(true);
        let started = Instant::now();
        let output = process.output().await.with_context(|| format!("cannot start {}", self.program.display()))?;
        Ok(Told {
            code: output.status.code(),
            took: started.elapsed(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The same; anything but 0 is an error.
    pub(crate) async fn done<A: AsRef<OsStr>>(&self, arguments: &[A]) -> anyhow::Result<Told> {
        let told = self.run(arguments).await?;
        if told.code != Some(0) {
            let command: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
            bail!("`plantao {}` ended with {:?}: {}{}", command.join(" "), told.code, told.stdout, told.stderr);
        }
        Ok(told)
    }
}

/// The most resident memory that a node had since its start, in bytes (`VmHWM`).
pub(crate) fn resident_peak(node: &Node) -> anyhow::Result<u64> {
    let pid = node.pid().with_context(|| format!("{} does not run", node.name()))?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}

/// Bytes that a node's calls read from files so far, from memory or disk (`rchar`).
pub(crate) fn read_bytes(node: &Node) -> anyhow::Result<u64> {
    let pid = node.pid().with_context(|| format!("{} does not run", node.name()))?;
    let io = std::fs::read_to_string(format!("/proc/{pid}/io"))?;
    let read = io.lines().find_map(|line| line.strip_prefix("rchar:")).context("no rchar")?;
    Ok(read.trim().parse()?)
}
