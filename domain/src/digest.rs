//! Digests: the chain of applied entries, by which replicas compare what they did, and the digest of an audit entry.
//! No keyed digest lives here: tokens and tags are made where the keys are.

use crate::id::LogId;

/// The chain before the first entry.
pub const CHAIN_START: [u8; 32] = [0; 32];

/// The chain after one more entry: BLAKE3 over `previous | term u64 BE | index u64 BE | payload length u64 BE | payload
/// | outcome length u64 BE | outcome`. `payload` is the entry as it stands in the log and `outcome` its encoded answer;
/// either is empty where there is none (blank and membership entries).
pub fn chain(previous: &[u8; 32], log_id: LogId, payload: &[u8], outcome: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous);
    hasher.update(&log_id.term.to_be_bytes());
    hasher.update(&log_id.index.to_be_bytes());
    for part in [payload, outcome] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// BLAKE3 of some bytes.
pub fn of_bytes(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_entry_enters_the_chain() {
        let at = LogId { term: 1, index: 2 };
        let base = chain(&CHAIN_START, at, b"ab", b"c");
        assert_eq!(base, chain(&CHAIN_START, at, b"ab", b"c"));
        let others = [
            chain(&base, at, b"ab", b"c"),
            chain(&CHAIN_START, LogId { term: 2, index: 2 }, b"ab", b"c"),
            chain(&CHAIN_START, LogId { term: 1, index: 3 }, b"ab", b"c"),
            chain(&CHAIN_START, at, b"a", b"bc"),
            chain(&CHAIN_START, at, b"abc", b""),
        ];
        for other in others {
            assert_ne!(base, other);
        }
    }
}
