//! The authority on real files.

use super::*;
use crate::transport::{Credentials, CredentialsPaths};
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn node(cluster: &str, id: u64) -> Identity {
    format!("spiffe://{cluster}/node/{id}").parse().unwrap()
}

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_issued_loads_is_listed_and_survives_a_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let (pki, into) = (directory.path().join("pki"), directory.path().join("centro"));
    let now = SystemTime::now();
    let authority = Authority::create(&slug("clinica"), &pki, now).unwrap();
    let names = ["centro.clinica.example", "127.0.0.1", "::1"].map(|name| name.parse().unwrap()).to_vec();
    let request = Request { identity: node("clinica", 1), names, lifetime: None };
    let issued = authority.issue(&request, &into, &slug("centro"), now).unwrap();
    drop(authority);

    let credentials = Credentials::load(&CredentialsPaths::in_directory(&into, "centro"), now).unwrap();
    assert_eq!(credentials.leaf().identity, node("clinica", 1));
    assert_eq!(credentials.leaf().not_after, unix_seconds(now) + 90 * 24 * 3600);
    let authority = Authority::open(&pki).unwrap();
    assert_eq!(authority.cluster().as_str(), "clinica");
    assert_eq!(authority.list().unwrap(), std::slice::from_ref(&issued.record));
    assert_eq!(issued.record.fingerprint, credentials.leaf().fingerprint.to_string());
    assert_eq!(issued.record.names, ["centro.clinica.example", "127.0.0.1", "::1"]);

    // Keys are the owner's alone, wherever they are.
    assert_eq!(mode(&issued.key), 0o600);
    assert_eq!(mode(&pki), 0o700);
    let keys: Vec<_> = fs::read_dir(&pki).unwrap().map(|entry| entry.unwrap().path()).collect();
    let keys: Vec<_> = keys.iter().filter(|path| path.extension().is_some_and(|end| end == "key")).collect();
    assert_eq!(keys.len(), 1);
    assert_eq!(mode(keys[0]), 0o600);

    // A program of the default thirty days.
    let identity: Identity = "spiffe://clinica/unit/rede/operator/o".parse().unwrap();
    let request = Request { identity, names: Vec::new(), lifetime: None };
    authority.issue(&request, &into, &slug("operador"), now).unwrap();
    let credentials = Credentials::load(&CredentialsPaths::in_directory(&into, "operador"), now).unwrap();
    assert_eq!(credentials.leaf().not_after, unix_seconds(now) + 30 * 24 * 3600);
    assert_eq!(authority.list().unwrap().len(), 2);
}

#[test]
fn a_leaf_is_renewed_from_two_thirds_of_its_life_on() {
    let directory = tempfile::tempdir().unwrap();
    let (pki, into) = (directory.path().join("pki"), directory.path().join("centro"));
    let now = SystemTime::now();
    let authority = Authority::create(&slug("clinica"), &pki, now).unwrap();
    let request = Request { identity: node("clinica", 7), names: vec!["localhost".parse().unwrap()], lifetime: None };
    let first = authority.issue(&request, &into, &slug("centro"), now).unwrap();
    let renew = |when, at| authority.renew(&into, &slug("centro"), when, at).unwrap();
    let Renewal::NotDue { due_at } = renew(RenewWhen::Due, now) else { panic!("renewed at once") };
    let days = (due_at - unix_seconds(now)) / (24 * 3600);
    assert!((59..=60).contains(&days), "{days}");
    let just_before = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(due_at - 1).unwrap());
    assert_eq!(renew(RenewWhen::Due, just_before), Renewal::NotDue { due_at });
    let due = just_before + Duration::from_secs(1);
    let Renewal::Renewed(second) = renew(RenewWhen::Due, due) else { panic!("not renewed when due") };
    assert_ne!(first.record.serial, second.record.serial);
    assert_eq!((&first.record.identity, &first.record.names), (&second.record.identity, &second.record.names));
    assert_eq!(second.record.not_after, due_at + 90 * 24 * 3600);
    Credentials::load(&CredentialsPaths::in_directory(&into, "centro"), due).unwrap();
    let Renewal::Renewed(_) = renew(RenewWhen::Now, due) else { panic!("not renewed on demand") };
    assert_eq!(authority.list().unwrap().len(), 3);

    let foreign = Authority::create(&slug("clinica"), &directory.path().join("other"), now).unwrap();
    let error = foreign.renew(&into, &slug("centro"), RenewWhen::Now, due).unwrap_err();
    assert!(matches!(error, Error::NotIssuedHere), "{error:?}");
}

#[test]
fn what_must_not_be_issued_is_refused_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (pki, into) = (directory.path().join("pki"), directory.path().join("x"));
    let now = SystemTime::now();
    let authority = Authority::create(&slug("clinica"), &pki, now).unwrap();
    let program: Identity = "spiffe://clinica/unit/centro/integration/agenda".parse().unwrap();
    let localhost: SubjectName = "localhost".parse().unwrap();
    let request = |identity: Identity, names: Vec<SubjectName>, lifetime| Request { identity, names, lifetime };
    let issue = |request: &Request, name: &str, at| authority.issue(request, &into, &slug(name), at).unwrap_err();
    let good = request(node("clinica", 1), Vec::new(), None);
    assert!(matches!(issue(&request(node("outra", 1), Vec::new(), None), "n", now), Error::OtherCluster));
    assert!(matches!(issue(&request(program, vec![localhost.clone()], None), "n", now), Error::NamesOfAProgram));
    let many = vec![localhost; NAMES_MAX + 1];
    assert!(matches!(issue(&request(node("clinica", 1), many, None), "n", now), Error::TooManyNames));
    for lifetime in [Duration::ZERO, LIFETIME_MAX + Duration::from_secs(1)] {
        let request = request(node("clinica", 1), Vec::new(), Some(lifetime));
        assert!(matches!(issue(&request, "n", now), Error::Lifetime));
    }
    assert!(matches!(issue(&good, "ca", now), Error::ReservedName));
    assert!(matches!(issue(&good, "root-1", now), Error::ReservedName));
    assert!(matches!(issue(&good, "n", now + ROOT_LIFETIME), Error::OutlivesRoot { .. }));
    assert!(authority.list().unwrap().is_empty());
    assert!(!into.exists());

    authority.issue(&good, &into, &slug("n"), now).unwrap();
    let key = fs::read(into.join("n.key")).unwrap();
    assert!(matches!(issue(&good, "n", now), Error::AlreadyExists { .. }));
    assert_eq!(fs::read(into.join("n.key")).unwrap(), key);
    let again = Authority::create(&slug("clinica"), &pki, now).unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again:?}");

    for name in ["", "a..b", "-a", "a-", "A", "a_b", "a b", "é", "*.a", &"a".repeat(64), &"a.".repeat(130)] {
        assert!(matches!(name.parse::<SubjectName>(), Err(Error::Name)), "{name:?}");
    }
}

#[test]
fn a_damaged_authority_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let pki = directory.path();
    let now = SystemTime::now();
    let mut authority = Authority::create(&slug("clinica"), pki, now).unwrap();
    let old_bundle = fs::read(pki.join("ca.crt")).unwrap();
    let old_key = root_key(pki, &Index::read(pki).unwrap().root);
    authority.rotate_root(now).unwrap();
    let key = root_key(pki, &Index::read(pki).unwrap().root);
    assert_ne!(key, old_key);
    let damage = |file: &Path, bytes: &[u8]| {
        let good = fs::read(file).unwrap();
        fs::write(file, bytes).unwrap();
        let error = Authority::open(pki).unwrap_err();
        fs::write(file, good).unwrap();
        Authority::open(pki).unwrap();
        error
    };
    assert!(matches!(damage(&key, &fs::read(&old_key).unwrap()), Error::RootKey));
    assert!(matches!(damage(&key, b"lixo"), Error::RootKey));
    assert!(matches!(damage(&pki.join("ca.crt"), &old_bundle), Error::RootMissing));
    assert!(matches!(damage(&pki.join("ca.crt"), b"lixo"), Error::RootMissing));
    let index = fs::read(pki.join(index::FILE)).unwrap();
    for length in 0..index.len() {
        assert!(matches!(damage(&pki.join(index::FILE), &index[..length]), Error::Index), "{length}");
    }
    let newer = String::from_utf8(index).unwrap().replace("\"version\": 1", "\"version\": 2");
    assert!(matches!(damage(&pki.join(index::FILE), newer.as_bytes()), Error::Index));
}

/// Two terminals issue at the same time: neither may erase the other's entry.
#[test]
fn issuing_side_by_side_loses_no_entry() {
    let directory = tempfile::tempdir().unwrap();
    let pki = directory.path().join("pki");
    let now = SystemTime::now();
    Authority::create(&slug("clinica"), &pki, now).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (pki, into) = (&pki, directory.path().join("out"));
            scope.spawn(move || {
                let authority = Authority::open(pki).unwrap();
                for number in 0..4 {
                    let id = thread * 4 + number + 1;
                    let request = Request { identity: node("clinica", id), names: Vec::new(), lifetime: None };
                    authority.issue(&request, &into.join(id.to_string()), &slug("n"), now).unwrap();
                }
            });
        }
    });
    assert_eq!(Authority::open(&pki).unwrap().list().unwrap().len(), 16);
}
