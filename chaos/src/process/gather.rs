//! What the network says when all is over, held against the history.

use super::site::Site;
use crate::checks::Findings;
use crate::checks::needles::{Needle, search as search_files};
use crate::checks::oracle::{Entry, Finale, Replay};
use crate::history::{Call, Outcome};
use crate::workload::{Clinic, NEEDLE, agenda_of, record_of};
use anyhow::Context;
use futures_util::TryStreamExt;
use plantao_client::services::LINEARIZABLE;
use plantao_client::{Cluster, ConnectOptions, Id};
use plantao_proto::public::v1;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::pin::pin;
use std::time::Duration;

/// Of a log that is kept.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// Compares the trail, each node's rows and the digests with what programs were told.
pub(super) async fn compare(
    site: &Site,
    clinic: &Clinic,
    calls: &[Call],
    whole: (i64, i64),
    write_life: Duration,
    findings: &mut Findings,
) -> anyhow::Result<()> {
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
    let trail = trail(&auditor).await.context("cannot read the audit trail")?;
    let replay = Replay::of(calls, &trail, findings);
    replay.check_writes(calls, findings);
    replay.check_reads(calls, findings);

    let programs = network.connect(&options)?;
    for node in network.nodes().iter().filter(|node| node.spec().keyed) {
        let only = programs.only(&node.public()).context("a unit is not among the endpoints")?;
        let mut finale = Finale { node: node.name().to_owned(), bookings: BTreeMap::new(), records: BTreeMap::new() };
        for unit in clinic.units() {
            let agenda = agenda_of(&only, *unit, whole).await;
            finale.bookings.append(&mut agenda.with_context(|| format!("cannot read an agenda of {}", node.name()))?);
        }
        for record in replay.records() {
            let found = record_of(&only, record).await;
            if let Some(found) = found.with_context(|| format!("cannot read a record of {}", node.name()))? {
                finale.records.insert(record, found);
            }
        }
        replay.check_finale(&finale, findings);
        let check = auditor.only(&node.public()).context("a unit is not among the endpoints")?;
        let check = check.verify_trail(v1::VerifyTrailRequest { read: Some(LINEARIZABLE) }).await?;
        findings.require(check.whole && check.entries > 0, "trail", || {
            format!("{}: the trail is broken at {}", node.name(), check.broken_at)
        });
    }
    let digests = network.digests().await?;
    let equal = digests.windows(2).all(|pair| {
        (pair[0].applied_index, &pair[0].content, &pair[0].chain, pair[0].rows)
            == (pair[1].applied_index, &pair[1].content, &pair[1].chain, pair[1].rows)
    });
    findings.require(equal && digests.len() == network.nodes().len(), "digests", || format!("{digests:?}"));
    Ok(())
}

async fn trail(auditor: &Cluster) -> Result<Vec<Entry>, plantao_client::Error> {
    let request = v1::ListEntriesRequest { read: Some(LINEARIZABLE), from_sequence: 1, ..Default::default() };
    let mut entries = pin!(auditor.entries(request));
    let mut trail = Vec::new();
    while let Some(entry) = entries.try_next().await? {
        // What nodes do by themselves has a request too, and none of the workload's.
        if let Ok(request) = Id::from_wire(&entry.request_id) {
            let (index, at_ms) = (entry.index, entry.at_ms);
            trail.push(Entry { index, at_ms, request, version: entry.version, refusal: entry.refusal });
        }
    }
    Ok(trail)
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
