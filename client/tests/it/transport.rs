//! An authority, credentials, and a listener with mutual TLS that serves a [`Clinic`].

use crate::clinic::Clinic;
use plantao_client::identity::Slug;
use plantao_client::pki::{Authority, Request};
use plantao_client::retry::RetryPolicy;
use plantao_client::transport::{ALPN_H2, ClientTls, Credentials, CredentialsPaths, TlsVersions, provider};
use plantao_client::{Cluster, ConnectOptions};
use plantao_proto::public::v1;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub struct Network {
    directory: tempfile::TempDir,
    authority: Authority,
}

impl Network {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cluster: Slug = "demo".parse().unwrap();
        let authority = Authority::create(&cluster, &directory.path().join("ca"), SystemTime::now()).unwrap();
        Self { directory, authority }
    }

    fn credentials(&self, identity: &str, name: &str) -> Credentials {
        let into = self.directory.path().join(name);
        let request = Request { identity: identity.parse().unwrap(), names: Vec::new(), lifetime: None };
        self.authority.issue(&request, &into, &name.parse().unwrap(), SystemTime::now()).unwrap();
        Credentials::load(&CredentialsPaths::in_directory(&into, name), SystemTime::now()).unwrap()
    }

    /// Serves `clinic` as node `id`; gives its address.
    pub async fn serve(&self, id: u64, clinic: &Clinic) -> String {
        let credentials = self.credentials(&format!("spiffe://demo/node/{id}"), &format!("node-{id}"));
        let verifier = WebPkiClientVerifier::builder_with_provider(credentials.roots(), provider()).build().unwrap();
        let mut configuration = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(TlsVersions::Only13.as_rustls())
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(credentials.certified_key())));
        configuration.alpn_protocols = vec![ALPN_H2.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(configuration));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tx, rx) = tokio::sync::mpsc::channel::<std::io::Result<tokio::io::DuplexStream>>(16);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, tx) = (acceptor.clone(), tx.clone());
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    // A pipe in between, because it is a stream that the server of tonic takes as it is.
                    let (mut outer, inner) = tokio::io::duplex(256 << 10);
                    if tx.send(Ok(inner)).await.is_ok() {
                        let _ = tokio::io::copy_bidirectional(&mut tls, &mut outer).await;
                    }
                });
            }
        });
        let router = tonic::transport::Server::builder()
            .add_service(v1::directory_service_server::DirectoryServiceServer::new(clinic.clone()))
            .add_service(v1::patient_service_server::PatientServiceServer::new(clinic.clone()))
            .add_service(v1::record_service_server::RecordServiceServer::new(clinic.clone()))
            .add_service(v1::consent_service_server::ConsentServiceServer::new(clinic.clone()))
            .add_service(v1::agenda_service_server::AgendaServiceServer::new(clinic.clone()))
            .add_service(
                v1::image_service_server::ImageServiceServer::new(clinic.clone()).max_decoding_message_size(4 << 20),
            )
            .add_service(v1::change_service_server::ChangeServiceServer::new(clinic.clone()));
        tokio::spawn(router.serve_with_incoming(tokio_stream::wrappers::ReceiverStream::new(rx)));
        address
    }

    /// A program that knows these endpoints.
    pub fn client(&self, name: &str, endpoints: &[String], retry: RetryPolicy) -> Cluster {
        let credentials = self.credentials(&format!("spiffe://demo/unit/rede/integration/{name}"), name);
        let tls = ClientTls::new(Arc::new(credentials), TlsVersions::Only13);
        let options = ConnectOptions { retry, connections: 4, ..ConnectOptions::default() };
        Cluster::with_tls(&tls, endpoints, &tls, &[], &options).unwrap()
    }
}

/// Deadlines that a slow machine keeps.
pub fn patient() -> RetryPolicy {
    RetryPolicy {
        attempt_timeout: Duration::from_secs(20),
        read_deadline: Duration::from_secs(30),
        ..RetryPolicy::default()
    }
}

/// For calls that are to run out of time.
pub fn hasty() -> RetryPolicy {
    RetryPolicy {
        write_lifetime: Duration::from_millis(1_500),
        read_deadline: Duration::from_millis(1_500),
        ..patient()
    }
}

/// Each endpoint is asked once and has time to answer: the pause after them is longer than the life of the call, so
/// that no try is cut short by its end.
pub fn one_round() -> RetryPolicy {
    RetryPolicy {
        write_lifetime: Duration::from_secs(30),
        pause_min: Duration::from_secs(600),
        pause_max: Duration::from_secs(600),
        ..patient()
    }
}

/// An address where nobody listens, for as long as this process lives: the port is taken, so that no other test gets
/// it.
pub async fn nobody() -> String {
    static TAKEN: std::sync::Mutex<Vec<tokio::net::TcpSocket>> = std::sync::Mutex::new(Vec::new());
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    TAKEN.lock().unwrap().push(socket);
    address
}
