//! `chaos-sim` as a program: what it takes, what it prints, and the clocks and the entropy of its whole process replaced.

use super::cluster::Options;
use super::run::{Plan, run};
use crate::faults::Profile;
use clap::Parser;
#[cfg(feature = "planted")]
use plantao_domain::planted::Bug;
use rand::SeedableRng;
use rand::rngs::StdRng;
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
    /// Simulated seconds without faults after that, under load.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(8..=3_600))]
    healing: u64,
    /// How faults come.
    #[arg(long, value_enum, default_value_t = Profile::Standard)]
    profile: Profile,
    /// An empty directory for the nodes' files; it stays.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Every tick in a file: two of them show where two runs part.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// End at the first violation that shows while it runs.
    #[arg(long)]
    first_only: bool,
    /// Logs of the nodes, on standard error.
    #[arg(long)]
    logs: bool,
    /// A mistake on purpose.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "BUG", value_parser = named)]
    bug: Option<Bug>,
}

#[cfg(feature = "planted")]
fn named(name: &str) -> Result<Bug, String> {
    Bug::named(name).ok_or_else(|| format!("no bug has the name {name}"))
}

/// Runs one seed as the command line says.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "planted")]
    arguments.bug.into_iter().for_each(plantao_domain::planted::choose);
    if arguments.logs {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    }
    let seed = arguments.seed;
    std::panic::set_hook(Box::new(move |panic| {
        // Unwinding through the simulator would only bury the cause.
        let _ = writeln!(std::io::stderr(), "seed {seed}: {panic}");
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
        std::process::exit(if is_of_the_product(&place) {
            let violation = serde_json::json!({ "check": "panic", "what": place });
            let findings = serde_json::json!({ "count": 1, "violations": [violation] });
            let report = serde_json::json!({ "seed": seed, "verdict": "violation", "findings": findings });
            let _ = writeln!(std::io::stdout(), "{report}");
            10
        } else {
            3
        });
    }));
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
    let _clocks = mad_turmoil::time::SimClocksGuard::init();
    plantao_node::work::run_inline();
    let plan = Plan {
        options: Options { seed, nodes: arguments.nodes, lan: seed % 2 == 1, directory: arguments.dir },
        profile: arguments.profile,
        faults: Duration::from_secs(arguments.seconds),
        healing: Duration::from_secs(arguments.healing),
        trace: arguments.trace,
        first_only: arguments.first_only,
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

/// Whether a node would have come to this line too.
fn is_of_the_product(place: &str) -> bool {
    ["node/", "domain/", "client/", "proto/"].iter().any(|ours| place.starts_with(ours)) || place.contains("/openraft-")
}
