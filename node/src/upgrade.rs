//! What every node's program reads and writes, and the end of an upgrade: the network's format level rises once all of them
//! read the new one (decision 0024).
//!
//! ```text
//! rows: who is a member, or is to be one ─► Hello to each ─► every one reads it? ─► RaiseLevel with what was found ─► rules
//! ```
//! Asked anew each time: a program that was replaced a minute ago is not what it was. The rules hold what was found against
//! the rows once more when it is applied, so that nobody who joins meanwhile is left out.

use crate::consensus::{Affiliation, Program, ask_programs};
use crate::gateway::{Consistency, Error, Gateway, Written};
use crate::storage::level::{LEVEL_FIRST, PROGRAM};
use crate::transport::PeerChannels;
use plantao_domain::layout::{self, Standing};
use plantao_domain::upgrade::{self, Capability, LevelRow};
use plantao_domain::{Actor, Command, NodeId, Outcome, Rejection, rows};

/// One node and what it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeProgram {
    /// Its number.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it votes, or is to.
    pub voter: bool,
    /// What it runs; `None`: it did not answer.
    pub program: Option<Program>,
}

/// The level and all programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
    /// What log and rows are written in.
    pub level: u32,
    /// Who raised it to there.
    pub raised: Option<LevelRow>,
    /// Every node that was not removed, by number.
    pub nodes: Vec<NodeProgram>,
}

/// Why the level does not rise.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The rules say no.
    #[error("{0}")]
    Rules(Rejection),
    /// It is not known what it runs, and what cannot be asked cannot be relied on.
    #[error("{name} (node {node}) does not answer, so it is not known what its program reads")]
    Silent {
        /// Which.
        node: NodeId,
        /// Its name.
        name: String,
    },
    /// It would stop at the first entry of the new level.
    #[error("{name} (node {node}) runs plantaod {version}, which reads up to format level {newest}, not {to}")]
    TooOld {
        /// Which.
        node: NodeId,
        /// Its name.
        name: String,
        /// What it runs.
        version: String,
        /// What that reads.
        newest: u32,
        /// What it would have to read.
        to: u32,
    },
    /// Nothing was decided, or it is not known.
    #[error(transparent)]
    Gateway(#[from] Error),
}

impl Refusal {
    /// The number in `PLT-nnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Rules(rejection) => rejection.code(),
            Self::Silent { .. } => 2631,
            Self::TooOld { .. } => 2632,
            Self::Gateway(error) => error.code(),
        }
    }

    /// What to do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Rules(rejection) => rejection.help(),
            Self::Silent { .. } => "start that node; if it is gone for good, remove it: `plantao member remove`",
            Self::TooOld { .. } => {
                "install the new version there and restart it, and look that `upgrade.level_max` is not set"
            }
            Self::Gateway(error) => error.help(),
        }
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Upgrades {
    gateway: Gateway,
    us: Affiliation,
    channels: PeerChannels,
}

impl Upgrades {
    /// On a gateway, asking others over these channels.
    pub fn new(gateway: Gateway, us: Affiliation, channels: PeerChannels) -> Self {
        Self { gateway, us, channels }
    }

    /// Asks every node that these rows know.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn look(&self) -> Result<Picture, Error> {
        let rows_now = &**self.gateway.state();
        let newest = self.gateway.consensus().levels().newest();
        let standings = layout::standings(rows_now)?;
        let here = |node: &NodeId| standings.get(node).is_some_and(|standing| *standing != Standing::Removed);
        let nodes: Vec<_> = self.gateway.nodes()?.into_iter().filter(|(node, _)| here(node)).collect();
        let raised = rows::level(rows_now)?;
        let addresses = nodes.iter().map(|(node, row)| (node.0, row.description.peer_address.clone())).collect();
        let mut found = ask_programs(addresses, self.us, newest, &self.channels).await;
        found.insert(
            self.us.node,
            Program {
                version: PROGRAM.to_owned(),
                oldest: LEVEL_FIRST,
                newest,
                applied_index: self.gateway.consensus().progress().index,
            },
        );
        let nodes = nodes.into_iter().map(|(node, row)| NodeProgram {
            node,
            name: row.description.name,
            voter: standings.get(&node) == Some(&Standing::Voter),
            program: found.remove(&node.0),
        });
        Ok(Picture {
            level: raised.as_ref().map_or(upgrade::LEVEL_FIRST, |row| row.level),
            raised,
            nodes: nodes.collect(),
        })
    }

    /// Raises the level from `seen` to `to`; as a trial, says whether it would.
    ///
    /// # Errors
    /// See [`Refusal`]; [`Error::Unknown`] alone may have been done.
    pub async fn finalize(
        &self,
        actor: Actor,
        seen: u32,
        to: u32,
        reason: String,
        trial: bool,
    ) -> Result<(u32, bool), Refusal> {
        self.gateway.settle(Consistency::Linearizable).await?;
        let picture = self.look().await?;
        if to <= picture.level {
            return Ok((picture.level, false));
        }
        if seen != picture.level {
            return Err(Refusal::Rules(Rejection::StaleVersion { current: picture.level }));
        }
        let mut programs = Vec::new();
        for NodeProgram { node, name, program, .. } in picture.nodes {
            let Some(Program { version, newest, .. }) = program else { return Err(Refusal::Silent { node, name }) };
            if newest < to {
                return Err(Refusal::TooOld { node, name, version, newest, to });
            }
            programs.push(Capability { node, newest });
        }
        if trial {
            return Ok((picture.level, false));
        }
        let command = Command::RaiseLevel { seen, to, programs, reason };
        let Written { outcome, .. } = self.gateway.propose_once(actor, command).await?;
        match outcome {
            Outcome::Confirmed { version, changed, .. } => Ok((version, changed)),
            Outcome::Rejected(rejection) => Err(Refusal::Rules(rejection)),
            Outcome::ConfirmedWithConflict { .. } => Err(Error::Unknown.into()),
        }
    }
}
