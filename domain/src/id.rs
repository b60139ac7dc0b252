//! Identifiers: opaque, 128 bits, one type each. They appear in row keys and logs, so they must never be derived from
//! anything that names a person (a CPF, a telephone number, a name).

use minicbor::{Decode, Encode};
use std::fmt;

/// The text was not 32 hexadecimal digits, with or without the hyphens of a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: 32 hexadecimal digits are needed, with or without hyphens")]
pub struct ParseIdError;

/// The text was not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: 64 hexadecimal digits are needed")]
pub struct ParseDigestError;

fn parse(text: &str) -> Result<[u8; 16], ParseIdError> {
    hexadecimal(text).ok_or(ParseIdError)
}

/// Exactly `N` bytes; hyphens are passed over.
fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0_u8; N];
    let mut digits = text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16));
    for byte in &mut bytes {
        let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else { return None };
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

fn write(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] #[cbor(with = "minicbor::bytes")] [u8; 16]);

        impl $name {
            /// Takes 16 bytes as they are.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Whether all bits are zero: no identifier that a program made is.
            pub fn is_nil(&self) -> bool {
                self.0 == [0; 16]
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(&self.0, f)
            }
        }
    )*};
}

id! {
    /// The whole network of nodes; made once, by `plantaod init`.
    ClusterId,
    /// Made by the client for one request; every retry carries the same one.
    RequestId,
    /// A person or program that calls: a digest of its certificate identity.
    ActorId,
    /// A clinic, with or without a node of its own.
    UnitId,
    /// A patient.
    PatientId,
    /// A professional whom patients book.
    PractitionerId,
    /// A room that appointments occupy.
    RoomId,
    /// A booking.
    AppointmentId,
    /// A patient record: one document and its amendments.
    RecordId,
    /// A consent and its later states.
    ConsentId,
    /// A sealing key, at any level.
    KeyId,
    /// One audit journal of one node: a fresh one per directory, so that sequence numbers are never reused.
    JournalId,
    /// A clinical image, once it is committed.
    ImageId,
    /// One try to bring an image in. Its manifest stays under this id after the commit.
    UploadId,
    /// One chunk directory of one node: 16 random bytes, made with the directory. A lost directory comes back as
    /// another one, so receipts given before count no more.
    StoreIncarnation,
}

macro_rules! digest_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] #[cbor(with = "minicbor::bytes")] [u8; 32]);

        impl $name {
            /// Takes 32 bytes as they are.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseDigestError;
            fn from_str(text: &str) -> Result<Self, ParseDigestError> {
                let bytes = if text.len() == 64 { hexadecimal(text) } else { None };
                bytes.map(Self).ok_or(ParseDigestError)
            }
        }

        /// 64 lowercase hexadecimal digits.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

digest_id! {
    /// A sealed chunk: BLAKE3 of its ciphertext (the whole frame), so that a holder checks it without any key.
    ChunkId,
    /// The chunks of one part of a manifest (`images::part_digest`).
    PartDigest,
    /// The disk below a chunk directory: a digest of what identifies it, found by its node and not declared. Copies on
    /// one disk are one copy.
    DiskId,
}

/// A node of the cluster: a small number, assigned in order and never used again (decision 0004).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct NodeId(#[n(0)] pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of an entry in the replicated log, with the term of the leader that wrote it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
pub struct LogId {
    /// Raft term.
    #[n(0)]
    pub term: u64,
    /// 1-based place in the log; 0 is the entry that created the cluster.
    #[n(1)]
    pub index: u64,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_is_read_with_and_without_hyphens_and_nothing_else() {
        let id: PatientId = "875ac127-ec8a-41b8-bb68-0c2161c61913".parse().unwrap();
        assert_eq!(id.to_string(), "875ac127-ec8a-41b8-bb68-0c2161c61913");
        assert_eq!("875ac127ec8a41b8bb680c2161c61913".parse(), Ok(id));
        for bad in ["", "875ac127", "875ac127-ec8a-41b8-bb68-0c2161c6191g", "875ac127ec8a41b8bb680c2161c6191300", "é"]
        {
            assert_eq!(bad.parse::<PatientId>(), Err(ParseIdError), "{bad}");
        }
    }

    #[test]
    fn a_digest_is_64_digits_and_nothing_else() {
        let text = "00ff".repeat(16);
        let id: ChunkId = text.parse().unwrap();
        assert_eq!((id.as_bytes()[..2].to_vec(), id.to_string()), (vec![0, 0xff], text.clone()));
        assert_eq!(format!("{id:?}"), text);
        let hyphens = format!("{}-f", &text[..62]);
        for bad in ["", &text[1..], &hyphens, &text.replace("ff", "fg"), &format!("{text}00")] {
            assert_eq!(bad.parse::<ChunkId>(), Err(ParseDigestError), "{bad}");
        }
    }
}
