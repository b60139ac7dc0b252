//! What is sent: anything that can be read from any place, cut into chunks, with the SHA-256 of the whole as a by-product.

use super::{CHUNK_BYTES, HEAD_BYTES, chunk_count};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes that can be read again from any place.
pub trait ImageSource: Send + Sync + 'static {
    /// How many there are.
    fn bytes(&self) -> u64;

    /// Exactly `length` bytes from `offset` on. Blocks.
    ///
    /// # Errors
    /// They cannot be read.
    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes>;
}

impl ImageSource for Bytes {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        match start.checked_add(length).filter(|end| *end <= self.len()) {
            Some(end) => Ok(self.slice(start..end)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A file. One that changes while it is sent is noticed by its digest.
pub struct FileSource {
    file: File,
    bytes: u64,
}

impl FileSource {
    /// Of an open file, as long as it is now.
    ///
    /// # Errors
    /// Its size cannot be asked for.
    pub fn new(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }
}

impl ImageSource for FileSource {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}

/// Why the source gave no bytes.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The operating system said no.
    #[error("the image cannot be read")]
    Read(#[source] io::Error),
    /// It is shorter than when it was opened.
    #[error("the image changed while it was read")]
    Changed,
}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Changed } else { Self::Read(error) }
    }
}

/// Reads a source, and hashes what it reads once; holds one chunk at most.
pub(super) struct Reading {
    source: Arc<dyn ImageSource>,
    /// Size when it was opened.
    bytes: u64,
    /// `None` while a worker has it.
    hasher: Option<Sha256>,
    /// So many first bytes are in `hasher`.
    hashed: u64,
}

impl Reading {
    pub(super) fn new(source: Arc<dyn ImageSource>) -> Self {
        Self { bytes: source.bytes(), source, hasher: Some(Sha256::new()), hashed: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn chunk_count(&self) -> u32 {
        chunk_count(self.bytes)
    }

    /// The first bytes, as many as there are up to [`HEAD_BYTES`].
    pub(super) async fn head(&self) -> Result<Bytes, SourceError> {
        let source = Arc::clone(&self.source);
        let length = usize::try_from(self.bytes).unwrap_or(usize::MAX).min(HEAD_BYTES);
        worker(move || Ok(source.read(0, length)?)).await
    }

    /// Chunk `sequence`, which must be below the count. Cancel safe: what was not given is hashed again.
    pub(super) async fn chunk(&mut self, sequence: u32) -> Result<Bytes, SourceError> {
        let from = u64::from(sequence) * CHUNK_BYTES;
        self.hash_up_to(from).await?;
        let length = CHUNK_BYTES.min(self.bytes.saturating_sub(from));
        if self.hashed == from {
            return self.hash_next(length).await;
        }
        let source = Arc::clone(&self.source);
        worker(move || Ok(source.read(from, usize::try_from(length).map_err(io::Error::other)?)?)).await
    }

    /// SHA-256 of the whole; reads what was not read yet.
    pub(super) async fn digest(&mut self) -> Result<[u8; 32], SourceError> {
        loop {
            self.hash_up_to(self.bytes).await?;
            if let Some(hasher) = &self.hasher {
                return Ok(hasher.clone().finalize().into());
            }
        }
    }

    async fn hash_up_to(&mut self, end: u64) -> Result<(), SourceError> {
        if self.hasher.is_none() {
            // A read was given up with it: from the beginning.
            (self.hasher, self.hashed) = (Some(Sha256::new()), 0);
        }
        while self.hashed < end {
            self.hash_next(CHUNK_BYTES.min(end - self.hashed)).await?;
        }
        Ok(())
    }

    async fn hash_next(&mut self, length: u64) -> Result<Bytes, SourceError> {
        let (source, from) = (Arc::clone(&self.source), self.hashed);
        let mut hasher = self.hasher.take().unwrap_or_default();
        let reading = move || {
            let chunk = source.read(from, usize::try_from(length).map_err(io::Error::other)?)?;
            hasher.update(&chunk);
            Ok((hasher, chunk))
        };
        let (hasher, chunk) = worker(reading).await?;
        self.hasher = Some(hasher);
        self.hashed += length;
        Ok(chunk)
    }
}

/// Runs on a thread for work that blocks.
async fn worker<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(SourceError::Read(io::Error::other(error))),
    }
}

/// SHA-256 of bytes in memory.
pub fn sha256_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 of all of a source; holds a chunk of it.
///
/// # Errors
/// It cannot be read.
pub async fn digest(source: &Arc<dyn ImageSource>) -> Result<[u8; 32], SourceError> {
    Reading::new(Arc::clone(source)).digest().await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::{Mutex, mpsc};

    const BYTES: usize = (2 << 20) + 5;

    fn content() -> Bytes {
        (0..BYTES).map(|at| (at * 7 / 3) as u8).collect()
    }

    // A resumed upload begins anywhere and may go back: the digest must be that of the whole all the same.
    #[tokio::test]
    async fn the_digest_is_of_the_whole_in_whatever_order_chunks_are_read() {
        let content = content();
        let expected = sha256_of(&content);
        for order in [vec![0, 1, 2], vec![2], vec![1, 0, 2, 1], vec![]] {
            let mut reading = Reading::new(Arc::new(content.clone()));
            assert_eq!((reading.bytes(), reading.chunk_count()), (BYTES as u64, 3));
            assert_eq!(reading.head().await.unwrap(), content[..HEAD_BYTES]);
            for sequence in order {
                let from = sequence as usize * (1 << 20);
                let end = (from + (1 << 20)).min(BYTES);
                assert_eq!(reading.chunk(sequence).await.unwrap(), content[from..end]);
            }
            assert_eq!(reading.digest().await.unwrap(), expected);
        }
    }

    /// Gives its bytes only when it is let.
    struct Held {
        content: Bytes,
        let_go: Mutex<mpsc::Receiver<()>>,
    }

    impl ImageSource for Held {
        fn bytes(&self) -> u64 {
            self.content.bytes()
        }

        fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
            self.let_go.lock().unwrap().recv().map_err(io::Error::other)?;
            self.content.read(offset, length)
        }
    }

    // A call that answers early gives up a read half-way.
    #[tokio::test]
    async fn a_read_that_is_given_up_spoils_no_digest() {
        let content = content();
        let (let_go, held) = mpsc::channel();
        let mut reading = Reading::new(Arc::new(Held { content: content.clone(), let_go: Mutex::new(held) }));
        let_go.send(()).unwrap();
        reading.chunk(0).await.unwrap();
        tokio::select! {
            biased;
            _ = reading.chunk(1) => panic!("nothing let the source give its bytes"),
            () = std::future::ready(()) => {}
        }
        for _ in 0..16 {
            let_go.send(()).unwrap();
        }
        assert_eq!(reading.chunk(1).await.unwrap(), content[1 << 20..2 << 20]);
        assert_eq!(reading.digest().await.unwrap(), sha256_of(&content));
    }

    #[tokio::test]
    async fn a_file_that_shrinks_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content()).unwrap();
        let source: Arc<dyn ImageSource> = Arc::new(FileSource::new(File::open(file.path()).unwrap()).unwrap());
        assert_eq!(digest(&source).await.unwrap(), sha256_of(&content()));
        let mut reading = Reading::new(Arc::clone(&source));
        reading.chunk(0).await.unwrap();
        file.as_file().set_len(BYTES as u64 - 1).unwrap();
        assert!(matches!(reading.chunk(2).await, Err(SourceError::Changed)));
        assert!(matches!(digest(&source).await, Err(SourceError::Changed)));
    }
}
