//! Nodes that come: by themselves, or in the place of another. Each needs a token, which is shown once, on the standard
//! output alone, and a command that somebody runs on the new computer.

use super::{change, find, leader};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Items, Report, Table};
use crate::session::Session;
use crate::text::members::MembersSay;
use crate::text::{Named, Say, Word};
use crate::when;
use clap::Args;
use plantao_proto::admin::v1::{
    ChangeMembersRequest, CreateJoinTokenRequest, GetMembersResponse, MemberChange, PlanReplacementRequest, Standing,
};
use serde_json::{Map, json};

const HOUR_MS: u64 = 3_600_000;

/// For what kind of node.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// For an off-site node: it never holds the root key
    #[arg(long)]
    off_site: bool,
    /// The node gets a vote once it has caught up; without this it only replicates
    #[arg(long)]
    voter: bool,
    /// Hours until it expires
    #[arg(long, value_name = "HOURS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=168))]
    hours: u64,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Whose place, and who takes it.
#[derive(Debug, Args)]
pub(crate) struct ReplaceArgs {
    /// Node that goes: name, number, or the beginning of its name
    #[arg(value_name = "NODE")]
    old: String,
    /// Learner that takes its place (default: a new node, by a token)
    #[arg(long, value_name = "NODE")]
    with: Option<String>,
    /// Why; kept in the network for its operators
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Hours until it expires
    #[arg(long, value_name = "HOURS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=168))]
    hours: u64,
    /// Do not ask: the name of the node that goes once more
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

/// Whose disk is lost.
#[derive(Debug, Args)]
pub(crate) struct ReinitArgs {
    /// Node: name, number, or the beginning of its name
    #[arg(value_name = "NODE")]
    node: String,
    /// Why; kept in the network for its operators
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Hours until it expires
    #[arg(long, value_name = "HOURS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=168))]
    hours: u64,
    /// Do not ask: the node's name once more
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

/// A token for a node.
pub(super) async fn add(args: AddArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    session.confirm(args.yes, &Say::Ask { label })?;
    let (leader, members) = leader(&cluster).await?;
    let request = CreateJoinTokenRequest {
        keyed: !args.off_site,
        voter: args.voter,
        lifetime_ms: args.hours.saturating_mul(HOUR_MS),
    };
    let created = leader.create_join_token(request).await?;
    session.out.report(&token(session, &created.token, created.not_after_ms, &members))?;
    session.out.note(&Say::TokenOnce);
    Ok(Exit::Done)
}

/// A learner, or a node that is still to come, takes the place of another.
pub(super) async fn replace(args: ReplaceArgs, session: &Session) -> Result<Exit, Failure> {
    let Some(with) = args.with else {
        let reinit = ReinitArgs { node: args.old, reason: args.reason, hours: args.hours, confirm: args.confirm };
        return self::reinit(reinit, session).await;
    };
    let (cluster, label) = session.admin()?;
    let (_, members) = leader(&cluster).await?;
    let (old, new) = (find(&members, &args.old)?, find(&members, &with)?);
    let takes = |node_id, to: Standing| MemberChange { node_id, to: to.into() };
    let request = ChangeMembersRequest {
        changes: vec![takes(new.node_id, old.standing()), takes(old.node_id, Standing::Removed)],
        layout_version: members.layout_version,
        reason: args.reason,
        allow_fewer_voters: false,
        dry_run: false,
    };
    session.out.note(&Say::Members(MembersSay::PlanReplace { old: old.name.clone(), new: new.name.clone() }));
    change::forecast(&cluster, session, &request).await?;
    session.confirm_name(args.confirm.as_deref(), Named::Node, &old.name, &label)?;
    change::decide(&cluster, session, request).await
}

/// A token for a node that takes the place of this one once it has caught up.
pub(super) async fn reinit(args: ReinitArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let (leader, members) = leader(&cluster).await?;
    let node = find(&members, &args.node)?;
    session.out.note(&Say::Members(MembersSay::PlanToken { old: node.name.clone() }));
    session.confirm_name(args.confirm.as_deref(), Named::Node, &node.name, &label)?;
    let request = PlanReplacementRequest {
        node_id: node.node_id,
        reason: args.reason,
        lifetime_ms: args.hours.saturating_mul(HOUR_MS),
    };
    let planned = leader.plan_replacement(request).await.map_err(Failure::of_order)?;
    session.out.report(&token(session, &planned.token, planned.not_after_ms, &members))?;
    session.out.note(&Say::TokenOnce);
    session.out.note(&Say::Members(MembersSay::OldStays { old: node.name.clone() }));
    Ok(Exit::Done)
}

/// The token and the command that spends it.
fn token(session: &Session, token: &str, not_after_ms: i64, members: &GetMembersResponse) -> Report {
    let lang = session.out.lang;
    let leader = members.nodes.iter().find(|node| node.node_id == members.leader_id);
    let peer = leader.map(|node| node.peer_address.as_str()).filter(|address| plain(address)).unwrap_or("HOST:PORT");
    let command = format!(
        "plantaod join --config /etc/plantao/plantaod.toml --peer {peer} --token-file TOKEN --certificate new.crt --key new.key"
    );
    let fields = vec![
        (Word::Token, token.into()),
        (Word::NotAfter, session.zone.minute(not_after_ms, lang).into()),
        (Word::Fix, lang.say(&Say::Members(MembersSay::Join { command: command.clone() })).into()),
    ];
    Report {
        kind: "join_token",
        head: Map::new(),
        items: Items::One(
            "join_token",
            json!({ "token": token, "not_after": when::rfc3339(not_after_ms), "command": command }),
        ),
        table: Table::pairs(lang, fields),
    }
}

/// Somebody will paste it.
fn plain(address: &str) -> bool {
    address.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'))
}
