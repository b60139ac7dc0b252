//! `plantao explain PLT-1204`: what a code means, why it happens, and what to do. `plantao explain PlantaoNoLeader`: the
//! page of an alert.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, Items, Report, Table};
use crate::session::Session;
use crate::text::alerts::{self, Alert};
use crate::text::codes::{self, Code};
use crate::text::{Lang, Word};
use clap::Args;
use serde_json::{Map, json};

/// Causes are told in English only, there.
const ERRORS: &str = include_str!("../../../docs/errors.md");

/// Which.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A code, such as PLT-1204 or 1204, or an alert, such as PlantaoNoLeader
    code: String,
}

/// Runs it.
pub(crate) fn run(args: &ExplainArgs, session: &Session) -> Result<Exit, Failure> {
    let lang = session.out.lang;
    if let Some(code) = parse(&args.code) {
        session.out.report(&view(lang, code))?;
        return Ok(Exit::Done);
    }
    let alert = alerts::find(&args.code).ok_or_else(|| Failure::UnknownCode { text: args.code.clone() })?;
    match session.out.format {
        Format::Table | Format::Wide => session.out.raw(alert.page(lang).as_bytes())?,
        Format::Json | Format::Jsonl | Format::Tsv => session.out.report(&page(lang, alert))?,
    }
    Ok(Exit::Done)
}

fn parse(text: &str) -> Option<&'static Code> {
    let upper = text.to_ascii_uppercase();
    let digits = upper.strip_prefix("PLT-").unwrap_or(&upper);
    let number = (digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()?;
    codes::find(number)
}

/// Why a code happens, from its entry in the manual; the tool's own have none.
fn cause(number: u32) -> Option<String> {
    let heading = format!("### PLT-{number:04}: ");
    let below = ERRORS.lines().skip_while(|line| !line.starts_with(&heading)).skip(1);
    let entry = below.take_while(|line| !line.starts_with('#') && !line.starts_with("- **What to do"));
    let text = entry.map(str::trim).collect::<Vec<_>>().join(" ");
    let text = text.trim().strip_prefix("- **Cause:** ")?;
    Some(text.to_owned())
}

fn view(lang: Lang, code: &Code) -> Report {
    let (what, fix) = code.told(lang);
    let (what_en, fix_en) = code.told(Lang::En);
    let name = format!("PLT-{:04}", code.number);
    let cause = cause(code.number);
    let exit = format!("{} ({})", code.exit().code(), code.exit().meaning(lang));
    let why = cause.clone().filter(|_| lang == Lang::En).map(|cause| (Word::Reason, cause.into()));
    let fields = [(Word::Code, name.as_str().into()), (Word::What, what.into())];
    let rest = [(Word::Fix, fix.into()), (Word::Exit, exit.into())];
    Report {
        kind: "explanation",
        head: Map::new(),
        items: Items::One(
            "explanation",
            json!({
                "code": name, "what": what_en, "cause": cause, "help": fix_en, "exit_code": code.exit().code(),
            }),
        ),
        table: Table::pairs(lang, fields.into_iter().chain(why).chain(rest).collect()),
    }
}

fn page(lang: Lang, alert: &Alert) -> Report {
    Report {
        kind: "alert",
        head: Map::new(),
        items: Items::One(
            "alert",
            json!({
                "name": alert.name,
                "severity": if alert.is_critical() { "critical" } else { "warning" },
                "meaning": alert.meaning(Lang::En),
                "first_look": alert.first_look(),
                "remedy": alert.remedy(Lang::En),
                "when_to_call": alert.call(Lang::En),
            }),
        ),
        table: Table::pairs(
            lang,
            vec![
                (Word::Code, alert.name.into()),
                (Word::What, alert.meaning(lang).into()),
                (Word::Fix, alert.remedy(lang).into()),
                (Word::Contact, alert.call(lang).into()),
            ],
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod samples {
    //! Fixed codes for golden files.
    use super::*;

    pub(crate) fn slot_taken(lang: Lang) -> Report {
        view(lang, parse("plt-1204").unwrap())
    }

    pub(crate) fn no_leader(lang: Lang) -> Report {
        page(lang, alerts::find("PlantaoNoLeader").unwrap())
    }

    #[test]
    fn a_code_is_four_digits_with_or_without_its_prefix() {
        assert_eq!(parse("1204").unwrap().number, 1204);
        for text in ["", "PLT-", "12", "PLT-12040", "PLT-+204", "XYZ-1204", "PLT-0000"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_cause_is_that_of_its_own_code() {
        let cause_of = |number| cause(number).unwrap();
        assert!(cause_of(1204).starts_with("the professional, the room or the patient has another booking"));
        assert!(cause_of(1204).ends_with("one may begin when another ends."), "{}", cause_of(1204));
        assert_eq!(cause(9001), None);
    }
}
