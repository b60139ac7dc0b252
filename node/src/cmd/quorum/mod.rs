//! `plantaod quorum`: a majority is gone for good. `show` says what this survivor has; `recover` lets the network go on
//! with it alone, under a new incarnation (decision 0018). Both work on a stopped node's directory; a running node that is told
//! to go on alone stops for it (decision 0025).

mod error;
mod steps;
mod survivor;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use super::inspect::Output;
use super::{ConfigArguments, exit};
use crate::app::storage_key;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::consensus::offline;
use crate::crypto::StorageSeal;
use crate::entropy::{Entropy, SystemEntropy};
use crate::gateway::{node_actor, node_envelope};
use crate::storage::fs::{DataDir, read_bounded};
use crate::storage::identity::NodeIdentity;
use crate::storage::recovery::{self, BegunRecovery, EntryPlace};
use crate::survivor::Order;
use anyhow::{Context, anyhow, bail, ensure};
use bytes::Bytes;
use error::{RecoverError, told};
use plantao_client::identity::Identity;
use plantao_domain::command::{Actor, Envelope, Tag};
use plantao_domain::id::ActorId;
use plantao_domain::recovery::Recovery;
use plantao_domain::{ClusterTime, Command, NodeId, codec};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use survivor::{Shown, Survivor};

const REPORT_BYTES_MAX: u64 = 1 << 20;
/// A reason is a sentence; its digest goes into the log.
const REASON_BYTES_MAX: usize = 400;

/// A majority of the voters is gone for good.
#[derive(Debug, clap::Args)]
pub struct Quorum {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what this stopped node has, who votes by its log, and what may be lost if it alone goes on.
    #[command(after_help = super::examples::QUORUM_SHOW)]
    Show(Show),
    /// Let the network go on with this stopped node alone; every other node joins as a new one. Loses what only others had.
    #[command(after_help = super::examples::QUORUM_RECOVER)]
    Recover(Recover),
}

/// Reads and compares.
#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    config: ConfigArguments,
    /// What `quorum show -o json` said of another survivor; may be repeated. Says which one to keep.
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Writes.
#[derive(Debug, clap::Args)]
struct Recover {
    #[command(flatten)]
    config: ConfigArguments,
    /// The node that goes on, by name or number: the one of this directory.
    #[arg(long, value_name = "NODE", value_delimiter = ',', required = true)]
    keep: Vec<String>,
    /// The network's name, typed out. Without it the plan is shown and nothing is done.
    #[arg(long, value_name = "NETWORK")]
    confirm: Option<String>,
    /// Why. Its digest goes into the audit trail; name no patient.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What was done.
#[derive(Serialize)]
struct Recovered {
    schema_version: u32,
    kind: &'static str,
    cluster: String,
    incarnation: u32,
    node: u64,
    name: String,
    last: Option<EntryPlace>,
    next: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// The directory is in use, is no node's, or is refused; nothing was changed then.
pub fn run(arguments: &Quorum) -> anyhow::Result<ExitCode> {
    match &arguments.action {
        Action::Show(arguments) => show(arguments),
        Action::Recover(arguments) => recover(arguments),
    }
}

fn show(arguments: &Show) -> anyhow::Result<ExitCode> {
    let config = arguments.config.load()?;
    let data = DataDir::new(&config.data_dir);
    let _lock = data.lock().context("the directory is in use: stop the node first")?;
    let begun = recovery::begun(&data)?.is_some();
    let ours = Survivor::open(&config, &data)?.shown(begun);
    let mut others = Vec::new();
    for path in &arguments.against {
        let bytes = read_bounded(path, REPORT_BYTES_MAX)?;
        let other: Shown = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is not the JSON of `plantaod quorum show`", path.display()))?;
        ensure!(
            other.cluster_id == ours.cluster_id && other.incarnation == ours.incarnation,
            "{} is of another network or incarnation",
            path.display()
        );
        others.push(other);
    }
    let all: Vec<&Shown> = std::iter::once(&ours).chain(&others).collect();
    let keep = Shown::best(&all).map(|best| best.name.clone());
    let mut out = std::io::stdout().lock();
    if arguments.output == Output::Json {
        let mut value = serde_json::to_value(&ours)?;
        value["keep"] = keep.into();
        writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&mut out, &ours)?;
    if !others.is_empty() {
        for other in &all {
            let last = other.last.map_or_else(|| "nothing".to_owned(), |last| entry(&last));
            writeln!(out, "compared  {} ({}): {last}", other.node, other.name)?;
        }
        writeln!(out, "keep      {}", keep.as_deref().unwrap_or("none of them can be trusted"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn entry(last: &EntryPlace) -> String {
    format!("entry {} of term {}", last.index, last.term)
}

fn print(out: &mut impl Write, shown: &Shown) -> std::io::Result<()> {
    writeln!(out, "network   {} ({}), incarnation {}", shown.cluster, shown.cluster_id, shown.incarnation)?;
    let (keyed, voter) = (if shown.keyed { "keyed" } else { "keyless" }, if shown.voter { "voter" } else { "learner" });
    writeln!(out, "node      {} ({}), {keyed}, {voter}", shown.node, shown.name)?;
    let last = shown.last.map_or_else(|| "no entry".to_owned(), |last| format!("last is {}", entry(&last)));
    let at = shown.last_written_at.as_ref().map_or_else(String::new, |at| format!(", last write at {at}"));
    let (committed, applied) = (shown.committed_index, shown.applied_index);
    writeln!(out, "log       {last}{at}; committed for certain up to {committed}, applied up to {applied}")?;
    for member in &shown.members {
        let role = if member.voter { "voter" } else { "learner" };
        let this = if member.id == shown.node { ", this node" } else { "" };
        writeln!(out, "member    {} ({}) at {}, {role}{this}", member.id, member.name, member.peer_address)?;
    }
    if shown.changing {
        writeln!(out, "change    a change of membership was under way")?;
    }
    if shown.recovery_begun {
        writeln!(out, "begun     a recovery was begun here and is not finished: repeat `plantaod quorum recover`")?;
    }
    match &shown.untrusted {
        Some(why) => writeln!(out, "refused   {why}"),
        None => writeln!(out, "lost      {}", shown.loss()),
    }
}

fn recover(arguments: &Recover) -> anyhow::Result<ExitCode> {
    let config = arguments.config.load()?;
    let data = DataDir::new(&config.data_dir);
    let _lock = data.lock().context("the directory is in use: stop the node first")?;
    let identity = NodeIdentity::load(&data.identity()).context("this is not a node's directory")?;
    let refused = |error: RecoverError| anyhow!(told(&error));
    recovery::check_superseded(&data).map_err(|mark| refused(mark.into()))?;
    let (plan, seal) = if let Some(begun) = recovery::begun(&data).map_err(|mark| refused(mark.into()))? {
        let key = storage_key(&config, &data, &identity)?;
        (begun, Arc::new(StorageSeal::new(key, identity.cluster, identity.node, &SystemEntropy)))
    } else {
        let survivor = Survivor::open(&config, &data).map_err(|error| match error.downcast::<RecoverError>() {
            Ok(error) => refused(error),
            Err(error) => error,
        })?;
        check_kept(&survivor, &arguments.keep).map_err(refused)?;
        if arguments.confirm.is_none() || arguments.reason.is_none() {
            return propose(&survivor).map(|()| ExitCode::from(exit::USAGE));
        }
        let reason = arguments.reason.as_deref().unwrap_or_default();
        let asked = Asked { by: None, reason };
        (plan(&survivor, &asked, SystemClock.now(), &SystemEntropy)?, survivor.seal)
    };
    let Some(confirmed) = &arguments.confirm else {
        bail!("a recovery was begun here: repeat it with --confirm {}", identity.cluster_name);
    };
    if *confirmed != identity.cluster_name {
        let (network, given) = (identity.cluster_name, confirmed.clone());
        return Err(refused(RecoverError::OtherNetwork { network, given }));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let identity = runtime.block_on(steps::execute(&data, &plan, seal, &mut |_| Ok(())))?;
    report(&identity, &plan, arguments.output)?;
    Ok(ExitCode::SUCCESS)
}

/// What an operator had the running node do, now that it has stopped: the same steps, on its own directory. Gives the incarnation
/// that begins. Blocks.
///
/// # Errors
/// As `plantaod quorum recover`: nothing was changed, or the same command finishes what was begun.
pub(super) fn recover_own(config: &Config, order: &Order) -> anyhow::Result<u32> {
    let data = DataDir::new(&config.data_dir);
    let _lock = data.lock().context("the directory is in use")?;
    let refused = |error: RecoverError| anyhow!(told(&error));
    recovery::check(&data).map_err(|mark| refused(mark.into()))?;
    let survivor = Survivor::open(config, &data)?;
    check_kept(&survivor, &[survivor.identity.node.0.to_string()]).map_err(refused)?;
    let asked = Asked { by: Some(order.by), reason: &order.reason };
    let plan = plan(&survivor, &asked, SystemClock.now(), &SystemEntropy)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(steps::execute(&data, &plan, survivor.seal, &mut |_| Ok(())))?.incarnation)
}

/// Exactly this node is kept, it can be trusted, and without the others it can do nothing.
fn check_kept(survivor: &Survivor, keep: &[String]) -> Result<(), RecoverError> {
    let names = |ids: &BTreeSet<u64>| {
        let named = survivor.membership.members.iter().filter(|member| ids.contains(&member.id));
        named.map(|member| member.member.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut kept = BTreeSet::new();
    for wanted in keep {
        let by_name: Vec<u64> = survivor
            .membership
            .members
            .iter()
            .filter(|member| member.member.name == *wanted || member.id.to_string() == *wanted)
            .map(|member| member.id)
            .collect();
        match by_name.as_slice() {
            [one] => kept.insert(*one),
            // No such member, or a name that a removed and a new node share: its number is one.
            _ => return Err(kept_error(survivor, keep)),
        };
    }
    if survivor.membership.is_quorum(&kept) {
        return Err(RecoverError::Majority { voters: names(&survivor.membership.voters()) });
    }
    if kept != BTreeSet::from([survivor.identity.node.0]) {
        return Err(kept_error(survivor, keep));
    }
    match &survivor.untrusted {
        Some(why) => Err(RecoverError::Untrusted { why: why.clone() }),
        None => Ok(()),
    }
}

fn kept_error(survivor: &Survivor, keep: &[String]) -> RecoverError {
    let node = format!("{} ({})", survivor.identity.node, survivor.identity.name);
    RecoverError::Kept { kept: keep.join(","), node }
}

/// On whose word it is done.
struct Asked<'a> {
    /// The operator, by his certificate; `None`: whoever has a shell on this machine, who is nobody that can be proven.
    by: Option<ActorId>,
    reason: &'a str,
}

/// Everything that will be written, decided once.
fn plan(
    survivor: &Survivor,
    asked: &Asked<'_>,
    now: ClusterTime,
    entropy: &dyn Entropy,
) -> anyhow::Result<BegunRecovery> {
    ensure!(
        (1..=REASON_BYTES_MAX).contains(&asked.reason.trim().len()),
        "--reason must say why, in at most {REASON_BYTES_MAX} bytes"
    );
    let identity = &survivor.identity;
    let us = identity.node.0;
    let member = survivor.membership.member(us).context("this node is no member")?;
    let terms = [survivor.log.vote.map(|vote| vote.term), survivor.last.map(|last| last.term)];
    let highest = terms.into_iter().flatten().max().unwrap_or_default();
    let incarnation = identity.incarnation.checked_add(1).context("there are no more incarnations")?;
    let dropped = survivor.membership.voters().into_iter().filter(|voter| *voter != us).map(NodeId);
    let command = Command::NoteRecovery {
        recovery: Recovery {
            incarnation,
            kept: vec![identity.node],
            last_term: survivor.last.map_or(0, |last| last.term),
            last_index: survivor.last.map_or(0, |last| last.index),
            dropped_voters: dropped.collect(),
            reason: Tag(*blake3::hash(asked.reason.trim().as_bytes()).as_bytes()),
        },
    };
    // Cluster time never goes back, whatever this machine's clock says.
    let at = survivor.last_time.map_or(now, |last| last.max(now));
    let us_by_certificate = Identity::Node { cluster: identity.cluster_name.parse()?, id: us };
    // By the node's right, which every program knows; in the operator's name, so that his deeds are found by it (decision 0030).
    let node = node_actor(&us_by_certificate);
    let actor = Actor { id: asked.by.unwrap_or(node.id), ..node };
    let envelope = node_envelope(identity.node, actor, command, at, entropy);
    let envelope = codec::encode_envelope(&Envelope { proposed_at: at, ..envelope });
    Ok(BegunRecovery {
        cluster: identity.cluster.to_string(),
        node: us,
        incarnation,
        base: survivor.last.map(EntryPlace::from),
        term: highest.checked_add(1).context("there are no more terms")?,
        payloads: vec![
            offline::alone(us, &member.member)?.to_vec(),
            offline::proposal(Bytes::from(envelope))?.to_vec(),
        ],
    })
}

/// The plan, for somebody who has not confirmed it.
#[expect(clippy::print_stderr, reason = "what is asked for is no result")]
fn propose(survivor: &Survivor) -> anyhow::Result<()> {
    let shown = survivor.shown(false);
    print(&mut std::io::stdout().lock(), &shown)?;
    eprintln!(
        "Nothing was done. This network would go on as incarnation {} with {} as its only voter; every other member is \
         refused from then on, for good. First try to start any other voter, and compare survivors with `plantaod quorum \
         show --against`. To do it, add: --confirm {} --reason TEXT",
        shown.incarnation.saturating_add(1),
        shown.name,
        shown.cluster
    );
    Ok(())
}

fn report(identity: &NodeIdentity, plan: &BegunRecovery, output: Output) -> anyhow::Result<()> {
    let next = vec![
        "plantaod run".to_owned(),
        "plantao status".to_owned(),
        "plantao token create, then plantaod join, for each node that comes anew".to_owned(),
    ];
    let mut out = std::io::stdout().lock();
    if output == Output::Json {
        let recovered = Recovered {
            schema_version: 1,
            kind: "recovered",
            cluster: identity.cluster_name.clone(),
            incarnation: identity.incarnation,
            node: identity.node.0,
            name: identity.name.clone(),
            last: plan.base,
            next,
        };
        writeln!(out, "{}", serde_json::to_string_pretty(&recovered)?)?;
        return Ok(());
    }
    let (name, network) = (&identity.name, &identity.cluster_name);
    writeln!(out, "network {network} goes on as incarnation {} with {name} alone", identity.incarnation)?;
    let last = plan.base.map_or(0, |base| base.index);
    writeln!(out, "everything up to entry {last} is kept; next: {}", next.join("; "))?;
    Ok(())
}
