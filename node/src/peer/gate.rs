//! Who is let in on the peer plane: a numbered node of this cluster and incarnation, under its own number, that was not
//! removed. What it asks for comes after.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use plantao_proto::peer::v1::PeerHeader;
use tonic::{Request, Status};

use crate::consensus::{Affiliation, Consensus, HeaderError, incarnations};
use crate::members;
use crate::storage::state::StateStore;
use crate::transport::peer_identity;

/// Members that are remembered after they left: far above any cluster.
const SEEN_MAX: usize = 1024;

/// Checks each call. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    us: Affiliation,
    consensus: Consensus,
    /// Numbers that were members when they called. Numbers are never reused, so one that is here and no member any more
    /// was removed. A number that was never a member may be one that this node, lagging, does not know yet: refusing it could
    /// keep this node behind for ever.
    seen: Arc<Mutex<BTreeSet<u64>>>,
    /// Members of the past whose calls were told of in the log: once for each.
    past: Arc<Mutex<BTreeSet<u64>>>,
    /// The rows, which say who was removed also after a start.
    rows: Option<Arc<dyn StateStore>>,
}

impl Gate {
    /// For the node `us`.
    pub fn new(us: Affiliation, consensus: Consensus) -> Self {
        Self { us, consensus, seen: Arc::default(), past: Arc::default(), rows: None }
    }

    /// Refuses whoever these rows say was removed, also when this node never saw it as a member.
    pub fn with_rows(self, rows: Arc<dyn StateStore>) -> Self {
        Self { rows: Some(rows), ..self }
    }

    /// Rows that cannot be read say nothing; the applier stops the node for them.
    fn is_removed(&self, from: u64) -> bool {
        self.rows.as_ref().is_some_and(|rows| members::is_removed(&**rows, from))
    }

    /// Lets a call in, and says which node it is from. `header` must be the header in `request`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `FAILED_PRECONDITION` or `PERMISSION_DENIED`, with what, why and what to do.
    // A status is large, and tonic's handlers return it by value everywhere.
    #[allow(clippy::result_large_err)]
    pub fn admit(&self, caller: Caller, header: Option<&PeerHeader>) -> Result<u64, Status> {
        let from = self.us.check(header, Some(caller.0)).map_err(|error| self.refuse(caller, error))?;
        let member = self.consensus.member(from).is_some();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if member {
            if seen.len() < SEEN_MAX {
                seen.insert(from);
            }
        } else if seen.contains(&from) || self.is_removed(from) {
            return Err(Status::permission_denied(format!(
                "node {from} was removed from the cluster; stop it, and let it join anew under a fresh number"
            )));
        }
        Ok(from)
    }

    /// The refusal, which tells a caller of another incarnation ours. A caller of a newer one is news to this node.
    fn refuse(&self, caller: Caller, error: HeaderError) -> Status {
        let mut status = refusal(error);
        if let HeaderError::Incarnation { theirs, ours } = error {
            incarnations::tell(&mut status, ours);
            if theirs > ours {
                self.consensus.incarnations().note(theirs);
            } else {
                let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
                if past.len() < SEEN_MAX && past.insert(caller.0) {
                    tracing::warn!(
                        node = caller.0,
                        incarnation = theirs,
                        code = "PLT-3201",
                        "a node of an older incarnation calls, and is refused: its directory is to be set aside"
                    );
                }
            }
        }
        status
    }
}

/// The number in the caller's certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller(u64);

impl Caller {
    /// From a request as it came through the acceptor.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without an identity, `PERMISSION_DENIED` for a certificate without a number.
    #[allow(clippy::result_large_err)]
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let identity = &peer_identity(request)?.identity;
        identity.node_id().map(Self).ok_or_else(|| {
            Status::permission_denied(
                "the certificate has no node number: a joining node may call the join service only; use the \
                 certificate that it issues",
            )
        })
    }
}

fn refusal(error: HeaderError) -> Status {
    let help = match error {
        HeaderError::Missing => "use a node of this version",
        HeaderError::Cluster => "check the peer addresses of both nodes",
        HeaderError::Incarnation { .. } => {
            "the network was recovered without the older one (PLT-3201); set its data directory aside and let it join as a new node"
        }
        HeaderError::NotMe { .. } => "check the peer address that the membership has for it",
        HeaderError::NotYou { .. } => "check which certificate the calling node was given",
    };
    let text = format!("{error}; {help}");
    match error {
        HeaderError::Missing => Status::invalid_argument(text),
        HeaderError::NotYou { .. } => Status::permission_denied(text),
        HeaderError::Cluster | HeaderError::Incarnation { .. } | HeaderError::NotMe { .. } => {
            Status::failed_precondition(text)
        }
    }
}
