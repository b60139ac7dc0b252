//! Images of a directory: the rows of `images.csv`, each with its file and the patient's consent, into the cluster; and
//! the same rows read back and compared by SHA-256.
//!
//! ```text
//! row ─► file there, size and SHA-256 as it says ─► consent for clinical images ─► put, a few at a time
//! ```
//! Nothing of a row that is no good is sent. An image that is there already is compared on the node, not sent again.

use super::image_rows::{ImageFault, Row, Rows};
use super::lines::{Content, Lines};
use super::{
    Fault, ImportError, Issue, IssueKind, OnProgress, Phase, Progress, ReadBackReport, Run, UNANSWERED_MAX, call_issue,
    check, error_kind, open,
};
use crate::connect::Cluster;
use crate::error::Error;
use crate::id::Id;
use crate::images::{FileSource, ImageSource, NewImage, PutError, PutOptions, ReadError, digest, is_new, upload_id};
use crate::services::LINEARIZABLE;
use crate::time::unix_ms;
use futures_util::TryStreamExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use plantao_proto::public::v1;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio::fs::File;
use tokio::io::BufReader;

/// Images at a time: a few keep links and disks busy, and each holds a few MiB.
const CONCURRENCY: usize = 4;
/// Patients whose consents and images are remembered; rows of one usually stand together.
const PATIENTS_MAX: usize = 10_000;

/// Why an image of a directory is not in the cluster.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Fault(#[from] ImageFault),
    #[error(transparent)]
    Put(#[from] PutError),
    #[error(transparent)]
    Call(#[from] Error),
}

impl Failed {
    fn issue(&self, line: u64) -> Issue {
        let file = Phase::Images.file();
        match self {
            Self::Fault(fault) => Issue::new(file, line, IssueKind::Invalid, fault.to_string(), fault.help()),
            Self::Call(error) | Self::Put(PutError::Call(error)) => call_issue(file, line, error),
            Self::Put(error) => Issue {
                code: error.code(),
                ..Issue::new(file, line, IssueKind::Failed, error.to_string(), error.help())
            },
        }
    }

    fn call(&self) -> Option<&Error> {
        match self {
            Self::Call(error) | Self::Put(PutError::Call(error)) => Some(error),
            _ => None,
        }
    }
}

/// What the cluster has of one patient.
#[derive(Clone, Default)]
struct OfPatient {
    /// That covers clinical images now: the one valid longest.
    consent: Option<Id>,
    /// Upload and consent of each image.
    images: HashMap<Id, (Id, Id)>,
}

impl OfPatient {
    async fn look_up(cluster: &Cluster, patient: Id) -> Result<Self, Error> {
        let read = Some(LINEARIZABLE);
        let now_ms = unix_ms(SystemTime::now());
        let request = v1::ListConsentsRequest { read, patient_id: patient.to_wire(), page: None };
        let consents: Vec<v1::Consent> = cluster.consents(request).try_collect().await?;
        let covers = |consent: &&v1::Consent| {
            !consent.revoked
                && consent.purposes().any(|purpose| purpose == v1::Purpose::ClinicalImages)
                && consent.valid_from_ms <= now_ms
                && (consent.valid_until_ms == 0 || now_ms < consent.valid_until_ms)
        };
        let covering = consents.iter().filter(covers);
        let consent = covering.min_by_key(|consent| (consent.valid_from_ms, consent.id.clone()));
        let request = v1::ListImagesRequest { read, patient_id: patient.to_wire(), newest_first: false, page: None };
        let images: Vec<v1::Image> = cluster.images(request).try_collect().await?;
        let known = |image: &v1::Image| {
            let id = |bytes| Id::from_wire(bytes).ok();
            Some((id(&image.id)?, (id(&image.upload_id)?, id(&image.consent_id)?)))
        };
        Ok(Self {
            consent: consent.and_then(|consent| Id::from_wire(&consent.id).ok()),
            images: images.iter().filter_map(known).collect(),
        })
    }
}

/// Opens the file of a row, which must lie below `directory`, whatever links lead to.
async fn open_file(directory: &Path, row: &Row) -> Result<Arc<dyn ImageSource>, ImageFault> {
    let path = directory.join(&row.path);
    let (inside, resolved) = (tokio::fs::canonicalize(directory).await, tokio::fs::canonicalize(&path).await);
    let (Ok(inside), Ok(resolved)) = (inside, resolved) else { return Err(ImageFault::NoFile) };
    if !resolved.starts_with(&inside) {
        return Err(ImageFault::Outside);
    }
    // A pipe would never open.
    match tokio::fs::metadata(&resolved).await {
        Ok(metadata) if metadata.is_file() && metadata.len() == row.bytes => {}
        Ok(metadata) if metadata.is_file() => {
            return Err(ImageFault::OtherSize { found: metadata.len(), said: row.bytes });
        }
        Ok(_) | Err(_) => return Err(ImageFault::NoFile),
    }
    let file = std::fs::File::open(&resolved).and_then(FileSource::new).map_err(|_| ImageFault::NoFile)?;
    Ok(Arc::new(file))
}

async fn put(cluster: &Cluster, directory: PathBuf, row: Row, unit_id: Id, of: OfPatient) -> Result<bool, Failed> {
    let file = open_file(&directory, &row).await?;
    // Before anything is sent: a file that is not the one of its row leaves no trace in the cluster.
    if digest(&file).await.map_err(|_| ImageFault::NoFile)? != row.sha256 {
        return Err(ImageFault::OtherDigest.into());
    }
    let there = of.images.get(&row.id).copied();
    let consent = there.map(|(_, consent)| consent).or(row.consent).or(of.consent).ok_or(ImageFault::NoConsent)?;
    let new = NewImage {
        upload_id: there.map_or_else(|| upload_id(row.id), |(upload, _)| upload),
        image_id: row.id,
        patient_id: row.patient,
        unit_id,
        visit_id: row.visit,
        consent_id: consent,
        kind: row.kind,
        media_type: row.media_type,
        taken_ms: row.taken_ms,
        name: row.name,
        remarks: row.remarks,
    };
    let options = PutOptions { sha256: Some(row.sha256), is_there: there.is_some(), ..PutOptions::default() };
    Ok(is_new(&cluster.put_image_with(&new, file, &options, |_| {}).await?))
}

/// Rows of the file, good and bad, with their line; `None` at the end.
struct Reading {
    lines: Lines<BufReader<File>>,
    rows: Option<Rows>,
}

impl Reading {
    async fn open(path: &Path) -> io::Result<(Self, u64)> {
        let lines = super::lines::count(open(path).await?).await?;
        Ok((Self { lines: Lines::new(open(path).await?), rows: None }, lines.saturating_sub(1)))
    }

    async fn next(&mut self) -> io::Result<Option<(u64, Result<Row, ImageFault>)>> {
        loop {
            let Some(line) = self.lines.next().await? else { return Ok(None) };
            let bytes = match &line.content {
                Content::TooLong => return Ok(Some((line.number, Err(Fault::TooLong.into())))),
                Content::Bytes(bytes) if bytes.iter().all(u8::is_ascii_whitespace) && line.number > 1 => continue,
                Content::Bytes(bytes) => bytes,
            };
            match &mut self.rows {
                Some(rows) => return Ok(Some((line.number, rows.row(bytes, line.number, line.terminated)))),
                None if line.number > 1 => {
                    // Without the names of the columns no row means anything; that was told.
                    return Ok(None);
                }
                None => match Rows::new(bytes, line.terminated) {
                    Ok(rows) => self.rows = Some(rows),
                    Err(fault) => return Ok(Some((line.number, Err(fault)))),
                },
            }
        }
    }
}

impl Run<'_> {
    /// The last phase: patients and consents must be there.
    pub(super) async fn images(&mut self, directory: &Path, on_progress: OnProgress<'_>) {
        let phase = Phase::Images;
        let (mut reading, total) = match Reading::open(&directory.join(phase.file())).await {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.report.absent.push(phase.file().to_owned());
                return;
            }
            Err(error) => return self.file_issue(phase, &error),
        };
        if !self.known_to_cluster(phase).await {
            return;
        }
        let cluster = self.cluster;
        let started = Instant::now();
        let mut patients: HashMap<Id, OfPatient> = HashMap::new();
        let mut sending = FuturesUnordered::new();
        let (mut done, mut unanswered, mut at_end) = (0, 0, false);
        let tell = |done: u64| on_progress(Progress::since(started, phase, done, total.max(done)));
        tell(0);
        loop {
            while !at_end && sending.len() < CONCURRENCY && unanswered < UNANSWERED_MAX {
                let Some((line, row)) = self.next(phase, reading.next().await) else {
                    at_end = true;
                    break;
                };
                let known = row.map_err(Failed::from).and_then(|row| {
                    let unit = self.known.patients.get(&row.patient).copied();
                    let field = "patient_id";
                    let unit = unit.ok_or(ImageFault::from(Fault::UnknownReference { field }))?;
                    Ok((row, unit))
                });
                let ready = match known {
                    Ok((row, unit)) => match patients.get(&row.patient) {
                        Some(of) => Ok((row, unit, of.clone())),
                        None => match OfPatient::look_up(cluster, row.patient).await {
                            Ok(of) => {
                                if patients.len() >= PATIENTS_MAX {
                                    patients.clear();
                                }
                                patients.insert(row.patient, of.clone());
                                Ok((row, unit, of))
                            }
                            Err(error) => Err(error.into()),
                        },
                    },
                    Err(failed) => Err(failed),
                };
                match ready {
                    Ok((row, unit, of)) => {
                        let directory = directory.to_owned();
                        sending.push(async move { (line, Box::pin(put(cluster, directory, row, unit, of)).await) });
                    }
                    Err(failed) => {
                        done += 1;
                        unanswered = self.image_done(line, &Err(failed), unanswered);
                        tell(done);
                    }
                }
            }
            let Some((line, put)) = sending.next().await else { break };
            done += 1;
            unanswered = self.image_done(line, &put, unanswered);
            tell(done);
        }
        tell(done);
    }

    /// Counts one; gives how many in a row had no answer.
    fn image_done(&mut self, line: u64, put: &Result<bool, Failed>, unanswered: u32) -> u32 {
        let error = put.as_ref().err().and_then(Failed::call);
        let unanswered = self.count_unanswered(error, unanswered);
        self.tally(Phase::Images, false, |tally| {
            tally.read += 1;
            match (put, error) {
                (Ok(true), _) => tally.new += 1,
                (Ok(false), _) => tally.unchanged += 1,
                (Err(_), Some(error)) if error_kind(error) == IssueKind::Refused => tally.refused += 1,
                (Err(_), _) => tally.failed += 1,
            }
        });
        if let Err(failed) = put {
            self.report.issue(failed.issue(line));
        }
        unanswered
    }
}

/// Reads every image of `directory` through `cluster` (give it [`Cluster::only`] of the node to prove) and compares its
/// SHA-256 with that of the row. Each read is audited, as any other. Without `images.csv` nothing is expected.
///
/// # Errors
/// When there is nothing to begin with; what is missing or different is in the report.
pub async fn read_back_images(
    cluster: &Cluster,
    directory: &Path,
    read: v1::ReadOptions,
    on_progress: OnProgress<'_>,
) -> Result<ReadBackReport, ImportError> {
    check(directory).await?;
    let started = Instant::now();
    let phase = Phase::Images;
    let mut report = ReadBackReport::default();
    match Box::pin(compare(cluster, directory, read, on_progress, &mut report)).await {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            report.failed += 1;
            report.issue(Issue::unreadable(phase.file(), &error));
        }
    }
    report.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

async fn compare(
    cluster: &Cluster,
    directory: &Path,
    read: v1::ReadOptions,
    on_progress: OnProgress<'_>,
    report: &mut ReadBackReport,
) -> io::Result<()> {
    let phase = Phase::Images;
    let (mut rows, total) = Reading::open(&directory.join(phase.file())).await?;
    let started = Instant::now();
    let mut reading = FuturesUnordered::new();
    let (mut done, mut unanswered, mut at_end) = (0, 0, false);
    loop {
        while !at_end && reading.len() < CONCURRENCY && unanswered < UNANSWERED_MAX {
            match rows.next().await? {
                None => at_end = true,
                Some((line, Err(fault))) => {
                    report.skipped += 1;
                    report.issue(Failed::Fault(fault).issue(line));
                }
                Some((line, Ok(row))) => {
                    report.expected += 1;
                    let request = v1::ReadImageRequest {
                        read: Some(read),
                        image_id: row.id.to_wire(),
                        variant: v1::ImageVariant::Original.into(),
                        ..v1::ReadImageRequest::default()
                    };
                    reading.push(async move {
                        let mut hasher = Sha256::new();
                        let hash = |piece: bytes::Bytes| {
                            hasher.update(&piece);
                            Ok(())
                        };
                        let found = cluster.read_image(request, hash).await;
                        (line, row, found.map(|_| <[u8; 32]>::from(hasher.finalize())))
                    });
                }
            }
        }
        let Some((line, row, found)) = reading.next().await else { return Ok(()) };
        done += 1;
        unanswered = if matches!(found, Err(ReadError::Call(Error::Unavailable(_)))) { unanswered + 1 } else { 0 };
        match found {
            Ok(sha256) if sha256 == row.sha256 => {
                report.identical += 1;
                report.bytes += row.bytes;
            }
            Ok(_) | Err(ReadError::OtherDigest | ReadError::Sink(_)) => {
                report.different += 1;
                let why = "the image on the node is not the one of the row";
                let help = "compare the two: plantao image verify";
                report.issue(Issue::new(phase.file(), line, IssueKind::Failed, why, help));
            }
            Err(ReadError::Call(error)) => report.unread(phase.file(), line, &error),
        }
        on_progress(Progress::since(started, phase, done, total.max(done)));
    }
}
