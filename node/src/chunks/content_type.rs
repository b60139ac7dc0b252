//! What an image is, told by its first bytes. Nothing here decodes an image, and nothing is guessed from a name.
//!
//! ```text
//! DICOM   any 128 bytes (the preamble), "DICM"                              before all others: whoever reads it so may
//! JPEG    ff d8 ff        PNG   89 "PNG" 0d 0a 1a 0a
//! WebP    "RIFF" length "WEBP"        HEIC  length "ftyp" brand
//! ```
//! The preamble of a DICOM file may hold anything, the head of a program or of another image included (PS3.10, 7.1). It
//! is kept as it came, because bytes are evidence; only an export may zero it.

use std::fmt;

/// Bytes that [`ContentType::sniff`] looks at.
pub const SNIFFED_BYTES: usize = 132;
/// Bytes of the preamble of a DICOM file.
pub const DICOM_PREAMBLE_BYTES: usize = 128;

/// The types of images that are taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ContentType {
    /// `image/jpeg`
    Jpeg,
    /// `image/png`
    Png,
    /// `image/webp`
    Webp,
    /// `image/heic`: HEIF with HEVC, as telephones make it.
    Heic,
    /// `application/dicom`
    Dicom,
}

impl ContentType {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Jpeg, Self::Png, Self::Webp, Self::Heic, Self::Dicom];

    /// The media type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Heic => "image/heic",
            Self::Dicom => "application/dicom",
        }
    }

    /// Reads a media type, in any case; parameters behind it are passed over. `None` for what is not taken.
    pub fn from_media_type(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or_default().trim();
        let known = Self::ALL.into_iter().find(|kind| essence.eq_ignore_ascii_case(kind.as_str()));
        known.or_else(|| match essence.to_ascii_lowercase().as_str() {
            "image/jpg" => Some(Self::Jpeg),
            "image/heif" => Some(Self::Heic),
            _ => None,
        })
    }

    /// What begins so, if it is something that is taken. The first [`SNIFFED_BYTES`] are enough.
    pub fn sniff(head: &[u8]) -> Option<Self> {
        if head.get(DICOM_PREAMBLE_BYTES..).is_some_and(|rest| rest.starts_with(b"DICM")) {
            return Some(Self::Dicom);
        }
        if head.starts_with(b"\xff\xd8\xff") {
            return Some(Self::Jpeg);
        }
        if head.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Some(Self::Png);
        }
        if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
            return Some(Self::Webp);
        }
        let brands: [&[u8]; 8] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"];
        if head.get(4..8) == Some(b"ftyp") && head.get(8..12).is_some_and(|brand| brands.contains(&brand)) {
            return Some(Self::Heic);
        }
        None
    }
}

/// How a message calls what was found; `None` is nothing that is taken.
pub(crate) fn told(found: Option<ContentType>) -> &'static str {
    found.map_or("nothing that is taken", ContentType::as_str)
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the preamble of a DICOM file holds something. `false` for anything else.
pub fn has_dicom_preamble(head: &[u8]) -> bool {
    ContentType::sniff(head) == Some(ContentType::Dicom)
        && head.iter().take(DICOM_PREAMBLE_BYTES).any(|byte| *byte != 0)
}

/// Zeroes the preamble of a DICOM file at the beginning of its first bytes, for an export. Leaves anything else as it
/// is.
pub fn zero_dicom_preamble(head: &mut [u8]) {
    if has_dicom_preamble(head) {
        head.iter_mut().take(DICOM_PREAMBLE_BYTES).for_each(|byte| *byte = 0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn dicom(preamble: &[u8]) -> Vec<u8> {
        let mut bytes = preamble.to_vec();
        bytes.resize(DICOM_PREAMBLE_BYTES, 0);
        [bytes.as_slice(), b"DICM\x02\x00"].concat()
    }

    #[test]
    fn each_type_is_known_by_its_first_bytes() {
        for (head, wanted) in [
            (b"\xff\xd8\xff\xe1rest".to_vec(), Some(ContentType::Jpeg)),
            (b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec(), Some(ContentType::Png)),
            (b"RIFF\x10\0\0\0WEBPVP8 ".to_vec(), Some(ContentType::Webp)),
            (b"\0\0\0\x18ftypheic\0\0\0\0".to_vec(), Some(ContentType::Heic)),
            (b"\0\0\0\x18ftypmif1\0\0\0\0".to_vec(), Some(ContentType::Heic)),
            (dicom(b""), Some(ContentType::Dicom)),
            (b"\0\0\0\x18ftypmp42\0\0\0\0".to_vec(), None),
            (b"RIFF\x10\0\0\0WAVEfmt ".to_vec(), None),
            (b"GIF89a".to_vec(), None),
            (b"%PDF-1.7".to_vec(), None),
            (b"<svg onload=".to_vec(), None),
            (b"MZ\x90\0".to_vec(), None),
            (Vec::new(), None),
        ] {
            assert_eq!(ContentType::sniff(&head), wanted, "{head:?}");
        }
        // Every prefix says the same or nothing.
        for whole in [b"\x89PNG\r\n\x1a\n".to_vec(), dicom(b"")] {
            let end = if whole[0] == 0 { SNIFFED_BYTES } else { whole.len() };
            for length in 0..end {
                assert_eq!(ContentType::sniff(&whole[..length]), None, "{length}");
            }
            assert!(ContentType::sniff(&whole[..end]).is_some());
        }
    }

    /// A file that is a program or a photograph to one reader and DICOM to another counts as DICOM, whose preamble an
    /// export zeroes.
    #[test]
    fn a_preamble_that_is_another_file_does_not_hide_dicom() {
        for preamble in [b"MZ\x90\0".as_slice(), b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"II*\0"] {
            let mut bytes = dicom(preamble);
            assert_eq!(ContentType::sniff(&bytes), Some(ContentType::Dicom));
            assert!(has_dicom_preamble(&bytes));
            zero_dicom_preamble(&mut bytes);
            assert_eq!(bytes, dicom(b""));
            assert!(!has_dicom_preamble(&bytes));
        }
        let mut jpeg = b"\xff\xd8\xff\xe1rest".to_vec();
        zero_dicom_preamble(&mut jpeg);
        assert_eq!(jpeg, b"\xff\xd8\xff\xe1rest");
    }

    #[test]
    fn media_types_are_read_as_they_are_written() {
        for kind in ContentType::ALL {
            assert_eq!(ContentType::from_media_type(kind.as_str()), Some(kind));
        }
        assert_eq!(ContentType::from_media_type("Image/JPEG; q=1"), Some(ContentType::Jpeg));
        assert_eq!(ContentType::from_media_type("image/jpg"), Some(ContentType::Jpeg));
        for bad in ["", "image/svg+xml", "image", "jpeg", "image/ jpeg"] {
            assert_eq!(ContentType::from_media_type(bad), None, "{bad}");
        }
    }
}
