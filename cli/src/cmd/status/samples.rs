//! Fixed answers: three nodes in good order, and the same with one of them lost.

use super::*;
use crate::golden::{MOMENT, zone};
use crate::output::Report;
use crate::text::Lang;
use plantao_proto::admin::v1::Warning;

fn member(node_id: u64, name: &str, site: &str, role: NodeRole) -> Member {
    Member {
        node_id,
        name: name.into(),
        site: site.into(),
        country: "BR".into(),
        medium: if name == "cofre" { "hdd" } else { "ssd" }.into(),
        peer_address: format!("10.0.0.{node_id}:7001"),
        role: role.into(),
        keyed: name != "cofre",
        matched_index: 918_204,
        last_contact_ms: (role != NodeRole::Leader).then_some(40),
        behind_ms: Some(0),
        clock_offset_ms: (role != NodeRole::Leader).then_some(i64::try_from(node_id).unwrap() - 4),
        clock_uncertainty_ms: (role != NodeRole::Leader).then_some(1),
    }
}

fn members() -> Vec<Member> {
    vec![
        member(1, "centro", "sp-centro", NodeRole::Leader),
        member(2, "jardins", "sp-jardins", NodeRole::Voter),
        member(3, "cofre", "campinas", NodeRole::Voter),
    ]
}

fn own(node_id: u64, role: NodeRole, applied_index: u64) -> GetStatusResponse {
    let members = members();
    let name = members.iter().find(|member| member.node_id == node_id).unwrap().name.clone();
    GetStatusResponse {
        cluster_id: vec![0x7f, 0x3a, 0x9c, 0x21, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16].into(),
        cluster_name: "estetica-sul".into(),
        incarnation: 1,
        node_id,
        unsealed: name != "cofre",
        engine: if name == "cofre" { "sled" } else { "fjall" }.into(),
        node_name: name,
        role: role.into(),
        term: 18,
        leader_id: 1,
        last_log_index: 918_204,
        committed_index: 918_204,
        applied_index,
        members: if role == NodeRole::Leader {
            members
        } else {
            members
                .into_iter()
                .map(|member| Member { matched_index: 0, last_contact_ms: None, behind_ms: None, ..member })
                .collect()
        },
        leader_contact_ms: 40,
        version: "0.1.0".into(),
        now_ms: MOMENT,
        certificate_not_after_ms: MOMENT + 61 * DAY_MS + 1,
        ..GetStatusResponse::default()
    }
}

fn asked(answers: Vec<Result<GetStatusResponse, &str>>) -> Vec<Asked> {
    let asked = answers.into_iter().enumerate().map(|(position, answer)| Asked {
        address: format!("127.0.0.1:720{position}"),
        answer: answer.map_err(str::to_owned),
    });
    asked.collect()
}

fn view(lang: Lang, asked: &[Asked]) -> Report {
    let zone = zone();
    Status::merge(asked).unwrap().view(&View { lang, zone: &zone, label: "PRODUÇÃO", now_ms: MOMENT })
}

fn healthy() -> Vec<Asked> {
    asked(vec![
        Ok(own(1, NodeRole::Leader, 918_204)),
        Ok(own(2, NodeRole::Voter, 918_204)),
        Ok(own(3, NodeRole::Voter, 918_201)),
    ])
}

fn degraded() -> Vec<Asked> {
    let mut leader = own(1, NodeRole::Leader, 918_204);
    leader.members[2].last_contact_ms = Some(41_000);
    leader.members[2].matched_index = 917_392;
    leader.members[2].behind_ms = Some(41_000);
    leader.members[1].clock_offset_ms = Some(-3_600_000);
    leader.images = Some(ImageCopies {
        images: 12,
        nodes: vec![
            NodeCopies {
                node_id: 1,
                medium: "ssd".into(),
                expected_chunks: 400,
                received_chunks: 400,
                ..NodeCopies::default()
            },
            NodeCopies {
                node_id: 3,
                medium: "hdd".into(),
                expected_chunks: 400,
                received_chunks: 389,
                backlog_chunks: 11,
                backlog_bytes: 11_000_000,
                backlog_ms: Some(88_000),
                ..NodeCopies::default()
            },
        ],
        ..ImageCopies::default()
    });
    leader.warnings = vec![Warning {
        code: 6001,
        message: "the disk is nearly full".into(),
        help: "free some space\u{1b}[2J".into(),
    }];
    let mut sealed = own(2, NodeRole::Voter, 918_204);
    sealed.unsealed = false;
    sealed.certificate_not_after_ms = MOMENT + 9 * DAY_MS + 1;
    let ends = "this node's certificate expires in 9 days, and a third of its life or less is left";
    let help = "renew it where the authority is kept: plantao pki renew --nodes";
    sealed.warnings = vec![Warning { code: 2301, message: ends.into(), help: help.into() }];
    asked(vec![Ok(leader), Ok(sealed), Err("connection refused")])
}

/// The units do not reach each other, the off-site node reaches both; the off-site node's word on the units' calls is
/// a little older.
fn cut() -> Vec<Asked> {
    let mut asked = healthy();
    for one in &mut asked {
        let own = one.answer.as_mut().unwrap();
        let pairs = [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)];
        let link = |(from, to): (u64, u64)| Link {
            from_node_id: from,
            to_node_id: to,
            reachable: from + to != 3,
            since_ms: MOMENT - if from + to == 3 { 42_000 } else { 3_600_000 } - i64::from(own.node_id != from),
            cut: from + to == 3,
        };
        own.links = pairs.into_iter().map(link).collect();
        let message = "told in the reader's language instead".into();
        own.warnings = vec![Warning { code: LINK_CUT, message, help: String::new() }];
    }
    let leader = asked[0].answer.as_mut().unwrap();
    leader.members[1].last_contact_ms = Some(42_000);
    asked
}

fn lost() -> Vec<Asked> {
    let alone = GetStatusResponse { leader_contact_ms: 41_000, ..own(2, NodeRole::Candidate, 918_204) };
    asked(vec![Err("connection refused"), Ok(alone), Err("connection refused")])
}

pub(crate) fn good(lang: Lang) -> Report {
    view(lang, &healthy())
}

pub(crate) fn attention(lang: Lang) -> Report {
    view(lang, &degraded())
}

pub(crate) fn link_cut(lang: Lang) -> Report {
    view(lang, &cut())
}

pub(crate) fn no_quorum(lang: Lang) -> Report {
    view(lang, &lost())
}

#[test]
fn check_tells_good_from_degraded_from_lost() {
    let exit = |asked: &[Asked]| Status::merge(asked).unwrap().exit();
    assert_eq!(exit(&healthy()), Exit::Done);
    assert_eq!(exit(&degraded()), Exit::Degraded);
    assert_eq!(exit(&lost()), Exit::NoLeader);
    assert_eq!(exit(&cut()), Exit::Degraded);
    assert!(Status::merge(&asked(vec![Err("x")])).is_none());
    assert_eq!(Status::merge(&healthy()).unwrap().spare(), Some(1));
    assert_eq!(Status::merge(&degraded()).unwrap().spare(), Some(0));
    assert_eq!(Status::merge(&lost()).unwrap().spare(), None);
}

// Forwarded ports that are gone, a firewall rule: one direction is named as one.
#[test]
fn a_link_is_told_once_and_with_its_direction() {
    let told = |asked: &[Asked]| {
        let cut = Status::merge(asked).unwrap().cut_links(&|at| (MOMENT - at).to_string());
        cut.iter().map(|say| Lang::En.say(say)).collect::<Vec<_>>()
    };
    let mut asked = cut();
    let [both] = told(&asked).try_into().unwrap();
    assert!(both.contains("centro (leader) ⇄ jardins") && both.contains("42000"), "{both}");
    // The node itself says that its own calls are answered again: its word counts.
    let jardins = asked[1].answer.as_mut().unwrap();
    jardins.links[2] = Link { reachable: true, cut: false, ..jardins.links[2] };
    let [one] = told(&asked).try_into().unwrap();
    assert!(one.contains("centro (leader) → jardins"), "{one}");
    assert_eq!(told(&healthy()), Vec::<String>::new());
}

#[test]
fn a_deposed_leader_is_not_believed() {
    let mut asked = healthy();
    let mut deposed = own(3, NodeRole::Leader, 918_000);
    deposed.term = 17;
    asked[2].answer = Ok(deposed);
    let status = Status::merge(&asked).unwrap();
    assert_eq!(status.leader, Some(Leader { id: 1, name: "centro".into(), term: 18 }));
    assert_eq!(status.nodes[2].role(&status), NodeRole::Voter);
    assert_eq!(status.find("jardins").unwrap().node_id, 2);
    assert_eq!(status.find("3").unwrap().name, "cofre");
    assert!(status.find("moema").is_none());
}

// What a script and a person at night decide by: seconds, clocks, whose view it is.
#[test]
fn ages_and_clocks_are_worth_a_word_only_when_they_matter() {
    let told = |change: &dyn Fn(&mut GetStatusResponse)| {
        let mut asked = healthy();
        change(asked[0].answer.as_mut().unwrap());
        let status = Status::merge(&asked).unwrap();
        status.warnings(&|_| String::new()).len()
    };
    assert_eq!(told(&|_| {}), 0);
    assert_eq!(told(&|leader| leader.members[1].behind_ms = Some(29_000)), 0);
    assert_eq!(told(&|leader| leader.members[1].behind_ms = Some(31_000)), 1);
    let clock = |offset, uncertainty| {
        told(&move |leader| {
            leader.members[1].clock_offset_ms = Some(offset);
            leader.members[1].clock_uncertainty_ms = Some(uncertainty);
        })
    };
    assert_eq!((clock(-1_500, 100), clock(-1_500, 600)), (1, 0), "a slow line is no wrong clock");
    let mut status = Status::merge(&healthy()).unwrap();
    assert_eq!(status.view_told(), None);
    status.stale = true;
    assert!(status.view_told().is_some());
}
