//! Makes the faults of the common list in the simulated world.

use super::cluster::{Cluster, host};
use crate::faults::{Fault, Planned, Whom};
use crate::seed::Chance;
use rand::rngs::StdRng;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use turmoil::Sim;

/// Kinds that this world makes.
pub(crate) const KINDS: [crate::faults::Kind; 10] = [
    crate::faults::Kind::Kill,
    crate::faults::Kind::KillAll,
    crate::faults::Kind::Pause,
    crate::faults::Kind::Isolate,
    crate::faults::Kind::OneWay,
    crate::faults::Kind::Cut,
    crate::faults::Kind::Flap,
    crate::faults::Kind::Clock,
    crate::faults::Kind::Rot,
    crate::faults::Kind::Switchover,
];

/// Stream of the seed that says which bit flips.
const ROT: u64 = 1 << 35;

/// What an operator still has to do; somebody on a host of the simulation does it.
pub(crate) type Desk = Rc<RefCell<u64>>;

struct Active {
    fault: Fault,
    ends: Duration,
    /// Whom it met.
    node: u64,
    /// The next turn of a link that flaps.
    turn: Duration,
    open: bool,
}

/// Faults as they are due.
pub(crate) struct Injector {
    cluster: Cluster,
    random: StdRng,
    chance: Chance,
    planned: std::vec::IntoIter<Planned>,
    next: Option<Planned>,
    active: Vec<Active>,
    down: BTreeSet<u64>,
    desk: Desk,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Injector {
    pub(crate) fn new(cluster: &Cluster, planned: Vec<Planned>, desk: Desk) -> Self {
        let mut planned = planned.into_iter();
        let next = planned.next();
        let (cluster, random, chance) = (cluster.clone(), cluster.random(7), Chance::of(cluster.options.seed, ROT));
        Self {
            cluster,
            random,
            chance,
            planned,
            next,
            active: Vec::new(),
            down: BTreeSet::new(),
            desk,
            counts: BTreeMap::new(),
        }
    }

    /// Does what is due at `now`, counted from the start of the safety phase.
    pub(crate) fn tick(&mut self, sim: &mut Sim<'static>, now: Duration) {
        let mut changed = false;
        while let Some(planned) = self.next.filter(|planned| Duration::from_millis(planned.from_ms) <= now) {
            self.next = self.planned.next();
            changed |= self.begin(sim, planned, now);
        }
        for at in (0..self.active.len()).rev() {
            if self.active[at].ends <= now {
                let ended = self.active.swap_remove(at);
                self.end(sim, &ended);
                changed = true;
            } else if let Fault::Flap { every_ms, .. } = self.active[at].fault
                && self.active[at].turn <= now
            {
                self.active[at].turn = now + Duration::from_millis(every_ms);
                self.active[at].open = !self.active[at].open;
                changed = true;
            }
        }
        if changed {
            self.set_links(sim);
        }
    }

    /// Ends everything.
    pub(crate) fn heal(&mut self, sim: &mut Sim<'static>) {
        self.next = None;
        for ended in std::mem::take(&mut self.active) {
            self.end(sim, &ended);
        }
        self.set_links(sim);
    }

    fn begin(&mut self, sim: &mut Sim<'static>, planned: Planned, now: Duration) -> bool {
        let fault = planned.fault;
        let nodes = self.cluster.options.nodes;
        let node_at = |at: usize| u64::try_from(at).unwrap_or(0) % nodes + 1;
        let node = match fault {
            Fault::Kill(whom)
            | Fault::Pause(whom)
            | Fault::Isolate(whom)
            | Fault::Flap { whom, .. }
            | Fault::Rot(whom)
            | Fault::Clock { whom, .. } => match whom {
                Whom::Leader => self.cluster.leader().unwrap_or(1),
                Whom::Node(at) => node_at(at),
            },
            _ => 1,
        };
        match fault {
            Fault::Kill(_) => {
                if !self.down.insert(node) {
                    return false;
                }
                self.cluster.crash(sim, node, &mut self.random);
            }
            // Everybody loses power at once: what was acknowledged must be on a majority's disks.
            Fault::KillAll => {
                for id in 1..=nodes {
                    if self.down.insert(id) {
                        self.cluster.crash(sim, id, &mut self.random);
                    }
                }
            }
            Fault::Clock { offset_ms, .. } => self.cluster.machines[&node].set_clock(offset_ms),
            Fault::Rot(_) if !self.cluster.rot(node, &mut self.chance) => return false,
            Fault::Switchover => *self.desk.borrow_mut() += 1,
            _ => {}
        }
        *self.counts.entry(fault.kind().name()).or_default() += 1;
        let ends = Duration::from_millis(planned.to_ms);
        self.active.push(Active { fault, ends, node, turn: now, open: true });
        true
    }

    fn end(&mut self, sim: &mut Sim<'static>, ended: &Active) {
        match ended.fault {
            Fault::Kill(_) => self.start(sim, ended.node),
            Fault::KillAll => {
                for id in std::mem::take(&mut self.down) {
                    self.cluster.bounce(sim, id);
                }
            }
            Fault::Clock { .. } => self.cluster.machines[&ended.node].set_clock(0),
            _ => {}
        }
    }

    fn start(&mut self, sim: &mut Sim<'static>, id: u64) {
        if self.down.remove(&id) {
            self.cluster.bounce(sim, id);
        }
    }

    /// Links as all active faults together want them.
    fn set_links(&self, sim: &mut Sim<'static>) {
        let nodes = self.cluster.options.nodes;
        for one in 1..=nodes {
            for other in 1..one {
                sim.release(host(one), host(other));
                sim.repair(host(one), host(other));
            }
        }
        let node_at = |at: usize| u64::try_from(at).unwrap_or(0) % nodes + 1;
        for Active { fault, node, open, .. } in &self.active {
            let others = (1..=nodes).filter(|id| id != node);
            match *fault {
                Fault::Isolate(_) => others.for_each(|other| sim.partition(host(*node), host(other))),
                Fault::Flap { .. } if !open => others.for_each(|other| sim.partition(host(*node), host(other))),
                Fault::Cut { one, other } => sim.partition(host(node_at(one)), host(node_at(other))),
                Fault::OneWay { from, to } => sim.partition_oneway(host(node_at(from)), host(node_at(to))),
                // Its messages come all at once when it goes on, as those of a process that was stopped.
                Fault::Pause(_) => others.for_each(|other| sim.hold(host(*node), host(other))),
                _ => {}
            }
        }
    }
}
