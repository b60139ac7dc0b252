//! `plantao status`: every admin endpoint is asked, and the answers are merged into one view.
//!
//! ```text
//! leader's answer ──► members, what each has, when it last answered
//! each own answer ──► role, applied, seal, certificate, warnings (a silent node: only what the leader knows)
//! all answers ──────► links between nodes: what a node says of its own calls before what others say of them
//! ```

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::ids;
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::session::Session;
use crate::text::{CutLink, Lang, Say, Word};
use crate::when::{self, Zone};
use clap::Args;
use plantao_client::{AdminNode, Cluster};
use plantao_proto::admin::v1::{GetStatusResponse, Link, Member, NodeRole};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A node that the leader has not heard for longer counts as lost: four election maxima of the slow timers.
const SILENT_MS: u64 = 5_000;
/// Entries that a healthy follower may lack at any moment.
const BEHIND_ENTRIES: u64 = 200;
/// Days before the end of a certificate from which it needs attention; a node renews 30 days before.
const CERTIFICATE_DAYS: i64 = 14;
/// Between two pictures of `-W`.
const WATCH_SECONDS: u64 = 2;
const DAY_MS: i64 = 86_400_000;
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
        let Some(status) = Status::merge(&asked) else {
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
        let now_ms = when::now_ms();
        let report = status.view(&View { lang: session.out.lang, zone: &session.zone, label: &label, now_ms });
        session.out.report(&report)?;
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None if args.check => return Ok(status.exit(now_ms)),
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
    /// Endpoints of nobody that the membership names, with why they are silent.
    strangers: Vec<(String, String)>,
    voters: usize,
    alive: usize,
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

/// How a status is shown.
pub(crate) struct View<'a> {
    /// In which language.
    pub(crate) lang: Lang,
    /// On which clock.
    pub(crate) zone: &'a Zone,
    /// What the context calls this network.
    pub(crate) label: &'a str,
    /// Now.
    pub(crate) now_ms: i64,
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
            strangers: silent,
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

    /// What needs attention, the worst first; `moment` writes an instant.
    fn warnings(&self, now_ms: i64, moment: &dyn Fn(i64) -> String) -> Vec<Say> {
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
            }
            let Some(own) = &node.own else { continue };
            // The off-site node has no root key, and is never meant to have one.
            if node.member.keyed && !own.unsealed {
                warnings.push(Say::NodeSealed { node: name.clone() });
            }
            if let Some(days) = node.certificate_days(now_ms).filter(|days| *days < CERTIFICATE_DAYS) {
                warnings.push(Say::CertificateEnds { node: name.clone(), days });
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
    fn exit(&self, now_ms: i64) -> Exit {
        if self.leader.is_none() || self.spare().is_none() {
            Exit::NoLeader
        } else if self.warnings(now_ms, &|_| String::new()).is_empty() {
            Exit::Done
        } else {
            Exit::Degraded
        }
    }

    /// The whole as a report.
    pub(crate) fn view(&self, view: &View<'_>) -> Report {
        let warnings = self.warnings(view.now_ms, &|at| view.zone.second(at, view.lang));
        let word = match self.exit(view.now_ms) {
            Exit::Done => Word::Ok,
            Exit::NoLeader => Word::NoQuorum,
            _ => Word::Attention,
        };
        let situation = Say::Situation { word, voters: self.voters, alive: self.alive, spare: self.spare() };
        let title = format!(
            "{}: {} ({}) · {} · {}",
            view.lang.word(Word::Cluster),
            self.cluster_name,
            self.cluster_id,
            view.label,
            view.zone.second(view.now_ms, view.lang),
        );
        let footer = std::iter::once(&situation).chain(&warnings).map(|say| view.lang.say(say)).collect();
        let table = Table {
            title: Some(title),
            footer,
            ..Table::new(
                vec![
                    Column::of(Word::Node),
                    Column::of(Word::Role),
                    Column::of(Word::State),
                    Column::number(Word::Lag),
                    Column::of(Word::Site),
                    Column::of(Word::Country),
                    Column::of(Word::Medium),
                    Column::number(Word::Contact),
                    Column::number(Word::Certificate),
                    Column::number(Word::Term).wide(),
                    Column::number(Word::Applied).wide(),
                    Column::number(Word::Committed).wide(),
                    Column::of(Word::Engine).wide(),
                    Column::of(Word::Version).wide(),
                    Column::of(Word::Address).wide(),
                ],
                self.nodes.iter().map(|node| node.row(self, view)).collect(),
            )
        };
        Report { kind: "status", head: self.head(word, view.now_ms), items: self.items(view.now_ms), table }
    }

    fn head(&self, word: Word, now_ms: i64) -> Map<String, Value> {
        let moment = |at| when::rfc3339(at).unwrap_or_default();
        let situation = match word {
            Word::Ok => "ok",
            Word::NoQuorum => "no_quorum",
            _ => "attention",
        };
        let value = json!({
            "cluster_id": self.cluster_id,
            "cluster_name": self.cluster_name,
            "situation": situation,
            "leader_id": self.leader.as_ref().map(|leader| leader.id),
            "term": self.leader.as_ref().map(|leader| leader.term),
            "last_log_index": self.last_log_index,
            "voters": self.voters,
            "voters_alive": self.alive,
            "may_lose": self.spare(),
            "links": self.links.values().map(|link| self.link(link)).collect::<Vec<_>>(),
            "warnings": self.warnings(now_ms, &moment).iter().map(|say| Lang::En.say(say)).collect::<Vec<_>>(),
        });
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    fn link(&self, link: &Link) -> Value {
        let name = |id: u64| self.node(id).map(Node::name);
        json!({
            "from_id": link.from_node_id,
            "from": name(link.from_node_id),
            "to_id": link.to_node_id,
            "to": name(link.to_node_id),
            "reachable": link.reachable,
            "since": when::rfc3339(link.since_ms),
            "cut": link.cut,
        })
    }

    fn items(&self, now_ms: i64) -> Items {
        let nodes = self.nodes.iter().map(|node| {
            let own = node.own.as_ref();
            json!({
                "node_id": node.member.node_id,
                "name": node.member.name,
                "role": role_name(node.role(self)),
                "alive": node.alive,
                "lag_entries": node.lag,
                "site": node.member.site,
                "country": node.member.country,
                "medium": node.member.medium,
                "keyed": node.member.keyed,
                "unsealed": own.map(|own| own.unsealed),
                "last_contact_ms": node.member.last_contact_ms,
                "certificate_days": node.certificate_days(now_ms),
                "term": own.map(|own| own.term),
                "last_log_index": own.map(|own| own.last_log_index),
                "committed_index": own.map(|own| own.committed_index),
                "applied_index": own.map(|own| own.applied_index),
                "snapshot_index": own.map(|own| own.snapshot_index),
                "purged_index": own.map(|own| own.purged_index),
                "engine": own.map(|own| own.engine.clone()),
                "version": own.map(|own| own.version.clone()),
                "uptime_ms": own.map(|own| own.uptime_ms),
                "journal_backlog": own.map(|own| own.journal_backlog),
                "peer_address": node.member.peer_address,
            })
        });
        Items::Many("nodes", nodes.collect())
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

/// Whether a role counts for the quorum.
fn votes(role: NodeRole) -> bool {
    matches!(role, NodeRole::Leader | NodeRole::Voter | NodeRole::Candidate)
}

fn role_name(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Unspecified => "unknown",
        NodeRole::Leader => "leader",
        NodeRole::Voter => "voter",
        NodeRole::Learner => "learner",
        NodeRole::Candidate => "candidate",
    }
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

    fn state(&self, status: &Status) -> (Word, Tone) {
        match &self.own {
            None if !self.alive => (Word::StateSilent, Tone::Bad),
            Some(own) if self.member.keyed && !own.unsealed => (Word::StateSealed, Tone::Warn),
            _ if status.leader.is_none() => (Word::StateNoLeader, Tone::Bad),
            _ if self.lag.is_some_and(|lag| lag > BEHIND_ENTRIES) => (Word::StateBehind, Tone::Warn),
            _ if self.role(status) == NodeRole::Leader => (Word::StateActive, Tone::Good),
            _ => (Word::StateUpToDate, Tone::Good),
        }
    }

    fn row(&self, status: &Status, view: &View<'_>) -> Vec<Cell> {
        let (state, tone) = self.state(status);
        let mark = match tone {
            Tone::Good | Tone::Plain => '●',
            Tone::Warn => '▲',
            Tone::Bad => '■',
        };
        let role = match self.role(status) {
            NodeRole::Unspecified => Word::RoleUnknown,
            NodeRole::Leader => Word::RoleLeader,
            NodeRole::Voter => Word::RoleVoter,
            NodeRole::Learner => Word::RoleLearner,
            NodeRole::Candidate => Word::RoleCandidate,
        };
        let dash = || "–".to_owned();
        let own = self.own.as_ref();
        let number = |of: fn(&GetStatusResponse) -> u64| own.map_or_else(dash, |own| of(own).to_string());
        let is_leader = self.role(status) == NodeRole::Leader;
        let lag = if is_leader { dash() } else { self.lag.map_or_else(dash, |lag| lag.to_string()) };
        let contact = match self.member.last_contact_ms {
            Some(ms) if !is_leader => format!("{ms} ms"),
            _ => dash(),
        };
        vec![
            Cell { text: format!("{mark} {}", self.name()), tone },
            view.lang.word(role).into(),
            view.lang.word(state).into(),
            lag.into(),
            self.member.site.as_str().into(),
            self.member.country.as_str().into(),
            self.member.medium.as_str().into(),
            contact.into(),
            self.certificate_days(view.now_ms).map_or_else(dash, |days| format!("{days} d")).into(),
            number(|own| own.term).into(),
            number(|own| own.applied_index).into(),
            number(|own| own.committed_index).into(),
            own.map_or_else(dash, |own| own.engine.clone()).into(),
            own.map_or_else(dash, |own| own.version.clone()).into(),
            self.member.peer_address.as_str().into(),
        ]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod samples {
    //! Fixed answers: three nodes in good order, and the same with one of them lost.
    use super::*;
    use crate::golden::{MOMENT, zone};
    use plantao_proto::admin::v1::Warning;

    fn member(node_id: u64, name: &str, site: &str, role: NodeRole) -> Member {
        Member {
            node_id,
            name: name.into(),
            site: site.into(),
            country: "BR".into(),
            medium: if name == "cofre" { "hdd" } else { "ssd" }.into(),
            peer_address: format!("10.0.0.{node_id}:7001"),
            role: role.into(),
            keyed: name != "cofre",
            matched_index: 918_204,
            last_contact_ms: (role != NodeRole::Leader).then_some(40),
        }
    }

    fn members() -> Vec<Member> {
        vec![
            member(1, "centro", "sp-centro", NodeRole::Leader),
            member(2, "jardins", "sp-jardins", NodeRole::Voter),
            member(3, "cofre", "campinas", NodeRole::Voter),
        ]
    }

    fn own(node_id: u64, role: NodeRole, applied_index: u64) -> GetStatusResponse {
        let members = members();
        let name = members.iter().find(|member| member.node_id == node_id).unwrap().name.clone();
        GetStatusResponse {
            cluster_id: vec![0x7f, 0x3a, 0x9c, 0x21, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16].into(),
            cluster_name: "estetica-sul".into(),
            incarnation: 1,
            node_id,
            unsealed: name != "cofre",
            engine: if name == "cofre" { "sled" } else { "fjall" }.into(),
            node_name: name,
            role: role.into(),
            term: 18,
            leader_id: 1,
            last_log_index: 918_204,
            committed_index: 918_204,
            applied_index,
            members: if role == NodeRole::Leader {
                members
            } else {
                members.into_iter().map(|member| Member { matched_index: 0, last_contact_ms: None, ..member }).collect()
            },
            version: "0.1.0".into(),
            now_ms: MOMENT,
            certificate_not_after_ms: MOMENT + 61 * DAY_MS + 1,
            ..GetStatusResponse::default()
        }
    }

    fn asked(answers: Vec<Result<GetStatusResponse, &str>>) -> Vec<Asked> {
        let asked = answers.into_iter().enumerate().map(|(position, answer)| Asked {
            address: format!("127.0.0.1:720{position}"),
            answer: answer.map_err(str::to_owned),
        });
        asked.collect()
    }

    fn view(lang: Lang, asked: &[Asked]) -> Report {
        let zone = zone();
        Status::merge(asked).unwrap().view(&View { lang, zone: &zone, label: "PRODUÇÃO", now_ms: MOMENT })
    }

    fn healthy() -> Vec<Asked> {
        asked(vec![
            Ok(own(1, NodeRole::Leader, 918_204)),
            Ok(own(2, NodeRole::Voter, 918_204)),
            Ok(own(3, NodeRole::Voter, 918_201)),
        ])
    }

    fn degraded() -> Vec<Asked> {
        let mut leader = own(1, NodeRole::Leader, 918_204);
        leader.members[2].last_contact_ms = Some(41_000);
        leader.members[2].matched_index = 917_392;
        leader.warnings = vec![Warning {
            code: 6001,
            message: "the disk is nearly full".into(),
            help: "free some space\u{1b}[2J".into(),
        }];
        let mut sealed = own(2, NodeRole::Voter, 918_204);
        sealed.unsealed = false;
        sealed.certificate_not_after_ms = MOMENT + 9 * DAY_MS + 1;
        asked(vec![Ok(leader), Ok(sealed), Err("connection refused")])
    }

    /// The units do not reach each other, the off-site node reaches both; the off-site node's word on the units' calls is
    /// a little older.
    fn cut() -> Vec<Asked> {
        let mut asked = healthy();
        for one in &mut asked {
            let own = one.answer.as_mut().unwrap();
            let pairs = [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)];
            let link = |(from, to): (u64, u64)| Link {
                from_node_id: from,
                to_node_id: to,
                reachable: from + to != 3,
                since_ms: MOMENT - if from + to == 3 { 42_000 } else { 3_600_000 } - i64::from(own.node_id != from),
                cut: from + to == 3,
            };
            own.links = pairs.into_iter().map(link).collect();
            let message = "told in the reader's language instead".into();
            own.warnings = vec![Warning { code: LINK_CUT, message, help: String::new() }];
        }
        let leader = asked[0].answer.as_mut().unwrap();
        leader.members[1].last_contact_ms = Some(42_000);
        asked
    }

    fn lost() -> Vec<Asked> {
        asked(vec![Err("connection refused"), Ok(own(2, NodeRole::Candidate, 918_204)), Err("connection refused")])
    }

    pub(crate) fn good(lang: Lang) -> Report {
        view(lang, &healthy())
    }

    pub(crate) fn attention(lang: Lang) -> Report {
        view(lang, &degraded())
    }

    pub(crate) fn link_cut(lang: Lang) -> Report {
        view(lang, &cut())
    }

    pub(crate) fn no_quorum(lang: Lang) -> Report {
        view(lang, &lost())
    }

    #[test]
    fn check_tells_good_from_degraded_from_lost() {
        let exit = |asked: &[Asked]| Status::merge(asked).unwrap().exit(MOMENT);
        assert_eq!(exit(&healthy()), Exit::Done);
        assert_eq!(exit(&degraded()), Exit::Degraded);
        assert_eq!(exit(&lost()), Exit::NoLeader);
        assert_eq!(exit(&cut()), Exit::Degraded);
        assert!(Status::merge(&asked(vec![Err("x")])).is_none());
        assert_eq!(Status::merge(&healthy()).unwrap().spare(), Some(1));
        assert_eq!(Status::merge(&degraded()).unwrap().spare(), Some(0));
        assert_eq!(Status::merge(&lost()).unwrap().spare(), None);
    }

    // Forwarded ports that are gone, a firewall rule: one direction is named as one.
    #[test]
    fn a_link_is_told_once_and_with_its_direction() {
        let told = |asked: &[Asked]| {
            let cut = Status::merge(asked).unwrap().cut_links(&|at| (MOMENT - at).to_string());
            cut.iter().map(|say| Lang::En.say(say)).collect::<Vec<_>>()
        };
        let mut asked = cut();
        let [both] = told(&asked).try_into().unwrap();
        assert!(both.contains("centro (leader) ⇄ jardins") && both.contains("42000"), "{both}");
        // The node itself says that its own calls are answered again: its word counts.
        let jardins = asked[1].answer.as_mut().unwrap();
        jardins.links[2] = Link { reachable: true, cut: false, ..jardins.links[2] };
        let [one] = told(&asked).try_into().unwrap();
        assert!(one.contains("centro (leader) → jardins"), "{one}");
        assert_eq!(told(&healthy()), Vec::<String>::new());
    }

    #[test]
    fn a_deposed_leader_is_not_believed() {
        let mut asked = healthy();
        let mut deposed = own(3, NodeRole::Leader, 918_000);
        deposed.term = 17;
        asked[2].answer = Ok(deposed);
        let status = Status::merge(&asked).unwrap();
        assert_eq!(status.leader, Some(Leader { id: 1, name: "centro".into(), term: 18 }));
        assert_eq!(status.nodes[2].role(&status), NodeRole::Voter);
        assert_eq!(status.find("jardins").unwrap().node_id, 2);
        assert_eq!(status.find("3").unwrap().name, "cofre");
        assert!(status.find("moema").is_none());
    }
}
