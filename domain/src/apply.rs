//! The one function. What is decided, in this order; the first that refuses answers:
//!
//! ```text
//! 1 cluster    nothing but CreateCluster before there is one      not audited, not kept
//! 2 request    no id, or a time that cannot be                    audited, not kept
//! 3 expiry     applied after not_after                            audited, not kept
//! 4 lifetime   not_after more than ten minutes (+1) ahead         audited, not kept
//! 5 repeat     same id and tag: the answer that was given         neither
//!              same id, another tag                               audited; the kept answer stays
//! 6 access     role × area × deed × unit                          audited, kept
//! 7 level, bounds, rule                                           audited, kept
//! ```
//! A kept answer is deleted once no copy of its request can be applied any more.

use crate::audit::{AuditEntry, Object, Trail};
use crate::case::{About, Case, Done, Ruling, Stop};
use crate::cluster::JoinTokenRow;
use crate::command::Command;
use crate::deed::Deed;
use crate::id::LogId;
use crate::outcome::{Field, Rejection};
use crate::planted::{Bug, planted};
use crate::rows::{self, StoredOutcome};
use crate::time::ClusterTime;
use crate::view::{Changes, View, ViewFault};
use crate::{Envelope, Outcome};
use crate::{
    agenda, audit, bounds, cluster, consent, directory, images, keys, layout, lead, patients, records, recovery,
    upgrade,
};

/// What a client's clock may be ahead of the leader's when it sets `not_after`: one minute.
const SKEW_MS: i64 = 60 * 1000;

/// Kept answers that one entry deletes at most: twice as many as come between two such entries.
const PURGED_MAX: usize = 64;
/// Every so many log indexes: a search costs as much as several rows.
const PURGE_EVERY: u64 = 32;

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

/// Decides and describes; writes nothing. `log_id.index` must grow from call to call, and `view` must show the changes
/// of all calls before.
///
/// # Errors
/// The rows cannot be read or trusted: there is no answer then, and the node must stop applying.
pub fn apply(view: &dyn View, log_id: LogId, envelope: &Envelope) -> Result<Applied, ViewFault> {
    let exists = rows::cluster(view)?.is_some();
    if !exists && !matches!(envelope.command, Command::CreateCluster { .. }) {
        return Ok(Applied::nothing(Outcome::Rejected(Rejection::WrongClusterState)));
    }
    let head = rows::trail_head(view)?;
    let at = head.last_time.map_or(envelope.proposed_at, |last| last.max(envelope.proposed_at));
    let mut trail = Trail::new(head, log_id.index);
    let mut changes = Changes::new();

    let answer = match admit(view, at, envelope)? {
        Admission::Repeated(stored) => return Ok(repeat(envelope, stored)),
        Admission::Refused(rejection) => {
            let deed = Deed::of(view, &envelope.command)?;
            trail.add(&mut changes, deed.entry(envelope, at, Err(&rejection)));
            Outcome::Rejected(rejection)
        }
        Admission::New => {
            let outcome = rule(view, at, envelope, &mut trail, &mut changes)?;
            store(&mut changes, envelope, &outcome);
            outcome
        }
    };
    if !exists && matches!(answer, Outcome::Rejected(_)) {
        return Ok(Applied::nothing(answer));
    }
    if log_id.index.is_multiple_of(PURGE_EVERY) {
        purge(view, at, &mut trail, &mut changes)?;
    }
    trail.head().last_time = Some(at);
    let audit = trail.finish(&mut changes);
    Ok(Applied { outcome: answer, changes, audit })
}

impl Applied {
    fn nothing(outcome: Outcome) -> Self {
        Self { outcome, changes: Changes::new(), audit: Vec::new() }
    }
}

enum Admission {
    New,
    Repeated(StoredOutcome),
    Refused(Rejection),
}

/// Steps 2 to 5.
fn admit(view: &dyn View, at: ClusterTime, envelope: &Envelope) -> Result<Admission, ViewFault> {
    let Envelope { request_id, content_tag, not_after, .. } = envelope;
    let ahead = not_after.millis().saturating_sub(at.millis());
    Ok(if request_id.is_nil() {
        Admission::Refused(Rejection::Invalid { field: Field::Id })
    } else if !not_after.is_valid() || !at.is_valid() {
        Admission::Refused(Rejection::TimeOutOfRange)
    } else if at > *not_after && !planted(Bug::ExpiredApplied) {
        Admission::Refused(Rejection::Expired)
    } else if ahead > Envelope::LIFETIME_MS + SKEW_MS {
        Admission::Refused(Rejection::LifetimeTooLong)
    } else {
        match rows::outcome(view, *request_id)? {
            None => Admission::New,
            Some(_) if planted(Bug::RepeatRefused) => Admission::Refused(Rejection::RequestIdReused),
            Some(stored) if stored.content_tag == *content_tag => Admission::Repeated(stored),
            Some(_) => Admission::Refused(Rejection::RequestIdReused),
        }
    })
}

/// The answer that was given. A copy that may live longer than the first keeps it longer: otherwise that copy, sent
/// again after the first one's limit, would be applied anew.
fn repeat(envelope: &Envelope, stored: StoredOutcome) -> Applied {
    let outcome = stored.outcome.clone();
    let mut changes = Changes::new();
    if envelope.not_after > stored.not_after {
        rows::delete(&mut changes, rows::outcome_expiry_key(stored.not_after, envelope.request_id));
        store(&mut changes, envelope, &outcome);
    }
    Applied { outcome, changes, audit: Vec::new() }
}

fn store(changes: &mut Changes, envelope: &Envelope, outcome: &Outcome) {
    if planted(Bug::OutcomeNotKept) {
        return;
    }
    let Envelope { request_id, content_tag, not_after, .. } = envelope;
    let row = StoredOutcome { content_tag: *content_tag, not_after: *not_after, outcome: outcome.clone() };
    rows::put(changes, rows::outcome_key(*request_id), &row);
    rows::mark(changes, rows::outcome_expiry_key(*not_after, *request_id));
}

/// Deletes answers whose requests are refused as expired from now on. The head remembers how far that went: searching
/// from the start would pass over everything deleted so far.
fn purge(view: &dyn View, at: ClusterTime, trail: &mut Trail, changes: &mut Changes) -> Result<(), ViewFault> {
    let head = trail.head();
    let (at, beyond) = match planted(Bug::OutcomePurgedEarly) {
        // Ahead of their time, and again from the start: what others that live longer were passed over for is met, too.
        true => (ClusterTime::saturating_from_millis(at.millis().saturating_add(Envelope::LIFETIME_MS)), None),
        false => (at, head.purged_time.zip(head.purged_request)),
    };
    for (not_after, request) in rows::outdated_outcomes(view, beyond, at, PURGED_MAX)? {
        rows::delete(changes, rows::outcome_expiry_key(not_after, request));
        rows::delete(changes, rows::outcome_key(request));
        head.purged_time = Some(not_after);
        head.purged_request = Some(request);
    }
    Ok(())
}

/// Steps 6 and 7.
fn rule(
    view: &dyn View,
    at: ClusterTime,
    envelope: &Envelope,
    trail: &mut Trail,
    changes: &mut Changes,
) -> Result<Outcome, ViewFault> {
    let mut deed = Deed::of(view, &envelope.command)?;
    let case = Case { view, at, actor: envelope.actor, via: envelope.via };
    let ruling = if !deed.is_allowed(envelope) {
        Err(Rejection::Denied.into())
    } else if let Err(rejection) = upgrade::admits(view, &envelope.command)? {
        Err(rejection.into())
    } else if let Err(rejection) = bounds::check(&envelope.command) {
        Err(rejection.into())
    } else if let Command::NoteReads { node, journal, reads } = &envelope.command {
        audit::note_reads(&case, *node, *journal, reads).map(|(done, entries)| {
            for entry in entries {
                trail.add(changes, entry);
            }
            done
        })
    } else {
        dispatch(&case, &envelope.command)
    };
    match ruling {
        Err(Stop::Fault(fault)) => Err(fault),
        Err(Stop::Rejected(rejection)) => {
            trail.add(changes, deed.entry(envelope, at, Err(&rejection)));
            Ok(Outcome::Rejected(rejection))
        }
        Ok(Done { version, changed, node, about, changes: written }) => {
            changes.extend(written);
            if let Some(node) = node {
                deed.object = Object::Node(node);
            }
            for About { object, patient, unit } in &about {
                let entry = deed.entry(envelope, at, Ok(version));
                trail.add(changes, AuditEntry { object: *object, patient: *patient, unit: *unit, ..entry });
            }
            // The reads are the entries of their report.
            if about.is_empty() && !matches!(envelope.command, Command::NoteReads { .. }) {
                trail.add(changes, deed.entry(envelope, at, Ok(version)));
                // Both units' screens must learn of a booking that left the one for the other.
                if let Some(also) = deed.also.filter(|also| Some(*also) != deed.unit) {
                    let entry = AuditEntry { unit: Some(also), ..deed.entry(envelope, at, Ok(version)) };
                    trail.add(changes, entry);
                }
            }
            Ok(Outcome::Confirmed { version, changed, node })
        }
    }
}

fn dispatch(case: &Case<'_>, command: &Command) -> Ruling {
    match command {
        Command::CreateCluster { cluster_id, name, recovery_slot, epoch_key, search_key, tag_key, first_node } => {
            let cluster_id = *cluster_id;
            let beginning =
                cluster::Beginning { cluster_id, name, recovery_slot, epoch_key, search_key, tag_key, first_node };
            cluster::create(case, &beginning)
        }
        Command::CreateJoinToken { token, not_after, keyed, voter } => cluster::create_token(
            case,
            JoinTokenRow { token: *token, not_after: *not_after, keyed: *keyed, voter: *voter, replaces: None },
        ),
        Command::RedeemJoinToken { token, node, level } => cluster::redeem(case, token, node, *level),
        Command::NoteRootHanded { node } => keys::note_root_handed(case, *node),
        Command::RegisterUnit { unit, slug, key, content } => directory::register_unit(case, *unit, slug, key, content),
        Command::RegisterPractitioner { practitioner, unit, content } => {
            directory::register_practitioner(case, *practitioner, *unit, content)
        }
        Command::RegisterRoom { room, unit, content } => directory::register_room(case, *room, *unit, content),
        Command::RegisterPatient { patient, unit, key, tokens, content } => {
            patients::register(case, *patient, *unit, key, tokens, content)
        }
        Command::AmendPatient { patient, seen_version, tokens, content } => {
            patients::amend(case, *patient, *seen_version, tokens, content)
        }
        Command::Book { appointment, patient, slot, overlap, content } => {
            agenda::book(case, *appointment, *patient, slot, overlap, content)
        }
        Command::MoveAppointment { appointment, seen_version, slot, overlap } => {
            agenda::move_to(case, *appointment, *seen_version, slot, overlap)
        }
        Command::ChangeAppointmentState { appointment, seen_version, state, reason } => {
            agenda::change_state(case, *appointment, *seen_version, *state, reason)
        }
        Command::AddRecord { record, patient, unit, kind, authored_at, content } => {
            let (patient, unit, authored_at) = (*patient, *unit, *authored_at);
            records::add(case, *record, &records::Document { patient, unit, kind, authored_at }, content)
        }
        Command::AmendRecord { record, seen_version, reason, content } => {
            records::amend(case, *record, *seen_version, reason, content)
        }
        Command::GrantConsent { consent, patient, unit, purposes, valid_from, valid_until, content } => {
            let (patient, unit, valid_from, valid_until) = (*patient, *unit, *valid_from, *valid_until);
            let grant = consent::Grant { patient, unit, purposes, valid_from, valid_until };
            consent::grant(case, *consent, &grant, content)
        }
        Command::RevokeConsent { consent, seen_version, reason } => {
            consent::revoke(case, *consent, *seen_version, reason)
        }
        // Decided by `rule`, because its entries go into the trail.
        Command::NoteReads { .. } => Ok(Done::unchanged(0)),
        Command::RegisterStore { node, incarnation, disk, medium } => {
            images::register_store(case, *node, *incarnation, *disk, medium)
        }
        Command::RetireStore { node, incarnation } => images::retire_store(case, *node, *incarnation),
        Command::OpenUpload { upload, image, placement, lease_ms } => {
            images::open(case, *upload, image, placement, *lease_ms)
        }
        Command::RenewIntent { upload, lease_ms } => images::renew(case, *upload, *lease_ms),
        Command::RePlace { upload, placement } => images::place_again(case, *upload, placement),
        Command::PutManifestPart { upload, part, chunks } => images::put_part(case, *upload, *part, chunks),
        Command::PutReceipts { receipts } => images::put_receipts(case, receipts),
        Command::CommitUpload { upload, found, parts, receipts } => {
            images::commit(case, *upload, found.as_ref(), parts, receipts)
        }
        Command::AbandonUpload { upload } => images::abandon(case, *upload),
        Command::ExpireIntents => images::expire(case),
        Command::DropPart { upload, part } => images::drop_part(case, *upload, *part),
        Command::PutTombstones { node, chunks } => images::put_tombstones(case, *node, chunks),
        Command::FinishGc { node, chunks } => images::finish(case, *node, chunks),
        Command::NoteLeadership(told) => lead::note(case, told),
        Command::BeginHandover { to, term, cause, reason } => lead::begin_handover(case, *to, *term, *cause, reason),
        Command::SetLead { change, reason } => lead::set(case, change, reason),
        Command::ChangeMembers { changes, version, reason, allow_fewer_voters } => {
            layout::change(case, changes, *version, reason, *allow_fewer_voters)
        }
        Command::StageLayout { seen_version, changes } => layout::stage(case, *seen_version, changes),
        Command::PlanReplacement { token, not_after, node, reason } => {
            layout::plan_replacement(case, token, *not_after, *node, reason)
        }
        Command::SucceedMember { old, new, keep_old } => layout::succeed(case, *old, *new, *keep_old),
        Command::NoteRecovery { recovery } => recovery::note(case, recovery),
        Command::RaiseLevel { seen, to, programs, reason } => upgrade::raise(case, *seen, *to, programs, reason),
    }
}
