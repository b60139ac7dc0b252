//! A steady load with a memory: bookings and records are sent at a fixed rate, whatever becomes of the nodes, and every
//! acknowledged one is remembered, so that it can be looked for afterwards ([`super::checks`]).
//!
//! ```text
//! nth           0        1                    2        3        4 ...
//! contended     book A   book B, same slot    record   record   book A ...
//! ordinary      book     book                 book     record   book ...
//! ```
//! Of A and B, sent through different nodes at almost the same time, at most one may ever be acknowledged.

use super::{Error, NETWORK_TIME_MAX, pause_until};
use bytes::Bytes;
use plantao_client::retry::RetryPolicy;
use plantao_client::services::Written;
use plantao_client::{Cluster, Id};
use plantao_proto::public::v1;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::{JoinHandle, JoinSet};

/// 2100-01-01T00:00:00Z: no booking of a clinic's data is there.
const AGENDA_START_MS: i64 = 4_102_444_800_000;
const SLOT_MS: i64 = 15 * 60 * 1_000;
/// Professionals, rooms and patients.
const COLUMNS: usize = 4;
/// How long a write is tried again under its request id: longer than every outage that is made here.
const WRITE_LIFETIME: Duration = Duration::from_secs(300);
/// Most writes of one load; bounds what is remembered.
const WRITES_MAX: u64 = 1_000_000;

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Pairs of bookings that want the same slot, and as many records: looks for what must never happen.
    Contended,
    /// Three bookings of free slots, then a record: an ordinary day, whose times can be compared.
    Ordinary,
}

/// How much load, and of what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadOptions {
    /// What.
    pub work: Work,
    /// A write begins each time this has passed.
    pub every: Duration,
    /// Writes under way at once; when so many wait, none begins.
    pub in_flight_max: usize,
}

impl Default for LoadOptions {
    /// A contended write every 5 ms, 512 at once: more than two seconds of an outage.
    fn default() -> Self {
        Self { work: Work::Contended, every: Duration::from_millis(5), in_flight_max: 512 }
    }
}

/// What the load works on: one unit of its own, so that no clinic's data is touched.
#[derive(Clone, Debug)]
pub struct Stage {
    work: Work,
    unit: Id,
    practitioners: Vec<Id>,
    rooms: Vec<Id>,
    patients: Vec<Id>,
}

impl Stage {
    /// Its unit.
    pub fn unit(&self) -> Id {
        self.unit
    }

    /// Its patients.
    pub fn patients(&self) -> &[Id] {
        &self.patients
    }
}

/// What was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    /// A booking; its slot follows from the number.
    Booking,
    /// A record; its document follows from the number.
    Record,
}

/// A write that was acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledged {
    /// Of the object.
    pub id: Id,
    /// What it is.
    pub object: Object,
    /// Number of the write.
    pub nth: u64,
    /// Log index at which it was decided.
    pub index: u64,
    /// When it was sent first.
    pub sent: Instant,
    /// When the answer came.
    pub at: Instant,
    /// How many tries it took.
    pub attempts: u32,
}

/// What became of all writes so far.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Done.
    pub acknowledged: Vec<Acknowledged>,
    /// Refused because the slot is taken.
    pub refused: u64,
    /// Objects of writes that nobody decided within their life: they may be there or not.
    pub undecided: Vec<Id>,
    /// Refused for another reason, or not sent: a fault of the load or of the network.
    pub failed: u64,
    /// The first of these.
    pub first_failure: Option<String>,
}

/// A time without any acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interruption {
    /// The last one before.
    pub from: Instant,
    /// The first one after.
    pub to: Instant,
}

impl Interruption {
    /// How long.
    pub fn length(&self) -> Duration {
        self.to.saturating_duration_since(self.from)
    }
}

impl Ledger {
    /// The longest time between two acknowledgements of which the second came after `since`. `None` without two.
    pub fn interruption(&self, since: Instant) -> Option<Interruption> {
        let mut times: Vec<Instant> = self.acknowledged.iter().map(|done| done.at).collect();
        times.sort_unstable();
        let pairs = times.windows(2).filter(|pair| pair[1] > since);
        let longest = pairs.max_by_key(|pair| pair[1].duration_since(pair[0]))?;
        Some(Interruption { from: longest[0], to: longest[1] })
    }

    fn after(&self, since: Instant) -> usize {
        self.acknowledged.iter().rev().filter(|done| done.at > since).count()
    }
}

#[derive(Debug, Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    stopping: AtomicBool,
    resting: AtomicBool,
}

impl Shared {
    fn with<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        // Each change is one push or one addition: a panic elsewhere leaves it whole.
        look(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A load that runs. Dropping it stops it at once.
#[derive(Debug)]
pub struct Load {
    stage: Stage,
    shared: Arc<Shared>,
    sending: JoinHandle<()>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

impl Load {
    /// Registers what it works on and begins to send, by turns through each endpoint of `cluster`.
    pub async fn start(cluster: &Cluster, options: &LoadOptions) -> Result<Self, Error> {
        let stage = Box::pin(Stage::prepare(cluster, options.work)).await.map_err(Error::Call)?;
        let shared = Arc::new(Shared::default());
        let policy = RetryPolicy { write_lifetime: WRITE_LIFETIME, ..RetryPolicy::default() };
        let endpoints = cluster.addresses().len();
        let clusters = (0..endpoints).map(|nth| cluster.with_policy(policy.clone()).spread(nth)).collect();
        let sending = tokio::spawn(send(clusters, stage.clone(), Arc::clone(&shared), *options));
        Ok(Self { stage, shared, sending })
    }

    /// What it works on.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// What became of all writes so far.
    pub fn ledger(&self) -> Ledger {
        self.shared.with(|ledger| ledger.clone())
    }

    /// Begins no write while it rests; those under way go on.
    pub fn rest(&self, resting: bool) {
        self.shared.resting.store(resting, Ordering::Relaxed);
    }

    /// Waits until `count` writes were acknowledged after `since`.
    pub async fn acknowledged_after(&self, since: Instant, count: usize) -> Result<(), Error> {
        let deadline = Instant::now() + NETWORK_TIME_MAX;
        while self.shared.with(|ledger| ledger.after(since)) < count {
            pause_until(deadline, "writes that succeed").await?;
        }
        Ok(())
    }

    /// Begins no further write and waits until each has an answer or is past its life.
    pub async fn stop(mut self) -> Result<(Stage, Ledger), Error> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let waited = WRITE_LIFETIME + NETWORK_TIME_MAX;
        if tokio::time::timeout(waited, &mut self.sending).await.is_err() {
            return Err(Error::TimedOut { what: "answers to writes".to_owned(), waited });
        }
        Ok((self.stage.clone(), self.ledger()))
    }
}

async fn send(clusters: Vec<Cluster>, stage: Stage, shared: Arc<Shared>, options: LoadOptions) {
    let stage = Arc::new(stage);
    let mut under_way = JoinSet::new();
    let mut ticks = tokio::time::interval(options.every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut nth = 0;
    while nth < WRITES_MAX && !shared.stopping.load(Ordering::Relaxed) {
        ticks.tick().await;
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= options.in_flight_max || shared.resting.load(Ordering::Relaxed) {
            continue;
        }
        let cluster = clusters[nth as usize % clusters.len()].clone();
        let (stage, shared) = (Arc::clone(&stage), Arc::clone(&shared));
        under_way.spawn(async move { write(&cluster, &stage, &shared, nth).await });
        nth += 1;
    }
    while under_way.join_next().await.is_some() {}
}

async fn write(cluster: &Cluster, stage: &Stage, shared: &Shared, nth: u64) {
    let Ok(id) = Id::in_order(SystemTime::now()) else {
        shared.with(|ledger| ledger.failed += 1);
        return;
    };
    let (object, sent) = (stage.object(nth), Instant::now());
    let written = match object {
        Object::Booking => cluster.book(stage.booking(id, nth)).await,
        Object::Record => cluster.add_record(stage.record(id, nth)).await,
    };
    let at = Instant::now();
    shared.with(|ledger| match written {
        Ok(Written { attempts, index, .. }) => {
            ledger.acknowledged.push(Acknowledged { id, object, nth, index, sent, at, attempts });
        }
        Err(plantao_client::Error::Refused(refusal)) if refusal.held.is_some() => ledger.refused += 1,
        // The client has tried under one request id for the whole life of the request.
        Err(plantao_client::Error::Unknown { .. }) => ledger.undecided.push(id),
        Err(error) => {
            ledger.failed += 1;
            ledger.first_failure.get_or_insert_with(|| error.to_string());
        }
    });
}

/// The document of the `nth` write.
pub(super) fn document(nth: u64) -> Bytes {
    let note = "Evolução de carga: ".to_owned() + &"sem intercorrências; ".repeat(8);
    Bytes::from(format!("{{\"resourceType\":\"Observation\",\"id\":\"carga-{nth}\",\"note\":\"{note}\"}}"))
}

impl Stage {
    /// Registers a unit with professionals, rooms and patients that nobody else has.
    pub async fn prepare(cluster: &Cluster, work: Work) -> Result<Self, plantao_client::Error> {
        let random = || Id::random().map_err(plantao_client::Error::Randomness);
        let ids = || (0..COLUMNS).map(|_| random()).collect::<Result<Vec<_>, _>>();
        let stage = Self { work, unit: random()?, practitioners: ids()?, rooms: ids()?, patients: ids()? };
        let slug = format!("carga-{}", &stage.unit.to_string()[..8]);
        let unit_id = stage.unit.to_wire();
        let unit = v1::Unit { id: unit_id.clone(), slug: slug.clone(), name: slug, document: Bytes::new() };
        cluster.register_unit(v1::RegisterUnitRequest { header: None, unit: Some(unit) }).await?;
        for (nth, id) in stage.practitioners.iter().enumerate() {
            let practitioner = v1::Practitioner {
                id: id.to_wire(),
                unit_id: unit_id.clone(),
                name: format!("Profissional de carga {nth}"),
                ..v1::Practitioner::default()
            };
            let request = v1::RegisterPractitionerRequest { header: None, practitioner: Some(practitioner) };
            cluster.register_practitioner(request).await?;
        }
        for (nth, id) in stage.rooms.iter().enumerate() {
            let room = v1::Room {
                id: id.to_wire(),
                unit_id: unit_id.clone(),
                name: format!("Sala de carga {nth}"),
                ..v1::Room::default()
            };
            cluster.register_room(v1::RegisterRoomRequest { header: None, room: Some(room) }).await?;
        }
        for (nth, id) in stage.patients.iter().enumerate() {
            let demographics =
                v1::Demographics { name: format!("Paciente de carga {nth}"), ..v1::Demographics::default() };
            let request = v1::RegisterPatientRequest {
                header: None,
                patient_id: id.to_wire(),
                unit_id: unit_id.clone(),
                demographics: Some(demographics),
            };
            cluster.register_patient(request).await?;
        }
        Ok(stage)
    }

    fn object(&self, nth: u64) -> Object {
        let bookings = match self.work {
            Work::Contended => 2,
            Work::Ordinary => 3,
        };
        if nth % 4 < bookings { Object::Booking } else { Object::Record }
    }

    /// Number of the slot that the `nth` write books: where they contend, two neighbours book the same.
    fn place(&self, nth: u64) -> u64 {
        match self.work {
            Work::Contended => nth / 4,
            Work::Ordinary => nth,
        }
    }

    /// Where the `nth` write books.
    pub(super) fn slot(&self, nth: u64) -> v1::Slot {
        let place = self.place(nth);
        let column = (place % COLUMNS as u64) as usize;
        let start_ms = AGENDA_START_MS + (place / COLUMNS as u64) as i64 * SLOT_MS;
        v1::Slot {
            unit_id: self.unit.to_wire(),
            practitioner_id: self.practitioners[column].to_wire(),
            room_id: self.rooms[column].to_wire(),
            start_ms,
            end_ms: start_ms + SLOT_MS,
        }
    }

    fn booking(&self, id: Id, nth: u64) -> v1::BookRequest {
        let column = (self.place(nth) % COLUMNS as u64) as usize;
        v1::BookRequest {
            header: None,
            appointment_id: id.to_wire(),
            patient_id: self.patients[column].to_wire(),
            slot: Some(self.slot(nth)),
            encaixe_reason: String::new(),
            document: Bytes::new(),
        }
    }

    fn record(&self, id: Id, nth: u64) -> v1::AddRecordRequest {
        v1::AddRecordRequest {
            header: None,
            record_id: id.to_wire(),
            patient_id: self.patients[nth as usize % COLUMNS].to_wire(),
            unit_id: self.unit.to_wire(),
            kind: "Observation".to_owned(),
            authored_ms: AGENDA_START_MS,
            document: document(nth),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stage(work: Work) -> Stage {
        let ids = |kind: u8| (0..COLUMNS as u8).map(|nth| Id::from_bytes([kind * 16 + nth; 16])).collect();
        Stage { work, unit: Id::from_bytes([1; 16]), practitioners: ids(2), rooms: ids(3), patients: ids(4) }
    }

    #[test]
    fn two_writes_want_one_slot_and_no_other_pair_touches_it() {
        let stage = stage(Work::Contended);
        let mut seen = std::collections::BTreeSet::new();
        for nth in (0..4_000).step_by(4) {
            let (a, b) = (stage.booking(Id::from_bytes([5; 16]), nth), stage.booking(Id::from_bytes([6; 16]), nth + 1));
            assert_eq!((stage.object(nth), stage.object(nth + 1)), (Object::Booking, Object::Booking));
            assert_eq!((a.slot.clone(), &a.patient_id), (b.slot, &b.patient_id));
            let slot = a.slot.unwrap();
            assert!(seen.insert((slot.room_id.to_vec(), slot.start_ms)));
        }
    }

    #[test]
    fn on_an_ordinary_day_no_booking_meets_another() {
        let stage = stage(Work::Ordinary);
        let mut seen = std::collections::BTreeSet::new();
        for nth in (0..4_000).filter(|nth| stage.object(*nth) == Object::Booking) {
            let booking = stage.booking(Id::from_bytes([5; 16]), nth);
            let slot = booking.slot.unwrap();
            for who in [&slot.room_id, &slot.practitioner_id, &booking.patient_id] {
                assert!(seen.insert((who.to_vec(), slot.start_ms)));
            }
        }
        assert_eq!(seen.len(), 9_000);
    }

    #[test]
    fn the_interruption_is_the_longest_silence_that_ends_after_the_fault() {
        let start = Instant::now();
        let mut ledger = Ledger::default();
        assert_eq!(ledger.interruption(start), None);
        // Out of order, as answers come; the silence before the fault at 2,000 does not count.
        for ms in [0, 1_500, 1_990, 2_003, 4_400, 4_410, 2_001] {
            ledger.acknowledged.push(Acknowledged {
                id: Id::from_bytes([0; 16]),
                object: Object::Record,
                nth: 0,
                index: 1,
                sent: start,
                at: start + Duration::from_millis(ms),
                attempts: 1,
            });
        }
        let found = ledger.interruption(start + Duration::from_millis(2_000)).unwrap();
        assert_eq!(found.length(), Duration::from_millis(4_400 - 2_003));
        assert_eq!(ledger.after(start + Duration::from_millis(4_000)), 2);
    }
}
