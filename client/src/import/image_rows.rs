//! One row of `images.csv` in, one image out. Pure: the same rows give the same images, with the same ids.
//!
//! ```text
//! path,patient_id,kind,content_type,bytes,sha256,taken_at        needed, in any order
//! id,visit_id,consent_id,name,remarks                           optional; an empty value is none
//! ```
//! Values may stand in double quotes, with `""` for one of them. A value does not go over several lines.

use super::Fault;
use crate::id::{Id, LabelKind, id_of};
use crate::images::{self, IMAGE_BYTES_MAX};
use crate::time::parse_rfc3339;
use plantao_proto::public::v1::MediaType;
use std::collections::HashMap;

/// What can be wrong with a row, or with the file it names. No text of either is ever repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageFault {
    /// As in every file.
    #[error(transparent)]
    Line(#[from] Fault),
    /// The first line.
    #[error("the first line does not name {column}")]
    Column {
        /// Which is missing.
        column: &'static str,
    },
    /// The first line, too.
    #[error("the first line names a column that is not known, or one twice")]
    OtherColumn,
    /// Quotes.
    #[error("a double quote stands where none may be")]
    Quote,
    /// More or fewer than the first line.
    #[error("the row has {found} values, the first line {expected}")]
    Values {
        /// In the row.
        found: usize,
        /// In the first line.
        expected: usize,
    },
    /// Not a path below the directory.
    #[error("path leads out of the directory")]
    Outside,
    /// No such type.
    #[error("content_type is none of image/jpeg, image/png, image/webp, image/heic and application/dicom")]
    Type,
    /// No number, 0, or more than an image may have.
    #[error("bytes is not a number from 1 to {IMAGE_BYTES_MAX}")]
    Bytes,
    /// Not 64 hexadecimal digits.
    #[error("sha256 is not 64 hexadecimal digits")]
    Digest,
    /// Not letters and digits.
    #[error("kind is not 1 to 64 letters and digits")]
    Kind,
    /// The file.
    #[error("the file is not there, is no plain file, or cannot be read")]
    NoFile,
    /// The file.
    #[error("the file has {found} bytes, the row says {said}")]
    OtherSize {
        /// It has.
        found: u64,
        /// The row says.
        said: u64,
    },
    /// The file.
    #[error("the file does not have the SHA-256 of the row")]
    OtherDigest,
    /// None of the patient's.
    #[error("the patient has no consent that covers clinical images now")]
    NoConsent,
}

impl ImageFault {
    /// What to do about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Line(fault) => fault.help(),
            Self::Column { .. } | Self::OtherColumn => {
                "begin the file with: path,patient_id,kind,content_type,bytes,sha256,taken_at"
            }
            Self::Quote | Self::Values { .. } => "put a value with a comma or a quote into double quotes",
            Self::Outside => "write the path relative to the directory of images.csv",
            Self::Type => "convert the image, or correct its type",
            Self::Bytes => "write the size of the file in bytes",
            Self::Digest => "write what sha256sum prints",
            Self::Kind => "write a word such as before, after or exam",
            Self::NoFile => "copy the file to where the row says, and import again",
            Self::OtherSize { .. } | Self::OtherDigest => "copy the file again: it is not the one of the row",
            Self::NoConsent => "grant a consent for clinical images, and import again",
        }
    }
}

/// What a row says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) id: Id,
    /// Relative, with none but normal parts.
    pub(super) path: String,
    pub(super) patient: Id,
    pub(super) kind: String,
    pub(super) media_type: MediaType,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
    pub(super) taken_ms: i64,
    pub(super) visit: Option<Id>,
    pub(super) consent: Option<Id>,
    pub(super) name: String,
    pub(super) remarks: String,
}

const COLUMNS: [&str; 12] = [
    "path",
    "patient_id",
    "kind",
    "content_type",
    "bytes",
    "sha256",
    "taken_at",
    "id",
    "visit_id",
    "consent_id",
    "name",
    "remarks",
];
const NEEDED: usize = 7;

/// Reads rows, one after the other.
pub(super) struct Rows {
    /// Where each of [`COLUMNS`] stands.
    places: [Option<usize>; COLUMNS.len()],
    count: usize,
    /// How many rows were equal in all that an id is made of.
    equal: HashMap<(Id, String, i64, u64), u32>,
    /// Line of each path.
    seen: HashMap<String, u64>,
}

impl Rows {
    /// From the first line.
    pub(super) fn new(line: &[u8], terminated: bool) -> Result<Self, ImageFault> {
        // A spreadsheet begins its files with a byte order mark.
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let names = values(text(line, terminated)?)?;
        let mut places = [None; COLUMNS.len()];
        for (at, name) in names.iter().enumerate() {
            let column = COLUMNS.iter().position(|column| column == name).ok_or(ImageFault::OtherColumn)?;
            if places[column].replace(at).is_some() {
                return Err(ImageFault::OtherColumn);
            }
        }
        match places.iter().take(NEEDED).position(Option::is_none) {
            Some(missing) => Err(ImageFault::Column { column: COLUMNS[missing] }),
            None => Ok(Self { places, count: names.len(), equal: HashMap::new(), seen: HashMap::new() }),
        }
    }

    /// Reads row `number`. One that is no good takes no id from another.
    pub(super) fn row(&mut self, line: &[u8], number: u64, terminated: bool) -> Result<Row, ImageFault> {
        let mut values = values(text(line, terminated)?)?;
        if values.len() != self.count {
            // A row that is cut short is cut by the end of the file.
            return Err(if terminated {
                ImageFault::Values { found: values.len(), expected: self.count }
            } else {
                Fault::Truncated.into()
            });
        }
        let mut take =
            |column: usize| self.places[column].map(|at| std::mem::take(&mut values[at])).unwrap_or_default();
        let path = needed(take(0), "path")?;
        let patient = id_of(LabelKind::Patient, &needed(take(1), "patient_id")?);
        let kind = needed(take(2), "kind")?;
        let media_type = images::named(&needed(take(3), "content_type")?).ok_or(ImageFault::Type)?;
        let bytes = needed(take(4), "bytes")?.parse::<u64>().map_err(|_| ImageFault::Bytes)?;
        let sha256 = digest(&needed(take(5), "sha256")?).ok_or(ImageFault::Digest)?;
        let taken = needed(take(6), "taken_at")?;
        let optional = |kind, text: String| (!text.is_empty()).then(|| id_of(kind, &text));
        let id = optional(LabelKind::Image, take(7));
        let visit = optional(LabelKind::Appointment, take(8));
        let consent = optional(LabelKind::Consent, take(9));
        let (name, remarks) = (take(10), take(11));
        let outside = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains(['\\', ':']);
        if path.split('/').any(outside) {
            return Err(ImageFault::Outside);
        }
        if kind.len() > 64 || !kind.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ImageFault::Kind);
        }
        if !(1..=IMAGE_BYTES_MAX).contains(&bytes) {
            return Err(ImageFault::Bytes);
        }
        let taken_ms = parse_rfc3339(&taken).map_err(|_| Fault::BadTime { field: "taken_at" })?;
        if let Some(first) = self.seen.get(&path) {
            return Err(Fault::Duplicate { first: *first }.into());
        }
        self.seen.insert(path.clone(), number);
        let nth = self.equal.entry((patient, kind.clone(), taken_ms, bytes)).or_default();
        let id = id.unwrap_or_else(|| images::image_id(patient, &kind, taken_ms, bytes, *nth));
        *nth += 1;
        Ok(Row { id, path, patient, kind, media_type, bytes, sha256, taken_ms, visit, consent, name, remarks })
    }
}

fn text(line: &[u8], terminated: bool) -> Result<&str, Fault> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|error| match error.error_len() {
        None if !terminated => Fault::Truncated,
        _ => Fault::NotUtf8 { at: error.valid_up_to() },
    })?;
    let turns =
        |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.chars().any(|c| c.is_control() || turns(c)) { Err(Fault::Control { field: "the row" }) } else { Ok(text) }
}

fn needed(text: String, field: &'static str) -> Result<String, Fault> {
    if text.is_empty() { Err(Fault::Missing { field }) } else { Ok(text) }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|it| u8::try_from(it).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

/// The values of a row.
fn values(line: &str) -> Result<Vec<String>, ImageFault> {
    let mut values = vec![String::new()];
    let mut rest = line.chars().peekable();
    loop {
        let value = values.last_mut().ok_or(ImageFault::Quote)?;
        if rest.peek() == Some(&'"') {
            rest.next();
            loop {
                match rest.next() {
                    Some('"') if rest.peek() == Some(&'"') => {
                        rest.next();
                        value.push('"');
                    }
                    Some('"') => break,
                    Some(c) => value.push(c),
                    None => return Err(ImageFault::Quote),
                }
            }
        }
        loop {
            match rest.next() {
                None => return Ok(values),
                Some(',') => break,
                // After a closing quote, too: what stands there belongs nowhere.
                Some('"') => return Err(ImageFault::Quote),
                Some(c) => value.push(c),
            }
        }
        values.push(String::new());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HEAD: &str = "path,patient_id,kind,content_type,bytes,sha256,taken_at";
    const DIGEST: &str = "18762ef5ef555fda3c6400e8e863bd583ec0faf7e2ea8940a1daaa96e0c17291";

    fn good() -> String {
        format!(
            "images/0.jpg,875ac127-ec8a-41b8-bb68-0c2161c61913,before,image/jpeg,42,{DIGEST},2026-04-12T08:00:00-03:00"
        )
    }

    fn rows() -> Rows {
        Rows::new(HEAD.as_bytes(), true).unwrap()
    }

    #[test]
    fn a_row_is_read_and_its_id_is_the_same_for_ever() {
        let row = rows().row(good().as_bytes(), 2, true).unwrap();
        assert_eq!((row.path.as_str(), row.bytes, row.media_type), ("images/0.jpg", 42, MediaType::Jpeg));
        assert_eq!(
            row.id.to_string(),
            rows().row(format!("{}\r", good()).as_bytes(), 2, false).unwrap().id.to_string()
        );
        // Columns in another order, quotes, a mark before all, and what else is known.
        let head = format!("\u{feff}remarks,consent_id,{HEAD}");
        let mut other = Rows::new(head.as_bytes(), true).unwrap();
        let same = other.row(format!("\"a, \"\"b\"\"\",,{}", good()).as_bytes(), 2, true).unwrap();
        assert_eq!((same.id, same.remarks.as_str(), same.consent), (row.id, "a, \"b\"", None));
        // Two images that differ in nothing but their file are two.
        let mut both = rows();
        let ids = ["images/0.jpg", "images/1.jpg"]
            .map(|path| both.row(good().replace("images/0.jpg", path).as_bytes(), 2, true).unwrap().id);
        assert_eq!(ids[0], row.id);
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn every_other_row_is_refused_with_its_reason() {
        let line = |fault: Fault| ImageFault::Line(fault);
        for (from, to, fault) in [
            ("images/0.jpg", "", line(Fault::Missing { field: "path" })),
            ("images/0.jpg", "/etc/passwd", ImageFault::Outside),
            ("images/0.jpg", "images/../../0.jpg", ImageFault::Outside),
            ("images/0.jpg", "images//0.jpg", ImageFault::Outside),
            ("images/0.jpg", "..\\0.jpg", ImageFault::Outside),
            ("images/0.jpg", "a\0b", line(Fault::Control { field: "the row" })),
            ("images/0.jpg", "a\u{202e}b", line(Fault::Control { field: "the row" })),
            ("before", "be fore", ImageFault::Kind),
            ("image/jpeg", "text/plain", ImageFault::Type),
            (",42,", ",0,", ImageFault::Bytes),
            (",42,", ",-1,", ImageFault::Bytes),
            (",42,", ",2147483649,", ImageFault::Bytes),
            ("18762e", "1876", ImageFault::Digest),
            ("18762e", "1876zz", ImageFault::Digest),
            ("2026-04-12T", "2026-04-32T", line(Fault::BadTime { field: "taken_at" })),
            (",before", ",before,", ImageFault::Values { found: 8, expected: 7 }),
            ("before", "\"before", ImageFault::Quote),
            ("before", "bef\"ore", ImageFault::Quote),
            ("before", "\"be\"fo\"re", ImageFault::Quote),
        ] {
            assert_eq!(rows().row(good().replace(from, to).as_bytes(), 2, true), Err(fault), "{from} {to}");
        }
        assert_eq!(rows().row(b"\xff", 2, true), Err(line(Fault::NotUtf8 { at: 0 })));
        let mut twice = rows();
        twice.row(good().as_bytes(), 2, true).unwrap();
        assert_eq!(twice.row(good().as_bytes(), 9, true), Err(line(Fault::Duplicate { first: 2 })));
        for (head, fault) in [
            ("", ImageFault::OtherColumn),
            (&HEAD.replace(",bytes", ""), ImageFault::Column { column: "bytes" }),
            (&format!("{HEAD},cpf"), ImageFault::OtherColumn),
            (&format!("{HEAD},kind"), ImageFault::OtherColumn),
        ] {
            assert_eq!(Rows::new(head.as_bytes(), true).err(), Some(fault), "{head}");
        }
    }

    // A file that was copied only in part: a prefix of a row is refused, or says the same, and none is a panic.
    #[test]
    fn every_prefix_of_a_row_is_told() {
        let row = good();
        let whole = rows().row(row.as_bytes(), 2, false).unwrap();
        for end in 0..row.len() {
            if let Ok(cut) = rows().row(&row.as_bytes()[..end], 2, false) {
                assert_eq!(cut, whole, "{end}");
            }
        }
    }
}
