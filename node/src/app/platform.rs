//! What a node takes from the machine that it runs on: time, chance, sockets, and where its log and rows rest. The daemon
//! takes the operating system's; a simulation brings its own (decision 0027).

use super::opening::log_identity;
use crate::chunks::Witness;
use crate::clock::{SharedClock, SystemClock};
use crate::crypto::StorageSeal;
use crate::entropy::{SharedEntropy, SystemEntropy};
use crate::storage::fs::DataDir;
use crate::storage::identity::NodeIdentity;
use crate::storage::log::{ForeignLog, Log};
use crate::storage::state::{OpenEngine, engines};
use crate::storage::wal::{Wal, WalOptions};
use anyhow::Context;
use plantao_client::transport::Network;
use std::fmt;
use std::sync::Arc;

/// Logs and engines that somebody else brings, for one node.
pub trait Store: Send + Sync + 'static {
    /// The log as its disk kept it; empty for a new node.
    fn log(&self) -> Arc<dyn ForeignLog>;

    /// Engines of the state.
    fn engines(&self) -> OpenEngine;

    /// Who is told what becomes of chunk files, which lie in the data directory.
    fn chunks(&self) -> Arc<dyn Witness>;
}

/// Where the log and the rows rest. Everything else is in the data directory either way.
#[derive(Clone, Default)]
pub enum Storage {
    /// In the data directory.
    #[default]
    Disk,
    /// With somebody else.
    Foreign(Arc<dyn Store>),
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "Disk",
            Self::Foreign(_) => "Foreign",
        })
    }
}

/// See the module.
#[derive(Clone)]
pub struct Platform {
    /// The wall clock.
    pub clock: SharedClock,
    /// Random bytes.
    pub entropy: SharedEntropy,
    /// Sockets.
    pub network: Network,
    /// Log and rows.
    pub storage: Storage,
}

impl Default for Platform {
    /// The operating system's.
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            network: Network::System,
            storage: Storage::Disk,
        }
    }
}

impl Storage {
    /// Makes the log of a node that has just been given its id. Blocking.
    ///
    /// # Errors
    /// There is one, or it cannot be made.
    pub fn create_log(&self, data: &DataDir, identity: &NodeIdentity, seal: Arc<StorageSeal>) -> anyhow::Result<()> {
        if let Self::Disk = self {
            let wal = Wal::create(data, log_identity(identity), seal, WalOptions::default());
            drop(wal.context("the log cannot be made")?);
        }
        Ok(())
    }

    /// Opens the log. Blocking.
    pub(super) fn open_log(&self, data: &DataDir, us: &NodeIdentity, seal: &Arc<StorageSeal>) -> anyhow::Result<Log> {
        match self {
            Self::Disk => Wal::open(data, log_identity(us), seal.clone(), WalOptions::default())
                .map(Log::Wal)
                .context("the log cannot be trusted, so this node does not vote"),
            Self::Foreign(store) => Ok(Log::Foreign(store.log())),
        }
    }

    /// Who is told what becomes of chunk files, if anybody.
    pub(super) fn chunks(&self) -> Option<Arc<dyn Witness>> {
        match self {
            Self::Disk => None,
            Self::Foreign(store) => Some(store.chunks()),
        }
    }

    pub(super) fn engines(&self) -> OpenEngine {
        match self {
            Self::Disk => engines(),
            Self::Foreign(store) => store.engines(),
        }
    }
}
