//! What can be wrong with a line. No text of the line is ever repeated: it may name a person.

/// Why a line was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Beyond the hard bound.
    #[error("the line is longer than {} bytes", super::LINE_BYTES_MAX)]
    TooLong,
    /// Other bytes.
    #[error("the line is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// From 0.
        at: usize,
    },
    /// The last line ends in the middle.
    #[error("the file ends in the middle of this line")]
    Truncated,
    /// No JSON.
    #[error("the line is not JSON: it goes wrong at column {column}")]
    NotJson {
        /// From 1, in bytes.
        column: usize,
    },
    /// JSON, but no object with a `resourceType`.
    #[error("the line is no FHIR resource: it has no resourceType")]
    NotFhir,
    /// Another resource than this file is for.
    #[error("the resource is no {expected}, which this file is for")]
    OtherKind {
        /// Of FHIR.
        expected: &'static str,
    },
    /// A kind of resource that cannot be a patient record.
    #[error("a resource of this kind is no patient record")]
    NotARecord,
    /// A field has another shape than FHIR R4 gives it, or is there twice.
    #[error("the resource has not the shape of FHIR R4 at column {column}")]
    Shape {
        /// From 1, in bytes.
        column: usize,
    },
    /// Nothing there.
    #[error("{field} is missing")]
    Missing {
        /// As FHIR calls it.
        field: &'static str,
    },
    /// Not `[A-Za-z0-9.-]`, 1 to 64.
    #[error("the id is not 1 to 64 letters, digits, hyphens and dots")]
    BadId,
    /// The second of one id in this file.
    #[error("the id was seen before, on line {first}")]
    Duplicate {
        /// Where.
        first: u64,
    },
    /// NUL, another control character, or one that turns the direction of writing.
    #[error("{field} has a control character or one that reverses the direction of text")]
    Control {
        /// As FHIR calls it.
        field: &'static str,
    },
    /// No date, or out of the years.
    #[error("{field} is not a date and time of the years 1900 to 9999")]
    BadTime {
        /// As FHIR calls it.
        field: &'static str,
    },
    /// To something that is in no file and not in the cluster.
    #[error("{field} refers to something that is neither in these files nor in the cluster")]
    UnknownReference {
        /// As FHIR calls it.
        field: &'static str,
    },
    /// A booking or a consent in a state that is not brought over.
    #[error("the status is not one that is imported")]
    Status,
    /// Above what a document may have.
    #[error("the document has {bytes} bytes, {max} are allowed")]
    DocumentTooLarge {
        /// It has.
        bytes: usize,
        /// It may have.
        max: usize,
    },
}

impl Fault {
    /// What to do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::TooLong => "write one resource a line; what is larger belongs into an attachment",
            Self::NotUtf8 { .. } => "export the file as UTF-8",
            Self::Truncated => "copy or export the file again: its end is missing",
            Self::NotJson { .. } => "write one JSON object a line (NDJSON), without a byte order mark",
            Self::NotFhir => "export FHIR R4 resources",
            Self::OtherKind { .. } => "move the resource into the file of its kind",
            Self::NotARecord => "leave it out, or give it to the file of its kind",
            Self::Shape { .. } => "compare the resource with FHIR R4 at this place",
            Self::Missing { .. } => "fill it in at the source and export again",
            Self::BadId => "give the resource an id as FHIR R4 defines it",
            Self::Duplicate { .. } => "keep one of the two; the first was taken",
            Self::Control { .. } => "remove the character at the source",
            Self::BadTime { .. } => "write it as 2026-11-24T14:45:00-03:00",
            Self::UnknownReference { .. } => "import the file that it is in first, or correct the reference",
            Self::Status => "enter it by hand where it matters",
            Self::DocumentTooLarge { .. } => "split the document, or keep its attachment apart",
        }
    }
}
