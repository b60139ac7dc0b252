//! `plantaod unseal`: a unit that has no root slot, or one that does not open any more, gets one from the paper passphrase.
//! The recovery slot is a row, so the unit must have run until it had caught up.

use super::ConfigArguments;
use crate::app::{owner, passphrase_cost, slot_secret, storage_key};
use crate::crypto::slots::SlotPlace;
use crate::crypto::{RecoveryPhrase, Slot, SlotFile, StorageSeal};
use crate::entropy::SystemEntropy;
use crate::storage::fs::{DataDir, read_bounded};
use crate::storage::identity::NodeIdentity;
use crate::storage::rebuild::{self, Options as StateOptions};
use crate::storage::snapshot::Snapshots;
use anyhow::{Context, ensure};
use plantao_domain::rows;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A passphrase is a line.
const PHRASE_BYTES_MAX: u64 = 4096;

/// Makes a stopped unit's root slot from the paper passphrase.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::UNSEAL)]
pub struct Unseal {
    #[command(flatten)]
    config: ConfigArguments,
    /// File with the paper passphrase; never an argument, where others could read it.
    #[arg(long, value_name = "FILE")]
    recovery_file: PathBuf,
}

/// The paper passphrase in a file.
///
/// # Errors
/// It cannot be read, or is none.
pub(super) fn read_phrase(path: &Path) -> anyhow::Result<RecoveryPhrase> {
    let bytes = Zeroizing::new(read_bounded(path, PHRASE_BYTES_MAX)?);
    let text = Zeroizing::new(String::from_utf8(bytes.to_vec()).context("the paper passphrase is no text")?);
    RecoveryPhrase::parse(text.trim()).context("this is no paper passphrase")
}

/// Runs it.
///
/// # Errors
/// The directory is in use or is no unit's, or the passphrase is another network's; the slot is as before then.
pub fn run(arguments: &Unseal) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let data = DataDir::new(&config.data_dir);
    let _lock = data.lock().context("the directory is in use: stop the node first")?;
    let identity = NodeIdentity::load(&data.identity()).context("this is not a node's directory")?;
    ensure!(identity.keyed, "node {} is off-site: it never holds the root key", identity.node);
    let source = config.root_slot.as_ref().context("slots.root is not configured: it says what wraps the root key")?;
    let secret = slot_secret(&config, source)?;
    let cost = passphrase_cost(&config)?;
    let phrase = read_phrase(&arguments.recovery_file)?;
    let key = storage_key(&config, &data, &identity)?;
    let seal = Arc::new(StorageSeal::new(key, identity.cluster, identity.node, &SystemEntropy));
    let snapshots = Snapshots::open(&data.snapshots(), seal.clone()).context("the snapshots cannot be read")?;
    let options = StateOptions { dir: data.state(), owner: owner(&identity), engine: config.engine, seal };
    let state = rebuild::open(&options, &snapshots).context("the state cannot be opened")?.store;
    let slot = rows::recovery_slot(&*state)?
        .context("this node has no copy of the recovery slot yet: run it until it has caught up, then stop it")?;
    let root = Slot::decode(&slot.0)?
        .open_recovery(identity.cluster, &phrase)
        .context("the paper passphrase does not open this network's recovery slot")?;
    let file = SlotFile::new(&data.slots(), "root");
    // Whatever is wrong with an old slot, the new one comes after it; one that cannot be read is replaced.
    let before = file.load().map_or(0, |loaded| loaded.slot.place().serial);
    let place = SlotPlace { cluster: identity.cluster, node: identity.node, serial: before.saturating_add(1) };
    file.store(&Slot::seal_root(&root, place, &secret, cost, &SystemEntropy)?)?;
    writeln!(
        std::io::stdout().lock(),
        "node {} ({}) has its root slot; start it with `plantaod run`",
        identity.node,
        identity.name
    )?;
    Ok(())
}
