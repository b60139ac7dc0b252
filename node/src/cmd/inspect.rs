//! `plantaod inspect` and `plantaod verify`: a stopped node's directory, read and never written.

use super::log_copies::Entries;
use super::{ConfigArguments, exit};
use crate::app::{log_identity, owner, storage_key};
use crate::crypto::{JournalSeal, StorageSeal};
use crate::entropy::SystemEntropy;
use crate::journal::{Journal, Options as JournalOptions};
use crate::storage::fs::DataDir;
use crate::storage::identity::NodeIdentity;
use crate::storage::rebuild::{self, Options as StateOptions, Start};
use crate::storage::snapshot::Snapshots;
use crate::storage::wal::{Survey, Wal, WalOptions};
use crate::storage::watermark::Watermark;
use anyhow::Context;
use plantao_domain::{JournalId, rows};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// How the answer looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Output {
    /// A line each.
    Text,
    /// One JSON object.
    Json,
}

/// Shows what a stopped node's directory holds.
#[derive(Debug, clap::Args)]
pub struct Inspect {
    #[command(flatten)]
    config: ConfigArguments,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Checks every file of a stopped node: log, votes, state, snapshots, journal. Exit code 9: damage was found.
#[derive(Debug, clap::Args)]
pub struct Verify {
    #[command(flatten)]
    config: ConfigArguments,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Report {
    schema_version: u32,
    #[serde(default)]
    kind: String,
    cluster: String,
    pub(super) cluster_id: String,
    pub(super) node: u64,
    pub(super) name: String,
    pub(super) incarnation: u32,
    keyed: bool,
    checks: Vec<Check>,
    /// Of the log: absent where its files cannot be read at all.
    pub(super) log_entries: Option<Entries>,
}

#[derive(Serialize, Deserialize)]
struct Check {
    part: String,
    ok: bool,
    found: String,
}

fn check<T>(part: &str, result: anyhow::Result<(T, String)>) -> (Check, Option<T>) {
    match result {
        Ok((value, found)) => (Check { part: part.to_owned(), ok: true, found }, Some(value)),
        Err(error) => (Check { part: part.to_owned(), ok: false, found: format!("{error:#}") }, None),
    }
}

fn examine(config: &ConfigArguments) -> anyhow::Result<Report> {
    let config = config.load()?;
    let data = DataDir::new(&config.data_dir);
    let _lock = data.lock().context("the directory is in use: stop the node first")?;
    let identity = NodeIdentity::load(&data.identity()).context("this is not a node's directory")?;
    let key = storage_key(&config, &data, &identity)?;
    let seal = Arc::new(StorageSeal::new(key, identity.cluster, identity.node, &SystemEntropy));
    let mut checks = Vec::new();

    let wal = Wal::open(&data, log_identity(&identity), seal.clone(), WalOptions::default())
        .map(|wal| {
            let state = wal.state();
            let index = |id: Option<crate::storage::wal::EntryId>| id.map_or(0, |id| id.index);
            let found = format!("entries {} to {}", index(state.purged) + 1, index(state.last));
            (index(state.last), found)
        })
        .context("the log cannot be trusted");
    let (line, last) = check("log", wal);
    checks.push(line);
    let mark = Watermark::open(&data.watermark()).ok().map(|watermark| watermark.mark());
    let survey = Survey::of(&data.log(), mark, &*seal).ok();
    let entries = survey.as_ref().map(Entries::of);
    if let (Some(survey), Some(log)) = (&survey, checks.last_mut())
        && log.ok
        && !survey.lost().ranges().is_empty()
    {
        *log =
            Check { part: "log".to_owned(), ok: false, found: format!("entries {} do not read back", survey.lost()) };
    }

    let snapshots = Snapshots::open(&data.snapshots(), seal.clone())
        .map(|snapshots| {
            let found = match snapshots.current() {
                Some(snapshot) => format!("index {}", snapshot.meta().applied.map_or(0, |id| id.index)),
                None => "none yet".to_string(),
            };
            (snapshots, found)
        })
        .context("the snapshots cannot be read");
    let (mut line, snapshots) = check("snapshot", snapshots);
    if let Some(count) = snapshots.as_ref().map(Snapshots::set_aside).filter(|count| *count > 0) {
        let found = format!("{count} newer did not verify, set aside; left: {}", line.found);
        line = Check { ok: false, found, ..line };
    }
    checks.push(line);

    if let Some(snapshots) = snapshots {
        let options =
            StateOptions { dir: data.state(), owner: owner(&identity), engine: config.engine, seal: seal.clone() };
        let opened = rebuild::open(&options, &snapshots).context("the state cannot be opened");
        let state = opened.and_then(|opened| {
            if let Start::Rebuilt { reason, .. } = &opened.start {
                anyhow::bail!("{reason}; it was set aside, and the log rebuilds it at the next start");
            }
            let meta = opened.store.meta();
            let trail = rows::trail_head(&*opened.store)?;
            let index = meta.applied.map_or(0, |id| id.index);
            let mut found = format!("{} rows at index {index}, {} audit entries", meta.rows, trail.sequence);
            // Rows are synced at checkpoints only: a crash, or rot in what an engine wrote last, leaves them behind.
            if let Some(more) = last.and_then(|last| last.checked_sub(index)).filter(|more| *more > 0) {
                found.push_str(&format!("; the log has {more} more entries, which a start applies"));
            }
            Ok(((), found))
        });
        checks.push(check("state", state).0);
    }

    let journal_seal = Arc::clone(&seal);
    let journal = Journal::open(JournalOptions {
        directory: data.journal(),
        bytes_max: config.journal_bytes_max,
        fresh_id: JournalId::from_bytes(crate::entropy::random(&SystemEntropy)),
        seal: Box::new(move |id| JournalSeal::new(journal_seal, id)),
    });
    let journal = journal.context("the journal of reads cannot be trusted").and_then(|journal| {
        let notes = format!("{} notes written", journal.backlog().borrow().written);
        match journal.cut() {
            None => Ok(((), notes)),
            Some(cut) if cut.had_whole => anyhow::bail!(
                "{notes}; {} bytes after note {} did not read back, whole notes among them, and were cut",
                cut.bytes,
                cut.after
            ),
            Some(cut) => {
                Ok(((), format!("{notes}; {} bytes at its end are no whole note, as a crash leaves them", cut.bytes)))
            }
        }
    });
    checks.push(check("journal", journal).0);

    Ok(Report {
        schema_version: 1,
        kind: "inspection".to_owned(),
        cluster: identity.cluster_name,
        cluster_id: identity.cluster.to_string(),
        node: identity.node.0,
        name: identity.name,
        incarnation: identity.incarnation,
        keyed: identity.keyed,
        checks,
        log_entries: entries,
    })
}

fn print(report: &Report, output: Output) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if output == Output::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(report)?)?;
        return Ok(());
    }
    writeln!(out, "network {} ({}), incarnation {}", report.cluster, report.cluster_id, report.incarnation)?;
    let keyed = if report.keyed { "keyed" } else { "keyless" };
    writeln!(out, "node {} ({}), {keyed}", report.node, report.name)?;
    for check in &report.checks {
        let mark = if check.ok { "ok" } else { "DAMAGED" };
        writeln!(out, "{:<9} {mark:<8} {}", check.part, check.found)?;
    }
    if let Some(entries) = report.log_entries.as_ref().filter(|entries| !entries.lost.is_empty()) {
        writeln!(out, "log entries that do not read back: {}", super::log_copies::ranges(&entries.lost))?;
        writeln!(
            out,
            "where the others have them: `plantaod verify -o json` on each stopped node, then `plantaod log-copies`"
        )?;
    }
    Ok(())
}

/// Runs `inspect`.
///
/// # Errors
/// The directory is in use, or is no node's.
pub fn inspect(arguments: &Inspect) -> anyhow::Result<()> {
    print(&examine(&arguments.config)?, arguments.output)
}

/// Runs `verify`.
///
/// # Errors
/// The directory is in use, or is no node's.
pub fn verify(arguments: &Verify) -> anyhow::Result<ExitCode> {
    let report = examine(&arguments.config)?;
    print(&report, arguments.output)?;
    let whole = report.checks.iter().all(|check| check.ok);
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(exit::DAMAGED) })
}
