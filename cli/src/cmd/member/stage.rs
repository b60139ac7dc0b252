//! Changes that are looked at before they are applied: staged, shown, applied by the version that was shown, or taken back.

use super::{change, find, leader, picture, view};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::Say;
use crate::text::members::MembersSay;
use clap::{Args, Subcommand};
use plantao_proto::admin::v1::{ChangeMembersRequest, MemberChange, StageMembersRequest, Standing};

/// What to stage.
#[derive(Debug, Subcommand)]
pub(crate) enum StageCommand {
    /// Stage votes for nodes
    Promote(NodesArgs),
    /// Stage that nodes lose their vote
    Demote(NodesArgs),
    /// Stage that nodes go for good
    Remove(NodesArgs),
}

/// Which nodes.
#[derive(Debug, Args)]
pub(crate) struct NodesArgs {
    /// Nodes: names, numbers, or the beginnings of their names
    #[arg(value_name = "NODE", required = true, num_args = 1..=50)]
    nodes: Vec<String>,
}

/// Which version, and why.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// The version that `member diff` showed; another one is refused
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: u32,
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

/// Whether to ask.
#[derive(Debug, Args)]
pub(crate) struct RevertArgs {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Puts changes down, and shows what would come of them.
pub(super) async fn stage(command: StageCommand, session: &Session) -> Result<Exit, Failure> {
    let (args, to) = match command {
        StageCommand::Promote(args) => (args, Standing::Voter),
        StageCommand::Demote(args) => (args, Standing::Learner),
        StageCommand::Remove(args) => (args, Standing::Removed),
    };
    let (cluster, _) = session.admin()?;
    let (leader, members) = leader(&cluster).await?;
    let changes: Result<Vec<_>, Failure> = args
        .nodes
        .iter()
        .map(|text| Ok(MemberChange { node_id: find(&members, text)?.node_id, to: to.into() }))
        .collect();
    let request = StageMembersRequest { seen_version: members.layout_version, changes: changes? };
    leader.stage_members(request).await.map_err(Failure::of_order)?;
    diff(session).await
}

/// Shows now, staged, and the result.
pub(super) async fn diff(session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let picture = picture(&cluster, session).await?;
    session.out.report(&picture.diff(&view(session, &label)))?;
    Ok(Exit::Done)
}

/// Applies what is staged.
pub(super) async fn apply(args: ApplyArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let request = ChangeMembersRequest {
        changes: Vec::new(),
        layout_version: args.version,
        reason: args.reason,
        allow_fewer_voters: args.allow_fewer_voters,
        dry_run: false,
    };
    change::forecast(&cluster, session, &request).await?;
    session.confirm(args.yes, &Say::Ask { label })?;
    change::decide(&cluster, session, request).await
}

/// Takes everything back.
pub(super) async fn revert(args: RevertArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let (leader, members) = leader(&cluster).await?;
    if members.staged.is_empty() {
        session.out.note(&Say::Members(MembersSay::NothingStaged));
        return diff(session).await;
    }
    session.confirm(args.yes, &Say::Ask { label })?;
    let request = StageMembersRequest { seen_version: members.layout_version, changes: Vec::new() };
    leader.stage_members(request).await.map_err(Failure::of_order)?;
    diff(session).await
}
