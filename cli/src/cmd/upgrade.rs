//! `plantao upgrade`: what each node runs and reads while versions are mixed, and the end of that. What it takes is decided by
//! the cluster; here it is shown, asked about, and sent to the leader.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::session::Session;
use crate::text::upgrade::UpgradeSay;
use crate::text::{Lang, Named, Say, Word};
use crate::when;
use clap::{Args, Subcommand};
use plantao_client::{AdminNode, Cluster};
use plantao_proto::admin::v1::{FinalizeUpgradeRequest, GetUpgradeResponse, NodeProgram};
use serde_json::{Map, json};

/// Rolling upgrades.
#[derive(Debug, Subcommand)]
pub(crate) enum UpgradeCommand {
    /// Show the version and format levels of each node, what is missing, and the next command
    Status,
    /// Raise the format level, for good: older programs do not come back
    Finalize(FinalizeArgs),
}

/// To where, and why.
#[derive(Debug, Args)]
pub(crate) struct FinalizeArgs {
    /// The level to raise to; default: the newest that every node reads
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(2..))]
    to: Option<u32>,
    /// Why; kept in the network for its operators
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Say whether it would be accepted, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask: the network's name once more
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

/// Runs it.
pub(crate) async fn run(command: UpgradeCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        UpgradeCommand::Status => {
            let (cluster, _) = session.admin()?;
            let (_, picture) = picture(&cluster, session).await?;
            session.out.report(&report(&picture, session.out.lang, &|ms| session.zone.minute(ms, session.out.lang)))?;
            Ok(Exit::Done)
        }
        UpgradeCommand::Finalize(args) => finalize(args, session).await,
    }
}

/// What the leader finds, or, where the leader's program is too old to be asked, another node; with `--stale` also where none
/// leads. Any node asks all others and has the same rows.
async fn picture(cluster: &Cluster, session: &Session) -> Result<(AdminNode, GetUpgradeResponse), Failure> {
    let mut first = None;
    match cluster.leader().await {
        Some((leader, _)) => match leader.get_upgrade().await {
            Ok(answer) => return Ok((leader, answer)),
            Err(error) => first = Some(error),
        },
        None if session.global.stale => {}
        None => return Err(Failure::NoLeader),
    }
    let nodes = Session::nodes(cluster);
    let asked = futures_util::future::join_all(nodes.iter().map(AdminNode::get_upgrade)).await;
    let mut answers = Vec::new();
    for (node, answer) in nodes.into_iter().zip(asked) {
        match answer {
            Ok(answer) => answers.push((node, answer)),
            Err(error) => first = first.or(Some(error)),
        }
    }
    // The one that knows the highest level knows most.
    let newest = answers.into_iter().max_by_key(|(_, one)| (one.level, one.term));
    newest.ok_or_else(|| first.map_or(Failure::NoLeader, Failure::from))
}

/// The newest level that every node reads; `None` where one does not answer.
fn common(picture: &GetUpgradeResponse) -> Option<u32> {
    let reads = picture.nodes.iter().map(|node| node.answers.then_some(node.level_max));
    reads.collect::<Option<Vec<u32>>>()?.into_iter().min()
}

/// The level that an upgrade leads to: the newest that any node reads.
fn target(picture: &GetUpgradeResponse) -> u32 {
    picture.nodes.iter().map(|node| node.level_max).max().unwrap_or_default().max(picture.level)
}

fn state(node: &NodeProgram, target: u32) -> UpgradeSay {
    match node.level_max {
        _ if !node.answers => UpgradeSay::Silent,
        newest if newest < target => UpgradeSay::ReadsUpTo(newest),
        _ => UpgradeSay::Ready,
    }
}

fn told(lang: Lang, say: UpgradeSay) -> String {
    lang.say(&Say::Upgrade(say))
}

fn report(picture: &GetUpgradeResponse, lang: Lang, minute: &dyn Fn(i64) -> String) -> Report {
    let (common, target) = (common(picture), target(picture));
    let waiting: Vec<String> = picture
        .nodes
        .iter()
        .filter(|node| state(node, target) != UpgradeSay::Ready)
        .map(|node| node.name.clone())
        .collect();
    let can_end = common.filter(|common| *common > picture.level);
    let next = if !waiting.is_empty() {
        UpgradeSay::GoesOn { waiting: waiting.clone() }
    } else if let Some(to) = can_end {
        UpgradeSay::CanEnd { to }
    } else {
        UpgradeSay::Nothing
    };
    let mut footer = vec![told(lang, UpgradeSay::Level { level: picture.level, common })];
    if picture.raised_ms != 0 {
        footer.push(format!("{}: {} · {}", lang.word(Word::At), minute(picture.raised_ms), picture.reason));
    }
    footer.push(told(lang, next));
    let row = |node: &NodeProgram| {
        let state = state(node, target);
        let tone = if state == UpgradeSay::Ready { Tone::Plain } else { Tone::Bad };
        let known = |text: String| if node.answers { text } else { "–".to_owned() };
        let role = if node.voter { Word::RoleVoter } else { Word::RoleLearner };
        vec![
            Cell::from(node.node_id.to_string()),
            node.name.as_str().into(),
            lang.word(role).into(),
            known(node.version.clone()).into(),
            known(format!("{}–{}", node.level_min, node.level_max)).into(),
            Cell { text: told(lang, state), tone },
        ]
    };
    let value = |node: &NodeProgram| {
        json!({
            "node_id": node.node_id,
            "name": node.name,
            "voter": node.voter,
            "answers": node.answers,
            "version": node.answers.then_some(&node.version),
            "level_min": node.answers.then_some(node.level_min),
            "level_max": node.answers.then_some(node.level_max),
            "ready": state(node, target) == UpgradeSay::Ready,
        })
    };
    let columns = vec![
        Column::number(Word::Id),
        Column::of(Word::Node),
        Column::of(Word::Role),
        Column::of(Word::Version),
        Column::of(Word::Levels),
        Column::of(Word::State),
    ];
    Report {
        kind: "upgrade",
        head: Map::from_iter([
            ("cluster_name".to_owned(), json!(picture.cluster_name)),
            ("level".to_owned(), json!(picture.level)),
            ("raised_at".to_owned(), json!((picture.raised_ms != 0).then(|| when::rfc3339(picture.raised_ms)))),
            ("reason".to_owned(), json!((picture.raised_ms != 0).then_some(&picture.reason))),
            ("common_level_max".to_owned(), json!(common)),
            ("can_finalize_to".to_owned(), json!(can_end)),
            ("waits_for".to_owned(), json!(waiting)),
        ]),
        items: Items::Many("nodes", picture.nodes.iter().map(value).collect()),
        table: Table { footer, ..Table::new(columns, picture.nodes.iter().map(row).collect()) },
    }
}

async fn finalize(args: FinalizeArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let (node, seen) = picture(&cluster, session).await?;
    // Where not every node reads it, the trial below says which.
    let to = args.to.unwrap_or_else(|| common(&seen).filter(|common| *common > seen.level).unwrap_or(target(&seen)));
    let note = |say| session.out.note(&Say::Upgrade(say));
    let request =
        FinalizeUpgradeRequest { seen_level: seen.level, to_level: to, reason: args.reason.clone(), dry_run: false };
    if to > seen.level {
        note(UpgradeSay::Plan { from: seen.level, to });
        note(UpgradeSay::NoWayBack { to });
        let trial = FinalizeUpgradeRequest { dry_run: true, ..request.clone() };
        node.finalize_upgrade(trial).await.map_err(Failure::of_order)?;
        if args.dry_run {
            note(UpgradeSay::WouldDo);
        } else {
            session.confirm_name(args.confirm.as_deref(), Named::Network, &seen.cluster_name, &label)?;
        }
    }
    let (level, changed) = if args.dry_run || to <= seen.level {
        (seen.level, false)
    } else {
        let done = node.finalize_upgrade(request).await.map_err(Failure::of_order)?;
        (done.level, done.changed)
    };
    session.out.report(&done(session.out.lang, seen.level, level, (to > seen.level).then_some(to), changed))?;
    Ok(Exit::Done)
}

fn done(lang: Lang, before: u32, level: u32, asked: Option<u32>, changed: bool) -> Report {
    let say = match asked {
        Some(_) if changed => UpgradeSay::Done { level },
        Some(_) => UpgradeSay::WouldDo,
        None => UpgradeSay::AlreadySo { level },
    };
    Report {
        kind: "upgrade_finalize",
        head: Map::new(),
        items: Items::One(
            "upgrade_finalize",
            json!({"level_before": before, "level": level, "level_asked": asked.unwrap_or(level), "changed": changed}),
        ),
        table: Table::pairs(
            lang,
            vec![(Word::Outcome, told(lang, say).into()), (Word::Levels, format!("{before} → {level}").into())],
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod samples {
    //! Two nodes of three on the new program; all of them; and an upgrade that was ended.
    use super::*;
    use crate::golden::{MOMENT, zone};

    fn node(node_id: u64, name: &str, version: &str, level_max: u32) -> NodeProgram {
        let (answers, voter) = (level_max > 0, name != "moema");
        NodeProgram { node_id, name: name.into(), voter, answers, version: version.into(), level_min: 1, level_max }
    }

    fn picture(nodes: Vec<NodeProgram>) -> GetUpgradeResponse {
        let cluster_name = "estetica-sul".into();
        GetUpgradeResponse { cluster_name, node_id: 1, leader_id: 1, term: 18, level: 1, nodes, ..Default::default() }
    }

    fn shown(lang: Lang, picture: &GetUpgradeResponse) -> Report {
        report(picture, lang, &|ms| zone().minute(ms, lang))
    }

    pub(crate) fn under_way(lang: Lang) -> Report {
        let nodes = vec![
            node(1, "centro", "0.1.0", 1),
            node(2, "jardins", "0.2.0\u{1b}[2J", 2),
            node(3, "cofre", "0.2.0", 2),
            node(4, "moema", "", 0),
        ];
        shown(lang, &picture(nodes))
    }

    pub(crate) fn can_end(lang: Lang) -> Report {
        let nodes = vec![node(1, "centro", "0.2.0", 2), node(2, "jardins", "0.2.0", 2), node(3, "cofre", "0.2.0", 2)];
        shown(lang, &picture(nodes))
    }

    pub(crate) fn ended(lang: Lang) -> Report {
        let nodes = vec![node(1, "centro", "0.2.0", 2), node(2, "jardins", "0.2.0", 2), node(3, "cofre", "0.2.0", 2)];
        let reason = "todos na 0.2.0".into();
        shown(lang, &GetUpgradeResponse { level: 2, raised_ms: MOMENT, reason, ..picture(nodes) })
    }

    pub(crate) fn finalized(lang: Lang) -> Report {
        done(lang, 1, 2, Some(2), true)
    }

    #[test]
    fn one_node_that_is_silent_or_old_keeps_the_level_where_it_is() {
        let mut all = picture(vec![node(1, "centro", "0.2.0", 2), node(2, "jardins", "0.2.0", 3)]);
        assert_eq!((common(&all), target(&all)), (Some(2), 3));
        all.nodes.push(node(3, "cofre", "", 0));
        assert_eq!((common(&all), state(&all.nodes[2], 2)), (None, UpgradeSay::Silent));
        assert_eq!(state(&all.nodes[0], 3), UpgradeSay::ReadsUpTo(2));
    }
}
