//! What the network says when all is over, held against the history: the trail decided again by the rules, and what every node
//! shows. Asked as any program asks, so it knows of no world.

use super::Findings;
use super::oracle::{Entry, Finale, Replay};
use crate::history::Call;
use crate::workload::{Clinic, agenda_of, record_of};
use anyhow::Context;
use futures_util::TryStreamExt;
use plantao_client::services::LINEARIZABLE;
use plantao_client::{Cluster, Id};
use plantao_proto::public::v1;
use std::collections::BTreeMap;
use std::pin::pin;

/// A network at the end, and what was done in it.
pub(crate) struct End<'a> {
    /// Reads the trail.
    pub(crate) auditor: Cluster,
    /// Reads the rest.
    pub(crate) programs: Cluster,
    /// Name and public address of every node that opens content.
    pub(crate) nodes: Vec<(String, String)>,
    pub(crate) clinic: &'a Clinic,
    pub(crate) calls: &'a [Call],
    /// All days that programs booked in, from and to.
    pub(crate) whole: (i64, i64),
}

/// Compares the trail and each node's rows with what programs were told. Nothing of unknown outcome may still come.
///
/// # Errors
/// The network does not answer.
pub(crate) async fn compare(end: &End<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    let trail = trail(&end.auditor).await.context("cannot read the audit trail")?;
    let replay = Replay::of(end.calls, &trail, findings);
    replay.check_writes(end.calls, findings);
    replay.check_reads(end.calls, findings);
    for (name, address) in &end.nodes {
        let only = end.programs.only(address).context("a node is not among the endpoints")?;
        let mut finale = Finale { node: name.clone(), bookings: BTreeMap::new(), records: BTreeMap::new() };
        for unit in end.clinic.units() {
            let agenda = agenda_of(&only, *unit, end.whole).await;
            finale.bookings.append(&mut agenda.with_context(|| format!("cannot read an agenda of {name}"))?);
        }
        for record in replay.records() {
            let found = record_of(&only, record).await;
            if let Some(found) = found.with_context(|| format!("cannot read a record of {name}"))? {
                finale.records.insert(record, found);
            }
        }
        replay.check_finale(&finale, findings);
        let check = end.auditor.only(address).context("a node is not among the endpoints")?;
        let check = check.verify_trail(v1::VerifyTrailRequest { read: Some(LINEARIZABLE) }).await?;
        findings.require(check.whole && check.entries > 0, "trail", || {
            format!("{name}: the trail is broken at {}", check.broken_at)
        });
    }
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
