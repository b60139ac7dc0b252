//! What operators want of the lead, on its way into the log. Bounds are the rule's; here is what only the membership tells.

use super::Error;
use crate::gateway::Gateway;
use plantao_domain::lead::LeadChange;
use plantao_domain::{Actor, Command, Outcome, rows};

/// Changes the policy in the name of `actor`, whose right was checked; `false`: it was so already.
///
/// # Errors
/// See [`Error`]; nothing changes then, unless the outcome is unknown.
pub async fn change_policy(gateway: &Gateway, actor: Actor, change: LeadChange, reason: String) -> Result<bool, Error> {
    if let LeadChange::Drain { node } = &change {
        let policy = rows::lead_policy(&**gateway.state()).map_err(crate::gateway::Error::from)?;
        let members = gateway.consensus().status().members;
        let stays = |id: u64| id != node.0 && !policy.drained.iter().any(|drained| drained.0 == id);
        if !members.iter().any(|member| member.voter && stays(member.id)) {
            return Err(Error::LastVoter { node: node.0 });
        }
    }
    match gateway.propose_once(actor, Command::SetLead { change, reason }).await?.outcome {
        Outcome::Rejected(rejection) => Err(Error::Rejected(rejection)),
        Outcome::Confirmed { changed, .. } => Ok(changed),
        Outcome::ConfirmedWithConflict { .. } => Ok(true),
    }
}
