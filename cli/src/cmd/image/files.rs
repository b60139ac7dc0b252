//! Which files a command means: those that it names, and all images below the directories that it names.

use crate::failure::Failure;
use plantao_client::images::{HEAD_BYTES, guess};
use plantao_proto::public::v1::MediaType;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Files of one command; whoever has more begins another.
const FILES_MAX: usize = 100_000;
/// Directories within directories.
const DEPTH_MAX: usize = 32;

/// A file that is to be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) taken_ms: i64,
    pub(super) media_type: MediaType,
}

/// The files, in order, and those of directories that are no images. A file that is named and is none stays in: the
/// refusal tells.
pub(super) fn find(paths: &[PathBuf], taken_ms: Option<i64>) -> Result<(Vec<Found>, Vec<PathBuf>), Failure> {
    let (mut found, mut skipped) = (Vec::new(), Vec::new());
    for path in paths {
        let metadata = fs::metadata(path).map_err(fail(path))?;
        if metadata.is_dir() {
            walk(path, 0, taken_ms, &mut found, &mut skipped)?;
        } else {
            found.push(look(path, taken_ms)?);
        }
    }
    Ok((found, skipped))
}

fn fail(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure::ReadFile { path: path.to_owned(), source }
}

fn walk(
    directory: &Path,
    depth: usize,
    taken_ms: Option<i64>,
    found: &mut Vec<Found>,
    skipped: &mut Vec<PathBuf>,
) -> Result<(), Failure> {
    let too_much = |what: String| Failure::ReadFile { path: directory.to_owned(), source: io::Error::other(what) };
    if depth > DEPTH_MAX {
        return Err(too_much(format!("more than {DEPTH_MAX} directories within each other")));
    }
    let mut entries = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>())
        .map_err(fail(directory))?;
    // The order of a directory is its file system's; ids and reports need one that stays.
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let metadata = fs::symlink_metadata(&path).map_err(fail(&path))?;
        if metadata.is_dir() && !hidden {
            walk(&path, depth + 1, taken_ms, found, skipped)?;
        } else if metadata.is_file() && !hidden {
            if found.len() + skipped.len() >= FILES_MAX {
                return Err(too_much(format!("more than {FILES_MAX} files")));
            }
            let file = look(&path, taken_ms)?;
            if file.media_type == MediaType::Unspecified { skipped.push(path) } else { found.push(file) }
        }
        // Links lead to what was not named, or to what is there anyway.
    }
    Ok(())
}

fn look(path: &Path, taken_ms: Option<i64>) -> Result<Found, Failure> {
    let metadata = fs::metadata(path).map_err(fail(path))?;
    if !metadata.is_file() {
        // A pipe has no size, and cannot be read again after a cut.
        return Err(fail(path)(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file")));
    }
    let mut head = Vec::new();
    let reading = File::open(path).and_then(|file| file.take(HEAD_BYTES as u64).read_to_end(&mut head));
    reading.map_err(fail(path))?;
    let changed = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let changed_ms = changed.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0);
    Ok(Found {
        path: path.to_owned(),
        bytes: metadata.len(),
        taken_ms: taken_ms.unwrap_or(changed_ms),
        media_type: guess(&head).unwrap_or(MediaType::Unspecified),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn images_of_a_directory_are_found_in_order_and_other_files_are_told() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir_all(at("b/c")).unwrap();
        fs::create_dir_all(at(".hidden")).unwrap();
        for name in ["b/2.jpg", "b/c/3", "a.jpg", ".hidden/4.jpg", ".5.jpg"] {
            fs::write(at(name), b"\xff\xd8\xff\xe0").unwrap();
        }
        fs::write(at("b/notes.txt"), b"text").unwrap();
        std::os::unix::fs::symlink(at("a.jpg"), at("link.jpg")).unwrap();
        let (found, skipped) = find(&[home.path().to_owned()], Some(5)).unwrap();
        let paths: Vec<_> = found.iter().map(|file| file.path.clone()).collect();
        assert_eq!(paths, [at("a.jpg"), at("b/2.jpg"), at("b/c/3")]);
        assert!(found.iter().all(|file| file.taken_ms == 5 && file.bytes == 4 && file.media_type == MediaType::Jpeg));
        assert_eq!(skipped, [at("b/notes.txt")]);
        // Named, it is not passed over; a link that is named is followed.
        let (found, skipped) = find(&[at("b/notes.txt"), at("link.jpg")], None).unwrap();
        assert_eq!((found.len(), skipped.len(), found[0].media_type), (2, 0, MediaType::Unspecified));
        assert!(found[1].taken_ms > 1_600_000_000_000);
        assert!(find(&[at("none")], None).is_err());
    }
}
