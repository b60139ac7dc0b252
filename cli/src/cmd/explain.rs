//! `plantao explain PLT-1204`: what a code means, why it happens, and what to do.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Items, Report, Table};
use crate::session::Session;
use crate::text::codes::{self, Code};
use crate::text::{Lang, Word};
use clap::Args;
use serde_json::{Map, json};

/// Which.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The code, such as PLT-1204 or 1204
    code: String,
}

/// Runs it.
pub(crate) fn run(args: &ExplainArgs, session: &Session) -> Result<Exit, Failure> {
    let code = parse(&args.code).ok_or_else(|| Failure::UnknownCode { text: args.code.clone() })?;
    session.out.report(&view(session.out.lang, code))?;
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

fn view(lang: Lang, code: &Code) -> Report {
    let (what, fix) = code.told(lang);
    let (what_en, fix_en) = code.told(Lang::En);
    let name = format!("PLT-{:04}", code.number);
    Report {
        kind: "explanation",
        head: Map::new(),
        items: Items::One(
            "explanation",
            json!({"code": name, "what": what_en, "help": fix_en, "exit_code": code.exit().code()}),
        ),
        table: Table::pairs(
            lang,
            vec![
                (Word::Code, name.into()),
                (Word::What, what.into()),
                (Word::Fix, fix.into()),
                (Word::Exit, format!("{} ({})", code.exit().code(), code.exit().meaning(lang)).into()),
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

    #[test]
    fn a_code_is_four_digits_with_or_without_its_prefix() {
        assert_eq!(parse("1204").unwrap().number, 1204);
        for text in ["", "PLT-", "12", "PLT-12040", "PLT-+204", "XYZ-1204", "PLT-0000"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
