//! `chaos power`: two units and an off-site node on disks that lose what was not synced. Under load the power of all nodes is cut
//! at once, again and again: every process killed, and of what waited on each disk nothing, a first part, or any sectors kept. After
//! each cut all nodes must start by themselves and take writes; no acknowledged write may be lost, on any of them.
//!
//! `--lie`: every disk says that it synced and does not. That must be found, or this command finds nothing.

use crate::aftermath::{self, Aftermath};
use crate::disks::{LossyDisk, lacks};
use crate::ground::{Ground, Standing, exit, median_and_worst, millis, say, until_signal};
use crate::seed::Chance;
use crate::wires::Cannot;
use anyhow::Context;
use plantao_client::ConnectOptions;
use plantao_node::local_network::load::{Load, LoadOptions, Work};
use plantao_node::local_network::{LocalNetwork, NetworkOptions, Timers};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Acknowledged writes between two cuts, at least.
const FLOWING: usize = 40;
/// And a while more, so that cuts come at any place.
const LONGER_MAX: Duration = Duration::from_millis(600);
/// Cuts between two looks for every acknowledged write.
const LOOK_EVERY: u32 = 25;
/// Cuts between two lines for people.
const SAY_EVERY: u32 = 10;
/// What a node's log says when its rows did not survive.
const SET_ASIDE: &str = "the state was set aside";

/// How often, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Power {
    /// How often the power is cut.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    times: u32,
    /// Raft timers.
    #[arg(long, value_enum, default_value_t = Timers::Lan)]
    timers: Timers,
    /// What decides when it is cut, and what is kept.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Milliseconds that a sync takes, at most: what is cut in the middle needs one.
    #[arg(long, value_name = "MS", default_value_t = 4, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    sync_ms: u64,
    /// Milliseconds between two writes; what they leave makes every start longer.
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    every_ms: u64,
    /// What was appended may have holes after a cut, as on file systems that let a file grow before its bytes are there.
    #[arg(long)]
    holes: bool,
    /// Disks say that they synced and do not: acknowledged writes must be missed.
    #[arg(long)]
    lie: bool,
    #[command(flatten)]
    ground: Ground,
}

#[derive(Debug, Default, Serialize)]
struct Figures {
    schema_version: u32,
    seed: u64,
    lie: bool,
    cuts: u64,
    /// What happened to unsynced changes, over all cuts and disks.
    unsynced: BTreeMap<String, u64>,
    /// From the start of the processes until the last one is ready.
    restart_ms: (u64, u64),
    /// From there to the first acknowledged write.
    first_write_ms: (u64, u64),
    /// By node: how often a start did not trust its own rows. The log brings them again; it costs time.
    set_aside: BTreeMap<String, u64>,
    #[serde(flatten)]
    aftermath: Aftermath,
    /// Why a node did not start after a cut.
    not_started: Option<String>,
    took_ms: u64,
    held: bool,
}

/// Runs it.
pub(crate) async fn run(arguments: &Power) -> anyhow::Result<ExitCode> {
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

/// Fields are dropped in their order: nodes live on disks.
struct Clinic {
    network: LocalNetwork,
    disks: Vec<LossyDisk>,
}

impl Clinic {
    async fn make(arguments: &Power, standing: &Standing) -> anyhow::Result<Self> {
        if let Some(lack) = lacks() {
            return Err(Cannot::Refused { command: "chaos power".to_owned(), said: format!("it needs {lack}") }.into());
        }
        let name = "chaos".parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
        let mut options = NetworkOptions::clinic(standing.program.clone(), name, arguments.timers);
        // Small snapshots, soon, so that cuts meet them too.
        options.settings = vec!["raft.snapshot_entries=700".to_owned()];
        let network = LocalNetwork::begin(&standing.directory, &options)?;
        let mut clinic = Self { network, disks: Vec::new() };
        for spec in options.nodes {
            let at = clinic.network.place(spec)?;
            let data = clinic.network.nodes()[at].data_dir().to_owned();
            let mut disk = LossyDisk::mount(&data, arguments.seed.wrapping_mul(31).wrapping_add(at as u64))?;
            disk.order(&format!("sync-ms 0 {}", arguments.sync_ms))?;
            clinic.disks.push(disk);
            clinic.network.admit(at).await?;
            clinic.network.start(at).await?;
            clinic.network.settle().await?;
        }
        clinic.network.publish()?;
        Ok(clinic)
    }

    /// Every process dies, then every disk.
    async fn cut(
        &mut self,
        arguments: &Power,
        chance: &mut Chance,
        unsynced: &mut BTreeMap<String, u64>,
    ) -> anyhow::Result<()> {
        self.network.kill_all().await?;
        for disk in &mut self.disks {
            let keep = match chance.below(3) {
                _ if arguments.lie => "nothing",
                0 => "nothing",
                1 => "first",
                _ if arguments.holes => "holes",
                _ => "any",
            };
            for (name, count) in disk.order(&format!("lose-power {keep}"))? {
                *unsynced.entry(name).or_default() += count;
            }
            disk.order("heal")?;
        }
        Ok(())
    }

    fn set_aside(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let nodes = self.network.nodes().iter();
        let counted = nodes.map(|node| {
            let log = fs::read(node.log()).with_context(|| format!("cannot read {}", node.log().display()))?;
            let count = String::from_utf8_lossy(&log).lines().filter(|line| line.contains(SET_ASIDE)).count();
            Ok((node.name().to_owned(), count as u64))
        });
        counted.collect()
    }
}

async fn measure(arguments: &Power, standing: &Standing) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut clinic = Clinic::make(arguments, standing).await?;
    let cluster = clinic.network.connect(&ConnectOptions::default())?;
    let load =
        LoadOptions { work: Work::Contended, every: Duration::from_millis(arguments.every_ms), in_flight_max: 64 };
    let load = Load::start(&cluster, &load).await?;
    let (seed, lie) = (arguments.seed, arguments.lie);
    say(&format!(
        "{} times no power on any node, {} timers, seed {seed}{}",
        arguments.times,
        arguments.timers.as_str(),
        if lie { ", disks that lie" } else { "" }
    ));
    let mut figures = Figures { schema_version: 1, seed, lie, ..Figures::default() };
    let mut chance = Chance::of(seed, 0x00_90_3e_12);
    let (mut restarts, mut firsts) = (Vec::new(), Vec::new());
    for nth in 1..=arguments.times {
        if lie {
            clinic.disks.iter_mut().try_for_each(|disk| disk.order("lie").map(drop))?;
        }
        load.acknowledged_after(Instant::now(), FLOWING).await?;
        tokio::time::sleep(chance.between(Duration::ZERO, LONGER_MAX)).await;
        clinic.cut(arguments, &mut chance, &mut figures.unsynced).await?;
        figures.cuts += 1;
        match clinic.network.start_all().await {
            Ok(took) => restarts.extend(took.into_iter().max().map(millis)),
            Err(error) => {
                figures.not_started = Some(error.to_string());
                break;
            }
        }
        let started = Instant::now();
        load.acknowledged_after(started, 1).await?;
        firsts.push(millis(started.elapsed()));
        if nth % SAY_EVERY == 0 {
            let (ledger, seconds) = (load.ledger(), begun.elapsed().as_secs());
            let (restart, first) = (restarts.last().unwrap_or(&0), firsts.last().unwrap_or(&0));
            let acknowledged = ledger.acknowledged.len();
            say(&format!(
                "{nth:>4}  {acknowledged} acknowledged, ready in {restart} ms, writes {first} ms later, {seconds} s"
            ));
        }
        if (lie || nth % LOOK_EVERY == 0) && nth != arguments.times {
            let ledger = load.ledger();
            load.rest(true);
            let found = aftermath::acknowledged(&clinic.network, &cluster, load.stage(), &ledger).await?;
            load.rest(false);
            if found.values().any(|report| report.missing + report.different > 0) {
                say(&format!("{nth:>4}  writes are lost: no further cut"));
                break;
            }
        }
    }
    (figures.restart_ms, figures.first_write_ms) =
        (median_and_worst(restarts.into_iter()), median_and_worst(firsts.into_iter()));
    if figures.not_started.is_none() {
        let (stage, ledger) = load.stop().await?;
        figures.aftermath = Aftermath::of(&clinic.network, &cluster, &stage, ledger).await?;
        clinic.network.stop_all().await?;
    }
    figures.set_aside = clinic.set_aside()?;
    figures.took_ms = millis(begun.elapsed());
    figures.held = figures.not_started.is_none() && figures.aftermath.holds();
    conclude(&figures);
    arguments.ground.write(&figures)?;
    Ok(exit(figures.held))
}

fn conclude(figures: &Figures) {
    let unsynced: Vec<String> = figures.unsynced.iter().map(|(name, count)| format!("{name} {count}")).collect();
    say(&format!("{} cuts in {} s; unsynced changes: {}", figures.cuts, figures.took_ms / 1_000, unsynced.join(", ")));
    let ((restart, restart_worst), (first, first_worst)) = (figures.restart_ms, figures.first_write_ms);
    say(&format!(
        "all ready after {restart} ms in the median, {restart_worst} ms at worst; the first write {first} ms and {first_worst} \
         ms later"
    ));
    let aside: Vec<String> = figures.set_aside.iter().map(|(node, count)| format!("{node} {count}")).collect();
    say(&format!("starts that did not trust their own rows: {}", aside.join(", ")));
    if let Some(why) = &figures.not_started {
        say(&format!("a node did not start after a cut: FAILED: {why}"));
        return;
    }
    figures.aftermath.say();
    if !figures.held {
        say("VIOLATION");
    }
}
