//! `plantao man --out DIR`: a man page for each command, `plantao.1`, `plantao-agenda-list.1`, with what its help page says,
//! in the language of `--lang`.

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::help;
use crate::output::pages::{self, Page};
use crate::session::Session;
use crate::text::Lang;
use clap::{Args, Command};
use clap_mangen::Man;
use std::io;
use std::path::PathBuf;

/// Where to.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory for the pages; made where it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace pages that are there
    #[arg(long)]
    force: bool,
}

/// Runs it.
pub(crate) fn run(args: &ManArgs, session: &Session) -> Result<Exit, Failure> {
    let pages = all(session.out.lang).map_err(|error| Failure::Work { why: chain(&error) })?;
    session.out.report(&pages::write("man", &args.out, &pages, args.force)?)?;
    Ok(Exit::Done)
}

/// The pages of all commands, the first one's first.
fn all(lang: Lang) -> io::Result<Vec<Page>> {
    let mut found = Vec::new();
    let root = help::pages(lang);
    let mut waiting = vec![&root];
    while let Some(command) = waiting.pop() {
        found.push(page(command, lang)?);
        let mut below: Vec<_> = command.get_subcommands().collect();
        below.reverse();
        waiting.extend(below);
    }
    Ok(found)
}

fn page(command: &Command, lang: Lang) -> io::Result<Page> {
    let version = concat!("plantao ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(version).manual("Plantão");
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    man.render_synopsis_section(&mut bytes)?;
    man.render_options_section(&mut bytes)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut bytes)?;
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if lang == Lang::PtBr {
        text = text.replace("\n.SH NAME\n", "\n.SH NOME\n").replace("\n.SH SYNOPSIS\n", "\n.SH SINOPSE\n");
    }
    let rest = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    text.push_str(&after(&rest));
    let title = command.get_about().map(ToString::to_string).unwrap_or_default();
    Ok(Page { file: man.get_filename(), title, text })
}

/// Examples and exit codes: a title with a colon, then indented lines that stay as they are.
fn after(text: &str) -> String {
    let (mut page, mut fixed, mut gap) = (String::new(), false, false);
    for line in text.lines() {
        if line.is_empty() {
            gap = true;
            continue;
        }
        let indented = line.starts_with("  ");
        if indented != fixed {
            page.push_str(if indented { ".nf\n" } else { ".fi\n" });
            fixed = indented;
        }
        page.push_str(&match line.strip_suffix(':') {
            Some(title) if !indented => format!(".SH \"{}\"\n", title.to_uppercase()),
            _ if gap => format!(".PP\n{}\n", escaped(line.trim_start())),
            _ => escaped(line.strip_prefix("  ").unwrap_or(line)) + "\n",
        });
        gap = false;
    }
    if fixed {
        page.push_str(".fi\n");
    }
    page
}

/// A line of text in which nothing is a command of the page's language.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::text::examples::EXAMPLES;
    use std::collections::BTreeSet;

    #[test]
    fn every_command_has_a_page_with_its_examples_and_exit_codes() {
        for (lang, words) in [
            (Lang::PtBr, ["NOME", "SINOPSE", "\"EXEMPLOS\"", "\"CÓDIGOS DE SAÍDA\""]),
            (Lang::En, ["NAME", "SYNOPSIS", "\"EXAMPLES\"", "\"EXIT CODES\""]),
        ] {
            let pages = all(lang).unwrap();
            let files: BTreeSet<&str> = pages.iter().map(|page| page.file.as_str()).collect();
            let expected: BTreeSet<String> = EXAMPLES
                .iter()
                .map(|examples| format!("plantao {}", examples.path).trim_end().replace(' ', "-") + ".1")
                .collect();
            assert_eq!(files, expected.iter().map(String::as_str).collect());
            for page in &pages {
                for word in words {
                    assert_eq!(page.text.matches(&format!("\n.SH {word}\n")).count(), 1, "{}: {word}", page.file);
                }
                let path = page.file.trim_start_matches("plantao").trim_end_matches(".1").trim_start_matches('-');
                let examples = EXAMPLES.iter().find(|examples| examples.path.replace(' ', "-") == path).unwrap();
                let plain = page.text.replace('\\', "");
                for line in examples.lines {
                    assert!(plain.contains(line.trim()), "{}: {line}", page.file);
                }
                let titles = page.text.lines().filter(|line| line.starts_with(".TH ")).count();
                assert_eq!(titles, 1, "{}", page.file);
            }
        }
    }

    #[test]
    fn no_line_of_an_example_becomes_a_command_of_the_page() {
        assert_eq!(escaped(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(escaped("'x' a-b \\n"), "\\&'x' a\\-b \\en");
        assert_eq!(after("A b:\n  one\n\nend"), ".SH \"A B\"\n.nf\none\n.fi\n.PP\nend\n");
    }
}
