//! `plantaod`: one node of the network.

use clap::{CommandFactory as _, Parser, Subcommand};
use plantao_node::cmd::{
    check_config, demo, examples, exit, extract, init, inspect, join, log_copies, manual, probe, quorum, run, unseal,
};
use std::process::ExitCode;

/// Mistakes on purpose are for `chaos-planted` alone: no daemon compiles where one can be turned on, because this is no constant
/// then (decision 0029).
const _: bool = plantao_domain::planted::planted(plantao_domain::planted::Bug::AckBeforeFlush);

/// The system's allocator took a tenth of the processor under load, with rows and messages of a few hundred bytes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps agenda, records and images of a clinic network working when a computer, a link or a unit is lost.
#[derive(Parser)]
#[command(name = "plantaod", version, propagate_version = true, after_help = examples::ROOT)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the node.
    #[command(after_help = examples::RUN)]
    Run(run::Run),
    /// Make the first node of a new network.
    #[command(after_help = examples::INIT)]
    Init(init::Init),
    /// Join a network with a one-use token.
    #[command(after_help = examples::JOIN)]
    Join(join::Join),
    /// Check a configuration, or print the reference.
    #[command(after_help = examples::CHECK_CONFIG)]
    CheckConfig(check_config::CheckConfig),
    /// Ask the node on this machine whether it runs: for containers and supervisors.
    #[command(after_help = examples::PROBE)]
    Probe(probe::Probe),
    /// Show what a stopped node's directory holds.
    #[command(after_help = examples::INSPECT)]
    Inspect(inspect::Inspect),
    /// Check every file of a stopped node.
    #[command(after_help = examples::VERIFY)]
    Verify(inspect::Verify),
    /// Show which nodes have whole copies of log entries that another one cannot read.
    #[command(after_help = examples::LOG_COPIES)]
    LogCopies(log_copies::LogCopies),
    /// Read every document from a stopped node's directory with the paper passphrase.
    #[command(after_help = examples::EXTRACT)]
    Extract(extract::Extract),
    /// Make a stopped unit's root slot from the paper passphrase.
    Unseal(unseal::Unseal),
    /// A majority of the voters is gone for good: look, and go on with what a survivor has.
    #[command(after_help = examples::QUORUM)]
    Quorum(quorum::Quorum),
    /// Show a whole network on this machine: two units and an off-site node.
    #[command(after_help = examples::DEMO)]
    Demo(demo::DemoOptions),
    /// Print the completion of a shell.
    #[command(after_help = examples::COMPLETION)]
    Completion(manual::Completion),
    /// Write a manual page for each command.
    #[command(after_help = examples::MAN)]
    Man(manual::WriteManual),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("the runtime does not start")),
    };
    let result = match &arguments.command {
        Command::CheckConfig(arguments) => return check_config::run(arguments),
        Command::Run(arguments) => runtime.block_on(run::run(arguments)),
        Command::Init(arguments) => runtime.block_on(init::run(arguments)),
        Command::Join(arguments) => runtime.block_on(join::run(arguments)),
        Command::Probe(arguments) => probe::run(arguments),
        Command::Inspect(arguments) => inspect::inspect(arguments),
        Command::Verify(arguments) => return inspect::verify(arguments).unwrap_or_else(|error| report(&error)),
        Command::LogCopies(arguments) => return log_copies::run(arguments).unwrap_or_else(|error| report(&error)),
        Command::Extract(arguments) => extract::run(arguments),
        Command::Unseal(arguments) => unseal::run(arguments),
        Command::Quorum(arguments) => return quorum::run(arguments).unwrap_or_else(|error| report(&error)),
        Command::Completion(arguments) => manual::completion(arguments, Arguments::command()),
        Command::Man(arguments) => manual::man(arguments, Arguments::command()),
        Command::Demo(options) => {
            return runtime.block_on(demo::run(options.clone())).unwrap_or_else(|error| report(&error));
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a command")]
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("plantaod: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because {cause}");
    }
    let usage = error.downcast_ref::<plantao_node::config::LoadError>().is_some();
    ExitCode::from(if usage { exit::USAGE } else { exit::FAILED })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The words of a command line as a shell reads them; an example needs no more than quotes.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for letter in line.chars() {
            match letter {
                '"' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                other => words.last_mut().unwrap().push(other),
            }
        }
        assert!(!quoted, "{line}");
        words
    }

    fn walk(command: &clap::Command, path: &str, seen: &mut usize) {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let mut lines = after.lines();
        assert_eq!(lines.next(), Some("Examples:"), "{path} has no examples");
        let examples: Vec<&str> = lines.by_ref().take_while(|line| line.starts_with("  ")).collect();
        assert_eq!(examples.len(), 2, "{path}: {after}");
        for example in &examples {
            // What stands behind a gap is said of the example.
            let line = example.trim_start().split("  ").next().unwrap();
            assert!(path == "plantaod" || line.starts_with(&format!("{path} ")), "{line} is no example of {path}");
            if let Err(error) = Arguments::try_parse_from(words(line)) {
                panic!("{line}: {error}");
            }
        }
        assert!(after.lines().last().unwrap().starts_with("Exit codes: 0 "), "{path}: {after}");
        *seen += 1;
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            walk(below, &format!("{path} {}", below.get_name()), seen);
        }
    }

    #[test]
    fn every_command_has_two_examples_that_are_understood_and_its_exit_codes() {
        let mut seen = 0;
        walk(&Arguments::command(), "plantaod", &mut seen);
        assert!(seen > 10, "{seen} commands were walked");
    }
}
