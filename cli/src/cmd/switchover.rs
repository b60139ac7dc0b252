//! `plantao switchover` and `plantao failback`: a planned change of the leader. The plan is shown first; whether it is safe
//! is checked by the cluster, which hands over only to a voter that is caught up.

use crate::cmd::history;
use crate::cmd::lead::{self, Consent};
use crate::cmd::status::{self, Status, View};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Items, Report, Table};
use crate::session::Session;
use crate::text::{Lang, LeadSay, Say, Word};
use crate::when;
use clap::{Args, Subcommand};
use plantao_client::Cluster;
use plantao_client::services::TransferError;
use plantao_proto::admin::v1::{GetHistoryRequest, TransferLeadershipRequest, TransferLeadershipResponse};
use serde_json::{Map, json};

/// To whom, from whom, and when.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SwitchoverArgs {
    #[command(subcommand)]
    command: Option<SwitchoverCommand>,
    /// Node that takes over: name or number (default: any voter that is caught up)
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    /// Refuse unless this node leads now
    #[arg(long, value_name = "NODE")]
    expect_leader: Option<String>,
    /// Not now but at this time, if it is safe then
    #[arg(long, value_name = "TIME", conflicts_with = "expect_leader")]
    at: Option<String>,
    /// Why, for the history: shown to every operator, so no name of a person
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// The switchover that waits for its time.
#[derive(Debug, Subcommand)]
enum SwitchoverCommand {
    /// Cancel the scheduled switchover
    Cancel(Consent),
}

/// From whom.
#[derive(Debug, Args)]
pub(crate) struct FailbackArgs {
    /// Refuse unless this node leads now
    #[arg(long, value_name = "NODE")]
    expect_leader: Option<String>,
    /// Why, for the history: shown to every operator, so no name of a person
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Runs a switchover.
pub(crate) async fn run(mut args: SwitchoverArgs, session: &Session) -> Result<Exit, Failure> {
    if let Some(SwitchoverCommand::Cancel(consent)) = args.command.take() {
        return lead::cancel(consent, session).await;
    }
    if let Some(at) = &args.at {
        let reason = args.reason.filter(|reason| !reason.trim().is_empty()).ok_or(Failure::NeedsReason)?;
        return lead::schedule(at, args.to.as_deref(), reason, args.yes, session).await;
    }
    hand_over(args, false, session).await
}

/// Runs a failback: a switchover to where the lead belongs, which the cluster knows.
pub(crate) async fn failback(args: FailbackArgs, session: &Session) -> Result<Exit, Failure> {
    let FailbackArgs { expect_leader, reason, yes } = args;
    hand_over(SwitchoverArgs { command: None, to: None, expect_leader, at: None, reason, yes }, true, session).await
}

async fn hand_over(args: SwitchoverArgs, failback: bool, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let reason = args.reason.filter(|reason| !reason.trim().is_empty()).ok_or(Failure::NeedsReason)?;
    let before = picture(&cluster, session, &label, &Say::Before).await?;
    let leader = before.leader.clone().ok_or(Failure::NoLeader)?;
    let to = match &args.to {
        Some(text) => {
            let member = before.find(text);
            Some(member.ok_or_else(|| Failure::NotFound { what: Word::Node, text: text.clone() })?.clone())
        }
        None => None,
    };
    if let Some(expected) = &args.expect_leader
        && before.find(expected).map(|member| member.node_id) != Some(leader.id)
    {
        return Err(Failure::OtherLeader { expected: expected.clone(), actual: leader.name });
    }
    session.out.note(&Say::Plan {
        from: leader.name.clone(),
        to: to.as_ref().map_or_else(|| session.out.lang.say(&Say::AnyVoter), |member| member.name.clone()),
        behind: to.as_ref().and_then(|member| before.lag(member.node_id)),
    });
    session.out.note(&Say::Lead(expected_gap(&cluster).await));
    session.confirm(args.yes, &Say::Ask { label: label.clone() })?;
    let request = TransferLeadershipRequest {
        to_node_id: to.map_or(0, |member| member.node_id),
        // Whoever confirmed, confirmed this plan: with another leader it is another one.
        expect_leader_id: leader.id,
        reason,
        failback,
    };
    let done = cluster.transfer_leadership(request).await.map_err(|error| match error {
        TransferError::NoLeader => Failure::NoLeader,
        TransferError::Call(error) => Failure::of_lead(error),
    })?;
    let after = picture(&cluster, session, &label, &Say::After).await;
    let name = |id: u64| {
        let known = before.find(&id.to_string());
        known.map_or_else(|| id.to_string(), |member| member.name.clone())
    };
    let (from, to) = (name(done.from_node_id), name(done.to_node_id));
    session.out.report(&view(session.out.lang, &done, &from, &to))?;
    if done.from_node_id != done.to_node_id {
        session.out.note(&Say::Lead(LeadSay::Undo));
    }
    // The switchover is done, even when the picture after it could not be had.
    if let Err(failure) = after {
        session.out.failure(&failure);
    }
    Ok(Exit::Done)
}

/// What it will take, as far as this network has measured it. Nothing depends on it, so a failure is no failure.
async fn expected_gap(cluster: &Cluster) -> LeadSay {
    let found = history::newest(cluster, GetHistoryRequest::default()).await.ok();
    match found.as_ref().and_then(|(found, _)| history::median(found)) {
        Some((count, median_ms)) => LeadSay::Expected { count, median_ms },
        None => LeadSay::NothingMeasured,
    }
}

/// Shows the network on the standard error, as the frame of what happens.
async fn picture(cluster: &Cluster, session: &Session, label: &str, moment: &Say) -> Result<Status, Failure> {
    let asked = status::ask(cluster).await;
    let status = Status::merge(&asked).ok_or_else(|| Failure::Connect {
        why: asked.iter().find_map(|one| one.answer.as_ref().err()).cloned().unwrap_or_default(),
    })?;
    if !session.out.format.is_json() && !session.out.quiet {
        let now_ms = when::now_ms();
        let report = status.view(&View { lang: session.out.lang, zone: &session.zone, label, now_ms });
        session.out.note(moment);
        let style = crate::output::Style { coloured: false, ..session.out.style };
        session.out.line(report.table.text(session.out.lang, style, false).trim_end());
    }
    Ok(status)
}

fn view(lang: Lang, done: &TransferLeadershipResponse, from: &str, to: &str) -> Report {
    let moved = done.from_node_id != done.to_node_id;
    let say = if moved {
        LeadSay::Gap { from: from.to_owned(), to: to.to_owned(), term: done.term, gap_ms: done.gap_ms }
    } else {
        LeadSay::LeadsAlready { node: to.to_owned() }
    };
    Report {
        kind: "switchover",
        head: Map::new(),
        items: Items::One(
            "switchover",
            json!({
                "from_node_id": done.from_node_id,
                "from": from,
                "to_node_id": done.to_node_id,
                "to": to,
                "changed": moved,
                "term": done.term,
                "took_ms": done.took_ms,
                "write_gap_ms": done.gap_ms,
            }),
        ),
        table: Table::pairs(lang, vec![(Word::Outcome, lang.say(&Say::Lead(say)).into())]),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! A fixed switchover for golden files.
    use super::*;

    pub(crate) fn done(lang: Lang) -> Report {
        let done = TransferLeadershipResponse { from_node_id: 1, to_node_id: 2, took_ms: 52, gap_ms: 37, term: 19 };
        view(lang, &done, "centro", "jardins")
    }
}
