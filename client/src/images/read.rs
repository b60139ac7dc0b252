//! Giving an image out: bytes in order into a sink, gone on with elsewhere after a cut, and into a file only once they are
//! known to be right.

use super::calls::client;
use crate::connect::Cluster;
use crate::error::{Answer, Error};
use crate::id::Id;
use bytes::Bytes;
use plantao_proto::public::v1;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tonic::{Code, Request, Status};

/// How long without any progress until a read is given up.
const STALL_TIME_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(150);

/// Why an image was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A node's answer, or none.
    #[error(transparent)]
    Call(#[from] Error),
    /// Where the bytes go.
    #[error("the image cannot be written down")]
    Sink(#[source] io::Error),
    /// What came is not what was sent once.
    #[error("the image does not match its SHA-256")]
    OtherDigest,
}

/// What becomes of a file that has the name already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replace {
    /// It stays, and the read fails.
    Never,
    /// The new one takes its place at once.
    Always,
}

/// Whether another try cannot help.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::OutOfRange
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::NotFound
            | Code::Unimplemented
    )
}

fn final_error(status: &Status, endpoint: &str) -> Error {
    let answer = Box::new(Answer::from_status(status, endpoint));
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => Error::Denied(answer),
        Code::NotFound => Error::NotFound(answer),
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => Error::Invalid(answer),
        _ => Error::Unavailable(answer),
    }
}

impl Cluster {
    /// Reads an image, or a range of it, into `sink`, and compares the SHA-256 of a whole original. A stream that breaks
    /// goes on where it broke.
    ///
    /// # Errors
    /// See [`ReadError`]. What went into the sink until then is not to be used.
    pub async fn read_image(
        &self,
        request: v1::ReadImageRequest,
        mut sink: impl FnMut(Bytes) -> io::Result<()>,
    ) -> Result<v1::ImageHeader, ReadError> {
        use v1::read_image_response::Part as Piece;
        let mut first: Option<v1::ImageHeader> = None;
        let (mut done, mut sha256) = (0_u64, Sha256::new());
        let mut moved_at = Instant::now();
        loop {
            let rest = first.as_ref().map(|header| v1::ReadImageRequest {
                offset: header.offset + done,
                length: header.length - done,
                ..request.clone()
            });
            let asked = rest.unwrap_or_else(|| request.clone());
            let stream = self.read(|channel, timeout| {
                // The deadline is for the head: the bytes take as long as they take.
                let message = Request::new(asked.clone());
                async move {
                    let opening = async { client(channel).read_image(message).await };
                    let late = |_| Status::deadline_exceeded("no answer in time");
                    tokio::time::timeout(timeout, opening).await.map_err(late)?
                }
            });
            let mut stream = stream.await?;
            let broken = loop {
                let message = match tokio::time::timeout(STALL_TIME_MAX, stream.message()).await {
                    Ok(Ok(Some(message))) => message,
                    Ok(Ok(None)) => break None,
                    Ok(Err(status)) => break Some(status),
                    Err(_) => break Some(Status::deadline_exceeded("the stream stands still")),
                };
                match message.part {
                    Some(Piece::Header(header)) => {
                        first.get_or_insert(header);
                    }
                    Some(Piece::Data(data)) => {
                        done += data.len() as u64;
                        sha256.update(&data);
                        moved_at = Instant::now();
                        sink(data).map_err(ReadError::Sink)?;
                    }
                    None => {}
                }
            };
            let header = first.as_ref().ok_or(Error::Protocol("an image without a header"))?;
            if done >= header.length {
                break;
            }
            let status = broken.unwrap_or_else(|| Status::data_loss("the stream ended early"));
            let at = self.current();
            if is_final(status.code()) || moved_at.elapsed() > STALL_TIME_MAX {
                return Err(final_error(&status, self.endpoint(at).address()).into());
            }
            self.leave(at);
            tokio::time::sleep(PAUSE).await;
        }
        let header = first.ok_or(Error::Protocol("an image without a header"))?;
        let original = request.variant() != v1::ImageVariant::Thumbnail;
        let is_whole = original && header.offset == 0 && header.length == header.bytes;
        let found: [u8; 32] = sha256.finalize().into();
        let expected = header.image.as_ref().map(|image| &image.sha256);
        if is_whole && expected.is_none_or(|expected| *expected != found.as_slice()) {
            return Err(ReadError::OtherDigest);
        }
        Ok(header)
    }

    /// Reads an image, or a range of it, into a file of `directory` that `name` calls. The file has its name only when all
    /// of it is there, right and on the disk; until then it is a hidden one, which an error removes. `tell` hears how
    /// many bytes came.
    ///
    /// # Errors
    /// See [`ReadError`]; a file that is there already is a [`ReadError::Sink`] with `AlreadyExists`.
    pub async fn save_image(
        &self,
        request: v1::ReadImageRequest,
        directory: &Path,
        name: impl FnOnce(&v1::ImageHeader) -> String,
        replace: Replace,
        mut tell: impl FnMut(u64),
    ) -> Result<(PathBuf, v1::ImageHeader), ReadError> {
        let id = Id::random().map_err(Error::Randomness)?;
        let temporary = Temporary(directory.join(format!(".plantao-{id}.part")));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&temporary.0).map_err(ReadError::Sink)?;
        let mut bytes = 0;
        let header = self
            .read_image(request, |piece| {
                // Into the page cache, a MiB at most.
                file.write_all(&piece)?;
                bytes += piece.len() as u64;
                tell(bytes);
                Ok(())
            })
            .await?;
        let path = directory.join(name(&header));
        let (last, into) = (path.clone(), directory.to_owned());
        let keeping = tokio::task::spawn_blocking(move || keep(&file, &temporary, &last, &into, replace));
        keeping.await.map_err(|error| ReadError::Sink(io::Error::other(error)))?.map_err(ReadError::Sink)?;
        Ok((path, header))
    }
}

/// Gives a file that is whole its name.
fn keep(file: &File, temporary: &Temporary, path: &Path, directory: &Path, replace: Replace) -> io::Result<()> {
    file.sync_all()?;
    match replace {
        Replace::Always => fs::rename(&temporary.0, path)?,
        // A second name, unlike a new name, never takes another file's place. Not every file system has them.
        Replace::Never => match fs::hard_link(&temporary.0, path) {
            Ok(()) => fs::remove_file(&temporary.0)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) if path.try_exists()? => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(&temporary.0, path)?,
        },
    }
    File::open(directory)?.sync_all()
}

/// A file that is removed unless it lost this name; also when the read is given up.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Renamed, or not there any more: as it should be.
        let _ = fs::remove_file(&self.0);
    }
}
