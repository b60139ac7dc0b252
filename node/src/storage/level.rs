//! Up to which format level this node reads and writes, and the mark of a raised one in its identity (decision 0024).
//!
//! The mark is written *before* the entry that raises the level is applied, and it changes the format of the identity file:
//! so a program that knows nothing of levels does not start on such a directory either.

pub use plantao_domain::upgrade::{LEVEL_FIRST, LEVEL_NEWEST};

use super::identity::{IdentityError, NodeIdentity, Raised};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The program's version, as marks and peers are told it.
pub const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// Why this program must not go on with a directory.
#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    /// A newer program wrote it, and the network's upgrade was ended with that.
    #[error("the network is at format level {level}{}, and this program ({PROGRAM}) reads up to {newest}", by(.program))]
    TooOld {
        /// What it would have to read.
        level: u32,
        /// What it reads.
        newest: u32,
        /// The version that marked the directory; empty where it is not marked yet.
        program: String,
    },
    /// The mark cannot be written.
    #[error("the format level cannot be noted in the node's identity")]
    Note(#[source] IdentityError),
}

fn by(program: &str) -> String {
    if program.is_empty() { String::new() } else { format!(", as plantaod {program} writes it") }
}

impl LevelError {
    /// The number in `PLT-nnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Self::TooOld { .. } => 3209,
            Self::Note(_) => 3208,
        }
    }

    /// What to do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::TooOld { .. } => {
                "install that version of plantaod, or a newer one; if `upgrade.level_max` is set, take it away"
            }
            Self::Note(_) => "check the directory's owner and rights, and the disk",
        }
    }
}

/// What this node reads, and where it marks what it came to. Shared by the applier and the services.
pub struct Levels {
    newest: u32,
    place: Option<(PathBuf, Mutex<NodeIdentity>)>,
}

impl Levels {
    /// Of the directory with this identity at this path; `level_max` caps the program's newest level.
    pub fn of(level_max: u32, path: PathBuf, identity: NodeIdentity) -> Self {
        Self { newest: level_max.min(LEVEL_NEWEST), place: Some((path, Mutex::new(identity))) }
    }

    /// Marks nothing: for a state machine without a directory of a node.
    pub fn unmarked(newest: u32) -> Self {
        Self { newest, place: None }
    }

    /// The newest level that this node reads and writes.
    pub fn newest(&self) -> u32 {
        self.newest
    }

    /// Whether this node reads a level.
    ///
    /// # Errors
    /// [`LevelError::TooOld`].
    pub fn check(&self, level: u32) -> Result<(), LevelError> {
        if level <= self.newest {
            return Ok(());
        }
        let program = self.marked().map(|raised| raised.program).unwrap_or_default();
        Err(LevelError::TooOld { level, newest: self.newest, program })
    }

    /// The same of the level that the directory is marked with.
    ///
    /// # Errors
    /// [`LevelError::TooOld`].
    pub fn check_mark(&self) -> Result<(), LevelError> {
        self.marked().map_or(Ok(()), |raised| self.check(raised.level))
    }

    /// The network is at this level, or is about to be by a committed entry: no older program runs on this directory again.
    ///
    /// # Errors
    /// See [`LevelError`]; nothing may be applied then.
    pub fn reach(&self, level: u32) -> Result<(), LevelError> {
        self.check(level)?;
        let Some((path, identity)) = &self.place else { return Ok(()) };
        let mut identity = identity.lock().unwrap_or_else(PoisonError::into_inner);
        if level > identity.level() {
            let raised = Raised { level, program: PROGRAM.to_owned() };
            *identity = identity.begin_level(path, raised).map_err(LevelError::Note)?;
            tracing::info!(level, "this directory is marked with the network's format level; older programs refuse it");
        }
        Ok(())
    }

    fn marked(&self) -> Option<Raised> {
        let (_, identity) = self.place.as_ref()?;
        identity.lock().unwrap_or_else(PoisonError::into_inner).raised.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use plantao_domain::{ClusterId, NodeId};

    #[test]
    fn a_directory_that_came_to_a_level_is_refused_by_who_does_not_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        let identity = NodeIdentity {
            cluster: ClusterId::from_bytes([7; 16]),
            cluster_name: "rede-teste".to_owned(),
            node: NodeId(1),
            name: "centro".to_owned(),
            incarnation: 1,
            keyed: true,
            raised: None,
        };
        identity.create(&path).unwrap();
        let before = std::fs::read(&path).unwrap();
        let levels = |max| Levels::of(max, path.clone(), NodeIdentity::load(&path).unwrap());
        levels(2).reach(1).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), before, "the first level leaves no mark: older programs go on");
        assert!(matches!(levels(1).reach(2), Err(LevelError::TooOld { level: 2, newest: 1, .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before, "nothing is marked that cannot be read here");
        levels(u32::MAX).reach(2).unwrap();
        assert_eq!(levels(2).newest(), LEVEL_NEWEST);
        levels(2).check_mark().unwrap();
        let refused = levels(1).check_mark().unwrap_err();
        assert!(refused.to_string().contains(&format!("as plantaod {PROGRAM} writes it")), "{refused}");
        // Programs from before there were levels read format 1 only, whatever else the line says.
        assert!(std::fs::read_to_string(&path).unwrap().contains("\"format\":2"));
    }
}
