//! Makes the applied state durable every so often, whatever the snapshots do: after a power cut a start then replays few
//! entries. What a checkpoint is stands in `storage::checkpoint`; the log is never touched here.

use super::state_machine::Progress;
use crate::storage::state::StateStore;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::error;

/// Entries after which the state is synced: about a second of applying them again at a start.
const ENTRIES: u64 = 5_000;
/// Between two checkpoints at least: a sync of the state is felt by the log on the same disk.
const PAUSE: Duration = Duration::from_secs(1);

/// Goes on until consensus ends or the store fails; a failed store stops the applies, and with them the node.
pub async fn checkpoints(store: Arc<dyn StateStore>, mut progress: watch::Receiver<Progress>) {
    loop {
        let durable = store.checkpointed().map_or(0, |entry| entry.index);
        if progress.wait_for(|progress| progress.index >= durable.saturating_add(ENTRIES)).await.is_err() {
            return;
        }
        let store = Arc::clone(&store);
        match crate::work::blocking(move || store.checkpoint()).await {
            Ok(Ok(_)) => sleep(PAUSE).await,
            Ok(Err(error)) => {
                error!(%error, "the state cannot be made durable");
                return;
            }
            // The runtime is going away.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::storage::state::tests::{ENGINES, Place, batch};
    use plantao_domain::{Changes, ClusterTime};
    use tokio::time::timeout;

    #[tokio::test]
    async fn the_state_is_durable_soon_after_many_entries_and_not_before() {
        for engine in ENGINES {
            let root = tempfile::tempdir().unwrap();
            let (store, _) = Place::new(root.path(), engine).open();
            let apply = |index: u64| {
                let changes = Changes::from([(vec![0x10], Some(index.to_be_bytes().to_vec()))]);
                store.apply(&batch(index, changes)).unwrap();
                Progress { index, time: ClusterTime::default() }
            };
            let before = store.checkpointed();
            // It looks at what was told before it learns that nobody tells more: when it has ended, it has decided.
            let (tell, progress) = watch::channel(apply(ENTRIES - 1));
            drop(tell);
            checkpoints(Arc::clone(&store), progress).await;
            assert_eq!(store.checkpointed(), before, "too few entries for one");
            let (tell, progress) = watch::channel(apply(ENTRIES));
            let task = tokio::spawn(checkpoints(Arc::clone(&store), progress));
            let done = timeout(Duration::from_secs(30), async {
                while store.checkpointed().is_none_or(|entry| entry.index < ENTRIES) {
                    sleep(Duration::from_millis(5)).await;
                }
            });
            done.await.unwrap();
            drop(tell);
            task.await.unwrap();
        }
    }
}
