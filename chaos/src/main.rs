//! `chaos`: faults against real processes, with figures.
//!
//! Networks are made and driven by `plantao_node::local_network`, as in the demonstration; what is measured is what a
//! program sees through the client.

mod failover;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Faults against real processes, with figures.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  chaos failover                                kill -9 of the leader, 20 times, wan timers
  chaos failover --timers lan --json lan.json   the same on lan timers, figures into a file
Exit codes: 0 done, 1 failed, 2 usage, 10 a promise did not hold, 130 interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    /// Kill -9 the leader under load, again and again: how long do writes fail?
    Failover(failover::Failover),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Failover(arguments) = Arguments::parse().command;
    match failover::run(&arguments).await {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a command")]
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("chaos: {error:#}");
    ExitCode::FAILURE
}
