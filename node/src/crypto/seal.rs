//! The one sealing primitive. Whatever rests or travels sealed is a frame made here; nobody else names the AEAD.
//!
//! ```text
//! header  = "PLT1" | alg u8 | kind u8 | key id[16] | key version u32 BE | uniq[32]                       58 bytes
//! context = each u16 BE length-prefixed: cluster id, owner, object id, object version, kind, schema
//! (k[32] | com[32]) = HKDF-SHA-256-Expand(key.enc, "plt1 seal" | SHA-256(header | context), 64)
//! frame   = header | com | AES-256-GCM(k, nonce = 0^96, aad = header | com | context, plaintext)
//! ```
//!
//! No nonce is ever managed: each `k` seals exactly one message, because `uniq` is in what it is derived from. `com`
//! commits to the key and is compared first, in constant time. The context is not in the frame: whoever opens it says
//! what it must be, so a frame that was moved to another place does not open. `docs/formats.md` publishes test vectors.

use crate::entropy::{Entropy, random};
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, Key, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use plantao_domain::command::KeyOwner;
use plantao_domain::{ClusterId, KeyId, NodeId, PatientId, UnitId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// The first four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"PLT1";
/// HKDF-SHA-256 and AES-256-GCM as drawn above; the only algorithm so far.
pub const ALGORITHM: u8 = 1;
/// Magic, algorithm, kind, key id, key version, uniq.
pub const HEADER_BYTES: usize = 58;
/// What sealing adds to the (padded) plaintext: header, commitment, tag.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + COMMITMENT_BYTES + TAG_BYTES;
/// Kinds that describe a person are padded to steps of this size, so that a length tells little.
pub const PADDING_STEP_BYTES: usize = 256;
/// Longest plaintext: a frame is never larger than one message of the service (DESIGN section 12).
pub const PLAINTEXT_BYTES_MAX: usize = 4 << 20;

const COMMITMENT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const LENGTH_BYTES: usize = 4;
const SEAL_LABEL: &[u8] = b"plt1 seal";

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $padded:literal;)*) => {
        /// What a frame holds. The numbers are a format: none is ever reused.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $name = $code,)*
        }

        impl Kind {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// `None` for a number that this version does not know.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Whether the plaintext is padded to steps of [`PADDING_STEP_BYTES`].
            pub const fn is_padded(self) -> bool {
                match self {
                    $(Self::$name => $padded,)*
                }
            }
        }
    };
}

kinds! {
    /// A document about a patient: the sender's bytes.
    Record = 1, true;
    /// Who a patient is.
    Demographics = 2, true;
    /// Service and remarks of an appointment.
    Appointment = 3, true;
    /// Why something was done: an encaixe, an amendment, a cancellation.
    Reason = 4, true;
    /// The signed document of a consent.
    Consent = 5, true;
    /// Names and addresses of units, professionals, rooms.
    Directory = 6, true;
    /// Name, remarks and digest of an image, and what was found in its bytes.
    Image = 7, true;
    /// A data key under an epoch key.
    WrappedDataKey = 16, false;
    /// An epoch key under the root key.
    WrappedEpochKey = 17, false;
    /// The root key under what a unit unseals with.
    RootSlot = 18, false;
    /// A node's storage key under what the node starts with.
    StorageSlot = 19, false;
    /// The root key under the paper passphrase.
    RecoverySlot = 20, false;
    /// A payload of the log on one node's disk.
    LogPayload = 32, false;
    /// A row of the state on one node's disk.
    StateRow = 33, false;
    /// A part of a snapshot on one node's disk.
    SnapshotPart = 34, false;
    /// An entry of a node's audit journal.
    JournalEntry = 35, false;
    /// A piece of an image.
    Chunk = 48, false;
}

/// To whom a sealed thing belongs: part of what its frame is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// One patient.
    Patient(PatientId),
    /// One unit.
    Unit(UnitId),
    /// The search key of the cluster.
    Search,
    /// The tag key of the cluster.
    ContentTag,
    /// The cluster as a whole: its root and epoch keys.
    Cluster,
    /// One node: what rests on its disk only.
    Node(NodeId),
}

impl From<KeyOwner> for Owner {
    fn from(owner: KeyOwner) -> Self {
        match owner {
            KeyOwner::Patient(id) => Self::Patient(id),
            KeyOwner::Unit(id) => Self::Unit(id),
            KeyOwner::Search => Self::Search,
            KeyOwner::ContentTag => Self::ContentTag,
        }
    }
}

/// What a frame is bound to, besides its key. It is not stored in the frame: whoever opens must know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context<'a> {
    /// The network.
    pub cluster: ClusterId,
    /// To whom the content belongs.
    pub owner: Owner,
    /// The identifier of the thing: 16 bytes of an id, a row key, a number in big-endian order.
    pub object: &'a [u8],
    /// Its version, 0 where there are none.
    pub object_version: u64,
    /// What it is.
    pub kind: Kind,
    /// The version of the plaintext's own format, from 1.
    pub schema: u16,
}

/// Why a frame was not opened. No variant says anything about the plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Cut short.
    #[error("the frame has {bytes} bytes, fewer than any frame")]
    Truncated {
        /// How many there are.
        bytes: usize,
    },
    /// The magic is missing.
    #[error("these bytes are not a sealed frame")]
    NotAFrame,
    /// Sealed by a later version.
    #[error("the frame uses algorithm {0}, which this version does not know")]
    UnknownAlgorithm(u8),
    /// Sealed by a later version.
    #[error("the frame is of kind {0}, which this version does not know")]
    UnknownKind(u8),
    /// A frame of another kind stands in this place.
    #[error("the frame is of kind {found:?}, not {expected:?}")]
    OtherKind {
        /// What was asked for.
        expected: Kind,
        /// What is there.
        found: Kind,
    },
    /// Another key is needed.
    #[error("the frame was sealed under key {found} version {version}")]
    OtherKey {
        /// The key that is needed.
        found: KeyId,
        /// Its version.
        version: u32,
    },
    /// The right key's number, but not its commitment: the frame was moved from another place, or its head is damaged.
    #[error("the frame does not belong in this place, or its head is damaged")]
    Commitment,
    /// The commitment holds, the content does not.
    #[error("the frame's content is damaged")]
    Damaged,
    /// Sealed by a program that pads otherwise.
    #[error("the frame's padding is malformed")]
    Padding,
}

/// A key that seals messages, with the subkeys expanded from it. Wiped when dropped; it has no `Debug` and no `Clone`.
pub struct DataKey {
    id: KeyId,
    version: u32,
    material: Zeroizing<[u8; 32]>,
    /// Ready to expand: holds the key schedule of HMAC, so that a message costs no key set-up.
    enc: Hkdf<Sha256>,
    identity: Zeroizing<[u8; 32]>,
}

impl DataKey {
    /// The version of a key that was never replaced.
    pub const FIRST_VERSION: u32 = 1;

    /// A new key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self::from_material(Zeroizing::new(random(entropy)), Self::FIRST_VERSION)
    }

    /// A key from its 32 uniformly random bytes. Its id is expanded from them, so equal keys have equal ids and a
    /// wrong key is told apart from a damaged frame.
    pub fn from_material(material: Zeroizing<[u8; 32]>, version: u32) -> Self {
        let schedule = schedule(&material);
        let mut enc = Zeroizing::new([0; 32]);
        let mut identity = Zeroizing::new([0; 32]);
        let mut id = [0; 16];
        expand(&schedule, &[b"plt1 enc"], &mut *enc);
        expand(&schedule, &[b"plt1 id"], &mut *identity);
        expand(&schedule, &[b"plt1 key id"], &mut id);
        Self { id: KeyId::from_bytes(id), version, enc: self::schedule(&enc), material, identity }
    }

    /// Names the key; not secret.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Which of its owner's keys it is, from 1; not secret.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The key itself, to be wrapped under another.
    pub(super) fn material(&self) -> &[u8; 32] {
        &self.material
    }

    /// The subkey for keyed digests (`DEK.id`): tags, tokens, the `uniq` of chunks.
    pub(super) fn identity(&self) -> &[u8; 32] {
        &self.identity
    }
}

/// Seals `plaintext` under `key`, bound to `context`. `uniq` must be random, or a digest that differs for every
/// (plaintext, context) under this key ([`super::UniqSource`] gives either).
///
/// The frame is [`OVERHEAD_BYTES`] longer than the plaintext, which is padded first if the kind asks for it. Plaintexts
/// are bounded by the caller ([`PLAINTEXT_BYTES_MAX`]).
pub fn seal(key: &DataKey, context: &Context<'_>, plaintext: &[u8], uniq: &[u8; 32]) -> Vec<u8> {
    let padded_bytes = if context.kind.is_padded() { padded_bytes(plaintext.len()) } else { plaintext.len() };
    let mut frame = Vec::with_capacity(padded_bytes + OVERHEAD_BYTES);
    frame.extend_from_slice(&MAGIC);
    frame.push(ALGORITHM);
    frame.push(context.kind as u8);
    frame.extend_from_slice(key.id.as_bytes());
    frame.extend_from_slice(&key.version.to_be_bytes());
    frame.extend_from_slice(uniq);
    let mut bound = Bound::new(&frame, context);
    let secrets = message_secrets(key, &bound);
    frame.extend_from_slice(secrets.commitment());
    bound.set_commitment(secrets.commitment());

    let body = frame.len();
    if context.kind.is_padded() {
        let length = u32::try_from(plaintext.len()).expect("a plaintext is at most 4 MiB");
        frame.extend_from_slice(&length.to_be_bytes());
    }
    frame.extend_from_slice(plaintext);
    frame.resize(body + padded_bytes, 0);
    let tag = secrets
        .cipher()
        .encrypt_inout_detached(&Nonce::default(), bound.aad(), InOutBuf::from(&mut frame[body..]))
        .expect("a plaintext is far below the 64 GiB that GCM takes");
    frame.extend_from_slice(&tag);
    frame
}

/// Opens `frame`, which must have been sealed under `key` and bound to exactly `context`.
pub fn open(key: &DataKey, context: &Context<'_>, frame: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let parts = Parts::split(frame)?;
    if parts.kind != context.kind {
        return Err(OpenError::OtherKind { expected: context.kind, found: parts.kind });
    }
    if parts.key_id != key.id || parts.key_version != key.version {
        return Err(OpenError::OtherKey { found: parts.key_id, version: parts.key_version });
    }
    let mut bound = Bound::new(parts.header, context);
    let secrets = message_secrets(key, &bound);
    if !bool::from(secrets.commitment().as_slice().ct_eq(parts.commitment)) {
        return Err(OpenError::Commitment);
    }
    bound.set_commitment(secrets.commitment());
    let mut plaintext = Zeroizing::new(parts.ciphertext.to_vec());
    secrets
        .cipher()
        .decrypt_inout_detached(
            &Nonce::default(),
            bound.aad(),
            InOutBuf::from(plaintext.as_mut_slice()),
            &Tag::from(parts.tag),
        )
        .map_err(|_| OpenError::Damaged)?;
    if context.kind.is_padded() {
        unpad(&mut plaintext)?;
    }
    Ok(plaintext)
}

/// Which key, in which version, opens `frame`. Nothing is verified but the frame's shape.
pub fn frame_key_id(frame: &[u8]) -> Result<(KeyId, u32), OpenError> {
    let parts = Parts::split(frame)?;
    Ok((parts.key_id, parts.key_version))
}

/// How many bytes a frame of `kind` around `plaintext_bytes` has.
pub const fn frame_bytes(kind: Kind, plaintext_bytes: usize) -> usize {
    OVERHEAD_BYTES + if kind.is_padded() { padded_bytes(plaintext_bytes) } else { plaintext_bytes }
}

const fn padded_bytes(plaintext_bytes: usize) -> usize {
    (plaintext_bytes + LENGTH_BYTES).next_multiple_of(PADDING_STEP_BYTES)
}

/// Only the one padding that [`seal`] makes is taken, so that a plaintext has exactly one padded form.
fn unpad(plaintext: &mut Vec<u8>) -> Result<(), OpenError> {
    let Some(prefix) = plaintext.first_chunk::<LENGTH_BYTES>() else {
        return Err(OpenError::Padding);
    };
    let length = usize::try_from(u32::from_be_bytes(*prefix)).map_err(|_| OpenError::Padding)?;
    let end = length.checked_add(LENGTH_BYTES).ok_or(OpenError::Padding)?;
    let step_is_right = end.checked_next_multiple_of(PADDING_STEP_BYTES) == Some(plaintext.len());
    if !step_is_right || plaintext[end..].iter().any(|byte| *byte != 0) {
        return Err(OpenError::Padding);
    }
    plaintext.copy_within(LENGTH_BYTES..end, 0);
    // The tail would otherwise stay behind the new length until the buffer is dropped; it is wiped with it.
    plaintext.truncate(length);
    Ok(())
}

fn schedule(key: &[u8; 32]) -> Hkdf<Sha256> {
    Hkdf::from_prk(key).expect("32 bytes are a whole SHA-256 output")
}

fn expand(schedule: &Hkdf<Sha256>, info: &[&[u8]], out: &mut [u8]) {
    schedule.expand_multi_info(info, out).expect("at most 64 bytes are asked for");
}

/// The key and the commitment of one message.
struct MessageSecrets([u8; 64]);

impl Drop for MessageSecrets {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl MessageSecrets {
    fn cipher(&self) -> Aes256Gcm {
        let key: &[u8; 32] = self.0.first_chunk().expect("64 bytes hold 32");
        Aes256Gcm::new(<&Key<Aes256Gcm>>::from(key))
    }

    fn commitment(&self) -> &[u8; COMMITMENT_BYTES] {
        self.0.last_chunk().expect("64 bytes hold 32")
    }
}

fn message_secrets(key: &DataKey, bound: &Bound) -> MessageSecrets {
    let mut secrets = MessageSecrets([0; 64]);
    expand(&key.enc, &[SEAL_LABEL, &bound.digest()], &mut secrets.0);
    secrets
}

/// A frame cut into its fields, nothing verified.
struct Parts<'a> {
    kind: Kind,
    key_id: KeyId,
    key_version: u32,
    header: &'a [u8],
    commitment: &'a [u8],
    ciphertext: &'a [u8],
    tag: [u8; TAG_BYTES],
}

impl<'a> Parts<'a> {
    fn split(frame: &'a [u8]) -> Result<Self, OpenError> {
        let truncated = OpenError::Truncated { bytes: frame.len() };
        if frame.len() >= MAGIC.len() && !frame.starts_with(&MAGIC) {
            return Err(OpenError::NotAFrame);
        }
        let (header, rest) = frame.split_at_checked(HEADER_BYTES).ok_or(truncated)?;
        let (commitment, rest) = rest.split_at_checked(COMMITMENT_BYTES).ok_or(truncated)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(truncated)?;
        if header[4] != ALGORITHM {
            return Err(OpenError::UnknownAlgorithm(header[4]));
        }
        let kind = Kind::from_code(header[5]).ok_or(OpenError::UnknownKind(header[5]))?;
        let key_id: [u8; 16] = *header[6..].first_chunk().ok_or(truncated)?;
        let key_version: [u8; 4] = *header[22..].first_chunk().ok_or(truncated)?;
        Ok(Self {
            kind,
            key_id: KeyId::from_bytes(key_id),
            key_version: u32::from_be_bytes(key_version),
            header,
            commitment,
            ciphertext,
            tag: *tag,
        })
    }
}

/// Header, room for the commitment, context: what a message is bound to, in the order of the associated data. On the
/// stack unless the object's id is long, because this runs once per row.
struct Bound {
    inline: [u8; INLINE_BYTES],
    spilled: Vec<u8>,
    length: usize,
}

const INLINE_BYTES: usize = 384;
const CONTEXT_AT: usize = HEADER_BYTES + COMMITMENT_BYTES;

impl Bound {
    fn new(header: &[u8], context: &Context<'_>) -> Self {
        let mut bound = Self { inline: [0; INLINE_BYTES], spilled: Vec::new(), length: 0 };
        bound.push(header);
        bound.push(&[0; COMMITMENT_BYTES]);
        bound.field(context.cluster.as_bytes());
        let mut owner = [0_u8; 17];
        bound.field(owner_bytes(context.owner, &mut owner));
        bound.field(context.object);
        bound.field(&context.object_version.to_be_bytes());
        bound.field(&[context.kind as u8]);
        bound.field(&context.schema.to_be_bytes());
        bound
    }

    /// An object's id of 65,535 bytes or more, which nobody makes, is preceded by that number and its whole length, so
    /// that every context still has exactly one form.
    fn field(&mut self, bytes: &[u8]) {
        match u16::try_from(bytes.len()) {
            Ok(length) if length < u16::MAX => self.push(&length.to_be_bytes()),
            _ => {
                self.push(&u16::MAX.to_be_bytes());
                self.push(&(bytes.len() as u64).to_be_bytes());
            }
        }
        self.push(bytes);
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if self.spilled.is_empty() && end <= INLINE_BYTES {
            self.inline[self.length..end].copy_from_slice(bytes);
        } else {
            if self.spilled.is_empty() {
                self.spilled.extend_from_slice(&self.inline[..self.length]);
            }
            self.spilled.extend_from_slice(bytes);
        }
        self.length = end;
    }

    fn set_commitment(&mut self, commitment: &[u8; COMMITMENT_BYTES]) {
        let all = if self.spilled.is_empty() { &mut self.inline[..] } else { &mut self.spilled[..] };
        all[HEADER_BYTES..CONTEXT_AT].copy_from_slice(commitment);
    }

    /// SHA-256 of header and context, without the commitment between them.
    fn digest(&self) -> [u8; 32] {
        let all = self.aad();
        Sha256::new().chain_update(&all[..HEADER_BYTES]).chain_update(&all[CONTEXT_AT..]).finalize().into()
    }

    fn aad(&self) -> &[u8] {
        if self.spilled.is_empty() { &self.inline[..self.length] } else { &self.spilled }
    }
}

/// One byte for the sort of owner, then its id.
fn owner_bytes(owner: Owner, into: &mut [u8; 17]) -> &[u8] {
    let (code, id): (u8, &[u8]) = match &owner {
        Owner::Patient(id) => (1, id.as_bytes()),
        Owner::Unit(id) => (2, id.as_bytes()),
        Owner::Search => (3, &[]),
        Owner::ContentTag => (4, &[]),
        Owner::Cluster => (5, &[]),
        Owner::Node(id) => (6, &id.0.to_be_bytes()),
    };
    into[0] = code;
    into[1..=id.len()].copy_from_slice(id);
    let length = 1 + id.len();
    &into[..length]
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
