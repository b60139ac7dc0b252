//! What is asked of an engine: ordered raw bytes, atomic batches and a sync. It is narrow so that the
//! rails are written once, above it. Nothing here seals, counts or decides; an engine's word is never trusted alone.

use super::Error;
use plantao_domain::view::Order;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why an engine failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// What the engine said.
    #[error("the engine failed")]
    Fault(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another process, or an engine that is just being closed, holds the directory.
    #[error("the engine's directory is in use")]
    Busy,
    /// Another version laid its rows out in another way. Nothing was changed.
    #[error("the engine's directory has the layout of an earlier version")]
    EarlierLayout,
}

impl EngineError {
    /// Wraps a foreign error.
    pub fn fault(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Fault(Box::new(source))
    }
}

/// Puts (`Some`) and deletes (`None`), each key at most once.
pub type RawBatch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Gets each key and value of a range; `false` ends it.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> bool;

/// Readable raw rows.
pub trait RawView: Send + Sync {
    /// The value of one key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Visits `from <= key < to` in the order asked for. `from < to` holds.
    fn range(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError>;
}

/// One open engine directory.
pub trait Engine: RawView {
    /// Writes all or nothing, also across a crash. Never called twice at once, nor beside `get` or `range`.
    fn write(&self, batch: RawBatch) -> Result<(), EngineError>;

    /// Returns once everything written before the call survives a power cut. Writes go on meanwhile.
    fn sync(&self) -> Result<(), EngineError>;

    /// Whether the engine's own threads still work.
    fn health(&self) -> Result<(), EngineError>;
}

/// Calls into an engine; its panic becomes an error.
pub(crate) fn guarded<T>(operation: &'static str, call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(EngineError::Fault(source))) => Err(Error::Engine { operation, source }),
        Ok(Err(EngineError::Busy)) => Err(Error::Busy),
        Ok(Err(EngineError::EarlierLayout)) => Err(Error::EarlierLayout),
        Err(_) => Err(Error::Panicked { operation }),
    }
}
