//! `plantao pki renew`: in files, as ever; and with `--nodes` over the admin plane, where each node makes its own key and
//! this tool, which stands where the authority is kept, signs.
//!
//! ```text
//! every member answers, a leader is known, the hour is right ─► for each node that is due:
//!     look again ─► RequestCertificate ─► the authority signs ─► InstallCertificate ─► the node shows the new one
//! ```
//! One node after the other: what goes wrong goes wrong on one, and the rest keep what they have.

use super::nodes::{Done, Nodes, Seen, report, why};
use super::{issued_view, parse, refused};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::{CertificateSay, Lang, Say};
use crate::when;
use clap::Args;
use plantao_client::pki::{Authority, LIST_LIFETIME, RenewWhen, Renewal};
use plantao_proto::admin::v1::{GetCertificateRequest, InstallCertificateRequest, RequestCertificateRequest};
use serde_json::Map;
use std::path::PathBuf;
use std::time::SystemTime;

/// Whose certificates.
#[derive(Debug, Args)]
pub(crate) struct RenewArgs {
    /// Directory of the authority
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Directory with the certificate
    #[arg(long, value_name = "DIR", required_unless_present = "nodes")]
    out: Option<PathBuf>,
    /// Name of the files, without .crt
    #[arg(required_unless_present = "nodes")]
    name: Option<String>,
    /// Even when it is not due
    #[arg(long)]
    now: bool,
    /// Every node's, over the network; keys stay on their nodes
    #[arg(long, conflicts_with_all = ["out", "name"])]
    nodes: bool,
    /// With --nodes: only between these hours of --zone, such as 02:00-05:00
    #[arg(long, value_name = "HOURS", requires = "nodes")]
    window: Option<Window>,
    /// With --nodes: do not ask
    #[arg(long, requires = "nodes")]
    yes: bool,
}

/// Hours of a day, `[from, to)`; over midnight when `from` is the later one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    from: String,
    to: String,
}

impl std::str::FromStr for Window {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hour = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            let number = |text: &str, below: u8| {
                let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| text.parse::<u8>().ok()).flatten().filter(|number| *number < below)
            };
            number(hours, 24).and(number(minutes, 60)).map(|_| text.to_owned())
        };
        let ends = text.split_once('-').and_then(|(from, to)| Some((hour(from)?, hour(to)?)));
        let (from, to) = ends.filter(|(from, to)| from != to).ok_or("hours such as 02:00-05:00 are needed")?;
        Ok(Self { from, to })
    }
}

impl Window {
    /// Whether a minute of the day, as `02:30`, lies in it.
    fn has(&self, minute: &str) -> bool {
        let (from, to) = (self.from.as_str(), self.to.as_str());
        if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }
}

/// Runs it.
pub(crate) async fn run(args: RenewArgs, session: &Session) -> Result<Exit, Failure> {
    let authority = Authority::open(&args.dir).map_err(|error| refused(&error))?;
    let (Some(out), Some(name)) = (&args.out, &args.name) else {
        return nodes(&args, &authority, session).await;
    };
    let when = if args.now { RenewWhen::Now } else { RenewWhen::Due };
    let renewed = authority.renew(out, &parse("NAME", name)?, when, SystemTime::now());
    match renewed.map_err(|error| refused(&error))? {
        Renewal::Renewed(issued) => session.out.report(&issued_view(session.out.lang, &session.zone, &issued))?,
        Renewal::NotDue { due_at } => {
            let due = session.zone.minute(due_at.saturating_mul(1_000), session.out.lang);
            session.out.note(&Say::NotDue { due });
        }
    }
    Ok(Exit::Done)
}

async fn nodes(args: &RenewArgs, authority: &Authority, session: &Session) -> Result<Exit, Failure> {
    if let Some(window) = &args.window {
        let minute = session.zone.minute(when::now_ms(), Lang::En);
        if !minute.get(11..).is_some_and(|minute| window.has(minute)) {
            let window = format!("{}-{}", window.from, window.to);
            session.out.note(&Say::Certificates(CertificateSay::OutsideWindow { window }));
            return Ok(Exit::Done);
        }
    }
    let nodes = Nodes::look(session, authority).await?;
    let now_ms = when::now_ms();
    let due: Vec<&Seen> =
        nodes.seen.iter().filter(|one| args.now || one.certificate.renewal_due_ms <= now_ms).collect();
    let mut done = Vec::new();
    if due.is_empty() {
        let next = nodes.seen.iter().map(|one| one.certificate.renewal_due_ms).min().unwrap_or(now_ms);
        let next = session.zone.minute(next, session.out.lang);
        session.out.note(&Say::Certificates(CertificateSay::NoneDue { next }));
    } else {
        nodes.calm()?;
        let names = due.iter().map(|one| one.status.node_name.clone()).collect();
        session.out.note(&Say::Certificates(CertificateSay::Renews { nodes: names }));
        session.confirm(args.yes, &Say::Ask { label: nodes.label.clone() })?;
        done = renew(session, authority, &due).await;
    }
    if done.iter().all(|one| one.outcome.is_ok()) {
        refresh_lists(authority, &nodes, &mut done).await?;
    }
    report(session, "renewal", Map::new(), &done)
}

/// Renews these nodes' certificates, one after the other, and stops at the first that is not renewed.
pub(super) async fn renew(session: &Session, authority: &Authority, due: &[&Seen]) -> Vec<Done> {
    let mut done: Vec<Done> = Vec::new();
    for one in due {
        let outcome = renew_one(session, authority, one).await.map_err(|failure| why(&failure));
        let failed = outcome.is_err();
        done.push(Done { node: one.status.node_name.clone(), outcome });
        if failed {
            break;
        }
    }
    done
}

async fn renew_one(session: &Session, authority: &Authority, one: &Seen) -> Result<String, Failure> {
    // The node before may have fallen over its new certificate.
    Nodes::look(session, authority).await?.calm()?;
    let shown = one.admin.get_certificate(GetCertificateRequest {}).await?;
    let identity = parse("identity", &shown.identity)?;
    let asked = one.admin.request_certificate(RequestCertificateRequest {}).await?;
    let answered = authority
        .answer(&asked.request_pem, &identity, &shown.serial, SystemTime::now())
        .map_err(|error| refused(&error))?;
    let request = InstallCertificateRequest { certificate_pem: answered.certificate_pem };
    let installed = one.admin.install_certificate(request).await?;
    if installed.serial != answered.record.serial {
        return Err(Failure::BadAnswer { why: format!("the node shows certificate {}", installed.serial) });
    }
    Ok(session.zone.minute(installed.not_after_ms, session.out.lang))
}

/// Nodes that have a revocation list get a new one from half of its life on, and the newest when theirs is older.
async fn refresh_lists(authority: &Authority, nodes: &Nodes, done: &mut Vec<Done>) -> Result<(), Failure> {
    if !authority.has_lists().map_err(|error| refused(&error))? {
        return Ok(());
    }
    let newest = nodes.seen.iter().map(|one| one.certificate.revocation_number).max().unwrap_or(0);
    let half_ms = i64::try_from(LIST_LIFETIME.as_millis() / 2).unwrap_or(i64::MAX);
    let soon = when::now_ms().saturating_add(half_ms);
    let wants = |one: &Seen| {
        one.certificate.revocation_number < newest.max(1) || one.certificate.revocation_next_update_ms < soon
    };
    if nodes.seen.iter().any(wants) {
        let lists = authority.sign_lists(LIST_LIFETIME, SystemTime::now()).map_err(|error| refused(&error))?;
        done.extend(nodes.push_lists(&lists.pem).await);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_go_over_midnight() {
        let window = |text: &str| text.parse::<Window>();
        let night = window("02:00-05:00").unwrap();
        assert!(night.has("02:00") && night.has("04:59") && !night.has("05:00") && !night.has("14:00"));
        let late = window("23:30-01:00").unwrap();
        assert!(late.has("23:30") && late.has("00:59") && !late.has("01:00") && !late.has("12:00"));
        for bad in ["", "2-5", "02:00", "02:00-24:00", "02:60-03:00", "02:00-02:00", "02:00-05:00-", "+2:00-05:00"] {
            assert!(window(bad).is_err(), "{bad}");
        }
    }
}
