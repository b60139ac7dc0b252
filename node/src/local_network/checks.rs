//! What is looked for after the faults: every acknowledged write on each node that opens content, and no professional,
//! room or patient booked twice. Reads through the client only, as any program does.

use super::load::{Ledger, Object, Stage, document};
use futures_util::TryStreamExt;
use plantao_client::services::LINEARIZABLE;
use plantao_client::{Cluster, Error, Id};
use plantao_proto::public::v1;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

/// 1900-01-01T00:00:00Z, the first instant that an agenda knows.
const FIRST_MS: i64 = -2_208_988_800_000;
/// The end of the year 9999, the last one.
const LAST_MS: i64 = 253_402_300_799_000;

/// What became of the acknowledged writes of a load, on one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct AcknowledgedReport {
    /// Acknowledged bookings.
    pub bookings: u64,
    /// Acknowledged records.
    pub records: u64,
    /// There, as they were sent: slot for slot, byte for byte.
    pub found: u64,
    /// Not there: **lost**.
    pub missing: u64,
    /// There, and not as they were sent.
    pub different: u64,
    /// There, though nobody was told so and no write is undecided.
    pub unexpected: u64,
}

impl AcknowledgedReport {
    /// Whether everything acknowledged is there and nothing else.
    pub fn holds(&self) -> bool {
        self.bookings + self.records > 0
            && self.found == self.bookings + self.records
            && (self.missing, self.different, self.unexpected) == (0, 0, 0)
    }
}

/// Looks for each acknowledged write through `cluster`: give it [`Cluster::only`] of the node to prove.
pub async fn look_for(cluster: &Cluster, stage: &Stage, ledger: &Ledger) -> Result<AcknowledgedReport, Error> {
    let mut report = AcknowledgedReport::default();
    let bookings = agenda_of(cluster, stage.unit()).await?;
    let bookings: BTreeMap<Vec<u8>, _> = bookings.into_iter().map(|it| (it.id.to_vec(), it.slot)).collect();
    let mut documents = BTreeMap::new();
    for patient in stage.patients() {
        let request = v1::ReadRecordsRequest { read: Some(LINEARIZABLE), patient_id: patient.to_wire() };
        let mut records = cluster.read_records(request).await?;
        loop {
            let record = records.message().await.map_err(|_| Error::Protocol("a stream of records that broke"))?;
            let Some(record) = record else { break };
            let head = record.head.ok_or(Error::Protocol("a record without a head"))?;
            documents.insert(head.id.to_vec(), record.document);
        }
    }
    let mut known: BTreeSet<&[u8]> = ledger.undecided.iter().map(|id| id.as_bytes().as_slice()).collect();
    for done in &ledger.acknowledged {
        let id = done.id.as_bytes().as_slice();
        known.insert(id);
        let same = match done.object {
            Object::Booking => {
                report.bookings += 1;
                bookings.get(id).map(|slot| *slot == Some(stage.slot(done.nth)))
            }
            Object::Record => {
                report.records += 1;
                documents.get(id).map(|found| *found == document(done.nth))
            }
        };
        match same {
            Some(true) => report.found += 1,
            Some(false) => report.different += 1,
            None => report.missing += 1,
        }
    }
    let there = bookings.keys().chain(documents.keys());
    report.unexpected = there.filter(|id| !known.contains(id.as_slice())).count() as u64;
    Ok(report)
}

/// Every booking of a unit, whatever its state.
async fn agenda_of(cluster: &Cluster, unit: Id) -> Result<Vec<v1::Appointment>, Error> {
    let request = v1::ListAppointmentsRequest {
        read: Some(LINEARIZABLE),
        of: Some(v1::list_appointments_request::Of::UnitId(unit.to_wire())),
        from_ms: FIRST_MS,
        to_ms: LAST_MS,
        page: None,
    };
    cluster.appointments(request).try_collect().await
}

/// Who is booked twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct OverlapReport {
    /// Units whose agenda was read.
    pub units: u64,
    /// Bookings in them.
    pub appointments: u64,
    /// Pairs of one professional's bookings that share an instant.
    pub practitioners: u64,
    /// Of one room's.
    pub rooms: u64,
    /// Of one patient's.
    pub patients: u64,
}

impl OverlapReport {
    /// Whether nobody is booked twice, and there was something to look at.
    pub fn holds(&self) -> bool {
        self.appointments > 0 && (self.practitioners, self.rooms, self.patients) == (0, 0, 0)
    }
}

/// Reads the agendas of all units and looks for overlaps across them. An encaixe overlaps on purpose and is left out,
/// except for its patient.
pub async fn overlaps(cluster: &Cluster) -> Result<OverlapReport, Error> {
    let mut units = pin!(cluster.units(v1::ListUnitsRequest { read: Some(LINEARIZABLE), page: None }));
    let mut all = Vec::new();
    let mut count = 0;
    while let Some(unit) = units.try_next().await? {
        let unit = Id::from_wire(&unit.id).map_err(|_| Error::Protocol("an id of another length"))?;
        all.extend(agenda_of(cluster, unit).await?);
        count += 1;
    }
    Ok(OverlapReport { units: count, ..count_overlaps(&all) })
}

fn count_overlaps(appointments: &[v1::Appointment]) -> OverlapReport {
    let occupying = |appointment: &&v1::Appointment| {
        matches!(
            appointment.state(),
            v1::AppointmentState::Booked | v1::AppointmentState::Arrived | v1::AppointmentState::Closed
        )
    };
    let occupying: Vec<_> = appointments.iter().filter(occupying).collect();
    let planned = || occupying.iter().copied().filter(|appointment| !appointment.encaixe);
    OverlapReport {
        units: 0,
        appointments: appointments.len() as u64,
        practitioners: pairs(planned(), |_, slot| slot.practitioner_id.to_vec()),
        rooms: pairs(planned(), |_, slot| slot.room_id.to_vec()),
        patients: pairs(occupying.iter().copied(), |appointment, _| appointment.patient_id.to_vec()),
    }
}

/// How many bookings of one resource begin before an earlier one of it has ended.
fn pairs<'a>(
    appointments: impl Iterator<Item = &'a v1::Appointment>,
    resource: impl Fn(&v1::Appointment, &v1::Slot) -> Vec<u8>,
) -> u64 {
    let mut of: BTreeMap<Vec<u8>, Vec<(i64, i64)>> = BTreeMap::new();
    for appointment in appointments {
        if let Some(slot) = &appointment.slot {
            of.entry(resource(appointment, slot)).or_default().push((slot.start_ms, slot.end_ms));
        }
    }
    let mut count = 0;
    for intervals in of.values_mut() {
        intervals.sort_unstable();
        let mut ends = i64::MIN;
        for (start, end) in intervals {
            count += u64::from(*start < ends);
            ends = ends.max(*end);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn appointment(start_ms: i64, end_ms: i64, practitioner: u8, room: u8, patient: u8) -> v1::Appointment {
        let id = |byte: u8| Bytes::from(vec![byte; 16]);
        let slot = v1::Slot { unit_id: id(0), practitioner_id: id(practitioner), room_id: id(room), start_ms, end_ms };
        v1::Appointment {
            patient_id: id(patient),
            slot: Some(slot),
            state: v1::AppointmentState::Booked.into(),
            ..v1::Appointment::default()
        }
    }

    #[test]
    fn each_kind_of_double_booking_is_seen_and_neighbours_are_none() {
        let first = appointment(0, 10, 1, 1, 1);
        let found = |second: v1::Appointment| {
            let found = count_overlaps(&[second, first.clone()]);
            (found.practitioners, found.rooms, found.patients)
        };
        assert_eq!(found(appointment(10, 20, 1, 1, 1)), (0, 0, 0));
        assert_eq!(found(appointment(9, 20, 1, 2, 2)), (1, 0, 0));
        assert_eq!(found(appointment(-5, 20, 2, 1, 2)), (0, 1, 0));
        assert_eq!(found(appointment(3, 4, 2, 2, 1)), (0, 0, 1));
        let cancelled = v1::AppointmentState::Cancelled.into();
        assert_eq!(found(v1::Appointment { state: cancelled, ..appointment(0, 10, 1, 1, 1) }), (0, 0, 0));
        assert_eq!(found(v1::Appointment { encaixe: true, ..appointment(0, 10, 1, 1, 1) }), (0, 0, 1));
    }

    // A long booking hides behind a short one that ends earlier: the neighbour alone is not enough to look at.
    #[test]
    fn an_overlap_with_other_than_the_neighbour_is_seen() {
        let all = [appointment(0, 100, 1, 1, 1), appointment(5, 6, 2, 2, 2), appointment(50, 60, 1, 3, 3)];
        assert_eq!(count_overlaps(&all).practitioners, 1);
        let all = [appointment(0, 100, 1, 1, 1), appointment(10, 20, 1, 2, 2), appointment(30, 40, 1, 3, 3)];
        assert_eq!(count_overlaps(&all).practitioners, 2);
    }

    #[test]
    fn nothing_to_look_at_is_no_proof() {
        assert!(!OverlapReport::default().holds());
        assert!(!AcknowledgedReport::default().holds());
        let lost = AcknowledgedReport { records: 2, found: 1, missing: 1, ..AcknowledgedReport::default() };
        assert!(!lost.holds());
    }
}
