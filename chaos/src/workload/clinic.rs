//! What programs work on: two units with two professionals and two rooms each, four patients whom both units treat, days of
//! eight quarters of an hour. Everything follows from the seed, so programs need not tell each other.

use super::{World, requests};
use crate::history::{Call, Life, Operation, Outcome, Recorder, Slot};
use crate::seed::Chance;
use plantao_client::Id;
use plantao_proto::public::v1;
use std::time::Duration;

/// Stands in every name and document: nobody may find it on a disk or in a log.
pub(crate) const NEEDLE: &str = "AGULHA-do-caos-5e1f";

/// 2100-01-01T00:00:00Z: no booking of a clinic's data is there.
pub(crate) const AGENDA_START_MS: i64 = 4_102_444_800_000;
/// Of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Bookings begin and end on these.
const QUARTER_MS: i64 = 15 * 60 * 1_000;
/// Of a day that programs book in, from eight o'clock.
const QUARTERS: u64 = 8;

/// Streams of the seed, beside those of the programs.
const FURNITURE: u64 = 1 << 32;
const HOT: u64 = 1 << 33;

/// Programs begin at 1; this one prepares.
const PREPARING: u32 = 0;
/// How long a registration may take: a network that was just made.
const REGISTRATION_LIFE: Duration = Duration::from_secs(60);

/// The number of the day in which an instant lies; the first one is 0.
pub(crate) fn day_of(at_ms: i64) -> i64 {
    at_ms.saturating_sub(AGENDA_START_MS).div_euclid(DAY_MS)
}

/// Why there is no clinic to work in.
#[derive(Debug, thiserror::Error)]
#[error("the workload cannot be prepared: {operation:?} was told {outcome:?}")]
pub(crate) struct NotPrepared {
    operation: Operation,
    outcome: Outcome,
}

/// Ids of what is registered.
#[derive(Clone, Debug)]
pub(crate) struct Clinic {
    seed: u64,
    units: Vec<Id>,
    practitioners: Vec<Id>,
    /// With their units.
    rooms: Vec<(Id, Id)>,
    patients: Vec<Id>,
    /// Of each patient, to clinical images.
    consents: Vec<Id>,
}

impl Clinic {
    /// Records that all programs want at once.
    pub(crate) const HOT_RECORDS: u64 = 4;

    /// Of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed, FURNITURE);
        let mut ids = |count: usize| (0..count).map(|_| chance.id()).collect::<Vec<_>>();
        let units = ids(2);
        let rooms = ids(4).into_iter().enumerate().map(|(nth, room)| (room, units[nth % 2])).collect();
        let (practitioners, patients) = (ids(4), ids(4));
        Self { seed, practitioners, rooms, patients, consents: ids(4), units }
    }

    /// Registers everything, and writes it into the history.
    pub(crate) async fn prepare(&self, world: &impl World, recorder: &Recorder) -> Result<(), NotPrepared> {
        let mut chance = Chance::of(self.seed, FURNITURE + 1);
        let cluster = world.cluster(PREPARING);
        for operation in self.registrations() {
            let life_ms = i64::try_from(REGISTRATION_LIFE.as_millis()).unwrap_or(0);
            let request = chance.id();
            let not_after_ms = world.unix_ms().saturating_add(life_ms);
            let header = v1::RequestHeader { request_id: request.to_wire(), not_after_ms };
            let begun = recorder.begin(Call {
                client: PREPARING,
                request: Some(request),
                life: Some(Life { not_after_ms, for_ms: life_ms }),
                again: false,
                operation: operation.clone(),
                invoked_ns: world.now_ns(),
                returned_ns: None,
                outcome: Outcome::Unknown,
            });
            let outcome = requests::write(&cluster, &operation, &header).await;
            if let Some(begun) = begun {
                recorder.end(begun, outcome.clone(), world.now_ns());
            }
            if !matches!(outcome, Outcome::Confirmed { .. }) {
                return Err(NotPrepared { operation, outcome });
            }
        }
        Ok(())
    }

    fn registrations(&self) -> Vec<Operation> {
        let unit_of = |nth: usize| self.units[nth % self.units.len()];
        let units = self.units.iter().enumerate().map(|(nth, unit)| Operation::RegisterUnit {
            unit: *unit,
            slug: format!("caos-{nth}-{}", &unit.to_string()[..8]),
        });
        let practitioners = self.practitioners.iter().enumerate();
        let practitioners =
            practitioners.map(|(nth, id)| Operation::RegisterPractitioner { practitioner: *id, unit: unit_of(nth) });
        let rooms = self.rooms.iter().map(|(room, unit)| Operation::RegisterRoom { room: *room, unit: *unit });
        let patients = self.patients.iter().enumerate();
        let patients = patients.map(|(nth, id)| Operation::RegisterPatient { patient: *id, unit: unit_of(nth) });
        units.chain(practitioners).chain(rooms).chain(patients).collect()
    }

    /// Its units.
    pub(crate) fn units(&self) -> &[Id] {
        &self.units
    }

    /// The `nth` record of an epoch, with its patient and unit.
    pub(super) fn hot_record(&self, epoch: u64, nth: u64) -> (Id, Id, Id) {
        let record = Chance::of(self.seed, HOT + epoch * Self::HOT_RECORDS + nth).id();
        let at = usize::try_from(nth).unwrap_or(0);
        (record, self.patients[at % self.patients.len()], self.units[at % self.units.len()])
    }

    pub(super) fn unit(&self, chance: &mut Chance) -> Id {
        chance.one_of(&self.units).copied().unwrap_or(self.units[0])
    }

    /// Patients with their consents.
    pub(super) fn consents(&self) -> impl Iterator<Item = (Id, Id)> + '_ {
        self.patients.iter().copied().zip(self.consents.iter().copied())
    }

    /// A patient, with the consent.
    pub(super) fn consent(&self, chance: &mut Chance) -> (Id, Id) {
        let nth = usize::try_from(chance.below(self.patients.len() as u64)).unwrap_or(0);
        (self.patients[nth], self.consents[nth])
    }

    pub(super) fn patient(&self, chance: &mut Chance) -> Id {
        chance.one_of(&self.patients).copied().unwrap_or(self.patients[0])
    }

    /// One to three quarters of a day, with any professional: they work in both units, so units want the same one.
    pub(super) fn slot(&self, day: u64, chance: &mut Chance) -> Slot {
        let (room, unit) = chance.one_of(&self.rooms).copied().unwrap_or(self.rooms[0]);
        let practitioner = chance.one_of(&self.practitioners).copied().unwrap_or(self.practitioners[0]);
        let quarter = |n: u64| i64::try_from(n).unwrap_or(0) * QUARTER_MS;
        let start_ms = Self::day(day).0 + quarter(32 + chance.below(QUARTERS));
        Slot { unit, practitioner, room, start_ms, end_ms: start_ms + quarter(1 + chance.below(3)) }
    }

    /// First instant of a day, and first instant after it.
    pub(super) fn day(nth: u64) -> (i64, i64) {
        let start = AGENDA_START_MS + i64::try_from(nth).unwrap_or(0) * DAY_MS;
        (start, start + DAY_MS)
    }

    /// All days that programs can have booked in by `now_ns`.
    pub(crate) fn whole(day: Duration, now_ns: u64) -> (i64, i64) {
        let days = now_ns / u64::try_from(day.as_nanos()).unwrap_or(u64::MAX).max(1) + 1;
        (AGENDA_START_MS, Self::day(days).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_clinic_and_slots_stay_within_their_day() {
        let (one, same, other) = (Clinic::of(1), Clinic::of(1), Clinic::of(2));
        assert_eq!(one.registrations(), same.registrations());
        assert_ne!(one.registrations(), other.registrations());
        assert_eq!(one.hot_record(3, 1), same.hot_record(3, 1));
        assert_ne!(one.hot_record(3, 1).0, one.hot_record(4, 1).0);
        let mut chance = Chance::of(1, 1);
        for day in [0, 1, 500] {
            for _ in 0..200 {
                let slot = one.slot(day, &mut chance);
                assert_eq!((day_of(slot.start_ms), day_of(slot.end_ms - 1)), (day as i64, day as i64));
                assert!(one.rooms.contains(&(slot.room, slot.unit)));
            }
        }
        let (from, to) = Clinic::whole(Duration::from_secs(2), 5_000_000_000);
        assert_eq!((day_of(from), day_of(to)), (0, 3));
    }
}
