//! `plantao runbook`: the pages that whoever is on duty holds in their hands, with the names of this network in them: who
//! leads, who takes over, what to do, how to validate, how to go back, what to tell the staff. In Portuguese, whatever
//! `--lang` says: they are for the people of a clinic in Brazil.
//!
//! ```text
//! GetStatus of every node ─► Network (who, where, what votes) ─► pages (pure) ─► files, or the standard output
//! ```

mod pages;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod samples;

use crate::cmd::status;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ids;
use crate::output::pages::Page;
use crate::output::{Items, Report, Table, pages as output};
use crate::session::Session;
use crate::text::Lang;
use crate::when;
use clap::Args;
use plantao_proto::admin::v1::{GetStatusResponse, Member, NodeRole};
use serde_json::{Map, json};
use std::path::PathBuf;

/// Contacts, and bytes of each: what fits on a page that somebody reads at night.
const CONTACTS_MAX: usize = 12;
const CONTACT_BYTES_MAX: usize = 120;

/// Where to, and whom to call.
#[derive(Debug, Args)]
pub(crate) struct RunbookArgs {
    /// Directory for the pages (default: the standard output)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Whom to call, as 'Operação: 11 5555-0100'; may be repeated
    #[arg(long, value_name = "WHO: WHERE")]
    contact: Vec<String>,
    /// Replace pages that are there
    #[arg(long)]
    force: bool,
}

/// Runs it.
pub(crate) async fn run(args: RunbookArgs, session: &Session) -> Result<Exit, Failure> {
    let contacts = args.contact.iter().map(|text| contact(text)).collect::<Result<Vec<_>, _>>()?;
    if contacts.len() > CONTACTS_MAX {
        let why = format!("at most {CONTACTS_MAX} contacts fit on a page");
        return Err(Failure::BadValue { field: "--contact", why });
    }
    let (cluster, label) = session.admin()?;
    let asked = status::ask(&cluster).await;
    let answers: Vec<GetStatusResponse> = asked.iter().filter_map(|one| one.answer.as_ref().ok()).cloned().collect();
    let Some(mut network) = Network::of(&answers) else {
        let why = asked.iter().find_map(|one| one.answer.as_ref().err()).cloned().unwrap_or_default();
        return Err(Failure::Connect { why });
    };
    network.label = label;
    network.contacts = contacts;
    network.made = session.zone.second(when::now_ms(), Lang::PtBr);
    let pages = pages::all(&network);
    match args.out {
        Some(directory) => session.out.report(&output::write("runbook", &directory, &pages, args.force)?)?,
        None if session.out.format.is_json() => session.out.report(&document(&pages))?,
        None => session.out.raw(joined(&pages).as_bytes())?,
    }
    Ok(Exit::Done)
}

/// A contact that breaks no page: one line of bounded length.
fn contact(text: &str) -> Result<String, Failure> {
    let why = if text.trim().is_empty() {
        "it is empty"
    } else if text.len() > CONTACT_BYTES_MAX {
        "it is longer than 120 bytes"
    } else if text.chars().any(char::is_control) {
        "it has a line break or a control character"
    } else {
        return Ok(text.trim().to_owned());
    };
    Err(Failure::BadValue { field: "--contact", why: why.to_owned() })
}

/// All pages, one below the other.
fn joined(pages: &[Page]) -> String {
    pages.iter().map(|page| page.text.as_str()).collect::<Vec<_>>().join("\n---\n\n")
}

fn document(pages: &[Page]) -> Report {
    let item = |page: &Page| json!({ "file": page.file, "title": page.title, "text": page.text });
    Report {
        kind: "runbook",
        head: Map::new(),
        items: Items::Many("pages", pages.iter().map(item).collect()),
        table: Table::default(),
    }
}

/// What the pages say of a network.
#[derive(Debug)]
struct Network {
    name: String,
    /// First eight digits of its id.
    id: String,
    /// What the context calls it.
    label: String,
    /// When the pages were made, on the clock of `--zone`.
    made: String,
    contacts: Vec<String>,
    /// Number of the node that leads; none leads while there is no majority.
    leader: Option<u64>,
    term: u64,
    places: Vec<Place>,
}

/// A node, as the pages name it.
#[derive(Clone, Debug)]
struct Place {
    number: u64,
    name: String,
    site: String,
    country: String,
    medium: String,
    address: String,
    votes: bool,
    /// Holds the root key: a unit. False: off-site.
    keyed: bool,
}

impl Network {
    /// From what the nodes answered; `None` when nobody did, or nobody knows a member.
    fn of(answers: &[GetStatusResponse]) -> Option<Self> {
        // A deposed leader may not know it yet: the higher term is the later one.
        let leading = answers.iter().filter(|one| one.role() == NodeRole::Leader).max_by_key(|one| one.term);
        let source = leading.or_else(|| answers.iter().max_by_key(|one| one.applied_index))?;
        let mut places: Vec<Place> = source.members.iter().map(Place::of).collect();
        places.sort_by_key(|place| place.number);
        (!places.is_empty()).then(|| Self {
            name: plain(&source.cluster_name),
            id: ids::hex(&source.cluster_id).chars().take(8).collect(),
            label: String::new(),
            made: String::new(),
            contacts: Vec::new(),
            leader: leading.map(|leader| leader.node_id),
            term: source.term,
            places,
        })
    }

    fn leader(&self) -> Option<&Place> {
        self.places.iter().find(|place| Some(place.number) == self.leader)
    }

    /// Who may lead when `gone` is gone: units first, the off-site node last, as the nodes prefer.
    fn successors(&self, gone: u64) -> Vec<&Place> {
        let mut left: Vec<&Place> = self.places.iter().filter(|place| place.votes && place.number != gone).collect();
        left.sort_by_key(|place| (!place.keyed, place.number));
        left
    }

    fn voters(&self) -> usize {
        self.places.iter().filter(|place| place.votes).count()
    }

    /// How many voters are a majority.
    fn majority(&self) -> usize {
        self.voters() / 2 + 1
    }
}

impl Place {
    fn of(member: &Member) -> Self {
        let kept: String = member.name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(32).collect();
        let name = kept.trim_matches('-').to_owned();
        Self {
            number: member.node_id,
            name: if name.is_empty() { format!("no-{}", member.node_id) } else { name },
            site: plain(&member.site),
            country: plain(&member.country),
            medium: plain(&member.medium),
            address: plain(&member.peer_address),
            votes: matches!(member.role(), NodeRole::Leader | NodeRole::Voter | NodeRole::Candidate),
            keyed: member.keyed,
        }
    }
}

/// A word of a server's answer without anything that could be a command or a page's markup.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | ':' | '[' | ']')).take(64).collect()
}
