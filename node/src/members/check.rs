//! Whether a change that an operator asks for is safe now. The rules know how many nodes are to vote; the leader knows which
//! of them answer.

use super::plan::{Plan, Wait, answers, has_quorum, ready};
use crate::consensus::Status;
use crate::gateway::Error;
use plantao_domain::layout::{self, MemberChange, Preview, Standing, Standings};
use plantao_domain::{Rejection, View, ViewFault};
use std::collections::BTreeSet;

/// What a change comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forecast {
    /// The layout's version before.
    pub version: u32,
    /// Nodes that vote afterwards.
    pub voters: usize,
    /// Those of them that answer now.
    pub answering: usize,
    /// How many of those that answer may be lost then.
    pub may_lose: usize,
}

/// Why a change is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The rules say no.
    #[error("{0}")]
    Rules(Rejection),
    /// Only a majority can commit anything.
    #[error("of the {voters} voters that would be left only {answering} answer")]
    NoQuorum {
        /// That would be left.
        voters: usize,
        /// Of them.
        answering: usize,
    },
    /// One step at a time.
    #[error("another change of members is still under way")]
    UnderWay,
    /// Its vote would count against a majority.
    #[error("node {node} does not answer, so it gets no vote")]
    Silent {
        /// Which.
        node: u64,
    },
    /// Somebody must lead.
    #[error("node {node} leads, and no other voter that stays could take the lead now")]
    NoSuccessor {
        /// The leader.
        node: u64,
    },
    /// Nothing was looked at.
    #[error(transparent)]
    Gateway(#[from] Error),
}

impl From<ViewFault> for Refusal {
    fn from(fault: ViewFault) -> Self {
        Self::Gateway(fault.into())
    }
}

impl Refusal {
    /// The number in `PLT-nnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Rules(rejection) => rejection.code(),
            Self::NoQuorum { .. } => 2621,
            Self::UnderWay => 2622,
            Self::Silent { .. } => 2623,
            Self::NoSuccessor { .. } => 2624,
            Self::Gateway(error) => error.code(),
        }
    }

    /// What to do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Rules(rejection) => rejection.help(),
            Self::NoQuorum { .. } => "bring the silent voters back, or take their votes first",
            Self::UnderWay => "wait until it is done: `plantao member diff` shows its steps",
            Self::Silent { .. } => "start that node, or look at the link to it, and try again",
            Self::NoSuccessor { .. } => "wait until another voter has caught up, and try again",
            Self::Gateway(error) => error.help(),
        }
    }
}

fn voters(standings: &Standings) -> BTreeSet<u64> {
    standings.iter().filter(|(_, standing)| **standing == Standing::Voter).map(|(node, _)| node.0).collect()
}

/// What these changes come to on a leader with this status, or why they are refused.
pub(super) fn forecast(
    view: &dyn View,
    status: &Status,
    plan: &Plan,
    changes: &[MemberChange],
    version: u32,
    allow_fewer_voters: bool,
) -> Result<Forecast, Refusal> {
    if !status.leads() {
        return Err(Error::Unavailable { why: "this node does not lead" }.into());
    }
    let Preview { layout, before, after } =
        layout::preview(view, changes, version, allow_fewer_voters)?.map_err(Refusal::Rules)?;
    let (had, left) = (voters(&before), voters(&after));
    let answering = left.iter().filter(|id| answers(status, **id)).count();
    let is_so = before == after;
    if !is_so && (status.changing || plan.next.is_some()) {
        return Err(Refusal::UnderWay);
    }
    if had != left && !has_quorum(status, &left) {
        return Err(Refusal::NoQuorum { voters: left.len(), answering });
    }
    if let Some(node) = left.difference(&had).find(|id| !answers(status, **id)) {
        return Err(Refusal::Silent { node: *node });
    }
    let goes = had.contains(&status.node) && !left.contains(&status.node);
    let stays = |id: &u64| status.member(*id).is_some_and(|member| member.voter) && ready(status, *id) == Wait::Next;
    if goes && !left.iter().any(stays) {
        return Err(Refusal::NoSuccessor { node: status.node });
    }
    let may_lose = answering.saturating_sub(left.len() / 2 + 1);
    Ok(Forecast { version: layout.version, voters: left.len(), answering, may_lose })
}
