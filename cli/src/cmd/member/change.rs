//! Changes of single nodes: tried first, shown, asked about, decided, and followed until they are so.

use super::{find, leader, rank};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Items, Report, Table};
use crate::session::Session;
use crate::text::members::MembersSay;
use crate::text::{Named, Say, Word};
use clap::Args;
use plantao_client::Cluster;
use plantao_proto::admin::v1::{
    ChangeMembersRequest, ChangeMembersResponse, GetMembersResponse, MemberChange, NodeStanding, Standing,
};
use serde_json::{Map, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at what is done.
const PAUSE: Duration = Duration::from_millis(300);

/// One node and a reason.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Node: name, number, or the beginning of its name
    #[arg(value_name = "NODE")]
    node: String,
    /// Why; kept in the network for its operators
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Fewer than three voters may be left
    #[arg(long)]
    allow_fewer_voters: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// One node that goes for good.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Node: name, number, or the beginning of its name
    #[arg(value_name = "NODE")]
    node: String,
    /// Why; kept in the network for its operators
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Fewer than three voters may be left
    #[arg(long)]
    allow_fewer_voters: bool,
    /// Do not ask: the node's name once more
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

/// Gives a node a vote, or takes it.
pub(super) async fn to(args: ChangeArgs, to: Standing, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let (_, members) = leader(&cluster).await?;
    let node = find(&members, &args.node)?;
    let request = ChangeMembersRequest {
        changes: vec![MemberChange { node_id: node.node_id, to: to.into() }],
        layout_version: 0,
        reason: args.reason,
        allow_fewer_voters: args.allow_fewer_voters,
        dry_run: false,
    };
    tell_plan(session, node, to);
    forecast(&cluster, session, &request).await?;
    session.confirm(args.yes, &Say::Ask { label })?;
    decide(&cluster, session, request).await
}

/// Removes a node.
pub(super) async fn remove(args: RemoveArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let (_, members) = leader(&cluster).await?;
    let node = find(&members, &args.node)?;
    let request = ChangeMembersRequest {
        changes: vec![MemberChange { node_id: node.node_id, to: Standing::Removed.into() }],
        layout_version: 0,
        reason: args.reason,
        allow_fewer_voters: args.allow_fewer_voters,
        dry_run: false,
    };
    tell_plan(session, node, Standing::Removed);
    forecast(&cluster, session, &request).await?;
    session.confirm_name(args.confirm.as_deref(), Named::Node, &node.name, &label)?;
    decide(&cluster, session, request).await
}

fn tell_plan(session: &Session, node: &NodeStanding, to: Standing) {
    let plan = MembersSay::Plan { name: node.name.clone(), from: rank(node.standing()), to: rank(to) };
    session.out.note(&Say::Members(plan));
}

/// Asks the leader as if it were done, and tells what would come of it.
pub(super) async fn forecast(
    cluster: &Cluster,
    session: &Session,
    request: &ChangeMembersRequest,
) -> Result<ChangeMembersResponse, Failure> {
    let (leader, _) = cluster.leader().await.ok_or(Failure::NoLeader)?;
    let trial = ChangeMembersRequest { dry_run: true, ..request.clone() };
    let would = leader.change_members(trial).await.map_err(Failure::of_order)?;
    let (voters, answering, may_lose) = (would.voters, would.answering, would.may_lose);
    session.out.note(&Say::Members(MembersSay::Forecast { voters, answering, may_lose }));
    if voters % 2 == 0 && voters > 0 {
        session.out.note(&Say::Members(MembersSay::Even { voters: usize::try_from(voters).unwrap_or(usize::MAX) }));
    }
    Ok(would)
}

/// Decides, and follows the steps until they are done or the patience is over.
pub(super) async fn decide(
    cluster: &Cluster,
    session: &Session,
    request: ChangeMembersRequest,
) -> Result<Exit, Failure> {
    let (leader, _) = cluster.leader().await.ok_or(Failure::NoLeader)?;
    let decided = leader.change_members(request).await.map_err(Failure::of_order)?;
    session.out.note(&Say::Members(MembersSay::Accepted { version: decided.layout_version }));
    let members = follow(cluster, session, decided.layout_version).await?;
    session.out.report(&done(session, &decided, &members))?;
    Ok(Exit::Done)
}

/// Waits until a leader knows this version and has no step left.
async fn follow(cluster: &Cluster, session: &Session, version: u32) -> Result<GetMembersResponse, Failure> {
    let deadline = Instant::now() + Duration::from_secs(session.global.timeout);
    let mut told = String::new();
    let mut waits_for = String::new();
    loop {
        // The leader may be the one that goes: whoever leads next is asked then.
        if let Ok((_, members)) = leader(cluster).await
            && members.layout_version >= version
        {
            if members.steps.is_empty() {
                return Ok(members);
            }
            waits_for = super::view::steps(&members, session.out.lang).join("; ");
            if waits_for != told {
                session.out.line(&waits_for);
                told.clone_from(&waits_for);
            }
        }
        if Instant::now() >= deadline {
            return Err(Failure::MembersUnderWay { why: waits_for });
        }
        sleep(PAUSE).await;
    }
}

fn done(session: &Session, decided: &ChangeMembersResponse, members: &GetMembersResponse) -> Report {
    let lang = session.out.lang;
    let voters: Vec<u64> = members.nodes.iter().filter(|node| node.voter).map(|node| node.node_id).collect();
    let names = members.nodes.iter().filter(|node| node.voter).map(|node| node.name.as_str());
    let names: Vec<&str> = names.collect();
    let say = Say::Members(MembersSay::Done { version: members.layout_version });
    Report {
        kind: "member_change",
        head: Map::new(),
        items: Items::One(
            "member_change",
            json!({
                "layout_version": members.layout_version,
                "changed": decided.changed,
                "voters": voters,
                "may_lose": decided.may_lose,
            }),
        ),
        table: Table::pairs(lang, vec![(Word::Outcome, lang.say(&say).into()), (Word::Nodes, names.join(", ").into())]),
    }
}
