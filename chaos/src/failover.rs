//! `chaos failover`: two units and an off-site node, a write begun every 5 ms through both units, and the leader killed
//! (SIGKILL) again and again. The interruption is what a program sees: the longest time between two acknowledged writes
//! around the kill. At the end every acknowledged write is looked for, and the copies are compared.

use crate::aftermath::Aftermath;
use crate::ground::{Ground, Standing, exit, median_and_worst, millis, say, until_signal, yes};
use anyhow::Context;
use plantao_client::ConnectOptions;
use plantao_node::local_network::load::{Load, LoadOptions};
use plantao_node::local_network::{LocalNetwork, NetworkOptions, Timers};
use serde::Serialize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Acknowledged writes between two faults: a second of the load.
const FLOWING: usize = 200;

/// What the median must not exceed: promise of the first release, from simulation (2.4 s and 1.1 s) with a margin.
const fn median_max(timers: Timers) -> Duration {
    match timers {
        Timers::Wan => Duration::from_millis(2_600),
        Timers::Lan => Duration::from_millis(1_200),
    }
}

/// How often, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Failover {
    /// How often the leader is killed.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    times: u32,
    /// Raft timers.
    #[arg(long, value_enum, default_value_t = Timers::Wan)]
    timers: Timers,
    #[command(flatten)]
    ground: Ground,
}

/// One kill.
#[derive(Debug, Serialize)]
struct Round {
    killed: String,
    took_over: String,
    /// From the last acknowledged write before to the first one after.
    writes_failed_ms: u64,
    /// From the start of the killed node's process to its ready line.
    restart_ms: u64,
}

#[derive(Debug, Serialize)]
struct Figures {
    schema_version: u32,
    timers: &'static str,
    rounds: Vec<Round>,
    median_ms: u64,
    worst_ms: u64,
    median_max_ms: u64,
    #[serde(flatten)]
    aftermath: Aftermath,
    held: bool,
}

/// Runs it.
pub(crate) async fn run(arguments: &Failover) -> anyhow::Result<ExitCode> {
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

async fn measure(arguments: &Failover, standing: &Standing) -> anyhow::Result<ExitCode> {
    let cluster = "chaos".parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
    let options = NetworkOptions::clinic(standing.program.clone(), cluster, arguments.timers);
    let mut network = LocalNetwork::create(&standing.directory, &options).await?;
    let cluster = network.connect(&ConnectOptions::default())?;
    let load = Load::start(&cluster, &LoadOptions::default()).await?;
    say(&format!("{} times kill -9 of the leader, {} timers", arguments.times, arguments.timers.as_str()));
    say(" nth  killed    took over  writes failed    restart");
    let mut rounds = Vec::new();
    for nth in 1..=arguments.times {
        let round = round(&mut network, &load).await?;
        say(&format!(
            "{nth:>4}  {:<8}  {:<9}  {:>10} ms  {:>6} ms",
            round.killed, round.took_over, round.writes_failed_ms, round.restart_ms
        ));
        rounds.push(round);
    }
    let (stage, ledger) = load.stop().await?;
    let aftermath = Aftermath::of(&network, &cluster, &stage, ledger).await?;
    let (median_ms, worst_ms) = median_and_worst(rounds.iter().map(|round| round.writes_failed_ms));
    let median_max_ms = millis(median_max(arguments.timers));
    let figures = Figures {
        schema_version: 1,
        timers: arguments.timers.as_str(),
        held: median_ms <= median_max_ms && aftermath.holds(),
        rounds,
        median_ms,
        worst_ms,
        median_max_ms,
        aftermath,
    };
    conclude(&figures);
    arguments.ground.write(&figures)?;
    network.stop_all().await?;
    Ok(exit(figures.held))
}

/// The load flows, the leader dies, the load flows again, the dead one comes back and catches up.
async fn round(network: &mut LocalNetwork, load: &Load) -> anyhow::Result<Round> {
    load.acknowledged_after(Instant::now(), FLOWING).await?;
    let leader = network.leader().await?;
    let killed_at = Instant::now();
    network.kill(leader).await?;
    load.acknowledged_after(killed_at, FLOWING).await?;
    let gap = load.ledger().interruption(killed_at).context("no writes around the kill")?;
    let next = network.leader().await?;
    let restart = network.start(leader).await?;
    network.settle().await?;
    Ok(Round {
        killed: network.nodes()[leader].name().to_owned(),
        took_over: network.nodes()[next].name().to_owned(),
        writes_failed_ms: millis(gap.length()),
        restart_ms: millis(restart),
    })
}

fn conclude(figures: &Figures) {
    say(&format!(
        "median {} ms (at most {}: {}), worst {} ms",
        figures.median_ms,
        figures.median_max_ms,
        yes(figures.median_ms <= figures.median_max_ms),
        figures.worst_ms
    ));
    figures.aftermath.say();
}
