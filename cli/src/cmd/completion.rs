//! `plantao completion bash|zsh|fish`.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::help;
use crate::session::Session;
use clap::Args;

/// Shells with a completion of ours.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// For which shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionArgs, session: &Session) -> Result<Exit, Failure> {
    let mut command = help::command(session.out.lang);
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "plantao", &mut script);
    session.out.raw(&script)?;
    Ok(Exit::Done)
}
