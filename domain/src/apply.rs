//! The one function.
use crate::audit::AuditEntry;
use crate::id::LogId;
use crate::view::{Changes, View, ViewFault};
use crate::{Envelope, Outcome};

/// What applying one envelope comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The answer.
    pub outcome: Outcome,
    /// What to write; includes the audit entry, the stored outcome and the trail's head.
    pub changes: Changes,
    /// The entries that were added to the trail, in order; for watchers.
    pub audit: Vec<AuditEntry>,
}

/// Decides and describes; writes nothing.
pub fn apply(_view: &dyn View, _log_id: LogId, _envelope: &Envelope) -> Result<Applied, ViewFault> {
    Err(ViewFault::Row { prefix: 0 })
}
