//! Data keys from the rows: fetched wrapped, opened by the keyring.

use super::{Error, Gateway};
use crate::crypto::{DataKey, KeyError};
use plantao_domain::command::{KeyOwner, WrappedKey};
use plantao_domain::{View, ViewFault, rows};
use std::sync::Arc;

/// Hands the keyring what the state says of epochs and cluster keys. Called at start and when an epoch is unknown.
///
/// # Errors
/// The rows cannot be read.
pub(super) fn install(keyring: &crate::crypto::Keyring, view: &dyn View) -> Result<(), ViewFault> {
    let Some(cluster) = rows::cluster(view)? else { return Ok(()) };
    for epoch in 1..=cluster.epoch {
        if let Some(frame) = rows::epoch_key(view, epoch)? {
            keyring.install_epoch(epoch, frame);
        }
    }
    if let (Some(search), Some(tag)) =
        (rows::data_key(view, KeyOwner::Search)?, rows::data_key(view, KeyOwner::ContentTag)?)
    {
        keyring.install_cluster_keys(search, tag);
    }
    Ok(())
}

impl Gateway {
    /// Tells the keyring what the state holds.
    ///
    /// # Errors
    /// The rows cannot be read.
    pub fn install_keys(&self) -> Result<(), ViewFault> {
        install(self.keyring(), &**self.state())
    }

    /// The key of `owner`, or `None` when there is no such owner on this node.
    pub(super) fn key(&self, owner: KeyOwner) -> Result<Option<Arc<DataKey>>, Error> {
        match rows::data_key(&**self.state(), owner)? {
            None => Ok(None),
            Some(wrapped) => self.open_key(owner, &wrapped).map(Some),
        }
    }

    pub(super) fn open_key(&self, owner: KeyOwner, wrapped: &WrappedKey) -> Result<Arc<DataKey>, Error> {
        self.with_keys(|| self.keyring().data_key(owner, wrapped))
    }

    /// Runs something that needs keys, once more after a look at the state if an epoch was not known yet.
    pub(super) fn with_keys<T>(&self, run: impl Fn() -> Result<T, KeyError>) -> Result<T, Error> {
        match run() {
            Ok(value) => return Ok(value),
            Err(KeyError::Sealed) => return Err(Error::Sealed),
            Err(_) => self.install_keys()?,
        }
        run().map_err(|error| match error {
            KeyError::Sealed => Error::Sealed,
            _ => Error::Damaged,
        })
    }
}
