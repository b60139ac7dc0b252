//! `plantaod init`: the first node of a new network.
//!
//! It makes the cluster's keys, this node's identity, log, state and slots, begins a Raft group of one, and commits
//! `CreateCluster`. The paper passphrase is written once; nobody can ask for it again.

use super::ConfigArguments;
use crate::app::{Core, Platform, certificates, passphrase_cost, slot_secret};
use crate::config::Config;
use crate::consensus::types::Member;
use crate::crypto::slots::SlotPlace;
use crate::crypto::{NewCluster, RecoveryPhrase, Slot, SlotFile, StorageKey, StorageSeal};
use crate::entropy::random;
use crate::gateway::{node_actor, node_envelope};
use crate::storage::fs::DataDir;
use crate::storage::identity::NodeIdentity;
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use plantao_client::identity::Identity;
use plantao_domain::cluster::NodeDescription;
use plantao_domain::command::Sealed;
use plantao_domain::{ClusterId, Command, NodeId, Outcome, codec};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const BEGIN_TIME_MAX: Duration = Duration::from_secs(30);

/// Makes the first node of a new network.
#[derive(Debug, clap::Args)]
pub struct Init {
    #[command(flatten)]
    config: ConfigArguments,
    /// Name of the network: lowercase letters, digits, hyphens; the one in its certificates.
    #[arg(long, value_name = "NAME")]
    cluster: String,
    /// Where the paper passphrase goes, outside the data directory; - prints it.
    #[arg(long, value_name = "FILE")]
    recovery_file: PathBuf,
}

/// Runs it.
///
/// # Errors
/// Anything that is not as it must be; nothing is left half made that `init` would take for a node.
pub async fn run(arguments: &Init) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let identity = begin(&config, &arguments.cluster, &arguments.recovery_file, &Platform::default()).await?;
    writeln!(
        std::io::stdout().lock(),
        "network {} ({}) created; this is node 1 ({})",
        identity.cluster_name,
        identity.cluster,
        identity.name
    )?;
    Ok(())
}

/// Makes the first node of a new network called `cluster`, and writes its paper passphrase to `recovery_file`.
///
/// # Errors
/// As [`run`].
pub async fn begin(
    config: &Config,
    cluster: &str,
    recovery_file: &Path,
    platform: &Platform,
) -> anyhow::Result<NodeIdentity> {
    let Platform { clock, entropy, .. } = platform;
    let entropy = &**entropy;
    let tls = certificates(config, clock)?;
    match tls.identity() {
        Identity::Node { cluster: found, id: 1 } if found.as_str() == cluster => {}
        other => bail!("the certificate says {other}, and the first node needs spiffe://{cluster}/node/1"),
    }
    let Some(root_source) = &config.root_slot else {
        bail!("slots.root is not configured: the first node of a network holds the root key");
    };
    ensure!(
        !recovery_file.starts_with(&config.data_dir),
        "the paper passphrase must not lie inside the data directory: write it to another medium, print it, delete it"
    );
    let data = DataDir::new(&config.data_dir);
    data.create().context("the data directory cannot be made")?;
    let lock = data.lock().context("the data directory is in use")?;
    ensure!(!data.identity().exists(), "{} is a node's directory already", config.data_dir.display());
    let (root_secret, storage_secret) = (slot_secret(config, root_source)?, slot_secret(config, &config.storage_slot)?);
    let cost = passphrase_cost(config)?;

    let identity = NodeIdentity {
        cluster: ClusterId::from_bytes(random(entropy)),
        cluster_name: cluster.to_owned(),
        node: NodeId(1),
        name: config.name.clone(),
        incarnation: 1,
        keyed: true,
        raised: None,
    };
    let place = SlotPlace { cluster: identity.cluster, node: identity.node, serial: 1 };
    let keys = NewCluster::generate(identity.cluster, entropy);
    let phrase = RecoveryPhrase::generate(entropy);
    let recovery = Slot::seal_recovery(&keys.root, identity.cluster, &phrase, cost, entropy)?;
    let storage = StorageKey::generate(entropy);
    SlotFile::new(&data.slots(), "storage").store(&Slot::seal_storage(
        &storage,
        place,
        &storage_secret,
        cost,
        entropy,
    )?)?;
    SlotFile::new(&data.slots(), "root").store(&Slot::seal_root(&keys.root, place, &root_secret, cost, entropy)?)?;
    write_phrase(recovery_file, &phrase)?;
    let seal = Arc::new(StorageSeal::new(storage, identity.cluster, identity.node, entropy));
    platform.storage.create_log(&data, &identity, seal)?;
    identity.create(&data.identity()).context("the identity cannot be written")?;
    drop(lock);

    let core = Core::open(config, tls, platform).await?;
    let member = Member { name: config.name.clone(), peer_address: config.peer_address.clone(), keyed: true };
    core.consensus.initialize(BTreeMap::from([(1, member)])).await.context("the Raft group cannot begin")?;
    let deadline = Instant::now() + BEGIN_TIME_MAX;
    core.consensus.wait_leader(deadline).await.context("the node did not become leader of itself")?;
    let command = Command::CreateCluster {
        cluster_id: identity.cluster,
        name: cluster.to_owned(),
        recovery_slot: Sealed(recovery.encode()),
        epoch_key: keys.epoch_key,
        search_key: keys.search_key,
        tag_key: keys.tag_key,
        first_node: NodeDescription {
            name: config.name.clone(),
            site: config.site.clone(),
            country: config.country.clone(),
            medium: config.medium.clone(),
            peer_address: config.peer_address.clone(),
            keyed: true,
            voter: true,
        },
    };
    let actor = node_actor(&Identity::Node { cluster: cluster.parse()?, id: 1 });
    let envelope = node_envelope(identity.node, actor, command, clock.now(), entropy);
    let proposal = Bytes::from(codec::encode_envelope(&envelope));
    let applied = core.forwarder.propose(proposal, deadline).await.context("the network was not created")?;
    match codec::decode_outcome(&applied.outcome)? {
        Outcome::Confirmed { .. } => {}
        other => bail!("the network was not created: {other:?}"),
    }
    core.stop().await;
    Ok(identity)
}

fn write_phrase(path: &std::path::Path, phrase: &RecoveryPhrase) -> anyhow::Result<()> {
    let text = phrase.to_text();
    if path.as_os_str() == "-" {
        writeln!(std::io::stdout().lock(), "{}", text.as_str())?;
        return Ok(());
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("the paper passphrase cannot be written to {}", path.display()))?;
    writeln!(file, "{}", text.as_str())?;
    file.sync_all().context("the paper passphrase cannot be made durable")
}
