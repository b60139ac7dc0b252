//! Sockets: the machine's, or those of whoever brings others, as a simulation does. Everything above, TLS first, is the same
//! on both; nothing but this file opens one.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A future on the heap, for what is behind a trait object.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection that somebody else brings.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Where its other end is.
    ///
    /// # Errors
    /// It is not connected any more.
    fn peer_addr(&self) -> io::Result<SocketAddr>;
}

/// A port that somebody else opened.
pub trait Port: Send + Sync + 'static {
    /// Where it listens.
    ///
    /// # Errors
    /// It is closed.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The next connection, and where it comes from. Must be cancel safe.
    fn accept(&self) -> Later<'_, io::Result<(Box<dyn Socket>, SocketAddr)>>;
}

/// Connections and ports that somebody else brings.
pub trait Sockets: Send + Sync + 'static {
    /// Connects to `host:port`.
    fn connect<'a>(&'a self, address: &'a str) -> Later<'a, io::Result<Box<dyn Socket>>>;

    /// Opens a port.
    fn listen(&self, address: SocketAddr) -> Later<'_, io::Result<Box<dyn Port>>>;
}

/// Where sockets come from.
#[derive(Clone, Default)]
pub enum Network {
    /// The operating system.
    #[default]
    System,
    /// Somebody else.
    Foreign(Arc<dyn Sockets>),
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Foreign(_) => "Foreign",
        })
    }
}

impl Network {
    /// Opens a port; port 0 takes any free one.
    ///
    /// # Errors
    /// The port is taken, or not ours to open.
    pub async fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        Ok(match self {
            Self::System => Listener::Tcp(TcpListener::bind(address).await?),
            Self::Foreign(sockets) => Listener::Foreign(sockets.listen(address).await?),
        })
    }

    /// Connects to `host:port`: to the first address of the name that answers, as [`TcpStream::connect`] does. Nothing that is
    /// sent waits for more. `send_buffer_bytes` bounds what the system may hold to be sent.
    pub(super) async fn connect(&self, address: &str, send_buffer_bytes: Option<u32>) -> io::Result<Stream> {
        let tcp = match (self, send_buffer_bytes) {
            (Self::Foreign(sockets), _) => return Ok(Stream::Foreign(sockets.connect(address).await?)),
            (Self::System, None) => TcpStream::connect(address).await?,
            (Self::System, Some(bytes)) => connect_with_buffer(address, bytes).await?,
        };
        tcp.set_nodelay(true)?;
        Ok(Stream::Tcp(tcp))
    }
}

async fn connect_with_buffer(address: &str, bytes: u32) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Before connecting: the system makes its windows by it.
        socket.set_send_buffer_size(bytes)?;
        match socket.connect(address).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// An open port.
pub enum Listener {
    /// Of the operating system.
    Tcp(TcpListener),
    /// Of somebody else.
    Foreign(Box<dyn Port>),
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.local_addr().ok()).finish()
    }
}

impl Listener {
    /// Where it really listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Foreign(port) => port.local_addr(),
        }
    }

    /// The next connection, and where it comes from; nothing that is sent on it waits for more. Cancel safe.
    ///
    /// # Errors
    /// No file descriptor is left, or the caller is gone already.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (tcp, from) = listener.accept().await?;
                tcp.set_nodelay(true)?;
                Ok((Stream::Tcp(tcp), from))
            }
            Self::Foreign(port) => {
                let (socket, from) = port.accept().await?;
                Ok((Stream::Foreign(socket), from))
            }
        }
    }
}

/// A connection, before TLS.
pub enum Stream {
    /// Of the operating system.
    Tcp(TcpStream),
    /// Of somebody else.
    Foreign(Box<dyn Socket>),
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.peer_addr().ok()).finish()
    }
}

impl Stream {
    /// Where its other end is.
    ///
    /// # Errors
    /// It is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.peer_addr(),
            Self::Foreign(socket) => socket.peer_addr(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Foreign(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Foreign(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Foreign(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            Self::Foreign(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Foreign(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Foreign(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}
