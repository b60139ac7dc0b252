//! Where every command's result goes: one [`Report`], printed as a table for people or as JSON or TSV for programs.
//!
//! Results go to the standard output, everything else to the standard error, so that a pipe never mixes them.

pub(crate) mod json;
pub(crate) mod pages;
pub(crate) mod table;

use crate::escape;
use crate::failure::Failure;
use crate::text::{Lang, Say, Told};
use serde_json::{Map, Value};
use std::io::{self, IsTerminal, Write};
pub(crate) use table::{Cell, Column, Table, Tone};

/// `schema_version` of every JSON document; it moves when a key is removed or changes meaning, not when one is added.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For people with room.
    Wide,
    /// One document.
    Json,
    /// One document a line, an item each.
    Jsonl,
    /// Titles and rows, tab between fields.
    Tsv,
}

impl Format {
    /// Whether a program reads it.
    pub(crate) const fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }
}

/// When colours are used. They only repeat what a mark and a word say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a command has to say.
#[derive(Debug)]
pub(crate) struct Report {
    /// `kind` of the document, such as `patient_list`.
    pub(crate) kind: &'static str,
    /// Facts about the whole answer, such as `as_of`.
    pub(crate) head: Map<String, Value>,
    /// The things themselves.
    pub(crate) items: Items,
    /// The same for people.
    pub(crate) table: Table,
}

/// The things of a report, under their key.
#[derive(Debug)]
pub(crate) enum Items {
    /// One thing.
    One(&'static str, Value),
    /// Any number of them.
    Many(&'static str, Vec<Value>),
}

/// Whether the output is a terminal, and what may be sent to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Style {
    /// Frames are drawn.
    pub(crate) framed: bool,
    /// Colours are used.
    pub(crate) coloured: bool,
}

impl Style {
    /// As this process's standard output and environment want it.
    pub(crate) fn detect(colour: Colour) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = io::stdout().is_terminal();
        let coloured = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => set("CLICOLOR_FORCE") || (terminal && !dumb && !set("NO_COLOR")),
        };
        Self { framed: terminal && !dumb, coloured }
    }
}

/// Writes results and messages.
#[derive(Debug)]
pub(crate) struct Out {
    /// How results are printed.
    pub(crate) format: Format,
    /// For people.
    pub(crate) lang: Lang,
    /// What the standard output takes.
    pub(crate) style: Style,
    /// No messages but errors.
    pub(crate) quiet: bool,
}

impl Out {
    /// Prints a result to the standard output.
    pub(crate) fn report(&self, report: &Report) -> Result<(), Failure> {
        self.raw(self.render(report).as_bytes())
    }

    /// A result as it would be printed.
    pub(crate) fn render(&self, report: &Report) -> String {
        match self.format {
            Format::Json => json::document(report),
            Format::Jsonl => json::lines(report),
            Format::Tsv => report.table.tsv(self.lang),
            Format::Table => report.table.text(self.lang, self.style, false),
            Format::Wide => report.table.text(self.lang, self.style, true),
        }
    }

    /// Writes bytes to the standard output exactly.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Output(error),
        })
    }

    /// As [`Self::raw`], for work that has errors of its own; not flushed.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        io::stdout().lock().write_all(bytes)
    }

    /// A sentence for people, on the standard error.
    pub(crate) fn note(&self, say: &Say) {
        if !self.quiet {
            self.line(&self.lang.say(say));
        }
    }

    /// A line on the standard error; one that cannot be written is lost, there is nobody to tell.
    pub(crate) fn line(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", escape::lines(text));
    }

    /// A failure, on the standard error: as one line of JSON where a program listens.
    pub(crate) fn failure(&self, failure: &Failure) {
        match failure {
            Failure::OutputClosed => {}
            failure if self.format.is_json() => self.line(&json::failure(failure)),
            failure => self.line(&told(failure, self.lang)),
        }
    }
}

/// `error PLT-1204: what`, then why and what now, each on its line.
pub(crate) fn told(failure: &Failure, lang: Lang) -> String {
    let Told { what, why, now } = lang.tell(failure);
    let (error, because, then) = match lang {
        Lang::PtBr => ("erro", "por quê", "o que fazer"),
        Lang::En => ("error", "why", "what now"),
    };
    let mut text = format!("{error} PLT-{:04}: {what}", failure.code());
    if let Some(why) = why {
        text.push_str(&format!("\n  {because}: {why}"));
    }
    text.push_str(&format!("\n  {then}: {now}"));
    text
}
