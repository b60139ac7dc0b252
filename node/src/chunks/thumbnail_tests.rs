#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

/// Left half red, right half blue, the top left corner white.
fn picture(width: u32, height: u32) -> Vec<u8> {
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let colour = match (x < width / 2, x < width / 4 && y < height / 4) {
                (_, true) => [250, 250, 250],
                (true, _) => [250, 5, 5],
                (false, _) => [5, 5, 250],
            };
            rgb.extend_from_slice(&colour);
        }
    }
    rgb
}

fn side(pixels: u32) -> u16 {
    u16::try_from(pixels).unwrap()
}

fn jpeg(width: u32, height: u32, orientation: Option<u8>, is_progressive: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut out, 90);
    encoder.set_progressive(is_progressive);
    if let Some(orientation) = orientation {
        let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        exif.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0]);
        encoder.add_app_segment(1, exif).unwrap();
    }
    encoder.encode(&picture(width, height), side(width), side(height), jpeg_encoder::ColorType::Rgb).unwrap();
    out
}

fn png(width: u32, height: u32, colour: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.add_text_chunk("Author".to_owned(), "somebody".to_owned()).unwrap();
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    out
}

/// Width, height, and the pixel at a place told in tenths.
struct Seen(u32, u32, Vec<u8>);

impl Seen {
    fn of(thumbnail: &[u8]) -> Self {
        let mut decoder = JpegDecoder::new(ZCursor::new(thumbnail));
        let pixels = decoder.decode().unwrap();
        let info = decoder.info().unwrap();
        assert!(decoder.exif().is_none() && decoder.icc_profile().is_none());
        Self(u32::from(info.width), u32::from(info.height), pixels)
    }

    fn at(&self, x: u32, y: u32) -> &'static str {
        let at = ((self.1 * y / 10) * self.0 + self.0 * x / 10) as usize * 3;
        match self.2[at..at + 3] {
            [200..=255, 0..=60, 0..=60] => "red",
            [0..=60, 0..=60, 200..=255] => "blue",
            [200..=255, 200..=255, 200..=255] => "white",
            _ => "mixed",
        }
    }
}

#[test]
fn a_photograph_becomes_small_and_keeps_its_look() {
    for is_progressive in [false, true] {
        let image = jpeg(1_600, 900, None, is_progressive);
        let seen = Seen::of(&thumbnail(ContentType::Jpeg, &image).unwrap());
        assert_eq!((seen.0, seen.1), (320, 180));
        assert_eq!([seen.at(1, 1), seen.at(3, 7), seen.at(8, 1), seen.at(8, 8)], ["white", "red", "blue", "blue"]);
    }
    let small = Seen::of(&thumbnail(ContentType::Jpeg, &jpeg(64, 48, None, false)).unwrap());
    assert_eq!((small.0, small.1), (64, 48), "nothing is made larger");
    let thin = Seen::of(&thumbnail(ContentType::Jpeg, &jpeg(3_000, 8, None, false)).unwrap());
    assert_eq!((thin.0, thin.1), (320, 1));
}

/// Telephones store what the sensor saw and say how it was held.
#[test]
fn a_photograph_is_turned_upright() {
    // Where the white corner goes, for each orientation: (x, y) in tenths.
    let corners = [(1, 1), (8, 1), (8, 8), (1, 8), (1, 1), (8, 1), (8, 8), (1, 8)];
    for (orientation, (x, y)) in (1..=8).zip(corners) {
        let seen = Seen::of(&thumbnail(ContentType::Jpeg, &jpeg(800, 400, Some(orientation), false)).unwrap());
        let size = if orientation < 5 { (320, 160) } else { (160, 320) };
        assert_eq!((seen.0, seen.1), size, "{orientation}");
        assert_eq!(seen.at(x, y), "white", "{orientation}");
        let red = if orientation < 5 {
            seen.at(if x == 1 { 3 } else { 6 }, 5)
        } else {
            seen.at(5, if y == 1 { 3 } else { 6 })
        };
        assert_eq!(red, "red", "{orientation}");
    }
}

#[test]
fn png_of_every_colour_type_is_read_and_its_text_is_left_behind() {
    let rgb = picture(640, 400);
    let rgba: Vec<u8> = rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    let grey: Vec<u8> = rgb.chunks_exact(3).map(|p| p[1]).collect();
    for (colour, pixels, red) in [
        (png::ColorType::Rgb, rgb, "red"),
        (png::ColorType::Rgba, rgba, "red"),
        (png::ColorType::Grayscale, grey, "mixed"),
    ] {
        let image = png(640, 400, colour, &pixels);
        let made = thumbnail(ContentType::Png, &image).unwrap();
        assert!(!made.windows(8).any(|window| window == b"somebody"));
        let seen = Seen::of(&made);
        assert_eq!((seen.0, seen.1), (320, 200));
        assert_eq!(seen.at(1, 1), "white", "{colour:?}");
        assert_eq!(seen.at(3, 7), red, "{colour:?}");
    }
    let invisible = png(4, 4, png::ColorType::GrayscaleAlpha, &[0; 32]);
    assert_eq!(Seen::of(&thumbnail(ContentType::Png, &invisible).unwrap()).at(5, 5), "white");
}

/// The header alone decides: nothing of that size is ever allocated.
#[test]
fn what_would_be_large_in_memory_is_refused_before_it_is_decoded() {
    let mut bomb = jpeg(64, 64, None, false);
    let frame = bomb.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bomb[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    assert_eq!(thumbnail(ContentType::Jpeg, &bomb), Err(ThumbnailError::TooLarge));
    let frame =
        |is_progressive, samples_percent| JpegFrame { width: 4_000, height: 3_000, is_progressive, samples_percent };
    assert!(frame(false, 300).decoded_bytes() <= DECODED_BYTES_MAX, "twelve megapixels are usual");
    assert!(frame(true, 150).decoded_bytes() <= DECODED_BYTES_MAX);
    let large = JpegFrame { width: 8_000, height: 6_000, ..frame(false, 300) };
    assert!(large.decoded_bytes() > DECODED_BYTES_MAX);

    let wide = png(1, 1, png::ColorType::Grayscale, &[0]);
    let mut wide = wide;
    wide[16..20].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    assert!(thumbnail(ContentType::Png, &wide).is_err());
    assert_eq!(thumbnail(ContentType::Jpeg, &vec![0; SOURCE_BYTES_MAX + 1]), Err(ThumbnailError::TooLarge));
    for kind in [ContentType::Dicom, ContentType::Heic, ContentType::Webp] {
        assert_eq!(thumbnail(kind, b"x"), Err(ThumbnailError::ContentType(kind)));
    }
}

#[test]
fn the_frame_header_is_found_or_not_for_every_prefix() {
    let image = jpeg(1_600, 900, Some(6), true);
    let frame = JpegFrame::find(&image).unwrap();
    assert_eq!((frame.width, frame.height, frame.is_progressive), (1_600, 900, true));
    assert!((150..=300).contains(&frame.samples_percent), "{frame:?}");
    for length in 0..image.len().min(1_200) {
        if let Some(found) = JpegFrame::find(&image[..length]) {
            assert_eq!(found, frame);
        }
        assert!(exif_orientation(&image[..length]).is_none());
    }
    // A segment that says that it is shorter than its own length.
    assert_eq!(JpegFrame::find(b"\xff\xd8\xff\xe0\0\x01\0\0\0"), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damaged images give a picture or an error, never a panic.
    #[test]
    fn damaged_images_are_refused_or_shown(
        flips in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..8),
        cut in any::<u16>(), is_progressive: bool, is_png: bool,
    ) {
        let (kind, mut image) = match is_png {
            true => (ContentType::Png, png(40, 30, png::ColorType::Rgb, &picture(40, 30))),
            false => (ContentType::Jpeg, jpeg(40, 30, Some(6), is_progressive)),
        };
        for (at, byte) in flips {
            let at = usize::from(at) % image.len();
            image[at] ^= byte;
        }
        image.truncate(image.len() - usize::from(cut) % (image.len() / 2));
        let _ = thumbnail(kind, &image);
    }

    #[test]
    fn any_bytes_are_exif_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = exif_orientation(&bytes);
        let _ = exif_orientation(&[b"II*\0".as_slice(), &bytes].concat());
        let _ = JpegFrame::find(&[b"\xff\xd8".as_slice(), &bytes].concat());
    }
}

/// One at a time: that is what bounds the memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_come_one_after_the_other() {
    let worker = Thumbnailer::default();
    let first = worker.turn().await.unwrap();
    assert!(worker.try_turn().is_none());
    let made = first.make(ContentType::Jpeg, Zeroizing::new(jpeg(400, 400, None, false))).await.unwrap();
    assert_eq!(Seen::of(&made).0, 320);
    assert!(worker.try_turn().is_some());
}
