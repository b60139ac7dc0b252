//! Certificates that are taken back: who is refused, which connections end, and which lists are not believed.

use super::*;
use plantao_client::pki::{LIST_LIFETIME, RevocationReason};
use plantao_client::transport::{RevocationError, RevocationList};
use std::path::Path;
use tokio_rustls::client::TlsStream;

impl Network {
    fn revoke(&self, whom: &str) -> String {
        self.authority.revoke(whom, RevocationReason::KeyCompromise, SystemTime::now()).unwrap();
        self.lists()
    }

    fn lists(&self) -> String {
        self.authority.sign_lists(LIST_LIFETIME, SystemTime::now()).unwrap().pem
    }

    fn roots(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.authority.roots_pem().as_bytes()).map(Result::unwrap).collect()
    }
}

fn tls_of(paths: &CredentialsPaths) -> ClientTls {
    let credentials = Credentials::load(paths, SystemTime::now()).unwrap();
    ClientTls::new(Arc::new(credentials), TlsVersions::Only13)
}

/// A connection that only listens: it notices its end and nothing else.
async fn listen(address: SocketAddr, network: &Network, paths: &CredentialsPaths) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    network.roots().into_iter().for_each(|root| roots.add(root).unwrap());
    let chain = vec![CertificateDer::from_pem_file(&paths.certificate).unwrap()];
    let mut configuration = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&paths.key).unwrap())
        .unwrap();
    configuration.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(configuration)).connect(name, tcp).await.unwrap();
    // The server speaks once it has let us in and serves.
    assert_ne!(stream.read(&mut [0; 64]).await.unwrap(), 0);
    stream
}

async fn ended(mut stream: TlsStream<TcpStream>) {
    let reading = async { while matches!(stream.read(&mut [0; 256]).await, Ok(count) if count > 0) {} };
    tokio::time::timeout(DEADLINE, reading).await.expect("the connection ends within the deadline");
}

/// The promise: a key that was lost is worth nothing within a minute, in new connections and in old ones.
#[tokio::test]
async fn a_revoked_caller_loses_its_connections_and_gets_no_new_one() {
    let network = Network::new();
    let reloader = network.reloader("node/1");
    let served = serve(reloader.server(), Plane::Public).await;
    let (bad, good) = (network.issue("unit/centro/reception/perdida"), network.issue("unit/centro/reception/boa"));
    let listening = listen(served.address, &network, &bad).await;
    let kept = dial(&tls_of(&good), served.address, ExpectedServer::AnyNode);
    check(kept.clone()).await.unwrap();
    check(dial(&tls_of(&bad), served.address, ExpectedServer::AnyNode)).await.unwrap();

    let list = reloader.install_revocations(network.revoke("unit/centro/reception/perdida").as_bytes()).unwrap();
    assert_eq!((list.number(), list.len()), (1, 1));
    ended(listening).await;
    let status = check(dial(&tls_of(&bad), served.address, ExpectedServer::AnyNode)).await.unwrap_err();
    assert!(format!("{status:?}").contains("CertificateRevoked"), "{status:?}");
    // The other's one connection lives on, and new ones are made.
    let before = served.meter.counts().accepted;
    check(kept).await.unwrap();
    assert_eq!(served.meter.counts().accepted, before);
    check(dial(&tls_of(&good), served.address, ExpectedServer::AnyNode)).await.unwrap();
    // A new certificate of the same identity is another certificate.
    let again = network.authority.renew(
        bad.certificate.parent().unwrap(),
        &"leaf".parse().unwrap(),
        RenewWhen::Now,
        SystemTime::now(),
    );
    again.unwrap();
    check(dial(&tls_of(&bad), served.address, ExpectedServer::AnyNode)).await.unwrap();
}

#[tokio::test]
async fn a_revoked_node_is_neither_called_nor_heard() {
    let network = Network::new();
    let (first, second) = (network.reloader("node/1"), network.reloader("node/2"));
    let served = serve(second.server(), Plane::Peer).await;
    let peers = PeerChannels::new(first.client());
    let call = || check(peers.channel(2, &served.address.to_string(), Lane::Heartbeat).unwrap());
    call().await.unwrap();
    let lists = network.revoke("node/2");
    first.install_revocations(lists.as_bytes()).unwrap();
    // The channel is the old one, and its connection ends with the list: a call may meet that end, a later one meets the
    // refusal of a new connection, none gets through.
    let end = Instant::now() + DEADLINE;
    loop {
        let status = format!("{:?}", call().await.unwrap_err());
        if status.contains("Revoked") {
            break;
        }
        assert!(Instant::now() < end, "{status}");
    }
    assert!(!first.status().borrow().revoked);
    second.install_revocations(lists.as_bytes()).unwrap();
    assert!(second.status().borrow().revoked, "a node knows that it is the one");
}

#[tokio::test]
async fn a_list_in_the_file_is_taken_by_itself_and_at_the_start() {
    let network = Network::new();
    let paths = network.issue("node/1");
    let reloader = TlsReloader::start(paths.clone(), TlsVersions::Only13, Arc::new(SystemClock)).unwrap();
    let served = serve(reloader.server(), Plane::Public).await;
    let bad = network.issue("unit/centro/reception/perdida");
    let listening = listen(served.address, &network, &bad).await;
    let mut task = JoinSet::new();
    task.spawn(Arc::clone(&reloader).run(Duration::from_millis(20)));
    fs::write(paths.roots.with_file_name(REVOKED_FILE), network.revoke("unit/centro/reception/perdida")).unwrap();
    ended(listening).await;

    let anew = TlsReloader::start(paths, TlsVersions::Only13, Arc::new(SystemClock)).unwrap();
    assert_eq!(anew.revocations().current().len(), 1);
    let served = serve(anew.server(), Plane::Public).await;
    check(dial(&tls_of(&bad), served.address, ExpectedServer::AnyNode)).await.unwrap_err();
}

/// Whoever can write the file, or hides newer ones, must not bring a revoked certificate back.
#[test]
fn a_bad_list_keeps_what_is_in_force_and_is_reported() {
    let mut network = Network::new();
    let foreign = Network::new();
    foreign.issue("node/9");
    let paths = network.issue("node/1");
    network.issue("node/2");
    let file = paths.roots.with_file_name(REVOKED_FILE);
    let clock = Arc::new(ScriptedClock::new(SystemClock.now().millis()));
    let shared: SharedClock = Arc::<ScriptedClock>::clone(&clock);
    let reloader = TlsReloader::start(paths.clone(), TlsVersions::Only13, shared.clone()).unwrap();
    let (older, current) = (network.lists(), network.revoke("node/2"));
    reloader.install_revocations(current.as_bytes()).unwrap();
    let status = reloader.status();
    let half = current.len() / 2;
    let other = foreign.lists();
    let cases: [(&str, &[u8]); 6] = [
        ("Damaged", &current.as_bytes()[..half]),
        ("Damaged", b"lixo"),
        ("Damaged", b""),
        ("Damaged", network.authority.roots_pem().as_bytes()),
        ("Foreign", other.as_bytes()),
        ("NotNewer", older.as_bytes()),
    ];
    for (why, bytes) in cases {
        let refused = reloader.install_revocations(bytes).unwrap_err();
        assert!(format!("{refused:?}").contains(why), "{why}: {refused:?}");
        assert_eq!(fs::read(&file).unwrap(), current.as_bytes(), "{why}: the file changed");
        fs::write(&file, bytes).unwrap();
        let failure = reloader.reload().unwrap_err();
        assert!(format!("{failure:?}").contains(why), "{why}: {failure:?}");
        assert!(status.borrow().list_failure.is_some() && status.borrow().failure.is_none());
        assert_eq!(reloader.revocations().current().len(), 1, "{why}");
        fs::write(&file, &current).unwrap();
        assert_eq!(reloader.reload().unwrap(), Reloaded::Unchanged);
        assert!(status.borrow().list_failure.is_none());
    }
    fs::remove_file(&file).unwrap();
    assert!(matches!(*reloader.reload().unwrap_err(), ReloadError::RevocationsGone));
    fs::write(&file, &current).unwrap();
    reloader.reload().unwrap();

    // Past its end it holds on, is reported, and stops no start.
    clock.set((reloader.revocations().current().next_update() + 1) * 1000);
    assert!(format!("{:?}", reloader.reload().unwrap_err()).contains("Expired"));
    assert_eq!(reloader.revocations().current().len(), 1);
    let anew = TlsReloader::start(paths.clone(), TlsVersions::Only13, shared.clone()).unwrap();
    assert_eq!(anew.revocations().current().len(), 1);
    clock.set(SystemClock.now().millis());

    // While two roots are trusted, the list of neither may vanish; in one file they come together.
    network.authority.rotate_root(SystemTime::now()).unwrap();
    fs::write(&paths.roots, network.authority.roots_pem()).unwrap();
    let both = network.lists();
    reloader.reload().unwrap();
    reloader.install_revocations(both.as_bytes()).unwrap();
    let one = both.split_inclusive("-----END X509 CRL-----\n").next().unwrap();
    let next = network.lists();
    let of_one = next.split_inclusive("-----END X509 CRL-----\n").next().unwrap();
    assert_ne!(one, of_one);
    let refused = reloader.install_revocations(of_one.as_bytes()).unwrap_err();
    assert!(format!("{refused:?}").contains("Lacking"), "{refused:?}");
    reloader.install_revocations(next.as_bytes()).unwrap();
}

/// Any bytes give a list or an error, and a changed list is no list.
#[test]
fn a_cut_or_changed_list_is_refused() {
    let network = Network::new();
    network.issue("node/2");
    let (pem, roots) = (network.revoke("node/2"), network.roots());
    assert_eq!(RevocationList::from_pem(pem.as_bytes(), &roots).unwrap().len(), 1);
    for length in 0..pem.trim_end().len() {
        RevocationList::from_pem(&pem.as_bytes()[..length], &roots).unwrap_err();
    }
    let mut signatures = 0;
    for at in (0..pem.len()).filter(|at| pem.as_bytes()[*at].is_ascii_alphanumeric()) {
        let mut changed = pem.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        match RevocationList::from_pem(&changed, &roots) {
            Err(RevocationError::Signature) => signatures += 1,
            Err(_) => {}
            // Bits of base64 that stand for nothing, at the end of the last line.
            Ok(list) => assert_eq!(list, RevocationList::from_pem(pem.as_bytes(), &roots).unwrap()),
        }
    }
    assert!(signatures > 50, "only {signatures} changes reached the signature");
}

fn files(paths: &CredentialsPaths) -> [Vec<u8>; 3] {
    [&paths.certificate, &paths.key, &paths.roots].map(|path| fs::read(path).unwrap())
}

fn next(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

#[tokio::test]
async fn a_node_gets_a_new_certificate_for_a_key_that_never_left_it() {
    let network = Network::new();
    let paths = network.issue("node/1");
    let start = || TlsReloader::start(paths.clone(), TlsVersions::Only13, Arc::new(SystemClock)).unwrap();
    let reloader = start();
    let served = serve(reloader.server(), Plane::Public).await;
    let client = network.client("unit/centro/reception/b");
    let identity = reloader.identity();
    let old = network.authority.list().unwrap()[0].clone();
    let request = reloader.request().unwrap();
    assert!(!request.request_pem().contains("PRIVATE"));
    // A second later, so that it lives longer than the one in use.
    let later = SystemTime::now() + Duration::from_secs(1);
    let sign = |request: &str, identity: &Identity| network.authority.answer(request, identity, &old.serial, later);
    let answered = sign(request.request_pem(), &identity).unwrap();
    assert_eq!((&answered.record.names, &answered.record.identity), (&old.names, &old.identity));
    let before = files(&paths);

    // For another key, another node, a program, no longer than before, another authority's, nothing at all.
    let other = reloader.request().unwrap();
    let foreign = Network::new();
    foreign.issue("node/1");
    let of_foreign = foreign.authority.answer(request.request_pem(), &identity, "", later).unwrap();
    let refusals: [(&str, &plantao_client::pki::KeyRequest, &str); 4] = [
        ("KeyOfAnotherCertificate", &other, &answered.certificate_pem),
        ("NotSignedByRoots", &request, &of_foreign.certificate_pem),
        ("Empty", &request, "nada"),
        ("KeyOfAnotherCertificate", &request, std::str::from_utf8(&before[0]).unwrap()),
    ];
    for (why, request, pem) in refusals {
        let refused = reloader.install_certificate(request, pem.as_bytes()).unwrap_err();
        assert!(format!("{refused:?}").contains(why), "{why}: {refused:?}");
    }
    let short = network
        .authority
        .answer(request.request_pem(), &identity, &old.serial, SystemTime::now() - Duration::from_secs(5))
        .unwrap();
    assert!(matches!(
        reloader.install_certificate(&request, short.certificate_pem.as_bytes()),
        Err(InstallError::NotLonger)
    ));
    assert!(sign(request.request_pem(), &"spiffe://clinica/node/2".parse().unwrap()).is_err());
    assert!(sign(&request.request_pem().replace('A', "B"), &identity).is_err());
    // A disk that does not take it.
    fs::create_dir_all(next(&paths.certificate).join("x")).unwrap();
    let refused = reloader.install_certificate(&request, answered.certificate_pem.as_bytes()).unwrap_err();
    assert!(matches!(refused, InstallError::Write { .. }), "{refused:?}");
    fs::remove_dir_all(next(&paths.certificate)).unwrap();
    assert_eq!(files(&paths), before, "a refusal changes no file");
    assert_eq!(reloader.status().borrow().generation, 0);

    let leaf = reloader.install_certificate(&request, answered.certificate_pem.as_bytes()).unwrap();
    assert_eq!(leaf.fingerprint.to_string(), answered.record.fingerprint);
    assert_eq!(reloader.status().borrow().generation, 1);
    assert_eq!(fs::metadata(&paths.key).unwrap().permissions().mode() & 0o777, 0o600);
    check(dial(&client, served.address, ExpectedServer::Node(1))).await.unwrap();
    let after = files(&paths);

    // A crash between the two renames: the key is the new one, the certificate still the old one.
    fs::write(next(&paths.certificate), &after[0]).unwrap();
    fs::write(&paths.certificate, &before[0]).unwrap();
    assert_eq!(start().client().credentials().leaf().fingerprint, leaf.fingerprint);
    assert_eq!(files(&paths), after);
    // A crash before the first: the old pair stays.
    fs::write(next(&paths.certificate), &before[0]).unwrap();
    fs::write(next(&paths.key), &before[1]).unwrap();
    assert_eq!(start().client().credentials().leaf().fingerprint, leaf.fingerprint);
    assert!(!next(&paths.certificate).exists() && !next(&paths.key).exists());
}

#[tokio::test]
async fn roots_that_would_cut_somebody_off_are_refused() {
    let mut network = Network::new();
    let (first_paths, second_paths) = (network.issue("node/1"), network.issue("node/2"));
    let start = |paths: &CredentialsPaths| {
        TlsReloader::start(paths.clone(), TlsVersions::Only13, Arc::new(SystemClock)).unwrap()
    };
    let (first, second) = (start(&first_paths), start(&second_paths));
    let served = serve(first.server(), Plane::Peer).await;
    let peers = PeerChannels::new(second.client());
    let call = || check(peers.channel(1, &served.address.to_string(), Lane::Heartbeat).unwrap());
    call().await.unwrap();
    let old = network.authority.roots_pem().to_owned();
    network.authority.add_root(SystemTime::now()).unwrap();
    let both = network.authority.roots_pem().to_owned();
    for reloader in [&first, &second] {
        reloader.install_roots(both.as_bytes()).unwrap();
    }
    assert!(network.authority.switch_root().unwrap());
    assert!(!network.authority.switch_root().unwrap(), "once");
    let renew = |paths: &CredentialsPaths| {
        let directory = paths.certificate.parent().unwrap();
        network.authority.renew(directory, &"leaf".parse().unwrap(), RenewWhen::Now, SystemTime::now()).unwrap();
    };
    let new = network.authority.roots_pem().replace(&old, "");
    let refused = first.install_roots(new.as_bytes()).unwrap_err();
    assert!(matches!(refused, InstallError::Roots(_)), "its own: {refused:?}");
    renew(&first_paths);
    first.reload().unwrap();
    let refused = first.install_roots(new.as_bytes()).unwrap_err();
    assert!(matches!(refused, InstallError::CutsOff { node: 2 }), "{refused:?}");
    assert_eq!(fs::read(&first_paths.roots).unwrap(), network.authority.roots_pem().as_bytes());

    renew(&second_paths);
    second.reload().unwrap();
    call().await.unwrap();
    // The connection of before ends when its last call has.
    let end = Instant::now() + DEADLINE;
    while let Err(refused) = first.install_roots(new.as_bytes()) {
        assert!(Instant::now() < end, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    second.install_roots(new.as_bytes()).unwrap();
    call().await.unwrap();
}
