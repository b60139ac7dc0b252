//! The levels of keys, and how each is wrapped by the one above. No key is written anywhere from here, and none has
//! `Debug`, `Clone` or an order.
//!
//! ```text
//! wrapped plaintext = key version u32 BE | key[32]            sealed by the one primitive (`seal.rs`)
//! epoch key: under the root key,   owner cluster, object = epoch number u32 BE, kind wrapped epoch key
//! data key:  under the epoch key,  owner of the key, object = key id, object version = epoch, kind wrapped data key
//! ```
//!
//! Each key's id is expanded from it, so unwrapping also checks that the key inside is the one that was announced.

use super::seal::{Context, DataKey, Kind, OpenError, Owner, open, seal};
use crate::entropy::{Entropy, random};
use plantao_domain::command::{KeyOwner, WrappedKey};
use plantao_domain::{ClusterId, KeyId, Sealed};
use zeroize::Zeroizing;

/// The epoch of a new cluster.
pub const FIRST_EPOCH: u32 = 1;
/// Bytes of a key with its version, as it is wrapped and handed over.
pub const KEY_BYTES: usize = 36;

/// The format of wrapped keys.
const SCHEMA: u16 = 1;

/// Why a wrapped key could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// Another key wraps it, or it was moved, or it is damaged.
    #[error("a wrapped key does not open")]
    Open(#[source] OpenError),
    /// The frame is sound, but what it holds is not a key of this version's format.
    #[error("a wrapped key holds {bytes} bytes instead of 36")]
    Length {
        /// How many there are.
        bytes: usize,
    },
    /// The key inside is not the one that was announced.
    #[error("key {announced} was announced, key {found} is inside")]
    OtherKey {
        /// Of the wrapped key.
        announced: KeyId,
        /// Of the key inside.
        found: KeyId,
    },
    /// It is wrapped under another epoch.
    #[error("the key is wrapped under epoch {found}, not {epoch}")]
    OtherEpoch {
        /// Of the epoch key.
        epoch: u32,
        /// Of the wrapped key.
        found: u32,
    },
}

/// The cluster's root key. Only units hold it; it wraps epoch keys and nothing else.
pub struct RootKey(DataKey);

impl RootKey {
    /// A new one, for a new cluster.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(DataKey::generate(entropy))
    }

    /// Names it; not secret.
    pub fn id(&self) -> KeyId {
        self.0.id()
    }

    /// Wraps an epoch's key for the replicated state.
    pub fn wrap_epoch(&self, cluster: ClusterId, key: &EpochKey, entropy: &dyn Entropy) -> Sealed {
        let number = key.number.to_be_bytes();
        wrap(&self.0, &epoch_context(cluster, &number), &key.key, entropy)
    }

    /// Unwraps the key of epoch `number`.
    pub fn unwrap_epoch(&self, cluster: ClusterId, number: u32, frame: &Sealed) -> Result<EpochKey, UnwrapError> {
        let key = unwrap(&self.0, &epoch_context(cluster, &number.to_be_bytes()), frame)?;
        Ok(EpochKey { number, key })
    }

    /// The key as bytes: for a slot, and for the one handover to a joining unit. Nobody else may ask.
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        key_bytes(&self.0)
    }

    /// The inverse of [`Self::to_bytes`]; any 36 bytes are some key, so its id must be checked against the expected one.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(key_from_bytes(bytes))
    }
}

/// The key of one epoch: it wraps data keys. Rotation makes a new epoch and wraps them anew; data stays.
pub struct EpochKey {
    number: u32,
    key: DataKey,
}

impl EpochKey {
    /// A new one.
    pub fn generate(number: u32, entropy: &dyn Entropy) -> Self {
        Self { number, key: DataKey::generate(entropy) }
    }

    /// Its epoch, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Names it; not secret.
    pub fn id(&self) -> KeyId {
        self.key.id()
    }

    /// Wraps a data key of `owner` for the replicated state.
    pub fn wrap(&self, cluster: ClusterId, owner: KeyOwner, key: &DataKey, entropy: &dyn Entropy) -> WrappedKey {
        let key_id = key.id();
        let context = data_key_context(cluster, owner, &key_id, self.number);
        WrappedKey { key_id, epoch: self.number, frame: wrap(&self.key, &context, key, entropy) }
    }

    /// Unwraps a data key, which must be `owner`'s.
    pub fn unwrap(&self, cluster: ClusterId, owner: KeyOwner, wrapped: &WrappedKey) -> Result<DataKey, UnwrapError> {
        if wrapped.epoch != self.number {
            return Err(UnwrapError::OtherEpoch { epoch: self.number, found: wrapped.epoch });
        }
        let context = data_key_context(cluster, owner, &wrapped.key_id, self.number);
        let key = unwrap(&self.key, &context, &wrapped.frame)?;
        if key.id() == wrapped.key_id {
            Ok(key)
        } else {
            Err(UnwrapError::OtherKey { announced: wrapped.key_id, found: key.id() })
        }
    }
}

/// A node's storage key: it seals what rests on that node's disk, and never leaves it.
pub struct StorageKey(DataKey);

impl StorageKey {
    /// A new one, for a new data directory.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(DataKey::generate(entropy))
    }

    /// Names it; not secret.
    pub fn id(&self) -> KeyId {
        self.0.id()
    }

    /// The key as bytes: for its slot only.
    pub(super) fn to_bytes(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        key_bytes(&self.0)
    }

    pub(super) fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(key_from_bytes(bytes))
    }

    pub(super) fn data_key(&self) -> &DataKey {
        &self.0
    }
}

/// The keys of a new cluster, made by `plantaod init`: what `CreateCluster` replicates, and the root key.
pub struct NewCluster {
    /// To be put in a root slot and a recovery slot, and nowhere else.
    pub root: RootKey,
    /// The first epoch's key, number [`FIRST_EPOCH`], wrapped by the root key.
    pub epoch_key: Sealed,
    /// Wrapped under the first epoch.
    pub search_key: WrappedKey,
    /// Wrapped under the first epoch.
    pub tag_key: WrappedKey,
}

impl NewCluster {
    /// Makes all of them.
    pub fn generate(cluster: ClusterId, entropy: &dyn Entropy) -> Self {
        let root = RootKey::generate(entropy);
        let epoch = EpochKey::generate(FIRST_EPOCH, entropy);
        let epoch_key = root.wrap_epoch(cluster, &epoch, entropy);
        let search_key = epoch.wrap(cluster, KeyOwner::Search, &DataKey::generate(entropy), entropy);
        let tag_key = epoch.wrap(cluster, KeyOwner::ContentTag, &DataKey::generate(entropy), entropy);
        Self { root, epoch_key, search_key, tag_key }
    }
}

fn epoch_context<'a>(cluster: ClusterId, number: &'a [u8; 4]) -> Context<'a> {
    Context {
        cluster,
        owner: Owner::Cluster,
        object: number,
        object_version: 0,
        kind: Kind::WrappedEpochKey,
        schema: SCHEMA,
    }
}

fn data_key_context(cluster: ClusterId, owner: KeyOwner, key_id: &KeyId, epoch: u32) -> Context<'_> {
    Context {
        cluster,
        owner: owner.into(),
        object: key_id.as_bytes(),
        object_version: epoch.into(),
        kind: Kind::WrappedDataKey,
        schema: SCHEMA,
    }
}

pub(super) fn key_bytes(key: &DataKey) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    bytes[..4].copy_from_slice(&key.version().to_be_bytes());
    bytes[4..].copy_from_slice(key.material());
    bytes
}

pub(super) fn key_from_bytes(bytes: &[u8; KEY_BYTES]) -> DataKey {
    let mut version = [0; 4];
    version.copy_from_slice(&bytes[..4]);
    let mut material = Zeroizing::new([0; 32]);
    material.copy_from_slice(&bytes[4..]);
    DataKey::from_material(material, u32::from_be_bytes(version))
}

fn wrap(under: &DataKey, context: &Context<'_>, key: &DataKey, entropy: &dyn Entropy) -> Sealed {
    Sealed(seal(under, context, &*key_bytes(key), &random(entropy)))
}

fn unwrap(under: &DataKey, context: &Context<'_>, frame: &Sealed) -> Result<DataKey, UnwrapError> {
    let plaintext = open(under, context, &frame.0).map_err(UnwrapError::Open)?;
    match <&[u8; KEY_BYTES]>::try_from(plaintext.as_slice()) {
        Ok(bytes) => Ok(key_from_bytes(bytes)),
        Err(_) => Err(UnwrapError::Length { bytes: plaintext.len() }),
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
