//! The audit trail, read and followed by whoever may.

use super::{Error, Gateway};
use plantao_domain::access::{Decision, decide};
use plantao_domain::audit::{Action, AuditEntry, Module, Object, verify_chain};
use plantao_domain::planted::{Bug, planted};
use plantao_domain::rows::{self, AuditFrom};
use plantao_domain::{Actor, ActorId, PatientId, UnitId, View, ViewFault};
use std::sync::Arc;

/// Entries that one call looks at, at most: a filter that keeps little ends a page early.
const SCAN_MAX: usize = 20_000;
const SCAN_PAGE: usize = 1_000;
/// Entries that a watch reads at once.
const FOLLOW_PAGE: usize = 256;

/// What of the trail is wanted; `None` keeps everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TrailFilter {
    /// About whom.
    pub patient: Option<PatientId>,
    /// By whom.
    pub by: Option<ActorId>,
    /// About what.
    pub module: Option<Module>,
    /// Where; who belongs to a unit sees that one in any case, and no other.
    pub unit: Option<UnitId>,
}

impl TrailFilter {
    fn keeps(&self, entry: &AuditEntry) -> bool {
        self.patient.is_none_or(|patient| entry.patient == Some(patient))
            && self.by.is_none_or(|by| entry.actor.id == by)
            && self.module.is_none_or(|module| entry.module == module)
            && self.unit.is_none_or(|unit| entry.unit == Some(unit))
    }
}

/// A part of the trail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrailPage {
    /// In order.
    pub entries: Vec<AuditEntry>,
    /// Sequence number where the next page begins; 0: there is none.
    pub next_sequence: u64,
}

/// What became of a check of the whole trail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrailCheck {
    /// How many entries follow each other.
    pub entries: u64,
    /// Sequence number of the first that does not fit; 0: none.
    pub broken_at: u64,
    /// Digest of the last that does.
    pub head: [u8; 32],
}

impl Gateway {
    /// Up to `size` entries from a sequence number on; fewer where the filter keeps little.
    ///
    /// # Errors
    /// The caller may not read the trail there, or the state cannot be read.
    pub async fn trail(
        &self,
        actor: &Actor,
        filter: TrailFilter,
        from_sequence: u64,
        size: usize,
    ) -> Result<TrailPage, Error> {
        // Who names no unit asks for his own.
        let filter = TrailFilter { unit: filter.unit.or(actor.unit), ..filter };
        self.may_read(actor, Module::Audit, filter.unit, Object::Many, filter.patient).await?;
        let mut entries = Vec::new();
        let mut next_sequence = from_sequence.max(1);
        let mut looked_at = 0;
        while looked_at < SCAN_MAX {
            let page = rows::audit_from_sequence(&**self.state(), next_sequence, SCAN_PAGE)?;
            let last = page.len() < SCAN_PAGE;
            for (_, entry) in page {
                next_sequence = entry.sequence + 1;
                looked_at += 1;
                if filter.keeps(&entry) {
                    entries.push(entry);
                    if entries.len() == size {
                        return Ok(TrailPage { entries, next_sequence });
                    }
                }
            }
            if last {
                return Ok(TrailPage { entries, next_sequence: 0 });
            }
            tokio::task::yield_now().await;
        }
        Ok(TrailPage { entries, next_sequence })
    }

    /// The changes from a log index on, of one unit or of all, in these modules or, where none is named, in all. The trail is
    /// kept for ever so far, so no index is ever compacted.
    pub fn follow(&self, actor: Actor, unit: Option<UnitId>, modules: Vec<Module>, from_index: u64) -> Following {
        Following { gateway: self.clone(), actor, unit, modules, from: AuditFrom::Index(from_index) }
    }

    /// Follows the chain of digests through all entries up to a log index.
    ///
    /// # Errors
    /// The caller may not read the trail, or the state cannot be read.
    pub async fn check_trail(&self, actor: &Actor, index: u64) -> Result<TrailCheck, Error> {
        self.may_read(actor, Module::Audit, actor.unit, Object::Many, None).await?;
        let state = Arc::clone(self.state());
        let checked = crate::work::blocking(move || check(&*state, index)).await;
        Ok(checked.map_err(|_| Error::Damaged)??)
    }
}

/// The changes that one caller follows: what was done, neither what was refused nor what was read, and nothing that he may
/// not read himself.
pub struct Following {
    gateway: Gateway,
    actor: Actor,
    unit: Option<UnitId>,
    modules: Vec<Module>,
    from: AuditFrom,
}

impl Following {
    /// The next changes up to a log index that is applied in full, maybe none of those that were looked at; `None` once all
    /// were. The trail of an index is written with it, in one batch, so nothing is missed and nothing comes twice.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn next(&mut self, applied: u64) -> Result<Option<Vec<AuditEntry>>, Error> {
        let page = rows::audit(&**self.gateway.state(), self.from, applied.saturating_add(1), FOLLOW_PAGE)?;
        let Some((place, _)) = page.last() else { return Ok(None) };
        self.from = AuditFrom::After(*place);
        Ok(Some(page.into_iter().map(|(_, entry)| entry).filter(|entry| self.keeps(entry)).collect()))
    }

    fn keeps(&self, entry: &AuditEntry) -> bool {
        let is_skipped = planted(Bug::WatchSkips) && entry.sequence.is_multiple_of(64);
        !is_skipped
            && entry.refusal == 0
            && entry.action != Action::Read
            && self.unit.is_none_or(|unit| entry.unit == Some(unit))
            && (self.modules.is_empty() || self.modules.contains(&entry.module))
            && decide(&self.actor, entry.module, Action::Read, entry.unit) == Decision::Allowed
    }
}

fn check(view: &dyn View, index: u64) -> Result<TrailCheck, ViewFault> {
    let (mut entries, mut head) = (0, [0; 32]);
    let mut from = AuditFrom::Index(0);
    loop {
        let page = rows::audit(view, from, index.saturating_add(1), SCAN_PAGE)?;
        for (_, entry) in &page {
            match verify_chain([entry], entries, head) {
                Ok(next) => (entries, head) = next,
                Err(_) => return Ok(TrailCheck { entries, broken_at: entries + 1, head }),
            }
        }
        match page.last() {
            Some((place, _)) if page.len() == SCAN_PAGE => from = AuditFrom::After(*place),
            _ => return Ok(TrailCheck { entries, broken_at: 0, head }),
        }
    }
}
