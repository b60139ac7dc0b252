#![allow(clippy::unwrap_used)]

use super::*;
use crate::images::keeping::testing::{Rows, US, at, chunk, incarnation, patient, store, upload};
use plantao_domain::NodeId;
use plantao_domain::rows::{PartOf, UploadState};

const DAY: Duration = Duration::from_secs(86_400);

fn us() -> StoreOf {
    StoreOf { node: US, incarnation: incarnation(1) }
}

#[test]
fn an_epoch_is_before_a_put_only_where_the_state_was_seen_without_it_afterwards() {
    let start = Instant::now();
    let second = |n| start + Duration::from_secs(n);
    let mut epochs = Epochs::default();
    assert_eq!(epochs.before(3), None, "nothing is known of the time before the start");
    epochs.note(2, second(0));
    epochs.note(2, second(10));
    epochs.note(4, second(11));
    epochs.note(5, second(20));
    assert_eq!((epochs.before(2), epochs.before(3)), (None, Some(second(10))));
    assert_eq!(
        (epochs.before(4), epochs.before(5), epochs.before(9)),
        (Some(second(10)), Some(second(11)), Some(second(20)))
    );
    // A put at second 10 is 90 s ago at second 100; the epoch came between 10 and 11.
    assert_eq!(epochs.quiet_min(4, second(100)), Duration::from_secs(92));
    assert_eq!(epochs.quiet_min(2, second(100)), UPLOAD_TIME_MAX);
    assert_eq!(epochs.quiet_min(4, second(100_000_000)), UPLOAD_TIME_MAX, "no receipt counts for so long");
    for epoch in 6..20_000 {
        epochs.note(epoch, second(epoch));
    }
    assert_eq!(epochs.0.len(), EPOCHS_MAX);
}

#[test]
fn a_tombstone_is_due_after_its_days_in_cluster_time_and_only_for_who_it_waits_for() {
    let mut rows = Rows::default();
    let other = StoreOf { node: US, incarnation: incarnation(9) };
    for (n, made, waiting) in [(1, 0, us()), (2, 86_400_000, us()), (3, 0, other)] {
        rows.tombstone(chunk(n).0, 1, made, None, waiting);
    }
    let due = |now| {
        let found = due(&rows.0, us(), at(now), DAY).unwrap();
        found.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(due(86_399_999), []);
    assert_eq!(due(86_400_000), [chunk(1).0]);
    assert_eq!(due(172_800_000).len(), 2);
}

/// Everything that must hold for an unlink, taken away one by one.
#[tokio::test]
async fn only_what_nothing_can_count_on_is_unlinked() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let (id, bytes) = chunk(1);
    store.directory().put(id, &bytes).unwrap();
    let mut good = Rows::default();
    good.tombstone(id, 5, 0, Some(patient(1)), us());
    let what = ChunkEpoch { chunk: id, epoch: 5 };
    let try_with = async |rows: &Rows, quiet_min: Duration, is_led: bool| {
        let allows = allows(what, quiet_min, Arc::new(rows.0.clone()), move || is_led);
        store.remove(id, allows).await.unwrap()
    };
    assert_eq!(try_with(&good, Duration::ZERO, false).await, Removal::Kept, "cut off from the leader");
    assert_eq!(try_with(&good, DAY, true).await, Removal::Kept, "it was put a moment ago");
    let mut later = good.clone();
    later.tombstone(id, 6, 0, Some(patient(1)), us());
    assert_eq!(try_with(&later, Duration::ZERO, true).await, Removal::Kept, "another tombstone");
    let mut open = good.clone();
    open.upload(upload(3), patient(1), UploadState::Open, &[US]);
    assert_eq!(try_with(&open, Duration::ZERO, true).await, Removal::Kept, "the patient has an open upload");
    let mut used = good.clone();
    used.part(PartOf { upload: upload(4), part: 0 }, &[id]);
    assert_eq!(try_with(&used, Duration::ZERO, true).await, Removal::Kept, "a part names it");
    assert_eq!(try_with(&Rows::default(), Duration::ZERO, true).await, Removal::Kept, "no tombstone");
    assert_eq!(try_with(&good, Duration::ZERO, true).await, Removal::Removed { bytes: 200 });
}

#[test]
fn what_no_part_names_is_left_over_when_it_is_old_enough() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let mut rows = Rows::default();
    for n in 1..=5 {
        let (id, bytes) = chunk(n);
        store.directory().put(id, &bytes).unwrap();
    }
    rows.image(1, 0, &[chunk(1).0], None);
    rows.part(PartOf { upload: upload(2), part: 0 }, &[chunk(2).0]);
    // One that waits for this directory, and one that waits for others only: it came back here since.
    rows.tombstone(chunk(3).0, 4, 0, None, us());
    rows.tombstone(chunk(4).0, 4, 0, None, StoreOf { node: NodeId(2), incarnation: incarnation(2) });
    let left_over = |before| orphans(&rows.0, &store, us(), before).unwrap();
    assert!(left_over(at(0)).is_empty(), "an upload may still be under way");
    let mut expected = vec![ChunkEpoch { chunk: chunk(4).0, epoch: 4 }, ChunkEpoch { chunk: chunk(5).0, epoch: 0 }];
    expected.sort_by(|a, b| a.chunk.as_bytes().cmp(b.chunk.as_bytes()));
    assert_eq!(left_over(ClusterTime::MAX), expected);
}
