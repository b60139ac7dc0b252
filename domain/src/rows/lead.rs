//! Rows of the lead: each change of it, a handover on its way, and the policy.

use super::{KeyRange, PAGE_ROWS_MAX, decode, key, prefix, read};
use crate::lead::{HandoverRow, LeadPolicy, LeadershipRow};
use crate::view::{Order, View, ViewFault};

/// Key of a term's row.
pub fn leadership_key(term: u64) -> Vec<u8> {
    key(prefix::LEADERSHIP, &[&term.to_be_bytes()])
}

/// Who came to lead in a term, if it is kept.
pub fn leadership(view: &dyn View, term: u64) -> Result<Option<LeadershipRow>, ViewFault> {
    read(view, &leadership_key(term))
}

/// Changes of leader, the latest term first, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn leaderships(view: &dyn View, limit: usize) -> Result<Vec<LeadershipRow>, ViewFault> {
    let range = KeyRange::with_start(key(prefix::LEADERSHIP, &[]));
    let found = view.range(&range.from, &range.to, Order::Descending, limit.min(PAGE_ROWS_MAX))?;
    found.iter().map(|(key, value)| decode(key, value)).collect()
}

/// Key of the handover.
pub fn handover_key() -> Vec<u8> {
    key(prefix::HANDOVER, &[])
}

/// The handover that was announced last and that no later leader has spoken after.
pub fn handover(view: &dyn View) -> Result<Option<HandoverRow>, ViewFault> {
    read(view, &handover_key())
}

/// Key of the policy.
pub fn lead_policy_key() -> Vec<u8> {
    key(prefix::LEAD_POLICY, &[])
}

/// What automation is to do about the lead.
pub fn lead_policy(view: &dyn View) -> Result<LeadPolicy, ViewFault> {
    Ok(read(view, &lead_policy_key())?.unwrap_or_default())
}
