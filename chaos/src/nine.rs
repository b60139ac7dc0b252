//! `chaos nine`: a network of three that grows to nine processes while it works, and shrinks back. In the middle of every step a
//! node gets `kill -9`: the leader while it grows and while votes change, a follower while nodes go. The operator's part is
//! done by `plantao`, as a person does it.
//!
//! ```text
//! 3 voters ─ six join, one by one ─► 9 nodes, 3 voters ─ two get votes ─► 9 nodes, 5 voters ─ six go ─► 3 voters
//! ```
//! Who leads in which term is looked at all the time, and read off what each node wrote down. Acknowledged writes are looked
//! for on every node that opens content, at nine and at three.

use crate::ground::{Ground, Standing, beside, exit, millis, say, until_signal, yes};
use crate::operator::Operator;
use anyhow::{Context, bail, ensure};
use plantao_client::{AdminNode, Cluster, ConnectOptions};
use plantao_node::local_network::checks::{AcknowledgedReport, OverlapReport, look_for, overlaps};
use plantao_node::local_network::load::{Ledger, Load, LoadOptions, Stage, Work};
use plantao_node::local_network::{LocalNetwork, NetworkOptions, NodeSpec, Timers};
use plantao_proto::admin::v1::{self as admin, MemberChange};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The first three are a clinic's; two of the rest get votes.
const NAMES: [&str; 9] = ["centro", "jardins", "cofre", "moema", "lapa", "tatuape", "santana", "ipiranga", "butanta"];
const VOTERS_FIRST: usize = 3;
/// Three or five vote, whatever the number of nodes (`docs/decisions/0017-members.md`).
const VOTERS_MOST: usize = 5;
/// How long a step may take on a slow machine whose leader dies meanwhile.
const STEP_MAX: Duration = Duration::from_secs(300);
/// Six joins, and two changes of votes.
const LEADERS_FALL: usize = 8;
/// Between two looks at who leads.
const LOOK: Duration = Duration::from_millis(100);
/// Acknowledged writes before and after each step.
const FLOWING: usize = 20;

/// How much load, and which timers.
#[derive(Debug, clap::Args)]
pub(crate) struct Nine {
    /// Milliseconds between two writes.
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    every: u64,
    /// Raft timers.
    #[arg(long, value_enum, default_value_t = Timers::Wan)]
    timers: Timers,
    /// `plantao`; default: the one beside this program.
    #[arg(long, value_name = "FILE")]
    tool: Option<std::path::PathBuf>,
    #[command(flatten)]
    ground: Ground,
}

/// One change of the members, with its kill.
#[derive(Debug, Serialize)]
struct Step {
    what: String,
    killed: String,
    killed_led: bool,
    took_ms: u64,
    /// The longest time without an acknowledged write meanwhile.
    writes_failed_ms: u64,
}

/// What was found where everything had to be.
#[derive(Debug, Serialize)]
struct Found {
    nodes: usize,
    voters: usize,
    acknowledged: BTreeMap<String, AcknowledgedReport>,
    digests_equal: bool,
}

#[derive(Debug, Serialize)]
struct Figures {
    schema_version: u32,
    timers: &'static str,
    steps: Vec<Step>,
    at_nine: Found,
    at_three: Found,
    acknowledged: u64,
    refused: u64,
    undecided: u64,
    failed: u64,
    first_failure: Option<String>,
    overlaps: OverlapReport,
    /// Terms in which somebody led.
    terms: usize,
    /// Terms in which more than one did.
    terms_with_two_leaders: Vec<u64>,
    held: bool,
}

/// Runs it.
pub(crate) async fn run(arguments: &Nine) -> anyhow::Result<ExitCode> {
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

async fn measure(arguments: &Nine, standing: &Standing) -> anyhow::Result<ExitCode> {
    let tool = beside(arguments.tool.as_deref(), "plantao", "--tool")?;
    let cluster = "chaos".parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
    let options = NetworkOptions::clinic(standing.program.clone(), cluster, arguments.timers);
    let network = LocalNetwork::create(&standing.directory, &options).await?;
    let every = Duration::from_millis(arguments.every);
    let options = LoadOptions { work: Work::Contended, every, in_flight_max: 512 };
    let load = Load::start(&network.connect(&ConnectOptions::default())?, &options).await?;
    let operator = Operator::of(&network, &tool);
    let leaders = Leaders::watch(&network)?;
    let mut growing = Growing { network, load, operator, leaders, gone: BTreeSet::new(), steps: Vec::new() };
    say("step                                  killed     led  took      no write for");
    let at_nine = growing.grow().await?;
    growing.shrink().await?;
    let Growing { network, load, leaders, steps, .. } = growing;
    let (stage, ledger) = load.stop().await?;
    let at_three = found(&network, &stage, &ledger, VOTERS_FIRST).await?;
    let overlaps = overlaps(&network.connect(&ConnectOptions::default())?).await?;
    let terms = leaders.end(&network)?;
    let two: Vec<u64> = terms.iter().filter(|(_, nodes)| nodes.len() > 1).map(|(term, _)| *term).collect();
    let figures = Figures {
        schema_version: 1,
        timers: arguments.timers.as_str(),
        held: at_nine.holds()
            && at_three.holds()
            && ledger.undecided.is_empty()
            && ledger.failed == 0
            && overlaps.holds()
            && two.is_empty()
            && terms.len() > 1,
        steps,
        at_nine,
        at_three,
        acknowledged: ledger.acknowledged.len() as u64,
        refused: ledger.refused,
        undecided: ledger.undecided.len() as u64,
        failed: ledger.failed,
        first_failure: ledger.first_failure.clone(),
        overlaps,
        terms: terms.len(),
        terms_with_two_leaders: two,
    };
    conclude(&figures);
    arguments.ground.write(&figures)?;
    Ok(exit(figures.held))
}

struct Growing {
    network: LocalNetwork,
    load: Load,
    operator: Operator,
    leaders: Leaders,
    /// Removed for good; they are not started again.
    gone: BTreeSet<usize>,
    steps: Vec<Step>,
}

impl Growing {
    async fn grow(&mut self) -> anyhow::Result<Found> {
        for name in &NAMES[VOTERS_FIRST..] {
            self.join(name).await?;
        }
        let votes: Vec<_> =
            NAMES[VOTERS_FIRST..VOTERS_MOST].iter().map(|name| (*name, admin::Standing::Voter)).collect();
        self.change("two get votes", &votes, true, (NAMES.len(), VOTERS_MOST)).await?;
        // What is under way is answered; then nothing moves but the copies.
        self.load.rest(true);
        let ledger = quiet(&self.load).await?;
        let found = found(&self.network, self.load.stage(), &ledger, VOTERS_MOST).await?;
        self.load.rest(false);
        Ok(found)
    }

    async fn shrink(&mut self) -> anyhow::Result<()> {
        let fewer: Vec<_> =
            NAMES[VOTERS_FIRST..VOTERS_MOST].iter().map(|name| (*name, admin::Standing::Removed)).collect();
        self.change("both go, votes and all", &fewer, true, (NAMES.len() - 2, VOTERS_FIRST)).await?;
        let rest: Vec<_> = NAMES[VOTERS_MOST..].iter().map(|name| (*name, admin::Standing::Removed)).collect();
        self.change("the other four go", &rest, false, (VOTERS_FIRST, VOTERS_FIRST)).await
    }

    /// A token of `plantao member add`, spent by `plantaod join`; the leader dies while the node is let in.
    async fn join(&mut self, name: &str) -> anyhow::Result<()> {
        let begun = self.begin().await?;
        let spec = NodeSpec { voter: false, prefer_leader: false, ..NodeSpec::unit(name) };
        let at = self.network.place(spec)?;
        let token = self.patiently(&["member", "add", "--yes", "-o", "json"]).await?;
        let token: Value = serde_json::from_str(&token)?;
        let token = token["join_token"]["token"].as_str().context("`member add` printed no token")?.to_owned();
        self.network.join(at, &token).await?;
        // The number is given, the node is in the log, and nobody replicates to it yet.
        let (killed, led) = self.kill(true).await?;
        self.network.start(at).await?;
        self.network.publish()?;
        self.leaders.look_at(&self.network)?;
        let voters = VOTERS_FIRST;
        self.until_members(at + 1, voters).await?;
        self.end(begun, format!("{name} joins"), killed, led).await
    }

    /// Decided by the operators' plane; before it is done, a node dies.
    async fn change(
        &mut self,
        what: &str,
        changes: &[(&str, admin::Standing)],
        leader_dies: bool,
        (members, voters): (usize, usize),
    ) -> anyhow::Result<()> {
        let begun = self.begin().await?;
        let change = |(name, to): &(&str, admin::Standing)| {
            let node = self.network.nodes().iter().find(|node| node.name() == *name).context("no such node")?;
            Ok(MemberChange { node_id: node.id(), to: (*to).into() })
        };
        let request = admin::ChangeMembersRequest {
            changes: changes.iter().map(change).collect::<anyhow::Result<_>>()?,
            reason: "chaos nine".to_owned(),
            ..admin::ChangeMembersRequest::default()
        };
        let deadline = Instant::now() + STEP_MAX;
        loop {
            // Asked again, what is decided already stays so.
            let answer = match self.admins()?.leader().await {
                Some((leader, _)) => leader.change_members(request.clone()).await.map_err(anyhow::Error::new),
                None => Err(anyhow::anyhow!("nobody leads")),
            };
            match answer {
                Ok(_) => break,
                Err(error) if Instant::now() > deadline => return Err(error.context(what.to_owned())),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
        let (killed, led) = self.kill(leader_dies).await?;
        self.until_members(members, voters).await?;
        for (name, to) in changes {
            if *to == admin::Standing::Removed {
                let at = self.network.nodes().iter().position(|node| node.name() == *name).context("no such node")?;
                self.network.kill(at).await?;
                self.gone.insert(at);
            }
        }
        self.end(begun, what.to_owned(), killed, led).await
    }

    /// Writes flow before each step.
    async fn begin(&self) -> anyhow::Result<Instant> {
        self.load.acknowledged_after(Instant::now(), FLOWING).await?;
        Ok(Instant::now())
    }

    /// They flow after it, and who died is back.
    async fn end(&mut self, begun: Instant, what: String, killed: usize, killed_led: bool) -> anyhow::Result<()> {
        let took_ms = millis(begun.elapsed());
        self.load.acknowledged_after(Instant::now(), FLOWING).await?;
        let gap = self.load.ledger().interruption(begun).context("no writes around the step")?;
        if !self.gone.contains(&killed) {
            self.network.start(killed).await?;
        }
        let killed = self.network.nodes()[killed].name().to_owned();
        let writes_failed_ms = millis(gap.length());
        let led = if killed_led { "yes" } else { "no" };
        say(&format!("{what:<36}  {killed:<9}  {led:<3}  {took_ms:>6} ms  {writes_failed_ms:>6} ms"));
        self.steps.push(Step { what, killed, killed_led, took_ms, writes_failed_ms });
        Ok(())
    }

    /// Kills the leader, or a voter of the first three that follows.
    async fn kill(&mut self, leads: bool) -> anyhow::Result<(usize, bool)> {
        let leader = self.network.leader().await?;
        let follows = (0..VOTERS_FIRST).find(|at| *at != leader && self.network.nodes()[*at].pid().is_some());
        let at = if leads { leader } else { follows.context("no follower runs")? };
        self.network.kill(at).await?;
        Ok((at, leads))
    }

    /// The tool, again while it says that it is not the moment.
    async fn patiently(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let deadline = Instant::now() + STEP_MAX;
        loop {
            let told = self.operator.run(arguments).await?;
            match told.code {
                Some(0) => return Ok(told.stdout),
                // No leader, an unknown outcome, no answer in time.
                Some(5 | 12 | 124) if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
                code => bail!("`plantao {}` ended with {code:?}: {}", arguments.join(" "), told.stderr),
            }
        }
    }

    fn admins(&self) -> anyhow::Result<Cluster> {
        Ok(self.network.connect(&ConnectOptions::default())?)
    }

    /// Waits until so many are members and so many of them vote, by the leader's word, and no step is left.
    async fn until_members(&self, members: usize, voters: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + STEP_MAX;
        let admins = self.admins()?;
        loop {
            let mut last = "nobody leads".to_owned();
            if let Some((leader, _)) = admins.leader().await
                && let Ok(told) = leader.get_members().await
                && told.leader_id == told.node_id
            {
                let count = |which: fn(&&admin::NodeStanding) -> bool| told.nodes.iter().filter(which).count();
                let now = (count(|node| node.member), count(|node| node.voter));
                if now == (members, voters) && told.steps.is_empty() {
                    return Ok(());
                }
                last = format!("{} members, {} voters, {} steps left", now.0, now.1, told.steps.len());
            }
            if Instant::now() > deadline {
                bail!("{last}, and {members} members and {voters} voters were waited for");
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Waits until no write was answered for a while: all of them were.
async fn quiet(load: &Load) -> anyhow::Result<Ledger> {
    let mut seen = usize::MAX;
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let ledger = load.ledger();
        let answered = ledger.acknowledged.len() + ledger.refused as usize + ledger.undecided.len();
        if answered == seen {
            return Ok(ledger);
        }
        seen = answered;
    }
    bail!("writes are answered though none begins")
}

async fn found(network: &LocalNetwork, stage: &Stage, ledger: &Ledger, voters: usize) -> anyhow::Result<Found> {
    let cluster = network.connect(&ConnectOptions::default())?;
    let mut acknowledged = BTreeMap::new();
    let running: Vec<_> = network.nodes().iter().filter(|node| node.pid().is_some()).collect();
    for node in running.iter().filter(|node| node.spec().keyed) {
        let only = cluster.only(&node.public()).context("a unit is not among the endpoints")?;
        acknowledged.insert(node.name().to_owned(), look_for(&only, stage, ledger).await?);
    }
    let digests = network.digests().await?;
    let digests_equal = digests.len() == running.len()
        && digests.windows(2).all(|pair| (&pair[0].content, &pair[0].chain) == (&pair[1].content, &pair[1].chain));
    Ok(Found { nodes: running.len(), voters, acknowledged, digests_equal })
}

impl Found {
    fn holds(&self) -> bool {
        self.digests_equal && !self.acknowledged.is_empty() && self.acknowledged.values().all(AcknowledgedReport::holds)
    }
}

type Terms = BTreeMap<u64, BTreeSet<u64>>;

/// Who was seen to lead in which term.
struct Leaders {
    nodes: Arc<Mutex<Vec<AdminNode>>>,
    seen: Arc<Mutex<Terms>>,
    looking: JoinHandle<()>,
}

impl Drop for Leaders {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Leaders {
    fn watch(network: &LocalNetwork) -> anyhow::Result<Self> {
        let nodes: Arc<Mutex<Vec<AdminNode>>> = Arc::default();
        let seen: Arc<Mutex<Terms>> = Arc::default();
        let (asked, noted) = (Arc::clone(&nodes), Arc::clone(&seen));
        let looking = tokio::spawn(async move {
            loop {
                let now = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let statuses = futures_util::future::join_all(now.iter().map(AdminNode::get_status)).await;
                for status in statuses.into_iter().flatten().filter(|it| it.role() == admin::NodeRole::Leader) {
                    let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                    noted.entry(status.term).or_default().insert(status.node_id);
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        let leaders = Self { nodes, seen, looking };
        leaders.look_at(network)?;
        Ok(leaders)
    }

    /// Looks at all nodes of the network from now on.
    fn look_at(&self, network: &LocalNetwork) -> anyhow::Result<()> {
        let now = network.connect(&ConnectOptions::default())?.admin_nodes().to_vec();
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }

    /// With what each node wrote down of the terms in which it led.
    fn end(&self, network: &LocalNetwork) -> anyhow::Result<Terms> {
        let mut told = 0;
        let mut terms = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for node in network.nodes() {
            let log = std::fs::read_to_string(node.log())
                .with_context(|| format!("cannot read what {} logged", node.name()))?;
            for term in log.lines().filter_map(term_led) {
                told += 1;
                terms.entry(term).or_default().insert(node.id());
            }
        }
        // Each leader that fell had led, and one led at the end.
        ensure!(told > LEADERS_FALL, "the logs tell of {told} leaders only: they are not what is read here");
        Ok(terms)
    }
}

/// The term of a line that says that its node leads.
fn term_led(line: &str) -> Option<u64> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == "this node leads").then(|| line["term"].as_u64()).flatten()
}

fn conclude(figures: &Figures) {
    for found in [&figures.at_nine, &figures.at_three] {
        let of = |pick: fn(&AcknowledgedReport) -> u64| found.acknowledged.values().map(pick).sum::<u64>();
        say(&format!(
            "{} nodes, {} voters: {} acknowledged writes looked for on {} of them, {} lost, {} different, {} unexpected; copies equal: {}",
            found.nodes,
            found.voters,
            found.acknowledged.values().next().map_or(0, |one| one.bookings + one.records),
            found.acknowledged.len(),
            of(|one| one.missing),
            of(|one| one.different),
            of(|one| one.unexpected),
            yes(found.holds()),
        ));
    }
    let first = figures.first_failure.as_deref().map(|first| format!(", first: {first}")).unwrap_or_default();
    let (acknowledged, refused) = (figures.acknowledged, figures.refused);
    say(&format!(
        "writes: {acknowledged} acknowledged, {refused} refused, undecided {}, failed {}{first}",
        figures.undecided, figures.failed
    ));
    say(&format!(
        "nobody booked twice in {} bookings: {}",
        figures.overlaps.appointments,
        yes(figures.overlaps.holds())
    ));
    say(&format!(
        "never two leaders in one of {} terms: {}",
        figures.terms,
        yes(figures.terms_with_two_leaders.is_empty())
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_that_says_so_names_a_term() {
        let line =
            |message: &str| format!(r#"{{"level":"INFO","message":"{message}","term":7,"from":1,"cause":"Silence"}}"#);
        assert_eq!(term_led(&line("this node leads")), Some(7));
        assert_eq!(term_led(&line("a switchover was begun")), None);
        assert_eq!(term_led("this node leads term=7"), None);
    }
}
