//! `plantao failover`: for a leader that is sick or gone, or while automation is paused. A leader that still answers is asked
//! to hand over; else the named node stands for election. A majority has to vote for it, so nothing acknowledged is lost.

use crate::cmd::status::{self, Asked, Status};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Items, Report, Table};
use crate::session::Session;
use crate::text::{Lang, LeadSay, Say, Word};
use clap::Args;
use plantao_client::AdminNode;
use plantao_client::Cluster;
use plantao_client::services::TransferError;
use plantao_proto::admin::v1::{StandForElectionRequest, TransferLeadershipRequest};
use serde_json::{Map, json};

/// The leader did not hand over in time, or its Raft has stopped: an election is what is left.
const GAVE_UP: [u32; 2] = [2606, 2607];

/// To whom, and why.
#[derive(Debug, Args)]
pub(crate) struct FailoverArgs {
    /// Node that is to lead: name or number
    #[arg(long, value_name = "NODE")]
    to: String,
    /// Why, for the history: shown to every operator, so no name of a person
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

struct Done {
    to: u64,
    name: String,
    term: u64,
    changed: bool,
    elected: bool,
    leader_silent_ms: Option<u64>,
}

/// Runs it.
pub(crate) async fn run(args: FailoverArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let reason = args.reason.filter(|reason| !reason.trim().is_empty()).ok_or(Failure::NeedsReason)?;
    let asked = status::ask(&cluster).await;
    let before = Status::merge(&asked).ok_or_else(|| Failure::Connect {
        why: asked.iter().find_map(|one| one.answer.as_ref().err()).cloned().unwrap_or_default(),
    })?;
    let member = before.find(&args.to);
    let member = member.ok_or_else(|| Failure::NotFound { what: Word::Node, text: args.to.clone() })?;
    let (id, name) = (member.node_id, member.name.clone());
    let node = admin_of(&cluster, &asked, id).ok_or_else(|| Failure::Connect { why: format!("{name}: no answer") })?;
    let from = before.leader.as_ref().map(|leader| leader.name.clone());
    session.out.note(&Say::Lead(LeadSay::FailoverPlan { from, to: name.clone() }));
    session.confirm(args.yes, &Say::Ask { label })?;
    let leader = before.leader.as_ref().map(|leader| leader.id).filter(|leader| *leader != id);
    let handed = match leader {
        Some(expect_leader_id) => {
            let request =
                TransferLeadershipRequest { to_node_id: id, expect_leader_id, reason: reason.clone(), failback: false };
            match cluster.transfer_leadership(request).await {
                Ok(done) => Some(Done {
                    to: id,
                    name: name.clone(),
                    term: done.term,
                    changed: true,
                    elected: false,
                    leader_silent_ms: None,
                }),
                Err(TransferError::NoLeader) => None,
                Err(TransferError::Call(error)) => match Failure::of_lead(error) {
                    Failure::Guard { code, .. } if GAVE_UP.contains(&code) => None,
                    Failure::Connect { .. } => None,
                    failure => return Err(failure),
                },
            }
        }
        None => None,
    };
    let done = match handed {
        Some(done) => done,
        None => {
            let stood = node.stand_for_election(StandForElectionRequest { node_id: id, reason }).await;
            let stood = stood.map_err(Failure::of_lead)?;
            let leader_silent_ms = stood.leader_silent_ms;
            Done { to: id, name, term: stood.term, changed: stood.changed, elected: stood.changed, leader_silent_ms }
        }
    };
    session.out.report(&view(session.out.lang, &done))?;
    Ok(Exit::Done)
}

/// The admin plane of a node, by its own answer.
fn admin_of(cluster: &Cluster, asked: &[Asked], id: u64) -> Option<AdminNode> {
    let found = asked.iter().find(|one| one.answer.as_ref().is_ok_and(|answer| answer.node_id == id))?;
    Session::nodes(cluster).into_iter().find(|node| node.address() == found.address)
}

fn view(lang: Lang, done: &Done) -> Report {
    let say = if done.changed {
        LeadSay::Leads { node: done.name.clone(), term: done.term, elected: done.elected }
    } else {
        LeadSay::LeadsAlready { node: done.name.clone() }
    };
    Report {
        kind: "failover",
        head: Map::new(),
        items: Items::One(
            "failover",
            json!({
                "to_node_id": done.to,
                "to": done.name,
                "term": done.term,
                "changed": done.changed,
                "elected": done.elected,
                "leader_silent_ms": done.leader_silent_ms,
            }),
        ),
        table: Table::pairs(lang, vec![(Word::Outcome, lang.say(&Say::Lead(say)).into())]),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! A fixed failover for golden files.
    use super::*;

    pub(crate) fn elected(lang: Lang) -> Report {
        let done = Done {
            to: 2,
            name: "jardins".into(),
            term: 20,
            changed: true,
            elected: true,
            leader_silent_ms: Some(8_200),
        };
        view(lang, &done)
    }
}
