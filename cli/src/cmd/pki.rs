//! `plantao pki`: the built-in authority, for networks without one. The root's key stays in the authority's directory,
//! which belongs on no node; nodes are reached from where it is kept.

mod nodes;
mod renew;
mod revoke;
mod rotate;

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::output::{Column, Items, Report, Table};
use crate::session::Session;
use crate::text::{Lang, Say, Word};
use crate::when::{self, Zone};
use clap::{Args, Subcommand};
use plantao_client::identity::{Identity, Kind, Scope, Slug};
use plantao_client::pki::{Authority, Issued, IssuedRecord, ReportKey, Request};
use plantao_client::transport::unix_seconds;
use serde_json::{Map, Value, json};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

const DAY_SECONDS: u64 = 86_400;

/// Certificates of the built-in authority.
#[derive(Debug, Subcommand)]
pub(crate) enum PkiCommand {
    /// Make the authority of a new network
    Init {
        /// Directory of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Short name of the network: a-z, 0-9 and the hyphen
        #[arg(long, value_name = "NAME")]
        network: String,
    },
    /// Issue a certificate for a node, a person or a program
    Issue(IssueArgs),
    /// Renew certificates, from two thirds of their life on
    Renew(renew::RenewArgs),
    /// Take a certificate back before its end
    Revoke(revoke::RevokeArgs),
    /// Sign the lists by which nodes know what was taken back
    Crl(revoke::CrlArgs),
    /// Change the root of the network, in three steps, without a pause
    #[command(subcommand)]
    RotateCa(rotate::RotateCommand),
    /// Make a key that signs reports, and the file by which others verify them
    ReportKey {
        /// File of the key; the public half is written beside it as FILE.pub
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// List issued certificates
    List {
        /// Directory of the authority
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Only those in use whose renewal is due
        #[arg(long)]
        due: bool,
    },
}

/// For whom.
#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// Directory of the authority
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Directory for the certificate and its key
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    whom: Whom,
    /// Role of the person or program
    #[arg(long, value_name = "ROLE", requires = "name")]
    role: Option<String>,
    /// Unit of the person or program, or rede for the whole network
    #[arg(long, value_name = "UNIT", requires = "name", default_value = "rede")]
    unit: String,
    /// Host name or address of a node; may be repeated
    #[arg(long, value_name = "HOST", conflicts_with = "name")]
    host: Vec<String>,
    /// Days of validity (default: 90 for nodes, 30 for others)
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=398))]
    days: Option<u64>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// A node, by its number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    node: Option<u64>,
    /// A node that is to join, by its name
    #[arg(long, value_name = "NAME")]
    new_node: Option<String>,
    /// A person or program, by a name that is no personal datum, such as balcao-1
    #[arg(long, requires = "role")]
    name: Option<String>,
}

/// Runs one of them.
pub(crate) async fn run(command: PkiCommand, session: &Session) -> Result<Exit, Failure> {
    let now = SystemTime::now();
    match command {
        PkiCommand::Init { dir, network } => {
            let authority = Authority::create(&parse("--network", &network)?, &dir, now).map_err(|e| refused(&e))?;
            session.out.note(&Say::RootMade { directory: dir.display().to_string() });
            session.out.report(&Report {
                kind: "authority",
                head: Map::new(),
                items: Items::One(
                    "authority",
                    json!({"cluster": authority.cluster().as_str(), "directory": dir, "roots": dir.join("ca.crt")}),
                ),
                table: Table::pairs(
                    session.out.lang,
                    vec![
                        (Word::Cluster, authority.cluster().as_str().into()),
                        (Word::Roots, dir.join("ca.crt").display().to_string().into()),
                    ],
                ),
            })?;
        }
        PkiCommand::Issue(args) => {
            let authority = Authority::open(&args.dir).map_err(|error| refused(&error))?;
            let (request, file) = request(&args, authority.cluster().clone())?;
            let issued = authority.issue(&request, &args.out, &file, now).map_err(|error| refused(&error))?;
            session.out.report(&issued_view(session.out.lang, &session.zone, &issued))?;
        }
        PkiCommand::Renew(args) => return renew::run(args, session).await,
        PkiCommand::Revoke(args) => return revoke::revoke(args, session).await,
        PkiCommand::Crl(args) => return revoke::crl(args, session).await,
        PkiCommand::RotateCa(command) => return rotate::run(command, session).await,
        PkiCommand::ReportKey { file } => {
            let (_, public) = ReportKey::create(&file).map_err(|error| refused(&error))?;
            session.out.report(&Report {
                kind: "report_key",
                head: Map::new(),
                items: Items::One("report_key", json!({"key": file, "public": public})),
                table: Table::pairs(
                    session.out.lang,
                    vec![
                        (Word::Key, file.display().to_string().into()),
                        (Word::PublicKey, public.display().to_string().into()),
                    ],
                ),
            })?;
        }
        PkiCommand::List { dir, due } => {
            let authority = Authority::open(&dir).map_err(|error| refused(&error))?;
            let mut issued = authority.list().map_err(|error| refused(&error))?;
            if due {
                let now = unix_seconds(now);
                issued.retain(|record| record.is_live(now) && record.renewal_due() <= now);
            }
            return session.list(&list_view(session.out.lang, &session.zone, &issued));
        }
    }
    Ok(Exit::Done)
}

fn refused(error: &plantao_client::pki::Error) -> Failure {
    Failure::Authority { why: chain(error) }
}

fn parse<T: FromStr<Err: fmt::Display>>(field: &'static str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error: T::Err| Failure::BadValue { field, why: error.to_string() })
}

/// What to issue, and the name of its files.
fn request(args: &IssueArgs, cluster: Slug) -> Result<(Request, Slug), Failure> {
    let (identity, file) = match (&args.whom.node, &args.whom.new_node, &args.whom.name) {
        (Some(id), ..) => (Identity::Node { cluster, id: *id }, format!("node-{id}")),
        (_, Some(name), _) => (Identity::NewNode { cluster, name: parse("--new-node", name)? }, name.clone()),
        (.., name) => {
            let name = name.clone().unwrap_or_default();
            let role = args.role.as_deref().unwrap_or_default();
            let identity = Identity::Unit {
                cluster,
                unit: parse::<Scope>("--unit", &args.unit)?,
                kind: parse::<Kind>("--role", role)?,
                name: parse("--name", &name)?,
            };
            (identity, name)
        }
    };
    let names = args.host.iter().map(|host| parse("--host", host)).collect::<Result<_, _>>()?;
    let lifetime = args.days.map(|days| Duration::from_secs(days * DAY_SECONDS));
    Ok((Request { identity, names, lifetime }, parse("--name", &file)?))
}

fn value(record: &IssuedRecord) -> Value {
    let seconds = |at: i64| when::rfc3339(at.saturating_mul(1_000));
    json!({
        "serial": record.serial,
        "identity": record.identity,
        "names": record.names,
        "not_before": seconds(record.not_before),
        "not_after": seconds(record.not_after),
        "fingerprint": record.fingerprint,
        "root": record.root,
        "renewal_due": seconds(record.renewal_due()),
        "revoked_at": record.revoked.and_then(|revoked| seconds(revoked.at)),
        "revocation_reason": record.revoked.map(|revoked| revoked.reason.as_str()),
    })
}

fn issued_view(lang: Lang, zone: &Zone, issued: &Issued) -> Report {
    let mut item = value(&issued.record);
    item["certificate"] = json!(issued.certificate);
    item["key"] = json!(issued.key);
    item["roots"] = json!(issued.roots);
    Report {
        kind: "certificate",
        head: Map::new(),
        items: Items::One("certificate", item),
        table: Table::pairs(
            lang,
            vec![
                (Word::Identity, issued.record.identity.as_str().into()),
                (Word::NotAfter, zone.minute(issued.record.not_after.saturating_mul(1_000), lang).into()),
                (Word::Certificate, issued.certificate.display().to_string().into()),
                (Word::Key, issued.key.display().to_string().into()),
                (Word::Roots, issued.roots.display().to_string().into()),
                (Word::Serial, issued.record.serial.as_str().into()),
            ],
        ),
    }
}

fn list_view(lang: Lang, zone: &Zone, issued: &[IssuedRecord]) -> Report {
    let rows = issued.iter().map(|record| {
        vec![
            record.identity.as_str().into(),
            zone.minute(record.not_after.saturating_mul(1_000), lang).into(),
            record.names.join(", ").into(),
            record.serial.as_str().into(),
            record.revoked.map_or_else(String::new, |revoked| revoked.reason.as_str().to_owned()).into(),
            record.fingerprint.as_str().into(),
        ]
    });
    Report {
        kind: "certificate_list",
        head: Map::new(),
        items: Items::Many("certificates", issued.iter().map(value).collect()),
        table: Table::new(
            vec![
                Column::of(Word::Identity),
                Column::of(Word::NotAfter),
                Column::of(Word::Name).wide(),
                Column::of(Word::Serial),
                Column::of(Word::Revoked),
                Column::of(Word::Fingerprint).wide(),
            ],
            rows.collect(),
        ),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed certificates for golden files.
    use super::nodes::Done;
    use super::*;
    use crate::golden::{MOMENT, zone};
    use plantao_client::pki::{RevocationReason, RevokedRecord};

    pub(crate) fn list(lang: Lang) -> Report {
        let record = IssuedRecord {
            serial: "0f".repeat(16),
            identity: "spiffe://estetica-sul/node/1".into(),
            names: vec!["centro.example".into(), "10.0.0.1".into()],
            not_before: MOMENT / 1_000,
            not_after: MOMENT / 1_000 + 90 * 86_400,
            fingerprint: "ab".repeat(32),
            root: None,
            revoked: None,
        };
        let taken = IssuedRecord {
            serial: "1e".repeat(16),
            identity: "spiffe://estetica-sul/unit/centro/reception/balcao-1".into(),
            names: Vec::new(),
            revoked: Some(RevokedRecord { at: MOMENT / 1_000 + 3_600, reason: RevocationReason::KeyCompromise }),
            ..record.clone()
        };
        list_view(lang, &zone(), &[record, taken])
    }

    pub(crate) fn pushed(lang: Lang) -> Report {
        let done = [
            Done { node: "centro".into(), outcome: Ok("7 / 2".into()) },
            Done { node: "jardins".into(), outcome: Err("10.0.0.2:7401: no answer in time".into()) },
        ];
        let mut head = Map::new();
        head.insert("number".to_owned(), json!(7));
        nodes::done_view("revocation_list", head, lang, &done)
    }
}
