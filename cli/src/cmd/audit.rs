//! `plantao audit list|verify`: who did what, and whether the chain of the trail is whole.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ids;
use crate::output::json::list_head;
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::session::Session;
use crate::text::{Lang, Say, Word};
use crate::when::{self, Zone};
use clap::{Args, Subcommand};
use plantao_client::id::Id;
use plantao_proto::public::v1::{AsOf, AuditEntry, ListEntriesRequest, Module, VerifyTrailResponse};
use serde_json::{Value, json};

/// Entries of one answer, as large as the cluster gives.
const PAGE: u32 = 500;

/// The audit trail.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List entries, oldest first
    List(ListArgs),
    /// Recompute the chain of the trail on a node
    Verify,
}

/// A part of the system that changes are told of.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum ModuleArg {
    Directory,
    Patients,
    Agenda,
    Records,
    Consents,
    Audit,
    Cluster,
    Keys,
    Images,
}

impl From<ModuleArg> for Module {
    fn from(module: ModuleArg) -> Self {
        match module {
            ModuleArg::Directory => Self::Directory,
            ModuleArg::Patients => Self::Patients,
            ModuleArg::Agenda => Self::Agenda,
            ModuleArg::Records => Self::Records,
            ModuleArg::Consents => Self::Consents,
            ModuleArg::Audit => Self::Audit,
            ModuleArg::Cluster => Self::Cluster,
            ModuleArg::Keys => Self::Keys,
            ModuleArg::Images => Self::Images,
        }
    }
}

/// A module's name, the same in every language, because it is what `--module` takes.
pub(crate) fn module_name(module: Module) -> &'static str {
    match module {
        Module::Unspecified => "unknown",
        Module::Directory => "directory",
        Module::Patients => "patients",
        Module::Agenda => "agenda",
        Module::Records => "records",
        Module::Consents => "consents",
        Module::Audit => "audit",
        Module::Cluster => "cluster",
        Module::Keys => "keys",
        Module::Images => "images",
    }
}

/// Which.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// From this entry on
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0, hide_default_value = true)]
    from: u64,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// About this patient
    #[arg(long, value_name = "PATIENT")]
    patient: Option<String>,
    /// Of this module
    #[arg(long, value_enum, value_name = "MODULE")]
    module: Option<ModuleArg>,
    /// Of this unit
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// By this actor (digest of the identity)
    #[arg(long, value_name = "UUID")]
    actor: Option<Id>,
}

/// Runs one of them.
pub(crate) async fn run(command: AuditCommand, session: &Session) -> Result<Exit, Failure> {
    let cluster = session.cluster()?;
    match command {
        AuditCommand::List(args) => {
            let wire = |id: Option<Id>| id.map(Id::to_wire).unwrap_or_default();
            let patient = match &args.patient {
                Some(text) => Some(ids::patient(&cluster, text).await?),
                None => None,
            };
            let mut request = ListEntriesRequest {
                read: None,
                from_sequence: args.from,
                patient_id: wire(patient),
                module: args.module.map_or(Module::Unspecified, Module::from).into(),
                unit_id: wire(ids::unit_option(&cluster, args.unit.as_deref()).await?),
                actor_id: wire(args.actor),
                page_size: PAGE.min(args.limit),
            };
            let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
            let mut entries = Vec::new();
            let mut at = None;
            loop {
                let answer = cluster.audit_entries(request.clone()).await?;
                at = at.or(answer.as_of);
                entries.extend(answer.entries);
                // The end is a page that leads nowhere new.
                if entries.len() >= limit || answer.next_sequence <= request.from_sequence {
                    break;
                }
                request.from_sequence = answer.next_sequence;
            }
            entries.truncate(limit);
            session.list(&list_view(session.out.lang, &session.zone, at.as_ref(), &entries))
        }
        AuditCommand::Verify => {
            let answer = cluster.verify_trail().await?;
            session.out.report(&verify_view(session.out.lang, &answer))?;
            if answer.whole {
                session.out.note(&Say::TrailWhole { entries: answer.entries });
                Ok(Exit::Done)
            } else {
                Err(Failure::TrailBroken { sequence: answer.broken_at })
            }
        }
    }
}

fn value(entry: &AuditEntry) -> Value {
    json!({
        "sequence": entry.sequence,
        "index": entry.index,
        "at": when::rfc3339(entry.at_ms),
        "actor_id": ids::text(&entry.actor_id),
        "role": entry.role,
        "actor_unit_id": ids::text(&entry.actor_unit_id),
        "via_node_id": entry.via_node_id,
        "module": module_name(entry.module()),
        "action": entry.action,
        "object_kind": entry.object_kind,
        "object_id": ids::text(&entry.object_id),
        "version": entry.version,
        "patient_id": ids::text(&entry.patient_id),
        "unit_id": ids::text(&entry.unit_id),
        "request_id": ids::text(&entry.request_id),
        "refusal": (entry.refusal != 0).then(|| format!("PLT-{:04}", entry.refusal)),
        "previous": ids::hex(&entry.previous),
    })
}

fn list_view(lang: Lang, zone: &Zone, at: Option<&AsOf>, entries: &[AuditEntry]) -> Report {
    let rows = entries.iter().map(|entry| {
        let refusal = if entry.refusal == 0 {
            Cell::from("–")
        } else {
            Cell { text: format!("PLT-{:04}", entry.refusal), tone: Tone::Warn }
        };
        vec![
            entry.sequence.to_string().into(),
            zone.minute(entry.at_ms, lang).into(),
            module_name(entry.module()).into(),
            entry.action.as_str().into(),
            entry.object_kind.as_str().into(),
            ids::text(&entry.object_id).into(),
            entry.role.as_str().into(),
            refusal,
            ids::text(&entry.actor_id).into(),
            entry.via_node_id.to_string().into(),
            ids::text(&entry.patient_id).into(),
            ids::text(&entry.request_id).into(),
        ]
    });
    Report {
        kind: "audit_list",
        head: list_head(at),
        items: Items::Many("entries", entries.iter().map(value).collect()),
        table: Table::new(
            vec![
                Column::number(Word::Sequence),
                Column::of(Word::At),
                Column::of(Word::Module),
                Column::of(Word::Action),
                Column::of(Word::Kind),
                Column::of(Word::Object),
                Column::of(Word::Role),
                Column::of(Word::Refusal),
                Column::of(Word::Actor).wide(),
                Column::number(Word::Node).wide(),
                Column::of(Word::Patient).wide(),
                Column::of(Word::Request).wide(),
            ],
            rows.collect(),
        ),
    }
}

fn verify_view(lang: Lang, answer: &VerifyTrailResponse) -> Report {
    let (word, tone) = if answer.whole { (Word::Yes, Tone::Good) } else { (Word::No, Tone::Bad) };
    let node = answer.as_of.as_ref().map_or_else(|| "?".to_owned(), |at| at.node_id.to_string());
    Report {
        kind: "audit_verify",
        head: list_head(answer.as_of.as_ref()),
        items: Items::One(
            "trail",
            json!({
                "whole": answer.whole,
                "entries": answer.entries,
                "broken_at": (answer.broken_at != 0).then_some(answer.broken_at),
                "head": ids::hex(&answer.head),
            }),
        ),
        table: Table::pairs(
            lang,
            vec![
                (Word::Whole, Cell { text: lang.word(word).to_owned(), tone }),
                (Word::Count, answer.entries.to_string().into()),
                (Word::Head, ids::hex(&answer.head).into()),
                (Word::Node, node.into()),
            ],
        ),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed answers for golden files.
    use super::*;
    use crate::golden::{MOMENT, at, id, zone};

    pub(crate) fn list(lang: Lang) -> Report {
        let entry = |sequence, refusal| AuditEntry {
            sequence,
            index: 40 + sequence,
            at_ms: MOMENT,
            actor_id: id(77),
            role: "reception".into(),
            via_node_id: 1,
            module: Module::Agenda.into(),
            action: "book".into(),
            object_kind: "appointment".into(),
            object_id: id(3),
            version: 1,
            patient_id: id(9),
            unit_id: id(1),
            request_id: id(88),
            refusal,
            previous: vec![0xaa; 32].into(),
            ..AuditEntry::default()
        };
        list_view(lang, &zone(), Some(&at()), &[entry(1, 0), entry(2, 1204)])
    }

    pub(crate) fn verify(lang: Lang) -> Report {
        let answer = VerifyTrailResponse {
            as_of: Some(at()),
            entries: 2,
            whole: false,
            broken_at: 2,
            head: vec![0xbb; 32].into(),
        };
        verify_view(lang, &answer)
    }
}
