//! What travels in the log and rests in rows: one encoding for one value, and rules that hold whatever is asked in whatever
//! order.

use super::input::{Input, assert_settled};
use super::world;
use plantao_domain::rows::prefix;
use plantao_domain::*;

/// The lines `kind … hexadecimal` of the files that freeze the formats.
fn golden(kind: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let files = [
        include_str!("../../../domain/tests/formats.golden"),
        include_str!("../../../domain/tests/images.golden"),
        include_str!("../../../domain/tests/lead.golden"),
        include_str!("../../../domain/tests/members.golden"),
        include_str!("../../../domain/tests/upgrade.golden"),
    ];
    let bytes = |text: &str| -> Vec<u8> {
        let digit = |c: &u8| char::from(*c).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
        text.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, c| byte << 4 | digit(c))).collect()
    };
    let lines =
        files.iter().flat_map(|file| file.lines()).filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    lines.map(|line| line.split_once(' ').unwrap_or((line, ""))).map(|(name, of)| (bytes(name), bytes(of))).collect()
}

/// A log entry.
pub(super) mod envelope {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        golden("envelope").into_iter().map(|(_, bytes)| bytes).collect()
    }

    pub(crate) fn run(data: &[u8]) {
        let Ok(envelope) = codec::decode_envelope(data) else {
            // What the leader's stamp needs is asked before the rest is read.
            assert!(codec::stamped_at(data).is_err() || data.len() > 8);
            return;
        };
        assert!(data.len() <= codec::ENTRY_BYTES_MAX);
        let made = codec::encode_envelope(&envelope);
        assert!(made.len() <= data.len(), "it grew from {} to {} bytes", data.len(), made.len());
        assert_settled(&made, |bytes| Some(codec::encode_envelope(&codec::decode_envelope(bytes).ok()?)));
        for end in [0, 8, made.len() / 2, made.len() - 1] {
            assert!(codec::decode_envelope(&made[..end]).is_err(), "{end} of {} bytes", made.len());
        }
        // The leader writes its time in place, and nothing else of it changes.
        let mut stamped = data.to_vec();
        codec::stamp(&mut stamped, ClusterTime::MAX).unwrap();
        let envelope = Envelope { proposed_at: ClusterTime::MAX, ..envelope };
        assert_eq!(codec::decode_envelope(&stamped), Ok(envelope));
    }
}

/// An answer.
pub(super) mod outcome {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        golden("outcome").into_iter().map(|(_, bytes)| bytes).collect()
    }

    pub(crate) fn run(data: &[u8]) {
        let Ok(outcome) = codec::decode_outcome(data) else { return };
        let made = codec::encode_outcome(&outcome);
        assert!(made.len() <= data.len(), "it grew from {} to {} bytes", data.len(), made.len());
        assert_settled(&made, |bytes| Some(codec::encode_outcome(&codec::decode_outcome(bytes).ok()?)));
        if let Outcome::Rejected(rejection) = outcome {
            assert!(rejection.code() > 1000, "a refusal has a number");
        }
    }
}

/// The value of a row: its key's first byte, then the value.
pub(super) mod row {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let rows = golden("row").into_iter().filter(|(key, value)| !key.is_empty() && !value.is_empty());
        rows.map(|(key, value)| [&key[..1], &value].concat()).collect()
    }

    pub(crate) fn run(data: &[u8]) {
        let Some((kind, value)) = data.split_first() else { return };
        macro_rules! check {
            ($row:ty) => {{
                let Ok(row) = codec::decode_row::<$row>(value) else { return };
                let made = codec::encode_row(&row);
                assert!(made.len() <= value.len(), "it grew from {} to {} bytes", value.len(), made.len());
                assert!(codec::decode_row::<$row>(&made).as_ref() == Ok(&row), "another value is read back");
                assert_eq!(codec::encode_row(&codec::decode_row::<$row>(&made).unwrap()), made);
                for end in [0, made.len() / 2, made.len() - 1] {
                    assert!(codec::decode_row::<$row>(&made[..end]).is_err(), "{end} of {} bytes", made.len());
                }
            }};
        }
        match *kind {
            prefix::CLUSTER => check!(cluster::ClusterRow),
            prefix::RECOVERY_SLOT | prefix::EPOCH_KEY => check!(Sealed),
            prefix::DATA_KEY => check!(command::WrappedKey),
            prefix::NODE => check!(cluster::NodeRow),
            prefix::JOIN_TOKEN => check!(cluster::JoinTokenRow),
            prefix::LEADERSHIP => check!(lead::LeadershipRow),
            prefix::HANDOVER => check!(lead::HandoverRow),
            prefix::LEAD_POLICY => check!(lead::LeadPolicy),
            prefix::UNIT => check!(rows::UnitRow),
            prefix::UNIT_SLUG => check!(UnitId),
            prefix::PRACTITIONER => check!(rows::PractitionerRow),
            prefix::ROOM => check!(rows::RoomRow),
            prefix::PATIENT => check!(rows::PatientRow),
            prefix::PATIENT_VERSION => check!(rows::PatientVersionRow),
            prefix::PATIENT_TOKEN => check!(rows::PatientTokenRow),
            prefix::APPOINTMENT => check!(rows::AppointmentRow),
            prefix::LONG_BOOKINGS | prefix::JOURNAL => check!(u64),
            prefix::RECORD => check!(rows::RecordRow),
            prefix::RECORD_VERSION => check!(rows::RecordVersionRow),
            prefix::CONSENT => check!(rows::ConsentRow),
            prefix::CONSENT_VERSION => check!(rows::ConsentVersionRow),
            prefix::OUTCOME => check!(rows::StoredOutcome),
            prefix::AUDIT => check!(audit::AuditEntry),
            prefix::TRAIL_HEAD => check!(rows::TrailHead),
            prefix::IMAGES_HEAD => check!(rows::ImagesHead),
            prefix::STORE => check!(rows::StoreRow),
            prefix::UPLOAD => check!(rows::UploadRow),
            prefix::PART => check!(rows::PartRow),
            prefix::RECEIPT => check!(rows::ReceiptRow),
            prefix::IMAGE => check!(rows::ImageRow),
            prefix::CHUNK => check!(rows::ChunkRow),
            prefix::TOMBSTONE => check!(rows::TombstoneRow),
            prefix::EXPECTED => check!(rows::ExpectedRow),
            _ => check!(command::ReadNote),
        }
    }
}

/// A sequence of commands on a small network, with chosen authors, times and repetitions, and envelopes as bytes between
/// them.
pub(super) mod apply {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::OnceLock;
    use world::{World, tag};

    /// One step: what happens before it, then eight bytes of which a command is made.
    const STEP_BYTES: usize = 10;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let step = |kind: u8, n: u8| [0, 0, kind, n, n / 2, 1, n, 0, n, 1];
        let all = (0..24_u8).map(|kind| [[0; 2].as_slice(), &step(kind, 1), &step(kind, 7)].concat());
        let bookings = (0..20_u8).flat_map(|n| step(0, n)).collect::<Vec<_>>();
        let images = [8, 10, 13, 14, 17, 18, 21, 22, 23].into_iter().flat_map(|kind| step(kind, 1));
        let images = [1_u8, 3].into_iter().chain(images).collect();
        all.chain([[[0, 5].as_slice(), &bookings].concat(), images]).collect()
    }

    fn worlds() -> &'static [World; 2] {
        static WORLDS: OnceLock<[World; 2]> = OnceLock::new();
        WORLDS.get_or_init(|| [World::new(), world::imaging()])
    }

    fn step(world: &mut World, input: &mut Input<'_>, log: &[Envelope]) -> Envelope {
        let [how, what] = input.array();
        let raw: [u8; STEP_BYTES - 2] = input.array();
        world.now += [0, 1, 1_000, 120_000, 3_600_000, -60_000, 700_000, 86_400_000][usize::from(how % 8)];
        let before = log.len().checked_sub(1 + usize::from(what) % 5).and_then(|at| log.get(at));
        match (how >> 4, before) {
            // The same request again, and with another content.
            (12, Some(before)) => Envelope { proposed_at: world::time(world.now), ..before.clone() },
            (13, Some(before)) => Envelope { content_tag: tag(77), ..before.clone() },
            // Whoever has no right to it.
            (14, _) => {
                let roles =
                    [Role::Reception, Role::Clinician, Role::Manager, Role::Auditor, Role::Node, Role::Operator];
                let actor = world::who(roles[usize::from(what) % roles.len()], (what > 128).then_some(1 + what % 3));
                Envelope { actor, ..world.envelope(world::mixed_command_of(raw)) }
            }
            (15, _) => {
                let mut late = world.envelope(world::mixed_command_of(raw));
                late.not_after = world::time(world.now + (i64::from(what) - 128) * 20_000);
                late
            }
            // As it came from another node: some bytes of it changed, if it is still one.
            (11, _) => {
                let good = world.envelope(world::mixed_command_of(raw));
                let mut bytes = codec::encode_envelope(&good);
                let at = (usize::from(what) * 7 + usize::from(raw[0])) % bytes.len();
                bytes[at] ^= raw[7];
                codec::decode_envelope(&bytes).unwrap_or(good)
            }
            _ => world.envelope(world::mixed_command_of(raw)),
        }
    }

    pub(crate) fn run(data: &[u8]) {
        let mut input = Input(data);
        let mut world = worlds()[usize::from(input.byte() % 2)].clone();
        let group = 1 + usize::from(input.byte() % 8);
        let start = world.rows.clone();
        let first = world.index + 1;
        let mut log: Vec<Envelope> = Vec::new();
        let mut link = digest::CHAIN_START;
        while !input.is_over() {
            let envelope = step(&mut world, &mut input, &log);
            let before = world.rows.clone();
            // Rows that the rules wrote are never a fault: this unwraps what it applies.
            let applied = world.apply(&envelope);
            hold(&before, &envelope, &applied);
            link = chained(&link, world.index, &envelope, &applied.outcome);
            log.push(envelope);
        }
        no_double_booking(&world.rows);
        trail_is_whole(&world.rows);
        // Another replica, from the bytes, in groups.
        let (mut rows, mut other, mut index) = (start, digest::CHAIN_START, first);
        for envelopes in log.chunks(group) {
            let mut overlay = Overlay::new(&rows);
            for envelope in envelopes {
                let envelope = codec::decode_envelope(&codec::encode_envelope(envelope)).unwrap();
                let applied = plantao_domain::apply(&overlay, LogId { term: 1, index }, &envelope).unwrap();
                other = chained(&other, index, &envelope, &applied.outcome);
                overlay.write(applied.changes);
                index += 1;
            }
            let changes = overlay.into_changes();
            rows.write(&changes);
        }
        assert!(rows == world.rows && other == link, "two replicas of one log differ");
    }

    fn chained(link: &[u8; 32], index: u64, envelope: &Envelope, outcome: &Outcome) -> [u8; 32] {
        let at = LogId { term: 1, index };
        digest::chain(link, at, &codec::encode_envelope(envelope), &codec::encode_outcome(outcome))
    }

    /// Nothing that was written is taken back, and a refusal changes nothing but answers and the trail.
    fn hold(before: &MemView, envelope: &Envelope, applied: &Applied) {
        let refused = matches!(applied.outcome, Outcome::Rejected(_));
        for (key, value) in &applied.changes {
            let kind = key.first().copied().unwrap_or(0);
            let old = before.rows().get(key);
            if refused {
                assert!((0x60..0x80).contains(&kind), "a refusal of {:?} wrote a row {kind:#04x}", envelope.command);
            }
            match kind {
                prefix::PATIENT_VERSION | prefix::RECORD_VERSION | prefix::CONSENT_VERSION | prefix::AUDIT => {
                    assert!(old.is_none() && value.is_some(), "a row {kind:#04x} was written over or deleted");
                }
                prefix::RECORD => assert!(
                    version::<rows::RecordRow>(old, |row| row.version) < {
                        version::<rows::RecordRow>(value.as_ref(), |row| row.version)
                    }
                ),
                prefix::PATIENT => assert!(
                    version::<rows::PatientRow>(old, |row| row.version) < {
                        version::<rows::PatientRow>(value.as_ref(), |row| row.version)
                    }
                ),
                prefix::CONSENT => assert!(
                    version::<rows::ConsentRow>(old, |row| row.version) < {
                        version::<rows::ConsentRow>(value.as_ref(), |row| row.version)
                    }
                ),
                prefix::APPOINTMENT => assert!(
                    version::<rows::AppointmentRow>(old, |row| row.version) < {
                        version::<rows::AppointmentRow>(value.as_ref(), |row| row.version)
                    }
                ),
                _ => {}
            }
        }
    }

    fn version<T>(row: Option<&Vec<u8>>, of: impl Fn(&T) -> u32) -> u32
    where
        T: Row,
    {
        row.map_or(0, |bytes| of(&T::read(bytes)))
    }

    /// Rows that have a version.
    trait Row {
        fn read(bytes: &[u8]) -> Self;
    }

    macro_rules! versioned {
        ($($row:ident),*) => {$(impl Row for rows::$row {
            fn read(bytes: &[u8]) -> Self {
                codec::decode_row(bytes).unwrap()
            }
        })*};
    }
    versioned!(RecordRow, PatientRow, ConsentRow, AppointmentRow);

    /// No patient is in two places, and nobody and no room is taken twice without an encaixe.
    fn no_double_booking(view: &MemView) {
        use command::AppointmentState::{Arrived, Booked, Closed};
        let held: Vec<rows::AppointmentRow> = view
            .rows()
            .iter()
            .filter(|(key, _)| key.first() == Some(&prefix::APPOINTMENT))
            .map(|(_, value)| codec::decode_row::<rows::AppointmentRow>(value).unwrap())
            .filter(|row| matches!(row.state, Booked | Arrived | Closed))
            .collect();
        for (n, one) in held.iter().enumerate() {
            for other in &held[n + 1..] {
                let (a, b) = (one.slot.interval, other.slot.interval);
                if a.end <= b.start || b.end <= a.start {
                    continue;
                }
                assert_ne!(one.patient, other.patient, "a patient in two places");
                let same = one.slot.practitioner == other.slot.practitioner || one.slot.room == other.slot.room;
                assert!(!same || one.encaixe.is_some() || other.encaixe.is_some(), "double booking");
            }
        }
    }

    /// Each entry of the trail follows the one before.
    fn trail_is_whole(view: &MemView) {
        let entries: BTreeMap<_, _> =
            view.rows().iter().filter(|(key, _)| key.first() == Some(&prefix::AUDIT)).collect();
        let mut previous = [0; 32];
        for (sequence, value) in (1..).zip(entries.values()) {
            let entry: audit::AuditEntry = codec::decode_row(value).unwrap();
            assert_eq!((entry.sequence, entry.previous), (sequence, previous), "the trail has a gap");
            previous = digest::of_bytes(value);
        }
    }
}
