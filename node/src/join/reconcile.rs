//! Makes the membership what the state says. Runs on every node, acts on the leader: another leader goes on where one
//! stopped, because both read the same rows.

use crate::consensus::types::Member;
use crate::gateway::Gateway;
use plantao_domain::rows;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

const PAUSE: Duration = Duration::from_millis(300);
const CHANGE_TIME_MAX: Duration = Duration::from_secs(10);

/// For as long as the node runs.
pub async fn reconcile_members(gateway: Gateway) {
    loop {
        sleep(PAUSE).await;
        if gateway.consensus().leads()
            && let Err(error) = step(&gateway).await
        {
            warn!(%error, "the membership is not yet as the state says");
        }
    }
}

async fn step(gateway: &Gateway) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let consensus = gateway.consensus();
    let cluster = rows::cluster(&**gateway.state())?;
    for (id, row) in gateway.nodes()? {
        // It may come back with an older incarnation's log, and would be let in by its row alone.
        if cluster.as_ref().is_some_and(|cluster| cluster.went_on_without(id)) {
            continue;
        }
        let status = consensus.status();
        if status.changing {
            return Ok(());
        }
        let deadline = Instant::now() + CHANGE_TIME_MAX;
        match status.member(id.0) {
            None => {
                let description = row.description;
                let member =
                    Member { name: description.name, peer_address: description.peer_address, keyed: description.keyed };
                consensus.add_learner(id.0, member, deadline).await?;
                info!(node = id.0, "node added as learner");
            }
            Some(member) if row.description.voter && !member.voter => {
                // Refused until it has caught up: the next round asks again.
                if consensus.promote(id.0, deadline).await.is_ok() {
                    info!(node = id.0, "learner promoted to voter");
                }
            }
            Some(_) => {}
        }
    }
    Ok(())
}
