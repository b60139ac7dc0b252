//! `plantao`, the operator's tool. It talks to a cluster through the client library and never opens a data directory.
//!
//! ```text
//! args ─► session (context, zone, output) ─► cmd/<noun> ─► gateway ─► client
//!                                                └► Report ─► output (table, json, tsv)      Failure ─► text, exit
//! ```

mod args;
mod cmd;
mod context;
mod escape;
mod exit;
mod failure;
mod gateway;
#[cfg(test)]
mod golden;
mod help;
mod ids;
mod input;
mod output;
mod session;
mod text;
mod when;

use crate::args::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Out, Style};
use crate::session::Session;
use crate::text::Lang;
use crate::when::Zone;
use clap::FromArgMatches;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let lang = help::language(&arguments);
    let parsed = help::pages(lang).try_get_matches_from(&arguments).and_then(|found| Cli::from_arg_matches(&found));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return not_run(&error, lang, help::wants_json(&arguments)).into(),
    };
    run(cli).into()
}

/// Help and version go to the standard output; anything else was not understood.
fn not_run(error: &clap::Error, lang: Lang, json: bool) -> Exit {
    let out =
        Out { format: output::Format::Table, lang, style: Style { framed: false, coloured: false }, quiet: false };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match out.raw(error.render().to_string().as_bytes()) {
            Ok(()) => Exit::Done,
            Err(failure) => failure.exit(),
        },
        _ if json => {
            out.line(&output::json::usage(error));
            help::USAGE_EXIT
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            out.line(error.render().to_string().trim_end());
            help::USAGE_EXIT
        }
        _ => {
            out.line(&help::usage_error(error, lang));
            help::USAGE_EXIT
        }
    }
}

fn run(cli: Cli) -> Exit {
    let out = Out {
        format: cli.global.output,
        lang: cli.global.lang,
        style: Style::detect(cli.global.color),
        quiet: cli.global.quiet,
    };
    let zone = match Zone::named(&cli.global.zone) {
        Ok(zone) => zone,
        Err(failure) => {
            out.failure(&failure);
            return failure.exit();
        }
    };
    let session = Session { out, zone, global: cli.global };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::Work { why: failure::chain(&error) };
            session.out.failure(&failure);
            return failure.exit();
        }
    };
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = cmd::run(cli.command, &session) => ended,
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        }
    });
    // A worker that still reads a file must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit,
        Err(failure) => {
            session.out.failure(&failure);
            failure.exit()
        }
    }
}
