//! `plantao patient list|get|find|register|amend`.
//!
//! Names and numbers of people come from files or the standard input, or from flags where the operator accepts that
//! they stand in the shell's history.

use crate::args::Write;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::gateway::{Find, Gateway};
use crate::ids;
use crate::input;
use crate::output::json::list_head;
use crate::output::{Cell, Column, Items, Report, Table};
use crate::session::{Change, Session};
use crate::text::{Lang, Say, Word};
use clap::{Args, Subcommand};
use plantao_client::id::LabelKind;
use plantao_proto::public::v1::{
    AmendPatientRequest, AsOf, Demographics, Patient, PatientSummary, RegisterPatientRequest,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Largest demographics file: the document is at most 48 KiB, and escapes may triple it.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Patients.
#[derive(Debug, Subcommand)]
pub(crate) enum PatientCommand {
    /// List patients, without names
    List,
    /// Show a patient; the read is audited
    Get {
        /// The patient: id, label or beginning of the id
        patient: String,
        /// This version instead of the current one
        #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
        version: u32,
    },
    /// Find patients; the read is audited
    Find(FindArgs),
    /// Register a patient
    Register(RegisterArgs),
    /// Correct a patient's data, as a new version
    Amend(AmendArgs),
}

/// By what.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct FindArgs {
    /// By CPF; - reads it from the standard input
    #[arg(long)]
    cpf: Option<String>,
    /// By telephone; - reads it from the standard input
    #[arg(long)]
    phone: Option<String>,
    /// By part of the name, at least 3 letters; - reads it from the standard input
    #[arg(long)]
    name: Option<String>,
}

/// Who.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Unit that registers
    #[arg(long, value_name = "UNIT")]
    unit: String,
    /// Own id for the new object: UUID or label
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    write: Write,
}

/// Who, and the version that was seen.
#[derive(Debug, Args)]
pub(crate) struct AmendArgs {
    /// The patient: id, label or beginning of the id
    patient: String,
    /// Version that you saw; refused when it is not the current one
    #[arg(long, value_name = "N")]
    seen_version: u32,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    write: Write,
}

/// Demographics, from a file or from flags.
#[derive(Debug, Args)]
pub(crate) struct Who {
    /// JSON file with name, cpf, phones, email, birth_date; - is the standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "cpf", "phone", "email", "birth_date"],
        required_unless_present = "name")]
    from: Option<PathBuf>,
    /// Full name
    #[arg(long)]
    name: Option<String>,
    /// CPF
    #[arg(long)]
    cpf: Option<String>,
    /// Telephone; may be repeated
    #[arg(long)]
    phone: Vec<String>,
    /// E-mail
    #[arg(long)]
    email: Option<String>,
    /// Date of birth, YYYY-MM-DD
    #[arg(long, value_name = "DATE")]
    birth_date: Option<String>,
    /// Document to keep byte by byte, at most 48 KiB
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhoFile {
    name: String,
    #[serde(default)]
    cpf: String,
    #[serde(default)]
    phones: Vec<String>,
    #[serde(default)]
    email: String,
    #[serde(default)]
    birth_date: String,
}

impl Who {
    fn read(self) -> Result<Demographics, Failure> {
        let document = match &self.document {
            Some(path) => input::file(path, input::DOCUMENT_BYTES_MAX)?,
            None => Vec::new(),
        };
        let Some(path) = &self.from else {
            return Ok(Demographics {
                name: self.name.unwrap_or_default(),
                cpf: self.cpf.unwrap_or_default(),
                phones: self.phone,
                email: self.email.unwrap_or_default(),
                birth_date: self.birth_date.unwrap_or_default(),
                document: document.into(),
            });
        };
        let bytes = input::file(path, FILE_BYTES_MAX)?;
        let file: WhoFile = serde_json::from_slice(&bytes).map_err(|error| Failure::BadValue {
            field: "--from",
            // The message of serde_json may quote a value; its place is enough.
            why: format!("not a JSON object of name, cpf, phones, email, birth_date (line {})", error.line()),
        })?;
        Ok(Demographics {
            name: file.name,
            cpf: file.cpf,
            phones: file.phones,
            email: file.email,
            birth_date: file.birth_date,
            document: document.into(),
        })
    }
}

/// Runs one of them.
pub(crate) async fn run(command: PatientCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        PatientCommand::List => {
            let (at, patients) = session.cluster()?.patients().await?;
            session.list(&list_view(at.as_ref(), &patients))
        }
        PatientCommand::Get { patient, version } => {
            let cluster = session.cluster()?;
            let id = ids::patient(&cluster, &patient).await?;
            let (at, patient) = cluster.patient(id, version).await?;
            session.list(&patient_view(session.out.lang, at.as_ref(), &patient))
        }
        PatientCommand::Find(args) => find(args, session).await,
        PatientCommand::Register(args) => register(args, session).await,
        PatientCommand::Amend(args) => amend(args, session).await,
    }
}

async fn find(args: FindArgs, session: &Session) -> Result<Exit, Failure> {
    let by = match (args.cpf, args.phone, args.name) {
        (Some(cpf), ..) => Find::Cpf(input::value(cpf)?),
        (_, Some(phone), _) => Find::Phone(input::value(phone)?),
        (.., name) => Find::Name(input::value(name.unwrap_or_default())?),
    };
    let found = session.cluster()?.find_patients(by).await?;
    if found.more {
        session.out.note(&Say::MorePatients);
    }
    session.list(&find_view(found.as_of.as_ref(), &found.patients, found.more))
}

async fn register(args: RegisterArgs, session: &Session) -> Result<Exit, Failure> {
    let cluster: Gateway = session.cluster()?;
    let unit = ids::unit(&cluster, &args.unit).await?;
    let header = session.header(&args.write)?;
    let patient = header.new_object(Word::Patient, LabelKind::Patient, args.id.as_deref())?;
    let request = RegisterPatientRequest {
        header: None,
        patient_id: patient.to_wire(),
        unit_id: unit.to_wire(),
        demographics: Some(args.who.read()?),
    };
    let written = cluster.register_patient(&header, request).await;
    session.written(Change { action: "patient.register", object: patient }, &header, written)
}

async fn amend(args: AmendArgs, session: &Session) -> Result<Exit, Failure> {
    let cluster = session.cluster()?;
    let patient = ids::patient(&cluster, &args.patient).await?;
    let header = session.header(&args.write)?;
    let request = AmendPatientRequest {
        header: None,
        patient_id: patient.to_wire(),
        seen_version: args.seen_version,
        demographics: Some(args.who.read()?),
    };
    let written = cluster.amend_patient(&header, request).await;
    session.written(Change { action: "patient.amend", object: patient }, &header, written)
}

fn list_view(at: Option<&AsOf>, patients: &[PatientSummary]) -> Report {
    let values = patients
        .iter()
        .map(|one| json!({"id": ids::text(&one.id), "unit_id": ids::text(&one.unit_id), "version": one.version}));
    let rows = patients
        .iter()
        .map(|one| vec![ids::text(&one.id).into(), ids::text(&one.unit_id).into(), one.version.to_string().into()]);
    Report {
        kind: "patient_list",
        head: list_head(at),
        items: Items::Many("patients", values.collect()),
        table: Table::new(
            vec![Column::of(Word::Id), Column::of(Word::Unit), Column::number(Word::Version)],
            rows.collect(),
        ),
    }
}

fn value(patient: &Patient) -> Value {
    let who = patient.demographics.clone().unwrap_or_default();
    json!({
        "id": ids::text(&patient.id),
        "unit_id": ids::text(&patient.unit_id),
        "version": patient.version,
        "name": who.name,
        "cpf": who.cpf,
        "phones": who.phones,
        "email": who.email,
        "birth_date": who.birth_date,
        "document_bytes": who.document.len(),
    })
}

fn patient_view(lang: Lang, at: Option<&AsOf>, patient: &Patient) -> Report {
    let who = patient.demographics.clone().unwrap_or_default();
    let fields: Vec<(Word, Cell)> = vec![
        (Word::Id, ids::text(&patient.id).into()),
        (Word::Unit, ids::text(&patient.unit_id).into()),
        (Word::Version, patient.version.to_string().into()),
        (Word::Name, who.name.into()),
        (Word::Cpf, who.cpf.into()),
        (Word::Phones, who.phones.join(", ").into()),
        (Word::Email, who.email.into()),
        (Word::BirthDate, who.birth_date.into()),
        (Word::Document, format!("{} B", who.document.len()).into()),
    ];
    Report {
        kind: "patient",
        head: list_head(at),
        items: Items::One("patient", value(patient)),
        table: Table::pairs(lang, fields),
    }
}

fn find_view(at: Option<&AsOf>, patients: &[Patient], more: bool) -> Report {
    let mut head = list_head(at);
    head.insert("more".to_owned(), more.into());
    let rows = patients.iter().map(|one| {
        let who = one.demographics.clone().unwrap_or_default();
        vec![
            who.name.into(),
            who.cpf.into(),
            who.birth_date.into(),
            who.phones.join(", ").into(),
            ids::text(&one.id).into(),
            one.version.to_string().into(),
        ]
    });
    Report {
        kind: "patient_find",
        head,
        items: Items::Many("patients", patients.iter().map(value).collect()),
        table: Table::new(
            vec![
                Column::of(Word::Name),
                Column::of(Word::Cpf),
                Column::of(Word::BirthDate),
                Column::of(Word::Phones).wide(),
                Column::of(Word::Id),
                Column::number(Word::Version).wide(),
            ],
            rows.collect(),
        ),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed answers for golden files.
    use super::*;
    use crate::golden::{at, id};

    fn ana() -> Patient {
        Patient {
            id: id(9),
            unit_id: id(1),
            version: 2,
            demographics: Some(Demographics {
                name: "Ana\u{1b}]0;x\u{7} d'Ávila \u{202e}Conceição".into(),
                cpf: "529.982.247-25".into(),
                phones: vec!["+55 11 90000-0000".into()],
                email: "ana@example.invalid".into(),
                birth_date: "1980-02-29".into(),
                ..Demographics::default()
            }),
        }
    }

    pub(crate) fn get(lang: Lang) -> Report {
        patient_view(lang, Some(&at()), &ana())
    }

    pub(crate) fn find() -> Report {
        find_view(Some(&at()), &[ana()], false)
    }
}
