//! `plantao status`: every admin endpoint is asked, and the answers are merged into one view.
//!
//! ```text
//! leader's answer ──► members, what each has, when it last answered
//! each own answer ──► role, applied, seal, certificate, warnings (a silent node: only what the leader knows)
//! all answers ──────► links between nodes: what a node says of its own calls before what others say of them
//! ```

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod samples;
mod show;

pub(crate) use show::View;

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::ids;
use crate::session::Session;
use crate::text::see::See;
use crate::text::{CopiesOfNode, CutLink, LeadSay, Say};
use crate::when;
use clap::Args;
use plantao_client::{AdminNode, Cluster};
use plantao_proto::admin::v1::{GetStatusResponse, ImageCopies, LeadPolicy, Link, Member, NodeCopies, NodeRole};
use std::collections::BTreeMap;
use std::time::Duration;

/// A node that the leader has not heard for longer counts as lost: four election maxima of the slow timers.
const SILENT_MS: u64 = 5_000;
/// Entries that a healthy follower may lack at any moment.
const BEHIND_ENTRIES: u64 = 200;
/// Between two pictures of `-W`.
const WATCH_SECONDS: u64 = 2;
const DAY_MS: i64 = 86_400_000;
/// What a node alone would lose and that is worth a word, though it is only a few entries.
const EXPOSED_MS: u64 = 30_000;
/// A clock that is surely off by more than this makes trouble soon: five seconds are tolerated by default.
const CLOCK_MS: u64 = 1_000;
/// The servers' warning of a cut link. It is told here in the reader's language, once, whoever noticed.
const LINK_CUT: u32 = 2305;

/// How often.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Exit 4 when something needs attention, 5 without a leader
    #[arg(long)]
    check: bool,
    /// Repeat every 2 seconds
    #[arg(short = 'W', long = "watch")]
    watch: bool,
    /// Repeat every SEC seconds
    #[arg(short = 'w', long, value_name = "SEC", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: Option<u64>,
}

/// What one endpoint said.
pub(crate) struct Asked {
    /// `host:port`.
    pub(crate) address: String,
    /// Its answer, or why there is none.
    pub(crate) answer: Result<GetStatusResponse, String>,
}

/// Asks every admin endpoint at once.
pub(crate) async fn ask(cluster: &Cluster) -> Vec<Asked> {
    let mut asking = tokio::task::JoinSet::new();
    for (position, node) in Session::nodes(cluster).into_iter().enumerate() {
        asking.spawn(async move { (position, node.address().to_owned(), status_of(&node).await) });
    }
    let mut asked: Vec<_> = asking.join_all().await;
    asked.sort_by_key(|(position, ..)| *position);
    asked.into_iter().map(|(_, address, answer)| Asked { address, answer }).collect()
}

async fn status_of(node: &AdminNode) -> Result<GetStatusResponse, String> {
    node.get_status().await.map_err(|error| chain(&error))
}

/// Runs it.
pub(crate) async fn run(args: StatusArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let pause = args.interval.or(args.watch.then_some(WATCH_SECONDS)).map(Duration::from_secs);
    loop {
        let asked = ask(&cluster).await;
        let Some(mut status) = Status::merge(&asked) else {
            let why = asked.iter().find_map(|one| one.answer.as_ref().err()).cloned().unwrap_or_default();
            // A picture that repeats outlives a blackout; a single one does not.
            if pause.is_none() {
                return Err(Failure::Connect { why });
            }
            session.out.failure(&Failure::Connect { why });
            tokio::time::sleep(pause.unwrap_or_default()).await;
            continue;
        };
        if pause.is_some() && session.out.style.framed && !session.out.format.is_json() {
            session.out.raw(b"\x1b[H\x1b[2J")?;
        }
        status.stale = session.global.stale;
        let now_ms = when::now_ms();
        let report = status.view(&View { lang: session.out.lang, zone: &session.zone, label: &label, now_ms });
        session.out.report(&report)?;
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None if args.check => return Ok(status.exit()),
            None => return Ok(Exit::Done),
        }
    }
}

/// What all answers say together.
#[derive(Debug)]
pub(crate) struct Status {
    cluster_id: String,
    cluster_name: String,
    /// Number, name and term of the node that leads.
    pub(crate) leader: Option<Leader>,
    last_log_index: u64,
    nodes: Vec<Node>,
    /// By both ends' numbers.
    links: BTreeMap<(u64, u64), Link>,
    /// What the answers say of images, and of the copies on each node.
    images: Option<ImageCopies>,
    copies: BTreeMap<u64, NodeCopies>,
    /// What automation does about the lead.
    lead: LeadPolicy,
    /// Endpoints of nobody that the membership names, with why they are silent.
    strangers: Vec<(String, String)>,
    voters: usize,
    alive: usize,
    /// Whose word on the membership this is, and how long ago it heard a leader.
    source: Source,
    /// Whoever asks wants to know whose view it is.
    pub(crate) stale: bool,
}

/// Whose view a status is.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Source {
    id: u64,
    name: String,
    /// Since it heard a leader; `None`: never since its start.
    heard_ms: Option<u64>,
}

/// The node that leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Leader {
    /// Its number.
    pub(crate) id: u64,
    /// Its name.
    pub(crate) name: String,
    /// Its term.
    pub(crate) term: u64,
}

/// One row.
#[derive(Debug)]
struct Node {
    member: Member,
    own: Option<GetStatusResponse>,
    /// Why it does not answer, when it was asked.
    silence: Option<String>,
    lag: Option<u64>,
    alive: bool,
}

impl Status {
    /// `None` when nobody answered.
    pub(crate) fn merge(asked: &[Asked]) -> Option<Self> {
        let answers: Vec<_> = asked.iter().filter_map(|one| one.answer.as_ref().ok()).collect();
        // A deposed leader may not know it yet: the higher term is the later one.
        let leading = answers.iter().filter(|one| one.role() == NodeRole::Leader).max_by_key(|one| one.term);
        // Without a leader the one that has applied most knows the newest membership.
        let source = leading.or_else(|| answers.iter().max_by_key(|one| one.applied_index))?;
        let own: BTreeMap<u64, &GetStatusResponse> = answers.iter().map(|one| (one.node_id, *one)).collect();
        let last_log_index = leading.map_or(0, |leader| leader.last_log_index);
        let mut nodes: Vec<Node> = source
            .members
            .iter()
            .map(|member| {
                let own = own.get(&member.node_id).copied().cloned();
                let heard = member.last_contact_ms.is_some_and(|ms| ms <= SILENT_MS);
                let has = match &own {
                    Some(own) => Some(own.applied_index),
                    None => (member.matched_index != 0).then_some(member.matched_index),
                };
                Node {
                    lag: leading.and(has).map(|has| last_log_index.saturating_sub(has)),
                    alive: own.is_some() || (leading.is_some() && heard),
                    silence: None,
                    member: member.clone(),
                    own,
                }
            })
            .collect();
        // Nobody answered there, so nobody can say whose address it is, unless only one is left.
        let mut silent: Vec<(String, String)> =
            asked.iter().filter_map(|one| Some((one.address.clone(), one.answer.as_ref().err()?.clone()))).collect();
        let mut mute: Vec<&mut Node> = nodes.iter_mut().filter(|node| node.own.is_none()).collect();
        if let ([node], [(address, why)]) = (mute.as_mut_slice(), silent.as_slice()) {
            node.silence = Some(format!("{address}: {why}"));
            silent.clear();
        }
        let is_voter = |node: &&Node| votes(node.member.role());
        Some(Self {
            cluster_id: ids::hex(&source.cluster_id).chars().take(8).collect(),
            cluster_name: source.cluster_name.clone(),
            leader: leading.map(|leader| Leader {
                id: leader.node_id,
                name: leader.node_name.clone(),
                term: leader.term,
            }),
            last_log_index,
            voters: nodes.iter().filter(is_voter).count(),
            alive: nodes.iter().filter(is_voter).filter(|node| node.alive).count(),
            nodes,
            links: links(&answers),
            images: source.images.clone(),
            lead: source.lead.clone().unwrap_or_default(),
            copies: copies(&answers),
            strangers: silent,
            source: Source {
                id: source.node_id,
                name: source.node_name.clone(),
                heard_ms: (source.leader_contact_ms != u64::MAX).then_some(source.leader_contact_ms),
            },
            stale: false,
        })
    }

    /// How many voters more may be lost; `None`: there is no quorum.
    fn spare(&self) -> Option<usize> {
        self.alive.checked_sub(self.voters / 2 + 1)
    }

    /// A node's name or number, as given to `--to`.
    pub(crate) fn find(&self, text: &str) -> Option<&Member> {
        let number = text.parse::<u64>().ok();
        self.nodes.iter().map(|node| &node.member).find(|member| member.name == text || Some(member.node_id) == number)
    }

    /// Entries that a node lacks.
    pub(crate) fn lag(&self, node_id: u64) -> Option<u64> {
        self.nodes.iter().find(|node| node.member.node_id == node_id)?.lag
    }

    /// Entries that each node lacks, by its name.
    pub(crate) fn lags(&self) -> Vec<(String, Option<u64>)> {
        self.nodes.iter().map(|node| (node.name(), node.lag)).collect()
    }

    /// Each pair of nodes with a link between them that any of them told of, and whether it works in both directions.
    pub(crate) fn pairs(&self) -> Vec<(String, String, bool)> {
        let name = |id: u64| self.node(id).map_or_else(|| id.to_string(), Node::name);
        let mut pairs: BTreeMap<(u64, u64), bool> = BTreeMap::new();
        for (&(from, to), link) in &self.links {
            *pairs.entry((from.min(to), from.max(to))).or_insert(true) &= link.reachable;
        }
        pairs.into_iter().map(|((from, to), works)| (name(from), name(to), works)).collect()
    }

    /// Whose view this is, where that matters: nobody leads, or it was asked for.
    fn view_told(&self) -> Option<Say> {
        let told = self.leader.is_none() || self.stale;
        let Source { name, heard_ms, .. } = &self.source;
        told.then(|| Say::See(See::ViewOf { node: name.clone(), heard_ms: *heard_ms }))
    }

    /// The copies on each node, once there are images.
    fn copies_told(&self) -> impl Iterator<Item = Say> + '_ {
        let some = self.copies.values().any(|copies| copies.expected_chunks > 0);
        self.copies.values().filter(move |_| some).map(|copies| {
            Say::Copies(CopiesOfNode {
                node: self.node(copies.node_id).map_or_else(|| copies.node_id.to_string(), Node::name),
                medium: copies.medium.clone(),
                received: copies.received_chunks,
                expected: copies.expected_chunks,
                missing_bytes: copies.backlog_bytes,
                missing_ms: copies.backlog_ms,
                checked_ms: copies.held.map(|held| held.oldest_check_age_ms),
                bad: copies.held.map(|held| held.bad_total),
            })
        })
    }

    /// What operators asked of the lead, as it is now.
    fn lead_told(&self, moment: &dyn Fn(i64) -> String) -> Vec<Say> {
        let name = |id: u64| self.node(id).map_or_else(|| id.to_string(), Node::name);
        let mut told = Vec::new();
        told.extend(self.lead.pause.iter().map(|pause| LeadSay::Paused { until: moment(pause.until_ms) }));
        told.extend(self.lead.maintenance.iter().map(|pause| LeadSay::Maintained { until: moment(pause.until_ms) }));
        // One whose node leads already when its time comes has nothing to do.
        let leads = |id: u64| self.leader.as_ref().is_some_and(|leader| leader.id == id);
        let open = self.lead.schedule.iter().filter(|one| !(one.missed && leads(one.to_node_id)));
        told.extend(open.map(|schedule| {
            let to = if schedule.to_node_id == 0 { "*".to_owned() } else { name(schedule.to_node_id) };
            let at = moment(schedule.at_ms);
            if schedule.missed { LeadSay::ScheduleMissed { to, at } } else { LeadSay::Scheduled { to, at } }
        }));
        told.extend(self.lead.drained_node_ids.iter().map(|id| LeadSay::Drained { node: name(*id) }));
        let home = self.lead.preferred_node_id;
        if home != 0 && self.leader.as_ref().is_some_and(|leader| leader.id != home) {
            told.push(LeadSay::Preferred { node: Some(name(home)) });
        }
        told.into_iter().map(Say::Lead).collect()
    }

    /// What needs attention, the worst first; `moment` writes an instant.
    fn warnings(&self, moment: &dyn Fn(i64) -> String) -> Vec<Say> {
        let mut warnings = Vec::new();
        if self.leader.is_none() {
            warnings.push(Say::NoLeader);
        }
        warnings.extend(self.cut_links(moment));
        for node in &self.nodes {
            let name = node.name();
            if !node.alive || node.silence.is_some() {
                let why = node.silence.clone().unwrap_or_default();
                warnings.push(Say::NodeSilent { node: name.clone(), why });
            }
            if let Some(entries) = node.lag.filter(|lag| *lag > BEHIND_ENTRIES) {
                warnings.push(Say::NodeBehind { node: name.clone(), entries });
            } else if let Some(ms) = node.member.behind_ms.filter(|ms| node.alive && *ms >= EXPOSED_MS) {
                warnings.push(Say::See(See::Exposed { node: name.clone(), seconds: ms / 1_000 }));
            }
            if let Some(offset_ms) = node.member.clock_offset_ms
                && offset_ms.unsigned_abs().saturating_sub(node.member.clock_uncertainty_ms.unwrap_or(0)) > CLOCK_MS
            {
                warnings.push(Say::See(See::ClockOff { node: name.clone(), offset_ms }));
            }
            let Some(own) = &node.own else { continue };
            // The off-site node has no root key, and is never meant to have one.
            if node.member.keyed && !own.unsealed {
                warnings.push(Say::NodeSealed { node: name.clone() });
            }
            let untold = own.warnings.iter().filter(|warning| warning.code != LINK_CUT);
            warnings.extend(untold.map(|warning| Say::ServerWarning {
                node: name.clone(),
                code: warning.code,
                message: warning.message.clone(),
                help: warning.help.clone(),
            }));
        }
        for (address, why) in &self.strangers {
            warnings.push(Say::NodeSilent { node: address.clone(), why: why.clone() });
        }
        warnings
    }

    /// One for each pair of nodes with a cut link between them.
    fn cut_links(&self, moment: &dyn Fn(i64) -> String) -> Vec<Say> {
        let is_cut = |from: u64, to: u64| self.links.get(&(from, to)).is_some_and(|link| link.cut);
        let name = |id: u64| {
            let name = self.node(id).map_or_else(|| id.to_string(), Node::name);
            let leads = self.leader.as_ref().is_some_and(|leader| leader.id == id);
            (name, leads)
        };
        let cut = self.links.values().filter(|link| link.cut);
        let once =
            cut.filter(|link| link.from_node_id < link.to_node_id || !is_cut(link.to_node_id, link.from_node_id));
        once.map(|link| {
            let (from, to) = (link.from_node_id, link.to_node_id);
            Say::LinkCut(CutLink {
                from: name(from),
                to: name(to),
                both: is_cut(to, from),
                since: moment(link.since_ms),
                address: self.node(to).map(|node| node.member.peer_address.clone()).unwrap_or_default(),
            })
        })
        .collect()
    }

    fn node(&self, id: u64) -> Option<&Node> {
        self.nodes.iter().find(|node| node.member.node_id == id)
    }

    /// What `--check` ends with.
    fn exit(&self) -> Exit {
        if self.leader.is_none() || self.spare().is_none() {
            Exit::NoLeader
        } else if self.warnings(&|_| String::new()).is_empty() {
            Exit::Done
        } else {
            Exit::Degraded
        }
    }
}

/// What all answers say about links. A node knows its own calls best; a cut needs both ends, and any answer may have them.
fn links(answers: &[&GetStatusResponse]) -> BTreeMap<(u64, u64), Link> {
    let mut links: BTreeMap<(u64, u64), Link> = BTreeMap::new();
    let told = answers.iter().flat_map(|answer| answer.links.iter().map(|link| (answer.node_id, *link)));
    for (by, link) in told {
        let known = links.entry((link.from_node_id, link.to_node_id)).or_insert(link);
        let cut = known.cut || link.cut;
        if by == link.from_node_id {
            *known = link;
        }
        // An answer of a moment before must not cut what its own node says works.
        known.cut = cut && !known.reachable;
    }
    links
}

/// What all answers say about copies of images: a node knows its own best.
fn copies(answers: &[&GetStatusResponse]) -> BTreeMap<u64, NodeCopies> {
    let mut copies = BTreeMap::new();
    for answer in answers {
        for told in answer.images.iter().flat_map(|images| &images.nodes) {
            if told.node_id == answer.node_id || !copies.contains_key(&told.node_id) {
                copies.insert(told.node_id, told.clone());
            }
        }
    }
    copies
}

/// Whether a role counts for the quorum.
fn votes(role: NodeRole) -> bool {
    matches!(role, NodeRole::Leader | NodeRole::Voter | NodeRole::Candidate)
}

impl Node {
    fn name(&self) -> String {
        if self.member.name.is_empty() { self.member.node_id.to_string() } else { self.member.name.clone() }
    }

    fn role(&self, status: &Status) -> NodeRole {
        match (&self.own, &status.leader) {
            (_, Some(leader)) if leader.id == self.member.node_id => NodeRole::Leader,
            // A deposed leader that does not know it yet is a voter.
            (Some(own), Some(_)) if own.role() == NodeRole::Leader => NodeRole::Voter,
            (Some(own), _) => own.role(),
            (None, _) => self.member.role(),
        }
    }

    fn certificate_days(&self, now_ms: i64) -> Option<i64> {
        let not_after_ms = self.own.as_ref()?.certificate_not_after_ms;
        (not_after_ms != 0).then(|| not_after_ms.saturating_sub(now_ms).div_euclid(DAY_MS))
    }
}
