//! Who this node is: written first and outside of log and state, so that an emptied disk is noticed.
//!
//! The file is one line of JSON and one line with its BLAKE3, for a person to read and a machine to check.

use super::fs::{FsError, read_bounded, write_durably};
use plantao_domain::upgrade::LEVEL_FIRST;
use plantao_domain::{ClusterId, NodeId};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Format 2 is format 1 with a level, for networks whose level was raised: programs of before refuse it by its number.
const FORMAT_FIRST: u32 = 1;
const FORMAT: u32 = 2;
const BYTES_MAX: u64 = 64 << 10;

/// The identity of one data directory. Never changed but by quorum recovery, never copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeIdentity {
    /// The network.
    pub cluster: ClusterId,
    /// Its name.
    pub cluster_name: String,
    /// This node's number: never used before, never again.
    pub node: NodeId,
    /// This node's name.
    pub name: String,
    /// Raised when a lost majority was given up; nodes of different incarnations do not talk.
    pub incarnation: u32,
    /// Whether it may hold the root key.
    pub keyed: bool,
    /// The format level that the network was raised to; `None`: it is at the first.
    pub raised: Option<Raised>,
}

/// A level above the first, as a directory is marked with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Raised {
    /// Which, 2 or more.
    pub level: u32,
    /// Version of the program that wrote the mark: it reads that level.
    pub program: String,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read.
    #[error("cannot read the node's identity")]
    Read(#[source] FsError),
    /// The file cannot be written.
    #[error("cannot write the node's identity")]
    Write(#[source] FsError),
    /// There is none.
    #[error("this directory belongs to no node yet")]
    Absent,
    /// It was altered.
    #[error("the node's identity is damaged")]
    Damaged,
    /// A newer version wrote it.
    #[error("the node's identity has format {found}, and this version reads {FORMAT}")]
    Format {
        /// What the file says.
        found: u32,
    },
    /// There is one already.
    #[error("this directory belongs to node {node} ({name}) already")]
    Present {
        /// Whose it is.
        node: NodeId,
        /// Its name.
        name: String,
    },
}

impl IdentityError {
    /// What to do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Read(_) | Self::Write(_) => "check the directory's owner and rights, and the disk",
            Self::Absent => "run `plantaod init` for the first node of a network, or `plantaod join` for another one",
            Self::Damaged => {
                "do not repair it by hand: set the directory aside and let the node join afresh under a new number"
            }
            Self::Format { .. } => "start the version of plantaod that wrote it, or a newer one",
            Self::Present { .. } => "run it with `plantaod run`, or choose another directory",
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    format: u32,
    cluster: String,
    cluster_name: String,
    node: u64,
    name: String,
    incarnation: u32,
    keyed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program: Option<String>,
}

impl NodeIdentity {
    /// The format level that the directory is marked with.
    pub fn level(&self) -> u32 {
        self.raised.as_ref().map_or(LEVEL_FIRST, |raised| raised.level)
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let bytes = read_bounded(path, BYTES_MAX).map_err(|source| {
            if source.is_not_found() { IdentityError::Absent } else { IdentityError::Read(source) }
        })?;
        decode(&bytes)
    }

    /// Writes the first one of a directory.
    ///
    /// # Errors
    /// See [`IdentityError`]; `Present` when there is one.
    pub fn create(&self, path: &Path) -> Result<(), IdentityError> {
        match Self::load(path) {
            Err(IdentityError::Absent) => write_durably(path, &self.encode()).map_err(IdentityError::Write),
            Ok(other) => Err(IdentityError::Present { node: other.node, name: other.name }),
            Err(error) => Err(error),
        }
    }

    /// Writes the identity of a later incarnation over this one: the old or the new is there after a crash.
    ///
    /// # Errors
    /// See [`IdentityError`]; `Damaged` when the incarnation would not rise, which no caller may ask for.
    pub fn begin_incarnation(&self, path: &Path, incarnation: u32) -> Result<Self, IdentityError> {
        if incarnation <= self.incarnation {
            return Err(IdentityError::Damaged);
        }
        let next = Self { incarnation, ..self.clone() };
        write_durably(path, &next.encode()).map_err(IdentityError::Write)?;
        Ok(next)
    }

    /// Marks the directory with a higher format level, in place of this identity: the old or the new is there after a crash.
    ///
    /// # Errors
    /// See [`IdentityError`]; `Damaged` when the level would not rise, which no caller may ask for.
    pub fn begin_level(&self, path: &Path, raised: Raised) -> Result<Self, IdentityError> {
        if raised.level <= self.level() {
            return Err(IdentityError::Damaged);
        }
        let next = Self { raised: Some(raised), ..self.clone() };
        write_durably(path, &next.encode()).map_err(IdentityError::Write)?;
        Ok(next)
    }

    fn encode(&self) -> Vec<u8> {
        let line = Line {
            format: if self.raised.is_some() { FORMAT } else { FORMAT_FIRST },
            cluster: self.cluster.to_string(),
            cluster_name: self.cluster_name.clone(),
            node: self.node.0,
            name: self.name.clone(),
            incarnation: self.incarnation,
            keyed: self.keyed,
            level: self.raised.as_ref().map(|raised| raised.level),
            program: self.raised.as_ref().map(|raised| raised.program.clone()),
        };
        let json = serde_json::to_string(&line).expect("texts and numbers are JSON");
        format!("{json}\n{}\n", blake3::hash(json.as_bytes()).to_hex()).into_bytes()
    }
}

/// For [`crate::again`].
pub(crate) fn again(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(decode(bytes).ok()?.encode())
}

fn decode(bytes: &[u8]) -> Result<NodeIdentity, IdentityError> {
    let text = std::str::from_utf8(bytes).map_err(|_| IdentityError::Damaged)?;
    let (json, digest) = text.split_once('\n').ok_or(IdentityError::Damaged)?;
    if digest != format!("{}\n", blake3::hash(json.as_bytes()).to_hex()) {
        return Err(IdentityError::Damaged);
    }
    let format = serde_json::from_str::<serde_json::Value>(json).ok().and_then(|value| value.get("format")?.as_u64());
    match format.and_then(|format| u32::try_from(format).ok()) {
        Some(FORMAT_FIRST | FORMAT) => {}
        Some(found) => return Err(IdentityError::Format { found }),
        None => return Err(IdentityError::Damaged),
    }
    let line: Line = serde_json::from_str(json).map_err(|_| IdentityError::Damaged)?;
    let raised = match (line.format, line.level, line.program) {
        (FORMAT_FIRST, None, None) => None,
        (FORMAT, Some(level), Some(program)) if level > LEVEL_FIRST => Some(Raised { level, program }),
        _ => return Err(IdentityError::Damaged),
    };
    Ok(NodeIdentity {
        cluster: line.cluster.parse().map_err(|_| IdentityError::Damaged)?,
        cluster_name: line.cluster_name,
        node: NodeId(line.node),
        name: line.name,
        incarnation: line.incarnation,
        keyed: line.keyed,
        raised,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn identity() -> NodeIdentity {
        NodeIdentity {
            cluster: ClusterId::from_bytes([7; 16]),
            cluster_name: "rede-teste".to_string(),
            node: NodeId(3),
            name: "cofre".to_string(),
            incarnation: 1,
            keyed: false,
            raised: None,
        }
    }

    #[test]
    fn it_comes_back_and_a_second_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        assert!(matches!(NodeIdentity::load(&path), Err(IdentityError::Absent)));
        identity().create(&path).unwrap();
        assert_eq!(NodeIdentity::load(&path).unwrap(), identity());
        assert!(matches!(identity().create(&path), Err(IdentityError::Present { .. })));
    }

    #[test]
    fn an_incarnation_only_rises() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        identity().create(&path).unwrap();
        assert!(identity().begin_incarnation(&path, 1).is_err());
        let next = identity().begin_incarnation(&path, 2).unwrap();
        assert_eq!((NodeIdentity::load(&path).unwrap(), next.incarnation), (next.clone(), 2));
        assert_eq!(NodeIdentity { incarnation: 1, ..next }, identity());
    }

    #[test]
    fn a_level_only_rises_and_stays_with_the_next_incarnation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        identity().create(&path).unwrap();
        let to = |level| Raised { level, program: "0.2.0".to_owned() };
        assert!(identity().begin_level(&path, to(1)).is_err());
        let next = identity().begin_level(&path, to(2)).unwrap();
        assert_eq!((NodeIdentity::load(&path).unwrap(), next.level(), identity().level()), (next.clone(), 2, 1));
        let next = next.begin_incarnation(&path, 2).unwrap();
        assert_eq!((NodeIdentity::load(&path).unwrap().level(), next.incarnation), (2, 2));
        assert!(next.begin_level(&path, to(2)).is_err());
    }

    #[test]
    fn each_prefix_and_each_flipped_bit_is_damage() {
        let raised = Some(Raised { level: 2, program: "0.2.0".to_owned() });
        for good in [identity().encode(), NodeIdentity { raised, ..identity() }.encode()] {
            damaged(&good);
        }
    }

    fn damaged(good: &[u8]) {
        for end in 0..good.len() {
            assert!(decode(&good[..end]).is_err(), "cut at {end}");
        }
        for at in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(decode(&bad).is_err(), "bit {at}");
        }
    }
}
