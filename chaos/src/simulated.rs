//! `chaos run --world sim`: a process of `chaos-sim` for each seed, some at a time, and what they say.

use crate::ground::{EXIT_CANNOT, beside, exit, say};
use crate::run::Run;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::process::Command;
use tokio::task::JoinSet;

/// The real time that one seed may take; with three nodes a minute is simulated in less than one on a quiet machine.
pub(crate) const SEED_TIME_MAX: Duration = Duration::from_secs(900);
/// And so much longer for each node above ten: what all of them say to each other, and look at, grows faster than their number.
const NODE_TIME_MAX: Duration = Duration::from_secs(180);
/// Violations that a line for people shows.
const SHOWN_MAX: usize = 8;

/// What only this world takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Settings {
    /// World sim: nodes, of which up to five vote and the others replicate; of several numbers each seed takes one.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "3", value_parser = clap::value_parser!(u64).range(3..=50))]
    nodes: Vec<u64>,
    /// World sim: run so many of the seeds twice, and compare the traces of both.
    #[arg(long, value_name = "N", default_value_t = 0)]
    twice: u64,
    /// World sim: seeds at a time.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: u64,
}

/// What one process said.
pub(crate) struct Told {
    pub(crate) seed: u64,
    /// `pass`, `violation` or `harness-failure`.
    pub(crate) verdict: String,
    trace: String,
    pub(crate) report: Value,
}

/// Runs all seeds.
pub(crate) async fn run(arguments: &Run) -> anyhow::Result<ExitCode> {
    ensure!(
        arguments.faults.is_empty() && arguments.out.is_none(),
        "--faults and --out are of the other world: here the seed decides, and the same seed does it again"
    );
    let program = beside(None, "chaos-sim", "building the whole workspace")?;
    let mut waiting: Vec<u64> = (arguments.seed..).take(usize::try_from(arguments.seeds)?).collect();
    let again: Vec<u64> = waiting.iter().copied().take(usize::try_from(arguments.simulated.twice)?).collect();
    waiting.extend(&again);
    waiting.reverse();
    let (all, mut seconds) = (waiting.len(), 0);
    let (mut under_way, mut told): (JoinSet<anyhow::Result<Told>>, Vec<Told>) = (JoinSet::new(), Vec::new());
    let mut harness_failures = 0;
    loop {
        while under_way.len() < usize::try_from(arguments.simulated.jobs)?
            && let Some(seed) = waiting.pop()
        {
            under_way.spawn(one(program.clone(), words(arguments, seed), seed, time_max(arguments, seed)));
        }
        match under_way.join_next().await {
            None => break,
            Some(Ok(Ok(seed))) => {
                seed.say(arguments, told.len() + 1, all);
                seconds += seed.report["simulated_seconds"].as_u64().unwrap_or(0);
                told.push(seed);
            }
            Some(failed) => {
                harness_failures += 1;
                match failed? {
                    Err(error) => say(&format!("harness failure: {error:#}")),
                    Ok(_) => continue,
                }
            }
        }
    }
    let differing = differing(&told);
    for seed in &differing {
        say(&format!("seed {seed}: two runs of it differ"));
    }
    let count = |verdict: &str| told.iter().filter(|it| it.verdict == verdict).count();
    let (passes, violations) = (count("pass"), count("violation"));
    let failures = harness_failures + count("harness-failure") + differing.len();
    say(&format!(
        "{passes} pass, {violations} violations, {failures} harness failures; {} run twice; {} simulated minutes",
        again.len(),
        seconds / 60
    ));
    arguments.ground.write(&told.iter().map(|it| &it.report).collect::<Vec<_>>())?;
    Ok(if violations == 0 && failures > 0 { ExitCode::from(EXIT_CANNOT) } else { exit(violations == 0) })
}

/// Which of `all` numbers of nodes a seed takes. Timers go by whether it is odd, so this goes by the rest of it.
pub(crate) fn nodes_of(all: &[u64], seed: u64) -> u64 {
    let nth = (seed / 2).checked_rem(all.len() as u64).unwrap_or(0);
    usize::try_from(nth).ok().and_then(|nth| all.get(nth)).copied().unwrap_or(3)
}

fn words(arguments: &Run, seed: u64) -> Vec<String> {
    let (nodes, profile) = (nodes_of(&arguments.simulated.nodes, seed).to_string(), arguments.profile.name());
    let (seed, seconds) = (seed.to_string(), arguments.duration.to_string());
    ["--seed", &seed, "--nodes", &nodes, "--profile", profile, "--seconds", &seconds].map(str::to_owned).to_vec()
}

/// The real time that a seed may take: what was measured of a minute, for each minute that was begun.
fn time_max(arguments: &Run, seed: u64) -> Duration {
    let beyond = u32::try_from(nodes_of(&arguments.simulated.nodes, seed).saturating_sub(10)).unwrap_or(0);
    let minutes = u32::try_from(arguments.duration.div_ceil(60)).unwrap_or(u32::MAX);
    (SEED_TIME_MAX + NODE_TIME_MAX * beyond).saturating_mul(minutes.max(1))
}

/// Seeds whose traces are not all the same.
fn differing(told: &[Told]) -> Vec<u64> {
    let first = |seed: u64| told.iter().find(|it| it.seed == seed);
    let mut seeds: Vec<u64> = told
        .iter()
        .filter(|it| first(it.seed).is_some_and(|first| first.trace != it.trace))
        .map(|it| it.seed)
        .collect();
    seeds.dedup();
    seeds
}

/// Nodes sync real files, journals above all, and nothing here depends on a disk: in memory a seed takes a tenth of the time.
fn in_memory() -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("plantao-sim-");
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir())
}

/// One seed in a process of its own.
pub(crate) async fn one(program: PathBuf, words: Vec<String>, seed: u64, time_max: Duration) -> anyhow::Result<Told> {
    let directory = in_memory()?;
    let mut command = Command::new(&program);
    command.args(&words).arg("--dir").arg(directory.path()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(time_max, command.output()).await;
    let output = output.with_context(|| format!("seed {seed} did not end within {time_max:?}"))??;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.stdout.is_empty(), "seed {seed} ended with {}: {}", output.status, errors.trim());
    let report: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("seed {seed} said no JSON"))?;
    let text = |key: &str| report[key].as_str().unwrap_or_default().to_owned();
    Ok(Told { seed, verdict: text("verdict"), trace: text("trace"), report })
}

impl Told {
    fn say(&self, arguments: &Run, nth: usize, all: usize) {
        let it = &self.report;
        let faults = it["faults"].as_object().map_or_else(String::new, |faults| {
            faults.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        });
        say(&format!(
            "{nth} of {all}: seed {}: {}; {} nodes, {} s, {} calls, {} confirmed, {} leaders; ordered {}, decided {} again; faults: {faults}; trace {}",
            self.seed,
            self.verdict,
            it["nodes"],
            it["simulated_seconds"],
            it["calls"],
            it["confirmed"],
            it["leaderships"],
            it["findings"]["ordered_calls"],
            it["findings"]["replayed"],
            self.trace,
        ));
        if let Some(why) = it["why"].as_str() {
            say(&format!("  {why}"));
        }
        for violation in it["findings"]["violations"].as_array().into_iter().flatten().take(SHOWN_MAX) {
            let text = |key: &str| violation[key].as_str().unwrap_or_default();
            say(&format!("  {}: {}", text("check"), text("what")));
        }
        if self.verdict != "pass" {
            say(&format!("  again: {}", again(arguments, self.seed)));
        }
    }
}

fn again(arguments: &Run, seed: u64) -> String {
    let (profile, duration, nodes) =
        (arguments.profile.name(), arguments.duration, nodes_of(&arguments.simulated.nodes, seed));
    format!("chaos run --world sim --seed {seed} --nodes {nodes} --profile {profile} --duration {duration}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_whose_traces_differ_is_named_once() {
        let told =
            |seed, trace: &str| Told { seed, verdict: "pass".to_owned(), trace: trace.to_owned(), report: Value::Null };
        assert_eq!(differing(&[told(1, "a"), told(2, "b"), told(1, "a")]), Vec::<u64>::new());
        assert_eq!(differing(&[told(1, "a"), told(2, "b"), told(2, "c"), told(1, "a"), told(2, "d")]), [2]);
    }
}
