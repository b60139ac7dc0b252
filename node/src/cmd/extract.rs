//! `plantaod extract`: every document from one stopped node's directory, its storage slot and the paper passphrase: what
//! is left when everything else burned. An off-site node's directory is enough.

use super::ConfigArguments;
use super::unseal::read_phrase;
use crate::app::{log_identity, owner, storage_key};
use crate::crypto::{Keyring, Slot, StorageSeal};
use crate::entropy::SystemEntropy;
use crate::gateway::Archive;
use crate::storage::fs::{DataDir, create_dir_durably};
use crate::storage::identity::NodeIdentity;
use crate::storage::rebuild::{self, Options as StateOptions};
use crate::storage::snapshot::Snapshots;
use crate::storage::state::StateStore;
use crate::storage::wal::{Wal, WalOptions};
use anyhow::{Context, ensure};
use plantao_domain::{LogId, Overlay, View, apply, codec, rows};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads every document with the paper passphrase and writes it out in clear.
#[derive(Debug, clap::Args)]
pub struct Extract {
    #[command(flatten)]
    config: ConfigArguments,
    /// File with the paper passphrase.
    #[arg(long, value_name = "FILE")]
    recovery_file: PathBuf,
    /// Empty or new directory for the documents. They are in clear there: keep it on a disk that may hold them.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs it.
///
/// # Errors
/// The directory is in use or damaged, or the passphrase is another network's.
pub fn run(arguments: &Extract) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let data = DataDir::new(&config.data_dir);
    let _lock = data.lock().context("the directory is in use: stop the node first")?;
    let identity = NodeIdentity::load(&data.identity()).context("this is not a node's directory")?;
    let phrase = read_phrase(&arguments.recovery_file)?;
    create_dir_durably(&arguments.out)?;
    let empty = std::fs::read_dir(&arguments.out)?.next().is_none();
    ensure!(empty, "{} is not empty", arguments.out.display());

    let key = storage_key(&config, &data, &identity)?;
    let seal = Arc::new(StorageSeal::new(key, identity.cluster, identity.node, &SystemEntropy));
    let snapshots = Snapshots::open(&data.snapshots(), seal.clone())?;
    let options =
        StateOptions { dir: data.state(), owner: owner(&identity), engine: config.engine, seal: seal.clone() };
    let state = rebuild::open(&options, &snapshots).context("the state cannot be opened")?.store;
    let wal =
        Wal::open(&data, log_identity(&identity), seal, WalOptions::default()).context("the log cannot be trusted")?;
    // The rows on disk may be older than the log: what is certainly committed is applied on top, in memory.
    let mut view = Overlay::new(&*state as &dyn View);
    replay(&wal, &*state, &mut view)?;

    let slot = rows::recovery_slot(&view)?.context("this node has no copy of the recovery slot yet")?;
    let root = Slot::decode(&slot.0)?
        .open_recovery(identity.cluster, &phrase)
        .context("the paper passphrase does not open this network's recovery slot")?;
    let keyring = Arc::new(Keyring::sealed(identity.cluster, Arc::new(SystemEntropy)));
    keyring.unseal(root)?;
    let archive = Archive::new(keyring, &view)?;
    let count = write_out(&archive, &arguments.out)?;
    writeln!(std::io::stdout().lock(), "{count} documents written to {}", arguments.out.display())?;
    Ok(())
}

fn replay(wal: &Wal, state: &dyn StateStore, view: &mut Overlay<'_, dyn View + '_>) -> anyhow::Result<()> {
    let applied = state.meta().applied.map_or(0, |id| id.index);
    let committed = wal.state().committed.map_or(0, |id| id.index);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut next = applied + 1;
    while next <= committed {
        let entries =
            runtime.block_on(wal.read(next..committed + 1, Some(1 << 20))).context("the log cannot be read")?;
        let Some(last) = entries.last() else { break };
        next = last.id.index + 1;
        for entry in &entries {
            let Some(payload) = crate::consensus::log_store::proposal_of(&entry.payload)? else { continue };
            let envelope = codec::decode_envelope(&payload).context("an entry of the log does not decode")?;
            let log_id = LogId { term: entry.id.term, index: entry.id.index };
            let changes = apply(&*view, log_id, &envelope).context("an entry of the log cannot be applied")?.changes;
            view.write(changes);
        }
    }
    Ok(())
}

fn write_out(archive: &Archive<'_>, out: &Path) -> anyhow::Result<u64> {
    let mut index = std::fs::File::create_new(out.join("index.ndjson"))?;
    let mut count = 0;
    for kind in ["patients", "records", "consents", "appointments"] {
        create_dir_durably(&out.join(kind))?;
    }
    archive.each(&mut |document| {
        let path = format!("{}/{}", document.folder, document.id);
        std::fs::write(out.join(&path), &*document.bytes)?;
        let line = json!({
            "path": path,
            "patient": document.patient,
            "kind": document.kind,
            "version": document.version,
            "bytes": document.bytes.len(),
        });
        writeln!(index, "{line}")?;
        count += 1;
        Ok(())
    })?;
    index.sync_all()?;
    Ok(count)
}
