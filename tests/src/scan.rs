//! The search for plaintext: whether any of many strings stands anywhere in some bytes, in UTF-8 or UTF-16.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Shortest string that is looked for: a shorter one is found by chance.
pub const NEEDLE_BYTES_MIN: usize = 8;

/// Strings to look for, by their first bytes.
pub struct Scanner {
    /// Whether any begins with these two bytes: most places are passed over by this alone.
    begins: Vec<bool>,
    needles: HashMap<[u8; NEEDLE_BYTES_MIN], Vec<(Vec<u8>, String)>>,
    count: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { begins: vec![false; 1 << 16], needles: HashMap::new(), count: 0 }
    }
}

fn pair(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

impl Scanner {
    /// Looks for `text` from now on, if it has at least [`NEEDLE_BYTES_MIN`] bytes.
    pub fn add(&mut self, text: &str) {
        if text.len() < NEEDLE_BYTES_MIN {
            return;
        }
        self.count += 1;
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [text.as_bytes().to_vec(), little, big] {
            if let Some(first) = bytes.first_chunk::<NEEDLE_BYTES_MIN>() {
                self.begins[pair(first[0], first[1])] = true;
                self.needles.entry(*first).or_default().push((bytes.clone(), text.to_owned()));
            }
        }
    }

    /// How many strings are looked for.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The first string that stands in `bytes`.
    pub fn find(&self, bytes: &[u8]) -> Option<&str> {
        let mut at = 0;
        while let Some(window) = bytes.get(at..at + NEEDLE_BYTES_MIN) {
            if self.begins[pair(window[0], window[1])]
                && let Some(candidates) = self.needles.get(window)
                && let Some((_, text)) = candidates.iter().find(|(needle, _)| bytes[at..].starts_with(needle))
            {
                return Some(text);
            }
            at += 1;
        }
        None
    }

    /// Every file below `directory` that has one, with it; and how many bytes were looked at.
    pub fn find_in_files(&self, directory: &Path) -> (Vec<(PathBuf, String)>, u64) {
        let (mut found, mut looked_at, mut ahead) = (Vec::new(), 0, vec![directory.to_path_buf()]);
        while let Some(path) = ahead.pop() {
            if path.is_dir() {
                ahead.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.is_file() {
                // A name leaks as well as a content does.
                let name = path.file_name().unwrap().as_encoded_bytes().to_vec();
                // A running node may remove a file meanwhile.
                let Ok(bytes) = std::fs::read(&path) else { continue };
                looked_at += bytes.len() as u64;
                if let Some(text) = self.find(&bytes).or_else(|| self.find(&name)) {
                    found.push((path, text.to_owned()));
                }
            }
        }
        (found, looked_at)
    }
}
