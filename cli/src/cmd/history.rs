//! `plantao history`: each change of leader, as the nodes' rows have it.

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::session::Session;
use crate::text::{Lang, LeadSay, LeadWord, Say, Word};
use crate::when::{self, Zone};
use clap::Args;
use plantao_client::Cluster;
use plantao_proto::admin::v1::{GetHistoryRequest, GetHistoryResponse, LeadKind, LeadershipChange, QuorumRecovery};
use serde_json::{Map, Value, json};

/// Planned changes whose median tells what the next one will take.
const MEDIAN_OF: usize = 5;

/// Acknowledged entries that a change of leader loses. Raft elects only who has them all, so none of these kinds loses any:
/// only a quorum recovery can, which is told with the bound of what it may have lost.
const LOST: u64 = 0;

/// Which.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only changes since this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most this many, the latest first
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

/// Runs it.
pub(crate) async fn run(args: HistoryArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, _) = session.admin()?;
    let since_ms = args.since.as_deref().map(|text| session.zone.parse(text)).transpose()?.unwrap_or(0);
    let (found, led) = newest(&cluster, GetHistoryRequest { limit: args.limit, since_ms }).await?;
    if !led && !session.global.stale {
        return Err(Failure::NoLeader);
    }
    session.list(&view(&found, args.limit, session.out.lang, &session.zone))
}

/// The answer of the node that has applied most, for each tells what its own rows have; and whether one that answers leads.
pub(crate) async fn newest(
    cluster: &Cluster,
    request: GetHistoryRequest,
) -> Result<(GetHistoryResponse, bool), Failure> {
    let nodes = Session::nodes(cluster);
    let asked = futures_util::future::join_all(nodes.iter().map(|node| node.get_history(request))).await;
    let mut why = String::new();
    let answers = asked.into_iter().filter_map(|answer| answer.map_err(|error| why = chain(&error)).ok());
    let answers: Vec<GetHistoryResponse> = answers.collect();
    // A node goes on naming a leader that died: only its own word counts.
    let led = answers.iter().any(|answer| answer.leader_id == answer.node_id);
    let best = answers.into_iter().max_by_key(|answer| answer.applied_index);
    best.map(|best| (best, led)).ok_or(Failure::Connect { why })
}

/// How many of the last planned changes were measured, and the median of their interruptions in milliseconds.
pub(crate) fn median(found: &GetHistoryResponse) -> Option<(usize, u64)> {
    let planned = found.changes.iter().filter(|change| change.kind() == LeadKind::Planned);
    let mut gaps: Vec<u64> = planned.filter_map(|change| change.gap_ms).take(MEDIAN_OF).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).map(|gap| (gaps.len(), *gap))
}

fn name(id: u64, name: &str) -> String {
    match (id, name) {
        (0, _) => "–".to_owned(),
        (id, "") => id.to_string(),
        (_, name) => name.to_owned(),
    }
}

/// What the history tells.
enum Entry<'a> {
    Change(&'a LeadershipChange),
    Recovery(&'a QuorumRecovery),
}

/// Changes of leader and recoveries of a lost majority in one order, the latest first, at most `limit`.
fn entries(found: &GetHistoryResponse, limit: u32) -> Vec<Entry<'_>> {
    let changes = found.changes.iter().map(|change| (change.at_ms, Entry::Change(change)));
    let recoveries = found.recoveries.iter().map(|recovery| (recovery.at_ms, Entry::Recovery(recovery)));
    let mut entries: Vec<_> = changes.chain(recoveries).collect();
    entries.sort_by_key(|(at_ms, _)| std::cmp::Reverse(*at_ms));
    entries.into_iter().map(|(_, entry)| entry).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
}

fn view(found: &GetHistoryResponse, limit: u32, lang: Lang, zone: &Zone) -> Report {
    let entries = entries(found, limit);
    let rows = entries.iter().map(|entry| match entry {
        Entry::Change(change) => change_row(change, lang, zone),
        Entry::Recovery(recovery) => recovery_row(recovery, lang, zone),
    });
    let values = entries.iter().map(|entry| match entry {
        Entry::Change(change) => value(change),
        Entry::Recovery(recovery) => recovery_value(recovery),
    });
    let lead = |word| Column::of(Word::Lead(word));
    let number = |word| Column::number(Word::Lead(word));
    Report {
        kind: "history",
        head: Map::from_iter([
            ("node_id".to_owned(), found.node_id.into()),
            ("applied_index".to_owned(), found.applied_index.into()),
            ("leader_id".to_owned(), (found.leader_id != 0).then_some(found.leader_id).into()),
        ]),
        items: Items::Many("changes", values.collect()),
        table: Table::new(
            vec![
                Column::number(Word::Term),
                Column::of(Word::At),
                Column::of(Word::Kind),
                lead(LeadWord::Path),
                lead(LeadWord::Cause),
                number(LeadWord::Detection),
                number(LeadWord::WriteGap),
                number(LeadWord::Loss),
            ],
            rows.collect(),
        ),
    }
}

fn dash() -> String {
    "–".to_owned()
}

fn change_row(change: &LeadershipChange, lang: Lang, zone: &Zone) -> Vec<Cell> {
    let seconds = |ms: Option<u64>| ms.map_or_else(dash, |ms| decimal(ms, lang));
    let word = |word: Option<LeadWord>| word.map_or_else(dash, |word| lang.word(Word::Lead(word)).to_owned());
    let cause = word(LeadWord::cause(change.cause()));
    let cause = if change.reason.is_empty() { cause } else { format!("{cause}: {}", change.reason) };
    let tone = if change.kind() == LeadKind::Planned { Tone::Plain } else { Tone::Warn };
    let path =
        format!("{} → {}", name(change.from_node_id, &change.from_name), name(change.to_node_id, &change.to_name));
    vec![
        change.term.to_string().into(),
        zone.second(change.at_ms, lang).into(),
        Cell { text: word(LeadWord::kind(change.kind())), tone },
        path.into(),
        cause.into(),
        seconds(change.detected_ms).into(),
        seconds(change.gap_ms).into(),
        LOST.to_string().into(),
    ]
}

fn kept(recovery: &QuorumRecovery) -> Vec<String> {
    let names = recovery.kept_names.iter().map(String::as_str).chain(std::iter::repeat(""));
    recovery.kept_node_ids.iter().zip(names).map(|(id, told)| name(*id, told)).collect()
}

fn recovery_row(recovery: &QuorumRecovery, lang: Lang, zone: &Zone) -> Vec<Cell> {
    let loss = LeadSay::LostAfter {
        index: recovery.last_index,
        at: recovery.last_write_ms.map(|at_ms| zone.second(at_ms, lang)),
    };
    vec![
        recovery.last_term.to_string().into(),
        zone.second(recovery.at_ms, lang).into(),
        Cell { text: lang.word(Word::Lead(LeadWord::Recovery)).to_owned(), tone: Tone::Bad },
        format!("– → {}", kept(recovery).join(", ")).into(),
        lang.word(Word::Lead(LeadWord::MajorityLost)).into(),
        dash().into(),
        dash().into(),
        Cell { text: lang.say(&Say::Lead(loss)), tone: Tone::Bad },
    ]
}

/// Seconds to the hundredth, with the language's mark.
fn decimal(ms: u64, lang: Lang) -> String {
    let hundredths = ms.saturating_add(5) / 10;
    let mark = if lang == Lang::PtBr { ',' } else { '.' };
    format!("{}{mark}{:02} s", hundredths / 100, hundredths % 100)
}

fn value(change: &LeadershipChange) -> Value {
    let known = |id: u64| (id != 0).then_some(id);
    json!({
        "term": change.term,
        "at": when::rfc3339(change.at_ms),
        "kind": change.kind().as_str_name().trim_start_matches("LEAD_KIND_").to_lowercase(),
        "cause": change.cause().as_str_name().trim_start_matches("LEAD_CAUSE_").to_lowercase(),
        "reason": change.reason,
        "from_node_id": known(change.from_node_id),
        "from": known(change.from_node_id).map(|id| name(id, &change.from_name)),
        "to_node_id": change.to_node_id,
        "to": name(change.to_node_id, &change.to_name),
        "detected_ms": change.detected_ms,
        "write_gap_ms": change.gap_ms,
        "lost_entries": LOST,
        "recovery": Value::Null,
    })
}

/// The keys of a change, where they make sense. How many entries were lost nobody knows: only after which one.
fn recovery_value(recovery: &QuorumRecovery) -> Value {
    json!({
        "term": recovery.last_term,
        "at": when::rfc3339(recovery.at_ms),
        "kind": "recovery",
        "cause": "majority_lost",
        "reason": "",
        "from_node_id": Value::Null,
        "from": Value::Null,
        "to_node_id": recovery.kept_node_ids.first(),
        "to": kept(recovery).first(),
        "detected_ms": Value::Null,
        "write_gap_ms": Value::Null,
        "lost_entries": Value::Null,
        "recovery": {
            "incarnation": recovery.incarnation,
            "last_index": recovery.last_index,
            "last_write_at": recovery.last_write_ms.and_then(when::rfc3339),
            "kept_node_ids": recovery.kept_node_ids,
            "dropped_voter_ids": recovery.dropped_voter_ids,
        },
    })
}

#[cfg(test)]
pub(crate) mod samples {
    //! A fixed history for golden files.
    use super::*;
    use crate::golden::{MOMENT, zone};
    use plantao_proto::admin::v1::LeadCause;

    pub(crate) fn some(lang: Lang) -> Report {
        view(&found(), 100, lang, &zone())
    }

    pub(crate) fn found() -> GetHistoryResponse {
        let change = |term, kind: LeadKind, cause: LeadCause, from: u64, to: u64| LeadershipChange {
            term,
            at_ms: MOMENT - i64::try_from(20 - term).unwrap_or(0) * 86_400_000,
            kind: kind.into(),
            cause: cause.into(),
            reason: String::new(),
            from_node_id: from,
            from_name: ["", "centro", "jardins", "cofre"]
                .get(usize::try_from(from).unwrap_or(0))
                .unwrap_or(&"")
                .to_string(),
            to_node_id: to,
            to_name: ["", "centro", "jardins", "cofre"]
                .get(usize::try_from(to).unwrap_or(0))
                .unwrap_or(&"")
                .to_string(),
            detected_ms: (kind == LeadKind::Automatic && from != 0).then_some(1_604),
            gap_ms: (from != 0).then_some(if kind == LeadKind::Planned { 37 } else { 2_896 }),
        };
        GetHistoryResponse {
            node_id: 1,
            applied_index: 918_204,
            leader_id: 2,
            recoveries: vec![
                QuorumRecovery {
                    incarnation: 2,
                    at_ms: MOMENT - 3 * 86_400_000 + 1,
                    kept_node_ids: vec![3],
                    kept_names: vec!["cofre".into()],
                    last_term: 17,
                    last_index: 911_002,
                    last_write_ms: Some(MOMENT - 4 * 86_400_000),
                    dropped_voter_ids: vec![1, 2],
                },
                QuorumRecovery { at_ms: MOMENT - 30 * 86_400_000, kept_node_ids: vec![9], ..QuorumRecovery::default() },
            ],
            changes: vec![
                LeadershipChange {
                    reason: "troca de nobreak\u{1b}[2J".into(),
                    ..change(19, LeadKind::Planned, LeadCause::Switchover, 1, 2)
                },
                change(18, LeadKind::Automatic, LeadCause::Silence, 3, 1),
                change(17, LeadKind::Planned, LeadCause::Preferred, 1, 3),
                change(2, LeadKind::Automatic, LeadCause::Start, 0, 1),
            ],
        }
    }

    #[test]
    fn the_limit_holds_for_both_kinds_of_entries_together() {
        let found = found();
        let at = |entries: Vec<Entry<'_>>| -> Vec<i64> {
            let at = entries.iter().map(|entry| match entry {
                Entry::Change(change) => change.at_ms,
                Entry::Recovery(recovery) => recovery.at_ms,
            });
            at.collect()
        };
        let all = at(entries(&found, 100));
        assert!(all.len() == 6 && all.is_sorted_by(|one, next| one >= next), "{all:?}");
        assert_eq!(at(entries(&found, 3)), all[..3]);
    }

    #[test]
    fn the_median_is_of_planned_changes_alone() {
        let mut found = found();
        assert_eq!(median(&found), Some((2, 37)));
        for change in &mut found.changes {
            change.gap_ms = None;
        }
        assert_eq!(median(&found), None);
        assert_eq!(decimal(2_896, Lang::PtBr), "2,90 s");
        assert_eq!(decimal(37, Lang::En), "0.04 s");
    }
}
