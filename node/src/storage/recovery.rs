//! Two marks beside the identity, about incarnations of the network: a recovered quorum that was begun here and is not
//! finished, and that the network went on without this node. A node with either does not run. What is decided and in which
//! order it is written is `cmd::quorum`'s (decision 0018).
//!
//! Each is one line of JSON and one line with its BLAKE3, as the identity is.

use super::fs::{DataDir, FsError, read_bounded, remove_durably, write_durably};
use super::wal::EntryId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

const FORMAT: u32 = 1;
const BYTES_MAX: u64 = 1 << 20;

/// A recovery, written down before anything else is touched: repeating it does the same, to the byte.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BegunRecovery {
    /// The network's id.
    pub cluster: String,
    /// The node that goes on.
    pub node: u64,
    /// The incarnation that begins.
    pub incarnation: u32,
    /// The last entry of the old incarnation; `None` for an empty log.
    pub base: Option<EntryPlace>,
    /// Term of the entries that follow it, and of the vote.
    pub term: u64,
    /// Their payloads, in order.
    pub payloads: Vec<Vec<u8>>,
}

/// An [`EntryId`] in this file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryPlace {
    /// The leader's term.
    pub term: u64,
    /// The leader's number.
    pub node: u64,
    /// The place in the log.
    pub index: u64,
}

impl From<EntryId> for EntryPlace {
    fn from(id: EntryId) -> Self {
        Self { term: id.term, node: id.node, index: id.index }
    }
}

impl From<EntryPlace> for EntryId {
    fn from(place: EntryPlace) -> Self {
        Self { term: place.term, node: place.node, index: place.index }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Superseded {
    incarnation: u32,
}

#[derive(Serialize, Deserialize)]
struct Framed<T> {
    format: u32,
    content: T,
}

/// Why this directory's node does not run.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// It is a member of the past.
    #[error("the network went on without this node: it is at incarnation {incarnation}, and this directory is older")]
    Superseded {
        /// The newer incarnation.
        incarnation: u32,
    },
    /// Half of it may be written.
    #[error("a quorum recovery was begun in this directory and is not finished")]
    Unfinished,
    /// A mark is there and cannot be understood.
    #[error("the mark {file} is damaged, or of another version")]
    Damaged {
        /// Its name.
        file: &'static str,
    },
    /// A mark cannot be read or written.
    #[error("a mark of the data directory cannot be read or written")]
    File(#[source] FsError),
}

impl MarkError {
    /// The number in `PLT-nnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Superseded { .. } => 3201,
            Self::Unfinished => 3202,
            Self::Damaged { .. } => 3207,
            Self::File(_) => 3208,
        }
    }

    /// What to do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Superseded { .. } => {
                "set this data directory aside, keep it until everything is found again, and join as a new node: \
                 `plantao token create`, `plantaod join`"
            }
            Self::Unfinished => "repeat the same `plantaod quorum recover`: it goes on where it stopped",
            Self::Damaged { .. } => "set this data directory aside and join as a new node",
            Self::File(_) => "check the directory's owner and rights, and the disk",
        }
    }
}

/// Refuses a directory whose node must not run.
///
/// # Errors
/// See [`MarkError`].
pub fn check(data: &DataDir) -> Result<(), MarkError> {
    check_superseded(data)?;
    if begun(data)?.is_some() { Err(MarkError::Unfinished) } else { Ok(()) }
}

/// Refuses the directory of a member of the past.
///
/// # Errors
/// See [`MarkError`].
pub fn check_superseded(data: &DataDir) -> Result<(), MarkError> {
    match read::<Superseded>(&data.superseded(), "superseded")? {
        Some(Superseded { incarnation }) => Err(MarkError::Superseded { incarnation }),
        None => Ok(()),
    }
}

/// Notes that the network is at a newer incarnation. Nothing takes that back.
///
/// # Errors
/// The disk refuses.
pub fn supersede(data: &DataDir, incarnation: u32) -> Result<(), MarkError> {
    write(&data.superseded(), &Superseded { incarnation })
}

/// The recovery that was begun, if one was.
///
/// # Errors
/// See [`MarkError`].
pub fn begun(data: &DataDir) -> Result<Option<BegunRecovery>, MarkError> {
    read(&data.recovery(), "recovery")
}

/// Writes a recovery down, durably.
///
/// # Errors
/// The disk refuses.
pub fn begin(data: &DataDir, recovery: &BegunRecovery) -> Result<(), MarkError> {
    write(&data.recovery(), recovery)
}

/// It is done.
///
/// # Errors
/// The disk refuses.
pub fn finish(data: &DataDir) -> Result<(), MarkError> {
    remove_durably(&data.recovery()).map_err(MarkError::File)
}

fn write<T: Serialize>(path: &Path, content: &T) -> Result<(), MarkError> {
    write_durably(path, encode(content).as_bytes()).map_err(MarkError::File)
}

fn encode<T: Serialize>(content: &T) -> String {
    let json = serde_json::to_string(&Framed { format: FORMAT, content }).expect("numbers and texts are JSON");
    format!("{json}\n{}\n", blake3::hash(json.as_bytes()).to_hex())
}

/// For [`crate::again`]: as either mark.
pub(crate) fn again(bytes: &[u8]) -> Option<Vec<u8>> {
    let recovery = || Some(encode(&decode::<BegunRecovery>(bytes)?).into_bytes());
    recovery().or_else(|| Some(encode(&decode::<Superseded>(bytes)?).into_bytes()))
}

fn read<T: DeserializeOwned>(path: &Path, file: &'static str) -> Result<Option<T>, MarkError> {
    match read_bounded(path, BYTES_MAX) {
        Ok(bytes) => decode(&bytes).map(Some).ok_or(MarkError::Damaged { file }),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(MarkError::File(error)),
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (json, digest) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let whole = digest == format!("{}\n", blake3::hash(json.as_bytes()).to_hex());
    let framed: Framed<T> = serde_json::from_str(json).ok().filter(|_| whole)?;
    (framed.format == FORMAT).then_some(framed.content)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_a_mark_is_refused_and_a_damaged_mark_is_no_permission() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        check(&data).unwrap();
        let recovery = BegunRecovery {
            cluster: "x".to_owned(),
            node: 3,
            incarnation: 2,
            base: Some(EntryPlace { term: 1, node: 1, index: 9 }),
            term: 4,
            payloads: vec![vec![1, 2], vec![0xff]],
        };
        begin(&data, &recovery).unwrap();
        assert_eq!(begun(&data).unwrap().unwrap(), recovery);
        assert!(matches!(check(&data), Err(MarkError::Unfinished)));
        let good = std::fs::read(data.recovery()).unwrap();
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(decode::<BegunRecovery>(&bad).is_none(), "bit {at}");
        }
        for end in 0..good.len() {
            assert!(decode::<BegunRecovery>(&good[..end]).is_none(), "cut at {end}");
        }
        std::fs::write(data.recovery(), &good[..9]).unwrap();
        assert!(matches!(check(&data), Err(MarkError::Damaged { file: "recovery" })));
        finish(&data).unwrap();
        check(&data).unwrap();
        supersede(&data, 2).unwrap();
        assert!(matches!(check(&data), Err(MarkError::Superseded { incarnation: 2 })));
    }
}
