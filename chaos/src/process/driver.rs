//! Faults, made when their time comes and undone when it is over.

use super::Place;
use super::cuts::Cuts;
use super::site::Site;
use crate::checks::Findings;
use crate::faults::{DiskCall, Fault, Kept, Planned, Whom};
use crate::run::Span;
use crate::seed::Chance;
use crate::workload::World;
use anyhow::Context;
use plantao_client::ConnectOptions;
use plantao_proto::admin::v1 as admin;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Between two looks at processes and their memory.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// After a full disk or a moved clock, a node may still end for its sake.
const MOMENT: Duration = Duration::from_secs(10);
/// A node that may have lost what it acknowledged stays down so long: the others have a leader by then, who has everything.
const AWAY: Duration = Duration::from_secs(4);
/// How long it is asked who leads.
const ASK_MAX: Duration = Duration::from_millis(400);

/// What happens at one time.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(usize),
    End(usize),
    /// A link that flaps is cut, or open again.
    Flip(usize, bool),
}

/// What drives the faults of one run.
pub(super) struct Driver<'a> {
    site: &'a mut Site,
    place: &'a Place,
    began_ns: u64,
    planned: Vec<Planned>,
    /// Of faults that began, by their place in the plan.
    spans: BTreeMap<usize, Span>,
    /// Faults that are there now; of those that flap, whether they cut.
    active: BTreeMap<usize, bool>,
    /// Nodes that faults stopped: they are started again when these end.
    down: BTreeSet<usize>,
    paused: BTreeSet<usize>,
    /// What became of unsynced changes at power cuts, and how many calls of disks met a fault.
    disks: BTreeMap<String, u64>,
    cuts: Cuts,
    /// Which bits flip.
    chance: Chance,
    memory_bytes: u64,
}

impl<'a> Driver<'a> {
    pub(super) fn new(site: &'a mut Site, place: &'a Place, planned: Vec<Planned>, chance: Chance) -> Self {
        Self {
            began_ns: place.now_ns(),
            site,
            place,
            planned,
            spans: BTreeMap::new(),
            active: BTreeMap::new(),
            down: BTreeSet::new(),
            paused: BTreeSet::new(),
            disks: BTreeMap::new(),
            cuts: Cuts::default(),
            chance,
            memory_bytes: 0,
        }
    }

    /// Every fault in its time.
    pub(super) async fn unfold(&mut self, findings: &mut Findings) -> anyhow::Result<()> {
        let mut steps = Vec::new();
        for (nth, Planned { from_ms, to_ms, fault }) in self.planned.iter().enumerate() {
            steps.extend([(*from_ms, Step::Begin(nth)), (*to_ms, Step::End(nth))]);
            if let Fault::Flap { every_ms, .. } = fault {
                let times = (from_ms + every_ms..*to_ms).step_by(usize::try_from(*every_ms)?);
                steps.extend(times.enumerate().map(|(flip, at)| (at, Step::Flip(nth, flip % 2 == 1))));
            }
        }
        steps.sort_by_key(|(at, _)| *at);
        for (at_ms, step) in steps {
            self.wait(at_ms, findings).await?;
            match step {
                Step::Begin(nth) => self.begin(nth).await?,
                Step::End(nth) => self.end(nth).await?,
                Step::Flip(nth, is_cut) => {
                    if let Some(cut) = self.active.get_mut(&nth) {
                        *cut = is_cut;
                        self.cut()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Undoes what is left, and waits until every node is ready.
    pub(super) async fn heal(&mut self, findings: &mut Findings) -> anyhow::Result<()> {
        let left: Vec<usize> = self.active.keys().copied().collect();
        for nth in left {
            self.end(nth).await?;
        }
        self.look(findings).await;
        for at in 0..self.site.network.nodes().len() {
            if self.site.network.start(at).await.is_err() {
                // Started once more: a start may have met the last moments of a fault.
                let again = self.site.network.start(at).await;
                let name = self.site.network.nodes()[at].name();
                findings.require(again.is_ok(), "start", || format!("{name} does not start: {again:?}"));
            }
        }
        Ok(())
    }

    /// What came, the most memory that a node had, and what disks did.
    pub(super) fn conclude(self) -> (Vec<Span>, u64, BTreeMap<String, u64>) {
        (self.spans.into_values().collect(), self.memory_bytes, self.disks)
    }

    async fn wait(&mut self, at_ms: u64, findings: &mut Findings) -> anyhow::Result<()> {
        let until_ns = self.began_ns + at_ms * 1_000_000;
        loop {
            self.look(findings).await;
            let left = Duration::from_nanos(until_ns.saturating_sub(self.place.now_ns()));
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
    }

    /// A node that ended though nobody stopped it, and memory.
    async fn look(&mut self, findings: &mut Findings) {
        let resident = self.site.network.nodes().iter().filter_map(|node| node.resident_bytes());
        self.memory_bytes = resident.max().unwrap_or(0).max(self.memory_bytes);
        for at in self.site.network.fallen() {
            let now_ns = self.place.now_ns();
            // A node may take a moment to find that it cannot go on.
            let is_recent = |nth: &usize, span: &Span| {
                let moments = if span.fault.wants_to_be_alone() { 3 } else { 1 };
                let ago_ns = u128::from(now_ns.saturating_sub(span.to_ns));
                self.active.contains_key(nth) || ago_ns < MOMENT.as_nanos() * moments
            };
            // A leader ends when a follower comes back with less than it acknowledged: openraft's own assertion (decision 0004).
            let for_another = |span: &Span| span.fault.wants_to_be_alone() && !span.nodes.contains(&at);
            let met = |(nth, span): &(&usize, &Span)| {
                let is_own =
                    span.nodes.contains(&at) && (span.fault.is_of_disk() || matches!(span.fault, Fault::Clock { .. }));
                span.left_out.is_none() && (is_own || for_another(span)) && is_recent(nth, span)
            };
            let cause = self.spans.iter().find(met).map(|(_, span)| for_another(span));
            let is_expected = cause.is_some();
            if cause == Some(true) {
                *self.disks.entry("leader_ended".to_owned()).or_default() += 1;
            }
            let is_over =
                !self.active.keys().filter_map(|nth| self.spans.get(nth)).any(|span| span.nodes.contains(&at));
            let node = &self.site.network.nodes()[at];
            findings.require(is_expected || self.down.contains(&at), "ended", || {
                format!("{} ended by itself; its log: {}", node.name(), node.log().display())
            });
            self.down.insert(at);
            if !is_expected || is_over {
                // Nothing that ends later would start it.
                let _ = self.site.network.spawn(at);
                self.down.remove(&at);
            }
        }
    }

    async fn begin(&mut self, nth: usize) -> anyhow::Result<()> {
        let fault = self.planned[nth].fault;
        let count = self.site.network.nodes().len();
        let nodes = match fault {
            Fault::Kill(whom)
            | Fault::Pause(whom)
            | Fault::Isolate(whom)
            | Fault::DiskFull(whom)
            | Fault::DiskLow { whom, .. }
            | Fault::Rot(whom)
            | Fault::Flap { whom, .. }
            | Fault::Thin { whom, .. }
            | Fault::Clock { whom, .. }
            | Fault::PowerCut { whom, .. }
            | Fault::DiskError { whom, .. }
            | Fault::DiskStall { whom, .. }
            | Fault::LyingSync(whom)
            | Fault::BitFlip { whom, .. }
            | Fault::ReadOnly(whom) => vec![self.find(whom).await],
            Fault::OneWay { from, to } => vec![from, to],
            Fault::Cut { one, other } => vec![one, other],
            Fault::KillAll
            | Fault::PowerCutAll { .. }
            | Fault::Loss { .. }
            | Fault::Reset { .. }
            | Fault::NoConnections
            | Fault::Delay { .. } => (0..count).collect(),
            Fault::Switchover => Vec::new(),
        };
        let left_out = self.make(nth, fault, &nodes).await?;
        let from_ns = self.place.now_ns();
        self.spans.insert(nth, Span { from_ns, to_ns: from_ns, fault, nodes, left_out });
        if left_out.is_none() {
            self.active.insert(nth, true);
            self.cut()?;
        }
        Ok(())
    }

    /// Makes a fault, or says why not now.
    async fn make(&mut self, nth: usize, fault: Fault, nodes: &[usize]) -> anyhow::Result<Option<&'static str>> {
        let is_held = |kind: &dyn Fn(&Fault) -> bool| {
            let held = self.active.keys().filter_map(|other| self.spans.get(other));
            held.filter(|span| kind(&span.fault)).any(|span| span.nodes.iter().any(|node| nodes.contains(node)))
        };
        let is_stopped = nodes.iter().any(|at| self.down.contains(at) || self.paused.contains(at));
        let others = || self.active.keys().filter_map(|other| self.spans.get(other));
        if others().any(|span| span.fault.wants_to_be_alone()) {
            return Ok(Some("one copy may have lost something"));
        }
        if fault.wants_to_be_alone() && (others().next().is_some() || !self.down.is_empty()) {
            return Ok(Some("something else is wrong"));
        }
        if fault.is_of_disk() && is_held(&Fault::is_of_disk) {
            return Ok(Some("something is wrong with that disk already"));
        }
        let network = &mut self.site.network;
        match fault {
            Fault::Kill(_)
            | Fault::KillAll
            | Fault::Pause(_)
            | Fault::PowerCut { .. }
            | Fault::PowerCutAll { .. }
            | Fault::DiskError { call: DiskCall::Read, .. }
                if is_stopped =>
            {
                return Ok(Some("stopped already"));
            }
            Fault::Kill(_) => {
                for at in nodes {
                    network.kill(*at).await?;
                    self.down.insert(*at);
                }
            }
            Fault::KillAll => {
                network.kill_all().await?;
                self.down.extend(nodes);
            }
            Fault::Pause(_) => {
                for at in nodes {
                    signal(network.nodes()[*at].pid(), Signal::STOP)?;
                    self.paused.insert(*at);
                }
            }
            Fault::PowerCut { keep, .. } => {
                for at in nodes {
                    network.kill(*at).await?;
                    self.down.insert(*at);
                }
                self.lose(nodes, keep)?;
            }
            Fault::PowerCutAll { keep } => {
                network.kill_all().await?;
                self.down.extend(nodes);
                self.lose(nodes, keep)?;
            }
            Fault::DiskError { call, nth, .. } => {
                let order = format!("fail {} {nth}", call.name());
                for at in nodes {
                    if call == DiskCall::Read {
                        self.site.network.kill(*at).await?;
                        self.start_with(*at, &order).await?;
                    } else {
                        self.site.order(*at, &order)?;
                    }
                }
            }
            Fault::DiskStall { syncs_only, most_ms, .. } => {
                for at in nodes {
                    let which = if syncs_only { "sync" } else { "all" };
                    self.site.order(*at, &format!("stall {most_ms} {which}"))?;
                }
            }
            Fault::LyingSync(_) => {
                for at in nodes {
                    self.site.order(*at, "lie")?;
                }
            }
            Fault::BitFlip { nth, .. } => {
                for at in nodes {
                    self.site.network.kill(*at).await?;
                    tokio::time::sleep(AWAY).await;
                    self.start_with(*at, &format!("spoil {nth}")).await?;
                }
            }
            Fault::ReadOnly(_) => {
                for at in nodes {
                    self.site.order(*at, "read-only")?;
                }
            }
            Fault::DiskFull(_) => {
                for at in nodes {
                    self.site.fill(*at, 0)?;
                }
            }
            Fault::DiskLow { left_mib, .. } => {
                if is_held(&|fault| matches!(fault, Fault::DiskFull(_) | Fault::DiskLow { .. })) {
                    return Ok(Some("full already"));
                }
                for at in nodes {
                    self.site.fill(*at, u64::from(left_mib) << 20)?;
                }
            }
            Fault::Clock { offset_ms, .. } => {
                if is_held(&|fault| matches!(fault, Fault::Clock { .. })) {
                    return Ok(Some("moved already"));
                }
                for at in nodes {
                    self.site.set_clock(*at, offset_ms)?;
                }
            }
            Fault::Rot(_) => {
                for at in nodes {
                    if !self.site.rot(*at, &mut self.chance)? {
                        return Ok(Some("no chunk yet"));
                    }
                }
            }
            Fault::Thin { kbit, .. } => {
                if is_held(&|fault| matches!(fault, Fault::Thin { .. })) {
                    return Ok(Some("thin already"));
                }
                for at in nodes {
                    self.site.wires()?.thin(*at, Some(kbit))?;
                }
            }
            Fault::Switchover => {
                let cluster = network.connect(&asking())?;
                let request = admin::TransferLeadershipRequest {
                    to_node_id: 0,
                    expect_leader_id: 0,
                    reason: format!("caos {nth}"),
                    failback: false,
                };
                // It may be refused, and it may come to nothing: neither is a fault of the network.
                tokio::spawn(async move { cluster.transfer_leadership(request).await.is_ok() });
            }
            Fault::Isolate(_)
            | Fault::OneWay { .. }
            | Fault::Cut { .. }
            | Fault::Flap { .. }
            | Fault::Loss { .. }
            | Fault::Reset { .. }
            | Fault::NoConnections
            | Fault::Delay { .. } => {}
        }
        Ok(None)
    }

    /// Takes from disks what was not synced; their nodes are dead.
    fn lose(&mut self, nodes: &[usize], keep: Kept) -> anyhow::Result<()> {
        for at in nodes {
            for (name, count) in self.site.order(*at, &format!("lose-power {}", keep.name()))? {
                *self.disks.entry(name).or_default() += count;
            }
        }
        Ok(())
    }

    /// Starts a dead node on a disk with a fault. It may well refuse.
    async fn start_with(&mut self, at: usize, order: &str) -> anyhow::Result<()> {
        self.site.order(at, order)?;
        self.site.network.spawn(at)?;
        if self.site.network.ready(at).await.is_err() {
            *self.disks.entry("refused".to_owned()).or_default() += 1;
            self.down.insert(at);
        }
        Ok(())
    }

    async fn end(&mut self, nth: usize) -> anyhow::Result<()> {
        if self.active.remove(&nth).is_none() {
            return Ok(());
        }
        let now_ns = self.place.now_ns();
        let Some(span) = self.spans.get_mut(&nth) else { return Ok(()) };
        span.to_ns = now_ns;
        let (fault, nodes) = (span.fault, span.nodes.clone());
        for at in nodes {
            match fault {
                Fault::Pause(_) => {
                    signal(self.site.network.nodes()[at].pid(), Signal::CONT)?;
                    self.paused.remove(&at);
                }
                Fault::DiskFull(_) | Fault::DiskLow { .. } => self.site.make_room(at)?,
                Fault::LyingSync(_) => {
                    self.site.network.kill(at).await?;
                    self.lose(&[at], Kept::Nothing)?;
                    self.site.order(at, "heal")?;
                    self.down.insert(at);
                    tokio::time::sleep(AWAY).await;
                }
                Fault::DiskError { .. } | Fault::DiskStall { .. } | Fault::BitFlip { .. } | Fault::ReadOnly(_) => {
                    *self.disks.entry("met".to_owned()).or_default() +=
                        self.site.order(at, "heal")?.get("met").copied().unwrap_or(0);
                }
                Fault::Clock { .. } => self.site.set_clock(at, 0)?,
                Fault::Thin { .. } => self.site.wires()?.thin(at, None)?,
                _ => {}
            }
            let stops = fault.is_of_disk()
                || matches!(
                    fault,
                    Fault::Kill(_)
                        | Fault::KillAll
                        | Fault::Clock { .. }
                        | Fault::PowerCut { .. }
                        | Fault::PowerCutAll { .. }
                );
            if stops && self.down.remove(&at) {
                self.site.network.spawn(at)?;
            }
        }
        self.cut()
    }

    /// Brings the rules of all nodes to what is cut now.
    fn cut(&mut self) -> anyhow::Result<()> {
        let count = self.site.network.nodes().len();
        let mut cuts = Cuts::default();
        for (nth, is_cut) in self.active.iter().filter(|(_, is_cut)| **is_cut) {
            let Some(span) = self.spans.get(nth).filter(|_| *is_cut) else { continue };
            cuts.add(&span.fault, &span.nodes, count);
        }
        if cuts != self.cuts {
            self.site.cut(&cuts)?;
            self.cuts = cuts;
        }
        Ok(())
    }

    async fn find(&self, whom: Whom) -> usize {
        let Whom::Leader = whom else {
            let Whom::Node(at) = whom else { return 0 };
            return at;
        };
        let Ok(cluster) = self.site.network.connect(&asking()) else { return 0 };
        let asked = cluster.admin_nodes().iter().map(|node| tokio::time::timeout(ASK_MAX, node.get_status()));
        let told = futures_util::future::join_all(asked).await.into_iter().flatten().flatten();
        let leading = told.filter(|status| status.role() == admin::NodeRole::Leader);
        let leader = leading.max_by_key(|status| status.term).map(|status| status.node_id);
        leader.and_then(|id| self.site.network.position(id).ok()).unwrap_or(0)
    }
}

fn asking() -> ConnectOptions {
    let mut options = ConnectOptions::default();
    options.retry.attempt_timeout = ASK_MAX;
    options
}

/// To this process only.
fn signal(pid: Option<u32>, signal: Signal) -> anyhow::Result<()> {
    let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    // One that has just ended has no number any more.
    let Some(pid) = pid else { return Ok(()) };
    kill_process(pid, signal).context("cannot signal a node")
}
