//! What must hold of every run, whatever the world and its faults. Each check works on what programs were told and on what the
//! network says at the end; none of them knows how a fault was made.

pub(crate) mod end;
mod histories;
pub(crate) mod images;
pub(crate) mod linear;
pub(crate) mod needles;
pub(crate) mod oracle;
pub(crate) mod watch;

pub(crate) use histories::{check as histories, fresh};

use serde::Serialize;

/// Most violations that are told one by one: the first ones say what is wrong.
const TOLD_MAX: usize = 64;

/// Something that must never happen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Violation {
    /// Which check found it.
    pub(crate) check: &'static str,
    /// What, with ids and numbers only.
    pub(crate) what: String,
}

/// What checks found and how much they looked at: a check that saw nothing has proved nothing.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Findings {
    /// The first ones.
    pub(crate) violations: Vec<Violation>,
    /// All of them.
    pub(crate) count: u64,
    /// Objects of which nothing was shown within the bound of steps.
    pub(crate) undecided: Vec<String>,
    /// Objects whose calls have an order.
    pub(crate) linearizable: u64,
    /// Calls in them.
    pub(crate) ordered_calls: u64,
    /// Entries of the trail that were decided again by the rules.
    pub(crate) replayed: u64,
    /// Answers to reads that were found in the replay.
    pub(crate) reads_found: u64,
    /// Nodes whose rows at the end were compared with the replay.
    pub(crate) compared: u64,
    /// Changes that a screen was told.
    pub(crate) watched: u64,
    /// Images that programs were shown as they are.
    pub(crate) images_seen: u64,
    /// Images at the end, each whole on every node.
    pub(crate) images_kept: u64,
    /// Bytes of files that were searched for what must not be in them.
    pub(crate) searched_bytes: u64,
}

impl Findings {
    /// Notes something that must never happen.
    pub(crate) fn add(&mut self, check: &'static str, what: impl Into<String>) {
        self.count += 1;
        if self.violations.len() < TOLD_MAX {
            self.violations.push(Violation { check, what: what.into() });
        }
    }

    /// Notes it where `holds` is false.
    pub(crate) fn require(&mut self, holds: bool, check: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.add(check, what());
        }
    }
}
