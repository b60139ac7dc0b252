//! What a node proposes by itself: notes of reads, and steps of joining.

use super::write::{Header, Written, envelope};
use super::{Error, Gateway};
use crate::entropy::{Entropy, random};
use crate::journal::{Journal, JournalError};
use plantao_client::identity::Identity;
use plantao_domain::command::{Envelope, Tag};
use plantao_domain::{Actor, ActorId, ClusterTime, Command, NodeId, Outcome, RequestId, Role, rows};
use std::time::Duration;
use tokio::time::sleep;
use tracing::warn;

/// Entries of one `NoteReads`.
const BATCH_MAX: usize = 256;
/// How long notes may wait for company.
const GATHER: Duration = Duration::from_millis(100);
/// Pause after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// An envelope for what a node asks of itself or for an operator: a request of its own each time, which nobody repeats, so
/// the command must be harmless when it is made again. `now` is the network's time as the node can tell it.
pub fn node_envelope(via: NodeId, actor: Actor, command: Command, now: ClusterTime, entropy: &dyn Entropy) -> Envelope {
    let request_id = RequestId::from_bytes(random(entropy));
    let not_after = ClusterTime::saturating_from_millis(now.millis().saturating_add(Envelope::LIFETIME_MS / 2));
    // A request id that nobody else can know needs no keyed tag, and a node without the tag key has none.
    let tag = Tag(blake3::derive_key("plantao 2026-11 request of a node", request_id.as_bytes()));
    envelope(via, Header { request_id, not_after }, tag, actor, command)
}

/// A node in its own name, by its certificate.
pub fn node_actor(identity: &Identity) -> Actor {
    Actor { id: ActorId::from_bytes(identity.actor_id()), role: Role::Node, unit: None }
}

/// Proposes a command as this node; see [`node_envelope`].
///
/// # Errors
/// As [`Gateway::write`].
pub async fn propose_as_node(gateway: &Gateway, identity: &Identity, command: Command) -> Result<Written, Error> {
    gateway.propose_once(node_actor(identity), command).await
}

impl Gateway {
    /// Proposes a command that no client sent, for `actor`, who was found to have the right; see [`node_envelope`].
    ///
    /// # Errors
    /// As [`Gateway::write`].
    pub async fn propose_once(&self, actor: Actor, command: Command) -> Result<Written, Error> {
        let entropy = &*self.0.parts.entropy;
        self.propose(node_envelope(self.node(), actor, command, self.consensus().time(), entropy)).await
    }
}

/// Sends the journal's entries into the trail, for as long as the node runs.
pub async fn submit_reads(gateway: Gateway, identity: Identity) {
    let journal = gateway.journal().clone();
    let mut backlog = journal.backlog();
    loop {
        let waiting = backlog.borrow_and_update().waiting();
        if waiting == 0 {
            if backlog.changed().await.is_err() {
                return;
            }
            sleep(GATHER).await;
            continue;
        }
        if let Err(error) = submit(&gateway, &identity).await {
            if !matches!(error, Error::Unavailable { .. } | Error::Busy | Error::Unknown) {
                warn!(%error, "notes of reads do not reach the trail");
            }
            sleep(RETRY).await;
        }
    }
}

async fn submit(gateway: &Gateway, identity: &Identity) -> Result<(), Error> {
    let journal = gateway.journal();
    // What this node's own copy of the trail has need not be sent.
    let known = rows::journal_last(&**gateway.state(), gateway.node(), journal.id())?;
    let from = known.max(journal.backlog().borrow().submitted);
    let reads = off_thread(journal, move |journal| journal.after(from, BATCH_MAX)).await?;
    let Some(last) = reads.last().map(|note| note.sequence) else {
        return off_thread(journal, move |journal| journal.forget_through(from)).await;
    };
    let command = Command::NoteReads { node: gateway.node(), journal: journal.id(), reads };
    let written = propose_as_node(gateway, identity, command).await?;
    if matches!(written.outcome, Outcome::Rejected(_)) {
        return Err(Error::Denied);
    }
    off_thread(journal, move |journal| journal.forget_through(last)).await
}

/// The journal's lock is held during syncs: an async worker must not wait for it.
async fn off_thread<T: Send + 'static>(
    journal: &Journal,
    work: impl FnOnce(&Journal) -> Result<T, JournalError> + Send + 'static,
) -> Result<T, Error> {
    let journal = journal.clone();
    let done = crate::work::blocking(move || work(&journal)).await.map_err(|_| Error::Damaged)?;
    done.map_err(|error| {
        warn!(%error, "the journal of reads cannot be used");
        Error::Damaged
    })
}
