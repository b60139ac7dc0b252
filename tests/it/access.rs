//! Who may do what, on the wire: every role against the table of `domain::access`, and every certificate that is not one
//! for the port it comes to.

use crate::raw;
use crate::world::{DAY, NOON, World, booking, id};
use plantao_client::identity::Kind;
use plantao_client::pki::{Authority, SignedLeaf, Signer, UncheckedLeaf, Usage};
use plantao_client::{Cluster, Error, Id};
use plantao_domain::access::{Scope, scope};
use plantao_domain::audit::{Action, Module};
use plantao_domain::command::Role;
use plantao_proto::admin::v1::GetStatusRequest;
use plantao_proto::admin::v1::cluster_service_client::ClusterServiceClient;
use plantao_proto::public::v1 as wire;
use plantao_proto::public::v1::agenda_service_client::AgendaServiceClient;
use plantao_tests::network::CLUSTER;
use plantao_tests::transport::Probe;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tonic::Code;

fn role_of(kind: Kind) -> Role {
    match kind {
        Kind::Reception => Role::Reception,
        Kind::Clinician => Role::Clinician,
        Kind::Finance => Role::Finance,
        Kind::Manager => Role::Manager,
        Kind::Operator => Role::Operator,
        Kind::Auditor => Role::Auditor,
        Kind::Dpo => Role::Dpo,
        Kind::Integration => Role::Integration,
    }
}

/// What the deeds below work on, in one unit.
struct Things {
    unit: Id,
    patient: Id,
    record: Id,
    consent: Id,
    place: crate::world::Place,
}

/// One deed of each kind that the table tells apart on the public plane. Each is made to fail harmlessly after the right was
/// looked at, or to do something that is in nobody's way.
const DEEDS: [(Module, Action); 12] = [
    (Module::Directory, Action::Create),
    (Module::Patients, Action::Read),
    (Module::Patients, Action::Create),
    (Module::Patients, Action::Amend),
    (Module::Agenda, Action::Read),
    (Module::Agenda, Action::Create),
    (Module::Agenda, Action::Encaixe),
    (Module::Records, Action::Read),
    (Module::Records, Action::Create),
    (Module::Consents, Action::Read),
    (Module::Consents, Action::Create),
    (Module::Audit, Action::Read),
];

fn some_demographics() -> wire::Demographics {
    wire::Demographics { name: "Pessoa de Teste".to_owned(), ..wire::Demographics::default() }
}

async fn attempt(who: &Cluster, deed: (Module, Action), on: &Things, n: i64) -> Result<(), Error> {
    let unit_id = on.unit.to_wire();
    let slot = on.place.slot(1, NOON + 30 * DAY + n * 60 * crate::world::MINUTE, 30);
    match deed {
        (Module::Directory, _) => {
            let room = wire::Room {
                id: id().to_wire(),
                unit_id,
                name: "Sala".to_owned(),
                label: String::new(),
                document: Vec::new().into(),
            };
            who.register_room(wire::RegisterRoomRequest { header: None, room: Some(room) }).await.map(drop)
        }
        (Module::Patients, Action::Read) => {
            let request = wire::GetPatientRequest { read: None, patient_id: on.patient.to_wire(), version: 0 };
            who.get_patient(request).await.map(drop)
        }
        (Module::Patients, Action::Create) => {
            let request = wire::RegisterPatientRequest {
                header: None,
                patient_id: id().to_wire(),
                unit_id,
                demographics: Some(some_demographics()),
            };
            who.register_patient(request).await.map(drop)
        }
        (Module::Patients, _) => {
            let request = wire::AmendPatientRequest {
                header: None,
                patient_id: on.patient.to_wire(),
                seen_version: 99,
                demographics: Some(some_demographics()),
            };
            who.amend_patient(request).await.map(drop)
        }
        (Module::Agenda, Action::Read) => {
            let request = wire::ListAppointmentsRequest {
                read: None,
                of: Some(wire::list_appointments_request::Of::UnitId(unit_id)),
                from_ms: NOON,
                to_ms: NOON + DAY,
                page: None,
            };
            who.list_appointments(request).await.map(drop)
        }
        (Module::Agenda, action) => {
            let mut request = booking(on.patient, slot);
            if action == Action::Encaixe {
                request.encaixe_reason = "motivo".to_owned();
            }
            who.book(request).await.map(drop)
        }
        (Module::Records, Action::Read) => {
            let request = wire::GetRecordRequest { read: None, record_id: on.record.to_wire(), version: 0 };
            who.get_record(request).await.map(drop)
        }
        (Module::Records, _) => who.add_record(a_record(on.patient, on.unit, id())).await.map(drop),
        (Module::Consents, Action::Read) => {
            let request = wire::GetConsentRequest { read: None, consent_id: on.consent.to_wire() };
            who.get_consent(request).await.map(drop)
        }
        (Module::Consents, _) => who.grant_consent(a_consent(on.patient, on.unit, id())).await.map(drop),
        (Module::Audit, _) => {
            let request = wire::ListEntriesRequest { unit_id, ..wire::ListEntriesRequest::default() };
            who.list_entries(request).await.map(drop)
        }
        other => unreachable!("no deed for {other:?}"),
    }
}

fn a_record(patient: Id, unit: Id, record: Id) -> wire::AddRecordRequest {
    wire::AddRecordRequest {
        header: None,
        record_id: record.to_wire(),
        patient_id: patient.to_wire(),
        unit_id: unit.to_wire(),
        kind: "Observation".to_owned(),
        authored_ms: NOON,
        document: b"{\"resourceType\":\"Observation\"}".to_vec().into(),
    }
}

fn a_consent(patient: Id, unit: Id, consent: Id) -> wire::GrantConsentRequest {
    wire::GrantConsentRequest {
        header: None,
        consent_id: consent.to_wire(),
        patient_id: patient.to_wire(),
        unit_id: unit.to_wire(),
        purposes: vec![wire::Purpose::Treatment.into()],
        valid_from_ms: NOON,
        valid_until_ms: 0,
        document: b"{}".to_vec().into(),
    }
}

pub(crate) async fn every_role_has_the_rights_of_the_table_and_no_other(world: &World) {
    let software = world.through("centro");
    let mut things = Vec::new();
    for place in [world.centro, world.jardins] {
        let (patient, record, consent) = (id(), id(), id());
        let request = wire::RegisterPatientRequest {
            header: None,
            patient_id: patient.to_wire(),
            unit_id: place.unit.to_wire(),
            demographics: Some(some_demographics()),
        };
        software.register_patient(request).await.unwrap();
        software.add_record(a_record(patient, place.unit, record)).await.unwrap();
        software.grant_consent(a_consent(patient, place.unit, consent)).await.unwrap();
        things.push(Things { unit: place.unit, patient, record, consent, place });
    }
    let (mut wrong, mut n, mut denied) = (Vec::new(), 0, 0);
    for kind in Kind::ALL {
        // Through the other unit's node: rights follow the certificate, not the place.
        let who = world.network.client(&format!("centro/{kind}/tabela"), &["jardins"]);
        for (at, on) in things.iter().enumerate() {
            for deed in DEEDS {
                n += 1;
                let right = scope(role_of(kind), deed.0, deed.1);
                let expected = match right {
                    Scope::Network => true,
                    Scope::OwnUnit => at == 0,
                    Scope::Nowhere => false,
                };
                let (allowed, said) = match attempt(&who, deed, on, n).await {
                    Ok(()) => (true, "done".to_owned()),
                    Err(error) if error.code() == Some(1001) => (false, "denied".to_owned()),
                    // The amendment of an old version, which shows that the right was there.
                    Err(error) if error.code() == Some(1203) => (true, "done".to_owned()),
                    Err(error) => (!expected, error.to_string()),
                };
                denied += usize::from(!allowed);
                if allowed != expected {
                    let whose = if at == 0 { "own unit" } else { "other unit" };
                    wrong.push(format!("{kind} {deed:?} {whose}: {right:?} in the table, but {said}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {n}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(denied > 100, "only {denied} of {n} were denied");
}

fn leaf(authority: &Authority, uri: String, change: impl FnOnce(&mut UncheckedLeaf)) -> SignedLeaf {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let mut leaf = UncheckedLeaf {
        uris: vec![uri],
        names: Vec::new(),
        not_before: now - 3600,
        not_after: now + 3600,
        usages: vec![Usage::Client],
        signer: Signer::Root,
    };
    change(&mut leaf);
    authority.sign_unchecked(&leaf).unwrap()
}

pub(crate) async fn a_certificate_for_another_port_or_network_or_time_gets_nowhere(world: &World) {
    let network = &world.network;
    let node = network.node("centro");
    let (public, admin) = (node.public(), node.admin());
    let directory = network.directory().join("bad");
    std::fs::create_dir(&directory).unwrap();
    let list = || wire::ListAppointmentsRequest {
        of: Some(wire::list_appointments_request::Of::UnitId(world.centro.unit.to_wire())),
        to_ms: 1,
        ..wire::ListAppointmentsRequest::default()
    };
    let before = world.listing().await;

    // On the wrong port, a good certificate is told so.
    let (certificate, key) = network.credentials("centro/reception/balcao");
    let status = ClusterServiceClient::new(raw::with_files(network, &certificate, &key, &admin))
        .get_status(GetStatusRequest {})
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert!(status.message().contains("public port"), "{status}");
    let status = AgendaServiceClient::new(raw::with_files(network, &certificate, &key, &node.peer()))
        .list_appointments(list())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    let (certificate, key) = (node.tls_dir().join("node.crt"), node.tls_dir().join("node.key"));
    let status = AgendaServiceClient::new(raw::with_files(network, &certificate, &key, &public))
        .list_appointments(list())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");

    // Of another network, over, not yet begun, signed by itself, without an identity: no connection at all.
    let cluster = CLUSTER.parse().unwrap();
    let foreign = Authority::create(&cluster, &directory.join("foreign"), SystemTime::now()).unwrap();
    let who = format!("spiffe://{CLUSTER}/unit/rede/integration/software");
    let hour = 3600;
    let bad = [
        ("foreign", leaf(&foreign, who.clone(), |_| {})),
        ("expired", leaf(network.authority(), who.clone(), |leaf| leaf.not_after -= 2 * hour)),
        ("early", leaf(network.authority(), who.clone(), |leaf| leaf.not_before += 2 * hour)),
        ("itself", leaf(network.authority(), who.clone(), |leaf| leaf.signer = Signer::Itself)),
        ("nobody", leaf(network.authority(), "https://example.org/".to_owned(), |_| {})),
        ("elsewhere", leaf(network.authority(), who.replace(CLUSTER, "outra"), |_| {})),
    ];
    for (name, leaf) in bad {
        let (certificate, key) = raw::write_leaf(&directory, name, &leaf);
        let refused = handshake(Some((&certificate, &key)), &public).await;
        assert!(refused.is_err(), "{name} got through: {refused:?}");
    }
    assert!(handshake(None, &public).await.is_err(), "no certificate got through");
    // The probe itself gets through with a good one, or the refusals above would mean nothing.
    let (certificate, key) = network.credentials(crate::world::SOFTWARE);
    handshake(Some((&certificate, &key)), &public).await.unwrap();

    assert_eq!(world.listing().await, before, "and the node is well");
}

/// Whether the server at `address` talks to whoever offers this certificate and key, or none.
async fn handshake(files: Option<(&Path, &Path)>, address: &str) -> Result<(), String> {
    let (certificate, key) =
        files.map_or((None, None), |(certificate, key)| (Some(certificate.into()), Some(key.into())));
    let probe = Probe { certificate, key };
    match tokio::time::timeout(Duration::from_secs(30), probe.first_bytes(address)).await {
        Ok(said) => said,
        Err(_) => Err("silence".to_owned()),
    }
}
