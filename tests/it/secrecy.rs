//! A stolen disk, or whoever keeps the off-site copy, reads nothing about a patient; and whoever holds the paper passphrase
//! reads everything back from that copy alone.

use crate::tidy::root;
use crate::world::{DAY, NOON, PEOPLE, World, booking, id};
use plantao_client::Id;
use plantao_proto::public::v1 as wire;
use plantao_tests::network::text;
use plantao_tests::scan::Scanner;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// What went in, as it must come out: path below the extracted directory → bytes.
type Documents = BTreeMap<String, Vec<u8>>;

/// The sample clinic beside the repository where it is there, else a small one of ours.
fn sample(file: &str, at_most: usize) -> Vec<String> {
    let path = root().join("../shared/data/clinic").join(file);
    match std::fs::read_to_string(path) {
        Ok(lines) => lines.lines().take(at_most).map(ToString::to_string).collect(),
        Err(_) if file == "patients.ndjson" => vec![
            r#"{"id":"0d7b6a3e-5f6e-4b55-8d7c-1a2b3c4d5e6f","identifier":[{"value":"11144477735"}],"name":[{"text":"Ubirajara Montenegro"}],"telecom":[{"system":"phone","value":"11 90000-1234"},{"system":"email","value":"ubirajara@example.org"}]}"#.to_owned(),
        ],
        Err(_) => (0..50)
            .map(|n| format!(r#"{{"id":"{}","note":[{{"text":"Paciente relata dor lombar há {n} dias, sem febre"}}]}}"#, id()))
            .collect(),
    }
}

fn strings<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        Value::Object(values) => values.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

/// What tells of a person in a document: free text, no code, no address of a code list, no id and no date.
fn telling(document: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    strings(document, &mut found);
    let free = |text: &&str| text.contains(' ') && !text.contains("://") && !text.starts_with("urn:");
    found.into_iter().filter(free).collect()
}

/// What a node's metrics port says.
pub(crate) fn metrics(address: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// Brings people and records in, and gives the strings that must not be found and the documents that must.
async fn fill(world: &World) -> (Scanner, Documents) {
    let software = world.through("centro");
    let (mut scanner, mut documents) = (Scanner::default(), Documents::new());
    for (name, cpf, phone, email) in PEOPLE {
        for text in [name, cpf, phone, email] {
            scanner.add(text);
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            scanner.add(&digits);
        }
    }
    let mut patients = world.patients.to_vec();
    for line in sample("patients.ndjson", 28) {
        let value: Value = serde_json::from_str(&line).unwrap();
        let of = |system: &str| {
            let list = value["telecom"].as_array().cloned().unwrap_or_default();
            list.into_iter()
                .filter(|one| one["system"] == system)
                .filter_map(|one| Some(one["value"].as_str()?.to_owned()))
                .collect::<Vec<String>>()
        };
        let (phones, emails) = (of("phone"), of("email"));
        let name = value["name"][0]["text"].as_str().unwrap();
        let cpf = value["identifier"][0]["value"].as_str().unwrap();
        for text in [name, cpf].into_iter().chain(phones.iter().chain(&emails).map(String::as_str)) {
            scanner.add(text);
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            scanner.add(&digits);
        }
        let demographics = wire::Demographics {
            name: name.to_owned(),
            cpf: cpf.to_owned(),
            phones,
            email: emails.first().cloned().unwrap_or_default(),
            birth_date: value["birthDate"].as_str().unwrap_or_default().to_owned(),
            document: line.clone().into_bytes().into(),
        };
        let patient: Id = value["id"].as_str().unwrap().parse().unwrap();
        let request = wire::RegisterPatientRequest {
            header: None,
            patient_id: patient.to_wire(),
            unit_id: world.centro.unit.to_wire(),
            demographics: Some(demographics),
        };
        match software.register_patient(request).await {
            Ok(_) => {
                documents.insert(format!("patients/{patient}"), line.into_bytes());
                patients.push(patient);
            }
            // A CPF of the made-up people.
            Err(error) => assert_eq!(error.code(), Some(1211), "{error}"),
        }
    }
    for (n, line) in sample("records.ndjson", 120).into_iter().enumerate() {
        telling(&serde_json::from_str(&line).unwrap()).into_iter().for_each(|text| scanner.add(text));
        scanner.add(&line);
        let record = id();
        let request = wire::AddRecordRequest {
            header: None,
            record_id: record.to_wire(),
            patient_id: patients[n % patients.len()].to_wire(),
            unit_id: world.centro.unit.to_wire(),
            kind: "Observation".to_owned(),
            authored_ms: NOON,
            document: line.clone().into_bytes().into(),
        };
        software.add_record(request).await.unwrap();
        documents.insert(format!("records/{record}"), line.into_bytes());
    }
    // Bytes that are no text, and an amendment, whose last version counts.
    let record = id();
    let request = wire::AddRecordRequest {
        header: None,
        record_id: record.to_wire(),
        patient_id: patients[0].to_wire(),
        unit_id: world.centro.unit.to_wire(),
        kind: "DiagnosticReport".to_owned(),
        authored_ms: NOON,
        document: b"first".to_vec().into(),
    };
    software.add_record(request).await.unwrap();
    let second: Vec<u8> = (0..=255).cycle().take(48 << 10).collect();
    let request = wire::AmendRecordRequest {
        header: None,
        record_id: record.to_wire(),
        seen_version: 1,
        reason: "laudo retificado".to_owned(),
        document: second.clone().into(),
    };
    software.amend_record(request).await.unwrap();
    documents.insert(format!("records/{record}"), second);
    scanner.add("laudo retificado");

    let consent = id();
    let request = wire::GrantConsentRequest {
        header: None,
        consent_id: consent.to_wire(),
        patient_id: patients[0].to_wire(),
        unit_id: world.centro.unit.to_wire(),
        purposes: vec![wire::Purpose::Research.into()],
        valid_from_ms: NOON,
        valid_until_ms: 0,
        document: b"termo assinado na unidade".to_vec().into(),
    };
    software.grant_consent(request).await.unwrap();
    documents.insert(format!("consents/{consent}"), b"termo assinado na unidade".to_vec());
    scanner.add("termo assinado na unidade");

    crate::gallery::store_one_that_tells(world, patients[0], "fotografia do joelho esquerdo").await;
    scanner.add("fotografia do joelho esquerdo");

    let mut request = booking(patients[0], world.centro.slot(0, NOON + 60 * DAY, 30));
    request.document = b"retorno com exames de imagem".to_vec().into();
    let appointment = Id::from_wire(&request.appointment_id).unwrap();
    software.book(request).await.unwrap();
    documents.insert(format!("appointments/{appointment}"), b"retorno com exames de imagem".to_vec());
    scanner.add("retorno com exames de imagem");
    (scanner, documents)
}

/// First of all: would it be found?
fn prove_the_scanner(scanner: &Scanner, directory: &Path) {
    let (name, ..) = PEOPLE[1];
    let little: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (kind, needle) in [("utf-8", name.as_bytes()), ("utf-16le", &little), ("utf-16be", &big)] {
        let planted = directory.join(format!("planted-{kind}"));
        let mut bytes = vec![0xa5; 70_001];
        bytes.extend_from_slice(needle);
        bytes.extend_from_slice(&[0xa5; 13]);
        std::fs::write(&planted, &bytes).unwrap();
        let (found, _) = scanner.find_in_files(directory);
        assert_eq!(found, [(planted.clone(), name.to_owned())], "{kind}");
        std::fs::remove_file(planted).unwrap();
    }
    let planted = directory.join(name);
    std::fs::write(&planted, b"x").unwrap();
    assert_eq!(scanner.find_in_files(directory).0.len(), 1, "a file's name");
    std::fs::remove_file(planted).unwrap();
}

pub(crate) async fn no_file_log_or_metric_tells_of_a_patient(world: &mut World) {
    let (scanner, documents) = fill(world).await;
    assert!(scanner.count() > 60, "only {} strings", scanner.count());
    world.network.digests_agree().await;
    let planted = tempfile::tempdir().unwrap();
    prove_the_scanner(&scanner, planted.path());

    for node in world.network.nodes() {
        let text = metrics(&node.metrics());
        assert!(text.windows(8).any(|window| window == b"plantao_"), "{}: no metrics", node.name());
        assert_eq!(scanner.find(&text), None, "metrics of {}", node.name());
    }
    for while_it in ["runs", "is stopped"] {
        for node in world.network.nodes() {
            let (found, bytes) = scanner.find_in_files(node.directory());
            assert!(found.is_empty(), "{} while it {while_it}: {found:?}", node.name());
            assert!(bytes > 100_000, "only {bytes} bytes of {} were looked at", node.name());
        }
        if while_it == "runs" {
            for name in ["jardins", "cofre", "centro"] {
                world.network.stop(name).await;
            }
        }
    }
    extract_from_the_off_site_copy(world, &documents);
    for name in ["centro", "jardins", "cofre"] {
        world.network.run_node(name).await;
    }
}

/// Its data directory and its storage key, carried elsewhere, and the paper passphrase; nothing else.
fn extract_from_the_off_site_copy(world: &World, documents: &Documents) {
    let elsewhere = tempfile::tempdir().unwrap();
    let cofre = world.network.node("cofre");
    copy(cofre.data_dir(), &elsewhere.path().join("data"));
    let key = elsewhere.path().join("storage.key");
    std::fs::copy(cofre.directory().join("keys/storage.key"), &key).unwrap();
    let out = elsewhere.path().join("out");
    let data = format!("node.data_dir={}", elsewhere.path().join("data").display());
    let slot = format!("slots.storage={{ key_file = \"{}\" }}", key.display());
    let recovery = world.network.recovery();
    let extract = |recovery: &Path, out: &Path| {
        let arguments = [
            "--recovery-file",
            recovery.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--set",
            &data,
            "--set",
            &slot,
        ];
        world.network.run("extract", cofre, &arguments)
    };
    // Another network's paper.
    let other = elsewhere.path().join("other.txt");
    let phrase = plantao_node::crypto::RecoveryPhrase::generate(&plantao_node::entropy::SystemEntropy);
    std::fs::write(&other, phrase.to_text().as_bytes()).unwrap();
    let refused = extract(&other, &elsewhere.path().join("none"));
    assert!(!refused.status.success(), "another passphrase opened it: {}", text(&refused));
    assert!(text(&refused).contains("does not open"), "{}", text(&refused));

    let done = extract(&recovery, &out);
    assert!(done.status.success(), "extract: {}", text(&done));
    let mut wrong = Vec::new();
    for (path, bytes) in documents {
        match std::fs::read(out.join(path)) {
            Ok(found) if found == *bytes => {}
            Ok(found) => wrong.push(format!("{path}: {} bytes instead of {}", found.len(), bytes.len())),
            Err(error) => wrong.push(format!("{path}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), documents.len(), wrong.join("\n"));
    let index = std::fs::read_to_string(out.join("index.ndjson")).unwrap();
    assert!(index.lines().count() >= documents.len());
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
