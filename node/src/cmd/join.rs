//! `plantaod join`: spends a token, and makes the directory of a node that is to be.

use super::ConfigArguments;
use super::unseal::read_phrase;
use crate::app::{Platform, passphrase_cost, slot_secret};
use crate::config::Config;
use crate::crypto::slots::SlotPlace;
use crate::crypto::{RecoveryPhrase, Slot, SlotFile, StorageKey, StorageSeal};
use crate::join::convert;
use crate::storage::fs::{DataDir, read_bounded};
use crate::storage::identity::NodeIdentity;
use crate::transport::system_time;
use anyhow::{Context, bail, ensure};
use plantao_client::identity::Identity;
use plantao_client::transport::{
    ChannelOptions, ClientTls, Credentials, CredentialsPaths, ExpectedServer, Target, TlsVersions, channel,
};
use plantao_proto::peer::v1::join_service_client::JoinServiceClient;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const CALL_TIME_MAX: Duration = Duration::from_secs(30);

/// Joins a network with a one-use token.
#[derive(Debug, clap::Args)]
pub struct Join {
    #[command(flatten)]
    config: ConfigArguments,
    /// Peer listener of any member, host:port.
    #[arg(long, value_name = "HOST:PORT")]
    peer: String,
    /// File with the token; never an argument, where others could read it.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Certificate spiffe://<network>/node/new/<name>; default: the configured one.
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// File with the paper passphrase, where no unit is left to hand over the root key: a unit makes its root slot from it.
    #[arg(long, value_name = "FILE")]
    recovery_file: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// Anything that is not as it must be. The token is spent once the network answered.
pub async fn run(arguments: &Join) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let paths = CredentialsPaths {
        certificate: arguments.certificate.clone().unwrap_or_else(|| config.tls_certificate.clone()),
        key: arguments.key.clone().unwrap_or_else(|| config.tls_key.clone()),
        roots: config.tls_roots.clone(),
    };
    let text = String::from_utf8(read_bounded(&arguments.token_file, 4096)?).context("the token is no text")?;
    let phrase = arguments.recovery_file.as_deref().map(read_phrase).transpose()?;
    let ticket = Ticket { paths, peer: arguments.peer.clone(), token: text, phrase };
    let joined = join(&config, ticket, &Platform::default()).await?;
    let identity = &joined.identity;
    writeln!(
        std::io::stdout().lock(),
        "node {} ({}) of network {}; issue spiffe://{}/node/{} and start it with `plantaod run`",
        identity.node,
        identity.name,
        identity.cluster_name,
        identity.cluster_name,
        identity.node
    )?;
    // The token is spent and the node is whole; only its root slot is missing.
    joined.rooted.context(
        "it joined, but the paper passphrase did not give it the root key: run it, stop it, and repeat with \
                    `plantaod unseal`",
    )
}

/// What joining takes beside a configuration.
pub struct Ticket {
    /// A certificate `spiffe://<network>/node/new/<name>`.
    pub paths: CredentialsPaths,
    /// Peer listener of any member, `host:port`.
    pub peer: String,
    /// A text that has the token in it: it may be what `plantao token create` printed.
    pub token: String,
    /// The paper passphrase, where no unit is left to hand over the root key.
    pub phrase: Option<RecoveryPhrase>,
}

/// A node that joined.
pub struct Joined {
    /// Who it is from now on.
    pub identity: NodeIdentity,
    /// Whether its root slot was made where the paper passphrase was given; the node is whole without it.
    pub rooted: anyhow::Result<()>,
}

/// Spends the token, and makes the directory of the node.
///
/// # Errors
/// As [`run`].
pub async fn join(config: &Config, ticket: Ticket, platform: &Platform) -> anyhow::Result<Joined> {
    let Ticket { paths, peer, token: text, phrase } = ticket;
    let entropy = &*platform.entropy;
    let credentials =
        Credentials::load(&paths, system_time(platform.clock.now())).context("the certificate cannot be used")?;
    match &credentials.leaf().identity {
        Identity::NewNode { name, .. } if name.as_str() == config.name => {}
        other => bail!("the certificate says {other}, and joining needs one for node/new/{}", config.name),
    }
    let token = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .find(|word| word.starts_with("plt-"))
        .context("the file has no token: it begins with plt-")?;
    let data = DataDir::new(&config.data_dir);
    data.create().context("the data directory cannot be made")?;
    let lock = data.lock().context("the data directory is in use")?;
    ensure!(!data.identity().exists(), "{} is a node's directory already", config.data_dir.display());
    // Everything that can be refused is looked at before the token is spent.
    let secret = slot_secret(config, &config.storage_slot)?;
    if let Some(root) = &config.root_slot {
        slot_secret(config, root)?;
    }
    let cost = passphrase_cost(config)?;
    ensure!(
        phrase.is_none() || config.root_slot.is_some(),
        "slots.root is not configured: only a unit takes the root key"
    );

    let tls = ClientTls::new(Arc::new(credentials), TlsVersions::Only13).with_network(platform.network.clone());
    let target = Target { address: peer.clone(), expected: ExpectedServer::AnyNode };
    let channel = channel(&tls, &target, &ChannelOptions::default()).context("the member's address cannot be used")?;
    let request = convert::request(config, token);
    let answer = tokio::time::timeout(CALL_TIME_MAX, JoinServiceClient::new(channel).join(request)).await;
    let joined = match answer {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => bail!("the network refused: {}", status.message()),
        Err(_) => {
            bail!("no answer from {peer} within {CALL_TIME_MAX:?}: the token may be spent; make a new one")
        }
    };
    let recovery = Slot::decode(&joined.recovery_slot);
    let identity = convert::identity(joined, &config.name).context("the network answered without its id")?;
    let place = SlotPlace { cluster: identity.cluster, node: identity.node, serial: 1 };
    let storage = StorageKey::generate(entropy);
    SlotFile::new(&data.slots(), "storage").store(&Slot::seal_storage(&storage, place, &secret, cost, entropy)?)?;
    let seal = Arc::new(StorageSeal::new(storage, identity.cluster, identity.node, entropy));
    platform.storage.create_log(&data, &identity, seal)?;
    let root = phrase.filter(|_| identity.keyed).zip(config.root_slot.as_ref());
    let rooted = root.map_or(Ok(()), |(phrase, source)| {
        let root = recovery?.open_recovery(identity.cluster, &phrase)?;
        let slot = Slot::seal_root(&root, place, &slot_secret(config, source)?, cost, entropy)?;
        SlotFile::new(&data.slots(), "root").store(&slot).map_err(anyhow::Error::from)
    });
    identity.create(&data.identity()).context("the identity cannot be written")?;
    drop(lock);
    Ok(Joined { identity, rooted })
}
