//! `plantao record list|get|add|amend`. What a record says goes out only when it is asked for, byte by byte.

use crate::args::{OfPatient, Write};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ids;
use crate::input::{self, DOCUMENT_BYTES_MAX};
use crate::output::json::list_head;
use crate::output::{Cell, Column, Items, Report, Table};
use crate::session::{Change, Session};
use crate::text::{Lang, Word};
use crate::when::{self, Zone};
use clap::{Args, Subcommand};
use plantao_client::id::{Id, LabelKind};
use plantao_proto::public::v1::{AddRecordRequest, AmendRecordRequest, AsOf, GetRecordResponse, RecordHead};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Patient records.
#[derive(Debug, Subcommand)]
pub(crate) enum RecordCommand {
    /// List a patient's records, without their content
    List(OfPatient),
    /// Show a record; the read is audited
    Get(GetArgs),
    /// Add a record
    Add(AddArgs),
    /// Correct a record, as a new version with a reason
    Amend(AmendArgs),
}

/// Which.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The record: id or label
    record: String,
    /// This version instead of the current one
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    version: u32,
    /// Write only the document, byte by byte
    #[arg(long)]
    raw: bool,
}

/// What.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Patient
    #[arg(long, value_name = "PATIENT")]
    patient: String,
    /// Unit
    #[arg(long, value_name = "UNIT")]
    unit: String,
    /// Kind, as FHIR names it, such as Observation
    #[arg(long)]
    kind: String,
    /// When it was authored (default: now)
    #[arg(long, value_name = "TIME")]
    authored: Option<String>,
    /// Document to keep byte by byte, at most 48 KiB; - is the standard input
    #[arg(long, value_name = "FILE")]
    document: PathBuf,
    /// Own id for the new object: UUID or label
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    write: Write,
}

/// Which, and what instead.
#[derive(Debug, Args)]
pub(crate) struct AmendArgs {
    /// The record: id or label
    record: String,
    /// Version that you saw; refused when it is not the current one
    #[arg(long, value_name = "N")]
    seen_version: u32,
    /// Why
    #[arg(long)]
    reason: String,
    /// Document to keep byte by byte, at most 48 KiB; - is the standard input
    #[arg(long, value_name = "FILE")]
    document: PathBuf,
    #[command(flatten)]
    write: Write,
}

/// Runs one of them.
pub(crate) async fn run(command: RecordCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        RecordCommand::List(args) => {
            let cluster = session.cluster()?;
            let patient = ids::patient(&cluster, &args.patient).await?;
            let (at, records) = cluster.records(patient, args.newest_first).await?;
            session.list(&list_view(session.out.lang, &session.zone, at.as_ref(), &records))
        }
        RecordCommand::Get(args) => get(args, session).await,
        RecordCommand::Add(args) => add(args, session).await,
        RecordCommand::Amend(args) => amend(args, session).await,
    }
}

fn record(text: &str) -> Result<Id, Failure> {
    ids::direct(Word::Record, LabelKind::Record, text)
}

async fn get(args: GetArgs, session: &Session) -> Result<Exit, Failure> {
    let answer = session.cluster()?.record(record(&args.record)?, args.version).await?;
    if args.raw {
        session.out.raw(&answer.document)?;
        return Ok(Exit::Done);
    }
    session.list(&one_view(session.out.lang, &session.zone, &answer))
}

async fn add(args: AddArgs, session: &Session) -> Result<Exit, Failure> {
    let cluster = session.cluster()?;
    let authored_ms = match &args.authored {
        Some(text) => session.zone.parse(text)?,
        // "Now" would differ when the request is repeated, and a repetition must be the same to the bit.
        None if args.write.request_id.is_some() => {
            return Err(Failure::BadValue {
                field: "--authored",
                why: "it is needed with --request-id, so that a repetition says the same".to_owned(),
            });
        }
        None => when::now_ms(),
    };
    let document = input::file(&args.document, DOCUMENT_BYTES_MAX)?;
    let unit = ids::unit(&cluster, &args.unit).await?;
    let patient = ids::patient(&cluster, &args.patient).await?;
    let header = session.header(&args.write)?;
    let object = header.new_object(Word::Record, LabelKind::Record, args.id.as_deref())?;
    let request = AddRecordRequest {
        header: None,
        record_id: object.to_wire(),
        patient_id: patient.to_wire(),
        unit_id: unit.to_wire(),
        kind: args.kind,
        authored_ms,
        document: document.into(),
    };
    let written = cluster.add_record(&header, request).await;
    session.written(Change { action: "record.add", object }, &header, written)
}

async fn amend(args: AmendArgs, session: &Session) -> Result<Exit, Failure> {
    let cluster = session.cluster()?;
    let object = record(&args.record)?;
    let document = input::file(&args.document, DOCUMENT_BYTES_MAX)?;
    let header = session.header(&args.write)?;
    let request = AmendRecordRequest {
        header: None,
        record_id: object.to_wire(),
        seen_version: args.seen_version,
        reason: args.reason,
        document: document.into(),
    };
    let written = cluster.amend_record(&header, request).await;
    session.written(Change { action: "record.amend", object }, &header, written)
}

fn value(head: &RecordHead) -> Value {
    json!({
        "id": ids::text(&head.id),
        "patient_id": ids::text(&head.patient_id),
        "unit_id": ids::text(&head.unit_id),
        "record_kind": head.kind,
        "authored": when::rfc3339(head.authored_ms),
        "version": head.version,
        "written": when::rfc3339(head.written_ms),
        "author_id": ids::text(&head.author_id),
    })
}

fn list_view(lang: Lang, zone: &Zone, at: Option<&AsOf>, records: &[RecordHead]) -> Report {
    let rows = records.iter().map(|head| {
        vec![
            zone.minute(head.authored_ms, lang).into(),
            head.kind.as_str().into(),
            head.version.to_string().into(),
            zone.minute(head.written_ms, lang).into(),
            ids::text(&head.author_id).into(),
            ids::text(&head.id).into(),
        ]
    });
    Report {
        kind: "record_list",
        head: list_head(at),
        items: Items::Many("records", records.iter().map(value).collect()),
        table: Table::new(
            vec![
                Column::of(Word::Authored),
                Column::of(Word::Kind),
                Column::number(Word::Version),
                Column::of(Word::Written).wide(),
                Column::of(Word::Author).wide(),
                Column::of(Word::Id),
            ],
            rows.collect(),
        ),
    }
}

fn one_view(lang: Lang, zone: &Zone, answer: &GetRecordResponse) -> Report {
    let head = answer.head.clone().unwrap_or_default();
    let document = String::from_utf8_lossy(&answer.document);
    let mut item = value(&head);
    item["reason"] = answer.reason.as_str().into();
    item["document_bytes"] = answer.document.len().into();
    item["document"] = document.as_ref().into();
    let mut fields: Vec<(Word, Cell)> = vec![
        (Word::Id, ids::text(&head.id).into()),
        (Word::Patient, ids::text(&head.patient_id).into()),
        (Word::Unit, ids::text(&head.unit_id).into()),
        (Word::Kind, head.kind.into()),
        (Word::Authored, zone.minute(head.authored_ms, lang).into()),
        (Word::Version, head.version.to_string().into()),
        (Word::Written, zone.minute(head.written_ms, lang).into()),
        (Word::Author, ids::text(&head.author_id).into()),
    ];
    if !answer.reason.is_empty() {
        fields.push((Word::Reason, answer.reason.as_str().into()));
    }
    fields.push((Word::Document, document.as_ref().into()));
    Report {
        kind: "record",
        head: list_head(answer.as_of.as_ref()),
        items: Items::One("record", item),
        table: Table::pairs(lang, fields),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed answers for golden files.
    use super::*;
    use crate::golden::{MOMENT, at, id, zone};

    fn head(byte: u8) -> RecordHead {
        RecordHead {
            id: id(byte),
            patient_id: id(9),
            unit_id: id(1),
            kind: "Observation".into(),
            authored_ms: MOMENT,
            version: 2,
            written_ms: MOMENT + 60_000,
            author_id: id(77),
        }
    }

    pub(crate) fn list(lang: Lang) -> Report {
        list_view(lang, &zone(), Some(&at()), &[head(3), head(4)])
    }

    pub(crate) fn get(lang: Lang) -> Report {
        let answer = GetRecordResponse {
            as_of: Some(at()),
            head: Some(head(3)),
            document: b"{\"a\":\"\x1b[2J\"}\r\n\xff".to_vec().into(),
            reason: "exame trocado".into(),
        };
        one_view(lang, &zone(), &answer)
    }
}
