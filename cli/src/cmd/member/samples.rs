//! Fixed answers: three members and a learner in good order, and a change that is half done.

use super::view::{Picture, View};
use crate::golden::{MOMENT, zone};
use crate::output::Report;
use crate::text::Lang;
use plantao_proto::admin::v1::{GetMembersResponse, MemberChange, MemberStep, NodeStanding, Standing, StepState};
use std::collections::BTreeMap;

fn node(node_id: u64, name: &str, site: &str, standing: Standing, voter: bool) -> NodeStanding {
    NodeStanding {
        node_id,
        name: name.into(),
        site: site.into(),
        country: "BR".into(),
        medium: if name == "cofre" { "hdd" } else { "ssd" }.into(),
        peer_address: format!("10.0.0.{node_id}:7402"),
        keyed: name != "cofre",
        standing: standing.into(),
        member: true,
        voter,
        lag_entries: Some(0),
        lag_ms: Some(0),
        last_contact_ms: (node_id != 1).then_some(40),
        joined_ms: MOMENT - 86_400_000,
        expected_chunks: 1_200,
        received_chunks: 1_200,
        ..NodeStanding::default()
    }
}

fn members() -> GetMembersResponse {
    GetMembersResponse {
        cluster_id: vec![0x7f, 0x3a, 0x9c, 0x21, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16].into(),
        cluster_name: "estetica-sul".into(),
        node_id: 1,
        leader_id: 1,
        term: 18,
        last_log_index: 918_204,
        layout_version: 4,
        nodes: vec![
            node(1, "centro", "sp-centro", Standing::Voter, true),
            node(2, "jardins", "sp-jardins", Standing::Voter, true),
            node(3, "cofre", "campinas", Standing::Voter, true),
            node(4, "moema", "sp-moema", Standing::Learner, false),
        ],
        staged: Vec::new(),
        steps: Vec::new(),
        now_ms: MOMENT,
        replace_silent_after_ms: 0,
    }
}

fn picture(members: GetMembersResponse) -> Picture {
    let versions = BTreeMap::from([(1, "0.1.0".to_owned()), (2, "0.1.0".to_owned()), (3, "0.1.0".to_owned())]);
    Picture { members, versions }
}

fn under_way() -> GetMembersResponse {
    let mut members = members();
    members.nodes[1].standing = Standing::Removed.into();
    members.nodes[1].last_contact_ms = Some(3_600_000);
    members.nodes[1].decided_ms = MOMENT - 60_000;
    members.nodes[1].decided_by = vec![9; 16].into();
    members.nodes[1].reason = "disco queimado\u{1b}[2J".into();
    members.nodes[3].standing = Standing::Voter.into();
    members.nodes[3].lag_entries = Some(8_120);
    members.nodes[3].lag_ms = Some(41_000);
    members.nodes[3].replaces_node_id = 2;
    let step = |node_id, to: Standing, state: StepState, lag_entries| MemberStep {
        node_id,
        to: to.into(),
        state: state.into(),
        lag_entries,
    };
    members.steps =
        vec![step(4, Standing::Voter, StepState::CatchingUp, 8_120), step(2, Standing::Removed, StepState::Later, 0)];
    members.replace_silent_after_ms = 86_400_000;
    members
}

fn with_view<T>(lang: Lang, show: impl FnOnce(&View<'_>) -> T) -> T {
    let zone = zone();
    show(&View { lang, zone: &zone, label: "PRODUÇÃO", now_ms: MOMENT })
}

pub(crate) fn list(lang: Lang) -> Report {
    with_view(lang, |view| picture(members()).list(view, false))
}

pub(crate) fn list_under_way(lang: Lang) -> Report {
    with_view(lang, |view| picture(under_way()).list(view, false))
}

pub(crate) fn show(lang: Lang) -> Report {
    with_view(lang, |view| picture(under_way()).one(view, 2))
}

pub(crate) fn diff(lang: Lang) -> Report {
    let mut members = members();
    let staged = |node_id, to: Standing| MemberChange { node_id, to: to.into() };
    members.staged = vec![staged(3, Standing::Learner), staged(2, Standing::Removed)];
    with_view(lang, |view| picture(members).diff(view))
}

pub(crate) fn diff_of_nothing(lang: Lang) -> Report {
    with_view(lang, |view| picture(members()).diff(view))
}
