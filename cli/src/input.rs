//! What comes from files and the standard input, bounded; and questions to a person.

use crate::failure::Failure;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

/// Largest document of a record, consent or patient, as the cluster takes it.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 48 << 10;
/// Longest single value from the standard input.
const VALUE_BYTES_MAX: u64 = 4 << 10;

/// A whole file, `-` being the standard input; one longer than `bytes_max` is refused.
pub(crate) fn file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let fail = |source| Failure::ReadFile { path: path.to_owned(), source };
    let reader: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(File::open(path).map_err(fail)?) };
    let mut bytes = Vec::new();
    // One byte more than allowed tells "exactly full" from "too long".
    reader.take(bytes_max + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::ReadFile {
            path: path.to_owned(),
            source: io::Error::other(format!("longer than {bytes_max} bytes")),
        });
    }
    Ok(bytes)
}

/// A value given as a flag; `-` takes the first line of the standard input, so that it need not stand in the shell's
/// history and in the list of processes.
pub(crate) fn value(flag: String) -> Result<String, Failure> {
    if flag != "-" {
        return Ok(flag);
    }
    let fail = |source| Failure::ReadFile { path: PathBuf::from("-"), source };
    let mut line = String::new();
    io::stdin().lock().take(VALUE_BYTES_MAX).read_line(&mut line).map_err(fail)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A text from the standard input, of at most `bytes_max` bytes, without the line break at its end.
pub(crate) fn text(bytes_max: u64) -> Result<String, Failure> {
    let fail = |what: &str| Failure::BadValue { field: "-", why: what.to_owned() };
    let text = String::from_utf8(file(Path::new("-"), bytes_max)?).map_err(|_| fail("it is not UTF-8"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks on the terminal; only an explicit yes is one.
pub(crate) fn ask(question: &str) -> Result<bool, Failure> {
    Ok(matches!(line(question)?.to_lowercase().as_str(), "s" | "sim" | "y" | "yes"))
}

/// A line from the terminal, without blanks around it.
pub(crate) fn line(question: &str) -> Result<String, Failure> {
    let fail = |source| Failure::ReadFile { path: PathBuf::from("-"), source };
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} ").and_then(|()| stderr.flush()).map_err(Failure::Output)?;
    let mut answer = String::new();
    io::stdin().lock().take(VALUE_BYTES_MAX).read_line(&mut answer).map_err(fail)?;
    Ok(answer.trim().to_owned())
}

/// Whether there is somebody to ask.
pub(crate) fn interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_up_to_its_bound_and_not_beyond() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("document");
        std::fs::write(&path, [7; 10]).unwrap();
        assert_eq!(file(&path, 10).unwrap(), [7; 10]);
        assert!(matches!(file(&path, 9), Err(Failure::ReadFile { .. })));
        assert!(matches!(file(&directory.path().join("absent"), 9), Err(Failure::ReadFile { .. })));
    }
}
