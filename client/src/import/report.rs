//! What an import did, to be shown and to be kept. Holds no text of the imported files.

use serde::Serialize;
use std::io;

/// Most issues that are listed; all are counted.
pub const ISSUES_MAX: usize = 1_000;

/// A line that was not taken, or a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Issue {
    /// Name of the file in the directory.
    pub file: String,
    /// From 1; 0 for the whole file.
    pub line: u64,
    /// In one word: `invalid`, `refused`, `failed` or `unknown`.
    pub what: IssueKind,
    /// The reason, in English.
    pub why: String,
    /// What to do.
    pub help: String,
    /// The number in `PLT-nnnn`, where there is one.
    pub code: Option<u32>,
}

impl Issue {
    /// One without a number.
    pub(super) fn new(file: &str, line: u64, what: IssueKind, why: impl Into<String>, help: &str) -> Self {
        Self { file: file.to_owned(), line, what, why: why.into(), help: help.to_owned(), code: None }
    }

    /// A file that cannot be read, or not any further.
    pub(super) fn unreadable(file: &str, error: &io::Error) -> Self {
        let why = format!("the file cannot be read: {error}");
        Self::new(file, 0, IssueKind::Failed, why, "look at the file and its rights")
    }
}

/// What became of the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueKind {
    /// Not sent: the line cannot be right.
    Invalid,
    /// The cluster said no.
    Refused,
    /// No node could take it.
    Failed,
    /// Sent, and nobody said what became of it.
    Unknown,
}

/// Counts of one kind of thing. `read` = `new` + `unchanged` + `refused` + `failed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Tally {
    /// Lines that are not empty.
    pub read: u64,
    /// Done now.
    pub new: u64,
    /// There already, the same.
    pub unchanged: u64,
    /// The cluster said no.
    pub refused: u64,
    /// The line was no good, or had no certain answer.
    pub failed: u64,
}

impl Tally {
    /// There now, new or not.
    pub fn accepted(&self) -> u64 {
        self.new + self.unchanged
    }
}

/// What an import did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ImportReport {
    /// Units.
    pub organizations: Tally,
    /// Professionals.
    pub practitioners: Tally,
    /// Rooms.
    pub locations: Tally,
    /// Patients.
    pub patients: Tally,
    /// Records, consents included.
    pub records: Tally,
    /// Of the records, those that are consents.
    pub consents: Tally,
    /// Bookings.
    pub appointments: Tally,
    /// Photographs and studies.
    pub images: Tally,
    /// Files that were not there.
    pub absent: Vec<String>,
    /// The first [`ISSUES_MAX`].
    pub issues: Vec<Issue>,
    /// All of them.
    pub issue_count: u64,
    /// Why it ended early, if it did.
    pub stopped: Option<String>,
    /// How long it took.
    pub elapsed_ms: u64,
}

impl ImportReport {
    fn tallies(&self) -> [&Tally; 7] {
        [
            &self.organizations,
            &self.practitioners,
            &self.locations,
            &self.patients,
            &self.records,
            &self.appointments,
            &self.images,
        ]
    }

    /// Whether everything was there already and nothing went wrong.
    pub fn nothing_changed(&self) -> bool {
        self.is_clean() && self.tallies().iter().all(|tally| tally.new == 0)
    }

    /// Whether every line was accepted.
    pub fn is_clean(&self) -> bool {
        self.issue_count == 0 && self.stopped.is_none()
    }

    pub(super) fn issue(&mut self, issue: Issue) {
        self.issue_count += 1;
        if self.issues.len() < ISSUES_MAX {
            self.issues.push(issue);
        }
    }
}
