//! `plantao quorum recover`: a survivor that runs goes on alone. Whether it may is checked by that node, which asks the others
//! itself; here what may be lost is shown, confirmed with the network's name, and followed until the node is back.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Items, Report, Table};
use crate::session::Session;
use crate::text::quorum::QuorumSay;
use crate::text::{Lang, Named, Say, Word};
use crate::when;
use clap::Args;
use plantao_client::AdminNode;
use plantao_proto::admin::v1::{GetStatusResponse, NodeRole, RecoverQuorumRequest, RecoverQuorumResponse};
use serde_json::{Map, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at the node.
const PAUSE: Duration = Duration::from_millis(500);

/// Who goes on, and why.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// The node that goes on, by name or number; every other one joins as a new one
    #[arg(long, value_name = "NODE")]
    keep: String,
    /// Why; its digest goes into the audit trail, so name no patient
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
pub(super) async fn run(args: RecoverArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, label) = session.admin()?;
    let (node, before) = find(Session::nodes(&cluster), &args.keep).await?;
    let request = RecoverQuorumRequest {
        node_id: before.node_id,
        cluster_name: before.cluster_name.clone(),
        reason: args.reason,
        dry_run: true,
    };
    let note = |say| session.out.note(&Say::Quorum(say));
    let would = node.recover_quorum(request.clone()).await.map_err(Failure::of_order)?;
    let lang = session.out.lang;
    let silent = would.voters.iter().filter(|voter| !voter.answers).map(|voter| voter.name.clone()).collect();
    let at = session.zone.second(would.last_write_ms, lang);
    note(QuorumSay::Plan { keep: before.node_name.clone(), incarnation: would.incarnation });
    note(QuorumSay::Silent { names: silent });
    note(QuorumSay::Loss { index: would.last_log_index, at });
    if args.dry_run {
        note(QuorumSay::WouldDo);
        session.out.report(&report(lang, &before, &would, false))?;
        return Ok(Exit::Done);
    }
    session.confirm_name(args.confirm.as_deref(), Named::Network, &before.cluster_name, &label)?;
    let done = match node.recover_quorum(RecoverQuorumRequest { dry_run: false, ..request }).await {
        Ok(done) => done,
        // The node may have stopped before its answer was here: its incarnation tells.
        Err(error) if error.code().is_none() => would,
        Err(error) => return Err(Failure::of_order(error)),
    };
    note(QuorumSay::Accepted);
    follow(&node, done.incarnation, session).await?;
    session.out.report(&report(lang, &before, &done, true))?;
    note(QuorumSay::Next);
    Ok(Exit::Done)
}

/// The node of that name or number, and what it says of itself. It must answer: nobody else can do it for it.
async fn find(nodes: Vec<AdminNode>, wanted: &str) -> Result<(AdminNode, GetStatusResponse), Failure> {
    let asked = futures_util::future::join_all(nodes.iter().map(AdminNode::get_status)).await;
    let mut found = nodes.into_iter().zip(asked).filter_map(|(node, answer)| Some((node, answer.ok()?)));
    let is_it = |status: &GetStatusResponse| status.node_name == wanted || status.node_id.to_string() == wanted;
    let not_there = || Failure::NotFound { what: Word::Node, text: wanted.to_owned() };
    found.find(|(_, status)| is_it(status)).ok_or_else(not_there)
}

/// Until it leads in the new incarnation.
async fn follow(node: &AdminNode, incarnation: u32, session: &Session) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(session.global.timeout);
    loop {
        if let Ok(status) = node.get_status().await
            && status.incarnation >= incarnation
            && status.role() == NodeRole::Leader
        {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Failure::RecoveryUnderWay);
        }
        sleep(PAUSE).await;
    }
}

fn report(lang: Lang, node: &GetStatusResponse, told: &RecoverQuorumResponse, done: bool) -> Report {
    let voters = told.voters.iter().map(|voter| {
        json!({
            "node_id": voter.node_id,
            "name": voter.name,
            "answers": voter.answers,
            "applied_index": voter.answers.then_some(voter.applied_index),
        })
    });
    let say = if done { QuorumSay::Done { incarnation: told.incarnation } } else { QuorumSay::WouldDo };
    Report {
        kind: "quorum_recovery",
        head: Map::new(),
        items: Items::One(
            "quorum_recovery",
            json!({
                "cluster_name": node.cluster_name,
                "node_id": node.node_id,
                "name": node.node_name,
                "recovered": done,
                "incarnation": told.incarnation,
                "last_index": told.last_log_index,
                "last_write_at": when::rfc3339(told.last_write_ms),
                "voters": voters.collect::<Vec<_>>(),
            }),
        ),
        table: Table::pairs(
            lang,
            vec![
                (Word::Outcome, lang.say(&Say::Quorum(say)).into()),
                (Word::Node, node.node_name.as_str().into()),
                (Word::Index, told.last_log_index.to_string().into()),
            ],
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod samples {
    //! One of three survives.
    use super::*;
    use crate::golden::MOMENT;
    use plantao_proto::admin::v1::recover_quorum_response::Voice;

    pub(crate) fn recovered(lang: Lang) -> Report {
        let voice =
            |node_id, name: &str, answers| Voice { node_id, name: name.into(), answers, applied_index: 918_204 };
        let voters = vec![voice(1, "centro", false), voice(2, "jardins", false), voice(3, "cofre", true)];
        let told = RecoverQuorumResponse { incarnation: 2, last_log_index: 918_204, last_write_ms: MOMENT, voters };
        let node = GetStatusResponse {
            cluster_name: "estetica-sul".into(),
            node_id: 3,
            node_name: "cofre".into(),
            ..GetStatusResponse::default()
        };
        report(lang, &node, &told, true)
    }
}
