//! Calls as a broken or hostile program makes them: with any certificate, any bytes, and no retry.

use bytes::{Buf, BufMut, Bytes};
use plantao_client::pki::SignedLeaf;
use plantao_client::transport::{
    ChannelOptions, ClientTls, Credentials, CredentialsPaths, ExpectedServer, Target, TlsVersions, channel,
};
use plantao_tests::network::Network;
use plantao_tests::wait::PATIENCE;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A channel to `address` with these files.
pub(crate) fn with_files(network: &Network, certificate: &Path, key: &Path, address: &str) -> Channel {
    let paths = CredentialsPaths { certificate: certificate.into(), key: key.into(), roots: network.roots() };
    let credentials = Credentials::load(&paths, SystemTime::now()).unwrap();
    let tls = ClientTls::new(Arc::new(credentials), TlsVersions::Only13);
    let target = Target { address: address.to_owned(), expected: ExpectedServer::AnyNode };
    // Nobody tries again here, so the machine has time.
    let options = ChannelOptions { connect_timeout: PATIENCE, keep_alive_timeout: PATIENCE, ..Default::default() };
    channel(&tls, &target, &options).unwrap()
}

/// Writes a leaf and its key and gives their paths.
pub(crate) fn write_leaf(directory: &Path, name: &str, leaf: &SignedLeaf) -> (std::path::PathBuf, std::path::PathBuf) {
    use std::os::unix::fs::OpenOptionsExt;
    let (certificate, key) = (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
    std::fs::write(&certificate, &leaf.certificate_pem).unwrap();
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key);
    std::io::Write::write_all(&mut file.unwrap(), leaf.key_pem.as_bytes()).unwrap();
    (certificate, key)
}

/// Sends `body` as the one message of a unary call, whatever it is; gives the bytes of the answer.
pub(crate) async fn call(channel: Channel, path: &'static str, body: Bytes) -> Result<Bytes, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let answer = grpc.unary(Request::new(body), tonic::codegen::http::uri::PathAndQuery::from_static(path), Bare).await;
    answer.map(tonic::Response::into_inner)
}

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct Bare;

impl Codec for Bare {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bare {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Bare {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
