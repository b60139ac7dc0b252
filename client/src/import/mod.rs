//! Import of a clinic's data: a directory of FHIR R4 files, one resource a line, and images with a table of them. A bad line is told and passed over;
//! nothing a file holds can stop the rest, grow memory beyond bounds, or appear in a message.
//!
//! ```text
//! organizations ─► practitioners ─► locations ─► patients ─► records, consents ─► appointments ─► images
//!   one phase after the other; within one, up to 64 requests (4 images) at a time
//! ```
//! Ids come from the ids of the files, so a second import finds everything there and changes nothing. Every file may be
//! absent; what references lead to is then looked up in the cluster.

mod conflicting;
mod fault;
mod fhir;
mod image_rows;
mod images;
mod lines;
mod report;
mod verify;

pub use conflicting::{ConflictReport, submit_conflicting};
pub use fault::Fault;
pub use image_rows::ImageFault;
pub use images::read_back_images;
pub use lines::LINE_BYTES_MAX;
pub use report::{ISSUES_MAX, ImportReport, Issue, IssueKind, Tally};
pub use verify::{ReadBackReport, read_back};

use crate::connect::Cluster;
use crate::error::Error;
use crate::id::Id;
use crate::services::Written;
use fhir::{Ask, Known};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{TryStreamExt, pin_mut};
use lines::{Content, Lines};
use plantao_proto::public::v1;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::fs::File;
use tokio::io::BufReader;

/// Requests at a time.
pub const CONCURRENCY: usize = 64;

/// So many in a row without any answer end the import: the cluster is gone, and each further line would wait a minute.
const UNANSWERED_MAX: u32 = CONCURRENCY as u32;

const BUFFER_BYTES: usize = 256 << 10;

/// What is imported, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Units.
    Organizations,
    /// Professionals.
    Practitioners,
    /// Rooms.
    Locations,
    /// Patients.
    Patients,
    /// Records and consents.
    Records,
    /// Bookings.
    Appointments,
    /// Photographs and studies.
    Images,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 7] = [
        Self::Organizations,
        Self::Practitioners,
        Self::Locations,
        Self::Patients,
        Self::Records,
        Self::Appointments,
        Self::Images,
    ];

    /// Its file.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Organizations => "organizations.ndjson",
            Self::Practitioners => "practitioners.ndjson",
            Self::Locations => "locations.ndjson",
            Self::Patients => "patients.ndjson",
            Self::Records => "records.ndjson",
            Self::Appointments => "appointments.ndjson",
            Self::Images => "images.csv",
        }
    }
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Progress {
    /// Of what.
    pub phase: Phase,
    /// Lines done with.
    pub done: u64,
    /// Lines in the file.
    pub total: u64,
    /// Lines a second, since the phase began.
    pub rate: f64,
}

impl Progress {
    fn since(started: Instant, phase: Phase, done: u64, total: u64) -> Self {
        Self { phase, done, total, rate: done as f64 / started.elapsed().as_secs_f64().max(1e-3) }
    }
}

/// Told at the beginning and end of each phase, and after each line; must be quick.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Why an import could not begin. What goes wrong later is in its report.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not there, or no directory.
    #[error("cannot read the directory {}", path.display())]
    Directory {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Readable, but none of the files is in it.
    #[error("there is no file to import in {}", path.display())]
    NothingThere {
        /// Where.
        path: PathBuf,
    },
}

/// Imports directories into one cluster.
#[derive(Clone, Debug)]
pub struct Importer {
    cluster: Cluster,
}

impl Importer {
    /// For `cluster`, with the longest patience that a write may have: an import outlasts a failover.
    pub fn new(cluster: &Cluster) -> Self {
        let mut policy = cluster.policy().clone();
        policy.write_lifetime = policy.write_lifetime.max(Duration::from_secs(120));
        Self { cluster: cluster.with_policy(policy) }
    }

    /// Imports the files of `directory`.
    ///
    /// # Errors
    /// Only when there is nothing to begin with; bad lines, refusals and a lost cluster are in the report.
    pub async fn run(&self, directory: &Path, on_progress: OnProgress<'_>) -> Result<ImportReport, ImportError> {
        check(directory).await?;
        let started = Instant::now();
        let mut run = Run { cluster: &self.cluster, known: Known::default(), report: ImportReport::default() };
        for phase in Phase::ALL {
            match phase {
                _ if run.report.stopped.is_some() => {}
                Phase::Images => Box::pin(run.images(directory, on_progress)).await,
                _ => Box::pin(run.phase(directory, phase, on_progress)).await,
            }
        }
        run.report.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(run.report)
    }
}

async fn check(directory: &Path) -> Result<(), ImportError> {
    let metadata = tokio::fs::metadata(directory)
        .await
        .and_then(|it| if it.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) });
    metadata.map_err(|source| ImportError::Directory { path: directory.to_owned(), source })?;
    for phase in Phase::ALL {
        if tokio::fs::try_exists(directory.join(phase.file())).await.unwrap_or(false) {
            return Ok(());
        }
    }
    Err(ImportError::NothingThere { path: directory.to_owned() })
}

/// Opens a file of lines; anything but a plain file (a pipe would never end) is refused.
async fn open(path: &Path) -> io::Result<BufReader<File>> {
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
    }
    Ok(BufReader::with_capacity(BUFFER_BYTES, File::open(path).await?))
}

async fn send(cluster: &Cluster, ask: Ask) -> Result<Written, Error> {
    match ask {
        Ask::Unit(request) => cluster.register_unit(request).await,
        Ask::Practitioner(request) => cluster.register_practitioner(request).await,
        Ask::Room(request) => cluster.register_room(request).await,
        Ask::Patient(request) => cluster.register_patient(request).await,
        Ask::Record(request) => cluster.add_record(request).await,
        Ask::Consent(request) => cluster.grant_consent(request).await,
        Ask::Book(request) => cluster.book(request).await,
    }
}

impl Known {
    /// Reads one line of the phase's file, and remembers what later references may lead to; the first of one id counts.
    fn ask(&mut self, phase: Phase, line: &[u8], terminated: bool) -> Result<Ask, Fault> {
        match phase {
            Phase::Organizations => self.organization(line, terminated),
            Phase::Practitioners => self.practitioner(line, terminated),
            Phase::Locations => self.location(line, terminated),
            Phase::Patients => self.patient_line(line, terminated),
            Phase::Records => self.record(line, terminated),
            Phase::Appointments => self.appointment(line, terminated),
            // A row is no resource.
            Phase::Images => Err(Fault::NotFhir),
        }
    }

    /// Adds what the cluster knows and the files did not tell. An identity that may not list something gets no further
    /// than the files.
    async fn look_up(&mut self, cluster: &Cluster, phase: Phase) -> Result<(), Error> {
        let read = Some(crate::services::LINEARIZABLE);
        // Also before the first phase, where it serves as a question whether anybody answers at all.
        if phase <= Phase::Patients {
            let units = cluster.units(v1::ListUnitsRequest { read, page: None });
            pin_mut!(units);
            while let Some(unit) = units.try_next().await? {
                if let Ok(id) = Id::from_wire(&unit.id) {
                    self.units.entry(unit.slug).or_insert(id);
                }
            }
        }
        if phase == Phase::Appointments {
            let rooms = cluster.rooms(v1::ListRoomsRequest { read, ..v1::ListRoomsRequest::default() });
            pin_mut!(rooms);
            while let Some(room) = rooms.try_next().await? {
                if let (Ok(id), Ok(unit)) = (Id::from_wire(&room.id), Id::from_wire(&room.unit_id)) {
                    self.rooms.entry(id).or_insert(unit);
                }
            }
            let all = v1::ListPractitionersRequest { read, ..v1::ListPractitionersRequest::default() };
            let practitioners = cluster.practitioners(all);
            pin_mut!(practitioners);
            while let Some(practitioner) = practitioners.try_next().await? {
                let (id, unit) = (Id::from_wire(&practitioner.id), Id::from_wire(&practitioner.unit_id));
                if let (Ok(id), Ok(unit)) = (id, unit) {
                    self.practitioners.entry(id).or_insert(unit);
                }
            }
        }
        if matches!(phase, Phase::Records | Phase::Appointments | Phase::Images) {
            let patients = cluster.patients(v1::ListPatientsRequest { read, page: None });
            pin_mut!(patients);
            while let Some(patient) = patients.try_next().await? {
                if let (Ok(id), Ok(unit)) = (Id::from_wire(&patient.id), Id::from_wire(&patient.unit_id)) {
                    self.patients.entry(id).or_insert(unit);
                }
            }
        }
        Ok(())
    }
}

/// Reads a whole file of lines as each kind of file in turn, as an import does without a cluster: what each good line asks
/// for, as its id and document. For the fuzz targets.
#[doc(hidden)]
pub fn fhir_again(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut known = Known::default();
    let mut asked = Vec::new();
    let phases = [
        Phase::Organizations,
        Phase::Practitioners,
        Phase::Locations,
        Phase::Patients,
        Phase::Records,
        Phase::Appointments,
    ];
    for phase in phases {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            if let Ok(ask) = known.ask(phase, line, end.is_some()) {
                asked.push((ask.object_id().to_vec(), ask.document().to_vec()));
            }
            rest = after.get(1..).unwrap_or_default();
        }
    }
    asked
}

/// Reads a whole `images.csv`: path, id and size of each good row. For the fuzz targets.
#[doc(hidden)]
pub fn image_rows_again(bytes: &[u8]) -> Option<Vec<(String, Id, u64)>> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut rows = image_rows::Rows::new(lines.next()?, true).ok()?;
    let read = (2..).zip(lines).filter_map(|(number, line)| rows.row(line, number, true).ok());
    Some(read.map(|row| (row.path, row.id, row.bytes)).collect())
}

struct Run<'a> {
    cluster: &'a Cluster,
    known: Known,
    report: ImportReport,
}

impl Run<'_> {
    fn tally(&mut self, phase: Phase, consent: bool, add: impl Fn(&mut Tally)) {
        let report = &mut self.report;
        add(match phase {
            Phase::Organizations => &mut report.organizations,
            Phase::Practitioners => &mut report.practitioners,
            Phase::Locations => &mut report.locations,
            Phase::Patients => &mut report.patients,
            Phase::Records => &mut report.records,
            Phase::Appointments => &mut report.appointments,
            Phase::Images => &mut report.images,
        });
        if consent {
            add(&mut report.consents);
        }
    }

    fn file_issue(&mut self, phase: Phase, error: &io::Error) {
        self.report.issue(Issue::unreadable(phase.file(), error));
    }

    /// What comes next; where a file cannot be read any further it ends, which is told.
    fn next<T>(&mut self, phase: Phase, read: io::Result<Option<T>>) -> Option<T> {
        read.unwrap_or_else(|error| {
            self.file_issue(phase, &error);
            None
        })
    }

    /// Counts requests in a row without an answer; too many end the import.
    fn count_unanswered(&mut self, error: Option<&Error>, unanswered: u32) -> u32 {
        let Some(error @ (Error::Unavailable(_) | Error::Unknown { .. })) = error else { return 0 };
        if unanswered + 1 >= UNANSWERED_MAX && self.report.stopped.is_none() {
            self.report.stopped = Some(format!("{UNANSWERED_MAX} requests in a row had no answer: {error}"));
        }
        unanswered + 1
    }

    /// Looks up what the files did not tell; `false` ends the import.
    async fn known_to_cluster(&mut self, phase: Phase) -> bool {
        match self.known.look_up(self.cluster, phase).await {
            Ok(()) | Err(Error::Denied(_) | Error::Invalid(_)) => true,
            Err(error) => {
                self.report.stopped = Some(error.to_string());
                false
            }
        }
    }

    async fn phase(&mut self, directory: &Path, phase: Phase, on_progress: OnProgress<'_>) {
        let path = directory.join(phase.file());
        let total = match open(&path).await {
            Ok(reader) => lines::count(reader).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.report.absent.push(phase.file().to_owned());
                return;
            }
            Err(error) => Err(error),
        };
        let opened = match total {
            Ok(total) => open(&path).await.map(|reader| (total, reader)),
            Err(error) => Err(error),
        };
        let (total, reader) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.file_issue(phase, &error),
        };
        if !self.known_to_cluster(phase).await {
            return;
        }
        let cluster = self.cluster;
        let started = Instant::now();
        let mut lines = Lines::new(reader);
        let mut seen: HashMap<Vec<u8>, u64> = HashMap::new();
        let mut sending = FuturesUnordered::new();
        let mut done = 0;
        let mut unanswered = 0;
        let mut at_end = false;
        let tell = |done: u64| on_progress(Progress::since(started, phase, done, total));
        tell(0);
        loop {
            while !at_end && sending.len() < CONCURRENCY && unanswered < UNANSWERED_MAX {
                let Some(line) = self.next(phase, lines.next().await) else {
                    at_end = true;
                    break;
                };
                let asked = match &line.content {
                    Content::TooLong => Err(Fault::TooLong),
                    Content::Bytes(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => {
                        done += 1;
                        continue;
                    }
                    Content::Bytes(bytes) => self.known.ask(phase, bytes, line.terminated),
                };
                let asked = asked.and_then(|ask| match seen.get(ask.object_id()) {
                    Some(first) => Err(Fault::Duplicate { first: *first }),
                    None => {
                        seen.insert(ask.object_id().to_vec(), line.number);
                        Ok(ask)
                    }
                });
                match asked {
                    Ok(ask) => {
                        let consent = matches!(ask, Ask::Consent(_));
                        sending.push(async move { (line.number, consent, send(cluster, ask).await) });
                    }
                    Err(fault) => {
                        done += 1;
                        self.tally(phase, false, |tally| {
                            tally.read += 1;
                            tally.failed += 1;
                        });
                        self.report.issue(fault_issue(phase.file(), line.number, fault));
                        tell(done);
                    }
                }
            }
            let Some((number, consent, written)) = sending.next().await else { break };
            done += 1;
            unanswered = self.count_unanswered(written.as_ref().err(), unanswered);
            self.tally(phase, consent, |tally| {
                tally.read += 1;
                match &written {
                    Ok(written) if written.changed => tally.new += 1,
                    Ok(_) => tally.unchanged += 1,
                    Err(Error::Refused(_) | Error::Invalid(_) | Error::Denied(_)) => tally.refused += 1,
                    Err(_) => tally.failed += 1,
                }
            });
            if let Err(error) = &written {
                self.report.issue(call_issue(phase.file(), number, error));
            }
            tell(done);
        }
        tell(done);
    }
}

fn fault_issue(file: &str, line: u64, fault: Fault) -> Issue {
    Issue::new(file, line, IssueKind::Invalid, fault.to_string(), fault.help())
}

fn call_issue(file: &str, line: u64, error: &Error) -> Issue {
    Issue { code: error.code(), ..Issue::new(file, line, error_kind(error), error.to_string(), error.help()) }
}

fn error_kind(error: &Error) -> IssueKind {
    match error {
        Error::Refused(_) | Error::Invalid(_) | Error::Denied(_) => IssueKind::Refused,
        Error::Unknown { .. } => IssueKind::Unknown,
        _ => IssueKind::Failed,
    }
}
