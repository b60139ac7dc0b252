//! Why a command ended without doing what was asked: one variant per thing its caller can do about it.
//!
//! The text here is English, one clause; what people read comes from [`crate::text`], with the code that
//! `plantao explain` knows and the exit code of [`crate::exit`].

use crate::exit::Exit;
use crate::text::Word;
use plantao_client::error::{Answer, Error, Refusal};
use plantao_client::id::Id;
use std::io;
use std::path::PathBuf;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Neither flags, nor environment, nor a context say which cluster.
    #[error("no cluster chosen: {missing} is not set")]
    NoContext {
        /// The first setting that is missing.
        missing: &'static str,
    },
    /// `--context` names none of the file.
    #[error("no context named {name}")]
    UnknownContext {
        /// As given.
        name: String,
    },
    /// The contexts file is unreadable, or has unknown keys.
    #[error("the contexts file cannot be used")]
    ContextFile {
        /// What the reader said.
        why: String,
    },
    /// A certificate, key or root file that cannot be used.
    #[error("the credentials cannot be used")]
    Credentials {
        /// What the reader said.
        why: String,
    },
    /// A confirmation is needed and there is nobody to ask.
    #[error("this needs a confirmation, and there is no terminal to ask on")]
    NeedsConfirmation {
        /// The flag to add.
        flag: &'static str,
    },
    /// What moves the lead is told to whoever reads the history.
    #[error("a reason is needed")]
    NeedsReason,
    /// A screen that stays, and nobody to look at it.
    #[error("this needs a terminal")]
    NeedsTerminal,
    /// The cluster checked, and refused: nothing changed.
    #[error("refused by a check of the cluster")]
    Guard {
        /// The number in `PLT-nnnn`.
        code: u32,
        /// What it said.
        why: String,
        /// What it said to do.
        help: Option<String>,
    },
    /// The person said no.
    #[error("not confirmed, nothing was done")]
    Declined,
    /// Not a UUID, nor a label, nor a prefix.
    #[error("this is no id")]
    BadId {
        /// Of what.
        what: Word,
        /// As given.
        text: String,
    },
    /// More than one thing begins like this.
    #[error("the id is ambiguous")]
    AmbiguousId {
        /// Of what.
        what: Word,
        /// As given.
        text: String,
        /// The first few of them.
        matches: Vec<String>,
    },
    /// No such thing.
    #[error("not found")]
    NotFound {
        /// Which kind.
        what: Word,
        /// As given.
        text: String,
    },
    /// A node said that there is no such thing.
    #[error("not found")]
    NotThere {
        /// What it said.
        why: String,
    },
    /// Not a time that has one meaning.
    #[error("this is no time with one meaning")]
    BadTime {
        /// As given.
        text: String,
    },
    /// Not an IANA zone.
    #[error("unknown time zone")]
    BadZone {
        /// As given.
        text: String,
    },
    /// A value that was refused before anything was sent.
    #[error("{field} cannot be used")]
    BadValue {
        /// Flag or field.
        field: &'static str,
        /// One clause.
        why: String,
    },
    /// The request id is past its time: repeating it could not be told from a new request.
    #[error("the time of this request is over")]
    RequestOver {
        /// The request.
        request_id: String,
    },
    /// A file to be sent or imported.
    #[error("cannot read {}", path.display())]
    ReadFile {
        /// Which; `-` is the standard input.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file to be made.
    #[error("cannot write {}", path.display())]
    WriteFile {
        /// Which, or its directory; `-` is the standard output.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Sent whole, and not durable on two sites within the time.
    #[error("the image is not safe on two sites yet")]
    NotSafeYet {
        /// What it waits for.
        why: String,
    },
    /// What was read is not what was sent once, or a copy cannot be proven.
    #[error("an image or a copy of it is damaged")]
    ImageDamaged {
        /// What does not fit.
        why: String,
    },
    /// Not even one endpoint answers.
    #[error("no endpoint can be reached")]
    Connect {
        /// What the last attempt said.
        why: String,
    },
    /// The cluster said: not you.
    #[error("the cluster does not allow this")]
    Denied {
        /// What the server said.
        why: String,
    },
    /// The cluster said: not now. Nothing was done.
    #[error("the cluster cannot do this now")]
    Unavailable {
        /// What the server said.
        why: String,
    },
    /// The cluster said: not like this.
    #[error("the cluster does not understand the request")]
    Invalid {
        /// What the server said.
        why: String,
    },
    /// An answer that this version cannot read.
    #[error("the answer cannot be understood")]
    BadAnswer {
        /// What is wrong with it.
        why: String,
    },
    /// The time was over and nobody knows whether it was done.
    #[error("the outcome is unknown: it may have been done")]
    Unknown {
        /// The request.
        request_id: String,
        /// Until when it may still be applied.
        not_after_ms: i64,
        /// What the last attempt said.
        why: String,
    },
    /// A decision of the cluster: refused, nothing changed.
    #[error("refused")]
    Rejected(Box<Refusal>),
    /// Kept, but another booking holds the slot.
    #[error("kept, but another booking holds the slot")]
    Conflict {
        /// The booking.
        holder: String,
    },
    /// Another node leads than `--expect-leader` says.
    #[error("another node leads")]
    OtherLeader {
        /// As expected.
        expected: String,
        /// As it is.
        actual: String,
    },
    /// The name that was given to confirm is not that of the node.
    #[error("this is not the node's name")]
    OtherName {
        /// As it is.
        expected: String,
        /// As given.
        actual: String,
    },
    /// The network's name that was given to confirm is another one.
    #[error("this is not the network's name")]
    OtherNetwork {
        /// As it is.
        expected: String,
        /// As given.
        actual: String,
    },
    /// A recovery was accepted, and the node did not come back within the time.
    #[error("the recovery is accepted, and the node is not back yet")]
    RecoveryUnderWay,
    /// A change of members was accepted, and is not done within the time.
    #[error("the change of members is accepted and still under way")]
    MembersUnderWay {
        /// What it waits for.
        why: String,
    },
    /// No node leads.
    #[error("no node leads")]
    NoLeader,
    /// Copies at the same index differ.
    #[error("copies differ at the same index")]
    DigestsDiffer {
        /// At which.
        index: u64,
    },
    /// The audit trail does not fit together.
    #[error("the audit trail is broken")]
    TrailBroken {
        /// First entry that does not fit.
        sequence: u64,
    },
    /// What was read back is not what the files have.
    #[error("records read back differ from the files")]
    ReadBackDiffers {
        /// How many.
        count: u64,
    },
    /// The changes asked for are not kept any more.
    #[error("these changes are not kept any more")]
    Compacted {
        /// List afresh, then watch from here.
        list_from_index: u64,
    },
    /// The authority refused.
    #[error("the authority refuses")]
    Authority {
        /// What it said, with its cause.
        why: String,
    },
    /// Certificates are not touched while a node is away or nobody leads.
    #[error("this is not the moment to touch certificates")]
    NotNow {
        /// What is in the way.
        why: String,
    },
    /// Some nodes did not take it.
    #[error("not every node took it")]
    NotAllNodes {
        /// The first of them, and why.
        why: String,
    },
    /// A step of the rotation before the one that it needs.
    #[error("the rotation is not at this step")]
    NotThisStep {
        /// What is missing.
        why: String,
    },
    /// `explain` was asked for a code that nobody uses.
    #[error("no such code")]
    UnknownCode {
        /// As given.
        text: String,
    },
    /// The reader of our output has gone: not an error, but nothing more can be said.
    #[error("the output was closed")]
    OutputClosed,
    /// The output cannot be written, e.g. to a full disk.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// Work of the client library that ended in an error of its own kind.
    #[error("the work failed")]
    Work {
        /// What it said, with its cause.
        why: String,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// What the shell gets.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoContext { .. }
            | Self::UnknownContext { .. }
            | Self::ContextFile { .. }
            | Self::NeedsConfirmation { .. }
            | Self::NeedsReason
            | Self::NeedsTerminal
            | Self::BadId { .. }
            | Self::BadTime { .. }
            | Self::BadZone { .. }
            | Self::BadValue { .. }
            | Self::Invalid { .. }
            | Self::UnknownCode { .. } => Exit::Usage,
            Self::Declined | Self::Interrupted => Exit::Interrupted,
            Self::AmbiguousId { .. } | Self::NotFound { .. } | Self::NotThere { .. } => Exit::NotFound,
            Self::RequestOver { .. }
            | Self::OtherLeader { .. }
            | Self::OtherName { .. }
            | Self::OtherNetwork { .. }
            | Self::NotNow { .. }
            | Self::NotThisStep { .. } => Exit::Refused,
            Self::Credentials { .. } | Self::Connect { .. } => Exit::Connect,
            Self::Denied { .. } => Exit::Denied,
            Self::Unavailable { .. } | Self::NoLeader => Exit::NoLeader,
            Self::Unknown { .. } | Self::MembersUnderWay { .. } | Self::RecoveryUnderWay => Exit::Unknown,
            Self::Rejected(refusal) => Exit::of_rejection(refusal.code),
            Self::Guard { code, .. } => Exit::of_rejection(*code),
            Self::Conflict { .. } | Self::NotAllNodes { .. } => Exit::Partial,
            Self::DigestsDiffer { .. }
            | Self::TrailBroken { .. }
            | Self::ReadBackDiffers { .. }
            | Self::ImageDamaged { .. } => Exit::Integrity,
            Self::NotSafeYet { .. } => Exit::GoalNotMet,
            Self::OutputClosed => Exit::Done,
            Self::ReadFile { .. }
            | Self::WriteFile { .. }
            | Self::BadAnswer { .. }
            | Self::Compacted { .. }
            | Self::Authority { .. }
            | Self::Output(_)
            | Self::Work { .. } => Exit::Failed,
        }
    }

    /// The number in `PLT-nnnn`. Refusals of the cluster keep theirs; ours begin at 9001.
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Rejected(refusal) => refusal.code,
            Self::Guard { code, .. } => *code,
            Self::NeedsReason => 9040,
            Self::NeedsTerminal => 9060,
            Self::NoContext { .. } => 9001,
            Self::UnknownContext { .. } => 9002,
            Self::ContextFile { .. } => 9003,
            Self::Credentials { .. } => 9004,
            Self::NeedsConfirmation { .. } => 9005,
            Self::Declined => 9006,
            Self::BadId { .. } => 9007,
            Self::AmbiguousId { .. } => 9008,
            Self::NotFound { .. } | Self::NotThere { .. } => 9009,
            Self::BadTime { .. } => 9010,
            Self::BadZone { .. } => 9011,
            Self::BadValue { .. } => 9012,
            Self::RequestOver { .. } => 9013,
            Self::ReadFile { .. } => 9014,
            Self::Connect { .. } => 9015,
            Self::Denied { .. } => 9016,
            Self::Unavailable { .. } => 9017,
            Self::Invalid { .. } => 9018,
            Self::BadAnswer { .. } => 9019,
            Self::Unknown { .. } => 9020,
            Self::Conflict { .. } => 9021,
            Self::OtherLeader { .. } => 9022,
            Self::NoLeader => 9023,
            Self::DigestsDiffer { .. } => 9024,
            Self::TrailBroken { .. } => 9025,
            Self::ReadBackDiffers { .. } => 9026,
            Self::Compacted { .. } => 9027,
            Self::Authority { .. } => 9028,
            Self::UnknownCode { .. } => 9029,
            Self::OutputClosed | Self::Output(_) => 9030,
            Self::Work { .. } => 9031,
            Self::Interrupted => 9032,
            Self::WriteFile { .. } => 9034,
            Self::NotSafeYet { .. } => 9035,
            Self::ImageDamaged { .. } => 9036,
            Self::MembersUnderWay { .. } => 9050,
            Self::OtherName { .. } => 9051,
            Self::OtherNetwork { .. } => 9052,
            Self::RecoveryUnderWay => 9053,
            Self::NotNow { .. } => 9090,
            Self::NotAllNodes { .. } => 9091,
            Self::NotThisStep { .. } => 9092,
        }
    }
}

/// What a call that changes nothing, or that was never sent, ended with.
///
/// An unknown outcome has no time limit here: commands that write add it, see [`Failure::of_write`].
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::of_write(error, 0)
    }
}

impl Failure {
    /// What writing to the standard output ended with.
    pub(crate) fn of_output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::OutputClosed } else { Self::Output(error) }
    }

    /// What moving the lead ended with: a check that said no keeps its number.
    pub(crate) fn of_lead(error: Error) -> Self {
        match error {
            Error::Unavailable(answer) => match answer.code {
                Some(code) => {
                    Self::Guard { code, why: format!("{}: {}", answer.endpoint, answer.message), help: answer.help }
                }
                None => Self::of_write(Error::Unavailable(answer), 0),
            },
            error => Self::of_write(error, 0),
        }
    }

    /// What an operator's order ended with: a refusal keeps its number, and so its exit code.
    pub(crate) fn of_order(error: Error) -> Self {
        let numbered = |answer: &Answer| matches!(answer.code, Some(1001..=1999 | 2104 | 2600..=2699));
        match error {
            Error::Unavailable(answer) | Error::Invalid(answer) | Error::NotFound(answer) if numbered(&answer) => {
                Self::Rejected(Box::new(Refusal {
                    code: answer.code.unwrap_or_default(),
                    message: answer.message,
                    help: answer.help.unwrap_or_default(),
                    held: None,
                    current_version: None,
                    existing_patient: None,
                    index: 0,
                    request_id: Id::from_bytes([0; 16]),
                }))
            }
            other => other.into(),
        }
    }

    /// What a write ended with that may be applied until `not_after_ms`.
    pub(crate) fn of_write(error: Error, not_after_ms: i64) -> Self {
        let why = |answer: &Answer| match &answer.help {
            Some(help) => format!("{}: {answer}; {help}", answer.endpoint),
            None => format!("{}: {answer}", answer.endpoint),
        };
        match error {
            Error::Refused(refusal) => Self::Rejected(refusal),
            Error::Invalid(answer) => Self::Invalid { why: why(&answer) },
            Error::Denied(answer) => Self::Denied { why: why(&answer) },
            Error::NotFound(answer) => Self::NotThere { why: why(&answer) },
            // A node that speaks gives a number; without one nobody was reached.
            Error::Unavailable(answer) if answer.code.is_some() => Self::Unavailable { why: why(&answer) },
            Error::Unavailable(answer) => Self::Connect { why: why(&answer) },
            Error::Unknown { request_id, last } => {
                Self::Unknown { request_id: request_id.to_string(), not_after_ms, why: why(&last) }
            }
            Error::Protocol(what) => Self::BadAnswer { why: what.to_owned() },
            error @ Error::Randomness(_) => Self::Work { why: chain(&error) },
        }
    }
}

/// An error with its causes, joined by colons; each is one clause and repeats none below it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let clause = error.to_string();
        // Foreign errors often repeat their cause.
        if !text.contains(&clause) {
            text.push_str(": ");
            text.push_str(&clause);
        }
        source = error.source();
    }
    text
}
