//! The scrub as a task of the node: what it finds is logged, counted and told to repair.

use super::{Keeper, named};
use crate::chunks::Fault;
use crate::chunks::scrub::Scrub;
use plantao_domain::ChunkId;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Findings between the scrub and the log.
const FOUND_MAX: usize = 64;

/// Until it is told to stop: reads every copy again, on the budget of the configuration.
pub async fn scrub(keeper: Keeper, findings: mpsc::Sender<(ChunkId, Fault)>, stopping: CancellationToken) {
    let Some(store) = keeper.chunks.store() else { return };
    let scrub = Scrub::new(Arc::clone(store.directory()), keeper.options.scrub, Instant::now());
    let (found, mut finding) = mpsc::channel::<(ChunkId, Fault)>(FOUND_MAX);
    let telling = async {
        while let Some((id, fault)) = finding.recv().await {
            warn!(chunk = named(&id), fault = fault.word(), code = 3101, "a bad copy was found and set aside");
            // Full: the comparison finds it.
            let _ = findings.try_send((id, fault));
        }
    };
    tokio::join!(scrub.run(found, stopping), telling);
}
