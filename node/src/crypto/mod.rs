//! Keys and sealing: the key levels, the one sealing primitive, the slots that guard the keys at the top.
//!
//! This folder alone names the AEAD. It must never log, name a file after, or put into an error anything that is secret
//! or that describes a person; it decides nothing about who may read what (`domain::access` does).
//!
//! ```text
//! slot (passphrase | key file | credential | paper) ─ root key ─ epoch keys ─ data keys ─ messages
//! storage slot ─ storage key ─ log payloads, rows, snapshots, journals of one node
//! ```

pub mod chunk_seal;
pub mod keyring;
pub mod keys;
pub mod process;
pub mod recovery_phrase;
pub mod seal;
pub mod slot_file;
pub mod slot_source;
pub mod slots;
pub mod storage_seal;
pub mod uniq;

pub use chunk_seal::{OpenChunkError, SealedChunk, chunk_id, open_chunk, seal_chunk};
pub use keyring::{KeyError, Keyring, SearchTerm};
pub use keys::{EpochKey, NewCluster, RootKey, StorageKey, UnwrapError};
pub use recovery_phrase::{PhraseError, RecoveryPhrase};
pub use seal::{Context, DataKey, Kind, OpenError, Owner, frame_key_id, open, seal};
pub use slot_file::{SlotFile, SlotFileError};
pub use slot_source::{SlotSecret, SlotSource, SourceError, SourceRules};
pub use slots::{PassphraseCost, Slot, SlotError, SlotPurpose};
pub use storage_seal::{JournalSeal, StorageSeal};
pub use uniq::UniqSource;
