//! Bounds of single values, as the commands' documentation gives them. Nothing here reads a row.

use crate::cluster::NodeDescription;
use crate::command::{Command, Sealed, Tag};
use crate::id::NodeId;
use crate::images::{self, NewImage};
use crate::layout;
use crate::lead::{LeadChange, REASON_BYTES_MAX};
use crate::outcome::{Field, Rejection};
use crate::time::ClusterTime;
use crate::upgrade;

/// A sealed content is at most this long, so that it fits into an entry with its structure.
pub const CONTENT_BYTES_MAX: usize = 60 * 1024;
/// Search tokens of one patient.
pub const TOKENS_MAX: usize = 16;
/// Purposes of one consent; there are as many kinds.
pub const PURPOSES_MAX: usize = 5;
/// Nodes that one recovery names: above any number of voters.
pub const NODES_MAX: usize = 64;
/// Reads that one command reports.
pub const READS_MAX: usize = 256;

const NAME_BYTES_MAX: usize = 32;
const KIND_BYTES_MAX: usize = 64;
const ADDRESS_BYTES_MAX: usize = 255;

/// A token slot that stands for "none": it is never looked up and never unique.
pub const NO_TOKEN: Tag = Tag([0; 32]);

fn hold(condition: bool, field: Field) -> Result<(), Rejection> {
    if condition { Ok(()) } else { Err(Rejection::Invalid { field }) }
}

/// Lowercase letters, digits and hyphens, 1 to 32.
fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_kind(text: &str) -> bool {
    (1..=KIND_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// `host:port`; whether the host can be reached is not ours to say.
fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    text.len() <= ADDRESS_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_graphic())
        && parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0))
}

fn node(node: &NodeDescription) -> Result<(), Rejection> {
    let country = node.country.len() == 2 && node.country.bytes().all(|b| b.is_ascii_uppercase());
    let names = is_name(&node.name) && is_name(&node.site) && is_name(&node.medium);
    hold(names && country && is_address(&node.peer_address), Field::Node)
}

fn contents(contents: &[&Sealed]) -> Result<(), Rejection> {
    hold(contents.iter().all(|content| content.0.len() <= CONTENT_BYTES_MAX), Field::Content)
}

fn ids(nil: &[bool]) -> Result<(), Rejection> {
    hold(!nil.contains(&true), Field::Id)
}

fn times(times: &[ClusterTime]) -> Result<(), Rejection> {
    if times.iter().all(|time| time.is_valid()) { Ok(()) } else { Err(Rejection::TimeOutOfRange) }
}

/// Refuses a command with a value outside of its bounds.
pub(crate) fn check(command: &Command) -> Result<(), Rejection> {
    match command {
        Command::CreateCluster { cluster_id, name, recovery_slot, epoch_key, search_key, tag_key, first_node } => {
            ids(&[cluster_id.is_nil(), search_key.key_id.is_nil(), tag_key.key_id.is_nil()])?;
            hold(is_name(name), Field::Slug)?;
            contents(&[recovery_slot, epoch_key, &search_key.frame, &tag_key.frame])?;
            node(first_node)
        }
        Command::CreateJoinToken { not_after, .. } => times(&[*not_after]),
        Command::RedeemJoinToken { node: description, .. } => node(description),
        Command::NoteRootHanded { .. } => Ok(()),
        Command::RegisterUnit { unit, slug, key, content } => {
            ids(&[unit.is_nil(), key.key_id.is_nil()])?;
            hold(is_name(slug), Field::Slug)?;
            contents(&[&key.frame, content])
        }
        Command::RegisterPractitioner { practitioner, content, .. } => {
            ids(&[practitioner.is_nil()])?;
            contents(&[content])
        }
        Command::RegisterRoom { room, content, .. } => {
            ids(&[room.is_nil()])?;
            contents(&[content])
        }
        Command::RegisterPatient { patient, key, tokens, content, .. } => {
            ids(&[patient.is_nil(), key.key_id.is_nil()])?;
            hold(tokens.len() <= TOKENS_MAX, Field::Tokens)?;
            contents(&[&key.frame, content])
        }
        Command::AmendPatient { tokens, content, .. } => {
            hold(tokens.len() <= TOKENS_MAX, Field::Tokens)?;
            contents(&[content])
        }
        Command::Book { appointment, content, .. } => {
            ids(&[appointment.is_nil()])?;
            contents(&[content])
        }
        Command::MoveAppointment { .. } => Ok(()),
        Command::ChangeAppointmentState { reason, .. } => contents(&[reason]),
        Command::AddRecord { record, kind, authored_at, content, .. } => {
            ids(&[record.is_nil()])?;
            hold(is_kind(kind), Field::Kind)?;
            times(&[*authored_at])?;
            contents(&[content])
        }
        Command::AmendRecord { reason, content, .. } => contents(&[reason, content]),
        Command::GrantConsent { consent, purposes, valid_from, valid_until, content, .. } => {
            ids(&[consent.is_nil()])?;
            hold((1..=PURPOSES_MAX).contains(&purposes.len()), Field::Purposes)?;
            times(&[*valid_from, valid_until.unwrap_or_default()])?;
            hold(valid_until.is_none_or(|until| until > *valid_from), Field::ValidUntil)?;
            contents(&[content])
        }
        Command::RevokeConsent { reason, .. } => contents(&[reason]),
        Command::NoteReads { journal, reads, .. } => {
            ids(&[journal.is_nil()])?;
            hold(reads.len() <= READS_MAX, Field::Reads)?;
            reads.iter().try_for_each(|read| times(&[read.at]))
        }
        Command::RegisterStore { incarnation, medium, .. } => {
            ids(&[incarnation.is_nil()])?;
            hold(is_name(medium), Field::Medium)
        }
        Command::OpenUpload { upload, image: new, placement: nodes, lease_ms } => {
            ids(&[upload.is_nil()])?;
            new_image(new)?;
            placement(nodes)?;
            lease(*lease_ms)
        }
        Command::RenewIntent { lease_ms, .. } => lease(*lease_ms),
        Command::RePlace { placement: nodes, .. } => placement(nodes),
        Command::PutManifestPart { chunks, .. } => {
            hold((1..=images::PART_CHUNKS_MAX).contains(&chunks.len()), Field::Chunks)
        }
        Command::PutReceipts { receipts } => {
            hold((1..=images::RECEIPTS_MAX).contains(&receipts.len()), Field::Receipts)
        }
        Command::CommitUpload { found, parts, receipts, .. } => {
            let chunks: usize = parts.iter().map(|part| part.chunks.len()).sum();
            hold(parts.len() <= images::PARTS_MAX && chunks <= images::PART_CHUNKS_MAX, Field::Chunks)?;
            hold(receipts.len() <= images::RECEIPTS_MAX, Field::Receipts)?;
            found.as_ref().map_or(Ok(()), image_content)
        }
        Command::PutTombstones { chunks, .. } | Command::FinishGc { chunks, .. } => {
            hold((1..=images::PART_CHUNKS_MAX).contains(&chunks.len()), Field::Chunks)
        }
        Command::ChangeMembers { changes, reason: why, .. } => {
            hold(changes.len() <= layout::CHANGES_MAX, Field::Node)?;
            operators_reason(why)
        }
        Command::StageLayout { changes, .. } => hold(changes.len() <= layout::CHANGES_MAX, Field::Node),
        Command::PlanReplacement { not_after, reason: why, .. } => {
            times(&[*not_after])?;
            operators_reason(why)
        }
        Command::BeginHandover { reason: text, .. } => reason(text),
        Command::SetLead { change, reason: text } => {
            reason(text)?;
            match change {
                LeadChange::Pause { until } | LeadChange::StartMaintenance { until } => times(&[*until]),
                LeadChange::Schedule { at, .. } => times(&[*at]),
                _ => Ok(()),
            }
        }
        Command::RaiseLevel { programs, reason, .. } => {
            hold(programs.len() <= upgrade::PROGRAMS_MAX, Field::Node)?;
            operators_reason(reason)
        }
        Command::NoteRecovery { recovery } => {
            let counts = [recovery.kept.len(), recovery.dropped_voters.len()];
            hold(!recovery.kept.is_empty() && counts.iter().all(|count| *count <= NODES_MAX), Field::Node)
        }
        Command::NoteLeadership(_)
        | Command::RetireStore { .. }
        | Command::SucceedMember { .. }
        | Command::AbandonUpload { .. }
        | Command::ExpireIntents
        | Command::DropPart { .. } => Ok(()),
    }
}

/// Words for operators: shown on screens as they are.
fn reason(text: &str) -> Result<(), Rejection> {
    hold(text.len() <= REASON_BYTES_MAX && !text.chars().any(char::is_control), Field::Reason)
}

/// As [`reason`], and it must be given.
fn operators_reason(text: &str) -> Result<(), Rejection> {
    if text.trim().is_empty() { Err(Rejection::ReasonMissing) } else { reason(text) }
}

fn new_image(new: &NewImage) -> Result<(), Rejection> {
    ids(&[new.image.is_nil()])?;
    hold(is_kind(&new.kind), Field::Kind)?;
    hold((1..=images::IMAGE_BYTES_MAX).contains(&new.bytes), Field::Size)?;
    times(&[new.taken_at])?;
    image_content(&new.content)
}

fn image_content(content: &Sealed) -> Result<(), Rejection> {
    hold(content.0.len() <= images::IMAGE_CONTENT_BYTES_MAX, Field::Content)
}

/// Nodes named twice are one; whether they are enough is for the rule to say.
fn placement(nodes: &[NodeId]) -> Result<(), Rejection> {
    hold((1..=images::PLACEMENT_NODES_MAX).contains(&nodes.len()), Field::Placement)
}

fn lease(lease_ms: u32) -> Result<(), Rejection> {
    hold((images::LEASE_MS_MIN..=images::LEASE_MS_MAX).contains(&lease_ms), Field::Lease)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_kinds_and_addresses_have_alphabets_and_lengths() {
        let long = "a".repeat(33);
        for bad in ["", "Centro", "são", "a b", "a_b", "a\0", "a\u{202e}", long.as_str()] {
            assert!(!is_name(bad), "{bad:?}");
        }
        for good in ["a", "centro", "jardins-2", &long[..32]] {
            assert!(is_name(good), "{good}");
        }
        let long = "K".repeat(65);
        for bad in ["", "Obs ervation", "é", "a-b", "../x", long.as_str()] {
            assert!(!is_kind(bad), "{bad:?}");
        }
        assert!(is_kind("Observation") && is_kind(&long[..64]));
        for bad in ["", ":1", "host", "host:", "host:0", "host:65536", "ho st:1", "host:x"] {
            assert!(!is_address(bad), "{bad:?}");
        }
        assert!(is_address("127.0.0.1:7000") && is_address("[::1]:7000") && is_address("node.clinic:7000"));
    }
}
