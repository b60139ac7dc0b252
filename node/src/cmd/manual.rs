//! `plantaod man` and `plantaod completion`: manual pages and completion, made of the tree of the command line, so that neither
//! can fall behind it. The tool's own are in `cli/src/cmd/man.rs`; it speaks two languages, the daemon English alone.

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// Writes a manual page for each command.
#[derive(Debug, clap::Args)]
pub struct WriteManual {
    /// Directory for the pages; made where it is missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace pages that are there.
    #[arg(long)]
    force: bool,
}

/// Prints the completion of a shell.
#[derive(Debug, clap::Args)]
pub struct Completion {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Shells with a completion of ours.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// Writes the pages of `command` and of all below it.
///
/// # Errors
/// A page is there and was not to be replaced (then nothing is written), or the disk refuses.
pub fn man(arguments: &WriteManual, command: Command) -> anyhow::Result<()> {
    let out = &arguments.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let pages = pages(command).context("cannot make the pages")?;
    let paths: Vec<PathBuf> = pages.iter().map(|page| out.join(&page.file)).collect();
    if let Some(path) = paths.iter().find(|path| !arguments.force && path.symlink_metadata().is_ok()) {
        anyhow::bail!("{} is there: nothing was written; --force replaces it", path.display());
    }
    for (page, path) in pages.iter().zip(&paths) {
        std::fs::write(path, &page.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Prints the script.
///
/// # Errors
/// The output takes no more.
pub fn completion(arguments: &Completion, command: Command) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(&script(arguments.shell, command)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write the script"),
        _ => Ok(()),
    }
}

fn script(shell: Shell, command: Command) -> Vec<u8> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut without_help(command), "plantaod", &mut script);
    script
}

/// One page.
struct Page {
    file: String,
    text: String,
}

/// The tree without the command `help`, which is no page of its own.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

fn pages(command: Command) -> io::Result<Vec<Page>> {
    let mut root = without_help(command);
    root.build();
    let (mut found, mut waiting) = (Vec::new(), vec![&root]);
    while let Some(command) = waiting.pop() {
        found.push(page(command)?);
        waiting.extend(command.get_subcommands());
    }
    Ok(found)
}

fn page(command: &Command) -> io::Result<Page> {
    let man = Man::new(command.clone()).source(concat!("plantaod ", env!("CARGO_PKG_VERSION"))).manual("Plantão");
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    man.render_synopsis_section(&mut bytes)?;
    man.render_description_section(&mut bytes)?;
    man.render_options_section(&mut bytes)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut bytes)?;
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    text.push_str(&after(&command.get_after_help().map(ToString::to_string).unwrap_or_default()));
    Ok(Page { file: man.get_filename(), text })
}

/// What [`super::examples`] says of a command: `Examples:` with indented lines that stay as they are, and a line `Exit codes: …`.
fn after(text: &str) -> String {
    let mut page = String::new();
    for line in text.lines() {
        let escaped = line.trim_start().replace('\\', "\\e").replace('-', "\\-");
        page.push_str(&match escaped.split_once(": ") {
            _ if line == "Examples:" => ".SH EXAMPLES\n".to_owned(),
            _ if line.starts_with(' ') => format!(".nf\n\\&{escaped}\n.fi\n"),
            Some((title, rest)) => format!(".SH \"{}\"\n\\&{rest}\n", title.to_uppercase()),
            None => format!(".PP\n\\&{escaped}\n"),
        });
    }
    page
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn tree() -> Command {
        Command::new("plantaod").after_help("Examples:\n  plantaod a-b  .one\nExit codes: 0 done").subcommand(
            Command::new("quorum").subcommand(Command::new("show").arg(clap::Arg::new("against").long("against"))),
        )
    }

    #[test]
    fn every_command_has_its_page_and_no_line_becomes_a_command_of_the_page() {
        let mut pages = pages(tree()).unwrap();
        pages.sort_by(|a, b| a.file.cmp(&b.file));
        let files: Vec<&str> = pages.iter().map(|page| page.file.as_str()).collect();
        assert_eq!(files, ["plantaod-quorum-show.1", "plantaod-quorum.1", "plantaod.1"]);
        assert!(pages[0].text.contains("\\-\\-against"), "{}", pages[0].text);
        assert!(
            pages[2].text.ends_with(".SH EXAMPLES\n.nf\n\\&plantaod a\\-b  .one\n.fi\n.SH \"EXIT CODES\"\n\\&0 done\n"),
            "{}",
            pages[2].text
        );
        assert!(
            pages.iter().all(|page| !page.text.contains("help(1)") && page.text.matches("\n.SH NAME\n").count() == 1)
        );
    }

    #[test]
    fn every_shell_completes_what_stands_deep_in_the_tree() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = String::from_utf8(script(shell, tree())).unwrap();
            assert!(["quorum", "show", "against"].iter().all(|word| text.contains(word)), "{shell:?}: {text}");
        }
    }

    /// A page may have been put there by somebody else.
    #[test]
    fn a_page_that_is_there_is_replaced_only_when_asked_and_else_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("man1");
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join("plantaod.1"), "other").unwrap();
        let refused = man(&WriteManual { out: out.clone(), force: false }, tree()).unwrap_err().to_string();
        assert!(refused.contains("plantaod.1 is there") && refused.contains("--force"), "{refused}");
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
        man(&WriteManual { out: out.clone(), force: true }, tree()).unwrap();
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 3);
        assert!(std::fs::read_to_string(out.join("plantaod.1")).unwrap().starts_with(".ie"), "a page");
    }
}
