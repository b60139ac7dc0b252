//! What the Raft log asks of the sealing layer. No cipher and no key live here: `crypto` brings both.

/// Seals log payloads at rest, bound to their index, under the node's storage key.
pub trait PayloadSeal: Send + Sync {
    /// Seals `plaintext`, which is to rest at `index`. At most 256 bytes longer than the plaintext.
    fn seal(&self, index: u64, plaintext: &[u8]) -> Vec<u8>;

    /// The plaintext of what [`seal`](Self::seal) made for the same `index`.
    fn open(&self, index: u64, sealed: &[u8]) -> Result<Vec<u8>, OpenError>;
}

/// Why sealed bytes do not open. One variant on purpose: telling damage from a wrong key would be a guess.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// Damaged, moved from elsewhere, or sealed under another key.
    #[error("the sealed bytes are damaged, out of place, or of another key")]
    Rejected,
}
