//! What must not lie about: text that programs sent as content, in files of nodes and in their logs, in any of the encodings in
//! which it might have slipped through.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes that are looked at together.
const BLOCK_BYTES: usize = 1 << 20;

/// One text in the shapes in which it is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Needle(Vec<Vec<u8>>);

impl Needle {
    /// Of plain ASCII, at least 12 bytes long, so that chance never makes it.
    pub(crate) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let wide: Vec<u8> = bytes.iter().flat_map(|byte| [*byte, 0]).collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut shapes = vec![bytes.to_vec(), wide, hex.to_uppercase().into_bytes(), hex.into_bytes()];
        shapes.extend((0..3).map(|skipped| base64_middle(bytes, skipped)));
        Self(shapes)
    }

    fn longest(&self) -> usize {
        self.0.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether it is in these bytes.
    pub(crate) fn is_in(&self, block: &[u8]) -> bool {
        self.0.iter().any(|shape| contains(block, shape))
    }
}

/// The part of a text's base64 that does not depend on what stands around it, when `skipped` bytes of it belong to the group
/// before.
fn base64_middle(bytes: &[u8], skipped: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.get(skipped..).unwrap_or_default().chunks_exact(3);
    let letters = groups.flat_map(|group| {
        let word = group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        [18, 12, 6, 0].map(|shift| ALPHABET[(word >> shift & 63) as usize])
    });
    letters.collect()
}

fn contains(block: &[u8], shape: &[u8]) -> bool {
    let Some(first) = shape.first() else { return false };
    let mut from = 0;
    while let Some(found) = block.get(from..).and_then(|rest| rest.iter().position(|byte| byte == first)) {
        if block[from + found..].starts_with(shape) {
            return true;
        }
        from += found + 1;
    }
    false
}

/// Looks into every file below `directory`; gives those with the needle, and how many bytes it looked at. A file that goes
/// away meanwhile is passed over.
pub(crate) fn search(directory: &Path, needle: &Needle) -> io::Result<(Vec<PathBuf>, u64)> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() {
                directories.push(path);
            } else if metadata.is_file() {
                let Ok(file) = File::open(&path) else { continue };
                let (hit, read) = search_file(BufReader::new(file), needle)?;
                bytes += read;
                if hit {
                    found.push(path);
                }
            }
        }
    }
    found.sort();
    Ok((found, bytes))
}

fn search_file(mut file: impl Read, needle: &Needle) -> io::Result<(bool, u64)> {
    let overlap = needle.longest().saturating_sub(1);
    let (mut block, mut read) = (Vec::new(), 0);
    loop {
        // The end of the block before stays: a needle may lie across.
        let kept = block.len().min(overlap);
        block.drain(..block.len() - kept);
        let more = file.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        if more == 0 {
            return Ok((false, read));
        }
        read += more as u64;
        if needle.is_in(&block) {
            return Ok((true, read));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &str = "AGULHA-caos-71f0";

    #[test]
    fn each_shape_is_found_wherever_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let needle = Needle::of(TEXT);
        let base64 = "eHhBR1VMSEEtY2Fvcy03MWYweHg="; // "xx" TEXT "xx"
        let hex: String = TEXT.bytes().map(|byte| format!("{byte:02x}")).collect();
        let wide: Vec<u8> = TEXT.bytes().flat_map(|byte| [byte, 0]).collect();
        for shape in [TEXT.as_bytes(), base64.as_bytes(), hex.as_bytes(), &wide] {
            for before in [0, 1, BLOCK_BYTES - 5, 2 * BLOCK_BYTES] {
                let below = dir.path().join("below");
                fs::create_dir_all(&below).unwrap();
                let file = below.join("file");
                fs::write(&file, [&vec![b'A'; before][..], shape, b"AAAA"].concat()).unwrap();
                let (found, bytes) = search(dir.path(), &needle).unwrap();
                assert_eq!(found, [file], "{before}");
                assert!(bytes > 0);
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut text = TEXT.as_bytes().to_vec();
        text[5] ^= 1;
        fs::write(dir.path().join("file"), text.repeat(100_000)).unwrap();
        let (found, bytes) = search(dir.path(), &Needle::of(TEXT)).unwrap();
        assert_eq!((found.len(), bytes), (0, 1_600_000));
    }
}
