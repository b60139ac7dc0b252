//! `chaos run`: the workload in a world, faults drawn from each seed, then none; every check; a verdict. What a world is made of
//! is in its own folder.
//!
//! ```text
//! for each seed   make a network ─► programs and faults (safety) ─► heal ─► programs alone (liveness) ─► stop ─► checks ─► verdict
//! ```
//! A harness that failed has shown nothing: it is told apart from both a pass and a violation, in words and in the exit code.

use crate::checks::Findings;
use crate::faults::{Fault, Kind, Profile};
use crate::ground::{EXIT_CANNOT, Ground, exit, say, until_signal};
use crate::history::Call;
use crate::{process, report, simulated};
use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the network lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum WorldName {
    /// Real processes; with the rights of root in network namespaces of their own.
    Process,
    /// Simulated network, time and disks: the seed decides everything.
    Sim,
}

/// Which world, which seeds, which faults, for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Where the network lives.
    #[arg(long, value_enum, default_value_t = WorldName::Process)]
    world: WorldName,
    /// The first seed; it decides faults and workload.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many seeds, one after another.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) seeds: u64,
    /// How faults come.
    #[arg(long, value_enum, default_value_t = Profile::Standard)]
    pub(crate) profile: Profile,
    /// Only these kinds of fault. Default: all that this computer can make.
    #[arg(long, value_enum, value_name = "KIND,…", value_delimiter = ',')]
    pub(crate) faults: Vec<Kind>,
    /// Seconds with faults, for each seed.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) duration: u64,
    /// Programs that are at work at once; many of them hardly pause.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) programs: u32,
    /// A directory for histories, reports and plots; each seed has its own in it.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) simulated: simulated::Settings,
    #[command(flatten)]
    pub(crate) ground: Ground,
}

/// A fault as it came.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Span {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    pub(crate) fault: Fault,
    /// Positions of the nodes that it met.
    pub(crate) nodes: Vec<usize>,
    /// Why it was left out; nothing was done then.
    pub(crate) left_out: Option<&'static str>,
}

/// What one seed gave.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) calls: Vec<Call>,
    pub(crate) spans: Vec<Span>,
    pub(crate) findings: Findings,
    /// When programs began, when the last fault was gone, and when they stopped.
    pub(crate) began_ns: u64,
    pub(crate) healed_ns: u64,
    pub(crate) ended_ns: u64,
    /// The most memory of any node.
    pub(crate) memory_bytes: u64,
    /// What became of unsynced changes at power cuts, how many calls of disks met a fault, and how many starts were refused for it.
    pub(crate) disks: BTreeMap<String, u64>,
    /// What this world could not do here, and why.
    pub(crate) without: Vec<String>,
    /// The end of each node's log, by its name.
    pub(crate) logs: Vec<(String, Vec<u8>)>,
}

/// What is said of one seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Every check looked at something, and found nothing.
    Pass,
    /// Something happened that must not.
    Violation,
    /// The harness did not get to its end: nothing is shown.
    HarnessFailure,
}

impl Verdict {
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Violation => "VIOLATION",
            Self::HarnessFailure => "harness failure",
        }
    }
}

/// Runs it.
pub(crate) async fn run(arguments: &Run) -> anyhow::Result<ExitCode> {
    match arguments.world {
        WorldName::Process => until_signal(seeds(arguments)).await,
        WorldName::Sim => until_signal(simulated::run(arguments)).await,
    }
}

async fn seeds(arguments: &Run) -> anyhow::Result<ExitCode> {
    let mut reports = Vec::new();
    for seed in (arguments.seed..).take(usize::try_from(arguments.seeds)?) {
        let told = match one(arguments, seed).await {
            Ok(story) => report::Report::of(arguments, seed, &story),
            Err(error) => report::Report::failed(arguments, seed, format!("{error:#}")),
        };
        told.say();
        reports.push(told);
    }
    let count = |verdict| reports.iter().filter(|report| report.verdict == verdict).count();
    let (violations, failures) = (count(Verdict::Violation), count(Verdict::HarnessFailure));
    let all = reports.len();
    say(&format!("{all} seeds: {} pass, {violations} violations, {failures} harness failures", count(Verdict::Pass)));
    arguments.ground.write(&reports)?;
    // A violation is worth more than a failure elsewhere.
    Ok(if violations == 0 && failures > 0 { ExitCode::from(EXIT_CANNOT) } else { exit(violations == 0) })
}

async fn one(arguments: &Run, seed: u64) -> anyhow::Result<Story> {
    let standing = arguments.ground.stand()?;
    let story = Box::pin(process::run(arguments, seed, &standing)).await?;
    if let Some(out) = &arguments.out {
        let directory = out.join(format!("seed-{seed}"));
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        report::write(arguments, seed, &story, &directory)?;
    }
    Ok(story)
}

/// The command that runs one seed again.
pub(crate) fn again(arguments: &Run, seed: u64) -> String {
    let faults: Vec<&str> = arguments.faults.iter().map(|kind| kind.name()).collect();
    let faults = if faults.is_empty() { String::new() } else { format!(" --faults {}", faults.join(",")) };
    let (profile, duration, programs) = (arguments.profile.name(), arguments.duration, arguments.programs);
    format!(
        "chaos run --world process --seed {seed} --profile {profile} --duration {duration} --programs {programs}{faults}"
    )
}
