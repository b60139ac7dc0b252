//! A small clinic network to try rules on: two units (1, 2), three professionals, three rooms (1 and 2 in unit 1, 3 in
//! unit 2), four patients.

use plantao_domain::audit::Object;
use plantao_domain::cluster::NodeDescription;
use plantao_domain::command::{AppointmentState, Overlap, Purpose, ReadNote, Slot, Tag, WrappedKey};
use plantao_domain::images::{
    CHUNK_BYTES, ChunkEntry, ChunkEpoch, FRAME_BYTES, ManifestPart, MediaType, NewImage, PART_OF_THUMBNAIL, Receipt,
    part_digest,
};
use plantao_domain::*;

pub(crate) const HOUR: i64 = 3_600_000;
/// 2026-11-23T12:00:00Z.
pub(crate) const START: i64 = 1_795_435_200_000;

pub(crate) fn id(kind: u8, n: u8) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = kind;
    bytes[15] = n;
    bytes
}

macro_rules! ids {
    ($($name:ident $kind:ident $number:literal),* $(,)?) => {$(
        pub(crate) fn $name(n: u8) -> $kind {
            $kind::from_bytes(id($number, n))
        }
    )*};
}

ids! {
    unit UnitId 1, practitioner PractitionerId 2, room RoomId 3, patient PatientId 4, appointment AppointmentId 5,
    record RecordId 6, consent ConsentId 7, actor ActorId 8, journal JournalId 9, key KeyId 10, image ImageId 13,
    upload UploadId 14, incarnation StoreIncarnation 15,
}

/// The chunk that some bytes would be sealed to.
pub(crate) fn chunk(n: u8) -> ChunkId {
    ChunkId::from_bytes([n; 32])
}

pub(crate) fn request(n: u64) -> RequestId {
    let mut bytes = id(11, 0);
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    RequestId::from_bytes(bytes)
}

pub(crate) fn tag(n: u8) -> Tag {
    Tag([n; 32])
}

pub(crate) fn time(millis: i64) -> ClusterTime {
    ClusterTime::from_millis(millis).unwrap()
}

pub(crate) fn hours(start: i64, end: i64) -> Interval {
    Interval { start: time(START + start * HOUR), end: time(START + end * HOUR) }
}

pub(crate) fn slot(at: u8, who: u8, place: u8, interval: Interval) -> Slot {
    Slot { unit: unit(at), practitioner: practitioner(who), room: room(place), interval }
}

pub(crate) fn sealed(text: &str) -> Sealed {
    Sealed(text.as_bytes().to_vec())
}

pub(crate) fn encaixe() -> Overlap {
    Overlap::Encaixe { reason: sealed("why") }
}

pub(crate) fn wrapped(n: u8) -> WrappedKey {
    WrappedKey { key_id: key(n), epoch: 1, frame: sealed("frame") }
}

pub(crate) fn node_description(name: &str) -> NodeDescription {
    NodeDescription {
        name: name.into(),
        site: "sp".into(),
        country: "BR".into(),
        medium: "ssd".into(),
        peer_address: "127.0.0.1:7000".into(),
        keyed: true,
        voter: true,
    }
}

pub(crate) fn create_cluster() -> Command {
    Command::CreateCluster {
        cluster_id: ClusterId::from_bytes(id(12, 1)),
        name: "rede".into(),
        recovery_slot: sealed("slot"),
        epoch_key: sealed("epoch"),
        search_key: wrapped(1),
        tag_key: wrapped(2),
        first_node: node_description("centro"),
    }
}

pub(crate) fn book(n: u8, whom: u8, slot: Slot, overlap: Overlap) -> Command {
    let content = sealed("service");
    Command::Book { appointment: appointment(n), patient: patient(whom), slot, overlap, content }
}

pub(crate) fn add_record(n: u8, whom: u8, at: u8) -> Command {
    Command::AddRecord {
        record: record(n),
        patient: patient(whom),
        unit: unit(at),
        kind: "Observation".into(),
        authored_at: time(START + i64::from(n) * HOUR),
        content: sealed("document"),
    }
}

pub(crate) fn grant(n: u8, whom: u8, at: u8) -> Command {
    Command::GrantConsent {
        consent: consent(n),
        patient: patient(whom),
        unit: unit(at),
        purposes: vec![Purpose::Treatment, Purpose::ClinicalImages],
        valid_from: time(START),
        valid_until: Some(time(START + 1000 * HOUR)),
        content: sealed("signed"),
    }
}

pub(crate) fn register_patient(n: u8, at: u8, tokens: Vec<Tag>) -> Command {
    let content = sealed("demographics");
    Command::RegisterPatient { patient: patient(n), unit: unit(at), key: wrapped(n), tokens, content }
}

pub(crate) fn state(n: u8, seen_version: u32, state: AppointmentState) -> Command {
    Command::ChangeAppointmentState { appointment: appointment(n), seen_version, state, reason: sealed("") }
}

pub(crate) fn note(sequence: u64) -> ReadNote {
    ReadNote {
        sequence,
        actor: who(Role::Clinician, Some(1)),
        at: time(START),
        object: Object::Record(record(1)),
        patient: Some(patient(1)),
        allowed: true,
        version: None,
    }
}

pub(crate) fn who(role: Role, at: Option<u8>) -> Actor {
    Actor { id: actor(1), role, unit: at.map(unit) }
}

/// An identity of the whole network that may do this.
pub(crate) fn entitled(command: &Command) -> Actor {
    use Command::*;
    let role = match command {
        CreateCluster { .. } | RedeemJoinToken { .. } | NoteRootHanded { .. } | NoteReads { .. } => Role::Node,
        NoteRecovery { .. } => Role::Node,
        CreateJoinToken { .. } | RetireStore { .. } => Role::Operator,
        ChangeMembers { .. } | StageLayout { .. } | PlanReplacement { .. } | RaiseLevel { .. } => Role::Operator,
        SucceedMember { .. } => Role::Node,
        RegisterStore { .. } | RenewIntent { .. } | RePlace { .. } | PutManifestPart { .. } => Role::Node,
        PutReceipts { .. } | ExpireIntents | DropPart { .. } | PutTombstones { .. } | FinishGc { .. } => Role::Node,
        NoteLeadership(_) => Role::Node,
        BeginHandover { .. } | SetLead { .. } => Role::Operator,
        RegisterUnit { .. } | RegisterPractitioner { .. } | RegisterRoom { .. } => Role::Manager,
        _ => Role::Clinician,
    };
    who(role, None)
}

pub(crate) fn rejected(rejection: Rejection) -> Outcome {
    Outcome::Rejected(rejection)
}

pub(crate) fn confirmed(version: u32, changed: bool) -> Outcome {
    Outcome::Confirmed { version, changed, node: None }
}

/// A node that speaks of itself does so by itself.
fn sender(command: &Command) -> NodeId {
    match command {
        Command::RegisterStore { node, .. } | Command::PutTombstones { node, .. } | Command::FinishGc { node, .. } => {
            *node
        }
        Command::NoteLeadership(told) => told.to,
        _ => NodeId(1),
    }
}

/// Rows, and what a leader would stamp on the next envelope.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) rows: MemView,
    pub(crate) index: u64,
    pub(crate) now: i64,
    pub(crate) next_request: u64,
}

impl World {
    /// Nothing at all.
    pub(crate) fn empty() -> Self {
        Self { now: START, next_request: 1, ..Self::default() }
    }

    /// A cluster with its directory and patients.
    pub(crate) fn new() -> Self {
        let mut world = Self::empty();
        for command in furniture() {
            let outcome = world.send(command.clone());
            assert!(matches!(outcome, Outcome::Confirmed { changed: true, .. }), "{command:?}: {outcome:?}");
        }
        world
    }

    pub(crate) fn envelope(&mut self, command: Command) -> Envelope {
        let number = self.next_request;
        self.next_request += 1;
        Envelope {
            request_id: request(number),
            content_tag: tag(1),
            actor: entitled(&command),
            via: sender(&command),
            not_after: time(self.now + Envelope::LIFETIME_MS),
            proposed_at: time(self.now),
            command,
        }
    }

    pub(crate) fn apply(&mut self, envelope: &Envelope) -> Applied {
        self.index += 1;
        let applied = apply(&self.rows, LogId { term: 1, index: self.index }, envelope).unwrap();
        for (key, value) in applied.changes.iter().filter(|(key, _)| rows::is_put_once(key)) {
            assert!(value.is_none() || !self.rows.rows().contains_key(key), "stores do not look what was there");
        }
        self.rows.write(&applied.changes);
        applied
    }

    /// A new request by an identity that may do it, one second after the one before.
    pub(crate) fn send(&mut self, command: Command) -> Outcome {
        self.now += 1000;
        let envelope = self.envelope(command);
        self.apply(&envelope).outcome
    }

    pub(crate) fn send_as(&mut self, actor: Actor, command: Command) -> Outcome {
        self.now += 1000;
        let envelope = Envelope { actor, ..self.envelope(command) };
        self.apply(&envelope).outcome
    }

    /// Rows of objects, without answers, trail and journals.
    pub(crate) fn objects(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.rows
            .rows()
            .iter()
            .filter(|(key, _)| !(0x60..0x80).contains(&key[0]))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }
}

fn furniture() -> Vec<Command> {
    let mut commands = vec![create_cluster()];
    for (n, slug) in [(1, "centro"), (2, "jardins")] {
        let content = sealed("unit");
        commands.push(Command::RegisterUnit { unit: unit(n), slug: slug.into(), key: wrapped(100 + n), content });
    }
    for (n, at) in [(1, 1), (2, 1), (3, 2)] {
        let content = sealed("name");
        commands.push(Command::RegisterRoom { room: room(n), unit: unit(at), content: content.clone() });
        commands.push(Command::RegisterPractitioner { practitioner: practitioner(n), unit: unit(at), content });
    }
    for n in 1..=4 {
        commands.push(register_patient(n, 1 + n % 2, vec![tag(n), tag(200)]));
    }
    commands
}

/// Some command for some bytes: most make sense, some do not. Small numbers make them meet.
pub(crate) fn command_of(raw: [u8; 8]) -> Command {
    let [kind, a, b, c, d, e, f, g] = raw;
    let start = START + i64::from(d % 48) * HOUR / 2;
    let length = [HOUR / 2, HOUR, 2 * HOUR, 24 * HOUR, 0, 25 * HOUR, HOUR, HOUR][usize::from(e % 8)];
    let interval = Interval { start: time(start), end: time(start + length) };
    let place = 1 + c % 3;
    let slot = slot(if g % 16 == 0 { 2 } else { 1 + u8::from(place == 3) }, 1 + b % 3, place, interval);
    let overlap = match f % 5 {
        0 => encaixe(),
        1 if g % 8 == 0 => Overlap::Encaixe { reason: sealed("") },
        _ => Overlap::Refuse,
    };
    let version = u32::from(1 + g % 3);
    match kind % 20 {
        0..=5 => book(a % 16, 1 + b / 3 % 4, slot, overlap),
        6 | 7 => Command::MoveAppointment { appointment: appointment(a % 16), seen_version: version, slot, overlap },
        8..=10 => {
            use AppointmentState::*;
            let to = [Booked, Arrived, Closed, Cancelled, NoShow][usize::from(c % 5)];
            state(a % 16, version, to)
        }
        11 => add_record(a % 8, 1 + b % 5, 1 + c % 3),
        12 => Command::AmendRecord {
            record: record(a % 8),
            seen_version: version,
            reason: sealed(if b % 4 == 0 { "" } else { "why" }),
            content: sealed("corrected"),
        },
        13 => grant(a % 8, 1 + b % 5, 1 + c % 2),
        14 => Command::RevokeConsent { consent: consent(a % 8), seen_version: version, reason: sealed("") },
        15 => register_patient(a % 8, 1 + b % 2, vec![tag(c % 8), tag(d % 8)]),
        16 => Command::AmendPatient {
            patient: patient(a % 8),
            seen_version: version,
            tokens: vec![tag(c % 8), tag(201)],
            content: sealed("new"),
        },
        17 => Command::NoteReads {
            node: NodeId(1),
            journal: journal(1 + a % 2),
            reads: (0..b % 4).map(|n| note(u64::from(1 + c % 8 + n))).collect(),
        },
        18 => Command::CreateJoinToken { token: tag(a % 4), not_after: time(START + HOUR), keyed: true, voter: false },
        _ => Command::RedeemJoinToken { token: tag(a % 4), node: node_description("novo"), level: None },
    }
}

/// One of every command.
pub(crate) fn samples() -> Vec<Command> {
    let content = sealed("content");
    vec![
        create_cluster(),
        Command::CreateJoinToken { token: tag(9), not_after: time(START + HOUR), keyed: true, voter: false },
        Command::RedeemJoinToken { token: tag(9), node: node_description("cofre"), level: None },
        Command::NoteRootHanded { node: NodeId(2) },
        Command::RegisterUnit { unit: unit(3), slug: "moema".into(), key: wrapped(103), content: content.clone() },
        Command::RegisterPractitioner { practitioner: practitioner(4), unit: unit(1), content: content.clone() },
        Command::RegisterRoom { room: room(4), unit: unit(2), content: content.clone() },
        register_patient(5, 1, vec![tag(5), tag(200)]),
        Command::AmendPatient { patient: patient(5), seen_version: 1, tokens: vec![tag(5)], content: content.clone() },
        book(1, 1, slot(1, 1, 1, hours(1, 2)), encaixe()),
        Command::MoveAppointment {
            appointment: appointment(1),
            seen_version: 1,
            slot: slot(2, 1, 3, hours(3, 4)),
            overlap: Overlap::Refuse,
        },
        state(1, 2, AppointmentState::Arrived),
        add_record(1, 1, 1),
        Command::AmendRecord { record: record(1), seen_version: 1, reason: sealed("why"), content: content.clone() },
        grant(1, 1, 1),
        Command::RevokeConsent { consent: consent(1), seen_version: 1, reason: sealed("") },
        Command::NoteReads { node: NodeId(1), journal: journal(1), reads: vec![note(1), note(2)] },
        // Long enough to be counted.
        book(2, 2, slot(2, 2, 3, hours(60, 63)), Overlap::Refuse),
    ]
}

/// A network that takes images: node 1 as before, node 2 on the other unit's site, node 3 off-site, node 4 on the site
/// of node 1; a store on each; consents 1 to 3 of patients 1 to 3 cover clinical images.
pub(crate) fn imaging() -> World {
    let mut world = World::new();
    for (n, site, keyed) in [(2, "rj", true), (3, "cofre", false), (4, "sp", true)] {
        world.send(Command::CreateJoinToken { token: tag(n), not_after: time(START + 9 * HOUR), keyed, voter: false });
        let node = NodeDescription { site: site.into(), ..node_description("novo") };
        world.send(Command::RedeemJoinToken { token: tag(n), node, level: None });
    }
    for n in 1..=4 {
        assert_eq!(world.send(register_store(n, n)), confirmed(0, true));
    }
    for n in 1..=3 {
        assert_eq!(world.send(grant(n, n, 1)), confirmed(1, true));
    }
    world
}

pub(crate) fn register_store(node: u8, directory: u8) -> Command {
    Command::RegisterStore {
        node: NodeId(node.into()),
        incarnation: incarnation(directory),
        disk: DiskId::from_bytes([directory; 32]),
        medium: "ssd".into(),
    }
}

/// An upload of two chunks, the second of one byte, by patient `whom`.
pub(crate) fn open_upload(n: u8, becomes: u8, whom: u8) -> Command {
    Command::OpenUpload {
        upload: upload(n),
        image: NewImage {
            image: image(becomes),
            patient: patient(whom),
            unit: unit(1),
            visit: None,
            consent: consent(whom),
            kind: "before".into(),
            media_type: MediaType::Jpeg,
            bytes: u64::from(CHUNK_BYTES) + 1,
            taken_at: time(START + i64::from(becomes) * HOUR),
            content: sealed("digest"),
        },
        placement: vec![NodeId(3), NodeId(1), NodeId(2)],
        lease_ms: 600_000,
    }
}

/// The two chunks of such an upload.
pub(crate) fn two_chunks(first: u8, second: u8) -> Vec<ChunkEntry> {
    let entry = |n, plain| ChunkEntry { chunk: chunk(n), stored_bytes: plain + FRAME_BYTES };
    vec![entry(first, CHUNK_BYTES), entry(second, 1)]
}

pub(crate) fn put_part(n: u8, chunks: Vec<ChunkEntry>) -> Command {
    Command::PutManifestPart { upload: upload(n), part: 0, chunks }
}

pub(crate) fn receipt(n: u8, chunks: &[ChunkEntry], node: u8, directory: u8, gc_epoch: u64) -> Receipt {
    Receipt {
        upload: upload(n),
        part: 0,
        node: NodeId(node.into()),
        incarnation: incarnation(directory),
        digest: part_digest(upload(n), 0, chunks),
        gc_epoch,
    }
}

pub(crate) fn put_receipts(receipts: &[Receipt]) -> Command {
    Command::PutReceipts { receipts: receipts.to_vec() }
}

pub(crate) fn commit_upload(n: u8) -> Command {
    Command::CommitUpload { upload: upload(n), found: None, parts: vec![], receipts: vec![] }
}

/// Some command for some bytes, about images or anything else.
pub(crate) fn mixed_command_of(raw: [u8; 8]) -> Command {
    let [kind, a, b, c, d, ..] = raw;
    let n = 1 + a % 6;
    let chunks = two_chunks(1 + n % 2, 11);
    let node = 1 + b % 4;
    let of = ChunkEpoch { chunk: chunk([1, 2, 11, 40][usize::from(c % 4)]), epoch: u64::from(d % 3) };
    match kind % 24 {
        0..=7 => command_of([a, b, c, d, raw[4], raw[5], raw[6], raw[7]]),
        8 | 9 => open_upload(n, 1 + a % 5, 1 + b % 3),
        10..=12 => put_part(n, chunks),
        13..=16 => put_receipts(&[receipt(n, &chunks, node, node, u64::from(d % 8 == 0))]),
        17 => commit_upload(n),
        18 => commit_whole(n, chunks.clone(), vec![receipt(n, &chunks, 1, 1, 0), receipt(n, &chunks, node, node, 0)]),
        19 => Command::AbandonUpload { upload: upload(n) },
        20 if c % 2 == 0 => Command::ExpireIntents,
        20 => Command::RenewIntent { upload: upload(n), lease_ms: 600_000 },
        21 => Command::DropPart { upload: upload(n), part: 0 },
        22 if c % 2 == 0 => register_store(node, 1 + d % 12),
        22 => Command::RePlace { upload: upload(n), placement: vec![NodeId(1), NodeId(node.into())] },
        23 if c % 2 == 0 => Command::PutTombstones { node: NodeId(node.into()), chunks: vec![of] },
        _ => Command::FinishGc { node: NodeId(node.into()), chunks: vec![of] },
    }
}

/// A commit that brings along all that it needs.
pub(crate) fn commit_whole(n: u8, chunks: Vec<ChunkEntry>, receipts: Vec<Receipt>) -> Command {
    Command::CommitUpload { upload: upload(n), found: None, parts: vec![ManifestPart { part: 0, chunks }], receipts }
}

/// One of every command about images, in an order in which each is done, after [`imaging`].
pub(crate) fn image_samples() -> Vec<Command> {
    let (chunks, other, last) = (two_chunks(1, 2), two_chunks(3, 4), two_chunks(17, 18));
    let thumbnail = vec![ChunkEntry { chunk: chunk(9), stored_bytes: 5000 }];
    let of_thumbnail = |node| Receipt {
        part: PART_OF_THUMBNAIL,
        digest: part_digest(upload(1), PART_OF_THUMBNAIL, &thumbnail),
        ..receipt(1, &chunks, node, node, 0)
    };
    vec![
        register_store(4, 44),
        Command::RetireStore { node: NodeId(4), incarnation: incarnation(44) },
        open_upload(1, 1, 1),
        Command::RenewIntent { upload: upload(1), lease_ms: 900_000 },
        put_part(1, chunks.clone()),
        Command::PutManifestPart { upload: upload(1), part: PART_OF_THUMBNAIL, chunks: thumbnail.clone() },
        put_receipts(&[receipt(1, &chunks, 1, 1, 0), receipt(1, &chunks, 2, 2, 0), of_thumbnail(1), of_thumbnail(2)]),
        Command::CommitUpload { upload: upload(1), found: Some(sealed("found")), parts: vec![], receipts: vec![] },
        Command::RePlace { upload: upload(1), placement: vec![NodeId(1), NodeId(2)] },
        open_upload(2, 2, 2),
        put_part(2, other.clone()),
        put_receipts(&[receipt(2, &other, 1, 1, 0)]),
        Command::AbandonUpload { upload: upload(2) },
        Command::DropPart { upload: upload(2), part: 0 },
        Command::PutTombstones { node: NodeId(2), chunks: vec![ChunkEpoch { chunk: chunk(7), epoch: 0 }] },
        Command::FinishGc { node: NodeId(2), chunks: vec![ChunkEpoch { chunk: chunk(7), epoch: 2 }] },
        open_upload(3, 3, 3),
        put_part(3, two_chunks(5, 6)),
        put_receipts(&[receipt(3, &two_chunks(5, 6), 1, 1, 2)]),
        Command::AbandonUpload { upload: upload(3) },
        open_upload(4, 4, 3),
        Command::ExpireIntents,
        commit_whole(4, last.clone(), vec![receipt(4, &last, 1, 1, 2), receipt(4, &last, 2, 2, 2)]),
        open_upload(5, 5, 2),
    ]
}
