//! `chaos`: faults and thin lines against real processes, with figures.
//!
//! Networks are made and driven by `plantao_node::local_network`, as in the demonstration; what is measured is what a
//! program sees through the client.

mod aftermath;
mod checks;
mod compare;
mod disks;
mod etcd;
mod failover;
mod faults;
mod flips;
mod ground;
mod history;
mod large_image;
mod links;
mod many_chunks;
mod model;
mod mutants;
mod nine;
mod operator;
mod overload;
mod plot;
mod power;
mod process;
mod races;
mod relay;
mod report;
#[allow(dead_code, reason = "the other world uses the rest")]
mod rot;
mod run;
mod scarce;
mod seed;
mod simulated;
mod straggler;
mod thin_line;
mod wires;
mod workload;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Faults and thin lines against real processes, with figures.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  chaos run --seeds 5 --duration 60 --out out   faults of five seeds, histories and plots into a directory
  chaos run --world sim --seeds 100 --twice 10  a hundred simulated networks, ten of them twice
  chaos mutants                                 does every mistake on purpose get caught?
  chaos failover                                kill -9 of the leader, 20 times, wan timers
  chaos failover --timers lan --json lan.json   the same on lan timers, figures into a file
  chaos power --times 200                       no power on any node, unsynced writes lost, 200 times (needs root)
  chaos races --races 10000 --clients 64        who gets the slot, while links are cut and heal (needs root)
  chaos links --seconds 20                      writes while links lose packets, pass one way, come and go (needs root)
  chaos overload --seconds 20                   more than a node can serve: does it lead on, and in how much memory?
  chaos scarce --seconds 15                     no descriptors, threads or memory for one node (needs root)
  chaos straggler --entries 1000000             the off-site node comes back a million entries later
  chaos nine --json nine.json                   from three nodes to nine and back under load, a kill in each step
  chaos compare --clients 64 --json etcd.json   writes, bookings and reads beside etcd (needs etcd-server)
  chaos thin-line --rate 1mbit --backlog 200MB  bookings beside a backlog of images (needs root)
  chaos many-chunks --chunks 100000             status, proof and scrub of many chunks
  chaos flips --count 2000                      single bits of every kind of file of a node
  chaos large-image --bytes 2GiB                memory of nodes while one large image passes
Exit codes: 0 done, 1 failed, 2 usage, 3 cannot be measured here or the harness failed, 10 a promise did not hold, 130 interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    /// Faults drawn from a seed under a workload whose every answer is checked
    Run(run::Run),
    /// Mistakes on purpose, one at a time: which check catches each, and at which seed?
    Mutants(mutants::Mutants),
    /// Kill -9 the leader under load, again and again: how long do writes fail?
    Failover(failover::Failover),
    /// Cut the power of all nodes at once under load, again and again: is an acknowledged write ever lost?
    Power(power::Power),
    /// Many programs want one slot at the same moment, again and again, while nodes are cut off and found again
    Races(races::Races),
    /// Links that lose packets, pass one way only, or come and go: do writes go on, and is any lost?
    Links(links::Links),
    /// More than a node can serve, from good and bad callers: does it lead on, and in how much memory?
    Overload(overload::Overload),
    /// No descriptors, threads or memory left for one node: do the others go on, and does it come back?
    Scarce(scarce::Scarce),
    /// The off-site node comes back up to a million entries later: how long until it has them, and on how much disk?
    Straggler(straggler::Straggler),
    /// From three nodes to nine and back under load, with a kill -9 in the middle of each step
    Nine(nine::Nine),
    /// Operations a second and processor time, in turn with etcd on the same machine
    Compare(compare::Compare),
    /// The off-site node behind a thin line, with images waiting for it: do bookings notice, and when do records get there?
    ThinLine(thin_line::ThinLine),
    /// Nodes that hold many chunks: how long do a status and a proof take, does the scrub keep to its budget?
    ManyChunks(many_chunks::ManyChunks),
    /// Flip single bits of a node's files: it refuses or heals, and is never silently another
    Flips(flips::Flips),
    /// Stand before a port and pass everything late; started by `run`
    #[command(hide = true)]
    Relay(relay::Serve),
    /// One large image in and out: how much memory do nodes take?
    LargeImage(large_image::LargeImage),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments).await,
        Command::Mutants(arguments) => mutants::run(&arguments).await,
        Command::Failover(arguments) => failover::run(&arguments).await,
        Command::Power(arguments) => power::run(&arguments).await,
        Command::Races(arguments) => races::run(&arguments).await,
        Command::Links(arguments) => links::run(&arguments).await,
        Command::Overload(arguments) => overload::run(&arguments).await,
        Command::Scarce(arguments) => scarce::run(&arguments).await,
        Command::Straggler(arguments) => straggler::run(&arguments).await,
        Command::Nine(arguments) => nine::run(&arguments).await,
        Command::Compare(arguments) => compare::run(&arguments).await,
        Command::ThinLine(arguments) => thin_line::run(&arguments).await,
        Command::ManyChunks(arguments) => many_chunks::run(&arguments).await,
        Command::Flips(arguments) => flips::run(&arguments).await,
        Command::Relay(arguments) => relay::serve(&arguments).await,
        Command::LargeImage(arguments) => large_image::run(&arguments).await,
    };
    done.unwrap_or_else(|error| report(&error))
}

#[expect(clippy::print_stderr, reason = "the last word of a command")]
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("chaos: {error:#}");
    if error.is::<wires::Cannot>() || error.is::<etcd::NoEtcd>() || error.is::<scarce::NoGroups>() {
        ExitCode::from(ground::EXIT_CANNOT)
    } else {
        ExitCode::FAILURE
    }
}
