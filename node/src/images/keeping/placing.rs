//! Images that stand on fewer nodes than the network could give them by now: committed before a node had joined, or placed on
//! one whose directory was given up. The leader places them anew; each node then fetches what it should hold.
//!
//! Nothing is looked at while the directories that count stay the same: then every image was placed among them.

use super::Keeper;
use crate::gateway::Error;
use crate::images::place::choose;
use plantao_domain::images::{COPIES_WANTED, Holders};
use plantao_domain::rows::{self, PAGE_ROWS_MAX};
use plantao_domain::{Command, NodeId, Outcome, UploadId, View, ViewFault};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

/// Between two looks at which directories count.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Images that are placed anew after one walk; the next one finds the rest.
const PLACED_MAX: usize = 256;

/// For as long as the node runs; idle while it does not lead.
pub async fn place_anew(keeper: Keeper) {
    let mut settled: Option<BTreeSet<NodeId>> = None;
    loop {
        sleep(LOOK_EVERY).await;
        if !keeper.gateway.consensus().leads() {
            // Another leader may have left something undone.
            settled = None;
            continue;
        }
        match step(&keeper, settled.as_ref()).await {
            Ok(now) => settled = now,
            Err(Error::Unavailable { .. } | Error::Busy | Error::Unknown) => {}
            Err(error) => warn!(%error, "images cannot be placed anew"),
        }
    }
}

/// The directories among which all images are placed; `None`: there is more to do.
async fn step(keeper: &Keeper, settled: Option<&BTreeSet<NodeId>>) -> Result<Option<BTreeSet<NodeId>>, Error> {
    let state = Arc::clone(keeper.gateway.state());
    let live: BTreeSet<NodeId> = Holders::read(&*state)?.0.into_keys().collect();
    if settled == Some(&live) {
        return Ok(Some(live));
    }
    // Every image is looked at: not on a thread that answers requests.
    let walk = crate::work::blocking(move || poor(&*state, PLACED_MAX));
    let found = walk.await.map_err(|_| Error::Unknown)??;
    let mut placed = 0;
    for (upload, placement) in &found {
        let command = Command::RePlace { upload: *upload, placement: placement.clone() };
        match keeper.propose(command).await? {
            Outcome::Rejected(rejection) => warn!(%rejection, "an image keeps too few places"),
            _ => placed += 1,
        }
    }
    if placed > 0 {
        info!(images = placed, "images were given places on further nodes");
    }
    Ok((found.len() < PLACED_MAX).then_some(live))
}

/// Images with fewer places than there could be, with the places that they should have; at most `limit`.
fn poor(view: &dyn View, limit: usize) -> Result<Vec<(UploadId, Vec<NodeId>)>, ViewFault> {
    let holders = Holders::read(view)?.0;
    let most = usize::try_from(COPIES_WANTED).unwrap_or(usize::MAX).min(holders.len());
    let has_off_site = holders.values().any(|holder| holder.off_site);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = rows::images(view, after, PAGE_ROWS_MAX)?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = Some(*last);
        for (image, row) in &page {
            let Some(upload) = rows::upload(view, row.upload)? else { continue };
            let kept: Vec<_> = upload.placement.iter().filter_map(|node| holders.get(node)).collect();
            let is_poor = kept.len() < most || has_off_site && !kept.iter().any(|holder| holder.off_site);
            if !is_poor {
                continue;
            }
            let placement = choose(view, *image, |_| false)?;
            if placement != upload.placement {
                found.push((row.upload, placement));
                if found.len() >= limit {
                    return Ok(found);
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::images::keeping::testing::{Rows, incarnation};

    #[test]
    fn an_image_that_was_placed_before_a_node_came_is_found_until_it_is_placed_there_too() {
        let mut rows = Rows::default();
        rows.holder(1, "centro", true, incarnation(1));
        rows.holder(2, "jardins", true, incarnation(2));
        rows.committed(1, &[NodeId(1), NodeId(2)]);
        rows.committed(2, &[NodeId(1), NodeId(2)]);
        assert_eq!(poor(&rows.0, 9).unwrap(), []);
        rows.holder(3, "cofre", false, incarnation(3));
        let found = poor(&rows.0, 9).unwrap();
        assert_eq!(found.len(), 2);
        let all = vec![NodeId(1), NodeId(2), NodeId(3)];
        assert!(found.iter().all(|(_, placement)| *placement == all), "{found:?}");
        assert_eq!(poor(&rows.0, 1).unwrap().len(), 1);
        rows.committed(1, &all);
        rows.committed(2, &all);
        assert_eq!(poor(&rows.0, 9).unwrap(), []);
    }
}
