//! `chaos-sim`: one seed of the simulated world, in a process of its own, because it replaces the clocks and the entropy of its
//! whole program. `chaos run --world sim` starts one for each seed.

#[allow(dead_code, unused_imports, reason = "the other world uses the rest")]
mod checks;
#[allow(dead_code, unused_imports, reason = "the other world uses the rest")]
mod faults;
#[allow(dead_code, unused_imports, reason = "the other world uses the rest")]
mod history;
#[allow(dead_code, unused_imports, reason = "the other world uses the rest")]
mod model;
#[allow(dead_code, unused_imports, reason = "the other world uses the rest")]
mod seed;
mod sim;
#[allow(dead_code, unused_imports, reason = "the other world uses the rest")]
mod workload;

use clap::Parser;
use faults::Profile;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sim::cluster::Options;
use sim::run::{Plan, run};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Runs one seed of the simulated world and prints one line of JSON.
///
/// Exit codes: 0 pass, 2 usage, 3 harness failure, 10 violation.
#[derive(Debug, Parser)]
#[command(name = "chaos-sim", version)]
struct Arguments {
    /// Decides everything.
    #[arg(long)]
    seed: u64,
    /// Nodes; up to five of them vote, and the others replicate.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(3..=50))]
    nodes: u64,
    /// Simulated seconds with faults.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How faults come.
    #[arg(long, value_enum, default_value_t = Profile::Standard)]
    profile: Profile,
    /// An empty directory for the nodes' files; it stays.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Every tick in a file: two of them show where two runs part.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Logs of the nodes, on standard error.
    #[arg(long)]
    logs: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.logs {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    }
    let seed = arguments.seed;
    std::panic::set_hook(Box::new(move |panic| {
        // Unwinding through the simulator would only bury the cause.
        let _ = writeln!(std::io::stderr(), "seed {seed}: {panic}");
        std::process::exit(3);
    }));
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
    let _clocks = mad_turmoil::time::SimClocksGuard::init();
    plantao_node::work::run_inline();
    let plan = Plan {
        options: Options { seed, nodes: arguments.nodes, lan: seed % 2 == 1, directory: arguments.dir },
        profile: arguments.profile,
        faults: Duration::from_secs(arguments.seconds),
        trace: arguments.trace,
    };
    let report = match run(&plan) {
        Ok(report) => report,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "seed {seed}: {error:#}");
            return ExitCode::from(3);
        }
    };
    let line = serde_json::to_string(&report).unwrap_or_else(|error| error.to_string());
    let _ = writeln!(std::io::stdout(), "{line}");
    match report.verdict {
        "pass" => ExitCode::SUCCESS,
        "violation" => ExitCode::from(10),
        _ => ExitCode::from(3),
    }
}
