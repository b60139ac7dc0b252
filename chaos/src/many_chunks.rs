//! `chaos many-chunks`: two units and an off-site node that hold many chunks of images; how long `plantao status` and
//! `plantao compliance 321` take then, how much of its budget the scrub of each node uses, and how much memory a node has.
//! With `--dir` the network stays, and another run only adds what lacks.

use crate::ground::{Ground, Standing, beside, bytes, exit, median_and_worst, millis, say, until_signal, yes};
use crate::operator::{Operator, read_bytes, resident_peak};
use anyhow::{Context, bail};
use plantao_client::bench::Gallery;
use plantao_client::{Cluster, ConnectOptions};
use plantao_node::local_network::load::{Stage, Work};
use plantao_node::local_network::{LocalNetwork, NetworkOptions, Timers};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Goals.
const STATUS_MAX: Duration = Duration::from_secs(1);
const PROOF_MAX: Duration = Duration::from_secs(5);
const MEMORY_MAX: u64 = 256 << 20;
/// How often each is run.
const STATUSES: usize = 5;
const PROOFS: usize = 3;
/// The scrub is watched for so long.
const SCRUB_TIME: Duration = Duration::from_secs(20);
/// After a start a node also compares what should be there with what is: it is watched again until that is over, at most so
/// often.
const SCRUB_LOOKS: usize = 6;
/// What a node reads beside its scrub, and the second of budget that may have been saved up, in parts of the budget.
const SCRUB_TOLERANCE: f64 = 1.15;
/// How long copies may take to be everywhere once all images are acknowledged.
const COPIES_MAX: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two lines about how far it is.
const TELL_EVERY: u64 = 10_000;

/// How many, and of what size.
#[derive(Debug, clap::Args)]
pub(crate) struct ManyChunks {
    /// Chunks that each node is to hold; each is an image of its own.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    chunks: u64,
    /// Bytes of each, as 64KiB; at most a chunk.
    #[arg(long, default_value = "16KiB", value_parser = bytes)]
    bytes: u64,
    /// Programs that store at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    clients: u32,
    /// Budget of the scrub in bytes a second, as 4MiB.
    #[arg(long, default_value = "4MiB", value_parser = bytes)]
    scrub_rate: u64,
    /// `plantao`; default: the one beside this program.
    #[arg(long, value_name = "FILE")]
    cli: Option<PathBuf>,
    #[command(flatten)]
    ground: Ground,
}

#[derive(Debug, Serialize)]
struct NodeFigures {
    /// Chunks that it should hold, all with a receipt.
    chunks: u64,
    /// From the start of its process, with all of them there, until it is ready.
    start_ms: u64,
    /// Bytes a second that it read while nobody asked anything.
    scrub_bytes_per_second: u64,
    /// The most memory while images were stored, and since the start after that.
    resident_storing_bytes: u64,
    resident_peak_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Figures {
    schema_version: u32,
    chunks: u64,
    image_bytes: u64,
    stored: u64,
    /// From the first upload to the last acknowledgement.
    storing_ms: u64,
    /// Then, until every node had its copies.
    copying_ms: u64,
    status_ms: Vec<u64>,
    status_goal_ms: u64,
    proof_ms: Vec<u64>,
    proof_goal_ms: u64,
    /// What the proofs ended with: 0 holds.
    proof_codes: Vec<Option<i32>>,
    scrub_budget: u64,
    /// From the start of the nodes until they read for their scrub alone.
    calm_after_ms: u64,
    memory_goal_bytes: u64,
    nodes: BTreeMap<String, NodeFigures>,
    held: bool,
}

/// Runs it.
pub(crate) async fn run(arguments: &ManyChunks) -> anyhow::Result<ExitCode> {
    if !(140..=1 << 20).contains(&arguments.bytes) {
        bail!("--bytes is from 140 to 1MiB: an image is to be one chunk");
    }
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

async fn measure(arguments: &ManyChunks, standing: &Standing) -> anyhow::Result<ExitCode> {
    let program = beside(arguments.cli.as_deref(), "plantao", "--cli")?;
    let simulated = || "chunks.simulated_media=true".to_owned();
    let mut network = if LocalNetwork::exists(&standing.directory) {
        let mut network = LocalNetwork::open(&standing.directory, standing.program.clone(), vec![simulated()])?;
        network.start_all().await?;
        network.settle().await?;
        network
    } else {
        let cluster = "chaos".parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
        let options = NetworkOptions::clinic(standing.program.clone(), cluster, Timers::Wan);
        let options = NetworkOptions { settings: vec![simulated()], ..options };
        LocalNetwork::create(&standing.directory, &options).await?
    };
    let connections = usize::try_from(arguments.clients)?.div_ceil(8);
    let cluster = network.connect(&ConnectOptions { connections, ..ConnectOptions::default() })?;
    let (there, _) = copies(&cluster).await?;
    let lacking = arguments.chunks.saturating_sub(there);
    let started = Instant::now();
    if lacking > 0 {
        store(&cluster, arguments, lacking).await?;
    }
    let storing = started.elapsed();
    let copying = Instant::now();
    let deadline = copying + COPIES_MAX;
    let mut backlog = copies(&cluster).await?.1;
    while backlog > 0 {
        if Instant::now() > deadline {
            bail!("{backlog} copies are still missing after {} s", COPIES_MAX.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
        backlog = copies(&cluster).await?.1;
    }
    let copying = copying.elapsed();
    let held = copies(&cluster).await?.0;
    say(&format!(
        "{held} chunks on every node; {lacking} stored in {:.1} s, copied {:.1} s later",
        storing.as_secs_f64(),
        copying.as_secs_f64()
    ));
    let while_storing: Vec<u64> = network.nodes().iter().map(resident_peak).collect::<anyhow::Result<_>>()?;
    // From here on a copy is due again at once, so that the scrub always has something to do.
    let rate = format!("chunks.scrub_rate={} B", arguments.scrub_rate);
    network.stop_all().await?;
    network.set(vec![simulated(), rate, "chunks.scrub_interval=1s".to_owned()]);
    let starts = network.start_all().await?;
    network.settle().await?;
    let (scrub, calm_after) = scrub(&network, arguments.scrub_rate).await?;
    say(&format!("reads are those of the scrub alone {} s after the start", calm_after.as_secs()));
    let operator = Operator::of(&network, &program);
    let (mut status_ms, mut proof_ms, mut proof_codes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STATUSES {
        status_ms.push(millis(operator.done(&["-o", "json", "status"]).await?.took));
    }
    for _ in 0..PROOFS {
        let told = operator.run(&["compliance", "321"]).await?;
        if proof_ms.is_empty() {
            say(told.stdout.trim_end());
            say(told.stderr.trim_end());
        }
        proof_ms.push(millis(told.took));
        proof_codes.push(told.code);
    }
    let mut nodes = BTreeMap::new();
    let of_nodes = network.nodes().iter().zip(scrub).zip(while_storing).zip(starts);
    for (((node, scrub_bytes_per_second), while_storing), start) in of_nodes {
        let figures = NodeFigures {
            chunks: held,
            start_ms: millis(start),
            scrub_bytes_per_second,
            resident_storing_bytes: while_storing,
            resident_peak_bytes: resident_peak(node)?,
        };
        nodes.insert(node.name().to_owned(), figures);
    }
    let mut figures = Figures {
        schema_version: 1,
        chunks: held,
        image_bytes: arguments.bytes,
        stored: lacking,
        storing_ms: millis(storing),
        copying_ms: millis(copying),
        status_ms,
        status_goal_ms: millis(STATUS_MAX),
        proof_ms,
        proof_goal_ms: millis(PROOF_MAX),
        proof_codes,
        scrub_budget: arguments.scrub_rate,
        calm_after_ms: millis(calm_after),
        memory_goal_bytes: MEMORY_MAX,
        nodes,
        held: false,
    };
    figures.held = conclude(&figures);
    arguments.ground.write(&figures)?;
    network.stop_all().await?;
    Ok(exit(figures.held))
}

/// Chunks that every node should hold at least, and receipts that are missing on all nodes together, as a unit knows.
async fn copies(cluster: &Cluster) -> anyhow::Result<(u64, u64)> {
    let status = cluster.admin_nodes().first().context("no admin plane")?.get_status().await?;
    let images = status.images.as_ref().context("a unit knows nothing of images")?;
    let expected = images.nodes.iter().map(|node| node.expected_chunks).min().unwrap_or(0);
    Ok((expected, images.nodes.iter().map(|node| node.backlog_chunks).sum()))
}

/// Stores so many images, through both units, as programs do.
async fn store(cluster: &Cluster, arguments: &ManyChunks, count: u64) -> anyhow::Result<()> {
    let stage = Stage::prepare(cluster, Work::Ordinary).await?;
    let size = usize::try_from(arguments.bytes)?;
    let mut galleries = Vec::new();
    for patient in stage.patients() {
        galleries.push(Gallery::prepare(cluster, stage.unit(), *patient, size).await?);
    }
    let (galleries, next, started) = (Arc::new(galleries), Arc::new(AtomicU64::new(0)), Instant::now());
    let mut clients = JoinSet::new();
    for nth in 0..usize::try_from(arguments.clients)? {
        let cluster = cluster.spread(nth);
        let (galleries, next) = (Arc::clone(&galleries), Arc::clone(&next));
        clients.spawn(async move {
            let gallery = &galleries[nth % galleries.len()];
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return Ok(());
                }
                gallery.put(&cluster).await?;
                if (at + 1).is_multiple_of(TELL_EVERY) {
                    let per_second = (at + 1) as f64 / started.elapsed().as_secs_f64();
                    say(&format!("{} of {count} images, {per_second:.0} a second", at + 1));
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        let stored: Result<(), plantao_client::Error> = client?;
        stored?;
    }
    Ok(())
}

/// Bytes a second that each node reads while nobody asks anything, and when what a start does beside was over.
async fn scrub(network: &LocalNetwork, budget: u64) -> anyhow::Result<(Vec<u64>, Duration)> {
    let read = || network.nodes().iter().map(read_bytes).collect::<anyhow::Result<Vec<u64>>>();
    let mut rates = Vec::new();
    let begun = Instant::now();
    for _ in 0..SCRUB_LOOKS {
        let (before, started) = (read()?, Instant::now());
        tokio::time::sleep(SCRUB_TIME).await;
        let (after, took) = (read()?, started.elapsed());
        let rate = |(after, before): (u64, u64)| (after.saturating_sub(before) as f64 / took.as_secs_f64()) as u64;
        rates = after.into_iter().zip(before).map(rate).collect();
        if rates.iter().all(|rate| within(*rate, budget)) {
            return Ok((rates, started.duration_since(begun)));
        }
    }
    Ok((rates, begun.elapsed()))
}

/// Whether a scrub reads, and no more than its budget.
fn within(rate: u64, budget: u64) -> bool {
    rate > 0 && (rate as f64) < budget as f64 * SCRUB_TOLERANCE
}

fn conclude(figures: &Figures) -> bool {
    let mut held = true;
    let mut goal = |line: String, holds: bool| {
        held &= holds;
        say(&format!("{line}: {}", yes(holds)));
    };
    let (median, worst) = median_and_worst(figures.status_ms.iter().copied());
    let line = format!("plantao status: median {median} ms, worst {worst} ms (below {})", figures.status_goal_ms);
    goal(line, worst < figures.status_goal_ms);
    let (median, worst) = median_and_worst(figures.proof_ms.iter().copied());
    let line =
        format!("plantao compliance 321: median {median} ms, worst {worst} ms (below {})", figures.proof_goal_ms);
    goal(line, worst < figures.proof_goal_ms);
    goal(
        format!("its verdict: exit {:?}", figures.proof_codes),
        figures.proof_codes.iter().all(|code| *code == Some(0)),
    );
    for (name, node) in &figures.nodes {
        let (rate, budget) = (node.scrub_bytes_per_second, figures.scrub_budget);
        let line = format!("{name}: scrub reads {rate} bytes a second of {budget}");
        goal(line, within(rate, budget));
        let (peak, most, storing) =
            (node.resident_peak_bytes, figures.memory_goal_bytes, node.resident_storing_bytes >> 20);
        let line = format!("{name}: at most {} MiB resident since its start (at most {})", peak >> 20, most >> 20);
        goal(line, peak <= most);
        say(&format!("{name}: ready {} ms after its start; {storing} MiB resident while storing", node.start_ms));
    }
    held
}
