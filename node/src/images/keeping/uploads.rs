//! What the leader ends: uploads that nobody goes on with, and parts of uploads that ended without an image.
//!
//! Any node could propose these commands, and each is harmless when it comes twice; the leader does, because its view of
//! the rows is the latest. A leader that is cut off proposes in vain.

use super::Keeper;
use crate::gateway::Error;
use plantao_domain::rows::{self, PAGE_ROWS_MAX};
use plantao_domain::{Command, Outcome, Rejection, UploadId, View, ViewFault};
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long cluster time may stand still while tombstones wait for it.
const STANDSTILL_MAX: Duration = Duration::from_secs(10 * 60);
/// Parts that one look drops: each may make 512 tombstones, which share the log with bookings.
const DROPS_MAX: usize = 8;
/// Closed uploads that one look lists.
const CLOSED_MAX: usize = 32;

/// For as long as the node runs; idle while it does not lead.
pub async fn end_uploads(keeper: Keeper) {
    loop {
        sleep(LOOK_EVERY).await;
        if !keeper.gateway.consensus().leads() {
            continue;
        }
        if let Err(error) = step(&keeper).await
            && !matches!(error, Error::Unavailable { .. } | Error::Busy | Error::Unknown)
        {
            warn!(%error, "uploads that are over cannot be ended");
        }
    }
}

async fn step(keeper: &Keeper) -> Result<(), Error> {
    let progress = keeper.gateway.consensus().progress();
    // The leader's stamp of the next entry is at least this.
    let now = keeper.gateway.consensus().time();
    let state = keeper.gateway.state();
    if !rows::expired_uploads(&**state, now, 1)?.is_empty() {
        keeper.propose(Command::ExpireIntents).await?;
        info!("uploads that nobody went on with were ended");
    } else if rows::images_head(&**state)?.tombstones > 0 {
        // Tombstones wait for days of cluster time, which stands still while nobody writes: this entry ends nothing and
        // carries the time.
        let behind_ms = u64::try_from(now.millis().saturating_sub(progress.time.millis())).unwrap_or(0);
        if Duration::from_millis(behind_ms) >= STANDSTILL_MAX.min(keeper.options.delete_after) {
            keeper.propose(Command::ExpireIntents).await?;
        }
    }
    for (upload, part) in parts_to_drop(&**state)? {
        match keeper.propose(Command::DropPart { upload, part }).await? {
            // Somebody began an upload of this patient meanwhile: later.
            Outcome::Rejected(Rejection::StillInUse | Rejection::Unknown { .. }) => {}
            Outcome::Rejected(rejection) => warn!(%rejection, "a part of an ended upload was not dropped"),
            _ => {}
        }
    }
    Ok(())
}

/// Parts of closed uploads whose patient has no open one: while there is one, it may name the same chunks.
fn parts_to_drop(view: &dyn View) -> Result<Vec<(UploadId, u32)>, ViewFault> {
    let mut found = Vec::new();
    for (upload, row) in rows::closed_uploads(view, CLOSED_MAX)? {
        if !rows::open_uploads_of_patient(view, row.patient, 1)?.is_empty() {
            continue;
        }
        for (part, _) in rows::parts(view, upload, None, PAGE_ROWS_MAX)? {
            found.push((upload, part));
            if found.len() == DROPS_MAX {
                return Ok(found);
            }
        }
    }
    Ok(found)
}
