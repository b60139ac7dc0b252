//! A connection that ends as soon as the certificate at its other end is revoked. Everything else about a connection is
//! somebody else's: age, silence, roots that were withdrawn.

use super::revocation::{CertificateId, Revocations};
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `S` for as long as the other end's certificate is good.
pub struct Guarded<S> {
    stream: S,
    /// Polled with each read, of which HTTP/2 always has one waiting: so the end wakes the connection's own task.
    revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: bool,
}

impl<S> fmt::Debug for Guarded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("over", &self.over).finish_non_exhaustive()
    }
}

impl<S> Guarded<S> {
    /// Guards a connection whose other end showed `leaf`.
    pub fn new(stream: S, leaf: Option<&CertificateDer<'_>>, revocations: &Revocations) -> Self {
        let revoked = Box::pin(revocations.clone().revoked(leaf.and_then(CertificateId::of)));
        Self { stream, revoked, over: false }
    }

    fn check(&mut self) -> io::Result<()> {
        if self.over {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the certificate of the other end is revoked",
            ));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.over && self.revoked.as_mut().poll(cx).is_ready() {
            self.over = true;
        }
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
