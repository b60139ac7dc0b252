//! English.

use super::{Lang, Named, Say, Word};
use plantao_proto::admin::v1::FindingKind;

/// Titles and states.
pub(super) const fn word(word: Word) -> &'static str {
    match word {
        Word::See(word) => super::see::word(super::Lang::En, word),
        Word::Lead(word) => word.text(Lang::En),
        Word::Action => "action",
        Word::Actor => "actor",
        Word::Address => "address",
        Word::AdminCertificate => "admin certificate",
        Word::AdminEndpoints => "admin endpoints",
        Word::AdminKey => "admin key",
        Word::AlreadySo => "already so, nothing changed",
        Word::Applied => "applied",
        Word::Appointment => "appointment",
        Word::Arrived => "arrived",
        Word::At => "at",
        Word::Attention => "ATTENTION",
        Word::Author => "author",
        Word::Authored => "authored",
        Word::AwaitsSite => "awaits 2nd site",
        Word::BirthDate => "born",
        Word::Booked => "booked",
        Word::Cancelled => "cancelled",
        Word::Certificate => "cert",
        Word::Chain => "chain",
        Word::Chunks => "chunks",
        Word::ClinicalImages => "clinical images",
        Word::Closed => "closed",
        Word::Cluster => "network",
        Word::Code => "code",
        Word::Committed => "committed",
        Word::Confirmed => "confirmed",
        Word::Consent => "consent",
        Word::Contact => "contact",
        Word::Content => "content",
        Word::Context => "context",
        Word::Copies => "copies",
        Word::Count => "count",
        Word::Country => "country",
        Word::Cpf => "CPF",
        Word::Damaged => "damaged",
        Word::Document => "document",
        Word::Email => "e-mail",
        Word::Encaixe => "encaixe",
        Word::End => "end",
        Word::Endpoints => "endpoints",
        Word::Engine => "engine",
        Word::Errors => "errors",
        Word::Exit => "exit code",
        Word::Failed => "failed",
        Word::File => "file",
        Word::Fingerprint => "fingerprint",
        Word::Fix => "what to do",
        Word::Head => "head",
        Word::Id => "id",
        Word::Identity => "identity",
        Word::Image => "image",
        Word::ImageAtRisk => "AT RISK",
        Word::ImageCommitted => "on two sites",
        Word::ImageProtected => "protected",
        Word::ImageReplicated => "replicated",
        Word::Index => "index",
        Word::Key => "key",
        Word::Kind => "kind",
        Word::Label => "label",
        Word::Levels => "levels",
        Word::Lag => "lag",
        Word::Marketing => "marketing",
        Word::Max => "max",
        Word::MediaType => "type",
        Word::Medium => "medium",
        Word::MegabytesPerSecond => "MB/s",
        Word::Module => "module",
        Word::Name => "name",
        Word::NewOnes => "new",
        Word::Answers => "answers",
        Word::WouldLose => "would lose ≥",
        Word::No => "no",
        Word::NoQuorum => "NO QUORUM",
        Word::NoShow => "no-show",
        Word::Node => "unit/node",
        Word::NotAfter => "valid until",
        Word::NotAsked => "not asked",
        Word::NotStored => "NOT STORED",
        Word::Object => "object",
        Word::OffSite => "off-site",
        Word::Ok => "GOOD",
        Word::Operations => "operations",
        Word::OpsPerSecond => "operations/s",
        Word::Outcome => "outcome",
        Word::P50 => "p50",
        Word::P99 => "p99",
        Word::P999 => "p99.9",
        Word::Patient => "patient",
        Word::Phones => "telephones",
        Word::Placed => "placed",
        Word::Practitioner => "professional",
        Word::Proven => "proven",
        Word::Purposes => "purposes",
        Word::Read => "read",
        Word::Reason => "reason",
        Word::Receipt => "receipt",
        Word::Record => "record",
        Word::Refusal => "refusal",
        Word::Refused => "refused",
        Word::Remarks => "remarks",
        Word::Request => "request",
        Word::Research => "research",
        Word::Revoked => "revoked",
        Word::Role => "role",
        Word::RoleCandidate => "Candidate",
        Word::RoleLeader => "Leader",
        Word::RoleLearner => "Learner",
        Word::RoleUnknown => "?",
        Word::RoleVoter => "Voter",
        Word::Room => "room",
        Word::Roots => "roots",
        Word::Rows => "rows",
        Word::Seconds => "seconds",
        Word::Sequence => "sequence",
        Word::Serial => "serial",
        Word::Sha256 => "SHA-256",
        Word::Sharing => "sharing",
        Word::Site => "site",
        Word::Sites => "sites",
        Word::Size => "size",
        Word::Slug => "short name",
        Word::Start => "start",
        Word::State => "state",
        Word::StateActive => "active",
        Word::StateBehind => "behind",
        Word::StateNoLeader => "no leader",
        Word::StateSealed => "sealed",
        Word::StateSilent => "silent",
        Word::StateUpToDate => "up to date",
        Word::Stored => "stored",
        Word::Taken => "taken",
        Word::Term => "term",
        Word::Token => "token",
        Word::Treatment => "treatment",
        Word::Unchanged => "unchanged",
        Word::Unit => "unit",
        Word::UnknownOutcomes => "unknown outcomes",
        Word::Until => "until",
        Word::ValidFrom => "from",
        Word::Value => "value",
        Word::Version => "version",
        Word::Visit => "visit",
        Word::What => "what",
        Word::Whole => "whole",
        Word::Written => "written",
        Word::Yes => "yes",
        Word::Checked => "checked",
        Word::Disk => "disk",
        Word::DoesNotHold => "does not hold",
        Word::Holds => "holds",
        Word::HoldsSimulated => "holds (simulated media)",
        Word::Missing => "missing",
        Word::NoStore => "no directory",
        Word::Nodes => "nodes",
        Word::Proved => "proved",
        Word::PublicKey => "public key",
        Word::Refuted => "refuted",
        Word::SameState => "same state",
        Word::ThreeTwoOne => "3-2-1",
    }
}

/// Sentences.
pub(super) fn say(say: &Say) -> String {
    match say {
        Say::See(see) => super::see::say(super::Lang::En, see),
        Say::Lead(say) => say.text(Lang::En),
        Say::NothingFound => "Nothing found.".to_owned(),
        Say::Situation { word: state, voters, alive, spare } => {
            let spare = match spare {
                Some(spare) => format!("can lose {spare} more"),
                None => "no majority".to_owned(),
            };
            format!("Situation: {} · quorum {alive}/{voters}, {spare}", word(*state))
        }
        Say::Copies(copies) => {
            let mut text = format!(
                "images on {} ({}): {} of {} chunks",
                copies.node, copies.medium, copies.received, copies.expected
            );
            text += " · ";
            text += &match copies.missing() {
                _ if copies.received >= copies.expected => "complete".to_owned(),
                (amount, Some(time)) => format!("lacks {amount}, about {time}"),
                (amount, None) => format!("lacks {amount}, nobody can tell for how long"),
            };
            if let Some(age) = copies.checked_ms {
                text += &format!(" · oldest check {} ago", super::span(age));
            }
            if let Some(bad) = copies.bad.filter(|bad| *bad > 0) {
                text += &format!(" · {} bad copies since its start", bad);
            }
            text
        }
        Say::NodeSilent { node, why } if why.is_empty() => {
            format!("■ {node}: does not answer → look at that computer and its link: systemctl status plantaod")
        }
        Say::NodeSilent { node, why } => {
            format!("■ {node}: does not answer ({why}) → look at that computer and its link: systemctl status plantaod")
        }
        Say::NodeBehind { node, entries } => format!("▲ {node}: {entries} entries behind → plantao status -W"),
        Say::LinkCut(link) => {
            let (pair, test) = link.told("leader");
            format!(
                "■ link {pair} cut since {}, and both nodes are up → look at the internet lines, the VPN and the firewall \
                 between them; on {test}",
                link.since
            )
        }
        Say::NodeSealed { node } => {
            format!("▲ {node}: sealed, serves no content → give it its root slot and restart plantaod there")
        }
        Say::NoLeader => {
            "■ no node leads: nothing can be written → bring a stopped node back; reads go on with --stale".to_owned()
        }
        Say::ServerWarning { node, code, message, help } => format!("▲ {node}: {message} (PLT-{code:04}) → {help}"),
        Say::Plan { from, to, behind: Some(entries) } => {
            format!("Plan: {from} → {to}   entries to catch up: {entries}")
        }
        Say::Plan { from, to, behind: None } => format!("Plan: {from} → {to}"),
        Say::AnyVoter => "any voter that is caught up".to_owned(),
        Say::Ask { label } => format!("Confirm on {label}? [y/N]"),
        Say::TypeName { of, name, label } => {
            let of = match of {
                Named::Node => "node",
                Named::Network => "network",
            };
            format!("This is for good on {label}. Type the {of}'s name ({name}):")
        }
        Say::Before => "Before:".to_owned(),
        Say::After => "After:".to_owned(),
        Say::DigestsEqual { nodes, index } => format!("{nodes} nodes are equal at index {index}."),
        Say::DigestsNotCompared { nodes } => {
            format!("No common index of all that answer ({nodes} answered) → plantao digest --wait 60")
        }
        Say::QuorumThere { answering, voters } => format!("There is a quorum: {answering} of {voters} voters answer."),
        Say::QuorumLost { answering, voters, latest } => format!(
            "No quorum: {answering} of {voters} voters answer; {latest} has the latest entry → try to start another voter; if \
             they never come back: plantao quorum recover or, with the node stopped, plantaod quorum show"
        ),
        Say::DigestMissing { node, why } => format!("■ {node}: does not answer ({why})"),
        Say::TrailWhole { entries } => format!("The trail is whole: {entries} entries."),
        Say::TokenOnce => "Shown once. Carry it to the new node by a safe way: plantaod join".to_owned(),
        Say::ContextAdded { name } => format!("Context {name} is saved → plantao status -c {name}"),
        Say::ContextUsed { name } => format!("Context {name} is the current one."),
        Say::ContextRemoved { name } => format!("Context {name} is removed; its certificates and keys stay."),
        Say::NotDue { due } => format!("Not due before {due} → add --now to renew all the same"),
        Say::Certificates(said) => said.told(super::Lang::En),
        Say::RootMade { directory } => {
            format!("The authority is in {directory}. Its key signs all: keep it off the nodes, with a copy.")
        }
        Say::NothingChanged => "Nothing changed: everything was there already.".to_owned(),
        Say::ImportDone { issues: 0 } => "Import done.".to_owned(),
        Say::ImportDone { issues } => format!("Import done; {issues} lines were not taken → -o json lists them"),
        Say::ImportStopped { why } => {
            format!("Import stopped: {why} → plantao status, then repeat it: what is there already stays as it is")
        }
        Say::Issue { place, code: Some(code), why, help } => format!("▲ {place}: {why} (PLT-{code:04}) → {help}"),
        Say::Issue { place, code: None, why, help } => format!("▲ {place}: {why} → {help}"),
        Say::ReadBack { endpoint, records } => {
            format!("{endpoint}: {records} documents read back byte by byte, all equal.")
        }
        Say::Watching { from } => format!("Watching from index {from}; Ctrl-C ends."),
        Say::MorePatients => "There are more: narrow the search.".to_owned(),
        Say::ReportWritten { file, signed: true } => {
            format!(
                "Report: {file}, signature: {file}.sig → openssl pkeyutl -verify -pubin -rawin -inkey KEY.pub -in {file} -sigfile {file}.sig"
            )
        }
        Say::ReportWritten { file, signed: false } => format!("Report: {file}"),
        Say::ProofObjects { images: true, objects: 0, .. } => "Images: none.".to_owned(),
        Say::ProofObjects { images, objects, copies, media, off_site, short } => {
            let kind = if *images { "Images" } else { "Agenda, records, audit (rows)" };
            let short = if *short == 0 { String::new() } else { format!("; {short} without enough copies") };
            format!("{kind}: {objects}; each at least {copies} copies, {media} media, {off_site} off-site{short}.")
        }
        Say::ProofFinding { kind, node, image, count } => {
            let times = if *count > 1 { format!(" ×{count}") } else { String::new() };
            let image = image.as_ref().map(|image| format!(" (image {image})")).unwrap_or_default();
            match kind {
                FindingKind::Lost => {
                    format!("■ {node}: a copy is gone{times}{image} → it is repaired by itself; look again in a minute")
                }
                FindingKind::Awaited => {
                    format!("▲ {node}: a copy is on its way{times}{image} → plantao status shows the backlog")
                }
                FindingKind::Refuted => {
                    format!(
                        "■ {node}: could not prove a chunk that it claims{times}{image} → look at its disk; its copies do not count"
                    )
                }
                FindingKind::Overdue => format!("▲ {node}: a check is overdue → raise chunks.scrub_rate there"),
                FindingKind::Silent => format!("■ {node}: does not answer → look at that computer and its link"),
                FindingKind::NoStore => {
                    format!("■ {node}: has no chunk directory that counts → look at its log and its disk")
                }
                FindingKind::State | FindingKind::Unspecified => {
                    format!("■ {node}: its records could not be compared, or differ → plantao digest")
                }
            }
        }
        Say::MoreFindings { count } => format!("… and {count} more → -o json"),
        Say::SeeStatus => "look at the network: plantao status".to_owned(),
        Say::NotSet { setting } => format!("{setting} is not set"),
        Say::AddFlag { flag } => format!("add {flag}"),
        Say::HowToCheck { request_id, over: true, .. } => {
            format!("it cannot be applied any more: read the object to see whether it was (request {request_id})")
        }
        Say::HowToCheck { request_id, not_after, over: false } => {
            format!("repeat it with --request-id {request_id} --not-after {not_after}: it is done at most once")
        }
        Say::ImagesPut { images, unchanged, rate } => {
            let rate = *rate as f64 / 1e6;
            format!("{images} stored, {unchanged} were there already; {rate:.1} MB/s")
        }
        Say::ImagesReadBack { endpoint, images } => {
            format!("{endpoint}: {images} images read back, all with the SHA-256 of the file.")
        }
        Say::NoImage { path } => format!("▲ {path}: no image, left out → name the file to learn why"),
        Say::OffSiteAwaited { waited_ms, late: true } => {
            format!("off-site copy LATE: missing for {}", super::span(*waited_ms))
        }
        Say::OffSiteAwaited { waited_ms, late: false } => {
            format!("awaits the off-site copy for {}", super::span(*waited_ms))
        }
        Say::ImageWhole => "The image is whole: its SHA-256 is that of its sender.".to_owned(),
        Say::ImageNotWhole => {
            "■ The image is NOT whole on this node → plantao image verify on another: --endpoint".to_owned()
        }
        Say::HeldBy { holder } => format!("held by appointment {holder}"),
        Say::Members(say) => say.say(super::Lang::En),
        Say::Upgrade(say) => say.say(super::Lang::En),
        Say::Quorum(say) => say.say(super::Lang::En),
    }
}
