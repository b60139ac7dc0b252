//! Slots: where the two keys at the top are kept, wrapped under something that is not in the data directory.
//!
//! ```text
//! head = "PLTS" | version u8 = 1 | purpose u8 | secret u8 | reserved u8 = 0
//!      | argon2 memory KiB u32 | argon2 passes u32 | argon2 lanes u32 | salt[16] | cluster id[16] | node id u64
//!      | serial u64 | frame bytes u32                                    numbers big-endian, 72 bytes
//! slot = head | frame | BLAKE3(head | frame)[32]
//! frame: seal of (key version u32 BE | key[32]) under a key made from the secret and the salt,
//!        bound to the cluster, the node (or the cluster as a whole) and, as its object, the head
//! purpose 1 root, 2 storage, 3 recovery         secret 1 passphrase, 2 key, 3 recovery phrase
//! key from a passphrase or phrase: Argon2id(secret, salt, parameters); from a key: HKDF-Expand(key, "plt1 slot" | salt)
//! ```
//!
//! The digest tells a damaged slot from a wrong secret; it is no protection, the seal is. Reading and writing the files
//! is `slot_file`, fetching the secret is `slot_source`.

use super::keys::{KEY_BYTES, RootKey, StorageKey};
use super::recovery_phrase::RecoveryPhrase;
use super::seal::{Context, DataKey, Kind, OVERHEAD_BYTES, OpenError, Owner, open, seal};
use super::slot_source::SlotSecret;
use crate::entropy::{Entropy, random};
use argon2::{Algorithm, Argon2, Params, Version};
use hkdf::Hkdf;
use plantao_domain::{ClusterId, NodeId};
use sha2::Sha256;
use zeroize::Zeroizing;

const MAGIC: [u8; 4] = *b"PLTS";
const VERSION: u8 = 1;
const SCHEMA: u16 = 1;
const HEAD_BYTES: usize = 72;
const FRAME_BYTES: usize = OVERHEAD_BYTES + KEY_BYTES;
const DIGEST_BYTES: usize = 32;
/// Every slot of version 1 has this size.
pub const SLOT_BYTES: usize = HEAD_BYTES + FRAME_BYTES + DIGEST_BYTES;

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SlotPurpose {
    /// The root key, on a unit's disk.
    Root = 1,
    /// The node's storage key, on its disk.
    Storage = 2,
    /// The root key under the paper passphrase, replicated to every node.
    Recovery = 3,
}

impl SlotPurpose {
    fn from_code(code: u8) -> Option<Self> {
        [Self::Root, Self::Storage, Self::Recovery].into_iter().find(|purpose| *purpose as u8 == code)
    }

    fn kind(self) -> Kind {
        match self {
            Self::Root => Kind::RootSlot,
            Self::Storage => Kind::StorageSlot,
            Self::Recovery => Kind::RecoverySlot,
        }
    }
}

/// With what a slot opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SecretKind {
    /// A passphrase that people chose.
    Passphrase = 1,
    /// Thirty-two random bytes, from a key file or a credential.
    Key = 2,
    /// The paper passphrase.
    RecoveryPhrase = 3,
}

impl SecretKind {
    fn from_code(code: u8) -> Option<Self> {
        [Self::Passphrase, Self::Key, Self::RecoveryPhrase].into_iter().find(|kind| *kind as u8 == code)
    }
}

/// How much work one guess at a passphrase costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PassphraseCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Default for PassphraseCost {
    /// RFC 9106's second recommended option: 64 MiB, 3 passes, 4 lanes. Its first takes 2 GiB, more than a small
    /// clinic's computer can spare at its start.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 }
    }
}

impl PassphraseCost {
    /// One guess in well under a millisecond, for tests only: no slot of a real network may use it.
    pub fn cheap_for_tests() -> Self {
        Self { memory_kib: 8, passes: 1, lanes: 1 }
    }

    /// More memory than the default: `None` below 64 MiB and above 1 GiB.
    pub fn with_memory_kib(memory_kib: u32) -> Option<Self> {
        let default = Self::default();
        (default.memory_kib..=MEMORY_KIB_MAX).contains(&memory_kib).then_some(Self { memory_kib, ..default })
    }

    /// Whether a slot may ask for this much: a slot is input, and must not make a node spend its memory.
    fn is_bearable(self) -> bool {
        self.memory_kib <= MEMORY_KIB_MAX && self.passes <= 64 && self.lanes <= 64
    }
}

const MEMORY_KIB_MAX: u32 = 1024 * 1024;

/// Why a slot gave no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// Cut short, altered, or no slot at all.
    #[error("the slot is damaged: {0}")]
    Damaged(SlotDamage),
    /// Made by a later version.
    #[error("the slot has format version {0}, which this version does not know")]
    UnknownVersion(u8),
    /// The slot is sound, the secret is not the one it was made with.
    #[error("the secret does not open the slot")]
    WrongSecret,
    /// A passphrase was given for a slot that opens with a key, or the other way round.
    #[error("the slot opens with a {expected:?}, a {given:?} was given")]
    OtherSecretKind {
        /// With what it was made.
        expected: SecretKind,
        /// What was given.
        given: SecretKind,
    },
    /// A slot of another network.
    #[error("the slot belongs to cluster {found}, not {expected}")]
    OtherCluster {
        /// Whose slot is needed.
        expected: ClusterId,
        /// Whose it is.
        found: ClusterId,
    },
    /// A slot of another node, copied here.
    #[error("the slot belongs to node {found}, not {expected}")]
    OtherNode {
        /// Whose slot is needed.
        expected: NodeId,
        /// Whose it is.
        found: NodeId,
    },
    /// A root slot where a storage slot is needed, for example.
    #[error("the slot holds a {found:?} key, not a {expected:?} key")]
    OtherPurpose {
        /// What is needed.
        expected: SlotPurpose,
        /// What it holds.
        found: SlotPurpose,
    },
    /// Argon2id did not run.
    #[error("cannot stretch the passphrase: {0}")]
    Stretch(argon2::Error),
}

/// What is wrong with a slot's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotDamage {
    /// Too few or too many bytes.
    #[error("it has {0} bytes, a slot has 246")]
    Length(usize),
    /// Something else stands there.
    #[error("it does not begin like a slot")]
    Magic,
    /// Bits changed.
    #[error("its digest does not match")]
    Digest,
    /// The digest matches, but no program writes such a head.
    #[error("its head is impossible")]
    Head,
    /// The secret fits and the wrapped key does not open.
    #[error("the key inside does not open")]
    Key,
}

impl SlotError {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Damaged(_) => {
                "restore the slot's file from its second copy, or make a new slot with the recovery phrase"
            }
            Self::UnknownVersion(_) => "run the version of plantaod that made the slot, or a later one",
            Self::WrongSecret => "check the passphrase, key file or credential; three typing errors are no harm",
            Self::OtherSecretKind { .. } => "name the source the slot was made with in the configuration",
            Self::OtherCluster { .. } | Self::OtherNode { .. } => {
                "do not copy slots between directories: join the node anew and it makes its own"
            }
            Self::OtherPurpose { .. } => "check whether the slot files were renamed or swapped",
            Self::Stretch(_) => "free memory: opening the slot takes as much as its parameters say, 64 MiB by default",
        }
    }
}

/// A wrapped top key. Not secret by itself, but whoever has it may guess at the passphrase.
#[derive(Clone, PartialEq, Eq)]
pub struct Slot {
    head: Head,
    frame: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Head {
    purpose: SlotPurpose,
    secret: SecretKind,
    cost: PassphraseCost,
    salt: [u8; 16],
    cluster: ClusterId,
    node: NodeId,
    serial: u64,
}

/// Whose slot it is, and which rewriting of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotPlace {
    /// The network.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// One more than the serial of the slot it replaces, from 1: of two sound copies the higher is the newer.
    pub serial: u64,
}

impl Slot {
    /// Wraps the root key for one unit.
    pub fn seal_root(
        root: &RootKey,
        place: SlotPlace,
        secret: &SlotSecret,
        cost: PassphraseCost,
        entropy: &dyn Entropy,
    ) -> Result<Self, SlotError> {
        Self::seal(SlotPurpose::Root, &root.to_bytes(), place, secret, cost, entropy)
    }

    /// Wraps a node's storage key.
    pub fn seal_storage(
        key: &StorageKey,
        place: SlotPlace,
        secret: &SlotSecret,
        cost: PassphraseCost,
        entropy: &dyn Entropy,
    ) -> Result<Self, SlotError> {
        Self::seal(SlotPurpose::Storage, &key.to_bytes(), place, secret, cost, entropy)
    }

    /// Wraps the root key under the paper passphrase: [`Self::encode`] gives the bytes to replicate. They belong to no
    /// node.
    pub fn seal_recovery(
        root: &RootKey,
        cluster: ClusterId,
        phrase: &RecoveryPhrase,
        cost: PassphraseCost,
        entropy: &dyn Entropy,
    ) -> Result<Self, SlotError> {
        let place = SlotPlace { cluster, node: NodeId(0), serial: 1 };
        let secret = Secret { kind: SecretKind::RecoveryPhrase, bytes: phrase.bytes() };
        Self::seal_with(SlotPurpose::Recovery, &root.to_bytes(), place, secret, cost, entropy)
    }

    /// Unwraps the root key of a unit.
    pub fn open_root(&self, cluster: ClusterId, node: NodeId, secret: &SlotSecret) -> Result<RootKey, SlotError> {
        self.expect(SlotPurpose::Root, cluster, node)?;
        Ok(RootKey::from_bytes(&*self.open(Secret::of(secret))?))
    }

    /// Unwraps a node's storage key.
    pub fn open_storage(&self, cluster: ClusterId, node: NodeId, secret: &SlotSecret) -> Result<StorageKey, SlotError> {
        self.expect(SlotPurpose::Storage, cluster, node)?;
        Ok(StorageKey::from_bytes(&*self.open(Secret::of(secret))?))
    }

    /// Unwraps the root key with the paper passphrase.
    pub fn open_recovery(&self, cluster: ClusterId, phrase: &RecoveryPhrase) -> Result<RootKey, SlotError> {
        self.expect(SlotPurpose::Recovery, cluster, NodeId(0))?;
        let secret = Secret { kind: SecretKind::RecoveryPhrase, bytes: phrase.bytes() };
        Ok(RootKey::from_bytes(&*self.open(secret)?))
    }

    /// What it holds.
    pub fn purpose(&self) -> SlotPurpose {
        self.head.purpose
    }

    /// With what it opens.
    pub fn secret_kind(&self) -> SecretKind {
        self.head.secret
    }

    /// Whose it is.
    pub fn place(&self) -> SlotPlace {
        SlotPlace { cluster: self.head.cluster, node: self.head.node, serial: self.head.serial }
    }

    /// The bytes of a file or of the replicated recovery slot: [`SLOT_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        bytes.extend_from_slice(&self.head.encode());
        bytes.extend_from_slice(&self.frame);
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// Total: any bytes give a slot or an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, SlotError> {
        let damaged = SlotError::Damaged;
        if !bytes.starts_with(&MAGIC) {
            return Err(damaged(if bytes.len() < MAGIC.len() {
                SlotDamage::Length(bytes.len())
            } else {
                SlotDamage::Magic
            }));
        }
        let Some((body, digest)) = bytes.split_last_chunk::<DIGEST_BYTES>() else {
            return Err(damaged(SlotDamage::Length(bytes.len())));
        };
        // The digest covers a later version's slot as well, which may have another length.
        if *digest != *blake3::hash(body).as_bytes() {
            let right_length = bytes.len() == SLOT_BYTES;
            return Err(damaged(if right_length { SlotDamage::Digest } else { SlotDamage::Length(bytes.len()) }));
        }
        match body.get(4) {
            Some(&VERSION) => {}
            Some(&other) => return Err(SlotError::UnknownVersion(other)),
            None => return Err(damaged(SlotDamage::Length(bytes.len()))),
        }
        let Some((head, frame)) =
            body.split_first_chunk::<HEAD_BYTES>().filter(|(_, frame)| frame.len() == FRAME_BYTES)
        else {
            return Err(damaged(SlotDamage::Length(bytes.len())));
        };
        let head = Head::decode(head).ok_or(damaged(SlotDamage::Head))?;
        Ok(Self { head, frame: frame.to_vec() })
    }

    fn seal(
        purpose: SlotPurpose,
        key: &[u8; KEY_BYTES],
        place: SlotPlace,
        secret: &SlotSecret,
        cost: PassphraseCost,
        entropy: &dyn Entropy,
    ) -> Result<Self, SlotError> {
        Self::seal_with(purpose, key, place, Secret::of(secret), cost, entropy)
    }

    fn seal_with(
        purpose: SlotPurpose,
        key: &[u8; KEY_BYTES],
        place: SlotPlace,
        secret: Secret<'_>,
        cost: PassphraseCost,
        entropy: &dyn Entropy,
    ) -> Result<Self, SlotError> {
        let SlotPlace { cluster, node, serial } = place;
        let salt = random(entropy);
        let head = Head { purpose, secret: secret.kind, cost, salt, cluster, node, serial };
        let frame = seal(&head.wrapping_key(secret)?, &head.context(&head.encode()), key, &random(entropy));
        Ok(Self { head, frame })
    }

    fn expect(&self, purpose: SlotPurpose, cluster: ClusterId, node: NodeId) -> Result<(), SlotError> {
        let head = &self.head;
        if head.purpose != purpose {
            return Err(SlotError::OtherPurpose { expected: purpose, found: head.purpose });
        }
        if head.cluster != cluster {
            return Err(SlotError::OtherCluster { expected: cluster, found: head.cluster });
        }
        if head.node != node {
            return Err(SlotError::OtherNode { expected: node, found: head.node });
        }
        Ok(())
    }

    fn open(&self, secret: Secret<'_>) -> Result<Zeroizing<[u8; KEY_BYTES]>, SlotError> {
        if secret.kind != self.head.secret {
            return Err(SlotError::OtherSecretKind { expected: self.head.secret, given: secret.kind });
        }
        let wrapping_key = self.head.wrapping_key(secret)?;
        let plaintext = match open(&wrapping_key, &self.head.context(&self.head.encode()), &self.frame) {
            Ok(plaintext) => plaintext,
            Err(OpenError::OtherKey { .. }) => return Err(SlotError::WrongSecret),
            Err(_) => return Err(SlotError::Damaged(SlotDamage::Key)),
        };
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if plaintext.len() != KEY_BYTES {
            return Err(SlotError::Damaged(SlotDamage::Key));
        }
        key.copy_from_slice(&plaintext);
        Ok(key)
    }
}

/// A secret's bytes with what they are.
#[derive(Clone, Copy)]
struct Secret<'a> {
    kind: SecretKind,
    bytes: &'a [u8],
}

impl<'a> Secret<'a> {
    fn of(secret: &'a SlotSecret) -> Self {
        match secret {
            SlotSecret::Passphrase(text) => Self { kind: SecretKind::Passphrase, bytes: text.as_bytes() },
            SlotSecret::Key(bytes) => Self { kind: SecretKind::Key, bytes: &**bytes },
        }
    }
}

impl Head {
    fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let mut at = 0;
        let mut push = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        push(&MAGIC);
        push(&[VERSION, self.purpose as u8, self.secret as u8, 0]);
        push(&self.cost.memory_kib.to_be_bytes());
        push(&self.cost.passes.to_be_bytes());
        push(&self.cost.lanes.to_be_bytes());
        push(&self.salt);
        push(self.cluster.as_bytes());
        push(&self.node.0.to_be_bytes());
        push(&self.serial.to_be_bytes());
        push(&(FRAME_BYTES as u32).to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let array = |at: usize| -> Option<[u8; 16]> { bytes.get(at..)?.first_chunk().copied() };
        let number = |at: usize| -> Option<u32> { Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?)) };
        let long = |at: usize| -> Option<u64> { Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?)) };
        let head = Self {
            purpose: SlotPurpose::from_code(bytes[5])?,
            secret: SecretKind::from_code(bytes[6])?,
            cost: PassphraseCost { memory_kib: number(8)?, passes: number(12)?, lanes: number(16)? },
            salt: array(20)?,
            cluster: ClusterId::from_bytes(array(36)?),
            node: NodeId(long(52)?),
            serial: long(60)?,
        };
        // Encoding again also checks the reserved byte and the frame's length.
        (head.cost.is_bearable() && head.encode() == *bytes).then_some(head)
    }

    fn context<'a>(&self, head: &'a [u8; HEAD_BYTES]) -> Context<'a> {
        let owner = match self.purpose {
            SlotPurpose::Recovery => Owner::Cluster,
            SlotPurpose::Root | SlotPurpose::Storage => Owner::Node(self.node),
        };
        let kind = self.purpose.kind();
        Context { cluster: self.cluster, owner, object: head, object_version: self.serial, kind, schema: SCHEMA }
    }

    fn wrapping_key(&self, secret: Secret<'_>) -> Result<DataKey, SlotError> {
        let mut material = Zeroizing::new([0_u8; 32]);
        match secret.kind {
            SecretKind::Key => Hkdf::<Sha256>::from_prk(secret.bytes)
                .expect("a key has 32 bytes")
                .expand_multi_info(&[b"plt1 slot", &self.salt], &mut *material)
                .expect("32 bytes are asked for"),
            SecretKind::Passphrase | SecretKind::RecoveryPhrase => {
                let PassphraseCost { memory_kib, passes, lanes } = self.cost;
                let parameters = Params::new(memory_kib, passes, lanes, Some(32)).map_err(SlotError::Stretch)?;
                Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
                    .hash_password_into(secret.bytes, &self.salt, &mut *material)
                    .map_err(SlotError::Stretch)?;
            }
        }
        Ok(DataKey::from_material(material, DataKey::FIRST_VERSION))
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
