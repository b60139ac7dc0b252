//! What rests on this node's disk, sealed under its storage key: log payloads, rows of the state, journal entries.
//!
//! ```text
//! owner = node id; object: log payload = index u64 BE | row = row key | journal entry = journal id[16]
//! object version: journal entry = sequence, else 0
//! ```
//!
//! A frame is bound to its place, so a row copied over another, a log entry moved to another index, and anything taken
//! from another node's disk do not open. What a row *was* at an earlier time does open: the content digest of the state
//! finds that (DESIGN section 7), not the seal.

use super::keys::StorageKey;
use super::seal::{Context, Kind, OpenError, Owner, open, seal as seal_frame};
use super::uniq::UniqSource;
use crate::entropy::Entropy;
use crate::storage::row_seal::{self, RowSeal};
use crate::storage::seal::{self, PayloadSeal};
use plantao_domain::{ClusterId, JournalId, NodeId};
use std::sync::Arc;

/// The format of payloads, rows and journal entries is versioned by their own codecs.
const SCHEMA: u16 = 1;

/// Seals what one node keeps on its disk. Shared freely between threads.
pub struct StorageSeal {
    key: StorageKey,
    cluster: ClusterId,
    node: NodeId,
    uniq: UniqSource,
}

impl StorageSeal {
    /// For the data directory of `node` in `cluster`.
    pub fn new(key: StorageKey, cluster: ClusterId, node: NodeId, entropy: &dyn Entropy) -> Self {
        Self { key, cluster, node, uniq: UniqSource::new(entropy) }
    }

    fn seal_at(&self, kind: Kind, object: &[u8], version: u64, plaintext: &[u8]) -> Vec<u8> {
        let uniq = self.uniq.next(plaintext);
        seal_frame(self.key.data_key(), &self.context(kind, object, version), plaintext, &uniq)
    }

    fn open_at(&self, kind: Kind, object: &[u8], version: u64, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut plaintext = open(self.key.data_key(), &self.context(kind, object, version), sealed)?;
        // The storage layer holds these bytes in ordinary buffers, as it does before sealing them.
        Ok(std::mem::take(&mut *plaintext))
    }

    fn context<'a>(&self, kind: Kind, object: &'a [u8], object_version: u64) -> Context<'a> {
        let owner = Owner::Node(self.node);
        Context { cluster: self.cluster, owner, object, object_version, kind, schema: SCHEMA }
    }
}

impl PayloadSeal for StorageSeal {
    fn seal(&self, index: u64, plaintext: &[u8]) -> Vec<u8> {
        self.seal_at(Kind::LogPayload, &index.to_be_bytes(), 0, plaintext)
    }

    fn open(&self, index: u64, sealed: &[u8]) -> Result<Vec<u8>, seal::OpenError> {
        self.open_at(Kind::LogPayload, &index.to_be_bytes(), 0, sealed).map_err(|_| seal::OpenError::Rejected)
    }
}

impl RowSeal for StorageSeal {
    fn seal(&self, row_key: &[u8], plaintext: &[u8]) -> Vec<u8> {
        self.seal_at(Kind::StateRow, row_key, 0, plaintext)
    }

    fn open(&self, row_key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, row_seal::OpenError> {
        self.open_at(Kind::StateRow, row_key, 0, sealed).map_err(|_| row_seal::OpenError)
    }
}

/// Seals the entries of one audit journal, each bound to its place in it.
#[derive(Clone)]
pub struct JournalSeal {
    storage: Arc<StorageSeal>,
    journal: JournalId,
}

impl JournalSeal {
    /// For the journal `journal` of the node whose storage key this is.
    pub fn new(storage: Arc<StorageSeal>, journal: JournalId) -> Self {
        Self { storage, journal }
    }

    /// Seals the entry that is to be number `sequence`.
    pub fn seal(&self, sequence: u64, plaintext: &[u8]) -> Vec<u8> {
        self.storage.seal_at(Kind::JournalEntry, self.journal.as_bytes(), sequence, plaintext)
    }

    /// Opens entry number `sequence`.
    pub fn open(&self, sequence: u64, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.storage.open_at(Kind::JournalEntry, self.journal.as_bytes(), sequence, sealed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;

    fn sealing(bytes: u8, cluster: u8, node: u64) -> StorageSeal {
        let key = StorageKey::from_bytes(&[bytes; 36]);
        StorageSeal::new(key, ClusterId::from_bytes([cluster; 16]), NodeId(node), &SystemEntropy)
    }

    #[test]
    fn payloads_and_rows_open_in_their_own_place_only() {
        let storage = sealing(1, 1, 1);
        let payload = PayloadSeal::seal(&storage, 7, b"entry");
        let row = RowSeal::seal(&storage, b"patient/1", b"value");
        assert_eq!(PayloadSeal::open(&storage, 7, &payload).unwrap(), b"entry");
        assert_eq!(RowSeal::open(&storage, b"patient/1", &row).unwrap(), b"value");
        assert_eq!(PayloadSeal::open(&storage, 8, &payload), Err(seal::OpenError::Rejected));
        assert_eq!(RowSeal::open(&storage, b"patient/2", &row), Err(row_seal::OpenError));
        assert_eq!(RowSeal::open(&storage, &7_u64.to_be_bytes(), &payload), Err(row_seal::OpenError));
        for other in [sealing(2, 1, 1), sealing(1, 2, 1), sealing(1, 1, 2)] {
            assert_eq!(RowSeal::open(&other, b"patient/1", &row), Err(row_seal::OpenError));
            assert_eq!(PayloadSeal::open(&other, 7, &payload), Err(seal::OpenError::Rejected));
        }
    }

    #[test]
    fn the_same_row_written_twice_gives_different_frames_and_both_open() {
        let storage = sealing(1, 1, 1);
        let (first, second) = (RowSeal::seal(&storage, b"k", b"v"), RowSeal::seal(&storage, b"k", b"v"));
        assert_ne!(first, second);
        assert_eq!(RowSeal::open(&storage, b"k", &first), RowSeal::open(&storage, b"k", &second));
        assert!(first.len() <= 1 + 256, "the log promises its engine at most 256 bytes more");
    }

    #[test]
    fn journal_entries_open_in_their_journal_and_at_their_number_only() {
        let storage = Arc::new(sealing(1, 1, 1));
        let journal = JournalSeal::new(Arc::clone(&storage), JournalId::from_bytes([5; 16]));
        let sealed = journal.seal(3, b"read");
        assert_eq!(journal.open(3, &sealed).unwrap(), b"read");
        assert_eq!(journal.open(4, &sealed), Err(OpenError::Commitment));
        let next = JournalSeal::new(storage, JournalId::from_bytes([6; 16]));
        assert_eq!(next.open(3, &sealed), Err(OpenError::Commitment));
    }
}
