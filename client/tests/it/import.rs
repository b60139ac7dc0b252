//! A clinic's files: what is good is brought over once, what is bad is told, and nothing else stops.

use crate::clinic::Clinic;
use crate::transport::{Network, hasty, nobody, patient};
use plantao_client::bench::{BenchKind, BenchOptions};
use plantao_client::import::{Importer, IssueKind, read_back, read_back_images, submit_conflicting};
use plantao_client::services::LOCAL;
use plantao_client::synthetic::{self, CONFLICTING_FILE, SyntheticOptions};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clinic_is_imported_once_read_back_and_books_nobody_twice() {
    let (network, clinic) = (Network::new(), Clinic::default());
    let address = network.serve(1, &clinic).await;
    let cluster = network.client("a", &[address], patient());
    let directory = tempfile::tempdir().unwrap();
    synthetic::write(directory.path(), &SyntheticOptions::default()).unwrap();
    let told = AtomicU64::new(0);
    let on_progress = |progress: plantao_client::import::Progress| {
        assert!(progress.done <= progress.total);
        told.fetch_add(1, Ordering::Relaxed);
    };
    let report = Importer::new(&cluster).run(directory.path(), &on_progress).await.unwrap();
    // Programs run these in tasks of their own.
    let send = |_: &dyn Send| {};
    send(&Importer::new(&cluster).run(directory.path(), &on_progress));
    send(&read_back(&cluster, directory.path(), LOCAL, &on_progress));
    send(&submit_conflicting(&cluster, directory.path()));
    send(&plantao_client::bench::run(&cluster, &BenchOptions::new(BenchKind::Write)));
    send(&cluster.add_record(Default::default()));
    send(&cluster.patients(Default::default()));
    assert!(report.is_clean(), "{:?}", report.issues.first());
    let new = [
        report.organizations,
        report.practitioners,
        report.locations,
        report.patients,
        report.records,
        report.consents,
        report.appointments,
    ]
    .map(|tally| tally.new);
    assert_eq!(new, [3, 12, 9, 40, 500, 40, 300]);
    assert!(told.load(Ordering::Relaxed) > 800);

    let again = Importer::new(&cluster).run(directory.path(), &|_| {}).await.unwrap();
    assert!(again.nothing_changed() && !report.nothing_changed(), "{again:?}");
    assert_eq!((again.records.read, again.records.unchanged), (500, 500));

    let back = read_back(&cluster, directory.path(), LOCAL, &|_| {}).await.unwrap();
    assert!(back.holds() && back.consents == 40, "{back:?}");
    let conflicts = submit_conflicting(&cluster, &directory.path().join(CONFLICTING_FILE)).await.unwrap();
    assert!(conflicts.holds() && conflicts.submitted == 50, "{conflicts:?}");
    assert_eq!(conflicts.practitioner + conflicts.room + conflicts.patient, 50);
    // What is free is accepted, and that must show.
    let free = submit_conflicting(&cluster, &directory.path().join("appointments.ndjson")).await.unwrap();
    assert!(!free.holds() && free.accepted == 300);

    // One byte of one document on the node is another.
    let record: serde_json::Value = serde_json::from_str(
        fs::read_to_string(directory.path().join("records.ndjson")).unwrap().lines().last().unwrap(),
    )
    .unwrap();
    let id: plantao_client::Id = record["id"].as_str().unwrap().parse().unwrap();
    let document = clinic.0.lock().unwrap().objects[&id.to_wire()].clone();
    let mut damaged = document.to_vec();
    damaged[20] ^= 1;
    clinic.0.lock().unwrap().objects.insert(id.to_wire(), damaged.into());
    let back = read_back(&cluster, directory.path(), LOCAL, &|_| {}).await.unwrap();
    assert!(!back.holds() && back.different == 1, "{back:?}");
    clinic.0.lock().unwrap().objects.remove(&id.to_wire());
    let back = read_back(&cluster, directory.path(), LOCAL, &|_| {}).await.unwrap();
    assert!(!back.holds() && back.missing == 1, "{back:?}");
}

fn write(directory: &Path, file: &str, lines: &[&[u8]]) {
    fs::write(directory.join(file), lines.concat()).unwrap();
}

const SECRET: &str = "Fulana Segredo";

#[tokio::test]
async fn each_bad_line_is_told_with_its_reason_and_the_good_ones_are_taken() {
    let (network, clinic) = (Network::new(), Clinic::default());
    let address = network.serve(1, &clinic).await;
    let cluster = network.client("a", &[address], patient());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write(path, "organizations.ndjson", &[br#"{"resourceType":"Organization","id":"centro","name":"Centro"}"#, b"\n"]);
    let patient = |id: &str, name: &str| {
        format!(
            "{{\"resourceType\":\"Patient\",\"id\":\"{id}\",\"name\":[{{\"text\":\"{name}\"}}],\
             \"managingOrganization\":{{\"reference\":\"Organization/centro\"}}}}\n"
        )
    };
    let long = vec![b'a'; (1 << 20) + 1];
    let (good, nul) = (patient("p-1", SECRET), patient("p-2", &format!("{SECRET}\\u0000")));
    let (bidi, twice) = (patient("p-3", &format!("{SECRET}\u{202e}")), patient("p-1", &format!("{SECRET} Outra")));
    let bad_id = patient("p 4", SECRET);
    let foreign = good.replace("Organization/centro", "Organization/longe").replace("p-1", "p-5");
    let shape = good.replace("[{\"text\"", "{\"text\"").replace("}]", "}").replace("p-1", "p-6");
    let other = good.replace("\"Patient\"", "\"Group\"");
    let name: &[u8] = SECRET.as_bytes();
    write(
        path,
        "patients.ndjson",
        &[
            good.as_bytes(),
            nul.as_bytes(),
            bidi.as_bytes(),
            twice.as_bytes(),
            bad_id.as_bytes(),
            foreign.as_bytes(),
            shape.as_bytes(),
            other.as_bytes(),
            b"{\"resourceType\":\"Patient\",\"id\":\"p-7\",\"x\":\"",
            name,
            b"\xff\"}\n",
            b"\n",
            &long,
            b"\n",
            b"[\"Patient\",\"p-8\"]\n",
            b"{\"name\":\"",
            name,
            b"\"}\n",
            name,
            b"\n",
            patient("p-9", "Beltrana").as_bytes(),
            &good.as_bytes()[..60],
        ],
    );
    let record = |id: &str, rest: &str| {
        format!(
            "{{\"resourceType\":\"Observation\",\"id\":\"{id}\",\"subject\":{{\"reference\":\"Patient/p-1\"}}{rest}}}\n"
        )
    };
    let huge = record("r-3", &format!(",\"valueString\":\"{}\"", "x".repeat(50 << 10)));
    write(
        path,
        "records.ndjson",
        &[
            record("r-1", "").as_bytes(),
            record("r-2", ",\"date\":\"ontem\"").as_bytes(),
            huge.as_bytes(),
            record("r-4", "").replace("p-1", "p-404").as_bytes(),
            record("r-5", "").replace("Observation", "Bundle").as_bytes(),
            br#"{"resourceType":"Consent","id":"c-1","status":"draft","patient":{"reference":"Patient/p-1"}}"#,
            b"\n",
        ],
    );
    let report = Importer::new(&cluster).run(path, &|_| {}).await.unwrap();
    let found: Vec<(String, u64)> = report.issues.iter().map(|issue| (issue.file.clone(), issue.line)).collect();
    let of = |file: &str, lines: &[u64]| -> Vec<(String, u64)> {
        lines.iter().map(|line| (file.to_owned(), *line)).collect()
    };
    let mut expected = of("patients.ndjson", &[2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 16]);
    expected.extend(of("records.ndjson", &[2, 3, 4, 5, 6]));
    assert_eq!(found, expected);
    let reasons = [
        "control character",
        "control character",
        "seen before, on line 1",
        "the id is not",
        "refers to something",
        "shape of FHIR",
        "no Patient",
        "not UTF-8",
        "longer than",
        "no FHIR resource",
        "no FHIR resource",
        "not JSON",
        "in the middle",
        "date is not a date",
        "49152 are allowed",
        "refers to something",
        "no patient record",
        "status",
    ];
    for (issue, reason) in report.issues.iter().zip(reasons) {
        assert_eq!((issue.what, issue.why.contains(reason)), (IssueKind::Invalid, true), "{issue:?}: {reason}");
        assert!(!issue.help.is_empty());
    }
    assert_eq!((report.patients.read, report.patients.new, report.patients.failed), (15, 2, 13));
    assert_eq!((report.records.read, report.records.new, report.records.failed), (6, 1, 5));
    assert_eq!(report.absent, ["practitioners.ndjson", "locations.ndjson", "appointments.ndjson", "images.csv"]);
    assert!(!serde_json::to_string(&report).unwrap().contains("Segredo"));
    assert!(Importer::new(&cluster).run(&path.join("none"), &|_| {}).await.is_err());
}

#[tokio::test]
async fn an_import_into_a_cluster_that_does_not_answer_stops_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    synthetic::write(directory.path(), &SyntheticOptions::default()).unwrap();
    let cluster = Network::new().client("a", &[nobody().await], hasty());
    let report = Importer::new(&cluster).run(directory.path(), &|_| {}).await.unwrap();
    assert!(report.stopped.is_some() && !report.is_clean() && report.organizations.read == 0, "{report:?}");
    fs::remove_file(directory.path().join("organizations.ndjson")).unwrap();
    fs::create_dir(directory.path().join("organizations.ndjson")).unwrap();
    let report = Importer::new(&cluster).run(directory.path(), &|_| {}).await.unwrap();
    assert!(report.issues.iter().any(|issue| issue.line == 0 && issue.what == IssueKind::Failed), "{report:?}");
}

fn photograph(directory: &Path, path: &str, bytes: usize, tint: u8) -> String {
    let mut content = vec![tint; bytes];
    content[..3].copy_from_slice(b"\xff\xd8\xff");
    fs::create_dir_all(directory.join("images")).unwrap();
    fs::write(directory.join(path), &content).unwrap();
    let digest: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{path},PATIENT,before,image/jpeg,{bytes},{digest},2026-04-12T08:00:00-03:00\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_are_imported_once_with_their_consents_and_each_bad_row_is_told() {
    let (network, clinic) = (Network::new(), Clinic::default());
    let addresses = [network.serve(1, &clinic).await, network.serve(2, &clinic).await];
    let cluster = network.client("a", &addresses, patient());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write(path, "organizations.ndjson", &[br#"{"resourceType":"Organization","id":"centro","name":"Centro"}"#, b"\n"]);
    let someone = |id: &str| {
        format!(
            "{{\"resourceType\":\"Patient\",\"id\":\"{id}\",\"name\":[{{\"text\":\"A\"}}],\
             \"managingOrganization\":{{\"reference\":\"Organization/centro\"}}}}\n"
        )
    };
    write(path, "patients.ndjson", &[someone("p-1").as_bytes(), someone("p-2").as_bytes()]);
    let consent = |id: &str, patient: &str, category: &str, date: &str| {
        format!(
            "{{\"resourceType\":\"Consent\",\"id\":\"{id}\",\"status\":\"active\",\
             \"patient\":{{\"reference\":\"Patient/{patient}\"}},\"dateTime\":\"{date}\",\
             \"scope\":{{\"coding\":[{{\"code\":\"patient-privacy\"}}]}},\"category\":[{{\"text\":\"{category}\"}}]}}\n"
        )
    };
    let consents = [
        consent("c-1", "p-1", "care", "2026-01-01"),
        consent("c-2", "p-1", "clinical-images", "2026-02-01"),
        consent("c-3", "p-2", "marketing-images", "2026-01-01"),
        // Not valid yet.
        consent("c-4", "p-2", "clinical-images", "9000-01-01"),
    ];
    write(path, "records.ndjson", &[consents.concat().as_bytes()]);
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::create_dir_all(path.join("images/directory")).unwrap();
    std::os::unix::fs::symlink(outside.path(), path.join("images/link.jpg")).unwrap();
    let of = |row: String, patient: &str| row.replace("PATIENT", patient);
    let good = [
        of(photograph(path, "images/0.jpg", 3_000_000, 1), "p-1"),
        of(photograph(path, "images/1.jpg", 500, 2), "p-1"),
        // As the one before in all that an id is made of.
        of(photograph(path, "images/2.jpg", 500, 3), "p-1"),
    ];
    let spoiled = of(photograph(path, "images/4.jpg", 500, 4), "p-1");
    fs::write(path.join("images/4.jpg"), vec![9; 500]).unwrap();
    let short = of(photograph(path, "images/5.jpg", 500, 5), "p-1");
    fs::write(path.join("images/5.jpg"), b"cut").unwrap();
    let bad: Vec<(String, &str)> = vec![
        (of(photograph(path, "images/3.jpg", 500, 3), "p-2"), "no consent"),
        (spoiled, "does not have the SHA-256"),
        (short, "has 3 bytes"),
        (good[1].replace("1.jpg", "none.jpg"), "not there"),
        (good[1].replace("1.jpg", "directory"), "not there"),
        (good[1].replace("1.jpg", "link.jpg"), "out of the directory"),
        (good[1].replace("images/1.jpg", "../images/1.jpg"), "out of the directory"),
        (good[1].replace("1.jpg", "6.jpg").replace("p-1", "p-404"), "refers to something"),
        (good[1].clone(), "seen before, on line 3"),
        (good[1].replace("image/jpeg", "image/gif"), "content_type"),
        ("images/7.jpg,p-1\n".to_owned(), "2 values"),
    ];
    let head = "path,patient_id,kind,content_type,bytes,sha256,taken_at\n";
    let rows = |bad: &[(String, &str)]| {
        let bad: String = bad.iter().map(|(row, _)| row.as_str()).collect();
        format!("{head}{}{bad}", good.concat())
    };
    write(path, "images.csv", &[rows(&bad).as_bytes()]);
    let report = Importer::new(&cluster).run(path, &|_| {}).await.unwrap();
    assert_eq!((report.images.read, report.images.new), (14, 3), "{report:?}");
    assert_eq!(report.issues.len(), bad.len(), "{:?}", report.issues);
    let mut told: Vec<(u64, &str)> = report.issues.iter().map(|issue| (issue.line, issue.why.as_str())).collect();
    told.sort_unstable();
    for ((nth, (_, reason)), (line, why)) in bad.iter().enumerate().zip(told) {
        assert!(line == nth as u64 + 5 && why.contains(reason), "{line}: {why}: {reason}");
    }
    write(path, "images.csv", &[rows(&[]).as_bytes()]);
    let again = Importer::new(&cluster).run(path, &|_| {}).await.unwrap();
    assert!(again.nothing_changed() && again.images.unchanged == 3, "{again:?}");
    let back = read_back_images(&cluster, path, LOCAL, &|_| {}).await.unwrap();
    assert!(back.holds() && back.identical == 3 && back.bytes == 3_001_000, "{back:?}");

    // The file changed under its name: it is neither taken for the old image nor put over it.
    let other = of(photograph(path, "images/1.jpg", 500, 77), "p-1");
    write(path, "images.csv", &[format!("{head}{}{other}{}", good[0], good[2]).as_bytes()]);
    let changed = Importer::new(&cluster).run(path, &|_| {}).await.unwrap();
    assert_eq!((changed.images.unchanged, changed.images.refused, changed.issue_count), (2, 1, 1), "{changed:?}");
    let back = read_back_images(&cluster, path, LOCAL, &|_| {}).await.unwrap();
    assert_eq!((back.identical, back.different), (2, 1), "{back:?}");
    // Without the names of its columns a file says nothing.
    write(path, "images.csv", &[good[0].as_bytes(), good[1].as_bytes()]);
    let nameless = Importer::new(&cluster).run(path, &|_| {}).await.unwrap();
    assert_eq!((nameless.images.failed, nameless.issues[0].line), (1, 1), "{nameless:?}");
}
