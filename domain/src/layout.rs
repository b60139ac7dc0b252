//! Who is to be a member, as operators decided: the standing of each node, the staged layout, replacements. No rule here
//! knows Raft's membership, which follows: the leader makes it what these rows say, one step at a time, and another leader
//! goes on where one stopped.
//!
//! ```text
//! StageLayout ──► staged, version + 1 ──► ChangeMembers(version) ─┐
//! ChangeMembers(changes) ─────────────────────────────────────────┴─► standings, version + 1 ──► leader: one step at a time
//! PlanReplacement ─► token ─► RedeemJoinToken ─► learner that replaces ─► caught up: SucceedMember ─► standings
//! ```
//! A node that was removed never comes back: its number is never used again, and its chunk directory counts no more.

use crate::audit::Object;
use crate::case::{About, Case, Done, Ruling, Stop};
use crate::cluster::{self, JoinTokenRow, NodeRow};
use crate::command::Tag;
use crate::id::{ActorId, NodeId};
use crate::images;
use crate::outcome::{Rejection, What};
use crate::rows;
use crate::time::ClusterTime;
use crate::view::{Changes, View, ViewFault};
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// A reason in clear, for operators; at most so many bytes. It must name no patient.
pub const REASON_BYTES_MAX: usize = 200;
/// Changes in one command, and changes that may be staged.
pub const CHANGES_MAX: usize = 50;
/// Fewer voters than these bear no loss at all.
pub const VOTERS_SAFE_MIN: usize = 3;
/// Nodes of one network, those that were removed included: far above any.
const NODES_MAX: usize = 1_000;

/// What a node is to be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Standing {
    /// A member that votes.
    #[n(0)]
    Voter,
    /// A member that replicates and does not vote.
    #[n(1)]
    Learner,
    /// No member, for ever.
    #[n(2)]
    Removed,
}

/// What one node is to become.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
pub struct MemberChange {
    /// Which.
    #[n(0)]
    pub node: NodeId,
    /// What.
    #[n(1)]
    pub to: Standing,
}

/// What was decided about a node after it joined.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct StandingRow {
    /// What it is to be.
    #[n(0)]
    pub standing: Standing,
    /// Since when.
    #[n(1)]
    pub changed_at: ClusterTime,
    /// Who decided.
    #[n(2)]
    pub by: ActorId,
    /// Why, at most [`REASON_BYTES_MAX`]; empty for what follows from a decision before.
    #[n(3)]
    pub reason: String,
    /// The node whose place it takes, once it has caught up.
    #[n(4)]
    pub replaces: Option<NodeId>,
}

/// What a join token replaces.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Replacement {
    /// The node whose place is taken.
    #[n(0)]
    pub node: NodeId,
    /// Who decided.
    #[n(1)]
    pub by: ActorId,
    /// Why.
    #[n(2)]
    pub reason: String,
}

/// The version of all standings, and what is staged.
#[derive(Clone, PartialEq, Eq, Default, Debug, Encode, Decode)]
pub struct LayoutRow {
    /// Grows with each change of a standing or of what is staged.
    #[n(0)]
    pub version: u32,
    /// By node, each once; what is so already is not in it.
    #[n(1)]
    pub staged: Vec<MemberChange>,
    /// Who staged last.
    #[n(2)]
    pub staged_by: Option<ActorId>,
}

/// What every node that ever joined is to be.
pub type Standings = BTreeMap<NodeId, Standing>;

/// What every node that ever joined is to be: what was decided, else what it asked for and its token allowed. Nodes that a
/// recovered quorum went on without are removed.
///
/// # Errors
/// The rows cannot be read.
pub fn standings(view: &dyn View) -> Result<Standings, ViewFault> {
    let cluster = rows::cluster(view)?;
    let decided: BTreeMap<NodeId, StandingRow> = rows::standings(view, NODES_MAX)?.into_iter().collect();
    let nodes = rows::nodes(view, None, NODES_MAX)?;
    let standing = |id: &NodeId, row: &NodeRow| {
        if cluster.as_ref().is_some_and(|cluster| cluster.went_on_without(*id)) {
            return Standing::Removed;
        }
        let asked = if row.description.voter { Standing::Voter } else { Standing::Learner };
        decided.get(id).map_or(asked, |row| row.standing)
    };
    Ok(nodes.iter().map(|(id, row)| (*id, standing(id, row))).collect())
}

/// Whether the node was removed for good, or a recovered quorum went on without it.
///
/// # Errors
/// The rows cannot be read.
pub fn is_removed(view: &dyn View, node: NodeId) -> Result<bool, ViewFault> {
    let decided = rows::standing(view, node)?.is_some_and(|row| row.standing == Standing::Removed);
    Ok(decided || rows::cluster(view)?.is_some_and(|cluster| cluster.went_on_without(node)))
}

/// Nodes that are to vote.
pub fn voters(standings: &Standings) -> usize {
    standings.values().filter(|standing| **standing == Standing::Voter).count()
}

/// `standings` after `changes`.
///
/// # Errors
/// A node that is not known or was removed.
pub fn after(standings: &Standings, changes: &[MemberChange]) -> Result<Standings, Rejection> {
    let mut after = standings.clone();
    for change in changes {
        let standing = after.get_mut(&change.node).ok_or(Rejection::Unknown { what: What::Node })?;
        if *standing == Standing::Removed && change.to != Standing::Removed {
            return Err(Rejection::NodeRemoved);
        }
        *standing = change.to;
    }
    Ok(after)
}

/// What a change comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preview {
    /// The layout as it is.
    pub layout: LayoutRow,
    /// Standings as they are.
    pub before: Standings,
    /// Standings as they would be.
    pub after: Standings,
}

/// What [`crate::Command::ChangeMembers`] would come to now, or why it would be refused.
///
/// # Errors
/// The rows cannot be read.
pub fn preview(
    view: &dyn View,
    changes: &[MemberChange],
    version: u32,
    allow_fewer_voters: bool,
) -> Result<Result<Preview, Rejection>, ViewFault> {
    let layout = rows::layout(view)?;
    let before = standings(view)?;
    let is_staged = changes.is_empty();
    if (is_staged || version != 0) && version != layout.version {
        return Ok(Err(Rejection::StaleVersion { current: layout.version }));
    }
    if is_staged && layout.staged.is_empty() {
        return Ok(Err(Rejection::NothingStaged));
    }
    let after = match after(&before, if is_staged { &layout.staged } else { changes }) {
        Ok(after) => after,
        Err(rejection) => return Ok(Err(rejection)),
    };
    let left = voters(&after);
    if left < voters(&before) && left < VOTERS_SAFE_MIN && (left == 0 || !allow_fewer_voters) {
        return Ok(Err(Rejection::TooFewVoters { voters: u32::try_from(left).unwrap_or(u32::MAX) }));
    }
    Ok(Ok(Preview { layout, before, after }))
}

/// Standings of nodes change, by their list or as staged.
pub(crate) fn change(
    case: &Case<'_>,
    changes: &[MemberChange],
    version: u32,
    reason: &str,
    allow_fewer_voters: bool,
) -> Ruling {
    let is_staged = changes.is_empty();
    let Preview { layout, before, after: wanted } = preview(case.view, changes, version, allow_fewer_voters)??;
    let decided: Vec<MemberChange> = wanted
        .iter()
        .filter(|(node, to)| before.get(node) != Some(to))
        .map(|(node, to)| MemberChange { node: *node, to: *to })
        .collect();
    if decided.is_empty() && !is_staged {
        return Ok(Done::unchanged(layout.version));
    }
    let mut rows_changed = Changes::new();
    for change in &decided {
        decide(case, *change, reason, &mut rows_changed)?;
    }
    let staged = if is_staged { Vec::new() } else { kept(&layout.staged, &wanted) };
    let version = put_layout(&mut rows_changed, LayoutRow { staged, ..layout });
    Ok(about(Done::changed(version, rows_changed), &decided))
}

/// Changes are put down beside those that are staged already, to be looked at before they are applied; none takes all back.
pub(crate) fn stage(case: &Case<'_>, seen_version: u32, changes: &[MemberChange]) -> Ruling {
    let layout = rows::layout(case.view)?;
    if seen_version != layout.version {
        return Err(Rejection::StaleVersion { current: layout.version }.into());
    }
    let now = standings(case.view)?;
    let mut staged: BTreeMap<NodeId, Standing> = BTreeMap::new();
    if !changes.is_empty() {
        staged.extend(layout.staged.iter().map(|change| (change.node, change.to)));
        staged.extend(changes.iter().map(|change| (change.node, change.to)));
    }
    let staged: Vec<MemberChange> = staged.into_iter().map(|(node, to)| MemberChange { node, to }).collect();
    let wanted = after(&now, &staged)?;
    let staged: Vec<MemberChange> =
        staged.into_iter().filter(|change| now.get(&change.node) != wanted.get(&change.node)).collect();
    if staged == layout.staged {
        return Ok(Done::unchanged(layout.version));
    }
    if staged.len() > CHANGES_MAX {
        return Err(Rejection::Invalid { field: crate::outcome::Field::Node }.into());
    }
    let mut changed = Changes::new();
    let by = Some(case.actor.id);
    let version = put_layout(&mut changed, LayoutRow { staged, staged_by: by, ..layout });
    Ok(about(Done::changed(version, changed), changes))
}

/// A token for a node that takes the place of `node`. An earlier one for the same place is taken back.
pub(crate) fn plan_replacement(
    case: &Case<'_>,
    token: &Tag,
    not_after: ClusterTime,
    node: NodeId,
    reason: &str,
) -> Ruling {
    let standings = standings(case.view)?;
    let standing = *standings.get(&node).ok_or(Rejection::Unknown { what: What::Node })?;
    if standing == Standing::Removed {
        return Err(Rejection::NodeRemoved.into());
    }
    let under_way = rows::standings(case.view, NODES_MAX)?
        .iter()
        .any(|(_, row)| row.replaces == Some(node) && row.standing != Standing::Removed);
    if under_way {
        return Err(Rejection::ReplacementUnderWay.into());
    }
    let described = rows::node(case.view, node)?.ok_or(Rejection::Unknown { what: What::Node })?.description;
    let replaces = Some(Replacement { node, by: case.actor.id, reason: reason.to_owned() });
    let (keyed, voter) = (described.keyed, standing == Standing::Voter);
    let row = JoinTokenRow { token: *token, not_after, keyed, voter, replaces };
    let mut done = cluster::create_token(case, row)?;
    for old in rows::join_tokens(case.view, cluster::TOKENS_MAX)? {
        if old.token != *token && old.replaces.as_ref().is_some_and(|replaces| replaces.node == node) {
            rows::delete(&mut done.changes, rows::join_token_key(&old.token));
        }
    }
    Ok(done)
}

/// The standing of a node that joins in the place of another: a learner until the leader says that it has caught up.
pub(crate) fn joined(case: &Case<'_>, changes: &mut Changes, new: NodeId, replaces: Replacement) {
    let Replacement { node, by, reason } = replaces;
    let row = StandingRow { standing: Standing::Learner, changed_at: case.at, by, reason, replaces: Some(node) };
    rows::put(changes, rows::standing_key(new), &row);
}

/// `new` gets what `old` is, and `old` is removed, or a learner from now on where it may come back.
pub(crate) fn succeed(case: &Case<'_>, old: NodeId, new: NodeId, keep_old: bool) -> Ruling {
    let standings = standings(case.view)?;
    let unknown = Rejection::Unknown { what: What::Node };
    let (is, of_new) = (*standings.get(&old).ok_or(unknown.clone())?, *standings.get(&new).ok_or(unknown)?);
    let layout = rows::layout(case.view)?;
    if is == Standing::Removed || old == new {
        return Ok(Done::unchanged(layout.version));
    }
    if of_new == Standing::Removed {
        return Err(Rejection::NodeRemoved.into());
    }
    let of_old = if keep_old { Standing::Learner } else { Standing::Removed };
    let takes = if is == Standing::Voter { Standing::Voter } else { of_new };
    let decided = [MemberChange { node: new, to: takes }, MemberChange { node: old, to: of_old }];
    let reason = rows::standing(case.view, new)?.map(|row| row.reason).unwrap_or_default();
    let mut changed = Changes::new();
    for change in decided {
        decide(case, change, &reason, &mut changed)?;
    }
    let staged = kept(&layout.staged, &after(&standings, &decided)?);
    let version = put_layout(&mut changed, LayoutRow { staged, ..layout });
    Ok(about(Done::changed(version, changed), &decided))
}

/// Writes one standing; the chunk directory of a node that goes counts no more from here on.
fn decide(case: &Case<'_>, change: MemberChange, reason: &str, changes: &mut Changes) -> Result<(), Stop> {
    let before = rows::standing(case.view, change.node)?;
    let row = StandingRow {
        standing: change.to,
        changed_at: case.at,
        by: case.actor.id,
        reason: reason.to_owned(),
        replaces: before.and_then(|row| row.replaces),
    };
    rows::put(changes, rows::standing_key(change.node), &row);
    if change.to == Standing::Removed
        && let Some(store) = rows::store(case.view, change.node)?
    {
        changes.extend(images::retire_store(case, change.node, store.incarnation)?.changes);
    }
    Ok(())
}

/// What is staged and still would change something.
fn kept(staged: &[MemberChange], now: &Standings) -> Vec<MemberChange> {
    let changes =
        |change: &&MemberChange| now.get(&change.node).is_some_and(|is| *is != Standing::Removed && *is != change.to);
    staged.iter().filter(changes).copied().collect()
}

fn put_layout(changes: &mut Changes, layout: LayoutRow) -> u32 {
    let version = layout.version.saturating_add(1);
    rows::put(changes, rows::layout_key(), &LayoutRow { version, ..layout });
    version
}

/// The trail gets an entry for each node.
fn about(done: Done, changes: &[MemberChange]) -> Done {
    let of = |change: &MemberChange| About { object: Object::Node(change.node), patient: None, unit: None };
    Done { about: changes.iter().map(of).collect(), ..done }
}
