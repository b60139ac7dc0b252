//! Who may do what: one table of role × area × deed, and how far each right reaches. Denied unless the table says
//! otherwise. The node that takes a request asks here before it serves a read; `apply` asks again for every write.
//! `domain/tests/access.golden` prints the whole table: a right that changes shows there.

use crate::audit::{Action, Module};
use crate::command::{Actor, Role};
use crate::id::UnitId;

/// How far a right reaches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// No such right.
    Nowhere,
    /// In the actor's unit; an identity of the whole network has it everywhere.
    OwnUnit,
    /// Everywhere, whatever unit the actor belongs to.
    Network,
}

/// The answer to an actor who wants to do something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The table grants it.
    Allowed,
    /// It does not.
    Denied,
}

/// Whether `actor` may do this to an object of `unit`. `None` is what belongs to no unit, or a list over all units:
/// then a right in the own unit is enough only for an identity of the whole network.
pub fn decide(actor: &Actor, module: Module, action: Action, unit: Option<UnitId>) -> Decision {
    let granted = match scope(actor.role, module, action) {
        Scope::Nowhere => false,
        Scope::Network => true,
        Scope::OwnUnit => actor.unit.is_none() || actor.unit == unit,
    };
    if granted { Decision::Allowed } else { Decision::Denied }
}

/// The table. Patients move between units, so whoever works with patients finds them everywhere; they are written where
/// they were registered. An *encaixe* is a right of its own, which no program has for itself.
pub const fn scope(role: Role, module: Module, action: Action) -> Scope {
    use Action::{
        Amend, ChangeState, Commit, Create, Discard, Encaixe, Expire, HandKey, Join, Move, NoteCopies, Read, Revoke,
    };
    use Scope::{Network, Nowhere, OwnUnit};
    match (role, module, action) {
        (Role::Reception | Role::Clinician | Role::Manager | Role::Integration, Module::Patients, Read) => Network,
        (Role::Reception | Role::Clinician | Role::Manager | Role::Integration, Module::Patients, Create | Amend) => {
            OwnUnit
        }
        (
            Role::Reception | Role::Clinician | Role::Manager | Role::Integration,
            Module::Agenda,
            Read | Create | Move | ChangeState,
        ) => OwnUnit,
        (Role::Clinician | Role::Manager, Module::Agenda, Encaixe) => OwnUnit,
        (Role::Finance, Module::Agenda, Read) => OwnUnit,
        (Role::Clinician | Role::Integration, Module::Records, Read | Create | Amend) => OwnUnit,
        (Role::Clinician | Role::Integration, Module::Consents, Read | Create | Revoke) => OwnUnit,
        // Whoever sends an image opens, commits and gives up; what nodes do between is theirs alone, and an upload
        // whose sender is gone is committed or given up by a node.
        (Role::Clinician | Role::Integration, Module::Images, Read | Create | Commit | Discard) => OwnUnit,
        (Role::Node, Module::Images, Amend | Commit | Discard | NoteCopies | Expire) => Network,
        (
            Role::Reception | Role::Clinician | Role::Finance | Role::Manager | Role::Operator | Role::Integration,
            Module::Directory,
            Read,
        ) => Network,
        (Role::Manager | Role::Integration, Module::Directory, Create | Amend) => OwnUnit,
        (Role::Operator, Module::Directory, Create | Amend) => Network,
        // Whoever may let a node in does so by a token, which amends the cluster; only a node's own `init` creates one.
        // To hand the lead over is a move of it; only a leader says that it leads.
        (Role::Operator, Module::Cluster, Read | Amend | Move) => Network,
        (Role::Operator, Module::Keys, Read | Create | Amend) => Network,
        (Role::Auditor | Role::Dpo, Module::Audit, Read) => OwnUnit,
        (Role::Dpo, Module::Consents, Read) => OwnUnit,
        (Role::Dpo, Module::Patients, Read) => Network,
        (Role::Node, Module::Cluster, Create | Join | Move | ChangeState) => Network,
        (Role::Node, Module::Keys, HandKey) => Network,
        (Role::Node, Module::Audit, Create) => Network,
        _ => Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ActorId;
    use std::fmt::Write;

    const ROLES: [Role; 9] = [
        Role::Reception,
        Role::Clinician,
        Role::Finance,
        Role::Manager,
        Role::Operator,
        Role::Auditor,
        Role::Dpo,
        Role::Integration,
        Role::Node,
    ];
    const MODULES: [Module; 9] = [
        Module::Directory,
        Module::Patients,
        Module::Agenda,
        Module::Records,
        Module::Consents,
        Module::Audit,
        Module::Cluster,
        Module::Keys,
        Module::Images,
    ];
    const ACTIONS: [Action; 13] = [
        Action::Read,
        Action::Create,
        Action::Amend,
        Action::Move,
        Action::ChangeState,
        Action::Revoke,
        Action::Encaixe,
        Action::Join,
        Action::HandKey,
        Action::Commit,
        Action::Discard,
        Action::NoteCopies,
        Action::Expire,
    ];

    fn print() -> String {
        let mut text = String::from("role module action = reach; what is not listed is denied\n");
        for role in ROLES {
            for module in MODULES {
                for action in ACTIONS {
                    let scope = scope(role, module, action);
                    if scope != Scope::Nowhere {
                        let _ = writeln!(text, "{role:?} {module:?} {action:?} = {scope:?}");
                    }
                }
            }
        }
        text
    }

    /// To accept a change: `cargo test -p plantao-domain access` prints the table that is there now.
    #[test]
    fn the_table_is_the_golden_one() {
        let golden = include_str!("../tests/access.golden");
        assert_eq!(print(), golden, "the table now:\n{}", print());
    }

    #[test]
    fn a_right_in_the_own_unit_ends_at_its_door() {
        let (own, other) = (UnitId::from_bytes([1; 16]), UnitId::from_bytes([2; 16]));
        for role in ROLES {
            for module in MODULES {
                for action in ACTIONS {
                    let at = |unit| Actor { id: ActorId::from_bytes([9; 16]), role, unit };
                    let ask = |actor: Option<UnitId>, unit| decide(&at(actor), module, action, unit);
                    let answers = [
                        ask(Some(own), Some(own)),
                        ask(Some(own), Some(other)),
                        ask(Some(own), None),
                        ask(None, Some(own)),
                        ask(None, None),
                    ];
                    use Decision::{Allowed, Denied};
                    let expected = match scope(role, module, action) {
                        Scope::Nowhere => [Denied; 5],
                        Scope::OwnUnit => [Allowed, Denied, Denied, Allowed, Allowed],
                        Scope::Network => [Allowed; 5],
                    };
                    assert_eq!(answers, expected, "{role:?} {module:?} {action:?}");
                }
            }
        }
    }
}
