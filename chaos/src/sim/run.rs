//! One run: the network makes itself, programs work while faults come, everything is healed, and then it is looked at.

use super::chunks::TwoSites;
use super::cluster::{Cluster, Options, simulation};
use super::faults::{Desk, Injector, KINDS};
use super::invariants::Invariants;
use super::trace::Trace;
use crate::checks::end::{self, End};
use crate::checks::needles::{Needle, search};
use crate::checks::watch::Screen;
use crate::checks::{self, Findings};
use crate::faults::{Profile, schedule};
use crate::history::{Outcome, Recorder};
use crate::rot;
use crate::workload::{Album, Clinic, NEEDLE, Photographer, Program, Shape, World};
use anyhow::Context;
use plantao_client::Cluster as Way;
use plantao_client::identity::Kind;
use plantao_proto::admin::v1 as admin;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use turmoil::Sim;

const TICK: Duration = Duration::from_millis(5);
/// With more nodes than this every tick is twice as long: what is done at each, for each node, would take most of the time.
const TICK_NODES_MAX: u64 = 10;
/// So long may a network take to make itself and to register a clinic, and so much longer for each node: they join one by one.
const MAKING_MAX: Duration = Duration::from_secs(180);
const JOINING_MAX: Duration = Duration::from_secs(20);
/// After the last write: copies become equal within it.
const EQUAL_MAX: Duration = Duration::from_secs(20);
/// Between two looks at images that came.
const IMAGES_EVERY: Duration = Duration::from_millis(500);
/// After the last fault: every node has read its chunks again by then, and repair has brought what was bad.
const SCRUBBED_MAX: Duration = Duration::from_secs(90);
/// Writes that were begun in each second of the second half of healing: programs make some ten.
const CONFIRMED_MIN: u64 = 3;
/// Calls under way may take a write's life, and reads their deadline.
const ENDING_MAX: Duration = Duration::from_secs(180);

/// Programs that store images. A third, the careless one, stores as much as both, in every third seed: and only where messages are
/// fast, because at the end every node is asked for every image.
const fn photographers(options: &Options) -> u32 {
    if options.lan && options.seed.is_multiple_of(3) { 3 } else { 2 }
}

/// What a run found, as one line of JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema_version: u32,
    world: &'static str,
    pub(crate) seed: u64,
    nodes: u64,
    timers: &'static str,
    profile: Profile,
    /// Simulated seconds with faults, and in all.
    fault_seconds: u64,
    simulated_seconds: u64,
    calls: usize,
    confirmed: usize,
    committed_index: u64,
    leaderships: usize,
    /// How often chunks that no image names were condemned.
    burials: u64,
    faults: BTreeMap<&'static str, u64>,
    findings: Findings,
    /// Equal for equal seeds.
    trace: String,
    /// `pass`, `violation`, or `harness-failure`: nothing was shown either way.
    pub(crate) verdict: &'static str,
    why: Option<String>,
}

/// How to run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) options: Options,
    pub(crate) profile: Profile,
    pub(crate) faults: Duration,
    pub(crate) trace: Option<PathBuf>,
    /// Without faults, under load: the network has to become whole within its first half.
    pub(crate) healing: Duration,
    /// Goes no further than the first violation that a tick shows.
    pub(crate) first_only: bool,
}

/// The simulated world as programs see it.
#[derive(Clone)]
struct Inside(Cluster);

impl World for Inside {
    fn now_ns(&self) -> u64 {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default();
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    fn unix_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn cluster(&self, number: u32) -> Way {
        self.0.way(Kind::Integration, u64::from(number)).expect("the identity was issued when the hosts were made")
    }
}

struct Run {
    sim: Sim<'static>,
    cluster: Cluster,
    recorder: Recorder,
    ready: Rc<Cell<bool>>,
    stop: Arc<AtomicBool>,
    desk: Desk,
    /// What the network itself said at the end.
    end: Rc<RefCell<Findings>>,
    first_only: bool,
    /// When the last fault was gone.
    healed_ns: Option<u64>,
    invariants: Invariants,
    two_sites: TwoSites,
    album: Album,
    trace: Trace,
    findings: Findings,
}

/// Runs a seed.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Report> {
    let mut sim = simulation(&plan.options, if plan.options.nodes > TICK_NODES_MAX { TICK * 2 } else { TICK });
    let cluster = Cluster::start(&mut sim, &plan.options)?;
    let mut run = Run {
        sim,
        recorder: Recorder::default(),
        ready: Rc::default(),
        stop: Arc::default(),
        desk: Desk::default(),
        end: Rc::default(),
        first_only: plan.first_only,
        healed_ns: None,
        invariants: Invariants::default(),
        two_sites: TwoSites::default(),
        album: Album::default(),
        trace: Trace::new(plan.trace.as_deref())?,
        findings: Findings::default(),
        cluster,
    };
    run.people(plan.options.seed);
    let planned = schedule(plan.options.seed, plan.profile, &KINDS, nodes_of(&plan.options), plan.faults);
    let mut faults = Injector::new(&run.cluster, planned, Rc::clone(&run.desk));
    let failure = run.drive(plan, &mut faults).err().map(|error| format!("{error:#}"));
    let calls = run.recorder.calls();
    checks::histories(&calls, &mut run.findings);
    if let Some(healed_ns) = run.healed_ns {
        checks::fresh(&calls, healed_ns, &mut run.findings);
    }
    absorb(&mut run.findings, run.end.take());
    run.plaintext(&plan.options.directory)?;
    run.set_aside(&plan.options.directory)?;
    run.trace.history(&calls);
    let (begun, confirmed) = run.recorder.progress();
    let verdict = match (&failure, run.findings.count) {
        (_, 1..) => "violation",
        (Some(_), 0) => "harness-failure",
        (None, 0) => "pass",
    };
    Ok(Report {
        schema_version: 1,
        world: "sim",
        seed: plan.options.seed,
        nodes: plan.options.nodes,
        timers: if plan.options.lan { "lan" } else { "wan" },
        profile: plan.profile,
        fault_seconds: plan.faults.as_secs(),
        simulated_seconds: run.sim.elapsed().as_secs(),
        calls: begun,
        confirmed,
        committed_index: run.invariants.committed_index(),
        leaderships: run.invariants.leaderships(),
        burials: run.cluster.burials(),
        faults: faults.counts,
        findings: run.findings,
        trace: format!("{:016x}", run.trace.hash()),
        verdict,
        why: failure,
    })
}

/// Adds what the network itself said.
fn absorb(findings: &mut Findings, end: Findings) {
    let told = end.violations.len() as u64;
    end.violations.into_iter().for_each(|violation| findings.add(violation.check, violation.what));
    findings.count += end.count - told;
    findings.replayed += end.replayed;
    findings.reads_found += end.reads_found;
    findings.compared += end.compared;
    findings.watched += end.watched;
    findings.images_seen += end.images_seen;
    findings.images_kept += end.images_kept;
}

async fn until(flag: &Cell<bool>) {
    while !flag.get() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn nodes_of(options: &Options) -> usize {
    usize::try_from(options.nodes).unwrap_or(0)
}

impl Run {
    /// Programs, each on a host of its own, and the one who prepares for them and does an operator's work.
    fn people(&mut self, seed: u64) {
        let shape = Shape::of(5);
        let clinic = Arc::new(Clinic::of(seed));
        let inside = Inside(self.cluster.clone());
        let (ready, stop, desk, recorder) =
            (Rc::clone(&self.ready), Arc::clone(&self.stop), Rc::clone(&self.desk), self.recorder.clone());
        let (world, furniture) = (inside.clone(), Arc::clone(&clinic));
        let (screen, is_over) = (Screen::default(), Rc::new(Cell::new(false)));
        let (seen, over) = (screen.clone(), Rc::clone(&is_over));
        let (ended, end, day) = (Rc::new(Cell::new(0)), Rc::clone(&self.end), shape.day);
        let (programs, all_ended, life) =
            (shape.programs + photographers(&self.cluster.options), Rc::clone(&ended), shape.write_life);
        let (album, holders) = (self.album.clone(), nodes_of(&self.cluster.options));
        self.sim.client("desk", async move {
            while !world.0.is_whole() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Box::pin(furniture.prepare(&world, &recorder)).await?;
            Box::pin(Photographer::prepare(&world, &furniture)).await?;
            ready.set(true);
            let operator = world.0.way(Kind::Operator, 0)?;
            while !stop.load(Ordering::Relaxed) {
                if std::mem::take(&mut *desk.borrow_mut()) > 0 {
                    let request = admin::TransferLeadershipRequest::default();
                    // Refused while nobody leads or nobody can take over: then there is no switchover.
                    let _ = Box::pin(operator.transfer_leadership(request)).await;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            while all_ended.get() < programs {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let calls = recorder.calls();
            if calls.iter().any(|call| call.outcome == Outcome::Unknown) {
                // Nothing of unknown outcome may still come after the trail was read.
                tokio::time::sleep(life + Duration::from_secs(1)).await;
            }
            let (auditor, programs) = (world.0.way(Kind::Auditor, 0)?, world.0.way(Kind::Integration, 0)?);
            let names = (1..).map(super::cluster::host);
            let nodes = names.zip(programs.addresses()).map(|(name, at)| (name, at.to_owned())).collect();
            let whole = Clinic::whole(day, world.now_ns());
            let (clinic, calls) = (&*furniture, &calls[..]);
            let at_end = End { auditor, programs, nodes, clinic, calls, seed, album, holders, screen: seen, whole };
            let mut found = Findings::default();
            Box::pin(end::compare(&at_end, &mut found)).await.map_err(|error| format!("{error:#}"))?;
            end.replace(found);
            over.set(true);
            Ok(())
        });
        let (world, ready) = (inside.clone(), Rc::clone(&self.ready));
        self.sim.client("screen", async move {
            until(&ready).await;
            let cluster = world.0.way(Kind::Integration, 1)?;
            tokio::select! {
                () = screen.follow(&cluster) => {}
                () = until(&is_over) => {}
            }
            Ok(())
        });
        for number in 1..=shape.programs {
            let (world, shape, clinic, recorder) =
                (inside.clone(), shape.clone(), Arc::clone(&clinic), self.recorder.clone());
            let (ready, stop, ended) = (Rc::clone(&self.ready), Arc::clone(&self.stop), Rc::clone(&ended));
            self.sim.client(format!("p{number}"), async move {
                until(&ready).await;
                Box::pin(Program::new(&world, number, seed, &shape, &clinic, &recorder).run(stop)).await;
                ended.set(ended.get() + 1);
                Ok(())
            });
        }
        for number in 1..=photographers(&self.cluster.options) {
            let (world, clinic, album) = (inside.clone(), Arc::clone(&clinic), self.album.clone());
            let (ready, stop, ended) = (Rc::clone(&self.ready), Arc::clone(&self.stop), Rc::clone(&ended));
            self.sim.client(format!("f{number}"), async move {
                until(&ready).await;
                Box::pin(Photographer::new(&world, number, seed, &clinic, &album).run(stop)).await;
                ended.set(ended.get() + 1);
                Ok(())
            });
        }
    }

    /// `true` once all programs have ended.
    fn step(&mut self) -> anyhow::Result<bool> {
        let ended = match self.sim.step() {
            Ok(ended) => ended,
            Err(error) => {
                // Nobody stands still while the network makes itself or when all is healed: what a host is refused then is
                // the network's doing.
                self.findings.add("ended", error.to_string());
                anyhow::bail!("a host failed: {error}");
            }
        };
        self.invariants.tick(&self.cluster, &mut self.findings);
        if self.sim.elapsed().as_millis().is_multiple_of(IMAGES_EVERY.as_millis()) {
            self.two_sites.look(&self.cluster, &mut self.findings);
        }
        self.trace.tick(self.sim.elapsed(), self.invariants.nodes()).context("the trace cannot be written")?;
        anyhow::ensure!(!self.first_only || self.findings.count == 0, "a violation is enough");
        Ok(ended)
    }

    fn drive(&mut self, plan: &Plan, faults: &mut Injector) -> anyhow::Result<()> {
        let making_max = MAKING_MAX + JOINING_MAX * u32::try_from(plan.options.nodes).unwrap_or(u32::MAX);
        while !self.ready.get() {
            self.step()?;
            if self.sim.elapsed() > making_max {
                let nodes = plan.options.nodes;
                self.findings.add("liveness", format!("no network of {nodes} nodes was made in {making_max:?}"));
                anyhow::bail!("there is no network");
            }
        }
        let begun = self.sim.elapsed();
        while self.sim.elapsed() < begun + plan.faults {
            let now = self.sim.elapsed() - begun;
            faults.tick(&mut self.sim, now);
            self.step()?;
        }
        faults.heal(&mut self.sim);
        let healed = self.sim.elapsed();
        while self.sim.elapsed() < healed + plan.healing {
            self.step()?;
        }
        self.healed_ns = u64::try_from(healed.as_nanos()).ok();
        let late = u64::try_from((healed + plan.healing / 2).as_nanos()).unwrap_or(u64::MAX);
        let confirmed = self.recorder.confirmed_since(late);
        let least = CONFIRMED_MIN * plan.healing.as_secs() / 2;
        self.findings.require(u64::try_from(confirmed).unwrap_or(0) >= least, "liveness", || {
            format!("{confirmed} writes were confirmed in the second half of {:?} without faults", plan.healing)
        });
        self.stop.store(true, Ordering::Relaxed);
        let stopped = self.sim.elapsed();
        while !self.step()? {
            if self.sim.elapsed() > stopped + ENDING_MAX {
                self.findings.add("liveness", format!("a program has no answer {ENDING_MAX:?} after the last fault"));
                anyhow::bail!("a program does not end");
            }
        }
        self.copies_agree()?;
        self.chunks_are_good()
    }

    /// Whatever rotted was found and replaced, on every node.
    fn chunks_are_good(&mut self) -> anyhow::Result<()> {
        let since = self.sim.elapsed();
        loop {
            let mut bad = Vec::new();
            for id in self.cluster.machines.keys() {
                bad.extend(rot::rotten(&self.cluster.chunk_directory(*id)).context("chunks cannot be read")?);
            }
            if bad.is_empty() {
                return Ok(());
            }
            if self.sim.elapsed() > since + SCRUBBED_MAX {
                self.findings
                    .add("rot", format!("{SCRUBBED_MAX:?} after the last fault {} chunks are rotten", bad.len()));
                return Ok(());
            }
            let next = self.sim.elapsed() + Duration::from_secs(5);
            while self.sim.elapsed() < next {
                self.step()?;
            }
        }
    }

    /// What programs sent as content is in no file, no log and no row.
    fn plaintext(&mut self, directory: &Path) -> anyhow::Result<()> {
        let needle = Needle::of(NEEDLE);
        let (found, mut bytes) = search(directory, &needle)?;
        for file in found {
            self.findings.add("plaintext", file.display().to_string());
        }
        for (id, machine) in self.cluster.machines.iter() {
            let (mut in_log, mut in_rows) = (0_u64, 0_u64);
            let mut look = |found: &mut u64, block: &[u8]| {
                bytes += block.len() as u64;
                *found += u64::from(needle.is_in(block));
            };
            machine.log.contents(|payload| look(&mut in_log, payload));
            machine.engine.contents(|row| look(&mut in_rows, row));
            self.findings.require(in_log + in_rows == 0, "plaintext", || {
                format!("n{id}: in {in_log} entries of the log and {in_rows} rows")
            });
        }
        self.findings.searched_bytes += bytes;
        Ok(())
    }

    /// No power cut makes a node distrust its own rows: what it says is durable is, and its digests are right.
    fn set_aside(&mut self, directory: &Path) -> anyhow::Result<()> {
        for id in self.cluster.machines.keys() {
            let state = directory.join(super::cluster::host(*id)).join("data").join("state");
            for entry in fs::read_dir(&state).into_iter().flatten() {
                let name = entry?.file_name();
                let is_bad = name.to_string_lossy().starts_with("bad-");
                self.findings.require(!is_bad, "set aside", || format!("n{id} did not trust its rows at a start"));
            }
        }
        Ok(())
    }

    /// Every node comes to the same rows.
    fn copies_agree(&mut self) -> anyhow::Result<()> {
        let since = self.sim.elapsed();
        loop {
            let running = self.cluster.running.borrow();
            let digests: Vec<_> = running.values().map(super::cluster::Running::digests).collect();
            drop(running);
            let agree = digests.windows(2).all(|pair| pair[0] == pair[1]);
            if agree && u64::try_from(digests.len()).unwrap_or(0) == self.cluster.options.nodes {
                return Ok(());
            }
            if self.sim.elapsed() > since + EQUAL_MAX {
                let at: Vec<u64> = digests.iter().map(|(index, _)| *index).collect();
                self.findings.add("copies", format!("{EQUAL_MAX:?} after the last write the nodes are at {at:?}"));
                return Ok(());
            }
            self.step()?;
        }
    }
}
