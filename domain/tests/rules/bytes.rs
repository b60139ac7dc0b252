//! Formats: what is written is read back, nothing else is, and no bytes panic. The golden file holds the bytes of one
//! of each: they may only be added to.

use crate::lead::{lead_samples, two_nodes};
use crate::world::*;
use plantao_domain::codec::*;
use plantao_domain::command::AppointmentState;
use plantao_domain::images::ChunkEpoch;
use plantao_domain::outcome::{Field, Resource, What};
use plantao_domain::rows::{
    AppointmentRow, ChunkRow, ConsentRow, ConsentVersionRow, ExpectedRow, ImageRow, ImagesHead, PartRow, PatientRow,
    PatientTokenRow, PatientVersionRow, PractitionerRow, ReceiptRow, RecordRow, RecordVersionRow, RoomRow, StoreRow,
    StoredOutcome, TombstoneRow, TrailHead, UnitRow, UploadRow, prefix,
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
        NotCovered,
        UploadClosed,
        LeaseOver,
        ManifestIncomplete { part: 3 },
        TooFewSites { part: 300, sites: 1 },
        NoSecondSite,
        StoreRefused,
        ReceiptRefused,
        TooManyUploads,
        StillInUse,
        Drained { node: NodeId(2) },
        TooFarAhead,
        AlreadyScheduled,
        Keyless { node: NodeId(3) },
        Invalid { field: Field::Reason },
    ];
    all.extend(rejections.map(rejected));
    all
}

fn envelopes_of(commands: Vec<Command>) -> Vec<Envelope> {
    let mut world = World::empty();
    commands.into_iter().map(|command| world.envelope(command)).collect()
}

fn envelopes() -> Vec<Envelope> {
    envelopes_of(samples())
}

/// A world in which each of these was done; only the first may be refused, which creates a cluster where there is one.
fn after(mut world: World, commands: Vec<Command>) -> World {
    for (n, command) in commands.into_iter().enumerate() {
        let outcome = world.send(command.clone());
        assert!(n == 0 || matches!(outcome, Outcome::Confirmed { .. }), "{command:?}: {outcome:?}");
    }
    world
}

/// Every prefix is refused; every flipped bit is refused or is another whole value; a byte more is refused.
pub(crate) fn assert_total<T: PartialEq + std::fmt::Debug>(
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
    for envelope in envelopes().into_iter().chain(envelopes_of(image_samples())).chain(envelopes_of(lead_samples())) {
        assert_total(&encode_envelope(&envelope), &envelope, decode_envelope);
    }
    for outcome in outcomes() {
        assert_total(&encode_outcome(&outcome), &outcome, decode_outcome);
    }
}

/// Notes wait in the journals of nodes, so those of before the version was kept must still be read.
#[test]
fn a_note_of_a_read_is_read_back_with_and_without_a_version() {
    let old = note(7);
    let new = command::ReadNote { version: Some(2), ..note(7) };
    assert_eq!(encode_row(&old).len() + 1, encode_row(&new).len(), "absent, not null");
    for note in [old, new] {
        assert_total(&encode_row(&note), &note, decode_row::<command::ReadNote>);
    }
}

/// Rows as the rules write them: each kind of prefix, through its own decoder.
#[test]
fn rows_are_read_back_whole_or_refused() {
    let mut world = after(World::new(), samples());
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
    let images = after(imaging(), image_samples());
    let lead = after(two_nodes(), lead_samples());
    let of_images = images.rows.rows().iter().filter(|(key, _)| key[0] >= 0x80);
    let of_lead = lead.rows.rows().iter().filter(|(key, _)| is_of_lead(key[0]));
    for (key, value) in world.rows.rows().iter().chain(of_images).chain(of_lead) {
        seen.insert(key[0]);
        match key[0] {
            prefix::CLUSTER => check::<cluster::ClusterRow>(value),
            prefix::RECOVERY_SLOT | prefix::EPOCH_KEY => check::<Sealed>(value),
            prefix::DATA_KEY => check::<command::WrappedKey>(value),
            prefix::NODE => check::<cluster::NodeRow>(value),
            prefix::JOIN_TOKEN => check::<cluster::JoinTokenRow>(value),
            prefix::LEADERSHIP => check::<lead::LeadershipRow>(value),
            prefix::HANDOVER => check::<lead::HandoverRow>(value),
            prefix::LEAD_POLICY => check::<lead::LeadPolicy>(value),
            prefix::UNIT => check::<UnitRow>(value),
            prefix::UNIT_SLUG => check::<UnitId>(value),
            prefix::PRACTITIONER => check::<PractitionerRow>(value),
            prefix::ROOM => check::<RoomRow>(value),
            prefix::PATIENT => check::<PatientRow>(value),
            prefix::PATIENT_VERSION => check::<PatientVersionRow>(value),
            prefix::PATIENT_TOKEN => check::<PatientTokenRow>(value),
            prefix::APPOINTMENT => check::<AppointmentRow>(value),
            prefix::LONG_BOOKINGS => check::<u64>(value),
            prefix::RECORD => check::<RecordRow>(value),
            prefix::RECORD_VERSION => check::<RecordVersionRow>(value),
            prefix::CONSENT => check::<ConsentRow>(value),
            prefix::CONSENT_VERSION => check::<ConsentVersionRow>(value),
            prefix::OUTCOME => check::<StoredOutcome>(value),
            prefix::AUDIT => check::<audit::AuditEntry>(value),
            prefix::TRAIL_HEAD => check::<TrailHead>(value),
            prefix::JOURNAL => check::<u64>(value),
            prefix::IMAGES_HEAD => check::<ImagesHead>(value),
            prefix::STORE => check::<StoreRow>(value),
            prefix::STORE_INCARNATION => check::<NodeId>(value),
            prefix::UPLOAD => check::<UploadRow>(value),
            prefix::PART => check::<PartRow>(value),
            prefix::RECEIPT => check::<ReceiptRow>(value),
            prefix::IMAGE => check::<ImageRow>(value),
            prefix::IMAGE_CLAIM => check::<UploadId>(value),
            prefix::CHUNK => check::<ChunkRow>(value),
            prefix::TOMBSTONE => check::<TombstoneRow>(value),
            prefix::EXPECTED => check::<ExpectedRow>(value),
            prefix::UPLOAD_LEASE
            | prefix::UPLOAD_BY_PATIENT
            | prefix::UPLOAD_CLOSED
            | prefix::IMAGE_BY_PATIENT
            | prefix::IMAGE_BY_UNIT
            | prefix::PRACTITIONER_BY_UNIT
            | prefix::ROOM_BY_UNIT
            | prefix::RECORD_BY_PATIENT
            | prefix::CONSENT_BY_PATIENT
            | prefix::OUTCOME_EXPIRY
            | prefix::AGENDA
            | prefix::AUDIT_BY_PATIENT => assert!(value.is_empty(), "its key says everything"),
            other => panic!("a row of kind {other:#04x}"),
        }
    }
    assert_eq!(seen.len(), 49, "every kind was tried");
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

/// A row without its last byte. The key of a mark says everything, so it is the key that is cut.
fn cut(key: &[u8], value: &[u8]) -> Changes {
    match value.split_last() {
        Some((_, rest)) => Changes::from([(key.to_vec(), Some(rest.to_vec()))]),
        None => Changes::from([(key.to_vec(), None), (key[..key.len() - 1].to_vec(), Some(Vec::new()))]),
    }
}

/// A damaged row is a fault that stops the node, never a panic and never an answer made from it.
#[test]
fn damaged_rows_are_faults() {
    let mut world = after(World::new(), samples());
    // The next entry deletes old answers.
    world.index += 32 - world.index % 32 - 1;
    let good = world.rows.rows().clone();
    let fresh =
        [register_patient(77, 1, vec![tag(5)]), book(99, 1, slot(2, 1, 3, hours(3, 4)), command::Overlap::Refuse)];
    let commands: Vec<_> = samples().into_iter().chain(fresh).collect();
    let mut faults = std::collections::BTreeSet::new();
    for (key, value) in &good {
        let mut damaged = world.clone();
        damaged.rows.write(&cut(key, value));
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

/// Likewise for images: a row that a rule needs and cannot read stops it.
#[test]
fn damaged_rows_of_images_are_faults() {
    let chunks = two_chunks(5, 6);
    let mut world = imaging();
    for command in image_samples() {
        world.send(command);
    }
    world.send(open_upload(7, 7, 1));
    world.send(put_part(7, chunks.clone()));
    world.send(put_receipts(&[receipt(7, &chunks, 1, 1, 2), receipt(7, &chunks, 2, 2, 2)]));
    let commands = [
        open_upload(7, 7, 1),
        open_upload(8, 7, 1),
        put_part(7, chunks.clone()),
        commit_upload(7),
        put_receipts(&[receipt(7, &chunks, 3, 3, 2)]),
        Command::DropPart { upload: upload(3), part: 0 },
        Command::RePlace { upload: upload(1), placement: vec![NodeId(1), NodeId(3)] },
        Command::FinishGc { node: NodeId(1), chunks: vec![ChunkEpoch { chunk: chunk(7), epoch: 2 }] },
        register_store(4, 4),
    ];
    let mut faults = std::collections::BTreeSet::new();
    for (key, value) in world.rows.rows().iter().filter(|(key, _)| key[0] >= prefix::IMAGES_HEAD) {
        let mut damaged = world.clone();
        damaged.rows.write(&cut(key, value));
        for command in &commands {
            let envelope = damaged.envelope(command.clone());
            match apply(&damaged.rows, LogId { term: 1, index: damaged.index + 1 }, &envelope) {
                Err(ViewFault::Row { prefix }) => drop(faults.insert(prefix)),
                Err(other) => panic!("{other}"),
                Ok(_) => {}
            }
        }
    }
    let read_by_rules = [
        prefix::IMAGES_HEAD,
        prefix::STORE,
        prefix::STORE_INCARNATION,
        prefix::UPLOAD,
        prefix::PART,
        prefix::RECEIPT,
        prefix::IMAGE_CLAIM,
        prefix::TOMBSTONE,
        prefix::EXPECTED,
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
        kind in 0_usize..41,
    ) {
        // Noise alone seldom gets past the first bytes: put it behind a good beginning too.
        let all = envelopes_of(samples().into_iter().chain(image_samples()).collect());
        let good = encode_envelope(&all[kind]);
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
        let _ = decode_row::<UploadRow>(&bytes);
        let _ = decode_row::<PartRow>(&bytes);
        let _ = decode_row::<TombstoneRow>(&bytes);
    }
}

/// The commands and refusals of one subject, each held to be total.
pub(crate) fn printed(commands: Vec<Command>, refusals: Vec<Rejection>) -> String {
    let mut text = String::from(HEADING);
    let envelopes = envelopes_of(commands);
    print_envelopes(&mut text, &envelopes);
    for envelope in &envelopes {
        assert_total(&encode_envelope(envelope), envelope, decode_envelope);
    }
    for (n, rejection) in refusals.into_iter().enumerate() {
        let outcome = rejected(rejection);
        assert_total(&encode_outcome(&outcome), &outcome, decode_outcome);
        line(&mut text, &format!("outcome {n}"), &encode_outcome(&outcome));
    }
    text
}

fn print_envelopes(text: &mut String, envelopes: &[Envelope]) {
    for (n, envelope) in envelopes.iter().enumerate() {
        line(text, &format!("envelope {n}"), &encode_envelope(envelope));
    }
}

fn line(text: &mut String, name: &str, bytes: &[u8]) {
    let _ = writeln!(text, "{name} {}", hexadecimal(bytes));
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn print_rows(text: &mut String, world: &World, keep: impl Fn(u8) -> bool) {
    for (key, value) in world.rows.rows() {
        if keep(key[0]) {
            line(text, &format!("row {}", hexadecimal(key)), value);
        }
    }
}

fn is_of_lead(first: u8) -> bool {
    (prefix::LEADERSHIP..=prefix::LEAD_POLICY).contains(&first)
}

fn print_lead() -> String {
    let mut text = String::from(HEADING);
    print_envelopes(&mut text, &envelopes_of(lead_samples()));
    print_rows(&mut text, &after(two_nodes(), lead_samples()), is_of_lead);
    text
}

const HEADING: &str = "bytes of one of each, in hexadecimal; lines may only be added\n";

fn print() -> String {
    let mut text = String::from(HEADING);
    print_envelopes(&mut text, &envelopes());
    for (n, outcome) in outcomes().iter().enumerate() {
        line(&mut text, &format!("outcome {n}"), &encode_outcome(outcome));
    }
    let world = after(World::new(), samples());
    let unprinted = [prefix::AUDIT, prefix::OUTCOME, prefix::OUTCOME_EXPIRY];
    print_rows(&mut text, &world, |first| !unprinted.contains(&first));
    text
}

fn print_images() -> String {
    let mut text = String::from(HEADING);
    print_envelopes(&mut text, &envelopes_of(image_samples()));
    print_rows(&mut text, &after(imaging(), image_samples()), |first| first >= prefix::IMAGES_HEAD);
    text
}

/// To accept an addition: the failing test prints the file as it is now.
#[test]
fn formats_are_the_golden_ones() {
    assert_eq!(print(), include_str!("../formats.golden"), "the file now:\n{}", print());
    assert_eq!(print_images(), include_str!("../images.golden"), "the file now:\n{}", print_images());
    assert_eq!(print_lead(), include_str!("../lead.golden"), "the file now:\n{}", print_lead());
}
