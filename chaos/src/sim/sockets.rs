//! The simulated network's sockets, as the product wants them. TLS and everything above is the product's.

use plantao_client::transport::{Later, Network, Port, Socket, Sockets};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

/// The network of the simulation. To be used on its hosts only.
pub(crate) fn network() -> Network {
    Network::Foreign(Arc::new(Simulated))
}

struct Simulated;

impl Sockets for Simulated {
    fn connect<'a>(&'a self, address: &'a str) -> Later<'a, io::Result<Box<dyn Socket>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(Connection(stream)) as Box<dyn Socket>)
        })
    }

    fn listen(&self, address: SocketAddr) -> Later<'_, io::Result<Box<dyn Port>>> {
        Box::pin(async move {
            // A host has one address, and the simulator opens ports on all of them only.
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await?;
            Ok(Box::new(OpenPort(listener)) as Box<dyn Port>)
        })
    }
}

struct OpenPort(TcpListener);

impl Port for OpenPort {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn accept(&self) -> Later<'_, io::Result<(Box<dyn Socket>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.0.accept().await?;
            Ok((Box::new(Connection(stream)) as Box<dyn Socket>, from))
        })
    }
}

struct Connection(TcpStream);

impl Socket for Connection {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
