//! How a status looks: the table for people, the JSON for programs. What it says is decided in the parent.

use super::{BEHIND_ENTRIES, Node, Status};
use crate::exit::Exit;
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::text::see::SeeWord;
use crate::text::{Lang, Say, Word, span};
use crate::when::{self, Zone};
use plantao_proto::admin::v1::{GetStatusResponse, LeadPause, Link, NodeCopies, NodeRole};
use serde_json::{Map, Value, json};

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
    /// The whole as a report.
    pub(crate) fn view(&self, view: &View<'_>) -> Report {
        let warnings = self.warnings(&|at| view.zone.second(at, view.lang));
        let word = match self.exit() {
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
        let copies: Vec<_> = self.copies_told().collect();
        let source = self.view_told();
        let lead = self.lead_told(&|at| view.zone.minute(at, view.lang));
        let said = std::iter::once(&situation).chain(&source).chain(&copies).chain(&lead).chain(&warnings);
        let footer = said.map(|say| view.lang.say(say)).collect();
        let table = Table {
            title: Some(title),
            footer,
            ..Table::new(
                vec![
                    Column::of(Word::Node),
                    Column::of(Word::Role),
                    Column::of(Word::State),
                    Column::number(Word::Lag),
                    Column::number(Word::See(SeeWord::Rpo)),
                    Column::number(Word::See(SeeWord::Images)),
                    Column::number(Word::See(SeeWord::Clock)),
                    Column::number(Word::Certificate),
                    Column::of(Word::Site),
                    Column::of(Word::Country).wide(),
                    Column::of(Word::Medium),
                    Column::number(Word::Contact).wide(),
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
        Report { kind: "status", head: self.head(word), items: self.items(view.now_ms), table }
    }

    fn head(&self, word: Word) -> Map<String, Value> {
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
            "view": {
                "node_id": self.source.id,
                "node": self.source.name,
                "leader_contact_ms": self.source.heard_ms,
            },
            "voters": self.voters,
            "voters_alive": self.alive,
            "may_lose": self.spare(),
            "images": self.images.as_ref().map(|images| json!({
                "images": images.images,
                "image_bytes": images.image_bytes,
                "open_uploads": images.open_uploads,
                "tombstones": images.tombstones,
            })),
            "lead": self.lead(),
            "links": self.links.values().map(|link| self.link(link)).collect::<Vec<_>>(),
            "warnings": self.warnings(&moment).iter().map(|say| Lang::En.say(say)).collect::<Vec<_>>(),
        });
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    fn lead(&self) -> Value {
        let pause = |pause: &Option<LeadPause>| {
            pause.as_ref().map(|pause| {
                json!({
                    "since": when::rfc3339(pause.since_ms),
                    "until": when::rfc3339(pause.until_ms),
                    "reason": pause.reason,
                })
            })
        };
        let some = |id: u64| (id != 0).then_some(id);
        json!({
            "preferred_node_id": some(self.lead.preferred_node_id),
            "pause": pause(&self.lead.pause),
            "maintenance": pause(&self.lead.maintenance),
            "scheduled_switchover": self.lead.schedule.as_ref().map(|schedule| json!({
                "at": when::rfc3339(schedule.at_ms),
                "to_node_id": some(schedule.to_node_id),
                "reason": schedule.reason,
                "missed": schedule.missed,
            })),
            "drained_node_ids": self.lead.drained_node_ids,
        })
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
                "lag_ms": node.member.behind_ms,
                "observed_rpo_ms": node.member.behind_ms,
                "clock_offset_ms": node.member.clock_offset_ms,
                "clock_uncertainty_ms": node.member.clock_uncertainty_ms,
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
                "image_copies": self.copies.get(&node.member.node_id).map(copies),
                "peer_address": node.member.peer_address,
            })
        });
        Items::Many("nodes", nodes.collect())
    }
}

impl Node {
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
        let behind = self.member.behind_ms.map(span);
        let lag = match (self.lag, &behind) {
            _ if is_leader => dash(),
            (Some(lag), Some(behind)) => format!("{lag} / {behind}"),
            (Some(lag), None) => lag.to_string(),
            (None, _) => dash(),
        };
        let images = status.copies.get(&self.member.node_id).and_then(|copies| share(copies, view.lang));
        let clock = self.member.clock_offset_ms.map(|offset| format!("{offset:+} ms"));
        let contact = match self.member.last_contact_ms {
            Some(ms) if !is_leader => format!("{ms} ms"),
            _ => dash(),
        };
        vec![
            Cell { text: format!("{mark} {}", self.name()), tone },
            view.lang.word(role).into(),
            view.lang.word(state).into(),
            lag.into(),
            behind.unwrap_or_else(dash).into(),
            images.unwrap_or_else(dash).into(),
            clock.unwrap_or_else(dash).into(),
            self.certificate_days(view.now_ms).map_or_else(dash, |days| format!("{days} d")).into(),
            self.member.site.as_str().into(),
            self.member.country.as_str().into(),
            self.member.medium.as_str().into(),
            contact.into(),
            number(|own| own.term).into(),
            number(|own| own.applied_index).into(),
            number(|own| own.committed_index).into(),
            own.map_or_else(dash, |own| own.engine.clone()).into(),
            own.map_or_else(dash, |own| own.version.clone()).into(),
            self.member.peer_address.as_str().into(),
        ]
    }
}

/// What a node has of the images that it should have; never 100 % before all is there. `None`: it should have none.
fn share(copies: &NodeCopies, lang: Lang) -> Option<String> {
    let permille = copies.received_chunks.saturating_mul(1_000).checked_div(copies.expected_chunks)?;
    let comma = if lang == Lang::PtBr { ',' } else { '.' };
    Some(match permille {
        1_000.. => "100 %".to_owned(),
        permille => format!("{}{comma}{} %", permille / 10, permille % 10),
    })
}

fn copies(copies: &NodeCopies) -> Value {
    let held = copies.held.as_ref();
    json!({
        "medium": copies.medium,
        "expected_chunks": copies.expected_chunks,
        "expected_bytes": copies.expected_bytes,
        "received_chunks": copies.received_chunks,
        "received_bytes": copies.received_bytes,
        "backlog_parts": copies.backlog_parts,
        "backlog_chunks": copies.backlog_chunks,
        "backlog_bytes": copies.backlog_bytes,
        "backlog_ms": copies.backlog_ms,
        "held_chunks": held.map(|held| held.chunks),
        "held_bytes": held.map(|held| held.bytes),
        "oldest_check_age_ms": held.map(|held| held.oldest_check_age_ms),
        "bad_total": held.map(|held| held.bad_total),
    })
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
