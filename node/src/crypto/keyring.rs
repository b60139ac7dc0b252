//! The keys of one running node: sealed (it knows only wrapped keys) or unsealed (it holds the root key and opens data
//! keys as they are asked for). Nothing here is ever written to disk, and there is no way back to sealed but to stop.
//!
//! ```text
//! data_key(owner, wrapped): recent keys (16 shards, read lock) ─ miss ─> epoch key ─> unwrap ─> recent keys
//! ```

use super::keys::{EpochKey, KEY_BYTES, RootKey, UnwrapError};
use super::seal::{Context, DataKey, OpenError, open, seal};
use super::uniq::UniqSource;
use crate::entropy::SharedEntropy;
use hmac::{Hmac, KeyInit, Mac};
use plantao_domain::command::{KeyOwner, Tag, WrappedKey};
use plantao_domain::{ClusterId, KeyId, Sealed};
use sha2::Sha256;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use zeroize::Zeroizing;

/// How many data keys stay unwrapped: a day's patients of 50 units, about 5 MiB (guessed, to be measured in use).
pub const RECENT_KEYS_MAX: usize = 10_000;

/// Digits of a CPF: 11; of a telephone number: 15 by E.164. The bound keeps free text out of tokens.
const DIGITS_MAX: usize = 15;
const SHARDS: usize = 16;
const CONTENT_TAG_LABEL: &[u8] = b"plt1 content tag\x01";
const SEARCH_LABEL: &[u8] = b"plt1 search\x01";

/// Why there is no key to work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No root key: the node serves no content.
    #[error("this node is sealed: it has no root key")]
    Sealed,
    /// The root key is not the one that wraps this cluster's epoch keys.
    #[error("the root key does not open the key of epoch {epoch}")]
    OtherRoot {
        /// The epoch that was tried.
        epoch: u32,
        /// Why it does not open.
        #[source]
        source: UnwrapError,
    },
    /// The replicated state has not brought this epoch's key yet.
    #[error("the key of epoch {0} is not known here")]
    UnknownEpoch(u32),
    /// The replicated state has not brought the search key or the tag key yet.
    #[error("the cluster's search and tag keys are not known here")]
    NoClusterKeys,
    /// The wrapped key does not open as its owner's.
    #[error("data key {key} does not open")]
    Unwrap {
        /// The wrapped key.
        key: KeyId,
        /// Why.
        #[source]
        source: UnwrapError,
    },
    /// A search term must be normalised to digits first.
    #[error("a search term must be 1 to 15 digits")]
    NotDigits,
}

impl KeyError {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Sealed => "give the node its root slot's passphrase, key file or credential and restart it",
            Self::OtherRoot { .. } => "use the root slot of this cluster; `plantaod inspect` names the root key's id",
            Self::UnknownEpoch(_) | Self::NoClusterKeys => "wait until the node has caught up with the log, then retry",
            Self::Unwrap { .. } => "run `plantaod verify`: a key's row is damaged or in the wrong place",
            Self::NotDigits => "send the CPF or telephone number as digits only",
        }
    }
}

/// What a token of the patient index is made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SearchTerm {
    /// The 11 digits of a CPF.
    Cpf,
    /// The digits of a telephone number, with area code.
    Phone,
}

/// The keys of this node. Shared behind an [`Arc`]; every method may be called from any thread and none waits for I/O.
pub struct Keyring {
    cluster: ClusterId,
    entropy: SharedEntropy,
    uniq: UniqSource,
    levels: RwLock<Levels>,
    recent: [RwLock<Shard>; SHARDS],
    shard_keys_max: usize,
}

/// What the replicated state brought, wrapped, and what of it was opened.
#[derive(Default)]
struct Levels {
    root: Option<RootKey>,
    epoch_frames: BTreeMap<u32, Sealed>,
    epochs: BTreeMap<u32, Arc<EpochKey>>,
    search: ClusterKey,
    tag: ClusterKey,
}

#[derive(Default)]
struct ClusterKey {
    wrapped: Option<WrappedKey>,
    mac: Option<Arc<Hmac<Sha256>>>,
}

#[derive(Clone, Copy)]
enum ClusterKeyName {
    Search,
    Tag,
}

impl Keyring {
    /// A node without root key.
    pub fn sealed(cluster: ClusterId, entropy: SharedEntropy) -> Self {
        Self::with_recent_keys_max(cluster, entropy, RECENT_KEYS_MAX)
    }

    fn with_recent_keys_max(cluster: ClusterId, entropy: SharedEntropy, keys_max: usize) -> Self {
        Self {
            cluster,
            uniq: UniqSource::new(&*entropy),
            entropy,
            levels: RwLock::default(),
            recent: std::array::from_fn(|_| RwLock::default()),
            shard_keys_max: (keys_max / SHARDS).max(1),
        }
    }

    /// The network whose keys these are.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Whether there is no root key, hence no content.
    pub fn is_sealed(&self) -> bool {
        read(&self.levels).root.is_none()
    }

    /// Takes the root key. Refused, and nothing changes, if an epoch's key is known and this root does not open it.
    pub fn unseal(&self, root: RootKey) -> Result<(), KeyError> {
        let mut levels = write(&self.levels);
        if let Some((epoch, frame)) = levels.epoch_frames.last_key_value() {
            let opened = root
                .unwrap_epoch(self.cluster, *epoch, frame)
                .map_err(|source| KeyError::OtherRoot { epoch: *epoch, source })?;
            let epoch = *epoch;
            levels.epochs.insert(epoch, Arc::new(opened));
        }
        levels.root = Some(root);
        Ok(())
    }

    /// Takes an epoch's key as the replicated state has it, on a sealed node too. It is opened when it is needed; new
    /// data keys are wrapped under the highest epoch. At most as many as the state has epochs.
    pub fn install_epoch(&self, epoch: u32, frame: Sealed) {
        let mut levels = write(&self.levels);
        if levels.epoch_frames.get(&epoch) != Some(&frame) {
            levels.epochs.remove(&epoch);
            levels.epoch_frames.insert(epoch, frame);
        }
    }

    /// Takes the cluster's search key and tag key as the replicated state has them, on a sealed node too.
    pub fn install_cluster_keys(&self, search: WrappedKey, tag: WrappedKey) {
        let mut levels = write(&self.levels);
        levels.search = ClusterKey { wrapped: Some(search), mac: None };
        levels.tag = ClusterKey { wrapped: Some(tag), mac: None };
    }

    /// The root key's bytes for the one handover to a joining unit: after its token, certificate and committed
    /// membership were checked, over its own TLS channel. For nothing else.
    pub fn root_for_handover(&self) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
        read(&self.levels).root.as_ref().map(RootKey::to_bytes).ok_or(KeyError::Sealed)
    }

    /// Opens a data key, which must be `owner`'s. One that was used lately costs a read lock and a look-up.
    pub fn data_key(&self, owner: KeyOwner, wrapped: &WrappedKey) -> Result<Arc<DataKey>, KeyError> {
        let shard = self.shard(wrapped.key_id);
        if let Some(key) = read(shard).get(owner, wrapped.key_id) {
            return Ok(key);
        }
        let key = self
            .epoch(wrapped.epoch)?
            .unwrap(self.cluster, owner, wrapped)
            .map_err(|source| KeyError::Unwrap { key: wrapped.key_id, source })?;
        let key = Arc::new(key);
        write(shard).insert(owner, Arc::clone(&key), self.shard_keys_max);
        Ok(key)
    }

    /// Makes a data key for `owner`, wrapped under the newest epoch.
    pub fn new_data_key(&self, owner: KeyOwner) -> Result<(Arc<DataKey>, WrappedKey), KeyError> {
        let newest = {
            let levels = read(&self.levels);
            if levels.root.is_none() {
                return Err(KeyError::Sealed);
            }
            *levels.epoch_frames.last_key_value().ok_or(KeyError::UnknownEpoch(super::keys::FIRST_EPOCH))?.0
        };
        let epoch = self.epoch(newest)?;
        let key = Arc::new(DataKey::generate(&*self.entropy));
        let wrapped = epoch.wrap(self.cluster, owner, &key, &*self.entropy);
        write(self.shard(key.id())).insert(owner, Arc::clone(&key), self.shard_keys_max);
        Ok((key, wrapped))
    }

    /// Makes the next epoch, wrapped by the root key, for the replicated state; [`Self::install_epoch`] takes it once
    /// it is committed.
    pub fn new_epoch(&self) -> Result<(u32, Sealed), KeyError> {
        let levels = read(&self.levels);
        let root = levels.root.as_ref().ok_or(KeyError::Sealed)?;
        let number =
            levels.epoch_frames.last_key_value().map_or(super::keys::FIRST_EPOCH, |(n, _)| n.saturating_add(1));
        let key = EpochKey::generate(number, &*self.entropy);
        Ok((number, root.wrap_epoch(self.cluster, &key, &*self.entropy)))
    }

    /// [`seal()`] with a `uniq` of this keyring's own source.
    pub fn seal(&self, key: &DataKey, context: &Context<'_>, plaintext: &[u8]) -> Sealed {
        Sealed(seal(key, context, plaintext, &self.uniq.next(plaintext)))
    }

    /// [`open()`], for symmetry.
    pub fn open(&self, key: &DataKey, context: &Context<'_>, frame: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        open(key, context, &frame.0)
    }

    /// HMAC-SHA-256 of a request's canonical bytes under the cluster's tag key.
    pub fn content_tag(&self, canonical: &[u8]) -> Result<Tag, KeyError> {
        let mac = self.cluster_mac(ClusterKeyName::Tag)?;
        Ok(tag(&mac, &[CONTENT_TAG_LABEL, canonical]))
    }

    /// The token by which a patient is found: HMAC-SHA-256 of the term and its digits under the cluster's search key.
    /// `digits` are normalised by the caller: 1 to 15 ASCII digits.
    pub fn search_token(&self, term: SearchTerm, digits: &str) -> Result<Tag, KeyError> {
        if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(KeyError::NotDigits);
        }
        let mac = self.cluster_mac(ClusterKeyName::Search)?;
        let term: &[u8] = match term {
            SearchTerm::Cpf => &[1],
            SearchTerm::Phone => &[2],
        };
        Ok(tag(&mac, &[SEARCH_LABEL, term, digits.as_bytes()]))
    }

    fn epoch(&self, number: u32) -> Result<Arc<EpochKey>, KeyError> {
        if let Some(key) = read(&self.levels).epochs.get(&number) {
            return Ok(Arc::clone(key));
        }
        let mut levels = write(&self.levels);
        let root = levels.root.as_ref().ok_or(KeyError::Sealed)?;
        let frame = levels.epoch_frames.get(&number).ok_or(KeyError::UnknownEpoch(number))?;
        let key = root
            .unwrap_epoch(self.cluster, number, frame)
            .map_err(|source| KeyError::OtherRoot { epoch: number, source })?;
        let key = Arc::new(key);
        levels.epochs.insert(number, Arc::clone(&key));
        Ok(key)
    }

    fn cluster_mac(&self, name: ClusterKeyName) -> Result<Arc<Hmac<Sha256>>, KeyError> {
        let wrapped = {
            let levels = read(&self.levels);
            if levels.root.is_none() {
                return Err(KeyError::Sealed);
            }
            let key = levels.cluster_key(name);
            if let Some(mac) = &key.mac {
                return Ok(Arc::clone(mac));
            }
            key.wrapped.clone().ok_or(KeyError::NoClusterKeys)?
        };
        let owner = match name {
            ClusterKeyName::Search => KeyOwner::Search,
            ClusterKeyName::Tag => KeyOwner::ContentTag,
        };
        let key = self
            .epoch(wrapped.epoch)?
            .unwrap(self.cluster, owner, &wrapped)
            .map_err(|source| KeyError::Unwrap { key: wrapped.key_id, source })?;
        let mac = Arc::new(Hmac::new_from_slice(key.identity()).expect("HMAC takes a key of any length"));
        let mut levels = write(&self.levels);
        let place = levels.cluster_key_mut(name);
        // Another wrapped key may have been installed meanwhile; its own opening follows.
        if place.wrapped.as_ref() == Some(&wrapped) {
            place.mac = Some(Arc::clone(&mac));
        }
        Ok(mac)
    }

    fn shard(&self, key: KeyId) -> &RwLock<Shard> {
        &self.recent[usize::from(key.as_bytes()[0]) % SHARDS]
    }
}

impl Levels {
    fn cluster_key(&self, name: ClusterKeyName) -> &ClusterKey {
        match name {
            ClusterKeyName::Search => &self.search,
            ClusterKeyName::Tag => &self.tag,
        }
    }

    fn cluster_key_mut(&mut self, name: ClusterKeyName) -> &mut ClusterKey {
        match name {
            ClusterKeyName::Search => &mut self.search,
            ClusterKeyName::Tag => &mut self.tag,
        }
    }
}

fn tag(mac: &Hmac<Sha256>, parts: &[&[u8]]) -> Tag {
    let mut mac = mac.clone();
    for part in parts {
        mac.update(part);
    }
    Tag(mac.finalize().into_bytes().into())
}

/// Recently used data keys. What goes first is decided by second chance, close to least recently used, so that a hit
/// needs no write lock.
#[derive(Default)]
struct Shard {
    keys: HashMap<KeyId, Recent>,
    ring: VecDeque<KeyId>,
}

struct Recent {
    owner: KeyOwner,
    key: Arc<DataKey>,
    used: AtomicBool,
}

impl Shard {
    /// Only for the owner for whom it was unwrapped: a wrapped key that stands at another owner must not open here
    /// just because its rightful owner was read before.
    fn get(&self, owner: KeyOwner, id: KeyId) -> Option<Arc<DataKey>> {
        let recent = self.keys.get(&id).filter(|recent| recent.owner == owner)?;
        recent.used.store(true, Ordering::Relaxed);
        Some(Arc::clone(&recent.key))
    }

    fn insert(&mut self, owner: KeyOwner, key: Arc<DataKey>, keys_max: usize) {
        let id = key.id();
        // Room is made first: were the newcomer in the ring already, it would be the only unused key among busy ones.
        while !self.keys.contains_key(&id) && self.keys.len() >= keys_max {
            let Some(oldest) = self.ring.pop_front() else { break };
            match self.keys.get(&oldest) {
                Some(recent) if recent.used.swap(false, Ordering::Relaxed) => self.ring.push_back(oldest),
                _ => {
                    self.keys.remove(&oldest);
                }
            }
        }
        if self.keys.insert(id, Recent { owner, key, used: AtomicBool::new(false) }).is_none() {
            self.ring.push_back(id);
        }
    }
}

/// A thread that panicked held no half-made change: every change here is one insertion.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
