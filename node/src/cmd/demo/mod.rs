//! `plantaod demo`: a whole network on this computer, as processes of this program. Without `--once` it stays up until
//! Ctrl-C and prints what to try ([`foreground`]); with it, it tells the whole story and ends ([`story`]).
//!
//! What is told goes to standard output in Portuguese, progress to standard error. Only what a
//! broken disk does to a node's files is done to them here ([`damage`]); otherwise the network is driven as an operator and
//! asked as a program would ([`crate::local_network`]).

mod damage;
mod figures;
mod foreground;
mod images;
mod proof;
mod story;
mod teller;

use crate::local_network::{Error, LocalNetwork, NetworkOptions, Timers};
use anyhow::Context;
use plantao_client::synthetic::{self, SyntheticOptions};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use teller::Teller;
use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A claim did not hold (ran fine, goal not met).
const EXIT_NOT_HELD: u8 = 10;
/// Ended by a signal.
const EXIT_INTERRUPTED: u8 = 130;
/// Short name of the network.
const CLUSTER: &str = "demo";
/// How often a temporary directory that still changes is tried again, and the pause: killed processes end soon.
const REMOVALS: u32 = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);

/// What to show.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoOptions {
    /// Tell the whole story once and end: import, load, lost nodes, checks. Exit 0 only if all held, 10 otherwise.
    #[arg(long)]
    pub once: bool,
    /// A directory of FHIR files, one resource a line, instead of a synthetic clinic.
    #[arg(long, value_name = "DIR")]
    pub import: Option<PathBuf>,
    /// Where the network lives and stays; a network that is there is started again. Default: a temporary directory,
    /// removed at the end.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// With --once: a file for all figures.
    #[arg(long, value_name = "FILE", requires = "once")]
    pub json: Option<PathBuf>,
    /// Raft timers of a new network.
    #[arg(long, value_enum, default_value_t = Timers::Wan)]
    pub timers: Timers,
}

/// Runs the demonstration. Its processes end with it, however it ends.
///
/// # Errors
/// When the network cannot be made or asked; a promise that did not hold is no error but the exit code 10.
pub async fn run(options: DemoOptions) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::new().context("cannot wait for signals")?;
    let place = Place::new(options.dir.as_deref()).context("cannot make the directory of the network")?;
    let teller = Teller::new();
    let mut network = None;
    let told = tokio::select! {
        told = Box::pin(show(&options, place.path(), &mut network, &teller)) => Some(told),
        () = interrupts.next() => None,
    };
    // A demonstration without --once ends by Ctrl-C, in order; everything else leaves nothing worth an orderly stop.
    let ended = match network.as_mut() {
        Some(network) if told.is_none() && !options.once => foreground::stop(network, &mut interrupts, &teller).await,
        Some(network) => network.kill_all().await,
        None => Ok(()),
    };
    drop(network);
    place.close(&teller).await;
    let code = match told {
        Some(told) => told?,
        None if options.once => ExitCode::from(EXIT_INTERRUPTED),
        None => ExitCode::SUCCESS,
    };
    ended?;
    Ok(code)
}

async fn show(
    options: &DemoOptions,
    directory: &Path,
    network: &mut Option<LocalNetwork>,
    teller: &Teller,
) -> anyhow::Result<ExitCode> {
    if options.once {
        story::tell(options, directory, network, teller).await
    } else {
        foreground::stay(options, directory, network, teller).await
    }
}

/// Three nodes of one computer can only play that they have a disk each.
fn settings() -> Vec<String> {
    vec!["chunks.simulated_media=true".to_owned()]
}

/// The network in `directory`, running: the one that is there, or a new one. Gives whether it is new.
async fn open_or_create(
    options: &DemoOptions,
    directory: &Path,
    network: &mut Option<LocalNetwork>,
) -> anyhow::Result<bool> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    if LocalNetwork::exists(directory) {
        let opened = network.insert(LocalNetwork::open(directory, program, settings())?);
        opened.start_all().await?;
        opened.settle().await?;
        return Ok(false);
    }
    let cluster = CLUSTER.parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
    let wanted = NetworkOptions { settings: settings(), ..NetworkOptions::clinic(program, cluster, options.timers) };
    *network = Some(LocalNetwork::create(directory, &wanted).await?);
    Ok(true)
}

/// The files to import: those that were named, or a synthetic clinic.
async fn clinic(options: &DemoOptions, directory: &Path) -> anyhow::Result<PathBuf> {
    if let Some(import) = &options.import {
        return Ok(import.clone());
    }
    let directory = directory.join("clinica-sintetica");
    let into = directory.clone();
    let written = crate::work::blocking(move || synthetic::write(&into, &SyntheticOptions::default())).await;
    written.context("the synthetic clinic was not written")?.context("cannot write the synthetic clinic")?;
    Ok(directory)
}

/// Where the network lives.
enum Place {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Place {
    fn new(kept: Option<&Path>) -> std::io::Result<Self> {
        match kept {
            Some(directory) => Ok(Self::Kept(directory.to_owned())),
            None => tempfile::Builder::new().prefix("plantao-demo-").tempdir().map(Self::Temporary),
        }
    }

    /// For the network: below a temporary directory, so that its own may be made by whoever makes the network.
    fn path(&self) -> &Path {
        match self {
            Self::Kept(directory) => directory,
            Self::Temporary(directory) => directory.path(),
        }
    }

    async fn close(self, teller: &Teller) {
        let Self::Temporary(directory) = self else { return };
        let path = directory.keep();
        for _ in 0..REMOVALS {
            match std::fs::remove_dir_all(&path) {
                Ok(()) => return,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
                Err(_) => tokio::time::sleep(REMOVAL_PAUSE).await,
            }
        }
        teller.line(&format!("Não foi possível remover {}; remova à mão.", path.display()));
    }
}

/// Signals that end the demonstration.
struct Interrupts([Signal; 3]);

impl Interrupts {
    fn new() -> std::io::Result<Self> {
        // Hang-up too: the nodes are no children of the terminal, and would outlive it.
        let [a, b, c] = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Ok(Self([signal(a)?, signal(b)?, signal(c)?]))
    }

    async fn next(&mut self) {
        let [a, b, c] = &mut self.0;
        tokio::select! {
            _ = a.recv() => {}
            _ = b.recv() => {}
            _ = c.recv() => {}
        }
    }
}

/// One node's name, for sentences.
fn name(network: &LocalNetwork, at: usize) -> Result<String, Error> {
    network.nodes().get(at).map(|node| node.name().to_owned()).ok_or(Error::NoSuchNode)
}
