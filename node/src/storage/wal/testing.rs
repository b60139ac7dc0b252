//! A log for tests: a seal with a real check, and a fixed identity.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use plantao_domain::{ClusterId, NodeId};

use super::{Wal, WalOptions};
use crate::storage::fs::DataDir;
use crate::storage::seal::{OpenError, PayloadSeal};
use crate::storage::watermark::LogIdentity;

/// Hides nothing, but notices every change: keyed BLAKE3 over index and plaintext, in front.
pub(crate) struct TagSeal(pub(crate) [u8; 32]);

impl TagSeal {
    fn tag(&self, index: u64, plaintext: &[u8]) -> [u8; 16] {
        let mut tag = [0; 16];
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&index.to_be_bytes()).update(plaintext).finalize_xof().fill(&mut tag);
        tag
    }
}

impl PayloadSeal for TagSeal {
    fn seal(&self, index: u64, plaintext: &[u8]) -> Vec<u8> {
        [&self.tag(index, plaintext), plaintext].concat()
    }

    fn open(&self, index: u64, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (tag, plaintext) = sealed.split_first_chunk::<16>().ok_or(OpenError::Rejected)?;
        if *tag == self.tag(index, plaintext) { Ok(plaintext.to_vec()) } else { Err(OpenError::Rejected) }
    }
}

pub(crate) fn seal() -> Arc<dyn PayloadSeal> {
    Arc::new(TagSeal([9; 32]))
}

pub(crate) fn identity() -> LogIdentity {
    LogIdentity { cluster: ClusterId::from_bytes([5; 16]), node: NodeId(2) }
}

/// A new log under `directory`.
pub(crate) fn create(directory: &Path) -> Wal {
    Wal::create(&DataDir::new(directory), identity(), seal(), WalOptions::default()).unwrap()
}
