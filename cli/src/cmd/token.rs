//! `plantao token create`: a token with which one node joins, once. It is shown once, on the standard output alone.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Items, Report, Table};
use crate::session::Session;
use crate::text::{Say, Word};
use crate::when;
use clap::{Args, Subcommand};
use plantao_proto::admin::v1::CreateJoinTokenRequest;
use serde_json::{Map, json};

const HOUR_MS: u64 = 3_600_000;

/// Tokens with which nodes join.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token with which one node joins, once
    Create(CreateArgs),
}

/// For what kind of node.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// For an off-site node: it never holds the root key
    #[arg(long)]
    off_site: bool,
    /// The node will not vote
    #[arg(long)]
    learner: bool,
    /// Hours until it expires
    #[arg(long, value_name = "HOURS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=168))]
    hours: u64,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Runs it.
pub(crate) async fn run(command: TokenCommand, session: &Session) -> Result<Exit, Failure> {
    let TokenCommand::Create(args) = command;
    let (cluster, label) = session.admin()?;
    session.confirm(args.yes, &Say::Ask { label })?;
    let (leader, _) = cluster.leader().await.ok_or(Failure::NoLeader)?;
    let request = CreateJoinTokenRequest {
        keyed: !args.off_site,
        voter: !args.learner,
        lifetime_ms: args.hours.saturating_mul(HOUR_MS),
    };
    let created = leader.create_join_token(request).await?;
    session.out.report(&Report {
        kind: "join_token",
        head: Map::new(),
        items: Items::One(
            "join_token",
            json!({"token": created.token, "not_after": when::rfc3339(created.not_after_ms)}),
        ),
        table: Table::pairs(
            session.out.lang,
            vec![
                (Word::Token, created.token.as_str().into()),
                (Word::NotAfter, session.zone.minute(created.not_after_ms, session.out.lang).into()),
            ],
        ),
    })?;
    session.out.note(&Say::TokenOnce);
    Ok(Exit::Done)
}
