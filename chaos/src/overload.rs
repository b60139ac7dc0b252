//! `chaos overload`: more than a node can serve, from callers with good certificates and from callers with none, all at the
//! leader's public port. Does it lead on, do the others' writes go on, and how much memory does it take?
//!
//! ```text
//! nothing ─► ten times the programs ─► connections that say nothing ─► connections that ask nothing ─► readers that do not read
//!         ─► calls that are given up at once ─► calls of empty frames          an ordinary load through both units all the time
//! ```

mod hostile;

use crate::aftermath::Aftermath;
use crate::ground::{Ground, Standing, exit, millis, say, until_signal, yes};
use anyhow::Context;
use hostile::Door;
use plantao_client::bench::{self, BenchKind, BenchOptions, Gallery};
use plantao_client::services::LOCAL;
use plantao_client::transport::{ClientConnection, ClientTls, Credentials, CredentialsPaths, TlsVersions};
use plantao_client::{Cluster, ConnectOptions, Id};
use plantao_node::local_network::load::{Load, LoadOptions};
use plantao_node::local_network::{LocalNetwork, NetworkOptions, Timers};
use plantao_proto::public::v1;
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// As many again as a network of fifty units has at its busiest.
const PROGRAMS: usize = 2_560;
const SILENT: usize = 10_000;
/// A silent one that was turned away comes back after so long.
const SILENT_AGAIN: Duration = Duration::from_secs(5);
const IDLE: usize = 2_000;
/// Handshakes of idle ones at a time.
const IDLE_AT_ONCE: usize = 64;
const READERS: usize = 32;
/// Reads of an image that each asks for.
const READS: u32 = 64;
const IMAGE_BYTES: usize = 8 << 20;
/// Callers that reset, or send empty frames.
const RUDE: usize = 8;
const RESETS_AT_ONCE: u32 = 100;
const EMPTY_AT_ONCE: u32 = 1_000;
const CONNECTIONS: usize = 16;

/// No longer may the ordinary load's writes stand still: what an election takes, with its pre-votes.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// As in `chaos run`.
const MEMORY_MAX: u64 = 512 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Acknowledged writes between two phases.
const FLOWING: usize = 200;

/// For how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Overload {
    /// Seconds of each phase.
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[command(flatten)]
    ground: Ground,
}

/// What comes on top of the ordinary load.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Burden {
    Nothing,
    Programs,
    Silent,
    Idle,
    SlowReaders,
    Resets,
    EmptyFrames,
}

impl Burden {
    const ALL: [Self; 7] =
        [Self::Nothing, Self::Programs, Self::Silent, Self::Idle, Self::SlowReaders, Self::Resets, Self::EmptyFrames];

    fn words(self) -> String {
        match self {
            Self::Nothing => "nothing else".to_owned(),
            Self::Programs => format!("{PROGRAMS} programs that write"),
            Self::Silent => format!("{SILENT} connections without a word"),
            Self::Idle => format!("{IDLE} connections without a call"),
            Self::SlowReaders => format!("{READERS} callers that read nothing, {READS} images each"),
            Self::Resets => "calls that are given up at once".to_owned(),
            Self::EmptyFrames => "calls of empty frames".to_owned(),
        }
    }
}

/// One phase.
#[derive(Debug, Serialize)]
struct Phase {
    burden: Burden,
    /// Of the burden: writes that were done, connections, calls or frames.
    made: u64,
    /// What was told to come later, turned away or cut off.
    turned_away: u64,
    /// Of the ordinary load.
    acknowledged: u64,
    silence_ms: u64,
    /// Leaders that came after the one at its begin.
    elections: u64,
    /// The most that each node had while it lasted, by name.
    resident_bytes: BTreeMap<String, u64>,
    held: bool,
}

#[derive(Debug, Serialize)]
struct Figures {
    schema_version: u32,
    seconds: u64,
    phases: Vec<Phase>,
    memory_max_bytes: u64,
    #[serde(flatten)]
    aftermath: Aftermath,
    held: bool,
}

/// Runs it.
pub(crate) async fn run(arguments: &Overload) -> anyhow::Result<ExitCode> {
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

async fn measure(arguments: &Overload, standing: &Standing) -> anyhow::Result<ExitCode> {
    let cluster = "chaos".parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
    let options = NetworkOptions::clinic(standing.program.clone(), cluster, Timers::Wan);
    let mut network = LocalNetwork::create(&standing.directory, &options).await?;
    let cluster = network.connect(&ConnectOptions::default())?;
    let load = Load::start(&cluster, &LoadOptions::default()).await?;
    let stage = load.stage();
    let patient = *stage.patients().first().context("a stage without patients")?;
    let image = Gallery::prepare(&cluster, stage.unit(), patient, IMAGE_BYTES).await?.put(&cluster).await?;
    say(&format!("phases of {} s, wan timers; all of it comes to the leader's public port", arguments.seconds));
    say("on top of the ordinary load                         made  turned away  acknowledged  longest silence  MiB");
    let mut phases = Vec::new();
    for burden in Burden::ALL {
        let phase = phase(&network, &load, burden, image, Duration::from_secs(arguments.seconds)).await?;
        say(&line(&phase));
        phases.push(phase);
    }
    let (stage, ledger) = load.stop().await?;
    let aftermath = Aftermath::of(&network, &cluster, &stage, ledger).await?;
    let figures = Figures {
        schema_version: 1,
        seconds: arguments.seconds,
        held: phases.iter().all(|phase| phase.held) && aftermath.holds(),
        phases,
        memory_max_bytes: MEMORY_MAX,
        aftermath,
    };
    figures.aftermath.say();
    say(&format!("it led on, writes went on, within {} MiB: {}", MEMORY_MAX >> 20, yes(figures.held)));
    arguments.ground.write(&figures)?;
    network.stop_all().await?;
    Ok(exit(figures.held))
}

/// Who leads, and for how many terms somebody has.
struct Lead {
    at: usize,
    term: u64,
}

async fn lead(network: &LocalNetwork, cluster: &Cluster) -> anyhow::Result<Lead> {
    let at = network.leader().await?;
    let admin = cluster.admin_nodes().get(at).context("a node without an admin plane")?;
    Ok(Lead { at, term: admin.get_status().await?.term })
}

async fn phase(
    network: &LocalNetwork,
    load: &Load,
    burden: Burden,
    image: Id,
    length: Duration,
) -> anyhow::Result<Phase> {
    load.acknowledged_after(Instant::now(), FLOWING).await?;
    let cluster = network.connect(&ConnectOptions::default())?;
    let before = lead(network, &cluster).await?;
    let began = Instant::now();
    let mut resident_bytes = BTreeMap::new();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut pressing = Box::pin(press(network, before.at, burden, image, began + length));
    let pressed = loop {
        tokio::select! {
            pressed = &mut pressing => break pressed?,
            _ = looks.tick() => most(network, &mut resident_bytes),
        }
    };
    let ended = Instant::now();
    load.acknowledged_after(ended, FLOWING).await?;
    let elections = lead(network, &cluster).await?.term.saturating_sub(before.term);
    let ledger = load.ledger();
    let silence = ledger.interruption(began).context("no writes around the phase")?.length();
    let acknowledged = ledger.acknowledged.iter().filter(|done| done.at > began && done.at <= ended).count() as u64;
    let all_run = resident_bytes.len() == network.nodes().len() && resident_bytes.values().all(|bytes| *bytes > 0);
    Ok(Phase {
        burden,
        made: pressed.made,
        turned_away: pressed.turned_away,
        acknowledged,
        silence_ms: millis(silence),
        elections,
        held: all_run
            && elections == 0
            && acknowledged > 0
            && silence <= SILENCE_MAX
            && resident_bytes.values().all(|bytes| *bytes <= MEMORY_MAX),
        resident_bytes,
    })
}

/// A node that does not run has none.
fn most(network: &LocalNetwork, seen: &mut BTreeMap<String, u64>) {
    for node in network.nodes() {
        let now = node.resident_bytes().unwrap_or(0);
        let most = seen.entry(node.name().to_owned()).or_insert(now);
        *most = if now == 0 { 0 } else { (*most).max(now) };
    }
}

/// How much of a burden was taken.
#[derive(Clone, Copy, Debug, Default)]
struct Pressed {
    made: u64,
    turned_away: u64,
}

/// Counted by many tasks.
#[derive(Debug, Default)]
struct Counts {
    made: AtomicU64,
    turned_away: AtomicU64,
}

impl Counts {
    fn note(&self, is_in: bool, count: u64) {
        let counter = if is_in { &self.made } else { &self.turned_away };
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// The burden, until then.
async fn press(
    network: &LocalNetwork,
    leader: usize,
    burden: Burden,
    image: Id,
    until: Instant,
) -> anyhow::Result<Pressed> {
    let length = until.saturating_duration_since(Instant::now());
    if burden == Burden::Nothing {
        tokio::time::sleep(length).await;
        return Ok(Pressed::default());
    }
    if burden == Burden::Programs {
        return programs(network, leader, length).await;
    }
    let context = network.context("sistema");
    let paths = CredentialsPaths { certificate: context.cert, key: context.key, roots: context.ca };
    let credentials = Arc::new(Credentials::load(&paths, SystemTime::now())?);
    let address = network.nodes().get(leader).context("no leader")?.public();
    let door = Door { tls: ClientTls::new(credentials, TlsVersions::Only13), address };
    let counts = Arc::new(Counts::default());
    let mut callers = JoinSet::new();
    let gates = Arc::new(tokio::sync::Semaphore::new(IDLE_AT_ONCE));
    let callers_of = match burden {
        Burden::Silent => SILENT,
        Burden::Idle => IDLE,
        Burden::SlowReaders => READERS,
        _ => RUDE,
    };
    for _ in 0..callers_of {
        let (door, counts, gates) = (door.clone(), Arc::clone(&counts), Arc::clone(&gates));
        callers.spawn(async move {
            match burden {
                Burden::Silent => silent(&door, &counts).await,
                Burden::Idle => idle(&door, &counts, &gates).await,
                Burden::SlowReaders => slow_reader(&door, &counts, image).await,
                Burden::Resets => resets(&door, &counts).await,
                _ => empty_frames(&door, &counts).await,
            }
        });
    }
    tokio::time::sleep_until(until.into()).await;
    // Ends the connections with them.
    callers.shutdown().await;
    Ok(Pressed { made: counts.made.load(Ordering::Relaxed), turned_away: counts.turned_away.load(Ordering::Relaxed) })
}

async fn programs(network: &LocalNetwork, leader: usize, duration: Duration) -> anyhow::Result<Pressed> {
    let options = BenchOptions {
        clients: PROGRAMS,
        duration,
        warmup: Duration::ZERO,
        connections_max: CONNECTIONS,
        ..BenchOptions::new(BenchKind::Write)
    };
    let connect = ConnectOptions { connections: options.connections_per_endpoint(1), ..ConnectOptions::default() };
    let cluster = network.connect(&connect)?;
    let address = network.nodes().get(leader).context("no leader")?.public();
    let report = bench::run(&cluster.only(&address).unwrap_or(cluster), &options).await?;
    Ok(Pressed { made: report.ops, turned_away: report.errors })
}

/// Connects, says nothing, and comes back when it was turned away.
async fn silent(door: &Door, counts: &Counts) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(&door.address).await {
            counts.note(true, 1);
            let mut nothing = [0];
            while stream.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
        }
        counts.note(false, 1);
        tokio::time::sleep(SILENT_AGAIN).await;
    }
}

/// Shows a good certificate, and calls nothing.
async fn idle(door: &Door, counts: &Counts, gates: &tokio::sync::Semaphore) {
    loop {
        let opened = {
            let _gate = gates.acquire().await;
            door.open().await
        };
        if let Ok(mut connection) = opened {
            counts.note(true, 1);
            let mut answers = [0; 64];
            while connection.read(&mut answers).await.is_ok_and(|read| read > 0) {}
        }
        counts.note(false, 1);
        tokio::time::sleep(SILENT_AGAIN).await;
    }
}

/// Asks for a large image many times over, and takes nothing of it.
async fn slow_reader(door: &Door, counts: &Counts, image: Id) {
    let asked = async {
        let mut speaker = door.speak_only().await?;
        let request = v1::ReadImageRequest { read: Some(LOCAL), image_id: image.to_wire(), ..Default::default() };
        speaker.ask(&request, READS).await?;
        Ok::<_, hostile::Fault>(speaker)
    };
    let asked = asked.await;
    counts.note(asked.is_ok(), u64::from(READS));
    // Held until the phase is over.
    std::future::pending::<()>().await;
}

/// A connection, or after a moment none.
async fn speaker(door: &Door, counts: &Counts) -> Option<hostile::Speaker<tokio::io::WriteHalf<ClientConnection>>> {
    let speaker = door.speak().await.ok();
    if speaker.is_none() {
        counts.note(false, 1);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    speaker
}

async fn resets(door: &Door, counts: &Counts) {
    loop {
        let Some(mut speaker) = speaker(door, counts).await else { continue };
        while speaker.reset(RESETS_AT_ONCE).await.is_ok() {
            counts.note(true, u64::from(RESETS_AT_ONCE));
        }
        counts.note(false, 1);
    }
}

async fn empty_frames(door: &Door, counts: &Counts) {
    loop {
        let Some(mut speaker) = speaker(door, counts).await else { continue };
        if let Ok(stream) = speaker.begin_empty() {
            while speaker.empty(stream, EMPTY_AT_ONCE).await.is_ok() {
                counts.note(true, u64::from(EMPTY_AT_ONCE));
            }
        }
        counts.note(false, 1);
    }
}

fn line(phase: &Phase) -> String {
    let most = phase.resident_bytes.values().copied().max().unwrap_or(0) >> 20;
    let elections = match phase.elections {
        0 => String::new(),
        count => format!("  {count} elections"),
    };
    format!(
        "{:<46} {:>9} {:>12} {:>13} {:>13} ms {:>4}{elections}{}",
        phase.burden.words(),
        phase.made,
        phase.turned_away,
        phase.acknowledged,
        phase.silence_ms,
        most,
        if phase.held { "" } else { "  FAILED" }
    )
}
