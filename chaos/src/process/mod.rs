//! The world of real processes: `plantaod` as an operator starts it, programs of this process, and faults that the operating
//! system makes. With the rights of root each node has a network namespace, a disk in memory of its own, where `/dev/fuse` is there one that
//! loses what was not synced, and a clock that can be moved; without them what is left is signals and switchovers.

pub(crate) mod cuts;
mod driver;
mod gather;
pub(crate) mod site;

use crate::checks::watch::Screen;
use crate::checks::{self, Findings};
use crate::faults::{Kind, schedule};
use crate::ground::{Standing, say};
use crate::history::Recorder;
use crate::run::{Run, Story};
use crate::seed::Chance;
use crate::workload::{Album, Clinic, Photographer, Program, Shape, World};
use driver::Driver;
use plantao_client::retry::RetryPolicy;
use plantao_client::{Cluster, ConnectOptions};
use site::Site;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinSet;

/// Confirmed writes that the liveness phase waits for.
const WRITES_AFTER_HEALING: usize = 40;
/// How long it waits: a slow machine, not the promise. The report says how long it took.
const LIVENESS_MAX: Duration = Duration::from_secs(90);
/// Programs that store images.
const PHOTOGRAPHERS: u32 = 2;
/// Stream of the seed that says which bits flip.
const ROT: u64 = 1 << 35;
/// A line for people comes so often.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// Real time, and real sockets.
#[derive(Clone)]
struct Place {
    began: Instant,
    cluster: Cluster,
}

impl World for Place {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn unix_ms(&self) -> i64 {
        plantao_client::time::unix_ms(SystemTime::now())
    }

    fn cluster(&self, number: u32) -> Cluster {
        self.cluster.spread(usize::try_from(number).unwrap_or(0))
    }
}

/// Runs one seed.
pub(crate) async fn run(arguments: &Run, seed: u64, standing: &Standing) -> anyhow::Result<Story> {
    let means = site::Means::find(&arguments.faults)?;
    let mut site = Site::make(standing, &means, seed).await?;
    let mut connect = ConnectOptions::default();
    connect.retry =
        RetryPolicy { read_deadline: Duration::from_secs(4), attempt_timeout: Duration::from_secs(2), ..connect.retry };
    let cluster = site.network.connect(&connect)?;
    let place = Place { began: Instant::now(), cluster };
    let (recorder, clinic, shape) = (Recorder::default(), Arc::new(Clinic::of(seed)), Shape::of(arguments.programs));
    clinic.prepare(&place, &recorder).await?;
    Photographer::prepare(&place, &clinic).await?;

    let began_ns = place.now_ns();
    let stop = Arc::new(AtomicBool::new(false));
    let mut programs = JoinSet::new();
    for number in 1..=shape.programs {
        let program = Program::new(&place, number, seed, &shape, &clinic, &recorder);
        programs.spawn(Box::pin(program.run(Arc::clone(&stop))));
    }
    let album = Album::default();
    for number in 1..=PHOTOGRAPHERS {
        let photographer = Photographer::new(&place, number, seed, &clinic, &album);
        programs.spawn(Box::pin(photographer.run(Arc::clone(&stop))));
    }
    let screen = Screen::default();
    let (seen, cluster) = (screen.clone(), place.cluster.clone());
    let following = tokio::spawn(async move { seen.follow(&cluster).await });
    let kinds: Vec<Kind> = means.kinds();
    let length = Duration::from_secs(arguments.duration);
    let planned = schedule(seed, arguments.profile, &kinds, site.network.nodes().len(), length);
    let mut findings = Findings::default();
    let progress = progress(place.clone(), recorder.clone(), seed);
    let mut driver = Driver::new(&mut site, &place, planned, Chance::of(seed, ROT));
    driver.unfold(&mut findings).await?;
    driver.heal(&mut findings).await?;
    let healed_ns = place.now_ns();
    alive(&place, &recorder, healed_ns, &mut findings).await;
    let (spans, memory_bytes, disks) = driver.conclude();
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = programs.join_next().await {
        ended?;
    }
    progress.abort();
    let ended_ns = place.now_ns();

    let calls = recorder.calls();
    checks::histories(&calls, &mut findings);
    checks::fresh(&calls, healed_ns, &mut findings);
    let whole = Clinic::whole(shape.day, ended_ns);
    let gathered = gather::Gathered { clinic: &clinic, calls: &calls, seed, album, screen, whole };
    gather::compare(&site, gathered, shape.write_life, &mut findings).await?;
    following.abort();
    site.network.stop_all().await?;
    gather::search(&site, &mut findings)?;
    let memory_max = site::MEMORY_BYTES_MAX;
    findings.require(memory_bytes <= memory_max, "memory", || format!("a node took {memory_bytes} bytes"));
    let (without, logs) = (means.without(), gather::logs(&site)?);
    Ok(Story { calls, spans, findings, began_ns, healed_ns, ended_ns, memory_bytes, disks, without, logs })
}

/// Without faults, writes must flow again.
async fn alive(place: &Place, recorder: &Recorder, healed_ns: u64, findings: &mut Findings) {
    let deadline = Instant::now() + LIVENESS_MAX;
    while recorder.confirmed_since(healed_ns) < WRITES_AFTER_HEALING {
        if Instant::now() > deadline {
            let count = recorder.confirmed_since(healed_ns);
            let waited = (place.now_ns() - healed_ns) / 1_000_000_000;
            findings.add("liveness", format!("{count} writes in {waited} s after everything was healed"));
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn progress(place: Place, recorder: Recorder, seed: u64) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PROGRESS_EVERY).await;
            let (calls, confirmed) = recorder.progress();
            let seconds = place.now_ns() / 1_000_000_000;
            say(&format!("seed {seed}: {seconds} s, {calls} calls, {confirmed} writes confirmed"));
        }
    })
}
