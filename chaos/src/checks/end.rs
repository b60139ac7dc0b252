//! What the network says when all is over, held against the history: the trail decided again by the rules, and what every node
//! shows. Asked as any program asks, so it knows of no world.

use super::oracle::{self, Entry, Finale, Noted, Replay};
use super::watch::{self, Change, Screen};
use super::{Findings, images};
use crate::history::Call;
use crate::workload::{Album, Clinic, agenda_of, record_of};
use anyhow::Context;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use plantao_client::services::LINEARIZABLE;
use plantao_client::{Cluster, Id};
use plantao_proto::public::v1;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

/// Reads are noted on the node that shows them before they are shown, and soon after in the trail.
const NOTES_MAX: Duration = Duration::from_secs(5);
/// One after another, fifty nodes would be asked for longer than they worked.
const NODES_AT_ONCE: usize = 10;

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
    pub(crate) seed: u64,
    /// What photographers stored and saw.
    pub(crate) album: Album,
    /// Nodes that keep images.
    pub(crate) holders: usize,
    /// Somebody who followed all changes.
    pub(crate) screen: Screen,
    /// All days that programs booked in, from and to.
    pub(crate) whole: (i64, i64),
}

/// Compares the trail and each node's rows with what programs were told. Nothing of unknown outcome may still come.
///
/// # Errors
/// The network does not answer.
pub(crate) async fn compare(end: &End<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    // Notes of the last reads are on their way.
    tokio::time::sleep(NOTES_MAX).await;
    let Trail { entries: trail, noted, images_noted, changes } =
        trail(&end.auditor).await.context("cannot read the audit trail")?;
    let replay = Replay::of(end.calls, &trail, findings);
    replay.check_writes(end.calls, findings);
    replay.check_reads(end.calls, findings);
    oracle::check_noted(end.calls, &noted, findings);
    images::check_looks(&end.album, &images_noted, findings);
    images::check_all(end, findings).await?;
    end.screen.compare(&changes, findings).await;
    let records: Vec<Id> = replay.records().collect();
    let looks = end.nodes.iter().map(|node| look(end, node, &records));
    let mut looks = pin!(stream::iter(looks).buffered(NODES_AT_ONCE));
    while let Some(looked) = looks.next().await {
        let Looked { finale, silent, trail } = looked?;
        let name = &finale.node;
        silent.into_iter().for_each(|what| findings.add("end", format!("{name} does not show {what}")));
        replay.check_finale(&finale, findings);
        findings.require(trail.whole && trail.entries > 0, "trail", || {
            format!("{name}: the trail is broken at {}", trail.broken_at)
        });
    }
    Ok(())
}

/// What one node shows.
struct Looked {
    finale: Finale,
    /// What it did not show, and why.
    silent: Vec<String>,
    trail: v1::VerifyTrailResponse,
}

async fn look(end: &End<'_>, (name, address): &(String, String), records: &[Id]) -> anyhow::Result<Looked> {
    let only = end.programs.only(address).context("a node is not among the endpoints")?;
    let mut finale = Finale { node: name.clone(), bookings: BTreeMap::new(), records: BTreeMap::new() };
    let mut silent = Vec::new();
    for unit in end.clinic.units() {
        match agenda_of(&only, *unit, end.whole).await {
            Ok(mut agenda) => finale.bookings.append(&mut agenda),
            Err(error) => silent.push(format!("an agenda: {error}")),
        }
    }
    for record in records {
        match record_of(&only, *record).await {
            Ok(Some(found)) => drop(finale.records.insert(*record, found)),
            Ok(None) => {}
            Err(error) => silent.push(format!("record {record}: {error}")),
        }
    }
    let check = end.auditor.only(address).context("a node is not among the endpoints")?;
    let check = check.verify_trail(v1::VerifyTrailRequest { read: Some(LINEARIZABLE) }).await;
    Ok(Looked { finale, silent, trail: check.with_context(|| format!("{name} does not check its trail"))? })
}

/// The network's own account.
#[derive(Default)]
struct Trail {
    /// Requests that were decided.
    entries: Vec<Entry>,
    /// How often each version of a record was shown.
    noted: Noted,
    /// How often each image was.
    images_noted: images::Noted,
    /// What a screen must have seen.
    changes: Vec<Change>,
}

async fn trail(auditor: &Cluster) -> Result<Trail, plantao_client::Error> {
    let request = v1::ListEntriesRequest { read: Some(LINEARIZABLE), from_sequence: 1, ..Default::default() };
    let mut entries = pin!(auditor.entries(request));
    let mut trail = Trail::default();
    while let Some(entry) = entries.try_next().await? {
        if entry.refusal == 0 && entry.action != "read" && watch::is_followed(&entry.object_kind) {
            let (action, object) = (entry.action.clone(), entry.object_id.to_vec());
            trail.changes.push(Change { index: entry.index, action, object, version: entry.version });
        }
        // What nodes do by themselves has a request too, and none of the workload's.
        if let Ok(request) = Id::from_wire(&entry.request_id) {
            let (index, at_ms) = (entry.index, entry.at_ms);
            trail.entries.push(Entry { index, at_ms, request, version: entry.version, refusal: entry.refusal });
        } else if let Ok(object) = Id::from_wire(&entry.object_id)
            && (entry.action.as_str(), entry.refusal) == ("read", 0)
        {
            match entry.object_kind.as_str() {
                "record" => *trail.noted.entry((object, entry.version)).or_default() += 1,
                "image" => *trail.images_noted.entry(object).or_default() += 1,
                _ => {}
            }
        }
    }
    Ok(trail)
}
