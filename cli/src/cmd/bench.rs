//! `plantao bench write|book|read|read-local|image-put|image-get`: load from the client library, and how long it took.

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::output::{Cell, Items, Report, Table, Tone};
use crate::session::Session;
use crate::text::{Lang, Word};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use plantao_client::bench::{self, BenchKind, BenchOptions, BenchReport};
use serde_json::{Map, json};
use std::time::Duration;

/// Between two steps of the spinner.
const TICK: Duration = Duration::from_millis(200);

/// What is measured.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum KindArg {
    Write,
    Book,
    Read,
    ReadLocal,
    ImagePut,
    ImageGet,
}

impl From<KindArg> for BenchKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Write => Self::Write,
            KindArg::Book => Self::Book,
            KindArg::Read => Self::Read,
            KindArg::ReadLocal => Self::ReadLocal,
            KindArg::ImagePut => Self::ImagePut,
            KindArg::ImageGet => Self::ImageGet,
        }
    }
}

/// What, and how much of it.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What is done over and over
    #[arg(value_enum)]
    kind: KindArg,
    /// Programs at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    clients: u32,
    /// Seconds measured
    #[arg(long, value_name = "SEC", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Seconds of warming up before
    #[arg(long, value_name = "SEC", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=600))]
    warmup: u64,
    /// Size of a record's document, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=49_152))]
    value_bytes: u32,
    /// Size of each image, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4_000_000,
        value_parser = clap::value_parser!(u32).range(140..=2_147_483_648))]
    bytes: u32,
}

/// Runs it.
pub(crate) async fn run(args: BenchArgs, session: &Session) -> Result<Exit, Failure> {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let options = BenchOptions {
        clients: size(args.clients),
        duration: Duration::from_secs(args.seconds),
        warmup: Duration::from_secs(args.warmup),
        value_bytes: size(args.value_bytes),
        image_bytes: size(args.bytes),
        ..BenchOptions::new(args.kind.into())
    };
    let cluster = session.cluster_with(|endpoints| options.connections_per_endpoint(endpoints))?;
    let bar = if session.out.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let style = ProgressStyle::with_template("{spinner} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(TICK);
    let report = bench::run(&cluster, &options).await.map_err(|error| Failure::Work { why: chain(&error) });
    bar.finish_and_clear();
    let report = report?;
    session.out.report(&view(session.out.lang, &report))?;
    Ok(if report.errors == 0 { Exit::Done } else { Exit::Partial })
}

fn view(lang: Lang, report: &BenchReport) -> Report {
    let ms = |time: f64| Cell::from(format!("{time:.2} ms"));
    let bad = |number: u64| Cell { text: number.to_string(), tone: if number == 0 { Tone::Plain } else { Tone::Warn } };
    let mut fields = vec![
        (Word::Operations, report.ops.to_string().into()),
        (Word::OpsPerSecond, format!("{:.0}", report.ops_per_second).into()),
        (Word::P50, ms(report.p50)),
        (Word::P99, ms(report.p99)),
        (Word::P999, ms(report.p999)),
        (Word::Max, ms(report.max)),
        (Word::Seconds, format!("{:.1}", report.seconds).into()),
        (Word::Errors, bad(report.errors)),
        (Word::UnknownOutcomes, bad(report.unknown)),
    ];
    if let Some(rate) = report.mb_per_second {
        fields.insert(2, (Word::MegabytesPerSecond, format!("{rate:.1}").into()));
    }
    if let Some(error) = &report.first_error {
        fields.push((Word::Reason, error.as_str().into()));
    }
    Report {
        kind: "bench",
        head: Map::new(),
        items: Items::One("bench", json!(report)),
        table: Table::pairs(lang, fields),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! A fixed run for golden files.
    use super::*;

    pub(crate) fn image_put(lang: Lang) -> Report {
        let mut report = report();
        report.kind = BenchKind::ImagePut;
        (report.image_bytes, report.mb_per_second) = (Some(4_000_000), Some(96.25));
        view(lang, &report)
    }

    pub(crate) fn write(lang: Lang) -> Report {
        view(lang, &report())
    }

    fn report() -> BenchReport {
        BenchReport {
            kind: BenchKind::Write,
            clients: 64,
            value_bytes: 256,
            image_bytes: None,
            mb_per_second: None,
            seconds: 10.0,
            ops: 61_500,
            ops_per_second: 6_150.0,
            p50: 9.5,
            p99: 21.25,
            p999: 40.0,
            max: 55.125,
            errors: 1,
            unknown: 1,
            retried: 2,
            first_error: Some("no node could answer\u{1b}".into()),
        }
    }
}
