//! The suites that both engines pass: the same functions, run for each.

mod conformance;
mod crash;
mod damage;
mod faults;
mod transfer;

use super::fill::OpenEngine;
use super::{Batch, EngineKind, EntryId, StateMeta, StateStore, digest};
use crate::storage::checkpoint::Owner;
use crate::storage::rebuild::{self, OpenError, Opened, Options, Start};
use crate::storage::row_seal::{OpenError as SealError, RowSeal};
use crate::storage::snapshot::Snapshots;
use plantao_domain::rows::is_put_once;
use plantao_domain::{Changes, ClusterId, MemView, NodeId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const ENGINES: [EngineKind; 2] = [EngineKind::Fjall, EngineKind::Sled];

/// A seal with a real check, for tests: a BLAKE3 key stream and a keyed tag over row key, nonce and text.
pub(crate) struct TestSeal {
    key: [u8; 32],
    nonce: AtomicU64,
}

impl TestSeal {
    pub(crate) fn shared(node: u8) -> Arc<dyn RowSeal> {
        Arc::new(Self { key: [node; 32], nonce: AtomicU64::new(1) })
    }

    fn keyed(&self, what: u8, row_key: &[u8], nonce: &[u8]) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[what]).update(&(row_key.len() as u64).to_le_bytes()).update(row_key).update(nonce);
        hasher
    }

    fn stream(&self, row_key: &[u8], nonce: &[u8], text: &[u8]) -> Vec<u8> {
        let mut stream = vec![0; text.len()];
        self.keyed(0, row_key, nonce).finalize_xof().fill(&mut stream);
        stream.iter().zip(text).map(|(a, b)| a ^ b).collect()
    }
}

impl RowSeal for TestSeal {
    fn seal(&self, row_key: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let nonce = self.nonce.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        let text = self.stream(row_key, &nonce, plaintext);
        let tag = self.keyed(1, row_key, &nonce).update(&text).finalize();
        [&nonce, &tag.as_bytes()[..16], &text].concat()
    }

    fn open(&self, row_key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, rest) = sealed.split_at_checked(8).ok_or(SealError)?;
        let (tag, text) = rest.split_at_checked(16).ok_or(SealError)?;
        if self.keyed(1, row_key, nonce).update(text).finalize().as_bytes()[..16] != *tag {
            return Err(SealError);
        }
        Ok(self.stream(row_key, nonce, text))
    }
}

/// SplitMix64: enough for choosing, and repeatable.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn value(&mut self) -> Vec<u8> {
        let length = match self.below(10) {
            0 => 0,
            1 => 3830 + self.below(20),
            2 => 3840 * 2 + self.below(3),
            3 => self.below(20_000),
            _ => self.below(300),
        };
        let seed = self.next();
        (0..length).map(|at| (seed >> (at % 57)) as u8 ^ at as u8).collect()
    }

    pub(crate) fn changes(&mut self, keys: usize, most: usize) -> Changes {
        (0..=self.below(most))
            .map(|_| {
                let number = self.below(keys);
                let mut key = vec![0x10 + (number % 0xE0) as u8];
                key.extend_from_slice(&(number as u32).to_be_bytes()[..1 + number % 4]);
                key.extend_from_slice(&(number as u32).to_be_bytes());
                if is_put_once(&key) {
                    key[0] = 0x10;
                }
                let value = (self.below(4) > 0).then(|| self.value());
                (key, value)
            })
            .collect()
    }
}

pub(crate) fn batch(index: u64, changes: Changes) -> Batch {
    let mut chain = [0; 32];
    chain[..8].copy_from_slice(&index.to_le_bytes());
    Batch {
        changes,
        applied: EntryId { term: 1 + index / 100, node: 1, index },
        membership: index.is_multiple_of(7).then(|| format!("members at {index}").into_bytes()),
        chain,
        last_time: index as i64 * 10,
    }
}

/// What a store with these rows must say.
pub(crate) fn figures(model: &MemView) -> (u64, [u8; 32]) {
    let mut content = digest::EMPTY;
    for (key, value) in model.rows() {
        digest::add(&mut content, key, value);
    }
    (model.rows().len() as u64, content)
}

/// One node's storage in a directory.
pub(crate) struct Place {
    pub(crate) root: PathBuf,
    pub(crate) seal: Arc<dyn RowSeal>,
    pub(crate) options: Options,
}

impl Place {
    pub(crate) fn new(root: &Path, engine: EngineKind) -> Self {
        let seal = TestSeal::shared(3);
        let owner = Owner { cluster: ClusterId::from_bytes([9; 16]), incarnation: 1, node: NodeId(3) };
        let options = Options { dir: root.join("state"), owner, engine, seal: Arc::clone(&seal) };
        Self { root: root.to_owned(), seal, options }
    }

    pub(crate) fn snapshots(&self) -> Snapshots {
        Snapshots::open(&self.root.join("snapshots"), Arc::clone(&self.seal)).unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Opened, OpenError> {
        rebuild::open(&self.options, &self.snapshots())
    }

    pub(crate) fn open(&self) -> (Arc<dyn StateStore>, Start) {
        let Opened { store, start } = self.try_open().unwrap();
        (store, start)
    }

    pub(crate) fn open_with(&self, engines: OpenEngine) -> Arc<dyn StateStore> {
        rebuild::open_with(&self.options, &self.snapshots(), engines).unwrap().store
    }

    pub(crate) fn generation(&self) -> PathBuf {
        let mut found: Vec<_> = std::fs::read_dir(&self.options.dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("gen-"))
            .collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

/// All rows of a store.
pub(crate) fn rows(store: &dyn StateStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    use plantao_domain::view::Order;
    store.range(&[0x10], &[0xF0], Order::Ascending, usize::MAX).unwrap()
}

pub(crate) fn model_rows(model: &MemView) -> Vec<(Vec<u8>, Vec<u8>)> {
    model.rows().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

pub(crate) fn index(meta: &StateMeta) -> u64 {
    meta.applied.map_or(0, |entry| entry.index)
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) fn files_under(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_under(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}
