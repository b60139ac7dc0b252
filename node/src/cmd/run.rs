//! `plantaod run`: a node, until a signal or a fault.

use super::ConfigArguments;
use crate::app::{App, Platform};
use crate::telemetry;
use anyhow::Context;
use std::io::Write;
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
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be awaited")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be awaited")?;
    let app = App::start(&config, &Platform::default()).await?;
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
    tokio::select! {
        _ = terminate.recv() => info!(signal = "TERM", "stopping"),
        _ = interrupt.recv() => info!(signal = "INT", "stopping"),
        stopped = app.fatal() => {
            error!(reason = %stopped, "this node cannot go on safely and exits; its log says why");
            return Err(stopped.into());
        }
    }
    app.stop().await;
    Ok(())
}
