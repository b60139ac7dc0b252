//! The format level of the network: what may be written into log and rows. A program reads every level up to its newest one,
//! so a new program works beside old ones at the old level, and only an operator ends that (decision 0024).
//!
//! ```text
//! level 1   commands 0 to 38
//! level 2   RaiseLevel (39); RedeemJoinToken says what the program of the node that joins can read
//! ```
//! A level is raised once every node that is a member, or is to be one, was found to run a program that reads it: programs
//! are found out by whoever proposes, and here it is held against the rows that no such node was left out. It never falls.

use crate::case::{Case, Done, Ruling};
use crate::command::Command;
use crate::id::{ActorId, NodeId};
use crate::layout::{self, Standing};
use crate::outcome::Rejection;
use crate::rows;
use crate::time::ClusterTime;
use crate::view::{Changes, View, ViewFault};
use minicbor::{Decode, Encode};

/// The level of a network that was never raised; there is no row then.
pub const LEVEL_FIRST: u32 = 1;
/// The newest level that this program reads and writes.
pub const LEVEL_NEWEST: u32 = 2;
/// Programs that one command tells of: above any network.
pub const PROGRAMS_MAX: usize = 256;

/// What one node's program can read and write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Capability {
    /// Which node.
    #[n(0)]
    pub node: NodeId,
    /// The newest level that it reads and writes.
    #[n(1)]
    pub newest: u32,
}

/// The level and who raised it to there.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct LevelRow {
    /// The level, 2 or more.
    #[n(0)]
    pub level: u32,
    /// Since when.
    #[n(1)]
    pub raised_at: ClusterTime,
    /// Who decided.
    #[n(2)]
    pub by: ActorId,
    /// Why, in clear, at most [`layout::REASON_BYTES_MAX`] bytes.
    #[n(3)]
    pub reason: String,
}

/// The level that log and rows have now.
///
/// # Errors
/// The row cannot be read.
pub fn level(view: &dyn View) -> Result<u32, ViewFault> {
    Ok(rows::level(view)?.map_or(LEVEL_FIRST, |row| row.level))
}

/// The least level at which a command may be written: a program of a lower one would not read it, or not all of it.
pub const fn level_needed(command: &Command) -> u32 {
    match command {
        Command::RaiseLevel { to, .. } => *to,
        Command::RedeemJoinToken { level: Some(_), .. } => 2,
        _ => LEVEL_FIRST,
    }
}

/// Whether a command may be written at the level that these rows have. Raising it is what may be written one level too early.
///
/// # Errors
/// The rows cannot be read.
pub fn admits(view: &dyn View, command: &Command) -> Result<Result<(), Rejection>, ViewFault> {
    let needs = level_needed(command);
    // Nearly every command: the row is not looked for.
    if needs == LEVEL_FIRST || matches!(command, Command::RaiseLevel { .. }) {
        return Ok(Ok(()));
    }
    let level = level(view)?;
    Ok(if needs <= level { Ok(()) } else { Err(Rejection::LevelTooLow { needs, level }) })
}

/// Nodes whose programs count: members, and those that joined and are not members yet.
///
/// # Errors
/// The rows cannot be read.
pub fn nodes(view: &dyn View) -> Result<Vec<NodeId>, ViewFault> {
    let standings = layout::standings(view)?;
    Ok(standings.into_iter().filter(|(_, standing)| *standing != Standing::Removed).map(|(node, _)| node).collect())
}

/// The level rises for good, if nobody changed it since `seen` and each node of the network was found to read the new one.
pub(crate) fn raise(case: &Case<'_>, seen: u32, to: u32, programs: &[Capability], reason: &str) -> Ruling {
    let current = level(case.view)?;
    if to <= current {
        return Ok(Done::unchanged(current));
    }
    if seen != current {
        return Err(Rejection::StaleVersion { current }.into());
    }
    for node in nodes(case.view)? {
        let newest = programs.iter().find(|program| program.node == node).map_or(0, |program| program.newest);
        if newest < to {
            return Err(Rejection::MemberTooOld { node, newest }.into());
        }
    }
    let row = LevelRow { level: to, raised_at: case.at, by: case.actor.id, reason: reason.to_owned() };
    let mut changes = Changes::new();
    rows::put(&mut changes, rows::level_key(), &row);
    Ok(Done::changed(to, changes))
}
