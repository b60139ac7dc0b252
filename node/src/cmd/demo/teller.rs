//! How the demonstration speaks: lines on standard output, progress on standard error, figures as Brazilians write them.

use plantao_client::import::{Phase, Progress};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two lines of progress on a terminal.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);

/// Speaks. A closed pipe ends nothing: what is shown is also in the exit code and the figures.
#[derive(Debug)]
pub(super) struct Teller {
    terminal: bool,
    shown: Mutex<Shown>,
}

/// What progress was shown.
#[derive(Debug, Default)]
struct Shown {
    /// When last.
    at: Option<Instant>,
    /// Whether the end of the phase was: it is told twice, by its last line and by itself.
    ended: bool,
}

impl Teller {
    pub(super) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: Mutex::default() }
    }

    /// One line, or several.
    pub(super) fn line(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// A heading.
    pub(super) fn step(&self, text: &str) {
        self.line(&format!("\n== {text}"));
    }

    /// For [`plantao_client::import::OnProgress`]; on a terminal one line that changes, else one at the end of a phase.
    pub(super) fn progress(&self, what: &str, progress: Progress) {
        let ended = progress.done >= progress.total;
        if !self.due(ended) {
            return;
        }
        let text = format!(
            "   {what}: {} {} de {} ({} por segundo)",
            phase(progress.phase),
            grouped(progress.done),
            grouped(progress.total),
            grouped(progress.rate as u64)
        );
        let mut out = std::io::stderr().lock();
        let _ = match (self.terminal, ended) {
            (true, false) => write!(out, "\r\x1b[2K{text}"),
            (true, true) => write!(out, "\r\x1b[2K"),
            (false, _) => writeln!(out, "{text}"),
        }
        .and_then(|()| out.flush());
    }

    fn due(&self, ended: bool) -> bool {
        let Ok(mut shown) = self.shown.lock() else { return false };
        if ended {
            return !std::mem::replace(&mut shown.ended, true);
        }
        shown.ended = false;
        if !self.terminal || shown.at.is_some_and(|at| at.elapsed() < PROGRESS_PAUSE) {
            return false;
        }
        shown.at = Some(Instant::now());
        true
    }
}

const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Organizations => "unidades",
        Phase::Practitioners => "profissionais",
        Phase::Locations => "salas",
        Phase::Patients => "pacientes",
        Phase::Records => "registros",
        Phase::Appointments => "agendamentos",
        Phase::Images => "imagens",
    }
}

/// `2,41 s`.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64()).replace('.', ",")
}

/// `81,3 MiB`.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64).replace('.', ",")
}

/// `14.592`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('.');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_in_brazil() {
        assert_eq!(seconds(Duration::from_millis(2_406)), "2,41 s");
        assert_eq!(mebibytes(85_250_000), "81,3 MiB");
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1.000"), (14_592, "14.592"), (1_234_567, "1.234.567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
