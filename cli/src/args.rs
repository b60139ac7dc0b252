//! The command line: global options and the tree of commands. The English here is what `--lang en` shows; the
//! Portuguese stands in [`crate::text`], examples and exit codes in [`crate::help`].

use crate::cmd;
use crate::output::{Colour, Format};
use crate::text::Lang;
use clap::{ArgAction, Args, Parser, Subcommand};
use plantao_client::id::Id;
use std::path::PathBuf;

/// Operates a Plantão network
#[derive(Debug, Parser)]
#[command(name = "plantao", version, propagate_version = false, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command. Each has a twin in the environment; the flag wins, then the environment, then the context.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Context to use, instead of the current one
    #[arg(long, short = 'c', global = true, env = "PLANTAO_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Contexts file
    #[arg(long, global = true, env = "PLANTAO_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Public addresses, host:port
    #[arg(long, global = true, env = "PLANTAO_ENDPOINTS", value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) endpoint: Vec<String>,
    /// Admin addresses, host:port
    #[arg(long, global = true, env = "PLANTAO_ADMIN_ENDPOINTS", value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) admin_endpoint: Vec<String>,
    /// Roots to trust, PEM
    #[arg(long, global = true, env = "PLANTAO_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Own certificate, PEM
    #[arg(long, global = true, env = "PLANTAO_CERT", value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// Key of the certificate, PEM, readable by its owner only
    #[arg(long, global = true, env = "PLANTAO_KEY", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Short name of the cluster that has to answer
    #[arg(long, global = true, env = "PLANTAO_CLUSTER", value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// How results are printed
    #[arg(
        long,
        short = 'o',
        global = true,
        env = "PLANTAO_OUTPUT",
        value_name = "FORMAT",
        value_enum,
        default_value_t
    )]
    pub(crate) output: Format,
    /// Language of tables and messages
    #[arg(long, global = true, env = "PLANTAO_LANG", value_name = "LANGUAGE", value_enum, default_value_t)]
    pub(crate) lang: Lang,
    /// Time zone of times shown and given without an offset
    #[arg(long, global = true, env = "PLANTAO_ZONE", value_name = "ZONE", default_value = crate::when::ZONE_DEFAULT)]
    pub(crate) zone: String,
    /// When colours are used
    #[arg(long, global = true, env = "PLANTAO_COLOR", value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: Colour,
    /// Longest wait for an answer, in seconds
    #[arg(long, global = true, env = "PLANTAO_TIMEOUT", value_name = "SEC", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=540))]
    pub(crate) timeout: u64,
    /// Read what the nearest node has, even without a leader
    #[arg(long, global = true, env = "PLANTAO_STALE", action = ArgAction::SetTrue)]
    pub(crate) stale: bool,
    /// With --stale: refuse an answer older than this, in seconds
    #[arg(long, global = true, env = "PLANTAO_STALENESS_MAX", value_name = "SEC",
        value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub(crate) staleness_max: Option<u32>,
    /// Never ask; fail where an answer would be needed
    #[arg(long, global = true, env = "PLANTAO_NO_INPUT", action = ArgAction::SetTrue)]
    pub(crate) no_input: bool,
    /// No messages but errors
    #[arg(long, short = 'q', global = true, env = "PLANTAO_QUIET", action = ArgAction::SetTrue)]
    pub(crate) quiet: bool,
}

/// Options of commands that change something: they make a repetition harmless.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Write {
    /// Repeat the request with this id: it is done at most once
    #[arg(long, value_name = "UUID")]
    pub(crate) request_id: Option<Id>,
    /// Last instant at which it may be done; when repeating, as the first try said
    #[arg(long, value_name = "TIME")]
    pub(crate) not_after: Option<String>,
}

/// Whose things a list is of, and in which order.
#[derive(Debug, Clone, Args)]
pub(crate) struct OfPatient {
    /// Patient
    #[arg(long, value_name = "PATIENT")]
    pub(crate) patient: String,
    /// Newest first
    #[arg(long)]
    pub(crate) newest_first: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the nodes and whether the network works
    Status(cmd::status::StatusArgs),
    /// Watch the network on one screen
    Top,
    /// Ask each node whether it does its work
    Health,
    /// Find the usual faults of a network, and what to do
    Doctor(cmd::doctor::DoctorArgs),
    /// Show what happened on the nodes
    Events(cmd::events::EventsArgs),
    /// Print the address of a node, for scripts
    Endpoint(cmd::endpoint::EndpointArgs),
    /// Hand leadership to another node, without loss
    Switchover(cmd::switchover::SwitchoverArgs),
    /// Hand leadership back to where it belongs
    Failback(cmd::switchover::FailbackArgs),
    /// Make a node lead when the leader is sick or gone
    Failover(cmd::failover::FailoverArgs),
    /// Keep leaders from changing by themselves, for a while: a leader that dies is not replaced until then
    Pause(cmd::lead::Until),
    /// Let leaders change by themselves again
    Resume(cmd::lead::Consent),
    /// Single nodes
    #[command(subcommand)]
    Node(cmd::lead::NodeCommand),
    /// Work on the network
    #[command(subcommand)]
    Maintenance(cmd::lead::MaintenanceCommand),
    /// Show each change of leader and how long writes waited
    History(cmd::history::HistoryArgs),
    /// Compare the copies of all nodes
    Digest(cmd::digest::DigestArgs),
    /// The majority of the voters
    #[command(subcommand)]
    Quorum(cmd::quorum::QuorumCommand),
    /// Show where copies lie
    Copies(cmd::copies::CopiesArgs),
    /// Prove what the law and good practice ask for
    #[command(subcommand)]
    Compliance(cmd::compliance::ComplianceCommand),
    /// Follow changes as they happen
    Watch(cmd::watch::WatchArgs),
    /// Import a directory of FHIR R4 files (NDJSON)
    Import(cmd::import::ImportArgs),
    /// Measure the network under load; writes synthetic data that stays
    Bench(cmd::bench::BenchArgs),
    /// Patients
    #[command(subcommand)]
    Patient(cmd::patient::PatientCommand),
    /// Appointments
    #[command(subcommand)]
    Agenda(cmd::agenda::AgendaCommand),
    /// Patient records
    #[command(subcommand)]
    Record(cmd::record::RecordCommand),
    /// Consents
    #[command(subcommand)]
    Consent(cmd::consent::ConsentCommand),
    /// Clinical images
    #[command(subcommand)]
    Image(cmd::image::ImageCommand),
    /// Units
    #[command(subcommand)]
    Unit(cmd::directory::UnitCommand),
    /// Professionals
    #[command(subcommand)]
    Practitioner(cmd::directory::PractitionerCommand),
    /// Rooms
    #[command(subcommand)]
    Room(cmd::directory::RoomCommand),
    /// The audit trail
    #[command(subcommand)]
    Audit(cmd::audit::AuditCommand),
    /// Certificates of the built-in authority
    #[command(subcommand)]
    Pki(cmd::pki::PkiCommand),
    /// Members of the network: who replicates, who votes
    #[command(subcommand)]
    Member(cmd::member::MemberCommand),
    /// Tokens with which nodes join
    #[command(subcommand)]
    Token(cmd::token::TokenCommand),
    /// Rolling upgrades: what each node runs and reads, and the end of one
    #[command(subcommand)]
    Upgrade(cmd::upgrade::UpgradeCommand),
    /// Networks that this tool knows
    #[command(subcommand)]
    Context(cmd::context::ContextCommand),
    /// Print a completion script for a shell
    Completion(cmd::completion::CompletionArgs),
    /// Write the runbooks of this network, in Portuguese, from how it is now
    Runbook(cmd::runbook::RunbookArgs),
    /// Write the man pages of all commands into a directory
    Man(cmd::man::ManArgs),
    /// Explain an error code or an alert
    Explain(cmd::explain::ExplainArgs),
    /// Print the version
    Version,
}
