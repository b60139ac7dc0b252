//! Enough sites for an upload: two before its commit, with other nodes for those that take nothing, and the further copies
//! after it, of which the log is told.

use super::copies::{Copies, Site};
use super::error::Error;
use super::session::Session;
use super::{Images, place};
use crate::gateway::Written;
use plantao_domain::images::{Holders, SITES_MIN};
use plantao_domain::planted::{Bug, planted};
use plantao_domain::{Command, NodeId, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often other nodes are looked for while a placed one does not take anything and somebody waits …
const PLACE_EVERY: Duration = Duration::from_secs(3);
/// … and when nobody does any more: a node that only starts again should keep its copies.
const TRAIL_PLACE_EVERY: Duration = Duration::from_secs(30);
/// How long the node that took an image brings further copies; afterwards repair does.
const TRAIL_TIME_MAX: Duration = Duration::from_secs(15 * 60);

impl Images {
    pub(super) fn sites_of(&self, placement: &[NodeId]) -> Result<BTreeMap<NodeId, Site>, Error> {
        let holders = Holders::read(&**self.gateway().state())?;
        let site = |node: &NodeId| {
            let holder = holders.0.get(node)?;
            let is_local = *node == self.node();
            let site = Site {
                name: holder.site.clone(),
                is_off_site: holder.off_site,
                is_local,
                is_thin: !is_local && self.peers().links().is_thin(*node),
            };
            Some((*node, site))
        };
        Ok(placement.iter().filter_map(site).collect())
    }

    /// Waits until every chunk is durable on two sites. While a node does not take what it is given, others are looked
    /// for.
    pub(super) async fn wait_for_two_sites(&self, session: &Arc<Session>, deadline: Instant) -> bool {
        loop {
            let until = deadline.min(Instant::now() + PLACE_EVERY);
            if session.wait_until(until, |copies| copies.sites() >= SITES_MIN || planted(Bug::OneSiteEnough)).await {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            self.keep_alive(session).await;
            self.place_again(session, PLACE_EVERY).await;
        }
    }

    /// Proposes other nodes for those that take nothing, if there are any.
    async fn place_again(&self, session: &Arc<Session>, every: Duration) {
        let failing = session.look(Copies::failing);
        if failing.is_empty() || !session.is_placing_due(every) {
            return;
        }
        let view = &**self.gateway().state();
        let Ok(mut nodes) = place::choose(view, session.row.image, |node| failing.contains(node)) else { return };
        let before: BTreeSet<NodeId> = session.look(Copies::nodes).into_iter().collect();
        if nodes.iter().all(|node| before.contains(node)) {
            return;
        }
        // An off-site node that cannot be reached now stays: its copy comes later, as that of any other image.
        if let Ok(sites) = self.sites_of(&before.iter().copied().collect::<Vec<_>>()) {
            nodes.extend(sites.into_iter().filter(|(_, site)| site.is_off_site).map(|(node, _)| node));
        }
        nodes.sort_unstable();
        nodes.dedup();
        let command = Command::RePlace { upload: session.upload, placement: nodes.clone() };
        match self.propose(command).await {
            Ok(Written { outcome: Outcome::Confirmed { .. }, .. }) => {
                let Ok(sites) = self.sites_of(&nodes) else { return };
                let fresh: Vec<NodeId> = sites.keys().filter(|node| !before.contains(node)).copied().collect();
                session.change(|copies| copies.place_again(sites));
                for node in fresh {
                    session.feed(self, node);
                }
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "an upload was not placed again"),
        }
    }
}

/// Brings the further copies of a committed image, and tells the log of each.
pub(super) async fn trail(images: Images, session: Arc<Session>) {
    let deadline = Instant::now() + TRAIL_TIME_MAX;
    session.change(Copies::feed_all);
    loop {
        session.touch();
        let news = |copies: &Copies| !copies.untold_receipts().is_empty() || copies.is_complete();
        let until = deadline.min(Instant::now() + TRAIL_PLACE_EVERY);
        let is_new = session.wait_until(until, news).await;
        if session.stop.is_cancelled() || Instant::now() >= deadline {
            break;
        }
        if !is_new {
            images.place_again(&session, TRAIL_PLACE_EVERY).await;
            continue;
        }
        let receipts = session.look(Copies::untold_receipts);
        if receipts.is_empty() {
            break;
        }
        match images.propose(Command::PutReceipts { receipts: receipts.clone() }).await {
            Ok(_) => session.change(|copies| copies.told(&receipts)),
            Err(error) => {
                tracing::debug!(%error, "receipts of further copies wait");
                tokio::time::sleep(PLACE_EVERY).await;
            }
        }
    }
    images.drop_session(&session);
}
