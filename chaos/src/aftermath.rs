//! What every measurement under load looks at when the load is over: each acknowledged write on each node that opens content, the
//! copies, and whether anybody is booked twice.

use crate::ground::{say, yes};
use anyhow::Context;
use plantao_client::Cluster;
use plantao_node::local_network::LocalNetwork;
use plantao_node::local_network::checks::{AcknowledgedReport, OverlapReport, look_for, overlaps};
use plantao_node::local_network::load::{Ledger, Stage};
use serde::Serialize;
use std::collections::BTreeMap;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Aftermath {
    /// By node.
    pub(crate) acknowledged: BTreeMap<String, AcknowledgedReport>,
    /// Writes that nobody decided within their life.
    undecided: u64,
    /// Writes that were refused for no reason of the load's.
    failed: u64,
    first_failure: Option<String>,
    digests_equal: bool,
    overlaps: OverlapReport,
}

impl Aftermath {
    /// Of a load that has ended, when the network has come to rest.
    pub(crate) async fn of(
        network: &LocalNetwork,
        cluster: &Cluster,
        stage: &Stage,
        ledger: Ledger,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            acknowledged: acknowledged(network, cluster, stage, &ledger).await?,
            undecided: ledger.undecided.len() as u64,
            failed: ledger.failed,
            first_failure: ledger.first_failure,
            digests_equal: copies_are_equal(network).await?,
            overlaps: overlaps(cluster).await?,
        })
    }

    /// Whether nothing is lost, nothing is left open, the copies are one, and nobody is booked twice.
    pub(crate) fn holds(&self) -> bool {
        self.acknowledged.values().all(AcknowledgedReport::holds)
            && (self.undecided, self.failed) == (0, 0)
            && self.digests_equal
            && self.overlaps.holds()
    }

    /// For people.
    pub(crate) fn say(&self) {
        for (node, report) in &self.acknowledged {
            let all = report.bookings + report.records;
            say(&format!(
                "{node}: {} of {all} acknowledged writes there, {} lost, {} different, {} unexpected: {}",
                report.found,
                report.missing,
                report.different,
                report.unexpected,
                yes(report.holds())
            ));
        }
        let first = self.first_failure.as_deref().map(|first| format!(", first: {first}")).unwrap_or_default();
        say(&format!("undecided {}, failed {}{first}", self.undecided, self.failed));
        say_copies(self.digests_equal, &self.overlaps);
    }
}

/// Looks for every acknowledged write on each node that opens content.
pub(crate) async fn acknowledged(
    network: &LocalNetwork,
    cluster: &Cluster,
    stage: &Stage,
    ledger: &Ledger,
) -> anyhow::Result<BTreeMap<String, AcknowledgedReport>> {
    network.settle().await?;
    let mut found = BTreeMap::new();
    for node in network.nodes().iter().filter(|node| node.spec().keyed) {
        let only = cluster.only(&node.public()).context("a unit is not among the endpoints")?;
        found.insert(node.name().to_owned(), look_for(&only, stage, ledger).await?);
    }
    Ok(found)
}

/// Whether every node has the same rows and the same trail, at the same place of the log.
pub(crate) async fn copies_are_equal(network: &LocalNetwork) -> anyhow::Result<bool> {
    let digests = network.digests().await?;
    let of_all = digests.len() == network.nodes().len();
    Ok(of_all
        && digests.windows(2).all(|pair| {
            (pair[0].applied_index, &pair[0].content, &pair[0].chain)
                == (pair[1].applied_index, &pair[1].content, &pair[1].chain)
        }))
}

/// The last lines for people.
pub(crate) fn say_copies(are_equal: bool, overlaps: &OverlapReport) {
    say(&format!("copies equal: {}", yes(are_equal)));
    say(&format!("nobody booked twice in {} bookings: {}", overlaps.appointments, yes(overlaps.holds())));
}
