//! What the story found: figures for `--json` (English keys, a stable contract) and the table of claims at its end.

use crate::local_network::NodeDigest;
use crate::local_network::checks::{AcknowledgedReport, OverlapReport};
use crate::local_network::load::{Ledger, Object};
use plantao_client::import::{ConflictReport, ImportReport, ReadBackReport};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) schema_version: u32,
    /// Whether every claim held.
    pub(super) held: bool,
    /// Whether every goal was met, too.
    pub(super) goals_met: bool,
    pub(super) timers: &'static str,
    /// From nothing to three voters.
    pub(super) create_ms: u64,
    pub(super) import: Option<ImportReport>,
    /// `null` when there is no file of them.
    pub(super) conflicts: Option<ConflictReport>,
    pub(super) second_import: Option<ImportReport>,
    /// By unit.
    pub(super) read_back: BTreeMap<String, ReadBackReport>,
    /// By node.
    pub(super) resident_bytes_after_import: BTreeMap<String, u64>,
    /// By node.
    pub(super) resident_bytes_after_images: BTreeMap<String, u64>,
    /// `null` until that part was told.
    pub(super) images: Option<ImageFigures>,
    pub(super) failover: Option<Failover>,
    /// `null` until that part was told.
    pub(super) proof: Option<ProofFigures>,
    /// Every other fault, in order.
    pub(super) faults: Vec<Fault>,
    pub(super) load: LoadFigures,
    /// By unit.
    pub(super) acknowledged: BTreeMap<String, AcknowledgedReport>,
    pub(super) digests: Vec<DigestFigures>,
    pub(super) overlaps: OverlapReport,
    pub(super) claims: Vec<Claim>,
    pub(super) goals: Vec<Goal>,
    pub(super) elapsed_ms: u64,
}

/// What was found about images.
#[derive(Debug, Default, Serialize)]
pub(super) struct ImageFigures {
    /// By unit.
    pub(super) read_back: BTreeMap<String, ReadBackReport>,
    /// Images of the import that are there.
    pub(super) stored: u64,
    /// Of those, with a copy off-site.
    pub(super) protected: u64,
    pub(super) interrupted_upload: Option<InterruptedUpload>,
    /// `null` when that was not shown.
    pub(super) lost_directory: Option<Damage>,
    pub(super) rot: Option<Damage>,
}

/// Chunk files of one node that were lost or changed.
#[derive(Debug, Serialize)]
pub(super) struct Damage {
    pub(super) node: String,
    pub(super) files: u64,
    /// By proof, before anything was healed.
    pub(super) found: u64,
    pub(super) set_aside: u64,
    /// Chunks that the node proved to have afterwards: all of them, when it is whole.
    pub(super) healed: u64,
    pub(super) healed_ms: u64,
}

/// An upload whose node was killed in its middle.
#[derive(Debug, Serialize)]
pub(super) struct InterruptedUpload {
    pub(super) killed: String,
    pub(super) bytes: u64,
    /// Where it went on: so much was on other nodes.
    pub(super) resumed_at_bytes: u64,
    pub(super) sites: u32,
    /// From its begin to its acknowledgement.
    pub(super) elapsed_ms: u64,
}

/// The proof of 3-2-1.
#[derive(Debug, Serialize)]
pub(super) struct ProofFigures {
    pub(super) verdict: &'static str,
    pub(super) findings: u64,
    pub(super) images: u64,
    /// Chunks at random, over all holders.
    pub(super) challenged: u64,
    pub(super) proved: u64,
    pub(super) took_ms: u64,
    /// Until no copy was on its way.
    pub(super) waited_ms: u64,
}

/// The loss of the leader.
#[derive(Debug, Serialize)]
pub(super) struct Failover {
    pub(super) killed: String,
    pub(super) took_over: String,
    /// From the last acknowledged write before to the first one after.
    pub(super) writes_failed_ms: u64,
}

/// Another fault.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    /// `restart`, `kill`, `stop_all` or `kill_all`.
    pub(super) kind: &'static str,
    /// A node, or `all`.
    pub(super) node: String,
    pub(super) writes_failed_ms: Option<u64>,
    /// From the start of the process to its ready line, by node.
    pub(super) start_ms: BTreeMap<String, u64>,
}

/// The load as a whole.
#[derive(Debug, Default, Serialize)]
pub(super) struct LoadFigures {
    pub(super) acknowledged: u64,
    pub(super) bookings: u64,
    pub(super) records: u64,
    /// Acknowledged at the second try or later.
    pub(super) retried: u64,
    /// Refused because the slot was taken, as half of the bookings must be.
    pub(super) refused: u64,
    pub(super) undecided: u64,
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
}

impl From<&Ledger> for LoadFigures {
    fn from(ledger: &Ledger) -> Self {
        let count = |object| ledger.acknowledged.iter().filter(|done| done.object == object).count() as u64;
        Self {
            acknowledged: ledger.acknowledged.len() as u64,
            bookings: count(Object::Booking),
            records: count(Object::Record),
            retried: ledger.acknowledged.iter().filter(|done| done.attempts > 1).count() as u64,
            refused: ledger.refused,
            undecided: ledger.undecided.len() as u64,
            failed: ledger.failed,
            first_failure: ledger.first_failure.clone(),
        }
    }
}

/// One node's digests, in hexadecimal.
#[derive(Debug, Serialize)]
pub(super) struct DigestFigures {
    pub(super) node: String,
    pub(super) engine: String,
    pub(super) applied_index: u64,
    pub(super) rows: u64,
    pub(super) content: String,
    pub(super) chain: String,
}

impl From<&NodeDigest> for DigestFigures {
    fn from(digest: &NodeDigest) -> Self {
        Self {
            node: digest.node.clone(),
            engine: digest.engine.clone(),
            applied_index: digest.applied_index,
            rows: digest.rows,
            content: hexadecimal(&digest.content),
            chain: hexadecimal(&digest.chain),
        }
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Something that must hold, on any machine.
#[derive(Debug, Serialize)]
pub(super) struct Claim {
    pub(super) id: &'static str,
    pub(super) held: bool,
    /// For the table.
    #[serde(skip)]
    pub(super) text: String,
}

/// A time or a size that is to be reached; a busy machine may miss it without anything being lost.
#[derive(Debug, Serialize)]
pub(super) struct Goal {
    pub(super) id: &'static str,
    pub(super) met: bool,
    pub(super) value: u64,
    pub(super) limit: u64,
    #[serde(skip)]
    pub(super) text: String,
}

impl Figures {
    pub(super) fn claim(&mut self, id: &'static str, held: bool, text: String) {
        self.claims.push(Claim { id, held, text });
    }

    pub(super) fn goal(&mut self, id: &'static str, value: u64, limit: u64, text: String) {
        self.goals.push(Goal { id, met: value <= limit, value, limit, text });
    }

    /// Draws the conclusion.
    pub(super) fn conclude(&mut self, elapsed: Duration) {
        self.schema_version = 1;
        self.elapsed_ms = millis(elapsed);
        self.held = !self.claims.is_empty() && self.claims.iter().all(|claim| claim.held);
        self.goals_met = self.goals.iter().all(|goal| goal.met);
    }

    /// The table at the end.
    pub(super) fn verdict(&self) -> String {
        let claims = self.claims.iter().map(|claim| (if claim.held { "ok" } else { "FALHOU" }, &claim.text));
        let goals = self.goals.iter().map(|goal| (if goal.met { "ok" } else { "fora da meta" }, &goal.text));
        let mut table = String::from("Promessas\n");
        for (verdict, text) in claims {
            let _ = writeln!(table, "  {verdict:<12} {text}");
        }
        table.push_str("Metas de tempo e memória\n");
        for (verdict, text) in goals {
            let _ = writeln!(table, "  {verdict:<12} {text}");
        }
        table
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_claim_that_fails_is_enough_and_a_missed_goal_is_not() {
        let mut figures = Figures::default();
        figures.conclude(Duration::ZERO);
        assert!(!figures.held, "nothing was claimed");
        figures.claim("a", true, "A".to_owned());
        figures.goal("b", 3, 2, "B".to_owned());
        figures.conclude(Duration::ZERO);
        assert!(figures.held && !figures.goals_met);
        assert!(figures.verdict().contains("ok           A") && figures.verdict().contains("fora da meta B"));
        figures.claim("c", false, "C".to_owned());
        figures.conclude(Duration::ZERO);
        assert!(!figures.held && figures.verdict().contains("FALHOU       C"));
    }
}
