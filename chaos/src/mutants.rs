//! `chaos mutants`: is every mistake on purpose caught? For each bug of `plantao_domain::planted` seeds of the simulated world run
//! until one of them ends in a violation, and a table says which check it was. First a few seeds without any bug, which must pass:
//! a check that always cries proves nothing.

use crate::faults::Profile;
use crate::ground::{Ground, beside, exit, say, until_signal};
use crate::simulated::{SEED_TIME_MAX, Told, nodes_of, one};
use anyhow::ensure;
use plantao_domain::planted::Bug;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Which bugs, and how many seeds each gets.
#[derive(Debug, clap::Args)]
pub(crate) struct Mutants {
    /// Only these. Default: all.
    #[arg(long = "bug", value_name = "NAME,…", value_delimiter = ',', value_parser = named)]
    bugs: Vec<Bug>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A bug that is not caught in so many has survived.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Seconds with faults, for each seed.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    duration: u64,
    /// How faults come.
    #[arg(long, value_enum, default_value_t = Profile::Storm)]
    profile: Profile,
    /// Voters; of several numbers each seed takes one. With five, two can be behind or cut off, and some mistakes show only then.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "3,5", value_parser = clap::value_parser!(u64).range(3..=5))]
    nodes: Vec<u64>,
    /// Seeds without a bug, which must pass.
    #[arg(long, value_name = "N", default_value_t = 4)]
    controls: u64,
    /// Processes at a time.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: u64,
    /// `table`, or `json` for a program that reads it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    ground: Ground,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

fn named(name: &str) -> Result<Bug, String> {
    Bug::named(name).ok_or_else(|| {
        let names: Vec<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        format!("no bug has that name; there are {}", names.join(", "))
    })
}

/// What became of one bug.
#[derive(Clone, Debug, Serialize)]
struct Fate {
    bug: &'static str,
    place: &'static str,
    what: &'static str,
    /// Names of the checks that found something in that seed; none: it survived.
    caught_by: Vec<String>,
    /// The seed that showed it.
    seed: Option<u64>,
    /// Seeds that ran.
    seeds: u64,
    /// Of these, how many did not get to an end that shows anything.
    failures: u64,
    /// The first thing that was found.
    first: String,
}

#[derive(Serialize)]
struct Table {
    schema_version: u32,
    controls: u64,
    caught: usize,
    survived: Vec<&'static str>,
    bugs: Vec<Fate>,
}

/// Runs it; exit code 0 only where all were caught and no control was.
pub(crate) async fn run(arguments: &Mutants) -> anyhow::Result<ExitCode> {
    until_signal(all(arguments)).await
}

async fn all(arguments: &Mutants) -> anyhow::Result<ExitCode> {
    let hint = "cargo build --workspace --features plantao-chaos/planted --bin chaos-planted";
    let program = beside(None, "chaos-planted", hint)?;
    let tell = |line: &str| {
        if arguments.output == Output::Table {
            say(line);
        }
    };
    let permits = Arc::new(Semaphore::new(usize::try_from(arguments.jobs)?));
    let mut controls = JoinSet::new();
    for seed in (arguments.seed..).take(usize::try_from(arguments.controls)?) {
        let (words, program, permits) = (words(arguments, seed, None), program.clone(), Arc::clone(&permits));
        controls.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            one(program, words, seed, SEED_TIME_MAX).await
        });
    }
    for control in controls.join_all().await {
        let Told { seed, verdict, report, .. } = control?;
        ensure!(verdict == "pass", "seed {seed} without a bug ends as {verdict}, so nothing is shown: {report}");
        tell(&format!("seed {seed} without a bug: pass"));
    }
    let bugs = if arguments.bugs.is_empty() { Bug::ALL } else { &arguments.bugs };
    let mut under_way = JoinSet::new();
    for (nth, bug) in bugs.iter().copied().enumerate() {
        let seeds = (arguments.seed..).take(usize::try_from(arguments.seeds)?);
        let commands = seeds.map(|seed| (seed, words(arguments, seed, Some(bug)))).collect();
        let (program, permits) = (program.clone(), Arc::clone(&permits));
        under_way.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            anyhow::Ok((nth, hunt(bug, program, commands).await))
        });
    }
    let mut fates = BTreeMap::new();
    while let Some(ended) = under_way.join_next().await {
        let (nth, fate) = ended??;
        tell(&format!("{} of {}: {}", fates.len() + 1, bugs.len(), fate.line()));
        fates.insert(nth, fate);
    }
    let bugs: Vec<Fate> = fates.into_values().collect();
    let survived: Vec<&str> = bugs.iter().filter(|fate| fate.seed.is_none()).map(|fate| fate.bug).collect();
    let caught = bugs.len() - survived.len();
    let table = Table { schema_version: 1, controls: arguments.controls, caught, survived, bugs };
    arguments.ground.write(&table)?;
    match arguments.output {
        Output::Json => say(&serde_json::to_string_pretty(&table)?),
        Output::Table => table.say(),
    }
    Ok(exit(table.survived.is_empty()))
}

fn words(arguments: &Mutants, seed: u64, bug: Option<Bug>) -> Vec<String> {
    let nodes = nodes_of(&arguments.nodes, seed).to_string();
    let (seed, seconds) = (seed.to_string(), arguments.duration.to_string());
    let mut words = ["--seed", &seed, "--nodes", &nodes, "--seconds", &seconds, "--profile", arguments.profile.name()]
        .map(str::to_owned)
        .to_vec();
    words.extend(["--healing", "8", "--first-only"].map(str::to_owned));
    words.extend(bug.into_iter().flat_map(|bug| ["--bug".to_owned(), bug.name().to_owned()]));
    words
}

/// Seed after seed until one shows it.
async fn hunt(bug: Bug, program: PathBuf, commands: Vec<(u64, Vec<String>)>) -> Fate {
    let mut fate = Fate {
        bug: bug.name(),
        place: bug.place(),
        what: bug.what(),
        caught_by: Vec::new(),
        seed: None,
        seeds: 0,
        failures: 0,
        first: String::new(),
    };
    for (seed, words) in commands {
        fate.seeds += 1;
        match one(program.clone(), words, seed, SEED_TIME_MAX).await {
            Ok(told) if told.verdict == "violation" => {
                fate.seed = Some(seed);
                let found = told.report["findings"]["violations"].as_array();
                for violation in found.into_iter().flatten() {
                    let check = violation["check"].as_str().unwrap_or_default().to_owned();
                    if !fate.caught_by.contains(&check) {
                        fate.caught_by.push(check);
                    }
                    if fate.first.is_empty() {
                        fate.first = violation["what"].as_str().unwrap_or_default().to_owned();
                    }
                }
                return fate;
            }
            Ok(told) if told.verdict == "pass" => {}
            // Nothing is shown either way.
            Ok(_) | Err(_) => fate.failures += 1,
        }
    }
    fate
}

impl Fate {
    fn line(&self) -> String {
        match self.seed {
            Some(seed) => {
                format!("{} caught at seed {seed} by {}: {}", self.bug, self.caught_by.join(", "), self.first)
            }
            None => {
                format!("{} SURVIVED {} seeds, {} of them failures of the harness", self.bug, self.seeds, self.failures)
            }
        }
    }
}

impl Table {
    /// As `chaos/README.md` shows it.
    fn say(&self) {
        say("| bug | where | what goes wrong | caught by | seed | after |");
        say("|---|---|---|---|---|---|");
        for Fate { bug, place, what, caught_by, seed, seeds, .. } in &self.bugs {
            let seed = seed.map_or_else(|| "**survived**".to_owned(), |seed| seed.to_string());
            say(&format!("| {bug} | `{place}` | {what} | {} | {seed} | {seeds} |", caught_by.join(", ")));
        }
        let all = self.bugs.len();
        say(&format!("{} of {all} caught; {} seeds without a bug passed", self.caught, self.controls));
        if !self.survived.is_empty() {
            say(&format!("survived: {}", self.survived.join(", ")));
        }
    }
}
