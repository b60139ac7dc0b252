//! Bookings that must all be refused: a check that the cluster books nobody twice.

use super::fhir::{Ask, Known};
use super::lines::{Content, Lines};
use super::{CONCURRENCY, ISSUES_MAX, Issue, IssueKind, Phase, call_issue, fault_issue, open};
use crate::connect::Cluster;
use crate::error::{CODE_SLOT_TAKEN, Error};
use futures_util::stream::{FuturesUnordered, StreamExt};
use plantao_proto::public::v1;
use serde::Serialize;
use std::io;
use std::path::Path;

/// What became of bookings that must be refused.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ConflictReport {
    /// Bookings in the file.
    pub submitted: u64,
    /// Refused as they must be: the slot is taken, with the resource and the booking that holds it named.
    pub refused: u64,
    /// Of those, because of the professional.
    pub practitioner: u64,
    /// Of those, because of the room.
    pub room: u64,
    /// Of those, because of the patient.
    pub patient: u64,
    /// Accepted: somebody is booked twice.
    pub accepted: u64,
    /// Refused for another reason, not readable, or without a certain answer.
    pub otherwise: u64,
    /// The first [`ISSUES_MAX`] that were not refused as they must be.
    pub issues: Vec<Issue>,
}

impl ConflictReport {
    /// Whether each was refused as it must be, and there was at least one.
    pub fn holds(&self) -> bool {
        self.submitted > 0 && self.refused == self.submitted
    }

    fn issue(&mut self, issue: Issue) {
        if self.issues.len() < ISSUES_MAX {
            self.issues.push(issue);
        }
    }
}

/// Submits each booking of `file` and expects a refusal that names what is held and by which booking. Rooms,
/// professionals and patients are looked up in the cluster.
///
/// # Errors
/// When the file cannot be read.
pub async fn submit_conflicting(cluster: &Cluster, file: &Path) -> io::Result<ConflictReport> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut lines = Lines::new(open(file).await?);
    let mut report = ConflictReport::default();
    let mut known = Known::default();
    if let Err(error) = Box::pin(known.look_up(cluster, Phase::Appointments)).await {
        report.issue(call_issue(&name, 0, &error));
        return Ok(report);
    }
    let mut sending = FuturesUnordered::new();
    let mut at_end = false;
    loop {
        while !at_end && sending.len() < CONCURRENCY {
            let Some(line) = lines.next().await? else {
                at_end = true;
                break;
            };
            let asked = match &line.content {
                Content::TooLong => Err(super::Fault::TooLong),
                Content::Bytes(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => continue,
                Content::Bytes(bytes) => known.appointment(bytes, line.terminated),
            };
            report.submitted += 1;
            match asked {
                Ok(Ask::Book(request)) => {
                    sending.push(async move { (line.number, cluster.book(request).await) });
                }
                // The reader of bookings gives nothing else.
                Ok(_) => report.otherwise += 1,
                Err(fault) => {
                    report.otherwise += 1;
                    report.issue(fault_issue(&name, line.number, fault));
                }
            }
        }
        let Some((number, booked)) = sending.next().await else { return Ok(report) };
        match booked {
            Ok(_) => {
                report.accepted += 1;
                let why = "the booking was accepted, though it overlaps another";
                let help = "stop booking and look at the digests of the nodes: a promise is broken";
                report.issue(Issue::new(&name, number, IssueKind::Failed, why, help));
            }
            Err(Error::Refused(refusal)) if refusal.code == CODE_SLOT_TAKEN && refusal.held.is_some() => {
                report.refused += 1;
                match refusal.held.map(|held| held.kind) {
                    Some(v1::ResourceKind::Practitioner) => report.practitioner += 1,
                    Some(v1::ResourceKind::Room) => report.room += 1,
                    Some(v1::ResourceKind::Patient) => report.patient += 1,
                    Some(v1::ResourceKind::Unspecified) | None => {}
                }
            }
            Err(error) => {
                report.otherwise += 1;
                report.issue(call_issue(&name, number, &error));
            }
        }
    }
}
