//! How a keyed node gets its root key: from its slot, or once from an unsealed member.

use crate::consensus::Affiliation;
use crate::crypto::slots::SlotPlace;
use crate::crypto::{Keyring, PassphraseCost, RootKey, Slot, SlotFile, SlotSecret};
use crate::entropy::SharedEntropy;
use crate::gateway::Gateway;
use crate::transport::{Lane, PeerChannels};
use plantao_proto::peer::v1::FetchRootKeyRequest;
use plantao_proto::peer::v1::join_service_client::JoinServiceClient;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tracing::{error, info, warn};

const PAUSE: Duration = Duration::from_millis(500);
const CALL_TIME_MAX: Duration = Duration::from_secs(10);

/// What is needed to keep the key once it is here.
pub struct Unseal {
    /// Whose slot it is.
    pub place: SlotPlace,
    /// Where the slot goes.
    pub slot: SlotFile,
    /// What wraps it.
    pub secret: SlotSecret,
    /// How hard a passphrase is stretched.
    pub cost: PassphraseCost,
    /// Random bytes.
    pub entropy: SharedEntropy,
}

/// Asks the members for the root key until one gives it, wraps it into the slot, and unseals. Ends when done, or when
/// it is refused for good.
pub async fn fetch_root_key(gateway: Gateway, us: Affiliation, channels: PeerChannels, keep: Unseal) {
    let mut told = false;
    loop {
        sleep(PAUSE).await;
        let members = gateway.consensus().status().members;
        let mut holders = members.into_iter().filter(|member| member.id != us.node && member.member.keyed).peekable();
        if holders.peek().is_none() && !told && gateway.consensus().leader().is_some() {
            warn!("no other unit can hand over the root key: stop this node and run `plantaod unseal`");
            told = true;
        }
        for member in holders {
            let Ok(channel) = channels.channel(member.id, &member.member.peer_address, Lane::Forward) else { continue };
            let request = FetchRootKeyRequest { header: Some(us.header(member.id)) };
            let answer = timeout(CALL_TIME_MAX, JoinServiceClient::new(channel).fetch_root_key(request)).await;
            match answer {
                Ok(Ok(response)) => {
                    match keep.keep(gateway.keyring(), &response.into_inner().root_key) {
                        Ok(()) => info!("this node is unsealed; its root slot is written"),
                        Err(error) => error!(%error, "the root key cannot be kept; use the paper passphrase"),
                    }
                    return;
                }
                Ok(Err(status)) if status.code() == Code::PermissionDenied => {
                    error!(reason = status.message(), "this node gets no root key and stays sealed");
                    return;
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }
}

impl Unseal {
    fn keep(&self, keyring: &Arc<Keyring>, bytes: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let root = RootKey::from_bytes(bytes.try_into()?);
        let slot = Slot::seal_root(&root, self.place, &self.secret, self.cost, &*self.entropy)?;
        self.slot.store(&slot)?;
        keyring.unseal(root)?;
        Ok(())
    }
}
