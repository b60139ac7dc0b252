//! Real sockets, real certificates: what is let in, and above all what is not.

use super::*;
use crate::clock::{Clock, ScriptedClock, SharedClock, SystemClock};
use plantao_client::identity::{Identity, Kind};
use plantao_client::pki::{Authority, RenewWhen, Request as Wanted, SignedLeaf, Signer, UncheckedLeaf, Usage};
use plantao_client::transport::{
    ChannelOptions, ClientTls, Credentials, CredentialsError, CredentialsPaths, ExpectedServer, Fingerprint,
    Revocations, Target, TlsVersions, channel, provider, unix_seconds,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

mod revocation;

const DEADLINE: Duration = Duration::from_secs(30);
const HOUR: i64 = 3600;

/// An authority and a place for what it issues.
struct Network {
    directory: TempDir,
    authority: Authority,
}

impl Network {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority =
            Authority::create(&"clinica".parse().unwrap(), &directory.path().join("pki"), SystemTime::now()).unwrap();
        Self { directory, authority }
    }

    /// Files of a checked certificate for `spiffe://clinica/<path>`.
    fn issue(&self, path: &str) -> CredentialsPaths {
        let identity: Identity = format!("spiffe://clinica/{path}").parse().unwrap();
        let names = if identity.is_node() { vec!["localhost".parse().unwrap()] } else { Vec::new() };
        let into = self.directory.path().join(path.replace('/', "-"));
        let name = "leaf".parse().unwrap();
        let wanted = Wanted { identity, names, lifetime: None };
        self.authority.issue(&wanted, &into, &name, SystemTime::now()).unwrap();
        CredentialsPaths::in_directory(&into, "leaf")
    }

    fn client(&self, path: &str) -> ClientTls {
        let credentials = Credentials::load(&self.issue(path), SystemTime::now()).unwrap();
        ClientTls::new(Arc::new(credentials), TlsVersions::Only13)
    }

    fn reloader(&self, path: &str) -> Arc<TlsReloader> {
        TlsReloader::start(self.issue(path), TlsVersions::Only13, Arc::new(SystemClock)).unwrap()
    }

    fn sign(&self, leaf: &UncheckedLeaf) -> SignedLeaf {
        self.authority.sign_unchecked(leaf).unwrap()
    }
}

/// A good program's leaf, to be spoilt.
fn leaf() -> UncheckedLeaf {
    let now = unix_seconds(SystemTime::now());
    UncheckedLeaf {
        uris: vec!["spiffe://clinica/unit/centro/integration/agenda".to_owned()],
        names: Vec::new(),
        not_before: now - HOUR,
        not_after: now + HOUR,
        usages: vec![Usage::Client],
        signer: Signer::Root,
    }
}

/// A health service on a plane.
struct Served {
    address: SocketAddr,
    meter: AcceptorMeter,
    seen: Arc<Mutex<Vec<(Identity, Fingerprint)>>>,
    _task: JoinSet<()>,
}

impl Served {
    fn fingerprint(&self) -> Fingerprint {
        self.seen.lock().unwrap().last().unwrap().1
    }

    async fn wait_for(&self, what: impl Fn(AcceptorCounts) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !what(self.meter.counts()) {
            assert!(Instant::now() < end, "not within the deadline: {:?}", self.meter);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn options(plane: Plane) -> AcceptorOptions {
    AcceptorOptions::for_plane(plane, "127.0.0.1:0".parse().unwrap())
}

async fn serve(tls: ServerTls, plane: Plane) -> Served {
    serve_with(tls, plane, options(plane), Arc::new(SystemClock)).await
}

async fn serve_with(tls: ServerTls, plane: Plane, options: AcceptorOptions, clock: SharedClock) -> Served {
    let acceptor = Acceptor::bind(options, tls.clone()).await.unwrap();
    let (address, meter) = (acceptor.local_addr(), acceptor.meter());
    assert_ne!(address.port(), 0);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let (_, health) = tonic_health::server::health_reporter();
    let health = InterceptedService::new(health, move |request: Request<()>| {
        let peer = peer_identity(&request)?;
        record.lock().unwrap().push((peer.identity.clone(), peer.fingerprint));
        Ok(request)
    });
    let mut task = JoinSet::new();
    task.spawn(async move {
        server(&ServerLimits::for_plane(plane), PlaneLayer::new(plane, tls, clock))
            .add_service(health)
            .serve_with_incoming_shutdown(acceptor.incoming(), std::future::pending())
            .await
            .unwrap();
    });
    Served { address, meter, seen, _task: task }
}

fn dial(tls: &ClientTls, address: SocketAddr, expected: ExpectedServer) -> Channel {
    let options = ChannelOptions { connect_timeout: DEADLINE, ..ChannelOptions::default() };
    channel(tls, &Target { address: address.to_string(), expected }, &options).unwrap()
}

async fn check(channel: Channel) -> Result<(), Status> {
    let request = HealthCheckRequest { service: String::new() };
    let call = async move { HealthClient::new(channel).check(request).await.map(|_| ()) };
    tokio::time::timeout(DEADLINE, call).await.expect("an answer within the deadline")
}

/// A client without any of our checks. The server speaks first (its SETTINGS), so a read tells whether it let us in.
async fn knock(
    address: SocketAddr,
    network: &Network,
    certificate: Option<&SignedLeaf>,
    versions: TlsVersions,
) -> io::Result<usize> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(network.authority.roots_pem().as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let version = match versions {
        TlsVersions::Only13 => &rustls::version::TLS13,
        TlsVersions::From12 => &rustls::version::TLS12,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let mut configuration = match certificate {
        None => builder.with_no_client_auth(),
        Some(signed) => {
            let chain = vec![CertificateDer::from_pem_slice(signed.certificate_pem.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(signed.key_pem.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    configuration.alpn_protocols = vec![b"h2".to_vec()];
    let attempt = async {
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(configuration)).connect(name, tcp).await?;
        match stream.read(&mut [0; 64]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    };
    tokio::time::timeout(DEADLINE, attempt).await.expect("let in or refused within the deadline")
}

#[tokio::test]
async fn a_good_certificate_reaches_the_service_under_its_identity() {
    let network = Network::new();
    let served = serve(network.reloader("node/1").server(), Plane::Public).await;
    let client = network.client("unit/centro/reception/balcao-1");
    check(dial(&client, served.address, ExpectedServer::AnyNode)).await.unwrap();
    check(dial(&client, served.address, ExpectedServer::Node(1))).await.unwrap();
    let (identity, fingerprint) = served.seen.lock().unwrap().last().unwrap().clone();
    assert_eq!(identity.to_string(), "spiffe://clinica/unit/centro/reception/balcao-1");
    assert_eq!(fingerprint, client.credentials().leaf().fingerprint);
    assert_eq!(served.meter.counts(), AcceptorCounts { accepted: 2, ..AcceptorCounts::default() });
}

/// A handler that is reached without an acceptor must not find an identity by accident.
#[test]
fn without_a_connection_of_ours_there_is_no_identity() {
    assert_eq!(peer_identity(&Request::new(())).unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn bad_certificates_are_refused_in_the_handshake() {
    let network = Network::new();
    let foreign = Network::new();
    let served = serve(network.reloader("node/1").server(), Plane::Public).await;
    let now = unix_seconds(SystemTime::now());
    let uris = |uris: &[&str]| uris.iter().map(|uri| (*uri).to_owned()).collect::<Vec<_>>();
    let cases: Vec<(&str, Option<SignedLeaf>, &str)> = vec![
        ("none", None, "CertificateRequired"),
        ("expired", Some(network.sign(&UncheckedLeaf { not_after: now - 60, ..leaf() })), "CertificateExpired"),
        ("not yet valid", Some(network.sign(&UncheckedLeaf { not_before: now + 600, ..leaf() })), "alert"),
        ("of a foreign authority", Some(foreign.sign(&leaf())), "UnknownCA"),
        ("self-signed", Some(network.sign(&UncheckedLeaf { signer: Signer::Itself, ..leaf() })), "UnknownCA"),
        ("for servers only", Some(network.sign(&UncheckedLeaf { usages: vec![Usage::Server], ..leaf() })), "alert"),
        ("without a URI", Some(network.sign(&UncheckedLeaf { uris: Vec::new(), ..leaf() })), "alert"),
        (
            "with a URI that is no identity",
            Some(network.sign(&UncheckedLeaf { uris: uris(&["spiffe://clinica/node/0"]), ..leaf() })),
            "alert",
        ),
        (
            "with two identities",
            Some(network.sign(&UncheckedLeaf {
                uris: uris(&["spiffe://clinica/node/1", "spiffe://clinica/node/2"]),
                ..leaf()
            })),
            "alert",
        ),
        (
            "of another cluster",
            Some(
                network
                    .sign(&UncheckedLeaf { uris: uris(&["spiffe://outra/unit/centro/integration/agenda"]), ..leaf() }),
            ),
            "alert",
        ),
    ];
    let count = cases.len() as u64;
    for (what, certificate, alert) in cases {
        let error = knock(served.address, &network, certificate.as_ref(), TlsVersions::Only13).await.unwrap_err();
        let text = format!("{error:?} {error}");
        assert!(text.contains(alert), "{what}: {text}");
    }
    served.wait_for(|counts| counts.refused == count).await;
    assert_eq!(served.meter.counts().accepted, 0);
    // The same client with a good certificate gets in: it was the certificates.
    let good = network.sign(&leaf());
    knock(served.address, &network, Some(&good), TlsVersions::Only13).await.unwrap();
    // TLS 1.2 has to be asked for.
    let error = knock(served.address, &network, Some(&good), TlsVersions::From12).await.unwrap_err();
    assert!(format!("{error:?}").contains("ProtocolVersion"), "{error:?}");
}

#[tokio::test]
async fn plaintext_on_the_tls_port_is_closed() {
    let network = Network::new();
    let served = serve(network.reloader("node/1").server(), Plane::Public).await;
    for text in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        let mut tcp = TcpStream::connect(served.address).await.unwrap();
        tcp.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(DEADLINE, tcp.read_to_end(&mut answer)).await.expect("closed within the deadline");
        // At most a TLS alert (record type 21), never HTTP.
        assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    }
    served.wait_for(|counts| counts.refused == 2).await;
}

#[tokio::test]
async fn a_silent_caller_is_dropped_and_holds_up_nobody() {
    let network = Network::new();
    let options = AcceptorOptions { handshake_timeout: Duration::from_secs(10), ..options(Plane::Public) };
    let tls = network.reloader("node/1").server();
    let served = serve_with(tls, Plane::Public, options, Arc::new(SystemClock)).await;
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    check(dial(&network.client("unit/centro/reception/b"), served.address, ExpectedServer::AnyNode)).await.unwrap();
    let read = tokio::time::timeout(DEADLINE, silent.read(&mut [0; 1])).await.expect("dropped within the deadline");
    assert!(matches!(read, Ok(0) | Err(_)));
    served.wait_for(|counts| counts.timed_out == 1).await;
}

#[tokio::test]
async fn one_address_or_one_identity_cannot_take_everything() {
    let network = Network::new();
    let tls = network.reloader("node/1").server();
    let limited = AcceptorOptions { connections_per_identity_max: 1, ..options(Plane::Public) };
    let served = serve_with(tls.clone(), Plane::Public, limited, Arc::new(SystemClock)).await;
    let reception = network.client("unit/centro/reception/b");
    let first = dial(&reception, served.address, ExpectedServer::AnyNode);
    check(first.clone()).await.unwrap();
    check(dial(&reception, served.address, ExpectedServer::AnyNode)).await.unwrap_err();
    check(dial(&network.client("unit/centro/finance/f"), served.address, ExpectedServer::AnyNode)).await.unwrap();
    check(first).await.unwrap();
    assert!(served.meter.counts().crowded >= 1);

    let limited = AcceptorOptions { handshakes_per_address_max: 1, ..options(Plane::Public) };
    let served = serve_with(tls, Plane::Public, limited, Arc::new(SystemClock)).await;
    let _silent = TcpStream::connect(served.address).await.unwrap();
    let mut second = TcpStream::connect(served.address).await.unwrap();
    let read = tokio::time::timeout(DEADLINE, second.read(&mut [0; 1])).await.expect("closed within the deadline");
    assert!(matches!(read, Ok(0) | Err(_)));
    assert_eq!(served.meter.counts().crowded, 1);
}

#[tokio::test]
async fn each_plane_serves_its_own_and_says_so_to_others() {
    let network = Network::new();
    let tls = network.reloader("node/1").server();
    for (plane, path, refusal) in [
        (Plane::Public, "node/2", Some("people and programs")),
        (Plane::Public, "unit/rede/operator/o1", None),
        (Plane::Admin, "unit/centro/reception/b1", Some("operators")),
        (Plane::Admin, "unit/centro/clinician/c1", Some("operators")),
        (Plane::Admin, "node/3", Some("operators")),
        (Plane::Admin, "unit/rede/operator/o2", None),
        (Plane::Admin, "unit/rede/auditor/a", None),
        (Plane::Admin, "unit/rede/dpo/d", None),
        (Plane::Admin, "unit/centro/manager/m", None),
        (Plane::Peer, "unit/rede/operator/o3", Some("nodes only")),
        (Plane::Peer, "node/4", None),
        (Plane::Peer, "node/new/cofre", Some("only ask to join")),
    ] {
        let served = serve(tls.clone(), plane).await;
        let result = check(dial(&network.client(path), served.address, ExpectedServer::Node(1))).await;
        match refusal {
            None => result.unwrap(),
            Some(words) => {
                let status = result.unwrap_err();
                assert_eq!(status.code(), Code::PermissionDenied, "{plane} {path}");
                assert!(status.message().contains(words), "{plane} {path}: {}", status.message());
                assert!(served.seen.lock().unwrap().is_empty(), "a refused request reached the service");
            }
        }
    }
    for kind in Kind::ALL {
        let identity: Identity = format!("spiffe://clinica/unit/centro/{kind}/x").parse().unwrap();
        assert!(Plane::Public.admits(&identity) && !Plane::Peer.admits(&identity));
    }
}

#[tokio::test]
async fn the_dialer_takes_only_the_node_it_called() {
    let network = Network::new();
    let served = serve(network.reloader("node/2").server(), Plane::Peer).await;
    let caller = network.client("node/1");
    check(dial(&caller, served.address, ExpectedServer::Node(2))).await.unwrap();
    let status = check(dial(&caller, served.address, ExpectedServer::Node(3))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(format!("{status:?}").contains("UnexpectedNode"), "{status:?}");

    let now = SystemTime::now();
    let server_of = |uri: &str, usages: Vec<Usage>| {
        let signed = network.sign(&UncheckedLeaf { uris: vec![uri.to_owned()], usages, ..leaf() });
        let roots = network.authority.roots_pem().as_bytes();
        Credentials::from_pem(signed.certificate_pem.as_bytes(), signed.key_pem.as_bytes(), roots, now).unwrap()
    };
    let both = || vec![Usage::Server, Usage::Client];
    for (uri, why) in [("spiffe://outra/node/2", "OtherCluster"), ("spiffe://clinica/node/new/n", "NotANode")] {
        let tls = ServerTls::new(&server_of(uri, both()), TlsVersions::Only13, Revocations::default(), now).unwrap();
        let served = serve(tls, Plane::Peer).await;
        let status = check(dial(&caller, served.address, ExpectedServer::AnyNode)).await.unwrap_err();
        assert!(format!("{status:?}").contains(why), "{uri}: {status:?}");
    }
    // Under a foreign root the identity does not help.
    let foreign = Network::new();
    let served = serve(foreign.reloader("node/2").server(), Plane::Peer).await;
    let status = check(dial(&caller, served.address, ExpectedServer::Node(2))).await.unwrap_err();
    assert!(format!("{status:?}").contains("UnknownIssuer"), "{status:?}");

    let program = server_of("spiffe://clinica/unit/centro/integration/x", both());
    let server = |credentials| ServerTls::new(credentials, TlsVersions::Only13, Revocations::default(), now);
    assert!(matches!(server(&program), Err(ServerTlsError::NotANode)));
    let client_only = server_of("spiffe://clinica/node/2", vec![Usage::Client]);
    assert!(matches!(server(&client_only), Err(ServerTlsError::NotForServers(_))));
}

#[tokio::test]
async fn a_certificate_that_expires_while_connected_is_refused_at_the_next_request() {
    let network = Network::new();
    let clock = Arc::new(ScriptedClock::new(SystemClock.now().millis()));
    let tls = network.reloader("node/1").server();
    let served = serve_with(tls, Plane::Public, options(Plane::Public), Arc::<ScriptedClock>::clone(&clock)).await;
    let client = network.client("unit/centro/reception/b");
    let channel = dial(&client, served.address, ExpectedServer::AnyNode);
    let last_second = client.credentials().leaf().not_after;
    clock.set(last_second * 1000 + 999);
    check(channel.clone()).await.unwrap();
    clock.set((last_second + 1) * 1000);
    let status = check(channel.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("expired while connected"), "{}", status.message());
    assert_eq!(served.meter.counts().accepted, 1, "it was one connection");
}

#[tokio::test]
async fn roots_rotate_side_by_side_and_a_withdrawn_one_ends_open_connections() {
    let mut network = Network::new();
    let paths = network.issue("node/1");
    let reloader = TlsReloader::start(paths.clone(), TlsVersions::Only13, Arc::new(SystemClock)).unwrap();
    let served = serve(reloader.server(), Plane::Public).await;
    let old_client = network.client("unit/centro/reception/antiga");
    let old_channel = dial(&old_client, served.address, ExpectedServer::Node(1));
    check(old_channel.clone()).await.unwrap();

    network.authority.rotate_root(SystemTime::now()).unwrap();
    let new_client = network.client("unit/centro/reception/nova");
    check(dial(&new_client, served.address, ExpectedServer::Node(1))).await.expect_err("its root is not known yet");
    fs::write(&paths.roots, network.authority.roots_pem()).unwrap();
    assert_eq!(reloader.reload().unwrap(), Reloaded::Swapped);
    check(dial(&new_client, served.address, ExpectedServer::Node(1))).await.unwrap();
    check(old_channel.clone()).await.unwrap();
    check(dial(&old_client, served.address, ExpectedServer::Node(1))).await.unwrap();

    let directory = paths.certificate.parent().unwrap();
    network.authority.renew(directory, &"leaf".parse().unwrap(), RenewWhen::Now, SystemTime::now()).unwrap();
    network.authority.retire_old_roots().unwrap();
    fs::write(&paths.roots, network.authority.roots_pem()).unwrap();
    assert_eq!(reloader.reload().unwrap(), Reloaded::Swapped);
    check(dial(&new_client, served.address, ExpectedServer::Node(1))).await.unwrap();
    let status = check(old_channel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("no longer trusted"), "{}", status.message());
    check(dial(&old_client, served.address, ExpectedServer::Node(1))).await.expect_err("its root was withdrawn");
}

#[tokio::test]
async fn a_bad_reload_keeps_what_works_and_is_reported_until_it_is_good() {
    let network = Network::new();
    let paths = network.issue("node/1");
    let reloader = TlsReloader::start(paths.clone(), TlsVersions::Only13, Arc::new(SystemClock)).unwrap();
    let status = reloader.status();
    let served = serve(reloader.server(), Plane::Public).await;
    let client = network.client("unit/centro/reception/b");
    let other = network.issue("node/2");
    let good = [&paths.certificate, &paths.key, &paths.roots].map(|path| fs::read(path).unwrap());
    let restore = || {
        for (path, bytes) in [&paths.certificate, &paths.key, &paths.roots].into_iter().zip(&good) {
            fs::write(path, bytes).unwrap();
        }
        fs::set_permissions(&paths.key, fs::Permissions::from_mode(0o600)).unwrap();
    };
    type Spoil<'a> = Box<dyn Fn() + 'a>;
    let cases: Vec<(&str, Spoil<'_>)> = vec![
        ("Damaged", Box::new(|| fs::write(&paths.certificate, &good[0][..good[0].len() / 2]).unwrap())),
        ("Empty", Box::new(|| fs::write(&paths.roots, "lixo").unwrap())),
        ("KeyOfAnotherCertificate", Box::new(|| assert_ne!(fs::copy(&other.key, &paths.key).unwrap(), 0))),
        ("Read", Box::new(|| fs::remove_file(&paths.roots).unwrap())),
        (
            "KeyReadableByOthers",
            Box::new(|| fs::set_permissions(&paths.key, fs::Permissions::from_mode(0o640)).unwrap()),
        ),
        (
            "IdentityChanged",
            Box::new(|| {
                fs::copy(&other.key, &paths.key).unwrap();
                fs::copy(&other.certificate, &paths.certificate).unwrap();
            }),
        ),
    ];
    for (index, (error, spoil)) in cases.iter().enumerate() {
        spoil();
        let refused = reloader.reload().unwrap_err();
        assert!(format!("{refused:?}").contains(error), "{error}: {refused:?}");
        assert!(status.borrow().failure.is_some());
        assert_eq!((status.borrow().failures, status.borrow().generation), (index as u64 + 1, 0));
        check(dial(&client, served.address, ExpectedServer::Node(1))).await.unwrap();
        restore();
        assert_eq!(reloader.reload().unwrap(), Reloaded::Unchanged);
        assert!(status.borrow().failure.is_none());
    }
}

#[tokio::test]
async fn a_renewed_leaf_is_found_by_itself_and_new_channels_present_it() {
    let network = Network::new();
    let served = serve(network.reloader("node/2").server(), Plane::Peer).await;
    let paths = network.issue("node/1");
    let reloader = TlsReloader::start(paths.clone(), TlsVersions::Only13, Arc::new(SystemClock)).unwrap();
    let mut status = reloader.status();
    let mut task = JoinSet::new();
    task.spawn(Arc::clone(&reloader).run(Duration::from_millis(20)));
    let peers = PeerChannels::new(reloader.client());
    let address = served.address.to_string();
    let call = |lane| check(peers.channel(2, &address, lane).unwrap());
    call(Lane::Heartbeat).await.unwrap();
    let before = served.fingerprint();

    let directory = paths.certificate.parent().unwrap();
    network.authority.renew(directory, &"leaf".parse().unwrap(), RenewWhen::Now, SystemTime::now()).unwrap();
    let swapped = status.wait_for(|status| status.generation == 1);
    let _ = tokio::time::timeout(DEADLINE, swapped).await.expect("reloaded within the deadline").unwrap().clone();
    call(Lane::Heartbeat).await.unwrap();
    let after = served.fingerprint();
    assert_ne!(before, after);
    assert_eq!(after, reloader.client().credentials().leaf().fingerprint);
}

#[tokio::test]
async fn each_lane_has_a_connection_of_its_own_and_follows_the_address() {
    let network = Network::new();
    let first = serve(network.reloader("node/2").server(), Plane::Peer).await;
    let peers = PeerChannels::new(network.client("node/1"));
    let address = first.address.to_string();
    for _ in 0..2 {
        for lane in Lane::ALL {
            check(peers.channel(2, &address, lane).unwrap()).await.unwrap();
        }
    }
    assert_eq!(first.meter.counts().accepted, Lane::ALL.len() as u64);

    // The node moved, and its old address is another node's now.
    let tls = network.reloader("node/3").server();
    let moved = serve(tls, Plane::Peer).await;
    let status = check(peers.channel(2, &moved.address.to_string(), Lane::Entries).unwrap()).await.unwrap_err();
    assert!(format!("{status:?}").contains("UnexpectedNode"), "{status:?}");
    check(peers.channel(2, &address, Lane::Entries).unwrap()).await.unwrap();
    peers.forget(2);
    check(peers.channel(2, &address, Lane::Entries).unwrap()).await.unwrap();
    assert!(peers.channel(2, "no-port", Lane::Entries).is_err());
}

#[test]
fn a_node_does_not_start_with_a_key_that_others_can_read() {
    let network = Network::new();
    let paths = network.issue("node/1");
    fs::set_permissions(&paths.key, fs::Permissions::from_mode(0o604)).unwrap();
    let error = TlsReloader::start(paths, TlsVersions::Only13, Arc::new(SystemClock)).unwrap_err();
    let ReloadError::Credentials(CredentialsError::KeyReadableByOthers { mode, .. }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(mode, 0o604);
}
