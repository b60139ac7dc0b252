//! A stopped node as the network may have to go on with it: who it is, who belongs to the group by its log, how far it
//! has come. Read, and never written.

use super::error::RecoverError;
use crate::app::{log_identity, owner, storage_key};
use crate::config::Config;
use crate::consensus::log_store::proposal_of;
use crate::consensus::offline::{OfflineMembership, membership_of, membership_of_state};
use crate::crypto::StorageSeal;
use crate::entropy::SystemEntropy;
use crate::storage::fs::DataDir;
use crate::storage::identity::NodeIdentity;
use crate::storage::rebuild::{self, Options as StateOptions, Start};
use crate::storage::recovery::EntryPlace;
use crate::storage::snapshot::Snapshots;
use crate::storage::wal::{EntryId, Wal, WalOptions, WalState};
use anyhow::Context;
use plantao_domain::{ClusterTime, codec};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes of entries that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// An open directory.
pub(super) struct Survivor {
    pub(super) identity: NodeIdentity,
    pub(super) seal: Arc<StorageSeal>,
    pub(super) membership: OfflineMembership,
    pub(super) log: WalState,
    /// The last entry: of the log, or of the state where a snapshot led past the log.
    pub(super) last: Option<EntryId>,
    pub(super) applied: Option<EntryId>,
    /// When the last command was stamped; `None` where no entry carries one.
    pub(super) last_time: Option<ClusterTime>,
    /// Why it must not be gone on with.
    pub(super) untrusted: Option<String>,
}

/// The same as JSON: the answer of `quorum show`, and what `--against` reads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Shown {
    pub(super) schema_version: u32,
    pub(super) kind: String,
    pub(super) cluster: String,
    pub(super) cluster_id: String,
    pub(super) incarnation: u32,
    pub(super) node: u64,
    pub(super) name: String,
    pub(super) keyed: bool,
    pub(super) voter: bool,
    pub(super) last: Option<EntryPlace>,
    pub(super) last_written_at: Option<String>,
    pub(super) committed_index: u64,
    pub(super) applied_index: u64,
    pub(super) purged_index: u64,
    pub(super) vote_term: u64,
    pub(super) members: Vec<ShownMember>,
    pub(super) changing: bool,
    pub(super) untrusted: Option<String>,
    pub(super) recovery_begun: bool,
}

/// One member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct ShownMember {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) peer_address: String,
    pub(super) voter: bool,
    pub(super) keyed: bool,
}

impl Survivor {
    /// Opens the directory; the caller holds its lock.
    pub(super) fn open(config: &Config, data: &DataDir) -> anyhow::Result<Self> {
        let identity = NodeIdentity::load(&data.identity()).context("this is not a node's directory")?;
        let key = storage_key(config, data, &identity)?;
        let seal = Arc::new(StorageSeal::new(key, identity.cluster, identity.node, &SystemEntropy));
        let untrusted = |why: anyhow::Error| RecoverError::Untrusted { why: format!("{why:#}") };
        let wal = Wal::open(data, log_identity(&identity), seal.clone(), WalOptions::default())
            .context("its log cannot be trusted")
            .map_err(untrusted)?;
        let snapshots = Snapshots::open(&data.snapshots(), seal.clone()).context("its snapshots cannot be read")?;
        let options =
            StateOptions { dir: data.state(), owner: owner(&identity), engine: config.engine, seal: seal.clone() };
        let opened = rebuild::open(&options, &snapshots).context("its state cannot be opened").map_err(untrusted)?;
        let meta = opened.store.meta();
        let log = wal.state();
        let place = |id: crate::storage::state::EntryId| EntryId { term: id.term, node: id.node, index: id.index };
        let applied = meta.applied.map(place);
        let mut survivor = Self {
            membership: membership_of_state(&meta.membership).context("its membership")?.unwrap_or_default(),
            last: log.last.max(applied),
            last_time: (meta.last_time != 0).then(|| ClusterTime::saturating_from_millis(meta.last_time)),
            untrusted: None,
            identity,
            seal,
            log,
            applied,
        };
        if applied < log.purged {
            let start = match &opened.start {
                Start::Rebuilt { reason, .. } => format!(" ({reason})"),
                Start::Created | Start::Verified | Start::Converted { .. } => String::new(),
            };
            survivor.untrusted =
                Some(format!("its state was lost{start}, and the log does not reach back to its snapshot"));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(survivor.follow(&wal))?;
        if survivor.untrusted.is_none() && survivor.membership.member(survivor.identity.node.0).is_none() {
            survivor.untrusted = Some("by its own log it is no member".to_owned());
        }
        Ok(survivor)
    }

    /// Reads what is not applied yet: memberships, and how late the last command is.
    async fn follow(&mut self, wal: &Wal) -> anyhow::Result<()> {
        let mut next = self.applied.map_or(0, |id| id.index + 1);
        let end = self.log.next_index();
        while next < end {
            let entries = wal.read(next..end, Some(READ_BYTES)).await.context("its log cannot be read")?;
            let Some(last) = entries.last() else { break };
            next = last.id.index + 1;
            for entry in &entries {
                if let Some(membership) = membership_of(&entry.payload)? {
                    self.membership = membership;
                } else if let Some(envelope) = proposal_of(&entry.payload)? {
                    let envelope = codec::decode_envelope(&envelope).context("an entry of its log does not decode")?;
                    self.last_time = self.last_time.max(Some(envelope.proposed_at));
                }
            }
        }
        Ok(())
    }

    /// What is told of it.
    pub(super) fn shown(&self, recovery_begun: bool) -> Shown {
        let index = |id: Option<EntryId>| id.map_or(0, |id| id.index);
        let members = self.membership.members.iter().map(|member| ShownMember {
            id: member.id,
            name: member.member.name.clone(),
            peer_address: member.member.peer_address.clone(),
            voter: member.voter,
            keyed: member.member.keyed,
        });
        Shown {
            schema_version: 1,
            kind: "survivor".to_owned(),
            cluster: self.identity.cluster_name.clone(),
            cluster_id: self.identity.cluster.to_string(),
            incarnation: self.identity.incarnation,
            node: self.identity.node.0,
            name: self.identity.name.clone(),
            keyed: self.identity.keyed,
            voter: self.membership.member(self.identity.node.0).is_some_and(|member| member.voter),
            last: self.last.map(EntryPlace::from),
            last_written_at: self.last_time.map(rfc3339),
            committed_index: index(self.log.committed.max(self.applied)),
            applied_index: index(self.applied),
            purged_index: index(self.log.purged),
            vote_term: self.log.vote.map_or(0, |vote| vote.term),
            members: members.collect(),
            changing: self.membership.configurations.len() > 1,
            untrusted: self.untrusted.clone(),
            recovery_begun,
        }
    }
}

fn rfc3339(time: ClusterTime) -> String {
    // Every cluster time lies within the years that this can tell.
    jiff::Timestamp::from_millisecond(time.millis()).map_or_else(|_| String::new(), |time| time.to_string())
}

impl Shown {
    /// The bound on the loss, as a sentence.
    pub(super) fn loss(&self) -> String {
        let index = self.last.map_or(0, |last| last.index);
        match &self.last_written_at {
            Some(at) => format!(
                "nothing up to entry {index}; what others acknowledged after it, so nothing that was acknowledged \
                 before {at}"
            ),
            None => format!("nothing up to entry {index}; whatever others acknowledged after it"),
        }
    }

    /// Of these, the one that has the most: the highest last term, then the highest last index, then the lowest number.
    pub(super) fn best<'a>(all: &[&'a Self]) -> Option<&'a Self> {
        let place = |shown: &Self| shown.last.map(EntryId::from);
        let fit = all.iter().copied().filter(|shown| shown.untrusted.is_none());
        fit.max_by(|a, b| place(a).cmp(&place(b)).then(b.node.cmp(&a.node)))
    }
}
