//! Makes the applied state durable every so often, whatever the snapshots do: after a power cut a start then replays few
//! entries. And asks for a snapshot when one is due, so that the log can go. What a checkpoint is stands in
//! `storage::checkpoint`, what a snapshot is in `storage::snapshot`; neither is made here.

use super::handle::Consensus;
use super::profile::snapshot_distance;
use super::room::Room;
use super::state_machine::Progress;
use crate::storage::snapshot::Snapshots;
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
/// Between two looks whether there is room for a snapshot that is due.
const ROOM_EVERY: Duration = Duration::from_secs(1);

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

/// Asks for a snapshot whenever enough entries came since the last one; `entries` is `raft.snapshot_entries`. Goes on until
/// consensus ends. A snapshot that cannot be made ends the node; that is not noticed here.
pub async fn snapshots(consensus: Consensus, store: Arc<dyn StateStore>, kept: Arc<Snapshots>, entries: u64) {
    let mut progress = consensus.watch_progress();
    let mut asked = 0;
    loop {
        // One that a leader sent counts too.
        let last = kept.current().and_then(|snapshot| snapshot.meta().applied).map_or(0, |entry| entry.index);
        let due = last.max(asked).saturating_add(snapshot_distance(entries, store.count()));
        let Ok(index) = progress.wait_for(|progress| progress.index >= due).await.map(|progress| progress.index) else {
            return;
        };
        // There are more rows now, and then it may not be due yet.
        if index - last.max(asked) < snapshot_distance(entries, store.count()) {
            continue;
        }
        // It takes about as much as the rows do, and without room for it the node would end.
        if consensus.rooms().own() > Room::Enough {
            sleep(ROOM_EVERY).await;
            continue;
        }
        if consensus.make_snapshot().await.is_err() {
            return;
        }
        asked = index;
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
