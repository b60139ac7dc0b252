//! Between the services and the log: who may, what is sealed, what is noted.
//!
//! ```text
//! write: Draft ─► rights ─► seal ─► Envelope ─► forward to the leader ─► Outcome
//! read:  rights ─► read index or staleness ─► rows ─► note in the journal (synced) ─► open ─► answer
//! ```
//! Content is opened only here. No service writes a row, and none reads sealed bytes.

mod archive;
mod content;
mod directory;
mod draft;
mod error;
mod images;
mod keys;
mod names;
mod read;
mod seal;
mod submit;
mod trail;
mod write;

pub use archive::{Archive, Document};
pub use content::{DemographicsContent, DirectoryContent, ImageContent, ImageFound};
pub use draft::Draft;
pub use error::Error;
pub use read::{Consistency, OpenPatient, OpenRecord, Reading};
pub use submit::{node_actor, node_envelope, propose_as_node, submit_reads};
pub use trail::{Following, TrailCheck, TrailFilter, TrailPage};
pub use write::{Header, Written};

use crate::clock::SharedClock;
use crate::consensus::{Consensus, Forwarder};
use crate::crypto::Keyring;
use crate::entropy::SharedEntropy;
use crate::journal::Journal;
use crate::storage::state::StateStore;
use plantao_client::identity::{Identity, Kind, Scope};
use plantao_domain::access::{Decision, decide};
use plantao_domain::audit::{Action, Module};
use plantao_domain::cluster::NodeRow;
use plantao_domain::{Actor, ActorId, NodeId, Role, UnitId, rows};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long one request may take inside this node.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// Nodes of one network, those that left included: far above any.
const NODES_MAX: usize = 200;

/// What a gateway is made of.
pub struct Parts {
    /// This node's number.
    pub node: NodeId,
    /// Raft.
    pub consensus: Consensus,
    /// The way to the leader.
    pub forwarder: Forwarder,
    /// The rows.
    pub state: Arc<dyn StateStore>,
    /// Keys.
    pub keyring: Arc<Keyring>,
    /// Notes of reads.
    pub journal: Journal,
    /// Wall clock.
    pub clock: SharedClock,
    /// Random bytes.
    pub entropy: SharedEntropy,
    /// Requests under way at once.
    pub requests_max: usize,
}

/// A question: who asks, and what the answer reflects.
pub type Asked = (Actor, Reading);

/// Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    parts: Parts,
    permits: Semaphore,
    names: names::NameIndex,
}

impl Gateway {
    /// Wires it.
    pub fn new(parts: Parts) -> Self {
        let permits = Semaphore::new(parts.requests_max);
        Self(Arc::new(Inner { parts, permits, names: names::NameIndex::default() }))
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.0.parts.node
    }

    /// The rows.
    pub fn state(&self) -> &Arc<dyn StateStore> {
        &self.0.parts.state
    }

    /// Raft.
    pub fn consensus(&self) -> &Consensus {
        &self.0.parts.consensus
    }

    /// The journal of reads.
    pub fn journal(&self) -> &Journal {
        &self.0.parts.journal
    }

    /// Keys.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.0.parts.keyring
    }

    /// Wall clock.
    pub fn clock(&self) -> &SharedClock {
        &self.0.parts.clock
    }

    /// Who asks, and what the answer will reflect, once this node is fresh enough for it.
    ///
    /// # Errors
    /// As [`Gateway::settle`] and [`Gateway::caller`].
    pub async fn begin(&self, identity: &Identity, consistency: Consistency) -> Result<Asked, Error> {
        let reading = self.settle(consistency).await?;
        Ok((self.caller(identity).await?, reading))
    }

    fn admit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        self.0.permits.try_acquire().map_err(|_| Error::Busy)
    }

    /// Who calls, as the rules see it. A unit that a certificate names must be registered, unless it is the whole network.
    ///
    /// # Errors
    /// The unit is not known on this node.
    pub fn actor(&self, identity: &Identity) -> Result<Actor, Error> {
        let Identity::Unit { unit: scope, kind, .. } = identity else {
            return Ok(node_actor(identity));
        };
        let id = ActorId::from_bytes(identity.actor_id());
        let unit = match scope {
            Scope::Network => None,
            Scope::Unit(slug) => Some(self.unit_of(slug.as_str())?),
        };
        Ok(Actor { id, role: role_of(*kind), unit })
    }

    /// Who calls, if he may run the network: switch over, let nodes in.
    ///
    /// # Errors
    /// [`Error::Denied`] for everybody else.
    pub fn operator(&self, identity: &Identity) -> Result<Actor, Error> {
        let actor = self.actor(identity).map_err(|error| match error {
            // A unit's manager on a node that does not know the unit yet: no right follows from it here.
            Error::UnknownUnit => Error::Denied,
            other => other,
        })?;
        match decide(&actor, Module::Cluster, Action::Amend, None) {
            Decision::Allowed => Ok(actor),
            Decision::Denied => Err(Error::Denied),
        }
    }

    /// What operators want of the lead, as this node's rows have it.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn lead_policy(&self) -> Result<plantao_domain::lead::LeadPolicy, Error> {
        Ok(rows::lead_policy(&*self.0.parts.state)?)
    }

    /// The format level of the network, as this node's rows have it: at most what it is by now.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn level(&self) -> Result<u32, Error> {
        Ok(plantao_domain::upgrade::level(&*self.0.parts.state)?)
    }

    /// All nodes, as they described themselves when they came.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn nodes(&self) -> Result<Vec<(NodeId, NodeRow)>, Error> {
        Ok(rows::nodes(&*self.0.parts.state, None, NODES_MAX)?)
    }

    fn unit_of(&self, slug: &str) -> Result<UnitId, Error> {
        rows::unit_by_slug(&*self.0.parts.state, slug)?.ok_or(Error::UnknownUnit)
    }
}

fn role_of(kind: Kind) -> Role {
    match kind {
        Kind::Reception => Role::Reception,
        Kind::Clinician => Role::Clinician,
        Kind::Finance => Role::Finance,
        Kind::Manager => Role::Manager,
        Kind::Operator => Role::Operator,
        Kind::Auditor => Role::Auditor,
        Kind::Dpo => Role::Dpo,
        Kind::Integration => Role::Integration,
    }
}
