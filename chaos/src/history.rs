//! What programs asked and what they were told, with times of the world they live in. Every check works on this, so it knows
//! nothing of how it came about: neither clocks nor networks are here.
//!
//! ```text
//! {"at_ns":1203,"client":2,"call":17,"invoked":{"amend_record":{"record":"…","seen":3,"value":8589934609}},"request":"…"}
//! {"at_ns":1950,"client":2,"call":17,"returned":{"confirmed":{"version":4,"changed":true,"index":118}}}
//! ```
//! A file holds opaque ids and numbers only: a document is told by the number in it.

use plantao_client::Id;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Most calls of one history: half an hour of a fast simulation. What comes after is not begun.
pub(crate) const CALLS_MAX: usize = 1_000_000;

/// Where and when a booking takes place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub(crate) struct Slot {
    pub(crate) unit: Id,
    pub(crate) practitioner: Id,
    pub(crate) room: Id,
    /// Milliseconds since 1970 UTC; the end does not belong to it.
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
}

impl Slot {
    /// Whether both share an instant.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.start_ms < other.end_ms && other.start_ms < self.end_ms
    }
}

/// Where a booking is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Booked,
    Arrived,
    Closed,
    Cancelled,
    NoShow,
}

impl Stage {
    /// Whether it holds its slot.
    pub(crate) const fn holds(self) -> bool {
        matches!(self, Self::Booked | Self::Arrived | Self::Closed)
    }
}

/// A booking as an agenda shows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub(crate) struct Booking {
    pub(crate) id: Id,
    pub(crate) patient: Id,
    pub(crate) slot: Slot,
    pub(crate) stage: Stage,
    pub(crate) version: u32,
}

/// What was asked. `value` is the number in a document, of which every write has its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    RegisterUnit { unit: Id, slug: String },
    RegisterPractitioner { practitioner: Id, unit: Id },
    RegisterRoom { room: Id, unit: Id },
    RegisterPatient { patient: Id, unit: Id },
    AddRecord { record: Id, patient: Id, unit: Id, value: u64 },
    AmendRecord { record: Id, seen: u32, value: u64 },
    ReadRecord { record: Id, local: bool },
    Book { appointment: Id, patient: Id, slot: Slot },
    Move { appointment: Id, seen: u32, slot: Slot },
    Change { appointment: Id, seen: u32, to: Stage },
    ListAgenda { unit: Id, from_ms: i64, to_ms: i64, local: bool },
}

impl Operation {
    /// Whether it changes nothing.
    pub(crate) const fn is_read(&self) -> bool {
        matches!(self, Self::ReadRecord { .. } | Self::ListAgenda { .. })
    }

    /// Whether its answer may be old.
    pub(crate) const fn is_local(&self) -> bool {
        matches!(self, Self::ReadRecord { local: true, .. } | Self::ListAgenda { local: true, .. })
    }
}

/// What an answer to a read reflects, as the node says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct AsOf {
    /// Log index.
    pub(crate) index: u64,
    /// The node's number.
    pub(crate) node: u64,
}

/// What a program was told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Done. `index` is where it was decided, or a later place where the answer was repeated.
    Confirmed { version: u32, changed: bool, index: u64 },
    /// Decided by the cluster: no.
    Refused { code: u32, current_version: Option<u32>, holder: Option<Id>, index: u64 },
    /// A record; `value` is `None` when the document is none of this workload's.
    Record { version: u32, value: Option<u64>, as_of: AsOf },
    /// No such object.
    Absent,
    /// An agenda, sorted by id.
    Agenda { bookings: Vec<Booking>, as_of: AsOf },
    /// A write that was never proposed, as the client says; a read without an answer.
    NotDone { code: Option<u32> },
    /// The request or the identity is wrong: a fault of the workload.
    Unfit { code: Option<u32> },
    /// Nobody said. It may have been done, may be done later, or never.
    Unknown,
}

/// How long a write may be applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Life {
    /// The last instant, in milliseconds since 1970 UTC.
    pub(crate) not_after_ms: i64,
    /// How long that was when it was asked first.
    pub(crate) for_ms: i64,
}

/// One call of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    pub(crate) client: u32,
    /// Of a write.
    pub(crate) request: Option<Id>,
    /// Of a write.
    pub(crate) life: Option<Life>,
    /// The same request once more, after the first was answered: no new write.
    pub(crate) again: bool,
    pub(crate) operation: Operation,
    pub(crate) invoked_ns: u64,
    /// `None` while it runs, or when the run ended before it did.
    pub(crate) returned_ns: Option<u64>,
    pub(crate) outcome: Outcome,
}

impl Call {
    /// Log index of a decision that confirmed it.
    pub(crate) const fn confirmed_at(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Confirmed { index, .. } => Some(index),
            _ => None,
        }
    }
}

/// Where programs write what they do. Clones write into the same history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Call>>>);

/// A call that has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun(usize);

impl Recorder {
    /// A program asks. `None`: the history is full, and the call must not be made.
    pub(crate) fn begin(&self, call: Call) -> Option<Begun> {
        self.with(|calls| {
            let at = calls.len();
            (at < CALLS_MAX).then(|| calls.push(call))?;
            Some(Begun(at))
        })
    }

    /// A program was told.
    pub(crate) fn end(&self, begun: Begun, outcome: Outcome, now_ns: u64) {
        self.with(|calls| {
            if let Some(call) = calls.get_mut(begun.0) {
                call.outcome = outcome;
                call.returned_ns = Some(now_ns);
            }
        });
    }

    /// How many calls began so far, and how many writes were confirmed.
    pub(crate) fn progress(&self) -> (usize, usize) {
        self.with(|calls| {
            let confirmed = calls.iter().filter(|call| call.confirmed_at().is_some()).count();
            (calls.len(), confirmed)
        })
    }

    /// Confirmed writes that began at `since_ns` or later.
    pub(crate) fn confirmed_since(&self, since_ns: u64) -> usize {
        self.with(|calls| {
            let since = calls.partition_point(|call| call.invoked_ns < since_ns);
            calls.get(since..).unwrap_or_default().iter().filter(|call| call.confirmed_at().is_some()).count()
        })
    }

    /// Everything so far, in the order in which it began.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.with(|calls| calls.clone())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Vec<Call>) -> T) -> T {
        // Each change is one push or one call's end: a panic elsewhere leaves it whole.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Serialize)]
struct Line<'a> {
    at_ns: u64,
    client: u32,
    call: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoked: Option<&'a Operation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Id>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    again: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    returned: Option<&'a Outcome>,
}

/// Writes every event on a line of its own, in the order of time; of two at once, in the order of the calls.
pub(crate) fn write(calls: &[Call], mut into: impl Write) -> io::Result<()> {
    let mut lines = Vec::new();
    for (nth, call) in calls.iter().enumerate() {
        let line = Line {
            at_ns: 0,
            client: call.client,
            call: nth,
            invoked: None,
            request: None,
            again: false,
            returned: None,
        };
        let invoked = Some(&call.operation);
        let (request, again) = (call.request, call.again);
        lines.push(Line { at_ns: call.invoked_ns, invoked, request, again, ..line });
        if let Some(returned_ns) = call.returned_ns {
            lines.push(Line {
                at_ns: returned_ns,
                returned: Some(&call.outcome),
                request: None,
                again: false,
                invoked: None,
                client: call.client,
                call: nth,
            });
        }
    }
    lines.sort_by_key(|line| (line.at_ns, line.call, line.returned.is_some()));
    for line in lines {
        serde_json::to_writer(&mut into, &line)?;
        into.write_all(b"\n")?;
    }
    into.flush()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn id(n: u8) -> Id {
        Id::from_bytes([n; 16])
    }

    /// A call of client 0 from `from` to `to`.
    pub(crate) fn call(from: u64, to: Option<u64>, operation: Operation, outcome: Outcome) -> Call {
        Call {
            client: 0,
            request: None,
            life: None,
            again: false,
            operation,
            invoked_ns: from,
            returned_ns: to,
            outcome,
        }
    }

    #[test]
    fn events_are_written_in_the_order_of_time() {
        let read = || Operation::ReadRecord { record: id(1), local: false };
        let recorder = Recorder::default();
        let first = recorder.begin(call(10, None, read(), Outcome::Unknown)).unwrap();
        let second = recorder.begin(call(20, None, read(), Outcome::Unknown)).unwrap();
        recorder.end(second, Outcome::Absent, 30);
        recorder.end(first, Outcome::NotDone { code: Some(2101) }, 40);
        let mut text = Vec::new();
        write(&recorder.calls(), &mut text).unwrap();
        let lines: Vec<serde_json::Value> =
            text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let order: Vec<_> = lines.iter().map(|line| (line["at_ns"].as_u64(), line["call"].as_u64())).collect();
        assert_eq!(order, [(10, 0), (20, 1), (30, 1), (40, 0)].map(|(at, call)| (Some(at), Some(call))));
        assert_eq!(lines[2]["returned"], "absent");
        assert_eq!(lines[3]["returned"]["not_done"]["code"], 2101);
        assert_eq!(recorder.progress(), (2, 0));
    }

    #[test]
    fn writes_that_were_confirmed_are_counted_from_a_time_on() {
        let recorder = Recorder::default();
        let confirmed = || Outcome::Confirmed { version: 1, changed: true, index: 9 };
        let write = || Operation::RegisterRoom { room: id(1), unit: id(2) };
        for from in [5, 10, 15] {
            recorder.begin(call(from, Some(from + 1), write(), confirmed())).unwrap();
        }
        assert_eq!((recorder.confirmed_since(10), recorder.confirmed_since(16)), (2, 0));
    }
}
