//! Bytes of images, as a program sends them.

use plantao_node::chunks::content_type::{
    ContentType, DICOM_PREAMBLE_BYTES, SNIFFED_BYTES, has_dicom_preamble, zero_dicom_preamble,
};
use plantao_node::chunks::thumbnail::{EDGE_PIXELS_MAX, thumbnail as make};

/// What begins so. Program and node must agree, or an upload is refused that its sender could not foresee.
pub(super) mod kind_of_image {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let dicom = [[0xff; DICOM_PREAMBLE_BYTES].as_slice(), b"DICM\x02\0"].concat();
        vec![
            b"\xff\xd8\xff\xe0".to_vec(),
            b"\x89PNG\r\n\x1a\n".to_vec(),
            b"RIFF\x10\0\0\0WEBPVP8 ".to_vec(),
            b"\0\0\0\x18ftypheic\0\0\0\0".to_vec(),
            dicom,
            b"image/JPG; q=1".to_vec(),
        ]
    }

    pub(crate) fn run(data: &[u8]) {
        let kind = ContentType::sniff(data);
        assert_eq!(
            ContentType::sniff(&data[..data.len().min(SNIFFED_BYTES)]),
            kind,
            "more bytes than the first were needed"
        );
        let guessed = plantao_client::images::guess(data).map(plantao_client::images::name);
        assert_eq!(guessed, kind.map(ContentType::as_str), "program and node see another image");
        let mut exported = data.to_vec();
        zero_dicom_preamble(&mut exported);
        assert!(!has_dicom_preamble(&exported));
        assert_eq!(ContentType::sniff(&exported), kind, "an export is something else");
        let kept = if kind == Some(ContentType::Dicom) { DICOM_PREAMBLE_BYTES } else { 0 };
        assert_eq!(exported.get(kept..), data.get(kept..), "an export changes more than the preamble");
        if let Some(named) = std::str::from_utf8(data).ok().and_then(ContentType::from_media_type) {
            assert_eq!(ContentType::from_media_type(named.as_str()), Some(named));
        }
    }
}

/// A small picture of whatever claims to be one.
pub(super) mod thumbnail {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        // A picture of one shade, as the encoder of thumbnails itself writes one from a PNG of 8 by 8.
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\0\0\0\x0aIDATx\x9cc`\0\0\0\x02\0\x01\x48\xaf\xa4\x71\0\0\0\0IEND\xaeB`\x82";
        let mut seeds = vec![png.to_vec()];
        seeds.extend(make(ContentType::Png, png));
        seeds
    }

    pub(crate) fn run(data: &[u8]) {
        let Some(kind) = ContentType::sniff(data) else { return };
        let Ok(small) = make(kind, data) else { return };
        assert_eq!(ContentType::sniff(&small), Some(ContentType::Jpeg), "a thumbnail is a JPEG");
        assert!(matches!(kind, ContentType::Jpeg | ContentType::Png));
        let (width, height) = sides(&small);
        assert!(
            (1..=EDGE_PIXELS_MAX).contains(&width) && (1..=EDGE_PIXELS_MAX).contains(&height),
            "{width} x {height}"
        );
        assert!(make(ContentType::Jpeg, &small).is_ok(), "a thumbnail does not decode");
    }

    /// From the frame header of a baseline JPEG.
    fn sides(jpeg: &[u8]) -> (u32, u32) {
        let mut at = 2;
        loop {
            let marker = jpeg[at + 1];
            let number = |from: usize| u32::from(jpeg[from]) << 8 | u32::from(jpeg[from + 1]);
            if (0xc0..=0xc2).contains(&marker) {
                return (number(at + 7), number(at + 5));
            }
            at += 2 + usize::try_from(number(at + 2)).unwrap();
        }
    }
}
