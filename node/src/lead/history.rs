//! Each change of leader becomes a fact in the log, told by the new leader. It is written after the term's first entry is
//! committed, so nothing waits for it.

use crate::consensus::{Tenure, Tenures};
use crate::gateway::{Gateway, propose_as_node};
use plantao_client::identity::Identity;
use plantao_domain::lead::{LeadCause, LeadKind, Leadership};
use plantao_domain::{Actor, Command, NodeId, Outcome};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

/// Between two tries, while there is no leader that takes it.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Tries for one term: with the gateway's own patience, more than half an hour.
const TRIES_MAX: u32 = 200;

/// What an operator had this node stand for election for, until it leads. Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub struct Forced(Arc<Mutex<Option<(Actor, String)>>>);

impl Forced {
    /// The next term in which this node leads is this operator's doing.
    pub(super) fn set(&self, actor: Actor, reason: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((actor, reason.to_owned()));
    }

    /// It was not elected.
    pub(super) fn clear(&self) {
        self.take();
    }

    fn take(&self) -> Option<(Actor, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// For as long as the node runs. `tenures` must have been watched from the start of Raft on.
pub async fn note_tenures(gateway: Gateway, identity: Identity, forced: Forced, mut tenures: Tenures) {
    while let Some(tenure) = tenures.next().await {
        let mut told = leadership(NodeId(gateway.consensus().node()), &tenure);
        if let Some((actor, reason)) = forced.take().filter(|_| !tenure.handed_over) {
            (told.kind, told.cause) = (LeadKind::Forced, LeadCause::Failover);
            announce(&gateway, actor, &told, reason).await;
        }
        info!(
            term = told.term,
            from = told.from.map_or(0, |node| node.0),
            cause = ?told.cause,
            detected_ms = told.detected_ms,
            gap_ms = told.gap_ms,
            "this node leads"
        );
        note(&gateway, &identity, told).await;
    }
}

/// Without a leader nothing could be written before: so the trail gets who asked for it as soon as there is one.
async fn announce(gateway: &Gateway, actor: Actor, told: &Leadership, reason: String) {
    let command =
        Command::BeginHandover { to: told.to, term: told.term.saturating_sub(1), cause: LeadCause::Failover, reason };
    match gateway.propose_once(actor, command).await.map(|written| written.outcome) {
        Ok(Outcome::Rejected(rejection)) => {
            warn!(term = told.term, %rejection, "a failover has no reason in the trail")
        }
        Ok(_) => {}
        Err(error) => warn!(term = told.term, %error, "a failover has no reason in the trail"),
    }
}

/// Another node may lead by now: the note goes to whoever does, for it is about the past.
async fn note(gateway: &Gateway, identity: &Identity, told: Leadership) {
    for _ in 0..TRIES_MAX {
        match propose_as_node(gateway, identity, Command::NoteLeadership(told)).await.map(|written| written.outcome) {
            Ok(Outcome::Rejected(rejection)) => {
                warn!(term = told.term, %rejection, "the change of leader is not in the history");
                return;
            }
            Ok(_) => return,
            Err(_) => sleep(RETRY_AFTER).await,
        }
    }
    warn!(term = told.term, "the change of leader is not in the history: no leader took it");
}

fn leadership(node: NodeId, tenure: &Tenure) -> Leadership {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (kind, cause) = match (tenure.handed_over, tenure.from) {
        (true, _) => (LeadKind::Planned, LeadCause::HandedOver),
        (false, Some(_)) => (LeadKind::Automatic, LeadCause::Silence),
        (false, None) => (LeadKind::Automatic, LeadCause::Start),
    };
    Leadership {
        term: tenure.term,
        from: tenure.from.map(NodeId),
        to: node,
        kind,
        cause,
        detected_ms: tenure.detected.map(millis),
        gap_ms: tenure.gap.map(millis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_told_by_what_came_before_it() {
        let tenure = Tenure {
            term: 7,
            from: Some(2),
            handed_over: false,
            detected: Some(Duration::from_millis(1_600)),
            gap: Some(Duration::from_micros(2_900_900)),
        };
        let kinds = [
            (tenure, (LeadKind::Automatic, LeadCause::Silence)),
            (Tenure { handed_over: true, ..tenure }, (LeadKind::Planned, LeadCause::HandedOver)),
            (Tenure { from: None, ..tenure }, (LeadKind::Automatic, LeadCause::Start)),
        ];
        for (tenure, expected) in kinds {
            let told = leadership(NodeId(1), &tenure);
            assert_eq!((told.kind, told.cause), expected);
            assert_eq!((told.term, told.to, told.detected_ms, told.gap_ms), (7, NodeId(1), Some(1_600), Some(2_900)));
        }
    }
}
