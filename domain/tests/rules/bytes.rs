//! Formats: what is written is read back, nothing else is, and no bytes panic. The golden file holds the bytes of one
//! of each: they may only be added to.

use crate::world::*;
use plantao_domain::codec::*;
use plantao_domain::command::AppointmentState;
use plantao_domain::outcome::{Field, Resource, What};
use plantao_domain::rows::{
    AgendaIndexRow, AppointmentRow, ConsentRow, ConsentVersionRow, PatientRow, PatientTokenRow, PatientVersionRow,
    PractitionerRow, RecordRow, RecordVersionRow, RoomRow, StoredOutcome, TrailHead, UnitRow, prefix,
};
use plantao_domain::*;
use proptest::prelude::*;
use std::fmt::Write;

fn outcomes() -> Vec<Outcome> {
    use Rejection::*;
    let mut all = vec![
        confirmed(3, true),
        Outcome::Confirmed { version: 0, changed: true, node: Some(NodeId(300)) },
        Outcome::ConfirmedWithConflict { resource: Resource::Room(room(1)), holder: appointment(2) },
    ];
    let rejections = [
        Denied,
        Expired,
        RequestIdReused,
        LifetimeTooLong,
        Unknown { what: What::Patient },
        Exists { what: What::Record },
        StaleVersion { current: 70_000 },
        SlotTaken { resource: Resource::Practitioner(practitioner(1)), holder: appointment(1) },
        EmptyInterval,
        IntervalTooLong,
        TimeOutOfRange,
        ReasonMissing,
        NotAStep { from: AppointmentState::Closed, to: AppointmentState::NoShow },
        Revoked,
        Invalid { field: Field::Tokens },
        WrongClusterState,
        TokenRefused,
        WrongUnit,
        Duplicate { patient: patient(1), token: tag(1) },
    ];
    all.extend(rejections.map(rejected));
    all
}

fn envelopes() -> Vec<Envelope> {
    let mut world = World::empty();
    samples().into_iter().map(|command| world.envelope(command)).collect()
}

/// Every prefix is refused; every flipped bit is refused or is another whole value; a byte more is refused.
fn assert_total<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    value: &T,
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
) {
    assert_eq!(decode(bytes).as_ref(), Ok(value));
    for end in 0..bytes.len() {
        assert!(decode(&bytes[..end]).is_err(), "{end} of {} bytes", bytes.len());
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert_eq!(decode(&longer), Err(DecodeError::Trailing));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = decode(&flipped);
    }
    let mut other = bytes.to_vec();
    other[0] = 9;
    assert_eq!(decode(&other), Err(DecodeError::Version(9)));
}

#[test]
fn envelopes_and_outcomes_are_read_back_whole_or_refused() {
    for envelope in envelopes() {
        assert_total(&encode_envelope(&envelope), &envelope, decode_envelope);
    }
    for outcome in outcomes() {
        assert_total(&encode_outcome(&outcome), &outcome, decode_outcome);
    }
}

/// Rows as the rules write them: each kind of prefix, through its own decoder.
#[test]
fn rows_are_read_back_whole_or_refused() {
    let mut world = World::new();
    for command in samples() {
        world.send(command);
    }
    world.send(Command::CreateJoinToken { token: tag(8), not_after: time(world.now + HOUR), keyed: true, voter: true });
    fn check<T>(bytes: &[u8])
    where
        T: PartialEq + std::fmt::Debug + minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
    {
        let value: T = decode_row(bytes).unwrap();
        assert_eq!(encode_row(&value), bytes, "one value, one encoding");
        assert_total(bytes, &value, decode_row::<T>);
    }
    let mut seen = std::collections::BTreeSet::new();
    for (key, value) in world.rows.rows() {
        seen.insert(key[0]);
        match key[0] {
            prefix::CLUSTER => check::<cluster::ClusterRow>(value),
            prefix::RECOVERY_SLOT | prefix::EPOCH_KEY => check::<Sealed>(value),
            prefix::DATA_KEY => check::<command::WrappedKey>(value),
            prefix::NODE => check::<cluster::NodeRow>(value),
            prefix::JOIN_TOKEN => check::<cluster::JoinTokenRow>(value),
            prefix::UNIT => check::<UnitRow>(value),
            prefix::UNIT_SLUG => check::<UnitId>(value),
            prefix::PRACTITIONER => check::<PractitionerRow>(value),
            prefix::ROOM => check::<RoomRow>(value),
            prefix::PATIENT => check::<PatientRow>(value),
            prefix::PATIENT_VERSION => check::<PatientVersionRow>(value),
            prefix::PATIENT_TOKEN => check::<PatientTokenRow>(value),
            prefix::APPOINTMENT => check::<AppointmentRow>(value),
            prefix::AGENDA => check::<AgendaIndexRow>(value),
            prefix::RECORD => check::<RecordRow>(value),
            prefix::RECORD_VERSION => check::<RecordVersionRow>(value),
            prefix::CONSENT => check::<ConsentRow>(value),
            prefix::CONSENT_VERSION => check::<ConsentVersionRow>(value),
            prefix::OUTCOME => check::<StoredOutcome>(value),
            prefix::AUDIT => check::<audit::AuditEntry>(value),
            prefix::TRAIL_HEAD => check::<TrailHead>(value),
            prefix::JOURNAL => check::<u64>(value),
            prefix::PRACTITIONER_BY_UNIT
            | prefix::ROOM_BY_UNIT
            | prefix::RECORD_BY_PATIENT
            | prefix::CONSENT_BY_PATIENT
            | prefix::OUTCOME_EXPIRY
            | prefix::AUDIT_BY_PATIENT => assert_eq!(*value, encode_mark()),
            other => panic!("a row of kind {other:#04x}"),
        }
    }
    assert_eq!(seen.len(), 29, "every kind was tried");
}

#[test]
fn the_leader_writes_its_time_in_place() {
    let [envelope, ..] = &envelopes()[..] else { panic!() };
    let mut bytes = encode_envelope(envelope);
    for millis in [ClusterTime::MIN.millis(), -1, 0, START, ClusterTime::MAX.millis()] {
        stamp(&mut bytes, time(millis)).unwrap();
        assert_eq!(stamped_at(&bytes), Ok(time(millis)));
        assert_eq!(decode_envelope(&bytes), Ok(Envelope { proposed_at: time(millis), ..envelope.clone() }));
    }
    bytes[1..9].copy_from_slice(&i64::MAX.to_be_bytes());
    assert_eq!(decode_envelope(&bytes), Err(DecodeError::Time));
    assert_eq!(stamp(&mut bytes[..8], time(0)), Err(DecodeError::Truncated));
    assert_eq!(stamp(&mut [], time(0)), Err(DecodeError::Truncated));
    assert_eq!(stamp(&mut [2; 20], time(0)), Err(DecodeError::Version(2)));
}

#[test]
fn times_out_of_range_and_long_entries_do_not_decode() {
    let mut world = World::empty();
    let mut envelope = world.envelope(samples()[9].clone());
    envelope.not_after = ClusterTime::from_key([0xff; 8]);
    assert_eq!(decode_envelope(&encode_envelope(&envelope)), Err(DecodeError::Malformed));
    let long = vec![1; ENTRY_BYTES_MAX + 1];
    assert_eq!(decode_envelope(&long), Err(DecodeError::TooLong { bytes: long.len() }));
}

/// A damaged row is a fault that stops the node, never a panic and never an answer made from it.
#[test]
fn damaged_rows_are_faults() {
    let mut world = World::new();
    for command in samples() {
        world.send(command);
    }
    world.index += 4 - world.index % 4 - 1;
    let good = world.rows.rows().clone();
    let fresh =
        [register_patient(77, 1, vec![tag(5)]), book(99, 1, slot(2, 1, 3, hours(3, 4)), command::Overlap::Refuse)];
    let commands: Vec<_> = samples().into_iter().chain(fresh).collect();
    let mut faults = std::collections::BTreeSet::new();
    for (key, value) in &good {
        let mut damaged = world.clone();
        let cut = value[..value.len() - 1].to_vec();
        damaged.rows.write(&Changes::from([(key.clone(), Some(cut))]));
        for command in commands.clone() {
            let envelope = damaged.envelope(command);
            let at = LogId { term: 1, index: damaged.index + 1 };
            match apply(&damaged.rows, at, &envelope) {
                Ok(_) => {}
                Err(ViewFault::Row { prefix }) => {
                    assert_eq!(prefix, key[0]);
                    faults.insert(prefix);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    let read_by_rules = [
        prefix::CLUSTER,
        prefix::EPOCH_KEY,
        prefix::NODE,
        prefix::UNIT,
        prefix::PRACTITIONER,
        prefix::ROOM,
        prefix::PATIENT,
        prefix::PATIENT_VERSION,
        prefix::PATIENT_TOKEN,
        prefix::APPOINTMENT,
        prefix::AGENDA,
        prefix::RECORD,
        prefix::CONSENT,
        prefix::TRAIL_HEAD,
        prefix::JOURNAL,
    ];
    for prefix in read_by_rules {
        assert!(faults.contains(&prefix), "{prefix:#04x}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0_usize..400,
        kind in 0_usize..17,
    ) {
        // Noise alone seldom gets past the first bytes: put it behind a good beginning too.
        let good = encode_envelope(&envelopes()[kind]);
        let mut grafted = good[..cut.min(good.len())].to_vec();
        grafted.extend_from_slice(&bytes);
        let _ = decode_envelope(&grafted);
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        let _ = decode_envelope(&bytes);
        let _ = decode_outcome(&bytes);
        let _ = decode_row::<audit::AuditEntry>(&bytes);
        let _ = decode_row::<AppointmentRow>(&bytes);
        let _ = decode_row::<PatientVersionRow>(&bytes);
        let _ = decode_row::<ConsentRow>(&bytes);
    }
}

fn print() -> String {
    let mut text = String::from("bytes of one of each, in hexadecimal; lines may only be added\n");
    let mut line = |name: &str, bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(text, "{name} {hex}");
    };
    for (n, envelope) in envelopes().iter().enumerate() {
        line(&format!("envelope {n}"), &encode_envelope(envelope));
    }
    for (n, outcome) in outcomes().iter().enumerate() {
        line(&format!("outcome {n}"), &encode_outcome(outcome));
    }
    let mut world = World::new();
    for command in samples() {
        world.send(command);
    }
    for (key, value) in world.rows.rows() {
        if key[0] != prefix::AUDIT && key[0] != prefix::OUTCOME && key[0] != prefix::OUTCOME_EXPIRY {
            let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            line(&format!("row {key}"), value);
        }
    }
    text
}

/// To accept an addition: the failing test prints the file as it is now.
#[test]
fn formats_are_the_golden_ones() {
    assert_eq!(print(), include_str!("../formats.golden"), "the file now:\n{}", print());
}
