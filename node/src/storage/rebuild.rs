//! Start of the state: what was found, what to do about it (a pure decision), and doing it. Whatever does not equal
//! what its meta and CHECKPOINT say is set aside and rebuilt from the newest verified snapshot, or empty; the log, or a
//! peer's snapshot, supplies the rest.
//!
//! ```text
//! state/CHECKPOINT        which generation is the state; two slots
//! state/gen-<n>/          the engine's directory
//! state/bad-<n>/          set aside, at most BAD_KEPT
//! state/DISTRUST          an engine panicked, or a row was damaged, while the node ran
//! state/OPENING           one byte for each start that has not got through its scan yet
//! ```

use super::checkpoint::{Checkpoint, Found, Owner, Record};
use super::fs::{FsError, create_dir_durably, remove_durably, sync_dir};
use super::row_seal::RowSeal;
use super::snapshot::{PART_BYTES_MAX, Snapshots};
use super::state::fill::{self, Cell, NoRows, OpenEngine, generation_dir, scan};
use super::state::sealed::{DISTRUST, FrozenRows, SealedState};
use super::state::{EngineKind, EntryId, Error, RowSource, StateMeta, StateStore};
use plantao_domain::{ClusterId, NodeId};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Directories that were set aside and are kept for a look: they take room, and the newest tell most.
const BAD_KEPT: usize = 2;
/// Starts that may die while an engine opens or is scanned before its directory is given up. A kill in the middle of
/// two starts is bad luck; a third time the directory is taken for the cause.
const OPENINGS_MAX: u64 = 3;
const CHECKPOINT: &str = "CHECKPOINT";
const OPENING: &str = "OPENING";

/// How to open the state.
#[derive(Clone)]
pub struct Options {
    /// The directory `state/`.
    pub dir: PathBuf,
    /// Whose state it must be.
    pub owner: Owner,
    /// The engine that holds it from now on. A directory of the other engine is converted.
    pub engine: EngineKind,
    /// Seals rows with the node's storage key.
    pub seal: Arc<dyn RowSeal>,
}

/// An open state, and how it came about.
pub struct Opened {
    /// The state. Its `meta().applied` may be behind the log's purged index after a rebuild: then only a peer's
    /// snapshot helps, and the caller must not start consensus on a gap without asking for one.
    pub store: Arc<dyn StateStore>,
    /// What the start did.
    pub start: Start,
}

/// What a start did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Start {
    /// There was nothing yet.
    Created,
    /// Every row was read and all figures agree.
    Verified,
    /// As `Verified`, then moved into the configured engine.
    Converted {
        /// The engine that held it.
        from: EngineKind,
    },
    /// What was found was set aside.
    Rebuilt {
        /// Why.
        reason: Distrust,
        /// What the rows are at now: the newest verified snapshot, `None` for an empty state.
        from: Option<EntryId>,
    },
}

/// Why a state directory is not trusted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Distrust {
    /// There are engine directories, or a snapshot, but no CHECKPOINT.
    #[error("the checkpoint file is missing")]
    CheckpointMissing,
    /// Neither slot is valid.
    #[error("the checkpoint file is damaged")]
    CheckpointDamaged,
    /// CHECKPOINT names a directory that is not there.
    #[error("the engine directory is missing")]
    DirectoryMissing,
    /// The node marked it while it ran.
    #[error("an engine fault was noted while the node ran")]
    Marked,
    /// Start after start died while opening it.
    #[error("{attempts} starts ended while the engine was opened")]
    NeverOpened {
        /// How many.
        attempts: u64,
    },
    /// The rows are laid out as an earlier version did; nothing is wrong with them.
    #[error("it has the layout of an earlier version")]
    EarlierLayout,
    /// The engine does not open, or fails while it is read.
    #[error("the engine does not open or read")]
    Engine,
    /// The engine panicked while it was opened or read.
    #[error("the engine panicked")]
    Panicked,
    /// A row does not open, or the meta row is not there.
    #[error("a row of kind {prefix:#04x} is damaged or missing")]
    Damaged {
        /// First byte of its key.
        prefix: u8,
    },
    /// Rows are missing, or too many.
    #[error("there are {found} rows where {expected} were written")]
    Count {
        /// What the meta row says.
        expected: u64,
        /// What the scan found.
        found: u64,
    },
    /// As many rows as there should be, but not the same.
    #[error("the rows do not have the digest that was written with them")]
    Content,
    /// The engine went back behind what was synced.
    #[error("the state is at {found:?}, behind the checkpoint at {checkpoint:?}")]
    BehindCheckpoint {
        /// Index in CHECKPOINT.
        checkpoint: Option<u64>,
        /// Index in the engine.
        found: Option<u64>,
    },
    /// At the checkpoint's index, but with other figures.
    #[error("the state differs from the checkpoint at the same index")]
    OtherThanCheckpoint,
}

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is another's; nothing in it was touched. Check the data directory that is configured.
    #[error("the state directory belongs to node {node} of cluster {cluster}")]
    Foreign {
        /// Its cluster.
        cluster: ClusterId,
        /// Its node.
        node: NodeId,
    },
    /// The identity is older than the state: a data directory was put together from parts. Nothing was touched.
    #[error("the state is of incarnation {found}, the identity of incarnation {ours}")]
    NewerIncarnation {
        /// In the state.
        found: u64,
        /// In the identity.
        ours: u64,
    },
    /// Another process has it open. Nothing was touched.
    #[error("the state directory is in use by another process")]
    Busy,
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FsError),
    /// A fresh directory could not be filled.
    #[error("the state cannot be rebuilt")]
    Rebuild(#[source] Error),
}

/// What lies in the directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Findings {
    checkpoint: FoundCheckpoint,
    /// Engine directories, ascending.
    generations: Vec<u64>,
    marked: bool,
    openings: u64,
    has_snapshot: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum FoundCheckpoint {
    Missing,
    Damaged,
    Valid(Record),
}

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Plan {
    Create,
    /// Scan this one, then trust it or not.
    Verify(Record),
    Rebuild(Distrust),
    RefuseForeign {
        cluster: ClusterId,
        node: NodeId,
    },
    RefuseIncarnation {
        found: u64,
    },
}

/// Decides from what was found. Pure.
pub(crate) fn plan(found: &Findings, owner: &Owner) -> Plan {
    let record = match &found.checkpoint {
        FoundCheckpoint::Missing if found.generations.is_empty() && !found.has_snapshot => {
            return Plan::Create;
        }
        FoundCheckpoint::Missing => return Plan::Rebuild(Distrust::CheckpointMissing),
        FoundCheckpoint::Damaged => return Plan::Rebuild(Distrust::CheckpointDamaged),
        FoundCheckpoint::Valid(record) => record,
    };
    if record.owner.cluster != owner.cluster || record.owner.node != owner.node {
        return Plan::RefuseForeign { cluster: record.owner.cluster, node: record.owner.node };
    }
    if record.owner.incarnation > owner.incarnation {
        return Plan::RefuseIncarnation { found: record.owner.incarnation };
    }
    if found.marked {
        return Plan::Rebuild(Distrust::Marked);
    }
    if !found.generations.contains(&record.generation) {
        return Plan::Rebuild(Distrust::DirectoryMissing);
    }
    if found.openings >= OPENINGS_MAX {
        return Plan::Rebuild(Distrust::NeverOpened { attempts: found.openings });
    }
    Plan::Verify(record.clone())
}

/// Compares a scan with what was written. Pure.
fn judge(found: &fill::Scan, record: &Record) -> Result<(), Distrust> {
    let (meta, noted) = (&found.meta, &record.meta);
    if found.rows != meta.rows {
        return Err(Distrust::Count { expected: meta.rows, found: found.rows });
    }
    if found.content != meta.content {
        return Err(Distrust::Content);
    }
    let index = |meta: &StateMeta| meta.applied.map(|entry| entry.index);
    if index(meta) < index(noted) {
        return Err(Distrust::BehindCheckpoint { checkpoint: index(noted), found: index(meta) });
    }
    let figures = |meta: &StateMeta| (meta.applied, meta.rows, meta.content, meta.chain);
    if index(meta) == index(noted) && figures(meta) != figures(noted) {
        return Err(Distrust::OtherThanCheckpoint);
    }
    Ok(())
}

/// Opens the state: verified, converted, rebuilt or new. It reads every row, so its time grows with them.
pub fn open(options: &Options, snapshots: &Snapshots) -> Result<Opened, OpenError> {
    open_with(options, snapshots, fill::engines())
}

/// [`open`] with other engines: tests put faults between, a simulation its own.
pub fn open_with(options: &Options, snapshots: &Snapshots, engines: OpenEngine) -> Result<Opened, OpenError> {
    create_dir_durably(&options.dir)?;
    let path = options.dir.join(CHECKPOINT);
    let (file, checkpoint) = match Checkpoint::read(&path)? {
        Found::Missing => (None, FoundCheckpoint::Missing),
        Found::Damaged => (None, FoundCheckpoint::Damaged),
        Found::Valid(file) => {
            let record = file.record().clone();
            (Some(*file), FoundCheckpoint::Valid(record))
        }
    };
    let found = Findings {
        checkpoint,
        generations: generations(&options.dir)?,
        marked: options.dir.join(DISTRUST).exists(),
        openings: fs::metadata(options.dir.join(OPENING)).map_or(0, |file| file.len()),
        has_snapshot: snapshots.current().is_some(),
    };
    let decided = plan(&found, &options.owner);
    let mut opening = Opening { options, snapshots, engines, found };
    match (decided, file) {
        (Plan::RefuseForeign { cluster, node }, _) => Err(OpenError::Foreign { cluster, node }),
        (Plan::RefuseIncarnation { found }, _) => {
            Err(OpenError::NewerIncarnation { found, ours: options.owner.incarnation })
        }
        (Plan::Create, _) => {
            let store = opening.fresh(&StateMeta::default(), &mut NoRows)?;
            Ok(Opened { store: Arc::new(store), start: Start::Created })
        }
        (Plan::Verify(record), Some(file)) => opening.verify(&record, file),
        (Plan::Verify(_), None) => opening.rebuild(Distrust::CheckpointMissing),
        (Plan::Rebuild(reason), _) => opening.rebuild(reason),
    }
}

struct Opening<'a> {
    options: &'a Options,
    snapshots: &'a Snapshots,
    engines: OpenEngine,
    found: Findings,
}

impl Opening<'_> {
    fn verify(&mut self, record: &Record, file: Checkpoint) -> Result<Opened, OpenError> {
        self.note_opening()?;
        let seal = &self.options.seal;
        let dir = generation_dir(&self.options.dir, record.generation);
        let opened = Cell::open(&self.engines, record.engine, dir).and_then(|cell| {
            let found = scan(cell.engine(), &**seal)?;
            Ok((cell, found))
        });
        let (cell, found) = match opened {
            Ok(opened) => opened,
            Err(Error::Busy) => {
                self.forget_opening()?;
                return Err(OpenError::Busy);
            }
            Err(error) => return self.rebuild(distrust(&error)),
        };
        if let Err(reason) = judge(&found, record) {
            drop(cell);
            return self.rebuild(reason);
        }
        let mut others = self.found.generations.clone();
        others.retain(|generation| *generation != record.generation);
        for generation in others {
            // Left behind by an installation that a crash cut off, or by one that had just been replaced.
            remove_tree(&generation_dir(&self.options.dir, generation))?;
        }
        let mut file = file;
        if record.owner != self.options.owner {
            file.write(Record { owner: self.options.owner, ..record.clone() })?;
        }
        self.forget_opening()?;
        let store = self.store(file, cell, found.meta);
        if record.engine == self.options.engine {
            return Ok(Opened { store: Arc::new(store), start: Start::Verified });
        }
        let mut frozen = store.freeze().map_err(OpenError::Rebuild)?;
        let meta = Arc::clone(frozen.meta());
        let mut rows = FrozenRows::new(&mut *frozen, PART_BYTES_MAX / 2);
        store.install(&meta, &mut rows).map_err(OpenError::Rebuild)?;
        drop(frozen);
        Ok(Opened { store: Arc::new(store), start: Start::Converted { from: record.engine } })
    }

    fn rebuild(&mut self, reason: Distrust) -> Result<Opened, OpenError> {
        for generation in self.found.generations.clone() {
            // Of several the one that CHECKPOINT names, else the newest, is worth a look later.
            let named = match &self.found.checkpoint {
                FoundCheckpoint::Valid(record) => record.generation,
                _ => self.found.generations.last().copied().unwrap_or_default(),
            };
            let dir = generation_dir(&self.options.dir, generation);
            if generation == named { set_aside(&self.options.dir, &dir)? } else { remove_tree(&dir)? }
        }
        let (store, from) = match self.snapshots.current() {
            Some(snapshot) => {
                let mut rows = snapshot.rows().map_err(|_| OpenError::Rebuild(Error::SnapshotMismatch))?;
                (self.fresh(snapshot.meta(), &mut rows)?, snapshot.meta().applied)
            }
            None => (self.fresh(&StateMeta::default(), &mut NoRows)?, None),
        };
        Ok(Opened { store: Arc::new(store), start: Start::Rebuilt { reason, from } })
    }

    /// A new generation with these rows. CHECKPOINT comes last: a crash before it starts over.
    fn fresh(&mut self, meta: &StateMeta, rows: &mut dyn RowSource) -> Result<SealedState, OpenError> {
        let named = match &self.found.checkpoint {
            FoundCheckpoint::Valid(record) => record.generation,
            _ => 0,
        };
        let highest = self.found.generations.last().copied().unwrap_or_default().max(named);
        let generation = highest.saturating_add(1);
        let options = self.options;
        let dir = generation_dir(&options.dir, generation);
        let cell =
            fill::fill(&self.engines, options.engine, dir, &*options.seal, meta, rows).map_err(OpenError::Rebuild)?;
        let record = Record {
            owner: options.owner,
            engine: options.engine,
            generation,
            meta: StateMeta { membership: Vec::new(), ..meta.clone() },
        };
        sync_dir(&options.dir)?;
        let file = Checkpoint::create(&options.dir.join(CHECKPOINT), record)?;
        remove_durably(&options.dir.join(DISTRUST))?;
        self.forget_opening()?;
        Ok(self.store(file, cell, meta.clone()))
    }

    fn store(&self, file: Checkpoint, cell: Cell, meta: StateMeta) -> SealedState {
        let Options { dir, engine, seal, .. } = self.options;
        SealedState::new(dir, *engine, Arc::clone(seal), Arc::clone(&self.engines), file, (cell, meta))
    }

    fn note_opening(&self) -> Result<(), FsError> {
        let path = self.options.dir.join(OPENING);
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| {
                file.write_all(b".")?;
                file.sync_all()
            })
            .map_err(|source| FsError::Io { operation: "write", path, source })?;
        sync_dir(&self.options.dir)
    }

    fn forget_opening(&self) -> Result<(), FsError> {
        remove_durably(&self.options.dir.join(OPENING))
    }
}

fn distrust(error: &Error) -> Distrust {
    match error {
        Error::Damaged { prefix } => Distrust::Damaged { prefix: *prefix },
        Error::Panicked { .. } => Distrust::Panicked,
        Error::EarlierLayout => Distrust::EarlierLayout,
        _ => Distrust::Engine,
    }
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl Fn(io::Error) -> FsError + 'a {
    move |source| FsError::Io { operation, path: path.to_owned(), source }
}

/// Numbers in the names of entries that begin with `prefix`, ascending.
fn numbered(dir: &Path, prefix: &str) -> Result<Vec<u64>, FsError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed("list", dir))? {
        let name = entry.map_err(failed("list", dir))?.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse().ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn generations(dir: &Path) -> Result<Vec<u64>, FsError> {
    numbered(dir, "gen-")
}

fn remove_tree(path: &Path) -> Result<(), FsError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn set_aside(dir: &Path, bad: &Path) -> Result<(), FsError> {
    let mut kept = numbered(dir, "bad-")?;
    let next = kept.last().copied().unwrap_or_default().saturating_add(1);
    fs::rename(bad, dir.join(format!("bad-{next}"))).map_err(failed("rename", bad))?;
    kept.push(next);
    for old in kept.iter().take(kept.len().saturating_sub(BAD_KEPT)) {
        remove_tree(&dir.join(format!("bad-{old}")))?;
    }
    sync_dir(dir)
}
