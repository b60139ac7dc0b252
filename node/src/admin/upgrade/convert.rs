//! Between the wire and the rules, for format levels.

use crate::api::convert::{status, told};
use crate::upgrade::{NodeProgram, Picture, Refusal};
use plantao_proto::admin::v1;
use tonic::{Code, Status};

/// A refusal with its number and what to do.
pub(super) fn refused(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Gateway(error) => status(error),
        other => told(Code::FailedPrecondition, other.to_string(), other.code(), other.help(), true),
    }
}

/// Level and programs; who answers is left to the caller.
pub(super) fn picture(of: Picture) -> v1::GetUpgradeResponse {
    let raised = of.raised;
    v1::GetUpgradeResponse {
        level: of.level,
        raised_ms: raised.as_ref().map_or(0, |row| row.raised_at.millis()),
        raised_by: raised.as_ref().map(|row| row.by.as_bytes().to_vec().into()).unwrap_or_default(),
        reason: raised.map(|row| row.reason).unwrap_or_default(),
        nodes: of.nodes.into_iter().map(node).collect(),
        ..v1::GetUpgradeResponse::default()
    }
}

fn node(of: NodeProgram) -> v1::NodeProgram {
    let answers = of.program.is_some();
    let program = of.program.as_ref();
    v1::NodeProgram {
        node_id: of.node.0,
        name: of.name,
        voter: of.voter,
        answers,
        version: program.map(|program| program.version.clone()).unwrap_or_default(),
        level_min: program.map_or(0, |program| program.oldest),
        level_max: program.map_or(0, |program| program.newest),
    }
}
