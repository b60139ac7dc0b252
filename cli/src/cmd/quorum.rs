//! `plantao quorum`: `recover` stands in a file of its own; `show` says who votes, who answers, and what would be lost if the others never came back. Asks every admin
//! endpoint and needs no leader. What a survivor has to the entry is told by `plantaod quorum show` on the stopped node.

pub(crate) mod recover;

use crate::cmd::status::{self, Asked};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::session::Session;
use crate::text::{Lang, Say, Word};
use clap::Subcommand;
use plantao_proto::admin::v1::{GetStatusResponse, NodeRole};
use serde_json::{Map, json};
use std::collections::BTreeMap;

/// The majority of the voters.
#[derive(Debug, Subcommand)]
pub(crate) enum QuorumCommand {
    /// Show who votes, who answers, and what would be lost if the others never came back
    Show,
    /// Have a survivor that runs go on alone: a majority is gone for good
    Recover(recover::RecoverArgs),
}

/// One member.
#[derive(Debug)]
struct Voice {
    name: String,
    voter: bool,
    /// Its last log index, if it answers.
    last: Option<u64>,
    /// How many entries that another node is known to have would be lost with this one alone.
    lost: Option<u64>,
}

/// What all answers say together.
#[derive(Debug)]
struct Picture {
    cluster: String,
    incarnation: u32,
    leader: Option<String>,
    nodes: BTreeMap<u64, Voice>,
    /// The highest index that any node is known to have.
    known: u64,
}

impl Picture {
    /// `None` when nobody answered.
    fn of(asked: &[Asked]) -> Option<Self> {
        let answers: Vec<&GetStatusResponse> = asked.iter().filter_map(|one| one.answer.as_ref().ok()).collect();
        // Members of the past say what they like; the newest incarnation is the network.
        let incarnation = answers.iter().map(|one| one.incarnation).max()?;
        let answers: Vec<_> = answers.into_iter().filter(|one| one.incarnation == incarnation).collect();
        let leading = answers.iter().filter(|one| one.role() == NodeRole::Leader).max_by_key(|one| one.term);
        let source = leading.or_else(|| answers.iter().max_by_key(|one| one.last_log_index))?;
        let own: BTreeMap<u64, u64> = answers.iter().map(|one| (one.node_id, one.last_log_index)).collect();
        let matched = source.members.iter().map(|member| member.matched_index);
        let known = own.values().copied().chain(matched).max().unwrap_or_default();
        let nodes = source.members.iter().map(|member| {
            let last = own.get(&member.node_id).copied();
            let voter = !matches!(member.role(), NodeRole::Learner | NodeRole::Unspecified);
            let lost = last.map(|last| known.saturating_sub(last));
            (member.node_id, Voice { name: member.name.clone(), voter, last, lost })
        });
        Some(Self {
            cluster: source.cluster_name.clone(),
            incarnation,
            leader: leading.map(|leader| leader.node_name.clone()),
            nodes: nodes.collect(),
            known,
        })
    }

    fn voters(&self) -> usize {
        self.nodes.values().filter(|node| node.voter).count()
    }

    fn answering(&self) -> usize {
        self.nodes.values().filter(|node| node.voter && node.last.is_some()).count()
    }

    fn has_quorum(&self) -> bool {
        self.answering() * 2 > self.voters()
    }

    /// The answering node with the latest entry: what a recovery would begin with, if the others are gone for good.
    fn best(&self) -> Option<&Voice> {
        self.nodes.values().filter(|node| node.last.is_some()).max_by_key(|node| (node.last, node.voter))
    }

    fn report(&self, lang: Lang) -> Report {
        let cell = |tone, text: String| Cell { text, tone };
        let rows = self.nodes.iter().map(|(id, node)| {
            let role = if node.voter { Word::RoleVoter } else { Word::RoleLearner };
            let answers = if node.last.is_some() { Word::Yes } else { Word::No };
            let tone = if node.last.is_some() { Tone::Plain } else { Tone::Bad };
            let number = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
            vec![
                cell(tone, format!("{} ({id})", node.name)),
                lang.word(role).into(),
                lang.word(answers).into(),
                number(node.last).into(),
                number(node.lost).into(),
            ]
        });
        let values = self.nodes.iter().map(|(id, node)| {
            json!({
                "node_id": id,
                "name": node.name,
                "voter": node.voter,
                "answers": node.last.is_some(),
                "last_index": node.last,
                "lost_entries_at_least": node.lost,
            })
        });
        Report {
            kind: "quorum",
            head: Map::from_iter([
                ("cluster".to_owned(), json!(self.cluster)),
                ("incarnation".to_owned(), json!(self.incarnation)),
                ("leader".to_owned(), json!(self.leader)),
                ("has_quorum".to_owned(), json!(self.has_quorum())),
                ("voters".to_owned(), json!(self.voters())),
                ("voters_answering".to_owned(), json!(self.answering())),
                ("last_known_index".to_owned(), json!(self.known)),
                ("latest_node".to_owned(), json!(self.best().map(|node| &node.name))),
            ]),
            items: Items::Many("nodes", values.collect()),
            table: Table::new(
                vec![
                    Column::of(Word::Node),
                    Column::of(Word::Role),
                    Column::of(Word::Answers),
                    Column::number(Word::Index),
                    Column::number(Word::WouldLose),
                ],
                rows.collect(),
            ),
        }
    }

    fn told(&self) -> Say {
        let (answering, voters) = (self.answering(), self.voters());
        if self.has_quorum() {
            Say::QuorumThere { answering, voters }
        } else {
            Say::QuorumLost { answering, voters, latest: self.best().map(|node| node.name.clone()).unwrap_or_default() }
        }
    }
}

/// Runs it. Ends with 5 when no majority of the voters answers.
pub(crate) async fn run(command: QuorumCommand, session: &Session) -> Result<Exit, Failure> {
    if let QuorumCommand::Recover(args) = command {
        return recover::run(args, session).await;
    }
    let (cluster, _) = session.admin()?;
    let asked = status::ask(&cluster).await;
    let picture = Picture::of(&asked).ok_or_else(|| Failure::Connect {
        why: asked.iter().find_map(|one| one.answer.as_ref().err()).cloned().unwrap_or_default(),
    })?;
    session.out.report(&picture.report(session.out.lang))?;
    session.out.note(&picture.told());
    Ok(if picture.has_quorum() { Exit::Done } else { Exit::NoLeader })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod samples {
    //! Two of three voters gone, and none.
    use super::*;
    use plantao_proto::admin::v1::Member;

    fn answer(node_id: u64, last_log_index: u64, leads: bool) -> Asked {
        let members = [(1, "centro"), (2, "jardins"), (3, "cofre"), (4, "leitura")].map(|(id, name)| Member {
            node_id: id,
            name: name.into(),
            role: if id == 4 { NodeRole::Learner } else { NodeRole::Voter }.into(),
            matched_index: if leads { 918_211 } else { 0 },
            ..Member::default()
        });
        let own = GetStatusResponse {
            cluster_name: "estetica-sul".into(),
            incarnation: 1,
            node_id,
            node_name: members[usize::try_from(node_id).unwrap() - 1].name.clone(),
            role: if leads { NodeRole::Leader } else { NodeRole::Candidate }.into(),
            term: 18,
            last_log_index,
            members: members.into(),
            ..GetStatusResponse::default()
        };
        Asked { address: format!("127.0.0.1:720{node_id}"), answer: Ok(own) }
    }

    fn silent() -> Asked {
        Asked { address: "127.0.0.1:7201".into(), answer: Err("connection refused".into()) }
    }

    pub(crate) fn lost(lang: Lang) -> Report {
        Picture::of(&[silent(), silent(), answer(3, 918_204, false), answer(4, 918_190, false)]).unwrap().report(lang)
    }

    #[test]
    fn a_majority_of_voters_counts_and_not_of_nodes() {
        let all =
            Picture::of(&[answer(1, 918_211, true), answer(2, 918_211, false), answer(3, 918_204, false)]).unwrap();
        assert!(all.has_quorum() && matches!(all.told(), Say::QuorumThere { answering: 3, voters: 3 }));
        assert_eq!((all.nodes[&3].lost, all.nodes[&4].lost), (Some(7), None));
        let two = Picture::of(&[answer(3, 918_204, false), answer(4, 918_190, false)]).unwrap();
        assert!(!two.has_quorum(), "a learner does not vote");
        assert!(matches!(two.told(), Say::QuorumLost { answering: 1, voters: 3, latest } if latest == "cofre"));
        assert!(Picture::of(&[silent()]).is_none());
    }

    /// A member of the past may have the longer log and still says nothing about the network.
    #[test]
    fn the_newest_incarnation_is_the_network() {
        let mut recovered = answer(3, 12, true);
        recovered.answer.as_mut().unwrap().incarnation = 2;
        let picture = Picture::of(&[answer(1, 918_211, true), recovered]).unwrap();
        assert_eq!((picture.incarnation, picture.leader.as_deref()), (2, Some("cofre")));
        assert!(picture.nodes[&1].last.is_none());
    }
}
