//! `plantao import DIR`: FHIR R4 NDJSON files into the cluster, with bars, a report, and on request the proof that
//! every document reads back byte by byte from each endpoint and that double bookings are refused.

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::session::Session;
use crate::text::{Lang, Say, Word};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use plantao_client::import::{
    ConflictReport, ImportError, ImportReport, Importer, Issue, Progress, ReadBackReport, Tally, read_back,
    read_back_images, submit_conflicting,
};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Issues that are printed; all are in the JSON report, up to the client's own bound.
const ISSUES_SHOWN: usize = 20;

/// What, and what to prove.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Directory with the files
    directory: PathBuf,
    /// Read every document back and compare byte by byte
    #[arg(long)]
    read_back: bool,
    /// File of bookings that must all be refused
    #[arg(long, value_name = "FILE")]
    conflicting: Option<PathBuf>,
}

/// Everything that was done.
struct Done {
    import: ImportReport,
    /// By endpoint.
    read_back: Vec<(String, ReadBackReport)>,
    /// The same of images, where there are any.
    images_read_back: Vec<(String, ReadBackReport)>,
    conflicting: Option<ConflictReport>,
}

/// Runs it.
pub(crate) async fn run(args: ImportArgs, session: &Session) -> Result<Exit, Failure> {
    let gateway = session.cluster()?;
    let cluster = gateway.cluster();
    let bar = if session.out.quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let style = ProgressStyle::with_template("{prefix:14} {wide_bar} {pos}/{len} {per_sec} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let on_progress = |progress: Progress| {
        let file = progress.phase.file();
        bar.set_prefix(file.split('.').next().unwrap_or(file));
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let import = Box::pin(Importer::new(cluster).run(&args.directory, &on_progress)).await.map_err(not_begun)?;
    let mut done = Done { import, read_back: Vec::new(), images_read_back: Vec::new(), conflicting: None };
    if let Some(file) = &args.conflicting {
        let report = Box::pin(submit_conflicting(cluster, file)).await;
        let report = report.map_err(|source| Failure::ReadFile { path: file.clone(), source })?;
        done.conflicting = Some(report);
    }
    if args.read_back {
        let addresses: Vec<String> = cluster.addresses().into_iter().map(str::to_owned).collect();
        for address in addresses {
            let Some(one) = cluster.only(&address) else { continue };
            let report = Box::pin(read_back(&one, &args.directory, gateway.read(), &on_progress)).await;
            done.read_back.push((address.clone(), report.map_err(not_begun)?));
            let report = Box::pin(read_back_images(&one, &args.directory, gateway.read(), &on_progress)).await;
            let report = report.map_err(not_begun)?;
            if report.expected + report.skipped + report.failed > 0 {
                done.images_read_back.push((address, report));
            }
        }
    }
    bar.finish_and_clear();
    session.out.report(&view(session.out.lang, &done))?;
    tell(&done, session);
    done.end()
}

fn not_begun(error: ImportError) -> Failure {
    match error {
        ImportError::Directory { path, source } => Failure::ReadFile { path, source },
        error @ ImportError::NothingThere { .. } => Failure::Work { why: chain(&error) },
    }
}

fn tell(done: &Done, session: &Session) {
    let read_back = done.all_read_back().flat_map(|(_, report)| &report.issues);
    let conflicting = done.conflicting.iter().flat_map(|report| &report.issues);
    for issue in done.import.issues.iter().chain(read_back).chain(conflicting).take(ISSUES_SHOWN) {
        session.out.note(&issue_text(issue));
    }
    if let Some(why) = &done.import.stopped {
        session.out.note(&Say::ImportStopped { why: why.clone() });
    } else if done.import.nothing_changed() {
        session.out.note(&Say::NothingChanged);
    } else {
        session.out.note(&Say::ImportDone { issues: done.import.issue_count });
    }
    for (endpoint, report) in done.images_read_back.iter().filter(|(_, report)| report.holds()) {
        session.out.note(&Say::ImagesReadBack { endpoint: endpoint.clone(), images: report.identical });
    }
    for (endpoint, report) in done.read_back.iter().filter(|(_, report)| report.holds()) {
        session.out.note(&Say::ReadBack { endpoint: endpoint.clone(), records: report.identical });
    }
}

fn issue_text(issue: &Issue) -> Say {
    Say::Issue {
        place: format!("{}:{}", issue.file, issue.line),
        code: issue.code,
        why: issue.why.clone(),
        help: issue.help.clone(),
    }
}

impl Done {
    fn all_read_back(&self) -> impl Iterator<Item = &(String, ReadBackReport)> {
        self.read_back.iter().chain(&self.images_read_back)
    }

    fn end(&self) -> Result<Exit, Failure> {
        let differing: u64 =
            self.all_read_back().map(|(_, report)| report.different.saturating_add(report.missing)).sum();
        if differing > 0 {
            return Err(Failure::ReadBackDiffers { count: differing });
        }
        if self.conflicting.as_ref().is_some_and(|report| !report.holds()) {
            return Ok(Exit::GoalNotMet);
        }
        let all_read = self.all_read_back().all(|(_, report)| report.holds());
        Ok(if self.import.is_clean() && all_read { Exit::Done } else { Exit::Partial })
    }
}

fn view(lang: Lang, done: &Done) -> Report {
    let import = &done.import;
    let rows = [
        (Word::Unit, &import.organizations),
        (Word::Practitioner, &import.practitioners),
        (Word::Room, &import.locations),
        (Word::Patient, &import.patients),
        (Word::Record, &import.records),
        (Word::Consent, &import.consents),
        (Word::Appointment, &import.appointments),
        (Word::Image, &import.images),
    ];
    let count =
        |number: u64, tone: Tone| Cell { text: number.to_string(), tone: if number == 0 { Tone::Plain } else { tone } };
    let row = |(kind, tally): (Word, &Tally)| {
        vec![
            lang.word(kind).into(),
            count(tally.read, Tone::Plain),
            count(tally.new, Tone::Plain),
            count(tally.unchanged, Tone::Plain),
            count(tally.refused, Tone::Warn),
            count(tally.failed, Tone::Bad),
        ]
    };
    let told = |(endpoint, report): &(String, ReadBackReport)| json!({"endpoint": endpoint, "report": report});
    let read_back: Vec<Value> = done.read_back.iter().map(told).collect();
    let images_read_back: Vec<Value> = done.images_read_back.iter().map(told).collect();
    Report {
        kind: "import",
        head: Map::from_iter([
            ("nothing_changed".to_owned(), import.nothing_changed().into()),
            ("read_back".to_owned(), read_back.into()),
            ("images_read_back".to_owned(), images_read_back.into()),
            ("conflicting".to_owned(), json!(done.conflicting)),
        ]),
        items: Items::One("import", json!(import)),
        table: Table::new(
            vec![
                Column::of(Word::Kind),
                Column::number(Word::Read),
                Column::number(Word::NewOnes),
                Column::number(Word::Unchanged),
                Column::number(Word::Refused),
                Column::number(Word::Failed),
            ],
            rows.map(row).to_vec(),
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod samples {
    //! Fixed reports for golden files, and what they end with.
    use super::*;

    fn done() -> Done {
        let patients = Tally { read: 28, new: 27, refused: 1, ..Tally::default() };
        let records = Tally { read: 14_592, new: 14_592, ..Tally::default() };
        let issue: Issue = Issue {
            file: "patients.ndjson".into(),
            line: 3,
            what: plantao_client::import::IssueKind::Refused,
            why: "a patient with this CPF or telephone exists".into(),
            help: "use the registered patient".into(),
            code: Some(1211),
        };
        let import = ImportReport {
            patients,
            records,
            issues: vec![issue],
            issue_count: 1,
            elapsed_ms: 12_345,
            ..ImportReport::default()
        };
        Done { import, read_back: Vec::new(), images_read_back: Vec::new(), conflicting: None }
    }

    pub(crate) fn some_refused(lang: Lang) -> Report {
        view(lang, &done())
    }

    #[test]
    fn what_was_not_taken_is_never_exit_0() {
        assert_eq!(done().end().unwrap(), Exit::Partial);
        let clean = || Done { import: ImportReport::default(), ..done() };
        assert_eq!(clean().end().unwrap(), Exit::Done);
        let read =
            |different| ReadBackReport { expected: 2, identical: 2 - different, different, ..Default::default() };
        let with = |report| Done { read_back: vec![("127.0.0.1:7101".into(), report)], ..clean() };
        assert_eq!(with(read(0)).end().unwrap(), Exit::Done);
        assert_eq!(with(read(1)).end().unwrap_err().exit(), Exit::Integrity);
        let images = |report| Done { images_read_back: vec![("127.0.0.1:7101".into(), report)], ..with(read(0)) };
        assert_eq!(images(read(0)).end().unwrap(), Exit::Done);
        assert_eq!(images(read(1)).end().unwrap_err().exit(), Exit::Integrity);
        let accepted = ConflictReport { submitted: 1, accepted: 1, ..ConflictReport::default() };
        assert_eq!(Done { conflicting: Some(accepted), ..clean() }.end().unwrap(), Exit::GoalNotMet);
    }
}
