//! What can become of a call, split by what a caller can decide: a refusal is an answer, *unknown* is never taken for
//! "did not happen".

use crate::id::Id;
use bytes::Bytes;
use plantao_proto::public::v1;
use std::fmt;
use tonic::{Code, Status};

pub use plantao_proto::refusal::{CODE_KEY, HELP_KEY, NOT_DONE, OUTCOME_KEY};

/// The number of "came too late", the one rejection that says nothing about an earlier try.
pub(crate) const CODE_EXPIRED: u32 = 1101;
/// The number of "the slot is taken".
pub const CODE_SLOT_TAKEN: u32 = 1204;

/// What a status said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Its gRPC code.
    pub grpc: Code,
    /// What and why, in English.
    pub message: String,
    /// The number in `PLT-nnnn`, when the node gave one.
    pub code: Option<u32>,
    /// What to do, when the node said so.
    pub help: Option<String>,
    /// Which endpoint said it, `host:port`.
    pub endpoint: String,
}

impl Answer {
    pub(crate) fn from_status(status: &Status, endpoint: &str) -> Self {
        let metadata = status.metadata();
        Self {
            grpc: status.code(),
            message: message_of(status),
            code: metadata.get(CODE_KEY).and_then(|code| code.to_str().ok()?.parse().ok()),
            help: metadata.get_bin(HELP_KEY).and_then(|help| String::from_utf8(help.to_bytes().ok()?.to_vec()).ok()),
            endpoint: endpoint.to_owned(),
        }
    }
}

/// The status's own words, and what lies under them: a bare "transport error" helps nobody.
fn message_of(status: &Status) -> String {
    let mut message = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    // A chain of errors is short; the bound keeps a circular one from hanging.
    for _ in 0..8 {
        let Some(error) = source else { break };
        let text = error.to_string();
        if !message.contains(&text) {
            if !message.is_empty() {
                message.push_str(": ");
            }
            message.push_str(&text);
        }
        source = error.source();
    }
    message
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.code {
            Some(code) => write!(f, " (PLT-{code:04})"),
            None => Ok(()),
        }
    }
}

/// Something that an appointment occupies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// What kind of thing.
    pub kind: v1::ResourceKind,
    /// Which.
    pub id: Id,
    /// The booking that holds it.
    pub holder: Id,
}

/// A rejection: all nodes agree on it, and nothing changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The number in `PLT-nnnn`.
    pub code: u32,
    /// What and why.
    pub message: String,
    /// What to do.
    pub help: String,
    /// For a slot that is taken.
    pub held: Option<Held>,
    /// For a stale version.
    pub current_version: Option<u32>,
    /// For a duplicate patient.
    pub existing_patient: Option<Id>,
    /// Log index at which it was decided.
    pub index: u64,
    /// Of the request.
    pub request_id: Id,
}

impl Refusal {
    pub(crate) fn from_wire(rejection: v1::Rejection, index: u64, request_id: Id) -> Self {
        let id = |bytes: &Bytes| Id::from_wire(bytes).ok();
        let held = rejection.resource.as_ref().and_then(|resource| {
            Some(Held { kind: resource.kind(), id: id(&resource.id)?, holder: id(&rejection.holder_appointment_id)? })
        });
        Self {
            code: rejection.code,
            held,
            current_version: (rejection.current_version != 0).then_some(rejection.current_version),
            existing_patient: id(&rejection.existing_patient_id),
            message: rejection.message,
            help: rejection.help,
            index,
            request_id,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (PLT-{:04})", self.message, self.code)
    }
}

/// Why a call did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Decided by the cluster: no. Nothing changed.
    #[error("refused: {0}")]
    Refused(Box<Refusal>),
    /// The request is not one that could ever be done. Nothing changed.
    #[error("invalid request: {0}")]
    Invalid(Box<Answer>),
    /// This identity may not do that. Nothing changed.
    #[error("not allowed: {0}")]
    Denied(Box<Answer>),
    /// No such object.
    #[error("not found: {0}")]
    NotFound(Box<Answer>),
    /// A read had no answer in time, or a write was, for certain, never proposed.
    #[error("no node could answer: {0}")]
    Unavailable(Box<Answer>),
    /// A write may or may not have been done: nobody said. Ask for the object, or repeat it with the same request id
    /// before its time limit.
    #[error("the outcome of request {request_id} is unknown: {last}")]
    Unknown {
        /// Of the request.
        request_id: Id,
        /// What the last try brought.
        last: Box<Answer>,
    },
    /// An answer that this version cannot read.
    #[error("the node's answer cannot be read: {0}")]
    Protocol(&'static str),
    /// The operating system gave no randomness for a request id.
    #[error("no randomness for a request id")]
    Randomness(#[source] getrandom::Error),
}

impl Error {
    /// The number in `PLT-nnnn`, where there is one.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::Invalid(answer)
            | Self::Denied(answer)
            | Self::NotFound(answer)
            | Self::Unavailable(answer)
            | Self::Unknown { last: answer, .. } => answer.code,
            Self::Protocol(_) | Self::Randomness(_) => None,
        }
    }

    /// What to do.
    pub fn help(&self) -> &str {
        let (answer, otherwise) = match self {
            Self::Refused(refusal) => return &refusal.help,
            Self::Invalid(answer) => (answer, "correct the request and send it again"),
            Self::Denied(answer) => (answer, "use an identity whose role has this right, and look at its certificate"),
            Self::NotFound(answer) => (answer, "check the id"),
            Self::Unavailable(answer) => (answer, "try again; `plantao status` shows which nodes answer"),
            // What a node's help says is about one try, not about the uncertainty.
            Self::Unknown { .. } => {
                return "look whether it was done, or repeat it with the same request id";
            }
            Self::Protocol(_) => return "use the same version of this program and of the nodes",
            Self::Randomness(_) => return "look at the operating system of this computer",
        };
        answer.help.as_deref().unwrap_or(otherwise)
    }

    /// The request of an unknown outcome.
    pub fn unknown_request(&self) -> Option<Id> {
        match self {
            Self::Unknown { request_id, .. } => Some(*request_id),
            _ => None,
        }
    }
}
