//! What happened is told: to another screen at once and exactly, and to the auditor whatever it was.

use crate::world::{DAY, NOON, World, booking, id};
use futures_util::StreamExt;
use plantao_client::services::WatchEvent;
use plantao_client::{Cluster, Id};
use plantao_proto::public::v1 as wire;
use plantao_tests::wait::{PATIENCE, until};
use tokio::time::timeout;

/// The first `count` changes of the agenda of `unit` from `from_index` on.
pub(crate) async fn changes(cluster: &Cluster, from_index: u64, unit: Id, count: usize) -> Vec<wire::Change> {
    let request =
        wire::WatchRequest { from_index, unit_id: unit.to_wire(), modules: vec![wire::Module::Agenda.into()] };
    let mut stream = Box::pin(cluster.watch(request));
    let mut found = Vec::new();
    while found.len() < count {
        match timeout(PATIENCE, stream.next()).await.expect("a change in time").expect("no end").unwrap() {
            WatchEvent::Change(change) => found.push(change),
            WatchEvent::Started { .. } | WatchEvent::Progress { .. } | WatchEvent::Resumed { .. } => {}
        }
    }
    found
}

pub(crate) async fn another_screen_sees_each_booking_once_and_in_order(world: &World) {
    let (centro, jardins) = (world.through("centro"), world.through("jardins"));
    let start = NOON + 50 * DAY;
    let unit = world.jardins.unit;
    let book = |n: i64| booking(world.patients[0], world.jardins.slot(0, start + n * 60 * crate::world::MINUTE, 30));
    let first = centro.book(book(0)).await.unwrap();

    // The watch stands on one node, the bookings come through the other.
    let watching = tokio::spawn({
        let jardins = jardins.clone();
        async move { changes(&jardins, first.index, unit, 5).await }
    });
    let mut wanted = vec![first.index];
    for n in 1..5 {
        wanted.push(centro.book(book(n)).await.unwrap().index);
    }
    let seen = watching.await.unwrap();
    assert_eq!(seen.iter().map(|change| change.index).collect::<Vec<_>>(), wanted);
    assert!(seen.iter().all(|change| change.unit_id == unit.to_wire() && change.module() == wire::Module::Agenda));

    // Whoever comes back at an index, to another node, is told the same from there on.
    let again = changes(&centro, wanted[2], unit, 3).await;
    assert_eq!(again, seen[2..]);
}

pub(crate) async fn whoever_reads_a_record_is_in_the_trail(world: &World) {
    let software = world.through("centro");
    let (record, document) = (id(), b"{\"resourceType\":\"Observation\",\"note\":\"x\"}".to_vec());
    let request = wire::AddRecordRequest {
        header: None,
        record_id: record.to_wire(),
        patient_id: world.patients[1].to_wire(),
        unit_id: world.centro.unit.to_wire(),
        kind: "Observation".to_owned(),
        authored_ms: NOON,
        document: document.clone().into(),
    };
    software.add_record(request).await.unwrap();
    let amended = wire::AmendRecordRequest {
        header: None,
        record_id: record.to_wire(),
        seen_version: 1,
        reason: "outra leitura".to_owned(),
        document: document.clone().into(),
    };
    software.amend_record(amended).await.unwrap();
    let clinician = world.network.client("centro/clinician/consultorio-7", &["centro"]);
    let read = wire::GetRecordRequest { read: None, record_id: record.to_wire(), version: 0 };
    let answer = clinician.get_record(read).await.unwrap();
    assert_eq!(&answer.document[..], &document[..], "to the byte");
    let denied = world.network.client("centro/reception/balcao", &["centro"]);
    let read = wire::GetRecordRequest { read: None, record_id: record.to_wire(), version: 0 };
    assert_eq!(crate::world::code(denied.get_record(read).await), 1001);

    let auditor = world.network.client("rede/auditor/auditoria", &["jardins"]);
    let actor = |who: &str| {
        let identity = format!("spiffe://{}/unit/{who}", plantao_tests::network::CLUSTER);
        identity.parse::<plantao_client::identity::Identity>().unwrap().actor_id()
    };
    let entries_of = |who: [u8; 16]| {
        let auditor = auditor.clone();
        async move {
            let request =
                wire::ListEntriesRequest { actor_id: who.to_vec().into(), page_size: 500, ..Default::default() };
            let entries = auditor.list_entries(request).await.map_err(|error| error.to_string())?.entries;
            let of_record = |entry: &&wire::AuditEntry| entry.object_id == record.to_wire();
            entries.iter().find(of_record).cloned().ok_or_else(|| format!("{} other entries", entries.len()))
        }
    };
    // From the node's journal into the log, and so to the other unit.
    let entry = until("the read in the trail", || entries_of(actor("centro/clinician/consultorio-7"))).await;
    assert_eq!((entry.refusal, entry.module()), (0, wire::Module::Records));
    assert_eq!(entry.version, 2, "the current version was asked for, and that is this one");
    assert_eq!(entry.patient_id, world.patients[1].to_wire());
    let entry = until("the refused read in the trail", || entries_of(actor("centro/reception/balcao"))).await;
    assert_eq!((entry.refusal, entry.version), (1001, 0), "nothing was shown");

    for node in ["centro", "jardins"] {
        let auditor = world.network.client("rede/auditor/auditoria", &[node]);
        let trail = auditor.verify_trail(wire::VerifyTrailRequest { read: None }).await.unwrap();
        assert!(trail.whole && trail.entries > 10, "{node}: {trail:?}");
    }
}

pub(crate) async fn health_and_metrics_tell_what_they_should(world: &World) {
    let (certificate, key) = world.network.credentials(crate::world::SOFTWARE);
    for node in world.network.nodes() {
        let channel = crate::raw::with_files(&world.network, &certificate, &key, &node.public());
        let answer = crate::raw::call(channel, "/grpc.health.v1.Health/Check", Vec::new().into()).await.unwrap();
        assert_eq!(&answer[..], [8, 1], "{} does not say SERVING", node.name());
        // The gauges of copies appear with a node's first look at what it should hold.
        until("every described metric is served", || async {
            let text = String::from_utf8(crate::secrecy::metrics(&node.metrics())).unwrap();
            let names = plantao_node::telemetry::metrics::ALL.iter().map(|(name, ..)| *name);
            let missing: Vec<&str> = names.filter(|name| !text.contains(&format!("\n{name}"))).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{} does not serve {missing:?}", node.name())) }
        })
        .await;
    }
}

/// `error` means that a person must act; in a healthy network nobody must.
pub(crate) fn nobody_had_to_be_woken(world: &World) {
    for node in world.network.nodes() {
        let log = world.network.log(node.name());
        assert!(log.lines().count() > 2, "{} logs nothing", node.name());
        for line in log.lines() {
            let parsed: serde_json::Value = serde_json::from_str(line).expect("a log line is JSON");
            assert!(parsed["level"] != "ERROR", "{}: {line}", node.name());
        }
    }
}
