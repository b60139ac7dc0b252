//! What the state store asks of the node's storage key: sealing one value so that it opens only under its own row key.
//! The cipher never lives here; `crypto` implements the trait.

/// The bytes were not made by this node's storage key for this row key, or were changed since.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the stored bytes do not open under this node's storage key")]
pub struct OpenError;

/// Seals values at rest. Implementations bind the node, the cluster and the row key, so that a sealed value that is
/// moved to another row, or to another node, does not open.
pub trait RowSeal: Send + Sync {
    /// Seals `plaintext` for `row_key`. Sealing the same bytes twice gives different bytes.
    fn seal(&self, row_key: &[u8], plaintext: &[u8]) -> Vec<u8>;

    /// Opens what [`RowSeal::seal`] made for the same key. Total: any bytes may be passed.
    fn open(&self, row_key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError>;
}
