#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

const MIB: usize = CHUNK_PLAINTEXT_BYTES_MAX;

fn jpeg(bytes: usize) -> Vec<u8> {
    let mut image: Vec<u8> = (0..bytes).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
    image[..bytes.min(3)].copy_from_slice(&b"\xff\xd8\xff"[..bytes.min(3)]);
    image
}

fn declared(image: &[u8]) -> Declared {
    Declared { bytes: image.len() as u64, content_type: ContentType::Jpeg, sha256: Some(Sha256::digest(image).into()) }
}

/// Cuts `image` in pieces of the given sizes, over and over.
fn cut(declared: Declared, image: &[u8], pieces: &[usize]) -> Result<(Vec<Vec<u8>>, Whole), IngestError> {
    let mut cutter = Cutter::new(declared)?;
    let chunks = std::cell::RefCell::new(Vec::new());
    let keep = |chunk: &[u8]| {
        chunks.borrow_mut().push(chunk.to_vec());
        Ok::<_, IngestError>(())
    };
    let (mut rest, mut sizes) = (image, pieces.iter().cycle());
    while !rest.is_empty() {
        let (piece, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        cutter.push(piece, keep)?;
        rest = later;
    }
    let whole = cutter.finish(None)?;
    Ok((chunks.into_inner(), whole))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the bytes come, the chunks are the same, and they are the bytes.
    #[test]
    fn chunks_do_not_depend_on_pieces(
        bytes in prop_oneof![3..2_000_usize, MIB - 2..MIB + 3, 2 * MIB - 1..2 * MIB + 2],
        pieces in proptest::collection::vec(1..700_000_usize, 1..5),
    ) {
        let image = jpeg(bytes);
        let (chunks, whole) = cut(declared(&image), &image, &pieces).unwrap();
        prop_assert!(chunks.concat() == image);
        let (last, full) = chunks.split_last().unwrap();
        prop_assert!(full.iter().all(|chunk| chunk.len() == MIB) && !last.is_empty() && last.len() <= MIB);
        prop_assert_eq!(whole.chunks as usize, chunks.len());
        prop_assert_eq!(whole.bytes, bytes as u64);
        prop_assert_eq!(whole.sha256.to_vec(), Sha256::digest(&image).to_vec());
        prop_assert_eq!(whole.export_sha256, None);
    }

    /// A range is made of its slices.
    #[test]
    fn slices_are_the_range(image in 0..5 * MIB as u64, start in 0..6 * MIB as u64, length in 0..3 * MIB as u64) {
        let range = start..start + length;
        let mut at = range.start.min(image);
        for slice in slices(image, range.clone()) {
            prop_assert_eq!(u64::from(slice.chunk) * CHUNK_PLAINTEXT_BYTES + slice.bytes.start as u64, at);
            prop_assert!(slice.bytes.start < slice.bytes.end && slice.bytes.end <= MIB);
            at += slice.bytes.len() as u64;
        }
        prop_assert_eq!(at, if range.start >= image { image } else { range.end.min(image) });
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let image = jpeg(MIB + 10);
    let told = |bytes| Declared { bytes, ..declared(&image) };
    assert_eq!(cut(told(0), &image, &[9_999]).unwrap_err(), IngestError::Empty);
    assert_eq!(
        cut(told(IMAGE_BYTES_MAX + 1), &image, &[9_999]).unwrap_err(),
        IngestError::TooLarge { bytes: IMAGE_BYTES_MAX + 1 }
    );
    let declared = image.len() as u64;
    assert_eq!(cut(told(declared - 1), &image, &[9_999]).unwrap_err(), IngestError::TooLong { declared: declared - 1 });
    let short = IngestError::TooShort { bytes: declared, declared: declared + 1 };
    assert_eq!(cut(told(declared + 1), &image, &[9_999]).unwrap_err(), short);
}

#[test]
fn a_wrong_digest_is_refused_whenever_it_was_told() {
    let image = jpeg(5_000);
    let wrong = Declared { sha256: Some([1; 32]), ..declared(&image) };
    assert_eq!(cut(wrong, &image, &[100]).unwrap_err(), IngestError::OtherDigest);
    for (at_the_end, taken) in [(Some([1; 32]), false), (declared(&image).sha256, true), (None, true)] {
        let mut cutter = Cutter::new(Declared { sha256: None, ..declared(&image) }).unwrap();
        cutter.push(&image, |_| Ok::<_, IngestError>(())).unwrap();
        assert_eq!(cutter.finish(at_the_end).is_ok(), taken);
    }
}

/// Nothing of it is given on before its type is known.
#[test]
fn what_is_not_what_it_was_declared_to_be_is_refused_before_it_is_stored() {
    let mut image = jpeg(3 * MIB);
    image[..8].copy_from_slice(b"\x89PNG\r\n\x1a\n");
    let mut cutter = Cutter::new(declared(&image)).unwrap();
    let pushed = cutter.push(&image, |_| -> Result<(), IngestError> { panic!("a chunk was given on") });
    let other = IngestError::OtherType { declared: ContentType::Jpeg, found: Some(ContentType::Png) };
    assert_eq!(pushed, Err(other));
    assert_eq!(cutter.push(b"more", |_| Ok::<_, IngestError>(())), Err(IngestError::Refused));
    assert_eq!(cutter.finish(None), Err(IngestError::Refused));
    let text = b"not an image".to_vec();
    let nothing = IngestError::OtherType { declared: ContentType::Jpeg, found: None };
    assert_eq!(cut(declared(&text), &text, &[5]).unwrap_err(), nothing);
    assert!(nothing.to_string().contains("nothing that is taken"));
}

/// The sink's own error comes through, and ends the upload.
#[test]
fn a_store_that_refuses_ends_the_upload() {
    #[derive(Debug, PartialEq)]
    struct Full;
    impl From<IngestError> for Full {
        fn from(_: IngestError) -> Self {
            Self
        }
    }
    let image = jpeg(MIB);
    let mut cutter = Cutter::new(declared(&image)).unwrap();
    assert_eq!(cutter.push(&image, |_| Err(Full)), Err(Full));
    assert_eq!(cutter.finish(None), Err(IngestError::Refused));
}

#[test]
fn a_dicom_preamble_is_kept_and_its_export_has_a_digest() {
    for bytes in [140, MIB + 500] {
        let mut image = jpeg(bytes);
        image[128..132].copy_from_slice(b"DICM");
        let dicom = Declared { content_type: ContentType::Dicom, ..declared(&image) };
        let (chunks, whole) = cut(dicom, &image, &[333_333]).unwrap();
        assert!(chunks.concat() == image, "bytes are kept exactly");
        let mut exported = image.clone();
        super::super::content_type::zero_dicom_preamble(&mut exported);
        let digest: [u8; 32] = Sha256::digest(&exported).into();
        assert!(exported != image && whole.export_sha256 == Some(digest));

        let zeroed = Declared { sha256: Some(digest), ..dicom };
        assert_eq!(cut(zeroed, &exported, &[333_333]).unwrap().1.export_sha256, None);
        let as_jpeg = declared(&image);
        assert!(matches!(cut(as_jpeg, &image, &[333_333]), Err(IngestError::OtherType { .. })));
    }
}
