//! Credentials: what loads, and why the rest does not.

use super::*;
use crate::identity::ParseIdentityError;
use crate::pki::{Authority, SignedLeaf, Signer, UncheckedLeaf, Usage};
use std::path::Path;
use std::time::Duration;

fn leaf() -> UncheckedLeaf {
    let now = unix_seconds(SystemTime::now());
    UncheckedLeaf {
        uris: vec!["spiffe://clinica/node/1".to_owned()],
        names: Vec::new(),
        not_before: now - 3600,
        not_after: now + 3600,
        usages: vec![Usage::Server, Usage::Client],
        signer: Signer::Root,
    }
}

fn authority(directory: &Path) -> Authority {
    Authority::create(&"clinica".parse().unwrap(), directory, SystemTime::now()).unwrap()
}

fn load(signed: &SignedLeaf, roots: &str) -> Result<Credentials, CredentialsError> {
    let (certificate, key) = (signed.certificate_pem.as_bytes(), signed.key_pem.as_bytes());
    Credentials::from_pem(certificate, key, roots.as_bytes(), SystemTime::now())
}

#[test]
fn good_credentials_say_whose_they_are_and_show_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority(directory.path());
    let signed = authority.sign_unchecked(&leaf()).unwrap();
    let credentials = load(&signed, authority.roots_pem()).unwrap();
    assert_eq!(credentials.leaf().identity.to_string(), "spiffe://clinica/node/1");
    assert_eq!(credentials.leaf().fingerprint, signed.fingerprint);
    assert_eq!(credentials.leaf().not_after, leaf().not_after);
    let body: Vec<&str> = signed.key_pem.lines().filter(|line| !line.starts_with('-')).collect();
    let shown = format!("{credentials:?} {signed:?}");
    assert!(body.iter().all(|line| !shown.contains(line)));
}

#[test]
fn what_does_not_fit_together_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority(&directory.path().join("a"));
    let foreign = self::authority(&directory.path().join("b"));
    let roots = authority.roots_pem();
    let sign = |leaf: UncheckedLeaf| authority.sign_unchecked(&leaf).unwrap();
    let good = sign(leaf());
    let certificate = good.certificate_pem.as_str();
    let key = good.key_pem.as_str();
    let other_key = sign(leaf()).key_pem;
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let now = unix_seconds(SystemTime::now());
    let expired = sign(UncheckedLeaf { not_after: now - 1, ..leaf() });
    let future = sign(UncheckedLeaf { not_before: now + 600, ..leaf() });
    let nobody = sign(UncheckedLeaf { uris: Vec::new(), ..leaf() });
    let server_only = sign(UncheckedLeaf { usages: vec![Usage::Server], ..leaf() });
    let own = sign(UncheckedLeaf { signer: Signer::Itself, ..leaf() });
    let strange = sign(UncheckedLeaf { uris: vec!["https://clinica/node/1".to_owned()], ..leaf() });
    let many_roots = roots.repeat(17);
    let long = format!("{certificate}{}", "x".repeat(64 << 10));
    let cases: Vec<(&str, &str, &str, &str)> = vec![
        ("Empty(Certificate)", "", key, roots),
        ("Empty(Certificate)", "não é PEM\0\u{ff}", key, roots),
        ("Empty(Key)", certificate, "", roots),
        ("Empty(Roots)", certificate, key, ""),
        ("Damaged(Certificate)", key, key, roots),
        ("Damaged(Key)", certificate, certificate, roots),
        ("Damaged(Roots)", certificate, key, key),
        ("EncryptedKey", certificate, &encrypted, roots),
        ("KeyOfAnotherCertificate", certificate, &other_key, roots),
        ("Expired", &expired.certificate_pem, &expired.key_pem, roots),
        ("NotYetValid", &future.certificate_pem, &future.key_pem, roots),
        ("NoIdentity", &nobody.certificate_pem, &nobody.key_pem, roots),
        ("Identity(Scheme)", &strange.certificate_pem, &strange.key_pem, roots),
        ("NotSignedByRoots", certificate, key, foreign.roots_pem()),
        ("NotSignedByRoots", &own.certificate_pem, &own.key_pem, roots),
        ("NotSignedByRoots", &server_only.certificate_pem, &server_only.key_pem, roots),
        ("NotARoot", certificate, key, certificate),
        ("TooManyBlocks(Roots)", certificate, key, &many_roots),
        ("TooLarge(Certificate)", &long, key, roots),
    ];
    for (reason, certificate, key, roots) in cases {
        let error = Credentials::from_pem(certificate.as_bytes(), key.as_bytes(), roots.as_bytes(), SystemTime::now())
            .unwrap_err();
        assert!(format!("{error:?}").contains(reason), "{reason}: {error:?}");
    }
    let twice = format!("{key}{key}");
    let error = Credentials::from_pem(certificate.as_bytes(), twice.as_bytes(), roots.as_bytes(), SystemTime::now());
    assert!(matches!(error, Err(CredentialsError::TooManyBlocks(CredentialsFile::Key))));
    let later = SystemTime::now() + Duration::from_secs(20 * 365 * 24 * 3600);
    let error = Credentials::from_pem(certificate.as_bytes(), key.as_bytes(), roots.as_bytes(), later);
    assert!(matches!(error, Err(CredentialsError::RootsExpired)));
}

#[test]
fn old_and_new_roots_stand_side_by_side() {
    let directory = tempfile::tempdir().unwrap();
    let mut authority = authority(directory.path());
    let old = authority.sign_unchecked(&leaf()).unwrap();
    let old_roots = authority.roots_pem().to_owned();
    authority.rotate_root(SystemTime::now()).unwrap();
    let new = authority.sign_unchecked(&leaf()).unwrap();
    load(&old, authority.roots_pem()).unwrap();
    load(&new, authority.roots_pem()).unwrap();
    load(&new, &old_roots).unwrap_err();
    authority.retire_old_roots().unwrap();
    load(&new, authority.roots_pem()).unwrap();
    load(&old, authority.roots_pem()).unwrap_err();
}

/// Bytes from a disk never panic, and nothing that is cut or flipped passes for the file that it was.
#[test]
fn every_prefix_and_every_flipped_bit_is_refused_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority(directory.path());
    let signed = authority.sign_unchecked(&leaf()).unwrap();
    let files = [signed.certificate_pem.as_bytes(), signed.key_pem.as_bytes(), authority.roots_pem().as_bytes()];
    let load = |index: usize, bytes: &[u8]| {
        let mut files = files;
        files[index] = bytes;
        Credentials::from_pem(files[0], files[1], files[2], SystemTime::now())
    };
    for (index, file) in files.into_iter().enumerate() {
        // The last line break may go, and so may the marker's own end be checked only as far as the label.
        let needed = file.len() - b"\n".len();
        for length in 0..needed {
            assert!(load(index, &file[..length]).is_err(), "file {index} cut at {length} of {}", file.len());
        }
        let mut bytes = file.to_vec();
        for at in 0..bytes.len() {
            let bit = 1 << (at % 8);
            bytes[at] ^= bit;
            if let Ok(credentials) = load(index, &bytes) {
                // Base64 and line breaks have some slack; what they hold must then be the same.
                assert_eq!(credentials.leaf().fingerprint, signed.fingerprint, "file {index} byte {at}");
            }
            bytes[at] ^= bit;
        }
    }
}

#[test]
fn a_leaf_is_read_or_refused_whatever_the_bytes() {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let directory = tempfile::tempdir().unwrap();
    let authority = authority(directory.path());
    let signed = authority.sign_unchecked(&leaf()).unwrap();
    let der = CertificateDer::from_pem_slice(signed.certificate_pem.as_bytes()).unwrap();
    for length in 0..der.len() {
        assert!(Leaf::from_der(&der[..length]).is_err());
    }
    let mut bytes = der.to_vec();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let _ = Leaf::from_der(&bytes);
            bytes[at] ^= 1 << bit;
        }
    }
    bytes.push(0);
    assert_eq!(Leaf::from_der(&bytes), Err(LeafError::Encoding));
    let two = UncheckedLeaf { uris: vec!["spiffe://c/node/1".into(), "spiffe://c/node/2".into()], ..self::leaf() };
    let der = CertificateDer::from_pem_slice(authority.sign_unchecked(&two).unwrap().certificate_pem.as_bytes());
    assert_eq!(Leaf::from_der(&der.unwrap()), Err(LeafError::ManyIdentities));
    let zero = UncheckedLeaf { uris: vec!["spiffe://c/node/0".into()], ..self::leaf() };
    let der = CertificateDer::from_pem_slice(authority.sign_unchecked(&zero).unwrap().certificate_pem.as_bytes());
    assert_eq!(Leaf::from_der(&der.unwrap()), Err(LeafError::Identity(ParseIdentityError::NodeNumber)));
}

#[tokio::test]
async fn an_address_is_host_and_port_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority(directory.path());
    let credentials = load(&authority.sign_unchecked(&leaf()).unwrap(), authority.roots_pem()).unwrap();
    let tls = ClientTls::new(Arc::new(credentials), TlsVersions::Only13);
    let make = |address: &str| {
        let target = Target { address: address.to_owned(), expected: ExpectedServer::AnyNode };
        channel(&tls, &target, &ChannelOptions::default()).map(|_| ())
    };
    for address in ["127.0.0.1:1", "[::1]:1", "jardins.clinica.example:7443"] {
        make(address).unwrap();
    }
    for address in ["", "host", ":1", "host:", "host:65536", "user@host:1", "http://host:1", "host:1/x", "a b:1"] {
        assert!(matches!(make(address), Err(ChannelError::Address)), "{address:?}");
    }
}
