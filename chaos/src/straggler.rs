//! `chaos straggler`: the off-site node is away while units write, up to a million entries, and comes back while they write on.
//! How long until it has everything, through a snapshot, and how much disk does each node need meanwhile?
//!
//! ```text
//! off-site node stopped ─► programs write N entries ─► disks looked at ─► started, programs write on ─► caught up, copies equal
//! ```

use crate::ground::{Ground, Standing, exit, millis, say, until_signal, yes};
use anyhow::Context;
use plantao_client::ConnectOptions;
use plantao_client::bench::{self, BenchKind, BenchOptions};
use plantao_node::local_network::{LocalNetwork, NetworkOptions, Node, Timers};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const PROGRAMS: usize = 64;
/// And while it catches up: an ordinary day, not a benchmark.
const PROGRAMS_LATER: usize = 4;
/// One run of the programs, after which it is looked how far they got.
const RUN: Duration = Duration::from_secs(10);
/// A node that is no more than so many entries behind is there.
const CAUGHT_UP: u64 = 100;
const CATCH_UP_MAX: Duration = Duration::from_secs(1_800);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Times the bytes of the rows and a snapshot of them, where they take the least, may any node need, and besides so much: a log
/// between two snapshots, and what an engine has not joined yet.
const DISK_TIMES: u64 = 2;
const DISK_BESIDES: u64 = 2 << 30;

/// How far.
#[derive(Debug, clap::Args)]
pub(crate) struct Straggler {
    /// Entries that it is behind.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    entries: u64,
    #[command(flatten)]
    ground: Ground,
}

/// Bytes of a node's files.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Disk {
    log: u64,
    state: u64,
    snapshots: u64,
}

impl Disk {
    fn of(node: &Node) -> Self {
        let bytes = |name: &str| bytes_below(&node.data_dir().join(name));
        Self { log: bytes("log"), state: bytes("state"), snapshots: bytes("snapshots") }
    }

    const fn all(&self) -> u64 {
        self.log + self.state + self.snapshots
    }

    const fn is_bounded(&self, live: u64) -> bool {
        self.all() <= DISK_TIMES * live + DISK_BESIDES
    }
}

#[derive(Debug, Serialize)]
struct Figures {
    schema_version: u32,
    /// How far it was behind when it started.
    behind: u64,
    writes_per_second: f64,
    /// Of its process, until it says that it is ready.
    start_ms: u64,
    catch_up_ms: u64,
    /// Acknowledged meanwhile, by an ordinary number of programs.
    writes_meanwhile: u64,
    /// By node, when it starts and when it has caught up.
    disk_before: BTreeMap<String, Disk>,
    disk_after: BTreeMap<String, Disk>,
    digests_equal: bool,
    held: bool,
}

/// Runs it.
pub(crate) async fn run(arguments: &Straggler) -> anyhow::Result<ExitCode> {
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

async fn measure(arguments: &Straggler, standing: &Standing) -> anyhow::Result<ExitCode> {
    let name = "chaos".parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
    let options = NetworkOptions::clinic(standing.program.clone(), name, Timers::Wan);
    let mut network = LocalNetwork::create(&standing.directory, &options).await?;
    let away =
        network.nodes().iter().position(|node| !node.spec().keyed).context("a network without an off-site node")?;
    let begun_at = committed(&network).await?;
    network.stop(away).await?;
    say(&format!("{} is away while {PROGRAMS} programs write", network.nodes()[away].name()));
    let began = Instant::now();
    let mut behind = 0;
    while behind < arguments.entries {
        let run = BenchOptions { duration: RUN, warmup: Duration::ZERO, ..options_of(PROGRAMS) };
        let report = bench::run(&network.connect(&ConnectOptions::default())?, &run).await?;
        behind = committed(&network).await?.saturating_sub(begun_at);
        say(&format!("{behind:>9} of {} entries, {:>6.0} writes a second", arguments.entries, report.ops_per_second));
    }
    let writes_per_second = behind as f64 / began.elapsed().as_secs_f64();
    let disk_before = disks(&network);
    say_disks("it comes back", &disk_before);
    let start_ms = millis(network.start(away).await?);
    let returned = Instant::now();
    let cluster = network.connect(&ConnectOptions::default())?;
    let later = BenchOptions { duration: CATCH_UP_MAX, warmup: Duration::ZERO, ..options_of(PROGRAMS_LATER) };
    let ordinary = tokio::spawn(async move { bench::run(&cluster, &later).await });
    let written_before = committed(&network).await?;
    let name = network.nodes()[away].name().to_owned();
    let mut told = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let left = network.behind().await?.get(&name).copied();
        if left.is_some_and(|left| left <= CAUGHT_UP) {
            break;
        }
        anyhow::ensure!(returned.elapsed() < CATCH_UP_MAX, "it has not caught up within {CATCH_UP_MAX:?}");
        anyhow::ensure!(network.fallen().is_empty(), "a node ended by itself");
        if told.elapsed() > RUN {
            told = Instant::now();
            say(&format!("{:>9} entries behind", left.unwrap_or(behind)));
        }
    }
    let catch_up_ms = millis(returned.elapsed());
    let writes_meanwhile = committed(&network).await?.saturating_sub(written_before);
    ordinary.abort();
    network.settle().await?;
    let digests = network.digests().await?;
    let digests_equal =
        digests.windows(2).all(|pair| pair[0].content == pair[1].content && pair[0].chain == pair[1].chain);
    let disk_after = disks(&network);
    say_disks("it has caught up", &disk_after);
    // The same rows everywhere, held by two engines.
    let live = disk_after.values().map(|disk| disk.state + disk.snapshots).min().unwrap_or(0);
    let is_bounded = |disks: &BTreeMap<String, Disk>| disks.values().all(|disk| disk.is_bounded(live));
    let figures = Figures {
        schema_version: 1,
        behind,
        writes_per_second,
        start_ms,
        catch_up_ms,
        writes_meanwhile,
        digests_equal,
        held: digests_equal && writes_meanwhile > 0 && is_bounded(&disk_before) && is_bounded(&disk_after),
        disk_before,
        disk_after,
    };
    say(&format!(
        "{} entries behind, ready in {} ms, caught up after {:.1} s, {} entries committed meanwhile; copies equal: {}; disks: {}",
        figures.behind,
        figures.start_ms,
        figures.catch_up_ms as f64 / 1e3,
        figures.writes_meanwhile,
        yes(figures.digests_equal),
        yes(figures.held)
    ));
    arguments.ground.write(&figures)?;
    network.stop_all().await?;
    Ok(exit(figures.held))
}

fn options_of(clients: usize) -> BenchOptions {
    BenchOptions { clients, ..BenchOptions::new(BenchKind::Write) }
}

async fn committed(network: &LocalNetwork) -> anyhow::Result<u64> {
    let leader = network.leader().await?;
    let cluster = network.connect(&ConnectOptions::default())?;
    let admin = cluster.admin_nodes().get(leader).context("a node without an admin plane")?;
    Ok(admin.get_status().await?.committed_index)
}

fn disks(network: &LocalNetwork) -> BTreeMap<String, Disk> {
    network.nodes().iter().map(|node| (node.name().to_owned(), Disk::of(node))).collect()
}

/// Of all files; what goes away meanwhile counts nothing.
fn bytes_below(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
        Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |metadata| metadata.len()),
        _ => 0,
    });
    sizes.sum()
}

fn say_disks(when: &str, disks: &BTreeMap<String, Disk>) {
    say(&format!("{when:<20} MiB of log, rows, snapshots"));
    for (node, disk) in disks {
        say(&format!("  {node:<18} {:>6} {:>6} {:>6}", disk.log >> 20, disk.state >> 20, disk.snapshots >> 20));
    }
}
