//! `plantao digest`: asks every node for the digest of its state, and compares what was said at the same index.
//!
//! Nodes apply at their own pace, so they are asked again until all of them were seen at one common index.

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::ids;
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::session::Session;
use crate::text::{Say, Word};
use clap::Args;
use plantao_proto::admin::v1::GetDigestResponse;
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(200);

/// For how long.
#[derive(Debug, Args)]
pub(crate) struct DigestArgs {
    /// Longest wait for a common index, in seconds
    #[arg(long, value_name = "SEC", default_value_t = 15, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    wait: u64,
}

/// What was heard: by index, then by node.
#[derive(Debug, Default)]
struct Comparison {
    heard: BTreeMap<u64, BTreeMap<u64, GetDigestResponse>>,
    /// Last answer or silence of each endpoint.
    last: BTreeMap<String, Result<GetDigestResponse, String>>,
}

/// What the comparison says.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Two nodes differ at this index.
    Differ(u64),
    /// Every node that answers is equal at this index.
    Equal { index: u64, nodes: usize },
    /// No common index yet, or fewer than two nodes.
    NotYet,
}

impl Comparison {
    fn take(&mut self, address: String, answer: Result<GetDigestResponse, String>) {
        if let Ok(answer) = &answer {
            self.heard.entry(answer.applied_index).or_default().insert(answer.node_id, answer.clone());
        }
        self.last.insert(address, answer);
    }

    fn verdict(&self) -> Verdict {
        let same = |a: &GetDigestResponse, b: &GetDigestResponse| {
            a.content == b.content && a.chain == b.chain && a.rows == b.rows
        };
        for (index, nodes) in &self.heard {
            let mut answers = nodes.values();
            if let Some(first) = answers.next()
                && !answers.all(|answer| same(first, answer))
            {
                return Verdict::Differ(*index);
            }
        }
        let answering = self.last.values().filter(|answer| answer.is_ok()).count();
        self.heard
            .iter()
            .rev()
            .find(|(_, nodes)| answering >= 2 && nodes.len() >= answering)
            .map_or(Verdict::NotYet, |(index, nodes)| Verdict::Equal { index: *index, nodes: nodes.len() })
    }

    fn silent(&self) -> impl Iterator<Item = Say> {
        self.last.iter().filter_map(|(address, answer)| {
            let why = answer.as_ref().err()?.clone();
            Some(Say::DigestMissing { node: address.clone(), why })
        })
    }

    fn view(&self, verdict: &Verdict) -> Report {
        let shown: Vec<&GetDigestResponse> = match verdict {
            Verdict::Differ(index) | Verdict::Equal { index, .. } => {
                self.heard.get(index).map(|nodes| nodes.values().collect()).unwrap_or_default()
            }
            Verdict::NotYet => self.last.values().filter_map(|answer| answer.as_ref().ok()).collect(),
        };
        let tone = if matches!(verdict, Verdict::Differ(_)) { Tone::Bad } else { Tone::Plain };
        let rows = shown.iter().map(|one| {
            vec![
                Cell { text: one.node_id.to_string(), tone },
                one.applied_index.to_string().into(),
                one.rows.to_string().into(),
                ids::hex(&one.content).chars().take(16).collect::<String>().into(),
                ids::hex(&one.chain).chars().take(16).collect::<String>().into(),
                one.engine.as_str().into(),
            ]
        });
        let values = shown.iter().map(|one| {
            json!({
                "node_id": one.node_id,
                "applied_index": one.applied_index,
                "rows": one.rows,
                "content": ids::hex(&one.content),
                "chain": ids::hex(&one.chain),
                "engine": one.engine,
            })
        });
        let (outcome, index) = match verdict {
            Verdict::Differ(index) => ("differ", Some(*index)),
            Verdict::Equal { index, .. } => ("equal", Some(*index)),
            Verdict::NotYet => ("not_compared", None),
        };
        let silent: Vec<_> = self.last.iter().filter(|(_, answer)| answer.is_err()).map(|(at, _)| at).collect();
        Report {
            kind: "digest",
            head: Map::from_iter([
                ("outcome".to_owned(), outcome.into()),
                ("index".to_owned(), index.into()),
                ("silent_endpoints".to_owned(), json!(silent)),
            ]),
            items: Items::Many("nodes", values.collect()),
            table: Table::new(
                vec![
                    Column::of(Word::Node),
                    Column::number(Word::Index),
                    Column::number(Word::Rows),
                    Column::of(Word::Content),
                    Column::of(Word::Chain),
                    Column::of(Word::Engine),
                ],
                rows.collect(),
            ),
        }
    }
}

/// Runs it.
pub(crate) async fn run(args: DigestArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, _) = session.admin()?;
    let until = Instant::now() + Duration::from_secs(args.wait);
    let mut comparison = Comparison::default();
    loop {
        let mut asking = tokio::task::JoinSet::new();
        for node in Session::nodes(&cluster) {
            asking.spawn(async move {
                let answer = node.get_digest().await.map_err(|error| chain(&error));
                (node.address().to_owned(), answer)
            });
        }
        for (address, answer) in asking.join_all().await {
            comparison.take(address, answer);
        }
        if comparison.verdict() != Verdict::NotYet || Instant::now() >= until {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let verdict = comparison.verdict();
    let answering = comparison.last.values().filter(|answer| answer.is_ok()).count();
    if answering == 0 {
        let why = comparison.last.into_values().find_map(Result::err).unwrap_or_default();
        return Err(Failure::Connect { why });
    }
    session.out.report(&comparison.view(&verdict))?;
    let mut missing = false;
    for say in comparison.silent() {
        missing = true;
        session.out.note(&say);
    }
    match verdict {
        Verdict::Differ(index) => Err(Failure::DigestsDiffer { index }),
        Verdict::Equal { index, nodes } => {
            session.out.note(&Say::DigestsEqual { nodes, index });
            Ok(if missing { Exit::Partial } else { Exit::Done })
        }
        Verdict::NotYet => {
            session.out.note(&Say::DigestsNotCompared { nodes: answering });
            Ok(Exit::GoalNotMet)
        }
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed answers, and what they compare to.
    use super::*;

    fn digest(node_id: u64, applied_index: u64, byte: u8) -> GetDigestResponse {
        GetDigestResponse {
            node_id,
            applied_index,
            content: vec![byte; 32].into(),
            chain: vec![0xc0; 32].into(),
            rows: 17_000,
            engine: if node_id == 3 { "sled" } else { "fjall" }.into(),
        }
    }

    fn comparison(answers: &[(u64, u64, u8)]) -> Comparison {
        let mut comparison = Comparison::default();
        for (node, index, byte) in answers {
            comparison.take(format!("127.0.0.1:720{node}"), Ok(digest(*node, *index, *byte)));
        }
        comparison
    }

    pub(crate) fn equal() -> Report {
        let comparison = comparison(&[(1, 50, 0xab), (2, 50, 0xab), (3, 50, 0xab)]);
        comparison.view(&comparison.verdict())
    }

    pub(crate) fn differ() -> Report {
        let comparison = comparison(&[(1, 50, 0xab), (2, 50, 0xac)]);
        comparison.view(&comparison.verdict())
    }

    /// Nodes that are at different indexes say nothing about each other, and one node alone proves nothing.
    #[test]
    fn only_answers_at_the_same_index_are_compared() {
        assert_eq!(comparison(&[(1, 50, 1), (2, 51, 2)]).verdict(), Verdict::NotYet);
        assert_eq!(comparison(&[(1, 50, 1)]).verdict(), Verdict::NotYet);
        assert_eq!(comparison(&[(1, 50, 1), (2, 51, 2), (1, 51, 2)]).verdict(), Verdict::Equal { index: 51, nodes: 2 });
        assert_eq!(comparison(&[(1, 50, 1), (2, 50, 2)]).verdict(), Verdict::Differ(50));
        assert_eq!(comparison(&[(1, 50, 1), (2, 50, 2), (1, 51, 3), (2, 51, 3)]).verdict(), Verdict::Differ(50));
        assert_eq!(comparison(&[(1, 50, 1), (2, 50, 1), (3, 49, 9)]).verdict(), Verdict::NotYet);
    }
}
