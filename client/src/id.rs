//! Identifiers as programs outside the cluster handle them: 16 opaque bytes, shown as a UUID. Ids of things whose
//! source has no UUID are derived from its label, so that the same file gives the same ids each time.
//!
//! No id is ever derived from anything that names a person.

use bytes::Bytes;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

/// 16 bytes; which kind of thing it names follows from where it stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 16]);

/// Why a text or a byte string is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Not a UUID: 32 hexadecimal digits, either bare or with hyphens after 8, 12, 16 and 20 of them.
    #[error("not an id: 32 hexadecimal digits are needed, bare or with the hyphens of a UUID")]
    Text,
    /// Another length than 16 bytes.
    #[error("an id has 16 bytes")]
    Length,
}

impl Id {
    /// Takes 16 bytes as they are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// From the bytes of a message.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, ParseIdError> {
        bytes.try_into().map(Self).map_err(|_| ParseIdError::Length)
    }

    /// 16 random bytes from the operating system.
    ///
    /// # Errors
    /// When the operating system has no randomness to give, which no program can mend.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// A UUID of version 7 (RFC 9562): the milliseconds since 1970 by this computer's clock, then 74 random bits. Ids that
    /// are made one after another lie side by side in every store, which spares it a page of its own for each of them;
    /// nothing depends on their order. For requests and for things that are made at a great rate; it tells when it was made.
    ///
    /// # Errors
    /// As [`Self::random`].
    pub fn in_order(now: SystemTime) -> Result<Self, getrandom::Error> {
        let Self(mut bytes) = Self::random()?;
        let ms = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
        bytes[6] = 0x70 | bytes[6] & 0x0f;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        Ok(Self(bytes))
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// As messages carry it.
    pub fn to_wire(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let hyphens_fit = match text.len() {
            32 => true,
            36 => [8, 13, 18, 23].into_iter().all(|at| text.as_bytes()[at] == b'-'),
            _ => false,
        };
        if !hyphens_fit {
            return Err(ParseIdError::Text);
        }
        let mut digits = text
            .bytes()
            .enumerate()
            .filter(|(at, _)| text.len() == 32 || ![8, 13, 18, 23].contains(at))
            .map(|(_, byte)| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(ParseIdError::Text);
            };
            *byte = high << 4 | low;
        }
        if digits.next().is_some() { Err(ParseIdError::Text) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Kinds of things that a label can name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LabelKind {
    /// `centro`
    Unit,
    /// `centro-prof-1`
    Practitioner,
    /// `centro-sala-1`
    Room,
    /// A patient of a source without UUIDs.
    Patient,
    /// A booking of such a source.
    Appointment,
    /// A record of such a source.
    Record,
    /// A consent of such a source.
    Consent,
    /// An image, by what is known of it in clear.
    Image,
    /// A try to bring an image in.
    Upload,
}

impl LabelKind {
    /// The word that goes into the digest; never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Practitioner => "practitioner",
            Self::Room => "room",
            Self::Patient => "patient",
            Self::Appointment => "appointment",
            Self::Record => "record",
            Self::Consent => "consent",
            Self::Image => "image",
            Self::Upload => "upload",
        }
    }
}

/// The id of what a source calls `text`: `BLAKE3("plantao label" 0x00 kind 0x00 text)`, its first 16 bytes. The zero
/// bytes keep kind and text apart.
pub fn id_for_label(kind: LabelKind, text: &str) -> Id {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"plantao label\0");
    hasher.update(kind.as_str().as_bytes());
    hasher.update(b"\0");
    hasher.update(text.as_bytes());
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    Id(bytes)
}

/// `text` as a UUID where it is one, else as a label.
pub fn id_of(kind: LabelKind, text: &str) -> Id {
    text.parse().unwrap_or_else(|_| id_for_label(kind, text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_and_shown_and_anything_else_is_refused() {
        let text = "875ac127-ec8a-41b8-bb68-0c2161c61913";
        let id: Id = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(text.replace('-', "").parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!(Id::from_wire(&id.to_wire()), Ok(id));
        assert_eq!(Id::from_wire(b"short"), Err(ParseIdError::Length));
        for bad in [
            "",
            "centro-prof-1",
            "875ac127-ec8a-41b8-bb68-0c2161c6191",
            "875ac127-ec8a-41b8-bb68-0c2161c6191g",
            "875ac127ec8a-41b8-bb68-0c2161c61913-",
            "875ac127ec8a41b8bb680c2161c6191300",
            "+75ac127ec8a41b8bb680c2161c61913",
            "ééééééééééééééééé",
        ] {
            assert_eq!(bad.parse::<Id>(), Err(ParseIdError::Text), "{bad}");
        }
    }

    // What was made later sorts behind, whatever chance adds; and a reader of UUIDs finds the time in it.
    #[test]
    fn ids_in_order_sort_by_the_time_they_were_made_and_differ_within_it() {
        let at = |ms| SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(ms);
        let [first, same, later] =
            [1_700_000_000_000, 1_700_000_000_000, 1_700_000_000_001].map(|ms| Id::in_order(at(ms)).unwrap());
        assert!(first != same && first < later && same < later);
        let text = first.to_string();
        assert!(text.starts_with("018bcfe5-6800-7"), "{text}");
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{text}");
        assert!(Id::in_order(at(1) - std::time::Duration::from_secs(1)).is_ok(), "a clock before 1970 is no fault");
    }

    // The ids of an import must be the same for ever, or a second import would double everything.
    #[test]
    fn labels_give_the_same_id_for_ever_and_kinds_do_not_mix() {
        let id = id_for_label(LabelKind::Practitioner, "centro-prof-1");
        assert_eq!(id, id_of(LabelKind::Practitioner, "centro-prof-1"));
        assert_eq!(id.to_string(), "a5e7611e-03a7-39b2-ca8c-e2596e48fada");
        assert_ne!(id, id_for_label(LabelKind::Room, "centro-prof-1"));
    }
}
