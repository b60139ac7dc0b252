//! `plantaod check-config`: every fault at once, or the reference.

use super::{ConfigArguments, exit};
use std::process::ExitCode;

/// Checks a configuration without opening a port or a directory.
#[derive(Debug, clap::Args)]
pub struct CheckConfig {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print the reference configuration instead.
    #[arg(long)]
    reference: bool,
}

/// Runs it.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output")]
pub fn run(arguments: &CheckConfig) -> ExitCode {
    if arguments.reference {
        print!("{}", crate::config::reference());
        return ExitCode::SUCCESS;
    }
    match arguments.config.load() {
        Ok(_) => {
            println!("{}: in order", arguments.config.config.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(exit::USAGE)
        }
    }
}
