//! What is said of a seed: a line for people, a report and a history for programs, a plot for eyes.

use crate::checks::Findings;
use crate::ground::say;
use crate::history::{self, Outcome};
use crate::plot;
use crate::run::{Run, Span, Story, Verdict, again};
use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

/// Violations that a line for people shows.
const SHOWN_MAX: usize = 8;

/// Outcomes of calls, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Outcomes {
    pub(crate) calls: u64,
    pub(crate) confirmed: u64,
    pub(crate) refused: u64,
    pub(crate) reads: u64,
    pub(crate) not_done: u64,
    pub(crate) unknown: u64,
}

/// What is said of one seed.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema_version: u32,
    pub(crate) seed: u64,
    pub(crate) verdict: Verdict,
    /// Why the harness failed.
    failure: Option<String>,
    /// Repeats it.
    again: String,
    outcomes: Outcomes,
    /// How often each kind of fault came.
    faults: BTreeMap<&'static str, u64>,
    /// Rows of the fault matrix that they belong to.
    rows: Vec<u8>,
    /// Of faults that could not be made when their time came.
    left_out: u64,
    /// The longest time without a confirmed write, with faults and after them.
    silence_ms: u64,
    silence_healed_ms: u64,
    memory_bytes: u64,
    /// What became of unsynced changes at power cuts, how many calls of disks met a fault, and how many starts were refused for it.
    disks: BTreeMap<String, u64>,
    without: Vec<String>,
    findings: Findings,
}

impl Report {
    /// Of a seed that came to its end.
    pub(crate) fn of(arguments: &Run, seed: u64, story: &Story) -> Self {
        let mut faults: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut rows = Vec::new();
        for Span { fault, .. } in story.spans.iter().filter(|span| span.left_out.is_none()) {
            *faults.entry(fault.kind().name()).or_default() += 1;
            rows.extend(fault.kind().rows());
        }
        rows.sort_unstable();
        rows.dedup();
        let ms = |ns: u64| ns / 1_000_000;
        Self {
            schema_version: 1,
            seed,
            verdict: if story.findings.count == 0 { Verdict::Pass } else { Verdict::Violation },
            failure: None,
            again: again(arguments, seed),
            outcomes: outcomes(story),
            faults,
            rows,
            left_out: story.spans.iter().filter(|span| span.left_out.is_some()).count() as u64,
            silence_ms: ms(silence(story, story.began_ns, story.healed_ns)),
            silence_healed_ms: ms(silence(story, story.healed_ns, story.ended_ns)),
            memory_bytes: story.memory_bytes,
            disks: story.disks.clone(),
            without: story.without.clone(),
            findings: story.findings.clone(),
        }
    }

    /// Of a seed that did not.
    pub(crate) fn failed(arguments: &Run, seed: u64, failure: String) -> Self {
        Self {
            schema_version: 1,
            seed,
            verdict: Verdict::HarnessFailure,
            failure: Some(failure),
            again: again(arguments, seed),
            outcomes: Outcomes::default(),
            faults: BTreeMap::new(),
            rows: Vec::new(),
            left_out: 0,
            silence_ms: 0,
            silence_healed_ms: 0,
            memory_bytes: 0,
            disks: BTreeMap::new(),
            without: Vec::new(),
            findings: Findings::default(),
        }
    }

    /// Says it.
    pub(crate) fn say(&self) {
        if let Some(failure) = &self.failure {
            say(&format!("seed {}: {}: {failure}", self.seed, self.verdict.words()));
            say(&format!("  again: {}", self.again));
            return;
        }
        let Outcomes { calls, confirmed, refused, reads, not_done, unknown } = self.outcomes;
        let faults: Vec<String> = self.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let findings = &self.findings;
        say(&format!(
            "seed {}: {}; {calls} calls: {confirmed} confirmed, {refused} refused, {reads} reads, {not_done} not done, \
             {unknown} unknown; faults: {}",
            self.seed,
            self.verdict.words(),
            faults.join(", "),
        ));
        say(&format!(
            "  ordered {} calls of {} objects, {} undecided; decided {} again; found {} reads; compared {} nodes; \
             searched {} MB; longest silence {:.1} s, healed {:.1} s; {} MiB at most",
            findings.ordered_calls,
            findings.linearizable,
            findings.undecided.len(),
            findings.replayed,
            findings.reads_found,
            findings.compared,
            findings.searched_bytes / 1_000_000,
            self.silence_ms as f64 / 1e3,
            self.silence_healed_ms as f64 / 1e3,
            self.memory_bytes >> 20,
        ));
        if !self.disks.is_empty() {
            let told: Vec<String> = self.disks.iter().map(|(name, count)| format!("{name} {count}")).collect();
            say(&format!("  disks: {}", told.join(", ")));
        }
        for violation in findings.violations.iter().take(SHOWN_MAX) {
            say(&format!("  {}: {}", violation.check, violation.what));
        }
        if findings.count > 0 {
            say(&format!("  {} violations; again: {}", findings.count, self.again));
        }
    }
}

fn outcomes(story: &Story) -> Outcomes {
    let mut counted = Outcomes { calls: story.calls.len() as u64, ..Outcomes::default() };
    for call in &story.calls {
        match call.outcome {
            Outcome::Confirmed { .. } => counted.confirmed += 1,
            Outcome::Refused { .. } => counted.refused += 1,
            Outcome::Record { .. } | Outcome::Absent | Outcome::Agenda { .. } => counted.reads += 1,
            Outcome::NotDone { .. } => counted.not_done += 1,
            Outcome::Unknown => counted.unknown += 1,
            Outcome::Unfit { .. } => {}
        }
    }
    counted
}

/// The longest time without a confirmed write between two instants, in nanoseconds.
fn silence(story: &Story, from_ns: u64, to_ns: u64) -> u64 {
    let confirmed = story.calls.iter().filter(|call| call.confirmed_at().is_some());
    let mut times: Vec<u64> =
        confirmed.filter_map(|call| call.returned_ns).filter(|at| (from_ns..to_ns).contains(at)).collect();
    times.extend([from_ns, to_ns]);
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

/// Writes `report.json`, `history.jsonl`, `faults.json`, `plot.svg` and the logs of nodes.
pub(crate) fn write(arguments: &Run, seed: u64, story: &Story, directory: &Path) -> anyhow::Result<()> {
    let file = |name: &str, bytes: Vec<u8>| {
        let path = directory.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    file("report.json", serde_json::to_vec_pretty(&Report::of(arguments, seed, story))?)?;
    file("faults.json", serde_json::to_vec_pretty(&story.spans)?)?;
    file("plot.svg", plot::draw(seed, story).into_bytes())?;
    for (node, log) in &story.logs {
        file(&format!("{node}.log"), log.clone())?;
    }
    let path = directory.join("history.jsonl");
    let history = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    history::write(&story.calls, BufWriter::new(history)).with_context(|| format!("cannot write {}", path.display()))
}
