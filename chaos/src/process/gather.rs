//! What the network says when all is over, held against the history.

use super::site::Site;
use crate::checks::Findings;
use crate::checks::end::{self, End};
use crate::checks::needles::{Needle, search as search_files};
use crate::checks::watch::Screen;
use crate::history::{Call, Outcome};
use crate::workload::{Album, Clinic, NEEDLE};
use anyhow::Context;
use plantao_client::{Cluster, ConnectOptions};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

/// Of a log that is kept.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// What programs did and saw.
pub(super) struct Gathered<'a> {
    pub(super) clinic: &'a Clinic,
    pub(super) calls: &'a [Call],
    pub(super) seed: u64,
    pub(super) album: Album,
    pub(super) screen: Screen,
    /// All days that programs booked in, from and to.
    pub(super) whole: (i64, i64),
}

/// Compares the trail, each node's rows and the digests with what programs were told.
pub(super) async fn compare(
    site: &Site,
    gathered: Gathered<'_>,
    write_life: Duration,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let Gathered { clinic, calls, seed, album, screen, whole } = gathered;
    if calls.iter().any(|call| call.outcome == Outcome::Unknown) {
        // Nothing of unknown outcome may still come after the trail was read.
        tokio::time::sleep(write_life + Duration::from_secs(1)).await;
    }
    let network = &site.network;
    if let Err(error) = network.settle().await {
        findings.add("settle", format!("the nodes do not agree after everything was healed: {error}"));
        return Ok(());
    }
    let options = ConnectOptions::default();
    let auditor = Cluster::open(&network.context("auditor"), &options).context("cannot open the audit trail")?;
    let programs = network.connect(&options)?;
    let nodes = network.nodes().iter().filter(|node| node.spec().keyed);
    let nodes = nodes.map(|node| (node.name().to_owned(), node.public())).collect();
    let holders = network.nodes().len();
    let end = End { auditor, programs, nodes, clinic, calls, seed, album, holders, screen, whole };
    end::compare(&end, findings).await?;
    let digests = network.digests().await?;
    let equal = digests.windows(2).all(|pair| {
        (pair[0].applied_index, &pair[0].content, &pair[0].chain, pair[0].rows)
            == (pair[1].applied_index, &pair[1].content, &pair[1].chain, pair[1].rows)
    });
    findings.require(equal && digests.len() == network.nodes().len(), "digests", || format!("{digests:?}"));
    Ok(())
}

/// Looks for what programs sent as content in data and logs of all nodes, which are stopped by now.
pub(super) fn search(site: &Site, findings: &mut Findings) -> anyhow::Result<()> {
    let needle = Needle::of(NEEDLE);
    for node in site.network.nodes() {
        let (found, bytes) = search_files(node.directory(), &needle).context("cannot search the files of a node")?;
        findings.searched_bytes += bytes;
        for file in found {
            let file = file.strip_prefix(node.directory()).unwrap_or(&file).to_owned();
            findings.add("plaintext", format!("{}: {}", node.name(), file.display()));
        }
    }
    Ok(())
}

/// The end of each node's log, by its name.
pub(super) fn logs(site: &Site) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let nodes = site.network.nodes().iter();
    let tails = nodes.map(|node| {
        let mut file = File::open(node.log())?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok((node.name().to_owned(), bytes))
    });
    tails.collect()
}
