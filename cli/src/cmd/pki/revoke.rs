//! `plantao pki revoke` and `plantao pki crl`: taking certificates back, and the signed lists by which nodes know.

use super::nodes::{Nodes, report};
use super::{parse, refused};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Items, Report, Table};
use crate::session::Session;
use crate::text::{CertificateSay, Say, Word};
use crate::when;
use clap::Args;
use plantao_client::identity::Identity;
use plantao_client::pki::{Authority, IssuedRecord, RevocationReason, SignedLists};
use serde_json::{Map, json};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const DAY_SECONDS: u64 = 86_400;

/// What is taken back.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// Directory of the authority
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Beginning of a serial number (8 digits or more), or an identity: every certificate of it
    whom: String,
    /// Why
    #[arg(long, value_name = "REASON", value_parser = ["key-compromise", "superseded", "cessation-of-operation",
        "affiliation-changed", "privilege-withdrawn"])]
    reason: String,
    /// Sign a new list and send it to every node at once
    #[arg(long)]
    push: bool,
    /// Days that the list is good
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=90))]
    days: u64,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Where the lists go.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("where").required(true).multiple(true).args(["out", "push"]))]
pub(crate) struct CrlArgs {
    /// Directory of the authority
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// File for the lists: what tls.revoked of a node names
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Send them to every node
    #[arg(long)]
    push: bool,
    /// Days that they are good
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=90))]
    days: u64,
}

/// Takes back.
pub(crate) async fn revoke(args: RevokeArgs, session: &Session) -> Result<Exit, Failure> {
    let now = SystemTime::now();
    let authority = Authority::open(&args.dir).map_err(|error| refused(&error))?;
    let reason: RevocationReason = parse("--reason", &args.reason)?;
    let found = authority.find(&args.whom, now).map_err(|error| refused(&error))?;
    for record in &found {
        let until = session.zone.minute(record.not_after.saturating_mul(1_000), session.out.lang);
        session.out.note(&Say::Certificates(CertificateSay::Revokes {
            identity: record.identity.clone(),
            serial: record.serial.clone(),
            until,
            node: record.identity.parse::<Identity>().is_ok_and(|identity| identity.is_node()),
        }));
    }
    session.confirm(args.yes, &Say::Ask { label: authority.cluster().to_string() })?;
    let revoked = authority.revoke(&args.whom, reason, now).map_err(|error| refused(&error))?;
    if args.push {
        let lists = sign(&authority, args.days, session)?;
        let nodes = Nodes::look(session, &authority).await?;
        let mut head = head_of(&lists);
        head.insert("revoked".to_owned(), revoked.iter().map(super::value).collect());
        return report(session, "revocation", head, &nodes.push_lists(&lists.pem).await);
    }
    session.out.report(&view(session, &revoked))?;
    session.out.note(&Say::Certificates(CertificateSay::NotPushed));
    Ok(Exit::Done)
}

/// Signs new lists.
pub(crate) async fn crl(args: CrlArgs, session: &Session) -> Result<Exit, Failure> {
    let authority = Authority::open(&args.dir).map_err(|error| refused(&error))?;
    let lists = sign(&authority, args.days, session)?;
    let mut head = head_of(&lists);
    if let Some(file) = &args.out {
        write(file, &lists.pem)?;
        head.insert("file".to_owned(), json!(file));
    }
    if args.push {
        let nodes = Nodes::look(session, &authority).await?;
        return report(session, "revocation_list", head, &nodes.push_lists(&lists.pem).await);
    }
    let number = lists.number.to_string();
    let until = session.zone.minute(lists.next_update.saturating_mul(1_000), session.out.lang);
    session.out.report(&Report {
        kind: "revocation_list",
        head: Map::new(),
        items: Items::One("revocation_list", head.into()),
        table: Table::pairs(
            session.out.lang,
            vec![
                (Word::Version, number.into()),
                (Word::Until, until.into()),
                (Word::Revoked, lists.revoked.to_string().into()),
            ],
        ),
    })?;
    Ok(Exit::Done)
}

fn sign(authority: &Authority, days: u64, session: &Session) -> Result<SignedLists, Failure> {
    let lifetime = Duration::from_secs(days.saturating_mul(DAY_SECONDS));
    let lists = authority.sign_lists(lifetime, SystemTime::now()).map_err(|error| refused(&error))?;
    if !lists.without_key.is_empty() {
        let count = lists.without_key.len();
        session.out.note(&Say::Certificates(CertificateSay::RootsWithoutKey { count }));
    }
    Ok(lists)
}

fn head_of(lists: &SignedLists) -> Map<String, serde_json::Value> {
    let mut head = Map::new();
    head.insert("number".to_owned(), lists.number.into());
    head.insert("next_update".to_owned(), when::rfc3339(lists.next_update.saturating_mul(1_000)).into());
    head.insert("revoked_count".to_owned(), lists.revoked.into());
    head
}

/// Whole or not at all: a node may be reading it.
fn write(file: &std::path::Path, text: &str) -> Result<(), Failure> {
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    std::fs::write(&temporary, text)
        .and_then(|()| std::fs::File::open(&temporary)?.sync_all())
        .and_then(|()| std::fs::rename(&temporary, file))
        .map_err(|source| Failure::WriteFile { path: file.to_owned(), source })
}

fn view(session: &Session, revoked: &[IssuedRecord]) -> Report {
    super::list_view(session.out.lang, &session.zone, revoked)
}
