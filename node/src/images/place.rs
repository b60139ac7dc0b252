//! Which nodes an image goes to: those with stores that count, as `chunks::placement` chooses among them.

use crate::chunks::placement::{CANDIDATES_MAX, Candidate, Rules, place};
use plantao_domain::images::{Holders, PLACEMENT_NODES_MAX};
use plantao_domain::{ImageId, NodeId, View, ViewFault};

/// The nodes for an image, in ascending order. Units that are `away` are passed over if there are as many copies without
/// them; an off-site node never is, because its copy may come later. Where the rules cannot be kept, all nodes: whether
/// they are enough is for the rules of the network to say.
///
/// # Errors
/// The state cannot be read.
pub(super) fn choose(
    view: &dyn View,
    image: ImageId,
    away: impl Fn(&NodeId) -> bool,
) -> Result<Vec<NodeId>, ViewFault> {
    let holders = Holders::read(view)?;
    let candidates: Vec<Candidate> = holders
        .0
        .into_iter()
        .take(CANDIDATES_MAX)
        .map(|(node, holder)| Candidate {
            node,
            site: holder.site,
            country: holder.country,
            medium: holder.medium,
            is_off_site: holder.off_site,
        })
        .collect();
    let here: Vec<Candidate> =
        candidates.iter().filter(|candidate| candidate.is_off_site || !away(&candidate.node)).cloned().collect();
    let (wanted, reachable) = (places(image, &candidates), places(image, &here));
    Ok(if reachable.len() >= wanted.len() { reachable } else { wanted })
}

fn places(image: ImageId, candidates: &[Candidate]) -> Vec<NodeId> {
    // A network without an off-site node keeps images as well as it can, and each report says so.
    let off_site_min = usize::from(candidates.iter().any(|candidate| candidate.is_off_site));
    let rules = Rules { off_site_min, ..Rules::default() };
    let mut nodes = place(image.as_bytes(), candidates, &rules)
        .unwrap_or_else(|_| candidates.iter().map(|candidate| candidate.node).take(PLACEMENT_NODES_MAX).collect());
    nodes.sort_unstable();
    nodes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::images::keeping::testing::{Rows, incarnation};

    fn candidate(node: u64, is_off_site: bool) -> Candidate {
        Candidate {
            node: NodeId(node),
            site: format!("site-{node}"),
            country: "BR".to_owned(),
            medium: "ssd".to_owned(),
            is_off_site,
        }
    }

    #[test]
    fn a_network_without_an_off_site_node_is_placed_as_well_as_it_can_be() {
        let image = ImageId::from_bytes([7; 16]);
        let units: Vec<Candidate> = (1..=2).map(|node| candidate(node, false)).collect();
        assert_eq!(places(image, &units), [NodeId(1), NodeId(2)]);
        assert_eq!(places(image, &units[..1]), [NodeId(1)], "the rules of the network refuse it");
        assert!(places(image, &[]).is_empty());
        let many: Vec<Candidate> = (1..=6).map(|node| candidate(node, node == 6)).collect();
        let placed = places(image, &many);
        assert!(placed.len() == 3 && placed.contains(&NodeId(6)), "{placed:?}");
    }
    #[test]
    fn a_unit_that_is_away_is_passed_over_where_another_can_take_its_place() {
        let image = ImageId::from_bytes([7; 16]);
        let with = |nodes: &[(u8, bool)]| {
            let mut rows = Rows::default();
            for (node, keyed) in nodes {
                rows.holder((*node).into(), &format!("site-{node}"), *keyed, incarnation(*node));
            }
            rows.0
        };
        let four = with(&[(1, true), (2, true), (3, true), (4, false)]);
        for away in (1..=3).map(NodeId) {
            let chosen = choose(&four, image, |node| *node == away).unwrap();
            assert!(chosen.len() == 3 && !chosen.contains(&away) && chosen.contains(&NodeId(4)), "{away}: {chosen:?}");
        }
        // The off-site copy may come later; it is never given up for a third one nearby.
        let chosen = choose(&four, image, |node| *node == NodeId(4)).unwrap();
        assert!(chosen.len() == 3 && chosen.contains(&NodeId(4)), "{chosen:?}");
        // Without it there would be fewer copies: it is waited for.
        let three = with(&[(1, true), (2, true), (4, false)]);
        for away in [1, 2, 4].map(NodeId) {
            assert_eq!(choose(&three, image, |node| *node == away).unwrap(), [1, 2, 4].map(NodeId));
        }
    }
}
