//! Every prefix of a stored key. What domain rows mean is known to `plantao_domain::rows` only; here is just the line
//! between its keys and the store's own, so that they cannot collide.
//!
//! ```text
//! 0x00                                        the meta row, one
//! 0x00 0x01                                   the membership row, one
//! 0x01 | key length u16 BE | key | part u16 BE   one part of a row whose value is longer than PART_BYTES
//! 0x02 | snapshot id[16] | part u32 BE        never a row: the context under which a snapshot part is sealed
//! 0x10 ..= 0xEF                               domain rows, under the key that the domain chose
//! 0xF0 ..= 0xFF                               kept free
//! ```

/// Key of the meta row.
pub const META: &[u8] = &[0x00];
/// Key of the membership row.
pub const MEMBERSHIP: &[u8] = &[0x00, 0x01];
/// First byte of a part row.
pub const PART: u8 = 0x01;
/// First byte of the sealing context of a snapshot part.
pub const SNAPSHOT_PART: u8 = 0x02;
/// Smallest domain key.
pub const DOMAIN_FROM: &[u8] = &[0x10];
/// First key behind all domain keys.
pub const DOMAIN_TO: &[u8] = &[0xF0];
/// First bytes at which an engine may begin another tree: those of kinds of rows that become many and come in the order of
/// their keys, and of the kind behind each. What the kinds mean does not matter here; the split is decision 0037.
pub const RANGES: &[u8] = &[0x00, 0x40, 0x50, 0x51, 0x52, 0x58, 0x60, 0x61, 0x70, 0x71, 0x72];
/// Longest domain key, in bytes. The longest that rules make is far below; both engines take 64 KiB.
pub const KEY_BYTES_MAX: usize = 1024;

/// Whether the rules may store a row under this key.
pub fn is_domain_key(key: &[u8]) -> bool {
    key.len() <= KEY_BYTES_MAX && key.first().is_some_and(|first| (0x10..=0xEF).contains(first))
}

/// Key of part `part` of the row `key`. The length in front keeps one row's parts apart from those of a longer key.
pub fn part_key(key: &[u8], part: u16) -> Vec<u8> {
    let length = u16::try_from(key.len()).expect("domain keys are at most KEY_BYTES_MAX long");
    let mut bytes = Vec::with_capacity(key.len() + 5);
    bytes.push(PART);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&part.to_be_bytes());
    bytes
}

/// Context under which part `part` of the snapshot `id` is sealed.
pub fn snapshot_context(id: &[u8; 16], part: u32) -> [u8; 21] {
    let mut bytes = [SNAPSHOT_PART; 21];
    bytes[1..17].copy_from_slice(id);
    bytes[17..].copy_from_slice(&part.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_domain_key_can_be_one_of_the_stores_own() {
        assert!(!is_domain_key(&[]));
        assert!(!is_domain_key(META));
        assert!(!is_domain_key(&part_key(&[0x10], 0)));
        assert!(!is_domain_key(&snapshot_context(&[0x10; 16], 0)));
        assert!(!is_domain_key(DOMAIN_TO));
        assert!(is_domain_key(DOMAIN_FROM) && is_domain_key(&[0xEF, 0xFF]));
        assert!(is_domain_key(&[0x10; KEY_BYTES_MAX]) && !is_domain_key(&[0x10; KEY_BYTES_MAX + 1]));
        let mut keys =
            vec![part_key(b"\x10a", 0), part_key(b"\x10a", 256), part_key(b"\x10a\0", 0), part_key(b"\x10", 0)];
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 4);
    }
}
