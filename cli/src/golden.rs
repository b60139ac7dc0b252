//! Golden files: what help pages, tables and documents look like, held in `tests/golden`. After a wanted change:
//! `PLANTAO_GOLDEN=write cargo test -p plantao-cli`, then read the difference.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::cmd;
use crate::failure::Failure;
use crate::help;
use crate::output::{Format, Out, Report, Style, told};
use crate::text::Lang;
use crate::text::examples::EXAMPLES;
use crate::when::{ZONE_DEFAULT, Zone};
use clap::Command;
use plantao_client::error::{Held, Refusal};
use plantao_client::id::Id;
use plantao_proto::public::v1::{AsOf, Consistency, ResourceKind};
use std::path::PathBuf;

/// 21 November 2026, 14:32:07 in São Paulo.
pub(crate) const MOMENT: i64 = 1_795_282_327_000;

/// An id of 16 equal bytes.
pub(crate) fn id<B: From<Vec<u8>>>(byte: u8) -> B {
    vec![byte; 16].into()
}

/// The zone of the samples.
pub(crate) fn zone() -> Zone {
    Zone::named(ZONE_DEFAULT).unwrap()
}

/// What the samples reflect.
pub(crate) fn at() -> AsOf {
    AsOf { index: 918_204, time_ms: MOMENT, consistency: Consistency::Linearizable.into(), node_id: 1, staleness_ms: 0 }
}

fn check(name: &str, actual: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("PLANTAO_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(expected, actual, "{name}: differs from its golden file");
}

fn out(format: Format, lang: Lang, framed: bool) -> Out {
    Out { format, lang, style: Style { framed, coloured: false }, quiet: false }
}

/// A report in every format, one below the other.
fn every_format(report: impl Fn(Lang) -> Report) -> String {
    let mut text = String::new();
    let kinds = [
        ("table, pt-br, terminal", Format::Table, Lang::PtBr, true),
        ("table, pt-br, pipe", Format::Table, Lang::PtBr, false),
        ("table, en", Format::Table, Lang::En, true),
        ("wide, pt-br", Format::Wide, Lang::PtBr, true),
        ("tsv", Format::Tsv, Lang::En, false),
        ("json", Format::Json, Lang::PtBr, false),
        ("jsonl", Format::Jsonl, Lang::PtBr, false),
    ];
    for (title, format, lang, framed) in kinds {
        text.push_str(&format!("== {title}\n{}", out(format, lang, framed).render(&report(lang))));
    }
    text
}

#[test]
fn reports_are_as_in_their_files() {
    check("status-good.txt", &every_format(cmd::status::samples::good));
    check("status-attention.txt", &every_format(cmd::status::samples::attention));
    check("status-link-cut.txt", &every_format(cmd::status::samples::link_cut));
    check("status-no-quorum.txt", &every_format(cmd::status::samples::no_quorum));
    check("health.txt", &every_format(cmd::health::samples::list));
    check("doctor-good.txt", &every_format(cmd::doctor::samples::good));
    check("doctor-attention.txt", &every_format(cmd::doctor::samples::attention));
    check("top.txt", &cmd::top::screens());
    check("events.txt", &cmd::events::samples::lines());
    check("history.txt", &every_format(cmd::history::samples::some));
    check("lead-policy.txt", &every_format(cmd::lead::samples::paused));
    check("failover.txt", &every_format(cmd::failover::samples::elected));
    check("switchover.txt", &every_format(cmd::switchover::samples::done));
    check("digest-equal.txt", &every_format(|_| cmd::digest::samples::equal()));
    check("digest-differ.txt", &every_format(|_| cmd::digest::samples::differ()));
    check("compliance-321-holds.txt", &every_format(cmd::compliance::samples::holds));
    check("compliance-321-does-not-hold.txt", &every_format(cmd::compliance::samples::does_not_hold));
    check("quorum-lost.txt", &every_format(cmd::quorum::samples::lost));
    check("quorum-recovered.txt", &every_format(cmd::quorum::recover::samples::recovered));
    check("copies.txt", &every_format(cmd::copies::samples::list));
    check("agenda-list.txt", &every_format(cmd::agenda::samples::list));
    check("patient-get.txt", &every_format(cmd::patient::samples::get));
    check("patient-find.txt", &every_format(|_| cmd::patient::samples::find()));
    check("image-list.txt", &every_format(cmd::image::samples::list));
    check("image-show.txt", &every_format(cmd::image::samples::show));
    check("image-put.txt", &every_format(cmd::image::samples::put));
    check("image-get.txt", &every_format(cmd::image::samples::get));
    check("image-verify.txt", &every_format(cmd::image::samples::verify));
    check("record-list.txt", &every_format(cmd::record::samples::list));
    check("record-get.txt", &every_format(cmd::record::samples::get));
    check("consent-list.txt", &every_format(cmd::consent::samples::list));
    check("audit-list.txt", &every_format(cmd::audit::samples::list));
    check("audit-verify.txt", &every_format(cmd::audit::samples::verify));
    check("unit-list.txt", &every_format(|_| cmd::directory::samples::units()));
    check("room-list.txt", &every_format(|_| cmd::directory::samples::rooms()));
    check("pki-list.txt", &every_format(cmd::pki::samples::list));
    check("pki-push.txt", &every_format(cmd::pki::samples::pushed));
    check("import.txt", &every_format(cmd::import::samples::some_refused));
    check("bench.txt", &every_format(cmd::bench::samples::write));
    check("bench-image.txt", &every_format(cmd::bench::samples::image_put));
    check("member-list.txt", &every_format(cmd::member::samples::list));
    check("member-list-under-way.txt", &every_format(cmd::member::samples::list_under_way));
    check("member-show.txt", &every_format(cmd::member::samples::show));
    check("member-diff.txt", &every_format(cmd::member::samples::diff));
    check("member-diff-nothing.txt", &every_format(cmd::member::samples::diff_of_nothing));
    check("upgrade-under-way.txt", &every_format(cmd::upgrade::samples::under_way));
    check("upgrade-can-end.txt", &every_format(cmd::upgrade::samples::can_end));
    check("upgrade-ended.txt", &every_format(cmd::upgrade::samples::ended));
    check("upgrade-finalize.txt", &every_format(cmd::upgrade::samples::finalized));
    check("explain.txt", &every_format(cmd::explain::samples::slot_taken));
    check("explain-alert.txt", &every_format(cmd::explain::samples::no_leader));
    check("runbook.txt", &cmd::runbook::samples::clinic());
    check("watch.txt", &cmd::watch::samples::lines());
}

/// No report lets a control character through, in no format: they come from patients' names and servers' messages.
#[test]
fn no_report_moves_the_cursor() {
    for report in [
        cmd::patient::samples::get,
        cmd::record::samples::get,
        cmd::status::samples::attention,
        cmd::health::samples::list,
        cmd::doctor::samples::attention,
        cmd::history::samples::some,
        cmd::image::samples::list,
        cmd::image::samples::show,
        cmd::image::samples::put,
        cmd::member::samples::show,
        cmd::upgrade::samples::under_way,
    ] {
        let text = every_format(report);
        let bad = text.chars().find(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || *c == '\u{202e}');
        assert_eq!(bad, None);
    }
}

/// Programs read JSON in any language of the tables.
#[test]
fn json_is_the_same_in_every_language() {
    for report in [
        cmd::status::samples::attention as fn(Lang) -> Report,
        cmd::health::samples::list,
        cmd::doctor::samples::attention,
        cmd::agenda::samples::list,
        cmd::record::samples::get,
        cmd::image::samples::put,
        cmd::image::samples::verify,
        cmd::history::samples::some,
        cmd::switchover::samples::done,
        cmd::explain::samples::slot_taken,
        cmd::explain::samples::no_leader,
        cmd::member::samples::diff,
        cmd::upgrade::samples::under_way,
    ] {
        for format in [Format::Json, Format::Jsonl] {
            let render = |lang| out(format, lang, false).render(&report(lang));
            assert_eq!(render(Lang::PtBr), render(Lang::En));
            assert!(render(Lang::En).contains("\"schema_version\""));
        }
    }
}

#[test]
fn failures_are_told_as_in_their_file() {
    let id = |byte| Id::from_bytes([byte; 16]);
    let refusal = |code| Refusal {
        code,
        message: "the slot is taken\u{1b}[2J".into(),
        help: "choose another time".into(),
        held: Some(Held { kind: ResourceKind::Room, id: id(6), holder: id(3) }),
        current_version: None,
        existing_patient: None,
        index: 41,
        request_id: id(88),
    };
    let unknown = |not_after_ms| Failure::Unknown {
        request_id: id(88).to_string(),
        not_after_ms,
        why: "no answer in time".into(),
    };
    let failures = [
        Failure::NoContext { missing: "--cluster" },
        Failure::NeedsConfirmation { flag: "--yes" },
        Failure::Rejected(Box::new(refusal(1204))),
        Failure::Rejected(Box::new(refusal(8999))),
        unknown(MOMENT - 100 * 365 * 86_400_000),
        unknown(253_402_300_799_000),
        Failure::Connect { why: "127.0.0.1:7101: connection refused".into() },
        Failure::AmbiguousId {
            what: crate::text::Word::Patient,
            text: "875a\u{1b}".into(),
            matches: vec![id(1).to_string(), id(2).to_string()],
        },
        Failure::DigestsDiffer { index: 50 },
    ];
    let mut text = String::new();
    for failure in &failures {
        text.push_str(&format!("== exit {}\n", failure.exit().code()));
        for lang in [Lang::PtBr, Lang::En] {
            text.push_str(&crate::escape::lines(&told(failure, lang)));
            text.push('\n');
        }
        text.push_str(&crate::output::json::failure(failure));
        text.push('\n');
    }
    check("failures.txt", &text);
}

/// Every command from the root on, with its words.
fn walk(command: &Command, path: &mut Vec<String>, visit: &mut dyn FnMut(&Command, &str)) {
    visit(command, &path.join(" "));
    for sub in command.get_subcommands() {
        path.push(sub.get_name().to_owned());
        walk(sub, path, visit);
        path.pop();
    }
}

#[test]
fn help_pages_are_as_in_their_files() {
    for (lang, name) in [(Lang::PtBr, "help.pt-br.txt"), (Lang::En, "help.en.txt")] {
        let pages = help::pages(lang);
        let mut text = String::new();
        walk(&pages, &mut Vec::new(), &mut |command, path| {
            let page = command.clone().term_width(100).render_help();
            text.push_str(&format!("== plantao {path}\n{page}\n"));
        });
        check(name, &text);
    }
}

/// A page without examples or in the wrong language would only be noticed by the one who needs it.
#[test]
fn every_command_has_examples_and_every_text_its_portuguese() {
    let english = <crate::args::Cli as clap::CommandFactory>::command();
    let mut missing = Vec::new();
    walk(&english, &mut Vec::new(), &mut |command, path| {
        if !EXAMPLES.iter().any(|examples| examples.path == path) {
            missing.push(format!("examples of {path}"));
        }
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let helps = command.get_arguments().map(|arg| arg.get_help().map(ToString::to_string).unwrap_or_default());
        for text in std::iter::once(about).chain(helps) {
            if Lang::PtBr.help(&text).is_none() {
                missing.push(text);
            }
        }
    });
    missing.sort();
    missing.dedup();
    assert!(missing.is_empty(), "without Portuguese or examples:\n{}", missing.join("\n"));
}

#[test]
fn every_example_is_understood() {
    for examples in EXAMPLES {
        for line in examples.lines {
            let words = shell_words(line);
            let parsed = help::pages(Lang::En).try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{line}\n{}", parsed.unwrap_err());
            assert!(line.starts_with(&format!("plantao {}", examples.path)) || examples.path.is_empty(), "{line}");
        }
    }
}

/// Commands of this tool in a page: after `$ ` at the beginning of a line, and between backquotes.
pub(crate) fn commands_in(page: &str) -> Vec<String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("$ "));
    let quoted = page.split('`').skip(1).step_by(2);
    let ours = lines.chain(quoted).filter(|text| text.starts_with("plantao ") && !text.contains('\n'));
    ours.map(|text| text.replace("PLT-nnnn", "PLT-1204")).collect()
}

/// Words of a command line with simple quotes.
pub(crate) fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn the_tree_is_consistent() {
    <crate::args::Cli as clap::CommandFactory>::command().debug_assert();
}
