//! A failover by an operator's hand: this node stands for election because it is told to. Safe whatever the operator
//! believes: a majority must vote for it, and none votes for a node that lacks an acknowledged entry.

use super::{Error, Forced};
use crate::consensus::TransferError;
use crate::gateway::Gateway;
use plantao_domain::{Actor, Rejection};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks whether it was elected.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stood {
    /// Its term.
    pub term: u64,
    /// Whether it did not lead before.
    pub changed: bool,
    /// Since this node last heard a leader.
    pub leader_silent: Option<Duration>,
}

/// Has this node stand for election, and waits until it leads. Refused while a leader is heard: that one hands over.
///
/// # Errors
/// See [`Error`]; nothing changes then.
pub async fn stand(
    gateway: &Gateway,
    forced: &Forced,
    actor: Actor,
    reason: &str,
    deadline: Instant,
) -> Result<Stood, Error> {
    let consensus = gateway.consensus();
    let status = consensus.status();
    if status.leads() {
        return Ok(Stood { term: status.term, changed: false, leader_silent: None });
    }
    if !status.member(status.node).is_some_and(|member| member.voter) {
        return Err(TransferError::NotVoter { node: status.node }.into());
    }
    if consensus.wishes().drained.contains(&status.node) {
        return Err(Error::Rejected(Rejection::Drained { node: gateway.node() }));
    }
    let lease = consensus.timers().election_max();
    let contact = consensus.leader_contact();
    if let Some(leader) = status.leader.filter(|_| contact.is_some_and(|contact| contact < lease)) {
        return Err(Error::LeaderHeard { leader });
    }
    let voters: Vec<u64> = status.members.iter().filter(|member| member.voter).map(|member| member.id).collect();
    let links = consensus.links().links(&voters, std::time::Instant::now());
    let reached = links.iter().filter(|link| link.from == status.node && link.reachable && voters.contains(&link.to));
    let reached = reached.count() + 1;
    if reached <= voters.len() / 2 {
        return Err(Error::NoMajority { reached, voters: voters.len() });
    }
    forced.set(actor, reason);
    let begun = Instant::now();
    let mut tried = begun;
    consensus.stand().await?;
    loop {
        let now = consensus.status();
        if now.leads() {
            return Ok(Stood { term: now.term, changed: true, leader_silent: contact });
        }
        if Instant::now() >= deadline {
            forced.clear();
            return Err(Error::NotElected { node: status.node });
        }
        // The others may have heard the old leader a moment longer than this node.
        if tried.elapsed() >= lease {
            tried = Instant::now();
            consensus.stand().await?;
        }
        sleep(LOOK_EVERY).await;
    }
}
