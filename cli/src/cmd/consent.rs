//! `plantao consent list|get|grant|revoke`.

use crate::args::Write;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ids;
use crate::input::{self, DOCUMENT_BYTES_MAX};
use crate::output::json::list_head;
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::session::{Change, Session};
use crate::text::{Lang, Word};
use crate::when::{self, Zone};
use clap::{Args, Subcommand};
use plantao_client::id::{Id, LabelKind};
use plantao_proto::public::v1::{AsOf, Consent, GrantConsentRequest, Purpose, RevokeConsentRequest};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Consents.
#[derive(Debug, Subcommand)]
pub(crate) enum ConsentCommand {
    /// List a patient's consents
    List {
        /// Patient
        #[arg(long, value_name = "PATIENT")]
        patient: String,
    },
    /// Show a consent; the read is audited
    Get {
        /// The consent: id or label
        consent: String,
        /// Write only the document, byte by byte
        #[arg(long)]
        raw: bool,
    },
    /// Register a consent that was given
    Grant(GrantArgs),
    /// Revoke a consent; it is kept, and cannot be granted again
    Revoke(RevokeArgs),
}

/// For what a consent is.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum PurposeArg {
    Treatment,
    ClinicalImages,
    Sharing,
    Research,
    Marketing,
}

impl From<PurposeArg> for Purpose {
    fn from(purpose: PurposeArg) -> Self {
        match purpose {
            PurposeArg::Treatment => Self::Treatment,
            PurposeArg::ClinicalImages => Self::ClinicalImages,
            PurposeArg::Sharing => Self::Sharing,
            PurposeArg::Research => Self::Research,
            PurposeArg::Marketing => Self::Marketing,
        }
    }
}

/// Of whom, for what, until when.
#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// Patient
    #[arg(long, value_name = "PATIENT")]
    patient: String,
    /// Unit
    #[arg(long, value_name = "UNIT")]
    unit: String,
    /// Purpose; may be repeated
    #[arg(long, value_enum, required = true, value_delimiter = ',')]
    purpose: Vec<PurposeArg>,
    /// Valid from
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Valid until (default: without end)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Signed document to keep byte by byte, at most 48 KiB; - is the standard input
    #[arg(long, value_name = "FILE")]
    document: PathBuf,
    /// Own id for the new object: UUID or label
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    write: Write,
}

/// Which, and why.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The consent: id or label
    consent: String,
    /// Version that you saw; refused when it is not the current one
    #[arg(long, value_name = "N")]
    seen_version: u32,
    /// Why
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    write: Write,
}

/// Runs one of them.
pub(crate) async fn run(command: ConsentCommand, session: &Session) -> Result<Exit, Failure> {
    let cluster = session.cluster()?;
    match command {
        ConsentCommand::List { patient } => {
            let patient = ids::patient(&cluster, &patient).await?;
            let (at, consents) = cluster.consents(patient).await?;
            session.list(&list_view(session.out.lang, &session.zone, at.as_ref(), &consents))
        }
        ConsentCommand::Get { consent, raw } => {
            let (at, found) = cluster.consent(consent_id(&consent)?).await?;
            if raw {
                session.out.raw(&found.document)?;
                return Ok(Exit::Done);
            }
            session.list(&one_view(session.out.lang, &session.zone, at.as_ref(), &found))
        }
        ConsentCommand::Grant(args) => {
            let valid_from_ms = session.zone.parse(&args.from)?;
            let valid_until_ms = args.until.as_deref().map_or(Ok(0), |until| session.zone.parse(until))?;
            let document = input::file(&args.document, DOCUMENT_BYTES_MAX)?;
            let unit = ids::unit(&cluster, &args.unit).await?;
            let patient = ids::patient(&cluster, &args.patient).await?;
            let header = session.header(&args.write)?;
            let object = header.new_object(Word::Consent, LabelKind::Consent, args.id.as_deref())?;
            let request = GrantConsentRequest {
                header: None,
                consent_id: object.to_wire(),
                patient_id: patient.to_wire(),
                unit_id: unit.to_wire(),
                purposes: args.purpose.into_iter().map(|purpose| Purpose::from(purpose).into()).collect(),
                valid_from_ms,
                valid_until_ms,
                document: document.into(),
            };
            let written = cluster.grant_consent(&header, request).await;
            session.written(Change { action: "consent.grant", object }, &header, written)
        }
        ConsentCommand::Revoke(args) => {
            let object = consent_id(&args.consent)?;
            let header = session.header(&args.write)?;
            let request = RevokeConsentRequest {
                header: None,
                consent_id: object.to_wire(),
                seen_version: args.seen_version,
                reason: args.reason,
            };
            let written = cluster.revoke_consent(&header, request).await;
            session.written(Change { action: "consent.revoke", object }, &header, written)
        }
    }
}

fn consent_id(text: &str) -> Result<Id, Failure> {
    ids::direct(Word::Consent, LabelKind::Consent, text)
}

fn purposes(consent: &Consent) -> impl Iterator<Item = (&'static str, Option<Word>)> {
    consent.purposes().map(|purpose| match purpose {
        Purpose::Unspecified => ("unknown", None),
        Purpose::Treatment => ("treatment", Some(Word::Treatment)),
        Purpose::ClinicalImages => ("clinical_images", Some(Word::ClinicalImages)),
        Purpose::Sharing => ("sharing", Some(Word::Sharing)),
        Purpose::Research => ("research", Some(Word::Research)),
        Purpose::Marketing => ("marketing", Some(Word::Marketing)),
    })
}

fn purposes_text(lang: Lang, consent: &Consent) -> String {
    purposes(consent).map(|(_, word)| word.map_or("?", |word| lang.word(word))).collect::<Vec<_>>().join(", ")
}

fn value(consent: &Consent) -> Value {
    let until = (consent.valid_until_ms != 0).then(|| when::rfc3339(consent.valid_until_ms));
    json!({
        "id": ids::text(&consent.id),
        "patient_id": ids::text(&consent.patient_id),
        "unit_id": ids::text(&consent.unit_id),
        "purposes": purposes(consent).map(|(name, _)| name).collect::<Vec<_>>(),
        "valid_from": when::rfc3339(consent.valid_from_ms),
        "valid_until": until.flatten(),
        "revoked": consent.revoked,
        "version": consent.version,
    })
}

fn until(lang: Lang, zone: &Zone, consent: &Consent) -> String {
    if consent.valid_until_ms == 0 { "–".to_owned() } else { zone.minute(consent.valid_until_ms, lang) }
}

fn revoked(lang: Lang, consent: &Consent) -> Cell {
    let (word, tone) = if consent.revoked { (Word::Yes, Tone::Warn) } else { (Word::No, Tone::Plain) };
    Cell { text: lang.word(word).to_owned(), tone }
}

fn list_view(lang: Lang, zone: &Zone, at: Option<&AsOf>, consents: &[Consent]) -> Report {
    let rows = consents.iter().map(|consent| {
        vec![
            purposes_text(lang, consent).into(),
            zone.minute(consent.valid_from_ms, lang).into(),
            until(lang, zone, consent).into(),
            revoked(lang, consent),
            consent.version.to_string().into(),
            ids::text(&consent.id).into(),
        ]
    });
    Report {
        kind: "consent_list",
        head: list_head(at),
        items: Items::Many("consents", consents.iter().map(value).collect()),
        table: Table::new(
            vec![
                Column::of(Word::Purposes),
                Column::of(Word::ValidFrom),
                Column::of(Word::Until),
                Column::of(Word::Revoked),
                Column::number(Word::Version),
                Column::of(Word::Id),
            ],
            rows.collect(),
        ),
    }
}

fn one_view(lang: Lang, zone: &Zone, at: Option<&AsOf>, consent: &Consent) -> Report {
    let document = String::from_utf8_lossy(&consent.document);
    let mut item = value(consent);
    item["document_bytes"] = consent.document.len().into();
    item["document"] = document.as_ref().into();
    let fields: Vec<(Word, Cell)> = vec![
        (Word::Id, ids::text(&consent.id).into()),
        (Word::Patient, ids::text(&consent.patient_id).into()),
        (Word::Unit, ids::text(&consent.unit_id).into()),
        (Word::Purposes, purposes_text(lang, consent).into()),
        (Word::ValidFrom, zone.minute(consent.valid_from_ms, lang).into()),
        (Word::Until, until(lang, zone, consent).into()),
        (Word::Revoked, revoked(lang, consent)),
        (Word::Version, consent.version.to_string().into()),
        (Word::Document, document.as_ref().into()),
    ];
    Report {
        kind: "consent",
        head: list_head(at),
        items: Items::One("consent", item),
        table: Table::pairs(lang, fields),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed answers for golden files.
    use super::*;
    use crate::golden::{MOMENT, at, id, zone};

    pub(crate) fn list(lang: Lang) -> Report {
        let consent = |byte, revoked| Consent {
            id: id(byte),
            patient_id: id(9),
            unit_id: id(1),
            purposes: vec![Purpose::Treatment.into(), Purpose::ClinicalImages.into(), 99],
            valid_from_ms: MOMENT,
            valid_until_ms: if revoked { MOMENT + 86_400_000 } else { 0 },
            revoked,
            version: 1 + u32::from(revoked),
            ..Consent::default()
        };
        list_view(lang, &zone(), Some(&at()), &[consent(7, false), consent(8, true)])
    }
}
