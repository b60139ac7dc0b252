//! Every refusal can be reached, and changes nothing but the trail.

use crate::world::*;
use plantao_domain::bounds::CONTENT_BYTES_MAX;
use plantao_domain::command::{AppointmentState, Overlap, Tag};
use plantao_domain::images::{ChunkEpoch, ManifestPart, Receipt};
use plantao_domain::outcome::{Field, Resource, What};
use plantao_domain::*;
use std::collections::BTreeSet;

const ALL_CODES: [u16; 40] = [
    1001, 1101, 1102, 1103, 1201, 1202, 1203, 1204, 1205, 1206, 1207, 1208, 1209, 1210, 1211, 1301, 1302, 1401, 1501,
    1502, 1601, 1602, 1603, 1604, 1605, 1606, 1607, 1608, 1609, 1701, 1702, 1703, 1704, 1721, 1722, 1723, 1724, 1731,
    1732, 1733,
];

/// A refusal that is added here needs its number above, or this does not compile.
fn is_listed(rejection: &Rejection) -> bool {
    use Rejection::*;
    match rejection {
        Denied | Expired | RequestIdReused | LifetimeTooLong | Unknown { .. } | Exists { .. } => true,
        StaleVersion { .. } | SlotTaken { .. } | EmptyInterval | IntervalTooLong | TimeOutOfRange => true,
        ReasonMissing | NotAStep { .. } | Revoked | Invalid { .. } | WrongClusterState | TokenRefused => true,
        WrongUnit | Duplicate { .. } | NotCovered | UploadClosed | LeaseOver | ManifestIncomplete { .. } => true,
        TooFewSites { .. } | NoSecondSite | StoreRefused | ReceiptRefused | TooManyUploads | StillInUse => true,
        Drained { .. } | TooFarAhead | AlreadyScheduled | Keyless { .. } => true,
        TooFewVoters { .. } | NodeRemoved | NothingStaged | ReplacementUnderWay => true,
        LevelTooLow { .. } | MemberTooOld { .. } | ProgramTooOld { .. } => true,
    }
}

fn beyond() -> ClusterTime {
    ClusterTime::from_key([0xff; 8])
}

fn furnished() -> World {
    let mut world = World::new();
    for command in [
        book(1, 1, slot(1, 1, 1, hours(9, 10)), Overlap::Refuse),
        add_record(1, 1, 1),
        grant(1, 1, 1),
        grant(2, 1, 1),
        Command::RevokeConsent { consent: consent(2), seen_version: 1, reason: sealed("") },
    ] {
        assert!(matches!(world.send(command), Outcome::Confirmed { .. }));
    }
    world
}

#[test]
fn every_refusal_is_reached_and_changes_no_object() {
    use Rejection::*;
    let at = |start, end| slot(1, 2, 2, hours(start, end));
    let refuse = || Overlap::Refuse;
    let big = || Sealed(vec![0; CONTENT_BYTES_MAX + 1]);
    let invalid = |field| Invalid { field };
    let mut odd_record = add_record(7, 1, 1);
    if let Command::AddRecord { kind, .. } = &mut odd_record {
        *kind = "not a kind".into();
    }
    let mut late_record = add_record(7, 1, 1);
    if let Command::AddRecord { authored_at, .. } = &mut late_record {
        *authored_at = beyond();
    }
    let with_consent = |change: &dyn Fn(&mut Vec<command::Purpose>, &mut Option<ClusterTime>)| {
        let mut command = grant(7, 1, 1);
        if let Command::GrantConsent { purposes, valid_until, .. } = &mut command {
            change(purposes, valid_until);
        }
        command
    };
    let person =
        |n, at| Command::RegisterPractitioner { practitioner: practitioner(n), unit: unit(at), content: sealed("x") };
    let mut beyond_slot = at(1, 2);
    beyond_slot.interval.end = beyond();
    let mut foreign_key = register_patient(7, 1, vec![]);
    if let Command::RegisterPatient { key, .. } = &mut foreign_key {
        key.epoch = 9;
    }
    let cases: Vec<(Command, Rejection)> = vec![
        (create_cluster(), WrongClusterState),
        (Command::RedeemJoinToken { token: tag(9), node: node_description("x"), level: None }, TokenRefused),
        (Command::RedeemJoinToken { token: tag(9), node: node_description("X"), level: None }, invalid(Field::Node)),
        (person(9, 9), Unknown { what: What::Unit }),
        (person(0, 1), Exists { what: What::Practitioner }),
        (book(2, 9, at(1, 2), refuse()), Unknown { what: What::Patient }),
        (book(2, 1, slot(9, 2, 2, hours(1, 2)), refuse()), Unknown { what: What::Unit }),
        (book(2, 1, slot(1, 9, 2, hours(1, 2)), refuse()), Unknown { what: What::Practitioner }),
        (book(2, 1, slot(1, 2, 9, hours(1, 2)), refuse()), Unknown { what: What::Room }),
        (book(2, 1, slot(1, 2, 3, hours(1, 2)), refuse()), WrongUnit),
        (book(2, 1, at(2, 2), refuse()), EmptyInterval),
        (book(2, 1, at(2, 1), refuse()), EmptyInterval),
        (book(2, 1, at(0, 25), refuse()), IntervalTooLong),
        (book(2, 1, at(0, 24 * 3650), refuse()), IntervalTooLong),
        (book(2, 1, beyond_slot, refuse()), TimeOutOfRange),
        (book(2, 1, at(1, 2), Overlap::Encaixe { reason: sealed("") }), ReasonMissing),
        (book(1, 2, at(1, 2), refuse()), Exists { what: What::Appointment }),
        (
            book(2, 1, at(9, 10), refuse()),
            SlotTaken { resource: Resource::Patient(patient(1)), holder: appointment(1) },
        ),
        (state(9, 1, AppointmentState::Arrived), Unknown { what: What::Appointment }),
        (state(1, 2, AppointmentState::Arrived), StaleVersion { current: 1 }),
        (
            state(1, 1, AppointmentState::Closed),
            NotAStep { from: AppointmentState::Booked, to: AppointmentState::Closed },
        ),
        (add_record(2, 9, 1), Unknown { what: What::Patient }),
        (odd_record, invalid(Field::Kind)),
        (late_record, TimeOutOfRange),
        (
            Command::AmendRecord { record: record(9), seen_version: 1, reason: sealed("w"), content: sealed("") },
            Unknown { what: What::Record },
        ),
        (
            Command::AmendRecord { record: record(1), seen_version: 1, reason: sealed(""), content: sealed("") },
            ReasonMissing,
        ),
        (
            Command::AmendRecord { record: record(1), seen_version: 1, reason: sealed("w"), content: big() },
            invalid(Field::Content),
        ),
        (Command::RevokeConsent { consent: consent(2), seen_version: 2, reason: sealed("") }, Revoked),
        (with_consent(&|purposes, _| purposes.clear()), invalid(Field::Purposes)),
        (with_consent(&|_, until| *until = Some(time(START))), invalid(Field::ValidUntil)),
        (register_patient(7, 1, vec![tag(1)]), Duplicate { patient: patient(1), token: tag(1) }),
        (register_patient(7, 1, vec![Tag::default(); 17]), invalid(Field::Tokens)),
        (foreign_key, invalid(Field::Content)),
        (
            Command::RegisterUnit { unit: UnitId::default(), slug: "a".into(), key: wrapped(1), content: sealed("") },
            invalid(Field::Id),
        ),
        (
            Command::RegisterUnit { unit: unit(7), slug: "A".into(), key: wrapped(1), content: sealed("") },
            invalid(Field::Slug),
        ),
        (Command::NoteReads { node: NodeId(1), journal: journal(1), reads: vec![note(1); 257] }, invalid(Field::Reads)),
        (Command::NoteRootHanded { node: NodeId(9) }, Unknown { what: What::Node }),
    ];
    let mut reached = BTreeSet::new();
    let mut check = |world: &mut World, before: &World, outcome: Outcome, expected: &Rejection, what: &str| {
        assert_eq!(outcome, rejected(expected.clone()), "{what}");
        assert!(is_listed(expected));
        assert!(!expected.to_string().is_empty() && !expected.help().is_empty());
        assert_eq!(world.objects(), before.objects(), "{what}");
        reached.insert(expected.code());
    };
    let mut base = furnished();
    base.send(person(5, 1));
    for (mut command, expected) in cases {
        if let Command::RegisterPractitioner { practitioner: id, unit: at, .. } = &mut command
            && *id == practitioner(0)
        {
            (*id, *at) = (practitioner(5), unit(2));
        }
        let mut world = base.clone();
        let what = format!("{command:?}");
        let outcome = world.send(command);
        check(&mut world, &base, outcome, &expected, &what);
    }

    // Refusals of the envelope itself.
    let good = book(2, 1, at(1, 2), refuse());
    type Change<'a> = &'a dyn Fn(&mut Envelope);
    let envelopes: [(Change<'_>, Rejection); 7] = [
        (&|e| e.actor = who(Role::Auditor, None), Denied),
        (&|e| e.actor = who(Role::Reception, Some(2)), Denied),
        (&|e| e.not_after = time(e.proposed_at.millis() - 1), Expired),
        (&|e| e.not_after = time(e.proposed_at.millis() + Envelope::LIFETIME_MS + 60_001), LifetimeTooLong),
        (&|e| e.not_after = beyond(), TimeOutOfRange),
        (&|e| e.request_id = RequestId::default(), Invalid { field: Field::Id }),
        (
            &|e| {
                e.request_id = request(1);
                e.content_tag = tag(77);
            },
            RequestIdReused,
        ),
    ];
    for (change, expected) in envelopes {
        let mut world = base.clone();
        let mut envelope = world.envelope(good.clone());
        change(&mut envelope);
        let outcome = world.apply(&envelope).outcome;
        check(&mut world, &base, outcome, &expected, "the envelope");
    }
    let of_images = image_cases().into_iter().map(|(mut world, command, expected)| {
        let before = world.clone();
        let what = format!("{command:?}");
        let outcome = world.send(command);
        assert_eq!(outcome, rejected(expected.clone()), "{what}");
        assert!(is_listed(&expected));
        assert!(!expected.to_string().is_empty() && !expected.help().is_empty());
        assert_eq!(world.objects(), before.objects(), "{what}");
        expected.code()
    });
    reached.extend(of_images);
    // These are reached in `lead`.
    reached.extend(crate::lead::refusals());
    reached.extend(crate::layout::refusals().iter().map(Rejection::code));
    reached.extend(crate::upgrade::refusals().iter().map(Rejection::code));
    assert_eq!(reached, BTreeSet::from(ALL_CODES));
}

/// Two refusals of an encaixe: the right, then the reason; moving asks in both units.
#[test]
fn rights_are_asked_for_each_deed_and_unit() {
    let mut world = furnished();
    let denied = rejected(Rejection::Denied);
    let command = book(2, 2, slot(1, 1, 1, hours(9, 10)), encaixe());
    assert_eq!(world.send_as(who(Role::Reception, Some(1)), command.clone()), denied);
    assert_eq!(world.send_as(who(Role::Clinician, Some(2)), command.clone()), denied);
    assert_eq!(world.send_as(who(Role::Manager, Some(1)), command), confirmed(1, true));
    let away = Command::MoveAppointment {
        appointment: appointment(1),
        seen_version: 1,
        slot: slot(2, 3, 3, hours(9, 10)),
        overlap: Overlap::Refuse,
    };
    assert_eq!(world.send_as(who(Role::Reception, Some(1)), away.clone()), denied);
    assert_eq!(world.send_as(who(Role::Reception, Some(2)), away.clone()), denied);
    assert_eq!(world.send_as(who(Role::Reception, None), away), confirmed(2, true));
    assert_eq!(world.send_as(who(Role::Clinician, Some(2)), add_record(9, 1, 1)), denied);
    assert_eq!(world.send_as(who(Role::Reception, Some(1)), add_record(9, 1, 1)), denied);
    let unknown = state(200, 1, AppointmentState::Arrived);
    assert_eq!(world.send_as(who(Role::Auditor, None), unknown.clone()), denied, "not even whether it exists");
    let what = What::Appointment;
    assert_eq!(world.send_as(who(Role::Reception, Some(1)), unknown), rejected(Rejection::Unknown { what }));
}

/// Refusals of commands about images, each in a world where it comes to it.
fn image_cases() -> Vec<(World, Command, Rejection)> {
    use Rejection::*;
    let invalid = |field| Invalid { field };
    let unknown = |what| Unknown { what };
    let (chunks, node, one) = (two_chunks(1, 2), NodeId(1), |n| ChunkEpoch { chunk: chunk(n), epoch: 0 });
    let base = imaging();
    let mut opened = base.clone();
    opened.send(open_upload(1, 1, 1));
    let mut whole = opened.clone();
    whole.send(put_part(1, chunks.clone()));
    let mut late = whole.clone();
    late.now += HOUR;
    let mut durable = whole.clone();
    durable.send(put_receipts(&[receipt(1, &chunks, 1, 1, 0), receipt(1, &chunks, 2, 2, 0)]));
    let mut committed = durable.clone();
    committed.send(commit_upload(1));
    let mut closed = whole.clone();
    closed.send(Command::AbandonUpload { upload: upload(1) });
    let mut revoked = durable.clone();
    revoked.send(Command::RevokeConsent { consent: consent(1), seen_version: 1, reason: sealed("") });
    let mut replaced = durable.clone();
    replaced.send(register_store(2, 22));
    let mut busy = closed.clone();
    busy.send(open_upload(2, 2, 1));
    let mut retired = base.clone();
    retired.send(Command::RetireStore { node, incarnation: incarnation(1) });
    let mut visited = base.clone();
    visited.send(book(1, 2, slot(1, 1, 1, hours(9, 10)), Overlap::Refuse));
    let mut full = base.clone();
    for n in 0..images::OPEN_UPLOADS_MAX {
        let mut command = open_upload(1, 1, 1);
        let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
        if let Command::OpenUpload { upload, image, .. } = &mut command {
            (*upload, image.image) = (
                UploadId::from_bytes([high, low, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
                ImageId::from_bytes([high, low, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]),
            );
        }
        assert_eq!(full.send(command), confirmed(0, true));
        full.now -= 999;
    }
    let with = |change: &dyn Fn(&mut images::NewImage, &mut Vec<NodeId>, &mut u32)| {
        let mut command = open_upload(9, 9, 1);
        if let Command::OpenUpload { image, placement, lease_ms, .. } = &mut command {
            change(image, placement, lease_ms);
        }
        command
    };
    let of = |receipt: Receipt, change: &dyn Fn(&mut Receipt)| {
        let mut receipt = receipt;
        change(&mut receipt);
        put_receipts(&[receipt])
    };
    let good = receipt(1, &chunks, 1, 1, 0);
    let commit_with = |found, parts, receipts| Command::CommitUpload { upload: upload(1), found, parts, receipts };
    let bad_medium =
        Command::RegisterStore { node, incarnation: incarnation(9), disk: DiskId::default(), medium: "SSD".into() };
    vec![
        (base.clone(), register_store(9, 9), unknown(What::Node)),
        (base.clone(), bad_medium, invalid(Field::Medium)),
        (base.clone(), register_store(2, 1), StoreRefused),
        (replaced.clone(), register_store(2, 2), StoreRefused),
        (retired.clone(), register_store(1, 1), StoreRefused),
        (base.clone(), Command::RetireStore { node: NodeId(9), incarnation: incarnation(9) }, unknown(What::Store)),
        (base.clone(), Command::RetireStore { node, incarnation: incarnation(9) }, StoreRefused),
        (base.clone(), with(&|image, _, _| image.image = ImageId::default()), invalid(Field::Id)),
        (base.clone(), with(&|image, _, _| image.bytes = 0), invalid(Field::Size)),
        (base.clone(), with(&|image, _, _| image.bytes = images::IMAGE_BYTES_MAX + 1), invalid(Field::Size)),
        (base.clone(), with(&|image, _, _| image.kind = "x y".into()), invalid(Field::Kind)),
        (base.clone(), with(&|image, _, _| image.taken_at = beyond()), TimeOutOfRange),
        (base.clone(), with(&|image, _, _| image.content = Sealed(vec![0; 4097])), invalid(Field::Content)),
        (base.clone(), with(&|image, _, _| image.patient = patient(99)), unknown(What::Patient)),
        (base.clone(), with(&|image, _, _| image.unit = unit(99)), unknown(What::Unit)),
        (base.clone(), with(&|image, _, _| image.visit = Some(appointment(99))), unknown(What::Appointment)),
        (visited, with(&|image, _, _| image.visit = Some(appointment(1))), invalid(Field::Visit)),
        (base.clone(), with(&|image, _, _| image.consent = consent(99)), unknown(What::Consent)),
        (base.clone(), with(&|image, _, _| image.consent = consent(2)), NotCovered),
        (revoked.clone(), with(&|_, _, _| {}), Revoked),
        (base.clone(), with(&|_, placement, _| placement.clear()), invalid(Field::Placement)),
        (base.clone(), with(&|_, placement, _| *placement = vec![NodeId(1); 17]), invalid(Field::Placement)),
        (base.clone(), with(&|_, placement, _| placement.push(NodeId(9))), unknown(What::Node)),
        (retired, with(&|_, _, _| {}), unknown(What::Store)),
        (base.clone(), with(&|_, placement, _| *placement = vec![NodeId(1), NodeId(4)]), NoSecondSite),
        (base.clone(), with(&|_, _, lease_ms| *lease_ms = 9_999), invalid(Field::Lease)),
        (base.clone(), with(&|_, _, lease_ms| *lease_ms = 3_600_001), invalid(Field::Lease)),
        (opened.clone(), open_upload(1, 2, 1), Exists { what: What::Upload }),
        (opened.clone(), open_upload(2, 1, 1), Exists { what: What::Image }),
        (closed.clone(), open_upload(1, 1, 1), UploadClosed),
        (full, open_upload(1, 1, 1), TooManyUploads),
        (base.clone(), Command::RenewIntent { upload: upload(1), lease_ms: 60_000 }, unknown(What::Upload)),
        (opened.clone(), Command::RenewIntent { upload: upload(1), lease_ms: 0 }, invalid(Field::Lease)),
        (committed.clone(), Command::RenewIntent { upload: upload(1), lease_ms: 60_000 }, UploadClosed),
        (closed.clone(), Command::RePlace { upload: upload(1), placement: vec![node, NodeId(2)] }, UploadClosed),
        (opened.clone(), Command::RePlace { upload: upload(1), placement: vec![node] }, NoSecondSite),
        (base.clone(), put_part(1, chunks.clone()), unknown(What::Upload)),
        (committed.clone(), put_part(1, chunks.clone()), UploadClosed),
        (opened.clone(), put_part(1, vec![]), invalid(Field::Chunks)),
        (opened.clone(), put_part(1, chunks[..1].to_vec()), invalid(Field::Chunks)),
        (
            opened.clone(),
            Command::PutManifestPart { upload: upload(1), part: 1, chunks: chunks.clone() },
            invalid(Field::Chunks),
        ),
        (whole.clone(), put_part(1, two_chunks(1, 3)), Exists { what: What::Part }),
        (whole.clone(), put_receipts(&[]), invalid(Field::Receipts)),
        (whole.clone(), of(good, &|receipt| receipt.upload = upload(9)), unknown(What::Upload)),
        (whole.clone(), of(good, &|receipt| receipt.part = 1), unknown(What::Part)),
        (whole.clone(), of(good, &|receipt| receipt.node = NodeId(9)), StoreRefused),
        (whole.clone(), of(good, &|receipt| receipt.incarnation = incarnation(9)), StoreRefused),
        (whole.clone(), of(good, &|receipt| receipt.digest = PartDigest::default()), ReceiptRefused),
        (whole.clone(), of(good, &|receipt| receipt.gc_epoch = 1), ReceiptRefused),
        (closed.clone(), put_receipts(&[good]), UploadClosed),
        (base.clone(), commit_upload(1), unknown(What::Upload)),
        (opened, commit_upload(1), ManifestIncomplete { part: 0 }),
        (whole.clone(), commit_upload(1), TooFewSites { part: 0, sites: 0 }),
        (replaced, commit_upload(1), TooFewSites { part: 0, sites: 1 }),
        (late, commit_upload(1), LeaseOver),
        (revoked, commit_upload(1), Revoked),
        (closed.clone(), commit_upload(1), UploadClosed),
        (durable, commit_with(Some(Sealed(vec![0; 4097])), vec![], vec![]), invalid(Field::Content)),
        (
            whole.clone(),
            commit_with(None, vec![ManifestPart { part: 0, chunks: vec![] }; 9], vec![]),
            invalid(Field::Chunks),
        ),
        (whole.clone(), commit_with(None, vec![], vec![good; 257]), invalid(Field::Receipts)),
        (whole.clone(), commit_with(None, vec![], vec![receipt(2, &chunks, 1, 1, 0)]), invalid(Field::Receipts)),
        (closed.clone(), commit_whole(1, chunks.clone(), vec![]), UploadClosed),
        // What comes along is gone with a commit that is refused.
        (
            busy.clone(),
            commit_whole(2, chunks.clone(), vec![receipt(2, &chunks, 1, 1, 0)]),
            TooFewSites { part: 0, sites: 1 },
        ),
        (busy.clone(), commit_whole(2, chunks[..1].to_vec(), vec![]), invalid(Field::Chunks)),
        (busy.clone(), commit_whole(2, chunks.clone(), vec![receipt(2, &chunks, 1, 9, 0)]), StoreRefused),
        (committed.clone(), Command::AbandonUpload { upload: upload(1) }, UploadClosed),
        (whole, Command::DropPart { upload: upload(1), part: 0 }, StillInUse),
        (committed, Command::DropPart { upload: upload(1), part: 0 }, StillInUse),
        (busy, Command::DropPart { upload: upload(1), part: 0 }, StillInUse),
        (closed, Command::DropPart { upload: upload(1), part: 1 }, unknown(What::Part)),
        (base.clone(), Command::PutTombstones { node: NodeId(9), chunks: vec![one(1)] }, unknown(What::Store)),
        (base.clone(), Command::PutTombstones { node, chunks: vec![] }, invalid(Field::Chunks)),
        (base, Command::FinishGc { node, chunks: vec![one(1); 513] }, invalid(Field::Chunks)),
    ]
}
