//! Rows as the rules read them, kept in memory for a while: an apply asks for the same few rows (cluster, unit, patient,
//! head of the trail) again and again, and asks the engine twice for each row that it adds. Only what was read is kept,
//! absence included; nothing here reads or writes an engine.
//!
//! What is kept is what the engine holds, always: rows are noted under the shared lock of one index, and changed under
//! the exclusive one, in the same step as the engine.

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// Keys, values and what keeping them costs, together.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Longer rows are documents: read seldom, and few of them would push everything else out.
const ROW_BYTES_MAX: usize = 2 * 1024;
/// What an entry costs beside its bytes; a guess from the sizes of the map's and the value's headers.
const ENTRY_BYTES: usize = 96;
/// Rows of the usual size that fit.
const ROWS: usize = 32 * 1024;

#[derive(Clone)]
struct ByBytes;

impl Weighter<Vec<u8>, Option<Arc<[u8]>>> for ByBytes {
    fn weight(&self, key: &Vec<u8>, value: &Option<Arc<[u8]>>) -> u64 {
        (key.len() + value.as_ref().map_or(0, |value| value.len()) + ENTRY_BYTES) as u64
    }
}

/// See the module.
pub(super) struct RowCache(Cache<Vec<u8>, Option<Arc<[u8]>>, ByBytes>);

impl RowCache {
    pub(super) fn new() -> Self {
        Self(Cache::with_weighter(ROWS, CACHE_BYTES, ByBytes))
    }

    /// The row, or that there is none; `None` if that is not known here.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        self.0.get(key).map(|value| value.map(|value| value.to_vec()))
    }

    /// Keeps what was read.
    pub(super) fn note(&self, key: &[u8], value: Option<&[u8]>) {
        if value.is_none_or(|value| value.len() <= ROW_BYTES_MAX) {
            self.0.insert(key.to_vec(), value.map(Arc::from));
        }
    }

    /// Takes over what was written, for rows that are kept.
    pub(super) fn write<'a>(&self, changes: impl IntoIterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>) {
        for (key, value) in changes {
            if !self.0.contains_key(key) {
                continue;
            }
            match value {
                Some(value) if value.len() > ROW_BYTES_MAX => drop(self.0.remove(key)),
                value => self.0.insert(key.clone(), value.as_deref().map(Arc::from)),
            }
        }
    }

    /// Forgets everything: other rows came.
    pub(super) fn clear(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_follows_what_is_written_and_nothing_else_is_kept() {
        let cache = RowCache::new();
        assert_eq!(cache.get(b"a"), None);
        cache.note(b"a", Some(b"1"));
        cache.note(b"b", None);
        cache.note(b"long", Some(&[0; ROW_BYTES_MAX + 1]));
        assert_eq!(cache.get(b"a"), Some(Some(b"1".to_vec())));
        assert_eq!(cache.get(b"b"), Some(None));
        assert_eq!(cache.get(b"long"), None);
        let changes =
            [(b"a".to_vec(), None), (b"b".to_vec(), Some(b"2".to_vec())), (b"c".to_vec(), Some(b"3".to_vec()))];
        cache.write(changes.iter().map(|(key, value)| (key, value)));
        assert_eq!(cache.get(b"a"), Some(None));
        assert_eq!(cache.get(b"b"), Some(Some(b"2".to_vec())));
        assert_eq!(cache.get(b"c"), None, "it was never read");
        let grown = [(b"b".to_vec(), Some(vec![0; ROW_BYTES_MAX + 1]))];
        cache.write(grown.iter().map(|(key, value)| (key, value)));
        assert_eq!(cache.get(b"b"), None, "an older value must not stay");
        cache.clear();
        assert_eq!(cache.get(b"a"), None);
    }

    #[test]
    fn memory_is_bounded() {
        let cache = RowCache::new();
        for number in 0..100_000_u32 {
            cache.note(&number.to_be_bytes(), Some(&[0; 1024]));
        }
        assert!(cache.0.weight() <= CACHE_BYTES);
    }
}
