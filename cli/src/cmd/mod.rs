//! One file per noun: its arguments, what it asks the cluster, and the view of the answer. The views are pure functions
//! of wire messages, so that golden files can hold them.

pub(crate) mod agenda;
pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod completion;
pub(crate) mod compliance;
pub(crate) mod consent;
pub(crate) mod context;
pub(crate) mod copies;
pub(crate) mod digest;
pub(crate) mod directory;
pub(crate) mod doctor;
pub(crate) mod endpoint;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod failover;
pub(crate) mod health;
pub(crate) mod history;
pub(crate) mod image;
pub(crate) mod import;
pub(crate) mod lead;
pub(crate) mod man;
pub(crate) mod member;
pub(crate) mod patient;
pub(crate) mod pki;
pub(crate) mod quorum;
pub(crate) mod record;
pub(crate) mod runbook;
pub(crate) mod status;
pub(crate) mod switchover;
pub(crate) mod token;
pub(crate) mod top;
pub(crate) mod upgrade;
pub(crate) mod watch;

use crate::args::Command;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Items, Report, Table};
use crate::session::Session;
use crate::text::Word;
use serde_json::{Map, json};

/// Runs one command.
pub(crate) async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::Status(args) => status::run(args, session).await,
        Command::Top => top::run(session).await,
        Command::Health => health::run(session).await,
        Command::Doctor(args) => doctor::run(args, session).await,
        Command::Events(args) => events::run(args, session).await,
        Command::Endpoint(args) => endpoint::run(args, session).await,
        Command::Switchover(args) => switchover::run(args, session).await,
        Command::Failback(args) => switchover::failback(args, session).await,
        Command::Failover(args) => failover::run(args, session).await,
        Command::Pause(args) => lead::pause(args, session).await,
        Command::Resume(consent) => lead::resume(consent, session).await,
        Command::Node(command) => lead::node(command, session).await,
        Command::Maintenance(command) => lead::maintenance(command, session).await,
        Command::History(args) => history::run(args, session).await,
        Command::Digest(args) => digest::run(args, session).await,
        Command::Quorum(command) => quorum::run(command, session).await,
        Command::Copies(args) => copies::run(args, session).await,
        Command::Compliance(command) => compliance::run(command, session).await,
        Command::Watch(args) => watch::run(args, session).await,
        Command::Import(args) => import::run(args, session).await,
        Command::Bench(args) => bench::run(args, session).await,
        Command::Patient(command) => patient::run(command, session).await,
        Command::Agenda(command) => agenda::run(command, session).await,
        Command::Record(command) => record::run(command, session).await,
        Command::Consent(command) => consent::run(command, session).await,
        Command::Image(command) => image::run(command, session).await,
        Command::Unit(command) => directory::units(command, session).await,
        Command::Practitioner(command) => directory::practitioners(command, session).await,
        Command::Room(command) => directory::rooms(command, session).await,
        Command::Audit(command) => audit::run(command, session).await,
        Command::Pki(command) => pki::run(command, session).await,
        Command::Member(command) => member::run(command, session).await,
        Command::Token(command) => token::run(command, session).await,
        Command::Upgrade(command) => upgrade::run(command, session).await,
        Command::Context(command) => context::run(command, session),
        Command::Completion(args) => completion::run(&args, session),
        Command::Runbook(args) => runbook::run(args, session).await,
        Command::Man(args) => man::run(&args, session),
        Command::Explain(args) => explain::run(&args, session),
        Command::Version => version(session),
    }
}

fn version(session: &Session) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    session.out.report(&Report {
        kind: "version",
        head: Map::new(),
        items: Items::One("version", json!(version)),
        table: Table::pairs(session.out.lang, vec![(Word::Version, version.into())]),
    })?;
    Ok(Exit::Done)
}
