//! A bad input gets a clear refusal and changes nothing: not a row, not a digest, and the process stays up.

use crate::raw;
use crate::world::{DAY, NOON, SOFTWARE, World, booking, code, id};
use bytes::Bytes;
use plantao_client::Error;
use plantao_client::error::CODE_KEY;
use plantao_proto::public::v1 as wire;
use plantao_tests::wait::until;
use prost::Message;
use tonic::{Code, Status};

fn refused_as_invalid<T: std::fmt::Debug>(what: &str, result: Result<T, Error>) {
    match result {
        Err(Error::Invalid(answer)) => {
            assert_eq!(answer.code, Some(1401), "{what}: {answer}");
            assert!(answer.help.is_some(), "{what}: no word on what to do");
        }
        other => panic!("{what}: {other:?}"),
    }
}

fn patient(world: &World, demographics: wire::Demographics) -> wire::RegisterPatientRequest {
    wire::RegisterPatientRequest {
        header: None,
        patient_id: id().to_wire(),
        unit_id: world.centro.unit.to_wire(),
        demographics: Some(demographics),
    }
}

fn named(name: &str) -> wire::Demographics {
    wire::Demographics { name: name.to_owned(), ..wire::Demographics::default() }
}

fn code_of(status: &Status) -> Option<&str> {
    status.metadata().get(CODE_KEY)?.to_str().ok()
}

/// The leader's digest once every node has registered its chunk directory and no read note waits any more: from then on
/// nothing changes by itself.
pub(crate) async fn quiet_digest(world: &World) -> (Vec<u8>, u64) {
    until("all directories and read notes to be in the log", || async {
        for node in world.network.nodes() {
            let status = world.network.status(node.name()).await.map_err(|error| error.to_string())?;
            if status.journal_backlog > 0 {
                return Err(format!("{} notes wait on {}", status.journal_backlog, node.name()));
            }
            let directories = status.images.map_or(0, |images| images.nodes.len());
            if directories < world.network.nodes().len() {
                return Err(format!("{} knows of {directories} directories", node.name()));
            }
        }
        Ok(())
    })
    .await;
    let digest = world.network.digests_agree().await;
    (digest.content, digest.rows)
}

pub(crate) async fn what_has_no_good_form_never_reaches_the_log(world: &World) {
    let centro = world.through("centro");
    let before = quiet_digest(world).await;
    for (what, demographics) in [
        ("an empty name", named("")),
        ("a name of spaces", named("   ")),
        ("a name that is too long", named(&"x".repeat(201))),
        ("NUL in a name", named("Ana\0Maria")),
        ("a direction mark in a name", named("Ana\u{202e}airaM")),
        ("a zero-width character in a name", named("Ana\u{200b}Maria")),
        ("a CPF whose digits do not fit", wire::Demographics { cpf: "529.982.247-24".to_owned(), ..named("Ana") }),
        ("a telephone with letters", wire::Demographics { phones: vec!["11 9ABC5678".to_owned()], ..named("Ana") }),
        ("nine telephones", wire::Demographics { phones: vec!["1191234567".to_owned(); 9], ..named("Ana") }),
        ("a day that does not exist", wire::Demographics { birth_date: "1999-02-29".to_owned(), ..named("Ana") }),
        (
            "a document that is too large",
            wire::Demographics { document: vec![b'x'; 48 * 1024 + 1].into(), ..named("Ana") },
        ),
    ] {
        refused_as_invalid(what, centro.register_patient(patient(world, demographics)).await);
    }
    let good = wire::AddRecordRequest {
        header: None,
        record_id: id().to_wire(),
        patient_id: world.patients[0].to_wire(),
        unit_id: world.centro.unit.to_wire(),
        kind: "Observation".to_owned(),
        authored_ms: NOON,
        document: b"{}".to_vec().into(),
    };
    let record = |change: fn(&mut wire::AddRecordRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    for (what, request) in [
        ("an empty record", record(|request| request.document = Bytes::new())),
        ("an oversized record", record(|request| request.document = vec![0; 48 * 1024 + 1].into())),
        ("an id of 15 bytes", record(|request| request.record_id = vec![1; 15].into())),
        ("an id of zeroes", record(|request| request.record_id = vec![0; 16].into())),
        ("a record of the year 1899", record(|request| request.authored_ms = -2_208_988_800_001)),
        ("a record of the year 10000", record(|request| request.authored_ms = 253_402_300_800_000)),
    ] {
        refused_as_invalid(what, centro.add_record(request).await);
    }
    let slot = |start_ms, minutes| world.centro.slot(0, start_ms, minutes);
    for (what, start_ms) in [("a booking in 1899", -2_209_000_000_000), ("a booking in 10000", 253_402_300_800_000)] {
        let number = code(centro.book(booking(world.patients[0], slot(start_ms, 30))).await);
        assert!(matches!(number, 1207 | 1401), "{what}: {number}");
    }
    let mut without = booking(world.patients[0], slot(NOON, 30));
    without.slot = None;
    refused_as_invalid("a booking without a slot", centro.book(without).await);
    let mut wordy = booking(world.patients[0], slot(NOON, 30));
    wordy.encaixe_reason = "x".repeat(501);
    refused_as_invalid("a reason that is too long", centro.book(wordy).await);
    let page = Some(wire::Page { size: 501, token: Bytes::new() });
    refused_as_invalid("a page of 501", centro.list_patients(wire::ListPatientsRequest { read: None, page }).await);
    let page = Some(wire::Page { size: 1, token: vec![7; 3].into() });
    refused_as_invalid(
        "a made-up page token",
        centro.list_patients(wire::ListPatientsRequest { read: None, page }).await,
    );

    assert_eq!(quiet_digest(world).await, before, "something changed");
}

pub(crate) async fn what_the_rules_refuse_changes_nothing_but_the_trail(world: &World) {
    let centro = world.through("centro");
    let before = world.listing().await;
    let start = NOON + 40 * DAY;
    let slot = |minutes| world.centro.slot(0, start, minutes);
    let book = |patient, slot| centro.book(booking(patient, slot));
    let number = code(book(world.patients[0], slot(0)).await);
    assert!(matches!(number, 1205 | 1401), "end = start: {number}");
    let number = code(book(world.patients[0], slot(-30)).await);
    assert!(matches!(number, 1205 | 1401), "end < start: {number}");
    assert_eq!(code(book(world.patients[0], slot(10 * 365 * 24 * 60)).await), 1206, "ten years");
    assert_eq!(code(book(id(), slot(30)).await), 1201, "nobody's booking");
    let other_room = wire::Slot { room_id: world.jardins.rooms[0].to_wire(), ..slot(30) };
    assert_eq!(code(book(world.patients[0], other_room).await), 1210, "a room of another unit");
    let twin = wire::Demographics { cpf: crate::world::PEOPLE[0].1.to_owned(), ..named("Outra Pessoa") };
    match centro.register_patient(patient(world, twin)).await {
        Err(Error::Refused(refusal)) => {
            assert_eq!((refusal.code, refusal.existing_patient), (1211, Some(world.patients[0])));
        }
        other => panic!("the same CPF twice: {other:?}"),
    }
    let record = wire::GetRecordRequest { read: None, record_id: id().to_wire(), version: 0 };
    assert_eq!(code(centro.get_record(record).await), 1201, "an unknown record");
    assert_eq!(world.listing().await, before, "a refusal changed something");
    book(world.patients[0], slot(30)).await.unwrap();
}

pub(crate) async fn bytes_that_are_no_message_are_refused(world: &World) {
    const PATH: &str = "/plantao.public.v1.PatientService/RegisterPatient";
    let network = &world.network;
    let before = quiet_digest(world).await;
    let (certificate, key) = network.credentials(SOFTWARE);
    let channel = raw::with_files(network, &certificate, &key, &network.node("centro").public());
    let header = world.through("centro").new_header().unwrap();
    let mut request = patient(world, named("QQQQQQQQ"));
    request.header = Some(header);
    let good = request.encode_to_vec();
    let at = good.windows(8).position(|window| window == b"QQQQQQQQ").unwrap();

    // protobuf wants UTF-8 in a string: a lone continuation byte, an overlong form, a UTF-16 surrogate.
    for bad in [b"QQQ\x80QQQQ", b"QQQ\xc0\xafQQQ", b"QQ\xed\xa0\x80QQQ"] {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(bad);
        let status = raw::call(channel.clone(), PATH, bytes.into()).await.unwrap_err();
        assert_eq!((status.code(), code_of(&status)), (Code::InvalidArgument, Some("1403")), "{bad:?}: {status}");
        assert!(!status.message().contains("QQQ"), "{status}");
    }
    for (what, bytes, code) in [
        ("a message cut short", good[..good.len() - 3].to_vec(), "1403"),
        ("noise", vec![0xff; 200], "1403"),
        ("nothing", Vec::new(), "1401"),
    ] {
        let status = raw::call(channel.clone(), PATH, bytes.into()).await.unwrap_err();
        assert_eq!((status.code(), code_of(&status)), (Code::InvalidArgument, Some(code)), "{what}: {status}");
    }
    let status = raw::call(channel.clone(), PATH, vec![0; (4 << 20) + 1].into()).await.unwrap_err();
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "5 MiB: {status}");
    let status = raw::call(channel.clone(), "/plantao.public.v1.PatientService/Erase", Bytes::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    assert_eq!(quiet_digest(world).await, before, "something changed");
}
