//! Rows of what members are to be, and of the format level.

use super::{KeyRange, PAGE_ROWS_MAX, by_node, key, prefix, read};
use crate::id::NodeId;
use crate::layout::{LayoutRow, StandingRow};
use crate::upgrade::LevelRow;
use crate::view::{Order, View, ViewFault};

/// Key of what was decided about a node.
pub fn standing_key(node: NodeId) -> Vec<u8> {
    key(prefix::STANDING, &[&node.0.to_be_bytes()])
}

/// What was decided about a node after it joined; `None`: it is what it asked for.
pub fn standing(view: &dyn View, node: NodeId) -> Result<Option<StandingRow>, ViewFault> {
    read(view, &standing_key(node))
}

/// What was decided, in order of the nodes' numbers, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn standings(view: &dyn View, limit: usize) -> Result<Vec<(NodeId, StandingRow)>, ViewFault> {
    let range = KeyRange::with_start(key(prefix::STANDING, &[]));
    let found = view.range(&range.from, &range.to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found.iter().map(|(key, value)| by_node(key, value)).collect()
}

/// Key of the layout's row.
pub fn layout_key() -> Vec<u8> {
    key(prefix::LAYOUT, &[])
}

/// The layout's version and what is staged; version 0 before the first change.
pub fn layout(view: &dyn View) -> Result<LayoutRow, ViewFault> {
    Ok(read(view, &layout_key())?.unwrap_or_default())
}

/// Key of the level's row.
pub fn level_key() -> Vec<u8> {
    key(prefix::LEVEL, &[])
}

/// The format level; `None` while it is the first.
pub fn level(view: &dyn View) -> Result<Option<LevelRow>, ViewFault> {
    read(view, &level_key())
}
