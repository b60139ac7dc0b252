//! Fixed answers for golden files and tests: a good network, and one with several faults.

use super::own::{Credential, Exchange, Gathered, NodeAnswer};
use super::*;
use crate::golden::MOMENT;
use plantao_proto::admin::v1::{DiagnoseResponse, GetStatusResponse, Member, NodeRole};

fn check(id: &str, case: &str, verdict: CheckVerdict, values: &[&str], seen: &str, help: &str) -> Check {
    Check {
        id: id.into(),
        case: case.into(),
        verdict: verdict.into(),
        seen: seen.into(),
        help: help.into(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    }
}

fn member(node_id: u64, name: &str, medium: &str) -> Member {
    Member {
        node_id,
        name: name.into(),
        site: format!("sp-{name}"),
        medium: medium.into(),
        role: if node_id == 1 { NodeRole::Leader } else { NodeRole::Voter }.into(),
        ..Member::default()
    }
}

fn node(node_id: u64, name: &str, checks: Vec<Check>) -> NodeAnswer {
    let members = vec![member(1, "centro", "ssd"), member(2, "jardins", "ssd"), member(3, "cofre", "hdd")];
    let role = members.iter().find(|member| member.node_id == node_id).unwrap().role();
    NodeAnswer {
        address: format!("10.0.0.{node_id}:7401"),
        answer: Ok(DiagnoseResponse {
            node_id,
            node_name: name.into(),
            version: "0.1.0".into(),
            now_ms: MOMENT,
            checks,
            took_ms: 9,
        }),
        status: Some(GetStatusResponse {
            cluster_id: vec![7; 16].into(),
            cluster_name: "estetica-sul".into(),
            node_id,
            node_name: name.into(),
            role: role.into(),
            term: 18,
            members,
            ..GetStatusResponse::default()
        }),
        clock: Some(Exchange { sent_ms: MOMENT, got_ms: MOMENT + 4, theirs_ms: MOMENT + 5 }),
    }
}

fn fine() -> Check {
    check("D02", "ok", CheckVerdict::Ok, &["41", "120 GB"], "41 % of the data disk are free (120 GB)", "")
}

fn healthy() -> Gathered {
    Gathered {
        now_ms: MOMENT,
        nodes: vec![node(1, "centro", vec![fine()]), node(2, "jardins", vec![fine()]), node(3, "cofre", vec![fine()])],
        public: vec![("10.0.0.1:7400".into(), Ok(()))],
        credentials: vec![Credential {
            file: "op.crt".into(),
            not_after: MOMENT / 1_000 + 61 * 86_400,
            renewal_due: MOMENT / 1_000 + 30 * 86_400,
            key_mode: 0o600,
        }],
    }
}

fn ill() -> Gathered {
    let mut gathered = healthy();
    let memory = check(
        "D05",
        "memory",
        CheckVerdict::Bad,
        &["tmpfs"],
        "the data directory is on tmpfs: everything is gone when the computer stops",
        "move node.data_dir to a disk\u{1b}[2J",
    );
    let newer = check("D99", "new", CheckVerdict::Attention, &[], "something of a newer node", "upgrade this tool");
    gathered.nodes[1] = node(2, "jardins", vec![fine(), memory, newer]);
    gathered.nodes[1].answer.as_mut().unwrap().version = "0.2.0".into();
    gathered.nodes[1].clock = Some(Exchange { sent_ms: MOMENT, got_ms: MOMENT + 4, theirs_ms: MOMENT - 3_600_000 });
    gathered.nodes[2].answer = Err("connection refused".into());
    gathered.nodes[2].status = None;
    gathered.nodes[2].clock = None;
    gathered.credentials[0].not_after = MOMENT / 1_000 + 3 * 86_400;
    gathered.credentials[0].renewal_due = MOMENT / 1_000 - 86_400;
    gathered
}

pub(crate) fn good(lang: Lang) -> Report {
    view(&findings(&healthy()), true, lang)
}

pub(crate) fn attention(lang: Lang) -> Report {
    view(&findings(&ill()), false, lang)
}

fn wrong(gathered: &Gathered) -> Vec<String> {
    let findings = findings(gathered);
    for finding in findings.iter().filter(|finding| finding.seen.is_none()) {
        let own = text::of_tool(&finding.id, &finding.case);
        assert!(own.is_some(), "{} {} has no text", finding.id, finding.case);
        assert!(!finding.told(Lang::PtBr).0.contains('{'), "{} {}", finding.id, finding.case);
    }
    let wrong = findings.iter().filter(|finding| !finding.fine());
    wrong.map(|finding| format!("{} {}", finding.id, finding.case)).collect()
}

#[test]
fn each_fault_that_only_the_caller_sees_is_found_and_nothing_else() {
    assert_eq!(wrong(&healthy()), Vec::<String>::new());
    assert_eq!(exit(&findings(&healthy())), Exit::Done);
    assert_eq!(exit(&findings(&ill())), Exit::Degraded);
    let status = |gathered: &mut Gathered, change: fn(&mut GetStatusResponse)| {
        gathered.nodes.iter_mut().filter_map(|node| node.status.as_mut()).for_each(change);
    };
    type Change = Box<dyn Fn(&mut Gathered)>;
    let faults: Vec<(&[&str], Change)> = vec![
        (&["D31 exposed"], Box::new(|gathered| gathered.credentials[0].key_mode = 0o644)),
        (
            &["D31 ends"],
            Box::new(|gathered| {
                gathered.credentials[0].not_after = MOMENT / 1_000 + 86_400;
                gathered.credentials[0].renewal_due = 0;
            }),
        ),
        (
            &["D32 off"],
            Box::new(|gathered| gathered.nodes[0].clock.iter_mut().for_each(|clock| clock.theirs_ms += 60_000)),
        ),
        (&["D33 public-silent"], Box::new(|gathered| gathered.public[0].1 = Err("refused".into()))),
        (&["D33 admin-silent"], Box::new(|gathered| gathered.nodes[2].answer = Err("refused".into()))),
        (
            &["D34 other"],
            Box::new(|gathered| gathered.nodes[2].status.as_mut().unwrap().cluster_id = vec![8; 16].into()),
        ),
        (&["D34 twice"], Box::new(|gathered| gathered.nodes[2].status.as_mut().unwrap().node_id = 1)),
        (&["D35 skew"], Box::new(|gathered| gathered.nodes[2].answer.as_mut().unwrap().version = "0.2.0".into())),
        (&["D36 few"], Box::new(move |gathered| status(gathered, |status| drop(status.members.remove(0))))),
        (
            &["D36 even"],
            Box::new(move |gathered| status(gathered, |status| status.members.push(member(4, "moema", "ssd")))),
        ),
        (&["D36 unknown"], Box::new(|gathered| gathered.nodes.iter_mut().for_each(|node| node.status = None))),
        (
            &["D37 one-medium", "D37 one-site"],
            Box::new(move |gathered| {
                status(gathered, |status| {
                    for member in &mut status.members {
                        (member.site, member.medium) = ("sp".into(), "ssd".into());
                    }
                });
            }),
        ),
    ];
    for (expected, change) in faults {
        let mut gathered = healthy();
        change(&mut gathered);
        let mut found = wrong(&gathered);
        found.sort();
        assert_eq!(found, expected);
    }
}

// A slow line is no wrong clock.
#[test]
fn what_the_way_takes_is_not_held_against_a_clock() {
    let mut gathered = healthy();
    let far = Exchange { sent_ms: MOMENT, got_ms: MOMENT + 8_000, theirs_ms: MOMENT };
    gathered.nodes[0].clock = Some(far);
    assert_eq!(wrong(&gathered), Vec::<String>::new());
}
