//! `chaos scarce`: a node runs out of what the operating system gives: descriptors, threads, memory. The leader, and another
//! unit, one after the other, under an ordinary load. It may end, and then it must start again by itself as soon as there is
//! enough; nothing that was acknowledged may be gone, and the others must not notice.
//!
//! ```text
//! writes flow ─► nothing left for one node, and callers that want more of it ─► given back ─► started again if it ended
//! ```

use crate::aftermath::Aftermath;
use crate::ground::{Ground, Standing, exit, millis, say, until_signal, yes};
use anyhow::Context;
use plantao_client::ConnectOptions;
use plantao_client::bench::{self, BenchKind, BenchOptions};
use plantao_node::local_network::load::{Load, LoadOptions};
use plantao_node::local_network::{LocalNetwork, NetworkOptions, Node, Timers};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What a node has, and so many more. Of memory, what it has stays where it was counted: this is for what it asks for then.
const DESCRIPTORS_LEFT: u64 = 4;
const THREADS_LEFT: u64 = 1;
const MEMORY_LEFT: u64 = 4 << 20;
/// Callers that come to the node meanwhile and say nothing, and programs that write through it.
const CALLERS: usize = 256;
const PROGRAMS: usize = 128;
/// No longer may writes stand still, whoever it is that has nothing left: a failover, and the restart of a node beside it.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Acknowledged writes between two phases.
const FLOWING: usize = 200;

/// It cannot be measured here.
#[derive(Debug, thiserror::Error)]
#[error("no control group with a limit of threads and one of memory can be made under /sys/fs/cgroup: it needs root")]
pub(crate) struct NoGroups {
    source: Option<std::io::Error>,
}

/// For how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Scarce {
    /// Seconds of each phase.
    #[arg(long, value_name = "S", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[command(flatten)]
    ground: Ground,
}

/// What there is no more of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Shortage {
    Descriptors,
    Threads,
    Memory,
}

impl Shortage {
    const ALL: [Self; 3] = [Self::Descriptors, Self::Threads, Self::Memory];

    const fn word(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors",
            Self::Threads => "threads",
            Self::Memory => "memory",
        }
    }
}

/// One phase.
#[derive(Debug, Serialize)]
struct Phase {
    shortage: Shortage,
    node: String,
    led: bool,
    /// Whether its process ended meanwhile.
    ended: bool,
    /// What it said last, if it ended; nothing where the system ended it.
    said: Option<String>,
    /// From its new start to its ready line, if it ended.
    restart_ms: Option<u64>,
    /// Of the ordinary load.
    acknowledged: u64,
    silence_ms: u64,
    /// Others that ended.
    others_ended: usize,
    held: bool,
}

#[derive(Debug, Serialize)]
struct Figures {
    schema_version: u32,
    seconds: u64,
    phases: Vec<Phase>,
    #[serde(flatten)]
    aftermath: Aftermath,
    held: bool,
}

/// Runs it.
pub(crate) async fn run(arguments: &Scarce) -> anyhow::Result<ExitCode> {
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

async fn measure(arguments: &Scarce, standing: &Standing) -> anyhow::Result<ExitCode> {
    // Before a network is made.
    drop((Group::of(Shortage::Threads)?, Group::of(Shortage::Memory)?));
    let cluster = "chaos".parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
    let options = NetworkOptions::clinic(standing.program.clone(), cluster, Timers::Wan);
    let mut network = LocalNetwork::create(&standing.directory, &options).await?;
    let cluster = network.connect(&ConnectOptions::default())?;
    let load = Load::start(&cluster, &LoadOptions::default()).await?;
    say(&format!("phases of {} s, wan timers", arguments.seconds));
    say("nothing left of   node       role      acknowledged  longest silence  the node");
    let mut phases = Vec::new();
    for shortage in Shortage::ALL {
        for leads in [true, false] {
            let phase = phase(&mut network, &load, shortage, leads, Duration::from_secs(arguments.seconds)).await?;
            say(&line(&phase));
            phases.push(phase);
        }
    }
    let (stage, ledger) = load.stop().await?;
    let aftermath = Aftermath::of(&network, &cluster, &stage, ledger).await?;
    let figures = Figures {
        schema_version: 1,
        seconds: arguments.seconds,
        held: phases.iter().all(|phase| phase.held) && aftermath.holds(),
        phases,
        aftermath,
    };
    figures.aftermath.say();
    say(&format!("the others went on, and it came back by itself: {}", yes(figures.held)));
    arguments.ground.write(&figures)?;
    network.stop_all().await?;
    Ok(exit(figures.held))
}

async fn phase(
    network: &mut LocalNetwork,
    load: &Load,
    shortage: Shortage,
    leads: bool,
    length: Duration,
) -> anyhow::Result<Phase> {
    load.acknowledged_after(Instant::now(), FLOWING).await?;
    let leader = network.leader().await?;
    let units = network.nodes().iter().enumerate().filter(|(_, node)| node.spec().keyed);
    let other = units.map(|(at, _)| at).find(|at| *at != leader).context("a network of one unit")?;
    let at = if leads { leader } else { other };
    let node = &network.nodes()[at];
    let (name, pid, log) = (node.name().to_owned(), pid_of(node)?, node.log().to_owned());
    let told_before = fs::metadata(&log)?.len();
    let began = Instant::now();
    let squeeze = Squeeze::begin(shortage, pid)?;
    let mut wanting = want(network, node)?;
    let mut fallen = Vec::new();
    while began.elapsed() < length {
        tokio::time::sleep(LOOK_EVERY).await;
        fallen.extend(network.fallen());
    }
    wanting.shutdown().await;
    squeeze.end()?;
    fallen.extend(network.fallen());
    let ended = fallen.contains(&at);
    let others_ended = fallen.iter().filter(|it| **it != at).count();
    let said = if ended { last_words(&log, told_before)? } else { None };
    let restart_ms = if ended { Some(millis(network.start(at).await?)) } else { None };
    let over = Instant::now();
    load.acknowledged_after(over, FLOWING).await?;
    network.settle().await?;
    let ledger = load.ledger();
    let silence = ledger.interruption(began).context("no writes around the phase")?.length();
    let acknowledged = ledger.acknowledged.iter().filter(|done| done.at > began && done.at <= over).count() as u64;
    Ok(Phase {
        shortage,
        node: name,
        led: leads,
        ended,
        said,
        restart_ms,
        acknowledged,
        silence_ms: millis(silence),
        others_ended,
        held: acknowledged > 0 && others_ended == 0 && silence <= SILENCE_MAX,
    })
}

/// Callers that want something of the node, so that it needs more.
fn want(network: &LocalNetwork, node: &Node) -> anyhow::Result<JoinSet<()>> {
    let mut wanting = JoinSet::new();
    for _ in 0..CALLERS {
        let address = node.public();
        wanting.spawn(async move {
            loop {
                if let Ok(mut stream) = TcpStream::connect(&address).await {
                    let mut nothing = [0];
                    while stream.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
    }
    let cluster = network.connect(&ConnectOptions::default())?;
    let cluster = cluster.only(&node.public()).context("the node is none that programs call")?;
    let options = BenchOptions {
        clients: PROGRAMS,
        duration: Duration::from_secs(600),
        warmup: Duration::ZERO,
        ..BenchOptions::new(BenchKind::Write)
    };
    wanting.spawn(async move {
        // Ends with its errors, or with the phase.
        let _ = bench::run(&cluster, &options).await;
    });
    Ok(wanting)
}

/// The last thing that a node's log says was wrong, after so many bytes of it.
fn last_words(log: &Path, after: u64) -> anyhow::Result<Option<String>> {
    let text = fs::read_to_string(log)?;
    let new = usize::try_from(after).ok().and_then(|after| text.get(after..)).unwrap_or(&text);
    Ok(new.lines().rfind(|line| line.contains("plantaod:") || line.contains("ERROR")).map(ToOwned::to_owned))
}

fn pid_of(node: &Node) -> anyhow::Result<u32> {
    node.pid().with_context(|| format!("{} does not run", node.name()))
}

/// A node that gets nothing more, until it ends.
enum Squeeze {
    Descriptors { pid: Pid, before: Rlimit },
    Group(Group),
}

impl Squeeze {
    fn begin(shortage: Shortage, pid: u32) -> anyhow::Result<Self> {
        let entries = |what: &str| anyhow::Ok(fs::read_dir(format!("/proc/{pid}/{what}"))?.count() as u64);
        if shortage == Shortage::Descriptors {
            let number = Pid::from_raw(i32::try_from(pid)?).context("no process has the number 0")?;
            // The directory that is read here is not among them.
            let current = Some(entries("fd")?.saturating_add(DESCRIPTORS_LEFT));
            let maximum = getrlimit(Resource::Nofile).maximum;
            let before = prlimit(Some(number), Resource::Nofile, Rlimit { current, maximum })?;
            return Ok(Self::Descriptors { pid: number, before });
        }
        let group = Group::of(shortage)?;
        group.take(pid)?;
        let threads = entries("task")?.saturating_add(THREADS_LEFT);
        group.limit(if shortage == Shortage::Threads { threads } else { MEMORY_LEFT })?;
        Ok(Self::Group(group))
    }

    fn end(self) -> anyhow::Result<()> {
        match self {
            Self::Descriptors { pid, before } => match prlimit(Some(pid), Resource::Nofile, before) {
                // It is gone, and its limits with it.
                Ok(_) | Err(rustix::io::Errno::SRCH) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Self::Group(group) => group.release(),
        }
    }
}

/// A control group of one process, of either version of the interface; gone when dropped.
struct Group {
    /// The group that it stands in, to which its process goes back.
    parent: PathBuf,
    directory: PathBuf,
    limit: &'static str,
}

impl Group {
    fn of(shortage: Shortage) -> anyhow::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let (first, limit_of_first, limit_of_second) = match shortage {
            Shortage::Memory => ("memory", "memory.limit_in_bytes", "memory.max"),
            _ => ("pids", "pids.max", "pids.max"),
        };
        let of_first = root.join(first);
        let (parent, limit) =
            if of_first.is_dir() { (of_first, limit_of_first) } else { (root.to_owned(), limit_of_second) };
        let directory = parent.join(format!("plantao-chaos-{}-{}", std::process::id(), shortage.word()));
        fs::create_dir(&directory).map_err(|source| NoGroups { source: Some(source) })?;
        let group = Self { parent, directory, limit };
        if group.directory.join(limit).is_file() { Ok(group) } else { Err(NoGroups { source: None }.into()) }
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.directory.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn take(&self, pid: u32) -> anyhow::Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    fn limit(&self, most: u64) -> anyhow::Result<()> {
        self.write(self.limit, &most.to_string())
    }

    /// Gives enough again, and lets the process go.
    fn release(self) -> anyhow::Result<()> {
        self.write(self.limit, if self.limit == "memory.limit_in_bytes" { "-1" } else { "max" })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group with a process in it stays; this is the last that knows of it.
        let inside = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        for pid in inside.lines() {
            let _ = fs::write(self.parent.join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.directory);
    }
}

fn line(phase: &Phase) -> String {
    let ended = match phase.restart_ms {
        Some(restart_ms) => {
            let why = phase.said.as_deref().unwrap_or("without a word");
            format!("ended ({why}), ready again {restart_ms} ms after its start")
        }
        None => "went on".to_owned(),
    };
    format!(
        "{:<17} {:<10} {:<9} {:>12} {:>13} ms  {ended}{}",
        phase.shortage.word(),
        phase.node,
        if phase.led { "leader" } else { "follower" },
        phase.acknowledged,
        phase.silence_ms,
        if phase.held { "" } else { "  FAILED" }
    )
}
