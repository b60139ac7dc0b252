//! `plantao pki rotate-ca start|switch|finish`: another root for the network, without a moment in which somebody is
//! refused. Each step checks that the one before is done everywhere, and may be repeated until it is.
//!
//! ```text
//! start   new root beside the old, the bundle of both on every node    (then: the bundle to people and programs)
//! switch  the new root signs; every node gets a leaf under it          (then: people and programs renew)
//! finish  no node shows a leaf under an old root: the bundle of the new one alone on every node
//! ```

use super::nodes::{Done, Nodes, Seen, report};
use super::refused;
use super::renew::renew;
use crate::context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::{CertificateSay, Say};
use clap::{Args, Subcommand};
use plantao_client::identity::Identity;
use plantao_client::pki::{Authority, LIST_LIFETIME};
use plantao_client::transport::{Fingerprint, unix_seconds};
use serde_json::{Map, json};
use std::path::PathBuf;
use std::time::SystemTime;

/// The steps.
#[derive(Debug, Subcommand)]
pub(crate) enum RotateCommand {
    /// Make a new root and have every node trust it beside the old one
    Start(StepArgs),
    /// Sign with the new root and give every node a certificate under it
    Switch(StepArgs),
    /// Trust the new root only, once no node shows a certificate under an old one
    Finish(FinishArgs),
}

/// Where the authority is.
#[derive(Debug, Args)]
pub(crate) struct StepArgs {
    /// Directory of the authority
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Where the authority is, and who may be left behind.
#[derive(Debug, Args)]
pub(crate) struct FinishArgs {
    #[command(flatten)]
    step: StepArgs,
    /// Even when people or programs still have certificates under an old root: they are refused from then on
    #[arg(long)]
    leave_behind: bool,
}

/// Runs one.
pub(crate) async fn run(command: RotateCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        RotateCommand::Start(args) => start(&args, session).await,
        RotateCommand::Switch(args) => switch(&args, session).await,
        RotateCommand::Finish(args) => finish(&args, session).await,
    }
}

async fn start(args: &StepArgs, session: &Session) -> Result<Exit, Failure> {
    let (mut authority, nodes) = open(args, session).await?;
    session.confirm(args.yes, &Say::Ask { label: nodes.label.clone() })?;
    let root = authority.add_root(SystemTime::now()).map_err(|error| refused(&error))?;
    let done = nodes.push_roots(&authority).await;
    let exit = report(session, "rotation", head("start", &root), &done)?;
    let bundle = args.dir.join("ca.crt").display().to_string();
    session.out.note(&Say::Certificates(CertificateSay::RootAdded { bundle }));
    Ok(exit)
}

async fn switch(args: &StepArgs, session: &Session) -> Result<Exit, Failure> {
    let (mut authority, nodes) = open(args, session).await?;
    // Repeated after a switch that was cut in two, the root that signs is the new one already.
    let root = authority.next_root().unwrap_or(authority.root());
    if let Some(one) = nodes.seen.iter().find(|one| !one.certificate.trusted_roots.iter().any(|known| is(known, &root)))
    {
        let why = format!("{} does not trust the new root yet: plantao pki rotate-ca start", one.status.node_name);
        return Err(Failure::NotThisStep { why });
    }
    trusted_here(session, &root)?;
    let old: Vec<&Seen> = nodes.seen.iter().filter(|one| !is(&one.certificate.root, &root)).collect();
    if old.is_empty() && authority.next_root().is_none() {
        let why = "every node has a certificate under the root that signs: begin with plantao pki rotate-ca start";
        return Err(Failure::NotThisStep { why: why.to_owned() });
    }
    let others = others(&authority, &root)?;
    let names = old.iter().map(|one| one.status.node_name.clone()).collect();
    session.out.note(&Say::Certificates(CertificateSay::Switches { nodes: names, others }));
    session.confirm(args.yes, &Say::Ask { label: nodes.label.clone() })?;
    authority.switch_root().map_err(|error| refused(&error))?;
    let mut done = renew(session, &authority, &old).await;
    if done.iter().all(|one| one.outcome.is_ok()) {
        done.extend(lists(&authority, &nodes).await?);
    }
    let exit = report(session, "rotation", head("switch", &root), &done)?;
    session.out.note(&Say::Certificates(CertificateSay::Switched { others }));
    Ok(exit)
}

async fn finish(args: &FinishArgs, session: &Session) -> Result<Exit, Failure> {
    let (mut authority, nodes) = open(&args.step, session).await?;
    if authority.next_root().is_some() {
        let why = "the new root does not sign yet: plantao pki rotate-ca switch".to_owned();
        return Err(Failure::NotThisStep { why });
    }
    let root = authority.root();
    if let Some(one) = nodes.seen.iter().find(|one| !is(&one.certificate.root, &root)) {
        let name = &one.status.node_name;
        let why = format!("{name} shows a certificate under an old root: plantao pki rotate-ca switch");
        return Err(Failure::NotThisStep { why });
    }
    let others = others(&authority, &root)?;
    if others > 0 && !args.leave_behind {
        let why = format!(
            "{others} certificates of people and programs are under an old root: renew or revoke them, or add --leave-behind"
        );
        return Err(Failure::NotThisStep { why });
    }
    trusted_here(session, &root)?;
    session.out.note(&Say::Certificates(CertificateSay::Finishes { others }));
    session.confirm(args.step.yes, &Say::Ask { label: nodes.label.clone() })?;
    authority.retire_old_roots().map_err(|error| refused(&error))?;
    let mut done = nodes.push_roots(&authority).await;
    if done.iter().all(|one| one.outcome.is_ok()) {
        done.extend(lists(&authority, &nodes).await?);
    }
    let exit = report(session, "rotation", head("finish", &root), &done)?;
    let bundle = args.step.dir.join("ca.crt").display().to_string();
    session.out.note(&Say::Certificates(CertificateSay::Finished { bundle }));
    Ok(exit)
}

/// The authority, and the nodes in a moment in which they may be touched.
async fn open(args: &StepArgs, session: &Session) -> Result<(Authority, Nodes), Failure> {
    let authority = Authority::open(&args.dir).map_err(|error| refused(&error))?;
    let nodes = Nodes::look(session, &authority).await?;
    nodes.calm()?;
    Ok((authority, nodes))
}

/// Lists of every root that is trusted now, where nodes have any.
async fn lists(authority: &Authority, nodes: &Nodes) -> Result<Vec<Done>, Failure> {
    if !authority.has_lists().map_err(|error| refused(&error))? {
        return Ok(Vec::new());
    }
    let lists = authority.sign_lists(LIST_LIFETIME, SystemTime::now()).map_err(|error| refused(&error))?;
    Ok(nodes.push_lists(&lists.pem).await)
}

/// This tool has to reach the nodes under their new certificates.
fn trusted_here(session: &Session, root: &Fingerprint) -> Result<(), Failure> {
    let ca = context::resolve(&session.global)?.context.ca;
    let pem = std::fs::read(&ca).map_err(|source| Failure::ReadFile { path: ca.clone(), source })?;
    if plantao_client::pki::roots_in(&pem).map_err(|error| refused(&error))?.contains(root) {
        return Ok(());
    }
    let why = format!("{} lacks the new root: put the authority's ca.crt in its place", ca.display());
    Err(Failure::NotThisStep { why })
}

/// Certificates of people and programs that are good and under another root.
fn others(authority: &Authority, root: &Fingerprint) -> Result<usize, Failure> {
    let (now, root) = (unix_seconds(SystemTime::now()), root.to_string());
    let issued = authority.list().map_err(|error| refused(&error))?;
    let old = issued.iter().filter(|record| record.is_live(now) && record.root.as_ref() != Some(&root));
    Ok(old.filter(|record| record.identity.parse::<Identity>().is_ok_and(|identity| !identity.is_node())).count())
}

fn is(bytes: &[u8], root: &Fingerprint) -> bool {
    bytes == root.as_bytes()
}

fn head(step: &str, root: &Fingerprint) -> Map<String, serde_json::Value> {
    let mut head = Map::new();
    head.insert("step".to_owned(), json!(step));
    head.insert("root".to_owned(), json!(root.to_string()));
    head
}
