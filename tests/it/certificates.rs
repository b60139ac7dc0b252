//! Certificates change while the network works: renewed by its own nodes, taken back within a minute, put under another
//! root without a lost or failed write; and when all of them have expired, the way back is the one in the manual.

use crate::world::{SOFTWARE, TOOL, World, id};
use plantao_client::Id;
use plantao_client::identity::Identity;
use plantao_client::pki::{Authority, RenewWhen, Request};
use plantao_proto::admin::v1::{GetCertificateRequest, GetCertificateResponse};
use plantao_proto::public::v1::{Demographics, ListPatientsRequest, Page, RegisterPatientRequest};
use plantao_tests::network::CLUSTER;
use plantao_tests::wait::until;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::process::Command;
use tokio::time::timeout;

const ALL: [&str; 3] = ["centro", "jardins", "cofre"];
const OPERATOR: &str = "rede/operator/plantao";
/// A run of the tool asks and waits for several nodes, one after the other.
const TOOL_PATIENCE: Duration = Duration::from_secs(120);

fn authority_dir(world: &World) -> PathBuf {
    world.network.directory().join("network").join("authority")
}

fn authority(world: &World) -> Authority {
    Authority::open(&authority_dir(world)).unwrap()
}

/// Runs `plantao pki …` as the operator, with every node's admin plane; gives the exit code, the document and what was
/// said.
async fn pki(world: &World, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let (certificate, key) = world.network.credentials(OPERATOR);
    let mut tool = Command::new(TOOL);
    tool.env_clear().arg("pki").args(arguments).arg("--dir").arg(authority_dir(world));
    tool.args(["-o", "json", "--no-input", "--cluster", CLUSTER, "--endpoint", &world.network.node("centro").public()]);
    for name in ALL {
        tool.args(["--admin-endpoint", &world.network.node(name).admin()]);
    }
    tool.arg("--ca").arg(world.network.roots()).arg("--cert").arg(certificate).arg("--key").arg(key);
    let output = timeout(TOOL_PATIENCE, tool.kill_on_drop(true).output()).await.unwrap().unwrap();
    let document = plantao_tests::json_tables::told(&output);
    (output.status.code(), document, plantao_tests::network::text(&output))
}

/// The same until it ends well: a node may be slow to answer, and what is done stays.
async fn pki_done(world: &World, arguments: &[&str]) -> Value {
    until(&format!("{arguments:?}"), || async {
        match pki(world, arguments).await {
            (Some(0), document, _) => Ok(document),
            (_, _, said) => Err(said),
        }
    })
    .await
}

async fn shown(world: &World, node: &str) -> GetCertificateResponse {
    until(&format!("the certificate of {node}"), || async {
        world.network.admin(node).get_certificate(GetCertificateRequest {}).await
    })
    .await
}

fn patient(world: &World, patient: Id) -> RegisterPatientRequest {
    let demographics = Demographics {
        name: "Paciente Sintético".to_owned(),
        cpf: String::new(),
        phones: Vec::new(),
        email: String::new(),
        birth_date: "1980-02-29".to_owned(),
        document: Vec::new().into(),
    };
    RegisterPatientRequest {
        header: None,
        patient_id: patient.to_wire(),
        unit_id: world.centro.unit.to_wire(),
        demographics: Some(demographics),
    }
}

/// Ids of all patients, as one node has them.
async fn patients(world: &World, node: &str) -> BTreeSet<Vec<u8>> {
    let software = world.through(node);
    let (mut found, mut token) = (BTreeSet::new(), Default::default());
    loop {
        let request = ListPatientsRequest { read: None, page: Some(Page { size: 500, token }) };
        let page = until("a page of patients", || async { software.list_patients(request.clone()).await }).await;
        found.extend(page.patients.iter().map(|patient| patient.id.to_vec()));
        if page.next_page_token.is_empty() {
            return found;
        }
        token = page.next_page_token;
    }
}

/// The words of `plantao-renew.service` behind `plantao pki`, without those that a test has of its own.
fn nightly() -> Vec<&'static str> {
    let unit = include_str!("../../deploy/systemd/plantao-renew.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/plantao pki ")).unwrap();
    let own = |word: &str| ["--dir", "/var/lib/plantao-authority", "--no-input"].contains(&word);
    line.split(' ').filter(|word| !own(word)).collect()
}

/// Each node has another certificate afterwards, for a key that it made itself, and nobody noticed.
pub(crate) async fn nodes_renew_where_the_authority_is_kept(world: &World) {
    let mut before = Vec::new();
    for node in ALL {
        before.push((shown(world, node).await, fs::read(world.network.node(node).tls_dir().join("node.key")).unwrap()));
    }
    // Nothing is due, so nothing is touched; nor by what the timer runs each night, in its window or not.
    pki_done(world, &["renew", "--nodes", "--yes"]).await;
    let nightly = nightly();
    assert!(nightly.contains(&"--window") && nightly.contains(&"--nodes"), "{nightly:?}");
    pki_done(world, &nightly).await;
    assert_eq!(shown(world, "centro").await.serial, before[0].0.serial);
    // Without a terminal it does not ask.
    let (code, _, said) = pki(world, &["renew", "--nodes", "--now"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--yes"), "{said}");

    let document = pki_done(world, &["renew", "--nodes", "--now", "--yes"]).await;
    assert_eq!(document["nodes"].as_array().unwrap().len(), ALL.len(), "{document}");
    for (node, (old, old_key)) in ALL.into_iter().zip(before) {
        let now = shown(world, node).await;
        assert_eq!(now.identity, old.identity);
        assert_ne!(now.serial, old.serial);
        assert!(now.failures.is_empty(), "{:?}", now.failures);
        let key = fs::read(world.network.node(node).tls_dir().join("node.key")).unwrap();
        assert_ne!(key, old_key);
        let ledger = authority(world).list().unwrap();
        assert!(ledger.iter().any(|record| record.serial == now.serial && record.identity == now.identity));
    }
    let software = world.through("jardins");
    until("a write", || async { software.register_patient(patient(world, id())).await }).await;
}

/// Every node refuses it, and the other operator's eyes see which nodes know.
pub(crate) async fn a_lost_key_is_worth_nothing_on_any_node(world: &World) {
    let lost = "rede/integration/perdida";
    for node in ALL {
        let client = world.network.client(lost, &[node]);
        until("the key to work before", || async {
            client.list_patients(ListPatientsRequest { read: None, page: None }).await
        })
        .await;
    }
    let (code, _, said) =
        pki(world, &["revoke", "unit/rede/integration/ninguem", "--reason", "superseded", "--yes"]).await;
    assert_eq!(code, Some(1), "{said}");
    let document =
        pki_done(world, &["revoke", &format!("unit/{lost}"), "--reason", "key-compromise", "--push", "--yes"]).await;
    assert_eq!(document["revoked_count"], 1, "{document}");
    for node in ALL {
        let client = world.network.client(lost, &[node]);
        until(&format!("{node} to refuse the lost key"), || async {
            match timeout(Duration::from_secs(5), client.list_patients(ListPatientsRequest { read: None, page: None }))
                .await
            {
                Ok(Ok(_)) => Err("it is let in"),
                // Refused, or still trying to get in.
                Ok(Err(_)) | Err(_) => Ok(()),
            }
        })
        .await;
        assert_eq!(shown(world, node).await.revoked_count, 1);
    }
    let software = world.through("centro");
    until("the others to go on", || async { software.register_patient(patient(world, id())).await }).await;
}

/// Writes without a pause, each with its own retries; what was acknowledged is kept, and so is what failed for good.
struct Load {
    client: Arc<Mutex<plantao_client::Cluster>>,
    acknowledged: Arc<Mutex<Vec<Vec<u8>>>>,
    failed: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn start(world: &World) -> Self {
        let client = Arc::new(Mutex::new(world.network.client(SOFTWARE, &["centro", "jardins"])));
        let (acknowledged, failed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (current, done, lost) = (Arc::clone(&client), Arc::clone(&acknowledged), Arc::clone(&failed));
        let unit = world.centro.unit;
        let task = tokio::spawn(async move {
            loop {
                let cluster = current.lock().unwrap().clone();
                let patient = id();
                let demographics = Demographics {
                    name: "Paciente Sintético".to_owned(),
                    cpf: String::new(),
                    phones: Vec::new(),
                    email: String::new(),
                    birth_date: "1980-02-29".to_owned(),
                    document: Vec::new().into(),
                };
                let request = RegisterPatientRequest {
                    header: None,
                    patient_id: patient.to_wire(),
                    unit_id: unit.to_wire(),
                    demographics: Some(demographics),
                };
                match cluster.register_patient(request).await {
                    Ok(_) => done.lock().unwrap().push(patient.as_bytes().to_vec()),
                    Err(error) => lost.lock().unwrap().push(format!("{error:?}")),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { client, acknowledged, failed, task }
    }

    /// What a program does with a new certificate or new roots: it opens its connections anew.
    fn reopen(&self, world: &World) {
        *self.client.lock().unwrap() = world.network.client(SOFTWARE, &["centro", "jardins"]);
    }

    /// Waits for writes that began after now.
    async fn goes_on(&self) {
        let before = self.acknowledged.lock().unwrap().len();
        until("the load to go on", || async {
            let now = self.acknowledged.lock().unwrap().len();
            if now >= before + 5 { Ok(()) } else { Err((now, self.failed.lock().unwrap().clone())) }
        })
        .await;
    }

    fn end(self) -> (Vec<Vec<u8>>, Vec<String>) {
        self.task.abort();
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let failed = self.failed.lock().unwrap().clone();
        (acknowledged, failed)
    }
}

/// What somebody carries to people and programs: the bundle, and certificates under the root that signs.
fn renew_people(world: &World) {
    let authority = authority(world);
    let network = world.network.directory().join("network");
    for directory in [network.join("identities"), world.network.directory().join("people")] {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.extension().is_some_and(|extension| extension == "crt") && name != "ca" {
                authority.renew(&directory, &name.parse().unwrap(), RenewWhen::Now, SystemTime::now()).unwrap();
            }
        }
    }
}

/// Another root for everything, under load: every acknowledged write is there, and none failed.
pub(crate) async fn the_root_is_changed_under_load(world: &World) {
    let load = Load::start(world);
    load.goes_on().await;
    let old = shown(world, "centro").await.root;
    let (code, _, said) = pki(world, &["rotate-ca", "switch", "--yes"]).await;
    assert_eq!(code, Some(6), "not before the start: {said}");

    pki_done(world, &["rotate-ca", "start", "--yes"]).await;
    for node in ALL {
        assert_eq!(shown(world, node).await.trusted_roots.len(), 2, "{node}");
    }
    load.goes_on().await;
    let (code, _, said) = pki(world, &["rotate-ca", "switch", "--yes"]).await;
    assert_eq!(code, Some(6), "this tool does not trust the new root yet: {said}");
    fs::write(world.network.roots(), authority(world).roots_pem()).unwrap();
    load.reopen(world);

    pki_done(world, &["rotate-ca", "switch", "--yes"]).await;
    for node in ALL {
        assert_ne!(shown(world, node).await.root, old, "{node}");
    }
    load.goes_on().await;
    let (code, _, said) = pki(world, &["rotate-ca", "finish", "--yes"]).await;
    assert_eq!(code, Some(6), "people are under the old root: {said}");
    renew_people(world);
    load.reopen(world);
    load.goes_on().await;

    // The certificate that was revoked before is under the old root, and so are those of nodes that joined.
    pki_done(world, &["rotate-ca", "finish", "--yes", "--leave-behind"]).await;
    fs::write(world.network.roots(), authority(world).roots_pem()).unwrap();
    for node in ALL {
        let now = shown(world, node).await;
        assert_eq!(now.trusted_roots, std::slice::from_ref(&now.root), "{node}");
        assert!(now.failures.is_empty(), "{node}: {:?}", now.failures);
    }
    load.reopen(world);
    load.goes_on().await;
    let (acknowledged, failed) = load.end();
    assert!(failed.is_empty(), "{failed:?}");
    for node in ["centro", "jardins"] {
        let found = patients(world, node).await;
        assert!(acknowledged.iter().all(|patient| found.contains(patient)), "an acknowledged write is not on {node}");
    }
}

/// A certificate for a node, put in place as the manual says: first the key, then the certificate.
fn put_in_place(world: &World, node: &str, lifetime: Option<Duration>) -> i64 {
    let identity: Identity = format!("spiffe://{CLUSTER}/node/{}", world.network.node(node).id()).parse().unwrap();
    let into = world.network.directory().join("by-hand").join(id().to_string());
    let request = Request { identity, names: Vec::new(), lifetime };
    let issued = authority(world).issue(&request, &into, &"node".parse().unwrap(), SystemTime::now()).unwrap();
    let tls = world.network.node(node).tls_dir();
    for (from, to) in [(&issued.key, "node.key"), (&issued.certificate, "node.crt")] {
        let new = tls.join(format!("{to}.by-hand"));
        fs::copy(from, &new).unwrap();
        fs::rename(&new, tls.join(to)).unwrap();
    }
    issued.record.not_after
}

/// Nobody renewed anything: the network refuses itself, loses nothing, and comes back by files alone.
pub(crate) async fn expired_certificates_on_all_nodes_stop_the_network_and_lose_nothing(world: &mut World) {
    let before = patients(world, "centro").await;
    // Certificates that are short enough to see their end, and long enough to be taken on a slow machine.
    for node in ALL {
        let world = &*world;
        until(&format!("{node} to take a short certificate"), || async {
            let not_after_ms = put_in_place(world, node, Some(Duration::from_secs(40))) * 1000;
            let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
            loop {
                let admin = world.network.admin(node);
                let status = admin.get_certificate(GetCertificateRequest {}).await.map_err(|error| error.to_string());
                match status {
                    Ok(now) if now.not_after_ms == not_after_ms => return Ok(()),
                    other if tokio::time::Instant::now() > deadline => return Err(format!("{other:?}")),
                    _ => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        })
        .await;
    }
    for node in ALL {
        let network = &world.network;
        until(&format!("the certificate of {node} to be refused"), || async {
            match network.status(node).await {
                Err(_) => Ok(()),
                Ok(status) => Err(status.certificate_not_after_ms),
            }
        })
        .await;
    }
    // One is stopped meanwhile, as somebody in despair does. It starts with good files only.
    world.network.kill("jardins").await;
    let refused = world.network.run("run", world.network.node("jardins"), &[]);
    assert!(!refused.status.success());
    let said = plantao_tests::network::text(&refused);
    assert!(said.contains("expired"), "{said}");

    for node in ALL {
        put_in_place(world, node, None);
    }
    world.network.run_node("jardins").await;
    for node in ALL {
        let world = &*world;
        until(&format!("{node} to work again"), || async {
            let status = world.network.status(node).await.map_err(|error| error.to_string())?;
            if status.leader_id == 0 { Err("no leader".to_owned()) } else { Ok(()) }
        })
        .await;
    }
    let software = world.through("jardins");
    let world = &*world;
    until("a write", || async { software.register_patient(patient(world, id())).await }).await;
    assert!(patients(world, "centro").await.is_superset(&before));
}
