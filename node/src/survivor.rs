//! A majority of the voters is gone for good, and this node, which runs, is told to go on alone (decision 0025). Here it is found
//! out whether that is so; what is done to the directory then is `plantaod quorum recover`'s, once this node has stopped.
//!
//! ```text
//! operator ─► name, reason ─► voters asked, again and again ─► order ─► this node stops ─► directory ─► starts itself again
//!                             a majority answers, or one has more: no
//! ```

use crate::consensus::{Affiliation, Status, ask_programs};
use crate::gateway::{Error as GatewayError, Gateway};
use crate::transport::PeerChannels;
use plantao_domain::id::ActorId;
use plantao_domain::rows;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// How often the others are asked before they are given up: who answers once in all of it counts as there.
const ROUNDS: u32 = 3;
/// Between two rounds, each of which waits three seconds for whoever is slow.
const PAUSE: Duration = Duration::from_secs(2);
/// As for the offline command: a sentence, of which the digest goes into the log.
const REASON_BYTES_MAX: usize = 400;

/// What this node is to do once it has stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Who asked: the trail of the new incarnation begins with him.
    pub by: ActorId,
    /// Why, as the operator put it.
    pub reason: String,
}

/// What an operator asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The node that is to go on.
    pub node: u64,
    /// The network's name, typed out.
    pub network: String,
    /// Who asks, and was found to be an operator.
    pub by: ActorId,
    /// Why.
    pub reason: String,
    /// Only say whether it would be accepted.
    pub trial: bool,
}

/// One voter, as it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Voice {
    /// Its number.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// How far it has applied; `None`: it did not answer once.
    pub applied: Option<u64>,
}

/// What is kept, and so what may be lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outlook {
    /// The incarnation that begins.
    pub incarnation: u32,
    /// The last entry of this node's log.
    pub last_index: u64,
    /// When the last write that it has applied was stamped.
    pub last_write_ms: i64,
    /// All voters.
    pub voters: Vec<Voice>,
}

/// Why this node does not go on alone.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing was lost, or it cannot be told.
    #[error("{answering} of {voters} voters answer: a majority may elect a leader by itself")]
    Majority {
        /// This node included.
        answering: usize,
        /// All.
        voters: usize,
    },
    /// It would be lost without need.
    #[error("{name} (node {node}) answers and has applied up to entry {applied}, and this node's log ends at {last}")]
    Behind {
        /// Who has more.
        node: u64,
        /// Its name.
        name: String,
        /// Up to where.
        applied: u64,
        /// Where this node's log ends.
        last: u64,
    },
    /// Another network or node was meant.
    #[error("this is node {node} of the network {network}, and another was confirmed")]
    Other {
        /// This node.
        node: u64,
        /// Its network.
        network: String,
    },
    /// The order was given already.
    #[error("this node was told so already, and stops")]
    UnderWay,
    /// The form of the request is wrong.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

impl Refusal {
    /// The number in `PLT-nnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Majority { .. } => 2641,
            Self::Behind { .. } => 2642,
            Self::Other { .. } => 2643,
            Self::UnderWay => 2644,
            Self::Gateway(error) => error.code(),
        }
    }

    /// What to do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Majority { .. } => {
                "wait for a leader, or look why they elect none: `plantao status --stale`, `plantao doctor`"
            }
            Self::Behind { .. } => "let that node go on instead",
            Self::Other { .. } => "check which network and which node this is: `plantao status --stale`",
            Self::UnderWay => "follow it with `plantao status --stale`",
            Self::Gateway(error) => error.help(),
        }
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Survivors {
    gateway: Gateway,
    network: String,
    us: Affiliation,
    channels: PeerChannels,
    orders: mpsc::Sender<Order>,
}

impl Survivors {
    /// The node `us` of `network`; what it is told to do goes to whoever holds the other end.
    pub fn new(
        gateway: Gateway,
        network: String,
        us: Affiliation,
        channels: PeerChannels,
    ) -> (Self, mpsc::Receiver<Order>) {
        let (orders, ordered) = mpsc::channel(1);
        (Self { gateway, network, us, channels, orders }, ordered)
    }

    /// Accepts the order, or as a trial says what it would come to.
    ///
    /// # Errors
    /// See [`Refusal`]; nothing was begun then.
    pub async fn recover(&self, wanted: Wanted) -> Result<Outlook, Refusal> {
        if wanted.node != self.us.node || wanted.network != self.network {
            return Err(Refusal::Other { node: self.us.node, network: self.network.clone() });
        }
        if !(1..=REASON_BYTES_MAX).contains(&wanted.reason.trim().len()) {
            return Err(GatewayError::Invalid { field: "reason", why: "must say why, in at most 400 bytes" }.into());
        }
        let mut found = BTreeMap::new();
        for round in 0..if wanted.trial { 1 } else { ROUNDS } {
            if round > 0 {
                sleep(PAUSE).await;
            }
            self.ask(&mut found).await?;
            check(&self.gateway.consensus().status(), &found)?;
        }
        let status = self.gateway.consensus().status();
        let outlook = self.outlook(&status, &found)?;
        if !wanted.trial {
            self.orders.try_send(Order { by: wanted.by, reason: wanted.reason }).map_err(|_| Refusal::UnderWay)?;
            tracing::warn!(
                incarnation = outlook.incarnation,
                last_index = outlook.last_index,
                "an operator has this node go on without the majority; it stops for that"
            );
        }
        Ok(outlook)
    }

    async fn ask(&self, found: &mut BTreeMap<u64, u64>) -> Result<(), Refusal> {
        let consensus = self.gateway.consensus();
        let voters = consensus.status().members.into_iter().filter(|member| member.voter);
        let addresses = voters.map(|member| (member.id, member.member.peer_address)).collect();
        let told = ask_programs(addresses, self.us, consensus.levels().newest(), &self.channels).await;
        found.extend(told.into_iter().map(|(node, program)| (node, program.applied_index)));
        Ok(())
    }

    fn outlook(&self, status: &Status, found: &BTreeMap<u64, u64>) -> Result<Outlook, Refusal> {
        let cluster = rows::cluster(&**self.gateway.state()).map_err(GatewayError::from)?;
        let incarnation = cluster.map_or(self.us.incarnation, |row| row.incarnation().max(self.us.incarnation));
        let voters = status.members.iter().filter(|member| member.voter).map(|member| Voice {
            node: member.id,
            name: member.member.name.clone(),
            applied: if member.id == self.us.node {
                Some(status.applied_index)
            } else {
                found.get(&member.id).copied()
            },
        });
        Ok(Outlook {
            incarnation: incarnation.saturating_add(1),
            last_index: status.last_index,
            last_write_ms: self.gateway.consensus().progress().time.millis(),
            voters: voters.collect(),
        })
    }
}

/// Whether the voters that answered leave this node no choice, and none of them has what it lacks.
fn check(status: &Status, found: &BTreeMap<u64, u64>) -> Result<(), Refusal> {
    let voters: Vec<_> = status.members.iter().filter(|member| member.voter).collect();
    let answering = voters.iter().filter(|voter| voter.id == status.node || found.contains_key(&voter.id)).count();
    // A leader that is heard has a majority, whoever answers here.
    if status.leader.is_some() || answering * 2 > voters.len() {
        return Err(Refusal::Majority { answering, voters: voters.len() });
    }
    let ahead = voters.iter().filter_map(|voter| Some((voter, *found.get(&voter.id)?)));
    match ahead.max_by_key(|(_, applied)| *applied) {
        Some((voter, applied)) if applied > status.last_index => {
            Err(Refusal::Behind { node: voter.id, name: voter.member.name.clone(), applied, last: status.last_index })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::consensus::{MemberStatus, Role, types::Member};

    fn status(voters: u64, leader: Option<u64>) -> Status {
        let member = |id| MemberStatus {
            id,
            member: Member { name: format!("node-{id}"), peer_address: String::new(), keyed: true },
            voter: id <= voters,
            matched: None,
            silent_for: None,
            clock: None,
        };
        Status {
            node: 1,
            role: Role::Candidate,
            term: 3,
            leader,
            last_index: 100,
            committed_index: 90,
            applied_index: 90,
            snapshot_index: 0,
            purged_index: 0,
            quorum_silent_for: None,
            members: (1..=voters + 1).map(member).collect(),
            changing: false,
            running: true,
        }
    }

    #[test]
    fn only_without_a_majority_and_never_with_less_than_another_has() {
        let found = |nodes: &[(u64, u64)]| nodes.iter().copied().collect::<BTreeMap<u64, u64>>();
        let code = |status: &Status, nodes: &[(u64, u64)]| check(status, &found(nodes)).err().map(|error| error.code());
        assert_eq!(code(&status(3, None), &[]), None);
        assert_eq!(code(&status(3, None), &[(4, 100)]), None, "a learner has no vote");
        assert_eq!(code(&status(3, None), &[(2, 10)]), Some(2641));
        assert_eq!(code(&status(5, None), &[(2, 100)]), None, "two of five elect nobody");
        assert_eq!(code(&status(5, None), &[(2, 101)]), Some(2642));
        assert_eq!(code(&status(5, None), &[(2, 10), (3, 10)]), Some(2641));
        assert_eq!(
            code(&status(3, Some(2)), &[]),
            Some(2641),
            "one that leads is heard, though it does not answer here"
        );
        assert_eq!(code(&status(1, None), &[]), Some(2641), "alone it is the majority");
    }
}
