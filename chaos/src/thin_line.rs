//! `chaos thin-line`: two networks side by side on one machine, each of two units and an off-site node behind a line of
//! 1 Mbit/s (`tc tbf` on both ends). One has images waiting for the off-site node, the other has none. An ordinary day of
//! bookings and records runs on them by turns, so that whatever else the machine does meets both. Compared are the times of
//! bookings; and for every acknowledged write, until the off-site node says that it has applied it, which it is asked over a
//! wire of its own.
//!
//! ```text
//! pair      1                                  2 ...
//! without   ▇▇  ▇▇    ▇▇▇▇    ▇▇  ...          a turn is half a second; who goes first alternates
//! with        ▇▇  ▇▇▇▇    ▇▇▇▇    ...
//! ```

use crate::ground::{
    Ground, Standing, bytes, exit, median_and_worst, micros, millis, percentile, say, until_signal, yes,
};
use crate::wires::{Line, Wires};
use anyhow::{Context, bail};
use plantao_client::bench::Gallery;
use plantao_client::{AdminNode, Cluster, ConnectOptions};
use plantao_node::local_network::load::{Acknowledged, Ledger, Load, LoadOptions, Object, Stage, Work};
use plantao_node::local_network::{LocalNetwork, NetworkOptions, Timers};
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};

/// Position of the off-site node.
const OFF_SITE: usize = 2;
/// Of each image that waits: one chunk, because the backlog shrinks by whole images.
const IMAGE_BYTES: u64 = 1_000_000;
/// Images that are stored at once.
const STORING: usize = 4;
/// A load begins to count after so long.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long one network has the load before the other has it: short against what else a machine does.
const TURN: Duration = Duration::from_millis(500);
/// From the last write of a turn to the first one of the other network: its answer is there by then.
const TURN_GAP: Duration = Duration::from_millis(50);
/// Between two questions to the off-site node: the error of each lag.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Goal: so much slower may the 99th percentile be at most.
const CHANGE_MAX_PERCENT: f64 = 10.0;
/// Goal: so long may an acknowledged write take to the off-site node.
const LAG_MAX: Duration = Duration::from_secs(60);
/// Then it is given up.
const LAG_WAIT_MAX: Duration = Duration::from_secs(120);
/// Repair begins ten seconds after an image was committed.
const BULK_WAIT_MAX: Duration = Duration::from_secs(120);

/// What line, what waits, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct ThinLine {
    /// Of the off-site line, as `tc` takes it.
    #[arg(long, default_value = "1mbit")]
    rate: String,
    /// What passes the line at once, as `tc` takes it.
    #[arg(long, default_value = "16kb")]
    burst: String,
    /// How long a packet may wait before the line, as `tc` takes it.
    #[arg(long, default_value = "400ms")]
    latency: String,
    /// What images may take of the line, as in `links.bulk`.
    #[arg(long, default_value = "1 Mbit/s")]
    bulk: String,
    /// Bytes of images that wait during every run with a backlog, as 200MB.
    #[arg(long, default_value = "200MB", value_parser = bytes)]
    backlog: u64,
    /// Pairs of runs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: u32,
    /// How long each network has the load in a pair.
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Writes a second while it has the load; three of four are bookings. More than the line can take as log would measure the line.
    #[arg(long, value_name = "N", default_value_t = 80, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    writes: u32,
    #[command(flatten)]
    ground: Ground,
}

/// One run.
#[derive(Debug, Serialize)]
struct Run {
    pair: u32,
    with_backlog: bool,
    /// Bookings that count.
    bookings: usize,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
    /// Writes that count, and from the acknowledgement of each until it was on the off-site node.
    writes: usize,
    lag_median_ms: u64,
    lag_max_ms: u64,
    /// Bytes of images that waited, before and after.
    backlog_before: u64,
    backlog_after: u64,
    /// Neither acknowledged nor refused for a taken slot, which nobody wants twice here: none is expected.
    failed: u64,
    /// Raft's, before and after: another one means that the leader changed.
    terms: (u64, u64),
}

#[derive(Debug, Serialize)]
struct Figures {
    schema_version: u32,
    rate: String,
    bulk: String,
    backlog: u64,
    writes_per_second: u32,
    seconds: u64,
    runs: Vec<Run>,
    /// Medians of the runs' 99th percentiles.
    p99_without_us: u64,
    p99_with_us: u64,
    change_percent: f64,
    change_max_percent: f64,
    /// From the best to the worst run without, of their median.
    spread_without_percent: f64,
    lag_max_ms: u64,
    lag_goal_ms: u64,
    /// Images waited in every run with a backlog, and some left meanwhile.
    waited: bool,
    held: bool,
}

/// A network and its wires. The network is dropped first: its processes live in the wires' namespaces.
struct Site {
    network: LocalNetwork,
    cluster: Cluster,
    _wires: Wires,
}

/// Runs it.
pub(crate) async fn run(arguments: &ThinLine) -> anyhow::Result<ExitCode> {
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

async fn measure(arguments: &ThinLine, standing: &Standing) -> anyhow::Result<ExitCode> {
    let mut without = Site::make(arguments, standing, 0, "without").await?;
    let mut with = Site::make(arguments, standing, 1, "with").await?;
    // What leaves while the runs last, so that so much waits in the last one too. The cap is the most that leaves.
    let whole = (WARM_UP + Duration::from_secs(arguments.seconds)) * 4 * arguments.pairs;
    let stored = with.fill(arguments.backlog + whole.as_secs() * 125_000).await?;
    say(&format!("{stored} images of {IMAGE_BYTES} bytes are on both units and wait for a line of {}", arguments.rate));
    with.bulk_moves().await?;
    say("pair  backlog  bookings      p50      p99      max   off-site has it after      waiting");
    let mut runs = Vec::new();
    for pair in 1..=arguments.pairs {
        let (a, b) = (Running::start(&without, arguments).await?, Running::start(&with, arguments).await?);
        by_turns(&a.load, &b.load, WARM_UP).await;
        let begin = Instant::now();
        by_turns(&a.load, &b.load, Duration::from_secs(arguments.seconds)).await;
        for (running, with_backlog) in [(a, false), (b, true)] {
            let run = running.end(pair, with_backlog, begin).await?;
            show(&run);
            runs.push(run);
        }
    }
    let figures = Figures::of(arguments, runs);
    conclude(&figures);
    arguments.ground.write(&figures)?;
    with.network.stop_all().await?;
    without.network.stop_all().await?;
    Ok(exit(figures.held))
}

/// Gives the load to one network and the other by turns, until each had it for `each`.
async fn by_turns(a: &Load, b: &Load, each: Duration) {
    let turns = each.as_millis().div_ceil(TURN.as_millis());
    for turn in 0..turns {
        let order = if turn % 2 == 0 { [a, b] } else { [b, a] };
        for load in order {
            load.rest(false);
            tokio::time::sleep(TURN).await;
            load.rest(true);
            tokio::time::sleep(TURN_GAP).await;
        }
    }
}

impl Site {
    async fn make(arguments: &ThinLine, standing: &Standing, nth: u8, name: &str) -> anyhow::Result<Self> {
        let line =
            Line { rate: arguments.rate.clone(), burst: arguments.burst.clone(), latency: arguments.latency.clone() };
        let cluster = "chaos".parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
        let options = NetworkOptions::clinic(standing.program.clone(), cluster, Timers::Wan);
        let wires = Wires::lay(nth, 3, Some(&line))?;
        let mut network = LocalNetwork::begin(&standing.directory.join(name), &options)?;
        for (at, spec) in options.nodes.into_iter().enumerate() {
            network.prepare(spec, wires.endpoints(at))?;
            network.start_through(at, wires.words(at))?;
            // Both ends have to know what the line is.
            let whom = if at == OFF_SITE { "*" } else { "cofre" };
            let caps = format!("\n[links]\nbulk = \"{whom} = else {}\"\n", arguments.bulk);
            let config = network.nodes()[at].config();
            let written =
                OpenOptions::new().append(true).open(config).and_then(|mut file| file.write_all(caps.as_bytes()));
            written.with_context(|| format!("cannot write {}", config.display()))?;
            network.admit(at).await?;
            network.start(at).await?;
            network.settle().await?;
        }
        let cluster = network.connect(&ConnectOptions::default())?;
        Ok(Self { network, cluster, _wires: wires })
    }

    /// Stores images of at least so many bytes; gives how many.
    async fn fill(&self, bytes: u64) -> anyhow::Result<u64> {
        let stage = Stage::prepare(&self.cluster, Work::Ordinary).await?;
        let patient = *stage.patients().first().context("a stage without patients")?;
        let size = usize::try_from(IMAGE_BYTES)?;
        let gallery = Arc::new(Gallery::prepare(&self.cluster, stage.unit(), patient, size).await?);
        let count = bytes.div_ceil(IMAGE_BYTES);
        let mut storing = JoinSet::new();
        for nth in 0..count {
            if storing.len() == STORING {
                storing.join_next().await.context("nothing was being stored")???;
            }
            let endpoint = usize::try_from(nth % 2)?;
            let (cluster, gallery) = (self.cluster.spread(endpoint), Arc::clone(&gallery));
            storing.spawn(async move { gallery.put(&cluster).await.map(drop) });
        }
        while let Some(stored) = storing.join_next().await {
            stored??;
        }
        Ok(count)
    }

    /// Waits until images leave over the line: before that there is nothing that bookings could notice.
    async fn bulk_moves(&self) -> anyhow::Result<()> {
        let (start, deadline) = (self.backlog().await?, Instant::now() + BULK_WAIT_MAX);
        while self.backlog().await? >= start {
            if Instant::now() > deadline {
                bail!("no image reached the off-site node within {} s", BULK_WAIT_MAX.as_secs());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Bytes that the off-site node has no receipt for, as a unit knows.
    async fn backlog(&self) -> anyhow::Result<u64> {
        let status = self.admin(0)?.get_status().await?;
        let off_site = self.network.nodes()[OFF_SITE].id();
        let copies =
            status.images.as_ref().and_then(|images| images.nodes.iter().find(|node| node.node_id == off_site));
        Ok(copies.context("a unit knows nothing of the off-site node's copies")?.backlog_bytes)
    }

    async fn term(&self) -> anyhow::Result<u64> {
        Ok(self.admin(0)?.get_status().await?.term)
    }

    fn admin(&self, at: usize) -> anyhow::Result<&AdminNode> {
        self.cluster.admin_nodes().get(at).context("a node without an admin plane")
    }
}

/// A load on one network, and what its off-site node says meanwhile.
struct Running<'a> {
    site: &'a Site,
    load: Load,
    applied: Applied,
    backlog_before: u64,
    term: u64,
}

impl<'a> Running<'a> {
    /// Begins with a rest.
    async fn start(site: &'a Site, arguments: &ThinLine) -> anyhow::Result<Self> {
        let options = LoadOptions {
            work: Work::Ordinary,
            every: Duration::from_secs(1) / arguments.writes,
            ..LoadOptions::default()
        };
        let (backlog_before, term) = (site.backlog().await?, site.term().await?);
        let applied = Applied::watch(site.admin(OFF_SITE)?.clone());
        let load = Load::start(&site.cluster, &options).await?;
        load.rest(true);
        Ok(Self { site, load, applied, backlog_before, term })
    }

    /// Ends it and waits for the off-site node; writes that were sent from `begin` on count.
    async fn end(self, pair: u32, with_backlog: bool, begin: Instant) -> anyhow::Result<Run> {
        let (_, ledger) = self.load.stop().await?;
        let last = ledger.acknowledged.iter().map(|write| write.index).max().context("nothing was acknowledged")?;
        self.applied.reach(last).await;
        let (backlog_after, term) = (self.site.backlog().await?, self.site.term().await?);
        let seen = self.applied.stop();
        let counted: Vec<&Acknowledged> = ledger.acknowledged.iter().filter(|write| write.sent >= begin).collect();
        let bookings = counted.iter().filter(|write| write.object == Object::Booking);
        let mut times: Vec<u64> = bookings.map(|write| micros(write.at.duration_since(write.sent))).collect();
        times.sort_unstable();
        let lags = counted.iter().map(|write| millis(lag(&seen, write.index, write.at)));
        let (lag_median_ms, lag_max_ms) = median_and_worst(lags);
        Ok(Run {
            pair,
            with_backlog,
            bookings: times.len(),
            p50_us: percentile(&times, 50),
            p99_us: percentile(&times, 99),
            max_us: percentile(&times, 100),
            writes: counted.len(),
            lag_median_ms,
            lag_max_ms,
            backlog_before: self.backlog_before,
            backlog_after,
            failed: failed(&ledger),
            terms: (self.term, term),
        })
    }
}

fn failed(ledger: &Ledger) -> u64 {
    ledger.failed + ledger.refused + ledger.undecided.len() as u64
}

/// What the off-site node said, and when: times and indexes that grow.
type Seen = Vec<(Instant, u64)>;

/// Asks the off-site node again and again how far it is.
struct Applied {
    seen: Arc<Mutex<Seen>>,
    asking: JoinHandle<()>,
}

impl Drop for Applied {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl Applied {
    fn watch(node: AdminNode) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let into = Arc::clone(&seen);
        let asking = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                if let Ok(status) = node.get_status().await {
                    let mut seen = into.lock().unwrap_or_else(PoisonError::into_inner);
                    // Only what is new, so that the list stays short.
                    if seen.last().is_none_or(|(_, index)| *index < status.applied_index) {
                        seen.push((Instant::now(), status.applied_index));
                    }
                }
            }
        });
        Self { seen, asking }
    }

    /// Waits until the node has applied `index`, or for as long as that is waited for.
    async fn reach(&self, index: u64) {
        let deadline = Instant::now() + LAG_WAIT_MAX;
        while Instant::now() < deadline {
            let reached = self.seen.lock().unwrap_or_else(PoisonError::into_inner).last().map(|(_, index)| *index);
            if reached >= Some(index) {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn stop(self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// From an acknowledgement until the node was seen to have it; [`LAG_WAIT_MAX`] when it never was.
fn lag(seen: &Seen, index: u64, acknowledged: Instant) -> Duration {
    let at = seen.partition_point(|(_, applied)| *applied < index);
    seen.get(at).map_or(LAG_WAIT_MAX, |(at, _)| at.saturating_duration_since(acknowledged))
}

impl Figures {
    fn of(arguments: &ThinLine, runs: Vec<Run>) -> Self {
        let p99 = |with: bool| {
            let of: Vec<u64> = runs.iter().filter(|run| run.with_backlog == with).map(|run| run.p99_us).collect();
            (median_and_worst(of.iter().copied()), of.iter().copied().min().unwrap_or(0))
        };
        let ((p99_without_us, worst), best) = p99(false);
        let ((p99_with_us, _), _) = p99(true);
        let percent = |part: f64| part / p99_without_us.max(1) as f64 * 100.0;
        let change_percent = percent(p99_with_us as f64 - p99_without_us as f64);
        let of_backlog = || runs.iter().filter(|run| run.with_backlog);
        let lag_max_ms = of_backlog().map(|run| run.lag_max_ms).max().unwrap_or(0);
        // Images must have waited in every run, and some must have left meanwhile: else there was nothing to notice.
        let (first, last) = (of_backlog().next(), of_backlog().next_back());
        let moved = first.map(|run| run.backlog_before) > last.map(|run| run.backlog_after);
        let waited = moved && of_backlog().all(|run| run.backlog_after >= arguments.backlog);
        let held = change_percent < CHANGE_MAX_PERCENT
            && lag_max_ms <= millis(LAG_MAX)
            && waited
            && runs.iter().all(|run| run.failed == 0 && run.bookings > 0);
        Self {
            schema_version: 1,
            rate: arguments.rate.clone(),
            bulk: arguments.bulk.clone(),
            backlog: arguments.backlog,
            writes_per_second: arguments.writes,
            seconds: arguments.seconds,
            runs,
            p99_without_us,
            p99_with_us,
            change_percent,
            change_max_percent: CHANGE_MAX_PERCENT,
            spread_without_percent: percent(worst.saturating_sub(best) as f64),
            lag_max_ms,
            lag_goal_ms: millis(LAG_MAX),
            waited,
            held,
        }
    }
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

fn show(run: &Run) {
    let moved = run.terms.0 != run.terms.1;
    say(&format!(
        "{:>4}  {:<7}  {:>8}  {:>7.2}  {:>7.2}  {:>7.2}  {:>7} ms, worst {:>6} ms  {:>8.1} MB{}{}",
        run.pair,
        if run.with_backlog { "with" } else { "without" },
        run.bookings,
        ms(run.p50_us),
        ms(run.p99_us),
        ms(run.max_us),
        run.lag_median_ms,
        run.lag_max_ms,
        run.backlog_after as f64 / 1e6,
        if moved { "  (the leader changed)" } else { "" },
        if run.failed > 0 { format!("  ({} failed)", run.failed) } else { String::new() },
    ));
}

fn conclude(figures: &Figures) {
    say(&format!(
        "p99 of bookings, median of the runs: {:.2} ms without, {:.2} ms with a backlog: {:+.1} % (below {:.0} %: {})",
        ms(figures.p99_without_us),
        ms(figures.p99_with_us),
        figures.change_percent,
        figures.change_max_percent,
        yes(figures.change_percent < figures.change_max_percent),
    ));
    let spread = figures.spread_without_percent;
    let hint = if spread > CHANGE_MAX_PERCENT && figures.change_percent >= CHANGE_MAX_PERCENT {
        ": more than the goal, so a quieter machine or longer runs (--seconds) tell more"
    } else {
        ""
    };
    say(&format!("spread of the runs without: {spread:.1} %{hint}"));
    say(&format!(
        "acknowledged writes on the off-site node, with a backlog: after {} ms at the latest (at most {}: {})",
        figures.lag_max_ms,
        figures.lag_goal_ms,
        yes(figures.lag_max_ms <= figures.lag_goal_ms)
    ));
    say(&format!("images waited in each of these runs, and some left: {}", yes(figures.waited)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_ends_with_the_first_sight_and_never_before_the_acknowledgement() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let seen: Seen = [(at(100), 10), (at(200), 20)].to_vec();
        assert_eq!(lag(&seen, 10, at(50)), Duration::from_millis(50));
        assert_eq!(lag(&seen, 11, at(50)), Duration::from_millis(150));
        assert_eq!(lag(&seen, 5, at(150)), Duration::ZERO);
        assert_eq!(lag(&seen, 21, at(150)), LAG_WAIT_MAX);
    }
}
