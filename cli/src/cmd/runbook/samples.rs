//! A fixed network of two units and an off-site node, and networks in which somebody else leads, or nobody.

use super::*;
use crate::golden::{MOMENT, commands_in, shell_words, zone};
use crate::help;

fn member(node_id: u64, name: &str, role: NodeRole, keyed: bool) -> Member {
    Member {
        node_id,
        name: name.into(),
        site: format!("local-{name}"),
        country: "BR".into(),
        medium: if keyed { "ssd" } else { "hdd" }.into(),
        peer_address: format!("10.0.0.{node_id}:7402"),
        role: role.into(),
        keyed,
        ..Member::default()
    }
}

fn answer(node_id: u64, role: NodeRole, members: Vec<Member>) -> GetStatusResponse {
    GetStatusResponse {
        cluster_id: vec![0x7f, 0x3a, 0x9c, 0x21, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16].into(),
        cluster_name: "estetica-sul".into(),
        node_id,
        role: role.into(),
        term: 18,
        members,
        ..GetStatusResponse::default()
    }
}

fn three() -> Vec<Member> {
    vec![
        member(3, "cofre", NodeRole::Voter, false),
        member(1, "centro", NodeRole::Leader, true),
        member(2, "jardins", NodeRole::Voter, true),
    ]
}

fn network(answers: &[GetStatusResponse], contacts: &[&str]) -> Network {
    Network {
        label: "PRODUÇÃO".into(),
        made: zone().second(MOMENT, Lang::PtBr),
        contacts: contacts.iter().map(|text| contact(text).unwrap()).collect(),
        ..Network::of(answers).unwrap()
    }
}

/// Three nodes in good order, with somebody to call.
pub(crate) fn clinic() -> String {
    let answers = [answer(1, NodeRole::Leader, three()), answer(2, NodeRole::Voter, three())];
    let pages = pages::all(&network(&answers, &["Operação: 11 5555-0100", "DPO: dpo@estetica-sul.example"]));
    pages.iter().map(|page| format!("== {}\n{}", page.file, page.text)).collect()
}

#[test]
fn every_command_of_a_runbook_is_understood() {
    let single = vec![member(1, "centro", NodeRole::Leader, true)];
    let mut learner = three();
    learner.push(member(4, "moema", NodeRole::Learner, true));
    for answers in [
        [answer(1, NodeRole::Leader, three())],
        [answer(2, NodeRole::Candidate, three())],
        [answer(3, NodeRole::Leader, three())],
        [answer(1, NodeRole::Leader, single)],
        [answer(1, NodeRole::Leader, learner)],
    ] {
        let pages = pages::all(&network(&answers, &[]));
        for page in &pages {
            for command in commands_in(&page.text) {
                let parsed = help::pages(Lang::En).try_get_matches_from(shell_words(&command));
                assert!(parsed.is_ok(), "{}: {command}\n{}", page.file, parsed.unwrap_err());
            }
            assert!(page.text.starts_with(&format!("# {}\n", page.title)));
        }
        assert_eq!(pages.len(), answers[0].members.len() + 4);
    }
}

// Whoever reads "jardins assume" at night relies on it.
#[test]
fn units_take_over_before_the_off_site_node_and_never_a_learner() {
    let mut members = three();
    members.push(member(4, "moema", NodeRole::Learner, true));
    let network = network(&[answer(1, NodeRole::Leader, members)], &[]);
    let names: Vec<&str> = network.successors(1).iter().map(|place| place.name.as_str()).collect();
    assert_eq!(names, ["jardins", "cofre"]);
    assert_eq!((network.voters(), network.majority()), (3, 2));
}

#[test]
fn a_deposed_leader_is_not_believed_and_without_one_nobody_leads() {
    let mut deposed = answer(3, NodeRole::Leader, three());
    deposed.term = 17;
    assert_eq!(network(&[deposed, answer(1, NodeRole::Leader, three())], &[]).leader, Some(1));
    assert_eq!(network(&[answer(2, NodeRole::Candidate, three())], &[]).leader, None);
    assert!(Network::of(&[]).is_none());
    assert!(Network::of(&[answer(1, NodeRole::Leader, Vec::new())]).is_none());
}

/// Names become parts of file names and of commands.
#[test]
fn a_name_of_a_server_is_no_path_and_no_command() {
    let evil = vec![member(9, "../../etc/passwd`rm -rf`$(x)\u{1b}[2J", NodeRole::Leader, true)];
    let pages = pages::all(&network(&[answer(9, NodeRole::Leader, evil)], &[]));
    for page in &pages {
        assert!(page.file.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')), "{}", page.file);
        assert!(!page.file.contains(".."), "{}", page.file);
        assert!(
            !page.text.contains('\u{1b}') && !page.text.contains("`rm") && !page.text.contains("$("),
            "{}",
            page.text
        );
    }
    for bad in ["", "  ", "a\nb", &"x".repeat(121)] {
        assert!(contact(bad).is_err(), "{bad:?}");
    }
}
