//! Which disks the registered directories of images are on, as the rows have it.

use super::facts::Media;
use crate::storage::state::StateStore;
use plantao_domain::rows::{self, PAGE_ROWS_MAX};
use plantao_domain::{NodeId, ViewFault};

/// What is registered of the directory of `us`, and who shares its disk; `None`: nothing is registered yet.
pub(super) fn media(state: &dyn StateStore, us: u64, name: impl Fn(u64) -> String) -> Result<Option<Media>, ViewFault> {
    let stores = rows::stores(state, None, PAGE_ROWS_MAX)?;
    let live = || stores.iter().filter(|(_, row)| row.retired_at.is_none());
    let Some((_, own)) = live().find(|(node, _)| *node == NodeId(us)) else { return Ok(None) };
    let shared = live().filter(|(node, row)| *node != NodeId(us) && row.disk == own.disk);
    Ok(Some(Media { registered: own.medium.clone(), shared_with: shared.map(|(node, _)| name(node.0)).collect() }))
}
