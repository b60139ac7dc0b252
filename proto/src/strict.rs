//! How messages are read. A request of the public or admin plane is refused when it has a field, or a value of an
//! enumeration, that this version does not know: dropping it silently could mean doing something else than was asked.
//! Answers, and requests between nodes, are read leniently, because a newer sender may add what an older reader may skip.
//!
//! ```text
//! bytes ─► walk along the forms (known numbers only? whole?) ─► prost ─► message
//!                └─► Fault ─► INVALID_ARGUMENT, PLT-1402 or PLT-1403, nothing was done
//! ```
//! The forms are generated from the descriptors (`build.rs`): every input of a method outside of the peer plane has one.
//! The walk looks at field numbers, wire types and lengths, never into texts and documents, so its time is that of some
//! ten comparisons for each field; it allocates nothing. What prost would refuse anyway is left to prost.

use crate::refusal::{CODE_KEY, HELP_KEY, NOT_DONE, OUTCOME_KEY};
use bytes::{Buf, Bytes};
use prost::Message;
use std::marker::PhantomData;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_prost::ProstEncoder;

/// Messages inside of each other; prost's own bound.
const DEPTH_MAX: u32 = 100;

/// What a message may consist of.
#[derive(Debug)]
pub struct Form {
    /// Its name without the package, for the refusal.
    name: &'static str,
    /// By number, ascending.
    fields: &'static [Field],
}

#[derive(Debug)]
struct Field {
    number: u32,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A number, a text or bytes.
    Plain,
    /// One of these numbers, or a list of them.
    Enum(&'static [i32]),
    Message(&'static Form),
}

/// A message that a method takes or gives. Generated for each of them.
pub trait Received: Message + Default + Send + 'static {
    /// `Some`: it is read strictly.
    const FORM: Option<&'static Form>;
}

include!(concat!(env!("OUT_DIR"), "/forms.rs"));

/// Why a request was not read. Nothing of its content is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It says something that would be dropped.
    #[error("field {number} of {message} is not known to this node: it would be dropped silently")]
    UnknownField {
        /// The message that has the field, without its package.
        message: &'static str,
        /// The field's number.
        number: u32,
    },
    /// An enumeration has a value that could only be guessed.
    #[error("field {number} of {message} has a value that is not known to this node: it could only be guessed")]
    UnknownValue {
        /// The message that has the field, without its package.
        message: &'static str,
        /// The field's number.
        number: u32,
    },
    /// The bytes are cut short, or no protobuf at all.
    #[error("{message} cannot be read: {why}")]
    Malformed {
        /// The message in which reading ended, without its package.
        message: &'static str,
        /// What does not fit.
        why: &'static str,
    },
    /// A field is not of its type, or a text is not UTF-8. The source names message and field.
    #[error("the request cannot be read")]
    Decode(#[source] prost::DecodeError),
}

impl Fault {
    /// The number in `PLT-nnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Self::UnknownField { .. } | Self::UnknownValue { .. } => 1402,
            Self::Malformed { .. } | Self::Decode(_) => 1403,
        }
    }

    /// What to do.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::UnknownField { .. } | Self::UnknownValue { .. } => {
                "use a program of the node's version, or upgrade the node first"
            }
            Self::Malformed { .. } | Self::Decode(_) => {
                "send protobuf as the .proto files of the node's version say; reflection shows them"
            }
        }
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let mut metadata = MetadataMap::new();
        metadata.insert(CODE_KEY, MetadataValue::from(fault.code()));
        metadata.insert_bin(HELP_KEY, MetadataValue::from_bytes(fault.help().as_bytes()));
        metadata.insert(OUTCOME_KEY, MetadataValue::from_static(NOT_DONE));
        let text = match &fault {
            Fault::Decode(source) => format!("{fault}: {source}"),
            _ => fault.to_string(),
        };
        Self::with_details_and_metadata(Code::InvalidArgument, text, Bytes::new(), metadata)
    }
}

/// Reads `bytes` along the form. Total: whatever the bytes are, it ends with a verdict.
fn check(form: &Form, mut bytes: &[u8], depth: u32) -> Result<(), Fault> {
    let malformed = |why| Fault::Malformed { message: form.name, why };
    while !bytes.is_empty() {
        let key = varint(&mut bytes).and_then(|key| u32::try_from(key).ok());
        let key = key.filter(|key| key >> 3 != 0).ok_or(malformed("a field has no valid number"))?;
        let number = key >> 3;
        let at = form.fields.binary_search_by_key(&number, |field| field.number);
        let Some(field) = at.ok().and_then(|at| form.fields.get(at)) else {
            return Err(Fault::UnknownField { message: form.name, number });
        };
        let known = |value: u64, values: &[i32]| match values.contains(&int32(value)) {
            true => Ok(()),
            false => Err(Fault::UnknownValue { message: form.name, number }),
        };
        let cut_short = || malformed("it is cut short");
        match key & 7 {
            0 => {
                let value = varint(&mut bytes).ok_or(malformed("a number is cut short or too long"))?;
                if let Content::Enum(values) = field.content {
                    known(value, values)?;
                }
            }
            1 => bytes = bytes.get(8..).ok_or_else(cut_short)?,
            2 => {
                let length = varint(&mut bytes).and_then(|length| usize::try_from(length).ok());
                let parts = length.and_then(|length| bytes.split_at_checked(length));
                let (mut body, rest) = parts.ok_or_else(cut_short)?;
                bytes = rest;
                match field.content {
                    Content::Plain => {}
                    Content::Message(_) if depth == 0 => return Err(malformed("it is nested too deeply")),
                    Content::Message(inner) => check(inner, body, depth - 1)?,
                    // A packed list.
                    Content::Enum(values) => {
                        while !body.is_empty() {
                            known(varint(&mut body).ok_or_else(cut_short)?, values)?;
                        }
                    }
                }
            }
            5 => bytes = bytes.get(4..).ok_or_else(cut_short)?,
            // Groups: no contract of ours has one.
            _ => return Err(malformed("a field is of a kind that is not used")),
        }
    }
    Ok(())
}

/// An enumeration's value as prost takes it from the wire: the lower half, as a signed number.
#[allow(clippy::cast_possible_truncation, reason = "protobuf truncates here, and the two readers must agree")]
const fn int32(value: u64) -> i32 {
    value as i32
}

/// The number at the front, and what follows it; `None` when it is cut short, or longer than 64 bits.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        // The tenth byte has room for one bit.
        if place == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn read<U: Received>(mut bytes: impl Buf) -> Result<U, Status> {
    let Some(form) = U::FORM else {
        return U::decode(bytes).map_err(|error| Status::internal(error.to_string()));
    };
    // One piece already, so nothing is copied.
    let bytes = bytes.copy_to_bytes(bytes.remaining());
    check(form, &bytes, DEPTH_MAX)?;
    Ok(U::decode(bytes).map_err(Fault::Decode)?)
}

/// Reads a message as a method would, and writes it again: for the fuzz targets.
///
/// # Errors
/// What a caller would be answered.
#[doc(hidden)]
pub fn again<U: Received>(bytes: &[u8]) -> Result<Vec<u8>, Status> {
    read::<U>(bytes).map(|message| message.encode_to_vec())
}

/// Encodes `T` as prost does, and reads `U`: strictly where [`Received::FORM`] says so.
#[derive(Debug)]
pub struct StrictCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for StrictCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: Received> Codec for StrictCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = StrictDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        StrictDecoder(PhantomData)
    }
}

/// The reading half.
#[derive(Debug)]
pub struct StrictDecoder<U>(PhantomData<U>);

impl<U: Received> Decoder for StrictDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        read(from).map(Some)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
