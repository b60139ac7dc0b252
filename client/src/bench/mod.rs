//! Load: how many operations a cluster does, and how long each takes, seen by programs that wait for each answer.
//!
//! A closed loop: each of `clients` sends its next operation when the last one was answered. Clients share at most
//! [`BenchOptions::connections_max`] connections, spread over all endpoints. What is written (a unit, professionals,
//! rooms, patients, records, bookings a century away) stays in the cluster: a run is for one that holds no real data.

mod gallery;
mod histogram;

pub use gallery::Gallery;

use crate::connect::Cluster;
use crate::error::Error;
use crate::id::Id;
use crate::services::{LINEARIZABLE, LOCAL};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use histogram::Histogram;
use plantao_proto::public::v1;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinSet;

/// 2100-01-01T00:00:00Z: no real booking is there.
const AGENDA_START_MS: i64 = 4_102_444_800_000;
/// Of a booking.
const SLOT_MS: i64 = 15 * 60 * 1_000;
/// Professionals, rooms and patients of a run; also the records that reads choose from.
const COLUMNS_MAX: usize = 64;
/// Records that reads choose from.
const RECORDS: usize = 1_024;
/// Preparing is not measured, but must not take for ever.
const PREPARING: usize = 32;

/// What is done over and over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BenchKind {
    /// Adds a record of `value_bytes`.
    Write,
    /// Books a slot that is free.
    Book,
    /// Reads a record of `value_bytes`, linearizable.
    Read,
    /// Reads a record of `value_bytes` as the node has it.
    ReadLocal,
    /// Stores an image of `image_bytes`, up to its acknowledgement.
    ImagePut,
    /// Reads an image of `image_bytes` as the node has it, and compares its SHA-256.
    ImageGet,
}

impl BenchKind {
    /// Whether `image_bytes` is what counts.
    pub const fn is_of_images(self) -> bool {
        matches!(self, Self::ImagePut | Self::ImageGet)
    }
}

/// A run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BenchOptions {
    /// What.
    pub kind: BenchKind,
    /// Programs at once, from 1 to 4,096.
    pub clients: usize,
    /// How long it is measured.
    pub duration: Duration,
    /// How long it runs before that.
    pub warmup: Duration,
    /// Of a record's document, from 1 to 48 KiB.
    pub value_bytes: usize,
    /// Of an image, from 140 bytes to 2 GiB; each client holds one in memory.
    pub image_bytes: usize,
    /// Over all endpoints together; the cluster must have been opened with at least
    /// [`Self::connections_per_endpoint`].
    pub connections_max: usize,
}

impl BenchOptions {
    /// A run of `kind` with 64 clients, ten seconds after one of warming up, 256 bytes, and 16 connections: as the
    /// figures that it is compared with were made.
    pub fn new(kind: BenchKind) -> Self {
        Self {
            kind,
            clients: 64,
            duration: Duration::from_secs(10),
            warmup: Duration::from_secs(1),
            value_bytes: 256,
            image_bytes: 4_000_000,
            connections_max: 16,
        }
    }

    /// For [`crate::ConnectOptions::connections`], with so many endpoints.
    pub fn connections_per_endpoint(&self, endpoints: usize) -> usize {
        self.connections_max.min(self.clients).div_ceil(endpoints.max(1)).max(1)
    }
}

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Outside its bounds.
    #[error("{what} lies outside its bounds: {bounds}")]
    Option {
        /// Which.
        what: &'static str,
        /// As text.
        bounds: &'static str,
    },
    /// What a run needs could not be registered.
    #[error("the run could not be prepared")]
    Prepare(#[source] Error),
}

/// What a run gave. Times in milliseconds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BenchReport {
    /// What.
    pub kind: BenchKind,
    /// Programs at once.
    pub clients: usize,
    /// Of a record's document.
    pub value_bytes: usize,
    /// Of an image, for kinds of images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_bytes: Option<usize>,
    /// Millions of bytes of images a second, for kinds of images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mb_per_second: Option<f64>,
    /// How long it was measured, exactly.
    pub seconds: f64,
    /// Operations that were done.
    pub ops: u64,
    /// Per second.
    pub ops_per_second: f64,
    /// Half took at most so long.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// Operations that were refused or had no answer.
    pub errors: u64,
    /// Writes whose outcome nobody said.
    pub unknown: u64,
    /// Operations that were done at the second try or later.
    pub retried: u64,
    /// The first error, when there was one.
    pub first_error: Option<String>,
}

/// What one client counted.
struct Counted {
    histogram: Histogram,
    errors: u64,
    unknown: u64,
    retried: u64,
    first_error: Option<String>,
}

/// What a run works on.
struct Stage {
    unit: Id,
    practitioners: Vec<Id>,
    rooms: Vec<Id>,
    patients: Vec<Id>,
    records: Vec<Id>,
    document: Bytes,
    /// For kinds of images.
    gallery: Option<Gallery>,
    /// Numbers operations, so that each books another slot.
    next: AtomicU64,
}

/// Runs the load against `cluster`. Takes `warmup` + `duration` and the time to prepare.
pub async fn run(cluster: &Cluster, options: &BenchOptions) -> Result<BenchReport, BenchError> {
    check(options)?;
    let stage = Arc::new(Box::pin(Stage::prepare(cluster, options)).await.map_err(BenchError::Prepare)?);
    let begin = Instant::now() + options.warmup;
    let end = begin + options.duration;
    let mut clients = JoinSet::new();
    for nth in 0..options.clients {
        let cluster = cluster.spread(nth % options.connections_max);
        let (stage, kind) = (Arc::clone(&stage), options.kind);
        clients.spawn(async move { work(&cluster, &stage, kind, nth, begin, end).await });
    }
    let mut all = Counted { histogram: Histogram::new(), errors: 0, unknown: 0, retried: 0, first_error: None };
    while let Some(counted) = clients.join_next().await {
        // A client that panicked was a bug of this module; its operations are missing, which an error must show.
        let Ok(counted) = counted else {
            all.errors += 1;
            continue;
        };
        all.histogram.merge(&counted.histogram);
        all.errors += counted.errors;
        all.unknown += counted.unknown;
        all.retried += counted.retried;
        all.first_error = all.first_error.or(counted.first_error);
    }
    let seconds = options.duration.as_secs_f64();
    let ms = |us: u64| us as f64 / 1_000.0;
    Ok(BenchReport {
        kind: options.kind,
        clients: options.clients,
        value_bytes: options.value_bytes,
        image_bytes: options.kind.is_of_images().then_some(options.image_bytes),
        mb_per_second: options
            .kind
            .is_of_images()
            .then(|| all.histogram.count() as f64 * options.image_bytes as f64 / seconds / 1e6),
        seconds,
        ops: all.histogram.count(),
        ops_per_second: all.histogram.count() as f64 / seconds,
        p50: ms(all.histogram.quantile(500)),
        p99: ms(all.histogram.quantile(990)),
        p999: ms(all.histogram.quantile(999)),
        max: ms(all.histogram.max()),
        errors: all.errors,
        unknown: all.unknown,
        retried: all.retried,
        first_error: all.first_error,
    })
}

fn check(options: &BenchOptions) -> Result<(), BenchError> {
    let bounds = [
        ((1..=4_096).contains(&options.clients), "clients", "1 to 4096"),
        ((1..=48 << 10).contains(&options.value_bytes), "value bytes", "1 to 49152"),
        ((gallery::BYTES_MIN..=gallery::BYTES_MAX).contains(&options.image_bytes), "image bytes", "140 to 2147483648"),
        ((1..=1_024).contains(&options.connections_max), "connections", "1 to 1024"),
        (
            options.duration >= Duration::from_millis(100) && options.duration <= Duration::from_secs(86_400),
            "duration",
            "0.1 seconds to a day",
        ),
        (options.warmup <= Duration::from_secs(3_600), "warmup", "at most an hour"),
    ];
    match bounds.into_iter().find(|(holds, _, _)| !holds) {
        Some((_, what, bounds)) => Err(BenchError::Option { what, bounds }),
        None => Ok(()),
    }
}

async fn work(cluster: &Cluster, stage: &Stage, kind: BenchKind, nth: usize, begin: Instant, end: Instant) -> Counted {
    let mut counted = Counted { histogram: Histogram::new(), errors: 0, unknown: 0, retried: 0, first_error: None };
    loop {
        let started = Instant::now();
        if started >= end {
            return counted;
        }
        let done = stage.operation(cluster, kind, nth).await;
        let finished = Instant::now();
        // Only what was answered within the measured time counts, begun before it or not: the rate is of answers.
        if finished < begin || finished >= end {
            continue;
        }
        match done {
            Ok(attempts) => {
                counted.retried += u64::from(attempts > 1);
                let us = (finished - started).as_micros();
                counted.histogram.record(u64::try_from(us).unwrap_or(u64::MAX));
            }
            Err(error) => {
                counted.errors += 1;
                counted.unknown += u64::from(error.unknown_request().is_some());
                counted.first_error.get_or_insert_with(|| error.to_string());
                // A node that refuses at once would otherwise be asked as fast as the processor can.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

impl Stage {
    async fn prepare(cluster: &Cluster, options: &BenchOptions) -> Result<Self, Error> {
        let random = || Id::random().map_err(Error::Randomness);
        let ids = |count: usize| (0..count).map(|_| random()).collect::<Result<Vec<_>, _>>();
        let unit = random()?;
        let columns = options.clients.min(COLUMNS_MAX);
        let reads = matches!(options.kind, BenchKind::Read | BenchKind::ReadLocal);
        let books = options.kind == BenchKind::Book;
        let mut stage = Self {
            unit,
            practitioners: ids(if books { columns } else { 0 })?,
            rooms: ids(if books { columns } else { 0 })?,
            patients: ids(columns)?,
            records: ids(if reads { RECORDS } else { 0 })?,
            document: vec![b'x'; options.value_bytes].into(),
            gallery: None,
            next: AtomicU64::new(0),
        };
        let slug = format!("carga-{}", &unit.to_string()[..8]);
        let registered = v1::Unit { id: unit.to_wire(), slug: slug.clone(), name: slug, document: Bytes::new() };
        cluster.register_unit(v1::RegisterUnitRequest { header: None, unit: Some(registered) }).await?;
        let made = &stage;
        at_once(&made.practitioners, |nth, id| async move {
            let practitioner = v1::Practitioner {
                id: id.to_wire(),
                unit_id: unit.to_wire(),
                name: format!("Carga {nth}"),
                ..v1::Practitioner::default()
            };
            let request = v1::RegisterPractitionerRequest { header: None, practitioner: Some(practitioner) };
            cluster.register_practitioner(request).await.map(drop)
        })
        .await?;
        at_once(&made.rooms, |nth, id| async move {
            let room = v1::Room {
                id: id.to_wire(),
                unit_id: unit.to_wire(),
                name: format!("Sala de carga {nth}"),
                ..v1::Room::default()
            };
            cluster.register_room(v1::RegisterRoomRequest { header: None, room: Some(room) }).await.map(drop)
        })
        .await?;
        at_once(&made.patients, |nth, id| async move {
            let demographics =
                v1::Demographics { name: format!("Paciente de carga {nth}"), ..v1::Demographics::default() };
            let request = v1::RegisterPatientRequest {
                header: None,
                patient_id: id.to_wire(),
                unit_id: unit.to_wire(),
                demographics: Some(demographics),
            };
            cluster.register_patient(request).await.map(drop)
        })
        .await?;
        at_once(&made.records, |nth, id| async move { cluster.add_record(made.record(id, nth)).await.map(drop) })
            .await?;
        if options.kind.is_of_images()
            && let Some(patient) = stage.patients.first()
        {
            let reads = options.kind == BenchKind::ImageGet;
            let preparing = Gallery::with_images(cluster, unit, *patient, options.image_bytes, reads);
            stage.gallery = Some(Box::pin(preparing).await?);
        }
        Ok(stage)
    }

    fn record(&self, id: Id, nth: usize) -> v1::AddRecordRequest {
        v1::AddRecordRequest {
            header: None,
            record_id: id.to_wire(),
            patient_id: self.patients[nth % self.patients.len()].to_wire(),
            unit_id: self.unit.to_wire(),
            kind: "Observation".to_owned(),
            authored_ms: 0,
            document: self.document.clone(),
        }
    }

    /// Does one; gives the number of tries.
    async fn operation(&self, cluster: &Cluster, kind: BenchKind, client: usize) -> Result<u32, Error> {
        let nth = self.next.fetch_add(1, Ordering::Relaxed);
        match kind {
            BenchKind::Write => {
                let id = Id::in_order(SystemTime::now()).map_err(Error::Randomness)?;
                Ok(cluster.add_record(self.record(id, client)).await?.attempts)
            }
            BenchKind::ImagePut | BenchKind::ImageGet => {
                let gallery = self.gallery.as_ref().ok_or(Error::Protocol("a run without images"))?;
                match kind {
                    BenchKind::ImagePut => gallery.put(cluster).await.map(drop)?,
                    _ => gallery.get(cluster, nth).await?,
                }
                Ok(1)
            }
            BenchKind::Book => {
                let columns = self.rooms.len() as u64;
                let column = (nth % columns) as usize;
                let start_ms = AGENDA_START_MS + (nth / columns) as i64 * SLOT_MS;
                let slot = v1::Slot {
                    unit_id: self.unit.to_wire(),
                    practitioner_id: self.practitioners[column].to_wire(),
                    room_id: self.rooms[column].to_wire(),
                    start_ms,
                    end_ms: start_ms + SLOT_MS,
                };
                let request = v1::BookRequest {
                    header: None,
                    appointment_id: Id::in_order(SystemTime::now()).map_err(Error::Randomness)?.to_wire(),
                    patient_id: self.patients[column].to_wire(),
                    slot: Some(slot),
                    encaixe_reason: String::new(),
                    document: Bytes::new(),
                };
                Ok(cluster.book(request).await?.attempts)
            }
            BenchKind::Read | BenchKind::ReadLocal => {
                let read = if kind == BenchKind::Read { LINEARIZABLE } else { LOCAL };
                // A stride that shares no factor with their number: neighbours in time are no neighbours in the store.
                let at = (nth as usize).wrapping_mul(389) % self.records.len();
                let record_id = self.records[at].to_wire();
                cluster.get_record(v1::GetRecordRequest { read: Some(read), record_id, version: 0 }).await?;
                Ok(1)
            }
        }
    }
}

/// Makes all calls, some at a time. By value and collected first: a stream over borrowed ids would not be `Send`.
async fn at_once<F, Fut>(ids: &[Id], call: F) -> Result<(), Error>
where
    F: Fn(usize, Id) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
{
    let calls: Vec<Fut> = ids.iter().enumerate().map(|(nth, id)| call(nth, *id)).collect();
    stream::iter(calls).buffer_unordered(PREPARING).try_collect::<()>().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_its_bounds_is_refused() {
        let good = BenchOptions::new(BenchKind::Write);
        assert!(check(&good).is_ok());
        for bad in [
            BenchOptions { clients: 0, ..good.clone() },
            BenchOptions { value_bytes: 0, ..good.clone() },
            BenchOptions { image_bytes: 139, ..good.clone() },
            BenchOptions { image_bytes: (2 << 30) + 1, ..good.clone() },
            BenchOptions { value_bytes: (48 << 10) + 1, ..good.clone() },
            BenchOptions { connections_max: 0, ..good.clone() },
            BenchOptions { duration: Duration::ZERO, ..good.clone() },
            BenchOptions { warmup: Duration::from_secs(7_200), ..good.clone() },
        ] {
            assert!(matches!(check(&bad), Err(BenchError::Option { .. })));
        }
    }

    #[test]
    fn connections_are_at_most_as_many_as_asked_for_and_at_least_one() {
        let options = BenchOptions::new(BenchKind::Read);
        assert_eq!(options.connections_per_endpoint(3), 6);
        assert_eq!(BenchOptions { clients: 1, ..options.clone() }.connections_per_endpoint(3), 1);
        assert_eq!(options.connections_per_endpoint(100), 1);
    }
}
