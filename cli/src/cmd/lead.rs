//! What automation is to do about the lead: `pause`, `resume`, `maintenance`, `node drain|undrain|prefer`, and the switchover
//! that waits for its time. Whether it may be so is checked by the cluster.

use crate::cmd::status::{self, Status};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Items, Report, Table};
use crate::session::Session;
use crate::text::{Lang, LeadSay, Say, Word};
use crate::when;
use clap::{Args, Subcommand};
use plantao_client::Cluster;
use plantao_proto::admin::v1::set_lead_policy_request::Change;
use plantao_proto::admin::v1::{Nothing, ScheduledSwitchover, SetLeadPolicyRequest};
use serde_json::{Map, json};

/// Whom, why, and whether to ask.
#[derive(Debug, Args)]
pub(crate) struct OfNode {
    /// Node: name or number
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    consent: Consent,
}

/// Why, and whether to ask.
#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Why: shown to every operator, so no name of a person
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Until when, why, and whether to ask.
#[derive(Debug, Args)]
pub(crate) struct Until {
    /// When it ends by itself: at most 24 hours ahead
    #[arg(long, value_name = "TIME")]
    until: String,
    #[command(flatten)]
    consent: Consent,
}

/// Which.
#[derive(Debug, Args)]
#[group(id = "home", required = true, multiple = false, args = ["node", "none"])]
pub(crate) struct PreferArgs {
    /// Node: name or number
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// On any node with the root key
    #[arg(long)]
    none: bool,
    #[command(flatten)]
    consent: Consent,
}

/// One node.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Keep a node from leading and send programs elsewhere; its data stays
    Drain(OfNode),
    /// Let a drained node lead and serve again
    Undrain(OfNode),
    /// Say on which node the lead belongs
    Prefer(PreferArgs),
}

/// Work on the network.
#[derive(Debug, Subcommand)]
pub(crate) enum MaintenanceCommand {
    /// Say that somebody works on the network: nothing is done by itself that can wait
    Start(Until),
    /// Say that the work is done
    Stop(Consent),
}

/// Runs a command about one node.
pub(crate) async fn node(command: NodeCommand, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let network = network(&cluster).await?;
    let (change, say, consent) = match command {
        NodeCommand::Drain(args) => {
            let (id, node) = find(&network, &args.node)?;
            (Change::DrainNodeId(id), LeadSay::Drained { node }, args.consent)
        }
        NodeCommand::Undrain(args) => {
            let (id, node) = find(&network, &args.node)?;
            (Change::UndrainNodeId(id), LeadSay::Undrained { node }, args.consent)
        }
        NodeCommand::Prefer(args) => match &args.node {
            Some(text) => {
                let (id, node) = find(&network, text)?;
                (Change::PreferNodeId(id), LeadSay::Preferred { node: Some(node) }, args.consent)
            }
            None => (Change::PreferNodeId(0), LeadSay::Preferred { node: None }, args.consent),
        },
    };
    change_policy(&cluster, session, &label, Wanted { change, say, consent }).await
}

/// Keeps leaders from changing by themselves.
pub(crate) async fn pause(args: Until, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let at = session.zone.parse(&args.until)?;
    let say = LeadSay::Paused { until: session.zone.minute(at, session.out.lang) };
    change_policy(&cluster, session, &label, Wanted { change: Change::PauseUntilMs(at), say, consent: args.consent })
        .await
}

/// Ends a pause.
pub(crate) async fn resume(consent: Consent, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let wanted = Wanted { change: Change::Resume(Nothing {}), say: LeadSay::Resumed, consent };
    change_policy(&cluster, session, &label, wanted).await
}

/// Begins or ends work on the network.
pub(crate) async fn maintenance(command: MaintenanceCommand, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let wanted = match command {
        MaintenanceCommand::Start(args) => {
            let at = session.zone.parse(&args.until)?;
            let say = LeadSay::Maintained { until: session.zone.minute(at, session.out.lang) };
            Wanted { change: Change::MaintenanceUntilMs(at), say, consent: args.consent }
        }
        MaintenanceCommand::Stop(consent) => {
            Wanted { change: Change::StopMaintenance(Nothing {}), say: LeadSay::MaintenanceOver, consent }
        }
    };
    change_policy(&cluster, session, &label, wanted).await
}

/// Schedules a switchover; whether it is safe is looked at when its time comes.
pub(crate) async fn schedule(
    at: &str,
    to: Option<&str>,
    reason: String,
    yes: bool,
    session: &Session,
) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let at_ms = session.zone.parse(at)?;
    let (to_node_id, to) = match to {
        Some(text) => find(&network(&cluster).await?, text)?,
        None => (0, session.out.lang.say(&Say::AnyVoter)),
    };
    let say = LeadSay::Scheduled { to, at: session.zone.minute(at_ms, session.out.lang) };
    let change = Change::Schedule(ScheduledSwitchover { at_ms, to_node_id });
    change_policy(&cluster, session, &label, Wanted { change, say, consent: Consent { reason, yes } }).await
}

/// Cancels the switchover that waits.
pub(crate) async fn cancel(consent: Consent, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let wanted = Wanted { change: Change::CancelSchedule(Nothing {}), say: LeadSay::ScheduleCancelled, consent };
    change_policy(&cluster, session, &label, wanted).await
}

struct Wanted {
    change: Change,
    say: LeadSay,
    consent: Consent,
}

async fn network(cluster: &Cluster) -> Result<Status, Failure> {
    let asked = status::ask(cluster).await;
    Status::merge(&asked).ok_or_else(|| Failure::Connect {
        why: asked.iter().find_map(|one| one.answer.as_ref().err()).cloned().unwrap_or_default(),
    })
}

fn find(network: &Status, text: &str) -> Result<(u64, String), Failure> {
    let member = network.find(text);
    let member = member.ok_or_else(|| Failure::NotFound { what: Word::Node, text: text.to_owned() })?;
    Ok((member.node_id, member.name.clone()))
}

async fn change_policy(cluster: &Cluster, session: &Session, label: &str, wanted: Wanted) -> Result<Exit, Failure> {
    session.out.note(&Say::Lead(wanted.say.clone()));
    session.confirm(wanted.consent.yes, &Say::Ask { label: label.to_owned() })?;
    let (leader, _) = cluster.leader().await.ok_or(Failure::NoLeader)?;
    let facts = Facts::of(&wanted.change);
    let request = SetLeadPolicyRequest { reason: wanted.consent.reason, change: Some(wanted.change) };
    let done = leader.set_lead_policy(request).await.map_err(Failure::of_lead)?;
    session.out.report(&facts.view(session.out.lang, done.changed))?;
    Ok(Exit::Done)
}

/// What a change says, for programs.
struct Facts {
    action: &'static str,
    node_id: Option<u64>,
    at_ms: Option<i64>,
}

impl Facts {
    fn of(change: &Change) -> Self {
        let plain = |action| Self { action, node_id: None, at_ms: None };
        let node = |action, id: u64| Self { action, node_id: (id != 0).then_some(id), at_ms: None };
        match change {
            Change::PreferNodeId(id) => node("prefer", *id),
            Change::DrainNodeId(id) => node("drain", *id),
            Change::UndrainNodeId(id) => node("undrain", *id),
            Change::PauseUntilMs(ms) => Self { at_ms: Some(*ms), ..plain("pause") },
            Change::MaintenanceUntilMs(ms) => Self { at_ms: Some(*ms), ..plain("maintenance_start") },
            Change::Schedule(wanted) => Self { at_ms: Some(wanted.at_ms), ..node("schedule", wanted.to_node_id) },
            Change::Resume(_) => plain("resume"),
            Change::StopMaintenance(_) => plain("maintenance_stop"),
            Change::CancelSchedule(_) => plain("cancel_schedule"),
        }
    }

    fn view(&self, lang: Lang, changed: bool) -> Report {
        let word = if changed { Word::Confirmed } else { Word::AlreadySo };
        let value = json!({
            "action": self.action,
            "changed": changed,
            "node_id": self.node_id,
            "at": self.at_ms.and_then(when::rfc3339),
        });
        Report {
            kind: "lead_policy",
            head: Map::new(),
            items: Items::One("lead_policy", value),
            table: Table::pairs(lang, vec![(Word::Outcome, lang.word(word).into())]),
        }
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed changes for golden files.
    use super::*;
    use crate::golden::MOMENT;

    pub(crate) fn paused(lang: Lang) -> Report {
        Facts::of(&Change::PauseUntilMs(MOMENT)).view(lang, true)
    }
}
