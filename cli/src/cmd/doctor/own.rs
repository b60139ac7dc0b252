//! What only the caller can see: its credentials, clocks as it hears them, who answers, and what the answers say together.
//! Pure.

use super::Finding;
use plantao_proto::admin::v1::{CheckVerdict, DiagnoseResponse, GetStatusResponse, Member, NodeRole};
use std::collections::BTreeSet;

/// Above this a person's clock makes trouble: requests carry a last instant.
const CLOCK_MS_MAX: u64 = 2_000;
const DAY_SECONDS: i64 = 86_400;

/// Everything that was gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) now_ms: i64,
    pub(super) nodes: Vec<NodeAnswer>,
    /// Address, and whether anybody listens there.
    pub(super) public: Vec<(String, Result<(), String>)>,
    pub(super) credentials: Vec<Credential>,
}

/// What one admin endpoint said.
#[derive(Debug)]
pub(super) struct NodeAnswer {
    pub(super) address: String,
    pub(super) answer: Result<DiagnoseResponse, String>,
    pub(super) status: Option<GetStatusResponse>,
    pub(super) clock: Option<Exchange>,
}

/// A question and an answer, by two clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) sent_ms: i64,
    pub(super) got_ms: i64,
    pub(super) theirs_ms: i64,
}

/// A certificate of the caller.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) file: String,
    pub(super) not_after: i64,
    pub(super) renewal_due: i64,
    pub(super) key_mode: u32,
}

fn own(id: &str, case: &str, verdict: CheckVerdict, about: &str, values: Vec<String>) -> Finding {
    Finding { id: id.to_owned(), case: case.to_owned(), verdict, about: about.to_owned(), values, seen: None }
}

use CheckVerdict::{Attention, Bad, Ok as Fine, Unknown};

/// All of them.
pub(super) fn findings(gathered: &Gathered) -> Vec<Finding> {
    [credentials, clocks, endpoints, networks, versions, voters].iter().flat_map(|check| check(gathered)).collect()
}

fn credentials(gathered: &Gathered) -> Vec<Finding> {
    let now = gathered.now_ms / 1_000;
    let of = |credential: &Credential| {
        let days = credential.not_after.saturating_sub(now).div_euclid(DAY_SECONDS);
        let (file, mode) = (credential.file.clone(), credential.key_mode);
        if mode & 0o077 != 0 {
            return own("D31", "exposed", Bad, "", vec![file, format!("{mode:03o}")]);
        }
        let ends = now >= credential.renewal_due;
        let (case, verdict) = if ends { ("ends", Attention) } else { ("ok", Fine) };
        own("D31", case, verdict, "", vec![file, days.to_string()])
    };
    gathered.credentials.iter().map(of).collect()
}

fn clocks(gathered: &Gathered) -> Vec<Finding> {
    let of = |node: &NodeAnswer| {
        let exchange = node.clock?;
        let halfway = (exchange.got_ms.saturating_sub(exchange.sent_ms) / 2).max(0);
        let offset = exchange.theirs_ms.saturating_sub(exchange.sent_ms.saturating_add(halfway));
        // What the way there and back may account for is not held against a clock.
        let certain = offset.unsigned_abs().saturating_sub(halfway.unsigned_abs());
        let (case, verdict) = if certain > CLOCK_MS_MAX { ("off", Attention) } else { ("ok", Fine) };
        Some(own("D32", case, verdict, node.name(), vec![offset.to_string()]))
    };
    gathered.nodes.iter().filter_map(of).collect()
}

fn endpoints(gathered: &Gathered) -> Vec<Finding> {
    let admin = gathered.nodes.iter().filter_map(|node| {
        let why = node.answer.as_ref().err()?;
        Some(own("D33", "admin-silent", Bad, &node.address, vec![why.clone()]))
    });
    let public = gathered.public.iter().filter_map(|(address, answer)| {
        let why = answer.as_ref().err()?;
        Some(own("D33", "public-silent", Bad, address, vec![why.clone()]))
    });
    let mut silent: Vec<_> = admin.chain(public).collect();
    if silent.is_empty() {
        let count = (gathered.nodes.len() + gathered.public.len()).to_string();
        silent.push(own("D33", "ok", Fine, "", vec![count.clone(), count]));
    }
    silent
}

fn networks(gathered: &Gathered) -> Vec<Finding> {
    let answers: Vec<_> = gathered.nodes.iter().filter_map(|node| Some((node, node.status.as_ref()?))).collect();
    let Some((_, first)) = answers.first() else { return Vec::new() };
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for (node, status) in &answers {
        if status.cluster_id != first.cluster_id {
            let names = vec![status.cluster_name.clone(), first.cluster_name.clone()];
            wrong.push(own("D34", "other", Bad, &node.address, names));
        } else if !seen.insert(status.node_id) {
            wrong.push(own("D34", "twice", Attention, &status.node_name, Vec::new()));
        }
    }
    if wrong.is_empty() {
        wrong.push(own("D34", "ok", Fine, "", vec![first.cluster_name.clone()]));
    }
    wrong
}

fn versions(gathered: &Gathered) -> Vec<Finding> {
    let told: BTreeSet<&str> =
        gathered.nodes.iter().filter_map(|node| Some(node.answer.as_ref().ok()?.version.as_str())).collect();
    let list = told.iter().copied().collect::<Vec<_>>().join(", ");
    // Every node reads more than the network writes: the upgrade may be ended, and need not be today.
    let levels = || gathered.nodes.iter().filter_map(|node| node.status.as_ref());
    let open = levels().count() > 0 && levels().all(|status| status.format_level_max > status.format_level);
    let (case, verdict) = match told.len() {
        2.. => ("skew", Attention),
        _ if open => ("open", Fine),
        _ => ("ok", Fine),
    };
    if told.is_empty() { Vec::new() } else { vec![own("D35", case, verdict, "", vec![list])] }
}

/// The membership as the leader has it, else as the one that has applied most.
fn voters(gathered: &Gathered) -> Vec<Finding> {
    let answers = gathered.nodes.iter().filter_map(|node| node.status.as_ref());
    let source = answers.max_by_key(|status| (status.role() == NodeRole::Leader, status.term, status.applied_index));
    let Some(source) = source else { return vec![own("D36", "unknown", Unknown, "", Vec::new())] };
    let votes = |member: &&Member| !matches!(member.role(), NodeRole::Learner | NodeRole::Unspecified);
    let voters: Vec<_> = source.members.iter().filter(votes).collect();
    let count = voters.len();
    let (case, verdict, value) = match count {
        ..3 => ("few", Attention, 0),
        count if count.is_multiple_of(2) => ("even", Attention, count - 1),
        count => ("ok", Fine, (count - 1) / 2),
    };
    let arithmetic = own("D36", case, verdict, "", vec![count.to_string(), value.to_string()]);
    let distinct = |of: fn(&Member) -> &String| voters.iter().map(|member| of(member)).collect::<BTreeSet<_>>();
    let (sites, media) = (distinct(|member| &member.site), distinct(|member| &member.medium));
    let one = |found: &BTreeSet<&String>| found.first().map(|one| one.as_str()).unwrap_or_default().to_owned();
    let mut placement = Vec::new();
    if count > 1 && sites.len() == 1 {
        placement.push(own("D37", "one-site", Attention, "", vec![one(&sites)]));
    }
    if count > 1 && media.len() == 1 {
        placement.push(own("D37", "one-medium", Attention, "", vec![one(&media)]));
    }
    if placement.is_empty() {
        placement.push(own("D37", "ok", Fine, "", vec![sites.len().to_string(), media.len().to_string()]));
    }
    placement.insert(0, arithmetic);
    placement
}

impl NodeAnswer {
    /// The node's name, or its address.
    fn name(&self) -> &str {
        self.answer.as_ref().map_or(&self.address, |answer| &answer.node_name)
    }
}
