//! What every command of this tool stands on: the programs that it starts, a directory for its networks, signals, lines for
//! people, a file of figures. Never here: what is measured.

use anyhow::{Context, bail};
use serde::Serialize;
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// It cannot be measured on this machine, or not by this user.
pub(crate) const EXIT_CANNOT: u8 = 3;
/// A promise did not hold.
const EXIT_NOT_HELD: u8 = 10;
/// Ended by a signal.
const EXIT_INTERRUPTED: u8 = 130;

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Ground {
    /// A file for all figures.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// `plantaod`; default: the one beside this program.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where networks live and stay, absent or empty. Default: a temporary directory, removed at the end.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The same, found.
pub(crate) struct Standing {
    /// `plantaod`.
    pub(crate) program: PathBuf,
    /// Absent, or empty.
    pub(crate) directory: PathBuf,
    /// Removed with this value.
    _temporary: Option<tempfile::TempDir>,
}

impl Ground {
    /// Finds the program and a directory.
    pub(crate) fn stand(&self) -> anyhow::Result<Standing> {
        let program = beside(self.program.as_deref(), "plantaod", "--program")?;
        let (directory, temporary) = match &self.dir {
            Some(directory) => (directory.clone(), None),
            None => {
                let temporary = tempfile::Builder::new().prefix("plantao-chaos-").tempdir()?;
                (temporary.path().join("network"), Some(temporary))
            }
        };
        Ok(Standing { program, directory, _temporary: temporary })
    }

    /// Writes the figures where `--json` says.
    pub(crate) fn write(&self, figures: &impl Serialize) -> anyhow::Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        let text = serde_json::to_vec_pretty(figures)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A program that was named, or the one beside this program.
pub(crate) fn beside(named: Option<&Path>, name: &str, option: &str) -> anyhow::Result<PathBuf> {
    let program = match named {
        Some(program) => program.to_owned(),
        None => std::env::current_exe().context("cannot find this program's own file")?.with_file_name(name),
    };
    if !program.is_file() {
        bail!("{} is not there: build it, or name it with {option}", program.display());
    }
    // Programs are started from elsewhere too.
    std::fs::canonicalize(&program).with_context(|| format!("cannot find {}", program.display()))
}

/// Runs a measurement; a signal ends it, and what it started ends with it.
pub(crate) async fn until_signal(
    measuring: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        measured = Box::pin(measuring) => measured,
        _ = interrupt.recv() => Ok(ExitCode::from(EXIT_INTERRUPTED)),
        _ = terminate.recv() => Ok(ExitCode::from(EXIT_INTERRUPTED)),
    }
}

/// Whether the promise held.
pub(crate) fn exit(held: bool) -> ExitCode {
    if held { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NOT_HELD) }
}

/// The same as a word.
pub(crate) fn yes(held: bool) -> &'static str {
    if held { "ok" } else { "FAILED" }
}

/// Of an even number the mean of the two in the middle, rounded up; 0 of none.
pub(crate) fn median_and_worst(values: impl Iterator<Item = u64>) -> (u64, u64) {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let Some(worst) = values.last().copied() else { return (0, 0) };
    let (lower, upper) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    (lower.saturating_add(upper).div_ceil(2), worst)
}

/// The least value that `percent` of all, which are sorted, do not exceed; 0 of none.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or(0)
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// `64KiB`, `200MB` or plain bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => return Err(format!("{other:?} is no unit: B, kB, MB, GB, KiB, MiB, GiB")),
    };
    let number: u64 = number.trim().parse().map_err(|_| format!("{text:?} is no number of bytes"))?;
    number.checked_mul(unit).ok_or_else(|| format!("{text:?} is too many"))
}

/// A line for people.
pub(crate) fn say(line: &str) {
    // A closed pipe ends nothing: the exit code and the file say the same.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_worst_the_last() {
        assert_eq!(median_and_worst([5, 1, 3].into_iter()), (3, 5));
        assert_eq!(median_and_worst([4, 1, 3, 2].into_iter()), (3, 4));
        assert_eq!(median_and_worst([].into_iter()), (0, 0));
    }

    #[test]
    fn a_percentile_is_never_told_too_small() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99), percentile(&values, 100)), (100, 198, 200));
        assert_eq!((percentile(&[7], 99), percentile(&[], 99)), (7, 0));
    }

    #[test]
    fn bytes_have_units_that_are_known() {
        for (text, expected) in [("140", 140), ("64KiB", 65_536), ("200MB", 200_000_000), ("2GiB", 2 << 30)] {
            assert_eq!(bytes(text), Ok(expected));
        }
        for text in ["", "MB", "1 MB x", "2mb", "-1", "99999999999999999999", "18446744073709551615GB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
