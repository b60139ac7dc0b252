//! What programs do while faults come: they write, amend and read a few records that all of them want, book, move and cancel
//! in a few slots across units, look at agendas, lose patience and ask again, and repeat requests that were answered, at once or
//! when their time is over. Both worlds run it; a world gives time and a way to the network, and starts each program as it starts
//! its own tasks.
//!
//! Others store images and look at them ([`images`]).
//!
//! Nothing here depends on the order in which tasks run, on a clock of the computer or on an order of hashing: where the world
//! is deterministic, so is the workload.

mod clinic;
mod images;
mod requests;

pub(crate) use clinic::{AGENDA_START_MS, Clinic, NEEDLE, day_of};
pub(crate) use images::{Album, Look, Photographer, Sight, Stored, look as look_at};
pub(crate) use requests::{agenda_of, record_of, write};

use crate::history::{Begun, Booking, Call, Life, Operation, Outcome, Recorder, Stage};
use crate::model::refusal;
use crate::seed::Chance;
use plantao_client::retry::RetryPolicy;
use plantao_client::{Cluster, Id};
use plantao_proto::public::v1;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// So long after its time a copy is late by every clock that is right.
const LATE_MS: i64 = 1_000;

/// One program of so many knows one node and no other, and asks once: what that node says first is all that it learns.
const ALONE_EVERY: u32 = 3;
/// Longer than any call.
const NEVER: Duration = Duration::from_secs(3_600);

/// Where programs live. Sleeping and time limits are tokio's in both worlds.
pub(crate) trait World: Clone {
    /// Nanoseconds since the world began; never goes back, and the same for all programs.
    fn now_ns(&self) -> u64;

    /// Milliseconds since 1970 UTC by the programs' clock.
    fn unix_ms(&self) -> i64;

    /// The way to the network of the program with this number: every program begins at another node.
    fn cluster(&self, number: u32) -> Cluster;
}

/// How much, and of what kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// How many programs.
    pub(crate) programs: u32,
    /// Between two calls of a program: least and most.
    pub(crate) pause: [Duration; 2],
    /// How long a write may be applied after it was sent first.
    pub(crate) write_life: Duration,
    /// The same for programs in a hurry, which wait until it is over: they are told that nothing was done, or that nobody knows.
    pub(crate) short_life: [Duration; 2],
    /// So long do all programs book in the same day, before the next one begins.
    pub(crate) day: Duration,
    /// So long do all programs write the same records.
    pub(crate) epoch: Duration,
}

impl Shape {
    /// With up to eight programs some hundred calls a second where nothing is slow, and about a hundred for each object: enough
    /// to collide, few enough for the search of an order. More programs pause less and change objects sooner, for races within
    /// a node.
    pub(crate) fn of(programs: u32) -> Self {
        let is_few = programs <= 8;
        let millis = |few, many| Duration::from_millis(if is_few { few } else { many });
        Self {
            programs,
            pause: [millis(5, 0), millis(60, 5)],
            write_life: Duration::from_secs(8),
            short_life: [Duration::from_millis(700), Duration::from_millis(2_500)],
            day: millis(2_000, 700),
            epoch: millis(5_000, 1_500),
        }
    }
}

/// A copy of a request that was answered, to be sent when its time is over: it must not be applied then.
#[derive(Debug)]
struct Copy {
    operation: Operation,
    header: v1::RequestHeader,
    life: Life,
}

/// The way to one of the nodes only, without a second try.
fn one_node(cluster: &Cluster, nth: u64) -> Cluster {
    let addresses = cluster.addresses();
    let nth = usize::try_from(nth % addresses.len().max(1) as u64).unwrap_or(0);
    let one = addresses.get(nth).and_then(|address| cluster.only(address)).unwrap_or_else(|| cluster.clone());
    let policy = RetryPolicy { pause_min: NEVER, pause_max: NEVER, ..one.policy().clone() };
    one.with_policy(policy)
}

/// One program.
pub(crate) struct Program<W> {
    world: W,
    cluster: Cluster,
    number: u32,
    shape: Shape,
    clinic: Arc<Clinic>,
    recorder: Recorder,
    chance: Chance,
    values: u64,
    /// Versions of records as last seen, of this epoch.
    records: BTreeMap<Id, u32>,
    epoch: u64,
    /// Bookings as last seen, of this day.
    bookings: BTreeMap<Id, Booking>,
    day: u64,
    /// In the order in which they were made.
    copies: VecDeque<Copy>,
}

impl<W: World> Program<W> {
    /// The program `number`, from 1 on, of a seed.
    pub(crate) fn new(
        world: &W,
        number: u32,
        seed: u64,
        shape: &Shape,
        clinic: &Arc<Clinic>,
        recorder: &Recorder,
    ) -> Self {
        let cluster = world.cluster(number);
        let is_alone = number.is_multiple_of(ALONE_EVERY);
        Self {
            cluster: if is_alone { one_node(&cluster, seed.wrapping_add(u64::from(number))) } else { cluster },
            world: world.clone(),
            number,
            shape: shape.clone(),
            clinic: Arc::clone(clinic),
            recorder: recorder.clone(),
            chance: Chance::of(seed, u64::from(number)),
            values: 0,
            records: BTreeMap::new(),
            epoch: 0,
            bookings: BTreeMap::new(),
            day: 0,
            copies: VecDeque::new(),
        }
    }

    /// Works until it is told to stop; the call under way is finished, which takes at most a write's life or a read's
    /// deadline.
    pub(crate) async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            self.turn();
            let now_ms = self.world.unix_ms();
            let is_over = |copy: &mut Copy| now_ms > copy.life.not_after_ms + LATE_MS;
            let goes_on = match self.copies.pop_front_if(is_over) {
                Some(copy) => self.repeat(&copy).await,
                None => {
                    let operation = self.choose();
                    self.call(operation).await
                }
            };
            if !goes_on {
                return;
            }
            let [least, most] = self.shape.pause;
            tokio::time::sleep(self.chance.between(least, most)).await;
        }
    }

    /// A new day or epoch: what was seen before is of no use.
    fn turn(&mut self) {
        let now = self.world.now_ns();
        let nth = |span: Duration| now / u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).max(1);
        let (day, epoch) = (nth(self.shape.day), nth(self.shape.epoch));
        if day != self.day {
            self.day = day;
            self.bookings.clear();
        }
        if epoch != self.epoch {
            self.epoch = epoch;
            self.records.clear();
        }
    }

    fn value(&mut self) -> u64 {
        self.values += 1;
        u64::from(self.number) << 40 | self.values
    }

    fn choose(&mut self) -> Operation {
        match self.chance.below(100) {
            0..25 => Operation::ReadRecord { record: self.hot().0, local: false },
            25..31 => Operation::ReadRecord { record: self.hot().0, local: true },
            31..50 => self.amend(),
            50..58 => self.add(),
            58..76 => self.book(),
            76..82 => self.change_or_book(),
            82..88 => self.move_or_book(),
            88..97 => self.list(false),
            _ => self.list(true),
        }
    }

    /// A record that every program wants now, with its patient and unit.
    fn hot(&mut self) -> (Id, Id, Id) {
        let nth = self.chance.below(Clinic::HOT_RECORDS);
        self.clinic.hot_record(self.epoch, nth)
    }

    fn add(&mut self) -> Operation {
        let (mut record, patient, unit) = self.hot();
        if self.chance.percent(30) {
            record = self.chance.id();
        }
        Operation::AddRecord { record, patient, unit, value: self.value() }
    }

    fn amend(&mut self) -> Operation {
        let (record, ..) = self.hot();
        let seen = match self.records.get(&record).copied() {
            // Now and then what another saw, or nobody.
            Some(seen) if !self.chance.percent(10) => seen,
            Some(seen) => seen.saturating_add(1),
            None if self.chance.percent(20) => 1,
            None => return self.add(),
        };
        Operation::AmendRecord { record, seen, value: self.value() }
    }

    fn book(&mut self) -> Operation {
        let patient = self.clinic.patient(&mut self.chance);
        let slot = self.clinic.slot(self.day, &mut self.chance);
        Operation::Book { appointment: self.chance.id(), patient, slot }
    }

    fn known(&mut self) -> Option<Booking> {
        let nth = self.chance.below(self.bookings.len() as u64);
        self.bookings.values().nth(usize::try_from(nth).ok()?).copied()
    }

    fn change_or_book(&mut self) -> Operation {
        let Some(Booking { id, version, .. }) = self.known() else { return self.book() };
        let all = [Stage::Arrived, Stage::Closed, Stage::Cancelled, Stage::Cancelled, Stage::Cancelled, Stage::NoShow];
        let to = self.chance.one_of(&all).copied().unwrap_or(Stage::Cancelled);
        Operation::Change { appointment: id, seen: version, to }
    }

    fn move_or_book(&mut self) -> Operation {
        let Some(Booking { id, version, .. }) = self.known() else { return self.book() };
        Operation::Move { appointment: id, seen: version, slot: self.clinic.slot(self.day, &mut self.chance) }
    }

    fn list(&mut self, local: bool) -> Operation {
        let (from_ms, to_ms) = Clinic::day(self.day);
        Operation::ListAgenda { unit: self.clinic.unit(&mut self.chance), from_ms, to_ms, local }
    }

    /// Makes a call and remembers what it says. `false`: the history is full.
    async fn call(&mut self, operation: Operation) -> bool {
        if operation.is_read() {
            let Some(begun) = self.begin(&operation, None, false) else { return false };
            let outcome = requests::read(&self.cluster, &operation).await;
            self.end(begun, &operation, outcome);
            return true;
        }
        let (header, life) = self.header();
        let sent = Some((&header, life));
        let Some(begun) = self.begin(&operation, sent, false) else { return false };
        let outcome = self.write(&operation, &header, life).await;
        // What was refused by a look at the rows left no trace: the same request would be a new one.
        let is_kept = match &outcome {
            Outcome::Confirmed { .. } => true,
            Outcome::Refused { code, .. } => *code != refusal::UNKNOWN,
            _ => false,
        };
        self.end(begun, &operation, outcome);
        let copy = Copy { operation, header, life };
        match self.chance.below(100) {
            0..4 if is_kept => return self.repeat(&copy).await,
            4..8 if is_kept => self.copies.push_back(copy),
            _ => {}
        }
        true
    }

    /// Sends what was answered once more, as it was. Nothing is learnt from it: it may be of another day.
    async fn repeat(&mut self, Copy { operation, header, life }: &Copy) -> bool {
        let Some(begun) = self.begin(operation, Some((header, *life)), true) else { return false };
        let outcome = self.write(operation, header, *life).await;
        self.recorder.end(begun, outcome, self.world.now_ns());
        true
    }

    fn header(&mut self) -> (v1::RequestHeader, Life) {
        let [least, most] = self.shape.short_life;
        let life = if self.chance.percent(15) { self.chance.between(least, most) } else { self.shape.write_life };
        let for_ms = i64::try_from(life.as_millis()).unwrap_or(0);
        let not_after_ms = self.world.unix_ms().saturating_add(for_ms);
        (v1::RequestHeader { request_id: self.chance.id().to_wire(), not_after_ms }, Life { not_after_ms, for_ms })
    }

    /// Sends it. A program that loses patience, or is started again, forgets the call and asks once more with the same id.
    async fn write(&mut self, operation: &Operation, header: &v1::RequestHeader, life: Life) -> Outcome {
        let patience = self.chance.between(Duration::from_millis(200), Duration::from_secs(3));
        let first = requests::write(&self.cluster, operation, header);
        if u128::try_from(life.for_ms).is_ok_and(|for_ms| for_ms < self.shape.write_life.as_millis()) {
            return Box::pin(first).await;
        }
        if let Ok(outcome) = tokio::time::timeout(patience, Box::pin(first)).await {
            return outcome;
        }
        match requests::write(&self.cluster, operation, header).await {
            // They speak of the second try only.
            Outcome::NotDone { .. } | Outcome::Refused { code: refusal::EXPIRED, .. } => Outcome::Unknown,
            outcome => outcome,
        }
    }

    fn begin(&self, operation: &Operation, sent: Option<(&v1::RequestHeader, Life)>, again: bool) -> Option<Begun> {
        self.recorder.begin(Call {
            client: self.number,
            request: sent.and_then(|(header, _)| Id::from_wire(&header.request_id).ok()),
            life: sent.map(|(_, life)| life),
            again,
            operation: operation.clone(),
            invoked_ns: self.world.now_ns(),
            returned_ns: None,
            outcome: Outcome::Unknown,
        })
    }

    fn end(&mut self, begun: Begun, operation: &Operation, outcome: Outcome) {
        self.learn(operation, &outcome);
        self.recorder.end(begun, outcome, self.world.now_ns());
    }

    fn learn(&mut self, operation: &Operation, outcome: &Outcome) {
        match (operation, outcome) {
            (
                Operation::AddRecord { record, .. } | Operation::AmendRecord { record, .. },
                Outcome::Confirmed { version, .. } | Outcome::Refused { current_version: Some(version), .. },
            )
            | (Operation::ReadRecord { record, .. }, Outcome::Record { version, .. }) => {
                self.records.insert(*record, *version);
            }
            (Operation::Book { appointment, patient, slot }, Outcome::Confirmed { version, .. }) => {
                let (id, patient, slot) = (*appointment, *patient, *slot);
                self.bookings.insert(id, Booking { id, patient, slot, stage: Stage::Booked, version: *version });
            }
            (
                Operation::Move { appointment, .. } | Operation::Change { appointment, .. },
                Outcome::Confirmed { version, .. } | Outcome::Refused { current_version: Some(version), .. },
            ) => {
                if let Some(booking) = self.bookings.get_mut(appointment) {
                    booking.version = *version;
                }
            }
            (Operation::ListAgenda { .. }, Outcome::Agenda { bookings, .. }) => {
                self.bookings.extend(bookings.iter().map(|booking| (booking.id, *booking)));
            }
            _ => {}
        }
    }
}
