//! Pages that a command writes into a directory: runbooks, man pages. Results go to the standard output elsewhere; nothing
//! here prints.

use super::{Column, Items, Report, Table};
use crate::failure::Failure;
use crate::text::Word;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// One page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Page {
    /// Name of its file, without a directory.
    pub(crate) file: String,
    /// What it is about, one line.
    pub(crate) title: String,
    /// All of it.
    pub(crate) text: String,
}

/// Writes them all, each whole or not at all, and reports where. One that is there is replaced only with `force`; then
/// nothing is written at all.
///
/// # Errors
/// The directory cannot be made, or a file cannot be written.
pub(crate) fn write(kind: &'static str, directory: &Path, pages: &[Page], force: bool) -> Result<Report, Failure> {
    fs::create_dir_all(directory).map_err(|source| Failure::WriteFile { path: directory.to_owned(), source })?;
    let paths: Vec<PathBuf> = pages.iter().map(|page| directory.join(&page.file)).collect();
    if let Some(path) = paths.iter().find(|path| !force && path.symlink_metadata().is_ok()) {
        let source = io::ErrorKind::AlreadyExists.into();
        return Err(Failure::WriteFile { path: path.clone(), source });
    }
    for (page, path) in pages.iter().zip(&paths) {
        let hidden = directory.join(format!(".{}.new", page.file));
        let written = fs::File::create(&hidden)
            .and_then(|mut file| file.write_all(page.text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&hidden, path));
        if let Err(source) = written {
            // What cannot be removed either is left with its hidden name.
            let _ = fs::remove_file(&hidden);
            return Err(Failure::WriteFile { path: path.clone(), source });
        }
    }
    let table = |path: &PathBuf, page: &Page| vec![path.display().to_string().into(), page.title.as_str().into()];
    let item = |path: &PathBuf, page: &Page| json!({ "file": path.display().to_string(), "title": page.title });
    Ok(Report {
        kind,
        head: Map::from_iter([("directory".to_owned(), Value::String(directory.display().to_string()))]),
        items: Items::Many("pages", paths.iter().zip(pages).map(|(path, page)| item(path, page)).collect()),
        table: Table::new(
            vec![Column::of(Word::File), Column::of(Word::Content)],
            paths.iter().zip(pages).map(|(path, page)| table(path, page)).collect(),
        ),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn page(file: &str, text: &str) -> Page {
        Page { file: file.into(), title: "t".into(), text: text.into() }
    }

    /// Somebody may have written a telephone number into a page by hand.
    #[test]
    fn a_page_that_is_there_is_replaced_only_when_asked_and_else_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("a/b");
        write("runbook", &out, &[page("one.md", "1"), page("two.md", "2")], false).unwrap();
        let again = [page("zero.md", "0"), page("two.md", "3")];
        let refused = write("runbook", &out, &again, false).unwrap_err();
        assert!(matches!(refused, Failure::WriteFile { path, .. } if path.ends_with("two.md")));
        assert_eq!(fs::read_to_string(out.join("two.md")).unwrap(), "2");
        assert!(!out.join("zero.md").exists());
        write("runbook", &out, &again, true).unwrap();
        assert_eq!(fs::read_to_string(out.join("two.md")).unwrap(), "3");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 3, "nothing but the pages is left");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = write("runbook", &file.join("below"), &[], false).unwrap_err();
        assert!(matches!(refused, Failure::WriteFile { path, .. } if path == file.join("below")));
    }
}
