//! Bit rot of stored chunks, which are files named by their digest: made, and looked for.

use crate::seed::Chance;
use plantao_node::crypto::chunk_seal::chunk_id;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Chunks of a directory that are in their places, in an order that does not depend on the file system.
fn chunk_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for partition in fs::read_dir(directory).into_iter().flatten() {
        let partition = partition?.path();
        if partition.file_name().is_some_and(|name| name.len() == 2) {
            for file in fs::read_dir(partition)? {
                files.push(file?.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file is the chunk that its name says.
fn is_good(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    fs::read(path).is_ok_and(|bytes| Some(chunk_id(&bytes).to_string().as_str()) == name)
}

/// Files of a chunk directory whose bytes are not what their names say.
pub(crate) fn rotten(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = chunk_files(directory)?;
    files.retain(|path| !is_good(path));
    Ok(files)
}

/// Flips a bit of a chunk below `directory` of which one of the `others` has a good copy: rot that takes the last one cannot be
/// healed by anybody. `false`: there is no such chunk.
pub(crate) fn flip(directory: &Path, others: &[PathBuf], chance: &mut Chance) -> io::Result<bool> {
    let mut files = chunk_files(directory)?;
    while !files.is_empty() {
        let path = files.swap_remove(usize::try_from(chance.below(files.len() as u64)).unwrap_or(0));
        let Ok(place) = path.strip_prefix(directory) else { continue };
        if !others.iter().any(|other| is_good(&other.join(place))) {
            continue;
        }
        let mut bytes = fs::read(&path)?;
        let at = usize::try_from(chance.below(bytes.len() as u64)).unwrap_or(0);
        let Some(byte) = bytes.get_mut(at) else { continue };
        *byte ^= 1 << chance.below(8);
        fs::write(path, bytes)?;
        return Ok(true);
    }
    Ok(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_flips_where_a_good_copy_is_left() {
        let home = tempfile::tempdir().unwrap();
        let bytes = vec![7; 500];
        let name = chunk_id(&bytes).to_string();
        let [here, there] = ["here", "there"].map(|node| home.path().join(node));
        let file = |node: &Path| node.join(&name[..2]).join(&name);
        let mut chance = Chance::of(1, 1);
        fs::create_dir_all(file(&here).parent().unwrap()).unwrap();
        fs::write(file(&here), &bytes).unwrap();
        assert!(!flip(&here, std::slice::from_ref(&there), &mut chance).unwrap());
        assert_eq!(rotten(&here).unwrap(), [] as [PathBuf; 0]);
        fs::create_dir_all(file(&there).parent().unwrap()).unwrap();
        fs::write(file(&there), &bytes).unwrap();
        assert!(flip(&here, std::slice::from_ref(&there), &mut chance).unwrap());
        assert_eq!(rotten(&here).unwrap(), [file(&here)]);
        let flipped: u32 = fs::read(file(&here)).unwrap().iter().map(|byte| (byte ^ 7).count_ones()).sum();
        assert_eq!(flipped, 1);
        assert!(!flip(&there, std::slice::from_ref(&here), &mut chance).unwrap());
    }
}
