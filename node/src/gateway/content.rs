//! What is inside the seals: small CBOR structures around the sender's own bytes. The indexes are a format.

use minicbor::{Decode, Encode};

/// Schema number of every structure here, bound into each frame.
pub(super) const SCHEMA: u16 = 1;

/// A unit, a professional or a room.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct DirectoryContent {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// The label by which a clinic knows it; may be empty.
    #[n(1)]
    pub label: String,
    /// The sender's bytes.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub document: Vec<u8>,
}

/// Who a patient is.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct DemographicsContent {
    /// Full name.
    #[n(0)]
    pub name: String,
    /// 11 digits, or empty.
    #[n(1)]
    pub cpf: String,
    /// Digits.
    #[n(2)]
    pub phones: Vec<String>,
    /// May be empty.
    #[n(3)]
    pub email: String,
    /// `YYYY-MM-DD`, or empty.
    #[n(4)]
    pub birth_date: String,
    /// The sender's bytes.
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    pub document: Vec<u8>,
}

/// What describes an image, as its sender says.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct ImageContent {
    /// Of the file; may be empty.
    #[n(0)]
    pub name: String,
    /// May be empty.
    #[n(1)]
    pub remarks: String,
    /// SHA-256 of the whole, 32 bytes; empty where the sender said it at the end only.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub sha256: Vec<u8>,
}

/// What the node that took an image found in its bytes.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct ImageFound {
    /// SHA-256 of the whole, 32 bytes.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub sha256: Vec<u8>,
    /// SHA-256 of what an export gives, where that differs: DICOM whose preamble is zeroed. Empty otherwise.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub export_sha256: Vec<u8>,
}

macro_rules! redacted {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}
redacted!(DirectoryContent, DemographicsContent, ImageContent, ImageFound);

pub(super) fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to memory does not fail")
}

pub(super) fn decode<T: for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Option<T> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let value = decoder.decode().ok()?;
    (decoder.position() == bytes.len()).then_some(value)
}
