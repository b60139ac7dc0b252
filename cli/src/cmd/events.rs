//! `plantao events`: what happened on every node, merged, one line each; with `-f` as it happens, across lost connections.
//! Each node tells what it saw itself, so one change may be told by several.

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::output::{Format, SCHEMA_VERSION};
use crate::session::Session;
use crate::text::see::{self, See};
use crate::text::{Lang, Say};
use crate::when::{self, Zone};
use clap::Args;
use plantao_client::services::{EventFollower, Followed};
use plantao_proto::admin::v1::{Event, NodeRole};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Events that wait for a slow terminal.
const WAITING_MAX: usize = 256;

/// How long.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Go on as it happens
    #[arg(long, short = 'f')]
    follow: bool,
    /// End after this many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// An event with who tells it.
#[derive(Debug)]
struct Told {
    by: String,
    by_id: u64,
    event: Event,
}

/// Runs it.
pub(crate) async fn run(args: EventsArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, _) = session.admin()?;
    let nodes = Session::nodes(&cluster);
    let mut left = args.count.unwrap_or(u64::MAX);
    if !args.follow {
        let mut reading = JoinSet::new();
        for node in nodes {
            reading.spawn(kept(node.events(false)));
        }
        let (mut all, mut silent, mut answered) = (Vec::new(), Vec::new(), false);
        for (told, lost) in reading.join_all().await {
            answered |= lost.is_none();
            all.extend(told);
            silent.extend(lost);
        }
        if !answered {
            return Err(Failure::Connect { why: silent.into_iter().map(|(_, why)| why).next().unwrap_or_default() });
        }
        for (address, why) in silent {
            session.out.note(&Say::See(See::Lost { address, why }));
        }
        all.sort_by_key(order);
        for told in all.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            print(session, told)?;
        }
        return Ok(Exit::Done);
    }
    session.out.note(&Say::See(See::Following { nodes: nodes.len() }));
    let (sender, mut receiver) = mpsc::channel(WAITING_MAX);
    let mut following = JoinSet::new();
    for node in nodes {
        following.spawn(follow(node.events(true), sender.clone()));
    }
    drop(sender);
    while left > 0 {
        match receiver.recv().await {
            Some(Ok(told)) => {
                print(session, &told)?;
                left -= 1;
            }
            Some(Err((address, why))) => session.out.note(&Say::See(See::Lost { address, why })),
            None => break,
        }
    }
    Ok(Exit::Done)
}

fn order(told: &Told) -> (i64, u64, u64) {
    (told.event.at_ms, told.by_id, told.event.sequence)
}

/// Address, and why it does not answer.
type Lost = (String, String);

/// Everything that one node keeps.
async fn kept(mut follower: EventFollower) -> (Vec<Told>, Option<Lost>) {
    let (mut told, mut lost, mut by) = (Vec::new(), None, (0, follower.address().to_owned()));
    while let Some(next) = follower.next().await {
        match next {
            Followed::Of(of) => by = (of.node_id, of.node_name),
            Followed::Event(event) => told.push(Told { by: by.1.clone(), by_id: by.0, event: *event }),
            Followed::Lost(error) => lost = Some((follower.address().to_owned(), chain(&error))),
        }
    }
    (told, lost)
}

async fn follow(mut follower: EventFollower, tell: mpsc::Sender<Result<Told, Lost>>) {
    let mut by = (0, follower.address().to_owned());
    while let Some(next) = follower.next().await {
        let told = match next {
            Followed::Of(of) => {
                by = (of.node_id, of.node_name);
                continue;
            }
            Followed::Event(event) => Ok(Told { by: by.1.clone(), by_id: by.0, event: *event }),
            Followed::Lost(error) => Err((follower.address().to_owned(), chain(&error))),
        };
        if tell.send(told).await.is_err() {
            return;
        }
    }
}

fn print(session: &Session, told: &Told) -> Result<(), Failure> {
    session.out.raw(line(session.out.format, session.out.lang, &session.zone, told).as_bytes())
}

/// An event as one line, whatever the format: a stream has no end to close a document with.
fn line(format: Format, lang: Lang, zone: &Zone, told: &Told) -> String {
    let event = &told.event;
    let text = see::event(lang, event);
    if format.is_json() {
        let named = |id: u64, name: &str| (id != 0).then(|| name.to_owned());
        let role = match event.role() {
            NodeRole::Learner => Some("learner"),
            NodeRole::Voter => Some("voter"),
            _ => None,
        };
        let document = json!({
            "schema_version": SCHEMA_VERSION,
            "kind": "event",
            "told_by_id": told.by_id,
            "told_by": told.by,
            "sequence": event.sequence,
            "at": when::rfc3339(event.at_ms),
            "event": see::event_key(event.kind()),
            "node_id": (event.node_id != 0).then_some(event.node_id),
            "node": named(event.node_id, &event.node_name),
            "other_node_id": (event.other_node_id != 0).then_some(event.other_node_id),
            "other_node": named(event.other_node_id, &event.other_node_name),
            "term": (event.term != 0).then_some(event.term),
            "role": role,
            "code": (event.code != 0).then(|| format!("PLT-{:04}", event.code)),
            "message": (!event.message.is_empty()).then_some(&event.message),
            "count": (event.count != 0).then_some(event.count),
        });
        return crate::escape::json(&document.to_string()) + "\n";
    }
    let said = text.unwrap_or_else(|| format!("{} {}", see::event_key(event.kind()), event.node_name));
    let fields = [zone.second(event.at_ms, lang), told.by.clone(), said];
    let separator = if format == Format::Tsv { "\t" } else { "  " };
    fields.map(|field| crate::escape::shown(&field)).join(separator) + "\n"
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed events for golden files: one of each kind.
    use super::*;
    use crate::golden::{MOMENT, zone};
    use plantao_proto::admin::v1::EventKind;

    pub(crate) fn lines() -> String {
        let kinds = (1..=16).filter_map(|kind| EventKind::try_from(kind).ok());
        let events: Vec<Told> = kinds
            .zip(1..)
            .map(|(kind, sequence)| {
                let pair = matches!(
                    kind,
                    EventKind::LeaderChanged | EventKind::LeaderLost | EventKind::LinkCut | EventKind::LinkMended
                );
                let leader = matches!(kind, EventKind::LeaderChanged | EventKind::LeaderLost);
                let warning = matches!(kind, EventKind::WarningRaised | EventKind::WarningCleared);
                let member = matches!(kind, EventKind::MemberJoined | EventKind::MemberRole);
                let event = Event {
                    sequence,
                    at_ms: MOMENT + 1_000 * i64::try_from(sequence).unwrap_or(0),
                    kind: kind.into(),
                    node_id: if kind == EventKind::LeaderLost { 0 } else { 2 },
                    node_name: if kind == EventKind::LeaderLost { "" } else { "jardins" }.into(),
                    other_node_id: u64::from(pair),
                    other_node_name: if pair { "centro" } else { "" }.into(),
                    term: if leader { 19 } else { 0 },
                    role: if member { NodeRole::Voter } else { NodeRole::Unspecified }.into(),
                    code: if warning { 2303 } else { 0 },
                    message: if warning { "cofre\u{1b}[2J does not answer" } else { "" }.into(),
                    count: u64::from(kind == EventKind::CopiesBad) * 2,
                };
                Told { by: "jardins".into(), by_id: 2, event }
            })
            .collect();
        [(Format::Table, Lang::PtBr), (Format::Table, Lang::En), (Format::Tsv, Lang::En), (Format::Jsonl, Lang::PtBr)]
            .into_iter()
            .flat_map(|(format, lang)| events.iter().map(move |told| line(format, lang, &zone(), told)))
            .collect()
    }
}
