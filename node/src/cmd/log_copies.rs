//! `plantaod log-copies`: what `plantaod verify -o json` said on several stopped nodes, put together: for each entry of the log that
//! one of them cannot read any more, which of them has it whole. It opens no directory and changes nothing.

use super::exit;
use super::inspect::{Output, Report};
use crate::storage::wal::Survey;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Largest report that is read.
const REPORT_BYTES_MAX: u64 = 64 << 20;

/// Puts the reports of `plantaod verify -o json` of several nodes together and shows where whole copies of damaged log
/// entries are. Exit code 9: an entry is whole nowhere.
#[derive(Debug, clap::Args)]
pub struct LogCopies {
    /// A report of each node of the network.
    #[arg(required = true, value_name = "REPORT")]
    reports: Vec<PathBuf>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// A range of indices, both ends in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Range {
    from: u64,
    to: u64,
}

/// Entries that one leader wrote in one term.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Run {
    from: u64,
    to: u64,
    term: u64,
    leader: u64,
}

/// What is left of one node's log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Entries {
    /// The entries that were in it for certain; those before were purged.
    known: Option<Range>,
    whole: Vec<Run>,
    pub(super) lost: Vec<Range>,
    unread_bytes: u64,
}

impl Entries {
    pub(super) fn of(survey: &Survey) -> Self {
        let mut whole: Vec<Run> = Vec::new();
        for (index, id) in survey.whole() {
            match whole.last_mut() {
                Some(run) if run.to.checked_add(1) == Some(*index) && (run.term, run.leader) == (id.term, id.node) => {
                    run.to = *index;
                }
                _ => whole.push(Run { from: *index, to: *index, term: id.term, leader: id.node }),
            }
        }
        let range = |range: &std::ops::RangeInclusive<u64>| Range { from: *range.start(), to: *range.end() };
        Self {
            known: survey.known().as_ref().map(range),
            whole,
            lost: survey.lost().ranges().iter().map(range).collect(),
            unread_bytes: survey.unread_bytes(),
        }
    }

    /// Who wrote the entry, if it is whole here.
    fn at(&self, index: u64) -> Option<(u64, u64)> {
        let after = self.whole.partition_point(|run| run.from <= index);
        let run = self.whole.get(after.checked_sub(1)?)?;
        (index <= run.to).then_some((run.term, run.leader))
    }
}

pub(super) fn ranges(ranges: &[Range]) -> String {
    let one = |range: &Range| match range.to == range.from {
        true => range.from.to_string(),
        false => format!("{} to {}", range.from, range.to),
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A whole copy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Copy {
    node: u64,
    name: String,
    term: u64,
    leader: u64,
}

/// One entry that somebody lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Lost {
    index: u64,
    /// Nodes that had it and cannot read it.
    lost_on: Vec<u64>,
    /// Copies of one entry have the same term and leader. Others in that place were never decided, or are older.
    whole_on: Vec<Copy>,
}

#[derive(Serialize)]
struct Found {
    schema_version: u32,
    kind: &'static str,
    nodes: Vec<u64>,
    lost: Vec<Lost>,
}

/// Where each entry that one of the nodes lost is whole.
fn find(nodes: &[(u64, String, Entries)]) -> Vec<Lost> {
    let of = |entries: &Entries| entries.lost.iter().flat_map(|range| range.from..=range.to).collect::<BTreeSet<u64>>();
    let mut lost: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (node, _, entries) in nodes {
        of(entries).into_iter().for_each(|index| lost.entry(index).or_default().push(*node));
    }
    let copies = |index| {
        nodes.iter().filter_map(move |(node, name, entries)| {
            let (term, leader) = entries.at(index)?;
            Some(Copy { node: *node, name: name.clone(), term, leader })
        })
    };
    lost.into_iter().map(|(index, lost_on)| Lost { index, lost_on, whole_on: copies(index).collect() }).collect()
}

fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<(u64, String, Entries)>> {
    let mut nodes = Vec::new();
    let mut network = None;
    for path in paths {
        let shown = path.display();
        let bytes =
            crate::storage::fs::read_bounded(path, REPORT_BYTES_MAX).with_context(|| format!("cannot read {shown}"))?;
        let report: Report = serde_json::from_slice(&bytes)
            .with_context(|| format!("{shown} is no report: make it with `plantaod verify -o json`"))?;
        let of = (report.cluster_id, report.incarnation);
        anyhow::ensure!(
            *network.get_or_insert_with(|| of.clone()) == of,
            "{shown} is of another network or incarnation"
        );
        let Some(entries) = report.log_entries else { anyhow::bail!("{shown} says nothing of the log's entries") };
        anyhow::ensure!(
            nodes.iter().all(|(node, _, _)| *node != report.node),
            "{shown} is of a node that another report is of"
        );
        nodes.push((report.node, report.name, entries));
    }
    nodes.sort_by_key(|(node, _, _)| *node);
    Ok(nodes)
}

/// Runs the command.
///
/// # Errors
/// A report cannot be read, or they are of several networks.
pub fn run(arguments: &LogCopies) -> anyhow::Result<ExitCode> {
    let nodes = read(&arguments.reports)?;
    let lost = find(&nodes);
    let nowhere = lost.iter().any(|entry| entry.whole_on.is_empty());
    let mut out = std::io::stdout().lock();
    if arguments.output == Output::Json {
        let nodes = nodes.iter().map(|(node, _, _)| *node).collect();
        writeln!(
            out,
            "{}",
            serde_json::to_string_pretty(&Found { schema_version: 1, kind: "log_copies", nodes, lost })?
        )?;
    } else if lost.is_empty() {
        writeln!(out, "no entry of the log is lost on any of {} nodes", nodes.len())?;
    } else {
        for Lost { index, lost_on, whole_on } in &lost {
            let lost_on = lost_on.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let copy = |copy: &Copy| format!("node {} ({}), term {}", copy.node, copy.name, copy.term);
            let whole_on = whole_on.iter().map(copy).collect::<Vec<_>>().join("; ");
            let whole_on = if whole_on.is_empty() { "NOWHERE" } else { &whole_on };
            writeln!(out, "entry {index}: lost on {lost_on}; whole on {whole_on}")?;
        }
    }
    Ok(if nowhere { ExitCode::from(exit::DAMAGED) } else { ExitCode::SUCCESS })
}

#[cfg(test)]
#[path = "log_copies_tests.rs"]
mod tests;
