//! `plantaod`: one node of the network.

use clap::{Parser, Subcommand};
use plantao_node::cmd::{check_config, demo, exit, extract, init, inspect, join, probe, quorum, run, unseal};
use std::process::ExitCode;

/// The system's allocator took a tenth of the processor under load, with rows and messages of a few hundred bytes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps agenda, records and images of a clinic network working when a computer, a link or a unit is lost.
#[derive(Parser)]
#[command(name = "plantaod", version, propagate_version = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  plantaod demo                                     a whole network on this machine, until Ctrl-C
  plantaod run --config /etc/plantao/plantaod.toml  one node
Exit codes: 0 done, 1 failed, 2 usage or configuration, 9 damage found, 10 a goal was not met";

#[derive(Subcommand)]
enum Command {
    /// Run the node.
    Run(run::Run),
    /// Make the first node of a new network.
    Init(init::Init),
    /// Join a network with a one-use token.
    Join(join::Join),
    /// Check a configuration, or print the reference.
    CheckConfig(check_config::CheckConfig),
    /// Ask the node on this machine whether it runs: for containers and supervisors.
    Probe(probe::Probe),
    /// Show what a stopped node's directory holds.
    Inspect(inspect::Inspect),
    /// Check every file of a stopped node.
    Verify(inspect::Verify),
    /// Read every document from a stopped node's directory with the paper passphrase.
    Extract(extract::Extract),
    /// Make a stopped unit's root slot from the paper passphrase.
    Unseal(unseal::Unseal),
    /// A majority of the voters is gone for good: look, and go on with what a survivor has.
    Quorum(quorum::Quorum),
    /// Show a whole network on this machine: two units and an off-site node.
    Demo(demo::DemoOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("the runtime does not start")),
    };
    let result = match &arguments.command {
        Command::CheckConfig(arguments) => return check_config::run(arguments),
        Command::Run(arguments) => runtime.block_on(run::run(arguments)),
        Command::Init(arguments) => runtime.block_on(init::run(arguments)),
        Command::Join(arguments) => runtime.block_on(join::run(arguments)),
        Command::Probe(arguments) => probe::run(arguments),
        Command::Inspect(arguments) => inspect::inspect(arguments),
        Command::Verify(arguments) => return inspect::verify(arguments).unwrap_or_else(|error| report(&error)),
        Command::Extract(arguments) => extract::run(arguments),
        Command::Unseal(arguments) => unseal::run(arguments),
        Command::Quorum(arguments) => return quorum::run(arguments).unwrap_or_else(|error| report(&error)),
        Command::Demo(options) => {
            return runtime.block_on(demo::run(options.clone())).unwrap_or_else(|error| report(&error));
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a command")]
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("plantaod: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because {cause}");
    }
    let usage = error.downcast_ref::<plantao_node::config::LoadError>().is_some();
    ExitCode::from(if usage { exit::USAGE } else { exit::FAILED })
}
