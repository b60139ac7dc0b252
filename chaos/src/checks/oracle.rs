//! The network's own order of things, decided again: the trail says at which place of the log each request was applied, the
//! history says what each request was, and `plantao_domain` says what must have come of it. Whatever a program was told, and
//! whatever the nodes show at the end, has to agree with that. Costs as much as the log is long.
//!
//! ```text
//! trail   … #118 request 7, version 4   #119 request 9, refused 1204 …
//! history   request 7 = amend record r, seen 3         ─► apply ─► confirmed, version 4 ─┬─ equals the trail?
//!                                                                                         ├─ equals what was told?
//! reads and agendas                                      rows at each index ──────────────┴─ were shown so?
//! ```

use super::Findings;
use crate::history::{Booking, Call, Operation, Outcome, Slot, Stage};
use crate::model::{is_about_the_request, refusal};
use plantao_client::Id;
use plantao_domain::cluster::NodeDescription;
use plantao_domain::command::{AppointmentState, Overlap, Tag, WrappedKey};
use plantao_domain::{
    Actor, ActorId, AppointmentId, ClusterId, ClusterTime, Command, Envelope, Interval, KeyId, LogId, MemView, NodeId,
    Outcome as Decided, PatientId, PractitionerId, RecordId, RequestId, Role, RoomId, Sealed, UnitId, apply, rows,
};
use std::collections::BTreeMap;

/// What the trail says of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) index: u64,
    pub(crate) at_ms: i64,
    pub(crate) request: Id,
    pub(crate) version: u32,
    /// 0: it was done.
    pub(crate) refusal: u32,
}

/// What a node shows when all is over.
#[derive(Clone, Debug)]
pub(crate) struct Finale {
    /// Its name.
    pub(crate) node: String,
    /// Every booking of the workload's units, by id.
    pub(crate) bookings: BTreeMap<Id, Booking>,
    /// Version and number of every record of the workload; `None` in it: a document of nobody here.
    pub(crate) records: BTreeMap<Id, (u32, Option<u64>)>,
}

/// What an agenda showed from a log index on.
type Shown = (u64, Vec<Booking>);

/// The log as the rules have it.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Where each request was decided, and what the trail says of it.
    decided: BTreeMap<Id, Entry>,
    /// Index, version and number of every version of a record, in order.
    records: BTreeMap<Id, Vec<(u64, u32, u64)>>,
    /// Index and row of every version of a booking, in order of the log.
    bookings: Vec<(u64, Booking)>,
}

impl Replay {
    /// Decides every request of the workload again; `trail` is in the order of the log.
    pub(crate) fn of(calls: &[Call], trail: &[Entry], findings: &mut Findings) -> Self {
        let asked: BTreeMap<Id, &Operation> =
            calls.iter().filter_map(|call| Some((call.request?, &call.operation))).collect();
        let (mut replay, mut rules) = (Self::default(), Rules::new());
        for entry in trail {
            let Some(operation) = asked.get(&entry.request) else { continue };
            if let Some(before) = replay.decided.get(&entry.request) {
                // A copy that came too late is refused, and a booking that changes units is told to both.
                let told_twice = before.index == entry.index && before.refusal == entry.refusal;
                if !told_twice && !is_about_the_request(entry.refusal) && !is_about_the_request(before.refusal) {
                    let (one, other) = (before.index, entry.index);
                    findings.add("once", format!("request {} was applied at {one} and at {other}", entry.request));
                }
                if !is_about_the_request(before.refusal) {
                    continue;
                }
            }
            replay.decided.insert(entry.request, *entry);
            if is_about_the_request(entry.refusal) {
                continue;
            }
            findings.replayed += 1;
            match rules.decide(entry, operation) {
                Ok(decided)
                    if decided == (entry.refusal, entry.version) || entry.refusal > 0 && decided.0 == entry.refusal => {
                }
                Ok((refusal, version)) => findings.add(
                    "rules",
                    format!(
                        "at {}: the network says refusal {} version {}, the rules say {refusal} and {version}",
                        entry.index, entry.refusal, entry.version
                    ),
                ),
                Err(why) => findings.add("rules", format!("at {}: {why}", entry.index)),
            }
            replay.note(entry, operation, &rules, findings);
        }
        replay
    }

    fn note(&mut self, entry: &Entry, operation: &Operation, rules: &Rules, findings: &mut Findings) {
        let noted = match operation {
            Operation::AddRecord { record, .. } | Operation::AmendRecord { record, .. } => {
                rules.record(*record).map(|found| {
                    let versions = self.records.entry(*record).or_default();
                    match found {
                        Some((version, value)) if versions.last().map(|last| last.1) != Some(version) => {
                            versions.push((entry.index, version, value));
                        }
                        _ => {}
                    }
                })
            }
            Operation::Book { appointment, .. }
            | Operation::Move { appointment, .. }
            | Operation::Change { appointment, .. } => rules.booking(*appointment).map(|found| {
                if let Some(booking) = found.filter(|_| entry.refusal == 0) {
                    self.bookings.push((entry.index, booking));
                }
            }),
            _ => Ok(()),
        };
        if let Err(why) = noted {
            findings.add("rules", format!("at {}: {why}", entry.index));
        }
    }

    /// What programs were told of their writes, and the order in which that happened.
    pub(crate) fn check_writes(&self, calls: &[Call], findings: &mut Findings) {
        for call in calls {
            let Some(request) = call.request else { continue };
            let told = || format!("request {request}, told {:?}", call.outcome);
            let entry = self.decided.get(&request);
            if let (Some(entry), Some(life)) = (entry, call.life)
                && !is_about_the_request(entry.refusal)
            {
                findings.require(entry.at_ms <= life.not_after_ms, "late", || {
                    format!("{} was decided {} ms after its time", told(), entry.at_ms - life.not_after_ms)
                });
            }
            match (&call.outcome, entry) {
                (Outcome::Confirmed { .. }, None) => findings.add("acknowledged", format!("{}: lost", told())),
                (Outcome::Confirmed { version, index, .. }, Some(entry)) => {
                    let fits = entry.refusal == 0 && entry.version == *version && entry.index <= *index;
                    findings.require(fits, "acknowledged", || format!("{}: the trail says {entry:?}", told()));
                }
                // What a repetition is told is held against the first answer.
                (Outcome::Refused { .. } | Outcome::NotDone { .. }, Some(_)) if call.again => {}
                (Outcome::Refused { code, .. }, Some(entry)) => {
                    let fits = entry.refusal == *code || entry.refusal > 0 && is_about_the_request(*code);
                    findings.require(fits, "honest", || format!("{}: the trail says {entry:?}", told()));
                }
                (Outcome::NotDone { .. }, Some(entry)) => {
                    findings.add("honest", format!("{}: the trail says {entry:?}", told()));
                }
                (Outcome::Unfit { .. }, _) => findings.add("fit", format!("{}: a fault of the workload", told())),
                _ => {}
            }
        }
        self.check_order(calls, findings);
        check_repetitions(calls, findings);
    }

    /// A write that was over before another began stands before it in the log, and a read sees what was over before it.
    fn check_order(&self, calls: &[Call], findings: &mut Findings) {
        let place = |call: &Call| {
            let confirmed = matches!(call.outcome, Outcome::Confirmed { .. }) && !call.again;
            self.decided.get(&call.request?).filter(|_| confirmed).map(|entry| entry.index)
        };
        let mut over: Vec<(u64, u64)> =
            calls.iter().filter_map(|call| Some((call.returned_ns?, place(call)?))).collect();
        over.sort_unstable();
        let mut highest = 0;
        for (_, index) in &mut over {
            highest = highest.max(*index);
            *index = highest;
        }
        for call in calls {
            let before = over.partition_point(|(returned, _)| *returned < call.invoked_ns);
            let Some((_, least)) = before.checked_sub(1).and_then(|at| over.get(at)) else { continue };
            let reflects = match &call.outcome {
                Outcome::Record { as_of, .. } | Outcome::Agenda { as_of, .. } if !call.operation.is_local() => {
                    as_of.index >= *least
                }
                _ => place(call).is_none_or(|index| index > *least),
            };
            findings.require(reflects, "order", || {
                format!("{:?} came after {least} was acknowledged, and was told {:?}", call.operation, call.outcome)
            });
        }
    }

    /// Every answer to a read was true at some place of the log, not before the place that it names.
    pub(crate) fn check_reads(&self, calls: &[Call], findings: &mut Findings) {
        let mut agendas: BTreeMap<(Id, i64, i64), Vec<Shown>> = BTreeMap::new();
        for call in calls {
            let found = match (&call.operation, &call.outcome) {
                (Operation::ReadRecord { record, .. }, Outcome::Record { version, value, as_of }) => {
                    let versions = self.records.get(record).map(Vec::as_slice).unwrap_or_default();
                    let shown = versions.iter().position(|(_, it, number)| it == version && Some(*number) == *value);
                    // The version after it must not have been there yet at the place that the answer names.
                    shown.is_some_and(|at| versions.get(at + 1).is_none_or(|(index, ..)| *index > as_of.index))
                }
                (Operation::ListAgenda { unit, from_ms, to_ms, .. }, Outcome::Agenda { bookings, as_of }) => {
                    let states = agendas
                        .entry((*unit, *from_ms, *to_ms))
                        .or_insert_with(|| self.agenda(*unit, *from_ms, *to_ms));
                    let from = states.partition_point(|(index, _)| *index <= as_of.index).saturating_sub(1);
                    states.get(from..).unwrap_or_default().iter().any(|(_, state)| state == bookings)
                }
                _ => continue,
            };
            findings.reads_found += u64::from(found);
            findings.require(found, "reads", || {
                let (asked, told) = (&call.operation, &call.outcome);
                let answer = serde_json::to_string(&(asked, told)).unwrap_or_default();
                format!("at {} ns, never so in the log: {answer}", call.invoked_ns)
            });
        }
    }

    /// What an agenda showed after each change, with the index of the change; it begins with nothing at 0.
    fn agenda(&self, unit: Id, from_ms: i64, to_ms: i64) -> Vec<Shown> {
        let shows = |slot: &Slot| slot.unit == unit && slot.start_ms < to_ms && from_ms < slot.end_ms;
        let mut now: BTreeMap<Id, Booking> = BTreeMap::new();
        let mut states = vec![(0, Vec::new())];
        for (index, booking) in &self.bookings {
            let changed = if shows(&booking.slot) {
                now.insert(booking.id, *booking) != Some(*booking)
            } else {
                now.remove(&booking.id).is_some()
            };
            if changed {
                states.push((*index, now.values().copied().collect()));
            }
        }
        states
    }

    /// What a node shows at the end is what the log says: everything that was acknowledged, nothing that was refused.
    pub(crate) fn check_finale(&self, finale: &Finale, findings: &mut Findings) {
        findings.compared += 1;
        let expected: BTreeMap<Id, Booking> = self.bookings.iter().map(|(_, booking)| (booking.id, *booking)).collect();
        compare(&finale.node, "booking", &expected, &finale.bookings, findings);
        let last =
            |versions: &Vec<(u64, u32, u64)>| versions.last().map(|(_, version, value)| (*version, Some(*value)));
        let expected = self.records.iter().filter_map(|(record, versions)| Some((*record, last(versions)?))).collect();
        compare(&finale.node, "record", &expected, &finale.records, findings);
        let bookings: Vec<Booking> = finale.bookings.values().copied().collect();
        if let Some((one, other)) = crate::model::double_booking(&bookings) {
            findings.add("double booking", format!("{} has {} and {}", finale.node, one.id, other.id));
        }
    }

    /// Records that the log has.
    pub(crate) fn records(&self) -> impl Iterator<Item = Id> + '_ {
        self.records.keys().copied()
    }
}

fn compare<T: PartialEq + std::fmt::Debug>(
    node: &str,
    what: &str,
    expected: &BTreeMap<Id, T>,
    found: &BTreeMap<Id, T>,
    findings: &mut Findings,
) {
    for (id, row) in expected {
        let there = found.get(id);
        findings.require(there == Some(row), "end", || format!("{node}: {what} {id} is {there:?}, not {row:?}"));
    }
    for id in found.keys().filter(|id| !expected.contains_key(*id)) {
        findings.add("end", format!("{node}: {what} {id} is there, and was never written"));
    }
}

/// The same request again gets the answer that it got.
fn check_repetitions(calls: &[Call], findings: &mut Findings) {
    let mut first: BTreeMap<Id, &Outcome> = BTreeMap::new();
    for call in calls {
        let Some(request) = call.request else { continue };
        if !call.again {
            first.insert(request, &call.outcome);
            continue;
        }
        let same = match (first.get(&request), &call.outcome) {
            (Some(Outcome::Confirmed { version, changed, .. }), Outcome::Confirmed { version: v, changed: c, .. }) => {
                (version, changed) == (v, c)
            }
            (Some(Outcome::Refused { code, .. }), Outcome::Refused { code: again, .. }) => {
                code == again || *again == refusal::EXPIRED
            }
            (_, Outcome::Refused { code, .. }) => *code == refusal::EXPIRED,
            (_, Outcome::Unknown | Outcome::NotDone { .. }) => true,
            _ => false,
        };
        findings.require(same, "repetition", || {
            format!("request {request} was told {:?}, and again {:?}", first.get(&request), call.outcome)
        });
    }
}

/// How often each version of a record was shown, by the network's own account.
pub(crate) type Noted = BTreeMap<(Id, u32), u64>;

/// Whoever was shown a record is in the trail.
pub(crate) fn check_noted(calls: &[Call], noted: &Noted, findings: &mut Findings) {
    let mut shown = Noted::new();
    for call in calls {
        if let (Operation::ReadRecord { record, .. }, Outcome::Record { version, .. }) =
            (&call.operation, &call.outcome)
        {
            *shown.entry((*record, *version)).or_default() += 1;
        }
    }
    for ((record, version), count) in shown {
        let noted = noted.get(&(record, version)).copied().unwrap_or(0);
        findings.require(noted >= count, "noted", || {
            format!("record {record} was shown in version {version} {count} times, and the trail knows of {noted}")
        });
    }
}

/// The rows of a network of its own, with the workload's requests in the order of the log.
struct Rules(MemView);

impl Rules {
    /// Log index of the made-up beginning; every real request stands behind it.
    const BEGINNING: u64 = 1;

    fn new() -> Self {
        let mut rules = Self(MemView::default());
        let node = NodeDescription {
            name: "caos".to_owned(),
            site: "caos".to_owned(),
            country: "BR".to_owned(),
            medium: "ssd".to_owned(),
            peer_address: "127.0.0.1:1".to_owned(),
            keyed: true,
            voter: true,
        };
        let command = Command::CreateCluster {
            cluster_id: ClusterId::from_bytes([1; 16]),
            name: "caos".to_owned(),
            recovery_slot: sealed(),
            epoch_key: sealed(),
            search_key: wrapped(1),
            tag_key: wrapped(2),
            first_node: node,
        };
        let beginning =
            Entry { index: Self::BEGINNING, at_ms: 0, request: Id::from_bytes([1; 16]), version: 0, refusal: 0 };
        // Nothing refuses it: every later request would be, and say so.
        let _ = rules.apply(&beginning, Role::Node, command);
        rules
    }

    /// Number of the refusal, 0 for none, and version.
    fn decide(&mut self, entry: &Entry, operation: &Operation) -> Result<(u32, u32), String> {
        let command = command(operation).ok_or_else(|| "a read has no place in the log".to_owned())?;
        self.apply(entry, Role::Integration, command)
    }

    fn apply(&mut self, entry: &Entry, role: Role, command: Command) -> Result<(u32, u32), String> {
        let at = ClusterTime::saturating_from_millis(entry.at_ms);
        let envelope = Envelope {
            request_id: RequestId::from_bytes(*entry.request.as_bytes()),
            content_tag: Tag([1; 32]),
            actor: Actor { id: ActorId::from_bytes([1; 16]), role, unit: None },
            via: NodeId(1),
            not_after: ClusterTime::saturating_from_millis(entry.at_ms.saturating_add(Envelope::LIFETIME_MS)),
            proposed_at: at,
            command,
        };
        let log_id = LogId { term: 1, index: entry.index };
        let applied = apply(&self.0, log_id, &envelope).map_err(|fault| fault.to_string())?;
        self.0.write(&applied.changes);
        Ok(match applied.outcome {
            Decided::Confirmed { version, .. } => (0, version),
            Decided::ConfirmedWithConflict { .. } => (0, 1),
            Decided::Rejected(rejection) => (u32::from(rejection.code()), 0),
        })
    }

    fn record(&self, record: Id) -> Result<Option<(u32, u64)>, String> {
        let id = RecordId::from_bytes(*record.as_bytes());
        let Some(row) = rows::record(&self.0, id).map_err(|fault| fault.to_string())? else { return Ok(None) };
        let version = rows::record_version(&self.0, id, row.version).map_err(|fault| fault.to_string())?;
        let number = version.and_then(|version| Some(u64::from_be_bytes(version.content.0.try_into().ok()?)));
        Ok(number.map(|number| (row.version, number)))
    }

    fn booking(&self, appointment: Id) -> Result<Option<Booking>, String> {
        let id = AppointmentId::from_bytes(*appointment.as_bytes());
        let row = rows::appointment(&self.0, id).map_err(|fault| fault.to_string())?;
        Ok(row.map(|row| Booking {
            id: appointment,
            patient: Id::from_bytes(*row.patient.as_bytes()),
            slot: Slot {
                unit: Id::from_bytes(*row.slot.unit.as_bytes()),
                practitioner: Id::from_bytes(*row.slot.practitioner.as_bytes()),
                room: Id::from_bytes(*row.slot.room.as_bytes()),
                start_ms: row.slot.interval.start.millis(),
                end_ms: row.slot.interval.end.millis(),
            },
            stage: match row.state {
                AppointmentState::Booked => Stage::Booked,
                AppointmentState::Arrived => Stage::Arrived,
                AppointmentState::Closed => Stage::Closed,
                AppointmentState::Cancelled => Stage::Cancelled,
                AppointmentState::NoShow => Stage::NoShow,
            },
            version: row.version,
        }))
    }
}

fn sealed() -> Sealed {
    Sealed(b"caos".to_vec())
}

fn wrapped(n: u8) -> WrappedKey {
    WrappedKey { key_id: KeyId::from_bytes([n; 16]), epoch: 1, frame: sealed() }
}

fn place(slot: &Slot) -> plantao_domain::command::Slot {
    plantao_domain::command::Slot {
        unit: UnitId::from_bytes(*slot.unit.as_bytes()),
        practitioner: PractitionerId::from_bytes(*slot.practitioner.as_bytes()),
        room: RoomId::from_bytes(*slot.room.as_bytes()),
        interval: Interval {
            start: ClusterTime::saturating_from_millis(slot.start_ms),
            end: ClusterTime::saturating_from_millis(slot.end_ms),
        },
    }
}

/// The command that a request becomes, with the number of a document as its sealed content. `None` for reads.
fn command(operation: &Operation) -> Option<Command> {
    let unit_of = |id: &Id| UnitId::from_bytes(*id.as_bytes());
    let number = |value: &u64| Sealed(value.to_be_bytes().to_vec());
    Some(match operation {
        Operation::RegisterUnit { unit, slug } => {
            Command::RegisterUnit { unit: unit_of(unit), slug: slug.clone(), key: wrapped(3), content: sealed() }
        }
        Operation::RegisterPractitioner { practitioner, unit } => Command::RegisterPractitioner {
            practitioner: PractitionerId::from_bytes(*practitioner.as_bytes()),
            unit: unit_of(unit),
            content: sealed(),
        },
        Operation::RegisterRoom { room, unit } => {
            Command::RegisterRoom { room: RoomId::from_bytes(*room.as_bytes()), unit: unit_of(unit), content: sealed() }
        }
        Operation::RegisterPatient { patient, unit } => Command::RegisterPatient {
            patient: PatientId::from_bytes(*patient.as_bytes()),
            unit: unit_of(unit),
            key: wrapped(4),
            tokens: Vec::new(),
            content: sealed(),
        },
        Operation::AddRecord { record, patient, unit, value } => Command::AddRecord {
            record: RecordId::from_bytes(*record.as_bytes()),
            patient: PatientId::from_bytes(*patient.as_bytes()),
            unit: unit_of(unit),
            kind: "Observation".to_owned(),
            authored_at: ClusterTime::saturating_from_millis(0),
            content: number(value),
        },
        Operation::AmendRecord { record, seen, value } => Command::AmendRecord {
            record: RecordId::from_bytes(*record.as_bytes()),
            seen_version: *seen,
            reason: sealed(),
            content: number(value),
        },
        Operation::Book { appointment, patient, slot } => Command::Book {
            appointment: AppointmentId::from_bytes(*appointment.as_bytes()),
            patient: PatientId::from_bytes(*patient.as_bytes()),
            slot: place(slot),
            overlap: Overlap::Refuse,
            content: sealed(),
        },
        Operation::Move { appointment, seen, slot } => Command::MoveAppointment {
            appointment: AppointmentId::from_bytes(*appointment.as_bytes()),
            seen_version: *seen,
            slot: place(slot),
            overlap: Overlap::Refuse,
        },
        Operation::Change { appointment, seen, to } => Command::ChangeAppointmentState {
            appointment: AppointmentId::from_bytes(*appointment.as_bytes()),
            seen_version: *seen,
            state: match to {
                Stage::Booked => AppointmentState::Booked,
                Stage::Arrived => AppointmentState::Arrived,
                Stage::Closed => AppointmentState::Closed,
                Stage::Cancelled => AppointmentState::Cancelled,
                Stage::NoShow => AppointmentState::NoShow,
            },
            reason: Sealed(Vec::new()),
        },
        Operation::ReadRecord { .. } | Operation::ListAgenda { .. } => return None,
    })
}

#[cfg(test)]
mod tests;
