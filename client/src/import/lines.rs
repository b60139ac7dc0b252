//! Lines of a file that nobody vouches for, in bounded memory: a line of any length is told, never kept.

use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Longest line that is read, in bytes without its line feed. A record document is at most 48 KiB; a line beyond a
/// mebibyte is no clinical document but a damaged or foreign file.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    pub(super) content: Content,
    /// Whether a line feed followed; only the last line of a file may lack it.
    pub(super) terminated: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// Without the line feed.
    Bytes(Vec<u8>),
    /// Longer than [`LINE_BYTES_MAX`]; the bytes are gone.
    TooLong,
}

/// Reads lines; holds at most [`LINE_BYTES_MAX`] bytes besides the reader's own buffer.
pub(super) struct Lines<R> {
    reader: R,
    number: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, number: 0 }
    }

    /// The next line, empty ones included; `None` at the end. Not cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let mut too_long = false;
        let mut begun = false;
        let terminated = loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                break false;
            }
            begun = true;
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            if !too_long {
                if bytes.len() + part.len() > LINE_BYTES_MAX {
                    too_long = true;
                    bytes = Vec::new();
                } else {
                    bytes.extend_from_slice(part);
                }
            }
            let consumed = part.len() + usize::from(end.is_some());
            self.reader.consume(consumed);
            if end.is_some() {
                break true;
            }
        };
        if !begun {
            return Ok(None);
        }
        self.number += 1;
        let content = if too_long { Content::TooLong } else { Content::Bytes(bytes) };
        Ok(Some(Line { number: self.number, content, terminated }))
    }
}

/// How many lines there are, for a progress bar.
pub(super) async fn count<R: AsyncBufRead + Unpin>(mut reader: R) -> io::Result<u64> {
    let mut count = 0;
    let mut last = b'\n';
    loop {
        let available = reader.fill_buf().await?;
        let Some(end) = available.last() else { break };
        last = *end;
        count += available.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = available.len();
        reader.consume(length);
    }
    Ok(if last == b'\n' { count } else { count + 1 })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::io::{AsyncRead, BufReader, ReadBuf};

    async fn all(bytes: &[u8]) -> Vec<(u64, Option<Vec<u8>>, bool)> {
        let mut lines = Lines::new(BufReader::with_capacity(7, bytes));
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            let bytes = match line.content {
                Content::Bytes(bytes) => Some(bytes),
                Content::TooLong => None,
            };
            found.push((line.number, bytes, line.terminated));
        }
        assert_eq!(count(bytes).await.unwrap(), found.len() as u64);
        found
    }

    #[tokio::test]
    async fn lines_come_without_their_feed_and_the_last_one_may_lack_it() {
        assert_eq!(all(b"").await, []);
        assert_eq!(all(b"\n").await, [(1, Some(vec![]), true)]);
        assert_eq!(
            all(b"first line\r\n\nlast").await,
            [(1, Some(b"first line\r".to_vec()), true), (2, Some(vec![]), true), (3, Some(b"last".to_vec()), false)]
        );
    }

    #[tokio::test]
    async fn a_line_at_the_bound_is_read_and_one_above_is_told() {
        let mut bytes = vec![b'a'; LINE_BYTES_MAX];
        bytes.push(b'\n');
        bytes.extend(vec![b'b'; LINE_BYTES_MAX + 1]);
        bytes.extend_from_slice(b"\nc\n");
        let found = all(&bytes).await;
        assert_eq!(found[0].1.as_ref().unwrap().len(), LINE_BYTES_MAX);
        assert_eq!(found[1], (2, None, true));
        assert_eq!(found[2], (3, Some(b"c".to_vec()), true));
    }

    /// A line of `left` bytes, then `\nx`, made as it is read.
    struct Endless {
        left: u64,
        tail: &'static [u8],
    }

    impl AsyncRead for Endless {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if self.left > 0 {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.remaining());
                buffer.initialize_unfilled_to(length).fill(b'{');
                buffer.advance(length);
                self.left -= length as u64;
            } else {
                let length = self.tail.len().min(buffer.remaining());
                buffer.put_slice(&self.tail[..length]);
                self.tail = &self.tail[length..];
            }
            Poll::Ready(Ok(()))
        }
    }

    // The process must not grow with the line: more than the bound would be held if anything kept its bytes.
    #[tokio::test]
    async fn a_line_of_a_gibibyte_is_passed_over_in_bounded_memory() {
        let mut lines = Lines::new(BufReader::with_capacity(256 << 10, Endless { left: 1 << 30, tail: b"\nx" }));
        let before = resident_kib();
        assert_eq!(
            lines.next().await.unwrap().unwrap(),
            Line { number: 1, content: Content::TooLong, terminated: true }
        );
        assert_eq!(lines.next().await.unwrap().unwrap().content, Content::Bytes(b"x".to_vec()));
        assert_eq!(lines.next().await.unwrap(), None);
        assert!(resident_kib() < before + (64 << 10), "memory grew with the line");
    }

    /// The highest this process ever held, so that a passing peak is seen too.
    fn resident_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}
