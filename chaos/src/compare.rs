//! `chaos compare`: a network of ours and three members of etcd, on the same machine, disk and certificates, in turn, with the
//! same programs. Ours does more for each operation: it seals and audits, checks the clinic's rules, and keeps digests. What a
//! node of ours did not keep up with counts as well: speed that leaves the off-site copy behind is none.
//!
//! ```text
//! for each kind and number of programs:   etcd, ours, etcd, ours, …   medians of the rates, CPU of the three servers
//! ```

use crate::etcd::{Deed, Etcd};
use crate::ground::{Ground, Standing, exit, say, until_signal, yes};
use anyhow::Context;
use plantao_client::bench::{self, BenchKind, BenchOptions};
use plantao_client::transport::CredentialsPaths;
use plantao_client::{Cluster, ConnectOptions};
use plantao_node::local_network::{LocalNetwork, NetworkOptions, Timers};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// As the figures that were published for orientation were made.
const CONNECTIONS: usize = 16;
const WARMUP: Duration = Duration::from_secs(1);
/// What was done in so long a node may still have before it when programs end.
const BEHIND_MAX: Duration = Duration::from_millis(500);
/// Of `/proc/<pid>/stat`: what Linux counts processor time in, on every machine that runs it.
const TICKS_PER_SECOND: f64 = 100.0;

/// What, with how many, how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Compare {
    /// Programs that wait for each answer, one run for each number.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,64,256",
        value_parser = clap::value_parser!(u16).range(1..=4_096))]
    clients: Vec<u16>,
    /// How long each run is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Runs of each side; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    runs: u8,
    /// Raft timers of ours.
    #[arg(long, value_enum, default_value_t = Timers::Lan)]
    timers: Timers,
    /// `etcd`; default: the one that is installed.
    #[arg(long, value_name = "FILE", default_value = "etcd")]
    etcd: PathBuf,
    #[command(flatten)]
    ground: Ground,
}

/// One side of one row: medians over the runs.
#[derive(Clone, Copy, Debug, Serialize)]
struct Side {
    ops_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Of the three servers, for a thousand operations; what the programs use is not in it.
    server_cpu_seconds_per_1000: f64,
    errors: u64,
}

#[derive(Debug, Serialize)]
struct Row {
    kind: BenchKind,
    clients: u16,
    etcd: Side,
    plantao: Side,
    /// Ours by theirs.
    rate_ratio: f64,
    /// Entries that the slowest node of ours had not applied when the programs ended; the worst of the runs.
    behind: u64,
}

#[derive(Debug, Serialize)]
struct Figures {
    schema_version: u32,
    seconds: u64,
    runs: u8,
    value_bytes: usize,
    rows: Vec<Row>,
    /// Whether no node was further behind than [`BEHIND_MAX`].
    held: bool,
}

/// Runs it.
pub(crate) async fn run(arguments: &Compare) -> anyhow::Result<ExitCode> {
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

/// What one run gave, before it is put in relation.
struct Run {
    ops_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    ops: u64,
    errors: u64,
}

async fn measure(arguments: &Compare, standing: &Standing) -> anyhow::Result<ExitCode> {
    let cluster = "chaos".parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
    let options = NetworkOptions::clinic(standing.program.clone(), cluster, arguments.timers);
    let mut network = LocalNetwork::create(&standing.directory, &options).await?;
    let ours: Vec<u32> = network.nodes().iter().filter_map(plantao_node::local_network::Node::pid).collect();
    let servers: Vec<&Path> = network.nodes().iter().map(plantao_node::local_network::Node::tls_dir).collect();
    let context = network.context("sistema");
    let client = CredentialsPaths { certificate: context.cert, key: context.key, roots: context.ca };
    let etcd = Etcd::start(&arguments.etcd, &standing.directory.join("etcd"), &servers, &client).await?;
    etcd.fill().await?;
    let theirs = etcd.processes();
    let duration = Duration::from_secs(arguments.seconds);
    say(&format!(
        "three nodes each, mutual TLS, fsync, {} runs of {} s in turn, medians",
        arguments.runs, arguments.seconds
    ));
    say("                        etcd                                plantao");
    say("kind   clients     ops/s  p50 ms  p99 ms  CPU s/1000     ops/s  p50 ms  p99 ms  CPU s/1000   ratio");
    let (mut rows, mut held) = (Vec::new(), true);
    for (kind, deed) in [(BenchKind::Write, Deed::Put), (BenchKind::Book, Deed::Book), (BenchKind::Read, Deed::Get)] {
        for clients in &arguments.clients {
            let programs = usize::from(*clients);
            let (mut of_etcd, mut of_ours, mut behind) = (Vec::new(), Vec::new(), 0);
            for _ in 0..arguments.runs {
                let before = processor_seconds(&theirs)?;
                let answers = etcd.run(deed, programs, CONNECTIONS, WARMUP, duration).await?;
                let run = Run {
                    ops_per_second: answers.ops_per_second,
                    p50_ms: answers.p50_us as f64 / 1_000.0,
                    p99_ms: answers.p99_us as f64 / 1_000.0,
                    ops: answers.ops,
                    errors: answers.errors,
                };
                of_etcd.push((run, processor_seconds(&theirs)? - before));
                let before = processor_seconds(&ours)?;
                let run = run_ours(&network, kind, programs, duration).await?;
                // The processor's time of what is left to do belongs to what was done.
                behind = behind.max(network.behind().await?.into_values().max().unwrap_or(0));
                network.settle().await?;
                of_ours.push((run, processor_seconds(&ours)? - before));
            }
            let (etcd, plantao) = (side(&of_etcd, duration), side(&of_ours, duration));
            let row = Row { kind, clients: *clients, etcd, plantao, rate_ratio: ratio(&etcd, &plantao), behind };
            say(&line(&row));
            held &= row.keeps_up();
            rows.push(row);
        }
    }
    arguments.ground.write(&Figures {
        schema_version: 1,
        seconds: arguments.seconds,
        runs: arguments.runs,
        value_bytes: BenchOptions::new(BenchKind::Write).value_bytes,
        rows,
        held,
    })?;
    say(&format!("every node kept up: {}", yes(held)));
    drop(etcd);
    network.stop_all().await?;
    Ok(exit(held))
}

impl Row {
    fn keeps_up(&self) -> bool {
        self.behind as f64 <= self.plantao.ops_per_second * BEHIND_MAX.as_secs_f64()
    }
}

async fn run_ours(network: &LocalNetwork, kind: BenchKind, clients: usize, duration: Duration) -> anyhow::Result<Run> {
    let options =
        BenchOptions { clients, duration, warmup: WARMUP, connections_max: CONNECTIONS, ..BenchOptions::new(kind) };
    let endpoints = network.nodes().iter().filter(|node| node.spec().keyed).count();
    let connections = options.connections_per_endpoint(endpoints);
    let cluster: Cluster = network.connect(&ConnectOptions { connections, ..ConnectOptions::default() })?;
    let report = bench::run(&cluster, &options).await?;
    Ok(Run {
        ops_per_second: report.ops_per_second,
        p50_ms: report.p50,
        p99_ms: report.p99,
        ops: report.ops,
        errors: report.errors,
    })
}

fn ratio(theirs: &Side, ours: &Side) -> f64 {
    if theirs.ops_per_second > 0.0 { ours.ops_per_second / theirs.ops_per_second } else { 0.0 }
}

/// The processor's time covers warming up and preparing too, the operations only the measured time: the warm-up counts with the
/// same rate, what is prepared (at most 1,200 operations) is not told apart.
fn side(runs: &[(Run, f64)], duration: Duration) -> Side {
    let stretch = (duration + WARMUP).as_secs_f64() / duration.as_secs_f64();
    let middle = |value: fn(&(Run, f64)) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    let per_thousand = middle(|(run, seconds)| seconds * 1_000.0 / (run.ops.max(1) as f64));
    Side {
        ops_per_second: middle(|(run, _)| run.ops_per_second),
        p50_ms: middle(|(run, _)| run.p50_ms),
        p99_ms: middle(|(run, _)| run.p99_ms),
        server_cpu_seconds_per_1000: per_thousand / stretch,
        errors: runs.iter().map(|(run, _)| run.errors).sum(),
    }
}

fn line(row: &Row) -> String {
    let side = |side: &Side| {
        format!(
            "{:>8.0} {:>7.2} {:>7.2} {:>11.2}",
            side.ops_per_second, side.p50_ms, side.p99_ms, side.server_cpu_seconds_per_1000
        )
    };
    let kind = match row.kind {
        BenchKind::Write => "write",
        BenchKind::Book => "book",
        _ => "read",
    };
    let failed = row.etcd.errors + row.plantao.errors;
    let failed = if failed == 0 { String::new() } else { format!("   {failed} errors") };
    let behind = if row.keeps_up() { String::new() } else { format!("   {} entries behind", row.behind) };
    format!(
        "{kind:<6} {:>7}  {}  {} {:>7.2}{failed}{behind}",
        row.clients,
        side(&row.etcd),
        side(&row.plantao),
        row.rate_ratio
    )
}

/// Seconds that these processes have used in all, in and for the system.
fn processor_seconds(processes: &[u32]) -> anyhow::Result<f64> {
    let mut ticks = 0;
    for process in processes {
        let path = format!("/proc/{process}/stat");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        ticks += ticks_in(&text).with_context(|| format!("{path} has no times"))?;
    }
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// The 14th and the 15th field; the 2nd, the program's name, may hold spaces and ends with the last bracket.
fn ticks_in(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_whatever_the_program_is_called() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 120 34 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks_in(stat), Some(154));
        assert_eq!(ticks_in("7 (a"), None);
        assert!(processor_seconds(&[std::process::id()]).unwrap() >= 0.0);
    }

    #[test]
    fn a_side_is_the_median_of_its_runs() {
        let run = |ops: u64, seconds: f64| {
            (Run { ops_per_second: ops as f64, p50_ms: 1.0, p99_ms: 2.0, ops, errors: 1 }, seconds)
        };
        let side = side(&[run(1_000, 2.0), run(3_000, 3.0), run(2_000, 8.0)], Duration::from_secs(1));
        assert_eq!((side.ops_per_second, side.errors), (2_000.0, 3));
        // Half of it was the warm-up.
        assert_eq!(side.server_cpu_seconds_per_1000, 1.0);
    }
}
