//! Which nodes an image goes to: those with stores that count, as `chunks::placement` chooses among them.

use crate::chunks::placement::{CANDIDATES_MAX, Candidate, Rules, place};
use plantao_domain::images::{Holders, PLACEMENT_NODES_MAX};
use plantao_domain::{ImageId, NodeId, View, ViewFault};
use std::collections::BTreeSet;

/// The nodes for an image, in ascending order, without those in `without`, unless nothing is left then. Where the rules
/// cannot be kept, all nodes: whether they are enough is for the rules of the network to say.
///
/// # Errors
/// The state cannot be read.
pub(super) fn choose(view: &dyn View, image: ImageId, without: &BTreeSet<NodeId>) -> Result<Vec<NodeId>, ViewFault> {
    let holders = Holders::read(view)?;
    let candidates: Vec<Candidate> = holders
        .0
        .iter()
        .filter(|(node, _)| !without.contains(node))
        .take(CANDIDATES_MAX)
        .map(|(node, holder)| Candidate {
            node: *node,
            site: holder.site.clone(),
            country: holder.country.clone(),
            medium: holder.medium.clone(),
            is_off_site: holder.off_site,
        })
        .collect();
    // A network without an off-site node keeps images as well as it can, and each report says so.
    let off_site_min = usize::from(candidates.iter().any(|candidate| candidate.is_off_site));
    let rules = Rules { off_site_min, ..Rules::default() };
    let mut nodes = place(image.as_bytes(), &candidates, &rules)
        .unwrap_or_else(|_| candidates.iter().map(|candidate| candidate.node).take(PLACEMENT_NODES_MAX).collect());
    nodes.sort_unstable();
    Ok(nodes)
}
