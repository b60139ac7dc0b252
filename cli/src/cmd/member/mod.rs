//! `plantao member`: who is a member, who votes, and how that changes. What is safe is decided by the cluster; here the plan is
//! shown, asked about, sent to the leader, and followed until it is so.
//!
//! ```text
//! promote, demote, remove, replace ─► asked as a trial ─► plan, question ─► decided ─► steps, until they are done
//! stage ─► diff ─► apply --version N | revert          add, reinit, replace without --with ─► token ─► plantaod join
//! ```

mod change;
mod join;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod samples;
mod stage;
mod view;

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::session::Session;
use crate::text::Word;
use crate::text::members::Rank;
use crate::when;
use clap::{Args, Subcommand};
use plantao_client::{AdminNode, Cluster};
use plantao_proto::admin::v1::{GetMembersResponse, NodeStanding, Standing};
use std::collections::BTreeMap;
use view::{Picture, View};

/// Who is a member.
#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// List the members and what is still to be done
    List(ListArgs),
    /// Show one node
    Show(ShowArgs),
    /// Let a new node in: prints a token and the command for it
    Add(join::AddArgs),
    /// Stage changes of members, to look at them before they are applied
    #[command(subcommand)]
    Stage(stage::StageCommand),
    /// Show the members now, what is staged, and what would come of it
    Diff,
    /// Apply what is staged
    Apply(stage::ApplyArgs),
    /// Take back everything that is staged
    Revert(stage::RevertArgs),
    /// Give a node a vote
    Promote(change::ChangeArgs),
    /// Take a node's vote; it replicates on
    Demote(change::ChangeArgs),
    /// Put a node into the place of another, which goes for good
    Replace(join::ReplaceArgs),
    /// Remove a node for good
    Remove(change::RemoveArgs),
    /// Let a node whose disk is lost come back under its name, with a fresh number
    Reinit(join::ReinitArgs),
}

/// Which of them.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Those that were removed too
    #[arg(long)]
    all: bool,
}

/// Which one.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Node: name, number, or the beginning of its name
    #[arg(value_name = "NODE")]
    node: String,
}

/// Runs it.
pub(crate) async fn run(command: MemberCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        MemberCommand::List(args) => {
            let (cluster, label) = session.admin()?;
            let picture = picture(&cluster, session).await?;
            session.list(&picture.list(&view(session, &label), args.all))
        }
        MemberCommand::Show(args) => {
            let (cluster, label) = session.admin()?;
            let picture = picture(&cluster, session).await?;
            let node = find(&picture.members, &args.node)?.node_id;
            session.out.report(&picture.one(&view(session, &label), node))?;
            Ok(Exit::Done)
        }
        MemberCommand::Add(args) => join::add(args, session).await,
        MemberCommand::Stage(command) => stage::stage(command, session).await,
        MemberCommand::Diff => stage::diff(session).await,
        MemberCommand::Apply(args) => stage::apply(args, session).await,
        MemberCommand::Revert(args) => stage::revert(args, session).await,
        MemberCommand::Promote(args) => change::to(args, Standing::Voter, session).await,
        MemberCommand::Demote(args) => change::to(args, Standing::Learner, session).await,
        MemberCommand::Remove(args) => change::remove(args, session).await,
        MemberCommand::Replace(args) => join::replace(args, session).await,
        MemberCommand::Reinit(args) => join::reinit(args, session).await,
    }
}

fn view<'a>(session: &'a Session, label: &'a str) -> View<'a> {
    View { lang: session.out.lang, zone: &session.zone, label, now_ms: when::now_ms() }
}

/// The leader's members; with `--stale`, where none leads, those of the node that knows most.
async fn picture(cluster: &Cluster, session: &Session) -> Result<Picture, Failure> {
    let nodes = Session::nodes(cluster);
    let asked = futures_util::future::join_all(nodes.iter().map(AdminNode::get_members)).await;
    let statuses = futures_util::future::join_all(nodes.iter().map(AdminNode::get_status)).await;
    let versions: BTreeMap<u64, String> =
        statuses.into_iter().flatten().map(|status| (status.node_id, status.version)).collect();
    let why = asked.iter().find_map(|answer| answer.as_ref().err().map(|error| chain(error)));
    let mut answers: Vec<GetMembersResponse> = asked.into_iter().flatten().collect();
    let Some(newest) = answers.iter().map(|one| (one.term, one.layout_version)).max() else {
        return Err(Failure::Connect { why: why.unwrap_or_default() });
    };
    // A deposed leader may not know it yet: the higher term is the later one.
    let leading = answers.iter().position(|one| one.leader_id == one.node_id && one.term == newest.0);
    let at = match leading {
        Some(at) => at,
        None if session.global.stale => {
            answers.iter().position(|one| (one.term, one.layout_version) == newest).unwrap_or(0)
        }
        None => return Err(Failure::NoLeader),
    };
    Ok(Picture { members: answers.swap_remove(at), versions })
}

/// The node that leads, and the members as it has them.
async fn leader(cluster: &Cluster) -> Result<(AdminNode, GetMembersResponse), Failure> {
    let (leader, _) = cluster.leader().await.ok_or(Failure::NoLeader)?;
    let members = leader.get_members().await?;
    Ok((leader, members))
}

/// A node by its name, its number, or the beginning of its name. Of nodes with one name the one that was not removed.
fn find<'a>(members: &'a GetMembersResponse, text: &str) -> Result<&'a NodeStanding, Failure> {
    let number = text.parse::<u64>().ok();
    if let Some(node) = members.nodes.iter().find(|node| Some(node.node_id) == number) {
        return Ok(node);
    }
    let of = |fits: &dyn Fn(&NodeStanding) -> bool| -> Vec<&'a NodeStanding> {
        let all: Vec<_> = members.nodes.iter().filter(|node| fits(node)).collect();
        let here: Vec<_> = all.iter().copied().filter(|node| node.standing() != Standing::Removed).collect();
        if here.is_empty() { all } else { here }
    };
    let mut found = of(&|node| node.name == text);
    if found.is_empty() && !text.is_empty() {
        found = of(&|node| node.name.starts_with(text));
    }
    match found.as_slice() {
        [node] => Ok(node),
        [] => Err(Failure::NotFound { what: Word::Node, text: text.to_owned() }),
        many => Err(Failure::AmbiguousId {
            what: Word::Node,
            text: text.to_owned(),
            matches: many.iter().take(5).map(|node| format!("{} ({})", node.name, node.node_id)).collect(),
        }),
    }
}

fn rank(standing: Standing) -> Rank {
    match standing {
        Standing::Voter => Rank::Voter,
        Standing::Learner | Standing::Unspecified => Rank::Learner,
        Standing::Removed => Rank::Removed,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn members() -> GetMembersResponse {
        let node = |node_id, name: &str, standing: Standing| NodeStanding {
            node_id,
            name: name.into(),
            standing: standing.into(),
            ..NodeStanding::default()
        };
        let nodes = vec![
            node(1, "centro", Standing::Voter),
            node(2, "jardins", Standing::Removed),
            node(3, "jardins", Standing::Voter),
            node(4, "jardim-2", Standing::Learner),
        ];
        GetMembersResponse { nodes, ..GetMembersResponse::default() }
    }

    #[test]
    fn a_node_is_found_by_name_number_or_the_beginning_of_its_name() {
        let members = members();
        let number = |text: &str| find(&members, text).map(|node| node.node_id);
        assert_eq!(number("centro").unwrap(), 1);
        assert_eq!(number("2").unwrap(), 2, "a number means one node only, removed or not");
        assert_eq!(number("jardins").unwrap(), 3, "the one that was not removed");
        assert_eq!(number("c").unwrap(), 1);
        assert!(matches!(number("jard"), Err(Failure::AmbiguousId { matches, .. }) if matches.len() == 2));
        assert!(matches!(number("moema"), Err(Failure::NotFound { .. })));
        assert!(matches!(number(""), Err(Failure::NotFound { .. })));
    }

    /// Two operators at once: a script must tell "wait" from "never like this".
    #[test]
    fn each_refusal_of_members_has_its_exit_code() {
        for code in [1203, 1721, 1722, 1723, 2621, 2623, 2624] {
            assert_eq!(Exit::of_rejection(code), Exit::Refused, "{code}");
        }
        assert_eq!(Exit::of_rejection(1724), Exit::Busy);
        assert_eq!(Exit::of_rejection(2622), Exit::Busy);
        assert_eq!(Failure::MembersUnderWay { why: String::new() }.exit(), Exit::Unknown);
        assert_eq!(Failure::OtherName { expected: "a".into(), actual: "b".into() }.exit(), Exit::Refused);
    }
}
