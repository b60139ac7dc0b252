//! Media types by first bytes, by name and by file ending: to fill in what a caller left out. What an image is, the
//! node decides.

use plantao_proto::public::v1::MediaType;

/// So many first bytes tell every type.
pub const HEAD_BYTES: usize = 132;

/// All that an image can be.
pub const MEDIA_TYPES: [MediaType; 5] =
    [MediaType::Jpeg, MediaType::Png, MediaType::Dicom, MediaType::Webp, MediaType::Heic];

/// What the first [`HEAD_BYTES`] of a file say; `None` for what is no image that is taken.
pub fn guess(head: &[u8]) -> Option<MediaType> {
    let at = |from: usize, wanted: &[u8]| head.get(from..).is_some_and(|rest| rest.starts_with(wanted));
    let brands: [&[u8]; 8] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"];
    // DICOM first: its preamble may be the beginning of another file.
    if at(128, b"DICM") {
        Some(MediaType::Dicom)
    } else if at(0, b"\xff\xd8\xff") {
        Some(MediaType::Jpeg)
    } else if at(0, b"\x89PNG\r\n\x1a\n") {
        Some(MediaType::Png)
    } else if at(0, b"RIFF") && at(8, b"WEBP") {
        Some(MediaType::Webp)
    } else if at(4, b"ftyp") && brands.iter().any(|brand| at(8, brand)) {
        Some(MediaType::Heic)
    } else {
        None
    }
}

/// `image/jpeg`; empty for what is unspecified.
pub const fn name(media_type: MediaType) -> &'static str {
    match media_type {
        MediaType::Jpeg => "image/jpeg",
        MediaType::Png => "image/png",
        MediaType::Dicom => "application/dicom",
        MediaType::Webp => "image/webp",
        MediaType::Heic => "image/heic",
        MediaType::Unspecified => "",
    }
}

/// The type with this [`name`], in any case.
pub fn named(text: &str) -> Option<MediaType> {
    MEDIA_TYPES.into_iter().find(|media_type| name(*media_type).eq_ignore_ascii_case(text.trim()))
}

/// Ending of a file, without the dot.
pub const fn ending(media_type: MediaType) -> &'static str {
    match media_type {
        MediaType::Jpeg => "jpg",
        MediaType::Png => "png",
        MediaType::Dicom => "dcm",
        MediaType::Webp => "webp",
        MediaType::Heic => "heic",
        MediaType::Unspecified => "bin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_guessed_from_the_first_bytes_and_nothing_else_is() {
        let dicom = [b"\xff\xd8\xff".as_slice(), &[0; 125], b"DICM"].concat();
        for (head, wanted) in [
            (b"\xff\xd8\xff\xe0..JFIF".as_slice(), Some(MediaType::Jpeg)),
            (b"\x89PNG\r\n\x1a\n", Some(MediaType::Png)),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some(MediaType::Webp)),
            (b"\0\0\0\x18ftypheic", Some(MediaType::Heic)),
            (&dicom, Some(MediaType::Dicom)),
            (&dicom[..131], Some(MediaType::Jpeg)),
            (b"RIFF\0\0\0\0WAVE", None),
            (b"\0\0\0\x18ftypmp42", None),
            (b"%PDF-1.7", None),
            (b"", None),
        ] {
            assert_eq!(guess(head), wanted, "{head:?}");
        }
        for media_type in MEDIA_TYPES {
            assert_eq!(named(&name(media_type).to_uppercase()), Some(media_type));
        }
        assert_eq!(named("text/plain"), None);
    }
}
