//! How a recovered quorum is written, so that a crash anywhere leaves the old network or a half that is repeated.
//!
//! ```text
//! 1 recovery   what will be written, to the byte        before it: the old network; from it on the node does not run
//! 2 identity   the new incarnation                      from it on old members and this node refuse each other
//! 3 log        the vote of a higher term                synced with its watermark
//! 4 log        membership of one voter, NoteRecovery    synced; then `committed` up to them, synced by the close
//! 5 log        opened anew, as a start does, and compared
//! 6 recovery   removed                                  the node runs
//! ```
//! Never the log before the identity: a node of the old incarnation that takes itself for the only voter would lead beside
//! the old majority. State, CHECKPOINT and snapshots are prefixes of this log, so nothing in them is wrong; the next start
//! applies the entries and writes the incarnation into CHECKPOINT.

use super::error::RecoverError;
use crate::app::log_identity;
use crate::storage::fs::DataDir;
use crate::storage::identity::NodeIdentity;
use crate::storage::recovery::{self, BegunRecovery};
use crate::storage::seal::PayloadSeal;
use crate::storage::wal::{Ballot, EntryId, LogEntry, Wal, WalOptions};
use anyhow::{Context, bail, ensure};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The plan.
    Begun,
    /// The new incarnation.
    Identity,
    /// The vote.
    Vote,
    /// The entries.
    Entries,
    /// That they are committed.
    Committed,
}

/// What a test does after a step; an error ends there, as a crash would.
pub(super) type After<'a> = &'a mut dyn FnMut(Step) -> anyhow::Result<()>;

/// Writes all of it, or what is missing of it. The caller holds the directory's lock. May be repeated until it succeeds.
pub(super) async fn execute(
    data: &DataDir,
    plan: &BegunRecovery,
    seal: Arc<dyn PayloadSeal>,
    after: After<'_>,
) -> anyhow::Result<NodeIdentity> {
    if recovery::begun(data)?.is_none() {
        recovery::begin(data, plan)?;
    }
    after(Step::Begun)?;
    let mut identity = NodeIdentity::load(&data.identity()).context("the identity cannot be read")?;
    ensure!(
        identity.cluster.to_string() == plan.cluster && identity.node.0 == plan.node,
        "the recovery that was begun here is another node's"
    );
    if identity.incarnation < plan.incarnation {
        identity = identity
            .begin_incarnation(&data.identity(), plan.incarnation)
            .context("the new incarnation cannot be written")?;
    }
    after(Step::Identity)?;
    write_log(data, &identity, plan, Arc::clone(&seal), after).await?;
    verify(data, &identity, plan, seal).await?;
    recovery::finish(data)?;
    Ok(identity)
}

/// The entries of a plan, in order.
fn entries(plan: &BegunRecovery) -> Vec<LogEntry> {
    let first = plan.base.map_or(0, |base| base.index + 1);
    let ids = (first..).map(|index| EntryId { term: plan.term, node: plan.node, index });
    ids.zip(&plan.payloads).map(|(id, payload)| LogEntry { id, payload: payload.clone().into() }).collect()
}

async fn write_log(
    data: &DataDir,
    identity: &NodeIdentity,
    plan: &BegunRecovery,
    seal: Arc<dyn PayloadSeal>,
    after: After<'_>,
) -> anyhow::Result<()> {
    let wal = Wal::open(data, log_identity(identity), seal, WalOptions::default())
        .context("the log cannot be trusted any more")?;
    wal.save_vote(Ballot { term: plan.term, node: plan.node, committed: true })
        .await
        .context("the vote cannot be written")?;
    after(Step::Vote)?;
    let base = plan.base.map(EntryId::from);
    if let Some(base) = base.filter(|base| wal.state().last < Some(*base)) {
        // A snapshot led past the log: what lies between is in the state, as openraft's own start would find.
        wal.purge(base).await.context("the log cannot be brought to its snapshot")?;
    }
    let planned = entries(plan);
    let written = compare(&wal, base, &planned).await?;
    let missing = planned.get(written..).unwrap_or_default().to_vec();
    if !missing.is_empty() {
        let (tell, told) = oneshot::channel();
        wal.append(missing, move |synced| drop(tell.send(synced))).await.context("the entries cannot be written")?;
        told.await.context("the log stopped")?.context("the entries cannot be synced")?;
    }
    after(Step::Entries)?;
    wal.save_committed(planned.last().map(|entry| entry.id)).await.context("the log stopped")?;
    wal.close().await.context("the log cannot be closed in order")?;
    after(Step::Committed)
}

/// How many of the planned entries follow the base in the log; anything else there is refused.
async fn compare(wal: &Wal, base: Option<EntryId>, planned: &[LogEntry]) -> anyhow::Result<usize> {
    let first = base.map_or(0, |base| base.index + 1);
    let found = wal.read(first..u64::MAX, None).await.context("the log cannot be read")?;
    if found.len() > planned.len() || planned.get(..found.len()) != Some(&found) {
        let why = "its log went on since the recovery was begun".to_owned();
        bail!(super::error::told(&RecoverError::Untrusted { why }));
    }
    Ok(found.len())
}

/// Opens the log as the next start does and looks that it says what was planned.
async fn verify(
    data: &DataDir,
    identity: &NodeIdentity,
    plan: &BegunRecovery,
    seal: Arc<dyn PayloadSeal>,
) -> anyhow::Result<()> {
    let wal = Wal::open(data, log_identity(identity), seal, WalOptions::default())
        .context("the log that was written does not open")?;
    let planned = entries(plan);
    let last = planned.last().map(|entry| entry.id);
    let state = wal.state();
    let whole = compare(&wal, plan.base.map(EntryId::from), &planned).await? == planned.len();
    ensure!(whole && state.last == last && state.committed == last, "the log does not hold what was written to it");
    wal.close().await.context("the log cannot be closed in order")
}
