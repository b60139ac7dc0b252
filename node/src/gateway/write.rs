//! Writes: from a draft to the outcome that all nodes agree on.

use super::{Draft, Error, Gateway, REQUEST_TIME_MAX};
use crate::consensus::ForwardError;
use crate::crypto::Keyring;
use bytes::Bytes;
use plantao_client::identity::Identity;
use plantao_domain::command::{Envelope, Tag};
use plantao_domain::planted::{Bug, planted};
use plantao_domain::{Actor, ClusterTime, Command, NodeId, Outcome, Rejection, RequestId, Role, codec, upgrade};
use tokio::time::Instant;

/// What makes a request safe to send twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Made by the client.
    pub request_id: RequestId,
    /// Last instant at which it may be applied.
    pub not_after: ClusterTime,
}

/// A decided request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// What became of it.
    pub outcome: Outcome,
    /// Where in the log.
    pub index: u64,
}

impl Gateway {
    /// Seals, proposes and waits. `canonical` is the whole request as it came, so that a retry with another content is
    /// noticed; the method and the caller are part of it.
    ///
    /// # Errors
    /// See [`Error`]; everything but [`Error::Unknown`] means that nothing was proposed.
    pub async fn write(
        &self,
        identity: &Identity,
        header: Header,
        method: &'static str,
        canonical: &[u8],
        draft: Draft,
    ) -> Result<Written, Error> {
        let _permit = self.admit()?;
        let actor = self.caller(identity).await?;
        match self.write_as(actor, header, method, canonical, draft).await {
            // Found out by reading at the read index: the same answer as from the log, without an entry.
            Err(Error::Rejected(rejection, index)) => Ok(Written { outcome: Outcome::Rejected(rejection), index }),
            other => other,
        }
    }

    async fn write_as(
        &self,
        actor: Actor,
        header: Header,
        method: &'static str,
        canonical: &[u8],
        draft: Draft,
    ) -> Result<Written, Error> {
        let content_tag = self.with_keys(|| tag(self.keyring(), &actor, method, canonical))?;
        let command = self.command(draft).await?;
        self.propose(envelope(self.node(), header, content_tag, actor, command)).await
    }

    /// Proposes a finished envelope, here or at the leader.
    ///
    /// # Errors
    /// As [`Gateway::write`].
    pub async fn propose(&self, envelope: Envelope) -> Result<Written, Error> {
        // Every proposal of this node passes here: what older programs do not read must not enter the log, for they would
        // stop at it. Rows that lag know a lower level at most.
        if let Err(rejection) = upgrade::admits(&**self.state(), &envelope.command)? {
            return Err(Error::Rejected(rejection, self.consensus().progress().index));
        }
        // What nodes write for themselves is little, and operators must be able to mend it.
        if !matches!(envelope.actor.role, Role::Node | Role::Operator)
            && let Some(low) = self.consensus().no_room()
        {
            let members = self.consensus().status().members;
            let voters = members.iter().filter(|member| member.voter).count();
            return Err(Error::NoRoom { low: low.len(), voters });
        }
        let bytes = codec::encode_envelope(&envelope);
        if bytes.len() > codec::ENTRY_BYTES_MAX {
            return Err(Error::Invalid { field: "document", why: "too large for one log entry" });
        }
        let deadline = Instant::now() + REQUEST_TIME_MAX;
        let applied =
            self.0.parts.forwarder.propose(Bytes::from(bytes), deadline).await.map_err(|error| match error {
                ForwardError::NoLeader => Error::Unavailable { why: "no leader takes writes at the moment" },
                ForwardError::Busy => Error::Busy,
                ForwardError::Malformed(_) => Error::Invalid { field: "request", why: "too large for one log entry" },
                ForwardError::Unknown => Error::Unknown,
            })?;
        // Applied everywhere the same: if this node does not read it, its version is too old to say what happened.
        let outcome = codec::decode_outcome(&applied.outcome).map_err(|_| Error::Unknown)?;
        let outcome = match outcome {
            Outcome::Rejected(Rejection::SlotTaken { .. }) if planted(Bug::RefusalAsDone) => {
                Outcome::Confirmed { version: 1, changed: true, node: None }
            }
            outcome => outcome,
        };
        let index = applied.index - u64::from(planted(Bug::EarlierIndexTold));
        Ok(Written { outcome, index })
    }
}

pub(super) fn tag(
    keyring: &Keyring,
    actor: &Actor,
    method: &str,
    canonical: &[u8],
) -> Result<Tag, crate::crypto::KeyError> {
    let mut bytes = Vec::with_capacity(canonical.len() + 64);
    bytes.extend_from_slice(actor.id.as_bytes());
    bytes.extend_from_slice(&(method.len() as u64).to_be_bytes());
    bytes.extend_from_slice(method.as_bytes());
    bytes.extend_from_slice(canonical);
    keyring.content_tag(&bytes)
}

pub(super) fn envelope(via: NodeId, header: Header, content_tag: Tag, actor: Actor, command: Command) -> Envelope {
    Envelope {
        request_id: header.request_id,
        content_tag,
        actor,
        via,
        not_after: header.not_after,
        // The leader stamps the time; this keeps the field valid until then.
        proposed_at: ClusterTime::default(),
        command,
    }
}
