//! How members look: tables for people, JSON for programs. Pure functions of the leader's answer.

use super::rank;
use crate::ids;
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::text::members::{MembersSay, Rank, Waits};
use crate::text::{Lang, Say, Word};
use crate::when::{self, Zone};
use plantao_proto::admin::v1::{GetMembersResponse, MemberStep, NodeStanding, Standing, StepState};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Entries that a healthy follower may lack at any moment.
const BEHIND_ENTRIES: u64 = 200;
/// A node that the leader has not heard for longer counts as lost: as in `status`.
const SILENT_MS: u64 = 5_000;

/// How members are shown.
pub(super) struct View<'a> {
    /// In which language.
    pub(super) lang: Lang,
    /// On which clock.
    pub(super) zone: &'a Zone,
    /// What the context calls this network.
    pub(super) label: &'a str,
    /// Now.
    pub(super) now_ms: i64,
}

/// The members as one node has them, and what each node says of its version.
pub(super) struct Picture {
    pub(super) members: GetMembersResponse,
    pub(super) versions: BTreeMap<u64, String>,
}

fn say(lang: Lang, say: MembersSay) -> String {
    lang.say(&Say::Members(say))
}

fn waits(step: &MemberStep) -> Waits {
    match step.state() {
        StepState::Next => Waits::Next,
        StepState::CatchingUp => Waits::CatchingUp(step.lag_entries),
        StepState::Silent => Waits::Silent,
        StepState::Unsafe => Waits::Unsafe,
        StepState::NoSuccessor => Waits::NoSuccessor,
        StepState::Later | StepState::Unspecified => Waits::Later,
    }
}

/// Each step in a few words: `moema: → voter (under way)`.
pub(super) fn steps(members: &GetMembersResponse, lang: Lang) -> Vec<String> {
    let name = |id: u64| {
        let node = members.nodes.iter().find(|node| node.node_id == id);
        node.map_or_else(|| id.to_string(), |node| node.name.clone())
    };
    let told = |step: &MemberStep| {
        let waits = MembersSay::Waits { to: rank(step.to()), waits: waits(step) };
        format!("{}: {}", name(step.node_id), say(lang, waits))
    };
    members.steps.iter().map(told).collect()
}

const fn may_lose(voters: usize) -> usize {
    voters.saturating_sub(1) / 2
}

fn state_name(state: StepState) -> &'static str {
    match state {
        StepState::Next => "next",
        StepState::CatchingUp => "catching_up",
        StepState::Silent => "silent",
        StepState::Unsafe => "unsafe",
        StepState::Later | StepState::Unspecified => "later",
        StepState::NoSuccessor => "no_successor",
    }
}

fn standing_name(standing: Standing) -> &'static str {
    rank(standing).word(Lang::En)
}

impl Picture {
    /// All members; those that were removed if wanted.
    pub(super) fn list(&self, view: &View<'_>, all: bool) -> Report {
        let shown = |node: &&NodeStanding| all || node.standing() != Standing::Removed || node.member;
        let nodes: Vec<&NodeStanding> = self.members.nodes.iter().filter(shown).collect();
        let columns = vec![
            Column::number(Word::Id),
            Column::of(Word::Node),
            Column::of(Word::Role),
            Column::of(Word::State),
            Column::number(Word::Lag),
            Column::number(Word::Contact),
            Column::of(Word::Site),
            Column::of(Word::Medium),
            Column::number(Word::Copies),
            Column::of(Word::Country).wide(),
            Column::of(Word::Version).wide(),
            Column::of(Word::Address).wide(),
        ];
        let rows = nodes.iter().map(|node| self.row(node, view)).collect();
        let table =
            Table { title: Some(self.title(view)), footer: self.footer(view.lang), ..Table::new(columns, rows) };
        let items = nodes.iter().map(|node| self.json(node)).collect();
        Report { kind: "member_list", head: self.head(), items: Items::Many("members", items), table }
    }

    /// One node.
    pub(super) fn one(&self, view: &View<'_>, id: u64) -> Report {
        let lang = view.lang;
        let node = self.members.nodes.iter().find(|node| node.node_id == id).cloned().unwrap_or_default();
        let (state, tone) = self.state(&node, lang);
        let dash = || "–".to_owned();
        let moment = |ms: i64| if ms == 0 { dash() } else { view.zone.minute(ms, lang) };
        let mut fields: Vec<(Word, Cell)> = vec![
            (Word::Node, node.name.as_str().into()),
            (Word::Id, node.node_id.to_string().into()),
            (Word::Role, self.role(&node, lang).into()),
            (Word::State, Cell { text: state, tone }),
            (Word::Lag, self.lag(&node).into()),
            (Word::Contact, contact(&node).into()),
            (Word::Site, node.site.as_str().into()),
            (Word::Country, node.country.as_str().into()),
            (Word::Medium, node.medium.as_str().into()),
            (Word::Copies, copies(&node).into()),
            (Word::Version, self.version(&node).into()),
            (Word::Address, node.peer_address.as_str().into()),
            (Word::Start, moment(node.joined_ms).into()),
        ];
        if node.decided_ms != 0 {
            fields.push((Word::At, moment(node.decided_ms).into()));
            fields.push((Word::Actor, ids::text(&node.decided_by).into()));
            fields.push((Word::Reason, node.reason.as_str().into()));
        }
        Report {
            kind: "member",
            head: self.head(),
            items: Items::One("member", self.json(&node)),
            table: Table { footer: self.footer(lang), ..Table::pairs(lang, fields) },
        }
    }

    /// Now, staged, and what would come of it.
    pub(super) fn diff(&self, view: &View<'_>) -> Report {
        let lang = view.lang;
        let staged: BTreeMap<u64, Standing> =
            self.members.staged.iter().map(|change| (change.node_id, change.to())).collect();
        let after = |node: &NodeStanding| staged.get(&node.node_id).copied().unwrap_or(node.standing());
        let nodes: Vec<&NodeStanding> =
            self.members.nodes.iter().filter(|node| node.standing() != Standing::Removed || node.member).collect();
        let row = |node: &&NodeStanding| -> Vec<Cell> {
            let (now, then) = (rank(node.standing()), rank(after(node)));
            let (text, tone) = if now == then {
                ("=".to_owned(), Tone::Plain)
            } else {
                (format!("→ {}", then.word(lang)), if then == Rank::Removed { Tone::Bad } else { Tone::Warn })
            };
            vec![
                node.node_id.to_string().into(),
                node.name.as_str().into(),
                now.word(lang).into(),
                Cell { text, tone },
                self.state(node, lang).0.into(),
                node.site.as_str().into(),
            ]
        };
        let of = |standing: &dyn Fn(&NodeStanding) -> Standing| {
            let voters: Vec<_> = nodes.iter().filter(|node| standing(node) == Standing::Voter).collect();
            let sites: BTreeSet<&str> = voters.iter().map(|node| node.site.as_str()).collect();
            (voters.len(), sites.len())
        };
        let (now, then) = (of(&|node| node.standing()), of(&after));
        let mut footer = vec![say(
            lang,
            MembersSay::Becomes {
                voters: (now.0, then.0),
                may_lose: (may_lose(now.0), may_lose(then.0)),
                sites: (now.1, then.1),
            },
        )];
        footer.extend(steps(&self.members, lang));
        let version = self.members.layout_version;
        let is_few = then.0 < 3 && then.0 < now.0;
        let allow = if is_few { " --allow-fewer-voters" } else { "" };
        let command = format!("plantao member apply --version {version} --reason …{allow}");
        if staged.is_empty() {
            footer.push(say(lang, MembersSay::NothingStaged));
        } else {
            if then.0.is_multiple_of(2) {
                footer.push(say(lang, MembersSay::Even { voters: then.0.max(1) }));
            }
            if is_few {
                footer.push(say(lang, MembersSay::Few { voters: then.0 }));
            }
            footer.push(say(lang, MembersSay::Staged { changes: staged.len() }));
            footer.push(say(lang, MembersSay::Next { command: command.clone() }));
        }
        let columns = vec![
            Column::number(Word::Id),
            Column::of(Word::Node),
            Column::of(Word::Role),
            Column::of(Word::Outcome),
            Column::of(Word::State),
            Column::of(Word::Site),
        ];
        let rows = nodes.iter().map(row).collect();
        let table = Table { title: Some(self.title(view)), footer, ..Table::new(columns, rows) };
        let mut head = self.head();
        let figures =
            |(voters, sites): (usize, usize)| json!({"voters": voters, "may_lose": may_lose(voters), "sites": sites});
        head.insert("now".into(), figures(now));
        head.insert("after".into(), figures(then));
        head.insert("next_command".into(), if staged.is_empty() { Value::Null } else { command.into() });
        let items = nodes.iter().map(|node| {
            json!({
                "node_id": node.node_id,
                "name": node.name,
                "site": node.site,
                "standing": standing_name(node.standing()),
                "staged": staged.get(&node.node_id).map(|to| standing_name(*to)),
            })
        });
        Report { kind: "member_diff", head, items: Items::Many("members", items.collect()), table }
    }

    fn title(&self, view: &View<'_>) -> String {
        format!(
            "{}: {} ({}) · {} · {}",
            view.lang.word(Word::Cluster),
            self.members.cluster_name,
            ids::hex(&self.members.cluster_id).chars().take(8).collect::<String>(),
            view.label,
            view.zone.second(view.now_ms, view.lang),
        )
    }

    fn voters(&self) -> usize {
        self.members.nodes.iter().filter(|node| node.voter).count()
    }

    fn footer(&self, lang: Lang) -> Vec<String> {
        let voters = self.voters();
        let version = self.members.layout_version;
        let mut footer = vec![say(lang, MembersSay::Voters { voters, may_lose: may_lose(voters), version })];
        if !self.members.staged.is_empty() {
            footer.push(say(lang, MembersSay::Staged { changes: self.members.staged.len() }));
            footer.push(say(lang, MembersSay::Next { command: "plantao member diff".to_owned() }));
        }
        let after = self.members.replace_silent_after_ms;
        if after > 0 {
            let after = crate::text::span(after);
            footer.push(say(lang, MembersSay::StandIn { after }));
        }
        footer
    }

    fn head(&self) -> Map<String, Value> {
        let step = |step: &MemberStep| {
            json!({
                "node_id": step.node_id,
                "to": standing_name(step.to()),
                "state": state_name(step.state()),
                "lag_entries": step.lag_entries,
            })
        };
        let staged = |change: &plantao_proto::admin::v1::MemberChange| json!({"node_id": change.node_id, "to": standing_name(change.to())});
        let voters = self.voters();
        let value = json!({
            "cluster_name": self.members.cluster_name,
            "cluster_id": ids::hex(&self.members.cluster_id),
            "leader_id": (self.members.leader_id != 0).then_some(self.members.leader_id),
            "layout_version": self.members.layout_version,
            "voters": voters,
            "may_lose": may_lose(voters),
            "staged": self.members.staged.iter().map(staged).collect::<Vec<_>>(),
            "steps": self.members.steps.iter().map(step).collect::<Vec<_>>(),
            "replace_silent_after_ms": self.members.replace_silent_after_ms,
        });
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    fn json(&self, node: &NodeStanding) -> Value {
        json!({
            "node_id": node.node_id,
            "name": node.name,
            "role": if !node.member { "none" }
                else if node.node_id == self.members.leader_id { "leader" }
                else if node.voter { "voter" } else { "learner" },
            "standing": standing_name(node.standing()),
            "site": node.site,
            "country": node.country,
            "medium": node.medium,
            "keyed": node.keyed,
            "lag_entries": node.lag_entries,
            "lag_ms": node.lag_ms,
            "last_contact_ms": node.last_contact_ms,
            "expected_chunks": node.expected_chunks,
            "received_chunks": node.received_chunks,
            "version": self.versions.get(&node.node_id),
            "peer_address": node.peer_address,
            "joined": when::rfc3339(node.joined_ms),
            "decided": (node.decided_ms != 0).then(|| when::rfc3339(node.decided_ms)),
            "decided_by": (!node.decided_by.is_empty()).then(|| ids::text(&node.decided_by)),
            "reason": node.reason,
            "replaces_node_id": (node.replaces_node_id != 0).then_some(node.replaces_node_id),
        })
    }

    fn role(&self, node: &NodeStanding, lang: Lang) -> String {
        match (node.member, node.voter) {
            (true, _) if node.node_id == self.members.leader_id => lang.word(Word::RoleLeader).to_owned(),
            (true, true) => lang.word(Word::RoleVoter).to_owned(),
            (true, false) => lang.word(Word::RoleLearner).to_owned(),
            (false, _) => "–".to_owned(),
        }
    }

    /// What is still to be done with it, else how it is.
    fn state(&self, node: &NodeStanding, lang: Lang) -> (String, Tone) {
        if let Some(step) = self.members.steps.iter().find(|step| step.node_id == node.node_id) {
            let waits = MembersSay::Waits { to: rank(step.to()), waits: waits(step) };
            return (say(lang, waits), Tone::Warn);
        }
        let word = |word| lang.word(word).to_owned();
        let leads = node.node_id == self.members.leader_id;
        let knows = self.members.leader_id == self.members.node_id && self.members.leader_id != 0;
        match node {
            _ if !node.member && node.standing() == Standing::Removed => {
                (say(lang, MembersSay::Rank(Rank::Removed)), Tone::Plain)
            }
            _ if leads => (word(Word::StateActive), Tone::Good),
            _ if !knows => ("–".to_owned(), Tone::Plain),
            _ if node.last_contact_ms.is_none_or(|silent| silent > SILENT_MS) => (word(Word::StateSilent), Tone::Bad),
            _ if node.lag_entries.is_none_or(|lag| lag > BEHIND_ENTRIES) => (word(Word::StateBehind), Tone::Warn),
            _ => (word(Word::StateUpToDate), Tone::Good),
        }
    }

    fn lag(&self, node: &NodeStanding) -> String {
        match (node.lag_entries, node.lag_ms) {
            _ if node.node_id == self.members.leader_id => "–".to_owned(),
            (Some(entries), Some(ms)) => format!("{entries} / {} s", ms / 1_000),
            (Some(entries), None) => entries.to_string(),
            (None, _) => "–".to_owned(),
        }
    }

    fn version(&self, node: &NodeStanding) -> String {
        self.versions.get(&node.node_id).cloned().unwrap_or_else(|| "–".to_owned())
    }

    fn row(&self, node: &NodeStanding, view: &View<'_>) -> Vec<Cell> {
        let (state, tone) = self.state(node, view.lang);
        let mark = match tone {
            Tone::Good | Tone::Plain => '●',
            Tone::Warn => '▲',
            Tone::Bad => '■',
        };
        vec![
            node.node_id.to_string().into(),
            Cell { text: format!("{mark} {}", node.name), tone },
            self.role(node, view.lang).into(),
            state.into(),
            self.lag(node).into(),
            contact(node).into(),
            node.site.as_str().into(),
            node.medium.as_str().into(),
            copies(node).into(),
            node.country.as_str().into(),
            self.version(node).into(),
            node.peer_address.as_str().into(),
        ]
    }
}

fn contact(node: &NodeStanding) -> String {
    node.last_contact_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"))
}

fn copies(node: &NodeStanding) -> String {
    if node.expected_chunks == 0 {
        return "–".to_owned();
    }
    format!("{}/{}", node.received_chunks, node.expected_chunks)
}
