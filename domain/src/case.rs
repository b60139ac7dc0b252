//! What every rule is given and what it answers. No rule lives here.

use crate::audit::Object;
use crate::command::Actor;
use crate::id::{NodeId, PatientId, UnitId};
use crate::outcome::Rejection;
use crate::time::ClusterTime;
use crate::view::{Changes, View, ViewFault};

/// One command about to be decided.
pub(crate) struct Case<'a> {
    /// The rows as they are now.
    pub(crate) view: &'a dyn View,
    /// The cluster's time, which never goes back.
    pub(crate) at: ClusterTime,
    /// Who asks; access was decided before.
    pub(crate) actor: Actor,
    /// Through which node.
    pub(crate) via: NodeId,
}

/// What a rule allows, and the rows that it writes.
#[derive(Default)]
pub(crate) struct Done {
    /// The object's version now; 0 where there are none.
    pub(crate) version: u32,
    /// Whether anything changed.
    pub(crate) changed: bool,
    /// The number of a node that joined.
    pub(crate) node: Option<NodeId>,
    /// What it was done to, where the command alone does not say; the trail gets an entry for each.
    pub(crate) about: Vec<About>,
    /// Rows of the object itself; not the trail's.
    pub(crate) changes: Changes,
}

/// One of several objects of a command.
pub(crate) struct About {
    pub(crate) object: Object,
    pub(crate) patient: Option<PatientId>,
    pub(crate) unit: Option<UnitId>,
}

impl Done {
    /// Everything is as the command wants it.
    pub(crate) fn unchanged(version: u32) -> Self {
        Self { version, ..Self::default() }
    }

    /// The object is at this version after these changes.
    pub(crate) fn changed(version: u32, changes: Changes) -> Self {
        Self { version, changed: true, changes, ..Self::default() }
    }
}

/// Why a rule did not get to its end.
pub(crate) enum Stop {
    /// The answer is no.
    Rejected(Rejection),
    /// There is no answer: the rows cannot be read.
    Fault(ViewFault),
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<ViewFault> for Stop {
    fn from(fault: ViewFault) -> Self {
        Self::Fault(fault)
    }
}

/// What a rule answers.
pub(crate) type Ruling = Result<Done, Stop>;
