//! Says through the log which chunk directory of this node counts, before it gives a receipt; and again when it was
//! lost or moved.

use super::local::LocalChunks;
use crate::chunks::disk_identity;
use crate::gateway::{Error, Gateway, propose_as_node};
use plantao_client::identity::Identity;
use plantao_domain::{Command, Outcome, rows};
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

/// Between two looks at the directory. A put that meets a lost one fails before.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// After a failure, for instance while there is no leader.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// For as long as the node runs. `medium` is what the configuration says the copies rest on.
pub async fn register_store(gateway: Gateway, identity: Identity, chunks: LocalChunks, medium: String) {
    let mut told = None;
    loop {
        match step(&gateway, &identity, &chunks, &medium).await {
            Ok(()) => {
                told = None;
                sleep(LOOK_EVERY).await;
            }
            Err(error) => {
                let text = error.to_string();
                // Waiting for a leader or for this node's own row is how every start begins.
                if !matches!(error, StepError::Propose(Error::Unavailable { .. } | Error::Busy | Error::Unknown))
                    && told.as_ref() != Some(&text)
                {
                    warn!(error = %text, "the chunk directory of this node does not count yet");
                    told = Some(text);
                }
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("the directory cannot be looked at")]
    Look,
    #[error("a lost chunk directory cannot be made anew")]
    Renew,
    #[error("{0}")]
    Propose(#[source] Error),
    #[error("the network refuses this chunk directory: {0}")]
    Refused(plantao_domain::Rejection),
}

async fn step(gateway: &Gateway, identity: &Identity, chunks: &LocalChunks, medium: &str) -> Result<(), StepError> {
    let Some(store) = chunks.store().cloned() else { return Ok(()) };
    let look = move || {
        let directory = store.directory();
        if !directory.is_there() {
            let lost = directory.incarnation();
            let fresh = directory.renew().map_err(|_| StepError::Renew)?;
            if fresh != lost {
                warn!(path = %directory.path().display(), "the chunk directory was lost; a new one takes its place");
            }
        }
        let disk = disk_identity::disk_of(directory.path()).map_err(|_| StepError::Look)?;
        Ok((directory.incarnation(), disk))
    };
    let (incarnation, disk) = crate::work::blocking(look).await.map_err(|_| StepError::Look)??;
    let node = chunks.node();
    let row = rows::store(&**chunks.state(), node).map_err(|fault| StepError::Propose(fault.into()))?;
    let same = row.is_some_and(|row| row.incarnation == incarnation && row.disk == disk && row.medium == medium);
    if same {
        return Ok(());
    }
    if rows::node(&**chunks.state(), node).map_err(|fault| StepError::Propose(fault.into()))?.is_none() {
        // This node's own row has not arrived yet.
        return Err(StepError::Propose(Error::Unavailable { why: "this node is not registered yet" }));
    }
    let command = Command::RegisterStore { node, incarnation, disk, medium: medium.to_owned() };
    let written = propose_as_node(gateway, identity, command).await.map_err(StepError::Propose)?;
    match written.outcome {
        Outcome::Rejected(rejection) => Err(StepError::Refused(rejection)),
        _ => {
            info!(node = node.0, "the chunk directory counts");
            Ok(())
        }
    }
}
