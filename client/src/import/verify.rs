//! Reads imported documents back and compares them with the files, byte for byte.

use super::fhir::{Ask, Known};
use super::lines::{Content, Lines};
use super::{
    CONCURRENCY, Fault, ISSUES_MAX, ImportError, Issue, IssueKind, OnProgress, Phase, Progress, UNANSWERED_MAX,
    call_issue, check, fault_issue, open,
};
use crate::connect::Cluster;
use crate::error::Error;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use plantao_proto::public::v1;
use serde::Serialize;
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::time::Instant;

/// What was read back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ReadBackReport {
    /// Documents in the file, consents included; lines that an import passes over are not counted.
    pub expected: u64,
    /// Read, and equal to the bit.
    pub identical: u64,
    /// Of those, consents.
    pub consents: u64,
    /// Read, and not equal.
    pub different: u64,
    /// The node does not have it.
    pub missing: u64,
    /// No answer.
    pub failed: u64,
    /// Lines that an import passes over.
    pub skipped: u64,
    /// Bytes of the identical documents.
    pub bytes: u64,
    /// The first [`ISSUES_MAX`].
    pub issues: Vec<Issue>,
    /// How long it took.
    pub elapsed_ms: u64,
}

impl ReadBackReport {
    /// Whether every document was there, to the bit, and there was at least one.
    pub fn holds(&self) -> bool {
        self.expected > 0 && self.identical == self.expected
    }

    pub(super) fn issue(&mut self, issue: Issue) {
        if self.issues.len() < ISSUES_MAX {
            self.issues.push(issue);
        }
    }

    /// It was asked for and not given.
    pub(super) fn unread(&mut self, file: &str, line: u64, error: &Error) {
        match error {
            Error::NotFound(_) => self.missing += 1,
            _ => self.failed += 1,
        }
        self.issue(call_issue(file, line, error));
    }
}

async fn fetch(cluster: &Cluster, read: v1::ReadOptions, ask: &Ask) -> Result<Option<Bytes>, Error> {
    match ask {
        Ask::Record(request) => {
            let record_id = request.record_id.clone();
            // The first version is what was imported; amendments since then are none of its business.
            let request = v1::GetRecordRequest { read: Some(read), record_id, version: 1 };
            Ok(Some(cluster.get_record(request).await?.document))
        }
        Ask::Consent(request) => {
            let consent_id = request.consent_id.clone();
            let request = v1::GetConsentRequest { read: Some(read), consent_id };
            Ok(cluster.get_consent(request).await?.consent.map(|consent| consent.document))
        }
        _ => Ok(None),
    }
}

/// Reads every record and consent of `directory` through `cluster` (give it [`Cluster::only`] of the node to prove) and
/// compares. Each read is audited, as any other.
///
/// # Errors
/// When there is nothing to begin with; what is missing or different is in the report.
pub async fn read_back(
    cluster: &Cluster,
    directory: &Path,
    read: v1::ReadOptions,
    on_progress: OnProgress<'_>,
) -> Result<ReadBackReport, ImportError> {
    check(directory).await?;
    let started = Instant::now();
    let phase = Phase::Records;
    let mut report = ReadBackReport::default();
    if let Err(error) = Box::pin(compare(cluster, directory, read, on_progress, &mut report)).await {
        report.failed += 1;
        let why = format!("the files cannot be read: {error}");
        report.issue(Issue::new(phase.file(), 0, IssueKind::Failed, why, "look at the files and their rights"));
    }
    report.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// Units and patients as the files have them, without asking the cluster that is to be proven.
async fn known_from(directory: &Path) -> io::Result<Known> {
    let mut known = Known::default();
    for phase in [Phase::Organizations, Phase::Patients] {
        let reader = match open(&directory.join(phase.file())).await {
            Ok(reader) => reader,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut lines = Lines::new(reader);
        while let Some(line) = lines.next().await? {
            if let Content::Bytes(bytes) = line.content {
                // What an import would pass over, this does too.
                let _ = known.ask(phase, &bytes, line.terminated);
            }
        }
    }
    Ok(known)
}

async fn compare(
    cluster: &Cluster,
    directory: &Path,
    read: v1::ReadOptions,
    on_progress: OnProgress<'_>,
    report: &mut ReadBackReport,
) -> io::Result<()> {
    let phase = Phase::Records;
    let mut known = known_from(directory).await?;
    if known.patients.is_empty() {
        // Imported without the patients' file: only the cluster knows them.
        if let Err(error) = known.look_up(cluster, phase).await {
            report.issue(call_issue(phase.file(), 0, &error));
        }
    }
    let path = directory.join(phase.file());
    let total = super::lines::count(open(&path).await?).await?;
    let mut lines = Lines::new(open(&path).await?);
    let started = Instant::now();
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    let mut reading = FuturesUnordered::new();
    let mut at_end = false;
    let mut unanswered = 0;
    let mut done = 0;
    loop {
        while !at_end && reading.len() < CONCURRENCY && unanswered < UNANSWERED_MAX {
            let Some(line) = lines.next().await? else {
                at_end = true;
                break;
            };
            let bytes = match line.content {
                Content::Bytes(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => continue,
                Content::Bytes(bytes) => bytes,
                Content::TooLong => {
                    report.skipped += 1;
                    report.issue(fault_issue(phase.file(), line.number, Fault::TooLong));
                    continue;
                }
            };
            match known.ask(phase, &bytes, line.terminated) {
                Ok(ask) if seen.insert(ask.object_id().to_vec()) => {
                    report.expected += 1;
                    reading.push(async move {
                        let found = fetch(cluster, read, &ask).await;
                        (line.number, matches!(ask, Ask::Consent(_)), bytes, found)
                    });
                }
                Ok(_) => report.skipped += 1,
                Err(fault) => {
                    report.skipped += 1;
                    report.issue(fault_issue(phase.file(), line.number, fault));
                }
            }
        }
        let Some((number, consent, expected, found)) = reading.next().await else { return Ok(()) };
        done += 1;
        // A node that is gone would cost every further line a minute.
        unanswered = if matches!(found, Err(Error::Unavailable(_))) { unanswered + 1 } else { 0 };
        match found {
            Ok(Some(document)) if document == expected => {
                report.identical += 1;
                report.consents += u64::from(consent);
                report.bytes += expected.len() as u64;
            }
            Ok(_) => {
                report.different += 1;
                let why = "the document on the node is not the one in the file";
                let help = "compare the two; an amended consent differs on purpose";
                report.issue(Issue::new(phase.file(), number, IssueKind::Failed, why, help));
            }
            Err(error) => report.unread(phase.file(), number, &error),
        }
        on_progress(Progress::since(started, phase, done, total));
    }
}
