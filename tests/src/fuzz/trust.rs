//! Certificates, keys, revocation lists: files that an operator brings and bytes that a caller shows. An authority is made once
//! in each process, at a fixed time, so inputs say what to change in what it signed rather than what was signed.

use super::input::Input;
use plantao_client::identity::Identity;
use plantao_client::pki::{Authority, RevocationReason, Signer, SubjectName, UncheckedLeaf, Usage};
use plantao_client::transport::{CertificateId, Credentials, Leaf, RevocationList};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// January 2027.
const NOW_SECONDS: u64 = 1_800_000_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_SECONDS)
}

struct Trust {
    roots: Vec<u8>,
    leaf: Vec<u8>,
    key: Vec<u8>,
    lists: Vec<u8>,
    credentials: Credentials,
}

fn trust() -> &'static Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let (authority_dir, leaf_dir) = (directory.path().join("authority"), directory.path().join("leaf"));
        let cluster = "rede".parse().unwrap();
        let authority = Authority::create(&cluster, &authority_dir, now()).unwrap();
        let request = plantao_client::pki::Request {
            identity: "spiffe://rede/node/3".parse().unwrap(),
            names: vec![SubjectName::Dns("cofre.example".to_owned())],
            lifetime: None,
        };
        let issued = authority.issue(&request, &leaf_dir, &"node".parse().unwrap(), now()).unwrap();
        let uri = issued.record.identity.to_string();
        authority.revoke(&uri, RevocationReason::KeyCompromise, now()).unwrap();
        let lists = authority.sign_lists(Duration::from_secs(86_400), now()).unwrap().pem.into_bytes();
        let read = |path: &std::path::Path| std::fs::read(path).unwrap();
        let (leaf, key, roots) = (read(&issued.certificate), read(&issued.key), read(&issued.roots));
        let credentials = Credentials::from_pem(&leaf, &key, &roots, now()).unwrap();
        Trust { roots, leaf, key, lists, credentials }
    })
}

/// Changes single signs of a PEM text into others of its alphabet, so that most of what is changed is in the bytes inside.
fn repaint(mut input: Input<'_>, pem: &[u8]) -> Vec<u8> {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut changed = pem.to_vec();
    while !input.is_over() {
        let at = input.number() % changed.len();
        match input.byte() {
            255 => changed.truncate(at.max(1)),
            254 => changed.insert(at, b'\n'),
            sign => changed[at] = SIGNS[usize::from(sign) % SIGNS.len()],
        }
    }
    changed
}

/// A certificate as a caller shows it.
pub(super) mod certificate {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let certified = trust().credentials.certified_key();
        let root = trust().credentials.root_certificates()[0].to_vec();
        let authority_dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(&"rede".parse().unwrap(), authority_dir.path(), now()).unwrap();
        let uris: [&[&str]; 3] =
            [&["spiffe://rede/unit/centro/clinician/balcao-1"], &[], &["spiffe://a/node/1", "spiffe://a/node/2"]];
        let odd = uris.map(|uris| {
            let leaf = UncheckedLeaf {
                uris: uris.iter().map(ToString::to_string).collect(),
                names: Vec::new(),
                not_before: 5,
                not_after: 1,
                usages: vec![Usage::Client],
                signer: Signer::Root,
            };
            let signed = authority.sign_unchecked(&leaf).unwrap();
            der_of(signed.certificate_pem.as_bytes())
        });
        [vec![certified.cert[0].to_vec(), root], odd.to_vec()].concat()
    }

    /// The bytes inside one block of PEM.
    fn der_of(pem: &[u8]) -> Vec<u8> {
        let value = |sign: u8| match sign {
            b'A'..=b'Z' => Some(sign - b'A'),
            b'a'..=b'z' => Some(sign - b'a' + 26),
            b'0'..=b'9' => Some(sign - b'0' + 52),
            b'+' => Some(62),
            b'/' => Some(63),
            _ => None,
        };
        let lines = pem.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"-----"));
        let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
        for value in lines.flatten().filter_map(|sign| value(*sign)) {
            held = held << 6 | u32::from(value);
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                bytes.push(u8::try_from(held >> bits & 0xff).unwrap());
            }
        }
        bytes
    }

    pub(crate) fn run(data: &[u8]) {
        let Ok(leaf) = Leaf::from_der(data) else { return };
        let name = leaf.identity.to_string();
        assert_eq!(name.parse::<Identity>().as_ref(), Ok(&leaf.identity), "the identity is not what it reads as");
        assert!(data.windows(name.len()).any(|part| part == name.as_bytes()), "an identity that is not in the bytes");
        if leaf.not_before <= leaf.not_after {
            assert!((leaf.not_before..=leaf.not_after).contains(&leaf.renewal_due()));
            assert!(!leaf.is_expired(leaf.not_after));
        }
        let longer = [data, &[0]].concat();
        assert!(Leaf::from_der(&longer).is_err(), "what follows a certificate is passed over");
    }
}

/// The three files of credentials, one of them changed.
pub(super) mod credentials {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        vec![
            vec![0],
            vec![0, 0, 200, 3],
            vec![1, 0, 90, 9],
            vec![2, 1, 0, 1],
            vec![2, 0, 40, 255],
            vec![3, b'-'],
            vec![4],
        ]
    }

    pub(crate) fn run(data: &[u8]) {
        let made = trust();
        let mut input = Input(data);
        let (mut leaf, mut key, mut roots) = (made.leaf.clone(), made.key.clone(), made.roots.clone());
        match input.byte() % 6 {
            0 => leaf = repaint(input, &leaf),
            1 => key = repaint(input, &key),
            2 => roots = repaint(input, &roots),
            3 => leaf = input.0.to_vec(),
            4 => key = input.0.to_vec(),
            _ => roots = [&roots, input.0].concat(),
        }
        let Ok(read) = Credentials::from_pem(&leaf, &key, &roots, now()) else {
            let untouched = (&leaf, &key, &roots) == (&made.leaf, &made.key, &made.roots);
            return assert!(!untouched, "good files are refused");
        };
        assert_eq!(read.leaf().fingerprint, made.credentials.leaf().fingerprint, "a leaf that nobody signed is taken");
        assert_eq!(read.leaf().identity.to_string(), "spiffe://rede/node/3");
        // A time outside of its life.
        let late = now() + Duration::from_secs(400 * 86_400);
        assert!(Credentials::from_pem(&leaf, &key, &roots, late).is_err());
    }
}

/// A file of revocation lists, changed, or made of whatever else.
pub(super) mod revocations {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        vec![
            vec![0],
            vec![0, 0, 60, 7],
            vec![0, 0, 200, 255],
            [[1].as_slice(), b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"].concat(),
        ]
    }

    pub(crate) fn run(data: &[u8]) {
        let made = trust();
        let mut input = Input(data);
        let file = if input.byte() == 0 { repaint(input, &made.lists) } else { input.0.to_vec() };
        let roots = made.credentials.root_certificates();
        let Ok(list) = RevocationList::from_pem(&file, roots) else {
            return assert_ne!(file, made.lists, "a good list is refused");
        };
        let certified = made.credentials.certified_key();
        let taken_back = CertificateId::of(&certified.cert[0]).unwrap();
        assert!(list.has(&taken_back), "a list that names nobody is taken");
        assert_eq!((list.len(), list.number()), (1, 1));
        assert!(list.check_succeeds(&list, roots).is_ok());
        assert!(RevocationList::from_pem(&file, &[]).is_err(), "a list of a root that nobody trusts counts");
    }
}

/// Whom a certificate speaks for.
pub(super) mod identity_name {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        [
            "spiffe://rede/node/3",
            "spiffe://rede/node/new/cofre",
            "spiffe://rede/unit/centro/clinician/balcao-1",
            "spiffe://rede/unit/*/operator/ana",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    pub(crate) fn run(data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let Ok(identity) = text.parse::<Identity>() else { return };
        assert_eq!(identity.to_string(), text, "one identity, one spelling");
        assert_eq!(identity.is_node(), identity.kind().is_none());
        assert!(identity.node_id() != Some(0));
        assert!(text.is_ascii() && !text.contains([' ', '\n', '%']));
    }
}
