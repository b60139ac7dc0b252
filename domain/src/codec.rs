//! Bytes of what is replicated: envelopes in the log, outcomes, values of rows. Every decoder here is total: damaged
//! or hostile bytes become a [`DecodeError`], never a panic and never an allocation larger than the input. What a
//! value *means* is never checked here, except that times lie within the years that [`ClusterTime`] promises.
//!
//! ```text
//! envelope = version u8 (1) | proposed_at i64 BE | CBOR array: request_id, content_tag, actor, via, not_after, command
//! outcome  = version u8 (1) | CBOR of Outcome
//! row      = version u8 (1) | CBOR of the row's struct; a row that is only a key has the version byte alone
//! ```
//! The time stands outside of the CBOR at a fixed place, so that the leader stamps a forwarded envelope by writing
//! eight bytes instead of decoding and encoding it (decision 0001).

use crate::command::{Actor, Command, Envelope, Tag};
use crate::id::{NodeId, RequestId};
use crate::outcome::Outcome;
use crate::time::ClusterTime;
use minicbor::{Decode, Encode};

/// An encoded envelope is at most this long (DESIGN section 12); decoding refuses a longer one.
pub const ENTRY_BYTES_MAX: usize = 64 * 1024;

/// A row's value is at most this long: one sealed content of an entry, and structure around it.
pub const ROW_BYTES_MAX: usize = 128 * 1024;

const ENVELOPE_VERSION: u8 = 1;
const OUTCOME_VERSION: u8 = 1;
const ROW_VERSION: u8 = 1;
const STAMP_BYTES: usize = 8;

/// What is encoded without growing its buffer: a vector that begins with one byte grows six times for a row, and each of
/// a write's rows is encoded on every node.
const ENVELOPE_BYTES_USUAL: usize = 1024;
const ROW_BYTES_USUAL: usize = 256;
const OUTCOME_BYTES_USUAL: usize = 64;

/// Why bytes are not what they should be. Says nothing of their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It ends before it should.
    #[error("the bytes end too early")]
    Truncated,
    /// Written by another version of this format.
    #[error("format version {0} is not known")]
    Version(u8),
    /// Longer than its bound.
    #[error("{bytes} bytes are more than the bound allows")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// A time outside the years 1900 to 9999.
    #[error("a time lies outside the years 1900 to 9999")]
    Time,
    /// Not the CBOR that was expected.
    #[error("the bytes are malformed")]
    Malformed,
    /// Something follows what was expected.
    #[error("bytes follow the end")]
    Trailing,
}

#[derive(Encode)]
struct RestRef<'a> {
    #[n(0)]
    request_id: &'a RequestId,
    #[n(1)]
    content_tag: &'a Tag,
    #[n(2)]
    actor: &'a Actor,
    #[n(3)]
    via: NodeId,
    #[n(4)]
    not_after: ClusterTime,
    #[n(5)]
    command: &'a Command,
}

#[derive(Decode)]
struct Rest {
    #[n(0)]
    request_id: RequestId,
    #[n(1)]
    content_tag: Tag,
    #[n(2)]
    actor: Actor,
    #[n(3)]
    via: NodeId,
    #[n(4)]
    not_after: ClusterTime,
    #[n(5)]
    command: Command,
}

fn append<T: Encode<()>>(mut bytes: Vec<u8>, value: &T) -> Vec<u8> {
    minicbor::encode(value, &mut bytes).expect("writing to a vector cannot fail");
    bytes
}

fn parse<T: for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let value = decoder.decode().map_err(|fault: minicbor::decode::Error| {
        if fault.is_end_of_input() { DecodeError::Truncated } else { DecodeError::Malformed }
    })?;
    if decoder.position() == bytes.len() { Ok(value) } else { Err(DecodeError::Trailing) }
}

fn versioned(bytes: &[u8], version: u8, bytes_max: usize) -> Result<&[u8], DecodeError> {
    if bytes.len() > bytes_max {
        return Err(DecodeError::TooLong { bytes: bytes.len() });
    }
    match bytes.split_first() {
        None => Err(DecodeError::Truncated),
        Some((found, rest)) if *found == version => Ok(rest),
        Some((found, _)) => Err(DecodeError::Version(*found)),
    }
}

/// The bytes of a log entry. Whoever proposes it checks that they are at most [`ENTRY_BYTES_MAX`]: a longer one would
/// be refused by every decoder.
pub fn encode_envelope(envelope: &Envelope) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENVELOPE_BYTES_USUAL);
    bytes.push(ENVELOPE_VERSION);
    bytes.extend_from_slice(&envelope.proposed_at.millis().to_be_bytes());
    let rest = RestRef {
        request_id: &envelope.request_id,
        content_tag: &envelope.content_tag,
        actor: &envelope.actor,
        via: envelope.via,
        not_after: envelope.not_after,
        command: &envelope.command,
    };
    append(bytes, &rest)
}

/// Writes the leader's time into an encoded envelope.
///
/// # Errors
/// The bytes are too short or of another version; nothing is written then.
pub fn stamp(envelope: &mut [u8], at: ClusterTime) -> Result<(), DecodeError> {
    match envelope.split_first_mut() {
        None => Err(DecodeError::Truncated),
        Some((&mut ENVELOPE_VERSION, rest)) => {
            let place = rest.first_chunk_mut::<STAMP_BYTES>().ok_or(DecodeError::Truncated)?;
            *place = at.millis().to_be_bytes();
            Ok(())
        }
        Some((found, _)) => Err(DecodeError::Version(*found)),
    }
}

/// The time in an encoded envelope, without decoding the rest.
///
/// # Errors
/// The bytes are too short, too long, of another version, or the time lies outside of 1900 to 9999.
pub fn stamped_at(envelope: &[u8]) -> Result<ClusterTime, DecodeError> {
    split_stamp(envelope).map(|(at, _)| at)
}

fn split_stamp(bytes: &[u8]) -> Result<(ClusterTime, &[u8]), DecodeError> {
    let rest = versioned(bytes, ENVELOPE_VERSION, ENTRY_BYTES_MAX)?;
    let (at, rest) = rest.split_first_chunk::<STAMP_BYTES>().ok_or(DecodeError::Truncated)?;
    let at = ClusterTime::from_millis(i64::from_be_bytes(*at)).ok_or(DecodeError::Time)?;
    Ok((at, rest))
}

/// Reads a log entry.
///
/// # Errors
/// Anything but a whole envelope of at most [`ENTRY_BYTES_MAX`] with nothing after it.
pub fn decode_envelope(bytes: &[u8]) -> Result<Envelope, DecodeError> {
    let (proposed_at, rest) = split_stamp(bytes)?;
    let Rest { request_id, content_tag, actor, via, not_after, command } = parse(rest)?;
    Ok(Envelope { request_id, content_tag, actor, via, not_after, proposed_at, command })
}

/// The bytes of an answer, as they travel and enter the digest chain.
pub fn encode_outcome(outcome: &Outcome) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(OUTCOME_BYTES_USUAL);
    bytes.push(OUTCOME_VERSION);
    append(bytes, outcome)
}

/// Reads an answer.
///
/// # Errors
/// Anything but a whole outcome with nothing after it.
pub fn decode_outcome(bytes: &[u8]) -> Result<Outcome, DecodeError> {
    parse(versioned(bytes, OUTCOME_VERSION, ENTRY_BYTES_MAX)?)
}

/// The value of a row.
pub fn encode_row<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ROW_BYTES_USUAL);
    bytes.push(ROW_VERSION);
    append(bytes, value)
}

/// Reads the value of a row.
///
/// # Errors
/// Anything but a whole value of at most [`ROW_BYTES_MAX`] with nothing after it.
pub fn decode_row<T: for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    parse(versioned(bytes, ROW_VERSION, ROW_BYTES_MAX)?)
}
