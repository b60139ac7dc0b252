//! `plantaod run`: a node, until a signal or a fault.

use super::{ConfigArguments, quorum};
use crate::app::{App, Platform};
use crate::config::Config;
use crate::health::disk_fault;
use crate::survivor::Order;
use crate::telemetry;
use anyhow::Context;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

/// Runs the node of a configuration.
#[derive(Debug, clap::Args)]
pub struct Run {
    #[command(flatten)]
    config: ConfigArguments,
}

/// Runs it. Prints one line on standard output once it listens.
///
/// # Errors
/// The node does not start, or stops by itself.
pub async fn run(arguments: &Run) -> anyhow::Result<()> {
    crate::crypto::process::close_to_others().context("core dumps cannot be turned off")?;
    let config = arguments.config.load()?;
    telemetry::start_logs(&config.log_level, config.log_format)?;
    let (data, images) = (config.data_dir.clone(), config.chunk_dir.clone());
    let ended = node(config).await;
    if ended.is_err() {
        for directory in [&data, &images] {
            if let Some(fault) = disk_fault(directory) {
                let directory = directory.display();
                error!(%directory, what_now = fault.remedy(), "{fault}");
                break;
            }
        }
    }
    ended
}

async fn node(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be awaited")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be awaited")?;
    let mut app = App::start(&config, &Platform::default()).await?;
    let at = app.addresses();
    // A closed pipe is no reason to stop a node.
    let _ = writeln!(
        std::io::stdout().lock(),
        "ready node={} public={} admin={} peer={}",
        app.node(),
        at.public,
        at.admin,
        at.peer
    );
    let _ = std::io::stdout().lock().flush();
    let fatal = app.fatal();
    tokio::select! {
        _ = terminate.recv() => info!(signal = "TERM", "stopping"),
        _ = interrupt.recv() => info!(signal = "INT", "stopping"),
        stopped = fatal => {
            error!(reason = %stopped, "this node cannot go on safely and exits; its log says why");
            return Err(stopped.into());
        }
        order = app.ordered() => {
            app.stop().await;
            return go_on_alone(config, order).await;
        }
    }
    app.stop().await;
    Ok(())
}

/// The stopped node's directory becomes that of the only voter of a new incarnation, and the process starts anew on it. Where it
/// cannot, it ends with a failure, and whoever supervises it starts it.
async fn go_on_alone(config: Config, order: Order) -> anyhow::Result<()> {
    let recovering = tokio::task::spawn_blocking(move || quorum::recover_own(&config, &order));
    let incarnation = recovering.await.context("the recovery was cut off; repeat `plantaod quorum recover`")??;
    info!(incarnation, "the network goes on with this node alone; it starts anew");
    let mut arguments = std::env::args_os();
    let named = arguments.next().map(PathBuf::from).filter(|path| path.is_absolute());
    let program = named.map_or_else(std::env::current_exe, Ok).context("this program is not found again")?;
    let error = std::process::Command::new(program).args(arguments).exec();
    Err(anyhow::Error::new(error).context("the directory is recovered, and the process does not start anew: start it"))
}
