//! `plantao doctor`: each node is asked what goes wrong around it, and what only the caller can see is added. The findings of
//! the tool are pure over what was gathered, so that golden files and tests can hold them.
//!
//! ```text
//! every admin endpoint: Diagnose + GetStatus, with the time that took ─┐
//! every public endpoint: does anybody listen?                         ─┼► Gathered ─► findings ─► table, JSON, exit
//! own certificates and keys                                           ─┘
//! ```

mod own;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod samples;

use crate::context;
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::session::Session;
use crate::text::doctor as text;
use crate::text::see::{See, SeeWord};
use crate::text::{Lang, Say, Word};
use crate::when;
use clap::Args;
use own::{Credential, Gathered, NodeAnswer};
use plantao_client::config::Context;
use plantao_client::transport::{Credentials, CredentialsPaths};
use plantao_client::{AdminNode, Cluster};
use plantao_proto::admin::v1::{Check, CheckVerdict};
use serde_json::{Map, Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a listener may take to let us in.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);

/// How much.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Also show what is fine
    #[arg(long)]
    all: bool,
}

/// Runs it.
pub(crate) async fn run(args: DoctorArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, _) = session.admin()?;
    let context = context::resolve(&session.global)?.context;
    if session.out.style.framed && !session.out.format.is_json() {
        session.out.note(&Say::See(See::Asking { nodes: context.admin_endpoints.len() }));
    }
    let gathered = gather(&cluster, &context).await;
    if gathered.nodes.iter().all(|node| node.answer.is_err()) {
        let why = gathered.nodes.iter().find_map(|node| node.answer.as_ref().err()).cloned();
        return Err(Failure::Connect { why: why.unwrap_or_default() });
    }
    let findings = findings(&gathered);
    session.out.report(&view(&findings, args.all, session.out.lang))?;
    Ok(exit(&findings))
}

async fn gather(cluster: &Cluster, context: &Context) -> Gathered {
    let mut asking = JoinSet::new();
    for (position, node) in Session::nodes(cluster).into_iter().enumerate() {
        asking.spawn(async move { (position, ask(&node).await) });
    }
    let mut knocking = JoinSet::new();
    for (position, address) in context.endpoints.iter().cloned().enumerate() {
        knocking.spawn(async move {
            let answer = match timeout(CONNECT_TIME_MAX, TcpStream::connect(&address)).await {
                Ok(connected) => connected.map(drop).map_err(|error| error.to_string()),
                Err(_) => Err("no answer in time".to_owned()),
            };
            (position, address, answer)
        });
    }
    let mut nodes = asking.join_all().await;
    nodes.sort_by_key(|(position, _)| *position);
    let mut public = knocking.join_all().await;
    public.sort_by_key(|(position, ..)| *position);
    let mut credentials = vec![credential(context, &context.cert, &context.key)];
    if let (Some(cert), Some(key)) = (&context.admin_cert, &context.admin_key) {
        credentials.push(credential(context, cert, key));
    }
    Gathered {
        now_ms: when::now_ms(),
        nodes: nodes.into_iter().map(|(_, node)| node).collect(),
        public: public.into_iter().map(|(_, address, answer)| (address, answer)).collect(),
        credentials: credentials.into_iter().flatten().collect(),
    }
}

async fn ask(node: &AdminNode) -> NodeAnswer {
    let address = node.address().to_owned();
    let sent_ms = when::now_ms();
    let health = node.get_health().await;
    let got_ms = when::now_ms();
    let (answer, status) = tokio::join!(node.diagnose(), node.get_status());
    NodeAnswer {
        address,
        answer: answer.map_err(|error| chain(&error)),
        status: status.ok(),
        clock: health.ok().map(|health| own::Exchange { sent_ms, got_ms, theirs_ms: health.now_ms }),
    }
}

/// `None`: it could not be read, which ended the command before.
fn credential(context: &Context, cert: &Path, key: &Path) -> Option<Credential> {
    let paths = CredentialsPaths { certificate: cert.to_owned(), key: key.to_owned(), roots: context.ca.clone() };
    let credentials = Credentials::load(&paths, SystemTime::now()).ok()?;
    Some(Credential {
        file: cert.display().to_string(),
        not_after: credentials.leaf().not_after,
        renewal_due: credentials.leaf().renewal_due(),
        key_mode: std::fs::metadata(key).ok()?.mode() & 0o777,
    })
}

/// One finding, of a node or of the tool.
#[derive(Clone, Debug)]
struct Finding {
    id: String,
    case: String,
    verdict: CheckVerdict,
    /// Node or address that it is about; empty: the network, or this computer.
    about: String,
    values: Vec<String>,
    /// English; of the tool's own it is made when it is printed.
    seen: Option<(String, String)>,
}

impl Finding {
    fn of_node(node: &str, check: &Check) -> Self {
        Self {
            id: check.id.clone(),
            case: check.case.clone(),
            verdict: check.verdict(),
            about: node.to_owned(),
            values: check.values.clone(),
            seen: Some((check.seen.clone(), check.help.clone())),
        }
    }

    /// What was seen, and what to do.
    fn told(&self, lang: Lang) -> (String, String) {
        let own = || {
            let (seen, help) = text::of_tool(&self.id, &self.case)?.told(lang, &self.values);
            Some((seen, help.to_owned()))
        };
        match (&self.seen, lang) {
            (Some(told), Lang::En) => told.clone(),
            (Some(told), Lang::PtBr) => text::of_node(&self.id, &self.case, &self.values)
                .map_or_else(|| told.clone(), |(seen, help)| (seen, help.to_owned())),
            (None, _) => own().unwrap_or_default(),
        }
    }

    fn fine(&self) -> bool {
        self.verdict == CheckVerdict::Ok
    }
}

fn findings(gathered: &Gathered) -> Vec<Finding> {
    let of_nodes = gathered
        .nodes
        .iter()
        .filter_map(|node| node.answer.as_ref().ok())
        .flat_map(|answer| answer.checks.iter().map(|check| Finding::of_node(&answer.node_name, check)));
    let mut all: Vec<Finding> = of_nodes.chain(own::findings(gathered)).collect();
    // The worst first; within it by check, then by node.
    all.sort_by(|one, other| {
        let key = |finding: &Finding| (severity(finding.verdict), finding.id.clone(), finding.about.clone());
        key(one).cmp(&key(other))
    });
    all
}

fn severity(verdict: CheckVerdict) -> u8 {
    match verdict {
        CheckVerdict::Bad => 0,
        CheckVerdict::Attention => 1,
        CheckVerdict::Unknown | CheckVerdict::Unspecified => 2,
        CheckVerdict::Ok => 3,
    }
}

fn exit(findings: &[Finding]) -> Exit {
    let wrong = findings.iter().any(|finding| severity(finding.verdict) <= 1);
    if wrong { Exit::Degraded } else { Exit::Done }
}

fn verdict_key(verdict: CheckVerdict) -> &'static str {
    match verdict {
        CheckVerdict::Ok => "ok",
        CheckVerdict::Attention => "attention",
        CheckVerdict::Bad => "bad",
        CheckVerdict::Unknown | CheckVerdict::Unspecified => "unknown",
    }
}

fn view(findings: &[Finding], all: bool, lang: Lang) -> Report {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (attention, bad) = (count(CheckVerdict::Attention), count(CheckVerdict::Bad));
    let fine = count(CheckVerdict::Ok);
    let unknown = findings.len() - fine - attention - bad;
    let items = findings.iter().map(|finding| {
        let (seen, help) = finding.told(Lang::En);
        json!({
            "id": finding.id,
            "case": finding.case,
            "verdict": verdict_key(finding.verdict),
            "about": (!finding.about.is_empty()).then_some(&finding.about),
            "seen": seen,
            "help": (!help.is_empty()).then_some(help),
            "values": finding.values,
        })
    });
    let shown = findings.iter().filter(|finding| all || !finding.fine());
    let rows = shown.clone().map(|finding| {
        let (mark, word, tone) = match finding.verdict {
            CheckVerdict::Ok => ('●', SeeWord::Works, Tone::Good),
            CheckVerdict::Attention => ('▲', SeeWord::Look, Tone::Warn),
            CheckVerdict::Bad => ('■', SeeWord::Bad, Tone::Bad),
            CheckVerdict::Unknown | CheckVerdict::Unspecified => ('?', SeeWord::Unknown, Tone::Plain),
        };
        vec![
            Cell { text: format!("{mark} {}", finding.id), tone },
            text::subject(lang, &finding.id).into(),
            if finding.about.is_empty() { "–".into() } else { finding.about.as_str().into() },
            lang.word(Word::See(word)).into(),
            finding.told(lang).0.into(),
        ]
    });
    let mut footer = vec![lang.say(&Say::See(See::Looked { fine, attention, bad, unknown }))];
    footer.extend(findings.iter().filter(|finding| !finding.fine()).filter_map(|finding| {
        let (_, help) = finding.told(lang);
        let now = See::Now { id: finding.id.clone(), node: finding.about.clone(), help: help.clone() };
        (!help.is_empty()).then(|| lang.say(&Say::See(now)))
    }));
    let head: [(&str, Value); 4] =
        [("ok", fine.into()), ("attention", attention.into()), ("bad", bad.into()), ("unknown", unknown.into())];
    let columns = [SeeWord::Check, SeeWord::Subject].map(|word| Column::of(Word::See(word))).into_iter();
    let columns = columns.chain([
        Column::of(Word::Node),
        Column::of(Word::See(SeeWord::Result)),
        Column::of(Word::See(SeeWord::Seen)),
    ]);
    Report {
        kind: "doctor",
        head: Map::from_iter(head.map(|(key, value)| (key.to_owned(), value))),
        items: Items::Many("checks", items.collect()),
        table: Table { footer, ..Table::new(columns.collect(), rows.collect()) },
    }
}
