//! Small pictures of large ones, so that a screen need not fetch twelve megapixels. Derived once, when an image is
//! taken in, and sealed and stored like any chunk; whoever lacks one shows the image instead, so every refusal here is
//! harmless.
//!
//! ```text
//! JPEG, PNG ─► size by the header, cost estimated ─► [one at a time] ─► rows ─► area average ─► turned upright ─► JPEG
//! ```
//! What comes in may be hostile: the cost is bounded before anything is decoded, the decoders are safe Rust, and one
//! that panics ends its thread only. What goes out holds pixels alone: no place, no time, no device, no name.

use super::content_type::ContentType;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The longer side of a thumbnail; a smaller image keeps its size.
pub const EDGE_PIXELS_MAX: u32 = 320;
/// Largest file that gets one: far above a photograph.
pub const SOURCE_BYTES_MAX: usize = 16 << 20;
/// Memory for decoding one: a baseline JPEG of 33 megapixels, a progressive one of 16 at the usual sampling. With the
/// file itself it stays well below what a node may have resident.
const DECODED_BYTES_MAX: u64 = 96 << 20;
/// Scans of a progressive JPEG: usual ones have about ten, and each costs a pass over the whole.
const SCANS_MAX: usize = 40;
const QUALITY: u8 = 80;

/// Why an image has no thumbnail. None of these is worth an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ThumbnailError {
    /// DICOM, WebP and HEIC are not decoded here.
    #[error("no thumbnails are made of {0}")]
    ContentType(ContentType),
    /// The file, or what it would become in memory.
    #[error("the image is too large for a thumbnail")]
    TooLarge,
    /// It does not decode, or in a way that is not supported.
    #[error("the image does not decode")]
    Decode,
    /// The small picture could not be written.
    #[error("the thumbnail does not encode")]
    Encode,
    /// The thread ended without an answer.
    #[error("the worker that made the thumbnail was stopped")]
    Stopped,
}

/// The one worker of a node.
#[derive(Clone)]
pub struct Thumbnailer {
    turn: Arc<Semaphore>,
}

/// The right to make one thumbnail. Ask for it before the image is read into memory: that is what bounds the memory.
pub struct Turn(OwnedSemaphorePermit);

impl Default for Thumbnailer {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Thumbnailer {
    /// Waits for its turn. Cancel safe.
    pub async fn turn(&self) -> Result<Turn, ThumbnailError> {
        Arc::clone(&self.turn).acquire_owned().await.map(Turn).map_err(|_| ThumbnailError::Stopped)
    }

    /// Its turn if nobody is before it: whoever cannot wait does without a thumbnail.
    pub fn try_turn(&self) -> Option<Turn> {
        Arc::clone(&self.turn).try_acquire_owned().ok().map(Turn)
    }
}

impl Turn {
    /// Makes the thumbnail on a thread of its own. The turn ends with the work, not with the caller.
    ///
    /// # Errors
    /// See [`ThumbnailError`].
    pub async fn make(self, kind: ContentType, image: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, ThumbnailError> {
        let work = move || {
            let made = thumbnail(kind, &image);
            drop(self.0);
            made
        };
        // A decoder that panics is an image that does not decode.
        match crate::work::blocking(work).await {
            Ok(made) => made,
            Err(error) if error.is_panic() => Err(ThumbnailError::Decode),
            Err(_) => Err(ThumbnailError::Stopped),
        }
    }
}

/// A JPEG of at most [`EDGE_PIXELS_MAX`] a side. Takes up to a second and as much memory as the bounds above say.
///
/// # Errors
/// See [`ThumbnailError`].
pub fn thumbnail(kind: ContentType, image: &[u8]) -> Result<Vec<u8>, ThumbnailError> {
    if image.len() > SOURCE_BYTES_MAX {
        return Err(ThumbnailError::TooLarge);
    }
    let small = match kind {
        ContentType::Jpeg => from_jpeg(image)?,
        ContentType::Png => from_png(image)?,
        ContentType::Webp | ContentType::Heic | ContentType::Dicom => return Err(ThumbnailError::ContentType(kind)),
    };
    let side = |pixels: u32| u16::try_from(pixels).map_err(|_| ThumbnailError::Encode);
    let mut out = Vec::new();
    jpeg_encoder::Encoder::new(&mut out, QUALITY)
        .encode(&small.rgb, side(small.width)?, side(small.height)?, jpeg_encoder::ColorType::Rgb)
        .map_err(|_| ThumbnailError::Encode)?;
    Ok(out)
}

/// What was decoded and made small: three bytes a pixel, rows from the top.
struct Small {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

fn from_jpeg(image: &[u8]) -> Result<Small, ThumbnailError> {
    let frame = JpegFrame::find(image).ok_or(ThumbnailError::Decode)?;
    if frame.decoded_bytes() > DECODED_BYTES_MAX {
        return Err(ThumbnailError::TooLarge);
    }
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB).jpeg_set_max_scans(SCANS_MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(image), options);
    decoder.decode_headers().map_err(|_| ThumbnailError::Decode)?;
    let told = decoder.info().map(|info| (u32::from(info.width), u32::from(info.height)));
    // The bound was reckoned from our reading of the header; a decoder that reads another one is not let loose.
    if told != Some((frame.width, frame.height)) {
        return Err(ThumbnailError::Decode);
    }
    let orientation = decoder.exif().and_then(|exif| exif_orientation(exif)).unwrap_or(1);
    let pixels = Zeroizing::new(decoder.decode().map_err(|_| ThumbnailError::Decode)?);
    let mut shrink = Shrink::new(frame.width, frame.height).ok_or(ThumbnailError::Decode)?;
    for row in pixels.chunks_exact(frame.width as usize * 3) {
        shrink.row(row);
    }
    shrink.finish().map(|small| small.upright(orientation)).ok_or(ThumbnailError::Decode)
}

/// What the frame header of a JPEG says.
#[derive(PartialEq, Eq, Debug)]
struct JpegFrame {
    width: u32,
    height: u32,
    is_progressive: bool,
    /// Coefficients for each pixel, in hundredths: 300 without subsampling, 150 with the usual one.
    samples_percent: u64,
}

impl JpegFrame {
    fn find(image: &[u8]) -> Option<Self> {
        let mut rest = image.strip_prefix(b"\xff\xd8")?;
        loop {
            // Fill bytes may stand before a marker.
            let (&[marker_prefix, marker], tail) = rest.split_first_chunk::<2>()?;
            if marker_prefix != 0xff {
                return None;
            }
            if marker == 0xff {
                rest = rest.get(1..)?;
                continue;
            }
            if matches!(marker, 0x01 | 0xd0..=0xd8) {
                rest = tail;
                continue;
            }
            let length = usize::from(u16::from_be_bytes(*tail.first_chunk::<2>()?));
            let segment = tail.get(2..length)?;
            match marker {
                0xc4 | 0xc8 | 0xcc => {}
                0xc0..=0xcf => return Self::read(segment, marker != 0xc0 && marker != 0xc1),
                0xd9 | 0xda => return None,
                _ => {}
            }
            rest = tail.get(length..)?;
        }
    }

    fn read(segment: &[u8], is_progressive: bool) -> Option<Self> {
        let &[_precision, h0, h1, w0, w1, count] = segment.first_chunk::<6>()?;
        let components = segment.get(6..6 + usize::from(count) * 3)?.chunks_exact(3);
        let factors: Vec<(u64, u64)> = components.map(|c| (u64::from(c[1] >> 4), u64::from(c[1] & 0x0f))).collect();
        let most = factors.iter().map(|(h, _)| *h).max()? * factors.iter().map(|(_, v)| *v).max()?;
        let width = u32::from(u16::from_be_bytes([w0, w1]));
        let height = u32::from(u16::from_be_bytes([h0, h1]));
        if width == 0 || height == 0 || most == 0 {
            return None;
        }
        let samples_percent = factors.iter().map(|(h, v)| 100 * h * v / most).sum();
        Some(Self { width, height, is_progressive, samples_percent })
    }

    /// Pixels as RGB, and for a progressive one all coefficients, two bytes each.
    fn decoded_bytes(&self) -> u64 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        let coefficients = if self.is_progressive { pixels * 2 * self.samples_percent / 100 } else { 0 };
        pixels * 3 + coefficients
    }
}

fn from_png(image: &[u8]) -> Result<Small, ThumbnailError> {
    let limits = png::Limits { bytes: usize::try_from(DECODED_BYTES_MAX).unwrap_or(usize::MAX) };
    let mut decoder = png::Decoder::new_with_limits(std::io::Cursor::new(image), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(|_| ThumbnailError::Decode)?;
    let (width, height, is_interlaced) = (reader.info().width, reader.info().height, reader.info().interlaced);
    let samples = reader.output_color_type().0.samples();
    let mut shrink = Shrink::new(width, height).ok_or(ThumbnailError::TooLarge)?;
    let mut rgb = Zeroizing::new(Vec::new());
    let mut take = |row: &[u8]| {
        rgb.clear();
        row.chunks_exact(samples).for_each(|pixel| rgb.extend_from_slice(&over_white(pixel)));
        shrink.row(&rgb);
    };
    if is_interlaced {
        // Its rows come in seven passes, so that the whole must be held.
        let bytes = reader.output_buffer_size().ok_or(ThumbnailError::TooLarge)?;
        if bytes as u64 > DECODED_BYTES_MAX {
            return Err(ThumbnailError::TooLarge);
        }
        let mut pixels = Zeroizing::new(vec![0; bytes]);
        reader.next_frame(&mut pixels).map_err(|_| ThumbnailError::Decode)?;
        pixels.chunks_exact(width as usize * samples).for_each(take);
    } else {
        for _ in 0..height {
            let row = reader.next_row().map_err(|_| ThumbnailError::Decode)?.ok_or(ThumbnailError::Decode)?;
            take(row.data());
        }
    }
    shrink.finish().ok_or(ThumbnailError::Decode)
}

/// Grey, grey with alpha, colour or colour with alpha, on white.
fn over_white(pixel: &[u8]) -> [u8; 3] {
    let blend = |value: u8, alpha: u8| {
        let (value, alpha) = (u16::from(value), u16::from(alpha));
        u8::try_from((value * alpha + 255 * (255 - alpha) + 127) / 255).unwrap_or(u8::MAX)
    };
    match *pixel {
        [grey] => [grey; 3],
        [grey, alpha] => [blend(grey, alpha); 3],
        [r, g, b] => [r, g, b],
        [r, g, b, alpha] => [blend(r, alpha), blend(g, alpha), blend(b, alpha)],
        _ => [255; 3],
    }
}

/// Averages areas as rows come: each target pixel is the mean of the source pixels that fall into it. Holds one row of
/// sums.
struct Shrink {
    width: u32,
    height: u32,
    target_width: u32,
    target_height: u32,
    /// Rows taken.
    taken: u32,
    sums: Vec<[u64; 3]>,
    counts: Vec<u64>,
    rgb: Vec<u8>,
}

impl Shrink {
    fn new(width: u32, height: u32) -> Option<Self> {
        let longer = width.max(height);
        if width == 0 || height == 0 || u64::from(width) * 4 > DECODED_BYTES_MAX {
            return None;
        }
        let scaled = |side: u32| match longer {
            0..=EDGE_PIXELS_MAX => side,
            _ => u32::try_from(u64::from(side) * u64::from(EDGE_PIXELS_MAX) / u64::from(longer)).unwrap_or(1).max(1),
        };
        let (target_width, target_height) = (scaled(width), scaled(height));
        let columns = target_width as usize;
        Some(Self {
            width,
            height,
            target_width,
            target_height,
            taken: 0,
            sums: vec![[0; 3]; columns],
            counts: vec![0; columns],
            rgb: Vec::with_capacity(columns * target_height as usize * 3),
        })
    }

    fn row(&mut self, rgb: &[u8]) {
        if self.taken == self.height {
            return;
        }
        for (column, pixel) in (0_u64..).zip(rgb.chunks_exact(3).take(self.width as usize)) {
            let at = column * u64::from(self.target_width) / u64::from(self.width);
            let at = usize::try_from(at).unwrap_or_default();
            for (sum, value) in self.sums[at].iter_mut().zip(pixel) {
                *sum += u64::from(*value);
            }
            self.counts[at] += 1;
        }
        let target = |row: u32| u64::from(row) * u64::from(self.target_height) / u64::from(self.height);
        let is_last_of_its_row = target(self.taken + 1) != target(self.taken);
        self.taken += 1;
        if is_last_of_its_row {
            for (sum, count) in self.sums.iter_mut().zip(&mut self.counts) {
                let mean = |sum: u64| u8::try_from((sum + *count / 2) / (*count).max(1)).unwrap_or(u8::MAX);
                self.rgb.extend(sum.map(mean));
                (*sum, *count) = ([0; 3], 0);
            }
        }
    }

    /// `None` if rows are missing.
    fn finish(self) -> Option<Small> {
        let complete = self.rgb.len() == self.target_width as usize * self.target_height as usize * 3;
        complete.then_some(Small { width: self.target_width, height: self.target_height, rgb: self.rgb })
    }
}

impl Small {
    /// Undoes an EXIF orientation (1 to 8).
    fn upright(self, orientation: u8) -> Self {
        let (w, h) = (self.width as usize, self.height as usize);
        let is_turned = (5..=8).contains(&orientation);
        let (width, height) = if is_turned { (h, w) } else { (w, h) };
        let mut rgb = Vec::with_capacity(self.rgb.len());
        for y in 0..height {
            for x in 0..width {
                // Where the pixel of the upright picture stands in the stored one.
                let (from_x, from_y) = match orientation {
                    2 => (w - 1 - x, y),
                    3 => (w - 1 - x, h - 1 - y),
                    4 => (x, h - 1 - y),
                    5 => (y, x),
                    6 => (y, h - 1 - x),
                    7 => (w - 1 - y, h - 1 - x),
                    8 => (w - 1 - y, x),
                    _ => (x, y),
                };
                let at = (from_y * w + from_x) * 3;
                rgb.extend_from_slice(self.rgb.get(at..at + 3).unwrap_or(&[255; 3]));
            }
        }
        Self {
            width: if is_turned { self.height } else { self.width },
            height: if is_turned { self.width } else { self.height },
            rgb,
        }
    }
}

/// Tag 0x0112 of the first directory of an EXIF block, with or without its `Exif` head. Total over any bytes.
fn exif_orientation(exif: &[u8]) -> Option<u8> {
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let is_little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes: [u8; 2] = *tiff.get(at..)?.first_chunk()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let bytes: [u8; 4] = *tiff.get(4..)?.first_chunk()?;
    let directory = if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
    let directory = usize::try_from(directory).ok()?;
    for entry in 0..usize::from(u16_at(directory)?) {
        let at = directory.checked_add(2 + entry * 12)?;
        if u16_at(at)? == 0x0112 {
            return u8::try_from(u16_at(at + 8)?).ok().filter(|value| (1..=8).contains(value));
        }
    }
    None
}

#[cfg(test)]
#[path = "thumbnail_tests.rs"]
mod tests;
