//! A planned change of leader: checked, announced in the log, done, measured. The announcement is written while writes
//! still flow, so the interruption is that of the transfer alone.
//!
//! ```text
//! leads? expected? ─► to whom ─► could it? ─► BeginHandover in the log ─► transfer: writes wait ─► the new leader is seen
//! ```

use super::Error;
use crate::consensus::TransferError;
use crate::gateway::Gateway;
use plantao_domain::lead::LeadCause;
use plantao_domain::{Actor, Command, NodeId, Outcome};
use std::time::Duration;
use tokio::time::Instant;

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handover {
    /// To whom; `None`: to the voter that should and can.
    pub to: Option<NodeId>,
    /// Refuse unless this node leads.
    pub expect_leader: Option<NodeId>,
    /// Why.
    pub cause: LeadCause,
    /// In words.
    pub reason: String,
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handed {
    /// Who led.
    pub from: u64,
    /// Who leads; the same where it led already.
    pub to: u64,
    /// From when this node stopped taking writes until it saw the new leader.
    pub gap: Duration,
    /// The term after it.
    pub term: u64,
}

/// Where the lead belongs: on the preferred node, else on any with keys, which may be this one.
async fn home(gateway: &Gateway, deadline: Instant) -> Result<u64, Error> {
    let consensus = gateway.consensus();
    let status = consensus.status();
    let keyed = |id: u64| status.member(id).is_some_and(|member| member.member.keyed);
    match consensus.wishes().preferred {
        Some(preferred) => Ok(preferred),
        None if status.leads() && keyed(status.node) => Ok(status.node),
        None => Ok(consensus.successor(deadline).await?),
    }
}

/// Hands the lead over from this node, which must lead, in the name of `actor`, whose right was checked.
///
/// # Errors
/// See [`Error`]. Only where the transfer ran out of time may the lead move nevertheless.
pub async fn hand_over(gateway: &Gateway, actor: Actor, wanted: &Handover, deadline: Instant) -> Result<Handed, Error> {
    let consensus = gateway.consensus();
    let status = consensus.status();
    if let Some(expected) = wanted.expect_leader.filter(|expected| status.leader != Some(expected.0)) {
        return Err(Error::OtherLeader { expected: expected.0, actual: status.leader.unwrap_or(0) });
    }
    let to = match wanted.to {
        Some(to) => to.0,
        None if wanted.cause == LeadCause::Failback => home(gateway, deadline).await?,
        None => consensus.successor(deadline).await?,
    };
    consensus.check_transfer(to)?;
    if to == status.node {
        return Ok(Handed { from: to, to, gap: Duration::ZERO, term: status.term });
    }
    let command = Command::BeginHandover {
        to: NodeId(to),
        term: status.term,
        cause: wanted.cause,
        reason: wanted.reason.clone(),
    };
    let written = gateway.propose_once(actor, command).await?;
    if let Outcome::Rejected(rejection) = written.outcome {
        return Err(Error::Rejected(rejection));
    }
    let begun = Instant::now();
    match consensus.transfer_leader(to, deadline).await {
        Ok(()) => {}
        // Two operators at once: the other one's plan came first.
        Err(TransferError::NotLeader { leader }) if wanted.expect_leader.is_some() => {
            return Err(Error::OtherLeader { expected: status.node, actual: leader.unwrap_or(0) });
        }
        Err(error) => return Err(error.into()),
    }
    let gap = begun.elapsed();
    tracing::info!(from = status.node, to, cause = ?wanted.cause, "the lead was handed over");
    Ok(Handed { from: status.node, to, gap, term: consensus.status().term })
}
