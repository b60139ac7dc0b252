//! `plantao health`: each admin endpoint is asked whether its node does its work. Small and quick, for probes.

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::session::Session;
use crate::text::see::SeeWord;
use crate::text::{Lang, Word, faults};
use plantao_client::Cluster;
use plantao_proto::admin::v1::GetHealthResponse;
use serde_json::{Map, json};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What one endpoint said.
pub(crate) struct Probe {
    address: String,
    took: Duration,
    answer: Result<GetHealthResponse, String>,
}

/// Runs it.
pub(crate) async fn run(session: &Session) -> Result<Exit, Failure> {
    let (cluster, _) = session.admin()?;
    let probes = ask(&cluster).await;
    if probes.iter().all(|probe| probe.answer.is_err()) {
        let why = probes.iter().find_map(|probe| probe.answer.as_ref().err()).cloned().unwrap_or_default();
        return Err(Failure::Connect { why });
    }
    session.out.report(&view(&probes, session.out.lang))?;
    Ok(exit(&probes))
}

/// Asks every admin endpoint at once.
pub(crate) async fn ask(cluster: &Cluster) -> Vec<Probe> {
    let mut asking = JoinSet::new();
    for (position, node) in Session::nodes(cluster).into_iter().enumerate() {
        asking.spawn(async move {
            let began = Instant::now();
            let answer = node.get_health().await.map_err(|error| chain(&error));
            (position, Probe { address: node.address().to_owned(), took: began.elapsed(), answer })
        });
    }
    let mut asked = asking.join_all().await;
    asked.sort_by_key(|(position, _)| *position);
    asked.into_iter().map(|(_, probe)| probe).collect()
}

impl Probe {
    /// What the node said, if it did.
    pub(crate) fn answer(&self) -> Option<&GetHealthResponse> {
        self.answer.as_ref().ok()
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    fn healthy(&self) -> bool {
        self.answer().is_some_and(|answer| answer.healthy)
    }

    /// Why it is not well, or silent; empty when it is well.
    pub(crate) fn error(&self, lang: Lang) -> String {
        match &self.answer {
            Ok(answer) => {
                let told = answer
                    .faults
                    .iter()
                    .map(|fault| format!("{} (PLT-{:04})", faults::what(lang, fault.code, &fault.message), fault.code));
                told.collect::<Vec<_>>().join("; ")
            }
            Err(why) => why.clone(),
        }
    }
}

/// Without any node that knows a leader nothing can be written; else a node that is not well is a degraded network.
fn exit(probes: &[Probe]) -> Exit {
    if !probes.iter().filter_map(Probe::answer).any(|answer| answer.leader_id != 0) {
        Exit::NoLeader
    } else if probes.iter().all(Probe::healthy) {
        Exit::Done
    } else {
        Exit::Degraded
    }
}

fn view(probes: &[Probe], lang: Lang) -> Report {
    let items = probes.iter().map(|probe| {
        let answer = probe.answer();
        json!({
            "address": probe.address,
            "node_id": answer.map(|answer| answer.node_id),
            "name": answer.map(|answer| answer.node_name.clone()),
            "healthy": probe.healthy(),
            "took_ms": u64::try_from(probe.took.as_millis()).unwrap_or(u64::MAX),
            "leader_id": answer.map(|answer| answer.leader_id).filter(|leader| *leader != 0),
            "term": answer.map(|answer| answer.term),
            "applied_index": answer.map(|answer| answer.applied_index),
            "error": Some(probe.error(Lang::En)).filter(|error| !error.is_empty()),
        })
    });
    let rows = probes.iter().map(|probe| {
        let (mark, word, tone) = match (probe.healthy(), &probe.answer) {
            (true, _) => ('●', Word::Yes, Tone::Good),
            (false, Ok(_)) => ('▲', Word::No, Tone::Warn),
            (false, Err(_)) => ('■', Word::No, Tone::Bad),
        };
        let name = probe.answer().map_or("–", |answer| answer.node_name.as_str());
        let error = probe.error(lang);
        vec![
            Cell { text: format!("{mark} {}", probe.address), tone },
            name.into(),
            lang.word(word).into(),
            format!("{:.1} ms", probe.took.as_secs_f64() * 1_000.0).into(),
            if error.is_empty() { "–".into() } else { error.into() },
        ]
    });
    let columns = vec![
        Column::of(Word::Address),
        Column::of(Word::Node),
        Column::of(Word::See(SeeWord::Healthy)),
        Column::number(Word::See(SeeWord::Took)),
        Column::of(Word::Errors),
    ];
    Report {
        kind: "health",
        head: Map::new(),
        items: Items::Many("endpoints", items.collect()),
        table: Table::new(columns, rows.collect()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod samples {
    //! Fixed answers for golden files.
    use super::*;
    use plantao_proto::admin::v1::Warning;

    fn probe(node_id: u64, name: &str) -> Probe {
        let answer = GetHealthResponse {
            node_id,
            node_name: name.into(),
            healthy: true,
            term: 18,
            leader_id: 1,
            applied_index: 918_204,
            ..GetHealthResponse::default()
        };
        Probe { address: format!("10.0.0.{node_id}:7401"), took: Duration::from_micros(2_340), answer: Ok(answer) }
    }

    fn some() -> Vec<Probe> {
        let mut sealed = probe(2, "jardins");
        let answer = sealed.answer.as_mut().unwrap();
        answer.healthy = false;
        answer.faults =
            vec![Warning { code: 2001, message: "this node is sealed\u{1b}[2J".into(), help: String::new() }];
        let silent = Probe { answer: Err("connection refused".into()), ..probe(3, "cofre") };
        vec![probe(1, "centro"), sealed, silent]
    }

    pub(crate) fn list(lang: Lang) -> Report {
        view(&some(), lang)
    }

    #[test]
    fn the_exit_code_tells_well_from_ill_from_lost() {
        assert_eq!(exit(&[probe(1, "centro"), probe(2, "jardins")]), Exit::Done);
        assert_eq!(exit(&some()), Exit::Degraded);
        let mut lost = probe(1, "centro");
        let answer = lost.answer.as_mut().unwrap();
        (answer.leader_id, answer.healthy) = (0, false);
        assert_eq!(exit(&[lost]), Exit::NoLeader);
    }
}
