//! A screen that follows the changes of the whole network, whatever happens to its connections: it must have seen each one once,
//! in the order of the log.

use super::Findings;
use futures_util::StreamExt;
use plantao_client::Cluster;
use plantao_client::services::WatchEvent;
use plantao_proto::public::v1;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// So long may a screen be behind when nothing is wrong.
const BEHIND_MAX: Duration = Duration::from_secs(30);
/// Between two tries to see anything at all.
const AGAIN: Duration = Duration::from_millis(500);

/// A change, as screens and the trail tell it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    pub(crate) index: u64,
    pub(crate) action: String,
    pub(crate) object: Vec<u8>,
    pub(crate) version: u32,
}

/// Whether it is of a kind that programs change while faults come.
pub(crate) fn is_followed(object_kind: &str) -> bool {
    matches!(object_kind, "appointment" | "record")
}

/// What one screen has seen. Clones are the same screen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen(Arc<Mutex<Vec<Change>>>);

impl Screen {
    fn with<T>(&self, look: impl FnOnce(&mut Vec<Change>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows for ever. Where a watch is lost for good, it begins afresh, as a program has to.
    pub(crate) async fn follow(&self, cluster: &Cluster) {
        loop {
            self.with(Vec::clear);
            let mut events = pin!(cluster.watch(v1::WatchRequest { from_index: 1, ..Default::default() }));
            while let Some(Ok(event)) = events.next().await {
                let WatchEvent::Change(change) = event else { continue };
                if is_followed(&change.object_kind) {
                    let v1::Change { index, action, object_id, version, .. } = change;
                    self.with(|seen| seen.push(Change { index, action, object: object_id.to_vec(), version }));
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Waits until it has seen as much as the trail has, and compares.
    pub(crate) async fn compare(&self, expected: &[Change], findings: &mut Findings) {
        let last = expected.last().map_or(0, |change| change.index);
        let behind = async {
            while self.with(|seen| seen.last().is_none_or(|change| change.index < last)) {
                tokio::time::sleep(AGAIN).await;
            }
        };
        let reached = expected.is_empty() || tokio::time::timeout(BEHIND_MAX, behind).await.is_ok();
        findings
            .require(reached, "watch", || format!("a screen has not seen the change at {last} {BEHIND_MAX:?} later"));
        self.with(|seen| differ(expected, seen, findings));
    }
}

/// Both in order; what came after the trail was read is no fault.
fn differ(expected: &[Change], seen: &[Change], findings: &mut Findings) {
    findings.watched += seen.len() as u64;
    let first = expected.iter().zip(seen).find(|(expected, seen)| expected != seen);
    findings.require(first.is_none(), "watch", || {
        first.map_or_else(String::new, |(expected, seen)| {
            format!("a screen was told {seen:?} in the place of {expected:?}")
        })
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_is_missing_told_twice_or_out_of_order_is_found() {
        let change = |index: u64| Change { index, action: "create".to_owned(), object: vec![1], version: 1 };
        let all = [1, 2, 3].map(change);
        let found = |seen: &[u64]| {
            let mut findings = Findings::default();
            differ(&all, &seen.iter().copied().map(change).collect::<Vec<_>>(), &mut findings);
            findings.count
        };
        assert_eq!((found(&[1, 2, 3]), found(&[1, 2, 3, 4])), (0, 0));
        for wrong in [[1, 3, 4].as_slice(), &[1, 1, 2, 3], &[2, 1, 3]] {
            assert_eq!(found(wrong), 1, "{wrong:?}");
        }
    }
}
