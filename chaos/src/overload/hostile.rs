//! A caller with a good certificate that keeps no rule of HTTP/2: frames are written as they are, whatever a library would
//! refuse to send. What each frame is stands in RFC 9113, section 6; how headers are packed in RFC 7541.

use plantao_client::transport::{ClientConnection, ClientTls, ConnectError, ExpectedServer, Target, connect};
use prost::Message;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt, WriteHalf, split};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;
const CANCEL: u32 = 8;
/// The most that a window may be: everything is to be sent at once.
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// Streams of callers have odd numbers below 2^31.
const STREAM_MAX: u32 = WINDOW_MAX;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// What it calls: large answers, as a stream.
const PATH: &[u8] = b"/plantao.public.v1.ImageService/ReadImage";

/// Where it goes, and as whom.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) tls: ClientTls,
    /// `host:port`.
    pub(super) address: String,
}

impl Door {
    /// A connection, through the handshake and silent.
    pub(super) async fn open(&self) -> Result<ClientConnection, ConnectError> {
        let target = Target { address: self.address.clone(), expected: ExpectedServer::AnyNode };
        connect(&self.tls, &target, CONNECT_TIME_MAX).await
    }

    /// A connection on which everything that comes is read and thrown away, until the other side ends it.
    pub(super) async fn speak(&self) -> Result<Speaker<WriteHalf<ClientConnection>>, Fault> {
        let (mut answers, out) = split(self.open().await?);
        tokio::spawn(async move { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await });
        Speaker::begin(out).await
    }

    /// A connection from which nothing is ever read.
    pub(super) async fn speak_only(&self) -> Result<Speaker<ClientConnection>, Fault> {
        Speaker::begin(self.open().await?).await
    }
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("not let in")]
    Connect(#[from] ConnectError),
    #[error("the connection was ended")]
    Ended(#[from] io::Error),
    #[error("no stream is left")]
    Used,
}

/// Writes frames.
pub(super) struct Speaker<W> {
    out: W,
    frames: Vec<u8>,
    next: u32,
}

impl<W: AsyncWrite + Unpin> Speaker<W> {
    async fn begin(out: W) -> Result<Self, Fault> {
        let mut speaker = Self { out, frames: PREFACE.to_vec(), next: 1 };
        let mut window = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        window.extend(WINDOW_MAX.to_be_bytes());
        speaker.frame(SETTINGS, 0, 0, &window);
        // It begins with 65,535.
        speaker.frame(WINDOW_UPDATE, 0, 0, &(WINDOW_MAX - 65_535).to_be_bytes());
        speaker.send().await?;
        Ok(speaker)
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.frames.extend(&length[1..]);
        self.frames.extend([kind, flags]);
        self.frames.extend(stream.to_be_bytes());
        self.frames.extend(payload);
    }

    async fn send(&mut self) -> io::Result<()> {
        let sent = async {
            self.out.write_all(&self.frames).await?;
            self.out.flush().await
        };
        let sent = sent.await;
        self.frames.clear();
        sent
    }

    fn call(&mut self) -> Result<u32, Fault> {
        let stream = self.next;
        if stream >= STREAM_MAX {
            return Err(Fault::Used);
        }
        self.next += 2;
        self.frame(HEADERS, END_HEADERS, stream, &headers());
        Ok(stream)
    }

    /// Calls and gives up in the same breath, so often.
    pub(super) async fn reset(&mut self, times: u32) -> Result<(), Fault> {
        for _ in 0..times {
            let stream = self.call()?;
            self.frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
        }
        Ok(self.send().await?)
    }

    /// Begins a call that gets nothing but empty frames.
    pub(super) fn begin_empty(&mut self) -> Result<u32, Fault> {
        self.call()
    }

    /// So many frames of no bytes for a call.
    pub(super) async fn empty(&mut self, stream: u32, times: u32) -> Result<(), Fault> {
        (0..times).for_each(|_| self.frame(DATA, 0, stream, &[]));
        Ok(self.send().await?)
    }

    /// Calls with one message, so often.
    pub(super) async fn ask(&mut self, message: &impl Message, times: u32) -> Result<(), Fault> {
        let message = message.encode_to_vec();
        // Not compressed, and its length.
        let mut body = vec![0];
        body.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
        body.extend(message);
        for _ in 0..times {
            let stream = self.call()?;
            self.frame(DATA, END_STREAM, stream, &body);
        }
        Ok(self.send().await?)
    }
}

/// `:method POST`, `:scheme http`, and the rest as literals that nobody has to remember.
fn headers() -> Vec<u8> {
    let mut packed = vec![0x83, 0x86];
    let text = |packed: &mut Vec<u8>, text: &[u8]| {
        packed.push(u8::try_from(text.len()).unwrap_or(0));
        packed.extend(text);
    };
    packed.push(0x04);
    text(&mut packed, PATH);
    packed.push(0x01);
    text(&mut packed, b"node");
    // `content-type` is the 31st of the table: more than four bits hold.
    packed.extend([0x0f, 31 - 15]);
    text(&mut packed, b"application/grpc");
    packed.push(0x00);
    text(&mut packed, b"te");
    text(&mut packed, b"trailers");
    packed
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_as_the_standard_has_them() {
        let (here, mut there) = tokio::io::duplex(1 << 16);
        let mut speaker = Speaker::begin(here).await.unwrap();
        speaker.reset(2).await.unwrap();
        let stream = speaker.begin_empty().unwrap();
        speaker.empty(stream, 3).await.unwrap();
        drop(speaker);
        let mut written = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut there, &mut written).await.unwrap();
        let mut left = written.strip_prefix(PREFACE).unwrap();
        let mut seen = Vec::new();
        while let [a, b, c, kind, _, stream @ ..] = left {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            seen.push((*kind, u32::from_be_bytes(stream[..4].try_into().unwrap()), length));
            left = &left[9 + length..];
        }
        let head = headers().len();
        let expected = [
            (SETTINGS, 0, 6),
            (WINDOW_UPDATE, 0, 4),
            (HEADERS, 1, head),
            (RST_STREAM, 1, 4),
            (HEADERS, 3, head),
            (RST_STREAM, 3, 4),
            (HEADERS, 5, head),
            (DATA, 5, 0),
            (DATA, 5, 0),
            (DATA, 5, 0),
        ];
        assert_eq!(seen, expected);
    }
}
