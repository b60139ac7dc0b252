//! Snapshot files: all rows at one log index, made from a frozen view, sent in parts, verified before they count.
//! What rows mean, and when a snapshot is due, is decided elsewhere.
//!
//! ```text
//! file:  "PLTSNAP1" | snapshot id[16] | frame 0 (header) | frame 1 … N (rows) | frame N+1 (end)
//! frame: length u32 BE | seal(snapshot_context(id, number), part)
//! part:  0x00 | version u8 = 1 | id[16] | meta row bytes[142] | membership                       header
//!        0x01 | (key length u16 | value length u32 | key | value)*                               rows, in key order
//!        0x02 | row parts u32 | rows u64 | BLAKE3 over (length u32 | part) of all before [32]    end
//! ```
//! The id is a digest of the header's meta, and parts are cut by one rule, so every node makes the same parts of the
//! same rows, and an interrupted transfer goes on from any other node. Parts travel in clear inside TLS; each node
//! seals them with its own key.

use super::fs::{FsError, TEMPORARY_SUFFIX, create_dir_durably, rename_durably, sync_dir};
use super::keyspaces::snapshot_context;
use super::row_seal::RowSeal;
use super::state::meta::{self, META_BYTES, Reader};
use super::state::{EntryId, Error as StateError, Frozen, RowSource, StateMeta, StateStore, digest, fill};
use plantao_domain::view::Row;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const MAGIC: &[u8; 8] = b"PLTSNAP1";
const VERSION: u8 = 1;
const HEADER: u8 = 0;
const ROWS: u8 = 1;
const END: u8 = 2;
/// Where frames begin.
const FRAMES_AT: u64 = 24;
/// Rows are gathered until a part holds this many bytes of keys and values; the last row may lead past it.
const PART_BYTES: usize = 512 * 1024;
/// Longest part, in clear. The longest row on top of `PART_BYTES`, with room to spare.
pub const PART_BYTES_MAX: usize = 1024 * 1024;
/// Longest frame: a part and what sealing adds.
const FRAME_BYTES_MAX: usize = PART_BYTES_MAX + 1024;
/// Most parts of one snapshot: 32 GiB of rows, far above what a clinic network's structure needs.
pub const PARTS_MAX: u32 = 65_536;
/// Verified snapshots that are kept; the newest counts.
const KEPT: usize = 2;
const SUFFIX: &str = ".snapshot";
const BAD_SUFFIX: &str = ".bad";

/// Names a snapshot: the first half of BLAKE3 of its meta, the same on every node.
pub type SnapshotId = [u8; 16];

/// The id of the snapshot that a state with this meta makes.
pub fn snapshot_id(meta: &StateMeta) -> SnapshotId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"plantao snapshot 1");
    hasher.update(&meta::encode(meta));
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    id
}

/// Why a snapshot could not be made, read or received.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FsError),
    /// The rows could not be read.
    #[error(transparent)]
    State(StateError),
    /// A part is not what its sender, or this node, wrote: refused, nothing of it is kept.
    #[error("part {part} of the snapshot is damaged")]
    Damaged {
        /// Its number.
        part: u32,
    },
    /// Parts come in order; send from `expected`.
    #[error("part {offered} of the snapshot was offered where part {expected} is next")]
    OutOfOrder {
        /// The next part that is taken.
        expected: u32,
        /// What came.
        offered: u32,
    },
    /// The end has not come yet.
    #[error("the snapshot is not complete: part {expected} is next")]
    Incomplete {
        /// The next part that is taken.
        expected: u32,
    },
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
    move |source| Error::File(FsError::Io { operation, path: path.to_owned(), source })
}

/// Checks parts in order: what all readers, the writer and the receiver share.
#[derive(Clone, Default)]
struct Intake {
    next: u32,
    meta: Option<StateMeta>,
    last_key: Option<Vec<u8>>,
    rows: u64,
    content: [u8; 32],
    digest: blake3::Hasher,
    ended: bool,
}

impl Intake {
    /// Takes one part; `None` if it cannot be part `next` of the snapshot `id`. Nothing is changed then.
    fn take(&mut self, id: &SnapshotId, part: &[u8]) -> Option<()> {
        if self.ended || part.len() > PART_BYTES_MAX || self.next > PARTS_MAX + 1 {
            return None;
        }
        let (kind, rest) = part.split_first()?;
        match (*kind, &self.meta) {
            (HEADER, None) => self.meta = Some(decode_header(id, part)?),
            (ROWS, Some(_)) if !rest.is_empty() => {
                let mut last = self.last_key.clone();
                let (mut rows, mut content) = (self.rows, self.content);
                for (key, value) in decode_rows(rest)? {
                    if last.as_ref().is_some_and(|last| *last >= key) || fill::check_row(&key, Some(&value)).is_err() {
                        return None;
                    }
                    rows += 1;
                    digest::add(&mut content, &key, &value);
                    last = Some(key);
                }
                (self.last_key, self.rows, self.content) = (last, rows, content);
            }
            (END, Some(meta)) => {
                let is_whole = meta.rows == self.rows && meta.content == self.content;
                if !is_whole || part != self.end_part() {
                    return None;
                }
                self.ended = true;
            }
            _ => return None,
        }
        digest_part(&mut self.digest, part);
        self.next += 1;
        Some(())
    }

    fn end_part(&self) -> Vec<u8> {
        end_part(self.next - 1, self.rows, &self.digest)
    }
}

fn digest_part(digest: &mut blake3::Hasher, part: &[u8]) {
    let length = u32::try_from(part.len()).expect("parts are at most PART_BYTES_MAX long");
    digest.update(&length.to_be_bytes());
    digest.update(part);
}

/// The end behind `parts` parts of rows and the header, which are in the digest.
fn end_part(parts: u32, rows: u64, digest: &blake3::Hasher) -> Vec<u8> {
    let mut part = vec![END];
    part.extend_from_slice(&parts.to_be_bytes());
    part.extend_from_slice(&rows.to_be_bytes());
    part.extend_from_slice(digest.finalize().as_bytes());
    part
}

fn decode_header(id: &SnapshotId, part: &[u8]) -> Option<StateMeta> {
    let mut reader = Reader(part);
    if reader.take()? != [HEADER, VERSION] || reader.take()? != *id {
        return None;
    }
    let meta = meta::decode(reader.slice(META_BYTES)?, reader.0)?;
    (snapshot_id(&meta) == *id).then_some(meta)
}

fn header_part(id: &SnapshotId, meta: &StateMeta) -> Vec<u8> {
    let mut part = vec![HEADER, VERSION];
    part.extend_from_slice(id);
    part.extend_from_slice(&meta::encode(meta));
    part.extend_from_slice(&meta.membership);
    part
}

fn rows_part(rows: &[Row]) -> Vec<u8> {
    let mut part = vec![ROWS];
    for (key, value) in rows {
        let key_length = u16::try_from(key.len()).expect("domain keys are at most KEY_BYTES_MAX long");
        let value_length = u32::try_from(value.len()).expect("values are at most ROW_BYTES_MAX long");
        part.extend_from_slice(&key_length.to_be_bytes());
        part.extend_from_slice(&value_length.to_be_bytes());
        part.extend_from_slice(key);
        part.extend_from_slice(value);
    }
    part
}

fn decode_rows(bytes: &[u8]) -> Option<Vec<Row>> {
    let mut reader = Reader(bytes);
    let mut rows = Vec::new();
    while !reader.0.is_empty() {
        let key_length = usize::from(u16::from_be_bytes(reader.take()?));
        let value_length = u32::from_be_bytes(reader.take()?) as usize;
        rows.push((reader.slice(key_length)?.to_vec(), reader.slice(value_length)?.to_vec()));
    }
    Some(rows)
}

/// For [`crate::again`]: takes parts as a receiver would, up to the first that is refused. Gives those that were taken, made
/// again from what was read of them, and whether the end was among them.
pub(crate) fn again(id: &SnapshotId, parts: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
    let mut intake = Intake::default();
    let mut made = Vec::new();
    for part in parts {
        let before = intake.clone();
        if intake.take(id, part).is_none() {
            break;
        }
        made.push(match (part.first(), &intake.meta) {
            (Some(&HEADER), Some(meta)) => header_part(id, meta),
            (Some(&ROWS), _) => rows_part(&part.get(1..).and_then(decode_rows).unwrap_or_default()),
            _ => before.end_part(),
        });
    }
    (made, intake.ended)
}

/// For [`crate::again`]: the parts of a snapshot of these rows, and its id.
pub(crate) fn parts_of(rows: &[Row], applied: EntryId) -> (SnapshotId, Vec<Vec<u8>>) {
    let mut content = digest::EMPTY;
    for (key, value) in rows {
        digest::add(&mut content, key, value);
    }
    let meta = StateMeta { applied: Some(applied), rows: rows.len() as u64, content, ..StateMeta::default() };
    let id = snapshot_id(&meta);
    let mut intake = Intake::default();
    let mut parts = vec![header_part(&id, &meta)];
    parts.extend((!rows.is_empty()).then(|| rows_part(rows)));
    if parts.iter().all(|part| intake.take(&id, part).is_some()) {
        parts.push(intake.end_part());
    }
    (id, parts)
}

/// A complete snapshot whose every byte was read back and checked. The file stays readable while this lives, even when
/// a newer one has replaced it.
pub struct VerifiedSnapshot {
    id: SnapshotId,
    meta: Arc<StateMeta>,
    file: File,
    path: PathBuf,
    parts: u32,
    seal: Arc<dyn RowSeal>,
}

impl std::fmt::Debug for VerifiedSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedSnapshot").field("applied", &self.meta.applied).field("parts", &self.parts).finish()
    }
}

impl VerifiedSnapshot {
    /// Reads a whole file and checks that it is what was written: every part opens as the one of its number, and the end has
    /// the digest of all before it. The rows in them were checked when they were taken, and are again when they are installed.
    fn verify(path: &Path, seal: &Arc<dyn RowSeal>) -> Result<Self, Error> {
        let file = File::open(path).map_err(failed("open", path))?;
        let length = file.metadata().map_err(failed("read", path))?.len();
        let id = read_id(&file).map_err(failed("read", path))?.ok_or(Error::Damaged { part: 0 })?;
        let mut frames = Frames { file: &file, at: FRAMES_AT, next: 0 };
        let mut digest = blake3::Hasher::new();
        let mut header = None;
        let meta = loop {
            let number = frames.next;
            let damaged = Error::Damaged { part: number };
            let Some(part) = frames.read(&id, &**seal).map_err(failed("read", path))? else { return Err(damaged) };
            match (part.first(), &header) {
                (Some(&HEADER), None) => header = Some(decode_header(&id, &part).ok_or(damaged)?),
                (Some(&ROWS), Some(_)) => {}
                (Some(&END), Some(meta)) if part == end_part(number - 1, meta.rows, &digest) => break meta.clone(),
                _ => return Err(damaged),
            }
            digest_part(&mut digest, &part);
        };
        let parts = frames.next;
        if frames.at != length {
            return Err(Error::Damaged { part: parts });
        }
        Ok(Self { id, meta: Arc::new(meta), path: path.to_owned(), parts, seal: Arc::clone(seal), file })
    }

    /// Its name on every node.
    pub fn id(&self) -> &SnapshotId {
        &self.id
    }

    /// What its rows are at.
    pub fn meta(&self) -> &Arc<StateMeta> {
        &self.meta
    }

    /// How many parts it has, header and end included.
    pub fn parts(&self) -> u32 {
        self.parts
    }

    /// Its parts in clear for sending, from number `first` on.
    pub fn reader(self: &Arc<Self>, first: u32) -> Result<SnapshotReader, Error> {
        let mut frames = Frames { file: &self.file, at: FRAMES_AT, next: 0 };
        while frames.next < first.min(self.parts) {
            frames.skip().map_err(failed("read", &self.path))?.ok_or(Error::Damaged { part: frames.next })?;
        }
        Ok(SnapshotReader { at: frames.at, next: frames.next, snapshot: Arc::clone(self) })
    }

    /// Its rows, for an installation.
    pub fn rows(self: &Arc<Self>) -> Result<SnapshotRows, Error> {
        Ok(SnapshotRows { reader: self.reader(1)? })
    }
}

fn read_id(file: &File) -> io::Result<Option<SnapshotId>> {
    let mut head = [0; FRAMES_AT as usize];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut reader = Reader(&head);
    Ok((reader.take::<8>() == Some(*MAGIC)).then(|| reader.take()).flatten())
}

/// Walks the frames of a file. `Ok(None)` is a frame that is not whole or does not open.
struct Frames<'a> {
    file: &'a File,
    at: u64,
    next: u32,
}

impl Frames<'_> {
    fn length(&self) -> io::Result<Option<usize>> {
        let mut length = [0; 4];
        match self.file.read_exact_at(&mut length, self.at) {
            Ok(()) => Ok(Some(u32::from_be_bytes(length) as usize).filter(|length| *length <= FRAME_BYTES_MAX)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn skip(&mut self) -> io::Result<Option<()>> {
        let Some(length) = self.length()? else { return Ok(None) };
        self.at += 4 + length as u64;
        self.next += 1;
        Ok(Some(()))
    }

    fn read(&mut self, id: &SnapshotId, seal: &dyn RowSeal) -> io::Result<Option<Vec<u8>>> {
        let Some(length) = self.length()? else { return Ok(None) };
        let mut sealed = vec![0; length];
        match self.file.read_exact_at(&mut sealed, self.at + 4) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let Ok(part) = seal.open(&snapshot_context(id, self.next), &sealed) else {
            return Ok(None);
        };
        self.at += 4 + length as u64;
        self.next += 1;
        Ok(Some(part))
    }
}

/// Yields the parts of a snapshot in clear, in order.
pub struct SnapshotReader {
    snapshot: Arc<VerifiedSnapshot>,
    at: u64,
    next: u32,
}

impl SnapshotReader {
    /// The next part and its number, at most [`PART_BYTES_MAX`] long; `None` behind the end.
    pub fn next_part(&mut self) -> Result<Option<(u32, Vec<u8>)>, Error> {
        let number = self.next;
        if number >= self.snapshot.parts {
            return Ok(None);
        }
        let mut frames = Frames { file: &self.snapshot.file, at: self.at, next: number };
        let part = frames
            .read(&self.snapshot.id, &*self.snapshot.seal)
            .map_err(failed("read", &self.snapshot.path))?
            .ok_or(Error::Damaged { part: number })?;
        (self.at, self.next) = (frames.at, frames.next);
        Ok(Some((number, part)))
    }
}

/// The rows of a snapshot, part by part.
pub struct SnapshotRows {
    reader: SnapshotReader,
}

impl RowSource for SnapshotRows {
    fn next_rows(&mut self) -> Result<Vec<Row>, StateError> {
        while let Some((_, part)) = self.reader.next_part().map_err(|_| StateError::SnapshotMismatch)? {
            if let Some((&ROWS, rows)) = part.split_first() {
                let rows = decode_rows(rows).ok_or(StateError::SnapshotMismatch)?;
                if !rows.is_empty() {
                    return Ok(rows);
                }
            }
        }
        Ok(Vec::new())
    }
}

/// Takes the parts of one snapshot in order, and goes on where an earlier attempt stopped. Dropping it keeps what came.
pub struct SnapshotReceiver {
    id: SnapshotId,
    path: PathBuf,
    file: File,
    at: u64,
    intake: Intake,
    seal: Arc<dyn RowSeal>,
}

impl std::fmt::Debug for SnapshotReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotReceiver").field("next", &self.intake.next).finish()
    }
}

impl SnapshotReceiver {
    /// Opens the file at `path`, keeps its leading valid parts, and drops the rest.
    fn resume(path: PathBuf, id: SnapshotId, seal: Arc<dyn RowSeal>) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        let mut intake = Intake::default();
        let mut at = FRAMES_AT;
        if read_id(&file).map_err(failed("read", &path))? == Some(id) {
            let mut frames = Frames { file: &file, at, next: 0 };
            while let Some(part) = frames.read(&id, &*seal).map_err(failed("read", &path))? {
                if intake.take(&id, &part).is_none() {
                    break;
                }
                at = frames.at;
            }
        } else {
            file.write_all_at(&[MAGIC.as_slice(), &id].concat(), 0).map_err(failed("write", &path))?;
        }
        file.set_len(at).map_err(failed("write", &path))?;
        Ok(Self { id, path, file, at, intake, seal })
    }

    /// The snapshot that is received.
    pub fn id(&self) -> &SnapshotId {
        &self.id
    }

    /// Number of the part that is taken next: what to ask the sender for.
    pub fn next_part(&self) -> u32 {
        self.intake.next
    }

    /// Whether the end has come.
    pub fn is_complete(&self) -> bool {
        self.intake.ended
    }

    fn start_over(&mut self) -> Result<(), Error> {
        self.file.set_len(FRAMES_AT).map_err(failed("write", &self.path))?;
        self.intake = Intake::default();
        self.at = FRAMES_AT;
        Ok(())
    }

    /// Takes one part. A refused one changes nothing, but a refused end starts over from part 0; a part that was taken
    /// already is fine and ignored.
    pub fn take(&mut self, number: u32, part: &[u8]) -> Result<(), Error> {
        let expected = self.intake.next;
        if number < expected {
            return Ok(());
        }
        if number > expected {
            return Err(Error::OutOfOrder { expected, offered: number });
        }
        let before = self.intake.clone();
        if self.intake.take(&self.id, part).is_none() {
            if part.first() == Some(&END) {
                // A refused end means that a part before it is not what its maker wrote: only starting over helps.
                self.start_over()?;
            }
            return Err(Error::Damaged { part: number });
        }
        let sealed = self.seal.seal(&snapshot_context(&self.id, number), part);
        let mut frame = Vec::with_capacity(sealed.len() + 4);
        frame.extend_from_slice(&u32::try_from(sealed.len()).expect("bounded by PART_BYTES_MAX").to_be_bytes());
        frame.extend_from_slice(&sealed);
        if let Err(source) = self.file.write_all_at(&frame, self.at) {
            self.intake = before;
            return Err(failed("write", &self.path)(source));
        }
        self.at += frame.len() as u64;
        Ok(())
    }
}

/// The directory of snapshot files of one node.
pub struct Snapshots {
    dir: PathBuf,
    seal: Arc<dyn RowSeal>,
    current: Mutex<Option<Arc<VerifiedSnapshot>>>,
    building: Mutex<()>,
    set_aside: usize,
}

impl Snapshots {
    /// Opens the directory (created if missing) and verifies the newest file in it; one that does not verify is set
    /// aside as `.bad`, and the next older one is tried.
    pub fn open(dir: &Path, seal: Arc<dyn RowSeal>) -> Result<Self, Error> {
        create_dir_durably(dir)?;
        let (current, building) = (Mutex::default(), Mutex::default());
        let mut snapshots = Self { dir: dir.to_owned(), seal, current, building, set_aside: 0 };
        for path in snapshots.files(SUFFIX)?.into_iter().rev() {
            match VerifiedSnapshot::verify(&path, &snapshots.seal) {
                Ok(verified) => {
                    *snapshots.lock() = Some(Arc::new(verified));
                    break;
                }
                Err(Error::Damaged { .. }) => {
                    let mut bad = path.clone().into_os_string();
                    bad.push(BAD_SUFFIX);
                    rename_durably(&path, Path::new(&bad))?;
                    snapshots.set_aside += 1;
                }
                Err(error) => return Err(error),
            }
        }
        for path in snapshots.files(&format!(".building{TEMPORARY_SUFFIX}"))? {
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        snapshots.prune()?;
        Ok(snapshots)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<VerifiedSnapshot>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Files with that end of the name, oldest index first.
    fn files(&self, suffix: &str) -> Result<Vec<PathBuf>, Error> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed("list", &self.dir))? {
            let path = entry.map_err(failed("list", &self.dir))?.path();
            if path.to_str().is_some_and(|name| name.ends_with(suffix)) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    fn prune(&self) -> Result<(), Error> {
        for suffix in [SUFFIX, BAD_SUFFIX] {
            let files = self.files(suffix)?;
            for path in files.iter().take(files.len().saturating_sub(KEPT)) {
                fs::remove_file(path).map_err(failed("remove", path))?;
            }
        }
        Ok(sync_dir(&self.dir)?)
    }

    /// How many files did not verify when the directory was opened.
    pub fn set_aside(&self) -> usize {
        self.set_aside
    }

    /// The newest verified snapshot.
    pub fn current(&self) -> Option<Arc<VerifiedSnapshot>> {
        self.lock().clone()
    }

    /// Writes all rows of a frozen view, makes them durable, reads them back, and keeps the file as the current one.
    /// Takes as long as reading all rows: call it on a thread of its own.
    pub fn build(&self, frozen: &mut dyn Frozen) -> Result<Arc<VerifiedSnapshot>, Error> {
        let _one = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let id = snapshot_id(frozen.meta());
        if let Some(current) = self.current().filter(|current| current.id == id) {
            return Ok(current);
        }
        let path = self.dir.join(format!("{}.building{TEMPORARY_SUFFIX}", hex(&id)));
        let built = self.write(frozen, id, path.clone());
        if built.is_err() {
            // Left behind it would only take room until the next start removes it.
            let _ = fs::remove_file(&path);
        }
        built
    }

    fn write(&self, frozen: &mut dyn Frozen, id: SnapshotId, path: PathBuf) -> Result<Arc<VerifiedSnapshot>, Error> {
        let mut writer = SnapshotReceiver::resume(path, id, Arc::clone(&self.seal))?;
        // A file of an earlier attempt was cut off at its last whole part, which may lie behind the rows read here.
        if writer.next_part() > 0 {
            writer.start_over()?;
        }
        writer.take(0, &header_part(&id, frozen.meta()))?;
        loop {
            let rows = frozen.part(PART_BYTES).map_err(Error::State)?;
            if rows.is_empty() {
                break;
            }
            writer.take(writer.next_part(), &rows_part(&rows))?;
        }
        let end = writer.intake.end_part();
        writer.take(writer.next_part(), &end)?;
        self.adopt(writer)
    }

    /// Starts, or goes on with, receiving a snapshot. What came of others is removed.
    pub fn receive(&self, id: SnapshotId) -> Result<SnapshotReceiver, Error> {
        let suffix = format!(".receiving{TEMPORARY_SUFFIX}");
        let path = self.dir.join(format!("{}{suffix}", hex(&id)));
        for other in self.files(&suffix)? {
            if other != path {
                fs::remove_file(&other).map_err(failed("remove", &other))?;
            }
        }
        SnapshotReceiver::resume(path, id, Arc::clone(&self.seal))
    }

    /// Makes a complete file durable, reads it back, and keeps it. A file that does not read back is removed. It
    /// becomes the current snapshot unless that one is newer.
    pub fn adopt(&self, receiver: SnapshotReceiver) -> Result<Arc<VerifiedSnapshot>, Error> {
        let SnapshotReceiver { path, file, intake, seal, .. } = receiver;
        if !intake.ended {
            return Err(Error::Incomplete { expected: intake.next });
        }
        file.sync_all().map_err(failed("sync", &path))?;
        let read_back = VerifiedSnapshot::verify(&path, &seal);
        let mut verified = match read_back {
            Ok(verified) => verified,
            Err(error) => {
                let _ = fs::remove_file(&path);
                return Err(error);
            }
        };
        let index = verified.meta.applied.map_or(0, |entry| entry.index);
        let target = self.dir.join(format!("{index:020}-{}{SUFFIX}", hex(&verified.id)));
        rename_durably(&path, &target)?;
        verified.path = target;
        let verified = Arc::new(verified);
        {
            let mut current = self.lock();
            if current.as_ref().is_none_or(|current| current.meta.applied <= verified.meta.applied) {
                *current = Some(Arc::clone(&verified));
            }
        }
        self.prune()?;
        Ok(verified)
    }
}

fn hex(id: &SnapshotId) -> String {
    format!("{:032x}", u128::from_be_bytes(*id))
}

/// The last entry up to which the log may be purged: what both a durable checkpoint and a verified, synced local
/// snapshot cover. `None`: nothing.
pub fn purge_bound(store: &dyn StateStore, snapshots: &Snapshots) -> Option<EntryId> {
    let snapshot = snapshots.current()?.meta.applied?;
    let checkpoint = store.checkpointed()?;
    Some(if checkpoint.index < snapshot.index { checkpoint } else { snapshot })
}
